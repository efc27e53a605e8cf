//! The time zones of the offices that Coffer is for, with summer time as the European Union has it (Directive 2000/84/EC): from 01:00 UTC on
//! the last Sunday of March until 01:00 UTC on the last Sunday of October.
//!
//! Only what people read is in local time; nothing is decided by it.

use archive::calendar::Date;

const HOUR_S: i64 = 60 * 60;
const DAY_S: i64 = 24 * HOUR_S;

/// Where people's clocks stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TimeZone {
    #[default]
    CentralEurope,
    WesternEurope,
    EasternEurope,
    Utc,
}

impl TimeZone {
    pub(crate) const ALL: [Self; 4] = [
        Self::CentralEurope,
        Self::WesternEurope,
        Self::EasternEurope,
        Self::Utc,
    ];

    /// The name in the settings: that of a well-known place in it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CentralEurope => "Europe/Berlin",
            Self::WesternEurope => "Europe/London",
            Self::EasternEurope => "Europe/Helsinki",
            Self::Utc => "UTC",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|zone| zone.name() == name)
    }

    /// Gives what clocks there show, as seconds since 1970 by them.
    pub(crate) fn local_s(self, unix_s: i64) -> i64 {
        let standard = match self {
            Self::Utc => return unix_s,
            Self::WesternEurope => 0,
            Self::CentralEurope => HOUR_S,
            Self::EasternEurope => 2 * HOUR_S,
        };
        unix_s + standard + if is_summer(unix_s) { HOUR_S } else { 0 }
    }
}

fn is_summer(unix_s: i64) -> bool {
    let year = Date::of_unix(unix_s).year();
    let turn = |month| last_sunday(year, month).map(|midnight| midnight + HOUR_S);
    turn(3).is_some_and(|from| from <= unix_s) && turn(10).is_some_and(|until| unix_s < until)
}

/// Midnight of the last Sunday of a month of 31 days; 1970 began on a Thursday.
fn last_sunday(year: u16, month: u8) -> Option<i64> {
    let last = Date::new(year, month, 31)?.unix_s();
    let days_since_sunday = (last / DAY_S + 4).rem_euclid(7);
    Some(last - days_since_sunday * DAY_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::calendar::{parse_rfc3339, rfc3339};

    #[test]
    fn summer_time_turns_at_the_same_moment_everywhere() {
        use TimeZone::*;
        for (zone, utc, local) in [
            (
                CentralEurope,
                "2025-01-15T11:00:00Z",
                "2025-01-15T12:00:00Z",
            ),
            (
                CentralEurope,
                "2025-03-30T00:59:59Z",
                "2025-03-30T01:59:59Z",
            ),
            (
                CentralEurope,
                "2025-03-30T01:00:00Z",
                "2025-03-30T03:00:00Z",
            ),
            (
                CentralEurope,
                "2025-10-26T00:59:59Z",
                "2025-10-26T02:59:59Z",
            ),
            (
                CentralEurope,
                "2025-10-26T01:00:00Z",
                "2025-10-26T02:00:00Z",
            ),
            (
                CentralEurope,
                "2024-03-31T01:00:00Z",
                "2024-03-31T03:00:00Z",
            ),
            (
                WesternEurope,
                "2025-07-01T12:00:00Z",
                "2025-07-01T13:00:00Z",
            ),
            (
                EasternEurope,
                "2025-12-31T23:00:00Z",
                "2026-01-01T01:00:00Z",
            ),
            (Utc, "2025-07-01T12:00:00Z", "2025-07-01T12:00:00Z"),
        ] {
            let at = parse_rfc3339(utc).expect("a moment");
            assert_eq!(rfc3339(zone.local_s(at)), local, "{zone:?}");
        }
    }

    #[test]
    fn names_are_read_again() {
        for zone in TimeZone::ALL {
            assert_eq!(TimeZone::from_name(zone.name()), Some(zone));
        }
        assert_eq!(TimeZone::from_name("Mars/Olympus"), None);
    }
}
