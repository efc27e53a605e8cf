//! Mending on two simulated disks: what one has lost comes back from the other, to the byte, and nothing else is touched.

use crate::disk::{Disk, Open};
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};
use crate::store_tests::{bytes, message, open_with, options, put, smtp, verify, with_attachment};
use crate::volume::{self, Found, Volume};
use crate::{Error, MendReport, Moment, Side, Store};
use archive::{AlarmKind, EventKind};
use std::path::Path;
use std::sync::Arc;

const VOLUME_BYTES_MAX: u64 = 4_000;

/// An archive of several volumes and its copy, to the byte.
fn two_disks() -> (SimDisk, SimDisk) {
    let disk = SimDisk::new();
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    for i in 0..24 {
        let mail = message(i, &format!("{i} gemeinsam ").repeat(60));
        put(&store, &mail, smtp(&["x@y.example"]));
    }
    put(&store, &with_attachment(7, 700_000), smtp(&["x@y.example"]));
    store.checkpoint().expect("signed");
    store.flush().expect("flushed");
    drop(store);
    let copy = SimDisk::new();
    copy.create_dir(Path::new(volume::FOLDER)).expect("made");
    let identity = disk.read(Path::new("identity")).expect("there");
    copy.replace(Path::new("identity"), &identity)
        .expect("written");
    for (name, bytes) in volumes(&disk) {
        copy.replace(Path::new(&name), &bytes).expect("written");
    }
    (disk, copy)
}

fn volumes(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let numbers = volume::numbers(disk).expect("listed");
    let read = |number: &u64| {
        let name = volume::file_name(*number);
        let bytes = disk.read(Path::new(&name)).expect("there");
        (name, bytes)
    };
    numbers.iter().map(read).collect()
}

fn spoil(disk: &SimDisk, number: u64, at: u64, count: usize) {
    let name = volume::file_name(number);
    let file = disk.open(Path::new(&name), Open::Write).expect("there");
    file.write_all_at(at, &vec![0x5a; count]).expect("written");
    file.sync_data().expect("synced");
}

fn remove(disk: &SimDisk, number: u64) {
    let name = volume::file_name(number);
    disk.remove(Path::new(&name)).expect("there");
    disk.sync_dir(Path::new(volume::FOLDER)).expect("synced");
}

fn frames(disk: &SimDisk, number: u64) -> Vec<(u64, u64)> {
    let volume = Volume::open(disk, number, false).expect("there");
    let (mut at, mut frames) = (volume::HEADER_BYTES, Vec::new());
    while let Found::Frame(frame) = volume.find_at(at).expect("readable") {
        let end = at + frame.header.frame_bytes();
        frames.push((at, end));
        at = end;
    }
    frames
}

fn mend(store: &Store, copy: &SimDisk) -> MendReport {
    store.mend(copy, &mut |_, _| {}).expect("readable")
}

#[test]
fn damage_is_found_by_itself_after_a_month() {
    let (disk, _) = two_disks();
    spoil(&disk, 2, 700, 3);
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    let leaves = store.progress().expect("open").0;
    drop(store);
    let mut options = options(VOLUME_BYTES_MAX);
    options.upkeep = crate::WhenUpkeep::Idle;
    let clock = options.clock.clone();
    options.clock = Arc::new(move || {
        let now = clock();
        Moment {
            at_us: now.at_us + 31 * 24 * 3600 * 1_000_000,
            ..now
        }
    });
    let store = Store::open(Arc::new(disk.clone()), options, &mut |_| {}).expect("opens");
    store.wait_for_leaves(leaves + 1);
    let told = store.leaf(leaves + 1).expect("logged").leaf.body;
    let is_alarm = |event: &archive::Event| {
        event.kind == EventKind::Alarm
            && event.rule == AlarmKind::DamageLeft.name()
            && event.text.contains("00000002.vol")
    };
    assert!(
        matches!(&told, crate::LeafBody::Event(event) if is_alarm(event)),
        "{told:?}"
    );
}

/// What happens to a disk before it is mended.
type Harm = fn(&SimDisk);

