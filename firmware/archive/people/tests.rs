//! The ways around the rules, each tried.

use std::collections::BTreeSet;

use super::*;
use crate::access::{Asker, OwnAddress, Scope};
use crate::query::{Query, parse};
use crate::{Event, EventKind};

const NOW: i64 = 1_750_000_000;
const HOUR_S: u64 = 3_600;

pub(super) fn account(id: u64) -> Account {
    Account {
        id: AccountId(id),
        name: format!("name{id}"),
        display_name: format!("name{id}"),
        roles: BTreeSet::new(),
        addresses: Vec::new(),
        former: BTreeSet::new(),
        state: State::Active,
        lock: None,
        has_second_factor: false,
        settles_in_s: 0,
        unknown: Vec::new(),
    }
}

pub(super) fn own(address: &str) -> OwnAddress {
    OwnAddress {
        address: address.to_owned(),
        from: None,
        until: None,
    }
}

const OPERATOR: AccountId = AccountId(1024);
const FRIEND: AccountId = AccountId(1025);
const ANNA: AccountId = AccountId(1026);
const OFFICER: AccountId = AccountId(1027);
const ADDRESS: &str = "anna@kanzlei.example";

/// An operator, a friend of his with his own address, Anna with hers, and perhaps a privacy officer.
fn office(with_officer: bool) -> Register {
    let mut register = Register {
        latest: NOW,
        ..Register::default()
    };
    let people = [
        (OPERATOR, Role::Operator, "op@kanzlei.example"),
        (FRIEND, Role::Staff, "friend@kanzlei.example"),
        (ANNA, Role::Staff, ADDRESS),
        (OFFICER, Role::PrivacyOfficer, "officer@kanzlei.example"),
    ];
    for (id, role, address) in people.into_iter().take(if with_officer { 4 } else { 3 }) {
        let mut one = account(id.0);
        one.roles.insert(role);
        one.give(&own(address));
        register.accounts.insert(id, one);
    }
    register
}

fn give() -> Change {
    Change::Account(FRIEND, Step::GiveAddress(own(" <Anna@Kanzlei.example> ")))
}

fn grant(query: &str) -> GrantTerms {
    GrantTerms {
        scope: Scope {
            addresses: None,
            numbers: None,
            query: parse(query, 0).expect("a query").query,
        },
        from: NOW,
        until: NOW + 100_000,
    }
}

/// Proposes, and gives the number.
fn propose(register: &mut Register, by: AccountId, change: Change) -> u64 {
    match register.change(by, change, "because", NOW) {
        Ok(Outcome::Waits(number, events)) => {
            assert_eq!(events[0].kind, EventKind::ChangeProposed);
            number
        }
        other => panic!("not proposed: {other:?}"),
    }
}

fn give_notices(register: &mut Register) {
    for (number, proposal) in register.proposals.clone() {
        for notice in proposal.notices.iter().filter(|notice| !notice.is_given) {
            register
                .notice_given(number, &notice.address)
                .expect("a notice");
        }
    }
}

fn hours(register: &mut Register, hours: u64) -> Vec<Event> {
    (0..hours)
        .flat_map(|_| passes(register, HOUR_S, NOW))
        .collect()
}

fn passes(register: &mut Register, seconds: u64, now: i64) -> Vec<Event> {
    register.passes(seconds, now);
    let mut all = Vec::new();
    loop {
        let events = register.do_due();
        if events.is_empty() {
            return all;
        }
        all.extend(events);
    }
}

fn friend_has_it(register: &Register) -> bool {
    register.accounts[&FRIEND]
        .addresses
        .iter()
        .any(|own| own.address == ADDRESS)
}

fn done(outcome: Result<Outcome, Refusal>) -> Vec<Event> {
    match outcome {
        Ok(Outcome::Done(events)) => events,
        other => panic!("not done: {other:?}"),
    }
}

