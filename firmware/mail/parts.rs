//! The parts of a message that have no parts of their own, for showing and for handing out: each with its name, its type and its bytes.
//!
//! The same walk in outline as [`crate::read`] makes, with the same limits; a message inside the message is one part, to be opened on its own.
//! Nothing here makes HTML safe to show or a name safe to write.

use crate::header::{Field, HeaderSection};
use crate::message::{
    DEPTH_MAX, Kind, PARTS_MAX, attachment_name, content_id, media_type, split_parts,
};
use crate::text;
use crate::transfer_encoding::TransferEncoding;
use mail_parser::ContentType;

/// 128 bytes of a part as it is written: 96 once decoded, and formats tell themselves in the first 16.
const BEGINNING_BYTES: usize = 128;

/// A part without parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePart<'m> {
    /// The media type in lower case, such as "application/pdf".
    pub media_type: String,
    /// The file name, decoded; empty if none is given.
    pub name: String,
    /// The Content-ID without angle brackets, by which HTML names a picture; empty if there is none.
    pub content_id: String,
    /// Whether the sender wants it kept apart from the text.
    pub is_attachment: bool,
    charset: Option<String>,
    encoding: TransferEncoding,
    body: &'m [u8],
}

impl MessagePart<'_> {
    /// Gives its bytes, decoded.
    pub fn bytes(&self) -> Vec<u8> {
        self.encoding.decode(self.body)
    }

    /// Gives some of its first bytes, decoded: enough to tell what it is.
    pub fn beginning(&self) -> Vec<u8> {
        let encoded = &self.body[..self.body.len().min(BEGINNING_BYTES)];
        self.encoding.decode(encoded)
    }

    /// Gives its bytes as a text in the character set that it names.
    pub fn text(&self) -> String {
        text::decode(&self.bytes(), self.charset.as_deref()).0
    }

    /// Gives the character set that it names.
    pub fn charset(&self) -> Option<&str> {
        self.charset.as_deref()
    }

    /// Tells whether it is read as part of the message's own text.
    pub fn is_text(&self) -> bool {
        !self.is_attachment && matches!(self.media_type.as_str(), "text/plain" | "text/html")
    }

    /// Gives about how many bytes it has once decoded, without decoding it.
    pub fn size_bytes(&self) -> u64 {
        let len = self.body.len() as u64;
        match self.encoding {
            // RFC 2045 §6.8: four characters make three bytes, and a line of 76 ends with two more.
            TransferEncoding::Base64 => len / 78 * 57 + len % 78 * 3 / 4,
            _ => len,
        }
    }
}

/// Gives the parts of a message in their order, 10,000 at most.
pub fn parts(bytes: &[u8]) -> Vec<MessagePart<'_>> {
    let mut found = Vec::new();
    walk(bytes, 0, &Kind::PLAIN, &mut found);
    found
}

fn walk<'m>(bytes: &'m [u8], depth: usize, default: &Kind, found: &mut Vec<MessagePart<'m>>) {
    if found.len() >= PARTS_MAX {
        return;
    }
    let header = HeaderSection::split(bytes);
    let content_type = header.content_type();
    let media_type = media_type(content_type.as_ref(), default);
    if media_type.starts_with("multipart/") && depth < DEPTH_MAX {
        let boundary = content_type.as_ref().and_then(|t| t.attribute("boundary"));
        let (inner, _) = split_parts(header.body, boundary.unwrap_or_default().trim_end());
        if !inner.is_empty() {
            let default = match media_type.as_str() {
                "multipart/digest" => Kind::MESSAGE,
                _ => Kind::PLAIN,
            };
            for part in inner {
                walk(part, depth + 1, &default, found);
            }
            return;
        }
    }
    found.push(part(&header, content_type, media_type));
}

