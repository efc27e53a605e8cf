//! Sessions of those who signed in: a random token each, of which only the digest is kept.
//!
//! Every sign-in gives a new one, so that nobody can have known it before. They end by signing out, by time, and when the
//! account is closed. They live in memory and in `state.redb`, so that a restart signs nobody out. Tokens for programs
//! (`api_tokens`) are kept among them, but open nothing that a session opens.

use super::api_tokens::Bond;
use super::messages::{SessionFacts, Token, Visitor};
use crate::keeper::Failure;
use archive::people::AccountId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::{State, StateChange, StateTable};

/// 2 hours without use end a session, in seconds: a forgotten screen.
const IDLE_S_MAX: i64 = 2 * 3_600;

/// 12 hours end it in any case, in seconds: a day of work.
const AGE_S_MAX: i64 = 12 * 3_600;

/// 5 minutes: how late the state file may learn that a session was used, in seconds, so that a page costs no write.
const UNSAVED_S_MAX: i64 = 300;

/// 20 sessions of an account; another one ends the one unused for longest.
const ACCOUNT_SESSIONS_MAX: usize = 20;

/// 200 characters are kept of what a program calls itself.
const AGENT_CHARS_MAX: usize = 200;

/// Digits of the id of a session in lists.
const ID_DIGITS: usize = 16;

/// 10 minutes during which a message on somebody's page is one view, in seconds: its pictures and parts are asked for one by one.
const SHOWN_S_MAX: i64 = 600;

/// 4 exports of a session at once; beyond, the oldest ends.
const EXPORTS_MAX: usize = 4;

/// What begins the name of a session in the state file.
const SESSION: &str = "session ";

/// What begins the name of a token for programs there.
const API_TOKEN: &str = "api token ";

/// All sessions and tokens for programs, by the digest of their tokens.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Kept>>);

/// A session or token as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) account: u64,
    pub(super) since: i64,
    pub(super) used: i64,
    pub(super) peer: String,
    agent: String,
    /// What a token for programs is bound to; none for a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bond: Option<Bond>,
    /// The time of use that the state file knows.
    #[serde(skip)]
    saved: i64,
    /// The message on his page, and since when.
    #[serde(skip)]
    shown: Option<(u64, i64)>,
    /// What he takes along, ascending, by the number of its entry in the log.
    #[serde(skip)]
    exports: BTreeMap<u64, Vec<u64>>,
}

impl Sessions {
    /// Reads the sessions that are kept; what does not hold is no session.
    pub(super) fn load(state: &State) -> Result<Self, Failure> {
        let entries = state.entries(StateTable::Secrets)?.into_iter();
        let sessions = entries.filter_map(|(name, value)| {
            let digest = name
                .strip_prefix(SESSION)
                .or_else(|| name.strip_prefix(API_TOKEN))?;
            let kept: Kept = serde_json::from_slice(&value).ok()?;
            let saved = kept.used;
            let is_well_named = name == named(digest, &kept);
            is_well_named.then(|| (digest.to_owned(), Kept { saved, ..kept }))
        });
        Ok(Self(Mutex::new(sessions.collect())))
    }

    /// Begins a session.
    pub(super) fn begin(
        &self,
        state: &State,
        account: AccountId,
        visitor: &Visitor,
        now: i64,
    ) -> Result<Token, Failure> {
        let token = Token(store::random());
        let kept = Kept::new(account, visitor, now, None);
        let mut all = self.all();
        let mut changes = vec![put(&digest(token), &kept)];
        let mut own: Vec<(i64, String)> = all
            .iter()
            .filter(|(_, kept)| kept.account == account.0 && kept.bond.is_none())
            .map(|(digest, kept)| (kept.used, digest.clone()))
            .collect();
        own.sort_unstable();
        let excess = (own.len() + 1).saturating_sub(ACCOUNT_SESSIONS_MAX);
        let ended: Vec<String> = own.into_iter().take(excess).map(|(_, own)| own).collect();
        changes.extend(ended.iter().map(|digest| (TABLE, session(digest), None)));
        state.put_all(&changes)?;
        all.retain(|digest, _| !ended.contains(digest));
        all.insert(digest(token), kept);
        Ok(token)
    }

