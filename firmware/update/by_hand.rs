//! A version that somebody brings in a file: what it comes to is found out before anything is believed for good, so that he can be asked.
//!
//! A repository on a stick may be older than its timestamp or snapshot allow. Then it is followed once more, into a folder that is thrown away, to say
//! which version it has; whether that counts is for a person to say. Nothing else is ever waived: what was signed, what is not older than what
//! was seen, and how long root and targets hold. Deliberately installs nothing.

use crate::choose::{Choice, Offer, Running, choose};
use crate::client::{Options, Stale};
use crate::error::{Fault, UpdateError};
use crate::folder::{MetadataFolder, write_error};
use crate::metadata::{SNAPSHOT, TIMESTAMP, Target};
use crate::release::VersionNumber;
use crate::repository::Repository;
use crate::time::Time;
use crate::updater::Updater;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What a repository in a file comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Brought {
    /// It is up to date; this comes next.
    Fresh(Choice),
    /// It has expired: somebody has to say that this version is the one he means.
    Stale {
        /// What would come next.
        version: VersionNumber,
        /// When the repository's word has ended.
        expired: Time,
    },
}

/// Finds out what a repository in a file comes to; `kept` is what the box trusts, `scratch` a folder that nobody needs.
///
/// With `options.stale` confirmed, what has expired counts as up to date.
///
/// # Errors
/// When the repository is not believed, or nothing in it is for this box.
pub fn look(
    kept: &MetadataFolder,
    scratch: &Path,
    repository: &dyn Repository,
    options: Options,
    running: &Running,
    failed: &[VersionNumber],
) -> Result<Brought, UpdateError> {
    let chosen = |targets| choose(Offer::all(targets), running, failed);
    let expired = match targets(kept, repository, options.clone()) {
        Ok(targets) => return Ok(Brought::Fresh(chosen(targets))),
        Err(error) => expiry(&error).ok_or(error)?,
    };
    remove(scratch)?;
    let guess = MetadataFolder::new(scratch);
    guess.init(&kept.root()?)?;
    let stale = Stale::Confirmed;
    let targets = targets(&guess, repository, Options { stale, ..options });
    remove(scratch)?;
    Ok(match chosen(targets?) {
        Choice::Next(offer) => Brought::Stale {
            version: offer.release.version,
            expired,
        },
        other => Brought::Fresh(other),
    })
}

fn targets(
    kept: &MetadataFolder,
    repository: &dyn Repository,
    options: Options,
) -> Result<Vec<Target>, UpdateError> {
    let mut updater = Updater::new(kept, repository, options)?;
    updater.refresh()?;
    Ok(updater.top_level_targets())
}

/// When a timestamp or snapshot has expired that is refused for nothing else.
fn expiry(error: &UpdateError) -> Option<Time> {
    match error {
        UpdateError::Refused {
            role,
            source: Fault::Expired(at),
        } if [TIMESTAMP, SNAPSHOT].contains(&role.as_str()) => Some(*at),
        _ => None,
    }
}

