//! The fault walk over both disks: mail, recompression and mending in step, a disk that stays away, catching up, both in step again, broken
//! off at every step of either disk by every kind of fault.
//!
//! What was acknowledged must be exact on whoever may go on: the leading disk, and the other one whenever the leading one
//! lists it as a member. `COFFER_TEST_LONG=1` takes every step.

#![expect(
    clippy::print_stdout,
    reason = "a test that fails shows which run it was"
)]

use crate::copies::CopyState;
use crate::copies_tests::VOLUME_BYTES_MAX;
use crate::disk::{Disk, Open};
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};
use crate::identity::Identity;
use crate::store_tests::{bytes, message, options, smtp, verify, with_attachment};
use crate::volume::{self, Volume};
use crate::{Body, Error, Options, Pending, Receipt, Result, StateTable, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Runs for one kind of fault on one disk in the normal test; all together take less than a minute unoptimised.
const RUNS: u64 = 6;

/// A disk that a busy computer takes for one that hangs is left out, and what only it has is not found; none of these faults lets one hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn try_open(disk: &SimDisk, copy: Option<&SimDisk>) -> Result<Store> {
    let copy = copy.map(|copy| Arc::new(copy.clone()) as Arc<dyn Disk>);
    let options = Options {
        follower_patience: PATIENCE,
        ..options(VOLUME_BYTES_MAX)
    };
    Store::open_with_copy(Arc::new(disk.clone()), copy, options, &mut |_| {})
}

/// What was acknowledged.
#[derive(Clone, Default)]
struct Kept {
    messages: Vec<(Receipt, Vec<u8>)>,
    settings: Vec<String>,
}

impl Kept {
    fn put(&mut self, store: &Store, ids: std::ops::Range<u32>) {
        for id in ids {
            let mail = match id % 10 {
                0 | 3 => with_attachment(id, VOLUME_BYTES_MAX as usize / 2),
                _ => message(id, &format!("wort{id} ").repeat(60)),
            };
            let pending = store.deposit(Body::Memory(mail.clone()), smtp(&["x@y.example"]));
            if let Ok(receipt) = pending.and_then(Pending::wait) {
                self.messages.push((receipt, mail));
            }
            let name = format!("setting {id}");
            let state = store.state();
            if state.put(StateTable::Settings, &name, Some(b"x")).is_ok() {
                self.settings.push(name);
            }
        }
    }
}

/// Whether the second disk is there, in each round.
const ROUNDS: [bool; 3] = [true, false, true];

/// Both disks and what was acknowledged, while the archive is closed.
#[derive(Default)]
struct Scenario {
    disks: [SimDisk; 2],
    kept: Kept,
}

impl Scenario {
    /// Lives through a round; what fails is not kept and the next thing is tried.
    fn live_through(&mut self, round: usize) {
        let [one, two] = &self.disks;
        let copy = ROUNDS[round].then_some(two);
        if let Ok(store) = try_open(one, copy) {
            let first = round as u32 * 10;
            self.kept.put(&store, first..first + 7);
            // The last volume holds text alone, which becomes smaller.
            let _ = store.recompress(true, &mut |_, _| {});
            // The other disk has what is spoiled here.
            if store.copy_state() == Some(CopyState::InStep) && spoil(one).is_ok() {
                let _ = store.mend_in_step(&mut |_, _| {});
            }
        }
    }

    /// Another one that is as this one is now.
    fn fork(&self) -> Self {
        let [one, two] = &self.disks;
        Self {
            disks: [one.fork(), two.fork()],
            kept: self.kept.clone(),
        }
    }

    /// Lives through all rounds without a fault; gives it as it was before each of them, and at the end.
    fn states() -> Vec<Self> {
        let mut scenario = Self::default();
        let mut states = vec![scenario.fork()];
        for round in 0..ROUNDS.len() {
            scenario.live_through(round);
            states.push(scenario.fork());
        }
        states
    }
}

fn check_kept(store: &Store, kept: &Kept) {
    for (receipt, mail) in &kept.messages {
        assert!(bytes(store, receipt.number) == *mail, "{receipt:?}");
    }
    for name in &kept.settings {
        let value = store.state().get(StateTable::Settings, name);
        assert!(value.expect("readable").is_some(), "{name}");
    }
    assert_eq!(verify(store).findings, []);
}

