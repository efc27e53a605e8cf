//! The store: an archive that is open, as everyone above this room sees it.

use crate::batch::random;
use crate::catalog::{HourOfSource, Source, Summary, Totals, Watermark};
use crate::checkpoint::origin_of;
use crate::copies::{Copies, CopyState};
use crate::disk::Disk;
use crate::engine::{Engine, Options, remove_catalog, remove_index};
use crate::error::{DiskContext, Error, Result, chain};
use crate::identity::{self, Identity};
use crate::index::{Found, Index, Page, Person};
use crate::indexer::read_document;
use crate::joining::{Following, Meeting, Opening, meet, stay_apart};
use crate::known_damage::{self, Damaged};
use crate::leaf::{LeafBody, LeafHead, Moment};
use crate::lost::{self, Lost};
use crate::mend::{self, MendReport, Other};
use crate::merkle::inclusion_proof;
use crate::note::{Note, Signer, Verifier};
use crate::patient::Patient;
use crate::prepare::{self, Deposit, Means};
use crate::proof::Proof;
use crate::queue::{Answer, Pending, Receipt, Work};
use crate::reader::StoredLeaf;
use crate::record::{CheckpointRecord, RecordKind};
use crate::spool::{Body, Spool, SpoolWriter};
use crate::state::{State, StateTable};
use crate::upkeep::{self, Recompressed};
use crate::verify::Finding;
use crate::{catalog, index, room, volume};
use archive::access::{self, Asker};
use archive::query::Query;
use archive::{AlarmKind, Digest, Event, EventKind, Reception};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

const SIGNING_KEY: &str = "archive signing key";
const MAC_KEY: &str = "archive mac key";

/// Copies of a message that are named at most: a stranger can send one mail a million times with other trace fields.
const COPIES_MAX: usize = 100;

/// Summaries that are brought into memory at once: more would not stay there until they are asked for.
const FETCHED_SUMMARIES_MAX: usize = 500;

/// Bytes of a message that are read for a snippet, attachments left out: some 20,000 words. Words behind are not shown, since a page
/// of long messages must not cost a second.
const BEGINNING_BYTES_MAX: usize = 128 << 10;

/// How long it takes at least until catalog and index are opened anew once more: what keeps them from it may take long to find out.
const START_AGAIN_AFTER: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });

/// The same after the catalog or the index was found damaged: on a disk or in a memory that spoils all that is written, an archive would
/// do nothing but make them again. Until then searches find what they found before, and without a catalog no mail is taken.
const MEND_AGAIN_AFTER: Duration = Duration::from_hours(if cfg!(test) { 0 } else { 1 });

/// An open archive.
pub struct Store {
    disk: Arc<dyn Disk>,
    identity: Identity,
    state: Arc<State>,
    copies: Arc<Copies>,
    spool: Spool,
    signer: Arc<Signer>,
    options: Options,
    /// None while catalog and index are being rebuilt, and after that failed.
    engine: RwLock<Option<Engine>>,
    /// How many leaves are known to have been durable when catalog and index were closed last.
    durable: AtomicU64,
    /// When catalog and index were opened anew last, or that was tried.
    started: Mutex<Option<Instant>>,
    /// Ends after the engine, whose last batches go to the follower, too.
    _following: Option<Following>,
}

/// Bytes on the disk, by what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DiskUse {
    /// The volumes.
    pub volumes_bytes: u64,
    /// The catalog.
    pub catalog_bytes: u64,
    /// The index.
    pub index_bytes: u64,
    /// Settings, accounts, keys.
    pub state_bytes: u64,
    /// What is left for mail.
    pub available_bytes: u64,
}

/// When a disk's sealed volumes were read and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VolumesRead {
    /// Sealed volumes.
    pub sealed: u64,
    /// Those of them that were ever read as a whole, and held.
    pub read: u64,
    /// When the one was read that was not read for longest, microseconds since 1970; none when none was.
    pub oldest_us: Option<i64>,
    /// When one was read last.
    pub newest_us: Option<i64>,
}

impl VolumesRead {
    fn add(&mut self, read_at_us: i64) {
        self.sealed += 1;
        if read_at_us > 0 {
            self.read += 1;
            self.oldest_us = Some(self.oldest_us.map_or(read_at_us, |at| at.min(read_at_us)));
            self.newest_us = self.newest_us.max(Some(read_at_us));
        }
    }
}

