//! The SMTP machine: the cutting of the input changes nothing, it always ends, and "stored" is said of what was stored alone.
//!
//! The last two bytes of an input choose options and pieces; all before is what the peer sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::smtp::{Event, Options, Outcome, Peer, Session, TlsInfo};
use std::sync::Arc;

/// What a session came to.
#[derive(Debug, Default, PartialEq)]
struct Log {
    events: Vec<String>,
    written: Vec<u8>,
    contents: Vec<Vec<u8>>,
    stored: usize,
}

impl Log {
    /// Answers for the store; every fourth message meets an obstacle, if `failing`.
    fn answer(&mut self, failing: bool) -> Outcome {
        match (failing, self.contents.len() % 8) {
            (true, 1) => Outcome::TryLater("the store is busy".to_owned()),
            (true, 5) => Outcome::DiskFull,
            _ => {
                self.stored += 1;
                let (number, digest_hex) = (self.stored as u64, "ab".repeat(32));
                Outcome::Stored {
                    number,
                    digest_hex,
                    duplicate: false,
                }
            }
        }
    }
}

fn tls() -> TlsInfo {
    TlsInfo {
        version: "TLSv1.3".into(),
        cipher: "AES".into(),
    }
}

fn options(flags: u8) -> (Options, Peer, bool) {
    let mut options = Options::new("archive.example");
    options.auth = flags & 1 != 0;
    options.starttls = flags & 2 != 0;
    options.size_max_bytes = if flags & 4 != 0 { 500 } else { 1 << 20 };
    options.recipients_max = if flags & 8 != 0 { 2 } else { 100 };
    let peer = Peer {
        may_send: flags & 16 == 0,
        tls: (flags & 32 != 0).then(tls),
    };
    (options, peer, flags & 64 != 0)
}

fn run(flags: u8, sent: &[u8], piece_bytes: usize) -> Log {
    let (options, peer, failing) = options(flags);
    let mut session = Session::new(Arc::new(options), peer);
    let (mut log, mut content) = (Log::default(), Vec::new());
    let mut pieces = sent.chunks(piece_bytes);
    let mut rest: &[u8] = &[];
    loop {
        let event = session.next();
        if !matches!(
            event,
            Event::NeedInput | Event::Write(_) | Event::Content(_)
        ) {
            log.events.push(format!("{event:?}"));
        }
        match event {
            Event::NeedInput => {
                if rest.is_empty() {
                    match pieces.next() {
                        Some(piece) => rest = piece,
                        None => session.input_ended(),
                    }
                }
                let taken = session.receive(rest);
                rest = &rest[taken..];
            }
            Event::NeedAnswer => panic!("every question was answered"),
            Event::Write(bytes) => log.written.extend_from_slice(bytes),
            Event::StartTls => session.tls_started(tls()),
            Event::CheckCredentials(_) => session.credentials_checked(sent.len() % 2 == 0),
            Event::Content(bytes) => content.extend_from_slice(bytes),
            Event::MessageEnds => {
                log.contents.push(std::mem::take(&mut content));
                let outcome = log.answer(failing);
                session.message_stored(outcome);
            }
            Event::MessageAborted(_) => content.clear(),
            Event::MessageBegins(_) | Event::SizeRefused { .. } => assert!(content.is_empty()),
            Event::Close => return log,
        }
    }
}

fn count(text: &[u8], sought: &[u8]) -> usize {
    text.windows(sought.len())
        .filter(|window| *window == sought)
        .count()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((sent, &[flags, piece])) = bytes.split_last_chunk() else {
        return;
    };
    let whole = run(flags, sent, usize::MAX);
    assert_eq!(count(&whole.written, b"250 2.0.0 stored as "), whole.stored);
    let sent_bytes: usize = whole.contents.iter().map(Vec::len).sum();
    assert!(sent_bytes <= sent.len(), "no content comes from nowhere");
    for piece_bytes in [1, 1 + piece as usize] {
        let cut = run(flags, sent, piece_bytes);
        // What a peer sends before its TLS begins is dropped, and so depends on when it was sent.
        if flags & 2 == 0 {
            assert_eq!(cut, whole, "cut into pieces of {piece_bytes}");
        }
    }
});
