//! What a message needs before the committer takes it: digests, taking apart, its meaning, and, when it is large, finished frames.
//!
//! Runs in the thread of whoever brings the message, so that the committer only puts finished things into order.
//! A message in memory is read once. One in a file is read twice, since a content's record begins with its digest: first to
//! compute digests, then to write its frames into the spool. What the archive has already is not written there again.

use crate::digest::{GroupDigest, Hasher};
use crate::disk::DiskFile;
use crate::error::{DiskContext, Error, Result};
use crate::facts::Facts;
use crate::lost::Lost;
use crate::record::{FrameRun, RecordKind, RecordPacker, SEGMENT_BYTES_MAX, Segment, Slot};
use crate::spool::{Body, FOLDER, Spool};
use crate::workroom::Share;
use archive::{
    Base64Shape, ContentRef, Digest, Journal, Message, MessageForm, Reception, ReportForm,
    StoredPiece,
};
use mail::{JournalReport, JournalScanner, Oddities, Piece, Recipe, TakeApart, TransferEncoding};
use std::collections::HashSet;
use std::ops::Range;

/// Longest part of a message that is read for its meaning, in bytes, attachments left out; a longer one is found by what stands before.
pub(crate) const READING_BYTES_MAX: usize = 16 << 20;

/// What writing the frames of one large message takes in memory, in bytes: segment, payload, finished frames, and zstd's tables.
const FRAMING_BYTES: u64 = 8 << 20;

/// A content of this length gets frames of its own, in bytes, so that they can be left out when it came by another way meanwhile:
/// shorter ones would make frames that compress badly.
const OWN_FRAME_BYTES: u64 = 64 << 10;

/// Finished frames are written to the spool from this size on, in bytes.
const FLUSH_BYTES: usize = 1 << 20;

/// A message ready for the committer.
pub(crate) struct Prepared {
    pub(crate) message: Message,
    pub(crate) reception: Reception,
    pub(crate) facts: Facts,
    pub(crate) contents: Vec<PreparedContent>,
    /// Frames in a spool file, when the message is large.
    pub(crate) frames: Option<PreparedFrames>,
    /// What the archive had by then and is therefore not in the frames.
    pub(crate) left_out: Vec<Digest>,
    /// What of it the archive knows but cannot give back.
    pub(crate) lost: Lost,
    pub(crate) actor: u64,
    pub(crate) prompt: bool,
    /// The memory that a large message takes until the committer has taken it in.
    _share: Option<Share>,
}

/// A content in memory.
pub(crate) struct PreparedContent {
    pub(crate) content: ContentRef,
    pub(crate) bytes: Vec<u8>,
}

/// Frames in a spool file, finished but for their batch number.
pub(crate) struct PreparedFrames {
    pub(crate) file: Box<dyn DiskFile>,
    /// Where each frame lies in the file; one that is left out is empty.
    pub(crate) frames: Vec<Range<u64>>,
    /// Which contents lie in them.
    pub(crate) contents: Vec<SpooledContent>,
}

/// A content in frames of the spool.
pub(crate) struct SpooledContent {
    pub(crate) content: ContentRef,
    /// Where its first segment lies.
    pub(crate) first: Slot,
    /// The frame of each segment; several only when nothing else lies in them.
    frames: Vec<u32>,
}

impl PreparedFrames {
    fn new(file: Box<dyn DiskFile>) -> Self {
        Self {
            file,
            frames: Vec::new(),
            contents: Vec::new(),
        }
    }

    /// Leaves out all frames in which none of the wanted contents lies.
    pub(crate) fn keep(&mut self, wanted: &[SpooledContent]) {
        let kept: HashSet<u32> = wanted.iter().flat_map(|c| c.frames.clone()).collect();
        for (frame, range) in (0..).zip(&mut self.frames) {
            if !kept.contains(&frame) {
                range.end = range.start;
            }
        }
    }

    /// Where a frame begins behind those before it that are kept.
    pub(crate) fn start(&self, frame: u32) -> u64 {
        sum_bytes(&self.frames[..frame as usize])
    }

    /// Length of the frames that are kept.
    pub(crate) fn length_bytes(&self) -> u64 {
        sum_bytes(&self.frames)
    }
}

