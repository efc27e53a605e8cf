//! Mail as one person may see it: what he asks is in the log before he is answered, and he is answered as if there were no
//! other mail than his. Who he is and what he may see is told by the token of his session alone.
//!
//! Bytes are given exactly, but for header fields that name hidden recipients who are not shown to him: a copy in which
//! somebody's mail program left the Bcc field must not tell it to everybody who is named beside (`archive::access`).

use super::local::parsed;
use super::messages::{Entry, SearchRequest};
use super::{Failure, Keeper, LocalKeeper};
use crate::people::{Denial, MailAsk, PeopleAnswer, Purpose, Seeing, SeenBody, SeenMessage, Token};
use archive::{Asker, Digest, Event, EventKind};
use std::collections::BTreeSet;
use std::io::{self, Read};
use store::{Body, BodyReader};

/// 1,000 entries of a list at once.
const ENTRIES_MAX: usize = 1_000;

/// 10,000 numbers that the entry of an export names; of a larger one it has query and count.
const NAMED_MAX: usize = 10_000;

/// 4 MiB of header in which fields are left out; no mail program writes a longer one.
const HEADER_BYTES_MAX: usize = 4 << 20;

impl LocalKeeper {
    /// Answers what a person asks about mail.
    pub(super) fn answer_about_mail(
        &self,
        token: Token,
        peer: &str,
        ask: MailAsk,
    ) -> Result<PeopleAnswer, Denial> {
        let person = self.people()?.seeing(token)?;
        match ask {
            MailAsk::Search(request) => self.seen_page(&person, peer, request),
            MailAsk::View(number) => {
                self.demand_seen(&person, number)?;
                self.log_view(&person, peer, number)?;
                Ok(PeopleAnswer::Seen(self.seen_message(&person, number)?))
            }
            MailAsk::Entries(numbers) => {
                Ok(PeopleAnswer::Entries(self.seen_entries(&person, &numbers)?))
            }
            MailAsk::Export {
                query,
                numbers,
                format,
            } => self.begin_export(&person, peer, &query, numbers, &format),
            MailAsk::Seal {
                export,
                manifest,
                count,
            } => self.seal_export(&person, peer, export, manifest, count),
            MailAsk::TakeExport { export } => {
                let event = Event {
                    subjects: vec![export],
                    text: "export fetched".to_owned(),
                    ..entry_of(&person, EventKind::Exported, peer)
                };
                self.log(person.account.0, event)?;
                Ok(PeopleAnswer::Done)
            }
            MailAsk::Prove { numbers, tree_size } => {
                self.seen_proofs(&person, peer, &numbers, tree_size)
            }
        }
    }

    fn seen_proofs(
        &self,
        person: &Seeing,
        peer: &str,
        numbers: &[u64],
        tree_size: Option<u64>,
    ) -> Result<PeopleAnswer, Denial> {
        for number in numbers {
            if !person.is_exported(*number, *number) {
                self.demand_seen(person, *number)?;
            }
        }
        let is_unlogged = |number: &u64| !person.is_taken_along(*number);
        let unlogged: Vec<u64> = numbers.iter().copied().filter(is_unlogged).collect();
        if !unlogged.is_empty() {
            let event = Event {
                subjects: unlogged,
                text: "proof".to_owned(),
                ..entry_of(person, EventKind::Exported, peer)
            };
            self.log(person.account.0, event)?;
        }
        Ok(PeopleAnswer::Proofs(self.prove(numbers, tree_size)?))
    }

    /// Gives the bytes of a message to a person.
    pub(super) fn seen_body(&self, seen: &SeenBody) -> Result<Body, Failure> {
        let person = self.people()?.seeing(seen.token)?;
        let number = seen.number;
        match seen.purpose {
            // What was released may have ended since the export began.
            Purpose::Export(export) if person.is_exported(export, number) => {
                self.demand_seen(&person, number)?;
            }
            Purpose::Export(_) => return Err(not_found(number)),
            Purpose::Show => {
                self.demand_seen(&person, number)?;
                self.log_view(&person, &seen.peer, number)?;
            }
            Purpose::Download => {
                self.demand_seen(&person, number)?;
                let event = Event {
                    subjects: vec![number],
                    text: "downloaded".to_owned(),
                    ..entry_of(&person, EventKind::Exported, &seen.peer)
                };
                self.log(person.account.0, event)?;
            }
        }
        let (_, unshown) = self.store().hidden_recipients(number, &person.asker)?;
        let body = self.store().message(number)?;
        if is_whole(&body, &unshown)? {
            return Ok(body);
        }
        if matches!(seen.purpose, Purpose::Export(_)) {
            // An export proves its bytes, and these would not be those of the archive.
            let text = "its header names hidden recipients; it can be downloaded alone, without these fields";
            return Err(Failure::Damaged(text.to_owned()));
        }
        self.without_fields_naming(&unshown, body)
    }

