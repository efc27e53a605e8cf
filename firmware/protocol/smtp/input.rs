//! The bounded buffer between the socket and the machine, and the cutting of command lines.
//!
//! A command line ends with CRLF and nothing else. A bare LF is reported rather than taken for an end
//! (RFC 5321 §2.3.8): a server in front of us may take it for content.

/// 64 KiB: a caller that reads at most this much after each [`NeedInput`](super::Event::NeedInput)
/// always has all of it taken.
pub const READ_LEN_MAX: usize = 64 * 1024;

/// Holds received bytes until the machine has used them; never more than `limit`.
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    limit: usize,
    line_max: usize,
}

/// Tells what stands at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line was put into the given buffer, without its CRLF.
    Complete,
    /// No line end yet.
    Partial,
    /// More than the limit without a line end.
    TooLong,
    /// An LF without CR before it.
    BareLf,
}

impl Input {
    /// Makes an empty buffer for lines of at most `line_max` bytes.
    pub(crate) fn new(line_max: usize) -> Self {
        let limit = READ_LEN_MAX + line_max;
        Self {
            buffer: Vec::with_capacity(limit),
            start: 0,
            limit,
            line_max,
        }
    }

    /// Appends as much as there is room for, and tells how much that was.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> usize {
        self.buffer.drain(..self.start);
        self.start = 0;
        let taken = bytes.len().min(self.limit - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Gives the bytes not used yet.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Marks `len` bytes as used and gives them.
    pub(crate) fn consume(&mut self, len: usize) -> &[u8] {
        let used = self.start..self.start + len;
        self.start = used.end;
        &self.buffer[used]
    }

    /// Forgets everything that was received and not used.
    pub(crate) fn discard(&mut self) {
        self.start = self.buffer.len();
    }

    /// Moves one command line into `line`.
    pub(crate) fn take_line(&mut self, line: &mut Vec<u8>) -> Line {
        let window = &self.unused()[..self.unused().len().min(self.line_max)];
        let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
            return if window.len() < self.line_max {
                Line::Partial
            } else {
                Line::TooLong
            };
        };
        let Some(text) = window[..end].strip_suffix(b"\r") else {
            return Line::BareLf;
        };
        line.clear();
        line.extend_from_slice(text);
        self.consume(end + 1);
        Line::Complete
    }

    /// Drops input up to and with the next CRLF; false while that has not come.
    pub(crate) fn skip_line(&mut self) -> bool {
        if let Some(end) = self.unused().windows(2).position(|pair| pair == b"\r\n") {
            self.consume(end + 2);
            return true;
        }
        let half = usize::from(self.unused().last() == Some(&b'\r'));
        self.consume(self.unused().len() - half);
        false
    }

    /// Tells the memory held, in bytes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(received: &[u8], expected: Line, expected_line: &[u8], expected_rest: &[u8]) {
        let mut input = Input::new(8);
        assert_eq!(input.receive(received), received.len());
        let mut line = Vec::new();
        assert_eq!(input.take_line(&mut line), expected, "{received:?}");
        assert_eq!(line, expected_line);
        assert_eq!(input.unused(), expected_rest);
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check(b"", Line::Partial, b"", b"");
        check(b"NOOP\r", Line::Partial, b"", b"NOOP\r");
        check(b"NOOP\r\nQ", Line::Complete, b"NOOP", b"Q");
        check(b"\r\n", Line::Complete, b"", b"");
        check(b"NOOP\nQUIT\r\n", Line::BareLf, b"", b"NOOP\nQUIT\r\n");
        check(b"N\rOP\r\n", Line::Complete, b"N\rOP", b"");
    }

    #[test]
    fn the_limit_counts_crlf() {
        check(b"123456\r\n", Line::Complete, b"123456", b"");
        check(b"1234567\r", Line::TooLong, b"", b"1234567\r");
        check(b"1234567\r\n", Line::TooLong, b"", b"1234567\r\n");
    }

    #[test]
    fn a_long_line_is_skipped_to_its_crlf() {
        let mut input = Input::new(8);
        input.receive(b"123456789\n0\r");
        assert!(!input.skip_line());
        assert_eq!(input.unused(), b"\r");
        input.receive(b"\nNOOP");
        assert!(input.skip_line());
        assert_eq!(input.unused(), b"NOOP");
    }

    #[test]
    fn takes_no_more_than_its_limit() {
        let mut input = Input::new(512);
        let much = vec![b'x'; 2 * READ_LEN_MAX];
        assert_eq!(input.receive(&much), READ_LEN_MAX + 512);
        assert_eq!(input.receive(&much), 0);
        input.consume(100);
        assert_eq!(input.receive(&much), 100);
    }
}
