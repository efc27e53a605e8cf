//! Lock files, `image/lock/BOARD.toml`: each Debian package of a board by version and digest.

use crate::board;
use crate::error::ImageError;
use crate::files;
use serde::Deserialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The packages of a board.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// By name.
    #[serde(rename = "package")]
    pub(crate) packages: Vec<Package>,
}

/// A Debian package of one version.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version, as Debian writes it.
    pub(crate) version: String,
    /// Architecture it is for, or `all`.
    pub(crate) architecture: String,
    /// SHA-256 of the file, in hexadecimal digits.
    pub(crate) sha256: String,
    /// Length of the file in bytes.
    pub(crate) size_bytes: u64,
    /// Path of the file on a mirror.
    pub(crate) path: String,
}

impl Lock {
    /// Where the lock file of a board lies.
    pub(crate) fn path(board: &str) -> PathBuf {
        Path::new("image/lock").join(format!("{board}.toml"))
    }

    /// Reads a lock file.
    pub(crate) fn load(path: &Path) -> Result<Self, ImageError> {
        board::parse(path, &files::read_text(path)?)
    }

    /// Writes a lock file.
    pub(crate) fn save(&self, path: &Path) -> Result<(), ImageError> {
        files::write(path, self.text().as_bytes())
    }

    fn text(&self) -> String {
        let mut text =
            "# Debian packages of the board, by digest. Written by scripts/lock.\n".to_owned();
        for package in &self.packages {
            // Nothing in the fields of a package has to be escaped: Debian allows no quotes, backslashes or control characters there.
            let _ = write!(
                text,
                "\n[[package]]\nname = \"{}\"\nversion = \"{}\"\narchitecture = \"{}\"\nsha256 = \"{}\"\nsize_bytes = {}\npath = \"{}\"\n",
                package.name,
                package.version,
                package.architecture,
                package.sha256,
                package.size_bytes,
                package.path,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_is_read_as_it_was_written() {
        let package = |name: &str| Package {
            name: name.to_owned(),
            version: "2:2.6.1-4~deb12u2".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: "ab".repeat(32),
            size_bytes: 4711,
            path: format!("pool/main/c/{name}.deb"),
        };
        let lock = Lock {
            packages: vec![package("cryptsetup-bin"), package("libc6")],
        };
        let read: Lock = toml::from_str(&lock.text()).expect("works");
        assert_eq!(read, lock);
    }
}
