//! Two disks of one archive, simulated: in step, detached, catching up, taking over, gone separate ways.

#![expect(clippy::print_stdout, reason = "a test says what it has measured")]

use crate::catalog::Catalog;
use crate::copies::CopyState;
use crate::disk::{Disk, Open};
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};
use crate::identity::Identity;
use crate::recompress_tests::on_its_way;
use crate::store_tests::{bytes, find, message, options, put, smtp, verify, with_attachment};
use crate::volume::{self, Volume};
use crate::volume_files::VolumeFiles;
use crate::{
    Error, LeafBody, Moment, Options, Receipt, Recompressed, Result, Side, StateTable, Store,
};
use archive::EventKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for a state before it fails.
const WAIT: Duration = Duration::from_secs(120);

/// Small, so that a test rolls volumes.
pub(crate) const VOLUME_BYTES_MAX: u64 = 20_000;

fn two_disk_options() -> Options {
    Options {
        follower_patience: Duration::from_millis(300),
        ..options(VOLUME_BYTES_MAX)
    }
}

fn try_open(disk: &SimDisk, copy: Option<&SimDisk>) -> Result<Store> {
    let copy = copy.map(|copy| Arc::new(copy.clone()) as Arc<dyn Disk>);
    Store::open_with_copy(
        Arc::new(disk.clone()),
        copy,
        two_disk_options(),
        &mut |_| {},
    )
}

fn open_two(disk: &SimDisk, copy: &SimDisk) -> Store {
    try_open(disk, Some(copy)).expect("the archive opens")
}

fn open_one(disk: &SimDisk) -> Store {
    try_open(disk, None).expect("the archive opens")
}

/// Waits until the second disk is what the test expects.
fn wait_for(store: &Store, what: &str, is_there: impl Fn(&CopyState) -> bool) -> CopyState {
    let begin = Instant::now();
    loop {
        match store.copy_state() {
            Some(state) if is_there(&state) => return state,
            state => assert!(begin.elapsed() < WAIT, "not {what} in time: {state:?}"),
        }
        std::thread::yield_now();
    }
}

fn wait_in_step(store: &Store) {
    wait_for(store, "in step", |state| *state == CopyState::InStep);
}

fn is_detached(state: &CopyState) -> bool {
    matches!(state, CopyState::Detached { .. })
}

/// Puts some mail in, enough for several volumes.
fn put_some(store: &Store, from: u32, count: u32) -> Vec<(Receipt, Vec<u8>)> {
    let mail = |id| match id % 3 {
        0 => with_attachment(id, 7_000 + id as usize),
        _ => message(id, &format!("wort{id} ").repeat(80)),
    };
    let mails = (from..from + count).map(mail);
    mails
        .map(|mail| (put(store, &mail, smtp(&["x@y.example"])), mail))
        .collect()
}

fn check_kept(store: &Store, kept: &[(Receipt, Vec<u8>)]) {
    for (receipt, mail) in kept {
        assert!(bytes(store, receipt.number) == *mail);
    }
    assert_eq!(verify(store).findings, []);
}

/// Both disks hold the same volumes, but for free space at the end.
fn check_same_volumes(one: &SimDisk, two: &SimDisk) {
    let numbers = volume::numbers(one).expect("listed");
    assert_eq!(numbers, volume::numbers(two).expect("listed"));
    for number in numbers {
        let read = |disk: &SimDisk| {
            let name = volume::file_name(number);
            let mut bytes = disk.read(Path::new(&name)).expect("readable");
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            bytes.truncate(end);
            bytes
        };
        assert!(read(one) == read(two), "volume {number}");
    }
}

fn identity(disk: &SimDisk) -> Identity {
    Identity::read(disk).expect("readable").expect("there")
}

/// Kinds of the events in the archive that tell of its membership.
fn membership_events(store: &Store) -> Vec<EventKind> {
    let (leaves, _) = store.progress().expect("open");
    let event = |number| match store.leaf(number).expect("readable").leaf.body {
        LeafBody::Event(event) => Some(event.kind),
        _ => None,
    };
    let told = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::MemberAttached | EventKind::MemberDetached | EventKind::Alarm
        )
    };
    (1..=leaves).filter_map(event).filter(told).collect()
}

