//! The queue before the committer: sessions put finished work in, the committer takes a batch out.
//!
//! Bounded by weight, so that many senders at once wait for the disk instead of filling the memory.

use crate::error::{Error, Result};
use crate::prepare::Prepared;
use archive::{Digest, Event};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Weight of the work that waits, in bytes; more has to wait outside. One batch of bulk work and the next one's beginning.
const WAITING_BYTES_MAX: u64 = 16 << 20;

/// Weight of a batch in bytes, its last member excepted: keeps the time until the first answer short, and a batch within one volume.
const BATCH_BYTES_MAX: u64 = 8 << 20;

/// Weight at which bulk work is committed without waiting for more, in bytes: sixteen full frames a sync.
const BULK_BYTES: u64 = 4 << 20;

/// How long bulk work waits for more: an import's last messages are not kept longer than this. In tests it mostly comes alone.
const BULK_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 30 });

/// Something that is answered later.
pub struct Pending<T>(Arc<Mutex<Asked<T>>>);

/// How far a question has come.
enum Asked<T> {
    Open,
    /// This thread waits for the answer.
    Awaited(Thread),
    Answered(Result<T>),
}

impl<T> Pending<T> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// Those of the committer; `Closed` when it ended without an answer.
    pub fn wait(self) -> Result<T> {
        loop {
            {
                let mut asked = lock(&self.0);
                match std::mem::replace(&mut *asked, Asked::Open) {
                    Asked::Answered(result) => return result,
                    _ => *asked = Asked::Awaited(thread::current()),
                }
            }
            thread::park();
        }
    }
}

/// Gives the answer; dropped without one it says that the archive is closed.
pub(crate) struct Answer<T>(Option<Arc<Mutex<Asked<T>>>>);

impl<T> Answer<T> {
    pub(crate) fn new() -> (Self, Pending<T>) {
        let asked = Arc::new(Mutex::new(Asked::Open));
        (Self(Some(asked.clone())), Pending(asked))
    }

    /// Whoever asked may have gone away; the work is done all the same.
    pub(crate) fn give(mut self, result: Result<T>) {
        self.put(result);
    }

    /// Answers once.
    fn put(&mut self, result: Result<T>) {
        let Some(asked) = self.0.take() else {
            return;
        };
        let before = std::mem::replace(&mut *lock(&asked), Asked::Answered(result));
        // Whoever wakes up while the lock is held has to wait again.
        if let Asked::Awaited(thread) = before {
            thread.unpark();
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.put(Err(Error::Closed));
    }
}

fn lock<T>(asked: &Mutex<Asked<T>>) -> MutexGuard<'_, Asked<T>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is said to whoever brought a message, once it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the message: its sequence number.
    pub number: u64,
    /// Number of this arrival; the known one when nothing new was kept.
    pub reception: u64,
    /// SHA-256 of the message.
    pub digest: Digest,
    /// What was new about it.
    pub novelty: Novelty,
}

/// What was new about a message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// The message was not in the archive.
    NewMessage,
    /// The message was; this arrival of it was not.
    NewReception,
    /// The same source had brought it before under the same key; nothing was kept.
    Known,
}

/// One piece of work for the committer.
pub(crate) enum Work {
    Deposit(Box<Prepared>, Answer<Receipt>),
    Log(Box<(u64, Event)>, Answer<u64>),
    /// Sign a tree head if the tree has grown.
    Checkpoint(Answer<()>),
    /// Make the catalog durable.
    Flush(Answer<()>),
    /// Seal the open volume if there is anything in it.
    Seal(Answer<()>),
}

impl Work {
    pub(crate) fn weight_bytes(&self) -> u64 {
        match self {
            Self::Deposit(prepared, _) => prepared.weight_bytes(),
            _ => 1024,
        }
    }

    fn is_prompt(&self) -> bool {
        match self {
            Self::Deposit(prepared, _) => prepared.prompt,
            _ => true,
        }
    }

