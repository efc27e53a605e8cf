//! Imports into a real archive on a real disk, and into one that fails on purpose.

use super::*;
use crate::keeper::messages::{Entry, Request, Response};
use crate::keeper::{Answer, Watch};
use archive::{Event, Reception, SourceKind};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use store::disk::RealDisk;
use store::{Body, Deposit, Moment, Options, Spool, Store};

/// An archive that takes only so many messages.
struct TestKeeper {
    store: Store,
    left: AtomicUsize,
    _folder: tempfile::TempDir,
}

impl TestKeeper {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            clock: Arc::new(Moment::default),
            boot_id: [7; 16],
            volume_bytes_max: store::VOLUME_BYTES_MAX,
            index_threads: 1,
            upkeep: store::WhenUpkeep::Never,
            follower_patience: store::FOLLOWER_PATIENCE,
        };
        let disk = Arc::new(RealDisk::new(folder.path()));
        let store = Store::open(disk, options, &mut |_| ()).expect("a new archive");
        Self {
            store,
            left: AtomicUsize::new(usize::MAX),
            _folder: folder,
        }
    }

    fn bytes(&self, number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.store
            .message(number)
            .expect("a message")
            .write_to(&mut bytes)
            .expect("into memory");
        bytes
    }

    /// All messages with the receptions of each, in the order of their numbers.
    fn all(&self) -> Vec<(Vec<u8>, Vec<Reception>)> {
        let leaves = self.store.progress().expect("an open archive").0;
        let is_message = |number: &u64| {
            let leaf = self.store.leaf(*number).expect("a leaf");
            matches!(leaf.leaf.body, store::LeafBody::Message(_))
        };
        let receptions = |number| {
            let all = self.store.receptions(number).expect("receptions");
            all.into_iter().map(|(_, reception)| reception).collect()
        };
        (1..=leaves)
            .filter(is_message)
            .map(|number| (self.bytes(number), receptions(number)))
            .collect()
    }
}

impl Keeper for TestKeeper {
    fn spool(&self) -> &Spool {
        self.store.spool()
    }

    fn deposit(&self, body: Body, deposit: Deposit) -> Result<Answer<Receipt>, Failure> {
        assert_eq!((deposit.actor, deposit.prompt), (1, false));
        let take_one = |left: usize| left.checked_sub(1);
        if self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one)
            .is_err()
        {
            return Err(Failure::Full("the disk is full".to_owned()));
        }
        let pending = self
            .store
            .deposit(body, deposit)
            .map_err(|error| Failure::Later(error.to_string()))?;
        Ok(Answer::new(|| {
            pending
                .wait()
                .map_err(|error| Failure::Later(error.to_string()))
        }))
    }

    fn sign_in(&self, _: &str, _: &str) -> Result<bool, Failure> {
        unreachable!("an import signs nobody in")
    }

    fn log(&self, _: u64, _: Event) -> Result<u64, Failure> {
        unreachable!("whoever runs the import logs it")
    }

    fn ask(&self, request: Request, _: Watch) -> Result<Response, Failure> {
        let Request::Entries(numbers) = request else {
            unreachable!("an import asks nothing else")
        };
        let entry = |number| {
            let summary = self.store.summary(number)?;
            let oddities = summary.oddities.names().map(str::to_owned).collect();
            Ok(Entry {
                number,
                oddities,
                ..Entry::default()
            })
        };
        numbers
            .into_iter()
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Response::Entries)
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Notes {
    progress: Vec<Progress>,
    odd: Vec<Odd>,
}

impl Watcher for Notes {
    fn progress(&mut self, progress: &Progress) {
        self.progress.push(*progress);
    }

    fn odd(&mut self, odd: &Odd) {
        self.odd.push(odd.clone());
    }
}

fn message(name: &str) -> String {
    format!(
        "From: a@x.example\nTo: b@x.example\nDate: Mon, 3 Mar 2025 08:15:02 +0000\nMessage-ID: <{name}@x.example>\n\n{name}\n"
    )
}

/// A folder with one of everything.
fn input() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let from = "From c@x.example Mon Mar  3 08:15:02 2025\n";
    let mbox = format!(
        "{from}{}\n{from}\n{from}{}>From here\n\n",
        message("mbox 1"),
        message("mbox 2")
    );
    for (name, bytes) in [
        ("1.eml", message("eml")),
        ("2.EML", "no header at all".to_owned()),
        ("3", message("without a name")),
        ("4.txt", "not a mail".to_owned()),
        ("5.eml", String::new()),
        ("6.mbox", mbox),
        (
            "7.eml",
            format!(
                "{}{}",
                message("large"),
                "0123456789 abcdefgh\n".repeat(200_000)
            ),
        ),
        ("m/cur/1741000000.M1P2.host:2,FS", message("read")),
        ("m/new/1741000001.M1P2.host", message("unread")),
        ("m/tmp/1741000002.M1P2.host", message("unfinished")),
        ("m/dovecot-uidlist", "3 V1".to_owned()),
        ("m/.Sub/cur/x", message("eml")),
        ("m/.Sub/new/y", "just words".to_owned()),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    folder
}

