//! Builds the bootable disk image of a board, without root: Debian packages by digest, our binary, and nothing that differs from one build to the next.
//!
//! Here is a board, gimme an image: `assembly`. Packages: `lock`, `mirror`, `package_tree`. What starts: `initramfs` (with `modules` and `libraries`),
//! `unified_kernel`, `disk`. What people get beside it: `parts_list`, `licences`. What boxes follow: `repository`, with `signing_key` and
//! `release_facts`, and `update_file` for boxes without a network; the commands around it are in `publishing`.
//! Run through `scripts/image`, `scripts/lock` and `scripts/release`, from the top of the work tree.

mod assembly;
mod board;
mod commit;
mod cpio;
mod disk;
mod elf;
mod error;
mod files;
mod initramfs;
mod libraries;
mod licences;
mod lock;
mod mirror;
mod modules;
mod package_sources;
mod package_tree;
mod parts_list;
mod program;
mod publishing;
mod release_facts;
mod repository;
#[cfg(test)]
mod repository_tests;
mod rust_packages;
mod signing_key;
mod unified_kernel;
mod update_file;

use assembly::Updates;
use board::Board;
use clap::{Parser, Subcommand};
use error::ImageError;
use lock::Lock;
use mirror::Mirror;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Builds the bootable disk image of a board.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the image of a board and what belongs beside it
    Build {
        /// Name of a file in board/, without .toml
        board: String,
        /// The static binary for the board
        #[arg(long)]
        coffer: PathBuf,
        /// Where packages are kept by digest
        #[arg(long)]
        cache: PathBuf,
        /// Where the image goes
        #[arg(long)]
        out: PathBuf,
        /// Insist on the packages of the lock file
        #[arg(long)]
        release: bool,
        #[command(flatten)]
        updates: UpdatesArgs,
    },
    /// Writes the lock file of a board anew, with the packages that the mirror has now
    Lock {
        /// Name of a file in board/, without .toml
        board: String,
        /// Where packages are kept by digest
        #[arg(long)]
        cache: PathBuf,
    },
    /// Keeps the Debian packages of a board's lock file, and their sources
    Keep {
        /// Name of a file in board/, without .toml
        board: String,
        /// Where packages are kept by digest
        #[arg(long)]
        cache: PathBuf,
        /// The folder that gets packages/ and sources/
        #[arg(long)]
        out: PathBuf,
    },
    /// Makes, signs and publishes the repository that boxes follow
    #[command(subcommand)]
    Repository(publishing::Command),
}

/// Where boxes with this image find their updates; without both they find none
#[derive(clap::Args)]
struct UpdatesArgs {
    /// Address of the folder with the repository
    #[arg(long, requires = "root")]
    address: Option<String>,
    /// The root that they begin with
    #[arg(long, requires = "address")]
    root: Option<PathBuf>,
    /// Certificate of the authority (PEM) whose word is taken for that server, instead of those that browsers know
    #[arg(long, requires = "address")]
    authority: Option<PathBuf>,
}

/// Version of everything in the work tree.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear that standard error is closed.
            let _ = writeln!(std::io::stderr(), "image: {}", chain(&error));
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<(), ImageError> {
    match command {
        Command::Build {
            board,
            coffer,
            cache,
            out,
            release,
            updates,
        } => {
            let board = Board::load(&board)?;
            let updates = updates.load(release)?;
            assembly::assemble(&board, &coffer, &cache, &out, updates.as_ref(), release)
        }
        Command::Lock { board, cache } => {
            let board = Board::load(&board)?;
            let lock = Mirror::new(&cache, &board)?.lock_afresh()?;
            lock.save(&Lock::path(&board.name))
        }
        Command::Keep { board, cache, out } => {
            let board = Board::load(&board)?;
            let lock = Lock::load(&Lock::path(&board.name))?;
            Mirror::new(&cache, &board)?.keep_with_sources(&lock, &out)
        }
        Command::Repository(command) => publishing::run(command),
    }
}

impl UpdatesArgs {
    /// Reads the root, which in a release is not one of test keys.
    fn load(self, release: bool) -> Result<Option<Updates>, ImageError> {
        let (Some(address), Some(path)) = (self.address, self.root) else {
            return Ok(None);
        };
        let root = signing_key::read_json(&path)?;
        if release && signing_key::has_test_keys(&root) {
            return Err(ImageError::TestKeys(path));
        }
        let root = files::read(&path)?;
        let authority = self.authority.as_deref().map(files::read).transpose()?;
        Ok(Some(Updates {
            address,
            root,
            authority,
        }))
    }
}

fn chain(error: &dyn Error) -> String {
    update::error::chain(error)
}

/// Says what happens, on standard output.
fn say(line: &str) {
    // Nobody listens: the build goes on all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}
