//! Exports of a real archive, read back; and zips that were tampered with in every way.

use super::*;
use crate::keeper::LocalKeeper;
use ::zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};
use archive::{Event, EventKind, Reception};
use std::fs;
use std::io::{Read, Seek};
use std::sync::Arc;
use store::checkpoint::Checkpoint;
use store::note::{Note, Signer};
use store::proof::Proof;
use store::{Body, Deposit, Moment, Options, Store};

const MESSAGES: [&[u8]; 4] = [
    b"From: a@x.example\r\nSubject: one\r\n\r\nFrom here\r\n",
    b"From: b@x.example\nSubject: two\n\nno line end",
    b"no header\0\xff\n",
    b"From: c@x.example\nSubject: three\n\n\n\n",
];

/// An archive with some messages, whose numbers are known.
struct Archive {
    keeper: LocalKeeper,
    numbers: Vec<u64>,
    folder: tempfile::TempDir,
}

impl Archive {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            clock: Arc::new(|| Moment {
                at_us: 1_740_989_702_000_000,
                ..Moment::default()
            }),
            boot_id: [7; 16],
            volume_bytes_max: store::VOLUME_BYTES_MAX,
            index_threads: 1,
            upkeep: store::WhenUpkeep::Never,
            follower_patience: store::FOLLOWER_PATIENCE,
        };
        let keeper = LocalKeeper::open(&folder.path().join("data"), options, &mut |_| ())
            .expect("a new archive");
        let deposit = || Deposit {
            reception: Reception::default(),
            unwrap_journal: false,
            actor: 1,
            prompt: true,
        };
        let number = |bytes: &&[u8]| {
            let pending = keeper
                .store()
                .deposit(Body::Memory(bytes.to_vec()), deposit())
                .expect("room");
            pending.wait().expect("an answer").number
        };
        let numbers = MESSAGES.iter().map(number).collect();
        Self {
            keeper,
            numbers,
            folder,
        }
    }

    fn store(&self) -> &Store {
        self.keeper.store()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn about(&self) -> About {
        let (origin, vkey) = (self.store().origin(), self.store().key().to_string());
        About {
            origin,
            vkey,
            query: "from:\"a\"".to_owned(),
            made_at: 1_740_989_702,
        }
    }

    fn source(&self) -> Source<'_> {
        Source {
            store: self.store(),
            numbers: self.numbers.clone(),
            damaged: None,
            tree_size: None,
        }
    }

    fn zip(&self, name: &str) -> PathBuf {
        let out = self.out(name);
        export(
            &mut self.source(),
            Format::Zip(self.about()),
            &out,
            &mut |_| (),
        )
        .expect("an export");
        out
    }
}

struct Source<'a> {
    store: &'a Store,
    numbers: Vec<u64>,
    damaged: Option<u64>,
    tree_size: Option<u64>,
}

impl ExportSource for Source<'_> {
    fn next_entries(&mut self) -> Result<Vec<Entry>, Failure> {
        let numbers: Vec<u64> = self.numbers.drain(..self.numbers.len().min(3)).collect();
        let entry = |number: u64| {
            let summary = self.store.summary(number)?;
            Ok(Entry {
                number,
                digest: summary.digest.expect("a digest").0,
                size_bytes: summary.size_bytes,
                received_at_us: summary.received_at_us,
                sent_at: summary.sent_at,
                from: summary.from,
                to: summary.to,
                subject: summary.subject,
                ..Entry::default()
            })
        };
        numbers.into_iter().map(entry).collect()
    }

    fn write_message(&mut self, number: u64, out: &mut dyn Write) -> Result<(), Failure> {
        let wrong = |error: io::Error| Failure::Later(error.to_string());
        self.store.message(number)?.write_to(out).map_err(wrong)?;
        if self.damaged == Some(number) {
            Err(Failure::Damaged("a digest does not hold".to_owned()))
        } else {
            Ok(())
        }
    }

    fn seal(&mut self, manifest: Digest, count: u64) -> Result<Seal, Failure> {
        let event = Event {
            kind: EventKind::Exported,
            digest: Some(manifest),
            count: Some(count),
            ..Event::default()
        };
        let event = self.store.log(1, event)?.wait()?;
        let checkpoint = self.store.checkpoint()?;
        self.tree_size = Some(checkpoint.tree_size);
        // The archive goes on meanwhile; what is proved stays at this checkpoint.
        self.store.log(1, Event::default())?.wait()?;
        self.store.checkpoint()?;
        Ok(Seal {
            event,
            checkpoint: checkpoint.note,
        })
    }

    fn proofs(&mut self, numbers: &[u64]) -> Result<Vec<String>, Failure> {
        Ok(self
            .store
            .prove(numbers, self.tree_size)?
            .into_iter()
            .map(|proven| proven.proof.to_string())
            .collect())
    }
}

