//! The manifest of a zip export: a JSON text with one message a line, so that it is read and written in bounded memory.
//!
//! ```json
//! {
//! "format": 1,
//! "origin": "coffer.archive/…",
//! "vkey": "coffer.archive/…+…+…",
//! "made_at": "2025-03-03T08:15:02Z",
//! "query": "from:anna",
//! "readme_sha256": "…",
//! "entries": [
//! {"number":3,"digest":"…","size_bytes":1234,"received_at":"…","sent_at":"…","from":"…","to":["…"],"subject":"…"},
//! {"number":5, …}
//! ]
//! }
//! ```
//!
//! The event of the export names its SHA-256, so that a line that was cut or changed is seen.

use super::sha256::Hasher;
use crate::keeper::messages::Entry;
use archive::Digest;
use archive::calendar::rfc3339;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read, Write};

/// Version of the layout of an export.
pub(super) const FORMAT: u32 = 1;

/// Longest line that is read, in bytes: a line of twenty recipients and a subject of 400 bytes each, all escaped.
const LINE_BYTES_MAX: u64 = 256 << 10;

/// Lines before the entries that are read at most; there are eight.
const HEAD_LINES_MAX: usize = 64;

const ENTRIES_BEGIN: &str = "\"entries\": [";

/// What a manifest says of the whole export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestHead {
    pub(super) format: u32,
    pub(super) origin: String,
    pub(super) vkey: String,
    pub(super) made_at: String,
    pub(super) query: String,
    pub(super) readme_sha256: String,
}

/// What a manifest says of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestEntry {
    pub(super) number: u64,
    pub(super) digest: String,
    pub(super) size_bytes: u64,
    pub(super) received_at: String,
    pub(super) sent_at: Option<String>,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) subject: String,
}

impl From<&Entry> for ManifestEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            number: entry.number,
            digest: Digest(entry.digest).to_string(),
            size_bytes: entry.size_bytes,
            received_at: rfc3339(entry.received_at_us.div_euclid(1_000_000)),
            sent_at: entry.sent_at.map(rfc3339),
            from: entry.from.clone(),
            to: entry.to.clone(),
            subject: entry.subject.clone(),
        }
    }
}

/// Writes a manifest and computes its digest.
pub(super) struct ManifestWriter<W> {
    out: W,
    hasher: Hasher,
    is_first: bool,
}

impl<W: Write> ManifestWriter<W> {
    /// Writes the head.
    pub(super) fn new(out: W, head: &ManifestHead) -> io::Result<Self> {
        let mut writer = Self {
            out,
            hasher: Hasher::new(),
            is_first: true,
        };
        let fields = [
            ("format", serde_json::to_string(&head.format)),
            ("origin", serde_json::to_string(&head.origin)),
            ("vkey", serde_json::to_string(&head.vkey)),
            ("made_at", serde_json::to_string(&head.made_at)),
            ("query", serde_json::to_string(&head.query)),
            ("readme_sha256", serde_json::to_string(&head.readme_sha256)),
        ];
        writer.put("{\n")?;
        for (name, value) in fields {
            writer.put(&format!("\"{name}\": {},\n", value?))?;
        }
        writer.put(ENTRIES_BEGIN)?;
        Ok(writer)
    }

    /// Writes the line of a message.
    pub(super) fn entry(&mut self, entry: &ManifestEntry) -> io::Result<()> {
        self.put(if self.is_first { "\n" } else { ",\n" })?;
        self.is_first = false;
        self.put(&serde_json::to_string(entry)?)
    }

    /// Ends the manifest and gives back where it was written, and its digest.
    pub(super) fn finish(mut self) -> io::Result<(W, Digest)> {
        self.put("\n]\n}\n")?;
        self.out.flush()?;
        Ok((self.out, self.hasher.finish().0))
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.hasher.push(text.as_bytes());
        self.out.write_all(text.as_bytes())
    }
}

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("is not a manifest of this version, in line {0}")]
    Malformed(u64),
    #[error("has a line that is too long: {0}")]
    LineTooLong(u64),
}

