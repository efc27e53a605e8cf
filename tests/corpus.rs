//! Every message of every theme of the corpus goes in by import and comes out as it was; journal reports give the envelope that the
//! corpus knows.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tests::{Archive, Folder, assert_same, digest_of, files_under, is_long, office, theme};

/// Every tenth message stands for the largest theme, unless `COFFER_TEST_LONG=1`.
const SHORT_STEP: usize = 10;

fn is_eml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "eml")
}

/// Gives the digests of the files that are one message each, whatever they hold.
fn digests_of_eml(files: &[PathBuf]) -> BTreeSet<String> {
    files
        .iter()
        .filter(|file| is_eml(file))
        .map(|file| digest_of(&fs::read(file).expect("a sample")))
        .collect()
}

/// Imports a folder and checks that every message in a file of its own comes back, and that nothing but messages read from other files
/// comes beside it.
fn check_folder(name: &str, source: &Path) {
    let folder = Folder::new(&format!("corpus-{name}"));
    let archive = Archive::at(folder.join("data"));
    let files = files_under(source);
    let counts = archive.import(&[&source]);
    assert_eq!(counts["files"], files.len(), "{counts}");
    let expected = digests_of_eml(&files);
    // Commands beside a keeper need not open the archive each.
    let serving = archive.serve(&[]);
    assert_eq!(counts["new_messages"], archive.stat("messages"), "{counts}");
    let exported = archive.export_eml(&folder.join("eml"));
    assert_eq!(
        expected.difference(&exported).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "messages that did not come back"
    );
    if files.iter().all(|file| is_eml(file)) {
        assert_eq!(
            exported.len(),
            expected.len(),
            "messages that nobody brought"
        );
        assert_eq!(counts["messages"], files.len(), "{counts}");
    }
    assert_same(&archive.digests(""), &exported);
    archive.verify();
    check_again(&archive, source, &counts);
    check_exchange(&folder, &archive, &exported);
    serving.stop();
}

/// The same input again brings nothing new.
fn check_again(archive: &Archive, source: &Path, first: &Value) {
    let again = archive.import(&[&source]);
    assert_eq!(again["messages"], first["messages"], "{again}");
    assert_eq!(
        (&again["new_messages"], &again["new_receptions"]),
        (&Value::from(0), &Value::from(0)),
        "{again}"
    );
}

/// What is exported into a folder and imported elsewhere is the same mail.
fn check_exchange(folder: &Folder, archive: &Archive, exported: &BTreeSet<String>) {
    let other = Archive::at(folder.join("other"));
    let counts = other.import(&[&folder.join("eml")]);
    assert_eq!(counts["new_messages"], exported.len(), "{counts}");
    assert_same(&other.digests(""), exported);
    assert_eq!(other.stat("messages"), archive.stat("messages"));
}

fn check_theme(name: &str) {
    if let Some(source) = theme(name) {
        check_folder(name, &source);
    }
}

#[test]
fn office_mail_comes_back() {
    check_folder("office", &office());
}

#[test]
fn attachments_come_back() {
    check_theme("attachments");
}

#[test]
fn bulk_en_comes_back() {
    check_theme("bulk-en");
}

#[test]
fn containers_come_back() {
    check_theme("containers");
}

#[test]
fn documents_are_no_mail_and_do_no_harm() {
    check_theme("documents");
}

#[test]
fn german_comes_back() {
    check_theme("german");
}

#[test]
fn journal_reports_come_back_as_they_are() {
    check_theme("journal-reports");
}

#[test]
fn tnef_smime_pgp_come_back() {
    check_theme("tnef-smime-pgp");
}

#[test]
fn torture_mime_comes_back() {
    check_theme("torture-mime");
}

#[test]
fn bulk_lists_come_back() {
    let Some(source) = theme("bulk-lists") else {
        return;
    };
    if is_long() {
        return check_folder("bulk-lists", &source);
    }
    let folder = Folder::new("bulk-lists-short");
    for (index, file) in files_under(&source).iter().enumerate().step_by(SHORT_STEP) {
        fs::create_dir_all(folder.join("in")).expect("a folder");
        fs::hard_link(file, folder.join(&format!("in/{index}.eml"))).expect("a link");
    }
    check_folder("bulk-lists", &folder.join("in"));
}

