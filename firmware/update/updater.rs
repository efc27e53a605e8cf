//! A run of the client with a folder and a repository: does what the machine asks for, one thing after the other.
//!
//! Deliberately decides nothing about trust. Source: §5.

use crate::client::{Answer, Client, Options, Step};
use crate::error::{Fault, FetchError, UpdateError};
use crate::folder::{MetadataFolder, replace};
use crate::metadata::Target;
use crate::name::file_name;
use crate::repository::{Repository, read_at_most};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// 64 KiB at a time, when the content of a target is copied or checked.
const COPY_BYTES: usize = 64 * 1024;

/// A client, the folder with what it trusts, and the repository that it follows.
pub struct Updater<'a> {
    folder: &'a MetadataFolder,
    repository: &'a dyn Repository,
    client: Client,
}

impl<'a> Updater<'a> {
    /// Begins with the root that is kept in the folder.
    ///
    /// # Errors
    /// When there is none, or it is not to be believed.
    pub fn new(
        folder: &'a MetadataFolder,
        repository: &'a dyn Repository,
        options: Options,
    ) -> Result<Self, UpdateError> {
        Ok(Self {
            folder,
            repository,
            client: Client::new(folder.root()?, options)?,
        })
    }

    /// Brings all top-level metadata up to date, once.
    ///
    /// # Errors
    /// Whatever ends a run; what was believed until then is kept.
    pub fn refresh(&mut self) -> Result<(), UpdateError> {
        self.run()
    }

    /// Looks for a target, after `refresh`.
    ///
    /// # Errors
    /// `NoSuchTarget`, and whatever ends a run.
    pub fn target(&mut self, path: &str) -> Result<Target, UpdateError> {
        self.client.search(path)?;
        self.run()?;
        self.client.found().cloned()
    }

    /// Says whether the repository changed its timestamp without a new version.
    pub fn timestamp_changed(&self) -> bool {
        self.client.timestamp_changed()
    }

    /// Fetches a target into a folder, unless it is there already, and says where it lies.
    ///
    /// # Errors
    /// When it does not come, or is not what was signed; the folder is as before then.
    pub fn download(&self, target: &Target, folder: &Path) -> Result<PathBuf, UpdateError> {
        let name = file_name(target.path())
            .ok_or_else(|| UpdateError::UnusableName(target.path().to_owned()))?;
        let path = folder.join(&name);
        if !is_there(target, &path) {
            replace(folder, &name, |file, path| self.copy(target, file, path))?;
        }
        Ok(path)
    }

    /// Does what the client asks for until it rests.
    fn run(&mut self) -> Result<(), UpdateError> {
        loop {
            match self.client.next() {
                Step::Keep { role, bytes } => self.folder.keep(&role, &bytes)?,
                Step::Forget { role } => self.folder.forget(&role)?,
                Step::Load { role } => {
                    let kept = self.folder.load(&role)?;
                    self.client
                        .receive(kept.map_or(Answer::Missing, Answer::Bytes))?;
                }
                Step::Fetch { name, bytes_max } => {
                    let answer = self.fetch(&name, bytes_max);
                    self.client.receive(answer)?;
                }
                Step::Rest => return Ok(()),
            }
        }
    }

    fn fetch(&self, name: &str, bytes_max: u64) -> Answer {
        let read = |file: Option<Box<dyn Read>>| {
            file.map(|file| read_at_most(file, bytes_max)).transpose()
        };
        match self.repository.metadata(name).and_then(read) {
            Ok(Some(bytes)) => Answer::Bytes(bytes),
            Ok(None) => Answer::Missing,
            Err(error) => Answer::Failed(error),
        }
    }

    /// Copies a target as it comes, and reads one byte too many, so that a longer one is noticed.
    fn copy(&self, target: &Target, to: &File, path: &Path) -> Result<(), UpdateError> {
        let name = self.client.file_path(target);
        let failed = |source| UpdateError::Fetch {
            name: name.clone(),
            source,
        };
        let from = self
            .repository
            .target(&name, target.length())
            .map_err(failed)?
            .ok_or_else(|| UpdateError::Missing(name.clone()))?;
        let mut from = from.take(target.length().saturating_add(1));
        let mut check = target.check();
        let mut piece = vec![0; COPY_BYTES];
        loop {
            let count = read_some(&mut from, &mut piece)
                .map_err(|error| failed(FetchError::Transport(error.into())))?;
            let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return check.finish().map_err(|fault| refused(target, fault));
            };
            check.update(bytes);
            write_all(to, bytes, path)?;
        }
    }
}

/// Says whether a file is the target already. One that cannot be read is not.
fn is_there(target: &Target, path: &Path) -> bool {
    let length = |file: &File| file.metadata().map(|metadata| metadata.len());
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    if length(&file).ok() != Some(target.length()) {
        return false;
    }
    let mut check = target.check();
    let mut piece = vec![0; COPY_BYTES];
    loop {
        match read_some(&mut file, &mut piece) {
            Ok(0) => return check.finish().is_ok(),
            Ok(count) => check.update(&piece[..count]),
            Err(_) => return false,
        }
    }
}

fn read_some(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn write_all(mut to: &File, bytes: &[u8], path: &Path) -> Result<(), UpdateError> {
    to.write_all(bytes).map_err(|source| UpdateError::Write {
        path: path.to_owned(),
        source,
    })
}

fn refused(target: &Target, source: Fault) -> UpdateError {
    UpdateError::Target {
        path: target.path().to_owned(),
        source,
    }
}
