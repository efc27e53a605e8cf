//! The questions about people as plain calls, for whoever makes pages: each names its question once and knows which answer fits.

use super::messages::{
    Act, ApiAccess, ApiTokenFacts, ApiTokenTerms, AuditFilter, AuditPage, Denial, Entered,
    Entering, ImportedLine, MailAsk, NoticeDue, PeopleAnswer, PeopleRequest, Purpose, Secret,
    SeenBody, SeenMessage, Session, SessionFacts, Token, Visitor,
};
use crate::keeper::messages::{
    BodyRequest, Entry, ProofEntry, Request, Response, SearchPage, SearchRequest,
};
use crate::keeper::{Failure, Keeper};
use crate::outgoing::Route;
use archive::people::{Account, AccountId, Change, Grant, Proposal, RecordError};
use std::collections::BTreeMap;
use store::Body;

/// The people of a keeper's archive.
#[derive(Clone, Copy)]
pub struct People<'k> {
    keeper: &'k dyn Keeper,
}

/// A person who is signed in, and acts.
#[derive(Clone, Copy)]
pub struct Acting<'k> {
    people: People<'k>,
    token: Token,
    peer: &'k str,
}

/// Takes the one answer that fits.
macro_rules! answer {
    ($asked:expr, $answer:pat => $value:expr) => {
        match $asked? {
            $answer => Ok($value),
            other => Err(unexpected(&other)),
        }
    };
}

impl<'k> People<'k> {
    /// Gives the people of a keeper's archive.
    pub fn of(keeper: &'k dyn Keeper) -> Self {
        Self { keeper }
    }

    /// Tells whether the archive was claimed.
    pub fn is_claimed(self) -> Result<bool, Denial> {
        answer!(self.ask(PeopleRequest::IsClaimed), PeopleAnswer::IsClaimed(is_claimed) => is_claimed)
    }

    /// Makes the first account, an operator, and signs him in.
    ///
    /// # Errors
    /// `Wrong` for another code, `Claim` when it was claimed, `Weak`, `Wait`.
    pub fn claim(self, code: &str, entering: Entering) -> Result<Entered, Denial> {
        let code = code.to_owned();
        answer!(self.ask(PeopleRequest::Claim { code, entering }), PeopleAnswer::Entered(entered) => entered)
    }

    /// Signs in.
    ///
    /// # Errors
    /// `Wrong` and `Wait`, whether or not there is such an account.
    pub fn sign_in(self, entering: Entering) -> Result<Entered, Denial> {
        answer!(self.ask(PeopleRequest::SignIn(entering)), PeopleAnswer::Entered(entered) => entered)
    }

    /// Gives the code that [`Entered::NeedsCode`] asks for.
    ///
    /// # Errors
    /// `Wrong`, `Wait`, and `NotSignedIn` when the password has to be given again.
    pub fn second_factor(
        self,
        pending: Token,
        code: &str,
        visitor: Visitor,
    ) -> Result<Entered, Denial> {
        let code = code.to_owned();
        let request = PeopleRequest::SecondFactor {
            pending,
            code,
            visitor,
        };
        answer!(self.ask(request), PeopleAnswer::Entered(entered) => entered)
    }

    /// Gives the session of a token, as the person is now.
    ///
    /// # Errors
    /// `NotSignedIn` when there is none, or it has ended.
    pub fn session(self, token: Token) -> Result<Session, Denial> {
        answer!(self.ask(PeopleRequest::Session(token)), PeopleAnswer::Session(session) => session)
    }

    /// Gives what a program may do that has a token; it is used now.
    ///
    /// # Errors
    /// `NotSignedIn` when there is no such token, it has ended, or its person has the role no longer.
    pub fn api_access(self, token: Token, peer: &str) -> Result<ApiAccess, Denial> {
        let peer = peer.to_owned();
        answer!(self.ask(PeopleRequest::Api { token, peer }), PeopleAnswer::Api(access) => access)
    }

    /// Makes a password for an operator who cannot sign in any more: for whoever has the machine, never for the page. Without a name it is the one who
    /// has been operator for longest. Gives his name, too.
    ///
    /// # Errors
    /// `Refused` when no operator has this name.
    pub fn reset_at_machine(self, name: &str) -> Result<(String, Secret), Denial> {
        let name = name.to_owned();
        answer!(self.ask(PeopleRequest::ResetAtMachine { name }), PeopleAnswer::Reset { name, password } => (name, password))
    }

    /// Gives the notices that are to be delivered.
    pub fn notices_due(self) -> Result<Vec<NoticeDue>, Denial> {
        answer!(self.ask(PeopleRequest::NoticesDue), PeopleAnswer::Notices(notices) => notices)
    }

    /// Notes that a notice was handed over for delivery.
    pub fn notice_given(self, proposal: u64, address: &str) -> Result<(), Denial> {
        let address = address.to_owned();
        answer!(self.ask(PeopleRequest::NoticeGiven { proposal, address }), PeopleAnswer::Done => ())
    }

