//! A real Postfix in front: copies by `always_bcc`, and the journal-style setup that prepends the envelope to the header.
//!
//! Each test has a Postfix of its own, with configuration, queue and logs in the test's folder; it listens on a free port of the loopback
//! interface and knows no other way out than into Coffer.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use tests::{
    Archive, Client, Folder, Page, SelfSigned, Serving, is_root, office, read_samples, run, skip,
    wait_for, with_crlf,
};

/// Messages of the corpus that go through Postfix.
const SAMPLES_MAX: usize = 150;

/// Connections over which they are sent.
const SENDERS: usize = 4;

/// 1 MiB: what a sample has at most, so that the whole test stays short; one larger message is sent beside them.
const SAMPLE_BYTES_MAX: usize = 1 << 20;

/// 12 MiB: a mail with attachments, above Postfix's usual limit of 10 MB.
const LARGE_BYTES: usize = 12 << 20;

/// A running Postfix; it is stopped when the value is dropped.
struct Postfix {
    config: PathBuf,
    address: SocketAddr,
}

impl Postfix {
    /// Starts one that copies all mail to Coffer; nothing, and a word about it, where that cannot be done.
    fn start(folder: &Folder, coffer: &Serving, more: &str) -> Option<Self> {
        if !is_root()
            || Command::new("postconf")
                .arg("-d")
                .arg("mail_version")
                .output()
                .is_err()
        {
            skip("Postfix is not installed, or this is not root, who alone can start it");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.expect("a free port");
        let config = folder.join("postfix");
        for part in ["queue", "data"] {
            fs::create_dir_all(config.join(part)).expect("a folder");
        }
        run(
            "chown",
            &[&"postfix" as &dyn AsRef<OsStr>, &config.join("data")],
        )
        .ok();
        let coffer_port = coffer.smtp().port().to_string();
        let main_cf = MAIN_CF.replace("{here}", &config.display().to_string())
            + &COPYING.replace("{coffer_port}", &coffer_port)
            + more;
        folder.write("postfix/main.cf", main_cf);
        folder.write(
            "postfix/master.cf",
            MASTER_CF.replace("{address}", &address.to_string()),
        );
        let postfix = Self { config, address };
        // The value exists before the start, so that a start that half succeeded is stopped, too.
        let started = run(
            "postfix",
            &[&"-c" as &dyn AsRef<OsStr>, &postfix.config, &"start"],
        );
        assert_eq!(started.code, Some(0), "{started:?}\n{}", postfix.log());
        wait_for("Postfix", || Client::connect(address).ok());
        Some(postfix)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.config.join("mail.log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = Command::new("postfix")
            .arg("-c")
            .arg(&self.config)
            .arg("stop")
            .output();
    }
}

/// The settings that the benchmark's Postfix has, too.
const MAIN_CF: &str = include_str!("postfix/main.cf");
const MASTER_CF: &str = include_str!("postfix/master.cf");

/// The office's mail is thrown away, its copy goes to Coffer; mail passes as it is.
const COPYING: &str = "relay_domains = office.example
relay_transport = discard:
transport_maps = inline:{ { archive.example = smtp:[127.0.0.1]:{coffer_port} } }
smtp_host_lookup = native
smtp_tls_security_level = may
smtp_tls_loglevel = 1
always_bcc = archive@archive.example
header_size_limit = 10485760
smtp_line_length_limit = 0
line_length_limit = 1048576
message_drop_headers =
local_header_rewrite_clients =
hopcount_limit = 500
smtputf8_enable = no
disable_mime_output_conversion = yes
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_error_sleep_time = 0
";

/// Mail that Postfix passes as it is but for what it prepends.
fn samples() -> Vec<Vec<u8>> {
    let usual = |message: &Vec<u8>| {
        let head = message
            .split(|byte| *byte == b'\n')
            .take_while(|line| *line != b"\r")
            .collect::<Vec<_>>();
        let is_field = |line: &&[u8]| {
            line.starts_with(b" ") || line.starts_with(b"\t") || is_header_field(line)
        };
        message.len() < SAMPLE_BYTES_MAX && head.iter().all(is_field) && head.len() > 2
    };
    let messages = read_samples("german")
        .into_iter()
        .map(|sample| with_crlf(&sample.bytes))
        .filter(usual);
    messages.take(SAMPLES_MAX).collect()
}

/// Postfix ends the header before a line that is no field.
fn is_header_field(line: &[u8]) -> bool {
    let colon = line.iter().position(|byte| *byte == b':');
    colon.is_some_and(|colon| colon > 0 && line[..colon].iter().all(u8::is_ascii_graphic))
}

/// Waits until Coffer has so many messages.
#[track_caller]
fn wait_for_copies(archive: &Archive, postfix: &Postfix, count: usize) {
    wait_for("the copies of all mail", || {
        let log = postfix.log();
        assert!(
            !log.contains("status=bounced") && !log.contains("status=deferred"),
            "{log}"
        );
        (archive.stat("messages") == count as u64).then_some(())
    });
}

/// Checks that the archive holds each message once, with nothing changed and only trace fields before it; gives those.
fn check_copies(archive: &Archive, folder: &Folder, sent: &[Vec<u8>]) -> Vec<String> {
    archive.export_eml(&folder.join("eml"));
    let mut rest: BTreeSet<&Vec<u8>> = sent.iter().collect();
    let mut traces = Vec::new();
    for file in tests::files_under(&folder.join("eml")) {
        let copy = fs::read(&file).expect("an exported file");
        let original = rest
            .iter()
            .find(|original| copy.ends_with(original))
            .copied();
        let original = original.unwrap_or_else(|| panic!("changed on its way: {}", file.display()));
        rest.remove(original);
        let trace =
            String::from_utf8(copy[..copy.len() - original.len()].to_vec()).expect("trace fields");
        assert!(trace.contains("by mx.office.example (Postfix)"), "{trace}");
        traces.push(trace);
    }
    assert!(rest.is_empty(), "{} messages are missing", rest.len());
    traces
}

#[test]
fn copies_by_always_bcc_are_found_and_exported_to_the_byte() {
    let folder = Folder::new("postfix-bcc");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    let Some(postfix) = Postfix::start(&folder, &serving, "") else {
        return;
    };
    let mut sent = samples();
    let mut large = b"From: kate@partner.example\r\nSubject: large\r\n\r\n".to_vec();
    while large.len() < LARGE_BYTES {
        large.extend(format!("{:064x}\r\n", large.len().wrapping_mul(0x9E37_79B9)).bytes());
    }
    sent.push(large);
    let rechnung = fs::read(office().join("rechnung-mit-anhang.eml")).expect("a sample");
    let lots = sent.chunks(sent.len().div_ceil(SENDERS));
    std::thread::scope(|scope| {
        for lot in lots {
            let address = postfix.address;
            scope.spawn(move || {
                let mut client = Client::connect(address).expect("Postfix takes connections");
                for message in lot {
                    let reply =
                        client.send("kate@partner.example", &["anna@office.example"], message);
                    assert_eq!(reply.expect("a reply").code, 250);
                }
            });
        }
    });
    sent.push(swaks(&folder, &postfix, &rechnung));
    sent.sort();
    sent.dedup();
    wait_for_copies(&archive, &postfix, sent.len());
    // The envelope's recipient finds all.
    let found = archive.digests("to:archive@archive.example");
    assert_eq!(found.len(), sent.len());
    assert_eq!(archive.search("subject:large larger:11M").len(), 1);
    check_copies(&archive, &folder, &sent);
    assert!(
        postfix.log().contains("TLS connection established"),
        "Postfix used STARTTLS: {}",
        postfix.log()
    );
    serving.stop();
    archive.verify();
}

/// Sends a message by swaks and gives it as it travelled.
fn swaks(folder: &Folder, postfix: &Postfix, message: &[u8]) -> Vec<u8> {
    let message = with_crlf(message);
    let file = folder.write("swaks.eml", &message);
    let (server, data) = (postfix.address.to_string(), format!("@{}", file.display()));
    let arguments: [&dyn AsRef<OsStr>; 8] = [
        &"--server",
        &server,
        &"--from",
        &"kate@partner.example",
        &"--to",
        &"anna@office.example,bernd@office.example",
        &"--data",
        &data,
    ];
    let said = run("swaks", &arguments).text();
    assert!(said.contains("queued as"), "{said}");
    // swaks ends the data with a line end of its own.
    [message, b"\r\n".to_vec()].concat()
}

#[test]
fn recipients_that_postfix_prepends_find_the_message() {
    let folder = Folder::new("postfix-envelope");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    let prepend = folder.write("prepend", "/^(.*)$/ PREPEND X-Envelope-To: $1\n");
    let more = format!(
        "smtpd_recipient_restrictions = check_recipient_access regexp:{}, permit_mynetworks, reject\n",
        prepend.display()
    );
    let Some(postfix) = Postfix::start(&folder, &serving, &more) else {
        return;
    };
    let sent: Vec<Vec<u8>> = samples().into_iter().take(20).collect();
    let mut client = Client::connect(postfix.address).expect("Postfix takes connections");
    for (index, message) in sent.iter().enumerate() {
        let (hidden, both) = (
            format!("hidden{index}@office.example"),
            "everybody@office.example",
        );
        let reply = client
            .send("kate@partner.example", &[&hidden, both], message)
            .expect("a reply");
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    wait_for_copies(&archive, &postfix, sent.len());
    let traces = check_copies(&archive, &folder, &sent);
    assert!(
        traces
            .iter()
            .all(|trace| trace.matches("X-Envelope-To: ").count() == 2),
        "{traces:?}"
    );
    assert_eq!(
        archive.search("to:everybody@office.example").len(),
        sent.len()
    );
    for (index, message) in sent.iter().enumerate() {
        let found = archive.search(&format!("bcc:hidden{index}@office.example"));
        assert_eq!(found.len(), 1, "hidden{index}");
        assert!(archive.show(found[0].number).ends_with(message));
    }
    serving.stop();
}

/// Coffer hands its own mail to Postfix, by STARTTLS and only once somebody has confirmed the certificate that Postfix made itself.
#[test]
fn own_mail_goes_out_by_a_certificate_that_was_confirmed() {
    let folder = Folder::new("postfix-outgoing");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[&"--web", &"127.0.0.1:0"]);
    let Some(page) = Page::new(&folder, &archive, &serving) else {
        return;
    };
    let Some(made) = SelfSigned::new(&folder) else {
        return;
    };
    let settings = format!(
        "smtpd_tls_key_file = {}\nsmtpd_tls_cert_file = {}\nsmtpd_tls_security_level = encrypt\n",
        made.key.display(),
        made.certificate.display()
    );
    let digest = made.fingerprint();
    let Some(postfix) = Postfix::start(&folder, &serving, &settings) else {
        return;
    };
    page.claim(&serving);
    let port = postfix.address.port().to_string();
    let server = [
        ("server", "127.0.0.1"),
        ("port", port.as_str()),
        ("security", "starttls"),
        ("from", "coffer@office.example"),
        ("to", "anna@office.example"),
    ];
    let ended = |values: &[(&str, &str)]| {
        let begun = page.send("/setup/outgoing", "/setup/outgoing/test", values);
        assert!(begun.contains("Location: /setup/outgoing/test"), "{begun}");
        wait_for("the end of the test", || {
            let shown = page.get("/setup/outgoing/test");
            (!shown.contains("Refresh: ")).then_some(shown)
        })
    };
    let refused = ended(&server);
    let shown = refused.replace("<wbr>", "");
    assert!(shown.contains(&digest), "{digest}: {refused}");
    assert_eq!(archive.stat("messages"), 0, "nothing went out");
    let again = [("tested", "yes"), ("certificate", digest.as_str())];
    let taken = ended(&again);
    assert!(taken.contains("has taken the test mail over"), "{taken}");
    wait_for_copies(&archive, &postfix, 1);
    let found = archive.search("subject:\"Coffer: test mail\"");
    assert_eq!(found.len(), 1);
    serving.stop();
    archive.verify();
}
