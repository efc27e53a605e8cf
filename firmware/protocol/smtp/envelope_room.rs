//! The memory that the envelopes of all sessions together may take; a thousand peers must not hold the largest one each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds envelopes: each session has so much for itself, and all together so much beyond.
#[derive(Debug)]
pub struct EnvelopeRoom {
    free_bytes: usize,
    left_bytes: AtomicUsize,
}

impl EnvelopeRoom {
    /// Makes a room of `shared_bytes` beyond the `free_bytes` of each session.
    pub fn new(free_bytes: usize, shared_bytes: usize) -> Self {
        Self {
            free_bytes,
            left_bytes: AtomicUsize::new(shared_bytes),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let order = Ordering::Relaxed; // a count beside no other memory
        self.left_bytes
            .fetch_update(order, order, |left| left.checked_sub(bytes))
            .is_ok()
    }
}

/// Holds what one session has taken of the room; dropping it gives that back.
#[derive(Debug)]
pub(crate) struct EnvelopeShare {
    room: Arc<EnvelopeRoom>,
    taken_bytes: usize,
}

impl EnvelopeShare {
    /// Takes nothing yet.
    pub(crate) fn new(room: Arc<EnvelopeRoom>) -> Self {
        Self {
            room,
            taken_bytes: 0,
        }
    }

    /// Takes what an envelope of `len_bytes` needs; false when there is not so much.
    pub(crate) fn grow_to(&mut self, len_bytes: usize) -> bool {
        let needed = len_bytes.saturating_sub(self.room.free_bytes);
        let more = needed.saturating_sub(self.taken_bytes);
        let has_room = more == 0 || self.room.take(more);
        if has_room {
            self.taken_bytes += more;
        }
        has_room
    }

    /// Gives everything back.
    pub(crate) fn release(&mut self) {
        let taken = std::mem::take(&mut self.taken_bytes);
        self.room.left_bytes.fetch_add(taken, Ordering::Relaxed);
    }
}

impl Drop for EnvelopeShare {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::{Event, Options, Outcome, Peer, Session};

    /// Sends a line and gives the code of the last reply to it.
    fn say(session: &mut Session, line: &str) -> String {
        session.receive(format!("{line}\r\n").as_bytes());
        let mut said = String::new();
        loop {
            match session.next() {
                Event::Write(bytes) => said = String::from_utf8_lossy(bytes).into_owned(),
                Event::NeedInput | Event::NeedAnswer | Event::Close => break,
                _ => {}
            }
        }
        let last = said.lines().last().unwrap_or_default();
        last.chars().take(3).collect()
    }

    #[test]
    fn sessions_share_what_is_beyond_their_own() {
        let options = Arc::new(Options {
            envelope_room: Arc::new(EnvelopeRoom::new(1000, 2000)),
            ..Options::new("archive.example")
        });
        let begun = || {
            let peer = Peer {
                may_send: true,
                tls: None,
            };
            let mut session = Session::new(options.clone(), peer);
            say(&mut session, "HELO x.example");
            assert_eq!(say(&mut session, "MAIL FROM:<a@x.example>"), "250");
            session
        };
        let fill = |session: &mut Session| {
            let rcpt = format!("RCPT TO:<{}@x.example>", "x".repeat(52));
            (0..).find(|_| say(session, &rcpt) != "250").unwrap_or(0)
        };
        let left = || options.envelope_room.left_bytes.load(Ordering::Relaxed);
        let mut first = begun();
        let held = fill(&mut first);
        assert!(
            left() < 200,
            "the first has all but what is too little for one more"
        );
        let mut second = begun();
        let own = fill(&mut second);
        assert!(own > 0 && own * 2 < held, "{own} of {held}");
        // With its message stored, the first gives back.
        say(&mut first, "BDAT 3 LAST\r\nabc");
        assert!(left() < 200, "the caller still has the envelope");
        first.message_stored(Outcome::DiskFull);
        assert!(left() > 1800);
        assert!(fill(&mut second) > 0);
        assert_eq!(say(&mut second, "RSET"), "250");
        assert_eq!(left(), 2000);
        let mut third = begun();
        fill(&mut third);
        drop(third);
        assert_eq!(left(), 2000);
    }
}