#[test]
fn a_second_person_makes_it_so_and_both_are_in_the_log() {
    let mut register = office(true);
    let number = propose(&mut register, OPERATOR, give());
    assert!(!friend_has_it(&register));
    let events = done(register.approve(OFFICER, number, NOW));
    assert!(friend_has_it(&register));
    assert_eq!(events[0].kind, EventKind::ChangeApproved);
    let effect = &events[1];
    assert_eq!(effect.kind, EventKind::AccountChanged);
    assert_eq!(
        (effect.account.as_str(), effect.second_person.as_str()),
        ("name1024", "name1027")
    );
    assert_eq!(effect.rule, "second person");
    assert_eq!(
        register.approve(OFFICER, number, NOW),
        Err(Refusal::Unknown),
        "only once"
    );
}

#[test]
fn without_an_officer_a_day_of_notice_makes_it_so() {
    let mut register = office(false);
    let number = propose(&mut register, OPERATOR, give());
    let told: Vec<_> = register.proposals[&number]
        .notices
        .iter()
        .map(|notice| notice.address.as_str())
        .collect();
    assert_eq!(told, [ADDRESS, "friend@kanzlei.example"]);
    hours(&mut register, 100);
    assert!(!friend_has_it(&register), "no notice, no day");
    give_notices(&mut register);
    hours(&mut register, 23);
    assert!(!friend_has_it(&register));
    let events = hours(&mut register, 1);
    assert!(friend_has_it(&register));
    assert_eq!(events[0].rule, "notice");
}

#[test]
fn whoever_is_concerned_may_object_and_nobody_else() {
    let mut register = office(false);
    let number = propose(&mut register, OPERATOR, give());
    assert_eq!(register.object(OPERATOR, number, ""), Err(Refusal::MayNot));
    give_notices(&mut register);
    register.object(ANNA, number, "mine").expect("an objection");
    hours(&mut register, 100);
    assert!(!friend_has_it(&register));
    let events = hours(&mut register, 60 * 24);
    assert_eq!(
        events[0].kind,
        EventKind::ChangeDropped,
        "and at last it lapses"
    );
}

/// What one account could do with what it has, without a second person.
#[test]
fn no_change_that_widens_takes_effect_at_once() {
    let steps = [
        Step::AddRole(Role::Staff),
        Step::AddRole(Role::PrivacyOfficer),
        Step::GiveAddress(own(ADDRESS)),
        Step::ResetPassword,
        Step::Release(grant("rechnung")),
    ];
    for with_officer in [false, true] {
        for by in [OPERATOR, OFFICER, FRIEND] {
            for whom in [OPERATOR, FRIEND, ANNA, OFFICER] {
                for step in &steps {
                    let mut register = office(with_officer);
                    let before = register.accounts.clone();
                    let change = Change::Account(whom, step.clone());
                    let outcome = register.change(by, change, "", NOW);
                    let is_in_charge = by == OPERATOR || by == OFFICER && with_officer;
                    assert!(
                        !matches!(outcome, Ok(Outcome::Done(_))),
                        "{by} {whom} {step:?}"
                    );
                    assert!(is_in_charge || outcome.is_err(), "{by} {whom} {step:?}");
                    give_notices(&mut register);
                    hours(&mut register, if with_officer { 29 * 24 } else { 23 });
                    assert_eq!(register.accounts, before, "{by} {whom} {step:?}");
                    assert!(register.grants.is_empty());
                }
            }
        }
    }
}

