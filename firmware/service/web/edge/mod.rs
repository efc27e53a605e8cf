//! What faces the network: sockets, TLS, the heads of requests, and every limit of time, size and number.
//!
//! A request is read whole and bounded before anything behind sees it, and goes on over a connection of its own to a Unix socket where tiny_http
//! hands it to the handlers. So a slow or hostile client holds one thread here and nothing else, and the handlers' process needs no port.
//! Mail comes in elsewhere: nothing here can keep SMTP from a thread or a connection.

mod behind;
mod conversation;
#[cfg(test)]
mod tests;

use super::{Request, Response};
use crate::listener::{Connection, Door, Limits, Listener, Serve, WhenFull};
use crate::short_path::ShortPath;
use crate::tls::TlsServer;
use behind::Behind;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// 256 connections in all, a thread each and some 180 KB; an office of forty has six a browser while it loads a page, and few at once. One more
/// ends the one that has been silent for longest: browsers make a new one by themselves, and whoever holds them all keeps nobody out.
const CONNECTIONS_MAX: usize = 256;

/// 64 connections of one address: ten times what a browser opens; four machines gone mad are needed to keep the others out.
const CONNECTIONS_PER_PEER_MAX: usize = 64;

/// 256 KiB of stack a connection, of which a few pages are touched: it passes bytes on.
const STACK_BYTES: usize = 256 * 1024;

/// 64 KiB of a request's body: the longest are forms with certificates or lists of accounts in them.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// 10 seconds for answers under way when the server stops; a download may then be broken off.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// The name of the socket in the data directory.
const SOCKET: &str = "web.sock";

/// Answers one request.
pub type Handler = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct WebOptions {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections of one address.
    pub connections_per_peer_max: usize,
    /// The port that browsers are sent to who come without TLS.
    pub https_port: u16,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            connections_per_peer_max: CONNECTIONS_PER_PEER_MAX,
            https_port: 443,
        }
    }
}

/// A bound socket of the server.
pub enum WebSocket {
    /// HTTP under TLS: the page.
    Https(TcpListener),
    /// Plain HTTP, which only sends browsers to the page.
    Redirect(TcpListener),
}

/// The running server.
pub struct WebServer {
    listener: Listener,
    _behind: Behind,
}

impl WebServer {
    /// Begins to serve on all of the sockets; `<data>/web.sock` is what the handlers are reached by.
    ///
    /// # Errors
    /// When a thread cannot be started or a socket cannot be had.
    pub fn start(
        options: WebOptions,
        sockets: Vec<WebSocket>,
        data: &Path,
        tls: Arc<TlsServer>,
        handler: Handler,
    ) -> io::Result<Self> {
        let behind = Behind::start(data, handler)?;
        let edge = Arc::new(Edge {
            options,
            tls,
            behind: ShortPath::new(data, SOCKET)?,
        });
        let limits = Limits {
            connections_max: options.connections_max,
            connections_per_peer_max: options.connections_per_peer_max,
            stack_bytes: STACK_BYTES,
            when_full: WhenFull::EndMostIdle,
        };
        let doors = sockets.into_iter().map(|socket| door(socket, &edge));
        let listener = Listener::start("web", doors.collect(), limits)?;
        Ok(Self {
            listener,
            _behind: behind,
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

    /// Takes no more connections and lets answers under way end. Gives the number of connections that did not end in time.
    pub fn stop(self) -> usize {
        self.listener.stop(STOP_GRACE)
    }
}

fn door(socket: WebSocket, edge: &Arc<Edge>) -> Door {
    let (socket, kind) = match socket {
        WebSocket::Https(socket) => (socket, conversation::Kind::Page),
        WebSocket::Redirect(socket) => (socket, conversation::Kind::Redirect),
    };
    let edge = edge.clone();
    let serve: Serve =
        Arc::new(move |connection: &Connection| conversation::serve(&edge, connection, kind));
    // A browser tries again by itself; under TLS it would understand no refusal.
    Door {
        socket,
        refusal: b"",
        serve,
    }
}

/// What all connections share.
struct Edge {
    options: WebOptions,
    tls: Arc<TlsServer>,
    behind: ShortPath,
}
