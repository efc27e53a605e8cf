//! The table of workers: which processes there are, as whom they run, and what they are started with.
//!
//! Each is this binary again (`/proc/self/exe`) in another role. Its standard output is its reports, its standard error its log.

use crate::disks::{CLAIM_CODE, NEW_PASSWORD_FOR};
use crate::supervisor::Terms;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Gives devices their drivers.
    Devices,
    /// Finds, opens and mounts disks.
    Disks,
    /// Brings up the network, keeps the clock.
    Network,
    /// Announces the page by mDNS.
    Names,
    /// Carries the log to the archive disk.
    Logs,
    /// The page and the door for mail while there is no archive.
    Waiting,
    /// The keeper of the archive.
    Archive,
    /// The door for mail.
    Mail,
    /// The page, its exports, and the archive's own mail.
    Page,
    /// Reads documents for the keeper.
    Extractor,
    /// Follows the repository of newer versions.
    Updates,
}

/// When a worker is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Always.
    Nothing,
    /// While an archive is mounted.
    Archive,
    /// While its keeper answers.
    Keeper,
    /// While it is known that none is.
    NoArchive,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worker {
    /// What it is for.
    pub(crate) role: Role,
    /// What the supervisor has to know.
    pub(crate) terms: Terms,
    /// User and group that it runs as; 0 keeps all rights, or gives most of them up by itself.
    pub(crate) user: u32,
    /// When it runs.
    pub(crate) needs: Needs,
    /// Whether the machine is beyond help without it.
    pub(crate) is_vital: bool,
}

/// The user of the keeper: the files of the archive on the disks are his.
pub(crate) const ARCHIVE_USER: u32 = 900;

/// The user of the page that waits for a disk.
pub(crate) const WAITING_USER: u32 = 901;

/// The user of the network's worker, which keeps the rights that its own needs.
pub(crate) const NETWORK_USER: u32 = 902;

/// The user who announces names.
const NAMES_USER: u32 = 903;

/// The user whose files are the log on the archive disk.
pub(crate) const LOGS_USER: u32 = 904;

/// The user who fetches newer versions.
pub(crate) const UPDATES_USER: u32 = 905;

/// The user of the door for mail.
pub(crate) const MAIL_USER: u32 = 906;

/// The user of the page, who knows whom the box may obey.
pub(crate) const PAGE_USER: u32 = 907;

/// The user of who reads documents, to whom nothing belongs.
const EXTRACTOR_USER: u32 = 908;

/// Where the keeper has its socket for edges.
const KEEPER: &str = "/run/coffer/keeper";

const fn worker(
    role: Role,
    name: &'static str,
    user: u32,
    needs: Needs,
    stage: u8,
    grace_s: u64,
) -> Worker {
    let grace = Duration::from_secs(grace_s);
    Worker {
        role,
        terms: Terms { name, grace, stage },
        user,
        needs,
        is_vital: matches!(role, Role::Devices | Role::Disks | Role::Network),
    }
}

/// All workers. Edges have forty seconds to end their sessions, then the keeper has a minute to sync; disks half of one to unmount, once nobody writes
/// there any more.
pub(crate) const TABLE: [Worker; 11] = [
    worker(Role::Devices, "devices", 0, Needs::Nothing, 0, 5),
    worker(Role::Disks, "disks", 0, Needs::Nothing, 1, 30),
    worker(Role::Network, "network", 0, Needs::Nothing, 2, 5),
    worker(Role::Names, "names", NAMES_USER, Needs::Nothing, 3, 5),
    worker(Role::Logs, "logs", LOGS_USER, Needs::Archive, 2, 5),
    worker(Role::Updates, "updates", UPDATES_USER, Needs::Nothing, 3, 5),
    worker(
        Role::Waiting,
        "waiting",
        WAITING_USER,
        Needs::NoArchive,
        3,
        10,
    ),
    worker(
        Role::Archive,
        "archive",
        ARCHIVE_USER,
        Needs::Archive,
        2,
        60,
    ),
    worker(Role::Mail, "mail", MAIL_USER, Needs::Keeper, 3, 40),
    worker(Role::Page, "page", PAGE_USER, Needs::Keeper, 3, 40),
    worker(
        Role::Extractor,
        "extractor",
        EXTRACTOR_USER,
        Needs::Keeper,
        3,
        5,
    ),
];

/// Whether a role tells the host name to others, and so has to begin again under a new one.
pub(crate) fn tells_hostname(role: Role) -> bool {
    matches!(
        role,
        Role::Names | Role::Waiting | Role::Archive | Role::Mail | Role::Page
    )
}

/// Where an archive is mounted, and its copy on the second disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// The data directory.
    pub(crate) data: String,
    /// That of the second disk.
    pub(crate) copy: Option<String>,
}

impl Places {
    /// The folder of the log, beside the data directory.
    fn log(&self) -> String {
        format!("{}/log", self.data.trim_end_matches("/data"))
    }
}

