//! Takes a message apart, in constant memory, so that each attachment can be stored once and as what it is.
//!
//! What comes out is a *skeleton* (everything that was not taken out, as it came), *contents* (base64 bodies, decoded)
//! and a [`Recipe`] that puts the message together again to the byte. A body is taken out only as far as it is what the
//! recipe's encoder would write; at the first doubt the rest of it stays in the skeleton. Nothing is decoded to be read
//! here, and no digest is computed. Source: RFC 2045 §6.8, RFC 2046 §5.1; the design, invariant 2.
//!
//! ```
//! # use mail::{Sink, TakeApart};
//! #[derive(Default)]
//! struct Sizes { skeleton: usize, contents: usize }
//! impl Sink for Sizes {
//!     type Error = std::convert::Infallible;
//!     fn skeleton(&mut self, bytes: &[u8]) -> Result<(), Self::Error> { self.skeleton += bytes.len(); Ok(()) }
//!     fn content_begins(&mut self) -> Result<(), Self::Error> { Ok(()) }
//!     fn content(&mut self, bytes: &[u8]) -> Result<(), Self::Error> { self.contents += bytes.len(); Ok(()) }
//!     fn content_ends(&mut self) -> Result<(), Self::Error> { Ok(()) }
//! }
//! let header = "Content-Transfer-Encoding: base64\r\n\r\n";
//! let mut scan = TakeApart::new(Sizes::default());
//! scan.push(header.as_bytes())?;
//! scan.push(&b"AAAA".repeat(500))?;
//! let (sizes, recipe, oddities) = scan.finish()?;
//! assert_eq!((sizes.skeleton, sizes.contents), (header.len(), 1500));
//! assert_eq!(recipe.pieces.len(), 2);
//! assert!(oddities.names().eq(["overlong-line"]));
//! # Ok::<(), std::convert::Infallible>(())
//! ```

mod base64;
mod part_header;
mod putting_together;
mod structure;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use crate::Oddities;
pub use putting_together::{
    PutTogetherError, Source, put_together, put_together_with_copy, reading_copy,
};
use structure::{Next, Structure};

/// A decoded body shorter than this stays in the skeleton: a record of its own would cost more than the third saved.
pub const MIN_CONTENT_BYTES: usize = 1024;

/// From this many on, contents of one message stay in its skeleton, so that a recipe that names each content by
/// digest and length stays below 64 KiB. Real mail stays below a hundred.
pub const CONTENTS_MAX: usize = 1000;

/// A longer line, its end included, is passed on without being looked at; so this bounds the memory.
///
/// Mail servers refuse lines beyond 998 octets (RFC 5322 §2.1.1), but some senders write a whole body as one line. Its
/// length without its end must fit [`Piece::Base64::line_chars`].
const LINE_MAX_BYTES: usize = u16::MAX as usize;

/// A line with more octets, its end not included, is odd (RFC 5322 §2.1.1).
const LINE_LAWFUL_BYTES: usize = 998;

/// Pieces are handed to the sink when they have grown to this size: calls are rare and the bytes still in the cache.
const OUTPUT_BYTES: usize = 64 * 1024;

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineEnd {
    /// Carriage return and line feed, as on the wire (RFC 5322 §2.1).
    Crlf,
    /// A line feed alone, as in Unix files.
    Lf,
}

impl LineEnd {
    /// Gives the octets.
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Crlf => b"\r\n",
            Self::Lf => b"\n",
        }
    }
}

/// A run of bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// The next bytes of the skeleton, as they came.
    Skeleton {
        /// How many bytes; never 0, and two skeleton pieces never follow each other.
        length_bytes: u64,
    },
    /// The next content, written as lines of base64.
    Base64 {
        /// Length of the decoded content; at least [`MIN_CONTENT_BYTES`].
        content_bytes: u64,
        /// How many base64 characters a full line holds: a positive multiple of 4.
        line_chars: u16,
        /// How the lines end.
        line_end: LineEnd,
        /// Whether the last line, too, is closed by a line end that belongs to this piece.
        last_line_end: bool,
        /// Whether the message cannot be read without it: no attachment, and not known to be anything but text.
        is_text: bool,
    },
}

/// How a message is put together again from its skeleton and its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recipe {
    /// The pieces in the order of the message.
    pub pieces: Vec<Piece>,
}

impl Recipe {
    /// Gives the length of the whole message in bytes; `None` if it is above what 64 bits hold (a damaged recipe).
    pub fn message_bytes(&self) -> Option<u64> {
        self.pieces
            .iter()
            .try_fold(0_u64, |sum, piece| sum.checked_add(piece.encoded_bytes()?))
    }
}