    /// Answers with a refusal.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Deposit(_, answer) => answer.give(Err(error)),
            Self::Log(_, answer) => answer.give(Err(error)),
            Self::Checkpoint(answer) | Self::Flush(answer) | Self::Seal(answer) => {
                answer.give(Err(error));
            }
        }
    }
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    weight_bytes: u64,
    prompt: usize,
    /// When the oldest bulk work came.
    since: Option<Instant>,
    closed: bool,
}

impl Waiting {
    fn is_due(&self) -> bool {
        self.closed || self.prompt > 0 || self.weight_bytes >= BULK_BYTES
    }

    fn pop(&mut self) -> Option<Work> {
        let work = self.work.pop_front()?;
        self.weight_bytes -= work.weight_bytes();
        self.prompt -= usize::from(work.is_prompt());
        Some(work)
    }

    fn push(&mut self, work: Work) {
        self.since.get_or_insert_with(Instant::now);
        self.weight_bytes += work.weight_bytes();
        self.prompt += usize::from(work.is_prompt());
        self.work.push_back(work);
    }
}

/// The queue; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<(Mutex<Waiting>, Condvar, Condvar)>);

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work in, and waits while too much is there.
    pub(crate) fn put(&self, work: Work) {
        let (_, filled, emptied) = &*self.0;
        let mut waiting = self.waiting();
        while waiting.weight_bytes > WAITING_BYTES_MAX && !waiting.closed {
            waiting = emptied
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            drop(waiting);
            return work.refuse(Error::Closed);
        }
        waiting.push(work);
        drop(waiting);
        // Whoever wakes up while the lock is held has to wait again.
        filled.notify_one();
    }

    /// Tells how many bytes of work wait.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.waiting().weight_bytes
    }

    /// Takes the next batch; none once the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Vec<Work>> {
        let (_, filled, emptied) = &*self.0;
        let mut waiting = self.waiting();
        while !waiting.is_due() {
            waiting = match waiting
                .since
                .map(|since| BULK_WAIT.saturating_sub(since.elapsed()))
            {
                None => filled.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(rest) => {
                    filled
                        .wait_timeout(waiting, rest)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        let batch = take_batch(&mut waiting);
        waiting.since = if waiting.work.is_empty() {
            None
        } else {
            Some(Instant::now())
        };
        emptied.notify_all();
        (!batch.is_empty()).then_some(batch)
    }

    /// Puts work back that must wait for the next batch, before everything else.
    pub(crate) fn put_back(&self, work: Vec<Work>) {
        let mut waiting = self.waiting();
        for work in work.into_iter().rev() {
            waiting.weight_bytes += work.weight_bytes();
            waiting.prompt += usize::from(work.is_prompt());
            waiting.since.get_or_insert_with(Instant::now);
            waiting.work.push_front(work);
        }
    }

    /// Lets nothing more in; what waits is still taken.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.0.1.notify_all();
        self.0.2.notify_all();
    }

    /// Lets nothing more in and refuses what waits, since nobody will take it any more.
    pub(crate) fn abandon(&self) {
        self.close();
        let rest = std::mem::take(&mut self.waiting().work);
        rest.into_iter().for_each(|work| work.refuse(Error::Closed));
    }
}

fn take_batch(waiting: &mut Waiting) -> Vec<Work> {
    let mut batch = Vec::new();
    let mut weight_bytes = 0;
    while weight_bytes < BATCH_BYTES_MAX
        && let Some(work) = waiting.pop()
    {
        weight_bytes += work.weight_bytes();
        batch.push(work);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_its_asker_early_late_or_never() {
        let check = |asks_first: bool, given: Option<u8>| {
            let (answer, pending) = Answer::new();
            let asked = pending.0.clone();
            let asker = thread::spawn(move || pending.wait());
            while asks_first && !matches!(*lock(&asked), Asked::Awaited(_)) {
                thread::yield_now();
            }
            match given {
                Some(value) => answer.give(Ok(value)),
                None => drop(answer),
            }
            let heard = asker.join().expect("no panic");
            assert_eq!(
                heard.as_ref().ok(),
                given.as_ref(),
                "asks first: {asks_first}"
            );
        };
        for asks_first in [true, false] {
            check(asks_first, Some(7));
            check(asks_first, None);
        }
    }
}
