//! The keeper's questions as plain calls: each names its question once and knows which answer fits.

use super::messages::{
    AuthorityCertificate, Details, Entry, ProofEntry, Request, Response, SearchPage, SearchRequest,
    Stats, WireAsker,
};
use super::{Failure, Keeper, OutgoingAnswer, OutgoingRequest, Watch};
use crate::health::Figures;
use crate::outgoing::Route;
use crate::own_certificate::CertificateFacts;
use crate::people::{Secret, Token};
use crate::settings::Setting;
use crate::smtp::SmtpFigures;
use crate::tls::TlsIdentity;
use archive::Digest;
use std::ops::Range;
use std::path::Path;
use store::{HourOfSource, MendReport, Recompressed, VerifyReport};

/// Asks and takes the one answer that fits.
macro_rules! ask {
    ($keeper:expr, $request:expr, $watch:expr, $answer:pat => $value:expr) => {
        match $keeper.ask($request, $watch)? {
            $answer => Ok($value),
            other => Err(unexpected(&other)),
        }
    };
}

/// Nobody watches.
fn unwatched() -> impl FnMut(u64, u64) {
    |_, _| {}
}

/// An answer that does not fit its question.
pub(crate) fn unexpected(response: &Response) -> Failure {
    Failure::Unreachable(format!(
        "the keeper gave an answer that does not fit the question: {response:?}"
    ))
}

