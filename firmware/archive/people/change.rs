//! Changes of rights, each of which either widens or narrows: nothing here moves a right from one place to another.

use std::collections::BTreeSet;
use std::fmt;

use super::account::is_some_time;
use super::{Account, AccountId, Role};
use crate::access::{OwnAddress, Scope};
use crate::query::parse;

/// 366 days, the longest time of a grant in seconds: a tax audit takes months, and what is open longer is forgotten.
const GRANT_S_MAX: i64 = 366 * 86_400;

/// 2,000 messages that a grant may name one by one, some 50 KB of a record; more are released by a query.
const GRANT_NUMBERS_MAX: usize = 2_000;

/// 254 bytes of an address (RFC 5321 §4.5.3.1.3, without `<>`).
const ADDRESS_BYTES_MAX: usize = 254;

/// Something about who may do or see what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A change of one account.
    Account(AccountId, Step),
    /// A change of where and how notices go out, as the settings describe it (never a secret).
    NoticeRoute(String),
}

/// A change of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It gets a role.
    AddRole(Role),
    /// It loses a role.
    RemoveRole(Role),
    /// An address becomes its own for a time.
    GiveAddress(OwnAddress),
    /// An address is no longer its own for a time.
    TakeAddress(OwnAddress),
    /// It gets another display name.
    Rename(String),
    /// It can be used again.
    Enable,
    /// It cannot be used.
    Disable,
    /// It can never be used again.
    Remove,
    /// Others set its password.
    ResetPassword,
    /// Others remove its second factor.
    ResetSecondFactor,
    /// What a reset closed is opened again.
    OpenOldMail,
    /// Mail is released to it.
    Release(GrantTerms),
    /// The grant of this number ends.
    EndGrant(u64),
}

/// What is released, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantTerms {
    /// Which messages.
    pub scope: Scope,
    /// The first second at which it is open, Unix seconds.
    pub from: i64,
    /// The first second at which it no longer is, Unix seconds.
    pub until: i64,
}

/// A grant that was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its number, never used again.
    pub number: u64,
    /// To whom.
    pub account: AccountId,
    /// What and when.
    pub terms: GrantTerms,
    /// Seconds that the archive may still run until it ends, whatever the clock says.
    pub left_s: u64,
    /// Whether it has ended; it never opens again.
    pub has_ended: bool,
    /// Fields of its record that this version does not know.
    pub unknown: Vec<(String, String)>,
}

impl Change {
    /// Tells whether it must be proposed and wait, since somebody may see or do more by it.
    ///
    /// It asks for the account that is to change, as it is.
    pub fn is_slow(&self, account: Option<&Account>) -> bool {
        match self {
            Self::NoticeRoute(_) => true,
            Self::Account(_, step) => {
                step.widens() || account.is_some_and(|account| self.touches_office(account))
            }
        }
    }

    /// Gives the account that is to change.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Account(id, _) => Some(*id),
            Self::NoticeRoute(_) => None,
        }
    }

    /// Tells whether it ends or resets a privacy officer, given its account as it is.
    pub(super) fn touches_office(&self, account: &Account) -> bool {
        let Self::Account(_, step) = self else {
            return false;
        };
        let ends = matches!(
            step,
            Step::RemoveRole(Role::PrivacyOfficer)
                | Step::Disable
                | Step::Remove
                | Step::ResetPassword
                | Step::ResetSecondFactor
        );
        ends && account.is(Role::PrivacyOfficer)
    }

    /// Gives the account that sees or does more by it.
    pub(super) fn gains(&self) -> Option<AccountId> {
        match self {
            Self::Account(id, step) if step.widens() => Some(*id),
            _ => None,
        }
    }
}

impl Step {
    /// Tells whether the account, or who holds its password, may see or do more by it.
    fn widens(&self) -> bool {
        match self {
            Self::AddRole(_)
            | Self::GiveAddress(_)
            | Self::Enable
            | Self::ResetPassword
            | Self::ResetSecondFactor
            | Self::OpenOldMail
            | Self::Release(_) => true,
            Self::RemoveRole(_)
            | Self::TakeAddress(_)
            | Self::Rename(_)
            | Self::Disable
            | Self::Remove
            | Self::EndGrant(_) => false,
        }
    }

    /// Gives the step with its addresses in normal form.
    pub(super) fn normal(mut self) -> Self {
        match &mut self {
            Self::GiveAddress(own) | Self::TakeAddress(own) => {
                own.address = mail::normal_address(&own.address);
            }
            Self::Release(terms) => {
                for own in terms.scope.addresses.iter_mut().flatten() {
                    own.address = mail::normal_address(&own.address);
                }
            }
            _ => {}
        }
        self
    }
}

/// Tells whether an address can belong to somebody: a local part, a host, no wildcard and no line break, and a time.
pub(super) fn is_ownable(own: &OwnAddress) -> bool {
    let (local, host) = own.address.rsplit_once('@').unwrap_or_default();
    let is_plain =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control() || c == '*');
    is_plain(local) && is_plain(host) && own.address.len() <= ADDRESS_BYTES_MAX && is_some_time(own)
}

impl GrantTerms {
    /// Tells whether such a grant can be made at a time: bounded in time and in what it covers, and kept exactly by its record.
    pub(super) fn are_sound(&self, now: i64) -> bool {
        let Scope {
            addresses,
            numbers,
            query,
        } = &self.scope;
        let written = query.canonical(0);
        self.from < self.until
            && now < self.until
            && self.until.saturating_sub(self.from) <= GRANT_S_MAX
            && self.scope.is_bounded()
            && numbers
                .as_ref()
                .is_none_or(|numbers| numbers.len() <= GRANT_NUMBERS_MAX)
            && addresses
                .as_ref()
                .is_none_or(|all| all.iter().all(is_ownable))
            && parse(&written, 0).is_ok_and(|parsed| parsed.query == *query)
    }
}

impl Grant {
    /// Tells whether it is open at a time.
    pub fn is_open_at(&self, now: i64) -> bool {
        !self.has_ended && self.left_s > 0 && self.terms.from <= now && now < self.terms.until
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id, step) => write!(f, "account {id}: {step}"),
            Self::NoticeRoute(route) => write!(f, "where notices go: {route}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddRole(role) => write!(f, "add role {}", role.name()),
            Self::RemoveRole(role) => write!(f, "remove role {}", role.name()),
            Self::GiveAddress(own) => write!(f, "give address {}", own.address),
            Self::TakeAddress(own) => write!(f, "take address {}", own.address),
            Self::Rename(name) => write!(f, "rename to {name}"),
            Self::Enable => f.write_str("enable"),
            Self::Disable => f.write_str("disable"),
            Self::Remove => f.write_str("remove"),
            Self::ResetPassword => f.write_str("reset password"),
            Self::ResetSecondFactor => f.write_str("reset second factor"),
            Self::OpenOldMail => f.write_str("open old mail"),
            Self::Release(terms) => {
                let Scope {
                    addresses,
                    numbers,
                    query,
                } = &terms.scope;
                let addresses: BTreeSet<&str> = addresses
                    .iter()
                    .flatten()
                    .map(|own| own.address.as_str())
                    .collect();
                write!(
                    f,
                    "release mail of {addresses:?}, found by {:?}",
                    query.canonical(0)
                )?;
                (numbers.as_ref())
                    .map_or(Ok(()), |numbers| write!(f, ", {} by number", numbers.len()))
            }
            Self::EndGrant(number) => write!(f, "end grant {number}"),
        }
    }
}
