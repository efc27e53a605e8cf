//! Mending: bytes of a volume that do not hold are written anew from another disk with the same archive, in place.
//!
//! The same volume lies there to the byte, so damage on one disk is healed by the same range of the other. Before anything is written,
//! the volume is read as it would be then ([`Patched`]): only ranges that hold in it are touched, and afterwards the volume is read again.
//! It mends nothing that both disks have lost, and no volume that is missing as a whole or has another form there (recompressed on one
//! disk alone): copying whole volumes is catching up.

use crate::catalog::{CatalogView, Packing};
use crate::disk::{Disk, DiskFile};
use crate::engine::Shared;
use crate::error::{Error, Result, chain};
use crate::identity::Identity;
use crate::upkeep::Hurry;
use crate::verify::Finding;
use crate::volume::{self, Volume};
use crate::volume_check::{Checked, Damage, Expected};
use archive::{Event, EventKind};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Length at which the list of ranges in one entry of the audit log ends, in characters.
const RANGES_CHARS_MAX: usize = 1000;

/// Which of the two disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Side {
    /// The disk of the archive that is open.
    Own,
    /// The other copy.
    Copy,
}

/// Bytes that were mended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mended {
    /// On which disk.
    pub side: Side,
    /// The file, relative to the data directory.
    pub place: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes were written.
    pub length_bytes: u64,
    /// What did not hold before.
    pub what: String,
}

/// What mending came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MendReport {
    /// What holds again.
    pub mended: Vec<Mended>,
    /// What still does not hold, on the disk of the archive that is open.
    pub left: Vec<Finding>,
    /// What still does not hold on the other copy.
    pub left_on_copy: Vec<Finding>,
    /// The catalog was made while bytes were lost that are there again: `rebuild` finds what was in them.
    pub wants_rebuild: bool,
}

/// Refuses a disk that is not a copy of this archive.
pub(crate) fn check_copy(copy: &dyn Disk, archive_id: &[u8; 16]) -> Result<()> {
    match Identity::read(copy)? {
        Some(identity) if identity.archive == *archive_id => Ok(()),
        Some(_) => Err(Error::NotAnArchive(
            "the copy belongs to another archive".to_owned(),
        )),
        None => Err(Error::NotAnArchive(
            "there is no archive in the directory of the copy".to_owned(),
        )),
    }
}

/// Mends all volumes of both disks, each from the other; `watch` is told how many volumes of how many are done.
pub(crate) fn mend_all(
    shared: &Shared,
    copy: &dyn Disk,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<MendReport> {
    let _hurry = Hurry::begin(&shared.upkeep);
    let last = shared.catalog.read()?.watermark()?.volume;
    let mut report = MendReport::default();
    for number in 1..=last {
        // No swap comes between.
        let _busy = shared.upkeep.take();
        mend_volume(shared, copy, number, &mut report)?;
        watch(number, last);
    }
    Ok(report)
}

/// Mends a volume on both disks; the caller holds [`crate::upkeep::Control::take`].
pub(crate) fn mend_volume(
    shared: &Shared,
    copy: &dyn Disk,
    number: u64,
    report: &mut MendReport,
) -> Result<()> {
    let view = shared.catalog.read()?;
    let end = view.watermark()?;
    let expected = Expected {
        view: &view,
        archive_id: shared.archive_id,
        number,
        until: (number == end.volume).then_some(end.offset),
    };
    for side in [Side::Own, Side::Copy] {
        let (to, from) = match side {
            Side::Own => (&*shared.disk, copy),
            Side::Copy => (copy, &*shared.disk),
        };
        let (mended, left) = match mend(&expected, to, from) {
            Ok(done) => done,
            Err(error @ (Error::Disk { .. } | Error::TooNew { .. })) => {
                (Vec::new(), vec![finding(number, None, chain(&error))])
            }
            Err(error) => return Err(error),
        };
        report.mended.extend(mended.iter().map(|damage| Mended {
            side,
            place: volume::file_name(number),
            offset: damage.bytes.start,
            length_bytes: damage.bytes.end - damage.bytes.start,
            what: damage.what.clone(),
        }));
        if side == Side::Own {
            report.wants_rebuild |= !mended.is_empty() && !knows_all(&view, shared, number)?;
            report.left.extend(left);
        } else {
            report.left_on_copy.extend(left);
        }
    }
    Ok(())
}

/// The entries of the audit log about what was mended, one a volume and disk.
pub(crate) fn events(report: &MendReport) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for mended in &report.mended {
        let whose = match mended.side {
            Side::Own => "mended from the other copy",
            Side::Copy => "mended on the other copy",
        };
        let text = format!("{}: {whose}", mended.place);
        let range = format!("{}+{}", mended.offset, mended.length_bytes);
        match events.last_mut() {
            Some(event) if event.text == text && event.after.len() < RANGES_CHARS_MAX => {
                event.after = format!("{} {range}", event.after);
            }
            _ => events.push(Event {
                kind: EventKind::Mended,
                text,
                after: range,
                ..Event::default()
            }),
        }
    }
    events
}