#[test]
fn a_folder_has_the_exact_bytes() {
    let archive = Archive::new();
    let out = archive.out("folder");
    let mut told = Vec::new();
    let exported = export(&mut archive.source(), Format::Eml, &out, &mut |count| {
        told.push(count)
    });
    let bytes = MESSAGES.iter().map(|message| message.len() as u64).sum();
    assert_eq!(
        exported.expect("an export"),
        Exported {
            messages: 4,
            bytes,
            damaged: Vec::new()
        }
    );
    assert_eq!(told, [1, 2, 3, 4]);
    for (number, message) in archive.numbers.iter().zip(MESSAGES) {
        assert_eq!(
            fs::read(out.join(format!("{number}.eml"))).expect("a file"),
            message
        );
    }
    assert_eq!(fs::read_dir(&out).expect("a folder").count(), 4);
}

#[test]
fn an_mbox_is_read_back() {
    let archive = Archive::new();
    let out = archive.out("mbox");
    export(&mut archive.source(), Format::Mbox, &out, &mut |_| ()).expect("an export");
    let mbox = fs::read(&out).expect("a file");
    assert!(mbox.starts_with(b"From a@x.example Mon Mar  3 08:15:02 2025\nFrom: a@x.example\r\n"));
    let mut reader = mail::MboxReader::new(mbox.as_slice());
    let mut next = || {
        let mut read = Vec::new();
        reader
            .next_message(&mut read)
            .expect("reading from memory")
            .map(|_| read)
    };
    assert_eq!(next().as_deref(), Some(MESSAGES[0]));
    // The third has no header, so that it cannot be told from the text of the second.
    assert!(next().is_some_and(|read| read.starts_with(&[MESSAGES[1], b"\n"].concat())));
    assert_eq!(next().as_deref(), Some(MESSAGES[3]));
    assert_eq!(next(), None);
}

#[test]
fn nothing_is_overwritten() {
    let archive = Archive::new();
    for (name, format) in [("a", Format::Mbox), ("b", Format::Zip(archive.about()))] {
        let out = archive.out(name);
        fs::write(&out, "mine").expect("a file");
        let error =
            export(&mut archive.source(), format, &out, &mut |_| ()).expect_err("it is there");
        assert!(matches!(error, ExportError::Write { .. }), "{error}");
        assert_eq!(fs::read(&out).expect("a file"), b"mine");
    }
    let folder = archive.out("folder");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("1.eml"), "mine").expect("a file");
    let error = export(&mut archive.source(), Format::Eml, &folder, &mut |_| ())
        .expect_err("it is not empty");
    assert!(matches!(error, ExportError::Write { .. }), "{error}");
}

#[test]
fn damaged_messages_are_left_out_and_named() {
    let archive = Archive::new();
    let damaged = Some(archive.numbers[1]);
    let expected = vec![(archive.numbers[1], "a digest does not hold".to_owned())];
    for (name, format) in [
        ("f", Format::Eml),
        ("m", Format::Mbox),
        ("z", Format::Zip(archive.about())),
    ] {
        let (out, mut source) = (
            archive.out(name),
            Source {
                damaged,
                ..archive.source()
            },
        );
        let exported = export(&mut source, format.clone(), &out, &mut |_| ()).expect("an export");
        assert_eq!((exported.messages, &exported.damaged), (3, &expected));
        match format {
            Format::Eml => assert_eq!(fs::read_dir(&out).expect("a folder").count(), 3),
            Format::Mbox => {
                assert!(!String::from_utf8_lossy(&fs::read(&out).expect("a file")).contains("two"))
            }
            Format::Zip(_) => {
                let report = verify_export(&out, None, None).expect("a zip");
                assert_eq!((report.messages, report.damaged), (3, Vec::new()));
            }
        }
    }
}

