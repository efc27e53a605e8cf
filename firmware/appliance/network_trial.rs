//! A change of the network that was not confirmed yet: after two minutes the settings from before hold again, so that nobody locks himself out.
//!
//! What is not confirmed is kept nowhere: a start goes on with what was before. It knows no file; `disks` writes what it says.

use service::machine::NetworkTexts;
use std::time::{Duration, Instant};

/// 2 minutes to find the page under its new address, and to sign in there.
const CONFIRM_WITHIN: Duration = Duration::from_secs(120);

/// Settings on trial, if there are any.
#[derive(Debug, Default)]
pub(crate) struct NetworkTrial(Option<(NetworkTexts, Instant)>);

impl NetworkTrial {
    /// Begins a trial; one that has begun ends.
    pub(crate) fn begin(&mut self, texts: NetworkTexts, now: Instant) {
        self.0 = Some((texts, now + CONFIRM_WITHIN));
    }

    /// What is on trial, with the seconds that are left.
    pub(crate) fn pending(&self, now: Instant) -> Option<(&NetworkTexts, u64)> {
        let (texts, until) = self.0.as_ref()?;
        Some((texts, until.saturating_duration_since(now).as_secs()))
    }

    /// Ends the trial well; gives what is to be kept, unless it is too late.
    pub(crate) fn confirm(&mut self, now: Instant) -> Option<NetworkTexts> {
        let (texts, until) = self.0.take()?;
        if now < until {
            return Some(texts);
        }
        self.0 = Some((texts, until)); // it is undone in its turn
        None
    }

    /// Whether the trial has just ended without a word.
    pub(crate) fn expires(&mut self, now: Instant) -> bool {
        self.0.take_if(|(_, until)| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(hostname: &str) -> NetworkTexts {
        NetworkTexts {
            hostname: hostname.to_owned(),
            ..NetworkTexts::default()
        }
    }

    #[test]
    fn what_nobody_confirms_within_two_minutes_is_undone_once() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut trial = NetworkTrial::default();
        assert!(!trial.expires(start) && trial.confirm(start).is_none());
        trial.begin(named("a"), start);
        assert_eq!(trial.pending(after(20)), Some((&named("a"), 100)));
        assert!(!trial.expires(after(119)));
        assert_eq!(trial.confirm(after(120)), None);
        assert!(trial.expires(after(120)) && !trial.expires(after(121)));
    }

    #[test]
    fn what_is_confirmed_is_the_latest_change_and_stays() {
        let start = Instant::now();
        let mut trial = NetworkTrial::default();
        trial.begin(named("a"), start);
        trial.begin(named("b"), start + Duration::from_secs(100));
        let now = start + Duration::from_secs(130);
        assert!(!trial.expires(now));
        assert_eq!(trial.confirm(now), Some(named("b")));
        assert!(!trial.expires(now + Duration::from_secs(500)));
        assert_eq!(trial.pending(now), None);
    }
}
