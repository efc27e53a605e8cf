//! Office documents that are packages of XML: ECMA-376 (docx, xlsx, pptx) and OASIS OpenDocument 1.3 (odt, ods, odp).

use crate::markup::{self, Elements};
use crate::text::Lines;
use crate::{NoText, UNPACKED_BYTES_MAX, cell_table};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// 2,000 slides, sheets and notes of one document are read.
const PARTS_MAX: usize = 2_000;

/// The text of a word processor: paragraphs within cells within rows. What was deleted but is still tracked stands in `delText`.
const WORDS: Elements = Elements {
    texts: &["t"],
    lines: &["p", "tr"],
    breaks: &["br", "cr"],
    tabs: &["tab"],
    blanks: &[],
    cells: &["tc"],
    // The second form of what only newer programs show.
    unseen: &["Fallback"],
};

/// Slides; `tab` there is only told of styles.
const SLIDES: Elements = Elements {
    texts: &["t"],
    lines: &["p", "tr"],
    breaks: &["br"],
    tabs: &[],
    blanks: &[],
    cells: &["tc"],
    unseen: &["Fallback"],
};

/// Text, sheets and slides of OpenDocument alike.
const OPEN_DOCUMENT: Elements = Elements {
    texts: &["p", "h"],
    lines: &["p", "h", "table-row", "page"],
    breaks: &["line-break"],
    tabs: &["tab"],
    blanks: &["s"],
    cells: &["table-cell"],
    unseen: &["tracked-changes", "forms", "scripts", "font-face-decls"],
};

/// Reads a package of XML.
pub(crate) fn read(document: &[u8], lines: &mut Lines) -> Result<(), NoText> {
    let mut package = Package::open(document)?;
    if package.has("word/document.xml") {
        words(&mut package, lines)
    } else if package.has("xl/workbook.xml") {
        cell_table::read(&mut package, lines)
    } else if package.has("ppt/presentation.xml") {
        slides(&mut package, lines)
    } else if package.has("content.xml") {
        open_document(&mut package, lines)
    } else {
        Err(NoText::UnknownKind)
    }
}

/// Tells why a compound file (MS-CFB) under the name of a package has no text: it holds one that is encrypted (MS-OFFCRYPTO §2.3), or is of an older kind.
pub(crate) fn without_package(document: &[u8]) -> NoText {
    let name: Vec<u8> = "EncryptedPackage"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    match document.windows(name.len()).any(|some| some == name) {
        true => NoText::Encrypted,
        false => NoText::UnknownKind,
    }
}

fn words(package: &mut Package, lines: &mut Lines) -> Result<(), NoText> {
    let headers = package.numbered("word/header");
    let footers = package.numbered("word/footer");
    let notes = [
        "word/footnotes.xml",
        "word/endnotes.xml",
        "word/comments.xml",
    ];
    let notes = notes.map(str::to_owned);
    let body = ["word/document.xml".to_owned()];
    for part in headers.iter().chain(&body).chain(&notes).chain(&footers) {
        if package.has(part) {
            markup::read(&package.part(part)?, &WORDS, lines)?;
            lines.begin_line();
        }
    }
    Ok(())
}

fn slides(package: &mut Package, lines: &mut Lines) -> Result<(), NoText> {
    let slides = package.numbered("ppt/slides/slide");
    let notes = package.numbered("ppt/notesSlides/notesSlide");
    for part in slides.iter().chain(&notes) {
        markup::read(&package.part(part)?, &SLIDES, lines)?;
        // An empty line parts slides.
        lines.begin_line();
        lines.end_line();
    }
    Ok(())
}

fn open_document(package: &mut Package, lines: &mut Lines) -> Result<(), NoText> {
    let manifest = package.part("META-INF/manifest.xml").unwrap_or_default();
    if String::from_utf8_lossy(&manifest).contains("encryption-data") {
        return Err(NoText::Encrypted);
    }
    markup::read(&package.part("content.xml")?, &OPEN_DOCUMENT, lines)
}

/// The files in a package, of which no more is unpacked than the limit.
pub(crate) struct Package<'d> {
    files: ZipArchive<Cursor<&'d [u8]>>,
    left_bytes: u64,
}

impl<'d> Package<'d> {
    fn open(document: &'d [u8]) -> Result<Self, NoText> {
        let files = ZipArchive::new(Cursor::new(document)).map_err(|_| NoText::Damaged)?;
        Ok(Self {
            files,
            left_bytes: UNPACKED_BYTES_MAX,
        })
    }

    /// Whether there is a part of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.index_for_name(name).is_some()
    }

    /// Gives the parts whose names are this and a number, by their numbers.
    pub(crate) fn numbered(&self, begin: &str) -> Vec<String> {
        let number = |name: &str| {
            let number = name.strip_prefix(begin)?.strip_suffix(".xml")?;
            match number {
                "" => Some(0),
                digits => digits.parse::<u32>().ok(),
            }
        };
        let names = self.files.file_names().flatten();
        let mut found: Vec<_> = names
            .filter_map(|name| Some((number(&name)?, name.into_owned())))
            .collect();
        found.sort();
        found.truncate(PARTS_MAX);
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// Unpacks a part.
    pub(crate) fn part(&mut self, name: &str) -> Result<Vec<u8>, NoText> {
        let index = self.files.index_for_name(name).ok_or(NoText::Damaged)?;
        let raw = self.files.by_index_raw(index);
        if raw.map_err(|_| NoText::Damaged)?.encrypted() {
            return Err(NoText::Encrypted);
        }
        let file = self.files.by_index(index).map_err(|_| NoText::Damaged)?;
        let mut bytes = Vec::new();
        // What the package says of its size is not believed.
        let read = file.take(self.left_bytes + 1).read_to_end(&mut bytes);
        read.map_err(|_| NoText::Damaged)?;
        let left = self.left_bytes.checked_sub(bytes.len() as u64);
        self.left_bytes = left.ok_or(NoText::TooLarge)?;
        Ok(bytes)
    }
}
