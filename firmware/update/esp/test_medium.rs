//! A medium in memory for tests, which remembers each write and flush, and gives every state that a power cut could leave.

use super::layout::{self, SECTOR_BYTES, cluster_offset};
use super::{Boot, EntryName, Medium, Slot, format, install, read};
use crate::error::EspError;
use std::collections::BTreeMap;
use std::io;

/// A medium in memory that remembers what was written between flushes.
#[derive(Clone, Default)]
pub(crate) struct Sectors {
    now: BTreeMap<u64, [u8; SECTOR_BYTES]>,
    /// One list of sectors a flush, in the order of writing; the last one is not flushed.
    written: Vec<Vec<(u64, [u8; SECTOR_BYTES])>>,
    /// A sector that does not keep what is written to it.
    pub(crate) bad: Option<u64>,
    /// Whether it takes no writes.
    pub(crate) read_only: bool,
}

impl Medium for Sectors {
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (sectors, rest) = bytes.as_chunks_mut::<SECTOR_BYTES>();
        assert!(rest.is_empty() && offset.is_multiple_of(SECTOR_BYTES as u64));
        for (at, sector) in (offset / SECTOR_BYTES as u64..).zip(sectors) {
            *sector = self.now.get(&at).copied().unwrap_or([0; SECTOR_BYTES]);
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (sectors, rest) = bytes.as_chunks::<SECTOR_BYTES>();
        assert!(rest.is_empty() && offset.is_multiple_of(SECTOR_BYTES as u64));
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let Some(unflushed) = self.written.last_mut() else {
            return Err(io::Error::other("not started"));
        };
        for (at, sector) in (offset / SECTOR_BYTES as u64..).zip(sectors) {
            if self.bad != Some(at) {
                self.now.insert(at, *sector);
            }
            unflushed.push((at, *sector));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.written.push(Vec::new());
        Ok(())
    }
}

impl Sectors {
    /// An empty medium.
    pub(crate) fn blank() -> Self {
        Self {
            written: vec![Vec::new()],
            ..Self::default()
        }
    }

    /// Forgets what was written so far; it stays on the medium.
    pub(crate) fn begin(&mut self) {
        self.written = vec![Vec::new()];
    }

    /// Number of sectors that were written since it began, in each flush.
    pub(crate) fn flushes(&self) -> Vec<usize> {
        self.written.iter().map(Vec::len).collect()
    }

    /// Number of sectors that were written since it began.
    pub(crate) fn writes(&self) -> usize {
        self.flushes().iter().sum()
    }

    /// Installs a version.
    pub(crate) fn put(&mut self, slot: Slot, named: &str, bytes: &[u8]) {
        self.try_to_put(slot, named, bytes).expect("installed");
    }

    /// Tries to install a version.
    pub(crate) fn try_to_put(
        &mut self,
        slot: Slot,
        named: &str,
        bytes: &[u8],
    ) -> Result<(), EspError> {
        let name: EntryName = named.parse().expect("a name");
        install(self, slot, name, bytes.len() as u64, &mut &*bytes)
    }

    /// What the medium holds in a slot, by its name and chain in either FAT.
    pub(crate) fn found(&mut self, slot: Slot) -> Option<(String, Vec<u8>)> {
        let version = read(self).expect("works").at(slot)?;
        let chain = layout::slot_chain(slot, u64::from(version.size_bytes));
        for offset in layout::fat_offsets(slot.first_cluster()) {
            let mut there = vec![0; chain.len()];
            Medium::read(self, offset, &mut there).expect("works");
            assert!(there == chain, "chain of {slot:?}");
        }
        let size_bytes = version.size_bytes as usize;
        let mut bytes = vec![0; size_bytes.next_multiple_of(SECTOR_BYTES)];
        Medium::read(self, cluster_offset(slot.first_cluster()), &mut bytes).expect("works");
        bytes.truncate(size_bytes);
        Some((version.name.to_string(), bytes))
    }

    /// Gives the states that a cut could leave of what was written since `before`: after each flush the writes that follow in their order up to one
    /// of about so many, and each time with a pseudorandom half of all of them, as a disk that orders them anew leaves it.
    pub(crate) fn crash_states(&self, before: &Self, steps: usize, mut judge: impl FnMut(Self)) {
        let mut random = 1u32;
        for flushes in 0..self.written.len() {
            let writes = self.written[flushes].len();
            for length in (0..=writes).step_by(1 + writes / steps) {
                judge(self.cut(before, flushes, |index| index < length));
                judge(self.cut(before, flushes, |_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    random >> 31 == 0
                }));
            }
        }
    }

    /// What a medium would hold had the power been cut: all flushed writes, and of those after the n-th flush the ones kept.
    fn cut(&self, before: &Self, flushes: usize, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut medium = before.clone();
        for (at, sector) in self.written[..flushes].iter().flatten() {
            medium.now.insert(*at, *sector);
        }
        for (index, (at, sector)) in self.written[flushes].iter().enumerate() {
            if keep(index) {
                medium.now.insert(*at, *sector);
            }
        }
        medium
    }
}

/// A partition without a version.
pub(crate) fn formatted() -> Sectors {
    let mut medium = Sectors::blank();
    let boot = Boot {
        file_name: "BOOTX64.EFI",
        loader: b"loader",
        settings: b"timeout 0\n",
        reset_entry: b"",
    };
    format(&mut medium, &boot, "hello").expect("works");
    medium
}
