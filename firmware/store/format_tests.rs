//! Formats outlast versions: data of each released version opens, verifies and answers as it did there, and what a newer version may
//! add is kept and hashed by this one.
//!
//! `tests/formats/VERSION/` holds the ground of a data directory (identity, state.redb, volumes) as that version left it, and
//! `expected.json`, what it answered. The keys in it are for tests alone. A released version's data is never written again; the
//! ignored test `this_version_is_written` makes those of a new one.

use crate::disk::{Disk, Open};
use crate::faulty_disk::SimDisk;
use crate::record::{FrameRun, RecordKind, RecordPacker};
use crate::store_tests::{
    bytes, file, find, journal_report, message, options, put, smtp, verify, with_attachment,
};
use crate::verify::VerifyOptions;
use crate::volume::{self, Found, Volume};
use crate::{Body, Deposit, Error, LeafBody, Moment, Options, Store, sha256};
use archive::{Digest, Event, EventKind, Reception, SourceKey, SourceKind};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Small, so that the data hold sealed volumes and an open one.
const VOLUME_BYTES_MAX: u64 = 24_000;

/// What is asked of the data of each version; a new query goes to the end and is answered by newer data only.
const QUERIES: [&str; 14] = [
    "",
    "rechnung",
    "\"beginn am\"",
    "fenst*",
    "from:anna",
    "to:bernd@kanzlei.example",
    "bcc:steuer@berater.example",
    "subject:nachricht",
    "has:attachment",
    "filename:rechnung.pdf",
    "larger:10k",
    "before:2025-04",
    "-kanzlei",
    "id:<4@kanzlei.example>",
];

/// The files of a data directory that are ground.
const GROUND: [&str; 2] = ["identity", "state.redb"];

/// What they answered.
const EXPECTED: &str = "expected.json";

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats")
}

fn office() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/office")
}

/// Puts the data of a version on a disk of their own.
fn load(folder: &Path) -> SimDisk {
    let disk = SimDisk::new();
    let folders = ["", volume::FOLDER];
    disk.create_dir(Path::new(volume::FOLDER))
        .expect("a folder");
    for name in folders.iter().flat_map(|name| files(&folder.join(name))) {
        let name = name
            .strip_prefix(folder)
            .expect("it lies in the folder")
            .to_owned();
        let read = fs::read(folder.join(&name)).expect("a file");
        let file = disk.open(&name, Open::Create).expect("a file");
        file.write_all_at(0, &read).expect("written");
        file.sync_data().expect("synced");
    }
    disk
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).expect("a folder");
    let paths = names.map(|name| name.expect("a name").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.is_file() && path.extension().is_none_or(|end| end != "json"))
        .collect();
    files.sort();
    files
}

fn open(disk: &SimDisk) -> Store {
    opened(disk).expect("the archive opens")
}

fn opened(disk: &SimDisk) -> crate::Result<Store> {
    Store::open(Arc::new(disk.clone()), clocked(), &mut |_| {})
}

/// A clock that goes on by a second with each look.
fn clocked() -> Options {
    let seconds = AtomicI64::new(1_735_689_600);
    Options {
        clock: Arc::new(move || Moment {
            at_us: seconds.fetch_add(1, Ordering::SeqCst) * 1_000_000,
            synchronised: true,
            uncertainty_ms: Some(10),
        }),
        ..options(VOLUME_BYTES_MAX)
    }
}

/// Everything that must stay the same for ever.
fn answers(store: &Store, queries: &[&str]) -> Value {
    let numbers = find(store, "");
    let given = |number: &u64| {
        (
            number.to_string(),
            json!(sha256(&bytes(store, *number)).to_string()),
        )
    };
    let queries = queries
        .iter()
        .map(|query| ((*query).to_owned(), json!(find(store, query))));
    let verified = store.verify(&VerifyOptions::default(), &mut |_, _| {});
    let leaves = 1..=store.progress().expect("open").0;
    json!({
        "key": store.key().to_string(),
        "totals": store.totals().expect("sums"),
        "verify": verified.expect("readable"),
        "messages": numbers.iter().map(given).collect::<Map<_, _>>(),
        "queries": queries.collect::<Map<_, _>>(),
        "leaves": leaves.map(|number| leaf(store, number)).collect::<Vec<_>>(),
    })
}

