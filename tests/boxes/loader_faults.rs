//! Media and firmware on which the boot loader cannot count, and versions that it cannot load: the box ends on the version before, or says clearly that it
//! cannot go on.

use crate::agent;
use crate::results;
use crate::version::{EfiPartition, Version};
use std::ffi::OsStr;
use std::path::Path;
use tests::{Emulator, Hardware, missing, run, skip};
use update::esp::{EntryName, Slot};

/// Starts the machine anew 5 seconds after its start was counted, which is written by then, before it has proved itself.
const CRASHES: &str = "\
until [ -e /run/coffer/start-counted ]; do /agent/busybox sleep 1; done
/agent/busybox sleep 5
echo b > /proc/sysrq-trigger
";

/// What a version has that nobody has told otherwise.
const STARTS: usize = 3;

const OLD: &str = concat!("Coffer ", env!("CARGO_PKG_VERSION"), " ");
const NEW: &str = "Coffer 99.0.0 ";

/// The recovery version, the old one, and the new one without tries.
const LEFT: [&str; 3] = ["cf0.efi", "cf1.efi", "cf2+0-1.efi"];

fn put(medium: &Path, name: &str, version: &Version) {
    let name: EntryName = name.parse().expect("a name of a version");
    EfiPartition::of(medium).install(Slot::B, name, version);
}

fn names(hardware: &Hardware) -> Vec<String> {
    EfiPartition::of(&hardware.folder.join("boot.img")).names()
}

/// Expects that the newer version is left after its starts.
fn is_left(hardware: &Hardware, emulated: Emulator) {
    for _ in 0..STARTS {
        emulated.says(NEW);
        emulated.says("BdsDxe: starting");
    }
    emulated.says(NEW);
    emulated.says(OLD);
    assert_eq!(names(hardware), LEFT);
    emulated.power_off_when("https://10.0.2.15");
}

/// BOX.md, H: as with firmware that renames no file. The file is read-only, so that the boot loader may not rename it.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_version_is_left_where_the_loader_cannot_count() {
    results::once("a loader that cannot count", leave_uncounted);
}

fn leave_uncounted() {
    let Some(hardware) = Hardware::new("box-uncounted", 0) else {
        return;
    };
    if let Some(why) = missing(&hardware.board, &["mattrib"]) {
        return skip(&format!("a loader that cannot count: {why}"));
    }
    let newer = Version::built(&hardware.image).newer();
    let Some(crashes) = agent::beside(&newer, &hardware.board, CRASHES) else {
        return;
    };
    let medium = hardware.folder.join("new.img");
    put(&medium, "cf2+1-0.efi", &crashes);
    let partition = format!("{}@@1M", medium.display());
    let file = "::/EFI/Linux/cf2+1-0.efi";
    run("mattrib", &["-i", &partition, "+r", file].map(OsStr::new)).ok();
    is_left(&hardware, hardware.start());
}

/// BOX.md, F2 and I2: what a firmware leaves that is cut off while it renames.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_version_whose_name_has_lost_its_counter_is_left() {
    results::once("a name without its counter", leave_without_counter);
}

fn leave_without_counter() {
    let Some(hardware) = Hardware::new("box-no-counter", 0) else {
        return;
    };
    let newer = Version::built(&hardware.image).newer();
    let Some(crashes) = agent::beside(&newer, &hardware.board, CRASHES) else {
        return;
    };
    // The box knows what it ran before.
    hardware.start().power_off_when("https://10.0.2.15");
    put(&hardware.folder.join("boot.img"), "cf2.efi", &crashes);
    is_left(&hardware, hardware.start());
}

/// BOX.md, E: nobody can count starts there, so that the box stays with what started, and says so.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_version_on_a_read_only_medium_is_not_started_again_and_again() {
    results::once("a read-only medium", stay_on_read_only);
}

fn stay_on_read_only() {
    let Some(mut hardware) = Hardware::new("box-read-only", 0) else {
        return;
    };
    let newer = Version::built(&hardware.image).newer();
    put(&hardware.folder.join("new.img"), "cf2+1-0.efi", &newer);
    hardware.parts = ["-set", "drive.boot.readonly=on"].map(str::to_owned).into();
    let emulated = hardware.start();
    emulated.says(NEW);
    emulated.says("is not tried: nobody counts its starts");
    emulated.says("the boot medium cannot be written");
    emulated.says("https://10.0.2.15");
    emulated.power_off();
    hardware.parts.clear();
    let emulated = hardware.start();
    emulated.says(NEW);
    assert_eq!(names(&hardware), LEFT);
    emulated.power_off_when("https://10.0.2.15");
}

/// BOX.md, I4a and I4b: the try was counted before the loader gave up, so that the next start is that of the version before.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_version_that_cannot_be_loaded_is_left_at_the_next_start() {
    results::once("versions that cannot be loaded", leave_unloadable);
}

fn leave_unloadable() {
    let Some(hardware) = Hardware::new("box-unloadable", 0) else {
        return;
    };
    let newer = Version::built(&hardware.image).newer();
    for (number, version) in [newer.cut(4 << 20), newer.damaged()].iter().enumerate() {
        let medium = match number {
            0 => "new.img",
            _ => "boot.img",
        };
        put(&hardware.folder.join(medium), "cf2+1-0.efi", version);
        let emulated = hardware.start();
        emulated.says("BdsDxe: failed to start");
        emulated.cut_power();
        assert_eq!(names(&hardware), LEFT);
        let emulated = hardware.start();
        emulated.says(OLD);
        emulated.power_off_when("https://10.0.2.15");
    }
}
