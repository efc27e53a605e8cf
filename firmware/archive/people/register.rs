//! All accounts, proposals and grants, and the one way to change them; [`super`] has the rules in words.
//!
//! Whoever calls has checked that `by` is really who asks. Each call gives the audit log's entries for what it did; they
//! must be durable before its effect is.

mod effect;
mod keeping;
mod proposing;
mod seeing;

pub use keeping::RecordChange;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Account, AccountId, Action, Change, Grant, Lock, Proposal, Reach, RecordError, Role, State,
    Step,
};
use crate::{Event, EventKind};

/// 10,000 accounts, removed ones included: a hundred times an office; each costs a record.
const ACCOUNTS_MAX: usize = 10_000;

/// 1,000 proposals that wait: an import of a whole office; more would bury the one that matters.
const PROPOSALS_MAX: usize = 1_000;

/// 2 MiB of all that waits together: one entry of the log can hold it when all waiting begins anew.
const PROPOSALS_BYTES_MAX: usize = 2 << 20;

/// 1,000 characters of a reason or of where notices go.
const TEXT_CHARS_MAX: usize = 1_000;

/// 1,000 times of addresses an account may have: each is a clause of every search of his.
const ADDRESSES_MAX: usize = 1_000;

/// An hour, the most seconds that one call lets pass: a counter that leaps is not believed.
const PASS_S_MAX: u64 = 3_600;

/// 100 characters of a name, which has to fit on a line.
const NAME_CHARS_MAX: usize = 100;

/// All who may do or see something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    /// Accounts by number, removed ones too.
    pub accounts: BTreeMap<AccountId, Account>,
    /// What waits, by number.
    pub proposals: BTreeMap<u64, Proposal>,
    /// What was released, by number, ended grants too.
    pub grants: BTreeMap<u64, Grant>,
    /// The highest number that a proposal or grant ever had.
    pub last_number: u64,
    /// The latest time ever seen, Unix seconds: a clock that is set back opens nothing.
    pub latest: i64,
    /// Where and how notices go out, as the change that took effect last says; empty as long as there was none.
    pub notice_route: String,
    /// Fields of its own record that this version does not know.
    pub unknown: Vec<(String, String)>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Done(Vec<Event>),
    /// It waits under this number.
    Waits(u64, Vec<Event>),
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The role does not reach so far, or the account is not open.
    #[error("this account may not do that")]
    MayNot,
    /// There is no such account, proposal or grant.
    #[error("there is no such thing")]
    Unknown,
    /// The change makes no sense as things are.
    #[error("this changes nothing or cannot be")]
    Unsound,
    /// A name is taken, or was in any time, or cannot be one.
    #[error("the name cannot be used")]
    Name,
    /// The roles exclude each other.
    #[error("these roles do not go together")]
    Roles,
    /// There would be no operator.
    #[error("somebody must remain operator")]
    LastOperator,
    /// Nobody of the two is a privacy officer who may approve this.
    #[error("a privacy officer who gains nothing by it must be one of the two")]
    NoOfficer,
    /// The same person twice, or the one who gains.
    #[error("a second person must approve")]
    NotSecond,
    /// The person must choose a password of his own first.
    #[error("the person must choose a password first")]
    NoOwnPassword,
    /// A proposal waits for this account.
    #[error("a proposal waits for this account")]
    Waiting,
    /// A limit is reached.
    #[error("too many")]
    TooMany,
}

impl Register {
    /// Makes the first account, an operator, for whoever gave the claim code.
    ///
    /// # Errors
    ///
    /// If there is an account already, or the name cannot be one.
    pub fn claim(&mut self, name: &str, now: i64) -> Result<(AccountId, Vec<Event>), Refusal> {
        if !self.accounts.is_empty() {
            return Err(Refusal::MayNot);
        }
        self.latest = self.latest.max(now);
        let id = self.add_account(name, None)?;
        let account = self.account_mut(id)?;
        account.roles.insert(Role::Operator);
        let text = format!("account {id}: made with role operator: {name}");
        Ok((id, vec![event(EventKind::AccountChanged, name, text)]))
    }

