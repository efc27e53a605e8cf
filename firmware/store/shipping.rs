//! Shipping: whole files, and bytes of sealed volumes that are mended, go to the follower through its lane in pieces, between which
//! mail is written. Nobody who ships waits with the turn.

use crate::copies::{Copies, Turn};
use crate::disk::beside;
use crate::error::{Error, Result};
use crate::follower::{Lane, Step};
use crate::volume::{self, Volume};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes handed over at once: mail that comes meanwhile waits for these.
const PIECE_BYTES: u64 = 1 << 20;

/// What came of shipping a file that is to take a sealed volume's place.
pub(crate) enum Shipped {
    /// It lies beside the volume on the follower of this lane; without one there is none to ship to.
    Beside(Option<Lane>),
    /// There is no room for it on the follower.
    NoRoom,
    /// It was broken off.
    BrokenOff,
}

/// Fills bytes from an offset on.
type Read<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<()>;

/// Hears how many bytes are there, and may break it off.
type GoOn<'a> = &'a mut dyn FnMut(u64) -> bool;

impl Copies {
    /// The way to the follower, while there is one.
    pub(crate) fn passing(&self) -> Option<Passing<'_>> {
        let lane = self.turn().lane()?;
        Some(Passing { copies: self, lane })
    }

    /// Copies a file that is to take the place of a sealed volume to the follower. One that fails is detached; then nothing is to be
    /// shipped.
    pub(crate) fn ship(&self, file: &Volume, go_on: GoOn<'_>) -> Result<Shipped> {
        let Some(passing) = self.passing() else {
            return Ok(Shipped::Beside(None));
        };
        let name = volume::file_name(file.header.number);
        let length_bytes = file.length()?;
        let read = &mut |offset, bytes: &mut [u8]| file.read_at(offset, bytes);
        Ok(
            match passing.beside(Path::new(&name), length_bytes, go_on, read)? {
                Passed::Whole => Shipped::Beside(Some(passing.lane)),
                Passed::Gone => Shipped::Beside(None),
                Passed::NoRoom => Shipped::NoRoom,
                Passed::BrokenOff => Shipped::BrokenOff,
            },
        )
    }

    /// Writes a range of a sealed volume that did not hold on the follower, as the own disk has it.
    ///
    /// # Errors
    /// `Follower` when there is none that is written in step.
    pub(crate) fn write_to_follower(&self, from: &Volume, range: Range<u64>) -> Result<()> {
        let gone = || Error::Follower("it is not in step any more".to_owned());
        let passing = self.passing().ok_or_else(gone)?;
        let read = &mut |offset, bytes: &mut [u8]| from.read_at(offset, bytes);
        match passing.bytes(Path::new(from.name()), range, &mut |_| true, read)? {
            Passed::Whole => Ok(()),
            _ => Err(gone()),
        }
    }

    /// Takes the turn for a sealed volume to become another file, which it is on the follower then; the own one is renamed before
    /// the turn ends. None when a follower has joined that the file was not shipped to.
    pub(crate) fn begin_swap(
        &self,
        volume: u64,
        shipped: Option<&Lane>,
    ) -> Result<Option<Turn<'_>>> {
        let mut turn = self.turn();
        if turn.lane().is_some() {
            let Some(lane) = shipped.filter(|lane| turn.follows(lane)) else {
                return Ok(None);
            };
            turn.hand_through(lane, Step::TakeName(volume::file_name(volume).into()))?;
            turn.settle()?;
        }
        turn.swaps_a_volume();
        Ok(Some(turn))
    }

    /// Takes the turn for a sealed volume of the own disk to become another file.
    pub(crate) fn begin_own_swap(&self) -> Turn<'_> {
        let mut turn = self.turn();
        turn.swaps_a_volume();
        turn
    }
}

/// How passing bytes on ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// All of them are durable on the follower.
    Whole,
    /// The follower does not follow any more.
    Gone,
    /// There is no room for them.
    NoRoom,
    /// It was broken off.
    BrokenOff,
}

/// The way to one follower; once that one was detached, nothing goes through it.
pub(crate) struct Passing<'a> {
    copies: &'a Copies,
    lane: Lane,
}

impl Passing<'_> {
    /// Hands a step over and waits until it is done; false when the follower does not follow any more.
    pub(crate) fn pass(&self, step: Step) -> Result<bool> {
        let handed = self.copies.turn().hand_through(&self.lane, step)?;
        let Some(handed) = handed else {
            return Ok(false);
        };
        match self.lane.wait_for(handed, self.copies.patience()) {
            Ok(()) => Ok(true),
            Err(trouble) => {
                self.copies.turn().part(&self.lane, &trouble)?;
                Ok(false)
            }
        }
    }

    /// Writes a whole file beside the one whose name it is to take, if there is room.
    pub(crate) fn beside(
        &self,
        name: &Path,
        length_bytes: u64,
        go_on: GoOn<'_>,
        read: Read<'_>,
    ) -> Result<Passed> {
        let whole = 0..length_bytes;
        self.parts_beside(name, std::slice::from_ref(&whole), go_on, read)
    }

    /// Writes ranges of a file beside the one that they belong to, if there is room.
    pub(crate) fn parts_beside(
        &self,
        name: &Path,
        ranges: &[Range<u64>],
        go_on: GoOn<'_>,
        read: Read<'_>,
    ) -> Result<Passed> {
        let name = beside(name);
        let begin = Step::Begin {
            name: name.clone(),
            length_bytes: ranges.iter().map(|range| range.end - range.start).sum(),
        };
        if !self.pass(begin)? {
            return Ok(Passed::Gone);
        }
        if self.lane.lacks_room() {
            return Ok(Passed::NoRoom);
        }
        self.parts(&name, ranges, go_on, read)
    }

    /// Writes ranges of a file.
    pub(crate) fn parts(
        &self,
        name: &Path,
        ranges: &[Range<u64>],
        go_on: GoOn<'_>,
        read: Read<'_>,
    ) -> Result<Passed> {
        for range in ranges {
            match self.bytes(name, range.clone(), go_on, read)? {
                Passed::Whole => {}
                other => return Ok(other),
            }
        }
        Ok(Passed::Whole)
    }

    /// Gives what was written beside its name; false when the follower does not follow any more, as the others.
    pub(crate) fn take_name(&self, name: &Path) -> Result<bool> {
        self.pass(Step::TakeName(name.to_owned()))
    }

    /// Replaces a small file as a whole.
    pub(crate) fn replace(&self, name: &Path, bytes: Vec<u8>) -> Result<bool> {
        let name = name.to_owned();
        self.pass(Step::Replace { name, bytes })
    }

    /// Makes a folder.
    pub(crate) fn create_dir(&self, name: &Path) -> Result<bool> {
        self.pass(Step::CreateDir(name.to_owned()))
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &Path) -> Result<bool> {
        self.pass(Step::Remove(name.to_owned()))
    }

    fn bytes(
        &self,
        name: &Path,
        range: Range<u64>,
        go_on: GoOn<'_>,
        read: Read<'_>,
    ) -> Result<Passed> {
        let mut offset = range.start;
        while offset < range.end {
            if !go_on(offset) {
                return Ok(Passed::BrokenOff);
            }
            let mut bytes = vec![0; PIECE_BYTES.min(range.end - offset) as usize];
            read(offset, &mut bytes)?;
            let end = offset + bytes.len() as u64;
            let write = Step::WriteTo {
                name: PathBuf::from(name),
                offset,
                bytes,
            };
            if !self.pass(write)? {
                return Ok(Passed::Gone);
            }
            offset = end;
        }
        Ok(Passed::Whole)
    }
}
