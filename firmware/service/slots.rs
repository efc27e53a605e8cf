//! A number of places, taken for a while and given back: what bounds the work that is under way at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The places.
pub(crate) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place; free again when dropped.
pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    /// Takes a place, if there is one within the time.
    pub(crate) fn take(&self, patience: Duration) -> Option<Slot<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) = self
            .freed
            .wait_timeout_while(free, patience, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn no_more_places_than_there_are() {
        let slots = Slots::new(2);
        let first = slots.take(Duration::ZERO).expect("the first");
        let _second = slots.take(Duration::ZERO).expect("the second");
        assert!(slots.take(Duration::from_millis(1)).is_none());
        drop(first);
        assert!(slots.take(Duration::ZERO).is_some());
    }

    #[test]
    fn whoever_waits_gets_the_place_that_is_freed() {
        let slots = Slots::new(1);
        let first = slots.take(Duration::ZERO).expect("the first");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| slots.take(Duration::from_secs(60)).is_some());
            drop(first);
            assert!(waiting.join().expect("no panic"));
        });
    }
}
