//! Who may see a message, and who may learn of its hidden recipients: the one rule of it (DESIGN.md invariant 9).
//!
//! An index does not ask this rule about each message that it found; it compiles the [`Filter`] of the asker into the
//! query, so that counts, facets, suggestions and corrections draw on nothing else. The functions here decide the same
//! about a single message, for showing one and for testing the index.
//!
//! Hidden are the recipients of Bcc and of the envelope alone. They are shown to the sender, and to each of them his
//! own. So a term may match a hidden recipient only by way of [`Filter::hidden_term`], or else searching would tell what
//! reading does not; the guard belongs inside the term, where it also holds under a `Not`, and hidden recipients must
//! not count in scores, snippets or facets beyond it.
//!
//! A [`Scope`] is what was released to somebody who owns no address of it, such as an auditor. Its query finds what it
//! finds for the owner, or else an exclusion (`-betriebsrat@kanzlei.example`) would let through what was sent there in
//! Bcc; but of what is released, hidden recipients are neither shown nor found.
//!
//! It knows no accounts, roles or sign-in: whoever made the [`Asker`] has seen to that, as [`crate::people`] does.

use crate::query::{Query, Text};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The command line on the host: who owns the archive's files sees all that is in them.
    Owner,
    /// A person with the addresses that are his.
    Person {
        /// His addresses; without any he sees nothing.
        addresses: Vec<OwnAddress>,
    },
    /// A person to whom something was released beside what is his.
    Granted {
        /// His addresses.
        addresses: Vec<OwnAddress>,
        /// What was released; a message passes that lies in one of them.
        scopes: Vec<Scope>,
    },
    /// Somebody who may see no message, such as the operator.
    Nobody,
}

/// What a grant releases: messages that meet every condition there is.
///
/// One without any condition releases nothing: all mail at once is never released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Messages with one of these as recipient or sender, within its time; none if the address does not matter.
    pub addresses: Option<Vec<OwnAddress>>,
    /// Messages of these sequence numbers; none if the number does not matter.
    pub numbers: Option<Vec<u64>>,
    /// Messages that this finds for the owner.
    pub query: Query,
}

/// An address that belongs to somebody, from a time to a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The address.
    pub address: String,
    /// The first second at which it is his, in Unix seconds; none if it always was.
    pub from: Option<i64>,
    /// The first second at which it is no longer his, in Unix seconds; none if it still is.
    pub until: Option<i64>,
}

/// What the rule asks of a message; the addresses are compared as [`mail::normal_address`] has them.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'m> {
    /// Recipients that everybody who sees the message may see: To, Cc and the like.
    pub visible: &'m [&'m str],
    /// Recipients of Bcc or of the envelope alone.
    pub hidden: &'m [&'m str],
    /// Authors and senders, as far as their source is believed: a forged From makes nobody a sender.
    pub senders: &'m [&'m str],
    /// When the message was first taken in, or when its source says it arrived if it was imported; in Unix seconds.
    ///
    /// It decides to whose time an address belongs, so it must not come from the Date field of a stranger.
    pub at: i64,
    /// Its sequence number.
    pub number: u64,
    /// Those queries of the asker's scopes that find it for the owner.
    pub found_by: &'m [Query],
}

/// The rule for one asker, ready to be compiled into a query; its addresses are normal and none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All messages.
    Everything,
    /// No message.
    Nothing,
    /// Messages with one of these addresses as visible recipient, hidden recipient or sender, within its time.
    Own(Vec<OwnAddress>),
    /// The same, and messages that were released.
    Granted {
        /// The own addresses; there may be none.
        own: Vec<OwnAddress>,
        /// What was released, at least one.
        scopes: Vec<Scope>,
    },
}

/// How far a term may be looked for among hidden recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HiddenTerm<'f> {
    /// Everywhere.
    Free,
    /// Nowhere.
    Never,
    /// In messages with one of `senders` as sender within its time; and whatever the sender, a message matches that
    /// has one of `own` as hidden recipient within its time.
    Guarded {
        /// All addresses of the asker.
        senders: &'f [OwnAddress],
        /// Those of them that the term itself matches.
        own: Vec<&'f OwnAddress>,
    },
}

