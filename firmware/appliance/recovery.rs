//! Whether the version that runs is there to help out only, and how the versions that may open an archive rise.
//!
//! Recovery is a version that was started from the recovery slot, since no other starts, or one that is older than the floor in a state record: newer ones may have
//! written what it cannot read. It opens no archive and takes no mail; its page shows what was said, starts another version, or takes an update.
//!
//! The floor rises, and the recovery slot follows, by days that the good version has run. They are counted by uptime: no clock can make them pass.

use crate::state_record::StateRecord;
use service::machine::RecoveryReason;
use std::time::Duration;
use update::VersionNumber;
use update::esp::EntryName;

/// What counts as a day; the last part of one before a start does not.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// 7 days for somebody to find out that the new version will not do. Then it may write what the one before cannot read.
const FLOOR_DAYS: u8 = 7;

/// 30 days until a version is proved well enough to help out when nothing else starts.
const RECOVERY_SLOT_DAYS: u8 = 30;

/// Says why a version is there to help out only; `selected` is the entry that the boot loader started.
pub(crate) fn reason(
    selected: Option<&str>,
    running: VersionNumber,
    floor: Option<VersionNumber>,
) -> Option<RecoveryReason> {
    let stem = selected.map(|entry| entry.to_ascii_lowercase());
    let stem = stem.as_deref().map(|entry| entry.trim_end_matches(".efi"));
    let entry = stem.and_then(|stem| format!("{stem}.efi").parse().ok());
    if entry == Some(EntryName::RECOVERY) {
        return Some(RecoveryReason::NothingElseStarts);
    }
    let floor = floor.filter(|floor| running < *floor)?;
    Some(RecoveryReason::TooOld(floor))
}

/// The floor in a record; one that cannot be read was not written by us.
pub(crate) fn floor(record: &StateRecord) -> Option<VersionNumber> {
    record.version_floor()?.parse().ok()
}

/// Raises the floor to a version; it never sinks.
pub(crate) fn raise_floor(record: &mut StateRecord, version: VersionNumber) {
    if floor(record).is_none_or(|floor| floor < version) {
        record.set_version_floor(&version.to_string());
    }
}

/// Counts a day that the good version has run, and raises the floor once there were enough.
pub(crate) fn a_day_went_by(record: &mut StateRecord, good: VersionNumber) {
    if record.count_good_day(&good.to_string()) >= FLOOR_DAYS {
        raise_floor(record, good);
    }
}

/// Whether the good version has run for long enough to go into the recovery slot.
pub(crate) fn is_seasoned(record: &StateRecord, good: VersionNumber) -> bool {
    let days = record.good_days();
    days.is_some_and(|days| days.count >= RECOVERY_SLOT_DAYS && days.version == good.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> VersionNumber {
        text.parse().expect("a version")
    }

    #[test]
    fn the_slot_and_the_floor_make_a_version_recovery() {
        let too_old = |floor| Some(RecoveryReason::TooOld(version(floor)));
        let slot = Some(RecoveryReason::NothingElseStarts);
        for (selected, floor, expected) in [
            (None, None, None),
            (Some("cf1.efi"), None, None),
            (Some("cf10+2-1.efi"), Some("1.0.0"), None),
            (Some("cf1.efi"), Some("0.9.9"), None),
            (Some("cf1.efi"), Some("1.0.1"), too_old("1.0.1")),
            (None, Some("2.0.0"), too_old("2.0.0")),
            (Some("cf0.efi"), None, slot.clone()),
            (Some("CF0.EFI"), None, slot.clone()),
            (Some("cf0"), Some("2.0.0"), slot),
            (Some("another.efi"), None, None),
        ] {
            let found = reason(selected, version("1.0.0"), floor.map(version));
            assert_eq!(found, expected, "{selected:?} {floor:?}");
        }
    }

    #[test]
    fn the_floor_rises_after_a_week_and_never_sinks() {
        let mut record = StateRecord::default();
        let mut check = |days: u8, running: &str, expected: Option<&str>| {
            for _ in 0..days {
                a_day_went_by(&mut record, version(running));
            }
            assert_eq!(floor(&record), expected.map(version), "{days} of {running}");
        };
        check(6, "1.1.0", None);
        check(6, "1.2.0", None);
        check(1, "1.2.0", Some("1.2.0"));
        check(10, "1.1.0", Some("1.2.0"));
        check(6, "1.10.0", Some("1.2.0"));
        check(1, "1.10.0", Some("1.10.0"));
    }

    #[test]
    fn a_month_makes_a_version_fit_for_the_recovery_slot() {
        let mut record = StateRecord::default();
        let good = version("1.1.0");
        for day in 1..=255 {
            a_day_went_by(&mut record, good);
            assert_eq!(is_seasoned(&record, good), day >= 30, "day {day}");
        }
        a_day_went_by(&mut record, good);
        assert!(is_seasoned(&record, good), "the count ends, and stays");
        assert!(!is_seasoned(&record, version("1.2.0")));
        a_day_went_by(&mut record, version("1.2.0"));
        assert!(!is_seasoned(&record, good), "it was left meanwhile");
    }
}