impl Piece {
    /// Gives the length of the piece in the message; `None` if its numbers cannot be true.
    pub fn encoded_bytes(self) -> Option<u64> {
        match self {
            Self::Skeleton { length_bytes } => Some(length_bytes),
            Self::Base64 {
                content_bytes,
                line_chars,
                line_end,
                last_line_end,
                ..
            } => {
                let chars = content_bytes.div_ceil(3).checked_mul(4)?;
                let is_sound = line_chars > 0 && line_chars % 4 == 0;
                let lines = is_sound.then(|| chars.div_ceil(u64::from(line_chars)))?;
                let line_ends = if last_line_end {
                    lines
                } else {
                    lines.saturating_sub(1)
                };
                chars.checked_add(line_ends.checked_mul(line_end.bytes().len() as u64)?)
            }
        }
    }
}

/// Takes the pieces of a message as they are found.
pub trait Sink {
    /// Why it cannot take more.
    type Error;

    /// Takes the next bytes of the skeleton.
    ///
    /// # Errors
    /// Ends the taking apart; the error is handed through.
    fn skeleton(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Begins the next content.
    ///
    /// # Errors
    /// Ends the taking apart; the error is handed through.
    fn content_begins(&mut self) -> Result<(), Self::Error>;

    /// Takes the next decoded bytes of the content begun last.
    ///
    /// # Errors
    /// Ends the taking apart; the error is handed through.
    fn content(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Ends the content begun last; its bytes are complete.
    ///
    /// # Errors
    /// Ends the taking apart; the error is handed through.
    fn content_ends(&mut self) -> Result<(), Self::Error>;
}

/// Takes one message apart: push its bytes in pieces of any size, then finish.
///
/// After an error of the sink it must not be used again.
pub struct TakeApart<S> {
    sink: S,
    recipe: Recipe,
    content_count: usize,
    oddities: Oddities,
    line_ends: LineEnds,
    structure: Structure,
    /// The begin of a line whose end has not come yet; at most [`LINE_MAX_BYTES`].
    held: Vec<u8>,
    /// Whether the next bytes belong to a line too long to be held.
    in_overlong_line: bool,
    /// Skeleton bytes not yet handed to the sink; a base64 body too short as yet stands at its end.
    skeleton: Vec<u8>,
    /// Content bytes not yet handed to the sink.
    decoded: Vec<u8>,
    base64: Option<Base64Body>,
}

/// A base64 body while its lines come in.
#[derive(Clone, Copy)]
struct Base64Body {
    is_text: bool,
    /// 0 until the first line has come.
    line_chars: usize,
    line_end: LineEnd,
    last_line_end: bool,
    /// How much was handed to the sink; `None` until the body is long enough to be taken out.
    content_bytes: Option<u64>,
    /// Where in the held skeleton the body begins, as long as it is not taken out.
    begins_at: usize,
}

impl<S: Sink> TakeApart<S> {
    /// Begins a message whose pieces go to `sink`.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            recipe: Recipe::default(),
            content_count: 0,
            oddities: Oddities::NONE,
            line_ends: LineEnds::default(),
            structure: Structure::default(),
            held: Vec::new(),
            in_overlong_line: false,
            skeleton: Vec::new(),
            decoded: Vec::new(),
            base64: None,
        }
    }

