//! The keeper's end of reading documents: it asks a process that has nothing to lose, the *extractor*, and waits for it no longer than a document may take.
//!
//! The connection is the extractor's, the questions are the keeper's: an extractor may ask nothing. What it answers is as hostile as a document can make it,
//! so nothing but [`DocumentText`] is taken from it, and that bounded.

use super::Failure;
use super::messages::{DocumentRequest, DocumentText, WireBody};
use super::wire::{self, Receiver};
use crate::slots::Slots;
use extract::{DOCUMENT_BYTES_MAX, Label, NoText, TEXT_BYTES_MAX};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use store::Body;

/// 45 seconds for an answer: half more than the extractor gives a document, before it is given up together with its document.
const ANSWER_PATIENCE: Duration = Duration::from_secs(45);

/// 30 seconds until the documents before have been read.
const TURN_PATIENCE: Duration = Duration::from_secs(30);

/// 20 seconds for an extractor that has just died to be there again.
const EXTRACTOR_PATIENCE: Duration = Duration::from_secs(20);

/// 5 seconds to send a question, which fits into the socket.
const SEND_PATIENCE: Duration = Duration::from_secs(5);

/// An answer is its text and a few bytes.
const ANSWER_BYTES_MAX: usize = TEXT_BYTES_MAX + 1_024;

/// 255 bytes of a name tell what a document is called.
const NAME_BYTES_MAX: usize = 255;

/// Starts an extractor and gives the connection to it.
pub type StartExtractor = Box<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

/// The extractor, as the keeper knows it.
pub(super) struct Documents {
    /// One document at a time: it bounds memory, and documents do not wait for each other within the extractor.
    turn: Slots,
    extractor: Mutex<Option<UnixStream>>,
    came: Condvar,
    start: OnceLock<StartExtractor>,
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            turn: Slots::new(1),
            extractor: Mutex::default(),
            came: Condvar::new(),
            start: OnceLock::new(),
        }
    }
}

impl Documents {
    /// Says how an extractor is started where nobody else does; before that, those are waited for that come.
    pub(super) fn start_by(&self, start: StartExtractor) {
        let _ = self.start.set(start);
    }

    /// Takes the connection of an extractor that has come, in the place of the one before.
    pub(super) fn take(&self, stream: UnixStream) {
        *self.held() = Some(stream);
        self.came.notify_all();
    }

    /// Has a document read.
    ///
    /// # Errors
    /// `Later` when no extractor has time or can be had; that it died of the document is an answer.
    pub(super) fn read(&self, body: &Body, mut label: Label) -> Result<DocumentText, Failure> {
        if body.length_bytes() > DOCUMENT_BYTES_MAX {
            return Ok(DocumentText::None(NoText::TooLarge));
        }
        let file = match body {
            Body::File { file, .. } => file.descriptor(),
            Body::Memory(_) => None,
        };
        let Some(file) = file else {
            return Err(Failure::BadRequest("a document comes as a file".to_owned()));
        };
        shorten(&mut label.name);
        shorten(&mut label.media_type);
        let busy = || Failure::Later("too many documents are to be read at once".to_owned());
        let _turn = self.turn.take(TURN_PATIENCE).ok_or_else(busy)?;
        let stream = self.live_extractor()?;
        let request = DocumentRequest {
            label,
            body: WireBody::File(body.length_bytes()),
        };
        match asked(&stream, &request, file) {
            Ok(answer) => {
                self.held().get_or_insert(stream);
                Ok(answer)
            }
            Err(error) => {
                tracing::warn!(%error, "the extractor did not survive a document");
                Ok(DocumentText::Lost)
            }
        }
    }

