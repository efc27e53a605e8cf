//! Pages of the audit log, as far as somebody may read it; the rules are [`archive::people`]'s table.

use super::messages::{AuditFilter, AuditPage, Denial, PeopleAnswer};
use archive::people::{Account, Action, Reach, Refusal};
use archive::{Event, EventKind};
use store::{LeafHead, Store};

/// 500 entries a page at most.
const ENTRIES_MAX: u32 = 500;

/// 50,000 numbers are looked through for a page, some 100 ms; the next page goes on where it stopped.
const LOOKED_THROUGH_MAX: u64 = 50_000;

/// 2,000 numbers are looked through at once, so that a page of a busy log reads little more than it shows.
const STEP: u64 = 2_000;

/// Gives a page of the log, the newest entries first.
pub(super) fn page(
    store: &Store,
    account: &Account,
    before: Option<u64>,
    limit: u32,
    filter: &AuditFilter,
) -> Result<PeopleAnswer, Denial> {
    let reach = account.reach(Action::ReadAuditLog);
    if reach < Reach::Own {
        return Err(Refusal::MayNot.into());
    }
    let (leaves, _) = store.progress()?;
    let limit = limit.clamp(1, ENTRIES_MAX) as usize;
    let first = before.unwrap_or(u64::MAX).min(leaves + 1);
    let last = first.saturating_sub(LOOKED_THROUGH_MAX).max(1);
    let mut page = AuditPage::default();
    let mut until = first;
    while until > last && page.entries.len() < limit {
        let from = until.saturating_sub(STEP).max(last);
        let mut found = Vec::new();
        store.events(from..until, |head, event| {
            if filter.admits(&event) && (reach > Reach::Own || is_own(&head, account)) {
                let shown = store::encode_event(&shown(event, reach));
                found.push((head.sequence, head.moment.at_us, shown));
            }
        })?;
        found.reverse();
        page.entries.extend(found);
        until = from;
    }
    if page.entries.len() > limit {
        page.entries.truncate(limit);
        until = page.entries.last().map_or(until, |(number, ..)| *number);
    }
    page.before = (until > 1).then_some(until);
    Ok(PeopleAnswer::AuditLog(page))
}

impl AuditFilter {
    fn admits(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind.number()))
            && (self.account.is_empty() || self.account == event.account)
    }
}

fn is_own(head: &LeafHead, account: &Account) -> bool {
    head.actor == account.id.0
}

/// Gives an entry as it is shown: the register's records stay in the log, and an outline tells neither what somebody looked
/// for nor which messages he saw.
fn shown(event: Event, reach: Reach) -> Event {
    let mut shown = Event {
        records: Vec::new(),
        ..event
    };
    let is_of_mail = matches!(
        shown.kind,
        EventKind::Viewed | EventKind::Searched | EventKind::Exported | EventKind::CommandRun
    );
    if reach == Reach::Outline && is_of_mail {
        // Of a command its name is left: "coffer search".
        let words = shown.text.split(' ').take(2).collect::<Vec<_>>().join(" ");
        shown.text = if shown.kind == EventKind::CommandRun {
            words
        } else {
            String::new()
        };
        shown.subjects = Vec::new();
    }
    shown
}
