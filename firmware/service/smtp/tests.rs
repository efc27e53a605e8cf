//! Dialogues over loopback with the whole server and a keeper that does what the test wants.

use super::connection::Conversation;
use super::fake_keeper::{ACCOUNT, DIGEST, FakeKeeper, Plan};
use super::*;
use crate::keeper::Failure;
use crate::tls::{Stream, Timeouts, TlsIdentity};
use archive::Trust;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// A minute: a test that waits that long for a reply has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "archive.example";

/// A server with two sockets, and what is needed to speak to it.
struct Scene {
    server: SmtpServer,
    keeper: Arc<FakeKeeper>,
    identity: TlsIdentity,
}

impl Scene {
    fn new(keeper: Arc<FakeKeeper>) -> Self {
        Self::with_options(
            keeper,
            SmtpOptions {
                offers_auth: true,
                ..SmtpOptions::new(NAME)
            },
        )
    }

    fn with_options(keeper: Arc<FakeKeeper>, options: SmtpOptions) -> Self {
        let identity =
            TlsIdentity::generate(&TlsIdentity::names_of(NAME), now()).expect("a certificate");
        let tls = Arc::new(TlsServer::new(&identity).expect("a fitting key"));
        let socket = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let sockets = vec![
            SmtpSocket::StartTls(socket()),
            SmtpSocket::ImplicitTls(socket()),
        ];
        let server =
            SmtpServer::start(options, sockets, keeper.clone(), tls).expect("a running server");
        Self {
            server,
            keeper,
            identity,
        }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.server.local_addrs()[0]).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket
    }

    /// A client that has read the greeting.
    fn client(&self) -> Client<TcpStream> {
        let mut client = Client::new(self.connect());
        client.expect("220 archive.example");
        client
    }

    fn tls_client<S: Read + Write>(&self, stream: S) -> TlsClient<S> {
        self.tls_client_of(rustls::ALL_VERSIONS, stream)
    }

    fn tls_client_of<S: Read + Write>(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        stream: S,
    ) -> TlsClient<S> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.identity.certificate_der.clone()))
            .expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        Client::new(StreamOwned::new(tls, stream))
    }

    fn implicit_tls_client(&self) -> TlsClient<TcpStream> {
        let socket = TcpStream::connect(self.server.local_addrs()[1]).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = self.tls_client(socket);
        client.expect("220 archive.example");
        client
    }

    fn wait_for_connections(&self, count: usize) {
        let since = Instant::now();
        while self.server.connections() != count {
            assert!(
                since.elapsed() < PATIENCE,
                "{} connections",
                self.server.connections()
            );
            thread::yield_now();
        }
    }
}

fn now() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .expect("a clock after 1970")
        .as_secs()
}

type TlsClient<S> = Client<StreamOwned<ClientConnection, S>>;

/// One side of a dialogue.
struct Client<S> {
    stream: S,
    received: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    fn send(&mut self, text: &str) {
        self.stream
            .write_all(text.as_bytes())
            .expect("a server that reads");
        self.stream.flush().expect("a server that reads");
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.received.drain(..end + 2).collect();
                return Ok(String::from_utf8(line).expect("text").trim_end().to_owned());
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Reads a whole reply, which has to begin like this.
    fn expect(&mut self, expected: &str) -> Vec<String> {
        let mut lines = vec![self.line().expect("a reply")];
        while lines.last().is_some_and(|line| line.as_bytes()[3] == b'-') {
            lines.push(self.line().expect("the rest of the reply"));
        }
        assert!(
            lines[0].starts_with(expected),
            "{lines:?} instead of {expected}"
        );
        lines
    }

    fn expect_end(&mut self) {
        assert!(self.line().is_err(), "the connection is to end");
    }

    fn ask(&mut self, command: &str, expected: &str) -> Vec<String> {
        self.send(&format!("{command}\r\n"));
        self.expect(expected)
    }

    /// Everything up to the content.
    fn begin_message(&mut self) {
        self.send("EHLO mail.example\r\nMAIL FROM:<a@mail.example>\r\nRCPT TO:<b@archive.example>\r\nDATA\r\n");
        for expected in ["250", "250 2.1.0", "250 2.1.5", "354"] {
            self.expect(expected);
        }
    }

    fn send_message(&mut self, content: &str, expected: &str) {
        self.begin_message();
        self.ask(&format!("{content}."), expected);
    }
}

#[test]
fn a_whole_dialogue() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let mut client = scene.client();
    let peer = client.stream.local_addr().expect("an address").to_string();
    let hello = client.ask("EHLO mail.example", "250");
    assert!(
        hello.iter().any(|line| line.ends_with("STARTTLS")),
        "{hello:?}"
    );
    client.send(
        "MAIL FROM:<a@mail.example> BODY=8BITMIME\r\nRCPT TO:<b@archive.example> NOTIFY=NEVER\r\n\
         RCPT TO:<c@archive.example>\r\nDATA\r\n",
    );
    for expected in ["250 2.1.0", "250 2.1.5", "250 2.1.5", "354"] {
        client.expect(expected);
    }
    let stored = format!("250 2.0.0 stored as 1 sha256 {DIGEST}");
    assert_eq!(
        client.ask("Subject: x\r\n\r\n..dot\r\nbare\nlf\r\n.", "250"),
        [stored]
    );
    client.ask("QUIT", "221");
    client.expect_end();

