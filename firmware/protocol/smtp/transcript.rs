//! Runs the dialogues under `tests/transcripts/smtp` against the machine.
//!
//! A transcript is a list of lines with a mark before them:
//!
//! | mark | meaning |
//! |---|---|
//! | `O:` | an option: `size_max N`, `recipients_max N`, `envelope_max N`, `line_max N`, `errors_max N`, `starttls`, `auth`, `tls`, `outside` |
//! | `C:` | the peer sends the line and CRLF; neighbouring lines go out in one piece |
//! | `c:` | the peer sends exactly this |
//! | `S:` | the peer is sent this line |
//! | `E:` | an event other than writing, as `describe` words it |
//! | `A:` | an answer or another input, as `Run::answer` reads it |
//!
//! In `C:` and `c:` stand `\r`, `\n`, `\0`, `\xHH`, `\\`, and `\{TEXT*N}` for N times TEXT. Each transcript runs in one
//! piece, one byte at a time, and split at every position; what is sent and what happens must be the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Abort, Body, Envelope, Event, Options, Outcome, Peer, Session, TlsInfo};

/// 200 bytes: longer content is told by its length.
const SHOWN_LEN_MAX: usize = 200;

#[test]
fn every_transcript_holds_however_the_bytes_arrive() {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/transcripts/smtp"
    ));
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the transcripts lie beside the code") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a readable transcript");
        let transcript = Transcript::parse(&path.display().to_string(), &text);
        transcript.run(Pieces::Whole);
        transcript.run(Pieces::Bytes);
        for at in 1..transcript.sent_len() {
            transcript.run(Pieces::SplitAt(at));
        }
        count += 1;
    }
    assert!(count >= 20, "too few transcripts: {count}");
}

/// Is one dialogue.
struct Transcript {
    name: String,
    options: Options,
    peer: Peer,
    turns: Vec<Turn>,
}

/// Is one input and all that must come of it.
struct Turn {
    line_number: usize,
    input: Input,
    replies: Vec<String>,
    events: Vec<String>,
}

enum Input {
    Nothing,
    Sent(Vec<u8>),
    Answer(String),
}

/// Tells how sent bytes are cut.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    Whole,
    Bytes,
    /// One cut, counted from the start of the dialogue.
    SplitAt(usize),
}

impl Transcript {
    fn parse(name: &str, text: &str) -> Self {
        let mut transcript = Self {
            name: name.to_owned(),
            options: Options::new("archive.example"),
            peer: Peer {
                may_send: true,
                tls: None,
            },
            turns: vec![Turn::new(0, Input::Nothing)],
        };
        for (index, line) in text.lines().enumerate() {
            if !line.is_empty() && !line.starts_with('#') {
                let (mark, rest) = line.split_at(2.min(line.len()));
                let rest = rest.strip_prefix(' ').unwrap_or(rest);
                transcript.add(index + 1, mark, rest);
            }
        }
        transcript
    }

    fn add(&mut self, line_number: usize, mark: &str, rest: &str) {
        let turn = self.turns.last_mut().expect("the greeting is a turn");
        match mark {
            "O:" => self.set(rest),
            "S:" => turn.replies.push(rest.to_owned()),
            "E:" => turn.events.push(rest.to_owned()),
            "A:" => self
                .turns
                .push(Turn::new(line_number, Input::Answer(rest.to_owned()))),
            "C:" | "c:" => {
                let mut bytes = unescape(rest);
                if mark == "C:" {
                    bytes.extend_from_slice(b"\r\n");
                }
                match &mut turn.input {
                    Input::Sent(sent) if turn.replies.is_empty() && turn.events.is_empty() => {
                        sent.extend_from_slice(&bytes);
                    }
                    _ => self.turns.push(Turn::new(line_number, Input::Sent(bytes))),
                }
            }
            _ => panic!("{}:{line_number}: unknown mark: {mark}", self.name),
        }
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(' ').unwrap_or((option, ""));
        let number = || value.parse().expect("a number");
        match name {
            "size_max" => self.options.size_max_bytes = value.parse().expect("a number"),
            "recipients_max" => self.options.recipients_max = number(),
            "line_max" => self.options.line_max_bytes = number(),
            "envelope_max" => self.options.envelope_max_bytes = number(),
            "errors_max" => self.options.errors_max = value.parse().expect("a number"),
            "starttls" => self.options.starttls = true,
            "auth" => self.options.auth = true,
            "outside" => self.peer.may_send = false,
            "tls" => self.peer.tls = Some(tls()),
            _ => panic!("{}: unknown option: {option}", self.name),
        }
    }

