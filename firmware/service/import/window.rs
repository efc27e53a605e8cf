//! The window of an import: how much may be under way between reading and the keeper's answer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Messages under way at once: two batches of the committer, so that it never waits for us.
pub(super) const WINDOW_MESSAGES_MAX: usize = 1024;

/// Weight of the messages under way at once, in bytes; each lies in memory about twice while it is taken apart.
pub(super) const WINDOW_BYTES_MAX: u64 = 12 << 20;

/// Weight of the largest message, in bytes: it lies in the spool, but up to 16 MiB of it are read at once. A larger one would
/// only have to wait until everything before it was answered.
const WEIGHT_BYTES_MAX: u64 = 8 << 20;

/// Weight of any message beside its bytes, for paths, keys and facts.
const WEIGHT_BYTES_MIN: u64 = 1024;

/// Bounds what is under way, by number and weight.
#[derive(Default)]
pub(super) struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    messages: usize,
    bytes: u64,
    is_stopped: bool,
}

/// Gives the weight of a message of this length.
pub(super) fn weight_bytes(length_bytes: u64) -> u64 {
    length_bytes.clamp(WEIGHT_BYTES_MIN, WEIGHT_BYTES_MAX)
}

impl Window {
    /// Waits until there is room for a message of this weight; false once the import is to stop.
    pub(super) fn enter(&self, weight_bytes: u64) -> bool {
        let mut state = self.state();
        while !state.is_stopped && !state.has_room(weight_bytes) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !state.is_stopped {
            state.messages += 1;
            state.bytes += weight_bytes;
        }
        !state.is_stopped
    }

    /// Gives the room of an answered message back.
    pub(super) fn leave(&self, weight_bytes: u64) {
        let mut state = self.state();
        state.messages -= 1;
        state.bytes -= weight_bytes;
        self.changed.notify_all();
    }

    /// Lets nothing more in.
    pub(super) fn stop(&self) {
        self.state().is_stopped = true;
        self.changed.notify_all();
    }

    /// Tells whether the import is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, weight_bytes: u64) -> bool {
        self.messages < WINDOW_MESSAGES_MAX && self.bytes + weight_bytes <= WINDOW_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_bounded() {
        assert_eq!(weight_bytes(0), WEIGHT_BYTES_MIN);
        assert_eq!(weight_bytes(5000), 5000);
        assert_eq!(weight_bytes(u64::MAX), WEIGHT_BYTES_MAX);
    }

    #[test]
    fn room_is_used_up_and_given_back() {
        let window = Window::default();
        let half = WINDOW_BYTES_MAX / 2;
        assert!(window.enter(half) && window.enter(half));
        assert!(!window.state().has_room(1));
        window.leave(half);
        assert!(window.state().has_room(half) && !window.state().has_room(half + 1));
        window.stop();
        assert!(!window.enter(1) && window.is_stopped());
    }

    #[test]
    fn who_waits_goes_on_when_there_is_room_or_a_stop() {
        for stops in [false, true] {
            let window = Window::default();
            assert!(window.enter(WINDOW_BYTES_MAX));
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| window.enter(1));
                if stops {
                    window.stop()
                } else {
                    window.leave(WINDOW_BYTES_MAX)
                }
                assert_eq!(waiting.join().expect("no panic"), !stops);
            });
        }
    }
}
