//! Files on their way into a slot: what is not what was signed writes nothing, and a power cut at any write leaves a box that starts.

use crate::client::Client;
use crate::error::{InstallError, chain};
use crate::esp::test_medium::{Sectors, formatted};
use crate::esp::{self, EntryName, Slot, Versions};
use crate::hex;
use crate::installation::{Kept, copy, free_slot, install, mark_bad, mark_good, next_name, verify};
use crate::metadata::Target;
use crate::release::Release;
use crate::release::tests::release;
use crate::test_repository::{Follower, TestRepository};
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

/// A version of some length; each byte depends on the seed.
fn version(seed: u8, size_bytes: usize) -> Vec<u8> {
    (0..size_bytes)
        .map(|at| (at / 7) as u8 ^ (at >> 9) as u8 ^ seed)
        .collect()
}

fn name(text: &str) -> EntryName {
    text.parse().expect("a name")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("packed")
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("room");
    file
}

/// What is signed for a version that is packed so.
fn signed(version: &[u8], packed: &[u8]) -> (Target, Release) {
    let mut release = release("0.2.0");
    release.unpacked.length = version.len() as u64;
    release.unpacked.sha256 = hex::encode(digest(&SHA256, version).as_ref());
    let mut repository = TestRepository::new();
    repository.add_target("targets", &release.path(), packed);
    repository.publish_all();
    let client: Client = Follower::new(&repository)
        .refresh(&repository)
        .expect("trusted");
    let target = client.top_level_targets().remove(0);
    (target, release)
}

#[test]
fn what_is_not_what_was_signed_writes_nothing() {
    let new = version(9, 300_000);
    let fetched = packed(&new);
    let (target, right) = signed(&new, &fetched);
    let check = |bytes: &[u8], target: &Target, release: &Release, expected: &str| {
        let mut medium = formatted();
        medium.begin();
        let (mut file, on_trial) = (file(bytes), name("cf2+3.efi"));
        let done = verify(&mut file, target, release)
            .and_then(|()| install(&mut medium, Slot::B, on_trial, &mut file, &release.unpacked));
        let text = done.map_err(|error| chain(&error)).expect_err("refused");
        assert!(text.starts_with(expected), "{text}");
        if expected.ends_with("unpacked") {
            let done = install(&mut medium, Slot::B, on_trial, &mut file, &release.unpacked);
            assert!(matches!(done, Err(InstallError::Unpack(_))), "{done:?}");
        }
        assert_eq!(medium.writes(), 0, "{text}");
    };
    let cut = &fetched[..fetched.len() - 1];
    check(cut, &target, &right, "what was fetched is refused");
    check(b"", &target, &right, "what was fetched is refused");
    let mut flipped = fetched.clone();
    flipped[1000] ^= 1;
    check(&flipped, &target, &right, "what was fetched is refused");
    // Signed, but not what it says of itself.
    let unpacks = "what was fetched cannot be unpacked";
    let mut wrong = right.clone();
    wrong.unpacked.length -= 1;
    check(&fetched, &target, &wrong, unpacks);
    wrong.unpacked.length += 2;
    check(&fetched, &target, &wrong, unpacks);
    let mut wrong = right.clone();
    wrong.unpacked.sha256 = "00".repeat(32);
    check(&fetched, &target, &wrong, unpacks);
    let (target, release) = signed(&new, &new);
    check(&new, &target, &release, unpacks);
}

#[test]
fn a_bomb_is_read_no_further_than_was_signed() {
    let bomb = packed(&vec![0; 50 << 20]);
    let (target, mut release) = signed(b"x", &bomb);
    release.unpacked.length = 1000;
    let refused = verify(&mut file(&bomb), &target, &release);
    assert!(matches!(refused, Err(InstallError::Unpack(_))));
}

