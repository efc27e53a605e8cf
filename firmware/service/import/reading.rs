//! The threads that read: one goes over the input and finds the messages, a few others hand them to the keeper, which takes them
//! apart in the thread that brings them.
//!
//! Every message and every odd thing gets a number in the order of the input and one place in the window, so that what comes
//! back can be put in order again in bounded memory.

use super::sources::{self, FileKind, HEAD_BYTES};
use super::walk::{Found, Place, is_standard_input, walk};
use super::window::{Window, weight_bytes};
use super::{Import, oddities};
use crate::keeper::{Answer, Failure, Keeper};
use archive::{Reception, SourceKey, SourceKind};
use mail::{MboxReader, Oddities};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;
use store::{Body, Deposit, Receipt, SpoolWriter};

/// Bytes read from a file at once.
const READ_BYTES: usize = 64 << 10;

/// Actor of everything that the host's command line does, see the store's FORMAT.md.
const ACTOR_COMMAND_LINE: u64 = 1;

/// A message to be brought to the keeper.
pub(super) struct Job {
    item: Item,
    work: Work,
}

/// What is known of a message or an odd thing from the start.
pub(super) struct Item {
    /// Its place in the order of the input, from 0.
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) offset: Option<u64>,
    /// Bytes of the input that are done with, when it is.
    pub(super) source_bytes: u64,
    /// Its share of the window.
    pub(super) weight_bytes: u64,
}

enum Work {
    /// A file that is one message.
    File(SourceKind),
    /// A message of an mbox file or a pipe.
    Body {
        body: Body,
        reception: Box<Reception>,
    },
}

/// What became of an item.
pub(super) enum Outcome {
    /// The keeper has it and will answer; with what is odd beside the message itself.
    Deposited(Answer<Receipt>, Oddities),
    /// A dry run has read it.
    Read(Oddities),
    /// It was passed over.
    LeftOut(String),
    /// The keeper failed.
    Failed(Failure),
    /// The import was stopped before.
    NotDone,
}

/// What all threads of an import share.
pub(super) struct Shared<'a> {
    pub(super) import: &'a Import,
    pub(super) keeper: &'a dyn Keeper,
    pub(super) window: Window,
}

/// An item that is through, with what became of it.
pub(super) type Done = (Item, Outcome);

/// Goes over the input and finds the messages.
pub(super) struct Finder<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) jobs: Sender<Job>,
    pub(super) done: Sender<Done>,
    pub(super) next_number: u64,
}

