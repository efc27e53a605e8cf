//! What a message says: the fields people ask for, its text and the names of its attachments (RFC 5322, RFC 2045 to 2047).
//!
//! Reading never fails: whatever comes in gives a [`Reading`], with what was odd about it. The walk over the parts is our
//! own, so that its depth and time are bounded; encoded-words, parameters, addresses, dates and character sets are
//! mail-parser's. Attachments are named, not opened.

use crate::attachment::{self, Marks};
use mail_parser::ContentType;
use std::collections::BTreeSet;

use crate::address::{self, Address};
use crate::header::{Field, HeaderSection, next_line};
use crate::oddities::Oddities;
use crate::text::Words;
use crate::transfer_encoding::TransferEncoding;
use crate::{date, html, text};

/// Longest text that is read, in octets (of one part before it is decoded, and of the whole body): 4 MiB are a thousand
/// printed pages; what is beyond is flagged and not found.
pub const BODY_MAX_BYTES: usize = 4 << 20;

/// Most attachments listed; beyond, the list is flagged as cut.
pub const ATTACHMENTS_MAX: usize = 1_000;

/// Most message ids of References and In-Reply-To that are read; beyond, the list is flagged as cut.
pub const REFERENCES_MAX: usize = 1_000;

/// Longest name of an attachment, in characters: file systems allow 255.
const NAME_MAX_CHARS: usize = 255;

/// Longest subject, in characters; a longer one is flagged as cut.
const SUBJECT_MAX_CHARS: usize = 16 << 10;

/// Deepest nesting of parts that is followed: each level costs one pass over what is inside it. Below, a part is read as
/// one text.
pub(crate) const DEPTH_MAX: usize = 24;

/// Most parts looked at in one message; beyond, the body is flagged as cut.
pub(crate) const PARTS_MAX: usize = 10_000;

/// A part that is not shown as text, or has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The file name, decoded; empty if none is given.
    pub name: String,
    /// The media type in lower case, such as "application/pdf".
    pub media_type: String,
    /// Whether people call it an attachment of this message: it is no picture in the text, and none of a message that is attached.
    pub is_apart: bool,
}

/// What a message says, for the catalog and the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// The message ids of In-Reply-To, without angle brackets.
    pub in_reply_to: Vec<String>,
    /// The message ids of References, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// The decoded subject, empty if there is none.
    pub subject: String,
    /// The addresses of From.
    pub from: Vec<Address>,
    /// The address of Sender.
    pub sender: Vec<Address>,
    /// The addresses of Reply-To.
    pub reply_to: Vec<Address>,
    /// The addresses of To.
    pub to: Vec<Address>,
    /// The addresses of Cc.
    pub cc: Vec<Address>,
    /// The addresses of Bcc.
    pub bcc: Vec<Address>,
    /// The recipients of the envelope, as the server that journals to us has written them into the header.
    pub envelope_to: Vec<Address>,
    /// The Date field in Unix seconds, as the sender wrote it.
    pub sent_at: Option<i64>,
    /// The text of the message, with that of messages inside it.
    pub body: String,
    /// The attachments, in the order of the parts.
    pub attachments: Vec<Attachment>,
    /// What was odd about the message.
    pub oddities: Oddities,
}

/// Reads a message, or a reading copy of one (in which attachments are empty).
pub fn read(bytes: &[u8]) -> Reading {
    let header = HeaderSection::split(bytes);
    if header.fields.is_empty() {
        return read_unreadable(bytes, header.body);
    }
    let mut walk = Walk::default();
    let body = walk.part(bytes, 0, &Kind::PLAIN);
    let mut reading = read_header(&header);
    reading.oddities.insert(walk.oddities);
    reading.attachments = walk.listed();
    reading.body = body;
    reading
}

/// Reads what is no message: its printable words stand for the body.
fn read_unreadable(bytes: &[u8], body: &[u8]) -> Reading {
    let mut oddities = Oddities::NO_HEADER
        .union(Oddities::NO_DATE)
        .union(Oddities::NO_MESSAGE_ID);
    if body.len() == bytes.len() {
        oddities.insert(Oddities::UNREADABLE);
    }
    if body.len() > BODY_MAX_BYTES {
        oddities.insert(Oddities::BODY_CUT);
    }
    let mut text = text::printable_runs(&body[..body.len().min(BODY_MAX_BYTES)]);
    cut(&mut text, BODY_MAX_BYTES);
    Reading {
        body: text,
        oddities,
        ..Reading::default()
    }
}

