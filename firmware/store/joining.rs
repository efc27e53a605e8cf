//! How a second disk becomes a follower, and becomes one again after it was detached (FORMAT.md, "identity").
//!
//! `meet` decides before the archive opens, when the own disk can still take in what it lacks. Then one thread owns the second
//! disk: it lets it catch up beside running mail, takes the last part over at a batch boundary, writes what it is handed, and
//! begins again, after a pause, when that failed. A disk that hangs costs this thread only.

use crate::catching_up::{CatchingUp, read_part, set_tail_aside};
use crate::copies::{Copies, CopyState};
use crate::disk::Disk;
use crate::error::{DiskContext, Error, Result, chain};
use crate::follower::{Followed, Lane, Step};
use crate::identity::{self, Identity};
use crate::membership::{Verdict, decide};
use crate::state::State;
use crate::tip::{End, Side, Tail, compare};
use crate::volume::{self, FOLDER, Volume};
use archive::{AlarmKind, Event};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most bytes that are taken over while mail waits: some tens of milliseconds.
const HELD_BYTES_MAX: u64 = 8 << 20;

/// The first pause before a detached disk is tried again; it doubles each time.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause before a detached disk is tried again: it is back that soon after a cable was plugged in.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How many times the patience of a step the first look at the second disk may take before the archive opens without it: the
/// last volume of each is read.
const FIRST_LOOK_STEPS: u32 = 6;

/// How far the opening of two disks has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The catalog follows the volumes.
    Catalog {
        /// Leaves so far.
        leaves: u64,
    },
    /// The archive's disk takes in what its copy has taken alone.
    Volumes {
        /// Bytes that are there.
        done_bytes: u64,
        /// Bytes that are to be there.
        total_bytes: u64,
    },
}

/// What is to be done with the second disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// It follows, after it has caught up.
    Joins,
    /// It hangs, and follows once it does not any more.
    JoinsLater,
    /// It is left alone.
    Apart(CopyState),
}

/// Looks at the second disk before the archive opens; the own one takes in what only the second has. Whoever calls sees to it
/// that a disk that hangs fails.
///
/// # Errors
/// `Follower` when the second disk can never be a copy of this archive, and the errors of the own disk while it catches up.
pub(crate) fn meet(
    own: &dyn Disk,
    identity: &Identity,
    copy: &dyn Disk,
    watch: &mut dyn FnMut(Opening),
) -> Result<Meeting> {
    let found = match greet(own, identity, copy) {
        Ok(Greeting::Known(found)) => found,
        Ok(Greeting::TooSmall(state)) => return Ok(Meeting::Apart(state)),
        Err(error @ Error::Follower(_)) => return Err(error),
        // It is tried again while mail goes on.
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the copy cannot be read"
            );
            return Ok(later(&error));
        }
    };
    // A new archive has none yet.
    own.create_dir(Path::new(FOLDER)).on("create", FOLDER)?;
    let sides = Side::read(own, None).and_then(|one| Ok((one, Side::read(copy, None)?)));
    let (one, two, compared) = match sides.and_then(|(one, two)| {
        let compared = compare(&one, &two)?;
        Ok((one, two, compared))
    }) {
        Ok(read) => read,
        // Recovery knows what to do about the own disk; the copy is looked at again then.
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the disks cannot be compared"
            );
            return Ok(later(&error));
        }
    };
    match decide(identity, &found, compared, false) {
        Verdict::Follow(_) => Ok(Meeting::Joins),
        Verdict::Diverged => Ok(Meeting::Apart(CopyState::Diverged)),
        Verdict::Lead(tail) => {
            let had = without_tail(own, tail, one.end())?;
            take_in(own, copy, had, two.end(), watch)?;
            Ok(Meeting::Joins)
        }
    }
}

/// Whether it is worth waiting for a disk that could not be read.
fn later(error: &Error) -> Meeting {
    match error {
        Error::Disk { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
            Meeting::JoinsLater
        }
        _ => Meeting::Joins,
    }
}

/// What the identity of the second disk says.
enum Greeting {
    Known(Identity),
    TooSmall(CopyState),
}

/// Reads who the second disk is; an empty one becomes one of this archive.
fn greet(own: &dyn Disk, identity: &Identity, copy: &dyn Disk) -> Result<Greeting> {
    let root = Path::new("");
    if !copy.exists(root).on("look for", "the copy")? {
        copy.create_dir(root).on("create", "the copy")?;
    }
    let known = Identity::read(copy)?;
    if let Some(known) = &known {
        check_kin(identity, known)?;
    }
    let size = |disk: &dyn Disk| disk.room().on("ask for the room of", "the disk");
    let (own_bytes, copy_bytes) = (size(own)?.total_bytes, size(copy)?.total_bytes);
    if copy_bytes < own_bytes {
        return Ok(Greeting::TooSmall(CopyState::TooSmall {
            own_bytes,
            copy_bytes,
        }));
    }
    let known = match known {
        Some(known) => known,
        None => new_copy(identity, copy)?,
    };
    copy.create_dir(Path::new(FOLDER)).on("create", FOLDER)?;
    Ok(Greeting::Known(known))
}