fn part<'m>(
    header: &HeaderSection<'m>,
    content_type: Option<ContentType<'static>>,
    media_type: String,
) -> MessagePart<'m> {
    let disposition = header
        .first("Content-Disposition")
        .and_then(Field::parameters);
    let encoding = header
        .first("Content-Transfer-Encoding")
        .map(Field::raw)
        .map(TransferEncoding::from_field);
    // A multipart without its boundary is read as the text that it is.
    let media_type = match media_type.starts_with("multipart/") {
        true => "text/plain".to_owned(),
        false => media_type,
    };
    MessagePart {
        media_type,
        name: attachment_name(disposition.as_ref(), content_type.as_ref()),
        content_id: content_id(header),
        is_attachment: disposition.as_ref().is_some_and(ContentType::is_attachment),
        charset: content_type
            .as_ref()
            .and_then(|t| t.attribute("charset"))
            .map(str::to_owned),
        encoding: encoding.unwrap_or_default(),
        body: header.body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type, name, whether it is an attachment, and bytes.
    type Row<'r> = (&'r str, &'r str, bool, &'r [u8]);

    #[track_caller]
    fn check(message: &str, expected: &[Row]) {
        let message = message.replace('\n', "\r\n");
        let found = parts(message.as_bytes());
        let bytes: Vec<_> = found.iter().map(MessagePart::bytes).collect();
        let rows: Vec<Row> = found
            .iter()
            .zip(&bytes)
            .map(|(part, bytes)| {
                let (media_type, name) = (part.media_type.as_str(), part.name.as_str());
                (media_type, name, part.is_attachment, bytes.as_slice())
            })
            .collect();
        assert_eq!(rows, expected, "{message}");
    }

    #[test]
    fn a_message_without_parts_is_one() {
        check(
            "Subject: x\n\nHello",
            &[("text/plain", "", false, b"Hello")],
        );
        check(
            "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<p>=C3=BC",
            &[("text/html", "", false, "<p>ü".as_bytes())],
        );
        check(
            "Content-Type: multipart/mixed\n\nno boundary",
            &[("text/plain", "", false, b"no boundary")],
        );
    }

    #[test]
    fn parts_come_in_their_order_and_messages_stay_whole() {
        check(
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\
             Content-Type: multipart/alternative; boundary=b\n\n--b\n\nplain\n--b\n\
             Content-Type: text/html\n\n<b>html</b>\n--b--\n--a\n\
             Content-Type: application/pdf; name=\"old.pdf\"\nContent-Disposition: attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.pdf\n\
             Content-Transfer-Encoding: base64\n\nJVBERg==\n--a\n\
             Content-Type: message/rfc822\n\nSubject: inner\n\ntext\n--a--\n",
            &[
                ("text/plain", "", false, b"plain"),
                ("text/html", "", false, b"<b>html</b>"),
                ("application/pdf", "Grüße.pdf", true, b"%PDF"),
                ("message/rfc822", "", false, b"Subject: inner\r\n\r\ntext"),
            ],
        );
    }

    #[test]
    fn what_html_names_is_found_by_its_id() {
        let message = b"Content-Type: image/png\r\nContent-ID: <logo@x>\r\n\r\n\x89PNG";
        let parts = parts(message);
        assert_eq!(parts[0].content_id, "logo@x");
        assert_eq!(parts[0].bytes(), b"\x89PNG");
        assert_eq!(parts[0].beginning(), b"\x89PNG");
    }

    #[test]
    fn a_beginning_is_decoded_alone() {
        let long = "QUJD".repeat(1_000);
        let message = format!("Content-Transfer-Encoding: base64\r\n\r\n{long}");
        let found = parts(message.as_bytes());
        assert_eq!(found[0].beginning(), "ABC".repeat(32).as_bytes());
    }

    #[test]
    fn the_size_is_told_without_decoding() {
        let base64 = format!("{}\r\n", "QUJD".repeat(19)).repeat(10) + "QUI=";
        let message = format!("Content-Transfer-Encoding: base64\r\n\r\n{base64}");
        let found = parts(message.as_bytes());
        let (told, real) = (found[0].size_bytes(), found[0].bytes().len() as u64);
        assert!(told.abs_diff(real) <= 2, "{told} for {real}");
    }

    #[test]
    fn nesting_without_end_ends() {
        let mut message = String::new();
        for _ in 0..2_000 {
            message += "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n";
        }
        assert!(parts(message.as_bytes()).len() <= PARTS_MAX);
        let many = "Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_owned()
            + &"--a\r\n\r\n".repeat(3 * PARTS_MAX);
        assert_eq!(parts(many.as_bytes()).len(), PARTS_MAX);
    }
}
