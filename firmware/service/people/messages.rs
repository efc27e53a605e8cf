//! What can be said between a page and the keeper about people: who signs in, who acts, what he may see.
//!
//! Whoever acts is named by the token of his session, never by a number, so that the keeper itself knows who he is. Rights,
//! proposals and grants travel as the records of [`archive::people`].

use crate::keeper::Failure;
use crate::keeper::messages::{Entry, ProofEntry, SearchPage, SearchRequest, WireAsker};
use archive::people::{AccountId, ApiScope, LineFault, LineStep, PasswordWeakness, Refusal, Role};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A question about people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeopleRequest {
    /// Tells whether the archive was claimed.
    IsClaimed,
    /// Makes the first account, an operator, for whoever has the claim code, and signs him in.
    Claim {
        /// The claim code; blanks, dashes and the size of letters do not matter.
        code: String,
        /// Name and password of the account, and from where.
        entering: Entering,
    },
    /// Signs in.
    SignIn(Entering),
    /// Gives the second factor after a right password.
    SecondFactor {
        /// What the right password gave.
        pending: Token,
        /// The code.
        code: String,
        /// From where.
        visitor: Visitor,
    },
    /// Gives the session of a token.
    Session(Token),
    /// Gives what a program may do that has a token of somebody.
    Api {
        /// The token.
        token: Token,
        /// The address of the peer.
        peer: String,
    },
    /// Does something as the person of a session.
    Act {
        /// The session.
        token: Token,
        /// The address of the peer.
        peer: String,
        /// What.
        act: Act,
    },
    /// Asks for mail as the person of a session; that he did is in the log before he is answered.
    Mail {
        /// The session.
        token: Token,
        /// The address of the peer.
        peer: String,
        /// For what.
        ask: MailAsk,
    },
    /// Gives the notices that are to be delivered.
    NoticesDue,
    /// Makes a password for an operator who cannot sign in any more: for whoever has the machine, never for the page.
    ResetAtMachine {
        /// The name of his account; empty for the one who has been operator for longest.
        name: String,
    },
    /// Notes that a notice was handed over for delivery.
    NoticeGiven {
        /// The proposal.
        proposal: u64,
        /// The address.
        address: String,
    },
}

/// What a person does about people, himself or others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Ends his session.
    SignOut,
    /// Lists his sessions.
    Sessions,
    /// Ends one of his sessions, by its id.
    EndSession(String),
    /// Makes a token for a program.
    MakeApiToken {
        /// What it is.
        token: ApiTokenTerms,
        /// His password.
        password: Secret,
    },
    /// Lists his tokens for programs.
    ApiTokens,
    /// Ends one of them, by its id.
    EndApiToken(String),
    /// Notes that he takes entries of the audit log along.
    TakeAuditLog {
        /// Which.
        filter: AuditFilter,
        /// In which form, for the log.
        format: String,
    },
    /// Chooses a password.
    ChoosePassword {
        /// The one before.
        old: Secret,
        /// The new one.
        new: Secret,
    },
    /// Asks for the secret of a new second factor, which counts once a code of it was given.
    BeginSecondFactor {
        /// His password.
        password: Secret,
    },
    /// Gives a code of the new second factor, which counts from now on.
    ConfirmSecondFactor {
        /// The code.
        code: String,
    },
    /// Does without a second factor from now on.
    EndSecondFactor {
        /// His password.
        password: Secret,
        /// A code of it.
        code: String,
    },
    /// Lists all accounts.
    Accounts,
    /// Makes an account without any right.
    MakeAccount {
        /// Its name.
        name: String,
    },
    /// Makes a first password for an account whose person has none of his own.
    IssuePassword {
        /// The account.
        account: u64,
    },
    /// Makes a change that narrows, or proposes one that widens.
    Change {
        /// The record of the change.
        change: String,
        /// Why.
        reason: String,
    },
    /// Sets where and how mail goes out, or proposes it where people already wait for notices.
    SetOutgoing {
        /// The way, as text; empty for the one that the start of the program names.
        route: String,
        /// The password of its user; none leaves the one that is kept for this way.
        password: Option<Secret>,
    },
    /// Approves a proposal.
    Approve(u64),
    /// Objects to a proposal.
    Object {
        /// Its number.
        proposal: u64,
        /// Why.
        reason: String,
    },
    /// Withdraws a proposal.
    Withdraw(u64),
    /// Lists the proposals that he may approve or that concern him.
    Proposals,
    /// How those are called whom he may know of.
    Names,
    /// Lists the grants that are open or will be.
    Grants,
    /// Makes accounts from a table and proposes their rights.
    Import {
        /// The table, CSV.
        table: String,
        /// Only says what would happen.
        dry_run: bool,
    },
    /// Lists entries of the audit log, the newest first.
    AuditLog {
        /// Only those with lower numbers.
        before: Option<u64>,
        /// So many at most.
        limit: u32,
        /// Which.
        filter: AuditFilter,
    },
}

