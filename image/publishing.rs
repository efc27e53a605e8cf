//! The commands around a repository, `image repository …`: each is one step of RELEASING.md, and reads and writes files only.

use crate::error::ImageError;
use crate::release_facts::ReleaseFacts;
use crate::repository::{self, ReleaseRepository, RoleKeys};
use crate::say;
use crate::signing_key::{PublicKey, SigningKey};
use crate::update_file;
use clap::Subcommand;
use std::path::PathBuf;
use update::VersionNumber;

/// A step.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes a key: FILE, which only its owner may read, and FILE.pub
    NewKey {
        /// Where it goes
        file: PathBuf,
        /// Mark it as one that no release may be signed with
        #[arg(long)]
        test: bool,
    },
    /// Stages the next root, to be signed by two of its keys and by two of the root before it
    Root {
        /// Folder of the repository
        folder: PathBuf,
        /// Public keys of the root, three or more: of different people, offline
        #[arg(long = "root-key", required = true)]
        root: Vec<PathBuf>,
        /// Public keys of whoever vouches for releases
        #[arg(long = "targets-key", required = true)]
        targets: Vec<PathBuf>,
        /// Public keys of whoever says which metadata belong together
        #[arg(long = "snapshot-key", required = true)]
        snapshot: Vec<PathBuf>,
        /// Public keys of whatever says each day what is the newest
        #[arg(long = "timestamp-key", required = true)]
        timestamp: Vec<PathBuf>,
        /// Days until it expires
        #[arg(long, default_value_t = 730)]
        days: u32,
    },
    /// Stages what was built for boards, to be signed as targets and as snapshot
    Release {
        /// Folder of the repository
        folder: PathBuf,
        /// What is told of the version
        #[arg(long, default_value = "image/release.toml")]
        facts: PathBuf,
        /// Where `image build` wrote, with a folder a board
        #[arg(long)]
        built: PathBuf,
        /// Boards
        #[arg(long = "board", required = true)]
        boards: Vec<String>,
        /// The version that was built
        #[arg(long, default_value = crate::VERSION)]
        version: VersionNumber,
        /// Days until it expires
        #[arg(long, default_value_t = 400)]
        days: u32,
    },
    /// Adds a signature to a staged file
    Sign {
        /// The file, on whatever machine
        file: PathBuf,
        /// The private key
        #[arg(long)]
        key: PathBuf,
    },
    /// Follows the repository with all that is staged as a box would, and publishes it under a new timestamp
    Publish {
        /// Folder of the repository
        folder: PathBuf,
        /// The private key of the timestamp
        #[arg(long)]
        timestamp_key: PathBuf,
        /// Days until the timestamp expires
        #[arg(long, default_value_t = 14)]
        days: u32,
        /// Allow keys that were made for tests
        #[arg(long)]
        test: bool,
    },
    /// Writes coffer-update-BOARD.tar, for a stick or to be uploaded: the repository as far as a box of one board needs it
    File {
        /// Folder of the repository
        folder: PathBuf,
        /// Boards
        #[arg(long = "board", required = true)]
        boards: Vec<String>,
        /// The version, instead of the newest
        #[arg(long)]
        version: Option<VersionNumber>,
        /// The folder that gets it, as where a stick is mounted
        #[arg(long)]
        out: PathBuf,
    },
    /// Follows what is published as a box would, with every target
    Check {
        /// Folder of the repository
        folder: PathBuf,
    },
}

/// Does a step.
pub(crate) fn run(command: Command) -> Result<(), ImageError> {
    match command {
        Command::NewKey { file, test } => SigningKey::make(&file, test),
        Command::Root {
            folder,
            root,
            targets,
            snapshot,
            timestamp,
            days,
        } => {
            let keys = RoleKeys {
                root: load(&root)?,
                targets: load(&targets)?,
                snapshot: load(&snapshot)?,
                timestamp: load(&timestamp)?,
            };
            ReleaseRepository::new(&folder).stage_root(&keys, days)
        }
        Command::Release {
            folder,
            facts,
            built,
            boards,
            version,
            days,
        } => {
            let facts = ReleaseFacts::load(&facts)?;
            let releases = boards.iter();
            let releases = releases.map(|board| facts.with(&built, board, version));
            let releases = releases.collect::<Result<Vec<_>, _>>()?;
            ReleaseRepository::new(&folder).stage_releases(&releases, days)
        }
        Command::Sign { file, key } => repository::sign(&file, &SigningKey::load(&key)?),
        Command::Publish {
            folder,
            timestamp_key,
            days,
            test,
        } => {
            let repository = ReleaseRepository::new(&folder);
            let timestamp = repository.timestamp(&SigningKey::load(&timestamp_key)?, days)?;
            repository.publish(timestamp, test)
        }
        Command::File {
            folder,
            boards,
            version,
            out,
        } => boards.iter().try_for_each(|board| {
            let path = update_file::write(&folder, board, version, &out)?;
            say(&path.display().to_string());
            Ok(())
        }),
        Command::Check { folder } => {
            for target in ReleaseRepository::new(&folder).check()? {
                say(&format!("{} {} bytes", target.path(), target.length()));
            }
            Ok(())
        }
    }
}

fn load(paths: &[PathBuf]) -> Result<Vec<PublicKey>, ImageError> {
    paths.iter().map(|path| PublicKey::load(path)).collect()
}
