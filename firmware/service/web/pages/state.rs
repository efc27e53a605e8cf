//! How the archive is, for the operator: what is wrong and what to do, how mail comes in, how long the room will do, what follows. No mail
//! is shown.

use super::super::{Response, visit::Visit, warnings, words::Words};
use super::arrivals;
use super::layout::Width;
use super::updates;
use crate::forecast::{Forecast, forecast};
use crate::health;
use crate::keeper::Failure;
use crate::keeper::messages::{CopyStats, Stats};
use archive::people::{Action, Reach, reach};
use maud::{Markup, html};
use std::collections::BTreeSet;
use store::{Side, VolumesRead};

const SECOND_US: i64 = 1_000_000;

/// Up to 90 days are told as days.
const DAYS_TOLD_MAX: u64 = 90;

/// Up to two years are told as months.
const MONTHS_TOLD_MAX: u64 = 24;

impl Visit<'_> {
    /// Tells whether the person may see how the archive is.
    pub(in super::super) fn may_see_state(&self) -> bool {
        self.person.as_ref().is_some_and(|person| {
            let roles: BTreeSet<_> = person.session.roles.iter().copied().collect();
            reach(&roles, Action::SeeState) == Reach::Alone
        })
    }
}

/// Shows the figures.
pub(in super::super) fn show(visit: &Visit) -> Response {
    match content(visit) {
        Ok(content) => visit.page(200, &visit.words.text("state"), Width::Wide, content),
        Err(failure) => visit.failed(&failure),
    }
}

fn content(visit: &Visit) -> Result<Markup, Failure> {
    let words = visit.words;
    let stats = visit.site.keeper.stats()?;
    let health = visit.site.keeper.health()?;
    let warnings = health::warnings(&health);
    Ok(html! {
        // The script of the page asks for both again and again.
        div data-live="warnings" {
            @if warnings.is_empty() { p.note.good role="status" { (words.text("all-is-well")) } }
            @for warning in &warnings { p.trouble role="alert" { (warnings::in_words(words, visit.zone(), warning)) } }
        }
        div.sheet data-live="figures" { (figures(visit, &stats, health.daily_bytes)) }
        (arrivals::by_day(visit, health.now_s))
        (arrivals::sources(visit, &stats, health.now_s))
        h2 { (words.text("checked-title")) }
        p.quiet { (words.text("checked-hint")) }
        dl.facts {
            dt { (words.text("first-disk")) } dd { (checked(visit, &stats, Side::Own)) }
            @if stats.copy.is_some() { dt { (words.text("second-disk")) } dd { (checked(visit, &stats, Side::Copy)) } }
        }
        h2 { (words.text("updates-title")) }
        @match visit.site.machine() {
            Some(machine) => (updates::summary(visit, machine)),
            None => p { (words.filled("updates-none", &[("version", env!("CARGO_PKG_VERSION").into())])) }
        }
        h2 { (words.text("key-title")) }
        p { (words.text("key-hint")) }
        p.mono { (stats.key) }
    })
}

fn figures(visit: &Visit, stats: &Stats, daily_bytes: Option<u64>) -> Markup {
    let words = visit.words;
    let taken_bytes = stats.disk.volumes_bytes + stats.disk.catalog_bytes + stats.disk.index_bytes;
    let available_bytes = stats.disk.available_bytes;
    let forecast = forecast(available_bytes, daily_bytes);
    html! {
        dl.facts {
            dt { (words.text("messages")) } dd { (words.number(stats.totals.messages)) }
            dt { (words.text("arrivals")) } dd { (words.number(stats.totals.receptions)) }
            dt { (words.text("bytes-of-mail")) } dd { (words.size(stats.totals.message_bytes)) }
            dt { (words.text("bytes-on-disk")) } dd { (words.size(taken_bytes)) }
            dt { (words.text("bytes-left")) } dd { (words.size(available_bytes)) ", " (forecast_text(words, forecast)) }
            dt { (words.text("second-disk")) } dd { (second_disk(words, stats.copy.as_ref())) }
            dt { (words.text("found-up-to")) } dd { (index_text(words, stats)) }
            dt { (words.text("clock")) } dd { (clock_text(visit, stats)) }
        }
    }
}

fn forecast_text(words: &Words, forecast: Forecast) -> String {
    let days = match forecast {
        Forecast::TooYoung => return words.text("forecast-young"),
        Forecast::NoPace => return words.text("forecast-no-pace"),
        Forecast::Long => return words.text("forecast-long"),
        Forecast::Days(days) => days,
    };
    let months = days * 12 / 365;
    let (key, count) = match (days, months) {
        (..=DAYS_TOLD_MAX, _) => ("forecast-days", days),
        (_, ..=MONTHS_TOLD_MAX) => ("forecast-months", months),
        _ => ("forecast-years", days / 365),
    };
    words.filled(key, &[("count", count.into())])
}

fn index_text(words: &Words, stats: &Stats) -> String {
    let lag = stats.leaves.saturating_sub(stats.indexed);
    let values = [("count", lag.into()), ("shown", words.number(lag).into())];
    words.filled("index-lag", &values)
}

fn clock_text(visit: &Visit, stats: &Stats) -> String {
    let words = visit.words;
    let now = words.moment(visit.local_s(stats.clock.at_us.div_euclid(SECOND_US)));
    let key = match stats.clock.synchronised {
        true => "clock-synchronised",
        false => "clock-alone",
    };
    words.filled(key, &[("now", now.into())])
}

/// When a disk was read through, and with what result.
fn checked(visit: &Visit, stats: &Stats, side: Side) -> Markup {
    let words = visit.words;
    let read = match side {
        Side::Own => stats.read,
        Side::Copy => stats.copy_read,
    };
    let damage = stats.damage.iter().filter(|damaged| damaged.side == side);
    let damaged = damage.count();
    html! {
        (read_text(visit, read)) " "
        @if damaged > 0 { strong { (words.filled("checked-damage", &[("count", damaged.into())])) } }
        @else if read.read > 0 { (words.text("checked-whole")) }
    }
}

fn read_text(visit: &Visit, read: VolumesRead) -> String {
    let words = visit.words;
    let day = |at_us: i64| words.day(visit.local_s(at_us.div_euclid(SECOND_US)));
    match (read.sealed, read.oldest_us, read.newest_us) {
        (0, ..) => words.text("checked-nothing-sealed"),
        (sealed, Some(oldest_us), Some(newest_us)) => words.filled(
            "checked-read",
            &[
                ("read", words.number(read.read).into()),
                ("sealed", words.number(sealed).into()),
                ("oldest", day(oldest_us).into()),
                ("newest", day(newest_us).into()),
            ],
        ),
        _ => words.text("checked-never"),
    }
}

fn second_disk(words: &Words, copy: Option<&CopyStats>) -> String {
    words.text(match copy.map(|copy| &copy.state) {
        None => "second-disk-none",
        Some(None) => "second-disk-unknown",
        Some(Some(state)) => warnings::second_disk_key(state),
    })
}
