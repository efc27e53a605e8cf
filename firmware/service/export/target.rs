//! The file that an export becomes: written under another name beside its own, and renamed when it is whole and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// What becomes of a file that is being written.
pub(super) enum Target {
    /// It gets its name when it is finished, and is removed again unless it is.
    Named {
        /// The name.
        path: PathBuf,
        /// The name until then.
        part: PathBuf,
        /// Whether it has the name.
        is_finished: bool,
    },
    /// It never has a name, and vanishes when it is closed.
    Unnamed,
}

impl Target {
    /// Begins a file, which must not be there yet.
    ///
    /// # Errors
    /// `AlreadyExists` when it is; otherwise what the disk says.
    pub(super) fn create(path: &Path) -> io::Result<(Self, File)> {
        // A link that leads nowhere is also something that is there.
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it exists; name a file that does not",
            ));
        }
        let part = with_ending(path, ".part");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&part)?;
        Ok((
            Self::Named {
                path: path.to_owned(),
                part,
                is_finished: false,
            },
            file,
        ))
    }

    /// Gives the file its name, once all its bytes are on the disk.
    pub(super) fn finish(mut self, file: &File) -> io::Result<()> {
        let Self::Named {
            path,
            part,
            is_finished,
        } = &mut self
        else {
            return Ok(());
        };
        file.sync_all()?;
        fs::rename(part, &path)?;
        *is_finished = true;
        File::open(folder_of(path))?.sync_all()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::Named {
            part,
            is_finished: false,
            ..
        } = self
        {
            // It is of no use to anybody, and no harm either if it cannot be removed.
            let _ = fs::remove_file(part);
        }
    }
}

/// Makes a file without a name in the folder of another, for what has to wait.
pub(super) fn unnamed_file(beside: &Path) -> io::Result<File> {
    let path = with_ending(beside, ".waiting");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.zip");
        let names = || fs::read_dir(folder.path()).expect("a folder").count();
        let (target, mut file) = Target::create(&path).expect("a file");
        file.write_all(b"half").expect("room");
        assert!(!path.exists());
        drop(target);
        assert_eq!(names(), 0);

        let (target, mut file) = Target::create(&path).expect("a file");
        file.write_all(b"whole").expect("room");
        target.finish(&file).expect("a whole file");
        assert_eq!(
            (fs::read(&path).expect("a file").as_slice(), names()),
            (b"whole".as_slice(), 1)
        );
        let again = Target::create(&path).map(drop).expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        unnamed_file(&path).expect("a file");
        assert_eq!(names(), 1);
    }
}
