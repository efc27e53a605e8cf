//! A repository from its first root to its third release, as the people with the keys make it, and what a box that follows it believes.

use crate::error::ImageError;
use crate::repository::{Built, ReleaseRepository, RoleKeys, sign};
use crate::signing_key::{PublicKey, SigningKey};
use crate::update_file;
use aws_lc_rs::digest::{SHA256, digest};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use update::choose::{Choice, Running};
use update::file_repository::FileRepository;
use update::folder::MetadataFolder;
use update::release::{Notes, Release, TrialTerms, Unpacked};
use update::updater::Updater;
use update::{KeyTypes, Limits, Options, Stale, Time, by_hand};

/// The keys of an office that makes releases, each in a file.
struct Keys(TempDir);

impl Keys {
    fn new(is_for_tests: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "root1", "root2", "root3", "root4", "targets", "snapshot", "time",
        ] {
            SigningKey::make(&folder.path().join(name), is_for_tests).expect("a key");
        }
        Self(folder)
    }

    fn key(&self, name: &str) -> SigningKey {
        SigningKey::load(&self.0.path().join(name)).expect("a key")
    }

    fn public(&self, names: &[&str]) -> Vec<PublicKey> {
        let load = |name: &&str| PublicKey::load(&self.0.path().join(format!("{name}.pub")));
        names
            .iter()
            .map(|name| load(name).expect("a key"))
            .collect()
    }

    fn roles(&self, root: &[&str]) -> RoleKeys {
        RoleKeys {
            root: self.public(root),
            targets: self.public(&["targets"]),
            snapshot: self.public(&["snapshot"]),
            timestamp: self.public(&["time"]),
        }
    }
}

fn built(version: &str, bytes: &[u8]) -> Built {
    let sha256 = digest(&SHA256, bytes);
    let release = Release {
        version: version.parse().expect("a version"),
        board: "box".to_owned(),
        minimum_version: "0.1.0".parse().expect("a version"),
        unpacked: Unpacked {
            length: bytes.len() as u64,
            sha256: crate::mirror::hex(sha256.as_ref()),
        },
        trial: TrialTerms {
            starts: 3,
            steady_s: 1,
            patience_s: 2,
        },
        notes: Notes::default(),
        released_at: Time::from_unix(1_800_000_000),
        supported_until: Time::from_unix(1_900_000_000),
    };
    let packed = zstd::encode_all(bytes, 19).expect("packed");
    Built { release, packed }
}

/// A repository whose root names these keys and was signed by some of them, with one release that is not signed yet.
fn staged(keys: &Keys, signers: &[&str]) -> (TempDir, ReleaseRepository) {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = ReleaseRepository::new(folder.path());
    let root = keys.roles(&["root1", "root2", "root3"]);
    repository.stage_root(&root, 365).expect("staged");
    for signer in signers {
        sign_staged(folder.path(), "1.root.json", &keys.key(signer));
    }
    let releases = [built("0.1.0", b"first")];
    repository.stage_releases(&releases, 90).expect("staged");
    (folder, repository)
}

fn sign_staged(folder: &Path, name: &str, key: &SigningKey) {
    sign(&folder.join("staged").join(name), key).expect("signed");
}

/// Signs the staged targets and snapshot of a version, and publishes.
fn publish(
    keys: &Keys,
    folder: &Path,
    repository: &ReleaseRepository,
    version: u64,
) -> Result<(), ImageError> {
    for role in ["targets", "snapshot"] {
        sign_staged(folder, &format!("{version}.{role}.json"), &keys.key(role));
    }
    let timestamp = repository.timestamp(&keys.key("time"), 14)?;
    repository.publish(timestamp, false)
}

/// A repository that was published twice, with a release each time.
fn with_two_releases(keys: &Keys) -> (TempDir, ReleaseRepository) {
    let (folder, repository) = staged(keys, &["root1", "root3"]);
    publish(keys, folder.path(), &repository, 1).expect("published");
    let releases = [built("0.2.0", b"second")];
    repository.stage_releases(&releases, 90).expect("staged");
    publish(keys, folder.path(), &repository, 2).expect("published");
    (folder, repository)
}

fn metadata(folder: &Path) -> Vec<PathBuf> {
    let files = crate::files::list(&folder.join("metadata"));
    files.unwrap_or_default()
}

