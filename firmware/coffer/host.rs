//! The computer we run on: its clock, its boot, its name, its signals.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::SockaddrStorage;
use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Clock, Moment, Options};

/// systemd-timesyncd makes this file once it has synchronised the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// On the box the worker for the network makes this file instead: how far the clock may be off in milliseconds, then whether two time servers agree.
const BOX_CLOCK: &str = "/run/coffer/network/clock";

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Tells whether this is the first process of the box: a container may make any program the first one, but none of them `/init`.
pub(crate) fn is_box() -> bool {
    std::process::id() == 1
        && std::env::args_os()
            .next()
            .is_some_and(|name| name == "/init")
}

/// Sends log lines to standard error; RUST_LOG chooses which, warnings and above without it.
pub(crate) fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        // Else it would tell of a failed write by writing there again, and panic, when the disk of the log is full.
        .log_internal_errors(false)
        .init();
}

/// How an archive is run on this computer.
pub(crate) fn options() -> Options {
    Options {
        clock: clock(),
        boot_id: boot_id(),
        volume_bytes_max: store::VOLUME_BYTES_MAX,
        index_threads: std::thread::available_parallelism().map_or(1, |count| count.get().min(2)),
        upkeep: store::WhenUpkeep::Never,
        follower_patience: store::FOLLOWER_PATIENCE,
    }
}

/// Time now, in seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn clock() -> Clock {
    Arc::new(|| {
        let box_clock = std::fs::read_to_string(BOX_CLOCK).ok();
        Moment {
            at_us: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_micros() as i64),
            // Where nobody says so, the clock counts as not synchronised.
            synchronised: box_clock.is_some() || Path::new(SYNCHRONISED).exists(),
            uncertainty_ms: box_clock.as_deref().and_then(uncertainty_ms),
        }
    })
}

fn uncertainty_ms(box_clock: &str) -> Option<u32> {
    box_clock.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).map_or([0; 16], u128::to_be_bytes)
}

/// Keeps the kernel from giving out memory in pieces of 2 MiB: each thread has a heap of its own, of which an idle connection
/// touches a few pages only; with large pages 550 connections took a gigabyte instead of some tens of megabytes.
pub(crate) fn use_small_pages() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::warn!(%error, "the kernel may use large pages, which costs memory");
    }
}

/// Lets this process open as many files as the system allows it: a thousand connections with their spool files need two thousand
/// descriptors, and the usual limit is 1,024.
pub(crate) fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// The system's own name.
pub(crate) fn hostname() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// The addresses of the network interfaces.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the addresses of this computer are not known");
            return Vec::new();
        }
    };
    let address = |address: SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    interfaces
        .filter_map(|interface| interface.address.and_then(address))
        .collect()
}

/// The signals that ask us to stop, as something to wait for.
///
/// Made before any thread is started, so that no thread takes them away.
pub(crate) fn stop_signals() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    Ok(SignalFd::new(&signals)?)
}
