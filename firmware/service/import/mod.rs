//! Import of mail files: eml files, mbox files and Maildir folders, as many as there are, and of pipes, in bounded memory.
//!
//! An import that was broken off is simply run again: the archive knows each message by its bytes and each arrival by where it
//! came from, so nothing is kept twice. What cannot be read or is no mail is listed, and the import goes on; when the archive
//! itself fails, it stops. Nothing in the input is changed or removed.
//!
//! Read `walk` for which files are found, `sources` for what they are taken for, `reading` for the threads.

mod oddities;
mod progress;
mod reading;
mod sources;
mod walk;
mod window;

pub use progress::{ImportReport, ODD_KEPT_MAX, Odd, Progress, Watcher};

use crate::keeper::{Failure, Keeper};
use mail::Oddities;
use progress::Ledger;
use reading::{Done, Finder, Item, Outcome, Shared, Worker};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use store::{Novelty, Receipt};
use walk::{Found, is_standard_input, walk};
use window::Window;

/// Threads that bring messages to the keeper: taking mail apart is work for the processor, and each may read 16 MiB at once.
const WORKERS_MAX: usize = 4;

/// Messages that the keeper is asked about at once: one question more for so many answers.
const LISTED_AT_ONCE: usize = 256;

/// An import to be run.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Files, folders and pipes; `-` is the standard input. A pipe holds an mbox or one message.
    pub paths: Vec<PathBuf>,
    /// Whether journal reports are unwrapped; otherwise they are kept as the messages that they are.
    pub unwrap_journal: bool,
    /// Whether everything is only read, and nothing kept.
    pub dry_run: bool,
}

/// Why an import did not begin or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A path that was named is not there; nothing was done.
    #[error("cannot read {}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The archive failed; what is reported as done is durable, and the rest comes when the import is run again.
    #[error("the import stopped after: {report}; run it again to go on: {source}")]
    Keeper {
        /// What was done before.
        report: Box<ImportReport>,
        /// What the keeper said.
        source: Failure,
    },
}

impl Import {
    /// Runs the import: counts the input, then reads it.
    ///
    /// # Errors
    /// `Path` before anything was done; `Keeper` as soon as the archive takes no more.
    pub fn run(
        &self,
        keeper: &dyn Keeper,
        watcher: &mut dyn Watcher,
    ) -> Result<ImportReport, ImportError> {
        let import = &Self {
            paths: self.absolute_paths()?,
            ..self.clone()
        };
        let (files, bytes) = import.count();
        let shared = &Shared {
            import,
            keeper,
            window: Window::default(),
        };
        let mut settling = Settling::new(Ledger::new(files, bytes, watcher), shared);
        // Neither channel ever holds more than the window lets in.
        let (done, through) = channel();
        let (jobs, waiting) = channel();
        let waiting = &Mutex::new(waiting);
        thread::scope(|scope| {
            for _ in 0..worker_count() {
                let worker = Worker {
                    shared,
                    jobs: waiting,
                    done: done.clone(),
                };
                scope.spawn(|| worker.run());
            }
            let finder = Finder {
                shared,
                jobs,
                done,
                next_number: 0,
            };
            scope.spawn(|| finder.run());
            through.iter().for_each(|done| settling.take(done));
        });
        settling.finish()
    }

    /// Makes the paths such that they name the same from wherever the import is run.
    fn absolute_paths(&self) -> Result<Vec<PathBuf>, ImportError> {
        let absolute = |path: &PathBuf| {
            if is_standard_input(path) {
                return Ok(path.clone());
            }
            // A pipe that the shell made has a name that leads nowhere.
            let is_pipe = fs::metadata(path).is_ok_and(|of| of.file_type().is_fifo());
            let absolute = if is_pipe {
                std::path::absolute(path)
            } else {
                path.canonicalize()
            };
            absolute.map_err(|source| ImportError::Path {
                path: path.clone(),
                source,
            })
        };
        self.paths.iter().map(absolute).collect()
    }

    /// Counts files and bytes.
    fn count(&self) -> (u64, u64) {
        let (mut files, mut bytes) = (0, 0);
        let _to_the_end = walk(&self.paths, &mut |found| {
            match found {
                Found::File { length_bytes, .. } => {
                    files += 1;
                    bytes += length_bytes;
                }
                Found::Stream { .. } => files += 1,
                Found::Odd { .. } => {}
            }
            ControlFlow::Continue(())
        });
        (files, bytes)
    }
}

fn worker_count() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(WORKERS_MAX))
}

