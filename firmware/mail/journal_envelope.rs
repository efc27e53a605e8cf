//! The envelope part of a journal report: who sent the original, and to whom it went ([MS-XJRNL] 2.1).
//!
//! Read leniently: lines in any order, names in any case, unknown lines counted and passed over, so that a report of a
//! server we have not met loses nothing. Addresses are kept as given. The layout of Exchange 2003 (lists of recipients
//! over several lines) is read as far as it is known.

use crate::message::ids_of;
use crate::oddities::Oddities;

/// Most recipients of one report; beyond, the list is flagged as cut. Exchange sends several reports before that.
pub const JOURNAL_RECIPIENTS_MAX: usize = 50_000;

/// How the original was addressed to a journal recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientKind {
    /// Named in To.
    To,
    /// Named in Cc.
    Cc,
    /// Named in Bcc.
    Bcc,
    /// Not known, as for mail from outside.
    Recipient,
}

/// Why a journal recipient got the original without being named himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// He is a member of this distribution list.
    Expanded(String),
    /// The folder of this address forwards to him.
    Forwarded(String),
}

/// One recipient line of the envelope part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecipient {
    /// How the original was addressed to him.
    pub kind: RecipientKind,
    /// The address as given, without angle brackets.
    pub address: String,
    /// The list or address by way of which he got the original.
    pub redirect: Option<Redirect>,
}

/// What the envelope part says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalEnvelope {
    /// The sender's address as given, without angle brackets; empty for "<>" (a bounce), nothing if the line is missing.
    pub sender: Option<String>,
    /// The address on whose behalf the sender wrote.
    pub on_behalf_of: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The Message-ID of the original without angle brackets.
    pub message_id: Option<String>,
    /// The classification.
    pub label: Option<String>,
    /// The address whose folder made Exchange write the report.
    pub mailbox: Option<String>,
    /// Everybody who got the original by this report.
    pub recipients: Vec<JournalRecipient>,
    /// When the original was sent, as written.
    pub sent_utc: Option<String>,
    /// When the original was received, as written.
    pub received_utc: Option<String>,
    /// How many lines were not understood.
    pub unknown_lines: u32,
    /// Whether there were more recipients than are read, or they are listed as Exchange 2003 does.
    pub oddities: Oddities,
}

impl JournalEnvelope {
    /// Reads the decoded text of an envelope part; never fails.
    pub fn read(text: &str) -> Self {
        let mut envelope = Self::default();
        let mut list = None;
        for line in unfold(text) {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let known = envelope.read_line(name, value.trim());
            match (known, list) {
                (Known::List, _) => {
                    envelope.oddities.insert(Oddities::JOURNAL_LEGACY);
                    envelope.push_list(RecipientKind::Recipient, value);
                    list = Some(RecipientKind::Recipient);
                }
                (Known::OpenRecipient(kind), _) => list = Some(kind),
                (Known::Line, _) => list = None,
                (Known::No, Some(kind)) if line.contains('@') => {
                    envelope.oddities.insert(Oddities::JOURNAL_LEGACY);
                    envelope.push_list(kind, line);
                }
                (Known::No, _) => envelope.unknown_lines = envelope.unknown_lines.saturating_add(1),
            }
        }
        envelope
    }

    /// Tells whether it names recipients, and the sender or the message id.
    pub fn is_complete(&self) -> bool {
        !self.recipients.is_empty() && (self.sender.is_some() || self.message_id.is_some())
    }

    /// Tells whether it follows the grammar to the letter, so that it cannot be a text by chance.
    pub(crate) fn is_strict(&self) -> bool {
        self.sender.is_some()
            && self.message_id.is_some()
            && !self.recipients.is_empty()
            && self.unknown_lines == 0
    }

    fn read_line(&mut self, name: &str, value: &str) -> Known {
        let name: String = name
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .collect::<String>()
            .to_ascii_lowercase();
        match name.as_str() {
            "sender" => set(&mut self.sender, address(value).map(str::to_owned)),
            "onbehalfof" => set(&mut self.on_behalf_of, address(value).map(str::to_owned)),
            "subject" => set(&mut self.subject, Some(value.to_owned())),
            "messageid" => set(&mut self.message_id, message_id(value)),
            "label" => set(&mut self.label, Some(value.to_owned())),
            "mailbox" => set(&mut self.mailbox, address(value).map(str::to_owned)),
            "sentutc" => set(&mut self.sent_utc, Some(value.to_owned())),
            "receivedutc" => set(&mut self.received_utc, Some(value.to_owned())),
            "to" => return self.push_recipient(RecipientKind::To, value),
            "cc" => return self.push_recipient(RecipientKind::Cc, value),
            "bcc" => return self.push_recipient(RecipientKind::Bcc, value),
            "recipient" => return self.push_recipient(RecipientKind::Recipient, value),
            "recipients" | "recipient(s)" => return Known::List,
            _ => return Known::No,
        }
        Known::Line
    }

