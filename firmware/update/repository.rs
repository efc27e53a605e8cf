//! Where the files of a repository come from: the contract that a web server, a folder or a test keeps.
//!
//! Nothing that comes from there is believed, so that any server may hold the files.

use crate::error::FetchError;
use std::io::Read;

/// A place with the files of a repository.
pub trait Repository {
    /// Opens a file of metadata; nothing when there is none. The reader may go on for ever, but not without end at the same place.
    ///
    /// # Errors
    /// Whenever it is not certain that there is none.
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError>;

    /// Opens the file of a target, which should have this length in bytes, behind its first bytes that are there already; as `metadata`.
    ///
    /// # Errors
    /// As `metadata`.
    fn target(
        &self,
        path: &str,
        length: u64,
        behind: u64,
    ) -> Result<Option<Box<dyn Read>>, FetchError>;
}

/// Reads a file that may not be longer than so many bytes.
///
/// # Errors
/// `TooLong`, and `Transport` when it breaks off.
pub(crate) fn read_at_most(from: impl Read, bytes_max: u64) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    from.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| FetchError::Transport(error.into()))?;
    match bytes.len() as u64 > bytes_max {
        true => Err(FetchError::TooLong(bytes_max)),
        false => Ok(bytes),
    }
}
