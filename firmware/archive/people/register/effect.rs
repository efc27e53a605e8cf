//! What a change does once it takes effect.

use super::{AccountId, Change, Grant, Lock, Refusal, Register, Role, State, Step};
use crate::people::{GrantTerms, OFFICE_SETTLES_S};
use crate::{Event, EventKind};

impl Register {
    /// Lets a checked change take effect, by the rule named.
    pub(super) fn take_effect(
        &mut self,
        change: &Change,
        by: AccountId,
        second: Option<AccountId>,
        rule: &str,
    ) -> Result<Vec<Event>, Refusal> {
        match change {
            Change::Account(id, step) => self.take_step(*id, step, second)?,
            Change::NoticeRoute(route) => {
                self.notice_route.clone_from(route);
                for proposal in self.proposals.values_mut() {
                    proposal.restart();
                }
            }
        }
        let second = second.and_then(|id| self.accounts.get(&id));
        let (from, until) = time_of(change);
        Ok(vec![Event {
            second_person: second.map_or_else(String::new, |account| account.name.clone()),
            rule: rule.to_owned(),
            from,
            until,
            ..self.event(EventKind::AccountChanged, by, change.to_string())
        }])
    }

    fn take_step(
        &mut self,
        id: AccountId,
        step: &Step,
        second: Option<AccountId>,
    ) -> Result<(), Refusal> {
        let latest = self.latest;
        let account = self.account_mut(id)?;
        match step {
            Step::AddRole(role) => {
                account.roles.insert(*role);
                if *role == Role::PrivacyOfficer {
                    account.settles_in_s = if second.is_some() {
                        0
                    } else {
                        OFFICE_SETTLES_S
                    };
                }
            }
            Step::RemoveRole(role) => {
                account.roles.remove(role);
            }
            Step::GiveAddress(own) => account.give(own),
            Step::TakeAddress(own) => account.take(own),
            Step::Rename(name) => account.display_name.clone_from(name),
            Step::Enable => account.state = State::Active,
            Step::Disable => account.state = State::Disabled,
            Step::Remove => account.state = State::Removed,
            Step::ResetPassword => {
                account.lock = Some(Lock {
                    since: latest,
                    has_own_password: false,
                });
            }
            Step::ResetSecondFactor => {
                account.has_second_factor = false;
                let has_own_password = account.lock.is_none_or(|lock| lock.has_own_password);
                account.lock = Some(Lock {
                    since: latest,
                    has_own_password,
                });
            }
            Step::OpenOldMail => account.lock = None,
            Step::Release(terms) => self.release(id, terms),
            Step::EndGrant(number) => {
                let grant = self.grants.get_mut(number).ok_or(Refusal::Unknown)?;
                grant.has_ended = true;
            }
        }
        Ok(())
    }

    fn release(&mut self, account: AccountId, terms: &GrantTerms) {
        let number = self.next_number();
        let left_s = terms
            .until
            .saturating_sub(self.latest)
            .try_into()
            .unwrap_or(0);
        let grant = Grant {
            number,
            account,
            terms: terms.clone(),
            left_s,
            has_ended: false,
            unknown: Vec::new(),
        };
        self.grants.insert(number, grant);
    }

    /// Ends a grant whose time is over, by the clock or by what the machine counted.
    pub(super) fn end_grant(&mut self, number: u64) -> Vec<Event> {
        let ended = self.grants.get_mut(&number).map(|grant| {
            grant.has_ended = true;
            let text = format!("account {}: grant {} is over", grant.account, grant.number);
            super::event(EventKind::AccountChanged, "", text)
        });
        ended.into_iter().collect()
    }
}

fn time_of(change: &Change) -> (Option<i64>, Option<i64>) {
    match change {
        Change::Account(_, Step::GiveAddress(own) | Step::TakeAddress(own)) => {
            (own.from, own.until)
        }
        Change::Account(_, Step::Release(terms)) => (Some(terms.from), Some(terms.until)),
        _ => (None, None),
    }
}
