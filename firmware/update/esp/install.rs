//! Reads which versions there are, and puts one into a slot.

use super::Medium;
use super::directory::{Version, Versions};
use super::entry_name::EntryName;
use super::layout::{
    LINUX, SECTOR_BYTES, SLOT_BYTES, Slot, cluster_offset, fat_offsets, is_laid_out_so, slot_chain,
};
use crate::error::EspError;
use aws_lc_rs::digest::{Context, Digest, SHA256};
use std::io::{self, Read};

/// 1 MiB: what is written and read back at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Reads which versions there are.
///
/// # Errors
/// `NotOurs` where the partition is laid out otherwise; `Read`.
pub fn read(medium: &mut dyn Medium) -> Result<Versions, EspError> {
    let mut sector = [0; SECTOR_BYTES];
    medium.read(0, &mut sector).map_err(EspError::Read)?;
    if !is_laid_out_so(&sector) {
        return Err(EspError::NotOurs);
    }
    medium
        .read(cluster_offset(LINUX), &mut sector)
        .map_err(EspError::Read)?;
    Ok(Versions::parse(&sector))
}

/// Puts a version into a slot, in place of the one there, and names it once all of it lies on the medium.
///
/// # Errors
/// `TooLong` and `NotOurs` before anything is written. After any other the slot is empty, and the other slots are as they were.
pub fn install(
    medium: &mut dyn Medium,
    slot: Slot,
    name: EntryName,
    size_bytes: u64,
    bytes: &mut dyn Read,
) -> Result<(), EspError> {
    if !(1..=SLOT_BYTES).contains(&size_bytes) {
        return Err(EspError::TooLong(size_bytes));
    }
    let without = read(medium)?.with(slot, None);
    commit(medium, &without)?;
    let chain = slot_chain(slot, size_bytes);
    for offset in fat_offsets(slot.first_cluster()) {
        medium.write(offset, &chain).map_err(EspError::Write)?;
    }
    let written = write_all(medium, slot, size_bytes, bytes)?;
    medium.flush().map_err(EspError::Write)?;
    if read_all(medium, slot, size_bytes)?.as_ref() != written.as_ref() {
        return Err(EspError::ReadsOtherwise(slot));
    }
    let size_bytes = size_bytes as u32;
    commit(
        medium,
        &without.with(slot, Some(Version { name, size_bytes })),
    )
}

/// Names a slot's version anew, as when it has proved itself.
///
/// # Errors
/// `NoVersion` where the slot is empty, `NotOurs`, `Read`, `Write`.
pub fn rename(medium: &mut dyn Medium, slot: Slot, name: EntryName) -> Result<(), EspError> {
    let versions = read(medium)?;
    let version = versions.at(slot).ok_or(EspError::NoVersion(slot))?;
    commit(
        medium,
        &versions.with(slot, Some(Version { name, ..version })),
    )
}

/// Takes a slot's version away, if there is one.
///
/// # Errors
/// `NotOurs`, `Read`, `Write`.
pub fn remove(medium: &mut dyn Medium, slot: Slot) -> Result<(), EspError> {
    let versions = read(medium)?;
    commit(medium, &versions.with(slot, None))
}

/// Reads the bytes of a slot's version one after the other, of which there are so many.
pub fn reader(medium: &mut dyn Medium, slot: Slot, size_bytes: u64) -> impl Read {
    SlotReader {
        medium,
        offset: cluster_offset(slot.first_cluster()),
        left: size_bytes.min(SLOT_BYTES),
        sector: [0; SECTOR_BYTES * READ_SECTORS],
        unread: 0..0,
    }
}

/// 64 sectors at a time.
const READ_SECTORS: usize = 64;

struct SlotReader<'a> {
    medium: &'a mut dyn Medium,
    offset: u64,
    left: u64,
    sector: [u8; SECTOR_BYTES * READ_SECTORS],
    unread: std::ops::Range<usize>,
}

impl Read for SlotReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() && self.left > 0 {
            let count = self.left.min(self.sector.len() as u64) as usize;
            let whole = count.next_multiple_of(SECTOR_BYTES);
            self.medium.read(self.offset, &mut self.sector[..whole])?;
            self.offset += whole as u64;
            self.left -= count as u64;
            self.unread = 0..count;
        }
        let count = self.unread.len().min(bytes.len());
        bytes[..count].copy_from_slice(&self.sector[self.unread.start..][..count]);
        self.unread.start += count;
        Ok(count)
    }
}

/// Makes these the versions: one sector, then a flush.
fn commit(medium: &mut dyn Medium, versions: &Versions) -> Result<(), EspError> {
    medium
        .write(cluster_offset(LINUX), &versions.sector())
        .and_then(|()| medium.flush())
        .map_err(EspError::Write)
}

fn write_all(
    medium: &mut dyn Medium,
    slot: Slot,
    size_bytes: u64,
    bytes: &mut dyn Read,
) -> Result<Digest, EspError> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    for (offset, length) in pieces(slot, size_bytes) {
        bytes
            .read_exact(&mut piece[..length])
            .map_err(EspError::Source)?;
        context.update(&piece[..length]);
        let whole = length.next_multiple_of(SECTOR_BYTES);
        piece[length..whole].fill(0);
        medium
            .write(offset, &piece[..whole])
            .map_err(EspError::Write)?;
    }
    Ok(context.finish())
}

fn read_all(medium: &mut dyn Medium, slot: Slot, size_bytes: u64) -> Result<Digest, EspError> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    for (offset, length) in pieces(slot, size_bytes) {
        let whole = &mut piece[..length.next_multiple_of(SECTOR_BYTES)];
        medium.read(offset, whole).map_err(EspError::Read)?;
        context.update(&whole[..length]);
    }
    Ok(context.finish())
}

/// Offsets and lengths in bytes of the pieces of a slot's file.
fn pieces(slot: Slot, size_bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..size_bytes).step_by(PIECE_BYTES).map(move |at| {
        let length = (size_bytes - at).min(PIECE_BYTES as u64) as usize;
        (cluster_offset(slot.first_cluster()) + at, length)
    })
}