#[test]
fn a_sound_zip_proves_itself() {
    let archive = Archive::new();
    let (zip, key) = (archive.zip("a.zip"), archive.about().vkey);
    let checkpoint = checkpoint_in(&zip);
    let report = verify_export(&zip, Some(&key), Some(&checkpoint)).expect("a zip");
    assert_eq!(report.damaged, []);
    assert_eq!(
        (report.messages, report.origin.as_str()),
        (4, archive.store().origin().as_str())
    );
    assert_eq!(
        report.signature,
        Signature::Checked(archive.store().origin())
    );
    assert_eq!(report.comparison, Some(Comparison::Same));
    assert_eq!(report.made_at, "2025-03-03T08:15:02Z");
    for (name, bytes) in files(&zip) {
        if let Some(number) = name
            .strip_prefix("messages/")
            .and_then(|name| name.strip_suffix(".eml"))
        {
            let at = archive
                .numbers
                .iter()
                .position(|known| known.to_string() == number)
                .expect("a message");
            assert_eq!(bytes, MESSAGES[at]);
        }
    }

    let report = verify_export(&zip, None, None).expect("a zip");
    assert_eq!(
        (report.damage_count, report.signature, report.comparison),
        (0, Signature::NotChecked, None)
    );

    let later = archive.store().checkpoint().expect("a checkpoint");
    let size = later.tree_size;
    let report = verify_export(&zip, Some(&key), Some(&later.note)).expect("a zip");
    assert_eq!(
        (report.damage_count, report.comparison),
        (0, Some(Comparison::NotComparableOffline { size }))
    );
}

#[test]
fn an_export_of_nothing_is_sound() {
    let archive = Archive::new();
    let (out, mut source) = (
        archive.out("none.zip"),
        Source {
            numbers: Vec::new(),
            ..archive.source()
        },
    );
    export(&mut source, Format::Zip(archive.about()), &out, &mut |_| ()).expect("an export");
    let report = verify_export(&out, Some(&archive.about().vkey), None).expect("a zip");
    assert_eq!((report.messages, report.damaged), (0, Vec::new()));
}

type Files = Vec<(String, Vec<u8>)>;

fn files(path: &Path) -> Files {
    let mut zip = ZipArchive::new(fs::File::open(path).expect("a file")).expect("a zip");
    let count = zip.len();
    let read = |at: usize| {
        let mut file = zip.by_index(at).expect("a file");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("sound bytes");
        (file.name().expect("a name").into_owned(), bytes)
    };
    (0..count).map(read).collect()
}

fn checkpoint_in(zip: &Path) -> String {
    let bytes = file(&mut files(zip), "checkpoint").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

fn write_zip(files: &Files, path: &Path) {
    let mut zip = ZipWriter::new(fs::File::create(path).expect("a file"));
    for (name, bytes) in files {
        zip.start_file(name, SimpleFileOptions::default())
            .expect("a new name");
        zip.write_all(bytes).expect("room");
    }
    zip.finish().expect("room").rewind().expect("a file");
}

fn file<'a>(files: &'a mut Files, name: &str) -> &'a mut Vec<u8> {
    &mut files
        .iter_mut()
        .find(|(known, _)| known == name)
        .expect("the file")
        .1
}

/// Tampers with a zip and demands that it is found, in one of the named files, with and without a key.
#[track_caller]
fn check(archive: &Archive, zip: &Path, blamed: &str, tamper: impl FnOnce(&mut Files)) {
    let mut files = files(zip);
    tamper(&mut files);
    let out = archive.out("tampered.zip");
    write_zip(&files, &out);
    for key in [None, Some(archive.about().vkey)] {
        let report = verify_export(&out, key.as_deref(), None).expect("a zip");
        let is_blamed = report.damaged.iter().any(|damage| damage.file == blamed);
        assert!(is_blamed, "{blamed} with key {key:?}: {:?}", report.damaged);
    }
}

#[test]
fn every_missing_file_is_found() {
    let archive = Archive::new();
    let zip = archive.zip("a.zip");
    for (name, _) in files(&zip) {
        check(&archive, &zip, &name, |files| {
            files.retain(|(known, _)| *known != name)
        });
    }
}

