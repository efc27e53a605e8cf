//! Accepting connections: a thread each, limits on their number, and an orderly end.
//!
//! The thread that accepts a connection serves it, and then accepts the next one: many senders make a connection for each message, and
//! handing it to another thread would cost more than most of what is done with it. It knows no protocol and no TLS. What a connection is
//! for is told by the function given with its socket.

use nix::sys::socket::{Shutdown as ShutdownSide, setsockopt, shutdown, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tracing::warn;

/// 100 ms after a failed accept: with no file descriptor left, at most 10 tries and log lines a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// 32 threads wait for a next connection of a door at most: as many as senders commonly have at once, with a few pages of memory each.
const IDLE_THREADS_MAX: usize = 32;

/// 5 seconds for a thread to wait for its next connection; then it gives its memory back, unless it is the last that waits.
const IDLE_WAIT_S: i64 = 5;

/// 1 second for connections that were cut off to end; a thread that needs longer is left behind.
const CUT_WAIT: Duration = Duration::from_secs(1);

/// 64 connections that were ended to make room may still be on their way out; more than that above the limit are refused.
const LEAVING_MAX: usize = 64;

/// How much a listener takes on at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections of one address; the host itself may have all of them.
    pub connections_per_peer_max: usize,
    /// Stack of a connection's thread in bytes; memory is taken only for what is used of it.
    pub stack_bytes: usize,
    /// What becomes of a connection above the number in all.
    pub when_full: WhenFull,
}

/// What becomes of a connection when there are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused: its peer comes again by itself, and those before it may be in the middle of something.
    Refuse,
    /// The connection that has been without work for longest ends for it: whoever only holds connections keeps nobody out.
    EndMostIdle,
}

/// What to do with a connection, in a thread of its own.
pub type Serve = Arc<dyn Fn(&Connection) + Send + Sync>;

/// A socket to accept on.
pub struct Door {
    /// The bound socket.
    pub socket: TcpListener,
    /// What a connection above the limits is told before it is closed.
    pub refusal: &'static [u8],
    /// What is done with a connection.
    pub serve: Serve,
}

/// Accepts connections until it is stopped.
pub struct Listener {
    shared: Arc<Shared>,
    doors: Vec<Arc<Acceptor>>,
    local_addrs: Vec<SocketAddr>,
}

impl Listener {
    /// Begins to accept on all of the sockets; the limits hold for them together. The name is that of the threads.
    ///
    /// # Errors
    /// When a thread cannot be started or a socket has no address.
    pub fn start(name: &'static str, doors: Vec<Door>, limits: Limits) -> io::Result<Self> {
        let mut listener = Self {
            shared: Arc::new(Shared::new(name, limits)),
            doors: Vec::new(),
            local_addrs: Vec::new(),
        };
        for door in doors {
            listener.local_addrs.push(door.socket.local_addr()?);
            let acceptor = Arc::new(Acceptor::new(listener.shared.clone(), door)?);
            listener.doors.push(acceptor.clone());
            acceptor.start_thread()?;
        }
        Ok(listener)
    }

    /// The addresses it accepts on, in the order of the sockets.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Number of connections now.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// Number of connections that are at work now.
    pub fn busy(&self) -> usize {
        self.shared.lock().busy()
    }

    /// Accepts no more, gives idle connections the end of their input and busy ones time to become idle, then cuts off
    /// the rest. Gives the number of threads that did not end for all that.
    pub fn stop(mut self, grace: Duration) -> usize {
        self.end(grace)
    }

