//! The store as a whole, on the simulated disk: what goes in comes out, crashes lose nothing that was acknowledged, damage is named.

use crate::disk::{Disk, Open};
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};
use crate::frame::FramePacker;
use crate::index::{Order, Page};
use crate::survey::{Piece, RecordPiece, survey};
use crate::verify::{VerifyOptions, VerifyReport};
use crate::volume::{self, Found, Volume};
use crate::{Body, Deposit, Error, Moment, Novelty, Options, Pending, Receipt, Store};
use archive::access::OwnAddress;
use archive::query::{Query, parse};
use archive::{Asker, Envelope, Event, Reception, Recipient, SourceKey, SourceKind};
use std::path::Path;
use std::sync::Arc;

pub(crate) fn options(volume_bytes_max: u64) -> Options {
    let moment = Moment {
        at_us: 1_700_000_000_000_000,
        synchronised: true,
        uncertainty_ms: Some(10),
    };
    Options {
        clock: Arc::new(move || moment),
        boot_id: [9; 16],
        volume_bytes_max,
        index_threads: 1,
        upkeep: crate::WhenUpkeep::Never,
        follower_patience: crate::FOLLOWER_PATIENCE,
    }
}

pub(crate) fn open(disk: &SimDisk) -> Store {
    open_with(disk, 256 << 20)
}

pub(crate) fn open_with(disk: &SimDisk, volume_bytes_max: u64) -> Store {
    Store::open(
        Arc::new(disk.clone()),
        options(volume_bytes_max),
        &mut |_| {},
    )
    .expect("the archive opens")
}

pub(crate) fn smtp(recipients: &[&str]) -> Deposit {
    let recipient = |address: &&str| Recipient {
        address: (*address).to_owned(),
        parameters: vec![],
    };
    let envelope = Envelope {
        reverse_path: "chef@kanzlei.example".to_owned(),
        recipients: recipients.iter().map(recipient).collect(),
        ..Envelope::default()
    };
    let reception = Reception {
        envelope: Some(envelope),
        ..Reception::default()
    };
    Deposit {
        reception,
        unwrap_journal: true,
        actor: 2,
        prompt: true,
    }
}

pub(crate) fn file(path: &str) -> Deposit {
    let key = SourceKey {
        path: path.to_owned(),
        ..SourceKey::default()
    };
    let reception = Reception {
        source: SourceKind::EmlFile,
        key,
        ..Reception::default()
    };
    Deposit {
        reception,
        unwrap_journal: false,
        actor: 1,
        prompt: false,
    }
}

