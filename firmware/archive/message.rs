//! A stored message: its identity and the recipe that puts it together again.

use crate::Digest;

/// What the archive knows for ever about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// SHA-256 of the message's bytes: its identity.
    pub digest: Digest,
    /// Length of the message.
    pub size_bytes: u64,
    /// How it is put together.
    pub form: MessageForm,
    /// What was odd in its bytes.
    pub oddities: mail::Oddities,
}

/// How a message is put together again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageForm {
    /// The message itself is one content, under the message's own digest.
    Whole,
    /// Pieces of a skeleton and decoded parts, in order.
    TakenApart {
        /// All bytes that were not taken out.
        skeleton: ContentRef,
        /// The pieces, in message order.
        pieces: Vec<StoredPiece>,
    },
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredPiece {
    /// The next so many bytes of the skeleton.
    Skeleton {
        /// How many.
        length_bytes: u64,
    },
    /// A content, put back as base64.
    Base64 {
        /// The decoded part.
        content: ContentRef,
        /// How the base64 was laid out.
        shape: Base64Shape,
        /// Whether it is a text part, needed for reading.
        is_text: bool,
    },
}

/// How base64 lines were laid out, so that they can be written again to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base64Shape {
    /// Base64 characters that a full line holds, a multiple of four.
    pub line_chars: u16,
    /// How lines end.
    pub line_end: mail::LineEnd,
    /// Whether the last line ends, too.
    pub last_line_end: bool,
}

/// A content, named by digest and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRef {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Their number.
    pub length_bytes: u64,
}

impl Message {
    /// Contents that the message needs, the skeleton first.
    pub fn contents(&self) -> Vec<ContentRef> {
        match &self.form {
            MessageForm::Whole => vec![ContentRef {
                digest: self.digest,
                length_bytes: self.size_bytes,
            }],
            MessageForm::TakenApart { skeleton, pieces } => {
                let parts = pieces.iter().filter_map(|piece| match piece {
                    StoredPiece::Base64 { content, .. } => Some(*content),
                    StoredPiece::Skeleton { .. } => None,
                });
                std::iter::once(*skeleton).chain(parts).collect()
            }
        }
    }
}
