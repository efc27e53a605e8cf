//! What signed metadata say of a file: how long it is, and its digests.
//!
//! SHA-256 and SHA-512 are known; one of them must be there, and each that is there must hold. Others are passed over.
//! Source: §4.1 (HASHES).

use crate::error::Fault;
use crate::hex;
use aws_lc_rs::digest::{Algorithm, Context, SHA256, SHA512};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Known digests of a file; at least one.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "BTreeMap<String, String>")]
pub(crate) struct Digests(Vec<(&'static Algorithm, Vec<u8>)>);

/// Digests that nobody here can check.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableDigests {
    #[error("no digest that is known")]
    NoneKnown,
    #[error("not a digest: {0:?}")]
    Malformed(String),
}

impl TryFrom<BTreeMap<String, String>> for Digests {
    type Error = UnusableDigests;

    fn try_from(mut written: BTreeMap<String, String>) -> Result<Self, UnusableDigests> {
        let mut known = Vec::new();
        for (name, algorithm) in [("sha256", &SHA256), ("sha512", &SHA512)] {
            let Some(text) = written.remove(name) else {
                continue;
            };
            let digest = hex::decode(&text).filter(|digest| digest.len() == algorithm.output_len());
            known.push((algorithm, digest.ok_or(UnusableDigests::Malformed(text))?));
        }
        match known.is_empty() {
            true => Err(UnusableDigests::NoneKnown),
            false => Ok(Self(known)),
        }
    }
}

impl Digests {
    /// Gives the first digest, as it stands before the name of a target (§6.2).
    pub(crate) fn prefix(&self) -> String {
        hex::encode(&self.0[0].1)
    }
}

/// Checks bytes as they come against what was signed.
pub(crate) struct Check<'a> {
    length: Option<u64>,
    seen_bytes: u64,
    running: Vec<(Context, &'a [u8])>,
}

impl<'a> Check<'a> {
    /// Begins before the first byte; what is absent is not checked.
    pub(crate) fn new(length: Option<u64>, digests: Option<&'a Digests>) -> Self {
        let digests = digests.map_or(&[][..], |digests| &digests.0);
        Self {
            length,
            seen_bytes: 0,
            running: digests
                .iter()
                .map(|(algorithm, digest)| (Context::new(algorithm), digest.as_slice()))
                .collect(),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.seen_bytes += bytes.len() as u64;
        for (context, _) in &mut self.running {
            context.update(bytes);
        }
    }

    /// Says whether all that came is what was signed.
    ///
    /// # Errors
    /// `WrongLength` and `WrongDigest`.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        if let Some(length) = self.length.filter(|length| *length != self.seen_bytes) {
            return Err(Fault::WrongLength(length));
        }
        for (context, expected) in self.running {
            if context.finish().as_ref() != expected {
                return Err(Fault::WrongDigest(expected.to_vec()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const SHA512_OF_ABC: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    /// Expects the bytes to hold, or not, against digests and a length; nothing: the digests cannot be used at all.
    #[track_caller]
    fn check(digests: serde_json::Value, length: Option<u64>, bytes: &str, expected: Option<bool>) {
        let digests = Digests::deserialize(&digests).ok();
        let holds = digests.map(|digests| {
            let mut check = Check::new(length, Some(&digests));
            bytes.bytes().for_each(|byte| check.update(&[byte]));
            check.finish().is_ok()
        });
        assert_eq!(holds, expected);
    }

    #[test]
    fn every_known_digest_must_hold() {
        let other = SHA256_OF_ABC.replace('b', "c");
        check(json!({"sha256": SHA256_OF_ABC}), None, "abc", Some(true));
        check(
            json!({"sha256": SHA256_OF_ABC}),
            Some(3),
            "abd",
            Some(false),
        );
        check(json!({"sha512": SHA512_OF_ABC}), Some(3), "abc", Some(true));
        check(
            json!({"sha512": SHA512_OF_ABC}),
            Some(3),
            "abd",
            Some(false),
        );
        check(
            json!({"sha256": other, "sha512": SHA512_OF_ABC}),
            Some(3),
            "abc",
            Some(false),
        );
        check(
            json!({"sha256": SHA256_OF_ABC, "blake2": "00"}),
            Some(3),
            "abc",
            Some(true),
        );
    }

    #[test]
    fn the_length_must_hold() {
        check(
            json!({"sha256": SHA256_OF_ABC}),
            Some(2),
            "abc",
            Some(false),
        );
        check(
            json!({"sha256": SHA256_OF_ABC}),
            Some(4),
            "abc",
            Some(false),
        );
    }

    #[test]
    fn unusable_digests_are_none() {
        check(json!({}), None, "abc", None);
        check(
            json!({"md5": "900150983cd24fb0d6963f7d28e17f72"}),
            None,
            "abc",
            None,
        );
        check(json!({"sha256": "ba78"}), None, "abc", None);
        check(json!({"sha256": SHA512_OF_ABC}), None, "abc", None);
        check(json!({"sha256": 7}), None, "abc", None);
    }
}
