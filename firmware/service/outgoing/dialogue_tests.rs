//! Handing a message over to mail servers that do it well, and to those that are slow, odd or lying: each is a row of a table.

use super::dialogue::{Patience, Sender, Step, Trouble, is_plain};
use super::route::{Route, Security};
use crate::people::Secret;
use crate::tls::{Stream, Timeouts, TlsIdentity, TlsServer, is_wait};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const HOSTNAME: &str = "box.example";
const TO: &str = "anna@x.example";
const FROM: &str = "coffer@x.example";
const MESSAGE: &str = "Subject: x\r\n\r\nYQ==\r\n";

/// Far above what an answer over loopback takes.
const PATIENT: Patience = Patience {
    step: Duration::from_secs(60),
    whole: Duration::from_secs(60),
};

/// For servers that never answer.
const HASTY: Patience = Patience {
    step: Duration::from_millis(50),
    whole: Duration::from_millis(100),
};

const TIMEOUTS: Timeouts = Timeouts {
    read: Duration::from_secs(1),
    write: Duration::from_secs(60),
    handshake: Duration::from_secs(60),
};

/// What a server does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Says this at once.
    Say(&'static str),
    /// Hears a command (the content up to its dot) and says this.
    Answer(&'static str),
    /// Begins TLS.
    Tls,
    /// Says nothing more until the client goes.
    Hang,
    /// Says this for ever, until the client goes.
    Repeat(&'static str),
}
use Act::{Answer, Hang, Repeat, Say, Tls};

/// The end of a mail that goes well.
const TAKES: [Act; 4] = [
    Answer("250 ok\r\n"),
    Answer("251 forwarded\r\n"),
    Answer("354 go on\r\n"),
    Answer("250 taken\r\n"),
];

const HELLO: [Act; 2] = [
    Say("220-hello\r\n220 hello\r\n"),
    Answer("250-box\r\n250 SIZE\r\n"),
];

struct Server {
    identity: TlsIdentity,
}

impl Server {
    fn new() -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        let names = TlsIdentity::names_of(HOSTNAME);
        let identity = TlsIdentity::generate(&names, now.as_secs()).expect("a certificate");
        Self { identity }
    }

    fn fingerprint(&self) -> [u8; 32] {
        store::sha256(&self.identity.certificate_der).0
    }

    /// Runs a client against a server that does this; gives what the server was told, and how it ended.
    fn told(
        &self,
        acts: &[Act],
        patience: Patience,
        route: &Route,
    ) -> (String, Result<(), Trouble>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let route = Route {
            server: "127.0.0.1".to_owned(),
            port,
            from: FROM.to_owned(),
            ..route.clone()
        };
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let (socket, _) = listener.accept().expect("a client");
                self.serve(socket, acts)
            });
            let password = Secret("se cret".to_owned());
            let sender = Sender {
                route: &route,
                password: Some(&password),
                hostname: HOSTNAME,
                patience,
            };
            let ended = sender.hand_over(TO, MESSAGE, &mut |_, _| {});
            (serving.join().expect("served"), ended)
        })
    }

    fn serve(&self, socket: TcpStream, acts: &[Act]) -> String {
        let tls = TlsServer::new(&self.identity).expect("a fitting key");
        let mut stream = Stream::new(Arc::new(socket), TIMEOUTS).expect("a stream");
        let mut told = String::new();
        for act in acts {
            let done = match act {
                Say(text) => stream.write_all(text.as_bytes()),
                Answer(text) => {
                    told.push_str(&hear(&mut stream, told.ends_with("DATA\r\n")));
                    stream.write_all(text.as_bytes())
                }
                Tls => stream.start_tls(&tls),
                Hang => {
                    told.push_str(&until_end(&mut stream));
                    Ok(())
                }
                Repeat(text) => {
                    while stream.write_all(text.as_bytes()).is_ok() {}
                    Ok(())
                }
            };
            if done.is_err() {
                return told;
            }
        }
        stream.close();
        told
    }
}

