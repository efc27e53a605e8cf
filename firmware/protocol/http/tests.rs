//! Requests as bytes, whole and one byte at a time, and what goes upstream.

use super::*;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const BODY_MAX: u64 = 100;
const ADDED: &str = "Coffer-Peer: 192.0.2.7\r\nConnection: close\r\n\r\n";

/// Feeds pieces of a length; gives what went upstream, what was left over, and how it ended.
fn run(input: &[u8], piece_len: usize) -> (Vec<u8>, usize, Progress) {
    let mut request = Request::new(PEER, BODY_MAX);
    let (mut upstream, mut taken) = (Vec::new(), 0);
    while taken < input.len() {
        let piece = &input[taken..input.len().min(taken + piece_len)];
        let step = request.receive(piece);
        taken += step.taken;
        upstream.extend(step.upstream);
        if step.progress != Progress::NeedInput {
            return (upstream, input.len() - taken, step.progress);
        }
        assert_eq!(step.taken, piece.len(), "all is taken while more must come");
    }
    (upstream, 0, Progress::NeedInput)
}

/// Demands the same whatever the pieces, and gives it.
fn run_in_pieces(input: &[u8]) -> (Vec<u8>, usize, Progress) {
    let whole = run(input, input.len());
    for piece_len in 1..input.len().min(200) {
        assert_eq!(run(input, piece_len), whole, "in pieces of {piece_len}");
    }
    whole
}

#[test]
fn a_request_is_passed_on_as_it_was_understood() {
    for (input, upstream, left) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            0,
        ),
        (
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            0,
        ),
        (
            "GET /?q=%20x HTTP/1.0\r\n\r\n",
            "GET /?q=%20x HTTP/1.1\r\n",
            0,
        ),
        (
            "GET / HTTP/1.1\r\nhost:a\r\nCookie:\t s=1 \r\nX-Empty:\r\n\r\nGET /next",
            "GET / HTTP/1.1\r\nhost: a\r\nCookie: s=1\r\nX-Empty: \r\n",
            9,
        ),
        (
            "GET / HTTP/1.1\r\nCoffer-Peer: 127.0.0.1\r\nHost: a\r\ncoffer_PEER: ::1\r\nCOFFER-PEER: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            0,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Cookie\r\nCookie: s=1\r\nUpgrade: h2c\r\nTE: trailers\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: s=1\r\n",
            0,
        ),
        (
            "GET / HTTP/1.1\r\nHost: b\u{fc}ro\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: b\u{fc}ro\r\n",
            0,
        ),
    ] {
        let (passed, left_over, progress) = run_in_pieces(input.as_bytes());
        assert_eq!(progress, Progress::Complete, "{input}");
        assert_eq!(
            String::from_utf8(passed).expect("text"),
            format!("{upstream}{ADDED}")
        );
        assert_eq!(left_over, left, "{input}");
    }
}

#[test]
fn a_body_has_the_length_it_says() {
    for (length, sent, expected, progress) in [
        (0, "", "", Progress::Complete),
        (3, "abc", "abc", Progress::Complete),
        (3, "abcGET / HTTP/1.1\r\n", "abc", Progress::Complete),
        (3, "ab", "ab", Progress::NeedInput),
        (100, &"x".repeat(100), &"x".repeat(100), Progress::Complete),
    ] {
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n");
        let input = format!("{head}\r\n{sent}");
        let (passed, left, found) = run_in_pieces(input.as_bytes());
        assert_eq!(
            String::from_utf8(passed).expect("text"),
            format!("{head}{ADDED}{expected}")
        );
        assert_eq!(left, sent.len() - expected.len());
        assert_eq!(found, progress, "{length}");
    }
}

