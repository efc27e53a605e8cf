//! What the disks' worker does about versions: the trial of the one that runs, installing what was fetched, going back, and bringing the good one to every
//! archive disk, one at a time.
//!
//! It believes the updates' worker nothing: what is installed is what the metadata vouch for that it follows itself, from its own root on (`second_check`).

use super::{Disks, Guid, Next, device_of, loader_variable};
use crate::content::Content;
use crate::disk_messages::Answer;
use crate::state_partition::StatePartition;
use crate::state_record::StateRecord;
use crate::update_record::{Standing, USUAL_TERMS};
use crate::versions::{OwnVersions, PROOFS, Round, Seen};
use crate::{recovery, report, starts, stick, updates, workers};
use nix::fcntl::OFlag;
use nix::time::{ClockId, clock_gettime};
use service::machine::Refusal;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use update::choose::Offer;
use update::error::chain;
use update::folder::MetadataFolder;
use update::second_check::{self, HandedOver};
use update::{KeyTypes, Limits, Options, Stale, Time, VersionNumber};

/// The entry that the boot loader started.
pub(super) const LOADER_ENTRY: &str = "LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// There when the boot loader has counted this start: the version is on trial.
const LOADER_COUNTS: &str = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Names this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The metadata that this worker trusts itself: beside the folder of the updates' worker on the archive disk, or in memory.
const TRUSTED: &str = "updates-trusted";
const TRUSTED_IN_MEMORY: &str = "/run/coffer/updates-trusted";

/// Says where updates are remembered, while an archive is open.
pub(crate) const PLACE: &str = "/run/coffer/updates-place";

/// 10 seconds at least between two looks for the versions: a medium that is slow to fail is not asked all the time.
const SEEK_EVERY: Duration = Duration::from_secs(10);

/// The search for the versions on the boot medium, which may be read later when it could not be read at first.
#[derive(Debug, Default)]
pub(super) struct Search {
    again_at: Option<Instant>,
    told: String,
}

impl Search {
    fn is_due(&self, now: Instant) -> bool {
        self.again_at.is_none_or(|at| at <= now)
    }

    /// Takes note of a failure; tells whether it is another one than before.
    fn failed(&mut self, error: &str, now: Instant) -> bool {
        self.again_at = Some(now + SEEK_EVERY);
        let is_news = self.told != error;
        error.clone_into(&mut self.told);
        is_news
    }
}

impl Disks {
    /// Does what is due about versions.
    pub(super) fn look_after_versions(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if self.versions.is_none()
            && self.state.is_some()
            && self.search.is_due(now)
            && let Err(error) = self.find_versions()
            && self.search.failed(&error, now)
        {
            tracing::error!(error, "the versions of this box cannot be told");
        }
        self.keep_place();
        let round = self.round();
        match round {
            Ok(Round::Quiet) => Ok(()),
            Ok(Round::Good) => {
                self.follows = true;
                Ok(())
            }
            Ok(Round::StartAgain) => report::say("end", "restart"),
            Err(error) => {
                tracing::error!(error, "the trial of this version cannot go on");
                Ok(())
            }
        }?;
        self.tell_trial()?;
        self.count_days();
        self.follow_one();
        Ok(())
    }

    /// Whether somebody has to look again soon.
    pub(super) fn is_on_trial(&self) -> bool {
        self.versions.as_ref().is_some_and(OwnVersions::is_on_trial)
    }

    /// Tells PID 1 by when a trial has ended: should this worker hang before that, the machine starts again all the same. Until the versions are found
    /// the boot loader is asked whether there is a trial.
    pub(super) fn tell_trial(&mut self) -> io::Result<()> {
        let ends_s = match &self.versions {
            Some(versions) => versions.trial_ends_s(),
            None => loader_variable(LOADER_COUNTS).map(|_| USUAL_TERMS.patience_s),
        };
        if self.trial_told != ends_s {
            let ends_s = ends_s.map(|ends_s| ends_s.to_string());
            report::say("trial", &ends_s.unwrap_or_default())?;
        }
        self.trial_told = ends_s;
        Ok(())
    }

