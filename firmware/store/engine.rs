//! The running archive: what the threads share, and how they are started and stopped.

use crate::catalog::{Catalog, Watermark};
use crate::changes;
use crate::committer::Committer;
use crate::copies::Copies;
use crate::disk::{BESIDE_SUFFIX, Disk, beside};
use crate::error::{DiskContext, Error, Result, chain};
use crate::index::{DiskDirectory, Document, Index};
use crate::indexer::Indexer;
use crate::known_damage::{self, KnownDamage};
use crate::leaf::Moment;
use crate::note::Signer;
use crate::queue::Queue;
use crate::reader::Reader;
use crate::recovery;
use crate::room;
use crate::upkeep::{self, Upkeep};
use crate::volume_files::VolumeFiles;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Documents kept for the indexer, in bytes of their text: it then need not read the messages again.
const DOCUMENT_BYTES_MAX: usize = 24 << 20;

/// Documents that recovery makes in one step, in bytes of their text: with those of the step before they can be kept.
const STEP_DOCUMENT_BYTES_MAX: usize = DOCUMENT_BYTES_MAX / 2;

/// Room for the documents of one step.
#[derive(Default)]
pub(crate) struct DocumentRoom {
    bytes: AtomicUsize,
}

impl DocumentRoom {
    /// Tells whether there is still room for this document, which then is taken.
    pub(crate) fn takes(&self, document: &Document) -> bool {
        let bytes = weight_bytes(document);
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= STEP_DOCUMENT_BYTES_MAX
    }
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// How the archive is run.
#[derive(Clone)]
pub struct Options {
    /// Tells the time; every record carries what it says.
    pub clock: Clock,
    /// The start of the machine during which we run.
    pub boot_id: [u8; 16],
    /// Length at which a volume is sealed, in bytes.
    pub volume_bytes_max: u64,
    /// Threads that take words apart for the index, at least one.
    pub index_threads: usize,
    /// Whether sealed volumes are recompressed while no mail comes.
    pub upkeep: WhenUpkeep,
    /// How long the second disk may take for a step, [`crate::FOLLOWER_PATIENCE`] but in tests.
    pub follower_patience: Duration,
}

/// When there is upkeep of volumes, and what versions with other schemas have left goes.
#[derive(Clone, Copy)]
pub enum WhenUpkeep {
    /// No upkeep; what others have left goes at once.
    Never,
    /// While no mail comes; what others have left goes at once.
    Idle,
    /// As soon as this version is not on trial any more. The version before finds its catalog and index as it left them until then, and the volumes as they
    /// know them, but longer.
    AfterTrial(fn() -> bool),
}

impl WhenUpkeep {
    /// Whether a version before this one may have to go on with what it left.
    pub(crate) fn is_on_trial(self) -> bool {
        match self {
            Self::Never | Self::Idle => false,
            Self::AfterTrial(is_on_trial) => is_on_trial(),
        }
    }
}

/// Length at which a volume is sealed, in bytes: read again as a whole in a second, and small against any disk.
pub const VOLUME_BYTES_MAX: u64 = 256 << 20;

/// What all threads of the archive share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) archive_id: [u8; 16],
    pub(crate) copies: Arc<Copies>,
    pub(crate) catalog: Catalog,
    pub(crate) files: Arc<VolumeFiles>,
    pub(crate) reader: Reader,
    pub(crate) signer: Arc<Signer>,
    pub(crate) clock: Clock,
    pub(crate) boot_id: [u8; 16],
    pub(crate) options: Options,
    pub(crate) upkeep: upkeep::Control,
    pub(crate) damage: Arc<KnownDamage>,
    progress: Mutex<Progress>,
    moved: Condvar,
    /// Why nothing more is taken until the archive is opened again.
    latched: OnceLock<Latch>,
}

/// Why nothing more is taken.
struct Latch {
    why: String,
    /// The catalog failed for want of room.
    for_room: bool,
    /// The catalog does not hold.
    for_damage: bool,
}

/// How far the archive and the index have come.
#[derive(Default)]
pub(crate) struct Progress {
    /// Leaves that are durable and in the catalog.
    pub(crate) leaves: u64,
    /// Leaves that searches can find.
    pub(crate) indexed: u64,
    /// Somebody waits for the index to reach this many leaves.
    pub(crate) wanted: u64,
    /// The indexer waits for this many leaves; none while it does not wait for any.
    wakes_at: Option<u64>,
    /// New messages on their way to the index, by number.
    documents: BTreeMap<u64, Document>,
    document_bytes: usize,
    /// Why the index goes no further.
    pub(crate) index_failure: Option<String>,
    /// It goes no further because its files do not hold.
    index_is_damaged: bool,
    /// The index waits for room on the disk.
    stalled: bool,
    closing: bool,
}

