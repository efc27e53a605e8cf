//! How long somebody must wait before he may try to sign in again, for each account and each peer.
//!
//! It counts failures and asks no clock: times come in as the time since some fixed moment, from a clock that nobody
//! sets. An account is never closed by failures, or else anybody could close it.

use std::collections::BTreeMap;
use std::time::Duration;

/// 3 failures are free: people mistype.
const FREE: u32 = 3;

/// 1 second after the first that is not free, doubled by each further one.
const FIRST: Duration = Duration::from_secs(1);

/// 1 minute for an account: some 1,400 guesses a day, and who shares its name with an attacker still gets in.
const ACCOUNT_MAX: Duration = Duration::from_secs(60);

/// 15 minutes for a peer, which no honest one reaches.
const PEER_MAX: Duration = Duration::from_secs(15 * 60);

/// After 1 day without a failure all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(86_400);

/// 10,000 accounts and as many peers are remembered, 1 MB or so; beyond, those that failed longest ago are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// The failures of late.
#[derive(Clone, Debug, Default)]
pub struct SignInDelays {
    accounts: BTreeMap<String, Failures>,
    peers: BTreeMap<String, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Duration,
}

impl SignInDelays {
    /// Tells how long to wait before the next try; zero for now. The password must not be looked at before.
    pub fn wait(&self, account: &str, peer: &str, now: Duration) -> Duration {
        let account = self.accounts.get(&account.to_lowercase());
        let peer = self.peers.get(peer);
        let left = |failures: Option<&Failures>, max| {
            failures.map_or(Duration::ZERO, |failures| failures.left(max, now))
        };
        left(account, ACCOUNT_MAX).max(left(peer, PEER_MAX))
    }

    /// Notes a failure, whether or not there is such an account.
    pub fn failed(&mut self, account: &str, peer: &str, now: Duration) {
        note(&mut self.accounts, account.to_lowercase(), now);
        note(&mut self.peers, peer.to_owned(), now);
    }

    /// Notes a success: the account's failures are forgotten, but not the peer's, who may have an account of his own
    /// to wipe them out with.
    pub fn succeeded(&mut self, account: &str) {
        self.accounts.remove(&account.to_lowercase());
    }
}

impl Failures {
    fn left(self, max: Duration, now: Duration) -> Duration {
        let Some(doublings) = self.count.checked_sub(FREE + 1) else {
            return Duration::ZERO;
        };
        let delay = FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        self.last.saturating_add(delay.min(max)).saturating_sub(now)
    }
}

fn note(all: &mut BTreeMap<String, Failures>, who: String, now: Duration) {
    let is_fresh = |failures: &Failures| now < failures.last.saturating_add(FORGOTTEN);
    let before = all.get(&who).filter(|failures| is_fresh(failures));
    let count = before
        .map_or(0, |failures| failures.count)
        .saturating_add(1);
    if all.len() >= REMEMBERED_MAX && !all.contains_key(&who) {
        let oldest = all.iter().min_by_key(|(_, failures)| failures.last);
        if let Some(oldest) = oldest.map(|(who, _)| who.clone()) {
            all.remove(&oldest);
        }
    }
    all.insert(who, Failures { count, last: now });
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failing(times: usize) -> SignInDelays {
        let mut delays = SignInDelays::default();
        for _ in 0..times {
            delays.failed("Anna", "192.0.2.1", s(100));
        }
        delays
    }

    #[test]
    fn waiting_doubles_up_to_its_most() {
        for (failures, account, peer) in [
            (0, 0, 0),
            (3, 0, 0),
            (4, 1, 1),
            (5, 2, 2),
            (9, 32, 32),
            (10, 60, 64),
            (13, 60, 512),
            (14, 60, 900),
            (100, 60, 900),
        ] {
            let delays = failing(failures);
            assert_eq!(
                delays.wait("anna", "192.0.2.2", s(100)),
                s(account),
                "{failures}"
            );
            assert_eq!(
                delays.wait("bernd", "192.0.2.1", s(100)),
                s(peer),
                "{failures}"
            );
            assert_eq!(
                delays.wait("bernd", "192.0.2.2", s(100)),
                s(0),
                "{failures}"
            );
        }
        let delays = failing(5);
        assert_eq!(delays.wait("anna", "", s(101)), s(1));
        assert_eq!(delays.wait("anna", "", s(102)), s(0));
    }

    #[test]
    fn success_frees_the_account_and_not_the_peer() {
        let mut delays = failing(10);
        delays.succeeded("ANNA");
        assert_eq!(delays.wait("anna", "192.0.2.2", s(100)), s(0));
        assert_eq!(delays.wait("anna", "192.0.2.1", s(100)), s(64));
    }

    #[test]
    fn a_day_later_all_is_forgotten() {
        let mut delays = failing(10);
        delays.failed("anna", "192.0.2.1", s(100) + FORGOTTEN);
        assert_eq!(delays.wait("anna", "192.0.2.1", s(100) + FORGOTTEN), s(0));
    }

    #[test]
    fn no_more_are_remembered_than_the_limit() {
        let mut delays = failing(10);
        for number in 0..REMEMBERED_MAX as u64 {
            delays.failed(&number.to_string(), &number.to_string(), s(200 + number));
        }
        assert_eq!(delays.accounts.len(), REMEMBERED_MAX);
        assert_eq!(delays.peers.len(), REMEMBERED_MAX);
        assert_eq!(
            delays.wait("anna", "192.0.2.1", s(200)),
            s(0),
            "the oldest one is gone"
        );
    }
}
