//! Builds the bootable disk image of a board, without root: Debian packages by digest, our binary, and nothing that differs from one build to the next.
//!
//! Here is a board, gimme an image: `assembly`. Packages: `lock`, `mirror`, `package_tree`. What starts: `initramfs` (with `modules` and `libraries`),
//! `unified_kernel`, `disk`. What people get beside it: `parts_list`, `licences`. Deliberately signs nothing; `scripts/release` will.
//! Run through `scripts/image` and `scripts/lock`, from the top of the work tree.

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
mod package_tree;
mod parts_list;
mod program;
mod rust_packages;
mod unified_kernel;

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
    },
    /// Writes the lock file of a board anew, with the packages that the mirror has now
    Lock {
        /// Name of a file in board/, without .toml
        board: String,
        /// Where packages are kept by digest
        #[arg(long)]
        cache: PathBuf,
    },
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
        } => {
            let board = Board::load(&board)?;
            assembly::assemble(&board, &coffer, &cache, &out, release)
        }
        Command::Lock { board, cache } => {
            let board = Board::load(&board)?;
            let lock = Mirror::new(&cache, &board)?.lock_afresh()?;
            lock.save(&Lock::path(&board.name))
        }
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
