//! Update metadata: whatever a repository gives out, nothing is believed that its owners did not sign, and every run ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use update::{Answer, Client, KeyTypes, Limits, Options, Stale, Step, Time};

/// A root with keys of every kind, whose private halves nobody has any more.
const ROOT: &[u8] = include_bytes!("seeds/update_metadata/root");

fn options() -> Options {
    Options {
        now: Time::from_unix(0),
        clock_floor: Time::from_unix(0),
        key_types: KeyTypes::All,
        stale: Stale::Refuse,
        limits: Limits::default(),
    }
}

/// Follows a repository whose files are the lines of the input; an empty one is a file that is not there.
fn follow(root: &[u8], files: &[u8]) {
    let Ok(mut client) = Client::new(root.to_vec(), options()) else {
        assert!(root != ROOT, "the root is refused");
        return;
    };
    let mut files = files.split(|byte| *byte == b'\n');
    loop {
        let answer = match client.next() {
            Step::Load { .. } | Step::Fetch { .. } => files.next().unwrap_or_default(),
            Step::Keep { .. } | Step::Forget { .. } => panic!("forged"),
            Step::Rest => return,
        };
        let answer = match answer {
            b"" => Answer::Missing,
            bytes => Answer::Bytes(bytes.to_vec()),
        };
        if client.receive(answer).is_err() {
            assert_eq!(client.next(), Step::Rest);
            return;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    follow(ROOT, bytes);
    // As a root of its own, whose keys the input may well have, and which nobody trusts.
    let _ = Client::new(bytes.to_vec(), options());
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(time) = text.parse::<Time>()
    {
        assert_eq!(time.to_string(), text);
    }
});
