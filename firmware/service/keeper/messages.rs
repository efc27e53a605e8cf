//! What can be said between the keeper and everyone else: one typed set of messages, in the process and over the socket.

use super::outgoing::{OutgoingAnswer, OutgoingRequest};
use crate::health::Figures;
use crate::own_certificate::CertificateFacts;
use crate::people::{PeopleAnswer, PeopleRequest, Secret, SeenBody, Token};
use crate::smtp::SmtpFigures;
use crate::tls::TlsIdentity;
use archive::Asker;
use archive::access::{OwnAddress, Scope};
use archive::query::parse;
use extract::{Label, NoText};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use store::{
    CopyState, Damaged, DiskUse, HourOfSource, MendReport, Recompressed, Source, Totals,
    VerifyReport, VolumesRead,
};

/// A question to the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Takes a message in; its body follows inline or as a file descriptor.
    Deposit(DepositRequest),
    /// Gives exact bytes back.
    Body(BodyRequest),
    /// Reads the text of a document, which comes as a file descriptor.
    ReadDocument(DocumentRequest),
    /// Gives an empty file of the spool, which vanishes when it is closed, for whoever may not reach the spool himself.
    SpoolFile,
    /// Checks a name and password.
    SignIn {
        /// Name of the account.
        name: String,
        /// Password.
        password: String,
    },
    /// Writes an entry of the audit log.
    Log {
        /// Who does it, see FORMAT.md.
        actor: u64,
        /// The event, as FORMAT.md has its fields.
        event: Vec<u8>,
    },
    /// Finds messages.
    Search(SearchRequest),
    /// Gives the numbers of all messages that match.
    Matching {
        /// In the search language; empty for all.
        query: String,
        /// Who asks.
        asker: WireAsker,
    },
    /// Gives the facts about messages.
    Entries(Vec<u64>),
    /// Finds the number of a message.
    NumberOf([u8; 32]),
    /// Gives what is known of a message beside its bytes.
    Details(u64),
    /// Gives proofs of leaves at a checkpoint.
    Prove {
        /// Sequence numbers of the leaves.
        numbers: Vec<u64>,
        /// The checkpoint's tree size; none for the newest.
        tree_size: Option<u64>,
    },
    /// Signs the tree head if the tree has grown, and gives it.
    Checkpoint,
    /// Gives the number of entries in the newest signed tree, 0 before the first; none is signed for it.
    SignedEntries,
    /// Tells whether mail is taken now.
    TakesMail,
    /// Gives the certificate and key under which the doors of this archive speak TLS.
    Identity,
    /// Stores a message of the archive's own, finds it again and compares the bytes.
    SelfTest,
    /// Notes what the door for mail has counted since it was opened.
    CountMail(SmtpFigures),
    /// Gives what the door for mail has counted, as it was noted last.
    MailCounts,
    /// Gives figures.
    Stats,
    /// Gives the figures that warnings hang on.
    Health,
    /// Tells when mail arrived last, and by which server.
    NewestArrival,
    /// Gives what came from where, by the hour.
    Hours {
        /// The first hour, counted from 1970, UTC.
        from: u32,
        /// The hour behind the last.
        until: u32,
    },
    /// Reads and checks everything.
    Verify {
        /// Verifier key from outside.
        key: Option<String>,
        /// A checkpoint that had left the archive.
        checkpoint: Option<String>,
    },
    /// Makes catalog and index again from the volumes.
    Rebuild,
    /// Makes everything last that is only derived.
    Flush,
    /// Makes or changes an account.
    PutAccount {
        /// Name of the account.
        name: String,
        /// Its new password; none removes the account.
        password: Option<String>,
    },
    /// Lists the names of the accounts.
    Accounts,
    /// Asks about people.
    People(Box<PeopleRequest>),
    /// Asks about mail that goes out.
    Outgoing(OutgoingRequest),
    /// Gives the certificate of the box's own authority.
    Authority,
    /// Tells of the certificate that others issued and somebody put in.
    OwnCertificate,
    /// Puts in a certificate that others issued, or goes back to the box's own.
    ChangeCertificate {
        /// The session of who changes it.
        token: Token,
        /// The address of the peer.
        peer: String,
        /// Certificates and key (PEM); none for the box's own.
        pem: Option<Secret>,
    },
    /// Gives the value of a setting by its name; empty if nobody has set it.
    Setting(String),
    /// Changes a setting.
    ChangeSetting {
        /// The session of who changes it.
        token: Token,
        /// The address of the peer.
        peer: String,
        /// Its name.
        name: String,
        /// Its new value.
        value: String,
    },
    /// Recompresses all sealed volumes.
    Recompress {
        /// Whether the open volume is sealed before.
        seal: bool,
    },
    /// Mends damaged volumes from another copy.
    Mend {
        /// The other copy's directory; none for the one that is in step.
        copy: Option<PathBuf>,
    },
}

