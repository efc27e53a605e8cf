//! Whole documents, made here, and what must hold for anything that comes.

use super::*;
use lopdf::{Dictionary, Document, Object, Stream, dictionary};
use proptest::prelude::*;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;

fn label(name: &str) -> Label {
    Label {
        name: name.to_owned(),
        ..Label::default()
    }
}

fn package(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(*name, SimpleFileOptions::default())
            .expect("a file");
        zip.write_all(content.as_bytes()).expect("written");
    }
    zip.finish().expect("a package").into_inner()
}

/// A document of one page for each content, in which F1 is a plain font and F2 one of wide codes.
fn pdf(contents: &[&str]) -> Document {
    let mut document = Document::with_version("1.5");
    let pages = document.new_object_id();
    let map = "begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
               2 beginbfchar\n<0001> <00DC>\n<0002> <00660069>\nendbfchar\nendcmap";
    let map = document.add_object(Stream::new(Dictionary::new(), map.as_bytes().to_vec()));
    let plain = dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "FirstChar" => 32,
        "Widths" => vec![Object::Integer(500); 95],
        "Encoding" => dictionary! {
            "BaseEncoding" => "WinAnsiEncoding",
            "Differences" => vec![1.into(), "Euro".into(), "fi".into(), "uni00DF".into(), "g17".into()],
        },
    };
    let wide = dictionary! {
        "Type" => "Font", "Subtype" => "Type0", "Encoding" => "Identity-H", "ToUnicode" => map,
        "DescendantFonts" => vec![dictionary! { "DW" => 500, "W" => vec![1.into(), vec![Object::Integer(600)].into()] }.into()],
    };
    let form = Stream::new(
        dictionary! { "Type" => "XObject", "Subtype" => "Form" },
        b"BT /F1 10 Tf 0 500 Td (in a form) Tj ET".to_vec(),
    );
    let form = document.add_object(form);
    let resources = document.add_object(dictionary! {
        "Font" => dictionary! { "F1" => plain, "F2" => wide },
        "XObject" => dictionary! { "X1" => form },
    });
    let mut kids: Vec<Object> = Vec::new();
    for content in contents {
        let content = Stream::new(Dictionary::new(), content.as_bytes().to_vec());
        let content = document.add_object(content);
        let page = dictionary! { "Type" => "Page", "Parent" => pages, "Contents" => content, "Resources" => resources };
        kids.push(document.add_object(page).into());
    }
    let count = kids.len() as i64;
    let root = dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count };
    document.objects.insert(pages, Object::Dictionary(root));
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    document.trailer.set("Root", catalog);
    document.compress();
    document
}

fn saved(mut document: Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).expect("saved");
    bytes
}

#[track_caller]
fn check(document: &[u8], name: &str, expected: Result<&str, NoText>) {
    let found = text(document, &label(name));
    let found = found.as_ref().map(|text| text.text.as_str());
    assert_eq!(found, expected.as_ref().copied(), "{name}");
}

#[test]
fn pages_are_put_into_words_and_lines() {
    for (content, expected) in [
        (
            "BT /F1 10 Tf 50 700 Td (Rechnung Nr. 7) Tj 0 -12 Td (vom 3. Mai) Tj ET",
            "Rechnung Nr. 7\nvom 3. Mai",
        ),
        // Words without blanks between them, as most programs write them.
        (
            "BT /F1 10 Tf 1 0 0 1 50 700 Tm [(Wort)-300(e)] TJ ET BT /F1 10 Tf 1 0 0 1 80 700 Tm (neu) Tj ET",
            "Wort e neu",
        ),
        // A word whose letters are moved a little.
        (
            "BT /F1 10 Tf 50 700 Td [(V)80(er)-20(trag)] TJ ET",
            "Vertrag",
        ),
        (
            "BT /F1 10 Tf 50 700 Td (a) Tj ET q 1 0 0 1 0 -100 cm BT /F1 10 Tf 50 700 Td (b) Tj ET Q",
            "a\n\nb",
        ),
        (
            "BT /F1 10 Tf 12 TL 50 700 Td (a) Tj (b) ' T* (c) Tj ET",
            "a\nb\nc",
        ),
        ("BT /F1 10 Tf 50 700 Td <E4010203> Tj ET", "ä€fiß"),
        ("BT /F2 10 Tf 50 700 Td <00010002> Tj ET", "Üfi"),
        (
            "/X1 Do BT /F1 10 Tf 50 480 Td (after) Tj ET",
            "in a form\nafter",
        ),
        // Text that runs upwards.
        (
            "BT /F1 10 Tf 0 1 -1 0 50 100 Tm (up) Tj ( and up) Tj ET",
            "up and up",
        ),
    ] {
        check(&saved(pdf(&[content])), "a.pdf", Ok(expected));
    }
}

