//! Taking apart: whatever the bytes are and however they are cut, putting together gives them back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::{NormalForm, Oddities, Recipe, Sink, Source, TakeApart, put_together, reading_copy};
use std::convert::Infallible;
use std::io::{self, Write};

/// A message taken apart, in memory.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    skeleton: Vec<u8>,
    contents: Vec<Vec<u8>>,
}

impl Sink for Taken {
    type Error = Infallible;

    fn skeleton(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.skeleton.extend_from_slice(bytes);
        Ok(())
    }

    fn content_begins(&mut self) -> Result<(), Infallible> {
        self.contents.push(Vec::new());
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        let content = self.contents.last_mut().expect("a content has begun");
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn content_ends(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Gives it back.
struct Given<'a> {
    taken: &'a Taken,
    skeleton_read: usize,
}

impl Source for Given<'_> {
    fn skeleton(&mut self, length_bytes: u64, out: &mut dyn Write) -> io::Result<()> {
        let from = self.skeleton_read;
        self.skeleton_read += length_bytes as usize;
        out.write_all(&self.taken.skeleton[from..self.skeleton_read])
    }

    fn content(&mut self, ordinal: usize, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.taken.contents[ordinal])
    }
}

fn apart(message: &[u8], piece_bytes: usize) -> (Taken, Recipe, Oddities) {
    let mut scan = TakeApart::new(Taken::default());
    for piece in message.chunks(piece_bytes) {
        let Ok(()) = scan.push(piece);
    }
    let Ok(taken) = scan.finish();
    taken
}

fn normal_form(message: &[u8], piece_bytes: usize) -> Vec<u8> {
    let mut normal = Vec::new();
    let mut form = NormalForm::new(|bytes: &[u8]| normal.extend_from_slice(bytes));
    message
        .chunks(piece_bytes)
        .for_each(|piece| form.push(piece));
    let _ = form.finish();
    normal
}

fuzz_target!(|message: &[u8]| {
    let piece_bytes = 1 + message.first().copied().unwrap_or(0) as usize;
    let whole = apart(message, usize::MAX);
    assert_eq!(
        whole,
        apart(message, piece_bytes),
        "cut into pieces of {piece_bytes}"
    );
    assert_eq!(
        normal_form(message, usize::MAX),
        normal_form(message, piece_bytes)
    );

    let (taken, recipe, _) = &whole;
    assert_eq!(recipe.message_bytes(), Some(message.len() as u64));
    let mut given = Given {
        taken,
        skeleton_read: 0,
    };
    let mut together = Vec::new();
    put_together(recipe, &mut given, &mut together).expect("recipe and pieces belong together");
    assert!(together == message, "the bytes come back");
    assert_eq!(
        given.skeleton_read,
        taken.skeleton.len(),
        "nothing is left over"
    );

    let mut copy = Vec::new();
    let mut given = Given {
        taken,
        skeleton_read: 0,
    };
    reading_copy(recipe, &mut given, &mut copy).expect("recipe and pieces belong together");
    assert!(copy.len() <= message.len());
});