    fn sent_len(&self) -> usize {
        self.turns
            .iter()
            .map(|turn| match &turn.input {
                Input::Sent(bytes) => bytes.len(),
                _ => 0,
            })
            .sum()
    }

    fn run(&self, pieces: Pieces) {
        let mut run = Run::new(self);
        for turn in &self.turns {
            match &turn.input {
                Input::Nothing => {}
                Input::Sent(bytes) => run.send(bytes, pieces),
                Input::Answer(answer) => run.answer(answer),
            }
            run.go_on();
            let place = format!("{}:{} {pieces:?}", self.name, turn.line_number);
            assert_eq!(run.take_replies(), turn.replies, "replies at {place}");
            assert_eq!(
                std::mem::take(&mut run.events),
                turn.events,
                "events at {place}"
            );
        }
    }
}

impl Turn {
    fn new(line_number: usize, input: Input) -> Self {
        Self {
            line_number,
            input,
            replies: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// Is one dialogue under way.
struct Run {
    session: Session,
    now: Duration,
    sent_len: usize,
    content: Vec<u8>,
    replies: Vec<u8>,
    events: Vec<String>,
    closed: bool,
}

impl Run {
    fn new(transcript: &Transcript) -> Self {
        let options = Arc::new(transcript.options.clone());
        Self {
            session: Session::new(options, transcript.peer.clone()),
            now: Duration::ZERO,
            sent_len: 0,
            content: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            closed: false,
        }
    }

    fn send(&mut self, bytes: &[u8], pieces: Pieces) {
        let cut = match pieces {
            Pieces::Whole => bytes.len(),
            Pieces::Bytes => 1,
            Pieces::SplitAt(at) => match at.saturating_sub(self.sent_len) {
                inside if (1..bytes.len()).contains(&inside) => inside,
                _ => bytes.len(),
            },
        };
        self.sent_len += bytes.len();
        let (first, rest) = bytes.split_at(cut);
        self.send_piece(first);
        match pieces {
            Pieces::Bytes => rest.chunks(1).for_each(|byte| self.send_piece(byte)),
            _ => self.send_piece(rest),
        }
    }

    fn send_piece(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.go_on();
            self.session.tick(self.now);
            let taken = self.session.receive(bytes);
            assert!(taken > 0, "the machine takes no more");
            bytes = &bytes[taken..];
        }
    }

    fn answer(&mut self, answer: &str) {
        self.session.tick(self.now);
        let (verb, rest) = answer.split_once(' ').unwrap_or((answer, ""));
        match verb {
            "stored" => self.session.message_stored(stored(rest)),
            "later" => self
                .session
                .message_stored(Outcome::TryLater(rest.to_owned())),
            "full" => self.session.message_stored(Outcome::DiskFull),
            "large" => self.session.message_stored(Outcome::TooLarge),
            "credentials" => self.session.credentials_checked(rest == "right"),
            "tls" => self.session.tls_started(tls()),
            "defer" => self.session.defer_mail(Some(rest.to_owned())),
            "resume" => self.session.defer_mail(None),
            "shutdown" => self.session.shut_down(),
            "disconnect" => self.session.input_ended(),
            "wait" => {
                self.now += Duration::from_secs(rest.parse().expect("seconds"));
                self.session.tick(self.now);
            }
            _ => panic!("unknown answer: {answer}"),
        }
    }

    /// Goes on until the machine waits for something.
    fn go_on(&mut self) {
        while !self.closed {
            match self.session.next() {
                Event::NeedInput | Event::NeedAnswer => return,
                Event::Write(bytes) => self.replies.extend_from_slice(bytes),
                Event::Content(bytes) => {
                    assert!(!bytes.is_empty());
                    self.content.extend_from_slice(bytes);
                }
                event => {
                    self.closed = event == Event::Close;
                    let asks = matches!(
                        event,
                        Event::StartTls | Event::CheckCredentials(_) | Event::MessageEnds
                    );
                    describe(event, &mut self.content, &mut self.events);
                    if asks {
                        // Nothing is left to write: the 220 precedes TLS, earlier replies wait for no disk.
                        assert_eq!(self.session.next(), Event::NeedAnswer);
                    }
                }
            }
        }
        assert_eq!(self.session.next(), Event::Close);
    }

    fn take_replies(&mut self) -> Vec<String> {
        let replies = std::mem::take(&mut self.replies);
        let text = String::from_utf8(replies).expect("replies are ASCII");
        let lines = text.split_terminator("\r\n").map(str::to_owned).collect();
        assert!(text.is_empty() || text.ends_with("\r\n"), "half a reply");
        lines
    }
}

fn describe(event: Event<'_>, content: &mut Vec<u8>, events: &mut Vec<String>) {
    if let Event::MessageAborted(Abort::TooLarge) = event {
        content.clear(); // how much came before the limit depends on the pieces
    }
    if let Event::MessageEnds | Event::MessageAborted(_) = event {
        match std::mem::take(content) {
            content if content.is_empty() => {}
            content if content.len() > SHOWN_LEN_MAX => {
                events.push(format!("content of {} octets", content.len()));
            }
            content => events.push(format!("content {}", content.escape_ascii())),
        }
    }
    match event {
        Event::MessageBegins(envelope) => describe_envelope(&envelope, events),
        Event::MessageEnds => events.push("message ends".into()),
        Event::MessageAborted(why) => events.push(format!("message aborted: {why:?}")),
        Event::SizeRefused {
            reverse_path,
            size_bytes,
        } => {
            events.push(format!("size refused: <{reverse_path}> {size_bytes}"));
        }
        Event::StartTls => events.push("start TLS".into()),
        Event::CheckCredentials(credentials) => {
            events.push(format!(
                "check {} {}",
                credentials.name, credentials.password
            ));
        }
        Event::Close => events.push("close".into()),
        Event::NeedInput | Event::NeedAnswer | Event::Write(_) | Event::Content(_) => {}
    }
}

fn describe_envelope(envelope: &Envelope, events: &mut Vec<String>) {
    let mut from = format!("message from <{}>", envelope.reverse_path);
    for parameter in &envelope.mail_parameters {
        from = from + " " + parameter;
    }
    from = from + ", helo " + &envelope.helo;
    if envelope.smtputf8 {
        from += ", utf8";
    }
    if envelope.body == Body::EightBitMime {
        from += ", 8bit";
    }
    if let Some(tls) = &envelope.tls {
        from = from + ", " + &tls.version + " " + &tls.cipher;
    }
    if let Some(name) = &envelope.authenticated_as {
        from = from + ", signed in as " + name;
    }
    events.push(from);
    for recipient in &envelope.recipients {
        let parameters: String = recipient
            .parameters
            .iter()
            .map(|text| format!(" {text}"))
            .collect();
        events.push(format!("to <{}>{parameters}", recipient.address));
    }
}

fn stored(text: &str) -> Outcome {
    let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
    Outcome::Stored {
        number: number.parse().expect("a number"),
        digest_hex: "00ff".into(),
        duplicate: rest == "again",
    }
}

fn tls() -> TlsInfo {
    TlsInfo {
        version: "TLSv1.3".into(),
        cipher: "AES".into(),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (kind, after) = after.split_at(1);
        rest = after;
        match kind {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "0" => bytes.push(0),
            "\\" => bytes.push(b'\\'),
            "x" => {
                bytes.push(u8::from_str_radix(&after[..2], 16).expect("two hex digits"));
                rest = &after[2..];
            }
            "{" => {
                let (repeated, after) = after.split_once('}').expect("a closing brace");
                let (text, count) = repeated.rsplit_once('*').expect("a count");
                let count = count.parse().expect("a count");
                bytes.extend_from_slice(&unescape(text).repeat(count));
                rest = after;
            }
            _ => panic!("unknown escape: {kind}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
