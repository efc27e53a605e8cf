//! The check that whoever writes a slot makes itself: it believes the process that fetched a version nothing, follows the metadata which that process
//! trusts with a client of its own, from its own root on, and finds out what they vouch for.
//!
//! What lies in the other process's folder is a repository like any other: nothing in it counts but signatures. Deliberately opens no file itself:
//! whoever asks knows how to open what somebody else may have put there.

use crate::choose::{Offer, Running};
use crate::client::Options;
use crate::error::{CheckError, FetchError};
use crate::folder::{MetadataFolder, ROOTS};
use crate::release::VersionNumber;
use crate::repository::Repository;
use crate::updater::Updater;
use std::fs::File;
use std::io::{self, Read};

/// The folder of metadata that another process trusts; `open` opens a file in it by its path, or says that there is none.
pub struct HandedOver<F> {
    open: F,
}

impl<F: Fn(&str) -> io::Result<Option<File>>> HandedOver<F> {
    /// Names the folder by how its files are opened.
    pub fn new(open: F) -> Self {
        Self { open }
    }
}

impl<F: Fn(&str) -> io::Result<Option<File>>> Repository for HandedOver<F> {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        let Some(path) = kept_at(name) else {
            return Ok(None);
        };
        let file = (self.open)(&path).map_err(|error| FetchError::Transport(error.into()))?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Read>))
    }

    fn target(&self, _: &str, _: u64, _: u64) -> Result<Option<Box<dyn Read>>, FetchError> {
        Ok(None)
    }
}

/// Where a folder of trusted metadata keeps what a repository gives out under a name: roots by their numbers, all else without.
fn kept_at(name: &str) -> Option<String> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let role = match name.split_once('.') {
        Some((version, "root.json")) if number(version) => return Some(format!("{ROOTS}/{name}")),
        Some((version, role)) if number(version) => role,
        _ => name,
    };
    let is_known = ["timestamp.json", "snapshot.json", "targets.json"].contains(&role);
    is_known.then(|| role.to_owned())
}

