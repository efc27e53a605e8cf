//! The worker that holds the disks: finds them, opens and mounts archives, and makes new archive disks when somebody has confirmed it.
//!
//! It is the only process beside PID 1 that keeps all rights, so it does little: it opens no archive file but `identity`, in which it looks which
//! of two disks leads, and everything else that needs the disks of an archive is the keeper's.

mod recovery;
mod reset;
mod updates;

pub(crate) use updates::PLACE;
use updates::Search;

use crate::archive_disk::{self, ArchiveDiskError, Mounted};
use crate::block_devices::{self, DISKS, Disk};
use crate::content::Content;
use crate::disk_messages::{self as messages, Answer, Request};
use crate::guesses::Guesses;
use crate::kernel::{self, MountFlags};
use crate::network_settings::NetworkSettings;
use crate::network_trial::NetworkTrial;
use crate::recovery::{DAY, floor};
use crate::recovery_key::{new_claim_code, plain};
use crate::starts::RELEASE;
use crate::state_partition::StatePartition;
use crate::uevents::Uevents;
use crate::versions::OwnVersions;
use crate::{
    boot, claim_note, clock, log, network, network_settings, report, starts, time_keeper, workers,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use service::machine::{
    DiskSeen, DiskState, LogKind, MachineEnd, NetworkState, NetworkTexts, NewDisk, RecoveryReason,
    Refusal,
};
use std::cmp::Reverse;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use update::VersionNumber;
use update::gpt::{Guid, Partition};

/// 20 seconds from when the boot medium is found, for all disks that are known to come: slow ones spin up in half of it. Then the box goes on
/// without them.
const DISKS_PATIENCE: Duration = Duration::from_secs(20);

/// 15 seconds for a boot medium, which was there a moment ago; its driver may come late.
const MEDIUM_PATIENCE: Duration = Duration::from_secs(15);

/// A second between two looks while something is waited for, and a minute otherwise.
const LOOK_EVERY_MS: u16 = 1_000;
const IDLE_MS: u16 = 60_000;

/// 5 seconds for a page to say what it wants; nobody else is served meanwhile.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// Variables of the firmware, where the boot loader says what it was started from.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
const LOADER_PARTITION: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Where the archive's worker finds the claim code that the console shows.
pub(crate) const CLAIM_CODE: &str = "/run/coffer/claim-code";

/// Where the archive's worker finds who is to get a new password; PID 1 removes it when that was done.
pub(crate) const NEW_PASSWORD_FOR: &str = "/run/coffer/new-password-for";

/// PID 1 writes it when somebody has claimed the archive.
pub(crate) const CLAIMED: &str = "/run/coffer/claimed";

/// Where a disk would be that this box knows and that has not come: the keeper cannot reach it, and warns until it is there or another one is in its place.
const NOT_THERE: &str = "/archive/second-disk-not-there/data";

/// Holds the disks until it is asked to end.
///
/// # Errors
/// When the kernel's events cannot be heard or PID 1 cannot be told.
pub(crate) fn run() -> io::Result<()> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.thread_block()?;
    let ends = SignalFd::new(&ends)?;
    let uevents = Uevents::listen()?;
    let door = open_door()?;
    let mut disks = Disks::new();
    (disks.mounted, disks.mappings) = archive_disk::left_by_the_last_worker();
    loop {
        disks.look()?;
        let wait_ms = if disks.waits() {
            LOOK_EVERY_MS
        } else {
            IDLE_MS
        };
        let mut waiting = [uevents.as_fd(), door.as_fd(), ends.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let _ = poll(&mut waiting, PollTimeout::from(wait_ms)); // an interruption is a turn, too
        let [came, asked, ended] = waiting.map(|fd| fd.any().unwrap_or(false));
        if ended {
            disks.close();
            return Ok(());
        }
        if came
            && uevents
                .next()?
                .is_none_or(|event| event.value("SUBSYSTEM") == Some("block"))
        {
            disks.changed = true;
        }
        if asked && let Ok((stream, _)) = door.accept() {
            disks.serve(stream);
        }
    }
}

fn open_door() -> io::Result<UnixListener> {
    let _ = fs::remove_file(messages::SOCKET); // of a worker that died
    let door = UnixListener::bind(messages::SOCKET)?;
    // Who may ask is told by the kernel for each connection.
    fs::set_permissions(messages::SOCKET, fs::Permissions::from_mode(0o666))?;
    Ok(door)
}

/// All disks of the machine.
struct Disks {
    started_at: Instant,
    /// Something came or went since they were looked at.
    changed: bool,
    seen: Vec<(Disk, Content)>,
    /// Names of those that cannot be read.
    unreadable: Vec<Disk>,
    /// The boot medium's name, and its state partition.
    boot: Option<String>,
    state: Option<StatePartition>,
    /// When the medium was found; until then, when the worker started.
    waits_since: Instant,
    mounted: Vec<Mounted>,
    /// Disks that were tried and could not be opened in this boot, by name and UUID.
    failed: Vec<(String, String)>,
    /// How many mappings were made: each gets a name of its own.
    mappings: u32,
    /// What PID 1 was told last.
    told: Option<(String, String)>,
    trouble: Option<String>,
    /// The clock's floor when the machine started.
    floor_s: u64,
    /// Codes and keys that were wrong.
    guesses: Guesses,
    /// A change of the network that nobody has confirmed yet.
    network_trial: NetworkTrial,
    /// What was written to the boot medium for people, or was tried to.
    note: Option<String>,
    /// The versions on the boot medium, once it was found and read.
    versions: Option<OwnVersions>,
    search: Search,
    /// The version that somebody wants although its repository has expired.
    confirmed_stale: Option<VersionNumber>,
    /// Whether this start was counted in the state record.
    is_counted: bool,
    /// By when PID 1 was told that the trial ends.
    trial_told: Option<u64>,
    /// Whether some archive disk may lack the good version.
    follows: bool,
    /// Where updates are remembered.
    updates_place: Option<PathBuf>,
    /// Why this version is there to help out only.
    recovery: Option<RecoveryReason>,
    /// Since when the day runs that is to be counted.
    day_began: Instant,
}

impl Disks {
    fn new() -> Self {
        Self {
            started_at: Instant::now(),
            changed: true,
            seen: Vec::new(),
            unreadable: Vec::new(),
            boot: None,
            state: None,
            waits_since: Instant::now(),
            mounted: Vec::new(),
            failed: Vec::new(),
            mappings: 0,
            told: None,
            trouble: None,
            floor_s: 0,
            guesses: Guesses::default(),
            network_trial: NetworkTrial::default(),
            note: None,
            versions: None,
            search: Search::default(),
            confirmed_stale: None,
            is_counted: false,
            trial_told: None,
            follows: false,
            updates_place: None,
            recovery: None,
            day_began: Instant::now(),
        }
    }

    /// Takes note of what came or went, opens what can be opened, and tells PID 1.
    fn look(&mut self) -> io::Result<()> {
        self.tell_trial()?;
        if std::mem::take(&mut self.changed) {
            self.scan();
        }
        if self.state.is_none() {
            self.open_state()?;
        }
        self.open_known();
        self.keep_disk_set();
        self.keep_archive_id();
        self.raise_floor();
        self.keep_what_pid_1_says();
        self.look_after_versions()?;
        self.keep_note();
        if self.network_trial.expires(Instant::now()) {
            tracing::warn!(
                "nobody has confirmed the network's settings: those from before hold again"
            );
            self.hand_on_network(&self.kept_network())?;
        }
        self.tell()
    }

    /// Whether something is to come soon.
    fn waits(&self) -> bool {
        let is_network_on_trial = self.network_trial.pending(Instant::now()).is_some();
        let is_on_trial = is_network_on_trial || self.is_on_trial();
        self.next() == Next::Wait || self.changed || is_on_trial
    }

    fn scan(&mut self) {
        self.seen.clear();
        self.unreadable.clear();
        for disk in block_devices::list(Path::new(DISKS)) {
            match disk.content() {
                Ok(content) => self.seen.push((disk, content)),
                Err(error) => {
                    tracing::warn!(disk = disk.name, %error, "a disk cannot be read");
                    self.unreadable.push(disk);
                }
            }
        }
        let names: Vec<&str> = self
            .seen
            .iter()
            .map(|(disk, _)| disk.name.as_str())
            .collect();
        self.mounted.retain(|mounted| {
            let is_there = names.contains(&mounted.disk.as_str());
            if !is_there {
                tracing::error!(disk = mounted.disk, "an archive disk is gone");
            }
            is_there
        });
        self.failed
            .retain(|(disk, _)| names.contains(&disk.as_str()));
    }

    /// Opens the state partition of the boot medium.
    fn open_state(&mut self) -> io::Result<()> {
        let Some(place) =
            block_devices::boot_medium(&self.seen, loader_variable(LOADER_PARTITION).as_deref())
        else {
            return Ok(());
        };
        let (disk, content) = &self.seen[place];
        let is_archive = partition_of(content, Guid::ARCHIVE).is_some();
        if is_archive && self.waits_since.elapsed() < MEDIUM_PATIENCE {
            return Ok(()); // the medium with the keys may still come
        }
        let Some(device) = device_of(disk, content, Guid::STATE) else {
            return Ok(()); // the kernel does not show it yet
        };
        match StatePartition::open(Path::new(&device)) {
            Ok(state) => {
                self.boot = Some(disk.name.clone());
                self.state = Some(state);
                self.waits_since = Instant::now();
                self.begin_with_state()
            }
            Err(error) => {
                self.trouble = Some(format!("the state of the box cannot be read: {error}"));
                Ok(())
            }
        }
    }

    /// Hands on what others need from the state, and makes the claim code of a new box.
    fn begin_with_state(&mut self) -> io::Result<()> {
        if reset::is_chosen()? && self.note_reset()? {
            return Ok(());
        }
        let Some(state) = &mut self.state else {
            return Ok(());
        };
        if state.record().claim_code().is_none() {
            let code = new_claim_code()?;
            if let Err(error) = state.change(|record| record.set_claim_code(&code)) {
                self.trouble = Some(format!("the boot medium cannot be written: {error}"));
            }
        }
        if let Err(error) = count_start(state) {
            self.trouble = Some(format!("the boot medium cannot be written: {error}"));
            tracing::error!(%error, "this start cannot be counted");
        } else {
            self.is_counted = true;
        }
        if let Err(error) = self.reset_if_asked() {
            tracing::error!(%error, "a reset that was asked for on the boot medium cannot be done");
        }
        let Some(state) = &self.state else {
            return Ok(());
        };
        let record = state.record();
        self.floor_s = record.clock_floor_s();
        self.recovery = self.reason_for_recovery(floor(record));
        fs::write(time_keeper::FLOOR, record.clock_floor_s().to_string())?;
        let code = record.claim_code().unwrap_or_default().to_owned();
        write_for_archive(CLAIM_CODE, &code)?;
        report::say("claim code", &code)?;
        self.hand_on_network(&self.kept_network())
    }

    /// What is kept of the network's settings.
    fn kept_network(&self) -> NetworkTexts {
        let state = self.state.as_ref();
        let lines = state.map_or("", |state| state.record().network());
        network_settings::texts(lines)
    }

    /// Tells the network's worker and PID 1 what holds now; what cannot be read holds as if nothing was set.
    fn hand_on_network(&self, texts: &NetworkTexts) -> io::Result<()> {
        let settings = NetworkSettings::read(texts).unwrap_or_default();
        fs::write(network::SETTINGS, network_settings::lines(texts))?;
        report::say("hostname", &settings.hostname)
    }

    fn network(&self) -> NetworkState {
        let pending = self.network_trial.pending(Instant::now());
        let addresses = network::addresses().unwrap_or_default();
        NetworkState {
            texts: pending.map_or_else(|| self.kept_network(), |(texts, _)| texts.clone()),
            unconfirmed_s: pending.map(|(_, left_s)| left_s),
            addresses: addresses.iter().map(IpAddr::to_string).collect(),
        }
    }

    /// Sets the network on trial; only the page of an open archive knows who may.
    fn set_network(&mut self, wanted: NetworkTexts, user: u32) -> Result<Answer, Refusal> {
        only_the_page(user)?;
        NetworkSettings::read(&wanted).map_err(Refusal::WrongNetwork)?;
        let handed_on = self.hand_on_network(&wanted);
        handed_on.map_err(|error| Refusal::Failed(error.to_string()))?;
        self.network_trial.begin(wanted, Instant::now());
        Ok(Answer::Done)
    }

    fn confirm_network(&mut self, user: u32) -> Result<Answer, Refusal> {
        only_the_page(user)?;
        let state = self.state.as_mut().ok_or(Refusal::NoBootMedium)?;
        let confirmed = self.network_trial.confirm(Instant::now());
        let lines = network_settings::lines(&confirmed.ok_or(Refusal::NothingToConfirm)?);
        state
            .change(|record| record.set_network(&lines))
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        Ok(Answer::Done)
    }

    /// Opens every archive whose key is known.
    fn open_known(&mut self) {
        let keys = self.state.as_ref().map(|state| state.record().disk_keys());
        let keys = keys.filter(|_| self.recovery.is_none());
        for key in keys.unwrap_or_default() {
            self.open_with(&key.key, |uuid| {
                archive_disk::uuid_bytes(uuid) == Some(key.disk)
            });
        }
    }

    /// Opens the archives that are chosen, with one key; gives their UUIDs.
    fn open_with(&mut self, key: &[u8], chosen: impl Fn(&str) -> bool) -> Vec<String> {
        self.recovery = self.recovery.take().or_else(|| self.too_old_for_a_disk());
        if self.recovery.is_some() {
            return Vec::new();
        }
        let archives = self.seen.iter().filter_map(|(disk, content)| {
            let (device, uuid) = archive_disk::archive_on(disk, content)?;
            Some((disk.name.clone(), device, uuid))
        });
        let mut opened = Vec::new();
        for (disk, device, uuid) in archives.collect::<Vec<_>>() {
            let is_known = self.mounted.iter().any(|it| it.uuid == uuid);
            let has_failed = self.failed.iter().any(|it| it.0 == disk && it.1 == uuid);
            if is_known || has_failed || !chosen(&uuid) {
                continue;
            }
            self.mappings += 1;
            match archive_disk::open(&disk, &device, &uuid, key, self.mappings) {
                Ok(mounted) => {
                    self.mounted.push(mounted);
                    opened.push(uuid);
                }
                Err(error) => {
                    tracing::error!(disk, %error, "an archive disk cannot be opened");
                    self.trouble = Some(format!("the archive on {disk} cannot be opened: {error}"));
                    self.failed.push((disk, uuid));
                }
            }
        }
        opened
    }

    /// What to do about the archive now.
    fn next(&self) -> Next {
        if self.recovery.is_some() {
            return Next::Settle;
        }
        next(
            self.expected(),
            self.mounted.len(),
            self.waits_since.elapsed(),
        )
    }

    /// Tells PID 1 where the archive is, once that is settled and whenever it changes.
    fn tell(&mut self) -> io::Result<()> {
        let was_there = self.told.as_ref().is_some_and(|told| !told.0.is_empty());
        if self.next() == Next::Wait && !was_there {
            return Ok(());
        }
        let told = (self.places(), self.state_text());
        if self.told.as_ref() != Some(&told) {
            report::say("archive", &told.0)?;
            report::say("disks", &told.1)?;
            self.told = Some(told);
        }
        Ok(())
    }

    /// Data directories, the one that leads first; a second one that is not there where this box knows more disks than have come.
    fn places(&self) -> String {
        let places = self.open_places();
        let is_one = !places.is_empty() && !places.contains(' ');
        if is_one && self.expected() > Some(1) {
            format!("{places} {NOT_THERE}")
        } else {
            places
        }
    }

    /// How many disks belong together; none while the boot medium is not found.
    fn expected(&self) -> Option<usize> {
        let state = self.state.as_ref()?;
        Some(state.record().disk_set().len())
    }

    /// Keeps which disks belong together: one that is new takes the place of whatever is not there.
    fn keep_disk_set(&mut self) {
        let Some(state) = &mut self.state else { return };
        let open = self.mounted.iter();
        let open: Vec<_> = open
            .filter_map(|it| archive_disk::uuid_bytes(&it.uuid))
            .collect();
        let known = state.record().disk_set();
        if open.iter().all(|disk| known.contains(disk)) {
            return;
        }
        if let Err(error) = state.change(|record| record.set_disk_set(&open)) {
            self.trouble = Some(format!("the boot medium cannot be written: {error}"));
        }
    }

    fn open_places(&self) -> String {
        let state = self.state.as_ref();
        let ours = state.and_then(|state| state.record().archive());
        let candidates = self.mounted.iter().map(|mounted| {
            let disk = self.seen.iter().find(|(disk, _)| disk.name == mounted.disk);
            Candidate {
                data: mounted.data(),
                identity: Identity::of(&mounted.data()),
                bytes: disk.map_or(0, |(disk, _)| disk.bytes),
            }
        });
        let before = self.told.as_ref().map_or("", |told| told.0.as_str());
        order(candidates.collect(), ours, before)
    }

    /// The first archive that is opened is the one of this box.
    fn keep_archive_id(&mut self) {
        let Some(state) = &mut self.state else { return };
        if state.record().archive().is_some() {
            return;
        }
        let archives = self.mounted.iter();
        let mut ids = archives.filter_map(|it| Identity::of(&it.data()).archive);
        if let Some(id) = ids.next()
            && let Err(error) = state.change(|record| record.set_archive(id))
        {
            self.trouble = Some(format!("the boot medium cannot be written: {error}"));
        }
    }

    /// The clock's floor follows time that two servers agree on, an hour at a time, to spare the boot medium.
    fn raise_floor(&mut self) {
        const STEP_S: u64 = 3600;
        let (Some(state), Some((_, true))) = (
            &mut self.state,
            time_keeper::state(Path::new(time_keeper::CLOCK)),
        ) else {
            return;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now.map_or(0, |since| since.as_secs());
        let uptime_s = self.started_at.elapsed().as_secs();
        let raised_s = clock::raised_floor_s(self.floor_s, now_s, uptime_s);
        if raised_s > state.record().clock_floor_s() + STEP_S
            && let Err(error) = state.change(|record| record.set_clock_floor_s(raised_s))
        {
            tracing::warn!(%error, "the clock's floor cannot be kept");
        }
    }

    /// Keeps what PID 1 has said in files: that the machine is well, and that somebody has claimed the archive.
    fn keep_what_pid_1_says(&mut self) {
        let Some(state) = &mut self.state else { return };
        let is_well = Path::new(starts::WELL).exists();
        let is_claimed = Path::new(CLAIMED).exists();
        let version = starts::running_version(Path::new(RELEASE)).unwrap_or_default();
        let kept = state.change(|record| {
            if is_well {
                starts::went_well(record, &version);
            }
            if is_claimed {
                record.set_claimed();
            }
        });
        if let Err(error) = kept {
            tracing::error!(%error, "the boot medium cannot be written");
        }
    }

    /// Keeps the note on the boot medium true; one that cannot be written stays as it is.
    fn keep_note(&mut self) {
        let (Some(state), Some((device, _))) = (&self.state, self.boot_partition()) else {
            return;
        };
        let record = state.record();
        let settings = NetworkSettings::read(&self.kept_network()).unwrap_or_default();
        let code = record.claim_code().filter(|_| !record.is_claimed());
        let note = claim_note::text(&settings.hostname, code);
        if self.note.as_ref() == Some(&note) {
            return;
        }
        if let Err(error) = claim_note::write(Path::new(&device), &note) {
            tracing::warn!(%error, "the note on the boot medium cannot be written");
        }
        self.note = Some(note);
    }

    fn state_text(&self) -> String {
        let archives = self
            .seen
            .iter()
            .filter(|(disk, content)| archive_disk::archive_on(disk, content).is_some());
        if let Some(why) = &self.recovery {
            return self.recovery_text(why);
        }
        let text = match (self.mounted.len(), archives.count()) {
            (0, 0) => "no archive disk: choose one on the page",
            (0, _) => "locked: the page asks for the recovery key",
            (1, 1) => "one archive disk",
            (1, _) => "one archive disk; another one is locked",
            _ => "two archive disks",
        };
        match &self.trouble {
            None => text.to_owned(),
            Some(trouble) => format!("{text} ({trouble})"),
        }
    }

    /// Unmounts everything.
    fn close(&mut self) {
        for mounted in self.mounted.drain(..) {
            if let Err(error) = mounted.close() {
                tracing::warn!(disk = mounted.disk, %error, "an archive disk cannot be closed");
            }
        }
    }

    fn serve(&mut self, mut stream: UnixStream) {
        let served = (|| {
            stream.set_read_timeout(Some(REQUEST_PATIENCE))?;
            stream.set_write_timeout(Some(REQUEST_PATIENCE))?;
            let user = getsockopt(&stream, PeerCredentials)?.uid();
            let known = [
                0,
                workers::PAGE_USER,
                workers::WAITING_USER,
                workers::UPDATES_USER,
            ];
            if !known.contains(&user) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let answer = self.answer(messages::read(&mut stream)?, user);
            messages::write(&mut stream, &answer)
        })();
        if let Err(error) = served {
            tracing::warn!(%error, "a question about disks was not answered");
        }
    }

    fn answer(&mut self, request: Request, user: u32) -> Answer {
        let done = match request {
            Request::Disks => Ok(Answer::Disks(self.list())),
            Request::Format(_) | Request::Unlock { .. } if self.recovery.is_some() => {
                let why = "this version is there to help out only".to_owned();
                Err(Refusal::Failed(why))
            }
            Request::Format(wanted) => self.format(&wanted, user),
            Request::End(how) => end(how, user),
            Request::Network => Ok(Answer::Network(self.network())),
            Request::SetNetwork(wanted) => self.set_network(wanted, user),
            Request::ConfirmNetwork => self.confirm_network(user),
            Request::Log(kind, offset) => self.log(kind, offset, user),
            Request::Unlock { recovery_key } => self.unlock(&recovery_key),
            Request::Versions => Ok(self.tell_versions()),
            Request::Install(version) => self.install(version, user),
            Request::Settled => self.settle(user),
            Request::GoBack => self.go_back(user),
            Request::TakeStick => self.take_stick(user),
            Request::Recovery => Ok(Answer::Recovery(self.recovery_seen())),
            Request::Recover { code, deed } => self.recover(&code, deed, user),
            Request::ConfirmStale(version) => self.confirm_stale(version, user),
            Request::StartNew => {
                updates::only(user, workers::UPDATES_USER).and_then(|()| updates::start_new())
            }
        };
        done.unwrap_or_else(Answer::Refused)
    }

    /// A piece of a log; only the page of an open archive knows who may see it.
    fn log(&self, kind: LogKind, offset: u64, user: u32) -> Result<Answer, Refusal> {
        self.only_people(user)?;
        let folder = match kind {
            LogKind::SinceStart => boot::LOG.to_owned(),
            // It is on the disk that leads.
            LogKind::Kept => {
                let places = self.places();
                let leads = places.split(' ').next();
                let led = self
                    .mounted
                    .iter()
                    .find(|it| Some(it.data().as_str()) == leads);
                led.map(Mounted::log).unwrap_or_default()
            }
        };
        log::piece(Path::new(&folder), offset, messages::LOG_PIECE_BYTES)
            .map(Answer::Log)
            .map_err(|error| Refusal::Failed(error.to_string()))
    }

    fn list(&self) -> Vec<DiskSeen> {
        let readable = self.seen.iter().map(|(disk, content)| {
            let state = self.state_of(disk, content);
            seen(disk, state)
        });
        let unreadable = self.unreadable.iter();
        let unreadable = unreadable.map(|disk| seen(disk, DiskState::Unreadable));
        readable.chain(unreadable).collect()
    }

    fn state_of(&self, disk: &Disk, content: &Content) -> DiskState {
        let is_in_use = self.mounted.iter().any(|mounted| mounted.disk == disk.name);
        match content {
            _ if is_in_use => DiskState::InUse,
            // The box may have been started from it, for want of its medium.
            content if partition_of(content, Guid::ARCHIVE).is_some() => DiskState::Locked,
            _ if self.boot.as_ref() == Some(&disk.name) => DiskState::BootMedium,
            Content::Blank => DiskState::Blank,
            Content::Foreign(found) => DiskState::Foreign(found.clone()),
            Content::Coffer(_) => DiskState::Locked,
        }
    }

    fn format(&mut self, wanted: &NewDisk, user: u32) -> Result<Answer, Refusal> {
        // The page of an open archive has asked who may do this.
        if user != workers::PAGE_USER {
            self.check_claim_code(&wanted.claim_code)?;
        }
        self.scan(); // what is on it now is what counts
        let position = self
            .seen
            .iter()
            .position(|(disk, _)| disk.name == wanted.name);
        let (disk, content) = self.seen[position.ok_or(Refusal::NotThisDisk)?].clone();
        if !self.state_of(&disk, &content).may_be_formatted() {
            return Err(Refusal::NotThisDisk);
        }
        if wanted.confirmation.trim() != disk.confirmation() {
            return Err(Refusal::WrongConfirmation);
        }
        if self.is_medium_an_archive() {
            return Err(Refusal::NoBootMedium);
        }
        tracing::warn!(
            disk = disk.name,
            serial = disk.serial,
            "a disk is formatted"
        );
        let sectors_max = self.archive_sectors().unwrap_or(u64::MAX);
        let boot = self.boot_partition();
        let boot = boot
            .as_ref()
            .map(|(device, sectors)| (device.as_str(), *sectors));
        let state = self.state.as_mut().ok_or(Refusal::NoBootMedium)?;
        // With no archive open the disk begins another one.
        let is_first = self.mounted.is_empty();
        let keep = |key: &_| {
            state.change(|record| {
                record.set_disk_key(key);
                if is_first {
                    record.forget_archive();
                }
            })
        };
        let made = archive_disk::make(&disk, boot, sectors_max, keep);
        self.changed = true;
        match made {
            Ok(recovery_key) => Ok(Answer::Formatted { recovery_key }),
            Err(error) => Err(Refusal::Failed(chain(&error))),
        }
    }

    fn check_claim_code(&mut self, typed: &str) -> Result<(), Refusal> {
        let state = self.state.as_ref().ok_or(Refusal::NoBootMedium)?;
        let now = Instant::now();
        self.guesses.allow(now)?;
        let expected = state.record().claim_code().map(plain);
        if expected.is_some_and(|expected| expected == plain(typed)) {
            return Ok(());
        }
        self.guesses.was_wrong(now);
        Err(Refusal::WrongClaimCode)
    }

    /// Length of the shortest archive that is open.
    fn archive_sectors(&self) -> Option<u64> {
        let is_open = |disk: &Disk| self.mounted.iter().any(|it| it.disk == disk.name);
        let open = self.seen.iter().filter(|(disk, _)| is_open(disk));
        let archives = open.filter_map(|(_, content)| partition_of(content, Guid::ARCHIVE));
        archives.map(|partition| partition.sectors).min()
    }

    /// Device and length of the EFI partition that the box was started from.
    fn boot_partition(&self) -> Option<(String, u64)> {
        let boot = self.boot.as_ref()?;
        let (disk, content) = self.seen.iter().find(|(disk, _)| disk.name == *boot)?;
        let partition = partition_of(content, Guid::EFI)?;
        Some((disk.partition_device(partition)?, partition.sectors))
    }

    fn unlock(&mut self, recovery_key: &str) -> Result<Answer, Refusal> {
        self.guesses.allow(Instant::now())?;
        self.scan();
        self.failed.clear();
        let recovery = plain(recovery_key);
        let opened = self.open_with(recovery.as_bytes(), |_| true);
        if let Some(why) = &self.recovery {
            return Err(Refusal::Failed(self.recovery_text(why)));
        }
        if opened.is_empty() {
            self.trouble = None; // a mistyped key is none
            self.failed.clear();
            self.guesses.was_wrong(Instant::now());
            return Err(Refusal::WrongRecoveryKey);
        }
        for uuid in &opened {
            if let Err(error) = self.keep_new_key(uuid, &recovery) {
                tracing::error!(%error, "the disk will ask for its recovery key again");
            }
        }
        Ok(Answer::Unlocked(opened.len()))
    }

    /// Whether the box was started from an archive disk: a key on it would open it for whoever finds it.
    fn is_medium_an_archive(&self) -> bool {
        let mut contents = self.seen.iter();
        contents.any(|(disk, content)| {
            self.boot.as_ref() == Some(&disk.name) && partition_of(content, Guid::ARCHIVE).is_some()
        })
    }

    /// Gives a disk that was opened by its recovery key a key that this box keeps.
    fn keep_new_key(&mut self, uuid: &str, recovery: &str) -> Result<(), ArchiveDiskError> {
        let found = self.seen.iter().find_map(|(disk, content)| {
            let (device, found) = archive_disk::archive_on(disk, content)?;
            (found == uuid).then_some(device)
        });
        let (Some(device), false) = (found, self.is_medium_an_archive()) else {
            return Ok(());
        };
        let Some(state) = &mut self.state else {
            return Ok(());
        };
        let key = archive_disk::add_new_key(&device, uuid, recovery)?;
        state
            .change(|record| record.set_disk_key(&key))
            .map_err(archive_disk::io("keep the key of the disk"))
    }
}

/// Writes what only the archive's worker may read.
fn write_for_archive(path: &str, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    chown(path, Some(workers::ARCHIVE_USER), Some(0))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o400))
}

