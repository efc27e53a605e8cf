//! The normal form of a message: two copies that differ only in how they travelled and were stored have the same one.
//!
//! Line ends become line feeds, empty lines at the end go, and the fields that servers and mail programs add on the way
//! (trace fields, RFC 5321 §4.4) are left out of the first header. The form serves to recognise copies and nothing else:
//! it is never stored or shown, and which of two copies is the true one is not decided here.

use std::io::BufRead;

/// Fields that are left out, in small letters; one that ends in `*` stands for all fields that begin so.
const LEFT_OUT: [&str; 42] = [
    // Written by each server on the way (RFC 5321 §4.4).
    "return-path",
    "received",
    "x-received",
    // Written at final delivery: for whom.
    "delivered-to",
    "x-delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-envelope-from",
    "delivery-date",
    // Results of checks (RFC 7208 §9.1, RFC 8601, RFC 8617) and signatures, which are trace fields (RFC 6376 §3.5).
    "received-spf",
    "authentication-results",
    "x-authentication-results",
    "authentication-results-original",
    "arc-*",
    "dkim-signature",
    "domainkey-signature",
    "x-google-dkim-signature",
    "x-gm-message-state",
    "x-google-smtp-source",
    // Filters.
    "x-spam-*",
    "x-spamd-*",
    "x-rspamd-*",
    "x-virus-*",
    "x-amavis-*",
    "x-greylist",
    "x-microsoft-antispam*",
    "x-forefront-antispam-*",
    "x-exchange-antispam-*",
    // Exchange's own.
    "x-ms-exchange-*",
    "x-ms-has-attach",
    "x-ms-tnef-correlator",
    // Notes of mailboxes and mail programs.
    "status",
    "x-status",
    "x-uid",
    "x-uidl",
    "x-keywords",
    "x-mozilla-*",
    "x-gmail-labels",
    "x-gm-thrid",
    // Sizes that mailbox files keep.
    "content-length",
    "lines",
];

/// A field name longer than this is not in [`LEFT_OUT`], and is not held.
const NAME_MAX_BYTES: usize = 128;

/// Output is handed on in pieces of about this many bytes, so that calls are rare.
const OUTPUT_BYTES: usize = 16 * 1024;

/// Gives the normal form of one message, pushed in pieces of any size, to a function; constant memory.
pub struct NormalForm<F> {
    out: F,
    output: Vec<u8>,
    place: Place,
    /// The beginning of a header line, until it is known whether it is left out; at most [`NAME_MAX_BYTES`].
    name: Vec<u8>,
    /// Whether the field that the last header line belongs to is left out.
    is_left_out: bool,
    is_first_line: bool,
    /// Carriage returns that came last: before a line feed they belong to the line end.
    held_crs: u64,
    /// Line ends that came last: at the end of the message they are one.
    held_lfs: u64,
}

#[derive(Clone, Copy)]
enum Place {
    /// In a header line, as far as `name` holds it.
    Name,
    /// Further on in a header line.
    Value,
    Body,
}

impl<F: FnMut(&[u8])> NormalForm<F> {
    /// Begins a message whose normal form goes to `out`.
    pub fn new(out: F) -> Self {
        Self {
            out,
            output: Vec::new(),
            place: Place::Name,
            name: Vec::new(),
            is_left_out: false,
            is_first_line: true,
            held_crs: 0,
            held_lfs: 0,
        }
    }

    /// Takes the next bytes of the message.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut behind = rest;
            let length = behind
                .skip_until(b'\n')
                .expect("a slice is read without errors");
            if let Some(text) = rest[..length].strip_suffix(b"\n") {
                self.text(text);
                // All carriage returns before a line feed belong to the line end: some programs write two.
                self.held_crs = 0;
                self.line_end();
            } else {
                self.text(&rest[..length]);
            }
            rest = behind;
        }
    }

    /// Ends the message and gives the function back; the form ends in exactly one line feed.
    pub fn finish(mut self) -> F {
        self.give_held_crs();
        if !self.name.is_empty() {
            self.decide();
        }
        self.output.push(b'\n');
        (self.out)(&self.output);
        self.out
    }

    /// Takes a part of a line, without its line feed.
    fn text(&mut self, text: &[u8]) {
        let cr_count = text.iter().rev().take_while(|&&byte| byte == b'\r').count();
        let characters = &text[..text.len() - cr_count];
        if !characters.is_empty() {
            self.give_held_crs();
            self.characters(characters);
        }
        self.held_crs += cr_count as u64;
    }

    fn give_held_crs(&mut self) {
        for _ in 0..std::mem::take(&mut self.held_crs) {
            self.characters(b"\r");
        }
    }

    fn characters(&mut self, characters: &[u8]) {
        let mut rest = characters;
        if matches!(self.place, Place::Name) {
            rest = self.name_characters(characters);
        }
        let is_body = matches!(self.place, Place::Body);
        if !rest.is_empty() && (is_body || !self.is_left_out) {
            self.emit(rest);
        }
    }

    /// Takes what belongs to a field name and gives back the rest.
    fn name_characters<'a>(&mut self, characters: &'a [u8]) -> &'a [u8] {
        if self.name.is_empty()
            && characters
                .first()
                .is_some_and(|&byte| byte == b' ' || byte == b'\t')
        {
            // A continuation shares the fate of its field (RFC 5322 §2.2.3).
            self.place = Place::Value;
            return characters;
        }
        let room = &characters[..characters.len().min(NAME_MAX_BYTES - self.name.len())];
        let length = room
            .iter()
            .position(|&byte| byte == b':')
            .unwrap_or(room.len());
        self.name.extend_from_slice(&room[..length]);
        if length < room.len() || self.name.len() == NAME_MAX_BYTES {
            self.decide();
            self.place = Place::Value;
        }
        &characters[length..]
    }

    fn line_end(&mut self) {
        match self.place {
            Place::Name if self.name.is_empty() => {
                self.place = Place::Body;
                self.held_lfs += 1;
                return;
            }
            Place::Body => {
                self.held_lfs += 1;
                return;
            }
            Place::Name => self.decide(),
            Place::Value => {}
        }
        self.place = Place::Name;
        if !self.is_left_out {
            self.held_lfs += 1;
        }
    }

    /// Decides about the header line that begins with `name`, and gives or drops it.
    fn decide(&mut self) {
        let name = std::mem::take(&mut self.name);
        // The line by which an mbox file begins a message is none of its fields.
        let is_mbox_line = std::mem::take(&mut self.is_first_line) && name.starts_with(b"From ");
        self.is_left_out = is_mbox_line || is_trace_field(&name);
        if !self.is_left_out {
            self.emit(&name);
        }
    }

    fn emit(&mut self, bytes: &[u8]) {
        for _ in 0..std::mem::take(&mut self.held_lfs) {
            self.output(b"\n");
        }
        self.output(bytes);
    }

    fn output(&mut self, bytes: &[u8]) {
        if self.output.len() + bytes.len() > OUTPUT_BYTES {
            (self.out)(&self.output);
            self.output.clear();
        }
        if bytes.len() > OUTPUT_BYTES {
            (self.out)(bytes);
        } else {
            self.output.extend_from_slice(bytes);
        }
    }
}

