//! What does not hold on the disks, as far as it was read: by `verify`, by the monthly reading, by whoever wanted mail.
//!
//! Mail that comes again is held against it (`lost`), upkeep mends it, and the page shows it. It lasts as long as the archive is open;
//! of a sealed volume the catalog keeps that something in it did not hold: it counts as never read, and is read again soon.

use crate::catalog::VolumeEntry;
use crate::engine::Shared;
use crate::error::{Error, Result, chain};
use crate::mend::Side;
use crate::verify::Finding;
use crate::volume;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places of damage that are told at most: more of them are not read one by one.
const KNOWN_MAX: usize = 1000;

/// Something that does not hold, and on which disk.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Damaged {
    /// The disk.
    pub side: Side,
    /// What does not hold there.
    pub finding: Finding,
}

/// What does not hold, by disk and file.
#[derive(Default)]
pub(crate) struct KnownDamage(Mutex<BTreeMap<(Side, String), Vec<Finding>>>);

impl KnownDamage {
    fn known(&self) -> MutexGuard<'_, BTreeMap<(Side, String), Vec<Finding>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what a file on a disk is like now.
    pub(crate) fn note(&self, side: Side, place: String, findings: &[Finding]) {
        match findings {
            [] => drop(self.known().remove(&(side, place))),
            _ => drop(self.known().insert((side, place), findings.to_vec())),
        }
    }

    /// Says that this is all that does not hold on the own disk.
    pub(crate) fn note_own(&self, findings: &[Finding]) {
        let mut known = self.known();
        known.retain(|(side, _), _| *side == Side::Copy);
        for finding in findings {
            let place = (Side::Own, finding.place.clone());
            known.entry(place).or_default().push(finding.clone());
        }
    }

    /// Says that a volume of the own disk could not be read at an offset.
    pub(crate) fn note_unreadable(&self, number: u64, offset: u64, error: &Error) {
        if !matches!(error, Error::Damaged { .. } | Error::Disk { .. }) {
            return;
        }
        let place = volume::file_name(number);
        let mut known = self.known();
        let findings = known.entry((Side::Own, place.clone())).or_default();
        let is_new = findings.iter().all(|known| known.offset != Some(offset));
        if is_new && findings.len() < KNOWN_MAX {
            findings.push(Finding {
                place,
                offset: Some(offset),
                numbers: Vec::new(),
                what: chain(error),
            });
        }
    }

    /// Says that the file of a volume of the own disk is not there.
    pub(crate) fn note_missing(&self, number: u64) {
        self.note_volume(number, "the file is missing");
    }

    /// Says what is the matter with a whole volume of the own disk.
    fn note_volume(&self, number: u64, what: &str) {
        let place = volume::file_name(number);
        let finding = Finding {
            place: place.clone(),
            offset: None,
            numbers: Vec::new(),
            what: what.to_owned(),
        };
        self.note(Side::Own, place, &[finding]);
    }

    /// Tells whether anything does not hold on the own disk.
    pub(crate) fn is_any(&self) -> bool {
        self.known().keys().any(|(side, _)| *side == Side::Own)
    }

    /// Tells whether something in a volume of the own disk does not hold.
    pub(crate) fn is_in(&self, number: u64) -> bool {
        let place = (Side::Own, volume::file_name(number));
        self.known().contains_key(&place)
    }

    /// Gives what is known, up to a number that people and messages can take.
    pub(crate) fn list(&self) -> Vec<Damaged> {
        let damaged = |side: Side| {
            move |finding: &Finding| Damaged {
                side,
                finding: finding.clone(),
            }
        };
        let known = self.known();
        known
            .iter()
            .flat_map(|((side, _), findings)| findings.iter().map(damaged(*side)))
            .take(KNOWN_MAX)
            .collect()
    }
}

/// Keeps in the catalog which sealed volumes do not hold.
pub(crate) fn keep(shared: &Shared) -> Result<()> {
    each_sealed(shared, |number, entry| {
        if entry.read_at_us == 0 || !shared.damage.is_in(number) {
            return Ok(());
        }
        let entry = VolumeEntry {
            read_at_us: 0,
            ..entry
        };
        shared.catalog.put_volume(number, entry)
    })
}

/// Takes from the catalog which sealed volumes did not hold when they were read last.
pub(crate) fn recall(shared: &Shared) -> Result<()> {
    each_sealed(shared, |number, entry| {
        if entry.read_at_us == 0 && !shared.damage.is_in(number) {
            let what = "here or on the copy it did not hold when it was read last";
            shared.damage.note_volume(number, what);
        }
        Ok(())
    })
}

fn each_sealed(
    shared: &Shared,
    mut take: impl FnMut(u64, VolumeEntry) -> Result<()>,
) -> Result<()> {
    let view = shared.catalog.read()?;
    for number in 1..view.watermark()?.volume {
        if let Some(entry) = view.volume(number)?.filter(|entry| entry.sealed) {
            take(number, entry)?;
        }
    }
    Ok(())
}
