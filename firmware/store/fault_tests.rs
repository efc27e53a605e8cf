//! The fault walk: one scenario of the whole store, broken off at every step of the disk by every kind of fault.
//!
//! What was acknowledged must be there afterwards, exactly; the archive must verify, give the same answers after a rebuild
//! and take new mail. The threads of the store make the steps of two runs differ a little, so a fault late in the counted
//! run may come too late in another: each run says whether its fault was hit.
//!
//! The normal test takes every so many steps, `COFFER_TEST_LONG=1` all of them.

#![expect(
    clippy::print_stdout,
    reason = "a test that fails shows which run it was"
)]

use crate::disk::Disk;
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};
use crate::store_tests::{
    file, find, journal_report, message, options, smtp, verify, with_attachment,
};
use crate::verify::VerifyOptions;
use crate::{Body, Deposit, Error, LeafBody, Pending, Receipt, Result, StateTable, Store};
use archive::{Event, EventKind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Small, so that the scenario rolls volumes.
const VOLUME_BYTES_MAX: u64 = 40_000;

/// Runs of one kind of fault in the normal test; all kinds together take less than a minute unoptimised.
const RUNS: u64 = 16;

/// Messages that the scenario brings.
const MESSAGES: usize = 22;

/// What was acknowledged.
#[derive(Default)]
struct Kept {
    messages: Vec<(Receipt, Vec<u8>)>,
    reports: Vec<(Receipt, Vec<u8>)>,
    events: Vec<(u64, String)>,
    checkpoints: Vec<String>,
}

impl Kept {
    fn last_number(&self) -> u64 {
        let receptions = self.messages.iter().map(|(receipt, _)| receipt.reception);
        let events = self.events.iter().map(|(number, _)| *number);
        receptions.chain(events).max().unwrap_or(0)
    }
}

fn open(disk: &SimDisk) -> Result<Store> {
    Store::open(
        Arc::new(disk.clone()),
        options(VOLUME_BYTES_MAX),
        &mut |_| {},
    )
}

/// Lives through the whole scenario; what fails is not kept and the next thing is tried.
fn scenario(store: &Store, kept: &mut Kept) {
    let text = |i: u32| format!("wort{i} gemeinsam ").repeat(40);
    for i in 0..4 {
        put(store, message(i, &text(i)), smtp(&["x@y.example"]), kept);
    }
    put(store, with_attachment(10, 4_000), file("/a.eml"), kept);
    put(
        store,
        message(1, &text(1)),
        smtp(&["again@y.example"]),
        kept,
    );
    put(store, message(1, &text(1)), file("/b.eml"), kept);
    put(store, message(1, &text(1)), file("/b.eml"), kept);
    log(store, "first", kept);
    checkpoint(store, kept);
    // Together in one batch of several frames.
    let together: Vec<_> = (20..24)
        .map(|i| with_attachment(i, 90_000 + i as usize))
        .map(|mail| (begin(store, &mail, smtp(&["x@y.example"])), mail))
        .collect();
    together
        .into_iter()
        .for_each(|(pending, mail)| end(pending, mail, kept));
    // The index commits what has come so far.
    let _ = store.flush();
    put_spooled(store, with_attachment(30, 1_300_000), kept);
    put_spooled(store, with_attachment(31, 1_300_000), kept);
    let report = journal_report(&message(40, &text(40)));
    if let Ok(receipt) = begin(store, &report, smtp(&["journal@y.example"])).and_then(Pending::wait)
    {
        kept.messages.push((receipt, message(40, &text(40))));
        kept.reports.push((receipt, report));
    }
    for i in 50..56 {
        put(store, message(i, &text(i)), smtp(&["x@y.example"]), kept);
    }
    log(store, "second", kept);
    checkpoint(store, kept);
    let _ = store.flush();
    put(store, message(60, &text(60)), smtp(&["x@y.example"]), kept);
}

fn begin(store: &Store, mail: &[u8], how: Deposit) -> Result<Pending<Receipt>> {
    store.deposit(Body::Memory(mail.to_vec()), how)
}

fn end(pending: Result<Pending<Receipt>>, mail: Vec<u8>, kept: &mut Kept) {
    if let Ok(receipt) = pending.and_then(Pending::wait) {
        kept.messages.push((receipt, mail));
    }
}

fn put(store: &Store, mail: Vec<u8>, how: Deposit, kept: &mut Kept) {
    end(begin(store, &mail, how), mail, kept);
}

fn put_spooled(store: &Store, mail: Vec<u8>, kept: &mut Kept) {
    let mut writer = store.spool().writer();
    let written = mail.chunks(300_000).try_for_each(|c| writer.write(c));
    let body = written.and_then(|()| writer.finish());
    let pending = body.and_then(|body| store.deposit(body, smtp(&["x@y.example"])));
    end(pending, mail, kept);
}

fn log(store: &Store, text: &str, kept: &mut Kept) {
    let event = Event {
        kind: EventKind::CommandRun,
        text: text.to_owned(),
        ..Event::default()
    };
    if let Ok(number) = store.log(1, event).and_then(Pending::wait) {
        kept.events.push((number, text.to_owned()));
    }
}

fn checkpoint(store: &Store, kept: &mut Kept) {
    if let Ok(checkpoint) = store.checkpoint() {
        kept.checkpoints.push(checkpoint.note);
    }
}

/// Everything a person could ask: the numbers that match, and the sums.
fn answers(store: &Store) -> Vec<Vec<u64>> {
    let queries = ["gemeinsam", "wort1", "to:again@y.example", "has:attachment"];
    queries.map(|query| find(store, query)).to_vec()
}

fn check_kept(store: &Store, kept: &Kept) {
    for (receipt, mail) in &kept.messages {
        assert!(bytes_of(store.message(receipt.number)) == *mail);
        assert_eq!(
            store.number_of(&receipt.digest).expect("known"),
            receipt.number
        );
        let reception = store.leaf(receipt.reception).expect("kept").leaf.body;
        assert!(
            matches!(reception, LeafBody::Reception { message, .. } if message == receipt.number)
        );
    }
    for (receipt, report) in &kept.reports {
        assert!(bytes_of(store.journal_report(receipt.reception)) == *report);
    }
    for (number, text) in &kept.events {
        let event = store.leaf(*number).expect("kept").leaf.body;
        assert!(matches!(event, LeafBody::Event(event) if event.text == *text));
    }
}

fn bytes_of(body: Result<Body>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let body = body.expect("a body");
    body.write_to(&mut bytes).expect("memory takes all");
    bytes
}

fn check_whole(store: &Store, kept: &Kept) {
    assert_eq!(verify(store).findings, []);
    for note in &kept.checkpoints {
        let how = VerifyOptions {
            key: Some(store.key().clone()),
            checkpoint: Some(note.clone()),
        };
        let report = store.verify(&how, &mut |_, _| {}).expect("readable");
        assert_eq!(report.findings, []);
    }
}

/// After the fault everything must be as if nothing had happened, but for what was refused.
fn check_recovered(disk: &SimDisk, kept: &Kept) {
    let store = open(disk).expect("the archive opens");
    check_kept(&store, kept);
    check_whole(&store, kept);
    let mut found = find(&store, "gemeinsam");
    found.extend(find(&store, "has:attachment"));
    for (receipt, _) in &kept.messages {
        assert!(
            found.contains(&receipt.number),
            "{} is not found",
            receipt.number
        );
    }
    let (before, sums) = (answers(&store), store.totals().expect("sums"));
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert_eq!(answers(&store), before);
    let mut after = store.totals().expect("sums");
    after.events -= 1;
    assert_eq!(after, sums, "the rebuilding itself is an event");
    let new = message(999, "neu");
    let receipt = begin(&store, &new, smtp(&["x@y.example"]))
        .and_then(Pending::wait)
        .expect("new mail is taken");
    assert!(
        receipt.number > kept.last_number(),
        "no number is used twice"
    );
    assert!(bytes_of(store.message(receipt.number)) == new);
    check_kept(&store, kept);
    assert_eq!(verify(&store).findings, []);
}

/// How a run went.
struct Run {
    kept: Kept,
    /// Whether the planned fault was hit.
    hit: bool,
    /// Steps before the store was closed.
    steps: u64,
}

/// Runs the scenario and closes the store, on a dead disk if `killed`.
fn run(disk: &SimDisk, killed: bool) -> Run {
    let mut kept = Kept::default();
    let store = open(disk);
    if let Ok(store) = &store {
        scenario(store, &mut kept);
    }
    let (mut hit, steps) = (disk.fault_was_hit(), disk.steps());
    if killed {
        // What the store does at its end must not reach the disk.
        let (at_step, kind) = (steps + 1, FaultKind::Error);
        disk.set_fault(Some(Fault { at_step, kind }));
    }
    drop(store);
    hit |= !killed && disk.fault_was_hit();
    // On a full disk mail is refused before anything is written.
    hit |= kept.messages.len() < MESSAGES;
    Run { kept, hit, steps }
}

/// Steps of a run without faults: before the store is closed, and in all.
fn count_steps() -> (u64, u64) {
    let disk = SimDisk::new();
    let Run { kept, steps, .. } = run(&disk, false);
    assert_eq!(kept.messages.len(), MESSAGES);
    assert_eq!((kept.events.len(), kept.checkpoints.len()), (2, 2));
    let all = disk.steps();
    check_recovered(&disk, &kept);
    let rolled = disk.exists(Path::new("volumes/00000003.vol"));
    assert!(rolled.expect("the disk lives"));
    (steps, all)
}

/// The steps at which a walk of so many runs breaks off; another `start` takes others.
fn walked(steps: u64, start: u64) -> impl Iterator<Item = u64> {
    let long = std::env::var_os("COFFER_TEST_LONG").is_some();
    let stride = if long { 1 } else { (steps / RUNS).max(1) };
    (1 + start % stride..=steps).step_by(stride as usize)
}

/// Walks all steps with a fault; what happened before it was acknowledged must have outlasted it.
fn walk(kind: FaultKind, start: u64) {
    // A busy machine counts more steps than its later runs take.
    let (closing, steps) = (0..3).map(|_| count_steps()).min().expect("three");
    let (mut runs, mut hits) = (0, 0);
    for at_step in walked(steps, start) {
        let disk = SimDisk::new();
        disk.set_fault(Some(Fault { at_step, kind }));
        // After a fault that passes the store goes on; every other time it closes in order.
        let killed = runs % 2 == 0 && at_step < closing;
        let Run { kept, hit, .. } = run(&disk, killed);
        runs += 1;
        hits += u64::from(hit);
        // Shown when an assertion fails.
        println!("{kind:?} at step {at_step}, hit: {hit}, killed: {killed}");
        if killed {
            disk.crash(Crash::KeepSome { seed: at_step });
        } else {
            disk.reopen();
        }
        check_recovered(&disk, &kept);
    }
    // Threads take some steps in another order, and the last ones may not come. Where a run ends, nothing grows any more
    // for a good tenth of its steps: a disk that is full by then has nothing to refuse.
    let wanted = match kind {
        FaultKind::Full => runs * 6 / 10,
        _ => runs * 8 / 10,
    };
    assert!(hits >= wanted, "{hits} of {runs} runs hit their fault");
}

#[test]
fn a_disk_that_goes_away_takes_nothing_along() {
    walk(FaultKind::Error, 1);
}

#[test]
fn a_step_that_fails_once_costs_only_what_was_refused() {
    walk(FaultKind::ErrorOnce, 2);
}

#[test]
fn a_disk_that_fills_up_keeps_what_it_has() {
    walk(FaultKind::Full, 3);
}

#[test]
fn a_torn_write_takes_nothing_acknowledged() {
    walk(FaultKind::TornWrite, 4);
}

#[test]
fn a_power_cut_takes_nothing_acknowledged() {
    walk(FaultKind::LostUnsynced, 5);
}

/// What a flipped bit left of the archive: nothing wrong is given out, and what is lost is named.
fn check_flipped(disk: &SimDisk, kept: &Kept, at_step: u64) -> bool {
    let store = match open(disk) {
        Ok(store) => store,
        // These two are ground, and small; everything else opens.
        Err(Error::State { .. }) => return false,
        Err(Error::Damaged { name, .. }) if name == "identity" => return false,
        Err(error) => panic!("step {at_step}: {error:?}"),
    };
    store.rebuild(&mut |_| {}).expect("rebuilt");
    let findings = verify(&store).findings;
    let named: Vec<u64> = findings.iter().flat_map(|f| f.numbers.clone()).collect();
    for (receipt, mail) in &kept.messages {
        // A bit that flipped on the way into the spool makes another message, and the receipt says so.
        if receipt.digest != crate::digest::sha256(mail) {
            continue;
        }
        let mut bytes = Vec::new();
        match store.message(receipt.number) {
            Ok(body) => body.write_to(&mut bytes).expect("memory takes all"),
            Err(error) => assert!(named.contains(&receipt.number), "{error}: {findings:?}"),
        }
        assert!(bytes.is_empty() || bytes == *mail, "step {at_step}");
    }
    let new = message(999, "neu");
    let receipt = begin(&store, &new, smtp(&["x@y.example"]))
        .and_then(Pending::wait)
        .expect("new mail is taken");
    assert!(bytes_of(store.message(receipt.number)) == new);
    !findings.is_empty()
}

/// Tells a child process of the walk with flipped bits at which step its bit flips.
const FLIP_AT: &str = "COFFER_TEST_FLIP_AT";

/// Whether a bit flipped, and whether the damage was named.
struct Flipped {
    hit: bool,
    named: bool,
}

/// Lives through the scenario with one flipped bit.
fn flip(at_step: u64) -> Flipped {
    let disk = SimDisk::new();
    let kind = FaultKind::FlippedBit;
    disk.set_fault(Some(Fault { at_step, kind }));
    let Run { kept, hit, .. } = run(&disk, false);
    disk.reopen();
    let named = check_flipped(&disk, &kept, at_step);
    Flipped { hit, named }
}

/// Does so in a process of its own, since libraries that believe what they read may end it; gives what it said if it did not end well.
fn flip_in_a_child(at_step: u64) -> std::result::Result<Flipped, String> {
    let walk = "fault_tests::a_flipped_bit_is_named_or_mended";
    let program = std::env::current_exe().expect("a test has a program");
    let mut child = Command::new(program);
    child.args(["--exact", "--nocapture", walk]);
    let output = child.env(FLIP_AT, at_step.to_string()).output();
    let output = output.expect("the test starts itself");
    let said = String::from_utf8_lossy(&output.stdout);
    let tells = |what: &str| match [true, false].map(|is| said.contains(&format!("{what}: {is};")))
    {
        [true, false] => Some(true),
        [false, true] => Some(false),
        _ => None,
    };
    match (output.status.success(), tells("hit"), tells("named")) {
        (true, Some(hit), Some(named)) => Ok(Flipped { hit, named }),
        _ => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(format!("step {at_step}: {}: {errors}{said}", output.status))
        }
    }
}

