//! What the signed metadata say of a release beside length and digests of its file: the `custom` field of a target, as values.
//!
//! A target is the zstd of a version (a unified kernel image) for one board, at `BOARD/coffer-VERSION.efi.zst`. Its `custom` is
//!
//! | field | what |
//! |---|---|
//! | `version`, `board` | what it is, and what it runs on |
//! | `minimum_version` | the oldest version that it may take over from |
//! | `unpacked` | `length` in bytes and `sha256` of what lies on the EFI partition |
//! | `trial` | `starts` (1 to 9), `steady_s` and `patience_s`: see `trial` |
//! | `notes` | what is new, for people: `de` and `en` |
//! | `released_at` | a moment that is surely past: the clock's floor |
//! | `supported_until` | when security updates for it end |
//!
//! Unknown fields are passed over. Whether a release is for this box: `refusal`. Deliberately knows no file and no clock.

use crate::esp::SLOT_BYTES;
use crate::hex;
use crate::metadata::Target;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// 8 KiB of notes in a language: a page. What is longer was not written for people.
const NOTES_BYTES_MAX: usize = 8 * 1024;

/// 32 bytes of a SHA-256.
const SHA256_BYTES: usize = 32;

/// An hour: longer trials would keep a box unproved through the morning.
const TRIAL_SECONDS_MAX: u64 = 3600;

/// A version's number: `MAJOR.MINOR.PATCH`, ordered in this order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionNumber([u32; 3]);

/// Text that is no version's number.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a version, as 1.2.3: {0:?}")]
pub struct NotAVersionNumber(String);

/// What is said of a release.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Release {
    /// Its number.
    pub version: VersionNumber,
    /// The board that it runs on.
    pub board: String,
    /// The oldest version that it may take over from.
    pub minimum_version: VersionNumber,
    /// What lies on the EFI partition.
    pub unpacked: Unpacked,
    /// How it proves itself.
    pub trial: TrialTerms,
    /// What is new.
    pub notes: Notes,
    /// A moment that is surely past.
    pub released_at: Time,
    /// When security updates for it end.
    pub supported_until: Time,
}

/// A version as it lies on the EFI partition.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unpacked {
    /// Length in bytes, 1 to [`SLOT_BYTES`].
    pub length: u64,
    /// SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// How long a version has to prove itself, and how often it may try.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TrialTerms {
    /// Starts, 1 to 9, of which one has to succeed.
    pub starts: u8,
    /// Seconds for which everything must hold without a break.
    pub steady_s: u64,
    /// Seconds after the start of the machine by which that must have come about.
    pub patience_s: u64,
}

/// What is new, for people.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Notes {
    /// In German.
    pub de: String,
    /// In English.
    pub en: String,
}

/// Why a target is no release that a box could use.
#[derive(Debug, thiserror::Error)]
pub enum NotARelease {
    /// Fields are missing or of another type.
    #[error("custom fields of the target are no release's")]
    Malformed(#[from] serde_json::Error),
    /// A value is out of its bounds.
    #[error("a field of the release is out of bounds: {0}")]
    OutOfBounds(&'static str),
}

/// Why a release is not for this box, in the order in which it is asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum Refusal {
    /// It is for another board.
    #[error("for another board: {0}")]
    WrongBoard(String),
    /// It is older than what runs, or the same.
    #[error("not newer than what runs: {0}")]
    NotNewer(VersionNumber),
    /// What runs is too old for it.
    #[error("an update to this version or a newer one has to come first: {0}")]
    NeedsAtLeast(VersionNumber),
    /// It, or a newer one, was tried and failed.
    #[error("was tried and failed: {0}")]
    FailedBefore(VersionNumber),
}

impl Release {
    /// Reads what is said of a target.
    ///
    /// # Errors
    /// When it is no release, or a value is out of its bounds.
    pub fn of(target: &Target) -> Result<Self, NotARelease> {
        let release = Self::deserialize(target.custom())?;
        release.check()?;
        Ok(release)
    }

    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    /// `OutOfBounds` with the field that is not.
    pub fn check(&self) -> Result<(), NotARelease> {
        let TrialTerms {
            starts,
            steady_s,
            patience_s,
        } = self.trial;
        let holds = [
            ("board", is_plain(&self.board)),
            (
                "unpacked.length",
                (1..=SLOT_BYTES).contains(&self.unpacked.length),
            ),
            ("unpacked.sha256", self.unpacked.digest().is_some()),
            ("trial.starts", (1..=9).contains(&starts)),
            ("trial.steady_s", steady_s <= patience_s),
            ("trial.patience_s", patience_s <= TRIAL_SECONDS_MAX),
            ("notes.de", self.notes.de.len() <= NOTES_BYTES_MAX),
            ("notes.en", self.notes.en.len() <= NOTES_BYTES_MAX),
        ];
        match holds.iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(NotARelease::OutOfBounds(field)),
            None => Ok(()),
        }
    }

    /// The path of the target for a board and version.
    pub fn path(&self) -> String {
        format!("{}/coffer-{}.efi.zst", self.board, self.version)
    }

    /// Says why a box of this board with this version does not take it; nothing when it does. A version that failed is not asked here.
    pub fn refusal(&self, board: &str, running: VersionNumber) -> Option<Refusal> {
        if self.board != board {
            return Some(Refusal::WrongBoard(self.board.clone()));
        }
        if self.version <= running {
            return Some(Refusal::NotNewer(self.version));
        }
        (running < self.minimum_version).then_some(Refusal::NeedsAtLeast(self.minimum_version))
    }
}

