//! Leaves of the tree: message, reception and event records to bytes and back (FORMAT.md, "Leaf records").

use crate::encoding::{Bytes, FieldWriter, Fields, put_counted, put_varint, text};
use crate::record::RecordKind;
use archive::{
    Base64Shape, ContentRef, Digest, Direction, Envelope, Event, EventKind, Journal, Message,
    MessageForm, Reception, Recipient, ReportForm, SourceKind, StoredPiece, Trust,
};
use mail::{JournalEnvelope, JournalRecipient, LineEnd, Oddities, RecipientKind, Redirect};

/// Schema number that this version writes for every kind of leaf.
const SCHEMA: u16 = 1;

/// Bit of the schema number that lets an older reader skip the record.
const MAY_BE_SKIPPED: u16 = 1 << 15;

/// Bytes before the fields.
const HEAD_BYTES: usize = 79;

/// When something happened, and how sure the clock was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970, UTC.
    pub at_us: i64,
    /// Whether the clock was synchronised.
    pub synchronised: bool,
    /// How far it may be off; `None` when nobody knows.
    pub uncertainty_ms: Option<u32>,
}

/// What every leaf carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafHead {
    /// 32 random bytes that keep the leaf hash from giving away the body.
    pub salt: [u8; 32],
    /// Position in the archive, from 1.
    pub sequence: u64,
    /// When it was taken in.
    pub moment: Moment,
    /// The start of the machine during which it was.
    pub boot_id: [u8; 16],
    /// Who: see FORMAT.md.
    pub actor: u64,
}

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafBody {
    /// The recipe of a message.
    Message(Message),
    /// An arrival of a message.
    Reception {
        /// Sequence number of the message.
        message: u64,
        /// Digest of the message.
        digest: Digest,
        /// What is known of the arrival.
        reception: Box<Reception>,
    },
    /// An entry of the audit log.
    Event(Box<Event>),
    /// Written by a newer version that lets us skip it.
    Skipped,
}

/// A leaf record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What every leaf carries.
    pub head: LeafHead,
    /// What it says.
    pub body: LeafBody,
}

/// Why bytes are no leaf.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadLeaf {
    Damaged,
    TooNew,
}

impl Leaf {
    pub(crate) fn kind(&self) -> RecordKind {
        match self.body {
            LeafBody::Message(_) => RecordKind::Message,
            LeafBody::Reception { .. } => RecordKind::Reception,
            LeafBody::Event(_) => RecordKind::Event,
            LeafBody::Skipped => unreachable!("a skipped leaf is never written again"),
        }
    }

    /// The record's body; also what the leaf hash covers.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = FieldWriter::behind(encode_head(&self.head));
        match &self.body {
            LeafBody::Message(message) => put_message(&mut fields, message),
            LeafBody::Reception {
                message,
                digest,
                reception,
            } => put_reception(&mut fields, *message, digest, reception),
            LeafBody::Event(event) => put_event(&mut fields, event),
            LeafBody::Skipped => {}
        }
        fields.finish()
    }

    pub(crate) fn decode(kind: RecordKind, body: &[u8]) -> Result<Self, BadLeaf> {
        let (head, schema) = decode_head(body).ok_or(BadLeaf::Damaged)?;
        if schema & !MAY_BE_SKIPPED > SCHEMA {
            let skipped = schema & MAY_BE_SKIPPED != 0;
            return if skipped {
                Ok(Self {
                    head,
                    body: LeafBody::Skipped,
                })
            } else {
                Err(BadLeaf::TooNew)
            };
        }
        let mut fields = Fields::new(&body[HEAD_BYTES..]);
        let body = match kind {
            RecordKind::Message => take_message(&mut fields).map(LeafBody::Message),
            RecordKind::Reception => take_reception(&mut fields),
            RecordKind::Event => {
                take_event(&mut fields).map(|event| LeafBody::Event(Box::new(event)))
            }
            _ => None,
        };
        match body {
            Some(body) if fields.sound() => Ok(Self { head, body }),
            _ => Err(BadLeaf::Damaged),
        }
    }
}

/// Reads the sequence number of a leaf without the rest.
pub(crate) fn sequence_of(body: &[u8]) -> Option<u64> {
    decode_head(body).map(|(head, _)| head.sequence)
}

fn encode_head(head: &LeafHead) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&head.salt);
    out.extend_from_slice(&SCHEMA.to_le_bytes());
    out.extend_from_slice(&head.sequence.to_le_bytes());
    out.extend_from_slice(&head.moment.at_us.to_le_bytes());
    out.push(u8::from(head.moment.synchronised));
    out.extend_from_slice(&head.moment.uncertainty_ms.unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&head.boot_id);
    out.extend_from_slice(&head.actor.to_le_bytes());
    debug_assert_eq!(out.len(), HEAD_BYTES);
    out
}