#[test]
fn a_flipped_bit_is_named_or_mended() {
    if let Ok(at_step) = std::env::var(FLIP_AT) {
        let Flipped { hit, named } = flip(at_step.parse().expect("a number"));
        println!("hit: {hit}; named: {named};");
        return;
    }
    let (_, steps) = count_steps();
    let (mut hits, mut named, mut ended_badly) = (0, 0, Vec::new());
    for at_step in walked(steps, 6) {
        match flip_in_a_child(at_step) {
            Ok(flipped) => {
                hits += u64::from(flipped.hit);
                named += u64::from(flipped.named);
            }
            Err(how) => ended_badly.push(how),
        }
    }
    assert!(ended_badly.is_empty(), "{}", ended_badly.join("\n"));
    assert!(
        hits > 0 && named > 0,
        "{hits} bits flipped, {named} were named"
    );
}

fn small(id: u32) -> Vec<u8> {
    message(id, &format!("wort{id} "))
}

fn take(store: &Store, id: u32) -> Result<Receipt> {
    begin(store, &small(id), smtp(&["x@y.example"])).and_then(Pending::wait)
}

fn give_room(disk: &SimDisk) {
    disk.set_fault(None);
    disk.set_capacity(1 << 40);
}

fn fill_up(disk: &SimDisk, steps_ahead: u64) {
    let (at_step, kind) = (disk.steps() + steps_ahead, FaultKind::Full);
    disk.set_fault(Some(Fault { at_step, kind }));
}

