//! The Date field (RFC 5322 §3.3) and the forms of it that are seen instead, as seconds since 1970-01-01T00:00:00Z.
//!
//! What a sender writes is not to be trusted; nothing here looks at a clock.

use mail_parser::DateTime;

/// Longest text that is read as a date, in octets; a date with comments has below 100.
const DATE_MAX_BYTES: usize = 256;

/// The months by the first letters of their English names (RFC 5322 §3.3), and of the German ones that differ.
const MONTHS: [(&str, u8); 17] = [
    ("jan", 1),
    ("feb", 2),
    ("mar", 3),
    ("apr", 4),
    ("may", 5),
    ("jun", 6),
    ("jul", 7),
    ("aug", 8),
    ("sep", 9),
    ("oct", 10),
    ("nov", 11),
    ("dec", 12),
    ("mär", 3),
    ("mrz", 3),
    ("mai", 5),
    ("okt", 10),
    ("dez", 12),
];

/// The zones of RFC 5322 §4.3 and of Central Europe, in minutes east of UTC; every other name means UTC.
const ZONES: [(&str, i64); 12] = [
    ("est", -300),
    ("edt", -240),
    ("cst", -360),
    ("cdt", -300),
    ("mst", -420),
    ("mdt", -360),
    ("pst", -480),
    ("pdt", -420),
    ("cet", 60),
    ("cest", 120),
    ("mez", 60),
    ("mesz", 120),
];

/// Reads a date; gives Unix seconds (before 1970 negative), or nothing where no date can be made out.
pub fn read(value: &str) -> Option<i64> {
    let value = value.trim();
    if value.is_empty() || value.len() > DATE_MAX_BYTES {
        return None;
    }
    read_iso8601(value).or_else(|| read_words(value))
}

/// Reads "2025-03-03T10:00:00Z" and "2025-03-03 10:00:00 +0100" (RFC 3339 §5.6).
fn read_iso8601(value: &str) -> Option<i64> {
    let is_dashed =
        value.as_bytes().get(4) == Some(&b'-') && value.as_bytes().get(7) == Some(&b'-');
    if !is_dashed || !value.is_ascii() {
        return None;
    }
    let (day, time) = value.split_at_checked(10)?;
    let mut time = time.trim_start_matches(['T', 't', ' ']).replace(' ', "");
    if time
        .rfind(['+', '-'])
        .is_some_and(|sign| sign + 5 == time.len())
    {
        time.insert(time.len() - 2, ':');
    }
    DateTime::parse_rfc3339(&format!("{day}T{time}")).and_then(to_seconds)
}

/// Reads day, month, year, time and zone by their shapes, so that "Mon, 3 Mar 2025 10:00:00 +0100" (RFC 5322) and
/// "Mon Mar  3 10:00:00 2025" (asctime) are the same. A missing zone means UTC.
fn read_words(value: &str) -> Option<i64> {
    let mut date = DateTime::default();
    let mut has_time = false;
    let mut zone_minutes = 0;
    for word in without_comments(value)
        .to_lowercase()
        .split(|c: char| c.is_whitespace() || c == ',')
    {
        if let Some(minutes) = zone(word) {
            zone_minutes = minutes;
        } else if word.contains(':') && !has_time {
            has_time = true;
            (date.hour, date.minute, date.second) = time(word)?;
        } else {
            word.split(['-', '.', '/'])
                .for_each(|piece| set_day_month_or_year(piece, &mut date));
        }
    }
    let is_whole = has_time && date.day > 0 && date.month > 0 && date.year > 0;
    is_whole
        .then_some(date)
        .and_then(to_seconds)
        .map(|seconds| seconds - 60 * zone_minutes)
}

fn set_day_month_or_year(word: &str, date: &mut DateTime) {
    let month = MONTHS.iter().find(|(name, _)| word.starts_with(name));
    match (word.parse::<u16>(), month) {
        (Ok(day), _) if word.len() <= 2 && date.day == 0 => date.day = day as u8,
        (Ok(year), _) if word.len() >= 2 && date.year == 0 => {
            // RFC 5322 §4.3: two digits below 50 are of this century, three and the other two of the last.
            date.year = match (word.len(), year) {
                (2, 0..50) => 2000 + year,
                (2 | 3, _) => 1900 + year,
                // Year 102 of a program that counts from 1900.
                (4, 100..200) => 1900 + year,
                _ => year,
            };
        }
        (Err(_), Some((_, month))) if date.month == 0 => date.month = *month,
        _ => {}
    }
}