    let kept = scene.keeper.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].bytes, b"Subject: x\r\n\r\n.dot\r\nbare\nlf\r\n");
    assert!(!kept[0].in_file);
    let deposit = &kept[0].deposit;
    assert!(deposit.unwrap_journal && deposit.prompt && deposit.actor == 2);
    assert_eq!(deposit.reception.trust, Trust::JournalPeer);
    let envelope = deposit.reception.envelope.as_ref().expect("an envelope");
    assert_eq!(envelope.reverse_path, "a@mail.example");
    assert_eq!(envelope.mail_parameters, ["BODY=8BITMIME"]);
    let addresses: Vec<&str> = envelope
        .recipients
        .iter()
        .map(|recipient| recipient.address.as_str())
        .collect();
    assert_eq!(addresses, ["b@archive.example", "c@archive.example"]);
    assert_eq!(envelope.recipients[0].parameters, ["NOTIFY=NEVER"]);
    assert_eq!(
        (envelope.helo.as_str(), envelope.peer.as_str()),
        ("mail.example", peer.as_str())
    );
    assert_eq!(
        (envelope.tls.as_str(), envelope.signed_in_as.as_str()),
        ("", "")
    );
}

#[test]
fn several_messages_over_one_connection() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let mut client = scene.client();
    client.send_message("x\r\n", "250 2.0.0 stored as 1");
    scene.keeper.plan(Plan::Know);
    client.send_message(
        "x\r\n",
        &format!("250 2.0.0 stored as 2 sha256 {DIGEST} again"),
    );
    client
        .send("MAIL FROM:<>\r\nRCPT TO:<b@archive.example>\r\nBDAT 5\r\nabcdeBDAT 3 LAST\r\nf\r\n");
    for expected in [
        "250 2.1.0",
        "250 2.1.5",
        "250 2.0.0 5",
        "250 2.0.0 stored as 3",
    ] {
        client.expect(expected);
    }
    assert_eq!(scene.keeper.kept()[2].bytes, b"abcdef\r\n");
}

#[test]
fn what_went_in_comes_out_of_a_real_store() {
    let scene = Scene::new(FakeKeeper::new(Plan::Store));
    let mut client = scene.client();
    client.begin_message();
    let content = "From: a@mail.example\r\nSubject: bare\rcr and \0\r\n\r\nline\nend\r\n";
    let stored = client.ask(&format!("{content}."), "250 2.0.0 stored as ");
    let number = stored[0]
        .split(' ')
        .nth(4)
        .and_then(|word| word.parse().ok())
        .expect("a number");
    assert_eq!(scene.keeper.message(number), content.as_bytes());
    client.send_message(content, &format!("250 2.0.0 stored as {number} "));
}

