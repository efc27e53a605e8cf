//! Names of roles and targets as names of files: whatever a repository calls them, they stay in their folder and in one piece.
//!
//! Everything but letters, digits and `-._~` is written as `%` and two digits, as python-tuf does it.

/// Longest name of a file that is made from a role or target, in bytes: what file systems hold (255), less room for what is put around it.
pub(crate) const FILE_NAME_BYTES_MAX: usize = 200;

/// Gives the name of the file for a role or target, without its ending.
///
/// Nothing when it would be too long, or would be the folder itself or the one above.
pub(crate) fn file_name(name: &str) -> Option<String> {
    let quoted = quote(name, |byte| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
    });
    let usable = !matches!(quoted.as_str(), "" | "." | "..") && quoted.len() <= FILE_NAME_BYTES_MAX;
    usable.then_some(quoted)
}

/// Gives the part of an address for a target's path, which is relative and may be quoted already (§4.5, TARGETPATH).
pub(crate) fn address_path(path: &str) -> String {
    quote(path, |byte| {
        byte.is_ascii_graphic() && !b"\"#<>?\\^`{|}".contains(&byte)
    })
}

fn quote(name: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut quoted = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            byte if plain(byte) => quoted.push(char::from(byte)),
            byte => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_stay_in_their_folder() {
        for (name, file) in [
            ("targets", Some("targets")),
            ("registry.npmjs.org", Some("registry.npmjs.org")),
            ("../root", Some("..%2Froot")),
            ("/etc/passwd", Some("%2Fetc%2Fpasswd")),
            ("a\0b%2F", Some("a%00b%252F")),
            ("Größe", Some("Gr%C3%B6%C3%9Fe")),
            (".", None),
            ("..", None),
            ("", None),
        ] {
            assert_eq!(file_name(name).as_deref(), file, "{name:?}");
        }
        assert_eq!(file_name(&"a".repeat(FILE_NAME_BYTES_MAX + 1)), None);
    }

    #[test]
    fn addresses_have_no_spaces_and_no_line_ends() {
        for (path, address) in [
            ("a/b.txt", "a/b.txt"),
            ("a b\r\nHost: x", "a%20b%0D%0AHost:%20x"),
            ("a%20b", "a%20b"),
            ("?#ü", "%3F%23%C3%BC"),
        ] {
            assert_eq!(address_path(path), address);
        }
    }
}