/// Tells whether the asker may see a message.
pub fn may_see(asker: &Asker, facts: &Facts<'_>) -> bool {
    asker.filter().admits(facts)
}

/// Gives the hidden recipients of a message that the asker may see; none of a message that he may not see.
pub fn hidden_recipients_shown<'m>(asker: &Asker, facts: &Facts<'m>) -> Vec<&'m str> {
    let is_shown = |filter: &Filter, hidden: &str| match filter {
        Filter::Everything => true,
        Filter::Nothing => false,
        Filter::Own(own) | Filter::Granted { own, .. } => {
            any_own(own, facts.senders, facts.at) || any_own(own, &[hidden], facts.at)
        }
    };
    let filter = asker.filter();
    if !filter.admits(facts) {
        return Vec::new();
    }
    facts
        .hidden
        .iter()
        .copied()
        .filter(|hidden| is_shown(&filter, hidden))
        .collect()
}

impl Asker {
    /// Gives the filter that every query of this asker must carry.
    pub fn filter(&self) -> Filter {
        match self {
            Self::Owner => Filter::Everything,
            Self::Nobody => Filter::Nothing,
            Self::Person { addresses } => Filter::of(own(addresses), Vec::new()),
            Self::Granted { addresses, scopes } => {
                let normal = scopes.iter().filter(|scope| scope.is_bounded());
                Filter::of(own(addresses), normal.map(Scope::normal).collect())
            }
        }
    }
}

impl Scope {
    /// Tells whether it has a condition at all.
    pub fn is_bounded(&self) -> bool {
        self.addresses.is_some() || self.numbers.is_some() || self.query != Query::Everything
    }

    /// Tells whether a message lies in it, whose addresses are normal.
    fn admits(&self, facts: &Facts<'_>) -> bool {
        let by_address = |own: &Vec<OwnAddress>| any_of_message(own, facts);
        self.addresses.as_ref().is_none_or(by_address)
            && (self.numbers.as_ref()).is_none_or(|numbers| numbers.contains(&facts.number))
            && (self.query == Query::Everything || facts.found_by.contains(&self.query))
    }

    fn normal(&self) -> Self {
        Self {
            addresses: self.addresses.as_deref().map(own),
            ..self.clone()
        }
    }
}

impl OwnAddress {
    /// Tells whether the address is his at that time, in Unix seconds.
    pub fn is_own_at(&self, at: i64) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    fn normal(&self) -> Self {
        Self {
            address: mail::normal_address(&self.address),
            ..*self
        }
    }
}

impl Filter {
    fn of(own: Vec<OwnAddress>, scopes: Vec<Scope>) -> Self {
        match (own.is_empty(), scopes.is_empty()) {
            (true, true) => Self::Nothing,
            (false, true) => Self::Own(own),
            (_, false) => Self::Granted { own, scopes },
        }
    }

    /// Tells whether a message passes.
    pub fn admits(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Nothing => false,
            Self::Own(own) => any_of_message(own, facts),
            Self::Granted { own, scopes } => {
                any_of_message(own, facts) || scopes.iter().any(|scope| scope.admits(facts))
            }
        }
    }

    /// Tells how far a text may be looked for among hidden recipients.
    pub fn hidden_term(&self, text: &Text) -> HiddenTerm<'_> {
        match self {
            Self::Everything => HiddenTerm::Free,
            Self::Nothing => HiddenTerm::Never,
            Self::Own(senders) | Self::Granted { own: senders, .. } => HiddenTerm::Guarded {
                senders,
                own: senders
                    .iter()
                    .filter(|own| text.matches(&own.address))
                    .collect(),
            },
        }
    }
}

impl HiddenTerm<'_> {
    /// Tells whether a message has a hidden recipient that the text finds for the asker.
    pub fn finds(&self, text: &Text, facts: &Facts<'_>) -> bool {
        let any_matches = || facts.hidden.iter().any(|hidden| text.matches(hidden));
        match self {
            Self::Free => any_matches(),
            Self::Never => false,
            Self::Guarded { senders, own } => {
                any_own(*senders, facts.senders, facts.at) && any_matches()
                    || any_own(own.iter().copied(), facts.hidden, facts.at)
            }
        }
    }
}