/// Counts this start, durably; what could not be kept is counted by the next worker.
fn count_start(state: &mut StatePartition) -> io::Result<()> {
    let version = starts::running_version(Path::new(RELEASE))?;
    let mut counted = Ok(0);
    let kept = state.change(|record| {
        counted = starts::count(record, &version, Path::new(starts::COUNTED));
    });
    if kept.is_err() {
        let _ = fs::remove_file(starts::COUNTED); // no worker has made it then
    }
    kept?;
    let count = counted?;
    if count > 1 {
        tracing::warn!(version, count, "starts in a row that did not go well");
    }
    Ok(())
}

/// Tells PID 1 that somebody wants the machine to end; only the page of an open archive knows who may.
fn end(how: MachineEnd, user: u32) -> Result<Answer, Refusal> {
    only_the_page(user)?;
    let how = match how {
        MachineEnd::Restart => "restart",
        MachineEnd::PowerOff => "power off",
    };
    report::say("end", how).map_err(|error| Refusal::Failed(error.to_string()))?;
    Ok(Answer::Done)
}

/// Whoever asks without an archive is not signed in.
fn only_the_page(user: u32) -> Result<(), Refusal> {
    match user {
        workers::PAGE_USER => Ok(()),
        _ => Err(Refusal::Failed("nobody is signed in".to_owned())),
    }
}

