//! Reading the archive: leaves, contents and whole messages from the volumes, by the places that the catalog knows.

use crate::catalog::{CatalogView, Place};
use crate::digest::{GroupDigest, Hasher};
use crate::error::{Error, Result};
use crate::known_damage::KnownDamage;
use crate::leaf::{BadLeaf, Leaf, LeafBody};
use crate::prepare::READING_BYTES_MAX;
use crate::recently_used::RecentlyUsed;
use crate::record::{self, CheckpointRecord, Record, RecordKind, Records, Segment};
use crate::volume;
use crate::volume_files::{OpenVolume, VolumeFiles};
use archive::{
    Base64Shape, ContentRef, Journal, Message, MessageForm, Reception, ReportForm, StoredPiece,
};
use mail::{Piece, Recipe};
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Unpacked frames kept in memory, in bytes: about sixty frames, so that the messages of a page of results are unpacked once.
pub(crate) const CACHE_BYTES_MAX: usize = 16 << 20;

/// Unpacked frames by generation of the volume's file and offset.
type Frames = RecentlyUsed<(u64, u64), Arc<Vec<u8>>>;

/// Reads records of the volumes.
pub(crate) struct Reader {
    files: Arc<VolumeFiles>,
    frames: Mutex<Frames>,
    /// Is told what cannot be read.
    damage: Arc<KnownDamage>,
}

/// A leaf with the bytes that its hash covers.
#[derive(Clone, Debug)]
pub struct StoredLeaf {
    /// Number of its record kind.
    pub kind: u8,
    /// The record's body.
    pub bytes: Vec<u8>,
    /// What it says.
    pub leaf: Leaf,
}

impl StoredLeaf {
    /// What a proof carries beside the path, so that it can be checked alone: kind, sequence number and body of the leaf.
    pub(crate) fn proof_extra(&self) -> Vec<u8> {
        let mut extra = vec![self.kind];
        extra.extend_from_slice(&self.leaf.head.sequence.to_le_bytes());
        extra.extend_from_slice(&self.bytes);
        extra
    }
}

impl Reader {
    pub(crate) fn new(files: Arc<VolumeFiles>, damage: Arc<KnownDamage>) -> Self {
        Self {
            files,
            frames: Mutex::new(RecentlyUsed::new(CACHE_BYTES_MAX)),
            damage,
        }
    }

    /// Lets go of the frames in memory: what is read next is what the disk has.
    pub(crate) fn forget_frames(&self) {
        *self.frames() = RecentlyUsed::new(CACHE_BYTES_MAX);
    }

    fn volume(&self, view: &CatalogView, number: u64) -> Result<Arc<OpenVolume>> {
        let file = self.files.file(view.volumes(), number);
        file.inspect_err(|error| self.damage.note_unreadable(number, 0, error))
    }

    /// The payload of the frame at an offset of a volume, from memory if it was read just before.
    pub(crate) fn frame(&self, volume: &OpenVolume, offset: u64) -> Result<Arc<Vec<u8>>> {
        let key = (volume.generation, offset);
        let kept = self.frames().get(key);
        if let Some(payload) = kept {
            return Ok(payload);
        }
        let frame = volume.frame_at(offset).inspect_err(|error| {
            let number = volume.header.number;
            self.damage.note_unreadable(number, offset, error);
        })?;
        let payload = Arc::new(frame.payload);
        self.frames().put(key, payload.clone(), payload.len());
        Ok(payload)
    }

