//! The box: what is PID 1 there, and the workers that only a whole machine needs.
//!
//! Start with `boot`: the phases and the loop of PID 1. `supervisor` and `facts` are what it decides by; `workers` is the table of
//! processes. `devices`, `disks` and `network` are workers with rights of their own; the keeper of the archive is a `coffer serve` without doors,
//! mail and page are edges of it.
//! All that is decided is decided without the system, and tested on any computer; `FORMAT.md` gives the records of the state partition.
//!
//! It knows no mail. `unsafe` stands in `kernel` alone.

mod apart;
mod archive_disk;
mod block_devices;
mod boot;
mod claim_note;
mod clock;
mod confinement;
mod console;
mod content;
mod devices;
mod dhcp;
mod disk_messages;
mod disk_tools;
mod disks;
mod efi_partition;
mod facts;
mod guesses;
mod interface;
mod kernel;
mod kernel_log;
mod lines;
mod links;
mod log;
mod log_keeper;
mod modules;
mod mounts;
mod names;
mod netlink;
mod network;
mod network_settings;
mod network_trial;
mod pattern;
mod power_button;
mod privileges;
mod recovery;
mod recovery_key;
mod report;
mod reset_request;
mod sntp;
mod starts;
mod state_partition;
mod state_record;
mod stick;
mod supervisor;
mod time_keeper;
mod uevents;
mod update_messages;
mod update_record;
mod updates;
mod upload;
mod versions;
mod waiting;
mod watchdog;
mod workers;

pub use apart::{Apart, COUNTED_MEMORY};
pub use boot::run;

use confinement::Confinement;
use nix::sys::signal::SigSet;
use service::machine::Machine;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The machine as its page knows it.
pub fn machine() -> Arc<dyn Machine> {
    Arc::new(disk_messages::DiskWorker)
}

/// Whether the version that runs still has to prove itself: the archive is to test itself then.
pub fn is_on_trial() -> bool {
    Path::new(versions::ON_TRIAL).exists()
}

/// Leaves the keeper of an archive nothing but its folders: whoever speaks to the network is another process. To be called before any thread is started.
///
/// # Errors
/// When the kernel does not take the rules.
pub fn confine_keeper(folders: &[&Path]) -> io::Result<()> {
    let confinement = Confinement {
        writes: folders,
        reads: &["/run/coffer"],
        sockets: &confinement::LINKS,
        calls: &[],
    };
    confinement.begin()
}

/// Leaves an edge nothing but the keeper's socket in one folder, its own folder, the internet and what it asks of the machine; to be called before any
/// thread is started.
///
/// # Errors
/// When the kernel does not take the rules.
pub fn confine_edge(keeper: &Path, own: &Path) -> io::Result<()> {
    let keeper = keeper.to_string_lossy();
    let confinement = Confinement {
        writes: &[own],
        reads: &[&keeper, "/run/coffer"],
        sockets: &confinement::INTERNET,
        calls: &[],
    };
    confinement.begin()
}

/// Does the work of the worker of that name, until it is asked to end; some have a place on the archive disk.
///
/// # Errors
/// When the worker cannot go on; PID 1 starts it again.
pub fn work(name: &str, place: Option<&Path>) -> io::Result<()> {
    // Those that PID 1 reads are blocked in it, and so in whoever it starts.
    SigSet::all().thread_unblock()?;
    match (name, place) {
        ("devices", None) => devices::run(),
        ("disks", None) => disks::run(),
        ("logs", Some(place)) => log_keeper::run(place),
        ("names", None) => names::run(),
        ("network", None) => network::run(),
        ("updates", None) => updates::run(),
        ("waiting", None) => waiting::run(),
        _ => Err(io::Error::other(format!("there is no such worker: {name}"))),
    }
}
