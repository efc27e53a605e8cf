//! The meaning of a message: what lists show of it and what the index is told, both from the same reading.

use crate::catalog::Summary;
use crate::index::{Document, Person};
use archive::{Message, Reception, SourceKind};
use mail::{Address, Reading};
use std::collections::HashSet;

/// Longest text of a list kept in the catalog, in bytes: enough for any list on a page.
const SHOWN_BYTES_MAX: usize = 400;

/// Most recipients kept for lists; the message itself has them all.
const SHOWN_RECIPIENTS_MAX: usize = 20;

/// A Date field before 1970 or more than a day after its arrival is not believed, in seconds.
const FUTURE_SECONDS_MAX: i64 = 24 * 60 * 60;

/// What a message means, before it has a number.
pub(crate) struct Facts {
    pub(crate) summary: Summary,
    pub(crate) document: Document,
}

impl Facts {
    /// Reads a message (without its attachments) that came by this reception.
    pub(crate) fn read(
        copy: &[u8],
        message: &Message,
        group: [u8; 16],
        reception: &Reception,
    ) -> Self {
        let reading = mail::read(copy);
        let self_test = reception.source == SourceKind::SelfTest;
        let summary = Summary {
            digest: Some(message.digest),
            size_bytes: message.size_bytes,
            sent_at: reading.sent_at,
            from: shown(reading.from.first()),
            to: reading
                .to
                .iter()
                .chain(&reading.cc)
                .take(SHOWN_RECIPIENTS_MAX)
                .map(|a| shown(Some(a)))
                .collect(),
            subject: cut(&reading.subject),
            message_id: cut(reading.message_id.as_deref().unwrap_or_default()),
            attachments: apart(&reading) as u32,
            oddities: message.oddities.union(reading.oddities),
            self_test,
            group,
            received_at_us: 0,
            date: 0,
        };
        let mut document = document_of(reading, message.size_bytes, self_test);
        add_reception(&mut document, reception);
        Self { summary, document }
    }

    /// Fills in what only the committer knows.
    pub(crate) fn arrived(&mut self, sequence: u64, received_at_us: i64, reception: &Reception) {
        let received_at = received_at_us.div_euclid(1_000_000);
        let believed = |date: &i64| (0..=received_at + FUTURE_SECONDS_MAX).contains(date);
        let date = self
            .summary
            .sent_at
            .filter(believed)
            .or(reception.key.internal_date.filter(believed));
        self.summary.received_at_us = received_at_us;
        self.summary.date = date.unwrap_or(received_at);
        // Whoever had an address then may see it; a stranger's Date field must not decide that.
        self.document.arrived_at = reception
            .key
            .internal_date
            .filter(believed)
            .unwrap_or(received_at);
        self.document.sequence = sequence;
        self.document.sent_at = self.summary.date;
    }
}

fn document_of(reading: Reading, size_bytes: u64, self_test: bool) -> Document {
    let addresses = |list: &[Address]| {
        list.iter()
            .map(|address| address.address.clone())
            .collect::<Vec<_>>()
    };
    let mut senders = addresses(&reading.from);
    senders.extend(addresses(&reading.sender));
    let envelope_to = addresses(&reading.envelope_to);
    let has_attachment = apart(&reading) > 0;
    let mut document = Document {
        size_bytes,
        subject: reading.subject,
        body: reading.body,
        senders,
        from: people(reading.from),
        to: people(reading.to),
        cc: people(reading.cc),
        hidden: addresses(&reading.bcc),
        attachments: reading
            .attachments
            .into_iter()
            .map(|attachment| attachment.name)
            .collect(),
        has_attachment,
        self_test,
        ..Document::default()
    };
    add_hidden(&mut document, envelope_to.iter().map(String::as_str));
    document
}

/// Counts what people call attachments of the message.
fn apart(reading: &Reading) -> usize {
    let attachments = reading.attachments.iter();
    attachments.filter(|attachment| attachment.is_apart).count()
}

fn people(addresses: Vec<Address>) -> Vec<Person> {
    addresses
        .into_iter()
        .map(|Address { name, address }| Person { name, address })
        .collect()
}

/// Adds whom an arrival names: the recipients of envelope and journal report that no visible field names are hidden ones.
///
/// Returns whether the document has changed.
pub(crate) fn add_reception(document: &mut Document, reception: &Reception) -> bool {
    let before = (document.senders.len(), document.hidden.len());
    add_senders(document, reception);
    add_hidden(document, recipients(reception));
    before != (document.senders.len(), document.hidden.len())
}

