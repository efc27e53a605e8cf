//! The audit log as a file: what the page lists, as a table (CSV, RFC 4180) or as lines of JSON, with the page's filter.
//!
//! It is written into the spool page by page, so that its length costs no memory; that somebody takes it along is in the log first.

use super::super::response::Content;
use super::super::{Response, visit::Visit};
use crate::keeper::Failure;
use crate::people::{Acting, AuditFilter, AuditPage};
use archive::Event;
use archive::calendar::rfc3339;
use serde_json::json;
use store::{Body, SpoolWriter};

/// 500 entries are read at once.
const PAGE_ENTRIES: u32 = 500;

/// 500,000 entries a file, some 150 MB; the last line says from where to go on.
const ENTRIES_MAX: usize = 500_000;

/// The columns of the table.
const COLUMNS: &str =
    "number,at,event,account,peer,text,before,after,reason,second_person,subjects,count\r\n";

/// A form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Csv,
    JsonLines,
}

impl Form {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "csv" => Some(Self::Csv),
            "jsonl" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// Its name, and its media type.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("csv", "text/csv; charset=utf-8"),
            Self::JsonLines => ("jsonl", "application/jsonl"),
        }
    }
}

/// Hands the file out.
pub(in super::super) fn file(visit: &Visit, form: &str) -> Response {
    let (Some(acting), Some(form)) = (visit.acting(), Form::from_name(form)) else {
        return visit.not_found();
    };
    let (name, media_type) = form.names();
    match written(visit, acting, form) {
        Ok(body) => {
            let mut response = Response::new(200, media_type, &b""[..]).with(
                "Content-Disposition",
                format!("attachment; filename=\"coffer-log.{name}\""),
            );
            response.content = Content::Body(body);
            response
        }
        Err(Failure::BadRequest(_)) => visit.not_found(),
        Err(failure) => visit.failed(&failure),
    }
}

fn written(visit: &Visit, acting: Acting, form: Form) -> Result<Body, Failure> {
    let filter = super::log::filter(visit);
    acting.take_audit_log(filter.clone(), form.names().0)?;
    let mut out = visit.site.keeper.spool().writer();
    if form == Form::Csv {
        // Spreadsheets take the text for UTF-8 by this mark alone.
        out.write(format!("\u{feff}{COLUMNS}").as_bytes())?;
    }
    let mut before = super::log::before(visit);
    let mut count = 0;
    loop {
        let AuditPage {
            entries,
            before: next,
        } = page(acting, before, &filter)?;
        count += entries.len();
        for (number, at_us, event) in entries {
            if let Some(event) = store::decode_event(&event) {
                out.write(line(form, number, at_us, &event).as_bytes())?;
            }
        }
        match next {
            None => return Ok(out.finish()?),
            Some(next) if count >= ENTRIES_MAX => return cut(out, form, next),
            next => before = next,
        }
    }
}

fn page(acting: Acting, before: Option<u64>, filter: &AuditFilter) -> Result<AuditPage, Failure> {
    Ok(acting.audit_log(before, PAGE_ENTRIES, filter.clone())?)
}

/// Ends a file that has not all, and says so in it.
fn cut(mut out: SpoolWriter, form: Form, before: u64) -> Result<Body, Failure> {
    let more = Event {
        text: format!("older entries are not in this file: ask for those before {before}"),
        ..Event::default()
    };
    out.write(line(form, before, 0, &more).as_bytes())?;
    Ok(out.finish()?)
}

fn line(form: Form, number: u64, at_us: i64, event: &Event) -> String {
    let at = rfc3339(at_us.div_euclid(1_000_000));
    if form == Form::JsonLines {
        let entry = json!({
            "number": number, "at": at, "event": event.kind.name(), "account": event.account,
            "peer": event.peer, "text": event.text, "before": event.before, "after": event.after,
            "reason": event.reason, "second_person": event.second_person,
            "subjects": event.subjects, "count": event.count,
        });
        return format!("{entry}\n");
    }
    let subjects: Vec<_> = event.subjects.iter().map(u64::to_string).collect();
    let cells = [
        number.to_string(),
        at,
        event.kind.name().to_owned(),
        event.account.clone(),
        event.peer.clone(),
        event.text.clone(),
        event.before.clone(),
        event.after.clone(),
        event.reason.clone(),
        event.second_person.clone(),
        subjects.join(" "),
        event
            .count
            .map_or_else(String::new, |count| count.to_string()),
    ];
    format!("{}\r\n", cells.map(|text| cell(&text)).join(","))
}

/// Writes a cell. A spreadsheet takes what begins like a formula for one, so that gets an apostrophe before it.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if is_formula { "'" } else { "" };
    if is_formula || text.contains(['"', ',', '\n', '\r', ';']) {
        format!("\"{mark}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_becomes_a_formula_or_a_column() {
        for (text, expected) in [
            ("", ""),
            ("plain words", "plain words"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("-rechnung", "\"'-rechnung\""),
            ("@x", "\"'@x\""),
            ("+1", "\"'+1\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
