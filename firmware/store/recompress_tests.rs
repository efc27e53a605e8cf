//! Recompression of whole archives on the simulated disk: the same records, answers and tree before and after, and at every step between.

#![expect(
    clippy::print_stdout,
    reason = "a test that fails shows which run it was"
)]

use crate::catalog::{Catalog, Packing};
use crate::digest::sha256;
use crate::disk::{Disk, Open};
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};
use crate::leaf::LeafBody;
use crate::store_tests::{
    bytes, file, find, message, open_with, options, put, smtp, verify, with_attachment,
};
use crate::survey::{Piece, RecordPiece, survey};
use crate::volume::{self, Found, Volume};
use crate::volume_files::VolumeFiles;
use crate::{Receipt, Recompressed, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Small, so that few messages make several volumes.
pub(crate) const VOLUME_BYTES_MAX: u64 = 4_000;

/// Runs of one kind of fault in the normal test.
const RUNS: u64 = 12;

pub(crate) type Kept = Vec<(Receipt, Vec<u8>)>;

/// An archive of several volumes: batches of one small frame, of many frames, and messages that came twice.
pub(crate) fn filled(disk: &SimDisk) -> (Store, Kept) {
    let store = open_with(disk, VOLUME_BYTES_MAX);
    let mut kept: Kept = (0..24)
        .map(|i| message(i, &format!("{i} gemeinsam ").repeat(60)))
        .map(|mail| (put(&store, &mail, smtp(&["x@y.example"])), mail))
        .collect();
    for mail in [
        with_attachment(7, 700_000),
        message(3, &"3 gemeinsam ".repeat(60)),
    ] {
        kept.push((put(&store, &mail, file("/a.eml")), mail));
    }
    kept.push((
        put(&store, &with_attachment(8, 900), smtp(&[])),
        with_attachment(8, 900),
    ));
    store.checkpoint().expect("signed");
    store.flush().expect("flushed");
    (store, kept)
}

fn recompress(store: &Store) -> Recompressed {
    store
        .recompress(true, &mut |_, _| {})
        .expect("recompressed")
}

pub(crate) fn all_there(store: &Store, kept: &Kept) {
    for (receipt, mail) in kept {
        assert!(&bytes(store, receipt.number) == mail, "{}", receipt.number);
    }
}

fn answers(store: &Store) -> Vec<Vec<u64>> {
    ["gemeinsam", "7", "has:attachment", "to:x@y.example"]
        .map(|query| find(store, query))
        .to_vec()
}

pub(crate) fn recompressed(disk: &SimDisk) -> Vec<bool> {
    let numbers = volume::numbers(disk).expect("listed");
    let header = |number: &u64| Volume::open(disk, *number, false).expect("there").header;
    numbers.iter().map(|n| header(n).recompressed).collect()
}

#[test]
fn a_recompressed_archive_is_the_same_archive() {
    let disk = SimDisk::new();
    let (store, kept) = filled(&disk);
    let (before, sums, root) = (
        answers(&store),
        store.totals().expect("sums"),
        verify(&store).root,
    );
    let done = recompress(&store);
    assert!(
        done.volumes >= 3 && done.after_bytes < done.before_bytes,
        "{done:?}"
    );
    assert_eq!(
        recompress(&store),
        Recompressed::default(),
        "once is enough"
    );
    let check = |store: &Store| {
        all_there(store, &kept);
        assert_eq!(answers(store), before);
        assert_eq!(verify(store).findings, []);
    };
    check(&store);
    assert_eq!(
        (store.totals().expect("sums"), verify(&store).root),
        (sums, root)
    );
    let swapped = recompressed(&disk);
    assert!(swapped.iter().filter(|swapped| **swapped).count() as u64 == done.volumes);
    assert_eq!(
        swapped.last(),
        Some(&false),
        "the open volume is as it was written"
    );
    drop(store);
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    check(&store);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    check(&store);
    let new = message(99, "neu");
    let receipt = put(&store, &new, smtp(&["x@y.example"]));
    assert_eq!(bytes(&store, receipt.number), new);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn frames_say_which_batches_end_in_them() {
    let disk = SimDisk::new();
    let (store, _) = filled(&disk);
    recompress(&store);
    drop(store);
    let (mut batch, mut open_frames) = (0, 0);
    for number in volume::numbers(&disk).expect("listed") {
        let volume = Volume::open(&disk, number, false).expect("there");
        let mut at = volume::HEADER_BYTES;
        while let Found::Frame(frame) = volume.find_at(at).expect("readable") {
            let header = frame.header;
            assert!(header.batch >= batch, "{number}: {header:?} after {batch}");
            open_frames += u64::from(!header.last_of_batch);
            (batch, at) = (header.batch, at + header.frame_bytes());
        }
    }
    // The large message does not fit into one frame with its neighbours, and random bytes fill frames of their own.
    assert!(batch > 20 && open_frames < 4, "{batch} {open_frames}");
}

/// A message as it comes to one of several people: recompression puts such copies together.
pub(crate) fn on_its_way(to: &str, id: u32) -> Vec<u8> {
    let numbers = (0..400).map(|n| format!("{} ", n * id + 7));
    let text = format!("gemeinsam {}", numbers.collect::<String>());
    let way = format!("Received: from there by {to} with SMTP\r\n").into_bytes();
    [way, message(id, &text)].concat()
}

#[test]
fn contents_stand_before_what_names_them_and_copies_together() {
    let disk = SimDisk::new();
    let store = open_with(&disk, 1 << 30);
    let mut kept: Kept = Vec::new();
    for to in ["anna", "bert", "carla"] {
        for mail in (1..30).map(|i| on_its_way(to, i)) {
            kept.push((put(&store, &mail, file("/mbox")), mail));
        }
        let mail = with_attachment(9, 3_000_000);
        kept.push((put(&store, &mail, file(to)), mail));
    }
    assert_eq!(recompress(&store).volumes, 1);
    all_there(&store, &kept);
    assert_eq!(verify(&store).findings, []);
    drop(store);

    let mut texts = Vec::new();
    survey(&disk, 1, &mut |piece| match piece {
        Piece::Record(RecordPiece::Content { content, .. }) => texts.push(content.digest),
        Piece::Record(RecordPiece::Leaf(leaf)) => {
            if let LeafBody::Message(message) = &leaf.body {
                let named = message.contents();
                assert!(named.iter().all(|content| texts.contains(&content.digest)));
            }
        }
        _ => {}
    })
    .expect("readable");
    for i in 1..30 {
        let at = ["anna", "bert", "carla"].map(|to| {
            let digest = sha256(&on_its_way(to, i));
            texts
                .iter()
                .position(|text| *text == digest)
                .expect("there")
        });
        assert_eq!(at, [at[0], at[0] + 1, at[0] + 2], "{i}");
    }
}

#[test]
fn a_message_and_its_first_arrival_lie_in_one_frame() {
    let disk = SimDisk::new();
    let store = open_with(&disk, 1 << 30);
    let many: Vec<String> = (0..8000)
        .map(|i| format!("{i}@verteiler.example"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for i in 0..20 {
        put(&store, &message(i, "an alle"), smtp(&many));
    }
    assert_eq!(recompress(&store).volumes, 1);
    drop(store);
    let (mut frames, mut after_message) = (0, false);
    survey(&disk, 1, &mut |piece| {
        assert!(!after_message || matches!(piece, Piece::Record(_)), "{piece:?}");
        frames += u32::from(matches!(piece, Piece::Frame { .. }));
        after_message = matches!(&piece, Piece::Record(RecordPiece::Leaf(leaf)) if matches!(leaf.body, LeafBody::Message(_)));
    })
    .expect("readable");
    assert!(frames > 2, "{frames}");
}

#[test]
fn readers_go_on_while_volumes_are_swapped() {
    let disk = SimDisk::new();
    let (store, kept) = filled(&disk);
    let swapped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut rounds = 0;
                    while !swapped.load(Ordering::SeqCst) || rounds == 0 {
                        all_there(&store, &kept);
                        assert_eq!(verify(&store).findings, []);
                        rounds += 1;
                    }
                })
            })
            .collect();
        let done = recompress(&store);
        swapped.store(true, Ordering::SeqCst);
        assert!(done.volumes >= 3);
        readers
            .into_iter()
            .for_each(|reader| reader.join().expect("no panic"));
    });
}

