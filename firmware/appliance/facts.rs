//! What PID 1 knows from its workers' reports, and what follows from it: who is wanted, and what the console says.
//!
//! | worker | subject | value |
//! |---|---|---|
//! | devices | `device` | subsystem of a device that came |
//! | disks | `archive` | data directory, and that of the copy behind a blank; empty when there is none |
//! | disks | `disks` | what people are told about the disks |
//! | disks | `claim code` | code for the page while there is no archive; empty when there is none |
//! | disks | `hostname` | the host name, without `.local` |
//! | disks | `trial` | by when the version on trial has ended it, in seconds after the start; empty when none is |
//! | disks | `end` | `restart` or `power off`, which somebody asked for on the page |
//! | network | `addresses` | addresses with blanks between them |
//! | network | `trouble` | what is wrong with network or clock; empty when nothing is |
//! | archive | `claim code` | as above |
//! | archive | `new password` | of whom, and which; it was asked for on the boot medium |
//! | archive | `claimed` | somebody has claimed the archive |
//! | archive | `ready` | edges may come |
//! | mail | `ready` | mail is taken |
//! | mail | `messages` | how many are on their way in |
//! | page | `ready` | the page answers |
//! | page | `proofs` | what it lacks while a version is on trial (`versions`) |
//! | page | `window` | the hour in which updates are installed, and how far people's clocks are ahead of UTC, in seconds |
//! | page | `exports` | how many are under way |
//!
//! All else is of no concern to PID 1: a worker cannot make it do more than this table says.

use crate::console::Status;
use crate::kernel::End;
use crate::report;
use crate::workers::{Needs, Places, Role};
use crate::{updates, versions};

/// 8 addresses on the console: more do not fit beside the rest.
const ADDRESSES_MAX: usize = 8;

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// What the console shows.
    pub(crate) status: Status,
    /// Where the archive is; none until disks were looked at.
    pub(crate) archive: Archive,
    /// What somebody asked for.
    pub(crate) end: Option<End>,
    /// By when a trial has to be over, in seconds after the start of the machine.
    pub(crate) trial_ends_s: Option<u64>,
    /// A device has come since this was last set to no.
    pub(crate) device_came: bool,
    /// Somebody has claimed the archive, as it has said since this was last set to no.
    pub(crate) was_claimed: bool,
    /// What others read in files, by the file.
    pub(crate) notes: Vec<(&'static str, String)>,
    /// A password was made anew since this was last set to no.
    pub(crate) was_reset: bool,
    /// There is one trial in a boot: a worker that is started again begins no other.
    trial_is_over: bool,
    /// Those of archive, mail and page that have said that they are ready, since they were started.
    ready: Vec<Role>,
}

/// Where the archive is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Archive {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// On no disk that can be opened.
    Absent,
    /// Mounted.
    At(Places),
}

impl Facts {
    /// Takes a report of a worker.
    pub(crate) fn take(&mut self, role: Role, line: &str) {
        let (subject, value) = report::read(line);
        match (role, subject) {
            (Role::Devices, "device" | "devices") => self.device_came = true,
            // What is said again is no change: the archive goes on, and will not say again that it is ready.
            (Role::Disks, "archive") if archive(value) != self.archive => {
                self.archive = archive(value);
                self.archive_changed();
            }
            (Role::Disks, "disks") => value.clone_into(&mut self.status.disks),
            (Role::Disks, "hostname") => value.clone_into(&mut self.status.hostname),
            (Role::Disks, "trial") if !self.trial_is_over => {
                self.trial_ends_s = value.parse().ok();
                self.trial_is_over = self.trial_ends_s.is_none();
            }
            (Role::Disks, "end") => self.end = end(value).or(self.end),
            (Role::Disks | Role::Archive, "claim code") => {
                self.status.claim_code = Some(value.to_owned()).filter(|code| !code.is_empty());
            }
            (Role::Network, "addresses") => {
                let addresses = value.split_ascii_whitespace().take(ADDRESSES_MAX);
                self.status.addresses = addresses.map(str::to_owned).collect();
            }
            (Role::Network, "trouble") => {
                let trouble = (!value.is_empty()).then(|| value.to_owned());
                self.status.troubles = trouble.into_iter().collect();
            }
            (Role::Page, "proofs") => self.note(versions::PROOFS, value),
            (Role::Page, "window") => self.note(updates::WINDOW, value),
            (Role::Page, "exports") => self.note(updates::EXPORTS, value),
            (Role::Mail, "messages") => self.note(updates::MESSAGES, value),
            (Role::Archive, "new password") => {
                self.status.new_password = Some(value.to_owned());
                self.was_reset = true;
            }
            (Role::Archive, "claimed") => {
                self.status.claim_code = None;
                self.was_claimed = true;
            }
            (Role::Archive | Role::Mail | Role::Page, "ready") => {
                self.ready.push(role);
                if role == Role::Mail {
                    "takes mail".clone_into(&mut self.status.archive);
                }
            }
            _ => {}
        }
    }