#[test]
fn only_a_fit_second_person_approves() {
    const SECOND: AccountId = AccountId(1028);
    let mut register = office(true);
    let mut second = account(SECOND.0);
    second.roles.insert(Role::Operator);
    register.accounts.insert(SECOND, second);
    let number = propose(&mut register, OPERATOR, give());
    for (by, refusal) in [
        (OPERATOR, Refusal::NotSecond),
        (SECOND, Refusal::NoOfficer),
        (FRIEND, Refusal::MayNot),
        (ANNA, Refusal::MayNot),
        (AccountId(9), Refusal::Unknown),
    ] {
        assert_eq!(register.approve(by, number, NOW), Err(refusal), "{by}");
    }
    let lock = Some(Lock {
        since: NOW,
        has_own_password: true,
    });
    let officer = |register: &mut Register, change: &dyn Fn(&mut Account)| {
        change(register.accounts.get_mut(&OFFICER).expect("an officer"));
    };
    officer(&mut register, &|one| one.lock = lock);
    assert_eq!(
        register.approve(OFFICER, number, NOW),
        Err(Refusal::MayNot),
        "reset by others"
    );
    officer(&mut register, &|one| {
        (one.lock, one.state) = (None, State::Disabled)
    });
    assert_eq!(
        register.approve(OFFICER, number, NOW),
        Err(Refusal::MayNot),
        "disabled"
    );
    officer(&mut register, &|one| one.state = State::Active);
    let for_himself = propose(
        &mut register,
        OPERATOR,
        Change::Account(OFFICER, Step::AddRole(Role::Staff)),
    );
    assert_eq!(
        register.approve(OFFICER, for_himself, NOW),
        Err(Refusal::NotSecond),
        "he gains"
    );
    let by_himself = propose(
        &mut register,
        OFFICER,
        Change::Account(OFFICER, Step::GiveAddress(own("x@y.example"))),
    );
    assert_eq!(
        register.approve(OPERATOR, by_himself, NOW),
        Err(Refusal::NoOfficer),
        "he gains"
    );
    let his = propose(&mut register, OFFICER, give());
    register
        .accounts
        .get_mut(&OFFICER)
        .expect("an officer")
        .lock = lock;
    assert_eq!(
        register.approve(SECOND, his, NOW),
        Err(Refusal::NotSecond),
        "his password was reset since"
    );
    officer(&mut register, &|one| one.lock = None);
    done(register.approve(SECOND, his, NOW));
    assert!(friend_has_it(&register));
}

#[test]
fn a_puppet_officer_shortens_no_notice() {
    let mut register = office(false);
    propose(
        &mut register,
        OPERATOR,
        Change::Account(FRIEND, Step::AddRole(Role::PrivacyOfficer)),
    );
    let told = &register
        .proposals
        .values()
        .next()
        .expect("a proposal")
        .notices;
    assert_eq!(told.len(), 3, "everybody is told");
    give_notices(&mut register);
    hours(&mut register, 24);
    assert!(register.accounts[&FRIEND].is(Role::PrivacyOfficer));
    let number = propose(
        &mut register,
        OPERATOR,
        Change::Account(OPERATOR, Step::GiveAddress(own(ADDRESS))),
    );
    let has_it = |register: &Register| register.accounts[&OPERATOR].knows(ADDRESS);
    assert!(matches!(
        register.approve(FRIEND, number, NOW),
        Ok(Outcome::Waits(..))
    ));
    hours(&mut register, 30);
    assert!(!has_it(&register), "no notice was given yet");
    give_notices(&mut register);
    hours(&mut register, 23);
    assert!(!has_it(&register));
    hours(&mut register, 1);
    assert!(has_it(&register));
    hours(&mut register, 7 * 24);
    let late = propose(
        &mut register,
        OPERATOR,
        Change::Account(ANNA, Step::AddRole(Role::Operator)),
    );
    done(register.approve(FRIEND, late, NOW));
}

#[test]
fn the_officer_cannot_be_got_rid_of_quickly() {
    for step in [
        Step::RemoveRole(Role::PrivacyOfficer),
        Step::Disable,
        Step::Remove,
        Step::ResetPassword,
    ] {
        let mut register = office(true);
        let change = Change::Account(OFFICER, step.clone());
        propose(&mut register, OPERATOR, change.clone());
        let waiting = propose(&mut register, OPERATOR, give());
        give_notices(&mut register);
        hours(&mut register, 30 * 24 - 1);
        let is_as_before =
            |register: &Register| register.accounts[&OFFICER] == office(true).accounts[&OFFICER];
        assert!(is_as_before(&register), "{step:?}");
        hours(&mut register, 1);
        assert!(!is_as_before(&register), "{step:?}");
        assert!(
            !friend_has_it(&register),
            "{step:?}: the other waits its own day"
        );
        assert_eq!(register.proposals[&waiting].waited_s, 0, "{step:?}");
        let mut register = office(true);
        let number = propose(&mut register, OPERATOR, change);
        give_notices(&mut register);
        register
            .object(OFFICER, number, "I am here")
            .expect("an objection");
        hours(&mut register, 59 * 24);
        assert!(is_as_before(&register), "{step:?}");
    }
}

