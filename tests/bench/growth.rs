//! Makes mail by a seed, as much as one likes: messages of a Maildir with other ids, dates, senders and words, as an mbox on standard output.
//!
//! The same seed gives the same bytes. Words are exchanged for words that stand elsewhere in the mail, now and then for a new one, so that
//! frequencies stay natural and the vocabulary grows as that of real mail does. Encoded attachments are changed so that
//! none is the copy of another. Says on standard error, as lines of JSON, when how many messages had been written.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: growth MAILDIR COUNT SEED";

/// Messages between two lines of JSON.
const STAMP_EVERY: u64 = 1000;

/// One word of so many is exchanged.
const EXCHANGE_ONE_OF: u64 = 8;

/// One exchanged word of so many is new.
const NEW_ONE_OF: u64 = 40;

/// Letters of the shortest word that is exchanged; shorter ones hold sentences together.
const WORD_LEN_MIN: usize = 4;

/// Characters of the shortest line that is taken for encoded bytes when it has no space.
const ENCODED_LEN_MIN: usize = 60;

const FIRST_YEAR: u64 = 2006;
const YEARS: u64 = 18;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const SYLLABLES: [&str; 16] = [
    "ba", "ke", "lin", "mo", "ru", "sta", "ter", "vol", "wen", "zi", "gra", "hol", "dun", "fe",
    "pol", "na",
];

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [maildir, count, seed] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let mut growth = Growth::read(Path::new(maildir), count.parse()?, seed.parse()?)?;
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let began = Instant::now();
    for index in 0..growth.count {
        if index % STAMP_EVERY == 0 {
            stamp(index, began)?;
        }
        growth.write(index, &mut out)?;
    }
    out.flush()?;
    stamp(growth.count, began)
}

fn stamp(messages: u64, began: Instant) -> Outcome {
    let seconds = began.elapsed().as_secs_f64();
    writeln!(
        io::stderr(),
        r#"{{"messages": {messages}, "seconds": {seconds:.3}}}"#
    )?;
    Ok(())
}

/// The mail that all is made from, and where the numbers are.
struct Growth {
    samples: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    count: u64,
    numbers: Numbers,
}

impl Growth {
    fn read(maildir: &Path, count: u64, seed: u64) -> Outcome<Self> {
        let entries = std::fs::read_dir(maildir.join("cur"))?;
        let mut files = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<PathBuf>, _>>()?;
        files.sort();
        let samples = files
            .iter()
            .map(std::fs::read)
            .collect::<Result<Vec<_>, _>>()?;
        // One message of 16 has words enough; drawing from running text keeps their frequencies.
        let words = samples
            .iter()
            .step_by(16)
            .flat_map(|sample| pieces(body(sample)))
            // At the start of a line it would look like the separator of an mbox.
            .filter(|piece| is_word(piece) && *piece != b"From")
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>();
        if words.is_empty() {
            return Err(format!("no mail in: {}", maildir.display()).into());
        }
        Ok(Self {
            samples,
            words,
            count,
            numbers: Numbers(seed),
        })
    }

    /// Writes the next message, with the separator of mboxrd.
    fn write(&mut self, index: u64, out: &mut impl Write) -> io::Result<()> {
        let place = (index % self.samples.len() as u64) as usize;
        let sample = std::mem::take(&mut self.samples[place]);
        let split = sample.len() - body(&sample).len();
        out.write_all(b"From growth@office.example Mon Jan  2 03:04:05 2006\n")?;
        self.write_header(&sample[..split], index, out)?;
        let mut encoded_lines = 0;
        for line in sample[split..].split_inclusive(|byte| *byte == b'\n') {
            self.write_line(line, &mut encoded_lines, out)?;
        }
        out.write_all(if sample.ends_with(b"\n") {
            b"\n"
        } else {
            b"\n\n"
        })?;
        self.samples[place] = sample;
        Ok(())
    }

