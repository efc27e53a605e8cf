//! What the store does with damage: frames, seals, headers, catalog and index that do not hold, and parts of it that end badly.

use crate::disk::{Bytes, Disk, DiskFile, Open, Room};
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};
use crate::leaf::{Leaf, LeafBody};
use crate::record::{CheckpointRecord, FrameRun, RecordKind, RecordPacker, Records, Seal, Segment};
use crate::store_tests::{
    bytes, file, find, journal_report, message, open, open_with, options, put, search_as, smtp,
    verify, with_attachment,
};
use crate::volume::{self, Found, Volume};
use crate::{Body, Error, Novelty, Receipt, Store};
use archive::{AlarmKind, Asker, Event, EventKind};
use proptest::prelude::*;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SMALL: u64 = 4_000;
const LARGE: u64 = 256 << 20;

/// Ends the program without letting it close anything, as a power cut does that keeps what was synced.
pub(crate) fn cut_power(disk: &SimDisk, store: Store) {
    let (at_step, kind) = (disk.steps() + 1, FaultKind::Error);
    disk.set_fault(Some(Fault { at_step, kind }));
    drop(store);
    disk.crash(Crash::LoseUnsynced);
}

pub(crate) fn forget_catalog(disk: &SimDisk) {
    let name = crate::catalog::file_name();
    disk.remove(Path::new(&name)).expect("it was there");
}

fn forget_index(disk: &SimDisk) {
    let folder = crate::index::folder_name();
    disk.remove_dir_all(Path::new(&folder))
        .expect("it was there");
}

/// Where each frame of a volume begins and ends, with its batch.
pub(crate) fn frames(disk: &SimDisk, number: u64) -> Vec<(u64, u64, u64)> {
    let volume = Volume::open(disk, number, false).expect("a volume");
    let (mut at, mut frames) = (volume::HEADER_BYTES, Vec::new());
    while let Found::Frame(frame) = volume.find_at(at).expect("readable") {
        let end = at + frame.header.frame_bytes();
        frames.push((at, end, frame.header.batch));
        at = end;
    }
    frames
}

fn spoil(disk: &SimDisk, name: &str, at: u64, count: usize) {
    let file = disk.open(Path::new(name), Open::Write).expect("there");
    file.write_all_at(at, &vec![0x5a; count]).expect("written");
    file.sync_data().expect("synced");
}

pub(crate) fn spoil_frame(disk: &SimDisk, number: u64, frame: (u64, u64, u64)) {
    let count = (frame.1 - frame.0) as usize;
    spoil(disk, &volume::file_name(number), frame.0, count);
}

fn fill(store: &Store, ids: std::ops::Range<u32>) -> Vec<(Receipt, Vec<u8>)> {
    ids.map(|i| message(i, &format!("{i} gemeinsam ").repeat(60)))
        .map(|mail| (put(store, &mail, smtp(&["x@y.example"])), mail))
        .collect()
}

fn all_there(store: &Store, kept: &[(Receipt, Vec<u8>)]) {
    for (receipt, mail) in kept {
        assert_eq!(&bytes(store, receipt.number), mail);
    }
}

fn takes_mail_behind(store: &Store, last: u64) {
    let receipt = put(store, &message(9_999, "neu"), smtp(&["x@y.example"]));
    assert!(
        receipt.number > last,
        "{} is not behind {last}",
        receipt.number
    );
    assert_eq!(bytes(store, receipt.number), message(9_999, "neu"));
}

fn has_cut_file(disk: &SimDisk) -> bool {
    let names = disk.list(Path::new(volume::FOLDER)).expect("there");
    names
        .iter()
        .any(|name| name.to_string_lossy().contains(".cut-"))
}

#[test]
fn a_lost_seal_costs_neither_mail_nor_numbers() {
    let disk = SimDisk::new();
    let store = open_with(&disk, SMALL);
    let kept = fill(&store, 0..40);
    let root = verify(&store).root;
    let last = store.progress().expect("open").0;
    drop(store);
    let seal = *frames(&disk, 2).last().expect("frames");
    spoil_frame(&disk, 2, seal);
    forget_catalog(&disk);
    forget_index(&disk);
    let store = open_with(&disk, SMALL);
    all_there(&store, &kept);
    assert_eq!(find(&store, "gemeinsam").len(), 40);
    let report = verify(&store);
    assert_eq!(report.root, root, "the tree is the same");
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.place.ends_with("2.vol"))
    );
    assert!(!report.findings.is_empty());
    takes_mail_behind(&store, last);
}

