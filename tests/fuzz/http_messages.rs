//! HTTP at the edge: the cutting of the input changes nothing, nobody speaks for another, and what goes on is understood in one way only.
//!
//! The last byte of an input chooses pieces; all before is what the client sends, and what whoever stands behind answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::http::{
    FIELDS_MAX, HEAD_BYTES_MAX, Progress, Request, Response, ResponseProgress, ResponseTo,
};
use std::net::{IpAddr, Ipv4Addr};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const BODY_BYTES_MAX: u64 = 500;

/// What became of a request.
#[derive(Debug, PartialEq)]
struct Passed {
    upstream: Vec<u8>,
    taken: usize,
    progress: Progress,
    host: Option<String>,
}

fn pass(sent: &[u8], piece_bytes: usize) -> Passed {
    let mut request = Request::new(PEER, BODY_BYTES_MAX);
    let (mut upstream, mut taken) = (Vec::new(), 0);
    let mut progress = Progress::NeedInput;
    for piece in sent.chunks(piece_bytes) {
        let step = request.receive(piece);
        taken += step.taken;
        upstream.extend(step.upstream);
        progress = step.progress;
        if progress != Progress::NeedInput {
            break;
        }
        assert_eq!(step.taken, piece.len(), "all is taken while more must come");
    }
    let host = request.asked().map(|asked| asked.host.clone());
    Passed {
        upstream,
        taken,
        progress,
        host,
    }
}

fn check_request(sent: &[u8], piece_bytes: usize) {
    let whole = pass(sent, sent.len().max(1));
    assert_eq!(pass(sent, piece_bytes), whole, "in pieces of {piece_bytes}");
    assert_eq!(pass(sent, 1), whole, "byte by byte");
    assert!(whole.taken <= sent.len() && whole.taken <= HEAD_BYTES_MAX + BODY_BYTES_MAX as usize);
    if let Progress::Refused(_) = whole.progress {
        assert!(whole.upstream.is_empty(), "nothing of it goes upstream");
    }
    let Some(end) = whole.upstream.windows(4).position(|end| end == b"\r\n\r\n") else {
        return;
    };
    let head = String::from_utf8_lossy(&whole.upstream[..end]).to_lowercase();
    let lines = head.split("\r\n");
    let peers: Vec<_> = lines.filter(|line| line.starts_with("coffer-peer:")).collect();
    assert_eq!(peers, ["coffer-peer: 192.0.2.7"]);
    assert!(!head.contains("\r\ntransfer-encoding:"));
    // What the edge adds may bring a head over the edge's own limits.
    let is_within = head.matches("\r\n").count() <= FIELDS_MAX && end + 4 <= HEAD_BYTES_MAX;
    // RFC 9112 §3.2: only HTTP/1.0 may come without a host, and it goes on as HTTP/1.1.
    if is_within && whole.host.is_some_and(|host| !host.is_empty()) {
        let again = pass(&whole.upstream, usize::MAX);
        assert_eq!(again.upstream, whole.upstream, "read again it is the same");
        assert_eq!(again.progress, whole.progress);
    }
}

fn answer(bytes: &[u8], piece_bytes: usize, to: ResponseTo) -> (Vec<u8>, ResponseProgress, bool) {
    let (mut response, mut downstream) = (Response::new(to), Vec::new());
    let mut progress = ResponseProgress::NeedInput;
    for piece in bytes.chunks(piece_bytes) {
        progress = response.receive(piece, &mut downstream);
        if progress != ResponseProgress::NeedInput {
            break;
        }
    }
    (downstream, progress, response.is_unseen())
}

fn check_response(bytes: &[u8], piece_bytes: usize) {
    for (is_head, goes_on) in [(false, true), (true, false)] {
        let to = ResponseTo { is_head, goes_on };
        let whole = answer(bytes, bytes.len().max(1), to);
        assert_eq!(answer(bytes, piece_bytes, to), whole);
        assert_eq!(answer(bytes, 1, to), whole);
        let (downstream, progress, is_unseen) = whole;
        assert_eq!(is_unseen, downstream.is_empty());
        if progress == ResponseProgress::Complete {
            assert!(downstream.starts_with(b"HTTP/1.1 "));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, sent)) = bytes.split_last() else {
        return;
    };
    let piece_bytes = 1 + usize::from(*piece);
    check_request(sent, piece_bytes);
    check_response(sent, piece_bytes);
});