#[test]
fn starttls() {
    for (version, expected) in [
        (&rustls::version::TLS13, "TLSv1.3 TLS13_AES_256_GCM_SHA384"),
        (
            &rustls::version::TLS12,
            "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ),
    ] {
        let scene = Scene::new(FakeKeeper::new(Plan::Keep));
        let mut client = scene.client();
        client.ask("EHLO mail.example", "250");
        client.ask("STARTTLS", "220 2.0.0");
        let mut client = scene.tls_client_of(&[version], client.stream);
        let hello = client.ask("EHLO mail.example", "250");
        assert!(
            !hello.iter().any(|line| line.ends_with("STARTTLS")),
            "{hello:?}"
        );
        client.send_message("x\r\n", "250 2.0.0 stored as 1");
        client.ask("QUIT", "221");
        client.expect_end();
        let kept = scene.keeper.kept();
        let envelope = kept[0].deposit.reception.envelope.as_ref();
        assert_eq!(envelope.expect("an envelope").tls, expected);
    }
}

#[test]
fn nothing_said_in_the_clear_is_obeyed_under_tls() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let mut client = scene.client();
    client.ask("EHLO mail.example", "250");
    client.send("STARTTLS\r\nMAIL FROM:<evil@mail.example>\r\n");
    client.expect("220 2.0.0");
    // What came in one piece with STARTTLS is forgotten; what comes apart from it is no TLS. Either way it is not obeyed.
    let mut client = scene.tls_client(client.stream);
    let commands = b"EHLO mail.example\r\nRCPT TO:<b@archive.example>\r\n";
    if client.stream.write_all(commands).is_ok()
        && let Ok(mut line) = client.line()
    {
        while line.starts_with("250-") {
            line = client.line().expect("the rest of the reply");
        }
        assert!(line.starts_with("250 "), "{line}");
        client.expect("503 5.5.1 MAIL first");
    }
}

#[test]
fn implicit_tls() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let mut client = scene.implicit_tls_client();
    let long = format!("{}\r\n", "x".repeat(998)).repeat(300);
    client.send_message(&long, "250 2.0.0 stored as 1");
    client.ask("QUIT", "221");
    assert_eq!(scene.keeper.kept()[0].bytes, long.as_bytes());
}

#[test]
fn a_client_that_speaks_no_tls_ends_its_connection_only() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let mut socket = TcpStream::connect(scene.server.local_addrs()[1]).expect("a connection");
    socket
        .write_all(b"EHLO mail.example\r\n")
        .expect("a server that reads");
    let mut alert = Vec::new();
    let _ = socket.read_to_end(&mut alert);
    assert!(!alert.starts_with(b"2"), "no greeting in the clear");
    scene.implicit_tls_client().send_message("x\r\n", "250");
}

#[test]
fn signing_in_needs_tls() {
    let keeper = FakeKeeper::new(Plan::Keep);
    let options = SmtpOptions {
        allowed: Networks::default(),
        journal_trusted: Networks::default(),
        offers_auth: true,
        ..SmtpOptions::new(NAME)
    };
    let scene = Scene::with_options(keeper, options);
    let plain = BASE64_STANDARD.encode(format!("\0{}\0{}", ACCOUNT.0, ACCOUNT.1));
    let mut client = scene.client();
    let hello = client.ask("EHLO mail.example", "250");
    assert!(!hello.iter().any(|line| line.contains("AUTH")), "{hello:?}");
    client.ask("MAIL FROM:<a@mail.example>", "530 5.7.0");
    client.ask(&format!("AUTH PLAIN {plain}"), "538 5.7.11");

    let mut client = scene.implicit_tls_client();
    let hello = client.ask("EHLO mail.example", "250");
    assert!(
        hello.iter().any(|line| line.contains("AUTH PLAIN LOGIN")),
        "{hello:?}"
    );
    client.ask("MAIL FROM:<a@mail.example>", "530 5.7.0");
    client.ask(&format!("AUTH PLAIN {plain}"), "235 2.7.0");
    client.send_message("x\r\n", "250 2.0.0 stored as 1");

    let mut client = scene.implicit_tls_client();
    client.ask("EHLO mail.example", "250");
    client.ask("AUTH LOGIN", "334");
    client.ask(&BASE64_STANDARD.encode(ACCOUNT.0), "334");
    client.ask(&BASE64_STANDARD.encode(ACCOUNT.1), "235 2.7.0");
    client.send_message("x\r\n", "250 2.0.0 stored as 2");

    for kept in scene.keeper.kept().iter() {
        assert_eq!(kept.deposit.reception.trust, Trust::SignedIn);
        assert!(!kept.deposit.unwrap_journal);
        let envelope = kept
            .deposit
            .reception
            .envelope
            .as_ref()
            .expect("an envelope");
        assert_eq!(envelope.signed_in_as, ACCOUNT.0);
    }
}

