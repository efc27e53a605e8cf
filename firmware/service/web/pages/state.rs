//! How the archive is, for the operator: how much there is, what follows, what is wrong and what to do. No mail is shown.

use super::super::{Response, visit::Visit, words::Words};
use super::layout::Width;
use crate::keeper::messages::{CopyStats, Stats};
use archive::people::{Action, Reach, reach};
use maud::{Markup, html};
use std::collections::BTreeSet;
use store::CopyState;

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
    let words = visit.words;
    let stats = match visit.site.keeper.stats() {
        Ok(stats) => stats,
        Err(failure) => return visit.failed(&failure),
    };
    let warnings = warnings(visit, &stats);
    let bytes = stats.disk.volumes_bytes + stats.disk.catalog_bytes + stats.disk.index_bytes;
    let content = html! {
        @if warnings.is_empty() { p.note.good role="status" { (words.text("all-is-well")) } }
        @for warning in &warnings { p.trouble role="alert" { (warning) } }
        div.sheet { dl.facts {
            dt { (words.text("messages")) } dd { (words.number(stats.totals.messages)) }
            dt { (words.text("arrivals")) } dd { (words.number(stats.totals.receptions)) }
            dt { (words.text("bytes-of-mail")) } dd { (words.size(stats.totals.message_bytes)) }
            dt { (words.text("bytes-on-disk")) } dd { (words.size(bytes)) }
            dt { (words.text("bytes-left")) } dd { (words.size(stats.disk.available_bytes)) }
            dt { (words.text("second-disk")) } dd { (second_disk(words, stats.copy.as_ref())) }
            dt { (words.text("found-up-to")) } dd { (words.number(stats.indexed)) " / " (words.number(stats.leaves)) }
        } }
        h2 { (words.text("key-title")) }
        p { (words.text("key-hint")) }
        p.mono { (stats.key) }
    };
    visit.page(200, &words.text("state"), Width::Wide, content)
}

/// What is wrong, in words that say what to do.
fn warnings(visit: &Visit, stats: &Stats) -> Vec<String> {
    let words = visit.words;
    let mut warnings = Vec::new();
    let state = stats.copy.as_ref().and_then(|copy| copy.state.as_ref());
    let lacking = match state {
        Some(CopyState::Detached { .. }) => Some("warning-detached"),
        Some(CopyState::Diverged) => Some("warning-diverged"),
        Some(CopyState::TooSmall { .. }) => Some("warning-too-small"),
        _ => None,
    };
    warnings.extend(lacking.map(|key| words.text(key)));
    if stats.totals.messages == 0 {
        warnings.push(words.text("warning-no-mail"));
    }
    warnings
}

fn second_disk(words: &Words, copy: Option<&CopyStats>) -> Markup {
    let text = match copy.map(|copy| &copy.state) {
        None => words.text("second-disk-none"),
        Some(None) => words.text("second-disk-unknown"),
        Some(Some(CopyState::InStep)) => words.text("second-disk-in-step"),
        Some(Some(CopyState::CatchingUp { .. })) => words.text("second-disk-catching-up"),
        Some(Some(CopyState::Detached { .. })) => words.text("second-disk-detached"),
        Some(Some(CopyState::Diverged)) => words.text("second-disk-diverged"),
        Some(Some(CopyState::TooSmall { .. })) => words.text("second-disk-too-small"),
    };
    html! { (text) }
}