/// What a leaf says, in words that do not hang on our types.
fn leaf(store: &Store, number: u64) -> Value {
    let leaf = store.leaf(number).expect("there").leaf;
    let at_us = leaf.head.moment.at_us;
    match leaf.body {
        LeafBody::Message(message) => json!([
            at_us,
            "message",
            message.digest.to_string(),
            message.size_bytes
        ]),
        LeafBody::Event(event) => json!([
            at_us,
            "event",
            event.kind.number(),
            event.account,
            event.text
        ]),
        LeafBody::Skipped => json!([at_us, "skipped"]),
        LeafBody::Reception {
            message, reception, ..
        } => {
            let report = reception
                .journal
                .as_ref()
                .map(|_| report_digest(store, number).to_string());
            let envelope = reception.envelope.as_ref();
            let recipients = envelope
                .map(|envelope| &envelope.recipients)
                .into_iter()
                .flatten();
            let recipients: Vec<_> = recipients.map(|recipient| &recipient.address).collect();
            json!([
                at_us,
                "reception",
                message,
                reception.source as u8,
                reception.key.path,
                recipients,
                report
            ])
        }
    }
}

fn report_digest(store: &Store, reception: u64) -> Digest {
    let mut report = Vec::new();
    let body = store.journal_report(reception).expect("there");
    body.write_to(&mut report).expect("memory takes all");
    sha256(&report)
}

/// Checks that all that was expected is there; newer versions may tell more.
fn check_holds(actual: &Value, expected: &Value, at: &str) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (name, expected) in expected {
                let actual = actual.get(name).unwrap_or(&Value::Null);
                check_holds(actual, expected, &format!("{at}/{name}"));
            }
        }
        _ => assert_eq!(actual, expected, "{at}"),
    }
}

#[test]
fn data_of_every_released_version_answer_as_they_did() {
    let versions = fs::read_dir(formats()).expect("the formats lie beside the tests");
    let folders = versions.map(|version| version.expect("a name").path());
    let folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    assert!(!folders.is_empty(), "no version in {}", formats().display());
    folders.iter().for_each(|folder| check_version(folder));
}

fn check_version(folder: &Path) {
    let name = folder.display().to_string();
    let expected = fs::read(folder.join(EXPECTED)).expect("what it answered");
    let expected: Value = serde_json::from_slice(&expected).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let queries = expected["answers"]["queries"].as_object().expect("queries");
    let queries: Vec<&str> = queries.keys().map(String::as_str).collect();
    let store = open(&load(folder));
    check_holds(&answers(&store, &queries), &expected["answers"], &name);
    // The checkpoint that had left the archive holds, by the key that had.
    let how = VerifyOptions {
        key: Some(text(&expected["answers"]["key"]).parse().expect("a key")),
        checkpoint: Some(text(&expected["checkpoint"])),
    };
    let report = store.verify(&how, &mut |_, _| {}).expect("readable");
    assert_eq!(report.findings, [], "{name}");
    assert!(report.signer_checked.is_some());
    // It goes on where it stopped.
    let receipt = put(&store, &message(9_999, "neu"), smtp(&["x@y.example"]));
    assert_eq!(bytes(&store, receipt.number), message(9_999, "neu"));
    assert_eq!(verify(&store).findings, [], "{name}");
}

/// Run it once for a version that is about to be released: `cargo test -p store --lib this_version_is_written -- --ignored`.
#[test]
#[ignore = "writes the data of a new version into tests/formats"]
fn this_version_is_written() {
    let folder = formats().join(env!("CARGO_PKG_VERSION"));
    fs::create_dir_all(folder.join(volume::FOLDER)).expect("a folder");
    assert!(
        !folder.join(EXPECTED).exists(),
        "a released version's data stay as they are"
    );
    let disk = SimDisk::new();
    let store = open(&disk);
    live(&store);
    let checkpoint = store.checkpoint().expect("signed").note;
    let expected = json!({ "answers": answers(&store, &QUERIES), "checkpoint": checkpoint });
    drop(store);
    let volumes = disk.list(Path::new(volume::FOLDER)).expect("a folder");
    for name in GROUND.iter().map(PathBuf::from).chain(volumes) {
        let file = disk.read(&name).expect("there");
        fs::write(folder.join(&name), file).expect("written");
    }
    let expected = serde_json::to_string_pretty(&expected).expect("JSON");
    fs::write(folder.join(EXPECTED), expected + "\n").expect("written");
    check_version(&folder);
}