fn check_kin(own: &Identity, copy: &Identity) -> Result<()> {
    let why = if own.archive != copy.archive || own.set != copy.set {
        "the directory holds another archive"
    } else if own.disk == copy.disk {
        "the directory was copied by hand and says that it is the archive itself; give an empty one"
    } else {
        return Ok(());
    };
    Err(Error::Follower(why.to_owned()))
}

fn new_copy(own: &Identity, copy: &dyn Disk) -> Result<Identity> {
    if let Some(stranger) = identity::stranger(copy)? {
        let why = format!(
            "the directory is neither empty nor an archive; it holds: {}",
            stranger.display()
        );
        return Err(Error::Follower(why));
    }
    let identity = own.new_copy();
    identity::write_readme(copy)?;
    identity.write(copy)?;
    Ok(identity)
}

/// Sets a tail aside that was never acknowledged; gives where the disk ends then.
fn without_tail(disk: &dyn Disk, tail: Option<Tail>, end: End) -> Result<End> {
    let Some(tail) = tail else { return Ok(end) };
    tracing::warn!(
        volume = tail.volume,
        offset = tail.offset,
        "a batch that was never acknowledged is set aside"
    );
    set_tail_aside(disk, tail)?;
    Ok(End {
        volume: tail.volume,
        offset: tail.offset,
    })
}

/// Takes in from the copy what it has taken alone: volumes and state.
fn take_in(
    own: &dyn Disk,
    copy: &dyn Disk,
    had: End,
    end: End,
    watch: &mut dyn FnMut(Opening),
) -> Result<()> {
    own.create_dir(Path::new(FOLDER)).on("create", FOLDER)?;
    let mut catching = CatchingUp::new(copy, own, had, 0);
    let (total_bytes, missing) = catching.lacks(end)?;
    let mut done_bytes = total_bytes - missing;
    catching.go_on(end, &mut |copied| {
        done_bytes = (done_bytes + copied).min(total_bytes);
        watch(Opening::Volumes {
            done_bytes,
            total_bytes,
        });
        Ok(())
    })?;
    State::replace(own, &State::open(copy, None)?.values()?)
}

/// The thread that owns the second disk.
pub(crate) struct Following {
    copies: Arc<Copies>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Starts following; when `waits` is set, waits until the second disk is in step or has to catch up in the background.
    pub(crate) fn start(copies: &Arc<Copies>, state: Arc<State>, waits: bool) -> Result<Self> {
        let joiner = Joiner {
            copies: copies.clone(),
            state,
        };
        let thread = std::thread::Builder::new()
            .name("follower".to_owned())
            .spawn(move || joiner.run())
            .on("start the thread", "follower")?;
        if waits {
            copies.wait_known(copies.patience() * FIRST_LOOK_STEPS);
        }
        Ok(Self {
            copies: copies.clone(),
            thread: Some(thread),
        })
    }
}

impl Drop for Following {
    /// Ends the thread; one that hangs in its disk is left behind and writes nothing more.
    fn drop(&mut self) {
        if self.copies.close()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the follower's thread ended by a panic");
        }
    }
}

/// How an attempt to join ended.
enum Attempt {
    Follows(Lane, Followed),
    Apart(CopyState),
}

struct Joiner {
    copies: Arc<Copies>,
    state: Arc<State>,
}

