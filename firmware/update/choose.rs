//! Which release comes next, and whether now is the time for it. Pure: releases, what was tried and moments come in, a decision goes out.
//!
//! The newest release that this box can take comes first. One that needs a version in between is reached over that version. A release that
//! failed is left alone, and all older ones with it, until there is a newer one or somebody says otherwise.
//!
//! It is the time when somebody said "now", else in the hour of the window, unless updates are paused. Deliberately knows no repository.

use crate::metadata::Target;
use crate::release::{Refusal, Release, VersionNumber};
use crate::time::Time;

/// 30 days: an office that needs longer is warned, and then updated all the same.
pub const PAUSE_DAYS_MAX: u32 = 30;

const DAY_S: i64 = 86_400;
const HOUR_S: i64 = 3_600;

/// What this box is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Running {
    /// Its board.
    pub board: String,
    /// The version that runs.
    pub version: VersionNumber,
}

/// A release that a repository offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The target, to be fetched.
    pub target: Target,
    /// What is said of it.
    pub release: Release,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Nothing: what runs is the newest.
    UpToDate,
    /// This release.
    Next(Box<Offer>),
    /// This box takes none of them; why not the newest.
    Refused(VersionNumber, Refusal),
}

impl Offer {
    /// Reads what is on offer out of targets; those that are no releases are passed over.
    pub fn all(targets: Vec<Target>) -> Vec<Self> {
        let offer = |target: Target| {
            let release = Release::of(&target).ok()?;
            (release.path() == target.path()).then_some(Self { target, release })
        };
        targets.into_iter().filter_map(offer).collect()
    }
}

/// Chooses what comes next. `failed`: versions that were tried and did not prove themselves.
pub fn choose(offers: Vec<Offer>, running: &Running, failed: &[VersionNumber]) -> Choice {
    // Releases for other boards are nothing to tell of, unless there is nothing else.
    let (mut own, mut others): (Vec<Offer>, Vec<Offer>) = offers
        .into_iter()
        .partition(|offer| offer.release.board == running.board);
    own.sort_by_key(|offer| offer.release.version);
    others.sort_by_key(|offer| offer.release.version);
    let newest = own.last().or(others.last());
    let Some(newest) = newest.map(|offer| offer.release.clone()) else {
        return Choice::UpToDate;
    };
    let is_current = newest.board == running.board && newest.version == running.version;
    let fits = |offer: &Offer| refusal(&offer.release, running, failed).is_none();
    match own.into_iter().rfind(fits) {
        Some(offer) => Choice::Next(Box::new(offer)),
        None => match refusal(&newest, running, failed).filter(|_| !is_current) {
            Some(why) => Choice::Refused(newest.version, why),
            None => Choice::UpToDate,
        },
    }
}

fn refusal(release: &Release, running: &Running, failed: &[VersionNumber]) -> Option<Refusal> {
    let refused = release.refusal(&running.board, running.version);
    let failed = failed.iter().filter(|failed| **failed >= release.version);
    refused.or_else(|| failed.max().map(|failed| Refusal::FailedBefore(*failed)))
}

/// When updates are installed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Schedule {
    /// The hour of the window, 0 to 23, by people's clocks.
    pub window_hour: u8,
    /// Until when they are paused.
    pub paused_until: Option<Time>,
    /// Somebody said "now".
    pub at_once: bool,
}

impl Schedule {
    /// Says whether to install now; `local_s` is what people's clocks show, as seconds since 1970 by them.
    pub fn is_due(&self, now: Time, local_s: i64) -> bool {
        let hour = local_s.rem_euclid(DAY_S) / HOUR_S;
        self.at_once || !self.is_paused(now) && hour == i64::from(self.window_hour)
    }

    /// Says whether updates are paused. A pause that ends later than one may last comes of a clock that was wrong, and counts for nothing.
    pub fn is_paused(&self, now: Time) -> bool {
        let latest = now.unix() + i64::from(PAUSE_DAYS_MAX) * DAY_S;
        self.paused_until
            .is_some_and(|until| now < until && until.unix() <= latest)
    }

    /// Gives the beginning of the next window in what people's clocks show, which may be the one that runs.
    pub fn next_window_s(&self, now: Time, local_s: i64) -> i64 {
        let ahead_s = match self.paused_until.filter(|_| self.is_paused(now)) {
            Some(until) => until.unix() - now.unix(),
            None => 0,
        };
        let from_s = local_s + ahead_s;
        let window_s = from_s.div_euclid(DAY_S) * DAY_S + i64::from(self.window_hour) * HOUR_S;
        match from_s < window_s + HOUR_S {
            true => window_s,
            false => window_s + DAY_S,
        }
    }
}

