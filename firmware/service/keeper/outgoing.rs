//! What mail that goes out needs of the owner of the archive: which way, its password, what was sent, and whether it goes.

use super::{Failure, LocalKeeper};
use crate::people::{Secret, outgoing_password};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use store::StateTable;

/// Where `state.redb` keeps when which status mail went out, among the settings.
const STATUS_MAILS: &str = "status mails";

/// A question about mail that goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutgoingRequest {
    /// Gives the way that the page has set, as text; empty if it has set none.
    Route,
    /// Gives the password kept for exactly this way.
    Password(String),
    /// Notes that mail went, or why it did not.
    Went(Option<String>),
    /// Gives when which status mail went out, as it was kept.
    StatusMails,
    /// Keeps when which status mail went out.
    KeepStatusMails(String),
}

/// An answer about mail that goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutgoingAnswer {
    /// To `Went`, `KeepStatusMails`.
    Done,
    /// To `Route`, `StatusMails`.
    Text(String),
    /// To `Password`.
    Password(Option<Secret>),
}

/// Since when mail does not go out, Unix seconds, and why.
#[derive(Default)]
pub(super) struct OutgoingFailure(Mutex<Option<(i64, String)>>);

impl OutgoingFailure {
    /// Gives it, if mail does not go out.
    pub(super) fn now(&self) -> Option<(i64, String)> {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone()
    }

    fn note(&self, why: Option<String>, now_s: i64) {
        let mut failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since_s = failure.as_ref().map_or(now_s, |(since_s, _)| *since_s);
        *failure = why.map(|why| (since_s, why));
    }
}

impl LocalKeeper {
    /// Answers a question about mail that goes out.
    pub(super) fn outgoing(&self, request: OutgoingRequest) -> Result<OutgoingAnswer, Failure> {
        let state = self.store().state();
        Ok(match request {
            OutgoingRequest::Route => OutgoingAnswer::Text(self.people()?.notice_route()),
            OutgoingRequest::Password(route) => {
                OutgoingAnswer::Password(outgoing_password(state, &route)?)
            }
            OutgoingRequest::Went(why) => {
                let now_s = self.store().now().at_us.div_euclid(1_000_000);
                self.outgoing_failure().note(why, now_s);
                OutgoingAnswer::Done
            }
            OutgoingRequest::StatusMails => {
                let kept = state.get(StateTable::Settings, STATUS_MAILS)?;
                let text = String::from_utf8_lossy(&kept.unwrap_or_default()).into_owned();
                OutgoingAnswer::Text(text)
            }
            OutgoingRequest::KeepStatusMails(text) => {
                state.put(StateTable::Settings, STATUS_MAILS, Some(text.as_bytes()))?;
                OutgoingAnswer::Done
            }
        })
    }
}
