//! Reading everything and checking it: frames, contents, leaves, tree, checkpoints, seals, and every message put together.
//!
//! It trusts the volumes alone, and the catalog only to find contents; where the two disagree it says so. It changes nothing.

use crate::batch::leaf_hash;
use crate::catalog::{self, CatalogView, Place};
use crate::checkpoint::Checkpoint;
use crate::digest::{Hasher, sha256};
use crate::engine::Shared;
use crate::error::chain;
use crate::error::{Error, Result};
use crate::leaf::{self, Leaf, LeafBody};
use crate::merkle::{Frontier, Hash, TILE_WIDTH, TileSource};
use crate::note::{Note, Verifier};
use crate::record::{CheckpointRecord, Record, RecordKind, Records, Seal, Segment};
use crate::volume::{self, Found, Volume, VolumeHeader, volume_digest};
use crate::volume_files::OpenVolume;
use archive::{ContentRef, Digest, Message, MessageForm, Reception, ReportForm};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Most findings that are listed one by one; more are counted.
const FINDINGS_MAX: usize = 10_000;

/// Frames that are read and unpacked ahead: a few MiB as they are written, at most 16 MiB each.
const FRAMES_AHEAD: usize = 4;

/// What to hold the archive against.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// A verifier key from outside; without one the archive's own key is used, and nobody vouches for it.
    pub key: Option<Verifier>,
    /// A checkpoint that had left the archive: its tree must be the beginning of today's.
    pub checkpoint: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VerifyReport {
    /// Volumes read.
    pub volumes: u64,
    /// Leaves read.
    pub leaves: u64,
    /// Messages put together and compared with their digest.
    pub messages: u64,
    /// Contents compared with their digest.
    pub contents: u64,
    /// Signed tree heads that hold.
    pub checkpoints: u64,
    /// Bytes of mail read.
    pub message_bytes: u64,
    /// Root of the tree over all leaves.
    pub root: [u8; 32],
    /// The name of the key from outside by which the signatures were checked.
    pub signer_checked: Option<String>,
    /// Everything that does not hold, in plain words; empty when all is well.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub more_findings: u64,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// The file, relative to the data directory, or the message.
    pub place: String,
    /// Where in it, in bytes, when it is a file.
    pub offset: Option<u64>,
    /// Sequence numbers concerned.
    pub numbers: Vec<u64>,
    /// What does not hold.
    pub what: String,
}

