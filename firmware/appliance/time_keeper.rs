//! Keeps the clock: asks time servers, sets the clock, and says in a file how good it is.
//!
//! `/run/coffer/network/clock` is there while the clock is synchronised: `UNCERTAINTY_MS AGREED`, where AGREED is 1 if two servers agree.
//! Asking is done by a thread, since names have to be looked up; it holds nothing that others wait for.

use crate::clock::{self, Verdict};
use crate::sntp::{self, Measured};
use crate::starts::RELEASE;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where it is said that the clock is right.
pub(crate) const CLOCK: &str = "/run/coffer/network/clock";

/// What the clock cannot be before, in seconds since 1970; `disks` writes it from the state partition.
pub(crate) const FLOOR: &str = "/run/coffer/clock-floor";

/// 30 minutes between two rounds: a bad clock drifts 0.2 seconds meanwhile.
const ROUND_EVERY: Duration = Duration::from_secs(1800);

/// 15 seconds before a round without an answer is tried again, doubled up to the usual time.
const RETRY_MIN: Duration = Duration::from_secs(15);

/// A day without an answer, and the clock counts as unsynchronised.
const BELIEVED_FOR: Duration = Duration::from_secs(86_400);

/// 3 seconds for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asked where the network names none, or fewer than three.
const PUBLIC: [&str; 3] = ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org"];

/// 3 servers a round: enough to outvote one.
const SERVERS_MAX: usize = 3;

/// The clock of this machine.
pub(crate) struct TimeKeeper {
    servers: Vec<Ipv4Addr>,
    asked: Option<Receiver<Option<Verdict>>>,
    next_at: Instant,
    retry: Duration,
    right_since: Option<Instant>,
}

impl TimeKeeper {
    /// Begins with a clock that is not synchronised, but not before its floor.
    ///
    /// # Errors
    /// When the clock cannot be set.
    pub(crate) fn start() -> io::Result<Self> {
        let _ = fs::remove_file(CLOCK); // of a worker that died
        let keeper = Self {
            servers: Vec::new(),
            asked: None,
            next_at: Instant::now(),
            retry: RETRY_MIN,
            right_since: None,
        };
        keeper.keep_above_floor()?;
        Ok(keeper)
    }

    /// Takes the servers that the network names; a round begins soon.
    pub(crate) fn set_servers(&mut self, servers: Vec<Ipv4Addr>) {
        if self.servers != servers {
            self.servers = servers;
            self.retry = RETRY_MIN;
            self.next_at = Instant::now();
        }
    }