/// What a person asks about mail; he is answered as if there were no other mail than what he may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailAsk {
    /// Finds messages, the newest first; who asks and the order in the request do not matter.
    Search(SearchRequest),
    /// Gives what he may know of a message.
    View(u64),
    /// Gives the facts about messages; those that he may not see are left out.
    Entries(Vec<u64>),
    /// Begins to hand messages out.
    Export {
        /// All that this finds.
        query: String,
        /// These instead, as far as he may see them; the query is for the log then.
        numbers: Option<Vec<u64>>,
        /// In which form, for the log.
        format: String,
    },
    /// Logs the manifest of an export, and signs the tree that holds this entry.
    Seal {
        /// The number of the export's first entry.
        export: u64,
        /// Digest of the manifest.
        manifest: [u8; 32],
        /// How many messages it has.
        count: u64,
    },
    /// Notes that he fetches the file of an export.
    TakeExport {
        /// The number of the export's first entry.
        export: u64,
    },
    /// Gives proofs of messages at a checkpoint, and of the entry of an export; what is in no export of his gets an entry in the log.
    Prove {
        /// The numbers.
        numbers: Vec<u64>,
        /// The checkpoint's tree size; none for the newest.
        tree_size: Option<u64>,
    },
}

/// The bytes of a message that a person asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenBody {
    /// His session.
    pub token: Token,
    /// The address of the peer.
    pub peer: String,
    /// The message.
    pub number: u64,
    /// What for.
    pub purpose: Purpose,
}

/// What somebody wants the bytes of a message for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To read it on the page.
    Show,
    /// To take it, or a part of it, along.
    Download,
    /// To take it along in an export, whose entry in the log has this number.
    Export(u64),
}

/// What a person may know of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMessage {
    /// The facts that lists show.
    pub entry: Entry,
    /// Those of its hidden recipients that are shown to him.
    pub hidden: Vec<String>,
    /// Whether its bytes are given to him as they are; otherwise header fields that name other hidden recipients are left out.
    pub is_whole: bool,
    /// Messages that he may see with the same Message-ID but other bytes.
    pub linked: Vec<u64>,
    /// Other messages that he may see and that differ only in line ends or trace fields.
    pub copies: Vec<u64>,
}

/// Who wants in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entering {
    /// Name of the account.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// From where.
    pub visitor: Visitor,
}

/// From where somebody comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visitor {
    /// The address of the peer, without port.
    pub peer: String,
    /// What his program calls itself.
    pub agent: String,
}

/// A password on its way: no log shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// 256 random bits that stand for somebody who signed in; the keeper knows only their digest.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub [u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl fmt::Display for Token {
    /// Writes it as it stands in a cookie: 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token")]
pub struct NotAToken;

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAToken);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| NotAToken)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotAToken)?;
        }
        Ok(Self(bytes))
    }
}

/// What the keeper answers about people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeopleAnswer {
    /// It was done.
    Done,
    /// It was not.
    Denied(Denial),
    /// To `IsClaimed`.
    IsClaimed(bool),
    /// To `Claim`, `SignIn`, `SecondFactor`.
    Entered(Entered),
    /// To `Session`.
    Session(Session),
    /// To `Api`.
    Api(ApiAccess),
    /// To `MakeApiToken`: it is shown once.
    ApiToken(Token),
    /// To `ApiTokens`.
    ApiTokens(Vec<ApiTokenFacts>),
    /// To `Sessions`.
    Sessions(Vec<SessionFacts>),
    /// To `IssuePassword`: a password that the person has to change.
    Password(Secret),
    /// The account that was reset at the machine, by name, and its password.
    Reset {
        /// Its name.
        name: String,
        /// What it is signed in with the next time.
        password: Secret,
    },
    /// To `BeginSecondFactor`: 20 bytes.
    SecondFactor(Vec<u8>),
    /// To `MakeAccount`: its number.
    Made(u64),
    /// To `Change`, `SetOutgoing`, `Approve`: the number under which it waits; none when it took effect.
    Waits(Option<u64>),
    /// To `Accounts`, `Proposals`, `Grants`.
    Records(Vec<String>),
    /// To `Names`: accounts, and their names.
    Names(Vec<(u64, String)>),
    /// To `Search`.
    Page(SearchPage),
    /// To `View`.
    Seen(SeenMessage),
    /// To `Entries`.
    Entries(Vec<Entry>),
    /// To `Export`: the number of its entry in the log, and the messages.
    Export(u64, Vec<u64>),
    /// To `Seal`.
    Sealed {
        /// The number of its entry in the log.
        event: u64,
        /// The checkpoint whose tree holds it.
        checkpoint: String,
        /// The size of that tree.
        tree_size: u64,
    },
    /// To `Prove`.
    Proofs(Vec<ProofEntry>),
    /// To `NoticesDue`.
    Notices(Vec<NoticeDue>),
    /// To `Import`.
    Imported(Vec<ImportedLine>),
    /// To `AuditLog`.
    AuditLog(AuditPage),
}

