//! What starts when a version, a medium or a disk does not.

use crate::agent::Agent;
use crate::opened_disk::OpenedDisk;
use crate::owner::Owner;
use crate::results::{self, on_both_boards};
use crate::sender::Sender;
use crate::version::{EfiPartition, FurtherPartition, Version};
use std::fs;
use tests::{Hardware, assert_same, board, missing, skip};
use update::esp::{EntryName, Slot};

/// What the kernel says when there is nothing that it could start.
pub(crate) const NOTHING_TO_START: &str = "rdinit=/missing init=/missing root=/missing";

fn name(text: &str) -> EntryName {
    text.parse().expect("a name of a version")
}

/// BOX.md, A and C: each try is counted, then the version before starts.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_version_that_never_proves_itself_is_left() {
    results::once("a version that panics", leave_a_version);
}

fn leave_a_version() {
    let Some(hardware) = Hardware::new("box-fallback", 0) else {
        return;
    };
    let mut medium = EfiPartition::of(&hardware.folder.join("new.img"));
    let built = Version::built(&hardware.image);
    let panics = built.newer().started_with(NOTHING_TO_START);
    medium.install(Slot::B, name("cf2+3-0.efi"), &panics);
    let emulated = hardware.start();
    for counted in ["cf2+2-1.efi", "cf2+1-2.efi", "cf2+0-3.efi"] {
        emulated.says("Kernel panic");
        let mut medium = EfiPartition::of(&hardware.folder.join("boot.img"));
        assert!(medium.names().contains(&counted.to_owned()), "{counted}");
    }
    emulated.power_off_when("https://10.0.2.15");
}

/// BOX.md, D: the watchdog counts for a version whose first process hangs.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_version_that_hangs_is_left() {
    results::once("a version that hangs", leave_a_hanging_version);
}

fn leave_a_hanging_version() {
    let Some(mut hardware) = Hardware::new("box-hangs", 0) else {
        return;
    };
    let newer = Version::built(&hardware.image).newer();
    let Some(hangs) = Agent::inside(&newer, &hardware.board) else {
        return;
    };
    let agent = Agent::beside(&mut hardware);
    let mut medium = EfiPartition::of(&hardware.folder.join("new.img"));
    medium.install(Slot::B, name("cf2+1-0.efi"), &hangs);
    let emulated = hardware.start();
    emulated.says("Coffer 99.0.0 ");
    emulated.says("https://10.0.2.15");
    agent.hang();
    emulated.says("BdsDxe: starting"); // the firmware: the watchdog has restarted it
    let mut medium = EfiPartition::of(&hardware.folder.join("boot.img"));
    assert!(medium.names().contains(&"cf2+0-1.efi".to_owned()));
    emulated.says(concat!("Coffer ", env!("CARGO_PKG_VERSION"), " "));
    emulated.power_off_when("https://10.0.2.15");
}

/// BOX.md, J: versions on a further partition for them (XBOOTLDR) are counted as those on the EFI partition are.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_version_on_a_further_partition_is_counted_too() {
    results::once(
        "a version on a further partition",
        leave_a_version_elsewhere,
    );
}

fn leave_a_version_elsewhere() {
    if let Some(why) = missing(&board(), &["sgdisk", "mkfs.fat", "mmd", "mcopy", "mdir"]) {
        return skip(&format!("a version on a further partition: {why}"));
    }
    let Some(hardware) = Hardware::new("box-elsewhere", 0) else {
        return;
    };
    let built = Version::built(&hardware.image);
    let panics = built.newer().started_with(NOTHING_TO_START);
    let medium = hardware.folder.join("new.img");
    let further = FurtherPartition::add_to(&medium);
    further.put(&hardware.folder, &medium, "cf2+2-0.efi", &panics);
    let emulated = hardware.start();
    for counted in ["cf2+1-1.efi", "cf2+0-2.efi"] {
        emulated.says("Kernel panic");
        let names = further.names(&hardware.folder.join("boot.img"));
        assert!(names.contains(counted), "{counted} in {names}");
    }
    emulated.power_off_when("https://10.0.2.15");
}

/// BOX.md, O: when no version has tries left, the newest starts all the same.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn without_tries_the_newest_version_starts() {
    results::once("no tries left", start_without_tries);
}

fn start_without_tries() {
    let Some(hardware) = Hardware::new("box-no-tries", 0) else {
        return;
    };
    let mut medium = EfiPartition::of(&hardware.folder.join("new.img"));
    let built = Version::built(&hardware.image);
    let newer = built.newer().started_with("loglevel=7");
    medium.remove(Slot::Recovery);
    medium.remove(Slot::A);
    medium.install(Slot::A, name("cf1+0-3.efi"), &built);
    medium.install(Slot::B, name("cf2+0-3.efi"), &newer);
    let emulated = hardware.start();
    emulated.says("loglevel=7");
    emulated.power_off_when("https://10.0.2.15");
}

on_both_boards! {
    a_medium_that_does_not_start_is_replaced_by_any_archive_disk: "starting from either disk", start_from_disks;
    archive_disks_go_on_in_another_box: "another box", move_disks;
}

