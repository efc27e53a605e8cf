//! Text as it is put together: bounded, its white space calm.

use crate::{TEXT_BYTES_MAX, Text};

/// 2 empty lines one behind the other are enough to part anything.
const EMPTY_LINES_MAX: usize = 2;

/// A text that grows.
#[derive(Default)]
pub(crate) struct Lines {
    text: String,
    has_space: bool,
    line_ends: usize,
    is_full: bool,
    is_cut: bool,
}

impl Lines {
    /// Whether no more is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Says that something of the document is left out.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Adds a piece as it is: its line ends and tabs stay, control characters go.
    pub(crate) fn push(&mut self, piece: &str) {
        for c in piece.chars() {
            match c {
                '\n' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}' => self.end_line(),
                '\t' => self.tab(),
                // A soft hyphen and zero-width characters part no word; the others turn the direction of text.
                '\u{ad}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}' => {}
                c if c.is_control() => {}
                c if c.is_whitespace() => self.has_space = true,
                c => self.put(c),
            }
            if self.is_full {
                return;
            }
        }
    }

    /// Adds a piece whose blanks have a meaning, as in a log.
    pub(crate) fn push_exactly(&mut self, piece: &str) {
        for word in piece.split_inclusive(' ') {
            self.push(word.trim_end_matches(' '));
            if word.ends_with(' ') {
                self.has_space = false;
                self.put(' ');
            }
        }
    }

    /// Adds a blank, if there is a word before it and another follows.
    pub(crate) fn space(&mut self) {
        self.has_space = true;
    }

    /// Adds a tab, which parts cells.
    pub(crate) fn tab(&mut self) {
        self.has_space = false;
        self.put('\t');
    }

    /// Ends the line.
    pub(crate) fn end_line(&mut self) {
        self.has_space = false;
        self.text.truncate(self.text.trim_end_matches('\t').len());
        if !self.text.is_empty() && self.line_ends <= EMPTY_LINES_MAX {
            self.text.push('\n');
            self.line_ends += 1;
        }
    }

    /// Ends the line if anything stands in it.
    pub(crate) fn begin_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.end_line();
        }
    }

    fn put(&mut self, c: char) {
        if self.text.len() + c.len_utf8() + 1 > TEXT_BYTES_MAX {
            (self.is_full, self.is_cut) = (true, true);
            return;
        }
        let begins = self.text.is_empty() || self.text.ends_with(['\n', '\t']);
        if std::mem::take(&mut self.has_space) && !begins {
            self.text.push(' ');
        }
        self.line_ends = 0;
        self.text.push(c);
    }

    /// Gives the text; none if it has no word.
    pub(crate) fn finish(mut self) -> Option<Text> {
        self.text.truncate(self.text.trim_end().len());
        self.text.contains(char::is_alphanumeric).then_some(Text {
            text: self.text,
            is_cut: self.is_cut,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_calm_and_nothing_hidden_stays() {
        for (pieces, expected) in [
            (&["a  b\r\nc"][..], "a b\nc"),
            (&["\n\n a", "\n\n\n\n\n\nb\n"], "a\n\n\nb"),
            (&["a\t\t", "b\t\n", "c"], "a\t\tb\nc"),
            (
                &["Donau\u{ad}dampf \u{202e}x\0\u{1b}[2J"],
                "Donaudampf x[2J",
            ),
        ] {
            let mut lines = Lines::default();
            pieces.iter().for_each(|piece| lines.push(piece));
            let text = lines.finish().expect("words");
            assert_eq!((text.text.as_str(), text.is_cut), (expected, false));
        }
        let mut wordless = Lines::default();
        wordless.push(" \n—\t… \n");
        assert_eq!(wordless.finish(), None);
    }

    #[test]
    fn it_ends_where_it_is_full() {
        let mut lines = Lines::default();
        for _ in 0..TEXT_BYTES_MAX {
            lines.push("äöü ");
        }
        assert!(lines.is_full());
        let text = lines.finish().expect("words");
        assert!(text.is_cut && text.text.len() <= TEXT_BYTES_MAX);
        assert!(text.text.len() > TEXT_BYTES_MAX - 8);
    }
}
