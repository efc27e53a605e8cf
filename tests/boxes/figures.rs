//! What a box costs: bytes, seconds and memory, as the README gives them. Figures, no test: they depend on the computer that emulates it.

use crate::agent::Agent;
use crate::owner::Owner;
use crate::results;
use crate::sender::Sender;
use serde_json::{Value, json};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tests::{Emulator, Hardware, wait_for};

/// So many starts; the one in the middle counts.
const STARTS: usize = 3;

/// A minute without anything to do.
const IDLE: Duration = Duration::from_secs(60);

/// Set up on two disks and idle, in 512 MB of memory.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn figures_of_a_box() {
    let Some(mut hardware) = Hardware::new("box-figures", 2) else {
        return;
    };
    let Some(agent) = Agent::put_into(&mut hardware) else {
        return;
    };
    let emulated = hardware.start();
    let mut owner = Owner::set_up(&emulated);
    owner.add_disk(2);
    owner.waits_for_second_disk("in step");
    Sender::new().send(&emulated, 50);
    emulated.power_off();
    let mut starts = Vec::new();
    let mut memory = Value::Null;
    for _ in 0..STARTS {
        let emulated = hardware.start();
        starts.push(seconds_to_page(&emulated));
        emulated.says("takes mail");
        owner.returns_to(&emulated);
        owner.waits_for_second_disk("in step");
        thread::sleep(IDLE); // what is measured is what is left of the work of starting
        memory = memory_of(&agent);
        emulated.power_off();
    }
    starts.sort_by(f64::total_cmp);
    let size = |kind: &str| mebibytes(&hardware.image.with_extension(kind));
    results::note(
        "figures",
        json!({
            "board": hardware.board,
            "version_mib": size("efi"),
            "image_packed_mib": size("img.zst"),
            "page_after_s": starts[STARTS / 2],
            "memory_mib": memory,
        }),
    );
}

/// 1 second for a connection: what is asked before the box has a network is asked again by the emulator, after ever longer pauses.
const CONNECTION_MAX_S: &str = "1";

/// From where the firmware hands over to the answer of the page.
fn seconds_to_page(emulated: &Emulator) -> f64 {
    emulated.says("BdsDxe: starting");
    let began = Instant::now();
    let page = emulated.page();
    wait_for("the page", || {
        let said = page.curl("/", &[&"--connect-timeout", &CONNECTION_MAX_S]);
        (said.code == Some(0)).then_some(())
    });
    (began.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

/// What the machine has, and what of it is in use: not even by giving up what is only kept for speed could programs have it.
fn memory_of(agent: &Agent) -> Value {
    let said = agent.run("cat /proc/meminfo");
    let figure = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a figure of the kernel") / 1024
    };
    let (total, available) = (figure("MemTotal:"), figure("MemAvailable:"));
    json!({"total": total, "in_use": total - available})
}

fn mebibytes(path: &Path) -> f64 {
    let bytes = path.metadata().expect("a built file").len();
    (bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0
}
