//! Names of versions, `cfN.efi` or `cfN+L-D.efi`: what the boot loader sorts by last and counts tries in.
//!
//! N counts installs; 0 is the recovery slot's, so that it comes last among equals. L tries are left and D done while a version is on trial;
//! `+L` alone means that none is done. Source: systemd, "Automatic Boot Assessment".

use std::fmt;
use std::str::FromStr;

/// 13 characters: a longer name would take a third entry of the directory, and the entries might grow out of its first sector.
const NAME_CHARS_MAX: usize = 13;

/// Name of a version's file in `EFI/Linux`; what cannot be written in 13 characters cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryName {
    install: u16,
    tries: Option<Tries>,
}

/// Where a version on trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Starts that are left, 0 to 9.
    pub left: u8,
    /// Starts that were made, 0 to 9.
    pub done: u8,
}

impl EntryName {
    /// The recovery slot's name.
    pub const RECOVERY: Self = Self {
        install: 0,
        tries: None,
    };

    /// Names a version that is good; nothing when the counter is not 1 to 999.
    pub fn good(install: u16) -> Option<Self> {
        (1..=999).contains(&install).then_some(Self {
            install,
            tries: None,
        })
    }

    /// Names a version that is to prove itself within some starts; nothing when the counter is not 1 to 999 or the starts are not 1 to 9.
    pub fn on_trial(install: u16, starts: u8) -> Option<Self> {
        let name = Self::good(install).filter(|_| (1..=9).contains(&starts))?;
        Some(Self {
            tries: Some(Tries {
                left: starts,
                done: 0,
            }),
            ..name
        })
    }

    /// Names a version that is to start no more, as when all its tries are used up; nothing when the counter is not 1 to 999.
    pub fn spent(install: u16) -> Option<Self> {
        let tries = Some(Tries { left: 0, done: 1 });
        Self::good(install).map(|name| Self { tries, ..name })
    }

    /// Gives the install counter: 1 to 999, 0 for the recovery slot's.
    pub fn install(self) -> u16 {
        self.install
    }

    /// Gives the tries; none for a version that is good.
    pub fn tries(self) -> Option<Tries> {
        self.tries
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tries {
            None => write!(out, "cf{}.efi", self.install),
            Some(Tries { left, done }) => write!(out, "cf{}+{left}-{done}.efi", self.install),
        }
    }
}

/// A file name that is no version's.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("not a name of a version: {0:?}")]
pub struct NotAVersion(String);

impl FromStr for EntryName {
    type Err = NotAVersion;

    fn from_str(name: &str) -> Result<Self, NotAVersion> {
        parse(name).ok_or_else(|| NotAVersion(name.to_owned()))
    }
}

fn parse(name: &str) -> Option<EntryName> {
    // Firmware may write names that fit 8.3 in capitals.
    let name = name.to_ascii_lowercase();
    let middle = name.strip_prefix("cf")?.strip_suffix(".efi")?;
    let (install, tries) = match middle.split_once('+') {
        None => (middle, None),
        Some((install, tries)) => {
            let (left, done) = tries.split_once('-').unwrap_or((tries, "0"));
            let (left, done) = (number(left, 1)? as u8, number(done, 1)? as u8);
            (install, Some(Tries { left, done }))
        }
    };
    let install = number(install, 3)?;
    (name.len() <= NAME_CHARS_MAX).then_some(EntryName { install, tries })
}

fn number(text: &str, digits_max: usize) -> Option<u16> {
    let plain = text.len() <= digits_max && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects a name to be one of that install and those tries, and to be written in full.
    #[track_caller]
    fn check(name: &str, install: u16, tries: Option<(u8, u8)>, written: &str) {
        let read: EntryName = name.parse().expect("a name");
        assert_eq!(read.install(), install);
        assert_eq!(read.tries().map(|tries| (tries.left, tries.done)), tries);
        assert_eq!(read.to_string(), written);
    }

    #[test]
    fn names_are_read_and_written() {
        check("cf1.efi", 1, None, "cf1.efi");
        check("CF12.EFI", 12, None, "cf12.efi");
        check("cf0.efi", 0, None, "cf0.efi");
        check("cf2+3.efi", 2, Some((3, 0)), "cf2+3-0.efi");
        check("cf999+0-9.efi", 999, Some((0, 9)), "cf999+0-9.efi");
        for other in [
            "",
            "cf.efi",
            "cf1",
            "cf1000.efi",
            "cf1+.efi",
            "cf1+12.efi",
            "cf1+1-.efi",
            "cf-1.efi",
            "cf+3.efi",
            "linux.efi",
        ] {
            assert!(other.parse::<EntryName>().is_err(), "{other}");
        }
    }

    #[test]
    fn only_what_fits_is_made() {
        assert_eq!(EntryName::good(0), None);
        assert_eq!(EntryName::good(1000), None);
        assert_eq!(EntryName::on_trial(5, 0), None);
        assert_eq!(EntryName::on_trial(5, 10), None);
        assert_eq!(EntryName::spent(0), None);
        let spent = EntryName::spent(7).expect("works").to_string();
        assert_eq!(spent, "cf7+0-1.efi");
        let longest = EntryName::on_trial(999, 9).expect("works").to_string();
        assert_eq!(longest, "cf999+9-0.efi");
        assert!(longest.len() <= NAME_CHARS_MAX);
    }
}