    fn end(&mut self, grace: Duration) -> usize {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for door in self.doors.drain(..) {
            // Linux wakes up all who wait in accept(2) on a socket that is shut down.
            let _ = shutdown(door.socket.as_raw_fd(), ShutdownSide::Both);
        }
        self.shared
            .shut_down(Shutdown::Read, |connection| !connection.activity.is_busy());
        self.shared.wait_for_end(grace);
        self.shared.shut_down(Shutdown::Read, |_| true);
        self.shared.wait_for_end(CUT_WAIT.min(grace));
        self.shared.shut_down(Shutdown::Both, |_| true);
        self.shared.wait_for_end(CUT_WAIT)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// One connection that was accepted; it counts until it is dropped.
pub struct Connection {
    shared: Arc<Shared>,
    number: u64,
    socket: Arc<TcpStream>,
    peer: SocketAddr,
    activity: Arc<Activity>,
}

impl Connection {
    /// The socket; it is shut down by others when the listener stops. A read waits 5 seconds unless it is given another time.
    pub fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Address and port of the peer; an IPv4-mapped IPv6 address is given as IPv4.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Says whether the connection is at work that should not be cut off when the listener stops.
    pub fn set_busy(&self, busy: bool) {
        self.activity.busy.store(busy, Ordering::SeqCst);
        self.activity
            .since
            .store(self.shared.next_moment(), Ordering::SeqCst);
    }

    /// Tells whether the listener stops; to be looked at after [`set_busy`](Self::set_busy) and when the input ends.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.shared.lock();
        open.connections.remove(&self.number);
        if let Some(count) = open.per_peer.get_mut(&self.peer.ip()) {
            *count -= 1;
            if *count == 0 {
                open.per_peer.remove(&self.peer.ip());
            }
        }
    }
}

/// What acceptors, connections and the listener share.
struct Shared {
    name: &'static str,
    limits: Limits,
    stopping: AtomicBool,
    /// Counts beginnings of connections and of their work, so that what was earlier can be told.
    moments: AtomicU64,
    open: Mutex<Open>,
    /// Tells of every thread that ended.
    ended: Condvar,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Handle>,
    /// No entry is 0.
    per_peer: HashMap<IpAddr, usize>,
    /// Threads, waiting or serving.
    threads: usize,
}

/// What is needed to end a connection.
struct Handle {
    socket: Arc<TcpStream>,
    activity: Arc<Activity>,
    /// Whether it was ended to make room.
    is_leaving: bool,
}

/// Whether a connection is at work, and since which moment it is or is not.
#[derive(Default)]
struct Activity {
    busy: AtomicBool,
    since: AtomicU64,
}

impl Activity {
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst)
    }
}

impl Open {
    fn busy(&self) -> usize {
        let handles = self.connections.values();
        handles.filter(|handle| handle.activity.is_busy()).count()
    }

    /// Ends the connection that has been without work for longest; tells whether there was one.
    fn end_most_idle(&mut self) -> bool {
        let idle = self
            .connections
            .values_mut()
            .filter(|handle| !handle.is_leaving && !handle.activity.is_busy());
        let longest = idle.min_by_key(|handle| handle.activity.since.load(Ordering::SeqCst));
        let Some(handle) = longest else {
            return false;
        };
        handle.is_leaving = true;
        let _ = handle.socket.shutdown(Shutdown::Both); // it may have ended already
        true
    }
}

/// A thread; it counts until it is dropped.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.lock().threads += 1;
        Self(shared.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}

