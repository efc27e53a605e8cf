//! One file with all that a box of one board needs for an update: for a stick, or to be uploaded on its page (`update::file_repository`).
//!
//! It holds each root, the newest of the other metadata, and the file of one version, as the repository has published them. Deliberately signs nothing.

use crate::error::ImageError;
use crate::files::{self, read_error, write_error};
use crate::repository::ReleaseRepository;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use update::VersionNumber;
use update::choose::Offer;
use update::file_repository::{FILE_BYTES_MAX, write_end, write_entry};

/// Writes `coffer-update-BOARD.tar` into a folder, with the newest version for the board or with this one; gives its path.
pub(crate) fn write(
    repository: &Path,
    board: &str,
    version: Option<VersionNumber>,
    folder: &Path,
) -> Result<PathBuf, ImageError> {
    let offers = Offer::all(ReleaseRepository::new(repository).check()?);
    let is_wanted = |offer: &Offer| {
        offer.release.board == board && version.is_none_or(|it| it == offer.release.version)
    };
    let offers = offers.into_iter().filter(is_wanted);
    let offer = offers.max_by_key(|offer| offer.release.version);
    let offer = offer.ok_or_else(|| ImageError::NoSuchRelease(board.to_owned()))?;
    let mut names = metadata(repository)?;
    names.push(target(repository, offer.target.path())?);
    files::create_folder(folder)?;
    let path = folder.join(format!("coffer-update-{board}.tar"));
    let mut out = BufWriter::new(File::create(&path).map_err(write_error(&path))?);
    for name in names {
        let from = repository.join(&name);
        pack(&mut out, &name, &from).map_err(read_error(&from))?;
    }
    let length = write_end(&mut out)
        .and_then(|()| out.flush())
        .and_then(|()| out.get_ref().metadata());
    match length.map_err(write_error(&path))?.len() {
        length if length > FILE_BYTES_MAX => Err(ImageError::UpdateTooLong(length)),
        _ => Ok(path),
    }
}

fn pack(out: &mut impl Write, name: &str, from: &Path) -> io::Result<()> {
    let mut file = File::open(from)?;
    let length = file.metadata()?.len();
    write_entry(out, name, length, &mut file)
}

/// Names of each root, and of the newest of each other role.
fn metadata(repository: &Path) -> Result<Vec<String>, ImageError> {
    let mut roots = Vec::new();
    let mut newest = [("targets", 0), ("snapshot", 0)];
    for path in files::list(&repository.join("metadata"))? {
        let name = path.file_name().and_then(|name| name.to_str());
        let mut parts = name.unwrap_or_default().splitn(3, '.');
        let (number, role) = (parts.next().map(str::parse::<u64>), parts.next());
        let Some(Ok(number)) = number else { continue };
        match role {
            Some("root") => roots.push(number),
            role => newest
                .iter_mut()
                .filter(|(newest, _)| Some(*newest) == role)
                .for_each(|(_, highest)| *highest = number.max(*highest)),
        }
    }
    roots.sort_unstable();
    let roots = roots
        .into_iter()
        .map(|number| format!("metadata/{number}.root.json"));
    let newest = newest.map(|(role, number)| format!("metadata/{number}.{role}.json"));
    let timestamp = ["metadata/timestamp.json".to_owned()];
    Ok(roots.chain(newest).chain(timestamp).collect())
}

/// Name of the file of a target, which begins with its digest.
fn target(repository: &Path, path: &str) -> Result<String, ImageError> {
    let (board, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = format!("targets/{board}");
    let end = format!(".{name}");
    let files = files::list(&repository.join(&folder))?;
    let mut names = files.iter().filter_map(|path| path.file_name()?.to_str());
    names
        .find(|name| name.ends_with(&end))
        .map(|name| format!("{folder}/{name}"))
        .ok_or_else(|| ImageError::NoSuchRelease(path.to_owned()))
}
