//! One arrival of a message: who sent it to whom, from where it came to us, and what a journal report said about it.
//!
//! Plain values without rules; how they lie on disk is in the `store` room's FORMAT.md, "Reception".

use crate::{ContentRef, Digest};
use mail::JournalEnvelope;
use std::net::SocketAddr;

/// 100 bytes of what a source is called: names of accounts are shorter, and it stands in each row of a table.
const SOURCE_NAME_BYTES_MAX: usize = 100;

/// One arrival of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// How it came.
    pub source: SourceKind,
    /// The source's own key for it.
    pub key: SourceKey,
    /// Which way the mail went.
    pub direction: Direction,
    /// Why the source was believed.
    pub trust: Trust,
    /// The SMTP transaction, when there was one.
    pub envelope: Option<Envelope>,
    /// What the journal report said, when it came in one.
    pub journal: Option<Journal>,
    /// What was odd in this arrival: a bit set, see [`mail::Oddities`].
    pub oddities: mail::Oddities,
}

/// How a message came in; the numbers are those of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SourceKind {
    /// A way in that only a newer version knows.
    Unknown = 0,
    /// By SMTP.
    #[default]
    Smtp = 1,
    /// A file that is one message.
    EmlFile = 2,
    /// A message of an mbox file.
    Mbox = 3,
    /// A file of a Maildir.
    Maildir = 4,
    /// Pulled from an IMAP folder.
    ImapPull = 5,
    /// Pulled by POP3.
    Pop3Pull = 6,
    /// Uploaded on the page.
    Upload = 7,
    /// Coffer's own test message, hidden unless asked for.
    SelfTest = 8,
    /// An Outlook PST file.
    Pst = 9,
    /// An Outlook MSG file.
    Msg = 10,
    /// Seen by the POP3/SMTP proxy.
    Proxy = 11,
    /// The alternate journaling folder.
    AlternateJournal = 12,
}

impl SourceKind {
    /// Gives the way in of a number of the format.
    pub fn from_number(number: u64) -> Self {
        use SourceKind::*;
        let kinds = [
            Smtp,
            EmlFile,
            Mbox,
            Maildir,
            ImapPull,
            Pop3Pull,
            Upload,
            SelfTest,
            Pst,
            Msg,
            Proxy,
            AlternateJournal,
        ];
        kinds
            .into_iter()
            .find(|kind| *kind as u64 == number)
            .unwrap_or(Unknown)
    }
}

/// The source's own key of a message; what does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceKey {
    /// File or folder, absolute.
    pub path: String,
    /// Account at the server it was pulled from.
    pub account: String,
    /// IMAP folder.
    pub folder: String,
    /// IMAP UIDVALIDITY and UID (RFC 9051 §2.3.1.1).
    pub uid: Option<(u32, u32)>,
    /// IMAP or Maildir flags.
    pub flags: Vec<String>,
    /// When the source says that it got the message, Unix seconds.
    pub internal_date: Option<i64>,
    /// Byte offset of the "From " line in an mbox.
    pub offset: Option<u64>,
    /// The "From " line of an mbox, without its line end.
    pub from_line: Vec<u8>,
}

impl Reception {
    /// Tells whether the same source brought it from the same place: an import or a pull that runs again.
    pub fn is_from_same_place(&self, other: &Self) -> bool {
        let place = self.place();
        place.is_some() && place == other.place()
    }

    /// What people tell its source from others of the same kind by: who had signed in, the address of the peer, or the account it
    /// was pulled from. Empty for files: each would be a source of its own. At most 100 bytes.
    pub fn source_name(&self) -> String {
        let name = match (self.source, &self.envelope) {
            (SourceKind::Smtp, Some(envelope)) if !envelope.signed_in_as.is_empty() => {
                envelope.signed_in_as.clone()
            }
            (SourceKind::Smtp, Some(envelope)) => match envelope.peer.parse::<SocketAddr>() {
                Ok(peer) => peer.ip().to_canonical().to_string(),
                Err(_) => envelope.peer.clone(),
            },
            (SourceKind::ImapPull | SourceKind::Pop3Pull | SourceKind::Proxy, _) => {
                self.key.account.clone()
            }
            _ => String::new(),
        };
        name[..name.floor_char_boundary(SOURCE_NAME_BYTES_MAX)].to_owned()
    }

    /// The place that it came from, as bytes that are the same for the same place only.
    ///
    /// Flags do not count, and a file that a mail program moved from `new` to `cur` of its Maildir is where it was. What comes by
    /// SMTP comes from no place: each delivery is one of its own.
    pub fn place(&self) -> Option<Vec<u8>> {
        let key = &self.key;
        let (folder, name) = match self.source {
            SourceKind::Smtp => return None,
            SourceKind::Maildir => maildir_place(&key.path),
            _ => (key.path.as_str(), ""),
        };
        let mut place = vec![self.source as u8];
        for text in [folder, name, &key.account, &key.folder] {
            place.extend_from_slice(&(text.len() as u64).to_le_bytes());
            place.extend_from_slice(text.as_bytes());
        }
        place.push(u8::from(key.offset.is_some()));
        place.extend_from_slice(&key.offset.unwrap_or(0).to_le_bytes());
        if let Some((validity, uid)) = key.uid {
            place.extend_from_slice(&validity.to_le_bytes());
            place.extend_from_slice(&uid.to_le_bytes());
        }
        Some(place)
    }
}

