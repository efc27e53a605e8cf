//! Status mails: once a week how the archive is, and at once what somebody has to look after, in the office's language.
//!
//! What is wrong says [`crate::health`], in the same words as the state page. The week's mail carries the signed checkpoint, so that a copy of it
//! lies outside the archive. Figures and senders' servers stand in it, nothing of any message.

use super::letter::Letter;
use super::now_s;
use super::route::Route;
use super::update_mail::{self, Told};
use crate::health::{self, Figures, SourceFigures, Warning, days_left};
use crate::keeper::{Failure, Keeper};
use crate::machine::Machine;
use crate::settings::Setting;
use crate::web::time_zone::TimeZone;
use crate::web::warnings;
use crate::web::words::{Catalogues, Language, Words};
use archive::{Event, EventKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A week, in seconds: between two mails that say how the archive is, and until the same warning is sent at once again.
const WEEK_S: i64 = 7 * 24 * 60 * 60;

/// An hour, in seconds, between two warnings that are sent at once: what comes and goes is no flood.
const PACE_S: i64 = 60 * 60;

/// 7 days that the week's mail counts.
const WEEK_DAYS: usize = 7;

/// The archive itself among actors (FORMAT.md).
const COFFER: u64 = 0;

/// What was sent so far, as `state.redb` keeps it (JSON).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Sent {
    /// When the last mail of a week went out, Unix seconds.
    weekly_at_s: i64,
    /// When the last warning did.
    warned_at_s: i64,
    /// Warnings by name, and when they were sent.
    warned: BTreeMap<String, i64>,
    /// Where the last one went: another address begins anew.
    to: String,
    /// What was told about updates.
    updates: Told,
}

/// Why a mail is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    Weekly,
    Warning,
    Updates,
}

/// A status mail that is due.
pub(super) struct StatusMail {
    /// Where it goes.
    pub(super) to: String,
    /// The mail.
    pub(super) message: String,
    occasion: Occasion,
    /// What counts as sent once it is.
    sent: Sent,
}

/// Gives the status mail that is due; none when nobody wants any.
pub(super) fn due(
    keeper: &dyn Keeper,
    catalogues: &Catalogues,
    route: &Route,
    hostname: &str,
) -> Result<Option<StatusMail>, Failure> {
    let to = keeper.setting(Setting::StatusMailTo)?;
    if to.is_empty() {
        return Ok(None);
    }
    let figures = keeper.health()?;
    let warnings = health::warnings(&figures);
    let sent = Sent::read(&keeper.status_mails()?, &to);
    let Some(occasion) = sent.occasion(&warnings, figures.now_s) else {
        return Ok(None);
    };
    let language = Language::from_tag(&keeper.setting(Setting::Language)?);
    let zone = TimeZone::from_name(&keeper.setting(Setting::TimeZone)?).unwrap_or_default();
    let report = Report {
        words: catalogues.of(language.unwrap_or(Language::English)),
        zone,
        hostname,
        figures: &figures,
        warnings: &warnings,
    };
    let checkpoint = match occasion {
        Occasion::Weekly => keeper.checkpoint()?,
        Occasion::Warning | Occasion::Updates => String::new(),
    };
    let letter = Letter {
        from: &route.from,
        to: &to,
        subject: &report.subject(),
        text: &report.text(&checkpoint),
        hostname,
        now_s: figures.now_s,
    };
    Ok(Some(StatusMail {
        message: letter.message(),
        sent: sent.after(occasion, &warnings, figures.now_s),
        occasion,
        to,
    }))
}

/// Gives the mail about updates of a box that is due; none when nobody wants any, or its updates cannot be asked about now.
pub(super) fn about_updates(
    keeper: &dyn Keeper,
    machine: &dyn Machine,
    catalogues: &Catalogues,
    route: &Route,
    hostname: &str,
) -> Result<Option<StatusMail>, Failure> {
    let to = keeper.setting(Setting::StatusMailTo)?;
    let Some(seen) = machine.updates().ok().filter(|_| !to.is_empty()) else {
        return Ok(None);
    };
    let mut sent = Sent::read(&keeper.status_mails()?, &to);
    let now_s = now_s();
    let news = sent.updates.news(&seen.memory, now_s);
    let has_begun = sent.updates.has_begun();
    sent.updates = sent.updates.after(&seen.memory, &news, now_s);
    if news.is_empty() {
        if !has_begun {
            keeper.keep_status_mails(&sent.to_text())?;
        }
        return Ok(None);
    }
    let language = Language::from_tag(&keeper.setting(Setting::Language)?);
    let zone = TimeZone::from_name(&keeper.setting(Setting::TimeZone)?).unwrap_or_default();
    let words = catalogues.of(language.unwrap_or(Language::English));
    let letter = Letter {
        from: &route.from,
        to: &to,
        subject: &update_mail::subject(words, &news),
        text: &update_mail::text(words, zone, &seen, &news),
        hostname,
        now_s,
    };
    Ok(Some(StatusMail {
        message: letter.message(),
        sent,
        occasion: Occasion::Updates,
        to,
    }))
}

