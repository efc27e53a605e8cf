//! Searching: one field in the language of mail programs, results with a piece of each text, and pages to the end of them.
//!
//! Whatever is suggested is drawn from the page of results alone, which is the person's own mail: nothing of others' is counted for it.

use super::super::query_words;
use super::super::{Response, visit::Visit};
use super::exports;
use super::layout::{Width, encoded};
use crate::keeper::messages::{Entry, Hit, SearchPage, SearchRequest};
use archive::calendar::Date;
use archive::query::{Parsed, Query, parse};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// 25 results a page: what a phone scrolls through and a query answers at once.
const PAGE_HITS: u64 = 25;

/// 4,000 pages are found by their number, since the index looks through 100,000 results of a search; those behind are found by going on.
const PAGES_MAX: u64 = 4_000;

/// 160 characters of a snippet: two lines on a phone.
const SNIPPET_CHARS: u32 = 160;

/// 1,000 bytes of a query: longer ones come from no person.
const QUERY_BYTES_MAX: usize = 1_000;

/// 3 senders and 3 years are suggested: a line or two.
const SUGGESTED_MAX: usize = 3;

/// 5 MiB: what somebody calls a large mail.
const LARGE_BYTES: u64 = 5 << 20;

/// Where in the results a page is.
#[derive(Clone, Copy)]
struct Place {
    /// Its number, from 1.
    page: u64,
    /// Date and number of the result before it; none where it is found by its number.
    behind: Option<(i64, u64)>,
}

/// Shows the field, and what a query finds.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let Some(acting) = visit.acting() else {
        return visit.not_found();
    };
    let words = visit.words;
    let query = visit.request.query_value("q").unwrap_or_default().trim();
    if query.len() > QUERY_BYTES_MAX {
        let trouble = words.text("query-long");
        return page(visit, 422, "", html! { (visit.trouble(Some(&trouble))) });
    }
    if query.is_empty() && visit.request.query_value("q").is_none() {
        return page(visit, 200, "", help(visit));
    }
    let parsed = match parse(query, 0) {
        Ok(parsed) => parsed,
        Err(error) => {
            let trouble = query_words::error(words, &error);
            let content = html! { (visit.trouble(Some(&trouble))) (help(visit)) };
            return page(visit, 422, query, content);
        }
    };
    let place = place(visit);
    let request = SearchRequest {
        query: query.to_owned(),
        offset: match place.behind {
            Some(_) => 0,
            None => (place.page - 1) * PAGE_HITS,
        },
        behind: place.behind,
        limit: PAGE_HITS,
        snippet_chars: SNIPPET_CHARS,
        ..SearchRequest::default()
    };
    match acting.search(request) {
        Ok(found) => {
            let content = results(visit, query, &parsed, place, &found);
            page(visit, 200, query, content)
        }
        Err(denial) => visit.failed(&denial.into()),
    }
}

fn place(visit: &Visit) -> Place {
    let value = |name| visit.request.query_value(name);
    let behind = value("behind").and_then(|behind| {
        let (date, number) = behind.split_once('.')?;
        Some((date.parse().ok()?, number.parse().ok()?))
    });
    let page = value("page").and_then(|page| page.parse().ok());
    let most = behind.map_or(PAGES_MAX, |_| u64::MAX / PAGE_HITS);
    Place {
        page: page.unwrap_or(1).clamp(1, most),
        behind,
    }
}

fn page(visit: &Visit, status: u16, query: &str, content: Markup) -> Response {
    let words = visit.words;
    let content = html! {
        form.search role="search" action="/search" {
            input data-key="search" type="search" name="q" value=(query) aria-label=(words.text("search-field")) placeholder=(words.text("search-example")) autofocus[query.is_empty()] autocapitalize="none" spellcheck="false";
            button type="submit" { (words.text("search-do")) }
        }
        (content)
    };
    visit.page(status, &words.text("search"), Width::Wide, content)
}