fn hear(stream: &mut Stream, is_content: bool) -> String {
    let end = if is_content { "\r\n.\r\n" } else { "\r\n" };
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(end.as_bytes()) {
        match stream.read(&mut byte) {
            Ok(1) => heard.push(byte[0]),
            Err(error) if is_wait(&error) => {}
            _ => break,
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

fn until_end(stream: &mut Stream) -> String {
    let mut heard = Vec::new();
    let mut some = [0; 512];
    loop {
        match stream.read(&mut some) {
            Ok(count @ 1..) => heard.extend_from_slice(&some[..count]),
            Err(error) if is_wait(&error) => {}
            _ => return String::from_utf8_lossy(&heard).into_owned(),
        }
    }
}

fn plain() -> Route {
    Route {
        security: Security::None,
        ..Route::default()
    }
}

fn signing_in(security: Security, certificate: [u8; 32]) -> Route {
    Route {
        security,
        certificate: Some(certificate),
        user: "coffer".to_owned(),
        ..Route::default()
    }
}

#[test]
fn a_message_is_handed_over_when_the_server_took_it() {
    let acts = [&HELLO[..], &TAKES].concat();
    let (told, ended) = Server::new().told(&acts, PATIENT, &plain());
    ended.expect("taken");
    let expected = "EHLO box.example\r\nMAIL FROM:<coffer@x.example>\r\nRCPT TO:<anna@x.example>\r\nDATA\r\n\
        Subject: x\r\n\r\nYQ==\r\n.\r\n";
    assert_eq!(told, expected);
}

#[test]
fn user_and_password_are_given_under_tls_only() {
    let server = Server::new();
    let (offer_plain, offer_login) = (
        "250-box\r\n250 AUTH LOGIN PLAIN\r\n",
        "250-box\r\n250 AUTH=LOGIN\r\n",
    );
    let accepts = [Answer("235 in\r\n")];
    let asks = [
        Answer("334 VXNlcg==\r\n"),
        Answer("334 UGFzcw==\r\n"),
        Answer("235 in\r\n"),
    ];
    let said_plain = "AUTH PLAIN AGNvZmZlcgBzZSBjcmV0\r\n";
    let said_login = "AUTH LOGIN\r\nY29mZmVy\r\nc2UgY3JldA==\r\n";
    let starttls = [
        Say("220 hello\r\n"),
        Answer("250-box\r\n250 STARTTLS\r\n"),
        Answer("220 go\r\n"),
        Tls,
    ];
    let implicit = [Tls, Say("220 hello\r\n")];
    let (first, second) = ("EHLO box.example\r\nSTARTTLS\r\n", "");
    for (security, begin, before) in [
        (Security::StartTls, &starttls[..], first),
        (Security::Tls, &implicit, second),
    ] {
        for (offer, signs_in, said) in [
            (offer_plain, &accepts[..], said_plain),
            (offer_login, &asks, said_login),
        ] {
            let acts = [begin, &[Answer(offer)], signs_in, &TAKES].concat();
            let route = signing_in(security, server.fingerprint());
            let (told, ended) = server.told(&acts, PATIENT, &route);
            ended.expect("taken");
            let expected = format!("{before}EHLO box.example\r\n{said}MAIL FROM:");
            assert!(told.starts_with(&expected), "{told}");
        }
    }
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_word() {
    let server = Server::new();
    let starttls = [
        Say("220 hello\r\n"),
        Answer("250-box\r\n250 STARTTLS\r\n"),
        Answer("220 go\r\n"),
        Tls,
    ];
    for (security, acts) in [(Security::StartTls, &starttls[..]), (Security::Tls, &[Tls])] {
        for certificate in [None, Some([7; 32])] {
            let route = Route {
                certificate,
                ..signing_in(security, [0; 32])
            };
            let (told, ended) = server.told(acts, PATIENT, &route);
            let shown = match ended {
                Err(Trouble::Certificate { fingerprint, .. }) => fingerprint,
                other => panic!("{security:?}: {other:?}"),
            };
            assert_eq!(shown, server.fingerprint());
            assert!(!told.contains("AUTH") && !told.contains("MAIL"), "{told}");
        }
    }
}

/// Runs a client against a server that does this, and compares what went wrong.
fn check(server: &Server, acts: &[Act], route: &Route, expected: &str) {
    let (_, ended) = server.told(acts, PATIENT, route);
    let trouble = ended.expect_err("it did not take the message");
    assert_eq!(trouble.to_string(), expected, "{acts:?}");
}

#[test]
fn what_greets_is_heard_within_bounds() {
    let server = Server::new();
    let odd = "the server does not speak SMTP: greeting";
    for (act, expected) in [
        (Say(""), "the connection broke: greeting"),
        (
            Say("421-\r\n421 later\r\n"),
            "the server refused: greeting: 421 later",
        ),
        (
            Say("554 go away\r\n"),
            "the server refused: greeting: 554 go away",
        ),
        (
            Say("HTTP/1.1 400 Bad Request\r\n"),
            &format!("{odd}: HTTP/1.1 400 Bad Request"),
        ),
        (Say("\u{fc}\u{fc}\r\n"), &format!("{odd}: \u{fc}\u{fc}")),
        (
            Repeat("220-hello\r\n"),
            &format!("{odd}: a reply without an end"),
        ),
        (
            Repeat("220 hello "),
            &format!("{odd}: a line without an end"),
        ),
    ] {
        check(&server, &[act], &plain(), expected);
    }
}

#[test]
fn a_no_is_named_by_its_step() {
    let server = Server::new();
    let (ok, go) = (Answer("250 ok\r\n"), Answer("354 go\r\n"));
    let no = "the server refused";
    for (acts, expected) in [
        (
            &[Answer("553 not you\r\n")][..],
            format!("{no}: sender: 553 not you"),
        ),
        (
            &[ok, Answer("550 nobody\r\n")],
            format!("{no}: recipient: 550 nobody"),
        ),
        (
            &[ok, Answer("451 grey\u{7}listed\r\n")],
            format!("{no}: recipient: 451 grey listed"),
        ),
        (
            &[ok, ok, Answer("250 no\r\n")],
            format!("{no}: content: 250 no"),
        ),
        (
            &[ok, ok, go, Answer("552 full\r\n")],
            format!("{no}: content: 552 full"),
        ),
        (
            &[ok, ok, go, Answer("250 ok")],
            "the connection broke: content".to_owned(),
        ),
    ] {
        let acts = [&HELLO[..], acts].concat();
        check(&server, &acts, &plain(), &expected);
    }
    for (answer, expected) in [
        ("500 what\r\n", "the server refused: EHLO: 500 what"),
        ("250 ok", "the connection broke: EHLO"),
    ] {
        let acts = [Say("220 hello\r\n"), Answer(answer)];
        check(&server, &acts, &plain(), expected);
    }
}

#[test]
fn without_protection_nothing_goes_on() {
    let server = Server::new();
    let route = signing_in(Security::StartTls, server.fingerprint());
    check(
        &server,
        &HELLO,
        &route,
        "the server does not offer STARTTLS",
    );
    let offers = [Say("220 hello\r\n"), Answer("250-box\r\n250 STARTTLS\r\n")];
    for (acts, expected) in [
        (
            &[Answer("454 not now\r\n")][..],
            "the server refused: TLS: 454 not now",
        ),
        (
            &[Answer("220 go\r\n250 box\r\n")],
            "the server does not speak SMTP: TLS: more than a reply before TLS",
        ),
    ] {
        let acts = [&offers[..], acts].concat();
        check(&server, &acts, &route, expected);
    }
    let route = signing_in(Security::Tls, server.fingerprint());
    for (acts, expected) in [
        (&[Say("220 hello\r\n")][..], "TLS does not come about"),
        (
            &[Tls, HELLO[0], HELLO[1]],
            "the server offers no sign-in with a password",
        ),
        (
            &[
                Tls,
                HELLO[0],
                Answer("250-box\r\n250 AUTH PLAIN\r\n"),
                Answer("535 5.7.8 wrong\r\n"),
            ],
            "the server refused: signing in: 535 5.7.8 wrong",
        ),
    ] {
        check(&server, acts, &route, expected);
    }
}

#[test]
fn nobody_waits_for_ever() {
    let server = Server::new();
    let tls = signing_in(Security::Tls, server.fingerprint());
    let later = [&HELLO[..], &[Hang]].concat();
    for (acts, route) in [(vec![Hang], plain()), (later, plain()), (vec![Hang], tls)] {
        let (_, ended) = server.told(&acts, HASTY, &route);
        assert!(matches!(ended, Err(Trouble::Slow(_))), "{ended:?}");
    }
}

#[test]
fn only_what_is_about_a_message_lets_the_next_one_go() {
    let refused = |step, code| Trouble::Refused {
        step,
        code,
        said: String::new(),
    };
    for (trouble, expected) in [
        (refused(Step::Recipient, 550), true),
        (refused(Step::Content, 552), true),
        (refused(Step::Recipient, 421), false),
        (refused(Step::Sender, 550), false),
        (Trouble::Address("x".to_owned()), true),
        (Trouble::NoStartTls, false),
    ] {
        assert_eq!(trouble.is_of_message(), expected, "{trouble}");
    }
}

#[test]
fn no_address_can_say_a_command() {
    for (address, expected) in [
        ("anna@x.example", true),
        ("a.b+c@x-y.example", true),
        ("a b@x.example", false),
        ("a>\r\nRCPT TO:<b@x.example", false),
        ("\"a\"@x.example", false),
        ("käse@x.example", false),
        ("anna", false),
    ] {
        assert_eq!(is_plain(address), expected, "{address}");
    }
}
