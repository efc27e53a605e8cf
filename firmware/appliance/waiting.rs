//! The worker that answers while there is no archive: a page on which a disk can be chosen, and a door for mail that says "later" (421).
//!
//! Nothing is ever taken that does not last. Its certificate is made anew at each start, since there is nowhere to keep one.

use crate::confinement::{Confinement, INTERNET};
use nix::sys::signal::{SigSet, Signal};
use service::listener::{Door, Limits, Listener, Serve, WhenFull};
use service::tls::{TlsIdentity, TlsServer};
use service::web::{Handler, NoArchive, WebOptions, WebServer, WebSocket};
use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the server keeps its socket, in memory.
const FOLDER: &str = "/run/coffer/waiting";

/// The server is there, but cannot take mail now (RFC 3463 §3.4): senders keep it and come again.
const LATER: &[u8] = b"421 4.3.2 no archive disk is open, come again later\r\n";

/// Nobody gets beyond the refusal.
const NOBODY: Limits = Limits {
    connections_max: 0,
    connections_per_peer_max: 0,
    stack_bytes: 128 << 10,
    when_full: WhenFull::Refuse,
};

/// Answers until it is asked to end.
///
/// # Errors
/// When a port is taken or no certificate can be made.
pub(crate) fn run() -> io::Result<()> {
    let confinement = Confinement {
        writes: &[Path::new(FOLDER)],
        reads: &[],
        sockets: &INTERNET,
        calls: &[],
    };
    confinement.begin()?;
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.thread_block()?;
    let refuse: Serve = Arc::new(|_| {});
    let door = Door {
        socket: bind(25)?,
        refusal: LATER,
        serve: refuse,
    };
    let mail = Listener::start("later", vec![door], NOBODY)?;
    let page = page()?;
    ends.wait()?;
    page.stop();
    mail.stop(Duration::ZERO);
    Ok(())
}

fn page() -> io::Result<WebServer> {
    let hostname = nix::unistd::gethostname()?;
    let names = TlsIdentity::names_of(&hostname.to_string_lossy());
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |since| since.as_secs());
    let identity = TlsIdentity::generate(&names, now_s).map_err(io::Error::other)?;
    let tls = Arc::new(TlsServer::new(&identity).map_err(io::Error::other)?);
    let site = NoArchive::new(crate::machine());
    let handler: Handler = Arc::new(move |request| site.answer(request));
    let sockets = vec![WebSocket::Https(bind(443)?), WebSocket::Redirect(bind(80)?)];
    let options = WebOptions::default();
    WebServer::start(options, sockets, Path::new(FOLDER), tls, handler)
}

/// On all addresses, IPv4 included.
fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
}
