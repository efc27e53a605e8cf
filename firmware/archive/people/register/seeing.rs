//! What somebody may see, as the [`Asker`] that every query of his carries.

use super::{Account, AccountId, Action, Reach, Register};
use crate::access::{Asker, OwnAddress, Scope};

impl Register {
    /// Gives what somebody may see at a time, Unix seconds; nothing without an account in use.
    pub fn asker(&self, id: AccountId, now: i64) -> Asker {
        let Some(account) = self.accounts.get(&id) else {
            return Asker::Nobody;
        };
        if account.lock.is_some_and(|lock| !lock.has_own_password) {
            return Asker::Nobody;
        }
        let addresses = match account.reach(Action::SearchMail) {
            Reach::Own => open_addresses(account),
            Reach::Granted => Vec::new(),
            _ => return Asker::Nobody,
        };
        let scopes = self.open_scopes(account, now);
        match (addresses.is_empty(), scopes.is_empty()) {
            (true, true) => Asker::Nobody,
            (false, true) => Asker::Person { addresses },
            (_, false) => Asker::Granted { addresses, scopes },
        }
    }

    fn open_scopes(&self, account: &Account, now: i64) -> Vec<Scope> {
        if account.lock.is_some() {
            return Vec::new();
        }
        // A clock that was set back opens no grant that was over.
        let now = self.latest.max(now);
        let grants = self.grants.values();
        let open = grants.filter(|grant| grant.account == account.id && grant.is_open_at(now));
        open.map(|grant| grant.terms.scope.clone()).collect()
    }
}

/// Gives the addresses of somebody, without the time before others set his password.
fn open_addresses(account: &Account) -> Vec<OwnAddress> {
    let since = account.lock.map(|lock| lock.since);
    let open = |own: &OwnAddress| OwnAddress {
        from: own.from.max(since),
        ..own.clone()
    };
    account.addresses.iter().map(open).collect()
}
