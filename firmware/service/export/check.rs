//! The check of a zip export, offline and without the archive: that nothing in it was changed, that nothing is missing or was
//! added, and that all of it hangs on one signed checkpoint.
//!
//! The chain: each message's bytes → digest → its leaf → proof → checkpoint → signature. The manifest's digest → event of the export
//! → proof → the same checkpoint. So only whoever holds the archive's key could make another one. What the signature is
//! worth depends on where the key comes from: only one from outside counts.
//!
//! Nothing is unpacked: bytes pass through a hash, in bounded memory whatever the zip claims.

use super::MESSAGES_MAX;
use super::manifest::{self, ManifestEntry, ManifestHead};
use super::sha256::Hasher;
use super::zip::{CHECKPOINT, EXPORT_PROOF, MANIFEST, README, message_name, proof_name};
use ::zip::ZipArchive;
use archive::{Digest, EventKind};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use store::checkpoint::Checkpoint;
use store::merkle::{leaf_entry, leaf_hash};
use store::note::{NOTE_BYTES_MAX, Note, Verifier};
use store::proof::{PROOF_BYTES_MAX, Proof};
use store::sha256;
use store::{Leaf, LeafBody};

/// Damage kept in a report; all of it is counted.
pub const DAMAGE_KEPT_MAX: usize = 10_000;

/// Longest README that is read, in bytes; ours has a few thousand.
const README_BYTES_MAX: usize = 1 << 20;

/// Files of a zip that are read at most: two a message, and the four others; a directory with more is not even opened.
const FILES_MAX: u64 = 2 * MESSAGES_MAX as u64 + 4;

/// Longest directory of a zip that is read, in bytes: 512 for each file, of which ours take about 80.
const DIRECTORY_BYTES_MAX: u64 = 512 * FILES_MAX;

/// Kind numbers of leaves, see the store's FORMAT.md.
const KIND_MESSAGE: u8 = 3;
const KIND_EVENT: u8 = 5;

/// Bytes of a proof's extra data before the leaf's body: kind and sequence number.
const EXTRA_HEAD_BYTES: usize = 9;

/// What the check of an export found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// Messages that the manifest names.
    pub messages: u64,
    /// Whose archive it claims to be from.
    pub origin: String,
    /// Leaves of the archive when the export was made; 0 when the checkpoint cannot be read.
    pub tree_size: u64,
    /// When the export says that it was made.
    pub made_at: String,
    /// Who signed.
    pub signature: Signature,
    /// What the comparison with another checkpoint gave, when one was given.
    pub comparison: Option<Comparison>,
    /// What is wrong, the first [`DAMAGE_KEPT_MAX`].
    pub damaged: Vec<Damage>,
    /// How much is wrong; 0 for a sound export.
    pub damage_count: u64,
}

/// Whether it is known who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Signed by the key from outside, which has this name.
    Checked(String),
    /// No key from outside was given, or the signature is not by it: at best the export is consistent in itself.
    NotChecked,
}