const HARMS: [(&str, Harm); 9] = [
    ("a byte", |disk| spoil(disk, 2, 700, 1)),
    ("the header", |disk| spoil(disk, 2, 20, 60)),
    ("header and first frame", |disk| spoil(disk, 2, 0, 400)),
    ("the seal", |disk| {
        let (at, _) = *frames(disk, 2).last().expect("frames");
        spoil(disk, 2, at + 40, 5);
    }),
    ("several frames", |disk| {
        let all = frames(disk, 3);
        spoil(disk, 3, all[1].0, 3);
        spoil(disk, 3, all[3].0 + 20, 30);
    }),
    ("a run over many frames", |disk| {
        let all = frames(disk, 2);
        spoil(disk, 2, all[1].0 + 5, (all[5].1 - all[1].0) as usize);
    }),
    ("the end of a sealed volume", |disk| {
        let (at, _) = frames(disk, 3)[4];
        let name = volume::file_name(3);
        let file = disk.open(Path::new(&name), Open::Write).expect("there");
        file.set_len(at + 7).expect("cut");
    }),
    ("a whole file", |disk| remove(disk, 2)),
    ("the open volume", |disk| {
        let last = *volume::numbers(disk).expect("listed").last().expect("some");
        let (at, _) = frames(disk, last)[0];
        spoil(disk, last, at + 10, 9);
    }),
];

#[test]
fn each_disk_is_mended_from_the_other_to_the_byte() {
    for (what, harm) in HARMS {
        for side in [Side::Own, Side::Copy] {
            let (disk, copy) = two_disks();
            let whole = volumes(&disk);
            let hurt = match side {
                Side::Own => &disk,
                Side::Copy => &copy,
            };
            let store = open_with(&disk, VOLUME_BYTES_MAX);
            let open = store.progress().expect("open").0;
            harm(hurt);
            assert!(volumes(hurt) != whole, "{what}");
            let report = mend(&store, &copy);
            assert!(!report.mended.is_empty(), "{what} {side:?} {report:?}");
            assert!(report.mended.iter().all(|mended| mended.side == side));
            assert_eq!(
                (&report.left, &report.left_on_copy),
                (&vec![], &vec![]),
                "{what}"
            );
            assert!(!report.wants_rebuild, "{what}");
            assert_eq!(verify(&store).findings, [], "{what}");
            let logged = store.leaf(open + 1).expect("logged").leaf.body;
            assert!(
                matches!(logged, crate::LeafBody::Event(event) if event.kind == EventKind::Mended)
            );
            drop(store);
            // The event came behind what was there.
            for ((name, was), (_, is)) in whole.iter().zip(volumes(hurt)) {
                let end = was
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |at| at + 1);
                assert!(is[..end] == was[..end], "{what} {side:?}: {name}");
            }
        }
    }
}

#[test]
fn what_both_have_lost_is_named_and_the_rest_is_mended() {
    let (disk, copy) = two_disks();
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    let all = frames(&disk, 2);
    for (hurt, lost) in [(&disk, [1, 3]), (&copy, [3, 5])] {
        for frame in lost {
            spoil(hurt, 2, all[frame].0 + 35, 4);
        }
    }
    let report = mend(&store, &copy);
    assert_eq!(report.mended.len(), 2, "{report:?}");
    let left = |findings: &[crate::Finding]| -> Vec<Option<u64>> {
        findings.iter().map(|finding| finding.offset).collect()
    };
    assert_eq!(left(&report.left), [Some(all[3].0)]);
    assert_eq!(left(&report.left_on_copy), [Some(all[3].0)]);
    assert_eq!(verify(&store).findings.len(), 1);
}

fn is_packed_anew(disk: &SimDisk, number: u64) -> bool {
    let header = Volume::open(disk, number, false).expect("there").header;
    header.recompressed
}

/// Packs volumes of the own disk anew; gives the number of the first of them.
fn pack_anew(store: &Store, disk: &SimDisk) -> u64 {
    let done = store.recompress(false, &mut |_, _| {});
    assert!(done.expect("done").volumes >= 1);
    let mut numbers = volume::numbers(disk).expect("listed").into_iter();
    numbers
        .find(|number| is_packed_anew(disk, *number))
        .expect("one")
}

/// The own disk has its volumes packed anew; damage on one of the disks is mended from the other one's form.
fn check_other_form(hurt: Side, harm: fn(&SimDisk, u64)) {
    let (disk, copy) = two_disks();
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    let number = pack_anew(&store, &disk);
    let (hurt_disk, whole) = match hurt {
        Side::Own => (&disk, &copy),
        Side::Copy => (&copy, &disk),
    };
    harm(hurt_disk, number);
    let report = mend(&store, &copy);
    assert_eq!((&report.left, &report.left_on_copy), (&vec![], &vec![]));
    assert_eq!(report.mended.len(), 1, "{report:?}");
    assert_eq!(report.mended[0].side, hurt);
    assert!(volumes(&disk)[number as usize - 1] == volumes(&copy)[number as usize - 1]);
    assert_eq!(
        is_packed_anew(hurt_disk, number),
        is_packed_anew(whole, number)
    );
    assert_eq!(verify(&store).findings, []);
    let mail = message(2, &"2 gemeinsam ".repeat(60));
    let check = |store: &Store| {
        let number = store.number_of(&crate::sha256(&mail)).expect("there");
        assert_eq!(bytes(store, number), mail);
        assert_eq!(verify(store).findings, []);
    };
    check(&store);
    drop(store);
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    check(&store);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    check(&store);
}