#[test]
fn pages_come_one_after_the_other() {
    let page = |text: &str| format!("BT /F1 10 Tf 50 700 Td ({text}) Tj ET");
    let document = pdf(&[&page("one"), &page("two")]);
    check(&saved(document), "a.pdf", Ok("one\n\ntwo"));
}

#[test]
fn a_pdf_without_words_says_so() {
    check(
        &saved(pdf(&["0 0 100 100 re f"])),
        "scan.pdf",
        Err(NoText::NoWords),
    );
    check(b"%PDF-1.7\nnothing of it", "a.pdf", Err(NoText::Damaged));
}

#[test]
fn a_pdf_behind_a_password_says_so() {
    use lopdf::{EncryptionState, EncryptionVersion, Permissions};
    for (password, expected) in [("secret", Err(NoText::Encrypted)), ("", Ok("open to all"))] {
        let mut document = pdf(&["BT /F1 10 Tf 50 700 Td (open to all) Tj ET"]);
        let id = Object::string_literal(vec![7; 16]);
        document.trailer.set("ID", vec![id.clone(), id]);
        let version = EncryptionVersion::V2 {
            document: &document,
            owner_password: "owner",
            user_password: password,
            key_length: 128,
            permissions: Permissions::all(),
        };
        let state = EncryptionState::try_from(version).expect("a state");
        document.encrypt(&state).expect("encrypted");
        check(&saved(document), "a.pdf", expected);
    }
}

#[test]
fn forms_that_show_each_other_end() {
    let mut document = pdf(&["BT /F1 10 Tf 50 700 Td (seen) Tj ET /X1 Do"]);
    let is_form = |object: &Object| {
        object
            .as_stream()
            .is_ok_and(|stream| stream.dict.has(b"Subtype"))
    };
    let form = document.objects.values_mut().find(|object| is_form(object));
    let form = form
        .and_then(|form| form.as_stream_mut().ok())
        .expect("the form");
    form.set_plain_content(b"/X1 Do /X1 Do /X1 Do /X1 Do /X1 Do /X1 Do".to_vec());
    let found = text(&saved(document), &label("a.pdf")).expect("a text");
    assert_eq!((found.text.as_str(), found.is_cut), ("seen", true));
}

const RELATIONS: &str = "<Relationships><Relationship Id=\"r1\" Target=\"worksheets/sheet2.xml\"/>\
    <Relationship Id=\"r2\" Target=\"/xl/worksheets/sheet1.xml\"/></Relationships>";

#[test]
fn office_documents() {
    let words = "<w:document xmlns:w=\"w\"><w:body><w:p><w:r><w:t>Sehr geehrte Frau M&#252;ller,</w:t></w:r></w:p>\
        <w:p><w:r><w:t xml:space=\"preserve\">anbei </w:t><w:delText>nicht</w:delText><w:t>das Angebot.</w:t></w:r></w:p>\
        <w:tbl><w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>Preis</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>";
    let notes = "<w:footnotes xmlns:w=\"w\"><w:footnote><w:p><w:t>Fu&#xDF;note</w:t></w:p></w:footnote></w:footnotes>";
    let docx = package(&[("word/document.xml", words), ("word/footnotes.xml", notes)]);
    check(
        &docx,
        "a.docx",
        Ok("Sehr geehrte Frau Müller,\nanbei das Angebot.\n\tPreis\nFußnote"),
    );

    let sheet =
        |cells: &str| format!("<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>");
    let xlsx = package(&[
        (
            "xl/workbook.xml",
            "<workbook><sheets><sheet name=\"Kosten\" r:id=\"r1\"/><sheet name=\"Rest\" r:id=\"r2\"/></sheets></workbook>",
        ),
        ("xl/_rels/workbook.xml.rels", RELATIONS),
        (
            "xl/sharedStrings.xml",
            "<sst><si><t>Miete</t></si><si><r><t>Stro</t></r><r><t>m</t></r><rPh><t>x</t></rPh></si></sst>",
        ),
        (
            "xl/worksheets/sheet1.xml",
            &sheet("<c t=\"inlineStr\"><is><t>hier</t></is></c>"),
        ),
        (
            "xl/worksheets/sheet2.xml",
            &sheet("<c t=\"s\"><v>1</v></c><c><f>1+1</f><v>2</v></c><c t=\"s\"><v>99</v></c>"),
        ),
    ]);
    check(&xlsx, "a.xlsx", Ok("Kosten\nStrom\t2\n\nRest\nhier"));

    let slide = |text: &str| {
        format!("<p:sld><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sld>")
    };
    let pptx = package(&[
        ("ppt/presentation.xml", "<p/>"),
        ("ppt/slides/slide10.xml", &slide("zuletzt")),
        ("ppt/slides/slide2.xml", &slide("zuerst")),
    ]);
    check(&pptx, "a.pptx", Ok("zuerst\n\nzuletzt"));

    let odt = package(&[
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        (
            "content.xml",
            "<office:document-content><office:body><text:tracked-changes><text:p>weg</text:p></text:tracked-changes>\
            <text:h>Titel</text:h><text:p>Zeile<text:s/>eins<text:line-break/>zwei<text:tab/>drei</text:p>\
            <table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell/><table:table-cell><text:p>c</text:p>\
            </table:table-cell></table:table-row></office:body></office:document-content>",
        ),
    ]);
    check(&odt, "a.odt", Ok("Titel\nZeile eins\nzwei\tdrei\na\t\tc"));
}

