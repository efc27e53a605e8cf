//! Takes mail by SMTP: sockets, threads and clocks around the machine of the `protocol` room, and the keeper behind it.
//!
//! A message is acknowledged only after the keeper has answered that it is durable; whatever else happens is a temporary failure, so
//! that the sender keeps it. Nothing is ever sent on.

mod admission;
mod connection;
mod counts;
mod envelope;
#[cfg(test)]
mod fake_keeper;
#[cfg(test)]
mod tests;

pub use counts::{SmtpCounts, SmtpFigures};

use crate::keeper::Keeper;
use crate::listener::{Connection, Door, Limits, Listener, Serve, WhenFull};
use crate::networks::Networks;
use crate::slots::Slots;
use crate::tls::TlsServer;
use admission::{Admission, Admissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// 1000 connections in all, a thread each. With a socket and a spool file each they take 2000 file descriptors: a process that
/// serves them raises its soft limit (often 1024) first, since the store must never run out of them.
const CONNECTIONS_MAX: usize = 1000;

/// 100 connections of one address: above what any mail server opens to one destination (Postfix and Exchange: 20), and ten
/// machines gone mad are needed to keep the others out.
const CONNECTIONS_PER_PEER_MAX: usize = 100;

/// 512 KiB of stack a connection, of which a few pages are touched while it idles; a message is taken apart in this thread.
const STACK_BYTES: usize = 512 * 1024;

/// 128 messages at once between the beginning of their content and the keeper's answer: each takes up to 1 MiB of memory, the rest of it
/// lies in the spool.
const MESSAGES_MAX: usize = 128;

/// 30 seconds for messages under way when the server stops; Exchange sends a batch over one connection.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// What a connection above the limits is told (RFC 3463: X.3.2, system not accepting network messages).
const TOO_MANY: &[u8] = b"421 4.3.2 too many connections, come back later\r\n";

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// Names this host in the greeting.
    pub hostname: String,
    /// Largest message in bytes.
    pub size_max_bytes: u64,
    /// Who may send without signing in, whatever the page has set.
    pub allowed: Networks,
    /// Whose journal reports are unwrapped, whatever the page has set; they may send without signing in, too.
    pub journal_trusted: Networks,
    /// Whether AUTH is offered under TLS.
    pub offers_auth: bool,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections of one address.
    pub connections_per_peer_max: usize,
}

impl SmtpOptions {
    /// Gives the usual limits; the host itself may send and is trusted for journal reports, AUTH is off.
    pub fn new(hostname: impl Into<String>) -> Self {
        let protocol = protocol::smtp::Options::new(hostname);
        Self {
            hostname: protocol.hostname,
            size_max_bytes: protocol.size_max_bytes,
            allowed: Networks::loopback(),
            journal_trusted: Networks::loopback(),
            offers_auth: false,
            connections_max: CONNECTIONS_MAX,
            connections_per_peer_max: CONNECTIONS_PER_PEER_MAX,
        }
    }
}

/// A bound socket of the server.
pub enum SmtpSocket {
    /// TLS by STARTTLS (port 25, RFC 3207).
    StartTls(TcpListener),
    /// TLS from the first byte (port 465, RFC 8314 §3.3).
    ImplicitTls(TcpListener),
}

/// The running server.
pub struct SmtpServer {
    listener: Listener,
    counts: Arc<SmtpCounts>,
}

impl SmtpServer {
    /// Begins to take mail on all of the sockets.
    ///
    /// # Errors
    /// When a thread cannot be started or a socket has no address.
    pub fn start(
        options: SmtpOptions,
        sockets: Vec<SmtpSocket>,
        keeper: Arc<dyn Keeper>,
        tls: Arc<TlsServer>,
    ) -> io::Result<Self> {
        let limits = Limits {
            connections_max: options.connections_max,
            connections_per_peer_max: options.connections_per_peer_max,
            stack_bytes: STACK_BYTES,
            when_full: WhenFull::Refuse,
        };
        let server = Arc::new(Server::new(options, keeper, tls));
        let doors = sockets
            .into_iter()
            .map(|socket| door(socket, &server))
            .collect();
        Ok(Self {
            listener: Listener::start("smtp", doors, limits)?,
            counts: server.counts.clone(),
        })
    }

    /// The addresses it listens on, in the order of the sockets.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.listener.local_addrs()
    }

    /// Number of connections now.
    pub fn connections(&self) -> usize {
        self.listener.connections()
    }

    /// Number of messages that are on their way in now.
    pub fn messages_under_way(&self) -> usize {
        self.listener.busy()
    }

    /// What it has counted since it was started.
    pub fn counts(&self) -> Arc<SmtpCounts> {
        self.counts.clone()
    }

    /// Takes no more connections, lets messages under way end, and tells every peer 421. Gives the number of connections
    /// that could not be ended in time; none of their messages was acknowledged after that.
    pub fn stop(self) -> usize {
        self.listener.stop(STOP_GRACE)
    }
}

fn door(socket: SmtpSocket, server: &Arc<Server>) -> Door {
    let (socket, implicit_tls) = match socket {
        SmtpSocket::StartTls(socket) => (socket, false),
        SmtpSocket::ImplicitTls(socket) => (socket, true),
    };
    let server = server.clone();
    let serve: Serve = Arc::new(move |connection: &Connection| {
        connection::serve(&server, connection, implicit_tls)
    });
    // Whoever waits for a TLS handshake would not understand the refusal.
    Door {
        socket,
        refusal: if implicit_tls { b"" } else { TOO_MANY },
        serve,
    }
}

/// What all connections share.
struct Server {
    options: SmtpOptions,
    protocol: Arc<protocol::smtp::Options>,
    keeper: Arc<dyn Keeper>,
    tls: Arc<TlsServer>,
    admissions: Admissions,
    messages: Slots,
    counts: Arc<SmtpCounts>,
}

impl Server {
    fn new(options: SmtpOptions, keeper: Arc<dyn Keeper>, tls: Arc<TlsServer>) -> Self {
        let protocol = protocol::smtp::Options {
            size_max_bytes: options.size_max_bytes,
            starttls: true,
            auth: options.offers_auth,
            ..protocol::smtp::Options::new(&options.hostname)
        };
        Self {
            options,
            protocol: Arc::new(protocol),
            keeper,
            tls,
            admissions: Admissions::default(),
            messages: Slots::new(MESSAGES_MAX),
            counts: Arc::default(),
        }
    }

    /// Who may send now.
    fn admission(&self) -> Arc<Admission> {
        let setting = |setting| self.keeper.setting(setting);
        self.admissions.now(&self.options, setting)
    }
}