impl Progress {
    /// Takes the document of a new message, if it is still there.
    fn take_document(&mut self, sequence: u64) -> Option<Document> {
        // What lies before was passed over.
        let rest = self.documents.split_off(&sequence);
        let passed = std::mem::replace(&mut self.documents, rest);
        let document = self.documents.remove(&sequence);
        let bytes = |document: &Document| weight_bytes(document);
        self.document_bytes -= passed.values().chain(&document).map(bytes).sum::<usize>();
        document
    }

    /// Tells whether there is room for the documents of another step of recovery.
    fn takes_another_step(&self) -> bool {
        self.document_bytes <= DOCUMENT_BYTES_MAX - STEP_DOCUMENT_BYTES_MAX
    }
}

fn weight_bytes(document: &Document) -> usize {
    document.body.len() + document.subject.len() + 1024
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the indexer that there are new leaves.
    pub(crate) fn publish(&self, leaves: u64, documents: Vec<Document>) {
        let mut progress = self.progress();
        progress.leaves = leaves;
        for document in documents {
            let bytes = progress.document_bytes + weight_bytes(&document);
            if bytes <= DOCUMENT_BYTES_MAX {
                progress.document_bytes = bytes;
                progress.documents.insert(document.sequence, document);
            }
        }
        let is_awaited = progress.wakes_at.is_some_and(|awaited| leaves >= awaited);
        drop(progress);
        // Whoever wakes up while the lock is held has to wait again.
        if is_awaited {
            self.moved.notify_all();
        }
    }

    /// Says that nothing more is taken; the first reason is the one that counts.
    pub(crate) fn latch(&self, error: &Error) {
        let _ = self.latched.set(Latch {
            why: chain(error),
            for_room: error.is_full_database()
                || error.is_database_latched() && self.catalog.has_lacked_room(),
            for_damage: error.is_spoiled_database(),
        });
    }

    /// Tells whether work is taken again once there is room and catalog and index were opened anew.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.latched.get().is_some_and(|latch| latch.for_room)
    }

    /// Tells whether work is taken.
    ///
    /// # Errors
    /// `Latched` when it is not.
    pub(crate) fn check_latch(&self) -> Result<()> {
        match self.latched.get() {
            Some(latch) => Err(Error::Latched(latch.why.clone())),
            None => Ok(()),
        }
    }

    /// Number of leaves that are durable and in the catalog.
    pub(crate) fn leaves(&self) -> u64 {
        self.progress().leaves
    }

    /// How far the index has come.
    pub(crate) fn indexed(&self) -> u64 {
        self.progress().indexed
    }

    /// Takes the document of a new message, if it is still in memory.
    pub(crate) fn take_document(&self, sequence: u64) -> Option<Document> {
        let mut progress = self.progress();
        let was_full = !progress.takes_another_step();
        let document = progress.take_document(sequence);
        if was_full && progress.takes_another_step() {
            self.moved.notify_all();
        }
        document
    }

    /// Says how far searches can find.
    pub(crate) fn set_indexed(&self, leaves: u64) {
        self.progress().indexed = leaves;
        self.moved.notify_all();
    }

    /// Says whether the index waits for room on the disk.
    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.progress().stalled = stalled;
        self.moved.notify_all();
    }

    /// Says that the index goes no further, and whether that is because its files do not hold.
    pub(crate) fn index_failed(&self, why: String, is_damaged: bool) {
        let mut progress = self.progress();
        progress.index_failure = Some(why);
        progress.index_is_damaged = is_damaged;
        drop(progress);
        self.moved.notify_all();
    }

    /// Tells whether catalog or index do not hold, and are mended or made again once they were opened anew.
    pub(crate) fn is_damaged(&self) -> bool {
        let latched = self.latched.get();
        latched.is_some_and(|latch| latch.for_damage) || self.progress().index_is_damaged
    }

    /// Says how much room the index waits for.
    fn no_room_for_the_index(&self) -> Error {
        match self.disk.room().on("ask for the room of", "the disk") {
            Ok(room) => Error::Full {
                available_bytes: room.available_bytes,
                needed_bytes: room::margin(&room) / 2,
            },
            Err(error) => error,
        }
    }

    /// Waits until searches find everything that is in the archive now.
    ///
    /// # Errors
    /// When the index goes no further; `Full` when it waits for room.
    pub(crate) fn wait_indexed(&self) -> Result<()> {
        let mut progress = self.progress();
        let wanted = progress.leaves;
        progress.wanted = progress.wanted.max(wanted);
        self.moved.notify_all();
        while progress.indexed < wanted {
            if let Some(why) = &progress.index_failure {
                return Err(Error::Latched(why.clone()));
            }
            if progress.closing {
                return Err(Error::Closed);
            }
            if progress.stalled {
                return Err(self.no_room_for_the_index());
            }
            progress = self
                .moved
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Tells whether somebody waits for the index to reach just this many leaves.
    pub(crate) fn is_wanted(&self, added: u64) -> bool {
        let progress = self.progress();
        progress.wanted > progress.indexed && added >= progress.wanted
    }

    /// Waits until the indexer has room for the documents of another step, if it goes on at all.
    pub(crate) fn wait_for_indexer(&self) {
        let mut progress = self.progress();
        while !progress.takes_another_step()
            && progress.index_failure.is_none()
            && !progress.stalled
            && !progress.closing
        {
            progress = self
                .moved
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits like [`Shared::wait_for`], at most until there are so many leaves; only the indexer may.
    pub(crate) fn wait_for_leaves(
        &self,
        limit: Option<Duration>,
        leaves: u64,
        is_due: impl Fn(&Progress) -> bool,
    ) -> bool {
        self.progress().wakes_at = Some(leaves);
        let closing = self.wait_for(limit, |progress| {
            progress.leaves >= leaves || is_due(progress)
        });
        self.progress().wakes_at = None;
        closing
    }

    /// Waits, for a limited time, until `is_due` says so or the archive is closed; tells whether it is being closed.
    ///
    /// `is_due` is asked when something else changed than the number of leaves.
    pub(crate) fn wait_for(
        &self,
        limit: Option<Duration>,
        is_due: impl Fn(&Progress) -> bool,
    ) -> bool {
        let mut progress = self.progress();
        let end = limit.map(|limit| Instant::now() + limit);
        while !progress.closing && !is_due(&progress) {
            let rest = end.map(|end| end.saturating_duration_since(Instant::now()));
            progress = match rest {
                None => self
                    .moved
                    .wait(progress)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(rest) if rest.is_zero() => break,
                Some(rest) => {
                    self.moved
                        .wait_timeout(progress, rest)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        progress.closing
    }

    /// Tells whether the archive is being closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.progress().closing
    }

    fn close(&self) {
        self.progress().closing = true;
        self.moved.notify_all();
    }
}

/// The running threads of an archive.
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: Index,
    pub(crate) queue: Queue,
    committer: Option<JoinHandle<()>>,
    indexer: Option<JoinHandle<()>>,
    upkeep: Option<JoinHandle<()>>,
}

impl Engine {
    /// Catches up with the volumes and starts the threads; a catalog or index that does not hold is made again.
    ///
    /// `durable` is how many leaves the caller knows to have been durable, beside what catalog and index tell.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        copies: Arc<Copies>,
        archive_id: [u8; 16],
        signer: Arc<Signer>,
        options: Options,
        durable: u64,
        watch: &mut dyn FnMut(Watermark),
    ) -> Result<Self> {
        let start = |watch: &mut dyn FnMut(Watermark)| {
            Self::start_on(
                disk.clone(),
                copies.clone(),
                archive_id,
                signer.clone(),
                options.clone(),
                durable,
                watch,
            )
        };
        let started = match start(watch) {
            Err(error) if error.is_catalog_damage() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the catalog is damaged and is made again"
                );
                remove_catalog(&*disk)?;
                start(watch)
            }
            Err(error @ Error::Index { .. }) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the index is damaged and is made again"
                );
                remove_index(&*disk)?;
                start(watch)
            }
            started => started,
        }?;
        if !matches!(options.upkeep, WhenUpkeep::AfterTrial(_)) {
            remove_other_schemas(&*disk);
        }
        Ok(started)
    }

    fn start_on(
        disk: Arc<dyn Disk>,
        copies: Arc<Copies>,
        archive_id: [u8; 16],
        signer: Arc<Signer>,
        options: Options,
        durable: u64,
        watch: &mut dyn FnMut(Watermark),
    ) -> Result<Self> {
        changes::finish(&*disk)?;
        remove_half_copied(&*disk)?;
        let files = Arc::new(VolumeFiles::new(disk.clone()));
        // What is read ahead of the index comes while the catalog is opened.
        let directory = open_directory(&disk)?;
        let index = Index::open(directory.clone())?;
        let catalog = Catalog::open(&*disk, files.clone())?;
        let damage = Arc::new(KnownDamage::default());
        let shared = Arc::new(Shared {
            reader: Reader::new(files.clone(), damage.clone()),
            files,
            disk,
            archive_id,
            copies,
            catalog,
            signer,
            clock: options.clock.clone(),
            boot_id: options.boot_id,
            options,
            upkeep: upkeep::Control::default(),
            damage,
            progress: Mutex::default(),
            moved: Condvar::new(),
            latched: OnceLock::new(),
        });
        let durable = index.watermark()?.unwrap_or(0).max(durable);
        let indexer = Indexer::open(shared.clone(), &index, &directory)?;
        // It follows while the catalog catches up: what is read for the one is at hand for the other. If that fails, it ends with this.
        let mut engine = Self {
            indexer: Some(thread("indexer", move || indexer.run())?),
            shared,
            index,
            queue: Queue::default(),
            committer: None,
            upkeep: None,
        };
        let (shared, queue) = (engine.shared.clone(), engine.queue.clone());
        let position = recovery::catch_up(&shared, archive_id, durable, watch)?;
        known_damage::recall(&shared)?;
        let committer = Committer::open(shared.clone(), queue.clone(), position)?;
        shared.publish(position.leaves, Vec::new());
        engine.committer = Some(thread("committer", move || committer.run())?);
        if !matches!(shared.options.upkeep, WhenUpkeep::Never) {
            let upkeep = Upkeep::new(shared, queue, engine.index.clone());
            engine.upkeep = Some(thread("upkeep", || upkeep.run())?);
        }
        Ok(engine)
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .on("start the thread", name)
}