    /// Lets the person of a session act, or a program with his token ask about mail.
    pub fn acting(self, token: Token, peer: &'k str) -> Acting<'k> {
        Acting {
            people: self,
            token,
            peer,
        }
    }

    fn ask(self, request: PeopleRequest) -> Result<PeopleAnswer, Denial> {
        match self
            .keeper
            .ask(Request::People(Box::new(request)), &mut |_, _| {})?
        {
            Response::People(answer) => match *answer {
                PeopleAnswer::Denied(denial) => Err(denial),
                answer => Ok(answer),
            },
            other => Err(crate::keeper::unexpected(&other).into()),
        }
    }
}

impl Acting<'_> {
    /// Ends the session.
    pub fn sign_out(self) -> Result<(), Denial> {
        self.done(Act::SignOut)
    }

    /// Lists his sessions.
    pub fn sessions(self) -> Result<Vec<SessionFacts>, Denial> {
        answer!(self.act(Act::Sessions), PeopleAnswer::Sessions(sessions) => sessions)
    }

    /// Ends one of his sessions.
    pub fn end_session(self, id: &str) -> Result<(), Denial> {
        self.done(Act::EndSession(id.to_owned()))
    }

    /// Makes a token for a program, which nobody is shown a second time.
    ///
    /// # Errors
    /// `Wrong` for another password, `Refused`.
    pub fn make_api_token(self, token: ApiTokenTerms, password: &str) -> Result<Token, Denial> {
        let password = password.into();
        answer!(self.act(Act::MakeApiToken { token, password }), PeopleAnswer::ApiToken(token) => token)
    }

    /// Lists his tokens for programs.
    pub fn api_tokens(self) -> Result<Vec<ApiTokenFacts>, Denial> {
        answer!(self.act(Act::ApiTokens), PeopleAnswer::ApiTokens(tokens) => tokens)
    }

    /// Ends one of his tokens for programs.
    pub fn end_api_token(self, id: &str) -> Result<(), Denial> {
        self.done(Act::EndApiToken(id.to_owned()))
    }

    /// Chooses a password; all his other sessions end.
    ///
    /// # Errors
    /// `Wrong` for another old one, `Weak`, `Wait`.
    pub fn choose_password(self, old: &str, new: &str) -> Result<(), Denial> {
        let (old, new) = (old.into(), new.into());
        self.done(Act::ChoosePassword { old, new })
    }

    /// Gives the secret of a new second factor, which counts once a code of it was given.
    pub fn begin_second_factor(self, password: &str) -> Result<Vec<u8>, Denial> {
        let password = password.into();
        answer!(self.act(Act::BeginSecondFactor { password }), PeopleAnswer::SecondFactor(secret) => secret)
    }

    /// Gives a code of the new second factor, which counts from now on.
    pub fn confirm_second_factor(self, code: &str) -> Result<(), Denial> {
        let code = code.to_owned();
        self.done(Act::ConfirmSecondFactor { code })
    }

    /// Does without a second factor from now on.
    pub fn end_second_factor(self, password: &str, code: &str) -> Result<(), Denial> {
        let (password, code) = (password.into(), code.to_owned());
        self.done(Act::EndSecondFactor { password, code })
    }

    /// Lists all accounts.
    pub fn accounts(self) -> Result<Vec<Account>, Denial> {
        self.records(Act::Accounts, Account::from_record)
    }

    /// Makes an account without any right.
    pub fn make_account(self, name: &str) -> Result<AccountId, Denial> {
        let name = name.to_owned();
        answer!(self.act(Act::MakeAccount { name }), PeopleAnswer::Made(id) => AccountId(id))
    }

    /// Makes a first password for an account whose person has none of his own; it is to be handed over in person.
    pub fn issue_password(self, account: AccountId) -> Result<Secret, Denial> {
        let account = account.0;
        answer!(self.act(Act::IssuePassword { account }), PeopleAnswer::Password(password) => password)
    }

    /// Makes a change that narrows, or proposes one that widens: then it gives the number under which it waits.
    pub fn change(self, change: &Change, reason: &str) -> Result<Option<u64>, Denial> {
        let (change, reason) = (change.to_record(), reason.to_owned());
        answer!(self.act(Act::Change { change, reason }), PeopleAnswer::Waits(number) => number)
    }

    /// Sets where and how mail goes out; gives its number when it waits.
    pub fn set_outgoing(
        self,
        route: Option<&Route>,
        password: Option<Secret>,
    ) -> Result<Option<u64>, Denial> {
        let route = route.map_or_else(String::new, Route::to_string);
        let act = Act::SetOutgoing { route, password };
        answer!(self.act(act), PeopleAnswer::Waits(number) => number)
    }

    /// Approves a proposal; gives its number when it waits all the same.
    pub fn approve(self, proposal: u64) -> Result<Option<u64>, Denial> {
        answer!(self.act(Act::Approve(proposal)), PeopleAnswer::Waits(number) => number)
    }

    /// Objects to a proposal.
    pub fn object(self, proposal: u64, reason: &str) -> Result<(), Denial> {
        let reason = reason.to_owned();
        self.done(Act::Object { proposal, reason })
    }

