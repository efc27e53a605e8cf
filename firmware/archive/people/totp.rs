//! One-time passwords by time (RFC 6238): six digits every 30 seconds, each good once. The HMAC-SHA-1 comes in.

/// 30 seconds a step (RFC 6238 §5.2), the only one that all authenticator apps know.
pub const TOTP_STEP_S: u64 = 30;

/// One step before and after (RFC 6238 §5.2), for slow fingers and clocks that differ.
const STEPS_BESIDE: u64 = 1;

/// Six digits, the only length that all authenticator apps know.
const MODULUS: u32 = 1_000_000;

/// What must be kept of a second factor beside its secret: no code is accepted twice (RFC 6238 §5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totp {
    /// The step of the last code accepted; none if there was none yet.
    pub last_step: Option<u64>,
}

impl Totp {
    /// Tells whether a code is right at a time, and if so gives what is to be kept before anybody is let in.
    ///
    /// `hmac_sha1` is the HMAC of the eight bytes under the secret.
    pub fn accept(
        self,
        code: &str,
        now_unix_s: u64,
        hmac_sha1: impl Fn([u8; 8]) -> [u8; 20],
    ) -> Option<Self> {
        let now = now_unix_s / TOTP_STEP_S;
        let steps = now.saturating_sub(STEPS_BESIDE)..=now.saturating_add(STEPS_BESIDE);
        // All steps are tried, so that the time taken does not tell which one was right.
        let right = steps
            .filter(|step| digits(hmac_sha1(step.to_be_bytes())) == code)
            .max();
        let step = right.filter(|step| self.last_step.is_none_or(|last| last < *step))?;
        Some(Self {
            last_step: Some(step),
        })
    }
}

/// Cuts a code out of an HMAC (RFC 4226 §5.3).
fn digits(hmac: [u8; 20]) -> String {
    let offset = usize::from(hmac[19] & 0xf);
    let cut = hmac[offset..offset + 4]
        .iter()
        .fold(0, |all, byte| all << 8 | u32::from(*byte));
    format!("{:06}", (cut & 0x7fff_ffff) % MODULUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4226 Appendix D: HMAC-SHA-1 of the counts 0 to 9 under "12345678901234567890", and their codes.
    const VECTORS: [(&str, &str); 10] = [
        ("cc93cf18508d94934c64b65d8ba7667fb7cde4b0", "755224"),
        ("75a48a19d4cbe100644e8ac1397eea747a2d33ab", "287082"),
        ("0bacb7fa082fef30782211938bc1c5e70416ff44", "359152"),
        ("66c28227d03a2d5529262ff016a1e6ef76557ece", "969429"),
        ("a904c900a64b35909874b33e61c5938a8e15ed1c", "338314"),
        ("a37e783d7b7233c083d4f62926c7a25f238d0316", "254676"),
        ("bc9cd28561042c83f219324d3c607256c03272ae", "287922"),
        ("a4fb960c0bc06e1eabb804e5b397cdc4b45596fa", "162583"),
        ("1b3c89f65e6c9e883012052823443f048b4332db", "399871"),
        ("1637409809a679dc698207310c8c7fc07290d9e5", "520489"),
    ];

    fn hmac(count: [u8; 8]) -> [u8; 20] {
        let count = usize::try_from(u64::from_be_bytes(count)).expect("a count");
        let text = VECTORS[count.min(9)].0;
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex"))
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (count, (_, code)) in VECTORS.iter().enumerate() {
            assert_eq!(digits(hmac((count as u64).to_be_bytes())), *code, "{count}");
        }
    }

    #[test]
    fn a_code_is_good_once_and_near_its_time() {
        let last = |last_step| Totp { last_step };
        for (kept, code, now, expected) in [
            (None, "287082", 59, Some(1)),
            (None, "287082", 30, Some(1)),
            (None, "287082", 0, Some(1)),
            (None, "287082", 89, Some(1)),
            (None, "287082", 90, None),
            (None, "755224", 59, Some(0)),
            (None, "755224", 60, None),
            (Some(1), "287082", 59, None),
            (Some(2), "287082", 59, None),
            (Some(0), "287082", 59, Some(1)),
            (Some(1), "359152", 59, Some(2)),
            (None, "", 59, None),
            (None, "28708", 59, None),
            (None, " 287082", 59, None),
            (None, "000000", 59, None),
        ] {
            let found = last(kept).accept(code, now, hmac);
            assert_eq!(
                found,
                expected.map(|step| last(Some(step))),
                "{kept:?} {code} {now}"
            );
        }
    }
}
