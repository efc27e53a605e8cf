//! A batch while it is put together: finished work becomes records, leaves, places and answers. Nothing is written here.

use crate::catalog::{Arrival, CatalogView, Entries, FurtherReception, Place, Watermark, origin};
use crate::checkpoint::Checkpoint;
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::index::Document;
use crate::leaf::{Leaf, LeafBody, LeafHead, Moment, encode_event, encode_reception};
use crate::lost::Lost;
use crate::merkle::{self, Appender, Tile};
use crate::note::Signer;
use crate::prepare::{Prepared, PreparedContent, PreparedFrames, SpooledContent};
use crate::queue::{Answer, Novelty, Receipt, Work};
use crate::reader::Reader;
use crate::record::{BODY_BYTES_MAX, CheckpointRecord, FrameRun, RecordKind, RecordPacker, Slot};
use archive::{ContentRef, Digest, Event, Reception, SourceKind};
use std::collections::HashSet;

/// What the batch needs to know of the rest.
pub(crate) struct Surroundings<'a> {
    pub(crate) view: &'a CatalogView,
    pub(crate) reader: &'a Reader,
    pub(crate) signer: &'a Signer,
    pub(crate) moment: Moment,
    pub(crate) boot_id: [u8; 16],
    /// How far the archive has come before this batch.
    pub(crate) position: Watermark,
    /// Size of the tree at the newest checkpoint.
    pub(crate) checkpoint_size: u64,
}

/// A batch that is being put together.
pub(crate) struct Batch<'a> {
    around: Surroundings<'a>,
    packer: &'a mut RecordPacker,
    tree: &'a mut Appender,
    next_sequence: u64,
    run: FrameRun,
    leaves: Vec<(u64, RecordKind, Slot)>,
    contents: Vec<(ContentRef, Slot)>,
    contents_seen: HashSet<Digest>,
    messages_seen: HashSet<Digest>,
    wants_checkpoint: bool,
    built: Built,
}

/// A batch ready to be written.
#[derive(Default)]
pub(crate) struct Built {
    pub(crate) batch: u64,
    /// Frames from the spool; they come first.
    pub(crate) spooled: Vec<PreparedFrames>,
    /// The frames of everything else.
    pub(crate) run: FrameRun,
    pub(crate) entries: Entries,
    pub(crate) tiles: Vec<Tile>,
    /// Number of leaves behind the batch.
    pub(crate) leaves: u64,
    pub(crate) documents: Vec<Document>,
    pub(crate) answers: Vec<Answered>,
    /// Work that must wait for the next batch, since it depends on this one.
    pub(crate) deferred: Vec<Work>,
    /// Size of the tree at the checkpoint in this batch.
    pub(crate) checkpoint_size: Option<u64>,
    pub(crate) wants_durable: bool,
    /// Who wants the volume to be sealed behind this batch.
    pub(crate) wants_seal: Vec<Answer<()>>,
}

/// An answer that is given once the batch is durable.
pub(crate) enum Answered {
    Deposit(Answer<Receipt>, Receipt),
    Log(Answer<u64>, u64),
    Done(Answer<()>),
}

impl Answered {
    pub(crate) fn give(self) {
        match self {
            Self::Deposit(answer, receipt) => answer.give(Ok(receipt)),
            Self::Log(answer, number) => answer.give(Ok(number)),
            Self::Done(answer) => answer.give(Ok(())),
        }
    }

    /// Answers when the volume has the batch and the catalog has not: what was kept is kept, but nothing else was done.
    pub(crate) fn give_without_catalog(self, error: Error) {
        match self {
            Self::Done(answer) => answer.give(Err(error)),
            kept => kept.give(),
        }
    }

    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Deposit(answer, _) => answer.give(Err(error)),
            Self::Log(answer, _) => answer.give(Err(error)),
            Self::Done(answer) => answer.give(Err(error)),
        }
    }
}

impl Built {
    /// Returns whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.run.bytes.is_empty()
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn begin(
        around: Surroundings<'a>,
        packer: &'a mut RecordPacker,
        tree: &'a mut Appender,
    ) -> Self {
        let batch = around.position.batch + 1;
        packer.begin(batch);
        Self {
            next_sequence: around.position.leaves + 1,
            around,
            packer,
            tree,
            run: FrameRun::default(),
            leaves: Vec::new(),
            contents: Vec::new(),
            contents_seen: HashSet::new(),
            messages_seen: HashSet::new(),
            wants_checkpoint: false,
            built: Built {
                batch,
                ..Built::default()
            },
        }
    }