    /// Takes the extractor out, or waits for one, or starts one.
    fn live_extractor(&self) -> Result<UnixStream, Failure> {
        let until = Instant::now() + EXTRACTOR_PATIENCE;
        loop {
            if let Some(stream) = self.held().take().filter(is_alive) {
                return Ok(stream);
            }
            if let Some(start) = self.start.get() {
                return start().map_err(|error| {
                    Failure::Later(format!("the extractor cannot be started: {error}"))
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            let waited = self
                .came
                .wait_timeout_while(self.held(), left, |held| held.is_none());
            if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                return Err(Failure::Later("there is no extractor".to_owned()));
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
        self.extractor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a document into a file of memory that nobody can change any more, to be handed to other processes.
///
/// # Errors
/// When there is no memory.
pub fn document_file(document: &[u8]) -> Result<Body, Failure> {
    let file = sealed(document);
    let file = file.map_err(|error| Failure::Later(format!("there is no memory: {error}")))?;
    Ok(Body::File {
        file: Box::new(file),
        length_bytes: document.len() as u64,
    })
}

fn sealed(document: &[u8]) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"document", flags)?);
    file.write_all(document)?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

fn shorten(text: &mut String) {
    text.truncate(text.floor_char_boundary(NAME_BYTES_MAX));
}

/// An extractor says nothing before it is asked: who can be read from has closed, or is none.
fn is_alive(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) == Ok(0)
}

/// Asks once, and waits for the answer.
fn asked(
    stream: &UnixStream,
    request: &DocumentRequest,
    file: BorrowedFd,
) -> io::Result<DocumentText> {
    let until = Instant::now() + ANSWER_PATIENCE;
    stream.set_write_timeout(Some(SEND_PATIENCE))?;
    wire::send(stream, 0, request, Some(file))?;
    let mut receiver = Receiver::bounded(stream.try_clone()?, ANSWER_BYTES_MAX, until);
    let frame = receiver.receive::<DocumentText>()?;
    let answer = frame.ok_or(io::ErrorKind::UnexpectedEof)?.value;
    match &answer {
        DocumentText::Text(text) if text.text.len() > TEXT_BYTES_MAX => {
            Err(io::ErrorKind::InvalidData.into())
        }
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::ExtractorEnd;
    use std::thread;

    fn text(words: &str) -> DocumentText {
        DocumentText::Text(extract::Text {
            text: words.to_owned(),
            is_cut: false,
        })
    }

    /// Answers so many documents with their own bytes, then is gone.
    fn extractor(documents: &Documents, count: usize) -> thread::JoinHandle<()> {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        documents.take(ours);
        thread::spawn(move || {
            let mut end = ExtractorEnd::over(theirs);
            for _ in 0..count {
                let document = end.receive().expect("a question").expect("one");
                let bytes = document.bytes().expect("its bytes");
                let words = String::from_utf8(bytes).expect("a text");
                end.answer(&text(&format!("{} {words}", document.label.name)))
                    .expect("answered");
            }
        })
    }

    fn label(name: &str) -> Label {
        Label {
            name: name.to_owned(),
            ..Label::default()
        }
    }

    #[test]
    fn documents_go_there_and_their_texts_come_back() {
        let documents = Documents::default();
        let extractor = extractor(&documents, 2);
        let document = document_file(b"Hallo").expect("memory");
        for name in ["a", "b"] {
            let answer = documents.read(&document, label(name));
            assert_eq!(answer, Ok(text(&format!("{name} Hallo"))));
        }
        extractor.join().expect("no panic");
    }

    #[test]
    fn one_that_dies_costs_its_document_and_the_next_finds_another() {
        let documents = Documents::default();
        let document = document_file(b"x").expect("memory");
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        documents.take(ours);
        let dying = thread::spawn(move || drop(ExtractorEnd::over(theirs).receive()));
        assert_eq!(
            documents.read(&document, label("a")),
            Ok(DocumentText::Lost)
        );
        dying.join().expect("no panic");
        // One that has died meanwhile costs nothing, since another comes.
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        documents.take(ours);
        drop(theirs);
        thread::scope(|scope| {
            let asking = scope.spawn(|| documents.read(&document, label("a")));
            let another = extractor(&documents, 1);
            assert_eq!(asking.join().expect("no panic"), Ok(text("a x")));
            another.join().expect("no panic");
        });
    }

    #[test]
    fn what_is_no_answer_is_not_taken() {
        for answer in [
            &b"\x05\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff"[..],
            b"\xff\xff\xff\xff",
            b"",
        ] {
            let documents = Documents::default();
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            documents.take(ours);
            let lying = thread::spawn(move || {
                let mut end = ExtractorEnd::over(theirs.try_clone().expect("the same"));
                let _question = end.receive();
                theirs.write_all(answer).expect("written");
            });
            let document = document_file(b"x").expect("memory");
            assert_eq!(
                documents.read(&document, label("a")),
                Ok(DocumentText::Lost)
            );
            lying.join().expect("no panic");
        }
    }

    #[test]
    fn a_document_that_is_too_large_goes_nowhere() {
        let body = Body::File {
            file: Box::new(sealed(b"x").expect("memory")),
            length_bytes: DOCUMENT_BYTES_MAX + 1,
        };
        let answer = Documents::default().read(&body, label("a"));
        assert_eq!(answer, Ok(DocumentText::None(NoText::TooLarge)));
    }

    #[test]
    fn nobody_can_change_a_document_that_was_handed_over() {
        let mut file = sealed(b"x").expect("memory");
        assert!(file.write_all(b"y").is_err());
        assert!(file.set_len(0).is_err());
    }
}
