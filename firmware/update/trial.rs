//! Whether a version that was just installed has proved itself: a machine that is fed with what was found and with the time.
//!
//! Everything has to hold at once, and go on holding for a while, before the version is good; when that has not come about within its patience,
//! or memory is being lost, it has failed. What a version has to show: the archive opens, a message that it gives itself is stored and found
//! again, page and SMTP answer over TLS, the disks are those of before, the clock is not behind its floor. A missing network is no failure: all
//! of it is asked within the machine. Whatever hangs, fails by the clock; when even this hangs, the watchdog ends it, and the boot loader counts.
//!
//! Deliberately asks nothing itself, and knows no clock.

use crate::release::TrialTerms;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An eighth: memory in use may grow by so much of what was available when all began to hold. Caches are not in use.
const MEMORY_LOSS_DIVISOR: u64 = 8;

/// What a version has to show.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The archive is open.
    Archive,
    /// A message of its own was stored and found again.
    SelfTest,
    /// SMTP answers over TLS.
    Smtp,
    /// The page answers over TLS.
    Page,
    /// The disks are those of before.
    Disks,
    /// The clock is not behind its floor.
    Clock,
}

impl Proof {
    /// All of them, in the order in which one needs another.
    pub const ALL: [Self; 6] = [
        Self::Clock,
        Self::Disks,
        Self::Archive,
        Self::Page,
        Self::Smtp,
        Self::SelfTest,
    ];

    /// Its name, as it is reported and kept.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::SelfTest => "self-test",
            Self::Smtp => "smtp",
            Self::Page => "page",
            Self::Disks => "disks",
            Self::Clock => "clock",
        }
    }
}

/// What was found in one round.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// What does not hold, and why, in words of the log.
    pub missing: Vec<(Proof, String)>,
    /// Memory that is available, in bytes.
    pub memory_available: u64,
}

/// Why a version has failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// This did not hold in time; the text is the last reason.
    Unproved(Proof, String),
    /// It lost memory.
    Memory,
    /// It never said how it ended: it hung, crashed or lost its power.
    Silent,
}

/// How a trial stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It goes on.
    Wait,
    /// The version is good.
    Good,
    /// The version has failed; the machine is to start again.
    Failed(Failure),
}

/// A trial.
#[derive(Clone, Debug)]
pub struct Trial {
    terms: TrialTerms,
    /// Since when everything holds, in seconds after the start of the machine, and the memory that was available then.
    holds_since: Option<(u64, u64)>,
    /// What did not hold in the last round that had something missing.
    last_missing: Option<(Proof, String)>,
}

impl Trial {
    /// Begins; nothing has been shown yet.
    pub fn new(terms: TrialTerms) -> Self {
        Self {
            terms,
            holds_since: None,
            last_missing: None,
        }
    }

    /// Takes a round's findings, so many seconds after the start of the machine.
    pub fn take(&mut self, findings: &Findings, uptime_s: u64) -> Verdict {
        if let Some(first) = findings.missing.first() {
            self.holds_since = None;
            self.last_missing = Some(first.clone());
            return self.wait(uptime_s);
        }
        let available = findings.memory_available;
        let (since_s, then) = *self.holds_since.get_or_insert((uptime_s, available));
        if available < then - then / MEMORY_LOSS_DIVISOR {
            return Verdict::Failed(Failure::Memory);
        }
        match uptime_s.saturating_sub(since_s) >= self.terms.steady_s {
            true => Verdict::Good,
            false => self.wait(uptime_s),
        }
    }

    /// By when it has ended, in seconds after the start of the machine.
    pub fn patience_s(&self) -> u64 {
        self.terms.patience_s
    }

    /// Nothing was found out: nobody could be asked.
    pub fn wait(&self, uptime_s: u64) -> Verdict {
        if uptime_s < self.terms.patience_s {
            return Verdict::Wait;
        }
        let (proof, why) = self.last_missing.clone().unwrap_or_default();
        Verdict::Failed(Failure::Unproved(proof, why))
    }
}

impl Default for Proof {
    /// What everything else needs.
    fn default() -> Self {
        Self::Archive
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unproved(proof, why) if why.is_empty() => write!(f, "{}", proof.name()),
            Self::Unproved(proof, why) => write!(f, "{}: {why}", proof.name()),
            Self::Memory => f.write_str("memory is being lost"),
            Self::Silent => f.write_str("it did not say why"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: TrialTerms = TrialTerms {
        starts: 3,
        steady_s: 300,
        patience_s: 900,
    };

    fn round(missing: &[Proof], memory_available: u64) -> Findings {
        let missing = missing.iter().map(|proof| (*proof, "no answer".to_owned()));
        Findings {
            missing: missing.collect(),
            memory_available,
        }
    }

    /// Expects the verdicts of rounds, each at its second and with what is missing and the memory that is available.
    #[track_caller]
    fn check(rounds: &[(u64, &[Proof], u64, Verdict)]) {
        let mut trial = Trial::new(TERMS);
        for (uptime_s, missing, memory, expected) in rounds {
            let found = trial.take(&round(missing, *memory), *uptime_s);
            assert_eq!(found, *expected, "at {uptime_s} s");
        }
    }

    #[test]
    fn all_must_hold_for_a_while() {
        check(&[
            (10, &[Proof::Archive, Proof::SelfTest], 800, Verdict::Wait),
            (20, &[], 800, Verdict::Wait),
            (319, &[], 790, Verdict::Wait),
            (320, &[], 790, Verdict::Good),
        ]);
        // What breaks in between begins anew.
        check(&[
            (20, &[], 800, Verdict::Wait),
            (200, &[Proof::Page], 800, Verdict::Wait),
            (210, &[], 800, Verdict::Wait),
            (330, &[], 800, Verdict::Wait),
            (510, &[], 800, Verdict::Good),
        ]);
    }

    #[test]
    fn what_does_not_hold_in_time_has_failed() {
        let unproved = |proof| Verdict::Failed(Failure::Unproved(proof, "no answer".to_owned()));
        for proof in Proof::ALL {
            check(&[
                (10, &[proof], 800, Verdict::Wait),
                (899, &[proof], 800, Verdict::Wait),
                (900, &[proof], 800, unproved(proof)),
            ]);
        }
        // It holds now and then, but never long enough.
        check(&[
            (600, &[], 800, Verdict::Wait),
            (700, &[Proof::Smtp], 800, Verdict::Wait),
            (710, &[], 800, Verdict::Wait),
            (900, &[], 800, unproved(Proof::Smtp)),
        ]);
        let nobody = Trial::new(TERMS);
        assert_eq!(nobody.wait(899), Verdict::Wait);
        let nothing = Failure::Unproved(Proof::Archive, String::new());
        assert_eq!(nobody.wait(900), Verdict::Failed(nothing));
    }

    #[test]
    fn lost_memory_is_a_failure() {
        check(&[
            (20, &[], 800, Verdict::Wait),
            (100, &[], 700, Verdict::Wait),
            (110, &[], 699, Verdict::Failed(Failure::Memory)),
        ]);
    }

    #[test]
    fn reasons_are_told_in_a_line() {
        let check = |failure: Failure, expected: &str| assert_eq!(failure.to_string(), expected);
        let why = "no answer".to_owned();
        check(Failure::Unproved(Proof::Smtp, why), "smtp: no answer");
        check(Failure::Unproved(Proof::Page, String::new()), "page");
        check(Failure::Silent, "it did not say why");
    }
}
