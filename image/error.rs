//! What can go wrong while an image is built; each says what to do where that is not plain.

use std::io;
use std::path::PathBuf;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot understand {path}")]
    Toml {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("cannot start {program}")]
    Start { program: String, source: io::Error },
    #[error("{program} fails: {said}")]
    Failed { program: String, said: String },
    #[error("{program} says what is not understood: {said}")]
    NotUnderstood { program: String, said: String },
    #[error(
        "no list of Debian mirrors found; COFFER_DEBIAN_SOURCES names one for Debian 12 (a sources.list or .sources file)"
    )]
    NoSources,
    #[error("the mirror has no package of this name: {0}")]
    NoPackage(String),
    #[error(
        "the mirror no longer has this package; run scripts/lock, test, and commit the lock file: {0}"
    )]
    Gone(String),
    #[error(
        "sources that go with a release are not on the mirror, and COFFER_DEBIAN_SOURCES may name another one: {0}"
    )]
    SourcesGone(String),
    #[error("a package has another digest than is locked: {0}")]
    WrongDigest(String),
    #[error("no package of the board has this file: {0}")]
    NoFile(PathBuf),
    #[error("no library of this name in any package of the board: {0}")]
    NoLibrary(String),
    #[error("no module of this name in the kernel's package: {0}")]
    NoModule(String),
    #[error("modules depend on each other in a circle: {0}")]
    ModuleCircle(String),
    #[error("cannot understand the program or module {path}")]
    Object {
        path: PathBuf,
        source: object::read::Error,
    },
    #[error("not a static program for this board: {0}")]
    WrongBinary(PathBuf),
    #[error("the stub has no room for more sections, or is none: {0}")]
    Stub(&'static str),
    #[error("cannot lay out the disk")]
    Esp(#[from] update::EspError),
    #[error("cannot understand {path}")]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("the repository is not as its followers would believe it")]
    Repository(#[from] update::UpdateError),
    #[error("a target cannot be installed")]
    Target(#[from] update::InstallError),
    #[error("cannot be signed")]
    NotSignable(#[from] update::canonical::NotAnInteger),
    #[error("not a release: {path}")]
    NotARelease {
        path: PathBuf,
        source: update::release::NotARelease,
    },
    #[error("not an Ed25519 key of ours: {0}")]
    NotAKey(PathBuf),
    #[error("test keys may vouch for no release: {0}")]
    TestKeys(PathBuf),
    #[error("a root needs three keys of different people at least, of which two sign")]
    TooFewRootKeys,
    #[error("there is no root yet; stage one first in {0}")]
    NoRoot(PathBuf),
    #[error("nothing of this kind was built: {0}")]
    NotBuilt(PathBuf),
    #[error("no such release was published: {0}")]
    NoSuchRelease(String),
    #[error("longer than a box takes in one file, in bytes: {0}")]
    UpdateTooLong(u64),
    #[error("a published file may not change: {0}")]
    Published(PathBuf),
}
