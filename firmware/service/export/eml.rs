//! Export into a folder: one file a message, `NUMBER.eml`, exactly its bytes.

use super::MessageWriter;
use crate::keeper::messages::Entry;
use nix::unistd::syncfs;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A folder that takes messages.
pub(super) struct EmlFolder {
    folder: PathBuf,
    file: Option<BufWriter<File>>,
}

impl EmlFolder {
    /// Takes a folder, which is made if it is not there and has to be empty if it is.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        if fs::read_dir(folder)?.next().is_some() {
            let what = "the folder is not empty; name an empty one or one that is not there";
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, what));
        }
        Ok(Self {
            folder: folder.to_owned(),
            file: None,
        })
    }

    /// Brings everything to the disk.
    pub(super) fn finish(self) -> io::Result<()> {
        // One call for all files: a sync for each would take longer than writing them.
        syncfs(File::open(&self.folder)?).map_err(io::Error::from)
    }

    fn part(&self) -> PathBuf {
        self.folder.join(".part")
    }
}

impl MessageWriter for EmlFolder {
    fn begin(&mut self, _: &Entry) -> io::Result<&mut dyn Write> {
        let file = BufWriter::new(File::create(self.part())?);
        Ok(self.file.insert(file))
    }

    fn end(&mut self, entry: &Entry) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
        }
        fs::rename(
            self.part(),
            self.folder.join(format!("{}.eml", entry.number)),
        )
    }

    fn abort(&mut self) -> io::Result<()> {
        self.file = None;
        fs::remove_file(self.part())
    }
}
