//! Searching: pages that follow each other by a cursor, which holds its place however much mail comes meanwhile.

use super::super::Response;
use super::problem::Problem;
use super::{Call, json};
use crate::keeper::messages::{Entry, Hit, SearchRequest};
use archive::Digest;
use archive::calendar::rfc3339;
use serde_json::{Value, json as value};

/// Hits a page that does not say how many.
const LIMIT: u64 = 25;

/// 100 hits a page: each has a piece of its text, which has to be read.
const LIMIT_MAX: u64 = 100;

/// 160 characters of a text, as on the page.
const SNIPPET_CHARS: u32 = 160;

/// 1,000 bytes of a query, as on the page.
pub(super) const QUERY_BYTES_MAX: usize = 1_000;

/// Finds messages, the newest first.
pub(super) fn search(call: &Call<'_>) -> Result<Response, Problem> {
    let query = call
        .parameter("q")?
        .ok_or_else(|| Problem::new(400, "what is sought is missing: q"))?;
    if query.len() > QUERY_BYTES_MAX {
        return Err(Problem::new(422, "the query is too long"));
    }
    let limit = limit(call.parameter("limit")?)?;
    let request = SearchRequest {
        query: query.to_owned(),
        limit,
        behind: call.parameter("after")?.map(behind).transpose()?,
        snippet_chars: SNIPPET_CHARS,
        ..SearchRequest::default()
    };
    let page = call.acting().search(request)?;
    let is_full = page.hits.len() as u64 == limit;
    let last = page.hits.last().filter(|_| is_full);
    Ok(json(
        200,
        &value!({
            "count": page.count,
            "next": last.map(|hit| cursor(&hit.entry)),
            "notes": page.notes,
            "hits": page.hits.iter().map(hit).collect::<Vec<_>>(),
        }),
    ))
}

fn limit(text: Option<&str>) -> Result<u64, Problem> {
    let Some(text) = text else { return Ok(LIMIT) };
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_digits);
    number
        .filter(|number| (1..=LIMIT_MAX).contains(number))
        .ok_or_else(|| Problem::new(400, format!("limit is a number from 1 to {LIMIT_MAX}")))
}

/// The place behind a hit: its date and number.
fn cursor(entry: &Entry) -> String {
    format!("{}.{}", entry.date, entry.number)
}

fn behind(cursor: &str) -> Result<(i64, u64), Problem> {
    let parts = cursor.split_once('.');
    parts
        .and_then(|(date, number)| Some((date.parse().ok()?, number.parse().ok()?)))
        .ok_or_else(|| Problem::new(400, "after is what the page before gave as next"))
}

fn hit(hit: &Hit) -> Value {
    let mut facts = facts(&hit.entry);
    facts["snippet"] = value!(hit.snippet);
    facts["copies"] = value!(hit.copies);
    facts
}

/// The facts about a message, as `coffer search --json` names them.
pub(super) fn facts(entry: &Entry) -> Value {
    value!({
        "number": entry.number,
        "digest": Digest(entry.digest).to_string(),
        "size_bytes": entry.size_bytes,
        "received_at": rfc3339(entry.received_at_us.div_euclid(1_000_000)),
        "sent_at": entry.sent_at.map(rfc3339),
        "from": entry.from,
        "to": entry.to,
        "subject": entry.subject,
        "message_id": entry.message_id,
        "attachments": entry.attachments,
        "oddities": entry.oddities,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let entry = Entry {
            date: -5,
            number: 7,
            ..Entry::default()
        };
        assert_eq!(behind(&cursor(&entry)).ok(), Some((-5, 7)));
        for wrong in ["", ".", "1", "1.", ".1", "a.b", "1.-1", "1.2.3"] {
            assert!(behind(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "0", "101", "-1", "+5", "x", "99999999999999999999"] {
            assert!(limit(Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(limit(None).ok(), Some(LIMIT));
        assert_eq!(limit(Some("100")).ok(), Some(100));
    }
}
