//! The bytes of a file in memory, in pages that copies share and that take no room while they are zero.
//!
//! A simulated disk keeps every file twice and a reserve of hundreds of megabytes: so it costs what was written on it, and what a power
//! cut leaves is made at once. It knows nothing of sectors and durability, which are `faulty_disk`'s.

use std::ops::Range;
use std::sync::Arc;

/// Length of a page in bytes: small, since a write to a shared one copies it.
pub(crate) const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

const ZEROS: Page = [0; PAGE_BYTES];

/// Bytes; what lies behind their end in the last page is zero.
#[derive(Clone, Default)]
pub(crate) struct Pages {
    /// None stands for zeros.
    pages: Vec<Option<Arc<Page>>>,
    len: usize,
}

impl Pages {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Cuts the bytes, or makes them longer with zeros.
    pub(crate) fn resize(&mut self, len: usize) {
        if let Some(Some(page)) = self.pages.get_mut(len / PAGE_BYTES) {
            Arc::make_mut(page)[len % PAGE_BYTES..].fill(0);
        }
        self.pages.resize(len.div_ceil(PAGE_BYTES), None);
        self.len = len;
    }

    /// Fills `bytes` from `start` on; none when the end comes before.
    pub(crate) fn read(&self, start: usize, bytes: &mut [u8]) -> Option<()> {
        let end = start.checked_add(bytes.len())?;
        if end > self.len {
            return None;
        }
        let mut at = start;
        while at < end {
            let part = part_in_page(at, end);
            let page = self.pages[at / PAGE_BYTES].as_deref().unwrap_or(&ZEROS);
            bytes[at - start..][..part.len()].copy_from_slice(&page[part.clone()]);
            at += part.len();
        }
        Some(())
    }

    /// Writes bytes from `start` on, which must fit.
    pub(crate) fn write(&mut self, start: usize, bytes: &[u8]) {
        let end = start + bytes.len();
        assert!(end <= self.len, "the file was made longer before");
        let mut at = start;
        while at < end {
            let part = part_in_page(at, end);
            let written = &bytes[at - start..][..part.len()];
            let page = &mut self.pages[at / PAGE_BYTES];
            if page.is_some() || *written != ZEROS[..part.len()] {
                let page = page.get_or_insert_with(|| Arc::new(ZEROS));
                Arc::make_mut(page)[part.clone()].copy_from_slice(written);
            }
            at += part.len();
        }
    }

    /// Takes over a range of other bytes, as far as it lies within both.
    pub(crate) fn take_over(&mut self, other: &Self, range: Range<usize>) {
        let end = range.end.min(self.len).min(other.len);
        let mut at = range.start;
        while at < end {
            let part = part_in_page(at, end);
            if part.len() == PAGE_BYTES {
                let number = at / PAGE_BYTES;
                self.pages[number].clone_from(&other.pages[number]);
            } else {
                let mut bytes = ZEROS;
                let bytes = &mut bytes[..part.len()];
                other.read(at, bytes).expect("it lies within both");
                self.write(at, bytes);
            }
            at += part.len();
        }
    }
}

/// The part of a page between two offsets of a file, or up to the end of the page.
fn part_in_page(at: usize, end: usize) -> Range<usize> {
    let inner = at % PAGE_BYTES;
    inner..PAGE_BYTES.min(inner + end - at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One thing done to bytes.
    #[derive(Debug, Clone)]
    enum Act {
        Resize(usize),
        Write(usize, Vec<u8>),
        TakeOver(Range<usize>),
        /// The other bytes become a copy of these.
        Copy,
    }

    const LEN_MAX: usize = 4 * PAGE_BYTES;

    fn act() -> impl Strategy<Value = Act> {
        let bytes = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            (0..2 * PAGE_BYTES).prop_map(|len| vec![0; len]),
            (0..2 * PAGE_BYTES).prop_map(|len| vec![7; len]),
        ];
        prop_oneof![
            (0..LEN_MAX).prop_map(Act::Resize),
            (0..LEN_MAX, bytes).prop_map(|(at, bytes)| Act::Write(at, bytes)),
            (0..LEN_MAX, 0..LEN_MAX).prop_map(|(at, len)| Act::TakeOver(at..at + len)),
            Just(Act::Copy),
        ]
    }

    fn perform(act: &Act, pages: &mut [Pages; 2], bytes: &mut [Vec<u8>; 2]) {
        match act {
            Act::Resize(len) => {
                pages[0].resize(*len);
                bytes[0].resize(*len, 0);
            }
            Act::Write(at, new) => {
                let end = at + new.len();
                if bytes[0].len() < end {
                    pages[0].resize(end);
                    bytes[0].resize(end, 0);
                }
                pages[0].write(*at, new);
                bytes[0][*at..end].copy_from_slice(new);
            }
            Act::TakeOver(range) => {
                let (own, other) = pages.split_at_mut(1);
                own[0].take_over(&other[0], range.clone());
                let end = range.end.min(bytes[0].len()).min(bytes[1].len());
                let range = range.start.min(end)..end;
                let taken = bytes[1][range.clone()].to_vec();
                bytes[0][range].copy_from_slice(&taken);
            }
            Act::Copy => {
                pages[1] = pages[0].clone();
                bytes[1] = bytes[0].clone();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn pages_are_like_plain_bytes(acts in proptest::collection::vec(act(), 1..30)) {
            let (mut pages, mut bytes) = (<[Pages; 2]>::default(), <[Vec<u8>; 2]>::default());
            for act in &acts {
                perform(act, &mut pages, &mut bytes);
                for (pages, bytes) in pages.iter().zip(&bytes) {
                    let mut read = vec![1; pages.len()];
                    prop_assert_eq!(pages.read(0, &mut read), Some(()));
                    prop_assert!(read == *bytes, "{:?}", act);
                    prop_assert_eq!(pages.read(1, &mut read[..]), None.filter(|()| !read.is_empty()));
                }
            }
        }
    }
}
