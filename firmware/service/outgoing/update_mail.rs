//! Mails about updates, to whoever gets the status mails of a box: a version is there, what became of one, nothing can be looked for any more.
//!
//! Each thing is told once; what was told is kept beside what else was sent. What happened before anybody wanted such mails is not told afterwards.

use crate::machine::UpdatesSeen;
use crate::web::outcome;
use crate::web::time_zone::TimeZone;
use crate::web::words::Words;
use serde::{Deserialize, Serialize};
use update::VersionNumber;
use update::memory::{Available, Entry, Memory, Outcome, UNCHECKED_DAYS_MAX};

const DAY_S: i64 = 86_400;

/// What was told so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    /// Whether what happened before does not count any more.
    has_begun: bool,
    /// The newest version that was said to be there.
    available: Option<VersionNumber>,
    /// When the last thing happened that was told, Unix seconds.
    happened_at_s: i64,
    /// Its version and what became of it: what fails again in the same way is no news.
    happened: Option<(VersionNumber, Outcome)>,
    /// When it was told that nothing can be looked for, Unix seconds.
    unchecked_at_s: Option<i64>,
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// It could not be looked for newer versions for so many days.
    Unchecked(i64, String),
    /// Something became of a version.
    Happened(Entry),
    /// A version is there.
    Available(Available),
}

impl Told {
    /// Gives what was not told yet, the gravest first.
    pub(super) fn news(&self, memory: &Memory, now_s: i64) -> Vec<News> {
        let mut news = Vec::new();
        let now = update::Time::from_unix(now_s);
        let days = memory.unchecked_days(now).filter(|_| {
            let is_over = |at_s| !(0..UNCHECKED_DAYS_MAX * DAY_S).contains(&(now_s - at_s));
            self.unchecked_at_s.is_none_or(is_over)
        });
        let why = memory.unchecked.as_ref().map(|it| it.why.clone());
        news.extend(days.map(|days| News::Unchecked(days, why.unwrap_or_default())));
        if self.has_begun {
            let is_new = |entry: &&Entry| {
                let is_same = self.happened.as_ref() == Some(&what(entry));
                entry.at.unix() > self.happened_at_s && !is_same
            };
            let new = memory.history.iter().filter(is_end).filter(is_new);
            news.extend(new.cloned().map(News::Happened));
        }
        let available = memory.available.as_ref();
        let is_new = |it: &&Available| self.available != Some(it.version);
        news.extend(available.filter(is_new).cloned().map(News::Available));
        news
    }

    /// What was told once these were.
    pub(super) fn after(mut self, memory: &Memory, news: &[News], now_s: i64) -> Self {
        self.has_begun = true;
        if let Some(last) = memory.history.iter().find(is_end) {
            self.happened_at_s = last.at.unix();
            self.happened = Some(what(last));
        }
        for each in news {
            match each {
                News::Unchecked(..) => self.unchecked_at_s = Some(now_s),
                News::Available(available) => self.available = Some(available.version),
                News::Happened(_) => {}
            }
        }
        self
    }

    /// Whether what happened before has still to be passed over.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }
}

/// That a version was written is no end: it proves itself or not.
fn is_end(entry: &&Entry) -> bool {
    entry.outcome != Outcome::Installed
}

fn what(entry: &Entry) -> (VersionNumber, Outcome) {
    (entry.version, entry.outcome.clone())
}

/// Says what the first of the news is.
pub(super) fn subject(words: &Words, news: &[News]) -> String {
    let version = |version: VersionNumber| [("version", version.to_string().into())];
    match news.first() {
        None => words.text("updates-title"),
        Some(News::Unchecked(days, _)) => {
            words.filled("updates-mail-unchecked", &[("days", (*days).into())])
        }
        Some(News::Available(it)) => words.filled("updates-mail-available", &version(it.version)),
        Some(News::Happened(entry)) => {
            let key = match entry.outcome {
                Outcome::Installed | Outcome::Good => "updates-mail-good",
                Outcome::Failed(_) => "updates-mail-failed",
                Outcome::NotInstalled(_) => "updates-mail-not-installed",
                Outcome::Left => "updates-mail-left",
            };
            words.filled(key, &version(entry.version))
        }
    }
}

