//! How often programs may ask: each token, and each peer without a good one, has so many calls a minute.

use super::problem::Problem;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// 600 calls a minute of one token, ten a second: a program that fetches mail comes along, one that runs wild takes a small part of a box.
pub(super) const CALLS_A_MINUTE: u32 = 600;

/// 2,000 tokens and peers are counted at once; while there are more, new ones wait for the next minute.
const COUNTED_MAX: usize = 2_000;

const MINUTE: Duration = Duration::from_secs(60);

/// What was asked within this minute, by token or peer.
#[derive(Default)]
pub(in super::super) struct Pace(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    since: Option<Instant>,
    calls: HashMap<String, u32>,
}

impl Pace {
    /// Counts a call.
    ///
    /// # Errors
    /// 429, with the seconds until the next minute.
    pub(super) fn asks(&self, who: &str, now: Instant) -> Result<(), Problem> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = counted
            .since
            .filter(|since| now.duration_since(*since) < MINUTE);
        let since = since.unwrap_or_else(|| {
            counted.calls.clear();
            now
        });
        counted.since = Some(since);
        let has_place = counted.calls.len() < COUNTED_MAX || counted.calls.contains_key(who);
        let calls = has_place.then(|| counted.calls.entry(who.to_owned()).or_default());
        match calls.filter(|calls| **calls < CALLS_A_MINUTE) {
            Some(calls) => {
                *calls += 1;
                Ok(())
            }
            None => {
                let left = MINUTE.saturating_sub(now.duration_since(since));
                let text = format!("more than {CALLS_A_MINUTE} calls a minute");
                Err(Problem::new(429, text).retry_after(left.as_secs() + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_for_the_next_minute_and_others_do_not() {
        let (pace, begin) = (Pace::default(), Instant::now());
        for _ in 0..CALLS_A_MINUTE {
            pace.asks("a", begin).expect("within the pace");
        }
        pace.asks("a", begin + MINUTE / 2).expect_err("too often");
        pace.asks("b", begin + MINUTE / 2).expect("another one");
        pace.asks("a", begin + MINUTE).expect("the next minute");
        for who in 0..COUNTED_MAX {
            let _ = pace.asks(&who.to_string(), begin + MINUTE);
        }
        pace.asks("new", begin + MINUTE).expect_err("no place");
        pace.asks("a", begin + MINUTE).expect("it has a place");
    }
}
