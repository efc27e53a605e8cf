//! Catching up: bytes of volumes are copied from one disk to another until both hold the same.
//!
//! Volumes are copied in order, so that what is there is always the beginning of the archive. A volume that ends early on the
//! other disk is continued in place, and what a failed sync may have left undurable there is written again; one that differs inside,
//! as after recompression, is copied beside and renamed. A sealed volume counts as equal when its length and both of its ends are:
//! what is damaged inside is found and mended by reading. Damage is not copied over what holds, and a sealed volume whose file is missing
//! is passed over: what the other disk has of it stays.

use crate::disk::{Disk, DiskFile, Open, beside};
use crate::error::{DiskContext, Error, Result};
use crate::record::{RecordKind, Records};
use crate::tip::{End, Tail};
use crate::volume::{self, Found, Volume, file_name};
use std::path::Path;

/// Bytes copied at once: between two of them it can be stopped.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes compared at either end of a sealed volume: its header and first frame, and its seal.
const ENDS_BYTES: u64 = 64 << 10;

/// One disk that is to become like another.
pub(crate) struct CatchingUp<'a> {
    from: &'a dyn Disk,
    to: &'a dyn Disk,
    /// Behind the last whole batch that the second disk had: what lies behind may be cut off.
    had: End,
    /// From where on its last volume is written again, though equal: after a failed sync what can be read need not be durable,
    /// and a later sync does not tell.
    doubted: u64,
    /// The first volume that is not known to be equal.
    next: u64,
    /// Bytes of it that are known to be equal.
    known: u64,
}

/// Hears how many bytes were copied; an error stops the copying.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

impl<'a> CatchingUp<'a> {
    /// Makes `to` like `from`; `had` is where the whole batches of `to` end, and what lies from `doubted` on in its last volume
    /// is written again.
    pub(crate) fn new(from: &'a dyn Disk, to: &'a dyn Disk, had: End, doubted: u64) -> Self {
        Self {
            from,
            to,
            had,
            doubted,
            next: 1,
            known: 0,
        }
    }

    /// Bytes of volumes up to the end, and how many of them are missing; passes over what is equal.
    pub(crate) fn lacks(&mut self, end: End) -> Result<(u64, u64)> {
        let (mut all, mut missing) = (0, 0);
        for number in 1..=end.volume {
            let length = self.length(number, end)?;
            all += length;
            if number < self.next {
                continue;
            }
            let there = match number == self.next && self.known > 0 {
                true => self.known,
                false => self.likely_there(number, length, end)?,
            };
            let is_passed = number < end.volume && number != self.had.volume && there == length;
            if number == self.next && is_passed {
                self.next += 1;
                self.known = 0;
            }
            missing += length - there.min(length);
        }
        Ok((all, missing))
    }

    /// Up to where both are equal, once [`CatchingUp::go_on`] was there.
    pub(crate) fn reached(&self) -> End {
        End {
            volume: self.next,
            offset: self.known,
        }
    }

    /// Bytes between there and the end.
    pub(crate) fn behind(&self, end: End) -> Result<u64> {
        let lengths = (self.next..=end.volume).map(|number| self.length(number, end));
        Ok(lengths.sum::<Result<u64>>()? - self.known)
    }

