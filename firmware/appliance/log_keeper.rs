//! The worker that carries the log from memory to the archive disk, so that what was said before a start can be read after it.
//!
//! It only follows the two files that PID 1 writes (`log`), and keeps two of its own in `log` beside the data directory. Nothing is synced: after a power
//! cut the last half minute may be missing. When the disk fails it ends, and is started again with pauses.

use crate::confinement::Confinement;
use crate::log::Log;
use crate::starts::RELEASE;
use crate::{boot, starts};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// 4 MiB a file, 8 MiB in all: weeks of a healthy box.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// 10 seconds between two looks: what a disk that sleeps is woken up for, and what is lost when the power goes.
const LOOK_EVERY_MS: u16 = 10_000;

/// Where it keeps what it has to remember of this boot.
const FOLDER: &str = "/run/coffer/logs";

/// There once this boot's log has begun on the disk; a worker that is started again goes on with what is new.
const BEGUN: &str = "/run/coffer/logs/begun";

/// Carries lines until it is asked to end; `place` is where the disk's log is.
///
/// # Errors
/// When the log in memory cannot be read or the one on the disk cannot be written.
pub(crate) fn run(place: &Path) -> io::Result<()> {
    let confinement = Confinement {
        writes: &[place, Path::new(FOLDER)],
        reads: &[boot::LOG],
        sockets: &[],
        calls: &[],
    };
    confinement.begin()?;
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.thread_block()?;
    let ends = SignalFd::new(&ends)?;
    let mut kept = Log::open(place, FILE_BYTES_MAX)?;
    let mut tail = Tail::new(Path::new(boot::LOG));
    if Path::new(BEGUN).exists() {
        tail.skip()?;
    } else {
        kept.append(heading().as_bytes())?;
        File::create(BEGUN)?;
    }
    loop {
        let mut waiting = [PollFd::new(ends.as_fd(), PollFlags::POLLIN)];
        let ended =
            poll(&mut waiting, PollTimeout::from(LOOK_EVERY_MS)).is_ok_and(|count| count > 0);
        kept.append(&tail.next()?)?;
        if ended {
            return Ok(());
        }
    }
}

/// Tells boots apart; the clock may be set later.
fn heading() -> String {
    let version = starts::running_version(Path::new(RELEASE)).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |since| since.as_secs());
    format!("\n=== coffer {version} started; clock: {now_s} s since 1970 ===\n")
}

/// How far a log in two files was read.
struct Tail<'a> {
    folder: &'a Path,
    /// The newer file, known by its number, and the bytes of it that were read.
    file: Option<u64>,
    offset: u64,
}

impl<'a> Tail<'a> {
    /// Begins with the oldest line that there is.
    fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            file: None,
            offset: 0,
        }
    }

    /// Goes on with what comes from now on.
    fn skip(&mut self) -> io::Result<()> {
        let newer = self.open("newer")?.metadata()?;
        (self.file, self.offset) = (Some(newer.ino()), newer.len());
        Ok(())
    }

    /// Gives what has come since the last time.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut lines = Vec::new();
        let mut newer = self.open("newer")?;
        let number = newer.metadata()?.ino();
        if self.file != Some(number) {
            self.rest_of_older(&mut lines)?;
            (self.file, self.offset) = (Some(number), 0);
        }
        newer.seek(SeekFrom::Start(self.offset))?;
        self.offset += newer.read_to_end(&mut lines)? as u64;
        Ok(lines)
    }

    /// The newer file took the older one's place: what was not read of it, or all of it where it was never read.
    fn rest_of_older(&self, lines: &mut Vec<u8>) -> io::Result<()> {
        let mut older = match self.open("older") {
            Ok(older) => older,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.file == Some(older.metadata()?.ino()) {
            older.seek(SeekFrom::Start(self.offset))?;
        }
        older.read_to_end(lines).map(drop)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_carried_once_whatever_the_files_do_between_two_looks() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path(), 1_000).expect("a log");
        let mut tail = Tail::new(folder.path());
        let mut carried = Vec::new();
        for number in 0..200 {
            log.line(number, "test", "x");
            if number % 7 == 0 {
                carried.extend(tail.next().expect("readable"));
            }
        }
        carried.extend(tail.next().expect("readable"));
        assert!(tail.next().expect("readable").is_empty());
        let text = String::from_utf8(carried).expect("text");
        let expected: String = (0..200)
            .map(|number| format!("       0.{number:03} test: x\n"))
            .collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn a_second_worker_of_a_boot_carries_only_what_is_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path(), 1_000).expect("a log");
        log.line(0, "test", "old");
        let mut tail = Tail::new(folder.path());
        tail.skip().expect("readable");
        log.line(1, "test", "new");
        let carried = tail.next().expect("readable");
        assert_eq!(carried, b"       0.001 test: new\n");
    }
}
