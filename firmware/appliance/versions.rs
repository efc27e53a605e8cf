//! The versions on the EFI partitions of this machine: which slot runs, what goes into the other one, and what becomes of it. A part of the disks' worker,
//! which alone writes them.
//!
//! A version on trial is fed with what the archive says of itself (`proofs`); it is marked good by one sector, or the machine starts again and the
//! boot loader counts. Where a firmware cannot count, our own count of starts does (`starts`). Deliberately fetches nothing and remembers
//! nothing beyond the last version.

use crate::efi_partition::EfiPartition;
use crate::state_record::StateRecord;
use crate::update_record::{Standing, USUAL_TERMS, UpdateRecord};
use service::machine::Refusal;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use update::EspError;
use update::choose::Offer;
use update::esp::{self, EntryName, Slot};
use update::installation::{self, Kept};
use update::release::VersionNumber;
use update::trial::{Failure, Findings, Proof, Trial, Verdict};

/// What the archive says of itself, as PID 1 writes it: one line for each look.
pub(crate) const PROOFS: &str = "/run/coffer/proofs";

/// There while a version is on trial: the archive then tests itself.
pub(crate) const ON_TRIAL: &str = "/run/coffer/on-trial";

/// 60 seconds without a word of the archive, and it counts as closed.
const SILENCE_S: u64 = 60;

/// The versions on the partition that the machine was started from.
pub(crate) struct OwnVersions {
    device: PathBuf,
    running: Slot,
    number: VersionNumber,
    boot: String,
    trial: Option<OnTrial>,
}

/// What is done about the version on trial.
struct OnTrial {
    trial: Trial,
    disks: usize,
    heard_at_s: u64,
    /// What was missing when it was heard last; none before the first time.
    missing: Option<Vec<(Proof, String)>>,
}

/// What a round of the trial comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Nothing new.
    Quiet,
    /// The version was marked good.
    Good,
    /// It has failed: the machine is to start again.
    StartAgain,
}

/// What counts beside the archive's word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Archive disks that are open.
    pub(crate) disks: usize,
    /// Whether the clock is where it can be.
    pub(crate) clock_is_sane: bool,
    /// Seconds since the kernel started.
    pub(crate) uptime_s: u64,
    /// Memory that is available, in bytes.
    pub(crate) memory_available: u64,
}

impl OwnVersions {
    /// Finds out which slot runs: of those with the running version the one that the boot loader named, else the one installed last.
    ///
    /// # Errors
    /// When the partition cannot be read, or has no such version.
    pub(crate) fn find(
        device: PathBuf,
        selected: Option<&str>,
        number: VersionNumber,
        boot: String,
    ) -> Result<Self, EspError> {
        let mut medium = EfiPartition::open(&device).map_err(EspError::Read)?;
        let versions = esp::read(&mut medium)?;
        let selected = selected.and_then(install_of);
        let mut slots = Vec::new();
        for slot in [Slot::A, Slot::B, Slot::Recovery] {
            if let Some(version) = versions.at(slot)
                && esp::version_number(&mut medium, slot)? == Some(number)
            {
                let install = version.name.install();
                slots.push((Some(install) == selected, install, slot));
            }
        }
        let (.., running) = slots.into_iter().max().ok_or(EspError::NotOurs)?;
        Ok(Self {
            device,
            running,
            number,
            boot,
            trial: None,
        })
    }

    /// Whether the version that runs is good: its name has no counter, and it is not newer than what was marked good last. A name alone proves nothing: it
    /// may have lost its counter to a firmware that was cut off while it renamed.
    pub(crate) fn is_good(&self, record: &StateRecord) -> Result<bool, EspError> {
        let versions = esp::read(&mut self.open()?)?;
        let version = versions.at(self.running);
        let is_named_good = version.is_some_and(|version| version.name.tries().is_none());
        let marked = record.good_version().and_then(|it| it.parse().ok());
        Ok(is_named_good && marked.is_none_or(|marked: VersionNumber| self.number <= marked))
    }

    fn open(&self) -> Result<EfiPartition, EspError> {
        EfiPartition::open(&self.device).map_err(EspError::Read)
    }