    /// Makes an account with no role and no address, whose password others set.
    ///
    /// # Errors
    ///
    /// If `by` may not, the name was ever used, or there are too many.
    pub fn make_account(
        &mut self,
        by: AccountId,
        name: &str,
        now: i64,
    ) -> Result<(AccountId, Vec<Event>), Refusal> {
        self.demand(by, Action::NarrowRights, Reach::Alone)?;
        self.latest = self.latest.max(now);
        let lock = Lock {
            since: self.latest,
            has_own_password: false,
        };
        let id = self.add_account(name, Some(lock))?;
        let text = format!("account {id}: made: {name}");
        Ok((id, vec![self.event(EventKind::AccountChanged, by, text)]))
    }

    /// Notes that others make a password for an account whose person has none of his own: a first one, or one after a reset.
    ///
    /// # Errors
    ///
    /// If `by` may not, or the person has a password.
    pub fn issue_password(&mut self, by: AccountId, id: AccountId) -> Result<Vec<Event>, Refusal> {
        self.demand(by, Action::NarrowRights, Reach::Alone)?;
        let lock = self.own_account(id)?.lock;
        if lock.is_none_or(|lock| lock.has_own_password) {
            return Err(Refusal::Unsound);
        }
        let text = format!("account {id}: got a password from others");
        Ok(vec![self.event(EventKind::AccountChanged, by, text)])
    }

    /// Gives the proposals that somebody may know of: all for who approves such, for others their own and those that
    /// concern them.
    pub fn proposals_for(&self, id: AccountId) -> Vec<&Proposal> {
        let Some(account) = self.accounts.get(&id) else {
            return Vec::new();
        };
        let approves = account.reach(Action::WidenRights) >= Reach::Together;
        let knows = |proposal: &&Proposal| {
            approves || proposal.proposed_by == id || self.concerns(&proposal.change, account)
        };
        self.proposals.values().filter(knows).collect()
    }

    /// Gives the proposals that somebody may object to: those that concern him or that he answers for, others' and not objected to yet.
    pub fn objectionable_for(&self, id: AccountId) -> Vec<&Proposal> {
        let Some(account) = self.accounts.get(&id) else {
            return Vec::new();
        };
        let is_open = |proposal: &&Proposal| {
            proposal.objected_by.is_none()
                && proposal.proposed_by != id
                && self.may_object(&proposal.change, account)
        };
        self.proposals.values().filter(is_open).collect()
    }

    /// Gives where notices are to go as soon as a waiting proposal takes effect; everybody is shown that on every page.
    pub fn proposed_route(&self) -> Option<&str> {
        let mut proposals = self.proposals.values();
        proposals.find_map(|proposal| match &proposal.change {
            Change::NoticeRoute(route) if proposal.objected_by.is_none() => Some(route.as_str()),
            _ => None,
        })
    }

    /// Gives the grants that have not ended and that somebody may know of: all for who releases mail, for others their own.
    pub fn grants_for(&self, id: AccountId) -> Vec<&Grant> {
        let account = self.accounts.get(&id);
        let releases =
            account.is_some_and(|account| account.reach(Action::ReleaseMail) >= Reach::Together);
        let knows = |grant: &&Grant| !grant.has_ended && (releases || grant.account == id);
        self.grants.values().filter(knows).collect()
    }

    /// Gives the accounts that somebody may list: all for who changes rights, for others their own.
    pub fn accounts_for(&self, id: AccountId) -> Vec<&Account> {
        let changes = self.demand(id, Action::NarrowRights, Reach::Alone).is_ok();
        let knows = |account: &&Account| changes || account.id == id;
        self.accounts.values().filter(knows).collect()
    }

    /// Gives the shown names of those whom somebody may know of: whom he may list, and whoever has to do with a proposal that he knows.
    pub fn names_for(&self, id: AccountId) -> BTreeMap<AccountId, &str> {
        let listed = self.accounts_for(id).into_iter().map(|account| account.id);
        let proposals = self.proposals_for(id).into_iter();
        let involved = proposals.flat_map(|one| [Some(one.proposed_by), one.change.account()]);
        let known = listed.chain(involved.flatten());
        let named = known.filter_map(|id| Some((id, self.accounts.get(&id)?)));
        named
            .map(|(id, account)| (id, account.display_name.as_str()))
            .collect()
    }

    /// Notes that a person, who gave the password before, chose one of his own.
    ///
    /// # Errors
    ///
    /// If the account is not open.
    pub fn chose_password(&mut self, by: AccountId) -> Result<Vec<Event>, Refusal> {
        self.own_account(by)?
            .lock
            .iter_mut()
            .for_each(|lock| lock.has_own_password = true);
        let text = format!("account {by}: chose a password");
        Ok(vec![self.event(EventKind::AccountChanged, by, text)])
    }

