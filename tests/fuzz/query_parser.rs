//! The query parser: every line has a meaning, and the canonical text of that meaning has the same.
#![no_main]

use archive::query::{NESTING_MAX, Query, QueryError, TERMS_MAX, parse};
use libfuzzer_sys::fuzz_target;

/// Seconds east of UTC that a clock on earth can show.
const OFFSETS_S: [i32; 4] = [0, 3600, -12 * 3600, 14 * 3600];

/// Terms and depth of a query: what the limits count.
fn sizes(query: &Query) -> (usize, usize) {
    match query {
        Query::And(members) | Query::Or(members) => {
            let sizes = members.iter().map(sizes);
            let (terms, depth) = sizes.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1.max(one.1)));
            (terms, depth + 1)
        }
        Query::Not(inner) => sizes(inner),
        Query::Text(text) => {
            let itself = text.matches(&text.text);
            assert!(itself, "a text holds its own words: {text:?}");
            (1, 0)
        }
        _ => (1, 0),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let offset_s = OFFSETS_S[bytes.len() % OFFSETS_S.len()];
    let Ok(parsed) = parse(&text, offset_s) else {
        return;
    };
    let (terms, depth) = sizes(&parsed.query);
    assert!(
        terms <= TERMS_MAX && depth <= 2 * NESTING_MAX + 2,
        "{terms} terms, {depth} deep"
    );
    let canonical = parsed.query.canonical(offset_s);
    match parse(&canonical, offset_s) {
        Ok(again) => {
            assert_eq!(again.query, parsed.query, "{canonical}");
            assert_eq!(again.query.canonical(offset_s), canonical);
        }
        // What was close to the limits may be beyond them in its canonical form.
        Err(QueryError::TooLong { .. }) => assert!(canonical.len() > text.len()),
        Err(error) => assert!(
            depth > NESTING_MAX || terms > TERMS_MAX / 2,
            "{error}: {canonical}"
        ),
    }
});
