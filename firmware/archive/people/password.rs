//! Which passwords are taken: long ones that are not made of a name, a pattern, a row of keys or what many people choose.
//!
//! What many choose stands in `common_passwords.txt`, sorted: the letters of some 21,000 leaked passwords (where from: NOTICE) and
//! a few German ones of our own. Estimating the strength of any password would take a package a hundred times as large to say
//! no to little more. Hashing is the `service` room's.

use std::sync::LazyLock;

/// 12 characters: with Argon2 beyond guessing unless the words are common (NIST SP 800-63B §5.1.1.2 asks for 8).
const CHARS_MIN: usize = 12;

/// 1,024 bytes, so that nobody makes the hash work on megabytes.
const BYTES_MAX: usize = 1_024;

/// 5 different characters at least.
const DIFFERENT_MIN: usize = 5;

/// 3 characters of a name count as the name; shorter ones stand in many words.
const NAME_CHARS_MIN: usize = 3;

/// 12 characters beside the letters of a common password do not make it another one: a date between dashes has as many.
const BESIDE_MAX: usize = 12;

/// 4 letters is the shortest common password in the list.
const COMMON_CHARS_MIN: usize = 4;

/// Passwords that many people choose, their letters alone, in order.
static COMMON: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// What stands for a letter in many passwords.
const STAND_INS: [(char, char); 8] = [
    ('0', 'o'),
    ('1', 'i'),
    ('3', 'e'),
    ('4', 'a'),
    ('5', 's'),
    ('7', 't'),
    ('@', 'a'),
    ('$', 's'),
];

/// Rows of keys and of the alphabet; a password runs along them forwards or backwards.
const ROWS: [&str; 8] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertzuiopü",
    "qwertyuiop",
    "asdfghjklöä",
    "yxcvbnm",
    "zxcvbnm",
    "!\"§$%&/()=",
];

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordWeakness {
    /// It is too short.
    #[error("a password has {CHARS_MIN} characters at least")]
    Short,
    /// It is too long.
    #[error("a password has {BYTES_MAX} bytes at most")]
    Long,
    /// It is mostly the account's name or address.
    #[error("the password is made of the name or address")]
    Name,
    /// It repeats itself.
    #[error("the password repeats itself")]
    Repeats,
    /// It is one that many people choose.
    #[error("the password is one that many people choose")]
    Common,
    /// It runs along the keys.
    #[error("the password runs along the keys")]
    Row,
}

/// Checks a password; `names` are the names and addresses of the account, and of the archive.
///
/// # Errors
///
/// The first weakness found.
pub fn check_password(password: &str, names: &[&str]) -> Result<(), PasswordWeakness> {
    let folded: Vec<char> = password.to_lowercase().chars().collect();
    if password.chars().count() < CHARS_MIN {
        Err(PasswordWeakness::Short)
    } else if password.len() > BYTES_MAX {
        Err(PasswordWeakness::Long)
    } else if repeats(&folded) {
        Err(PasswordWeakness::Repeats)
    } else if runs_along_a_row(&folded) {
        Err(PasswordWeakness::Row)
    } else if is_made_of_names(&folded, names) {
        Err(PasswordWeakness::Name)
    } else if is_common(&folded) {
        Err(PasswordWeakness::Common)
    } else {
        Ok(())
    }
}

/// Tells whether it has few characters, or its end from a third on is its beginning again.
fn repeats(password: &[char]) -> bool {
    let mut different = password.to_vec();
    different.sort_unstable();
    different.dedup();
    let has_period = |period: usize| {
        password
            .iter()
            .zip(&password[period..])
            .all(|(a, b)| a == b)
    };
    different.len() < DIFFERENT_MIN || (1..=2 * password.len() / 3).any(has_period)
}

/// Tells whether two thirds of the steps from character to character go along a row.
fn runs_along_a_row(password: &[char]) -> bool {
    let along = |pair: &&[char]| ROWS.iter().any(|row| are_neighbours(row, pair[0], pair[1]));
    let steps = password.windows(2).filter(along).count();
    3 * steps >= 2 * (password.len() - 1)
}

fn are_neighbours(row: &str, a: char, b: char) -> bool {
    row.chars()
        .zip(row.chars().skip(1))
        .any(|pair| pair == (a, b) || pair == (b, a))
}