/// Each of them is taken in two ways by some pair of servers, or is more than is allowed.
#[test]
fn what_could_be_smuggled_is_refused_before_a_byte_goes_upstream() {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
    let many = "X: y\r\n".repeat(100) + "X: y";
    for (input, refusal) in [
        (
            post("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            Refusal::Malformed,
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 5"),
            Refusal::Malformed,
        ),
        (
            post("Content-Length: 5\r\nContent-Length: 6"),
            Refusal::Malformed,
        ),
        (
            post("Content-Length: 5\r\ncontent-length: 5"),
            Refusal::Malformed,
        ),
        (post("Content-Length: 5, 5"), Refusal::Malformed),
        (post("Content-Length: +5"), Refusal::Malformed),
        (post("Content-Length: -1"), Refusal::Malformed),
        (post("Content-Length: 0x5"), Refusal::Malformed),
        (post("Content-Length: 5 5"), Refusal::Malformed),
        (post("Content-Length:"), Refusal::Malformed),
        (post("Content-Length : 5"), Refusal::Malformed),
        (post("Content-Length\t: 5"), Refusal::Malformed),
        (post(" Content-Length: 5"), Refusal::Malformed),
        (post("X: y\r\n Content-Length: 5"), Refusal::Malformed),
        (post("X: y\r\n\tfolded"), Refusal::Malformed),
        (post("X: y\nContent-Length: 5"), Refusal::Malformed),
        (post("X: y\rContent-Length: 5"), Refusal::Malformed),
        (post("X: y\0"), Refusal::Malformed),
        (post("no colon"), Refusal::Malformed),
        (post(": no name"), Refusal::Malformed),
        (post("H\u{f6}st: a"), Refusal::Malformed),
        (post("Host: b"), Refusal::Malformed),
        (post("Transfer-Encoding: chunked"), Refusal::LengthRequired),
        (post("Transfer-Encoding: xchunked"), Refusal::LengthRequired),
        (
            post("transfer-encoding:\tidentity"),
            Refusal::LengthRequired,
        ),
        (post("Content-Length: 101"), Refusal::TooLarge),
        (
            post("Content-Length: 99999999999999999999"),
            Refusal::TooLarge,
        ),
        (
            post("Expect: 100-continue\r\nContent-Length: 5"),
            Refusal::Expectation,
        ),
        (post(&many), Refusal::HeadTooLarge),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Refusal::Malformed),
        (
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        (
            "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        (
            "GET / x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        (
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        (
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        (
            "GET /\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        ("GET /\r\n\r\n".to_owned(), Refusal::Malformed),
        ("\r\n\r\n".to_owned(), Refusal::Malformed),
        ("PRI * HTTP/2.0\r\n\r\n".to_owned(), Refusal::Malformed),
        (
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(),
            Refusal::Version,
        ),
    ] {
        let (passed, _, progress) = run_in_pieces(input.as_bytes());
        assert_eq!(progress, Progress::Refused(refusal), "{input:?}");
        assert!(passed.is_empty(), "{input:?}");
        assert!((400..600).contains(&refusal.status()));
    }
}

#[test]
fn a_head_has_its_limit_and_a_refusal_stays() {
    let head = |len: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "y".repeat(len - start.len() - 4))
    };
    let (_, _, progress) = run(head(HEAD_BYTES_MAX).as_bytes(), 1000);
    assert_eq!(progress, Progress::Complete);
    for piece_len in [1, 1000, 100_000] {
        let (passed, _, progress) = run(head(HEAD_BYTES_MAX + 1).as_bytes(), piece_len);
        assert_eq!(progress, Progress::Refused(Refusal::HeadTooLarge));
        assert!(passed.is_empty());
    }
    let mut request = Request::new(PEER, BODY_MAX);
    let bad = request.receive(b"x\r\n\r\n").progress;
    assert_eq!(bad, Progress::Refused(Refusal::Malformed));
    let later = request.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((later.taken, later.progress), (0, bad));
    assert!(later.upstream.is_empty());
}

#[test]
fn the_edge_knows_what_was_asked() {
    let asked = |is_head, goes_on, host: &str, target: &str| Asked {
        is_head,
        goes_on,
        host: host.to_owned(),
        target: target.to_owned(),
    };
    for (input, expected) in [
        (
            "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
            asked(false, true, "x", "/a?b"),
        ),
        (
            "HEAD / HTTP/1.1\r\nHOST: x:1\r\nConnection: keep-alive\r\n\r\n",
            asked(true, true, "x:1", "/"),
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n",
            asked(false, false, "x", "/"),
        ),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            asked(false, false, "", "/"),
        ),
    ] {
        let mut request = Request::new(PEER, BODY_MAX);
        assert_eq!(request.asked(), None);
        request.receive(input.as_bytes());
        assert_eq!(request.asked(), Some(&expected), "{input}");
    }
}