impl Shared {
    fn new(name: &'static str, limits: Limits) -> Self {
        Self {
            name,
            limits,
            stopping: AtomicBool::new(false),
            moments: AtomicU64::new(0),
            open: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn next_moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` above the limits.
    fn admit(self: &Arc<Self>, socket: &Arc<TcpStream>, peer: SocketAddr) -> Option<Connection> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let mut open = self.lock();
        let of_peer = open.per_peer.get(&peer.ip()).copied().unwrap_or(0);
        let per_peer_max = if peer.ip().is_loopback() {
            usize::MAX
        } else {
            self.limits.connections_per_peer_max
        };
        if of_peer >= per_peer_max || !self.has_room(&mut open) {
            return None;
        }
        let number = self.next_moment();
        let activity = Arc::new(Activity::default());
        activity.since.store(number, Ordering::SeqCst);
        open.per_peer.insert(peer.ip(), of_peer + 1);
        open.connections.insert(
            number,
            Handle {
                socket: socket.clone(),
                activity: activity.clone(),
                is_leaving: false,
            },
        );
        Some(Connection {
            shared: self.clone(),
            number,
            socket: socket.clone(),
            peer,
            activity,
        })
    }

    /// Tells whether one more connection may be, and makes room for it if that is what is done.
    fn has_room(&self, open: &mut Open) -> bool {
        let count = open.connections.len();
        let max = self.limits.connections_max;
        match self.limits.when_full {
            _ if count < max => true,
            WhenFull::Refuse => false,
            WhenFull::EndMostIdle => count < max + LEAVING_MAX && open.end_most_idle(),
        }
    }

    fn shut_down(&self, side: Shutdown, which: impl Fn(&Handle) -> bool) {
        for connection in self
            .lock()
            .connections
            .values()
            .filter(|connection| which(connection))
        {
            let _ = connection.socket.shutdown(side); // it may have ended already
        }
    }

    /// Waits until no thread is left, or the time is over; gives the number left.
    fn wait_for_end(&self, time: Duration) -> usize {
        let until = Instant::now() + time;
        let mut open = self.lock();
        while open.threads > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            open = self
                .ended
                .wait_timeout(open, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        open.threads
    }
}

/// One door, while connections are accepted on it.
struct Acceptor {
    shared: Arc<Shared>,
    socket: TcpListener,
    refusal: &'static [u8],
    serve: Serve,
    /// Threads that wait for a connection; one at least, but for moments.
    waiting: Mutex<usize>,
    /// The connection before was refused; so a flood of them costs one log line.
    refusing: AtomicBool,
}

/// A connection that was accepted.
struct Accepted {
    socket: Arc<TcpStream>,
    peer: SocketAddr,
    /// Whether nobody waits for the next one.
    was_last: bool,
}

impl Acceptor {
    fn new(shared: Arc<Shared>, door: Door) -> io::Result<Self> {
        let Door {
            socket,
            refusal,
            serve,
        } = door;
        // Connections have it, too, until they are given another one.
        setsockopt(&socket, ReceiveTimeout, &TimeVal::new(IDLE_WAIT_S, 0))?;
        Ok(Self {
            shared,
            socket,
            refusal,
            serve,
            waiting: Mutex::default(),
            refusing: AtomicBool::new(false),
        })
    }

    fn start_thread(self: Arc<Self>) -> io::Result<()> {
        let counted = Counted::new(&self.shared);
        let builder = thread::Builder::new().name(self.shared.name.to_owned());
        let builder = builder.stack_size(self.shared.limits.stack_bytes);
        let work = move || {
            self.run();
            drop(counted); // whoever waits for the last thread may then have all for himself
        };
        builder.spawn(work).map(drop)
    }

    fn run(self: Arc<Self>) {
        while let Some(accepted) = self.accept() {
            self.take(accepted);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a connection; none when this thread is to end.
    fn accept(&self) -> Option<Accepted> {
        loop {
            {
                let mut waiting = self.waiting();
                if *waiting >= IDLE_THREADS_MAX || self.shared.is_stopping() {
                    return None;
                }
                *waiting += 1;
            }
            let accepted = self.socket.accept();
            let was_last = {
                let mut waiting = self.waiting();
                *waiting -= 1;
                *waiting == 0
            };
            if self.shared.is_stopping() {
                return None;
            }
            match accepted {
                Ok((socket, peer)) => {
                    return Some(Accepted {
                        socket: Arc::new(socket),
                        peer,
                        was_last,
                    });
                }
                // What it is about the next one to wait meets, too.
                Err(_) if !was_last => return None,
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&self, error: &io::Error) {
        let passes = [
            ErrorKind::WouldBlock, // nobody came in time
            ErrorKind::Interrupted,
            ErrorKind::ConnectionAborted,
        ];
        if !passes.contains(&error.kind()) {
            warn!(listener = self.shared.name, %error, "cannot accept a connection");
            thread::sleep(ACCEPT_PAUSE);
        }
    }

    /// Serves a connection, or refuses it when it is one too many or nobody could wait for the next one.
    fn take(self: &Arc<Self>, accepted: Accepted) {
        let Accepted {
            socket,
            peer,
            was_last,
        } = accepted;
        let Some(connection) = self.shared.admit(&socket, peer) else {
            return self.refuse(&socket, peer, "too many connections");
        };
        if was_last && let Err(error) = self.clone().start_thread() {
            return self.refuse(&socket, peer, &error.to_string());
        }
        self.refusing.store(false, Ordering::Relaxed);
        (self.serve)(&connection);
    }

    fn refuse(&self, mut socket: &TcpStream, peer: SocketAddr, why: &str) {
        let _ = socket.write(self.refusal); // fits into the empty buffer of a new socket
        if !self.refusing.swap(true, Ordering::Relaxed) {
            warn!(listener = self.shared.name, %peer, why, "connection refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::io::Read;
    use std::sync::mpsc;

    const LIMITS: Limits = Limits {
        connections_max: 4,
        connections_per_peer_max: 2,
        stack_bytes: 128 * 1024,
        when_full: WhenFull::Refuse,
    };

    fn socket() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("a free port")
    }

    fn any_connection() -> Arc<TcpStream> {
        let socket = socket();
        Arc::new(
            TcpStream::connect(socket.local_addr().expect("an address")).expect("a connection"),
        )
    }

    #[test]
    fn the_limits_count_connections_that_are_open() {
        let shared = Arc::new(Shared::new("test", LIMITS));
        let socket = any_connection();
        let admit = |peer: &str| shared.admit(&socket, peer.parse().expect("an address"));
        let first = admit("10.0.0.1:1").expect("the first");
        let mapped = admit("[::ffff:10.0.0.1]:2").expect("the second of the peer");
        assert_eq!(mapped.peer().to_string(), "10.0.0.1:2");
        assert!(admit("10.0.0.1:3").is_none(), "a third of the peer");
        let others = [admit("10.0.0.2:1"), admit("10.0.0.3:1")];
        assert!(others.iter().all(Option::is_some));
        assert!(admit("10.0.0.4:1").is_none(), "a fifth in all");
        drop(first);
        assert!(admit("10.0.0.1:3").is_some(), "a place is free again");
        drop((mapped, others));
        assert!(shared.lock().per_peer.is_empty());
        assert!(shared.lock().connections.is_empty());
    }

    #[test]
    fn the_host_itself_may_have_all() {
        let shared = Arc::new(Shared::new("test", LIMITS));
        let socket = any_connection();
        let admit = |peer: &str| shared.admit(&socket, peer.parse().expect("an address"));
        let all: Vec<_> = (1..=4)
            .map(|port| admit(&format!("127.0.0.1:{port}")))
            .collect();
        assert!(all.iter().all(Option::is_some));
        assert!(admit("127.0.0.1:5").is_none());
    }

    #[test]
    fn the_one_without_work_for_longest_makes_room() -> io::Result<()> {
        let limits = Limits {
            when_full: WhenFull::EndMostIdle,
            ..LIMITS
        };
        let shared = Arc::new(Shared::new("test", limits));
        let socket = socket();
        let mut peers = Vec::new();
        let mut admit = || -> io::Result<Option<Connection>> {
            peers.push(TcpStream::connect(socket.local_addr()?)?);
            let (accepted, peer) = socket.accept()?;
            Ok(shared.admit(&Arc::new(accepted), peer))
        };
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(admit()?.expect("a free place"));
        }
        // The first is at work, the second was; so the third and fourth have been idle for longer.
        all[0].set_busy(true);
        all[1].set_busy(true);
        all[1].set_busy(false);
        for _ in 0..3 {
            let next = admit()?.expect("room is made");
            next.set_busy(true);
            all.push(next);
        }
        assert!(admit()?.is_none(), "the others are at work");
        assert_eq!(shared.lock().busy(), 4);
        for (index, goes_on) in [true, false, false, false, true, true, true]
            .into_iter()
            .enumerate()
        {
            peers[index].set_nonblocking(true)?;
            let read = peers[index].read(&mut [0]).map_err(|error| error.kind());
            let expected = if goes_on {
                Err(ErrorKind::WouldBlock)
            } else {
                Ok(0)
            };
            assert_eq!(read, expected, "connection {index}");
        }
        Ok(())
    }

    #[test]
    fn above_the_limit_the_refusal_is_all() -> io::Result<()> {
        let limits = Limits {
            connections_max: 0,
            ..LIMITS
        };
        let serve: Serve = Arc::new(|_| panic!("not to be served"));
        let listener = Listener::start(
            "test",
            vec![Door {
                socket: socket(),
                refusal: b"full",
                serve,
            }],
            limits,
        )?;
        for _ in 0..3 {
            let mut said = String::new();
            TcpStream::connect(listener.local_addrs()[0])?.read_to_string(&mut said)?;
            assert_eq!(said, "full");
        }
        assert_eq!(listener.stop(Duration::ZERO), 0);
        Ok(())
    }

    #[test]
    fn stopping_ends_the_input_of_idle_connections() -> io::Result<()> {
        let (served, events) = mpsc::channel();
        let serve: Serve = Arc::new(move |connection| {
            served.send("began").expect("a listening test");
            let count = (&**connection.socket())
                .read(&mut [0; 8])
                .expect("the end of the input");
            assert_eq!(count, 0);
            served
                .send(if connection.is_stopping() {
                    "stopping"
                } else {
                    "the peer ended"
                })
                .expect("a listening test");
        });
        let listener = Listener::start(
            "test",
            vec![Door {
                socket: socket(),
                refusal: b"",
                serve,
            }],
            LIMITS,
        )?;
        let address = listener.local_addrs()[0];
        let _peer = TcpStream::connect(address)?;
        assert_eq!(events.recv(), Ok("began"));
        assert_eq!(listener.connections(), 1);
        assert_eq!(listener.stop(Duration::from_secs(60)), 0);
        assert_eq!(events.recv(), Ok("stopping"));
        assert!(
            TcpStream::connect(address).is_err(),
            "nobody listens any more"
        );
        Ok(())
    }

    #[test]
    fn threads_take_one_connection_after_the_other() -> io::Result<()> {
        let (served, threads) = mpsc::channel();
        let serve: Serve = Arc::new(move |_| {
            served
                .send(thread::current().id())
                .expect("a listening test");
        });
        let door = Door {
            socket: socket(),
            refusal: b"",
            serve,
        };
        let listener = Listener::start("test", vec![door], LIMITS)?;
        let mut seen = HashSet::new();
        for _ in 0..10 {
            let mut said = String::new();
            TcpStream::connect(listener.local_addrs()[0])?.read_to_string(&mut said)?;
            seen.insert(threads.recv().expect("served"));
            let until = Instant::now() + Duration::from_secs(4);
            while *listener.doors[0].waiting() < 2 && Instant::now() < until {
                thread::yield_now();
            }
        }
        assert!(seen.len() <= 2, "one serves, the other waits: {seen:?}");
        let shared = listener.shared.clone();
        assert_eq!(listener.stop(Duration::from_secs(60)), 0);
        assert_eq!(shared.lock().threads, 0, "nobody waits any more");
        Ok(())
    }

    #[test]
    fn threads_that_nobody_needs_end_but_for_one() -> io::Result<()> {
        let serve: Serve = Arc::new(|_| panic!("not to be served"));
        let door = Door {
            socket: socket(),
            refusal: b"",
            serve,
        };
        let listener = Listener::start("test", vec![door], LIMITS)?;
        let acceptor = &listener.doors[0];
        acceptor.socket.set_nonblocking(true)?; // as if the time to wait were over
        for _ in 0..3 {
            acceptor.clone().start_thread()?;
        }
        let shared = &listener.shared;
        let too_many = |open: &mut Open| open.threads > 1;
        let patience = Duration::from_secs(60);
        let waited = (shared.ended).wait_timeout_while(shared.lock(), patience, too_many);
        let (open, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert_eq!(open.threads, 1);
        Ok(())
    }

    #[test]
    fn a_panic_ends_its_connection_only() -> io::Result<()> {
        let serve: Serve = Arc::new(|connection| {
            let mut byte = [0];
            (&**connection.socket())
                .read_exact(&mut byte)
                .expect("a byte");
            assert_eq!(byte[0], b'y', "this panic is wanted");
            (&**connection.socket())
                .write_all(b"z")
                .expect("a peer that reads");
        });
        let listener = Listener::start(
            "test",
            vec![Door {
                socket: socket(),
                refusal: b"",
                serve,
            }],
            LIMITS,
        )?;
        for (sent, expected) in [("n", ""), ("y", "z")] {
            let mut peer = TcpStream::connect(listener.local_addrs()[0])?;
            peer.write_all(sent.as_bytes())?;
            let mut said = String::new();
            peer.read_to_string(&mut said)?;
            assert_eq!(said, expected);
        }
        assert_eq!(listener.stop(Duration::from_secs(60)), 0);
        Ok(())
    }
}