/// A message on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepositRequest {
    /// The reception, as FORMAT.md has its fields.
    pub reception: Vec<u8>,
    /// Whether a journal report is unwrapped.
    pub unwrap_journal: bool,
    /// Who brings it, see FORMAT.md.
    pub actor: u64,
    /// Whether somebody waits for the answer.
    pub prompt: bool,
    /// The bytes.
    pub body: WireBody,
}

/// The bytes of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireBody {
    /// Here.
    Inline(Vec<u8>),
    /// In the file whose descriptor comes with the message: so many bytes from its start.
    File(u64),
}

/// A document that is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentRequest {
    /// What others say about it.
    pub label: Label,
    /// Its bytes, in a file.
    pub body: WireBody,
}

/// What came of reading a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentText {
    /// Its text.
    Text(extract::Text),
    /// Why there is none.
    None(NoText),
    /// The process that read it ended, or was ended because it took too long.
    Lost,
}

impl DocumentText {
    /// Writes it for another process.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Reads what [`DocumentText::to_bytes`] has written.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// Which bytes are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyRequest {
    /// A message, by its number or that of a reception.
    Number(u64),
    /// A message, by its digest.
    Digest([u8; 32]),
    /// The journal report of a reception.
    JournalReport(u64),
    /// A message, as a person may see it.
    Seen(SeenBody),
}

/// A search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// In the search language.
    pub query: String,
    /// Who asks.
    pub asker: WireAsker,
    /// Hits left out at the start.
    pub offset: u64,
    /// Hits given at most.
    pub limit: u64,
    /// Only hits behind this one, by its date and number, newest first.
    pub behind: Option<(i64, u64)>,
    /// Best first instead of newest first.
    pub by_relevance: bool,
    /// Characters of a snippet; none wanted when 0.
    pub snippet_chars: u32,
    /// Whether self-test messages are found, too.
    pub self_tests: bool,
    /// Whether to wait until everything in the archive can be found.
    pub fresh: bool,
}

/// Who asks, as [`archive::Asker`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireAsker {
    /// The host's command line.
    #[default]
    Owner,
    /// A person with addresses.
    Person(Vec<WireAddress>),
    /// A person to whom something was released.
    Granted {
        /// His addresses.
        addresses: Vec<WireAddress>,
        /// What was released.
        scopes: Vec<WireScope>,
    },
    /// Nobody.
    Nobody,
}

/// An address, from a moment until another, Unix seconds.
pub type WireAddress = (String, Option<i64>, Option<i64>);

/// What a grant releases, as [`archive::access::Scope`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireScope {
    /// With one of these as recipient or sender.
    pub addresses: Option<Vec<WireAddress>>,
    /// Of these numbers.
    pub numbers: Option<Vec<u64>>,
    /// What this finds for the owner, in the search language.
    pub query: String,
}

impl From<&Asker> for WireAsker {
    fn from(asker: &Asker) -> Self {
        match asker {
            Asker::Owner => Self::Owner,
            Asker::Nobody => Self::Nobody,
            Asker::Person { addresses } => Self::Person(to_wire(addresses)),
            Asker::Granted { addresses, scopes } => Self::Granted {
                addresses: to_wire(addresses),
                scopes: scopes.iter().map(WireScope::from).collect(),
            },
        }
    }
}

