//! Where the keeper answers questions about people: who asks is checked, what he may is asked of the rules, what he did is in
//! the log before it counts.

use super::door::Door;
use super::kept_register::{By, KeptRegister};
use super::messages::{
    Denial, Entered, Entering, NoticeDue, PeopleAnswer, PeopleRequest, Secret, Session, Token,
    Visitor,
};
use super::secrets;
use super::sessions::Sessions;
use crate::accounts;
use crate::keeper::Failure;
use crate::keeper::messages::WireAsker;
use crate::outgoing;
use archive::people::{
    Account, AccountId, Change, Outcome, Proposal, Refusal, Register, Role, State, check_password,
};
use archive::{Asker, Event, EventKind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use store::{StateChange, Store};

/// The name under which failures to claim count.
const CLAIMING: &str = "";

/// The people of an open archive; read from the log when the first question comes.
#[derive(Default)]
pub(crate) struct Office {
    opening: Mutex<()>,
    open: OnceLock<OpenOffice>,
}

pub(super) struct OpenOffice {
    /// Whoever changes the register holds it.
    register: Mutex<KeptRegister>,
    /// The register in effect, for everybody else.
    in_effect: RwLock<Arc<Register>>,
    pub(super) sessions: Sessions,
    pub(super) door: Door,
}

/// A person who is signed in, and asks about mail.
pub(crate) struct Seeing<'a> {
    sessions: &'a Sessions,
    token: Token,
    /// His account.
    pub(crate) account: AccountId,
    /// Its name.
    pub(crate) name: String,
    /// What he may see.
    pub(crate) asker: Asker,
    /// What he calls the token that a program asks with for him; none when he asks himself.
    pub(crate) program: Option<String>,
    now: i64,
}

impl Seeing<'_> {
    /// Tells whether the log says already that he has this message on his page.
    pub(crate) fn has_before_him(&self, number: u64) -> bool {
        self.sessions.has_before_him(self.token, number, self.now)
    }

    /// Notes that the log says that he has this message on his page.
    pub(crate) fn shows(&self, number: u64) {
        self.sessions.shows(self.token, number, self.now);
    }

    /// Notes what he takes along, under the number of its entry in the log.
    pub(crate) fn exports(&self, export: u64, numbers: &[u64]) {
        self.sessions.exports(self.token, export, numbers);
    }

    /// Tells whether a message is in any of his exports, the log of which has it.
    pub(crate) fn is_taken_along(&self, number: u64) -> bool {
        self.sessions.is_taken_along(self.token, number)
    }

    /// Tells whether a message is one of those of an export of his.
    pub(crate) fn is_exported(&self, export: u64, number: u64) -> bool {
        self.sessions.is_exported(self.token, export, number)
    }
}

/// The office together with the archive whose people it knows.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(super) store: &'a Store,
    pub(super) office: &'a OpenOffice,
}

impl Office {
    /// Opens the desk.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub(crate) fn desk<'a>(&'a self, store: &'a Store) -> Result<Desk<'a>, Failure> {
        if let Some(office) = self.open.get() {
            return Ok(Desk { store, office });
        }
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let office = match self.open.get() {
            Some(office) => office,
            None => {
                let register = KeptRegister::load(store)?;
                let open = OpenOffice {
                    in_effect: RwLock::new(register.in_effect()),
                    register: Mutex::new(register),
                    sessions: Sessions::load(store.state())?,
                    door: Door::new(),
                };
                self.open.get_or_init(|| open)
            }
        };
        Ok(Desk { store, office })
    }
}