#[test]
fn office_documents_that_are_not_read_say_why() {
    let locked = package(&[
        ("META-INF/manifest.xml", "<manifest:encryption-data/>"),
        ("content.xml", "\u{1}\u{2}"),
    ]);
    check(&locked, "a.odt", Err(NoText::Encrypted));
    let mut compound = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    check(&compound, "a.docx", Err(NoText::UnknownKind));
    compound.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    check(&compound, "a.docx", Err(NoText::Encrypted));
    check(
        &package(&[("a.txt", "a")]),
        "a.docx",
        Err(NoText::UnknownKind),
    );
    check(b"PK\x03\x04 cut off", "a.docx", Err(NoText::Damaged));
    check(
        &package(&[("word/document.xml", "<w:t>a</w:t")]),
        "a.docx",
        Err(NoText::Damaged),
    );
    check(
        &package(&[("a.txt", "a")]),
        "a.zip",
        Err(NoText::UnknownKind),
    );
}

#[test]
fn bombs_are_too_large() {
    let blank = " ".repeat(1 << 20);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", SimpleFileOptions::default())
        .expect("a file");
    for _ in 0..=UNPACKED_BYTES_MAX >> 20 {
        zip.write_all(blank.as_bytes()).expect("written");
    }
    let bomb = zip.finish().expect("a package").into_inner();
    assert!(bomb.len() < 1 << 20, "it is small before");
    check(&bomb, "a.docx", Err(NoText::TooLarge));
    let large = vec![b'a'; DOCUMENT_BYTES_MAX as usize + 1];
    check(&large, "a.txt", Err(NoText::TooLarge));
}

#[test]
fn texts_are_read_in_their_character_sets() {
    for (document, name, charset, expected) in [
        (
            &b"a\tb\r\n  indented\r\n"[..],
            "a.txt",
            None,
            "a\tb\n  indented",
        ),
        (b"Gr\xfc\xdfe", "a.txt", None, "Grüße"),
        (b"\xcf\xf0", "a.txt", Some("windows-1251"), "Пр"),
        (b"\xff\xfea\0\xe4\0", "a.csv", None, "aä"),
        (
            b"<meta charset=\"windows-1251\"><p>\xcf\xf0</p><p>b",
            "a.html",
            None,
            "Пр\nb",
        ),
    ] {
        let label = Label {
            charset: charset.map(str::to_owned),
            ..label(name)
        };
        let found = text(document, &label).map(|text| text.text);
        assert_eq!(found.as_deref(), Ok(expected), "{document:?}");
    }
    check(b"\x01\x02---", "a.txt", Err(NoText::NoWords));
    check(b"long enough to hide\0", "a.txt", Err(NoText::UnknownKind));
}

proptest! {
    #[test]
    fn damage_anywhere_is_survived(kind in 0..3_usize, at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..8)) {
        let name = ["a.pdf", "a.docx", "a.rtf"][kind];
        let mut document = match kind {
            0 => saved(pdf(&["BT /F1 10 Tf 50 700 Td (text) Tj ET /X1 Do", "BT /F2 9 Tf <0001> Tj ET"])),
            1 => package(&[("word/document.xml", "<w:p><w:t>text</w:t></w:p>")]),
            _ => b"{\\rtf1\\ansi\\ansicpg1252 Gr\\'fc\\'dfe {\\b world}.\\par\\u252?}".to_vec(),
        };
        let at = at.index(document.len());
        let end = (at + bytes.len()).min(document.len());
        document.splice(at..end, bytes);
        if let Ok(found) = text(&document, &label(name)) {
            prop_assert!(!found.text.is_empty() && found.text.len() <= TEXT_BYTES_MAX);
            prop_assert!(!found.text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
        }
    }
}