#[test]
fn every_batch_is_on_both_disks() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let kept = put_some(&store, 0, 20);
    store
        .state()
        .put(StateTable::Settings, "colour", Some(b"blue"))
        .expect("kept");
    // The power goes on both at once.
    one.crash(Crash::LoseUnsynced);
    two.crash(Crash::LoseUnsynced);
    drop(store);
    check_same_volumes(&one, &two);
    assert!(volume::numbers(&two).expect("listed").len() > 2);
    let (first, second) = (identity(&one), identity(&two));
    assert_eq!((first.epoch, &first.members), (2, &second.members));
    let store = open_one(&two);
    check_kept(&store, &kept);
    let colour = store.state().get(StateTable::Settings, "colour");
    assert_eq!(colour.expect("readable").as_deref(), Some(&b"blue"[..]));
    assert_eq!(store.key().to_string(), open_one(&one).key().to_string());
}

#[test]
fn a_restart_changes_no_membership() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let kept = put_some(&open_two(&one, &two), 0, 5);
    let before = identity(&one);
    let store = open_two(&one, &two);
    assert_eq!(store.copy_state(), Some(CopyState::InStep));
    assert_eq!(store.identity(), before);
    check_kept(&store, &kept);
    assert_eq!(membership_events(&store), [EventKind::MemberAttached]);
}

/// Opening waited half a minute for a member that could not be written, and its thread tried fifty times a second.
#[test]
fn a_copy_that_cannot_be_made_a_member_is_detached_and_comes_back() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let kept = put_some(&open_one(&one), 0, 5);
    one.keep_from_growing(Some(Path::new("identity.new")));
    let store = open_two(&one, &two);
    let state = store.copy_state();
    assert!(state.as_ref().is_some_and(is_detached), "{state:?}");
    assert_eq!(identity(&one).members.len(), 1);
    one.keep_from_growing(None);
    wait_in_step(&store);
    check_kept(&store, &kept);
    assert_eq!(identity(&one).members.len(), 2);
}

#[test]
fn a_disk_that_comes_later_catches_up() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let mut kept = put_some(&open_one(&one), 0, 30);
    let store = open_two(&one, &two);
    kept.extend(put_some(&store, 30, 10));
    wait_in_step(&store);
    kept.extend(put_some(&store, 40, 10));
    drop(store);
    check_same_volumes(&one, &two);
    check_kept(&open_one(&two), &kept);
}

/// Mail goes on when the follower fails, and it comes back by itself; `fails` breaks it, `mends` lets it work again.
fn check_detached(fails: impl Fn(&SimDisk), mends: impl Fn(&SimDisk), expected_reason: &str) {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    let mut kept = put_some(&store, 0, 8);
    fails(&two);
    // Enough for a new volume: a full disk still takes what does not grow.
    kept.extend(put_some(&store, 8, 16));
    let state = wait_for(&store, "detached", is_detached);
    let CopyState::Detached { reason, .. } = state else {
        panic!("{state:?}")
    };
    assert!(reason.contains(expected_reason), "{reason}");
    let alone = identity(&one);
    assert_eq!(alone.members, [alone.disk]);
    assert_eq!(alone.epoch, 3);
    mends(&two);
    wait_in_step(&store);
    kept.extend(put_some(&store, 24, 8));
    let told = [
        EventKind::MemberAttached,
        EventKind::MemberDetached,
        EventKind::MemberAttached,
    ];
    assert_eq!(membership_events(&store), told);
    drop(store);
    check_same_volumes(&one, &two);
    assert_eq!(identity(&one).members, identity(&two).members);
    check_kept(&open_one(&two), &kept);
}