    fn archive_changed(&mut self) {
        self.ready.clear();
        let state = match &self.archive {
            Archive::At(_) => {
                // The archive knows whether somebody has claimed it.
                self.status.claim_code = None;
                "opens"
            }
            Archive::Unknown | Archive::Absent => "waits for a disk: no mail is taken",
        };
        state.clone_into(&mut self.status.archive);
    }

    /// Notes what others read in a file: the last word counts.
    fn note(&mut self, file: &'static str, value: &str) {
        self.notes.retain(|(noted, _)| *noted != file);
        self.notes.push((file, value.to_owned()));
    }

    /// Whether a worker is to run.
    pub(crate) fn meets(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Archive => matches!(self.archive, Archive::At(_)),
            Needs::Keeper => self.meets(Needs::Archive) && self.is_ready(Role::Archive),
            Needs::NoArchive => self.archive == Archive::Absent,
        }
    }

    /// Tells that the process of a worker has ended.
    pub(crate) fn ended(&mut self, role: Role) {
        self.ready.retain(|ready| *ready != role);
        // What one was at work on nobody is any more.
        match role {
            Role::Page => self.note(updates::EXPORTS, "0"),
            Role::Mail => self.note(updates::MESSAGES, "0"),
            _ => {}
        }
    }

    fn is_ready(&self, role: Role) -> bool {
        self.ready.contains(&role)
    }

    /// Whether somebody answers at the doors: the archive, or on a box without one the page on which a disk is chosen.
    pub(crate) fn answers(&self) -> bool {
        match self.archive {
            Archive::At(_) => [Role::Archive, Role::Mail, Role::Page]
                .into_iter()
                .all(|role| self.is_ready(role)),
            Archive::Absent => true,
            Archive::Unknown => false,
        }
    }

    /// Where the archive is mounted.
    pub(crate) fn places(&self) -> Option<&Places> {
        match &self.archive {
            Archive::At(places) => Some(places),
            Archive::Unknown | Archive::Absent => None,
        }
    }
}

fn archive(value: &str) -> Archive {
    let mut words = value.split_ascii_whitespace().map(str::to_owned);
    match words.next() {
        None => Archive::Absent,
        Some(data) => Archive::At(Places {
            data,
            copy: words.next(),
        }),
    }
}

