//! Fonts of a PDF (ISO 32000-1 §9.6, §9.7), as far as text hangs on them: which characters a code stands for, and how wide it is.
//!
//! The tables of characters are lopdf's, which it gives only by reading a font; so it is given small ones to read.

use crate::code_map::CodeMap;
use lopdf::{Dictionary, Document, Object};
use std::collections::HashMap;
use std::rc::Rc;

/// 1 MiB unpacked of a table that says what a font's codes stand for.
const MAP_BYTES_MAX: usize = 1 << 20;

/// 65,536 codes have widths of their own.
const WIDTHS_MAX: usize = 1 << 16;

/// 500 thousandths of its size is a character wide whose font does not say it.
const USUAL_WIDTH: f32 = 0.5;

/// 1,000 thousandths, where a font of many characters does not say it (§9.7.4.3).
const FULL_WIDTH: f32 = 1.0;

/// Fonts of a document, each read once.
pub(crate) struct Fonts<'d> {
    document: &'d Document,
    /// By where they lie in the document.
    read: HashMap<*const Dictionary, Rc<Font>>,
}

/// A font.
pub(crate) struct Font {
    /// Whether its codes have two bytes.
    is_wide: bool,
    /// What the document says its codes stand for.
    map: Option<CodeMap>,
    /// Whether its codes are UTF-16.
    is_unicode: bool,
    /// What each code of one byte stands for otherwise.
    table: Vec<String>,
    widths: HashMap<u32, f32>,
    usual_width: f32,
}

/// What a code stands for.
pub(crate) struct Glyph {
    pub(crate) text: String,
    /// In units of the font's size.
    pub(crate) width: f32,
    /// Whether room for words is added to it (§9.3.3).
    pub(crate) is_word_room: bool,
}

impl<'d> Fonts<'d> {
    pub(crate) fn new(document: &'d Document) -> Self {
        Self {
            document,
            read: HashMap::new(),
        }
    }

    pub(crate) fn font(&mut self, font: &'d Dictionary) -> Rc<Font> {
        let document = self.document;
        let read = self.read.entry(std::ptr::from_ref(font));
        read.or_insert_with(|| Rc::new(Font::read(document, font)))
            .clone()
    }
}

impl Font {
    fn read(document: &Document, font: &Dictionary) -> Self {
        let is_wide = font.get(b"Subtype").and_then(Object::as_name).ok() == Some(b"Type0");
        let (widths, usual_width) = match is_wide {
            true => wide_widths(document, font),
            false => (narrow_widths(document, font), USUAL_WIDTH),
        };
        Self {
            is_wide,
            map: map(document, font),
            is_unicode: is_wide && is_unicode(font),
            table: if is_wide {
                Vec::new()
            } else {
                table(document, font)
            },
            widths,
            usual_width,
        }
    }

    /// Parts a string into codes.
    pub(crate) fn glyphs(&self, bytes: &[u8]) -> impl Iterator<Item = Glyph> {
        let length = if self.is_wide { 2 } else { 1 };
        bytes.chunks(length).map(|code| self.glyph(code))
    }

    fn glyph(&self, code: &[u8]) -> Glyph {
        let number = code
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte));
        let width = self.widths.get(&number).copied();
        Glyph {
            text: self.text(code, number),
            width: width.unwrap_or(self.usual_width),
            is_word_room: code == b" ",
        }
    }

    fn text(&self, code: &[u8], number: u32) -> String {
        let mapped = self.map.as_ref().and_then(|map| map.text(number));
        match mapped {
            Some(text) => plain_letters(text),
            None if self.is_unicode => units_text(code),
            None => self.table.get(number as usize).cloned().unwrap_or_default(),
        }
    }
}

fn units_text(code: &[u8]) -> String {
    let (units, _) = code.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
    String::from_utf16_lossy(&units)
}

/// Gives letters that are written as one sign as the letters they are (Unicode, Alphabetic Presentation Forms).
fn plain_letters(text: &str) -> String {
    let mut letters = String::new();
    for c in text.chars() {
        match c {
            '\u{fb00}' => letters.push_str("ff"),
            '\u{fb01}' => letters.push_str("fi"),
            '\u{fb02}' => letters.push_str("fl"),
            '\u{fb03}' => letters.push_str("ffi"),
            '\u{fb04}' => letters.push_str("ffl"),
            '\0' => {}
            other => letters.push(other),
        }
    }
    letters
}

/// What the document says of its font's codes (§9.10.3).
fn map(document: &Document, font: &Dictionary) -> Option<CodeMap> {
    let stream = font
        .get_deref(b"ToUnicode", document)
        .and_then(Object::as_stream);
    let bytes = stream
        .ok()?
        .get_plain_content_with_limit(MAP_BYTES_MAX)
        .ok()?;
    Some(CodeMap::read(&bytes))
}

/// Whether codes of two bytes are Unicode themselves (§9.7.5.2, predefined maps).
fn is_unicode(font: &Dictionary) -> bool {
    let encoding = font
        .get(b"Encoding")
        .and_then(Object::as_name)
        .unwrap_or_default();
    let (begin, end) = (
        encoding.starts_with(b"Uni"),
        encoding.split(|byte| *byte == b'-').nth(1),
    );
    begin && matches!(end, Some(b"UCS2" | b"UTF16"))
}