#[test]
fn a_follower_that_fails_is_detached_and_comes_back() {
    let fails = |disk: &SimDisk| {
        let at_step = disk.steps() + 4;
        let kind = FaultKind::Error;
        disk.set_fault(Some(Fault { at_step, kind }));
    };
    check_detached(fails, SimDisk::reopen, "cannot");
}

#[test]
fn a_full_follower_is_detached_and_comes_back() {
    let fails = |disk: &SimDisk| {
        let at_step = disk.steps() + 1;
        let kind = FaultKind::Full;
        disk.set_fault(Some(Fault { at_step, kind }));
    };
    check_detached(fails, SimDisk::reopen, "no storage space");
}

#[test]
fn a_follower_that_hangs_is_detached_and_comes_back() {
    check_detached(SimDisk::hang, SimDisk::release, "did not answer within");
}

#[test]
fn closing_does_not_wait_for_a_disk_that_hangs() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    two.hang();
    let kept = put_some(&store, 0, 2);
    drop(store);
    check_kept(&open_one(&one), &kept);
    two.release();
}

#[test]
fn the_copy_takes_over_and_the_old_disk_comes_back() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let mut kept = put_some(&open_two(&one, &two), 0, 10);
    // The first disk is gone.
    let store = open_one(&two);
    assert_eq!(store.identity().epoch, 3);
    kept.extend(put_some(&store, 10, 10));
    drop(store);
    // Back again, it takes in what it lacks before it opens.
    let store = open_two(&one, &two);
    check_kept(&store, &kept);
    wait_in_step(&store);
    kept.extend(put_some(&store, 20, 5));
    drop(store);
    check_same_volumes(&one, &two);
    let (first, second) = (identity(&one), identity(&two));
    assert_eq!((first.epoch, first.members), (4, second.members));
    check_kept(&open_one(&two), &kept);
}

/// Both disks were in step, then each was started alone in this order; they are never made one.
fn check_divergence(alone: &[usize]) {
    let disks = [SimDisk::new(), SimDisk::new()];
    let kept = put_some(&open_two(&disks[0], &disks[1]), 0, 6);
    let mut own = [kept.clone(), kept];
    for (round, at) in alone.iter().enumerate() {
        let more = put_some(&open_one(&disks[*at]), 100 + 10 * round as u32, 3);
        own[*at].extend(more);
    }
    let names = |disk: &SimDisk| disk.list(Path::new("volumes")).expect("listed");
    for (data, copy) in [(0, 1), (1, 0)] {
        let before = (identity(&disks[copy]), names(&disks[copy]));
        let store = open_two(&disks[data], &disks[copy]);
        assert_eq!(store.copy_state(), Some(CopyState::Diverged), "{alone:?}");
        own[data].extend(put_some(&store, 200 + data as u32, 1));
        check_kept(&store, &own[data]);
        assert_eq!(membership_events(&store).last(), Some(&EventKind::Alarm));
        drop(store);
        assert_eq!((identity(&disks[copy]), names(&disks[copy])), before);
    }
    for (disk, kept) in disks.iter().zip(&own) {
        check_kept(&open_one(disk), kept);
    }
}

#[test]
fn disks_that_went_separate_ways_are_never_merged() {
    for alone in [&[0, 1][..], &[1, 0], &[0, 0, 1], &[1, 1, 0], &[0, 1, 0, 1]] {
        check_divergence(alone);
    }
}

#[test]
fn a_directory_that_cannot_be_a_copy_is_left_alone() {
    let (one, other, full) = (SimDisk::new(), SimDisk::new(), SimDisk::new());
    drop(open_one(&one));
    drop(open_one(&other));
    let file = full.open(Path::new("letter.odt"), Open::Create);
    drop(file.expect("made"));
    for (copy, why) in [
        (&other, "another archive"),
        (&full, "letter.odt"),
        (&one, "by hand"),
    ] {
        let steps = copy.steps();
        match try_open(&one, Some(copy)) {
            Err(Error::Follower(text)) => assert!(text.contains(why), "{text}"),
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("opened with {why}"),
        }
        assert_eq!(copy.steps(), steps, "{why}");
    }
    // An empty directory in front of a full one: most likely the other way round.
    assert!(matches!(
        try_open(&SimDisk::new(), Some(&one)),
        Err(Error::Follower(_))
    ));
}