/// Waits for the keeper's answers in the order of the input, and counts.
struct Settling<'a> {
    ledger: Ledger<'a>,
    shared: &'a Shared<'a>,
    /// What is through before its turn; no more than the window holds.
    early: BTreeMap<u64, Done>,
    next_number: u64,
    /// What may have to be listed, in order; at most [`LISTED_AT_ONCE`].
    lines: Vec<Line>,
    failure: Option<Failure>,
}

/// Something that may have to be listed.
enum Line {
    /// It has to be.
    Odd(Odd),
    /// The keeper has to be asked what it found in the message of this number.
    Stored {
        number: u64,
        path: PathBuf,
        offset: Option<u64>,
        oddities: Oddities,
    },
}

impl<'a> Settling<'a> {
    fn new(ledger: Ledger<'a>, shared: &'a Shared<'a>) -> Self {
        Self {
            ledger,
            shared,
            early: BTreeMap::new(),
            next_number: 0,
            lines: Vec::new(),
            failure: None,
        }
    }

    fn take(&mut self, done: Done) {
        self.early.insert(done.0.number, done);
        while let Some((item, outcome)) = self.early.remove(&self.next_number) {
            self.next_number += 1;
            let (weight_bytes, source_bytes) = (item.weight_bytes, item.source_bytes);
            if self.settle(item, outcome) {
                self.ledger.done(source_bytes);
            }
            if self.lines.len() == LISTED_AT_ONCE {
                self.list();
            }
            self.shared.window.leave(weight_bytes);
        }
    }

    /// Settles an item; true when it is done with. Also after a failure: what the archive has taken counts.
    fn settle(&mut self, item: Item, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Deposited(answer, oddities) => match answer.wait() {
                Ok(receipt) => self.stored(item, receipt, oddities),
                Err(failure) => return self.fail(failure),
            },
            Outcome::Read(oddities) => {
                self.ledger.report.messages += 1;
                let what = oddities::worth_listing(oddities, &[]);
                self.lines
                    .extend(what.map(|what| Line::Odd(odd(item.path, item.offset, what, false))));
            }
            Outcome::LeftOut(what) => {
                self.lines
                    .push(Line::Odd(odd(item.path, item.offset, what, true)))
            }
            Outcome::Failed(failure) => return self.fail(failure),
            Outcome::NotDone => return false,
        }
        true
    }

    fn stored(&mut self, item: Item, receipt: Receipt, oddities: Oddities) {
        let report = &mut self.ledger.report;
        report.messages += 1;
        match receipt.novelty {
            Novelty::NewMessage => report.new_messages += 1,
            Novelty::NewReception => report.new_receptions += 1,
            Novelty::Known => report.known += 1,
        }
        let Item { path, offset, .. } = item;
        self.lines.push(Line::Stored {
            number: receipt.number,
            path,
            offset,
            oddities,
        });
    }

    /// Lists what is odd of the lines that wait.
    fn list(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let stored = |line: &Line| match line {
            Line::Stored { number, .. } => Some(*number),
            Line::Odd(_) => None,
        };
        let numbers: Vec<u64> = lines.iter().filter_map(stored).collect();
        let entries = if numbers.is_empty() {
            Ok(Vec::new())
        } else {
            self.shared.keeper.entries(&numbers)
        };
        let mut entries = match entries {
            Ok(entries) => entries.into_iter(),
            Err(failure) => {
                self.fail(failure);
                Vec::new().into_iter()
            }
        };
        for line in lines {
            let odd = match line {
                Line::Odd(odd) => Some(odd),
                Line::Stored {
                    path,
                    offset,
                    oddities,
                    ..
                } => {
                    let names = entries
                        .next()
                        .map(|entry| entry.oddities)
                        .unwrap_or_default();
                    oddities::worth_listing(oddities, &names)
                        .map(|what| odd(path, offset, what, false))
                }
            };
            odd.into_iter().for_each(|odd| self.ledger.odd(odd));
        }
    }

    /// Stops the import; the first failure is the one that is told.
    fn fail(&mut self, failure: Failure) -> bool {
        self.failure.get_or_insert(failure);
        self.shared.window.stop();
        false
    }

    fn finish(mut self) -> Result<ImportReport, ImportError> {
        self.list();
        self.ledger.finish(self.failure.is_none());
        let report = self.ledger.report;
        match self.failure {
            None => Ok(report),
            Some(source) => Err(ImportError::Keeper {
                report: Box::new(report),
                source,
            }),
        }
    }
}

fn odd(path: PathBuf, offset: Option<u64>, what: String, is_left_out: bool) -> Odd {
    Odd {
        path,
        offset,
        what,
        is_left_out,
    }
}

#[cfg(test)]
mod tests;