    fn push_recipient(&mut self, kind: RecipientKind, value: &str) -> Known {
        let Some(address) = address(before_redirect(value)) else {
            return Known::OpenRecipient(kind);
        };
        let redirects = redirects(value);
        // Several redirects of one recipient are as many ways by which he got the original.
        for redirect in redirects
            .iter()
            .cloned()
            .map(Some)
            .chain(redirects.is_empty().then_some(None))
        {
            self.push(JournalRecipient {
                kind,
                address: address.to_owned(),
                redirect,
            });
        }
        Known::Line
    }

    fn push_list(&mut self, kind: RecipientKind, list: &str) {
        for address in list.split([',', ';']).filter_map(address) {
            self.push(JournalRecipient {
                kind,
                address: address.to_owned(),
                redirect: None,
            });
        }
    }

    fn push(&mut self, recipient: JournalRecipient) {
        if self.recipients.len() == JOURNAL_RECIPIENTS_MAX {
            self.oddities.insert(Oddities::LIST_CUT);
            return;
        }
        self.recipients.push(recipient);
    }
}

/// What a line turned out to be.
#[derive(Clone, Copy)]
enum Known {
    /// A line of the grammar.
    Line,
    /// A recipient line without an address: those of Exchange 2003 may follow on lines of their own.
    OpenRecipient(RecipientKind),
    /// The head of a list of recipients as Exchange 2003 writes it.
    List,
    /// Nothing known.
    No,
}

/// Sets a value once: of lines that come twice the first counts.
fn set(place: &mut Option<String>, value: Option<String>) {
    if place.is_none() {
        *place = value;
    }
}

/// Joins lines that begin with white space to the one before, as in a header (RFC 5322 §2.2.3), but not those below a
/// name without a value: Exchange 2003 indents its lists.
fn unfold(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut is_list = false;
    for line in text.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        match lines.last_mut() {
            Some(last) if is_indented && !is_list => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => {
                is_list = (is_list && is_indented)
                    || line
                        .split_once(':')
                        .is_some_and(|(_, v)| v.trim().is_empty());
                lines.push(line.to_owned());
            }
        }
    }
    lines
}

/// Gives the address of a value: what stands in angle brackets at its end, or else all of it; nothing if it is empty.
fn address(value: &str) -> Option<&str> {
    let value = value.trim();
    let bracketed = value
        .strip_suffix('>')
        .and_then(|rest| rest.rsplit_once('<'))
        .map(|(_, inside)| inside.trim());
    bracketed.or((!value.is_empty()).then_some(value))
}

/// Gives the message id of a value without angle brackets; one that is none is kept as it is.
fn message_id(value: &str) -> Option<String> {
    let id = ids_of(value)
        .into_iter()
        .next()
        .unwrap_or_else(|| value.trim_matches(['<', '>']).to_owned());
    (!id.is_empty()).then_some(id)
}

/// Gives what stands before the first redirect of a recipient line.
fn before_redirect(value: &str) -> &str {
    let end = find_redirect(value).map_or(value.len(), |found| found.start);
    value[..end].trim().trim_end_matches(',')
}

/// Gives the redirects of a recipient line: ", Expanded: list@x" or ", Forwarded: somebody@x".
fn redirects(value: &str) -> Vec<Redirect> {
    let mut redirects = Vec::new();
    let mut rest = value;
    while let Some(found) = find_redirect(rest) {
        rest = &rest[found.value_start..];
        let source = address(before_redirect(rest))
            .unwrap_or_default()
            .to_owned();
        redirects.push(if found.is_expanded {
            Redirect::Expanded(source)
        } else {
            Redirect::Forwarded(source)
        });
    }
    redirects
}

struct FoundRedirect {
    start: usize,
    value_start: usize,
    is_expanded: bool,
}

