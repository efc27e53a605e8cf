//! The room of attachments: the text of a document, told from its bytes alone.
//!
//! Format packages stand behind it that a hostile document may bring to anything; so on a running archive it is called in a process that has nothing to
//! lose (`coffer extractor`), and all that is promised to others are the types here. It opens no file, asks for no time, and makes nothing safe to show.

mod cell_table;
mod code_map;
mod kind;
mod markup;
mod office;
mod pdf;
mod pdf_font;
mod plain;
mod rtf;
mod text;

pub use kind::{Kind, kind};

use serde::{Deserialize, Serialize};
use text::Lines;

/// 32 MiB of a document are read: a scanned contract has less, and reading takes several times as much memory.
pub const DOCUMENT_BYTES_MAX: u64 = 32 << 20;

/// 1 MiB of text is given, some 500 pages; the rest is left out, and said to be.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// 128 MiB are unpacked of one document, as far as packages tell; a few hundred KiB can be packed to say more.
const UNPACKED_BYTES_MAX: u64 = 128 << 20;

/// What a document says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The text, its lines ended by "\n", without control characters but tabs; never empty.
    pub text: String,
    /// Whether there is more than is given.
    pub is_cut: bool,
}

/// Why there is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoText {
    /// It is of no kind that is read.
    UnknownKind,
    /// It can be read with a password only.
    Encrypted,
    /// It does not hold to its format.
    Damaged,
    /// It is larger than what is read, packed or unpacked.
    TooLarge,
    /// It has no words, such as a page that was scanned.
    NoWords,
}

/// What others say about a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Its media type in lower case.
    pub media_type: String,
    /// Its file name.
    pub name: String,
    /// Its character set, if one is named.
    pub charset: Option<String>,
}

/// Gives the text of a document.
///
/// # Errors
/// Why there is none.
pub fn text(document: &[u8], label: &Label) -> Result<Text, NoText> {
    if document.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(NoText::TooLarge);
    }
    let kind = kind(document, label).ok_or(NoText::UnknownKind)?;
    // A panic of a package says no more than that it does not hold.
    let read = std::panic::catch_unwind(|| read(kind, document, label));
    read.unwrap_or(Err(NoText::Damaged))
}

fn read(kind: Kind, document: &[u8], label: &Label) -> Result<Text, NoText> {
    let mut lines = Lines::default();
    match kind {
        Kind::Pdf => pdf::read(document, &mut lines)?,
        Kind::Office => office::read(document, &mut lines)?,
        Kind::OldOffice => return Err(office::without_package(document)),
        Kind::Rtf => rtf::read(document, &mut lines),
        Kind::Html => plain::read_html(document, label, &mut lines),
        Kind::Plain => plain::read(document, label, &mut lines)?,
    }
    lines.finish().ok_or(NoText::NoWords)
}

#[cfg(test)]
mod tests;
