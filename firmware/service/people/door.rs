//! The door: what everybody passes who wants in, one at a time, with delays after failures.
//!
//! Names that exist and names that do not take the same way and the same time. What is right or wrong is not decided here.

use super::messages::{Denial, Token};
use archive::people::{AccountId, SignInDelays};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// 16 wait at the door at most, each behind hashes of some 50 ms; others are told to come again in a second.
const WAITING_MAX: usize = 16;

/// 5 minutes from the password to the code.
const CODE_WITHIN: Duration = Duration::from_secs(300);

/// 5 codes a password: then it has to be given again.
const CODES_MAX: u32 = 5;

/// 1,000 passwords that wait for their code; beyond, the oldest are forgotten.
const PENDING_MAX: usize = 1_000;

/// 60 failures at once are entries of the log of their own.
const LOGGED_BURST: u32 = 60;

/// 1 more each minute, 1,440 a day, some 300 KB: nobody fills the disk by failing. The others are counted in the next entry.
const LOGGED_AGAIN: Duration = Duration::from_secs(60);

/// The door.
pub(super) struct Door {
    gate: Mutex<Gate>,
    waiting: AtomicUsize,
    opened: Instant,
}

/// What is known of those who tried; whoever holds it is the one who tries now.
#[derive(Default)]
pub(super) struct Gate {
    delays: SignInDelays,
    /// Right passwords that wait for their code, by the digest of their token.
    pending: BTreeMap<[u8; 32], Pending>,
    logged: u32,
    logged_since: Duration,
    unlogged: u64,
}

struct Pending {
    account: AccountId,
    since: Duration,
    codes: u32,
}

impl Door {
    /// Makes a door that nobody has tried.
    pub(super) fn new() -> Self {
        Self {
            gate: Mutex::default(),
            waiting: AtomicUsize::new(0),
            opened: Instant::now(),
        }
    }

    /// Waits for one's turn.
    ///
    /// # Errors
    /// `Wait` when too many wait already.
    pub(super) fn enter(&self) -> Result<MutexGuard<'_, Gate>, Denial> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(Denial::Wait { seconds: 1 });
        }
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(gate)
    }

    /// The time since the door was made, by a clock that nobody sets.
    pub(super) fn now(&self) -> Duration {
        self.opened.elapsed()
    }
}

impl Gate {
    /// Tells whether somebody may try now.
    ///
    /// # Errors
    /// `Wait` with the seconds that are left.
    pub(super) fn may_try(&self, name: &str, peer: &str, now: Duration) -> Result<(), Denial> {
        let wait = self.delays.wait(name, &place(peer), now);
        if wait.is_zero() {
            return Ok(());
        }
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(Denial::Wait { seconds })
    }

    /// Notes a failure. Tells whether it gets an entry of the log, and how many others there were that did not.
    pub(super) fn failed(&mut self, name: &str, peer: &str, now: Duration) -> Option<u64> {
        self.delays.failed(name, &place(peer), now);
        let again = now.saturating_sub(self.logged_since).as_secs() / LOGGED_AGAIN.as_secs();
        if again > 0 {
            self.logged = self
                .logged
                .saturating_sub(u32::try_from(again).unwrap_or(u32::MAX));
            self.logged_since = now;
        }
        if self.logged >= LOGGED_BURST {
            self.unlogged += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.unlogged))
    }

    /// Notes that somebody is in.
    pub(super) fn succeeded(&mut self, name: &str) {
        self.delays.succeeded(name);
    }

    /// Keeps in mind that a password was right, until its code comes.
    pub(super) fn awaits_code(&mut self, account: AccountId, now: Duration) -> Token {
        self.pending
            .retain(|_, pending| now.saturating_sub(pending.since) < CODE_WITHIN);
        if self.pending.len() >= PENDING_MAX {
            let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.since);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                self.pending.remove(&oldest);
            }
        }
        let token = Token(store::random());
        let pending = Pending {
            account,
            since: now,
            codes: 0,
        };
        self.pending.insert(digest(token), pending);
        token
    }

    /// Gives the account that a code is for, and counts the try; none when the password has to be given again.
    pub(super) fn tries_code(&mut self, token: Token, now: Duration) -> Option<AccountId> {
        let pending = self.pending.get_mut(&digest(token))?;
        pending.codes += 1;
        let is_open = now.saturating_sub(pending.since) < CODE_WITHIN && pending.codes <= CODES_MAX;
        let account = pending.account;
        if !is_open {
            self.pending.remove(&digest(token));
        }
        is_open.then_some(account)
    }

    /// Forgets a right password whose code came.
    pub(super) fn code_was_right(&mut self, token: Token) {
        self.pending.remove(&digest(token));
    }
}

fn digest(token: Token) -> [u8; 32] {
    store::sha256(&token.0).0
}

/// Gives what a delay is for: an IPv4 address, or the network of an IPv6 one, in which everybody has addresses without number.
fn place(peer: &str) -> String {
    match peer.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => format!("{:x?}", &address.segments()[..4]),
        Ok(address) => address.to_string(),
        Err(_) => peer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_addresses_is_one_peer() {
        for (one, other, expected) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("x", "x", true),
        ] {
            assert_eq!(place(one) == place(other), expected, "{one} {other}");
        }
    }

    #[test]
    fn failures_fill_no_disk_and_none_is_forgotten() {
        let mut gate = Gate::default();
        let mut fail = |name: usize, at_s| {
            gate.failed(
                &name.to_string(),
                &name.to_string(),
                Duration::from_secs(at_s),
            )
        };
        let logged = (0..200).filter(|name| fail(*name, 1).is_some()).count();
        assert_eq!(logged, LOGGED_BURST as usize);
        assert_eq!(
            fail(300, 62),
            Some(140),
            "the next entry counts those without one"
        );
        assert_eq!(fail(301, 62), None);
    }

    #[test]
    fn a_right_password_is_good_for_five_codes_and_minutes() {
        let start = Duration::from_secs(10);
        let mut gate = Gate::default();
        let token = gate.awaits_code(AccountId(1024), start);
        for _ in 0..CODES_MAX {
            assert_eq!(gate.tries_code(token, start), Some(AccountId(1024)));
        }
        assert_eq!(gate.tries_code(token, start), None);
        let token = gate.awaits_code(AccountId(1024), start);
        assert_eq!(gate.tries_code(token, start + CODE_WITHIN), None);
        for _ in 0..PENDING_MAX + 5 {
            gate.awaits_code(AccountId(1024), start);
        }
        assert_eq!(gate.pending.len(), PENDING_MAX);
        assert_eq!(gate.tries_code(Token([0; 32]), start), None);
    }
}