#[test]
fn the_slot_that_runs_and_the_last_good_one_stay() {
    let check = |names: [Option<&str>; 2], running, last_good, expected: Option<Slot>| {
        let mut versions = Versions::default();
        for (slot, named) in [Slot::A, Slot::B].into_iter().zip(names) {
            let version = named.map(|named| esp::Version {
                name: name(named),
                size_bytes: 1,
            });
            versions = versions.with(slot, version);
        }
        let kept = Kept { running, last_good };
        assert_eq!(free_slot(&versions, kept), expected, "{names:?} {kept:?}");
    };
    use Slot::{A, B, Recovery};
    check([Some("cf1.efi"), None], A, A, Some(B));
    check([Some("cf1.efi"), Some("cf2.efi")], B, B, Some(A));
    // On trial: both are needed.
    check([Some("cf1.efi"), Some("cf2+2-1.efi")], B, A, None);
    check([Some("cf1.efi"), Some("cf2.efi")], Recovery, B, Some(A));
    let both = [Some("cf1.efi"), Some("cf2.efi")];
    check(both, Recovery, Recovery, Some(A));
    let bad = [Some("cf1.efi"), Some("cf2+0-3.efi")];
    check(bad, Recovery, Recovery, Some(B));
    check([Some("cf1.efi"), None], Recovery, Recovery, Some(B));
}

#[test]
fn install_counters_go_up_and_begin_anew() {
    let check = |names: &[&str], expected: &str| {
        let mut versions = Versions::default();
        for (slot, named) in [Slot::A, Slot::B].into_iter().zip(names) {
            let version = esp::Version {
                name: name(named),
                size_bytes: 1,
            };
            versions = versions.with(slot, Some(version));
        }
        let found = next_name(&versions, 3).expect("a name").to_string();
        assert_eq!(found, expected, "{names:?}");
    };
    check(&[], "cf1+3-0.efi");
    check(&["cf1.efi"], "cf2+3-0.efi");
    check(&["cf5.efi", "cf4+0-3.efi"], "cf6+3-0.efi");
    check(&["cf999.efi", "cf998.efi"], "cf1+3-0.efi");
    assert_eq!(next_name(&Versions::default(), 0), None);
}

/// What a boot loader starts of what it finds: the version with the highest counter that has tries left or is good.
fn starts(medium: &mut Sectors) -> Option<Slot> {
    let versions = esp::read(medium).expect("ours");
    let named = |slot: Slot| Some((versions.at(slot)?.name, slot));
    let tried = [Slot::A, Slot::B].into_iter().filter_map(named);
    let usable = tried.filter(|(name, _)| name.tries().is_none_or(|tries| tries.left > 0));
    usable
        .max_by_key(|(name, _)| name.install())
        .map(|(_, slot)| slot)
}

