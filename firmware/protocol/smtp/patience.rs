//! How long a peer may take, reckoned from the times the caller gives; nothing here asks a clock.

use std::time::Duration;

/// 5 minutes for a whole command line (RFC 5321 §4.5.3.2.7), however it dribbles in.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// 3 minutes between two pieces of content, as RFC 5321 §4.5.3.2.5 gives the sender for a block.
pub(crate) const CONTENT_TIMEOUT: Duration = Duration::from_secs(3 * 60);

/// 5 minutes before the pace of content counts, so that a stumbling line may recover.
pub(crate) const PACE_GRACE: Duration = Duration::from_secs(5 * 60);

/// 1 KiB a second on average: slower than any line that carries mail today. A peer that stays below it only
/// wants to hold the connection.
pub(crate) const PACE_MIN_BYTES_PER_SECOND: u64 = 1024;

/// Measures one peer.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    now: Duration,
    line_since: Duration,
    input_at: Duration,
    /// When the content began and how much of it came; `None` outside of content.
    content: Option<(Duration, u64)>,
}

impl Patience {
    /// Takes the time; a clock that goes back stands still.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// Tells whether the deadline given has come.
    pub(crate) fn is_over(&self, deadline: Duration) -> bool {
        self.now >= deadline
    }

    /// Notes that bytes came.
    pub(crate) fn input(&mut self) {
        self.input_at = self.now;
    }

    /// Begins to wait for a command line.
    pub(crate) fn await_line(&mut self) {
        self.line_since = self.now;
    }

    /// Begins to wait for content; content already begun goes on.
    pub(crate) fn await_content(&mut self) {
        self.input_at = self.now;
        self.content.get_or_insert((self.now, 0));
    }

    /// Counts content.
    pub(crate) fn content(&mut self, len: usize) {
        if let Some((_, bytes)) = &mut self.content {
            *bytes += len as u64;
        }
    }

    /// Ends the measuring of content.
    pub(crate) fn content_ended(&mut self) {
        self.content = None;
    }

    /// Gives the time by which the line must be complete.
    pub(crate) fn line_deadline(&self) -> Duration {
        self.pace_deadline()
            .min(self.line_since.saturating_add(COMMAND_TIMEOUT))
    }

    /// Gives the time by which more content must have come.
    pub(crate) fn content_deadline(&self) -> Duration {
        self.pace_deadline()
            .min(self.input_at.saturating_add(CONTENT_TIMEOUT))
    }

    fn pace_deadline(&self) -> Duration {
        match self.content {
            None => Duration::MAX,
            Some((since, bytes)) => {
                let earned_ms = bytes.saturating_mul(1000) / PACE_MIN_BYTES_PER_SECOND;
                since
                    .saturating_add(PACE_GRACE)
                    .saturating_add(Duration::from_millis(earned_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_line_has_its_time_whatever_comes() {
        let mut patience = Patience::default();
        patience.tick(100 * SECOND);
        patience.await_line();
        patience.tick(399 * SECOND);
        patience.input();
        assert!(!patience.is_over(patience.line_deadline()));
        patience.tick(400 * SECOND);
        assert!(patience.is_over(patience.line_deadline()));
    }

    #[test]
    fn content_may_pause_but_not_crawl() {
        let mut patience = Patience::default();
        patience.await_content();
        assert_eq!(patience.content_deadline(), CONTENT_TIMEOUT);
        patience.tick(170 * SECOND);
        patience.input();
        patience.content(1);
        assert_eq!(
            patience.content_deadline(),
            PACE_GRACE,
            "one byte earns nothing"
        );
        patience.content(1024 * 1024);
        assert_eq!(patience.content_deadline(), 170 * SECOND + CONTENT_TIMEOUT);
        patience.content_ended();
        patience.await_line();
        assert_eq!(patience.line_deadline(), 170 * SECOND + COMMAND_TIMEOUT);
    }

    #[test]
    fn chunks_share_one_pace() {
        let mut patience = Patience::default();
        patience.await_content();
        patience.tick(299 * SECOND);
        patience.content(1);
        patience.await_line();
        assert_eq!(patience.line_deadline(), PACE_GRACE);
        patience.await_content();
        assert_eq!(patience.content_deadline(), PACE_GRACE);
    }

    #[test]
    fn time_never_goes_back() {
        let mut patience = Patience::default();
        patience.tick(10 * SECOND);
        patience.tick(SECOND);
        assert!(patience.is_over(10 * SECOND));
    }
}