/// Gives until when a pause of some days lasts; nothing when it would be none or longer than one may.
pub fn pause(now: Time, days: u32) -> Option<Time> {
    let seconds = i64::from(days) * DAY_S;
    (1..=PAUSE_DAYS_MAX)
        .contains(&days)
        .then(|| Time::from_unix(now.unix() + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tests::release;
    use crate::test_repository::{Follower, TestRepository};
    use serde_json::json;

    /// Offers as a client finds them, each with its minimum version.
    fn offers(releases: &[(&str, &str)]) -> Vec<Offer> {
        let mut repository = TestRepository::new();
        for (version, minimum) in releases {
            let mut release = release(version);
            release.minimum_version = minimum.parse().expect("a version");
            repository.add_target("targets", &release.path(), version.as_bytes());
            let target = &mut repository.role("targets")["targets"][release.path()];
            target["custom"] = serde_json::to_value(&release).expect("JSON");
        }
        repository.add_target("targets", "README.txt", b"no release");
        repository.add_target("targets", "barn/coffer-9.0.0.efi.zst", b"another path");
        repository.role("targets")["targets"]["barn/coffer-9.0.0.efi.zst"]["custom"] =
            json!(release("9.0.0"));
        repository.publish_all();
        let mut follower = Follower::new(&repository);
        let client = follower.refresh(&repository).expect("trusted");
        Offer::all(client.top_level_targets())
    }

    /// Expects what comes next on a box with 1.0.0: a version, nothing, or a reason.
    #[track_caller]
    fn check(releases: &[(&str, &str)], failed: &[&str], expected: Result<Option<&str>, &str>) {
        let running = Running {
            board: "box".to_owned(),
            version: "1.0.0".parse().expect("a version"),
        };
        let failed: Vec<_> = failed.iter().map(|it| it.parse().expect("one")).collect();
        let found = match choose(offers(releases), &running, &failed) {
            Choice::UpToDate => Ok(None),
            Choice::Next(offer) => Ok(Some(offer.release.version.to_string())),
            Choice::Refused(_, why) => Err(why.to_string()),
        };
        let expected = expected
            .map(|version| version.map(str::to_owned))
            .map_err(str::to_owned);
        assert_eq!(found, expected, "{releases:?} {failed:?}");
    }

    #[test]
    fn the_newest_that_fits_comes_next() {
        check(&[], &[], Ok(None));
        check(&[("1.0.0", "0.1.0"), ("0.9.0", "0.1.0")], &[], Ok(None));
        check(
            &[("1.1.0", "0.1.0"), ("1.10.0", "1.0.0"), ("1.9.0", "0.1.0")],
            &[],
            Ok(Some("1.10.0")),
        );
        // Over a version in between.
        check(
            &[("3.0.0", "2.0.0"), ("2.0.0", "1.0.0"), ("1.5.0", "1.0.0")],
            &[],
            Ok(Some("2.0.0")),
        );
        let first = "an update to this version or a newer one has to come first: 2.0.0";
        check(&[("3.0.0", "2.0.0")], &[], Err(first));
        let older = "not newer than what runs: 0.9.0";
        check(&[("0.8.0", "0.1.0"), ("0.9.0", "0.1.0")], &[], Err(older));
    }

    #[test]
    fn what_is_only_for_other_boards_is_told_as_such() {
        let running = Running {
            board: "barn".to_owned(),
            version: "1.0.0".parse().expect("a version"),
        };
        for version in ["0.9.0", "1.0.0", "2.0.0"] {
            let chosen = choose(offers(&[(version, "0.1.0")]), &running, &[]);
            let Choice::Refused(found, why) = chosen else {
                panic!("{chosen:?}");
            };
            assert_eq!(found.to_string(), version);
            assert_eq!(why.to_string(), "for another board: box");
        }
    }

    #[test]
    fn what_failed_is_left_alone_until_there_is_a_newer_one() {
        let failed = "was tried and failed: 2.0.0";
        check(&[("2.0.0", "1.0.0")], &["2.0.0"], Err(failed));
        let older = [("2.0.0", "1.0.0"), ("1.5.0", "1.0.0")];
        check(&older, &["2.0.0"], Err(failed));
        check(&older, &["1.5.0"], Ok(Some("2.0.0")));
        let newer = [("2.0.0", "1.0.0"), ("2.0.1", "1.0.0")];
        check(&newer, &["2.0.0"], Ok(Some("2.0.1")));
    }

    const NOON: i64 = 1_795_305_600 + 12 * HOUR_S; // 2026-11-22

    #[test]
    fn the_window_is_an_hour_of_people_s_clocks() {
        let schedule = |hour, paused_days: Option<i64>, at_once| Schedule {
            window_hour: hour,
            paused_until: paused_days.map(|days| Time::from_unix(NOON + days * DAY_S)),
            at_once,
        };
        for (schedule, local_s, expected) in [
            (schedule(4, None, false), NOON, false),
            (schedule(4, None, false), NOON - 8 * HOUR_S, true),
            (schedule(4, None, false), NOON - 7 * HOUR_S - 1, true),
            (schedule(4, None, false), NOON - 7 * HOUR_S, false),
            (schedule(0, None, false), NOON + 12 * HOUR_S, true),
            (schedule(12, None, false), NOON, true),
            (schedule(12, Some(1), false), NOON, false),
            (schedule(12, Some(0), false), NOON, true),
            (schedule(12, Some(-1), false), NOON, true),
            (schedule(12, Some(30), false), NOON, false),
            (schedule(12, Some(31), false), NOON, true),
            (schedule(4, Some(5), true), NOON, true),
        ] {
            let found = schedule.is_due(Time::from_unix(NOON), local_s);
            assert_eq!(found, expected, "{schedule:?} {local_s}");
        }
    }

    #[test]
    fn the_next_window_is_told() {
        let check = |hour, paused_s: i64, expected_hours: i64| {
            let schedule = Schedule {
                window_hour: hour,
                paused_until: Some(Time::from_unix(NOON + paused_s)),
                at_once: false,
            };
            let found = schedule.next_window_s(Time::from_unix(NOON), NOON);
            assert_eq!(found, NOON + expected_hours * HOUR_S, "{hour} {paused_s}");
        };
        check(12, 0, 0);
        check(13, 0, 1);
        check(11, 0, 23);
        check(4, 0, 16);
        check(4, DAY_S, 40);
        check(12, DAY_S, 24);
        check(4, 31 * DAY_S, 16);
    }

    #[test]
    fn a_pause_has_an_end() {
        let now = Time::from_unix(NOON);
        for (days, expected) in [(0, None), (1, Some(1)), (30, Some(30)), (31, None)] {
            let expected = expected.map(|days: i64| Time::from_unix(NOON + days * DAY_S));
            assert_eq!(pause(now, days), expected, "{days}");
        }
    }
}
