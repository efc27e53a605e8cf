//! A run of the client with a folder and a repository: does what the machine asks for, one thing after the other.
//!
//! Deliberately decides nothing about trust. Source: §5.

use crate::client::{Answer, Client, Options, Step};
use crate::download::Download;
use crate::error::UpdateError;
use crate::folder::MetadataFolder;
use crate::metadata::Target;
use crate::name::file_name;
use crate::repository::{Repository, read_at_most};
use std::io::Read;
use std::path::{Path, PathBuf};

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

    /// Lists what the top-level targets role vouches for, after `refresh`.
    pub fn top_level_targets(&self) -> Vec<Target> {
        self.client.top_level_targets()
    }

    /// Says whether the repository changed its timestamp without a new version.
    pub fn timestamp_changed(&self) -> bool {
        self.client.timestamp_changed()
    }

    /// Fetches a target into a folder, unless it is there already, and says where it lies.
    ///
    /// What came of it before the way broke off stays beside it, for the next attempt.
    ///
    /// # Errors
    /// When it does not come, or is not what was signed; under its name lies what lay there before.
    pub fn download(&self, target: &Target, folder: &Path) -> Result<PathBuf, UpdateError> {
        let name = file_name(target.path())
            .ok_or_else(|| UpdateError::UnusableName(target.path().to_owned()))?;
        Download {
            repository: self.repository,
            target,
            file_path: &self.client.file_path(target),
            folder,
            name: &name,
        }
        .run()?;
        Ok(folder.join(name))
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
}
