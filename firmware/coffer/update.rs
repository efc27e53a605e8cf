//! `coffer update`: what a box may be asked about its updates, and the update client on its own, for whatever repository, which installs nothing.

use crate::args::{TufArgs, TufCommand, UpdateArgs, UpdateCommand};
use crate::box_updates;
use crate::output::{Exit, line, note, plain};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;
use update::error::chain;
use update::folder::MetadataFolder;
use update::http::{HttpRepository, Trust};
use update::updater::Updater;
use update::{Client, KeyTypes, Limits, Options, Stale, Time, UpdateError};

pub(crate) fn run(args: &UpdateArgs) -> Result<(), Exit> {
    let tuf = match &args.command {
        UpdateCommand::Check => return box_updates::check(),
        UpdateCommand::Install => return box_updates::install(),
        UpdateCommand::Status { json } => return box_updates::status(*json),
        UpdateCommand::Tuf(tuf) => tuf,
    };
    let folder = MetadataFolder::new(&tuf.metadata_dir);
    match &tuf.command {
        TufCommand::Init { root } => init(&folder, root),
        TufCommand::Refresh => with_updater(tuf, &folder, |_| Ok(())),
        TufCommand::Download => download(tuf, &folder),
    }
}

/// Keeps a root that its own keys vouch for.
fn init(folder: &MetadataFolder, root: &Path) -> Result<(), Exit> {
    let options = options();
    let mut bytes = Vec::new();
    File::open(root)
        .and_then(|file| {
            file.take(options.limits.root_bytes + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(|error| Exit::NotUpdated(format!("cannot read {}: {error}", root.display())))?;
    Client::new(bytes.clone(), options).map_err(not_updated)?;
    folder.init(&bytes).map_err(not_updated)
}

fn download(args: &TufArgs, folder: &MetadataFolder) -> Result<(), Exit> {
    let target_dir = args.target_dir.as_deref();
    let target_dir = target_dir.ok_or_else(|| Exit::cannot("download needs --target-dir"))?;
    if args.target_base_url.is_none() || args.target_name.is_empty() {
        return Err(Exit::cannot(
            "download needs --target-base-url and --target-name",
        ));
    }
    with_updater(args, folder, |updater| {
        for name in &args.target_name {
            let target = updater.target(name).map_err(not_updated)?;
            let path = updater.download(&target, target_dir).map_err(not_updated)?;
            line(path.display())?;
        }
        Ok(())
    })
}

/// Brings the metadata up to date, then does something with the client that did so.
fn with_updater(
    args: &TufArgs,
    folder: &MetadataFolder,
    then: impl FnOnce(&mut Updater<'_>) -> Result<(), Exit>,
) -> Result<(), Exit> {
    let metadata = args.metadata_url.as_deref();
    let metadata = metadata.ok_or_else(|| Exit::cannot("--metadata-url is missing"))?;
    let targets = args.target_base_url.as_deref();
    let repository = HttpRepository::new(metadata, targets, &Trust::Browsers)
        .map_err(|error| Exit::cannot(chain(&error)))?;
    let mut updater = Updater::new(folder, &repository, options()).map_err(not_updated)?;
    updater.refresh().map_err(not_updated)?;
    if updater.timestamp_changed() {
        note("the timestamp changed without a new version; the one that was there stays");
    }
    then(&mut updater)
}

/// Any repository, by the clock of this computer: nothing is known that the clock could not be before.
fn options() -> Options {
    Options {
        now: SystemTime::now().into(),
        clock_floor: Time::from_unix(0),
        key_types: KeyTypes::All,
        stale: Stale::Refuse,
        limits: Limits::default(),
    }
}

/// Names in the text come from the repository.
fn not_updated(error: UpdateError) -> Exit {
    Exit::NotUpdated(plain(&chain(&error)))
}