/// Notes that a status mail went out.
pub(super) fn was_sent(keeper: &dyn Keeper, mail: &StatusMail) -> Result<(), Failure> {
    keeper.keep_status_mails(&mail.sent.to_text())?;
    let what = match mail.occasion {
        Occasion::Weekly => "status mail of the week",
        Occasion::Warning => "status mail with a warning",
        Occasion::Updates => "mail about updates",
    };
    let event = Event {
        kind: EventKind::MailSent,
        text: what.to_owned(),
        after: mail.to.clone(),
        ..Event::default()
    };
    keeper.log(COFFER, event).map(drop)
}

impl Sent {
    /// Reads what was sent to this address; what cannot be read counts as nothing.
    fn read(text: &str, to: &str) -> Self {
        let sent: Option<Self> = serde_json::from_str(text).ok();
        let sent = sent.filter(|sent| sent.to == to);
        sent.unwrap_or_else(|| Self {
            to: to.to_owned(),
            ..Self::default()
        })
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).expect("text and numbers can be written")
    }

    fn occasion(&self, warnings: &[Warning], now_s: i64) -> Option<Occasion> {
        let is_new = |warning: &&Warning| {
            let sent = self.warned.get(&warning.name());
            warning.is_urgent() && sent.is_none_or(|at_s| is_over(*at_s, WEEK_S, now_s))
        };
        let has_new = warnings.iter().any(|warning| is_new(&warning));
        if is_over(self.weekly_at_s, WEEK_S, now_s) {
            Some(Occasion::Weekly)
        } else if has_new && is_over(self.warned_at_s, PACE_S, now_s) {
            Some(Occasion::Warning)
        } else {
            None
        }
    }

    /// What was sent once this mail was, which names all warnings.
    fn after(mut self, occasion: Occasion, warnings: &[Warning], now_s: i64) -> Self {
        match occasion {
            Occasion::Weekly => self.weekly_at_s = now_s,
            Occasion::Warning => self.warned_at_s = now_s,
            Occasion::Updates => {}
        }
        self.warned.retain(|_, at_s| !is_over(*at_s, WEEK_S, now_s));
        let names = warnings.iter().map(Warning::name);
        self.warned.extend(names.map(|name| (name, now_s)));
        self
    }
}

/// Tells whether a time has passed since a moment; also when the clock was set back before it.
fn is_over(since_s: i64, time_s: i64, now_s: i64) -> bool {
    now_s < since_s || now_s - since_s >= time_s
}

/// What a status mail says.
struct Report<'a> {
    words: &'a Words,
    zone: TimeZone,
    hostname: &'a str,
    figures: &'a Figures,
    warnings: &'a [Warning],
}