/// Removes the catalog, to be made again.
pub(crate) fn remove_catalog(disk: &dyn Disk) -> Result<()> {
    let name = crate::catalog::file_name();
    if disk.exists(Path::new(&name)).on("look for", &name)? {
        disk.remove(Path::new(&name)).on("remove", &name)?;
    }
    disk.sync_dir(Path::new(""))
        .on("sync", "the data directory")
}

/// Removes the index, to be made again.
pub(crate) fn remove_index(disk: &dyn Disk) -> Result<()> {
    let folder = crate::index::folder_name();
    if disk.exists(Path::new(&folder)).on("look for", &folder)? {
        disk.remove_dir_all(Path::new(&folder))
            .on("remove", &folder)?;
    }
    disk.sync_dir(Path::new(""))
        .on("sync", "the data directory")
}

/// Removes what was not copied to the end, or made, of catalog and index.
fn remove_half_copied(disk: &dyn Disk) -> Result<()> {
    let folder = PathBuf::from(crate::index::folder_name());
    let mut names = vec![beside(Path::new(&crate::catalog::file_name()))];
    if disk.exists(&folder).on("look for", folder.display())? {
        let files = disk.list(&folder).on("list", folder.display())?;
        let is_half = |name: &PathBuf| name.to_string_lossy().ends_with(BESIDE_SUFFIX);
        names.extend(files.into_iter().filter(is_half));
    }
    for name in names {
        if disk.exists(&name).on("look for", name.display())? {
            disk.remove(&name).on("remove", name.display())?;
        }
    }
    Ok(())
}