impl<'a> Desk<'a> {
    /// Answers a question about people.
    pub(crate) fn answer(self, request: PeopleRequest) -> PeopleAnswer {
        let answer = match request {
            PeopleRequest::IsClaimed => Ok(PeopleAnswer::IsClaimed(self.is_claimed())),
            PeopleRequest::Claim { code, entering } => {
                self.claim(&code, &entering).map(PeopleAnswer::Entered)
            }
            PeopleRequest::SignIn(entering) => self.sign_in(&entering).map(PeopleAnswer::Entered),
            PeopleRequest::SecondFactor {
                pending,
                code,
                visitor,
            } => self
                .second_factor(pending, &code, &visitor)
                .map(PeopleAnswer::Entered),
            PeopleRequest::Session(token) => self.session(token).map(PeopleAnswer::Session),
            PeopleRequest::Api { token, peer } => {
                self.api_access(token, &peer).map(PeopleAnswer::Api)
            }
            PeopleRequest::Mail { .. } => Err(Refusal::Unsound.into()),
            PeopleRequest::Act { token, peer, act } => self.act(token, &peer, act),
            PeopleRequest::ResetAtMachine { name } => self.reset_at_machine(&name),
            PeopleRequest::NoticesDue => Ok(PeopleAnswer::Notices(self.notices_due())),
            PeopleRequest::NoticeGiven { proposal, address } => {
                self.notice_given(proposal, &address)
            }
        };
        answer.unwrap_or_else(PeopleAnswer::Denied)
    }

    /// Gives the claim code while nobody has claimed the archive.
    pub(crate) fn claim_code(self) -> Result<Option<String>, Failure> {
        if self.is_claimed() {
            return Ok(None);
        }
        secrets::claim_code(self.store.state()).map(Some)
    }

    /// Makes this the claim code of an archive that nobody has claimed and that has none yet.
    pub(crate) fn offer_claim_code(self, code: &str) -> Result<(), Failure> {
        match self.is_claimed() {
            true => Ok(()),
            false => secrets::offer_claim_code(self.store.state(), code),
        }
    }

    /// Lets seconds pass that the machine's own counter has counted, and does what is due.
    pub(crate) fn passes(self, seconds: u64) -> Result<(), Failure> {
        let now = self.now();
        let mut kept = self.kept();
        let mut register = (*kept.in_effect()).clone();
        register.passes(seconds, now);
        kept.run(register, seconds);
        loop {
            let mut next = (*kept.in_effect()).clone();
            let events = next.do_due();
            if events.is_empty() {
                break;
            }
            self.enter(&mut kept, By::COFFER, next, events, Vec::new())?;
        }
        self.show(&kept);
        kept.save_seconds(self.store)?;
        kept.anchor(self.store)?;
        drop(kept);
        self.office.sessions.end_old(self.store.state(), now)
    }

    /// Gives the session of a token, as its person is now.
    pub(crate) fn session(self, token: Token) -> Result<Session, Denial> {
        let (register, account) = self.signed_in(token)?;
        Ok(self.session_of(&register, &register.accounts[&account]))
    }