/// Adds recipients that the document does not name yet.
fn add_hidden<'a>(document: &mut Document, recipients: impl Iterator<Item = &'a str>) {
    let visible = document
        .to
        .iter()
        .chain(&document.cc)
        .map(|person| &person.address);
    let mut known: HashSet<String> = visible
        .chain(&document.hidden)
        .map(|known| mail::normal_address(known))
        .collect();
    for address in recipients {
        if known.insert(mail::normal_address(address)) {
            document.hidden.push(address.to_owned());
        }
    }
}

fn add_senders(document: &mut Document, reception: &Reception) {
    let envelope = reception
        .envelope
        .iter()
        .map(|envelope| &envelope.reverse_path);
    let journal = reception.journal.iter().flat_map(|journal| {
        journal
            .envelope
            .sender
            .iter()
            .chain(&journal.envelope.on_behalf_of)
    });
    for address in envelope
        .chain(journal)
        .filter(|address| !address.is_empty())
    {
        let normal = mail::normal_address(address);
        if !document
            .senders
            .iter()
            .any(|sender| mail::normal_address(sender) == normal)
        {
            document.senders.push(address.clone());
        }
    }
}

/// Addresses of all recipients that an arrival names, those of lists and forwarding folders included.
fn recipients(reception: &Reception) -> impl Iterator<Item = &str> {
    let envelope = reception
        .envelope
        .iter()
        .flat_map(|envelope| &envelope.recipients);
    let journal = reception
        .journal
        .iter()
        .flat_map(|journal| &journal.envelope.recipients);
    envelope
        .map(|recipient| recipient.address.as_str())
        .chain(journal.map(|recipient| recipient.address.as_str()))
        .filter(|address| !address.is_empty())
}

fn shown(address: Option<&Address>) -> String {
    match address {
        None => String::new(),
        Some(Address {
            name: Some(name),
            address,
        }) => cut(&format!("{name} <{address}>")),
        Some(Address {
            name: None,
            address,
        }) => cut(address),
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(SHOWN_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::{Envelope, Recipient};

    #[test]
    fn only_unnamed_recipients_are_hidden() {
        let person = |address: &str| Person {
            name: None,
            address: address.to_owned(),
        };
        let mut document = Document {
            to: vec![person("Anna@x.example")],
            ..Document::default()
        };
        let recipient = |address: &str| Recipient {
            address: address.to_owned(),
            parameters: vec![],
        };
        let envelope = Envelope {
            reverse_path: "chef@x.example".to_owned(),
            recipients: ["anna@X.example", "steuer@y.example", "steuer@y.example"]
                .map(recipient)
                .to_vec(),
            ..Envelope::default()
        };
        let reception = Reception {
            envelope: Some(envelope),
            ..Reception::default()
        };
        assert!(add_reception(&mut document, &reception));
        assert_eq!(document.hidden, ["steuer@y.example"]);
        assert_eq!(document.senders, ["chef@x.example"]);
        assert!(!add_reception(&mut document, &reception));
    }

    #[test]
    fn recipients_that_a_server_noted_in_the_header_are_hidden_ones() {
        let bytes = b"To: anna@x.example\nBcc: chef@x.example\nX-Envelope-To: Anna@x.example\n\
            X-Envelope-To: steuer@y.example\nX-Envelope-To: chef@x.example\n\n";
        let document = document_of(mail::read(bytes), bytes.len() as u64, false);
        assert_eq!(document.hidden, ["chef@x.example", "steuer@y.example"]);
    }

    #[test]
    fn an_unbelievable_date_gives_way() {
        let mut facts = Facts {
            summary: Summary::default(),
            document: Document::default(),
        };
        let mut reception = Reception::default();
        let day = 86_400;
        let now = 20_000 * day;
        for (sent, internal, expected) in [
            (Some(5 * day), None, 5 * day),
            (Some(now + 3 * day), None, now),
            (Some(-4), Some(7 * day), 7 * day),
            (None, None, now),
        ] {
            facts.summary.sent_at = sent;
            reception.key.internal_date = internal;
            facts.arrived(3, now * 1_000_000, &reception);
            assert_eq!(facts.summary.date, expected);
        }
    }
}
