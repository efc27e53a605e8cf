//! Keys that sign a repository: Ed25519, each in a file of JSON as TUF writes keys, the private one with its seed beside the public half.
//!
//! Keys made for tests say so in a field of their own, which stands in every root that names them: a release refuses them. Deliberately without
//! a password: whoever keeps a private key keeps it on a medium that is encrypted as a whole (RELEASING.md).

use crate::error::ImageError;
use crate::files;
use crate::mirror::hex;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use update::canonical::canonical;

/// Bytes of the seed that a private key is made of.
const SEED_BYTES: usize = 32;

/// The field by which a key for tests is known.
pub(crate) const TEST_MARK: &str = "x-coffer-test-key";

/// A public key, as it stands in a root.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PublicKey {
    /// By which signatures name it.
    pub(crate) id: String,
    /// What stands in the root.
    pub(crate) value: Value,
}

/// A private key.
pub(crate) struct SigningKey {
    pub(crate) public: PublicKey,
    pair: Ed25519KeyPair,
}

impl PublicKey {
    /// Reads the public half of a key, out of either file.
    pub(crate) fn load(path: &Path) -> Result<Self, ImageError> {
        let value = read_json(path)?;
        let text = value["keyval"]["public"].as_str();
        let is_ours = value["keytype"] == "ed25519" && value["scheme"] == "ed25519";
        let public = text.filter(|text| is_ours && bytes(text).is_some());
        let public = public.ok_or_else(|| ImageError::NotAKey(path.to_owned()))?;
        Self::new(public, value[TEST_MARK] == true)
    }

    fn new(public: &str, is_for_tests: bool) -> Result<Self, ImageError> {
        let mut value = json!({
            "keytype": "ed25519",
            "scheme": "ed25519",
            "keyval": {"public": public},
        });
        let id = hex(digest(&SHA256, &canonical(&value)?).as_ref());
        if is_for_tests {
            value[TEST_MARK] = json!(true);
        }
        Ok(Self { id, value })
    }
}

impl SigningKey {
    /// Makes a key and writes both of its files: the private one, which only its owner may read, and `PATH.pub`. Neither replaces another.
    pub(crate) fn make(path: &Path, is_for_tests: bool) -> Result<(), ImageError> {
        let mut seed = [0; SEED_BYTES];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| files::write_error(path)(io::Error::other("no randomness")))?;
        let key = Self::from_seed(&seed, is_for_tests, path)?;
        let mut private = key.public.value.clone();
        private["keyval"]["private"] = json!(hex(&seed));
        write_new(path, 0o600, &private)?;
        write_new(&public_path(path), 0o644, &key.public.value)
    }

    /// Reads a private key.
    pub(crate) fn load(path: &Path) -> Result<Self, ImageError> {
        let value = read_json(path)?;
        let seed = value["keyval"]["private"].as_str().and_then(bytes);
        let seed = seed.ok_or_else(|| ImageError::NotAKey(path.to_owned()))?;
        Self::from_seed(&seed, value[TEST_MARK] == true, path)
    }

    fn from_seed(seed: &[u8], is_for_tests: bool, path: &Path) -> Result<Self, ImageError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| ImageError::NotAKey(path.to_owned()))?;
        let public = PublicKey::new(&hex(pair.public_key().as_ref()), is_for_tests)?;
        Ok(Self { public, pair })
    }

    /// Signs metadata: its signature takes the place of one that it made before.
    pub(crate) fn sign(&self, metadata: &mut Value) -> Result<(), ImageError> {
        let message = canonical(&metadata["signed"])?;
        let signature = hex(self.pair.sign(&message).as_ref());
        let before = metadata["signatures"].as_array().cloned();
        let mut signatures = before.unwrap_or_default();
        signatures.retain(|other| other["keyid"] != self.public.id);
        signatures.push(json!({"keyid": self.public.id, "sig": signature}));
        metadata["signatures"] = json!(signatures);
        Ok(())
    }
}

/// Says whether a root names a key that was made for tests.
pub(crate) fn has_test_keys(root: &Value) -> bool {
    let keys = root["signed"]["keys"].as_object();
    keys.is_some_and(|keys| keys.values().any(|key| key[TEST_MARK] == true))
}

/// Reads a file of JSON.
pub(crate) fn read_json(path: &Path) -> Result<Value, ImageError> {
    serde_json::from_slice(&files::read(path)?).map_err(|source| ImageError::Json {
        path: path.to_owned(),
        source,
    })
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn write_new(path: &Path, mode: u32, value: &Value) -> Result<(), ImageError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(format!("{value:#}\n").as_bytes())?;
            file.sync_all()
        })
        .map_err(files::write_error(path))
}

/// Reads the 32 bytes of a key.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    (rest.is_empty() && bytes.len() == SEED_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        SigningKey::make(&path, true).expect("made");
        let private = SigningKey::load(&path).expect("a key");
        let public = PublicKey::load(&public_path(&path)).expect("a key");
        assert_eq!(public, private.public);
        assert_eq!(PublicKey::load(&path).expect("a key"), public);
        assert!(SigningKey::load(&public_path(&path)).is_err());
        assert!(SigningKey::make(&path, true).is_err(), "it was replaced");
        let kept = files::read_text(&public_path(&path)).expect("text");
        assert!(!kept.contains("private"), "{kept}");
        let root = json!({"signed": {"keys": {public.id: public.value}}});
        assert!(has_test_keys(&root));
    }

    #[test]
    fn a_signature_replaces_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut metadata = json!({"signed": {"version": 1}, "signatures": []});
        for name in ["a", "b", "a"] {
            let path = folder.path().join(name);
            if !path.exists() {
                SigningKey::make(&path, false).expect("made");
            }
            let key = SigningKey::load(&path).expect("a key");
            assert!(key.public.value.get(TEST_MARK).is_none());
            key.sign(&mut metadata).expect("signed");
        }
        assert_eq!(metadata["signatures"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn other_files_are_no_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        for text in [
            "{}",
            r#"{"keytype":"rsa","scheme":"x","keyval":{"public":"00"}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}"#,
        ] {
            files::write(&path, text.as_bytes()).expect("room");
            assert!(matches!(
                PublicKey::load(&path),
                Err(ImageError::NotAKey(_))
            ));
        }
        files::write(&path, b"no JSON").expect("room");
        assert!(matches!(
            PublicKey::load(&path),
            Err(ImageError::Json { .. })
        ));
    }
}