#[test]
fn a_rebuild_knows_lost_leaves_by_their_seal() {
    let disk = SimDisk::new();
    let store = open_with(&disk, SMALL);
    let kept = fill(&store, 0..40);
    let root = verify(&store).root;
    drop(store);
    let hurt = frames(&disk, 2)[1];
    spoil_frame(&disk, 2, hurt);
    let store = open_with(&disk, SMALL);
    let before = verify(&store);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    let report = verify(&store);
    let lost: Vec<u64> = before
        .findings
        .iter()
        .flat_map(|f| f.numbers.clone())
        .collect();
    assert!(!lost.is_empty());
    for (receipt, mail) in &kept {
        match lost.contains(&receipt.number) {
            true => assert!(store.message(receipt.number).is_err()),
            false => assert_eq!(&bytes(&store, receipt.number), mail),
        }
    }
    let still: Vec<u64> = report
        .findings
        .iter()
        .flat_map(|f| f.numbers.clone())
        .collect();
    assert_eq!(still, lost, "{:?}", report.findings);
    assert!(!report.findings.iter().any(|f| f.what.contains("signed")));
    assert_ne!(report.root, root, "the rebuilding is a leaf more");
}

#[test]
fn a_lost_header_or_volume_costs_only_itself() {
    for (gone, last_too) in [(false, false), (true, false), (false, true)] {
        let disk = SimDisk::new();
        let store = open_with(&disk, SMALL);
        let kept = fill(&store, 0..40);
        let (last, volumes) = (store.progress().expect("open").0, verify(&store).volumes);
        let last = last.max(store.progress().expect("open").0);
        drop(store);
        let number = if last_too { volumes } else { 3 };
        let name = volume::file_name(number);
        match gone {
            true => disk.remove(Path::new(&name)).expect("there"),
            false => spoil(&disk, &name, 0, 100),
        }
        for forget in [false, true] {
            if forget {
                forget_catalog(&disk);
            }
            let store = open_with(&disk, SMALL);
            let readable =
                |(receipt, _): &&(Receipt, Vec<u8>)| store.message(receipt.number).is_ok();
            let there: Vec<_> = kept.iter().filter(readable).cloned().collect();
            all_there(&store, &there);
            assert_eq!(there.len() == kept.len(), !gone);
            assert!(there.len() > 20);
            // The header of the volume that is written is mended.
            assert_eq!(verify(&store).findings.is_empty(), last_too);
            takes_mail_behind(&store, last);
        }
    }
}

#[test]
fn a_torn_batch_of_several_frames_does_not_count() {
    // Which frame of the last batch is lost, from its beginning.
    for lost in 0..3 {
        let disk = SimDisk::new();
        let store = open_with(&disk, LARGE);
        let kept = fill(&store, 0..3);
        store.flush().expect("flushed");
        let torn = put(&store, &with_attachment(7, 300_000), smtp(&["x@y.example"]));
        cut_power(&disk, store);
        forget_index(&disk);
        let all = frames(&disk, 1);
        let batch = all.last().expect("frames").2;
        let of_batch: Vec<_> = all.into_iter().filter(|frame| frame.2 == batch).collect();
        assert_eq!(of_batch.len(), 3);
        spoil_frame(&disk, 1, of_batch[lost]);
        let store = open_with(&disk, LARGE);
        all_there(&store, &kept);
        assert!(matches!(
            store.number_of(&torn.digest),
            Err(Error::NotFound(_))
        ));
        assert_eq!(verify(&store).findings, [], "frame {lost}");
        assert!(has_cut_file(&disk));
        takes_mail_behind(&store, 0);
    }
}