    /// Takes one piece of work in; what cannot be done is refused at once and leaves no trace.
    pub(crate) fn add(&mut self, work: Work) {
        match work {
            Work::Deposit(prepared, answer)
                if self.messages_seen.contains(&prepared.message.digest) =>
            {
                self.built.deferred.push(Work::Deposit(prepared, answer));
            }
            Work::Deposit(prepared, answer) => match self.deposit(*prepared) {
                Ok(receipt) => self.built.answers.push(Answered::Deposit(answer, receipt)),
                Err(error) => answer.give(Err(error)),
            },
            Work::Log(entry, answer) => {
                let (actor, event) = *entry;
                if let Err(error) = check_length("an event", encode_event(&event).len()) {
                    return answer.give(Err(error));
                }
                let number = self.event(actor, event);
                self.built.answers.push(Answered::Log(answer, number));
            }
            Work::Checkpoint(answer) => {
                self.wants_checkpoint = true;
                self.built.answers.push(Answered::Done(answer));
            }
            Work::Flush(answer) => {
                self.built.wants_durable = true;
                self.built.answers.push(Answered::Done(answer));
            }
            Work::Seal(answer) => self.built.wants_seal.push(answer),
        }
    }

    fn deposit(&mut self, prepared: Prepared) -> Result<Receipt> {
        let digest = prepared.message.digest;
        let bytes = encode_reception(&prepared.reception).len();
        check_length("what is known of an arrival", bytes)?;
        let known = self.around.view.message(&digest)?;
        let is_lost = known.is_some() && known == prepared.lost.message;
        let receipt = match known.filter(|_| !is_lost) {
            None => self.new_message(prepared)?,
            Some(number) if self.brings_lost(&prepared)? => self.restored(number, prepared)?,
            Some(number) => match self.known_reception(number, &prepared.reception)? {
                Some(reception) => Receipt {
                    number,
                    reception,
                    digest,
                    novelty: Novelty::Known,
                },
                None => self.further_reception(number, prepared)?,
            },
        };
        self.messages_seen.insert(digest);
        Ok(receipt)
    }

    fn new_message(&mut self, prepared: Prepared) -> Result<Receipt> {
        let Prepared {
            message,
            reception,
            mut facts,
            contents,
            frames,
            left_out,
            lost,
            actor,
            ..
        } = prepared;
        self.check_left_out(&left_out)?;
        self.contents(contents, frames, &lost)?;
        let (digest, size_bytes) = (message.digest, message.size_bytes);
        let number = self.leaf(actor, LeafBody::Message(message));
        facts.arrived(number, self.around.moment.at_us, &reception);
        self.built.entries.messages.push((number, digest));
        self.built.entries.summaries.push((number, facts.summary));
        self.built.documents.push(facts.document);
        // One whose record was lost is the same message.
        if lost.message.is_none() {
            self.built.entries.totals.messages += 1;
            self.built.entries.totals.message_bytes += size_bytes;
        }
        let reception = self.reception(number, digest, size_bytes, actor, reception);
        Ok(Receipt {
            number,
            reception,
            digest,
            novelty: Novelty::NewMessage,
        })
    }

    fn further_reception(&mut self, number: u64, prepared: Prepared) -> Result<Receipt> {
        let Prepared {
            message,
            reception,
            contents,
            frames,
            left_out,
            lost,
            actor,
            ..
        } = prepared;
        self.check_left_out(&left_out)?;
        // Of the message itself mostly everything is there; a journal report's own pieces may be new.
        self.contents(contents, frames, &lost)?;
        let origin = origin(&reception);
        let reception =
            self.reception(number, message.digest, message.size_bytes, actor, reception);
        self.built
            .entries
            .further_receptions
            .push(FurtherReception {
                message: number,
                reception,
                origin,
            });
        Ok(Receipt {
            number,
            reception,
            digest: message.digest,
            novelty: Novelty::NewReception,
        })
    }

