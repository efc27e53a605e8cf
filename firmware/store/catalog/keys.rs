//! Keys of several parts, so that what belongs together lies together and in order. Numbers in keys have 5 bytes, big-endian.

use crate::digest::sha256;
use archive::Reception;
use std::ops::RangeInclusive;

/// Length of a number in a key in bytes.
const NUMBER_BYTES: usize = 5;

/// The largest number in a key: 2^40 leaves are more than a thousand million a day for two years.
const NUMBER_MAX: u64 = (1 << (8 * NUMBER_BYTES)) - 1;

/// The beginning of the SHA-256 of where an arrival came from; zeros when it came from no place.
pub(crate) type Origin = [u8; 8];

/// Message, origin, reception.
pub(super) type ReceptionKey = [u8; 18];

/// The beginning of the SHA-256 of a Message-ID, message.
pub(super) type IdKey = [u8; 13];

/// Group, message.
pub(super) type GroupKey = [u8; 21];

/// Says where an arrival came from; arrivals from the same place have the same origin, and hardly ever others.
pub(crate) fn origin(reception: &Reception) -> Origin {
    reception.place().map_or([0; 8], |place| beginning(&place))
}

fn beginning(bytes: &[u8]) -> [u8; 8] {
    let digest = sha256(bytes);
    *digest.0.first_chunk().expect("a SHA-256 has 32 bytes")
}

pub(super) fn reception(message: u64, origin: &Origin, reception: u64) -> ReceptionKey {
    joined(&[&number(message), origin, &number(reception)])
}

pub(super) fn id(message_id: &str, message: u64) -> IdKey {
    joined(&[&beginning(message_id.as_bytes()), &number(message)])
}

pub(super) fn group(group: &[u8; 16], message: u64) -> GroupKey {
    joined(&[group, &number(message)])
}

/// Keys of all receptions of a message but the first.
pub(super) fn receptions(message: u64) -> RangeInclusive<ReceptionKey> {
    reception(message, &[0; 8], 0)..=reception(message, &[0xff; 8], NUMBER_MAX)
}

/// Keys of those of them that came from one place.
pub(super) fn receptions_from(message: u64, origin: &Origin) -> RangeInclusive<ReceptionKey> {
    reception(message, origin, 0)..=reception(message, origin, NUMBER_MAX)
}

pub(super) fn messages_with_id(message_id: &str) -> RangeInclusive<IdKey> {
    id(message_id, 0)..=id(message_id, NUMBER_MAX)
}

pub(super) fn messages_of_group(of: &[u8; 16]) -> RangeInclusive<GroupKey> {
    group(of, 0)..=group(of, NUMBER_MAX)
}

/// The number that a key ends with.
pub(super) fn last_number(key: &[u8]) -> u64 {
    let (_, number) = key.split_at(key.len() - NUMBER_BYTES);
    number
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn number(number: u64) -> [u8; NUMBER_BYTES] {
    // One beyond the largest is taken from a damaged reception only, and then found by nobody.
    let [_, _, _, bytes @ ..] = number.min(NUMBER_MAX).to_be_bytes();
    bytes
}

fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut rest = key.as_mut_slice();
    for part in parts {
        let (head, tail) = rest.split_at_mut(part.len());
        head.copy_from_slice(part);
        rest = tail;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_kind_lie_together_in_order() {
        for number in [0, 1, 255, 256, NUMBER_MAX] {
            let key = reception(7, &[3; 8], number);
            assert_eq!(last_number(&key), number);
            assert!(receptions(7).contains(&key));
            assert!(receptions_from(7, &[3; 8]).contains(&key));
            assert!(!receptions_from(7, &[4; 8]).contains(&key));
            assert!(!receptions(8).contains(&key));
            assert!(messages_with_id("a@x").contains(&id("a@x", number)));
            assert!(!messages_with_id("b@x").contains(&id("a@x", number)));
            assert!(messages_of_group(&[5; 16]).contains(&group(&[5; 16], number)));
        }
        assert!(group(&[5; 16], 255) < group(&[5; 16], 256));
    }
}