fn is_trace_field(name: &[u8]) -> bool {
    let name = name.trim_ascii_end().to_ascii_lowercase();
    LEFT_OUT
        .iter()
        .any(|left_out| match left_out.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning.as_bytes()),
            None => name == left_out.as_bytes(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal_form(message: &[u8], step: usize) -> Vec<u8> {
        let mut found = Vec::new();
        let mut form = NormalForm::new(|bytes: &[u8]| found.extend_from_slice(bytes));
        for piece in message.chunks(step) {
            form.push(piece);
        }
        let _ = form.finish();
        found
    }

    fn check(message: &str, expected: &str) {
        for step in 1..=message.len().max(1) {
            let form = normal_form(message.as_bytes(), step);
            assert_eq!(
                String::from_utf8_lossy(&form),
                expected,
                "{message:?} by {step}"
            );
        }
    }

    #[test]
    fn line_ends() {
        check("", "\n");
        check("A: b\r\n\r\nbody\r\n", "A: b\n\nbody\n");
        check("A: b\n\nbody", "A: b\n\nbody\n");
        check("A: b\n\nbody\r\n\r\n\n", "A: b\n\nbody\n");
        check("A: b\r\r\n\r\r\nbo\rdy\r\r\n", "A: b\n\nbo\rdy\n");
        check("A: b\n\n\n\nbody\n\nmore\r", "A: b\n\n\n\nbody\n\nmore\r\n");
        check("A: b", "A: b\n");
        check("A", "A\n");
        check("\nReceived: in the body\n", "\nReceived: in the body\n");
    }

    #[test]
    fn trace_fields() {
        check(
            "Received: x\r\n by y\r\n\tfor z\r\nA: b\r\n c\r\n\r\nbody",
            "A: b\n c\n\nbody\n",
        );
        check("A: b\nreturn-PATH : <x>\nB: c\n\nx", "A: b\nB: c\n\nx\n");
        check(
            "ARC-Seal: i=1\nX-MS-Exchange-Organization-SCL: 1\nARCA: 1\n\nx",
            "ARCA: 1\n\nx\n",
        );
        check(
            "Received-By: x\nReceive: y\nReceived\n\nx",
            "Received-By: x\nReceive: y\n\nx\n",
        );
        check(
            "From me Mon Sep 17 00:00:00 2001\nFrom: me\nFrom x\n\nb",
            "From: me\nFrom x\n\nb\n",
        );
        check("Status: RO\nA: b\n\nx", "A: b\n\nx\n");
        check("A: b\nReceived: x", "A: b\n");
        check("Received: x", "\n");
        check(": x\n\nb", ": x\n\nb\n");
    }

    #[test]
    fn long_names_are_kept() {
        let name = "X-Spam-".repeat(30);
        check(
            &format!("Y{name}: a\n b\n\nbody\n"),
            &format!("Y{name}: a\n b\n\nbody\n"),
        );
        check(&format!("{name}\n\nbody\n"), "\nbody\n");
    }

    proptest! {
        #[test]
        fn copies_have_one_form(lines in proptest::collection::vec("[ -~]{0,40}", 0..20), step in 1_usize..50) {
            let body = lines.join("\n");
            let sent = format!("From: a\nSubject: b\n\n{body}\n");
            let delivered = format!("Return-Path: <a>\nReceived: by b;\n\tnow\n{sent}\n").replace('\n', "\r\n");
            let form = normal_form(sent.as_bytes(), step);
            prop_assert_eq!(&form, &normal_form(delivered.as_bytes(), step));
            prop_assert_eq!(&form, &normal_form(&form, step));
        }
    }
}
