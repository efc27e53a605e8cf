//! Updates that somebody uploads on the page, as its script does it: on a running box, and on one where only a version that is too old is left.

use crate::owner::Owner;
use crate::releases::{Releases, SHORT};
use crate::results;
use crate::state_partition::let_days_pass;
use crate::updates::{NEW, Office};
use crate::version::EfiPartition;
use std::fs;
use tests::board;
use update::esp::Slot;

/// 1 MiB of a version that is refused before anybody looks at it.
const SOME_BYTES: usize = 1 << 20;

#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_box_takes_an_update_that_is_uploaded_and_refuses_what_is_not_for_it() {
    results::once("uploads", take_uploads);
}

fn take_uploads() {
    let Some((mut office, emulated)) = Office::set_up("box-upload", &board()) else {
        return;
    };
    let Some(others) = Releases::new(&office.hardware, "others") else {
        return;
    };
    let newer = office.version(NEW);
    office.releases.publish(NEW, &newer, SHORT);
    let (folder, update) = (&office.hardware.folder, office.releases.go_onto_a_stick());
    let bytes = fs::read(&update).expect("an update");
    let cut_off = folder.write("cut-off.tar", &bytes[..SOME_BYTES]);
    office.owner.uploads_a_gap();
    office.owner.uploads(folder, &cut_off);
    refuses(&office.owner, "");
    others.publish(NEW, &newer.cut(SOME_BYTES), SHORT);
    office.owner.uploads(folder, &others.go_onto_a_stick());
    let why = "what is on offer there is not signed by those whom this box believes";
    refuses(&office.owner, why);
    office.owner.uploads(folder, &update);
    office.proves_itself(&emulated, NEW);

    let old = office.version("0.0.1").cut(SOME_BYTES);
    office.releases.publish("0.0.1", &old, SHORT);
    let update = office.releases.go_onto_a_stick();
    office.owner.uploads(&office.hardware.folder, &update);
    // The newest one in the file is the one that runs.
    let words = "What was brought has nothing newer than this version.";
    office.owner.waits_for_updates(words);
    office.ends(emulated);
}

/// Waits until the page says that what was uploaded is not installed, and why.
#[track_caller]
fn refuses(owner: &Owner, why: &str) {
    owner.waits_for_updates(&format!("What was brought is not installed: {why}"));
}

/// 7 days of a good version, after which what is older opens the archive no more: as `firmware/appliance/recovery.rs` says.
const FLOOR_DAYS: u8 = 7;

/// The days are counted by uptime, which nobody waits for here: what they leave is written down instead.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn after_seven_good_days_an_older_version_only_helps_out_and_takes_an_upload() {
    results::once("the floor, and an upload in recovery", live_through_days);
}

fn live_through_days() {
    let Some((mut office, emulated)) = Office::set_up("box-floor", &board()) else {
        return;
    };
    let built = env!("CARGO_PKG_VERSION");
    office.releases.publish(NEW, &office.version(NEW), SHORT);
    office.install(&emulated, NEW);
    office.proves_itself(&emulated, NEW);
    emulated.power_off();
    for name in ["boot.img", "disk1.img"] {
        let_days_pass(&office.hardware.folder.join(name), FLOOR_DAYS, NEW);
    }

    let emulated = office.hardware.start();
    emulated.says("takes mail");
    office.owner.returns_to(&emulated);
    office.owner.cannot_go_back(built);
    emulated.power_off();

    let mut medium = EfiPartition::of(&office.hardware.folder.join("boot.img"));
    medium.remove(Slot::B);
    let emulated = office.hardware.start();
    let only = format!("recovery: only version {NEW} or newer may open the archive");
    emulated.says(&only);
    let update = office.releases.go_onto_a_stick();
    let folder = &office.hardware.folder;
    office.owner.recovers_by_upload(&emulated, folder, &update);
    office.proves_itself(&emulated, NEW);
    office.ends(emulated);
}
