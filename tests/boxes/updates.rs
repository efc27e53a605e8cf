//! Boxes that follow a repository of newer versions: what is installed, what proves itself, and what is left again.

use crate::agent;
use crate::cuts::moment;
use crate::opened_disk::OpenedDisk;
use crate::owner::Owner;
use crate::releases::{ONE_START, Releases, SHORT};
use crate::results::{self, on_both_boards};
use crate::sender::Sender;
use crate::starting::NOTHING_TO_START;
use crate::version::{EfiPartition, Version};
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tests::{Emulator, Hardware, assert_same, board, other_board, run, skip};

/// What the built version becomes, one after the other.
pub(crate) const NEW: &str = "99.0.0";
const NEWER: &str = "99.1.0";

/// A box, its owner and who sends mail to it.
pub(crate) struct Office {
    pub(crate) hardware: Hardware,
    pub(crate) releases: Releases,
    pub(crate) built: Version,
    pub(crate) owner: Owner,
    sender: Sender,
}

impl Office {
    /// Sets a box of a board up that follows a repository without a release; it is on, and has some mail.
    pub(crate) fn set_up(test: &str, board: &str) -> Option<(Self, Emulator)> {
        Self::on(Hardware::of_board(&format!("{test}-{board}"), board, 1)?)
    }

    /// The same, on a computer that was made for it.
    pub(crate) fn on(hardware: Hardware) -> Option<(Self, Emulator)> {
        let releases = Releases::new(&hardware, "releases")?;
        let built = Version::built(&hardware.image);
        let medium = hardware.folder.join("new.img");
        releases.followed_by(&built).replaces_all_on(&medium);
        let emulated = hardware.start();
        let mut office = Self {
            owner: Owner::set_up(&emulated),
            hardware,
            releases,
            built,
            sender: Sender::new(),
        };
        office.sender.send(&emulated, 3);
        Some((office, emulated))
    }

    /// The built version under another number, which follows the same repository.
    pub(crate) fn version(&self, number: &str) -> Version {
        self.releases.followed_by(&self.built.numbered(number))
    }

    /// Has the version that is on offer installed, and waits until the machine starts again.
    pub(crate) fn install(&self, emulated: &Emulator, number: &str) {
        self.owner.updates("check");
        let offered = format!("Version {number} is there");
        self.owner.waits_for_updates(&offered);
        let notes = format!("News of {number}.");
        self.owner.waits_for_updates(&notes);
        self.owner.updates("install");
        emulated.says("restarts: ends its work first");
    }

    /// Waits until it takes mail again, and tells how long nobody could deliver any.
    #[allow(clippy::print_stderr)]
    fn is_there_again(&self, emulated: &Emulator, number: &str) {
        let stopped = Instant::now();
        emulated.says("BdsDxe: starting");
        let started = Instant::now();
        emulated.says(&format!("Coffer {number} "));
        emulated.says("takes mail");
        let (all, last) = (stopped.elapsed(), started.elapsed());
        eprintln!("no mail taken for {all:.1?}, of that behind the firmware {last:.1?}");
    }

    /// Waits until the version that runs has proved itself, while mail comes in.
    pub(crate) fn proves_itself(&mut self, emulated: &Emulator, number: &str) {
        self.is_there_again(emulated, number);
        self.sender.send(emulated, 1);
        self.owner.returns_to(emulated);
        self.owner
            .waits_for_updates(&outcome(number, "has proved itself"));
        self.owner
            .waits_for_updates(&format!("This is Coffer {number}."));
        self.sender.send(emulated, 1);
    }

    /// Waits until the version before runs again, mail comes in, and the page says why the one of that number does not.
    fn is_back(&mut self, emulated: &Emulator, before: &str, number: &str, why: &str) {
        self.is_there_again(emulated, before);
        self.sender.send(emulated, 1);
        self.owner.returns_to(emulated);
        let failed = "has not proved itself; the version before runs again. Reason: ";
        self.owner
            .waits_for_updates(&outcome(number, &format!("{failed}{why}")));
        self.owner.updates("check");
        self.owner
            .waits_for_updates(&format!("Version {number} is not installed"));
    }

    fn names(&self) -> Vec<String> {
        EfiPartition::of(&self.hardware.folder.join("boot.img")).names()
    }

    /// Switches it off, and looks whether every message is there.
    pub(crate) fn ends(self, emulated: Emulator) {
        emulated.power_off();
        let (disk, key) = (&self.hardware.disks[0], &self.owner.recovery_keys()[0]);
        let Some(opened) = OpenedDisk::new(&self.hardware.folder, disk, key) else {
            return;
        };
        opened.archive().verify();
        assert_same(&opened.exported(), self.sender.accepted());
    }
}

