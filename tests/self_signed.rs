//! A certificate that somebody made himself, by openssl: what offices have where nobody issues them one.

use crate::{Folder, skip};
use std::path::PathBuf;
use std::process::Command;

/// A certificate for an address and its key, in files (PEM).
pub struct SelfSigned {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl SelfSigned {
    /// Makes one; none, and a word about it, where there is no openssl.
    pub fn new(folder: &Folder) -> Option<Self> {
        Self::of(folder, "127.0.0.1")
    }

    /// Makes one for another address.
    pub fn of(folder: &Folder, address: &str) -> Option<Self> {
        let made = Self {
            certificate: folder.join("self-signed.crt"),
            key: folder.join("self-signed.key"),
        };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
            .args(["-subj", "/CN=office", "-addext"])
            .arg(format!("subjectAltName=IP:{address}"))
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate)
            .output();
        let is_made = output.is_ok_and(|output| output.status.success());
        if !is_made {
            skip("openssl is not installed");
        }
        is_made.then_some(made)
    }

    /// The SHA-256 of the certificate, as people compare it: pairs with colons.
    ///
    /// # Panics
    /// When openssl cannot say it.
    pub fn fingerprint(&self) -> String {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(&self.certificate)
            .output();
        let said = String::from_utf8(output.expect("openssl").stdout).expect("text");
        let (_, digest) = said.trim().split_once('=').expect("a digest");
        digest.to_owned()
    }
}