/// A leaf with the proof that it is in the tree.
#[derive(Clone, Debug)]
pub struct ProvenLeaf {
    /// The leaf.
    pub leaf: StoredLeaf,
    /// The proof, which carries its checkpoint.
    pub proof: Proof,
}

impl Store {
    /// Opens the archive on a disk, or makes a new one there; `watch` is told how far catching up has come.
    ///
    /// The caller holds the lock of the data directory.
    pub fn open(disk: Arc<dyn Disk>, options: Options, watch: &mut dyn FnMut(u64)) -> Result<Self> {
        Self::open_with_copy(disk, None, options, &mut |opening| {
            if let Opening::Catalog { leaves } = opening {
                watch(leaves);
            }
        })
    }

    /// Opens the archive on a disk, with another disk that is to be a copy of it.
    ///
    /// The caller holds the locks of both.
    ///
    /// # Errors
    /// `Follower` when the other disk can never be one; a passing failure of it keeps nothing from opening.
    pub fn open_with_copy(
        disk: Arc<dyn Disk>,
        copy: Option<Arc<dyn Disk>>,
        options: Options,
        watch: &mut dyn FnMut(Opening),
    ) -> Result<Self> {
        let patient = |copy: &Arc<dyn Disk>| Patient::new(copy.clone(), options.follower_patience);
        let first_look = copy.as_ref().map(patient).transpose()?;
        let identity = match Identity::read(&*disk)? {
            Some(identity) => identity,
            None => new_archive(&*disk, first_look.as_ref())?,
        };
        let meeting = match &first_look {
            Some(copy) => Some(meet(&*disk, &identity, copy, watch)?),
            None => None,
        };
        disk.create_dir(Path::new(volume::FOLDER))
            .on("create", volume::FOLDER)?;
        let copies = Arc::new(Copies::new(
            disk.clone(),
            identity.clone(),
            copy,
            options.clock.clone(),
            options.follower_patience,
        ));
        let state = Arc::new(State::open(&*disk, Some(copies.clone()))?);
        let (seed, key_made) =
            state.get_or_make(StateTable::Keys, SIGNING_KEY, || random::<32>().to_vec())?;
        state.get_or_make(StateTable::Keys, MAC_KEY, || random::<32>().to_vec())?;
        let signer = Arc::new(signer(&identity, &seed)?);
        let spool = Spool::open(disk.clone())?;
        let mut watch = |position: Watermark| {
            watch(Opening::Catalog {
                leaves: position.leaves,
            });
        };
        let engine = Engine::start(
            disk.clone(),
            copies.clone(),
            identity.archive,
            signer.clone(),
            options.clone(),
            0,
            &mut watch,
        )?;
        let following = follow(&copies, &state, meeting)?;
        let store = Self {
            disk,
            identity,
            state,
            copies,
            spool,
            signer,
            options,
            engine: RwLock::new(Some(engine)),
            durable: AtomicU64::new(0),
            started: Mutex::default(),
            _following: following,
        };
        store.first_events(key_made)?;
        Ok(store)
    }

    /// An archive begins with its creation and its key, also when a crash came between.
    fn first_events(&self, key_made: bool) -> Result<()> {
        let leaves = self.engine()?.shared.leaves();
        if leaves == 0 {
            self.log(
                0,
                Event {
                    kind: EventKind::ArchiveCreated,
                    ..Event::default()
                },
            )?
            .wait()?;
        }
        if key_made && leaves >= 2 {
            tracing::error!(
                "state.redb was lost: accounts and settings are gone, the signing key is a new one"
            );
            let text = "state.redb was lost: the signing key is a new one".to_owned();
            let alarm = Event::alarm(AlarmKind::StateLost, text);
            self.log(0, alarm)?.wait()?;
        }
        if key_made || leaves < 2 {
            let key = self.key().to_string();
            self.log(
                0,
                Event {
                    kind: EventKind::KeyMade,
                    key,
                    ..Event::default()
                },
            )?
            .wait()?;
            self.checkpoint()?;
        }
        Ok(())
    }

