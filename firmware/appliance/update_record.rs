//! The version that was installed last, and how it stands: a field of the state record, since a version on trial may open no archive.
//!
//! It is JSON, so that the version before can read what a newer one has written. Where it is missing or cannot be read, a version on trial goes by
//! the usual terms, and one that has failed has not said why.

use serde::{Deserialize, Serialize};
use update::release::{TrialTerms, VersionNumber};
use update::trial::Failure;

/// What a version proves itself by that was installed by nobody who told: three starts, five minutes of a quarter of an hour.
pub(crate) const USUAL_TERMS: TrialTerms = TrialTerms {
    starts: 3,
    steady_s: 300,
    patience_s: 900,
};

/// A version that was installed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct UpdateRecord {
    /// Which one.
    pub(crate) version: VersionNumber,
    /// How it proves itself.
    pub(crate) terms: TrialTerms,
    /// Archive disks that were open when it was installed.
    pub(crate) disks: usize,
    /// The boot in which it was installed: until the next one it has not been started.
    pub(crate) boot: String,
    /// Why it has failed, once it has said so.
    #[serde(default)]
    pub(crate) failure: Option<Failure>,
}

/// How an installed version stands, as whoever remembers updates has to know it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Standing {
    /// Nothing was installed that is not remembered yet.
    Settled,
    /// It starts next.
    Waits(VersionNumber),
    /// It runs, and is to prove itself.
    OnTrial(VersionNumber),
    /// It has proved itself.
    Good(VersionNumber),
    /// It has not; another one runs.
    Failed(VersionNumber, Failure),
}

impl UpdateRecord {
    /// Reads the field.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Writes the field.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("text and numbers can be written")
    }

    /// Says how the version stands in a boot in which another one runs, or this one.
    pub(crate) fn standing(&self, boot: &str, running: VersionNumber, is_good: bool) -> Standing {
        match (self.boot == boot, self.version == running) {
            (true, _) => Standing::Waits(self.version),
            (false, true) if is_good => Standing::Good(self.version),
            (false, true) => Standing::OnTrial(self.version),
            (false, false) => {
                let failure = self.failure.clone().unwrap_or(Failure::Silent);
                Standing::Failed(self.version, failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use update::trial::Proof;

    fn version(text: &str) -> VersionNumber {
        text.parse().expect("a version")
    }

    #[test]
    fn a_version_waits_is_tried_and_is_good_or_not() {
        let why = Failure::Unproved(Proof::Page, "no answer".to_owned());
        let mut record = UpdateRecord {
            version: version("0.2.0"),
            terms: USUAL_TERMS,
            disks: 1,
            boot: "first".to_owned(),
            failure: None,
        };
        let check = |record: &UpdateRecord, boot: &str, running: &str, is_good, expected| {
            let record = UpdateRecord::parse(&record.text()).expect("a record");
            let found = record.standing(boot, version(running), is_good);
            assert_eq!(found, expected, "{boot} {running} {is_good}");
        };
        let new = version("0.2.0");
        check(&record, "first", "0.1.0", true, Standing::Waits(new));
        check(&record, "second", "0.2.0", false, Standing::OnTrial(new));
        check(&record, "second", "0.2.0", true, Standing::Good(new));
        let silent = Standing::Failed(new, Failure::Silent);
        check(&record, "second", "0.1.0", true, silent);
        record.failure = Some(why.clone());
        check(&record, "third", "0.1.0", true, Standing::Failed(new, why));
    }

    #[test]
    fn other_text_is_none() {
        for text in ["", "{}", "{\"version\": \"x\"}"] {
            assert_eq!(UpdateRecord::parse(text), None, "{text}");
        }
    }
}
