//! What is wrong with an archive: figures in, warnings out. One rule for the state page, for status mails and for programs that ask.
//!
//! It has no clock, file or words: `web::warnings` says each warning in both languages, with what to do. No warning tells of a message.

use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use store::CopyState;

/// 2 GiB: a small office's mail of some weeks, so that there is time to get a larger disk.
const ROOM_LOW_BYTES: u64 = 2 << 30;

/// 30 days until the disk is full: so long may a larger one take to come.
const ROOM_LOW_DAYS: u64 = 30;

/// 7 days with mail before anybody can say what is usual for a source.
const USUAL_DAYS_MIN: usize = 7;

/// 1 day above the longest pause of a source before its silence counts, in seconds: mail comes at other hours each day.
const SILENCE_GRACE_S: i64 = DAY_S;

/// 21 days before a certificate that others have issued ends, in seconds: they take a while.
const CERTIFICATE_SOON_S: i64 = 21 * DAY_S;

/// 40 days since everything was read: upkeep does it each month while no mail comes.
const UNVERIFIED_S: i64 = 40 * DAY_S;

/// 20,000 entries that cannot be searched yet: some minutes of indexing; more means that it does not come along.
const UNINDEXED_MAX: u64 = 20_000;

/// 7 days, in seconds, for which an alarm of the log is shown; the log keeps it for ever.
const ALARM_SHOWN_S: i64 = 7 * DAY_S;

const DAY_S: i64 = 24 * 60 * 60;

/// What warnings hang on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Now, Unix seconds.
    pub now_s: i64,
    /// Distinct messages.
    pub messages: u64,
    /// Why no mail is taken now; none when it is.
    pub refusal: Option<String>,
    /// Bytes left for mail.
    pub available_bytes: u64,
    /// Bytes that the archive grows by a day; none when it is too young to know.
    pub daily_bytes: Option<u64>,
    /// The second disk; none without one, or before it was looked at.
    pub second_disk: Option<CopyState>,
    /// Places on the disks that do not hold.
    pub damaged_places: u64,
    /// The newest alarm of the audit log.
    pub alarm: Option<Alarm>,
    /// When everything was last read and found good, Unix seconds.
    pub verified_at_s: Option<i64>,
    /// Entries that searches do not find yet.
    pub unindexed: u64,
    /// Where mail comes from.
    pub sources: Vec<SourceFigures>,
    /// When a certificate ends that others have issued for the page, Unix seconds; none for the box's own, which renews itself.
    pub certificate_ends_at_s: Option<i64>,
    /// Since when Coffer's own mail does not go out, Unix seconds, and why.
    pub outgoing_failure: Option<(i64, String)>,
    /// The other mail server by which notices are to go out, if a proposal for it waits.
    pub proposed_route: Option<String>,
}

/// An alarm of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// When, Unix seconds.
    pub at_s: i64,
    /// What it is about, by the word of [`archive::AlarmKind`]; older archives have none.
    pub about: String,
    /// What the log says.
    pub text: String,
}

/// What is known of a source of mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFigures {
    /// What people know it by: the sender's address or name.
    pub name: String,
    /// When it last delivered, Unix seconds.
    pub last_at_s: i64,
    /// Arrivals a day, the oldest first, today last.
    pub days: Vec<u64>,
}

/// Something that somebody should know, or do something about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Warning {
    /// No mail is taken.
    MailRefused {
        /// Why.
        why: String,
    },
    /// A part of the archive does not hold.
    Damaged {
        /// How many places.
        places: u64,
    },
    /// The second disk is not written to.
    SecondDiskDetached {
        /// Why, in plain words.
        why: String,
    },
    /// Both disks went their own ways.
    SecondDiskDiverged,
    /// The second disk is too small.
    SecondDiskTooSmall,
    /// The log has an alarm.
    Alarm(Alarm),
    /// The disk is nearly full.
    RoomLow {
        /// Bytes left.
        available_bytes: u64,
        /// Days until it is full at the present pace; none when nobody knows.
        days: Option<u64>,
    },
    /// A source has been silent for longer than ever of late.
    SourceSilent {
        /// What people know it by.
        name: String,
        /// When it last delivered, Unix seconds.
        last_at_s: i64,
    },
    /// The page's certificate ends soon, or has ended.
    CertificateEnds {
        /// When, Unix seconds.
        at_s: i64,
    },
    /// Notices and status mails do not go out.
    OutgoingFails {
        /// Since when, Unix seconds.
        since_s: i64,
        /// Why.
        why: String,
    },
    /// Notices are to go out by another mail server, and whoever chooses that could keep them from people.
    RouteProposed {
        /// The server and its port.
        server: String,
    },
    /// Searches do not find what came last.
    IndexBehind {
        /// Entries that are not found.
        entries: u64,
    },
    /// It is long ago that everything was read.
    Unverified {
        /// When, Unix seconds.
        at_s: i64,
    },
    /// No mail has come yet.
    NoMailYet,
}

