//! Text as it is, and HTML: what counts is which character set it is in.

use crate::kind::has_utf16_mark;
use crate::text::Lines;
use crate::{Label, NoText};

/// 1,024 bytes in which HTML names its character set (WHATWG HTML, prescan).
const CHARSET_BYTES_MAX: usize = 1_024;

/// Reads text as it is.
pub(crate) fn read(document: &[u8], label: &Label, lines: &mut Lines) -> Result<(), NoText> {
    // What holds zero bytes and does not say that it is UTF-16 only has the name of a text.
    if document.contains(&0) && !has_utf16_mark(document) {
        return Err(NoText::UnknownKind);
    }
    let text = decode(document, label.charset.as_deref());
    for line in text.lines() {
        lines.push_exactly(line);
        lines.end_line();
        if lines.is_full() {
            break;
        }
    }
    Ok(())
}

/// Reads what a browser would show.
pub(crate) fn read_html(document: &[u8], label: &Label, lines: &mut Lines) {
    let named = label.charset.clone().or_else(|| named_charset(document));
    lines.push(&mail::html_text(&decode(document, named.as_deref())));
}

fn decode(document: &[u8], charset: Option<&str>) -> String {
    match document {
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
        _ => mail::decoded_text(document, charset),
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let characters = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    characters.collect()
}

/// Finds the character set that HTML names of itself.
fn named_charset(document: &[u8]) -> Option<String> {
    let early = &document[..document.len().min(CHARSET_BYTES_MAX)];
    let early = String::from_utf8_lossy(early).to_ascii_lowercase();
    let (_, after) = early.split_once("charset=")?;
    let after = after.trim_start_matches(['"', '\'', ' ']);
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c));
    let name = after.split(is_end).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}