    fn seen_page(
        &self,
        person: &Seeing,
        peer: &str,
        request: SearchRequest,
    ) -> Result<PeopleAnswer, Denial> {
        let event = Event {
            text: request.query.clone(),
            ..entry_of(person, EventKind::Searched, peer)
        };
        let logged = self.store().log(person.account.0, event)?;
        let request = SearchRequest {
            asker: (&person.asker).into(),
            // How well a message fits is reckoned with the words of all mail, so its order would tell of mail that is not his.
            by_relevance: false,
            self_tests: false,
            fresh: false,
            ..request
        };
        let page = self.search(request)?;
        logged.wait()?;
        Ok(PeopleAnswer::Page(page))
    }

    /// Tells the same of a message that he may not see and of one that there is not.
    fn demand_seen(&self, person: &Seeing, number: u64) -> Result<(), Failure> {
        if self.store().sees(number, &person.asker)? {
            Ok(())
        } else {
            Err(not_found(number))
        }
    }

    fn log_view(&self, person: &Seeing, peer: &str, number: u64) -> Result<(), Failure> {
        if person.has_before_him(number) {
            return Ok(());
        }
        let event = Event {
            subjects: vec![number],
            ..entry_of(person, EventKind::Viewed, peer)
        };
        self.log(person.account.0, event)?;
        person.shows(number);
        Ok(())
    }

    fn seen_message(&self, person: &Seeing, number: u64) -> Result<SeenMessage, Failure> {
        let asker = &person.asker;
        let (hidden, unshown) = self.store().hidden_recipients(number, asker)?;
        let is_whole = unshown.is_empty() || is_whole(&self.store().message(number)?, &unshown)?;
        let mut copies = self.seen_of(self.store().copies(number)?, asker)?;
        copies.retain(|copy| *copy != number);
        Ok(SeenMessage {
            entry: self.entry(number)?,
            hidden,
            is_whole,
            linked: self.seen_of(self.store().linked(number)?, asker)?,
            copies,
        })
    }

    /// Leaves those messages that the asker may see.
    fn seen_of(&self, numbers: Vec<u64>, asker: &Asker) -> Result<Vec<u64>, Failure> {
        let mut seen = Vec::new();
        for number in numbers {
            if self.store().sees(number, asker)? {
                seen.push(number);
            }
        }
        Ok(seen)
    }

    fn seen_entries(&self, person: &Seeing, numbers: &[u64]) -> Result<Vec<Entry>, Denial> {
        let mut entries = Vec::new();
        for number in numbers.iter().take(ENTRIES_MAX) {
            if self.store().sees(*number, &person.asker)? {
                entries.push(self.entry(*number)?);
            }
        }
        Ok(entries)
    }

    fn begin_export(
        &self,
        person: &Seeing,
        peer: &str,
        query: &str,
        numbers: Option<Vec<u64>>,
        format: &str,
    ) -> Result<PeopleAnswer, Denial> {
        let found = match numbers {
            Some(numbers) => {
                let each_once: BTreeSet<u64> = numbers.into_iter().collect();
                self.seen_of(each_once.into_iter().collect(), &person.asker)?
            }
            None => self
                .store()
                .matching(&parsed(query)?.query, &person.asker)?,
        };
        let event = Event {
            subjects: found.iter().copied().take(NAMED_MAX).collect(),
            count: Some(found.len() as u64),
            text: query.to_owned(),
            rule: format.to_owned(),
            ..entry_of(person, EventKind::Exported, peer)
        };
        let export = self.log(person.account.0, event)?;
        person.exports(export, &found);
        Ok(PeopleAnswer::Export(export, found))
    }

    fn seal_export(
        &self,
        person: &Seeing,
        peer: &str,
        export: u64,
        manifest: [u8; 32],
        count: u64,
    ) -> Result<PeopleAnswer, Denial> {
        let event = Event {
            subjects: vec![export],
            count: Some(count),
            digest: Some(Digest(manifest)),
            ..entry_of(person, EventKind::Exported, peer)
        };
        let event = self.log(person.account.0, event)?;
        // He gets the proof of this entry as well.
        person.exports(event, &[event]);
        let checkpoint = self.store().checkpoint()?;
        Ok(PeopleAnswer::Sealed {
            event,
            checkpoint: checkpoint.note,
            tree_size: checkpoint.tree_size,
        })
    }

