//! What two disks are to each other when they meet: a pure decision (FORMAT.md, "identity").
//!
//! A disk that *lists* the other was never written alone since both were in step: what it has alone was never acknowledged.

use crate::identity::Identity;
use crate::tip::{Comparison, Extra, Tail};

/// What happens with two disks of one archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The copy catches up, after its tail, which was never acknowledged, was set aside.
    Follow(Option<Tail>),
    /// The own disk catches up from the copy before it opens, after its tail was set aside.
    Lead(Option<Tail>),
    /// Each was written alone: neither is touched.
    Diverged,
}

/// Decides; `running` when the own disk is open already and can take nothing in.
pub(crate) fn decide(own: &Identity, copy: &Identity, found: Comparison, running: bool) -> Verdict {
    let (own_lists, copy_lists) = (own.lists(&copy.disk), copy.lists(&own.disk));
    match (found.own, found.copy) {
        (_, Extra::None) => Verdict::Follow(None),
        // Taken in as if it had been acknowledged: a valid continuation.
        (Extra::None, _) if !running => Verdict::Lead(None),
        (_, Extra::OneBatch(tail)) if copy_lists => Verdict::Follow(Some(tail)),
        (Extra::OneBatch(tail), _) if own_lists && !running => Verdict::Lead(Some(tail)),
        _ => Verdict::Diverged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: Tail = Tail {
        volume: 3,
        offset: 700,
    };

    /// Who lists whom: `o` the own disk lists the copy, `c` the copy lists the own disk.
    fn check(lists: &str, own: Extra, copy: Extra, running: bool, expected: Verdict) {
        let (mut one, mut two) = (Identity::new(), Identity::new());
        one.members.extend(lists.contains('o').then_some(two.disk));
        two.members.extend(lists.contains('c').then_some(one.disk));
        let found = Comparison { own, copy };
        let verdict = decide(&one, &two, found, running);
        assert_eq!(verdict, expected, "{lists:?} {found:?} running: {running}");
    }

    #[test]
    fn two_disks_know_what_they_are_to_each_other() {
        use Extra::{More, None as Nothing, OneBatch};
        use Verdict::{Diverged, Follow, Lead};
        let one = OneBatch(TAIL);
        for lists in ["", "o", "c", "oc"] {
            for running in [false, true] {
                check(lists, Nothing, Nothing, running, Follow(None));
                check(lists, one, Nothing, running, Follow(None));
                check(lists, More, Nothing, running, Follow(None));
            }
            check(lists, Nothing, one, false, Lead(None));
            check(lists, Nothing, More, false, Lead(None));
            check(lists, Nothing, More, true, Diverged);
            check(lists, More, More, false, Diverged);
            check(lists, More, More, true, Diverged);
        }
        // The copy was detached, or the own disk was, with a batch under way.
        check("c", More, one, false, Follow(Some(TAIL)));
        check("c", More, one, true, Follow(Some(TAIL)));
        check("c", Nothing, one, true, Follow(Some(TAIL)));
        check("o", one, More, false, Lead(Some(TAIL)));
        check("o", one, More, true, Diverged);
        check("oc", one, one, false, Follow(Some(TAIL)));
        // Each was started alone: an event at least is on either.
        check("", one, one, false, Diverged);
        check("o", More, one, false, Diverged);
        check("c", one, More, false, Diverged);
        check("", Nothing, one, true, Diverged);
    }
}
