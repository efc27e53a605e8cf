//! How a change comes about: proposed, told, approved, objected to, waited for.

use std::collections::BTreeSet;

use super::super::change::is_ownable;
use super::super::proposal::{LAPSE_S, Notice, OFFICE_NOTICE_S};
use super::super::role::go_together;
use super::{
    ADDRESSES_MAX, Account, AccountId, Action, Change, Outcome, PASS_S_MAX, PROPOSALS_BYTES_MAX,
    PROPOSALS_MAX, Proposal, Reach, Refusal, Register, Role, State, Step, TEXT_CHARS_MAX, is_name,
};
use crate::people::{NOTICE_S, ROUTE_SHOWN_S};
use crate::{Event, EventKind};

impl Register {
    /// Makes a change that narrows at once, and proposes any other.
    ///
    /// # Errors
    ///
    /// If `by` may not, or the change cannot be.
    pub fn change(
        &mut self,
        by: AccountId,
        change: Change,
        reason: &str,
        now: i64,
    ) -> Result<Outcome, Refusal> {
        let change = match change {
            Change::Account(id, step) => Change::Account(id, step.normal()),
            route @ Change::NoticeRoute(_) => route,
        };
        if reason.chars().count() > TEXT_CHARS_MAX {
            return Err(Refusal::TooMany);
        }
        self.latest = self.latest.max(now);
        let is_slow = self.is_slow(&change);
        if is_slow {
            self.demand_proposer(by, &change)?;
        } else {
            self.demand(by, Action::NarrowRights, Reach::Alone)?;
        }
        self.check(&change)?;
        if !is_slow {
            return Ok(Outcome::Done(
                self.take_effect(&change, by, None, "at once")?,
            ));
        }
        if self.proposals.len() >= PROPOSALS_MAX {
            return Err(Refusal::TooMany);
        }
        let (number, text) = (self.next_number(), change.to_string());
        let notices = self.notices(&change);
        let proposal = Proposal {
            number,
            change,
            proposed_by: by,
            proposed_at: now,
            reason: reason.to_owned(),
            favoured_by: None,
            objected_by: None,
            notices,
            waited_s: 0,
            age_s: 0,
            shown_s: 0,
            unknown: Vec::new(),
        };
        let waiting = self.proposals.values().chain([&proposal]);
        let bytes: usize = waiting.map(|one| one.to_record().len()).sum();
        if bytes > PROPOSALS_BYTES_MAX {
            return Err(Refusal::TooMany);
        }
        self.proposals.insert(number, proposal);
        let event = Event {
            reason: reason.to_owned(),
            ..self.event(EventKind::ChangeProposed, by, format!("{number}: {text}"))
        };
        Ok(Outcome::Waits(number, vec![event]))
    }

    /// Approves a proposal as the second person; it takes effect unless only a new officer is in favour.
    ///
    /// # Errors
    ///
    /// If `by` is not fit to be the second person.
    pub fn approve(&mut self, by: AccountId, number: u64, now: i64) -> Result<Outcome, Refusal> {
        self.latest = self.latest.max(now);
        let proposal = self.proposal(number)?.clone();
        self.demand(by, Action::WidenRights, Reach::Together)?;
        if !self.account(by)?.speaks() {
            return Err(Refusal::MayNot);
        }
        let gains = proposal.change.gains();
        if by == proposal.proposed_by || gains == Some(by) {
            return Err(Refusal::NotSecond);
        }
        self.check(&proposal.change)?;
        // The proposer's word counts only while he could give it today; locked, he may speak for his own mail alone.
        self.demand_proposer(proposal.proposed_by, &proposal.change)?;
        if gains != Some(proposal.proposed_by) && !self.account(proposal.proposed_by)?.speaks() {
            return Err(Refusal::NotSecond);
        }
        let officer = |id: &AccountId| {
            gains != Some(*id)
                && self
                    .account(*id)
                    .is_ok_and(|account| account.is(Role::PrivacyOfficer))
        };
        let officers: Vec<AccountId> = [by, proposal.proposed_by]
            .into_iter()
            .filter(officer)
            .collect();
        let settled = |id: &AccountId| {
            self.account(*id)
                .is_ok_and(|account| account.settles_in_s == 0)
        };
        let text = format!("{number}: {}", proposal.change);
        let mut events = vec![self.event(EventKind::ChangeApproved, by, text)];
        if officers.iter().any(settled) {
            self.proposals.remove(&number);
            let by = (proposal.proposed_by, Some(by));
            events.extend(self.take_effect(&proposal.change, by.0, by.1, "second person")?);
            return Ok(Outcome::Done(events));
        }
        let favoured_by = officers.first().copied().ok_or(Refusal::NoOfficer)?;
        let proposal = self.proposal_mut(number)?;
        proposal.favoured_by = Some(favoured_by);
        Ok(Outcome::Waits(number, events))
    }

