//! The disks of an archive while it runs: the own one, its follower, and who is a member (FORMAT.md, "identity").
//!
//! Whoever writes takes the *turn*, writes to the own disk and hands the same to the follower, and settles before anybody is
//! answered. A follower that fails or is late is detached: epoch + 1 without it is durable on the own disk before the answers
//! go out. It does not catch up: see `catching_up`.

use crate::catalog::Watermark;
use crate::disk::Disk;
use crate::engine::Clock;
use crate::error::{Error, Result, chain};
use crate::follower::{Lane, Step, Trouble};
use crate::identity::Identity;
use crate::patient::Patient;
use crate::state::StateChange;
use crate::volume::VolumeHeader;
use archive::{Event, EventKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How long the follower may take for a step before mail goes on without it: a disk that spins up answers within it, and a
/// mail server's session lasts through it.
pub const FOLLOWER_PATIENCE: Duration = Duration::from_secs(5);

/// What the second disk is to the archive now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CopyState {
    /// Every batch is on it before it is answered.
    InStep,
    /// What it lacks is being copied.
    CatchingUp {
        /// Bytes of volumes that are there.
        done_bytes: u64,
        /// Bytes of volumes that are to be there.
        total_bytes: u64,
    },
    /// It is not written to.
    Detached {
        /// Since when, microseconds since 1970; 0 since before the archive was opened.
        since_us: i64,
        /// Why, in plain words.
        reason: String,
    },
    /// Both disks were written alone: neither takes anything from the other.
    Diverged,
    /// It is smaller than the own disk and is not written to.
    TooSmall {
        /// Size of the own disk in bytes.
        own_bytes: u64,
        /// Its size in bytes.
        copy_bytes: u64,
    },
}

impl std::fmt::Display for CopyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InStep => f.write_str("in step"),
            Self::CatchingUp {
                done_bytes,
                total_bytes,
            } => write!(f, "catching up: {} %", percent(*done_bytes, *total_bytes)),
            Self::Detached { reason, .. } => write!(f, "detached: {reason}"),
            Self::Diverged => f.write_str(
                "diverged: each disk was started alone and holds what the other lacks; nothing is copied between them",
            ),
            Self::TooSmall {
                own_bytes,
                copy_bytes,
            } => write!(
                f,
                "too small: it has {copy_bytes} bytes, the archive's disk has {own_bytes}"
            ),
        }
    }
}

/// Whole hundredths; all of nothing is there.
fn percent(done: u64, total: u64) -> u64 {
    (u128::from(done) * 100)
        .checked_div(u128::from(total))
        .map_or(100, |percent| percent.min(100) as u64)
}

/// The disks of an archive that is open.
pub(crate) struct Copies {
    own: Arc<dyn Disk>,
    copy: Option<Arc<dyn Disk>>,
    clock: Clock,
    patience: Duration,
    inner: Mutex<Inner>,
    standing: Mutex<Standing>,
    moved: Condvar,
}

/// What is known without taking the turn.
#[derive(Default)]
struct Standing {
    /// None until the second disk was looked at.
    state: Option<CopyState>,
    /// How many sealed volumes became other files on the own disk, each before the turn ended in which it did.
    swaps: u64,
    closing: bool,
    /// The follower's thread has ended.
    ended: bool,
}

struct Inner {
    identity: Identity,
    /// The way to the follower while it is in step.
    lane: Option<Lane>,
    /// Who we are once the follower has done what it was handed at joining.
    joining: Option<Identity>,
    /// A membership that must be durable before anybody is answered, and the event that tells of it.
    owed: Option<(Identity, Event)>,
    /// Behind the last batch.
    position: Watermark,
    /// What is to be told in the archive.
    news: Vec<Event>,
}

impl Copies {
    pub(crate) fn new(
        own: Arc<dyn Disk>,
        identity: Identity,
        copy: Option<Arc<dyn Disk>>,
        clock: Clock,
        patience: Duration,
    ) -> Self {
        let inner = Inner {
            identity,
            lane: None,
            joining: None,
            owed: None,
            position: Watermark::default(),
            news: Vec::new(),
        };
        Self {
            own,
            copy,
            clock,
            patience,
            inner: Mutex::new(inner),
            standing: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// Takes the turn: until it is dropped nobody else writes volumes or state, and the archive stands at a batch boundary.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Turn {
            copies: self,
            inner,
        }
    }

