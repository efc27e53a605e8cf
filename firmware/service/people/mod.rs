//! People: who may sign in to the page, as whom he acts, and how his rights change.
//!
//! [`People`] is what pages ask; the keeper answers, since it alone has the register and the secrets. The rules are
//! [`archive::people`]'s. Accounts of SMTP senders are something else: [`crate::accounts`].

mod acting;
mod api_tokens;
mod audit_log;
mod calls;
mod desk;
mod door;
mod exporting;
mod importing;
mod kept_register;
mod messages;
#[cfg(test)]
mod oracle_tests;
mod secrets;
mod sessions;
#[cfg(test)]
mod tests;

pub use api_tokens::API_TOKEN_DAYS_MAX;
pub use calls::{Acting, People};
pub(crate) use desk::{Desk, Office, Seeing};
pub use exporting::OwnMail;
pub use messages::{
    Act, ApiAccess, ApiTokenFacts, ApiTokenTerms, AuditFilter, AuditPage, Denial, Entered,
    Entering, ImportedLine, ImportedStep, MailAsk, NotAToken, NoticeDue, PeopleAnswer,
    PeopleRequest, Purpose, Secret, SeenBody, SeenMessage, Session, SessionFacts, Token, Visitor,
};
pub(crate) use secrets::outgoing_password;