fn sum_bytes(frames: &[Range<u64>]) -> u64 {
    frames.iter().map(|range| range.end - range.start).sum()
}

/// What preparing draws on.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) spool: &'a Spool,
    /// Tells whether the archive has a content already, and can give it back.
    pub(crate) is_kept: &'a dyn Fn(&Digest) -> Result<bool>,
}

/// How a message came.
pub struct Deposit {
    /// What is known of the arrival; journal and oddities are filled in.
    pub reception: Reception,
    /// Whether a journal report is to be unwrapped; otherwise it is an ordinary message.
    pub unwrap_journal: bool,
    /// Actor id, see FORMAT.md.
    pub actor: u64,
    /// Whether somebody waits for the answer; otherwise the committer gathers more first.
    pub prompt: bool,
}

/// Makes a message ready for the committer.
///
/// # Errors
/// Only of the spool and the catalog: no message is refused for what it holds.
pub(crate) fn prepare(means: Means<'_>, body: Body, deposit: Deposit) -> Result<Prepared> {
    let Deposit {
        mut reception,
        unwrap_journal,
        actor,
        prompt,
    } = deposit;
    let Some(report) = find_report(&body, unwrap_journal, &mut reception)? else {
        return prepare_message(
            means,
            &body,
            0..body.length_bytes(),
            reception,
            actor,
            prompt,
        );
    };
    let (form, contents) = report_form(&body, &report)?;
    reception.oddities = reception.oddities.union(report.oddities);
    reception.journal = Some(Journal {
        envelope: report.envelope,
        report_digest: digest_of(&body, 0..body.length_bytes())?,
        report_size_bytes: body.length_bytes(),
        form,
    });
    let mut prepared = if report.transfer_encoding == TransferEncoding::Identity {
        prepare_message(means, &body, report.message, reception, actor, prompt)?
    } else {
        let original =
            decode_original(means.spool, &body, report.message, report.transfer_encoding)?;
        prepare_message(
            means,
            &original,
            0..original.length_bytes(),
            reception,
            actor,
            prompt,
        )?
    };
    for (content, range) in contents {
        prepared.add_content(means, &body, content, range)?;
    }
    Ok(prepared)
}

/// Looks for a journal report; one that may not be unwrapped is flagged.
///
/// Only a report that says so in its header is unwrapped: a person may forward a mail with a note that looks like an envelope.
fn find_report(
    body: &Body,
    unwrap: bool,
    reception: &mut Reception,
) -> Result<Option<JournalReport>> {
    let mut scanner = JournalScanner::new();
    let scanned = body.each_chunk(0..body.length_bytes(), |chunk| {
        scanner.push(chunk);
        if scanner.wants_more() {
            Ok(())
        } else {
            Err(ScanEnd::Decided)
        }
    });
    if let Err(ScanEnd::Failed(error)) = scanned {
        return Err(Error::Body(error));
    }
    let is_marked = scanner.is_marked();
    let report = scanner.finish().filter(|report| report.is_marked);
    match (&report, is_marked, unwrap) {
        (_, true, false) | (Some(_), _, false) => {
            reception.oddities.insert(Oddities::JOURNAL_UNTRUSTED);
            Ok(None)
        }
        (None, true, true) => {
            reception.oddities.insert(Oddities::JOURNAL_UNPARSED);
            Ok(None)
        }
        _ => Ok(report),
    }
}

/// Why a scan stopped before the end.
enum ScanEnd {
    Decided,
    Failed(std::io::Error),
}

impl From<std::io::Error> for ScanEnd {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error)
    }
}

type ReportContents = Vec<(ContentRef, Range<u64>)>;