fn end(value: &str) -> Option<End> {
    match value {
        "restart" => Some(End::Restart),
        "power off" => Some(End::PowerOff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(reports: &[(Role, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (role, line) in reports {
            facts.take(*role, line);
        }
        facts
    }

    #[test]
    fn the_archive_runs_where_disks_say() {
        let check = |reports: &[(Role, &str)], archive: bool, waiting: bool| {
            let facts = facts(reports);
            assert_eq!(facts.meets(Needs::Archive), archive, "{reports:?}");
            assert_eq!(facts.meets(Needs::NoArchive), waiting, "{reports:?}");
        };
        check(&[], false, false);
        check(&[(Role::Disks, "archive:")], false, true);
        check(&[(Role::Disks, "archive: /a")], true, false);
        check(&[(Role::Archive, "archive: /a")], false, false);
        check(
            &[(Role::Disks, "archive: /a"), (Role::Disks, "archive:")],
            false,
            true,
        );
        let both = facts(&[(Role::Disks, "archive: /a /b")]);
        let copy = both.places().and_then(|places| places.copy.as_deref());
        assert_eq!(copy, Some("/b"));
    }

    #[test]
    fn a_new_password_is_shown_on_the_console_alone() {
        let facts = facts(&[(Role::Archive, "new password: chef ABCD-EFGH")]);
        assert!(facts.was_reset);
        let lines = facts.status.lines();
        assert!(lines.iter().any(|line| line.contains("chef ABCD-EFGH")));
    }

    #[test]
    fn doors_answer_once_the_archive_is_ready_or_known_to_be_absent() {
        let check = |reports: &[(Role, &str)], expected: bool| {
            assert_eq!(facts(reports).answers(), expected, "{reports:?}");
        };
        let opens = (Role::Disks, "archive: /a");
        let [kept, mail, page] =
            [Role::Archive, Role::Mail, Role::Page].map(|role| (role, "ready"));
        check(&[], false);
        check(&[(Role::Disks, "archive:")], true);
        check(&[opens], false);
        check(&[opens, kept, mail], false);
        check(&[opens, kept, mail, page], true);
        // A word about the same place ends nothing: who is ready says so only once.
        check(&[opens, kept, mail, page, opens], true);
        check(
            &[opens, kept, mail, page, (Role::Disks, "archive: /b")],
            false,
        );
        let mut ended = facts(&[opens, kept, mail, page]);
        ended.ended(Role::Mail);
        assert!(!ended.answers());
        assert!(ended.meets(Needs::Keeper), "the page goes on");
        ended.ended(Role::Archive);
        assert!(!ended.meets(Needs::Keeper));
    }

    #[test]
    fn whoever_has_claimed_the_archive_needs_no_code_any_more() {
        let code = (Role::Archive, "claim code: B");
        let claimed = facts(&[code, (Role::Archive, "claimed")]);
        assert!(claimed.was_claimed && claimed.status.claim_code.is_none());
        let other = facts(&[code, (Role::Network, "claimed")]);
        assert!(!other.was_claimed && other.status.claim_code.is_some());
    }

    #[test]
    fn the_last_word_of_the_archive_is_noted() {
        let said = [
            (Role::Page, "proofs: page: no answer"),
            (Role::Page, "window: 3 3600"),
            (Role::Page, "proofs:"),
            (Role::Network, "window: 4 0"),
            (Role::Mail, "messages: 3"),
        ];
        let expected = [
            (updates::WINDOW, "3 3600"),
            (versions::PROOFS, ""),
            (updates::MESSAGES, "3"),
        ];
        let expected = expected.map(|(file, value)| (file, value.to_owned()));
        let mut facts = facts(&said);
        assert_eq!(facts.notes, expected);
        facts.ended(Role::Mail);
        let none = (updates::MESSAGES, "0".to_owned());
        assert!(facts.notes.contains(&none), "nobody is at work on them");
    }

    #[test]
    fn only_disks_may_end_the_machine() {
        let check = |role: Role, line: &str, end: Option<End>| {
            assert_eq!(facts(&[(role, line)]).end, end, "{role:?} {line}");
        };
        check(Role::Disks, "end: power off", Some(End::PowerOff));
        check(Role::Disks, "end: restart", Some(End::Restart));
        check(Role::Disks, "end: now", None);
        check(Role::Archive, "end: restart", None);
        check(Role::Network, "end: restart", None);
    }

    #[test]
    fn only_disks_say_how_long_a_trial_lasts() {
        let check = |reports: &[(Role, &str)], expected: Option<u64>| {
            assert_eq!(facts(reports).trial_ends_s, expected, "{reports:?}");
        };
        let begun = (Role::Disks, "trial: 960");
        check(&[], None);
        check(&[begun], Some(960));
        check(&[begun, (Role::Disks, "trial: 150")], Some(150));
        check(&[begun, (Role::Disks, "trial:"), begun], None);
        check(&[begun, (Role::Page, "trial:")], Some(960));
    }

    #[test]
    fn the_console_shows_what_workers_say() {
        let facts = facts(&[
            (Role::Network, "addresses: 10.0.2.15 fe80::1"),
            (Role::Network, "trouble: clock not synchronised"),
            (Role::Disks, "disks: one archive disk"),
            (Role::Disks, "hostname: archive-7"),
            (Role::Network, "hostname: another"),
            (Role::Disks, "claim code: A"),
            (Role::Archive, "claim code: B"),
            (Role::Mail, "ready"),
        ]);
        assert_eq!(facts.status.addresses, ["10.0.2.15", "fe80::1"]);
        assert_eq!(facts.status.troubles, ["clock not synchronised"]);
        assert_eq!(facts.status.claim_code.as_deref(), Some("B"));
        assert_eq!(facts.status.archive, "takes mail");
        assert_eq!(facts.status.hostname, "archive-7");
        assert_eq!(facts.status.disks, "one archive disk");
    }
}
