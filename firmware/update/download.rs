//! The content of a target on its way into a folder: what has come stays when the way breaks off, and the next attempt goes on behind it.
//!
//! Everything is checked against what was signed before it gets its name. Deliberately decides nothing about trust.

use crate::error::{Fault, FetchError, UpdateError};
use crate::folder::{sync_folder, write_error};
use crate::metadata::Target;
use crate::repository::Repository;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// 64 KiB at a time, when the content of a target is copied or checked.
const COPY_BYTES: usize = 64 * 1024;

/// A target that is to lie in a folder.
pub(crate) struct Download<'a> {
    pub(crate) repository: &'a dyn Repository,
    pub(crate) target: &'a Target,
    /// Its path in the repository.
    pub(crate) file_path: &'a str,
    pub(crate) folder: &'a Path,
    /// Its name in the folder.
    pub(crate) name: &'a str,
}

impl Download<'_> {
    /// Fetches the target, unless it is there already.
    ///
    /// # Errors
    /// When it does not come, or is not what was signed; under its name lies what lay there before.
    pub(crate) fn run(&self) -> Result<(), UpdateError> {
        let path = self.folder.join(self.name);
        if is_there(self.target, &path) {
            return Ok(());
        }
        let part = self.folder.join(format!(".{}.part", self.name));
        let is_resumed = fs::metadata(&part).is_ok_and(|part| part.len() > 0);
        let mut fetched = self.go_on(&part);
        if is_resumed && is_refused(&fetched) {
            // What was there before may be of another target, or damaged.
            remove(&part)?;
            fetched = self.go_on(&part);
        }
        let is_empty = || fs::metadata(&part).is_ok_and(|part| part.len() == 0);
        if is_refused(&fetched) || fetched.is_err() && is_empty() {
            remove(&part)?;
        }
        fetched?;
        fs::rename(&part, &path).map_err(|source| write_error(&path, source))?;
        sync_folder(self.folder)
    }

    /// Goes on behind what is there.
    fn go_on(&self, part: &Path) -> Result<(), UpdateError> {
        let on_disk = |source| write_error(part, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(part)
            .map_err(on_disk)?;
        let there = length(&file).map_err(on_disk)?;
        self.complete(&mut file, there.min(self.target.length()), part)
    }

    /// Checks what is there and copies what follows, with one byte too many, so that a longer file is noticed.
    fn complete(&self, file: &mut File, there: u64, part: &Path) -> Result<(), UpdateError> {
        let on_disk = |source| write_error(part, source);
        let mut check = self.target.check();
        let read = each(&mut (&*file).take(there), |bytes| {
            check.update(bytes);
            Ok(())
        });
        read.map_err(on_disk)?;
        file.set_len(there).map_err(on_disk)?;
        file.seek(io::SeekFrom::Start(there)).map_err(on_disk)?;
        let mut written = Ok(());
        let missing = self.target.length() - there;
        let came = match missing {
            0 => Ok(()),
            _ => each(
                &mut self.open(there)?.take(missing.saturating_add(1)),
                |bytes| {
                    check.update(bytes);
                    written = file.write_all(bytes);
                    // Ends the copying; the error itself is told below.
                    written
                        .as_ref()
                        .map(drop)
                        .map_err(|error| error.kind().into())
                },
            ),
        };
        written.map_err(on_disk)?;
        came.map_err(|error| self.failed(FetchError::Transport(error.into())))?;
        check
            .finish()
            .map_err(|fault| refused(self.target, fault))?;
        file.sync_all().map_err(on_disk)
    }

    fn open(&self, behind: u64) -> Result<Box<dyn Read>, UpdateError> {
        self.repository
            .target(self.file_path, self.target.length(), behind)
            .map_err(|source| self.failed(source))?
            .ok_or_else(|| UpdateError::Missing(self.file_path.to_owned()))
    }

    fn failed(&self, source: FetchError) -> UpdateError {
        UpdateError::Fetch {
            name: self.file_path.to_owned(),
            source,
        }
    }
}

/// Says whether a file is the target already. One that cannot be read is not.
fn is_there(target: &Target, path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    if length(&file).ok() != Some(target.length()) {
        return false;
    }
    let mut check = target.check();
    let read = each(&mut file, |bytes| {
        check.update(bytes);
        Ok(())
    });
    read.is_ok() && check.finish().is_ok()
}

fn length(file: &File) -> io::Result<u64> {
    file.metadata().map(|metadata| metadata.len())
}

/// Reads to the end, piece by piece.
fn each(from: &mut impl Read, mut what: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut piece = vec![0; COPY_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => what(&piece[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn remove(part: &Path) -> Result<(), UpdateError> {
    fs::remove_file(part).map_err(|source| write_error(part, source))
}

fn is_refused(fetched: &Result<(), UpdateError>) -> bool {
    matches!(fetched, Err(UpdateError::Target { .. }))
}

fn refused(target: &Target, source: Fault) -> UpdateError {
    UpdateError::Target {
        path: target.path().to_owned(),
        source,
    }
}