fn help(visit: &Visit) -> Markup {
    let words = visit.words;
    let rows = [
        ("from:kate", "help-from"),
        ("to:office@example.com", "help-to"),
        ("subject:\"annual report\"", "help-subject"),
        ("before:2025-03-01 after:2024", "help-dates"),
        ("has:attachment filename:pdf", "help-attachment"),
        ("invoice -reminder", "help-not"),
        ("proj*", "help-prefix"),
    ];
    html! {
        h2 { (words.text("help-title")) }
        dl.facts {
            @for (example, meaning) in rows {
                dt { a.mono href=(address(example)) { (example) } }
                dd { (words.text(meaning)) }
            }
        }
        p.quiet { (words.text("help-keys")) }
    }
}

fn results(
    visit: &Visit,
    query: &str,
    parsed: &Parsed,
    place: Place,
    found: &SearchPage,
) -> Markup {
    let words = visit.words;
    let shown = words.number(found.count);
    let count = [("count", found.count.into()), ("shown", shown.into())];
    html! {
        nav.filters aria-label=(words.text("filters")) {
            strong role="status" { (words.filled("found", &count)) }
            @for (name, narrower) in suggestions(visit, query, parsed, found) {
                a href=(address(&narrower)) { (name) }
            }
        }
        @for note in &parsed.notes { p.note { (query_words::note(words, note)) } }
        @if found.count == 0 { (nothing(visit, parsed)) }
        @if !found.hits.is_empty() {
            (visit.form("/exports", html! {
                input type="hidden" name="q" value=(query);
                ol.hits { @for hit in &found.hits { (result(visit, query, hit)) } }
                (exports::deeds(visit, found.count))
            }))
        }
        (pager(visit, query, place, found))
    }
}

/// What helps when nothing was found: how the query was understood, and each part of it by itself.
fn nothing(visit: &Visit, parsed: &Parsed) -> Markup {
    let words = visit.words;
    let parts = query_words::parts(words, &parsed.query);
    let has_several = parts.len() > 1;
    html! {
        p { (words.text("query-understood")) }
        ul {
            @for (said, alone) in parts {
                li { (said) @if has_several { " " a href=(address(&alone)) { (words.text("query-alone")) } } }
            }
        }
        p { (words.text("found-nothing-hint")) }
        (help(visit))
    }
}

/// Names and queries that narrow the search to a part of what the page shows.
fn suggestions(
    visit: &Visit,
    query: &str,
    parsed: &Parsed,
    found: &SearchPage,
) -> Vec<(String, String)> {
    let words = visit.words;
    let entries: Vec<&Entry> = found.hits.iter().map(|hit| &hit.entry).collect();
    let mut filters = Vec::new();
    if entries.iter().any(|entry| entry.attachments > 0) {
        filters.push((words.text("filter-attachment"), "has:attachment".to_owned()));
    }
    if entries.iter().any(|entry| entry.size_bytes > LARGE_BYTES) {
        filters.push((words.text("filter-large"), "larger:5M".to_owned()));
    }
    filters.retain(|(_, filter)| !query.contains(filter));
    if !query.contains("from:") {
        filters.extend(senders(visit, &entries));
    }
    if !["before:", "after:", "on:"]
        .iter()
        .any(|name| query.contains(name))
    {
        filters.extend(years(visit, &entries, found.count > PAGE_HITS));
    }
    let narrower = |(name, filter): (String, String)| match parsed.query {
        // OR binds less than words side by side.
        Query::Or(_) => (name, format!("({query}) {filter}")),
        _ => (name, format!("{query} {filter}").trim().to_owned()),
    };
    filters.into_iter().map(narrower).collect()
}

/// The senders of a page that has several.
fn senders(visit: &Visit, entries: &[&Entry]) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let is_plain = |address: &str| {
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "\"()*".contains(c);
        !address.is_empty() && !address.contains(is_odd)
    };
    let mut each_once: Vec<(&str, &str)> = entries.iter().map(|entry| author(entry)).collect();
    each_once.retain(|(_, address)| is_plain(address) && seen.insert(*address));
    if each_once.len() < 2 {
        return Vec::new();
    }
    let filter = |(name, address): (&str, &str)| {
        let name = ("name", name.to_owned().into());
        (
            visit.words.filled("filter-from", &[name]),
            format!("from:{address}"),
        )
    };
    let first = each_once.into_iter().take(SUGGESTED_MAX);
    first.map(filter).collect()
}

