//! PID 1: boots in named phases, then supervises, then ends the machine in order.
//!
//! It parses nothing from outside, maps nothing and opens no archive file. It waits for nobody: each turn of its loop does what is due
//! and comes back within 5 seconds, for the watchdog's sake. When it panics the machine restarts.

use crate::console::{Console, Status};
use crate::disks;
use crate::facts::Facts;
use crate::kernel::{self, End};
use crate::kernel_log::KernelLog;
use crate::lines::Lines;
use crate::log::{Log, MEMORY_BYTES_MAX};
use crate::mounts;
use crate::network_settings::HOSTNAME;
use crate::power_button::Buttons;
use crate::starts::{self, Steadiness};
use crate::supervisor::{Deed, Supervisor};
use crate::watchdog::{FEED_EVERY, Liveness, Watchdog};
use crate::workers::{self, Places, Role, TABLE, Worker};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Where the log is kept, in memory.
pub(crate) const LOG: &str = "/run/coffer/log";

/// 20 seconds for the last sync: a disk that hangs would hold it up for ever.
const SYNC_PATIENCE: Duration = Duration::from_secs(20);

/// Half a second: workers report what belongs together one after the other.
const SETTLES_IN: Duration = Duration::from_millis(500);

/// 40 lines of a worker's log on the console within a minute; all of them are in the log.
const CONSOLE_LINES_MAX: u32 = 40;

/// Runs the machine until it ends; to be called by its first process, before any thread is started.
pub fn run() -> ! {
    let end = catch_unwind(|| match Machine::boot() {
        Ok(mut machine) => machine.supervise(),
        Err(_) => End::Restart, // not even signals could be had
    });
    finish(end.unwrap_or(End::Restart))
}