/// Whatever ends the thread, a panic included.
struct AtEnd(Arc<Copies>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl Joiner {
    fn run(self) {
        let _at_end = AtEnd(self.copies.clone());
        let mut pause = PAUSE_MIN;
        loop {
            let began = Instant::now();
            match self.join() {
                Ok(Attempt::Follows(lane, followed)) => self.follow(&lane, followed),
                Ok(Attempt::Apart(state)) => return stay_apart(&self.copies, state),
                Err(Error::Closed) => return,
                Err(error) => self.copies.set_detached(chain(&error)),
            }
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            if self.copies.is_closing_after(pause) {
                return;
            }
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    fn follow(&self, lane: &Lane, mut followed: Followed) {
        lane.follow(&mut followed, || self.copies.end_joining());
        if let Err(error) = self.copies.turn().settle() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the membership cannot be written"
            );
        }
    }

    fn join(&self) -> Result<Attempt> {
        let copy = self.copies.copy().ok_or(Error::Closed)?;
        let (own, own_disk) = {
            let turn = self.copies.turn();
            (turn.identity().clone(), self.copies.own())
        };
        let identity = match greet(&**own_disk, &own, &**copy)? {
            Greeting::Known(identity) => identity,
            Greeting::TooSmall(state) => return Ok(Attempt::Apart(state)),
        };
        let position = self.copies.turn().position();
        let one = Side::read(&**own_disk, Some(position.into()))?;
        let two = Side::read(&**copy, None)?;
        let had = match decide(&own, &identity, compare(&one, &two)?, true) {
            Verdict::Follow(tail) => without_tail(&**copy, tail, two.end())?,
            Verdict::Lead(_) | Verdict::Diverged => {
                return Ok(Attempt::Apart(CopyState::Diverged));
            }
        };
        let in_step = own.is_in_step_with(&identity);
        if !in_step {
            State::replace(&**copy, &self.state.values()?)?;
        }
        let followed = Followed::open(copy.clone())?;
        volume::remove_left_over(&**copy)?;
        let doubted = if in_step { two.last_batch() } else { 0 };
        loop {
            let swaps = self.copies.turn().swaps();
            let mut catching = CatchingUp::new(&**own_disk, &**copy, had, doubted);
            match self.catch_up_and_take_over(&mut catching, &identity, swaps) {
                Ok(Some(lane)) => return Ok(Attempt::Follows(lane, followed)),
                Ok(None) => {}
                Err(error) if matches!(error, Error::Closed) || !self.has_swapped(swaps) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }

    /// Whether a sealed volume of the own disk has become another file since.
    fn has_swapped(&self, since: u64) -> bool {
        self.copies.turn().swaps() != since
    }

    /// Copies until so little is missing that it can be taken over; none when a sealed volume has become another file meanwhile.
    fn catch_up_and_take_over(
        &self,
        catching: &mut CatchingUp<'_>,
        identity: &Identity,
        swaps: u64,
    ) -> Result<Option<Lane>> {
        loop {
            self.catch_up(catching)?;
            if let Some(lane) = self.take_over(catching, identity, swaps)? {
                return Ok(Some(lane));
            }
            if self.has_swapped(swaps) {
                return Ok(None);
            }
        }
    }

    /// Copies, beside running mail, what is there now.
    fn catch_up(&self, catching: &mut CatchingUp<'_>) -> Result<()> {
        let end = self.copies.turn().position().into();
        let (total_bytes, missing) = catching.lacks(end)?;
        let mut done_bytes = total_bytes - missing;
        if missing > HELD_BYTES_MAX {
            self.copies.set_state(CopyState::CatchingUp {
                done_bytes,
                total_bytes,
            });
        }
        catching.go_on(end, &mut |copied| {
            done_bytes = (done_bytes + copied).min(total_bytes);
            if missing > HELD_BYTES_MAX {
                self.copies.set_state(CopyState::CatchingUp {
                    done_bytes,
                    total_bytes,
                });
            }
            match self.copies.is_closing_after(Duration::ZERO) {
                true => Err(Error::Closed),
                false => Ok(()),
            }
        })
    }

    /// Takes over, at a batch boundary, what has come since; none when that is too much, or what was copied is not what is there now.
    fn take_over(
        &self,
        catching: &CatchingUp<'_>,
        identity: &Identity,
        swaps: u64,
    ) -> Result<Option<Lane>> {
        let mut turn = self.copies.turn();
        let end = turn.position().into();
        if turn.swaps() != swaps || catching.behind(end)? > HELD_BYTES_MAX {
            return Ok(None);
        }
        let own = &**self.copies.own();
        let mut steps = Vec::new();
        let first = catching.reached();
        for number in first.volume..=end.volume {
            let mut offset = first.offset;
            if number > first.volume {
                steps.push(Step::Create(Volume::open(own, number, false)?.header));
                offset = volume::HEADER_BYTES;
            }
            let part = Tail {
                volume: number,
                offset,
            };
            let bytes = read_part(own, part, catching.length(number, end)?)?;
            if !bytes.is_empty() {
                steps.push(Step::Write {
                    volume: number,
                    offset,
                    bytes,
                });
                steps.push(Step::Sync);
            }
        }
        steps.push(Step::Hold(self.state.values()?));
        turn.join(identity, steps).map(Some)
    }
}

/// Leaves the second disk alone, and says so.
pub(crate) fn stay_apart(copies: &Copies, state: CopyState) {
    let text = format!("the copy is {state}");
    tracing::error!("{text}");
    let kind = match state {
        CopyState::TooSmall { .. } => AlarmKind::CopyTooSmall,
        _ => AlarmKind::CopyDiverged,
    };
    copies.turn().alarm(Event::alarm(kind, text));
    copies.set_state(state);
}
