//! What somebody may see, as the [`Asker`] that every query of his carries.

use super::{Account, AccountId, Action, Reach, Register, Role, State};
use crate::access::{Asker, OwnAddress, Scope};
use crate::people::may;

impl Register {
    /// Gives what somebody may see at a time, Unix seconds; nothing without an account in use.
    pub fn asker(&self, id: AccountId, now: i64) -> Asker {
        let reach = |account: &Account| account.reach(Action::SearchMail);
        self.asker_reaching(id, now, reach)
    }

    /// Gives what a program sees with a token that is bound to one role of somebody; nothing if he has it no longer.
    pub fn asker_in_role(&self, id: AccountId, role: Role, now: i64) -> Asker {
        if !self.lends(id, role) {
            return Asker::Nobody;
        }
        self.asker_reaching(id, now, |_| may(role, Action::SearchMail))
    }

    /// Tells whether a token that is bound to a role of somebody stands for anything now.
    pub fn lends(&self, id: AccountId, role: Role) -> bool {
        self.accounts.get(&id).is_some_and(|account| {
            account.state == State::Active
                && account.is(role)
                && account.lock.is_none_or(|lock| lock.has_own_password)
        })
    }

    fn asker_reaching(&self, id: AccountId, now: i64, reach: impl Fn(&Account) -> Reach) -> Asker {
        let Some(account) = self.accounts.get(&id) else {
            return Asker::Nobody;
        };
        if account.lock.is_some_and(|lock| !lock.has_own_password) {
            return Asker::Nobody;
        }
        let addresses = match reach(account) {
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

#[cfg(test)]
mod tests {
    use super::super::super::tests::account;
    use super::super::Lock;
    use super::*;

    #[test]
    fn a_token_sees_what_its_role_sees_now_and_no_more() {
        let id = AccountId(1024);
        let mut kim = account(id.0);
        kim.roles = [Role::Staff, Role::Operator].into();
        kim.give(&OwnAddress {
            address: "kim@x.example".to_owned(),
            from: None,
            until: None,
        });
        let mut register = Register::default();
        register.accounts.insert(id, kim.clone());
        let own = register.asker(id, 0);
        assert_ne!(own, Asker::Nobody);
        let check = |account: &Account, role, expected: &Asker| {
            let mut register = register.clone();
            register.accounts.insert(id, account.clone());
            assert_eq!(register.asker_in_role(id, role, 0), *expected, "{role:?}");
        };
        check(&kim, Role::Staff, &own);
        check(&kim, Role::Operator, &Asker::Nobody);
        check(&kim, Role::Auditor, &Asker::Nobody);
        let without = Account {
            roles: [Role::Operator].into(),
            ..kim.clone()
        };
        check(&without, Role::Staff, &Asker::Nobody);
        let disabled = Account {
            state: State::Disabled,
            ..kim.clone()
        };
        check(&disabled, Role::Staff, &Asker::Nobody);
        let reset = Account {
            lock: Some(Lock {
                since: 5,
                has_own_password: false,
            }),
            ..kim
        };
        check(&reset, Role::Staff, &Asker::Nobody);
    }
}