#[test]
fn a_catalog_that_missed_the_swap_follows_it() {
    let disk = SimDisk::new();
    let (store, kept) = filled(&disk);
    drop(store);
    let catalog = crate::catalog::file_name();
    let old = disk.read(Path::new(&catalog)).expect("there");
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    recompress(&store);
    drop(store);
    disk.replace(Path::new(&catalog), &old).expect("replaced");
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    all_there(&store, &kept);
    assert_eq!(verify(&store).findings, []);
    assert_eq!(recompress(&store).volumes, 0);
}

/// A sealed volume in which recompression moves contents, and what is in it.
fn with_copies(disk: &SimDisk) -> (Store, Kept) {
    let store = open_with(disk, 1 << 30);
    let mut kept = Kept::new();
    for to in ["anna", "bert", "carla"] {
        for mail in (1..8).map(|id| on_its_way(to, id)) {
            kept.push((put(&store, &mail, smtp(&["x@y.example"])), mail));
        }
    }
    store.flush().expect("flushed");
    (store, kept)
}

/// Whether the first volume has become another file, of which its catalog does not know.
fn has_missed_a_swap(disk: &SimDisk) -> bool {
    let disk = Arc::new(disk.fork());
    let catalog = Catalog::open(&*disk, Arc::new(VolumeFiles::new(disk.clone())));
    let view = catalog.expect("opens").read().expect("readable");
    let entry = view.volume(1).expect("readable").unwrap_or_default();
    recompressed(&disk)[0] && entry.packing == Packing::AsWritten
}

