//! What a person who is signed in does about himself and others.

use super::api_tokens::Bond;
use super::desk::{Desk, must_choose_password};
use super::kept_register::By;
use super::messages::{Act, ApiTokenTerms, AuditFilter, Denial, PeopleAnswer, Secret, Token};
use super::{audit_log, importing, secrets};
use crate::outgoing::Route;
use archive::people::{
    Account, AccountId, Action, Change, Grant, Proposal, Reach, Refusal, Register, check_password,
};
use archive::{Event, EventKind};
use store::StateChange;

/// The name of the archive, which no password is made of.
const OWN_NAME: &str = "coffer";

/// Somebody at the desk.
#[derive(Clone, Copy)]
struct Person<'p> {
    account: &'p Account,
    token: Token,
    by: By<'p>,
}

impl Desk<'_> {
    /// Does what the person of a session asks for.
    pub(super) fn act(self, token: Token, peer: &str, act: Act) -> Result<PeopleAnswer, Denial> {
        let (register, id) = self.signed_in(token)?;
        let account = &register.accounts[&id];
        let is_allowed = matches!(act, Act::SignOut | Act::ChoosePassword { .. });
        if must_choose_password(account) && !is_allowed {
            return Err(Denial::MustChoosePassword);
        }
        let by = By { actor: id.0, peer };
        let person = Person { account, token, by };
        let now = self.now();
        match act {
            Act::SignOut => self.sign_out(person),
            Act::Sessions => {
                let sessions = self.office.sessions.list(id, token, now);
                Ok(PeopleAnswer::Sessions(sessions))
            }
            Act::EndSession(session) => self.end_session(person, &session),
            Act::MakeApiToken { token, password } => self.make_api_token(person, token, &password),
            Act::ApiTokens => {
                let tokens = self.office.sessions.tokens(id, now);
                Ok(PeopleAnswer::ApiTokens(tokens))
            }
            Act::EndApiToken(token) => self.end_api_token(person, &token),
            Act::TakeAuditLog { filter, format } => self.take_audit_log(person, filter, format),
            Act::ChoosePassword { old, new } => self.choose_password(person, &old, &new),
            Act::BeginSecondFactor { password } => self.begin_second_factor(person, &password),
            Act::ConfirmSecondFactor { code } => self.confirm_second_factor(person, &code),
            Act::EndSecondFactor { password, code } => {
                self.end_second_factor(person, &password, &code)
            }
            Act::MakeAccount { name } => {
                let made = self.does(by, Vec::new(), |register| {
                    register.make_account(id, &name, now)
                })?;
                Ok(PeopleAnswer::Made(made.0))
            }
            Act::IssuePassword { account } => self.issue_password(person, AccountId(account)),
            Act::Change { change, reason } => {
                let change = Change::from_record(&change).map_err(|_| Refusal::Unsound)?;
                if matches!(&change, Change::NoticeRoute(route) if !is_route(route)) {
                    return Err(Refusal::Unsound.into());
                }
                let change = |register: &mut Register| register.change(id, change, &reason, now);
                self.changes(by, Vec::new(), change)
            }
            Act::SetOutgoing { route, password } => self.set_outgoing(person, route, password),
            Act::Approve(number) => {
                self.changes(by, Vec::new(), |register| register.approve(id, number, now))
            }
            Act::Object { proposal, reason } => {
                self.notes(by, |register| register.object(id, proposal, &reason))
            }
            Act::Withdraw(number) => self.notes(by, |register| register.withdraw(id, number)),
            Act::Accounts => Ok(records(register.accounts_for(id), Account::to_record)),
            Act::Names => {
                let names = register.names_for(id).into_iter();
                let names = names.map(|(id, name)| (id.0, name.to_owned()));
                Ok(PeopleAnswer::Names(names.collect()))
            }
            Act::Proposals => Ok(records(register.proposals_for(id), Proposal::to_record)),
            Act::Grants => Ok(records(register.grants_for(id), Grant::to_record)),
            Act::Import { table, dry_run } => importing::import(self, id, by, &table, dry_run),
            Act::AuditLog {
                before,
                limit,
                filter,
            } => audit_log::page(self.store, account, before, limit, &filter),
        }
    }

    /// Proposes another way for mail to go out; a password alone changes at once, since it only opens the same way.
    fn set_outgoing(
        self,
        person: Person,
        route: String,
        password: Option<Secret>,
    ) -> Result<PeopleAnswer, Denial> {
        if person.account.reach(Action::ChangeSettings) != Reach::Alone {
            return Err(Refusal::MayNot.into());
        }
        let register = self.register();
        let is_same = register.notice_route == route;
        if !is_route(&route) || is_same && password.is_none() {
            return Err(Refusal::Unsound.into());
        }
        let put = password.map(|password| secrets::put_outgoing_password(&route, &password));
        let mut changes: Vec<StateChange> = put.into_iter().collect();
        let state = self.store.state();
        if is_same {
            let text = "password of the outgoing mail server".to_owned();
            let kind = EventKind::SettingChanged;
            self.log(kind, person.account, person.by.peer, text)?;
            state.put_all(&changes)?;
            return Ok(PeopleAnswer::Waits(None));
        }
        let waiting = register
            .proposals
            .values()
            .filter_map(|one| match &one.change {
                Change::NoticeRoute(route) => Some(route.as_str()),
                Change::Account(..) => None,
            });
        let used = [register.notice_route.as_str(), &route];
        let used: Vec<&str> = used.into_iter().chain(waiting).collect();
        changes.extend(secrets::unused_outgoing(state, &used)?);
        let (id, now) = (person.account.id, self.now());
        self.changes(person.by, changes, |register| {
            register.change(id, Change::NoticeRoute(route), "", now)
        })
    }

    fn sign_out(self, person: Person) -> Result<PeopleAnswer, Denial> {
        let text = "signed out".to_owned();
        self.log(
            EventKind::SessionEnded,
            person.account,
            person.by.peer,
            text,
        )?;
        self.office.sessions.end(self.store.state(), person.token)?;
        Ok(PeopleAnswer::Done)
    }

    fn end_session(self, person: Person, session: &str) -> Result<PeopleAnswer, Denial> {
        let (account, sessions) = (person.account, &self.office.sessions);
        let own = sessions.list(account.id, person.token, self.now());
        if !own.iter().any(|facts| facts.id == session) {
            return Err(Refusal::Unknown.into());
        }
        let text = "ended another session".to_owned();
        self.log(EventKind::SessionEnded, account, person.by.peer, text)?;
        sessions.end_by_id(self.store.state(), account.id, session)?;
        Ok(PeopleAnswer::Done)
    }

    fn make_api_token(
        self,
        person: Person,
        terms: ApiTokenTerms,
        password: &Secret,
    ) -> Result<PeopleAnswer, Denial> {
        self.demand_password(person, password)?;
        let (id, now) = (person.account.id, self.now());
        let bond = Bond::new(&self.register(), id, terms, now)?;
        let event = Event {
            kind: EventKind::AccountChanged,
            account: person.account.name.clone(),
            peer: person.by.peer.to_owned(),
            text: format!(
                "account {id}: made a token for a program: {}, as {}, for {}",
                bond.name,
                bond.role.name(),
                bond.scope.name()
            ),
            until: Some(bond.until),
            ..Event::default()
        };
        self.store.log(id.0, event)?.wait()?;
        let (state, sessions) = (self.store.state(), &self.office.sessions);
        Ok(PeopleAnswer::ApiToken(sessions.bind(state, id, bond, now)?))
    }

    fn end_api_token(self, person: Person, token: &str) -> Result<PeopleAnswer, Denial> {
        let (account, now) = (person.account, self.now());
        let sessions = &self.office.sessions;
        let tokens = sessions.tokens(account.id, now);
        let ended = tokens.iter().find(|facts| facts.id == token);
        let name = &ended.ok_or(Refusal::Unknown)?.name;
        let text = format!("account {}: ended a token: {name}", account.id);
        self.log(EventKind::AccountChanged, account, person.by.peer, text)?;
        sessions.end_by_id(self.store.state(), account.id, token)?;
        Ok(PeopleAnswer::Done)
    }

    /// Writes into the log that somebody takes entries of it along; the pages that he asks for then have no entries of their own.
    fn take_audit_log(
        self,
        person: Person,
        filter: AuditFilter,
        format: String,
    ) -> Result<PeopleAnswer, Denial> {
        if person.account.reach(Action::ReadAuditLog) < Reach::Own {
            return Err(Refusal::MayNot.into());
        }
        let event = Event {
            kind: EventKind::Exported,
            account: person.account.name.clone(),
            peer: person.by.peer.to_owned(),
            text: format!("audit log {}", filter.account),
            rule: format,
            ..Event::default()
        };
        self.store.log(person.account.id.0, event)?.wait()?;
        Ok(PeopleAnswer::Done)
    }

    fn choose_password(
        self,
        person: Person,
        old: &Secret,
        new: &Secret,
    ) -> Result<PeopleAnswer, Denial> {
        self.demand_password(person, old)?;
        if old == new {
            return Err(Refusal::Unsound.into());
        }
        let account = person.account;
        let mut names = vec![OWN_NAME, &account.name, &account.display_name];
        names.extend(account.former.iter().map(String::as_str));
        check_password(&new.0, &names)?;
        let password = secrets::put_password(account.id, &new.0);
        self.does(person.by, vec![password], |register| {
            Ok(((), register.chose_password(account.id)?))
        })?;
        let (state, sessions) = (self.store.state(), &self.office.sessions);
        sessions.end_others(state, account.id, person.token)?;
        Ok(PeopleAnswer::Done)
    }

    fn begin_second_factor(
        self,
        person: Person,
        password: &Secret,
    ) -> Result<PeopleAnswer, Denial> {
        self.demand_password(person, password)?;
        if person.account.has_second_factor {
            return Err(Refusal::Unsound.into());
        }
        let secret = secrets::second_factor_to_be(self.store.state(), person.account.id)?;
        Ok(PeopleAnswer::SecondFactor(secret))
    }

    fn confirm_second_factor(self, person: Person, code: &str) -> Result<PeopleAnswer, Denial> {
        let id = person.account.id;
        if person.account.has_second_factor {
            return Err(Refusal::Unsound.into());
        }
        let state = self.store.state();
        let confirmed = secrets::confirm_second_factor(state, id, code, self.unix_s())?;
        let changes = confirmed.ok_or(Denial::Wrong)?;
        self.does(person.by, changes, |register| {
            Ok(((), register.chose_second_factor(id, true)?))
        })?;
        Ok(PeopleAnswer::Done)
    }

    fn end_second_factor(
        self,
        person: Person,
        password: &Secret,
        code: &str,
    ) -> Result<PeopleAnswer, Denial> {
        self.demand_password(person, password)?;
        self.demand(person, "code", || self.takes_code(person.account, code))?;
        let id = person.account.id;
        self.notes(person.by, |register| {
            register.chose_second_factor(id, false)
        })
    }

    fn issue_password(self, person: Person, id: AccountId) -> Result<PeopleAnswer, Denial> {
        let password = secrets::issued_password();
        let change = secrets::put_password(id, &password);
        self.does(person.by, vec![change], |register| {
            Ok(((), register.issue_password(person.account.id, id)?))
        })?;
        let state = self.store.state();
        self.office.sessions.end_all(state, id)?;
        Ok(PeopleAnswer::Password(Secret(password)))
    }

    /// Checks the password of who is signed in already: a screen that was left open does not do for what follows.
    fn demand_password(self, person: Person, password: &Secret) -> Result<(), Denial> {
        self.demand(person, "password", || {
            self.is_password(Some(person.account), &password.0)
        })
    }

    /// Checks what a person gives, at the door like everybody.
    fn demand(
        self,
        person: Person,
        what: &str,
        is_right: impl FnOnce() -> Result<bool, crate::keeper::Failure>,
    ) -> Result<(), Denial> {
        let mut gate = self.office.door.enter()?;
        let (name, peer, now) = (&person.account.name, person.by.peer, self.office.door.now());
        gate.may_try(name, peer, now)?;
        if is_right()? {
            return Ok(());
        }
        let unlogged = gate.failed(name, peer, now);
        self.log_failure(what, Some(person.account), peer, unlogged)?;
        Err(Denial::Wrong)
    }
}

fn records<'r, T: 'r>(all: Vec<&'r T>, to_record: impl Fn(&'r T) -> String) -> PeopleAnswer {
    PeopleAnswer::Records(all.into_iter().map(to_record).collect())
}

/// Tells whether this says where mail goes out; empty is none of one's own.
fn is_route(text: &str) -> bool {
    text.is_empty() || text.parse::<Route>().is_ok()
}