/// Fields that hold the recipients of the envelope: Postfix's `check_recipient_access … prepend`, and Exim's `envelope_to_add`.
const ENVELOPE_FIELDS: [&str; 2] = ["X-Envelope-To", "Envelope-To"];

fn read_header(header: &HeaderSection<'_>) -> Reading {
    let mut oddities = Oddities::NONE;
    // What a server has written there is no oddity of the message.
    let envelope_to = ENVELOPE_FIELDS
        .into_iter()
        .flat_map(|name| address::read(header, name, &mut Oddities::default()))
        .collect();
    if header.fields.iter().any(|field| !field.raw().is_ascii()) {
        oddities.insert(Oddities::EIGHT_BIT_HEADER);
    }
    let mut addresses = |name| address::read(header, name, &mut oddities);
    let reading = Reading {
        from: addresses("From"),
        sender: addresses("Sender"),
        reply_to: addresses("Reply-To"),
        to: addresses("To"),
        cc: addresses("Cc"),
        bcc: addresses("Bcc"),
        envelope_to,
        message_id: message_ids(header, "Message-ID", &mut oddities)
            .into_iter()
            .next(),
        in_reply_to: message_ids(header, "In-Reply-To", &mut oddities),
        references: message_ids(header, "References", &mut oddities),
        subject: read_subject(header, &mut oddities),
        sent_at: read_date(header, &mut oddities),
        ..Reading::default()
    };
    if reading.message_id.is_none() {
        oddities.insert(Oddities::NO_MESSAGE_ID);
    }
    Reading {
        oddities,
        ..reading
    }
}

fn read_subject(header: &HeaderSection<'_>, oddities: &mut Oddities) -> String {
    let subject = header.text("Subject");
    match subject.char_indices().nth(SUBJECT_MAX_CHARS) {
        Some((end, _)) => {
            oddities.insert(Oddities::LIST_CUT);
            subject[..end].to_owned()
        }
        None => subject,
    }
}

fn read_date(header: &HeaderSection<'_>, oddities: &mut Oddities) -> Option<i64> {
    let Some(field) = header.first("Date") else {
        oddities.insert(Oddities::NO_DATE);
        return None;
    };
    let sent_at = date::read(&text::guess(field.raw()));
    if sent_at.is_none() {
        oddities.insert(Oddities::BAD_DATE);
    }
    sent_at
}

/// Reads message ids: what stands in angle brackets, or else the one word of the field (RFC 5322 §3.6.4).
fn message_ids(
    header: &HeaderSection<'_>,
    name: &'static str,
    oddities: &mut Oddities,
) -> Vec<String> {
    let mut ids = Vec::new();
    for field in header.all(name) {
        let value = text::guess(field.raw()).into_owned();
        ids.extend(ids_of(&value));
    }
    if ids.len() > REFERENCES_MAX {
        ids.truncate(REFERENCES_MAX);
        oddities.insert(Oddities::LIST_CUT);
    }
    ids
}

/// Gives the message ids of a field's value without their angle brackets; ids folded over lines are joined.
pub(crate) fn ids_of(value: &str) -> Vec<String> {
    let bracketed: Vec<String> = value
        .split('<')
        .skip(1)
        .filter_map(|piece| piece.split_once('>'))
        .map(|(id, _)| id.split_whitespace().collect::<String>())
        .filter(|id| !id.is_empty())
        .take(REFERENCES_MAX + 1)
        .collect();
    let is_lone = bracketed.is_empty() && value.split_whitespace().count() == 1;
    if is_lone {
        vec![value.trim().trim_matches(['<', '>']).to_owned()]
    } else {
        bracketed
    }
}

/// What kind of part this is.
#[derive(Debug)]
pub(crate) struct Kind {
    media_type: &'static str,
}

impl Kind {
    /// The type of a part that names none (RFC 2045 §5.2).
    pub(crate) const PLAIN: Self = Self {
        media_type: "text/plain",
    };
    /// The type of a part of a multipart/digest that names none (RFC 2046 §5.1.5).
    pub(crate) const MESSAGE: Self = Self {
        media_type: "message/rfc822",
    };
}