/// BOX.md, K and L: the firmware goes on to the next disk that has an EFI partition; the state is still on the medium.
fn start_from_disks(board: &str) {
    let Some(mut hardware) = Hardware::of_board(&format!("box-starts-{board}"), board, 2) else {
        return;
    };
    let mut sender = Sender::new();
    let owner = with_two_disks(&hardware, &mut sender);
    let medium = hardware.folder.join("boot.img");
    let good = hardware.folder.join("good.img");
    fs::copy(&medium, &good).expect("room for a copy");
    let restore = || fs::copy(&good, &medium).expect("room for a copy");

    // L: the EFI partition of the medium is gone.
    EfiPartition::of(&medium).wipe();
    takes_mail(&hardware, &mut sender);
    restore();
    // K: no version of the medium can be loaded.
    let damaged = Version::built(&hardware.image).damaged();
    let mut partition = EfiPartition::of(&medium);
    partition.remove(Slot::Recovery);
    partition.remove(Slot::A);
    partition.install(Slot::A, name("cf1.efi"), &damaged);
    takes_mail(&hardware, &mut sender);
    restore();
    // Either disk beside the medium; what comes meanwhile is on it alone, so that the other one has to catch up.
    let both = hardware.disks.clone();
    for alone in [0, 1] {
        hardware.disks = vec![both[alone].clone()];
        takes_mail(&hardware, &mut sender);
        hardware.disks = both.clone();
        let emulated = hardware.start();
        emulated.says("takes mail");
        let mut owner = owner.clone();
        owner.returns_to(&emulated);
        owner.waits_for_second_disk("in step");
        emulated.power_off();
    }
    // Either disk, and no medium: the recovery key opens it.
    hardware.options.push("--no-medium".to_owned());
    for alone in [0, 1] {
        hardware.disks = vec![both[alone].clone()];
        let emulated = hardware.start();
        emulated.says("locked");
        owner
            .clone()
            .unlock(&emulated, &owner.recovery_keys()[alone]);
        emulated.says("takes mail");
        emulated.power_off();
        let Some(opened) = OpenedDisk::new(
            &hardware.folder,
            &both[alone],
            &owner.recovery_keys()[alone],
        ) else {
            return;
        };
        opened.archive().verify();
        assert_same(&opened.exported(), sender.accepted());
    }
}

/// The disks go on in another box, whose medium never saw them: the recovery key opens them, and is not asked for again.
fn move_disks(board: &str) {
    let Some(hardware) = Hardware::of_board(&format!("box-moved-{board}"), board, 2) else {
        return;
    };
    let mut sender = Sender::new();
    let mut owner = with_two_disks(&hardware, &mut sender);
    fs::remove_file(hardware.folder.join("boot.img")).expect("the old medium");
    let emulated = hardware.start();
    emulated.says("locked");
    let keys = owner.recovery_keys().to_vec();
    owner.unlock(&emulated, &keys[0]);
    emulated.says("takes mail");
    owner.returns_to(&emulated);
    owner.unlock_second(&keys[1]);
    owner.waits_for_second_disk("in step");
    sender.send(&emulated, 3);
    emulated.power_off();
    let emulated = hardware.start();
    emulated.says("takes mail");
    owner.returns_to(&emulated);
    owner.waits_for_second_disk("in step");
    emulated.power_off();
    for (disk, key) in hardware.disks.iter().zip(&keys) {
        let Some(opened) = OpenedDisk::new(&hardware.folder, disk, key) else {
            return;
        };
        opened.archive().verify();
        assert_same(&opened.exported(), sender.accepted());
    }
}

/// An archive on two disks with some mail; the box is off.
fn with_two_disks(hardware: &Hardware, sender: &mut Sender) -> Owner {
    let emulated = hardware.start();
    let mut owner = Owner::set_up(&emulated);
    owner.add_disk(2);
    owner.waits_for_second_disk("in step");
    sender.send(&emulated, 20);
    emulated.power_off();
    owner
}

fn takes_mail(hardware: &Hardware, sender: &mut Sender) {
    let emulated = hardware.start();
    emulated.says("takes mail");
    sender.send(&emulated, 1);
    emulated.power_off();
}

/// Has the boot loader choose the reset at the next start, once, as its menu does. The variable is `LoaderEntryOneShot` of the Boot Loader Interface, in
/// UTF-16 behind four bytes of attributes.
const CHOOSE_RESET: &str = "mount -o remount,rw /sys/firmware/efi/efivars; \
                            echo -ne '\\x07\\0\\0\\0r\\0e\\0s\\0e\\0t\\0.\\0c\\0o\\0n\\0f\\0\\0\\0' \
                            > /sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Whoever cannot get in any more chooses it in the boot loader's menu; the version in the recovery slot only notes the wish.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_reset_in_the_menu_gives_the_operator_a_new_password() {
    results::once("a reset in the menu", reset_in_the_menu);
}

fn reset_in_the_menu() {
    let Some(mut hardware) = Hardware::new("box-reset", 1) else {
        return;
    };
    let built = Version::built(&hardware.image);
    let Some(inside) = Agent::inside(&built, &hardware.board) else {
        return;
    };
    let agent = Agent::beside(&mut hardware);
    let mut medium = EfiPartition::of(&hardware.folder.join("new.img"));
    medium.remove(Slot::A);
    medium.install(Slot::A, name("cf1.efi"), &inside);
    let emulated = hardware.start();
    let mut owner = Owner::set_up(&emulated);
    assert_eq!(agent.run(CHOOSE_RESET), "");
    emulated.power_off();
    let emulated = hardware.start();
    emulated.says("the end");
    let line = emulated.says("(for the next sign-in)");
    let (_, issued) = line.split_once("password chef ").expect("whose it is");
    let password = issued.split_whitespace().next().expect("a password");
    owner.returns_with(&emulated, password);
    emulated.power_off();
}