    /// The own disk.
    pub(crate) fn own(&self) -> &Arc<dyn Disk> {
        &self.own
    }

    /// The second disk, whatever its state.
    pub(crate) fn copy(&self) -> Option<&Arc<dyn Disk>> {
        self.copy.as_ref()
    }

    /// How long the follower may take for a step.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The second disk while every sealed volume and every batch is on it.
    pub(crate) fn copy_in_step(&self) -> Option<&Arc<dyn Disk>> {
        (self.state() == Some(CopyState::InStep))
            .then_some(self.copy.as_ref())
            .flatten()
    }

    /// The same for who reads it beside its own thread and must not hang with it.
    pub(crate) fn patient_copy_in_step(&self) -> Result<Option<Patient>> {
        let disk = self.copy_in_step().cloned();
        disk.map(|disk| Patient::new(disk, self.patience))
            .transpose()
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the second disk is; none without one, or before it was looked at.
    pub(crate) fn state(&self) -> Option<CopyState> {
        self.standing().state.clone()
    }

    pub(crate) fn set_state(&self, state: CopyState) {
        self.standing().state = Some(state);
        self.moved.notify_all();
    }

    /// Says that the second disk is not written to; since when stays, while it lasts.
    pub(crate) fn set_detached(&self, reason: String) {
        let since_us = match self.state() {
            Some(CopyState::Detached { since_us, .. }) => since_us,
            _ => (self.clock)().at_us,
        };
        self.set_state(CopyState::Detached { since_us, reason });
    }

    /// Waits, for a limited time, until the second disk was looked at.
    pub(crate) fn wait_known(&self, limit: Duration) {
        self.wait(limit, |standing| standing.state.is_some() || standing.ended);
    }

    /// Waits; tells whether the archive is being closed.
    pub(crate) fn is_closing_after(&self, limit: Duration) -> bool {
        self.wait(limit, |standing| standing.closing)
    }

    /// Ends the way to the follower and waits, for a limited time, until its thread has ended; tells whether it has.
    pub(crate) fn close(&self) -> bool {
        self.standing().closing = true;
        self.moved.notify_all();
        self.turn().close();
        self.wait(self.patience, |standing| standing.ended)
    }

    /// Says that the follower's thread has ended.
    pub(crate) fn ended(&self) {
        self.standing().ended = true;
        self.moved.notify_all();
    }

    /// Waits, for a limited time, until so many sealed volumes have become other files.
    #[cfg(test)]
    pub(crate) fn wait_for_swaps(&self, limit: Duration, count: u64) -> bool {
        let is_there = self.wait(limit, |standing| standing.swaps >= count);
        // The last one ends with its turn.
        drop(self.turn());
        is_there
    }

    fn wait(&self, limit: Duration, is_there: impl Fn(&Standing) -> bool) -> bool {
        let standing = self.standing();
        let waited = self
            .moved
            .wait_timeout_while(standing, limit, |standing| !is_there(standing));
        is_there(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Ends joining, if the follower has done everything and nobody writes just now.
    pub(crate) fn end_joining(&self) {
        let inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Whoever has the turn settles.
            Err(TryLockError::WouldBlock) => return,
        };
        let is_settled = inner.lane.as_ref().is_some_and(Lane::is_settled);
        let mut turn = Turn {
            copies: self,
            inner,
        };
        if is_settled
            && turn.inner.joining.is_some()
            && let Err(error) = turn.settle()
        {
            // The own disk may be full: it is tried again after a pause, as whatever else fails.
            let why = format!("it cannot be made a member: {}", chain(&error));
            turn.detach(&Trouble::Failed(why));
        }
    }
}

/// The right to write.
pub(crate) struct Turn<'a> {
    copies: &'a Copies,
    inner: MutexGuard<'a, Inner>,
}

impl Turn<'_> {
    /// Who the own disk is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Behind the last batch that both disks have.
    pub(crate) fn position(&self) -> Watermark {
        self.inner.position
    }