/// Reads a manifest, hands over its entries, and gives its head and digest.
pub(super) fn read(
    source: impl Read,
    each: &mut dyn FnMut(ManifestEntry),
) -> Result<(ManifestHead, Digest), ManifestError> {
    let mut lines = Lines {
        source: io::BufReader::new(source),
        hasher: Hasher::new(),
        number: 0,
    };
    let mut head = String::new();
    loop {
        let line = lines.next()?;
        if line == ENTRIES_BEGIN {
            break;
        }
        if lines.number > HEAD_LINES_MAX as u64 {
            return Err(lines.malformed());
        }
        head.push_str(&line);
    }
    // The last of these lines ends with the comma before the entries.
    let head = head
        .strip_suffix(',')
        .and_then(|head| serde_json::from_str(&format!("{head}}}")).ok());
    let head: ManifestHead = head.ok_or(lines.malformed())?;
    if head.format != FORMAT {
        return Err(lines.malformed());
    }
    loop {
        let line = lines.next()?;
        if line == "]" {
            break;
        }
        let entry = line.strip_suffix(',').unwrap_or(&line);
        each(serde_json::from_str(entry).map_err(|_| lines.malformed())?);
    }
    if lines.next()? != "}" || !lines.next()?.is_empty() {
        return Err(lines.malformed());
    }
    Ok((head, lines.hasher.finish().0))
}

/// Reads lines of bounded length, and computes the digest of all.
struct Lines<R> {
    source: io::BufReader<R>,
    hasher: Hasher,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// Gives the next line without its end; an empty one at the end.
    fn next(&mut self) -> Result<String, ManifestError> {
        self.number += 1;
        let mut line = Vec::new();
        (&mut self.source)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)?;
        if line.len() as u64 == LINE_BYTES_MAX {
            return Err(ManifestError::LineTooLong(self.number));
        }
        self.hasher.push(&line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        String::from_utf8(line.to_vec()).map_err(|_| self.malformed())
    }

    fn malformed(&self) -> ManifestError {
        ManifestError::Malformed(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::sha256;

    fn head() -> ManifestHead {
        ManifestHead {
            format: FORMAT,
            origin: "coffer.archive/00".to_owned(),
            vkey: "coffer.archive/00+1+AA".to_owned(),
            made_at: "2025-03-03T08:15:02Z".to_owned(),
            query: "from:\"anna\"\n\"entries\": [".to_owned(),
            readme_sha256: "00".to_owned(),
        }
    }

    fn entry(number: u64) -> ManifestEntry {
        ManifestEntry::from(&Entry {
            number,
            size_bytes: 7,
            sent_at: number.is_multiple_of(2).then_some(0),
            to: vec!["b@x.example".to_owned(); 2],
            subject: "Gr\u{fc}\u{df}e \"\n]\u{2028}".to_owned(),
            ..Entry::default()
        })
    }

    fn written(count: u64) -> (Vec<u8>, Digest) {
        let mut writer = ManifestWriter::new(Vec::new(), &head()).expect("into memory");
        (0..count).for_each(|number| writer.entry(&entry(number)).expect("into memory"));
        writer.finish().expect("into memory")
    }

    #[test]
    fn what_is_written_is_json_and_read_back() {
        for count in [0, 1, 3] {
            let (text, digest) = written(count);
            assert_eq!(digest, sha256(&text));
            let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(
                json["entries"].as_array().expect("a list").len() as u64,
                count
            );
            let mut entries = Vec::new();
            let (read_head, read_digest) =
                read(text.as_slice(), &mut |entry| entries.push(entry)).expect("sound");
            assert_eq!((read_head, read_digest), (head(), digest));
            assert_eq!(entries, (0..count).map(entry).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_cut_is_refused() {
        let (text, _) = written(3);
        for end in 0..text.len() - 1 {
            assert!(read(&text[..end], &mut |_| ()).is_err(), "cut at {end}");
        }
        let long = [&text[..], &vec![b' '; LINE_BYTES_MAX as usize]].concat();
        assert!(read(long.as_slice(), &mut |_| ()).is_err());
        assert!(read(io::repeat(b'{'), &mut |_| ()).is_err());
        assert!(read(io::repeat(b'\n'), &mut |_| ()).is_err());
    }
}
