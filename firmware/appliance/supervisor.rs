//! Which workers run, when one that died is started again, and in which order they end: a machine without processes, pipes or clock.
//!
//! It never waits: whoever drives it tells what happened (`started`, `ended`), asks what is to be done (`tick`), and comes again at
//! `next_at` at the latest. Invariant: a worker has at most one process; one that cannot be killed (it hangs in a disk) keeps its
//! place, and nothing is started beside it.

use std::time::{Duration, Instant};

/// 1 second before a worker that died is started again; doubled each time, so that a broken one costs little.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// 60 seconds at most: what was repaired meanwhile works again after a minute.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// 10 minutes alive, and a worker counts as healthy: the next pause is the shortest again.
const HEALTHY_AFTER: Duration = Duration::from_secs(600);

/// 5 seconds after SIGKILL a process that is still there hangs in the kernel; the machine's end waits for it no longer.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// What the machine needs to know of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Its name, in logs and on the console.
    pub(crate) name: &'static str,
    /// How long it may take to end after SIGTERM, before SIGKILL.
    pub(crate) grace: Duration,
    /// When the machine ends, workers of the highest stage end first; those below only when these are gone.
    pub(crate) stage: u8,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Start the worker of this place in the table.
    Start(usize),
    /// Ask its process to end.
    Terminate(u32),
    /// End its process.
    Kill(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    /// To be started at that time.
    Due(Instant),
    /// Somebody is told to start it.
    Starting,
    Running {
        process: u32,
        since: Instant,
    },
    Ending {
        process: u32,
        kill_at: Instant,
    },
    /// Killed; gone for all that matters at that time.
    Killed {
        process: u32,
        lost_at: Instant,
    },
}

struct Worker {
    terms: Terms,
    phase: Phase,
    wanted: bool,
    /// Pause before the next start.
    pause: Duration,
}

/// All workers.
pub(crate) struct Supervisor {
    workers: Vec<Worker>,
    ending: bool,
}

impl Supervisor {
    /// Takes the table; nobody is wanted yet.
    pub(crate) fn new(table: impl IntoIterator<Item = Terms>) -> Self {
        let workers = table.into_iter().map(|terms| Worker {
            terms,
            phase: Phase::Off,
            wanted: false,
            pause: PAUSE_MIN,
        });
        Self {
            workers: workers.collect(),
            ending: false,
        }
    }

    /// Says whether a worker is to run; one that is no longer wanted is asked to end.
    pub(crate) fn want(&mut self, place: usize, wanted: bool) {
        self.workers[place].wanted = wanted && !self.ending;
    }

    /// Ends everybody, stage by stage, for good.
    pub(crate) fn end_all(&mut self) {
        self.ending = true;
        for worker in &mut self.workers {
            worker.wanted = false;
        }
    }

    /// Tells that a worker has a process now.
    pub(crate) fn started(&mut self, place: usize, process: u32, now: Instant) {
        self.workers[place].phase = Phase::Running {
            process,
            since: now,
        };
    }

    /// Tells that a worker could not be started.
    pub(crate) fn failed(&mut self, place: usize, now: Instant) {
        self.workers[place].pause_from(now);
    }

    /// Tells that a process ended; gives its worker's place, if it was one.
    pub(crate) fn ended(&mut self, process: u32, now: Instant) -> Option<usize> {
        let has = |worker: &Worker| worker.process() == Some(process);
        let place = self.workers.iter().position(has)?;
        let worker = &mut self.workers[place];
        if matches!(worker.phase, Phase::Running { since, .. } if now - since >= HEALTHY_AFTER) {
            worker.pause = PAUSE_MIN;
        }
        worker.pause_from(now);
        Some(place)
    }

    /// Gives what is to be done now.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Deed> {
        let stage = self.stage(now);
        let mut deeds = Vec::new();
        for (place, worker) in self.workers.iter_mut().enumerate() {
            let may_end = !self.ending || stage.is_some_and(|stage| worker.terms.stage >= stage);
            deeds.extend(worker.tick(place, now, may_end));
        }
        deeds
    }

    /// When something is due, if nothing happens before.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let times = self.workers.iter().filter_map(|worker| match worker.phase {
            Phase::Due(at) if worker.wanted => Some(at),
            Phase::Ending { kill_at, .. } => Some(kill_at),
            Phase::Killed { lost_at, .. } => Some(lost_at),
            _ => None,
        });
        times.min()
    }

    /// Whether nobody is left whose end is worth waiting for.
    pub(crate) fn all_ended(&self, now: Instant) -> bool {
        self.stage(now).is_none()
    }

    /// Names of workers that are wanted and do not run.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &'static str> {
        let missing =
            |worker: &&Worker| worker.wanted && !matches!(worker.phase, Phase::Running { .. });
        self.workers
            .iter()
            .filter(missing)
            .map(|worker| worker.terms.name)
    }

    /// Whether a worker has a process, or is about to have one.
    pub(crate) fn has_process(&self, place: usize) -> bool {
        !matches!(self.workers[place].phase, Phase::Off | Phase::Due(_))
    }

    /// The highest stage in which somebody is left.
    fn stage(&self, now: Instant) -> Option<u8> {
        let left = self.workers.iter().filter(|worker| match worker.phase {
            Phase::Off | Phase::Due(_) => false,
            Phase::Killed { lost_at, .. } => now < lost_at,
            Phase::Starting | Phase::Running { .. } | Phase::Ending { .. } => true,
        });
        left.map(|worker| worker.terms.stage).max()
    }
}