pub(crate) fn message(id: u32, text: &str) -> Vec<u8> {
    format!(
        "From: Anna <anna@kanzlei.example>\r\nTo: bernd@kanzlei.example\r\nSubject: Nachricht {id}\r\n\
         Message-ID: <{id}@kanzlei.example>\r\nDate: Mon, 3 Mar 2025 11:00:00 +0100\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

pub(crate) fn put(store: &Store, bytes: &[u8], how: Deposit) -> Receipt {
    store
        .deposit(Body::Memory(bytes.to_vec()), how)
        .and_then(|pending| pending.wait())
        .expect("stored")
}

pub(crate) fn bytes(store: &Store, number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    store
        .message(number)
        .expect("it is there")
        .write_to(&mut out)
        .expect("memory takes all");
    out
}

pub(crate) fn find(store: &Store, query: &str) -> Vec<u64> {
    find_as(store, query, &Asker::Owner)
}

fn asker(address: &str) -> Asker {
    let own = OwnAddress {
        address: address.to_owned(),
        from: None,
        until: None,
    };
    Asker::Person {
        addresses: vec![own],
    }
}

fn find_as(store: &Store, query: &str, asker: &Asker) -> Vec<u64> {
    let mut hits = search_as(store, query, asker).hits;
    hits.sort_unstable();
    hits
}

pub(crate) fn search_as(store: &Store, query: &str, asker: &Asker) -> crate::index::Found {
    let query = parse(query, 0).expect("a query").query;
    let page = Page {
        order: Order::Newest,
        offset: 0,
        limit: 100,
        behind: None,
    };
    store
        .search(&query, asker, page, false, true)
        .expect("found")
}

pub(crate) fn verify(store: &Store) -> VerifyReport {
    store.checkpoint().expect("a checkpoint");
    store
        .verify(&VerifyOptions::default(), &mut |_, _| {})
        .expect("it can be read")
}

/// Bytes that do not compress, the same for the same length.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(next).collect()
}

/// A message with an attachment of this many decoded bytes.
pub(crate) fn with_attachment(id: u32, length: usize) -> Vec<u8> {
    use base64::Engine;
    let decoded = noise(length);
    let encoded = base64::engine::general_purpose::STANDARD.encode(decoded);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    let head = String::from_utf8(message(id, "")).expect("ASCII");
    let head = head.trim_end().to_owned();
    format!(
        "{head}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\r\nAnbei die Rechnung.\r\n--b\r\n\
         Content-Type: application/pdf; name=\"rechnung.pdf\"\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        lines.join("\r\n")
    )
    .into_bytes()
}

/// A journal report in the form of Exchange around a message.
pub(crate) fn journal_report(original: &[u8]) -> Vec<u8> {
    [
        &b"X-MS-Journal-Report:\r\nFrom: anna@kanzlei.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"_r_\"\r\n\r\n\
           --_r_\r\nContent-Type: text/plain\r\n\r\nSender: anna@kanzlei.example\r\nSubject: Rechnung\r\nMessage-Id: <5@kanzlei.example>\r\n\
           To: bernd@kanzlei.example\r\nBcc: steuer@berater.example\r\nTo: chef@kanzlei.example, Expanded: alle@kanzlei.example\r\n\r\n\
           --_r_\r\nContent-Type: message/rfc822\r\n\r\n"[..],
        original,
        b"\r\n--_r_--\r\n",
    ]
    .concat()
}

#[test]
fn what_goes_in_is_found_and_comes_out() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let one = message(1, "Die Umsatzsteuervoranmeldungen liegen bei.");
    let two = with_attachment(2, 5_000);
    let first = put(
        &store,
        &one,
        smtp(&["bernd@kanzlei.example", "steuer@berater.example"]),
    );
    let second = put(&store, &two, smtp(&["bernd@kanzlei.example"]));
    assert_eq!(first.novelty, Novelty::NewMessage);
    assert_eq!(bytes(&store, first.number), one);
    assert_eq!(bytes(&store, second.number), two);
    assert_eq!(find(&store, "umsatzsteuervoranmeldungen"), [first.number]);
    assert_eq!(find(&store, "to:steuer@berater.example"), [first.number]);
    assert_eq!(
        find(&store, "filename:rechnung has:attachment"),
        [second.number]
    );
    let report = verify(&store);
    assert_eq!(report.findings, []);
    assert_eq!((report.messages, report.checkpoints), (2, 2));
}

