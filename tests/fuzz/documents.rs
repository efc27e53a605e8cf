//! Documents of every kind that is read: whatever comes in, a text comes out that is bounded, calm and not empty, or the reason why there is none.
//!
//! The first byte chooses what the document is called. Within an office document the rest is its XML, else hardly an input would be a package.
#![no_main]

use extract::{Label, TEXT_BYTES_MAX, text};
use libfuzzer_sys::fuzz_target;
use std::io::{Cursor, Write};
use std::sync::Once;
use zip::write::SimpleFileOptions;

const NAMES: [&str; 10] = [
    "a.pdf", "a.rtf", "a.html", "a.txt", "a.docx", "word/document.xml", "xl/worksheets/sheet1.xml",
    "xl/sharedStrings.xml", "ppt/slides/slide1.xml", "content.xml",
];

/// What makes a package the document that a part of that name belongs to.
const MARKS: [&str; 2] = ["xl/workbook.xml", "ppt/presentation.xml"];

fn package(part: &str, content: &[u8]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let folder = part.split('/').next();
    let marks = MARKS.iter().filter(|mark| mark.split('/').next() == folder);
    for (name, content) in marks.map(|mark| (*mark, &b"<x/>"[..])).chain([(part, content)]) {
        zip.start_file(name, options).expect("a file");
        zip.write_all(content).expect("memory takes all");
    }
    zip.finish().expect("a package").into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    // A package that panics is caught, as it is in the program.
    static SILENT: Once = Once::new();
    SILENT.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let (document, name) = match name.ends_with(".xml") {
        true => (package(name, rest), "a.odt"),
        false => (rest.to_vec(), name),
    };
    let label = Label {
        name: name.to_owned(),
        ..Label::default()
    };
    if let Ok(found) = text(&document, &label) {
        assert!(!found.text.is_empty() && found.text.len() <= TEXT_BYTES_MAX);
        let is_calm = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        assert!(found.text.chars().all(is_calm));
        assert_eq!(text(&document, &label), Ok(found), "the same again");
    }
});
