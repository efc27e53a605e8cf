//! What proves who somebody is, in `state.redb` only: passwords as Argon2 hashes, secrets of second factors, the claim code.
//!
//! Names and values are FORMAT.md's ("state.redb"). Nothing here decides who may change a secret.

use super::messages::Secret;
use crate::accounts::{self, PasswordRecord, SALT_BYTES};
use crate::keeper::Failure;
use archive::people::{Account, AccountId, Register, State as Standing, Totp};
use aws_lc_rs::{constant_time, hmac};
use store::{State, StateChange, StateTable};

/// The name of the claim code.
const CLAIM_CODE: &str = "claim code";

/// What the names of passwords of mail servers begin with.
const OUTGOING_PASSWORD: &str = "outgoing password ";

/// 20 bytes of a second factor's secret, as long as its hash (RFC 4226 §4).
pub(super) const SECOND_FACTOR_BYTES: usize = 20;

/// Letters and digits that nobody mixes up, 5 bits each.
const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// 12 of them, 60 bits: beyond guessing with the delays that each failure brings.
const CLAIM_CODE_CHARS: usize = 12;

/// 16 of them, 80 bits, for a password that somebody gets to change it.
const ISSUED_PASSWORD_CHARS: usize = 16;

/// So many stand together.
const GROUP_CHARS: usize = 4;

/// A second factor: its secret, and what keeps a code from being used twice.
pub(super) struct SecondFactor {
    secret: Vec<u8>,
    totp: Totp,
}

/// Gives the record of an account's password; none without one.
pub(super) fn password(state: &State, id: AccountId) -> Result<Option<PasswordRecord>, Failure> {
    let bytes = state.get(StateTable::Secrets, &password_name(id))?;
    let record = bytes.map(|bytes| PasswordRecord::from_bytes(&bytes));
    record
        .transpose()
        .map_err(|error| Failure::Damaged(format!("password of account {id}: {error}")))
}

/// Makes the change that gives an account a password.
pub(super) fn put_password(id: AccountId, password: &str) -> StateChange {
    let record = accounts::hash(password, store::random::<SALT_BYTES>());
    secret(password_name(id), Some(record.as_bytes().to_vec()))
}

/// Makes a password that its person has to change.
pub(super) fn issued_password() -> String {
    code::<ISSUED_PASSWORD_CHARS>()
}

/// Gives an account's second factor; none without one.
pub(super) fn second_factor(state: &State, id: AccountId) -> Result<Option<SecondFactor>, Failure> {
    let Some(bytes) = state.get(StateTable::Secrets, &second_factor_name(id))? else {
        return Ok(None);
    };
    let damaged = || Failure::Damaged(format!("second factor of account {id}"));
    let (secret, step) = bytes
        .split_at_checked(SECOND_FACTOR_BYTES)
        .ok_or_else(damaged)?;
    let step = step.try_into().map_err(|_| damaged())?;
    Ok(Some(SecondFactor {
        secret: secret.to_vec(),
        totp: Totp {
            last_step: Some(u64::from_le_bytes(step)).filter(|step| *step > 0),
        },
    }))
}

/// Makes the secret of a second factor that counts once a code of it was given.
pub(super) fn second_factor_to_be(state: &State, id: AccountId) -> Result<Vec<u8>, Failure> {
    let fresh = store::random::<SECOND_FACTOR_BYTES>();
    state.put(StateTable::Secrets, &to_be_name(id), Some(&fresh))?;
    Ok(fresh.to_vec())
}

/// Takes a code of the second factor to be: gives the changes that make it the second factor, or none for a wrong code.
pub(super) fn confirm_second_factor(
    state: &State,
    id: AccountId,
    code: &str,
    now_s: u64,
) -> Result<Option<Vec<StateChange>>, Failure> {
    let Some(secret_bytes) = state.get(StateTable::Secrets, &to_be_name(id))? else {
        return Ok(None);
    };
    let fresh = SecondFactor {
        secret: secret_bytes,
        totp: Totp::default(),
    };
    Ok(fresh
        .accept(id, code, now_s)
        .map(|accepted| vec![accepted, secret(to_be_name(id), None)]))
}

/// Makes the change that takes a second factor away.
pub(super) fn end_second_factor(id: AccountId) -> StateChange {
    secret(second_factor_name(id), None)
}

impl SecondFactor {
    /// Takes a code, and gives the change that must be durable before anybody is let in; none for a wrong or used one.
    pub(super) fn accept(&self, id: AccountId, code: &str, now_s: u64) -> Option<StateChange> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let hash = |count: [u8; 8]| {
            let tag = hmac::sign(&key, &count);
            tag.as_ref().try_into().expect("HMAC-SHA-1 has 20 bytes")
        };
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let totp = self.totp.accept(&code, now_s, hash)?;
        let mut bytes = self.secret.clone();
        bytes.extend_from_slice(&totp.last_step.unwrap_or(0).to_le_bytes());
        Some(secret(second_factor_name(id), Some(bytes)))
    }
}

