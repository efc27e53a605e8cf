//! Exports that people ask for on the page or by the API: one is written at a time, few wait, and each is kept as a file for a day.
//!
//! A job belongs to an account and to what its person could see when he asked: once he sees something else, the file is no longer
//! given. What is exported, and the entries in the log, are [`OwnMail`]'s. Files lie in the spool under no name, so
//! that they vanish with the process.

use super::{About, ExportError, ExportSource, Exported, Format, Seal, export_unnamed};
use crate::keeper::messages::{Entry, WireAsker};
use crate::keeper::{Failure, Keeper};
use crate::people::{Denial, OwnMail, People, Token};
use archive::Digest;
use archive::people::AccountId;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::Body;

/// 8 exports wait at most, of everybody together; each takes minutes at worst.
const WAITING_MAX: usize = 8;

/// 5 exports of an account, finished ones included: another one takes the place of the oldest finished one.
const ACCOUNT_JOBS_MAX: usize = 5;

/// 100 exports in all, a few kilobytes each beside their files.
const JOBS_MAX: usize = 100;

/// A day for somebody to fetch what he asked for.
const KEPT_MAX: Duration = Duration::from_secs(86_400);

/// 50,000 messages an export, ten years of a busy mailbox; who needs more has `coffer export`, or asks by year.
pub const EXPORT_MESSAGES_MAX: usize = 50_000;

/// 8 GiB of mail an export: what a zip program and a memory stick still take without complaint.
pub const EXPORT_BYTES_MAX: u64 = 8 << 30;

/// 2 GiB of the disk that exports leave for mail: finished files are given up before that.
const ROOM_LEFT_BYTES: u64 = 2 << 30;

/// A minute between two looks at what is too old, and at the room.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The form of an export's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFormat {
    /// A zip file with proofs.
    Zip,
    /// An mbox file.
    Mbox,
}

impl JobFormat {
    /// Every form.
    pub const ALL: [Self; 2] = [Self::Zip, Self::Mbox];

    /// Its name, which is the ending of its files, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Mbox => "mbox",
        }
    }

    /// Finds a form by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// Who asks for an export or for what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// His account.
    pub account: AccountId,
    /// What he sees now.
    pub asker: WireAsker,
    /// The session or token that he asks by.
    pub token: Token,
    /// The address of the peer.
    pub peer: String,
}

/// What is to be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// All that this finds.
    pub query: String,
    /// These messages instead.
    pub numbers: Option<Vec<u64>>,
    /// In which form.
    pub format: JobFormat,
}

/// An export, as its owner is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub order: Order,
    /// Where it is.
    pub state: JobState,
}

/// Where an export is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Others are before it.
    Waiting,
    /// It is being written.
    Running {
        /// Messages done.
        done: u64,
        /// Messages in all; 0 while they are sought.
        total: u64,
    },
    /// It can be fetched.
    Done {
        /// Messages in it.
        messages: u64,
        /// Messages left out: damaged, or naming hidden recipients.
        left_out: u64,
        /// Length of the file.
        file_bytes: u64,
    },
    /// It was not finished; it can be begun anew.
    BrokenOff(JobTrouble),
}

/// Why an export was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobTrouble {
    /// Its owner wanted so.
    Cancelled,
    /// More than [`EXPORT_MESSAGES_MAX`] messages.
    TooMany,
    /// More than [`EXPORT_BYTES_MAX`] bytes.
    TooLarge,
    /// The disk has no room for it.
    NoRoom,
    /// Its owner signed out, or may no longer.
    SignedOut,
    /// The archive failed.
    Failed,
}

/// Why an export is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// The query cannot be understood.
    #[error("the query cannot be searched")]
    Query,
    /// Too many wait.
    #[error("too many exports wait")]
    Busy,
}

/// The exports of an archive.
pub struct Exports {
    shared: Arc<Shared>,
    /// Tells the thread that there is something to do; made with the first order.
    wake: OnceLock<Sender<()>>,
}

struct Shared {
    keeper: Arc<dyn Keeper>,
    /// By their order.
    jobs: Mutex<BTreeMap<u64, Kept>>,
}

struct Kept {
    id: String,
    owner: Owner,
    order: Order,
    since: Instant,
    state: Standing,
    watch: Arc<Watch>,
}

/// How far a running export is, and whether it is to end.
#[derive(Default)]
struct Watch {
    done: AtomicU64,
    total: AtomicU64,
    is_cancelled: AtomicBool,
}