    /// Keeps the payload of a frame that somebody else has just read, for whoever reads it next.
    pub(crate) fn keep_frame(&self, volume: &OpenVolume, offset: u64, payload: Vec<u8>) {
        let (key, bytes) = ((volume.generation, offset), payload.len());
        self.frames().put(key, Arc::new(payload), bytes);
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the record at a place.
    fn record<T>(
        &self,
        view: &CatalogView,
        place: Place,
        take: impl FnOnce(Record) -> Option<T>,
    ) -> Result<T> {
        let payload = self.frame(&*self.volume(view, place.volume)?, place.frame)?;
        let taken = record::record_at(&payload, place.inner).and_then(take);
        taken.ok_or_else(|| damaged(place, "the record is not what the catalog expects"))
    }

    /// Reads the leaf with this sequence number.
    pub(crate) fn leaf(&self, view: &CatalogView, sequence: u64) -> Result<StoredLeaf> {
        let not_found = || Error::NotFound(format!("number {sequence}"));
        let (kind, place) = view.leaf(sequence)?.ok_or_else(not_found)?;
        let bytes = self.record(view, place, |record| {
            (record.kind == kind).then(|| record.body.to_vec())
        })?;
        let leaf = Leaf::decode(kind, &bytes).map_err(|bad| match bad {
            BadLeaf::Damaged => damaged(place, "the leaf does not hold"),
            BadLeaf::TooNew => Error::TooNew {
                name: volume::file_name(place.volume),
                what: format!("number {sequence}"),
            },
        })?;
        if leaf.head.sequence != sequence {
            return Err(damaged(place, "another leaf lies there"));
        }
        Ok(StoredLeaf {
            kind: kind.number(),
            bytes,
            leaf,
        })
    }

    /// Reads a signed tree head.
    pub(crate) fn checkpoint(&self, view: &CatalogView, place: Place) -> Result<CheckpointRecord> {
        self.record(view, place, |record| {
            (record.kind == RecordKind::Checkpoint)
                .then(|| CheckpointRecord::decode(record.body))
                .flatten()
        })
    }

    /// Reads a message's recipe; one whose record is lost by the record that it got when it came again.
    pub(crate) fn message(&self, view: &CatalogView, sequence: u64) -> Result<Message> {
        match self.message_record(view, sequence) {
            Err(lost @ (Error::Damaged { .. } | Error::Disk { .. })) => {
                match stored_anew(view, sequence)? {
                    Some(number) => self.message_record(view, number),
                    None => Err(lost),
                }
            }
            read => read,
        }
    }

    fn message_record(&self, view: &CatalogView, sequence: u64) -> Result<Message> {
        match self.leaf(view, sequence)?.leaf.body {
            LeafBody::Message(message) => Ok(message),
            _ => Err(Error::NotFound(format!("number {sequence} is no message"))),
        }
    }

    /// Reads a reception.
    pub(crate) fn reception(&self, view: &CatalogView, sequence: u64) -> Result<(Leaf, Reception)> {
        let stored = self.leaf(view, sequence)?;
        match &stored.leaf.body {
            LeafBody::Reception { reception, .. } => {
                let reception = (**reception).clone();
                Ok((stored.leaf, reception))
            }
            _ => Err(Error::NotFound(format!(
                "number {sequence} is no reception"
            ))),
        }
    }

    /// Writes a whole content.
    ///
    /// # Errors
    /// `Damaged` when it is not whole; its digest is for the caller to check.
    pub(crate) fn content(
        &self,
        view: &CatalogView,
        content: ContentRef,
        out: &mut dyn Write,
    ) -> Result<()> {
        self.pieces(view, content)?
            .copy(self, content.length_bytes, out)
    }

    /// Reads a whole content and compares it with its digest.
    ///
    /// # Errors
    /// `Damaged` when it is not whole, or is another one.
    pub(crate) fn check_content(&self, view: &CatalogView, content: ContentRef) -> Result<()> {
        let mut hashing = HashingWriter {
            out: &mut io::sink(),
            hasher: Hasher::new(),
        };
        self.content(view, content, &mut hashing)?;
        if hashing.hasher.finish() == content.digest {
            return Ok(());
        }
        Err(Error::Damaged {
            name: format!("content {}", content.digest),
            offset: 0,
            how: "its bytes do not have its digest".to_owned(),
        })
    }

    /// Opens a content for reading it piece by piece.
    fn pieces(&self, view: &CatalogView, content: ContentRef) -> Result<ContentPieces> {
        let not_found = || Error::NotFound(format!("content {}", content.digest));
        let (_, place) = view.content(&content.digest)?.ok_or_else(not_found)?;
        let volume = self.volume(view, place.volume)?;
        Ok(ContentPieces {
            payload: self.frame(&volume, place.frame)?,
            volume,
            content,
            frame: place.frame,
            inner: place.inner,
            segment: 0..0,
            read: 0,
        })
    }

    /// Writes a message exactly as it came.
    ///
    /// # Errors
    /// `Damaged` when the bytes do not have the message's digest; some may have been written by then.
    pub(crate) fn write_message(
        &self,
        view: &CatalogView,
        message: &Message,
        out: &mut dyn Write,
    ) -> Result<()> {
        self.write_checked(message, out, |checked| match &message.form {
            MessageForm::Whole => self.content(view, message.contents()[0], checked),
            MessageForm::TakenApart { skeleton, pieces } => {
                let mut source = ContentSource::new(self, view, *skeleton, pieces);
                mail::put_together(&recipe(pieces), &mut source, checked).map_err(Error::Body)
            }
        })
    }

    /// Reads the group of a message (the first half of the digest of its normal form) and its reading copy, in one pass.
    ///
    /// # Errors
    /// As [`Reader::write_message`].
    pub(crate) fn group_and_copy(
        &self,
        view: &CatalogView,
        message: &Message,
    ) -> Result<([u8; 16], Vec<u8>)> {
        let (mut group, mut copy) = (GroupDigest::new(), BoundedCopy(Vec::new()));
        match &message.form {
            MessageForm::Whole => {
                let mut both = Both(&mut group, &mut copy);
                self.write_message(view, message, &mut both)?;
            }
            MessageForm::TakenApart { skeleton, pieces } => {
                let mut source = ContentSource::new(self, view, *skeleton, pieces);
                self.write_checked(message, &mut group, |checked| {
                    let recipe = recipe(pieces);
                    mail::put_together_with_copy(&recipe, &mut source, checked, &mut copy)
                        .map_err(Error::Body)
                })?;
            }
        }
        Ok((group.finish(), copy.0))
    }

    /// Lets somebody write a message, and compares it with its digest.
    fn write_checked(
        &self,
        message: &Message,
        out: &mut dyn Write,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let mut checked = HashingWriter {
            out,
            hasher: Hasher::new(),
        };
        write(&mut checked)?;
        if checked.hasher.finish() != message.digest {
            let name = format!("message {}", message.digest);
            let how = "its bytes do not have its digest".to_owned();
            return Err(Error::Damaged {
                name,
                offset: 0,
                how,
            });
        }
        Ok(())
    }

    /// Reads what the first so many bytes of a message say, its attachments left out.
    pub(crate) fn beginning(
        &self,
        view: &CatalogView,
        number: u64,
        bytes_max: usize,
    ) -> Result<mail::Reading> {
        let mut beginning = Beginning {
            bytes: Vec::new(),
            bytes_max,
        };
        let message = self.message(view, number)?;
        let written = self.write_reading_copy(view, &message, &mut beginning);
        // It is full: the rest need not be read.
        if beginning.bytes.len() < bytes_max {
            written?;
        }
        Ok(mail::read(&beginning.bytes))
    }

    /// Writes a message without the contents that reading does not need.
    pub(crate) fn write_reading_copy(
        &self,
        view: &CatalogView,
        message: &Message,
        out: &mut dyn Write,
    ) -> Result<()> {
        match &message.form {
            MessageForm::Whole => self.content(view, message.contents()[0], out),
            MessageForm::TakenApart { skeleton, pieces } => {
                let mut source = ContentSource::new(self, view, *skeleton, pieces);
                mail::reading_copy(&recipe(pieces), &mut source, out).map_err(Error::Body)
            }
        }
    }

    /// Writes a journal report exactly as it came.
    pub(crate) fn write_report(
        &self,
        view: &CatalogView,
        message: &Message,
        journal: &Journal,
        out: &mut dyn Write,
    ) -> Result<()> {
        match &journal.form {
            ReportForm::Whole(report) => self.content(view, *report, out),
            ReportForm::Plain { prefix, suffix } => {
                self.content(view, *prefix, out)?;
                self.write_message(view, message, out)?;
                self.content(view, *suffix, out)
            }
        }
    }
}

/// The number of the newest message with the bytes of this one, if that is another.
fn stored_anew(view: &CatalogView, sequence: u64) -> Result<Option<u64>> {
    let digest = view.summary(sequence)?.and_then(|summary| summary.digest);
    let newest = digest.map(|digest| view.message(&digest)).transpose()?;
    Ok(newest.flatten().filter(|number| *number != sequence))
}

/// Damage at a place.
pub(crate) fn damaged(place: Place, how: &str) -> Error {
    Error::Damaged {
        name: volume::file_name(place.volume),
        offset: place.frame,
        how: how.to_owned(),
    }
}

/// A content on its way out: holds one frame at a time.
struct ContentPieces {
    volume: Arc<OpenVolume>,
    content: ContentRef,
    frame: u64,
    payload: Arc<Vec<u8>>,
    /// Where the next record of the frame begins.
    inner: u32,
    /// What is left of the segment at hand, as a part of the payload.
    segment: Range<usize>,
    /// Bytes of the content in the segments so far.
    read: u64,
}

impl ContentPieces {
    /// Writes the next bytes.
    fn copy(&mut self, reader: &Reader, mut length_bytes: u64, out: &mut dyn Write) -> Result<()> {
        while length_bytes > 0 {
            if self.segment.is_empty() {
                self.next_segment(reader)?;
            }
            let count = (self.segment.len() as u64).min(length_bytes);
            let end = self.segment.start + count as usize;
            out.write_all(&self.payload[self.segment.start..end])
                .map_err(Error::Body)?;
            self.segment.start = end;
            length_bytes -= count;
        }
        Ok(())
    }

