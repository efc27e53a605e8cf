//! What kernel and workers said, kept in memory: two files below `/run`, which is memory, so that the page can read them and PID 1 never
//! waits for a disk.
//!
//! The archive disk has a longer one of the same form (`log_keeper`). When the newer file is full it takes the place of the older one; what was there is forgotten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// 2 MiB a file, 4 MiB in all: some days of a healthy box, some hours of one that complains all the time.
pub(crate) const MEMORY_BYTES_MAX: u64 = 2 << 20;

/// 4 KiB a line; the rest of a longer one is cut off.
pub(crate) const LINE_BYTES_MAX: usize = 4 << 10;

/// The log in its two files.
pub(crate) struct Log {
    folder: PathBuf,
    newer: Option<File>,
    bytes: u64,
    file_bytes_max: u64,
}

impl Log {
    /// Begins a log in a folder, or goes on with the one that is there; each of its two files has at most so many bytes.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn open(folder: &Path, file_bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut log = Self {
            folder: folder.to_owned(),
            newer: None,
            bytes: 0,
            file_bytes_max,
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
        let _ = self.append(line.as_bytes());
    }

    /// Adds whole lines, not more than fit into one file.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.bytes + lines.len() as u64 > self.file_bytes_max {
            self.newer = None;
            fs::rename(self.path("newer"), self.path("older"))?;
        }
        if self.newer.is_none() {
            self.open_newer()?;
        }
        if let Some(file) = &mut self.newer {
            file.write_all(lines)?;
            self.bytes += lines.len() as u64;
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

/// Gives at most so many bytes of a log from an offset on, counted from its oldest line; nothing behind its end, or where there is none.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn piece(folder: &Path, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    let mut skip = offset;
    for name in ["older", "newer"] {
        let mut file = match File::open(folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if skip < length {
            file.seek(SeekFrom::Start(skip))?;
            let left = (bytes_max - piece.len()) as u64;
            file.take(left).read_to_end(&mut piece)?;
        }
        skip = skip.saturating_sub(length);
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_latest() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path(), MEMORY_BYTES_MAX).expect("a log");
        let text = "x".repeat(LINE_BYTES_MAX);
        for number in 0..2_000 {
            log.line(number, "test", &text);
        }
        drop(log);
        let mut log = Log::open(folder.path(), MEMORY_BYTES_MAX).expect("the same log");
        log.line(61_007, "kernel", "the \x07last\nline");
        let read = |name| fs::read_to_string(folder.path().join(name)).expect("a file");
        let (older, newer) = (read("older"), read("newer"));
        for file in [&older, &newer] {
            assert!(file.len() as u64 <= MEMORY_BYTES_MAX);
        }
        assert!(older.len() as u64 > MEMORY_BYTES_MAX - 2 * LINE_BYTES_MAX as u64);
        assert!(
            newer.ends_with("      61.007 kernel: the  last line\n"),
            "{newer:.80}"
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path(), MEMORY_BYTES_MAX).expect("a log");
        log.line(0, "a", &"ü".repeat(LINE_BYTES_MAX));
        let kept = fs::read_to_string(folder.path().join("newer")).expect("a file");
        assert!(kept.len() <= LINE_BYTES_MAX + 32);
    }

    #[test]
    fn pieces_of_any_length_are_the_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(piece(folder.path(), 0, 10).expect("nothing"), b"");
        let mut log = Log::open(folder.path(), 20).expect("a log");
        for text in ["0123456789\n", "abcdefgh\n", "ABC\n"] {
            log.append(text.as_bytes()).expect("written");
        }
        for bytes_max in 1..30 {
            let mut whole = Vec::new();
            loop {
                let next = piece(folder.path(), whole.len() as u64, bytes_max).expect("a piece");
                assert!(next.len() <= bytes_max);
                if next.is_empty() {
                    break;
                }
                whole.extend(next);
            }
            assert_eq!(whole, b"0123456789\nabcdefgh\nABC\n", "{bytes_max}");
        }
    }
}