impl Finder<'_> {
    /// Finds everything, or ends when the import is stopped.
    pub(super) fn run(mut self) {
        let paths = &self.shared.import.paths;
        let _is_stopped = walk(paths, &mut |found| match found {
            Found::Odd { path, what } => self.left_out(path, None, 0, what),
            Found::Stream { path } => self.stream(path),
            Found::File {
                path,
                length_bytes,
                place,
            } => self.file(path, length_bytes, place),
        });
    }

    fn file(&mut self, path: PathBuf, length_bytes: u64, place: Place) -> ControlFlow<()> {
        if sources::is_message_by_name(&path, place) {
            return self.message_file(path, length_bytes, place);
        }
        let opened = File::open(&path).and_then(|mut file| Ok((read_head(&mut file)?, file)));
        let (head, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.left_out(path, None, length_bytes, unreadable(&error)),
        };
        match sources::kind_of(&head) {
            FileKind::Message => self.message_file(path, length_bytes, place),
            FileKind::Mbox => self.mbox(&path, head.chain_file(file)),
            // Mail programs keep lists of their own there.
            FileKind::NotMail(_) if place == Place::MaildirRoot => ControlFlow::Continue(()),
            FileKind::NotMail(what) => self.left_out(path, None, length_bytes, what),
        }
    }

    fn stream(&mut self, path: PathBuf) -> ControlFlow<()> {
        let opened = open_stream(&path).and_then(|mut file| Ok((read_head(&mut file)?, file)));
        let (head, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.left_out(path, None, 0, unreadable(&error)),
        };
        match sources::kind_of(&head) {
            FileKind::Mbox => self.mbox(&path, head.chain_file(file)),
            FileKind::Message => self.message_stream(path, &mut head.chain_file(file)),
            FileKind::NotMail(what) => self.left_out(path, None, head.len() as u64, what),
        }
    }

    fn message_stream(&mut self, path: PathBuf, source: &mut impl Read) -> ControlFlow<()> {
        let mut writer = BodyWriter::new(self.shared.keeper);
        let read = copy(source, &mut writer);
        let body = match (read, writer.failure.take()) {
            (Err(error), None) => return self.left_out(path, None, 0, unreadable(&error)),
            (_, Some(failure)) => Err(failure),
            (Ok(()), None) => writer.finish(),
        };
        let reception = Box::new(Reception {
            source: SourceKind::EmlFile,
            key: key_of(&path),
            ..Reception::default()
        });
        match body {
            Ok(body) => {
                let length_bytes = body.length_bytes();
                let work = Work::Body { body, reception };
                self.job(path, None, length_bytes, length_bytes, work)
            }
            Err(failure) => self.item(path, None, 0, Outcome::Failed(failure)),
        }
    }

    fn message_file(&mut self, path: PathBuf, length_bytes: u64, place: Place) -> ControlFlow<()> {
        let kind = if place == Place::MaildirMessages {
            SourceKind::Maildir
        } else {
            SourceKind::EmlFile
        };
        self.job(path, None, length_bytes, length_bytes, Work::File(kind))
    }

    fn mbox(&mut self, path: &Path, source: impl Read) -> ControlFlow<()> {
        let mut reader = MboxReader::new(BufReader::with_capacity(READ_BYTES, source));
        let mut bytes_done = 0;
        loop {
            let mut writer = BodyWriter::new(self.shared.keeper);
            let entry = match reader.next_message(&mut writer) {
                Ok(Some(entry)) => entry,
                Ok(None) => return ControlFlow::Continue(()),
                Err(error) => return self.mbox_broke_off(path, bytes_done, writer, &error),
            };
            let end = entry.offset + entry.length_bytes;
            let source_bytes = end.saturating_sub(bytes_done);
            bytes_done += source_bytes;
            let (path, offset) = (path.to_owned(), Some(entry.offset));
            if entry.length_bytes == 0 {
                self.left_out(path, offset, source_bytes, "an empty message".to_owned())?;
                continue;
            }
            let reception = Box::new(reception_of_mbox(&path, entry));
            match writer.finish() {
                Ok(body) => {
                    let length_bytes = body.length_bytes();
                    self.job(
                        path,
                        offset,
                        source_bytes,
                        length_bytes,
                        Work::Body { body, reception },
                    )?;
                }
                Err(failure) => self.item(path, offset, source_bytes, Outcome::Failed(failure))?,
            }
        }
    }

    fn mbox_broke_off(
        &mut self,
        path: &Path,
        at: u64,
        writer: BodyWriter,
        error: &io::Error,
    ) -> ControlFlow<()> {
        let outcome = match writer.failure {
            Some(failure) => Outcome::Failed(failure),
            None => Outcome::LeftOut(format!("the rest {}", unreadable(error))),
        };
        self.item(path.to_owned(), Some(at), 0, outcome)
    }

    fn left_out(
        &mut self,
        path: PathBuf,
        offset: Option<u64>,
        source_bytes: u64,
        what: String,
    ) -> ControlFlow<()> {
        self.item(path, offset, source_bytes, Outcome::LeftOut(what))
    }

    /// Passes on something that is decided already.
    fn item(
        &mut self,
        path: PathBuf,
        offset: Option<u64>,
        source_bytes: u64,
        outcome: Outcome,
    ) -> ControlFlow<()> {
        let item = self.enter(path, offset, source_bytes, 0)?;
        as_flow(self.done.send((item, outcome)).is_ok())
    }

    fn job(
        &mut self,
        path: PathBuf,
        offset: Option<u64>,
        source_bytes: u64,
        length_bytes: u64,
        work: Work,
    ) -> ControlFlow<()> {
        let item = self.enter(path, offset, source_bytes, length_bytes)?;
        as_flow(self.jobs.send(Job { item, work }).is_ok())
    }

    /// Waits for room and numbers what comes next.
    fn enter(
        &mut self,
        path: PathBuf,
        offset: Option<u64>,
        source_bytes: u64,
        length_bytes: u64,
    ) -> ControlFlow<(), Item> {
        let weight_bytes = weight_bytes(length_bytes);
        as_flow(self.shared.window.enter(weight_bytes))?;
        let number = self.next_number;
        self.next_number += 1;
        ControlFlow::Continue(Item {
            number,
            path,
            offset,
            source_bytes,
            weight_bytes,
        })
    }
}

