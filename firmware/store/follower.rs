//! The lane to a follower: what is written to the own disk is handed over in the same order, and every step is acknowledged.
//!
//! One thread takes the steps and does them on the follower's disk (`Followed`). It decides nothing: whoever hands over finds
//! out when a step failed or is late, and goes on without the follower. A lane that was closed is never written through again.

use crate::disk::{Disk, Open, beside, folder_of};
use crate::error::{DiskContext, Error, Result, chain};
use crate::identity::Identity;
use crate::room;
use crate::state::{State, StateChange, Values};
use crate::volume::{Volume, VolumeHeader};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes on their way to the follower; more has to wait: one batch, so that both disks write at the same time.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// One thing to be done on the follower's disk.
pub(crate) enum Step {
    /// Bytes at an offset of a volume.
    Write {
        volume: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Make what was written durable.
    Sync,
    /// Begin a volume.
    Create(VolumeHeader),
    /// Cut a volume back to a length, durably.
    Cut { volume: u64, length: u64 },
    /// Write or remove values of the state file together, durably.
    Put(Vec<StateChange>),
    /// Hold these values and no others in the state file, durably.
    Hold(Values),
    /// Write who the disk is, durably.
    Identity(Identity),
    /// Begin a file beside the one whose name it is to take, unless there is no room for this many bytes.
    Begin { name: PathBuf, length_bytes: u64 },
    /// Bytes at an offset of that file or of a sealed volume that is mended, durable at once: mail that comes meanwhile waits for
    /// no more than these.
    WriteTo {
        name: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Give what lies beside this name the name, durably.
    TakeName(PathBuf),
    /// Make or replace a small file as a whole, durably.
    Replace { name: PathBuf, bytes: Vec<u8> },
    /// Make a folder, durably.
    CreateDir(PathBuf),
    /// Remove a file.
    Remove(PathBuf),
}

impl Step {
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Write { bytes, .. } | Self::WriteTo { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

/// Why the follower is not in step any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}")]
    Failed(String),
    #[error("it did not answer within {0:?}")]
    Late(Duration),
}

/// What the follower's thread finds in the lane.
enum Next {
    Step(Step),
    Idle,
    Closed,
}

/// How often the follower's thread looks after other things while there is no step: joining ends within this time.
const IDLE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Waiting {
    steps: VecDeque<Step>,
    weight_bytes: usize,
    /// Steps handed over so far.
    handed: u64,
    /// Steps done, in the same order; it tells whether anything moves.
    done: u64,
    trouble: Option<Trouble>,
    /// There was no room for the last file that was to take a volume's place.
    lacks_room: bool,
    closed: bool,
}

/// The lane; cheap to clone. Both ends have one.
#[derive(Clone, Default)]
pub(crate) struct Lane(Arc<(Mutex<Waiting>, Condvar)>);

impl Lane {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a step over, and gives its number; waits while too much is under way.
    pub(crate) fn hand(&self, step: Step, patience: Duration) -> std::result::Result<u64, Trouble> {
        let mut waiting = self.wait_until(patience, |waiting| {
            waiting.weight_bytes <= WAITING_BYTES_MAX
        })?;
        waiting.weight_bytes += step.weight_bytes();
        waiting.handed += 1;
        waiting.lacks_room &= !matches!(step, Step::Begin { .. });
        waiting.steps.push_back(step);
        self.0.1.notify_all();
        Ok(waiting.handed)
    }

    /// Waits until everything that was handed over is done.
    pub(crate) fn settle(&self, patience: Duration) -> std::result::Result<(), Trouble> {
        self.wait_until(patience, |waiting| waiting.done == waiting.handed)
            .map(drop)
    }

    /// Waits until the step with this number is done, whatever is handed over meanwhile.
    pub(crate) fn wait_for(
        &self,
        step: u64,
        patience: Duration,
    ) -> std::result::Result<(), Trouble> {
        self.wait_until(patience, |waiting| waiting.done >= step)
            .map(drop)
    }

    /// Tells whether there was no room for the last file that was to take a volume's place.
    pub(crate) fn lacks_room(&self) -> bool {
        self.waiting().lacks_room
    }

    /// Tells whether both are ends of the same lane.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits until `is_there`; gives up when no step was done for as long as patience lasts.
    fn wait_until(
        &self,
        patience: Duration,
        is_there: impl Fn(&Waiting) -> bool,
    ) -> std::result::Result<MutexGuard<'_, Waiting>, Trouble> {
        let mut waiting = self.waiting();
        let (mut done, mut since) = (waiting.done, Instant::now());
        loop {
            if let Some(trouble) = &waiting.trouble {
                return Err(trouble.clone());
            }
            if is_there(&waiting) {
                return Ok(waiting);
            }
            if waiting.done != done {
                (done, since) = (waiting.done, Instant::now());
            }
            let rest = patience.saturating_sub(since.elapsed());
            if rest.is_zero() {
                return Err(Trouble::Late(patience));
            }
            let woken = self.0.1.wait_timeout(waiting, rest);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the lane: nothing that waits is done any more.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.steps.clear();
        self.0.1.notify_all();
    }

    /// Tells whether everything that was handed over is done.
    pub(crate) fn is_settled(&self) -> bool {
        let waiting = self.waiting();
        waiting.done == waiting.handed && waiting.trouble.is_none()
    }

    /// Takes the next step, or none when there is nothing to do; it waits for a moment first if `was_idle`.
    fn next(&self, was_idle: bool) -> Next {
        let mut waiting = self.waiting();
        loop {
            if waiting.closed {
                return Next::Closed;
            }
            if let Some(step) = waiting.steps.pop_front() {
                waiting.weight_bytes -= step.weight_bytes();
                return Next::Step(step);
            }
            if !was_idle {
                return Next::Idle;
            }
            let (woken, timed_out) = self
                .0
                .1
                .wait_timeout(waiting, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            if timed_out.timed_out() {
                return Next::Idle;
            }
            waiting = woken;
        }
    }

    /// Says that a step was done; tells whether the next one may be.
    fn acknowledge(&self, result: Result<()>) -> bool {
        let mut waiting = self.waiting();
        waiting.done += 1;
        match result {
            Ok(()) => {}
            // Nothing was begun, and whoever wanted it hears of it.
            Err(Error::Full { .. }) => waiting.lacks_room = true,
            Err(error) => waiting.trouble = Some(Trouble::Failed(chain(&error))),
        }
        self.0.1.notify_all();
        waiting.trouble.is_none()
    }

    /// Does the steps until the lane is closed or one fails; `idle` is called when there is nothing to do, and then now and again.
    pub(crate) fn follow(&self, followed: &mut Followed, mut idle: impl FnMut()) {
        let _at_end = AtEnd(self);
        let mut was_idle = false;
        loop {
            let result = match self.next(was_idle) {
                Next::Step(step) => followed.take(step),
                Next::Closed => return,
                Next::Idle => {
                    idle();
                    was_idle = true;
                    continue;
                }
            };
            was_idle = false;
            if !self.acknowledge(result) {
                return;
            }
        }
    }
}

/// Whatever ends the follower's thread, a panic included: nobody waits for it any longer.
struct AtEnd<'a>(&'a Lane);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        let ended = || Trouble::Failed("nobody writes to it any more".to_owned());
        waiting.trouble.get_or_insert_with(ended);
        self.0.0.1.notify_all();
    }
}

/// The follower's disk with the files that are written in step.
pub(crate) struct Followed {
    disk: Arc<dyn Disk>,
    state: State,
    volume: Option<Volume>,
}

impl Followed {
    /// Opens what is written in step; the state file is made when there is none.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        let state = State::open(&*disk, None)?;
        Ok(Self {
            disk,
            state,
            volume: None,
        })
    }

