//! The hardware watchdog: restarts the machine when PID 1 hangs, or when it can keep its workers alive no more.
//!
//! Disks have no say in it: a disk that hangs is no reason to restart again and again, so the worker that opens the archive does not count.

use crate::kernel;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

/// 60 seconds: several times the longest pause of PID 1, and less than anybody waits at a dead box.
const TIMEOUT_S: i32 = 60;

/// 5 seconds between two signs of life: many fit into the shortest timeout of common hardware (15 s).
pub(crate) const FEED_EVERY: Duration = Duration::from_secs(5);

/// 10 minutes in which the workers that count were never all there, and the machine is beyond help.
const HOPELESS_AFTER: Duration = Duration::from_secs(600);

/// An open watchdog.
pub(crate) struct Watchdog {
    device: File,
    /// Seconds after which it restarts the machine.
    pub(crate) timeout_s: i32,
}

impl Watchdog {
    /// Opens the first one, if there is one by now; from here on it wants to be fed.
    pub(crate) fn open() -> Option<Self> {
        let device = OpenOptions::new().write(true).open("/dev/watchdog0").ok()?;
        // One that cannot be set keeps the time it has.
        let timeout_s = kernel::set_watchdog_timeout(&device, TIMEOUT_S).unwrap_or(0);
        Some(Self { device, timeout_s })
    }

    /// Tells it that all is well.
    pub(crate) fn feed(&mut self) {
        // A watchdog that fails cannot be helped; it restarts the machine.
        let _ = self.device.write(b"\0");
    }
}

/// Decides whether all is well.
pub(crate) struct Liveness {
    well_at: Instant,
}

impl Liveness {
    /// Begins well.
    pub(crate) fn new(now: Instant) -> Self {
        Self { well_at: now }
    }

    /// Takes note of whether the workers that count are there; tells whether the watchdog may be fed.
    pub(crate) fn may_feed(&mut self, all_there: bool, now: Instant) -> bool {
        if all_there {
            self.well_at = now;
        }
        now - self.well_at < HOPELESS_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_never_come_back_end_it() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for (second, all_there, expected) in [
            (0, false, true),
            (599, false, true),
            (600, false, false),
            (601, true, true),
            (1_200, false, true),
            (1_201, false, false),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(liveness.may_feed(all_there, now), expected, "{second} s");
        }
    }
}