#[test]
fn an_officer_who_is_disabled_is_still_one() {
    let mut register = office(true);
    register
        .accounts
        .get_mut(&OFFICER)
        .expect("an officer")
        .state = State::Disabled;
    propose(&mut register, OPERATOR, give());
    give_notices(&mut register);
    hours(&mut register, 59 * 24);
    assert!(!friend_has_it(&register));
}

#[test]
fn setting_the_clock_hastens_nothing() {
    let mut register = office(false);
    propose(&mut register, OPERATOR, give());
    give_notices(&mut register);
    passes(&mut register, 1, NOW + 10 * 86_400);
    passes(&mut register, u64::MAX, NOW + 20 * 86_400);
    assert!(!friend_has_it(&register));
    // A clock set back neither opens a grant again nor dates a lock back.
    let mut register = office(true);
    register.accounts.get_mut(&FRIEND).expect("a friend").roles = [Role::Auditor].into();
    let number = propose(
        &mut register,
        OPERATOR,
        Change::Account(FRIEND, Step::Release(grant("rechnung"))),
    );
    done(register.approve(OFFICER, number, NOW));
    assert!(matches!(register.asker(FRIEND, NOW), Asker::Granted { .. }));
    assert_eq!(register.asker(FRIEND, NOW + 100_000), Asker::Nobody);
    passes(&mut register, 1, NOW + 100_000);
    assert_eq!(register.asker(FRIEND, NOW), Asker::Nobody);
    let number = propose(
        &mut register,
        OPERATOR,
        Change::Account(ANNA, Step::ResetPassword),
    );
    done(register.approve(OFFICER, number, 0));
    let lock = register.accounts[&ANNA].lock.expect("a lock");
    assert_eq!(lock.since, NOW + 100_000);
}

#[test]
fn a_grant_runs_out_though_the_clock_stands_still() {
    let mut register = office(true);
    let number = propose(
        &mut register,
        OFFICER,
        Change::Account(FRIEND, Step::Release(grant("rechnung"))),
    );
    done(register.approve(OPERATOR, number, NOW));
    hours(&mut register, 27);
    assert!(matches!(register.asker(FRIEND, NOW), Asker::Granted { .. }));
    hours(&mut register, 1);
    assert!(matches!(register.asker(FRIEND, NOW), Asker::Person { .. }));
}

#[test]
fn a_reset_closes_old_mail_until_it_is_opened() {
    let mut register = office(true);
    let number = propose(
        &mut register,
        OPERATOR,
        Change::Account(ANNA, Step::ResetPassword),
    );
    assert!(
        matches!(register.asker(ANNA, NOW), Asker::Person { .. }),
        "not yet"
    );
    done(register.approve(OFFICER, number, NOW));
    assert_eq!(
        register.asker(ANNA, NOW),
        Asker::Nobody,
        "others know the password"
    );
    let open = || Change::Account(ANNA, Step::OpenOldMail);
    let early = register.change(OPERATOR, open(), "", NOW);
    assert_eq!(early, Err(Refusal::NoOwnPassword));
    register.chose_password(ANNA).expect("an account");
    let since = |register: &Register| match register.asker(ANNA, NOW) {
        Asker::Person { addresses } => addresses[0].from,
        other => panic!("{other:?}"),
    };
    assert_eq!(since(&register), Some(NOW));
    let number = propose(&mut register, ANNA, open());
    assert_eq!(register.approve(ANNA, number, NOW), Err(Refusal::MayNot));
    hours(&mut register, 48);
    assert_eq!(since(&register), Some(NOW));
    done(register.approve(OFFICER, number, NOW));
    assert_eq!(since(&register), None);
}