    /// Notes that somebody concerned objects: the proposal no longer takes effect by waiting.
    ///
    /// # Errors
    ///
    /// If `by` is not concerned.
    pub fn object(
        &mut self,
        by: AccountId,
        number: u64,
        reason: &str,
    ) -> Result<Vec<Event>, Refusal> {
        let account = self.account(by)?;
        let change = &self.proposal(number)?.change;
        if !self.may_object(change, account) {
            return Err(Refusal::MayNot);
        }
        let text = format!("{number}: {change}");
        self.proposal_mut(number)?.objected_by = Some(by);
        Ok(vec![Event {
            reason: reason.to_owned(),
            ..self.event(EventKind::ChangeObjected, by, text)
        }])
    }

    /// Withdraws a proposal.
    ///
    /// # Errors
    ///
    /// If it is neither his own nor is he privacy officer.
    pub fn withdraw(&mut self, by: AccountId, number: u64) -> Result<Vec<Event>, Refusal> {
        let (account, proposal) = (self.account(by)?, self.proposal(number)?);
        let may = proposal.proposed_by == by || account.is(Role::PrivacyOfficer);
        if account.state != State::Active || !may {
            return Err(Refusal::MayNot);
        }
        let text = format!("{number}: withdrawn: {}", proposal.change);
        self.proposals.remove(&number);
        Ok(vec![self.event(EventKind::ChangeDropped, by, text)])
    }

    /// Notes that a notice was handed over for delivery; waiting begins with the last one.
    ///
    /// # Errors
    ///
    /// If no such notice is to be given.
    pub fn notice_given(&mut self, number: u64, address: &str) -> Result<Vec<Event>, Refusal> {
        let notices = &mut self.proposal_mut(number)?.notices;
        let notice = notices
            .iter_mut()
            .find(|notice| notice.address == address && !notice.is_given);
        notice.ok_or(Refusal::Unknown)?.is_given = true;
        Ok(vec![super::event(
            EventKind::NoticeGiven,
            "",
            format!("{number}: {address}"),
        )])
    }

    /// Lets seconds pass that the machine's own counter has counted since the last call; [`Register::do_due`] comes after it.
    pub fn passes(&mut self, seconds: u64, now: i64) {
        let seconds = seconds.min(PASS_S_MAX);
        self.latest = self.latest.max(now);
        for account in self.accounts.values_mut() {
            account.settles_in_s = account.settles_in_s.saturating_sub(seconds);
        }
        for grant in self.grants.values_mut().filter(|grant| !grant.has_ended) {
            grant.left_s = grant.left_s.saturating_sub(seconds);
        }
        // Those seconds passed under the offices that there were, before anything due changes them.
        let helps = |proposal: &Proposal| {
            let waiting_helps = self.wait_s(proposal).is_some();
            (waiting_helps, self.showing_helps(proposal))
        };
        let helped: Vec<(bool, bool)> = self.proposals.values().map(helps).collect();
        for (proposal, (waiting, showing)) in self.proposals.values_mut().zip(helped) {
            proposal.passes(seconds, waiting, showing);
        }
    }

    /// Does one thing that is due: a grant ends, or a proposal takes effect or lapses; without entries nothing is due.
    pub fn do_due(&mut self) -> Vec<Event> {
        let over = self.grants.values().find(|grant| {
            !grant.has_ended && (grant.left_s == 0 || grant.terms.until <= self.latest)
        });
        if let Some(number) = over.map(|grant| grant.number) {
            return self.end_grant(number);
        }
        let due = self
            .proposals
            .values()
            .find(|proposal| self.rule_of(proposal).is_some() || proposal.age_s >= LAPSE_S);
        let due = due.cloned();
        due.map_or_else(Vec::new, |proposal| self.conclude(&proposal))
    }

