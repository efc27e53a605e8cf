//! All that the page says, in German and English: one catalogue a language (`texts/*.ftl`, Fluent), and numbers and times as people of that
//! language write them.
//!
//! A test holds that both catalogues say the same things with the same values, and that each of them is used.

use archive::calendar::{DAY_S, Date};
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

/// Names of the months in the catalogues.
const MONTHS: [&str; 12] = [
    "month-1", "month-2", "month-3", "month-4", "month-5", "month-6", "month-7", "month-8",
    "month-9", "month-10", "month-11", "month-12",
];

const HOUR_S: i64 = 3_600;

/// Units of sizes in bytes, each a thousand of the one before.
const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    German,
    English,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::German, Self::English];

    /// The tag of the language (RFC 5646).
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::German => "de",
            Self::English => "en",
        }
    }

    /// What its speakers call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::German => "Deutsch",
            Self::English => "English",
        }
    }

    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// Chooses by what a browser accepts (RFC 9110 §12.5.4); English if it says nothing that we speak.
    pub(crate) fn accepted(field: &str) -> Self {
        let ranked = field.split(',').filter_map(|choice| {
            let mut parts = choice.split(';');
            let tag = parts.next()?.trim().get(..2)?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q="));
            let weight: f32 = weight.map_or(Some(1.0), |weight| weight.parse().ok())?;
            Some((weight, Self::from_tag(&tag)?))
        });
        let best = ranked.fold(None, |best: Option<(f32, Self)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        });
        best.map_or(Self::English, |(_, language)| language)
    }
}

/// The catalogues of all languages.
pub(crate) struct Catalogues {
    german: Words,
    english: Words,
}

impl Catalogues {
    /// Reads the catalogues, which are part of the program.
    pub(crate) fn new() -> Self {
        Self {
            german: Words::new(Language::German, include_str!("texts/de.ftl")),
            english: Words::new(Language::English, include_str!("texts/en.ftl")),
        }
    }

    pub(crate) fn of(&self, language: Language) -> &Words {
        match language {
            Language::German => &self.german,
            Language::English => &self.english,
        }
    }
}

/// The words of one language.
pub(crate) struct Words {
    pub(crate) language: Language,
    bundle: FluentBundle<FluentResource>,
}

impl Words {
    fn new(language: Language, catalogue: &str) -> Self {
        let tag = language.tag().parse().expect("the tags are well formed");
        let mut bundle = FluentBundle::new_concurrent(vec![tag]);
        // Values are escaped like all other text of a page; marks around them would be copied into passwords and addresses.
        bundle.set_use_isolating(false);
        let resource = FluentResource::try_new(catalogue.to_owned());
        let resource = resource.expect("a test reads the catalogues");
        bundle
            .add_resource(resource)
            .expect("no text is there twice");
        Self { language, bundle }
    }

    /// Gives a text.
    pub(crate) fn text(&self, key: &str) -> String {
        self.filled(key, &[])
    }

    /// Gives a text with values put in.
    pub(crate) fn filled(&self, key: &str, values: &[(&'static str, FluentValue<'_>)]) -> String {
        let Some(pattern) = self.bundle.get_message(key).and_then(|found| found.value()) else {
            return key.to_owned();
        };
        let values: FluentArgs<'_> = values.iter().cloned().collect();
        let mut errors = Vec::new();
        let text = self
            .bundle
            .format_pattern(pattern, Some(&values), &mut errors);
        text.into_owned()
    }