impl dyn Keeper + '_ {
    /// Finds messages.
    pub fn search(&self, request: SearchRequest) -> Result<SearchPage, Failure> {
        ask!(self, Request::Search(request), &mut unwatched(), Response::Page(page) => page)
    }

    /// Gives the numbers of all messages that match, ascending.
    pub fn matching(&self, query: &str, asker: WireAsker) -> Result<Vec<u64>, Failure> {
        let request = Request::Matching {
            query: query.to_owned(),
            asker,
        };
        ask!(self, request, &mut unwatched(), Response::Numbers(numbers) => numbers)
    }

    /// Gives the facts about messages.
    pub fn entries(&self, numbers: &[u64]) -> Result<Vec<Entry>, Failure> {
        ask!(self, Request::Entries(numbers.to_vec()), &mut unwatched(), Response::Entries(entries) => entries)
    }

    /// Finds the number of a message.
    pub fn number_of(&self, digest: &Digest) -> Result<u64, Failure> {
        ask!(self, Request::NumberOf(digest.0), &mut unwatched(), Response::Number(number) => number)
    }

    /// Gives what is known of a message beside its bytes.
    pub fn details(&self, number: u64) -> Result<Details, Failure> {
        ask!(self, Request::Details(number), &mut unwatched(), Response::Details(details) => details)
    }

    /// Gives proofs at the checkpoint of a tree of this size, or at the newest.
    pub fn prove(
        &self,
        numbers: &[u64],
        tree_size: Option<u64>,
    ) -> Result<Vec<ProofEntry>, Failure> {
        let request = Request::Prove {
            numbers: numbers.to_vec(),
            tree_size,
        };
        ask!(self, request, &mut unwatched(), Response::Proofs(proofs) => proofs)
    }

    /// Signs the tree head if the tree has grown, and gives it as a signed note.
    pub fn checkpoint(&self) -> Result<String, Failure> {
        ask!(self, Request::Checkpoint, &mut unwatched(), Response::Checkpoint(note) => note)
    }

    /// Gives the number of entries in the newest signed tree, 0 before the first; none is signed for it.
    pub fn signed_entries(&self) -> Result<u64, Failure> {
        ask!(self, Request::SignedEntries, &mut unwatched(), Response::Number(number) => number)
    }

    /// Gives the certificate and key under which the doors of this archive speak TLS, made or renewed if that is due.
    pub fn identity(&self) -> Result<TlsIdentity, Failure> {
        ask!(self, Request::Identity, &mut unwatched(), Response::Identity(identity) => *identity)
    }

    /// Stores a message of the archive's own, finds it again and compares the bytes.
    pub fn self_test(&self) -> Result<(), Failure> {
        ask!(self, Request::SelfTest, &mut unwatched(), Response::Done => ())
    }

    /// Notes what the door for mail has counted since it was opened.
    pub fn count_mail(&self, counts: SmtpFigures) -> Result<(), Failure> {
        ask!(self, Request::CountMail(counts), &mut unwatched(), Response::Done => ())
    }

    /// Gives what the door for mail has counted, as it was noted last.
    pub fn mail_counts(&self) -> Result<SmtpFigures, Failure> {
        ask!(self, Request::MailCounts, &mut unwatched(), Response::MailCounts(counts) => counts)
    }

    /// Gives figures.
    pub fn stats(&self) -> Result<Stats, Failure> {
        ask!(self, Request::Stats, &mut unwatched(), Response::Stats(stats) => stats)
    }

    /// Gives the figures that warnings hang on.
    pub fn health(&self) -> Result<Figures, Failure> {
        ask!(self, Request::Health, &mut unwatched(), Response::Health(figures) => *figures)
    }

    /// Tells when mail arrived last, Unix seconds, and by which server.
    pub fn newest_arrival(&self) -> Result<Option<(i64, String)>, Failure> {
        ask!(self, Request::NewestArrival, &mut unwatched(), Response::NewestArrival(arrival) => arrival)
    }

    /// Gives what came from where, by the hour since 1970, UTC.
    pub fn hours(&self, hours: Range<u32>) -> Result<Vec<HourOfSource>, Failure> {
        let request = Request::Hours {
            from: hours.start,
            until: hours.end,
        };
        ask!(self, request, &mut unwatched(), Response::Hours(hours) => hours)
    }

    /// Reads and checks everything.
    pub fn verify(
        &self,
        key: Option<String>,
        checkpoint: Option<String>,
        watch: Watch,
    ) -> Result<VerifyReport, Failure> {
        ask!(self, Request::Verify { key, checkpoint }, watch, Response::Verified(report) => report)
    }

    /// Makes catalog and index again from the volumes.
    pub fn rebuild(&self, watch: Watch) -> Result<(), Failure> {
        ask!(self, Request::Rebuild, watch, Response::Done => ())
    }

    /// Recompresses all sealed volumes, the open one too if it is to be sealed before.
    pub fn recompress(&self, seal: bool, watch: Watch) -> Result<Recompressed, Failure> {
        ask!(self, Request::Recompress { seal }, watch, Response::Recompressed(done) => done)
    }

    /// Mends damaged volumes from the copy in another directory, or the one that is in step, and that copy likewise.
    pub fn mend(&self, copy: Option<&Path>, watch: Watch) -> Result<MendReport, Failure> {
        let copy = copy.map(Path::to_owned);
        ask!(self, Request::Mend { copy }, watch, Response::Mended(report) => report)
    }

    /// Makes everything last that is only derived, and found.
    pub fn flush(&self) -> Result<(), Failure> {
        ask!(self, Request::Flush, &mut unwatched(), Response::Done => ())
    }

    /// Makes, changes or (without a password) removes an account.
    pub fn put_account(&self, name: &str, password: Option<String>) -> Result<(), Failure> {
        let request = Request::PutAccount {
            name: name.to_owned(),
            password,
        };
        ask!(self, request, &mut unwatched(), Response::Done => ())
    }

    /// Lists the names of the accounts.
    pub fn accounts(&self) -> Result<Vec<String>, Failure> {
        ask!(self, Request::Accounts, &mut unwatched(), Response::Names(names) => names)
    }

    /// Gives the value of a setting; empty if nobody has set it.
    pub fn setting(&self, setting: Setting) -> Result<String, Failure> {
        let request = Request::Setting(setting.name().to_owned());
        ask!(self, request, &mut unwatched(), Response::Setting(value) => value)
    }

    /// Changes a setting as the person of a session; the audit log has it before it counts.
    ///
    /// # Errors
    /// `BadRequest` when the person may not, or the setting cannot have this value.
    pub fn change_setting(
        &self,
        token: Token,
        peer: &str,
        setting: Setting,
        value: &str,
    ) -> Result<(), Failure> {
        let request = Request::ChangeSetting {
            token,
            peer: peer.to_owned(),
            name: setting.name().to_owned(),
            value: value.to_owned(),
        };
        ask!(self, request, &mut unwatched(), Response::Done => ())
    }

    /// Gives the way by which mail goes out, as text; empty if the page has set none.
    pub fn outgoing_route(&self) -> Result<String, Failure> {
        self.outgoing_text(OutgoingRequest::Route)
    }

    /// Gives the password kept for exactly this way.
    pub fn outgoing_password(&self, route: &Route) -> Result<Option<Secret>, Failure> {
        let request = Request::Outgoing(OutgoingRequest::Password(route.to_string()));
        ask!(self, request, &mut unwatched(), Response::Outgoing(OutgoingAnswer::Password(password)) => password)
    }

    /// Notes that mail went out, or why it did not.
    pub fn outgoing_went(&self, why_not: Option<&str>) -> Result<(), Failure> {
        let request = Request::Outgoing(OutgoingRequest::Went(why_not.map(str::to_owned)));
        ask!(self, request, &mut unwatched(), Response::Outgoing(OutgoingAnswer::Done) => ())
    }

    /// Gives when which status mail went out, as it was kept.
    pub fn status_mails(&self) -> Result<String, Failure> {
        self.outgoing_text(OutgoingRequest::StatusMails)
    }

    /// Keeps when which status mail went out.
    pub fn keep_status_mails(&self, text: &str) -> Result<(), Failure> {
        let request = Request::Outgoing(OutgoingRequest::KeepStatusMails(text.to_owned()));
        ask!(self, request, &mut unwatched(), Response::Outgoing(OutgoingAnswer::Done) => ())
    }

    fn outgoing_text(&self, request: OutgoingRequest) -> Result<String, Failure> {
        ask!(self, Request::Outgoing(request), &mut unwatched(), Response::Outgoing(OutgoingAnswer::Text(text)) => text)
    }

    /// Tells of the certificate that others issued and somebody put in, if there is any.
    pub fn own_certificate(&self) -> Result<Option<CertificateFacts>, Failure> {
        ask!(self, Request::OwnCertificate, &mut unwatched(), Response::OwnCertificate(facts) => facts)
    }

    /// Puts in a certificate that others issued (PEM, with its key), or goes back to the box's own, as the person of a session.
    ///
    /// # Errors
    /// `BadRequest` when the person may not, or it cannot be used.
    pub fn change_certificate(
        &self,
        token: Token,
        peer: &str,
        pem: Option<Secret>,
    ) -> Result<(), Failure> {
        let peer = peer.to_owned();
        let request = Request::ChangeCertificate { token, peer, pem };
        ask!(self, request, &mut unwatched(), Response::Done => ())
    }

    /// Gives the certificate of the box's own authority.
    pub fn authority(&self) -> Result<AuthorityCertificate, Failure> {
        ask!(self, Request::Authority, &mut unwatched(), Response::Authority(certificate) => certificate)
    }
}
