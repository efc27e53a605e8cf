//! Paths to sockets that are short whatever the directory is called: the system takes 107 bytes at most (unix(7)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A path by way of the open directory; it leads there while the value lives.
pub(crate) struct ShortPath {
    _folder: File,
    path: PathBuf,
}

impl ShortPath {
    /// Makes a path to a name in a directory.
    pub(crate) fn new(folder: &Path, name: &str) -> io::Result<Self> {
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
        Ok(Self {
            _folder: folder,
            path,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