    /// Says that everything up to here was written and settled.
    pub(crate) fn moved_to(&mut self, position: Watermark) {
        self.inner.position = position;
    }

    /// How many sealed volumes became other files on the own disk: a follower that caught up beside one has to look again.
    pub(crate) fn swaps(&self) -> u64 {
        self.copies.standing().swaps
    }

    /// Says that a sealed volume of the own disk becomes another file before the turn ends.
    pub(crate) fn swaps_a_volume(&mut self) {
        self.copies.standing().swaps += 1;
        self.copies.moved.notify_all();
    }

    /// The way to the follower, while there is one.
    pub(crate) fn lane(&self) -> Option<Lane> {
        self.inner.lane.clone()
    }

    /// Whether this is the way to the follower.
    pub(crate) fn follows(&self, lane: &Lane) -> bool {
        self.inner.lane.as_ref().is_some_and(|own| own.is(lane))
    }

    /// Goes on without the follower of this lane, if it still follows.
    pub(crate) fn part(&mut self, lane: &Lane, trouble: &Trouble) -> Result<()> {
        if self.follows(lane) {
            self.detach(trouble);
        }
        self.settle()
    }

    /// Hands a step to the follower of this lane and gives its number; none when that one does not follow any more.
    pub(crate) fn hand_through(&mut self, lane: &Lane, step: Step) -> Result<Option<u64>> {
        if !self.follows(lane) {
            return Ok(None);
        }
        match lane.hand(step, self.copies.patience) {
            Ok(number) => Ok(Some(number)),
            Err(trouble) => {
                self.detach(&trouble);
                self.settle()?;
                Ok(None)
            }
        }
    }

    /// Says where the archive stands after it was opened; a follower that stands elsewhere has to catch up.
    pub(crate) fn opened_at(&mut self, position: Watermark) -> Result<()> {
        if self.inner.position != position {
            let again = "the archive was opened again and stands elsewhere".to_owned();
            self.detach(&Trouble::Failed(again));
        }
        self.inner.position = position;
        self.settle()
    }

    /// Hands bytes of a volume to the follower.
    pub(crate) fn append(&mut self, volume: u64, offset: u64, bytes: &[u8]) {
        self.hand(|| Step::Write {
            volume,
            offset,
            bytes: bytes.to_vec(),
        });
    }

    /// Lets the follower sync; [`Turn::settle`] waits for it.
    pub(crate) fn sync(&mut self) {
        self.hand(|| Step::Sync);
    }

    /// Lets the follower begin a volume.
    pub(crate) fn create(&mut self, header: &VolumeHeader) {
        self.hand(|| Step::Create(header.clone()));
    }

    /// Lets the follower cut a volume back.
    pub(crate) fn cut(&mut self, volume: u64, length: u64) {
        self.hand(|| Step::Cut { volume, length });
    }

    /// Lets the follower write or remove values of the state file together.
    pub(crate) fn put(&mut self, changes: &[StateChange]) {
        self.hand(|| Step::Put(changes.to_vec()));
    }

    fn hand(&mut self, step: impl FnOnce() -> Step) {
        if let Some(lane) = &self.inner.lane
            && let Err(trouble) = lane.hand(step(), self.copies.patience)
        {
            self.detach(&trouble);
        }
    }

