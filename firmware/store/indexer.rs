//! The indexer: the thread that brings the full-text index up to the archive, in the order of the leaves.
//!
//! A new message's document comes from memory when it is still there, else from the volumes. A further reception makes the message's
//! document anew, so that the recipients it adds find the message.

use crate::catalog::CatalogView;
use crate::engine::Shared;
use crate::error::chain;
use crate::error::{DiskContext, Error, Result};
use crate::facts::{self, Facts};
use crate::index::{DiskDirectory, Document, Index, Writer, WriterOptions};
use crate::leaf::LeafBody;
use crate::reader::BoundedCopy;
use crate::record::RecordKind;
use crate::room;
use archive::{Message, Reception};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Leaves looked at before the indexer looks up again, so that it stops soon when asked to.
const STEP_LEAVES: u64 = 512;

/// How long the indexer waits until [`GATHERED_LEAVES`] are there, so that mail that comes one by one does not wake it up each time.
const GATHER: Duration = Duration::from_millis(50);

/// Leaves that are worth being woken up for: about 128 new messages.
const GATHERED_LEAVES: u64 = 256;

/// How long new messages wait for more before they can be found: each commit makes a small segment.
const COMMIT_AFTER: Duration = Duration::from_millis(500);

/// While mail streams in, a commit comes at least this often.
const COMMIT_EVERY: Duration = Duration::from_secs(20);

/// How long no mail comes before the index is tidied up: longer than an import that stutters.
const TIDY_AFTER: Duration = Duration::from_secs(60);

/// How long the indexer waits for room on a full disk before it looks again; not long in tests, which make room at once.
const ROOM_WAIT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });

/// What the indexer owns.
pub(crate) struct Indexer {
    shared: Arc<Shared>,
    index: Index,
    /// Where the index lies.
    directory: DiskDirectory,
    writer: Writer,
    /// Leaves added to the writer.
    added: u64,
    /// When the first leaf was added that is not committed.
    since: Option<Instant>,
    /// Whether a document was added since the last commit; leaves without one need none.
    has_documents: bool,
    /// Whether nothing was committed since the small segments were merged.
    is_tidy: bool,
}

/// A panic must not leave those waiting who wait for the index.
struct AtEnd(Arc<Shared>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .index_failed("its thread ended by a panic".to_owned(), false);
        }
    }
}

impl Indexer {
    pub(crate) fn open(
        shared: Arc<Shared>,
        index: &Index,
        directory: &DiskDirectory,
    ) -> Result<Self> {
        let threads = shared.options.index_threads.max(1);
        let writer = index.writer(WriterOptions {
            threads,
            ..WriterOptions::default()
        })?;
        let indexed = index.watermark()?.unwrap_or(0);
        shared.set_indexed(indexed);
        Ok(Self {
            shared,
            index: index.clone(),
            directory: directory.clone(),
            writer,
            added: indexed,
            since: None,
            has_documents: false,
            is_tidy: false,
        })
    }