#[test]
fn wrong_passwords_end_the_connection_and_a_keeper_away_is_no_wrong_password() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let wrong = format!("AUTH PLAIN {}", BASE64_STANDARD.encode("\0exchange\0guess"));
    let mut client = scene.implicit_tls_client();
    client.ask("EHLO mail.example", "250");
    client.ask(&wrong, "535 5.7.8");
    client.ask(&wrong, "535 5.7.8");
    client.ask(&wrong, "421 4.7.0");
    client.expect_end();

    scene
        .keeper
        .plan(Plan::Fail(Failure::Unreachable("away".to_owned())));
    let mut client = scene.implicit_tls_client();
    client.ask("EHLO mail.example", "250");
    client.ask(&wrong, "421");
    client.expect_end();
}

#[test]
fn the_reply_waits_until_the_keeper_has_answered() {
    let (keeper, asked, release) = FakeKeeper::holding();
    let scene = Scene::new(keeper);
    let mut client = scene.client();
    client.begin_message();
    client.send("x\r\n.\r\n");
    asked.recv_timeout(PATIENCE).expect("the keeper is asked");
    client.stream.set_nonblocking(true).expect("a socket");
    let error = client.line().expect_err("no reply yet");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).expect("a socket");
    release.send(()).expect("a keeper that waits");
    client.expect("250 2.0.0 stored as 1");
}

#[test]
fn failures_let_the_sender_come_again() {
    let why = || "why".to_owned();
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let mut client = scene.client();
    for (plan, expected) in [
        (Plan::Fail(Failure::Full(why())), "452 4.3.1"),
        (Plan::FailLater(Failure::Full(why())), "452 4.3.1"),
        (Plan::Fail(Failure::Later(why())), "451 4.3.0"),
        (Plan::FailLater(Failure::Damaged(why())), "451 4.3.0"),
        (Plan::FailLater(Failure::Unreachable(why())), "451 4.3.0"),
    ] {
        scene.keeper.plan(plan);
        client.send_message("x\r\n", expected);
    }
    scene.keeper.plan(Plan::Keep);
    client.send_message("x\r\n", "250");
}

#[test]
fn an_archive_that_takes_no_mail_says_so_before_it_comes() {
    let scene = Scene::new(FakeKeeper::new(Plan::TakeNone(Failure::Later(
        "the archive is rebuilt".to_owned(),
    ))));
    let mut client = scene.client();
    client.ask("EHLO mail.example", "250");
    client.ask(
        "MAIL FROM:<a@x.example>",
        "451 4.3.2 the archive is rebuilt",
    );
    scene.keeper.plan(Plan::Keep);
    scene.client().send_message("x\r\n", "250");
}

#[test]
fn a_full_spool_swallows_the_message_and_puts_it_off() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    scene.keeper.disk.set_capacity(0);
    let mut client = scene.client();
    let long = format!("{}\r\n", "x".repeat(998)).repeat(3000);
    client.send_message(&long, "452 4.3.1");
    assert!(scene.keeper.kept().is_empty());
    scene.keeper.disk.set_capacity(u64::MAX);
    client.send_message(&long, "250 2.0.0 stored as 1");
    assert!(scene.keeper.kept()[0].in_file);
}

#[test]
fn sixty_megabytes_arrive_in_a_file() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let mut client = scene.client();
    let content = format!("{}\r\n", "0123456789".repeat(7)).repeat(60 * 1024 * 1024 / 72);
    client.send_message(&content, "250 2.0.0 stored as 1");
    let kept = scene.keeper.kept();
    assert!(kept[0].in_file);
    assert!(kept[0].bytes == content.as_bytes(), "the same bytes");
}

#[test]
fn a_message_above_the_limit_is_refused_for_good() {
    let scene = Scene::with_options(
        FakeKeeper::new(Plan::Keep),
        SmtpOptions {
            size_max_bytes: 1000,
            ..SmtpOptions::new(NAME)
        },
    );
    let mut client = scene.client();
    client.ask("EHLO mail.example", "250");
    client.ask("MAIL FROM:<a@mail.example> SIZE=1001", "552 5.3.4");
    client.send_message(&format!("{}\r\n", "x".repeat(80)).repeat(20), "552 5.3.4");
    client.send_message("x\r\n", "250");
    assert_eq!(scene.keeper.kept().len(), 1);
}

#[test]
fn a_client_that_vanishes_leaves_nothing() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    for length in [10, 3_000_000] {
        let mut client = scene.client();
        client.begin_message();
        client.send(&"x".repeat(length));
        drop(client);
        scene.wait_for_connections(0);
    }
    assert!(scene.keeper.kept().is_empty());
}