/// Writes out what the kernel still holds, unmounts, and ends the machine.
fn finish(end: End) -> ! {
    let (done, synced) = mpsc::channel();
    let sync = move || {
        nix::unistd::sync();
        for target in mounts::from_disks(&fs::read_to_string("/proc/mounts").unwrap_or_default()) {
            let _ = kernel::unmount(&target); // in use by a process that hangs: synced it is
        }
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(sync).is_ok() {
        let _ = synced.recv_timeout(SYNC_PATIENCE);
    }
    let _ = kernel::end(end);
    // Without the right to end the machine we are not PID 1; with it this line is not reached.
    std::process::exit(0)
}

/// A worker's process, as far as PID 1 hears it.
struct Ear {
    reports: Option<Lines>,
    log: Option<Lines>,
    /// Lines that the console may still show this minute.
    console_lines: u32,
    /// The host name that it was started under.
    hostname: String,
}

impl Ear {
    fn new() -> Self {
        Self {
            reports: None,
            log: None,
            console_lines: CONSOLE_LINES_MAX,
            hostname: String::new(),
        }
    }
}

/// All that PID 1 holds.
struct Machine {
    started_at: Instant,
    signals: SignalFd,
    console: Console,
    log: Log,
    kernel_log: Option<KernelLog>,
    buttons: Buttons,
    watchdog: Option<Watchdog>,
    liveness: Liveness,
    steadiness: Steadiness,
    fed_at: Instant,
    minute: Instant,
    supervisor: Supervisor,
    ears: Vec<Ear>,
    facts: Facts,
    /// The host name that the kernel has.
    hostname: String,
    /// What the console showed last, and since when there is something else to show.
    shown: Status,
    changed_at: Option<Instant>,
    /// Where the archive is that the running worker has opened.
    in_use: Option<Places>,
    end: Option<End>,
}

impl Machine {
    /// The phases up to where everything else is a worker.
    fn boot() -> io::Result<Self> {
        let failed = mounts::mount_early();
        let console = Console::open();
        let signals = catch_signals()?;
        let mut machine = Self::new(console, signals)?;
        for (target, error) in failed {
            machine.say(&format!("cannot mount {target}: {error}"));
        }
        machine.prepare();
        machine.facts.device_came = true; // a watchdog may be built into the kernel
        Ok(machine)
    }

    fn new(console: Console, signals: SignalFd) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            started_at: now,
            signals,
            console,
            log: Log::open(Path::new(LOG), MEMORY_BYTES_MAX)?,
            kernel_log: KernelLog::open(),
            buttons: Buttons::default(),
            watchdog: None,
            liveness: Liveness::new(now),
            steadiness: Steadiness::default(),
            fed_at: now,
            minute: now,
            supervisor: Supervisor::new(TABLE.iter().map(|worker| worker.terms)),
            ears: TABLE.iter().map(|_| Ear::new()).collect(),
            facts: Facts::default(),
            hostname: String::new(),
            shown: Status::default(),
            changed_at: None,
            in_use: None,
            end: None,
        })
    }

    /// Sets what holds for the whole machine.
    fn prepare(&mut self) {
        let release = fs::read_to_string(starts::RELEASE).unwrap_or_default();
        self.facts.status.release = release_line(&release);
        HOSTNAME.clone_into(&mut self.facts.status.hostname);
        "are looked for".clone_into(&mut self.facts.status.disks);
        "waits for its disk".clone_into(&mut self.facts.status.archive);
        self.follow_hostname();
        let steps: [(&str, io::Result<()>); 4] = [
            ("catch ctrl-alt-del", kernel::catch_ctrl_alt_del()),
            // So that who faces the network needs no right for the ports of mail and page.
            (
                "open low ports",
                fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "25"),
            ),
            // A setting of the kernel: a worker's crash leaves no image of its memory, which holds mail.
            (
                "switch off core dumps",
                fs::write("/proc/sys/kernel/core_pattern", ""),
            ),
            ("make folders", make_folders()),
        ];
        for (what, done) in steps {
            if let Err(error) = done {
                self.say(&format!("cannot {what}: {error}"));
            }
        }
    }

    /// Keeps workers alive until the machine is to end; tells how.
    fn supervise(&mut self) -> End {
        loop {
            // A fault in one turn must not take the machine down: what it was about is lost, the rest goes on.
            if catch_unwind(AssertUnwindSafe(|| self.turn())).is_err() {
                self.say("a fault in PID 1; it goes on");
            }
            if let Some(end) = self.end
                && self.supervisor.all_ended(Instant::now())
            {
                self.say("the end");
                return end;
            }
        }
    }

    fn turn(&mut self) {
        self.wait();
        self.hear();
        self.take_signals();
        self.look_at_devices();
        self.follow_facts();
        for deed in self.supervisor.tick(Instant::now()) {
            self.act(deed);
        }
        self.feed();
        self.show();
    }

    /// Waits until something happens or is due.
    fn wait(&self) {
        let due = self.supervisor.next_at().into_iter();
        let due = due.chain(self.changed_at.map(|at| at + SETTLES_IN)).min();
        let left = due.map_or(FEED_EVERY, |at| {
            at.saturating_duration_since(Instant::now())
        });
        // Rounded up: a turn that comes too early would do nothing and come again at once.
        let wait_ms = left.min(FEED_EVERY).as_millis() as u16 + 1;
        let pipes = self.ears.iter().flat_map(|ear| [&ear.reports, &ear.log]);
        let pipes = pipes.flatten().map(AsFd::as_fd);
        let all = pipes
            .chain(self.buttons.files())
            .chain(self.kernel_log.iter().map(AsFd::as_fd))
            .chain([self.signals.as_fd()]);
        let mut waiting: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let _ = poll(&mut waiting, PollTimeout::from(wait_ms)); // an interruption is a turn, too
    }

    /// Reads what workers and kernel have said.
    fn hear(&mut self) {
        for (place, worker) in TABLE.iter().enumerate() {
            for line in read(&mut self.ears[place].reports) {
                self.facts.take(worker.role, &line);
            }
            for line in read(&mut self.ears[place].log) {
                self.note(worker.terms.name, &line);
                if self.ears[place].console_lines > 0 {
                    self.ears[place].console_lines -= 1;
                    self.console.line(&format!("{}: {line}", worker.terms.name));
                }
            }
        }
        let messages = self.kernel_log.as_mut().map(KernelLog::read);
        for text in messages.unwrap_or_default() {
            self.note("kernel", &text);
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) => {} // below: several of them may have become one
                Ok(Signal::SIGUSR2 | Signal::SIGPWR) => self.begin_end(End::PowerOff),
                _ => self.begin_end(End::Restart), // SIGINT (Ctrl-Alt-Del), SIGTERM
            }
        }
        self.reap();
        if self.buttons.pressed() {
            self.begin_end(End::PowerOff);
        }
    }

    /// Takes note of every process that has ended, ours or an orphan.
    fn reap(&mut self) {
        loop {
            let (process, how) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(process, code)) => (process, format!("code {code}")),
                Ok(WaitStatus::Signaled(process, signal, _)) => (process, signal.to_string()),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            let ended = self
                .supervisor
                .ended(process.as_raw() as u32, Instant::now());
            if let Some(place) = ended {
                self.ended(&TABLE[place], &how);
            }
        }
    }

    fn ended(&mut self, worker: &Worker, how: &str) {
        if worker.role == Role::Archive {
            self.in_use = None;
        }
        self.facts.ended(worker.role);
        self.say(&format!("{} ended: {how}", worker.terms.name));
    }

    fn begin_end(&mut self, end: End) {
        if self.end.is_none() {
            self.say(match end {
                End::Restart => "restarts: ends its work first",
                End::PowerOff => "powers off: ends its work first",
            });
            self.end = Some(end);
            self.supervisor.end_all();
        }
    }

    /// New devices may be a button or the watchdog.
    fn look_at_devices(&mut self) {
        if !std::mem::take(&mut self.facts.device_came) {
            return;
        }
        self.buttons.look();
        if self.watchdog.is_none() {
            self.watchdog = Watchdog::open();
            if let Some(watchdog) = &self.watchdog {
                let text = format!("watchdog restarts after {} s", watchdog.timeout_s);
                self.say(&text);
            }
        }
    }

    /// Wants the workers that the facts ask for.
    fn follow_facts(&mut self) {
        if let Some(end) = self.facts.end.take() {
            self.begin_end(end);
        }
        self.note_claim();
        self.follow_hostname();
        self.write_notes();
        let other_place = self.in_use.is_some() && self.in_use.as_ref() != self.facts.places();
        for (place, worker) in TABLE.iter().enumerate() {
            let other_name = workers::tells_hostname(worker.role)
                && self.supervisor.has_process(place)
                && self.ears[place].hostname != self.hostname;
            let has_to_end = worker.role == Role::Archive && other_place || other_name;
            let waits = match worker.role {
                Role::Mail | Role::Page => !self.is_off(Role::Waiting),
                Role::Waiting => !self.is_off(Role::Mail) || !self.is_off(Role::Page),
                _ => false,
            };
            let wanted = self.facts.meets(worker.needs) && !has_to_end && !waits;
            self.supervisor.want(place, wanted);
        }
    }

    /// Those with doors want the same ports.
    fn is_off(&self, role: Role) -> bool {
        let place = TABLE.iter().position(|worker| worker.role == role);
        place.is_none_or(|place| !self.supervisor.has_process(place))
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Start(place) => self.start(place),
            Deed::Terminate(process) => signal(process, Signal::SIGTERM),
            Deed::Kill(process) => signal(process, Signal::SIGKILL),
        }
    }

    fn start(&mut self, place: usize) {
        let worker = &TABLE[place];
        let hostname = self.hostname.clone();
        let places = self.facts.places().cloned();
        let arguments =
            workers::arguments(worker.role, worker.terms.name, &hostname, places.as_ref());
        let started = workers::start(worker, &arguments).and_then(|started| {
            self.supervisor
                .started(place, started.process, Instant::now());
            self.ears[place].hostname = hostname;
            self.ears[place].reports = Some(Lines::new(started.reports)?);
            self.ears[place].log = Some(Lines::new(started.log)?);
            Ok(())
        });
        match started {
            Ok(()) if worker.role == Role::Archive => self.in_use = places,
            Ok(()) => {}
            Err(error) => {
                self.supervisor.failed(place, Instant::now());
                self.say(&format!("cannot start {}: {error}", worker.terms.name));
            }
        }
    }

    fn feed(&mut self) {
        let now = Instant::now();
        if now - self.minute >= Duration::from_secs(60) {
            self.minute = now;
            for ear in &mut self.ears {
                ear.console_lines = CONSOLE_LINES_MAX;
            }
        }
        if now - self.fed_at < FEED_EVERY {
            return;
        }
        self.fed_at = now;
        let uptime_s = self.started_at.elapsed().as_secs();
        if self
            .facts
            .trial_ends_s
            .take_if(|ends_s| uptime_s >= *ends_s)
            .is_some()
        {
            self.say("the trial of this version has come to no end");
            self.begin_end(End::Restart);
        }
        let is_vital = |name| TABLE.iter().any(|it| it.terms.name == name && it.is_vital);
        let all_there = !self.supervisor.missing().any(is_vital);
        if self.liveness.may_feed(all_there, now)
            && let Some(watchdog) = &mut self.watchdog
        {
            watchdog.feed();
        }
        let is_well = self.supervisor.missing().next().is_none() && self.facts.answers();
        if self.steadiness.take(is_well, now)
            && let Err(error) = fs::write(starts::WELL, "")
        {
            self.say(&format!("cannot note that all is well: {error}"));
        }
    }

    /// Whoever tells the host name to others is started again under a new one.
    fn follow_hostname(&mut self) {
        let hostname = self.facts.status.hostname.clone();
        if self.hostname == hostname {
            return;
        }
        if let Err(error) = nix::unistd::sethostname(&hostname) {
            self.say(&format!("cannot set the host name: {error}"));
        }
        self.hostname = hostname;
    }

    /// Passes on what a worker has said to those that read it in files, each as a whole.
    fn write_notes(&mut self) {
        for (file, value) in std::mem::take(&mut self.facts.notes) {
            let new = format!("{file}.new");
            let written = fs::write(&new, value).and_then(|()| fs::rename(&new, file));
            if let Err(error) = written {
                self.say(&format!("cannot write {file}: {error}"));
            }
        }
    }

    /// What others are told by a file, since they read nothing of PID 1.
    fn note_claim(&mut self) {
        if std::mem::take(&mut self.facts.was_claimed)
            && let Err(error) = fs::write(disks::CLAIMED, "")
        {
            self.say(&format!("cannot note that the box is claimed: {error}"));
        }
        if std::mem::take(&mut self.facts.was_reset) {
            let _ = fs::remove_file(disks::NEW_PASSWORD_FOR); // it was removed already
        }
    }

    /// Shows the status again when it has changed, all that changes in one go at once.
    fn show(&mut self) {
        if self.facts.status == self.shown {
            return;
        }
        let now = Instant::now();
        if now - *self.changed_at.get_or_insert(now) >= SETTLES_IN {
            self.changed_at = None;
            self.shown = self.facts.status.clone();
            for line in self.shown.lines() {
                self.console.line(&line);
            }
        }
    }

    /// Says something on the console and in the log.
    fn say(&mut self, text: &str) {
        self.console.line(&format!("coffer: {text}"));
        self.note("pid 1", text);
    }

    fn note(&mut self, who: &str, text: &str) {
        let at_ms = self.started_at.elapsed().as_millis() as u64;
        self.log.line(at_ms, who, text);
    }
}