enum Standing {
    Waiting,
    Running,
    Done(Finished),
    BrokenOff(JobTrouble),
}

struct Finished {
    file: File,
    file_bytes: u64,
    /// The number of its entry in the log.
    entry: u64,
    exported: Exported,
}

impl Exports {
    /// Makes the exports of a keeper's archive; nothing runs before something is asked for.
    pub fn new(keeper: Arc<dyn Keeper>) -> Self {
        Self {
            shared: Arc::new(Shared {
                keeper,
                jobs: Mutex::default(),
            }),
            wake: OnceLock::new(),
        }
    }

    /// Takes an order and gives the job's id.
    ///
    /// # Errors
    /// Why it is not begun.
    pub fn begin(&self, owner: Owner, order: Order) -> Result<String, NotBegun> {
        if archive::query::parse(&order.query, 0).is_err() {
            return Err(NotBegun::Query);
        }
        let id = store::hex(&store::random::<16>());
        let mut jobs = self.shared.jobs();
        make_room(&mut jobs, owner.account)?;
        let number = jobs.last_key_value().map_or(0, |(last, _)| last + 1);
        let kept = Kept {
            id: id.clone(),
            owner,
            order,
            since: Instant::now(),
            state: Standing::Waiting,
            watch: Arc::default(),
        };
        jobs.insert(number, kept);
        drop(jobs);
        self.wake()?;
        Ok(id)
    }

    /// Number of jobs that wait or run, whoever's they are.
    pub fn under_way(&self) -> usize {
        let jobs = self.shared.jobs();
        let is_under_way =
            |kept: &&Kept| matches!(kept.state, Standing::Waiting | Standing::Running);
        jobs.values().filter(is_under_way).count()
    }

    /// Lists the jobs of somebody, the newest first.
    pub fn list(&self, owner: &Owner) -> Vec<Job> {
        let jobs = self.shared.jobs();
        let own = jobs.values().rev().filter(|kept| kept.is_of(owner));
        own.map(|kept| kept.job(owner)).collect()
    }

    /// Gives a job of somebody; none also when it is another's.
    pub fn job(&self, owner: &Owner, id: &str) -> Option<Job> {
        let jobs = self.shared.jobs();
        let own = jobs
            .values()
            .find(|kept| kept.is_of(owner) && kept.id == id);
        own.map(|kept| kept.job(owner))
    }

    /// Ends a job of somebody, or gives its file up; tells whether there was one.
    pub fn cancel(&self, owner: &Owner, id: &str) -> bool {
        self.change(owner, id, |kept| {
            kept.watch.is_cancelled.store(true, Ordering::SeqCst);
            if !matches!(kept.state, Standing::Running) {
                kept.state = Standing::BrokenOff(JobTrouble::Cancelled);
            }
        })
    }

    /// Begins a job of somebody anew that was broken off; tells whether there was one.
    pub fn again(&self, owner: &Owner, id: &str) -> bool {
        let found = self.change(owner, id, |kept| {
            if matches!(kept.standing_for(owner), Standing::BrokenOff(_)) {
                kept.owner = owner.clone();
                kept.state = Standing::Waiting;
                kept.since = Instant::now();
                kept.watch = Arc::default();
            }
        });
        found && self.wake().is_ok()
    }

    /// Gives the file of a finished job, with what it is called; that he fetches it is in the log then.
    ///
    /// # Errors
    /// `NotFound` for what is not there, is not his, or was made when he saw something else.
    pub fn fetch(&self, owner: &Owner, id: &str) -> Result<(Body, String), Failure> {
        let not_found = || Failure::NotFound("no such export".to_owned());
        let (file, length_bytes, entry, name) = {
            let jobs = self.shared.jobs();
            let kept = jobs
                .values()
                .find(|kept| kept.is_of(owner) && kept.id == id);
            let kept = kept.ok_or_else(not_found)?;
            let Standing::Done(finished) = kept.standing_for(owner) else {
                return Err(not_found());
            };
            let file = finished.file.try_clone();
            let file = file.map_err(|error| Failure::Later(error.to_string()))?;
            let name = format!("coffer-{}.{}", finished.entry, kept.order.format.name());
            (file, finished.file_bytes, finished.entry, name)
        };
        let people = People::of(&*self.shared.keeper);
        people.acting(owner.token, &owner.peer).take_export(entry)?;
        let file = Box::new(file);
        Ok((Body::File { file, length_bytes }, name))
    }