#[test]
fn an_account_made_anew_has_nothing() {
    let mut register = office(false);
    let (made, _) = register
        .make_account(OPERATOR, "bernd", NOW)
        .expect("an account");
    assert_eq!(made, AccountId(1027));
    assert_eq!(register.asker(made, NOW), Asker::Nobody);
    assert!(register.accounts[&made].roles.is_empty());
    done(register.change(OPERATOR, Change::Account(made, Step::Remove), "", NOW));
    let again = register.make_account(OPERATOR, "BERND", NOW);
    assert_eq!(again, Err(Refusal::Name));
    for name in ["name1026", "", " x", "a\nb", &"x".repeat(101)] {
        assert_eq!(
            register.make_account(OPERATOR, name, NOW),
            Err(Refusal::Name),
            "{name}"
        );
    }
    let (other, _) = register
        .make_account(OPERATOR, "bernd2", NOW)
        .expect("an account");
    assert_eq!(other, AccountId(1028));
    assert_eq!(
        register.make_account(ANNA, "carl", NOW),
        Err(Refusal::MayNot)
    );
}

#[test]
fn no_account_is_renamed_under_the_eyes_of_the_approver() {
    let mut register = office(true);
    let rename = |name: &str| Change::Account(FRIEND, Step::Rename(name.to_owned()));
    let waiting = propose(&mut register, OPERATOR, give());
    assert_eq!(
        register.change(OPERATOR, rename("Bernd"), "", NOW),
        Err(Refusal::Waiting)
    );
    register.withdraw(OPERATOR, waiting).expect("his own");
    assert_eq!(
        register.change(OPERATOR, rename("Name1026"), "", NOW),
        Err(Refusal::Name)
    );
    done(register.change(OPERATOR, rename("Bernd"), "", NOW));
}

#[test]
fn taking_and_disabling_is_not_undone_at_once() {
    let mut register = office(false);
    let of_anna = |step| Change::Account(ANNA, step);
    done(register.change(OPERATOR, of_anna(Step::TakeAddress(own(ADDRESS))), "", NOW));
    done(register.change(OPERATOR, of_anna(Step::Disable), "", NOW));
    assert_eq!(register.asker(ANNA, NOW), Asker::Nobody);
    propose(&mut register, OPERATOR, of_anna(Step::Enable));
    propose(
        &mut register,
        OPERATOR,
        of_anna(Step::GiveAddress(own(ADDRESS))),
    );
    for proposal in register.proposals.values() {
        let is_told = proposal
            .notices
            .iter()
            .any(|notice| notice.address == ADDRESS);
        assert!(is_told, "who lost the address is still told: {proposal:?}");
    }
}

#[test]
fn where_notices_go_changes_slowly_and_all_waiting_begins_anew() {
    let mut register = office(false);
    propose(
        &mut register,
        OPERATOR,
        Change::NoticeRoute("elsewhere".to_owned()),
    );
    give_notices(&mut register);
    hours(&mut register, 12);
    propose(&mut register, OPERATOR, give());
    give_notices(&mut register);
    assert_eq!(register.notice_route, "");
    hours(&mut register, 12);
    assert_eq!(register.notice_route, "elsewhere");
    let waiting = register.proposals.values().next().expect("the other");
    assert_eq!(register.proposals.len(), 1);
    assert!(waiting.notices.iter().all(|notice| !notice.is_given));
    hours(&mut register, 100);
    assert!(!friend_has_it(&register));
    let mut new = Register::default();
    let (first, _) = new.claim("chef", NOW).expect("a claim");
    assert_eq!(new.claim("other", NOW), Err(Refusal::MayNot));
    done(new.change(first, Change::NoticeRoute("smtp".to_owned()), "", NOW));
    assert_eq!(new.notice_route, "smtp");
}

