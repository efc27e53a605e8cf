//! What the edges may ask of the keeper: processes that speak to the network, each as a user of its own, with what it needs and nothing else.
//!
//! Who has taken over the door for mail can bring mail and read none. Who has taken over the page sees what the people see whose sessions pass through it,
//! since the keeper asks for a session before it shows mail to anybody. Who has taken over the extractor sees the documents that are handed to it.

use super::messages::{BodyRequest, DepositRequest, Request};
use archive::SourceKind;

/// An edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The door for mail.
    Mail,
    /// The page.
    Page,
    /// Who reads documents: he is asked, and asks for nothing.
    Extractor,
}

impl Edge {
    /// Tells whether an edge may ask this.
    pub(super) fn may_ask(self, request: &Request) -> bool {
        match request {
            Request::Deposit(deposit) => self == Self::Mail && is_by_smtp(deposit),
            Request::Body(which) => self.may_have(which),
            Request::SpoolFile | Request::Identity | Request::Setting(_) => self != Self::Extractor,
            Request::SignIn { .. } | Request::TakesMail | Request::CountMail(_) => {
                self == Self::Mail
            }
            Request::Log { .. }
            | Request::ReadDocument(_)
            | Request::Checkpoint
            | Request::SignedEntries
            | Request::SelfTest
            | Request::MailCounts
            | Request::Stats
            | Request::Health
            | Request::NewestArrival
            | Request::Hours { .. }
            | Request::People(_)
            | Request::Outgoing(_)
            | Request::Authority
            | Request::OwnCertificate
            | Request::ChangeCertificate { .. }
            | Request::ChangeSetting { .. } => self == Self::Page,
            Request::Search(_)
            | Request::Matching { .. }
            | Request::Entries(_)
            | Request::NumberOf(_)
            | Request::Details(_)
            | Request::Prove { .. }
            | Request::Verify { .. }
            | Request::Rebuild
            | Request::Flush
            | Request::PutAccount { .. }
            | Request::Accounts
            | Request::Recompress { .. }
            | Request::Mend { .. } => false,
        }
    }

    fn may_have(self, which: &BodyRequest) -> bool {
        match which {
            BodyRequest::Seen(_) => self == Self::Page,
            BodyRequest::Number(_) | BodyRequest::Digest(_) | BodyRequest::JournalReport(_) => {
                false
            }
        }
    }
}

/// Whether a message says of itself that it came by SMTP: an edge brings nothing else.
fn is_by_smtp(deposit: &DepositRequest) -> bool {
    store::decode_reception(&deposit.reception)
        .is_some_and(|reception| reception.source == SourceKind::Smtp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::messages::{DocumentRequest, SearchRequest, WireBody};
    use archive::Reception;

    fn deposit(source: SourceKind) -> Request {
        let reception = Reception {
            source,
            ..Reception::default()
        };
        Request::Deposit(DepositRequest {
            reception: store::encode_reception(&reception),
            unwrap_journal: false,
            actor: 2,
            prompt: false,
            body: WireBody::Inline(Vec::new()),
        })
    }

    #[test]
    fn each_edge_has_its_own_and_none_reads_mail_without_a_session() {
        let sign_in = Request::SignIn {
            name: String::new(),
            password: String::new(),
        };
        let document = DocumentRequest {
            label: extract::Label::default(),
            body: WireBody::File(1),
        };
        for (request, mail, page) in [
            (deposit(SourceKind::Smtp), true, false),
            (deposit(SourceKind::SelfTest), false, false),
            (deposit(SourceKind::Upload), false, false),
            (sign_in, true, false),
            (Request::TakesMail, true, false),
            (Request::Identity, true, true),
            (Request::Setting("language".to_owned()), true, true),
            (Request::SpoolFile, true, true),
            (Request::ReadDocument(document), false, true),
            (Request::Stats, false, true),
            (Request::SelfTest, false, true),
            (Request::Search(SearchRequest::default()), false, false),
            (Request::Entries(vec![1]), false, false),
            (Request::Details(1), false, false),
            (Request::Body(BodyRequest::Number(1)), false, false),
            (Request::Body(BodyRequest::JournalReport(1)), false, false),
            (Request::Rebuild, false, false),
            (Request::Accounts, false, false),
        ] {
            let edges = [Edge::Mail, Edge::Page, Edge::Extractor];
            let may = edges.map(|edge| edge.may_ask(&request));
            assert_eq!(may, [mail, page, false], "{request:?}");
        }
    }
}