/// How the export's checkpoint stands to another one of the same archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same size and root.
    Same,
    /// Another root for the same size, or another archive: listed as damage.
    Contradicts,
    /// Of this other size: that one continues the other can only be shown by the archive itself.
    NotComparableOffline {
        /// Leaves of the other tree.
        size: u64,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file in the zip.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// Why an export could not be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no zip file, or too damaged to be opened as one.
    #[error("not a zip file, or damaged beyond reading: {}: {why}", path.display())]
    NotAZip {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The key is none.
    #[error("not a verifier key: {0}")]
    Key(String),
    /// The checkpoint to compare with is none.
    #[error("not a signed checkpoint: {0}")]
    Checkpoint(String),
}

/// Checks an export, with a key and a checkpoint from outside where there are any.
///
/// # Errors
/// Only when there is nothing to be checked; everything that is wrong with the export is in the report.
pub fn verify_export(
    path: &Path,
    key: Option<&str>,
    checkpoint: Option<&str>,
) -> Result<ExportReport, CheckError> {
    let key = key.map(|key| {
        key.trim()
            .parse::<Verifier>()
            .map_err(|error| CheckError::Key(error.to_string()))
    });
    let other = checkpoint.map(read_other);
    let (key, other) = (key.transpose()?, other.transpose()?);
    let mut check = Check {
        zip: open(path)?,
        report: ExportReport::new(),
        checkpoint: None,
    };
    let manifest = check.manifest();
    check.names(&manifest.entries);
    check.readme(manifest.head.as_ref());
    check.checkpoint(manifest.head.as_ref(), key.as_ref());
    check.export_event(&manifest);
    for (number, (digest, size_bytes)) in &manifest.entries {
        check.message(*number, *digest, *size_bytes);
    }
    if let Some((note, other)) = &other {
        check.compare(note, other, key.as_ref());
    }
    Ok(check.report)
}

fn read_other(text: &str) -> Result<(Note, Checkpoint), CheckError> {
    let note: Note = text
        .parse()
        .map_err(|error: store::note::NoteError| CheckError::Checkpoint(error.to_string()))?;
    let checkpoint = note.unverified_text().parse();
    let checkpoint = checkpoint.map_err(|error: store::checkpoint::CheckpointError| {
        CheckError::Checkpoint(error.to_string())
    })?;
    Ok((note, checkpoint))
}

/// Opens a zip whose directory is not too large to be held.
fn open(path: &Path) -> Result<ZipArchive<BufReader<File>>, CheckError> {
    let read = |source| CheckError::Read {
        path: path.to_owned(),
        source,
    };
    let not_a_zip = |why: String| CheckError::NotAZip {
        path: path.to_owned(),
        why,
    };
    let mut file = BufReader::new(File::open(path).map_err(read)?);
    let (files, directory_bytes) = directory_size(&mut file)
        .map_err(read)?
        .ok_or_else(|| not_a_zip("it has no directory at its end".to_owned()))?;
    if files > FILES_MAX || directory_bytes > DIRECTORY_BYTES_MAX {
        return Err(not_a_zip(format!("it claims to have {files} files")));
    }
    ZipArchive::new(file).map_err(|error| not_a_zip(error.to_string()))
}

/// Reads the number of files and the length of the directory from the end of a zip (APPNOTE.TXT §4.3.14–16), which is taken at its
/// word: more than it claims is not read.
fn directory_size(file: &mut (impl Read + Seek)) -> io::Result<Option<(u64, u64)>> {
    // End record, comment of up to 64 KiB, and the locator of a zip64 end record before.
    const END_BYTES: usize = 22;
    const LOCATOR_BYTES: usize = 20;
    const RECORD_BYTES: usize = 56;
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub((LOCATOR_BYTES + END_BYTES + 0xffff) as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let last = tail.len().checked_sub(END_BYTES);
    let end = last.and_then(|last| {
        (0..=last)
            .rev()
            .find(|at| tail[*at..].starts_with(b"PK\x05\x06"))
    });
    let Some(end) = end else { return Ok(None) };
    let locator = end.checked_sub(LOCATOR_BYTES).map(|at| &tail[at..end]);
    if let Some([b'P', b'K', 6, 7, _, _, _, _, offset @ .., _, _, _, _]) = locator {
        let mut record = Vec::new();
        file.seek(SeekFrom::Start(u64_at(offset, 0)))?;
        file.take(RECORD_BYTES as u64).read_to_end(&mut record)?;
        let is_record = record.len() == RECORD_BYTES && record.starts_with(b"PK\x06\x06");
        return Ok(is_record.then(|| (u64_at(&record, 32), u64_at(&record, 40))));
    }
    let end = &tail[end..];
    let files = u16::from_le_bytes([end[10], end[11]]);
    let bytes = u32::from_le_bytes([end[12], end[13], end[14], end[15]]);
    Ok(Some((files.into(), bytes.into())))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl ExportReport {
    fn new() -> Self {
        Self {
            messages: 0,
            origin: String::new(),
            tree_size: 0,
            made_at: String::new(),
            signature: Signature::NotChecked,
            comparison: None,
            damaged: Vec::new(),
            damage_count: 0,
        }
    }

    fn damage(&mut self, file: &str, what: impl Into<String>) {
        self.damage_count += 1;
        if self.damaged.len() < DAMAGE_KEPT_MAX {
            self.damaged.push(Damage {
                file: file.to_owned(),
                what: what.into(),
            });
        }
    }
}

/// The manifest as far as it could be read.
#[derive(Default)]
struct Manifest {
    head: Option<ManifestHead>,
    digest: Option<Digest>,
    /// By number: digest and length.
    entries: BTreeMap<u64, (Digest, u64)>,
}

impl Manifest {
    /// Takes a line; gives what is wrong with it.
    fn take(&mut self, entry: &ManifestEntry) -> Option<String> {
        let Ok(digest) = entry.digest.parse() else {
            return Some(format!("has no digest for message {}", entry.number));
        };
        if self.entries.len() == MESSAGES_MAX {
            return Some(format!("has more than {MESSAGES_MAX} messages"));
        }
        let before = self
            .entries
            .insert(entry.number, (digest, entry.size_bytes));
        before.map(|_| format!("names message {} twice", entry.number))
    }
}

struct Check {
    zip: ZipArchive<BufReader<File>>,
    report: ExportReport,
    checkpoint: Option<(Note, Checkpoint)>,
}

impl Check {
    fn manifest(&mut self) -> Manifest {
        let mut manifest = Manifest::default();
        let mut damage = Vec::new();
        let read = match self.zip.by_name(MANIFEST) {
            Err(error) => Err(error.to_string()),
            Ok(file) => manifest::read(file, &mut |entry| {
                // More than enough to say that it is not ours.
                if damage.len() < DAMAGE_KEPT_MAX {
                    damage.extend(manifest.take(&entry));
                }
            })
            .map_err(|error| error.to_string()),
        };
        match read {
            Ok((head, digest)) => {
                self.report.origin.clone_from(&head.origin);
                self.report.made_at.clone_from(&head.made_at);
                (manifest.head, manifest.digest) = (Some(head), Some(digest));
            }
            Err(why) => damage.push(why),
        }
        damage
            .into_iter()
            .for_each(|what| self.report.damage(MANIFEST, what));
        self.report.messages = manifest.entries.len() as u64;
        manifest
    }

    /// Finds what the manifest does not know of; what is missing is found when it is read.
    fn names(&mut self, entries: &BTreeMap<u64, (Digest, u64)>) {
        if self.zip.has_duplicate_names() {
            self.report
                .damage("", "the zip has two files of the same name");
        }
        let names: Vec<String> = self
            .zip
            .file_names_raw()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        for name in names {
            let is_known = [MANIFEST, CHECKPOINT, EXPORT_PROOF, README].contains(&name.as_str())
                || number_in(&name).is_some_and(|number| entries.contains_key(&number));
            if !is_known {
                self.report.damage(&name, "is not named in the manifest");
            }
        }
    }

    fn readme(&mut self, head: Option<&ManifestHead>) {
        let Some(bytes) = self.small_file(README, README_BYTES_MAX) else {
            return;
        };
        if head.is_some_and(|head| head.readme_sha256 != sha256(&bytes).to_string()) {
            self.report.damage(README, "was changed");
        }
    }

    /// Reads the checkpoint and looks who signed it.
    fn checkpoint(&mut self, head: Option<&ManifestHead>, key: Option<&Verifier>) {
        let Some(bytes) = self.small_file(CHECKPOINT, NOTE_BYTES_MAX) else {
            return;
        };
        let read = Note::try_from(bytes.as_slice())
            .map_err(|error| error.to_string())
            .and_then(|note| {
                let checkpoint = note
                    .unverified_text()
                    .parse::<Checkpoint>()
                    .map_err(|error| error.to_string())?;
                Ok((note, checkpoint))
            });
        let (note, checkpoint) = match read {
            Ok(read) => read,
            Err(why) => return self.report.damage(CHECKPOINT, why),
        };
        self.report.tree_size = checkpoint.size();
        if let Some(head) = head {
            self.signer_of_manifest(head, &note, &checkpoint);
        }
        if let Some(key) = key {
            match Checkpoint::open(&note, key.name(), std::slice::from_ref(key)) {
                Ok(_) => self.report.signature = Signature::Checked(key.name().to_owned()),
                Err(error) => self.report.damage(
                    CHECKPOINT,
                    format!("is not signed by the given key: {}", told(&error)),
                ),
            }
        }
        self.checkpoint = Some((note, checkpoint));
    }

    /// The export has at least to be consistent in itself.
    fn signer_of_manifest(&mut self, head: &ManifestHead, note: &Note, checkpoint: &Checkpoint) {
        if checkpoint.origin() != head.origin {
            self.report.damage(
                CHECKPOINT,
                format!("is of another archive: {}", checkpoint.origin()),
            );
        }
        match head.vkey.parse::<Verifier>() {
            Err(error) => self.report.damage(MANIFEST, error.to_string()),
            Ok(key) => {
                if let Err(error) = note.verify(&[key]) {
                    let what = format!("is not signed by the key that the manifest names: {error}");
                    self.report.damage(CHECKPOINT, what);
                }
            }
        }
    }

    /// Checks that the archive logged this very manifest.
    fn export_event(&mut self, manifest: &Manifest) {
        let Some(leaf) = self.proven_leaf(EXPORT_PROOF, KIND_EVENT) else {
            return;
        };
        let LeafBody::Event(event) = leaf.body else {
            return self.report.damage(EXPORT_PROOF, "does not prove an event");
        };
        if event.kind != EventKind::Exported {
            return self.report.damage(
                EXPORT_PROOF,
                format!("proves another event: {}", event.kind.name()),
            );
        }
        if manifest.digest.is_some() && event.digest != manifest.digest {
            self.report.damage(
                MANIFEST,
                "is not the one that the archive logged for this export",
            );
        }
        if event
            .count
            .is_some_and(|count| count != manifest.entries.len() as u64)
        {
            self.report.damage(
                MANIFEST,
                "has another number of messages than the archive logged",
            );
        }
    }

    fn message(&mut self, number: u64, digest: Digest, size_bytes: u64) {
        let name = message_name(number);
        match self.digest_of(&name, size_bytes) {
            Err(why) => self.report.damage(&name, why),
            Ok(found) if found != (digest, size_bytes) => self.report.damage(&name, "was changed"),
            Ok(_) => {}
        }
        let name = proof_name(number);
        let Some(leaf) = self.proven_leaf(&name, KIND_MESSAGE) else {
            return;
        };
        let is_right = matches!(
            &leaf.body,
            LeafBody::Message(message) if (message.digest, message.size_bytes) == (digest, size_bytes)
        );
        if leaf.head.sequence != number || !is_right {
            self.report
                .damage(&name, "proves another message than the manifest names");
        }
    }

    /// Computes digest and length of a file; stops when it is longer than it should be.
    fn digest_of(&mut self, name: &str, size_bytes: u64) -> Result<(Digest, u64), String> {
        let file = self.zip.by_name(name).map_err(|error| error.to_string())?;
        let mut hasher = Hasher::new();
        io::copy(&mut file.take(size_bytes.saturating_add(1)), &mut hasher)
            .map_err(|error| error.to_string())?;
        Ok(hasher.finish())
    }

    /// Reads a proof and gives the leaf that it proves to be in the tree of the checkpoint.
    fn proven_leaf(&mut self, name: &str, kind: u8) -> Option<Leaf> {
        let bytes = self.small_file(name, PROOF_BYTES_MAX)?;
        // Without a checkpoint there is nothing to prove; that it is missing was said.
        let (note, checkpoint) = self.checkpoint.as_ref()?;
        let leaf = prove(&bytes, kind, note, checkpoint);
        leaf.map_err(|why| self.report.damage(name, why)).ok()
    }

    /// Reads a file of limited length; what is wrong is listed.
    fn small_file(&mut self, name: &str, bytes_max: usize) -> Option<Vec<u8>> {
        let read = match self.zip.by_name(name) {
            Err(error) => Err(error.to_string()),
            Ok(file) => {
                let mut bytes = Vec::new();
                let read = file.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
                read.map(|_| bytes).map_err(|error| error.to_string())
            }
        };
        match read {
            Ok(bytes) if bytes.len() <= bytes_max => return Some(bytes),
            Ok(_) => self
                .report
                .damage(name, format!("is longer than {bytes_max} bytes")),
            Err(why) => self.report.damage(name, why),
        }
        None
    }

    /// Compares the checkpoint with one that was kept elsewhere.
    fn compare(&mut self, note: &Note, other: &Checkpoint, key: Option<&Verifier>) {
        if let Some(error) = key.and_then(|key| note.verify(std::slice::from_ref(key)).err()) {
            self.report.damage(
                "",
                format!("the checkpoint to compare with is not signed by the given key: {error}"),
            );
        }
        let Some((_, own)) = &self.checkpoint else {
            return;
        };
        let (comparison, damage) = if own.origin() != other.origin() {
            let what = format!(
                "is of another archive than the one to compare with: {}",
                other.origin()
            );
            (Comparison::Contradicts, Some(what))
        } else if own.size() != other.size() {
            (
                Comparison::NotComparableOffline { size: other.size() },
                None,
            )
        } else if own.root() != other.root() {
            let what = format!(
                "contradicts the one to compare with: another root for {} leaves",
                own.size()
            );
            (Comparison::Contradicts, Some(what))
        } else {
            (Comparison::Same, None)
        };
        self.report.comparison = Some(comparison);
        if let Some(what) = damage {
            self.report.damage(CHECKPOINT, what);
        }
    }
}

/// Checks that a proof leads from the leaf in its extra data to this checkpoint, and gives the leaf.
fn prove(bytes: &[u8], kind: u8, note: &Note, checkpoint: &Checkpoint) -> Result<Leaf, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let proof: Proof = text
        .parse()
        .map_err(|error: store::proof::ProofError| told(&error))?;
    let extra = proof.extra.as_deref().unwrap_or_default();
    let (head, body) = extra
        .split_at_checked(EXTRA_HEAD_BYTES)
        .ok_or("has no leaf in its extra data")?;
    let sequence = u64_at(head, 1);
    if head[0] != kind {
        return Err(format!("proves another kind of leaf: {}", head[0]));
    }
    if proof.index.checked_add(1) != Some(sequence) {
        return Err("does not stand at its place in the tree".to_owned());
    }
    let hash = leaf_hash(&leaf_entry(kind, sequence, &sha256(body).0));
    let proven = proof.verify_unsigned(&hash).map_err(|error| told(&error))?;
    if proof.checkpoint != *note || proven != *checkpoint {
        return Err("leads to another checkpoint than that of the export".to_owned());
    }
    let leaf = Leaf::from_proof(kind, body).ok_or("proves a leaf that cannot be read")?;
    if leaf.head.sequence == sequence {
        Ok(leaf)
    } else {
        Err("proves a leaf of another number".to_owned())
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    store::chain(error)
}

/// Gives the number in the name of a message or proof, written as we write it.
fn number_in(name: &str) -> Option<u64> {
    let digits = name
        .strip_prefix("messages/")
        .and_then(|name| name.strip_suffix(".eml"))
        .or_else(|| {
            name.strip_prefix("proofs/")
                .and_then(|name| name.strip_suffix(".tlog-proof"))
        })?;
    let number: u64 = digits.parse().ok()?;
    (message_name(number) == name || proof_name(number) == name).then_some(number)
}
