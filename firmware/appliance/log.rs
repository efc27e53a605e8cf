//! What kernel and workers said, kept in memory: two files below `/run`, which is memory, so that the page can read them and PID 1 never
//! waits for a disk.
//!
//! When the newer file is full it takes the place of the older one; what was there is forgotten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// 2 MiB a file, 4 MiB in all: some days of a healthy box, some hours of one that complains all the time.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// 4 KiB a line; the rest of a longer one is cut off.
pub(crate) const LINE_BYTES_MAX: usize = 4 << 10;

/// The log in its two files.
pub(crate) struct Log {
    folder: PathBuf,
    newer: Option<File>,
    bytes: u64,
}

impl Log {
    /// Begins a log in a folder, or goes on with the one that is there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut log = Self {
            folder: folder.to_owned(),
            newer: None,
            bytes: 0,
        };
        log.open_newer()?;
        Ok(log)
    }

    /// Adds a line of somebody, at a time since the machine started, in milliseconds. A line that cannot be kept is lost.
    pub(crate) fn line(&mut self, at_ms: u64, who: &str, text: &str) {
        let mut end = text.len().min(LINE_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].replace(char::is_control, " ");
        let line = format!("{:>8}.{:03} {who}: {text}\n", at_ms / 1000, at_ms % 1000);
        let _ = self.write(line.as_bytes());
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes + line.len() as u64 > FILE_BYTES_MAX {
            self.newer = None;
            fs::rename(self.path("newer"), self.path("older"))?;
        }
        if self.newer.is_none() {
            self.open_newer()?;
        }
        if let Some(file) = &mut self.newer {
            file.write_all(line)?;
            self.bytes += line.len() as u64;
        }
        Ok(())
    }

    fn open_newer(&mut self) -> io::Result<()> {
        let path = self.path("newer");
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        self.bytes = file.metadata()?.len();
        self.newer = Some(file);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_latest() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path()).expect("a log");
        let text = "x".repeat(LINE_BYTES_MAX);
        for number in 0..2_000 {
            log.line(number, "test", &text);
        }
        drop(log);
        let mut log = Log::open(folder.path()).expect("the same log");
        log.line(61_007, "kernel", "the \x07last\nline");
        let read = |name| fs::read_to_string(folder.path().join(name)).expect("a file");
        let (older, newer) = (read("older"), read("newer"));
        for file in [&older, &newer] {
            assert!(file.len() as u64 <= FILE_BYTES_MAX);
        }
        assert!(older.len() as u64 > FILE_BYTES_MAX - 2 * LINE_BYTES_MAX as u64);
        assert!(
            newer.ends_with("      61.007 kernel: the  last line\n"),
            "{newer:.80}"
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path()).expect("a log");
        log.line(0, "a", &"ü".repeat(LINE_BYTES_MAX));
        let kept = fs::read_to_string(folder.path().join("newer")).expect("a file");
        assert!(kept.len() <= LINE_BYTES_MAX + 32);
    }
}
