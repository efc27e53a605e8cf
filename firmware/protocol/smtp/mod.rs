//! The server side of SMTP for an archive: it takes mail and never passes any on.
//!
//! [`Session`] is the machine. Its caller owns the socket, the clock, TLS, the passwords and the
//! store, and talks to it in one loop:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use protocol::smtp::{Event, Options, Outcome, Peer, Session};
//!
//! let options = Arc::new(Options::new("archive.example"));
//! let mut session = Session::new(options, Peer { may_send: true, tls: None });
//! let mut from_peer: &[u8] = b"EHLO mail.example\r\nMAIL FROM:<a@mail.example>\r\n\
//!     RCPT TO:<b@mail.example>\r\nBDAT 4 LAST\r\nhi\r\nQUIT\r\n";
//! let mut to_peer = Vec::new();
//! loop {
//!     match session.next() {
//!         Event::NeedInput => {
//!             session.tick(Duration::ZERO); // now; before every input
//!             let taken = session.receive(from_peer);
//!             from_peer = &from_peer[taken..];
//!         }
//!         Event::Write(bytes) => to_peer.extend_from_slice(bytes),
//!         Event::Content(bytes) => assert_eq!(bytes, b"hi\r\n"),
//!         Event::MessageEnds => session.message_stored(Outcome::Stored {
//!             number: 1,
//!             digest_hex: "98ea6e4f".into(),
//!             duplicate: false,
//!         }),
//!         Event::Close => break,
//!         _ => {}
//!     }
//! }
//! assert!(String::from_utf8_lossy(&to_peer).contains("250 2.0.0 stored as 1 sha256 98ea6e4f"));
//! ```
//!
//! | RFC | subject | kept |
//! |---|---|---|
//! | 5321 | SMTP | yes; no relaying, no trace field, EXPN and TURN absent |
//! | 1870 | SIZE | yes |
//! | 2034, 3463 | enhanced status codes | yes |
//! | 2920 | PIPELINING | yes |
//! | 3030 | CHUNKING | yes; BINARYMIME is not offered |
//! | 3207 | STARTTLS | yes |
//! | 3461 | DSN | partly: parameters are kept, no notification is ever sent |
//! | 4954, 4616 | AUTH, PLAIN | yes, under TLS only; also LOGIN |
//! | 6152 | 8BITMIME | yes |
//! | 6531 | SMTPUTF8 | yes |

mod auth;
mod command;
mod content;
mod envelope;
mod envelope_room;
mod event;
mod input;
mod options;
mod patience;
#[cfg(test)]
mod properties;
mod reply;
mod session;
#[cfg(test)]
mod transcript;

pub use auth::Credentials;
pub use envelope::{Body, Envelope, Recipient, TlsInfo};
pub use envelope_room::EnvelopeRoom;
pub use event::{Abort, Event, Outcome};
pub use input::READ_LEN_MAX;
pub use options::{Options, Peer};
pub use session::Session;
