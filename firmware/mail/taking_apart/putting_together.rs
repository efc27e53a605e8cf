//! Puts a message together again from its recipe, its skeleton and its contents: the mirror of taking apart.
//!
//! It checks that the source gives exactly what the recipe names, so that damage never passes for a message; it does
//! not check digests.

use std::io::{self, Write};

use super::base64::LineEncoder;
use super::{Piece, Recipe};

/// Gives the pieces that a recipe names.
pub trait Source {
    /// Writes the next `length_bytes` bytes of the skeleton.
    ///
    /// # Errors
    /// When they cannot be read, or as `out` returns them.
    fn skeleton(&mut self, length_bytes: u64, out: &mut dyn Write) -> io::Result<()>;

    /// Writes the whole content with this place (from 0) among the contents of the message.
    ///
    /// # Errors
    /// When it cannot be read, or as `out` returns them.
    fn content(&mut self, ordinal: usize, out: &mut dyn Write) -> io::Result<()>;
}

/// Why a message cannot be put together; it comes inside of an [`io::Error`] of kind `InvalidData`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PutTogetherError {
    /// The source gave more or fewer bytes than the recipe names.
    #[error("piece {piece} of the recipe should have {wanted_bytes} bytes, but has: {given_bytes}")]
    Length {
        /// Its place in the recipe, from 0.
        piece: usize,
        /// What the recipe names.
        wanted_bytes: u64,
        /// What the source gave.
        given_bytes: u64,
    },
    /// The recipe names lines that no encoder can write.
    #[error("piece {piece} of the recipe has lines of impossible length: {line_chars}")]
    LineLength {
        /// Its place in the recipe, from 0.
        piece: usize,
        /// Characters of a line; neither 0 nor anything but a multiple of 4 is possible.
        line_chars: u16,
    },
}

impl From<PutTogetherError> for io::Error {
    fn from(error: PutTogetherError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Writes the message to the byte as it came.
///
/// # Errors
/// Those of the source and of `out`, and a [`PutTogetherError`] when source and recipe do not belong together.
pub fn put_together(
    recipe: &Recipe,
    source: &mut dyn Source,
    out: &mut dyn Write,
) -> io::Result<()> {
    write_pieces(recipe, source, Outputs::new(Some(out), None))
}

/// Writes the message without the contents that only make it long: the bodies of those parts are empty.
///
/// A content marked `is_text` is there; a header is never changed.
///
/// # Errors
/// As [`put_together`].
pub fn reading_copy(
    recipe: &Recipe,
    source: &mut dyn Source,
    out: &mut dyn Write,
) -> io::Result<()> {
    write_pieces(recipe, source, Outputs::new(None, Some(out)))
}

/// Writes the message as [`put_together`] and, in the same pass, the copy of [`reading_copy`].
///
/// # Errors
/// As [`put_together`].
pub fn put_together_with_copy(
    recipe: &Recipe,
    source: &mut dyn Source,
    out: &mut dyn Write,
    copy: &mut dyn Write,
) -> io::Result<()> {
    write_pieces(recipe, source, Outputs::new(Some(out), Some(copy)))
}

fn write_pieces(recipe: &Recipe, source: &mut dyn Source, mut out: Outputs<'_>) -> io::Result<()> {
    let mut ordinal = 0;
    for (number, piece) in recipe.pieces.iter().enumerate() {
        match *piece {
            Piece::Skeleton { length_bytes } => {
                let mut counter = Counter {
                    out: &mut out,
                    taken_bytes: 0,
                };
                source.skeleton(length_bytes, &mut counter)?;
                check_length(number, length_bytes, counter.taken_bytes)?;
            }
            Piece::Base64 { .. } => {
                write_base64(number, piece, ordinal, source, &mut out)?;
                ordinal += 1;
            }
        }
    }
    Ok(())
}

/// Writes a content as base64 to whom it is wanted by.
fn write_base64(
    number: usize,
    piece: &Piece,
    ordinal: usize,
    source: &mut dyn Source,
    out: &mut Outputs<'_>,
) -> io::Result<()> {
    let Piece::Base64 {
        content_bytes,
        line_chars,
        line_end,
        last_line_end,
        is_text,
    } = *piece
    else {
        return Ok(());
    };
    if line_chars == 0 || line_chars % 4 != 0 {
        let piece = number;
        return Err(PutTogetherError::LineLength { piece, line_chars }.into());
    }
    out.leaves_out_of_copy = !is_text;
    if out.whole.is_some() || is_text {
        let mut encoder = LineEncoder::new(out, line_chars, line_end);
        source.content(ordinal, &mut encoder)?;
        check_length(number, content_bytes, encoder.finish(last_line_end)?)?;
    }
    out.leaves_out_of_copy = false;
    if let Some(copy) = out.copy.as_mut().filter(|_| !is_text && last_line_end) {
        // It belongs to the delimiter that follows (RFC 2046 §5.1.1).
        copy.write_all(line_end.bytes())?;
    }
    Ok(())
}

/// Where the message goes, and where its reading copy.
struct Outputs<'a> {
    whole: Option<&'a mut dyn Write>,
    copy: Option<&'a mut dyn Write>,
    /// What is written is not for the copy.
    leaves_out_of_copy: bool,
}

impl<'a> Outputs<'a> {
    fn new(whole: Option<&'a mut dyn Write>, copy: Option<&'a mut dyn Write>) -> Self {
        Self {
            whole,
            copy,
            leaves_out_of_copy: false,
        }
    }
}

impl Write for Outputs<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(whole) = &mut self.whole {
            whole.write_all(bytes)?;
        }
        if let Some(copy) = self.copy.as_mut().filter(|_| !self.leaves_out_of_copy) {
            copy.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        for out in [&mut self.whole, &mut self.copy].into_iter().flatten() {
            out.flush()?;
        }
        Ok(())
    }
}

fn check_length(piece: usize, wanted_bytes: u64, given_bytes: u64) -> Result<(), PutTogetherError> {
    if wanted_bytes == given_bytes {
        return Ok(());
    }
    Err(PutTogetherError::Length {
        piece,
        wanted_bytes,
        given_bytes,
    })
}

/// Counts what passes through.
struct Counter<'a> {
    out: &'a mut dyn Write,
    taken_bytes: u64,
}

impl Write for Counter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.taken_bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
