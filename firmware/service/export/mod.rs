//! Export: messages handed out as a folder of eml files, as an mbox file, or as a zip file that proves that they are what the
//! archive holds; and the check of such a zip without the archive.
//!
//! A message that is damaged in the archive is left out and named, and the export goes on. An export has its name only when
//! it is whole and on the disk. Who may export what, and the entry in the audit log for the forms without proof, are the caller's.

mod check;
mod eml;
mod jobs;
mod manifest;
mod mbox;
mod sha256;
mod target;
#[cfg(test)]
mod tests;
mod zip;

pub use check::{
    CheckError, Comparison, DAMAGE_KEPT_MAX, Damage, ExportReport, Signature, verify_export,
};

pub use jobs::{
    EXPORT_BYTES_MAX, EXPORT_MESSAGES_MAX, Exports, Job, JobFormat, JobState, JobTrouble, NotBegun,
    Order, Owner,
};

use crate::keeper::Failure;
use crate::keeper::messages::Entry;
use archive::Digest;
use eml::EmlFolder;
use mbox::MboxFile;
use sha256::Hasher;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use target::{Target, unnamed_file};
use zip::ZipExport;

/// Messages that one zip holds at most: writing and reading its directory takes about 600 bytes of memory for each.
pub const MESSAGES_MAX: usize = 250_000;

/// Where the messages of an export come from.
pub trait ExportSource {
    /// Gives the next messages, in ascending order of their numbers, as many as suit; none at the end.
    fn next_entries(&mut self) -> Result<Vec<Entry>, Failure>;

    /// Writes the bytes of a message. An error of `out` ends the writing; what is then returned does not matter.
    fn write_message(&mut self, number: u64, out: &mut dyn Write) -> Result<(), Failure>;

    /// Logs the export with the digest of its manifest and the number of its messages, and signs the tree that holds this event.
    ///
    /// Only asked for by the zip form, once, after all messages.
    fn seal(&mut self, manifest: Digest, count: u64) -> Result<Seal, Failure>;

    /// Gives C2SP tlog-proofs of leaves, in the order of the numbers, all at the checkpoint of the seal.
    fn proofs(&mut self, numbers: &[u64]) -> Result<Vec<String>, Failure>;
}

/// What makes an export provable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Number of the event of the export.
    pub event: u64,
    /// The signed checkpoint, whose tree holds the event and all messages.
    pub checkpoint: String,
}

/// What a zip tells of where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Origin of the archive's checkpoints.
    pub origin: String,
    /// Verifier key of the archive.
    pub vkey: String,
    /// The query that chose the messages; empty for all.
    pub query: String,
    /// When the export is made, Unix seconds.
    pub made_at: i64,
}

/// The form of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder with one file a message.
    Eml,
    /// One mbox file.
    Mbox,
    /// A zip file with proofs.
    Zip(About),
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that were left out because they are damaged in the archive, with what is wrong.
    pub damaged: Vec<(u64, String)>,
}