    /// What people should know.
    pub(crate) fn trouble(&self) -> &'static str {
        match self.right_since {
            Some(_) => "",
            None => "the clock is not synchronised: no time server answers",
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the clock cannot be set or nobody can be told.
    pub(crate) fn tick(&mut self, now: Instant) -> io::Result<()> {
        match self.asked.as_ref().map(Receiver::try_recv) {
            Some(Ok(Some(verdict))) => self.follow(verdict, now)?,
            Some(Ok(None) | Err(TryRecvError::Disconnected)) => self.fail(now)?,
            Some(Err(TryRecvError::Empty)) => return Ok(()),
            None => {}
        }
        if now >= self.next_at && !self.servers.is_empty() {
            self.ask();
        }
        self.keep_above_floor()
    }

    fn follow(&mut self, verdict: Verdict, now: Instant) -> io::Result<()> {
        self.asked = None;
        if let Some(step_us) = verdict.step_us {
            set_clock_us(now_us() + step_us)?;
            tracing::info!(step_us, "the clock was set");
        }
        let text = format!(
            "{} {}\n",
            verdict.uncertainty_ms,
            u8::from(verdict.is_agreed)
        );
        fs::write(CLOCK, text)?;
        self.right_since = Some(now);
        self.retry = RETRY_MIN;
        self.next_at = now + ROUND_EVERY;
        Ok(())
    }

    fn fail(&mut self, now: Instant) -> io::Result<()> {
        self.asked = None;
        self.next_at = now + self.retry;
        self.retry = (self.retry * 2).min(ROUND_EVERY);
        if self
            .right_since
            .is_some_and(|since| now - since > BELIEVED_FOR)
        {
            self.right_since = None;
            fs::remove_file(CLOCK)?;
        }
        Ok(())
    }

    fn ask(&mut self) {
        let (answer, asked) = mpsc::channel();
        let servers = self.servers.clone();
        let work = move || {
            let _ = answer.send(round(&servers)); // nobody listens when the worker ends
        };
        if thread::Builder::new().spawn(work).is_ok() {
            self.asked = Some(asked);
        }
    }

    /// A clock before its floor is wrong for sure: most small boards begin in 1970.
    fn keep_above_floor(&self) -> io::Result<()> {
        let floor_us = floor_s() as i64 * 1_000_000;
        if self.right_since.is_none() && now_us() < floor_us {
            set_clock_us(floor_us)?;
            tracing::info!("the clock was set to the latest time that is known to be over");
        }
        Ok(())
    }
}

/// The later of build time and kept floor, in seconds since 1970; 0 where neither is known.
fn floor_s() -> u64 {
    let kept = fs::read_to_string(FLOOR).unwrap_or_default();
    // The image's build time is a floor, too.
    let release = fs::read_to_string(RELEASE).unwrap_or_default();
    let built = release
        .lines()
        .find_map(|line| line.strip_prefix("BUILD_TIME="));
    let seconds = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
    seconds(&kept).max(built.map_or(0, seconds))
}

/// Asks the servers that the network names, and public ones where these are too few.
fn round(servers: &[Ipv4Addr]) -> Option<Verdict> {
    let named = servers
        .iter()
        .map(|server| SocketAddr::from((*server, 123)));
    let public = PUBLIC
        .iter()
        .filter_map(|name| (*name, 123).to_socket_addrs().ok()?.next());
    let mut answers = Vec::new();
    for server in named.chain(public) {
        match ask(server) {
            Ok(Some(measured)) => answers.push(measured),
            Ok(None) => tracing::debug!(%server, "no usable time"),
            Err(error) => tracing::debug!(%server, %error, "no time"),
        }
        if answers.len() >= SERVERS_MAX {
            break;
        }
    }
    clock::decide(&answers)
}

fn ask(server: SocketAddr) -> io::Result<Option<Measured>> {
    let ours: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((ours, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut cookie = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut cookie)?;
    // How long it took is measured by the clock that nobody sets.
    let (sent_us, sent) = (now_us(), Instant::now());
    socket.send(&sntp::question(cookie))?;
    let mut packet = [0; 512];
    let count = socket.recv(&mut packet)?;
    let came_us = sent_us + sent.elapsed().as_micros() as i64;
    Ok(sntp::answer(&packet[..count], cookie, sent_us, came_us))
}

fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}

fn set_clock_us(at_us: i64) -> io::Result<()> {
    let since = Duration::from_micros(at_us.max(0) as u64);
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since))?;
    Ok(())
}

/// How good the clock is: how far off it may be, and whether two servers agree; none while it is not synchronised.
pub(crate) fn state(path: &Path) -> Option<(u32, bool)> {
    let text = fs::read_to_string(path).ok()?;
    let (uncertainty_ms, agreed) = text.trim().split_once(' ')?;
    Some((uncertainty_ms.parse().ok()?, agreed == "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_clock_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clock");
        assert_eq!(state(&path), None);
        for (text, expected) in [
            ("20 1\n", Some((20, true))),
            ("7 0\n", Some((7, false))),
            ("", None),
            ("x 1", None),
        ] {
            fs::write(&path, text).expect("a file");
            assert_eq!(state(&path), expected, "{text}");
        }
    }

    #[test]
    fn a_server_is_asked_and_answers() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = server.local_addr().expect("an address");
        let answering = thread::spawn(move || {
            let mut question = [0; 48];
            let (_, from) = server.recv_from(&mut question).expect("a question");
            let mut answer = [0; 48];
            (answer[0], answer[1]) = (0b00_100_100, 1);
            answer[24..32].copy_from_slice(&question[40..]);
            for at in [32, 40] {
                answer[at..at + 4].copy_from_slice(&3_000_000_000u32.to_be_bytes());
            }
            server.send_to(&answer, from).expect("sent");
        });
        let measured = ask(address).expect("a way").expect("an answer");
        answering.join().expect("no panic");
        let off_us = now_us() + measured.offset_us - (3_000_000_000 - 2_208_988_800) * 1_000_000;
        assert!(off_us.abs() < 60_000_000, "{off_us}");
    }
}