    /// Begins the trial of a version that has to prove itself. One that was started too often, which only happens where the boot loader does not
    /// count, loses its tries here. Where nobody counts, as on a medium that became read-only, there is no trial: a version that failed it would start again
    /// for ever.
    pub(crate) fn begin(
        &mut self,
        record: &StateRecord,
        is_counted: bool,
    ) -> Result<Round, EspError> {
        if self.is_good(record)? {
            return Ok(Round::Quiet);
        }
        if !is_counted {
            tracing::error!("the version that runs is not tried: nobody counts its starts");
            return Ok(Round::Quiet);
        }
        let update = record
            .update()
            .filter(|update| update.version == self.number);
        let terms = update.as_ref().map_or(USUAL_TERMS, |update| update.terms);
        let starts = record.starts().map_or(0, |starts| starts.count);
        if starts > terms.starts {
            self.leave_running()?;
            return Ok(Round::StartAgain);
        }
        if let Err(error) = fs::write(ON_TRIAL, "") {
            tracing::error!(%error, "the archive cannot be told to test itself");
        }
        self.trial = Some(OnTrial {
            trial: Trial::new(terms),
            disks: update.map_or(0, |update| update.disks),
            heard_at_s: 0,
            missing: None,
        });
        Ok(Round::Quiet)
    }

    /// The version that runs.
    pub(crate) fn number(&self) -> VersionNumber {
        self.number
    }

    /// By when, in seconds after the start of the machine, the trial has ended in one way or the other; none while there is none.
    pub(crate) fn trial_ends_s(&self) -> Option<u64> {
        let on_trial = self.trial.as_ref()?;
        Some(on_trial.trial.patience_s() + SILENCE_S)
    }

    /// Whether a version is on trial.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// A round of the trial; `said` is what the archive has said since the last one.
    pub(crate) fn round(
        &mut self,
        said: Option<&str>,
        seen: Seen,
        record: &mut StateRecord,
    ) -> Result<Round, EspError> {
        let Some(on_trial) = &mut self.trial else {
            return Ok(Round::Quiet);
        };
        let verdict = match said {
            Some(_) => on_trial.heard(said, seen),
            None if seen.uptime_s < on_trial.heard_at_s + SILENCE_S => {
                on_trial.trial.wait(seen.uptime_s)
            }
            None => on_trial.heard(None, seen),
        };
        match verdict {
            Verdict::Wait => Ok(Round::Quiet),
            Verdict::Good => self.is_proved(record),
            Verdict::Failed(failure) => {
                tracing::error!(%failure, "this version has not proved itself");
                self.trial = None;
                self.has_failed(failure, record);
                Ok(Round::StartAgain)
            }
        }
    }

    fn is_proved(&mut self, record: &mut StateRecord) -> Result<Round, EspError> {
        installation::mark_good(&mut self.open()?, self.running).map_err(esp_error)?;
        self.trial = None;
        let _ = fs::remove_file(ON_TRIAL); // the archive tests itself once more
        record.set_good_version(&self.number.to_string());
        record.clear_starts();
        tracing::warn!(version = %self.number, "this version has proved itself");
        Ok(Round::Good)
    }

    fn has_failed(&self, failure: Failure, record: &mut StateRecord) {
        if let Some(mut update) = record.update().filter(|it| it.version == self.number) {
            update.failure = Some(failure);
            record.set_update(Some(&update));
        }
    }

    /// How the last version that was installed stands.
    pub(crate) fn standing(&self, record: &StateRecord) -> Standing {
        let is_good = self.is_good(record).unwrap_or(false);
        let standing = |update: UpdateRecord| update.standing(&self.boot, self.number, is_good);
        record.update().map_or(Standing::Settled, standing)
    }