#[test]
fn a_damaged_batch_that_others_follow_keeps_what_is_left() {
    for lost in 0..3 {
        let disk = SimDisk::new();
        let store = open_with(&disk, LARGE);
        let mut kept = fill(&store, 0..2);
        let hurt = put(&store, &with_attachment(7, 300_000), smtp(&["x@y.example"]));
        kept.extend(fill(&store, 10..12));
        let last = store.progress().expect("open").0;
        cut_power(&disk, store);
        let all = frames(&disk, 1);
        let large = all.iter().position(|frame| frame.1 - frame.0 > 250_000);
        let first = large.expect("the attachment") - 1;
        spoil_frame(&disk, 1, all[first + lost]);
        forget_catalog(&disk);
        forget_index(&disk);
        let store = open_with(&disk, LARGE);
        all_there(&store, &kept);
        assert!(store.message(hurt.number).is_err());
        let report = verify(&store);
        assert!(
            report
                .findings
                .iter()
                .any(|f| f.numbers.contains(&hurt.number)),
            "{report:?}"
        );
        assert!(!has_cut_file(&disk));
        takes_mail_behind(&store, last);
    }
}

#[test]
fn what_the_index_has_seen_was_durable() {
    let disk = SimDisk::new();
    let store = open_with(&disk, LARGE);
    let kept = fill(&store, 0..3);
    store.flush().expect("flushed");
    let hurt = put(&store, &with_attachment(7, 300_000), smtp(&["x@y.example"]));
    assert_eq!(find(&store, "has:attachment"), [hurt.number]);
    cut_power(&disk, store);
    let end = *frames(&disk, 1).last().expect("frames");
    spoil_frame(&disk, 1, end);
    let store = open_with(&disk, LARGE);
    all_there(&store, &kept);
    let report = verify(&store);
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.numbers.contains(&hurt.number)),
        "{report:?}"
    );
    takes_mail_behind(&store, hurt.reception);
}

/// A rebuild forgot the catalog and the index, which alone knew that the last batch was no torn one, and gave its numbers again.
#[test]
fn a_rebuild_cuts_nothing_that_was_durable() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let kept = fill(&store, 0..3);
    let (damaged, _) = fill(&store, 3..4).remove(0);
    drop(store);
    spoil_frame(&disk, 1, *frames(&disk, 1).last().expect("frames"));
    let store = open(&disk);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    all_there(&store, &kept);
    let findings = verify(&store).findings;
    let names = |number: u64| findings.iter().any(|f| f.numbers.contains(&number));
    assert!(
        names(damaged.number) && names(damaged.reception),
        "{findings:?}"
    );
    takes_mail_behind(&store, damaged.reception);
}

/// A new key used to be made without a word.
#[test]
fn a_lost_state_raises_an_alarm_and_verify_names_what_the_lost_key_signed() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let kept = fill(&store, 0..3);
    let (key, last) = (store.key().clone(), kept[2].0.reception);
    drop(store);
    disk.remove(Path::new("state.redb")).expect("it was there");
    let store = open(&disk);
    assert_ne!(store.key(), &key);
    let LeafBody::Event(alarm) = store.leaf(last + 1).expect("there").leaf.body else {
        panic!("an event");
    };
    assert_eq!(alarm.kind, EventKind::Alarm);
    assert_eq!(alarm.rule, AlarmKind::StateLost.name());
    let findings = verify(&store).findings;
    let unknown = "not signed by a known key";
    assert!(
        findings
            .iter()
            .any(|finding| finding.what.contains(unknown)),
        "{findings:?}"
    );
    all_there(&store, &kept);
    takes_mail_behind(&store, last);
}

#[test]
fn a_volume_shorter_than_the_catalog_knows_uses_no_number_again() {
    let disk = SimDisk::new();
    let store = open_with(&disk, LARGE);
    let kept = fill(&store, 0..20);
    store.flush().expect("flushed");
    let last = store.progress().expect("open").0;
    drop(store);
    let (at, _, _) = frames(&disk, 1)[15];
    let name = volume::file_name(1);
    let file = disk.open(Path::new(&name), Open::Write).expect("there");
    file.set_len(at).expect("cut");
    let store = open_with(&disk, LARGE);
    assert!(!verify(&store).findings.is_empty());
    takes_mail_behind(&store, last);
    all_there(&store, &kept[..10]);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    takes_mail_behind(&store, 0);
    assert!(!verify(&store).findings.is_empty());
}

