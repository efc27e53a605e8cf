//! A certificate that others have issued for the page and for SMTP, put in by the operator as text (PEM, RFC 7468): read, checked and kept.
//!
//! The key lies in `state.redb` like the box's own, and is never shown again. Times are Unix seconds.

use crate::tls::{TlsIdentity, TlsServer};
use crate::x509;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use store::{State, StateChange, StateTable};

/// Its certificates, the server's first (PEM).
const CERTIFICATE: &str = "own tls certificate";

/// Its key (DER).
const KEY: &str = "own tls key";

/// 10 certificates: a chain has two or three.
const CHAIN_MAX: usize = 10;

/// Why a text is no certificate to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// There is none in the text.
    #[error("there is no certificate in the text")]
    NoCertificate,
    /// There is no key in the text.
    #[error("there is no private key in the text")]
    NoKey,
    /// The key wants a password.
    #[error("the private key is locked with a password")]
    LockedKey,
    /// There are too many certificates.
    #[error("there are too many certificates in the text")]
    TooMany,
    /// The key belongs to none of the certificates, or is of a kind that is not known.
    #[error("the private key belongs to none of the certificates")]
    OtherKey,
    /// It has ended, or is not good yet.
    #[error("the certificate is not good at this time")]
    Time,
    /// It names no host.
    #[error("the certificate is for no name")]
    NoName,
}

/// What people are told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub ends_at_s: i64,
    /// SHA-256 of it (DER).
    pub fingerprint: [u8; 32],
}

/// Reads certificates and key from a text, and checks that they can be used now.
///
/// # Errors
/// What is wrong with them.
pub fn read(pem: &str, now: u64) -> Result<(TlsIdentity, CertificateFacts), CertificateFault> {
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .map(|der| der.to_vec())
        .collect();
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    let key = key.map_err(|_| match pem.contains("ENCRYPTED") {
        true => CertificateFault::LockedKey,
        false => CertificateFault::NoKey,
    });
    match chain.len() {
        0 => return Err(CertificateFault::NoCertificate),
        1..=CHAIN_MAX => {}
        _ => return Err(CertificateFault::TooMany),
    }
    let key_der = key?.secret_der().to_vec();
    let fitting = (0..chain.len()).find_map(|place| {
        let identity = identity(&chain, place, &key_der)?;
        TlsServer::new(&identity).is_ok().then_some(identity)
    });
    let identity = fitting.ok_or(CertificateFault::OtherKey)?;
    let said = x509::read(&identity.certificate_der).ok_or(CertificateFault::NoCertificate)?;
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now < said.from_s || now > said.until_s {
        return Err(CertificateFault::Time);
    }
    if said.names.is_empty() {
        return Err(CertificateFault::NoName);
    }
    let facts = facts(&identity).ok_or(CertificateFault::NoCertificate)?;
    Ok((identity, facts))
}

/// The certificate at a place of the text with this key, and the others behind it as they came.
fn identity(chain: &[Vec<u8>], place: usize, key_der: &[u8]) -> Option<TlsIdentity> {
    let said = x509::read(&chain[place])?;
    let others = chain.iter().enumerate().filter(|(at, _)| *at != place);
    Some(TlsIdentity {
        certificate_der: chain[place].clone(),
        issuers_der: others.map(|(_, der)| der.clone()).collect(),
        key_der: key_der.to_vec(),
        expires_at: u64::try_from(said.until_s).unwrap_or(0),
    })
}

/// Gives what people are told of a certificate.
pub fn facts(identity: &TlsIdentity) -> Option<CertificateFacts> {
    let said = x509::read(&identity.certificate_der)?;
    Some(CertificateFacts {
        names: said.names,
        ends_at_s: said.until_s,
        fingerprint: store::sha256(&identity.certificate_der).0,
    })
}

