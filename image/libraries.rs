//! Libraries that programs need, at the paths where Debian's loader looks for them.

use crate::elf::{self, Needs};
use crate::error::ImageError;
use crate::files;
use crate::package_tree::PackageTree;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Gives programs with their loader and all their libraries, by path.
///
/// # Errors
/// `NoFile` for a program or loader, `NoLibrary`, `Object`.
pub(crate) fn with_libraries(
    programs: &[PathBuf],
    architecture: &str,
    tree: &PackageTree,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, ImageError> {
    let mut found = BTreeMap::new();
    let mut ahead = programs.to_vec();
    while let Some(path) = ahead.pop() {
        if found.contains_key(&path) {
            continue;
        }
        let file = files::read(&tree.find(&path)?)?;
        let Needs {
            loader, libraries, ..
        } = elf::needs(&path, &file)?;
        ahead.extend(loader.map(PathBuf::from));
        for name in libraries {
            ahead.push(library(&name, architecture, tree)?);
        }
        found.insert(path, file);
    }
    Ok(found)
}

/// Finds a library where Debian's loader does without a cache.
fn library(name: &str, architecture: &str, tree: &PackageTree) -> Result<PathBuf, ImageError> {
    let folders = [
        format!("/lib/{architecture}-linux-gnu"),
        format!("/usr/lib/{architecture}-linux-gnu"),
    ];
    folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| tree.find(path).is_ok())
        .ok_or_else(|| ImageError::NoLibrary(name.to_owned()))
}
