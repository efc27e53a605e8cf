//! The console: what somebody with a screen or a serial cable sees. It takes no input.
//!
//! A line that a console does not take at once is lost for it: nothing waits for a cable.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Names of all consoles of the kernel's command line.
const ACTIVE: &str = "/sys/class/tty/console/active";

/// What the box has to say about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Version and board.
    pub(crate) release: String,
    /// The host name, without `.local`.
    pub(crate) hostname: String,
    /// Its addresses in the network.
    pub(crate) addresses: Vec<String>,
    /// What whoever sets it up has to type on the page; none once somebody has.
    pub(crate) claim_code: Option<String>,
    /// Who has got a new password, and which.
    pub(crate) new_password: Option<String>,
    /// What the archive does.
    pub(crate) archive: String,
    /// What there is of disks.
    pub(crate) disks: String,
    /// What is wrong.
    pub(crate) troubles: Vec<String>,
}

impl Status {
    /// The lines for the console.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), format!("  Coffer {}", self.release)];
        lines.push(format!("  page     https://{}.local", self.hostname));
        if self.addresses.is_empty() {
            lines.push("           no network: is the cable plugged in?".to_owned());
        }
        for address in &self.addresses {
            lines.push(format!("           https://{address}"));
        }
        if let Some(code) = &self.claim_code {
            lines.push(format!("  code     {code}   (asked for by the page)"));
        }
        if let Some(password) = &self.new_password {
            lines.push(format!("  password {password}   (for the next sign-in)"));
        }
        lines.push(format!("  disks    {}", self.disks));
        lines.push(format!("  archive  {}", self.archive));
        for trouble in &self.troubles {
            lines.push(format!("  trouble  {trouble}"));
        }
        lines.push(String::new());
        lines
    }
}

/// All consoles of this machine.
#[derive(Default)]
pub(crate) struct Console(Vec<File>);

impl Console {
    /// Opens all that there are.
    pub(crate) fn open() -> Self {
        let names = fs::read_to_string(ACTIVE).unwrap_or_else(|_| "console".to_owned());
        let open = |name: &str| {
            OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open(format!("/dev/{name}"))
                .ok()
        };
        let mut consoles: Vec<File> = names.split_whitespace().filter_map(open).collect();
        for console in &mut consoles {
            // A screen stays on (console_codes(4)): what it shows is all that somebody has who stands before the box.
            let _ = console.write_all(b"\x1b[9;0]");
        }
        Self(consoles)
    }

    /// Writes a line to all of them.
    pub(crate) fn line(&mut self, text: &str) {
        let line = format!("{}\r\n", printable(text));
        for console in &mut self.0 {
            let _ = console.write(line.as_bytes());
        }
    }
}

/// Control characters could move the cursor or hide text.
fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_what_to_do_next() {
        let status = Status {
            release: "0.1.0 (x86_64-uefi)".to_owned(),
            hostname: "coffer".to_owned(),
            addresses: vec!["192.168.1.20".to_owned()],
            new_password: None,
            claim_code: Some("ABCD-1234".to_owned()),
            archive: "waits for a disk".to_owned(),
            disks: "no archive disk".to_owned(),
            troubles: Vec::new(),
        };
        let text = status.lines().join("\n");
        for part in [
            "https://coffer.local",
            "https://192.168.1.20",
            "ABCD-1234",
            "no archive disk",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("trouble"));
        let alone = Status {
            troubles: vec!["clock".to_owned()],
            ..Status::default()
        };
        let text = alone.lines().join("\n");
        assert!(text.contains("cable") && text.contains("trouble  clock"));
        assert!(!text.contains("code"));
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(printable("a\x1b[2J\nb\u{9b}c"), "a [2J b c");
    }
}
