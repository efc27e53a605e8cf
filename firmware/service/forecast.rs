//! How long the room on a disk will do at the pace of the last weeks, and what cannot be told.
//!
//! It knows no disk and no clock; the pace comes with the figures of [`crate::health`].

use crate::health::days_left;

/// 30 years: no disk lives as long, so nothing beyond is told apart.
const DAYS_MAX: u64 = 30 * 365;

/// How long the room will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forecast {
    /// Too few days have mail to tell.
    TooYoung,
    /// No mail came lately.
    NoPace,
    /// About so many days.
    Days(u64),
    /// Longer than a disk lives.
    Long,
}

/// Tells how long the room will do if the archive goes on growing so.
pub(crate) fn forecast(available_bytes: u64, daily_bytes: Option<u64>) -> Forecast {
    match (daily_bytes, days_left(available_bytes, daily_bytes)) {
        (None, _) => Forecast::TooYoung,
        (_, None) => Forecast::NoPace,
        (_, Some(DAYS_MAX..)) => Forecast::Long,
        (_, Some(days)) => Forecast::Days(days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn room_is_told_in_days_as_far_as_a_disk_lives() {
        for (available, daily, expected) in [
            (100 * GB, None, Forecast::TooYoung),
            (100 * GB, Some(0), Forecast::NoPace),
            (100 * GB, Some(50_000_000), Forecast::Days(2_000)),
            (0, Some(1), Forecast::Days(0)),
            (u64::MAX, Some(1), Forecast::Long),
            (DAYS_MAX, Some(1), Forecast::Long),
        ] {
            assert_eq!(forecast(available, daily), expected);
        }
    }
}