fn finding(number: u64, offset: Option<u64>, what: String) -> Finding {
    Finding {
        place: volume::file_name(number),
        offset,
        numbers: Vec::new(),
        what,
    }
}

/// Whether the catalog has a place for every leaf that the seal of a volume names.
fn knows_all(view: &CatalogView, shared: &Shared, number: u64) -> Result<bool> {
    let Some(seal) = crate::recovery::find_seal(shared, number)? else {
        return Ok(true);
    };
    for sequence in seal.first_sequence..seal.end() {
        if view.leaf(sequence)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

type MendedAndLeft = (Vec<Damage>, Vec<Finding>);

/// Mends one volume of one disk; gives what was mended and what is left.
fn mend(expected: &Expected, to: &dyn Disk, from: &dyn Disk) -> Result<MendedAndLeft> {
    let number = expected.number;
    let target = Volume::open_unread(to, number, true)?;
    let before = check(expected, &target)?;
    if before.damage.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let all_left = |why: &str| {
        let left = |damage: &Damage| {
            finding(
                number,
                Some(damage.bytes.start),
                format!("{}; {why}", damage.what),
            )
        };
        Ok((Vec::new(), before.damage.iter().map(left).collect()))
    };
    // Sound bytes that are other ones are no damage: they may be mail that only this disk has.
    if before.damage.iter().any(|damage| damage.differs) {
        return all_left("it is not the volume that the other copy has, and stays as it is");
    }
    let source = match Volume::open(from, number, false) {
        Ok(source) => Arc::new(source),
        Err(error) => return all_left(&format!("the other copy does not help: {}", chain(&error))),
    };
    let entry = expected.view.volume(number)?.unwrap_or_default();
    let packing = match (before.header.as_ref(), entry.packing) {
        (Some(header), _) => header.recompressed,
        (None, packing) => matches!(packing, Packing::Recompressed(_)),
    };
    if source.header.recompressed != packing {
        return all_left("the other copy has the volume in another form");
    }
    let ranges = within(&before.damage, source.length()?);
    let patched = Patched {
        own: Volume::open_unread(to, number, false)?,
        other: source.clone(),
        ranges: ranges.clone(),
    };
    let trial = check(expected, &Volume::over(number, Box::new(patched)))?;
    let holds = |range: &Range<u64>| {
        trial
            .damage
            .iter()
            .all(|damage| !overlap(&damage.bytes, range))
    };
    for range in ranges.iter().filter(|range| holds(range)) {
        copy_range(&target, &source, range)?;
    }
    target.sync()?;
    let after = check(expected, &target)?;
    let still = |range: &Range<u64>| {
        after
            .damage
            .iter()
            .any(|damage| overlap(&damage.bytes, range))
    };
    let mended = before
        .damage
        .iter()
        .zip(&ranges)
        .filter(|(_, range)| !still(range));
    let mended = mended.map(|(damage, range)| Damage {
        bytes: range.clone(),
        ..damage.clone()
    });
    let left = after.damage.iter().map(|damage| {
        let what = format!(
            "{}; the other copy does not hold there, either",
            damage.what
        );
        finding(number, Some(damage.bytes.start), what)
    });
    Ok((mended.collect(), left.collect()))
}

fn check(expected: &Expected, volume: &Volume) -> Result<Checked> {
    let checked = expected.check(volume, &mut |_| true)?;
    Ok(checked.expect("it is never told to break off"))
}

/// The damaged ranges, cut where the other file ends.
fn within(damage: &[Damage], length: u64) -> Vec<Range<u64>> {
    let cut = |damage: &Damage| {
        let end = damage.bytes.end.min(length);
        damage.bytes.start.min(end)..end
    };
    damage.iter().map(cut).collect()
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end.max(b.start + 1) && b.start < a.end
}

fn copy_range(to: &Volume, from: &Volume, range: &Range<u64>) -> Result<()> {
    let mut bytes = vec![0; COPY_BYTES];
    let mut at = range.start;
    while at < range.end {
        let count = bytes.len().min((range.end - at) as usize);
        from.read_at(at, &mut bytes[..count])?;
        to.write_at(at, &bytes[..count])?;
        at += count as u64;
    }
    Ok(())
}

/// A volume's file as it would read with some ranges taken from another file.
struct Patched {
    own: Volume,
    other: Arc<Volume>,
    ranges: Vec<Range<u64>>,
}

impl DiskFile for Patched {
    fn len(&self) -> io::Result<u64> {
        let own = self.own.length().map_err(io::Error::other)?;
        let end = self.ranges.last().map_or(0, |range| range.end);
        Ok(own.max(end))
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let own_end = self
            .own
            .length()
            .map_err(io::Error::other)?
            .clamp(offset, end);
        let mut read = |volume: &Volume, from: u64, until: u64| {
            let part = &mut bytes[(from - offset) as usize..(until - offset) as usize];
            if part.is_empty() {
                return Ok(());
            }
            volume.read_at(from, part).map_err(io::Error::other)
        };
        read(&self.own, offset, own_end)?;
        for range in &self.ranges {
            let (from, until) = (range.start.max(offset), range.end.min(end));
            if from < until {
                read(&self.other, from, until)?;
            }
        }
        Ok(())
    }

    fn write_all_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}