    /// Gives the account of a token's session, which is used now; none when there is none or its time is over.
    pub(super) fn account(
        &self,
        state: &State,
        token: Token,
        now: i64,
    ) -> Result<Option<AccountId>, Failure> {
        let used = self.used(state, token, now, None)?;
        Ok(used.and_then(|(account, bond)| bond.is_none().then_some(account)))
    }

    /// Gives the account of a token's session or of a token for programs, which is used now, from there if that is said.
    pub(super) fn used(
        &self,
        state: &State,
        token: Token,
        now: i64,
        peer: Option<&str>,
    ) -> Result<Option<(AccountId, Option<Bond>)>, Failure> {
        let digest = digest(token);
        let mut all = self.all();
        let Some(kept) = all.get_mut(&digest).filter(|kept| kept.is_open(now)) else {
            return Ok(None);
        };
        kept.used = now.max(kept.used);
        // Whether a token was ever used is to stand after a restart.
        let is_first = kept.peer.is_empty() && peer.is_some();
        if let Some(peer) = peer.filter(|peer| *peer != kept.peer) {
            peer.clone_into(&mut kept.peer);
        }
        if is_first || kept.used - kept.saved >= UNSAVED_S_MAX {
            state.put_all(&[put(&digest, kept)])?;
            kept.saved = kept.used;
        }
        Ok(Some((AccountId(kept.account), kept.bond.clone())))
    }

    /// Lists the sessions of an account.
    pub(super) fn list(&self, account: AccountId, token: Token, now: i64) -> Vec<SessionFacts> {
        let this = digest(token);
        let all = self.all();
        let own = all
            .iter()
            .filter(|(_, kept)| kept.is_of(account, now) && kept.bond.is_none());
        own.map(|(digest, kept)| SessionFacts {
            id: id_of(digest).to_owned(),
            since: kept.since,
            used: kept.used,
            visitor: Visitor {
                peer: kept.peer.clone(),
                agent: kept.agent.clone(),
            },
            is_this: *digest == this,
        })
        .collect()
    }

    /// Tells whether a session has this message on its page.
    pub(super) fn has_before_him(&self, token: Token, number: u64, now: i64) -> bool {
        let shown = self.all().get(&digest(token)).and_then(|kept| kept.shown);
        shown.is_some_and(|(shown, since)| shown == number && now - since < SHOWN_S_MAX)
    }

    /// Notes which message a session has on its page.
    pub(super) fn shows(&self, token: Token, number: u64, now: i64) {
        if let Some(kept) = self.all().get_mut(&digest(token)) {
            kept.shown = Some((number, now));
        }
    }

    /// Notes what a session takes along, ascending.
    pub(super) fn exports(&self, token: Token, export: u64, numbers: &[u64]) {
        if let Some(kept) = self.all().get_mut(&digest(token)) {
            kept.exports.insert(export, numbers.to_vec());
            while kept.exports.len() > EXPORTS_MAX {
                kept.exports.pop_first();
            }
        }
    }

    /// Tells whether a message is in any of the exports of a session.
    pub(super) fn is_taken_along(&self, token: Token, number: u64) -> bool {
        let all = self.all();
        let exports = all.get(&digest(token)).map(|kept| &kept.exports);
        exports.is_some_and(|exports| exports.values().any(|numbers| has(numbers, number)))
    }

    /// Tells whether a session takes a message along by this export.
    pub(super) fn is_exported(&self, token: Token, export: u64, number: u64) -> bool {
        let all = self.all();
        let exports = all.get(&digest(token)).map(|kept| &kept.exports);
        let numbers = exports.and_then(|exports| exports.get(&export));
        numbers.is_some_and(|numbers| has(numbers, number))
    }

