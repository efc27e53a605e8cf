//! Keeps the box's certificate authority and its certificate in the archive's state, and renews the certificate when it is time or when the
//! names and addresses of the box have changed.
//!
//! The authority is made once and stays, since people install it in their computers. A certificate that others issued (`own_certificate`)
//! goes before the box's own until it ends. Times are Unix seconds.

use crate::authority::Authority;
use crate::own_certificate::own;
use crate::tls::{TlsError, TlsIdentity, TlsServer};
use std::net::IpAddr;
use store::{State, StateTable};

const AUTHORITY_CERTIFICATE: &str = "authority certificate";
const AUTHORITY_KEY: &str = "authority key";
/// Its name in the first line, then its domains.
const AUTHORITY_NAMES: &str = "authority names";
const CERTIFICATE: &str = "tls certificate";
const KEY: &str = "tls key";
const EXPIRES: &str = "tls certificate expires";
/// One name or address a line.
const NAMES: &str = "tls certificate names";

/// Digits of the archive's id in the authority's name: enough to tell the boxes of one office apart.
const NAME_DIGITS: usize = 8;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The state file failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It could not be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a certificate is made for.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    /// The id of the archive, hexadecimal.
    pub archive: &'a str,
    /// The host's own name.
    pub hostname: &'a str,
    /// The host's addresses; those that are not of a local network are left out.
    pub addresses: Vec<IpAddr>,
}

/// Gives the certificate that others issued and somebody put in, or the kept one of the box, or a new one when there is none, it ends soon, or the names have changed.
///
/// # Errors
/// When the state file fails, or no certificate can be made.
pub fn certificate(
    state: &State,
    names: &Names,
    now: u64,
) -> Result<TlsIdentity, CertificateError> {
    let authority = match authority(state)? {
        Some(authority) => authority,
        None => make_authority(state, names, now)?,
    };
    // One that has ended helps nobody; the box's own is good at least for those who know its authority.
    let own = own(state)?.filter(|own| own.expires_at > now);
    if let Some(own) = own {
        return Ok(own);
    }
    let mut wanted = TlsIdentity::names_of(names.hostname);
    wanted.extend(names.addresses.iter().map(IpAddr::to_string));
    wanted.retain(|name| authority.permits(name));
    wanted.sort_unstable();
    wanted.dedup();
    match kept(state, &wanted)?.filter(|kept| !kept.is_due(now)) {
        Some(kept) => Ok(kept),
        None => issue(state, &authority, &wanted, now),
    }
}

/// Gives the authority, if one was made.
///
/// # Errors
/// When the state file fails.
pub fn authority(state: &State) -> Result<Option<Authority>, store::Error> {
    let get = |name| state.get(StateTable::Keys, name);
    let (certificate, key, names) = (
        get(AUTHORITY_CERTIFICATE)?,
        get(AUTHORITY_KEY)?,
        get(AUTHORITY_NAMES)?,
    );
    let (Some(certificate_der), Some(key_der), Some(names)) = (certificate, key, names) else {
        return Ok(None);
    };
    let names = String::from_utf8_lossy(&names);
    let mut lines = names.lines().map(str::to_owned);
    Ok(lines.next().map(|name| Authority {
        name,
        domains: lines.collect(),
        certificate_der,
        key_der,
    }))
}

fn make_authority(state: &State, names: &Names, now: u64) -> Result<Authority, CertificateError> {
    let digits: String = names.archive.chars().take(NAME_DIGITS).collect();
    let authority = Authority::generate(&format!("Coffer {digits}"), names.hostname, now)?;
    let lines = format!("{}\n{}", authority.name, authority.domains.join("\n"));
    let put = |name, value: &[u8]| state.put(StateTable::Keys, name, Some(value));
    // What another authority has signed counts no more.
    state.put(StateTable::Keys, CERTIFICATE, None)?;
    put(AUTHORITY_KEY, &authority.key_der)?;
    put(AUTHORITY_NAMES, lines.as_bytes())?;
    // Last: without it there is no authority, and another one is made.
    put(AUTHORITY_CERTIFICATE, &authority.certificate_der)?;
    Ok(authority)
}