/// The walk over the parts of one message.
#[derive(Default)]
struct Walk {
    /// The attachments, each with the Content-ID by which the text may show it; empty if it cannot.
    attachments: Vec<(Attachment, String)>,
    /// The Content-IDs that the message's HTML names.
    named: BTreeSet<String>,
    /// How many attached messages the part lies in.
    enclosing_count: usize,
    oddities: Oddities,
    parts_count: usize,
}

impl Walk {
    /// Reads one part with its header and gives its text.
    fn part(&mut self, bytes: &[u8], depth: usize, default: &Kind) -> String {
        self.parts_count += 1;
        if self.parts_count > PARTS_MAX {
            self.oddities.insert(Oddities::BODY_CUT);
            return String::new();
        }
        let header = HeaderSection::split(bytes);
        let content_type = header.content_type();
        let media_type = media_type(content_type.as_ref(), default);
        let disposition = header
            .first("Content-Disposition")
            .and_then(Field::parameters);
        let is_attachment = disposition.as_ref().is_some_and(ContentType::is_attachment);
        let encoding = header
            .first("Content-Transfer-Encoding")
            .map(Field::raw)
            .map(TransferEncoding::from_field);
        let part = Part {
            header: &header,
            encoding: encoding.unwrap_or_default(),
            name: attachment_name(disposition.as_ref(), content_type.as_ref()),
            content_id: content_id(&header),
            is_attachment,
            content_type,
            depth,
        };
        let strays = header
            .strays
            .iter()
            .map(|line| text::guess(line))
            .collect::<String>();
        let (main, _) = media_type.split_once('/').unwrap_or((&media_type, ""));
        let text = match main {
            "multipart" => self.multipart(&part, &media_type),
            "message" if media_type != "message/external-body" => self.message(&part, &media_type),
            "text" if !is_attachment => self.text(&part, &media_type),
            _ => {
                self.list(&part, &part.name, &media_type);
                String::new()
            }
        };
        join(strays, &text, &mut self.oddities)
    }

    /// Reads the parts of a multipart (RFC 2046 §5.1), or its body as a text where no boundary is found.
    fn multipart(&mut self, part: &Part<'_>, media_type: &str) -> String {
        let boundary = part
            .content_type
            .as_ref()
            .and_then(|t| t.attribute("boundary"))
            .unwrap_or_default();
        let (parts, is_closed) = split_parts(part.header.body, boundary.trim_end());
        if part.depth >= DEPTH_MAX {
            self.oddities.insert(Oddities::DEEP_NESTING);
        }
        if parts.is_empty() || part.depth >= DEPTH_MAX {
            return self.text(part, "text/plain");
        }
        if !is_closed {
            self.oddities.insert(Oddities::UNCLOSED_MULTIPART);
        }
        let default = if media_type == "multipart/digest" {
            Kind::MESSAGE
        } else {
            Kind::PLAIN
        };
        if media_type == "multipart/alternative" {
            return self.alternative(&parts, part.depth);
        }
        let mut text = String::new();
        for inner in parts {
            let inner = self.part(inner, part.depth + 1, &default);
            text = join(text, &inner, &mut self.oddities);
        }
        text
    }

    /// Reads alternatives: the plain one, and of the others those that say more.
    fn alternative(&mut self, parts: &[&[u8]], depth: usize) -> String {
        let mut texts: Vec<(bool, String)> = parts
            .iter()
            .map(|inner| {
                let content_type = HeaderSection::split(inner).content_type();
                let is_plain = media_type(content_type.as_ref(), &Kind::PLAIN) == "text/plain";
                (is_plain, self.part(inner, depth + 1, &Kind::PLAIN))
            })
            .collect();
        texts.sort_by_key(|(is_plain, _)| !is_plain);
        let mut words = Words::default();
        let mut text = String::new();
        for (_, inner) in texts {
            if words.add(&inner) {
                text = join(text, &inner, &mut self.oddities);
            }
        }
        text
    }

