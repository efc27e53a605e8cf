//! From what the SMTP machine saw to what the archive keeps of an arrival, and from the keeper's answer to what the peer is told.

use super::SmtpOptions;
use crate::keeper::Failure;
use archive::{Reception, SourceKind, Trust};
use protocol::smtp::{Envelope, Outcome, TlsInfo};
use std::net::{IpAddr, SocketAddr};
use store::{Novelty, Receipt};

/// Why a peer that sent a message was believed.
pub(super) fn trust(options: &SmtpOptions, peer: IpAddr, signed_in: bool) -> Trust {
    if options.journal_trusted.contains(peer) {
        Trust::JournalPeer
    } else if signed_in {
        Trust::SignedIn
    } else if options.allowed.contains(peer) {
        Trust::AllowedNetwork
    } else {
        Trust::Untrusted
    }
}

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
    fn who_is_believed_and_why() {
        let mut options = SmtpOptions::new("archive.example");
        options.allowed = "10.0.0.0/8".parse().expect("a network");
        options.journal_trusted = "10.0.0.1".parse().expect("an address");
        let check = |peer: &str, signed_in, expected| {
            let peer = peer.parse().expect("an address");
            assert_eq!(trust(&options, peer, signed_in), expected, "{peer}");
        };
        check("10.0.0.1", false, Trust::JournalPeer);
        check("::ffff:10.0.0.1", true, Trust::JournalPeer);
        check("10.0.0.2", false, Trust::AllowedNetwork);
        check("10.0.0.2", true, Trust::SignedIn);
        check("192.0.2.1", true, Trust::SignedIn);
        check("192.0.2.1", false, Trust::Untrusted);
    }

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