impl Worker {
    fn process(&self) -> Option<u32> {
        match self.phase {
            Phase::Running { process, .. }
            | Phase::Ending { process, .. }
            | Phase::Killed { process, .. } => Some(process),
            Phase::Off | Phase::Due(_) | Phase::Starting => None,
        }
    }

    /// Waits before the next start, and longer the next time.
    fn pause_from(&mut self, now: Instant) {
        self.phase = Phase::Due(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn tick(&mut self, place: usize, now: Instant, may_end: bool) -> Option<Deed> {
        match self.phase {
            Phase::Off if self.wanted => {
                self.phase = Phase::Starting;
                Some(Deed::Start(place))
            }
            Phase::Due(at) if self.wanted && at <= now => {
                self.phase = Phase::Starting;
                Some(Deed::Start(place))
            }
            Phase::Due(_) if !self.wanted => {
                self.phase = Phase::Off;
                self.pause = PAUSE_MIN;
                None
            }
            Phase::Running { process, .. } if !self.wanted && may_end => {
                let kill_at = now + self.terms.grace;
                self.phase = Phase::Ending { process, kill_at };
                Some(Deed::Terminate(process))
            }
            Phase::Ending { process, kill_at } if kill_at <= now => {
                let lost_at = now + KILL_WAIT;
                self.phase = Phase::Killed { process, lost_at };
                Some(Deed::Kill(process))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn table() -> [Terms; 2] {
        [("disks", 0), ("archive", 2)].map(|(name, stage)| Terms {
            name,
            grace: GRACE,
            stage,
        })
    }

    /// Drives a supervisor through time; a worker's process number is 100 more than its place.
    struct Story {
        supervisor: Supervisor,
        start: Instant,
    }

    impl Story {
        fn begin() -> Self {
            let mut supervisor = Supervisor::new(table());
            supervisor.want(0, true);
            supervisor.want(1, true);
            let mut story = Self {
                supervisor,
                start: Instant::now(),
            };
            story.check(0, &[Deed::Start(0), Deed::Start(1)]);
            story.supervisor.started(0, 100, story.start);
            story.supervisor.started(1, 101, story.start);
            story
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn check(&mut self, seconds: u64, deeds: &[Deed]) {
            let now = self.at(seconds);
            assert_eq!(self.supervisor.tick(now), deeds, "after {seconds} s");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_are_short_after_health() {
        let mut story = Story::begin();
        let mut now = 10;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(story.supervisor.ended(101, story.at(now)), Some(1));
            story.check(now + pause - 1, &[]);
            assert_eq!(story.supervisor.next_at(), Some(story.at(now + pause)));
            now += pause;
            story.check(now, &[Deed::Start(1)]);
            story.check(now, &[]);
            story.supervisor.started(1, 101, story.at(now));
        }
        now += 600;
        story.supervisor.ended(101, story.at(now));
        story.check(now + 1, &[Deed::Start(1)]);
        story.supervisor.failed(1, story.at(now + 1));
        story.check(now + 2, &[]);
        story.check(now + 3, &[Deed::Start(1)]);
    }

    #[test]
    fn strangers_are_reaped_without_a_word() {
        let mut story = Story::begin();
        assert_eq!(story.supervisor.ended(7, story.at(1)), None);
        story.check(1, &[]);
        assert_eq!(story.supervisor.missing().count(), 0);
    }

    #[test]
    fn who_is_not_wanted_any_more_ends_and_may_come_again() {
        let mut story = Story::begin();
        story.supervisor.want(1, false);
        story.check(1, &[Deed::Terminate(101)]);
        story.supervisor.want(1, true);
        story.check(2, &[]);
        assert_eq!(story.supervisor.missing().collect::<Vec<_>>(), ["archive"]);
        story.supervisor.ended(101, story.at(3));
        story.check(4, &[Deed::Start(1)]);
    }

    #[test]
    fn the_end_goes_stage_by_stage() {
        let mut story = Story::begin();
        story.supervisor.end_all();
        story.check(1, &[Deed::Terminate(101)]);
        story.check(2, &[]);
        story.supervisor.ended(101, story.at(3));
        story.check(3, &[Deed::Terminate(100)]);
        assert!(!story.supervisor.all_ended(story.at(3)));
        story.supervisor.want(1, true); // nobody comes again
        story.supervisor.ended(100, story.at(4));
        story.check(5, &[]);
        assert!(story.supervisor.all_ended(story.at(5)));
    }

    #[test]
    fn who_hangs_is_killed_and_who_cannot_be_killed_is_left_behind() {
        let mut story = Story::begin();
        story.supervisor.end_all();
        story.check(1, &[Deed::Terminate(101)]);
        story.check(30, &[]);
        story.check(31, &[Deed::Kill(101)]);
        story.check(35, &[]);
        story.check(36, &[Deed::Terminate(100)]);
        story.supervisor.ended(100, story.at(37));
        assert!(story.supervisor.all_ended(story.at(37)));
        assert_eq!(story.supervisor.ended(101, story.at(40)), Some(1));
    }

    #[test]
    fn who_died_meanwhile_holds_nothing_up() {
        let mut story = Story::begin();
        story.supervisor.ended(101, story.at(1));
        story.supervisor.end_all();
        story.check(2, &[Deed::Terminate(100)]);
        assert_eq!(story.supervisor.next_at(), Some(story.at(2) + GRACE));
    }
}