#[test]
fn the_same_bytes_again_are_a_further_reception() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mail = message(1, "Text");
    let first = put(&store, &mail, smtp(&["bernd@kanzlei.example"]));
    assert_eq!(find(&store, "to:steuer@berater.example"), Vec::<u64>::new());
    let again = put(&store, &mail, smtp(&["steuer@berater.example"]));
    assert_eq!(
        (again.novelty, again.number),
        (Novelty::NewReception, first.number)
    );
    assert_eq!(find(&store, "to:steuer@berater.example"), [first.number]);
    assert_eq!(store.receptions(first.number).expect("there").len(), 2);

    let from_file = put(&store, &mail, file("/a.eml"));
    let from_file_again = put(&store, &mail, file("/a.eml"));
    assert_eq!(from_file.novelty, Novelty::NewReception);
    assert_eq!(
        (from_file_again.novelty, from_file_again.reception),
        (Novelty::Known, from_file.reception)
    );
    assert_eq!(store.totals().expect("totals").receptions, 3);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn many_at_once_are_one_order() {
    let disk = SimDisk::new();
    let store = Arc::new(open(&disk));
    let threads: Vec<_> = (0..8)
        .map(|thread: u32| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mail = |i: u32| {
                    message(
                        if i.is_multiple_of(5) {
                            i
                        } else {
                            thread * 1000 + i
                        },
                        "Text",
                    )
                };
                (0..40)
                    .map(|i| (mail(i), put(&store, &mail(i), smtp(&["x@y.example"]))))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let all: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("no panic"))
        .collect();
    let mut receptions: Vec<u64> = all.iter().map(|(_, receipt)| receipt.reception).collect();
    receptions.sort_unstable();
    receptions.dedup();
    assert_eq!(receptions.len(), 8 * 40);
    for (mail, receipt) in &all {
        assert_eq!(&bytes(&store, receipt.number), mail);
    }
    assert_eq!(store.totals().expect("totals").messages, 8 * 32 + 8);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn large_messages_go_through_the_spool() {
    let disk = SimDisk::new();
    let store = open(&disk);
    for (id, length) in [(1, 900_000), (2, 3_500_000), (3, 3_500_000)] {
        let mail = with_attachment(id, length);
        let mut writer = store.spool().writer();
        mail.chunks(70_001)
            .for_each(|chunk| writer.write(chunk).expect("room"));
        let body = writer.finish().expect("spooled");
        assert!(matches!(body, Body::File { .. }));
        let receipt = store
            .deposit(body, smtp(&["x@y.example"]))
            .and_then(|pending| pending.wait())
            .expect("stored");
        assert!(
            bytes(&store, receipt.number) == mail,
            "message {id} comes back to the byte"
        );
    }
    assert_eq!(find(&store, "rechnung.pdf").len(), 3);
    assert_eq!(verify(&store).findings, []);
    // Two attachments are the same bytes, and each skeleton is its own.
    assert_eq!(store.totals().expect("totals").contents, 5);
}

/// How many bytes of contents the first volume holds, each record counted.
fn stored_content_bytes(disk: &SimDisk) -> u64 {
    let mut sum = 0;
    survey(disk, 1, &mut |piece| {
        if let Piece::Record(RecordPiece::Content { bytes, .. }) = piece {
            sum += bytes.end - bytes.start;
        }
    })
    .expect("it can be read");
    sum
}

/// Puts in ten messages with the same attachment of a length, of which this many are under way at once: none knows of another's contents.
fn check_stored_once(length: usize, at_once: usize) {
    let (disk, copy) = (SimDisk::new(), SimDisk::new());
    let options = Options {
        follower_patience: std::time::Duration::from_secs(60),
        ..options(256 << 20)
    };
    let second: Arc<dyn Disk> = Arc::new(copy.clone());
    let store = Store::open_with_copy(Arc::new(disk.clone()), Some(second), options, &mut |_| {})
        .expect("the archive opens");
    while store.copy_in_step().is_none() {
        std::thread::yield_now();
    }
    let mails: Vec<_> = (0..10).map(|id| with_attachment(id, length)).collect();
    let mut kept = Vec::new();
    for mails in mails.chunks(at_once) {
        // While the copy hangs no batch ends; the event makes the committer wait.
        copy.hang();
        let event = store.log(1, Event::default()).expect("taken");
        let pending: Vec<_> = mails
            .iter()
            .map(|mail| begin_spooled(&store, mail))
            .collect();
        copy.release();
        event.wait().expect("stored");
        let stored = pending.into_iter().map(|p| p.wait().expect("stored"));
        kept.extend(stored.zip(mails));
    }
    for (receipt, mail) in kept {
        assert!(
            bytes(&store, receipt.number) == *mail,
            "{length}, {at_once}"
        );
    }
    assert_eq!(verify(&store).findings, []);
    assert_eq!(store.totals().expect("totals").contents, 11);
    drop(store);
    let stored = stored_content_bytes(&disk);
    let once = length as u64..length as u64 + 10 * 1024;
    assert!(
        once.contains(&stored),
        "{length}, {at_once}: {stored} bytes"
    );
}

fn begin_spooled(store: &Store, mail: &[u8]) -> Pending<Receipt> {
    let mut writer = store.spool().writer();
    writer.write(mail).expect("room");
    let body = writer.finish().expect("spooled");
    assert!(matches!(body, Body::File { .. }));
    let deposit = store.deposit(body, smtp(&["x@y.example"]));
    deposit.expect("taken")
}

#[test]
fn a_large_attachment_is_stored_once() {
    for at_once in [1, 3, 10] {
        // One segment; three, of which several batches are made.
        check_stored_once(900_000, at_once);
        check_stored_once(2_500_000, at_once.min(5));
    }
}

#[test]
fn a_closed_archive_opens_again() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let receipts: Vec<_> = (0..30)
        .map(|i| put(&store, &message(i, "Text"), smtp(&["x@y.example"])))
        .collect();
    let key = store.key().to_string();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.key().to_string(), key);
    for (i, receipt) in (0..).zip(&receipts) {
        assert_eq!(bytes(&store, receipt.number), message(i, "Text"));
    }
    assert_eq!(find(&store, "text").len(), 30);
    let next = put(&store, &message(99, "Text"), smtp(&["x@y.example"]));
    assert!(next.number > receipts[29].reception);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    for seed in 0..12 {
        let disk = SimDisk::new();
        let store = open_with(&disk, 9_000);
        let receipts: Vec<_> = (0..60)
            .map(|i| {
                put(
                    &store,
                    &message(i, &"Text ".repeat(100)),
                    smtp(&["x@y.example"]),
                )
            })
            .collect();
        disk.crash(if seed == 0 {
            Crash::LoseUnsynced
        } else {
            Crash::KeepSome { seed }
        });
        drop(store);
        let store = open_with(&disk, 9_000);
        for (i, receipt) in (0..).zip(&receipts) {
            assert_eq!(
                bytes(&store, receipt.number),
                message(i, &"Text ".repeat(100)),
                "seed {seed}"
            );
        }
        assert_eq!(find(&store, "text").len(), 60, "seed {seed}");
        assert_eq!(verify(&store).findings, [], "seed {seed}");
        put(&store, &message(1000, "Text"), smtp(&["x@y.example"]));
    }
}

