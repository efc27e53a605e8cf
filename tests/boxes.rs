//! The box as its owner has it, in an emulator: set up through its page, its disks pulled and swapped, its power cut.
//!
//! Needs what `tests/image.rs` needs, and e2fsprogs and the Python package `cryptography` to look into archive disks from outside.
//! What costs more than some minutes runs with `COFFER_TEST_LONG` only.

#[path = "boxes/agent.rs"]
mod agent;
#[path = "boxes/by_hand.rs"]
mod by_hand;
#[path = "boxes/crash_states.rs"]
mod crash_states;
#[path = "boxes/cuts.rs"]
mod cuts;
#[path = "boxes/disks.rs"]
mod disks;
#[path = "boxes/figures.rs"]
mod figures;
#[path = "boxes/guest.rs"]
mod guest;
#[path = "boxes/loader_faults.rs"]
mod loader_faults;
#[path = "boxes/opened_disk.rs"]
mod opened_disk;
#[path = "boxes/owner.rs"]
mod owner;
#[path = "boxes/releases.rs"]
mod releases;
#[path = "boxes/results.rs"]
mod results;
#[path = "boxes/sender.rs"]
mod sender;
#[path = "boxes/starting.rs"]
mod starting;
#[path = "boxes/state_partition.rs"]
mod state_partition;
#[path = "boxes/updates.rs"]
mod updates;
#[path = "boxes/uploads.rs"]
mod uploads;
#[path = "boxes/version.rs"]
mod version;
#[path = "boxes/wire.rs"]
mod wire;
#[path = "boxes/workers.rs"]
mod workers;

use opened_disk::OpenedDisk;
use owner::Owner;
use sender::Sender;
use tests::{Hardware, assert_same, board, other_board};

/// 200 messages of the corpus.
const MESSAGES: usize = 200;

#[test]
fn an_office_on_two_disks_has_everything_after_a_start() {
    results::once("an office", || keep_everything(&board()));
}

#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn an_office_on_the_other_board_has_everything_after_a_start() {
    results::once("an office, on the other board", || {
        keep_everything(other_board());
    });
}

fn keep_everything(board: &str) {
    let Some(hardware) = Hardware::of_board(&format!("box-office-{board}"), board, 2) else {
        return;
    };
    let emulated = hardware.start();
    let mut owner = Owner::set_up(&emulated);
    let mut sender = Sender::new();
    sender.send(&emulated, 5);
    owner.add_disk(2);
    owner.waits_for_second_disk("in step");
    sender.send(&emulated, MESSAGES - 5);
    emulated.power_off();
    let emulated = hardware.start();
    emulated.says("takes mail");
    owner.returns_to(&emulated);
    owner.waits_for_second_disk("in step");
    sender.send(&emulated, 1);
    owner.ends("power-off");
    emulated.says("the end");
    drop(emulated);
    for (disk, key) in hardware.disks.iter().zip(owner.recovery_keys()) {
        let Some(opened) = OpenedDisk::new(&hardware.folder, disk, key) else {
            return;
        };
        opened.archive().verify();
        assert_same(&opened.exported(), sender.accepted());
        assert!(!opened.archive().search("from:*").is_empty());
    }
}