fn as_flow(goes_on: bool) -> ControlFlow<()> {
    if goes_on {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

fn open_stream(path: &Path) -> io::Result<File> {
    if is_standard_input(path) {
        return Ok(io::stdin().as_fd().try_clone_to_owned()?.into());
    }
    File::open(path)
}

fn read_head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Puts the head that was read back before the rest of the file.
trait ChainFile {
    fn chain_file(self, file: File) -> io::Chain<io::Cursor<Vec<u8>>, File>;
}

impl ChainFile for Vec<u8> {
    fn chain_file(self, file: File) -> io::Chain<io::Cursor<Vec<u8>>, File> {
        io::Cursor::new(self).chain(file)
    }
}

fn reception_of_mbox(path: &Path, entry: mail::MboxEntry) -> Reception {
    let key = SourceKey {
        internal_date: sources::from_line_date(&entry.from_line),
        offset: Some(entry.offset),
        from_line: entry.from_line,
        ..key_of(path)
    };
    Reception {
        source: SourceKind::Mbox,
        key,
        oddities: entry.oddities,
        ..Reception::default()
    }
}

fn key_of(path: &Path) -> SourceKey {
    SourceKey {
        path: path.to_string_lossy().into_owned(),
        ..SourceKey::default()
    }
}

/// Brings messages to the keeper until there are no more.
pub(super) struct Worker<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) jobs: &'a Mutex<Receiver<Job>>,
    pub(super) done: Sender<Done>,
}

impl Worker<'_> {
    pub(super) fn run(self) {
        let _guard = StopOnPanic(&self.shared.window);
        while let Some(Job { item, work }) = self.next() {
            let outcome = if self.shared.window.is_stopped() {
                Outcome::NotDone
            } else {
                self.bring(&item, work)
            };
            if self.done.send((item, outcome)).is_err() {
                return;
            }
        }
    }

    fn next(&self) -> Option<Job> {
        self.jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv()
            .ok()
    }

    fn bring(&self, item: &Item, work: Work) -> Outcome {
        match work {
            Work::Body { body, reception } => self.deposit(body, *reception),
            Work::File(kind) => match self.read_file(&item.path, kind) {
                Ok((body, _)) if body.length_bytes() == 0 => {
                    Outcome::LeftOut("an empty file".to_owned())
                }
                Ok((body, reception)) => self.deposit(body, reception),
                Err(outcome) => outcome,
            },
        }
    }

    fn read_file(&self, path: &Path, kind: SourceKind) -> Result<(Body, Reception), Outcome> {
        let mut writer = BodyWriter::new(self.shared.keeper);
        let read =
            File::open(path).and_then(|mut file| copy(&mut file, &mut writer).map(|()| file));
        let file = match (read, writer.failure.take()) {
            (_, Some(failure)) => return Err(Outcome::Failed(failure)),
            (Err(error), None) => return Err(Outcome::LeftOut(unreadable(&error))),
            (Ok(file), None) => file,
        };
        let mut key = key_of(path);
        if kind == SourceKind::Maildir {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = sources::read_maildir_name(&name);
            key.internal_date = name.delivered_at.or_else(|| modified_at(&file));
            key.flags = name.flags;
        }
        let body = writer.finish().map_err(Outcome::Failed)?;
        Ok((
            body,
            Reception {
                source: kind,
                key,
                ..Reception::default()
            },
        ))
    }

    fn deposit(&self, body: Body, reception: Reception) -> Outcome {
        let Import {
            unwrap_journal,
            dry_run,
            ..
        } = *self.shared.import;
        // What is odd in the message itself the archive tells later; reading it here, too, would take half as long again.
        let scan = if dry_run {
            oddities::scan
        } else {
            oddities::scan_report
        };
        let oddities = match scan(&body, unwrap_journal) {
            Ok(oddities) => oddities.union(reception.oddities),
            Err(error) => {
                return Outcome::Failed(Failure::Later(format!("cannot read the spool: {error}")));
            }
        };
        if dry_run {
            return Outcome::Read(oddities);
        }
        let deposit = Deposit {
            reception,
            unwrap_journal,
            actor: ACTOR_COMMAND_LINE,
            prompt: false,
        };
        match self.shared.keeper.deposit(body, deposit) {
            Ok(answer) => Outcome::Deposited(answer, oddities),
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

/// Lets the others end when a thread dies, instead of waiting for it.
struct StopOnPanic<'a>(&'a Window);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

fn modified_at(file: &File) -> Option<i64> {
    let modified = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

fn copy(file: &mut impl Read, writer: &mut BodyWriter) -> io::Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(()),
            count => writer.write_all(&bytes[..count])?,
        }
    }
}

/// Writes a message into the spool, and keeps apart when that fails from when reading does.
struct BodyWriter<'a> {
    writer: SpoolWriter<'a>,
    failure: Option<Failure>,
}

impl<'a> BodyWriter<'a> {
    fn new(keeper: &'a dyn Keeper) -> Self {
        Self {
            writer: keeper.spool().writer(),
            failure: None,
        }
    }

    fn finish(self) -> Result<Body, Failure> {
        self.writer.finish().map_err(|error| failure_of(&error))
    }
}

impl Write for BodyWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).map_err(|error| {
            self.failure = Some(failure_of(&error));
            io::Error::other(error)
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failure_of(error: &store::Error) -> Failure {
    if error.is_full() {
        Failure::Full(error.to_string())
    } else {
        Failure::Later(error.to_string())
    }
}
