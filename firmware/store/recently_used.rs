//! Values kept in memory up to a number of bytes; the one unused for longest goes first.
//!
//! It reads nothing itself and knows no locks.

use std::collections::BTreeMap;

/// Values by key, in bounded memory.
pub(crate) struct RecentlyUsed<K, V> {
    values: BTreeMap<K, Kept<V>>,
    bytes: usize,
    bytes_max: usize,
    clock: u64,
}

struct Kept<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Ord + Copy, V: Clone> RecentlyUsed<K, V> {
    /// Keeps so many bytes of values at most.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            bytes: 0,
            bytes_max,
            clock: 0,
        }
    }

    /// Gives the value of a key.
    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        let kept = self.values.get_mut(&key)?;
        self.clock += 1;
        kept.used = self.clock;
        Some(kept.value.clone())
    }

    /// Gives the value whose key is the highest up to this one.
    pub(crate) fn get_up_to(&mut self, key: K) -> Option<V> {
        let (_, kept) = self.values.range_mut(..=key).next_back()?;
        self.clock += 1;
        kept.used = self.clock;
        Some(kept.value.clone())
    }

    /// Keeps a value that takes so many bytes, and lets go of others that no longer fit.
    pub(crate) fn put(&mut self, key: K, value: V, bytes: usize) {
        self.clock += 1;
        let used = self.clock;
        let kept = Kept { value, bytes, used };
        self.bytes += bytes;
        // Two readers may have found the same value missing at once.
        if let Some(before) = self.values.insert(key, kept) {
            self.bytes -= before.bytes;
        }
        while self.bytes > self.bytes_max {
            let oldest = self.values.iter().min_by_key(|(_, kept)| kept.used);
            let key = oldest.map(|(key, _)| *key);
            let Some(kept) = key.and_then(|key| self.values.remove(&key)) else {
                break;
            };
            self.bytes -= kept.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unused_for_longest_goes_first() {
        let mut values = RecentlyUsed::new(30);
        for key in [10, 20, 30] {
            values.put(key, key, 10);
        }
        assert_eq!(values.get(10), Some(10));
        values.put(40, 40, 10);
        assert_eq!(values.get(20), None);
        assert_eq!(values.get_up_to(29), Some(10));
        assert_eq!(values.get_up_to(9), None);
        values.put(40, 41, 25);
        assert_eq!(
            [10, 30, 40].map(|key| values.get(key)),
            [None, None, Some(41)]
        );
        values.put(50, 50, 31);
        assert_eq!([40, 50].map(|key| values.get(key)), [None, None]);
    }
}