/// Gives the one that was put in, if there is any.
///
/// # Errors
/// When the state file fails.
pub fn own(state: &State) -> Result<Option<TlsIdentity>, store::Error> {
    let get = |name| state.get(StateTable::Keys, name);
    let (Some(pem), Some(key_der)) = (get(CERTIFICATE)?, get(KEY)?) else {
        return Ok(None);
    };
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .filter_map(Result::ok)
        .map(|der| der.to_vec())
        .collect();
    let first = if chain.is_empty() {
        None
    } else {
        identity(&chain, 0, &key_der)
    };
    Ok(first)
}

/// Makes the changes that put one in, or take it out.
pub(crate) fn changes(identity: Option<&TlsIdentity>) -> [StateChange; 2] {
    let pem = identity.map(|identity| {
        let chain = std::iter::once(&identity.certificate_der).chain(&identity.issuers_der);
        chain
            .map(|der| crate::authority::pem(der))
            .collect::<String>()
    });
    let key = identity.map(|identity| identity.key_der.clone());
    let put = |name: &str, value| (StateTable::Keys, name.to_owned(), value);
    [put(CERTIFICATE, pem.map(String::into_bytes)), put(KEY, key)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, pem};

    /// 2025-06-15, in Unix seconds.
    const NOW: u64 = 1_750_000_000;

    /// An authority, what it issued for a name, and its key as text.
    fn issued() -> (Authority, TlsIdentity, String) {
        let authority =
            Authority::generate("Others", "archive.example", NOW).expect("an authority");
        let names = ["archive.example".to_owned(), "192.168.1.20".to_owned()];
        let identity = authority.issue(&names, NOW).expect("a certificate");
        let key = key_pem(&identity);
        (authority, identity, key)
    }

    fn key_pem(identity: &TlsIdentity) -> String {
        pem(&identity.key_der).replace("CERTIFICATE", "PRIVATE KEY")
    }

    #[test]
    fn chain_and_key_are_taken_in_any_order_and_kept() {
        let (authority, identity, key) = issued();
        let (certificate, root) = (pem(&identity.certificate_der), authority.certificate_pem());
        for text in [
            format!("{certificate}{root}{key}"),
            format!("{key}{root}{certificate}"),
            format!("Bag Attributes\r\n{certificate}\r\n{key}"),
        ] {
            let (read, facts) = read(&text, NOW).expect("a certificate");
            assert_eq!(read.certificate_der, identity.certificate_der);
            assert_eq!(read.expires_at, identity.expires_at);
            assert_eq!(
                read.issuers_der.len(),
                text.matches("BEGIN CERT").count() - 1
            );
            assert_eq!(facts.names, ["archive.example", "192.168.1.20"]);
            let [(_, _, kept), (_, _, kept_key)] = changes(Some(&read));
            let kept = String::from_utf8(kept.expect("text")).expect("text");
            assert!(kept.starts_with(&certificate), "the server's stands first");
            assert_eq!(kept_key, Some(identity.key_der.clone()));
        }
        assert!(changes(None).iter().all(|(.., value)| value.is_none()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (_, identity, key) = issued();
        let (_, other, _) = issued();
        let certificate = pem(&identity.certificate_der);
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nYQ==\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (text, now, fault) in [
            (String::new(), NOW, CertificateFault::NoCertificate),
            (key.clone(), NOW, CertificateFault::NoCertificate),
            (certificate.clone(), NOW, CertificateFault::NoKey),
            (
                format!("{certificate}{locked}"),
                NOW,
                CertificateFault::LockedKey,
            ),
            (
                format!("{certificate}{}", key_pem(&other)),
                NOW,
                CertificateFault::OtherKey,
            ),
            (
                format!("{certificate}{key}"),
                identity.expires_at + 1,
                CertificateFault::Time,
            ),
            (format!("{certificate}{key}"), 0, CertificateFault::Time),
            (
                certificate.repeat(CHAIN_MAX + 1),
                NOW,
                CertificateFault::TooMany,
            ),
        ] {
            assert_eq!(read(&text, now).err(), Some(fault), "{text}");
        }
    }
}