fn decode_head(body: &[u8]) -> Option<(LeafHead, u16)> {
    let mut bytes = Bytes(body);
    let salt = bytes.array()?;
    let schema = bytes.u16()?;
    let sequence = bytes.u64()?;
    let at_us = bytes.i64()?;
    let synchronised = bytes.u8()? == 1;
    let uncertainty = bytes.u32()?;
    let moment = Moment {
        at_us,
        synchronised,
        uncertainty_ms: (uncertainty != u32::MAX).then_some(uncertainty),
    };
    let (boot_id, actor) = (bytes.array()?, bytes.u64()?);
    Some((
        LeafHead {
            salt,
            sequence,
            moment,
            boot_id,
            actor,
        },
        schema,
    ))
}

// ---- contents and shapes ----

fn put_content(out: &mut Vec<u8>, content: ContentRef) {
    out.extend_from_slice(&content.digest.0);
    put_varint(out, content.length_bytes);
}

fn content_field(fields: &mut FieldWriter, tag: u64, content: ContentRef) {
    let mut value = Vec::with_capacity(42);
    put_content(&mut value, content);
    fields.bytes(tag, &value);
}

fn take_content(bytes: &mut Bytes) -> Option<ContentRef> {
    Some(ContentRef {
        digest: Digest(bytes.array()?),
        length_bytes: bytes.varint()?,
    })
}

const SHAPE_LF: u8 = 1;
const SHAPE_LAST_LINE_END: u8 = 2;
const PIECE_TEXT: u8 = 4;

fn shape_flags(shape: Base64Shape) -> u8 {
    let lf = if shape.line_end == LineEnd::Lf {
        SHAPE_LF
    } else {
        0
    };
    lf | if shape.last_line_end {
        SHAPE_LAST_LINE_END
    } else {
        0
    }
}

fn shape_of(line_chars: u64, flags: u8) -> Option<Base64Shape> {
    Some(Base64Shape {
        line_chars: u16::try_from(line_chars).ok()?,
        line_end: if flags & SHAPE_LF != 0 {
            LineEnd::Lf
        } else {
            LineEnd::Crlf
        },
        last_line_end: flags & SHAPE_LAST_LINE_END != 0,
    })
}

// ---- message ----

fn put_message(fields: &mut FieldWriter, message: &Message) {
    fields.bytes(1, &message.digest.0);
    fields.uint(2, message.size_bytes);
    if let MessageForm::TakenApart { skeleton, pieces } = &message.form {
        content_field(fields, 3, *skeleton);
        pieces
            .iter()
            .for_each(|piece| fields.bytes(4, &encode_piece(piece)));
    }
    fields.nonzero(5, u64::from(message.oddities.bits()));
}

fn encode_piece(piece: &StoredPiece) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    match piece {
        StoredPiece::Skeleton { length_bytes } => {
            out.push(0);
            put_varint(&mut out, *length_bytes);
        }
        StoredPiece::Base64 {
            content,
            shape,
            is_text,
        } => {
            out.push(1);
            put_content(&mut out, *content);
            put_varint(&mut out, u64::from(shape.line_chars));
            out.push(shape_flags(*shape) | if *is_text { PIECE_TEXT } else { 0 });
        }
    }
    out
}

fn take_piece(bytes: &mut Bytes) -> Option<StoredPiece> {
    match bytes.u8()? {
        0 => Some(StoredPiece::Skeleton {
            length_bytes: bytes.varint()?,
        }),
        1 => {
            let content = take_content(bytes)?;
            let (line_chars, flags) = (bytes.varint()?, bytes.u8()?);
            let shape = shape_of(line_chars, flags)?;
            Some(StoredPiece::Base64 {
                content,
                shape,
                is_text: flags & PIECE_TEXT != 0,
            })
        }
        _ => None,
    }
}

fn take_oddities(value: &mut Bytes) -> Option<Oddities> {
    Some(Oddities::from_bits(u32::try_from(value.varint()?).ok()?))
}

fn take_message(fields: &mut Fields) -> Option<Message> {
    let (mut digest, mut size_bytes, mut skeleton) = (None, None, None);
    let (mut pieces, mut oddities) = (Vec::new(), Oddities::default());
    for (tag, mut value) in fields {
        match tag {
            1 => digest = Some(Digest(value.array()?)),
            2 => size_bytes = Some(value.varint()?),
            3 => skeleton = Some(take_content(&mut value)?),
            4 => pieces.push(take_piece(&mut value)?),
            5 => oddities = take_oddities(&mut value)?,
            _ => {}
        }
    }
    let form = match skeleton {
        Some(skeleton) => MessageForm::TakenApart { skeleton, pieces },
        None => MessageForm::Whole,
    };
    Some(Message {
        digest: digest?,
        size_bytes: size_bytes?,
        form,
        oddities,
    })
}