    fn engine(&self) -> Result<EngineGuard<'_>> {
        self.start_again_if_due()?;
        // A writer holds the lock only while it opens or rebuilds: nobody waits for that.
        let guard = self.engine.try_read().map_err(|_| Error::Rebuilding)?;
        if guard.is_none() {
            return Err(Error::Rebuilding);
        }
        Ok(EngineGuard(guard))
    }

    /// Opens catalog and index anew, once there is room, after the catalog failed for want of it, and after a rebuild that failed; so
    /// it does when either did not hold, which then is mended or made again.
    ///
    /// Whoever reads meanwhile keeps it waiting; the next one who asks tries again.
    fn start_again_if_due(&self) -> Result<()> {
        let looked = self.engine.try_read();
        let pause = looked.ok().and_then(|engine| pause_before_start(&engine));
        if !pause.map_or(Ok(false), |pause| self.may_start_again(pause))? {
            return Ok(());
        }
        let Ok(mut engine) = self.engine.try_write() else {
            return Ok(());
        };
        if pause_before_start(&engine).is_some() {
            *self.last_start() = Some(Instant::now());
            self.stop(&mut engine);
            *engine = Some(self.start_engine(&mut |_| {})?);
            tracing::info!("catalog and index were opened again");
        }
        Ok(())
    }

    fn may_start_again(&self, pause: Duration) -> Result<bool> {
        let is_soon = |at: Instant| at.elapsed() < pause;
        if self.last_start().is_some_and(is_soon) {
            return Ok(false);
        }
        let room = self.disk.room().on("ask for the room of", "the disk")?;
        Ok(room::for_mail(&room, 0).is_ok())
    }

    fn last_start(&self) -> MutexGuard<'_, Option<Instant>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the threads. Once catalog and index are gone, nothing but what is noted here tells a last batch that was damaged from one
    /// that a crash tore.
    fn stop(&self, engine: &mut Option<Engine>) {
        let leaves = engine.as_ref().map_or(0, |engine| engine.shared.leaves());
        self.durable.fetch_max(leaves, Ordering::SeqCst);
        drop(engine.take());
    }

    fn start_engine(&self, watch: &mut dyn FnMut(Watermark)) -> Result<Engine> {
        Engine::start(
            self.disk.clone(),
            self.copies.clone(),
            self.identity.archive,
            self.signer.clone(),
            self.options.clone(),
            self.durable.load(Ordering::SeqCst),
            watch,
        )
    }

    /// Where large mail waits on its way in.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Settings, accounts and keys.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Who this disk is.
    pub fn identity(&self) -> Identity {
        self.copies.turn().identity().clone()
    }

    /// The second disk while every batch is on it before it is answered.
    pub fn copy_in_step(&self) -> Option<Arc<dyn Disk>> {
        self.copies.copy_in_step().cloned()
    }

    /// What the second disk is to the archive now; none when there is no second disk.
    pub fn copy_state(&self) -> Option<CopyState> {
        self.copies.state()
    }

    /// The key that checks this archive's checkpoints.
    pub fn key(&self) -> &Verifier {
        self.signer.verifier()
    }

    /// The origin of this archive's checkpoints.
    pub fn origin(&self) -> String {
        origin_of(&self.identity.archive)
    }

    /// Tells whether mail would be taken now, so that a sender need not send it in vain.
    ///
    /// # Errors
    /// Why it would not: `Rebuilding`, `Latched`, `Full`.
    pub fn takes_mail(&self) -> Result<()> {
        self.engine()?.shared.check_latch()?;
        let room = self.disk.room().on("ask for the room of", "the disk")?;
        room::for_mail(&room, 0)
    }

    /// Takes a message in; it is durable once the answer is there.
    ///
    /// # Errors
    /// Only passing ones or those of the disk: no message is refused for what it holds.
    pub fn deposit(&self, body: Body, deposit: Deposit) -> Result<Pending<Receipt>> {
        let means = Means {
            spool: &self.spool,
            is_kept: &|digest| self.keeps(digest),
        };
        let mut prepared = prepare::prepare(means, body, deposit)?;
        let (answer, pending) = Answer::new();
        let engine = self.engine()?;
        let digest = prepared.message.digest;
        prepared.lost = Lost::find(&engine.shared, &digest, prepared.brought())?;
        engine.queue.put(Work::Deposit(Box::new(prepared), answer));
        Ok(pending)
    }

    /// Tells whether a content is durable and, as far as damage is known, whole.
    fn keeps(&self, digest: &Digest) -> Result<bool> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        Ok(view.content(digest)?.is_some()
            && lost::place_of_lost(&engine.shared, &view, digest)?.is_none())
    }

    /// Writes an entry of the audit log.
    pub fn log(&self, actor: u64, event: Event) -> Result<Pending<u64>> {
        let (answer, pending) = Answer::new();
        self.engine()?
            .queue
            .put(Work::Log(Box::new((actor, event)), answer));
        Ok(pending)
    }

    /// Makes everything last that is only derived, so that the next start has nothing to catch up with.
    pub fn flush(&self) -> Result<()> {
        let (answer, pending) = Answer::new();
        let engine = self.engine()?;
        engine.queue.put(Work::Flush(answer));
        pending.wait()?;
        engine.shared.wait_indexed()
    }

    /// Signs the tree head if the tree has grown; gives the newest checkpoint.
    pub fn checkpoint(&self) -> Result<CheckpointRecord> {
        match self.newest_checkpoint() {
            Err(error @ Error::Damaged { .. }) => {
                // Another one is signed only over a tree that has grown.
                let text = format!("the newest checkpoint cannot be read: {error}");
                let alarm = Event::alarm(AlarmKind::CheckpointDamaged, text);
                self.log(0, alarm)?.wait()?;
                self.newest_checkpoint()
            }
            other => other,
        }
    }

    fn newest_checkpoint(&self) -> Result<CheckpointRecord> {
        let (answer, pending) = Answer::new();
        let engine = self.engine()?;
        engine.queue.put(Work::Checkpoint(answer));
        pending.wait()?;
        let view = engine.shared.catalog.read()?;
        let (_, place) = view
            .last_checkpoint(u64::MAX)?
            .ok_or_else(|| Error::NotFound("a checkpoint: the archive is empty".to_owned()))?;
        engine.shared.reader.checkpoint(&view, place)
    }

    /// Searches what the asker may see.
    ///
    /// `fresh` waits until everything that is in the archive can be found.
    pub fn search(
        &self,
        query: &Query,
        asker: &Asker,
        page: Page,
        self_tests: bool,
        fresh: bool,
    ) -> Result<Found> {
        let engine = self.engine()?;
        let mut lacks_from = None;
        if fresh && let Err(error) = engine.shared.wait_indexed() {
            // On a full disk searches go on with what the index has.
            error.is_full().then_some(()).ok_or(error)?;
            lacks_from = Some(engine.shared.indexed() + 1);
        }
        let found = engine.index.search(query, asker, page, self_tests)?;
        Ok(Found {
            lacks_from,
            ..found
        })
    }

    /// Numbers of all messages that match, in ascending order.
    pub fn matching(&self, query: &Query, asker: &Asker) -> Result<Vec<u64>> {
        let engine = self.engine()?;
        engine.shared.wait_indexed()?;
        engine.index.all(query, asker, false)
    }

    /// The facts about a message that lists show.
    pub fn summary(&self, number: u64) -> Result<Summary> {
        let summary = self.engine()?.shared.catalog.read()?.summary(number)?;
        summary.ok_or_else(|| Error::NotFound(format!("message {number}")))
    }

    /// Brings the facts about messages into memory that [`Store::summary`] will be asked for; at most those of a page.
    pub fn fetch_summaries(&self, numbers: &[u64]) -> Result<()> {
        let page = &numbers[..numbers.len().min(FETCHED_SUMMARIES_MAX)];
        self.engine()?.shared.catalog.read()?.fetch_summaries(page);
        Ok(())
    }

    /// The number of the message with this digest.
    pub fn number_of(&self, digest: &Digest) -> Result<u64> {
        let number = self.engine()?.shared.catalog.read()?.message(digest)?;
        number.ok_or_else(|| Error::NotFound(format!("a message with digest {digest}")))
    }

    /// Messages with the same Message-ID but other bytes.
    pub fn linked(&self, number: u64) -> Result<Vec<u64>> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let summary = view
            .summary(number)?
            .ok_or_else(|| Error::NotFound(format!("message {number}")))?;
        if summary.message_id.is_empty() {
            return Ok(Vec::new());
        }
        let mut linked = Vec::new();
        for other in view.messages_with_id(&summary.message_id)? {
            // The table's key is a part of a digest only.
            let same = view
                .summary(other)?
                .is_some_and(|other| other.message_id == summary.message_id);
            if other != number && same {
                linked.push(other);
            }
        }
        Ok(linked)
    }

    /// Messages that differ from this one only in line ends or trace fields, itself included: the first hundred.
    pub fn copies(&self, number: u64) -> Result<Vec<u64>> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let summary = view
            .summary(number)?
            .ok_or_else(|| Error::NotFound(format!("message {number}")))?;
        view.group(&summary.group, COPIES_MAX)
    }

    /// Tells whether the asker may see a message; a number that nothing has is answered in the same way and as fast.
    pub fn sees(&self, number: u64, asker: &Asker) -> Result<bool> {
        let found = self
            .engine()?
            .index
            .all(&Query::Number(number), asker, false)?;
        Ok(!found.is_empty())
    }

    /// Parts the hidden recipients of a message that the asker may see: those that are shown to him, and the others.
    pub fn hidden_recipients(
        &self,
        number: u64,
        asker: &Asker,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let document = read_document(&engine.shared, &view, number)?;
        let addresses = |people: &[Person]| -> Vec<String> {
            people.iter().map(|one| one.address.clone()).collect()
        };
        let visible = [addresses(&document.to), addresses(&document.cc)].concat();
        // Whatever released the message to him has found it already.
        let found_by: Vec<Query> = match asker {
            Asker::Granted { scopes, .. } => {
                scopes.iter().map(|scope| scope.query.clone()).collect()
            }
            _ => Vec::new(),
        };
        let facts = access::Facts {
            visible: &texts(&visible),
            hidden: &texts(&document.hidden),
            senders: &texts(&document.senders),
            at: document.arrived_at,
            number,
            found_by: &found_by,
        };
        let shown = access::hidden_recipients_shown(asker, &facts);
        let parts = document.hidden.iter().cloned();
        Ok(parts.partition(|hidden| shown.contains(&hidden.as_str())))
    }

    /// Reads a leaf.
    pub fn leaf(&self, sequence: u64) -> Result<StoredLeaf> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        engine.shared.reader.leaf(&view, sequence)
    }

    /// Reads the entries of the audit log with numbers in a range, in their order; those that cannot be read are left out.
    pub fn events(&self, numbers: Range<u64>, mut take: impl FnMut(LeafHead, Event)) -> Result<()> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        for number in numbers {
            if !matches!(view.leaf(number)?, Some((RecordKind::Event, _))) {
                continue;
            }
            match engine.shared.reader.leaf(&view, number) {
                Ok(StoredLeaf { leaf, .. }) => {
                    if let LeafBody::Event(event) = leaf.body {
                        take(leaf.head, *event);
                    }
                }
                // Verify names it.
                Err(Error::Damaged { .. } | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The time by the clock that every record carries.
    pub fn now(&self) -> Moment {
        (self.options.clock)()
    }

    /// Reads all receptions of a message that can be read, with their numbers, in the order in which they came.
    pub fn receptions(&self, number: u64) -> Result<Vec<(u64, Reception)>> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        engine.shared.reader.message(&view, number)?;
        let numbers = std::iter::once(number + 1).chain(view.further_receptions(number)?);
        let reception = |number| match engine.shared.reader.reception(&view, number) {
            Ok((_, reception)) => Some(Ok((number, reception))),
            // Verify names it; the message and its other arrivals are still to be seen.
            Err(Error::Damaged { .. } | Error::NotFound(_)) => None,
            Err(error) => Some(Err(error)),
        };
        numbers.filter_map(reception).collect()
    }

    /// Reads a message exactly as it came; the number may also be that of one of its receptions.
    pub fn message(&self, number: u64) -> Result<Body> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let reader = &engine.shared.reader;
        let number = match view.leaf(number)? {
            Some((RecordKind::Reception, _)) => match reader.leaf(&view, number)?.leaf.body {
                LeafBody::Reception { message, .. } => message,
                _ => number,
            },
            _ => number,
        };
        let message = reader.message(&view, number)?;
        self.hand_out(|writer| reader.write_message(&view, &message, writer))
    }

    /// Puts bytes together in the spool, or, since reading goes on when the disk is full, in memory.
    fn hand_out(&self, write: impl Fn(&mut SpoolWriter<'_>) -> Result<()>) -> Result<Body> {
        let attempt = |mut writer: SpoolWriter<'_>| {
            write(&mut writer)?;
            writer.finish()
        };
        match attempt(self.spool.writer()) {
            // An error of the writer comes back as one of the body.
            Err(error) if error.is_full() || matches!(error, Error::Body(_)) => {
                attempt(self.spool.memory_writer()?)
            }
            other => other,
        }
    }

    /// Reads the journal report that a reception came in, exactly as it came.
    pub fn journal_report(&self, reception: u64) -> Result<Body> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let reader = &engine.shared.reader;
        let LeafBody::Reception {
            message, reception, ..
        } = reader.leaf(&view, reception)?.leaf.body
        else {
            return Err(Error::NotFound(format!(
                "number {reception} is no reception"
            )));
        };
        let none =
            || Error::NotFound("a journal report: this reception came without one".to_owned());
        let journal = reception.journal.as_ref().ok_or_else(none)?;
        let message = reader.message(&view, message)?;
        self.hand_out(|writer| reader.write_report(&view, &message, journal, writer))
    }

    /// Reads the beginning of a message, for snippets.
    pub fn beginning(&self, number: u64) -> Result<mail::Reading> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let reader = &engine.shared.reader;
        reader.beginning(&view, number, BEGINNING_BYTES_MAX)
    }

    /// Reads leaves with the proofs that they are in the tree of a checkpoint: that of `tree_size` leaves, or the newest without.
    pub fn prove(&self, sequences: &[u64], tree_size: Option<u64>) -> Result<Vec<ProvenLeaf>> {
        let checkpoint = match tree_size {
            Some(size) => self.checkpoint_of(size)?,
            None => self.checkpoint()?,
        };
        let note: Note = checkpoint
            .note
            .parse()
            .map_err(|error| Error::Proof(format!("the checkpoint: {error}")))?;
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let prove = |sequence: &u64| {
            let leaf = engine.shared.reader.leaf(&view, *sequence)?;
            let index = sequence - 1;
            let path = inclusion_proof(&view, index, checkpoint.tree_size)
                .map_err(|error| Error::Proof(error.to_string()))?;
            let extra = leaf.proof_extra();
            let proof = Proof {
                extra: Some(extra),
                index,
                path,
                checkpoint: note.clone(),
            };
            Ok(ProvenLeaf { leaf, proof })
        };
        sequences.iter().map(prove).collect()
    }

    /// Reads the checkpoint of a tree of this many leaves.
    fn checkpoint_of(&self, tree_size: u64) -> Result<CheckpointRecord> {
        let engine = self.engine()?;
        let view = engine.shared.catalog.read()?;
        let (_, place) = view
            .last_checkpoint(tree_size)?
            .filter(|(size, _)| *size == tree_size)
            .ok_or_else(|| Error::NotFound(format!("a checkpoint of {tree_size} entries")))?;
        engine.shared.reader.checkpoint(&view, place)
    }

    /// Sums over the archive.
    pub fn totals(&self) -> Result<Totals> {
        self.engine()?.shared.catalog.read()?.totals()
    }

    /// Where mail came from, by kind and name.
    pub fn sources(&self) -> Result<Vec<Source>> {
        self.engine()?.shared.catalog.read()?.sources()
    }

    /// What came from where in hours since 1970, by hour and source.
    pub fn hours(&self, hours: Range<u32>) -> Result<Vec<HourOfSource>> {
        self.engine()?.shared.catalog.read()?.hours(hours)
    }

    /// When the sealed volumes were read and checked: those of this disk, and those of the follower.
    pub fn volumes_read(&self) -> Result<(VolumesRead, VolumesRead)> {
        let view = self.engine()?.shared.catalog.read()?;
        let (mut own, mut copy) = (VolumesRead::default(), VolumesRead::default());
        for number in 1..view.watermark()?.volume {
            let entry = view.volume(number)?.unwrap_or_default();
            own.add(entry.read_at_us);
            copy.add(entry.copy_read_at_us);
        }
        Ok((own, copy))
    }

    /// Tree size of the newest checkpoint; none is signed for it.
    pub fn newest_checkpoint_size(&self) -> Result<Option<u64>> {
        let view = self.engine()?.shared.catalog.read()?;
        Ok(view.last_checkpoint(u64::MAX)?.map(|(size, _)| size))
    }

    /// Number of leaves in the archive, and how many of them searches can find.
    pub fn progress(&self) -> Result<(u64, u64)> {
        let engine = self.engine()?;
        Ok((engine.shared.leaves(), engine.shared.indexed()))
    }

    /// Bytes of work that waits for the committer.
    pub fn waiting_bytes(&self) -> Result<u64> {
        Ok(self.engine()?.queue.weight_bytes())
    }

    /// Bytes on the disk.
    pub fn disk_use(&self) -> Result<DiskUse> {
        let name = |text: &str| Path::new(text).to_owned();
        Ok(DiskUse {
            volumes_bytes: self.folder_bytes(volume::FOLDER)?,
            catalog_bytes: self.file_bytes(&name(&catalog::file_name()))?,
            index_bytes: self.folder_bytes(&index::folder_name())?,
            state_bytes: self.file_bytes(&name("state.redb"))?,
            available_bytes: self
                .disk
                .room()
                .on("ask for the room of", "the disk")?
                .available_bytes,
        })
    }

    fn folder_bytes(&self, folder: &str) -> Result<u64> {
        let names = self.disk.list(Path::new(folder)).on("list", folder)?;
        // A file of the index may be merged away between listing and asking.
        Ok(names
            .iter()
            .map(|name| self.file_bytes(name).unwrap_or(0))
            .sum())
    }

    fn file_bytes(&self, name: &Path) -> Result<u64> {
        let file = self
            .disk
            .open(name, crate::disk::Open::Read)
            .on("open", name.display())?;
        file.len().on("read", name.display())
    }

    /// Makes catalog and index again from the volumes; meanwhile everything else is refused as passing.
    pub fn rebuild(&self, watch: &mut dyn FnMut(u64)) -> Result<()> {
        let mut engine = self
            .engine
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.stop(&mut engine);
        remove_catalog(&*self.disk)?;
        remove_index(&*self.disk)?;
        let mut watch = |position: Watermark| watch(position.leaves);
        let new = self.start_engine(&mut watch)?;
        let indexed = new.shared.wait_indexed();
        *engine = Some(new);
        drop(engine);
        indexed?;
        self.log(
            0,
            Event {
                kind: EventKind::Rebuilt,
                ..Event::default()
            },
        )?
        .wait()
        .map(drop)
    }

    /// Recompresses all sealed volumes now, with the open one sealed before if `seal` is set.
    ///
    /// `watch` is told how many bytes were read, and of how many.
    pub fn recompress(&self, seal: bool, watch: &mut dyn FnMut(u64, u64)) -> Result<Recompressed> {
        let engine = self.engine()?;
        if seal {
            let (answer, pending) = Answer::new();
            engine.queue.put(Work::Seal(answer));
            pending.wait()?;
        }
        upkeep::recompress_now(&engine.shared, watch)
    }

    /// Mends what does not hold in the volumes of this disk from another copy of the archive, and the other way round.
    ///
    /// What was mended is written into the audit log. `watch` is told how many volumes of how many are done.
    ///
    /// # Errors
    /// `NotAnArchive` when the disk holds no copy of this archive. What cannot be mended is no error.
    pub fn mend(&self, copy: &dyn Disk, watch: &mut dyn FnMut(u64, u64)) -> Result<MendReport> {
        mend::check_copy(copy, &self.identity.archive)?;
        self.mend_with(Other::Apart(copy), watch)
    }

    /// As [`Store::mend`], with the copy that is in step.
    ///
    /// # Errors
    /// `Follower` when there is none.
    pub fn mend_in_step(&self, watch: &mut dyn FnMut(u64, u64)) -> Result<MendReport> {
        let copy = self.copies.patient_copy_in_step()?;
        let none = || Error::Follower("there is no copy in step; name another one".to_owned());
        self.mend_with(Other::Follower(&copy.ok_or_else(none)?), watch)
    }

    fn mend_with(&self, other: Other<'_>, watch: &mut dyn FnMut(u64, u64)) -> Result<MendReport> {
        let report = mend::mend_all(&self.engine()?.shared, other, watch)?;
        for event in mend::events(&report) {
            self.log(0, event)?.wait()?;
        }
        Ok(report)
    }

    /// Waits until the archive has so many leaves.
    #[cfg(test)]
    pub(crate) fn wait_for_leaves(&self, leaves: u64) {
        let shared = self.engine().expect("open").shared.clone();
        let limit = std::time::Duration::from_secs(60);
        shared.wait_for(Some(limit), |progress| progress.leaves >= leaves);
        assert!(shared.leaves() >= leaves, "nothing comes");
    }

    /// Waits until searches find everything, also when the index had no room before.
    #[cfg(test)]
    pub(crate) fn wait_for_index(&self) {
        let shared = self.engine().expect("open").shared.clone();
        let (limit, leaves) = (Duration::from_secs(60), shared.leaves());
        // It says so when the index had no room; then that is looked at again.
        let _ = shared.wait_indexed();
        shared.wait_for(Some(limit), |progress| progress.indexed >= leaves);
        assert!(shared.indexed() >= leaves, "the index does not follow");
    }

    /// Waits until so many sealed volumes have become other files.
    #[cfg(test)]
    pub(crate) fn wait_for_swaps(&self, count: u64) {
        let limit = std::time::Duration::from_secs(60);
        assert!(
            self.copies.wait_for_swaps(limit, count),
            "nothing is swapped"
        );
    }

    /// Copies catalog and index to the follower now, as upkeep does at times.
    #[cfg(test)]
    pub(crate) fn copy_derived(&self) -> Result<bool> {
        let engine = self.engine()?;
        crate::derived::copy(&engine.shared, &engine.index, &mut |_| true)
    }

    /// What does not hold on either disk, as far as they were read since the archive was opened.
    pub fn known_damage(&self) -> Result<Vec<Damaged>> {
        Ok(self.engine()?.shared.damage.list())
    }

    /// Reads the whole archive and checks it; it changes nothing but what is known of damage.
    pub fn verify(
        &self,
        how: &crate::verify::VerifyOptions,
        watch: &mut dyn FnMut(u64, u64),
    ) -> Result<crate::verify::VerifyReport> {
        let engine = self.engine()?;
        let mut report = crate::verify::verify(
            &engine.shared,
            self.identity.archive,
            self.key(),
            how,
            watch,
        )?;
        engine.shared.damage.note_own(&report.findings);
        if let Err(error) = known_damage::keep(&engine.shared) {
            tracing::warn!(%error, "damage that was found is known only until the archive is closed");
        }
        report.findings.extend(index_findings(&engine.index));
        Ok(report)
    }
}

