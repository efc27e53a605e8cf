//! What an import tells while it runs, and at its end.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Shortest time between two reports of progress: ten a second are enough for an eye.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Odd items kept in the report, 2 MiB of them; the watcher is told of all, and the report counts all.
pub const ODD_KEPT_MAX: usize = 10_000;

/// Is told what happens during an import.
pub trait Watcher {
    /// Takes how far the import has come; called ten times a second at most, and once at the end.
    fn progress(&mut self, progress: &Progress);

    /// Takes something odd, in the order of the input.
    fn odd(&mut self, odd: &Odd) {
        let _ = odd;
    }
}

/// How far an import has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that are done with: their messages are durable.
    pub bytes_done: u64,
    /// Bytes of the whole input, as counted at the start; of a pipe those that came so far.
    pub bytes_total: u64,
    /// Messages that are done with.
    pub messages: u64,
    /// Odd items found.
    pub odd: u64,
}

/// Something in the input that a person should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Odd {
    /// The file or folder.
    pub path: PathBuf,
    /// Where in an mbox file, in bytes from its start.
    pub offset: Option<u64>,
    /// What is odd: names of [`mail::Oddities`], or a reason.
    pub what: String,
    /// Whether it was not imported; otherwise it was, as it is.
    pub is_left_out: bool,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        let left_out = if self.is_left_out {
            "not imported: "
        } else {
            ""
        };
        write!(f, ": {left_out}{}", self.what)
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Files of the input.
    pub files: u64,
    /// Their bytes, as far as they are known.
    pub bytes: u64,
    /// Messages read; of a dry run nothing else is counted.
    pub messages: u64,
    /// Messages that were not in the archive before.
    pub new_messages: u64,
    /// Messages that were, but had not come from this place.
    pub new_receptions: u64,
    /// Messages that had come from this very place before; nothing was kept.
    pub known: u64,
    /// Odd items.
    pub odd_count: u64,
    /// Of these, files and messages that were not imported.
    pub left_out: u64,
    /// The first [`ODD_KEPT_MAX`] odd items, in the order of the input.
    pub odd: Vec<Odd>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            messages,
            new_messages,
            new_receptions,
            known,
            odd_count,
            ..
        } = self;
        write!(
            f,
            "{messages} messages read, {new_messages} new, {new_receptions} received again, "
        )?;
        write!(f, "{known} known before, {odd_count} odd")
    }
}

/// Counts, and passes on to the watcher.
pub(super) struct Ledger<'a> {
    pub(super) report: ImportReport,
    bytes_done: u64,
    watcher: &'a mut dyn Watcher,
    told: Option<Instant>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(files: u64, bytes: u64, watcher: &'a mut dyn Watcher) -> Self {
        let report = ImportReport {
            files,
            bytes,
            ..ImportReport::default()
        };
        Self {
            report,
            bytes_done: 0,
            watcher,
            told: None,
        }
    }

    pub(super) fn odd(&mut self, odd: Odd) {
        self.report.odd_count += 1;
        self.report.left_out += u64::from(odd.is_left_out);
        self.watcher.odd(&odd);
        if self.report.odd.len() < ODD_KEPT_MAX {
            self.report.odd.push(odd);
        }
    }

    /// Says that so many bytes more are done with.
    pub(super) fn done(&mut self, bytes: u64) {
        // A file may have grown since it was counted, and nothing was known of a pipe.
        self.bytes_done += bytes;
        self.report.bytes = self.report.bytes.max(self.bytes_done);
        if self
            .told
            .is_none_or(|told| told.elapsed() >= PROGRESS_INTERVAL)
        {
            self.told = Some(Instant::now());
            self.tell();
        }
    }

    /// Says that the input is at its end, blank lines between messages included.
    pub(super) fn finish(&mut self, is_whole: bool) {
        if is_whole {
            self.bytes_done = self.report.bytes;
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.watcher.progress(&Progress {
            bytes_done: self.bytes_done,
            bytes_total: self.report.bytes,
            messages: self.report.messages,
            odd: self.report.odd_count,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counting {
        told: Vec<Progress>,
        odd: usize,
    }

    impl Watcher for Counting {
        fn progress(&mut self, progress: &Progress) {
            self.told.push(*progress);
        }

        fn odd(&mut self, _: &Odd) {
            self.odd += 1;
        }
    }

    #[test]
    fn watcher_is_told_of_everything_odd_but_not_of_every_step() {
        let mut watcher = Counting::default();
        let mut ledger = Ledger::new(1, 10_000, &mut watcher);
        let odd = Odd {
            path: "a".into(),
            offset: None,
            what: "nul".to_owned(),
            is_left_out: true,
        };
        for _ in 0..ODD_KEPT_MAX + 5 {
            ledger.odd(odd.clone());
            ledger.done(2);
        }
        ledger.finish(true);
        assert_eq!(
            (ledger.report.odd_count, ledger.report.odd.len()),
            (ODD_KEPT_MAX as u64 + 5, ODD_KEPT_MAX)
        );
        assert_eq!(ledger.report.left_out, ledger.report.odd_count);
        assert_eq!(watcher.odd, ODD_KEPT_MAX + 5);
        assert!(watcher.told.len() < 1000, "{}", watcher.told.len());
        let last = watcher.told.last().expect("the end is told");
        assert_eq!((last.bytes_done, last.bytes_total), (20_010, 20_010));
    }

    #[test]
    fn odd_items_say_where_and_what() {
        let mut odd = Odd {
            path: "/a/b".into(),
            offset: Some(7),
            what: "nul".to_owned(),
            is_left_out: false,
        };
        assert_eq!(odd.to_string(), "/a/b at byte 7: nul");
        (odd.offset, odd.is_left_out) = (None, true);
        assert_eq!(odd.to_string(), "/a/b: not imported: nul");
    }
}
