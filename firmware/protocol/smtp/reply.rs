//! Replies: the one place where an outcome or an error becomes a code and a text (RFC 5321 §4.2, RFC 3463).
//!
//! Blame decides: what the peer got wrong is 5xx, what is ours or will pass is 4xx. After an accepted RCPT the archive
//! refuses content for one reason only, its size (552); a sender drops mail that gets any other 5xx.

use std::borrow::Cow;
use std::io::Write;

use super::auth::AuthError;
use super::command::CommandError;

/// Is everything the archive ever says, except the lines of EHLO.
#[derive(Debug)]
pub(crate) enum Reply {
    Greeting {
        hostname: String,
    },
    Hello {
        hostname: String,
    },
    Done,
    Closing,
    Help,
    NotVerified,
    ReadyForTls,
    SenderTaken,
    RecipientTaken,
    SendContent,
    ChunkTaken {
        size_bytes: u64,
    },
    Stored {
        number: u64,
        digest_hex: String,
        duplicate: bool,
    },
    Challenge(&'static str),
    SignedIn,

    // passing, or ours
    ShuttingDown,
    TimedOut,
    TooManyErrors,
    Idle,
    BareLf,
    NotNow {
        reason: String,
    },
    NotStored {
        reason: String,
    },
    DiskFull,
    TooManyRecipients,

    // the peer's
    Command(CommandError),
    Auth(AuthError),
    LineTooLong,
    OutOfOrder(&'static str),
    NotOffered,
    EncryptionRequired,
    SignInRequired,
    WrongCredentials,
    TooLarge {
        size_max_bytes: u64,
    },
}

/// 200 characters of text: a line stays below the 512 bytes of RFC 5321 §4.5.3.1.5.
const TEXT_MAX_CHARS: usize = 200;

impl Reply {
    /// Appends the reply as one line.
    pub(crate) fn write_to(&self, output: &mut Vec<u8>) {
        let (code, status, text) = self.parts();
        let blank = if status.is_empty() { "" } else { " " };
        let text: String = text.chars().take(TEXT_MAX_CHARS).map(printable).collect();
        write!(output, "{code} {status}{blank}{text}\r\n").expect("a vector takes every write");
    }

    /// Tells whether the reply counts towards the errors a peer may make.
    pub(crate) fn is_error_of_peer(&self) -> bool {
        self.parts().0 >= 500 && !matches!(self, Self::TooLarge { .. })
    }

    /// Tells whether the session ends with the reply (RFC 5321 §3.8).
    pub(crate) fn closes(&self) -> bool {
        matches!(self.parts().0, 221 | 421)
    }

    /// Gives code, enhanced status (empty where RFC 2034 §3 has none) and text.
    fn parts(&self) -> (u16, &'static str, Cow<'_, str>) {
        match self {
            Self::Greeting { hostname } => (220, "", format!("{hostname} ESMTP archive").into()),
            Self::Hello { hostname } => (250, "", hostname.into()),
            Self::Done => (250, "2.0.0", "done".into()),
            Self::Closing => (221, "2.0.0", "closing".into()),
            Self::Help => (
                214,
                "2.0.0",
                "this archive keeps what it is sent, see RFC 5321".into(),
            ),
            Self::NotVerified => (252, "2.0.0", "not verified, but mail is kept".into()),
            Self::ReadyForTls => (220, "2.0.0", "ready to start TLS".into()),
            Self::SenderTaken => (250, "2.1.0", "sender taken".into()),
            Self::RecipientTaken => (250, "2.1.5", "recipient taken".into()),
            Self::SendContent => (354, "", "send content, end with <CRLF>.<CRLF>".into()),
            Self::ChunkTaken { size_bytes } => {
                (250, "2.0.0", format!("{size_bytes} octets taken").into())
            }
            Self::Stored {
                number,
                digest_hex,
                duplicate,
            } => {
                let again = if *duplicate { " again" } else { "" };
                (
                    250,
                    "2.0.0",
                    format!("stored as {number} sha256 {digest_hex}{again}").into(),
                )
            }
            Self::Challenge(challenge) => (334, "", (*challenge).into()),
            Self::SignedIn => (235, "2.7.0", "signed in".into()),
            Self::ShuttingDown => (421, "4.3.2", "shutting down, come back later".into()),
            Self::TimedOut => (421, "4.4.2", "too slow, closing".into()),
            Self::TooManyErrors => (421, "4.7.0", "too many errors, closing".into()),
            Self::Idle => (
                421,
                "4.7.0",
                "too many commands without a message, closing".into(),
            ),
            Self::BareLf => (421, "4.5.2", "command ended by a bare LF, closing".into()),
            Self::NotNow { reason } => (451, "4.3.2", reason.into()),
            Self::NotStored { reason } => (
                451,
                "4.3.0",
                format!("not stored, try later: {reason}").into(),
            ),
            Self::DiskFull => (452, "4.3.1", "not stored, no room on the disk".into()),
            Self::TooManyRecipients => (
                452,
                "4.5.3",
                "too many recipients, send the rest in another transaction".into(),
            ),
            Self::Command(error) => (error.code().0, error.code().1, error.to_string().into()),
            Self::Auth(error) => (error.code().0, error.code().1, error.to_string().into()),
            Self::LineTooLong => (500, "5.5.2", "line too long".into()),
            Self::OutOfOrder(text) => (503, "5.5.1", (*text).into()),
            Self::NotOffered => (502, "5.5.1", "command not offered".into()),
            Self::EncryptionRequired => {
                (538, "5.7.11", "encryption required, STARTTLS first".into())
            }
            Self::SignInRequired => (530, "5.7.0", "authentication required".into()),
            Self::WrongCredentials => (535, "5.7.8", "name or password wrong".into()),
            Self::TooLarge { size_max_bytes } => (
                552,
                "5.3.4",
                format!("message larger than {size_max_bytes} octets").into(),
            ),
        }
    }
}

impl CommandError {
    fn code(&self) -> (u16, &'static str) {
        match self {
            Self::Unknown => (500, "5.5.1"),
            Self::NotImplemented => (502, "5.5.1"),
            Self::ControlCharacter => (500, "5.5.2"),
            Self::Arguments(_) | Self::Parameter(_) => (501, "5.5.4"),
            Self::ReversePath => (501, "5.1.7"),
            Self::ForwardPath => (501, "5.1.3"),
            Self::ParameterNotImplemented(_) => (555, "5.5.4"),
            // Going on would take content for commands, so the session ends.
            Self::ChunkSize => (421, "4.5.2"),
            Self::Http => (421, "4.7.0"),
        }
    }
}

impl AuthError {
    /// RFC 4954 §4 and §6.
    fn code(self) -> (u16, &'static str) {
        match self {
            Self::Mechanism => (504, "5.5.4"),
            Self::Cancelled => (501, "5.7.0"),
            Self::Encoding | Self::Malformed => (501, "5.5.2"),
            Self::OtherIdentity => (535, "5.7.8"),
        }
    }
}

/// Nothing that a peer or a disk error brings in may start a line of its own.
fn printable(c: char) -> char {
    if c == ' ' || c.is_ascii_graphic() {
        c
    } else {
        '?'
    }
}

/// Appends the reply to EHLO (RFC 5321 §4.1.1.1).
pub(crate) fn write_hello(output: &mut Vec<u8>, hostname: &str, extensions: &[&str]) {
    let mut lines = std::iter::once(hostname)
        .chain(extensions.iter().copied())
        .peekable();
    while let Some(line) = lines.next() {
        let mark = if lines.peek().is_some() { '-' } else { ' ' };
        write!(output, "250{mark}{line}\r\n").expect("a vector takes every write");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: Reply, expected: &str) {
        let mut output = Vec::new();
        reply.write_to(&mut output);
        assert_eq!(String::from_utf8_lossy(&output), format!("{expected}\r\n"));
    }

    #[test]
    fn lines() {
        check(
            Reply::Greeting {
                hostname: "a.example".into(),
            },
            "220 a.example ESMTP archive",
        );
        check(Reply::Challenge(""), "334 ");
        check(Reply::Done, "250 2.0.0 done");
        let stored = |duplicate| Reply::Stored {
            number: 7,
            digest_hex: "ab12".into(),
            duplicate,
        };
        check(stored(false), "250 2.0.0 stored as 7 sha256 ab12");
        check(stored(true), "250 2.0.0 stored as 7 sha256 ab12 again");
        check(
            Reply::Command(CommandError::Parameter("SIZE=\u{e4}".into())),
            "501 5.5.4 bad parameter: SIZE=?",
        );
    }

    #[test]
    fn a_reason_stays_one_short_line() {
        check(
            Reply::NotStored {
                reason: "disk\r\n250 fine".into(),
            },
            "451 4.3.0 not stored, try later: disk??250 fine",
        );
        let mut output = Vec::new();
        Reply::NotNow {
            reason: "x".repeat(5000),
        }
        .write_to(&mut output);
        assert_eq!(output.len(), "451 4.3.2 ".len() + TEXT_MAX_CHARS + 2);
    }

    #[test]
    fn only_the_peers_mistakes_count() {
        assert!(Reply::LineTooLong.is_error_of_peer());
        assert!(Reply::SignInRequired.is_error_of_peer());
        assert!(!Reply::TooLarge { size_max_bytes: 1 }.is_error_of_peer());
        assert!(!Reply::TooManyRecipients.is_error_of_peer());
        assert!(!Reply::Done.is_error_of_peer());
    }

    #[test]
    fn hello_marks_its_last_line() {
        let mut output = Vec::new();
        write_hello(&mut output, "a", &["X", "Y"]);
        assert_eq!(output, b"250-a\r\n250-X\r\n250 Y\r\n");
        output.clear();
        write_hello(&mut output, "a", &[]);
        assert_eq!(output, b"250 a\r\n");
    }
}
