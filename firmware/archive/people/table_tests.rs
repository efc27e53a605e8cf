//! Role × action × message, in every state of an account: what the rules let through, and what not.

use super::tests::{account, own};
use super::*;
use crate::access::{Facts, OwnAddress, Scope, may_see};
use crate::query::Query;

const ME: AccountId = AccountId(1030);
const NOW: i64 = 1_000;
const MINE: &str = "me@kanzlei.example";
const ANNA: &str = "anna@kanzlei.example";
const STRANGER: &str = "rechnung@lieferant.example";

/// Messages: name, sender, visible recipient, hidden recipient, arrival. `MINE` is mine from 100 on.
const MESSAGES: [(&str, &str, &str, &str, i64); 8] = [
    ("to me", STRANGER, MINE, "", 500),
    ("hidden to me", STRANGER, ANNA, MINE, 500),
    ("from me", MINE, STRANGER, "", 500),
    ("to me before it was my address", STRANGER, MINE, "", 99),
    ("to me after the reset", STRANGER, MINE, "", 900),
    ("Anna's, released", STRANGER, ANNA, "", 600),
    ("Anna's, not released", STRANGER, ANNA, "", 400),
    ("nobody's", STRANGER, STRANGER, "", 600),
];

const OWN: [&str; 4] = ["to me", "hidden to me", "from me", "to me after the reset"];
const RELEASED: &str = "Anna's, released";

/// A register with me in it, to whom Anna's mail of 550 to 650 is released from 800 to 2,000.
fn with_me(roles: &[Role], change: impl Fn(&mut Account)) -> Register {
    let mut me = account(ME.0);
    me.roles.extend(roles);
    me.give(&OwnAddress {
        from: Some(100),
        ..own(MINE)
    });
    change(&mut me);
    let scope = Scope {
        addresses: Some(vec![OwnAddress {
            from: Some(550),
            until: Some(650),
            ..own(ANNA)
        }]),
        numbers: None,
        query: Query::Everything,
    };
    let grant = Grant {
        number: 1,
        account: ME,
        terms: GrantTerms {
            scope,
            from: 800,
            until: 2_000,
        },
        left_s: 1_200,
        has_ended: false,
        unknown: Vec::new(),
    };
    let mut register = Register::default();
    register.accounts.insert(ME, me);
    register.grants.insert(1, grant);
    register
}

fn seen(register: &Register, now: i64) -> Vec<&'static str> {
    let asker = register.asker(ME, now);
    let sees = |&&(_, sender, visible, hidden, at): &&(&str, &str, &str, &str, i64)| {
        let facts = Facts {
            visible: &[visible],
            hidden: &[hidden],
            senders: &[sender],
            at,
            number: 1,
            found_by: &[],
        };
        may_see(&asker, &facts)
    };
    MESSAGES
        .iter()
        .filter(sees)
        .map(|message| message.0)
        .collect()
}

#[test]
fn each_role_sees_and_does_what_its_reach_says() {
    for bits in 0..16_usize {
        let chosen = Role::ALL
            .iter()
            .enumerate()
            .filter(|(index, _)| bits >> index & 1 == 1);
        let roles: Vec<Role> = chosen.map(|(_, role)| *role).collect();
        let register = with_me(&roles, |_| {});
        let seen = seen(&register, NOW);
        for action in [
            Action::ViewMail,
            Action::SearchMail,
            Action::DownloadMail,
            Action::ExportMail,
        ] {
            let expected = match register.accounts[&ME].reach(action) {
                Reach::Own => [&OWN[..], &[RELEASED]].concat(),
                Reach::Granted => vec![RELEASED],
                Reach::No => vec![],
                other => panic!("{roles:?} {action:?}: {other:?}"),
            };
            assert_eq!(seen, expected, "{roles:?} {action:?}");
        }
        let reads = roles.contains(&Role::Staff) || roles.contains(&Role::Auditor);
        assert_eq!(!seen.is_empty(), reads, "{roles:?}");
    }
}

