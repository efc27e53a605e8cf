//! From a file that was fetched to a version in a slot: nothing is written before both digests hold, and nothing counts before it was read back.
//!
//! | step | what holds when the power fails behind it |
//! |---|---|
//! | length and digest of the file are checked, then those of what it unpacks to | nothing has changed |
//! | `esp::install` takes the free slot's entry away | the other versions are whole, the slot is empty |
//! | it is unpacked again, into the slot, and its digest taken again; the slot is read back | the same |
//! | one sector of the directory names it | the new version starts, on trial |
//!
//! The slot is neither that of the version that runs nor that of the last good one. Deliberately decides nothing about trust, and never
//! formats. Marking good and going back are one sector each.

use crate::error::{Fault, InstallError};
use crate::esp::{self, EntryName, Medium, Slot, Version, Versions};
use crate::metadata::Target;
use crate::release::{Release, Unpacked};
use aws_lc_rs::digest::{Context, SHA256};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

/// 8 MiB, as a power of two: the window of level 19. What needs more was not packed by a release.
const WINDOW_LOG_MAX: u32 = 23;

/// 64 KiB at a time, when a file is checked.
const PIECE_BYTES: usize = 64 * 1024;

/// 999: the install counter begins anew behind it.
const INSTALLS: u16 = 999;

/// Which versions may not be touched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kept {
    /// The slot that runs.
    pub running: Slot,
    /// The slot that proved itself last.
    pub last_good: Slot,
}

/// Gives the slot that a new version goes to; nothing while what runs has not proved itself and both are needed.
pub fn free_slot(versions: &Versions, kept: Kept) -> Option<Slot> {
    let mut free: Vec<Slot> = [Slot::A, Slot::B]
        .into_iter()
        .filter(|slot| ![kept.running, kept.last_good].contains(slot))
        .collect();
    // Only the recovery slot leaves a choice: an empty slot first, then a version that never proved itself, then the older one.
    free.sort_by_key(|slot| {
        versions.at(*slot).map(|version| {
            let proved = version.name.tries().is_none();
            (proved, version.name.install())
        })
    });
    free.first().copied()
}

/// Gives the name of the next version that is installed, on trial with so many starts; nothing when the starts are not 1 to 9.
pub fn next_name(versions: &Versions, starts: u8) -> Option<EntryName> {
    let used: Vec<u16> = [Slot::A, Slot::B]
        .into_iter()
        .filter_map(|slot| Some(versions.at(slot)?.name.install()))
        .collect();
    let last = used.iter().max().copied().unwrap_or(0);
    EntryName::on_trial(last % INSTALLS + 1, starts)
}

/// Checks a file, packed and unpacked, without writing anything.
///
/// # Errors
/// When it is not what was signed, or cannot be read.
pub fn verify(file: &mut File, target: &Target, release: &Release) -> Result<(), InstallError> {
    verify_packed(file, target)?;
    verify_unpacked(file, &release.unpacked)
}

/// Checks a file as it was fetched, so that nothing is unpacked that was not signed.
///
/// # Errors
/// As `verify`.
pub fn verify_packed(file: &mut File, target: &Target) -> Result<(), InstallError> {
    let mut packed = target.check();
    rewind(file)?;
    each(&mut *file, |piece| packed.update(piece)).map_err(InstallError::Read)?;
    packed.finish().map_err(InstallError::Packed)
}

fn verify_unpacked(file: &mut File, unpacked: &Unpacked) -> Result<(), InstallError> {
    rewind(file)?;
    let mut unpacking = Unpacking::begin(file, unpacked)?;
    each(&mut unpacking, |_| {}).map_err(InstallError::Unpack)
}

/// Checks what a file unpacks to, then installs it into a slot, under a name. Whether the file itself was signed says `verify_packed`; here counts what will run.
///
/// # Errors
/// As `verify`, before anything was written; after an error of the partition the slot is empty, and the other versions are as they were.
pub fn install(
    medium: &mut dyn Medium,
    slot: Slot,
    name: EntryName,
    file: &mut File,
    unpacked: &Unpacked,
) -> Result<(), InstallError> {
    verify_unpacked(file, unpacked)?;
    rewind(file)?;
    // The file may change under us: what is written is checked again on its way.
    let mut unpacking = Unpacking::begin(file, unpacked)?;
    esp::install(medium, slot, name, unpacked.length, &mut unpacking).map_err(InstallError::Esp)
}