    /// Writes a number with its thousands parted.
    pub(crate) fn number(&self, number: u64) -> String {
        let mark = match self.language {
            Language::German => '.',
            Language::English => ',',
        };
        let digits = number.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(mark);
            }
            text.push(digit);
        }
        text
    }

    /// Writes a size in bytes, with one decimal below ten of a unit.
    pub(crate) fn size(&self, bytes: u64) -> String {
        let (mut value, mut unit) = (bytes as f64, 0);
        while value >= 999.5 && unit + 1 < UNITS.len() {
            (value, unit) = (value / 1000.0, unit + 1);
        }
        let text = if unit > 0 && value < 9.95 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        };
        let text = match self.language {
            Language::German => text.replace('.', ","),
            Language::English => text,
        };
        format!("{text}\u{a0}{}", UNITS[unit])
    }

    /// Writes a day, given as local Unix seconds: "3. März 2025", "3 March 2025".
    pub(crate) fn day(&self, local_s: i64) -> String {
        let date = Date::of_unix(local_s);
        let month = usize::from(date.month()).clamp(1, MONTHS.len()) - 1;
        self.filled(
            "date-written",
            &[
                ("day", date.day().to_string().into()),
                ("month", self.text(MONTHS[month]).into()),
                ("year", date.year().to_string().into()),
            ],
        )
    }

    /// Writes a day without its year, given as local Unix seconds: "3. Mär", "3 Mar".
    pub(super) fn short_day(&self, local_s: i64) -> String {
        let date = Date::of_unix(local_s);
        let month = usize::from(date.month()).clamp(1, MONTHS.len()) - 1;
        let month: String = self.text(MONTHS[month]).chars().take(3).collect();
        let day = date.day().to_string();
        self.filled(
            "short-date",
            &[("day", day.into()), ("month", month.into())],
        )
    }

    /// Writes how long something lasts, in hours, or from two days on in days.
    pub(super) fn duration(&self, seconds: i64) -> String {
        match (seconds / HOUR_S, seconds / DAY_S) {
            (..=0, _) => self.text("duration-short"),
            (hours, ..=1) => self.filled("duration-hours", &[("count", hours.into())]),
            (_, days) => self.filled("duration-days", &[("count", days.into())]),
        }
    }

    /// Writes a day with the time of day, given as local Unix seconds.
    pub(crate) fn moment(&self, local_s: i64) -> String {
        self.filled(
            "moment",
            &[
                ("day", self.day(local_s).into()),
                ("time", clock_time(local_s).into()),
            ],
        )
    }
}

