//! Mail that lies in damage and comes again: once the damage is known it is stored anew, and reads whole from then on, under each of its
//! numbers and also after a rebuild.

use crate::damage_tests::{frames, spoil_frame};
use crate::digest::sha256;
use crate::faulty_disk::SimDisk;
use crate::store_tests::{
    bytes, file, find, journal_report, message, open_with, put, smtp, verify, with_attachment,
};
use crate::volume;
use crate::{Body, Deposit, Novelty, Receipt, Store};
use std::collections::BTreeSet;

/// So small that a few messages fill a volume.
const VOLUME_BYTES_MAX: u64 = 4_000;

/// A frame: volume, begin, end and batch.
type Frame = (u64, (u64, u64, u64));

fn all_frames(disk: &SimDisk) -> BTreeSet<Frame> {
    let numbers = volume::numbers(disk).expect("listed").into_iter();
    let of_volume = |number| frames(disk, number).into_iter().map(move |f| (number, f));
    numbers.flat_map(of_volume).collect()
}

/// Puts a message in by the way that one of its length takes.
fn put_any(store: &Store, mail: &[u8], how: Deposit) -> Receipt {
    let mut writer = store.spool().writer();
    writer.write(mail).expect("room");
    let body = writer.finish().expect("spooled");
    let pending = store.deposit(body, how);
    pending.and_then(|pending| pending.wait()).expect("stored")
}

fn fill(store: &Store, ids: std::ops::Range<u32>) {
    for id in ids {
        let text = format!("{id} anderes ").repeat(60);
        put(store, &message(id, &text), smtp(&["x@y.example"]));
    }
}

/// An archive with one message of which some frames do not hold, in a sealed volume.
struct Hurt {
    disk: SimDisk,
    store: Store,
    mail: Vec<u8>,
    first: Receipt,
    spoiled: Vec<Frame>,
}

/// Chooses what is spoiled of the frames of a message.
type Harm = fn(&[Frame]) -> &[Frame];

const HARMS: [(&str, Harm); 4] = [
    ("all of it", |frames| frames),
    ("its recipe", |frames| &frames[frames.len() - 1..]),
    ("its attachment", |frames| &frames[..1]),
    ("its text", |frames| match frames {
        [.., text, _] => std::slice::from_ref(text),
        all => all,
    }),
];

impl Hurt {
    fn new(mail: &[u8], how: Deposit, harm: Harm) -> Self {
        let disk = SimDisk::new();
        let store = open_with(&disk, VOLUME_BYTES_MAX);
        fill(&store, 100..104);
        let before = all_frames(&disk);
        let first = put_any(&store, mail, how);
        let own: Vec<Frame> = all_frames(&disk).difference(&before).copied().collect();
        fill(&store, 104..120);
        let spoiled = harm(&own).to_vec();
        for (number, frame) in &spoiled {
            spoil_frame(&disk, *number, *frame);
        }
        Self {
            disk,
            store,
            mail: mail.to_vec(),
            first,
            spoiled,
        }
    }

    fn is_readable(&self) -> bool {
        self.store.message(self.first.number).is_ok()
    }

    fn again(&self) -> Receipt {
        put_any(&self.store, &self.mail, smtp(&["again@y.example"]))
    }

    fn opened_again(self) -> Self {
        drop(self.store);
        Self {
            store: open_with(&self.disk, VOLUME_BYTES_MAX),
            ..self
        }
    }

    /// The message reads whole and is found, and only what was spoiled does not hold.
    fn check_restored(&self, what: &str, again: &Receipt) {
        for number in [self.first.number, again.number] {
            assert!(bytes(&self.store, number) == self.mail, "{what}: {number}");
        }
        let newest = self.store.number_of(&sha256(&self.mail)).expect("known");
        assert_eq!(newest, again.number, "{what}");
        let found = find(&self.store, "wiedergefunden");
        assert!(found.contains(&newest) || found.contains(&self.first.number));
        let findings = verify(&self.store).findings;
        assert!(!findings.is_empty(), "{what}");
        let is_spoiled = |place: &str, offset: u64| {
            let mut spoiled = self.spoiled.iter();
            spoiled.any(|(number, frame)| volume::file_name(*number) == place && frame.0 == offset)
        };
        for finding in findings {
            // A long content of which a part is lost is named without a place in its volume.
            let offset = finding.offset.unwrap_or(self.spoiled[0].1.0);
            assert!(is_spoiled(&finding.place, offset), "{what}: {finding:?}");
        }
    }

    fn check_rebuilt(&self, what: &str, again: &Receipt) {
        let before = self.store.totals().expect("sums");
        self.store.rebuild(&mut |_| {}).expect("rebuilt");
        assert!(bytes(&self.store, again.number) == self.mail, "{what}");
        let newest = self.store.number_of(&sha256(&self.mail)).expect("known");
        assert_eq!(newest, again.number, "{what}");
        assert!(find(&self.store, "wiedergefunden").contains(&newest));
        let subject = self.store.summary(newest).expect("readable").subject;
        assert_eq!(subject, "Nachricht 7", "{what}");
        let after = self.store.totals().expect("sums");
        let sums =
            |totals: &crate::Totals| (totals.messages, totals.message_bytes, totals.contents);
        assert_eq!(sums(&after), sums(&before), "{what}");
    }
}

