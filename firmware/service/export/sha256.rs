//! SHA-256 and number of bytes that come in pieces.

use archive::Digest;
use std::io::{self, Write};

/// Computes a SHA-256, and counts.
#[derive(Default)]
pub(super) struct Hasher {
    digest: store::Hasher,
    length_bytes: u64,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.digest.push(bytes);
        self.length_bytes += bytes.len() as u64;
    }

    /// Gives the digest and the number of bytes.
    pub(super) fn finish(self) -> (Digest, u64) {
        (self.digest.finish(), self.length_bytes)
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::sha256;

    #[test]
    fn published_digests() {
        for (text, expected) in [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            assert_eq!(sha256(text.as_bytes()).to_string(), expected);
            let mut pieces = Hasher::new();
            text.bytes().for_each(|byte| pieces.push(&[byte]));
            let (digest, length_bytes) = pieces.finish();
            assert_eq!(
                (digest.to_string().as_str(), length_bytes),
                (expected, text.len() as u64)
            );
        }
    }
}