/// Gives the addresses in normal form; an empty one would match the null reverse-path (RFC 5321 §4.5.5).
fn own(addresses: &[OwnAddress]) -> Vec<OwnAddress> {
    let normal = addresses.iter().map(OwnAddress::normal);
    normal.filter(|own| !own.address.is_empty()).collect()
}

/// Tells whether a message has an own address, visible or hidden or as sender.
fn any_of_message(own: &[OwnAddress], facts: &Facts<'_>) -> bool {
    [facts.visible, facts.hidden, facts.senders]
        .iter()
        .any(|addresses| any_own(own, addresses, facts.at))
}

/// Tells whether one of the addresses is an own one at that time.
fn any_own<'o>(own: impl IntoIterator<Item = &'o OwnAddress>, addresses: &[&str], at: i64) -> bool {
    let normal: Vec<String> = addresses
        .iter()
        .map(|address| mail::normal_address(address))
        .collect();
    own.into_iter()
        .any(|own| own.is_own_at(at) && normal.contains(&own.address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Field, Match};

    const ANNA: &str = "anna@kanzlei.example";
    const BERND: &str = "bernd@kanzlei.example";
    const CHEF: &str = "chef@kanzlei.example";
    const INFO: &str = "info@kanzlei.example";
    const STRANGER: &str = "rechnung@lieferant.example";

    fn own(address: &str, from: Option<i64>, until: Option<i64>) -> OwnAddress {
        OwnAddress {
            address: address.to_owned(),
            from,
            until,
        }
    }

    fn person(address: &str) -> Asker {
        Asker::Person {
            addresses: vec![own(address, None, None)],
        }
    }

    /// Info belonged to somebody from second 100 to before second 200.
    fn info_for_a_time() -> Asker {
        Asker::Person {
            addresses: vec![own(INFO, Some(100), Some(200))],
        }
    }

    fn facts<'m>(
        senders: &'m [&'m str],
        visible: &'m [&'m str],
        hidden: &'m [&'m str],
        at: i64,
    ) -> Facts<'m> {
        Facts {
            visible,
            hidden,
            senders,
            at,
            number: 7,
            found_by: &[],
        }
    }

    #[test]
    fn each_role_sees_its_messages_and_its_hidden_recipients() {
        let letter = facts(&[STRANGER], &[ANNA], &[BERND, CHEF], 150);
        let sent = facts(&[ANNA], &[STRANGER], &[BERND, CHEF], 150);
        let to_info = |at| facts(&[STRANGER], &[INFO], &[CHEF], at);
        let bounce = facts(&[""], &[""], &[CHEF], 150);
        let spelt = facts(&[" <ANNA@Kanzlei.Example> "], &[], &[BERND], 150);
        let several = Asker::Person {
            addresses: vec![own(CHEF, None, None), own(BERND, Some(151), None)],
        };
        let empty = Asker::Person {
            addresses: vec![own("", None, None), own(" <> ", None, None)],
        };
        let none = Asker::Person { addresses: vec![] };
        let rows: [(&str, &Asker, Facts<'_>, bool, &[&str]); 24] = [
            (
                "the owner sees all",
                &Asker::Owner,
                letter,
                true,
                &[BERND, CHEF],
            ),
            (
                "the owner sees bounces",
                &Asker::Owner,
                bounce,
                true,
                &[CHEF],
            ),
            ("nobody sees nothing", &Asker::Nobody, letter, false, &[]),
            ("nobody sees no bounce", &Asker::Nobody, bounce, false, &[]),
            (
                "a visible recipient sees no hidden one",
                &person(ANNA),
                letter,
                true,
                &[],
            ),
            (
                "a hidden recipient sees himself",
                &person(BERND),
                letter,
                true,
                &[BERND],
            ),
            ("so does the other", &person(CHEF), letter, true, &[CHEF]),
            (
                "a colleague sees nothing",
                &person(INFO),
                letter,
                false,
                &[],
            ),
            (
                "the sender sees all hidden ones",
                &person(ANNA),
                sent,
                true,
                &[BERND, CHEF],
            ),
            (
                "the hidden one of a sent mail sees himself",
                &person(BERND),
                sent,
                true,
                &[BERND],
            ),
            (
                "the stranger sees what he got",
                &person(STRANGER),
                sent,
                true,
                &[],
            ),
            (
                "only addresses of that time count",
                &several,
                letter,
                true,
                &[CHEF],
            ),
            (
                "before his time",
                &info_for_a_time(),
                to_info(99),
                false,
                &[],
            ),
            (
                "the first second of his time",
                &info_for_a_time(),
                to_info(100),
                true,
                &[],
            ),
            (
                "the last second of his time",
                &info_for_a_time(),
                to_info(199),
                true,
                &[],
            ),
            (
                "after his time",
                &info_for_a_time(),
                to_info(200),
                false,
                &[],
            ),
            ("no address", &none, letter, false, &[]),
            ("an empty address is no sender", &empty, bounce, false, &[]),
            (
                "an empty address sees no letter",
                &empty,
                letter,
                false,
                &[],
            ),
            (
                "spelling does not matter",
                &person("Anna@KANZLEI.example"),
                spelt,
                true,
                &[BERND],
            ),
            (
                "part of an address is no address",
                &person("a@kanzlei.example"),
                letter,
                false,
                &[],
            ),
            (
                "a host is no address",
                &person("kanzlei.example"),
                letter,
                false,
                &[],
            ),
            (
                "accents matter",
                &person("ánna@kanzlei.example"),
                letter,
                false,
                &[],
            ),
            (
                "a bounce is seen by whom it reaches",
                &person(CHEF),
                bounce,
                true,
                &[CHEF],
            ),
        ];
        for (name, asker, facts, sees, hidden) in rows {
            assert_eq!(may_see(asker, &facts), sees, "{name}");
            assert_eq!(hidden_recipients_shown(asker, &facts), hidden, "{name}");
        }
    }

    #[test]
    fn a_term_finds_a_hidden_recipient_only_where_it_is_shown() {
        let text = |text: &str, matching| Text {
            field: Field::Bcc,
            text: text.to_owned(),
            matching,
        };
        let letter = facts(&[STRANGER], &[ANNA], &[BERND, CHEF], 150);
        let sent = facts(&[ANNA], &[STRANGER], &[BERND, CHEF], 150);
        for (asker, term, matching, facts, expected) in [
            (Asker::Owner, "bernd", Match::Words, letter, true),
            (Asker::Nobody, "bernd", Match::Words, letter, false),
            (person(ANNA), "bernd", Match::Words, letter, false),
            (person(ANNA), "kanzlei.example", Match::Words, letter, false),
            (person(ANNA), "bernd", Match::Words, sent, true),
            (person(ANNA), "b", Match::Prefix, sent, true),
            (person(ANNA), "anna", Match::Words, sent, false),
            (person(BERND), "bernd", Match::Words, letter, true),
            (person(BERND), "kanzlei.example", Match::Words, letter, true),
            (person(BERND), "chef", Match::Words, letter, false),
            (person(BERND), "ch", Match::Prefix, letter, false),
            (person(INFO), "chef", Match::Words, letter, false),
        ] {
            let text = text(term, matching);
            let found = asker.filter().hidden_term(&text).finds(&text, &facts);
            assert_eq!(found, expected, "{asker:?} {text:?} {facts:?}");
        }
    }

    #[test]
    fn a_grant_shows_its_scope_and_no_hidden_recipient() {
        let scope = |addresses: Option<&str>, numbers: Option<&[u64]>, query| Scope {
            addresses: addresses.map(|address| vec![own(address, Some(100), Some(200))]),
            numbers: numbers.map(<[u64]>::to_vec),
            query,
        };
        let all = || Query::Everything;
        let found = || Query::LargerThan(1);
        for (name, scope, at, sees) in [
            (
                "an address",
                scope(Some("<BERND@kanzlei.example>"), None, all()),
                150,
                true,
            ),
            (
                "before its time",
                scope(Some(BERND), None, all()),
                99,
                false,
            ),
            (
                "after its time",
                scope(Some(BERND), None, all()),
                200,
                false,
            ),
            (
                "another address",
                scope(Some(INFO), None, all()),
                150,
                false,
            ),
            ("an empty address", scope(Some(""), None, all()), 150, false),
            ("a number", scope(None, Some(&[6, 7]), all()), 150, true),
            ("another number", scope(None, Some(&[6]), all()), 150, false),
            ("no number", scope(None, Some(&[]), all()), 150, false),
            (
                "a query that finds it",
                scope(None, None, found()),
                150,
                true,
            ),
            (
                "one that does not",
                scope(None, None, Query::LargerThan(2)),
                150,
                false,
            ),
            (
                "all conditions",
                scope(Some(ANNA), Some(&[7]), found()),
                150,
                true,
            ),
            (
                "all but one",
                scope(Some(ANNA), Some(&[8]), found()),
                150,
                false,
            ),
            ("no condition", scope(None, None, all()), 150, false),
        ] {
            let letter = Facts {
                found_by: &[found()],
                ..facts(&[STRANGER], &[ANNA], &[BERND, CHEF, ""], at)
            };
            let scopes = vec![scope];
            let auditor = Asker::Granted {
                addresses: vec![],
                scopes: scopes.clone(),
            };
            assert_eq!(may_see(&auditor, &letter), sees, "{name}");
            assert_eq!(
                hidden_recipients_shown(&auditor, &letter),
                [""; 0],
                "{name}"
            );
            let deputy = Asker::Granted {
                addresses: vec![own(CHEF, None, None)],
                scopes,
            };
            assert!(may_see(&deputy, &letter), "{name}: what is his stays his");
            assert_eq!(hidden_recipients_shown(&deputy, &letter), [CHEF], "{name}");
        }
    }

    /// Every message of three addresses, asked for by every kind of asker: the rules agree with each other.
    #[test]
    fn what_is_found_or_shown_is_seen() {
        const ALL: [&str; 3] = [ANNA, BERND, INFO];
        let subset = |bits: usize| -> Vec<&str> {
            ALL.iter()
                .enumerate()
                .filter(|(index, _)| bits >> index & 1 == 1)
                .map(|(_, address)| *address)
                .collect()
        };
        let both = Asker::Person {
            addresses: vec![own(ANNA, None, Some(150)), own(INFO, Some(100), Some(200))],
        };
        let askers = [
            Asker::Owner,
            Asker::Nobody,
            person(ANNA),
            person(CHEF),
            info_for_a_time(),
            both,
            Asker::Granted {
                addresses: vec![own(BERND, None, Some(150))],
                scopes: vec![Scope {
                    addresses: Some(vec![own(ANNA, None, None)]),
                    numbers: None,
                    query: Query::Everything,
                }],
            },
        ];
        let terms = ["anna", "bernd", "kanzlei.example", "info@kanzlei.example"];
        let mut found = 0;
        for case in 0..512 {
            let (visible, hidden, senders) = (subset(case), subset(case >> 3), subset(case >> 6));
            for at in [50, 149, 150, 250] {
                let facts = facts(&senders, &visible, &hidden, at);
                for asker in &askers {
                    let shown = hidden_recipients_shown(asker, &facts);
                    assert!(
                        shown.is_empty() || may_see(asker, &facts),
                        "{asker:?} {facts:?}"
                    );
                    for term in terms {
                        let text = Text {
                            field: Field::Bcc,
                            text: term.to_owned(),
                            matching: Match::Words,
                        };
                        let finds = asker.filter().hidden_term(&text).finds(&text, &facts);
                        let expected = shown.iter().any(|address| text.matches(address));
                        assert_eq!(finds, expected, "{asker:?} {term} {facts:?}");
                        found += usize::from(finds);
                    }
                }
            }
        }
        assert!(found > 1000, "too few terms were found: {found}");
    }
}
