//! Patterns of module aliases, as fnmatch(3) reads them without flags: `*`, `?` and `[…]`.
//!
//! No backslash: no alias of the kernel has one.

/// Tells whether the whole text matches the pattern.
///
/// It goes back to the latest star only, which is enough for patterns without alternatives and takes at most their lengths multiplied.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position) = (0, 0);
    // Where to go on when what follows the latest star did not match.
    let mut retry = None;
    while position < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, position));
        } else if let Some(length) = one(&pattern[at..], text[position]) {
            at += length;
            position += 1;
        } else if let Some((star, from)) = retry {
            at = star;
            position = from + 1;
            retry = Some((star, position));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Length of the pattern's first element, if it matches the byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            let (length, holds) = class(rest, byte)?;
            holds.then_some(length + 1)
        }
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

/// Length of a class behind its opening bracket, and whether the byte is in it; none when it is not closed.
fn class(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    // A bracket that closes in the first place stands for itself.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|b| *b == b']')?;
    let mut members = &pattern[start..end];
    let mut holds = false;
    while let [first, rest @ ..] = members {
        if let [b'-', last, after @ ..] = rest {
            holds |= (*first..=*last).contains(&byte);
            members = after;
        } else {
            holds |= *first == byte;
            members = rest;
        }
    }
    Some((end + 1, holds != negated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_fnmatch_does() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*b*", "aabaa", true),
            ("*ab", "aaab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("x[0-3a]y", "x2y", true),
            ("x[0-3a]y", "xay", true),
            ("x[0-3a]y", "x4y", false),
            ("x[!0-3]y", "x4y", true),
            ("x[!0-3]y", "x1y", false),
            ("x[]]y", "x]y", true),
            ("x[0", "x[0", false),
            ("x[", "x[", false),
            (
                "usb:v0BDAp8153d*dc*dsc*dp*ic02isc06ip*in*",
                "usb:v0BDAp8153d3000dc00dsc00dp00ic02isc06ip00in00",
                true,
            ),
            (
                "usb:v0BDAp8153d*dc*dsc*dp*ic02isc06ip*in*",
                "usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00",
                false,
            ),
            ("acpi*:PNP0C0C:*", "acpi:PNP0C0C:", true),
            ("acpi*:PNP0C0C:*", "acpi:LNXPWRBN:", false),
            (
                "of:N*T*Carm,pl061C*",
                "of:NgpioT(null)Carm,pl061Carm,primecell",
                true,
            ),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let text = "a".repeat(4096);
        assert!(!matches(&format!("{}b", "*a".repeat(64)), &text));
    }
}
