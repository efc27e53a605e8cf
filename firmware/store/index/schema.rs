//! The fields of the index, and which of them hold what.
//!
//! | field      | holds                                             | postings            |
//! |------------|---------------------------------------------------|---------------------|
//! | sequence   | sequence number of the message                    | documents, column   |
//! | sent_at    | date shown, Unix s                                | column              |
//! | first_copy | sequence number of the first copy of the message, 0 for that itself | documents, column |
//! | arrived_at | time that decides whose an address was, Unix s     | column              |
//! | size_bytes | length of the message                             | column              |
//! | body       | words of the text                                 | with positions      |
//! | pairs      | of the text, see `pairs`                          | documents           |
//! | subject    | words of the subject                              | with positions      |
//! | from       | words of names and addresses of From              | with positions      |
//! | to         | the same of To and Cc                             | with positions      |
//! | cc         | the same of Cc alone                              | with positions      |
//! | hidden     | words of addresses that only some may know of     | with positions      |
//! | filename   | words of the attachments' names                   | with positions      |
//! | message_id | the Message-ID, without its angle brackets         | documents           |
//! | access     | exact addresses of all who may see the message    | documents           |
//! | sender     | exact addresses of its believed senders           | documents           |
//! | hidden_address | exact addresses of its hidden recipients      | documents           |
//! | mark       | yes-or-no facts, see [`MARK_ATTACHMENT`] and others | documents         |
//!
//! Places are left for `attachment` (words of the text inside attachments) and `part` (parts of compound words).
//! Adding them, or changing what any word becomes, is a new [`SCHEMA`] number and thus a folder beside the old one.
//! Nothing is stored: hits are sequence numbers, all else is read from catalog and volumes.

use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};

use super::tokenizer;

/// Number of this schema, part of the folder's name; it grows with every change of what a search finds, or of how files lie in the folder.
pub const SCHEMA: u32 = 4;

/// Name of the column with the sequence number.
pub(super) const SEQUENCE: &str = "sequence";
/// Name of the column with the date shown.
pub(super) const SENT_AT: &str = "sent_at";
/// Name of the column with the first copy.
pub(super) const FIRST_COPY: &str = "first_copy";

/// Mark of a message with attachments.
pub(super) const MARK_ATTACHMENT: &str = "attachment";
/// Mark of a self-test message.
pub(super) const MARK_SELF_TEST: &str = "self-test";

/// The fields, by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) sequence: Field,
    pub(super) first_copy: Field,
    pub(super) sent_at: Field,
    pub(super) arrived_at: Field,
    pub(super) size_bytes: Field,
    pub(super) body: Field,
    pub(super) pairs: Field,
    pub(super) subject: Field,
    pub(super) from: Field,
    pub(super) to: Field,
    pub(super) cc: Field,
    pub(super) hidden: Field,
    pub(super) filename: Field,
    pub(super) message_id: Field,
    pub(super) access: Field,
    pub(super) sender: Field,
    pub(super) hidden_address: Field,
    pub(super) mark: Field,
}

/// Gives the name of the index folder: other schema or other tantivy format, other folder.
pub fn folder_name() -> String {
    format!("index-{SCHEMA}-{}", tantivy::INDEX_FORMAT_VERSION)
}

/// Makes the schema and its fields.
pub(super) fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let fields = Fields {
        sequence: schema
            .add_u64_field(SEQUENCE, NumericOptions::default().set_indexed().set_fast()),
        first_copy: schema.add_u64_field(
            FIRST_COPY,
            NumericOptions::default().set_indexed().set_fast(),
        ),
        sent_at: schema.add_i64_field(SENT_AT, NumericOptions::default().set_fast()),
        arrived_at: schema.add_i64_field("arrived_at", NumericOptions::default().set_fast()),
        size_bytes: schema.add_u64_field("size_bytes", NumericOptions::default().set_fast()),
        body: schema.add_text_field("body", words(true)),
        pairs: schema.add_text_field("pairs", documents(tokenizer::PAIRS)),
        subject: schema.add_text_field("subject", words(true)),
        from: schema.add_text_field("from", words(false)),
        to: schema.add_text_field("to", words(false)),
        cc: schema.add_text_field("cc", words(false)),
        hidden: schema.add_text_field("hidden", words(false)),
        filename: schema.add_text_field("filename", words(false)),
        message_id: schema.add_text_field("message_id", documents(tokenizer::EXACT)),
        access: schema.add_text_field("access", documents(tokenizer::EXACT)),
        sender: schema.add_text_field("sender", documents(tokenizer::EXACT)),
        hidden_address: schema.add_text_field("hidden_address", documents(tokenizer::EXACT)),
        mark: schema.add_text_field("mark", documents(tokenizer::EXACT)),
    };
    (schema.build(), fields)
}

/// Words with their places, for phrases; `norms` keeps the length of the text (1 byte a message) for relevance.
fn words(norms: bool) -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(tokenizer::WORDS)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions)
        .set_fieldnorms(norms);
    TextOptions::default().set_indexing_options(indexing)
}

/// Terms without how often and where.
fn documents(tokenizer: &str) -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(tokenizer)
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    TextOptions::default().set_indexing_options(indexing)
}