#[test]
fn a_smaller_disk_is_not_admitted() {
    let (one, two) = (SimDisk::new(), SimDisk::with_capacity(1 << 30));
    let store = open_two(&one, &two);
    assert!(matches!(
        store.copy_state(),
        Some(CopyState::TooSmall { .. })
    ));
    let kept = put_some(&store, 0, 3);
    check_kept(&store, &kept);
    assert!(two.list(Path::new("")).expect("listed").is_empty());
}

/// Puts in mail that packs well.
fn put_texts(store: &Store, ids: std::ops::Range<u32>) -> Vec<(Receipt, Vec<u8>)> {
    let mails = ids.map(|id| message(id, &format!("wort{id} gemeinsam ").repeat(40)));
    mails
        .map(|mail| (put(store, &mail, smtp(&["x@y.example"])), mail))
        .collect()
}

fn recompress(store: &Store, seal: bool) -> Recompressed {
    let done = store.recompress(seal, &mut |_, _| {});
    done.expect("recompressed")
}

/// Neither disk has anything beside its volumes.
fn check_nothing_beside(disks: [&SimDisk; 2]) {
    for disk in disks {
        let names = disk.list(Path::new("volumes")).expect("listed");
        let is_volume = |name: &PathBuf| name.extension().is_some_and(|end| end == "vol");
        assert!(names.iter().all(is_volume), "{names:?}");
    }
}

#[test]
fn recompressed_volumes_are_shipped_in_step() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let mut kept = Vec::new();
    for round in 0..3 {
        kept.extend(put_texts(&store, 20 * round..20 * round + 12));
        assert_eq!(recompress(&store, true).volumes, 1);
    }
    kept.extend(put_some(&store, 90, 3));
    assert_eq!(store.copy_state(), Some(CopyState::InStep));
    one.crash(Crash::LoseUnsynced);
    two.crash(Crash::LoseUnsynced);
    drop(store);
    check_same_volumes(&one, &two);
    check_nothing_beside([&one, &two]);
    let header = Volume::open(&two, 2, false).expect("there").header;
    assert!(header.recompressed);
    check_kept(&open_one(&two), &kept);
}

#[test]
fn what_was_recompressed_while_the_copy_was_away_is_shipped_when_it_comes_back() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let mut kept = put_texts(&open_two(&one, &two), 0..20);
    // What the copy has of the volume is more than the whole volume will be.
    let store = open_one(&one);
    kept.extend(put_texts(&store, 20..22));
    assert_eq!(recompress(&store, true).volumes, 1);
    let length = Volume::open(&two, 1, false).expect("there").length();
    assert!(store.disk_use().expect("known").volumes_bytes < length.expect("known"));
    drop(store);
    let store = open_two(&one, &two);
    wait_in_step(&store);
    kept.extend(put_texts(&store, 30..33));
    drop(store);
    check_same_volumes(&one, &two);
    check_kept(&open_one(&two), &kept);
}

#[test]
fn a_follower_without_room_for_a_second_file_stays_in_step() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let kept = put_texts(&store, 0..60);
    let room = two.room().expect("alive");
    two.set_capacity(room.total_bytes - room.available_bytes + 4_000);
    let done = recompress(&store, false);
    assert!(done.volumes == 0 && done.no_room >= 1, "{done:?}");
    assert_eq!(store.copy_state(), Some(CopyState::InStep));
    two.set_capacity(room.total_bytes);
    assert!(recompress(&store, false).volumes >= 1);
    drop(store);
    check_same_volumes(&one, &two);
    check_kept(&open_one(&two), &kept);
}