impl Warning {
    /// Gives what it is known by from one look to the next, whatever its figures.
    pub fn name(&self) -> String {
        match self {
            Self::MailRefused { .. } => "mail refused".to_owned(),
            Self::Damaged { .. } => "damaged".to_owned(),
            Self::SecondDiskDetached { .. } => "second disk detached".to_owned(),
            Self::SecondDiskDiverged => "second disk diverged".to_owned(),
            Self::SecondDiskTooSmall => "second disk too small".to_owned(),
            Self::Alarm(alarm) => format!("alarm {}", alarm.at_s),
            Self::RoomLow { .. } => "room low".to_owned(),
            Self::SourceSilent { name, .. } => format!("source silent {name}"),
            Self::CertificateEnds { at_s } => format!("certificate ends {at_s}"),
            Self::OutgoingFails { .. } => "outgoing fails".to_owned(),
            Self::RouteProposed { server } => format!("route proposed {server}"),
            Self::IndexBehind { .. } => "index behind".to_owned(),
            Self::Unverified { .. } => "unverified".to_owned(),
            Self::NoMailYet => "no mail yet".to_owned(),
        }
    }

    /// Tells whether somebody is to be told at once, by mail.
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::MailRefused { .. }
            | Self::Damaged { .. }
            | Self::SecondDiskDetached { .. }
            | Self::SecondDiskDiverged
            | Self::SecondDiskTooSmall
            | Self::Alarm(_)
            | Self::RoomLow { .. }
            | Self::SourceSilent { .. }
            | Self::RouteProposed { .. }
            | Self::CertificateEnds { .. } => true,
            // A mail cannot say that mail does not go out; the others can wait for the week.
            Self::OutgoingFails { .. }
            | Self::IndexBehind { .. }
            | Self::Unverified { .. }
            | Self::NoMailYet => false,
        }
    }
}

/// Gives what is wrong, the urgent first.
pub fn warnings(figures: &Figures) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let refusal = figures.refusal.clone();
    warnings.extend(refusal.map(|why| Warning::MailRefused { why }));
    let places = figures.damaged_places;
    warnings.extend((places > 0).then_some(Warning::Damaged { places }));
    warnings.extend(second_disk(figures.second_disk.as_ref()));
    warnings.extend(alarm(figures));
    warnings.extend(room(figures));
    let silent = |source: &&SourceFigures| is_silent(source, figures.now_s);
    let silent = figures.sources.iter().filter(silent);
    warnings.extend(silent.map(|source| Warning::SourceSilent {
        name: source.name.clone(),
        last_at_s: source.last_at_s,
    }));
    let ends = figures.certificate_ends_at_s;
    let ends = ends.filter(|at_s| at_s - figures.now_s < CERTIFICATE_SOON_S);
    warnings.extend(ends.map(|at_s| Warning::CertificateEnds { at_s }));
    let failure = figures.outgoing_failure.clone();
    warnings.extend(failure.map(|(since_s, why)| Warning::OutgoingFails { since_s, why }));
    let server = figures.proposed_route.clone();
    warnings.extend(server.map(|server| Warning::RouteProposed { server }));
    let entries = figures.unindexed;
    warnings.extend((entries > UNINDEXED_MAX).then_some(Warning::IndexBehind { entries }));
    let verified = figures.verified_at_s;
    let verified = verified.filter(|at_s| figures.now_s - at_s > UNVERIFIED_S);
    warnings.extend(verified.map(|at_s| Warning::Unverified { at_s }));
    warnings.extend((figures.messages == 0).then_some(Warning::NoMailYet));
    warnings.sort_by_key(|warning| Reverse(warning.is_urgent()));
    warnings
}

fn second_disk(state: Option<&CopyState>) -> Option<Warning> {
    match state? {
        CopyState::Detached { reason, .. } => Some(Warning::SecondDiskDetached {
            why: reason.clone(),
        }),
        CopyState::Diverged => Some(Warning::SecondDiskDiverged),
        CopyState::TooSmall { .. } => Some(Warning::SecondDiskTooSmall),
        CopyState::InStep | CopyState::CatchingUp { .. } => None,
    }
}

fn alarm(figures: &Figures) -> Option<Warning> {
    let alarm = figures.alarm.clone()?;
    (figures.now_s - alarm.at_s < ALARM_SHOWN_S).then_some(Warning::Alarm(alarm))
}

fn room(figures: &Figures) -> Option<Warning> {
    let available_bytes = figures.available_bytes;
    let days = days_left(available_bytes, figures.daily_bytes);
    let is_low = available_bytes < ROOM_LOW_BYTES || days.is_some_and(|days| days < ROOM_LOW_DAYS);
    is_low.then_some(Warning::RoomLow {
        available_bytes,
        days,
    })
}

/// Gives the days until the disk is full at a pace; none when the pace is not known or there is none.
pub fn days_left(available_bytes: u64, daily_bytes: Option<u64>) -> Option<u64> {
    available_bytes.checked_div(daily_bytes?)
}