#[test]
fn damaged_derived_data_is_made_again() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let kept = fill(&store, 0..10);
    store.flush().expect("flushed");
    drop(store);
    let index = crate::index::folder_name();
    for name in [crate::catalog::file_name(), format!("{index}/meta.json")] {
        spoil(&disk, &name, 0, 200);
        let store = open(&disk);
        all_there(&store, &kept);
        assert_eq!(find(&store, "gemeinsam").len(), 10, "{name}");
        assert_eq!(verify(&store).findings, [], "{name}");
        drop(store);
    }
}

/// Postings with a flipped bit gave wrong answers, and verify called the archive sound.
#[test]
fn a_damaged_index_is_named_and_made_again() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let kept = fill(&store, 0..20);
    store.flush().expect("flushed");
    drop(store);
    let names = disk
        .list(Path::new(&crate::index::folder_name()))
        .expect("listed");
    let is_postings = |name: &&PathBuf| name.extension().is_some_and(|end| end == "idx");
    let postings = names.iter().find(is_postings).expect("postings");
    let half = disk.read(postings).expect("there").len() as u64 / 2;
    spoil(&disk, &postings.display().to_string(), half, 1);
    let store = open(&disk);
    let findings = verify(&store).findings;
    let place = postings.display().to_string();
    assert!(
        findings.iter().any(|finding| finding.place == place),
        "{findings:?}"
    );
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert_eq!(verify(&store).findings, []);
    assert_eq!(find(&store, "gemeinsam").len(), kept.len());
}

#[test]
fn catalogs_and_indexes_of_other_schemas_are_removed() {
    let disk = SimDisk::new();
    drop(open(&disk));
    let names = || disk.list(Path::new("")).expect("there");
    let before = names();
    for folder in ["index-1-7", "index-9-1"] {
        disk.create_dir(Path::new(folder)).expect("made");
    }
    for name in ["catalog-1.redb", "catalog-99.redb", "index-1-7/meta.json"] {
        disk.replace(Path::new(name), b"old").expect("made");
    }
    assert_eq!(names().len(), before.len() + 4);
    drop(open(&disk));
    assert_eq!(names(), before);
}

#[test]
fn an_arrival_that_cannot_be_read_is_kept_again() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mail = message(1, "Text");
    put(&store, &mail, smtp(&["x@y.example"]));
    let first = put(&store, &mail, file("/a.eml"));
    drop(store);
    let all = frames(&disk, 1);
    spoil_frame(&disk, 1, *all.last().expect("frames"));
    let store = open(&disk);
    let again = put(&store, &mail, file("/a.eml"));
    assert_eq!(
        (again.novelty, again.number),
        (Novelty::NewReception, first.number)
    );
    let known = put(&store, &mail, file("/a.eml"));
    assert_eq!(
        (known.novelty, known.reception),
        (Novelty::Known, again.reception)
    );
    assert_eq!(store.receptions(first.number).expect("the others").len(), 2);
}

#[test]
fn damage_of_a_journal_report_names_all_whom_it_hits() {
    let disk = SimDisk::new();
    let store = open(&disk);
    put(
        &store,
        &journal_report(&message(1, "eins")),
        smtp(&["j@y.example"]),
    );
    let second = put(
        &store,
        &journal_report(&message(2, "zwei")),
        smtp(&["j@y.example"]),
    );
    drop(store);
    // Both reports have the same bytes before the message, which lie with the first.
    let all = frames(&disk, 1);
    spoil_frame(&disk, 1, all[all.len() - 2]);
    let store = open(&disk);
    let report = verify(&store);
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.numbers.contains(&second.reception)),
        "{report:?}"
    );
    assert_eq!(bytes(&store, second.number), message(2, "zwei"));
}