    /// Installs what was fetched into the slot that is free.
    pub(crate) fn install(
        &self,
        file: &mut File,
        offer: &Offer,
        disks: usize,
        record: &StateRecord,
    ) -> Result<UpdateRecord, Refusal> {
        let release = &offer.release;
        let failed = |error: &dyn std::error::Error| Refusal::Failed(update::error::chain(error));
        let mut medium = self.open().map_err(|error| failed(&error))?;
        let versions = esp::read(&mut medium).map_err(|error| failed(&error))?;
        if !self.is_good(record).map_err(|error| failed(&error))? {
            return Err(Refusal::Failed("what runs is on trial".to_owned()));
        }
        let kept = Kept {
            running: self.running,
            last_good: self.running,
        };
        let slot = installation::free_slot(&versions, kept);
        let name = installation::next_name(&versions, release.trial.starts);
        let (Some(slot), Some(name)) = (slot, name) else {
            return Err(Refusal::Failed("no slot is free".to_owned()));
        };
        installation::verify_packed(file, &offer.target)
            .and_then(|()| installation::install(&mut medium, slot, name, file, &release.unpacked))
            .map_err(|error| failed(&error))?;
        // One that calls itself otherwise would run, and nobody could ever mark it good.
        let said = esp::version_number(&mut medium, slot).map_err(|error| failed(&error))?;
        if said != Some(release.version) {
            esp::remove(&mut medium, slot).map_err(|error| failed(&error))?;
            let text = "the version does not call itself what its release says";
            return Err(Refusal::Failed(text.to_owned()));
        }
        Ok(UpdateRecord {
            version: release.version,
            terms: release.trial,
            disks,
            boot: self.boot.clone(),
            failure: None,
        })
    }

    /// The version in the other slot, where it is good and somebody could go back to it.
    pub(crate) fn before(&self) -> Option<VersionNumber> {
        let mut medium = self.open().ok()?;
        let versions = esp::read(&mut medium).ok()?;
        let other = other(self.running)?;
        let is_good = versions.at(other)?.name.tries().is_none();
        let number = esp::version_number(&mut medium, other).ok()?;
        number.filter(|number| is_good && *number < self.number)
    }

    /// The versions in the other slots that take turns, which could be started instead, and whether each is good.
    pub(crate) fn others(&self) -> Vec<(VersionNumber, bool)> {
        let slots = [Slot::A, Slot::B].into_iter();
        let slots = slots.filter(|slot| *slot != self.running);
        let version = |slot| {
            let mut medium = self.open().ok()?;
            let is_good = esp::read(&mut medium)
                .ok()?
                .at(slot)?
                .name
                .tries()
                .is_none();
            let number = esp::version_number(&mut medium, slot).ok()??;
            Some((number, is_good))
        };
        slots.filter_map(version).collect()
    }

    /// Has another version start next, as if it was installed anew: it has to prove itself again.
    pub(crate) fn start_other(&self, wanted: VersionNumber) -> Result<(), EspError> {
        let mut medium = self.open()?;
        let versions = esp::read(&mut medium)?;
        for slot in [Slot::A, Slot::B] {
            if slot != self.running && esp::version_number(&mut medium, slot)? == Some(wanted) {
                let name = installation::next_name(&versions, USUAL_TERMS.starts);
                return esp::rename(&mut medium, slot, name.ok_or(EspError::NotOurs)?);
            }
        }
        Err(EspError::NotOurs)
    }

    /// Brings the running version into the recovery slot of a disk, where that has an older one; tells whether it had.
    pub(crate) fn renew_recovery(&self, device: &Path) -> Result<bool, EspError> {
        let mut to = EfiPartition::open(device).map_err(EspError::Read)?;
        if esp::version_number(&mut to, Slot::Recovery)? >= Some(self.number) {
            return Ok(false);
        }
        let from = (&mut self.open()? as _, self.running);
        installation::copy(from, (&mut to, Slot::Recovery), EntryName::RECOVERY)
            .map_err(esp_error)?;
        Ok(true)
    }

    /// Makes the version that runs start no more, so that the one before does.
    pub(crate) fn leave_running(&self) -> Result<(), EspError> {
        installation::mark_bad(&mut self.open()?, self.running).map_err(esp_error)
    }

