//! Notes, checkpoints, proofs and keys (C2SP): what is read is written again to the byte, and nobody else's signature holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use store::checkpoint::Checkpoint;
use store::note::{Note, Signer, Verifier};
use store::proof::Proof;

/// Reads a value; its text must be the one that was read.
fn read<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string(), text);
    Some(value)
}

/// A key of which no input knows the private half.
fn key(name: &str) -> Option<Verifier> {
    Signer::from_seed(name, &[0xC5; 32])
        .ok()
        .map(|signer| signer.verifier().clone())
}

fn check_note(note: &Note) {
    if let Some(checkpoint) = read::<Checkpoint>(note.unverified_text()) {
        let keys: Vec<Verifier> = key(checkpoint.origin()).into_iter().collect();
        assert!(
            Checkpoint::open(note, checkpoint.origin(), &keys).is_err(),
            "forged"
        );
    }
    let named = note
        .signatures()
        .iter()
        .filter_map(|signature| key(&signature.name));
    assert!(note.verify(&named.collect::<Vec<_>>()).is_err(), "forged");
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(Note::try_from(bytes).is_err());
        return;
    };
    read::<Verifier>(text);
    read::<Checkpoint>(text);
    if let Some(note) = read::<Note>(text) {
        check_note(&note);
    }
    if let Some(proof) = read::<Proof>(text) {
        check_note(&proof.checkpoint);
        let _ = proof.verify_unsigned(&[7; 32]);
    }
});