/// What codes of one byte stand for (§9.6.6): a set that is known, and differences by the names of glyphs.
fn table(document: &Document, font: &Dictionary) -> Vec<String> {
    let encoding = font.get_deref(b"Encoding", document);
    let (base, differences) = match encoding {
        Ok(Object::Name(name)) => (Some(name.clone()), None),
        Ok(Object::Dictionary(encoding)) => {
            let base = encoding.get(b"BaseEncoding").and_then(Object::as_name);
            let differences = encoding.get_deref(b"Differences", document);
            (
                base.ok().map(<[u8]>::to_vec),
                differences.and_then(Object::as_array).ok(),
            )
        }
        _ => (None, None),
    };
    let mut table = known_set(&base.unwrap_or_else(|| b"WinAnsiEncoding".to_vec()));
    let mut code = 0_usize;
    for one in differences.into_iter().flatten() {
        match one {
            Object::Integer(number) => code = usize::try_from(*number).unwrap_or(table.len()),
            Object::Name(name) => {
                if let Some(place) = table.get_mut(code) {
                    *place = named(name);
                }
                code += 1;
            }
            _ => {}
        }
    }
    table
}

fn known_set(name: &[u8]) -> Vec<String> {
    let read = |encoding: Object| {
        let decoded = |byte: u8| decode(encoding.clone(), byte);
        (0..=255).map(decoded).collect()
    };
    match name {
        b"MacRomanEncoding" | b"MacExpertEncoding" | b"StandardEncoding" => {
            read(Object::Name(name.to_vec()))
        }
        _ => read(Object::Name(b"WinAnsiEncoding".to_vec())),
    }
}

/// The character that a glyph's name means (Adobe Glyph List); empty for one that is not known.
fn named(name: &[u8]) -> String {
    let text = std::str::from_utf8(name).unwrap_or_default();
    let hexadecimal = text.strip_prefix("uni").or_else(|| text.strip_prefix('u'));
    let code = hexadecimal.and_then(|digits| u32::from_str_radix(digits.get(..4)?, 16).ok());
    if let Some(character) = code.and_then(char::from_u32) {
        return plain_letters(character.encode_utf8(&mut [0; 4]));
    }
    let mut encoding = Dictionary::new();
    // In a set that is known, 0 stands for nothing.
    encoding.set("Differences", vec![0.into(), Object::Name(name.to_vec())]);
    plain_letters(&decode(Object::Dictionary(encoding), 0))
}

fn decode(encoding: Object, byte: u8) -> String {
    let mut font = Dictionary::new();
    font.set("Type", "Font");
    font.set("Encoding", encoding);
    let none = Document::new();
    let encoding = font.get_font_encoding(&none);
    encoding
        .and_then(|encoding| encoding.bytes_to_string(&[byte]))
        .unwrap_or_default()
}

/// Widths of codes of one byte (§9.6.2.1).
fn narrow_widths(document: &Document, font: &Dictionary) -> HashMap<u32, f32> {
    let first = font.get(b"FirstChar").and_then(Object::as_i64).ok();
    let widths = font
        .get_deref(b"Widths", document)
        .and_then(Object::as_array);
    let (Some(first), Ok(widths)) = (first.and_then(|first| u32::try_from(first).ok()), widths)
    else {
        return HashMap::new();
    };
    let numbered = (first..).zip(widths.iter().take(256));
    numbered
        .map(|(code, width)| (code, width.as_float().unwrap_or_default() / 1_000.0))
        .collect()
}

/// Widths of codes of two bytes (§9.7.4.3): `first [w w …]` or `first last w`; and that of all others.
fn wide_widths(document: &Document, font: &Dictionary) -> (HashMap<u32, f32>, f32) {
    let mut widths = HashMap::new();
    let descendants = font
        .get_deref(b"DescendantFonts", document)
        .and_then(Object::as_array);
    let descendant = descendants.ok().and_then(|all| all.first());
    let descendant = descendant.and_then(|one| document.dereference(one).ok()?.1.as_dict().ok());
    let Some(descendant) = descendant else {
        return (widths, FULL_WIDTH);
    };
    let usual = descendant.get(b"DW").and_then(Object::as_float);
    let usual = usual.map_or(FULL_WIDTH, |width| width / 1_000.0);
    let told = descendant
        .get_deref(b"W", document)
        .and_then(Object::as_array);
    let mut told = told.ok().into_iter().flatten();
    while let (Some(first), Some(second)) = (told.next(), told.next()) {
        let Some(first) = first
            .as_i64()
            .ok()
            .and_then(|first| u32::try_from(first).ok())
        else {
            break;
        };
        match document.dereference(second) {
            Ok((_, Object::Array(each))) => {
                for (code, width) in (first..).zip(each) {
                    widths.insert(code, width.as_float().unwrap_or_default() / 1_000.0);
                }
            }
            Ok((_, last)) => {
                let last = last.as_i64().ok().and_then(|last| u32::try_from(last).ok());
                let width = told.next().and_then(|width| width.as_float().ok());
                let room = (WIDTHS_MAX - widths.len()) as u32;
                let last = last.unwrap_or(first).min(first.saturating_add(room));
                for code in first..=last {
                    widths.insert(code, width.unwrap_or_default() / 1_000.0);
                }
            }
            Err(_) => break,
        }
        if widths.len() >= WIDTHS_MAX {
            break;
        }
    }
    (widths, usual)
}
