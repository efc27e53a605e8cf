//! What the version in a slot says of itself: the section `.osrel` of its file, a PE program.
//!
//! What lies in a slot need be none: then nothing is said. Deliberately reads no other section. Source: Microsoft PE format; os-release(5).

use super::Medium;
use super::install::{read, reader};
use super::layout::Slot;
use crate::error::EspError;
use crate::release::VersionNumber;
use std::io::Read;

/// 4 KiB: headers of systemd's stub have a quarter of it.
const HEADERS_BYTES: u64 = 4096;
/// 4 KiB of text at most.
const TEXT_BYTES_MAX: usize = 4096;
const SECTION_BYTES: usize = 40;

/// Gives the number of the version in a slot; none where the slot is empty, or its file does not say.
///
/// # Errors
/// `NotOurs`, `Read`.
pub fn version_number(
    medium: &mut dyn Medium,
    slot: Slot,
) -> Result<Option<VersionNumber>, EspError> {
    let Some(version) = read(medium)?.at(slot) else {
        return Ok(None);
    };
    let size_bytes = u64::from(version.size_bytes);
    let mut bytes = Vec::new();
    let mut file = reader(medium, slot, size_bytes);
    let mut more = |bytes: &mut Vec<u8>, until: u64| {
        let missing = until.saturating_sub(bytes.len() as u64);
        (&mut file)
            .take(missing)
            .read_to_end(bytes)
            .map_err(EspError::Read)
    };
    more(&mut bytes, HEADERS_BYTES)?;
    let Some((at, length)) = section(&bytes) else {
        return Ok(None);
    };
    // The section lies behind the stub's own, at the beginning of the file.
    if at > MOST_BEFORE {
        return Ok(None);
    }
    more(&mut bytes, (at + length) as u64)?;
    Ok(bytes.get(at..at + length).and_then(number))
}

/// 1 MiB: the stub is a tenth of it.
const MOST_BEFORE: usize = 1 << 20;

/// Where `.osrel` lies in the file, and how long it is.
fn section(bytes: &[u8]) -> Option<(usize, usize)> {
    let half = |at: usize| {
        Some(usize::from(u16::from_le_bytes(
            bytes.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let word =
        |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let coff = word(0x3c)?;
    if !bytes.starts_with(b"MZ") || bytes.get(coff..coff.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let table = coff + 24 + half(coff + 20)?;
    let entries = (0..half(coff + 6)?).map(|index| table + index * SECTION_BYTES);
    let is_it = |at: &usize| bytes.get(*at..*at + 8) == Some(b".osrel\0\0");
    let entry = { entries }.find(is_it)?;
    Some((word(entry + 20)?, word(entry + 8)?.min(TEXT_BYTES_MAX)))
}

fn number(text: &[u8]) -> Option<VersionNumber> {
    let text = std::str::from_utf8(text).ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_ID="))?;
    value.trim_matches('"').parse().ok()
}
