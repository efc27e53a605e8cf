//! A repository in a folder, as on a stick: `metadata/` and `targets/`, with the names that a web server would give them.
//!
//! Deliberately follows no link out of the folder, since a stick may come from anywhere.

use crate::error::FetchError;
use crate::name::address_path;
use crate::repository::Repository;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Files in a folder.
#[derive(Clone, Debug)]
pub struct FolderRepository {
    folder: PathBuf,
}

impl FolderRepository {
    /// Names the folder, without looking into it yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    fn open(&self, kind: &str, name: &str) -> Result<Option<File>, FetchError> {
        let inside = self.folder.join(kind);
        let path = inside.join(name.trim_start_matches('/'));
        match is_within(&path, &inside)
            .and_then(|within| within.then(|| File::open(&path)).transpose())
        {
            Ok(file) => Ok(file),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(FetchError::Transport(error.into())),
        }
    }
}

impl Repository for FolderRepository {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        let file = self.open("metadata", name)?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Read>))
    }

    fn target(&self, path: &str, _: u64, behind: u64) -> Result<Option<Box<dyn Read>>, FetchError> {
        let Some(mut file) = self.open("targets", &address_path(path))? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(behind))
            .map_err(|error| FetchError::Transport(error.into()))?;
        Ok(Some(Box::new(file)))
    }
}

/// Tells whether a path, links followed, is a plain file within a folder.
fn is_within(path: &Path, folder: &Path) -> io::Result<bool> {
    let path = path.canonicalize()?;
    Ok(path.starts_with(folder.canonicalize()?) && path.is_file())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn read(file: Result<Option<Box<dyn Read>>, FetchError>) -> Option<String> {
        let mut text = String::new();
        file.expect("a folder that can be read")?
            .read_to_string(&mut text)
            .expect("UTF-8");
        Some(text)
    }

    #[test]
    fn files_are_found_by_the_names_of_a_web_server() {
        let stick = tempfile::tempdir().expect("a folder");
        let repository = FolderRepository::new(stick.path());
        assert_eq!(read(repository.metadata("timestamp.json")), None);
        for (name, text) in [
            ("metadata/timestamp.json", "time"),
            ("metadata/2.a%2Fb.json", "role"),
            ("targets/box/1.cf 1.efi", "kernel"),
            ("secret", "secret"),
        ] {
            let path = stick.path().join(name.replace("cf 1", "cf%201"));
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("room");
        }
        let found = |name| read(repository.metadata(name));
        assert_eq!(found("timestamp.json").as_deref(), Some("time"));
        assert_eq!(found("2.a%2Fb.json").as_deref(), Some("role"));
        assert_eq!(found("3.root.json"), None);
        let target = |behind| read(repository.target("box/1.cf 1.efi", 6, behind));
        assert_eq!(target(0).as_deref(), Some("kernel"));
        assert_eq!(target(4).as_deref(), Some("el"));
        assert_eq!(target(9).as_deref(), Some(""));
    }

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let stick = tempfile::tempdir().expect("a folder");
        let metadata = stick.path().join("metadata");
        fs::create_dir(&metadata).expect("a folder");
        fs::write(stick.path().join("secret"), "secret").expect("room");
        symlink(stick.path().join("secret"), metadata.join("link")).expect("a link");
        symlink("/dev/zero", metadata.join("endless")).expect("a link");
        let repository = FolderRepository::new(stick.path());
        for name in ["../secret", "link", "endless", "/etc/hostname", "", "."] {
            assert_eq!(read(repository.metadata(name)), None, "{name}");
        }
    }
}