impl WireAsker {
    /// Gives who asks; none when what was released to him cannot be read, since less than that would be another query.
    pub fn asker(&self) -> Option<Asker> {
        Some(match self {
            Self::Owner => Asker::Owner,
            Self::Nobody => Asker::Nobody,
            Self::Person(addresses) => Asker::Person {
                addresses: from_wire(addresses),
            },
            Self::Granted { addresses, scopes } => Asker::Granted {
                addresses: from_wire(addresses),
                scopes: scopes.iter().map(WireScope::scope).collect::<Option<_>>()?,
            },
        })
    }
}

impl From<&Scope> for WireScope {
    fn from(scope: &Scope) -> Self {
        Self {
            addresses: scope.addresses.as_deref().map(to_wire),
            numbers: scope.numbers.clone(),
            query: scope.query.canonical(0),
        }
    }
}

impl WireScope {
    fn scope(&self) -> Option<Scope> {
        Some(Scope {
            addresses: self.addresses.as_deref().map(from_wire),
            numbers: self.numbers.clone(),
            query: parse(&self.query, 0).ok()?.query,
        })
    }
}

fn to_wire(addresses: &[OwnAddress]) -> Vec<WireAddress> {
    let wire = |own: &OwnAddress| (own.address.clone(), own.from, own.until);
    addresses.iter().map(wire).collect()
}

fn from_wire(addresses: &[WireAddress]) -> Vec<OwnAddress> {
    let own = |(address, from, until): &WireAddress| OwnAddress {
        address: address.clone(),
        from: *from,
        until: *until,
    };
    addresses.iter().map(own).collect()
}

/// An answer of the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// How far long work has come; more follows.
    Progress {
        /// Done so far.
        done: u64,
        /// Of how much; 0 when nobody knows.
        total: u64,
    },
    /// It could not be done.
    Failed(super::Failure),
    /// It was done.
    Done,
    /// To `Deposit`.
    Stored(WireReceipt),
    /// To `Body` and `SpoolFile`.
    Body(WireBody),
    /// To `ReadDocument`.
    Document(DocumentText),
    /// To `SignIn`.
    SignedIn(bool),
    /// To `Log`, `NumberOf`, `SignedEntries`.
    Number(u64),
    /// To `Search`.
    Page(SearchPage),
    /// To `Matching`.
    Numbers(Vec<u64>),
    /// To `Entries`.
    Entries(Vec<Entry>),
    /// To `Details`.
    Details(Details),
    /// To `Prove`.
    Proofs(Vec<ProofEntry>),
    /// To `Checkpoint`: the signed note.
    Checkpoint(String),
    /// To `Stats`.
    Stats(Stats),
    /// To `NewestArrival`: when, Unix seconds, and the server.
    NewestArrival(Option<(i64, String)>),
    /// To `Health`.
    Health(Box<Figures>),
    /// To `Hours`.
    Hours(Vec<HourOfSource>),
    /// To `Verify`.
    Verified(VerifyReport),
    /// To `Accounts`.
    Names(Vec<String>),
    /// To `People`.
    People(Box<PeopleAnswer>),
    /// To `Outgoing`.
    Outgoing(OutgoingAnswer),
    /// To `Identity`.
    Identity(Box<TlsIdentity>),
    /// To `MailCounts`.
    MailCounts(SmtpFigures),
    /// To `Authority`.
    Authority(AuthorityCertificate),
    /// To `OwnCertificate`.
    OwnCertificate(Option<CertificateFacts>),
    /// To `Setting`.
    Setting(String),
    /// To `Recompress`.
    Recompressed(Recompressed),
    /// To `Mend`.
    Mended(MendReport),
}