    /// Reads a message inside the message: its fields and its text; of other message types the lines as they stand.
    fn message(&mut self, part: &Part<'_>, media_type: &str) -> String {
        let is_message = matches!(media_type, "message/rfc822" | "message/global");
        if !is_message {
            return self.text(part, "text/plain");
        }
        let bytes = match part.encoding {
            TransferEncoding::Identity => std::borrow::Cow::Borrowed(part.header.body),
            encoding => std::borrow::Cow::Owned(encoding.decode(part.header.body)),
        };
        let inner = HeaderSection::split(&bytes);
        let name = if part.name.is_empty() {
            inner.text("Subject")
        } else {
            part.name.clone()
        };
        self.list(part, &name, media_type);
        if part.depth >= DEPTH_MAX {
            self.oddities.insert(Oddities::DEEP_NESTING);
            return self.text(part, "text/plain");
        }
        let fields = ["From", "To", "Cc", "Date", "Subject"]
            .iter()
            .filter_map(|name| inner.first(name));
        let fields: String = fields
            .map(|f| format!("{}: {}\n", String::from_utf8_lossy(f.name), f.text()))
            .collect();
        self.enclosing_count += 1;
        let text = self.part(&bytes, part.depth + 1, &Kind::PLAIN);
        self.enclosing_count -= 1;
        join(fields, &text, &mut self.oddities)
    }

    /// Reads a text; a named one is listed as an attachment as well.
    fn text(&mut self, part: &Part<'_>, media_type: &str) -> String {
        self.list(part, &part.name, media_type);
        let body = part.header.body;
        if body.len() > 4 * BODY_MAX_BYTES {
            self.oddities.insert(Oddities::BODY_CUT);
        }
        // No encoding makes text more than four times as long ("=XX" makes three of one).
        let content = part
            .encoding
            .decode(&body[..body.len().min(4 * BODY_MAX_BYTES)]);
        let charset = part
            .content_type
            .as_ref()
            .and_then(|t| t.attribute("charset"));
        let (text, is_sound) = text::decode(&content, charset);
        if !is_sound {
            self.oddities.insert(Oddities::BAD_CHARSET);
        }
        if media_type == "text/html" {
            if self.enclosing_count == 0 {
                attachment::add_named(&mut self.named, &text);
            }
            html::to_text(&text)
        } else {
            text
        }
    }

    /// Lists a part that is more than text.
    fn list(&mut self, part: &Part<'_>, name: &str, media_type: &str) {
        let marks = Marks {
            media_type,
            name: &part.name,
            content_id: &part.content_id,
            wants_apart: part.is_attachment,
        };
        if marks.is_text() {
            return;
        }
        if self.attachments.len() == ATTACHMENTS_MAX {
            self.oddities.insert(Oddities::LIST_CUT);
            return;
        }
        let attachment = Attachment {
            name: name.chars().take(NAME_MAX_CHARS).collect(),
            media_type: media_type.to_owned(),
            is_apart: self.enclosing_count == 0,
        };
        let content_id = match marks.may_be_in_text() {
            true => part.content_id.clone(),
            false => String::new(),
        };
        self.attachments.push((attachment, content_id));
    }

    /// Gives the attachments, once all of the text is known.
    fn listed(self) -> Vec<Attachment> {
        let named = self.named;
        let attachments = self.attachments.into_iter();
        attachments
            .map(|(attachment, content_id)| Attachment {
                is_apart: attachment.is_apart && !named.contains(&content_id),
                ..attachment
            })
            .collect()
    }
}

/// A part on the walk, with what its header says.
struct Part<'a> {
    header: &'a HeaderSection<'a>,
    content_type: Option<ContentType<'static>>,
    encoding: TransferEncoding,
    name: String,
    content_id: String,
    is_attachment: bool,
    depth: usize,
}

/// Gives the Content-ID without angle brackets (RFC 2045 §7), by which HTML names a part; empty if there is none.
pub(crate) fn content_id(header: &HeaderSection<'_>) -> String {
    let id = header.text("Content-ID");
    id.trim().trim_matches(['<', '>']).to_owned()
}

/// Gives the media type in lower case; a type without subtype is read as the plainest of its kind.
pub(crate) fn media_type(content_type: Option<&ContentType<'_>>, default: &Kind) -> String {
    match content_type.map(|t| {
        (
            t.ctype().to_ascii_lowercase(),
            t.subtype().map(str::to_ascii_lowercase),
        )
    }) {
        Some((main, Some(sub))) => format!("{main}/{sub}"),
        Some((main, None)) if main == "multipart" => "multipart/mixed".to_owned(),
        Some((main, None)) if main == "message" => "message/rfc822".to_owned(),
        _ => default.media_type.to_owned(),
    }
}