#[test]
fn a_follower_that_hangs_keeps_no_volume_from_being_recompressed() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let kept = put_texts(&store, 0..60);
    two.hang();
    assert!(recompress(&store, false).volumes >= 1);
    wait_for(&store, "detached", is_detached);
    let alone = identity(&one);
    assert_eq!(alone.members, [alone.disk]);
    two.release();
    wait_in_step(&store);
    drop(store);
    check_same_volumes(&one, &two);
    check_nothing_beside([&one, &two]);
    check_kept(&open_one(&two), &kept);
}

fn spoil(disk: &SimDisk, number: u64, at: u64) {
    let name = volume::file_name(number);
    let file = disk.open(Path::new(&name), Open::Write).expect("there");
    file.write_all_at(at, &[0x5a; 30]).expect("written");
    file.sync_data().expect("synced");
}

#[test]
fn each_disk_is_mended_from_the_other_while_both_are_in_step() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let mut kept = put_texts(&store, 0..60);
    spoil(&one, 1, 700);
    spoil(&two, 2, 20);
    spoil(&two, 2, 900);
    let report = store.mend_in_step(&mut |_, _| {}).expect("readable");
    let sides: Vec<Side> = report.mended.iter().map(|mended| mended.side).collect();
    assert_eq!(sides, [Side::Own, Side::Copy, Side::Copy], "{report:?}");
    assert_eq!(store.known_damage().expect("open"), []);
    assert_eq!(store.copy_state(), Some(CopyState::InStep));
    kept.extend(put_texts(&store, 70..72));
    drop(store);
    check_same_volumes(&one, &two);
    check_kept(&open_one(&two), &kept);
}

#[test]
fn a_follower_gets_a_whole_volume_where_the_forms_differ() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let kept = put_texts(&store, 0..60);
    let old = two.read(Path::new(&volume::file_name(1))).expect("there");
    assert!(recompress(&store, false).volumes >= 1);
    // As after a crash between the two renames.
    two.replace(Path::new(&volume::file_name(1)), &old)
        .expect("put back");
    spoil(&two, 1, 700);
    let report = store.mend_in_step(&mut |_, _| {}).expect("readable");
    assert_eq!(report.mended.len(), 1, "{report:?}");
    assert_eq!(report.mended[0].side, Side::Copy);
    assert_eq!(store.copy_state(), Some(CopyState::InStep));
    drop(store);
    check_same_volumes(&one, &two);
    check_nothing_beside([&one, &two]);
    check_kept(&open_one(&two), &kept);
}

/// Runs with upkeep; the clock is as much later as is said.
fn open_with_upkeep(one: &SimDisk, two: &SimDisk, later_us: &Arc<AtomicI64>) -> Store {
    let mut options = two_disk_options();
    options.upkeep = crate::WhenUpkeep::Idle;
    let (clock, later_us) = (options.clock.clone(), later_us.clone());
    options.clock = Arc::new(move || {
        let now = clock();
        let at_us = now.at_us + later_us.load(Ordering::SeqCst);
        Moment { at_us, ..now }
    });
    let copy = Arc::new(two.clone()) as Arc<dyn Disk>;
    Store::open_with_copy(Arc::new(one.clone()), Some(copy), options, &mut |_| {}).expect("opens")
}

/// Spoils volumes of either disk while both are in step, and lets a month go by.
fn spoiled_a_month_ago(
    spoiled: &[(Side, u64)],
) -> (SimDisk, SimDisk, Store, Vec<(Receipt, Vec<u8>)>) {
    const MONTH_US: i64 = 31 * 24 * 3600 * 1_000_000;
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let later_us = Arc::new(AtomicI64::new(0));
    let store = open_with_upkeep(&one, &two, &later_us);
    wait_in_step(&store);
    let kept = put_texts(&store, 0..100);
    recompress(&store, false);
    for (side, number) in spoiled {
        let disk = if *side == Side::Own { &one } else { &two };
        spoil(disk, *number, 600);
    }
    later_us.store(MONTH_US, Ordering::SeqCst);
    (one, two, store, kept)
}

