//! What the index is told about a message, and the entry it becomes.

use std::collections::BTreeSet;

use tantivy::TantivyDocument;
use tantivy::schema::Field;

use super::schema::{Fields, MARK_ATTACHMENT, MARK_SELF_TEST};

/// A person of a header field or envelope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// The name given beside the address.
    pub name: Option<String>,
    /// The address as given.
    pub address: String,
}

/// What the index is told about a message; addresses are made normal here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Sequence number of the message; at most one document has it.
    pub sequence: u64,
    /// Sequence number of the first message that differs from it only in line ends or trace fields; 0 if it is that itself.
    pub first_copy: u64,
    /// The date shown and ordered by, Unix seconds.
    pub sent_at: i64,
    /// The time that decides whose an address was, Unix seconds: `at` of [`archive::access::Facts`].
    pub arrived_at: i64,
    /// Length of the message.
    pub size_bytes: u64,
    /// Subject, decoded.
    pub subject: String,
    /// Text, decoded; HTML made text.
    pub body: String,
    /// Authors and senders, to be found by names and addresses.
    pub from: Vec<Person>,
    /// Addresses of the believed senders: `senders` of [`archive::access::Facts`].
    pub senders: Vec<String>,
    /// To and the like: with `cc` they are `visible` of [`archive::access::Facts`].
    pub to: Vec<Person>,
    /// Cc.
    pub cc: Vec<Person>,
    /// Addresses of recipients of Bcc, envelope or journal report alone: `hidden` of [`archive::access::Facts`].
    pub hidden: Vec<String>,
    /// The Message-ID; angle brackets around it do not count.
    pub message_id: Option<String>,
    /// Names of the attachments, of pictures in the text and of what attached messages carry.
    pub attachments: Vec<String>,
    /// Whether there is what people call an attachment.
    pub has_attachment: bool,
    /// Whether it is a self-test message.
    pub self_test: bool,
}

/// Makes the entry of a document.
pub(super) fn entry(fields: &Fields, document: &Document) -> TantivyDocument {
    let mut entry = TantivyDocument::default();
    entry.add_u64(fields.sequence, document.sequence);
    // The column of a segment without copies is all 0 and takes no room.
    entry.add_u64(fields.first_copy, document.first_copy);
    entry.add_i64(fields.sent_at, document.sent_at);
    entry.add_i64(fields.arrived_at, document.arrived_at);
    entry.add_u64(fields.size_bytes, document.size_bytes);
    add_each(&mut entry, fields.body, [&document.body]);
    add_each(&mut entry, fields.pairs, [&document.body]);
    add_each(&mut entry, fields.subject, [&document.subject]);
    add_each(
        &mut entry,
        fields.from,
        document.from.iter().map(Person::written),
    );
    add_each(
        &mut entry,
        fields.to,
        document.to.iter().chain(&document.cc).map(Person::written),
    );
    add_each(
        &mut entry,
        fields.cc,
        document.cc.iter().map(Person::written),
    );
    add_each(&mut entry, fields.hidden, &document.hidden);
    add_each(&mut entry, fields.filename, &document.attachments);
    add_each(
        &mut entry,
        fields.message_id,
        document.message_id.as_deref().map(bare_message_id),
    );
    add_access(&mut entry, fields, document);
    if document.has_attachment {
        entry.add_text(fields.mark, MARK_ATTACHMENT);
    }
    if document.self_test {
        entry.add_text(fields.mark, MARK_SELF_TEST);
    }
    entry
}

/// About how many bytes the entry of a document takes: the text is in it for words and for pairs.
pub(super) fn entry_bytes(document: &Document) -> usize {
    2 * document.body.len() + 1024
}

/// Gives a Message-ID without the angle brackets that are no part of it (RFC 5322 §3.6.4).
pub(super) fn bare_message_id(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .unwrap_or(id)
}

impl Person {
    /// Name and address as one value, so that a query written the same way finds it.
    fn written(&self) -> String {
        match &self.name {
            Some(name) => format!("{name} <{}>", self.address),
            None => self.address.clone(),
        }
    }
}

/// Adds the addresses by which access is decided, each once.
fn add_access(entry: &mut TantivyDocument, fields: &Fields, document: &Document) {
    let visible = document
        .to
        .iter()
        .chain(&document.cc)
        .map(|person| &person.address);
    let visible = normal_addresses(visible);
    let hidden = normal_addresses(&document.hidden);
    let senders = normal_addresses(&document.senders);
    add_each(entry, fields.sender, &senders);
    add_each(entry, fields.hidden_address, &hidden);
    let all: BTreeSet<String> = [visible, hidden, senders].into_iter().flatten().collect();
    add_each(entry, fields.access, all);
}

fn normal_addresses<'a>(addresses: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    let normal = addresses
        .into_iter()
        .map(|address| mail::normal_address(address));
    normal.filter(|address| !address.is_empty()).collect()
}

/// Adds values one by one, so that no phrase runs from one into the next.
fn add_each(
    entry: &mut TantivyDocument,
    field: Field,
    values: impl IntoIterator<Item = impl AsRef<str>>,
) {
    for value in values {
        entry.add_text(field, value.as_ref());
    }
}
