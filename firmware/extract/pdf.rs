//! PDF (ISO 32000-1): the text that pages show, in the order in which they show it, put into lines by where it stands.
//!
//! lopdf reads the file; what its text operators mean (§9.4) is followed here, since words and lines hang on places and widths. Pictures are not read.

use crate::pdf_font::{Font, Fonts};
use crate::text::Lines;
use crate::{NoText, UNPACKED_BYTES_MAX};
use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Error, LoadOptions, Object, ObjectId};
use std::rc::Rc;

/// 2,000 pages are read; longer documents are cut.
const PAGES_MAX: usize = 2_000;

/// 32 MiB unpacked of a single stream while the file is opened.
const STREAM_BYTES_MAX: usize = 32 << 20;

/// 8 MiB of a page's signs, or of a form on it: more is drawing, and takes twenty times as much memory as values.
const CONTENT_BYTES_MAX: usize = 8 << 20;

/// 8 forms one within the other.
const FORMS_DEPTH_MAX: usize = 8;

/// 64 graphics states one above the other; ISO 32000-1 table C.1 names 28.
const STATES_MAX: usize = 64;

/// Reads a document.
pub(crate) fn read(document: &[u8], lines: &mut Lines) -> Result<(), NoText> {
    let options = LoadOptions {
        max_decompressed_size: Some(STREAM_BYTES_MAX),
        ..LoadOptions::default()
    };
    let loaded = Document::load_mem_with_options(document, options);
    let document = loaded.map_err(|error| reason(&error))?;
    if document.is_encrypted() && !document.was_encrypted() {
        return Err(NoText::Encrypted);
    }
    let mut pages = document.page_iter();
    let mut reader = Reader {
        document: &document,
        fonts: Fonts::new(&document),
        left_bytes: UNPACKED_BYTES_MAX as usize,
        lines,
    };
    for page in pages.by_ref().take(PAGES_MAX) {
        reader.page(page);
        if reader.lines.is_full() {
            break;
        }
    }
    if pages.next().is_some() {
        lines.cut();
    }
    Ok(())
}

fn reason(error: &Error) -> NoText {
    match error {
        Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { .. }) => NoText::TooLarge,
        Error::InvalidPassword | Error::Decryption(_) => NoText::Encrypted,
        _ => NoText::Damaged,
    }
}

struct Reader<'d, 'l> {
    document: &'d Document,
    fonts: Fonts<'d>,
    /// What may still be unpacked.
    left_bytes: usize,
    lines: &'l mut Lines,
}