/// Waits until so many events of a kind are in the archive; gives their texts.
fn wait_for_events(store: &Store, kind: EventKind, count: usize) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let (leaves, _) = store.progress().expect("open");
        // What is damaged is not one of them.
        let text = |number| match store.leaf(number).ok()?.leaf.body {
            LeafBody::Event(event) if event.kind == kind => Some(event.text),
            _ => None,
        };
        let texts: Vec<String> = (1..=leaves).filter_map(text).collect();
        if texts.len() >= count {
            return texts;
        }
        assert!(
            begin.elapsed() < WAIT,
            "{kind:?} not told in time: {texts:?}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_monthly_reading_mends_both_disks() {
    let spoiled = [(Side::Own, 1), (Side::Copy, 2)];
    let (one, two, store, kept) = spoiled_a_month_ago(&spoiled);
    let told = wait_for_events(&store, EventKind::Mended, 2);
    assert!(told[0].contains("00000001.vol: mended from"), "{told:?}");
    assert!(told[1].contains("00000002.vol: mended on"), "{told:?}");
    assert_eq!(store.known_damage().expect("open"), []);
    check_kept(&store, &kept);
    drop(store);
    check_same_volumes(&one, &two);
}

#[test]
fn what_the_monthly_reading_cannot_mend_is_named() {
    let spoiled = [(Side::Own, 1), (Side::Copy, 1)];
    let (_one, _two, store, kept) = spoiled_a_month_ago(&spoiled);
    let told = wait_for_events(&store, EventKind::Alarm, 2);
    assert!(told[0].contains("00000001.vol is damaged"), "{told:?}");
    assert!(told[1].contains("the other copy's"), "{told:?}");
    let sides: Vec<Side> = store
        .known_damage()
        .expect("open")
        .iter()
        .map(|known| known.side)
        .collect();
    assert_eq!(sides, [Side::Own, Side::Copy]);
    // The rest is read as before.
    let (receipt, mail) = kept.last().expect("some");
    assert!(bytes(&store, receipt.number) == *mail);
}

#[test]
fn a_copy_that_hangs_does_not_keep_the_archive_from_opening() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let mut kept = put_some(&open_two(&one, &two), 0, 5);
    let before = identity(&one);
    two.hang();
    let store = open_two(&one, &two);
    let alone = identity(&one);
    assert_eq!(
        (alone.epoch, alone.members),
        (before.epoch + 1, vec![alone.disk])
    );
    kept.extend(put_some(&store, 10, 3));
    two.release();
    wait_in_step(&store);
    kept.extend(put_some(&store, 20, 3));
    drop(store);
    check_same_volumes(&one, &two);
    check_kept(&open_one(&two), &kept);
}

/// Leaves that the catalog on a disk knows.
fn catalog_leaves(disk: &SimDisk) -> u64 {
    let disk = Arc::new(disk.clone());
    let catalog = Catalog::open(&*disk, Arc::new(VolumeFiles::new(disk.clone())));
    let view = catalog.expect("opens").read().expect("readable");
    view.watermark().expect("readable").leaves
}

#[test]
fn the_copy_takes_over_with_the_catalog_and_index_it_was_given() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let mut kept = put_texts(&store, 0..40);
    store.flush().expect("indexed");
    assert!(store.copy_derived().expect("copied"));
    let (known, _) = store.progress().expect("open");
    kept.extend(put_texts(&store, 40..50));
    assert!(recompress(&store, true).volumes >= 1);
    one.crash(Crash::LoseUnsynced);
    two.crash(Crash::LoseUnsynced);
    drop(store);
    assert_eq!(catalog_leaves(&two), known);
    let store = open_one(&two);
    check_kept(&store, &kept);
    assert_eq!(find(&store, "gemeinsam").len(), 50);
    // A second copy replaces the first one, and nothing is left of it.
    drop(store);
    let store = open_two(&one, &two);
    wait_in_step(&store);
    store.flush().expect("indexed");
    assert!(store.copy_derived().expect("copied"));
    let folder = PathBuf::from(crate::index::folder_name());
    let files = |disk: &SimDisk| disk.list(&folder).expect("listed");
    let own: Vec<_> = files(&one)
        .into_iter()
        .filter(|name| files(&two).contains(name))
        .collect();
    assert_eq!(files(&two), own);
    drop(store);
    check_kept(&open_one(&two), &kept);
}

