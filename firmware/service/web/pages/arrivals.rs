//! How mail comes in: by day and source as a drawing and as a table, and the last mail of each source. No mail is shown.
//!
//! Days are those of the office's clocks; the keeper counts by the hour.

use super::super::plot::{self, SERIES_MAX, Series};
use super::super::visit::Visit;
use super::super::words::Words;
use crate::keeper::messages::Stats;
use archive::SourceKind;
use archive::calendar::DAY_S;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::ops::Range;
use store::{HourOfSource, Source};

/// Days that can be chosen, the usual ones first.
const SPANS: [i64; 2] = [30, 90];

const HOUR_S: i64 = 3_600;

const SECOND_US: i64 = 1_000_000;

/// Shows what came on each of the last days.
pub(super) fn by_day(visit: &Visit, now_s: i64) -> Markup {
    let words = visit.words;
    let days = shown_days(visit, now_s);
    let hours = visit.site.keeper.hours(hours_of(&days));
    let series = series(visit, &days, &hours.unwrap_or_default());
    let sum: u64 = series.iter().map(Series::sum).sum();
    let span = days.end - days.start;
    let title = words.filled("plot-title", &[("days", span.into())]);
    let description = words.filled(
        "plot-description",
        &[
            ("count", sum.into()),
            ("shown", words.number(sum).into()),
            ("from", words.day(days.start * DAY_S).into()),
            ("until", words.day((days.end - 1) * DAY_S).into()),
        ],
    );
    html! {
        h2 { (title) }
        nav.filters aria-label=(words.text("plot-spans")) {
            @for one in SPANS {
                a href={ "/state?days=" (one) } aria-current=[(one == span).then_some("true")] { (words.filled("plot-span", &[("days", one.into())])) }
            }
        }
        figure.plot {
            div.scale { (words.number(plot::top(&series, span as usize))) }
            (plot::bars(&title, &description, &series))
            div.days {
                @for day in [days.start, days.start + span / 2, days.end - 1] { span { (words.short_day(day * DAY_S)) } }
            }
            figcaption { (description) (legend(words, &series)) }
        }
        details { summary { (words.text("plot-table")) } (table(words, &days, &series)) }
    }
}

fn shown_days(visit: &Visit, now_s: i64) -> Range<i64> {
    let asked = visit.request.query_value("days");
    let asked = asked.and_then(|days| days.parse().ok());
    let span = asked
        .filter(|days| SPANS.contains(days))
        .unwrap_or(SPANS[0]);
    let today = visit.local_s(now_s).div_euclid(DAY_S);
    today + 1 - span..today + 1
}

/// The hours in which some clock shows one of these days.
fn hours_of(days: &Range<i64>) -> Range<u32> {
    let hour = |day: i64| u32::try_from(day * DAY_S / HOUR_S).unwrap_or(0);
    hour(days.start - 1)..hour(days.end + 1)
}

/// Adds up hours to days of the office's clocks, the largest sources apart from all others.
fn series(visit: &Visit, days: &Range<i64>, hours: &[HourOfSource]) -> Vec<Series> {
    let mut named: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let none = || vec![0; (days.end - days.start) as usize];
    for hour in hours.iter().filter(|hour| is_shown(hour.kind)) {
        let day = visit
            .local_s(i64::from(hour.hour) * HOUR_S)
            .div_euclid(DAY_S);
        if days.contains(&day) {
            let name = source_name(visit.words, hour.kind, &hour.name);
            let counts = named.entry(name).or_insert_with(none);
            counts[(day - days.start) as usize] += hour.count;
        }
    }
    let one = |(name, counts)| Series { name, counts };
    let mut all: Vec<Series> = named.into_iter().map(one).collect();
    all.sort_by_key(|series| std::cmp::Reverse(series.sum()));
    if all.len() > SERIES_MAX {
        let others = all.split_off(SERIES_MAX - 1);
        let name = visit.words.text("source-others");
        all.push(joined(name, &others));
    }
    all
}

fn joined(name: String, series: &[Series]) -> Series {
    let days = series.first().map_or(0, |one| one.counts.len());
    let day = |day: usize| series.iter().map(|one| one.counts[day]).sum();
    Series {
        name,
        counts: (0..days).map(day).collect(),
    }
}

fn legend(words: &Words, series: &[Series]) -> Markup {
    html! {
        ul.legend {
            @for (place, series) in series.iter().enumerate() {
                li { span class={ "swatch series-" (place) } {} (series.name) " " span.quiet { (words.number(series.sum())) } }
            }
        }
    }
}

fn table(words: &Words, days: &Range<i64>, series: &[Series]) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th scope="col" { (words.text("date")) }
                @for series in series { th.number scope="col" { (series.name) } }
            } }
            tbody { @for day in days.clone().rev() { tr {
                th scope="row" { (words.short_day(day * DAY_S)) }
                @for series in series { td.number { (words.number(series.counts[(day - days.start) as usize])) } }
            } } }
        } }
    }
}

/// Lists where mail comes from, and since when each has been silent.
pub(super) fn sources(visit: &Visit, stats: &Stats, now_s: i64) -> Markup {
    let words = visit.words;
    let sources = joined_sources(words, &stats.sources);
    html! {
        h2 { (words.text("sources")) }
        @if sources.is_empty() { p { (words.text("sources-none")) } }
        @else { div.wide { table {
            thead { tr {
                th scope="col" { (words.text("source")) }
                th scope="col" { (words.text("source-last")) }
                th scope="col" { (words.text("source-silent")) }
                th.number scope="col" { (words.text("arrivals")) }
            } }
            tbody { @for source in &sources { tr {
                @let last_s = source.last_at_us.div_euclid(SECOND_US);
                th scope="row" { (source.name) }
                td { (words.moment(visit.local_s(last_s))) }
                td { (words.duration(now_s - last_s)) }
                td.number { (words.number(source.count)) }
            } } }
        } } }
    }
}

/// Sources that people call the same are one; the one that was heard of last comes first.
fn joined_sources(words: &Words, sources: &[Source]) -> Vec<Source> {
    let mut named: BTreeMap<String, Source> = BTreeMap::new();
    for source in sources.iter().filter(|source| is_shown(source.kind)) {
        let name = source_name(words, source.kind, &source.name);
        let all = named.entry(name.clone()).or_default();
        all.name = name;
        all.last_at_us = all.last_at_us.max(source.last_at_us);
        all.count += source.count;
    }
    let mut all: Vec<Source> = named.into_values().collect();
    all.sort_by_key(|source| std::cmp::Reverse(source.last_at_us));
    all
}

/// Coffer's own test messages are nobody's mail.
fn is_shown(kind: u8) -> bool {
    SourceKind::from_number(kind.into()) != SourceKind::SelfTest
}

/// What people call a source.
fn source_name(words: &Words, kind: u8, name: &str) -> String {
    let key = match (SourceKind::from_number(kind.into()), name) {
        (SourceKind::Smtp, "") => "source-smtp-others",
        (SourceKind::Smtp, _) => "source-smtp",
        (SourceKind::ImapPull | SourceKind::Pop3Pull, _) => "source-pull",
        (SourceKind::EmlFile | SourceKind::Mbox | SourceKind::Maildir, _) => "source-files",
        (SourceKind::Upload | SourceKind::Pst | SourceKind::Msg, _) => "source-files",
        _ => "source-others",
    };
    words.filled(key, &[("name", name.into())])
}
