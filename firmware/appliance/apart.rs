//! Work on what nobody trusts, each piece in a process of its own that has nothing: no file, no socket, little memory, little time.
//!
//! The process that begins this ends up with as little, and with one thread for good: so it can be forked, and a piece of work costs no start of a program.
//! A piece that fails, hangs or is taken over takes its own process with it, and the next one finds memory as it was before.

use crate::confinement;
use crate::kernel;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use seccompiler::BpfProgram;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// 30 seconds for a piece of work: a phone book in PDF takes two on a slow board.
const TIME_MAX: Duration = Duration::from_secs(30);

/// 20 seconds of a processor's time, after which the kernel ends it by itself.
const PROCESSOR_S_MAX: u64 = 20;

/// 256 MiB of memory: a box with 512 MiB keeps what its archive needs.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// 64 descriptors, of which a handful is used.
const DESCRIPTORS_MAX: u64 = 64;

/// 4 MiB of what a piece of work comes to.
const RESULT_BYTES_MAX: u64 = 4 << 20;

/// Of all processes the kernel ends this one first when memory is short (proc(5), oom_score_adj).
const FIRST_TO_END: &str = "1000";

/// To be in the environment of a process that is to be [`Apart`]: its allocator would else take a gigabyte at its start, of which limits know nothing.
pub const COUNTED_MEMORY: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// A process that has given up everything, so that it can do work apart.
pub struct Apart {
    /// What work may ask of the kernel.
    filter: BpfProgram,
}

impl Apart {
    /// Gives up all rights but to read from and write to what is open; to be called before any thread is started. Standard output stays, standard error too.
    ///
    /// # Errors
    /// When there are threads already, or the kernel does not take the rules.
    pub fn begin() -> io::Result<Self> {
        SigSet::all().thread_unblock()?;
        if threads()? != 1 {
            return Err(io::Error::other("there are other threads already"));
        }
        Self::give_up()
    }

    /// Gives up all rights of this thread.
    fn give_up() -> io::Result<Self> {
        if let Err(error) = fs::write("/proc/self/oom_score_adj", FIRST_TO_END) {
            tracing::warn!(%error, "memory that is short may end other processes first");
        }
        for (what, most) in [
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX),
            (Resource::RLIMIT_DATA, MEMORY_BYTES_MAX),
        ] {
            setrlimit(what, most, most)?;
        }
        let filter = confinement::begin_apart()?;
        Ok(Self { filter })
    }

    /// Does a piece of work in a process of its own, for which `kept` alone is left open; gives what it came to, none if it failed or took too long.
    ///
    /// # Errors
    /// When no process can be had.
    pub fn run(
        &self,
        kept: BorrowedFd,
        work: impl FnOnce() -> Vec<u8>,
    ) -> io::Result<Option<Vec<u8>>> {
        let (reader, writer) = io::pipe()?;
        // `begin` has seen to it that there is one thread, and its filter that there is never another.
        match kernel::fork_alone()? {
            None => kernel::exit(i32::from(self.worked(kept, writer, work).is_err())),
            Some(process) => {
                drop(writer);
                Ok(result(reader, Pid::from_raw(process)))
            }
        }
    }

    /// What the process of a piece of work does.
    fn worked(
        &self,
        kept: BorrowedFd,
        mut result: PipeWriter,
        work: impl FnOnce() -> Vec<u8>,
    ) -> io::Result<()> {
        set_pdeathsig(Signal::SIGKILL)?;
        setrlimit(Resource::RLIMIT_CPU, PROCESSOR_S_MAX, PROCESSOR_S_MAX)?;
        // What a panic says may be out of the document, and the log is for others.
        std::panic::set_hook(Box::new(|_| {}));
        let left_open = [kept.as_raw_fd(), result.as_raw_fd()];
        kernel::close_all_but(DESCRIPTORS_MAX as i32, &left_open);
        seccompiler::apply_filter(&self.filter).map_err(io::Error::other)?;
        let bytes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let bytes = bytes.map_err(|_| io::Error::other("it panicked"))?;
        result.write_all(&bytes)
    }
}

/// The number of threads of this process.
fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// Waits for what a process comes to, and ends it.
fn result(mut reader: PipeReader, process: Pid) -> Option<Vec<u8>> {
    let bytes = all(&mut reader, Instant::now() + TIME_MAX);
    if bytes.is_err() {
        let _ = kill(process, Signal::SIGKILL);
    }
    drop(reader);
    let ended = waitpid(process, None);
    match (bytes, ended) {
        (Ok(bytes), Ok(WaitStatus::Exited(_, 0))) => Some(bytes),
        (_, ended) => {
            tracing::warn!(?ended, "a document could not be read by its process");
            None
        }
    }
}

