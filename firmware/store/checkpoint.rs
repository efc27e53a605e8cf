//! Checkpoints: the size and the root of the tree at a moment, as the text of a signed note.
//!
//! Whether one checkpoint continues another is proved by `merkle`. Source: C2SP tlog-checkpoint (c2sp.org/tlog-checkpoint).
//!
//! | line | holds |
//! |---|---|
//! | 1 | origin: which archive, also the name of its key |
//! | 2 | number of leaves, decimal |
//! | 3 | root, base64 |
//! | 4 … | extension lines: read, kept, never written by us |

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::merkle::Hash;
use crate::note::{Note, NoteError, Signer, Verifier};

/// Bytes of an archive id.
pub const ARCHIVE_ID_BYTES: usize = 16;

/// Why a checkpoint is not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed or not signed as it should be.
    #[error("checkpoint is not signed as it should be")]
    Note(#[from] NoteError),
    /// The text has not at least three lines, or an empty one.
    #[error("checkpoint has missing or empty lines")]
    MissingLines,
    /// The origin is empty or has a control character.
    #[error("invalid origin: {0}")]
    InvalidOrigin(String),
    /// The second line is not the decimal form of a size.
    #[error("invalid tree size: {0}")]
    InvalidSize(String),
    /// The third line is not the base64 form of a root.
    #[error("invalid root: {0}")]
    InvalidRoot(String),
    /// The checkpoint is of another archive.
    #[error("checkpoint is of another origin: {0}")]
    OtherOrigin(String),
}

/// Size and root of the tree of one archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Not empty, without control characters.
    origin: String,
    size: u64,
    root: Hash,
    /// None of them empty or with a control character.
    extensions: Vec<String>,
}

/// Returns the origin of an archive's checkpoints, which is also the name of its key.
pub fn origin_of(archive_id: &[u8; ARCHIVE_ID_BYTES]) -> String {
    format!("coffer.archive/{:032x}", u128::from_be_bytes(*archive_id))
}

impl Checkpoint {
    /// Makes the checkpoint of a tree; the origin must not be empty nor have control characters.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.contains(|c| c < ' ') {
            return Err(CheckpointError::InvalidOrigin(origin.to_owned()));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Reads the checkpoint in a note that one of `keys` signed for this origin.
    pub fn open(note: &Note, origin: &str, keys: &[Verifier]) -> Result<Self, CheckpointError> {
        let checkpoint: Self = note.verify(keys)?.parse()?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherOrigin(checkpoint.origin));
        }
        Ok(checkpoint)
    }

    /// Signs the checkpoint; the signer must never sign two that contradict each other.
    pub fn sign(&self, signer: &Signer) -> Note {
        Note::sign(self.to_string(), signer).expect("checkpoint lines have no control characters")
    }

    /// Returns whose tree it is.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Returns the lines after the third, whose meaning is not known here.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let lines = text
            .strip_suffix('\n')
            .ok_or(CheckpointError::MissingLines)?;
        let lines: Vec<&str> = lines.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(CheckpointError::MissingLines);
        };
        if lines.contains(&"") {
            return Err(CheckpointError::MissingLines);
        }
        if extensions.iter().any(|line| line.contains(|c| c < ' ')) {
            return Err(NoteError::NotPlainText.into());
        }
        let mut checkpoint = Self::new(origin, parse_size(size)?, parse_root(root)?)?;
        checkpoint.extensions = extensions.iter().map(|&line| line.to_owned()).collect();
        Ok(checkpoint)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.origin, self.size)?;
        writeln!(f, "{}", BASE64.encode(self.root))?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Reads a decimal number without sign or leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Reads a hash in base64.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    BASE64.decode(text).ok()?.try_into().ok()
}

fn parse_size(line: &str) -> Result<u64, CheckpointError> {
    parse_decimal(line).ok_or_else(|| CheckpointError::InvalidSize(line.to_owned()))
}