/// What to do about the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Some disks may still come.
    Wait,
    /// Go on with what is there.
    Settle,
}

/// Decides by the number of disks that belong together (none while the boot medium is not found), of archives that are open, and the time
/// since the start or since the medium was found.
fn next(expected: Option<usize>, open: usize, waited: Duration) -> Next {
    let is_settled = match expected {
        None => waited >= MEDIUM_PATIENCE,
        Some(expected) => open >= expected || waited >= DISKS_PATIENCE,
    };
    if is_settled { Next::Settle } else { Next::Wait }
}

/// An archive that is mounted.
#[derive(Clone, Debug)]
struct Candidate {
    data: String,
    identity: Identity,
    /// Length of its disk.
    bytes: u64,
}

/// Gives the data directories of this box's archive, two at most, the one that leads first: who has led goes on leading, so that a copy that
/// comes or goes moves nobody; else the one with the higher epoch; of two in step the smaller disk, since a larger one takes all that it holds,
/// but not the other way round. Until the box has kept which archive is its own, that is the first one, which may have come to be just now.
fn order(mut candidates: Vec<Candidate>, ours: Option<[u8; 16]>, before: &str) -> String {
    let leads = before.split(' ').next().unwrap_or_default();
    let ours = ours.or_else(|| candidates.iter().find_map(|it| it.identity.archive));
    candidates.retain(|it| it.identity.archive.is_none() || it.identity.archive == ours);
    candidates.sort_by_key(|it| (it.data != leads, Reverse(it.identity.epoch), it.bytes));
    candidates.truncate(2);
    let data: Vec<_> = candidates.into_iter().map(|it| it.data).collect();
    // The keeper knows itself that its copy is gone.
    let only_the_copy_went = data.len() == 1 && data[0] == leads;
    if only_the_copy_went {
        before.to_owned()
    } else {
        data.join(" ")
    }
}