/// The mail server is gone for good: no notice ever goes out.
#[test]
fn another_route_that_nobody_can_be_told_of_is_shown_for_30_days() {
    let check = |with_officer: bool, objector: Option<AccountId>, days: u64, expected: &str| {
        let mut register = office(with_officer);
        let route = Change::NoticeRoute("elsewhere".to_owned());
        let number = propose(&mut register, OPERATOR, route);
        assert_eq!(register.proposed_route(), Some("elsewhere"));
        for id in [FRIEND, ANNA] {
            assert_eq!(register.objectionable_for(id).len(), 1, "{id}");
        }
        assert!(register.objectionable_for(OPERATOR).is_empty(), "his own");
        let known: Vec<AccountId> = register.names_for(ANNA).into_keys().collect();
        assert_eq!(known, [OPERATOR, ANNA], "who proposed it, and herself");
        if let Some(by) = objector {
            register.object(by, number, "no").expect("an objection");
            assert_eq!(register.proposed_route(), None);
        }
        let events = hours(&mut register, days * 24);
        assert_eq!(register.notice_route, expected, "{objector:?} {days}");
        if !expected.is_empty() {
            assert_eq!(events[0].rule, "shown to everybody");
            assert_eq!(events[0].account, "name1024");
        }
    };
    check(false, None, 29, "");
    check(false, None, 30, "elsewhere");
    check(false, Some(FRIEND), 90, "");
    check(false, Some(OPERATOR), 90, "");
    check(true, None, 59, "");
}

#[test]
fn days_with_an_officer_count_for_no_route_that_is_shown() {
    let mut register = office(true);
    propose(
        &mut register,
        OPERATOR,
        Change::NoticeRoute("elsewhere".to_owned()),
    );
    hours(&mut register, 29 * 24);
    let officer = register.accounts.get_mut(&OFFICER).expect("an officer");
    officer.roles.clear();
    hours(&mut register, 29 * 24);
    assert_eq!(register.notice_route, "");
    hours(&mut register, 24);
    assert_eq!(register.notice_route, "elsewhere");
}

#[test]
fn nothing_else_takes_effect_by_being_shown() {
    let mut register = office(false);
    propose(&mut register, OPERATOR, give());
    let officer = Step::AddRole(Role::PrivacyOfficer);
    propose(&mut register, OPERATOR, Change::Account(FRIEND, officer));
    let before = register.accounts.clone();
    hours(&mut register, 59 * 24);
    assert_eq!(register.accounts, before);
}

#[test]
fn what_cannot_be_is_refused() {
    let whole = GrantTerms {
        scope: Scope {
            addresses: None,
            numbers: None,
            query: Query::Everything,
        },
        ..grant("x")
    };
    let over = GrantTerms {
        until: NOW,
        from: 0,
        ..grant("x")
    };
    let long = GrantTerms {
        until: NOW + 400 * 86_400,
        ..grant("x")
    };
    let never = OwnAddress {
        from: Some(2),
        until: Some(2),
        ..own(ADDRESS)
    };
    for (whom, step, refusal) in [
        (
            FRIEND,
            Step::GiveAddress(own("*@kanzlei.example")),
            Refusal::Unsound,
        ),
        (
            FRIEND,
            Step::GiveAddress(own("kanzlei.example")),
            Refusal::Unsound,
        ),
        (FRIEND, Step::GiveAddress(own("")), Refusal::Unsound),
        (FRIEND, Step::GiveAddress(never), Refusal::Unsound),
        (
            FRIEND,
            Step::GiveAddress(own("friend@kanzlei.example")),
            Refusal::Unsound,
        ),
        (FRIEND, Step::Release(whole), Refusal::Unsound),
        (FRIEND, Step::Release(over), Refusal::Unsound),
        (FRIEND, Step::Release(long), Refusal::Unsound),
        (FRIEND, Step::EndGrant(1), Refusal::Unsound),
        (FRIEND, Step::Enable, Refusal::Unsound),
        (FRIEND, Step::ResetSecondFactor, Refusal::Unsound),
        (FRIEND, Step::OpenOldMail, Refusal::Unsound),
        (FRIEND, Step::AddRole(Role::Staff), Refusal::Unsound),
        (FRIEND, Step::AddRole(Role::Auditor), Refusal::Roles),
        (
            OPERATOR,
            Step::AddRole(Role::PrivacyOfficer),
            Refusal::Roles,
        ),
        (OPERATOR, Step::Disable, Refusal::LastOperator),
        (OPERATOR, Step::Remove, Refusal::LastOperator),
        (
            OPERATOR,
            Step::RemoveRole(Role::Operator),
            Refusal::LastOperator,
        ),
        (AccountId(7), Step::Disable, Refusal::Unknown),
    ] {
        let mut register = office(true);
        let outcome = register.change(OPERATOR, Change::Account(whom, step.clone()), "", NOW);
        assert_eq!(outcome, Err(refusal), "{step:?}");
    }
}