/// Whether the second disk may go on alone.
fn is_member(one: &SimDisk, two: &SimDisk) -> bool {
    let read = |disk: &SimDisk| Identity::read(disk).expect("an identity is whole");
    match (read(one), read(two)) {
        (Some(one), Some(two)) => one.lists(&two.disk),
        _ => false,
    }
}

fn check_recovered(one: &SimDisk, two: &SimDisk, alone: bool, mut kept: Kept) {
    let store = match alone && is_member(one, two) {
        true => try_open(two, None),
        false => try_open(one, Some(two)),
    };
    let store = match store {
        Ok(store) => store,
        // Nothing was acknowledged before the archive was made.
        Err(Error::Follower(why)) if kept.messages.is_empty() => {
            println!("not opened: {why}");
            return;
        }
        Err(error) => panic!("{error:?}"),
    };
    // What was not mended before is now.
    let _ = store.mend_in_step(&mut |_, _| {});
    check_kept(&store, &kept);
    kept.put(&store, 90..93);
    assert!(kept.messages.len() >= 3, "new mail is taken");
    drop(store);
    // The other disk comes back, or stays.
    let store = try_open(one, Some(two)).expect("both open");
    check_kept(&store, &kept);
}

/// Damages the first volume.
fn spoil(disk: &SimDisk) -> std::io::Result<()> {
    let name = volume::file_name(1);
    let file = disk.open(Path::new(&name), Open::Write)?;
    file.write_all_at(700, &[0x5a; 30])?;
    file.sync_data()
}

/// How many volumes were packed anew.
fn recompressed(disk: &SimDisk) -> usize {
    let numbers = volume::numbers(disk).expect("listed");
    let header = |number| Volume::open(disk, number, false).expect("there").header;
    let headers = numbers.into_iter().map(header);
    headers.filter(|header| header.recompressed).count()
}

/// Lives through the scenario with a fault, from the round on in which it befalls a disk; tells whether it did.
fn with_fault(states: &[Scenario], faulty: usize, fault: Fault) -> (Scenario, bool) {
    let is_before = |state: &&Scenario| state.disks[faulty].steps() < fault.at_step;
    let before = states[1..].iter().take_while(is_before).count();
    let mut scenario = states[before].fork();
    scenario.disks[faulty].set_fault(Some(fault));
    (before..ROUNDS.len()).for_each(|round| scenario.live_through(round));
    let hit = scenario.disks[faulty].fault_was_hit();
    (scenario, hit)
}

/// Walks with a fault on either disk.
fn walk(kind: FaultKind) {
    let states = Scenario::states();
    let Scenario { disks, kept } = states.last().expect("the end");
    assert_eq!((kept.messages.len(), kept.settings.len()), (21, 21));
    for disk in disks {
        assert!(recompressed(disk) >= 3);
    }
    let (mut runs, mut hits) = (0, 0);
    for faulty in [0, 1] {
        let steps = disks[faulty].steps();
        let long = std::env::var_os("COFFER_TEST_LONG").is_some();
        let stride = if long { 1 } else { (steps / RUNS).max(1) };
        for at_step in (1 + kind as u64..=steps).step_by(stride as usize) {
            let fault = Fault { at_step, kind };
            let (Scenario { disks: two, kept }, hit) = with_fault(&states, faulty, fault);
            // Shown when an assertion fails.
            println!("{kind:?} at step {at_step} of disk {faulty}, hit: {hit}");
            runs += 1;
            hits += u64::from(hit);
            for (disk, seed) in two.iter().zip(at_step..) {
                disk.crash(Crash::KeepSome { seed });
            }
            check_recovered(&two[0], &two[1], runs % 2 == 0, kept);
        }
    }
    assert!(
        hits * 10 >= runs * 7,
        "{hits} of {runs} runs hit their fault"
    );
}

#[test]
fn a_disk_that_goes_away_takes_nothing_along() {
    walk(FaultKind::Error);
}

#[test]
fn a_step_that_fails_once_costs_only_what_was_refused() {
    walk(FaultKind::ErrorOnce);
}

#[test]
fn a_disk_that_fills_up_keeps_what_it_has() {
    walk(FaultKind::Full);
}

#[test]
fn a_torn_write_takes_nothing_acknowledged() {
    walk(FaultKind::TornWrite);
}

#[test]
fn a_power_cut_of_one_disk_takes_nothing_acknowledged() {
    walk(FaultKind::LostUnsynced);
}
