//! What a box remembers of its updates: what was tried and how it ended, what failed, when it last could check, what is on offer, and a pause.
//!
//! It is one file of JSON, replaced as a whole (`memory.json`), and lies beside the trusted metadata. An older version reads it, too: fields that are
//! not known are passed over, and one that is missing has the value of a box that has never updated. A file that cannot be read counts as
//! absent: the metadata have versions of their own, and the state partition knows which version failed.
//!
//! Deliberately decides nothing.

use crate::error::UpdateError;
use crate::folder::{replace, write_error};
use crate::release::{Notes, Refusal, VersionNumber};
use crate::time::Time;
use crate::trial::Failure;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Name of the file.
const NAME: &str = "memory.json";

/// 1 MiB: hundred entries have a fiftieth of it. A longer file is not ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// 100 entries, of which the oldest goes first: some years.
const ENTRIES_MAX: usize = 100;

/// 20 versions that failed: none of them can come again once a newer one is installed.
const FAILED_MAX: usize = 20;

/// 50 versions: those of some years.
const LISTED_MAX: usize = 50;

/// 14 days without a check, and people are told.
pub const UNCHECKED_DAYS_MAX: i64 = 14;

const DAY_S: i64 = 86_400;

/// What is remembered.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Memory {
    /// When the repository was last followed to its end.
    pub checked_at: Option<Time>,
    /// Since when it could not be, and why, in words of the log.
    pub unchecked: Option<Unchecked>,
    /// The release that comes next.
    pub available: Option<Available>,
    /// Why the newest release is not taken.
    pub refused: Option<(VersionNumber, Refusal)>,
    /// Versions that did not prove themselves.
    pub failed: Vec<VersionNumber>,
    /// The version that is on trial, since it was installed.
    pub on_trial: Option<VersionNumber>,
    /// Until when updates are paused.
    pub paused_until: Option<Time>,
    /// Since when one pause has followed another.
    pub paused_since: Option<Time>,
    /// The newest moment that was signed: no clock is before it.
    pub signed_at: Option<Time>,
    /// When security updates for the version that runs end.
    pub supported_until: Option<Time>,
    /// Versions for this board that were vouched for at the last check, the newest first.
    pub listed: Vec<VersionNumber>,
    /// What happened, the newest first.
    pub history: Vec<Entry>,
}

/// Why nothing could be checked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Unchecked {
    /// Since when.
    pub since: Time,
    /// Why, the last time.
    pub why: String,
}

/// A release that is on offer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Available {
    /// Its number.
    pub version: VersionNumber,
    /// What is new.
    pub notes: Notes,
    /// Bytes to fetch.
    pub length: u64,
    /// When it was first seen.
    pub seen_at: Time,
}

/// Something that happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// To which version.
    pub version: VersionNumber,
    /// What.
    pub outcome: Outcome,
}

/// What happened to a version.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It lies in its slot, and starts next.
    Installed,
    /// It proved itself.
    Good,
    /// It did not, and the one before runs again.
    Failed(Failure),
    /// It could not be fetched or written; in words of the log.
    NotInstalled(String),
    /// Somebody went back from it to the one before.
    Left,
}

impl Memory {
    /// Reads what is remembered in a folder; nothing where there is no file of ours.
    pub fn load(folder: &Path) -> Self {
        let mut text = String::new();
        let read = File::open(folder.join(NAME))
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        let memory = read.ok().and_then(|_| serde_json::from_str(&text).ok());
        memory.unwrap_or_default()
    }

    /// Keeps it, in place of what was there.
    ///
    /// # Errors
    /// `Write`. What was kept is still there then.
    pub fn save(&self, folder: &Path) -> Result<(), UpdateError> {
        let text = serde_json::to_vec_pretty(self).expect("text and numbers can be written");
        replace(folder, NAME, |mut file, path| {
            file.write_all(&text)
                .map_err(|source| write_error(path, source))
        })
    }

    /// Notes that the repository was followed to its end.
    pub fn checked(&mut self, now: Time) {
        self.checked_at = Some(now);
        self.unchecked = None;
    }

    /// Notes which versions for this board are vouched for.
    pub fn lists(&mut self, mut versions: Vec<VersionNumber>) {
        versions.sort_unstable_by(|one, other| other.cmp(one));
        versions.truncate(LISTED_MAX);
        self.listed = versions;
    }

    /// Says whether a version was vouched for once and is not any more. Of one that is older than all that are remembered nothing is known.
    pub fn is_withdrawn(&self, version: VersionNumber) -> bool {
        let oldest = self.listed.last();
        oldest.is_some_and(|oldest| *oldest < version) && !self.listed.contains(&version)
    }

    /// Notes that it could not be.
    pub fn not_checked(&mut self, now: Time, why: String) {
        let since = self.unchecked.as_ref().map_or(now, |before| before.since);
        self.unchecked = Some(Unchecked { since, why });
    }