/// The arguments of a role.
pub(crate) fn arguments(
    role: Role,
    name: &str,
    hostname: &str,
    places: Option<&Places>,
) -> Vec<String> {
    let words = match (role, places) {
        (Role::Archive, Some(places)) => keep(hostname, places),
        (Role::Extractor, _) => vec!["extractor", "--keeper", KEEPER],
        (Role::Mail, _) => edge("mail", hostname, &[]),
        (Role::Page, _) => edge(
            "page",
            hostname,
            &["--web", "[::]:443", "--web-redirect", "[::]:80"],
        ),
        _ => vec!["appliance", name],
    };
    let mut words: Vec<_> = words.into_iter().map(str::to_owned).collect();
    if role == Role::Archive {
        words.extend(["--mail-user".to_owned(), MAIL_USER.to_string()]);
        words.extend(["--page-user".to_owned(), PAGE_USER.to_string()]);
        words.extend(["--extractor-user".to_owned(), EXTRACTOR_USER.to_string()]);
    }
    if role == Role::Logs {
        words.extend(places.map(Places::log));
    }
    words
}

fn keep<'a>(hostname: &'a str, places: &'a Places) -> Vec<&'a str> {
    let mut words = vec!["serve", "--data", &places.data, "--hostname", hostname];
    words.extend(["--appliance", "--claim-code-file", CLAIM_CODE]);
    words.extend(["--new-password-for-file", NEW_PASSWORD_FOR]);
    words.extend(["--edges", KEEPER]);
    if let Some(copy) = &places.copy {
        words.extend(["--copy", copy]);
    }
    words
}

/// The page tells of the doors for mail that the other one opens.
fn edge<'a>(name: &'a str, hostname: &'a str, web: &[&'a str]) -> Vec<&'a str> {
    let own = match name {
        "mail" => "/run/coffer/mail",
        _ => "/run/coffer/page",
    };
    let mut words = vec!["edge", name, "--keeper", KEEPER, "--own", own];
    words.extend(["--hostname", hostname, "--auth"]);
    words.extend(["--smtp", "[::]:25", "--smtps", "[::]:465"]);
    words.extend(web);
    words
}

/// A process that was started, with the ends of its pipes.
pub(crate) struct Started {
    /// Its number.
    pub(crate) process: u32,
    /// What it reports.
    pub(crate) reports: OwnedFd,
    /// What it logs.
    pub(crate) log: OwnedFd,
}

/// Starts a worker.
///
/// # Errors
/// When the kernel starts no process.
pub(crate) fn start(worker: &Worker, arguments: &[String]) -> io::Result<Started> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(worker.terms.name).args(arguments);
    command.env_clear().env("PATH", "/sbin");
    command.env("RUST_LOG", "warn,appliance=info");
    if worker.role == Role::Extractor {
        let (name, value) = crate::apart::COUNTED_MEMORY;
        command.env(name, value);
    }
    command.current_dir("/").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if worker.user != 0 {
        command.uid(worker.user).gid(worker.user);
    }
    let mut child = command.spawn()?;
    let missing = || io::Error::other("a process without pipes");
    Ok(Started {
        process: child.id(),
        reports: child.stdout.take().ok_or_else(missing)?.into(),
        log: child.stderr.take().ok_or_else(missing)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_told_apart_and_who_faces_the_network_has_no_rights() {
        let names: HashSet<_> = TABLE.iter().map(|worker| worker.terms.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for worker in &TABLE {
            let has_rights = matches!(worker.role, Role::Devices | Role::Disks | Role::Network);
            assert_eq!(worker.user == 0, has_rights, "{}", worker.terms.name);
        }
    }

    #[test]
    fn the_keeper_opens_no_door_and_edges_reach_no_disk() {
        let places = Places {
            data: "/archive/1/data".to_owned(),
            copy: Some("/archive/2/data".to_owned()),
        };
        let text = arguments(Role::Archive, "archive", "coffer", Some(&places)).join(" ");
        assert!(
            text.starts_with("serve --data /archive/1/data --hostname coffer"),
            "{text}"
        );
        assert!(text.contains("--copy /archive/2/data"), "{text}");
        assert!(!text.contains("[::]"), "{text}");
        for (role, name) in [(Role::Mail, "mail"), (Role::Page, "page")] {
            let text = arguments(role, name, "coffer", Some(&places)).join(" ");
            let begins = format!("edge {name} --keeper {KEEPER} --own /run/coffer/{name}");
            assert!(text.starts_with(&begins), "{text}");
            assert!(!text.contains("/archive"), "{text}");
        }
        let extractor = arguments(Role::Extractor, "extractor", "coffer", Some(&places));
        assert_eq!(extractor, ["extractor", "--keeper", KEEPER]);
        let disks = arguments(Role::Disks, "disks", "coffer", Some(&places));
        assert_eq!(disks, ["appliance", "disks"]);
        let logs = arguments(Role::Logs, "logs", "coffer", Some(&places));
        assert_eq!(logs, ["appliance", "logs", "/archive/1/log"]);
    }
}
