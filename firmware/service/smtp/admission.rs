//! Who may send mail, and whose journal reports are believed: what the start of the program names, and what the page has added since.

use super::SmtpOptions;
use crate::keeper::Keeper;
use crate::networks::Networks;
use crate::settings::Setting;
use archive::Trust;
use std::net::IpAddr;

/// The networks that count now.
pub(super) struct Admission {
    allowed: Networks,
    journal_trusted: Networks,
}

impl Admission {
    /// Asks the keeper for what the page has added; while it cannot say, what the start of the program names counts alone.
    pub(super) fn now(options: &SmtpOptions, keeper: &dyn Keeper) -> Self {
        let and_more = |least: &Networks, setting| {
            let text = keeper.setting(setting).unwrap_or_default();
            let more = text.parse().unwrap_or_default();
            least.clone().and(&more)
        };
        Self {
            allowed: and_more(&options.allowed, Setting::AllowedNetworks),
            journal_trusted: and_more(&options.journal_trusted, Setting::JournalNetworks),
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

    #[test]
    fn who_is_believed_and_why() {
        let admission = Admission {
            allowed: "10.0.0.0/8".parse().expect("a network"),
            journal_trusted: "10.0.0.1".parse().expect("an address"),
        };
        let check = |peer: &str, signed_in, expected| {
            let peer = peer.parse().expect("an address");
            assert_eq!(admission.trust(peer, signed_in), expected, "{peer}");
        };
        check("10.0.0.1", false, Trust::JournalPeer);
        check("::ffff:10.0.0.1", true, Trust::JournalPeer);
        check("10.0.0.2", false, Trust::AllowedNetwork);
        check("10.0.0.2", true, Trust::SignedIn);
        check("192.0.2.1", true, Trust::SignedIn);
        check("192.0.2.1", false, Trust::Untrusted);
    }
}
