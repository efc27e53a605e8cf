//! Which commit is built: the only source of times, so that two builds of it are the same bytes.

use crate::error::ImageError;
use crate::program;
use std::process::Command;

/// A commit of ours, with or without changes on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Its digest; `+` behind it says that the work tree had changes.
    pub(crate) id: String,
    /// Its time, in seconds since 1970.
    pub(crate) time: i64,
}

impl Commit {
    /// Asks git; `SOURCE_DATE_EPOCH` replaces the time, as everywhere.
    pub(crate) fn current() -> Result<Self, ImageError> {
        let mut id = git(&["rev-parse", "HEAD"])?;
        if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            id.push('+');
        }
        let time = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(time) => time,
            Err(_) => git(&["log", "-1", "--format=%ct"])?,
        };
        match time.parse() {
            Ok(time) => Ok(Self { id, time }),
            Err(_) => Err(ImageError::NotUnderstood {
                program: "git".to_owned(),
                said: time,
            }),
        }
    }

    /// The time as lists of parts write it: `2026-11-22T10:00:00Z`.
    pub(crate) fn timestamp(&self) -> String {
        update::Time::from_unix(self.time).to_string()
    }
}

fn git(arguments: &[&str]) -> Result<String, ImageError> {
    let said = program::run(Command::new("git").args(arguments))?;
    Ok(said.trim().to_owned())
}
