//! Mail by SMTP, from swaks and from a client that sends what no mail program would; what was acknowledged comes back to the byte.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::SocketAddr;
use tests::{
    Archive, Client, Folder, Ran, assert_same, digest_of, read_samples, run, skip, with_crlf,
};

/// Messages of the corpus that are sent over this many connections at once.
const SENDERS: usize = 8;

/// 24 MiB: a message with large attachments, near the limit of most providers.
const LARGE_BYTES: usize = 24 << 20;

fn swaks(server: &str, arguments: &[&dyn AsRef<OsStr>]) -> Ran {
    let head: [&dyn AsRef<OsStr>; 6] = [
        &"--server",
        &server,
        &"--from",
        &"kate@partner.example",
        &"--helo",
        &"client.example",
    ];
    let arguments: Vec<_> = head.into_iter().chain(arguments.iter().copied()).collect();
    run("swaks", &arguments)
}

/// Gives number and digest out of what swaks printed.
#[track_caller]
fn stored(ran: Ran) -> (u64, String) {
    let text = ran.text();
    let reply = text
        .lines()
        .rfind(|line| line.contains("stored as"))
        .unwrap_or_else(|| panic!("not stored: {text}"));
    let (number, digest) = reply
        .split_once("stored as ")
        .and_then(|(_, rest)| rest.split_once(" sha256 "))
        .expect("a reply");
    (
        number.parse().expect("a number"),
        digest.split(' ').next().expect("a digest").to_owned(),
    )
}

fn has_swaks() -> bool {
    let is_there = std::process::Command::new("swaks")
        .arg("--version")
        .output()
        .is_ok();
    if !is_there {
        skip("swaks is not installed");
    }
    is_there
}

#[track_caller]
fn check_swaks(archive: &Archive, server: &str, to: &str, arguments: &[&dyn AsRef<OsStr>]) {
    let text = format!(
        "From: kate@partner.example\r\nTo: team@office.example\r\nSubject: for {to}\r\n\r\n.a line with a dot\r\nGrüße\r\n"
    );
    let data = format!("{text}\r\n");
    let to_argument = format!("{to}@office.example");
    let all: Vec<&dyn AsRef<OsStr>> =
        [&"--to" as &dyn AsRef<OsStr>, &to_argument, &"--data", &data]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
    let (number, digest) = stored(swaks(server, &all));
    let found = archive.search(&format!("to:{to_argument}"));
    assert_eq!(found.len(), 1, "{to}: {found:?}");
    assert_eq!(
        (found[0].number, &found[0].digest),
        (number, &digest),
        "{to}"
    );
    let shown = archive.show(number);
    assert_eq!(digest_of(&shown), digest, "{to}");
    assert!(
        String::from_utf8_lossy(&shown).starts_with(text.trim_end()),
        "{to}: {}",
        String::from_utf8_lossy(&shown)
    );
}

#[test]
fn swaks_sends_in_the_clear_and_under_tls() {
    if !has_swaks() {
        return;
    }
    let folder = Folder::new("swaks");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[&"--smtps", &"127.0.0.1:0"]);
    let (smtp, smtps) = (serving.said("smtp"), serving.said("smtps"));
    check_swaks(&archive, smtp, "clear", &[]);
    check_swaks(&archive, smtp, "starttls", &[&"--tls"]);
    check_swaks(&archive, smtps, "smtps", &[&"--tls-on-connect"]);
    check_swaks(
        &archive,
        smtp,
        "tls12",
        &[&"--tls", &"--tls-protocol", &"tlsv1_2"],
    );
    check_swaks(&archive, smtp, "pipelined", &[&"--pipeline"]);
    serving.stop();
    archive.verify();
}

/// Whoever installed the box's authority needs no exception, and goes on trusting the box under its next name.
#[test]
fn a_client_that_has_the_certificate_trusts_the_box() {
    if !has_swaks() {
        return;
    }
    let folder = Folder::new("swaks-trust");
    let archive = Archive::at(folder.join("data"));
    let installed = folder.join("authority.pem");
    let serving = archive.serve(&[&"--hostname", &"archive.example"]);
    std::fs::write(&installed, archive.run("certificate", &[])).expect("written");
    let trusting: &[&dyn AsRef<OsStr>] = &[&"--tls-verify", &"--tls-ca-path", &installed];
    let tls = [&[&"--tls" as &dyn AsRef<OsStr>], trusting].concat();
    check_swaks(&archive, serving.said("smtp"), "trusting", &tls);
    serving.stop();
    let serving = archive.serve(&[&"--hostname", &"other.local"]);
    check_swaks(&archive, serving.said("smtp"), "renewed", &tls);
    serving.stop();
    let stranger = Archive::at(folder.join("stranger"));
    let serving = stranger.serve(&[]);
    let refused = swaks(
        serving.said("smtp"),
        &[
            &[&"--to" as &dyn AsRef<OsStr>, &"a@b.example"],
            tls.as_slice(),
        ]
        .concat(),
    );
    assert!(
        refused.code != Some(0),
        "a box of another authority is trusted"
    );
    serving.stop();
}