/// Copies the version of a slot to another partition or slot, where it is good at once.
///
/// # Errors
/// As [`esp::install`]; the slot it goes to is empty then.
pub fn copy(
    from: (&mut dyn Medium, Slot),
    to: (&mut dyn Medium, Slot),
    name: EntryName,
) -> Result<(), InstallError> {
    let (from, slot) = from;
    let size_bytes = u64::from(version_in(from, slot)?.size_bytes);
    let mut bytes = esp::reader(from, slot, size_bytes);
    esp::install(to.0, to.1, name, size_bytes, &mut bytes).map_err(InstallError::Esp)
}

/// Marks the version in a slot good: its name loses the counter. One that is good already is left alone.
///
/// # Errors
/// As [`esp::rename`]; the version starts as before then.
pub fn mark_good(medium: &mut dyn Medium, slot: Slot) -> Result<(), InstallError> {
    let version = version_in(medium, slot)?;
    match (
        version.name.tries(),
        EntryName::good(version.name.install()),
    ) {
        (Some(_), Some(good)) => esp::rename(medium, slot, good).map_err(InstallError::Esp),
        _ => Ok(()),
    }
}

/// Makes the version in a slot start no more, as long as there is another one: it stays where it is, without tries.
///
/// # Errors
/// As `mark_good`.
pub fn mark_bad(medium: &mut dyn Medium, slot: Slot) -> Result<(), InstallError> {
    let version = version_in(medium, slot)?;
    match EntryName::spent(version.name.install()) {
        Some(spent) => esp::rename(medium, slot, spent).map_err(InstallError::Esp),
        None => Err(InstallError::Esp(crate::EspError::NoVersion(slot))),
    }
}

fn version_in(medium: &mut dyn Medium, slot: Slot) -> Result<Version, InstallError> {
    let versions = esp::read(medium).map_err(InstallError::Esp)?;
    versions
        .at(slot)
        .ok_or(InstallError::Esp(crate::EspError::NoVersion(slot)))
}

fn rewind(file: &mut File) -> Result<(), InstallError> {
    file.rewind().map_err(InstallError::Read)
}

/// Reads to the end, piece by piece.
fn each(from: &mut impl Read, mut what: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => what(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A version on its way out of its packing: at its last byte an error when it is longer than was signed, or its digest another.
struct Unpacking<'a> {
    from: zstd::Decoder<'static, BufReader<&'a mut File>>,
    context: Context,
    expected: Vec<u8>,
    left: u64,
}

impl<'a> Unpacking<'a> {
    fn begin(file: &'a mut File, unpacked: &Unpacked) -> Result<Self, InstallError> {
        let mut from = zstd::Decoder::new(file).map_err(InstallError::Unpack)?;
        from.window_log_max(WINDOW_LOG_MAX)
            .map_err(InstallError::Unpack)?;
        Ok(Self {
            from,
            context: Context::new(&SHA256),
            expected: unpacked.digest().unwrap_or_default(),
            left: unpacked.length,
        })
    }

    /// Refuses what is longer than was signed or has another digest, before its last bytes are handed on.
    fn check_end(&mut self) -> io::Result<()> {
        if self.from.read(&mut [0])? > 0 {
            return Err(io::Error::other(Fault::TooLong));
        }
        match self.context.clone().finish().as_ref() == self.expected {
            true => Ok(()),
            false => Err(io::Error::other(Fault::WrongDigest(self.expected.clone()))),
        }
    }
}

impl Read for Unpacking<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = bytes
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let count = self.from.read(&mut bytes[..room])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.context.update(&bytes[..count]);
        self.left -= count as u64;
        if self.left == 0 {
            self.check_end()?;
        }
        Ok(count)
    }
}