#[test]
fn state_lock_and_time_narrow_it() {
    let staff = [Role::Staff];
    let lock = |has_own_password| {
        move |me: &mut Account| {
            me.lock = Some(Lock {
                since: 800,
                has_own_password,
            });
        }
    };
    let all = [&OWN[..], &[RELEASED]].concat();
    let check = |name, register: &Register, now, expected: &[&str]| {
        assert_eq!(seen(register, now), expected, "{name}");
    };
    check("as it is", &with_me(&staff, |_| {}), NOW, &all);
    check("before the grant", &with_me(&staff, |_| {}), 799, &OWN);
    check("after the grant", &with_me(&staff, |_| {}), 2_000, &OWN);
    let disabled = with_me(&staff, |me| me.state = State::Disabled);
    check("disabled", &disabled, NOW, &[]);
    let removed = with_me(&staff, |me| me.state = State::Removed);
    check("removed", &removed, NOW, &[]);
    check("others' password", &with_me(&staff, lock(false)), NOW, &[]);
    check(
        "old mail is closed",
        &with_me(&staff, lock(true)),
        NOW,
        &["to me after the reset"],
    );
    check(
        "grants, too",
        &with_me(&[Role::Auditor], lock(true)),
        NOW,
        &[],
    );
    let mut ended = with_me(&staff, |_| {});
    ended.grants.get_mut(&1).expect("a grant").has_ended = true;
    check("an ended grant", &ended, NOW, &OWN);
    check("no account", &Register::default(), NOW, &[]);
    for action in Action::ALL {
        assert_eq!(
            disabled.accounts[&ME].reach(action),
            Reach::No,
            "{action:?}"
        );
    }
}

/// After each change, approved by an operator and a privacy officer, from nothing up and down again.
#[test]
fn each_change_changes_just_what_it_says() {
    let mut register = with_me(&[], |me| *me = account(ME.0));
    register.grants.clear();
    for (id, role) in [(1024, Role::Operator), (1025, Role::PrivacyOfficer)] {
        let mut one = account(id);
        one.roles.insert(role);
        register.accounts.insert(one.id, one);
    }
    let period = |address| OwnAddress {
        from: Some(100),
        ..own(address)
    };
    let terms = with_me(&[], |_| {}).grants[&1].terms.clone();
    let early = OwnAddress {
        until: Some(800),
        ..own(MINE)
    };
    let staff_sees = [&OWN[..], &[RELEASED]].concat();
    let late = ["to me after the reset", RELEASED];
    let rows: [(Step, &[&str]); 12] = [
        (Step::GiveAddress(period(MINE)), &[]),
        (Step::AddRole(Role::Staff), &OWN),
        (Step::Release(terms), &staff_sees),
        (Step::AddRole(Role::Operator), &staff_sees),
        (Step::ResetPassword, &[]),
        (Step::OpenOldMail, &staff_sees),
        (Step::TakeAddress(early), &late),
        (Step::Disable, &[]),
        (Step::Enable, &late),
        (Step::EndGrant(4), &["to me after the reset"]),
        (Step::RemoveRole(Role::Staff), &[]),
        (Step::AddRole(Role::Staff), &["to me after the reset"]),
    ];
    for (step, expected) in rows {
        if step == Step::OpenOldMail {
            assert_eq!(seen(&register, NOW), [""; 0]);
            register.chose_password(ME).expect("an account");
        }
        let change = Change::Account(ME, step.clone());
        let outcome = register
            .change(AccountId(1024), change, "", NOW)
            .expect("a change");
        if let Outcome::Waits(number, _) = outcome {
            let outcome = register.approve(AccountId(1025), number, NOW);
            assert!(matches!(outcome, Ok(Outcome::Done(_))), "{step:?}");
        }
        assert_eq!(seen(&register, NOW), expected, "after {step:?}");
    }
}
