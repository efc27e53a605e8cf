//! What entries of the audit log say, in the reader's language and with the names of accounts: the log itself is English and knows accounts by
//! their numbers, which never change.
//!
//! A text that is not known here is shown as it stands in the log; so are the words of searches and the reasons that people gave.

use super::super::words::Words;
use super::people::role_name;
use archive::people::{AccountId, Role};
use fluent_bundle::FluentValue;

/// What the log says of an account behind its number, up to where its values begin, each with the key of what that means. The longer of two that
/// begin alike stands first.
const OF_ACCOUNTS: [(&str, &str); 23] = [
    ("made with role operator: ", "log-claimed"),
    ("made: ", "log-made"),
    ("made a token for a program: ", "log-token-made"),
    ("ended a token: ", "log-token-ended"),
    ("got a password from others", "log-password-issued"),
    ("chose a password", "log-password-chosen"),
    ("second factor on", "log-second-step-on"),
    ("second factor off", "log-second-step-off"),
    ("reset at the machine", "log-reset-at-machine"),
    ("add role ", "change-add-role"),
    ("remove role ", "log-remove-role"),
    ("give address ", "change-give-address"),
    ("take address ", "log-take-address"),
    ("rename to ", "change-rename"),
    ("enable", "change-enable"),
    ("disable", "log-disable"),
    ("remove", "log-remove"),
    ("reset password", "change-reset-password"),
    ("reset second factor", "change-reset-second-factor"),
    ("open old mail", "change-open-old-mail"),
    ("release mail of ", "log-release"),
    ("end grant ", "log-end-grant"),
    ("grant ", "log-grant-over"),
];

/// Whole texts.
const WHOLE: [(&str, &str); 37] = [
    ("language", "log-language"),
    ("time zone", "log-time-zone"),
    ("retention years", "step-retention"),
    ("update hour", "step-updates"),
    ("status mail to", "step-status-mail"),
    ("allowed networks", "log-allowed"),
    ("journal networks", "log-journal"),
    ("certificate", "step-certificate"),
    ("password of the outgoing mail server", "log-out-password"),
    ("signed out", "log-signed-out"),
    ("ended another session", "log-other-session"),
    ("export fetched", "log-export-fetched"),
    ("downloaded", "log-downloaded"),
    ("proof", "log-proof"),
    ("restart", "log-restart"),
    ("power off", "log-power-off"),
    ("network, on trial", "log-network-trial"),
    ("network, confirmed", "log-network-confirmed"),
    ("test mail", "log-test-mail"),
    ("status mail of the week", "log-status-week"),
    ("status mail with a warning", "log-status-warning"),
    ("a recovery key was tried", "log-recovery-key"),
    ("all settings were reset", "log-reset"),
    ("look for updates", "log-update-check"),
    ("install the update now", "log-update-install"),
    ("install updates again", "log-update-resume"),
    ("try versions again that failed", "log-update-again"),
    ("go back to the version before", "log-update-back"),
    ("install an update from a stick", "log-update-stick"),
    ("upload an update and install it", "log-update-upload"),
    ("wrong password", "log-wrong-password"),
    ("wrong code", "log-wrong-code"),
    ("wrong claim code", "log-wrong-claim-code"),
    ("made", "log-sender-made"),
    ("password changed", "log-sender-changed"),
    ("removed", "log-sender-removed"),
    ("metrics", "log-metrics"),
];

/// What became of a proposal, before what it was.
const ENDS: [(&str, &str); 2] = [("withdrawn: ", "log-withdrawn"), ("lapsed: ", "log-lapsed")];

/// Says what an entry's text means; `name` tells how an account is called.
pub(super) fn in_words(words: &Words, text: &str, name: &dyn Fn(AccountId) -> String) -> String {
    if let Some((_, key)) = WHOLE.iter().find(|(whole, _)| *whole == text) {
        return words.text(key);
    }
    let (number, said) = match text.split_once(": ") {
        Some((number, rest)) if number.parse::<u64>().is_ok() => (Some(number), rest),
        _ => (None, text),
    };
    let end = ENDS
        .iter()
        .find_map(|(sign, key)| Some((key, said.strip_prefix(sign)?)));
    let said = match end {
        Some((key, rest)) => {
            let what = ("what", change(words, rest, name).into());
            words.filled(key, &[what])
        }
        None => change(words, said, name),
    };
    match number {
        Some(number) => {
            let values = [("number", number.into()), ("what", said.into())];
            words.filled("log-proposal", &values)
        }
        None => said,
    }
}

/// Says what changes or changed, if it is known.
fn change(words: &Words, said: &str, name: &dyn Fn(AccountId) -> String) -> String {
    let disk = said.strip_prefix("disk ");
    if let Some(disk) = disk.and_then(|rest| rest.strip_suffix(" is to become an archive disk")) {
        return words.filled("log-disk", &[("disk", disk.into())]);
    }
    if let Some(version) = said.strip_prefix("install an update that has expired: ") {
        return words.filled("log-update-stale", &[("version", version.into())]);
    }
    if let Some(days) = said.strip_prefix("pause updates for ") {
        let days = days.trim_end_matches(" days");
        return words.filled("log-update-pause", &[("days", days.into())]);
    }
    if let Some(account) = said.strip_prefix("audit log") {
        let said = words.filled("log-taken", &[("account", account.trim().into())]);
        return said.trim_end().to_owned();
    }
    if let Some(route) = said.strip_prefix("where notices go: ") {
        let server = ("server", super::outgoing::place(route).into());
        return words.filled("change-notice-route", &[server]);
    }
    of_account(words, said, name).unwrap_or_else(|| said.to_owned())
}