/// What the corpus knows of its journal reports.
struct Truth {
    /// SHA-256 of the original by the name of the report's file.
    originals: BTreeMap<String, String>,
    /// SHA-256 of all originals that a journal recipient got.
    by_recipient: BTreeMap<String, BTreeSet<String>>,
}

fn read_truth(theme: &Path) -> Truth {
    let mut truth = Truth {
        originals: BTreeMap::new(),
        by_recipient: BTreeMap::new(),
    };
    for line in fs::read_to_string(theme.join("truth.jsonl"))
        .expect("truth.jsonl")
        .lines()
    {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let original = text(&line["inner_sha256"]);
        for recipient in line["recipients"].as_array().expect("recipients") {
            truth
                .by_recipient
                .entry(text(&recipient["addr"]))
                .or_default()
                .insert(original.clone());
        }
        truth.originals.insert(text(&line["file"]), original);
    }
    assert!(truth.originals.len() > 200 && truth.by_recipient.len() > 10);
    truth
}

impl Truth {
    /// Checks an archive that got every report and nothing else.
    fn check(&self, archive: &Archive, out: &Path) {
        let originals: BTreeSet<String> = self.originals.values().cloned().collect();
        assert_same(&archive.export_eml(out), &originals);
        for (recipient, expected) in &self.by_recipient {
            // These addresses stand in no header of the real messages inside.
            assert_same(&archive.digests(&format!("bcc:{recipient}")), expected);
            assert_same(&archive.digests(&format!("to:{recipient}")), expected);
        }
        archive.verify();
    }
}

/// The reports themselves come back, too: each arrival gives the file that brought it.
fn check_reports(archive: &Archive, theme: &Path, truth: &Truth) {
    let mut reports = BTreeSet::new();
    for digest in truth.originals.values().collect::<BTreeSet<_>>() {
        let info = String::from_utf8(archive.run("show", &[&"--info", &digest])).expect("UTF-8");
        for line in info
            .lines()
            .filter_map(|line| line.strip_prefix("reception: "))
        {
            let number = line.split(' ').next().expect("a number");
            reports.insert(digest_of(&archive.run("show", &[&"--report", &number])));
        }
    }
    let files: Vec<PathBuf> = truth
        .originals
        .keys()
        .map(|name| theme.join(name))
        .collect();
    assert_same(&reports, &digests_of_eml(&files));
}

#[test]
fn imported_journal_reports_give_the_true_envelope() {
    let Some(source) = theme("journal-reports") else {
        return;
    };
    let folder = Folder::new("journal-import");
    let archive = Archive::at(folder.join("data"));
    let truth = read_truth(&source);
    let reports: Vec<PathBuf> = truth
        .originals
        .keys()
        .map(|name| source.join(name))
        .collect();
    fs::create_dir(folder.join("in")).expect("a folder");
    for report in &reports {
        fs::copy(
            report,
            folder.join("in").join(report.file_name().expect("a name")),
        )
        .expect("a copy");
    }
    archive.import(&[&"--journal", &folder.join("in")]);
    // Commands beside a keeper need not open the archive each.
    let serving = archive.serve(&[]);
    truth.check(&archive, &folder.join("eml"));
    check_reports(&archive, &source, &truth);
    // Whatever was known before is known after.
    archive.run("rebuild", &[]);
    truth.check(&archive, &folder.join("eml-rebuilt"));
    serving.stop();
}

#[test]
fn journal_reports_by_smtp_give_the_true_envelope() {
    let Some(source) = theme("journal-reports") else {
        return;
    };
    let folder = Folder::new("journal-smtp");
    let archive = Archive::at(folder.join("data"));
    let truth = read_truth(&source);
    let serving = archive.serve(&[]);
    let mut client = serving.connect();
    for (name, original) in &truth.originals {
        let report = fs::read(source.join(name)).expect("a report");
        let reply = client
            .send_in_chunks("", &["journal@archive.example"], &report, 1 << 16)
            .expect("a reply");
        assert_eq!(&reply.stored().1, original, "{name}");
    }
    truth.check(&archive, &folder.join("eml"));
    check_reports(&archive, &source, &truth);
    serving.stop();
}
