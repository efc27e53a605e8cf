//! Mending: what does not hold in a volume of one disk is written anew from the same volume of another disk with the same archive.
//!
//! Where both have the volume in the same form, it lies there to the byte, so damage on one disk is healed by the same range of the other.
//! Before anything is written, the volume is read as it would be then ([`Patched`]): only ranges that hold in it are touched, and
//! afterwards the volume is read again. Where one has it recompressed, the whole volume is taken over, if all of it holds there: it is
//! written beside, read back and renamed; so it is where the file of a sealed volume is missing. Nothing is mended that both disks have
//! lost, nor the file of the volume that is written: copying what is not there is catching up.

use crate::catalog::{CatalogView, Packing, VolumeEntry};
use crate::disk::{Disk, DiskFile};
use crate::engine::Shared;
use crate::error::{Error, Result, chain};
use crate::identity::Identity;
use crate::patient::Patient;
use crate::room;
use crate::shipping::Shipped;
use crate::upkeep::Hurry;
use crate::verify::Finding;
use crate::volume::{self, Volume};
use crate::volume_check::{Checked, Damage, Expected, Step};
use archive::{AlarmKind, Event, EventKind};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Bytes of a whole volume written between syncs: mail that is accepted meanwhile waits for no more than this to reach the disk.
const SYNC_BYTES: u64 = 8 << 20;

/// Length at which the list of ranges in one entry of the audit log ends, in characters.
const RANGES_CHARS_MAX: usize = 1000;

/// Which of the two disks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
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

/// The other copy of the archive.
#[derive(Clone, Copy)]
pub(crate) enum Other<'a> {
    /// A disk that nobody else writes.
    Apart(&'a dyn Disk),
    /// The follower: it is read by this disk, and written through its lane alone.
    Follower(&'a Patient),
}

impl<'a> Other<'a> {
    fn disk(self) -> &'a dyn Disk {
        match self {
            Self::Apart(disk) => disk,
            Self::Follower(disk) => disk,
        }
    }
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
    other: Other<'_>,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<MendReport> {
    let _hurry = Hurry::begin(&shared.upkeep);
    let last = shared.catalog.read()?.watermark()?.volume;
    let mut report = MendReport::default();
    for number in 1..=last {
        // No swap comes between.
        let _busy = shared.upkeep.take();
        mend_volume(shared, Some(other), number, &mut report, &mut |_| true)?;
        watch(number, last);
    }
    Ok(report)
}

/// Reads a volume on both disks and mends either from the other; false when `step` broke the reading off.
///
/// The caller holds [`crate::upkeep::Control::take`].
pub(crate) fn mend_volume(
    shared: &Shared,
    other: Option<Other<'_>>,
    number: u64,
    report: &mut MendReport,
    step: Step,
) -> Result<bool> {
    let view = shared.catalog.read()?;
    let end = view.watermark()?;
    let expected = Expected {
        view: &view,
        archive_id: shared.archive_id,
        number,
        until: (number == end.volume).then_some(end.offset),
    };
    let sides: &[Side] = match other {
        Some(_) => &[Side::Own, Side::Copy],
        None => &[Side::Own],
    };
    for side in sides {
        let mending = Mending {
            shared,
            other,
            expected,
            side: *side,
        };
        let (mended, left) = match mending.run(step) {
            Ok(Some(done)) => done,
            Ok(None) => return Ok(false),
            Err(error @ (Error::Disk { .. } | Error::TooNew { .. } | Error::Follower(_))) => {
                (Vec::new(), vec![finding(number, None, chain(&error))])
            }
            Err(error) => return Err(error),
        };
        shared.damage.note(*side, volume::file_name(number), &left);
        if *side == Side::Own {
            report.wants_rebuild |= !mended.is_empty() && !knows_all(&view, shared, number)?;
        }
        report.add(*side, number, &mended, left);
    }
    Ok(true)
}

impl MendReport {
    fn add(&mut self, side: Side, number: u64, mended: &[Damage], left: Vec<Finding>) {
        self.mended.extend(mended.iter().map(|damage| Mended {
            side,
            place: volume::file_name(number),
            offset: damage.bytes.start,
            length_bytes: damage.bytes.end - damage.bytes.start,
            what: damage.what.clone(),
        }));
        match side {
            Side::Own => self.left.extend(left),
            Side::Copy => self.left_on_copy.extend(left),
        }
    }
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
                reason: mended.what.clone(),
                ..Event::default()
            }),
        }
    }
    events
}

