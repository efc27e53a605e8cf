//! Days and dates of the civil calendar, from Unix seconds and back, and their text as RFC 3339 has it.
//!
//! It knows no clock and no time zone database: a zone is an offset in seconds that comes in. Unix time counts no leap
//! seconds (POSIX.1 §4.16). Years run from 0000 to 9999, as RFC 3339 §1 does; what lies beyond is held to that range.
//! The day count is the usual arithmetic of the proleptic Gregorian calendar on years that begin in March.

use std::fmt;

/// Seconds of a day, without leap seconds.
pub const DAY_S: i64 = 86_400;

/// The first second of the year 0000.
const UNIX_S_MIN: i64 = -62_167_219_200;
/// The last second of the year 9999.
const UNIX_S_MAX: i64 = 253_402_300_799;
/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// A day of the calendar, in a year from 0000 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// Makes a date, if there is such a day; months and days count from 1.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let exists = year <= 9999
            && (1..=12).contains(&month)
            && day >= 1
            && day <= days_of_month(year, month);
        exists.then_some(Self { year, month, day })
    }

    /// Gives the UTC day of a moment in Unix seconds.
    pub fn of_unix(unix_s: i64) -> Self {
        let days = unix_s.clamp(UNIX_S_MIN, UNIX_S_MAX).div_euclid(DAY_S) + EPOCH_DAYS;
        let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        // Leap days fall at the end of every 4th year but the 100th, and of the 400th: these are the days before them.
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // From March on, month lengths repeat every 153 days of five months.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
        }
    }

    /// Gives the Unix second at which the day begins in UTC.
    pub fn unix_s(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        (era * ERA_DAYS + day_of_era - EPOCH_DAYS) * DAY_S
    }

    /// The year, 0 to 9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    pub fn day(self) -> u8 {
        self.day
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Gives the number of days of a month, 1 to 12.
pub fn days_of_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap_year(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_leap_year(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Writes a moment as RFC 3339 in UTC, to the second: `2025-03-03T08:15:02Z`.
pub fn rfc3339(unix_s: i64) -> String {
    let unix_s = unix_s.clamp(UNIX_S_MIN, UNIX_S_MAX);
    let second = unix_s.rem_euclid(DAY_S);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{}T{hour:02}:{minute:02}:{second:02}Z",
        Date::of_unix(unix_s)
    )
}

/// Reads a moment written as RFC 3339 §5.6, in Unix seconds; fractions of a second are dropped.
///
/// Gives none if the text is anything else. A leap second is the first second of the next minute.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let marks = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
    if !marks.iter().all(|&(at, mark)| {
        bytes
            .get(at)
            .is_some_and(|byte| mark.as_bytes().contains(byte))
    }) {
        return None;
    }
    let date = Date::new(
        digits(text, 0, 4)?,
        digits(text, 5, 7)? as u8,
        digits(text, 8, 10)? as u8,
    )?;
    let seconds = seconds_of_day(
        digits(text, 11, 13)?,
        digits(text, 14, 16)?,
        digits(text, 17, 19)?,
    )?;
    let mut zone = text.get(19..)?;
    if let Some(fraction) = zone.strip_prefix('.') {
        zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
        if zone.len() == fraction.len() {
            return None;
        }
    }
    Some(date.unix_s() + seconds - zone_offset_s(zone)?)
}

/// Reads `Z`, `+01:00` or `-08:30` as seconds east of UTC.
fn zone_offset_s(zone: &str) -> Option<i64> {
    let east = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    Some(east * seconds_of_day(digits(zone, 1, 3)?, digits(zone, 4, 6)?, 0)?)
}

fn seconds_of_day(hour: u16, minute: u16, second: u16) -> Option<i64> {
    let in_range = hour <= 23 && minute <= 59 && second <= 60;
    in_range.then(|| i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
}

/// Reads the bytes of a text from `start` to `end` as a number, if they are all digits.
fn digits(text: &str, start: usize, end: usize) -> Option<u16> {
    let digits = text.get(start..end)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_seconds() {
        for (year, month, day, unix_s) in [
            (1970, 1, 1, 0),
            (2000, 2, 29, 951_782_400),
            (2000, 3, 1, 951_868_800),
            (2024, 12, 31, 1_735_603_200),
            (2034, 1, 1, 2_019_686_400),
            (1969, 12, 31, -86_400),
            (0, 1, 1, UNIX_S_MIN),
            (9999, 12, 31, UNIX_S_MAX - 86_399),
        ] {
            let date = Date::new(year, month, day).expect("a day that is");
            assert_eq!(date.unix_s(), unix_s, "{date}");
            assert_eq!(Date::of_unix(unix_s), date);
            assert_eq!(Date::of_unix(unix_s + DAY_S - 1), date);
        }
    }

    #[test]
    fn every_day_follows_the_day_before_it() {
        let mut expected = Date {
            year: 0,
            month: 1,
            day: 1,
        };
        for unix_s in (UNIX_S_MIN..=UNIX_S_MAX).step_by(DAY_S as usize) {
            assert_eq!(Date::of_unix(unix_s), expected);
            assert_eq!(expected.unix_s(), unix_s);
            let Date { year, month, day } = expected;
            expected = Date::new(year, month, day + 1)
                .or_else(|| Date::new(year, month + 1, 1))
                .unwrap_or(Date {
                    year: year + 1,
                    month: 1,
                    day: 1,
                });
        }
        assert_eq!(expected.year, 10_000);
    }

    #[test]
    fn days_that_are_not_are_refused() {
        for (year, month, day) in [
            (2023, 2, 29),
            (1900, 2, 29),
            (2024, 4, 31),
            (2024, 0, 1),
            (2024, 13, 1),
            (2024, 1, 0),
            (10_000, 1, 1),
        ] {
            assert_eq!(Date::new(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn moments_are_written_and_read_as_rfc3339() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1985-04-12T23:20:50.52Z", Some(482_196_050)),
            ("1996-12-19T16:39:57-08:00", Some(851_042_397)),
            ("1990-12-31T23:59:60Z", Some(662_688_000)),
            ("1937-01-01T12:00:27.87+00:20", Some(-1_041_337_173)),
            ("2025-03-03 08:15:02z", Some(1_740_989_702)),
            ("2025-03-03T08:15:02", None),
            ("2025-03-03T08:15:02.Z", None),
            ("2025-03-03T24:00:00Z", None),
            ("2025-02-29T00:00:00Z", None),
            ("2025-03-03T08:15:02+1:00", None),
            ("2025-03-03T08:15:02Zx", None),
            ("+025-03-03T08:15:02Z", None),
            ("2025-03-03T08:15:0é", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text), expected, "{text}");
        }
        for unix_s in [UNIX_S_MIN, -1, 0, 1_740_989_702, UNIX_S_MAX] {
            assert_eq!(parse_rfc3339(&rfc3339(unix_s)), Some(unix_s));
        }
        assert_eq!(rfc3339(1_740_989_702), "2025-03-03T08:15:02Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00Z");
    }
}
