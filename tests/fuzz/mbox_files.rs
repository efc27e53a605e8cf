//! mbox files: read the same however the bytes come, and what was written as mboxrd comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::{MboxEntry, MboxReader, looks_like_mbox};
use std::io::{BufRead, BufReader};

type Message = (MboxEntry, Vec<u8>);

fn read(source: impl BufRead) -> Vec<Message> {
    let mut reader = MboxReader::new(source);
    let mut messages = Vec::new();
    loop {
        let mut message = Vec::new();
        match reader
            .next_message(&mut message)
            .expect("memory can be read")
        {
            Some(entry) => messages.push((entry, message)),
            None => return messages,
        }
    }
}

/// Writes messages as mboxrd: ">" before each line that is "From " behind any number of ">".
fn write(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        out.extend_from_slice(b"From a@x.example Thu Jan  1 00:00:00 1970\n");
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            let quotes = line.iter().take_while(|byte| **byte == b'>').count();
            if line[quotes..].starts_with(b"From ") {
                out.push(b'>');
            }
            out.extend_from_slice(line);
        }
        out.push(b'\n');
    }
    out
}

fuzz_target!(|bytes: &[u8]| {
    let capacity = 1 + bytes.first().copied().unwrap_or(0) as usize;
    let messages = read(bytes);
    assert_eq!(messages, read(BufReader::with_capacity(capacity, bytes)));
    for (entry, message) in &messages {
        assert_eq!(entry.length_bytes, message.len() as u64);
        assert!(entry.offset <= bytes.len() as u64);
    }
    assert!(
        messages
            .windows(2)
            .all(|two| two[0].0.offset < two[1].0.offset || two[0].0.from_line.is_empty())
    );
    assert!(!looks_like_mbox(bytes) || !messages.is_empty());

    let mut bodies: Vec<Vec<u8>> = messages.into_iter().map(|(_, message)| message).collect();
    // A message in an mbox ends with a line end.
    bodies
        .iter_mut()
        .filter(|body| !body.ends_with(b"\n"))
        .for_each(|body| body.push(b'\n'));
    let file = write(&bodies);
    let again: Vec<Vec<u8>> = read(file.as_slice())
        .into_iter()
        .map(|(_, message)| message)
        .collect();
    assert_eq!(again, bodies);
});