/// A little of everything that an office does.
fn live(store: &Store) {
    for path in files(&office()) {
        import(store, &path);
    }
    store.checkpoint().expect("signed");
    for id in 0..6 {
        let text = format!("Nachricht {id} von gestern.");
        put(
            store,
            &message(id, &text),
            smtp(&["bernd@kanzlei.example", "steuer@berater.example"]),
        );
    }
    put(
        store,
        &message(4, "Dieselbe Message-ID, ein anderer Text."),
        file("/mail/andere.eml"),
    );
    put(
        store,
        &message(5, "Nachricht 5 von gestern."),
        smtp(&["chef@kanzlei.example"]),
    );
    put(
        store,
        &with_attachment(7, 12_000),
        smtp(&["bernd@kanzlei.example"]),
    );
    put(store, &with_attachment(8, 30_000), file("/mail/gross.eml"));
    // The volume that is sealed by now is recompressed, the one that is sealed later stays as it was written.
    let recompressed = store.recompress(false, &mut |_, _| {});
    assert_eq!(recompressed.expect("recompressed").volumes, 1);
    put(
        store,
        &journal_report(&message(9, "Im Journal.")),
        smtp(&["journal@archiv.example"]),
    );
    put_large(store);
    for event in events() {
        store
            .log(1, event)
            .and_then(|pending| pending.wait())
            .expect("logged");
    }
}

fn import(store: &Store, path: &Path) {
    let name = format!("/mail/{}", path.file_name().expect("a name").display());
    let read = fs::read(path).expect("a file");
    if path.extension().is_none_or(|end| end != "mbox") {
        put(
            store,
            &read,
            Deposit {
                unwrap_journal: true,
                ..file(&name)
            },
        );
        return;
    }
    let mut reader = mail::MboxReader::new(read.as_slice());
    let mut mail = Vec::new();
    while let Some(entry) = reader.next_message(&mut mail).expect("memory can be read") {
        let key = SourceKey {
            path: name.clone(),
            offset: Some(entry.offset),
            from_line: entry.from_line,
            ..SourceKey::default()
        };
        let reception = Reception {
            source: SourceKind::Mbox,
            key,
            ..Reception::default()
        };
        put(
            store,
            &mail,
            Deposit {
                reception,
                ..file(&name)
            },
        );
        mail.clear();
    }
}

/// A message of two segments, by way of the spool.
fn put_large(store: &Store) {
    let text = "Eine Zeile von vielen, die sich wiederholt.\r\n".repeat(30_000);
    let mut writer = store.spool().writer();
    writer.write(&message(10, &text)).expect("written");
    let body = writer.finish().expect("written");
    assert!(!matches!(body, Body::Memory(_)));
    let pending = store.deposit(body, smtp(&["bernd@kanzlei.example"]));
    pending.and_then(|pending| pending.wait()).expect("stored");
}

fn events() -> [Event; 3] {
    let event = |kind, text: &str| Event {
        kind,
        text: text.to_owned(),
        ..Event::default()
    };
    [
        Event {
            count: Some(3),
            account: "chef".to_owned(),
            ..event(EventKind::Searched, "rechnung")
        },
        Event {
            before: "30".to_owned(),
            after: "50".to_owned(),
            ..event(EventKind::SettingChanged, "size")
        },
        Event {
            subjects: vec![4],
            digest: Some(Digest([7; 32])),
            ..event(EventKind::Viewed, "")
        },
    ]
}