/// What must be kept beside the message, so that the report can be given back to the byte.
fn report_form(body: &Body, report: &JournalReport) -> Result<(ReportForm, ReportContents)> {
    let end = body.length_bytes();
    let content = |range: Range<u64>| {
        let length_bytes = range.end - range.start;
        Ok::<_, Error>((
            ContentRef {
                digest: digest_of(body, range.clone())?,
                length_bytes,
            },
            range,
        ))
    };
    if report.transfer_encoding != TransferEncoding::Identity {
        let whole = content(0..end)?;
        return Ok((ReportForm::Whole(whole.0), vec![whole]));
    }
    let (prefix, suffix) = (
        content(0..report.message.start)?,
        content(report.message.end..end)?,
    );
    Ok((
        ReportForm::Plain {
            prefix: prefix.0,
            suffix: suffix.0,
        },
        vec![prefix, suffix],
    ))
}

fn decode_original(
    spool: &Spool,
    body: &Body,
    range: Range<u64>,
    encoding: TransferEncoding,
) -> Result<Body> {
    let mut writer = spool.writer();
    let mut decoder = encoding.decoder();
    let mut decoded = Vec::new();
    body.each_chunk(range, |chunk| {
        decoder.push(chunk, &mut decoded);
        writer.write(&decoded).map_err(std::io::Error::other)?;
        decoded.clear();
        Ok(())
    })
    .map_err(Error::Body)?;
    decoder.finish(&mut decoded);
    writer.write(&decoded)?;
    writer.finish()
}

fn digest_of(body: &Body, range: Range<u64>) -> Result<Digest> {
    let mut hasher = Hasher::new();
    body.each_chunk(range, |chunk| {
        hasher.push(chunk);
        Ok(())
    })
    .map_err(Error::Body)?;
    Ok(hasher.finish())
}

fn prepare_message(
    means: Means<'_>,
    body: &Body,
    range: Range<u64>,
    reception: Reception,
    actor: u64,
    prompt: bool,
) -> Result<Prepared> {
    let mut scan = Scan::new(matches!(body, Body::Memory(_)));
    body.each_chunk(range.clone(), |chunk| {
        scan.push(chunk);
        Ok(())
    })
    .map_err(Error::Body)?;
    let scanned = scan.finish();
    let message = scanned.message(range.end - range.start);
    let text_bytes = reading_bytes(&scanned.recipe);
    let (mut share, mut frames, mut left_out) = (None, None, Vec::new());
    if !scanned.kept {
        // Its text lies in memory twice: as it came, and as it reads.
        share = Some(means.spool.workroom().take(FRAMING_BYTES + 2 * text_bytes));
        left_out = find_kept(means, &message)?;
        let file = means.spool.file()?;
        let written = write_frames(file, body, range.clone(), &message, &left_out);
        frames = Some(written?);
    }
    let copy = reading_copy(body, &range, &scanned.recipe, text_bytes)?;
    let facts = Facts::read(&copy, &message, scanned.group, &reception);
    if let Some(share) = &mut share {
        share.shrink_to(facts.document.body.len() as u64);
    }
    let contents = if scanned.kept {
        scanned.contents
    } else {
        Vec::new()
    };
    let mut prepared = Prepared {
        message,
        reception,
        facts,
        contents,
        frames,
        left_out,
        lost: Lost::default(),
        actor,
        prompt,
        _share: share,
    };
    prepared.drop_doubles();
    Ok(prepared)
}

impl Prepared {
    /// Adds a content that is a range of the body as it is.
    fn add_content(
        &mut self,
        means: Means<'_>,
        body: &Body,
        content: ContentRef,
        range: Range<u64>,
    ) -> Result<()> {
        if range.end - range.start <= SEGMENT_BYTES_MAX as u64 {
            let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
            body.each_chunk(range, |chunk| {
                bytes.extend_from_slice(chunk);
                Ok(())
            })
            .map_err(Error::Body)?;
            self.contents.push(PreparedContent { content, bytes });
            self.drop_doubles();
            return Ok(());
        }
        if (means.is_kept)(&content.digest)? {
            self.left_out.push(content.digest);
            return Ok(());
        }
        let frames = match self.frames.take() {
            Some(frames) => frames,
            None => PreparedFrames::new(means.spool.file()?),
        };
        let mut writer = FrameWriter::behind(frames);
        let mut open = OpenContent::new(content);
        body.each_chunk(range, |chunk| {
            writer.push(&mut open, chunk).map_err(std::io::Error::other)
        })
        .map_err(Error::Body)?;
        writer.end(open)?;
        self.frames = Some(writer.finish()?);
        Ok(())
    }