    /// Brings the running version to the EFI partition of another disk, where it is not yet; tells whether it was missing there.
    ///
    /// It goes into the slot with the older version, so that one whole version is there at any moment.
    pub(crate) fn follow(&self, device: &Path) -> Result<bool, EspError> {
        let mut to = EfiPartition::open(device).map_err(EspError::Read)?;
        let versions = esp::read(&mut to)?;
        let mut slots = Vec::new();
        for slot in [Slot::A, Slot::B] {
            let number = esp::version_number(&mut to, slot)?;
            if number == Some(self.number) {
                return Ok(false);
            }
            slots.push((number, slot));
        }
        let (_, oldest) = slots.into_iter().min().ok_or(EspError::NotOurs)?;
        let install = installation::next_name(&versions, 1).map(EntryName::install);
        let name = install.and_then(EntryName::good).ok_or(EspError::NotOurs)?;
        let from = (&mut self.open()? as _, self.running);
        installation::copy(from, (&mut to, oldest), name).map_err(esp_error)?;
        Ok(true)
    }
}

impl OnTrial {
    fn heard(&mut self, said: Option<&str>, seen: Seen) -> Verdict {
        self.heard_at_s = seen.uptime_s;
        let mut missing = Vec::new();
        if !seen.clock_is_sane {
            missing.push((Proof::Clock, "the clock is before its floor".to_owned()));
        }
        if seen.disks < self.disks {
            let text = format!("{} archive disks of {}", seen.disks, self.disks);
            missing.push((Proof::Disks, text));
        }
        missing.extend(match said {
            Some(said) => read_proofs(said),
            None => vec![(Proof::Archive, "it says nothing".to_owned())],
        });
        self.tell(&missing);
        let findings = Findings {
            missing,
            memory_available: seen.memory_available,
        };
        self.trial.take(&findings, seen.uptime_s)
    }

    /// Says what is missing whenever that is something else than before.
    fn tell(&mut self, missing: &[(Proof, String)]) {
        if self.missing.as_deref() == Some(missing) {
            return;
        }
        match missing.first() {
            Some((proof, why)) => {
                tracing::warn!(
                    proof = proof.name(),
                    why,
                    "the version on trial lacks a proof"
                );
            }
            None => tracing::info!("the version on trial lacks nothing; now it has to stay so"),
        }
        self.missing = Some(missing.to_vec());
    }
}

/// Reads what the archive says: `NAME: why` for each proof that is missing, with `; ` between them.
fn read_proofs(said: &str) -> Vec<(Proof, String)> {
    let each = said.split("; ").filter(|text| !text.trim().is_empty());
    each.map(|text| {
        let (name, why) = text.split_once(": ").unwrap_or((text, ""));
        let proof = Proof::ALL.into_iter().find(|it| it.name() == name.trim());
        (proof.unwrap_or_default(), why.to_owned())
    })
    .collect()
}

/// The other one of the two slots that take turns.
fn other(slot: Slot) -> Option<Slot> {
    match slot {
        Slot::A => Some(Slot::B),
        Slot::B => Some(Slot::A),
        Slot::Recovery => None,
    }
}

/// The install counter in what the boot loader calls the entry, with or without its ending.
fn install_of(selected: &str) -> Option<u16> {
    let stem = selected.trim_end_matches(".efi");
    let name: EntryName = format!("{stem}.efi").parse().ok()?;
    Some(name.install())
}

