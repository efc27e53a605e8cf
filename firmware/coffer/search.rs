//! `coffer search`: finds messages, newest first, for people or as JSON.

use crate::archive_access::{Missing, log_run, open};
use crate::args::SearchArgs;
use crate::output::{Exit, bytes, count, line, moment, plain};
use archive::Digest;
use archive::calendar::rfc3339;
use serde_json::json;
use service::keeper::messages::{Entry, Hit, SearchRequest};
use std::io::{IsTerminal, Write};

/// Characters of a snippet: two lines of a terminal.
const SNIPPET_CHARS: u32 = 160;

/// Characters of a subject or author in the list for people.
const LINE_CHARS_MAX: usize = 100;

pub(crate) fn run(args: SearchArgs) -> Result<(), Exit> {
    let keeper = open(&args.data.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let page = keeper.search(SearchRequest {
        query: args.query.join(" "),
        offset: args.offset,
        limit: args.limit,
        by_relevance: args.relevance,
        snippet_chars: if args.snippets { SNIPPET_CHARS } else { 0 },
        fresh: true,
        ..SearchRequest::default()
    })?;
    for note in &page.notes {
        let _ = writeln!(std::io::stderr(), "coffer: note: {note}");
    }
    if args.json {
        return page.hits.iter().try_for_each(|hit| line(json(hit)));
    }
    for hit in &page.hits {
        print(hit)?;
    }
    let shown = page.hits.len() as u64;
    match page.count {
        0 => line("nothing found"),
        1 => line("1 message"),
        all if shown == all => line(format_args!("{} messages", count(all))),
        all => line(format_args!(
            "{} messages, {} shown; --limit and --offset show others",
            count(all),
            count(shown)
        )),
    }
}

fn json(hit: &Hit) -> serde_json::Value {
    let Entry {
        number,
        digest,
        size_bytes,
        received_at_us,
        sent_at,
        from,
        to,
        subject,
        message_id,
        attachments,
        oddities,
        ..
    } = &hit.entry;
    let mut object = json!({
        "number": number,
        "digest": Digest(*digest).to_string(),
        "received_at": moment(*received_at_us),
        "sent_at": sent_at.map(rfc3339),
        "from": from,
        "to": to,
        "subject": subject,
        "size_bytes": size_bytes,
        "message_id": message_id,
        "attachments": attachments,
        "oddities": oddities,
        "copies": hit.copies,
    });
    if !hit.snippet.is_empty() {
        object["snippet"] = json!(hit.snippet);
        object["marks"] = json!(hit.marks);
    }
    object
}

fn print(hit: &Hit) -> Result<(), Exit> {
    let entry = &hit.entry;
    let day = rfc3339(entry.date);
    let attachments = match entry.attachments {
        0 => String::new(),
        1 => ", 1 attachment".to_owned(),
        n => format!(", {n} attachments"),
    };
    let copies = match hit.copies.len() {
        0 => String::new(),
        1 => ", and 1 copy".to_owned(),
        n => format!(", and {n} copies"),
    };
    let (from, subject) = (one_line(&entry.from), one_line(&entry.subject));
    let (date, time) = (&day[..10], &day[11..16]);
    line(format_args!("{:>8}  {date} {time}  {from}", entry.number))?;
    line(format_args!(
        "          {subject}  ({}{attachments}{copies})",
        bytes(entry.size_bytes)
    ))?;
    if !hit.snippet.is_empty() {
        line(format_args!("          {}", marked(hit)))?;
    }
    Ok(())
}

/// Text of a mail cut so that it stays on its line; `--json` has all of it.
fn one_line(text: &str) -> String {
    let plain = plain(text);
    match plain.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// The snippet with its hits marked: bold on a terminal, in brackets elsewhere.
fn marked(hit: &Hit) -> String {
    let (begin, end) = if std::io::stdout().is_terminal() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("[", "]")
    };
    let mut text = String::new();
    let mut at = 0;
    for (from, until) in &hit.marks {
        let (from, until) = (*from as usize, *until as usize);
        let (Some(before), Some(word)) = (hit.snippet.get(at..from), hit.snippet.get(from..until))
        else {
            break;
        };
        text += &format!("{}{begin}{}{end}", plain(before), plain(word));
        at = until;
    }
    text + &plain(hit.snippet.get(at..).unwrap_or_default())
}
