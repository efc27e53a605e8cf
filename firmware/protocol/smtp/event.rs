//! What passes between the SMTP machine and the rest of the archive: events out, outcomes in.

#[cfg(doc)]
use super::Session;
use super::{Credentials, Envelope};

/// Tells the caller what to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Read from the peer: [`Session::tick`], then [`Session::receive`] or [`Session::input_ended`].
    NeedInput,
    /// Give the answer to the last question; nothing goes on before it.
    NeedAnswer,
    /// Write these bytes to the peer.
    Write(&'a [u8]),
    /// Begin TLS on the connection, then call [`Session::tls_started`]. Bytes read before it and
    /// not yet received are not to be used (CVE-2011-0411).
    StartTls,
    /// Check a name and a password, then call [`Session::credentials_checked`].
    CheckCredentials(Credentials),
    /// A message begins; its content follows.
    MessageBegins(Envelope),
    /// The next piece of the content, exactly as sent, transport dots removed.
    Content(&'a [u8]),
    /// The content is complete: store it, then call [`Session::message_stored`].
    MessageEnds,
    /// The message that began will not be completed; no answer is wanted.
    MessageAborted(Abort),
    /// MAIL announced a size above the limit and was refused; an operator wants to know.
    SizeRefused {
        /// Tells who wanted to send.
        reverse_path: String,
        /// Tells the announced size.
        size_bytes: u64,
    },
    /// Close the connection. The only event from here on.
    Close,
}

/// Tells why a message was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// It grew above the announced size; the peer is answered 552. An operator wants to know.
    TooLarge,
    /// The peer gave it up (RSET, EHLO, STARTTLS or QUIT between two chunks).
    Reset,
    /// The connection ended.
    Disconnected,
    /// The peer was too slow.
    TimedOut,
    /// The peer broke the protocol too badly to go on.
    Failed,
    /// This side shuts down.
    ShuttingDown,
}

/// Tells what the store did with a complete message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The message is on disk and synced: 250.
    Stored {
        /// Is the sequence number of the message.
        number: u64,
        /// Is the SHA-256 of the message in hexadecimal.
        digest_hex: String,
        /// Tells that the same bytes were there before.
        duplicate: bool,
    },
    /// It could not be stored now: 451 with this reason.
    TryLater(String),
    /// The disk has no room: 452.
    DiskFull,
    /// It is larger than the store takes: 552.
    TooLarge,
}