#[test]
fn swaks_signs_in_only_under_tls_and_with_the_right_password() {
    if !has_swaks() {
        return;
    }
    let folder = Folder::new("swaks-auth");
    let archive = Archive::at(folder.join("data"));
    archive.serve(&[]).stop();
    archive.add_account("mailserver", "a password of words");
    let serving = archive.serve(&[&"--auth"]);
    // Beside the running server, too.
    archive.add_account("second", "another password");
    let smtp = serving.said("smtp");
    let account = |name, password| -> Vec<&'static str> {
        vec!["--auth-user", name, "--auth-password", password]
    };
    let try_account = |to: &str, more: &[&str], account: Vec<&'static str>| {
        let all: Vec<&dyn AsRef<OsStr>> = more
            .iter()
            .chain(&account)
            .map(|word| word as &dyn AsRef<OsStr>)
            .collect();
        let to = format!("{to}@office.example");
        let arguments: Vec<&dyn AsRef<OsStr>> = [&"--to" as &dyn AsRef<OsStr>, &to]
            .into_iter()
            .chain(all)
            .collect();
        swaks(smtp, &arguments)
    };
    for (to, kind, name, password) in [
        ("plain", "PLAIN", "mailserver", "a password of words"),
        ("login", "LOGIN", "second", "another password"),
    ] {
        stored(try_account(
            to,
            &["--tls", "--auth", kind],
            account(name, password),
        ));
        assert_eq!(
            archive.search(&format!("to:{to}@office.example")).len(),
            1,
            "{to}"
        );
    }
    let wrong = try_account(
        "wrong",
        &["--tls", "--auth", "PLAIN"],
        account("mailserver", "a wrong password"),
    );
    assert_ne!(wrong.code, Some(0));
    assert!(
        String::from_utf8_lossy(&wrong.stdout).contains("535"),
        "{wrong:?}"
    );
    let clear = try_account(
        "clear",
        &["--auth", "PLAIN"],
        account("mailserver", "a password of words"),
    );
    assert_ne!(
        clear.code,
        Some(0),
        "AUTH is not offered in the clear: {clear:?}"
    );
    assert_eq!(
        archive
            .search("to:wrong@office.example OR to:clear@office.example")
            .len(),
        0
    );
    serving.stop();
}

/// Bytes that do not compress, in lines.
fn noise(length_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut text = Vec::with_capacity(length_bytes + 80);
    while text.len() < length_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend(
            format!(
                "{state:016x}{:016x}\r\n",
                state.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            )
            .bytes(),
        );
    }
    text
}

#[test]
fn large_mail_is_kept_and_too_large_mail_refused() {
    let folder = Folder::new("large");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[&"--size-max", &"32"]);
    let mut large = b"From: a@x.example\r\nTo: b@x.example\r\nSubject: large\r\n\r\n".to_vec();
    large.extend(noise(LARGE_BYTES, 1));
    let mut client = serving.connect();
    let (_, by_data) = client
        .send("a@x.example", &["data@x.example"], &large)
        .expect("a reply")
        .stored();
    assert_eq!(by_data, digest_of(&large));
    large.extend(b"and more without a line end");
    let (number, by_bdat) = client
        .send_in_chunks("a@x.example", &["bdat@x.example"], &large, 1 << 20)
        .expect("a reply")
        .stored();
    assert_eq!(by_bdat, digest_of(&large));
    assert!(
        archive.show(number) == large,
        "the bytes of the large message differ"
    );
    if has_swaks() {
        let file = folder.write("large.txt", &large);
        let at_file = format!("@{}", file.display());
        stored(swaks(
            serving.said("smtp"),
            &[&"--tls", &"--to", &"swaks@x.example", &"--data", &at_file],
        ));
        assert_eq!(archive.search("to:swaks@x.example").len(), 1);
    }
    let too_large = client
        .command("MAIL FROM:<a@x.example> SIZE=33554433")
        .expect("a reply");
    assert_eq!(too_large.code, 552, "{too_large:?}");
    large.extend(noise(LARGE_BYTES, 2));
    let too_large = client
        .send("a@x.example", &["never@x.example"], &large)
        .expect("a reply");
    assert_eq!(too_large.code, 552, "{too_large:?}");
    assert_eq!(archive.search("to:never@x.example").len(), 0);
    let next = client
        .send("a@x.example", &["next@x.example"], b"Subject: next\r\n\r\n")
        .expect("a reply");
    next.stored();
    serving.stop();
    archive.verify();
}