fn import(folder: &Path) -> Import {
    Import {
        paths: vec![folder.to_owned()],
        ..Import::default()
    }
}

fn odd_lines(odd: &[Odd], folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().expect("a folder");
    odd.iter()
        .map(|odd| {
            odd.to_string()
                .replace(&format!("{}/", folder.display()), "")
        })
        .collect()
}

const ODD: [&str; 5] = [
    "2.EML: no-header, no-date, unreadable",
    "4.txt: not imported: not a mail: no header of a mail at its beginning",
    "5.eml: not imported: an empty file",
    "6.mbox at byte 153: not imported: an empty message",
    "m/.Sub/new/y: no-header, no-date, unreadable",
];

#[test]
fn everything_is_kept_as_it_is_and_once() {
    let (folder, keeper, mut notes) = (input(), TestKeeper::new(), Notes::default());
    let report = import(folder.path())
        .run(&keeper, &mut notes)
        .expect("an import");
    assert_eq!(odd_lines(&report.odd, folder.path()), ODD);
    assert_eq!(notes.odd, report.odd);
    assert_eq!(
        (
            report.messages,
            report.new_messages,
            report.new_receptions,
            report.known
        ),
        (10, 9, 1, 0)
    );
    assert_eq!(
        (report.files, report.odd_count, report.left_out),
        (12, 5, 3)
    );
    let last = notes.progress.last().expect("the end is told");
    assert_eq!(
        (last.bytes_done, last.bytes_total, last.messages, last.odd),
        (report.bytes, report.bytes, 10, 5)
    );

    let kept = keeper.all();
    assert_eq!(kept.len(), 9);
    for name in ["1.eml", "2.EML", "3", "7.eml", "m/.Sub/new/y"] {
        let bytes = fs::read(folder.path().join(name)).expect("a file");
        assert!(kept.iter().any(|(kept, _)| *kept == bytes), "{name}");
    }

    let again = import(folder.path())
        .run(&keeper, &mut Notes::default())
        .expect("an import");
    assert_eq!(
        (again.messages, again.known, again.odd),
        (10, 10, report.odd)
    );
    assert_eq!(keeper.all(), kept);
}

#[test]
fn receptions_tell_where_mail_came_from() {
    let (folder, keeper) = (input(), TestKeeper::new());
    import(folder.path())
        .run(&keeper, &mut Notes::default())
        .expect("an import");
    let path = |name: &str| {
        folder
            .path()
            .canonicalize()
            .expect("a folder")
            .join(name)
            .display()
            .to_string()
    };
    let kept = keeper.all();
    let receptions = |bytes: &str| {
        let (_, receptions) = kept
            .iter()
            .find(|(kept, _)| kept == bytes.as_bytes())
            .expect("it was kept");
        receptions.clone()
    };
    let twice = receptions(&message("eml"));
    let mut sources: Vec<_> = twice
        .iter()
        .map(|reception| (reception.source, reception.key.path.clone()))
        .collect();
    sources.sort_by_key(|(_, path)| path.clone());
    assert_eq!(
        sources,
        [
            (SourceKind::EmlFile, path("1.eml")),
            (SourceKind::Maildir, path("m/.Sub/cur/x"))
        ]
    );
    assert_eq!(
        receptions(&message("without a name"))[0].source,
        SourceKind::EmlFile
    );

    let read = &receptions(&message("read"))[0];
    assert_eq!(
        (read.source, &read.key.path),
        (
            SourceKind::Maildir,
            &path("m/cur/1741000000.M1P2.host:2,FS")
        )
    );
    assert_eq!(
        (read.key.internal_date, read.key.flags.join("")),
        (Some(1_741_000_000), "FS".to_owned())
    );

    let second = &receptions(&format!("{}From here\n", message("mbox 2")))[0];
    assert_eq!(
        (second.source, &second.key.path),
        (SourceKind::Mbox, &path("6.mbox"))
    );
    let from = "From c@x.example Mon Mar  3 08:15:02 2025";
    let offset = from.len() + 1 + message("mbox 1").len() + 1 + from.len() + 2;
    assert_eq!(
        (second.key.offset, second.key.internal_date),
        (Some(offset as u64), Some(1_740_989_702))
    );
    assert_eq!(second.key.from_line, from.as_bytes());
}

#[test]
fn a_dry_run_finds_the_same_and_keeps_nothing() {
    let (folder, keeper) = (input(), TestKeeper::new());
    let dry = Import {
        dry_run: true,
        ..import(folder.path())
    };
    keeper.left.store(0, Ordering::Relaxed);
    let report = dry.run(&keeper, &mut Notes::default()).expect("a dry run");
    assert_eq!(odd_lines(&report.odd, folder.path()), ODD);
    assert_eq!(
        (report.messages, report.new_messages, report.known),
        (10, 0, 0)
    );
}