/// Checks the whole archive as it stands now.
pub(crate) fn verify(
    shared: &Shared,
    archive_id: [u8; 16],
    own_key: &Verifier,
    how: &VerifyOptions,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport> {
    let view = shared.catalog.read()?;
    let end = view.watermark()?;
    let total_bytes = total_bytes(shared, &view, end.volume, end.offset)?;
    let key = how.key.as_ref().unwrap_or(own_key);
    let mut check = Check {
        shared,
        view: &view,
        key,
        archive_id,
        report: VerifyReport::default(),
        tree: Frontier::new(),
        outside: outside_checkpoint(how, key),
        open_contents: HashMap::new(),
        seen: HashSet::new(),
        previous_digest: [0; 32],
        volume_leaves: Vec::new(),
        batch: 0,
        done_bytes: 0,
        total_bytes,
        named: HashSet::new(),
        end: end.leaves,
    };
    check.report.signer_checked = how.key.as_ref().map(|key| key.name().to_owned());
    for number in 1..=end.volume {
        let until = if number == end.volume {
            end.offset
        } else {
            u64::MAX
        };
        check.volume(number, until, watch)?;
    }
    check.finish(end.leaves);
    Ok(check.report)
}

fn total_bytes(shared: &Shared, view: &CatalogView, last: u64, offset: u64) -> Result<u64> {
    let lengths = (1..last).map(|number| match shared.files.file(view.volumes(), number) {
        Ok(volume) => volume.length(),
        Err(_) => Ok(0),
    });
    Ok(lengths.sum::<Result<u64>>()? + offset)
}

/// What lies at an offset, read ahead.
struct Ahead {
    at: u64,
    found: Result<Found>,
    /// Digests of those contents in the frame that are whole there, in their order.
    digests: Vec<Digest>,
}

/// Reads and unpacks the frames of a volume, and hashes the contents in them, ahead of who checks them, until that one wants no more.
fn read_ahead(volume: &Volume, until: u64, frames: &SyncSender<Ahead>) {
    let mut at = volume::HEADER_BYTES;
    while at < until {
        let found = volume.find_at(at);
        let (next, digests) = match &found {
            Ok(Found::Frame(frame)) => (
                Some(at + frame.header.frame_bytes()),
                whole_contents(&frame.payload),
            ),
            Ok(Found::Damage { next }) => (*next, Vec::new()),
            Ok(Found::End) | Err(_) => (None, Vec::new()),
        };
        let ahead = Ahead { at, found, digests };
        let (Ok(()), Some(next)) = (frames.send(ahead), next) else {
            return;
        };
        at = next;
    }
}

/// Digests of the contents that are whole in a payload.
fn whole_contents(payload: &[u8]) -> Vec<Digest> {
    let contents = Records::new(payload).filter(|record| record.kind == RecordKind::Content);
    let segments = contents.filter_map(|record| Segment::decode(record.body));
    segments
        .filter(is_whole)
        .map(|segment| sha256(segment.bytes))
        .collect()
}

fn is_whole(segment: &Segment) -> bool {
    segment.bytes.len() as u64 == segment.content.length_bytes
}

/// Reads the checkpoint that the caller brought; an unreadable or badly signed one is a finding.
fn outside_checkpoint(
    how: &VerifyOptions,
    key: &Verifier,
) -> Option<std::result::Result<Checkpoint, String>> {
    let text = how.checkpoint.as_ref()?;
    let note: std::result::Result<Note, _> = text.parse();
    let opened = note.map_err(|error| error.to_string()).and_then(|note| {
        Checkpoint::open(&note, key.name(), std::slice::from_ref(key))
            .map_err(|error| chain(&error))
    });
    Some(opened)
}

struct Check<'a> {
    shared: &'a Shared,
    view: &'a CatalogView,
    key: &'a Verifier,
    archive_id: [u8; 16],
    report: VerifyReport,
    tree: Frontier,
    /// The checkpoint that the caller brought.
    outside: Option<std::result::Result<Checkpoint, String>>,
    /// Long contents of which not all segments have come.
    open_contents: HashMap<Digest, (u64, Hasher)>,
    /// Contents of the present volume that hold; to tell messages whose contents do not.
    seen: HashSet<Digest>,
    previous_digest: [u8; 32],
    volume_leaves: Vec<Hash>,
    batch: u64,
    done_bytes: u64,
    total_bytes: u64,
    /// Numbers that were found to be lost in damaged frames.
    named: HashSet<u64>,
    /// Number of leaves that the catalog knows.
    end: u64,
}

