//! Signed metadata before anything in it is believed: one object, and signatures over its canonical form.
//!
//! Deliberately knows nothing of roles but how many of their keys must have signed. Source: §4.1, §5.3.4 (threshold).

use crate::canonical::canonical;
use crate::error::Fault;
use crate::hex;
use crate::key::{Key, KeyTypes};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

/// What was signed, and by whom it is said to be.
#[derive(Debug)]
pub(crate) struct Signed {
    /// The bytes that the signatures are over.
    canonical: Vec<u8>,
    /// By key id; as they were written, since one that is none may stand beside enough that hold.
    signatures: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Envelope {
    signed: Value,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

impl Signed {
    /// Reads a file of metadata, and gives what was signed without asking by whom.
    ///
    /// # Errors
    /// `Malformed`, `NotAnInteger`, and `TwoSignatures` when one key id stands there twice.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, Value), Fault> {
        let envelope: Envelope = serde_json::from_slice(bytes)?;
        let mut signatures = BTreeMap::new();
        for Signature { keyid, sig } in envelope.signatures {
            if signatures.contains_key(&keyid) {
                return Err(Fault::TwoSignatures(keyid));
            }
            signatures.insert(keyid, sig);
        }
        let canonical =
            canonical(&envelope.signed).map_err(|number| Fault::NotAnInteger(number.0))?;
        let signed = Self {
            canonical,
            signatures,
        };
        Ok((signed, envelope.signed))
    }

    /// Says whether the same was signed, be it by others.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

/// The keys of a role, and how many of them must have signed.
#[derive(Clone, Debug)]
pub(crate) struct Signers {
    keys: Vec<(String, Key)>,
    threshold: usize,
}

/// A role's key ids and threshold, as they stand in metadata.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SignersText {
    #[serde(deserialize_with = "different_ids")]
    keyids: BTreeSet<String>,
    threshold: NonZeroUsize,
}

impl Signers {
    /// Takes the keys that a role names; ids without a key are passed over.
    pub(crate) fn new(text: &SignersText, keys: &BTreeMap<String, Key>) -> Self {
        let keys = text
            .keyids
            .iter()
            .filter_map(|id| keys.get(id).map(|key| (id.clone(), key.clone())));
        Self {
            keys: keys.collect(),
            threshold: text.threshold.get(),
        }
    }

    /// Says whether enough of the keys signed. One key counts once, under however many ids it stands there.
    ///
    /// # Errors
    /// `TooFewSignatures`.
    pub(crate) fn check(&self, signed: &Signed, types: KeyTypes) -> Result<(), Fault> {
        let holds = |id: &String, key: &Key| {
            let signature = signed.signatures.get(id).and_then(|text| hex::decode(text));
            signature.is_some_and(|bytes| key.verifies(&signed.canonical, &bytes, types))
        };
        let verified: BTreeSet<_> = self
            .keys
            .iter()
            .filter(|(id, key)| holds(id, key))
            .filter_map(|(_, key)| key.identity())
            .collect();
        match verified.len() >= self.threshold {
            true => Ok(()),
            false => Err(Fault::TooFewSignatures {
                valid: verified.len(),
                threshold: self.threshold,
            }),
        }
    }
}

/// Key ids of which none stands there twice.
fn different_ids<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeSet<String>, D::Error> {
    let mut ids = BTreeSet::new();
    for id in Vec::<String>::deserialize(from)? {
        if let Some(twice) = ids.replace(id) {
            return Err(D::Error::custom(format_args!("key id twice: {twice:?}")));
        }
    }
    Ok(ids)
}
