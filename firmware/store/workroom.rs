//! The memory in which large messages are prepared: many may come in at once, but only as many are prepared as have room.
//!
//! It counts what is taken and allocates nothing. A message in memory needs no share: the protocol's own limits bound those.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What large messages may take at once while they are prepared and wait for the committer, in bytes: the text of one of the largest
/// while that of another waits. More of them wait for each other, and their senders with them.
const PREPARING_BYTES_MAX: u64 = 64 << 20;

/// The room; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Workroom(Arc<(Mutex<u64>, Condvar)>);

/// A part of the room; given back when it is dropped.
pub(crate) struct Share {
    room: Workroom,
    bytes: u64,
}

impl Workroom {
    fn taken(&self) -> MutexGuard<'_, u64> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are so many bytes; what is larger than the whole room has it alone.
    pub(crate) fn take(&self, bytes: u64) -> Share {
        let is_short = |taken: &mut u64| *taken > 0 && *taken + bytes > PREPARING_BYTES_MAX;
        let mut taken = self
            .0
            .1
            .wait_while(self.taken(), is_short)
            .unwrap_or_else(PoisonError::into_inner);
        *taken += bytes;
        drop(taken);
        Share {
            room: self.clone(),
            bytes,
        }
    }
}

impl Share {
    /// Gives back what is not needed any more.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let given_back = self.bytes.saturating_sub(bytes);
        self.bytes -= given_back;
        *self.room.taken() -= given_back;
        self.room.0.1.notify_all();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_waits_until_others_give_it_back() {
        let room = Workroom::default();
        let mut first = room.take(PREPARING_BYTES_MAX - 10);
        let second = room.take(10);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| room.take(20).bytes);
            first.shrink_to(PREPARING_BYTES_MAX - 20);
            drop(second);
            assert_eq!(waiting.join().expect("no panic"), 20);
        });
        drop(first);
        assert_eq!(*room.taken(), 0);
        let all = room.take(2 * PREPARING_BYTES_MAX);
        assert_eq!(*room.taken(), 2 * PREPARING_BYTES_MAX);
        drop(all);
        assert_eq!(*room.taken(), 0);
    }
}