/// Gives the file name (RFC 2183 §2.3), or the older name parameter of the media type.
pub(crate) fn attachment_name(
    disposition: Option<&ContentType<'_>>,
    content_type: Option<&ContentType<'_>>,
) -> String {
    let name = disposition
        .and_then(|d| d.attribute("filename"))
        .or_else(|| content_type?.attribute("name"));
    name.unwrap_or_default()
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

/// Splits a multipart's body into its parts; tells whether the closing delimiter was there (RFC 2046 §5.1.1).
pub(crate) fn split_parts<'a>(body: &'a [u8], boundary: &str) -> (Vec<&'a [u8]>, bool) {
    let mut parts = Vec::new();
    if boundary.is_empty() {
        return (parts, false);
    }
    let mut offset = 0;
    let mut part_start = None;
    while let Some(line) = next_line(&body[offset..]) {
        if let Some(delimiter) = Delimiter::read(line, boundary.as_bytes()) {
            if let Some(start) = part_start.take() {
                parts.push(without_line_end(&body[start..offset]));
            }
            // The walk looks at no more, and says so.
            if delimiter == Delimiter::Close || parts.len() > PARTS_MAX {
                return (parts, true);
            }
            part_start = Some(offset + line.len());
        }
        offset += line.len();
    }
    if let Some(start) = part_start {
        parts.push(&body[start..]);
    }
    (parts, false)
}

/// The two kinds of delimiter lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// Begins a part.
    Open,
    /// Ends the multipart.
    Close,
}

impl Delimiter {
    /// Tells whether a line is a delimiter of that boundary: nothing but white space may follow (RFC 2046 §5.1.1).
    pub(crate) fn read(line: &[u8], boundary: &[u8]) -> Option<Self> {
        let rest = line
            .strip_prefix(b"--")?
            .strip_prefix(boundary)?
            .trim_ascii_end();
        match rest {
            b"" => Some(Self::Open),
            b"--" => Some(Self::Close),
            _ => None,
        }
    }
}

/// Takes off the line end before a delimiter, which belongs to the delimiter (RFC 2046 §5.1.1).
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

/// Appends a text on a new line, up to the limit of a body.
fn join(mut text: String, more: &str, oddities: &mut Oddities) -> String {
    if !text.is_empty() && !text.ends_with('\n') && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
    if cut(&mut text, BODY_MAX_BYTES) {
        oddities.insert(Oddities::BODY_CUT);
    }
    text
}