#[test]
fn a_volume_in_another_form_is_taken_over_whole() {
    let harms: [fn(&SimDisk, u64); 3] = [
        |disk, number| spoil(disk, number, 20, 30),
        |disk, number| spoil(disk, number, 400, 30),
        remove,
    ];
    for harm in harms {
        check_other_form(Side::Own, harm);
        check_other_form(Side::Copy, harm);
    }
}

#[test]
fn a_missing_volume_that_the_other_copy_lacks_or_that_is_written_is_named() {
    let (disk, copy) = two_disks();
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    let last = *volume::numbers(&disk)
        .expect("listed")
        .last()
        .expect("some");
    remove(&disk, 2);
    remove(&copy, 2);
    remove(&copy, last);
    let report = mend(&store, &copy);
    assert_eq!((report.left.len(), report.left_on_copy.len()), (1, 2));
    assert!(report.left[0].what.contains("the file is missing"));
    assert!(report.left_on_copy[1].what.contains("is written"));
    assert!(report.mended.is_empty(), "{report:?}");
    // It costs what was in it, and nothing else.
    assert!(!verify(&store).findings.is_empty());
    let mail = message(20, &"20 gemeinsam ".repeat(60));
    let number = store.number_of(&crate::sha256(&mail)).expect("there");
    assert_eq!(bytes(&store, number), mail);
}

#[test]
fn a_volume_in_another_form_that_does_not_hold_either_is_left() {
    let (disk, copy) = two_disks();
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    let number = pack_anew(&store, &disk);
    spoil(&disk, number, 400, 3);
    spoil(&copy, number, 500, 3);
    let before = (volumes(&disk), volumes(&copy));
    let report = mend(&store, &copy);
    assert!(report.mended.is_empty(), "{report:?}");
    assert_eq!((report.left.len(), report.left_on_copy.len()), (1, 1));
    assert_eq!(store.known_damage().expect("open").len(), 2);
    let open = before.0.len() - 1;
    assert!(volumes(&disk)[..open] == before.0[..open]);
    assert!(volumes(&copy) == before.1);
}

#[test]
fn what_another_archive_has_is_not_taken() {
    let (disk, copy) = two_disks();
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    let (_, other) = two_disks();
    assert!(matches!(
        store.mend(&other, &mut |_, _| {}),
        Err(Error::NotAnArchive(_))
    ));
    // The same identity over other volumes: nothing there has the hashes that the seals name.
    let identity = copy.read(Path::new("identity")).expect("there");
    other
        .replace(Path::new("identity"), &identity)
        .expect("written");
    spoil(&disk, 2, 700, 4);
    let before = volumes(&disk);
    let report = mend(&store, &other);
    assert!(
        report.mended.is_empty() && !report.left.is_empty(),
        "{report:?}"
    );
    assert!(!report.left_on_copy.is_empty());
    assert!(volumes(&disk) == before);
}

#[test]
fn a_catalog_made_over_damage_is_to_be_made_again() {
    let (disk, copy) = two_disks();
    let mail = message(5, &"5 gemeinsam ".repeat(60));
    let digest = crate::sha256(&mail);
    let at = frames(&disk, 1)[7].0;
    spoil(&disk, 1, at + 40, 300);
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert!(store.number_of(&digest).is_err() || !verify(&store).findings.is_empty());
    let report = mend(&store, &copy);
    assert!(
        !report.mended.is_empty() && report.wants_rebuild,
        "{report:?}"
    );
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert_eq!(verify(&store).findings, []);
    assert_eq!(bytes(&store, store.number_of(&digest).expect("back")), mail);
}

#[test]
fn mending_that_is_broken_off_harms_nothing_and_can_be_done_again() {
    for kind in [
        FaultKind::Error,
        FaultKind::ErrorOnce,
        FaultKind::TornWrite,
        FaultKind::LostUnsynced,
    ] {
        for step in 1..6 {
            let (disk, copy) = two_disks();
            let all = frames(&disk, 2);
            spoil(&disk, 2, all[1].0 + 3, 2_000);
            let store = open_with(&disk, VOLUME_BYTES_MAX);
            let at_step = disk.steps() + step;
            disk.set_fault(Some(Fault { at_step, kind }));
            // It may be named as left, too.
            let _ = store.mend(&copy, &mut |_, _| {});
            drop(store);
            disk.crash(Crash::KeepSome { seed: step });
            let store = open_with(&disk, VOLUME_BYTES_MAX);
            mend(&store, &copy);
            assert_eq!(verify(&store).findings, [], "{kind:?} at {step}");
        }
    }
}
