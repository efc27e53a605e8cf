//! The repository that boxes follow: TUF metadata and targets as static files, which any web server or stick can hold.
//!
//! | path | what |
//! |---|---|
//! | `metadata/N.root.json`, `N.targets.json`, `N.snapshot.json` | published, never changed again |
//! | `metadata/timestamp.json` | the one file that changes |
//! | `targets/BOARD/DIGEST.coffer-VERSION.efi.zst` | what boxes fetch |
//! | `staged/` | what is to be signed; not for the web server |
//!
//! Each step reads and writes files only, so that each signature can be made on another machine: stage, carry a file of `staged/` to the key, sign,
//! carry it back. Publishing first follows the whole repository as a box would, and moves nothing unless all of it holds. The snapshot lists
//! versions alone: whoever signs targets later changes no digest in it. Source: TUF specification 1.0.34, §3, §4, §6.2.

use crate::error::ImageError;
use crate::files;
use crate::mirror::hex;
use crate::signing_key::{PublicKey, SigningKey, has_test_keys, read_json};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use update::folder::MetadataFolder;
use update::folder_repository::FolderRepository;
use update::installation;
use update::release::Release;
use update::repository::Repository;
use update::updater::Updater;
use update::{FetchError, KeyTypes, Limits, Options, Stale, Target, Time};

const SPEC_VERSION: &str = "1.0.34";
const DAY_S: i64 = 86_400;

/// Two of three people, so that one of them alone can neither sign nor block.
const ROOT_THRESHOLD: usize = 2;
const ROOT_KEYS_MIN: usize = 3;

/// The public keys of each role.
pub(crate) struct RoleKeys {
    /// Offline, of different people.
    pub(crate) root: Vec<PublicKey>,
    pub(crate) targets: Vec<PublicKey>,
    pub(crate) snapshot: Vec<PublicKey>,
    /// Online: says daily that nothing newer is kept back.
    pub(crate) timestamp: Vec<PublicKey>,
}

/// A release of one board, as it was built.
pub(crate) struct Built {
    pub(crate) release: Release,
    /// The zstd of its version.
    pub(crate) packed: Vec<u8>,
}

/// A repository in a folder.
pub(crate) struct ReleaseRepository {
    folder: PathBuf,
}

impl ReleaseRepository {
    /// Names the folder, which need not exist yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Stages the next root, without signatures.
    pub(crate) fn stage_root(&self, keys: &RoleKeys, days: u32) -> Result<(), ImageError> {
        if keys.root.len() < ROOT_KEYS_MIN {
            return Err(ImageError::TooFewRootKeys);
        }
        let mut all = Map::new();
        let mut role = |keys: &[PublicKey], threshold: usize| {
            all.extend(keys.iter().map(|key| (key.id.clone(), key.value.clone())));
            let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
            json!({"keyids": ids, "threshold": threshold})
        };
        let roles = json!({
            "root": role(&keys.root, ROOT_THRESHOLD),
            "targets": role(&keys.targets, 1),
            "snapshot": role(&keys.snapshot, 1),
            "timestamp": role(&keys.timestamp, 1),
        });
        let version = self.published("root")?.map_or(0, |root| version(&root)) + 1;
        let says = json!({"consistent_snapshot": true, "keys": all, "roles": roles});
        self.stage("root", version, says, days)
    }

    /// Stages targets with these releases beside those that were published, and a snapshot; puts their files where they are fetched from.
    pub(crate) fn stage_releases(&self, built: &[Built], days: u32) -> Result<(), ImageError> {
        let before = self.published("targets")?;
        let mut targets = before.map_or(json!({}), |it| it["signed"]["targets"].clone());
        for Built { release, packed } in built {
            let sha256 = hex(digest(&SHA256, packed).as_ref());
            let path = release.path();
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let file = self
                .folder
                .join(format!("targets/{folder}/{sha256}.{name}"));
            files::write(&file, packed)?;
            let target = json!({
                "length": packed.len(),
                "hashes": {"sha256": sha256},
                "custom": json!(release),
            });
            // A box may have it already: the same version never has other bytes.
            let known = targets.get(&path).map(|known| &known["hashes"]);
            if known.is_some_and(|known| *known != target["hashes"]) {
                return Err(ImageError::Published(file));
            }
            targets[path] = target;
        }
        let listed = self.stage_next("targets", json!({"targets": targets}), days)?;
        let meta = json!({"targets.json": {"version": listed}});
        self.stage_next("snapshot", json!({"meta": meta}), days)
            .map(drop)
    }

