//! What people and scripts see: how a run ends, and how values are written.

use archive::calendar::rfc3339;
use service::keeper::Failure;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a run did not end with 0.
#[derive(Debug)]
pub(crate) enum Exit {
    /// Done, but something is wrong with the data (1).
    Damage(String),
    /// An update is not to be trusted, or does not come (1).
    NotUpdated(String),
    /// Wrong use, or it cannot start (2).
    Cannot(String),
    /// Whoever read our output has gone away, as `head` does: nothing to say.
    NobodyReads,
}

impl Exit {
    /// Tells the reason in one line and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::NobodyReads => return ExitCode::SUCCESS,
            Self::Damage(text) | Self::NotUpdated(text) => (text, 1),
            Self::Cannot(text) => (text, 2),
        };
        // Nobody can be told when standard error is gone, too.
        let _ = writeln!(io::stderr(), "coffer: {}", text.replace('\n', " "));
        ExitCode::from(code)
    }

    /// Wrong use, or it cannot start.
    pub(crate) fn cannot(text: impl fmt::Display) -> Self {
        Self::Cannot(text.to_string())
    }
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Damaged(text) => Self::Damage(text),
            other => Self::Cannot(other.to_string()),
        }
    }
}

impl From<io::Error> for Exit {
    /// For standard output; errors of files name the file themselves.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Cannot(format!("cannot write to standard output: {error}")),
        }
    }
}

/// Writes a line to standard output.
pub(crate) fn line(text: impl fmt::Display) -> Result<(), Exit> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Writes a line to standard error, beside what a script reads.
pub(crate) fn note(text: impl fmt::Display) {
    // Nobody can be told when standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A moment of our clock, as text.
pub(crate) fn moment(at_us: i64) -> String {
    rfc3339(at_us.div_euclid(1_000_000))
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// A number for people: digits in groups of three.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Text from a mail, safe for a terminal: control characters could move the cursor or hide text.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