/// Reads "10:00" or "10:00:00", with a fraction or without.
fn time(word: &str) -> Option<(u8, u8, u8)> {
    let mut numbers = word
        .splitn(3, ':')
        .map(|n| n.split('.').next().unwrap_or_default().parse().ok());
    Some((
        numbers.next()??,
        numbers.next()??,
        numbers.next().unwrap_or(Some(0))?,
    ))
}

/// Reads a zone in minutes east of UTC: "+0100", "+01:00" or a name.
fn zone(word: &str) -> Option<i64> {
    if let Some((_, minutes)) = ZONES.iter().find(|(name, _)| *name == word) {
        return Some(*minutes);
    }
    let digits = word.strip_prefix(['+', '-'])?.replace(':', "");
    let number: i64 = digits
        .parse()
        .ok()
        .filter(|_| digits.len() == 4 && digits.is_ascii())?;
    let minutes = number / 100 * 60 + number % 100;
    Some(if word.starts_with('-') {
        -minutes
    } else {
        minutes
    })
}

/// Leaves out what stands in parentheses (RFC 5322 §3.2.2).
fn without_comments(value: &str) -> String {
    let mut depth = 0;
    let mut text = String::new();
    for c in value.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            c if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text
}

fn to_seconds(mut date: DateTime) -> Option<i64> {
    // A leap second (RFC 5322 §3.3) has no number of its own in Unix time.
    date.second = date.second.min(59);
    let is_real = date.is_valid() && date.day <= days_of_month(date.year, date.month);
    is_real.then(|| date.to_timestamp())
}

fn days_of_month(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: &str, expected: Option<i64>) {
        assert_eq!(read(value), expected, "{value:?}");
    }

    #[test]
    fn dates() {
        check("Mon, 3 Mar 2025 08:15:02 +0000", Some(1_740_989_702));
        check("3 Mar 2025 09:15:02 +0100 (CET)", Some(1_740_989_702));
        check("Mon, 03 Mar 2025 03:15:02 EST", Some(1_740_989_702));
        check("Mon, 3 Mar 2025 08:15:02 GMT", Some(1_740_989_702));
        check("Mon, 3 Mar 25 08:15:02 +0000", Some(1_740_989_702));
        check("Mon, 3 Mar 2025 08:15 +0000", Some(1_740_989_700));
        check(
            "Mon,\r\n 3 Mar 2025\r\n 08:15:02 +0000",
            Some(1_740_989_702),
        );
        check("2025-03-03T08:15:02Z", Some(1_740_989_702));
        check("2025-03-03 09:15:02 +0100", Some(1_740_989_702));
        check("Mon Mar  3 08:15:02 2025", Some(1_740_989_702));
        check("Mon Mar  3 09:15:02 +0100 2025", Some(1_740_989_702));
        check("Sat, 31 Dec 2016 23:59:60 +0000", Some(1_483_228_799));
        check("Mo, 3 Mrz 2025 09:15:02 +0100", Some(1_740_989_702));
        check("03-Mar-2025 09:15:02 CET", Some(1_740_989_702));
        check(
            "Mon, 3 Mar 125 08:15:02 +0000 (a (nested) comment)",
            Some(1_740_989_702),
        );
        check("Mon, 3 Mar 2025 08:15:02.123 -0000", Some(1_740_989_702));
        check("Mon, 03 Mar 0125 08:15:02 +0000", Some(1_740_989_702));
        check("1 Jan 1970 00:00:00 +0000", Some(0));
    }

    #[test]
    fn what_is_no_date() {
        check("", None);
        check("yesterday", None);
        check("Mon, 33 Mar 2025 08:15:02 +0000", None);
        check("Fri, 30 Feb 2024 08:15:02 +0000", None);
        check(&"1".repeat(300), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(value in "\\PC{0,60}", digits in "[0-9:TZ+ -]{0,40}") {
            read(&value);
            read(&digits);
        }
    }
}