#[test]
fn a_full_archive_stops_the_import_which_goes_on_later() {
    let (folder, keeper) = (input(), TestKeeper::new());
    keeper.left.store(3, Ordering::Relaxed);
    let error = import(folder.path())
        .run(&keeper, &mut Notes::default())
        .expect_err("a full archive");
    let ImportError::Keeper { report, source } = &error else {
        panic!("{error}")
    };
    assert_eq!(*source, Failure::Full("the disk is full".to_owned()));
    assert_eq!(report.messages, 3);
    assert!(
        error
            .to_string()
            .starts_with("the import stopped after: 3 messages read, 3 new"),
        "{error}"
    );
    assert_eq!(keeper.all().len(), 3);

    keeper.left.store(usize::MAX, Ordering::Relaxed);
    let report = import(folder.path())
        .run(&keeper, &mut Notes::default())
        .expect("an import");
    assert_eq!(
        (report.known, report.new_messages + report.new_receptions),
        (3, 7)
    );
    assert_eq!(keeper.all().len(), 9);
}

#[test]
fn a_path_that_is_not_there_is_told_before_anything_is_done() {
    let (folder, keeper) = (input(), TestKeeper::new());
    let paths = vec![folder.path().to_owned(), folder.path().join("nothing")];
    let error = Import {
        paths,
        ..Import::default()
    }
    .run(&keeper, &mut Notes::default())
    .expect_err("no such path");
    assert!(matches!(error, ImportError::Path { .. }), "{error}");
    assert_eq!(keeper.all().len(), 0);
}

#[test]
fn journal_reports_are_unwrapped_only_when_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let original = message("original");
    let report = format!(
        "X-MS-Journal-Report:\n{}Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSender: a@x.example\n\
         Message-ID: <1@x.example>\nRecipient: b@x.example\n\n--b\nContent-Type: message/rfc822\n\n{original}\n--b--\n",
        &message("r")[..message("r").len() - 3]
    );
    fs::write(folder.path().join("r.eml"), &report).expect("a file");
    for (unwrap_journal, expected, odd) in [(false, &report, 1), (true, &original, 0)] {
        let keeper = TestKeeper::new();
        let import = Import {
            unwrap_journal,
            ..import(folder.path())
        };
        let report = import
            .run(&keeper, &mut Notes::default())
            .expect("an import");
        assert_eq!(report.odd_count, odd, "{:?}", report.odd);
        let kept = keeper.all();
        assert_eq!(String::from_utf8_lossy(&kept[0].0), *expected);
        assert_eq!(kept[0].1[0].journal.is_some(), unwrap_journal);
    }
}

/// More messages than the window holds, from many threads: nothing is lost, and the odd ones come in order.
#[test]
fn many_messages_pass_through_the_window() {
    let (folder, keeper) = (tempfile::tempdir().expect("a folder"), TestKeeper::new());
    let count = window::WINDOW_MESSAGES_MAX + 500;
    let from = "From c@x.example Mon Mar  3 08:15:02 2025\n";
    let entry = |n: usize| {
        let nul = if n.is_multiple_of(100) { "\0" } else { "" };
        format!("{from}{}{nul}\n\n", message(&n.to_string()))
    };
    fs::write(
        folder.path().join("mbox"),
        (0..count).map(entry).collect::<String>(),
    )
    .expect("a file");
    let report = import(folder.path())
        .run(&keeper, &mut Notes::default())
        .expect("an import");
    assert_eq!(
        (report.new_messages, report.messages),
        (count as u64, count as u64)
    );
    assert_eq!(report.odd.len(), count.div_ceil(100));
    assert!(report.odd.is_sorted_by_key(|odd| odd.offset));
    assert_eq!(
        keeper.store.totals().expect("an open archive").messages,
        count as u64
    );
}

#[test]
fn a_pipe_gives_its_messages_as_they_come() {
    let from = "From c@x.example Mon Mar  3 08:15:02 2025\n";
    let many: String = (0..1500)
        .map(|i| format!("{from}{}\n", message(&format!("mbox {i}"))))
        .collect();
    let large = format!("{}{}", message("large"), "0123456789\n".repeat(200_000));
    for (bytes, count) in [(many, 1500), (large, 1), (String::new(), 0)] {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let (keeper, mut notes) = (TestKeeper::new(), Notes::default());
        let report = thread::scope(|scope| {
            scope.spawn(|| fs::write(&pipe, &bytes).expect("somebody reads"));
            import(&pipe).run(&keeper, &mut notes).expect("imported")
        });
        assert_eq!(
            (report.files, report.messages, report.new_messages),
            (1, count, count)
        );
        assert_eq!(report.left_out, u64::from(count == 0));
        // The end of an mbox behind its last message is not counted.
        let uncounted = bytes.len() as u64 - report.bytes;
        assert!(uncounted < 100, "{uncounted} bytes");
        let path = pipe.display().to_string();
        for (_, receptions) in keeper.all() {
            assert_eq!(receptions[0].key.path, path);
        }
    }
}