    /// Waits until the follower has done everything, or goes on without it; afterwards the membership is durable.
    ///
    /// # Errors
    /// Those of the own disk: then nobody may be answered.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if let Some(lane) = &self.inner.lane
            && let Err(trouble) = lane.settle(self.copies.patience)
        {
            self.detach(&trouble);
        }
        if let Some(identity) = self.inner.joining.clone() {
            self.joined(identity)?;
        }
        if let Some((identity, event)) = self.inner.owed.clone() {
            identity.write(&*self.copies.own)?;
            self.inner.identity = identity;
            self.inner.owed = None;
            self.inner.news.push(event);
        }
        Ok(())
    }

    /// Goes on without the follower; [`Turn::settle`] makes it durable.
    fn detach(&mut self, trouble: &Trouble) {
        let Some(lane) = self.inner.lane.take() else {
            return;
        };
        lane.close();
        self.inner.joining = None;
        let reason = trouble.to_string();
        tracing::error!(reason, "the copy is detached; mail goes on without it");
        self.copies.set_detached(reason.clone());
        self.be_alone(reason);
    }

    /// Goes on with the own disk as the only member; durable once this returns.
    pub(crate) fn go_on_alone(&mut self, reason: String) -> Result<()> {
        match self.inner.lane {
            Some(_) => self.detach(&Trouble::Failed(reason)),
            None => self.be_alone(reason),
        }
        self.settle()
    }

    fn be_alone(&mut self, reason: String) {
        let own = self.inner.identity.disk;
        if self.inner.identity.members == [own] {
            return;
        }
        let identity = self.inner.identity.next(vec![own]);
        let event = Event {
            reason,
            ..membership_event(EventKind::MemberDetached, &identity)
        };
        self.inner.owed = Some((identity, event));
    }

    /// Lets the second disk join by these last steps; it is a member once it has done them and somebody settles.
    ///
    /// # Errors
    /// `Closed` when the archive is being closed: nobody would end the way to it any more.
    pub(crate) fn join(&mut self, copy: &Identity, steps: Vec<Step>) -> Result<Lane> {
        if self.copies.standing().closing {
            return Err(Error::Closed);
        }
        if self.inner.lane.is_some() {
            return Err(Error::Follower("it is followed already".to_owned()));
        }
        let own = &self.inner.identity;
        let was_member = own.is_in_step_with(copy);
        let joined = match was_member {
            true => own.clone(),
            false => own.joined(copy, vec![own.disk, copy.disk]),
        };
        let lane = Lane::default();
        let last = (!was_member).then(|| Step::Identity(joined.of_disk(copy)));
        for step in steps.into_iter().chain(last) {
            lane.hand(step, Duration::ZERO)
                .map_err(|trouble| Error::Follower(trouble.to_string()))?;
        }
        self.inner.lane = Some(lane.clone());
        self.inner.joining = Some(joined);
        Ok(lane)
    }

    fn joined(&mut self, identity: Identity) -> Result<()> {
        if identity != self.inner.identity {
            identity.write(&*self.copies.own)?;
            let event = membership_event(EventKind::MemberAttached, &identity);
            self.inner.news.push(event);
            self.inner.identity = identity;
        }
        self.inner.owed = None;
        self.inner.joining = None;
        self.copies.set_state(CopyState::InStep);
        Ok(())
    }

    /// What is to be told in the archive; it is forgotten by [`Turn::told`].
    pub(crate) fn news(&self) -> &[Event] {
        &self.inner.news
    }

    /// Forgets the first so many news: they are in the archive.
    pub(crate) fn told(&mut self, count: usize) {
        self.inner.news.drain(..count);
    }

    /// Raises an alarm in the archive.
    pub(crate) fn alarm(&mut self, alarm: Event) {
        self.inner.news.push(alarm);
    }

    /// Lets the follower go, still a member: everything it was handed is on it.
    fn close(&mut self) {
        if let Some(lane) = self.inner.lane.take() {
            lane.close();
        }
    }
}

fn membership_event(kind: EventKind, identity: &Identity) -> Event {
    Event {
        kind,
        epoch: Some(identity.epoch),
        members: identity.members.clone(),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty_disk::SimDisk;
    use crate::store_tests::options;

    /// A follower that was still catching up when the archive was closed joined behind it: its thread then waited for steps without
    /// end, whoever closed for as long as patience lasts, and the membership was written when nobody owned the disks any more.
    #[test]
    fn nobody_joins_an_archive_that_is_being_closed() {
        let (own, clock) = (Identity::new(), options(1 << 20).clock);
        let copy = own.new_copy();
        let disk = Arc::new(SimDisk::new());
        let copies = Copies::new(disk, own, None, clock, Duration::ZERO);
        assert!(copies.turn().join(&copy, Vec::new()).is_ok());
        copies.close();
        let joined = copies.turn().join(&copy, Vec::new());
        assert!(matches!(joined, Err(Error::Closed)));
    }
}
