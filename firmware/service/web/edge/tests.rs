//! Requests over loopback, under TLS, to handlers that do what the test wants.

use super::super::response::Content;
use super::conversation::{Conversation, Kind};
use super::*;
use crate::tls::{Stream, Timeouts, TlsIdentity, testing};
use rustls::{ClientConnection, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use store::Body;
use tempfile::TempDir;

/// A minute: a test that waits that long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "archive.example";

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A running server and what is needed to speak to it.
struct Scene {
    server: WebServer,
    identity: TlsIdentity,
    /// How many requests reached the handler.
    handled: Arc<AtomicUsize>,
    folder: TempDir,
}

impl Scene {
    fn new(options: WebOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = identity();
        let tls = Arc::new(TlsServer::new(&identity).expect("a fitting key"));
        let handled = Arc::new(AtomicUsize::new(0));
        let count = handled.clone();
        let handler: Handler = Arc::new(move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            answer(request)
        });
        let socket = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let sockets = vec![WebSocket::Https(socket()), WebSocket::Redirect(socket())];
        let server = WebServer::start(options, sockets, folder.path(), tls, handler);
        Self {
            server: server.expect("a running server"),
            identity,
            handled,
            folder,
        }
    }

    fn connect(&self, door: usize) -> TcpStream {
        let socket = TcpStream::connect(self.server.local_addrs()[door]).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket
    }

    fn client(&self) -> TlsClient {
        let tls = testing::client(&self.identity.certificate_der, NAME);
        StreamOwned::new(tls, self.connect(0))
    }

    fn handled(&self) -> usize {
        self.handled.load(Ordering::SeqCst)
    }
}

fn identity() -> TlsIdentity {
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    TlsIdentity::generate(&TlsIdentity::names_of(NAME), now.as_secs()).expect("a certificate")
}

/// What the handler of these tests does.
fn answer(request: &Request) -> Response {
    match request.path.as_str() {
        "/panic" => panic!("on purpose"),
        "/large" => Response::new(200, "application/octet-stream", large()),
        "/form" => Response::text(200, request.form_value("text")),
        "/api/json" => Response::text(200, String::from_utf8_lossy(&request.body)),
        "/file" => {
            let mut response = Response::text(200, "");
            response.content = Content::Body(Body::Memory(large()));
            response
        }
        _ => {
            let text = format!("{:?} {} for {}", request.method, request.path, request.peer);
            Response::text(200, text)
        }
    }
}

/// 3 MB that do not repeat.
fn large() -> Vec<u8> {
    (0..750_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// What a client got.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a head is text")
}

fn ask(stream: &mut (impl Read + Write), request: &str) -> Got {
    stream.write_all(request.as_bytes()).expect("a server");
    read(stream, request.starts_with("HEAD"))
}

fn read(stream: &mut impl Read, is_head: bool) -> Got {
    let head = read_head(stream);
    let status = head[9..12].parse().expect("a status");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; if is_head { 0 } else { length }];
    stream.read_exact(&mut body).expect("a whole body");
    Got { status, head, body }
}

/// Checks that the server has closed the connection, however TLS says it.
fn expect_end(stream: &mut impl Read) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        other => panic!("the connection goes on: {other:?}"),
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    )
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n";

#[test]
fn a_connection_carries_one_request_after_another() {
    let scene = Scene::new(WebOptions::default());
    let mut client = scene.client();
    let first = ask(&mut client, &get("/one?q=x"));
    assert_eq!(
        (first.status, first.text().as_str()),
        (200, "Get /one for 127.0.0.1")
    );
    for field in [
        "Content-Security-Policy: default-src 'none';",
        "X-Content-Type-Options: nosniff\r\n",
        "Cache-Control: no-store\r\n",
        "Connection: keep-alive\r\n",
    ] {
        assert!(first.head.contains(field), "{field} in {}", first.head);
    }
    for hidden in ["tiny", "Server:", "Transfer-Encoding"] {
        assert!(!first.head.contains(hidden), "{}", first.head);
    }
    let head = ask(
        &mut client,
        "HEAD /two HTTP/1.1\r\nHost: archive.example\r\n\r\n",
    );
    assert!(
        head.head.contains("Content-Length: 22\r\n"),
        "{}",
        head.head
    );
    // Two at once: the second waits for the first.
    let both = post("/form", FORM, "text=Gr%C3%BC%C3%9Fe") + &get("/large");
    assert_eq!(ask(&mut client, &both).text(), "Grüße");
    assert!(read(&mut client, false).body == large());
    assert_eq!(ask(&mut client, &get("/panic")).status, 500);
    let last = get("/last").replace("Host", "Connection: close\r\nHost");
    assert_eq!(ask(&mut client, &last).status, 200);
    expect_end(&mut client);
    assert_eq!(scene.handled(), 6);
}