    /// For how many days nothing could be checked, where that is long enough to be told.
    pub fn unchecked_days(&self, now: Time) -> Option<i64> {
        let unchecked = self.unchecked.as_ref()?;
        let since = self.checked_at.unwrap_or(unchecked.since);
        let days = (now.unix() - since.unix()) / DAY_S;
        (days >= UNCHECKED_DAYS_MAX).then_some(days)
    }

    /// Nothing is installed until then. A pause behind another one prolongs it.
    pub fn pause(&mut self, now: Time, until: Time) {
        self.paused_since.get_or_insert(now);
        self.paused_until = Some(until);
    }

    /// What comes is installed again.
    pub fn resume(&mut self) {
        (self.paused_since, self.paused_until) = (None, None);
    }

    /// For how many days a version that is there has been kept waiting by pauses, from the first day on.
    pub fn put_off_days(&self, now: Time) -> Option<i64> {
        let seen_at = self.available.as_ref()?.seen_at;
        let since = self.paused_since?.max(seen_at);
        let days = (now.unix() - since.unix()) / DAY_S;
        (days > 0).then_some(days)
    }

    /// Notes what is on offer; one that is known already keeps the moment in which it was first seen.
    pub fn offered(&mut self, mut new: Available) {
        if let Some(known) = self
            .available
            .as_ref()
            .filter(|it| it.version == new.version)
        {
            new.seen_at = known.seen_at;
        }
        self.available = Some(new);
    }

    /// Notes what happened to a version.
    pub fn happened(&mut self, at: Time, version: VersionNumber, outcome: Outcome) {
        match &outcome {
            Outcome::Installed => self.is_installed(version),
            Outcome::Good => self.is_good(version),
            Outcome::Failed(_) | Outcome::Left => self.has_failed(version),
            Outcome::NotInstalled(_) => {}
        }
        // What fails in the same way again each night is one thing that happened.
        if self.ended_so(version, &outcome) {
            self.history.remove(0);
        }
        let entry = Entry {
            at,
            version,
            outcome,
        };
        self.history.insert(0, entry);
        self.history.truncate(ENTRIES_MAX);
    }

    /// Says whether the last thing that happened is this.
    pub fn ended_so(&self, version: VersionNumber, outcome: &Outcome) -> bool {
        let is_it = |last: &Entry| last.version == version && last.outcome == *outcome;
        self.history.first().is_some_and(is_it)
    }

    fn is_installed(&mut self, version: VersionNumber) {
        self.on_trial = Some(version);
        self.available = self.available.take().filter(|it| it.version > version);
    }

    fn is_good(&mut self, version: VersionNumber) {
        self.on_trial = None;
        self.paused_since = None;
        // What failed before is older, and cannot come again.
        self.failed.retain(|failed| *failed > version);
        self.available = self.available.take().filter(|it| it.version > version);
    }

    fn has_failed(&mut self, version: VersionNumber) {
        self.on_trial = None;
        self.failed.retain(|failed| *failed != version);
        self.failed.insert(0, version);
        self.failed.truncate(FAILED_MAX);
        self.available = self.available.take().filter(|it| it.version != version);
    }

    /// Raises the newest moment that was signed.
    pub fn signed(&mut self, at: Time) {
        self.signed_at = self.signed_at.max(Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Proof;

    fn version(text: &str) -> VersionNumber {
        text.parse().expect("a version")
    }

    fn day(days: i64) -> Time {
        Time::from_unix(1_800_000_000 + days * DAY_S)
    }

    fn available(text: &str, seen_at: Time) -> Available {
        Available {
            version: version(text),
            notes: Notes::default(),
            length: 1,
            seen_at,
        }
    }

    #[test]
    fn what_is_kept_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Memory::load(folder.path()), Memory::default());
        let mut memory = Memory::default();
        memory.checked(day(0));
        memory.offered(available("0.2.0", day(0)));
        memory.signed(day(1));
        memory.signed(day(0));
        let why = Failure::Unproved(Proof::SelfTest, "not found".to_owned());
        for outcome in [
            Outcome::Installed,
            Outcome::Good,
            Outcome::Failed(why),
            Outcome::NotInstalled("disk full".to_owned()),
            Outcome::Left,
        ] {
            memory.happened(day(1), version("0.2.0"), outcome);
        }
        memory.refused = Some((version("0.3.0"), Refusal::WrongBoard("box".to_owned())));
        memory.save(folder.path()).expect("kept");
        assert_eq!(Memory::load(folder.path()), memory);
        assert_eq!(memory.signed_at, Some(day(1)));
    }

