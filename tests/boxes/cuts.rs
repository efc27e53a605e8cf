//! The plug is pulled while mail comes in.

use crate::opened_disk::OpenedDisk;
use crate::owner::Owner;
use crate::results;
use crate::sender::Sender;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tests::{Emulator, Hardware, digest_of, other_board};

/// Each cut comes within 6 seconds of load: by then volumes, catalog and index of an emulated box have been written and synced some dozens of times.
const LOAD_MS_MAX: u64 = 6_000;

/// Every message that was acknowledged is there, and the box starts by itself, whenever the power goes. 10 cuts on one archive are a test of some ten
/// minutes.
macro_rules! cuts_under_load {
    ($($test:ident: $part:literal, $cuts:expr;)*) => {
        $(
            #[test]
            #[ignore = "long: COFFER_TEST_LONG"]
            fn $test() {
                results::once($part, || {
                    if let Some(hardware) = Hardware::new(stringify!($test), 2) {
                        cut_often(&hardware, $cuts);
                    }
                });
            }
        )*
    };
}

cuts_under_load! {
    power_cuts_cost_no_acknowledged_mail_00_to_09: "power cuts from 00 on", 0..10;
    power_cuts_cost_no_acknowledged_mail_10_to_19: "power cuts from 10 on", 10..20;
    power_cuts_cost_no_acknowledged_mail_20_to_29: "power cuts from 20 on", 20..30;
}

/// The same on the board of the other architecture, which is set up, started and switched off on the way.
#[test]
fn the_other_board_keeps_mail_through_starts_and_power_cuts() {
    if let Some(hardware) = Hardware::of_board("box-other", other_board(), 1) {
        cut_often(&hardware, 0..3);
    }
}

fn cut_often(hardware: &Hardware, cuts: Range<usize>) {
    let mut sender = Sender::new();
    let mut emulated = hardware.start();
    let mut owner = Owner::set_up(&emulated);
    if hardware.disks.len() > 1 {
        owner.add_disk(2);
        owner.waits_for_second_disk("in step");
    }
    sender.send(&emulated, 20);
    for cut in cuts {
        cut_under_load(emulated, &mut sender, moment(cut, LOAD_MS_MAX));
        emulated = hardware.start();
        emulated.says("takes mail");
    }
    owner.returns_to(&emulated);
    if hardware.disks.len() > 1 {
        owner.waits_for_second_disk("in step");
    }
    sender.send(&emulated, 5);
    emulated.power_off();
    for (disk, key) in hardware.disks.iter().zip(owner.recovery_keys()) {
        let Some(opened) = OpenedDisk::new(&hardware.folder, disk, key) else {
            return;
        };
        opened.archive().verify();
        assert!(!opened.archive().search("to:kim@office.example").is_empty());
        sender.finds_all_in(&opened.exported());
    }
}

/// Lets mail come in for a while, and cuts the power.
fn cut_under_load(emulated: Emulator, sender: &mut Sender, load: Duration) {
    let is_done = AtomicBool::new(false);
    let smtp = emulated.smtp();
    thread::scope(|scope| {
        let sending = scope.spawn(|| sender.send_until(smtp, &is_done));
        thread::sleep(load); // no state is waited for: the moment is what is tested
        is_done.store(true, Ordering::SeqCst);
        emulated.cut_power();
        sending.join().expect("the sender");
    });
}

/// A moment within so many milliseconds that nobody chose, and that is the same each time for each cut.
pub(crate) fn moment(cut: usize, ms_max: u64) -> Duration {
    let digits = &digest_of(format!("cut {cut}").as_bytes())[..8];
    let number = u64::from_str_radix(digits, 16).expect("hexadecimal digits");
    Duration::from_millis(number % ms_max)
}