    /// Gives who asks about mail, by a session or by a program with a token of his, and what he may see.
    pub(crate) fn seeing(self, token: Token) -> Result<Seeing<'a>, Denial> {
        let (register, state, now) = (self.register(), self.store.state(), self.now());
        let sessions = &self.office.sessions;
        let used = sessions.used(state, token, now, None)?;
        let (id, bond) = used.ok_or(Denial::NotSignedIn)?;
        let account = open_account(&register, id).ok_or(Denial::NotSignedIn)?;
        let asker = match &bond {
            Some(bond) => bond.asker(&register, id, now)?,
            None => register.asker(id, now),
        };
        Ok(Seeing {
            sessions,
            token,
            account: id,
            name: account.name.clone(),
            asker,
            program: bond.map(|bond| bond.name),
            now,
        })
    }

    fn is_claimed(self) -> bool {
        !self.register().accounts.is_empty()
    }

    fn claim(self, code: &str, entering: &Entering) -> Result<Entered, Denial> {
        let mut gate = self.office.door.enter()?;
        let (now, visitor) = (self.office.door.now(), &entering.visitor);
        gate.may_try(CLAIMING, &visitor.peer, now)?;
        if self.is_claimed() {
            return Err(Denial::Claim);
        }
        if !secrets::is_claim_code(self.store.state(), code)? {
            let unlogged = gate.failed(CLAIMING, &visitor.peer, now);
            self.log_failure("claim code", None, &visitor.peer, unlogged)?;
            return Err(Denial::Wrong);
        }
        check_password(&entering.password.0, &[&entering.name])?;
        let (name, now) = (entering.name.as_str(), self.now());
        let mut kept = self.kept();
        let mut register = (*kept.in_effect()).clone();
        let (id, events) = register.claim(name, now)?;
        // Before it counts: a claim without a password could never be made good.
        let password = secrets::put_password(id, &entering.password.0);
        self.store.state().put_all(&[password])?;
        let by = By {
            actor: id.0,
            peer: &visitor.peer,
        };
        self.enter(
            &mut kept,
            by,
            register,
            events,
            vec![secrets::end_claim_code()],
        )?;
        drop(kept);
        self.let_in(id, visitor)
    }

    fn sign_in(self, entering: &Entering) -> Result<Entered, Denial> {
        let mut gate = self.office.door.enter()?;
        let (now, visitor) = (self.office.door.now(), &entering.visitor);
        gate.may_try(&entering.name, &visitor.peer, now)?;
        let register = self.register();
        let account = find(&register, &entering.name);
        let is_right = self.is_password(account, &entering.password.0)?;
        let Some(account) = account.filter(|_| is_right) else {
            let unlogged = gate.failed(&entering.name, &visitor.peer, now);
            self.log_failure("password", account, &visitor.peer, unlogged)?;
            return Err(Denial::Wrong);
        };
        if account.has_second_factor {
            return Ok(Entered::NeedsCode(gate.awaits_code(account.id, now)));
        }
        gate.succeeded(&account.name);
        self.let_in(account.id, visitor)
    }

    /// Tells whether a password is that of an account; without one it takes as long. Every password is checked here, so that a
    /// directory (LDAP) would be asked here, too.
    pub(super) fn is_password(
        self,
        account: Option<&Account>,
        password: &str,
    ) -> Result<bool, Failure> {
        let record = match account {
            Some(account) => secrets::password(self.store.state(), account.id)?,
            None => None,
        };
        Ok(accounts::verify(record.as_ref(), password))
    }

    fn second_factor(
        self,
        pending: Token,
        code: &str,
        visitor: &Visitor,
    ) -> Result<Entered, Denial> {
        let mut gate = self.office.door.enter()?;
        let now = self.office.door.now();
        let register = self.register();
        let account = gate.tries_code(pending, now).ok_or(Denial::NotSignedIn)?;
        let account = open_account(&register, account).ok_or(Denial::NotSignedIn)?;
        gate.may_try(&account.name, &visitor.peer, now)?;
        if !self.takes_code(account, code)? {
            let unlogged = gate.failed(&account.name, &visitor.peer, now);
            self.log_failure("code", Some(account), &visitor.peer, unlogged)?;
            return Err(Denial::Wrong);
        }
        gate.code_was_right(pending);
        gate.succeeded(&account.name);
        self.let_in(account.id, visitor)
    }

    /// Takes a code of an account's second factor; it is used up durably then.
    pub(super) fn takes_code(self, account: &Account, code: &str) -> Result<bool, Failure> {
        let Some(factor) = secrets::second_factor(self.store.state(), account.id)? else {
            return Ok(false);
        };
        let Some(accepted) = factor.accept(account.id, code, self.unix_s()) else {
            return Ok(false);
        };
        self.store.state().put_all(&[accepted])?;
        Ok(true)
    }

    /// Begins a session; its entry is in the log before anybody has the token.
    fn let_in(self, id: AccountId, visitor: &Visitor) -> Result<Entered, Denial> {
        let register = self.register();
        let account = open_account(&register, id).ok_or(Denial::Wrong)?;
        self.log(EventKind::SignedIn, account, &visitor.peer, String::new())?;
        let sessions = &self.office.sessions;
        let token = sessions.begin(self.store.state(), id, visitor, self.now())?;
        let session = self.session_of(&register, account);
        Ok(Entered::In { token, session })
    }

    /// Lets a change of the register happen that may have to wait; secrets are written with it.
    pub(super) fn changes(
        self,
        by: By,
        secrets: Vec<StateChange>,
        change: impl FnOnce(&mut Register) -> Result<Outcome, Refusal>,
    ) -> Result<PeopleAnswer, Denial> {
        let waits = self.does(by, secrets, |register| {
            Ok(match change(register)? {
                Outcome::Done(events) => (None, events),
                Outcome::Waits(number, events) => (Some(number), events),
            })
        })?;
        Ok(PeopleAnswer::Waits(waits))
    }

    /// Lets something happen to the register; secrets are written with it.
    pub(super) fn does<T>(
        self,
        by: By,
        secrets: Vec<StateChange>,
        change: impl FnOnce(&mut Register) -> Result<(T, Vec<Event>), Refusal>,
    ) -> Result<T, Denial> {
        let mut kept = self.kept();
        let mut register = (*kept.in_effect()).clone();
        let (value, events) = change(&mut register)?;
        self.enter(&mut kept, by, register, events, secrets)?;
        Ok(value)
    }

    /// Lets something happen to the register that only the log tells of.
    pub(super) fn notes(
        self,
        by: By,
        change: impl FnOnce(&mut Register) -> Result<Vec<Event>, Refusal>,
    ) -> Result<PeopleAnswer, Denial> {
        self.does(by, Vec::new(), |register| Ok(((), change(register)?)))?;
        Ok(PeopleAnswer::Done)
    }

    /// Puts a register into effect, and ends the sessions that it closes.
    pub(super) fn enter(
        self,
        kept: &mut KeptRegister,
        by: By,
        register: Register,
        events: Vec<Event>,
        secrets: Vec<StateChange>,
    ) -> Result<(), Failure> {
        let before = kept.in_effect();
        let entered = kept.enter(self.store, by, register, events, secrets);
        self.show(kept);
        let after = kept.in_effect();
        for account in after.accounts.values() {
            let old = before.accounts.get(&account.id);
            let is_closed = account.state != State::Active
                || old.is_some_and(|old| secrets::is_reset(old, account));
            if is_closed && old != Some(account) {
                let sessions = &self.office.sessions;
                sessions.end_all(self.store.state(), account.id)?;
            }
        }
        entered
    }

    fn reset_at_machine(self, name: &str) -> Result<PeopleAnswer, Denial> {
        let register = self.register();
        let account = match name.trim() {
            "" => first_operator(&register),
            name => find(&register, name),
        };
        let account = account.ok_or(Refusal::Unknown)?;
        let id = account.id;
        let password = secrets::issued_password();
        let change = secrets::put_password(id, &password);
        let by = By {
            actor: COMMAND_LINE,
            peer: "",
        };
        self.does(by, vec![change], |register| {
            Ok(((), register.reset_at_machine(id, self.now())?))
        })?;
        Ok(PeopleAnswer::Reset {
            name: account.name.clone(),
            password: Secret(password),
        })
    }

    /// Gives where and how notices go out; empty as long as nobody has said.
    pub(crate) fn notice_route(self) -> String {
        self.register().notice_route.clone()
    }

    /// Gives the server of another way for notices that is proposed.
    pub(crate) fn proposed_route(self) -> Option<String> {
        self.register().proposed_route().map(outgoing::place)
    }

    fn notices_due(self) -> Vec<NoticeDue> {
        let register = self.register();
        let name = |id: AccountId| {
            let account = register.accounts.get(&id);
            account.map_or_else(String::new, |account| account.display_name.clone())
        };
        let mut notices = Vec::new();
        for proposal in register.proposals.values() {
            let due = proposal.notices.iter().filter(|notice| !notice.is_given);
            notices.extend(due.map(|notice| NoticeDue {
                address: notice.address.clone(),
                proposal: proposal.to_record(),
                proposed_by: name(proposal.proposed_by),
                account: proposal.change.account().map_or_else(String::new, name),
            }));
        }
        notices
    }

    fn notice_given(self, proposal: u64, address: &str) -> Result<PeopleAnswer, Denial> {
        self.notes(By::COFFER, |register| {
            register.notice_given(proposal, address)
        })
    }

    /// Gives the register and the account of a session.
    pub(super) fn signed_in(self, token: Token) -> Result<(Arc<Register>, AccountId), Denial> {
        let register = self.register();
        let state = self.store.state();
        let account = self.office.sessions.account(state, token, self.now())?;
        let account = account.and_then(|id| open_account(&register, id));
        let id = account.ok_or(Denial::NotSignedIn)?.id;
        Ok((register, id))
    }

    fn session_of(self, register: &Register, account: &Account) -> Session {
        let is_route = |one: &&&Proposal| matches!(one.change, Change::NoticeRoute(_));
        let objectionable = register.objectionable_for(account.id);
        let others = objectionable.iter().filter(|one| !is_route(one)).count();
        Session {
            account: account.id,
            name: account.name.clone(),
            display_name: account.display_name.clone(),
            roles: account.roles.iter().copied().collect(),
            asker: WireAsker::from(&register.asker(account.id, self.now())),
            must_choose_password: must_choose_password(account),
            has_second_factor: account.has_second_factor,
            old_mail_is_closed: account.lock.is_some(),
            proposed_route: register.proposed_route().map(str::to_owned),
            objectionable: others.try_into().unwrap_or(u32::MAX),
        }
    }

    /// Writes a failure into the log if there is room for it. Names that nobody has are left out: many a one is a password.
    pub(super) fn log_failure(
        self,
        what: &str,
        account: Option<&Account>,
        peer: &str,
        unlogged: Option<u64>,
    ) -> Result<(), Failure> {
        let Some(others) = unlogged else {
            return Ok(());
        };
        let event = Event {
            kind: EventKind::SignInFailed,
            account: account.map_or_else(String::new, |account| account.name.clone()),
            peer: peer.to_owned(),
            text: format!("wrong {what}"),
            // This one, and those before it that had no entry.
            count: (others > 0).then_some(others + 1),
            ..Event::default()
        };
        let actor = account.map_or(ANONYMOUS, |account| account.id.0);
        self.store.log(actor, event)?.wait()?;
        Ok(())
    }

    pub(super) fn log(
        self,
        kind: EventKind,
        account: &Account,
        peer: &str,
        text: String,
    ) -> Result<u64, Failure> {
        let event = Event {
            kind,
            account: account.name.clone(),
            peer: peer.to_owned(),
            text,
            ..Event::default()
        };
        Ok(self.store.log(account.id.0, event)?.wait()?)
    }

    /// Gives the register in effect, without waiting for whoever changes it.
    pub(super) fn register(self) -> Arc<Register> {
        let in_effect = self.office.in_effect.read();
        in_effect.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn kept(self) -> MutexGuard<'a, KeptRegister> {
        let kept = self.office.register.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows everybody the register that is in effect now.
    fn show(self, kept: &KeptRegister) {
        let in_effect = self.office.in_effect.write();
        *in_effect.unwrap_or_else(PoisonError::into_inner) = kept.in_effect();
    }

    /// The time in Unix seconds, never before the latest time ever seen.
    pub(super) fn now(self) -> i64 {
        let now = self.store.now().at_us.div_euclid(1_000_000);
        now.max(self.register().latest)
    }

    pub(super) fn unix_s(self) -> u64 {
        u64::try_from(self.store.now().at_us / 1_000_000).unwrap_or(0)
    }
}

/// The host's command line among actors (FORMAT.md).
const COMMAND_LINE: u64 = 1;

/// An anonymous visitor among actors (FORMAT.md).
const ANONYMOUS: u64 = 3;

/// Finds an account in use by the name that somebody typed.
fn find<'r>(register: &'r Register, name: &str) -> Option<&'r Account> {
    let name = name.trim().to_lowercase();
    let mut accounts = register.accounts.values();
    let account = accounts.find(|account| account.name.to_lowercase() == name)?;
    (account.state == State::Active).then_some(account)
}

/// Accounts are numbered in the order in which they were made.
fn first_operator(register: &Register) -> Option<&Account> {
    let is_operator =
        |account: &&Account| account.state == State::Active && account.is(Role::Operator);
    register.accounts.values().find(is_operator)
}

fn open_account(register: &Register, id: AccountId) -> Option<&Account> {
    let account = register.accounts.get(&id)?;
    (account.state == State::Active).then_some(account)
}

pub(super) fn must_choose_password(account: &Account) -> bool {
    account.lock.is_some_and(|lock| !lock.has_own_password)
}
