//! The proof that travels with an export: that a leaf is in the tree of a signed checkpoint, checked offline.
//!
//! Does not know how a leaf's hash comes about (FORMAT.md, Leaf) nor what the extra data mean, which nobody signs. Source: C2SP
//! tlog-proof v1 (c2sp.org/tlog-proof); files end in `.tlog-proof`.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                 may be absent
//! index <decimal>                of the leaf, counted from 0
//! <base64>                       one line a hash, the leaf's sibling first
//!
//! <the checkpoint, a signed note>
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal, parse_hash};
use crate::merkle::{Hash, InvalidProof, verify_inclusion};
use crate::note::{Note, NoteError, Verifier};

/// Longest proof that is read, in bytes: the largest leaf body (16 MiB) as extra data in base64, and a note.
pub const PROOF_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Most hashes in a proof: the height of the largest tree whose leaves can be numbered.
pub const PROOF_HASHES_MAX: usize = 64;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof is not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// The proof is longer than `PROOF_BYTES_MAX`.
    #[error("proof is too long, in bytes: {0}")]
    TooLong(usize),
    /// The first line does not name version 1.
    #[error("not a proof of version 1")]
    UnknownVersion,
    /// The extra data are not base64.
    #[error("invalid extra data")]
    InvalidExtra,
    /// The line with the leaf number is missing or malformed.
    #[error("invalid index line: {0}")]
    InvalidIndex(String),
    /// A line of the path is not the base64 form of a hash, or there are more than `PROOF_HASHES_MAX`.
    #[error("invalid hash line: {0}")]
    InvalidHash(String),
    /// There is no blank line with a checkpoint behind it.
    #[error("proof has no checkpoint")]
    NoCheckpoint,
    /// The note is malformed.
    #[error("malformed checkpoint in proof")]
    Note(#[from] NoteError),
    /// The checkpoint is malformed, of another origin, or not signed by a known key.
    #[error("checkpoint in proof not accepted")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the leaf to the checkpoint's root.
    #[error("leaf is not proved")]
    Path(#[from] InvalidProof),
}

/// A leaf's way to the root of a signed checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// Data for the reader, which no signature covers.
    pub extra: Option<Vec<u8>>,
    /// Number of the leaf, from 0: its sequence number less one.
    pub index: u64,
    /// Hashes from the leaf's sibling upwards.
    pub path: Vec<Hash>,
    /// The checkpoint as signed.
    pub checkpoint: Note,
}