#[test]
fn one_file_is_all_that_a_box_needs() {
    let keys = Keys::new(false);
    let (folder, _) = with_two_releases(&keys);
    let out = tempfile::tempdir().expect("a folder");
    let check = |version: Option<&str>, board: &str| -> Result<usize, ImageError> {
        let version = version.map(|text| text.parse().expect("a version"));
        let path = update_file::write(folder.path(), board, version, out.path())?;
        assert!(path.ends_with("coffer-update-box.tar"));
        let file = FileRepository::open(fs::File::open(path).expect("a file"));
        let file = file.expect("a tar");
        let kept = MetadataFolder::new(out.path().join("kept"));
        let _ = kept.init(&fs::read(folder.path().join("metadata/1.root.json")).expect("a root"));
        let running = Running {
            board: "box".to_owned(),
            version: "0.0.1".parse().expect("a version"),
        };
        let scratch = out.path().join("scratch");
        let options = Options {
            now: std::time::SystemTime::now().into(),
            clock_floor: Time::from_unix(0),
            key_types: KeyTypes::Ed25519,
            stale: Stale::Refuse,
            limits: Limits::default(),
        };
        let found = by_hand::look(&kept, &scratch, &file, options.clone(), &running, &[]);
        let Ok(by_hand::Brought::Fresh(Choice::Refused(..))) = &found else {
            panic!("0.0.1 is too old for both: {found:?}");
        };
        let mut updater = Updater::new(&kept, &file, options).expect("a root");
        updater.refresh().expect("trusted");
        let targets = updater.top_level_targets();
        let fetched = targets.iter().map(|it| updater.download(it, out.path()));
        Ok(fetched.filter(Result::is_ok).count())
    };
    // The file of one of both versions is in it.
    assert_eq!(check(None, "box").expect("written"), 1);
    assert!(out.path().join("box%2Fcoffer-0.2.0.efi.zst").exists());
    assert_eq!(check(Some("0.1.0"), "box").expect("written"), 2);
    assert!(check(Some("0.3.0"), "box").is_err());
    assert!(check(None, "barn").is_err());
}

#[test]
fn releases_are_published_and_roots_change() {
    let keys = Keys::new(false);
    let (folder, repository) = with_two_releases(&keys);
    let paths: Vec<String> = repository
        .check()
        .expect("trusted")
        .iter()
        .map(|target| target.path().to_owned())
        .collect();
    assert_eq!(
        paths,
        ["box/coffer-0.1.0.efi.zst", "box/coffer-0.2.0.efi.zst"]
    );

    // One of the three has lost the key: the two others put a fourth in its place.
    let root = keys.roles(&["root1", "root2", "root4"]);
    repository.stage_root(&root, 365).expect("staged");
    for signer in ["root1", "root2"] {
        sign_staged(folder.path(), "2.root.json", &keys.key(signer));
    }
    let timestamp = repository.timestamp(&keys.key("time"), 14).expect("signed");
    repository.publish(timestamp, false).expect("published");
    assert_eq!(repository.check().expect("trusted").len(), 2);
    assert_eq!(metadata(folder.path()).len(), 7);
}

#[test]
fn nothing_is_published_that_a_box_would_refuse() {
    let keys = Keys::new(false);
    let check = |signers: &[&str], spoil: fn(&Path)| {
        let (folder, repository) = staged(&keys, signers);
        spoil(folder.path());
        let refused = publish(&keys, folder.path(), &repository, 1);
        assert!(
            matches!(refused, Err(ImageError::Repository(_))),
            "{refused:?}"
        );
        assert_eq!(metadata(folder.path()), Vec::<PathBuf>::new());
    };
    check(&["root1"], |_| {});
    check(&["root1", "targets"], |_| {});
    check(&["root1", "root2"], |folder| {
        let target = crate::files::list(&folder.join("targets/box")).expect("a folder");
        fs::write(&target[0], "otherwise").expect("room");
    });
    check(&["root1", "root2"], |folder| {
        let path = folder.join("staged/1.root.json");
        let text = fs::read_to_string(&path).expect("text");
        let text = text.replace("\"threshold\": 2", "\"threshold\": 1");
        fs::write(&path, text).expect("room");
    });
}

#[test]
fn a_version_never_has_other_bytes() {
    let keys = Keys::new(false);
    let (folder, repository) = staged(&keys, &["root1", "root2"]);
    publish(&keys, folder.path(), &repository, 1).expect("published");
    let again = repository.stage_releases(&[built("0.1.0", b"other")], 90);
    assert!(matches!(again, Err(ImageError::Published(_))), "{again:?}");
    let same = repository.stage_releases(&[built("0.1.0", b"first")], 90);
    assert!(same.is_ok(), "{same:?}");
}

#[test]
fn test_keys_vouch_for_no_release() {
    let keys = Keys::new(true);
    let (folder, repository) = staged(&keys, &["root1", "root2"]);
    let refused = publish(&keys, folder.path(), &repository, 1);
    assert!(
        matches!(refused, Err(ImageError::TestKeys(_))),
        "{refused:?}"
    );
    let timestamp = repository.timestamp(&keys.key("time"), 14).expect("signed");
    repository.publish(timestamp, true).expect("for a test");
}

#[test]
fn a_root_has_three_people() {
    let keys = Keys::new(false);
    let folder = tempfile::tempdir().expect("a folder");
    let root = keys.roles(&["root1", "root2"]);
    let refused = ReleaseRepository::new(folder.path()).stage_root(&root, 1);
    assert!(matches!(refused, Err(ImageError::TooFewRootKeys)));
}
