//! Power cuts while a version is installed: whatever was written by then, the other versions are whole, and the new one is whole or absent.

use super::layout::{SECTOR_BYTES, cluster_offset};
use super::*;
use crate::error::EspError;
use std::collections::BTreeMap;

/// A medium in memory that remembers what was written between flushes.
#[derive(Clone, Default)]
struct Sectors {
    now: BTreeMap<u64, [u8; SECTOR_BYTES]>,
    /// One list of sectors a flush, in the order of writing; the last one is not flushed.
    written: Vec<Vec<(u64, [u8; SECTOR_BYTES])>>,
    /// A sector that does not keep what is written to it.
    bad: Option<u64>,
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

/// A version of some length; each byte depends on the seed.
fn version(seed: u8, size_bytes: usize) -> Vec<u8> {
    (0..size_bytes)
        .map(|at| (at / 7) as u8 ^ (at >> 9) as u8 ^ seed)
        .collect()
}

fn name(text: &str) -> EntryName {
    text.parse().expect("works")
}

fn put_into(medium: &mut Sectors, slot: Slot, named: &str, bytes: &[u8]) -> Result<(), EspError> {
    install(medium, slot, name(named), bytes.len() as u64, &mut &*bytes)
}

fn formatted() -> Sectors {
    let mut medium = Sectors {
        written: vec![Vec::new()],
        ..Sectors::default()
    };
    let boot = Boot {
        file_name: "BOOTX64.EFI",
        loader: b"loader",
        settings: b"timeout 0\n",
    };
    format(&mut medium, &boot, "hello").expect("works");
    medium
}

/// What the medium holds in a slot, by its name and chain in either FAT.
fn found(medium: &mut Sectors, slot: Slot) -> Option<(String, Vec<u8>)> {
    let version = read(medium).expect("works").at(slot)?;
    let chain = layout::slot_chain(slot, u64::from(version.size_bytes));
    for offset in layout::fat_offsets(slot.first_cluster()) {
        let mut there = vec![0; chain.len()];
        medium.read(offset, &mut there).expect("works");
        assert!(there == chain, "chain of {slot:?}");
    }
    let size_bytes = version.size_bytes as usize;
    let mut bytes = vec![0; size_bytes.next_multiple_of(SECTOR_BYTES)];
    medium
        .read(cluster_offset(slot.first_cluster()), &mut bytes)
        .expect("works");
    bytes.truncate(size_bytes);
    Some((version.name.to_string(), bytes))
}

/// What a medium would hold had the power been cut: all flushed writes before, and of those after the n-th flush the ones kept.
fn cut(
    before: &Sectors,
    written: &[Vec<(u64, [u8; SECTOR_BYTES])>],
    flushes: usize,
    mut keep: impl FnMut(usize) -> bool,
) -> Sectors {
    let mut medium = before.clone();
    for (at, sector) in written[..flushes].iter().flatten() {
        medium.now.insert(*at, *sector);
    }
    for (index, (at, sector)) in written[flushes].iter().enumerate() {
        if keep(index) {
            medium.now.insert(*at, *sector);
        }
    }
    medium
}

#[test]
fn a_cut_leaves_old_versions_whole_and_the_new_one_whole_or_absent() {
    let (old, recovery, replaced, new) = (
        version(1, 5000),
        version(2, 70_000),
        version(3, 40_000),
        version(4, 30_001),
    );
    let mut before = formatted();
    put_into(&mut before, Slot::A, "cf4.efi", &old).expect("works");
    put_into(&mut before, Slot::B, "cf3.efi", &replaced).expect("works");
    put_into(&mut before, Slot::Recovery, "cf0.efi", &recovery).expect("works");
    before.written = vec![Vec::new()];
    let mut after = before.clone();
    put_into(&mut after, Slot::B, "cf5+3.efi", &new).expect("works");

    let expected_old = Some(("cf4.efi".to_owned(), old));
    let expected_recovery = Some(("cf0.efi".to_owned(), recovery));
    let expected_replaced = Some(("cf3.efi".to_owned(), replaced));
    let expected_new = Some(("cf5+3-0.efi".to_owned(), new));
    let mut seen = BTreeMap::new();
    let mut judge = |mut medium: Sectors| {
        assert_eq!(found(&mut medium, Slot::A), expected_old);
        assert_eq!(found(&mut medium, Slot::Recovery), expected_recovery);
        let there = found(&mut medium, Slot::B);
        assert!(there.is_none() || there == expected_new || there == expected_replaced);
        *seen.entry(there.map(|(name, _)| name)).or_insert(0) += 1;
    };
    // Each prefix of the writes after each flush, in their order and with a pseudorandom half of them missing.
    let mut random = 1u32;
    for flushes in 0..after.written.len() {
        let writes = after.written[flushes].len();
        for length in (0..=writes).step_by(1 + writes / 60) {
            judge(cut(&before, &after.written, flushes, |index| {
                index < length
            }));
            judge(cut(&before, &after.written, flushes, |_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                random >> 31 == 0
            }));
        }
    }
    let names: Vec<_> = seen.keys().flatten().map(String::as_str).collect();
    assert_eq!(names, ["cf3.efi", "cf5+3-0.efi"]);
    assert!(seen[&None] > 60, "{seen:?}");
}