    fn change(&self, owner: &Owner, id: &str, change: impl FnOnce(&mut Kept)) -> bool {
        let mut jobs = self.shared.jobs();
        let mut all = jobs.values_mut();
        let own = all.find(|kept| kept.is_of(owner) && kept.id == id);
        own.map(change).is_some()
    }

    fn wake(&self) -> Result<(), NotBegun> {
        let wake = match self.wake.get() {
            Some(wake) => wake,
            None => {
                let (sender, woken) = channel();
                let shared = Arc::downgrade(&self.shared);
                let run = move || work(&shared, &woken);
                let thread = thread::Builder::new().name("exports".to_owned()).spawn(run);
                thread.map_err(|_| NotBegun::Busy)?;
                // Another one that was made at the same time does the same work.
                self.wake.get_or_init(|| sender)
            }
        };
        // It listens as long as the sender is there.
        let _ = wake.send(());
        Ok(())
    }
}

impl Drop for Exports {
    /// What is being written ends soon.
    fn drop(&mut self) {
        for kept in self.shared.jobs().values() {
            kept.watch.is_cancelled.store(true, Ordering::SeqCst);
        }
    }
}

/// Keeps the number of jobs within its bounds.
fn make_room(jobs: &mut BTreeMap<u64, Kept>, account: AccountId) -> Result<(), NotBegun> {
    let is_under_way = |kept: &Kept| matches!(kept.state, Standing::Waiting | Standing::Running);
    if jobs.values().filter(|kept| is_under_way(kept)).count() > WAITING_MAX {
        return Err(NotBegun::Busy);
    }
    let own = |kept: &&Kept| kept.owner.account == account;
    let is_enough = jobs.values().filter(own).count() >= ACCOUNT_JOBS_MAX;
    if !is_enough && jobs.len() < JOBS_MAX {
        return Ok(());
    }
    let oldest = jobs
        .iter()
        .find(|(_, kept)| !is_under_way(kept) && (!is_enough || own(kept)))
        .map(|(number, _)| *number);
    jobs.remove(&oldest.ok_or(NotBegun::Busy)?);
    Ok(())
}

impl Kept {
    fn is_of(&self, owner: &Owner) -> bool {
        self.owner.account == owner.account
    }

    /// Where it is for its owner, who gets nothing that was made when he saw something else.
    fn standing_for(&self, owner: &Owner) -> &Standing {
        match &self.state {
            Standing::Done(_) if self.owner.asker != owner.asker => {
                &Standing::BrokenOff(JobTrouble::SignedOut)
            }
            state => state,
        }
    }

    fn job(&self, owner: &Owner) -> Job {
        Job {
            id: self.id.clone(),
            order: self.order.clone(),
            state: match self.standing_for(owner) {
                Standing::Waiting => JobState::Waiting,
                Standing::Running => JobState::Running {
                    done: self.watch.done.load(Ordering::Relaxed),
                    total: self.watch.total.load(Ordering::Relaxed),
                },
                Standing::Done(finished) => JobState::Done {
                    messages: finished.exported.messages,
                    left_out: finished.exported.damaged.len() as u64,
                    file_bytes: finished.file_bytes,
                },
                Standing::BrokenOff(trouble) => JobState::BrokenOff(*trouble),
            },
        }
    }
}

