//! Lines out of a pipe that is never waited for.

use crate::log::LINE_BYTES_MAX;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// 16 reads of 4 KiB a turn: a worker that writes all the time does not keep PID 1 from the others.
const READS_MAX: usize = 16;

/// One end of a pipe, and the line that has begun.
pub(crate) struct Lines {
    pipe: File,
    begun: Splitter,
}

impl Lines {
    /// Takes the reading end.
    ///
    /// # Errors
    /// When it cannot be read without waiting.
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self {
            pipe: pipe.into(),
            begun: Splitter::default(),
        })
    }

    /// Gives the lines that have come; none when the pipe has ended.
    pub(crate) fn read(&mut self) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        let mut bytes = [0; 4096];
        for _ in 0..READS_MAX {
            match self.pipe.read(&mut bytes) {
                Ok(0) if lines.is_empty() => return None,
                Ok(0) => break,
                Ok(count) => self.begun.take(&bytes[..count], &mut lines),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break, // nothing there yet
            }
        }
        Some(lines)
    }
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Cuts bytes into lines; of a line that is too long the rest becomes another one.
#[derive(Default)]
struct Splitter(Vec<u8>);

impl Splitter {
    fn take(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for byte in bytes {
            if *byte != b'\n' {
                self.0.push(*byte);
            }
            if *byte == b'\n' || self.0.len() >= LINE_BYTES_MAX {
                lines.push(String::from_utf8_lossy(&self.0).into_owned());
                self.0.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\n\ntwo \xff\nthree\nnot yet";
        let expected = ["one", "", "two \u{fffd}", "three"];
        for at in 0..=text.len() {
            let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
            splitter.take(&text[..at], &mut lines);
            splitter.take(&text[at..], &mut lines);
            assert_eq!(lines, expected, "split at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        splitter.take(&vec![b'x'; LINE_BYTES_MAX * 2 + 1], &mut lines);
        assert_eq!(lines.len(), 2);
        assert_eq!(splitter.0.len(), 1);
    }

    #[test]
    fn a_pipe_is_never_waited_for() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut lines = Lines::new(reader.into()).expect("a pipe that does not block");
        assert_eq!(lines.read(), Some(Vec::new()));
        writer.write_all(b"a\nb").expect("room in the pipe");
        assert_eq!(lines.read(), Some(vec!["a".to_owned()]));
        drop(writer);
        assert_eq!(lines.read(), None);
    }
}
