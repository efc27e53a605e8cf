//! What is believed about the time: when the clock counts as synchronised, and how far its floor may rise.
//!
//! Decides only; `time_keeper` asks servers and sets the clock. Order in the archive is by sequence, so a clock that is set back does no harm there.

use crate::sntp::Measured;

/// 100 ms: what a clock drifts between two rounds; less is left alone.
const STEP_MIN_US: i64 = 100_000;

/// 10 seconds: a server that knows its time no better is none.
const UNCERTAINTY_MAX_US: i64 = 10_000_000;

/// What a round of questions led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What is to be added to the clock; none when it is right already.
    pub(crate) step_us: Option<i64>,
    /// How far off the clock may be then.
    pub(crate) uncertainty_ms: u32,
    /// Whether two servers agree, so that the floor may follow.
    pub(crate) is_agreed: bool,
}

/// Decides over the answers of one round, each of another server; none when no answer can be believed.
///
/// Of servers that contradict each other the largest group counts; where there is none larger than one, the first server in the order given.
pub(crate) fn decide(answers: &[Measured]) -> Option<Verdict> {
    let usable = |answer: &&Measured| answer.uncertainty_us <= UNCERTAINTY_MAX_US;
    let answers: Vec<&Measured> = answers.iter().filter(usable).collect();
    let agreeing = |one: &Measured| answers.iter().filter(|other| agree(one, other)).count();
    // The first one of the largest group.
    let best = answers.iter().rev().max_by_key(|answer| agreeing(answer))?;
    let group = answers.iter().filter(|other| agree(best, other));
    let closest = group.min_by_key(|answer| answer.uncertainty_us)?;
    let is_off = closest.offset_us.abs() > STEP_MIN_US;
    let left_us = if is_off { 0 } else { closest.offset_us.abs() };
    let uncertainty_ms = (closest.uncertainty_us + left_us) / 1000 + 1;
    Some(Verdict {
        step_us: is_off.then_some(closest.offset_us),
        uncertainty_ms: u32::try_from(uncertainty_ms).unwrap_or(u32::MAX),
        is_agreed: agreeing(best) > 1,
    })
}

/// Whether both can be right.
fn agree(one: &Measured, other: &Measured) -> bool {
    (one.offset_us - other.offset_us).abs() <= one.uncertainty_us + other.uncertainty_us
}

/// Gives the floor after time that two servers agree on, from the one that the machine started with: it rises to it, but by no more than a
/// day beyond what has passed since, so that a lie cannot carry it years ahead. It never falls.
pub(crate) fn raised_floor_s(floor_s: u64, agreed_s: u64, uptime_s: u64) -> u64 {
    const DAY_S: u64 = 24 * 60 * 60;
    agreed_s.min(floor_s + uptime_s + DAY_S).max(floor_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;

    fn check(answers: &[(i64, i64)], expected: Option<(Option<i64>, u32, bool)>) {
        let measured: Vec<_> = answers
            .iter()
            .map(|(offset_us, uncertainty_us)| Measured {
                offset_us: *offset_us,
                uncertainty_us: *uncertainty_us,
            })
            .collect();
        let verdict = decide(&measured);
        let verdict = verdict.map(|it| (it.step_us, it.uncertainty_ms, it.is_agreed));
        assert_eq!(verdict, expected, "{answers:?}");
    }

    #[test]
    fn the_largest_group_is_believed() {
        check(&[], None);
        check(&[(0, 11 * SECOND_US)], None);
        check(
            &[(5 * SECOND_US, 20_000)],
            Some((Some(5 * SECOND_US), 21, false)),
        );
        check(&[(50_000, 20_000)], Some((None, 71, false)));
        check(
            &[(5 * SECOND_US, 30_000), (5 * SECOND_US + 10_000, 20_000)],
            Some((Some(5 * SECOND_US + 10_000), 21, true)),
        );
        // Two that contradict each other: the first, and the floor does not follow.
        check(
            &[(5 * SECOND_US, 30_000), (9 * SECOND_US, 20_000)],
            Some((Some(5 * SECOND_US), 31, false)),
        );
        // One liar among three.
        check(
            &[
                (99 * SECOND_US, 1_000),
                (-SECOND_US, 30_000),
                (-SECOND_US, 20_000),
            ],
            Some((Some(-SECOND_US), 21, true)),
        );
    }

    #[test]
    fn the_floor_rises_a_day_at_most_and_never_falls() {
        let day = 86_400;
        for (floor, agreed, uptime, expected) in [
            (1_000_000, 1_000_500, 60, 1_000_500),
            (1_000_000, 9_000_000, 60, 1_000_060 + day),
            (1_000_000, 9_000_000, 30 * day, 1_000_000 + 31 * day),
            (1_000_000, 5, 60, 1_000_000),
        ] {
            assert_eq!(raised_floor_s(floor, agreed, uptime), expected);
        }
    }
}
