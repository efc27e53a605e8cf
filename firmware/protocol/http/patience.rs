//! How long a client may take over a request, reckoned from the times the caller gives; nothing here asks a clock.

use std::time::Duration;

/// 10 seconds for a connection that has said nothing yet and for a whole head, however it dribbles in: slower clients only want to hold the
/// connection.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// 30 seconds for a whole request with its body: 64 KiB at 2 KiB a second.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// 20 seconds between an answer and the next request: long enough for a page's style sheet and a quick second click, short enough that
/// readers do not hold a thread each.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// Measures one request.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    deadline: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Head { since: Duration },
    Body,
}

impl Patience {
    /// Begins to wait for the first request of a connection, or for a next one.
    pub fn new(is_first: bool, now: Duration) -> Self {
        let time_max = if is_first {
            HEAD_TIME_MAX
        } else {
            IDLE_TIME_MAX
        };
        Self {
            deadline: now.saturating_add(time_max),
            state: State::Silent,
        }
    }

    /// Notes that bytes of the request came, and whether its head is whole with them.
    pub fn input(&mut self, has_head: bool, now: Duration) {
        if self.state == State::Silent {
            self.state = State::Head { since: now };
            self.deadline = now.saturating_add(HEAD_TIME_MAX);
        }
        if let (State::Head { since }, true) = (self.state, has_head) {
            self.state = State::Body;
            self.deadline = since.saturating_add(REQUEST_TIME_MAX);
        }
    }

    /// Tells whether the client has taken too long.
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.deadline
    }

    /// Tells whether nothing of the request came yet, so that nobody waits for an answer to it.
    pub fn is_silent(&self) -> bool {
        self.state == State::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes come at these seconds, with or without the end of the head; gives the first second that is too late.
    fn first_late_second(is_first: bool, input: &[(u64, bool)]) -> u64 {
        let mut patience = Patience::new(is_first, Duration::ZERO);
        let mut input = input.iter().peekable();
        for second in 0..1_000 {
            let now = Duration::from_secs(second);
            if patience.is_over(now) {
                return second;
            }
            while let Some((_, has_head)) = input.next_if(|(at, _)| *at == second) {
                patience.input(*has_head, now);
            }
        }
        panic!("no end");
    }

    #[test]
    fn a_byte_at_a_time_wins_nothing() {
        let dribble: Vec<_> = (0..900).map(|second| (second, false)).collect();
        let slow_body: Vec<_> = (0..900).map(|second| (second, second >= 9)).collect();
        for (is_first, input, late) in [
            (true, &[][..], 10),
            (false, &[], 20),
            (true, &[(9, false)], 19),
            (false, &[(19, false)], 29),
            (true, &dribble, 10),
            (true, &[(3, true)], 33),
            (true, &[(3, false), (12, true)], 33),
            (true, &slow_body, 30),
        ] {
            assert_eq!(first_late_second(is_first, input), late, "{input:?}");
        }
    }
}