    /// Works until the archive is closed.
    pub(crate) fn run(self) {
        let (shared, directory) = (self.shared.clone(), self.directory.clone());
        let _at_end = AtEnd(shared.clone());
        if let Err(error) = self.follow_with_pauses() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the index cannot follow"
            );
            shared.index_failed(chain(&error), directory.is_damaged());
        }
    }

    /// Want of room passes: then the index goes on behind its last commit.
    ///
    /// The writer is closed in every case: a merge that outlived it would write the old state over an index that is made anew in its folder.
    fn follow_with_pauses(mut self) -> Result<()> {
        while let Err(error) = self.follow() {
            if !self.is_for_want_of_room(&error) {
                close(self.writer);
                return Err(error);
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the index waits for room on the disk"
            );
            match self.begin_again()? {
                Some(next) => self = next,
                None => return Ok(()),
            }
        }
        if close(self.writer) {
            self.directory.close();
        }
        Ok(())
    }

    /// A thread of the writer that died does not tell why, and there may be room again by now.
    fn is_for_want_of_room(&self, error: &Error) -> bool {
        let lacked_room = self.directory.take_want_of_room();
        error.is_full() || matches!(error, Error::Index { .. }) && lacked_room
    }

    /// Gives up what was not committed, and opens the writer anew once there is room; none when the archive is closed before.
    fn begin_again(self) -> Result<Option<Self>> {
        let Self {
            shared,
            index,
            directory,
            writer,
            ..
        } = self;
        // There is one writer of a folder.
        close(writer);
        shared.set_stalled(true);
        while !shared.wait_for(Some(ROOM_WAIT), |_| false) {
            match Self::open(shared.clone(), &index, &directory) {
                Ok(next) if next.has_room()? => return Ok(Some(next)),
                Err(error) if !error.is_full() => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    fn follow(&mut self) -> Result<()> {
        loop {
            let wait = match self.since {
                Some(_) => Some(COMMIT_AFTER),
                None => (!self.is_tidy).then_some(TIDY_AFTER),
            };
            if self.waits_for_leaves(wait) {
                return self.commit();
            }
            if self.since.is_none() && self.shared.leaves() == self.added {
                self.tidy_up()?;
                continue;
            }
            let is_stalled = !self.has_room()? && !self.pass_leaves_without_document()?;
            self.shared.set_stalled(is_stalled);
            if is_stalled {
                self.shared.wait_for(Some(ROOM_WAIT), |_| false);
                continue;
            }
            let target = self.shared.leaves().min(self.added + STEP_LEAVES);
            let idle = target == self.added;
            self.add_up_to(target)?;
            if idle
                || self.is_wanted()
                || self
                    .since
                    .is_some_and(|since| since.elapsed() > COMMIT_EVERY)
            {
                self.commit()?;
            }
        }
    }

    /// Waits for leaves, and then a moment for more of them unless somebody waits for the index; tells whether the archive is being
    /// closed. Closing ends that moment, and what has come by then is still added.
    fn waits_for_leaves(&self, limit: Option<Duration>) -> bool {
        let (shared, added) = (&self.shared, self.added);
        let closing = shared.wait_for_leaves(limit, added + 1, |progress| {
            progress.wanted > progress.indexed && added > progress.indexed
        });
        if !closing && shared.leaves() > added {
            shared.wait_for_leaves(Some(GATHER), added + GATHERED_LEAVES, |progress| {
                progress.wanted > progress.indexed
            });
        }
        closing
    }

    /// Merges small segments while no mail comes, if there is room for both.
    fn tidy_up(&mut self) -> Result<()> {
        self.is_tidy = true;
        if self.has_room()? {
            self.writer.merge_in_quiet()?;
        }
        Ok(())
    }

    /// Whether somebody waits for exactly what has been added.
    fn is_wanted(&self) -> bool {
        self.shared.is_wanted(self.added)
    }

    /// Mail goes before the index: without room it waits, and searches go on with what they have.
    fn has_room(&self) -> Result<bool> {
        let room = self
            .shared
            .disk
            .room()
            .on("ask for the room of", "the disk")?;
        Ok(room.available_bytes > room::margin(&room) / 2)
    }

    /// Passes events, which need no room; tells whether nothing else is left to be done.
    fn pass_leaves_without_document(&mut self) -> Result<bool> {
        let view = self.shared.catalog.read()?;
        let leaves = self.shared.leaves();
        while self.added < leaves
            && view
                .leaf(self.added + 1)?
                .is_some_and(|(kind, _)| kind == RecordKind::Event)
        {
            self.added += 1;
            self.since.get_or_insert_with(Instant::now);
        }
        Ok(self.added == leaves && !self.has_documents)
    }

    fn add_up_to(&mut self, target: u64) -> Result<()> {
        let view = self.shared.catalog.read()?;
        while self.added < target {
            let sequence = self.added + 1;
            if let Some(mut document) = self.document(&view, sequence)? {
                document.first_copy = first_copy(&view, document.sequence)?;
                self.writer.add(&document)?;
                self.has_documents = true;
            }
            self.added = sequence;
            self.since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// The document that a leaf makes new or changes.
    fn document(&self, view: &CatalogView, sequence: u64) -> Result<Option<Document>> {
        match view.leaf(sequence)?.map(|(kind, _)| kind) {
            Some(RecordKind::Message) => {
                // Its first reception is in the document that the committer made.
                let ready = self.shared.take_document(sequence);
                Ok(ready.map_or_else(
                    || self.read_document(view, sequence),
                    |document| Ok(Some(document)),
                )?)
            }
            Some(RecordKind::Reception) => {
                let message = self
                    .message_of(view, sequence)?
                    .filter(|message| message + 1 != sequence);
                message.map_or(Ok(None), |message| self.read_document(view, message))
            }
            _ => Ok(None),
        }
    }

    fn message_of(&self, view: &CatalogView, reception: u64) -> Result<Option<u64>> {
        // Before the first look at the volumes: the leaf behind a message is its first reception.
        if matches!(view.leaf(reception - 1)?, Some((RecordKind::Message, _))) {
            return Ok(Some(reception - 1));
        }
        match self.shared.reader.leaf(view, reception) {
            Ok(stored) => match stored.leaf.body {
                LeafBody::Reception { message, .. } => Ok(Some(message)),
                _ => Ok(None),
            },
            Err(error) => self.passed_over(reception, error),
        }
    }

    fn read_document(&self, view: &CatalogView, message: u64) -> Result<Option<Document>> {
        match read_document(&self.shared, view, message) {
            Ok(document) => Ok(Some(document)),
            Err(error) => self.passed_over(message, error),
        }
    }

    /// Damage costs the message that it hit, not the index.
    fn passed_over<T>(&self, sequence: u64, error: Error) -> Result<Option<T>> {
        match error {
            Error::Damaged { .. } | Error::NotFound(_) | Error::Body(_) | Error::TooNew { .. } => {
                tracing::error!(
                    sequence,
                    error = &error as &dyn std::error::Error,
                    "not indexed"
                );
                Ok(None)
            }
            other => Err(other),
        }
    }

    fn commit(&mut self) -> Result<()> {
        if self.since.take().is_some() {
            if std::mem::take(&mut self.has_documents) {
                self.writer.commit(self.added)?;
                self.is_tidy = false;
            }
            self.shared.set_indexed(self.added);
        }
        Ok(())
    }
}

/// Gives the first of the copies of a message, 0 if it is that itself.
fn first_copy(view: &CatalogView, sequence: u64) -> Result<u64> {
    let Some(summary) = view.summary(sequence)? else {
        return Ok(0);
    };
    let first = view.group(&summary.group, 1)?.into_iter().next();
    Ok(first.filter(|first| *first < sequence).unwrap_or(0))
}

/// Waits for the merges under way, and tells whether all went in order; what they did not finish the next writer does.
fn close(writer: Writer) -> bool {
    let closed = writer.close();
    if let Err(error) = &closed {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "the index was not closed in order"
        );
    }
    closed.is_ok()
}

/// Reads what the index is told about a message, with all its receptions, from the volumes.
pub(crate) fn read_document(
    shared: &Shared,
    view: &CatalogView,
    sequence: u64,
) -> Result<Document> {
    let (mut facts, further) = read_facts(shared, view, sequence, |message| {
        let mut copy = BoundedCopy(Vec::new());
        let reader = &shared.reader;
        reader.write_reading_copy(view, message, &mut copy)?;
        Ok(([0; 16], copy.0))
    })?;
    for number in further {
        let reception = reception_or_nothing(shared, view, number)?;
        facts::add_reception(&mut facts.document, &reception);
    }
    Ok(facts.document)
}

/// Reads the meaning of a stored message, and the numbers of its further receptions; `read` gives its group and its reading copy.
pub(crate) fn read_facts(
    shared: &Shared,
    view: &CatalogView,
    sequence: u64,
    read: impl FnOnce(&Message) -> Result<([u8; 16], Vec<u8>)>,
) -> Result<(Facts, Vec<u64>)> {
    let leaf = shared.reader.leaf(view, sequence)?.leaf;
    let LeafBody::Message(message) = leaf.body else {
        return Err(Error::NotFound(format!("number {sequence} is no message")));
    };
    let (group, copy) = read(&message)?;
    let reception = reception_or_nothing(shared, view, sequence + 1)?;
    let mut facts = Facts::read(&copy, &message, group, &reception);
    // The message and its first reception are of one batch, and so of one moment.
    facts.arrived(sequence, leaf.head.moment.at_us, &reception);
    Ok((facts, view.further_receptions(sequence)?))
}

/// Reads an arrival; a damaged one says nothing, but does not cost the message.
fn reception_or_nothing(shared: &Shared, view: &CatalogView, number: u64) -> Result<Reception> {
    match shared.reader.reception(view, number) {
        Ok((_, reception)) => Ok(reception),
        Err(Error::Damaged { .. } | Error::NotFound(_) | Error::TooNew { .. }) => {
            tracing::error!(number, "an arrival cannot be read");
            Ok(Reception::default())
        }
        Err(error) => Err(error),
    }
}