#[test]
fn volumes_are_sealed_and_chained() {
    let disk = SimDisk::new();
    let store = open_with(&disk, 4_000);
    for i in 0..40 {
        put(
            &store,
            &message(i, &format!("{i} ").repeat(300)),
            smtp(&["x@y.example"]),
        );
    }
    let report = verify(&store);
    assert!(report.volumes > 3, "{} volumes", report.volumes);
    assert_eq!(report.findings, []);
    drop(store);
    let store = open_with(&disk, 4_000);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn rebuilding_gives_the_same_archive_and_the_same_answers() {
    let disk = SimDisk::new();
    let store = open_with(&disk, 20_000);
    for i in 0..50 {
        put(
            &store,
            &message(i, &format!("Wort{i} gemeinsam")),
            smtp(&["x@y.example"]),
        );
        put(
            &store,
            &message(i / 2, &format!("Wort{} gemeinsam", i / 2)),
            smtp(&[&format!("e{i}@y.example")]),
        );
    }
    put(&store, &with_attachment(77, 9_000), file("/a"));
    store.flush().expect("flushed");
    let answers = |store: &Store| {
        let queries = [
            "gemeinsam",
            "wort7",
            "to:e9@y.example",
            "has:attachment",
            "from:anna -wort3",
        ];
        let summary = |number: u64| store.summary(number).expect("a summary");
        queries.map(|query| {
            find(store, query)
                .into_iter()
                .map(|number| (number, summary(number)))
                .collect::<Vec<_>>()
        })
    };
    let arrivals = |store: &Store| {
        let hours = store.hours(0..u32::MAX).expect("hours");
        (store.sources().expect("sources"), hours)
    };
    let (before, totals) = (answers(&store), store.totals().expect("totals"));
    let came = arrivals(&store);
    assert_eq!(came.0.len(), 2, "by SMTP, and from a file: {came:?}");
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert_eq!(answers(&store), before);
    assert_eq!(arrivals(&store), came);
    let after = store.totals().expect("totals");
    assert_eq!(
        (after.messages, after.receptions, after.contents),
        (totals.messages, totals.receptions, totals.contents)
    );
    assert_eq!(
        after.events,
        totals.events + 1,
        "the rebuilding itself is an event"
    );
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn a_damaged_byte_is_named_and_the_rest_stays_readable() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let receipts: Vec<_> = (0..20)
        .map(|i| put(&store, &message(i, "Text"), smtp(&["x@y.example"])))
        .collect();
    verify(&store);
    drop(store);
    let name = Path::new("volumes/00000001.vol");
    let file = disk.open(name, Open::Write).expect("there");
    let at = file.len().expect("a length") / 2;
    let mut byte = [0];
    file.read_exact_at(at, &mut byte).expect("in the file");
    file.write_all_at(at, &[byte[0] ^ 0x10]).expect("written");
    let store = open(&disk);
    let report = verify(&store);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let damaged = &report.findings[0];
    assert!(damaged.offset.expect("an offset") <= at);
    let lost: Vec<u64> = receipts
        .iter()
        .map(|receipt| receipt.number)
        .filter(|n| damaged.numbers.contains(n))
        .collect();
    assert_eq!(lost.len(), 1);
    for (i, receipt) in (0..)
        .zip(&receipts)
        .filter(|(_, receipt)| receipt.number != lost[0])
    {
        assert_eq!(bytes(&store, receipt.number), message(i, "Text"));
    }
    assert!(matches!(store.message(lost[0]), Err(Error::Damaged { .. })));
    assert_eq!(find(&store, "text").len(), 20);
}

/// Takes so much room that not even an empty message fits.
fn fill_up(disk: &SimDisk) {
    let room = disk.room().expect("it lives");
    let file = disk.open(Path::new("else"), Open::Create).expect("made");
    let used = room
        .available_bytes
        .saturating_sub(room.total_bytes / 20 - 1);
    file.set_len(used).expect("room");
}

#[test]
fn a_disk_that_failed_is_known_before_mail_comes() {
    let disk = SimDisk::new();
    let store = open(&disk);
    store.takes_mail().expect("an open archive");
    let (at_step, kind) = (disk.steps() + 1, FaultKind::ErrorOnce);
    disk.set_fault(Some(Fault { at_step, kind }));
    let mail = Body::Memory(message(1, "Text"));
    let pending = store.deposit(mail, smtp(&["x@y.example"]));
    pending
        .and_then(|pending| pending.wait())
        .expect_err("the disk fails");
    assert!(matches!(store.takes_mail(), Err(Error::Latched(_))));
}

#[test]
fn a_full_disk_refuses_mail_keeps_the_log_and_recovers() {
    let disk = SimDisk::with_capacity(24 << 20);
    let store = open(&disk);
    let mut kept = Vec::new();
    let refused = (0..200).find_map(|i| {
        let mail = with_attachment(i, 200_000 + i as usize);
        match store
            .deposit(Body::Memory(mail.clone()), smtp(&["x@y.example"]))
            .and_then(|pending| pending.wait())
        {
            Ok(receipt) => {
                kept.push((receipt, mail));
                None
            }
            Err(error) => Some(error),
        }
    });
    assert!(refused.as_ref().is_some_and(Error::is_full), "{refused:?}");
    assert!(kept.len() > 10);
    fill_up(&disk);
    assert!(matches!(store.takes_mail(), Err(Error::Full { .. })));
    store
        .log(1, archive::Event::default())
        .and_then(|pending| pending.wait())
        .expect("events have their reserve");
    for (receipt, mail) in &kept {
        assert!(&bytes(&store, receipt.number) == mail);
    }
    disk.set_capacity(200 << 20);
    store.takes_mail().expect("there is room again");
    put(
        &store,
        &with_attachment(999, 200_000),
        smtp(&["x@y.example"]),
    );
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn a_checkpoint_that_left_cannot_be_rewritten_unseen() {
    let disk = SimDisk::new();
    let store = open(&disk);
    put(&store, &message(1, "Text"), smtp(&["x@y.example"]));
    let outside = store.checkpoint().expect("a checkpoint").note;
    put(&store, &message(2, "Text"), smtp(&["x@y.example"]));
    let how = VerifyOptions {
        key: Some(store.key().clone()),
        checkpoint: Some(outside.clone()),
    };
    let report = store.verify(&how, &mut |_, _| {}).expect("read");
    assert_eq!(report.findings, []);
    assert_eq!(report.signer_checked.as_deref(), Some(store.key().name()));

    let other = open(&SimDisk::new());
    put(&other, &message(1, "Text"), smtp(&["x@y.example"]));
    let how = VerifyOptions {
        key: None,
        checkpoint: Some(outside),
    };
    assert!(
        !other
            .verify(&how, &mut |_, _| {})
            .expect("read")
            .findings
            .is_empty()
    );
}

#[test]
fn proofs_hold_alone() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let numbers: Vec<u64> = (0..9)
        .map(|i| put(&store, &message(i, "Text"), smtp(&["x@y.example"])).number)
        .collect();
    for (number, proven) in numbers
        .iter()
        .zip(store.prove(&numbers, None).expect("proofs"))
    {
        let leaf = crate::batch::leaf_hash(
            crate::record::RecordKind::Message,
            *number,
            &proven.leaf.bytes,
        );
        let checkpoint = proven
            .proof
            .verify(&leaf, &store.origin(), &[store.key().clone()])
            .expect("it holds");
        assert!(checkpoint.size() >= *number);
    }
}

#[test]
fn a_journal_report_is_unwrapped_and_comes_back_to_the_byte() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let original = message(5, "Guten Tag, anbei unsere Rechnung.");
    let report = journal_report(&original);
    let receipt = put(&store, &report, smtp(&["journal@archive.example"]));
    assert_eq!(bytes(&store, receipt.number), original);
    assert_eq!(find(&store, "to:steuer@berater.example"), [receipt.number]);
    assert_eq!(find(&store, "to:chef@kanzlei.example"), [receipt.number]);
    let mut back = Vec::new();
    store
        .journal_report(receipt.reception)
        .expect("there")
        .write_to(&mut back)
        .expect("memory takes all");
    assert_eq!(back, report);

    // Without trust the report is an ordinary message, and flagged.
    let plain = put(
        &store,
        &report,
        Deposit {
            unwrap_journal: false,
            ..smtp(&["journal@archive.example"])
        },
    );
    assert_eq!(bytes(&store, plain.number), report);
    let (_, reception) = &store.receptions(plain.number).expect("there")[0];
    assert!(
        reception
            .oddities
            .contains(mail::Oddities::JOURNAL_UNTRUSTED)
    );
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn copies_are_one_result_and_keep_their_bytes() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let with_crlf = message(1, "Text");
    let with_lf: Vec<u8> = with_crlf.iter().copied().filter(|b| *b != b'\r').collect();
    let received = |by: &str| [format!("Received: by {by}\r\n").as_bytes(), &with_crlf].concat();
    let copies = [
        (&with_crlf, "bernd@kanzlei.example"),
        (&with_lf, "steuer@berater.example"),
        (&received("mx1.example"), "chef@kanzlei.example"),
        (&received("mx2.example"), "steuer@berater.example"),
    ];
    let numbers = copies.map(|(mail, to)| put(&store, mail, smtp(&[to])).number);
    let other = put(
        &store,
        &message(2, "Text"),
        smtp(&["bernd@kanzlei.example"]),
    )
    .number;
    assert_eq!(find(&store, "text"), [numbers[0], other]);
    // A further arrival makes the document of a copy anew.
    put(&store, copies[2].0, smtp(&["neu@berater.example"]));
    let check = |store: &Store| {
        assert_eq!(find(store, "text"), [numbers[0], other]);
        assert_eq!(find(store, "to:steuer@berater.example"), [numbers[1]]);
        assert_eq!(find(store, "to:neu@berater.example"), [numbers[2]]);
        assert_eq!(store.copies(other).expect("there"), [other]);
        for (number, (mail, _)) in numbers.iter().zip(&copies) {
            assert_eq!(&&bytes(store, *number), mail);
            assert_eq!(store.copies(*number).expect("there"), numbers);
        }
        let all = store.matching(&Query::Everything, &Asker::Owner);
        assert_eq!(all.expect("found").len(), 5);
        let steuer = asker("steuer@berater.example");
        assert_eq!(find_as(store, "text", &steuer), [numbers[1]]);
        let others = |asker| {
            let found = search_as(store, "text", asker);
            found.hits.into_iter().zip(found.copies).collect::<Vec<_>>()
        };
        let of_others = (other, vec![]);
        let of_all = (numbers[0], numbers[1..].to_vec());
        assert_eq!(others(&Asker::Owner), [of_others, of_all]);
        assert_eq!(others(&steuer), [(numbers[1], vec![numbers[3]])]);
    };
    check(&store);
    store.rebuild(&mut |_| {}).expect("rebuilt");
    check(&store);
    drop(store);
    check(&open(&disk));
}