#[test]
fn bits_flipped_in_the_spool_are_not_taken_for_mail() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mail = with_attachment(1, 1_500_000);
    let body = || {
        let mut writer = store.spool().writer();
        writer.write(&mail).expect("room");
        writer.finish().expect("spooled")
    };
    let spooled = body();
    // The third step of preparing writes the first frames.
    let (at_step, kind) = (disk.steps() + 3, FaultKind::FlippedBit);
    disk.set_fault(Some(Fault { at_step, kind }));
    let refused = store
        .deposit(spooled, smtp(&["x@y.example"]))
        .and_then(|pending| pending.wait());
    assert!(disk.fault_was_hit() && refused.is_err());
    let receipt = store
        .deposit(body(), smtp(&["x@y.example"]))
        .and_then(|pending| pending.wait())
        .expect("the next try is taken");
    assert!(bytes(&store, receipt.number) == mail);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn an_event_too_large_for_a_record_is_refused() {
    let store = open(&SimDisk::new());
    let event = Event {
        text: "x".repeat(17 << 20),
        ..Event::default()
    };
    let refused = store.log(1, event).and_then(|pending| pending.wait());
    assert!(matches!(refused, Err(Error::Refused(_))));
    fill(&store, 0..1);
}

#[test]
fn nobody_waits_for_a_committer_that_has_ended() {
    let disk = SimDisk::new();
    let broken = Arc::new(AtomicBool::new(false));
    let mut options = options(LARGE);
    let (clock, is_broken) = (options.clock.clone(), broken.clone());
    options.clock = Arc::new(move || {
        assert!(
            !is_broken.load(Ordering::SeqCst),
            "a clock that fails a test"
        );
        clock()
    });
    let store = Store::open(Arc::new(disk), options, &mut |_| {}).expect("opens");
    fill(&store, 0..1);
    broken.store(true, Ordering::SeqCst);
    let begin = |i| store.deposit(Body::Memory(message(i, "Text")), smtp(&["x@y.example"]));
    let waiting: Vec<_> = (1..20).map(begin).collect();
    for pending in waiting {
        let refused = pending.and_then(|pending| pending.wait());
        assert!(matches!(refused, Err(Error::Closed)));
    }
    assert!(store.flush().is_err());
}

#[test]
fn an_index_without_room_lets_nobody_wait() {
    const CAPACITY_BYTES: u64 = 2 << 30;
    let disk = SimDisk::with_capacity(CAPACITY_BYTES);
    let store = open(&disk);
    let lacks_from = || search_as(&store, "gemeinsam", &Asker::Owner).lacks_from;
    // The indexer may just have been quick enough before the disk was full.
    let is_stalled = (0..50).any(|i| {
        disk.set_capacity(CAPACITY_BYTES);
        fill(&store, i..i + 1);
        let room = disk.room().expect("alive");
        disk.set_capacity(room.total_bytes - room.available_bytes);
        store.flush().is_err_and(|error| error.is_full()) && lacks_from().is_some()
    });
    assert!(is_stalled);
    // Searches go on with what the index has and say what it lacks, and events have their reserve.
    let (_, indexed) = store.progress().expect("open");
    assert_eq!(lacks_from(), Some(indexed + 1));
    store
        .log(1, Event::default())
        .and_then(|pending| pending.wait())
        .expect("events have their reserve");
    disk.set_capacity(CAPACITY_BYTES);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    let messages = store.totals().expect("sums").messages;
    assert_eq!(find(&store, "gemeinsam").len() as u64, messages);
    assert_eq!(lacks_from(), None);
}

/// A disk on which something happens before a file is opened, or its room is asked for.
struct Hooked<H> {
    disk: SimDisk,
    before: H,
}

impl<H: Fn(Option<(&Path, Open)>) -> io::Result<()> + Send + Sync + 'static> Disk for Hooked<H> {
    fn create_dir(&self, name: &Path) -> io::Result<()> {
        self.disk.create_dir(name)
    }
    fn open(&self, name: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        (self.before)(Some((name, how)))?;
        self.disk.open(name, how)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(folder)
    }
    fn exists(&self, name: &Path) -> io::Result<bool> {
        self.disk.exists(name)
    }
    fn remove(&self, name: &Path) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(folder)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }
    fn map(&self, name: &Path) -> io::Result<Bytes> {
        self.disk.map(name)
    }
    fn room(&self) -> io::Result<Room> {
        (self.before)(None)?;
        self.disk.room()
    }
}

