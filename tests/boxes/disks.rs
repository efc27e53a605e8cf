//! Disks that go, come, fail or belong to somebody else.

use crate::guest::Guest;
use crate::opened_disk::{OpenedDisk, place_on_disk};
use crate::owner::Owner;
use crate::results::{self, on_both_boards};
use crate::sender::Sender;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{Hardware, assert_same, run, run_with_input, skip};

/// What makes a file system or a container of others on a whole disk, and how the page calls it.
const MADE_BY_TOOLS: [(&str, &[&str], &str); 5] = [
    ("mke2fs", &["-q", "-F", "-t", "ext4"], "ext2/3/4"),
    ("mkfs.ntfs", &["-q", "-F", "-Q"], "NTFS"),
    ("mkfs.exfat", &[], "exFAT"),
    ("mkfs.btrfs", &["-q"], "btrfs"),
    (
        "cryptsetup",
        &[
            "luksFormat",
            "-q",
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "1000",
            "--key-file",
            "-",
        ],
        "LUKS2",
    ),
];

/// Makes what needs a kernel to be made: a member of a volume group, and members of arrays with each form of superblock.
const MADE_IN_A_GUEST: &str = "\
pvcreate /dev/vda
vgcreate office /dev/vda
lvcreate --yes --zero n --size 1G --name mail office
array() { mdadm --create --run --assume-clean --level 1 --raid-devices 2 --metadata \"$@\"; }
array 1.2 /dev/md0 /dev/vdb /dev/vdc
array 1.1 /dev/md1 /dev/vdd missing
array 1.0 /dev/md2 /dev/vde missing
array 0.90 /dev/md3 /dev/vdf missing
mdadm --stop --scan
vgchange --activate n
";

/// How the page calls what is on each of these disks then.
const ON_DISKS_OF_THE_GUEST: [&str; 6] = [
    "LVM",
    "Linux RAID",
    "Linux RAID",
    "Linux RAID",
    "Linux RAID",
    "Linux RAID",
];

/// What neither Debian's tools nor its kernel make: the first uberblock of ZFS, where its documentation has it.
const ZFS_UBERBLOCK: (u64, &[u8]) = (128 << 10, b"\x0c\xb1\xba\0\0\0\0\0");

/// Disks of others are named on the page, refused without the right confirmation, and the same to the byte after the box was set up beside them.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn disks_of_others_are_never_written() {
    results::once("foreign disks", name_foreign_disks);
}

fn name_foreign_disks() {
    let Some(mut hardware) = Hardware::new("box-foreign", 1) else {
        return;
    };
    let mut names = add_disks_of_tools(&mut hardware);
    names.extend(add_disks_of_a_guest(&mut hardware));
    names.push(add_zfs_disk(&mut hardware));
    let copies: Vec<_> = hardware.disks[1..]
        .iter()
        .map(|disk| disk.with_extension("before"))
        .collect();
    for (disk, copy) in hardware.disks[1..].iter().zip(&copies) {
        run("cp", &[Path::new("--sparse=always"), disk, copy]).ok();
    }
    let emulated = hardware.start();
    let (code, page) = Owner::looks_at(&emulated);
    for (place, name) in (2..).zip(&names) {
        let seen = Owner::sees(&page, place);
        assert!(seen.contains(name), "no {name} in {seen}");
    }
    let places: Vec<usize> = (2..2 + names.len()).collect();
    Owner::confirms_wrongly(&emulated, &page, &code, &places);
    Owner::begin(&emulated, &code);
    emulated.power_off();
    hardware.start().power_off_when("takes mail");
    for (disk, copy) in hardware.disks[1..].iter().zip(&copies) {
        run("cmp", &[disk, copy]).ok();
    }
}

/// Adds a disk of each tool that is there, and tells what is on them.
fn add_disks_of_tools(hardware: &mut Hardware) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (tool, arguments, name) in MADE_BY_TOOLS {
        if run("which", &[tool]).code != Some(0) {
            skip(&format!("a disk with {name}: {tool} is missing"));
            continue;
        }
        let disk = hardware.disk(tool);
        let path = disk.to_str().expect("a path that is text");
        run_with_input(tool, &[arguments, &[path]].concat(), b"a key").ok();
        hardware.disks.push(disk);
        names.push(name);
    }
    names
}

