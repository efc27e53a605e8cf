//! What a certificate says of itself (X.509 in DER, RFC 5280 §4.1): until when it is good, and for which names.
//!
//! Nothing is verified and nothing trusted by it: whether key and certificate fit says rustls. What is not understood gives nothing.

use archive::calendar::parse_rfc3339;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// The version field, `[0]`.
const VERSION: u8 = 0xa0;
/// The extensions, `[3]`.
const EXTENSIONS: u8 = 0xa3;
/// A DNS name among alternative names, `[2]`.
const DNS_NAME: u8 = 0x82;
/// An address among alternative names, `[7]`.
const IP_ADDRESS: u8 = 0x87;
/// Subject alternative names, 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The first second at which it is good, Unix seconds.
    pub(crate) from_s: i64,
    /// The last one.
    pub(crate) until_s: i64,
    /// Names and addresses that it is for.
    pub(crate) names: Vec<String>,
}

/// Reads a certificate.
pub(crate) fn read(der: &[u8]) -> Option<Said> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    if let Some((_, after)) = expect(rest, VERSION) {
        rest = after;
    }
    // Serial number, algorithm and issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, rest) = expect(rest, SEQUENCE)?;
    let (from_s, until) = time(validity)?;
    let (until_s, _) = time(until)?;
    Some(Said {
        from_s,
        until_s,
        names: names(rest).unwrap_or_default(),
    })
}

/// Reads the alternative names, given all that follows the validity.
fn names(mut rest: &[u8]) -> Option<Vec<String>> {
    let mut extensions = loop {
        let (tag, content, after) = element(rest)?;
        if tag == EXTENSIONS {
            break expect(content, SEQUENCE)?.0;
        }
        rest = after;
    };
    loop {
        let (extension, after) = expect(extensions, SEQUENCE)?;
        let (id, mut value) = expect(extension, OBJECT_IDENTIFIER)?;
        if id == ALTERNATIVE_NAMES {
            // Whether it is critical may stand before it.
            while let Some((tag, content, after)) = element(value) {
                if tag == OCTET_STRING {
                    return Some(general_names(expect(content, SEQUENCE)?.0));
                }
                value = after;
            }
            return None;
        }
        extensions = after;
    }
}

fn general_names(mut rest: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((tag, content, after)) = element(rest) {
        names.extend(match tag {
            DNS_NAME => std::str::from_utf8(content).ok().map(str::to_owned),
            IP_ADDRESS => address(content).map(|address| address.to_string()),
            _ => None,
        });
        rest = after;
    }
    names
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
    let v6 = || <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)));
    v4.or_else(|_| v6()).ok()
}

/// Reads a time (RFC 5280 §4.1.2.5), which ends in Z; gives it in Unix seconds, and what follows.
fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, content, rest) = element(der)?;
    let text = std::str::from_utf8(content).ok()?;
    let century = match (tag, text.get(..2)?) {
        (UTC_TIME, year) if year < "50" => "20",
        (UTC_TIME, _) => "19",
        (GENERALIZED_TIME, _) => "",
        _ => return None,
    };
    let text = format!("{century}{text}");
    let written = "dddd-dd-ddTdd:dd:dd";
    let mut given = text.strip_suffix('Z')?.chars();
    let shaped: Option<String> = written
        .chars()
        .map(|c| if c == 'd' { given.next() } else { Some(c) })
        .collect();
    let is_used_up = given.next().is_none();
    let at_s = parse_rfc3339(&format!("{}Z", shaped?)).filter(|_| is_used_up)?;
    Some((at_s, rest))
}

/// Gives the content of the first element if it is of this kind, and what follows it.
fn expect(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == expected).then_some((content, rest))
}

/// Parts the first element from what follows it: tag, content, rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=127 => (usize::from(*first), rest),
        // Up to four bytes of length follow.
        129..=132 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            (usize::try_from(length).ok()?, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsIdentity;

    /// 2025-06-15, in Unix seconds.
    const NOW_S: i64 = 1_750_000_000;

    fn certificate() -> TlsIdentity {
        let names = TlsIdentity::names_of("archive.example");
        TlsIdentity::generate(&names, NOW_S as u64).expect("a certificate")
    }

    #[test]
    fn a_certificate_says_for_whom_and_until_when() {
        let identity = certificate();
        let said = read(&identity.certificate_der).expect("readable");
        let names = [
            "archive.example",
            "coffer.local",
            "localhost",
            "127.0.0.1",
            "::1",
        ];
        assert_eq!(said.names, names);
        assert_eq!(said.until_s, identity.expires_at as i64);
        assert!(said.from_s < NOW_S);
    }

    #[test]
    fn what_is_cut_off_or_broken_gives_nothing_or_less() {
        let der = certificate().certificate_der;
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None, "{length}");
        }
        for place in 0..der.len() {
            let mut broken = der.clone();
            broken[place] ^= 0xff;
            // It may still say something; it must only not panic.
            let _ = read(&broken);
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let form = |tag: u8, text: &str| {
            let head = [tag, text.len() as u8];
            [&head[..], text.as_bytes()].concat()
        };
        for (tag, text, expected) in [
            (UTC_TIME, "250615150640Z", Some(NOW_S)),
            (GENERALIZED_TIME, "20250615150640Z", Some(NOW_S)),
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "250615150640", None),
            (UTC_TIME, "2506151506Z", None),
            (UTC_TIME, "251315150640Z", None),
            (UTC_TIME, "+50615150640Z", None),
            (SEQUENCE, "250615150640Z", None),
        ] {
            let der = form(tag, text);
            assert_eq!(time(&der).map(|(at, _)| at), expected, "{text}");
        }
    }
}
