//! Which parts of a message people call its attachments: one rule for lists, searches and the page.
//!
//! What bytes a part has is not looked at, since lists are made of messages without them.

use crate::html;
use crate::message::ATTACHMENTS_MAX;
use crate::parts::MessagePart;
use std::collections::BTreeSet;

/// What a part is to whoever reads the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is read as text of the message.
    Text,
    /// It is a picture that the text shows where it names it (RFC 2392), such as a logo.
    InText,
    /// It is an attachment.
    Apart,
}

/// Tells what each part of a message is, in their order.
pub fn standings(parts: &[MessagePart]) -> Vec<Standing> {
    let mut named = BTreeSet::new();
    let is_html = |part: &&MessagePart| part.is_text() && part.media_type == "text/html";
    for part in parts.iter().filter(is_html) {
        add_named(&mut named, &part.text());
    }
    let standing = |part: &MessagePart| Marks::of(part).standing(&named);
    parts.iter().map(standing).collect()
}

/// Adds the Content-IDs that HTML names, up to as many as attachments are listed.
pub(crate) fn add_named(named: &mut BTreeSet<String>, html: &str) {
    let left = ATTACHMENTS_MAX - named.len().min(ATTACHMENTS_MAX);
    named.extend(html::content_ids(html).take(left));
}

/// What a part's header says of it.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'p> {
    pub(crate) media_type: &'p str,
    pub(crate) name: &'p str,
    pub(crate) content_id: &'p str,
    /// Whether its disposition says "attachment" (RFC 2183 §2.2).
    pub(crate) wants_apart: bool,
}

impl<'p> Marks<'p> {
    fn of(part: &'p MessagePart) -> Self {
        Self {
            media_type: &part.media_type,
            name: &part.name,
            content_id: &part.content_id,
            wants_apart: part.is_attachment,
        }
    }

    fn standing(self, named: &BTreeSet<String>) -> Standing {
        if self.is_text() {
            Standing::Text
        } else if self.may_be_in_text() && named.contains(self.content_id) {
            Standing::InText
        } else {
            Standing::Apart
        }
    }

    /// Tells whether it has no life of its own beside the text; an invitation has, in a calendar.
    pub(crate) fn is_text(self) -> bool {
        let is_readable = match self.media_type.split_once('/') {
            Some(("text", kind)) => kind != "calendar",
            Some(("message", kind)) => !matches!(kind, "rfc822" | "global" | "external-body"),
            _ => false,
        };
        is_readable && self.name.is_empty() && !self.wants_apart
    }

    /// Tells whether it is a picture in the text once the text names it; some programs do not say that it is a picture.
    pub(crate) fn may_be_in_text(self) -> bool {
        let may_be_picture =
            self.media_type.starts_with("image/") || self.media_type == "application/octet-stream";
        may_be_picture && !self.content_id.is_empty() && !self.wants_apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::parts;
    use crate::read;

    const PICTURE: &str = "Content-Type: image/png; name=logo.png\nContent-ID: <logo@x>\n";

    /// What lists and searches count must be what the page shows apart.
    #[track_caller]
    fn check(message: &str, expected: &[Standing]) {
        let parts = parts(message.as_bytes());
        let found = standings(&parts);
        assert_eq!(found, expected, "{message}");
        assert_eq!(counted(message.as_bytes()), shown(&found), "{message}");
    }

    fn counted(message: &[u8]) -> usize {
        let listed = read(message).attachments;
        listed.iter().filter(|listed| listed.is_apart).count()
    }

    fn shown(standings: &[Standing]) -> usize {
        let apart = |standing: &&Standing| **standing == Standing::Apart;
        standings.iter().filter(apart).count()
    }

    fn mail(kind: &str, parts: &[&str]) -> String {
        let parts: String = parts.iter().map(|part| format!("--b\n{part}\n")).collect();
        format!("Content-Type: multipart/{kind}; boundary=b\n\n{parts}--b--\n")
    }

    #[test]
    fn pictures_that_the_text_names_are_in_it() {
        let html = "Content-Type: text/html\n\n<img src=\"cid:logo@x\">";
        let encoded = "Content-Type: text/html\n\n<img src='CID:logo%40x'>";
        let other = "Content-Type: text/html\n\n<img src=cid:other@x>";
        let unsaid = PICTURE.replace("image/png", "application/octet-stream");
        let apart = format!("{PICTURE}Content-Disposition: attachment\n");
        let inline = format!("{PICTURE}Content-Disposition: inline\n");
        let document = PICTURE.replace("image/png", "application/pdf");
        for (text, picture, expected) in [
            (html, PICTURE, Standing::InText),
            (encoded, PICTURE, Standing::InText),
            (html, inline.as_str(), Standing::InText),
            (html, unsaid.as_str(), Standing::InText),
            (other, PICTURE, Standing::Apart),
            (html, apart.as_str(), Standing::Apart),
            (html, document.as_str(), Standing::Apart),
            // Telephones send photographs so.
            (
                html,
                "Content-Type: image/jpeg; name=a.jpg\nContent-Disposition: inline\n",
                Standing::Apart,
            ),
        ] {
            check(
                &mail("related", &[text, picture]),
                &[Standing::Text, expected],
            );
            check(
                &mail("mixed", &[picture, text]),
                &[expected, Standing::Text],
            );
        }
    }

    #[test]
    fn what_is_read_is_no_attachment() {
        let standing = |part: &str| [(part.to_owned(), Standing::Text)];
        let text = standing("Content-Type: text/plain\n\nx");
        for (part, expected) in [
            ("Content-Type: text/x-amp-html\n\nx", Standing::Text),
            ("Content-Type: message/delivery-status\n\nx", Standing::Text),
            ("Content-Type: text/calendar\n\nx", Standing::Apart),
            ("Content-Type: text/plain; name=a.txt\n\nx", Standing::Apart),
            (
                "Content-Type: text/plain\nContent-Disposition: attachment\n\nx",
                Standing::Apart,
            ),
            (
                "Content-Type: message/rfc822\n\nSubject: a\n\nx",
                Standing::Apart,
            ),
            ("Content-Type: application/pdf\n\nx", Standing::Apart),
        ] {
            check(
                &mail("mixed", &[&text[0].0, part]),
                &[Standing::Text, expected],
            );
        }
    }

    #[test]
    fn what_an_attached_message_carries_is_its_own() {
        let inner = mail("mixed", &["Content-Type: application/pdf; name=a.pdf\n\nx"]);
        let inner = inner
            .replace("boundary=b", "boundary=i")
            .replace("--b", "--i");
        let outer = mail(
            "mixed",
            &["\nx", &format!("Content-Type: message/rfc822\n\n{inner}")],
        );
        check(&outer, &[Standing::Text, Standing::Apart]);
        let names: Vec<_> = read(outer.as_bytes()).attachments;
        assert_eq!(names[1].name, "a.pdf", "it is found by its name");
    }

    #[test]
    fn real_mail_is_counted_as_it_is_shown() {
        for theme in ["attachments", "containers", "german", "torture-mime"] {
            for (name, bytes) in crate::corpus::read(theme).unwrap_or_default() {
                let found = standings(&parts(&bytes));
                let expected = shown(&found).min(ATTACHMENTS_MAX);
                assert_eq!(counted(&bytes), expected, "{theme} {name}");
            }
        }
    }
}