    /// Takes the next bytes of the message.
    ///
    /// # Errors
    /// The sink's.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.line_ends.count(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (fragment, behind) = rest.split_at(line_length(rest));
            self.fragment(fragment)?;
            rest = behind;
        }
        Ok(())
    }

    /// Ends the message and gives the sink back, with the recipe and what was odd.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self) -> Result<(S, Recipe, Oddities), S::Error> {
        let last = std::mem::take(&mut self.held);
        if !last.is_empty() {
            self.line(&last)?;
        }
        self.end_base64()?;
        self.hand_on_skeleton()?;
        let oddities = self
            .oddities
            .union(self.line_ends.finish())
            .union(self.structure.finish());
        Ok((self.sink, self.recipe, oddities))
    }

    /// Takes a line or a part of one; only the last fragment of a line ends in a line feed.
    fn fragment(&mut self, fragment: &[u8]) -> Result<(), S::Error> {
        let is_last = fragment.ends_with(b"\n");
        if self.in_overlong_line {
            self.in_overlong_line = !is_last;
            self.keep(fragment)
        } else if self.held.len() + fragment.len() > LINE_MAX_BYTES {
            self.in_overlong_line = !is_last;
            self.overlong_line(fragment)
        } else if is_last && self.held.is_empty() {
            self.line(fragment)
        } else {
            self.held.extend_from_slice(fragment);
            if is_last { self.held_line() } else { Ok(()) }
        }
    }

    fn held_line(&mut self) -> Result<(), S::Error> {
        let mut held = std::mem::take(&mut self.held);
        let result = self.line(&held);
        held.clear();
        self.held = held;
        result
    }

    fn overlong_line(&mut self, fragment: &[u8]) -> Result<(), S::Error> {
        self.oddities.insert(Oddities::OVERLONG_LINE);
        self.end_base64()?;
        self.structure.overlong_line();
        let held = std::mem::take(&mut self.held);
        self.keep(&held)?;
        self.keep(fragment)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), S::Error> {
        if line.len() > LINE_LAWFUL_BYTES && split_line_end(line).0.len() > LINE_LAWFUL_BYTES {
            self.oddities.insert(Oddities::OVERLONG_LINE);
        }
        if let Some(body) = self.base64
            && self.base64_line(body, line)?
        {
            return Ok(());
        }
        if let Next::Base64 { is_text } = self.structure.line(line)
            && self.content_count < CONTENTS_MAX
        {
            self.base64 = Some(Base64Body::new(is_text));
        }
        self.keep(line)
    }

    /// Takes a line of a base64 body; returns false, with the body ended, if the line cannot be part of it.
    fn base64_line(&mut self, mut body: Base64Body, line: &[u8]) -> Result<bool, S::Error> {
        let (chars, line_end) = split_line_end(line);
        if body.line_chars == 0 && chars.is_empty() {
            // Blank lines before the first one are skeleton, and the body may still begin.
            return Ok(false);
        }
        if !body.has_room_for(chars) || !base64::decode_line(chars, &mut self.decoded) {
            self.end_base64()?;
            return Ok(false);
        }
        if body.line_chars == 0 {
            body.begin(chars.len(), line_end, self.skeleton.len());
        }
        body.last_line_end = line_end == Some(body.line_end);
        if body.content_bytes.is_none() {
            self.skeleton.extend_from_slice(line);
        }
        self.base64 = Some(body);
        self.hand_on_content()?;
        if !body.may_go_on_after(chars) {
            let is_taken_out = self.base64.is_some_and(|body| body.content_bytes.is_some());
            self.end_base64()?;
            if is_taken_out && !body.last_line_end {
                self.keep(&line[chars.len()..])?;
            }
        }
        Ok(true)
    }

    /// Hands decoded bytes to the sink when they are enough, and takes the body out of the skeleton the first time.
    fn hand_on_content(&mut self) -> Result<(), S::Error> {
        let Some(body) = &mut self.base64 else {
            return Ok(());
        };
        match &mut body.content_bytes {
            Some(content_bytes) if self.decoded.len() >= OUTPUT_BYTES => {
                *content_bytes += self.decoded.len() as u64;
                self.sink.content(&self.decoded)?;
                self.decoded.clear();
            }
            None if self.decoded.len() >= MIN_CONTENT_BYTES => {
                body.content_bytes = Some(0);
                self.skeleton.truncate(body.begins_at);
                self.hand_on_skeleton()?;
                self.sink.content_begins()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the base64 body, if there is one; what came of it before stays where it is.
    fn end_base64(&mut self) -> Result<(), S::Error> {
        let decoded_bytes = self.decoded.len() as u64;
        if let Some(body) = self.base64.take()
            && let Some(content_bytes) = body.content_bytes
        {
            if decoded_bytes > 0 {
                self.sink.content(&self.decoded)?;
            }
            self.sink.content_ends()?;
            self.recipe
                .pieces
                .push(body.piece(content_bytes + decoded_bytes));
            self.content_count += 1;
        }
        self.decoded.clear();
        Ok(())
    }

    /// Leaves bytes in the skeleton.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        if self.skeleton.len() + bytes.len() > OUTPUT_BYTES {
            self.hand_on_skeleton()?;
        }
        if bytes.len() < OUTPUT_BYTES {
            self.skeleton.extend_from_slice(bytes);
            return Ok(());
        }
        self.recipe.add_skeleton(bytes.len());
        self.sink.skeleton(bytes)
    }

    fn hand_on_skeleton(&mut self) -> Result<(), S::Error> {
        if !self.skeleton.is_empty() {
            self.recipe.add_skeleton(self.skeleton.len());
            self.sink.skeleton(&self.skeleton)?;
            self.skeleton.clear();
        }
        Ok(())
    }
}