/// Writes one export after the other until nobody can ask for any more.
fn work(shared: &Weak<Shared>, woken: &Receiver<()>) {
    loop {
        let waited = woken.recv_timeout(LOOK_EVERY);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.give_up_files();
        while let Some((number, task)) = shared.next() {
            let standing = match shared.write(&task) {
                Ok(finished) => Standing::Done(finished),
                Err(trouble) => Standing::BrokenOff(trouble),
            };
            if let Some(kept) = shared.jobs().get_mut(&number) {
                kept.state = standing;
            }
        }
        if waited == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// What the thread takes of a job.
struct Task {
    owner: Owner,
    order: Order,
    watch: Arc<Watch>,
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<u64, Kept>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up what is too old, and the oldest files while they take the room of mail.
    fn give_up_files(&self) {
        self.jobs().retain(|_, kept| {
            matches!(kept.state, Standing::Running) || kept.since.elapsed() < KEPT_MAX
        });
        while !self.has_room() {
            let mut jobs = self.jobs();
            let is_file = |(_, kept): &(&u64, &mut Kept)| matches!(kept.state, Standing::Done(_));
            match jobs.iter_mut().find(is_file) {
                Some((_, kept)) => kept.state = Standing::BrokenOff(JobTrouble::NoRoom),
                None => return,
            }
        }
    }

    fn has_room(&self) -> bool {
        let stats = self.keeper.stats();
        stats.is_ok_and(|stats| stats.disk.available_bytes > ROOM_LEFT_BYTES)
    }

    fn next(&self) -> Option<(u64, Task)> {
        let mut jobs = self.jobs();
        let is_next = |(_, kept): &(&u64, &mut Kept)| matches!(kept.state, Standing::Waiting);
        let (number, kept) = jobs.iter_mut().find(is_next)?;
        kept.state = Standing::Running;
        let task = Task {
            owner: kept.owner.clone(),
            order: kept.order.clone(),
            watch: kept.watch.clone(),
        };
        Some((*number, task))
    }

    fn write(&self, task: &Task) -> Result<Finished, JobTrouble> {
        let format = task.order.format;
        let people = People::of(&*self.keeper);
        let acting = people.acting(task.owner.token, &task.owner.peer);
        let (query, numbers) = (&task.order.query, task.order.numbers.clone());
        let own = OwnMail::begin(acting, query, numbers, format.name()).map_err(why_not)?;
        if own.count() > EXPORT_MESSAGES_MAX {
            return Err(JobTrouble::TooMany);
        }
        let total = own.count() as u64;
        task.watch.total.store(total, Ordering::Relaxed);
        let entry = own.entry();
        let mut source = Bounded {
            own,
            shared: self,
            watch: &task.watch,
            bytes: 0,
            trouble: None,
        };
        let form = self.form(&task.order).map_err(|failure| told(&failure))?;
        let files = self.files().map_err(|error| without_files(&error))?;
        let file = files[0]
            .try_clone()
            .map_err(|error| without_files(&error))?;
        let exported = export_unnamed(&mut source, form, files, &mut |done| {
            task.watch.done.store(done, Ordering::Relaxed);
        });
        let exported =
            exported.map_err(|error| source.trouble.unwrap_or_else(|| broken(&error)))?;
        let file_bytes = file.metadata().map_or(0, |facts| facts.len());
        Ok(Finished {
            file,
            file_bytes,
            entry,
            exported,
        })
    }

    /// Gives the file of an export, and one for what has to wait until it can go in there.
    fn files(&self) -> io::Result<[File; 2]> {
        let spool = self.keeper.spool();
        Ok([spool.system_file()?, spool.system_file()?])
    }

    fn form(&self, order: &Order) -> Result<Format, Failure> {
        if order.format == JobFormat::Mbox {
            return Ok(Format::Mbox);
        }
        let vkey = self.keeper.stats()?.key;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Format::Zip(About {
            origin: vkey.split('+').next().unwrap_or_default().to_owned(),
            vkey,
            query: order.query.clone(),
            made_at: since.map_or(0, |since| since.as_secs() as i64),
        }))
    }
}

/// Why an export has no files to be written to.
fn without_files(error: &io::Error) -> JobTrouble {
    tracing::error!(%error, "an export has no file");
    JobTrouble::Failed
}

/// Mail that is exported while there is room for it and nobody ends it.
struct Bounded<'e> {
    own: OwnMail<'e>,
    shared: &'e Shared,
    watch: &'e Watch,
    bytes: u64,
    trouble: Option<JobTrouble>,
}

impl Bounded<'_> {
    fn stop(&mut self, trouble: JobTrouble) -> Failure {
        self.trouble = Some(trouble);
        Failure::Later("the export ends".to_owned())
    }

    fn go_on(&mut self) -> Result<(), Failure> {
        if self.watch.is_cancelled.load(Ordering::SeqCst) {
            return Err(self.stop(JobTrouble::Cancelled));
        }
        Ok(())
    }
}

