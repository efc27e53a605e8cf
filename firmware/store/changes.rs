//! What a newer copy of the catalog changes in the one that the follower has: ranges of bytes, written first beside and then into it.
//!
//! The changed bytes lie in the file beside the catalog, where they belong in it. The *list*, replaced as a whole, says that they are all
//! there; until then they mean nothing. Whoever finds a list takes its ranges over, once more if need be, before the catalog is opened
//! (FORMAT.md, "catalog and index"). It knows nothing of what a catalog holds.

use crate::catalog;
use crate::disk::{Disk, DiskFile, Open, beside, folder_of};
use crate::encoding::Bytes;
use crate::error::{DiskContext, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes that are compared as one: a commit changes single pages of 4 KiB, and few blocks hold several of them.
const BLOCK_BYTES: usize = 16 << 10;

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Ranges of a file that changed, ascending and apart from each other.
pub(crate) type Ranges = Vec<Range<u64>>;

/// The name of the list.
pub(crate) fn list_name() -> PathBuf {
    format!("{}.changes", catalog::file_name()).into()
}

/// Writes a list: each range as begin and end, and a CRC32C of all.
pub(crate) fn encode(ranges: &[Range<u64>]) -> Vec<u8> {
    let numbers = ranges.iter().flat_map(|range| [range.start, range.end]);
    let mut out: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

/// Reads the list on a disk; no ranges without one, or when it does not hold.
pub(crate) fn listed(disk: &dyn Disk) -> Result<Ranges> {
    let name = list_name();
    if !disk.exists(&name).on("look for", name.display())? {
        return Ok(Ranges::new());
    }
    let bytes = disk.read(&name).on("read", name.display())?;
    Ok(decode(&bytes).unwrap_or_default())
}

fn decode(bytes: &[u8]) -> Option<Ranges> {
    let (numbers, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc32c::crc32c(numbers).to_le_bytes() != checksum {
        return None;
    }
    let (mut numbers, mut ranges) = (Bytes(numbers), Ranges::new());
    while !numbers.0.is_empty() {
        ranges.push(numbers.u64()?..numbers.u64()?);
    }
    Some(ranges)
}

/// Finds the ranges in which a file is otherwise than its copy; those behind the end of the copy are. None when `step` breaks it off.
pub(crate) fn find(
    name: &Path,
    file: &dyn DiskFile,
    copy: &dyn DiskFile,
    step: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Ranges>> {
    let lengths = (file.len(), copy.len());
    let (length, copied) = (
        lengths.0.on("read", name.display())?,
        lengths.1.on("read", name.display())?,
    );
    let (mut own, mut other) = (Vec::new(), Vec::new());
    let (mut at, mut ranges) = (0, Ranges::new());
    while at < length.min(copied) {
        if !step(at) {
            return Ok(None);
        }
        let count = (PIECE_BYTES as u64).min(length.min(copied) - at) as usize;
        own.resize(count, 0);
        other.resize(count, 0);
        file.read_exact_at(at, &mut own)
            .on("read", name.display())?;
        copy.read_exact_at(at, &mut other)
            .on("read", name.display())?;
        let blocks = own.chunks(BLOCK_BYTES).zip(other.chunks(BLOCK_BYTES));
        for (begin, (own, other)) in (at..).step_by(BLOCK_BYTES).zip(blocks) {
            if own != other {
                join(&mut ranges, begin..begin + own.len() as u64);
            }
        }
        at += count as u64;
    }
    if copied < length {
        join(&mut ranges, copied..length);
    }
    Ok(Some(ranges))
}

/// Adds a range behind the others.
fn join(ranges: &mut Ranges, next: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.push(next),
    }
}

/// Takes over what a list says, if there is one, before the catalog is opened.
pub(crate) fn finish(disk: &dyn Disk) -> Result<()> {
    let (catalog, list) = (PathBuf::from(catalog::file_name()), list_name());
    if !disk.exists(&list).on("look for", list.display())? {
        return Ok(());
    }
    let exists = |name: &Path| disk.exists(name).on("look for", name.display());
    if exists(&catalog)? && exists(&beside(&catalog))? {
        take_over(disk, &catalog, &listed(disk)?)?;
    }
    disk.remove(&list).on("remove", list.display())?;
    disk.sync_dir(folder_of(&list)).on("sync", "the directory")
}

fn take_over(disk: &dyn Disk, catalog: &Path, ranges: &[Range<u64>]) -> Result<()> {
    let open = |name: &Path, how| disk.open(name, how).on("open", name.display());
    let (from, to) = (
        open(&beside(catalog), Open::Read)?,
        open(catalog, Open::Write)?,
    );
    let mut bytes = Vec::new();
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            bytes.resize((PIECE_BYTES as u64).min(range.end - at) as usize, 0);
            from.read_exact_at(at, &mut bytes)
                .on("read", beside(catalog).display())?;
            to.write_all_at(at, &bytes).on("write", catalog.display())?;
            at += bytes.len() as u64;
        }
    }
    to.sync_data().on("sync", catalog.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty_disk::SimDisk;

    /// The ranges that lead from one file to another, and back through a list.
    fn check(copy: &[u8], file: &[u8], expected: &[(u64, u64)]) {
        let disk = SimDisk::new();
        let (one, two) = (Path::new("one"), Path::new("two"));
        disk.replace(one, file).expect("made");
        disk.replace(two, copy).expect("made");
        let open = |name| disk.open(name, Open::Read).expect("there");
        let found = find(one, &*open(one), &*open(two), &mut |_| true);
        let found = found.expect("readable").expect("to the end");
        let pairs: Vec<_> = found.iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(pairs, expected);
        assert_eq!(decode(&encode(&found)), Some(found));
        let stopped = find(one, &*open(one), &*open(two), &mut |_| false);
        assert_eq!(stopped.expect("readable").is_none(), !copy.is_empty());
    }

    #[test]
    fn what_differs_is_found_block_by_block() {
        const BLOCK: u64 = BLOCK_BYTES as u64;
        const PIECE: u64 = PIECE_BYTES as u64;
        let zeros = vec![0; 3 * PIECE_BYTES + 100];
        let end = zeros.len() as u64;
        let with = |at: &[usize]| {
            let mut bytes = zeros.clone();
            at.iter().for_each(|at| bytes[*at] = 1);
            bytes
        };
        check(&zeros, &zeros, &[]);
        check(&[], &zeros, &[(0, end)]);
        check(&zeros, &with(&[0, BLOCK_BYTES + 5]), &[(0, 2 * BLOCK)]);
        let last = (3 * PIECE, end);
        check(&zeros, &with(&[end as usize - 1]), &[last]);
        let behind = (2 * BLOCK, end);
        check(
            &zeros[..2 * BLOCK_BYTES],
            &with(&[7]),
            &[(0, BLOCK), behind],
        );
        let around = (PIECE - BLOCK, PIECE + BLOCK);
        check(&zeros, &with(&[PIECE_BYTES - 1, PIECE_BYTES]), &[around]);
    }

    #[test]
    fn a_list_that_does_not_hold_lists_nothing() {
        let ranges = vec![1..5, 9..10];
        let whole = encode(&ranges);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            assert_eq!(decode(&bytes), None);
            assert_eq!(decode(&whole[..at]), None, "cut at {at}");
        }
        assert_eq!(decode(&[]), None);
    }
}
