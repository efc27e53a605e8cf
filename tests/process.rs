//! Running programs: to their end, or beside the test; none outlives it.

use crate::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// 15 minutes for a program that runs to its end, as long as an image takes on a busy computer; what takes longer hangs, and is killed.
const RUN_MAX: Duration = Duration::from_secs(900);

/// What became of a program that ran to its end.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Gives standard output of a program that ended with 0.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    pub fn ok(self) -> Vec<u8> {
        assert_eq!(
            self.code,
            Some(0),
            "{}\n{}",
            self.stderr,
            String::from_utf8_lossy(&self.stdout)
        );
        self.stdout
    }

    /// As [`ok`](Self::ok), as text.
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.ok()).expect("the output is UTF-8")
    }

    /// Checks that it failed with this code and said why in one line that holds all of the words.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(
            self.code,
            Some(code),
            "{}\n{}",
            self.stderr,
            String::from_utf8_lossy(&self.stdout)
        );
        let last = self.stderr.lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "no {word:?} in: {}", self.stderr);
        }
        assert!(
            !last.is_empty() && !self.stderr.contains("panicked"),
            "{}",
            self.stderr
        );
    }
}

/// Runs a program to its end.
pub fn run(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Ran {
    run_with_input(program, arguments, b"")
}

/// Runs a program to its end with something on its standard input.
pub fn run_with_input(
    program: impl AsRef<OsStr>,
    arguments: &[impl AsRef<OsStr>],
    input: &[u8],
) -> Ran {
    let mut child = Command::new(program.as_ref())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.as_ref().display()));
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // A program that reads nothing closes the pipe.
    let _ = stdin.write_all(input);
    drop(stdin);
    let id = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
    let output = kill_unless_done(id, || {
        child.wait_with_output().expect("the program's output")
    });
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Does something that waits for a program, which is killed when it takes too long.
fn kill_unless_done<T>(id: Pid, wait: impl FnOnce() -> T) -> T {
    let (done, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(RUN_MAX) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(id, Signal::SIGKILL);
            }
        });
        let result = wait();
        drop(done);
        result
    })
}

/// Gives a Python that has a package: the one that the scripts fill, or the system's; none is a skipped test.
pub fn python_with(package: &str) -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/python3");
    let import = format!("import {package}");
    let has_package = |python: &PathBuf| {
        let output = Command::new(python).args(["-c", &import]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let python = [installed, PathBuf::from("python3")]
        .into_iter()
        .find(has_package);
    if python.is_none() {
        crate::skip(&format!("no python3 with the package {package}"));
    }
    python
}

/// A program that runs beside the test; it is killed when the value is dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program; its standard error goes to a file.
    pub fn start(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>], log: &Path) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let mut child = Command::new(program.as_ref())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.as_ref().display()));
        let lines = lines_of(child.stdout.take().expect("standard output is a pipe"));
        Self { child, lines }
    }

    /// Gives the next line of its standard output; none at the end.
    pub fn next_line(&self) -> Option<String> {
        self.lines.recv_timeout(crate::PATIENCE).ok()
    }

    /// Gives its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells how it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("one's own child can be waited for")
    }

    /// Waits for its end and gives the exit code; none when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        wait_for("the end of a program", || self.ended()).code()
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"));
        kill(id, signal).expect("one's own child can be sent a signal");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}
