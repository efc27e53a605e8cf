//! What the page may ask of the worker that fetches newer versions: one question and one answer over `/run/coffer/updates/door.sock`, framed as those
//! to the disks' worker.

use crate::disk_messages::ask_at;
use serde::{Deserialize, Serialize};
use service::machine::{Refusal, UpdateDeed, UpdatesSeen, UploadPiece};

/// Where the worker listens.
pub(crate) const SOCKET: &str = "/run/coffer/updates/door.sock";

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// How do updates stand?
    Seen,
    /// Do this, or begin it.
    Deed(UpdateDeed),
    /// Take this piece of an update that is uploaded.
    Piece(UploadPiece),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// So they stand.
    Seen(Box<UpdatesSeen>),
    /// It was done, or has begun.
    Done,
    /// It was not done.
    Refused(Refusal),
}

/// Asks how updates stand.
pub(crate) fn ask_seen() -> Result<UpdatesSeen, Refusal> {
    match ask(&Request::Seen)? {
        Answer::Seen(seen) => Ok(*seen),
        other => Err(unexpected(other)),
    }
}

/// Asks for something to be done.
pub(crate) fn ask_deed(deed: UpdateDeed) -> Result<(), Refusal> {
    match ask(&Request::Deed(deed))? {
        Answer::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// Hands over a piece of an update.
pub(crate) fn ask_piece(piece: UploadPiece) -> Result<(), Refusal> {
    match ask(&Request::Piece(piece))? {
        Answer::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn ask(request: &Request) -> Result<Answer, Refusal> {
    let failed = |error| Refusal::Failed(format!("updates cannot be asked about: {error}"));
    ask_at(SOCKET, request).map_err(failed)
}

fn unexpected(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        _ => Refusal::Failed("the answer is for another question".to_owned()),
    }
}