impl Check<'_> {
    fn found(
        &mut self,
        place: &str,
        offset: Option<u64>,
        numbers: Vec<u64>,
        what: impl Into<String>,
    ) {
        if self.report.findings.len() < FINDINGS_MAX {
            let finding = Finding {
                place: place.to_owned(),
                offset,
                numbers,
                what: what.into(),
            };
            self.report.findings.push(finding);
        } else {
            self.report.more_findings += 1;
        }
    }

    /// Reads one volume up to a byte, or to its end.
    fn volume(&mut self, number: u64, until: u64, watch: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let name = volume::file_name(number);
        let Some(volume) = self.open(number, &name)? else {
            return self.lost_volume(number);
        };
        self.report.volumes += 1;
        let header = self.header(&volume)?;
        self.volume_leaves.clear();
        let first_leaf = self.tree.size();
        let (end, seal) = std::thread::scope(|scope| {
            let (sender, ahead) = sync_channel(FRAMES_AHEAD);
            let read = volume.clone();
            scope.spawn(move || read_ahead(&read, until, &sender));
            self.frames(&volume, &header, until, ahead, watch)
        })?;
        self.done_bytes += end;
        self.end_of_volume(&header, first_leaf, seal, until == u64::MAX);
        Ok(())
    }

    /// Opens the file that the view's places point into, by its name, so that a file that is gone is missed.
    fn open(&mut self, number: u64, name: &str) -> Result<Option<Arc<OpenVolume>>> {
        match self.shared.files.file_by_name(self.view.volumes(), number) {
            Ok(volume) => Ok(Some(volume)),
            Err(error @ Error::Disk { .. }) => {
                self.found(name, None, Vec::new(), chain(&error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Checks what the other thread has read and unpacked; says where it ended.
    fn frames(
        &mut self,
        volume: &Volume,
        header: &VolumeHeader,
        until: u64,
        ahead: Receiver<Ahead>,
        watch: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, Option<Seal>)> {
        let (mut end, mut seal) = (volume::HEADER_BYTES, None);
        for Ahead { at, found, digests } in ahead {
            match self.readable(at, found)? {
                Found::End => break,
                Found::Damage { next } => {
                    let numbers = self.numbers_in(volume.header.number, at, next.unwrap_or(until));
                    let what = format!("the bytes are no sound frame{}", named(&numbers));
                    self.named.extend(&numbers);
                    self.found(volume.name(), Some(at), numbers, what);
                    end = next.unwrap_or(at);
                }
                Found::Frame(frame) => {
                    let leaps = frame.header.batch > self.batch + 1 && !header.recompressed;
                    if frame.header.batch < self.batch || leaps {
                        self.batch_gap(volume.name(), at, frame.header.batch);
                    }
                    self.batch = frame.header.batch;
                    seal = self.payload(volume, at, &frame.payload, digests).or(seal);
                    end = at + frame.header.frame_bytes();
                    watch(self.done_bytes + end, self.total_bytes);
                }
            }
        }
        Ok((end, seal))
    }

    /// Bytes that the disk does not give are damage, too.
    fn readable(&mut self, at: u64, found: Result<Found>) -> Result<Found> {
        match found {
            Err(Error::Disk {
                operation,
                name,
                source,
            }) => {
                let what = format!("cannot {operation} it: {source}");
                self.found(&name, Some(at), Vec::new(), what);
                Ok(Found::Damage { next: None })
            }
            other => other,
        }
    }

    fn batch_gap(&mut self, name: &str, at: u64, batch: u64) {
        // After damage a gap is only its consequence.
        if self.report.findings.is_empty() {
            let what = format!(
                "batch {} should follow, but batch {batch} does",
                self.batch + 1
            );
            self.found(name, Some(at), Vec::new(), what);
        }
    }

    /// Checks the header; for one that does not hold gives what it must have said.
    fn header(&mut self, volume: &Volume) -> Result<VolumeHeader> {
        let name = volume.name();
        let header = match volume.read_header() {
            Ok(header) => header,
            Err(error @ Error::Damaged { .. }) => {
                self.found(name, Some(0), Vec::new(), chain(&error));
                return Ok(VolumeHeader {
                    archive_id: self.archive_id,
                    number: volume.header.number,
                    created_us: 0,
                    previous_digest: self.previous_digest,
                    first_sequence: self.tree.size() + 1,
                    first_batch: self.batch + 1,
                    recompressed: false,
                });
            }
            Err(error) => return Err(error),
        };
        if header.archive_id != self.archive_id {
            self.found(name, Some(0), Vec::new(), "it belongs to another archive");
        }
        if header.previous_digest != self.previous_digest {
            let what = "it does not follow the volume before it: the digests differ";
            self.found(name, Some(0), Vec::new(), what);
        }
        Ok(header)
    }

    /// A volume that cannot be read at all: its leaves are missing, their hashes come from the catalog.
    fn lost_volume(&mut self, number: u64) -> Result<()> {
        let entry = self.view.volume(number)?;
        self.previous_digest = entry.map_or([0; 32], |entry| entry.digest);
        let next = self.shared.files.file(self.view.volumes(), number + 1);
        if let Ok(next) = next.and_then(|next| next.read_header()) {
            self.fill_from_catalog(next.first_sequence, &volume::file_name(number));
        }
        Ok(())
    }

    fn payload(
        &mut self,
        volume: &Volume,
        at: u64,
        payload: &[u8],
        digests: Vec<Digest>,
    ) -> Option<Seal> {
        let name = volume.name();
        let mut digests = digests.into_iter();
        let mut records = Records::new(payload);
        let mut seal = None;
        for record in records.by_ref() {
            match record.kind {
                RecordKind::Content => self.content(name, at, record, &mut digests),
                RecordKind::Checkpoint => self.checkpoint(name, at, record),
                RecordKind::Seal => seal = Seal::decode(record.body),
                kind if kind.is_leaf() => self.leaf(volume, at, record),
                _ => {}
            }
        }
        if !records.sound() {
            self.found(
                name,
                Some(at),
                Vec::new(),
                "a record in the frame does not hold",
            );
        }
        seal
    }

    fn content(
        &mut self,
        name: &str,
        at: u64,
        record: Record,
        digests: &mut impl Iterator<Item = Digest>,
    ) {
        let Some(segment) = Segment::decode(record.body) else {
            return self.found(name, Some(at), Vec::new(), "a content record does not hold");
        };
        let digest = segment.content.digest;
        if is_whole(&segment) {
            let computed = digests
                .next()
                .expect("each whole content of the frame was hashed ahead");
            return self.whole_content(name, at, digest, computed);
        }
        let (done, hasher) = self
            .open_contents
            .entry(digest)
            .or_insert_with(|| (0, Hasher::new()));
        if *done == segment.offset {
            hasher.push(segment.bytes);
            *done += segment.bytes.len() as u64;
        }
        if *done == segment.content.length_bytes
            && let Some((_, hasher)) = self.open_contents.remove(&digest)
        {
            self.whole_content(name, at, digest, hasher.finish());
        }
    }

    fn whole_content(&mut self, name: &str, at: u64, digest: Digest, computed: Digest) {
        if computed == digest {
            self.report.contents += 1;
            self.seen.insert(digest);
        } else {
            self.found(
                name,
                Some(at),
                Vec::new(),
                format!("content {digest} does not have its digest"),
            );
        }
    }

    fn leaf(&mut self, volume: &Volume, at: u64, record: Record) {
        let name = volume.name();
        let Some(sequence) = leaf::sequence_of(record.body) else {
            return self.found(name, Some(at), Vec::new(), "a leaf record does not hold");
        };
        if sequence > self.tree.size() + 1 {
            self.fill_from_catalog(sequence, name);
        }
        if sequence != self.tree.size() + 1 {
            let what = format!(
                "number {sequence} stands where {} should",
                self.tree.size() + 1
            );
            return self.found(name, Some(at), vec![sequence], what);
        }
        self.append(leaf_hash(record.kind, sequence, record.body));
        self.report.leaves += 1;
        let place = Place {
            volume: volume.header.number,
            frame: at,
            inner: record.inner,
        };
        if !matches!(self.view.leaf(sequence), Ok(Some(known)) if known == (record.kind, place)) {
            let what =
                format!("number {sequence} is not where the catalog says; run coffer rebuild");
            self.found(&catalog::file_name(), None, vec![sequence], what);
        }
        match Leaf::decode(record.kind, record.body).map(|leaf| leaf.body) {
            Ok(LeafBody::Message(message)) => self.message(name, at, sequence, &message),
            Ok(LeafBody::Reception { reception, .. }) => {
                self.report_contents(name, at, sequence, &reception);
            }
            Ok(LeafBody::Event(_) | LeafBody::Skipped) => {}
            Err(_) => self.found(
                name,
                Some(at),
                vec![sequence],
                format!("number {sequence} does not hold"),
            ),
        }
    }

    /// Checks what a journal report has beside its message.
    fn report_contents(&mut self, name: &str, at: u64, number: u64, reception: &Reception) {
        let Some(journal) = &reception.journal else {
            return;
        };
        let contents = match journal.form {
            ReportForm::Whole(report) => vec![report],
            ReportForm::Plain { prefix, suffix } => vec![prefix, suffix],
        };
        for content in contents {
            if let Err(why) = self.stored_content(content) {
                let what = format!("the journal report of number {number} is damaged: {why}");
                self.found(name, Some(at), vec![number], what);
            }
        }
    }

    fn stored_content(&self, content: ContentRef) -> std::result::Result<(), String> {
        if self.seen.contains(&content.digest) {
            return Ok(());
        }
        let checked = self.shared.reader.check_content(self.view, content);
        checked.map_err(|error| chain(&error))
    }

    fn append(&mut self, hash: Hash) {
        let index = self.tree.size();
        self.tree.append(hash);
        self.volume_leaves.push(hash);
        if self.catalog_hash(index).is_some_and(|known| known != hash) {
            let number = index + 1;
            let what = format!("number {number} has another hash than the catalog knows");
            self.found(&catalog::file_name(), None, vec![number], what);
        }
        let size = self.tree.size();
        if let Some(Ok(outside)) = &self.outside
            && outside.size() == size
            && *outside.root() != self.tree.root()
        {
            let what =
                format!("the first {size} entries are not those of the checkpoint that was given");
            self.found("the checkpoint given", None, Vec::new(), what);
        }
    }

    fn catalog_hash(&self, index: u64) -> Option<Hash> {
        let tile = self.view.tile(0, index / TILE_WIDTH as u64).ok()?;
        tile.get((index % TILE_WIDTH as u64) as usize).copied()
    }

    /// Goes on over leaves that are missing, by the hashes that the catalog keeps, so that only they are named.
    fn fill_from_catalog(&mut self, next: u64, name: &str) {
        let first = self.tree.size() + 1;
        // Nothing that the catalog does not know is missing.
        let next = next.min(self.end + 1);
        let numbers: Vec<u64> = (first..next).take(FINDINGS_MAX).collect();
        for sequence in first..next {
            let hash = self.catalog_hash(sequence - 1).unwrap_or([0; 32]);
            self.tree.append(hash);
            self.volume_leaves.push(hash);
        }
        // Numbers that damage in a frame took away have been named with it.
        if numbers.iter().any(|number| !self.named.contains(number)) {
            let what = format!("missing{}", named(&numbers));
            self.found(name, None, numbers, what);
        }
    }

    /// Puts a message together and compares it with its digest.
    fn message(&mut self, name: &str, at: u64, number: u64, message: &Message) {
        // A message that is one content of this volume has just been compared.
        let compared = message.form == MessageForm::Whole && self.seen.contains(&message.digest);
        let put_together = || {
            self.shared
                .reader
                .write_message(self.view, message, &mut io::sink())
        };
        if let Err(error) = if compared { Ok(()) } else { put_together() } {
            let what = format!("message {number} cannot be given back: {}", chain(&error));
            return self.found(name, Some(at), vec![number], what);
        }
        self.report.messages += 1;
        self.report.message_bytes += message.size_bytes;
        // One that was stored anew stands for its digest.
        if !matches!(self.view.message(&message.digest), Ok(Some(known)) if known >= number) {
            let what = format!("message {number} is not in the catalog; run coffer rebuild");
            self.found(&catalog::file_name(), None, vec![number], what);
        }
    }

    fn checkpoint(&mut self, name: &str, at: u64, record: Record) {
        let Some(checkpoint) = CheckpointRecord::decode(record.body) else {
            return self.found(
                name,
                Some(at),
                Vec::new(),
                "a checkpoint record does not hold",
            );
        };
        if checkpoint.tree_size > self.tree.size() {
            // It stands behind its last leaf, so what lacks is lost.
            self.fill_from_catalog(checkpoint.tree_size.saturating_add(1), name);
        }
        if checkpoint.tree_size == self.tree.size() {
            self.check_root(name, at, &checkpoint);
        } else {
            let what = format!(
                "a checkpoint of {} entries stands behind {}",
                checkpoint.tree_size,
                self.tree.size()
            );
            self.found(name, Some(at), Vec::new(), what);
        }
    }

    fn check_root(&mut self, name: &str, at: u64, checkpoint: &CheckpointRecord) {
        let size = checkpoint.tree_size;
        let signed = checkpoint
            .note
            .parse::<Note>()
            .map_err(|error| error.to_string())
            .and_then(|note| {
                Checkpoint::open(&note, self.key.name(), std::slice::from_ref(self.key))
                    .map_err(|error| chain(&error))
            });
        match signed {
            Err(why) => self.found(
                name,
                Some(at),
                Vec::new(),
                format!("the checkpoint of {size} entries: {why}"),
            ),
            Ok(signed) if *signed.root() != self.tree.root() || signed.size() != size => {
                let what =
                    format!("the tree of the first {size} entries is not the one that was signed");
                self.found(name, Some(at), Vec::new(), what);
            }
            Ok(_) => self.report.checkpoints += 1,
        }
    }

    fn end_of_volume(
        &mut self,
        header: &VolumeHeader,
        first_leaf: u64,
        seal: Option<Seal>,
        must_be_sealed: bool,
    ) {
        let name = volume::file_name(header.number);
        for (digest, _) in std::mem::take(&mut self.open_contents) {
            self.found(
                &name,
                None,
                Vec::new(),
                format!("content {digest} is not whole"),
            );
        }
        self.seen.clear();
        let Some(seal) = seal else {
            if must_be_sealed {
                self.found(&name, None, Vec::new(), "its seal is missing");
            }
            let entry = self.view.volume(header.number).ok().flatten();
            self.previous_digest = entry.map_or([0; 32], |entry| entry.digest);
            return;
        };
        let last = first_leaf.saturating_add(seal.leaf_hashes.len() as u64);
        if self.tree.size() < last {
            self.fill_from_catalog(last.saturating_add(1), &name);
        }
        if seal.leaf_hashes != self.volume_leaves {
            self.found(
                &name,
                None,
                Vec::new(),
                "its entries are not those that its seal names",
            );
        }
        if seal.volume_digest != volume_digest(header, &seal.leaf_hashes) {
            self.found(
                &name,
                None,
                Vec::new(),
                "the digest in its seal does not hold",
            );
        }
        self.previous_digest = seal.volume_digest;
    }

    fn finish(&mut self, leaves: u64) {
        if self.tree.size() < leaves {
            self.fill_from_catalog(leaves + 1, "the last volume");
        }
        self.report.root = self.tree.root();
        match self.outside.take() {
            Some(Err(why)) => self.found("the checkpoint given", None, Vec::new(), why),
            Some(Ok(outside)) if outside.size() > self.tree.size() => {
                let what = format!(
                    "it names {} entries, the archive has {}",
                    outside.size(),
                    self.tree.size()
                );
                self.found("the checkpoint given", None, Vec::new(), what);
            }
            _ => {}
        }
    }

    /// Sequence numbers of the leaves that the catalog places in a range of a volume.
    fn numbers_in(&self, number: u64, from: u64, until: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut sequence = self.tree.size() + 1;
        while let Ok(Some((_, place))) = self.view.leaf(sequence) {
            if (place.volume, place.frame) >= (number, until) || numbers.len() >= FINDINGS_MAX {
                break;
            }
            if place.volume == number && place.frame >= from {
                numbers.push(sequence);
            }
            sequence += 1;
        }
        numbers
    }
}

/// Names the numbers concerned in a sentence.
fn named(numbers: &[u64]) -> String {
    match numbers {
        [] => String::new(),
        [one] => format!(": number {one}"),
        [first, .., last] => format!(": numbers {first} to {last}"),
    }
}