    /// The contents that it brings.
    pub(crate) fn brought(&self) -> impl Iterator<Item = ContentRef> {
        let spooled = self.frames.iter().flat_map(|frames| &frames.contents);
        let spooled = spooled.map(|spooled| spooled.content);
        let in_memory = self.contents.iter().map(|prepared| prepared.content);
        in_memory.chain(spooled)
    }

    fn drop_doubles(&mut self) {
        let mut seen = HashSet::new();
        self.contents
            .retain(|prepared| seen.insert(prepared.content.digest));
    }

    /// About how many bytes it will take in the batch.
    pub(crate) fn weight_bytes(&self) -> u64 {
        let memory: usize = self
            .contents
            .iter()
            .map(|prepared| prepared.bytes.len())
            .sum();
        let kept = memory as u64 + self.frames.as_ref().map_or(0, PreparedFrames::length_bytes);
        // A long text waits in memory even when its frames are in the spool.
        kept.max(self.facts.document.body.len() as u64) + 4096
    }
}

/// A content that reading does not need.
fn is_taken_out(piece: &Piece) -> bool {
    matches!(piece, Piece::Base64 { is_text: false, .. })
}

fn length_bytes(piece: &Piece) -> u64 {
    piece
        .encoded_bytes()
        .expect("the recipe was made from these bytes")
}

/// How many bytes of a message are read for their meaning.
fn reading_bytes(recipe: &Recipe) -> u64 {
    let pieces = recipe.pieces.iter().filter(|piece| !is_taken_out(piece));
    let sum: u64 = pieces.map(length_bytes).sum();
    sum.min(READING_BYTES_MAX as u64)
}

/// The bytes of a message without the contents that reading does not need; at most [`READING_BYTES_MAX`].
fn reading_copy<'a>(
    body: &'a Body,
    range: &Range<u64>,
    recipe: &Recipe,
    text_bytes: u64,
) -> Result<std::borrow::Cow<'a, [u8]>> {
    if let Body::Memory(bytes) = body
        && !recipe.pieces.iter().any(is_taken_out)
    {
        return Ok(bytes[range.start as usize..range.end as usize].into());
    }
    let mut copy = Vec::with_capacity(text_bytes as usize);
    let mut at = range.start;
    for piece in &recipe.pieces {
        let length = length_bytes(piece);
        let room = (READING_BYTES_MAX - copy.len()) as u64;
        if !is_taken_out(piece) {
            body.each_chunk(at..at + length.min(room), |chunk| {
                copy.extend_from_slice(chunk);
                Ok(())
            })
            .map_err(Error::Body)?;
        }
        at += length;
    }
    Ok(copy.into())
}

/// The first reading of a message: digests, recipe, and the contents themselves when they are kept.
struct Scan {
    message: Hasher,
    group: GroupDigest,
    taking_apart: TakeApart<ContentSink>,
}

/// What a scan found.
struct Scanned {
    digest: Digest,
    group: [u8; 16],
    recipe: Recipe,
    oddities: Oddities,
    kept: bool,
    skeleton: ContentRef,
    /// The skeleton first, then the decoded parts; without bytes unless kept.
    contents: Vec<PreparedContent>,
}