/// Tells whether too little is left when the names and their parts are taken out.
fn is_made_of_names(password: &[char], names: &[&str]) -> bool {
    let mut left: String = password.iter().collect();
    let mut parts: Vec<String> = names
        .iter()
        .flat_map(|name| name.split(|c: char| !c.is_alphanumeric()))
        .filter(|part| part.chars().count() >= NAME_CHARS_MIN)
        .map(str::to_lowercase)
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    for part in parts {
        left = left.replace(&part, "");
    }
    2 * left.chars().count() < password.len()
}

/// Tells whether its letters are one or two common passwords, with little beside them.
fn is_common(password: &[char]) -> bool {
    let plain: Vec<char> = password.iter().flat_map(|c| folded_letter(*c)).collect();
    let put_back = |c: &char| {
        let stand_in = STAND_INS.iter().find(|(stand_in, _)| stand_in == c);
        stand_in.map_or(*c, |(_, letter)| *letter)
    };
    // A number behind the word is a number; within it, digits stand for letters.
    let is_letter = |c: &char| c.is_alphabetic();
    let begin = plain.iter().position(is_letter).unwrap_or(0);
    let end = plain.iter().rposition(is_letter).map_or(0, |last| last + 1);
    let put_back: Vec<char> = plain[begin..end].iter().map(put_back).collect();
    [&plain, &put_back].into_iter().any(|text| {
        let letters: String = text.iter().filter(|c| is_letter(c)).collect();
        let beside = plain.len() - letters.chars().count();
        beside <= BESIDE_MAX && is_one_or_two_common(&letters)
    })
}

fn is_one_or_two_common(letters: &str) -> bool {
    let is_listed = |text: &str| COMMON.binary_search(&text).is_ok();
    let parts = letters
        .char_indices()
        .map(|(at, _)| letters.split_at(at))
        .filter(|(a, b)| a.len() >= COMMON_CHARS_MIN && b.len() >= COMMON_CHARS_MIN);
    is_listed(letters) || parts.into_iter().any(|(a, b)| is_listed(a) && is_listed(b))
}

/// Writes a German letter as the list has it.
fn folded_letter(c: char) -> Vec<char> {
    match c {
        'ä' => vec!['a', 'e'],
        'ö' => vec!['o', 'e'],
        'ü' => vec!['u', 'e'],
        'ß' => vec!['s', 's'],
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_told_apart() {
        use PasswordWeakness::{Common, Long, Name, Repeats, Row, Short};
        let long = "korrekt pferd ".repeat(80) + "!";
        for (password, expected) in [
            ("", Err(Short)),
            ("K7!xq9-Rmüä", Err(Short)),
            ("K7!xq9-Rmüäß", Ok(())),
            ("pferd batterie heftklammer", Ok(())),
            (&long, Err(Long)),
            ("aaaaaaaaaaaa", Err(Repeats)),
            ("aabbccddaabbccdd", Err(Repeats)),
            ("Sommer24Sommer24", Err(Repeats)),
            ("Sommer24Sommer2", Err(Repeats)),
            ("ababababcdcd", Err(Repeats)),
            ("qwertzuiopü1", Err(Row)),
            ("QWERTZ123456", Err(Row)),
            ("abcdefghijkl", Err(Row)),
            ("098765432109", Err(Row)),
            ("asdfghjklöä-", Err(Row)),
            ("anna.meier123", Err(Name)),
            ("Anna-Kanzlei-1", Err(Name)),
            ("anna mag batterien", Ok(())),
            ("Passwort2024!", Err(Common)),
            ("P@55wort-2024", Err(Common)),
            ("sommer-winter-24", Err(Common)),
            ("Frühling 24.12.2024", Err(Common)),
            ("sommer 8402 1975 3310", Ok(())),
            ("sommer winter igel", Ok(())),
        ] {
            let names = ["Anna Meier", "anna@kanzlei.example"];
            assert_eq!(check_password(password, &names), expected, "{password}");
        }
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(COMMON.is_sorted());
        assert!(COMMON.iter().all(|word| word.len() >= COMMON_CHARS_MIN));
    }
}
