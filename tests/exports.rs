//! What leaves the archive: eml, mbox and zip to the byte, and zips that hold offline, under the key from outside only, and as an
//! independent program checks them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tests::{
    Archive, Folder, assert_same, digest_of, files_under, office, python_with, run, theme,
    verify_export,
};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// Messages whose proofs are checked by the independent program: it is started for each.
const PROOFS_CHECKED_MAX: usize = 30;

/// An archive with some mail in it.
fn archive_with_mail(folder: &Folder) -> Archive {
    let archive = Archive::at(folder.join("data"));
    archive.import(&[&office()]);
    if let Some(source) = theme("attachments") {
        archive.import(&[&source]);
    }
    archive
}

#[test]
fn eml_files_have_the_numbers_that_search_shows() {
    let folder = Folder::new("export-eml");
    let archive = archive_with_mail(&folder);
    // Commands beside a keeper need not open the archive each.
    let serving = archive.serve(&[]);
    let out = folder.join("some");
    let query = "has:attachment";
    archive.run("export", &[&"--query", &query, &"--format", &"eml", &out]);
    let found = archive.search(query);
    assert!(!found.is_empty() && found.len() < archive.search("").len());
    for hit in &found {
        let bytes =
            fs::read(out.join(format!("{}.eml", hit.number))).expect("a file of this number");
        assert_eq!(digest_of(&bytes), hit.digest);
        assert_eq!(archive.show(hit.number), bytes);
    }
    assert_eq!(files_under(&out).len(), found.len());
    archive
        .try_run("export", &[&"--format", &"eml", &out])
        .failed(2, &["not empty"]);
    serving.stop();
}

/// Reads an mboxrd file as its description says, without our reader.
fn read_mboxrd(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let unquoted = line.strip_prefix(b">").filter(|rest| {
            let quotes = rest.iter().take_while(|byte| **byte == b'>').count();
            rest[quotes..].starts_with(b"From ")
        });
        match messages.last_mut() {
            _ if line.starts_with(b"From ") => messages.push(Vec::new()),
            Some(message) => message.extend(unquoted.unwrap_or(line)),
            None => panic!("the file does not begin with a From line"),
        }
    }
    for message in &mut messages {
        assert_eq!(
            message.pop(),
            Some(b'\n'),
            "an empty line ends each message"
        );
    }
    messages
}

#[test]
fn an_mbox_gives_every_message_to_the_byte() {
    let folder = Folder::new("export-mbox");
    let archive = Archive::at(folder.join("data"));
    let quoting =
        b"From: a@x.example\n\nFrom here\n>From there\n>>From everywhere\n> From not\nFrom\n";
    let in_folder = folder.write("in/1.eml", quoting);
    folder.write("in/2.eml", b"Subject: no line end\r\n\r\nFrom me");
    archive.import(&[
        &in_folder.parent().expect("a folder"),
        &theme("german").unwrap_or_else(office),
    ]);
    let out = folder.join("out.mbox");
    archive.run("export", &[&"--format", &"mbox", &out]);
    // An mbox cannot hold a message without a line end at its end.
    let ended = |mut message: Vec<u8>| {
        if !message.ends_with(b"\n") {
            message.push(b'\n');
        }
        digest_of(&message)
    };
    let exported = archive.export_eml(&folder.join("eml"));
    let files = files_under(&folder.join("eml"));
    let expected: BTreeSet<String> = files
        .iter()
        .map(|file| ended(fs::read(file).expect("an exported file")))
        .collect();
    let messages = read_mboxrd(&fs::read(&out).expect("the export"));
    assert_eq!(messages.len(), exported.len());
    assert_eq!(
        messages
            .iter()
            .map(|message| digest_of(message))
            .collect::<BTreeSet<_>>(),
        expected
    );
    // Our own reader finds the same in it.
    let other = Archive::at(folder.join("other"));
    other.import(&[&out]);
    assert_same(&other.digests(""), &expected);
    archive
        .try_run("export", &[&"--format", &"mbox", &out])
        .failed(2, &["out.mbox"]);
}

/// A zip of all mail, its archive's key, and the archive.
fn zip_of_all(folder: &Folder) -> (Archive, String, PathBuf) {
    let archive = archive_with_mail(folder);
    let (key, out) = (archive.key(), folder.join("export.zip"));
    archive.run("export", &[&"--format", &"zip", &out]);
    (archive, key, out)
}