/// A receipt, as [`store::Receipt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireReceipt {
    /// Number of the message.
    pub number: u64,
    /// Number of the arrival.
    pub reception: u64,
    /// SHA-256 of the message.
    pub digest: [u8; 32],
    /// 0 a new message, 1 a new arrival of a known one, 2 nothing new.
    pub novelty: u8,
}

/// The facts about a message that lists show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// SHA-256 of the message.
    pub digest: [u8; 32],
    /// Length in bytes.
    pub size_bytes: u64,
    /// First arrival, microseconds since 1970 by our clock.
    pub received_at_us: i64,
    /// The Date field, untrusted, Unix seconds.
    pub sent_at: Option<i64>,
    /// The date it is sorted by, Unix seconds.
    pub date: i64,
    /// Author, as shown.
    pub from: String,
    /// The first visible recipients, as shown.
    pub to: Vec<String>,
    /// Subject.
    pub subject: String,
    /// Message-ID without `<>`.
    pub message_id: String,
    /// Number of attachments.
    pub attachments: u32,
    /// Names of what was odd in it.
    pub oddities: Vec<String>,
}

/// A page of hits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchPage {
    /// How many messages match that the asker may see.
    pub count: u64,
    /// The page.
    pub hits: Vec<Hit>,
    /// What was understood otherwise than written.
    pub notes: Vec<String>,
}

/// One hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The message.
    pub entry: Entry,
    /// A piece of its text.
    pub snippet: String,
    /// The sought words in it, as byte ranges.
    pub marks: Vec<(u32, u32)>,
    /// Numbers of other messages that the asker may see and that differ only in line ends or trace fields.
    pub copies: Vec<u64>,
}

/// What is known of a message beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The facts that lists show.
    pub entry: Entry,
    /// Its arrivals: number and fields as FORMAT.md has them.
    pub receptions: Vec<(u64, Vec<u8>)>,
    /// Messages with the same Message-ID but other bytes.
    pub linked: Vec<u64>,
    /// Messages that differ only in line ends or trace fields, itself included.
    pub copies: Vec<u64>,
}

/// A leaf with its proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofEntry {
    /// Sequence number.
    pub number: u64,
    /// C2SP tlog-proof.
    pub proof: String,
}

/// What people install in their computers so that these trust the box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityCertificate {
    /// What the authority is called in lists of authorities.
    pub name: String,
    /// The certificate (PEM, RFC 7468).
    pub pem: String,
    /// SHA-256 of the certificate (DER).
    pub fingerprint: [u8; 32],
}

/// The second disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStats {
    /// Its directory.
    pub path: String,
    /// What it is now; none before it was looked at.
    pub state: Option<CopyState>,
}

/// Figures of the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Id of the archive, hexadecimal.
    pub archive: String,
    /// Id of the disk, hexadecimal.
    pub disk_id: String,
    /// Number of the membership.
    pub epoch: u64,
    /// Ids of the disks that every batch is on before it is answered, hexadecimal.
    pub members: Vec<String>,
    /// The second disk, if one was given.
    pub copy: Option<CopyStats>,
    /// Verifier key of its checkpoints.
    pub key: String,
    /// Sums.
    pub totals: Totals,
    /// Bytes on the disk.
    pub disk: DiskUse,
    /// Leaves of the tree.
    pub leaves: u64,
    /// Leaves that searches can find.
    pub indexed: u64,
    /// Bytes of work that waits for the committer.
    pub waiting_bytes: u64,
    /// What does not hold on either disk, as far as they were read since the archive was opened.
    pub damage: Vec<Damaged>,
    /// Where mail came from.
    pub sources: Vec<Source>,
    /// When the volumes of this disk were read and checked.
    pub read: VolumesRead,
    /// When those of the second disk were.
    pub copy_read: VolumesRead,
    /// What the archive's clock shows.
    pub clock: ClockStats,
}

/// The archive's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStats {
    /// Microseconds since 1970.
    pub at_us: i64,
    /// Whether it is synchronised.
    pub synchronised: bool,
    /// How far it may be off, in milliseconds; none when nobody knows.
    pub uncertainty_ms: Option<u32>,
}