/// Reads until the other end closes, but no longer than until a moment.
fn all(reader: &mut PipeReader, until: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut chunk = [0; 64 << 10];
        let count = reader.read(&mut chunk)?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() as u64 > RESULT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, sendmsg, socket};
    use std::hint::black_box;
    use std::io::IoSlice;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Output};

    /// Tells the process of a deed what to do.
    const DEED: &str = "COFFER_TEST_APART";

    /// What work tries; `others` is a socket that its parent has open.
    fn try_deed(deed: &str, others: i32) -> io::Result<()> {
        let socket = |family| socket(family, SockType::Stream, SockFlag::empty(), None).map(drop);
        match deed {
            "work" => Ok(()),
            "open a file" => fs::File::open("/dev/null").map(drop),
            "make a file" => fs::write("/tmp/coffer-apart", "x"),
            "list a folder" => fs::read_dir("/").map(drop),
            "open an internet socket" => Ok(socket(AddressFamily::Inet)?),
            "open a socket of the machine" => Ok(socket(AddressFamily::Unix)?),
            "start a thread" => std::thread::Builder::new().spawn(|| {}).map(drop),
            "start a process" => kernel::fork_alone().map(drop),
            "start a program" => Command::new("/bin/true").status().map(drop),
            "end its parent" => Ok(kill(nix::unistd::getppid(), Signal::SIGKILL)?),
            "raise a limit" => Ok(setrlimit(Resource::RLIMIT_CPU, 60, 60)?),
            "speak as its parent" => {
                let bytes = [IoSlice::new(b"x")];
                sendmsg::<()>(others, &bytes, &[], MsgFlags::empty(), None).map(drop)?;
                Ok(())
            }
            "take a little memory" => {
                black_box(vec![1_u8; 64 << 20]);
                Ok(())
            }
            "take much memory" => {
                let piece = || black_box(vec![1_u8; 1 << 20]);
                let taken: Vec<_> = (0..(2 * MEMORY_BYTES_MAX) >> 20).map(|_| piece()).collect();
                drop(taken);
                Ok(())
            }
            "panic" => panic!("as it was told"),
            other => Err(io::Error::other(other.to_owned())),
        }
    }

    /// Runs only as the process that `tried` starts; the thread that waits there for the end of the test holds nothing that work uses.
    #[test]
    fn deed() {
        let Ok(deed) = std::env::var(DEED) else {
            return;
        };
        let (kept, others) = UnixStream::pair().expect("a pair");
        let apart = Apart::give_up().expect("the kernel knows the rules");
        let work = || match try_deed(&deed, others.as_raw_fd()) {
            Ok(()) => b"done".to_vec(),
            Err(_) => b"refused".to_vec(),
        };
        let results = [(); 2].map(|()| apart.run(kept.as_fd(), work).expect("a process"));
        // Whatever work did, there is more.
        assert_eq!(results[0], results[1]);
        let code = match results[0].as_deref() {
            Some(b"done") => 10,
            Some(b"refused") => 11,
            _ => 12,
        };
        kernel::exit(code);
    }

    fn tried(deed: &str) -> Output {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "apart::tests::deed", "--nocapture"]);
        command.arg("--test-threads=1").env(DEED, deed);
        command.output().expect("it was started")
    }

    #[test]
    fn work_apart_reaches_nothing_and_costs_only_itself() {
        const DONE: Option<i32> = Some(10);
        const REFUSED: Option<i32> = Some(11);
        const LOST: Option<i32> = Some(12);
        for (deed, expected) in [
            ("work", DONE),
            ("take a little memory", DONE),
            ("open a file", REFUSED),
            ("make a file", REFUSED),
            ("list a folder", REFUSED),
            ("open an internet socket", REFUSED),
            ("open a socket of the machine", REFUSED),
            ("start a thread", REFUSED),
            ("start a process", REFUSED),
            ("end its parent", REFUSED),
            ("raise a limit", REFUSED),
            ("speak as its parent", REFUSED),
            ("take much memory", LOST),
            ("panic", LOST),
        ] {
            let output = tried(deed);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), expected, "{deed}: {text}");
        }
    }
}