/// Where the last frame of volume 1 ends, and how long its file is.
fn end_and_length(disk: &SimDisk) -> (u64, u64) {
    let volume = Volume::open(disk, 1, false).expect("a volume");
    let mut end = volume::HEADER_BYTES;
    while let Found::Frame(frame) = volume.find_at(end).expect("readable") {
        end += frame.header.frame_bytes();
    }
    (end, volume.length().expect("readable"))
}

#[test]
fn what_a_crash_leaves_in_the_room_written_ahead_is_no_mail() {
    // The archive begins with two events and a checkpoint, each a batch; three messages follow.
    let mut sound_frame = Vec::new();
    FramePacker::new().pack(b"a record", 7, true, &mut sound_frame);
    // What stands so far behind the last batch, and whether it is cut off.
    let tails: [(u64, &[u8], bool); 6] = [
        (0, b"", false),
        (0, b"\0\0\0\0", false),
        (0, b"CfFr", true),
        (5000, b"x", true),
        (0, &sound_frame[..20], true),
        (700, &sound_frame, true),
    ];
    for (behind, tail, is_cut) in tails {
        let disk = SimDisk::new();
        let store = open(&disk);
        let kept = [1, 2, 3].map(|i| put(&store, &message(i, "Text"), smtp(&["x@y.example"])));
        let (end, length) = end_and_length(&disk);
        assert!(length > end + 6000, "zeros are written ahead");
        let at_step = disk.steps() + 1;
        let kind = FaultKind::Error;
        disk.set_fault(Some(Fault { at_step, kind }));
        drop(store);
        disk.crash(Crash::LoseUnsynced);
        assert_eq!(end_and_length(&disk), (end, length), "they are durable");
        let file = disk.open(Path::new("volumes/00000001.vol"), Open::Write);
        let written = file.and_then(|file| {
            file.write_all_at(end + behind, tail)?;
            file.sync_data()
        });
        written.expect("the disk lives");
        let store = open(&disk);
        let expected = if is_cut { (end, end) } else { (end, length) };
        assert_eq!(end_and_length(&disk), expected, "{behind} {tail:?}");
        for (i, receipt) in (1..).zip(&kept) {
            assert_eq!(bytes(&store, receipt.number), message(i, "Text"));
        }
        assert_eq!(verify(&store).findings, []);
        let new = put(&store, &message(4, "neu"), smtp(&["x@y.example"]));
        assert_eq!(bytes(&store, new.number), message(4, "neu"));
        drop(store);
        let (end, length) = end_and_length(&disk);
        assert_eq!(end, length, "closing in order gives back what is left");
    }
}