#[test]
fn a_catalog_that_was_copied_before_volumes_were_packed_anew_finds_everything() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let mut kept = Vec::new();
    for to in ["anna", "bert", "carla"] {
        let mails = (1..12).map(|id| on_its_way(to, id));
        kept.extend(mails.map(|mail| (put(&store, &mail, smtp(&["x@y.example"])), mail)));
    }
    store.flush().expect("indexed");
    let answers = |store: &Store| ["gemeinsam", "14", "to:x@y.example"].map(|q| find(store, q));
    let before = answers(&store);
    assert!(store.copy_derived().expect("copied"));
    assert!(recompress(&store, true).volumes >= 1);
    one.crash(Crash::LoseUnsynced);
    two.crash(Crash::LoseUnsynced);
    drop(store);
    let store = open_one(&two);
    check_kept(&store, &kept);
    assert_eq!(answers(&store), before);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    check_kept(&store, &kept);
    assert_eq!(answers(&store), before);
}

#[test]
fn a_missing_volume_comes_back_from_the_other_disk() {
    let remove = |disk: &SimDisk| {
        let name = volume::file_name(2);
        disk.remove(Path::new(&name)).expect("there");
        disk.sync_dir(Path::new(volume::FOLDER)).expect("synced");
    };
    for side in [Side::Own, Side::Copy] {
        let (one, two) = (SimDisk::new(), SimDisk::new());
        let hurt = if side == Side::Own { &one } else { &two };
        let store = open_two(&one, &two);
        wait_in_step(&store);
        let mut kept = put_texts(&store, 0..100);
        remove(hurt);
        let report = store.mend_in_step(&mut |_, _| {}).expect("readable");
        let sides: Vec<Side> = report.mended.iter().map(|mended| mended.side).collect();
        assert_eq!(sides, [side], "{report:?}");
        assert_eq!(store.known_damage().expect("open"), []);
        check_kept(&store, &kept);
        drop(store);
        check_same_volumes(&one, &two);
        // While nobody looks; catching up gives the copy its own back.
        remove(hurt);
        let store = open_with_upkeep(&one, &two, &Arc::default());
        wait_in_step(&store);
        if side == Side::Own {
            wait_for_events(&store, EventKind::Mended, 2);
        }
        kept.extend(put_texts(&store, 70..72));
        check_kept(&store, &kept);
        assert_eq!(store.copy_state(), Some(CopyState::InStep));
        drop(store);
        check_same_volumes(&one, &two);
        check_kept(&open_one(&two), &kept);
    }
}

/// Bytes that copying catalog and index writes on the follower.
fn bytes_copied(store: &Store, two: &SimDisk) -> u64 {
    let before = two.written_bytes();
    assert!(store.copy_derived().expect("copied"));
    two.written_bytes() - before
}

/// A message of which the catalog keeps several kilobytes that hardly get shorter.
fn to_many(id: u32) -> Vec<u8> {
    let name = |i: u32| {
        let digests =
            (0..6_u32).map(|part| crate::sha256(&[id, i, part].map(u32::to_le_bytes).concat()));
        digests.map(|digest| digest.to_string()).collect::<String>()
    };
    let addresses: Vec<String> = (0..20).map(|i| format!("{}@y.example", name(i))).collect();
    let cc = format!("Cc: {}\r\n", addresses.join(",\r\n "));
    [cc.into_bytes(), message(id, "an viele")].concat()
}