/// The Maildir and the unique name of a message's file, without `new` or `cur` and without flags.
fn maildir_place(path: &str) -> (&str, &str) {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let maildir = folder
        .strip_suffix("/cur")
        .or(folder.strip_suffix("/new"))
        .unwrap_or(folder);
    (
        maildir,
        name.split_once(":2,").map_or(name, |(unique, _)| unique),
    )
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Nobody said.
    #[default]
    Unknown = 0,
    /// From outside to the office.
    Inbound = 1,
    /// From the office to outside.
    Outbound = 2,
    /// Within the office.
    Internal = 3,
}

/// Why the source of a message was believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Trust {
    /// Nobody asked: the owner imported it.
    #[default]
    NotAsked = 0,
    /// It came from an allowed network.
    AllowedNetwork = 1,
    /// The sender had signed in.
    SignedIn = 2,
    /// It came from a peer trusted for journal reports.
    JournalPeer = 3,
    /// It was not believed.
    Untrusted = 4,
}

/// What the SMTP transaction said (RFC 5321 §2.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM, without `<>`; empty for the null reverse-path.
    pub reverse_path: String,
    /// Parameters of MAIL, as given.
    pub mail_parameters: Vec<String>,
    /// Every RCPT TO, in order.
    pub recipients: Vec<Recipient>,
    /// The name given with EHLO or HELO.
    pub helo: String,
    /// Address and port of the peer.
    pub peer: String,
    /// TLS version and cipher suite; empty without TLS.
    pub tls: String,
    /// The name it had signed in with; empty without.
    pub signed_in_as: String,
}

/// One forward-path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// The address, without `<>`, as given.
    pub address: String,
    /// Parameters of RCPT, as given.
    pub parameters: Vec<String>,
}

/// A journal report taken apart: its envelope, and what is needed to give the report back to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// What the report says.
    pub envelope: JournalEnvelope,
    /// Digest of the whole report.
    pub report_digest: Digest,
    /// Length of the whole report.
    pub report_size_bytes: u64,
    /// How the original lay in it.
    pub form: ReportForm,
}

/// How the original lay in its journal report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportForm {
    /// prefix ‖ message ‖ suffix is the report.
    Plain {
        /// What stands before the message.
        prefix: ContentRef,
        /// What stands behind it.
        suffix: ContentRef,
    },
    /// The report itself is kept beside the message.
    Whole(ContentRef),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_is_known_again() {
        let at = |source, path: &str, offset| Reception {
            source,
            key: SourceKey {
                path: path.to_owned(),
                offset,
                ..SourceKey::default()
            },
            ..Reception::default()
        };
        let (maildir, mbox) = (SourceKind::Maildir, SourceKind::Mbox);
        for (one, other, expected) in [
            (
                at(maildir, "/m/new/1.a", None),
                at(maildir, "/m/cur/1.a:2,RS", None),
                true,
            ),
            (
                at(maildir, "/m/new/1.a", None),
                at(maildir, "/m/new/1.b", None),
                false,
            ),
            (
                at(maildir, "/m/new/1.a", None),
                at(maildir, "/n/new/1.a", None),
                false,
            ),
            (at(mbox, "/m", Some(5)), at(mbox, "/m", Some(5)), true),
            (at(mbox, "/m", Some(5)), at(mbox, "/m", Some(9)), false),
            (
                at(mbox, "/m", None),
                at(SourceKind::EmlFile, "/m", None),
                false,
            ),
            (
                at(SourceKind::Smtp, "", None),
                at(SourceKind::Smtp, "", None),
                false,
            ),
        ] {
            assert_eq!(
                one.is_from_same_place(&other),
                expected,
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn sources_are_called_by_what_tells_them_apart() {
        let smtp = |peer: &str, signed_in_as: &str| Reception {
            envelope: Some(Envelope {
                peer: peer.to_owned(),
                signed_in_as: signed_in_as.to_owned(),
                ..Envelope::default()
            }),
            ..Reception::default()
        };
        let pulled = |source| Reception {
            source,
            key: SourceKey {
                account: "office@provider.example".to_owned(),
                path: "/x".to_owned(),
                ..SourceKey::default()
            },
            ..Reception::default()
        };
        for (reception, expected) in [
            (smtp("192.0.2.1:4711", ""), "192.0.2.1"),
            (smtp("[::ffff:192.0.2.1]:25", ""), "192.0.2.1"),
            (smtp("[2001:db8::1]:25", ""), "2001:db8::1"),
            (smtp("192.0.2.1:4711", "exchange"), "exchange"),
            (smtp("", ""), ""),
            (smtp(&"ü".repeat(99), ""), &"ü".repeat(50)),
            (pulled(SourceKind::ImapPull), "office@provider.example"),
            (pulled(SourceKind::EmlFile), ""),
            (Reception::default(), ""),
        ] {
            assert_eq!(reception.source_name(), expected, "{reception:?}");
        }
    }
}