/// Gives the claim code, made the first time.
pub(super) fn claim_code(state: &State) -> Result<String, Failure> {
    if let Some(bytes) = state.get(StateTable::Secrets, CLAIM_CODE)? {
        return String::from_utf8(bytes).map_err(|_| Failure::Damaged(CLAIM_CODE.to_owned()));
    }
    let code = code::<CLAIM_CODE_CHARS>();
    state.put(StateTable::Secrets, CLAIM_CODE, Some(code.as_bytes()))?;
    Ok(code)
}

/// Makes this the claim code, unless there is one already.
pub(super) fn offer_claim_code(state: &State, code: &str) -> Result<(), Failure> {
    if state.get(StateTable::Secrets, CLAIM_CODE)?.is_none() {
        state.put(StateTable::Secrets, CLAIM_CODE, Some(code.as_bytes()))?;
    }
    Ok(())
}

/// Tells whether this is the claim code, in a time that does not tell how much of it is right.
pub(super) fn is_claim_code(state: &State, code: &str) -> Result<bool, Failure> {
    let digest = |code: &str| {
        let plain: String = code
            .chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_uppercase)
            .collect();
        store::sha256(plain.as_bytes()).0
    };
    let (given, kept) = (digest(code), digest(&claim_code(state)?));
    Ok(constant_time::verify_slices_are_equal(&given, &kept).is_ok())
}

/// Makes the change that ends the claim code.
pub(super) fn end_claim_code() -> StateChange {
    secret(CLAIM_CODE.to_owned(), None)
}

/// Gives the password for the mail server of exactly this way of outgoing mail.
pub(crate) fn outgoing_password(state: &State, route: &str) -> Result<Option<Secret>, Failure> {
    let bytes = state.get(StateTable::Secrets, &outgoing_name(route))?;
    let text = bytes.map(String::from_utf8).transpose();
    let text = text.map_err(|_| Failure::Damaged("password of the mail server".to_owned()))?;
    Ok(text.map(Secret))
}

/// Makes the change that keeps a password for the mail server of a way.
pub(super) fn put_outgoing_password(route: &str, password: &Secret) -> StateChange {
    secret(outgoing_name(route), Some(password.0.clone().into_bytes()))
}

/// Gives the removal of the passwords of all ways but these.
pub(super) fn unused_outgoing(state: &State, used: &[&str]) -> Result<Vec<StateChange>, Failure> {
    let used: Vec<String> = used.iter().map(|route| outgoing_name(route)).collect();
    let names = state.names(StateTable::Secrets)?;
    let unused = names
        .into_iter()
        .filter(|name| name.starts_with(OUTGOING_PASSWORD) && !used.contains(name));
    Ok(unused.map(|name| secret(name, None)).collect())
}

/// Gives the removal of the secrets that a change of the register closes: a password that was reset, a second factor that is
/// gone, and all of an account that cannot be used.
pub(super) fn closed(
    state: &State,
    before: &Register,
    after: &Register,
) -> Result<Vec<StateChange>, Failure> {
    let mut removed = Vec::new();
    for account in after.accounts.values() {
        let Some(old) = before.accounts.get(&account.id) else {
            continue;
        };
        let is_out = account.state != Standing::Active && old.state == Standing::Active;
        if is_reset(old, account) || account.state == Standing::Removed && is_out {
            removed.push(secret(password_name(account.id), None));
            removed.push(secret(to_be_name(account.id), None));
        }
        if old.has_second_factor && !account.has_second_factor {
            removed.push(end_second_factor(account.id));
        }
    }
    // The state file is asked only when there is something to remove.
    if removed.is_empty() {
        return Ok(removed);
    }
    let there = state.names(StateTable::Secrets)?;
    removed.retain(|(_, name, _)| there.contains(name));
    Ok(removed)
}

/// Tells whether others have set the password since.
pub(super) fn is_reset(before: &Account, after: &Account) -> bool {
    before.lock != after.lock && after.lock.is_some_and(|lock| !lock.has_own_password)
}

fn secret(name: String, value: Option<Vec<u8>>) -> StateChange {
    (StateTable::Secrets, name, value)
}

fn password_name(id: AccountId) -> String {
    format!("password {id}")
}

fn second_factor_name(id: AccountId) -> String {
    format!("second factor {id}")
}

/// A password hangs on all that says where it goes: it is never given to another server.
fn outgoing_name(route: &str) -> String {
    let digest = store::sha256(route.as_bytes());
    format!("{OUTGOING_PASSWORD}{digest}")
}

fn to_be_name(id: AccountId) -> String {
    format!("second factor to be {id}")
}

/// Makes a random code in groups.
fn code<const CHARS: usize>() -> String {
    let symbols = store::random::<CHARS>().map(|byte| CODE_ALPHABET[usize::from(byte % 32)]);
    let groups: Vec<String> = symbols
        .chunks(GROUP_CHARS)
        .map(|group| group.iter().map(|symbol| char::from(*symbol)).collect())
        .collect();
    groups.join("-")
}
