//! The folder of trusted metadata: one file a role, under its name without a version, exactly as it was received.
//!
//! Each root that was trusted also stays under its number (`root_history/N.root.json`), so that others who begin with an older one can walk the same way.
//! A file is replaced as a whole or not at all: written beside, synced, renamed, and the folder synced. Deliberately decides nothing;
//! what is kept was checked before, and is checked again when it is loaded.

use crate::error::UpdateError;
use crate::name::file_name;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// 8 MiB: more than any metadata that were ever kept. A longer file is not ours, and counts as absent.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Where roots stay under their numbers.
pub(crate) const ROOTS: &str = "root_history";

/// A folder of trusted metadata.
#[derive(Clone, Debug)]
pub struct MetadataFolder {
    path: PathBuf,
}

impl MetadataFolder {
    /// Names the folder, which need not exist before something is kept.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Gives the root that everything begins with.
    ///
    /// # Errors
    /// `NoRoot`, and `Read`.
    pub fn root(&self) -> Result<Vec<u8>, UpdateError> {
        self.load("root")?
            .ok_or_else(|| UpdateError::NoRoot(self.path.clone()))
    }

    /// Keeps the root that came with the program, which must have been read already.
    ///
    /// # Errors
    /// `RootPresent` when there is one: it may be newer, and only its own keys say what comes after it. `Write`.
    pub fn init(&self, root: &[u8]) -> Result<(), UpdateError> {
        if self.load("root")?.is_some() {
            return Err(UpdateError::RootPresent(self.path.clone()));
        }
        fs::create_dir_all(&self.path).map_err(|source| write_error(&self.path, source))?;
        self.keep("root", root)
    }

    /// Gives what is kept of a role; nothing when there is nothing, or more than was ever kept.
    ///
    /// # Errors
    /// `Read`, and `UnusableName`.
    pub fn load(&self, role: &str) -> Result<Option<Vec<u8>>, UpdateError> {
        let path = self.path.join(metadata_name(role)?);
        let mut bytes = Vec::new();
        let read = File::open(&path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok((bytes.len() as u64 <= FILE_BYTES_MAX).then_some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(UpdateError::Read { path, source }),
        }
    }

    /// Keeps metadata of a role in place of what was kept.
    ///
    /// # Errors
    /// `Write`, and `UnusableName`. What was kept is still there then, or what was to be kept is.
    pub fn keep(&self, role: &str, bytes: &[u8]) -> Result<(), UpdateError> {
        if let Some(version) = (role == "root").then(|| version(bytes)).flatten() {
            let roots = self.path.join(ROOTS);
            fs::create_dir_all(&roots).map_err(|source| write_error(&roots, source))?;
            keep_as(&roots, &format!("{version}.root.json"), bytes)?;
        }
        keep_as(&self.path, &metadata_name(role)?, bytes)
    }

    /// Removes what is kept of a role, if anything.
    ///
    /// # Errors
    /// `Write`, and `UnusableName`.
    pub fn forget(&self, role: &str) -> Result<(), UpdateError> {
        let path = self.path.join(metadata_name(role)?);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write_error(&path, error)),
            _ => sync_folder(&self.path),
        }
    }
}

/// The version that metadata give themselves; they were read before.
fn version(bytes: &[u8]) -> Option<u64> {
    let metadata: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    metadata["signed"]["version"].as_u64()
}

fn keep_as(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), UpdateError> {
    replace(folder, name, |mut file, path| {
        file.write_all(bytes)
            .map_err(|source| write_error(path, source))
    })
}

/// Makes a file anew, as a whole or not at all: `fill` writes it where nobody looks for it, and an error of `fill` leaves no trace.
///
/// # Errors
/// That of `fill`, and `Write`.
pub(crate) fn replace(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&File, &Path) -> Result<(), UpdateError>,
) -> Result<(), UpdateError> {
    let new = folder.join(format!(".{name}.new"));
    let path = folder.join(name);
    let written = File::create(&new)
        .map_err(|source| write_error(&new, source))
        .and_then(|file| {
            fill(&file, &new)?;
            file.sync_all().map_err(|source| write_error(&new, source))
        })
        .and_then(|()| fs::rename(&new, &path).map_err(|source| write_error(&path, source)));
    if written.is_err() {
        // It is overwritten the next time, if it cannot be removed.
        let _ = fs::remove_file(&new);
    }
    written?;
    sync_folder(folder)
}

fn metadata_name(role: &str) -> Result<String, UpdateError> {
    file_name(role)
        .map(|name| format!("{name}.json"))
        .ok_or_else(|| UpdateError::UnusableName(role.to_owned()))
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), UpdateError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| write_error(folder, source))
}

pub(crate) fn write_error(path: &Path, source: io::Error) -> UpdateError {
    UpdateError::Write {
        path: path.to_owned(),
        source,
    }
}
