//! The lane to a follower: what is written to the own disk is handed over in the same order, and every step is acknowledged.
//!
//! One thread takes the steps and does them on the follower's disk (`Followed`). It decides nothing: whoever hands over finds
//! out when a step failed or is late, and goes on without the follower. A lane that was closed is never written through again.

use crate::disk::Disk;
use crate::error::{Result, chain};
use crate::identity::Identity;
use crate::state::{State, StateTable, Values};
use crate::volume::{Volume, VolumeHeader};
use std::collections::VecDeque;
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
    /// Write or remove a value of the state file, durably.
    Put {
        table: StateTable,
        name: String,
        value: Option<Vec<u8>>,
    },
    /// Hold these values and no others in the state file, durably.
    Hold(Values),
    /// Write who the disk is, durably.
    Identity(Identity),
}

impl Step {
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Write { bytes, .. } => bytes.len(),
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

/// How long the follower's thread waits for a step before it looks after other things: joining ends within this time.
const IDLE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Waiting {
    steps: VecDeque<Step>,
    weight_bytes: usize,
    /// Steps handed over and not yet done, the one under way included.
    undone: usize,
    /// Steps done; it tells whether anything moves.
    done: u64,
    trouble: Option<Trouble>,
    closed: bool,
}

/// The lane; cheap to clone. Both ends have one.
#[derive(Clone, Default)]
pub(crate) struct Lane(Arc<(Mutex<Waiting>, Condvar)>);

impl Lane {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a step over; waits while too much is under way.
    pub(crate) fn hand(&self, step: Step, patience: Duration) -> std::result::Result<(), Trouble> {
        let mut waiting = self.wait_until(patience, |waiting| {
            waiting.weight_bytes <= WAITING_BYTES_MAX
        })?;
        waiting.weight_bytes += step.weight_bytes();
        waiting.undone += 1;
        waiting.steps.push_back(step);
        self.0.1.notify_all();
        Ok(())
    }

    /// Waits until everything that was handed over is done.
    pub(crate) fn settle(&self, patience: Duration) -> std::result::Result<(), Trouble> {
        self.wait_until(patience, |waiting| waiting.undone == 0)
            .map(drop)
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
        waiting.undone == 0 && waiting.trouble.is_none()
    }

    /// Takes the next step, or none when there was nothing to do for a moment.
    fn next(&self) -> Next {
        let mut waiting = self.waiting();
        loop {
            if waiting.closed {
                return Next::Closed;
            }
            if let Some(step) = waiting.steps.pop_front() {
                waiting.weight_bytes -= step.weight_bytes();
                return Next::Step(step);
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

    fn acknowledge(&self, result: Result<()>) {
        let mut waiting = self.waiting();
        waiting.undone = waiting.undone.saturating_sub(1);
        waiting.done += 1;
        if let Err(error) = result {
            waiting.trouble = Some(Trouble::Failed(chain(&error)));
        }
        self.0.1.notify_all();
    }

    /// Does the steps until the lane is closed or one fails; `idle` is called when there was nothing to do for a moment.
    pub(crate) fn follow(&self, followed: &mut Followed, mut idle: impl FnMut()) {
        let _at_end = AtEnd(self);
        loop {
            let result = match self.next() {
                Next::Step(step) => followed.take(step),
                Next::Closed => return,
                Next::Idle => {
                    idle();
                    continue;
                }
            };
            let failed = result.is_err();
            self.acknowledge(result);
            if failed {
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
            Step::Put { table, name, value } => {
                self.state.put(table, &name, value.as_deref()).map(drop)
            }
            Step::Hold(values) => self.state.hold(&values),
            Step::Identity(identity) => identity.write(&*self.disk),
        }
    }

    fn volume(&mut self, number: u64) -> Result<&Volume> {
        let volume = match self.volume.take() {
            Some(volume) if volume.header.number == number => volume,
            _ => Volume::open(&*self.disk, number, true)?,
        };
        Ok(self.volume.insert(volume))
    }
}
