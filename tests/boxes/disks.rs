//! Disks that go, come, fail or belong to somebody else.

use crate::opened_disk::OpenedDisk;
use crate::owner::Owner;
use crate::sender::Sender;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{Hardware, assert_same};

/// A disk is pulled while mail comes in, and another one takes its place: whoever leads, no acknowledged message is lost.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_disk_that_is_pulled_under_load_costs_no_mail() {
    for place in [2, 1] {
        let Some(hardware) = Hardware::new(&format!("box-pulled-{place}"), 2) else {
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
            emulated.pull(place);
            emulated.says("takes mail");
            owner.warns("second disk");
            is_done.store(true, Ordering::SeqCst);
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
            assert_same(&opened.exported(), sender.accepted());
        }
    }
}
