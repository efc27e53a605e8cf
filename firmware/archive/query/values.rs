//! The values after a colon that are no text: dates and sizes.
//!
//! No clock is asked, so there is no "today"; the zone of a date is an offset that comes in.

use crate::calendar::{Date, days_of_month, parse_rfc3339};

/// The years that a query may name; what lies beyond is a slip of the finger.
const YEARS: std::ops::RangeInclusive<u16> = 1900..=2999;

/// The units of a size by their first letter.
const UNITS: [(char, u64); 4] = [('b', 1), ('k', 1 << 10), ('m', 1 << 20), ('g', 1 << 30)];

/// A stretch of time in Unix seconds: from its first second to before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Period {
    /// Reads YYYY, YYYY-MM, YYYY-MM-DD (also with strokes), DD.MM.YYYY, MM.YYYY, or a moment of RFC 3339.
    ///
    /// Days and months begin when they do `utc_offset_s` seconds east of UTC.
    pub(super) fn parse(text: &str, utc_offset_s: i32) -> Option<Self> {
        if let Some(moment) = parse_rfc3339(text) {
            let in_range = YEARS.contains(&Date::of_unix(moment).year());
            return in_range.then_some(Self {
                start: moment,
                end: moment + 1,
            });
        }
        let separator = if text.contains('.') {
            '.'
        } else if text.contains('/') {
            '/'
        } else {
            '-'
        };
        let mut parts: Vec<&str> = text.split(separator).collect();
        if separator == '.' {
            parts.reverse();
        }
        let (year, month, day) = match parts[..] {
            [year] => (year, None, None),
            [year, month] => (year, Some(month), None),
            [year, month, day] => (year, Some(month), Some(day)),
            _ => return None,
        };
        let year = number(year, 4..=4).filter(|year| YEARS.contains(year))?;
        let short = |text: Option<&str>| text.map(|text| number(text, 1..=2).ok_or(())).transpose();
        let (month, day) = (short(month).ok()?, short(day).ok()?);
        Self::of_days(
            year,
            month.map(|month| month as u8),
            day.map(|day| day as u8),
            utc_offset_s,
        )
    }

    fn of_days(year: u16, month: Option<u8>, day: Option<u8>, utc_offset_s: i32) -> Option<Self> {
        let last_month = month.unwrap_or(12);
        let last_day = day.unwrap_or_else(|| days_of_month(year, last_month));
        let first = Date::new(year, month.unwrap_or(1), day.unwrap_or(1))?;
        let last = Date::new(year, last_month, last_day)?;
        let shift = i64::from(utc_offset_s);
        Some(Self {
            start: first.unix_s() - shift,
            end: last.unix_s() + crate::calendar::DAY_S - shift,
        })
    }
}

/// Reads a number of as many digits as given.
pub(super) fn number(text: &str, len: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let is_number = len.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Reads a size in bytes: `1000`, `10k`, `5M`, `1.5MB`, `1,5 GiB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && !".,".contains(letter));
    let (count, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim_start().to_ascii_lowercase();
    let factor = match unit.chars().next() {
        None => 1,
        Some(first) => UNITS.iter().find(|(letter, _)| *letter == first)?.1,
    };
    if !matches!(unit.get(1..).unwrap_or_default(), "" | "b" | "ib") {
        return None;
    }
    let count: f64 = count.replace(',', ".").parse().ok()?;
    // A float is exact up to 2^53 bytes, and the cast stops at the greatest number.
    Some((count * factor as f64) as u64)
}

/// Writes a size in the largest unit that gives a whole number.
pub(super) fn size_text(bytes: u64) -> String {
    let unit = |&&(_, factor): &&(char, u64)| bytes != 0 && bytes.is_multiple_of(factor);
    match UNITS.iter().rev().find(unit) {
        Some(&(letter, factor)) if factor > 1 => format!("{}{letter}", bytes / factor),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::rfc3339;

    #[test]
    fn dates_are_periods() {
        for (text, expected) in [
            (
                "2024",
                Some(("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")),
            ),
            (
                "2024-02",
                Some(("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")),
            ),
            (
                "02.2024",
                Some(("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")),
            ),
            (
                "2024-12-31",
                Some(("2024-12-31T00:00:00Z", "2025-01-01T00:00:00Z")),
            ),
            (
                "2024/2/9",
                Some(("2024-02-09T00:00:00Z", "2024-02-10T00:00:00Z")),
            ),
            (
                "9.2.2024",
                Some(("2024-02-09T00:00:00Z", "2024-02-10T00:00:00Z")),
            ),
            (
                "31.12.2024",
                Some(("2024-12-31T00:00:00Z", "2025-01-01T00:00:00Z")),
            ),
            (
                "2024-12-31T23:59:59+01:00",
                Some(("2024-12-31T22:59:59Z", "2024-12-31T23:00:00Z")),
            ),
            ("2023-02-29", None),
            ("2024-13", None),
            ("2024-1-1-1", None),
            ("24-12-31", None),
            ("31.12.24", None),
            ("1899", None),
            ("2024-", None),
            ("+024", None),
            ("banana", None),
            ("", None),
        ] {
            let expected = expected.map(|(start, end)| (start.to_owned(), end.to_owned()));
            let period =
                Period::parse(text, 0).map(|period| (rfc3339(period.start), rfc3339(period.end)));
            assert_eq!(period, expected, "{text}");
        }
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        let period = Period::parse("2024-07-01", 7200).expect("a date");
        assert_eq!(rfc3339(period.start), "2024-06-30T22:00:00Z");
        assert_eq!(rfc3339(period.end), "2024-07-01T22:00:00Z");
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, expected, written) in [
            ("0", Some(0), "0"),
            ("1000", Some(1000), "1000"),
            ("1000b", Some(1000), "1000"),
            ("10k", Some(10_240), "10k"),
            ("5M", Some(5 << 20), "5m"),
            ("1.5MB", Some(3 << 19), "1536k"),
            ("1,5 MiB", Some(3 << 19), "1536k"),
            ("2gb", Some(2 << 30), "2g"),
            (
                "99999999999999999999g",
                Some(u64::MAX),
                "18446744073709551615",
            ),
            ("", None, ""),
            ("M", None, ""),
            ("5x", None, ""),
            ("5mm", None, ""),
            ("5mé", None, ""),
            ("1.2.3", None, ""),
            (".", None, ""),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
            if let Some(size) = expected {
                assert_eq!(size_text(size), written);
                assert_eq!(parse_size(written), Some(size));
            }
        }
    }
}
