//! What the office has decided about its archive: each setting with its name in `state.redb` and the values it takes.
//!
//! Secrets are none of these. Who may change one is decided by [`archive::people`]; each change is an event before it counts.

use crate::networks::Networks;

/// 100 years: longer than any law asks for.
const RETENTION_YEARS_MAX: u32 = 100;

/// 254 bytes of an address (RFC 5321 §4.5.3.1.3).
const ADDRESS_BYTES_MAX: usize = 254;

/// Places whose time zone the page knows.
const TIME_ZONES: [&str; 4] = ["Europe/Berlin", "Europe/London", "Europe/Helsinki", "UTC"];

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The language that notices and status mails are written in: "de" or "en".
    Language,
    /// The place whose clocks people go by.
    TimeZone,
    /// Full years, after the one in which it came, that mail is to be kept; 0 for ever. Written down; nothing is removed by it yet.
    RetentionYears,
    /// The hour of the night, 0 to 23, local time, at which updates may be installed.
    UpdateHour,
    /// The address that status mails are to go to; empty for none.
    StatusMailTo,
    /// Networks that may send mail without signing in, beside those that the start of the program names.
    AllowedNetworks,
    /// Networks whose journal reports are unwrapped, beside those that the start of the program names.
    JournalNetworks,
    /// Whether `/metrics` is answered: "on" or "off".
    Metrics,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Language,
        Self::TimeZone,
        Self::RetentionYears,
        Self::UpdateHour,
        Self::StatusMailTo,
        Self::AllowedNetworks,
        Self::JournalNetworks,
        Self::Metrics,
    ];

    /// Its name in the state and in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Language => "language",
            Self::TimeZone => "time zone",
            Self::RetentionYears => "retention years",
            Self::UpdateHour => "update hour",
            Self::StatusMailTo => "status mail to",
            Self::AllowedNetworks => "allowed networks",
            Self::JournalNetworks => "journal networks",
            Self::Metrics => "metrics",
        }
    }

    /// Finds a setting by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// The value that the setup proposes, which a reset sets again.
    pub fn first_value(self) -> &'static str {
        match self {
            Self::Language => "en",
            Self::TimeZone => "Europe/Berlin",
            Self::RetentionYears => "10",
            Self::UpdateHour => "3",
            Self::StatusMailTo | Self::AllowedNetworks | Self::JournalNetworks => "",
            Self::Metrics => "off",
        }
    }

    /// Tells whether it can have this value.
    pub fn takes(self, value: &str) -> bool {
        let number = || value.parse::<u32>().ok();
        match self {
            Self::Language => matches!(value, "de" | "en"),
            Self::TimeZone => TIME_ZONES.contains(&value),
            Self::RetentionYears => number().is_some_and(|years| years <= RETENTION_YEARS_MAX),
            Self::UpdateHour => number().is_some_and(|hour| hour < 24),
            Self::StatusMailTo => value.is_empty() || is_address(value),
            Self::AllowedNetworks | Self::JournalNetworks => {
                value.parse::<Networks>().is_ok_and(|all| all.is_bounded())
            }
            Self::Metrics => matches!(value, "on" | "off"),
        }
    }
}

/// Tells whether a text looks like one address; the mail server knows better.
pub(crate) fn is_address(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !"<>,;\"()[]\\".contains(c);
    text.len() <= ADDRESS_BYTES_MAX
        && text.chars().all(is_plain)
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.contains('.') && !domain.contains('@')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_not_taken() {
        for (setting, good, bad) in [
            (Setting::Language, &["de", "en"][..], &["", "fr", "DE"][..]),
            (Setting::TimeZone, &["UTC"], &["", "Mars"]),
            (
                Setting::RetentionYears,
                &["0", "10"],
                &["", "-1", "101", "ten"],
            ),
            (Setting::UpdateHour, &["0", "23"], &["24", "", "x"]),
            (Setting::Metrics, &["on", "off"], &["", "On", "yes"]),
            (
                Setting::StatusMailTo,
                &["", "it@office.example"],
                &[
                    "x",
                    "@y.z",
                    "a@b",
                    "a@b.c\r\nBcc: d@e.f",
                    "a@b.c, d@e.f",
                    "<a@b.c>",
                ],
            ),
            (
                Setting::AllowedNetworks,
                &["", "192.168.1.0/24, fd00::/8", "192.0.2.1\n192.0.2.2"],
                &["office", "0.0.0.0/0", "::/0", "10.0.0.0/33"],
            ),
            (Setting::JournalNetworks, &["10.0.0.0/8"], &["8.0.0.0/7"]),
        ] {
            assert_eq!(Setting::from_name(setting.name()), Some(setting));
            assert!(setting.takes(setting.first_value()), "{setting:?}");
            for value in good {
                assert!(setting.takes(value), "{setting:?} {value:?}");
            }
            for value in bad {
                assert!(!setting.takes(value), "{setting:?} {value:?}");
            }
        }
    }
}