#[test]
fn nobody_speaks_in_the_name_of_another() {
    let scene = Scene::new(WebOptions::default());
    let request = get("/").replace("Host", "Coffer-Peer: 192.0.2.1\r\ncoffer_peer: ::2\r\nHost");
    let got = ask(&mut scene.client(), &request);
    assert_eq!(got.text(), "Get / for 127.0.0.1");
}

#[test]
fn what_handlers_do_not_take_is_refused_behind_the_edge() {
    let scene = Scene::new(WebOptions::default());
    for (request, status) in [
        (post("/form", "", "text=x"), 415),
        (post("/form", "Content-Type: text/plain\r\n", "text=x"), 415),
        (get("/").replace("GET", "PUT"), 405),
        (get("/").replace("GET", "TRACE"), 405),
    ] {
        let got = ask(&mut scene.client(), &request);
        assert_eq!(got.status, status, "{request}");
        assert!(got.head.contains("Content-Security-Policy"), "{}", got.head);
    }
    assert_eq!(scene.handled(), 0);
}

#[test]
fn programs_send_what_they_like_and_are_refused_in_their_words() {
    let scene = Scene::new(WebOptions::default());
    let mut client = scene.client();
    let json = "Content-Type: application/json\r\n";
    let got = ask(&mut client, &post("/api/json", json, "{\"a\": 1}"));
    assert_eq!((got.status, got.text().as_str()), (200, "{\"a\": 1}"));
    let put = get("/api/v1/search?q=x").replace("GET", "PUT");
    let refused = ask(&mut client, &put);
    assert_eq!(refused.status, 405);
    for field in ["Allow: GET, HEAD\r\n", "application/problem+json"] {
        assert!(refused.head.contains(field), "{field} in {}", refused.head);
    }
    assert_eq!(scene.handled(), 1);
}

#[test]
fn a_file_is_given_from_a_byte_on() {
    let scene = Scene::new(WebOptions::default());
    let request = get("/file").replace("Host", "Range: bytes=2999990-\r\nHost");
    let got = ask(&mut scene.client(), &request);
    assert_eq!(got.status, 206);
    let range = "Content-Range: bytes 2999990-2999999/3000000\r\n";
    assert!(got.head.contains(range), "{}", got.head);
    assert_eq!(got.body, large()[2_999_990..]);
}

/// The machine's own tests have all variants; here that a refusal ends the connection and reaches no handler.
#[test]
fn what_the_edge_refuses_reaches_no_handler() {
    let scene = Scene::new(WebOptions::default());
    let smuggled = "0\r\n\r\nGET /inner HTTP/1.1\r\nHost: x\r\n\r\n";
    for (request, status) in [
        (
            post(
                "/",
                &format!("{FORM}Transfer-Encoding: chunked\r\n"),
                smuggled,
            ),
            400,
        ),
        (
            post("/", &format!("{FORM}Content-Length: 0\r\n"), smuggled),
            400,
        ),
        (
            post("/", FORM, smuggled)
                .replace("Content-Length: ", "Transfer-Encoding: chunked\r\nX: "),
            411,
        ),
        (post("/", FORM, &"x".repeat(64 * 1024 + 1)), 413),
        (
            get("/").replace("Host", &format!("X: {}\r\nHost", "y".repeat(16 * 1024))),
            431,
        ),
        (get("/").replace("HTTP/1.1", "HTTP/3"), 505),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = scene.client();
        // The server may refuse, and close, before it has all.
        let _ = client.write_all(request.as_bytes());
        assert_eq!(read(&mut client, false).status, status);
        expect_end(&mut client);
    }
    assert_eq!(scene.handled(), 0);
}