    /// Notes that a person, who gave password and second factor before, has a second factor now or no longer.
    ///
    /// # Errors
    ///
    /// If the account is not open.
    pub fn chose_second_factor(&mut self, by: AccountId, has: bool) -> Result<Vec<Event>, Refusal> {
        self.own_account(by)?.has_second_factor = has;
        let now = if has { "on" } else { "off" };
        let text = format!("account {by}: second factor {now}");
        Ok(vec![self.event(EventKind::AccountChanged, by, text)])
    }

    /// Closes what an operator may see after his password was reset on the machine itself; nothing else is opened by it.
    ///
    /// # Errors
    ///
    /// If the account is no operator's.
    pub fn reset_at_machine(&mut self, id: AccountId, now: i64) -> Result<Vec<Event>, Refusal> {
        self.latest = self.latest.max(now);
        let since = self.latest;
        let account = self.own_account(id)?;
        if !account.is(Role::Operator) {
            return Err(Refusal::MayNot);
        }
        account.has_second_factor = false;
        account.lock = Some(Lock {
            since,
            has_own_password: false,
        });
        let text = format!("account {id}: reset at the machine");
        Ok(vec![event(EventKind::AccountChanged, "", text)])
    }

    fn add_account(&mut self, name: &str, lock: Option<Lock>) -> Result<AccountId, Refusal> {
        if !is_name(name) || self.is_taken(name, None) {
            return Err(Refusal::Name);
        }
        if self.accounts.len() >= ACCOUNTS_MAX {
            return Err(Refusal::TooMany);
        }
        // Accounts are never forgotten, so this number is new.
        let id = AccountId(AccountId::FIRST.0 + self.accounts.len() as u64);
        let account = Account {
            id,
            name: name.to_owned(),
            display_name: name.to_owned(),
            roles: BTreeSet::new(),
            addresses: Vec::new(),
            former: BTreeSet::new(),
            state: State::Active,
            lock,
            has_second_factor: false,
            settles_in_s: 0,
            unknown: Vec::new(),
        };
        self.accounts.insert(id, account);
        Ok(id)
    }

    /// Tells whether another account has or had this name, or shows it.
    fn is_taken(&self, name: &str, except: Option<AccountId>) -> bool {
        let name = name.to_lowercase();
        let others = self.accounts.values().filter(|one| Some(one.id) != except);
        others
            .flat_map(|one| [&one.name, &one.display_name])
            .any(|taken| taken.to_lowercase() == name)
    }

    fn account(&self, id: AccountId) -> Result<&Account, Refusal> {
        self.accounts.get(&id).ok_or(Refusal::Unknown)
    }

    fn account_mut(&mut self, id: AccountId) -> Result<&mut Account, Refusal> {
        self.accounts.get_mut(&id).ok_or(Refusal::Unknown)
    }

    /// Gives an account that its person uses.
    fn own_account(&mut self, id: AccountId) -> Result<&mut Account, Refusal> {
        let account = self.account_mut(id)?;
        if account.state == State::Active {
            Ok(account)
        } else {
            Err(Refusal::MayNot)
        }
    }

    fn demand(&self, by: AccountId, action: Action, least: Reach) -> Result<(), Refusal> {
        if self.account(by)?.reach(action) >= least {
            Ok(())
        } else {
            Err(Refusal::MayNot)
        }
    }

    /// Tells whether anybody holds the office, disabled or not: only taking the role away ends it.
    fn has_officer(&self) -> bool {
        let holds =
            |account: &Account| account.is(Role::PrivacyOfficer) && account.state != State::Removed;
        self.accounts.values().any(holds)
    }

    fn event(&self, kind: EventKind, by: AccountId, text: String) -> Event {
        let name = self.accounts.get(&by).map_or("", |account| &account.name);
        event(kind, name, text)
    }
}

fn event(kind: EventKind, account: &str, text: String) -> Event {
    Event {
        kind,
        account: account.to_owned(),
        text,
        ..Event::default()
    }
}

/// Tells whether a text can be a name: one line, not blank, no space around it.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.trim() == name
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.contains(char::is_control)
}