impl Unpacked {
    /// The digest as 32 bytes; nothing when the text is none.
    pub(crate) fn digest(&self) -> Option<Vec<u8>> {
        hex::decode(&self.sha256).filter(|digest| digest.len() == SHA256_BYTES)
    }
}

impl Notes {
    /// Gives the notes for a language tag: German for `de`, else English.
    pub fn text(&self, language: &str) -> &str {
        match language {
            "de" => &self.de,
            _ => &self.en,
        }
    }
}

/// Names of boards become part of paths and of lines on the console.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

impl FromStr for VersionNumber {
    type Err = NotAVersionNumber;

    fn from_str(text: &str) -> Result<Self, NotAVersionNumber> {
        let mut numbers = text.split('.').map(number);
        let mut next = || numbers.next().flatten();
        match (next(), next(), next(), numbers.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(Self([major, minor, patch])),
            _ => Err(NotAVersionNumber(text.to_owned())),
        }
    }
}

/// One to six digits without needless zeros, so that a version has one form.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_one_form = text == "0" || !text.starts_with('0');
    (plain && is_one_form).then(|| text.parse().ok()).flatten()
}

impl TryFrom<String> for VersionNumber {
    type Error = NotAVersionNumber;

    fn try_from(text: String) -> Result<Self, NotAVersionNumber> {
        text.parse()
    }
}

impl From<VersionNumber> for String {
    fn from(version: VersionNumber) -> Self {
        version.to_string()
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A release of a version for the board `box`, which can follow any version.
    pub(crate) fn release(version: &str) -> Release {
        Release {
            version: version.parse().expect("a version"),
            board: "box".to_owned(),
            minimum_version: "0.0.0".parse().expect("a version"),
            unpacked: Unpacked {
                length: 4711,
                sha256: "ab".repeat(32),
            },
            trial: TrialTerms {
                starts: 3,
                steady_s: 300,
                patience_s: 900,
            },
            notes: Notes::default(),
            released_at: Time::from_unix(1_800_000_000),
            supported_until: Time::from_unix(1_900_000_000),
        }
    }

    #[test]
    fn versions_have_one_form_and_an_order() {
        for (text, is_one) in [
            ("0.1.0", true),
            ("10.20.999999", true),
            ("1.2", false),
            ("1.2.3.4", false),
            ("1.2.03", false),
            ("1.2.3-rc1", false),
            ("1.2.", false),
            ("1.2.1000000", false),
            ("", false),
        ] {
            let read = text.parse::<VersionNumber>();
            assert_eq!(read.is_ok(), is_one, "{text}");
            if let Ok(version) = read {
                assert_eq!(version.to_string(), text);
            }
        }
        let number = |text: &str| text.parse::<VersionNumber>().expect("a version");
        assert!(number("0.9.9") < number("0.10.0"));
        assert!(number("0.10.0") < number("1.0.0"));
    }

    #[test]
    fn a_release_is_read_as_it_was_written() {
        let written = release("0.2.0");
        let mut custom = serde_json::to_value(&written).expect("JSON");
        assert_eq!(custom["released_at"], "2027-01-15T08:00:00Z");
        custom["later"] = "unknown".into();
        assert_eq!(Release::deserialize(&custom).expect("a release"), written);
        assert_eq!(written.path(), "box/coffer-0.2.0.efi.zst");
    }

    #[test]
    fn values_have_bounds() {
        let check = |field: &str, change: fn(&mut Release)| {
            let mut release = release("0.2.0");
            assert!(release.check().is_ok());
            change(&mut release);
            let found = release.check().expect_err("out of bounds").to_string();
            assert!(found.ends_with(field), "{found}");
        };
        check("board", |it| it.board = "../x".to_owned());
        check("board", |it| it.board.clear());
        check("unpacked.length", |it| it.unpacked.length = 0);
        check("unpacked.length", |it| it.unpacked.length = SLOT_BYTES + 1);
        check("unpacked.sha256", |it| it.unpacked.sha256 = "ab".to_owned());
        check("trial.starts", |it| it.trial.starts = 10);
        check("trial.steady_s", |it| it.trial.steady_s = 901);
        check("trial.patience_s", |it| it.trial.patience_s = 3601);
        check("notes.en", |it| it.notes.en = "x".repeat(8193));
    }

    #[test]
    fn what_is_not_for_this_box_is_refused() {
        let check = |version: &str, minimum: &str, board: &str, expected: Option<&str>| {
            let mut release = release(version);
            release.minimum_version = minimum.parse().expect("a version");
            let running = "0.2.0".parse().expect("a version");
            let refusal = release.refusal(board, running);
            let text = refusal.map(|refusal| refusal.to_string());
            assert_eq!(text.as_deref(), expected, "{version} {minimum} {board}");
        };
        check("0.3.0", "0.2.0", "box", None);
        check("0.3.0", "0.2.0", "barn", Some("for another board: box"));
        check(
            "0.2.0",
            "0.1.0",
            "box",
            Some("not newer than what runs: 0.2.0"),
        );
        check(
            "0.1.9",
            "0.1.0",
            "box",
            Some("not newer than what runs: 0.1.9"),
        );
        let first = "an update to this version or a newer one has to come first: 0.2.1";
        check("0.3.0", "0.2.1", "box", Some(first));
    }
}
