//! A change that waits: for a second person, or for its notices and its day.

use super::{AccountId, Change};

/// A day, in seconds that the archive runs: so long must a notice stand where nobody can approve.
pub const NOTICE_S: u64 = 86_400;

/// 30 days: so long must a notice stand that ends or resets a privacy officer, who may be on holiday.
pub const OFFICE_NOTICE_S: u64 = 30 * NOTICE_S;

/// 30 days: so long does another way for notices stand on every page where nobody is privacy officer and notices cannot go
/// out, as when the mail server is gone for good; within them most people sign in once.
pub const ROUTE_SHOWN_S: u64 = 30 * NOTICE_S;

/// A week: so long is a privacy officer known to everybody before his approval shortens a notice, if no other
/// officer had approved him.
pub const OFFICE_SETTLES_S: u64 = 7 * NOTICE_S;

/// 60 days after which a proposal that found no approval is dropped; then none waits for ever.
pub(super) const LAPSE_S: u64 = 60 * NOTICE_S;

/// A change that somebody proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number, never used again.
    pub number: u64,
    /// What is to change.
    pub change: Change,
    /// Who proposed it.
    pub proposed_by: AccountId,
    /// When, Unix seconds, for people to read; nothing is reckoned from it.
    pub proposed_at: i64,
    /// Why.
    pub reason: String,
    /// A privacy officer, not long in office, who is in favour; the notice stands all the same.
    pub favoured_by: Option<AccountId>,
    /// Somebody concerned who objected: then only approval helps.
    pub objected_by: Option<AccountId>,
    /// Whom to tell.
    pub notices: Vec<Notice>,
    /// Seconds that the archive ran since all notices were given, as long as waiting helps at all.
    pub waited_s: u64,
    /// Seconds that the archive ran while everybody could read of it on every page, for what takes effect by that.
    pub shown_s: u64,
    /// Seconds that the archive ran since it was proposed.
    pub age_s: u64,
    /// Fields of its record that this version does not know.
    pub unknown: Vec<(String, String)>,
}

/// A notice to an address concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The address.
    pub address: String,
    /// Whether it was handed over for delivery.
    pub is_given: bool,
}

impl Proposal {
    /// Lets it grow older; longer waited for only if waiting helps and all notices are given, longer shown only if that helps.
    pub(super) fn passes(&mut self, seconds: u64, waiting_helps: bool, showing_helps: bool) {
        self.age_s = self.age_s.saturating_add(seconds);
        self.shown_s = match showing_helps {
            true => self.shown_s.saturating_add(seconds),
            false => 0,
        };
        if !waiting_helps {
            self.waited_s = 0;
        } else if self.notices.iter().all(|notice| notice.is_given) {
            self.waited_s = self.waited_s.saturating_add(seconds);
        }
    }

    /// Begins to wait anew, with new notices.
    pub(super) fn restart(&mut self) {
        self.waited_s = 0;
        self.shown_s = 0;
        for notice in &mut self.notices {
            notice.is_given = false;
        }
    }
}