/// The alarms about what could not be mended, one a disk.
pub(crate) fn alarms(report: &MendReport) -> Vec<Event> {
    let sides = [
        (AlarmKind::DamageLeft, "", &report.left),
        (
            AlarmKind::DamageLeftOnCopy,
            "the other copy's ",
            &report.left_on_copy,
        ),
    ];
    let alarm = |(kind, whose, left): (AlarmKind, &str, &Vec<Finding>)| {
        let first = left.first()?;
        let at = first.offset.unwrap_or_default();
        let text = format!(
            "{whose}{} is damaged in {} places, first at byte {at}: {}",
            first.place,
            left.len(),
            first.what
        );
        Some(Event::alarm(kind, text))
    };
    sides.into_iter().filter_map(alarm).collect()
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

const NO_COPY: &str = "there is no copy to mend it from";

fn no_help(error: &Error) -> String {
    format!("the other copy does not help: {}", chain(error))
}

/// One volume of one disk, to be mended from the other disk.
struct Mending<'a> {
    shared: &'a Shared,
    other: Option<Other<'a>>,
    expected: Expected<'a>,
    side: Side,
}

impl<'a> Mending<'a> {
    fn to(&self) -> &'a dyn Disk {
        match (self.side, self.other) {
            (Side::Copy, Some(other)) => other.disk(),
            _ => &*self.shared.disk,
        }
    }

    fn from(&self) -> Option<&'a dyn Disk> {
        match self.side {
            Side::Own => self.other.map(Other::disk),
            Side::Copy => Some(&*self.shared.disk),
        }
    }

    /// Gives what was mended and what is left; none when `step` broke the reading off.
    fn run(&self, step: Step) -> Result<Option<MendedAndLeft>> {
        let number = self.expected.number;
        let target = match Volume::open_unread(self.to(), number, false) {
            Err(error) if error.is_missing_file() => return self.make_again().map(Some),
            opened => opened?,
        };
        let Some(before) = self.expected.check(&target, step)? else {
            return Ok(None);
        };
        if before.damage.is_empty() {
            return Ok(Some(MendedAndLeft::default()));
        }
        let left = |why: &str| Ok(Some(self.all_left(&before.damage, why)));
        let Some(from) = self.from() else {
            return left(NO_COPY);
        };
        // Sound bytes that are other ones are no damage: they may be mail that only this disk has.
        if before.damage.iter().any(|damage| damage.differs) {
            return left("it is not the volume that the other copy has, and stays as it is");
        }
        let source = match Volume::open(from, number, false) {
            Ok(source) => Arc::new(source),
            Err(error) => return left(&no_help(&error)),
        };
        let same_form = match &before.header {
            Some(header) => header.recompressed == source.header.recompressed,
            None => self.expected.until.is_some() || target.length()? == source.length()?,
        };
        match same_form {
            true => self.mend_ranges(&before, &source).map(Some),
            false => self.take_whole(&before.damage, &source).map(Some),
        }
    }

    /// Takes a volume over whose file is missing.
    fn make_again(&self) -> Result<MendedAndLeft> {
        let missing = [Damage {
            bytes: 0..u64::MAX,
            what: "the file is missing".to_owned(),
            differs: false,
        }];
        if self.expected.until.is_some() {
            return Ok(self.all_left(&missing, "it is the volume that is written"));
        }
        let Some(from) = self.from() else {
            return Ok(self.all_left(&missing, NO_COPY));
        };
        match Volume::open(from, self.expected.number, false) {
            Ok(source) => self.take_whole(&missing, &source),
            Err(error) => Ok(self.all_left(&missing, &no_help(&error))),
        }
    }

    fn all_left(&self, damage: &[Damage], why: &str) -> MendedAndLeft {
        let number = self.expected.number;
        let left = |damage: &Damage| {
            let what = format!("{}; {why}", damage.what);
            finding(number, Some(damage.bytes.start), what)
        };
        (Vec::new(), damage.iter().map(left).collect())
    }

    /// Writes the ranges that hold on the other disk.
    fn mend_ranges(&self, before: &Checked, source: &Arc<Volume>) -> Result<MendedAndLeft> {
        let number = self.expected.number;
        let ranges = within(&before.damage, source.length()?);
        let patched = Patched {
            own: Volume::open_unread(self.to(), number, false)?,
            other: source.clone(),
            ranges: ranges.clone(),
        };
        let trial = check(&self.expected, &Volume::over(number, Box::new(patched)))?;
        let holds = |range: &&Range<u64>| is_clear_of(range, &trial.damage);
        for range in ranges.iter().filter(holds) {
            self.write(source, range)?;
        }
        let after = Volume::open_unread(self.to(), number, false)?;
        let after = check(&self.expected, &after)?;
        let mended = before.damage.iter().zip(&ranges);
        let mended = mended.filter(|(_, range)| is_clear_of(range, &after.damage));
        let mended = mended.map(|(damage, range)| Damage {
            bytes: range.clone(),
            ..damage.clone()
        });
        let why = "the other copy does not hold there, either";
        let (_, left) = self.all_left(&after.damage, why);
        Ok((mended.collect(), left))
    }

    /// Writes a range of the source, durably.
    fn write(&self, source: &Volume, range: &Range<u64>) -> Result<()> {
        if self.is_on_follower() {
            return self.shared.copies.write_to_follower(source, range.clone());
        }
        let target = Volume::open_unread(self.to(), self.expected.number, true)?;
        copy_range(&target, source, range)?;
        target.sync()
    }

    fn is_on_follower(&self) -> bool {
        self.side == Side::Copy && matches!(self.other, Some(Other::Follower(_)))
    }

    /// Lets a volume that holds take the place of one that is missing, or has another form and does not hold.
    fn take_whole(&self, damage: &[Damage], source: &Volume) -> Result<MendedAndLeft> {
        let whole = check(&self.expected, source)?;
        if !is_whole(&whole) {
            let why = "only the whole volume of the other copy could help, and not all of it holds";
            return Ok(self.all_left(damage, why));
        }
        let length = source.length()?;
        let swapped = match self.is_on_follower() {
            true => self.ship(source),
            false => self.take_beside(source, whole),
        };
        match swapped {
            Ok(()) => {}
            Err(error) if error.is_full() => return Ok(self.all_left(damage, &chain(&error))),
            Err(error) => return Err(error),
        }
        let what = damage.first().map_or("", |damage| &damage.what);
        let mended = Damage {
            bytes: 0..length,
            what: format!("{what}; taken over whole, as the other copy has it"),
            differs: false,
        };
        Ok((vec![mended], Vec::new()))
    }

    fn ship(&self, source: &Volume) -> Result<()> {
        let copies = &self.shared.copies;
        let gone = || Error::Follower("it is not in step any more".to_owned());
        let lane = match copies.ship(source, &mut |_| true)? {
            Shipped::Beside(Some(lane)) => lane,
            Shipped::NoRoom => {
                return Err(Error::Follower(
                    "there is no room on it for a second file".to_owned(),
                ));
            }
            Shipped::Beside(None) | Shipped::BrokenOff => return Err(gone()),
        };
        copies
            .begin_swap(self.expected.number, Some(&lane))?
            .map(drop)
            .ok_or_else(gone)
    }

    /// Copies the source beside, reads it back and swaps; the own catalog hears of the new places.
    fn take_beside(&self, source: &Volume, whole: Checked) -> Result<()> {
        let (disk, number) = (self.to(), self.expected.number);
        room::for_beside(disk, source.length()?)?;
        let new = Volume::create_beside(disk, source.header.clone())?;
        copy_range(&new, source, &(0..source.length()?))?;
        new.sync()?;
        if !is_whole(&check(&self.expected, &new)?) {
            return Err(Error::Damaged {
                name: new.name().to_owned(),
                offset: 0,
                how: "what was written there did not come back".to_owned(),
            });
        }
        let rename = || volume::take_name(disk, number);
        if self.side == Side::Copy {
            return rename();
        }
        let known = self.expected.view.volume(number)?.unwrap_or_default();
        let entry = VolumeEntry {
            sealed: true,
            digest: whole.seal.map_or(known.digest, |seal| seal.volume_digest),
            packing: match source.header.recompressed {
                true => Packing::Recompressed(source.length()?),
                false => Packing::AsWritten,
            },
            ..known
        };
        let begin = || Ok(Some(self.shared.copies.begin_own_swap()));
        let catalog = &self.shared.catalog;
        catalog
            .swap_volume(number, entry, whole.places, begin, rename)
            .map(drop)
    }
}

/// Every frame, record and digest of a sealed volume holds.
fn is_whole(checked: &Checked) -> bool {
    checked.damage.is_empty() && checked.seal.is_some()
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

fn is_clear_of(range: &Range<u64>, damage: &[Damage]) -> bool {
    let overlaps =
        |a: &Range<u64>, b: &Range<u64>| a.start < b.end.max(b.start + 1) && b.start < a.end;
    !damage.iter().any(|damage| overlaps(&damage.bytes, range))
}

fn copy_range(to: &Volume, from: &Volume, range: &Range<u64>) -> Result<()> {
    let mut bytes = vec![0; COPY_BYTES];
    let (mut at, mut synced) = (range.start, range.start);
    while at < range.end {
        let count = bytes.len().min((range.end - at) as usize);
        from.read_at(at, &mut bytes[..count])?;
        to.write_at(at, &bytes[..count])?;
        at += count as u64;
        if at - synced > SYNC_BYTES {
            to.sync()?;
            synced = at;
        }
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
