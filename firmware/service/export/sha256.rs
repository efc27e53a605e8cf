//! SHA-256 of bytes that come in pieces, by the library that rustls stands on, so that this room needs no other.

use archive::Digest;
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::hash::Context;
use std::io::{self, Write};

/// Computes a SHA-256, and counts.
pub(super) struct Hasher {
    context: Box<dyn Context>,
    length_bytes: u64,
}

impl Hasher {
    pub(super) fn new() -> Self {
        let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else {
            unreachable!("the name says TLS 1.3")
        };
        Self {
            context: suite.common.hash_provider.start(),
            length_bytes: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.length_bytes += bytes.len() as u64;
    }

    /// Gives the digest and the number of bytes.
    pub(super) fn finish(self) -> (Digest, u64) {
        let output = self.context.finish();
        (
            Digest(output.as_ref().try_into().expect("a SHA-256 has 32 bytes")),
            self.length_bytes,
        )
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

/// Computes the SHA-256 of bytes.
pub(super) fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.push(bytes);
    hasher.finish().0
}

#[cfg(test)]
mod tests {
    use super::*;

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
