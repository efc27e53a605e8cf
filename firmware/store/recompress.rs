//! Recompression: a sealed volume becomes one with the same records in larger frames, packed harder (FORMAT.md, "Volume";
//! `repacking.rs`).
//!
//! The new file is written beside, read back as a whole against the old one, synced, and takes the old one's name; the places of its
//! records change in one durable commit of the catalog. A crash leaves one of the two files and a catalog that recovery makes agree.
//! The follower gets the same bytes before, so that a swap is one rename on either disk.
//! A volume with damage is left as it is, so that its bytes can still be mended from another copy.

use crate::catalog::{Entries, Packing, VolumeEntry};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::repacking::Repacking;
use crate::room;
use crate::shipping::Shipped;
use crate::volume::{self, Volume};
use crate::volume_check::{Checked, Expected, Step};
use std::path::Path;

/// Part of its length, in percent, that a volume must lose to be worth the change: one full of images and documents loses two or three.
const SAVED_PERCENT_MIN: u64 = 1;

/// How it went with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The new file has its place.
    Replaced {
        /// Length of the old file in bytes.
        before_bytes: u64,
        /// Length of the new one.
        after_bytes: u64,
    },
    /// It saves too little; that is noted and not tried again.
    NotWorth,
    /// Something in it does not hold.
    Damaged,
    /// There is no room for a second file of its length.
    NoRoom,
    /// It was broken off and left no trace.
    BrokenOff,
}

/// Numbers of the sealed volumes that were not recompressed yet, ascending.
pub(crate) fn waiting(shared: &Shared) -> Result<Vec<u64>> {
    let view = shared.catalog.read()?;
    let mut waiting = Vec::new();
    for number in 1..view.watermark()?.volume {
        if let Some(entry) = view.volume(number)?
            && entry.packing == Packing::AsWritten
        {
            waiting.push(number);
        }
    }
    Ok(waiting)
}

/// How many bytes [`recompress`] reads of these volumes at most: twice the old files, and as much again of the new ones.
pub(crate) fn bytes_to_read(shared: &Shared, numbers: &[u64]) -> Result<u64> {
    let view = shared.catalog.read()?;
    let lengths = numbers
        .iter()
        .map(|number| match shared.files.file(view.volumes(), *number) {
            Ok(volume) => Ok(3 * volume.length()?),
            Err(error) if error.is_missing_file() => Ok(0),
            Err(error) => Err(error),
        });
    lengths.sum()
}

/// Recompresses a sealed volume; `step` hears how many bytes of it were read and may break it off.
pub(crate) fn recompress(shared: &Shared, number: u64, step: Step) -> Result<Outcome> {
    let outcome = attempt(shared, number, step);
    if !matches!(outcome, Ok(Outcome::Replaced { .. })) {
        // It may be missing, and opening removes it, too.
        let _ = shared.disk.remove(Path::new(&volume::name_beside(number)));
    }
    match outcome {
        Err(error) if error.is_full() => Ok(Outcome::NoRoom),
        // Of the volume itself: it is mended like any other damage.
        Err(error) if error.is_missing_file() => Ok(Outcome::Damaged),
        other => other,
    }
}

fn attempt(shared: &Shared, number: u64, step: Step) -> Result<Outcome> {
    let view = shared.catalog.read()?;
    let old = shared.files.file(view.volumes(), number)?;
    room::for_beside(&*shared.disk, old.length()?)?;
    let expected = Expected {
        view: &view,
        archive_id: shared.archive_id,
        number,
        until: None,
    };
    let Some(before) = expected.check(&old, step)? else {
        return Ok(Outcome::BrokenOff);
    };
    let (Some(header), Some(_), []) = (&before.header, &before.seal, &before.damage[..]) else {
        return Ok(Outcome::Damaged);
    };
    let Some(new) = Repacking::begin(shared, &view, &old, header, &before)?.run(step)? else {
        return Ok(Outcome::BrokenOff);
    };
    let after_bytes = new.length()?;
    let entry = |packing| VolumeEntry {
        sealed: true,
        digest: before
            .seal
            .as_ref()
            .map_or([0; 32], |seal| seal.volume_digest),
        packing,
        read_at_us: (shared.clock)().at_us,
        copy_read_at_us: 0,
    };
    if after_bytes * 100 > before.end * (100 - SAVED_PERCENT_MIN) {
        shared
            .catalog
            .put_volume(number, entry(Packing::NotWorth))?;
        return Ok(Outcome::NotWorth);
    }
    let Some(after) = expected.check(&new, step)? else {
        return Ok(Outcome::BrokenOff);
    };
    check_same(&new, &before, &after)?;
    let entry = entry(Packing::Recompressed(after_bytes));
    let replaced = Outcome::Replaced {
        before_bytes: before.end,
        after_bytes,
    };
    let swapped = swap(shared, &new, entry, after.places, step)?;
    Ok(swapped.unwrap_or(replaced))
}

/// Puts the file beside a volume in its place on both disks, the follower's first; says why it did not.
fn swap(
    shared: &Shared,
    new: &Volume,
    entry: VolumeEntry,
    places: Entries,
    step: Step,
) -> Result<Option<Outcome>> {
    let number = new.header.number;
    let lane = match shared.copies.ship(new, step)? {
        Shipped::Beside(lane) => lane,
        Shipped::NoRoom => return Ok(Some(Outcome::NoRoom)),
        Shipped::BrokenOff => return Ok(Some(Outcome::BrokenOff)),
    };
    let begin = || shared.copies.begin_swap(number, lane.as_ref());
    let rename = || volume::take_name(&*shared.disk, number);
    let is_swapped = shared
        .catalog
        .swap_volume(number, entry, places, begin, rename)?;
    Ok((!is_swapped).then_some(Outcome::BrokenOff))
}

/// The last look before the old file goes: every record, the seal and all digests are the same.
fn check_same(new: &Volume, before: &Checked, after: &Checked) -> Result<()> {
    let same = after.damage.is_empty()
        && after.records == before.records
        && after.seal == before.seal
        && new.length()? == after.end;
    if same {
        return Ok(());
    }
    Err(Error::Damaged {
        name: new.name().to_owned(),
        offset: 0,
        how: "what was written there did not come back".to_owned(),
    })
}