    fn find_versions(&mut self) -> Result<(), String> {
        let Some((device, _)) = self.boot_partition() else {
            return Err("the boot medium has no EFI partition".to_owned());
        };
        let text = |error: io::Error| error.to_string();
        let release = starts::running_version(Path::new(super::RELEASE)).map_err(text)?;
        let number = release
            .parse()
            .map_err(|_| format!("no version: {release}"))?;
        let boot = fs::read_to_string(BOOT_ID).map_err(text)?;
        let selected = loader_variable(LOADER_ENTRY);
        let device = PathBuf::from(device);
        let boot = boot.trim().to_owned();
        let mut versions = OwnVersions::find(device, selected.as_deref(), number, boot)
            .map_err(|error| chain(&error))?;
        let begun = match &self.state {
            Some(state) if self.recovery.is_none() => {
                let is_counted = self.is_counted || loader_variable(LOADER_COUNTS).is_some();
                versions.begin(state.record(), is_counted)
            }
            _ => Ok(Round::Quiet),
        };
        self.follows = !versions.is_on_trial() && self.recovery.is_none();
        self.versions = Some(versions);
        match begun {
            Ok(Round::StartAgain) => report::say("end", "restart").map_err(text),
            Ok(_) => self.note_good().map_err(text),
            Err(error) => Err(chain(&error)),
        }
    }

    /// A box that never updated runs a good version from the beginning.
    fn note_good(&mut self) -> io::Result<()> {
        let (Some(versions), Some(state)) = (&self.versions, &mut self.state) else {
            return Ok(());
        };
        let is_good = versions.is_good(state.record());
        if self.recovery.is_some() || !is_good.map_err(io::Error::other)? {
            return Ok(());
        }
        let number = versions.number().to_string();
        state.change(|record| record.set_good_version(&number))
    }

    fn round(&mut self) -> Result<Round, String> {
        let seen = self.seen_now();
        let (Some(versions), Some(state)) = (&mut self.versions, &mut self.state) else {
            return Ok(Round::Quiet);
        };
        if !versions.is_on_trial() {
            return Ok(Round::Quiet);
        }
        let said = fs::read_to_string(PROOFS).ok();
        let _ = fs::remove_file(PROOFS); // one word is one round
        let mut record: StateRecord = state.record().clone();
        let round = versions.round(said.as_deref(), seen, &mut record);
        let kept = state.change(|kept| kept.take_update_of(&record));
        kept.map_err(|error| error.to_string())?;
        round.map_err(|error| chain(&error))
    }