    fn take(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Write {
                volume,
                offset,
                bytes,
            } => self.volume(volume)?.write_at(offset, &bytes),
            Step::Sync => self.volume.as_ref().map_or(Ok(()), Volume::sync),
            Step::Create(header) => {
                self.volume = Some(Volume::create(&*self.disk, header)?);
                Ok(())
            }
            Step::Cut { volume, length } => self.volume(volume)?.cut(length),
            Step::Put(changes) => self.state.put_all(&changes).map(drop),
            Step::Hold(values) => self.state.hold(&values),
            Step::Identity(identity) => identity.write(&*self.disk),
            Step::Begin { name, length_bytes } => self.begin(&name, length_bytes),
            Step::WriteTo {
                name,
                offset,
                bytes,
            } => self.write_to(&name, offset, &bytes),
            Step::TakeName(name) => self.take_name(&name),
            Step::Replace { name, bytes } => self
                .disk
                .replace(&name, &bytes)
                .on("replace", name.display()),
            Step::CreateDir(name) => self.disk.create_dir(&name).on("create", name.display()),
            Step::Remove(name) => self.disk.remove(&name).on("remove", name.display()),
        }
    }

    fn begin(&self, name: &Path, length_bytes: u64) -> Result<()> {
        room::for_beside(&*self.disk, length_bytes)?;
        let file = self.disk.open(name, Open::Create);
        let file = file.on("create", name.display())?;
        file.set_len(0).on("empty", name.display())
    }

    fn write_to(&self, name: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        let file = self.disk.open(name, Open::Write);
        let file = file.on("open", name.display())?;
        file.write_all_at(offset, bytes)
            .on("write", name.display())?;
        file.sync_data().on("sync", name.display())
    }

    fn take_name(&mut self, name: &Path) -> Result<()> {
        self.volume.take_if(|open| Path::new(open.name()) == name);
        self.disk
            .rename(&beside(name), name)
            .on("rename", name.display())?;
        let folder = folder_of(name);
        self.disk.sync_dir(folder).on("sync", folder.display())
    }

    fn volume(&mut self, number: u64) -> Result<&Volume> {
        let volume = match self.volume.take() {
            Some(volume) if volume.header.number == number => volume,
            _ => Volume::open(&*self.disk, number, true)?,
        };
        Ok(self.volume.insert(volume))
    }
}