/// Adds the disks of a guest, where one can be had, and tells what is on them.
fn add_disks_of_a_guest(hardware: &mut Hardware) -> Vec<&'static str> {
    let Some(guest) = Guest::new() else {
        return Vec::new();
    };
    let names = ON_DISKS_OF_THE_GUEST.to_vec();
    let disks: Vec<_> = (0..names.len())
        .map(|number| hardware.disk(&format!("guest-{number}")))
        .collect();
    guest.run(&hardware.folder, &disks, MADE_IN_A_GUEST);
    hardware.disks.extend(disks);
    names
}

/// Adds a disk of ZFS.
fn add_zfs_disk(hardware: &mut Hardware) -> &'static str {
    let disk = hardware.disk("zfs");
    let file = File::options().write(true).open(&disk).expect("a disk");
    let (offset, bytes) = ZFS_UBERBLOCK;
    file.write_all_at(bytes, offset).expect("written");
    hardware.disks.push(disk);
    "ZFS"
}

on_both_boards! {
    a_disk_that_is_pulled_under_load_costs_no_mail: "pulled disks", pull_disks;
}

/// Ends the load, also when something has failed beside it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A disk is pulled while mail comes in, and another one takes its place: whoever leads, no acknowledged message is lost.
fn pull_disks(board: &str) {
    for place in [2, 1] {
        let name = format!("box-pulled-{place}-{board}");
        let Some(hardware) = Hardware::of_board(&name, board, 2) else {
            return;
        };
        let emulated = hardware.start();
        let mut owner = Owner::set_up(&emulated);
        owner.add_disk(2);
        owner.waits_for_second_disk("in step");
        let mut sender = Sender::new();
        let is_done = AtomicBool::new(false);
        let smtp = emulated.smtp();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| sender.send_until(smtp, &is_done));
            let ends = Ends(&is_done);
            emulated.pull(place);
            emulated.says("an archive disk is gone");
            if place == 1 {
                emulated.says("takes mail"); // the other one leads now
                owner.signs_in();
            }
            owner.warns("second disk is detached");
            drop(ends);
            load.join().expect("the sender");
        });
        let new = hardware.disk("disk3");
        emulated.give(place, &new);
        owner.add_disk(place);
        owner.waits_for_second_disk("in step");
        sender.send(&emulated, 5);
        emulated.power_off();
        let kept = &hardware.disks[2 - place];
        for (disk, key) in [
            (kept, &owner.recovery_keys()[2 - place]),
            (&new, &owner.recovery_keys()[2]),
        ] {
            let Some(opened) = OpenedDisk::new(&hardware.folder, disk, key) else {
                return;
            };
            opened.archive().verify();
            sender.finds_all_in(&opened.exported());
        }
    }
}

/// 34 messages of 8 MiB: more than a volume holds, so that one is full, and read each month.
const LARGE_MESSAGES: usize = 34;
const LARGE_BYTES: usize = 8 << 20;

/// The volume that is full then, and where it is damaged: blocks of 4 KiB, on the first and on the second disk.
const FULL_VOLUME: &str = "volumes/00000001.vol";
const DAMAGED_BLOCKS: [u64; 2] = [10_000, 40_000];

/// 10 minutes: first the volume is to be recompressed, and its bytes go through an emulated processor several times.
const READING_TIMES: u32 = 5;

/// Bytes that change on the disks themselves are found by the reading of each month, and mended from the other disk, whichever it is.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn damage_on_the_disks_is_found_and_mended() {
    results::once("damaged disks", damage_disks);
}

fn damage_disks() {
    let Some(mut hardware) = Hardware::new("box-damaged", 2) else {
        return;
    };
    let emulated = hardware.start();
    let mut owner = Owner::set_up(&emulated);
    owner.add_disk(2);
    owner.waits_for_second_disk("in step");
    let mut sender = Sender::new();
    sender.send_large(&emulated, LARGE_MESSAGES, LARGE_BYTES);
    sender.send(&emulated, 5);
    owner.waits_for_second_disk("in step");
    emulated.power_off();
    let keys = owner.recovery_keys().to_vec();
    for ((disk, key), block) in hardware.disks.iter().zip(&keys).zip(DAMAGED_BLOCKS) {
        let Some(at) = place_on_disk(&hardware.folder, disk, key, FULL_VOLUME, block) else {
            return;
        };
        let file = File::options().write(true).open(disk).expect("a disk");
        file.write_all_at(&[0x5a; 40], at).expect("written");
    }
    let later = run("date", &["-u", "-d", "+35 days", "+base=%Y-%m-%dT%H:%M:%S"]).text();
    let clock = ["-rtc", later.trim()].map(str::to_owned);
    hardware.parts.extend(clock);
    let emulated = hardware.start();
    emulated.says_after("mended from the other copy", READING_TIMES);
    emulated.says("mended on the other copy");
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
