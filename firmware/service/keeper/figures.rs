//! The figures that warnings hang on, gathered by the owner of the archive; what is wrong with them says [`crate::health`].

use super::{Failure, LocalKeeper};
use crate::health::Figures;
use archive::EventKind;
use std::sync::{Mutex, PoisonError};
use store::LeafBody;

/// 50,000 numbers of the log are looked through for alarms after a start, some 100 ms; later only what is new.
const LOOKED_THROUGH_MAX: u64 = 50_000;

/// 200 numbers, the newest, are looked through for the last arrival: beside mail only the log takes any.
const ARRIVAL_LOOKED_THROUGH_MAX: u64 = 200;

/// What was seen of the log so far.
#[derive(Default)]
pub(super) struct LogWatch(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// The first number that was not looked at.
    next: u64,
    /// The newest alarm: when, Unix seconds, and what it says.
    alarm: Option<(i64, String)>,
}

impl LocalKeeper {
    /// Gives the figures that warnings hang on.
    pub(super) fn figures(&self) -> Result<Figures, Failure> {
        let stats = self.stats()?;
        let refusal = self.store().takes_mail().err();
        Ok(Figures {
            now_s: self.store().now().at_us.div_euclid(1_000_000),
            messages: stats.totals.messages,
            refusal: refusal.map(|error| store::chain(&error)),
            available_bytes: stats.disk.available_bytes,
            second_disk: stats.copy.and_then(|copy| copy.state),
            damaged_places: stats.damage.len() as u64,
            alarm: self.newest_alarm()?,
            unindexed: stats.leaves.saturating_sub(stats.indexed),
            certificate_ends_at_s: self.own_certificate()?.map(|own| own.ends_at_s),
            outgoing_failure: self.outgoing_failure().now(),
            ..Figures::default()
        })
    }

    fn newest_alarm(&self) -> Result<Option<(i64, String)>, Failure> {
        let (leaves, _) = self.store().progress()?;
        let mut seen = self
            .log_watch()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let from = seen
            .next
            .max(leaves.saturating_sub(LOOKED_THROUGH_MAX))
            .max(1);
        let mut newest = None;
        self.store().events(from..leaves + 1, |head, event| {
            if event.kind == EventKind::Alarm {
                newest = Some((head.moment.at_us.div_euclid(1_000_000), event.text));
            }
        })?;
        seen.next = leaves + 1;
        if newest.is_some() {
            seen.alarm = newest;
        }
        Ok(seen.alarm.clone())
    }
}

impl LocalKeeper {
    /// Gives when mail arrived last, Unix seconds, and the server that brought it; none when there is none among the newest numbers.
    pub(super) fn newest_arrival(&self) -> Result<Option<(i64, String)>, Failure> {
        let (leaves, _) = self.store().progress()?;
        let oldest = leaves.saturating_sub(ARRIVAL_LOOKED_THROUGH_MAX);
        for number in (oldest + 1..=leaves).rev() {
            let Ok(stored) = self.store().leaf(number) else {
                continue;
            };
            let LeafBody::Reception { reception, .. } = stored.leaf.body else {
                continue;
            };
            let server = reception.envelope.map_or_else(String::new, |envelope| {
                format!("{} ({})", envelope.helo, envelope.peer)
            });
            let at_s = stored.leaf.head.moment.at_us.div_euclid(1_000_000);
            return Ok(Some((at_s, server)));
        }
        Ok(None)
    }
}