fn of_account(words: &Words, said: &str, name: &dyn Fn(AccountId) -> String) -> Option<String> {
    let (id, deed) = said.strip_prefix("account ")?.split_once(": ")?;
    let who = name(AccountId(id.parse().ok()?));
    let mut known = OF_ACCOUNTS.iter();
    let (key, value) = known.find_map(|(sign, key)| Some((key, deed.strip_prefix(sign)?)))?;
    let value = match Role::from_name(value) {
        Some(role) => role_name(words, role),
        None => value.to_owned(),
    };
    // Each text takes the value by the name that fits it.
    let value = |name| (name, FluentValue::from(value.as_str()));
    let values = ["what", "role", "address", "display"].map(value);
    let who = [("who", FluentValue::from(who))];
    Some(words.filled(key, &[&who[..], &values].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Setting;
    use crate::web::words::{Catalogues, Language};
    use archive::access::OwnAddress;
    use archive::people::{Change, Step};

    fn said(language: Language, text: &str) -> String {
        let name = |id: AccountId| format!("Kim {id}");
        in_words(Catalogues::new().of(language), text, &name)
    }

    #[test]
    fn accounts_are_called_by_their_names_in_both_languages() {
        for (text, english, german) in [
            (
                "account 1025: add role staff",
                "Kim 1025 gets a role: Staff: reads their own mail",
                "Kim 1025 bekommt eine Rolle: Mitarbeit: liest die eigenen Mails",
            ),
            (
                "7: account 1025: give address kim@x.example",
                "Proposal 7: Kim 1025 gets an address: kim@x.example",
                "Vorschlag 7: Kim 1025 bekommt eine Adresse: kim@x.example",
            ),
            (
                "7: lapsed: account 1025: reset password",
                "Proposal 7: Lapsed: Kim 1025 gets a new password from others",
                "Vorschlag 7: Verfallen: Kim 1025 bekommt von anderen ein neues Passwort",
            ),
            (
                "account 1025: remove role operator",
                "Kim 1025 loses a role: Operator: looks after the archive",
                "Kim 1025 verliert eine Rolle: Betrieb: kümmert sich um das Archiv",
            ),
            (
                "where notices go: server=mail.x.example port=587 security=tls from=a@x.example",
                "Notices and status mails go out by another mail server: mail.x.example:587",
                "Nachrichten und Zustandsmails gehen über einen anderen Mailserver hinaus: mail.x.example:587",
            ),
            ("signed out", "Signed out", "Abgemeldet"),
            (
                "install an update that has expired: 1.2.0",
                "Version 1.2.0 was to be installed although its file had expired",
                "Version 1.2.0 sollte eingespielt werden, obwohl ihre Datei abgelaufen war",
            ),
            (
                "pause updates for 7 days",
                "No updates for 7 days",
                "Keine Updates für 7 Tage",
            ),
            ("audit log ", "Audit log", "Protokoll"),
            ("audit log kim", "Audit log kim", "Protokoll kim"),
            (
                "disk sdb is to become an archive disk",
                "Disk sdb is to become an archive disk",
                "Die Platte sdb soll Archivplatte werden",
            ),
            (
                "something else: 1025",
                "something else: 1025",
                "something else: 1025",
            ),
            (
                "account x: enable",
                "account x: enable",
                "account x: enable",
            ),
        ] {
            assert_eq!(said(Language::English, text), english);
            assert_eq!(said(Language::German, text), german);
        }
    }

    #[test]
    fn every_setting_has_its_words() {
        for setting in Setting::ALL {
            let german = said(Language::German, setting.name());
            assert_ne!(german, setting.name());
        }
    }

    /// Every step that can be in the log, as the log writes it.
    #[test]
    fn every_step_has_its_words() {
        let own = || OwnAddress {
            address: "kim@x.example".to_owned(),
            from: None,
            until: None,
        };
        for step in [
            Step::AddRole(Role::Staff),
            Step::RemoveRole(Role::Staff),
            Step::GiveAddress(own()),
            Step::TakeAddress(own()),
            Step::Rename("Kim".to_owned()),
            Step::Enable,
            Step::Disable,
            Step::Remove,
            Step::ResetPassword,
            Step::ResetSecondFactor,
            Step::OpenOldMail,
            Step::EndGrant(3),
        ] {
            let text = Change::Account(AccountId(1025), step).to_string();
            for language in Language::ALL {
                let said = said(language, &text);
                assert!(said.contains("Kim 1025"), "{text}: {said}");
                assert!(!said.contains("account"), "{text}: {said}");
            }
        }
    }
}