/// Tells whether a source has been silent for longer than usual: a day more than its longest pause between two days with mail.
/// Of a source that is new nobody knows what is usual.
pub fn is_silent(source: &SourceFigures, now_s: i64) -> bool {
    let with_mail = source
        .days
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0);
    let with_mail: Vec<usize> = with_mail.map(|(day, _)| day).collect();
    if with_mail.len() < USUAL_DAYS_MIN {
        return false;
    }
    let pauses = with_mail.windows(2).map(|two| two[1] - two[0]);
    let longest_s = pauses.max().map_or(0, |days| days as i64 * DAY_S);
    now_s - source.last_at_s > longest_s + SILENCE_GRACE_S
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-06-15, in Unix seconds.
    const NOW_S: i64 = 1_750_000_000;

    /// An archive in which all is well.
    fn well() -> Figures {
        Figures {
            now_s: NOW_S,
            messages: 10,
            available_bytes: 100 << 30,
            daily_bytes: Some(10 << 20),
            second_disk: Some(CopyState::InStep),
            verified_at_s: Some(NOW_S - DAY_S),
            sources: vec![source(&[5; 30], 0)],
            certificate_ends_at_s: Some(NOW_S + 100 * DAY_S),
            ..Figures::default()
        }
    }

    fn alarm_of(at_s: i64) -> Alarm {
        Alarm {
            at_s,
            ..Alarm::default()
        }
    }

    fn source(days: &[u64], silent_days: i64) -> SourceFigures {
        SourceFigures {
            name: "192.0.2.1".to_owned(),
            last_at_s: NOW_S - silent_days * DAY_S,
            days: days.to_vec(),
        }
    }

    #[test]
    fn nothing_is_said_while_all_is_well() {
        assert_eq!(warnings(&well()), []);
        let without = Figures {
            daily_bytes: None,
            second_disk: None,
            verified_at_s: None,
            certificate_ends_at_s: None,
            ..well()
        };
        assert_eq!(warnings(&without), []);
    }

    /// Makes something wrong with an archive in which all is well, and compares what is said.
    fn check(expected: &str, spoil: impl FnOnce(&mut Figures)) {
        let mut figures = well();
        spoil(&mut figures);
        let names: Vec<String> = warnings(&figures).iter().map(Warning::name).collect();
        assert_eq!(names, [expected]);
    }

    #[test]
    fn each_trouble_has_its_warning() {
        let why = || "no room".to_owned();
        let detached = CopyState::Detached {
            since_us: 0,
            reason: why(),
        };
        let small = CopyState::TooSmall {
            own_bytes: 2,
            copy_bytes: 1,
        };
        check("mail refused", |f| f.refusal = Some(why()));
        check("damaged", |f| f.damaged_places = 1);
        check("second disk detached", |f| f.second_disk = Some(detached));
        check("second disk diverged", |f| {
            f.second_disk = Some(CopyState::Diverged);
        });
        check("second disk too small", |f| f.second_disk = Some(small));
        check("alarm 1750000000", |f| f.alarm = Some(alarm_of(NOW_S)));
        check("room low", |f| f.available_bytes = ROOM_LOW_BYTES - 1);
        check("room low", |f| f.daily_bytes = Some(4 << 30));
        check("source silent 192.0.2.1", |f| {
            f.sources = vec![source(&[5; 30], 3)];
        });
        check("certificate ends 1750086400", |f| {
            f.certificate_ends_at_s = Some(NOW_S + DAY_S);
        });
        check("outgoing fails", |f| {
            f.outgoing_failure = Some((NOW_S, why()));
        });
        check("route proposed no room", |f| f.proposed_route = Some(why()));
        check("index behind", |f| f.unindexed = UNINDEXED_MAX + 1);
        check("unverified", |f| {
            f.verified_at_s = Some(NOW_S - UNVERIFIED_S - 1);
        });
        check("no mail yet", |f| f.messages = 0);
    }

    #[test]
    fn the_urgent_come_first() {
        let figures = Figures {
            messages: 0,
            damaged_places: 2,
            alarm: Some(alarm_of(NOW_S - ALARM_SHOWN_S)),
            ..well()
        };
        let expected = [Warning::Damaged { places: 2 }, Warning::NoMailYet];
        assert_eq!(warnings(&figures), expected);
    }

    #[test]
    fn a_source_is_silent_only_against_its_own_habit() {
        let weekdays: Vec<u64> = (0..28).map(|day| u64::from(day % 7 < 5)).collect();
        for (days, silent_days, expected) in [
            (&[5; 30][..], 2, false),
            (&[5; 30], 3, true),
            // From Friday to Monday are three days.
            (&weekdays, 4, false),
            (&weekdays, 5, true),
            // New, or never heard of.
            (&[5; 6], 20, false),
            (&[], 20, false),
            (&[0, 0, 1, 0, 0], 20, false),
        ] {
            let silent = is_silent(&source(days, silent_days), NOW_S);
            assert_eq!(silent, expected, "{days:?} {silent_days}");
        }
    }

    #[test]
    fn room_lasts_as_long_as_the_pace_says() {
        for (available, daily, expected) in [
            (100, Some(10), Some(10)),
            (0, Some(10), Some(0)),
            (100, Some(0), None),
            (100, None, None),
        ] {
            assert_eq!(days_left(available, daily), expected);
        }
    }
}
