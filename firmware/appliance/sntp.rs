//! Asking a time server (SNTP, RFC 4330; packets of RFC 5905): what a packet says, without socket or clock.
//!
//! Times are microseconds since 1970. Nobody's signature stands under such an answer; what follows from it is decided in `clock`.

/// Bytes of a packet without extensions.
pub(crate) const PACKET_BYTES: usize = 48;

/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_EPOCH_S: i64 = 2_208_988_800;

/// 2^32 seconds: NTP's time begins anew in 2036.
const ERA_S: i64 = 1 << 32;

/// What an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// What is to be added to our clock.
    pub(crate) offset_us: i64,
    /// How far off that can be: half the way there and back, and what the server says of its own way to the root.
    pub(crate) uncertainty_us: i64,
}

/// Makes a question; the 8 bytes come back in the answer and tell it from others.
pub(crate) fn question(cookie: [u8; 8]) -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    packet[0] = 0b00_100_011; // version 4, client
    packet[40..].copy_from_slice(&cookie);
    packet
}

/// Reads the answer to a question that left at one time and came back at another, both by our clock; none if it cannot be used.
pub(crate) fn answer(
    packet: &[u8],
    cookie: [u8; 8],
    sent_us: i64,
    came_us: i64,
) -> Option<Measured> {
    let packet: &[u8; PACKET_BYTES] = packet.get(..PACKET_BYTES)?.try_into().ok()?;
    let is_synchronised = packet[0] >> 6 != 3;
    let is_server = packet[0] & 7 == 4;
    // Stratum 0 says go away (RFC 5905 §7.4), 16 that it has no time.
    let has_time = (1..16).contains(&packet[1]);
    if !is_synchronised || !is_server || !has_time || packet[24..32] != cookie {
        return None;
    }
    let (received, left) = (time_us(&packet[32..40])?, time_us(&packet[40..48])?);
    let way_us = (came_us - sent_us) - (left - received);
    let root_us = short_us(&packet[4..8]) / 2 + short_us(&packet[8..12]);
    (way_us >= 0 && left >= received).then(|| Measured {
        offset_us: ((received - sent_us) + (left - came_us)) / 2,
        uncertainty_us: way_us / 2 + root_us,
    })
}

/// A time stamp of 32 bits seconds and 32 bits fraction; none for zero, which is "unknown".
fn time_us(bytes: &[u8]) -> Option<i64> {
    let seconds = i64::from(u32::from_be_bytes(bytes[..4].try_into().ok()?));
    let fraction = u64::from(u32::from_be_bytes(bytes[4..].try_into().ok()?));
    if seconds == 0 && fraction == 0 {
        return None;
    }
    // Before 1968 of the first era is after 2036 of the second (RFC 4330 §3).
    let era = if seconds < ERA_S / 2 { ERA_S } else { 0 };
    let fraction_us = ((fraction * 1_000_000) >> 32) as i64;
    Some((seconds + era - NTP_EPOCH_S) * 1_000_000 + fraction_us)
}

/// A length of time of 16 bits seconds and 16 bits fraction.
fn short_us(bytes: &[u8]) -> i64 {
    let number = bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | i64::from(*byte));
    (number * 1_000_000) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: [u8; 8] = *b"01234567";
    const NOW_US: i64 = 1_800_000_000_000_000;

    /// What a server sends whose clock is that much ahead of ours.
    fn packet(ahead_us: i64, works_us: i64) -> [u8; PACKET_BYTES] {
        let stamp = |us: i64| {
            let seconds = (us.div_euclid(1_000_000) + NTP_EPOCH_S) % ERA_S;
            let fraction = ((us.rem_euclid(1_000_000) as u64) << 32).div_ceil(1_000_000) as u32;
            [(seconds as u32).to_be_bytes(), fraction.to_be_bytes()].concat()
        };
        let mut packet = [0; PACKET_BYTES];
        packet[0] = 0b00_100_100;
        packet[1] = 2;
        packet[8..12].copy_from_slice(&[0, 0, 0x80, 0]); // half a second to the root
        packet[24..32].copy_from_slice(&COOKIE);
        packet[32..40].copy_from_slice(&stamp(NOW_US + ahead_us + 10_000));
        packet[40..48].copy_from_slice(&stamp(NOW_US + ahead_us + 10_000 + works_us));
        packet
    }

    fn read(packet: &[u8]) -> Option<Measured> {
        answer(packet, COOKIE, NOW_US, NOW_US + 25_000)
    }

    #[test]
    fn the_difference_of_two_clocks_is_measured() {
        let day_us = 86_400_000_000;
        for ahead_us in [0, 1, -1, 3_000_000, -20_000 * day_us, 9_000 * day_us] {
            // 10 ms there, 5 ms of work, 10 ms back.
            let measured = read(&packet(ahead_us, 5_000)).expect("an answer");
            assert_eq!(measured.offset_us, ahead_us);
            assert_eq!(measured.uncertainty_us, 10_000 + 500_000);
        }
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_none() {
        let change = |at: usize, byte: u8| {
            let mut packet = packet(0, 0);
            packet[at] = byte;
            packet.to_vec()
        };
        for (what, packet) in [
            ("not synchronised", change(0, 0b11_100_100)),
            ("no server", change(0, 0b00_100_011)),
            ("go away", change(1, 0)),
            ("no time", change(1, 16)),
            ("another question", change(24, b'x')),
            ("cut off", packet(0, 0)[..47].to_vec()),
            ("works longer than it took", packet(0, 26_000).to_vec()),
            ("leaves before it comes", packet(0, -1_000).to_vec()),
        ] {
            assert_eq!(read(&packet), None, "{what}");
        }
        let mut unknown = packet(0, 0);
        unknown[40..].fill(0);
        assert_eq!(read(&unknown), None);
    }

    #[test]
    fn a_question_is_a_client_s() {
        let packet = question(COOKIE);
        assert_eq!(packet[0], 0x23);
        assert_eq!(packet[40..], COOKIE);
        assert!(packet[1..40].iter().all(|byte| *byte == 0));
    }
}