/// Tantivy took a flipped length for true and asked for exabytes, which ended the process.
#[test]
fn an_index_whose_new_files_do_not_hold_is_made_again_at_once() {
    let disk = SimDisk::new();
    let is_to_spoil = Arc::new(AtomicBool::new(false));
    let (below, spoils) = (disk.clone(), is_to_spoil.clone());
    let hooked = Hooked {
        disk: disk.clone(),
        before: move |opened: Option<(&Path, Open)>| {
            if let Some((name, Open::Read)) = opened
                && name.extension().is_some_and(|end| end == "term")
                && spoils.swap(false, Ordering::SeqCst)
            {
                spoil(&below, &name.display().to_string(), 3, 1);
            }
            Ok(())
        },
    };
    let store = Store::open(Arc::new(hooked), options(LARGE), &mut |_| {}).expect("opens");
    let mut kept = fill(&store, 0..10);
    store.flush().expect("indexed");
    is_to_spoil.store(true, Ordering::SeqCst);
    kept.extend(fill(&store, 10..20));
    let _ = store.flush();
    assert!(!is_to_spoil.load(Ordering::SeqCst), "nothing was spoiled");
    kept.extend(fill(&store, 20..21));
    store.flush().expect("it was made again");
    all_there(&store, &kept);
    assert_eq!(find(&store, "gemeinsam").len(), kept.len());
    assert_eq!(verify(&store).findings, []);
}

/// Only the next start after a crash looks at what lay on the disk before.
#[test]
fn after_a_crash_an_index_that_does_not_hold_is_made_again() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let kept = fill(&store, 0..20);
    store.flush().expect("flushed");
    cut_power(&disk, store);
    let folder = crate::index::folder_name();
    let names = disk.list(Path::new(&folder)).expect("listed");
    let segment = names.iter().filter(|name| {
        let end = name.extension().unwrap_or_default();
        end != "json"
            && name
                .file_name()
                .is_some_and(|name| name != crate::index::IN_USE)
    });
    for name in segment {
        let disk = disk.fork();
        spoil(&disk, &name.display().to_string(), 2, 1);
        let store = open(&disk);
        assert_eq!(find(&store, "gemeinsam").len(), kept.len(), "{name:?}");
        assert_eq!(verify(&store).findings, [], "{name:?}");
    }
}