    /// Tells whether a message brings contents that the archive lacks though it knows the message: they are lost, or a journal report's.
    fn brings_lost(&self, prepared: &Prepared) -> Result<bool> {
        for content in prepared.brought() {
            if !self.is_kept(&content.digest, &prepared.lost)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the contents of a known message in once more, with this arrival; a rebuild meanwhile could not read what lists show of it.
    fn restored(&mut self, number: u64, mut prepared: Prepared) -> Result<Receipt> {
        let Surroundings { view, reader, .. } = self.around;
        if view.summary(number)?.is_none()
            && let Ok(stored) = reader.leaf(view, number)
        {
            let first = reader.reception(view, number + 1);
            let first = first.map_or_else(|_| prepared.reception.clone(), |(_, first)| first);
            let at_us = stored.leaf.head.moment.at_us;
            prepared.facts.arrived(number, at_us, &first);
            let summary = std::mem::take(&mut prepared.facts.summary);
            self.built.entries.summaries.push((number, summary));
        }
        self.further_reception(number, prepared)
    }

    fn reception(
        &mut self,
        message: u64,
        digest: Digest,
        size_bytes: u64,
        actor: u64,
        reception: Reception,
    ) -> u64 {
        self.built.entries.totals.receptions += 1;
        self.built.entries.totals.received_bytes += size_bytes;
        let arrival = Arrival::of(&reception, self.around.moment.at_us, size_bytes);
        self.built.entries.arrivals.push(arrival);
        self.leaf(
            actor,
            LeafBody::Reception {
                message,
                digest,
                reception: Box::new(reception),
            },
        )
    }

    /// Finds an arrival from the same source under the same key: an import that runs again.
    fn known_reception(&self, message: u64, reception: &Reception) -> Result<Option<u64>> {
        if reception.source == SourceKind::Smtp {
            return Ok(None);
        }
        let view = self.around.view;
        let further = view.receptions_from(message, &origin(reception))?;
        for sequence in std::iter::once(message + 1).chain(further) {
            match self.around.reader.reception(view, sequence) {
                Ok((_, known)) if known.is_from_same_place(reception) => {
                    return Ok(Some(sequence));
                }
                Err(error @ Error::Catalog { .. }) => return Err(error),
                // One that cannot be read is not known: at worst the arrival is kept twice.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    fn event(&mut self, actor: u64, event: Event) -> u64 {
        self.built.entries.totals.events += 1;
        self.leaf(actor, LeafBody::Event(Box::new(event)))
    }

    fn leaf(&mut self, actor: u64, body: LeafBody) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let Surroundings {
            moment, boot_id, ..
        } = self.around;
        let leaf = Leaf {
            head: LeafHead {
                salt: random(),
                sequence,
                moment,
                boot_id,
                actor,
            },
            body,
        };
        let bytes = leaf.encode();
        let kind = leaf.kind();
        self.tree.append(leaf_hash(kind, sequence, &bytes));
        let slot = self.packer.record(kind, &[&bytes], &mut self.run);
        self.leaves.push((sequence, kind, slot));
        sequence
    }

    /// What a message leaves out must still be there: a catalog that was rebuilt meanwhile may lack what lies in damage.
    fn check_left_out(&self, left_out: &[Digest]) -> Result<()> {
        for digest in left_out {
            if !self.is_kept(digest, &Lost::default())? {
                return Err(Error::Rebuilding);
            }
        }
        Ok(())
    }

    /// Takes in those contents that the archive does not have, or has lost.
    fn contents(
        &mut self,
        contents: Vec<PreparedContent>,
        frames: Option<PreparedFrames>,
        lost: &Lost,
    ) -> Result<()> {
        for prepared in contents {
            if !self.is_kept(&prepared.content.digest, lost)? {
                self.contents_seen.insert(prepared.content.digest);
                let slot = self
                    .packer
                    .content(prepared.content, &prepared.bytes, &mut self.run);
                self.contents.push((prepared.content, slot));
                self.count_content(prepared.content, lost);
            }
        }
        let Some(mut frames) = frames else {
            return Ok(());
        };
        let mut new = Vec::new();
        for spooled in std::mem::take(&mut frames.contents) {
            if !self.is_kept(&spooled.content.digest, lost)? {
                new.push(spooled);
            }
        }
        new.retain(|spooled| self.contents_seen.insert(spooled.content.digest));
        // Other work may have brought the rest meanwhile; what shares a frame with something new is copied and keeps its old place.
        frames.keep(&new);
        self.spool_places(&frames, new, lost);
        self.built.spooled.push(frames);
        Ok(())
    }

    fn spool_places(&mut self, frames: &PreparedFrames, new: Vec<SpooledContent>, lost: &Lost) {
        let Watermark { volume, offset, .. } = self.around.position;
        let base = offset + self.spooled_bytes();
        for SpooledContent { content, first, .. } in new {
            let place = Place {
                volume,
                frame: base + frames.start(first.frame),
                inner: first.inner,
            };
            self.built.entries.contents.push((content, place));
            self.count_content(content, lost);
        }
    }

    fn spooled_bytes(&self) -> u64 {
        let spooled = self.built.spooled.iter();
        spooled.map(PreparedFrames::length_bytes).sum()
    }

    /// Tells whether the archive has a content, elsewhere than where it was lost.
    fn is_kept(&self, digest: &Digest, lost: &Lost) -> Result<bool> {
        if self.contents_seen.contains(digest) {
            return Ok(true);
        }
        let known = self.around.view.content(digest)?;
        Ok(known.is_some_and(|(_, place)| lost.contents.get(digest) != Some(&place)))
    }

    fn count_content(&mut self, content: ContentRef, lost: &Lost) {
        if lost.contents.contains_key(&content.digest) {
            return;
        }
        self.built.entries.totals.contents += 1;
        self.built.entries.totals.content_bytes += content.length_bytes;
    }

    /// Ends the batch.
    pub(crate) fn finish(mut self) -> Built {
        let checkpoint = self.checkpoint();
        if self.leaves.is_empty() && checkpoint.is_none() {
            // Contents of a message that was refused in the middle go with it.
            let Built {
                answers,
                deferred,
                wants_durable,
                wants_seal,
                ..
            } = self.built;
            return Built {
                answers,
                deferred,
                wants_durable,
                wants_seal,
                ..Built::default()
            };
        }
        self.packer.close(true, &mut self.run);
        let Watermark { volume, offset, .. } = self.around.position;
        let base = offset + self.spooled_bytes();
        let place = |slot: Slot| Place {
            volume,
            frame: base + self.run.starts[slot.frame as usize],
            inner: slot.inner,
        };
        let entries = &mut self.built.entries;
        entries.leaves.extend(
            self.leaves
                .iter()
                .map(|(sequence, kind, slot)| (*sequence, *kind, place(*slot))),
        );
        entries.contents.extend(
            self.contents
                .iter()
                .map(|(content, slot)| (*content, place(*slot))),
        );
        entries
            .checkpoints
            .extend(checkpoint.map(|(size, slot)| (size, place(slot))));
        self.built.checkpoint_size = checkpoint.map(|(size, _)| size);
        self.built.tiles = self.tree.take_changed();
        self.built.leaves = self.next_sequence - 1;
        self.built.run = self.run;
        self.built
    }

    /// Signs the tree head, when somebody asked and the tree has grown.
    fn checkpoint(&mut self) -> Option<(u64, Slot)> {
        let frontier = self.tree.frontier();
        let (tree_size, root) = (frontier.size(), frontier.root());
        if !self.wants_checkpoint || tree_size == self.around.checkpoint_size {
            return None;
        }
        let note = Checkpoint::new(self.around.signer.verifier().name(), tree_size, root)
            .expect("a key name has no control characters")
            .sign(self.around.signer)
            .to_string();
        let body = CheckpointRecord {
            tree_size,
            root,
            note,
        }
        .encode();
        Some((
            tree_size,
            self.packer
                .record(RecordKind::Checkpoint, &[&body], &mut self.run),
        ))
    }
}

/// The hash of a leaf in the tree (FORMAT.md, "Leaf").
pub(crate) fn leaf_hash(kind: RecordKind, sequence: u64, body: &[u8]) -> merkle::Hash {
    merkle::leaf_hash(&merkle::leaf_entry(
        kind.number(),
        sequence,
        &sha256(body).0,
    ))
}

/// A reception or event must fit into one record; the protocol's own limits keep real ones far below.
fn check_length(what: &str, bytes: usize) -> Result<()> {
    if bytes > BODY_BYTES_MAX / 2 {
        let text = format!("{what} may have 8 MiB, this one has: {bytes} bytes");
        return Err(Error::Refused(text));
    }
    Ok(())
}

/// Random bytes from the operating system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the system's random generator does not fail once it has begun");
    bytes
}