#[test]
fn a_second_copy_of_the_catalog_writes_what_changed() {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let put_many = |ids: std::ops::Range<u32>| -> Vec<_> {
        let put = |mail: Vec<u8>| (put(&store, &mail, smtp(&["x@y.example"])), mail);
        let kept = ids.map(|id| put(to_many(id))).collect();
        store.flush().expect("indexed");
        kept
    };
    let mut kept = put_many(0..400);
    let first = bytes_copied(&store, &two);
    let idle = bytes_copied(&store, &two);
    kept.extend(put_many(400..402));
    let second = bytes_copied(&store, &two);
    println!("copied at first {first} bytes, without new mail {idle}, with two messages {second}");
    // With each commit redb writes the state of its allocator, a quarter of a megabyte for a file of any length.
    assert!(
        idle < 20_000 && first > 3 * second,
        "{first} {idle} {second}"
    );
    let (known, _) = store.progress().expect("open");
    drop(store);
    assert_eq!(catalog_leaves(&two), known);
    let store = open_one(&two);
    check_kept(&store, &kept);
    assert_eq!(find(&store, "401").len(), 1);
}

/// An archive with a copy in step, of which catalog and index were copied once before the last messages came if `again`.
fn to_be_copied(again: bool) -> (SimDisk, SimDisk, Store, Vec<(Receipt, Vec<u8>)>) {
    let (one, two) = (SimDisk::new(), SimDisk::new());
    let store = open_two(&one, &two);
    wait_in_step(&store);
    let mut kept = put_texts(&store, 0..10);
    store.flush().expect("indexed");
    if again {
        assert!(store.copy_derived().expect("copied"));
    }
    kept.extend(put_texts(&store, 10..20));
    store.flush().expect("indexed");
    (one, two, store, kept)
}

#[test]
fn a_half_copied_catalog_or_index_is_never_believed() {
    check_half_copied(false, 7);
}

#[test]
fn a_catalog_of_which_the_changes_were_half_copied_is_never_believed() {
    check_half_copied(true, 1);
}

fn check_half_copied(again: bool, stride: usize) {
    let steps = {
        let (_one, two, store, _) = to_be_copied(again);
        let before = two.steps();
        assert!(store.copy_derived().expect("copied"));
        two.steps() - before
    };
    assert!(steps > 20, "{steps}");
    for at in (1..=steps).step_by(stride) {
        let (one, two, store, kept) = to_be_copied(again);
        let at_step = two.steps() + at;
        let kind = FaultKind::LostUnsynced;
        two.set_fault(Some(Fault { at_step, kind }));
        assert!(
            !store.copy_derived().expect("given up"),
            "at {at} of {steps}"
        );
        one.crash(Crash::LoseUnsynced);
        two.crash(Crash::KeepSome { seed: at });
        drop(store);
        let store = open_one(&two);
        check_kept(&store, &kept);
        assert_eq!(find(&store, "gemeinsam").len(), 20, "at {at} of {steps}");
        drop(store);
        let half = |name: &PathBuf| {
            let name = name.to_string_lossy();
            name.ends_with(".new") || name.ends_with(".changes")
        };
        for folder in [PathBuf::new(), crate::index::folder_name().into()] {
            assert!(!two.list(&folder).expect("listed").iter().any(half));
        }
    }
}

#[test]
fn damage_is_not_copied_over_what_the_other_disk_has() {
    // In a sealed volume, and in the one that the copy has only a part of.
    for number in [1, 2] {
        let (one, two) = (SimDisk::new(), SimDisk::new());
        let mut kept = put_texts(&open_two(&one, &two), 0..50);
        assert_eq!(volume::numbers(&two).expect("listed").last(), Some(&2));
        let store = open_one(&one);
        kept.extend(put_texts(&store, 50..100));
        drop(store);
        spoil(&one, number, 700);
        let store = open_two(&one, &two);
        wait_in_step(&store);
        let report = store.mend_in_step(&mut |_, _| {}).expect("readable");
        let sides: Vec<Side> = report.mended.iter().map(|mended| mended.side).collect();
        assert_eq!(sides, [Side::Own], "{number}: {report:?}");
        check_kept(&store, &kept);
        drop(store);
        check_same_volumes(&one, &two);
        check_kept(&open_one(&two), &kept);
    }
}