/// The whole way of an update, with every crash state that its writes can leave: those of installing, of marking good and of going back.
#[test]
fn a_power_cut_at_any_write_leaves_one_of_the_two_versions() {
    let (old, older, new) = (version(1, 50_000), version(2, 40_000), version(3, 260_001));
    let fetched = packed(&new);
    let (target, release) = signed(&new, &fetched);
    let mut before = formatted();
    before.put(Slot::A, "cf4.efi", &old);
    before.put(Slot::B, "cf3.efi", &older);
    before.put(Slot::Recovery, "cf0.efi", &old);
    before.begin();
    let mut after = before.clone();
    let on_trial = next_name(&esp::read(&mut after).expect("ours"), 3).expect("a name");
    let mut fetched_file = file(&fetched);
    verify(&mut fetched_file, &target, &release).expect("as it was signed");
    install(
        &mut after,
        Slot::B,
        on_trial,
        &mut fetched_file,
        &release.unpacked,
    )
    .expect("installed");
    mark_good(&mut after, Slot::B).expect("marked");
    mark_bad(&mut after, Slot::B).expect("marked");

    let mut seen: BTreeMap<(Option<Slot>, Option<String>), usize> = BTreeMap::new();
    let mut states = 0;
    after.crash_states(&before, 400, |mut medium| {
        states += 1;
        assert_eq!(
            medium.found(Slot::A),
            Some(("cf4.efi".to_owned(), old.clone()))
        );
        assert_eq!(
            medium.found(Slot::Recovery),
            Some(("cf0.efi".to_owned(), old.clone()))
        );
        let there = medium.found(Slot::B);
        let named = there.as_ref().map(|(named, _)| named.clone());
        if let Some((named, bytes)) = there {
            let expected = if named == "cf3.efi" { &older } else { &new };
            assert!(bytes == *expected, "{named} is not whole");
        }
        *seen.entry((starts(&mut medium), named)).or_insert(0) += 1;
    });
    assert!(states >= 300, "{states}");
    let kinds: Vec<_> = seen
        .keys()
        .map(|(slot, named)| (*slot, named.as_deref()))
        .collect();
    let expected = [
        (Some(Slot::A), None),
        (Some(Slot::A), Some("cf3.efi")),
        (Some(Slot::A), Some("cf5+0-1.efi")),
        (Some(Slot::B), Some("cf5+3-0.efi")),
        (Some(Slot::B), Some("cf5.efi")),
    ];
    assert_eq!(kinds, expected, "{seen:?}");
}

#[test]
fn a_partition_that_cannot_be_written_leaves_the_box_as_it_was() {
    let new = version(3, 60_000);
    let fetched = packed(&new);
    let (_, release) = signed(&new, &fetched);
    let old = version(1, 50_000);
    let mut medium = formatted();
    medium.put(Slot::A, "cf4.efi", &old);
    medium.begin();
    medium.read_only = true;
    let mut file = file(&fetched);
    let done = install(
        &mut medium,
        Slot::B,
        name("cf5+3.efi"),
        &mut file,
        &release.unpacked,
    );
    let text = chain(&done.expect_err("read-only"));
    assert!(
        text.starts_with("the EFI partition fails: cannot write"),
        "{text}"
    );
    assert_eq!(medium.found(Slot::A), Some(("cf4.efi".to_owned(), old)));
    assert_eq!(starts(&mut medium), Some(Slot::A));
}

#[test]
fn a_version_is_copied_to_another_partition_and_known_by_what_it_says() {
    let stub = version_that_says("VERSION_ID=0.3.1\n");
    let mut from = formatted();
    from.put(Slot::A, "cf7.efi", &stub);
    let mut to = formatted();
    let good = name("cf3.efi");
    copy((&mut from, Slot::A), (&mut to, Slot::B), good).expect("copied");
    assert_eq!(to.found(Slot::B), Some(("cf3.efi".to_owned(), stub)));
    let said = esp::version_number(&mut to, Slot::B).expect("readable");
    assert_eq!(said.map(|it| it.to_string()).as_deref(), Some("0.3.1"));
    assert_eq!(
        esp::version_number(&mut to, Slot::A).expect("readable"),
        None
    );
    to.put(Slot::A, "cf8.efi", &version(1, 9000));
    assert_eq!(
        esp::version_number(&mut to, Slot::A).expect("readable"),
        None
    );
    assert!(copy((&mut from, Slot::B), (&mut to, Slot::A), good).is_err());
}

/// As much of a PE program as says what it is: two sections, of which the second is `.osrel`.
fn version_that_says(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; 3000];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, b"MZ");
    put(0x3c, &0x80u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x86, &2u16.to_le_bytes());
    put(0x94, &0x70u16.to_le_bytes());
    let table = 0x80 + 24 + 0x70;
    put(table, b".text\0\0\0");
    put(table + 40, b".osrel\0\0");
    put(table + 48, &(text.len() as u32).to_le_bytes());
    put(table + 60, &1024u32.to_le_bytes());
    put(1024, text.as_bytes());
    bytes
}