#[test]
fn a_version_is_renamed_and_removed_by_one_sector() {
    let mut medium = formatted();
    put_into(&mut medium, Slot::A, "cf1.efi", &version(1, 513)).expect("works");
    put_into(&mut medium, Slot::B, "cf2+3.efi", &version(2, 4096)).expect("works");
    medium.written = vec![Vec::new()];
    rename(&mut medium, Slot::B, name("cf2.efi")).expect("works");
    assert_eq!(medium.written[0].len(), 1);
    assert_eq!(
        found(&mut medium, Slot::B),
        Some(("cf2.efi".to_owned(), version(2, 4096)))
    );
    remove(&mut medium, Slot::A).expect("works");
    assert_eq!(medium.written[1].len(), 1);
    assert_eq!(found(&mut medium, Slot::A), None);
    assert!(matches!(
        rename(&mut medium, Slot::A, name("cf3.efi")),
        Err(EspError::NoVersion(Slot::A))
    ));
}

#[test]
fn what_reads_otherwise_is_not_named() {
    let mut medium = formatted();
    put_into(&mut medium, Slot::A, "cf1.efi", &version(1, 9000)).expect("works");
    medium.bad = Some(cluster_offset(Slot::B.first_cluster()) / SECTOR_BYTES as u64 + 3);
    let refused = put_into(&mut medium, Slot::B, "cf2+3.efi", &version(2, 9000));
    assert!(matches!(refused, Err(EspError::ReadsOtherwise(Slot::B))));
    assert_eq!(found(&mut medium, Slot::B), None);
    assert!(found(&mut medium, Slot::A).is_some());
}

#[test]
fn nothing_is_written_to_what_is_not_ours() {
    let mut medium = Sectors {
        written: vec![Vec::new()],
        ..Sectors::default()
    };
    let refused = put_into(&mut medium, Slot::A, "cf1.efi", &version(1, 9000));
    assert!(matches!(refused, Err(EspError::NotOurs)));
    let mut medium = formatted();
    medium.written = vec![Vec::new()];
    for size_bytes in [0, SLOT_BYTES + 1] {
        let refused = install(
            &mut medium,
            Slot::A,
            name("cf1.efi"),
            size_bytes,
            &mut io::empty(),
        );
        assert!(matches!(refused, Err(EspError::TooLong(_))));
    }
    assert!(write_note(&mut medium, &"x".repeat(NOTE_BYTES + 1)).is_err());
    assert!(medium.written.concat().is_empty());
}

#[test]
fn a_source_that_ends_early_leaves_the_slot_empty() {
    let mut medium = formatted();
    put_into(&mut medium, Slot::B, "cf1.efi", &version(1, 9000)).expect("works");
    let refused = install(
        &mut medium,
        Slot::B,
        name("cf2.efi"),
        9000,
        &mut &version(2, 8999)[..],
    );
    assert!(matches!(refused, Err(EspError::Source(_))));
    assert_eq!(found(&mut medium, Slot::B), None);
}

#[test]
fn the_note_is_one_sector() {
    let mut medium = formatted();
    medium.written = vec![Vec::new()];
    write_note(&mut medium, "claim code: 1234 5678\r\n").expect("works");
    assert_eq!(medium.written.concat().len(), 1);
}