/// What an archive's `identity` says (firmware/store/FORMAT.md); nothing where there is no archive yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Identity {
    archive: Option<[u8; 16]>,
    /// Of two disks of one archive the one with the higher epoch leads.
    epoch: u64,
}

impl Identity {
    fn of(data: &str) -> Self {
        Self::parse(&fs::read_to_string(format!("{data}/identity")).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        Self {
            archive: value("archive: ").and_then(archive_disk::uuid_bytes),
            epoch: value("epoch: ")
                .and_then(|epoch| epoch.parse().ok())
                .unwrap_or(0),
        }
    }
}

fn partition_of(content: &Content, kind: Guid) -> Option<&Partition> {
    match content {
        Content::Coffer(table) => table.partitions.iter().find(|it| it.kind == kind),
        Content::Blank | Content::Foreign(_) => None,
    }
}

fn device_of(disk: &Disk, content: &Content, kind: Guid) -> Option<String> {
    disk.partition_device(partition_of(content, kind)?)
}

fn seen(disk: &Disk, state: DiskState) -> DiskSeen {
    DiskSeen {
        name: disk.name.clone(),
        model: disk.model.clone(),
        serial: disk.serial.clone(),
        bytes: disk.bytes,
        state,
        confirmation: disk.confirmation().to_owned(),
    }
}

/// What the boot loader said of itself; none on a machine without EFI variables.
fn loader_variable(name: &str) -> Option<String> {
    let path = Path::new(VARIABLES).join(name);
    if !path.exists() {
        let options = MountFlags::READ_ONLY;
        kernel::mount("efivarfs", VARIABLES, "efivarfs", options, "").ok()?;
    }
    variable_text(&fs::read(path).ok()?)
}

/// A variable is 4 bytes of attributes and UTF-16 that ends with a zero.
fn variable_text(bytes: &[u8]) -> Option<String> {
    let (units, _) = bytes.get(4..)?.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    String::from_utf16(&units.take_while(|unit| *unit != 0).collect::<Vec<_>>()).ok()
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", chain(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_disks_are_waited_for_and_others_are_not() {
        for (keys, open, seconds, expected) in [
            (None, 0, 0, Next::Wait),
            (None, 0, 15, Next::Settle),
            (Some(0), 0, 0, Next::Settle),
            (Some(1), 1, 0, Next::Settle),
            (Some(2), 1, 19, Next::Wait),
            (Some(2), 1, 20, Next::Settle),
            (Some(2), 2, 1, Next::Settle),
            (Some(1), 0, 20, Next::Settle),
        ] {
            let found = next(keys, open, Duration::from_secs(seconds));
            assert_eq!(found, expected, "{keys:?} {open} {seconds}");
        }
    }