/// Why something was not done, in a form that a page puts into words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Denial {
    /// Name, password or code is wrong; nobody is told which.
    #[error("name, password or code is wrong")]
    Wrong,
    /// Too many failures, or too many at once; not looked at.
    #[error("to be tried again after some seconds: {seconds}")]
    Wait {
        /// Seconds to wait.
        seconds: u64,
    },
    /// There is no such session, or it has ended.
    #[error("not signed in")]
    NotSignedIn,
    /// Others know his password: he must choose one of his own first.
    #[error("a password of one's own must be chosen first")]
    MustChoosePassword,
    /// The archive was claimed already, or nobody has claimed it yet.
    #[error("the archive is claimed already, or not yet")]
    Claim,
    /// The password is too weak.
    #[error("{0}")]
    Weak(#[serde(with = "WeaknessOnWire")] PasswordWeakness),
    /// The rules forbid it.
    #[error("{0}")]
    Refused(#[serde(with = "RefusalOnWire")] Refusal),
    /// The archive could not do it.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<PasswordWeakness> for Denial {
    fn from(weakness: PasswordWeakness) -> Self {
        Self::Weak(weakness)
    }
}

impl From<Denial> for Failure {
    /// For bytes, whose answer knows no denials.
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Failed(failure) => failure,
            other => Self::BadRequest(other.to_string()),
        }
    }
}

impl From<store::Error> for Denial {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// How far somebody came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entered {
    /// He is in.
    In {
        /// His session's token.
        token: Token,
        /// His session.
        session: Session,
    },
    /// The password was right; a code is asked for as well, within five minutes.
    NeedsCode(Token),
}

/// Somebody who signed in, as he is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// His account.
    #[serde(with = "AccountIdOnWire")]
    pub account: AccountId,
    /// The name he signs in with.
    pub name: String,
    /// The name that others read.
    pub display_name: String,
    /// His roles.
    #[serde(with = "roles_on_wire")]
    pub roles: Vec<Role>,
    /// What he may see.
    pub asker: WireAsker,
    /// Whether he must choose a password before anything else.
    pub must_choose_password: bool,
    /// Whether signing in takes a code.
    pub has_second_factor: bool,
    /// Whether mail from before a reset is closed to him until its opening is approved.
    pub old_mail_is_closed: bool,
    /// Where notices go as soon as a waiting proposal takes effect, which everybody is to know.
    pub proposed_route: Option<String>,
    /// How many other proposals wait that he may object to.
    pub objectionable: u32,
}

/// What somebody wants of a token for a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiTokenTerms {
    /// What he calls it.
    pub name: String,
    /// The role that it is bound to.
    #[serde(with = "role_on_wire")]
    pub role: Role,
    /// What it is for.
    #[serde(with = "ScopeOnWire")]
    pub scope: ApiScope,
    /// Days until it ends.
    pub days: u32,
}

/// A token for a program in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiTokenFacts {
    /// Its id, which opens nothing.
    pub id: String,
    /// What its person calls it.
    pub name: String,
    /// The role that it is bound to.
    #[serde(with = "role_on_wire")]
    pub role: Role,
    /// What it is for.
    #[serde(with = "ScopeOnWire")]
    pub scope: ApiScope,
    /// When it was made, Unix seconds.
    pub since: i64,
    /// The first second at which it no longer counts, Unix seconds.
    pub until: i64,
    /// When it was last used, Unix seconds; the same as `since` if never.
    pub used: i64,
    /// From where it was last used; empty if never.
    pub peer: String,
}

