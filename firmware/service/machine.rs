//! What the page may ask of the machine that it runs on: on the box a worker with rights of its own answers, on an ordinary computer nobody does.

use serde::{Deserialize, Serialize};
use update::memory::Memory;
use update::release::Refusal as Unsuitable;
use update::{Time, VersionNumber};

/// A machine whose disks can be chosen on the page.
pub trait Machine: Send + Sync {
    /// Lists the disks.
    ///
    /// # Errors
    /// `Failed` when nobody answers.
    fn disks(&self) -> Result<Vec<DiskSeen>, Refusal>;

    /// Makes an archive disk: all that was on it is lost. Gives the recovery key, which is shown this once.
    ///
    /// # Errors
    /// When it is not done.
    fn format(&self, wanted: NewDisk) -> Result<String, Refusal>;

    /// Ends the machine in order, a moment after it has answered.
    ///
    /// # Errors
    /// When nobody does it.
    fn end(&self, how: MachineEnd) -> Result<(), Refusal>;

    /// Tells how the network is set.
    ///
    /// # Errors
    /// `Failed` when nobody answers.
    fn network(&self) -> Result<NetworkState, Refusal>;

    /// Sets the network on trial: unless it is confirmed within two minutes, what was before holds again.
    ///
    /// # Errors
    /// `WrongNetwork` when a field cannot be so.
    fn set_network(&self, wanted: NetworkTexts) -> Result<(), Refusal>;

    /// Keeps the settings that are on trial.
    ///
    /// # Errors
    /// `NothingToConfirm` when there are none.
    fn confirm_network(&self) -> Result<(), Refusal>;

    /// Gives a piece of a log from an offset on, at most some tens of kilobytes; nothing behind its end.
    ///
    /// # Errors
    /// When it cannot be read.
    fn log(&self, kind: LogKind, offset: u64) -> Result<Vec<u8>, Refusal>;

    /// Opens archive disks with their recovery key; gives their number.
    ///
    /// # Errors
    /// When none was opened.
    fn unlock(&self, recovery_key: &str) -> Result<usize, Refusal>;

    /// Tells how updates stand.
    ///
    /// # Errors
    /// `Failed` when nobody answers.
    fn updates(&self) -> Result<UpdatesSeen, Refusal> {
        Ok(UpdatesSeen::default())
    }

    /// Does something about updates, or begins it.
    ///
    /// # Errors
    /// When it is not done.
    fn update(&self, deed: UpdateDeed) -> Result<(), Refusal> {
        let text = format!("this machine does not update itself: {deed:?}");
        Err(Refusal::Failed(text))
    }

    /// Tells why the version that runs is there to help out only; nothing while it is not.
    ///
    /// # Errors
    /// `Failed` when nobody answers.
    fn recovery(&self) -> Result<Option<RecoverySeen>, Refusal> {
        Ok(None)
    }

    /// Does something while the version that runs is there to help out only; whoever has the code of the console may.
    ///
    /// # Errors
    /// When the code is another one, or it is not done.
    fn recover(&self, _code: &str, deed: RecoveryDeed) -> Result<(), Refusal> {
        let text = format!("this version is not there to help out: {deed:?}");
        Err(Refusal::Failed(text))
    }

    /// Takes a piece of an update that somebody uploads; with the last one the box looks at it.
    ///
    /// # Errors
    /// When it is not the next piece, or cannot be kept.
    fn upload(&self, piece: UploadPiece) -> Result<(), Refusal> {
        let text = format!("this machine takes no updates: {} bytes", piece.length);
        Err(Refusal::Failed(text))
    }
}

/// A version that is there to help out only, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverySeen {
    /// Which one it is.
    pub running: VersionNumber,
    /// Why no other one runs.
    pub why: RecoveryReason,
    /// Those that could be started instead, and whether each has proved itself and may do so again.
    pub others: Vec<(VersionNumber, bool)>,
}

/// Why a version is there to help out only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryReason {
    /// It was started from the recovery slot.
    NothingElseStarts,
    /// It is older than this one, from which on versions may open the archive.
    TooOld(VersionNumber),
}

/// What somebody may want of a version that is there to help out only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryDeed {
    /// See what there is, or do with updates what the code is needed for.
    Enter,
    /// Start this version.
    Start(VersionNumber),
    /// Start again, in the usual order.
    Restart,
}

/// 45,000 bytes of an update are uploaded at once: in base64 they fit into a form.
pub const UPLOAD_PIECE_BYTES: usize = 45_000;

/// A piece of an update that somebody uploads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadPiece {
    /// Where it begins in the file.
    pub offset: u64,
    /// The length of the whole file in bytes.
    pub length: u64,
    /// What stands there.
    pub bytes: Vec<u8>,
}

/// What somebody may want of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateDeed {
    /// Look for a newer version now.
    Check,
    /// Install the one that is on offer now, and start again.
    Install,
    /// Install nothing for so many days.
    Pause(u32),
    /// Install again what comes.
    Resume,
    /// Forget that versions have failed: they may be tried again.
    TryAgain,
    /// Go back to the version before, and start again.
    GoBack,
    /// Install what is on a stick.
    TakeStick,
    /// Install what was uploaded.
    TakeUpload,
    /// Install this version out of what was brought last, although its repository has expired.
    TakeStale(VersionNumber),
}