/// All that was acknowledged is there and found.
fn check_goes_on(store: &Store, kept: &[(u32, Receipt)]) {
    for (id, receipt) in kept {
        assert!(
            bytes_of(store.message(receipt.number)) == small(*id),
            "{id}"
        );
    }
    assert_eq!(verify(store).findings, []);
    store.wait_for_index();
    assert_eq!(find(store, "wort9999").len(), 1);
}

#[test]
fn a_catalog_that_finds_no_room_goes_on_once_there_is_some() {
    let disk = SimDisk::new();
    let store = crate::store_tests::open(&disk);
    let catalog = crate::catalog::file_name();
    let (mut kept, mut ids) = (Vec::new(), 0..);
    for round in 0..3 {
        disk.keep_from_growing(Some(Path::new(&catalog)));
        let refused = loop {
            let id = ids.next().expect("without end");
            match take(&store, id) {
                Ok(receipt) => kept.push((id, receipt)),
                Err(error) => break error,
            }
        };
        // There seems to be room, so whoever asks tries to go on, and finds none again.
        let passes = |error: &Error| {
            let is_closed = matches!(error, Error::Latched(_) | Error::Rebuilding);
            is_closed || matches!(error, Error::Catalog { .. })
        };
        assert!(passes(&refused), "{round}: {refused:?}");
        disk.keep_from_growing(None);
        let id = ids.next().expect("without end");
        kept.push((id, take(&store, id).expect("there is room again")));
    }
    kept.push((9999, take(&store, 9999).expect("taken")));
    check_goes_on(&store, &kept);
}

