//! Patterns of target paths, by which a role says what another one may provide.
//!
//! `*` is any number of characters, `?` one, `[…]` one of those named; none of them is ever a slash, so that a pattern reaches exactly
//! as deep as it is written. Deliberately no `**` and no escapes. Source: §4.5 (PATHPATTERN), glob(7).

/// Says whether a path is one of those that a pattern names.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let all = pattern.split('/').all(|pattern| {
        segments
            .next()
            .is_some_and(|segment| segment_matches(pattern, segment))
    });
    all && segments.next().is_none()
}

/// Goes on behind the last `*` with one more character whenever the rest does not fit: work is bounded by the product of the lengths.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    let (mut pattern, mut text) = (pattern, segment);
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(behind) = pattern.strip_prefix('*') {
            retry = Some((behind, text));
            pattern = behind;
        } else if let Some((behind, rest)) = one_matches(pattern, text) {
            (pattern, text) = (behind, rest);
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else {
            let Some((behind, from)) = retry else {
                return false;
            };
            let mut rest = from.chars();
            if rest.next().is_none() {
                return false;
            }
            retry = Some((behind, rest.as_str()));
            (pattern, text) = (behind, rest.as_str());
        }
    }
}

/// What is left of both when the pattern's first piece fits the first character.
fn one_matches<'p, 't>(pattern: &'p str, text: &'t str) -> Option<(&'p str, &'t str)> {
    let character = text.chars().next()?;
    let rest = &text[character.len_utf8()..];
    let piece = pattern.chars().next()?;
    let behind = &pattern[piece.len_utf8()..];
    match piece {
        '?' => Some((behind, rest)),
        '[' => match set(behind) {
            Some((set, behind)) => set_holds(set, character).then_some((behind, rest)),
            None => (character == '[').then_some((behind, rest)),
        },
        _ => (piece == character).then_some((behind, rest)),
    }
}

/// A set and what stands behind it; a `]` that comes first belongs to the set, and a set that never ends is none.
fn set(behind: &str) -> Option<(&str, &str)> {
    let start = usize::from(behind.starts_with('!'));
    let first = behind.get(start..)?.chars().next()?.len_utf8();
    let end = start + first + behind.get(start + first..)?.find(']')?;
    Some((&behind[..end], &behind[end + 1..]))
}

fn set_holds(set: &str, character: char) -> bool {
    let (set, negated) = match set.strip_prefix('!') {
        Some(set) => (set, true),
        None => (set, false),
    };
    let mut rest = set.chars();
    let mut held = false;
    while let Some(first) = rest.next() {
        let mut range = rest.clone();
        let last = match (range.next(), range.next()) {
            (Some('-'), Some(last)) => {
                rest = range;
                last
            }
            _ => first,
        };
        held |= (first..=last).contains(&character);
    }
    held != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_reach_as_deep_as_they_are_written() {
        for (pattern, path, expected) in [
            ("foo.tgz", "foo.tgz", true),
            ("foo.tgz", "foo.tgz.sig", false),
            ("targets/*.tgz", "targets/foo.tgz", true),
            ("targets/*.tgz", "targets/foo.txt", false),
            ("foo-?.tgz", "foo-2.tgz", true),
            ("foo-?.tgz", "foo-ä.tgz", true),
            ("foo-?.tgz", "foo-alpha.tgz", false),
            ("foo-?.tgz", "foo-.tgz", false),
            ("foo?bar", "foo/bar", false),
            ("*", "foo/bar", false),
            ("*/*", "foo/bar", true),
            ("*", "", true),
            ("**", "foo/bar", false),
            ("**", "foo", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a*", "/a", false),
            ("README.md", "README.MD", false),
            ("foo[0-9a].x", "foo7.x", true),
            ("foo[0-9a].x", "fooa.x", true),
            ("foo[0-9a].x", "foob.x", false),
            ("foo[!0-9]", "foo7", false),
            ("foo[!0-9]", "foox", true),
            ("foo[]]", "foo]", true),
            ("foo[", "foo[", true),
            ("foo[.-0]bar", "foo/bar", false),
            ("a\\*", "a*", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "*a".repeat(500);
        assert!(!matches(&pattern, &"a".repeat(499)));
        assert!(!matches(&format!("{pattern}b"), &"a".repeat(20_000)));
    }
}
