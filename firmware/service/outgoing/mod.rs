//! Coffer's own mail: notices that people must get before rights widen ([`archive::people`]), status mails, mails about updates, and tests of the way out.
//!
//! Nothing of the archive's mail ever goes out here, and nothing is sent on. Where it goes is a [`Route`], which changes as slowly as rights do,
//! since whoever chooses it could keep notices from people; its password is a secret of `state.redb`.

mod delivery;
mod dialogue;
#[cfg(test)]
mod dialogue_tests;
mod letter;
mod notices;
mod route;
mod status_mail;
mod update_mail;

pub use delivery::{MailDelivery, Origin, Way, way};
pub use dialogue::{Patience, Sender, Step, Trouble};
pub(crate) use route::place;
pub use route::{Route, RouteFault, Security, read_fingerprint};

use crate::web::words::Words;
use letter::Letter;

/// Writes the mail of a test: always the same, so that nothing else can leave by it.
pub(crate) fn test_message(words: &Words, route: &Route, to: &str, hostname: &str) -> String {
    Letter {
        from: &route.from,
        to,
        subject: &words.text("test-mail-subject"),
        text: &words.filled("test-mail-text", &[("host", hostname.into())]),
        hostname,
        now_s: now_s(),
    }
    .message()
}

/// The time for the Date field; nothing is decided by it.
fn now_s() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs() as i64)
}
