//! Codes and keys that somebody may be guessing: after a wrong one the next is not even looked at for a while.
//!
//! It is a time, not a pause: who answers guesses answers everybody else meanwhile. Deliberately one for all who guess, since a guesser has many addresses.

use service::machine::Refusal;
use std::time::{Duration, Instant};

/// 2 seconds after a wrong code: 50 bits are never guessed at that pace.
const WAIT: Duration = Duration::from_secs(2);

/// When the next guess is looked at.
#[derive(Debug, Default)]
pub(crate) struct Guesses(Option<Instant>);

impl Guesses {
    /// Refuses a guess that comes too soon after a wrong one.
    pub(crate) fn allow(&self, now: Instant) -> Result<(), Refusal> {
        match self.0 {
            Some(until) if now < until => Err(Refusal::TooSoon),
            _ => Ok(()),
        }
    }

    /// Takes note of a wrong one.
    pub(crate) fn was_wrong(&mut self, now: Instant) {
        self.0 = Some(now + WAIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_guess_delays_the_next_one_and_no_other() {
        let start = Instant::now();
        let mut guesses = Guesses::default();
        for (millis, is_allowed, is_wrong) in [
            (0, true, true),
            (1_999, false, false),
            (2_000, true, false),
            (2_001, true, true),
            (2_002, false, false),
            (4_000, false, false),
            (4_001, true, false),
        ] {
            let now = start + Duration::from_millis(millis);
            assert_eq!(guesses.allow(now).is_ok(), is_allowed, "{millis} ms");
            if is_wrong {
                guesses.was_wrong(now);
            }
        }
    }
}
