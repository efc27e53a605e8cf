//! Whole-system tests: what they share to drive the real binary as its users do.
//!
//! `COFFER_BIN` names the binary; without it the one of this work tree is built. Every test has a folder of its own, which stays when
//! the test fails. Nothing here knows the program's insides: it is spoken to by its command line, by SMTP, and through its files.

mod archive;
mod emulator;
mod folder;
mod page;
mod process;
mod samples;
mod self_signed;
mod small_disk;
mod smtp_client;

pub use archive::{Archive, Hit, Serving, coffer, digest_of, edge, verify_export};
pub use emulator::{Emulator, Hardware, alone, board, build_image, missing, other_board, top};
pub use folder::Folder;
pub use page::Page;
pub use process::{Process, Ran, python_with, run, run_with_input};
pub use samples::{Sample, files_under, is_long, office, read_samples, theme, with_crlf};
pub use self_signed::SelfSigned;
pub use small_disk::{DISK_MIB, SmallDisk};
pub use smtp_client::{Client, Reply};

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// 2 minutes for a state that should come within seconds: two processors may be shared with other work.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// 20 ms between two looks at a state that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until something is there.
///
/// # Panics
/// When it does not come within [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Differences that a failed comparison names: enough to look into.
const DIFFERENCES_MAX: usize = 5;

/// Checks that two sets of digests are the same; a failure names what is in one only.
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn assert_same(found: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let missing: Vec<_> = expected.difference(found).take(DIFFERENCES_MAX).collect();
    let surplus: Vec<_> = found.difference(expected).take(DIFFERENCES_MAX).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{} found, {} expected; missing: {missing:?}; not expected: {surplus:?}",
        found.len(),
        expected.len()
    );
}

/// Says that a test, or a part of it, cannot run here.
#[allow(clippy::print_stderr)]
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Tells whether the test runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