/// Why an export was broken off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The archive failed.
    #[error("the archive could not give what is exported: {0}")]
    Keeper(#[from] Failure),
    /// The export could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Exports everything that the source gives; `watch` is told of the number of messages done.
///
/// # Errors
/// `Write` also when `out` exists, or is a folder that is not empty: nothing is ever overwritten.
pub fn export(
    source: &mut dyn ExportSource,
    format: Format,
    out: &Path,
    watch: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    match format {
        Format::Eml => {
            let mut writer = EmlFolder::create(out).on(out)?;
            let exported = export_messages(source, &mut writer, out, watch)?;
            writer.finish().on(out)?;
            Ok(exported)
        }
        Format::Mbox => export_mbox(source, Target::create(out).on(out)?, out, watch),
        Format::Zip(about) => {
            let target = Target::create(out).on(out)?;
            let waiting = unnamed_file(out).on(out)?;
            export_zip(source, about, (target, waiting), out, watch)
        }
    }
}

/// Exports into an empty file without a name, and uses a second one for what has to wait until then.
///
/// # Errors
/// `Write` also for the form that needs a folder.
pub fn export_unnamed(
    source: &mut dyn ExportSource,
    format: Format,
    [file, waiting]: [File; 2],
    watch: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let out = Path::new("a file of the spool");
    let target = (Target::Unnamed, file);
    match format {
        Format::Eml => Err(io::ErrorKind::NotADirectory.into()).on(out),
        Format::Mbox => export_mbox(source, target, out, watch),
        Format::Zip(about) => export_zip(source, about, (target, waiting), out, watch),
    }
}

fn export_mbox(
    source: &mut dyn ExportSource,
    (target, file): (Target, File),
    out: &Path,
    watch: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let mut writer = MboxFile::new(target, file);
    let exported = export_messages(source, &mut writer, out, watch)?;
    writer.finish().on(out)?;
    Ok(exported)
}

fn export_zip(
    source: &mut dyn ExportSource,
    about: About,
    (target, waiting): ((Target, File), File),
    out: &Path,
    watch: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let mut writer = ZipExport::new(target, waiting, out, about).on(out)?;
    let exported = export_messages(source, &mut writer, out, watch)?;
    writer.finish(source)?;
    Ok(exported)
}

/// Takes messages one by one.
trait MessageWriter {
    /// Begins a message and gives where its bytes go.
    fn begin(&mut self, entry: &Entry) -> io::Result<&mut dyn Write>;
    /// Ends it.
    fn end(&mut self, entry: &Entry) -> io::Result<()>;
    /// Takes back what was written of it.
    fn abort(&mut self) -> io::Result<()>;
}

fn export_messages(
    source: &mut dyn ExportSource,
    writer: &mut dyn MessageWriter,
    out: &Path,
    watch: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    loop {
        let entries = source.next_entries()?;
        if entries.is_empty() {
            return Ok(exported);
        }
        for entry in &entries {
            match write_message(source, entry, writer.begin(entry).on(out)?, out)? {
                None => {
                    writer.end(entry).on(out)?;
                    exported.messages += 1;
                    exported.bytes += entry.size_bytes;
                }
                Some(damage) => {
                    writer.abort().on(out)?;
                    exported.damaged.push((entry.number, damage));
                }
            }
            watch(exported.messages);
        }
    }
}

/// Writes a message and says what is damaged, if anything is.
fn write_message(
    source: &mut dyn ExportSource,
    entry: &Entry,
    out: &mut dyn Write,
    path: &Path,
) -> Result<Option<String>, ExportError> {
    let mut checking = Checking {
        out,
        hasher: Hasher::new(),
        error: None,
    };
    let written = source.write_message(entry.number, &mut checking);
    let Checking { hasher, error, .. } = checking;
    if let Some(source) = error {
        return Err(ExportError::Write {
            path: path.to_owned(),
            source,
        });
    }
    match written {
        Err(Failure::Damaged(what) | Failure::NotFound(what)) => Ok(Some(what)),
        Err(failure) => Err(failure.into()),
        Ok(()) => {
            let is_sound = hasher.finish() == (Digest(entry.digest), entry.size_bytes);
            Ok((!is_sound).then(|| "its bytes are not those that came in".to_owned()))
        }
    }
}

/// Computes the digest of what passes through, and keeps what goes wrong behind it.
struct Checking<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
    error: Option<io::Error>,
}

impl Write for Checking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.push(bytes);
        self.out.write_all(bytes).map_err(|error| {
            let kind = error.kind();
            self.error = Some(error);
            io::Error::from(kind)
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Names the file of an error.
trait OnPath<T> {
    fn on(self, path: &Path) -> Result<T, ExportError>;
}

impl<T> OnPath<T> for io::Result<T> {
    fn on(self, path: &Path) -> Result<T, ExportError> {
        self.map_err(|source| ExportError::Write {
            path: path.to_owned(),
            source,
        })
    }
}
