//! Documents are read by a process that has nothing, and what happens to it happens to nobody else: the real program, asked over its socket.

use service::keeper::messages::DocumentText;
use service::keeper::{Keeper, SocketKeeper, document_file};
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use tests::{Archive, Folder, Serving, wait_for};

const PDF: &str = "application/pdf";

/// A PDF of one page, as a program writes it that has read no more than the first chapters.
fn pdf(words: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 72 720 Td ({words}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    let mut bytes = b"%PDF-1.4\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(bytes.len());
        bytes.extend(format!("{} 0 obj\n{object}\nendobj\n", index + 1).into_bytes());
    }
    let table = bytes.len();
    bytes.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).into_bytes());
    for place in &places {
        bytes.extend(format!("{place:010} 00000 n \n").into_bytes());
    }
    let size = objects.len() + 1;
    let end = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
    bytes.extend(end.into_bytes());
    bytes
}

fn docx(xml: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("word/document.xml", options)
        .expect("a file");
    zip.write_all(xml.as_bytes()).expect("written");
    zip.finish().expect("a package").into_inner()
}

#[track_caller]
fn read(keeper: &dyn Keeper, document: &[u8], media_type: &str, name: &str) -> DocumentText {
    let label = extract::Label {
        media_type: media_type.to_owned(),
        name: name.to_owned(),
        charset: None,
    };
    let file = document_file(document).expect("memory");
    keeper.read_document(file, label).expect("an answer")
}

fn text(words: &str) -> DocumentText {
    DocumentText::Text(extract::Text {
        text: words.to_owned(),
        is_cut: false,
    })
}

/// The folder in /proc of the child that reads documents.
fn extractor(serving: &Serving) -> Option<PathBuf> {
    let id = serving.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    // The thread that asked first has started it.
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
    let others = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let ids = children.into_iter().chain(others).collect::<String>();
    let id = ids.split_ascii_whitespace().next()?;
    Some(PathBuf::from(format!("/proc/{id}")))
}

fn status(process: &Path, name: &str) -> String {
    let status = fs::read_to_string(process.join("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the kernel tells it").trim().to_owned()
}

#[test]
fn documents_are_read_by_a_process_that_has_nothing() {
    let folder = Folder::new("documents");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    assert_eq!(
        extractor(&serving),
        None,
        "none is there before it is needed"
    );
    let keeper = SocketKeeper::connect(archive.path()).expect("a socket");
    let keeper = keeper.expect("serve is there");
    let invoice = pdf("Rechnung \\374ber drei Igel");
    assert_eq!(
        read(&keeper, &invoice, PDF, "a.pdf"),
        text("Rechnung über drei Igel")
    );
    let process = extractor(&serving).expect("it was started");
    assert_eq!(status(&process, "Seccomp:"), "2", "a filter of calls");
    assert_eq!(status(&process, "NoNewPrivs:"), "1");
    assert_eq!(status(&process, "Threads:"), "1");
    // Nothing of the archive, and no socket but the keeper's: as standard input, to send and to receive.
    let open = fs::read_dir(process.join("fd")).expect("it runs").flatten();
    let open: Vec<_> = open.flat_map(|one| fs::read_link(one.path())).collect();
    assert!(
        open.iter().all(|one| !one.starts_with(archive.path())),
        "{open:?}"
    );
    let is_socket = |one: &&PathBuf| one.to_string_lossy().starts_with("socket:");
    assert_eq!(open.iter().filter(is_socket).count(), 3, "{open:?}");

    let letter = docx("<w:p><w:t>Sehr geehrte Frau M&#252;ller</w:t></w:p>");
    assert_eq!(
        read(&keeper, &letter, "", "Brief.docx"),
        text("Sehr geehrte Frau Müller")
    );
    for (document, name, why) in [
        (&b"PK\x03\x04"[..], "a.docx", extract::NoText::Damaged),
        (b"%PDF-1.7", "a.pdf", extract::NoText::Damaged),
        (b"\x7fELF\0", "a", extract::NoText::UnknownKind),
    ] {
        assert_eq!(
            read(&keeper, document, "", name),
            DocumentText::None(why),
            "{name}"
        );
    }
    assert_eq!(
        extractor(&serving),
        Some(process.clone()),
        "it outlives them all"
    );

    // A page that costs more memory than there is.
    let greedy = "[() 1] TJ ".repeat(700_000);
    let greedy = pdf(&format!(") Tj {greedy} (x"));
    let answer = read(&keeper, &greedy, PDF, "a.pdf");
    assert!(
        matches!(answer, DocumentText::Lost | DocumentText::Text(_)),
        "{answer:?}"
    );
    assert_eq!(
        read(&keeper, &invoice, PDF, "a.pdf"),
        text("Rechnung über drei Igel")
    );
    assert_eq!(
        extractor(&serving),
        Some(process.clone()),
        "only the process of the document died"
    );

    // One that is killed is started anew.
    let id = process
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a number");
    tests::run("kill", &["-9", id]).ok();
    wait_for("its end", || {
        (extractor(&serving) != Some(process.clone())
            || status(&process, "State:").starts_with('Z'))
        .then_some(())
    });
    assert_eq!(
        read(&keeper, &invoice, PDF, "a.pdf"),
        text("Rechnung über drei Igel")
    );
    drop(keeper);
    serving.stop();
    archive.verify();
}
