//! Upkeep: what the archive does with its sealed volumes while nobody needs the machine: recompressing them, one at a time, and reading
//! each of them once a month, on the follower, too, so that damage is mended while the other disk still has the bytes. What was mended and
//! what could not be stands in the audit log. Then catalog and index go to the follower (`derived`).
//!
//! A thread of the engine with the lowest priority. It works only while no mail comes, in slices of one frame, and ends within one when
//! the archive is closed: what it had begun is then given up. Whoever asks for it now ([`recompress_now`]) does it without pauses.

use crate::catalog::VolumeEntry;
use crate::derived;
use crate::engine::{Shared, remove_other_schemas};
use crate::error::Result;
use crate::index::Index;
use crate::mend::{self, MendReport, Other};
use crate::queue::{Answer, Queue, Work};
use crate::recompress::{self, Outcome};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the thread looks for something to do.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long no mail must have come before the thread works: an import never pauses as long.
const QUIET: Duration = Duration::from_secs(2);

/// How often each sealed volume is read, in microseconds: a month.
const READ_EVERY_US: i64 = 30 * 24 * 3600 * 1_000_000;

/// Bytes of volumes that are read for this in a second at most: a slow disk keeps most of its time for others.
const READ_BYTES_PER_S: u64 = 32 << 20;

/// How long no mail must have come before catalog and index are copied to the follower: copying gigabytes is given up when mail comes.
const COPY_AFTER: Duration = Duration::from_secs(30);

/// How often they are copied when little has come: a takeover then catches up with an hour of mail, in seconds.
const COPY_EVERY: Duration = Duration::from_secs(3600);

/// Leaves that are much: a takeover needs some seconds for them.
const COPY_LEAVES: u64 = 20_000;

/// The lowest priority that a thread can have on Linux.
const NICE: i32 = 19;

/// Who may work on the volumes.
#[derive(Default)]
pub(crate) struct Control {
    /// Held while a volume is worked on: there is one file beside a volume.
    busy: Mutex<()>,
    /// How many wait for the work; then there are no pauses.
    hurried: AtomicUsize,
}