fn texts(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// How long it takes at least from one start of catalog and index to the next; none while they need none.
fn pause_before_start(engine: &Option<Engine>) -> Option<Duration> {
    match engine {
        Some(engine) if engine.shared.is_damaged() => Some(MEND_AGAIN_AFTER),
        Some(engine) if !engine.shared.waits_for_room() => None,
        _ => Some(START_AGAIN_AFTER),
    }
}

/// Says which files of the index do not hold.
fn index_findings(index: &Index) -> Vec<Finding> {
    let finding = |place: &Path, what: String| Finding {
        place: place.display().to_string(),
        offset: None,
        numbers: Vec::new(),
        what: format!("{what}; run coffer rebuild"),
    };
    let folder = PathBuf::from(index::folder_name());
    match index.damaged_files() {
        Ok(files) => files
            .iter()
            .map(|file| finding(&folder.join(file), "its checksum does not hold".to_owned()))
            .collect(),
        Err(error) => vec![finding(&folder, chain(&error))],
    }
}

/// The engine while it is used.
struct EngineGuard<'a>(RwLockReadGuard<'a, Option<Engine>>);

impl std::ops::Deref for EngineGuard<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.0.as_ref().expect("checked when the guard was made")
    }
}

/// Lets the second disk follow, or goes on alone; the membership is durable then.
fn follow(
    copies: &Arc<Copies>,
    state: &Arc<State>,
    meeting: Option<Meeting>,
) -> Result<Option<Following>> {
    let following = match meeting {
        Some(Meeting::Joins) => Some(Following::start(copies, state.clone(), true)?),
        Some(Meeting::JoinsLater) => Some(Following::start(copies, state.clone(), false)?),
        Some(Meeting::Apart(apart)) => {
            stay_apart(copies, apart);
            None
        }
        None => None,
    };
    match copies.state() {
        Some(CopyState::InStep) => {}
        Some(state) => copies.turn().go_on_alone(state.to_string())?,
        None => {
            let reason = "the archive was opened without its copy".to_owned();
            copies.turn().go_on_alone(reason)?;
        }
    }
    Ok(following)
}

/// Writes the identity of a new archive, unless the directory holds something else.
fn new_archive(disk: &dyn Disk, copy: Option<&Patient>) -> Result<Identity> {
    if let Some(copy) = copy
        && Identity::read(copy)?.is_some()
    {
        let why = "it holds an archive, but the archive's own directory is empty; start with the copy's directory as \
                   the archive, and this one as its copy";
        return Err(Error::Follower(why.to_owned()));
    }
    if let Some(stranger) = identity::stranger(disk)? {
        let what = format!(
            "the directory has no identity file, but it holds: {}",
            stranger.display()
        );
        return Err(Error::NotAnArchive(what));
    }
    let identity = Identity::new();
    identity::write_readme(disk)?;
    identity.write(disk)?;
    Ok(identity)
}

fn signer(identity: &Identity, seed: &[u8]) -> Result<Signer> {
    let how = "the signing key in state.redb is not 32 bytes long".to_owned();
    let bad = Error::Damaged {
        name: "state.redb".to_owned(),
        offset: 0,
        how,
    };
    let seed: [u8; 32] = seed.try_into().map_err(|_| bad)?;
    Signer::from_seed(&origin_of(&identity.archive), &seed)
        .map_err(|error| Error::Proof(error.to_string()))
}