#[test]
fn a_power_cut_between_the_new_name_and_the_catalog_loses_no_place() {
    let steps = {
        let disk = SimDisk::new();
        let (store, _) = with_copies(&disk);
        let before = disk.steps();
        recompress(&store);
        disk.steps() - before
    };
    let mut missed = 0;
    for at in 1..=steps {
        let disk = SimDisk::new();
        let (store, kept) = with_copies(&disk);
        let before = answers(&store);
        let (at_step, kind) = (disk.steps() + at, FaultKind::LostUnsynced);
        disk.set_fault(Some(Fault { at_step, kind }));
        let _ = store.recompress(true, &mut |_, _| {});
        drop(store);
        disk.crash(Crash::LoseUnsynced);
        missed += u64::from(has_missed_a_swap(&disk));
        check_after(&disk, &kept, &before);
    }
    assert!(missed > 0, "no step of {steps} is between");
}

#[test]
fn a_damaged_volume_is_left_as_it_is() {
    let disk = SimDisk::new();
    let (store, _) = filled(&disk);
    drop(store);
    let name = volume::file_name(2);
    let spoiled = disk.open(Path::new(&name), Open::Write).expect("there");
    spoiled.write_all_at(700, b"damage").expect("written");
    let before = disk.read(Path::new(&name)).expect("there");
    let store = open_with(&disk, VOLUME_BYTES_MAX);
    let done = recompress(&store);
    assert_eq!(done.damaged, [2]);
    assert!(done.volumes > 1);
    assert!(disk.read(Path::new(&name)).expect("there") == before);
    assert!(
        !disk
            .exists(Path::new(&volume::name_beside(2)))
            .expect("alive")
    );
}

#[test]
fn a_full_disk_lets_volumes_wait() {
    const CAPACITY_BYTES: u64 = 2 << 30;
    let disk = SimDisk::with_capacity(CAPACITY_BYTES);
    let (store, kept) = filled(&disk);
    let room = disk.room().expect("alive");
    disk.set_capacity(room.total_bytes - room.available_bytes + 10_000);
    let done = store.recompress(false, &mut |_, _| {}).expect("it waits");
    assert!(done.volumes == 0 && done.no_room >= 3, "{done:?}");
    disk.set_capacity(CAPACITY_BYTES);
    assert!(recompress(&store).volumes >= 3);
    all_there(&store, &kept);
}

#[test]
fn it_is_done_by_itself_while_no_mail_comes() {
    let disk = SimDisk::new();
    let (store, kept) = filled(&disk);
    drop(store);
    let mut options = options(VOLUME_BYTES_MAX);
    options.upkeep = crate::WhenUpkeep::Idle;
    let store = Store::open(Arc::new(disk.clone()), options, &mut |_| {}).expect("opens");
    // The one with the attachment would not become smaller.
    store.wait_for_swaps(2);
    let swapped = recompressed(&disk);
    assert!(swapped.iter().filter(|swapped| **swapped).count() >= 2);
    all_there(&store, &kept);
    assert_eq!(verify(&store).findings, []);
}