// ---- reception ----

fn put_reception(fields: &mut FieldWriter, message: u64, digest: &Digest, reception: &Reception) {
    fields.uint(1, message);
    fields.bytes(2, &digest.0);
    fields.uint(3, reception.source as u64);
    fields.nonzero(4, reception.direction as u64);
    fields.nonzero(5, reception.trust as u64);
    fields.nonzero(6, u64::from(reception.oddities.bits()));
    if let Some(envelope) = &reception.envelope {
        put_envelope(fields, envelope);
    }
    put_source_key(fields, reception);
    if let Some(journal) = &reception.journal {
        put_journal(fields, journal);
    }
}

fn put_envelope(fields: &mut FieldWriter, envelope: &Envelope) {
    fields.bytes(10, envelope.reverse_path.as_bytes());
    envelope
        .mail_parameters
        .iter()
        .for_each(|parameter| fields.bytes(11, parameter.as_bytes()));
    for recipient in &envelope.recipients {
        let mut value = Vec::new();
        put_counted(&mut value, recipient.address.as_bytes());
        recipient
            .parameters
            .iter()
            .for_each(|parameter| put_counted(&mut value, parameter.as_bytes()));
        fields.bytes(12, &value);
    }
    fields.text(13, &envelope.helo);
    fields.text(14, &envelope.peer);
    fields.text(15, &envelope.tls);
    fields.text(16, &envelope.signed_in_as);
}

fn put_source_key(fields: &mut FieldWriter, reception: &Reception) {
    let key = &reception.key;
    fields.text(20, &key.path);
    fields.text(21, &key.account);
    fields.text(22, &key.folder);
    if let Some((validity, uid)) = key.uid {
        fields.uint(23, u64::from(validity));
        fields.uint(24, u64::from(uid));
    }
    // Also an empty one of a list is one of it.
    key.flags
        .iter()
        .for_each(|flag| fields.bytes(25, flag.as_bytes()));
    fields.int(26, key.internal_date);
    if let Some(offset) = key.offset {
        fields.uint(27, offset);
    }
    if !key.from_line.is_empty() {
        fields.bytes(28, &key.from_line);
    }
}

fn put_journal(fields: &mut FieldWriter, journal: &Journal) {
    let envelope = &journal.envelope;
    fields.optional_text(30, envelope.sender.as_deref());
    envelope
        .recipients
        .iter()
        .for_each(|recipient| fields.bytes(31, &encode_journal_recipient(recipient)));
    fields.optional_text(32, envelope.on_behalf_of.as_deref());
    fields.optional_text(33, envelope.subject.as_deref());
    fields.optional_text(34, envelope.message_id.as_deref());
    fields.optional_text(35, envelope.label.as_deref());
    fields.optional_text(36, envelope.mailbox.as_deref());
    fields.optional_text(37, envelope.sent_utc.as_deref());
    fields.optional_text(38, envelope.received_utc.as_deref());
    fields.bytes(40, &journal.report_digest.0);
    fields.uint(41, journal.report_size_bytes);
    match &journal.form {
        ReportForm::Plain { prefix, suffix } => {
            content_field(fields, 42, *prefix);
            content_field(fields, 43, *suffix);
            fields.uint(44, 0);
        }
        ReportForm::Whole(report) => {
            content_field(fields, 42, *report);
            fields.uint(44, 1);
        }
    }
}

fn encode_journal_recipient(recipient: &JournalRecipient) -> Vec<u8> {
    let (redirect, through) = match &recipient.redirect {
        None => (0, ""),
        Some(Redirect::Expanded(list)) => (1, list.as_str()),
        Some(Redirect::Forwarded(from)) => (2, from.as_str()),
    };
    let kind = match recipient.kind {
        RecipientKind::To => 1,
        RecipientKind::Cc => 2,
        RecipientKind::Bcc => 3,
        RecipientKind::Recipient => 4,
    };
    let mut value = vec![kind, redirect];
    put_counted(&mut value, recipient.address.as_bytes());
    put_counted(&mut value, through.as_bytes());
    value
}

