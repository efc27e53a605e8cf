//! What the page may ask of the worker that holds the disks, and how it is asked: one question and one answer over `/run/coffer/disks.sock`.
//!
//! A message is its length (4 bytes, little-endian) and postcard. The worker believes nobody but the users of page and archive, and checks
//! each confirmation itself: a page that was taken over can format no disk that nobody confirmed.

use crate::update_record::Standing;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use service::machine::{
    DiskSeen, LogKind, Machine, MachineEnd, NetworkState, NetworkTexts, NewDisk, RecoveryDeed,
    RecoverySeen, Refusal, UpdateDeed, UpdatesSeen, UploadPiece,
};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use update::VersionNumber;

/// Where the worker listens.
pub(crate) const SOCKET: &str = "/run/coffer/disks.sock";

/// 64 KiB a message: a list of all disks is a tenth of it.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// 60,000 bytes of a log are one answer.
pub(crate) const LOG_PIECE_BYTES: usize = 60_000;

/// 10 minutes for an answer: a large slow disk is made ready in less.
const ANSWER_PATIENCE: Duration = Duration::from_secs(600);

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Which disks are there?
    Disks,
    /// Make an archive disk of this one; all that is on it is lost.
    Format(NewDisk),
    /// End the machine.
    End(MachineEnd),
    /// How is the network set?
    Network,
    /// Set it, on trial.
    SetNetwork(NetworkTexts),
    /// Keep what is on trial.
    ConfirmNetwork,
    /// A piece of a log, from an offset on.
    Log(LogKind, u64),
    /// Open the archive disks of another box, or of this one without its boot medium.
    Unlock {
        /// What was shown when the disk was made.
        recovery_key: String,
    },
    /// How does the version stand that was installed last, and which one could be gone back to?
    Versions,
    /// Install this version, which was fetched; it starts next.
    Install(VersionNumber),
    /// How the last one ended is remembered.
    Settled,
    /// Go back to the version before.
    GoBack,
    /// End the machine, since a version was installed.
    StartNew,
    /// Copy the update that is on a stick to where updates are remembered.
    TakeStick,
    /// Somebody wants this version although its repository has expired.
    ConfirmStale(VersionNumber),
    /// Is the version that runs there to help out only?
    Recovery,
    /// Do this while it is.
    Recover {
        /// The code that the console shows.
        code: String,
        /// What.
        deed: RecoveryDeed,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// All disks.
    Disks(Vec<DiskSeen>),
    /// It is an archive disk now; the key opens it without the boot medium, and is shown this once.
    Formatted {
        /// What to print and to keep.
        recovery_key: String,
    },
    /// It was done, or those who do it were told.
    Done,
    /// How the network is set.
    Network(NetworkState),
    /// The piece; empty behind the end.
    Log(Vec<u8>),
    /// That many disks were opened.
    Unlocked(usize),
    /// How versions stand.
    Versions {
        /// The last one that was installed.
        standing: Standing,
        /// The one before.
        before: Option<VersionNumber>,
        /// Another one, which is older than what may open the archive.
        too_old: Option<VersionNumber>,
        /// Whether the one that runs has to prove itself.
        is_on_trial: bool,
        /// Whether it is there to help out only.
        is_recovery: bool,
    },
    /// Why and what of it, while the version that runs is there to help out only.
    Recovery(Option<RecoverySeen>),
    /// It was not done.
    Refused(Refusal),
}

/// The machine as the page knows it: each question goes to the worker that holds the disks.
pub(crate) struct DiskWorker;

impl Machine for DiskWorker {
    fn disks(&self) -> Result<Vec<DiskSeen>, Refusal> {
        match ask(&Request::Disks)? {
            Answer::Disks(disks) => Ok(disks),
            other => Err(unexpected(other)),
        }
    }

    fn format(&self, wanted: NewDisk) -> Result<String, Refusal> {
        match ask(&Request::Format(wanted))? {
            Answer::Formatted { recovery_key } => Ok(recovery_key),
            other => Err(unexpected(other)),
        }
    }

    fn end(&self, how: MachineEnd) -> Result<(), Refusal> {
        done(ask(&Request::End(how))?)
    }

