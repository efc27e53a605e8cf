//! An update that somebody uploads on the page: it comes in pieces, one after the other, and is a file once all are there.
//!
//! A piece that does not follow the one before is refused, and the first one begins anew; so what was cut off does no harm, and nothing becomes
//! longer than was said in the beginning. Deliberately believes nothing in it.

use service::machine::UploadPiece;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use update::file_repository::FILE_BYTES_MAX;

/// What has come so far.
#[derive(Debug)]
pub(crate) struct Upload {
    path: PathBuf,
    file: File,
    got: u64,
    length: u64,
}

/// Why a piece was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// Longer than an update may be, or empty.
    #[error("longer than an update may be, or empty, in bytes: {0}")]
    Length(u64),
    /// Something else was expected.
    #[error("a piece of the upload is missing")]
    Gap,
    /// It cannot be written.
    #[error("cannot keep what is uploaded")]
    Write(#[from] io::Error),
}

impl Upload {
    /// Begins with an empty file, in place of what was there.
    ///
    /// # Errors
    /// When it cannot be that long, or no file can be made.
    pub(crate) fn begin(path: &Path, length: u64) -> Result<Self, UploadError> {
        if !(1..=FILE_BYTES_MAX).contains(&length) {
            return Err(UploadError::Length(length));
        }
        Ok(Self {
            path: path.to_owned(),
            file: File::create(path)?,
            got: 0,
            length,
        })
    }

    /// Takes the next piece; tells whether it was the last one.
    ///
    /// # Errors
    /// When it is not the next one, is too long, or cannot be written.
    pub(crate) fn take(&mut self, piece: &UploadPiece) -> Result<bool, UploadError> {
        let end = self.got + piece.bytes.len() as u64;
        let follows = piece.offset == self.got && piece.length == self.length;
        if !follows || piece.bytes.is_empty() || end > self.length {
            return Err(UploadError::Gap);
        }
        self.file.write_all(&piece.bytes)?;
        self.got = end;
        Ok(end == self.length)
    }

    /// Puts the whole file where it is looked for.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub(crate) fn keep_as(self, name: &str) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_file_name(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64, length: u64, bytes: &[u8]) -> UploadPiece {
        UploadPiece {
            offset,
            length,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn pieces_become_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("upload");
        for content in ["first and second", "anew and shorter"] {
            let length = content.len() as u64;
            let mut upload = Upload::begin(&path, length).expect("room");
            let (one, two) = content.as_bytes().split_at(5);
            assert!(!upload.take(&piece(0, length, one)).expect("taken"));
            assert!(upload.take(&piece(5, length, two)).expect("taken"));
            upload.keep_as("whole").expect("renamed");
            let kept = fs::read_to_string(folder.path().join("whole"));
            assert_eq!(kept.expect("a text"), content);
        }
    }

    #[test]
    fn what_does_not_follow_or_is_longer_than_was_said_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("upload");
        for length in [0, FILE_BYTES_MAX + 1, u64::MAX] {
            assert!(Upload::begin(&path, length).is_err(), "{length}");
        }
        let mut upload = Upload::begin(&path, 10).expect("room");
        assert!(!upload.take(&piece(0, 10, b"12345")).expect("taken"));
        for wrong in [
            piece(0, 10, b"12345"),
            piece(6, 10, b"7"),
            piece(5, 11, b"678901"),
            piece(5, 10, b"6789012"),
            piece(5, 10, b""),
            piece(u64::MAX, 10, b"6"),
        ] {
            assert!(upload.take(&wrong).is_err(), "{wrong:?}");
        }
        assert!(upload.take(&piece(5, 10, b"67890")).expect("taken"));
    }
}