/// Finds "Expanded:" or "Forwarded:" after a comma or white space; [MS-XJRNL] has the comma, its forerunner had none.
fn find_redirect(value: &str) -> Option<FoundRedirect> {
    let lower = value.to_ascii_lowercase();
    let find = |word: &str, is_expanded: bool| {
        lower.match_indices(word).find_map(|(start, _)| {
            let rest = &lower[start + word.len()..];
            let value_start = value.len() - rest.trim_start().strip_prefix(':')?.len();
            let is_parted = lower[..start].ends_with(|c: char| c == ',' || c.is_whitespace());
            is_parted.then_some(FoundRedirect {
                start,
                value_start,
                is_expanded,
            })
        })
    };
    [find("expanded", true), find("forwarded", false)]
        .into_iter()
        .flatten()
        .min_by_key(|found| found.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(kind: RecipientKind, address: &str, redirect: Option<Redirect>) -> JournalRecipient {
        JournalRecipient {
            kind,
            address: address.to_owned(),
            redirect,
        }
    }

    fn expanded(list: &str) -> Option<Redirect> {
        Some(Redirect::Expanded(list.to_owned()))
    }

    #[test]
    fn every_line_of_the_grammar() {
        let text = "Sender: anna@x.example\r\nOn-Behalf-Of: chef@x.example\r\nMessage-ID: <a1@x.example>\r\n\
            Subject: An: gebot, Expanded: no\r\nLabel: geheim\r\nMailbox: m@x.example\r\nTo: b@x.example\r\n\
            Cc: c@x.example, Forwarded: f@x.example\r\nBcc: d@x.example\r\nRecipient: e@x.example, Expanded: l@x.example\r\n\
            SentUtc: 3/3/2025 10:00:00 AM\r\nReceivedUtc: 3/3/2025 10:00:01 AM\r\n";
        let expected = JournalEnvelope {
            sender: Some("anna@x.example".into()),
            on_behalf_of: Some("chef@x.example".into()),
            subject: Some("An: gebot, Expanded: no".into()),
            message_id: Some("a1@x.example".into()),
            label: Some("geheim".into()),
            mailbox: Some("m@x.example".into()),
            recipients: vec![
                to(RecipientKind::To, "b@x.example", None),
                to(
                    RecipientKind::Cc,
                    "c@x.example",
                    Some(Redirect::Forwarded("f@x.example".into())),
                ),
                to(RecipientKind::Bcc, "d@x.example", None),
                to(
                    RecipientKind::Recipient,
                    "e@x.example",
                    expanded("l@x.example"),
                ),
            ],
            sent_utc: Some("3/3/2025 10:00:00 AM".into()),
            received_utc: Some("3/3/2025 10:00:01 AM".into()),
            unknown_lines: 0,
            oddities: Oddities::NONE,
        };
        assert_eq!(JournalEnvelope::read(text), expected);
        assert_eq!(JournalEnvelope::read(&text.replace("\r\n", "\n")), expected);
        assert!(expected.is_complete() && expected.is_strict());
    }

    #[test]
    fn recipient_lines() {
        for (line, address, redirect) in [
            ("To:a@x", "a@x", None),
            ("TO :  <a@x> ", "a@x", None),
            ("to: a@x,Expanded:l@x", "a@x", expanded("l@x")),
            ("to: a@x, EXPANDED : <l@x>", "a@x", expanded("l@x")),
            ("To: a@x Expanded: l@x", "a@x", expanded("l@x")),
            ("To: expanded@x", "expanded@x", None),
            ("To: jörg@büro.example", "jörg@büro.example", None),
            (
                "To: IMCEAEX-_O=A_OU=B+20C@x",
                "IMCEAEX-_O=A_OU=B+20C@x",
                None,
            ),
            (
                "To: [X400:c=DE;a= ;p=P,Q;s=Maier]",
                "[X400:c=DE;a= ;p=P,Q;s=Maier]",
                None,
            ),
            ("To: \"A, B\" <a@x>", "a@x", None),
        ] {
            let found = JournalEnvelope::read(line);
            assert_eq!(
                found.recipients,
                [to(RecipientKind::To, address, redirect)],
                "{line}"
            );
            assert_eq!(found.unknown_lines, 0, "{line}");
        }
        let both = JournalEnvelope::read("Cc: a@x, Expanded: l@x, Forwarded: f@x").recipients;
        assert_eq!(both[0].redirect, expanded("l@x"));
        assert_eq!(both[1].redirect, Some(Redirect::Forwarded("f@x".into())));
    }

    #[test]
    fn senders() {
        for (line, expected) in [
            ("Sender: <>", Some("")),
            ("Sender:", None),
            ("", None),
            ("sender:a@x", Some("a@x")),
            ("Sender: <a@x>", Some("a@x")),
        ] {
            assert_eq!(
                JournalEnvelope::read(line).sender.as_deref(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_unknown_is_counted() {
        let found = JournalEnvelope::read("Sender: a@x\nX-New: thing\nhello\n\nTo: b@x\n");
        assert_eq!((found.unknown_lines, found.recipients.len()), (2, 1));
        assert!(found.is_complete() && !found.is_strict());
        assert!(!JournalEnvelope::read("nothing\nhere").is_complete());
    }

    #[test]
    fn lists_of_exchange_2003() {
        for text in [
            "Sender: a@x\nMessage ID: <1@x>\nRecipients: b@x, c@x\n",
            "Sender: A <a@x>\nMessage-ID: <1@x>\nRecipients:\n\tb@x\n\tC <c@x>\n",
            "Sender: a@x\nMessageId: <1@x>\nRecipients:\nb@x;\nc@x\n",
        ] {
            let found = JournalEnvelope::read(text);
            let addresses: Vec<_> = found
                .recipients
                .iter()
                .map(|r| r.address.as_str())
                .collect();
            assert_eq!(addresses, ["b@x", "c@x"], "{text:?}");
            assert_eq!(
                (found.sender.as_deref(), found.message_id.as_deref()),
                (Some("a@x"), Some("1@x"))
            );
            assert!(found.oddities.contains(Oddities::JOURNAL_LEGACY));
        }
    }

    #[test]
    fn five_hundred_recipients_are_all_kept() {
        let text: String = (0..500)
            .map(|n| format!("Recipient: user{n}@x.example\r\n"))
            .collect();
        let found = JournalEnvelope::read(&text).recipients;
        assert_eq!(found.len(), 500);
        assert_eq!(found[499].address, "user499@x.example");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(To|Cc|Sender|Recipients|Expanded|Forwarded|:|,| |;|<|>|a@x|\n|\t|ü){0,60}") {
            JournalEnvelope::read(&text);
        }
    }
}
