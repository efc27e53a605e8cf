//! What holds for every SMTP session, whatever the peer sends.

use std::sync::Arc;

use proptest::prelude::*;

use super::content::tests::stuff;
use super::input::READ_LEN_MAX;
use super::options::LINE_MAX_BYTES;
use super::{Event, Options, Outcome, Peer, Session, TlsInfo};

/// Input buffer, two output buffers of 16 KiB and one long reply, each rounded up to a power of two, and a line
/// twice.
const HELD_MAX_BYTES: usize = READ_LEN_MAX + 3 * LINE_MAX_BYTES + 2 * 2 * 16 * 1024;

/// Sends `pieces`, answers every question with yes, and gives what was stored and what was written.
fn run(options: Options, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let peer = Peer {
        may_send: true,
        tls: None,
    };
    let mut session = Session::new(Arc::new(options), peer);
    let (mut stored, mut content, mut written) = (Vec::new(), Vec::new(), Vec::new());
    let mut pieces = pieces.iter().copied();
    let mut rest: &[u8] = &[];
    loop {
        assert!(
            session.held_bytes() <= HELD_MAX_BYTES,
            "{}",
            session.held_bytes()
        );
        match session.next() {
            Event::NeedInput => {
                while rest.is_empty() {
                    match pieces.next() {
                        Some(piece) => rest = piece,
                        None => {
                            session.input_ended();
                            break;
                        }
                    }
                }
                let taken = session.receive(rest);
                assert!(taken == rest.len() || taken >= READ_LEN_MAX);
                rest = &rest[taken..];
            }
            Event::NeedAnswer => panic!("every question was answered"),
            Event::Write(bytes) => written.extend_from_slice(bytes),
            Event::StartTls => session.tls_started(TlsInfo {
                version: "TLSv1.3".into(),
                cipher: "AES".into(),
            }),
            Event::CheckCredentials(_) => session.credentials_checked(true),
            Event::Content(bytes) => content.extend_from_slice(bytes),
            Event::MessageEnds => {
                stored.push(std::mem::take(&mut content));
                session.message_stored(Outcome::Stored {
                    number: stored.len() as u64,
                    digest_hex: String::new(),
                    duplicate: false,
                });
            }
            Event::MessageAborted(_) => content.clear(),
            Event::MessageBegins(_) | Event::SizeRefused { .. } => assert!(content.is_empty()),
            Event::Close => return (stored, written),
        }
    }
}

const ENVELOPE: &[u8] = b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n";

/// Bytes of which sessions are made, whole and broken.
fn session_bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        ENVELOPE,
        b"DATA\r\n",
        b"BDAT 7\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 99999999\r\n",
        b"\r\n.\r\n",
        b"RSET\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN\r\n",
        b"AHRlc3QAMTIzNA==\r\n",
        b"AUTH LOGIN\r\n",
        b"EHLO x\r\n",
        b"MAIL FROM:<a@x> SIZE=",
        b"RCPT TO:<",
        b">\r\n",
        b"\r",
        b"\n",
        b".",
        b"QUIT\r\n",
    ];
    let piece = prop_oneof![
        4 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (any::<u8>(), 0usize..9000).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn all_on() -> Options {
    let mut options = Options::new("archive.example");
    options.starttls = true;
    options.auth = true;
    options.size_max_bytes = 5000;
    options
}

proptest! {
    #[test]
    fn any_bytes_end_well_within_bounds(bytes in session_bytes(), piece_len in 1usize..3000) {
        let pieces = bytes.chunks(piece_len).collect::<Vec<_>>();
        run(all_on(), &pieces);
    }

    #[test]
    fn the_cutting_of_the_input_changes_nothing(bytes in session_bytes(), piece_len in 1usize..200) {
        // STARTTLS is off here: what is dropped after it depends on when it was sent.
        let mut options = all_on();
        options.starttls = false;
        let pieces = bytes.chunks(piece_len).collect::<Vec<_>>();
        prop_assert_eq!(run(options.clone(), &pieces), run(options, &[&bytes]));
    }

    #[test]
    fn any_content_arrives_by_data(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..30),
        piece_len in 1usize..5000,
    ) {
        let content: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\r\n"].concat()).collect();
        let bytes = [ENVELOPE, b"DATA\r\n", &stuff(&content), b"QUIT\r\n"].concat();
        let pieces = bytes.chunks(piece_len).collect::<Vec<_>>();
        let (stored, _) = run(Options::new("archive.example"), &pieces);
        prop_assert_eq!(stored, vec![content]);
    }

    #[test]
    fn any_content_arrives_by_chunks(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
        piece_len in 1usize..5000,
    ) {
        let mut bytes = ENVELOPE.to_vec();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
        }
        bytes.extend_from_slice(b"BDAT 0 LAST\r\nQUIT\r\n");
        let pieces = bytes.chunks(piece_len).collect::<Vec<_>>();
        let (stored, _) = run(Options::new("archive.example"), &pieces);
        prop_assert_eq!(stored, vec![chunks.concat()]);
    }
}

#[test]
fn a_large_message_passes_through_without_being_held() {
    let content = b"0123456789abcdef0123456789abcdef.\r\n".repeat(60_000);
    let bytes = [ENVELOPE, b"DATA\r\n", &stuff(&content), b"QUIT\r\n"].concat();
    let (stored, _) = run(Options::new("archive.example"), &[&bytes]);
    assert_eq!(stored, [content]);
}

#[test]
fn replies_to_a_long_pipeline_are_not_piled_up() {
    let mut options = Options::new("archive.example");
    options.recipients_max = 1;
    let bytes = [ENVELOPE, &b"RCPT TO:<c@x>\r\n".repeat(20_000)].concat();
    let (_, written) = run(options, &[&bytes]);
    let refused = written
        .windows(9)
        .filter(|window| window == b"452 4.5.3")
        .count();
    assert_eq!(refused, 20_000);
}

#[test]
fn a_peer_that_never_stops_is_cut_off() {
    let mut options = Options::new("archive.example");
    options.size_max_bytes = 10;
    let piece = vec![b'x'; READ_LEN_MAX];
    let mut pieces = vec![ENVELOPE, b"BDAT 9000000000000 LAST\r\n"];
    pieces.resize(20_000, &piece);
    let (stored, written) = run(options, &pieces);
    assert!(stored.is_empty());
    assert!(written.ends_with(b"552 5.3.4 message larger than 10 octets\r\n"));
}

#[test]
fn a_busy_connection_is_not_idle() {
    let by_data = [ENVELOPE, b"DATA\r\nx\r\n.\r\n"].concat().repeat(200);
    let by_chunks = [ENVELOPE, &b"BDAT 1\r\nx".repeat(200), b"BDAT 0 LAST\r\n"].concat();
    let bytes = [&by_data[..], &by_chunks, b"QUIT\r\n"].concat();
    let (stored, written) = run(Options::new("archive.example"), &[&bytes]);
    assert_eq!(stored.len(), 201);
    assert!(written.ends_with(b"221 2.0.0 closing\r\n"));
}