    /// Follows what is published and staged as a box would, then publishes it, the timestamp last.
    pub(crate) fn publish(&self, timestamp: Value, test: bool) -> Result<(), ImageError> {
        let staged = self.staged()?;
        let root = self.newest("root")?.ok_or(self.no_root())?;
        if has_test_keys(&root) && !test {
            return Err(ImageError::TestKeys(self.folder.clone()));
        }
        let view = View {
            published: FolderRepository::new(&self.folder),
            staged: staged.clone(),
            timestamp: timestamp.to_string().into_bytes(),
        };
        self.follow(&view)?;
        files::create_folder(&self.folder.join("metadata"))?;
        for path in staged {
            let name = path.file_name().unwrap_or_default();
            files::rename(&path, &self.folder.join("metadata").join(name))?;
        }
        let new = self.folder.join("staged/timestamp.json");
        files::write(&new, &view.timestamp)?;
        files::rename(&new, &self.folder.join("metadata/timestamp.json"))
    }

    /// Makes the next timestamp, signed, for the newest snapshot.
    pub(crate) fn timestamp(&self, key: &SigningKey, days: u32) -> Result<Value, ImageError> {
        let kept = self.folder.join("metadata/timestamp.json");
        let before = match kept.exists() {
            true => version(&read_json(&kept)?),
            false => 0,
        };
        let (path, snapshot) = self.newest_path("snapshot")?.ok_or(self.no_root())?;
        let bytes = files::read(&path)?;
        let listed = json!({
            "version": version(&snapshot),
            "length": bytes.len(),
            "hashes": {"sha256": hex(digest(&SHA256, &bytes).as_ref())},
        });
        let says = json!({"meta": {"snapshot.json": listed}});
        let mut timestamp = metadata("timestamp", before + 1, says, days);
        key.sign(&mut timestamp)?;
        Ok(timestamp)
    }

    /// Follows what is published as a box would, with every target; gives what it trusts of them.
    pub(crate) fn check(&self) -> Result<Vec<Target>, ImageError> {
        self.follow(&FolderRepository::new(&self.folder))
    }

    fn follow(&self, repository: &dyn Repository) -> Result<Vec<Target>, ImageError> {
        let scratch = self.folder.join("staged/followed");
        files::remove_folder(&scratch)?;
        let first = self.path("root", 1).ok_or(self.no_root())?;
        let folder = MetadataFolder::new(scratch.join("metadata"));
        folder.init(&files::read(&first)?)?;
        let mut updater = Updater::new(&folder, repository, options())?;
        updater.refresh()?;
        let targets = updater.top_level_targets();
        files::create_folder(&scratch.join("targets"))?;
        for target in &targets {
            let path = updater.download(target, &scratch.join("targets"))?;
            let release = release(&path, target)?;
            let mut file = std::fs::File::open(&path).map_err(files::read_error(&path))?;
            installation::verify(&mut file, target, &release)?;
        }
        files::remove_folder(&scratch)?;
        Ok(targets)
    }

    fn stage_next(&self, role: &str, says: Value, days: u32) -> Result<u64, ImageError> {
        let next = self.published(role)?.map_or(0, |it| version(&it)) + 1;
        self.stage(role, next, says, days).map(|()| next)
    }

    fn stage(&self, role: &str, version: u64, says: Value, days: u32) -> Result<(), ImageError> {
        let path = self.folder.join(format!("staged/{version}.{role}.json"));
        let text = format!("{:#}\n", metadata(role, version, says, days));
        files::write(&path, text.as_bytes())
    }

    /// The newest version of a role that was published.
    fn published(&self, role: &str) -> Result<Option<Value>, ImageError> {
        newest_in(&self.folder.join("metadata"), role).map(|found| found.map(|(_, value)| value))
    }