    /// Goes to the next segment that holds anything; those of one content may have other records between them.
    fn next_segment(&mut self, reader: &Reader) -> Result<()> {
        while !self.find_segment() {
            self.frame = self.volume.after(self.frame)?;
            self.payload = reader.frame(&self.volume, self.frame)?;
            self.inner = 0;
        }
        Ok(())
    }

    fn find_segment(&mut self) -> bool {
        for record in Records::from(&self.payload, self.inner) {
            let stored = record.stored(&self.payload).len();
            let end = record.inner as usize + stored;
            let segment = Segment::decode(record.body)
                .filter(|_| record.kind == RecordKind::Content)
                .filter(|segment| segment.content == self.content && segment.offset == self.read);
            if let Some(segment) = segment.filter(|segment| !segment.bytes.is_empty()) {
                self.segment = end - segment.bytes.len()..end;
                self.read += segment.bytes.len() as u64;
                self.inner = end as u32;
                return true;
            }
        }
        false
    }
}

/// The recipe of stored pieces, as the `mail` room has it.
pub(crate) fn recipe(pieces: &[StoredPiece]) -> Recipe {
    let piece = |piece: &StoredPiece| match *piece {
        StoredPiece::Skeleton { length_bytes } => Piece::Skeleton { length_bytes },
        StoredPiece::Base64 {
            content,
            shape,
            is_text,
        } => {
            let Base64Shape {
                line_chars,
                line_end,
                last_line_end,
            } = shape;
            Piece::Base64 {
                content_bytes: content.length_bytes,
                line_chars,
                line_end,
                last_line_end,
                is_text,
            }
        }
    };
    Recipe {
        pieces: pieces.iter().map(piece).collect(),
    }
}

/// Gives the `mail` room what it puts together.
struct ContentSource<'a> {
    reader: &'a Reader,
    view: &'a CatalogView,
    skeleton: ContentRef,
    /// The skeleton, opened when its first bytes are asked for.
    open: Option<ContentPieces>,
    pieces: &'a [StoredPiece],
}