#[test]
fn every_changed_file_is_found() {
    let archive = Archive::new();
    let zip = archive.zip("a.zip");
    let original = files(&zip);
    for (name, bytes) in &original {
        // Every place of the small ones would take minutes.
        for at in (0..bytes.len())
            .step_by(bytes.len() / 24 + 1)
            .chain([bytes.len() - 1])
        {
            let mut files = original.clone();
            file(&mut files, name)[at] ^= 1;
            let out = archive.out("tampered.zip");
            write_zip(&files, &out);
            let report = verify_export(&out, None, None).expect("a zip");
            assert_ne!(report.damage_count, 0, "byte {at} of {name}");
        }
        check(&archive, &zip, name, |files| file(files, name).push(b'\n'));
    }
}

#[test]
fn what_was_added_swapped_or_cut_is_found() {
    let archive = Archive::new();
    let zip = archive.zip("a.zip");
    let [first, second] = [archive.numbers[0], archive.numbers[1]];
    for added in [
        "messages/90009.eml",
        "x",
        "messages/",
        "proofs/09.tlog-proof",
        "../x",
    ] {
        check(&archive, &zip, added, |files| {
            files.push((added.to_owned(), b"x".to_vec()))
        });
    }
    for (one, other) in [
        (
            format!("messages/{first}.eml"),
            format!("messages/{second}.eml"),
        ),
        (
            format!("proofs/{first}.tlog-proof"),
            format!("proofs/{second}.tlog-proof"),
        ),
        (
            format!("proofs/{first}.tlog-proof"),
            "export.tlog-proof".to_owned(),
        ),
    ] {
        check(&archive, &zip, &one, |files| {
            let kept = file(files, &one).clone();
            let moved = std::mem::replace(file(files, &other), kept);
            *file(files, &one) = moved;
        });
    }
    // A message with all that speaks of it.
    check(&archive, &zip, "manifest.json", |files| {
        files.retain(|(name, _)| {
            *name != format!("messages/{first}.eml")
                && *name != format!("proofs/{first}.tlog-proof")
        });
        let manifest = String::from_utf8(file(files, "manifest.json").clone()).expect("UTF-8");
        let line = format!("{{\"number\":{first},");
        let kept: Vec<&str> = manifest
            .lines()
            .filter(|other| !other.starts_with(&line))
            .collect();
        assert_eq!(kept.len() + 1, manifest.lines().count());
        *file(files, "manifest.json") = format!("{}\n", kept.join("\n")).into_bytes();
    });
    // A line that says twice the same.
    check(&archive, &zip, "manifest.json", |files| {
        let manifest = String::from_utf8(file(files, "manifest.json").clone()).expect("UTF-8");
        let line = manifest
            .lines()
            .find(|line| line.starts_with("{\"number\""))
            .expect("a message");
        *file(files, "manifest.json") = manifest
            .replacen(line, &format!("{line}\n{line}"), 1)
            .into_bytes();
    });
}

#[test]
fn two_files_of_one_name_are_found() {
    let archive = Archive::new();
    let zip = archive.zip("a.zip");
    let mut files = files(&zip);
    files.insert(
        0,
        (
            "messages/x.eml".to_owned(),
            b"shown by other programs".to_vec(),
        ),
    );
    let out = archive.out("tampered.zip");
    write_zip(&files, &out);
    let name = format!("messages/{}.eml", archive.numbers[0]).into_bytes();
    let mut bytes = fs::read(&out).expect("a file");
    for at in 0..bytes.len() - name.len() {
        if bytes[at..].starts_with(b"messages/x.eml") {
            bytes[at..at + name.len()].copy_from_slice(&name);
        }
    }
    fs::write(&out, bytes).expect("a file");
    let report = verify_export(&out, None, None).expect("a zip");
    assert_ne!(report.damage_count, 0);
}

/// Signs the checkpoint of an export, and the same checkpoint in its proofs, with another key of the same name.
fn resign(files: &mut Files, signer: &Signer) {
    let signed = |note: &Note| {
        let checkpoint: Checkpoint = note.unverified_text().parse().expect("a checkpoint");
        checkpoint.sign(signer)
    };
    for (name, bytes) in files {
        let text = || std::str::from_utf8(bytes).expect("UTF-8");
        if name == "checkpoint" {
            *bytes = signed(&text().parse().expect("a note"))
                .to_string()
                .into_bytes();
        } else if name.ends_with(".tlog-proof") {
            let mut proof: Proof = text().parse().expect("a proof");
            proof.checkpoint = signed(&proof.checkpoint);
            *bytes = proof.to_string().into_bytes();
        }
    }
}