/// Writes a batch of records behind the last one, as a newer version might have.
fn append(disk: &SimDisk, records: &[(RecordKind, &[u8])]) {
    let number = *volume::numbers(disk)
        .expect("listed")
        .last()
        .expect("a volume");
    let volume = Volume::open(disk, number, true).expect("a volume");
    let (mut at, mut batch) = (volume::HEADER_BYTES, 0);
    while let Found::Frame(frame) = volume.find_at(at).expect("readable") {
        (at, batch) = (at + frame.header.frame_bytes(), frame.header.batch);
    }
    let (mut packer, mut run) = (RecordPacker::new(), FrameRun::default());
    packer.begin(batch + 1);
    for (kind, body) in records {
        packer.record(*kind, &[body], &mut run);
    }
    packer.close(true, &mut run);
    volume.write_at(at, &run.bytes).expect("written");
    volume.sync().expect("synced");
}

/// An archive of two mails, closed, with the body of its last event, and its number of leaves.
fn closed() -> (SimDisk, Vec<u8>, u64) {
    let disk = SimDisk::new();
    let store = open(&disk);
    put(&store, &message(1, "eins"), smtp(&["x@y.example"]));
    put(&store, &message(2, "zwei"), smtp(&["x@y.example"]));
    let event = events()[0].clone();
    let number = store
        .log(1, event)
        .and_then(|pending| pending.wait())
        .expect("logged");
    let leaf = store.leaf(number).expect("there").bytes;
    drop(store);
    (disk, leaf, number)
}

/// The leaf with another number and schema.
fn renumbered(leaf: &[u8], number: u64, schema: u16) -> Vec<u8> {
    let mut leaf = leaf.to_vec();
    leaf[32..34].copy_from_slice(&schema.to_le_bytes());
    leaf[34..42].copy_from_slice(&number.to_le_bytes());
    leaf
}

#[test]
fn what_a_newer_version_may_add_is_kept_and_hashed() {
    let (disk, event, last) = closed();
    let skipped = renumbered(&event, last + 1, 2 | 1 << 15);
    // Tag 1,024 as a varint, two bytes long.
    let extended = [&renumbered(&event, last + 2, 1)[..], b"\x80\x08\x02ok"].concat();
    append(
        &disk,
        &[
            (RecordKind::Unknown(200), b"a kind of the future"),
            (RecordKind::Event, &skipped),
            (RecordKind::Event, &extended),
        ],
    );
    let store = open(&disk);
    assert_eq!(store.progress().expect("open").0, last + 2);
    for number in [last + 1, last + 2] {
        let proven = store.prove(&[number], None).expect("proven").remove(0);
        let hash = crate::batch::leaf_hash(RecordKind::Event, number, &proven.leaf.bytes);
        let keys = [store.key().clone()];
        proven
            .proof
            .verify(&hash, &store.origin(), &keys)
            .expect("it is in the signed tree");
    }
    assert_eq!(store.leaf(last + 1).expect("there").bytes, skipped);
    assert_eq!(
        store.leaf(last + 1).expect("there").leaf.body,
        LeafBody::Skipped
    );
    assert_eq!(store.leaf(last + 2).expect("there").bytes, extended);
    let LeafBody::Event(event) = store.leaf(last + 2).expect("there").leaf.body else {
        panic!("an event");
    };
    assert_eq!(*event, events()[0]);
    let (before, root) = (find(&store, ""), verify(&store).root);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert_eq!(find(&store, ""), before);
    assert_ne!(verify(&store).root, root, "the rebuilding is an event");
    assert_eq!(verify(&store).findings, []);
    let receipt = put(&store, &message(3, "drei"), smtp(&["x@y.example"]));
    assert!(receipt.number > last + 2);
}

#[test]
fn what_may_not_be_skipped_is_refused() {
    let (_, event, last) = closed();
    let leaf = renumbered(&event, last + 1, 2);
    for (kind, body) in [
        (RecordKind::Unknown(100), &b"?"[..]),
        (RecordKind::Event, &leaf),
    ] {
        let (disk, ..) = closed();
        append(&disk, &[(kind, body)]);
        let before = disk.read(Path::new(&volume::file_name(1))).expect("there");
        let refused = opened(&disk).map(drop);
        assert!(
            matches!(refused, Err(Error::TooNew { .. })),
            "{kind:?}: {refused:?}"
        );
        let after = disk.read(Path::new(&volume::file_name(1))).expect("there");
        assert_eq!(before, after, "a newer version finds it as it was");
    }
}
