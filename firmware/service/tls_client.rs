//! TLS towards a mail server that Coffer's own mail goes to: a server is believed when a public authority vouches for it by its name, or when
//! its certificate is the one that somebody has confirmed; nobody else ever is.
//!
//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) on aws-lc-rs. When to give up is the socket's matter.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// A connection under TLS.
pub(crate) type TlsStream<S> = StreamOwned<ClientConnection, S>;

/// Why TLS did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsClientError {
    /// Nobody vouches for the server.
    #[error("nobody vouches for the server's certificate: {why}")]
    Certificate {
        /// SHA-256 of the certificate that it showed.
        fingerprint: [u8; 32],
        /// What does not hold.
        why: String,
    },
    /// Client and server do not agree, or the connection broke.
    #[error("TLS does not come about")]
    Handshake(#[source] io::Error),
    /// The server's name cannot stand in a certificate.
    #[error("not a name that a certificate can have: {0}")]
    Name(String),
}

/// Begins TLS with a server of this name, and waits until it stands.
pub(crate) fn start<S: Read + Write>(
    mut socket: S,
    name: &str,
    confirmed: Option<[u8; 32]>,
) -> Result<TlsStream<S>, TlsClientError> {
    let bad_name = || TlsClientError::Name(name.to_owned());
    let server = ServerName::try_from(name.to_owned()).map_err(|_| bad_name())?;
    let verifier = Arc::new(Verifier::new(confirmed));
    let config = config(verifier.clone());
    let mut tls = ClientConnection::new(Arc::new(config), server).map_err(|error| {
        TlsClientError::Handshake(io::Error::new(ErrorKind::InvalidInput, error))
    })?;
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut socket) {
            return Err(match verifier.refused() {
                Some((fingerprint, why)) => TlsClientError::Certificate { fingerprint, why },
                None => TlsClientError::Handshake(error),
            });
        }
    }
    Ok(StreamOwned::new(tls, socket))
}

fn config(verifier: Arc<Verifier>) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites of both versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// Believes public authorities and the one certificate that was confirmed.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    confirmed: Option<[u8; 32]>,
    /// The certificate that was not believed, and why.
    refused: Mutex<Option<([u8; 32], String)>>,
}

impl Verifier {
    fn new(confirmed: Option<[u8; 32]>) -> Self {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Self {
            authorities: authorities.build().expect("there are roots"),
            confirmed,
            refused: Mutex::new(None),
        }
    }

    fn refused(&self) -> Option<([u8; 32], String)> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.take()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint = store::sha256(certificate).0;
        if self.confirmed == Some(fingerprint) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self
            .authorities
            .verify_server_cert(certificate, issuers, name, ocsp, now);
        verified.inspect_err(|error| {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = Some((fingerprint, error.to_string()));
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