/// A thread of tantivy's found no room where there seemed to be some: that was taken for the end of the index, until a restart.
#[test]
fn an_index_that_finds_no_room_goes_on_once_there_is_some() {
    let disk = SimDisk::new();
    let store = crate::store_tests::open(&disk);
    let index = crate::index::folder_name();
    let mut kept = Vec::new();
    for id in 0..3 {
        disk.keep_from_growing(Some(Path::new(&index)));
        kept.push((id, take(&store, id).expect("mail needs no index")));
        let lacks = store.flush().expect_err("nothing can be found");
        assert!(lacks.is_full(), "{lacks:?}");
        disk.keep_from_growing(None);
        store.wait_for_index();
    }
    kept.push((9999, take(&store, 9999).expect("taken")));
    check_goes_on(&store, &kept);
}

#[test]
fn a_rebuild_that_finds_no_room_goes_on_once_there_is_some() {
    let disk = SimDisk::new();
    let store = crate::store_tests::open(&disk);
    let mut kept: Vec<_> = (0..40)
        .map(|id| (id, take(&store, id).expect("taken")))
        .collect();
    let before = disk.steps();
    store.rebuild(&mut |_| {}).expect("rebuilt");
    let steps = disk.steps() - before;
    let mut failed = 0;
    for (at, id) in (1..=steps).step_by(3).zip(100..) {
        fill_up(&disk, at);
        // Threads take some steps in another order, and the last ones may not come.
        if store.rebuild(&mut |_| {}).is_err() {
            failed += 1;
            assert!(store.takes_mail().is_err(), "the disk is full");
        }
        give_room(&disk);
        kept.push((id, take(&store, id).expect("there is room again")));
    }
    kept.push((9999, take(&store, 9999).expect("taken")));
    assert!(failed > 5, "{failed} of {steps}");
    check_goes_on(&store, &kept);
}

#[test]
fn a_state_that_finds_no_room_goes_on_once_there_is_some() {
    let disk = SimDisk::new();
    let store = crate::store_tests::open(&disk);
    let put = |name: &str, length: usize| {
        let value = vec![7; length];
        store.state().put(StateTable::Settings, name, Some(&value))
    };
    let has = |name: &str| {
        let value = store.state().get(StateTable::Settings, name);
        value.expect("readable").is_some()
    };
    put("before", 1).expect("room");
    let mut failed = 0;
    for steps_ahead in 1..12 {
        let name = format!("large {steps_ahead}");
        fill_up(&disk, steps_ahead);
        // More than the file has pages for.
        let is_kept = put(&name, 4 << 20).is_ok();
        give_room(&disk);
        failed += u32::from(!is_kept);
        assert_eq!((has("before"), has(&name)), (true, is_kept));
        put("after", 1).expect("there is room again");
    }
    assert!(failed > 0, "the state always had room");
}