impl<'a> ContentSource<'a> {
    fn new(
        reader: &'a Reader,
        view: &'a CatalogView,
        skeleton: ContentRef,
        pieces: &'a [StoredPiece],
    ) -> Self {
        Self {
            reader,
            view,
            skeleton,
            open: None,
            pieces,
        }
    }
}

impl mail::Source for ContentSource<'_> {
    fn skeleton(&mut self, length_bytes: u64, out: &mut dyn Write) -> io::Result<()> {
        let Self { reader, view, .. } = *self;
        let open = match &mut self.open {
            Some(open) => open,
            closed => {
                let pieces = reader.pieces(view, self.skeleton);
                closed.insert(pieces.map_err(io::Error::other)?)
            }
        };
        open.copy(reader, length_bytes, out)
            .map_err(io::Error::other)
    }

    fn content(&mut self, ordinal: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut contents = self.pieces.iter().filter_map(|piece| match piece {
            StoredPiece::Base64 { content, .. } => Some(*content),
            StoredPiece::Skeleton { .. } => None,
        });
        let content = contents.nth(ordinal).ok_or(io::ErrorKind::InvalidData)?;
        self.reader
            .content(self.view, content, out)
            .map_err(io::Error::other)
    }
}

/// Hashes what passes through.
pub(crate) struct HashingWriter<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) hasher: Hasher,
}

impl Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.push(bytes);
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Gives what passes through to two.
struct Both<'a>(&'a mut dyn Write, &'a mut dyn Write);

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

/// Takes so many bytes, and fails with the first one that it has no room for.
struct Beginning {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.bytes_max - self.bytes.len();
        let taken = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the first [`READING_BYTES_MAX`] bytes and lets the rest pass by.
pub(crate) struct BoundedCopy(pub(crate) Vec<u8>);

impl Write for BoundedCopy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = READING_BYTES_MAX - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
