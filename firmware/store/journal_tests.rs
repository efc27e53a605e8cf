//! The cases of journaling that every archive meets, each from report to answer: what is one message, who finds it, what is flagged.
//!
//! Reading a report is tested in the `mail` room; a large original, a signature on an exported message and SIGKILL in `tests/`.

use crate::faulty_disk::SimDisk;
use crate::store_tests::{bytes, find, open, put, smtp, verify};
use crate::{Deposit, Novelty, Receipt, Store};
use archive::Reception;
use mail::Oddities;

const ORIGINAL: &str = "Received: from mx.lieferant.example by mail.kanzlei.example; Mon, 3 Mar 2025 08:15:00 +0000\r\n\
    From: Lieferant GmbH <rechnung@lieferant.example>\r\nTo: buero@kanzlei.example, alle@kanzlei.example\r\n\
    Subject: Rechnung 4711\r\nMessage-ID: <r4711@lieferant.example>\r\nDate: Mon, 3 Mar 2025 09:14:58 +0100\r\n\r\n\
    Guten Tag, anbei unsere Rechnung.\r\n";

/// A journal report around an original.
struct Report<'a> {
    envelope: String,
    envelope_encoding: &'a str,
    original: &'a [u8],
    closed: bool,
}

impl<'a> Report<'a> {
    fn new(recipients: &[&str], original: &'a [u8]) -> Self {
        let recipients: String = recipients
            .iter()
            .map(|line| format!("Recipient: {line}\r\n"))
            .collect();
        let head = "Sender: rechnung@lieferant.example\r\nSubject: Rechnung 4711\r\nMessage-Id: <r4711@lieferant.example>\r\n";
        Self {
            envelope: format!("{head}{recipients}\r\n"),
            envelope_encoding: "7bit",
            original,
            closed: true,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let head = "X-MS-Journal-Report:\r\nFrom: rechnung@lieferant.example\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=\"_report_\"\r\n\r\n--_report_\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n\
            Content-Transfer-Encoding: ";
        let mut out = head.as_bytes().to_vec();
        out.extend_from_slice(self.envelope_encoding.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(self.envelope.as_bytes());
        out.extend_from_slice(b"--_report_\r\nContent-Type: message/rfc822\r\n\r\n");
        out.extend_from_slice(self.original);
        if self.closed {
            out.extend_from_slice(b"\r\n--_report_--\r\n");
        }
        out
    }
}

fn journal(store: &Store, report: &[u8]) -> Receipt {
    put(store, report, smtp(&["journal@archive.example"]))
}

fn reception(store: &Store, receipt: &Receipt) -> Reception {
    let all = store.receptions(receipt.number).expect("it has receptions");
    all.into_iter()
        .find(|(number, _)| *number == receipt.reception)
        .expect("its own among them")
        .1
}

/// The report must come back to the byte, and the archive must hold.
fn report_comes_back(store: &Store, receipt: &Receipt, report: &[u8]) {
    let mut back = Vec::new();
    store
        .journal_report(receipt.reception)
        .expect("there")
        .write_to(&mut back)
        .expect("memory takes all");
    assert!(back == report, "the report comes back to the byte");
}

#[test]
fn case_1_the_same_report_twice_is_one_message_and_two_receptions() {
    let store = open(&SimDisk::new());
    let report = Report::new(&["buero@kanzlei.example"], ORIGINAL.as_bytes()).bytes();
    let (first, second) = (journal(&store, &report), journal(&store, &report));
    assert_eq!(
        (second.number, second.novelty),
        (first.number, Novelty::NewReception)
    );
    assert_eq!(store.receptions(first.number).expect("there").len(), 2);
    report_comes_back(&store, &second, &report);
    assert_eq!(verify(&store).findings, []);
}

#[test]
fn case_2_reports_with_disjoint_recipients_unite_them() {
    let store = open(&SimDisk::new());
    let one = journal(
        &store,
        &Report::new(&["chef@kanzlei.example"], ORIGINAL.as_bytes()).bytes(),
    );
    assert!(find(&store, "to:meier@kanzlei.example").is_empty());
    let two = journal(
        &store,
        &Report::new(&["meier@kanzlei.example"], ORIGINAL.as_bytes()).bytes(),
    );
    assert_eq!(one.number, two.number);
    assert_eq!(find(&store, "to:chef@kanzlei.example"), [one.number]);
    assert_eq!(find(&store, "to:meier@kanzlei.example"), [one.number]);
}

#[test]
fn case_3_the_same_message_id_with_another_body_is_another_message_and_linked() {
    let store = open(&SimDisk::new());
    let other = ORIGINAL.replace("anbei", "anbei korrigiert");
    let one = journal(
        &store,
        &Report::new(&["buero@kanzlei.example"], ORIGINAL.as_bytes()).bytes(),
    );
    let two = journal(
        &store,
        &Report::new(&["buero@kanzlei.example"], other.as_bytes()).bytes(),
    );
    assert_ne!(one.number, two.number);
    assert_eq!(find(&store, "rechnung"), [one.number, two.number]);
    assert_eq!(store.linked(one.number).expect("there"), [two.number]);
    assert_eq!(store.linked(two.number).expect("there"), [one.number]);
}

#[test]
fn case_4_an_original_without_a_message_id_is_kept_each_for_itself() {
    let store = open(&SimDisk::new());
    let without = |text: &str| format!("From: a@x.example\r\nSubject: ohne\r\n\r\n{text}\r\n");
    let (one, two) = (without("eins"), without("zwei"));
    let one = journal(
        &store,
        &Report::new(&["buero@kanzlei.example"], one.as_bytes()).bytes(),
    );
    let two = journal(
        &store,
        &Report::new(&["buero@kanzlei.example"], two.as_bytes()).bytes(),
    );
    assert_eq!(find(&store, "subject:ohne"), [one.number, two.number]);
    assert!(store.linked(one.number).expect("there").is_empty());
    assert!(
        store
            .summary(one.number)
            .expect("there")
            .oddities
            .contains(Oddities::NO_MESSAGE_ID)
    );
}

#[test]
fn case_5_five_hundred_recipients_all_find_the_message() {
    let store = open(&SimDisk::new());
    let recipients: Vec<String> = (0..500)
        .map(|i| format!("person{i}@kanzlei.example"))
        .collect();
    let lines: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let receipt = journal(&store, &Report::new(&lines, ORIGINAL.as_bytes()).bytes());
    for recipient in recipients.iter().step_by(83).chain(recipients.last()) {
        assert_eq!(
            find(&store, &format!("to:{recipient}")),
            [receipt.number],
            "{recipient}"
        );
    }
    let journal = reception(&store, &receipt)
        .journal
        .expect("it came in a report");
    assert_eq!(journal.envelope.recipients.len(), 500);
}

#[test]
fn case_6_a_forged_header_from_an_untrusted_peer_is_plain_mail_and_flagged() {
    let store = open(&SimDisk::new());
    let report = Report::new(&["buero@kanzlei.example"], ORIGINAL.as_bytes()).bytes();
    let receipt = put(
        &store,
        &report,
        Deposit {
            unwrap_journal: false,
            ..smtp(&["buero@kanzlei.example"])
        },
    );
    assert!(bytes(&store, receipt.number) == report);
    assert!(
        reception(&store, &receipt)
            .oddities
            .contains(Oddities::JOURNAL_UNTRUSTED)
    );
}

#[test]
fn case_7_a_quoted_printable_envelope_with_soft_breaks_is_joined() {
    let store = open(&SimDisk::new());
    let mut report = Report::new(
        &["sehr.langer.name=\r\n@kanzlei.example"],
        ORIGINAL.as_bytes(),
    );
    report.envelope_encoding = "quoted-printable";
    let receipt = journal(&store, &report.bytes());
    assert_eq!(
        find(&store, "to:sehr.langer.name@kanzlei.example"),
        [receipt.number]
    );
}

#[test]
fn case_8_line_ends_and_boundary_text_inside_stay_exact() {
    let store = open(&SimDisk::new());
    let inside =
        "From: a@x.example\nSubject: LF\n\nText\n--_report\n --_report_\n--_report_x\nEnde\n";
    let report = Report::new(&["buero@kanzlei.example"], inside.as_bytes()).bytes();
    let receipt = journal(&store, &report);
    assert_eq!(bytes(&store, receipt.number), inside.as_bytes());
    report_comes_back(&store, &receipt, &report);
}

#[test]
fn case_9_a_forwarded_report_inside_is_unwrapped_one_level_only() {
    let store = open(&SimDisk::new());
    let inner = Report::new(&["innen@kanzlei.example"], ORIGINAL.as_bytes()).bytes();
    let inner = String::from_utf8(inner)
        .expect("ASCII")
        .replace("_report_", "_inner_")
        .into_bytes();
    let receipt = journal(
        &store,
        &Report::new(&["aussen@kanzlei.example"], &inner).bytes(),
    );
    assert!(bytes(&store, receipt.number) == inner);
    assert_eq!(find(&store, "to:aussen@kanzlei.example"), [receipt.number]);
}

#[test]
fn case_10_a_report_in_an_unknown_layout_is_kept_and_flagged() {
    let store = open(&SimDisk::new());
    let odd = b"X-MS-Journal-Report:\r\nFrom: a@x.example\r\nSubject: seltsam\r\n\r\nNo parts at all, Recipient: x\r\n";
    let receipt = journal(&store, odd);
    assert_eq!(bytes(&store, receipt.number), odd);
    assert!(
        reception(&store, &receipt)
            .oddities
            .contains(Oddities::JOURNAL_UNPARSED)
    );
    assert_eq!(find(&store, "subject:seltsam"), [receipt.number]);
}

#[test]
fn case_11_a_bounced_report_is_unwrapped() {
    let store = open(&SimDisk::new());
    let report = Report::new(&["buero@kanzlei.example"], ORIGINAL.as_bytes()).bytes();
    let head = "From: postmaster@kanzlei.example\r\nSubject: Undeliverable\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; \
        report-type=delivery-status; boundary=\"_ndr_\"\r\n\r\n--_ndr_\r\nContent-Type: text/plain\r\n\r\nNicht zugestellt.\r\n\
        --_ndr_\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n\r\n--_ndr_\r\nContent-Type: message/rfc822\r\n\r\n";
    let bounce = [head.as_bytes(), &report, b"\r\n--_ndr_--\r\n"].concat();
    let receipt = journal(&store, &bounce);
    assert_eq!(bytes(&store, receipt.number), ORIGINAL.as_bytes());
    assert_eq!(find(&store, "to:buero@kanzlei.example"), [receipt.number]);
    report_comes_back(&store, &receipt, &bounce);
}

#[test]
fn case_12_a_report_without_its_end_is_kept_and_flagged() {
    let store = open(&SimDisk::new());
    let mut report = Report::new(
        &["buero@kanzlei.example"],
        &ORIGINAL.as_bytes()[..ORIGINAL.len() - 9],
    );
    report.closed = false;
    let bytes_in = report.bytes();
    let receipt = journal(&store, &bytes_in);
    assert_eq!(bytes(&store, receipt.number), report.original);
    assert!(
        reception(&store, &receipt)
            .oddities
            .contains(Oddities::JOURNAL_TRUNCATED)
    );
    report_comes_back(&store, &receipt, &bytes_in);
}

#[test]
fn case_13_international_and_encapsulated_addresses_are_kept_as_given() {
    let store = open(&SimDisk::new());
    let given = [
        "jörg@büro.example",
        "IMCEAEX-_O=KANZLEI_OU=X_CN=MEIER@kanzlei.example",
    ];
    let receipt = journal(&store, &Report::new(&given, ORIGINAL.as_bytes()).bytes());
    let journal = reception(&store, &receipt)
        .journal
        .expect("it came in a report");
    let kept: Vec<&str> = journal
        .envelope
        .recipients
        .iter()
        .map(|recipient| recipient.address.as_str())
        .collect();
    assert_eq!(kept, given);
    assert_eq!(find(&store, "to:jörg@büro.example"), [receipt.number]);
}

#[test]
fn case_14_a_null_or_missing_sender_is_stored() {
    let store = open(&SimDisk::new());
    for sender in ["Sender: <>\r\n", ""] {
        let mut report = Report::new(&["buero@kanzlei.example"], ORIGINAL.as_bytes());
        report.envelope = report
            .envelope
            .replace("Sender: rechnung@lieferant.example\r\n", sender);
        let bytes_in = report.bytes();
        let receipt = journal(&store, &bytes_in);
        assert_eq!(bytes(&store, receipt.number), ORIGINAL.as_bytes());
        report_comes_back(&store, &receipt, &bytes_in);
    }
}

#[test]
fn case_15_a_signed_original_stays_exact_whatever_its_form() {
    let store = open(&SimDisk::new());
    let signed = "From: a@x.example\r\nSubject: signiert\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; micalg=sha-256;\r\n\t\
        protocol=\"application/pkcs7-signature\"; boundary=\"s\"\r\n\r\n--s\r\nContent-Type: text/plain \r\n\r\nText mit Rand   \r\n\r\n\
        --s\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let signature =
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxW5yqBnnMbXQzlMsv0Cg\r\n".repeat(40);
    let signed = format!("{signed}{signature}--s--\r\n");
    let receipt = journal(
        &store,
        &Report::new(&["buero@kanzlei.example"], signed.as_bytes()).bytes(),
    );
    assert!(bytes(&store, receipt.number) == signed.as_bytes());
}

#[test]
fn case_17_copies_that_differ_in_trace_fields_are_kept_apart_and_belong_together() {
    let store = open(&SimDisk::new());
    let copy =
        |to: &str| format!("Delivered-To: {to}\r\nReceived: by mx.example for {to}\r\n{ORIGINAL}");
    let numbers = [
        "a@kanzlei.example",
        "b@kanzlei.example",
        "c@kanzlei.example",
    ]
    .map(|to| {
        let copy = copy(to);
        let receipt = put(&store, copy.as_bytes(), smtp(&[to]));
        assert_eq!(bytes(&store, receipt.number), copy.as_bytes());
        receipt.number
    });
    for number in numbers {
        assert_eq!(store.copies(number).expect("there"), numbers);
    }
    for to in [
        "a@kanzlei.example",
        "b@kanzlei.example",
        "c@kanzlei.example",
    ] {
        assert_eq!(find(&store, &format!("to:{to}")).len(), 1, "{to}");
    }
}
