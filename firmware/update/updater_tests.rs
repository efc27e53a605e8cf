//! Runs with a real folder: what lies there afterwards, whatever the repository gives out.

use crate::error::{FetchError, UpdateError};
use crate::folder::MetadataFolder;
use crate::repository::Repository;
use crate::test_repository::{Follower, TestRepository, outcome};
use crate::updater::Updater;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A repository with the files of targets.
struct Served {
    repository: TestRepository,
    targets: BTreeMap<String, Vec<u8>>,
    fetched: RefCell<Vec<String>>,
    /// Bytes of a target after which the way to it breaks off.
    breaks_off_after: Option<u64>,
}

/// A way that has broken off.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Repository for Served {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        let file = self.repository.files.get(name).cloned();
        Ok(file.map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn Read>))
    }

    fn target(&self, path: &str, _: u64, behind: u64) -> Result<Option<Box<dyn Read>>, FetchError> {
        self.fetched.borrow_mut().push(match behind {
            0 => path.to_owned(),
            _ => format!("{path} behind {behind}"),
        });
        let Some(file) = self.targets.get(path) else {
            return Ok(None);
        };
        let rest = file.get(behind as usize..).unwrap_or_default().to_owned();
        Ok(Some(match self.breaks_off_after {
            None => Box::new(Cursor::new(rest)),
            Some(bytes) => Box::new(Cursor::new(rest).take(bytes).chain(Broken)),
        }))
    }
}

impl Served {
    fn new() -> Self {
        let mut repository = TestRepository::new();
        repository.role("root")["consistent_snapshot"] = json!(false);
        repository.publish(&["root"]);
        Self {
            repository,
            targets: BTreeMap::new(),
            fetched: RefCell::default(),
            breaks_off_after: None,
        }
    }

    fn publish(&mut self, path: &str, content: &[u8]) {
        self.repository.add_target("targets", path, content);
        self.repository.publish_all();
        self.targets.insert(path.to_owned(), content.to_owned());
    }
}

/// Where a follower keeps metadata and targets.
struct Place {
    all: TempDir,
    metadata: MetadataFolder,
}

impl Place {
    fn new(served: &Served) -> Self {
        let all = tempfile::tempdir().expect("a folder");
        let metadata = MetadataFolder::new(all.path().join("new/metadata"));
        metadata
            .init(&served.repository.files["1.root.json"])
            .expect("an empty folder");
        Self { all, metadata }
    }

    fn path(&self) -> &Path {
        self.all.path()
    }

    fn download(&self, served: &Served, path: &str) -> Result<PathBuf, UpdateError> {
        let options = Follower::new(&served.repository).options;
        let mut updater = Updater::new(&self.metadata, served, options)?;
        updater.refresh()?;
        let target = updater.target(path)?;
        updater.download(&target, self.path())
    }

    /// All files, hidden ones too.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry"));
        let mut names: Vec<String> = entries
            .filter(|entry| entry.file_type().expect("a type").is_file())
            .map(|entry| entry.file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }
}

#[test]
fn targets_are_fetched_once() {
    let mut served = Served::new();
    served.publish("a/b.efi", b"content");
    let place = Place::new(&served);
    let path = place.download(&served, "a/b.efi").expect("a target");
    assert_eq!(fs::read(&path).expect("a file"), b"content");
    assert_eq!(place.download(&served, "a/b.efi").expect("a target"), path);
    assert_eq!(served.fetched.take(), ["a/b.efi"]);
    served.publish("a/b.efi", b"newer content");
    assert_eq!(place.download(&served, "a/b.efi").expect("a target"), path);
    assert_eq!(fs::read(&path).expect("a file"), b"newer content");
    assert_eq!(place.files(), ["a%2Fb.efi"]);
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let mut served = Served::new();
    served.publish("a", b"content");
    let place = Place::new(&served);
    served.breaks_off_after = Some(3);
    let broken = outcome(place.download(&served, "a"));
    assert!(broken.starts_with("cannot fetch: a"), "{broken}");
    assert_eq!(place.files(), [".a.part"]);
    assert!(place.download(&served, "a").is_err());
    served.breaks_off_after = None;
    let path = place.download(&served, "a").expect("a target");
    assert_eq!(fs::read(path).expect("a file"), b"content");
    assert_eq!(place.files(), ["a"]);
    assert_eq!(served.fetched.take(), ["a", "a behind 3", "a behind 6"]);
}

#[test]
fn what_broke_off_may_be_of_another_target() {
    for left in [&b"old"[..], b"conTent", b"something longer"] {
        let mut served = Served::new();
        served.publish("a", b"content");
        let place = Place::new(&served);
        fs::write(place.path().join(".a.part"), left).expect("room for a file");
        let path = place.download(&served, "a").expect("a target");
        assert_eq!(fs::read(path).expect("a file"), b"content");
        assert_eq!(place.files(), ["a"]);
    }
}

