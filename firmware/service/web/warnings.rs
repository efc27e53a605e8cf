//! Warnings in words that say what to do: the same on the state page and in status mails.
//!
//! What is a warning decides [`crate::health`]; each has one text in the catalogue.

use super::reasons;
use super::time_zone::TimeZone;
use super::words::Words;
use crate::health::Warning;
use archive::AlarmKind;
use fluent_bundle::FluentValue;
use store::CopyState;

/// 300 characters of a reason: it is there for whoever helps, and may be a whole chain of errors.
const WHY_CHARS_MAX: usize = 300;

/// Says a warning.
pub(crate) fn in_words(words: &Words, zone: TimeZone, warning: &Warning) -> String {
    let moment = |at_s: i64| FluentValue::from(words.moment(zone.local_s(at_s)));
    let day = |at_s: i64| FluentValue::from(words.day(zone.local_s(at_s)));
    let because = |why: &str| cut(&reasons::plain(words, why));
    let number = |number: u64| FluentValue::from(words.number(number));
    match warning {
        Warning::MailRefused { why } => words.filled("warning-refused", &[("why", because(why))]),
        Warning::Damaged { places } => {
            words.filled("warning-damaged", &[("places", number(*places))])
        }
        Warning::SecondDiskDetached { why } => {
            words.filled("warning-detached", &[("why", because(why))])
        }
        Warning::SecondDiskDiverged => words.text("warning-diverged"),
        Warning::SecondDiskTooSmall => words.text("warning-too-small"),
        Warning::Alarm(alarm) => {
            let text = match alarm_text(words, &alarm.about) {
                Some(text) => text,
                None => words.filled("alarm-other", &[("text", cut(&alarm.text))]),
            };
            let values = [("at", moment(alarm.at_s)), ("text", text.into())];
            words.filled("warning-alarm", &values)
        }
        Warning::RoomLow {
            available_bytes,
            days,
        } => {
            let left = ("left", words.size(*available_bytes).into());
            match days {
                Some(days) => words.filled("warning-room-days", &[left, ("days", (*days).into())]),
                None => words.filled("warning-room", &[left]),
            }
        }
        Warning::SourceSilent { name, last_at_s } => {
            let values = [("source", cut(name)), ("last", moment(*last_at_s))];
            words.filled("warning-silent", &values)
        }
        Warning::CertificateEnds { at_s } => {
            words.filled("warning-certificate", &[("day", day(*at_s))])
        }
        Warning::OutgoingFails { since_s, why } => {
            let values = [("since", moment(*since_s)), ("why", because(why))];
            words.filled("warning-outgoing", &values)
        }
        Warning::RouteProposed { server } => {
            words.filled("warning-route", &[("server", cut(server))])
        }
        Warning::IndexBehind { entries } => {
            words.filled("warning-index", &[("entries", number(*entries))])
        }
        Warning::Unverified { at_s } => words.filled("warning-unverified", &[("day", day(*at_s))]),
        Warning::NoMailYet => words.text("warning-no-mail"),
    }
}

/// Says an alarm by the word of what it is about, with what to do; none of a word that is not known.
pub(crate) fn alarm_text(words: &Words, about: &str) -> Option<String> {
    let kind = AlarmKind::from_name(about)?;
    Some(words.text(match kind {
        AlarmKind::StateLost => "alarm-state-lost",
        AlarmKind::RegisterDiffers => "alarm-register-differs",
        AlarmKind::CheckpointDamaged => "alarm-checkpoint-damaged",
        AlarmKind::DamageLeft => "alarm-damage-left",
        AlarmKind::DamageLeftOnCopy => "alarm-damage-left-on-copy",
        AlarmKind::CopyDiverged => "warning-diverged",
        AlarmKind::CopyTooSmall => "warning-too-small",
    }))
}

/// Gives the text of how the second disk is.
pub(crate) fn second_disk_key(state: &CopyState) -> &'static str {
    match state {
        CopyState::InStep => "second-disk-in-step",
        CopyState::CatchingUp { .. } => "second-disk-catching-up",
        CopyState::Detached { .. } => "second-disk-detached",
        CopyState::Diverged => "second-disk-diverged",
        CopyState::TooSmall { .. } => "second-disk-too-small",
    }
}

fn cut(text: &str) -> FluentValue<'static> {
    let cut: String = text.chars().take(WHY_CHARS_MAX).collect();
    cut.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Alarm;
    use crate::web::words::{Catalogues, Language};

    #[test]
    fn every_warning_has_its_words_and_values() {
        let text = || "cause-17".to_owned();
        let at_s = 1_740_992_700;
        let alarm = |about: &str| {
            let (about, text) = (about.to_owned(), text());
            Warning::Alarm(Alarm { at_s, about, text })
        };
        let catalogues = Catalogues::new();
        for (warning, value) in [
            (Warning::MailRefused { why: text() }, "cause-17"),
            (Warning::Damaged { places: 17 }, "17"),
            (Warning::SecondDiskDetached { why: text() }, "cause-17"),
            (Warning::SecondDiskDiverged, ""),
            (Warning::SecondDiskTooSmall, ""),
            (alarm(""), "cause-17"),
            (alarm("of a later version"), "cause-17"),
            (
                Warning::RoomLow {
                    available_bytes: 17_000_000,
                    days: None,
                },
                "17\u{a0}MB",
            ),
            (
                Warning::RoomLow {
                    available_bytes: 1,
                    days: Some(17),
                },
                "17",
            ),
            (
                Warning::SourceSilent {
                    name: text(),
                    last_at_s: at_s,
                },
                "cause-17",
            ),
            (Warning::CertificateEnds { at_s }, "2025"),
            (
                Warning::OutgoingFails {
                    since_s: at_s,
                    why: text(),
                },
                "cause-17",
            ),
            (Warning::RouteProposed { server: text() }, "cause-17"),
            (Warning::IndexBehind { entries: 17 }, "17"),
            (Warning::Unverified { at_s }, "2025"),
            (Warning::NoMailYet, ""),
        ] {
            for language in Language::ALL {
                let words = catalogues.of(language);
                let said = in_words(words, TimeZone::Utc, &warning);
                assert!(said.contains(value), "{warning:?}: {said}");
                assert!(!said.starts_with("warning-"), "{warning:?}: {said}");
                assert!(!said.contains('{'), "{warning:?}: {said}");
            }
        }
    }
    /// Its own sentence, without a word of the log's English.
    #[test]
    fn every_kind_of_alarm_has_its_words() {
        let catalogues = Catalogues::new();
        for kind in AlarmKind::ALL {
            let alarm = Warning::Alarm(Alarm {
                at_s: 1_740_992_700,
                about: kind.name().to_owned(),
                text: "cause-17".to_owned(),
            });
            let say = |language| in_words(catalogues.of(language), TimeZone::Utc, &alarm);
            let [english, german] = [Language::English, Language::German].map(say);
            for said in [&english, &german] {
                assert!(
                    said.contains("2025") && !said.contains("cause-17"),
                    "{said}"
                );
            }
            assert_ne!(english, german);
        }
    }
}