    fn network(&self) -> Result<NetworkState, Refusal> {
        match ask(&Request::Network)? {
            Answer::Network(state) => Ok(state),
            other => Err(unexpected(other)),
        }
    }

    fn set_network(&self, wanted: NetworkTexts) -> Result<(), Refusal> {
        done(ask(&Request::SetNetwork(wanted))?)
    }

    fn confirm_network(&self) -> Result<(), Refusal> {
        done(ask(&Request::ConfirmNetwork)?)
    }

    fn log(&self, kind: LogKind, offset: u64) -> Result<Vec<u8>, Refusal> {
        match ask(&Request::Log(kind, offset))? {
            Answer::Log(piece) => Ok(piece),
            other => Err(unexpected(other)),
        }
    }

    fn unlock(&self, recovery_key: &str) -> Result<usize, Refusal> {
        let recovery_key = recovery_key.to_owned();
        match ask(&Request::Unlock { recovery_key })? {
            Answer::Unlocked(count) => Ok(count),
            other => Err(unexpected(other)),
        }
    }

    fn updates(&self) -> Result<UpdatesSeen, Refusal> {
        crate::update_messages::ask_seen()
    }

    fn update(&self, deed: UpdateDeed) -> Result<(), Refusal> {
        // Whoever writes the slot does not take the other worker's word for it.
        if let UpdateDeed::TakeStale(version) = deed {
            do_it(&Request::ConfirmStale(version))?;
        }
        crate::update_messages::ask_deed(deed)?;
        match deed {
            UpdateDeed::GoBack => do_it(&Request::GoBack),
            _ => Ok(()),
        }
    }

    fn recovery(&self) -> Result<Option<RecoverySeen>, Refusal> {
        match ask(&Request::Recovery)? {
            Answer::Recovery(seen) => Ok(seen),
            other => Err(unexpected(other)),
        }
    }

    fn recover(&self, code: &str, deed: RecoveryDeed) -> Result<(), Refusal> {
        let code = code.to_owned();
        do_it(&Request::Recover { code, deed })
    }

    fn upload(&self, piece: UploadPiece) -> Result<(), Refusal> {
        crate::update_messages::ask_piece(piece)
    }
}

/// Asks for something that is done or not.
pub(crate) fn do_it(request: &Request) -> Result<(), Refusal> {
    done(ask(request)?)
}

fn done(answer: Answer) -> Result<(), Refusal> {
    match answer {
        Answer::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn unexpected(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        _ => Refusal::Failed("the answer is for another question".to_owned()),
    }
}

/// Asks the worker.
pub(crate) fn ask(request: &Request) -> Result<Answer, Refusal> {
    ask_at(SOCKET, request)
        .map_err(|error| Refusal::Failed(format!("the disks cannot be asked: {error}")))
}

/// Asks whoever listens there.
///
/// # Errors
/// When nobody answers.
pub(crate) fn ask_at<M: DeserializeOwned>(socket: &str, request: &impl Serialize) -> io::Result<M> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    write(&mut stream, request)?;
    read(&mut stream)
}

/// Writes a message.
///
/// # Errors
/// When it is too long or the other end is gone.
pub(crate) fn write(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    stream.write_all(&framed)
}

/// Reads a message.
///
/// # Errors
/// When it is none of that kind, or the other end is gone.
pub(crate) fn read<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<M> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_as_they_went() {
        let request = Request::Format(NewDisk {
            name: "sda".to_owned(),
            confirmation: "AB12".to_owned(),
            claim_code: "12345-ABCDE".to_owned(),
        });
        let mut bytes = Vec::new();
        write(&mut bytes, &request).expect("short enough");
        assert_eq!(
            read::<Request>(&mut &bytes[..]).expect("a message"),
            request
        );
        for end in 0..bytes.len() {
            assert!(read::<Request>(&mut &bytes[..end]).is_err(), "{end} bytes");
        }
        assert!(read::<Request>(&mut &b"\xff\xff\xff\xff"[..]).is_err());
        assert!(write(&mut Vec::new(), &"x".repeat(MESSAGE_BYTES_MAX)).is_err());
    }
}