impl Scan {
    fn new(keep: bool) -> Self {
        let sink = ContentSink {
            keep,
            skeleton: Part::default(),
            parts: Vec::new(),
        };
        Self {
            message: Hasher::new(),
            group: GroupDigest::new(),
            taking_apart: TakeApart::new(sink),
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.message.push(chunk);
        self.group.push(chunk);
        let Ok(()) = self.taking_apart.push(chunk);
    }

    fn finish(self) -> Scanned {
        let Ok((sink, recipe, oddities)) = self.taking_apart.finish();
        let kept = sink.keep;
        let contents: Vec<_> = std::iter::once(sink.skeleton)
            .chain(sink.parts)
            .map(Part::finish)
            .collect();
        Scanned {
            digest: self.message.finish(),
            group: self.group.finish(),
            recipe,
            oddities,
            kept,
            skeleton: contents[0].content,
            contents,
        }
    }
}

impl Scanned {
    fn message(&self, size_bytes: u64) -> Message {
        let mut parts = self.contents[1..].iter().map(|prepared| prepared.content);
        let pieces: Vec<_> = self
            .recipe
            .pieces
            .iter()
            .map(|piece| stored_piece(piece, &mut parts))
            .collect();
        let form = match self.contents.len() {
            1 => MessageForm::Whole,
            _ => MessageForm::TakenApart {
                skeleton: self.skeleton,
                pieces,
            },
        };
        Message {
            digest: self.digest,
            size_bytes,
            form,
            oddities: self.oddities,
        }
    }
}

fn stored_piece(piece: &Piece, parts: &mut impl Iterator<Item = ContentRef>) -> StoredPiece {
    match *piece {
        Piece::Skeleton { length_bytes } => StoredPiece::Skeleton { length_bytes },
        Piece::Base64 {
            line_chars,
            line_end,
            last_line_end,
            is_text,
            ..
        } => StoredPiece::Base64 {
            content: parts
                .next()
                .expect("the scanner gives a content for each piece that names one"),
            shape: Base64Shape {
                line_chars,
                line_end,
                last_line_end,
            },
            is_text,
        },
    }
}

/// A skeleton or decoded part while it comes in.
#[derive(Default)]
struct Part {
    hasher: Hasher,
    length_bytes: u64,
    bytes: Vec<u8>,
}

impl Part {
    fn push(&mut self, bytes: &[u8], keep: bool) {
        self.hasher.push(bytes);
        self.length_bytes += bytes.len() as u64;
        if keep {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn finish(self) -> PreparedContent {
        let content = ContentRef {
            digest: self.hasher.finish(),
            length_bytes: self.length_bytes,
        };
        PreparedContent {
            content,
            bytes: self.bytes,
        }
    }
}

/// Takes the skeleton and the parts, and keeps their bytes if it is to.
struct ContentSink {
    keep: bool,
    skeleton: Part,
    parts: Vec<Part>,
}

impl mail::Sink for ContentSink {
    type Error = std::convert::Infallible;

    fn skeleton(&mut self, bytes: &[u8]) -> std::result::Result<(), Self::Error> {
        self.skeleton.push(bytes, self.keep);
        Ok(())
    }

    fn content_begins(&mut self) -> std::result::Result<(), Self::Error> {
        self.parts.push(Part::default());
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> std::result::Result<(), Self::Error> {
        let part = self
            .parts
            .last_mut()
            .expect("a content begins before its bytes come");
        part.push(bytes, self.keep);
        Ok(())
    }

    fn content_ends(&mut self) -> std::result::Result<(), Self::Error> {
        Ok(())
    }
}

/// The contents of a large message that the archive has already.
fn find_kept(means: Means<'_>, message: &Message) -> Result<Vec<Digest>> {
    let mut kept = Vec::new();
    for content in message.contents() {
        if (means.is_kept)(&content.digest)? {
            kept.push(content.digest);
        }
    }
    Ok(kept)
}

/// The second reading of a large message: its contents as frames in the spool.
fn write_frames(
    file: Box<dyn DiskFile>,
    body: &Body,
    range: Range<u64>,
    message: &Message,
    left_out: &[Digest],
) -> Result<PreparedFrames> {
    let mut parts = message.contents().into_iter();
    let skeleton = parts.next().expect("the skeleton comes first");
    let mut seen: HashSet<_> = left_out.iter().copied().collect();
    let sink = FrameSink {
        writer: FrameWriter::behind(PreparedFrames::new(file)),
        skeleton: seen
            .insert(skeleton.digest)
            .then(|| OpenContent::new(skeleton)),
        part: None,
        parts,
        seen,
    };
    let mut taking_apart = TakeApart::new(sink);
    body.each_chunk(range, |chunk| {
        taking_apart.push(chunk).map_err(std::io::Error::other)
    })
    .map_err(Error::Body)?;
    let (mut sink, _, _) = taking_apart.finish()?;
    if let Some(skeleton) = sink.skeleton {
        sink.writer.end(skeleton)?;
    }
    sink.writer.finish()
}

/// Sends skeleton and parts to frames, but for those seen: a part that comes twice is written once.
struct FrameSink {
    writer: FrameWriter,
    skeleton: Option<OpenContent>,
    part: Option<OpenContent>,
    parts: std::vec::IntoIter<ContentRef>,
    seen: HashSet<Digest>,
}

impl mail::Sink for FrameSink {
    type Error = Error;

    fn skeleton(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.skeleton {
            Some(skeleton) => self.writer.push(skeleton, bytes),
            None => Ok(()),
        }
    }

    fn content_begins(&mut self) -> Result<()> {
        let content = self
            .parts
            .next()
            .expect("the second scan finds what the first found");
        self.part = self
            .seen
            .insert(content.digest)
            .then(|| OpenContent::new(content));
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.part {
            Some(part) => self.writer.push(part, bytes),
            None => Ok(()),
        }
    }

    fn content_ends(&mut self) -> Result<()> {
        self.part
            .take()
            .map_or(Ok(()), |part| self.writer.end(part))
    }
}

/// A content of known digest while its segments are written.
struct OpenContent {
    content: ContentRef,
    first: Option<Slot>,
    frames: Vec<u32>,
    offset: u64,
    segment: Vec<u8>,
}

impl OpenContent {
    fn new(content: ContentRef) -> Self {
        Self {
            content,
            first: None,
            frames: Vec::new(),
            offset: 0,
            segment: Vec::new(),
        }
    }
}

/// Writes segments into frames of a spool file.
struct FrameWriter {
    packer: RecordPacker,
    run: FrameRun,
    frames: PreparedFrames,
}

impl FrameWriter {
    /// Goes on behind frames that are finished.
    fn behind(frames: PreparedFrames) -> Self {
        let mut packer = RecordPacker::new();
        packer.go_on_at(frames.frames.len() as u32);
        Self {
            packer,
            run: FrameRun::default(),
            frames,
        }
    }

    fn push(&mut self, open: &mut OpenContent, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (head, rest) =
                bytes.split_at(bytes.len().min(SEGMENT_BYTES_MAX - open.segment.len()));
            open.segment.extend_from_slice(head);
            bytes = rest;
            if open.segment.len() == SEGMENT_BYTES_MAX {
                self.write_segment(open)?;
            }
        }
        Ok(())
    }

    fn write_segment(&mut self, open: &mut OpenContent) -> Result<()> {
        let segment = Segment {
            content: open.content,
            offset: open.offset,
            bytes: &open.segment,
        };
        let body = [&segment.head()[..], segment.bytes];
        let is_alone = open.content.length_bytes >= OWN_FRAME_BYTES;
        if is_alone {
            self.packer.close(false, &mut self.run);
        }
        let slot = self
            .packer
            .record(RecordKind::Content, &body, &mut self.run);
        if is_alone {
            self.packer.close(false, &mut self.run);
        }
        open.first.get_or_insert(slot);
        open.frames.push(slot.frame);
        open.offset += open.segment.len() as u64;
        open.segment.clear();
        if self.run.bytes.len() >= FLUSH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Ends a content; an empty one has one empty segment.
    fn end(&mut self, mut open: OpenContent) -> Result<()> {
        if !open.segment.is_empty() || open.first.is_none() {
            self.write_segment(&mut open)?;
        }
        let first = open
            .first
            .expect("a segment was written above at the latest");
        self.frames.contents.push(SpooledContent {
            content: open.content,
            first,
            frames: open.frames,
        });
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let at = self.frames.length_bytes();
        self.frames
            .file
            .write_all_at(at, &self.run.bytes)
            .on("write", FOLDER)?;
        let run = std::mem::take(&mut self.run);
        let ends = run.starts.iter().skip(1).copied();
        let ends = ends.chain([run.bytes.len() as u64]);
        let frames = run.starts.iter().zip(ends);
        self.frames
            .frames
            .extend(frames.map(|(start, end)| at + start..at + end));
        Ok(())
    }

    fn finish(mut self) -> Result<PreparedFrames> {
        self.packer.close(false, &mut self.run);
        self.flush()?;
        Ok(self.frames)
    }
}