/// Removes catalogs and indexes of other schemas, which other versions have left.
pub(crate) fn remove_other_schemas(disk: &dyn Disk) {
    if let Err(error) = try_to_remove_other_schemas(disk) {
        tracing::warn!(%error, "old catalogs or indexes could not be removed");
    }
}

fn try_to_remove_other_schemas(disk: &dyn Disk) -> Result<()> {
    let (catalog, index) = (crate::catalog::file_name(), crate::index::folder_name());
    for path in disk.list(Path::new("")).on("list", "the data directory")? {
        let name = path.to_string_lossy();
        if name.starts_with("catalog-") && !name.starts_with(&*catalog) {
            disk.remove(&path).on("remove", &*name)?;
        } else if name.starts_with("index-") && *name != *index {
            disk.remove_dir_all(&path).on("remove", &*name)?;
        }
    }
    Ok(())
}

fn open_directory(disk: &Arc<dyn Disk>) -> Result<DiskDirectory> {
    let folder = crate::index::folder_name();
    DiskDirectory::open(disk.clone(), folder.as_str()).on("open", &folder)
}

impl Drop for Engine {
    /// Commits what waits, then stops the threads.
    fn drop(&mut self) {
        self.queue.close();
        let committed = self.committer.take().map(JoinHandle::join);
        self.shared.close();
        let threads = [committed].into_iter().chain(
            [&mut self.indexer, &mut self.upkeep].map(|thread| thread.take().map(JoinHandle::join)),
        );
        // All of them are waited for.
        let ended: Vec<_> = threads.flatten().collect();
        if ended.iter().any(std::thread::Result::is_err) {
            tracing::error!("a thread of the archive ended by a panic");
        }
    }
}