#[test]
fn a_volume_is_sealed_once_although_the_next_cannot_be_made() {
    let disk = SimDisk::new();
    let full = Arc::new(AtomicBool::new(false));
    let is_full = full.clone();
    let hooked = Hooked {
        disk: disk.clone(),
        before: move |opened: Option<(&Path, Open)>| {
            let refused = is_full.load(Ordering::SeqCst)
                && opened.is_some_and(|(name, how)| {
                    how == Open::Create && name.starts_with(volume::FOLDER)
                });
            if refused {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        },
    };
    let store = Store::open(Arc::new(hooked), options(SMALL), &mut |_| {}).expect("opens");
    full.store(true, Ordering::SeqCst);
    let refused = (0..100)
        .map(|i| message(i, &"Text ".repeat(100)))
        .filter(|mail| {
            let pending = store.deposit(Body::Memory(mail.clone()), smtp(&["x@y.example"]));
            pending.and_then(|pending| pending.wait()).is_err()
        });
    assert!(refused.count() > 5);
    full.store(false, Ordering::SeqCst);
    fill(&store, 200..240);
    let seals = frames(&disk, 1).into_iter().filter(|frame| {
        let volume = Volume::open(&disk, 1, false).expect("there");
        let payload = volume.frame_at(frame.0).expect("sound").payload;
        Records::new(&payload).any(|record| record.kind == RecordKind::Seal)
    });
    assert_eq!(seals.count(), 1);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn a_panic_of_the_indexer_lets_nobody_wait() {
    let disk = SimDisk::new();
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = broken.clone();
    let hooked = Hooked {
        disk,
        before: move |_: Option<(&Path, Open)>| {
            let by_indexer = std::thread::current().name() == Some("indexer");
            let panics = by_indexer && is_broken.load(Ordering::SeqCst);
            assert!(!panics, "a disk that fails a test");
            Ok(())
        },
    };
    let store = Store::open(Arc::new(hooked), options(LARGE), &mut |_| {}).expect("opens");
    broken.store(true, Ordering::SeqCst);
    fill(&store, 0..2);
    assert!(store.flush().is_err());
}

#[test]
fn a_number_out_of_all_bounds_is_not_believed() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let kept = fill(&store, 0..2);
    store.flush().expect("flushed");
    let last = store.leaf(kept[1].0.reception).expect("there");
    drop(store);
    let name = volume::file_name(1);
    let (_, end, batch) = *frames(&disk, 1).last().expect("frames");
    let mut hostile = last.bytes;
    hostile[34..42].copy_from_slice(&u64::MAX.to_le_bytes());
    let (mut packer, mut run) = (RecordPacker::new(), FrameRun::default());
    packer.begin(batch + 1);
    packer.record(RecordKind::Reception, &[&hostile], &mut run);
    packer.close(true, &mut run);
    let file = disk.open(Path::new(&name), Open::Write).expect("there");
    file.write_all_at(end, &run.bytes).expect("written");
    let store = open(&disk);
    all_there(&store, &kept);
    assert!(!verify(&store).findings.is_empty());
    takes_mail_behind(&store, kept[1].0.reception);
}

/// A change of a volume's bytes.
#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Spoil(usize, usize),
    Cut(usize),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    prop_oneof![
        (at.clone(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at.clone(), 1..600usize).prop_map(|(at, count)| Change::Spoil(at, count)),
        at.clone().prop_map(Change::Cut),
        (at, 1..3000usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn make(change: &Change, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    match *change {
        Change::Flip(at, bit) => bytes[at % length] ^= 1 << bit,
        Change::Spoil(at, count) => bytes[at % length..]
            .iter_mut()
            .take(count)
            .for_each(|b| *b = 0),
        Change::Cut(at) => bytes.truncate(at % length),
        Change::Repeat(at, count) => {
            let at = at % length;
            let copy = bytes[at..(at + count).min(length)].to_vec();
            bytes.splice(at..at, copy);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn hostile_records_are_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        for kind in 0..=8 {
            let _ = Leaf::decode(RecordKind::from_number(kind), &body);
        }
        // Behind a sound head the fields are reached.
        let mut behind_head = vec![0; 79];
        behind_head[32] = 1;
        behind_head.extend_from_slice(&body);
        for kind in 3..=5 {
            let _ = Leaf::decode(RecordKind::from_number(kind), &behind_head);
        }
        let _ = (Seal::decode(&body), CheckpointRecord::decode(&body), Segment::decode(&body));
        Records::new(&body).for_each(drop);
        let _ = (crate::decode_event(&body), crate::decode_reception(&body));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_damage_of_a_volume_gives_wrong_mail_or_a_number_twice(
        changes in proptest::collection::vec((0..3u64, change()), 1..4),
        forgets in any::<bool>(),
    ) {
        let disk = SimDisk::new();
        let store = open_with(&disk, SMALL);
        let kept = fill(&store, 0..12);
        store.flush().expect("flushed");
        let (volumes, last) = (verify(&store).volumes, store.progress().expect("open").0);
        drop(store);
        for (back, change) in &changes {
            let name = volume::file_name(volumes.saturating_sub(*back).max(1));
            let mut bytes = disk.read(Path::new(&name)).expect("there");
            if bytes.is_empty() {
                continue;
            }
            make(change, &mut bytes);
            disk.replace(Path::new(&name), &bytes).expect("replaced");
        }
        if forgets {
            forget_catalog(&disk);
        }
        let store = open_with(&disk, SMALL);
        for (receipt, mail) in &kept {
            let mut out = Vec::new();
            if let Ok(body) = store.message(receipt.number) {
                body.write_to(&mut out).expect("memory takes all");
                prop_assert_eq!(&out, mail);
            }
        }
        verify(&store);
        takes_mail_behind(&store, last);
    }
}