/// Steps of a recompression without faults: the first and the last.
fn steps_of_recompression() -> (u64, u64) {
    let disk = SimDisk::new();
    let (store, _) = filled(&disk);
    let first = disk.steps() + 1;
    assert!(recompress(&store).volumes >= 3);
    (first, disk.steps())
}

/// After a fault in the middle: nothing is lost, nothing is left over, and it can be done to the end.
fn check_after(disk: &SimDisk, kept: &Kept, before: &[Vec<u64>]) {
    let store = open_with(disk, VOLUME_BYTES_MAX);
    let names = disk.list(Path::new(volume::FOLDER)).expect("listed");
    assert!(
        names
            .iter()
            .all(|name| name.extension().is_some_and(|e| e == "vol")),
        "{names:?}"
    );
    let check = |store: &Store| {
        all_there(store, kept);
        assert_eq!(verify(store).findings, []);
        assert_eq!(answers(store), before);
    };
    check(&store);
    recompress(&store);
    check(&store);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    check(&store);
}

fn walk(kind: FaultKind, start: u64) {
    let (first, last) = steps_of_recompression();
    let long = std::env::var_os("COFFER_TEST_LONG").is_some();
    let stride = if long {
        1
    } else {
        ((last - first) / RUNS).max(1)
    };
    let (mut runs, mut hits) = (0, 0);
    for at in (first + start % stride..=last).step_by(stride as usize) {
        let disk = SimDisk::new();
        let (store, kept) = filled(&disk);
        let before = answers(&store);
        let at_step = disk.steps() + 1 + at - first;
        disk.set_fault(Some(Fault { at_step, kind }));
        let done = store.recompress(true, &mut |_, _| {});
        let hit = disk.fault_was_hit();
        // Shown when an assertion fails.
        println!("{kind:?} at step {at} of {first} to {last}, hit: {hit}, {done:?}");
        (runs, hits) = (runs + 1, hits + u64::from(hit));
        if done.is_ok() && kind != FaultKind::Full {
            all_there(&store, &kept);
        }
        drop(store);
        disk.crash(Crash::KeepSome { seed: at });
        check_after(&disk, &kept, &before);
    }
    // A volume for which there is no room is not begun.
    let wanted = match kind {
        FaultKind::Full => 1,
        _ => runs * 7 / 10,
    };
    assert!(hits >= wanted, "{hits} of {runs} runs hit their fault");
}

#[test]
fn a_disk_that_goes_away_in_the_middle_takes_nothing_along() {
    walk(FaultKind::Error, 1);
}

#[test]
fn a_step_that_fails_once_leaves_one_of_the_two_files() {
    walk(FaultKind::ErrorOnce, 2);
}

#[test]
fn a_disk_that_fills_up_in_the_middle_keeps_what_it_has() {
    walk(FaultKind::Full, 3);
}

#[test]
fn a_torn_write_in_the_middle_tears_no_volume() {
    walk(FaultKind::TornWrite, 4);
}

#[test]
fn a_power_cut_in_the_middle_leaves_one_of_the_two_files() {
    walk(FaultKind::LostUnsynced, 5);
}

#[test]
fn a_bit_that_flips_on_the_way_out_is_seen_before_the_swap() {
    let (first, last) = steps_of_recompression();
    let (mut hits, mut seen) = (0, 0);
    for at in (first..=last).step_by(((last - first) / RUNS).max(1) as usize) {
        let disk = SimDisk::new();
        let (store, kept) = filled(&disk);
        let at_step = disk.steps() + 1 + at - first;
        let kind = FaultKind::FlippedBit;
        disk.set_fault(Some(Fault { at_step, kind }));
        let done = store.recompress(true, &mut |_, _| {});
        hits += u64::from(disk.fault_was_hit());
        seen += u64::from(done.is_err());
        println!("{kind:?} at step {at} of {first} to {last}: {done:?}");
        drop(store);
        disk.reopen();
        let store = open_with(&disk, VOLUME_BYTES_MAX);
        // The bit may have been one of the catalog.
        store.rebuild(&mut |_| {}).expect("rebuilt");
        all_there(&store, &kept);
    }
    assert!(
        hits > 0 && seen > 0,
        "{hits} bits flipped, {seen} were seen"
    );
}