/// How updates stand, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdatesSeen {
    /// Whether this box has an address at which newer versions are found.
    pub has_source: bool,
    /// The version that runs.
    pub running: String,
    /// Whether it still has to prove itself.
    pub is_on_trial: bool,
    /// The version before, to which somebody may go back.
    pub before: Option<VersionNumber>,
    /// Whether those who make releases do not vouch for that one any more.
    pub is_withdrawn: bool,
    /// Another version, which is too old by now to open the archive.
    pub too_old: Option<VersionNumber>,
    /// What is under way.
    pub doing: Doing,
    /// When the next window begins, in what people's clocks show, as seconds since 1970 by them.
    pub next_window_s: i64,
    /// What is remembered.
    pub memory: Memory,
    /// What came of the last update that somebody has brought, unless it is installed.
    pub brought: Option<BroughtSeen>,
}

/// What came of an update that somebody has brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum BroughtSeen {
    /// It is not believed, or cannot be read; in words of the log.
    Refused(String),
    /// It has nothing newer.
    Newest,
    /// This version is not for this box.
    Unsuitable(VersionNumber, Unsuitable),
    /// Its repository has expired: somebody has to confirm the version.
    Stale {
        /// What would be installed.
        version: VersionNumber,
        /// When its word has ended.
        expired: Time,
    },
}

/// What is under way about updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doing {
    /// Nothing.
    #[default]
    Nothing,
    /// Newer versions are looked for.
    Checking,
    /// One is fetched.
    Fetching,
    /// It is written.
    Installing,
    /// The machine starts again with it.
    Restarting,
}

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineEnd {
    /// It starts again.
    Restart,
    /// It is off.
    PowerOff,
}

/// Settings of the network as somebody types them; an empty text leaves a matter to the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTexts {
    /// The host name, without `.local`.
    pub hostname: String,
    /// `ADDRESS/BITS`, IPv4.
    pub address: String,
    /// The router's address.
    pub router: String,
    /// Addresses of name servers, with blanks between them.
    pub dns: String,
    /// Addresses of time servers, with blanks between them.
    pub ntp: String,
}

/// How the network is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    /// What holds now.
    pub texts: NetworkTexts,
    /// Seconds until it is undone; none when it is kept.
    pub unconfirmed_s: Option<u64>,
    /// The addresses that the machine has now.
    pub addresses: Vec<String>,
}

/// A field of the network's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkField {
    /// The host name.
    Hostname,
    /// The address with its bits.
    Address,
    /// The router.
    Router,
    /// Name servers.
    Dns,
    /// Time servers.
    Ntp,
}

/// What was said by kernel and workers, in lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogKind {
    /// Since the machine was started, from memory.
    SinceStart,
    /// Before that, too, from the archive disk.
    Kept,
}

/// Which disk is to become an archive disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDisk {
    /// Its name, as in the list.
    pub name: String,
    /// What somebody typed to confirm it.
    pub confirmation: String,
    /// The code that the box shows on its console.
    pub claim_code: String,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The claim code is another one.
    WrongClaimCode,
    /// What was typed is not what the disk asks for.
    WrongConfirmation,
    /// There is no such disk, or it may not be formatted.
    NotThisDisk,
    /// The box does not know its boot medium, so the key would be lost.
    NoBootMedium,
    /// The recovery key opens none of the disks.
    WrongRecoveryKey,
    /// Somebody has just typed a wrong code or key: the next one is looked at in a moment.
    TooSoon,
    /// This field of the network's settings cannot be so.
    WrongNetwork(NetworkField),
    /// No change of the network waits to be confirmed, or no longer.
    NothingToConfirm,
    /// A disk or tool failed; what it said.
    Failed(String),
}

/// A disk, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSeen {
    /// Its name in this boot.
    pub name: String,
    /// Who made it, and what.
    pub model: String,
    /// Its serial number; empty where it has none.
    pub serial: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What is on it.
    pub state: DiskState,
    /// What has to be typed before it is formatted.
    pub confirmation: String,
}

/// What is on a disk, as far as it matters to who chooses one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskState {
    /// Nothing.
    Blank,
    /// Something else, in words.
    Foreign(Vec<String>),
    /// The box was started from it.
    BootMedium,
    /// An archive of this box, in use.
    InUse,
    /// An archive that needs its recovery key.
    Locked,
    /// It cannot be read.
    Unreadable,
}

impl DiskState {
    /// Whether the page may offer to format it.
    pub fn may_be_formatted(&self) -> bool {
        matches!(self, Self::Blank | Self::Foreign(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_nobody_s_may_be_formatted() {
        for (state, expected) in [
            (DiskState::Blank, true),
            (DiskState::Foreign(vec!["NTFS".to_owned()]), true),
            (DiskState::BootMedium, false),
            (DiskState::InUse, false),
            (DiskState::Locked, false),
            (DiskState::Unreadable, false),
        ] {
            assert_eq!(state.may_be_formatted(), expected, "{state:?}");
        }
    }
}