/// A message in memory, and one that goes through the spool with several frames.
fn mails() -> [Vec<u8>; 2] {
    let small = message(7, &"wiedergefunden ".repeat(40));
    let large = with_attachment(7, 1_300_000);
    let large = String::from_utf8(large).expect("ASCII");
    [small, large.replace("Anbei", "wiedergefunden").into_bytes()]
}

#[test]
fn what_lies_in_known_damage_is_stored_anew_when_it_comes_again() {
    for (what, harm) in HARMS {
        for mail in mails() {
            for by_verify in [true, false] {
                let hurt = Hurt::new(&mail, smtp(&["x@y.example"]), harm);
                let what = format!("{what} of {} bytes, by verify: {by_verify}", mail.len());
                match by_verify {
                    true => assert!(!verify(&hurt.store).findings.is_empty(), "{what}"),
                    false => assert!(!hurt.is_readable(), "{what}"),
                }
                let again = hurt.again();
                hurt.check_restored(&what, &again);
                let further = hurt.again();
                let expected = (again.number, Novelty::NewReception);
                assert_eq!((further.number, further.novelty), expected, "{what}");
                let hurt = hurt.opened_again();
                hurt.check_restored(&what, &again);
                hurt.check_rebuilt(&what, &again);
            }
        }
    }
}

#[test]
fn damage_that_nobody_has_met_is_stored_anew_once_it_is_known() {
    let [mail, _] = mails();
    let hurt = Hurt::new(&mail, smtp(&["x@y.example"]), HARMS[0].1);
    let unaware = hurt.again();
    assert_eq!(unaware.number, hurt.first.number);
    assert!(!hurt.is_readable());
    let again = hurt.again();
    assert_eq!(again.novelty, Novelty::NewMessage);
    hurt.check_restored("after reading", &again);
}

#[test]
fn what_was_found_damaged_is_known_after_a_restart() {
    let [mail, _] = mails();
    let hurt = Hurt::new(&mail, smtp(&["x@y.example"]), HARMS[0].1);
    verify(&hurt.store);
    let hurt = hurt.opened_again();
    assert_eq!(hurt.store.known_damage().expect("open").len(), 1);
    let again = hurt.again();
    assert_eq!(again.novelty, Novelty::NewMessage);
    hurt.check_restored("after a restart", &again);
}

#[test]
fn an_import_that_runs_again_brings_back_what_was_lost() {
    for (what, harm) in HARMS {
        for mail in mails() {
            let hurt = Hurt::new(&mail, file("/a.eml"), harm);
            let import = || put_any(&hurt.store, &mail, file("/a.eml"));
            verify(&hurt.store);
            let again = import();
            assert_ne!(again.novelty, Novelty::Known, "{what}");
            hurt.check_restored(what, &again);
            assert_eq!(import().novelty, Novelty::Known, "{what}");
        }
    }
}

#[test]
fn a_rebuild_over_damage_lets_what_was_lost_come_again() {
    for (what, harm) in HARMS {
        for mail in mails() {
            let hurt = Hurt::new(&mail, file("/a.eml"), harm);
            hurt.store.rebuild(&mut |_| {}).expect("rebuilt");
            assert!(!hurt.is_readable(), "{what}");
            let again = put_any(&hurt.store, &mail, file("/a.eml"));
            assert!(bytes(&hurt.store, again.number) == mail, "{what}");
            assert!(find(&hurt.store, "wiedergefunden").contains(&again.number));
            hurt.check_rebuilt(what, &again);
        }
    }
}

#[test]
fn a_new_message_does_not_rely_on_an_attachment_that_is_lost() {
    let [_, mail] = mails();
    let hurt = Hurt::new(&mail, smtp(&["x@y.example"]), HARMS[2].1);
    assert!(!hurt.is_readable());
    // The same attachment under another text.
    let other = String::from_utf8(mail.clone()).expect("ASCII");
    let other = other.replace("wiedergefunden", "ganz anders").into_bytes();
    let receipt = put_any(&hurt.store, &other, smtp(&["x@y.example"]));
    assert!(bytes(&hurt.store, receipt.number) == other);
    assert!(bytes(&hurt.store, hurt.first.number) == mail);
}

#[test]
fn a_journal_report_gets_back_its_own_bytes() {
    let report = journal_report(&message(7, "wiedergefunden"));
    let hurt = Hurt::new(&report, smtp(&["j@y.example"]), HARMS[0].1);
    assert!(hurt.store.journal_report(hurt.first.reception).is_err());
    let again = hurt.again();
    let given = |receipt: &Receipt| {
        let body = hurt.store.journal_report(receipt.reception);
        let mut out = Vec::new();
        body.map(|body: Body| body.write_to(&mut out).expect("memory"))
            .map(|()| out)
    };
    assert!(given(&again).expect("whole") == report);
    assert_eq!(
        bytes(&hurt.store, again.number),
        message(7, "wiedergefunden")
    );
}