    #[test]
    fn what_is_no_memory_counts_as_absent_and_what_is_unknown_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |text: &str, expected: Memory| {
            std::fs::write(folder.path().join(NAME), text).expect("room");
            assert_eq!(Memory::load(folder.path()), expected, "{text}");
        };
        check("", Memory::default());
        check("{\"failed\": 7}", Memory::default());
        let failed = vec![version("1.0.0")];
        let expected = Memory {
            failed,
            ..Memory::default()
        };
        check("{\"failed\": [\"1.0.0\"], \"later\": {}}", expected);
    }

    #[test]
    fn what_failed_is_remembered_until_a_newer_one_is_good() {
        let mut memory = Memory::default();
        memory.offered(available("1.1.0", day(0)));
        memory.happened(day(0), version("1.1.0"), Outcome::Installed);
        assert_eq!(memory.on_trial, Some(version("1.1.0")));
        assert_eq!(memory.available, None);
        for _ in 0..2 {
            let outcome = Outcome::Failed(Failure::Silent);
            memory.happened(day(0), version("1.1.0"), outcome);
        }
        assert_eq!(memory.failed, [version("1.1.0")]);
        assert_eq!((&memory.on_trial, &memory.available), (&None, &None));
        memory.happened(day(1), version("1.0.9"), Outcome::Good);
        assert_eq!(memory.failed, [version("1.1.0")]);
        memory.happened(day(1), version("1.2.0"), Outcome::Good);
        assert_eq!(memory.failed, []);
        for number in 0..100 {
            let why = format!("the {number}. time");
            memory.happened(day(2), version("1.2.0"), Outcome::NotInstalled(why));
            memory.happened(day(2), version("1.2.0"), Outcome::Installed);
            let before = memory.history.len();
            memory.happened(day(3), version("1.2.0"), Outcome::Installed);
            assert_eq!(memory.history.len(), before);
            assert_eq!(memory.history[0].at, day(3));
        }
        assert_eq!(memory.history.len(), ENTRIES_MAX);
    }

    #[test]
    fn an_offer_keeps_the_moment_it_was_first_seen() {
        let mut memory = Memory::default();
        memory.offered(available("1.1.0", day(0)));
        memory.offered(available("1.1.0", day(3)));
        assert_eq!(memory.available, Some(available("1.1.0", day(0))));
        memory.offered(available("1.2.0", day(4)));
        assert_eq!(memory.available, Some(available("1.2.0", day(4))));
    }

    #[test]
    fn days_that_pauses_cost_are_counted_over_all_of_them() {
        let mut memory = Memory::default();
        let check = |memory: &Memory, days: i64, expected: Option<i64>| {
            assert_eq!(memory.put_off_days(day(days)), expected, "day {days}");
        };
        memory.pause(day(0), day(30));
        check(&memory, 20, None);
        memory.offered(available("1.1.0", day(10)));
        check(&memory, 10, None);
        check(&memory, 20, Some(10));
        memory.pause(day(31), day(61));
        check(&memory, 50, Some(40));
        memory.happened(day(62), version("1.1.0"), Outcome::Good);
        memory.offered(available("1.2.0", day(63)));
        check(&memory, 70, None);
        memory.pause(day(64), day(65));
        memory.resume();
        check(&memory, 70, None);
        assert_eq!(memory.paused_until, None);
    }

    #[test]
    fn a_version_is_withdrawn_that_is_not_listed_between_others() {
        let mut memory = Memory::default();
        assert!(!memory.is_withdrawn(version("1.1.0")), "nobody knows");
        memory.lists(["1.0.0", "1.10.0", "1.2.0"].map(version).to_vec());
        assert_eq!(memory.listed[0], version("1.10.0"));
        for (number, expected) in [
            ("0.9.0", false),
            ("1.0.0", false),
            ("1.1.0", true),
            ("1.2.0", false),
            ("2.0.0", true),
        ] {
            assert_eq!(memory.is_withdrawn(version(number)), expected, "{number}");
        }
        let many = (0..60).map(|minor| version(&format!("1.{minor}.0")));
        memory.lists(many.collect());
        assert_eq!(memory.listed.len(), LISTED_MAX);
        assert!(!memory.is_withdrawn(version("1.5.1")), "nobody knows");
    }

    #[test]
    fn fourteen_days_without_a_check_are_told() {
        let mut memory = Memory::default();
        memory.not_checked(day(0), "no route".to_owned());
        memory.not_checked(day(5), "no name".to_owned());
        for (days, expected) in [(13, None), (14, Some(14)), (20, Some(20))] {
            assert_eq!(memory.unchecked_days(day(days)), expected, "{days}");
        }
        memory.checked(day(20));
        memory.not_checked(day(21), "no route".to_owned());
        assert_eq!(memory.unchecked_days(day(33)), None);
        assert_eq!(memory.unchecked_days(day(34)), Some(14));
    }
}