#[test]
fn a_damaged_target_is_fetched_again() {
    let mut served = Served::new();
    served.publish("a", b"content");
    let place = Place::new(&served);
    let path = place.download(&served, "a").expect("a target");
    for damaged in [&b"contend"[..], b"conten", b""] {
        fs::write(&path, damaged).expect("room for a file");
        assert_eq!(place.download(&served, "a").expect("a target"), path);
        assert_eq!(fs::read(&path).expect("a file"), b"content");
    }
}

#[test]
fn what_was_not_signed_does_not_come_in() {
    for (content, expected) in [
        (
            &b"contend"[..],
            "target is refused: a: wrong digest, expected: b2d1d285",
        ),
        (
            b"conten",
            "target is refused: a: longer or shorter than it must be, in bytes: 7",
        ),
        (
            b"content and more",
            "target is refused: a: longer or shorter than it must be, in bytes: 7",
        ),
    ] {
        let mut served = Served::new();
        served.publish("a", b"content");
        let place = Place::new(&served);
        served.targets.insert("a".into(), content.to_owned());
        let refused = outcome(place.download(&served, "a"));
        assert!(refused.starts_with(expected), "{refused}");
        assert_eq!(place.files(), Vec::<String>::new());
        // What was there before stays.
        fs::write(place.path().join("a"), b"old").expect("room for a file");
        assert!(place.download(&served, "a").is_err());
        assert_eq!(fs::read(place.path().join("a")).expect("a file"), b"old");
    }
}

#[test]
fn targets_stay_in_their_folder() {
    let mut served = Served::new();
    for path in ["..", "../../x", "/x"] {
        served.publish(path, b"content");
    }
    let place = Place::new(&served);
    assert_eq!(
        outcome(place.download(&served, "..")),
        "unusable name: \"..\""
    );
    for path in ["../../x", "/x"] {
        let file = place.download(&served, path).expect("a target");
        assert_eq!(file.parent(), Some(place.path()));
    }
    assert_eq!(place.files(), ["%2Fx", "..%2F..%2Fx"]);
}

#[test]
fn a_target_without_a_file_is_missed() {
    let mut served = Served::new();
    served.publish("a", b"content");
    served.targets.clear();
    let place = Place::new(&served);
    assert_eq!(
        outcome(place.download(&served, "a")),
        "the repository lacks a file: a"
    );
    assert_eq!(outcome(place.download(&served, "b")), "no such target: b");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn the_folder_holds_what_came_under_names_without_versions() {
    let mut served = Served::new();
    served.publish("a", b"content");
    let place = Place::new(&served);
    place.download(&served, "a").expect("a target");
    let folder = place.path().join("new/metadata");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    let files = [
        "root.json",
        "root_history",
        "snapshot.json",
        "targets.json",
        "timestamp.json",
    ];
    assert_eq!(names, files);
    for file in files.into_iter().filter(|name| name.ends_with(".json")) {
        assert_eq!(
            fs::read(folder.join(file)).expect("a file"),
            served.repository.files[file]
        );
    }
}

#[test]
fn a_trusted_root_is_not_replaced_from_outside() {
    let served = Served::new();
    let place = Place::new(&served);
    let again = place.metadata.init(&served.repository.files["root.json"]);
    assert!(matches!(again, Err(UpdateError::RootPresent(_))));
    let kept = place.metadata.root().expect("a root");
    assert_eq!(kept, served.repository.files["1.root.json"]);
    let empty = MetadataFolder::new(place.path().join("empty"));
    assert!(matches!(empty.root(), Err(UpdateError::NoRoot(_))));
}

#[test]
fn what_a_power_cut_left_behind_is_in_nobodys_way() {
    let served = Served::new();
    let place = Place::new(&served);
    let folder = place.path().join("new/metadata");
    fs::write(folder.join(".snapshot.json.new"), b"half").expect("room for a file");
    assert!(place.metadata.load("snapshot").expect("a folder").is_none());
    place.metadata.keep("snapshot", b"whole").expect("room");
    let kept = place.metadata.load("snapshot").expect("a folder");
    assert_eq!(kept.as_deref(), Some(&b"whole"[..]));
    assert!(!folder.join(".snapshot.json.new").exists());
    for _ in 0..2 {
        place.metadata.forget("snapshot").expect("a folder");
        assert!(place.metadata.load("snapshot").expect("a folder").is_none());
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_reported() {
    let served = Served::new();
    let place = Place::new(&served);
    let in_the_way = place.path().join("new/metadata/timestamp.json");
    fs::create_dir(&in_the_way).expect("a folder");
    fs::write(in_the_way.join("x"), b"").expect("room for a file");
    let failed = place.metadata.keep("timestamp", b"{}");
    assert!(
        matches!(failed, Err(UpdateError::Write { .. })),
        "{failed:?}"
    );
    assert!(
        !place
            .path()
            .join("new/metadata/.timestamp.json.new")
            .exists()
    );
}