impl Recipe {
    fn add_skeleton(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if let Some(Piece::Skeleton { length_bytes }) = self.pieces.last_mut() {
            *length_bytes += bytes;
        } else {
            self.pieces.push(Piece::Skeleton {
                length_bytes: bytes,
            });
        }
    }
}

impl Base64Body {
    fn new(is_text: bool) -> Self {
        Self {
            is_text,
            line_chars: 0,
            line_end: LineEnd::Crlf,
            last_line_end: false,
            content_bytes: None,
            begins_at: 0,
        }
    }

    /// Takes the form of all lines from the first one.
    fn begin(&mut self, line_chars: usize, line_end: Option<LineEnd>, begins_at: usize) {
        self.line_chars = line_chars;
        self.line_end = line_end.unwrap_or(LineEnd::Crlf);
        self.begins_at = begins_at;
    }

    fn has_room_for(&self, chars: &[u8]) -> bool {
        self.line_chars == 0 || chars.len() <= self.line_chars
    }

    /// Tells whether another line may follow: the one just taken is full, without padding, and ends like the others.
    fn may_go_on_after(&self, chars: &[u8]) -> bool {
        self.last_line_end && chars.len() == self.line_chars && !chars.ends_with(b"=")
    }

    fn piece(&self, content_bytes: u64) -> Piece {
        Piece::Base64 {
            content_bytes,
            line_chars: u16::try_from(self.line_chars)
                .expect("a line is shorter than LINE_MAX_BYTES"),
            line_end: self.line_end,
            last_line_end: self.last_line_end,
            is_text: self.is_text,
        }
    }
}

/// Gives the length of the first line with its line feed, or of all bytes if there is none.
fn line_length(bytes: &[u8]) -> usize {
    // The standard library's fast byte search stands behind this method.
    let mut rest = bytes;
    rest.skip_until(b'\n')
        .expect("a slice is read without errors")
}

/// Splits a line into its text and what ends it.
fn split_line_end(line: &[u8]) -> (&[u8], Option<LineEnd>) {
    if let Some(text) = line.strip_suffix(b"\r\n") {
        (text, Some(LineEnd::Crlf))
    } else if let Some(text) = line.strip_suffix(b"\n") {
        (text, Some(LineEnd::Lf))
    } else {
        (line, None)
    }
}

/// Looks at every byte for NUL and for line ends that do not belong (RFC 5322 §2.3).
#[derive(Default)]
struct LineEnds {
    last: u8,
    /// The flags below, of all bytes so far.
    seen: u8,
}

impl LineEnds {
    const NUL: u8 = 1;
    const CRLF: u8 = 2;
    const BARE_CR: u8 = 4;
    const BARE_LF: u8 = 8;

    fn count(&mut self, bytes: &[u8]) {
        let [first, .., last] = bytes else {
            for &byte in bytes {
                self.seen |= Self::pair(self.last, byte);
                self.last = byte;
            }
            return;
        };
        self.seen |= Self::pair(self.last, *first);
        self.last = *last;
        // No branch inside, so that the compiler takes many bytes at once.
        let pairs = bytes.iter().zip(&bytes[1..]);
        self.seen |= pairs.fold(0, |seen, (&first, &second)| {
            seen | Self::pair(first, second)
        });
    }

    fn pair(first: u8, second: u8) -> u8 {
        let (cr, lf) = (first == b'\r', second == b'\n');
        let flag = |is_seen: bool, flag: u8| u8::from(is_seen) * flag;
        flag(second == 0, Self::NUL)
            | flag(cr & lf, Self::CRLF)
            | flag(cr & !lf, Self::BARE_CR)
            | flag(!cr & lf, Self::BARE_LF)
    }

    fn finish(self) -> Oddities {
        let is_seen = |flag| self.seen & flag != 0;
        let mut oddities = Oddities::NONE;
        if is_seen(Self::NUL) {
            oddities.insert(Oddities::NUL);
        }
        if is_seen(Self::BARE_CR) || self.last == b'\r' {
            oddities.insert(Oddities::BARE_CR);
        }
        // A mail with line feeds alone comes from a file; only a mixture is odd.
        if is_seen(Self::BARE_LF) && is_seen(Self::CRLF) {
            oddities.insert(Oddities::BARE_LF);
        }
        oddities
    }
}
