//! Large mail on its way in: files that have no name any more, so that a crash leaves nothing behind.
//!
//! Messages up to [`MEMORY_BYTES_MAX`] stay in memory.

use crate::disk::{Disk, DiskFile, Open};
use crate::error::{DiskContext, Result};
use crate::workroom::Workroom;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of the spool.
pub(crate) const FOLDER: &str = "spool";

/// Largest message that is kept in memory on its way in, in bytes: nearly all mail is smaller; with 32 senders at once it costs 32 MiB.
pub const MEMORY_BYTES_MAX: usize = 1 << 20;

/// Bytes read from a spool file at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// The bytes of a message on its way in or out.
pub enum Body {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file without a name.
    File {
        /// The file.
        file: Box<dyn DiskFile>,
        /// How many of its bytes, from the start, are the message.
        length_bytes: u64,
    },
}

impl Body {
    /// Length of the message in bytes.
    pub fn length_bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length_bytes, .. } => *length_bytes,
        }
    }

    /// Hands over the bytes of a range, in order and in pieces.
    pub(crate) fn each_chunk<E: From<io::Error>>(
        &self,
        range: std::ops::Range<u64>,
        mut each: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match self {
            Self::Memory(bytes) => each(&bytes[range.start as usize..range.end as usize]),
            Self::File { file, .. } => {
                let mut chunk = vec![0; CHUNK_BYTES.min((range.end - range.start) as usize)];
                let mut at = range.start;
                while at < range.end {
                    let count = chunk.len().min((range.end - at) as usize);
                    file.read_exact_at(at, &mut chunk[..count])?;
                    each(&chunk[..count])?;
                    at += count as u64;
                }
                Ok(())
            }
        }
    }

    /// Writes the whole message.
    pub fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.each_chunk(0..self.length_bytes(), |chunk| out.write_all(chunk))
    }
}

/// Reads the bytes of a message from its start.
pub struct BodyReader {
    body: Body,
    at: u64,
}

impl BodyReader {
    /// Begins at the first byte.
    pub fn new(body: Body) -> Self {
        Self::starting_at(body, 0)
    }

    /// Begins at another byte; at the end when there are not so many.
    pub fn starting_at(body: Body, offset: u64) -> Self {
        let at = offset.min(body.length_bytes());
        Self { body, at }
    }
}

impl io::Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.body.length_bytes() - self.at;
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = &mut buffer[..count];
        match &self.body {
            Body::Memory(bytes) => buffer.copy_from_slice(&bytes[self.at as usize..][..count]),
            Body::File { file, .. } => file.read_exact_at(self.at, buffer)?,
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Makes files for large mail.
pub struct Spool {
    source: Source,
    workroom: Workroom,
}

/// Gives an empty file that vanishes when it is closed.
type Ask = Box<dyn Fn() -> io::Result<Box<dyn DiskFile>> + Send + Sync>;

/// Where the files come from.
enum Source {
    /// The folder of the spool.
    Folder {
        disk: Arc<dyn Disk>,
        made: AtomicU64,
    },
    /// Another process, which alone may reach the folder.
    Other(Ask),
}

impl Spool {
    /// Opens the spool; whatever a crash has left there is removed.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        disk.create_dir(Path::new(FOLDER)).on("create", FOLDER)?;
        for name in disk.list(Path::new(FOLDER)).on("list", FOLDER)? {
            disk.remove(&name).on("remove", name.display())?;
        }
        Ok(Self::beside(disk))
    }

    /// Opens the spool of a directory that another process owns.
    pub fn beside(disk: Arc<dyn Disk>) -> Self {
        let made = AtomicU64::new(0);
        Self::from(Source::Folder { disk, made })
    }

    /// Makes a spool whose files another process gives, which alone may reach the folder.
    pub fn asking(ask: impl Fn() -> io::Result<Box<dyn DiskFile>> + Send + Sync + 'static) -> Self {
        Self::from(Source::Other(Box::new(ask)))
    }

    fn from(source: Source) -> Self {
        let workroom = Workroom::default();
        Self { source, workroom }
    }

    /// Where large messages are prepared.
    pub(crate) fn workroom(&self) -> &Workroom {
        &self.workroom
    }

    /// Makes a file that vanishes when it is closed.
    ///
    /// # Errors
    /// When the spool's disk fails or is full, or whoever gives its files.
    pub fn file(&self) -> Result<Box<dyn DiskFile>> {
        let (disk, made) = match &self.source {
            Source::Folder { disk, made } => (disk, made),
            Source::Other(ask) => return ask().on("create", FOLDER),
        };
        let number = made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{FOLDER}/{}-{number}", std::process::id());
        let file = disk
            .open(Path::new(&name), Open::CreateNew)
            .on("create", &name)?;
        disk.remove(Path::new(&name)).on("remove", &name)?;
        Ok(file)
    }

    /// Makes a file that vanishes when it is closed, as the system's own.
    ///
    /// # Errors
    /// As [`Spool::file`], and where the disk is none of the computer's.
    pub fn system_file(&self) -> io::Result<File> {
        let file = self.file().map_err(io::Error::other)?;
        let descriptor = file.descriptor().ok_or(io::ErrorKind::Unsupported)?;
        Ok(File::from(descriptor.try_clone_to_owned()?))
    }

    /// Begins a message that is handed out while the disk is full: in a file that lies in memory.
    pub(crate) fn memory_writer(&self) -> Result<SpoolWriter<'_>> {
        let file = memfd_create(FOLDER, MFdFlags::MFD_CLOEXEC).map_err(io::Error::from);
        let file = File::from(file.on("create", "a file in memory")?);
        Ok(SpoolWriter {
            file: Some(Box::new(file)),
            ..self.writer()
        })
    }

    /// Begins a message.
    pub fn writer(&self) -> SpoolWriter<'_> {
        SpoolWriter {
            spool: self,
            memory: Vec::new(),
            file: None,
            length_bytes: 0,
        }
    }
}

/// Takes the bytes of one message, in memory as long as there are few.
pub struct SpoolWriter<'a> {
    spool: &'a Spool,
    memory: Vec<u8>,
    file: Option<Box<dyn DiskFile>>,
    length_bytes: u64,
}

impl SpoolWriter<'_> {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the spool's disk fails or is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length_bytes += bytes.len() as u64;
        let limit = if self.file.is_some() {
            CHUNK_BYTES
        } else {
            MEMORY_BYTES_MAX
        };
        self.memory.extend_from_slice(bytes);
        if self.memory.len() > limit {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.spool.file()?,
        };
        let at = self.length_bytes - self.memory.len() as u64;
        file.write_all_at(at, &self.memory).on("write", FOLDER)?;
        self.memory.clear();
        // From now on less is gathered between two writes.
        self.memory.shrink_to(2 * CHUNK_BYTES);
        self.file = Some(file);
        Ok(())
    }

    /// Number of bytes taken so far.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Ends the message.
    pub fn finish(mut self) -> Result<Body> {
        if self.file.is_some() && !self.memory.is_empty() {
            self.flush()?;
        }
        Ok(match self.file {
            Some(file) => Body::File {
                file,
                length_bytes: self.length_bytes,
            },
            None => Body::Memory(self.memory),
        })
    }
}

impl io::Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SpoolWriter::write(self, bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