    /// Withdraws a proposal.
    pub fn withdraw(self, proposal: u64) -> Result<(), Denial> {
        self.done(Act::Withdraw(proposal))
    }

    /// Lists the proposals that he may approve or that concern him.
    pub fn proposals(self) -> Result<Vec<Proposal>, Denial> {
        self.records(Act::Proposals, Proposal::from_record)
    }

    /// Gives how those are called whom he may know of.
    pub fn names(self) -> Result<BTreeMap<AccountId, String>, Denial> {
        let names = answer!(self.act(Act::Names), PeopleAnswer::Names(names) => names)?;
        let names = names.into_iter();
        Ok(names.map(|(id, name)| (AccountId(id), name)).collect())
    }

    /// Lists the grants that have not ended: all for who may release mail, his own for others.
    pub fn grants(self) -> Result<Vec<Grant>, Denial> {
        self.records(Act::Grants, Grant::from_record)
    }

    /// Makes accounts from a table (CSV) and proposes their rights, or only says what would happen.
    pub fn import(self, table: &str, dry_run: bool) -> Result<Vec<ImportedLine>, Denial> {
        let table = table.to_owned();
        answer!(self.act(Act::Import { table, dry_run }), PeopleAnswer::Imported(lines) => lines)
    }

    /// Lists entries of the audit log, the newest first, as far as he may read it.
    pub fn audit_log(
        self,
        before: Option<u64>,
        limit: u32,
        filter: AuditFilter,
    ) -> Result<AuditPage, Denial> {
        let act = Act::AuditLog {
            before,
            limit,
            filter,
        };
        answer!(self.act(act), PeopleAnswer::AuditLog(page) => page)
    }

    /// Notes that he takes entries of the audit log along, which [`Acting::audit_log`] then gives.
    pub fn take_audit_log(self, filter: AuditFilter, format: &str) -> Result<(), Denial> {
        let format = format.to_owned();
        self.done(Act::TakeAuditLog { filter, format })
    }

    /// Finds messages among those that he may see, the newest first.
    pub fn search(self, request: SearchRequest) -> Result<SearchPage, Denial> {
        answer!(self.mail(MailAsk::Search(request)), PeopleAnswer::Page(page) => page)
    }

    /// Gives what he may know of a message.
    ///
    /// # Errors
    /// `Failed(NotFound)` for one that he may not see as for one that there is not.
    pub fn view(self, number: u64) -> Result<SeenMessage, Denial> {
        answer!(self.mail(MailAsk::View(number)), PeopleAnswer::Seen(seen) => seen)
    }

    /// Gives the bytes of a message, as he may see them.
    ///
    /// # Errors
    /// `NotFound` for one that he may not see as for one that there is not.
    pub fn body(self, number: u64, purpose: Purpose) -> Result<Body, Failure> {
        self.people.keeper.body(BodyRequest::Seen(SeenBody {
            token: self.token,
            peer: self.peer.to_owned(),
            number,
            purpose,
        }))
    }

    /// Gives the facts about those of the messages that he may see.
    pub fn entries(self, numbers: Vec<u64>) -> Result<Vec<Entry>, Denial> {
        answer!(self.mail(MailAsk::Entries(numbers)), PeopleAnswer::Entries(entries) => entries)
    }

    /// Notes that he fetches the file of an export of his.
    pub fn take_export(self, export: u64) -> Result<(), Denial> {
        answer!(self.mail(MailAsk::TakeExport { export }), PeopleAnswer::Done => ())
    }

    /// Gives proofs of messages that he may see.
    pub fn prove(
        self,
        numbers: Vec<u64>,
        tree_size: Option<u64>,
    ) -> Result<Vec<ProofEntry>, Denial> {
        let ask = MailAsk::Prove { numbers, tree_size };
        answer!(self.mail(ask), PeopleAnswer::Proofs(proofs) => proofs)
    }

    /// Asks about mail.
    pub(super) fn mail(self, ask: MailAsk) -> Result<PeopleAnswer, Denial> {
        self.people.ask(PeopleRequest::Mail {
            token: self.token,
            peer: self.peer.to_owned(),
            ask,
        })
    }

    fn act(self, act: Act) -> Result<PeopleAnswer, Denial> {
        self.people.ask(PeopleRequest::Act {
            token: self.token,
            peer: self.peer.to_owned(),
            act,
        })
    }

    fn done(self, act: Act) -> Result<(), Denial> {
        answer!(self.act(act), PeopleAnswer::Done => ())
    }

    fn records<T>(
        self,
        act: Act,
        read: impl Fn(&str) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, Denial> {
        let PeopleAnswer::Records(records) = self.act(act)? else {
            return Err(Failure::Unreachable("an answer that does not fit".to_owned()).into());
        };
        let read = |record: &String| {
            read(record).map_err(|error| Failure::Damaged(error.to_string()).into())
        };
        records.iter().map(read).collect()
    }
}

pub(super) fn unexpected(answer: &PeopleAnswer) -> Denial {
    let text = format!(
        "the keeper gave an answer about people that does not fit the question: {answer:?}"
    );
    Failure::Unreachable(text).into()
}