    fn seen_now(&self) -> Seen {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME);
        Seen {
            disks: self.mounted.len(),
            clock_is_sane: now.is_ok_and(|now| now.as_secs() >= self.floor_s),
            uptime_s: uptime.map_or(0, |time| time.tv_sec().unsigned_abs()),
            memory_available: memory_available(),
        }
    }

    /// Says where updates are remembered: on the archive disk that leads.
    fn keep_place(&mut self) {
        let folder = self.mounted.first().map(|mounted| {
            let data = mounted.data();
            let mount = Path::new(&data).parent().map(Path::to_owned);
            mount.unwrap_or_default().join("updates")
        });
        if self.updates_place == folder {
            return;
        }
        let done = match &folder {
            Some(folder) => make_place(folder),
            None => fs::remove_file(PLACE),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "updates are not remembered");
        }
        self.updates_place = folder;
    }

    /// How versions stand.
    pub(super) fn tell_versions(&self) -> Answer {
        let (Some(versions), Some(state)) = (&self.versions, &self.state) else {
            return Answer::Versions {
                standing: Standing::Settled,
                before: None,
                too_old: None,
                is_on_trial: false,
                // Until the boot medium is found nobody knows, and nothing may be done that nobody asked for.
                is_recovery: self.recovery.is_some() || self.state.is_none(),
            };
        };
        let floor = recovery::floor(state.record());
        let before = versions.before();
        let may_open = |version: &VersionNumber| floor.is_none_or(|floor| floor <= *version);
        Answer::Versions {
            standing: versions.standing(state.record()),
            before: before.filter(may_open),
            too_old: before.filter(|version| !may_open(version)),
            is_on_trial: versions.is_on_trial(),
            is_recovery: self.recovery.is_some(),
        }
    }

    /// Installs a version that was fetched.
    pub(super) fn install(&mut self, version: VersionNumber, user: u32) -> Result<Answer, Refusal> {
        only(user, workers::UPDATES_USER)?;
        let offer = self.vouched(version).map_err(Refusal::Failed)?;
        let (Some(versions), Some(state)) = (&self.versions, &mut self.state) else {
            return Err(Refusal::NoBootMedium);
        };
        let failed = |error: io::Error| Refusal::Failed(error.to_string());
        let places = [
            self.updates_place.as_deref(),
            Some(Path::new(updates::FOLDER)),
        ];
        let mut fetched = None;
        for place in places.into_iter().flatten() {
            let found = open_of_updates(&place.join(updates::FETCHED)).map_err(failed)?;
            fetched = fetched.or(found);
        }
        let mut file = fetched.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        // In recovery none is open: those are missed that were.
        let disks = match &self.recovery {
            Some(_) => state.record().disk_set().len(),
            None => self.mounted.len(),
        };
        let update = versions.install(&mut file, &offer, disks, state.record())?;
        state
            .change(|record| record.set_update(Some(&update)))
            .map_err(failed)?;
        Ok(Answer::Done)
    }

    /// What the metadata vouch for under a version's number, which the updates' worker has fetched.
    fn vouched(&self, version: VersionNumber) -> Result<Offer, String> {
        let told = |error: io::Error| error.to_string();
        let (from, trusted) = match &self.updates_place {
            Some(place) => (place.clone(), place.with_file_name(TRUSTED)),
            None => (PathBuf::from(updates::FOLDER), TRUSTED_IN_MEMORY.into()),
        };
        let trusted = MetadataFolder::new(trusted);
        if trusted.root().is_err() {
            let root = fs::read(updates::ROOT).map_err(told)?;
            trusted.init(&root).map_err(|error| chain(&error))?;
        }
        let from = from.join(updates::METADATA);
        let handed_over = HandedOver::new(|path: &str| open_of_updates(&from.join(path)));
        let options = Options {
            now: SystemTime::now().into(),
            clock_floor: Time::from_unix(i64::try_from(self.floor_s).unwrap_or(0)),
            key_types: KeyTypes::Ed25519,
            stale: match self.confirmed_stale == Some(version) {
                true => Stale::Confirmed,
                false => Stale::Refuse,
            },
            limits: Limits::default(),
        };
        let running = updates::running().map_err(told)?;
        second_check::check(&trusted, &handed_over, options, &running, version)
            .map_err(|error| chain(&error))
    }

    /// Copies the update that is on a stick, for the updates' worker to look at. Disks of ours are none, nor is what was started from.
    pub(super) fn take_stick(&mut self, user: u32) -> Result<Answer, Refusal> {
        only(user, workers::UPDATES_USER)?;
        self.scan();
        let sticks = self.seen.iter();
        let sticks = sticks.filter(|(_, content)| matches!(content, Content::Foreign(_)));
        let sticks: Vec<_> = sticks.map(|(disk, _)| disk).collect();
        let failed = |error: &dyn std::error::Error| Refusal::Failed(chain(error));
        let board = updates::running().map_err(|error| failed(&error))?.board;
        let place = |length| updates::roomy_folder(2 * length).join(updates::BROUGHT);
        let path = stick::take(&sticks, &board, place).map_err(|error| failed(&error))?;
        let (user, group) = (Some(workers::UPDATES_USER), Some(workers::UPDATES_USER));
        chown(path, user, group).map_err(|error| failed(&error))?;
        Ok(Answer::Done)
    }

    /// Somebody was shown the version, and wants it although its repository has expired.
    pub(super) fn confirm_stale(
        &mut self,
        version: VersionNumber,
        user: u32,
    ) -> Result<Answer, Refusal> {
        self.only_people(user)?;
        self.confirmed_stale = Some(version);
        Ok(Answer::Done)
    }

    /// Forgets the version that was installed last: how it ended is remembered elsewhere.
    pub(super) fn settle(&mut self, user: u32) -> Result<Answer, Refusal> {
        only(user, workers::UPDATES_USER)?;
        let state = self.state.as_mut().ok_or(Refusal::NoBootMedium)?;
        let settled = state.change(|record| record.set_update(None));
        settled.map_err(|error| Refusal::Failed(error.to_string()))?;
        Ok(Answer::Done)
    }

    /// Goes back to the version before, and starts it.
    pub(super) fn go_back(&mut self, user: u32) -> Result<Answer, Refusal> {
        only(user, workers::PAGE_USER)?;
        let versions = self.versions.as_ref().ok_or(Refusal::NoBootMedium)?;
        let before = match self.tell_versions() {
            Answer::Versions { before, .. } => before,
            _ => None,
        };
        if before.is_none() {
            return Err(Refusal::Failed(
                "there is no good version before".to_owned(),
            ));
        }
        let left = versions.leave_running();
        left.map_err(|error| Refusal::Failed(chain(&error)))?;
        start_new()
    }

    /// Brings the good version to one archive disk that lacks it; the next look goes on.
    fn follow_one(&mut self) {
        let is_settled = self.next() == Next::Settle;
        let versions = self.versions.as_ref();
        let Some(versions) = versions.filter(|_| self.follows && is_settled) else {
            return;
        };
        for (disk, content) in &self.seen {
            let is_open = self.mounted.iter().any(|mounted| mounted.disk == disk.name);
            let is_boot = self.boot.as_ref() == Some(&disk.name);
            let Some(device) = device_of(disk, content, Guid::EFI).filter(|_| is_open && !is_boot)
            else {
                continue;
            };
            let followed = versions.follow(Path::new(&device));
            match followed.and_then(|was| Ok(was || self.renew_recovery(versions, &device)?)) {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(disk = disk.name, "the disk has the running version now");
                    let state = device_of(disk, content, Guid::STATE);
                    if let Some(state) = state
                        && let Err(error) = note_good_in(Path::new(&state), versions.number())
                    {
                        tracing::warn!(disk = disk.name, %error, "the version would be on trial there");
                    }
                    return;
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(disk = disk.name, error, "the disk keeps its old version");
                }
            }
        }
        if let Some((device, _)) = self.boot_partition()
            && let Err(error) = self.renew_recovery(versions, &device)
        {
            tracing::warn!(error = chain(&error), "the recovery slot keeps its version");
        }
        // All have it; a disk that comes is made with it, or looked at after the next start.
        self.follows = false;
    }
}