#[test]
fn a_zip_holds_offline() {
    let folder = Folder::new("export-zip");
    let (archive, key, zip) = zip_of_all(&folder);
    let all = archive.digests("");
    let later = folder.write("later", archive.run("checkpoint", &[]));
    fs::rename(archive.path(), folder.join("away")).expect("the archive is out of reach");
    let report = verify_export(&zip, &[&"--key", &key]).text();
    assert!(
        report.contains("all holds; signed by coffer.archive/"),
        "{report}"
    );
    let report = verify_export(&zip, &[]).text();
    assert!(report.contains("signer not checked"), "{report}");
    let files = unzip(&zip);
    let messages = files
        .iter()
        .filter(|(name, _)| name.ends_with(".eml"))
        .map(|(_, bytes)| digest_of(bytes));
    assert_eq!(messages.collect::<BTreeSet<_>>(), all);
    let (_, own) = files
        .iter()
        .find(|(name, _)| name == "checkpoint")
        .expect("a checkpoint");
    let own = folder.write("own", own);
    let report = verify_export(&zip, &[&"--key", &key, &"--checkpoint", &own]).text();
    assert!(
        report.contains("the checkpoint given is the same"),
        "{report}"
    );
    let report = verify_export(&zip, &[&"--key", &key, &"--checkpoint", &later]).text();
    assert!(report.contains("only the archive can show"), "{report}");
    let archive = Archive::at(folder.join("away"));
    archive.run("verify", &[&"--key", &key, &"--checkpoint", &own]);
    archive.run("verify", &[&"--key", &key, &"--checkpoint", &later]);
}

#[test]
fn a_zip_signed_again_by_somebody_else_fails_under_the_key() {
    let folder = Folder::new("export-forged");
    let (archive, key, _) = zip_of_all(&folder);
    let genuine = folder.write("genuine", archive.run("checkpoint", &[]));
    // Whoever has a copy of the disk but not its key: the same archive id, all of the mail, another signature.
    let forged = Archive::at(folder.join("forged"));
    run(
        "cp",
        &[&"-a" as &dyn AsRef<OsStr>, &archive.path(), &forged.path()],
    )
    .ok();
    fs::remove_file(forged.path().join("state.redb")).expect("the key can be thrown away");
    let zip = folder.join("forged.zip");
    forged.run("export", &[&"--format", &"zip", &zip]);
    assert_ne!(forged.key(), key);
    assert_eq!(
        forged.key().split('+').next(),
        key.split('+').next(),
        "it claims to be the same archive"
    );
    assert!(
        verify_export(&zip, &[])
            .text()
            .contains("signer not checked")
    );
    verify_export(&zip, &[&"--key", &key]).failed(1, &["does not hold"]);
    verify_export(&zip, &[&"--key", &forged.key(), &"--checkpoint", &genuine]).failed(1, &["hold"]);
    forged
        .try_run("verify", &[&"--key", &key])
        .failed(1, &["hold"]);
}

fn unzip(zip: &Path) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(File::open(zip).expect("an export")).expect("a zip");
    let count = zip.len();
    let read = |index| {
        let mut file = zip.by_index(index).expect("a file in the zip");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("the file is whole");
        (file.name().expect("a name in UTF-8").into_owned(), bytes)
    };
    (0..count).map(read).collect()
}

fn write_zip(path: &Path, files: &[(String, Vec<u8>)]) {
    let mut zip = ZipWriter::new(File::create(path).expect("a file"));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default())
            .expect("a file in the zip");
        zip.write_all(bytes).expect("its bytes");
    }
    zip.finish().expect("the zip");
}

