//! Who may send mail, and whose journal reports are believed: what the start of the program names, and what the page has added since.

use super::SmtpOptions;
use crate::keeper::Failure;
use crate::networks::Networks;
use crate::settings::Setting;
use archive::Trust;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The networks that count, as they were asked for last.
#[derive(Default)]
pub(super) struct Admissions(Mutex<Option<Known>>);

/// What the page has set, and what follows from it.
struct Known {
    allowed: String,
    journal_trusted: String,
    admission: Arc<Admission>,
}

/// The networks that count.
#[derive(Default)]
pub(super) struct Admission {
    allowed: Networks,
    journal_trusted: Networks,
}

impl Admissions {
    /// Asks for what the page has added. While nobody can say, what counted last does: a sender that was admitted must not hear a no that is
    /// for good.
    pub(super) fn now(
        &self,
        least: &SmtpOptions,
        setting: impl Fn(Setting) -> Result<String, Failure>,
    ) -> Arc<Admission> {
        let allowed = setting(Setting::AllowedNetworks);
        let journal_trusted = setting(Setting::JournalNetworks);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (allowed, journal_trusted, &*known) {
            (Ok(allowed), Ok(journal_trusted), Some(known))
                if known.allowed == allowed && known.journal_trusted == journal_trusted =>
            {
                known.admission.clone()
            }
            (Ok(allowed), Ok(journal_trusted), _) => {
                let admission = Arc::new(Admission::new(least, &allowed, &journal_trusted));
                *known = Some(Known {
                    allowed,
                    journal_trusted,
                    admission: admission.clone(),
                });
                admission
            }
            (_, _, Some(known)) => known.admission.clone(),
            _ => Arc::new(Admission::new(least, "", "")),
        }
    }
}

impl Admission {
    fn new(least: &SmtpOptions, allowed: &str, journal_trusted: &str) -> Self {
        let and_more = |least: &Networks, more: &str| {
            // Settings take no other text.
            least.clone().and(&more.parse().unwrap_or_default())
        };
        Self {
            allowed: and_more(&least.allowed, allowed),
            journal_trusted: and_more(&least.journal_trusted, journal_trusted),
        }
    }

    /// Says why a peer that sends a message is believed.
    pub(super) fn trust(&self, peer: IpAddr, signed_in: bool) -> Trust {
        if self.journal_trusted.contains(peer) {
            Trust::JournalPeer
        } else if signed_in {
            Trust::SignedIn
        } else if self.allowed.contains(peer) {
            Trust::AllowedNetwork
        } else {
            Trust::Untrusted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(admission: &Admission, peer: &str, is_signed_in: bool) -> Trust {
        admission.trust(peer.parse().expect("an address"), is_signed_in)
    }

    #[test]
    fn who_is_believed_and_why() {
        let mut least = SmtpOptions::new("archive.example");
        least.allowed = "10.0.0.0/8".parse().expect("a network");
        least.journal_trusted = "10.0.0.1".parse().expect("an address");
        let admission = Admission::new(&least, "198.51.100.0/24", "198.51.100.7");
        for (peer, is_signed_in, expected) in [
            ("10.0.0.1", false, Trust::JournalPeer),
            ("::ffff:10.0.0.1", true, Trust::JournalPeer),
            ("10.0.0.2", false, Trust::AllowedNetwork),
            ("10.0.0.2", true, Trust::SignedIn),
            ("198.51.100.7", false, Trust::JournalPeer),
            ("198.51.100.8", false, Trust::AllowedNetwork),
            ("192.0.2.1", true, Trust::SignedIn),
            ("192.0.2.1", false, Trust::Untrusted),
        ] {
            assert_eq!(trust(&admission, peer, is_signed_in), expected, "{peer}");
        }
    }

    #[test]
    fn what_the_page_adds_counts_until_it_says_otherwise() {
        let (admissions, least) = (Admissions::default(), SmtpOptions::new("archive.example"));
        let now = |answer: Result<&str, Failure>| {
            let answer = answer.map(str::to_owned);
            let admission = admissions.now(&least, |_| answer.clone());
            trust(&admission, "192.0.2.1", false)
        };
        let fails = || Err(Failure::Later("no".to_owned()));
        for (answer, expected) in [
            (fails(), Trust::Untrusted),
            (Ok(""), Trust::Untrusted),
            (Ok("192.0.2.0/24"), Trust::JournalPeer),
            (Ok("192.0.2.0/24"), Trust::JournalPeer),
            (fails(), Trust::JournalPeer),
            (Ok("198.51.100.0/24"), Trust::Untrusted),
        ] {
            assert_eq!(now(answer.clone()), expected, "{answer:?}");
        }
    }
}
