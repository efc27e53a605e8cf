//! Somebody inside the box, whom no product has: a version of ours in which a shell listens on the second serial port.
//!
//! The shell is Debian's static busybox, put before the files of the built version; it starts the real first process in its own place. So what runs
//! is what was built, to the byte, and can be looked at, killed and stopped from inside.

use crate::version::Version;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use tests::{Hardware, other_board, skip, wait_for};

/// Debian's static busybox for this computer's board, and the variable that names the one for the other board.
const BUSYBOX: &str = "/bin/busybox";
const BUSYBOX_OTHER: &str = "COFFER_BUSYBOX_OTHER";

/// The static busybox for a board; none, and a word about it, without one.
pub(crate) fn busybox(board: &str) -> Option<Vec<u8>> {
    let named = match board == other_board() {
        true => std::env::var_os(BUSYBOX_OTHER).map(PathBuf::from),
        false => Some(PathBuf::from(BUSYBOX)),
    };
    let found = named.and_then(|path| fs::read(path).ok());
    if found.is_none() {
        skip(&format!(
            "a shell inside an emulated computer: busybox-static is missing for {board}"
        ));
    }
    found
}

/// The first process: it leaves a script behind and becomes ours.
/// A shell starts nothing beside itself without `/dev/null`.
const FIRST: &str = "\
#!/agent/busybox sh
/agent/busybox mkdir -p /dev
/agent/busybox mknod /dev/null c 1 3
/agent/busybox sh /agent/script &
exec /init
";

/// Answers each line with the output of its command and a line with a dot. A look at all processes at once is one process of its own: an emulated box
/// takes seconds for a hundred.
const LISTEN: &str = "\
export PATH=/agent
for tool in cat cut echo grep kill mkdir mount netstat readlink sleep stty tr; do /agent/busybox ln -s busybox /agent/$tool; done
until [ -c /dev/ttyS1 ]; do sleep 1; done
stty -F /dev/ttyS1 raw -echo
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
workers() {
    for file in $(grep -l . /proc/[0-9]*/cmdline 2>/dev/null); do
        process=${file%/cmdline}
        if [ $process != /proc/1 ] && [ \"$(readlink $process/exe)\" = \"$(readlink /proc/1/exe)\" ]; then
            echo $(tr '\\0' ' ' < $process/cmdline | cut -d' ' -f1)
        fi
    done
}
process_of() { grep -lx $1 /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3; }
back() {
    until killed=$(process_of $1) && [ -n \"$killed\" ]; do :; done
    read -r began rest < /proc/uptime
    kill -9 $killed
    until process_of $1 | grep -qvx $killed; do :; done
    read -r ended rest < /proc/uptime
    echo $began $ended
}
while read -r line; do eval \"$line\"; echo .; done
";

/// Freezes it, as a fault of the kernel would.
const HANG: &str = "mkdir /agent/groups; mount -t cgroup2 none /agent/groups; mkdir /agent/groups/hung; \
                    echo 1 > /agent/groups/hung/cgroup.procs; echo 1 > /agent/groups/hung/cgroup.freeze";

/// 30 seconds for a command inside the box.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The listener of a box that runs.
pub(crate) struct Agent(PathBuf);

impl Agent {
    /// Puts a version with the listener on the medium of a box that never started; none, and a word about it, without busybox.
    pub(crate) fn put_into(hardware: &mut Hardware) -> Option<Self> {
        let inside = Self::inside(&Version::built(&hardware.image), &hardware.board)?;
        inside.replaces_all_on(&hardware.folder.join("new.img"));
        Some(Self::beside(hardware))
    }

    /// A version with the listener inside; none, and a word about it, without busybox.
    pub(crate) fn inside(version: &Version, board: &str) -> Option<Version> {
        beside(version, board, LISTEN)
    }

    /// Where a version with the listener is spoken to.
    pub(crate) fn beside(hardware: &mut Hardware) -> Self {
        let socket = hardware.folder.join("agent.sock");
        let serial = format!("unix:{},server=on,wait=off", socket.display());
        hardware.parts.extend(["-serial".to_owned(), serial]);
        Self(socket)
    }

    /// Runs a line of shell inside the box and gives its output.
    ///
    /// # Panics
    /// When nobody answers.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        let mut stream = wait_for("the agent", || UnixStream::connect(&self.0).ok());
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket");
        writeln!(stream, "{line}").expect("a line");
        let lines = BufReader::new(stream).lines();
        let lines = lines.map(|line| line.expect("an answer from inside"));
        lines
            .map(|line| line.trim_end_matches('\r').to_owned())
            .take_while(|line| line != ".")
            .map(|line| line + "\n")
            .collect()
    }

    /// Stops the first process, which no signal can, once it feeds the watchdog.
    pub(crate) fn hang(&self) {
        wait_for("the watchdog is on", || {
            let open = self.run("for file in /proc/1/fd/*; do readlink $file; done");
            open.contains("watchdog").then_some(())
        });
        self.run(HANG);
    }

    /// Kills a worker, once it is there, and tells after how many seconds of the box there is another one of its name.
    pub(crate) fn seconds_without(&self, name: &str) -> f64 {
        let said = self.run(&format!("back {name}"));
        let times = said.split_whitespace().map(str::parse);
        match times.collect::<Result<Vec<f64>, _>>().as_deref() {
            Ok([began, ended]) => ended - began,
            _ => panic!("no times: {said}"),
        }
    }

    /// The names of the workers.
    pub(crate) fn workers(&self) -> BTreeSet<String> {
        self.run("workers").lines().map(str::to_owned).collect()
    }
}

/// A version of a board beside whose first process a script of the shell runs; none, and a word about it, without busybox.
pub(crate) fn beside(version: &Version, board: &str, script: &str) -> Option<Version> {
    let files = [
        ("agent", 0o040_755, Vec::new()),
        ("agent/busybox", 0o100_755, busybox(board)?),
        ("agent/init", 0o100_755, FIRST.into()),
        ("agent/script", 0o100_644, script.into()),
    ];
    let version = version.with_files(&files);
    Some(version.started_with("rdinit=/agent/init"))
}