    /// The newest version of a role, staged ones included.
    fn newest(&self, role: &str) -> Result<Option<Value>, ImageError> {
        self.newest_path(role)
            .map(|found| found.map(|(_, value)| value))
    }

    fn newest_path(&self, role: &str) -> Result<Option<(PathBuf, Value)>, ImageError> {
        match newest_in(&self.folder.join("staged"), role)? {
            Some(staged) => Ok(Some(staged)),
            None => newest_in(&self.folder.join("metadata"), role),
        }
    }

    /// Where a version of a role lies.
    fn path(&self, role: &str, version: u64) -> Option<PathBuf> {
        ["metadata", "staged"]
            .into_iter()
            .map(|folder| self.folder.join(format!("{folder}/{version}.{role}.json")))
            .find(|path| path.exists())
    }

    /// Files that are to be published.
    fn staged(&self) -> Result<Vec<PathBuf>, ImageError> {
        let folder = self.folder.join("staged");
        files::create_folder(&folder)?;
        let mut staged = files::list(&folder)?;
        staged.retain(|path| path.extension().is_some_and(|end| end == "json"));
        Ok(staged)
    }

    fn no_root(&self) -> ImageError {
        ImageError::NoRoot(self.folder.clone())
    }
}

/// Adds a signature to a file of metadata.
pub(crate) fn sign(path: &Path, key: &SigningKey) -> Result<(), ImageError> {
    let mut metadata = read_json(path)?;
    key.sign(&mut metadata)?;
    files::write(path, format!("{metadata:#}\n").as_bytes())
}

/// What is published with what is staged on top, and a timestamp that is not written yet.
struct View {
    published: FolderRepository,
    staged: Vec<PathBuf>,
    timestamp: Vec<u8>,
}

impl Repository for View {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        if name == "timestamp.json" {
            return Ok(Some(Box::new(Cursor::new(self.timestamp.clone()))));
        }
        let is_it = |path: &&PathBuf| path.file_name().is_some_and(|it| it == name);
        match self.staged.iter().find(is_it) {
            Some(path) => std::fs::read(path)
                .map(|bytes| Some(Box::new(Cursor::new(bytes)) as Box<dyn Read>))
                .map_err(|error| FetchError::Transport(error.into())),
            None => self.published.metadata(name),
        }
    }

    fn target(
        &self,
        path: &str,
        length: u64,
        behind: u64,
    ) -> Result<Option<Box<dyn Read>>, FetchError> {
        self.published.target(path, length, behind)
    }
}

fn release(path: &Path, target: &Target) -> Result<Release, ImageError> {
    Release::of(target).map_err(|source| ImageError::NotARelease {
        path: path.to_owned(),
        source,
    })
}

/// As a box follows it, by the clock of this computer.
fn options() -> Options {
    Options {
        now: SystemTime::now().into(),
        clock_floor: Time::from_unix(0),
        key_types: KeyTypes::Ed25519,
        stale: Stale::Refuse,
        limits: Limits::default(),
    }
}

fn metadata(role: &str, version: u64, mut says: Value, days: u32) -> Value {
    let now: Time = SystemTime::now().into();
    says["_type"] = json!(role);
    says["spec_version"] = json!(SPEC_VERSION);
    says["version"] = json!(version);
    says["expires"] = json!(Time::from_unix(now.unix() + i64::from(days) * DAY_S));
    json!({"signatures": [], "signed": says})
}

fn version(metadata: &Value) -> u64 {
    metadata["signed"]["version"].as_u64().unwrap_or(0)
}

/// The file of a role with the highest number before its name.
fn newest_in(folder: &Path, role: &str) -> Result<Option<(PathBuf, Value)>, ImageError> {
    if !folder.exists() {
        return Ok(None);
    }
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_suffix(&format!(".{role}.json"))?
            .parse::<u64>()
            .ok()
    };
    let paths = files::list(folder)?;
    let numbered = paths.iter().filter_map(|path| Some((number(path)?, path)));
    match numbered.max() {
        Some((_, path)) => Ok(Some((path.clone(), read_json(path)?))),
        None => Ok(None),
    }
}