/// Gives the lines that have come, and lets go of a pipe that has ended.
fn read(pipe: &mut Option<Lines>) -> Vec<String> {
    let Some(lines) = pipe else {
        return Vec::new();
    };
    match lines.read() {
        Some(lines) => lines,
        None => {
            *pipe = None;
            Vec::new()
        }
    }
}

fn signal(process: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(process as i32), signal); // it may have ended meanwhile
}

/// From here on these signals are read, and no longer end or interrupt anything. No thread runs yet that could take them away.
fn catch_signals() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGUSR2,
        Signal::SIGPWR,
    ] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&signals, flags)?)
}

/// Folders in which workers keep what others read, and the places for disks.
fn make_folders() -> io::Result<()> {
    fs::create_dir_all("/archive")?;
    fs::create_dir_all("/etc")?;
    for (name, user) in [
        ("logs", workers::LOGS_USER),
        ("network", workers::NETWORK_USER),
        ("waiting", workers::WAITING_USER),
        ("updates", workers::UPDATES_USER),
        ("keeper", workers::ARCHIVE_USER),
        ("mail", workers::MAIL_USER),
        ("page", workers::PAGE_USER),
    ] {
        let folder = Path::new("/run/coffer").join(name);
        fs::create_dir_all(&folder)?;
        std::os::unix::fs::chown(&folder, Some(user), Some(user))?;
    }
    let resolv = Path::new("/etc/resolv.conf");
    match std::os::unix::fs::symlink("/run/coffer/network/resolv.conf", resolv) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Version and board, out of `key=value` lines.
fn release_line(release: &str) -> String {
    let value = |key: &str| {
        let mut values = release.lines().filter_map(|line| line.split_once('='));
        values
            .find(|(name, _)| name.trim() == key)
            .map_or("", |(_, value)| value.trim())
            .to_owned()
    };
    format!("{} ({})", value("VERSION"), value("BOARD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_one_line() {
        let release = "VERSION=0.1.0\nBOARD=x86_64-uefi\nBUILD_TIME=1\n";
        assert_eq!(release_line(release), "0.1.0 (x86_64-uefi)");
        assert_eq!(release_line(""), " ()");
    }
}