    /// Ends the session of a token.
    pub(super) fn end(&self, state: &State, token: Token) -> Result<(), Failure> {
        let this = digest(token);
        self.end_where(state, |digest, _| digest == this)
    }

    /// Ends the session or token of an account that has this id; no two have the same.
    pub(super) fn end_by_id(
        &self,
        state: &State,
        account: AccountId,
        id: &str,
    ) -> Result<(), Failure> {
        self.end_where(state, |digest, kept| {
            kept.account == account.0 && id_of(digest) == id
        })
    }

    /// Ends all sessions of an account but one; its tokens for programs stay.
    pub(super) fn end_others(
        &self,
        state: &State,
        account: AccountId,
        but: Token,
    ) -> Result<(), Failure> {
        let but = digest(but);
        self.end_where(state, |digest, kept| {
            kept.account == account.0 && kept.bond.is_none() && but != digest
        })
    }

    /// Ends all sessions of an account and all its tokens for programs.
    pub(super) fn end_all(&self, state: &State, account: AccountId) -> Result<(), Failure> {
        self.end_where(state, |_, kept| kept.account == account.0)
    }

    /// Ends those whose time is over.
    pub(super) fn end_old(&self, state: &State, now: i64) -> Result<(), Failure> {
        self.end_where(state, |_, kept| !kept.is_open(now))
    }

    fn end_where(
        &self,
        state: &State,
        is_ended: impl Fn(&str, &Kept) -> bool,
    ) -> Result<(), Failure> {
        let mut all = self.all();
        let changes: Vec<StateChange> = all
            .iter()
            .filter(|(digest, kept)| is_ended(digest, kept))
            .map(|(digest, kept)| (TABLE, named(digest, kept), None))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        // In memory first: whatever the disk does, nobody comes in by it any more.
        all.retain(|digest, kept| !is_ended(digest, kept));
        state.put_all(&changes)?;
        Ok(())
    }

    pub(super) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    pub(super) fn new(account: AccountId, visitor: &Visitor, now: i64, bond: Option<Bond>) -> Self {
        Self {
            account: account.0,
            since: now,
            used: now,
            peer: visitor.peer.clone(),
            agent: visitor.agent.chars().take(AGENT_CHARS_MAX).collect(),
            bond,
            saved: now,
            shown: None,
            exports: BTreeMap::new(),
        }
    }

    fn is_open(&self, now: i64) -> bool {
        match &self.bond {
            Some(bond) => now < bond.until,
            None => now - self.used < IDLE_S_MAX && now - self.since < AGE_S_MAX,
        }
    }

    pub(super) fn is_of(&self, account: AccountId, now: i64) -> bool {
        self.account == account.0 && self.is_open(now)
    }
}

/// Tells whether a number is among ascending ones.
fn has(numbers: &[u64], number: u64) -> bool {
    numbers.binary_search(&number).is_ok()
}

const TABLE: StateTable = StateTable::Secrets;

pub(super) fn digest(token: Token) -> String {
    store::sha256(&token.0).to_string()
}

pub(super) fn id_of(digest: &str) -> &str {
    digest.get(..ID_DIGITS).unwrap_or(digest)
}

pub(super) fn put(digest: &str, kept: &Kept) -> StateChange {
    let value = serde_json::to_vec(kept).expect("text and numbers are always JSON");
    (TABLE, named(digest, kept), Some(value))
}

/// The name in the state file: what is no session has another one, so that no version takes it for one.
fn named(digest: &str, kept: &Kept) -> String {
    match kept.bond {
        Some(_) => format!("{API_TOKEN}{digest}"),
        None => session(digest),
    }
}

fn session(digest: &str) -> String {
    format!("{SESSION}{digest}")
}