#[test]
fn what_an_operator_who_left_had_proposed_is_dropped() {
    let mut register = office(false);
    let mut second = account(1030);
    second.roles.insert(Role::Operator);
    register.accounts.insert(second.id, second);
    propose(&mut register, OPERATOR, give());
    give_notices(&mut register);
    done(register.change(
        AccountId(1030),
        Change::Account(OPERATOR, Step::Disable),
        "",
        NOW,
    ));
    let events = hours(&mut register, 24);
    assert_eq!(events[0].kind, EventKind::ChangeDropped);
    assert!(!friend_has_it(&register));
}

#[test]
fn a_reset_at_the_machine_opens_nothing() {
    let mut register = office(true);
    register
        .accounts
        .get_mut(&OPERATOR)
        .expect("one")
        .roles
        .insert(Role::Staff);
    assert_eq!(register.reset_at_machine(ANNA, NOW), Err(Refusal::MayNot));
    let number = propose(&mut register, OPERATOR, give());
    register
        .reset_at_machine(OPERATOR, NOW)
        .expect("an operator");
    assert_eq!(register.asker(OPERATOR, NOW), Asker::Nobody);
    assert_eq!(
        register.approve(OFFICER, number, NOW),
        Err(Refusal::NotSecond)
    );
}

/// The log carries what changed; whoever reads it has the register.
#[test]
fn the_records_of_each_change_give_the_register() {
    let mut register = office(true);
    let mut read = Register::default();
    let mut before = Register::default();
    let mut follow = |register: &Register, step: &str| {
        let changes = register.changes_since(&before);
        for record in changes.into_iter().filter_map(|change| change.logged) {
            read.take_record(&record).expect("a record");
        }
        assert_eq!(read.text_at_rest(), register.text_at_rest(), "{step}");
        before = register.clone();
    };
    follow(&register, "the office");
    let first = propose(&mut register, OPERATOR, give());
    follow(&register, "proposed");
    give_notices(&mut register);
    follow(&register, "told");
    register.passes(HOUR_S, NOW + 5);
    follow(&register, "an hour");
    done(register.approve(OFFICER, first, NOW));
    follow(&register, "approved");
    let release = Change::Account(FRIEND, Step::Release(grant("rechnung")));
    let second = propose(&mut register, OPERATOR, release);
    done(register.approve(OFFICER, second, NOW));
    follow(&register, "released");
    let third = propose(
        &mut register,
        OPERATOR,
        Change::NoticeRoute("mail".to_owned()),
    );
    register.withdraw(OFFICER, third).expect("an officer");
    follow(&register, "withdrawn");
    let route = Change::NoticeRoute("other mail".to_owned());
    let fourth = propose(&mut register, OPERATOR, route);
    done(register.approve(OFFICER, fourth, NOW));
    follow(&register, "notices go elsewhere");
    register
        .make_account(OPERATOR, "zoe", NOW)
        .expect("an account");
    follow(&register, "made");
    assert!(read.take_record("coffer-shoe: 1\n").is_err());
}

#[test]
fn seconds_that_run_are_no_change_that_the_log_carries() {
    let mut register = office(true);
    propose(&mut register, OPERATOR, give());
    let before = register.clone();
    register.passes(HOUR_S, NOW + 5);
    let changes = register.changes_since(&before);
    assert!(!changes.is_empty());
    assert!(
        changes.iter().all(|change| change.logged.is_none()),
        "{changes:?}"
    );
}