fn take_journal_recipient(value: &mut Bytes) -> Option<JournalRecipient> {
    let kind = match value.u8()? {
        1 => RecipientKind::To,
        2 => RecipientKind::Cc,
        3 => RecipientKind::Bcc,
        _ => RecipientKind::Recipient,
    };
    let redirect = value.u8()?;
    let (address, through) = (text(value.counted()?), text(value.counted()?));
    let redirect = match redirect {
        1 => Some(Redirect::Expanded(through)),
        2 => Some(Redirect::Forwarded(through)),
        _ => None,
    };
    Some(JournalRecipient {
        kind,
        address,
        redirect,
    })
}

fn take_recipient(value: &mut Bytes) -> Option<Recipient> {
    let address = text(value.counted()?);
    let mut parameters = Vec::new();
    while !value.0.is_empty() {
        parameters.push(text(value.counted()?));
    }
    Some(Recipient {
        address,
        parameters,
    })
}

/// The fields of a journal, gathered while they come.
#[derive(Default)]
struct JournalFields {
    envelope: JournalEnvelope,
    digest: Option<Digest>,
    size_bytes: u64,
    prefix: Option<ContentRef>,
    suffix: Option<ContentRef>,
    whole: bool,
}

impl JournalFields {
    fn take(&mut self, tag: u64, value: &mut Bytes) -> Option<()> {
        let words = || Some(text(value.0));
        match tag {
            30 => self.envelope.sender = words(),
            31 => self
                .envelope
                .recipients
                .push(take_journal_recipient(value)?),
            32 => self.envelope.on_behalf_of = words(),
            33 => self.envelope.subject = words(),
            34 => self.envelope.message_id = words(),
            35 => self.envelope.label = words(),
            36 => self.envelope.mailbox = words(),
            37 => self.envelope.sent_utc = words(),
            38 => self.envelope.received_utc = words(),
            40 => self.digest = Some(Digest(value.array()?)),
            41 => self.size_bytes = value.varint()?,
            42 => self.prefix = Some(take_content(value)?),
            43 => self.suffix = Some(take_content(value)?),
            44 => self.whole = value.varint()? == 1,
            _ => {}
        }
        Some(())
    }

    /// A journal, when the report's digest was there; `None` outside when it is not whole.
    fn finish(self) -> Option<Option<Journal>> {
        let Some(report_digest) = self.digest else {
            return Some(None);
        };
        let form = match self.whole {
            true => ReportForm::Whole(self.prefix?),
            false => ReportForm::Plain {
                prefix: self.prefix?,
                suffix: self.suffix?,
            },
        };
        Some(Some(Journal {
            envelope: self.envelope,
            report_digest,
            report_size_bytes: self.size_bytes,
            form,
        }))
    }
}

fn take_reception(fields: &mut Fields) -> Option<LeafBody> {
    let (mut message, mut digest) = (None, None);
    let (mut reception, mut journal) = (Reception::default(), JournalFields::default());
    for (tag, mut value) in fields {
        match tag {
            1 => message = Some(value.varint()?),
            2 => digest = Some(Digest(value.array()?)),
            3 => reception.source = SourceKind::from_number(value.varint()?),
            4 => reception.direction = direction(value.varint()?),
            5 => reception.trust = trust(value.varint()?),
            6 => reception.oddities = take_oddities(&mut value)?,
            10..=16 => take_envelope(reception.envelope.get_or_insert_default(), tag, &mut value)?,
            20..=28 => take_source_key(&mut reception, tag, &mut value)?,
            30..=44 => journal.take(tag, &mut value)?,
            _ => {}
        }
    }
    reception.journal = journal.finish()?;
    Some(LeafBody::Reception {
        message: message?,
        digest: digest?,
        reception: Box::new(reception),
    })
}

fn take_envelope(envelope: &mut Envelope, tag: u64, value: &mut Bytes) -> Option<()> {
    match tag {
        10 => envelope.reverse_path = text(value.0),
        11 => envelope.mail_parameters.push(text(value.0)),
        12 => envelope.recipients.push(take_recipient(value)?),
        13 => envelope.helo = text(value.0),
        14 => envelope.peer = text(value.0),
        15 => envelope.tls = text(value.0),
        _ => envelope.signed_in_as = text(value.0),
    }
    Some(())
}

fn take_source_key(reception: &mut Reception, tag: u64, value: &mut Bytes) -> Option<()> {
    let key = &mut reception.key;
    match tag {
        20 => key.path = text(value.0),
        21 => key.account = text(value.0),
        22 => key.folder = text(value.0),
        23 => key.uid = Some((u32::try_from(value.varint()?).ok()?, 0)),
        24 => key.uid = Some((key.uid?.0, u32::try_from(value.varint()?).ok()?)),
        25 => key.flags.push(text(value.0)),
        26 => key.internal_date = Some(value.i64()?),
        27 => key.offset = Some(value.varint()?),
        _ => key.from_line = value.0.to_vec(),
    }
    Some(())
}

