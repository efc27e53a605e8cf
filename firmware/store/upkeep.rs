//! Upkeep: what the archive does with its sealed volumes while nobody needs the machine: recompressing them, one at a time, and reading
//! each of them once a month, so that damage is known while another copy still has the bytes. Damage becomes an alarm in the audit log.
//!
//! A thread of the engine with the lowest priority. It works only while no mail comes, in slices of one frame, and ends within one when
//! the archive is closed: what it had begun is then given up. Whoever asks for it now ([`recompress_now`]) does it without pauses.

use crate::catalog::VolumeEntry;
use crate::engine::Shared;
use crate::error::Result;
use crate::queue::{Answer, Queue, Work};
use crate::recompress::{self, Outcome};
use crate::volume_check::{Damage, Expected};
use archive::{Event, EventKind};
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
    /// Volumes in which something does not hold: not looked at again before the next start.
    damaged: HashSet<u64>,
    quiet: Quiet,
}

/// Since when no leaf has come.
struct Quiet {
    leaves: u64,
    since: Instant,
}

impl Upkeep {
    pub(crate) fn new(shared: Arc<Shared>, queue: Queue) -> Self {
        let leaves = shared.leaves();
        Self {
            shared,
            queue,
            damaged: HashSet::new(),
            quiet: Quiet {
                leaves,
                since: Instant::now(),
            },
        }
    }

    /// Works until the archive is closed.
    pub(crate) fn run(mut self) {
        // Without it the pauses alone keep it out of the way.
        let _ = rustix::process::setpriority_process(None, NICE);
        while !self.shared.wait_for(Some(LOOK_EVERY), |_| false) {
            if let Err(error) = self.recompress().and_then(|()| self.read_what_is_due()) {
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
            if self.damaged.contains(&number) {
                continue;
            }
            let Self { shared, quiet, .. } = self;
            if !quiet.wait(shared) {
                return Ok(());
            }
            let _busy = shared.upkeep.take();
            let outcome = recompress::recompress(shared, number, &mut |_| quiet.wait(shared))?;
            tracing::info!(volume = number, ?outcome, "recompression");
            match outcome {
                Outcome::Damaged => drop(self.damaged.insert(number)),
                Outcome::NoRoom | Outcome::BrokenOff => return Ok(()),
                Outcome::Replaced { .. } | Outcome::NotWorth => {}
            }
        }
        Ok(())
    }
}

impl Upkeep {
    /// Reads the sealed volumes that were not read for a month.
    fn read_what_is_due(&mut self) -> Result<()> {
        let view = self.shared.catalog.read()?;
        for number in 1..view.watermark()?.volume {
            let due = (self.shared.clock)().at_us - READ_EVERY_US;
            if view
                .volume(number)?
                .is_some_and(|entry| entry.read_at_us <= due)
                && !self.read(number)?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a volume and tells of damage; false when it was broken off.
    fn read(&mut self, number: u64) -> Result<bool> {
        let shared = self.shared.clone();
        let quiet = &mut self.quiet;
        let _busy = shared.upkeep.take();
        let view = shared.catalog.read()?;
        let (Some(entry), Ok(volume)) = (
            view.volume(number)?,
            shared.files.file_by_name(view.volumes(), number),
        ) else {
            return Ok(true);
        };
        let expected = Expected {
            view: &view,
            archive_id: shared.archive_id,
            number,
            until: None,
        };
        let mut before = 0;
        let checked = expected.check(&volume, &mut |at| {
            let pause_ms = (at - before) * 1000 / READ_BYTES_PER_S;
            before = at;
            !shared.wait_for(Some(Duration::from_millis(pause_ms)), |_| false)
                && quiet.wait(&shared)
        })?;
        let Some(checked) = checked else {
            return Ok(false);
        };
        let read_at_us = (shared.clock)().at_us;
        let entry = VolumeEntry {
            read_at_us,
            ..entry
        };
        shared.catalog.put_volume(number, entry)?;
        self.alarm(volume.name(), &checked.damage);
        Ok(true)
    }

    fn alarm(&self, name: &str, damage: &[Damage]) {
        let Some(first) = damage.first() else { return };
        let text = format!(
            "{name} is damaged in {} places, first at byte {}: {}",
            damage.len(),
            first.bytes.start,
            first.what
        );
        tracing::error!("{text}");
        let event = Event {
            kind: EventKind::Alarm,
            text,
            ..Event::default()
        };
        // Nobody waits for it: a full reserve or a closing archive lets it be, and the next reading tells again.
        let (answer, _) = Answer::new();
        self.queue.put(Work::Log(Box::new((0, event)), answer));
    }
}

impl Quiet {
    /// Waits until no mail has come for a while; false when the archive is being closed.
    fn wait(&mut self, shared: &Shared) -> bool {
        loop {
            let leaves = shared.leaves();
            if leaves != self.leaves {
                (self.leaves, self.since) = (leaves, Instant::now());
            }
            let is_hurried = shared.upkeep.hurried.load(Ordering::SeqCst) > 0;
            if is_hurried || self.since.elapsed() >= QUIET {
                return !shared.is_closing();
            }
            if shared.wait_for(Some(QUIET / 4), |_| false) {
                return false;
            }
        }
    }
}
