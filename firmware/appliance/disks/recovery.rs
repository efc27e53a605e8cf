//! What the disks' worker does about recovery: it finds out whether this version may open the archive, keeps the floors of all disks, and starts another
//! version when somebody with the console's code wants it.

use super::updates::{LOADER_ENTRY, start_new};
use super::{DAY, Disks, Guid, archive_disk, device_of, loader_variable, only_the_page};
use crate::disk_messages::Answer;
use crate::recovery;
use crate::state_partition::StatePartition;
use crate::versions::OwnVersions;
use crate::{updates, workers};
use service::machine::{RecoveryDeed, RecoveryReason, RecoverySeen, Refusal};
use std::path::Path;
use std::time::Instant;
use update::error::chain;
use update::{EspError, VersionNumber};

impl Disks {
    /// Why this version is there to help out only, by how it was started and by a floor.
    pub(super) fn reason_for_recovery(
        &self,
        floor: Option<VersionNumber>,
    ) -> Option<RecoveryReason> {
        let selected = loader_variable(LOADER_ENTRY);
        let found = recovery::reason(selected.as_deref(), running()?, floor);
        if let Some(why) = &found {
            tracing::error!(?why, "this version opens no archive: it is recovery");
        }
        found
    }

    /// Whether an archive disk that is not open yet was written by versions that are newer than this one; those that are open were looked at.
    pub(super) fn too_old_for_a_disk(&self) -> Option<RecoveryReason> {
        if !self.mounted.is_empty() {
            return None;
        }
        let archives = self.seen.iter();
        let archives =
            archives.filter(|(disk, content)| archive_disk::archive_on(disk, content).is_some());
        let floor = |(disk, content): &(_, _)| {
            let device = device_of(disk, content, Guid::STATE)?;
            recovery::floor(StatePartition::open(Path::new(&device)).ok()?.record())
        };
        let floor = archives.filter_map(floor).max()?;
        let is_too_old = running().is_some_and(|running| running < floor);
        is_too_old.then_some(RecoveryReason::TooOld(floor))
    }

    /// Counts the days of a good version; after enough of them the floors rise on each disk, and the recovery slots follow.
    pub(super) fn count_days(&mut self) {
        let (Some(versions), Some(state)) = (&self.versions, &mut self.state) else {
            return;
        };
        if self.day_began.elapsed() < DAY || self.recovery.is_some() {
            return;
        }
        if !versions.is_good(state.record()).unwrap_or(false) {
            return;
        }
        self.day_began = Instant::now();
        let good = versions.number();
        if let Err(error) = state.change(|record| recovery::a_day_went_by(record, good)) {
            tracing::warn!(%error, "a day of this version is not counted");
        }
        let floor = recovery::floor(state.record());
        self.follows = true;
        self.raise_floors(floor);
    }

    /// Raises the floor on each archive disk that is open.
    fn raise_floors(&self, floor: Option<VersionNumber>) {
        let Some(floor) = floor else { return };
        for (disk, content) in &self.seen {
            let is_open = self.mounted.iter().any(|mounted| mounted.disk == disk.name);
            let device = device_of(disk, content, Guid::STATE).filter(|_| is_open);
            let Some(device) = device else { continue };
            let raised = StatePartition::open(Path::new(&device))
                .and_then(|mut state| state.change(|record| recovery::raise_floor(record, floor)));
            if let Err(error) = raised {
                tracing::warn!(disk = disk.name, %error, "the floor of a disk is not kept");
            }
        }
    }

    /// Brings the running version into the recovery slot of a disk, once it has run for long enough.
    pub(super) fn renew_recovery(
        &self,
        versions: &OwnVersions,
        device: &str,
    ) -> Result<bool, EspError> {
        let record = self.state.as_ref().map(|state| state.record());
        let is_seasoned =
            record.is_some_and(|record| recovery::is_seasoned(record, versions.number()));
        let renewed = is_seasoned && versions.renew_recovery(Path::new(device))?;
        if renewed {
            tracing::info!(device, "the recovery slot has the running version now");
        }
        Ok(renewed)
    }

    /// Who may see and do what needs somebody who is signed in, or who has shown the console's code to the page of recovery.
    pub(super) fn only_people(&self, user: u32) -> Result<(), Refusal> {
        match user == workers::WAITING_USER && self.recovery.is_some() {
            true => Ok(()),
            false => only_the_page(user),
        }
    }

    /// What there is in recovery, for people.
    pub(super) fn recovery_seen(&self) -> Option<RecoverySeen> {
        let others = self.versions.as_ref().map(OwnVersions::others);
        Some(RecoverySeen {
            why: self.recovery.clone()?,
            running: running()?,
            others: others.unwrap_or_default(),
        })
    }

    /// Does what somebody wants in recovery who has the console's code.
    pub(super) fn recover(
        &mut self,
        code: &str,
        deed: RecoveryDeed,
        user: u32,
    ) -> Result<Answer, Refusal> {
        self.only_people(user)?;
        if self.recovery.is_none() {
            return Err(Refusal::Failed("this version is not recovery".to_owned()));
        }
        self.check_claim_code(code)?;
        match deed {
            RecoveryDeed::Enter => Ok(Answer::Done),
            RecoveryDeed::Restart => start_new(),
            RecoveryDeed::Start(version) => {
                let versions = self.versions.as_ref().ok_or(Refusal::NoBootMedium)?;
                let started = versions.start_other(version);
                started.map_err(|error| Refusal::Failed(chain(&error)))?;
                start_new()
            }
        }
    }

    /// What the console says in recovery.
    pub(super) fn recovery_text(&self, why: &RecoveryReason) -> String {
        match why {
            RecoveryReason::NothingElseStarts => {
                "recovery: no other version starts; the page helps".to_owned()
            }
            RecoveryReason::TooOld(floor) => {
                format!(
                    "recovery: only version {floor} or newer may open the archive; the page helps"
                )
            }
        }
    }
}

/// The version that runs.
fn running() -> Option<VersionNumber> {
    updates::running().ok().map(|running| running.version)
}