/// Says what is vouched for under a version's number for this box; `trusted` is the folder of whoever asks.
///
/// # Errors
/// When the metadata are not believed, nobody vouches for such a version, or it is not for this box.
pub fn check(
    trusted: &MetadataFolder,
    handed_over: &dyn Repository,
    options: Options,
    running: &Running,
    version: VersionNumber,
) -> Result<Offer, CheckError> {
    let mut updater = Updater::new(trusted, handed_over, options)?;
    updater.refresh()?;
    let offers = Offer::all(updater.top_level_targets());
    let is_it = |it: &Offer| it.release.version == version && it.release.board == running.board;
    let offer = offers.into_iter().find(is_it);
    let offer = offer.ok_or(CheckError::Unknown(version))?;
    match offer.release.refusal(&running.board, running.version) {
        Some(refusal) => Err(CheckError::Refused(refusal)),
        None => Ok(offer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;
    use crate::test_repository::{Follower, TestRepository};
    use std::fs;
    use std::path::{Path, PathBuf};
    use tempfile::{TempDir, tempdir};

    /// A repository with a version for the board `box`, whose root has changed its keys twice.
    fn published() -> TestRepository {
        let mut repository = TestRepository::new();
        for key in [11, 12] {
            repository.set_keys("targets", &[key], 1);
            repository.signers.insert("targets".to_owned(), vec![key]);
            repository.publish(&["root"]);
        }
        repository.offer("0.2.0");
        repository
    }

    /// The process that fetches, and the one that checks: each has a folder that began with the first root.
    struct Both {
        all: TempDir,
        first_root: Vec<u8>,
    }

    impl Both {
        fn new(repository: &TestRepository) -> Self {
            let first_root = repository.files["1.root.json"].clone();
            let both = Self {
                all: tempdir().expect("a folder"),
                first_root,
            };
            both.trusted().init(&both.first_root).expect("a new folder");
            both
        }

        fn folder(&self) -> PathBuf {
            self.all.path().join("fetching")
        }

        fn trusted(&self) -> MetadataFolder {
            MetadataFolder::new(self.all.path().join("checking"))
        }

        /// Follows a repository from the beginning, as the process that fetches does.
        fn fetch(&self, repository: &TestRepository) {
            let _ = fs::remove_dir_all(self.folder());
            let folder = MetadataFolder::new(self.folder());
            folder.init(&self.first_root).expect("a new folder");
            let options = Follower::new(repository).options;
            let mut updater = Updater::new(&folder, repository, options).expect("a root");
            updater.refresh().expect("believed");
        }

        /// Checks what lies there on a box of this board.
        fn check(&self, repository: &TestRepository, board: &str, version: &str) -> String {
            let folder = self.folder();
            let handed_over = HandedOver::new(|path: &str| open(&folder.join(path)));
            let options = Follower::new(repository).options;
            let number = |text: &str| text.parse().expect("a version");
            let running = Running {
                board: board.to_owned(),
                version: number("0.1.0"),
            };
            let version = number(version);
            match check(&self.trusted(), &handed_over, options, &running, version) {
                Ok(offer) => offer.target.path().to_owned(),
                Err(error) => chain(&error),
            }
        }
    }

    fn open(path: &Path) -> io::Result<Option<File>> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    #[test]
    fn what_is_vouched_for_is_found_from_the_first_root_on() {
        let mut repository = published();
        let both = Both::new(&repository);
        both.fetch(&repository);
        let check = |repository: &TestRepository, board, version, expected: &str| {
            let found = both.check(repository, board, version);
            assert_eq!(found, expected, "{board} {version}");
        };
        check(&repository, "box", "0.2.0", "box/coffer-0.2.0.efi.zst");
        let unknown = "nobody vouches for this version: 0.3.0";
        check(&repository, "box", "0.3.0", unknown);
        let unknown = "nobody vouches for this version: 0.2.0";
        check(&repository, "barn", "0.2.0", unknown);
        repository.offer("0.1.0");
        both.fetch(&repository);
        let older = "this box does not take it: not newer than what runs: 0.1.0";
        check(&repository, "box", "0.1.0", older);
    }

    #[test]
    fn what_the_process_that_fetches_makes_up_is_refused() {
        let mut repository = published();
        let both = Both::new(&repository);
        let refused = |repository: &TestRepository, expected: &str| {
            let found = both.check(repository, "box", "0.3.0");
            assert!(found.starts_with("metadata are not believed: "), "{found}");
            assert!(found.contains(expected), "{found}");
        };
        // Nothing at all.
        refused(&repository, "lacks a file");
        // Targets with a signature of its own.
        both.fetch(&repository);
        let mut forged = published();
        forged.signers.insert("targets".to_owned(), vec![99]);
        forged.offer("0.3.0");
        for name in ["targets.json", "snapshot.json", "timestamp.json"] {
            fs::write(both.folder().join(name), &forged.files[name]).expect("room");
        }
        refused(&repository, "targets");
        // A root of its own.
        let own = both.folder().join(ROOTS).join("4.root.json");
        fs::write(&own, &forged.files["1.root.json"]).expect("room");
        refused(&repository, "root");
        // What was newer once, and is believed since.
        both.fetch(&repository);
        let before = tempdir().expect("a folder");
        let old = ["targets.json", "snapshot.json", "timestamp.json"];
        for name in old {
            fs::copy(both.folder().join(name), before.path().join(name)).expect("room");
        }
        repository.offer("0.3.0");
        both.fetch(&repository);
        assert_eq!(
            both.check(&repository, "box", "0.3.0"),
            "box/coffer-0.3.0.efi.zst"
        );
        for name in old {
            fs::copy(before.path().join(name), both.folder().join(name)).expect("room");
        }
        refused(&repository, "timestamp");
    }

    #[test]
    fn names_of_a_repository_are_files_of_a_folder() {
        for (name, expected) in [
            ("2.root.json", Some("root_history/2.root.json")),
            ("timestamp.json", Some("timestamp.json")),
            ("7.snapshot.json", Some("snapshot.json")),
            ("snapshot.json", Some("snapshot.json")),
            ("7.targets.json", Some("targets.json")),
            ("root.json", None),
            ("x.root.json", None),
            ("../x.root.json", None),
            ("7.other.json", None),
        ] {
            assert_eq!(kept_at(name).as_deref(), expected, "{name}");
        }
    }
}
