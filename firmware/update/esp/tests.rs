//! Power cuts while a version is installed: whatever was written by then, the other versions are whole, and the new one is whole or absent.

use super::layout::{SECTOR_BYTES, cluster_offset};
use super::test_medium::{Sectors, formatted};
use super::*;
use crate::error::EspError;
use std::collections::BTreeMap;

/// A version of some length; each byte depends on the seed.
fn version(seed: u8, size_bytes: usize) -> Vec<u8> {
    (0..size_bytes)
        .map(|at| (at / 7) as u8 ^ (at >> 9) as u8 ^ seed)
        .collect()
}

fn name(text: &str) -> EntryName {
    text.parse().expect("works")
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
    before.try_to_put(Slot::A, "cf4.efi", &old).expect("works");
    before
        .try_to_put(Slot::B, "cf3.efi", &replaced)
        .expect("works");
    before
        .try_to_put(Slot::Recovery, "cf0.efi", &recovery)
        .expect("works");
    before.begin();
    let mut after = before.clone();
    after.try_to_put(Slot::B, "cf5+3.efi", &new).expect("works");

    let expected_old = Some(("cf4.efi".to_owned(), old));
    let expected_recovery = Some(("cf0.efi".to_owned(), recovery));
    let expected_replaced = Some(("cf3.efi".to_owned(), replaced));
    let expected_new = Some(("cf5+3-0.efi".to_owned(), new));
    let mut seen = BTreeMap::new();
    let mut judge = |mut medium: Sectors| {
        assert_eq!(medium.found(Slot::A), expected_old);
        assert_eq!(medium.found(Slot::Recovery), expected_recovery);
        let there = medium.found(Slot::B);
        assert!(there.is_none() || there == expected_new || there == expected_replaced);
        *seen.entry(there.map(|(name, _)| name)).or_insert(0) += 1;
    };
    after.crash_states(&before, 60, &mut judge);
    let names: Vec<_> = seen.keys().flatten().map(String::as_str).collect();
    assert_eq!(names, ["cf3.efi", "cf5+3-0.efi"]);
    assert!(seen[&None] > 60, "{seen:?}");
}

#[test]
fn a_version_is_renamed_and_removed_by_one_sector() {
    let mut medium = formatted();
    medium
        .try_to_put(Slot::A, "cf1.efi", &version(1, 513))
        .expect("works");
    medium
        .try_to_put(Slot::B, "cf2+3.efi", &version(2, 4096))
        .expect("works");
    medium.begin();
    rename(&mut medium, Slot::B, name("cf2.efi")).expect("works");
    assert_eq!(medium.flushes(), [1, 0]);
    assert_eq!(
        medium.found(Slot::B),
        Some(("cf2.efi".to_owned(), version(2, 4096)))
    );
    remove(&mut medium, Slot::A).expect("works");
    assert_eq!(medium.flushes(), [1, 1, 0]);
    assert_eq!(medium.found(Slot::A), None);
    assert!(matches!(
        rename(&mut medium, Slot::A, name("cf3.efi")),
        Err(EspError::NoVersion(Slot::A))
    ));
}

#[test]
fn what_reads_otherwise_is_not_named() {
    let mut medium = formatted();
    medium
        .try_to_put(Slot::A, "cf1.efi", &version(1, 9000))
        .expect("works");
    medium.bad = Some(cluster_offset(Slot::B.first_cluster()) / SECTOR_BYTES as u64 + 3);
    let refused = medium.try_to_put(Slot::B, "cf2+3.efi", &version(2, 9000));
    assert!(matches!(refused, Err(EspError::ReadsOtherwise(Slot::B))));
    assert_eq!(medium.found(Slot::B), None);
    assert!(medium.found(Slot::A).is_some());
}

#[test]
fn nothing_is_written_to_what_is_not_ours() {
    let mut medium = Sectors::blank();
    let refused = medium.try_to_put(Slot::A, "cf1.efi", &version(1, 9000));
    assert!(matches!(refused, Err(EspError::NotOurs)));
    let mut medium = formatted();
    medium.begin();
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
    assert_eq!(medium.writes(), 0);
}

#[test]
fn a_source_that_ends_early_leaves_the_slot_empty() {
    let mut medium = formatted();
    medium
        .try_to_put(Slot::B, "cf1.efi", &version(1, 9000))
        .expect("works");
    let refused = install(
        &mut medium,
        Slot::B,
        name("cf2.efi"),
        9000,
        &mut &version(2, 8999)[..],
    );
    assert!(matches!(refused, Err(EspError::Source(_))));
    assert_eq!(medium.found(Slot::B), None);
}

#[test]
fn the_note_is_one_sector() {
    let mut medium = formatted();
    medium.begin();
    write_note(&mut medium, "claim code: 1234 5678\r\n").expect("works");
    assert_eq!(medium.writes(), 1);
}
