//! The room of mail: what stands in a mail, a journal report or a mailbox file, told from its bytes alone.
//!
//! Nothing here opens a file, asks for the time or computes a digest.

mod oddities;

mod normal_form;
mod taking_apart;

mod address;
mod attachment;
mod date;
mod header;
mod html;
mod journal_envelope;
mod journal_report;
mod mbox;
mod message;
mod parts;
mod text;
mod transfer_encoding;

pub use address::{ADDRESSES_MAX, Address, normal as normal_address};
pub use attachment::{Standing, standings};
pub use date::read as read_date;
pub use html::{content_id, to_text as html_text};
pub use journal_envelope::{
    JOURNAL_RECIPIENTS_MAX, JournalEnvelope, JournalRecipient, RecipientKind, Redirect,
};
pub use journal_report::{
    JOURNAL_ENVELOPE_MAX_BYTES, JOURNAL_HEADER_MAX_BYTES, JournalReport, JournalScanner,
    is_marked as is_marked_journal_report,
};
pub use mbox::{MboxEntry, MboxReader, looks_like_mbox};
pub use message::{ATTACHMENTS_MAX, Attachment, BODY_MAX_BYTES, REFERENCES_MAX, Reading, read};
pub use normal_form::NormalForm;
pub use oddities::Oddities;
pub use parts::{MessagePart, parts};
pub use taking_apart::{
    CONTENTS_MAX, LineEnd, MIN_CONTENT_BYTES, Piece, PutTogetherError, Recipe, Sink, Source,
    TakeApart, put_together, put_together_with_copy, reading_copy,
};
pub use text::decoded as decoded_text;
pub use transfer_encoding::{Decoder, TransferEncoding};

#[cfg(test)]
mod corpus;
