//! Updates for boxes without a way to the internet: from a USB stick, to a version that works and to the one that only helps out.

use crate::releases::SHORT;
use crate::results::on_both_boards;
use crate::updates::{NEW, Office};
use crate::version::EfiPartition;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use tests::{Emulator, Hardware, run};
use update::esp::{EntryName, Slot};

/// Where the file system of a stick begins, in bytes: as most are sold.
const STICK_START: &str = "1M";

on_both_boards! {
    a_box_takes_updates_from_a_stick_also_when_nothing_else_starts: "updates from a stick", take_from_sticks;
}

fn take_from_sticks(board: &str) {
    let Some(mut hardware) = Hardware::of_board(&format!("box-stick-{board}"), board, 1) else {
        return;
    };
    let usb = ["-device", "qemu-xhci,id=usb"].map(str::to_owned);
    hardware.parts.extend(usb);
    let Some((mut office, emulated)) = Office::on(hardware) else {
        return;
    };
    office.releases.publish(NEW, &office.version(NEW), SHORT);
    let stick = stick(&office.hardware, &office.releases.go_onto_a_stick());
    plug_in(&emulated, &stick);
    office.owner.waits_for_updates("action=\"/updates/stick\"");
    office.owner.updates("stick");
    office.proves_itself(&emulated, NEW);
    emulated.power_off();

    let mut medium = EfiPartition::of(&office.hardware.folder.join("boot.img"));
    medium.remove(Slot::A);
    medium.remove(Slot::B);
    let recovery = office.releases.followed_by(&office.built);
    medium.install(Slot::Recovery, EntryName::RECOVERY, &recovery);
    let emulated = office.hardware.start();
    emulated.says("recovery: no other version starts");
    plug_in(&emulated, &stick);
    office.owner.recovers_by_stick(&emulated);
    office.proves_itself(&emulated, NEW);
    office.ends(emulated);
}

/// A USB stick with a partition of FAT, and the file on it.
fn stick(hardware: &Hardware, update: &Path) -> PathBuf {
    let path = hardware.folder.join("stick.img");
    let file = File::create(&path).expect("a file for a stick");
    file.set_len(128 << 20).expect("room for a stick");
    let named = path.to_str().expect("a path that is text");
    run("sgdisk", &["--new=1:2048:0", "--typecode=1:0700", named]).ok();
    let place = format!("{named}@@{STICK_START}");
    run(
        "mformat",
        &[
            "-i", &place, "-F", "-v", "STICK", "-T", "258048", "-h", "64", "-s", "32", "::",
        ],
    )
    .ok();
    let copy: [&OsStr; 4] = [
        "-i".as_ref(),
        place.as_ref(),
        update.as_ref(),
        "::".as_ref(),
    ];
    run("mcopy", &copy).ok();
    path
}

fn plug_in(emulated: &Emulator, stick: &Path) {
    let file = stick.display();
    emulated.command(&format!(
        "drive_add 0 if=none,id=stick,format=raw,file={file}"
    ));
    let said = emulated.command("device_add usb-storage,drive=stick,id=stick,bus=usb.0");
    assert!(!said.contains("Error"), "{said}");
}