impl ExportSource for Bounded<'_> {
    fn next_entries(&mut self) -> Result<Vec<Entry>, Failure> {
        self.go_on()?;
        if !self.shared.has_room() {
            return Err(self.stop(JobTrouble::NoRoom));
        }
        let entries = self.own.next_entries()?;
        self.bytes += entries.iter().map(|entry| entry.size_bytes).sum::<u64>();
        if self.bytes > EXPORT_BYTES_MAX {
            return Err(self.stop(JobTrouble::TooLarge));
        }
        Ok(entries)
    }

    fn write_message(&mut self, number: u64, out: &mut dyn Write) -> Result<(), Failure> {
        self.go_on()?;
        self.own.write_message(number, out)
    }

    fn seal(&mut self, manifest: Digest, count: u64) -> Result<Seal, Failure> {
        self.own.seal(manifest, count)
    }

    fn proofs(&mut self, numbers: &[u64]) -> Result<Vec<String>, Failure> {
        self.go_on()?;
        self.own.proofs(numbers)
    }
}

fn why_not(denial: Denial) -> JobTrouble {
    match denial {
        Denial::Failed(failure) => told(&failure),
        _ => JobTrouble::SignedOut,
    }
}

fn broken(error: &ExportError) -> JobTrouble {
    match error {
        // What is denied in the middle crosses as a bad request.
        ExportError::Keeper(Failure::BadRequest(_)) => JobTrouble::SignedOut,
        ExportError::Keeper(failure) => told(failure),
        ExportError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            JobTrouble::NoRoom
        }
        ExportError::Write { .. } => {
            tracing::error!(error = error as &dyn std::error::Error, "an export failed");
            JobTrouble::Failed
        }
    }
}

fn told(failure: &Failure) -> JobTrouble {
    tracing::error!(%failure, "an export failed");
    match failure {
        Failure::Full(_) => JobTrouble::NoRoom,
        _ => JobTrouble::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: AccountId = AccountId(1024);
    const BERND: AccountId = AccountId(1025);

    fn kept(account: AccountId, state: Standing) -> Kept {
        let owner = Owner {
            account,
            asker: WireAsker::Nobody,
            token: Token([0; 32]),
            peer: String::new(),
        };
        let order = Order {
            query: String::new(),
            numbers: None,
            format: JobFormat::Zip,
        };
        Kept {
            id: String::new(),
            owner,
            order,
            since: Instant::now(),
            state,
            watch: Arc::default(),
        }
    }

    fn over() -> Standing {
        Standing::BrokenOff(JobTrouble::Cancelled)
    }

    #[test]
    fn one_more_takes_the_place_of_ones_own_oldest_that_is_over() {
        let mut jobs = BTreeMap::new();
        jobs.insert(0, kept(BERND, over()));
        jobs.insert(1, kept(ANNA, Standing::Waiting));
        for number in 2..=ACCOUNT_JOBS_MAX as u64 {
            jobs.insert(number, kept(ANNA, over()));
        }
        assert_eq!(make_room(&mut jobs, ANNA), Ok(()));
        assert!(jobs.contains_key(&0), "another's stays");
        assert!(jobs.contains_key(&1), "what waits stays");
        assert!(!jobs.contains_key(&2));
        assert_eq!(make_room(&mut jobs, BERND), Ok(()));
        assert!(jobs.contains_key(&0), "he has room");
    }

    #[test]
    fn no_more_wait_than_are_written_before_long() {
        let mut jobs = BTreeMap::new();
        for number in 0..=WAITING_MAX as u64 {
            let account = AccountId(2_000 + number);
            assert_eq!(make_room(&mut jobs, account), Ok(()), "{number}");
            jobs.insert(number, kept(account, Standing::Waiting));
        }
        assert_eq!(make_room(&mut jobs, ANNA), Err(NotBegun::Busy));
        let mut mine: BTreeMap<u64, Kept> = (0..ACCOUNT_JOBS_MAX as u64)
            .map(|number| (number, kept(ANNA, Standing::Running)))
            .collect();
        assert_eq!(make_room(&mut mine, ANNA), Err(NotBegun::Busy));
    }

    #[test]
    fn a_file_is_for_who_sees_what_was_seen_when_it_was_made() {
        let job = kept(ANNA, over());
        let narrower = Owner {
            asker: WireAsker::Person(Vec::new()),
            ..job.owner.clone()
        };
        let done = Kept {
            state: Standing::Done(Finished {
                file: tempfile::tempfile().expect("a file"),
                file_bytes: 1,
                entry: 7,
                exported: Exported::default(),
            }),
            ..job
        };
        let owner = done.owner.clone();
        assert!(matches!(done.job(&owner).state, JobState::Done { .. }));
        let state = done.job(&narrower).state;
        assert_eq!(state, JobState::BrokenOff(JobTrouble::SignedOut));
    }
}
