//! Moments, as metadata write when they expire. Deliberately in whole seconds of UTC, and in the one form that TUF allows.
//!
//! Nothing here asks a clock: whoever starts a client says what time it is. Source: §4.1, RFC 3339.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECONDS: i64 = 86_400;

/// A moment: seconds since the beginning of 1970, UTC.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(i64);

/// Text that is not a moment as `2026-01-22T15:27:44Z`.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a moment in UTC: {0}")]
pub struct NotAMoment(String);

impl Time {
    /// Gives the moment so many seconds after the beginning of 1970, UTC.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Gives the seconds since the beginning of 1970, UTC.
    pub const fn unix(self) -> i64 {
        self.0
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        let seconds = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()),
            Err(before) => i64::try_from(before.duration().as_secs()).map(|seconds| -seconds),
        };
        Self(seconds.unwrap_or(i64::MAX))
    }
}

impl FromStr for Time {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        read(text).ok_or_else(|| NotAMoment(text.to_owned()))
    }
}

impl TryFrom<String> for Time {
    type Error = NotAMoment;

    fn try_from(text: String) -> Result<Self, NotAMoment> {
        text.parse()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0.div_euclid(DAY_SECONDS));
        let second = self.0.rem_euclid(DAY_SECONDS);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

fn read(text: &str) -> Option<Time> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let marks = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'Z'),
    ];
    if marks.iter().any(|(index, mark)| bytes[*index] != *mark) {
        return None;
    }
    let year = number(&bytes[..4])?;
    let month = within(number(&bytes[5..7])?, 1, 12)?;
    let day = within(number(&bytes[8..10])?, 1, month_days(year, month))?;
    let hour = within(number(&bytes[11..13])?, 0, 23)?;
    let minute = within(number(&bytes[14..16])?, 0, 59)?;
    let second = within(number(&bytes[17..19])?, 0, 59)?;
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(Time(days(year, month, day) * DAY_SECONDS + seconds))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

fn within(number: i64, least: i64, most: i64) -> Option<i64> {
    (least..=most).contains(&number).then_some(number)
}

fn month_days(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the beginning of 1970. Years begin in March here, so that the day that only leap years have is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day so many days after the beginning of 1970: the reverse of `days`, by 400 years, which all have the same days.
fn date(since: i64) -> (i64, i64, i64) {
    let since = since + 719_468;
    let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let (next, month_of_year) = if month < 10 {
        (0, month + 3)
    } else {
        (1, month - 9)
    };
    (
        era * 400 + year + next,
        month_of_year,
        day - (month * 153 + 2) / 5 + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59Z", Some(-1)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2026-01-22T15:27:44Z", Some(1_769_095_664)),
            ("2100-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-00T00:00:00Z", None),
            ("2026-01-22T24:00:00Z", None),
            ("2026-01-22T15:27:60Z", None),
            ("2026-01-22T15:27:44+00:00", None),
            ("2026-01-22 15:27:44Z", None),
            ("2026-01-22T15:27:44.5Z", None),
            ("+026-01-22T15:27:44Z", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), seconds.map(Time), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in -62_135_596_800_i64..253_402_300_800) {
            let text = Time(seconds).to_string();
            prop_assert_eq!(text.parse(), Ok(Time(seconds)), "{}", text);
        }
    }
}
