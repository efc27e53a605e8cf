//! Signed notes: text with one or more signature lines under it, and the Ed25519 keys that make and check them.
//!
//! Does not know what the text says (`checkpoint` does) nor where keys are kept. Signatures of other types and of unknown keys are
//! kept and written again, and count for nothing. Source: C2SP signed-note v1.0.0 (c2sp.org/signed-note).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Longest note that is read, in bytes: 100 signatures of the largest known type (5 kB) and a text of as much again.
pub const NOTE_BYTES_MAX: usize = 1024 * 1024;

/// Most signatures in a note; every reader has to take 16, more are for many witnesses.
pub const NOTE_SIGNATURES_MAX: usize = 100;

/// Bytes of an Ed25519 seed, from which the key pair follows (RFC 8032 §5.1.5).
pub const SEED_BYTES: usize = 32;

/// Bytes of an Ed25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Signature type Ed25519 in key ids and vkeys.
const TYPE_ED25519: u8 = 0x01;

/// What opens a signature line: em dash and space.
const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why a note or a key is not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// The note is longer than `NOTE_BYTES_MAX`.
    #[error("note is too long, in bytes: {0}")]
    TooLong(usize),
    /// The note has more than `NOTE_SIGNATURES_MAX` signatures.
    #[error("note has too many signatures: {0}")]
    TooManySignatures(usize),
    /// The note is not UTF-8, or has a control character other than the line feed.
    #[error("note is not plain text")]
    NotPlainText,
    /// The text does not end with a line feed.
    #[error("text of a note does not end with a line feed")]
    UnendedText,
    /// There is no blank line with signature lines behind it.
    #[error("note has no signature lines")]
    NoSignatures,
    /// A signature line is not of the prescribed form.
    #[error("malformed signature line: {0}")]
    MalformedSignature(String),
    /// A key name is empty or has a space or a plus sign.
    #[error("invalid key name: {0}")]
    InvalidKeyName(String),
    /// A vkey is not of the prescribed form.
    #[error("malformed verifier key: {0}")]
    MalformedVerifier(String),
    /// A vkey is for another signature type than Ed25519.
    #[error("unknown signature type of verifier key: {0}")]
    UnknownType(u8),
    /// The id in a vkey is not that of its name and key.
    #[error("verifier key has the wrong key id: {0}")]
    WrongKeyId(String),
    /// The private key is not an Ed25519 key.
    #[error("private key rejected: {0}")]
    RejectedKey(String),
    /// A signature that names a known key is not by that key.
    #[error("signature does not hold, by key: {0}")]
    WrongSignature(String),
    /// No signature is by a known key.
    #[error("note is not signed by a known key")]
    UnknownSigners,
}

/// A text and its signatures; until `verify` nothing in it may be believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// Ends with a line feed and has no other control character.
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line of a note.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    /// Name of the key that is said to have signed.
    pub name: String,
    /// First four bytes of a digest over name, type and key; tells keys of one name apart.
    pub key_id: u32,
    /// The signature, in the form of its type; never empty.
    pub bytes: Vec<u8>,
}

impl Note {
    /// Signs a text, which has to end with a line feed and to have no other control character.
    pub fn sign(text: String, signer: &Signer) -> Result<Self, NoteError> {
        check_plain(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::UnendedText);
        }
        let mut note = Self {
            text,
            signatures: Vec::new(),
        };
        note.add_signature(signer);
        Ok(note)
    }

    /// Adds a signature below those that stand there.
    pub fn add_signature(&mut self, signer: &Signer) {
        self.signatures.push(Signature {
            name: signer.verifier.name.clone(),
            key_id: signer.verifier.key_id,
            bytes: signer.sign(self.text.as_bytes()).to_vec(),
        });
    }

    /// Returns the text if a known key signed it.
    ///
    /// # Errors
    /// `UnknownSigners` when no signature is by one of `keys`; `WrongSignature` when one names a known key and does not hold, even
    /// beside others that do.
    pub fn verify(&self, keys: &[Verifier]) -> Result<&str, NoteError> {
        let mut verified = false;
        for signature in &self.signatures {
            let mut known = keys.iter().filter(|key| key.is_named_by(signature));
            let Some(first) = known.next() else { continue };
            let holds = |key: &Verifier| key.verify(self.text.as_bytes(), &signature.bytes).is_ok();
            if !holds(first) && !known.any(holds) {
                return Err(NoteError::WrongSignature(first.name.clone()));
            }
            verified = true;
        }
        verified
            .then_some(self.text.as_str())
            .ok_or(NoteError::UnknownSigners)
    }

    /// Returns the text without asking who signed it.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// Returns all signatures, of known and unknown keys.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong(note.len()));
        }
        check_plain(note)?;
        // The last blank line parts text and signatures; the text keeps its own line feed.
        let blank = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let count = lines.split('\n').count();
        if count > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures(count));
        }
        let signatures = lines
            .split('\n')
            .map(Signature::from_str)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }
}

