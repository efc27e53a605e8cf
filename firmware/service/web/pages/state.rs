//! How the archive is, for the operator: how much there is, what follows, what is wrong and what to do. No mail is shown.

use super::super::{Response, visit::Visit, warnings, words::Words};
use super::layout::Width;
use crate::health;
use crate::keeper::messages::CopyStats;
use archive::people::{Action, Reach, reach};
use maud::{Markup, html};
use std::collections::BTreeSet;

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
    let figures = match visit.site.keeper.health() {
        Ok(figures) => figures,
        Err(failure) => return visit.failed(&failure),
    };
    let found = health::warnings(&figures);
    let bytes = stats.disk.volumes_bytes + stats.disk.catalog_bytes + stats.disk.index_bytes;
    let content = html! {
        @if found.is_empty() { p.note.good role="status" { (words.text("all-is-well")) } }
        @for warning in &found { p.trouble role="alert" { (warnings::in_words(words, visit.zone(), warning)) } }
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

fn second_disk(words: &Words, copy: Option<&CopyStats>) -> Markup {
    let key = match copy.map(|copy| &copy.state) {
        None => "second-disk-none",
        Some(None) => "second-disk-unknown",
        Some(Some(state)) => warnings::second_disk_key(state),
    };
    html! { (words.text(key)) }
}
