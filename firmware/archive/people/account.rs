//! Accounts: who somebody is, what is his, and whether it is open to him. No password and no secret is in here.

use std::collections::BTreeSet;
use std::fmt;

use super::{Action, Reach, Role, reach};
use crate::access::OwnAddress;

/// The number of an account, never used again; it is also the actor of records (FORMAT.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);

impl AccountId {
    /// The first number: those below are the archive's own actors.
    pub const FIRST: Self = Self(1024);
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One person's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// The name for signing in; it never changes.
    pub name: String,
    /// The name that others read.
    pub display_name: String,
    /// The roles.
    pub roles: BTreeSet<Role>,
    /// The addresses that are his, each in normal form with its time.
    pub addresses: Vec<OwnAddress>,
    /// Addresses that were his in any time, in normal form: they still get notices.
    pub former: BTreeSet<String>,
    /// Whether it can be used.
    pub state: State,
    /// What a reset by others closed; none if all that is his is open.
    pub lock: Option<Lock>,
    /// Whether signing in takes a second factor.
    pub has_second_factor: bool,
    /// Seconds that the archive must run until a privacy officer's approval shortens a notice.
    pub settles_in_s: u64,
    /// Fields of its record that this version does not know.
    pub unknown: Vec<(String, String)>,
}

/// Whether an account can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Active,
    /// It cannot for now.
    Disabled,
    /// It never will again.
    Removed,
}

/// What a password or second factor that others set has closed: mail that arrived before, and grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// When they set it, Unix seconds.
    pub since: i64,
    /// Whether the person has chosen a password of his own since; until then nothing at all is open.
    pub has_own_password: bool,
}

impl Account {
    /// Tells whether it has a role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Tells how far an action of this person reaches; nothing does while the account cannot be used.
    pub fn reach(&self, action: Action) -> Reach {
        match self.state {
            State::Active => reach(&self.roles, action),
            State::Disabled | State::Removed => Reach::No,
        }
    }

    /// Tells whether an address is or was his.
    pub fn knows(&self, address: &str) -> bool {
        self.former.contains(address)
    }

    /// Tells whether it is fit to speak for a change: in use, and its password surely the person's.
    pub(super) fn speaks(&self) -> bool {
        self.state == State::Active && self.lock.is_none()
    }

    /// Adds a time in which an address is his.
    pub(super) fn give(&mut self, own: &OwnAddress) {
        self.former.insert(own.address.clone());
        self.addresses.push(own.clone());
    }

    /// Takes an address away for a time, and keeps what lies before and after it.
    pub(super) fn take(&mut self, taken: &OwnAddress) {
        let left = |own: &OwnAddress| {
            if own.address != taken.address {
                return vec![own.clone()];
            }
            let before = OwnAddress {
                until: earlier(own.until, taken.from),
                ..own.clone()
            };
            let after = OwnAddress {
                from: own.from.max(taken.until),
                ..own.clone()
            };
            let mut left = Vec::new();
            left.extend(taken.from.is_some().then_some(before));
            left.extend(taken.until.is_some().then_some(after));
            left.retain(is_some_time);
            left.dedup();
            left
        };
        self.addresses = self.addresses.iter().flat_map(left).collect();
    }
}

/// Gives the earlier end; none is no end.
fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Tells whether the time of an address has at least a second.
pub(super) fn is_some_time(own: &OwnAddress) -> bool {
    own.from
        .zip(own.until)
        .is_none_or(|(from, until)| from < until)
}

#[cfg(test)]
mod tests {
    use super::super::tests::account;
    use super::*;

    type Period = (Option<i64>, Option<i64>);

    fn own((from, until): Period) -> OwnAddress {
        OwnAddress {
            address: "a@x.example".to_owned(),
            from,
            until,
        }
    }

    #[test]
    fn taking_leaves_what_lies_beside() {
        let rows: [(Period, Period, &[Period]); 8] = [
            ((None, None), (None, None), &[]),
            ((None, None), (Some(10), None), &[(None, Some(10))]),
            ((None, None), (None, Some(10)), &[(Some(10), None)]),
            (
                (None, None),
                (Some(10), Some(20)),
                &[(None, Some(10)), (Some(20), None)],
            ),
            (
                (Some(5), Some(15)),
                (Some(10), Some(20)),
                &[(Some(5), Some(10))],
            ),
            (
                (Some(15), Some(25)),
                (Some(10), Some(20)),
                &[(Some(20), Some(25))],
            ),
            ((Some(12), Some(18)), (Some(10), Some(20)), &[]),
            (
                (Some(1), Some(5)),
                (Some(10), Some(20)),
                &[(Some(1), Some(5))],
            ),
        ];
        for (has, taken, left) in rows {
            let mut one = account(1);
            one.give(&own(has));
            one.take(&own(taken));
            let left: Vec<_> = left.iter().copied().map(own).collect();
            assert_eq!(one.addresses, left, "{taken:?} of {has:?}");
            assert!(one.knows("a@x.example"));
            for at in 0..30 {
                let mine = one.addresses.iter().any(|own| own.is_own_at(at));
                let expected = own(has).is_own_at(at) && !own(taken).is_own_at(at);
                assert_eq!(mine, expected, "{taken:?} of {has:?} at {at}");
            }
        }
    }
}
