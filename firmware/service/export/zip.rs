//! Export into one zip file that proves itself: messages, manifest, the signed checkpoint, and a proof for each message and for the
//! event that names the manifest's digest. `check` reads it again.
//!
//! | name | holds |
//! |---|---|
//! | `README.txt` | how to check it, in German and English; the manifest has its digest |
//! | `messages/NUMBER.eml` | a message, exactly its bytes |
//! | `manifest.json` | see `manifest` |
//! | `checkpoint` | a signed note with the tree head that all proofs lead to |
//! | `export.tlog-proof` | C2SP tlog-proof of the event of this export |
//! | `proofs/NUMBER.tlog-proof` | C2SP tlog-proof of the message's leaf |
//!
//! Extra data of a proof: kind (1 byte) ‖ sequence (8 bytes, little-endian) ‖ body of the leaf, see the store's FORMAT.md.

use super::manifest::{FORMAT, ManifestEntry, ManifestHead, ManifestWriter};
use super::target::Target;
use super::{About, ExportError, ExportSource, MESSAGES_MAX, MessageWriter, OnPath, Seal};
use crate::keeper::messages::Entry;
use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};
use archive::calendar::rfc3339;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use store::sha256;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const EXPORT_PROOF: &str = "export.tlog-proof";
pub(super) const README: &str = "README.txt";
const README_TEXT: &[u8] = include_bytes!("README.txt");

/// Proofs asked for at once: a leaf's body is mostly below a kilobyte, so these are below a megabyte.
const PROOFS_AT_ONCE: usize = 256;

/// Names the file of a message.
pub(super) fn message_name(number: u64) -> String {
    format!("messages/{number}.eml")
}

/// Names the file of a message's proof.
pub(super) fn proof_name(number: u64) -> String {
    format!("proofs/{number}.tlog-proof")
}

/// A zip file being written.
pub(super) struct ZipExport {
    path: PathBuf,
    target: Target,
    zip: ZipWriter<BufWriter<File>>,
    /// Waits beside the file until all messages are in it, since a zip takes one file at a time.
    manifest: ManifestWriter<BufWriter<File>>,
    numbers: Vec<u64>,
}

impl ZipExport {
    /// Begins in an empty file; `path` is for errors, `waiting` for what has to wait.
    pub(super) fn new(
        (target, file): (Target, File),
        waiting: File,
        path: &Path,
        about: About,
    ) -> io::Result<Self> {
        let made_at = rfc3339(about.made_at);
        let head = ManifestHead {
            format: FORMAT,
            origin: about.origin,
            vkey: about.vkey,
            made_at,
            query: about.query,
            readme_sha256: sha256(README_TEXT).to_string(),
        };
        let manifest = ManifestWriter::new(BufWriter::new(waiting), &head)?;
        let zip = ZipWriter::new(BufWriter::new(file));
        let mut export = Self {
            path: path.to_owned(),
            target,
            zip,
            manifest,
            numbers: Vec::new(),
        };
        export.put(README, README_TEXT)?;
        Ok(export)
    }

    /// Writes what proves the messages, and gives the file its name.
    pub(super) fn finish(mut self, source: &mut dyn ExportSource) -> Result<(), ExportError> {
        let path = self.path.clone();
        let (manifest, digest) = self.manifest.finish().on(&path)?;
        put_waiting(&mut self.zip, manifest).on(&path)?;
        let seal = source.seal(digest, self.numbers.len() as u64)?;
        put_seal(&mut self.zip, &seal, source, &path)?;
        for numbers in self.numbers.chunks(PROOFS_AT_ONCE) {
            for (number, proof) in numbers.iter().zip(source.proofs(numbers)?) {
                put(&mut self.zip, &proof_name(*number), proof.as_bytes()).on(&path)?;
            }
        }
        let mut file = self.zip.finish().map_err(io::Error::from).on(&path)?;
        file.flush().on(&path)?;
        self.target.finish(file.get_ref()).on(&path)
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        put(&mut self.zip, name, bytes)
    }
}

impl MessageWriter for ZipExport {
    fn begin(&mut self, entry: &Entry) -> io::Result<&mut dyn Write> {
        if self.numbers.len() == MESSAGES_MAX {
            let what = format!(
                "a zip holds {MESSAGES_MAX} messages at most; narrow the query, as by year"
            );
            return Err(io::Error::other(what));
        }
        // A compressed file may become a little longer.
        let is_large = entry.size_bytes > u64::from(u32::MAX) / 2;
        self.zip
            .start_file(message_name(entry.number), options().large_file(is_large))?;
        Ok(&mut self.zip)
    }

    fn end(&mut self, entry: &Entry) -> io::Result<()> {
        self.numbers.push(entry.number);
        self.manifest.entry(&ManifestEntry::from(entry))
    }

    fn abort(&mut self) -> io::Result<()> {
        Ok(self.zip.abort_file()?)
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

fn put(zip: &mut ZipWriter<BufWriter<File>>, name: &str, bytes: &[u8]) -> io::Result<()> {
    zip.start_file(name, options())?;
    zip.write_all(bytes)
}

fn put_waiting(zip: &mut ZipWriter<BufWriter<File>>, waiting: BufWriter<File>) -> io::Result<()> {
    let mut file = waiting
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    zip.start_file(MANIFEST, options())?;
    io::copy(&mut BufReader::new(file), zip).map(drop)
}

fn put_seal(
    zip: &mut ZipWriter<BufWriter<File>>,
    seal: &Seal,
    source: &mut dyn ExportSource,
    path: &Path,
) -> Result<(), ExportError> {
    put(zip, CHECKPOINT, seal.checkpoint.as_bytes()).on(path)?;
    for proof in source.proofs(&[seal.event])? {
        put(zip, EXPORT_PROOF, proof.as_bytes()).on(path)?;
    }
    Ok(())
}
