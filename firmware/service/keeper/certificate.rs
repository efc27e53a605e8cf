//! The certificate that others issued for the page and for SMTP: who may put it in, and what the log says of it.

use super::{Failure, LocalKeeper};
use crate::own_certificate::{self, CertificateFacts};
use crate::people::{Secret, Token};
use archive::people::Action;
use archive::{Event, EventKind};

/// What the log calls the certificate that the box made itself.
const OF_THE_BOX: &str = "the box's own";

impl LocalKeeper {
    /// Gives what people are told of the certificate that was put in, if there is any.
    pub(super) fn own_certificate(&self) -> Result<Option<CertificateFacts>, Failure> {
        let own = own_certificate::own(self.store().state())?;
        Ok(own.as_ref().and_then(own_certificate::facts))
    }

    /// Puts a certificate in (PEM, with its key), or goes back to the box's own; the log has it before it counts.
    pub(super) fn change_certificate(
        &self,
        token: Token,
        peer: String,
        pem: Option<Secret>,
    ) -> Result<(), Failure> {
        let session = self.session_that_may(token, Action::ChangeSettings)?;
        let now_s = self.store().now().at_us.div_euclid(1_000_000);
        let read = |pem: Secret| own_certificate::read(&pem.0, u64::try_from(now_s).unwrap_or(0));
        let fresh = pem.map(read).transpose();
        let fresh = fresh.map_err(|fault| Failure::BadRequest(fault.to_string()))?;
        let name = |facts: &CertificateFacts| archive::Digest(facts.fingerprint).to_string();
        let called = |facts: Option<&CertificateFacts>| facts.map_or(OF_THE_BOX.to_owned(), name);
        let event = Event {
            kind: EventKind::SettingChanged,
            account: session.name,
            peer,
            text: "certificate".to_owned(),
            before: called(self.own_certificate()?.as_ref()),
            after: called(fresh.as_ref().map(|(_, facts)| facts)),
            ..Event::default()
        };
        self.store().log(session.account.0, event)?.wait()?;
        let changes = own_certificate::changes(fresh.as_ref().map(|(identity, _)| identity));
        self.store().state().put_all(&changes)?;
        Ok(())
    }
}