/// A row of the history.
fn outcome(number: &str, words: &str) -> String {
    format!("<td>{number}</td><td>{words}")
}

/// One version that works, and one after it that does not.
#[test]
fn a_box_updates_itself_and_leaves_a_version_that_panics() {
    update_and_leave(&board());
}

on_both_boards! {
    a_box_updates_itself_and_leaves_what_panics: "an update, and one that panics", update_and_leave;
    a_box_updates_itself_twice: "two updates", update_twice;
    a_version_that_hangs_is_ended_by_the_watchdog_and_left: "a new version that hangs", leave_what_hangs;
    a_version_whose_page_never_answers_is_left: "a new version without a page", leave_what_is_mute;
    a_version_whose_archive_does_not_open_is_left: "a new version without the archive", leave_what_is_closed;
    what_is_not_for_this_box_is_refused_with_a_reason: "releases that are refused", refuse;
}

fn update_and_leave(board: &str) {
    let Some((mut office, emulated)) = Office::set_up("box-update", board) else {
        return;
    };
    office.releases.publish(NEW, &office.version(NEW), SHORT);
    office.install(&emulated, NEW);
    office.proves_itself(&emulated, NEW);
    assert_eq!(office.names(), ["cf1.efi", "cf2.efi"]);
    let panics = office.version(NEWER).started_with(NOTHING_TO_START);
    office.releases.publish(NEWER, &panics, ONE_START);
    office.install(&emulated, NEWER);
    office.is_back(&emulated, NEW, NEWER, "it did not start, or hung");
    assert_eq!(office.names(), ["cf3+0-1.efi", "cf2.efi"]);
    office.ends(emulated);
}

fn update_twice(board: &str) {
    let Some((mut office, emulated)) = Office::set_up("box-updates", board) else {
        return;
    };
    for (number, names) in [
        (NEW, ["cf1.efi", "cf2.efi"]),
        (NEWER, ["cf3.efi", "cf2.efi"]),
    ] {
        let version = office.version(number);
        office.releases.publish(number, &version, SHORT);
        office.install(&emulated, number);
        office.proves_itself(&emulated, number);
        assert_eq!(office.names(), names);
    }
    office.ends(emulated);
}

/// Publishes a version that does not work, installs it, and waits until the box is back.
fn is_left(
    (test, board): (&str, &str),
    breaks: impl FnOnce(Version) -> Option<Version>,
    why: &str,
) {
    let Some((mut office, emulated)) = Office::set_up(test, board) else {
        return;
    };
    let Some(broken) = breaks(office.version(NEW)) else {
        return;
    };
    office.releases.publish(NEW, &broken, ONE_START);
    office.install(&emulated, NEW);
    office.is_back(&emulated, env!("CARGO_PKG_VERSION"), NEW, why);
    assert_eq!(office.names(), ["cf1.efi", "cf2+0-1.efi"]);
    office.ends(emulated);
}

/// Freezes the first process in the middle of the trial, once it feeds the watchdog.
const HANGS: &str = "export PATH=/agent\n\
    for tool in grep ls mkdir mount sleep; do /agent/busybox ln -s busybox /agent/$tool; done\n\
    until [ -e /run/coffer/on-trial ] && ls -l /proc/1/fd | grep -q watchdog; do sleep 1; done\n\
    mkdir /agent/groups; mount -t cgroup2 none /agent/groups; mkdir /agent/groups/hung\n\
    echo 1 > /agent/groups/hung/cgroup.procs; echo 1 > /agent/groups/hung/cgroup.freeze\n";

fn leave_what_hangs(board: &str) {
    let hangs = |version: Version| agent::beside(&version, board, HANGS);
    is_left(("box-new-hangs", board), hangs, "it did not start, or hung");
}

/// Nothing within the box reaches its own doors any more.
const NO_PAGE: &str =
    "while true; do /agent/busybox ip link set lo down; /agent/busybox sleep 1; done";

fn leave_what_is_mute(board: &str) {
    let mute = |version: Version| agent::beside(&version, board, NO_PAGE);
    is_left(("box-mute", board), mute, "the page did not answer");
}

/// What opens archive disks.
const CRYPTSETUP: &str = "sbin/cryptsetup";

fn leave_what_is_closed(board: &str) {
    let closed = |version: Version| Some(version.with_file_over(CRYPTSETUP, b"damaged"));
    is_left(("box-closed", board), closed, "archive disks were missing");
}