fn esp_error(error: update::InstallError) -> EspError {
    match error {
        update::InstallError::Esp(error) => error,
        other => EspError::Source(io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efi_partition::tests::formatted;
    use crate::update_record::UpdateRecord;
    use tempfile::NamedTempFile;

    /// A partition with versions in slots A and B: name and number of each.
    fn partition(slots: [Option<(&str, &str)>; 2]) -> NamedTempFile {
        let file = formatted("");
        let mut medium = EfiPartition::open(file.path()).expect("opened");
        for (slot, version) in [Slot::A, Slot::B].into_iter().zip(slots) {
            if let Some((name, number)) = version {
                let bytes = image(number);
                let name = name.parse().expect("a name");
                let length = bytes.len() as u64;
                esp::install(&mut medium, slot, name, length, &mut &*bytes).expect("installed");
            }
        }
        file
    }

    /// As much of a version as says its number: a PE program with the section `.osrel`.
    fn image(number: &str) -> Vec<u8> {
        let text = format!("ID=coffer\nVERSION_ID={number}\n");
        let mut bytes = vec![0; 2048];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, b"MZ");
        put(0x3c, &0x40u32.to_le_bytes());
        put(0x40, b"PE\0\0");
        put(0x46, &1u16.to_le_bytes());
        put(0x58, b".osrel\0\0");
        put(0x60, &(text.len() as u32).to_le_bytes());
        put(0x6c, &512u32.to_le_bytes());
        put(512, text.as_bytes());
        bytes
    }

    fn number(text: &str) -> VersionNumber {
        text.parse().expect("a version")
    }

    fn find(file: &NamedTempFile, selected: Option<&str>, running: &str) -> Option<OwnVersions> {
        let boot = "this boot".to_owned();
        OwnVersions::find(file.path().to_owned(), selected, number(running), boot).ok()
    }

    fn name_in(file: &NamedTempFile, slot: Slot) -> Option<String> {
        let mut medium = EfiPartition::open(file.path()).expect("opened");
        let versions = esp::read(&mut medium).expect("ours");
        Some(versions.at(slot)?.name.to_string())
    }

    fn seen(uptime_s: u64) -> Seen {
        Seen {
            disks: 1,
            clock_is_sane: true,
            uptime_s,
            memory_available: 1 << 30,
        }
    }

    /// A record after the installation of 0.2.0, and so many starts of it.
    fn record(starts: u8) -> StateRecord {
        let mut record = StateRecord::default();
        record.set_good_version("0.1.0");
        record.set_update(Some(&UpdateRecord {
            version: number("0.2.0"),
            terms: USUAL_TERMS,
            disks: 1,
            boot: "the boot before".to_owned(),
            failure: None,
        }));
        for _ in 0..starts {
            record.count_start("0.2.0");
        }
        record
    }

    #[test]
    fn the_slot_that_runs_is_found() {
        let check = |slots, selected: Option<&str>, running: &str, expected: Option<Slot>| {
            let found = find(&partition(slots), selected, running);
            assert_eq!(found.map(|found| found.running), expected, "{selected:?}");
        };
        let both = [Some(("cf4.efi", "0.1.0")), Some(("cf5+2-1.efi", "0.2.0"))];
        check(both, None, "0.2.0", Some(Slot::B));
        check(both, Some("cf4.efi"), "0.2.0", Some(Slot::B));
        check(both, Some("cf4"), "0.1.0", Some(Slot::A));
        check(both, None, "0.3.0", None);
        let same = [Some(("cf4.efi", "0.2.0")), Some(("cf3.efi", "0.2.0"))];
        check(same, Some("CF3.EFI"), "0.2.0", Some(Slot::A));
        check(same, Some("cf3.efi"), "0.2.0", Some(Slot::B));
        check(same, None, "0.2.0", Some(Slot::A));
    }

    const TRIED: [Option<(&str, &str)>; 2] =
        [Some(("cf4.efi", "0.1.0")), Some(("cf5+2-1.efi", "0.2.0"))];

    #[test]
    fn a_version_that_proves_itself_is_marked_good() {
        let file = partition(TRIED);
        let mut versions = find(&file, None, "0.2.0").expect("found");
        let mut record = record(1);
        let standing = versions.standing(&record);
        assert_eq!(standing, Standing::OnTrial(number("0.2.0")));
        assert_eq!(versions.begin(&record, true).expect("begun"), Round::Quiet);
        assert!(versions.is_on_trial());
        assert_eq!(versions.trial_ends_s(), Some(960));
        let mut round = |said, uptime_s| versions.round(said, seen(uptime_s), &mut record);
        assert_eq!(
            round(Some("page: no answer"), 10).expect("a round"),
            Round::Quiet
        );
        assert_eq!(round(Some(""), 20).expect("a round"), Round::Quiet);
        assert_eq!(round(None, 50).expect("a round"), Round::Quiet);
        assert_eq!(round(Some(""), 320).expect("a round"), Round::Good);
        assert_eq!(name_in(&file, Slot::B).as_deref(), Some("cf5.efi"));
        assert_eq!(record.good_version(), Some("0.2.0"));
        assert_eq!(record.starts(), None);
        assert_eq!(versions.trial_ends_s(), None);
        let standing = versions.standing(&record);
        assert_eq!(standing, Standing::Good(number("0.2.0")));
        assert_eq!(versions.before(), Some(number("0.1.0")));
    }

    #[test]
    fn a_version_that_does_not_starts_again_with_its_reason() {
        let check = |rounds: &[(Option<&str>, Seen)], reason: &str| {
            let file = partition(TRIED);
            let mut versions = find(&file, None, "0.2.0").expect("found");
            let mut record = record(1);
            versions.begin(&record, true).expect("begun");
            let mut last = Round::Quiet;
            for (said, seen) in rounds {
                assert_eq!(last, Round::Quiet);
                last = versions.round(*said, *seen, &mut record).expect("a round");
            }
            assert_eq!(last, Round::StartAgain);
            assert_eq!(name_in(&file, Slot::B).as_deref(), Some("cf5+2-1.efi"));
            let failure = record.update().and_then(|update| update.failure);
            assert_eq!(failure.map(|it| it.to_string()).as_deref(), Some(reason));
            // The version before is told what it was.
            let old = find(&file, None, "0.1.0").expect("found");
            let standing = old.standing(&record);
            assert!(matches!(standing, Standing::Failed(..)), "{standing:?}");
        };
        let page = Some("page: no answer; smtp: it answers: 421");
        check(&[(page, seen(10)), (page, seen(900))], "page: no answer");
        let silent = [(Some(""), seen(10)), (None, seen(70)), (None, seen(900))];
        check(&silent, "archive: it says nothing");
        let none = |uptime_s| Seen {
            disks: 0,
            ..seen(uptime_s)
        };
        check(&[(Some(""), none(900))], "disks: 0 archive disks of 1");
        let early = Seen {
            clock_is_sane: false,
            ..seen(900)
        };
        check(&[(Some(""), early)], "clock: the clock is before its floor");
    }

    #[test]
    fn where_the_boot_loader_cannot_count_our_own_count_ends_the_trial() {
        let file = partition(TRIED);
        let mut versions = find(&file, None, "0.2.0").expect("found");
        let uncounted = versions.begin(&record(9), false).expect("begun");
        assert_eq!((uncounted, versions.is_on_trial()), (Round::Quiet, false));
        assert_eq!(
            versions.begin(&record(3), true).expect("begun"),
            Round::Quiet
        );
        assert_eq!(
            versions.begin(&record(4), true).expect("begun"),
            Round::StartAgain
        );
        assert_eq!(name_in(&file, Slot::B).as_deref(), Some("cf5+0-1.efi"));
        assert_eq!(name_in(&file, Slot::A).as_deref(), Some("cf4.efi"));
    }

    /// BOX.md, F2 and I2: a firmware that is cut off while it renames may leave a name without its counter.
    #[test]
    fn a_version_that_lost_its_counter_is_on_trial_all_the_same() {
        let file = partition([Some(("cf4.efi", "0.1.0")), Some(("cf5.efi", "0.2.0"))]);
        let begin = |running: &str, record: &StateRecord| {
            let mut versions = find(&file, None, running).expect("found");
            let begun = versions.begin(record, true).expect("begun");
            (begun, versions)
        };
        let mut proved = record(1);
        let (begun, mut versions) = begin("0.2.0", &proved);
        assert_eq!((begun, versions.is_on_trial()), (Round::Quiet, true));
        assert!(matches!(versions.standing(&proved), Standing::OnTrial(_)));
        for (uptime_s, expected) in [(20, Round::Quiet), (320, Round::Good)] {
            let round = versions.round(Some(""), seen(uptime_s), &mut proved);
            assert_eq!(round.expect("a round"), expected);
        }
        let (_, versions) = begin("0.2.0", &proved);
        assert!(!versions.is_on_trial());
        // Whoever went back to the version before runs one that has proved itself long ago.
        let (_, versions) = begin("0.1.0", &proved);
        assert!(!versions.is_on_trial());
        let (begun, _) = begin("0.2.0", &record(4));
        assert_eq!(begun, Round::StartAgain);
        assert_eq!(name_in(&file, Slot::B).as_deref(), Some("cf5+0-1.efi"));
    }

    #[test]
    fn a_good_version_is_not_tried_and_can_be_left() {
        let good = [Some(("cf4.efi", "0.1.0")), Some(("cf5.efi", "0.2.0"))];
        let file = partition(good);
        let mut versions = find(&file, None, "0.2.0").expect("found");
        let begun = versions
            .begin(&StateRecord::default(), true)
            .expect("begun");
        assert_eq!((begun, versions.is_on_trial()), (Round::Quiet, false));
        versions.leave_running().expect("left");
        assert_eq!(name_in(&file, Slot::B).as_deref(), Some("cf5+0-1.efi"));
        let old = find(&file, None, "0.1.0").expect("found");
        assert_eq!(old.before(), None);
    }

    #[test]
    fn from_recovery_another_version_is_started_on_trial() {
        let slots = [Some(("cf4.efi", "0.1.0")), Some(("cf5+0-3.efi", "0.2.0"))];
        let file = partition(slots);
        let mut medium = EfiPartition::open(file.path()).expect("opened");
        let bytes = image("0.1.0");
        let (slot, name) = (Slot::Recovery, EntryName::RECOVERY);
        let length = bytes.len() as u64;
        esp::install(&mut medium, slot, name, length, &mut &*bytes).expect("installed");
        let versions = find(&file, Some("cf0.efi"), "0.1.0").expect("found");
        let others = [(number("0.1.0"), true), (number("0.2.0"), false)];
        assert_eq!(versions.others(), others);
        assert!(versions.start_other(number("0.3.0")).is_err());
        versions.start_other(number("0.1.0")).expect("named");
        assert_eq!(name_in(&file, Slot::A).as_deref(), Some("cf6+3-0.efi"));
        versions.start_other(number("0.2.0")).expect("named");
        assert_eq!(name_in(&file, Slot::B).as_deref(), Some("cf7+3-0.efi"));
        assert_eq!(name_in(&file, Slot::Recovery).as_deref(), Some("cf0.efi"));
    }

    #[test]
    fn the_recovery_slot_gets_what_is_newer_than_it_has() {
        let file = partition([Some(("cf4.efi", "0.2.0")), Some(("cf5.efi", "0.3.0"))]);
        let newer = find(&file, None, "0.3.0").expect("found");
        let older = find(&file, None, "0.2.0").expect("found");
        let renew = |versions: &OwnVersions| versions.renew_recovery(file.path());
        assert!(renew(&older).expect("copied"), "it was empty");
        assert!(renew(&newer).expect("copied"));
        assert!(!renew(&newer).expect("there already"));
        assert!(!renew(&older).expect("older than what is there"));
        let mut medium = EfiPartition::open(file.path()).expect("opened");
        let found = esp::version_number(&mut medium, Slot::Recovery).expect("read");
        assert_eq!(found, Some(number("0.3.0")));
        assert_eq!(name_in(&file, Slot::A).as_deref(), Some("cf4.efi"));
    }

    #[test]
    fn another_disk_gets_the_running_version_into_its_older_slot() {
        let file = partition([Some(("cf4.efi", "0.2.0")), Some(("cf5.efi", "0.3.0"))]);
        let versions = find(&file, None, "0.3.0").expect("found");
        let other = partition([Some(("cf1.efi", "0.2.0")), Some(("cf2.efi", "0.1.0"))]);
        assert!(versions.follow(other.path()).expect("copied"));
        assert_eq!(name_in(&other, Slot::A).as_deref(), Some("cf1.efi"));
        assert_eq!(name_in(&other, Slot::B).as_deref(), Some("cf3.efi"));
        assert!(!versions.follow(other.path()).expect("there already"));
        let first = partition([None, None]);
        assert!(versions.follow(first.path()).expect("copied"));
        assert!(find(&first, None, "0.3.0").is_some());
        let foreign = NamedTempFile::new().expect("a file");
        assert!(versions.follow(foreign.path()).is_err());
    }
}