/// The certificate that is kept, if it is for these names and can be used.
fn kept(state: &State, wanted: &[String]) -> Result<Option<TlsIdentity>, CertificateError> {
    let get = |name| state.get(StateTable::Keys, name);
    let (certificate, key) = (get(CERTIFICATE)?, get(KEY)?);
    let (expires, names) = (get(EXPIRES)?, get(NAMES)?);
    let (Some(certificate_der), Some(key_der), Some(expires)) = (certificate, key, expires) else {
        return Ok(None);
    };
    let identity = TlsIdentity {
        certificate_der,
        issuers_der: Vec::new(),
        key_der,
        expires_at: expires.try_into().map_or(0, u64::from_le_bytes),
    };
    // A crash between two of the values leaves a key that does not fit.
    let fits =
        names.as_deref() == Some(wanted.join("\n").as_bytes()) && TlsServer::new(&identity).is_ok();
    Ok(fits.then_some(identity))
}

fn issue(
    state: &State,
    authority: &Authority,
    names: &[String],
    now: u64,
) -> Result<TlsIdentity, CertificateError> {
    let identity = authority.issue(names, now)?;
    let put = |name, value: &[u8]| state.put(StateTable::Keys, name, Some(value));
    put(KEY, &identity.key_der)?;
    put(CERTIFICATE, &identity.certificate_der)?;
    put(EXPIRES, &identity.expires_at.to_le_bytes())?;
    put(NAMES, names.join("\n").as_bytes())?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::LocalKeeper;
    use crate::tls::testing;
    use std::sync::Arc;
    use store::{Moment, Options};

    const DAY_S: u64 = 24 * 60 * 60;

    fn now() -> u64 {
        let since = std::time::UNIX_EPOCH.elapsed();
        since.expect("after 1970").as_secs()
    }

    fn names(addresses: &[&str]) -> Names<'static> {
        Names {
            archive: "00112233445566778899aabbccddeeff",
            hostname: "archive.example",
            addresses: addresses
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect(),
        }
    }

    /// Runs a test on the state of a new archive.
    fn with_state(test: impl FnOnce(&State)) {
        let folder = tempfile::tempdir().expect("a folder");
        let moment = Moment {
            at_us: 0,
            synchronised: false,
            uncertainty_ms: None,
        };
        let options = Options {
            clock: Arc::new(move || moment),
            boot_id: [0; 16],
            volume_bytes_max: store::VOLUME_BYTES_MAX,
            index_threads: 1,
            upkeep: store::WhenUpkeep::Never,
            follower_patience: store::FOLLOWER_PATIENCE,
        };
        let keeper = LocalKeeper::open(folder.path(), options, &mut |_| {});
        test(keeper.expect("the archive opens").store().state());
    }

    fn get(state: &State, names: &Names, at: u64) -> TlsIdentity {
        certificate(state, names, at).expect("a certificate")
    }

    #[test]
    fn one_authority_vouches_for_every_certificate() {
        with_state(|state| {
            assert!(authority(state).expect("readable").is_none());
            let first = get(state, &names(&["192.168.1.20"]), now());
            let root = authority(state).expect("readable").expect("made");
            assert_eq!(root.name, "Coffer 00112233");
            assert!(get(state, &names(&["192.168.1.20"]), now() + DAY_S) == first);
            let moved = get(state, &names(&["192.168.1.30"]), now());
            assert!(moved != first, "another address");
            let renewed = get(state, &names(&["192.168.1.30"]), moved.expires_at - DAY_S);
            assert!(renewed != moved, "it ends soon");
            assert!(authority(state).expect("readable").as_ref() == Some(&root));
            let server = TlsServer::new(&moved).expect("a fitting key");
            for name in ["192.168.1.30", "coffer.local", "archive.example"] {
                let shaken =
                    testing::shake_hands(&server, testing::client(&root.certificate_der, name));
                assert!(shaken.is_ok(), "{name}: {:?}", shaken.err());
            }
        });
    }

    #[test]
    fn public_addresses_are_left_out() {
        with_state(|state| {
            let identity = get(state, &names(&["93.184.216.34"]), now());
            assert!(identity == get(state, &names(&[]), now()));
        });
    }

    /// A crash between two of the values, in all places.
    #[test]
    fn half_kept_values_are_made_again() {
        let kept = [
            CERTIFICATE,
            KEY,
            EXPIRES,
            NAMES,
            AUTHORITY_CERTIFICATE,
            AUTHORITY_KEY,
            AUTHORITY_NAMES,
        ];
        with_state(|state| {
            for name in kept {
                get(state, &names(&[]), now());
                state.put(StateTable::Keys, name, None).expect("room");
                let identity = get(state, &names(&[]), now());
                let root = authority(state).expect("readable").expect("made");
                let server = TlsServer::new(&identity).expect("a fitting key");
                let client = testing::client(&root.certificate_der, "coffer.local");
                assert!(testing::shake_hands(&server, client).is_ok(), "{name}");
            }
        });
    }
}
