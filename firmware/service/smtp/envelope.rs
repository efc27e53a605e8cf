//! From what the SMTP machine saw to what the archive keeps of an arrival, and from the keeper's answer to what the peer is told.

use crate::keeper::Failure;
use archive::{Reception, SourceKind, Trust};
use protocol::smtp::{Envelope, Outcome, TlsInfo};
use std::net::SocketAddr;
use store::{Novelty, Receipt};

/// What the archive keeps of an arrival by SMTP.
pub(super) fn reception(envelope: Envelope, peer: SocketAddr, trust: Trust) -> Reception {
    let recipient = |recipient: protocol::smtp::Recipient| archive::Recipient {
        address: recipient.address,
        parameters: recipient.parameters,
    };
    let envelope = archive::Envelope {
        reverse_path: envelope.reverse_path,
        mail_parameters: envelope.mail_parameters,
        recipients: envelope.recipients.into_iter().map(recipient).collect(),
        helo: envelope.helo,
        peer: peer.to_string(),
        tls: envelope.tls.map(tls_text).unwrap_or_default(),
        signed_in_as: envelope.authenticated_as.unwrap_or_default(),
    };
    Reception {
        source: SourceKind::Smtp,
        trust,
        envelope: Some(envelope),
        ..Reception::default()
    }
}

fn tls_text(TlsInfo { version, cipher }: TlsInfo) -> String {
    format!("{version} {cipher}")
}

/// Tells whether the archive had the message before.
pub(super) fn is_duplicate(receipt: &Receipt) -> bool {
    receipt.novelty != Novelty::NewMessage
}

/// What the peer is told of a message that is durable.
pub(super) fn stored(receipt: &Receipt) -> Outcome {
    Outcome::Stored {
        number: receipt.number,
        digest_hex: receipt.digest.to_string(),
        duplicate: is_duplicate(receipt),
    }
}

/// What the peer is told of a failure of the keeper: whatever it is, the sender is to come again.
pub(super) fn refused(failure: Failure) -> Outcome {
    match failure {
        Failure::Full(_) => Outcome::DiskFull,
        failure => Outcome::TryLater(failure.to_string()),
    }
}

/// What the peer is told of a failure of the spool.
pub(super) fn not_spooled(error: &store::Error) -> Outcome {
    if error.is_full() {
        Outcome::DiskFull
    } else {
        Outcome::TryLater("the archive cannot take mail now".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_lets_the_sender_come_again() {
        let text = || "why".to_owned();
        assert_eq!(refused(Failure::Full(text())), Outcome::DiskFull);
        for failure in [
            Failure::Later(text()),
            Failure::NotFound(text()),
            Failure::BadRequest(text()),
            Failure::Damaged(text()),
            Failure::Unreachable(text()),
        ] {
            assert_eq!(refused(failure), Outcome::TryLater(text()));
        }
    }
}