/// Name and address in what lists show of an author.
fn author(entry: &Entry) -> (&str, &str) {
    let shown = entry.from.as_str();
    let parts = shown.rsplit_once('<');
    let parts = parts.and_then(|(name, rest)| Some((name.trim(), rest.strip_suffix('>')?)));
    match parts {
        Some(("", address)) => (address, address),
        Some(parts) => parts,
        None => (shown, shown),
    }
}

/// The years of a page that has several, and what is older than it when more follows.
fn years(visit: &Visit, entries: &[&Entry], has_more: bool) -> Vec<(String, String)> {
    let year = |entry: &&Entry| Date::of_unix(visit.local_s(entry.date)).year();
    let years: BTreeSet<u16> = entries.iter().map(year).collect();
    let filter = |key: &str, word: &str, year: u16| {
        let value = ("year", year.to_string().into());
        (visit.words.filled(key, &[value]), format!("{word}:{year}"))
    };
    let mut filters = Vec::new();
    if years.len() > 1 {
        let newest = years.iter().rev().take(SUGGESTED_MAX);
        filters.extend(newest.map(|year| filter("filter-year", "on", *year)));
    }
    let oldest = years.first().filter(|_| has_more);
    filters.extend(oldest.map(|year| filter("filter-older", "before", *year)));
    filters
}

fn result(visit: &Visit, query: &str, hit: &Hit) -> Markup {
    let words = visit.words;
    let entry = &hit.entry;
    let subject = visit.subject(&entry.subject);
    let files = entry.attachments;
    html! {
        li {
            span.from { (entry.from) }
            span.when { (words.day(visit.local_s(entry.date))) }
            span.title {
                input type="checkbox" name="number" value=(entry.number) aria-label=(words.filled("choose", &[("subject", subject.as_str().into())]));
                a.hit href={ "/message/" (entry.number) "?q=" (encoded(query)) } { (subject) }
            }
            @if !hit.snippet.is_empty() { span.snippet { (marked(hit)) } }
            @if files > 0 { span.snippet { (words.filled("attachments", &[("count", files.into())])) } }
        }
    }
}

/// The piece of text with the sought words marked.
fn marked(hit: &Hit) -> Markup {
    let mut pieces = Vec::new();
    let mut at = 0;
    for (from, until) in &hit.marks {
        let (from, until) = (*from as usize, *until as usize);
        let before = hit.snippet.get(at..from);
        let (Some(before), Some(word)) = (before, hit.snippet.get(from..until)) else {
            break;
        };
        pieces.push((before, word));
        at = until;
    }
    let rest = hit.snippet.get(at..).unwrap_or_default();
    html! { @for (before, word) in pieces { (before) mark { (word) } } (rest) }
}

fn pager(visit: &Visit, query: &str, place: Place, found: &SearchPage) -> Markup {
    let words = visit.words;
    let this = place.page;
    let last = found.count.div_ceil(PAGE_HITS);
    let to = |page: u64| format!("{}&page={page}", address(query));
    let numbers = [
        ("page", words.number(this).into()),
        ("last", words.number(last).into()),
    ];
    // Going on from the last result shown costs the same on every page, and nothing that comes meanwhile moves it.
    let next = found.hits.last().filter(|_| this < last);
    let next = next.map(|hit| {
        let Entry { date, number, .. } = hit.entry;
        format!("{}&behind={date}.{number}", to(this + 1))
    });
    html! {
        @if last > 1 {
            nav.pages aria-label=(words.text("pages")) {
                @if this > 1 { a data-key="before" rel="prev" href=(to((this - 1).min(last).min(PAGES_MAX))) { (words.text("page-before")) } } @else { span {} }
                span.quiet { (words.filled("page-of", &numbers)) }
                @if let Some(next) = next { a data-key="next" rel="next" href=(next) { (words.text("page-next")) } } @else { span {} }
            }
        }
    }
}

fn address(query: &str) -> String {
    format!("/search?q={}", encoded(query))
}
