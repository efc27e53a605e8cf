//! Tokens for programs: each is bound to one role of its person and to a scope until a day, and shown once; only its digest is kept.
//!
//! A token opens what [`archive::people::Register::asker_in_role`] says at the moment, and no form of the page. It ends by its day, by its
//! person, and when his account is closed or reset.

use super::desk::Desk;
use super::messages::{ApiAccess, ApiTokenFacts, ApiTokenTerms, Denial, Token, Visitor};
use super::messages::{ScopeOnWire, role_on_wire};
use super::sessions::{Kept, Sessions, digest, id_of, put};
use crate::keeper::messages::WireAsker;
use archive::Asker;
use archive::people::{AccountId, ApiScope, Refusal, Register, Role};
use serde::{Deserialize, Serialize};
use store::State;

/// 20 tokens of an account: one for each program of an office, and some to spare.
const ACCOUNT_TOKENS_MAX: usize = 20;

/// A year and a day: longer, nobody remembers which program has it.
pub const API_TOKEN_DAYS_MAX: u32 = 366;

/// 100 characters of a name, which has to fit on a line.
const NAME_CHARS_MAX: usize = 100;

const DAY_S: i64 = 86_400;

/// What a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bond {
    pub(super) name: String,
    #[serde(with = "role_on_wire")]
    pub(super) role: Role,
    #[serde(with = "ScopeOnWire")]
    pub(super) scope: ApiScope,
    /// The first second at which it no longer counts, Unix seconds.
    pub(super) until: i64,
}

impl Bond {
    /// Makes one of what somebody wants.
    ///
    /// # Errors
    /// `MayNot` when he has not the role, or the scope reaches further; `Name`; `Unsound` for a senseless time.
    pub(super) fn new(
        register: &Register,
        account: AccountId,
        terms: ApiTokenTerms,
        now: i64,
    ) -> Result<Self, Refusal> {
        let name = terms.name.trim();
        let is_name = !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX;
        if !is_name || name.contains(char::is_control) {
            return Err(Refusal::Name);
        }
        if !register.lends(account, terms.role) || !terms.scope.is_within(terms.role) {
            return Err(Refusal::MayNot);
        }
        if !(1..=API_TOKEN_DAYS_MAX).contains(&terms.days) {
            return Err(Refusal::Unsound);
        }
        Ok(Self {
            name: name.to_owned(),
            role: terms.role,
            scope: terms.scope,
            until: now + i64::from(terms.days) * DAY_S,
        })
    }

    /// What a token of this bond sees of mail now.
    ///
    /// # Errors
    /// `NotSignedIn` when its person has the role no longer.
    pub(super) fn asker(
        &self,
        register: &Register,
        account: AccountId,
        now: i64,
    ) -> Result<Asker, Denial> {
        if !register.lends(account, self.role) {
            return Err(Denial::NotSignedIn);
        }
        Ok(match self.scope {
            ApiScope::Mail => register.asker_in_role(account, self.role, now),
            ApiScope::Health => Asker::Nobody,
        })
    }
}

impl Sessions {
    /// Makes a token.
    ///
    /// # Errors
    /// `TooMany` when its person has enough.
    pub(super) fn bind(
        &self,
        state: &State,
        account: AccountId,
        bond: Bond,
        now: i64,
    ) -> Result<Token, Denial> {
        let mut all = self.all();
        let own = all.values().filter(|kept| kept.is_of(account, now));
        if own.filter(|kept| kept.bond.is_some()).count() >= ACCOUNT_TOKENS_MAX {
            return Err(Refusal::TooMany.into());
        }
        let token = Token(store::random());
        let kept = Kept::new(account, &Visitor::default(), now, Some(bond));
        state.put_all(&[put(&digest(token), &kept)])?;
        all.insert(digest(token), kept);
        Ok(token)
    }

    /// Lists the tokens of an account.
    pub(super) fn tokens(&self, account: AccountId, now: i64) -> Vec<ApiTokenFacts> {
        let all = self.all();
        let own = all.iter().filter(|(_, kept)| kept.is_of(account, now));
        let facts = |(digest, kept): (&String, &Kept)| {
            let bond = kept.bond.as_ref()?;
            Some(ApiTokenFacts {
                id: id_of(digest).to_owned(),
                name: bond.name.clone(),
                role: bond.role,
                scope: bond.scope,
                since: kept.since,
                until: bond.until,
                used: kept.used,
                peer: kept.peer.clone(),
            })
        };
        own.filter_map(facts).collect()
    }
}

impl Desk<'_> {
    /// Gives what a program may do that has a token; it is used now.
    pub(super) fn api_access(self, token: Token, peer: &str) -> Result<ApiAccess, Denial> {
        let (register, state, now) = (self.register(), self.store.state(), self.now());
        let used = self.office.sessions.used(state, token, now, Some(peer))?;
        let (account, bond) = used.ok_or(Denial::NotSignedIn)?;
        let bond = bond.ok_or(Denial::NotSignedIn)?;
        let asker = bond.asker(&register, account, now)?;
        Ok(ApiAccess {
            id: id_of(&digest(token)).to_owned(),
            account,
            scope: bond.scope,
            asker: WireAsker::from(&asker),
        })
    }
}
