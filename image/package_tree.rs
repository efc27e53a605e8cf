//! All packages of a lock file unpacked into one folder, as they would be installed, and looked at as if that folder were the root.

use crate::error::ImageError;
use crate::files;
use crate::lock::Lock;
use crate::mirror::Mirror;
use crate::program;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// 40 links on the way to a file, as the kernel has it; more are a circle.
const LINKS_MAX: usize = 40;

/// File that holds the digests of what was unpacked beside it.
const UNPACKED: &str = ".unpacked";

/// Unpacked packages.
pub(crate) struct PackageTree {
    root: PathBuf,
}

impl PackageTree {
    /// Unpacks packages, unless that was done before; those of another lock file for the same architecture make room.
    pub(crate) fn unpack(
        folder: &Path,
        mirror: &Mirror<'_>,
        lock: &Lock,
    ) -> Result<Self, ImageError> {
        let mut debs = Vec::new();
        let mut digests = String::new();
        for package in &lock.packages {
            debs.push(mirror.file(package)?);
            digests.push_str(&package.sha256);
            digests.push('\n');
        }
        // Written last: without it something is missing.
        let whole = folder.join(UNPACKED);
        if !files::read_text(&whole).is_ok_and(|unpacked| unpacked == digests) {
            files::remove_folder(folder)?;
            for deb in debs {
                program::run(
                    Command::new("dpkg-deb")
                        .arg("--extract")
                        .arg(deb)
                        .arg(folder),
                )?;
            }
            files::write(&whole, digests.as_bytes())?;
        }
        Ok(Self {
            root: folder.to_owned(),
        })
    }

    /// Takes a folder as it is.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Gives the file or folder of the host behind a path, all links followed.
    ///
    /// # Errors
    /// `NoFile`.
    pub(crate) fn find(&self, path: &Path) -> Result<PathBuf, ImageError> {
        self.resolve(path)
            .ok_or_else(|| ImageError::NoFile(path.to_owned()))
    }

    /// Reads a file.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, ImageError> {
        files::read(&self.find(path)?)
    }

    /// Follows links as if the folder were the root; nothing where there is no file.
    fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let mut ahead: VecDeque<OsString> = names(path).collect();
        let mut there = self.root.clone();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                if there != self.root {
                    there.pop();
                }
                continue;
            }
            let next = there.join(&name);
            let Ok(target) = next.read_link() else {
                there = next;
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            if target.is_absolute() {
                there.clone_from(&self.root);
            }
            for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(name);
            }
        }
        there.exists().then_some(there)
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_within_the_tree() {
        let folder = tempfile::tempdir().expect("works");
        let root = folder.path();
        files::write(&root.join("lib/x/libc.so.6"), b"c").expect("works");
        std::fs::create_dir(root.join("lib64")).expect("works");
        symlink("/lib/x/libc.so.6", root.join("lib64/ld.so.2")).expect("works");
        symlink("../../lib/x", root.join("lib64/x")).expect("works");
        symlink("circle", root.join("circle")).expect("works");
        symlink("/nowhere", root.join("dangling")).expect("works");
        let tree = PackageTree::at(root);
        for (path, expected) in [
            ("/lib/x/libc.so.6", true),
            ("lib64/ld.so.2", true),
            ("/lib64/x/libc.so.6", true),
            ("/circle", false),
            ("/dangling", false),
            ("/lib/y", false),
        ] {
            let read = tree.read(Path::new(path)).ok();
            assert_eq!(read, expected.then(|| b"c".to_vec()), "{path}");
        }
    }
}