impl TryFrom<&[u8]> for Note {
    type Error = NoteError;

    fn try_from(note: &[u8]) -> Result<Self, NoteError> {
        std::str::from_utf8(note)
            .map_err(|_| NoteError::NotPlainText)?
            .parse()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for Signature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        parse_signature(line).ok_or_else(|| NoteError::MalformedSignature(line.to_owned()))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes(), self.bytes.as_slice()].concat();
        write!(f, "{SIGNATURE_MARK}{} {}", self.name, BASE64.encode(bytes))
    }
}

/// A public Ed25519 key with its name; as text a vkey, `name+id+key`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verifier {
    name: String,
    key_id: u32,
    public_key: [u8; PUBLIC_KEY_BYTES],
}

impl Verifier {
    /// Gives a public key a name, which must not be empty nor have a space or a plus sign.
    pub fn new(name: &str, public_key: [u8; PUBLIC_KEY_BYTES]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::InvalidKeyName(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            key_id: ed25519_key_id(name, &public_key),
            public_key,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key id, which stands in signature lines beside the name.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// Checks a bare signature over a message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
        UnparsedPublicKey::new(&ED25519, self.public_key)
            .verify(message, signature)
            .map_err(|_| NoteError::WrongSignature(self.name.clone()))
    }

    fn is_named_by(&self, signature: &Signature) -> bool {
        self.key_id == signature.key_id && self.name == signature.name
    }
}

impl FromStr for Verifier {
    type Err = NoteError;

    fn from_str(vkey: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::MalformedVerifier(vkey.to_owned());
        // Base 64 may have a plus sign itself, so only the first two part.
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let key = BASE64.decode(key).map_err(|_| malformed())?;
        let (signature_type, key) = key.split_first().ok_or_else(malformed)?;
        if *signature_type != TYPE_ED25519 {
            return Err(NoteError::UnknownType(*signature_type));
        }
        let verifier = Self::new(name, key.try_into().map_err(|_| malformed())?)?;
        if id != format!("{:08x}", verifier.key_id) {
            return Err(NoteError::WrongKeyId(vkey.to_owned()));
        }
        Ok(verifier)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[TYPE_ED25519], self.public_key.as_slice()].concat();
        let key = BASE64.encode(key);
        write!(f, "{}+{:08x}+{key}", self.name, self.key_id)
    }
}

/// A private Ed25519 key with its name.
#[derive(Debug)]
pub struct Signer {
    key: Ed25519KeyPair,
    verifier: Verifier,
}

impl Signer {
    /// Makes the key pair of a seed, which has to be random and secret.
    pub fn from_seed(name: &str, seed: &[u8; SEED_BYTES]) -> Result<Self, NoteError> {
        Self::new(name, Ed25519KeyPair::from_seed_unchecked(seed))
    }

    /// Reads a key pair in PKCS#8 form (RFC 5958), version 1 or 2, in DER.
    pub fn from_pkcs8(name: &str, pkcs8: &[u8]) -> Result<Self, NoteError> {
        Self::new(name, Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8))
    }

    /// Returns the public half.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs a message bare, without the form of a note.
    ///
    /// The message must not be a text that could pass for a checkpoint.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.key
            .sign(message)
            .as_ref()
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }

    fn new(
        name: &str,
        key: Result<Ed25519KeyPair, aws_lc_rs::error::KeyRejected>,
    ) -> Result<Self, NoteError> {
        let key = key.map_err(|why| NoteError::RejectedKey(why.to_string()))?;
        let public_key = key.public_key().as_ref();
        let public_key = public_key
            .try_into()
            .expect("an Ed25519 public key has 32 bytes");
        let verifier = Verifier::new(name, public_key)?;
        Ok(Self { key, verifier })
    }
}

fn parse_signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let decoded = BASE64.decode(encoded).ok()?;
    let (key_id, bytes) = decoded.split_first_chunk()?;
    let well_formed = is_key_name(name) && !bytes.is_empty();
    well_formed.then(|| Signature {
        name: name.to_owned(),
        key_id: u32::from_be_bytes(*key_id),
        bytes: bytes.to_vec(),
    })
}

fn is_key_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c == '+' || c < ' ';
    !name.is_empty() && !name.contains(forbidden)
}

fn check_plain(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::NotPlainText);
    }
    Ok(())
}

