//! SHA-256, by the one cryptography library that Coffer uses.

use archive::Digest;
use aws_lc_rs::digest::{Context, SHA256, digest};
use mail::NormalForm;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// Computes the SHA-256 of bytes that come in pieces.
pub struct Hasher(Context);

impl Hasher {
    /// Begins with no bytes.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Gives the digest of all bytes.
    pub fn finish(self) -> Digest {
        Digest(
            self.0
                .finish()
                .as_ref()
                .try_into()
                .expect("a SHA-256 has 32 bytes"),
        )
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Computes the SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest(
        digest(&SHA256, bytes)
            .as_ref()
            .try_into()
            .expect("a SHA-256 has 32 bytes"),
    )
}

/// Takes the bytes of the normal form.
type TakeBytes = Box<dyn FnMut(&[u8])>;

/// Computes the group of a message: messages that differ only in line ends or trace fields have the same one.
pub(crate) struct GroupDigest {
    form: NormalForm<TakeBytes>,
    hasher: Rc<RefCell<Hasher>>,
}

impl GroupDigest {
    pub(crate) fn new() -> Self {
        let hasher = Rc::new(RefCell::new(Hasher::new()));
        let taking = hasher.clone();
        let form = NormalForm::new(
            Box::new(move |bytes: &[u8]| taking.borrow_mut().push(bytes)) as Box<_>,
        );
        Self { form, hasher }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.form.push(bytes);
    }

    /// The first 16 bytes of the digest of the normal form.
    pub(crate) fn finish(self) -> [u8; 16] {
        drop(self.form.finish());
        let digest = self.hasher.replace(Hasher::new()).finish();
        digest.0[..16].try_into().expect("a SHA-256 has 32 bytes")
    }
}

impl io::Write for GroupDigest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
