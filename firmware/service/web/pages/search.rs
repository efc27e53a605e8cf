//! Searching: one field in the language of mail programs, results with a piece of each text, and pages to the end of them.

use super::super::{Response, visit::Visit};
use super::exports;
use super::layout::{Width, encoded};
use crate::keeper::Failure;
use crate::keeper::messages::{Hit, SearchPage, SearchRequest};
use crate::people::Denial;
use maud::{Markup, html};

/// 25 results a page: what a phone scrolls through and a query answers at once.
const PAGE_HITS: u64 = 25;

/// 4,000 pages: the index looks through 100,000 results of a search; who wants more narrows the dates.
const PAGES_MAX: u64 = 4_000;

/// 160 characters of a snippet: two lines on a phone.
const SNIPPET_CHARS: u32 = 160;

/// 1,000 bytes of a query: longer ones come from no person.
const QUERY_BYTES_MAX: usize = 1_000;

/// Filters that are one click away: the word that is added to the query, and its name.
const FILTERS: [(&str, &str); 2] = [
    ("has:attachment", "filter-attachment"),
    ("larger:5M", "filter-large"),
];

/// Shows the field, and what a query finds.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let Some(acting) = visit.acting() else {
        return visit.not_found();
    };
    let query = visit.request.query_value("q").unwrap_or_default().trim();
    if query.len() > QUERY_BYTES_MAX {
        let trouble = visit.words.text("query-long");
        return page(visit, 422, "", html! { (visit.trouble(Some(&trouble))) });
    }
    if query.is_empty() && visit.request.query_value("q").is_none() {
        return page(visit, 200, "", help(visit));
    }
    let offset = offset(visit);
    let request = SearchRequest {
        query: query.to_owned(),
        offset,
        limit: PAGE_HITS,
        snippet_chars: SNIPPET_CHARS,
        ..SearchRequest::default()
    };
    match acting.search(request) {
        Ok(found) => page(visit, 200, query, results(visit, query, offset, &found)),
        Err(Denial::Failed(Failure::BadRequest(_))) => {
            let trouble = visit.words.text("query-wrong");
            let content = html! { (visit.trouble(Some(&trouble))) (help(visit)) };
            page(visit, 422, query, content)
        }
        Err(denial) => visit.failed(&denial.into()),
    }
}

fn offset(visit: &Visit) -> u64 {
    let page = visit.request.query_value("page");
    let page: u64 = page.and_then(|page| page.parse().ok()).unwrap_or(1);
    (page.clamp(1, PAGES_MAX) - 1) * PAGE_HITS
}

fn page(visit: &Visit, status: u16, query: &str, content: Markup) -> Response {
    let words = visit.words;
    let content = html! {
        form.search role="search" action="/search" {
            input type="search" name="q" value=(query) aria-label=(words.text("search-field")) placeholder=(words.text("search-example")) autofocus[query.is_empty()] autocapitalize="none" spellcheck="false";
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
                dt { a.mono href={ "/search?q=" (encoded(example)) } { (example) } }
                dd { (words.text(meaning)) }
            }
        }
    }
}

fn results(visit: &Visit, query: &str, offset: u64, found: &SearchPage) -> Markup {
    let words = visit.words;
    let shown = words.number(found.count);
    let count = [("count", found.count.into()), ("shown", shown.into())];
    html! {
        div.filters {
            strong role="status" { (words.filled("found", &count)) }
            @for (filter, name) in FILTERS {
                @if found.count > 0 && !query.contains(filter) {
                    a href={ "/search?q=" (encoded(format!("{query} {filter}").trim())) } { (words.text(name)) }
                }
            }
        }
        @for note in &found.notes { p.note { (note) } }
        @if found.hits.is_empty() && found.count == 0 { p { (words.text("found-nothing-hint")) } }
        @if !found.hits.is_empty() {
            (visit.form("/exports", html! {
                input type="hidden" name="q" value=(query);
                ol.hits { @for hit in &found.hits { (result(visit, query, hit)) } }
                (exports::deeds(visit, found.count))
            }))
        }
        (pager(visit, query, offset, found.count))
    }
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
                a href={ "/message/" (entry.number) "?q=" (encoded(query)) } { (subject) }
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

fn pager(visit: &Visit, query: &str, offset: u64, count: u64) -> Markup {
    let words = visit.words;
    let this = offset / PAGE_HITS + 1;
    let last = count.div_ceil(PAGE_HITS).min(PAGES_MAX);
    let to = |page: u64| format!("/search?q={}&page={page}", encoded(query));
    html! {
        @if last > 1 {
            nav.pages aria-label=(words.text("pages")) {
                @if this > 1 { a rel="prev" href=(to((this - 1).min(last))) { (words.text("page-before")) } } @else { span {} }
                span.quiet { (words.filled("page-of", &[("page", words.number(this).into()), ("last", words.number(last).into())])) }
                @if this < last { a rel="next" href=(to(this + 1)) { (words.text("page-next")) } } @else { span {} }
            }
        }
    }
}
