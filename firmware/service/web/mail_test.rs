//! A test mail while it goes out: begun by the operator, it runs beside the page, which looks again by itself until it has ended.
//!
//! The mail is always the same text, so that nothing of the archive leaves by it; one runs at a time, and few in a while.

use crate::outgoing::{Patience, Route, Sender, Step, Trouble};
use crate::people::Secret;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// 10 minutes in which so many tests may begin.
const WHILE: Duration = Duration::from_secs(600);

/// 10 tests in that time: enough to set a server up, too few to bother anybody with.
const TESTS_MAX: usize = 10;

/// A test mail.
#[derive(Clone, Debug)]
pub(super) struct TestMail {
    /// The way that it goes.
    pub(super) route: Route,
    /// The password of the way's user.
    pub(super) password: Option<Secret>,
    /// Where it goes.
    pub(super) to: String,
    /// Its bytes.
    pub(super) message: String,
    /// What this host calls itself.
    pub(super) hostname: String,
}

/// How far a test is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// What is tested.
    pub(super) mail: TestMail,
    /// The steps that went well, and what the server said.
    pub(super) steps: Vec<(Step, String)>,
    /// How it ended, once it has.
    pub(super) end: Option<Arc<Result<(), Trouble>>>,
}

/// Why a test did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotBegun {
    /// Another one runs.
    #[error("another test runs")]
    Running,
    /// There were too many.
    #[error("too many tests")]
    TooMany,
    /// No thread can be had.
    #[error("cannot start a test")]
    Thread(#[source] io::Error),
}

/// The tests of a page.
#[derive(Default)]
pub(super) struct MailTests {
    /// When the last ones began.
    began: Mutex<VecDeque<Instant>>,
    last: Arc<Mutex<Option<Progress>>>,
}

impl MailTests {
    /// Gives the last test.
    pub(super) fn last(&self) -> Option<Progress> {
        locked(&self.last).clone()
    }

    /// Begins a test.
    pub(super) fn begin(&self, mail: TestMail, patience: Patience) -> Result<(), NotBegun> {
        let mut last = locked(&self.last);
        if last.as_ref().is_some_and(|last| last.end.is_none()) {
            return Err(NotBegun::Running);
        }
        if !self.may_begin(Instant::now()) {
            return Err(NotBegun::TooMany);
        }
        let shared = self.last.clone();
        let run = {
            let mail = mail.clone();
            move || run(&mail, patience, &shared)
        };
        let thread = std::thread::Builder::new().name("mail-test".to_owned());
        thread.spawn(run).map_err(NotBegun::Thread)?;
        *last = Some(Progress {
            mail,
            steps: Vec::new(),
            end: None,
        });
        Ok(())
    }

    fn may_begin(&self, now: Instant) -> bool {
        let mut began = locked(&self.began);
        while began
            .front()
            .is_some_and(|at| now.duration_since(*at) >= WHILE)
        {
            began.pop_front();
        }
        if began.len() >= TESTS_MAX {
            return false;
        }
        began.push_back(now);
        true
    }
}

fn run(mail: &TestMail, patience: Patience, progress: &Mutex<Option<Progress>>) {
    let sender = Sender {
        route: &mail.route,
        password: mail.password.as_ref(),
        hostname: &mail.hostname,
        patience,
    };
    let mut watch = |step, said: &str| {
        if let Some(progress) = &mut *locked(progress) {
            progress.steps.push((step, said.to_owned()));
        }
    };
    let end = sender.hand_over(&mail.to, &mail.message, &mut watch);
    if let Some(progress) = &mut *locked(progress) {
        progress.end = Some(Arc::new(end));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_few_in_a_while() {
        let tests = MailTests::default();
        let now = Instant::now();
        for _ in 0..TESTS_MAX {
            assert!(tests.may_begin(now));
        }
        assert!(!tests.may_begin(now + WHILE - Duration::from_secs(1)));
        assert!(tests.may_begin(now + WHILE));
    }
}