/// Writes a time of day: "09:05".
pub(crate) fn clock_time(local_s: i64) -> String {
    let minutes = local_s.rem_euclid(24 * 60 * 60) / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    const GERMAN: &str = include_str!("texts/de.ftl");
    const ENGLISH: &str = include_str!("texts/en.ftl");

    /// The keys of a catalogue, each with the values it takes.
    fn keys(catalogue: &str) -> Vec<(String, BTreeSet<String>)> {
        let mut keys: Vec<(String, BTreeSet<String>)> = Vec::new();
        for line in catalogue.lines().filter(|line| !line.starts_with('#')) {
            let is_key = line.starts_with(|c: char| c.is_ascii_lowercase());
            if let (true, Some((key, _))) = (is_key, line.split_once(" =")) {
                keys.push((key.to_owned(), BTreeSet::new()));
            }
            for value in line.split('$').skip(1) {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                let name: String = value.chars().take_while(|c| is_part(*c)).collect();
                keys.last_mut().expect("a key").1.insert(name);
            }
        }
        keys
    }

    /// Every quoted text in the sources of the page that could be a key.
    fn quoted(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                quoted(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let source = std::fs::read_to_string(&path).expect("a source file");
                found.extend(source.split('"').map(str::to_owned));
            }
        }
    }

    #[test]
    fn both_catalogues_say_the_same_things_and_each_is_used() {
        let (german, english) = (keys(GERMAN), keys(ENGLISH));
        for keys in [&german, &english] {
            let once: BTreeSet<_> = keys.iter().map(|(key, _)| key).collect();
            assert_eq!(once.len(), keys.len(), "no text is there twice");
        }
        let sorted = |keys: &[_]| keys.iter().cloned().collect::<BTreeSet<_>>();
        let (german, english) = (sorted(&german), sorted(&english));
        assert_eq!(
            german.difference(&english).collect::<Vec<_>>(),
            Vec::<&_>::new()
        );
        assert_eq!(
            english.difference(&german).collect::<Vec<_>>(),
            Vec::<&_>::new()
        );
        let mut used = BTreeSet::new();
        quoted(Path::new(env!("CARGO_MANIFEST_DIR")), &mut used);
        let unused: Vec<_> = english
            .iter()
            .filter(|(key, _)| !used.contains(key))
            .collect();
        assert!(unused.is_empty(), "not used: {unused:?}");
    }

    /// A key in a source that no catalogue has would be shown to people as it is.
    #[test]
    fn every_text_that_is_asked_for_is_there() {
        let known: BTreeSet<_> = keys(ENGLISH).into_iter().map(|(key, _)| key).collect();
        let mut missing = BTreeSet::new();
        asked_for(Path::new(env!("CARGO_MANIFEST_DIR")), &mut |key| {
            if !known.contains(key) {
                missing.insert(key.to_owned());
            }
        });
        assert!(missing.is_empty(), "{missing:?}");
    }

    fn asked_for(folder: &Path, each: &mut dyn FnMut(&str)) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                asked_for(&path, each);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let source = std::fs::read_to_string(&path).expect("a source file");
                for call in ["words.text(\"", "words.filled(\""] {
                    let calls = source.split(call).skip(1);
                    calls
                        .filter_map(|rest| rest.split('"').next())
                        .for_each(&mut *each);
                }
            }
        }
    }

    #[test]
    fn numbers_sizes_and_times_are_written_as_the_language_has_them() {
        let catalogues = Catalogues::new();
        let (german, english) = (
            catalogues.of(Language::German),
            catalogues.of(Language::English),
        );
        for (number, in_german, in_english) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_000, "1.000", "1,000"),
            (48_213, "48.213", "48,213"),
            (1_234_567, "1.234.567", "1,234,567"),
        ] {
            assert_eq!(german.number(number), in_german);
            assert_eq!(english.number(number), in_english);
        }
        for (bytes, in_german) in [
            (0, "0\u{a0}B"),
            (999, "999\u{a0}B"),
            (1_000, "1,0\u{a0}kB"),
            (9_949, "9,9\u{a0}kB"),
            (9_950, "10\u{a0}kB"),
            (999_500, "1,0\u{a0}MB"),
            (25_400_000, "25\u{a0}MB"),
            (u64::MAX, "18446744\u{a0}TB"),
        ] {
            assert_eq!(german.size(bytes), in_german);
        }
        for (seconds, in_german, in_english) in [
            (-5, "weniger als eine Stunde", "less than an hour"),
            (3_599, "weniger als eine Stunde", "less than an hour"),
            (3_600, "eine Stunde", "one hour"),
            (47 * 3_600, "47 Stunden", "47 hours"),
            (48 * 3_600, "2 Tage", "2 days"),
        ] {
            assert_eq!(german.duration(seconds), in_german);
            assert_eq!(english.duration(seconds), in_english);
        }
        // 2025-03-03 09:05.
        let at = 1_740_992_700;
        assert_eq!(german.moment(at), "3. März 2025, 09:05");
        assert_eq!(english.moment(at), "3 March 2025, 09:05");
        assert_eq!(german.short_day(at), "3. Mär");
        assert_eq!(english.short_day(at), "3 Mar");
    }

    #[test]
    fn the_browser_chooses_the_language() {
        for (field, expected) in [
            ("", Language::English),
            ("de", Language::German),
            ("de-AT, en;q=0.5", Language::German),
            ("en-GB,en;q=0.9,de;q=0.8", Language::English),
            ("fr, de;q=0.3, en;q=0.7", Language::English),
            ("fr, de;q=0.3", Language::German),
            ("ja", Language::English),
            ("de;q=x, en;q=0.1", Language::English),
            ("d\u{e9}", Language::English),
        ] {
            assert_eq!(Language::accepted(field), expected, "{field}");
        }
    }
}
