//! Plain words for the usual reasons that the system, TLS and the store give in English: they are found in a text by their own words, which stands behind them
//! in brackets for whoever helps.
//!
//! A reason that is not usual stays as it is: what is guessed helps nobody.

use super::words::Words;

/// The words of the system (glibc, musl, Rust's own), of rustls, of the store and of our own client of updates, in lower case, each with the key of what they mean. The first one counts:
/// what says more stands before what says less.
const SIGNS: [(&str, &str); 52] = [
    ("certificate expired", "reason-expired"),
    ("certificate: expired", "reason-expired"),
    ("not valid yet", "reason-not-yet-valid"),
    ("notvalidyet", "reason-not-yet-valid"),
    ("not valid for name", "reason-other-name"),
    ("notvalidforname", "reason-other-name"),
    ("unknownissuer", "reason-unknown-issuer"),
    ("causedasendentity", "reason-unknown-issuer"),
    ("badsignature", "reason-bad-certificate"),
    ("badencoding", "reason-bad-certificate"),
    ("corrupt message", "reason-no-tls"),
    ("protocolversion", "reason-old-tls"),
    ("peer is incompatible", "reason-old-tls"),
    ("connection refused", "reason-refused"),
    ("no route to host", "reason-no-route"),
    ("host is unreachable", "reason-no-route"),
    ("host unreachable", "reason-no-route"),
    ("network is unreachable", "reason-no-network"),
    ("network unreachable", "reason-no-network"),
    ("failed to lookup address", "reason-no-name"),
    ("name or service not known", "reason-no-name"),
    ("name does not resolve", "reason-no-name"),
    ("not known by its name", "reason-no-name"),
    ("timed out", "reason-slow"),
    ("does not answer in time", "reason-slow"),
    ("connection reset", "reason-broken"),
    ("broken pipe", "reason-broken"),
    ("unexpected end of file", "reason-broken"),
    ("no space left", "reason-full"),
    ("read-only file system", "reason-read-only"),
    ("input/output error", "reason-disk"),
    ("i/o error", "reason-disk"),
    ("disk is full", "reason-full"),
    ("no room on it", "reason-full"),
    ("did not answer within", "reason-slow"),
    ("without its copy", "reason-without-copy"),
    ("are being rebuilt", "reason-rebuilding"),
    ("is being closed", "reason-closing"),
    (
        "takes nothing until it is opened again",
        "reason-write-failed",
    ),
    ("keys that are needed", "reason-not-signed"),
    ("goes back from", "reason-older-metadata"),
    ("metadata is refused: timestamp: expired", "reason-stale"),
    ("longer than an update may be", "reason-update-long"),
    ("not an update, or damaged", "reason-no-update"),
    ("not a file that can be an update", "reason-no-update"),
    ("an update that is not whole", "reason-cut-off"),
    ("no stick with a file system", "reason-no-stick"),
    ("the stick has no file with the name", "reason-stick-empty"),
    ("for another kind of device", "reason-other-board"),
    ("a piece of the upload is missing", "reason-upload-gap"),
    ("or newer may open the archive", "reason-too-old"),
    ("the repository lacks a file", "reason-lacks-file"),
];

/// Says a reason in plain words with the original in brackets; one that is not known as it is.
pub(super) fn plain(words: &Words, said: &str) -> String {
    match key(said) {
        Some(key) => format!("{} [{said}]", words.text(key)),
        None => said.to_owned(),
    }
}

fn key(said: &str) -> Option<&'static str> {
    let lower = said.to_lowercase();
    let found = SIGNS.iter().find(|(sign, _)| lower.contains(sign));
    found.map(|(_, key)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::words::{Catalogues, Language};
    use rustls::CertificateError::{
        self, BadEncoding, BadSignature, Expired, ExpiredContext, NotValidForName,
        NotValidForNameContext, NotValidYet, UnknownIssuer,
    };
    use rustls::pki_types::{ServerName, UnixTime};
    use std::io;
    use std::time::Duration;

    /// Each text is what the library or the system itself says here.
    #[test]
    fn usual_reasons_are_known_by_their_own_words() {
        let time = |s| UnixTime::since_unix_epoch(Duration::from_secs(s));
        let tls = |why: CertificateError| rustls::Error::InvalidCertificate(why).to_string();
        let os = |number| io::Error::from_raw_os_error(number).to_string();
        let name = ServerName::try_from("mail.office.example").expect("a name");
        let other_name = NotValidForNameContext {
            expected: name,
            presented: vec!["other.example".to_owned()],
        };
        let expired = ExpiredContext {
            time: time(9),
            not_after: time(8),
        };
        for (said, expected) in [
            (tls(expired), "reason-expired"),
            (tls(Expired), "reason-expired"),
            (tls(NotValidYet), "reason-not-yet-valid"),
            (tls(other_name), "reason-other-name"),
            (tls(NotValidForName), "reason-other-name"),
            (tls(UnknownIssuer), "reason-unknown-issuer"),
            (tls(BadSignature), "reason-bad-certificate"),
            (tls(BadEncoding), "reason-bad-certificate"),
            (
                rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)
                    .to_string(),
                "reason-no-tls",
            ),
            (
                rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion).to_string(),
                "reason-old-tls",
            ),
            (
                update::Fault::TooFewSignatures {
                    valid: 0,
                    threshold: 1,
                }
                .to_string(),
                "reason-not-signed",
            ),
            (os(5), "reason-disk"),
            (os(28), "reason-full"),
            (os(30), "reason-read-only"),
            (os(32), "reason-broken"),
            (os(101), "reason-no-network"),
            (os(104), "reason-broken"),
            (os(110), "reason-slow"),
            (os(111), "reason-refused"),
            (os(113), "reason-no-route"),
            (io::ErrorKind::UnexpectedEof.to_string(), "reason-broken"),
            (io::ErrorKind::TimedOut.to_string(), "reason-slow"),
            (
                "failed to lookup address information: Name or service not known".to_owned(),
                "reason-no-name",
            ),
        ] {
            assert_eq!(key(&said), Some(expected), "{said}");
        }
        assert_eq!(key("the dog ate it"), None);
    }

    /// Why no mail is taken, as the store says it.
    #[test]
    fn refusals_of_the_store_are_known_by_their_own_words() {
        let full = store::Error::Full {
            available_bytes: 1,
            needed_bytes: 2,
        };
        for (error, expected) in [
            (full, "reason-full"),
            (store::Error::Rebuilding, "reason-rebuilding"),
            (store::Error::Closed, "reason-closing"),
            (
                store::Error::Latched("the dog ate it".to_owned()),
                "reason-write-failed",
            ),
            (
                store::Error::Latched(io::Error::from_raw_os_error(5).to_string()),
                "reason-disk",
            ),
        ] {
            assert_eq!(key(&error.to_string()), Some(expected), "{error}");
        }
    }

    #[test]
    fn the_original_stands_behind_in_brackets() {
        let catalogues = Catalogues::new();
        for language in Language::ALL {
            let words = catalogues.of(language);
            for (sign, key) in SIGNS {
                let said = plain(words, sign);
                assert!(said.ends_with(&format!(" [{sign}]")), "{said}");
                assert!(!said.starts_with(key), "{said}");
            }
            assert_eq!(plain(words, "the dog ate it"), "the dog ate it");
        }
    }
}
