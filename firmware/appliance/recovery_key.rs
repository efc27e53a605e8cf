//! Codes that people read, print and type: the recovery key of a disk, and the claim code.
//!
//! Letters and digits of Crockford's base 32, which leaves out those that look alike.

use std::fs::File;
use std::io::{self, Read};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of a group.
const GROUP: usize = 5;

/// 6 groups are 150 bits: nobody guesses them, and they fit onto a label.
const RECOVERY_KEY_GROUPS: usize = 6;

/// 2 groups are 50 bits, with a pause after each wrong one more than enough.
const CLAIM_CODE_GROUPS: usize = 2;

/// Makes a recovery key, as it is shown.
///
/// # Errors
/// When the kernel gives no random numbers.
pub(crate) fn new_recovery_key() -> io::Result<String> {
    code(RECOVERY_KEY_GROUPS)
}

/// Makes a claim code, as it is shown.
///
/// # Errors
/// When the kernel gives no random numbers.
pub(crate) fn new_claim_code() -> io::Result<String> {
    code(CLAIM_CODE_GROUPS)
}

/// What somebody typed, as it is compared and used: without hyphens and blanks, in capitals, with letters that look like digits read as these.
pub(crate) fn plain(typed: &str) -> String {
    let kept = typed.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        c => c,
    })
    .collect()
}

/// Random bytes of the kernel.
///
/// # Errors
/// When it gives none.
pub(crate) fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn code(groups: usize) -> io::Result<String> {
    let bytes = random::<{ RECOVERY_KEY_GROUPS * GROUP }>()?;
    let letters = bytes.iter().map(|byte| ALPHABET[usize::from(byte % 32)]);
    let letters: Vec<u8> = letters.take(groups * GROUP).collect();
    let groups: Vec<_> = letters
        .chunks(GROUP)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    Ok(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_groups_that_nobody_has_seen() {
        let one = new_recovery_key().expect("random numbers");
        let groups: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(groups, [5; 6]);
        assert_ne!(one, new_recovery_key().expect("random numbers"));
        assert_eq!(new_claim_code().expect("random numbers").len(), 11);
        assert_eq!(plain(&one), one.replace('-', ""));
    }

    #[test]
    fn what_is_typed_is_read_kindly() {
        for (typed, expected) in [
            ("abcde-01234", "ABCDE01234"),
            (" ab cde\t-o1il4\n", "ABCDE01114"),
            ("äb", "B"),
            ("", ""),
        ] {
            assert_eq!(plain(typed), expected);
        }
    }
}
