//! Passwords of accounts, kept as Argon2id hashes (RFC 9106) in PHC strings, which carry their own parameters.
//!
//! Pure functions: the salt comes in, and where a record is kept is the keeper's matter.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;
use std::str;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// 16 random bytes a password (RFC 9106 §3.1), so that equal passwords have different records.
pub const SALT_BYTES: usize = 16;

/// 19 MiB a hash, in KiB: dear for whoever guesses on graphics cards, and affordable on a box of 512 MB.
const MEMORY_KIB: u32 = 19 * 1024;

/// 2 passes over that memory, as OWASP advises with 19 MiB: some 50 ms on a small board.
const PASSES: u32 = 2;

/// 1 lane: one hash takes one core.
const LANES: u32 = 1;

/// One hash at a time in a process: however many sign in at once, hashing takes 19 MiB and one core.
static HASHING: Mutex<()> = Mutex::new(());

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordRecord(String);

/// Bytes that are no record of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a password record")]
pub struct NotARecord;

/// Makes the record of a password.
pub fn hash(password: &str, salt: [u8; SALT_BYTES]) -> PasswordRecord {
    let _one = one_at_a_time();
    let hash: PasswordHash = argon2()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect(
            "parameters and salt are within the limits of Argon2, and so is every text in memory",
        );
    PasswordRecord(hash.to_string())
}

/// Tells whether a password is the recorded one. Without a record it is not, and that takes as long, so that nobody
/// learns which names exist.
pub fn verify(record: Option<&PasswordRecord>, password: &str) -> bool {
    let Some(record) = record else {
        hash(password, [0; SALT_BYTES]);
        return false;
    };
    let _one = one_at_a_time();
    PasswordHash::new(&record.0)
        .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
}

impl PasswordRecord {
    /// The record as it is kept.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Reads a record that was kept.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotARecord> {
        let text = str::from_utf8(bytes).map_err(|_| NotARecord)?;
        let hash = PasswordHash::new(text).map_err(|_| NotARecord)?;
        let whole = hash.salt.is_some() && hash.hash.is_some();
        let known = Algorithm::new(hash.algorithm.as_str()).is_ok();
        if whole && known {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotARecord)
        }
    }
}

impl fmt::Debug for PasswordRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordRecord")
    }
}

fn one_at_a_time() -> MutexGuard<'static, ()> {
    HASHING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("parameters are within the limits of Argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_BYTES] = *b"0123456789abcdef";

    #[test]
    fn only_the_same_password_is_right() {
        let record = hash("Käse-Bohrer 7", SALT);
        assert!(verify(Some(&record), "Käse-Bohrer 7"));
        for wrong in ["Käse-Bohrer 8", "", "Käse-Bohrer 7\0"] {
            assert!(!verify(Some(&record), wrong), "{wrong}");
        }
        assert!(!verify(None, "Käse-Bohrer 7"));
    }

    #[test]
    fn the_salt_makes_records_differ() {
        let record = hash("same", SALT);
        assert_eq!(record, hash("same", SALT));
        assert_ne!(record, hash("same", [1; SALT_BYTES]));
    }

    #[test]
    fn the_record_carries_its_parameters() {
        let text = String::from_utf8(hash("", SALT).as_bytes().to_vec()).expect("text");
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
    }

    #[test]
    fn records_with_other_parameters_hold() {
        // A test vector of the reference implementation (phc-winner-argon2, src/test.c), with 64 MiB.
        let kept = b"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let record = PasswordRecord::from_bytes(kept).expect("a record");
        assert!(verify(Some(&record), "password"));
        assert!(!verify(Some(&record), "Password"));
    }

    #[test]
    fn kept_and_read_again() {
        let record = hash("x", SALT);
        assert_eq!(
            PasswordRecord::from_bytes(record.as_bytes()),
            Ok(record.clone())
        );
        assert_eq!(format!("{record:?}"), "PasswordRecord", "no hash in a log");
        let cut = &record.as_bytes()[..40];
        for bad in [
            b"".as_slice(),
            b"x",
            b"\xff",
            b"$md5$v=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMa",
            cut,
        ] {
            assert_eq!(PasswordRecord::from_bytes(bad), Err(NotARecord));
        }
    }
}