#[test]
fn idle_and_slow_peers_do_not_slow_the_others() {
    let scene = Scene::new(FakeKeeper::new(Plan::Keep));
    let _idle: Vec<_> = (0..200).map(|_| scene.client()).collect();
    let mut slow: Vec<_> = (0..20).map(|_| scene.client()).collect();
    for client in &mut slow {
        client.begin_message();
        client.send("Subject: slow\r\n");
    }
    let mut client = scene.client();
    assert_eq!(scene.server.connections(), 221);
    for number in 1..=50 {
        for client in &mut slow {
            client.send("x");
        }
        client.send_message("x\r\n", &format!("250 2.0.0 stored as {number} "));
    }
    for (index, client) in slow.iter_mut().enumerate() {
        client.ask("\r\n.", &format!("250 2.0.0 stored as {} ", 51 + index));
    }
}

#[test]
fn silent_peers_are_sent_away() {
    let keeper = FakeKeeper::new(Plan::Keep);
    let identity = TlsIdentity::generate(&[NAME.to_owned()], now()).expect("a certificate");
    let tls = Arc::new(TlsServer::new(&identity).expect("a fitting key"));
    let server = Arc::new(Server::new(SmtpOptions::new(NAME), keeper, tls));
    let serve: Serve = Arc::new(move |connection| {
        // Every look at the clock is ten seconds later.
        let seconds = AtomicU64::new(0);
        let clock = || Duration::from_secs(seconds.fetch_add(10, Ordering::Relaxed));
        let timeouts = Timeouts {
            read: Duration::from_millis(1),
            write: PATIENCE,
            handshake: PATIENCE,
        };
        let mut stream = Stream::new(connection.socket().clone(), timeouts).expect("a stream");
        Conversation::new(&server, connection, &mut stream, &clock)
            .run()
            .expect("a peer that reads");
        assert!(
            seconds.load(Ordering::Relaxed) >= 300,
            "RFC 5321 §4.5.3.2.7: 5 minutes"
        );
        stream.close();
    });
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let limits = Limits {
        connections_max: 1,
        connections_per_peer_max: 1,
        stack_bytes: STACK_BYTES,
        when_full: WhenFull::Refuse,
    };
    let listener = Listener::start(
        "test",
        vec![Door {
            socket,
            refusal: b"",
            serve,
        }],
        limits,
    )
    .expect("a listener");
    let mut client =
        Client::new(TcpStream::connect(listener.local_addrs()[0]).expect("a connection"));
    client.expect("220");
    client.expect("421 4.4.2");
    client.expect_end();
}

#[test]
fn above_the_connection_limit_peers_come_back_later() {
    let scene = Scene::with_options(
        FakeKeeper::new(Plan::Keep),
        SmtpOptions {
            connections_max: 2,
            ..SmtpOptions::new(NAME)
        },
    );
    let first = scene.client();
    let mut second = scene.client();
    let mut third = Client::new(scene.connect());
    third.expect("421 4.3.2");
    third.expect_end();
    second.send_message("x\r\n", "250");
    drop(first);
    scene.wait_for_connections(1);
    scene.client().send_message("x\r\n", "250");
}

#[test]
fn stopping_lets_messages_end_and_tells_everybody() {
    let (keeper, asked, release) = FakeKeeper::holding();
    let scene = Scene::new(keeper);
    let mut idle = scene.client();
    let mut storing = scene.client();
    let mut sending = scene.client();
    storing.begin_message();
    storing.send("x\r\n.\r\n");
    asked.recv_timeout(PATIENCE).expect("the keeper is asked");
    sending.begin_message();
    let server = scene.server;
    let stop = thread::spawn(move || server.stop());
    idle.expect("421 4.3.2");
    idle.expect_end();
    sending.ask("x\r\n.", "250 2.0.0 stored as 2");
    sending.expect("421 4.3.2");
    sending.expect_end();
    release.send(()).expect("a keeper that waits");
    storing.expect("250 2.0.0 stored as 1");
    storing.expect("421 4.3.2");
    storing.expect_end();
    assert_eq!(stop.join().expect("no panic"), 0);
    assert_eq!(
        Arc::strong_count(&scene.keeper),
        1,
        "nobody holds the keeper any more"
    );
}
