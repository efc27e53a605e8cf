//! The extractor's end of its connection to the keeper: documents come, texts go. One thread, no file of its own.

use super::Failure;
use super::client::SOCKET;
use super::messages::{DocumentRequest, DocumentText, WireBody};
use super::wire::{self, Receiver};
use crate::short_path::ShortPath;
use extract::{DOCUMENT_BYTES_MAX, Label};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection on which the keeper asks.
pub struct ExtractorEnd {
    stream: UnixStream,
    receiver: Receiver,
    /// The question that is to be answered.
    number: u64,
}

/// A document that is to be read.
pub struct ExtractorDocument {
    /// What others say about it.
    pub label: Label,
    file: File,
    length_bytes: u64,
}

impl ExtractorEnd {
    /// Connects to the socket for edges in a folder.
    ///
    /// # Errors
    /// `Unreachable` when no keeper has it open.
    pub fn connect(folder: &Path) -> Result<Self, Failure> {
        let short = ShortPath::new(folder, SOCKET);
        let stream = short.and_then(|short| UnixStream::connect(short.path()));
        let stream = stream.map_err(|error| {
            Failure::Unreachable(format!(
                "cannot speak to the keeper in {}: {error}",
                folder.display()
            ))
        })?;
        Ok(Self::over(stream))
    }

    /// Speaks over a connection that is there.
    ///
    /// # Panics
    /// Never but when the process has no descriptor left.
    pub fn over(stream: UnixStream) -> Self {
        let receiver = stream.try_clone().expect("a descriptor is left");
        Self {
            stream,
            receiver: Receiver::new(receiver),
            number: 0,
        }
    }

    /// Waits for a document; none when the keeper is gone.
    ///
    /// # Errors
    /// When what comes is none.
    pub fn receive(&mut self) -> io::Result<Option<ExtractorDocument>> {
        let Some(frame) = self.receiver.receive::<DocumentRequest>()? else {
            return Ok(None);
        };
        self.number = frame.number;
        let (WireBody::File(length_bytes), Some(descriptor)) = (frame.value.body, frame.descriptor)
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        Ok(Some(ExtractorDocument {
            label: frame.value.label,
            file: File::from(descriptor),
            length_bytes,
        }))
    }

    /// Answers with the text of the document that came last.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn answer(&self, text: &DocumentText) -> io::Result<()> {
        wire::send(&self.stream, self.number, text, None)
    }
}

impl ExtractorDocument {
    /// The file that holds it.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let length = self.length_bytes.min(DOCUMENT_BYTES_MAX + 1);
        let mut bytes = Vec::with_capacity(length as usize);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