/// Says in the state record of another disk that a version is good, for a machine that starts from there.
fn note_good_in(state: &Path, version: VersionNumber) -> io::Result<()> {
    StatePartition::open(state)?.change(|record| record.set_good_version(&version.to_string()))
}

/// Tells PID 1 to start the machine again.
pub(super) fn start_new() -> Result<Answer, Refusal> {
    let said = report::say("end", "restart");
    said.map_err(|error| Refusal::Failed(error.to_string()))?;
    Ok(Answer::Done)
}

/// Whether it is this user who asks.
pub(super) fn only(user: u32, expected: u32) -> Result<(), Refusal> {
    match user == expected {
        true => Ok(()),
        false => Err(Refusal::Failed(
            "this is another worker's business".to_owned(),
        )),
    }
}

/// Opens a file of the updates' worker, and no link to another, nor anything that would keep us waiting; nothing where there is none.
fn open_of_updates(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let file = match options.read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let metadata = file.metadata()?;
    match metadata.is_file() && metadata.uid() == workers::UPDATES_USER {
        true => Ok(Some(file)),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn make_place(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    chown(
        folder,
        Some(workers::UPDATES_USER),
        Some(workers::UPDATES_USER),
    )?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    fs::write(PLACE, folder.as_os_str().as_encoded_bytes())
}

/// Memory that programs could still have, in bytes (proc_meminfo(5)).
fn memory_available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available_in(&text).unwrap_or(0)
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_line_of_the_kernel() {
        let text = "MemTotal:  1000 kB\nMemAvailable:    812 kB\n";
        assert_eq!(available_in(text), Some(812 << 10));
        assert_eq!(available_in("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn versions_are_sought_until_they_are_found_and_each_failure_is_told_once() {
        let start = Instant::now();
        let mut search = Search::default();
        for (second, is_due, error) in [
            (0, true, Some(("no partition", true))),
            (9, false, None),
            (10, true, Some(("no partition", false))),
            (60, true, Some(("input/output error", true))),
            (61, false, None),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(search.is_due(now), is_due, "{second} s");
            if let Some((error, is_news)) = error {
                assert_eq!(search.failed(error, now), is_news, "{second} s");
            }
        }
    }

    #[test]
    fn each_worker_has_its_own_business() {
        assert!(only(workers::UPDATES_USER, workers::UPDATES_USER).is_ok());
        assert!(only(workers::ARCHIVE_USER, workers::UPDATES_USER).is_err());
        assert!(only(0, workers::UPDATES_USER).is_err());
    }
}
