//! Files and folders of the host, with their path in each error.

use crate::error::ImageError;
use std::fs;
use std::path::{Path, PathBuf};

/// Level of zstd for what is in each image and update: the best without more memory at the other end.
const KEPT_LEVEL: i32 = 19;

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(read_error(path))
}

/// Reads a whole file as text.
pub(crate) fn read_text(path: &Path) -> Result<String, ImageError> {
    fs::read_to_string(path).map_err(read_error(path))
}

/// Writes a whole file, with the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    fs::write(path, bytes).map_err(write_error(path))
}

/// Packs what is kept in an image or an update; the path is named in an error.
pub(crate) fn packed(bytes: &[u8], path: &Path) -> Result<Vec<u8>, ImageError> {
    zstd::encode_all(bytes, KEPT_LEVEL).map_err(write_error(path))
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), ImageError> {
    fs::create_dir_all(path).map_err(write_error(path))
}

/// Removes a folder with all in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), ImageError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(write_error(path)(source))
        }
        _ => Ok(()),
    }
}

/// Gives a file another name in the same file system.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), ImageError> {
    fs::rename(from, to).map_err(write_error(to))
}

/// Lists what a folder holds, by name.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(read_error(folder))?;
    paths.sort();
    Ok(paths)
}

/// Names a path in an error of reading.
pub(crate) fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError {
    let path = path.to_owned();
    |source| ImageError::Read { path, source }
}

/// Names a path in an error of writing.
pub(crate) fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError {
    let path = path.to_owned();
    |source| ImageError::Write { path, source }
}