fn parse_root(line: &str) -> Result<Hash, CheckpointError> {
    parse_hash(line).ok_or_else(|| CheckpointError::InvalidRoot(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{Frontier, leaf_hash};
    use crate::note::SEED_BYTES;

    /// The text of the example of C2SP tlog-checkpoint.
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn signer(origin: &str, seed: u8) -> Signer {
        Signer::from_seed(origin, &[seed; SEED_BYTES]).expect("valid name")
    }

    #[test]
    fn origin_names_the_archive() {
        let mut id = [0; ARCHIVE_ID_BYTES];
        id[..3].copy_from_slice(&[0x0a, 0xbc, 0xde]);
        assert_eq!(
            origin_of(&id),
            "coffer.archive/0abcde00000000000000000000000000"
        );
    }

    #[test]
    fn published_example_is_read_and_written() {
        let checkpoint: Checkpoint = EXAMPLE.parse().expect("a valid checkpoint");
        assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size(), 20_852_163);
        assert_eq!(checkpoint.root()[..4], [0x0a, 0xc5, 0x18, 0x6a]);
        assert_eq!(checkpoint.to_string(), EXAMPLE);
    }

    #[test]
    fn extension_lines_are_kept() {
        let text = format!("{EXAMPLE}one\ntwo two\n");
        let checkpoint: Checkpoint = text.parse().expect("a valid checkpoint");
        assert_eq!(checkpoint.extensions(), ["one", "two two"]);
        assert_eq!(checkpoint.to_string(), text);
    }

    #[test]
    fn signed_checkpoint_opens_with_its_key_and_origin_only() {
        let origin = origin_of(&[0x5a; ARCHIVE_ID_BYTES]);
        let mut frontier = Frontier::new();
        frontier.append(leaf_hash(b"entry"));
        let checkpoint = Checkpoint::new(&origin, 1, frontier.root()).expect("valid origin");
        let signer = signer(&origin, 1);
        let note: Note = checkpoint
            .sign(&signer)
            .to_string()
            .parse()
            .expect("a note");
        let keys = [signer.verifier().clone()];
        assert_eq!(Checkpoint::open(&note, &origin, &keys), Ok(checkpoint));
        assert_eq!(
            Checkpoint::open(&note, "other", &keys),
            Err(CheckpointError::OtherOrigin(origin.clone()))
        );
        let stranger = [self::signer(&origin, 2).verifier().clone()];
        assert_eq!(
            Checkpoint::open(&note, &origin, &stranger),
            Err(CheckpointError::Note(NoteError::UnknownSigners))
        );
    }

    #[test]
    fn malformed_checkpoints_are_refused() {
        let root = EXAMPLE.lines().nth(2).expect("three lines");
        let check = |text: &str, expected: CheckpointError| {
            assert_eq!(text.parse::<Checkpoint>(), Err(expected), "{text:?}");
        };
        for text in [
            "",
            "\n",
            "o\n1\n",
            "o\n1\n\n",
            &EXAMPLE[..EXAMPLE.len() - 1],
        ] {
            check(text, CheckpointError::MissingLines);
        }
        check(&format!("\n1\n{root}\n"), CheckpointError::MissingLines);
        check(&format!("{EXAMPLE}\n"), CheckpointError::MissingLines);
        check(&format!("{EXAMPLE}\nx\n"), CheckpointError::MissingLines);
        for size in [
            "x",
            "01",
            "+1",
            "-1",
            "1 ",
            "00",
            "0x1",
            "18446744073709551616",
            "\u{661}",
        ] {
            let invalid = CheckpointError::InvalidSize(size.to_owned());
            check(&format!("o\n{size}\n{root}\n"), invalid);
        }
        for root in ["x", "AAAA", &root[..43], &format!("{root}A")] {
            let invalid = CheckpointError::InvalidRoot(root.to_owned());
            check(&format!("o\n1\n{root}\n"), invalid);
        }
        for origin in ["", "a\nb", "a\tb"] {
            let invalid = CheckpointError::InvalidOrigin(origin.to_owned());
            assert_eq!(Checkpoint::new(origin, 0, [0; 32]), Err(invalid));
        }
    }
}
