//! Public keys of a repository, and whether a signature is by one of them.
//!
//! A key of an unknown kind is kept and counts for nothing, as does one whose kind is not wanted here. Deliberately not checked: that
//! the id of a key is its digest (python-tuf does not do so, either); ids only say which key to try, and the threshold counts keys.
//! Source: §4.2 (KEY).

use crate::hex;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

/// Which keys count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyTypes {
    /// Ed25519 only: for a box, whose repository is ours.
    Ed25519,
    /// All that the specification names: Ed25519, ECDSA on P-256 and P-384, RSASSA-PSS from 2048 bits on.
    All,
}

/// A public key.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "KeyText")]
pub(crate) struct Key(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    key: ParsedPublicKey,
    ed25519: bool,
    /// The same for the same key, however it was written and whatever scheme it signs by.
    identity: Vec<u8>,
}

/// A key as it stands in metadata.
#[derive(Deserialize)]
struct KeyText {
    keytype: String,
    scheme: String,
    keyval: KeyValue,
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default)]
    public: String,
}

impl From<KeyText> for Key {
    fn from(text: KeyText) -> Self {
        Self(known(&text))
    }
}

impl Key {
    /// Says whether a signature over a message is by this key, and the key of a kind that counts.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8], types: KeyTypes) -> bool {
        self.0.as_ref().is_some_and(|known| {
            (known.ed25519 || types == KeyTypes::All)
                && known.key.verify_sig(message, signature).is_ok()
        })
    }

    /// Gives what two ids of the same key have in common; nothing for a key of an unknown kind.
    pub(crate) fn identity(&self) -> Option<&[u8]> {
        self.0.as_ref().map(|known| known.identity.as_slice())
    }
}

fn known(text: &KeyText) -> Option<Known> {
    let algorithm = algorithm(&text.keytype, &text.scheme)?;
    let ed25519 = text.keytype == "ed25519";
    let public = if ed25519 {
        hex::decode(&text.keyval.public)?
    } else {
        der(&text.keyval.public)?
    };
    let key = ParsedPublicKey::new(algorithm, public).ok()?;
    let identity = key.as_der().ok()?.as_ref().to_vec();
    Some(Known {
        key,
        ed25519,
        identity,
    })
}

/// The key types with the curve in their name are those of older repositories.
fn algorithm(keytype: &str, scheme: &str) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (keytype, scheme) {
        ("ed25519", "ed25519") => &ED25519,
        ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => &ECDSA_P256_SHA256_ASN1,
        ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => &ECDSA_P384_SHA384_ASN1,
        ("rsa", "rsassa-pss-sha256") => &RSA_PSS_2048_8192_SHA256,
        ("rsa", "rsassa-pss-sha384") => &RSA_PSS_2048_8192_SHA384,
        ("rsa", "rsassa-pss-sha512") => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// The bytes between the lines of a PEM text (RFC 7468).
fn der(pem: &str) -> Option<Vec<u8>> {
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?;
    BASE64
        .decode(body.split_ascii_whitespace().collect::<String>())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaKeyPair,
    };
    use serde_json::json;

    fn key(keytype: &str, scheme: &str, public: &str) -> Key {
        let text = json!({"keytype": keytype, "scheme": scheme, "keyval": {"public": public}});
        Key::deserialize(&text).expect("a key")
    }

    fn pem(public: &[u8]) -> String {
        let text = BASE64.encode(public);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// Expects a signature to hold for all kinds of keys, for Ed25519 alone only if it is one, and not over another message.
    #[track_caller]
    fn check(key: &Key, signature: &[u8], ed25519: bool) {
        assert!(key.verifies(b"message", signature, KeyTypes::All));
        assert_eq!(
            key.verifies(b"message", signature, KeyTypes::Ed25519),
            ed25519
        );
        assert!(!key.verifies(b"massage", signature, KeyTypes::All));
        assert!(!key.verifies(b"message", &signature[1..], KeyTypes::All));
        assert!(!key.verifies(b"message", b"", KeyTypes::All));
    }

    #[test]
    fn ed25519_counts_everywhere() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
        let public = hex::encode(pair.public_key().as_ref());
        check(
            &key("ed25519", "ed25519", &public),
            pair.sign(b"message").as_ref(),
            true,
        );
    }

    #[test]
    fn other_kinds_count_where_they_are_wanted() {
        let random = SystemRandom::new();
        for (scheme, algorithm) in [
            ("ecdsa-sha2-nistp256", &ECDSA_P256_SHA256_ASN1_SIGNING),
            ("ecdsa-sha2-nistp384", &ECDSA_P384_SHA384_ASN1_SIGNING),
        ] {
            let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
            let der = AsDer::as_der(pair.public_key()).expect("a public key");
            let public = pem(der.as_ref());
            let signature = pair.sign(&random, b"message").expect("a signature");
            let signature = signature.as_ref();
            check(&key("ecdsa", scheme, &public), signature, false);
            check(&key(scheme, scheme, &public), signature, false);
        }
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = AsDer::as_der(pair.public_key()).expect("a public key");
        let public = pem(der.as_ref());
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PSS_SHA256, &random, b"message", &mut signature)
            .expect("a signature");
        check(&key("rsa", "rsassa-pss-sha256", &public), &signature, false);
        pair.sign(&RSA_PSS_SHA512, &random, b"message", &mut signature)
            .expect("a signature");
        check(&key("rsa", "rsassa-pss-sha512", &public), &signature, false);
    }

    #[test]
    fn one_key_has_one_identity() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let der = AsDer::as_der(pair.public_key()).expect("a public key");
        let first = key("ecdsa", "ecdsa-sha2-nistp256", &pem(der.as_ref()));
        let spaced = pem(der.as_ref()).replace('M', "M \n");
        let second = key("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", &spaced);
        assert!(first.identity().is_some());
        assert_eq!(first.identity(), second.identity());
    }

    #[test]
    fn unknown_and_broken_keys_count_for_nothing() {
        let public = hex::encode(&[7; 32]);
        for key in [
            key("ed25519", "ed448", &public),
            key("sphincs", "sphincs-shake-128s", &public),
            key("ed25519", "ed25519", &public[2..]),
            key("rsa", "rsassa-pss-sha256", &public),
            key("ecdsa", "ecdsa-sha2-nistp256", &pem(&[0; 91])),
        ] {
            assert!(key.identity().is_none(), "{key:?}");
            assert!(!key.verifies(b"", &[0; 64], KeyTypes::All));
        }
    }
}