    /// Ends a proposal that is due, with effect if it still can be, or that has lapsed.
    fn conclude(&mut self, proposal: &Proposal) -> Vec<Event> {
        let number = proposal.number;
        let rule = self.rule_of(proposal);
        self.proposals.remove(&number);
        let (by, change) = (proposal.proposed_by, &proposal.change);
        let may_be = self.demand_proposer(by, change).is_ok() && self.check(change).is_ok();
        if let Some(rule) = rule
            && may_be
            && let Ok(events) = self.take_effect(change, by, None, rule)
        {
            return events;
        }
        let text = format!("{number}: lapsed: {change}");
        vec![self.event(EventKind::ChangeDropped, by, text)]
    }

    /// Names the rule by which a proposal takes effect by itself now, if there is one.
    fn rule_of(&self, proposal: &Proposal) -> Option<&'static str> {
        let wait_s = self.wait_s(proposal);
        if wait_s.is_some_and(|wait_s| proposal.waited_s >= wait_s) {
            return Some("notice");
        }
        let is_shown = self.showing_helps(proposal) && proposal.shown_s >= ROUTE_SHOWN_S;
        is_shown.then_some("shown to everybody")
    }

    /// Tells whether a proposal takes effect once it was shown for long: another way for notices, where nobody could approve it.
    fn showing_helps(&self, proposal: &Proposal) -> bool {
        let is_route = matches!(proposal.change, Change::NoticeRoute(_));
        is_route && proposal.objected_by.is_none() && !self.has_officer()
    }

    /// Gives how long a proposal must wait to take effect by itself; none if it never does as things are.
    fn wait_s(&self, proposal: &Proposal) -> Option<u64> {
        if proposal.objected_by.is_some() {
            return None;
        }
        let favoured = proposal.favoured_by.and_then(|id| self.accounts.get(&id));
        let is_favoured =
            favoured.is_some_and(|account| account.speaks() && account.is(Role::PrivacyOfficer));
        if self.touches_office(&proposal.change) {
            return Some(OFFICE_NOTICE_S);
        }
        (is_favoured || !self.has_officer()).then_some(NOTICE_S)
    }

    /// Tells whether a change waits. Where notices go may be set at once while nobody has an address to get any.
    fn is_slow(&self, change: &Change) -> bool {
        let account = change.account().and_then(|id| self.accounts.get(&id));
        let nobody_to_tell = || self.accounts.values().all(|one| one.former.is_empty());
        change.is_slow(account) && !(change.account().is_none() && nobody_to_tell())
    }

    fn touches_office(&self, change: &Change) -> bool {
        let account = change.account().and_then(|id| self.accounts.get(&id));
        account.is_some_and(|account| change.touches_office(account))
    }

    fn demand_proposer(&self, by: AccountId, change: &Change) -> Result<(), Refusal> {
        let asks_for_himself = *change == Change::Account(by, Step::OpenOldMail);
        if asks_for_himself && self.account(by)?.state == State::Active {
            return Ok(());
        }
        self.demand(by, Action::WidenRights, Reach::Together)
    }

    /// Checks that a change can be, as things are.
    fn check(&self, change: &Change) -> Result<(), Refusal> {
        let (id, step) = match change {
            Change::Account(id, step) => (id, step),
            Change::NoticeRoute(route) if route.chars().count() > TEXT_CHARS_MAX => {
                return Err(Refusal::TooMany);
            }
            Change::NoticeRoute(_) => return Ok(()),
        };
        let account = self.account(*id)?;
        if account.state == State::Removed
            && !matches!(step, Step::TakeAddress(_) | Step::EndGrant(_))
        {
            return Err(Refusal::Unknown);
        }
        let sound = match step {
            Step::AddRole(role) => {
                let mut roles = account.roles.clone();
                if !roles.insert(*role) {
                    return Err(Refusal::Unsound);
                }
                return go_together(&roles).then_some(()).ok_or(Refusal::Roles);
            }
            Step::RemoveRole(role) if !account.is(*role) => false,
            Step::RemoveRole(Role::Operator) => return self.check_operator_remains(account),
            Step::Disable if account.state != State::Active => false,
            Step::Disable | Step::Remove => return self.check_operator_remains(account),
            Step::GiveAddress(own) => {
                if account.addresses.len() >= ADDRESSES_MAX {
                    return Err(Refusal::TooMany);
                }
                is_ownable(own) && !account.addresses.contains(own)
            }
            Step::Rename(name) => return self.check_rename(account, name),
            Step::Enable => account.state == State::Disabled,
            Step::ResetSecondFactor => account.has_second_factor,
            Step::OpenOldMail => {
                let lock = account.lock.ok_or(Refusal::Unsound)?;
                return lock
                    .has_own_password
                    .then_some(())
                    .ok_or(Refusal::NoOwnPassword);
            }
            Step::Release(terms) => terms.are_sound(self.latest),
            Step::EndGrant(number) => (self.grants.get(number))
                .is_some_and(|grant| grant.account == *id && !grant.has_ended),
            Step::RemoveRole(_) | Step::TakeAddress(_) | Step::ResetPassword => true,
        };
        sound.then_some(()).ok_or(Refusal::Unsound)
    }

    fn check_operator_remains(&self, account: &Account) -> Result<(), Refusal> {
        let is_operator = |one: &Account| one.is(Role::Operator) && one.state == State::Active;
        let others = self.accounts.values().filter(|one| one.id != account.id);
        if is_operator(account) && !others.into_iter().any(is_operator) {
            return Err(Refusal::LastOperator);
        }
        Ok(())
    }

    fn check_rename(&self, account: &Account, name: &str) -> Result<(), Refusal> {
        let waits = |proposal: &Proposal| matches!(proposal.change, Change::Account(id, _) if id == account.id);
        if self.proposals.values().any(waits) {
            return Err(Refusal::Waiting);
        }
        let is_free = is_name(name) && !self.is_taken(name, Some(account.id));
        is_free.then_some(()).ok_or(Refusal::Name)
    }

    pub(super) fn may_object(&self, change: &Change, account: &Account) -> bool {
        let may = account.is(Role::PrivacyOfficer) || self.concerns(change, account);
        account.state == State::Active && may
    }

    /// Tells whether a change concerns somebody: his account, an address that was ever his, or everybody.
    pub(super) fn concerns(&self, change: &Change, account: &Account) -> bool {
        let Change::Account(id, step) = change else {
            return true;
        };
        let is_office =
            matches!(step, Step::AddRole(Role::PrivacyOfficer)) || self.touches_office(change);
        *id == account.id
            || is_office
            || match step {
                Step::GiveAddress(own) => account.knows(&own.address),
                Step::Release(terms) => (terms.scope.addresses.as_ref())
                    .is_none_or(|all| all.iter().any(|own| account.knows(&own.address))),
                _ => false,
            }
    }

    /// Gives the notices of a change: to every address that those whom it concerns ever had, and to the addresses that it names.
    fn notices(&self, change: &Change) -> Vec<Notice> {
        let concerned = self
            .accounts
            .values()
            .filter(|account| self.concerns(change, account));
        let mut addresses: BTreeSet<&String> =
            concerned.flat_map(|account| &account.former).collect();
        if let Change::Account(_, step) = change {
            match step {
                Step::GiveAddress(own) => addresses.extend([&own.address]),
                Step::Release(terms) => {
                    addresses.extend(
                        terms
                            .scope
                            .addresses
                            .iter()
                            .flatten()
                            .map(|own| &own.address),
                    );
                }
                _ => {}
            }
        }
        let notice = |address: &String| Notice {
            address: address.clone(),
            is_given: false,
        };
        addresses.into_iter().map(notice).collect()
    }

    fn proposal(&self, number: u64) -> Result<&Proposal, Refusal> {
        self.proposals.get(&number).ok_or(Refusal::Unknown)
    }

    fn proposal_mut(&mut self, number: u64) -> Result<&mut Proposal, Refusal> {
        self.proposals.get_mut(&number).ok_or(Refusal::Unknown)
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
