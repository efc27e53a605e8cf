//! The box's own certificate authority: made once, installed by people in their computers, and never changed, while the certificate of
//! the box is renewed under it without anybody's noticing.
//!
//! Its certificate carries name constraints (RFC 5280 section 4.2.1.10): with its key one can pretend to be a machine of the local network,
//! never a bank. Where its key is kept is the caller's matter; so is the time.

use crate::tls::{TlsError, TlsIdentity, leaf_params};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// 20 years: longer than any office keeps the box, since people install it by hand.
const VALIDITY: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);

/// Domains below this one are the local network's own (RFC 6762 section 3).
const LOCAL_DOMAIN: &str = "local";

/// Networks whose addresses may stand in a certificate: loopback (RFC 1122), private (RFC 1918), link-local (RFC 3927, RFC 4291) and
/// unique local ones (RFC 4193).
const NETWORKS: [(IpAddr, u8); 8] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

/// A certificate authority with its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// What it is called in people's lists of authorities.
    pub name: String,
    /// Domains that it may speak for, each with all below it.
    pub domains: Vec<String>,
    /// X.509 certificate, DER; this is what people install.
    pub certificate_der: Vec<u8>,
    /// Private key, PKCS #8, DER.
    pub key_der: Vec<u8>,
}

impl Authority {
    /// Makes an authority for the local network and this host name, valid from now, Unix seconds.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn generate(name: &str, hostname: &str, now: u64) -> Result<Self, TlsError> {
        let mut domains = vec![LOCAL_DOMAIN.to_owned(), "localhost".to_owned()];
        if hostname.parse::<IpAddr>().is_err() && !is_below(hostname, &domains) {
            domains.push(hostname.to_owned());
        }
        let error = |source| TlsError::Make {
            names: domains.join(" "),
            source,
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(error)?;
        let mut params = params(name);
        params.name_constraints = Some(constraints(&domains));
        crate::tls::set_validity(&mut params, now, now + VALIDITY.as_secs());
        let certificate = params.self_signed(&key).map_err(error)?;
        Ok(Self {
            name: name.to_owned(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
            domains,
        })
    }

    /// Issues a certificate for those of the names and addresses that the authority may speak for, valid from now, Unix seconds.
    ///
    /// # Errors
    /// When no name is left, or the authority's key does not hold.
    pub fn issue(&self, names: &[String], now: u64) -> Result<TlsIdentity, TlsError> {
        let names: Vec<String> = names
            .iter()
            .filter(|name| self.permits(name))
            .cloned()
            .collect();
        let error = |source| TlsError::Make {
            names: names.join(" "),
            source,
        };
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key_der.as_slice()));
        let key = KeyPair::from_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(error)?;
        let issuer = Issuer::new(params(&self.name), key);
        TlsIdentity::make(&names, now, |leaf| {
            leaf_params(&names, now).and_then(|mut params| {
                params.use_authority_key_identifier_extension = true;
                params.signed_by(leaf, &issuer)
            })
        })
    }

    /// Tells whether a name or address may stand in a certificate of this authority: with another one in it, clients refuse it whole.
    pub fn permits(&self, name: &str) -> bool {
        match name.parse::<IpAddr>() {
            Ok(address) => NETWORKS.iter().any(|network| contains(network, address)),
            Err(_) => is_below(name, &self.domains),
        }
    }

    /// Writes the certificate as people's programs import it (PEM, RFC 7468).
    pub fn certificate_pem(&self) -> String {
        pem(&self.certificate_der)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Coffer");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn constraints(domains: &[String]) -> NameConstraints {
    let domains = domains.iter().cloned().map(GeneralSubtree::DnsName);
    let networks = NETWORKS.iter().map(|(address, prefix)| {
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, *prefix))
    });
    NameConstraints {
        permitted_subtrees: domains.chain(networks).collect(),
        excluded_subtrees: Vec::new(),
    }
}

fn is_below(name: &str, domains: &[String]) -> bool {
    let name = name.to_ascii_lowercase();
    domains.iter().any(|domain| {
        let domain = domain.to_ascii_lowercase();
        name.strip_suffix(&domain)
            .is_some_and(|front| front.is_empty() || front.ends_with('.'))
    })
}

fn contains((network, prefix): &(IpAddr, u8), address: IpAddr) -> bool {
    ipnet::IpNet::new(*network, *prefix).is_ok_and(|network| network.contains(&address))
}

pub(crate) fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{TlsServer, testing};

    fn now() -> u64 {
        let since = std::time::UNIX_EPOCH.elapsed();
        since.expect("after 1970").as_secs()
    }

    fn authority() -> Authority {
        Authority::generate("Coffer 0011aabb", "archive.example", now()).expect("an authority")
    }

    /// Whether a client that trusts only the authority takes this certificate for a machine of this name.
    fn is_trusted(authority: &Authority, identity: &TlsIdentity, name: &'static str) -> bool {
        let server = TlsServer::new(identity).expect("a fitting key");
        testing::shake_hands(&server, testing::client(&authority.certificate_der, name)).is_ok()
    }

    #[test]
    fn a_client_that_trusts_it_notices_no_renewal() {
        let authority = authority();
        let names = TlsIdentity::names_of("archive.example");
        for at in [now(), now() + 3600] {
            let identity = authority.issue(&names, at).expect("a certificate");
            for name in ["archive.example", "coffer.local", "127.0.0.1", "::1"] {
                assert!(is_trusted(&authority, &identity, name), "{name}");
            }
            assert!(!is_trusted(&authority, &identity, "other.local"));
        }
        let other = Authority::generate("Coffer", "archive.example", now()).expect("an authority");
        let identity = other.issue(&names, now()).expect("a certificate");
        assert!(!is_trusted(&authority, &identity, "coffer.local"));
    }

    #[test]
    fn clients_refuse_what_it_may_not_speak_for() {
        let mut authority = authority();
        let constrained = authority.clone();
        // Somebody who has the key signs what he likes.
        authority.domains.push("bank.example".to_owned());
        let names = ["bank.example".to_owned()];
        let identity = authority.issue(&names, now()).expect("a certificate");
        assert!(!is_trusted(&constrained, &identity, "bank.example"));
    }

    #[test]
    fn names_outside_are_left_out() {
        let authority = authority();
        let cases = [
            ("coffer.local", true),
            ("a.b.LOCAL", true),
            ("nonlocal", false),
            ("archive.example", true),
            ("www.archive.example", true),
            ("example", false),
            ("192.168.1.20", true),
            ("172.32.0.1", false),
            ("8.8.8.8", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
        ];
        for (name, permitted) in cases {
            assert_eq!(authority.permits(name), permitted, "{name}");
        }
        let names = ["coffer.local".to_owned(), "8.8.8.8".to_owned()];
        let identity = authority.issue(&names, now()).expect("a certificate");
        assert!(is_trusted(&authority, &identity, "coffer.local"));
        assert!(authority.issue(&["8.8.8.8".to_owned()], now()).is_err());
    }

    #[test]
    fn the_certificate_is_written_as_pem() {
        let authority = authority();
        let pem = authority.certificate_pem();
        let body: String = pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        use base64::Engine as _;
        let der = base64::engine::general_purpose::STANDARD.decode(body);
        assert_eq!(der.expect("base64"), authority.certificate_der);
        assert!(pem.lines().all(|line| line.len() <= 64));
    }
}