impl Control {
    /// Waits until nobody else works on a volume.
    pub(crate) fn take(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the thread work without pauses while it lives.
pub(crate) struct Hurry<'a>(&'a Control);

impl<'a> Hurry<'a> {
    pub(crate) fn begin(control: &'a Control) -> Self {
        control.hurried.fetch_add(1, Ordering::SeqCst);
        Self(control)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What recompressing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recompressed {
    /// Volumes that were replaced by smaller ones.
    pub volumes: u64,
    /// Their length before, in bytes.
    pub before_bytes: u64,
    /// Their length now.
    pub after_bytes: u64,
    /// Volumes left as they are, since it would save too little.
    pub not_worth: u64,
    /// Numbers of volumes left as they are, since something in them does not hold.
    pub damaged: Vec<u64>,
    /// Volumes left for later, since the disk has no room for a second file of their length.
    pub no_room: u64,
}

impl Recompressed {
    fn add(&mut self, number: u64, outcome: Outcome) {
        match outcome {
            Outcome::Replaced {
                before_bytes,
                after_bytes,
            } => {
                self.volumes += 1;
                self.before_bytes += before_bytes;
                self.after_bytes += after_bytes;
            }
            Outcome::NotWorth => self.not_worth += 1,
            Outcome::Damaged => self.damaged.push(number),
            Outcome::NoRoom => self.no_room += 1,
            Outcome::BrokenOff => {}
        }
    }
}

/// Recompresses all sealed volumes that wait for it; `watch` is told how many bytes of how many were read.
pub(crate) fn recompress_now(
    shared: &Shared,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Recompressed> {
    let _hurry = Hurry::begin(&shared.upkeep);
    let _busy = shared.upkeep.take();
    let waiting = recompress::waiting(shared)?;
    let total = recompress::bytes_to_read(shared, &waiting)?;
    let mut done = Recompressed::default();
    let (mut read, mut before) = (0, 0);
    for number in waiting {
        let outcome = recompress::recompress(shared, number, &mut |at| {
            // A volume is read several times from its beginning.
            read += at.saturating_sub(before);
            before = at;
            watch(read, total);
            !shared.is_closing()
        })?;
        done.add(number, outcome);
    }
    Ok(done)
}

/// The thread.
pub(crate) struct Upkeep {
    shared: Arc<Shared>,
    queue: Queue,
    /// Volumes in which something does not hold, and whether there was a copy to mend them from: not looked at again before the next
    /// start, or before there is one.
    damaged: HashSet<(u64, bool)>,
    quiet: Quiet,
    index: Index,
    derived: DerivedCopy,
}

/// When catalog and index were copied to the follower.
#[derive(Default)]
struct DerivedCopy {
    /// Leaves that the copy knows.
    leaves: u64,
    /// When it was tried last.
    tried: Option<Instant>,
}

impl DerivedCopy {
    fn is_due(&self, leaves: u64) -> bool {
        let pause = match leaves.saturating_sub(self.leaves) {
            0 => return false,
            behind if behind < COPY_LEAVES => COPY_EVERY,
            _ => COPY_AFTER,
        };
        self.tried.is_none_or(|tried| tried.elapsed() > pause)
    }
}

/// Since when no leaf has come.
struct Quiet {
    leaves: u64,
    since: Instant,
}

impl Upkeep {
    pub(crate) fn new(shared: Arc<Shared>, queue: Queue, index: Index) -> Self {
        let leaves = shared.leaves();
        Self {
            shared,
            queue,
            damaged: HashSet::new(),
            quiet: Quiet {
                leaves,
                since: Instant::now(),
            },
            index,
            derived: DerivedCopy::default(),
        }
    }

    /// Works until the archive is closed.
    pub(crate) fn run(mut self) {
        // Without it the pauses alone keep it out of the way.
        let _ = rustix::process::setpriority_process(None, NICE);
        while self.shared.options.upkeep.is_on_trial() {
            if self.shared.wait_for(Some(LOOK_EVERY), |_| false) {
                return;
            }
        }
        remove_other_schemas(&*self.shared.disk);
        while !self.shared.wait_for(Some(LOOK_EVERY), |_| false) {
            let done = self.recompress().and_then(|()| self.read_what_is_due());
            if let Err(error) = done.and_then(|()| self.copy_derived()) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the upkeep of the volumes stops until the next start"
                );
                return;
            }
        }
    }

    fn recompress(&mut self) -> Result<()> {
        for number in recompress::waiting(&self.shared)? {
            if self.is_given_up(number) {
                continue;
            }
            let Self { shared, quiet, .. } = self;
            if !quiet.wait(shared) {
                return Ok(());
            }
            let busy = shared.upkeep.take();
            let outcome = recompress::recompress(shared, number, &mut |_| quiet.wait(shared))?;
            tracing::info!(volume = number, ?outcome, "recompression");
            drop(busy);
            match outcome {
                // What is mended is recompressed the next time.
                Outcome::Damaged if self.read(number)? => {}
                Outcome::Damaged => return Ok(()),
                Outcome::NoRoom | Outcome::BrokenOff => return Ok(()),
                Outcome::Replaced { .. } | Outcome::NotWorth => {}
            }
        }
        Ok(())
    }
}

impl Upkeep {
    /// Reads the sealed volumes that were not read for a month, or in which something was found not to hold since.
    fn read_what_is_due(&mut self) -> Result<()> {
        let view = self.shared.catalog.read()?;
        for number in 1..view.watermark()?.volume {
            let due = (self.shared.clock)().at_us - READ_EVERY_US;
            let is_due = view
                .volume(number)?
                .is_some_and(|entry| entry.read_at_us <= due)
                || self.shared.damage.is_in(number);
            if is_due && !self.is_given_up(number) && !self.read(number)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a volume on both disks, mends either from the other and tells of damage; false when it was broken off.
    ///
    /// One of which something is left damaged counts as not read: it is read again after the next start.
    fn read(&mut self, number: u64) -> Result<bool> {
        let shared = self.shared.clone();
        let copy = shared.copies.patient_copy_in_step()?;
        let quiet = &mut self.quiet;
        let _busy = shared.upkeep.take();
        let (mut report, mut before) = (MendReport::default(), 0);
        let other = copy.as_ref().map(Other::Follower);
        let is_read = mend::mend_volume(&shared, other, number, &mut report, &mut |at| {
            // The second disk is read from its beginning.
            let pause_ms = at.saturating_sub(before) * 1000 / READ_BYTES_PER_S;
            before = at;
            !shared.wait_for(Some(Duration::from_millis(pause_ms)), |_| false)
                && quiet.wait(&shared)
        })?;
        if !is_read {
            return Ok(false);
        }
        let is_whole = report.left.is_empty() && report.left_on_copy.is_empty();
        if !is_whole {
            self.damaged.insert((number, copy.is_some()));
        }
        if let Some(entry) = shared.catalog.read()?.volume(number)? {
            let read_at_us = if is_whole { (shared.clock)().at_us } else { 0 };
            let entry = VolumeEntry {
                read_at_us,
                copy_read_at_us: if copy.is_some() { read_at_us } else { 0 },
                ..entry
            };
            shared.catalog.put_volume(number, entry)?;
        }
        self.tell(&report);
        Ok(true)
    }

    fn tell(&self, report: &MendReport) {
        for event in mend::events(report).into_iter().chain(mend::alarms(report)) {
            tracing::error!(before = event.reason, bytes = event.after, "{}", event.text);
            // Nobody waits for it: a full reserve or a closing archive lets it be.
            let (answer, _) = Answer::new();
            self.queue.put(Work::Log(Box::new((0, event)), answer));
        }
    }

    /// Copies catalog and index to the follower when that knows little of them and no mail has come for a while.
    fn copy_derived(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let leaves = shared.leaves();
        let is_due = self.derived.is_due(leaves) && self.quiet.lasts(&shared) >= COPY_AFTER;
        if !is_due || shared.copies.copy_in_step().is_none() {
            return Ok(());
        }
        let mut before = 0;
        let is_copied = derived::copy(&shared, &self.index, &mut |at| {
            let pause_ms = at.saturating_sub(before) * 1000 / READ_BYTES_PER_S;
            before = at;
            let is_closing = shared.wait_for(Some(Duration::from_millis(pause_ms)), |_| false);
            !is_closing && shared.leaves() == leaves
        })?;
        tracing::info!(is_copied, leaves, "catalog and index to the copy");
        if is_copied {
            self.derived.leaves = leaves;
        }
        if shared.leaves() == leaves {
            self.derived.tried = Some(Instant::now());
        }
        Ok(())
    }

    /// Whether something in a volume does not hold, and nothing has come since to mend it from.
    fn is_given_up(&self, number: u64) -> bool {
        let has_copy = self.shared.copies.copy_in_step().is_some();
        self.damaged.contains(&(number, has_copy))
    }
}

impl Quiet {
    /// How long no mail has come.
    fn lasts(&mut self, shared: &Shared) -> Duration {
        let leaves = shared.leaves();
        if leaves != self.leaves {
            (self.leaves, self.since) = (leaves, Instant::now());
        }
        self.since.elapsed()
    }

    /// Waits until no mail has come for a while; false when the archive is being closed.
    fn wait(&mut self, shared: &Shared) -> bool {
        loop {
            let lasts = self.lasts(shared);
            let is_hurried = shared.upkeep.hurried.load(Ordering::SeqCst) > 0;
            if is_hurried || lasts >= QUIET {
                return !shared.is_closing();
            }
            if shared.wait_for(Some(QUIET / 4), |_| false) {
                return false;
            }
        }
    }
}