    /// Id, date and sender are new; of all else only the subject's words change.
    fn write_header(&mut self, header: &[u8], index: u64, out: &mut impl Write) -> io::Result<()> {
        let mut is_replaced = false;
        for line in header.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                if !is_replaced {
                    out.write_all(line)?;
                }
                continue;
            }
            let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
            is_replaced = true;
            match name.to_ascii_lowercase().as_slice() {
                b"message-id" => writeln!(out, "Message-ID: <{}>", self.id(index))?,
                b"date" => writeln!(out, "Date: {}", self.date(index))?,
                b"from" => writeln!(out, "From: {}", self.sender(index))?,
                other => {
                    is_replaced = false;
                    match other {
                        b"subject" => self.write_words(line, out)?,
                        _ => write_quoted(line, out)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn id(&mut self, index: u64) -> String {
        format!("{:016x}.{index}@growth.example", self.numbers.next())
    }

    /// Dates go on through the years, with the disorder of mail.
    fn date(&mut self, index: u64) -> String {
        let month = (index * YEARS * 12 / self.count.max(1)).min(YEARS * 12 - 1);
        let (day, hour) = (self.numbers.below(28) + 1, self.numbers.below(24));
        let (minute, second) = (self.numbers.below(60), self.numbers.below(60));
        let name = MONTHS[(month % 12) as usize];
        let year = FIRST_YEAR + month / 12;
        format!("{day} {name} {year} {hour:02}:{minute:02}:{second:02} +0000")
    }

    /// The older a sender, the more mail; new ones come all the time.
    fn sender(&mut self, index: u64) -> String {
        let known = 100 + index / 40;
        let among = self.numbers.below(known) + 1;
        let who = self.numbers.below(among);
        let (first, last) = (name(who * 2), name(who * 2 + 1));
        format!(
            "{first} {last} <{first}.{last}@company{}.example>",
            who % 97
        )
    }

    fn write_line(
        &mut self,
        line: &[u8],
        encoded_lines: &mut u64,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if line.len() < ENCODED_LEN_MIN || line.contains(&b' ') {
            return self.write_words(line, out);
        }
        *encoded_lines += 1;
        if *encoded_lines % 16 != 2 || !line[8].is_ascii_lowercase() {
            return write_quoted(line, out);
        }
        // Another letter within a group of four: still base64, of other bytes.
        let mut line = line.to_vec();
        line[8] = b'a' + self.numbers.below(26) as u8;
        write_quoted(&line, out)
    }

    fn write_words(&mut self, line: &[u8], out: &mut impl Write) -> io::Result<()> {
        write_quote(line, out)?;
        for piece in pieces(line) {
            if !is_word(piece) || self.numbers.below(EXCHANGE_ONE_OF) != 0 {
                out.write_all(piece)?;
            } else if self.numbers.below(NEW_ONE_OF) == 0 {
                out.write_all(name(self.numbers.next() >> 40).as_bytes())?;
            } else {
                let place = self.numbers.below(self.words.len() as u64) as usize;
                out.write_all(&self.words[place])?;
            }
        }
        Ok(())
    }
}

/// What follows the first empty line.
fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(2).position(|two| two == b"\n\n");
    end.map_or(&[], |end| &message[end + 2..])
}

/// Runs of letters, and what stands between them.
fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.chunk_by(|left, right| left.is_ascii_alphabetic() == right.is_ascii_alphabetic())
}

fn is_word(piece: &[u8]) -> bool {
    piece.len() >= WORD_LEN_MIN && piece[0].is_ascii_alphabetic()
}

/// A name or word that always belongs to the same number.
fn name(number: u64) -> String {
    let mut rest = number;
    let mut name = String::from("Q");
    while rest > 0 || name.len() < 5 {
        name.push_str(SYLLABLES[(rest % SYLLABLES.len() as u64) as usize]);
        rest /= SYLLABLES.len() as u64;
    }
    name
}

fn write_quoted(line: &[u8], out: &mut impl Write) -> io::Result<()> {
    write_quote(line, out)?;
    out.write_all(line)
}

/// mboxrd: a line that looks like a separator gets one more mark.
fn write_quote(line: &[u8], out: &mut impl Write) -> io::Result<()> {
    let marks = line.iter().take_while(|byte| **byte == b'>').count();
    if line[marks..].starts_with(b"From ") {
        out.write_all(b">")?;
    }
    Ok(())
}

/// SplitMix64: good enough to vary mail, and the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