impl<'d> Reader<'d, '_> {
    fn page(&mut self, page: ObjectId) {
        let room = self.left_bytes.min(CONTENT_BYTES_MAX);
        let Ok(content) = self.document.get_page_content_with_limit(page, room) else {
            return self.lines.cut();
        };
        let resources = self.page_resources(page);
        self.content(&content, &resources, Matrix::UNIT, 0);
        self.lines.begin_line();
        self.lines.end_line();
    }

    /// The page's resources, and those that its ancestors hand down.
    fn page_resources(&self, page: ObjectId) -> Vec<&'d Dictionary> {
        let Ok((direct, named)) = self.document.get_page_resources(page) else {
            return Vec::new();
        };
        let named = named
            .iter()
            .flat_map(|id| self.document.get_dictionary(*id));
        direct.into_iter().chain(named).collect()
    }

    /// Follows the operators of a content stream.
    fn content(&mut self, bytes: &[u8], resources: &[&'d Dictionary], start: Matrix, depth: usize) {
        self.left_bytes = self.left_bytes.saturating_sub(bytes.len());
        let Ok(content) = Content::decode(bytes) else {
            return self.lines.cut();
        };
        let mut walk = Walk::new(start);
        for operation in &content.operations {
            match operation.operator.as_str() {
                "Do" => self.form(operation, resources, walk.state.place, depth),
                "Tf" => {
                    walk.state.font = self.font(operation, resources);
                    walk.state.size = number(operation, 1);
                }
                _ => walk.step(operation, self.lines),
            }
            if self.lines.is_full() {
                return;
            }
        }
    }

    fn font(&mut self, operation: &Operation, resources: &[&'d Dictionary]) -> Option<Rc<Font>> {
        let name = operation.operands.first()?.as_name().ok()?;
        let found = resources.iter().find_map(|resources| {
            let fonts = resources.get_deref(b"Font", self.document).ok()?;
            let font = fonts.as_dict().ok()?.get_deref(name, self.document).ok()?;
            font.as_dict().ok()
        });
        Some(self.fonts.font(found?))
    }

    /// Follows a form (§8.10), which is a content stream of its own.
    fn form(
        &mut self,
        operation: &Operation,
        resources: &[&'d Dictionary],
        place: Matrix,
        depth: usize,
    ) {
        let name = operation
            .operands
            .first()
            .and_then(|name| name.as_name().ok());
        let found = name.and_then(|name| {
            resources.iter().find_map(|resources| {
                let objects = resources.get_deref(b"XObject", self.document).ok()?;
                let object = objects
                    .as_dict()
                    .ok()?
                    .get_deref(name, self.document)
                    .ok()?;
                object.as_stream().ok()
            })
        });
        let Some(form) = found.filter(|form| is_form(&form.dict)) else {
            return;
        };
        let room = self.left_bytes.min(CONTENT_BYTES_MAX);
        let bytes = form.decompressed_content_with_limit(room);
        let (Ok(bytes), true) = (bytes, depth < FORMS_DEPTH_MAX) else {
            return self.lines.cut();
        };
        let own = form.dict.get_deref(b"Resources", self.document);
        let own = own.and_then(Object::as_dict).ok();
        let resources: Vec<_> = own.into_iter().chain(resources.iter().copied()).collect();
        let matrix = form.dict.get(b"Matrix").and_then(Object::as_array);
        let matrix = matrix.ok().and_then(|numbers| Matrix::of(numbers));
        let place = matrix.map_or(place, |matrix| matrix.then(place));
        // A form that costs nothing could be told to be shown for ever.
        self.left_bytes = self.left_bytes.saturating_sub(1_024);
        self.content(&bytes, &resources, place, depth + 1);
    }
}

fn is_form(object: &Dictionary) -> bool {
    object.get(b"Subtype").and_then(Object::as_name).ok() == Some(b"Form")
}

/// The graphics and text state (§8.4, §9.3), as far as places hang on it.
#[derive(Clone)]
struct State {
    place: Matrix,
    font: Option<Rc<Font>>,
    size: f32,
    character_room: f32,
    word_room: f32,
    stretch: f32,
    leading: f32,
}

/// What a content stream has come to.
struct Walk {
    state: State,
    saved: Vec<State>,
    text: Matrix,
    line: Matrix,
    /// Where the last text ended, and its size.
    last: Option<(f32, f32, f32)>,
}

impl Walk {
    fn new(place: Matrix) -> Self {
        Self {
            state: State {
                place,
                font: None,
                size: 0.0,
                character_room: 0.0,
                word_room: 0.0,
                stretch: 1.0,
                leading: 0.0,
            },
            saved: Vec::new(),
            text: Matrix::UNIT,
            line: Matrix::UNIT,
            last: None,
        }
    }

    fn step(&mut self, operation: &Operation, lines: &mut Lines) {
        let of = |index| number(operation, index);
        match operation.operator.as_str() {
            "q" if self.saved.len() < STATES_MAX => self.saved.push(self.state.clone()),
            "Q" => self.state = self.saved.pop().unwrap_or_else(|| self.state.clone()),
            "cm" => {
                if let Some(matrix) = Matrix::of(&operation.operands) {
                    self.state.place = matrix.then(self.state.place);
                }
            }
            "BT" => (self.text, self.line) = (Matrix::UNIT, Matrix::UNIT),
            "Tc" => self.state.character_room = of(0),
            "Tw" => self.state.word_room = of(0),
            "Tz" => self.state.stretch = of(0) / 100.0,
            "TL" => self.state.leading = of(0),
            "Td" => self.next_line(of(0), of(1)),
            "TD" => {
                self.state.leading = -of(1);
                self.next_line(of(0), of(1));
            }
            "T*" => self.next_line(0.0, -self.state.leading),
            "Tm" => {
                if let Some(matrix) = Matrix::of(&operation.operands) {
                    (self.text, self.line) = (matrix, matrix);
                }
            }
            "Tj" => self.show_operand(operation.operands.first(), lines),
            "'" => {
                self.next_line(0.0, -self.state.leading);
                self.show_operand(operation.operands.first(), lines);
            }
            "\"" => {
                (self.state.word_room, self.state.character_room) = (of(0), of(1));
                self.next_line(0.0, -self.state.leading);
                self.show_operand(operation.operands.get(2), lines);
            }
            "TJ" => {
                if let Some(Object::Array(pieces)) = operation.operands.first() {
                    pieces
                        .iter()
                        .for_each(|piece| self.show_piece(piece, lines));
                }
            }
            _ => {}
        }
    }

    fn next_line(&mut self, x: f32, y: f32) {
        self.line = Matrix::moved(x, y).then(self.line);
        self.text = self.line;
    }

    fn show_operand(&mut self, operand: Option<&Object>, lines: &mut Lines) {
        if let Some(piece) = operand {
            self.show_piece(piece, lines);
        }
    }

    /// Shows a string, or moves by a number of thousandths.
    fn show_piece(&mut self, piece: &Object, lines: &mut Lines) {
        match piece {
            Object::String(bytes, _) => self.show(bytes, lines),
            other => {
                let thousandths = other.as_float().unwrap_or_default();
                self.advance(-thousandths / 1_000.0 * self.state.size);
            }
        }
    }

    fn show(&mut self, bytes: &[u8], lines: &mut Lines) {
        let Some(font) = self.state.font.clone() else {
            return;
        };
        let mut text = String::new();
        let begin = self.on_page();
        for glyph in font.glyphs(bytes) {
            text.push_str(&glyph.text);
            let room = match glyph.is_word_room {
                true => self.state.word_room,
                false => 0.0,
            };
            self.advance(glyph.width * self.state.size + self.state.character_room + room);
        }
        if text.is_empty() {
            return;
        }
        self.part(begin, lines);
        lines.push(&text.replace(['\n', '\t'], " "));
        let end = self.on_page();
        self.last = Some((end.e, end.f, end.height()));
    }

    fn advance(&mut self, by: f32) {
        self.text = Matrix::moved(by * self.state.stretch, 0.0).then(self.text);
    }

    /// Where the next glyph stands on the page.
    fn on_page(&self) -> Matrix {
        let size = self.state.size;
        let scale = Matrix {
            a: size,
            d: size,
            ..Matrix::UNIT
        };
        scale.then(self.text).then(self.state.place)
    }

    /// Parts words and lines, by how far it is from the end of the last text.
    fn part(&self, begin: Matrix, lines: &mut Lines) {
        let Some((x, y, height)) = self.last else {
            return lines.begin_line();
        };
        let (along, across) = begin.direction();
        let (right, down) = (begin.e - x, begin.f - y);
        let height = height.max(begin.height());
        let gap = right * along + down * across;
        let line = (down * along - right * across).abs();
        if line > 0.5 * height {
            lines.begin_line();
            // Lines that are further apart than any leading belong to two paragraphs.
            if line > 2.0 * height {
                lines.end_line();
            }
        } else if gap > 0.15 * height || gap < -0.5 * height {
            lines.space();
        }
    }
}

fn number(operation: &Operation, index: usize) -> f32 {
    let operand = operation.operands.get(index);
    operand
        .and_then(|operand| operand.as_float().ok())
        .unwrap_or_default()
}

/// A transformation (§8.3.4).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Matrix {
    a: f32,
    b: f32,
    c: f32,
    d: f32,
    e: f32,
    f: f32,
}

impl Matrix {
    const UNIT: Self = Self {
        a: 1.0,
        b: 0.0,
        c: 0.0,
        d: 1.0,
        e: 0.0,
        f: 0.0,
    };

    fn moved(e: f32, f: f32) -> Self {
        Self { e, f, ..Self::UNIT }
    }

    fn of(numbers: &[Object]) -> Option<Self> {
        let numbers: Vec<f32> = numbers
            .iter()
            .map(|n| n.as_float().ok())
            .collect::<Option<_>>()?;
        let [a, b, c, d, e, f] = numbers[..] else {
            return None;
        };
        Some(Self { a, b, c, d, e, f })
    }

    /// This one first, then another.
    fn then(self, other: Self) -> Self {
        Self {
            a: self.a * other.a + self.b * other.c,
            b: self.a * other.b + self.b * other.d,
            c: self.c * other.a + self.d * other.c,
            d: self.c * other.b + self.d * other.d,
            e: self.e * other.a + self.f * other.c + other.e,
            f: self.e * other.b + self.f * other.d + other.f,
        }
    }

    fn height(self) -> f32 {
        self.c.hypot(self.d)
    }

    /// Where the line of text leads, as a vector of length 1.
    fn direction(self) -> (f32, f32) {
        let length = self.a.hypot(self.b);
        match length > 0.0 {
            true => (self.a / length, self.b / length),
            false => (1.0, 0.0),
        }
    }
}