#[test]
fn plain_http_only_sends_browsers_to_the_page() {
    let options = WebOptions {
        https_port: 8443,
        ..WebOptions::default()
    };
    let scene = Scene::new(options);
    for (host, status, location) in [
        ("coffer.local", 308, "https://coffer.local:8443/a?b=c"),
        ("192.0.2.1:80", 308, "https://192.0.2.1:8443/a?b=c"),
        ("[2001:db8::1]:80", 308, "https://[2001:db8::1]:8443/a?b=c"),
        ("evil.example/x", 400, ""),
        ("a@b", 400, ""),
        ("", 400, ""),
    ] {
        let mut client = scene.connect(1);
        let request = format!("GET /a?b=c HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let got = ask(&mut client, &request);
        assert_eq!(got.status, status, "{host}");
        assert!(
            location.is_empty() || got.head.contains(&format!("Location: {location}\r\n")),
            "{}",
            got.head
        );
        expect_end(&mut client);
    }
    assert_eq!(scene.handled(), 0);
}

/// Serves one connection with a clock that is a second later at each look; gives what the client is told.
fn with_running_clock(dribble: &'static [u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Arc::new(TlsServer::new(&identity()).expect("a fitting key"));
    let edge = Edge {
        options: WebOptions::default(),
        tls,
        behind: ShortPath::new(folder.path(), SOCKET).expect("a folder"),
    };
    let serve: Serve = Arc::new(move |connection| {
        let seconds = AtomicU64::new(0);
        let clock = || Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed));
        let timeouts = Timeouts {
            read: Duration::from_millis(1),
            write: PATIENCE,
            handshake: PATIENCE,
        };
        let mut stream = Stream::new(connection.socket().clone(), timeouts).expect("a stream");
        Conversation::new(&edge, connection, &mut stream, Kind::Page, &clock)
            .run()
            .expect("a client that reads");
        let passed = seconds.load(Ordering::Relaxed);
        assert!((10..60).contains(&passed), "it took {passed} s");
        stream.close();
    });
    let door = Door {
        socket: TcpListener::bind("127.0.0.1:0").expect("a free port"),
        refusal: b"",
        serve,
    };
    let limits = Limits {
        connections_max: 1,
        connections_per_peer_max: 1,
        stack_bytes: STACK_BYTES,
        when_full: WhenFull::Refuse,
    };
    let listener = Listener::start("test", vec![door], limits).expect("a listener");
    let mut client = TcpStream::connect(listener.local_addrs()[0]).expect("a connection");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    for byte in dribble {
        // The server may have had enough of it.
        let _ = client.write_all(&[*byte]);
    }
    let mut told = Vec::new();
    let _ = client.read_to_end(&mut told);
    String::from_utf8(told).expect("text")
}

#[test]
fn a_byte_at_a_time_holds_no_connection() {
    assert_eq!(with_running_clock(b""), "", "nobody waits for an answer");
    let late = "HTTP/1.1 408 the request took too long\r\n";
    assert!(with_running_clock(b"GET / HTTP/1.1\r\nX-A: bbbb").starts_with(late));
    let body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc";
    assert!(with_running_clock(body).starts_with(late));
}

#[test]
fn whoever_holds_all_connections_keeps_nobody_out() {
    let options = WebOptions {
        connections_max: 4,
        ..WebOptions::default()
    };
    let scene = Scene::new(options);
    let mut used = scene.client();
    assert_eq!(ask(&mut used, &get("/")).status, 200);
    // Nothing at all, the beginning of a TLS record, and a head that does not end.
    let mut silent = [scene.connect(0), scene.connect(0)];
    silent[1].write_all(&[22, 3, 1]).expect("a server");
    let mut slow = scene.client();
    slow.write_all(b"GET / HTTP/1.1\r\nX-Slow: ")
        .expect("a server");
    // Each one more ends one of them, and stays.
    let mut others: Vec<_> = (0..4).map(|_| scene.client()).collect();
    for _ in 0..2 {
        for client in &mut others {
            assert_eq!(ask(client, &get("/")).status, 200);
        }
    }
    expect_end(&mut used);
    expect_end(&mut silent[0]);
    expect_end(&mut silent[1]);
    expect_end(&mut slow);
}

#[test]
fn the_socket_behind_is_for_this_account_only_and_goes_with_the_server() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new(WebOptions::default());
    let socket = scene.folder.path().join(SOCKET);
    let mode = std::fs::metadata(&socket).expect("a socket").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let mut client = scene.client();
    assert_eq!(ask(&mut client, &get("/")).status, 200);
    assert_eq!(scene.server.stop(), 0);
    expect_end(&mut client);
    let since = Instant::now();
    while socket.exists() {
        assert!(since.elapsed() < PATIENCE, "the socket stays");
        std::thread::yield_now();
    }
}