#[test]
fn odd_line_ends_are_content() {
    let folder = Folder::new("odd");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    let mut client = serving.connect();
    let head = b"From: a@x.example\r\nSubject: odd\r\n\r\n";
    let long_line = vec![b'x'; 200_000];
    let bodies: [&[u8]; 14] = [
        b"bare LF\nin a line\r\n",
        b"bare CR\rin a line\r\n",
        b"a dot after a bare LF\n.\n still content\r\n",
        b"a dot between\n.\r\nstill content\r\n",
        b"a dot before a bare LF\r\n.\nstill content\r\n",
        b"a dot after a bare CR\r.\r\nstill content\r\n",
        b"\r\r\n.\r\r\n",
        b".\r\n..\r\n...\r\n",
        b"NUL\0in a line\r\n",
        b"8 bit \xff\xfe\x80 bytes\r\n",
        b"\n",
        b"\r\n\r\n\r\n",
        b"mail from:<attacker@x.example>\n.\nrcpt to:<victim@x.example>\ndata\r\n",
        &long_line,
    ];
    let mut sent = BTreeSet::new();
    for body in bodies {
        let mut message = [head, body].concat();
        let reply = client
            .send_in_chunks("a@x.example", &["bdat@odd.example"], &message, 7)
            .expect("a reply");
        assert_eq!(
            reply.stored().1,
            digest_of(&message),
            "by BDAT: {}",
            body.escape_ascii()
        );
        sent.insert(digest_of(&message));
        if !message.ends_with(b"\r\n") {
            message.extend(b"\r\n");
        }
        let reply = client
            .send("a@x.example", &["data@odd.example"], &message)
            .expect("a reply");
        assert_eq!(
            reply.stored().1,
            digest_of(&message),
            "by DATA: {}",
            body.escape_ascii()
        );
        sent.insert(digest_of(&message));
    }
    let empty = client
        .send("a@x.example", &["data@odd.example"], b"")
        .expect("a reply");
    assert_eq!(empty.stored().1, digest_of(b""));
    sent.insert(digest_of(b""));
    assert_same(&archive.digests("to:odd.example"), &sent);
    serving.stop();
    assert_same(&archive.export_eml(&folder.join("eml")), &sent);
    archive.verify();
}

/// Sends samples one after the other, each to an address of its own; gives digests of what was acknowledged.
fn send_all(server: SocketAddr, messages: &[(usize, Vec<u8>)]) -> Vec<(usize, String)> {
    let mut client = Client::connect(server).expect("serve takes connections");
    let mut stored = Vec::new();
    for (index, message) in messages {
        let to = format!("m{index}@sent.example");
        let reply = if index % 2 == 0 {
            client.send_in_chunks(
                "sender@x.example",
                &[&to, "all@sent.example"],
                message,
                50_000,
            )
        } else {
            client.send("", &[&to, "all@sent.example"], message)
        };
        stored.push((*index, reply.expect("a reply").stored().1));
    }
    stored
}

#[test]
fn the_corpus_by_smtp_is_found_and_exported_to_the_byte() {
    let folder = Folder::new("smtp-corpus");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    // Journal reports among them would be unwrapped; those are tested on their own.
    let samples = ["german", "torture-mime", "tnef-smime-pgp"]
        .iter()
        .flat_map(|theme| read_samples(theme));
    let mut lots: Vec<Vec<(usize, Vec<u8>)>> = vec![Vec::new(); SENDERS];
    let mut expected = Vec::new();
    for (index, sample) in samples.enumerate() {
        let mut message = sample.bytes;
        if index % 4 == 1 {
            message = with_crlf(&message);
        }
        if index % 2 == 1 && !message.is_empty() && !message.ends_with(b"\r\n") {
            // By DATA.
            message.extend(b"\r\n");
        }
        expected.push(digest_of(&message));
        lots[index % SENDERS].push((index, message));
    }
    let server = serving.smtp();
    let stored: Vec<(usize, String)> = std::thread::scope(|scope| {
        let senders: Vec<_> = lots
            .iter()
            .map(|lot| scope.spawn(|| send_all(server, lot)))
            .collect();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().expect("a sender ends well"))
            .collect()
    });
    let reports: BTreeSet<usize> = stored
        .iter()
        .filter(|(index, digest)| expected[*index] != *digest)
        .map(|(index, _)| *index)
        .collect();
    assert_eq!(
        reports,
        BTreeSet::new(),
        "the digest of the reply is another than that of what was sent"
    );
    let all: BTreeSet<String> = expected.iter().cloned().collect();
    assert_same(&archive.digests("to:all@sent.example"), &all);
    for (index, digest) in expected.iter().enumerate().step_by(97) {
        assert!(
            archive
                .digests(&format!("bcc:m{index}@sent.example"))
                .contains(digest),
            "message {index}"
        );
    }
    serving.stop();
    assert_same(&archive.export_eml(&folder.join("eml")), &all);
    archive.verify();
}