fn direction(number: u64) -> Direction {
    match number {
        1 => Direction::Inbound,
        2 => Direction::Outbound,
        3 => Direction::Internal,
        _ => Direction::Unknown,
    }
}

fn trust(number: u64) -> Trust {
    match number {
        0 => Trust::NotAsked,
        1 => Trust::AllowedNetwork,
        2 => Trust::SignedIn,
        3 => Trust::JournalPeer,
        _ => Trust::Untrusted,
    }
}

// ---- event ----

fn put_event(fields: &mut FieldWriter, event: &Event) {
    fields.uint(1, event.kind.number());
    event
        .subjects
        .iter()
        .for_each(|sequence| fields.uint(2, *sequence));
    fields.text(3, &event.account);
    fields.text(4, &event.peer);
    fields.text(5, &event.text);
    fields.text(6, &event.before);
    fields.text(7, &event.after);
    fields.text(8, &event.reason);
    fields.text(9, &event.second_person);
    if let Some(digest) = &event.digest {
        fields.bytes(10, &digest.0);
    }
    if let Some(count) = event.count {
        fields.uint(11, count);
    }
    fields.int(12, event.from);
    fields.int(13, event.until);
    event
        .purged_leaves
        .iter()
        .for_each(|sequence| fields.uint(14, *sequence));
    event
        .purged_contents
        .iter()
        .for_each(|mac| fields.bytes(15, mac));
    fields.text(16, &event.rule);
    fields.text(17, &event.key);
    if !event.signature.is_empty() {
        fields.bytes(18, &event.signature);
    }
    if let Some(epoch) = event.epoch {
        fields.uint(19, epoch);
    }
    event
        .members
        .iter()
        .for_each(|member| fields.bytes(20, member));
    event
        .records
        .iter()
        .for_each(|record| fields.bytes(21, record.as_bytes()));
}

fn take_event(fields: &mut Fields) -> Option<Event> {
    let mut event = Event::default();
    for (tag, mut value) in fields {
        match tag {
            1 => event.kind = EventKind::from_number(value.varint()?),
            2 => event.subjects.push(value.varint()?),
            3 => event.account = text(value.0),
            4 => event.peer = text(value.0),
            5 => event.text = text(value.0),
            6 => event.before = text(value.0),
            7 => event.after = text(value.0),
            8 => event.reason = text(value.0),
            9 => event.second_person = text(value.0),
            10 => event.digest = Some(Digest(value.array()?)),
            11 => event.count = Some(value.varint()?),
            12 => event.from = Some(value.i64()?),
            13 => event.until = Some(value.i64()?),
            14 => event.purged_leaves.push(value.varint()?),
            15 => event.purged_contents.push(value.array()?),
            16 => event.rule = text(value.0),
            17 => event.key = text(value.0),
            18 => event.signature = value.0.to_vec(),
            19 => event.epoch = Some(value.varint()?),
            20 => event.members.push(value.array()?),
            21 => event.records.push(text(value.0)),
            _ => {}
        }
    }
    Some(event)
}

impl Leaf {
    /// Reads a leaf from the number of its kind and its bytes, as a proof carries them; none when they do not hold.
    pub fn from_proof(kind: u8, bytes: &[u8]) -> Option<Self> {
        Self::decode(RecordKind::from_number(kind), bytes).ok()
    }
}

/// Writes a reception as FORMAT.md has its fields, for handing it to another process.
pub fn encode_reception(reception: &Reception) -> Vec<u8> {
    let mut fields = FieldWriter::default();
    put_reception(&mut fields, 0, &Digest([0; 32]), reception);
    fields.finish()
}

/// Reads what [`encode_reception`] wrote; none when it does not hold.
pub fn decode_reception(bytes: &[u8]) -> Option<Reception> {
    let mut fields = Fields::new(bytes);
    let body = take_reception(&mut fields)?;
    match body {
        LeafBody::Reception { reception, .. } if fields.sound() => Some(*reception),
        _ => None,
    }
}

/// Writes an event as FORMAT.md has its fields, for handing it to another process.
pub fn encode_event(event: &Event) -> Vec<u8> {
    let mut fields = FieldWriter::default();
    put_event(&mut fields, event);
    fields.finish()
}

/// Reads what [`encode_event`] wrote; none when it does not hold.
pub fn decode_event(bytes: &[u8]) -> Option<Event> {
    let mut fields = Fields::new(bytes);
    take_event(&mut fields).filter(|_| fields.sound())
}
