//! What kernel and workers of a box have said, for the operator who looks for a fault: the newest lines, and all of them as a file.
//!
//! It is no audit log: nobody relies on it, and old lines go.

use super::super::response::Content;
use super::super::{Response, visit::Visit};
use super::layout::{Width, encoded};
use crate::keeper::Failure;
use crate::machine::{LogKind, Machine, Refusal};
use maud::html;
use store::Body;

/// 32 KiB of lines a page, some 300 of them: what somebody looks through, and what a bad line brings soon.
const PAGE_BYTES_MAX: usize = 32 << 10;

/// 16 MiB of a log are read, twice what a box keeps.
const BYTES_MAX: u64 = 16 << 20;

/// Kinds by their names in addresses, with the key of their text.
const KINDS: [(&str, LogKind, &str); 2] = [
    (
        "since-start",
        LogKind::SinceStart,
        "machine-log-since-start",
    ),
    ("kept", LogKind::Kept, "machine-log-kept"),
];

/// Shows the newest lines, of those that contain what is looked for.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    let (name, kind) = match visit.request.query_value("of").and_then(from_name) {
        Some(chosen) => chosen,
        None => (KINDS[0].0, KINDS[0].1),
    };
    let mut bytes = Vec::new();
    let read = each_piece(machine, kind, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    match read {
        Ok(()) => lines(visit, name, &String::from_utf8_lossy(&bytes)),
        Err(Trouble::Machine(refusal)) => failed(visit, &refusal),
        Err(Trouble::Spool(failure)) => visit.failed(&failure),
    }
}

/// Gives the newest lines since the start, for a page.
pub(in super::super) fn newest_lines(machine: &dyn Machine) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    let read = each_piece(machine, LogKind::SinceStart, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    if let Err(Trouble::Machine(refusal)) = read {
        return Err(refusal);
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(newest(&lines).join("\n"))
}

/// Hands a whole log out.
pub(in super::super) fn file(visit: &Visit, name: &str) -> Response {
    let chosen = name.strip_suffix(".txt").and_then(from_name);
    let (Some(machine), Some((name, kind))) = (visit.site.machine(), chosen) else {
        return visit.not_found();
    };
    match spooled(visit, machine, kind) {
        Ok(body) => {
            let disposition = format!("attachment; filename=\"coffer-messages-{name}.txt\"");
            let mut response = Response::new(200, "text/plain; charset=utf-8", &b""[..])
                .with("Content-Disposition", disposition);
            response.content = Content::Body(body);
            response
        }
        Err(Trouble::Machine(refusal)) => failed(visit, &refusal),
        Err(Trouble::Spool(failure)) => visit.failed(&failure),
    }
}

/// Why a log could not be handed out.
enum Trouble {
    Machine(Refusal),
    Spool(Failure),
}

fn from_name(name: &str) -> Option<(&'static str, LogKind)> {
    let mut kinds = KINDS.into_iter();
    kinds
        .find(|(known, _, _)| *known == name)
        .map(|(name, kind, _)| (name, kind))
}

fn each_piece(
    machine: &dyn Machine,
    kind: LogKind,
    mut take: impl FnMut(&[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut offset = 0;
    while offset < BYTES_MAX {
        let piece = machine.log(kind, offset).map_err(Trouble::Machine)?;
        if piece.is_empty() {
            break;
        }
        take(&piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

fn spooled(visit: &Visit, machine: &dyn Machine, kind: LogKind) -> Result<Body, Trouble> {
    let mut out = visit.site.keeper.spool().writer();
    each_piece(machine, kind, |piece| {
        out.write(piece)
            .map_err(|error| Trouble::Spool(error.into()))
    })?;
    out.finish().map_err(|error| Trouble::Spool(error.into()))
}

fn lines(visit: &Visit, chosen: &str, text: &str) -> Response {
    let words = visit.words;
    let sought = visit.request.query_value("find").unwrap_or_default().trim();
    let in_small = sought.to_lowercase();
    let found: Vec<_> = text
        .lines()
        .filter(|line| line.to_lowercase().contains(&in_small))
        .collect();
    let newest = newest(&found);
    let counts = [
        ("shown", words.number(newest.len() as u64).into()),
        ("all", words.number(found.len() as u64).into()),
    ];
    let other = |name: &str| format!("/machine/log?of={name}&find={}", encoded(sought));
    let content = html! {
        p { (words.text("machine-log-hint")) }
        form.search action="/machine/log" {
            input type="hidden" name="of" value=(chosen);
            input type="search" name="find" value=(sought) aria-label=(words.text("machine-log-find")) placeholder=(words.text("machine-log-find")) autocapitalize="none" spellcheck="false";
            button type="submit" { (words.text("machine-log-search")) }
        }
        p.filters {
            @for (name, _, text) in KINDS {
                a href=(other(name)) aria-current=[(name == chosen).then_some("page")] { (words.text(text)) }
            }
            a href={ "/machine/log/" (chosen) ".txt" } { (words.text("machine-log-file")) }
        }
        p.quiet { (words.filled("machine-log-lines", &counts)) }
        pre { (newest.join("\n")) }
    };
    visit.page(200, &words.text("machine-log"), Width::Wide, content)
}

/// The last lines that fit on a page.
fn newest<'l>(found: &'l [&'l str]) -> &'l [&'l str] {
    let mut left = PAGE_BYTES_MAX;
    let fits = |line: &&&str| {
        let rest = left.checked_sub(line.len() + 1);
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    let count = found.iter().rev().take_while(fits).count();
    &found[found.len() - count..]
}

fn failed(visit: &Visit, refusal: &Refusal) -> Response {
    let why = match refusal {
        Refusal::Failed(why) => why.as_str(),
        _ => "",
    };
    let text = visit
        .words
        .filled("machine-log-failed", &[("why", why.into())]);
    let content = html! { p.trouble role="alert" { (text) } };
    let title = visit.words.text("machine-log");
    visit.page(503, &title, Width::Narrow, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_newest_lines_and_stays_small() {
        let long = "x".repeat(PAGE_BYTES_MAX - 2);
        for (lines, expected) in [
            (&[][..], &[][..]),
            (&["a", "b"], &["a", "b"]),
            (&["a", &long], &[long.as_str()]),
            (&[&long, "a"], &["a"]),
            (&["a", &long, "b"], &["b"]),
        ] {
            assert_eq!(newest(lines), expected);
        }
        let many = vec!["a line of some length"; 100_000];
        let bytes: usize = newest(&many).iter().map(|line| line.len() + 1).sum();
        assert!(bytes <= PAGE_BYTES_MAX && bytes > PAGE_BYTES_MAX - 100);
    }
}