    /// Length that a volume is to have; 0 for a sealed one whose file is missing.
    pub(crate) fn length(&self, number: u64, end: End) -> Result<u64> {
        if number == end.volume {
            return Ok(end.offset);
        }
        let name = file_name(number);
        match open(self.from, &name, Open::Read) {
            Ok(file) => file.len().on("read", &name),
            Err(error) if error.is_missing_file() => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Bytes of a volume that need not be copied, as far as a glance tells.
    fn likely_there(&self, number: u64, length: u64, end: End) -> Result<u64> {
        let name = file_name(number);
        if !self.to.exists(Path::new(&name)).on("look for", &name)? {
            return Ok(0);
        }
        if number == self.had.volume {
            // One that was packed anew meanwhile may be shorter than what is there of the old one.
            let same_form = self.are_equal_at(&name, 0, volume::HEADER_BYTES)?;
            return Ok(if same_form {
                self.had.offset.min(length)
            } else {
                0
            });
        }
        let equal = number < end.volume && self.ends_are_equal(&name, length)?;
        Ok(if equal { length } else { 0 })
    }

    fn ends_are_equal(&self, name: &str, length: u64) -> Result<bool> {
        if open(self.to, name, Open::Read)?.len().on("read", name)? != length {
            return Ok(false);
        }
        let count = ENDS_BYTES.min(length);
        Ok(self.are_equal_at(name, 0, count)? && self.are_equal_at(name, length - count, count)?)
    }

    fn are_equal_at(&self, name: &str, at: u64, count: u64) -> Result<bool> {
        let one = open(self.from, name, Open::Read)?;
        let two = open(self.to, name, Open::Read)?;
        Ok(equal_bytes(name, &*one, &*two, at, at + count)? == at + count)
    }

    /// Copies what is missing up to the end, durably.
    pub(crate) fn go_on(&mut self, end: End, watch: Watch<'_>) -> Result<()> {
        while self.next <= end.volume {
            match self.length(self.next, end)? {
                0 => tracing::error!(volume = self.next, "damage: the volume is missing"),
                length => self.volume(self.next, length, self.next < end.volume, watch)?,
            }
            if self.next == end.volume {
                self.known = end.offset;
                break;
            }
            self.next += 1;
            self.known = 0;
        }
        self.remove_behind(end)
    }

    fn volume(&self, number: u64, length: u64, sealed: bool, watch: Watch<'_>) -> Result<()> {
        let name = file_name(number);
        let source = open(self.from, &name, Open::Read)?;
        let is_there = self.to.exists(Path::new(&name)).on("look for", &name)?;
        let doubted = number == self.had.volume && self.known == 0;
        if is_there
            && sealed
            && !doubted
            && self.known == 0
            && self.ends_are_equal(&name, length)?
        {
            return Ok(());
        }
        let target = open(self.to, &name, Open::Create)?;
        let target_length = target.len().on("read", &name)?;
        let equal = match self.known {
            0 => equal_bytes(&name, &*source, &*target, 0, length.min(target_length))?,
            known => known,
        };
        let may_cut = doubted && equal >= self.had.offset;
        let mut start = match doubted {
            true => equal.min(self.doubted),
            false => equal,
        };
        let mut kept = equal;
        if equal < length.min(target_length) && !may_cut && self.known == 0 {
            match self.of_difference(number, equal, length)? {
                Difference::Replace => return self.replace(&name, &*source, length, watch),
                Difference::Keep => return Ok(()),
                Difference::GoOn => (kept, start) = (self.had.offset, self.had.offset),
            }
        }
        if target_length > kept {
            target.set_len(kept).on("cut", &name)?;
        }
        copy(&name, &*source, &*target, start, length, watch)?;
        target.sync_data().on("sync", &name)?;
        self.sync_folder()
    }

    /// Says what becomes of a volume that differs from the source at `equal`: damage of the source is not copied over what holds.
    fn of_difference(&self, number: u64, equal: u64, length: u64) -> Result<Difference> {
        if holds_up_to(self.from, number, Some(length))? {
            return Ok(Difference::Replace);
        }
        tracing::error!(
            volume = number,
            "damage: the volume is not copied where the other disk has its own"
        );
        let is_begun = number == self.had.volume && equal >= volume::HEADER_BYTES;
        Ok(match is_begun && self.had.offset <= length {
            true => Difference::GoOn,
            false if holds_up_to(self.to, number, None)? => Difference::Keep,
            false => Difference::Replace,
        })
    }

    /// Copies a whole volume beside the one that differs, and puts it in its place.
    fn replace(
        &self,
        name: &str,
        source: &dyn DiskFile,
        length: u64,
        watch: Watch<'_>,
    ) -> Result<()> {
        let beside = beside(Path::new(name));
        let file = self.to.open(&beside, Open::Create).on("create", name)?;
        file.set_len(0).on("empty", name)?;
        copy(name, source, &*file, 0, length, watch)?;
        file.sync_data().on("sync", name)?;
        self.to
            .rename(&beside, Path::new(name))
            .on("rename", name)?;
        self.sync_folder()
    }

    /// Removes volumes that were begun behind the end: they hold no leaf.
    fn remove_behind(&self, end: End) -> Result<()> {
        let behind = volume::numbers(self.to)?;
        for number in behind.into_iter().filter(|number| *number > end.volume) {
            let name = file_name(number);
            self.to.remove(Path::new(&name)).on("remove", &name)?;
        }
        self.sync_folder()
    }

    fn sync_folder(&self) -> Result<()> {
        self.to
            .sync_dir(Path::new(volume::FOLDER))
            .on("sync", volume::FOLDER)
    }
}

/// What becomes of a volume that differs inside.
enum Difference {
    /// It becomes like the source.
    Replace,
    /// It stays, since it is whole and the source is not.
    Keep,
    /// Its whole batches stay, since the source is damaged; what they lack follows.
    GoOn,
}

/// Whether every frame up to a length holds; without one, the seal, too, is there.
fn holds_up_to(disk: &dyn Disk, number: u64, length: Option<u64>) -> Result<bool> {
    let volume = match Volume::open(disk, number, false) {
        Err(Error::Damaged { .. }) => return Ok(false),
        opened => opened?,
    };
    let (mut at, mut is_sealed) = (volume::HEADER_BYTES, false);
    while length.is_none_or(|length| at < length) {
        let frame = match volume.find_at(at)? {
            Found::Frame(frame) => frame,
            Found::Damage { .. } => return Ok(false),
            Found::End => return Ok(length.is_none() && is_sealed),
        };
        let mut records = Records::new(&frame.payload);
        let last = records.by_ref().last();
        is_sealed = last.is_some_and(|record| record.kind == RecordKind::Seal);
        if !records.sound() {
            return Ok(false);
        }
        at += frame.header.frame_bytes();
    }
    Ok(true)
}

/// Sets a tail aside that was never acknowledged, beside its volume, and cuts it off.
pub(crate) fn set_tail_aside(disk: &dyn Disk, tail: Tail) -> Result<()> {
    let volume = Volume::open(disk, tail.volume, true)?;
    let length = volume.length()?;
    volume::keep_cut(disk, &volume, tail.offset, length)?;
    volume.cut(tail.offset)
}

fn open(disk: &dyn Disk, name: &str, how: Open) -> Result<Box<dyn DiskFile>> {
    disk.open(Path::new(name), how).on("open", name)
}

/// Reads two files from `from` until they differ; gives where that is, at most `until`.
fn equal_bytes(
    name: &str,
    one: &dyn DiskFile,
    two: &dyn DiskFile,
    from: u64,
    until: u64,
) -> Result<u64> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut at = from;
    while at < until {
        let count = CHUNK_BYTES.min((until - at) as usize);
        left.resize(count, 0);
        right.resize(count, 0);
        one.read_exact_at(at, &mut left).on("read", name)?;
        two.read_exact_at(at, &mut right).on("read", name)?;
        if left != right {
            let equal = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
            return Ok(at + equal as u64);
        }
        at += count as u64;
    }
    Ok(until.max(from))
}

/// Copies the bytes of a range.
fn copy(
    name: &str,
    from: &dyn DiskFile,
    to: &dyn DiskFile,
    start: u64,
    end: u64,
    watch: Watch<'_>,
) -> Result<()> {
    let mut bytes = Vec::new();
    let mut at = start;
    while at < end {
        let count = CHUNK_BYTES.min((end - at) as usize);
        bytes.resize(count, 0);
        from.read_exact_at(at, &mut bytes).on("read", name)?;
        to.write_all_at(at, &bytes).on("write", name)?;
        at += count as u64;
        watch(count as u64)?;
    }
    Ok(())
}

/// Reads the bytes of a volume that the other disk lacks, in pieces.
pub(crate) fn read_part(disk: &dyn Disk, part: Tail, end: u64) -> Result<Vec<u8>> {
    let name = file_name(part.volume);
    let file = open(disk, &name, Open::Read)?;
    let length = usize::try_from(end.saturating_sub(part.offset))
        .map_err(|_| Error::Follower("the part to be taken over is too large".to_owned()))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(part.offset, &mut bytes)
        .on("read", &name)?;
    Ok(bytes)
}