fn remove(folder: &Path) -> Result<(), UpdateError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(write_error(folder, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;
    use crate::file_repository::FileRepository;
    use crate::file_repository::tests::packed;
    use crate::test_repository::{Follower, PAST, TestRepository};
    use serde_json::json;
    use tempfile::{TempDir, tempdir};

    /// A repository with a version for the board `box`.
    fn published(version: &str) -> TestRepository {
        let mut repository = TestRepository::new();
        repository.offer(version);
        repository
    }

    /// Signs roles anew as they are, so that they have expired.
    fn expire(repository: &mut TestRepository, roles: &[&str]) {
        for role in roles {
            repository.role(role)["expires"] = json!(PAST);
        }
        repository.publish(&["targets", "snapshot", "timestamp"]);
    }

    /// As it lies on a stick.
    fn in_a_file(repository: &TestRepository) -> FileRepository {
        let files = repository.files.iter();
        let files: Vec<_> = files
            .map(|(name, bytes)| (format!("metadata/{name}"), bytes))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        FileRepository::open(packed(&files)).expect("a tar")
    }

    /// A box of the board `box` with 0.1.0, which began with the first root.
    struct TestBox {
        folder: TempDir,
        board: &'static str,
        stale: Stale,
    }

    impl TestBox {
        fn new(repository: &TestRepository) -> Self {
            let new = Self {
                folder: tempdir().expect("a folder"),
                board: "box",
                stale: Stale::Refuse,
            };
            let root = &repository.files["1.root.json"];
            new.kept().init(root).expect("a new folder");
            new
        }

        fn kept(&self) -> MetadataFolder {
            MetadataFolder::new(self.folder.path().join("kept"))
        }

        /// What comes of it, in a line.
        fn look(&self, repository: &TestRepository) -> String {
            let scratch = self.folder.path().join("scratch");
            let options = Options {
                stale: self.stale,
                ..Follower::new(repository).options
            };
            let running = Running {
                board: self.board.to_owned(),
                version: "0.1.0".parse().expect("a version"),
            };
            let file = in_a_file(repository);
            let found = look(&self.kept(), &scratch, &file, options, &running, &[]);
            assert!(!scratch.exists());
            match found {
                Ok(Brought::Fresh(Choice::Next(offer))) => offer.release.version.to_string(),
                Ok(Brought::Fresh(Choice::UpToDate)) => "nothing".to_owned(),
                Ok(Brought::Fresh(Choice::Refused(_, why))) => why.to_string(),
                Ok(Brought::Stale { version, .. }) => format!("stale {version}"),
                Err(error) => chain(&error),
            }
        }
    }

    #[test]
    fn what_is_brought_is_taken_or_refused_as_what_is_fetched() {
        let mut check = TestBox::new(&published("0.2.0"));
        assert_eq!(check.look(&published("0.2.0")), "0.2.0");
        let empty = TestRepository::new();
        assert_eq!(TestBox::new(&empty).look(&empty), "nothing");
        let older = TestBox::new(&published("0.0.9")).look(&published("0.0.9"));
        assert_eq!(older, "not newer than what runs: 0.0.9");
        check.board = "barn";
        assert_eq!(check.look(&published("0.2.0")), "for another board: box");
        check.board = "box";
        let mut foreign = published("0.2.0");
        foreign.signers.insert("timestamp".to_owned(), vec![99]);
        foreign.publish(&["timestamp"]);
        let said = check.look(&foreign);
        assert!(
            said.contains("timestamp: signed by 0 of the 1 keys"),
            "{said}"
        );
    }

    #[test]
    fn what_has_expired_is_asked_about_and_nothing_is_kept_before() {
        for roles in [
            &["timestamp"][..],
            &["snapshot"],
            &["timestamp", "snapshot"],
        ] {
            let mut repository = published("0.2.0");
            expire(&mut repository, roles);
            let mut check = TestBox::new(&repository);
            assert_eq!(check.look(&repository), "stale 0.2.0", "{roles:?}");
            let kept = check.kept().load("targets").expect("readable");
            assert_eq!(kept, None, "{roles:?}");
            check.stale = Stale::Confirmed;
            assert_eq!(check.look(&repository), "0.2.0", "{roles:?}");
        }
    }

    #[test]
    fn root_targets_and_what_goes_back_are_never_waived() {
        let mut check = TestBox::new(&published("0.2.0"));
        let mut old = published("0.2.0");
        expire(&mut old, &["timestamp"]);
        let mut newer = published("0.2.0");
        for _ in 0..3 {
            newer.offer("0.3.0");
        }
        assert_eq!(check.look(&newer), "0.3.0");
        check.stale = Stale::Confirmed;
        let said = check.look(&old);
        assert!(said.contains("goes back from"), "{said}");
        let mut without = published("0.2.0");
        expire(&mut without, &["targets"]);
        for stale in [Stale::Refuse, Stale::Confirmed] {
            let mut check = TestBox::new(&without);
            check.stale = stale;
            let said = check.look(&without);
            assert!(said.contains("targets: expired"), "{said}");
        }
    }
}
