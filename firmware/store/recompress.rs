//! Recompression: a sealed volume becomes one with the same records in larger frames, packed harder (FORMAT.md, "Volume").
//!
//! The new file is written beside, read back as a whole against the old one, synced, and takes the old one's name; the places of its
//! records change in one durable commit of the catalog. A crash leaves one of the two files and a catalog that recovery makes agree.
//! The follower gets the same bytes before, so that a swap is one rename on either disk.
//! A volume with damage is left as it is, so that its bytes can still be mended from another copy.

use crate::catalog::{Entries, Packing, VolumeEntry};
use crate::copies::Shipped;
use crate::disk::Disk;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::frame::FramePacker;
use crate::record::{RecordKind, Records};
use crate::room;
use crate::volume::{self, Found, Frame, Volume, VolumeHeader};
use crate::volume_check::{Checked, Expected, Step};
use std::path::Path;

/// Payload at which a frame is closed, in bytes: beyond it zstd gains almost nothing, and reading one message unpacks at most this much.
const FILL_BYTES: usize = 1 << 20;

/// zstd level: see ARCHITECTURE.md, "Decisions".
const LEVEL: i32 = 9;

/// Part of its length, in percent, that a volume must lose to be worth the change.
const SAVED_PERCENT_MIN: u64 = 3;

/// Bytes written between syncs: mail that is accepted meanwhile waits for no more than this to reach the disk.
const SYNC_BYTES: u64 = 8 << 20;

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
    let lengths = numbers.iter().map(|number| {
        let volume = shared.files.file(view.volumes(), *number)?;
        Ok(3 * volume.length()?)
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
    let Some(new) = Rewriting::begin(&*shared.disk, header)?.run(&old, step)? else {
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

/// The new file while it is written.
struct Rewriting {
    new: Volume,
    packer: FramePacker,
    /// Records of the frame that is being filled.
    payload: Vec<u8>,
    /// The batch of the last record.
    batch: u64,
    /// The last batch that ends in the frame that is being filled.
    ended: Option<u64>,
    frames: Vec<u8>,
    at: u64,
    synced: u64,
}

impl Rewriting {
    fn begin(disk: &dyn Disk, header: &VolumeHeader) -> Result<Self> {
        let header = VolumeHeader {
            recompressed: true,
            ..header.clone()
        };
        Ok(Self {
            new: Volume::create_beside(disk, header)?,
            packer: FramePacker::with_level(LEVEL),
            payload: Vec::with_capacity(FILL_BYTES),
            batch: 0,
            ended: None,
            frames: Vec::new(),
            at: volume::HEADER_BYTES,
            synced: 0,
        })
    }

    /// Takes over all frames of a volume without damage; none when it was broken off.
    fn run(mut self, old: &Volume, step: Step) -> Result<Option<Volume>> {
        let mut at = volume::HEADER_BYTES;
        while let Found::Frame(frame) = old.find_at(at)? {
            if !step(at) {
                return Ok(None);
            }
            at += frame.header.frame_bytes();
            self.frame(&frame)?;
        }
        self.close()?;
        self.new.sync()?;
        Ok(Some(self.new))
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        for record in Records::new(&frame.payload) {
            let stored = record.stored(&frame.payload);
            // The seal stays alone in its frame.
            if record.kind == RecordKind::Seal || self.payload.len() + stored.len() > FILL_BYTES {
                self.close()?;
            }
            self.payload.extend_from_slice(stored);
            self.batch = frame.header.batch;
        }
        if frame.header.last_of_batch {
            self.ended = Some(frame.header.batch);
        }
        Ok(())
    }

    /// Writes the frame that was filled, if there is anything in it.
    fn close(&mut self) -> Result<()> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let ended = self.ended.take();
        let batch = ended.unwrap_or(self.batch);
        self.packer
            .pack(&self.payload, batch, ended.is_some(), &mut self.frames);
        self.payload.clear();
        self.new.write_at(self.at, &self.frames)?;
        self.at += self.frames.len() as u64;
        self.frames.clear();
        if self.at - self.synced > SYNC_BYTES {
            self.new.sync()?;
            self.synced = self.at;
        }
        Ok(())
    }
}