fn ed25519_key_id(name: &str, public_key: &[u8; PUBLIC_KEY_BYTES]) -> u32 {
    let named = [name.as_bytes(), b"\n", &[TYPE_ED25519], public_key].concat();
    let digest = digest(&SHA256, &named);
    let id = digest.as_ref().first_chunk();
    u32::from_be_bytes(*id.expect("SHA-256 yields 32 bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of C2SP signed-note.
    const EXAMPLE_KEY: &str =
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    /// The example key of Go's golang.org/x/mod/sumdb/note: seed, public key, and what they sign.
    const GO_SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key(vkey: &str) -> Verifier {
        vkey.parse().expect("a valid vkey")
    }

    fn note(text: &str) -> Note {
        text.parse().expect("a valid note")
    }

    fn go_signer() -> Signer {
        let seed = BASE64.decode(GO_SEED).expect("base64");
        Signer::from_seed("PeterNeumann", &seed.try_into().expect("32 bytes")).expect("valid key")
    }

    fn signer(name: &str, seed: u8) -> Signer {
        Signer::from_seed(name, &[seed; SEED_BYTES]).expect("valid name")
    }

    #[test]
    fn published_notes_verify() {
        for (vkey, text) in [(EXAMPLE_KEY, EXAMPLE), (GO_KEY, GO_NOTE)] {
            let (key, note) = (key(vkey), note(text));
            let (expected, _) = text.rsplit_once("\n\u{2014}").expect("a signature");
            assert_eq!(note.verify(std::slice::from_ref(&key)), Ok(expected));
            assert_eq!(note.to_string(), text);
            assert_eq!(key.to_string(), vkey);
        }
    }

    #[test]
    fn signing_gives_the_published_note() {
        let text = note(GO_NOTE).unverified_text().to_owned();
        let signer = go_signer();
        assert_eq!(signer.verifier().to_string(), GO_KEY);
        let signed = Note::sign(text, &signer).expect("plain text");
        assert_eq!(signed.to_string(), GO_NOTE);
    }

    #[test]
    fn pkcs8_holds_the_same_key() {
        let signer = go_signer();
        for pkcs8 in [signer.key.to_pkcs8(), signer.key.to_pkcs8v1()] {
            let pkcs8 = pkcs8.expect("the key can be written");
            let again = Signer::from_pkcs8("PeterNeumann", pkcs8.as_ref()).expect("valid key");
            assert_eq!(again.verifier(), signer.verifier());
            let torn = Signer::from_pkcs8("PeterNeumann", &pkcs8.as_ref()[1..]);
            assert!(matches!(torn, Err(NoteError::RejectedKey(_))));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let known = [key(EXAMPLE_KEY)];
        for at in 0..EXAMPLE.len() {
            for bit in 0..8 {
                let mut bytes = EXAMPLE.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let accepted =
                    Note::try_from(bytes.as_slice()).is_ok_and(|note| note.verify(&known).is_ok());
                assert!(!accepted, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn malformed_notes_are_refused() {
        let check = |text: &str, expected: NoteError| {
            assert_eq!(text.parse::<Note>(), Err(expected), "{text:?}");
        };
        let signature = EXAMPLE.rsplit('\n').nth(1).expect("a signature line");
        let malformed = |line: &str| NoteError::MalformedSignature(line.to_owned());
        check("", NoteError::NoSignatures);
        check("text\n", NoteError::NoSignatures);
        check("text\n\n", NoteError::NoSignatures);
        check(&format!("text\n{signature}\n"), NoteError::NoSignatures);
        check(&format!("text\n\n{signature}"), NoteError::NoSignatures);
        check(&format!("\n{signature}\n"), NoteError::NoSignatures);
        check(&format!("te\rxt\n\n{signature}\n"), NoteError::NotPlainText);
        check(&format!("te\0xt\n\n{signature}\n"), NoteError::NotPlainText);
        check(&format!("text\n\n{signature}\n\n"), NoteError::NoSignatures);
        for line in [
            "- name AAAAAAAA",
            "\u{2014} name",
            "\u{2014} name ",
            "\u{2014}  AAAAAAAA",
            "\u{2014} na+me AAAAAAAA",
            "\u{2014} na\u{a0}me AAAAAAAA",
            "\u{2014} name AAAAAA==",
            "\u{2014} name AAAAAAB=",
            "\u{2014} name AAAAAAA",
            "\u{2014} name AAAA AAAA",
            "\u{2014} name AAA\u{2014}AAAA",
        ] {
            check(&format!("text\n\n{line}\n"), malformed(line));
        }
        let too_many = format!("text\n\n{}", format!("{signature}\n").repeat(101));
        check(&too_many, NoteError::TooManySignatures(101));
        let too_long = "x".repeat(NOTE_BYTES_MAX + 1);
        check(&too_long, NoteError::TooLong(NOTE_BYTES_MAX + 1));
        let not_utf8 = Note::try_from(b"text\xff\n\n".as_slice());
        assert_eq!(not_utf8, Err(NoteError::NotPlainText));
    }

    #[test]
    fn text_may_have_blank_lines_and_what_looks_like_signatures() {
        for text in [
            "\n",
            "\n\n",
            "a\n\n\u{2014} name AAAAAAAA\n",
            "ed \u{e8} subito sera.\n\n\n",
        ] {
            let signer = signer("coffer.archive/test", 7);
            let signed = Note::sign(text.to_owned(), &signer).expect("plain text");
            let read = note(&signed.to_string());
            assert_eq!(read.verify(&[signer.verifier().clone()]), Ok(text));
        }
    }

    #[test]
    fn only_plain_ended_text_is_signed() {
        let sign = |text: &str| Note::sign(text.to_owned(), &go_signer());
        assert_eq!(sign("text"), Err(NoteError::UnendedText));
        assert_eq!(sign(""), Err(NoteError::UnendedText));
        assert_eq!(sign("a\tb\n"), Err(NoteError::NotPlainText));
    }

    #[test]
    fn unknown_signatures_are_kept_and_count_for_nothing() {
        let (known, other) = (signer("known", 1), signer("other", 2));
        let same_name = signer("known", 3);
        let mut signed = Note::sign("text\n".to_owned(), &other).expect("plain text");
        signed.add_signature(&same_name);
        let known_key = [known.verifier().clone()];
        assert_eq!(signed.verify(&known_key), Err(NoteError::UnknownSigners));
        assert_eq!(signed.verify(&[]), Err(NoteError::UnknownSigners));
        signed.add_signature(&known);
        let read = note(&signed.to_string());
        assert_eq!(read.verify(&known_key), Ok("text\n"));
        assert_eq!(read.signatures().len(), 3);
        assert_eq!(read.to_string(), signed.to_string());
    }

    #[test]
    fn a_wrong_signature_of_a_known_key_spoils_the_note() {
        let (first, second) = (signer("first", 1), signer("second", 2));
        let keys = [first.verifier().clone(), second.verifier().clone()];
        let mut signed = Note::sign("text\n".to_owned(), &first).expect("plain text");
        signed.add_signature(&second);
        assert_eq!(signed.verify(&keys), Ok("text\n"));
        signed.signatures[1].bytes[9] ^= 1;
        let refused = NoteError::WrongSignature("second".to_owned());
        assert_eq!(signed.verify(&keys), Err(refused));
        assert_eq!(signed.verify(&keys[..1]), Ok("text\n"));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let parse = |vkey: &str| vkey.parse::<Verifier>();
        let malformed = |vkey: &str| Err(NoteError::MalformedVerifier(vkey.to_owned()));
        let wrong_id = |vkey: &str| Err(NoteError::WrongKeyId(vkey.to_owned()));
        for vkey in [
            "",
            "name",
            "name+530d903a",
            "name+530d903a+",
            "name+530d903a+AQ==",
            "name+530d903a+?",
        ] {
            assert_eq!(parse(vkey), malformed(vkey));
        }
        for (from, to) in [
            ("530d903a", "530D903A"),
            ("530d903a", "530d903b"),
            ("foo", "bar"),
            ("530d903a", "30d903a"),
        ] {
            let vkey = EXAMPLE_KEY.replace(from, to);
            assert_eq!(parse(&vkey), wrong_id(&vkey));
        }
        let other_type = EXAMPLE_KEY.replace("+Ae", "+BO");
        assert_eq!(parse(&other_type), Err(NoteError::UnknownType(4)));
        let spaced = EXAMPLE_KEY.replace("foo", "f o");
        assert_eq!(
            parse(&spaced),
            Err(NoteError::InvalidKeyName("example.com/f o".to_owned()))
        );
        let unnamed = Signer::from_seed("", &[0; SEED_BYTES]).map(|_| ());
        assert_eq!(unnamed, Err(NoteError::InvalidKeyName(String::new())));
    }

    #[test]
    fn private_keys_are_not_shown() {
        let shown = format!("{:?}", signer("name", 0xab));
        assert!(
            !shown.contains("171, 171") && !shown.contains("abab"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again(text in "([a\u{2014} +=\n]|\u{2014} n AAAAAAAA\n){0,40}") {
            if let Ok(read) = text.parse::<Note>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}