impl Report<'_> {
    fn subject(&self) -> String {
        match self.warnings.len() {
            0 => self.words.text("status-well"),
            count => {
                let values = [("count", (count as u64).into())];
                self.words.filled("status-warnings", &values)
            }
        }
    }

    fn text(&self, checkpoint: &str) -> String {
        let words = self.words;
        let mut lines = vec![
            words.filled("status-of", &[("host", self.hostname.into())]),
            String::new(),
        ];
        for warning in self.warnings {
            let said = warnings::in_words(words, self.zone, warning);
            lines.extend([format!("* {said}"), String::new()]);
        }
        if self.warnings.is_empty() {
            lines.extend([words.text("all-is-well"), String::new()]);
        }
        lines.extend(self.figures());
        if !checkpoint.is_empty() {
            lines.extend([
                String::new(),
                words.text("status-checkpoint"),
                String::new(),
            ]);
            lines.extend(checkpoint.lines().map(str::to_owned));
        }
        lines.extend([String::new(), words.text("status-end"), String::new()]);
        lines.join("\n")
    }

    fn figures(&self) -> Vec<String> {
        let (words, figures) = (self.words, self.figures);
        let line = |key: &str, value: String| format!("{}: {value}", words.text(key));
        let mut lines = vec![line("messages", words.number(figures.messages))];
        lines.extend(figures.sources.iter().map(|source| self.source(source)));
        lines.push(line("bytes-left", words.size(figures.available_bytes)));
        let days = days_left(figures.available_bytes, figures.daily_bytes);
        lines.extend(days.map(|days| line("status-days-left", words.number(days))));
        let second = figures.second_disk.as_ref();
        let second = second.map_or("second-disk-none", warnings::second_disk_key);
        lines.push(line("second-disk", words.text(second)));
        let verified = figures.verified_at_s;
        let verified = verified.map(|at_s| words.day(self.zone.local_s(at_s)));
        lines.extend(verified.map(|day| line("status-verified", day)));
        lines
    }

    fn source(&self, source: &SourceFigures) -> String {
        let week: u64 = source.days.iter().rev().take(WEEK_DAYS).sum();
        let last = self.words.moment(self.zone.local_s(source.last_at_s));
        let values = [
            ("source", source.name.as_str().into()),
            ("count", self.words.number(week).into()),
            ("last", last.into()),
        ];
        self.words.filled("status-source", &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-06-15, in Unix seconds.
    const NOW_S: i64 = 1_750_000_000;
    const HOUR_S: i64 = 3_600;

    fn damaged() -> Warning {
        Warning::Damaged { places: 1 }
    }

    #[test]
    fn a_mail_is_due_each_week_and_at_once_for_what_is_new() {
        let diverged = || Warning::SecondDiskDiverged;
        // Hours from the beginning, what is wrong then, and what goes out.
        let story: [(i64, Vec<Warning>, Option<Occasion>); 11] = [
            (0, vec![], Some(Occasion::Weekly)),
            (1, vec![], None),
            (2, vec![Warning::NoMailYet], None),
            (3, vec![damaged()], Some(Occasion::Warning)),
            (4, vec![damaged()], None),
            (4, vec![], None),
            (5, vec![damaged()], None),
            (5, vec![damaged(), diverged()], Some(Occasion::Warning)),
            (167, vec![damaged()], None),
            (168, vec![damaged()], Some(Occasion::Weekly)),
            (175, vec![damaged()], None),
        ];
        let mut sent = Sent::read("", "it@office.example");
        for (hour, warnings, expected) in story {
            let now_s = NOW_S + hour * HOUR_S;
            let occasion = sent.occasion(&warnings, now_s);
            assert_eq!(occasion, expected, "hour {hour}: {sent:?}");
            if let Some(occasion) = occasion {
                sent = sent.after(occasion, &warnings, now_s);
            }
            assert_eq!(Sent::read(&sent.to_text(), "it@office.example"), sent);
        }
        let set_back = NOW_S - 1_000 * HOUR_S;
        assert_eq!(sent.occasion(&[], set_back), Some(Occasion::Weekly));
        let another = Sent::read(&sent.to_text(), "other@office.example");
        assert_eq!(another.occasion(&[], NOW_S), Some(Occasion::Weekly));
    }

    #[test]
    fn warnings_are_paced() {
        let sent = Sent::default().after(Occasion::Weekly, &[], NOW_S);
        let sent = sent.after(Occasion::Warning, &[damaged()], NOW_S);
        let warnings = [Warning::SecondDiskDiverged];
        assert_eq!(sent.occasion(&warnings, NOW_S + HOUR_S - 1), None);
        let at_last = sent.occasion(&warnings, NOW_S + HOUR_S);
        assert_eq!(at_last, Some(Occasion::Warning));
    }

    #[test]
    fn a_report_says_all_in_both_languages() {
        let figures = Figures {
            now_s: NOW_S,
            messages: 48_213,
            available_bytes: 25_000_000_000,
            daily_bytes: Some(100_000_000),
            second_disk: Some(store::CopyState::InStep),
            verified_at_s: Some(NOW_S),
            sources: vec![SourceFigures {
                name: "mail.office.example".to_owned(),
                last_at_s: NOW_S,
                days: vec![1_000, 1, 2, 3, 4, 5, 6, 7],
            }],
            ..Figures::default()
        };
        let catalogues = Catalogues::new();
        for (language, expected) in [
            (
                Language::German,
                ["48.213", "25\u{a0}GB", "250", "28", "15. Juni 2025"],
            ),
            (
                Language::English,
                ["48,213", "25\u{a0}GB", "250", "28", "15 June 2025"],
            ),
        ] {
            let words = catalogues.of(language);
            for warnings in [&[][..], &[damaged()]] {
                let report = Report {
                    words,
                    zone: TimeZone::Utc,
                    hostname: "box.example",
                    figures: &figures,
                    warnings,
                };
                let text = format!(
                    "{}\n{}",
                    report.subject(),
                    report.text("coffer.archive/x\n9\n")
                );
                for piece in expected.into_iter().chain([
                    "box.example",
                    "mail.office.example",
                    "coffer.archive/x",
                ]) {
                    assert!(text.contains(piece), "{piece}: {text}");
                }
                assert!(!text.contains("status-"), "{text}");
                assert_eq!(
                    text.contains(&words.text("all-is-well")),
                    warnings.is_empty()
                );
            }
        }
    }
}