    /// Gives a message without the header fields that name any of these addresses, and without Bcc fields.
    fn without_fields_naming(&self, addresses: &[String], body: Body) -> Result<Body, Failure> {
        let start = start_of(&body)?;
        let header_bytes = header_length(&start);
        let mut bytes = BodyReader::new(body);
        io::copy(&mut (&mut bytes).take(start.len() as u64), &mut io::sink()).map_err(failed)?;
        let mut writer = self.store().spool().writer();
        for field in fields(&start[..header_bytes]) {
            if !names_any(field, addresses) {
                writer.write(field)?;
            }
        }
        writer.write(&start[header_bytes..])?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            match bytes.read(&mut chunk).map_err(failed)? {
                0 => return Ok(writer.finish()?),
                count => writer.write(&chunk[..count])?,
            }
        }
    }
}

/// Tells whether no field of a message's header names any of these addresses.
fn is_whole(body: &Body, unshown: &[String]) -> Result<bool, Failure> {
    if unshown.is_empty() {
        return Ok(true);
    }
    let start = start_of(body)?;
    let header = &start[..header_length(&start)];
    Ok(!fields(header).iter().any(|field| names_any(field, unshown)))
}

/// Gives the bytes of a message in which its header lies.
fn start_of(body: &Body) -> Result<Vec<u8>, Failure> {
    let length = body.length_bytes().min(HEADER_BYTES_MAX as u64) as usize;
    match body {
        Body::Memory(bytes) => Ok(bytes[..length].to_vec()),
        Body::File { file, .. } => {
            let mut start = vec![0; length];
            file.read_exact_at(0, &mut start).map_err(failed)?;
            Ok(start)
        }
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::Later(error.to_string())
}

fn entry_of(person: &Seeing, kind: EventKind, peer: &str) -> Event {
    Event {
        kind,
        account: person.name.clone(),
        peer: peer.to_owned(),
        reason: person
            .program
            .as_ref()
            .map_or_else(String::new, |name| format!("by a program, token {name}")),
        ..Event::default()
    }
}

fn not_found(number: u64) -> Failure {
    Failure::NotFound(format!("message {number}"))
}

/// Gives the length of the header section, the empty line left out; all of it when there is none (RFC 5322 §2.1).
fn header_length(start: &[u8]) -> usize {
    let mut at = 0;
    for line in start.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            return at;
        }
        at += line.len();
    }
    at
}

/// Parts a header section into fields, each with its folded lines (RFC 5322 §2.2.3).
fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let (mut begun, mut at) = (0, 0);
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if at > begun && !matches!(line.first(), Some(b' ' | b'\t')) {
            fields.push(&header[begun..at]);
            begun = at;
        }
        at += line.len();
    }
    if at > begun {
        fields.push(&header[begun..at]);
    }
    fields
}

fn names_any(field: &[u8], addresses: &[String]) -> bool {
    // Folding may part an address after its at sign; comparing without blanks finds it all the same.
    let text: String = String::from_utf8_lossy(field)
        .chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect();
    let is_bcc = text.starts_with("bcc:") || text.starts_with("resent-bcc:");
    is_bcc
        || addresses
            .iter()
            .any(|address| text.contains(&address.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_name_hidden_recipients_are_known() {
        let message = "From: a@x.example\r\nBcc: b@x.example\r\nReceived: by mx\r\n\tfor <C@x.\r\n example>; today\r\n\
            To: d@x.example\r\n\r\nBcc: b@x.example\r\n";
        let header = &message.as_bytes()[..header_length(message.as_bytes())];
        let hidden = ["b@x.example".to_owned(), "c@x.example".to_owned()];
        let left: Vec<u8> = fields(header)
            .into_iter()
            .filter(|field| !names_any(field, &hidden))
            .flatten()
            .copied()
            .collect();
        assert_eq!(left, b"From: a@x.example\r\nTo: d@x.example\r\n");
        assert_eq!(fields(header).concat(), header);
        for (message, length) in [("", 0), ("\r\nx", 0), ("a: b", 4), ("a: b\n\nx", 5)] {
            assert_eq!(header_length(message.as_bytes()), length, "{message:?}");
        }
    }
}
