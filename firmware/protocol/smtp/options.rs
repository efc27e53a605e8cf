//! What an operator may set on an SMTP session, and the limits that hold when nothing is set.
//!
//! The times a peer may take lie in `patience`.

use super::TlsInfo;
use super::envelope_room::EnvelopeRoom;
use std::sync::Arc;

/// 150 MiB: the largest message that the common providers let through, base64 included.
/// A larger one is refused with 552.
pub(crate) const SIZE_MAX_BYTES: u64 = 150 * 1024 * 1024;

/// 50,000 recipients of one message: above any list of an office. The rest is answered 452, so that
/// the sender sends them in another transaction (RFC 5321 §4.5.3.1.10).
pub(crate) const RECIPIENTS_MAX: usize = 50_000;

/// 16 MiB of addresses and parameters of one transaction: 50,000 recipients of 335 bytes. Above it the
/// answer is the same 452; a session never holds more.
pub(crate) const ENVELOPE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// 64 KiB of addresses and parameters that every session may hold: some hundred recipients, and 64 MiB for a thousand sessions.
const ENVELOPE_FREE_BYTES: usize = 64 * 1024;

/// 64 MiB that all sessions together may hold beyond that: four of the largest envelopes. Above it the answer is 452, too, and
/// senders bring the rest when others are done.
const ENVELOPES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// 4096 bytes with CRLF: the 512 of RFC 5321 §4.5.3.1.4, and all that its extensions add (RCPT with ORCPT
/// in UTF-8 is the longest). A longer line is skipped and answered 500.
pub(crate) const LINE_MAX_BYTES: usize = 4096;

/// 20 refused commands since the last stored message: then the peer is no mail server, and is sent away.
pub(crate) const ERRORS_MAX: u32 = 20;

/// Holds what a listener offers to every peer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names this host in the greeting.
    pub hostname: String,
    /// Limits a message, in bytes after dot-unstuffing; announced as SIZE.
    pub size_max_bytes: u64,
    /// Limits the recipients of one transaction.
    pub recipients_max: usize,
    /// Limits the addresses and parameters of one transaction, in bytes.
    pub envelope_max_bytes: usize,
    /// Limits the addresses and parameters of all sessions with these options together.
    pub envelope_room: Arc<EnvelopeRoom>,
    /// Limits a command line, in bytes with CRLF; at least 512.
    pub line_max_bytes: usize,
    /// Limits the refused commands since the last stored message.
    pub errors_max: u32,
    /// Offers STARTTLS on a connection without TLS.
    pub starttls: bool,
    /// Offers AUTH under TLS.
    pub auth: bool,
}

impl Options {
    /// Gives the usual limits, STARTTLS and AUTH off.
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            size_max_bytes: SIZE_MAX_BYTES,
            recipients_max: RECIPIENTS_MAX,
            envelope_max_bytes: ENVELOPE_MAX_BYTES,
            envelope_room: Arc::new(EnvelopeRoom::new(ENVELOPE_FREE_BYTES, ENVELOPES_MAX_BYTES)),
            line_max_bytes: LINE_MAX_BYTES,
            errors_max: ERRORS_MAX,
            starttls: false,
            auth: false,
        }
    }
}

/// Tells what is known of the peer before it has said anything.
#[derive(Clone, Debug)]
pub struct Peer {
    /// True for a peer of an allowed network; any other must sign in before MAIL.
    pub may_send: bool,
    /// Holds the TLS of a connection that began with it (port 465, RFC 8314 §3.3).
    pub tls: Option<TlsInfo>,
}