/// Of each release that is not for this box the page says what it is, and the box stays as it was.
fn refuse(board: &str) {
    let Some((office, emulated)) = Office::set_up("box-refuses", board) else {
        return;
    };
    let Some(others) = Releases::new(&office.hardware, "others") else {
        return;
    };
    let (releases, owner) = (&office.releases, &office.owner);
    let newer = office.version(NEW);
    let others_board = if board == other_board() {
        tests::board()
    } else {
        other_board().to_owned()
    };
    releases.publish_for(&others_board, NEW, &newer, SHORT);
    owner.updates("check");
    let words = format!("Version {NEW} is for another kind of device: {others_board}");
    owner.waits_for_updates(&words);
    releases.publish("0.0.1", &office.version("0.0.1"), SHORT);
    owner.updates("check");
    owner.waits_for_updates("Version 0.0.1 is not newer than this one.");
    others.publish(NEW, &newer, SHORT);
    releases.is_replaced_by(&others);
    owner.updates("install");
    owner.waits_for_updates("is not signed by those whom this box believes");
    assert_eq!(office.names(), ["cf1.efi"]);
    office.ends(emulated);
}

/// 75 seconds from the wish to the version that is good, in an emulator: each cut comes at some moment of them.
const WHOLE_WAY_MS: u64 = 75_000;

/// Whenever the power goes, the box starts by itself with the old version or the new one, and every acknowledged message is there. A cut takes some
/// three minutes, so that five of them are a test: 15 to 20 minutes.
macro_rules! cuts_on_the_way {
    ($($test:ident: $cuts:expr;)*) => {
        $(
            #[test]
            #[ignore = "long: COFFER_TEST_LONG"]
            fn $test() {
                cut_on_the_way(stringify!($test), $cuts);
            }
        )*
    };
}

cuts_on_the_way! {
    power_cuts_on_the_way_00_to_04: 0..5;
    power_cuts_on_the_way_05_to_09: 5..10;
    power_cuts_on_the_way_10_to_14: 10..15;
    power_cuts_on_the_way_15_to_19: 15..20;
    power_cuts_on_the_way_20_to_24: 20..25;
    power_cuts_on_the_way_25_to_29: 25..30;
}

fn cut_on_the_way(test: &str, cuts: Range<usize>) {
    let part = |cut| format!("power cut {cut:02} of an update");
    if cuts.clone().all(|cut| results::has_passed(&part(cut))) {
        return skip(&format!("{test}: it has passed on this commit"));
    }
    let Some((office, emulated)) = Office::set_up(test, &board()) else {
        return;
    };
    office.releases.publish(NEW, &office.version(NEW), SHORT);
    emulated.power_off();
    let files = ["boot.img", "disk1.img"];
    let place = |name: &str| office.hardware.folder.join(name);
    let copy = |from: &str, to: &str| {
        let sparse = Path::new("--sparse=always");
        run("cp", &[sparse, &place(from), &place(to)]).ok();
    };
    for file in files {
        copy(file, &format!("{file}.before"));
    }
    for cut in cuts {
        results::once(&part(cut), || {
            for file in files {
                copy(&format!("{file}.before"), file);
            }
            cut_once(&office, moment(cut, WHOLE_WAY_MS));
        });
    }
}

fn cut_once(office: &Office, moment: Duration) {
    let mut sender = Sender::new();
    let mut owner = office.owner.clone();
    let emulated = office.hardware.start();
    emulated.says("takes mail");
    owner.returns_to(&emulated);
    owner.updates("install");
    sender.send(&emulated, 1);
    thread::sleep(moment); // no state is waited for: the moment is what is tested
    emulated.cut_power();
    let emulated = office.hardware.start();
    emulated.says("takes mail");
    sender.send(&emulated, 1);
    owner.returns_to(&emulated);
    let running = owner.waits_for_updates("This is Coffer ");
    let expected = [env!("CARGO_PKG_VERSION"), NEW].map(|it| format!("This is Coffer {it}."));
    assert!(expected.iter().any(|it| running.contains(it)), "{running}");
    emulated.power_off();
    let (disk, key) = (&office.hardware.disks[0], &owner.recovery_keys()[0]);
    let Some(opened) = OpenedDisk::new(&office.hardware.folder, disk, key) else {
        return;
    };
    opened.archive().verify();
    let exported = opened.exported();
    let acknowledged = office.sender.accepted() | sender.accepted();
    assert_same(&(&exported & &acknowledged), &acknowledged);
}