/// A program that has a token of somebody, as he is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiAccess {
    /// The id of the token.
    pub id: String,
    /// Whose it is.
    #[serde(with = "AccountIdOnWire")]
    pub account: AccountId,
    /// What the token is for.
    #[serde(with = "ScopeOnWire")]
    pub scope: ApiScope,
    /// What it sees.
    pub asker: WireAsker,
}

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// Its id, which opens nothing.
    pub id: String,
    /// When he signed in, Unix seconds.
    pub since: i64,
    /// When it was last used, Unix seconds.
    pub used: i64,
    /// From where.
    pub visitor: Visitor,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// A notice that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeDue {
    /// To whom.
    pub address: String,
    /// The record of the proposal.
    pub proposal: String,
    /// Name of who proposed it.
    pub proposed_by: String,
    /// Name of the account that is to change; empty when none is.
    pub account: String,
}

/// What became, or would become, of a line of a table of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedLine {
    /// Number of the line, from 1.
    pub line: u64,
    /// The name in it.
    pub name: String,
    /// What was done or proposed.
    pub steps: Vec<ImportedStep>,
    /// Why the rest was not.
    #[serde(with = "line_fault_on_wire")]
    pub fault: Option<LineFault>,
}

/// Something that a line of a table did, as [`LineStep`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportedStep {
    /// Its account was made.
    Made,
    /// A change took effect: its record.
    Done(String),
    /// A change waits: its record.
    Waits(String),
}

impl From<&LineStep> for ImportedStep {
    fn from(step: &LineStep) -> Self {
        match step {
            LineStep::Made => Self::Made,
            LineStep::Done(change) => Self::Done(change.to_record()),
            LineStep::Waits(change) => Self::Waits(change.to_record()),
        }
    }
}

/// Which entries of the audit log are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFilter {
    /// Only these types of events, by their numbers (FORMAT.md); all when empty.
    pub kinds: Vec<u64>,
    /// Only what this account did, by its name; all when empty.
    pub account: String,
}

/// Entries of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The entries, the newest first: number, microseconds since 1970, event as FORMAT.md has its fields.
    pub entries: Vec<(u64, i64, Vec<u8>)>,
    /// From where to go on; none at the beginning of the archive.
    pub before: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AccountId")]
struct AccountIdOnWire(u64);

/// The scopes by name: [`ApiScope`] itself knows no wire.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ApiScope")]
pub(super) enum ScopeOnWire {
    Mail,
    Health,
}

/// The weaknesses by name: [`PasswordWeakness`] itself knows no wire.
#[derive(Serialize, Deserialize)]
#[serde(remote = "PasswordWeakness")]
enum WeaknessOnWire {
    Short,
    Long,
    Name,
    Repeats,
    Row,
    Common,
}

/// The refusals by name: [`Refusal`] itself knows no wire.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Refusal")]
enum RefusalOnWire {
    MayNot,
    Unknown,
    Unsound,
    Name,
    Roles,
    LastOperator,
    NoOfficer,
    NotSecond,
    NoOwnPassword,
    Waiting,
    TooMany,
}

/// A role by its name.
pub(super) mod role_on_wire {
    use archive::people::Role;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::people) fn serialize<S: Serializer>(
        role: &Role,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        role.name().serialize(serializer)
    }

    pub(in crate::people) fn deserialize<'d, D: Deserializer<'d>>(
        deserializer: D,
    ) -> Result<Role, D::Error> {
        let name = String::deserialize(deserializer)?;
        Role::from_name(&name).ok_or_else(|| serde::de::Error::custom("unknown role"))
    }
}

/// The faults of lines by name: [`LineFault`] itself knows no wire.
mod line_fault_on_wire {
    use super::RefusalOnWire;
    use archive::people::{LineFault, Refusal};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "LineFault")]
    enum OnWire {
        NoNameColumn,
        TooManyLines,
        OpenQuote,
        UnknownRole(String),
        Refused(#[serde(with = "RefusalOnWire")] Refusal),
    }

    #[derive(Serialize, Deserialize)]
    struct Fault(#[serde(with = "OnWire")] LineFault);

    pub(super) fn serialize<S: Serializer>(
        fault: &Option<LineFault>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        fault.clone().map(Fault).serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        deserializer: D,
    ) -> Result<Option<LineFault>, D::Error> {
        let fault = Option::<Fault>::deserialize(deserializer)?;
        Ok(fault.map(|Fault(fault)| fault))
    }
}

/// Roles by their names.
mod roles_on_wire {
    use archive::people::Role;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        roles: &[Role],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        names.serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        deserializer: D,
    ) -> Result<Vec<Role>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let role = |name: &String| {
            Role::from_name(name).ok_or_else(|| serde::de::Error::custom("unknown role"))
        };
        names.iter().map(role).collect()
    }
}