    #[test]
    fn archive_and_epoch_are_lines_of_the_identity() {
        let archive = "archive: 000102030405060708090a0b0c0d0e0f";
        let id = std::array::from_fn(|at| at as u8);
        for (text, archive, epoch) in [
            (
                format!("coffer-identity: 1\n{archive}\nepoch: 17\nmembers: aa\n"),
                Some(id),
                17,
            ),
            ("archive: 00\nepoch: x\n".to_owned(), None, 0),
            (String::new(), None, 0),
        ] {
            assert_eq!(Identity::parse(&text), Identity { archive, epoch });
        }
    }

    #[test]
    fn who_has_led_leads_on_and_else_the_epoch_and_the_smaller_disk_decide() {
        let check_with = |ours, disks: &[(&str, u8, u64, u64)], before: &str, expected: &str| {
            let candidates = disks.iter().map(|(data, archive, epoch, bytes)| Candidate {
                data: (*data).to_owned(),
                identity: Identity {
                    archive: (*archive > 0).then_some([*archive; 16]),
                    epoch: *epoch,
                },
                bytes: *bytes,
            });
            let order = order(candidates.collect(), ours, before);
            assert_eq!(order, expected, "{disks:?} after {before:?}");
        };
        let check =
            |disks: &[_], before, expected| check_with(Some([1; 16]), disks, before, expected);
        check(&[], "", "");
        check(&[("/a", 1, 3, 10), ("/b", 1, 4, 20)], "", "/b /a");
        check(&[("/a", 1, 3, 20), ("/b", 1, 3, 10)], "", "/b /a");
        check(&[("/a", 1, 3, 20), ("/b", 1, 4, 10)], "/a", "/a /b");
        check(&[("/a", 1, 3, 20), ("/new", 0, 0, 10)], "/a", "/a /new");
        check(&[("/a", 1, 3, 20)], "/a /b", "/a /b");
        check(&[("/b", 1, 3, 20)], "/a /b", "/b");
        check(&[("/a", 1, 3, 20), ("/other", 2, 9, 10)], "", "/a");
        let three = [("/a", 1, 3, 20), ("/b", 1, 3, 20), ("/c", 0, 0, 20)];
        check(&three, "/a /b", "/a /b");
        // A new box: the archive's worker has just made the archive.
        check_with(None, &[("/a", 1, 1, 10)], "/a", "/a");
        check_with(None, &[("/a", 1, 1, 10), ("/b", 2, 9, 10)], "", "/a");
    }

    #[test]
    fn the_loader_s_variable_is_text() {
        let mut bytes = vec![6, 0, 0, 0];
        for unit in "0A-b".encode_utf16().chain([0, 7]) {
            bytes.extend_from_slice(&unit.to_le_bytes());
        }
        assert_eq!(variable_text(&bytes).as_deref(), Some("0A-b"));
        assert_eq!(variable_text(&[1, 2]), None);
    }
}