#[test]
fn another_signer_is_found() {
    let archive = Archive::new();
    let zip = archive.zip("a.zip");
    let stranger = Signer::from_seed(&archive.store().origin(), &[9; 32]).expect("a name");
    check(&archive, &zip, "checkpoint", |files| {
        resign(files, &stranger)
    });
    // Also when the manifest names the stranger's key.
    check(&archive, &zip, "manifest.json", |files| {
        resign(files, &stranger);
        let manifest = String::from_utf8(file(files, "manifest.json").clone()).expect("UTF-8");
        let manifest = manifest.replace(&archive.about().vkey, &stranger.verifier().to_string());
        *file(files, "manifest.json") = manifest.into_bytes();
    });
    // An export of another archive is consistent in itself, but not signed by our key.
    let other = Archive::new();
    let other_zip = other.zip("a.zip");
    assert_eq!(
        verify_export(&other_zip, None, None)
            .expect("a zip")
            .damage_count,
        0
    );
    let report = verify_export(&other_zip, Some(&archive.about().vkey), None).expect("a zip");
    assert_eq!(
        (report.damage_count, report.signature),
        (1, Signature::NotChecked)
    );
}

#[test]
fn a_contradicting_checkpoint_is_found() {
    let archive = Archive::new();
    let zip = archive.zip("a.zip");
    let size = verify_export(&zip, None, None).expect("a zip").tree_size;
    let origin = archive.store().origin();
    let stranger = Signer::from_seed(&origin, &[9; 32]).expect("a name");
    let other = |origin: &str, size| {
        Checkpoint::new(origin, size, [1; 32])
            .expect("a name")
            .sign(&stranger)
            .to_string()
    };
    for (note, expected) in [
        (other(&origin, size), Comparison::Contradicts),
        (other("other", size + 1), Comparison::Contradicts),
        (
            other(&origin, size + 1),
            Comparison::NotComparableOffline { size: size + 1 },
        ),
    ] {
        let report = verify_export(&zip, None, Some(&note)).expect("a zip");
        assert_eq!(report.comparison, Some(expected));
        assert_eq!(
            report.damage_count != 0,
            expected == Comparison::Contradicts
        );
        let report = verify_export(&zip, Some(&archive.about().vkey), Some(&note)).expect("a zip");
        assert_ne!(report.damage_count, 0, "it is not signed by the key");
    }
}

#[test]
fn what_cannot_be_checked_is_told() {
    let archive = Archive::new();
    let (zip, none) = (archive.zip("a.zip"), archive.out("none"));
    assert!(matches!(
        verify_export(&none, None, None),
        Err(CheckError::Read { .. })
    ));
    assert!(matches!(
        verify_export(&zip, Some("key"), None),
        Err(CheckError::Key(_))
    ));
    assert!(matches!(
        verify_export(&zip, None, Some("note")),
        Err(CheckError::Checkpoint(_))
    ));
    let bytes = fs::read(&zip).expect("a file");
    for bytes in [
        &b""[..],
        b"PK\x05\x06",
        &bytes[..bytes.len() - 30],
        &[b'x'; 100_000],
    ] {
        fs::write(&none, bytes).expect("a file");
        assert!(matches!(
            verify_export(&none, None, None),
            Err(CheckError::NotAZip { .. })
        ));
    }
    // More files than are ever read, as the zip64 record at its end claims.
    let mut record = [0; 56];
    record[..4].copy_from_slice(b"PK\x06\x06");
    record[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let locator = [b"PK\x06\x07\0\0\0\0".as_slice(), &[0; 8], &[1, 0, 0, 0]].concat();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &[0xff; 12], &[0; 2]].concat();
    fs::write(&none, [record.as_slice(), &locator, &end].concat()).expect("a file");
    let error = verify_export(&none, None, None).expect_err("too many files");
    assert!(
        error.to_string().contains("18446744073709551615 files"),
        "{error}"
    );
}

/// A message that claims to be short and unpacks to a hundred megabytes is not read to its end.
#[test]
fn a_bomb_is_a_changed_file() {
    let archive = Archive::new();
    let zip = archive.zip("a.zip");
    let name = format!("messages/{}.eml", archive.numbers[0]);
    check(&archive, &zip, &name, |files| {
        *file(files, &name) = vec![0; 100 << 20]
    });
    check(&archive, &zip, "checkpoint", |files| {
        *file(files, "checkpoint") = vec![b'x'; 100 << 20]
    });
}