/// Says all of the news, with a line about each in the words of the page.
pub(super) fn text(words: &Words, zone: TimeZone, seen: &UpdatesSeen, news: &[News]) -> String {
    let mut lines = vec![words.filled(
        "updates-running",
        &[("version", seen.running.as_str().into())],
    )];
    for each in news {
        lines.push(String::new());
        match each {
            News::Unchecked(days, why) => {
                lines.push(words.filled("updates-unchecked", &[("days", (*days).into())]));
                lines.push(words.filled("updates-not-checked", &[("why", why.as_str().into())]));
            }
            News::Happened(entry) => {
                let at = words.moment(zone.local_s(entry.at.unix()));
                let became = outcome(words, &entry.outcome);
                lines.push(format!(
                    "{at}: {} {} – {became}",
                    words.text("updates-version"),
                    entry.version
                ));
            }
            News::Available(available) => {
                let version = [("version", available.version.to_string().into())];
                lines.push(words.filled("updates-available", &version));
                lines.push(available.notes.text(words.language.tag()).to_owned());
                let at = words.moment(seen.next_window_s);
                let values = [
                    ("at", at.into()),
                    ("size", words.size(available.length).into()),
                ];
                lines.push(words.filled("updates-when", &values));
            }
        }
    }
    lines.extend([String::new(), words.text("status-end"), String::new()]);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::words::{Catalogues, Language};
    use update::Time;
    use update::release::Notes;
    use update::trial::Failure;

    fn version(text: &str) -> VersionNumber {
        text.parse().expect("a version")
    }

    fn day(days: i64) -> Time {
        Time::from_unix(1_800_000_000 + days * DAY_S)
    }

    fn offered(memory: &mut Memory, text: &str) {
        memory.offered(Available {
            version: version(text),
            notes: Notes {
                de: "Neues.".to_owned(),
                en: "News.".to_owned(),
            },
            length: 26_000_000,
            seen_at: day(0),
        });
    }

    /// Expects subjects of what is told on a day, and keeps it as told.
    #[track_caller]
    fn check(told: &mut Told, memory: &Memory, days: i64, expected: &[&str]) {
        let now_s = day(days).unix();
        let catalogues = Catalogues::new();
        let words = catalogues.of(Language::English);
        let news = told.news(memory, now_s);
        let each = news
            .iter()
            .map(|it| subject(words, std::slice::from_ref(it)));
        assert_eq!(each.collect::<Vec<_>>(), expected, "day {days}");
        *told = told.clone().after(memory, &news, now_s);
        assert_eq!(told.news(memory, now_s), [], "day {days}: told twice");
    }

    #[test]
    fn each_thing_is_told_once() {
        let mut memory = Memory::default();
        memory.happened(day(0), version("1.0.0"), Outcome::Good);
        let mut told = Told::default();
        check(&mut told, &memory, 0, &[]);
        offered(&mut memory, "1.1.0");
        check(&mut told, &memory, 1, &["Coffer: version 1.1.0 is there"]);
        memory.happened(day(2), version("1.1.0"), Outcome::Installed);
        check(&mut told, &memory, 2, &[]);
        let failed = Outcome::Failed(Failure::Silent);
        memory.happened(day(3), version("1.1.0"), failed);
        let expected = ["Coffer: version 1.1.0 did not prove itself; the version before runs"];
        check(&mut told, &memory, 3, &expected);
        let full = || Outcome::NotInstalled("no room".to_owned());
        offered(&mut memory, "1.2.0");
        memory.happened(day(4), version("1.2.0"), full());
        let expected = [
            "Coffer: version 1.2.0 could not be installed",
            "Coffer: version 1.2.0 is there",
        ];
        check(&mut told, &memory, 4, &expected);
        memory.happened(day(5), version("1.2.0"), full());
        check(&mut told, &memory, 5, &[]);
        memory.happened(day(6), version("1.2.0"), Outcome::Good);
        check(
            &mut told,
            &memory,
            6,
            &["Coffer: version 1.2.0 is installed"],
        );
    }

    #[test]
    fn that_nothing_can_be_looked_for_is_told_each_fortnight() {
        let mut memory = Memory::default();
        memory.checked(day(0));
        memory.not_checked(day(1), "no route".to_owned());
        let mut told = Told::default();
        check(&mut told, &memory, 13, &[]);
        let expected = ["Coffer: no updates could be looked for in 14 days"];
        check(&mut told, &memory, 14, &expected);
        check(&mut told, &memory, 27, &[]);
        let expected = ["Coffer: no updates could be looked for in 28 days"];
        check(&mut told, &memory, 28, &expected);
    }

    #[test]
    fn a_mail_says_why_and_what_is_new_in_both_languages() {
        let mut memory = Memory::default();
        let mut told = Told::default().after(&memory, &[], day(0).unix());
        told.happened_at_s = 0;
        offered(&mut memory, "1.2.0");
        let why = "no room on the EFI partition".to_owned();
        memory.happened(day(1), version("1.1.0"), Outcome::NotInstalled(why.clone()));
        let news = told.news(&memory, day(1).unix());
        let seen = UpdatesSeen {
            running: "1.0.0".to_owned(),
            memory,
            ..UpdatesSeen::default()
        };
        let catalogues = Catalogues::new();
        for (language, notes) in [(Language::German, "Neues."), (Language::English, "News.")] {
            let said = text(catalogues.of(language), TimeZone::Utc, &seen, &news);
            for piece in ["1.0.0", "1.1.0", "1.2.0", &why, notes, "26\u{a0}MB"] {
                assert!(said.contains(piece), "{piece}: {said}");
            }
        }
    }
}