impl Proof {
    /// Checks that the leaf with this hash is in a tree of this origin that one of `keys` signed, and returns the checkpoint.
    pub fn verify(
        &self,
        leaf: &Hash,
        origin: &str,
        keys: &[Verifier],
    ) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, origin, keys)?;
        self.verify_path(leaf, &checkpoint)?;
        Ok(checkpoint)
    }

    /// Checks only that the proof is consistent in itself, not who signed, and returns the checkpoint that it claims.
    pub fn verify_unsigned(&self, leaf: &Hash) -> Result<Checkpoint, ProofError> {
        let checkpoint: Checkpoint = self.checkpoint.unverified_text().parse()?;
        self.verify_path(leaf, &checkpoint)?;
        Ok(checkpoint)
    }

    fn verify_path(&self, leaf: &Hash, checkpoint: &Checkpoint) -> Result<(), InvalidProof> {
        let (size, root) = (checkpoint.size(), checkpoint.root());
        verify_inclusion(leaf, self.index, size, &self.path, root)
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(ProofError::TooLong(text.len()));
        }
        // No line before the checkpoint is empty, so the first blank one ends the path.
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofError::NoCheckpoint)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(ProofError::UnknownVersion);
        }
        let extra = lines
            .next_if(|line| line.starts_with("extra "))
            .map(parse_extra)
            .transpose()?;
        let index = parse_index(lines.next().unwrap_or_default())?;
        let path = lines.map(parse_path_line).collect::<Result<Vec<_>, _>>()?;
        if path.len() > PROOF_HASHES_MAX {
            return Err(InvalidProof::WrongLength { count: path.len() }.into());
        }
        Ok(Self {
            extra,
            index,
            path,
            checkpoint: checkpoint.parse()?,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

fn parse_extra(line: &str) -> Result<Vec<u8>, ProofError> {
    BASE64
        .decode(&line["extra ".len()..])
        .map_err(|_| ProofError::InvalidExtra)
}

fn parse_index(line: &str) -> Result<u64, ProofError> {
    line.strip_prefix("index ")
        .and_then(parse_decimal)
        .ok_or_else(|| ProofError::InvalidIndex(line.to_owned()))
}

fn parse_path_line(line: &str) -> Result<Hash, ProofError> {
    parse_hash(line).ok_or_else(|| ProofError::InvalidHash(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{Frontier, leaf_hash, node_hash};
    use crate::note::{SEED_BYTES, Signer};

    const ORIGIN: &str = "coffer.archive/5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

    fn signer() -> Signer {
        Signer::from_seed(ORIGIN, &[1; SEED_BYTES]).expect("valid name")
    }

    fn keys() -> [Verifier; 1] {
        [signer().verifier().clone()]
    }

    /// The proof of the third of three leaves, and that leaf's hash.
    fn some_proof(extra: Option<&[u8]>) -> (Proof, Hash) {
        let leaves = [b"a", b"b", b"c"].map(|entry| leaf_hash(entry));
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.append(*leaf));
        let checkpoint = Checkpoint::new(ORIGIN, 3, frontier.root()).expect("valid origin");
        let proof = Proof {
            extra: extra.map(<[u8]>::to_vec),
            index: 2,
            path: vec![node_hash(&leaves[0], &leaves[1])],
            checkpoint: checkpoint.sign(&signer()),
        };
        (proof, leaves[2])
    }

    #[test]
    fn proof_is_written_as_specified() {
        let (proof, _) = some_proof(Some(b"extra"));
        let path = BASE64.encode(proof.path[0]);
        let expected = format!(
            "c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 2\n{path}\n\n{}",
            proof.checkpoint
        );
        assert_eq!(proof.to_string(), expected);
    }

    #[test]
    fn proof_holds_after_writing_and_reading() {
        for extra in [None, Some(b"".as_slice()), Some(b"\x00\xffdata")] {
            let (proof, leaf) = some_proof(extra);
            let read: Proof = proof.to_string().parse().expect("a valid proof");
            assert_eq!(read, proof);
            let checkpoint = read.verify(&leaf, ORIGIN, &keys()).expect("a sound proof");
            assert_eq!((checkpoint.size(), checkpoint.origin()), (3, ORIGIN));
            assert_eq!(read.verify_unsigned(&leaf), Ok(checkpoint));
        }
    }

    #[test]
    fn only_leaf_of_a_tree_needs_no_hashes() {
        let leaf = leaf_hash(b"only");
        let checkpoint = Checkpoint::new(ORIGIN, 1, leaf).expect("valid origin");
        let proof = Proof {
            extra: None,
            index: 0,
            path: Vec::new(),
            checkpoint: checkpoint.sign(&signer()),
        };
        let read: Proof = proof.to_string().parse().expect("a valid proof");
        assert_eq!(read.verify(&leaf, ORIGIN, &keys()), Ok(checkpoint));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (proof, leaf) = some_proof(None);
        let text = proof.to_string();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let accepted = String::from_utf8(bytes)
                    .ok()
                    .and_then(|text| text.parse::<Proof>().ok())
                    .is_some_and(|proof| proof.verify(&leaf, ORIGIN, &keys()).is_ok());
                assert!(!accepted, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn wrong_leaf_origin_and_key_are_told_apart() {
        let (proof, leaf) = some_proof(None);
        let other_leaf = proof.verify(&leaf_hash(b"d"), ORIGIN, &keys());
        assert_eq!(other_leaf, Err(ProofError::Path(InvalidProof::WrongRoot)));
        let other_origin = proof.verify(&leaf, "other", &keys());
        let expected = CheckpointError::OtherOrigin(ORIGIN.to_owned());
        assert_eq!(other_origin, Err(ProofError::Checkpoint(expected)));
        let no_key = proof.verify(&leaf, ORIGIN, &[]);
        let expected = CheckpointError::Note(NoteError::UnknownSigners);
        assert_eq!(no_key, Err(ProofError::Checkpoint(expected)));
    }

    #[test]
    fn malformed_proofs_are_refused() {
        let (proof, _) = some_proof(Some(b"extra"));
        let text = proof.to_string();
        let check = |from: &str, to: &str, expected: ProofError| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert_eq!(changed.parse::<Proof>(), Err(expected), "{changed:?}");
        };
        let index = |line: &str| ProofError::InvalidIndex(line.to_owned());
        let hash = BASE64.encode(proof.path[0]);
        check("@v1", "@v2", ProofError::UnknownVersion);
        check("extra ZXh0cmE=", "extra ZXh0cmE", ProofError::InvalidExtra);
        check("extra ", "Extra ", index("Extra ZXh0cmE="));
        check("index 2\n", "", index(&hash));
        check("index 2", "index 02", index("index 02"));
        check("index 2", "index +2", index("index +2"));
        check("index 2", "index", index("index"));
        check(&hash, "AAAA", ProofError::InvalidHash("AAAA".to_owned()));
        check("\n\n", "\n", ProofError::InvalidHash(ORIGIN.to_owned()));
        let long_path = format!("{hash}\n").repeat(PROOF_HASHES_MAX + 1);
        let too_many = InvalidProof::WrongLength {
            count: PROOF_HASHES_MAX + 1,
        };
        check(&format!("{hash}\n"), &long_path, ProofError::Path(too_many));
        let (head, _) = text.split_once("\n\n").expect("a blank line");
        assert_eq!(head.parse::<Proof>(), Err(ProofError::NoCheckpoint));
        assert_eq!("".parse::<Proof>(), Err(ProofError::NoCheckpoint));
        let too_long = "x".repeat(PROOF_BYTES_MAX + 1);
        assert_eq!(
            too_long.parse::<Proof>(),
            Err(ProofError::TooLong(PROOF_BYTES_MAX + 1))
        );
    }
}