/// Cuts a text to so many octets at most, between characters; tells whether something was cut.
fn cut(text: &mut String, size_max_bytes: usize) -> bool {
    let is_cut = text.len() > size_max_bytes;
    if is_cut {
        text.truncate(text.floor_char_boundary(size_max_bytes));
    }
    is_cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads the mail with both kinds of line ends and demands the same.
    #[track_caller]
    fn read_text(mail: &str) -> Reading {
        let lf = read(mail.as_bytes());
        let mut crlf = read(mail.replace('\n', "\r\n").as_bytes());
        crlf.body = crlf.body.replace("\r\n", "\n");
        assert_eq!(lf, crlf);
        lf
    }

    #[track_caller]
    fn check_body(mail: &str, expected: &str, expected_attachments: &[(&str, &str)]) {
        let reading = read_text(mail);
        assert_eq!(reading.body.trim_end(), expected, "{mail}");
        let found: Vec<_> = reading
            .attachments
            .iter()
            .map(|a| (a.name.as_str(), a.media_type.as_str()))
            .collect();
        assert_eq!(found, expected_attachments, "{mail}");
    }

    #[test]
    fn fields() {
        let reading = read_text(
            "From: =?utf-8?q?J=C3=B6rg?= <joerg@kanzlei.example>\nSender: buero@kanzlei.example\n\
             Reply-To: antwort@kanzlei.example\nTo: a@x.example, \"B, C\" <b@x.example>\nTo: c@x.example\n\
             Cc: d@x.example\nBcc: e@x.example\nX-Envelope-To: f@x.example\nX-Envelope-To: <g@x.example>\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\n aus Hof\n\
             Message-ID: <1@x.example>\nIn-Reply-To: <0@x.example>\nReferences: <a@x.example>\n <0@x.example>\n\
             Date: Mon, 3 Mar 2025 09:15:02 +0100\n\nGuten Tag\n",
        );
        assert_eq!(reading.from[0].name.as_deref(), Some("Jörg"));
        assert_eq!(reading.sender[0].address, "buero@kanzlei.example");
        assert_eq!(reading.reply_to[0].address, "antwort@kanzlei.example");
        let to: Vec<_> = reading.to.iter().map(|a| a.address.as_str()).collect();
        assert_eq!(to, ["a@x.example", "b@x.example", "c@x.example"]);
        assert_eq!((reading.cc.len(), reading.bcc.len()), (1, 1));
        let envelope_to: Vec<_> = reading
            .envelope_to
            .iter()
            .map(|a| a.address.as_str())
            .collect();
        assert_eq!(envelope_to, ["f@x.example", "g@x.example"]);
        assert_eq!(reading.subject, "Grüße aus Hof");
        assert_eq!(reading.message_id.as_deref(), Some("1@x.example"));
        assert_eq!(reading.in_reply_to, ["0@x.example"]);
        assert_eq!(reading.references, ["a@x.example", "0@x.example"]);
        assert_eq!(reading.sent_at, Some(1_740_989_702));
        assert_eq!(reading.body.trim(), "Guten Tag");
        assert_eq!(reading.oddities, Oddities::NONE);
    }

    #[test]
    fn single_texts() {
        check_body("A: b\n\nplain\n", "plain", &[]);
        check_body("Content-Type: text/html\n\n<p>a</p><p>b</p>", "a\nb", &[]);
        check_body(
            "Content-Transfer-Encoding: base64\n\nR3XDn2UK\n",
            "Guße",
            &[],
        );
        check_body(
            "Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=\n=C3=9Fe\n",
            "Grüße",
            &[],
        );
        check_body("Content-Type: text; charset=utf-8\n\nx", "x", &[]);
        check_body(
            "Content-Type: multipart/mixed\n\nno boundary",
            "no boundary",
            &[],
        );
        check_body(
            "Content-Type: multipart/mixed; boundary=b\n\nnot there",
            "not there",
            &[],
        );
        check_body(
            "Content-Type: application/pdf; name=x.pdf\n\nJVBERi0=",
            "",
            &[("x.pdf", "application/pdf")],
        );
        check_body("A: b\nlost words\nC: d\n\nbody", "lost words\nbody", &[]);
    }

    #[test]
    fn multiparts() {
        let mixed = "Content-Type: multipart/mixed; boundary=\"b b\"\n\npreamble\n--b b\n\none\n--b b  \n\
            Content-Type: text/plain\nContent-Disposition: attachment; filename*=utf-8''R%C3%BCck.txt\n\nhidden\n--b b\n\
            Content-Type: image/png; name=\"=?utf-8?q?Gr=C3=BC=C3=9Fe.png?=\"\n\n\n--b bx\n--b b--\nepilogue";
        check_body(
            mixed,
            "one",
            &[("Rück.txt", "text/plain"), ("Grüße.png", "image/png")],
        );
        let digest =
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\ninner\n--b--\n";
        check_body(digest, "Subject: s\ninner", &[("s", "message/rfc822")]);
        let unclosed = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n";
        check_body(unclosed, "one\ntwo", &[]);
        assert!(
            read_text(unclosed)
                .oddities
                .contains(Oddities::UNCLOSED_MULTIPART)
        );
        let nested = "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=o-i\n\n\
            --o-i\n\none\n--o\n\ntwo\n--o--\n";
        check_body(nested, "one\ntwo", &[]);
    }

    #[test]
    fn alternatives_say_what_the_plain_one_lacks() {
        let mail = |plain: &str, html: &str| {
            format!(
                "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n{html}\n--b\n\
                 Content-Type: text/plain\n\n{plain}\n--b--\n"
            )
        };
        check_body(&mail("Guten Tag", "<b>Guten</b> Tag"), "Guten Tag", &[]);
        check_body(
            &mail("Guten Tag", "Guten Tag<p>4711"),
            "Guten Tag\nGuten Tag\n4711",
            &[],
        );
        check_body(&mail("", "<b>Guten</b> Tag"), "Guten Tag", &[]);
    }

    #[test]
    fn messages_inside() {
        let mail = |fields: &str, inner: &str| {
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nouter\n--b\n{fields}\n\n{inner}\n--b--\n"
            )
        };
        let inner = "From: a@x.example\nSubject: Angebot\n\ninner text";
        let expected = "outer\nFrom: a@x.example\nSubject: Angebot\ninner text";
        check_body(
            &mail("Content-Type: message/rfc822", inner),
            expected,
            &[("Angebot", "message/rfc822")],
        );
        let encoded = "RnJvbTogYUB4LmV4YW1wbGUKU3ViamVjdDogQW5nZWJvdAoKaW5uZXIgdGV4dA==";
        let fields = "Content-Type: message/rfc822; name=m.eml\nContent-Transfer-Encoding: base64";
        check_body(
            &mail(fields, encoded),
            expected,
            &[("m.eml", "message/rfc822")],
        );
        let status = mail("Content-Type: message/delivery-status", "Action: failed");
        check_body(&status, "outer\nAction: failed", &[]);
    }

    #[test]
    fn what_is_odd_is_said() {
        for (mail, expected) in [
            (
                "just words\nand more",
                Oddities::NO_HEADER.union(Oddities::UNREADABLE),
            ),
            ("\nbody", Oddities::NO_HEADER),
            ("A: b\n\n", Oddities::NO_DATE.union(Oddities::NO_MESSAGE_ID)),
            ("Date: soon\n\n", Oddities::BAD_DATE),
            ("Subject: ü\n\n", Oddities::EIGHT_BIT_HEADER),
            ("To: Anna\n\n", Oddities::BAD_ADDRESS),
            (
                "Content-Type: text/plain; charset=klingon\n\nx",
                Oddities::BAD_CHARSET,
            ),
        ] {
            let found = read_text(mail).oddities;
            assert!(found.contains(expected), "{mail:?}: {found:?}");
        }
        assert_eq!(
            read_text("just words\nand more").body.trim(),
            "just words\nand more"
        );
    }

    #[test]
    fn limits_cut_and_say_so() {
        let long = format!("A: b\n\n{}", "wort ".repeat(BODY_MAX_BYTES / 4));
        let reading = read(long.as_bytes());
        assert_eq!(reading.body.len(), BODY_MAX_BYTES);
        assert!(reading.oddities.contains(Oddities::BODY_CUT));

        let part = "--b\nContent-Type: image/png\n\n\n";
        let many = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n{}--b--",
            part.repeat(ATTACHMENTS_MAX + 1)
        );
        let reading = read(many.as_bytes());
        assert_eq!(reading.attachments.len(), ATTACHMENTS_MAX);
        assert!(reading.oddities.contains(Oddities::LIST_CUT));

        let deep = "Content-Type: message/rfc822\n\n".repeat(50_000);
        assert!(
            read(deep.as_bytes())
                .oddities
                .contains(Oddities::DEEP_NESTING)
        );
        let deep = "Content-Type: multipart/mixed; boundary=b\n\n--b\n".repeat(20_000);
        read(deep.as_bytes());
    }

    #[test]
    fn every_sample_is_read() {
        for theme in [
            "torture-mime",
            "containers",
            "german",
            "attachments",
            "tnef-smime-pgp",
        ] {
            let Some(files) = crate::corpus::read(theme) else {
                return;
            };
            for (name, bytes) in files {
                let reading = read(&bytes);
                assert!(reading.body.len() <= BODY_MAX_BYTES, "{name}");
                read(&bytes[bytes.len() / 3..]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            read(&bytes);
        }

        #[test]
        fn any_message_is_read(
            name in "(Content-Type|To|Date|Subject|Content-Disposition|Message-ID|References|Content-Transfer-Encoding)",
            value in "([ \"=?;:,<>()@/*'%\\\\\n-]|utf-8|[qQbB]|multipart|mixed|boundary|filename|[a-z]|[0-9]|ü){0,80}",
            body in "(--|b|\n|[a-z ]|<|&){0,60}",
        ) {
            read(format!("{name}: {value}\n\n{body}").as_bytes());
            read(format!("{name}: {}\n\n{body}", value.replace('\n', "\n ")).as_bytes());
        }
    }
}
