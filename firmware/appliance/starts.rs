//! Starts in a row of one version that did not go well, counted beside the boot loader's tries: those end with the first good start, and fail
//! where a firmware cannot rename files.
//!
//! The disks' worker counts as soon as the boot medium is found, once a boot; PID 1 says when the machine has been well for a while. A version that was
//! never marked good cannot clear its count so: what proves a version, and what is done about one that never does, is decided where updates are.

use crate::state_record::StateRecord;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the image says about itself.
pub(crate) const RELEASE: &str = "/etc/coffer/release";

/// There once this boot was counted; a worker that is started again counts nothing.
pub(crate) const COUNTED: &str = "/run/coffer/start-counted";

/// PID 1 writes it when the machine has been well for a while.
pub(crate) const WELL: &str = "/run/coffer/well";

/// 2 minutes without interruption: what dies at once dies within them, as often as it is started again.
const WELL_AFTER: Duration = Duration::from_secs(120);

/// Counts this boot of a version; gives its starts in a row, this one included. `marker` tells a second call in the same boot.
///
/// # Errors
/// When the marker cannot be made.
pub(crate) fn count(record: &mut StateRecord, version: &str, marker: &Path) -> io::Result<u8> {
    match File::create_new(marker) {
        Ok(_) => Ok(record.count_start(version)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(record.starts().map_or(0, |starts| starts.count))
        }
        Err(error) => Err(error),
    }
}

/// Forgets the starts of a version that is well, unless another one is known to be good: then it is on trial.
pub(crate) fn went_well(record: &mut StateRecord, version: &str) {
    if record.good_version().is_none_or(|good| good == version) {
        record.clear_starts();
    }
}

/// The version that the image gives itself, out of `key=value` lines.
pub(crate) fn running_version(release: &Path) -> io::Result<String> {
    let release = fs::read_to_string(release)?;
    let version = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION="));
    version
        .map(|version| version.trim().to_owned())
        .ok_or_else(|| io::Error::other("the image does not tell its version"))
}

/// Decides when the machine has been well for a while.
#[derive(Debug, Default)]
pub(crate) struct Steadiness {
    since: Option<Instant>,
    is_told: bool,
}

impl Steadiness {
    /// Takes note of whether all is well now; true the one time that it has been so for long enough.
    pub(crate) fn take(&mut self, is_well: bool, now: Instant) -> bool {
        if !is_well {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_new = now - since >= WELL_AFTER && !self.is_told;
        self.is_told |= is_new;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_counted_once_and_another_version_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut record = StateRecord::default();
        for (boot, version, expected) in [
            ("1", "0.1.0", 1),
            ("1", "0.1.0", 1), // the worker was started again
            ("2", "0.1.0", 2),
            ("3", "0.2.0", 1),
            ("4", "0.1.0", 1),
        ] {
            let marker = folder.path().join(boot);
            let counted = count(&mut record, version, &marker).expect("counted");
            assert_eq!(counted, expected, "boot {boot} of {version}");
        }
        let nowhere = folder.path().join("no/folder");
        assert!(count(&mut record, "0.1.0", &nowhere).is_err());
    }

    #[test]
    fn only_a_version_that_is_not_on_trial_clears_its_count() {
        let check = |good: Option<&str>, left: bool| {
            let mut record = StateRecord::default();
            record.count_start("0.2.0");
            if let Some(good) = good {
                record.set_good_version(good);
            }
            went_well(&mut record, "0.2.0");
            assert_eq!(record.starts().is_some(), left, "{good:?}");
        };
        check(None, false);
        check(Some("0.2.0"), false);
        check(Some("0.1.0"), true);
    }

    #[test]
    fn the_version_is_a_line_of_the_release() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "BOARD=x\nVERSION=0.3.1\n").expect("written");
        let version = running_version(file.path()).expect("a version");
        assert_eq!(version, "0.3.1");
        fs::write(file.path(), "BOARD=x\n").expect("written");
        assert!(running_version(file.path()).is_err());
    }

    #[test]
    fn well_is_what_was_so_for_two_minutes_without_a_break() {
        let start = Instant::now();
        let mut steadiness = Steadiness::default();
        for (second, is_well, expected) in [
            (0, false, false),
            (10, true, false),
            (129, true, false),
            (129, false, false),
            (130, true, false),
            (249, true, false),
            (250, true, true),
            (300, true, false),
            (301, false, false),
            (302, true, false),
            (500, true, false),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(steadiness.take(is_well, now), expected, "{second} s");
        }
    }
}
