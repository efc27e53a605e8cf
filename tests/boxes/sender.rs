//! Who sends mail to a box and remembers what it said "yes" to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{Client, Emulator, Sample, assert_same, digest_of, read_samples};

const SENDER: &str = "anna@office.example";
const RECIPIENT: &str = "kim@office.example";

/// From these themes of the corpus mail is taken in turn.
const THEMES: [&str; 4] = ["attachments", "german", "tnef-smime-pgp", "torture-mime"];

/// 256 KiB: larger messages would make the emulated network the whole test.
const BYTES_MAX: usize = 256 << 10;

/// A mail server of the office.
pub(crate) struct Sender {
    samples: Vec<Sample>,
    next: usize,
    accepted: BTreeSet<String>,
}

impl Sender {
    /// Takes some of each theme.
    pub(crate) fn new() -> Self {
        let themes = THEMES.map(read_samples);
        let most = themes.iter().map(Vec::len).max().unwrap_or_default();
        let mut themes = themes.map(IntoIterator::into_iter);
        let mut samples: Vec<Sample> = (0..most)
            .flat_map(|_| themes.each_mut().map(Iterator::next))
            .flatten()
            .collect();
        samples.retain(|sample| sample.bytes.len() <= BYTES_MAX);
        Self {
            samples,
            next: 0,
            accepted: BTreeSet::new(),
        }
    }

    /// Digests of all messages that were acknowledged.
    pub(crate) fn accepted(&self) -> &BTreeSet<String> {
        &self.accepted
    }

    /// Checks that every acknowledged message is among these; what was under way may be there, too.
    #[track_caller]
    pub(crate) fn finds_all_in(&self, exported: &BTreeSet<String>) {
        let found = exported.intersection(&self.accepted).cloned().collect();
        assert_same(&found, &self.accepted);
    }

    /// Sends so many messages, all of which have to be acknowledged.
    #[track_caller]
    pub(crate) fn send(&mut self, emulated: &Emulator, count: usize) {
        let mut client = emulated.connect().expect("the box takes connections");
        for _ in 0..count {
            let stored = self.offer(&mut client).expect("an answer");
            assert!(stored, "a message was refused");
        }
    }

    /// Sends so many messages with an attachment that nothing makes smaller, of so many bytes each.
    #[track_caller]
    pub(crate) fn send_large(&mut self, emulated: &Emulator, count: usize, bytes: usize) {
        let mut client = emulated.connect().expect("the box takes connections");
        for number in 0..count {
            let random = random_bytes(number as u64 + 1, bytes);
            let encoded = STANDARD.encode(random);
            let lines = encoded
                .as_bytes()
                .chunks(76)
                .flat_map(|line| [line, b"\r\n"]);
            let body = lines.collect::<Vec<_>>().concat();
            let head = format!(
                "From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: Large {number}\r\nMIME-Version: 1.0\r\n\
                 Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            );
            let message = [head.as_bytes(), &body].concat();
            let whole = message.len();
            let reply = client.send_in_chunks(SENDER, &[RECIPIENT], &message, whole);
            let (_, digest) = reply.expect("an answer").stored();
            self.accepted.insert(digest);
        }
    }

    /// Sends message after message until it is told to stop; what is refused comes again, as mail servers do.
    pub(crate) fn send_until(&mut self, smtp: SocketAddr, is_done: &AtomicBool) {
        while !is_done.load(Ordering::SeqCst) {
            let Ok(mut client) = Client::connect(smtp) else {
                continue;
            };
            while !is_done.load(Ordering::SeqCst) && self.offer(&mut client).unwrap_or(false) {}
        }
    }

    /// Offers the next message; tells whether it was acknowledged.
    fn offer(&mut self, client: &mut Client) -> io::Result<bool> {
        let bytes = self.message();
        let whole = bytes.len();
        let reply = client.send_in_chunks(SENDER, &[RECIPIENT], &bytes, whole)?;
        self.next += 1;
        let is_stored = reply.code == 250;
        if is_stored {
            let (_, digest) = reply.stored();
            assert_eq!(digest, digest_of(&bytes));
            self.accepted.insert(digest);
        }
        Ok(is_stored)
    }

    /// The next message; each is another one, as long as this goes on.
    fn message(&self) -> Vec<u8> {
        let bytes = &self.samples[self.next % self.samples.len()].bytes;
        match self.next / self.samples.len() {
            0 => bytes.clone(),
            round => [format!("X-Round: {round}\r\n").as_bytes(), bytes].concat(),
        }
    }
}

/// Bytes without a pattern, the same each time (Marsaglia's xorshift of 64 bits).
fn random_bytes(mut state: u64, count: usize) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..count.div_ceil(8)).flat_map(|_| next()).collect()
}