#[test]
fn a_zip_that_was_changed_fails() {
    let folder = Folder::new("export-tampered");
    let archive = Archive::at(folder.join("data"));
    archive.import(&[&office()]);
    let (key, zip) = (archive.key(), folder.join("export.zip"));
    archive.run("export", &[&"--format", &"zip", &zip]);
    let files = unzip(&zip);
    assert!(files.len() > 20, "{}", files.len());
    let tampered = folder.join("tampered.zip");
    let check = |what: &str, files: &[(String, Vec<u8>)]| {
        write_zip(&tampered, files);
        let ran = verify_export(&tampered, &[&"--key", &key]);
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert_eq!(
            verify_export(&tampered, &[]).code,
            Some(1),
            "without a key: {what}"
        );
    };
    write_zip(&tampered, &files);
    verify_export(&tampered, &[&"--key", &key]).ok();
    for index in 0..files.len() {
        let name = &files[index].0;
        let mut changed = files.clone();
        let middle = changed[index].1.len() / 2;
        changed[index].1[middle] ^= 1;
        check(&format!("a bit of {name}"), &changed);
        let mut fewer = files.clone();
        fewer.remove(index);
        check(&format!("without {name}"), &fewer);
    }
    let mut more = files.clone();
    more.push((
        "messages/999999.eml".to_owned(),
        b"Subject: added\r\n\r\n".to_vec(),
    ));
    check("one more message", &more);
    let messages: Vec<usize> = (0..files.len())
        .filter(|index| files[*index].0.ends_with(".eml"))
        .collect();
    let mut swapped = files.clone();
    swapped[messages[0]].1 = files[messages[1]].1.clone();
    swapped[messages[1]].1 = files[messages[0]].1.clone();
    check("two messages swapped", &swapped);
    let whole = fs::read(&zip).expect("the export");
    fs::write(&tampered, &whole[..whole.len() / 2]).expect("half of it");
    let half = verify_export(&tampered, &[&"--key", &key]);
    assert!(matches!(half.code, Some(1 | 2)), "{half:?}");
}

/// A leaf hash from the "extra" line of a proof, as the export's README tells, and the entry's bytes.
fn leaf_of(proof: &str) -> (String, Vec<u8>) {
    let extra = proof
        .lines()
        .find_map(|line| line.strip_prefix("extra "))
        .expect("a line with the entry");
    let extra = STANDARD.decode(extra).expect("base64");
    let (head, entry) = extra.split_at(9);
    let entry_digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, entry);
    (
        digest_of(&[&[0], head, entry_digest.as_ref()].concat()),
        entry.to_vec(),
    )
}

#[test]
fn an_independent_program_checks_checkpoint_and_proofs() {
    let Some(python) = python_with("cryptography.exceptions") else {
        return;
    };
    let folder = Folder::new("export-c2sp");
    let (archive, key, zip) = zip_of_all(&folder);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("c2sp_check.py");
    let check = |arguments: &[&dyn AsRef<OsStr>]| {
        let all: Vec<&dyn AsRef<OsStr>> = [&script as &dyn AsRef<OsStr>]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        run(&python, &all)
    };
    check(&[&"examples"]).ok();
    let files = unzip(&zip);
    for (name, bytes) in &files {
        folder.write(&format!("zip/{name}"), bytes);
    }
    let checkpoint = folder.join("zip/checkpoint");
    let tree = check(&[&"checkpoint", &key, &checkpoint]).text();
    let root = tree
        .lines()
        .find(|line| line.starts_with("root: "))
        .expect("a root");
    let forged = Archive::at(folder.join("other"));
    forged.import(&[&office()]);
    assert_eq!(
        check(&[&"checkpoint", &forged.key(), &checkpoint]).code,
        Some(1)
    );
    let messages: Vec<_> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".eml"))
        .collect();
    assert_eq!(messages.len() as u64, archive.stat("messages"));
    for (name, bytes) in messages.iter().take(PROOFS_CHECKED_MAX) {
        let number = Path::new(name)
            .file_stem()
            .expect("a number")
            .to_string_lossy();
        let file = folder.join(&format!("zip/proofs/{number}.tlog-proof"));
        let (leaf, entry) = leaf_of(&fs::read_to_string(&file).expect("a proof"));
        let proven = check(&[&"proof", &key, &file, &"--leaf", &leaf]).text();
        assert!(proven.contains(root), "{name}: {proven}");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        assert!(
            entry.windows(32).any(|window| window == digest.as_ref()),
            "the leaf of {name} names its digest"
        );
        let other_leaf = digest_of(leaf.as_bytes());
        assert_eq!(
            check(&[&"proof", &key, &file, &"--leaf", &other_leaf]).code,
            Some(1),
            "{name}"
        );
    }
    let event = folder.join("zip/export.tlog-proof");
    let (leaf, entry) = leaf_of(&fs::read_to_string(&event).expect("a proof"));
    check(&[&"proof", &key, &event, &"--leaf", &leaf]).ok();
    let manifest = fs::read(folder.join("zip/manifest.json")).expect("the manifest");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &manifest);
    assert!(
        entry.windows(32).any(|window| window == digest.as_ref()),
        "the event names the manifest"
    );
    // What the archive signs later is checked by the same program.
    let now = folder.write("now", archive.run("checkpoint", &[]));
    check(&[&"checkpoint", &key, &now]).ok();
}
