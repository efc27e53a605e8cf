//! The binary: command line, host mode, and the wiring of everything below.
//!
//! Exit codes: 0 done, 1 done but something is wrong with the data or an update, 2 wrong use or cannot start. Errors go to standard error, one line
//! that says what failed, where, and what to do.

mod account;
mod archive_access;
mod args;
mod box_updates;
mod doors;
mod edge;
mod export;
mod extractor;
mod host;
mod import;
mod machine_reports;
mod maintain;
mod output;
mod person;
mod search;
mod serve;
mod show;
mod update;
mod verify;

use args::{Args, Command};
use clap::Parser;
use output::Exit;
use std::process::ExitCode;

/// The allocator of musl takes one lock for all threads and gives memory back at every chance: with it import is about three times
/// slower. mimalloc keeps a heap for each thread.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if host::is_box() {
        appliance::run();
    }
    let args = Args::parse();
    host::log_to_standard_error();
    host::use_small_pages();
    match run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn run(command: Command) -> Result<(), Exit> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Import(args) => import::run(args),
        Command::Search(args) => search::run(args),
        Command::Show(args) => show::run(args),
        Command::Export(args) => export::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Rebuild(args) => maintain::rebuild(&args),
        Command::Recompress(args) => maintain::recompress(&args),
        Command::Stats(args) => maintain::stats(&args),
        Command::Checkpoint(args) => maintain::checkpoint(&args),
        Command::Key(args) => maintain::key(&args),
        Command::Certificate(args) => maintain::certificate(&args),
        Command::Account(args) => account::run(args),
        Command::Person(args) => person::run(args),
        Command::Update(args) => update::run(&args),
        Command::Edge(args) => edge::run(args),
        Command::Extractor(args) => extractor::run(&args),
        Command::Appliance(args) => {
            appliance::work(&args.worker, args.place.as_deref()).map_err(Exit::cannot)
        }
    }
}
