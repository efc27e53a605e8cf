//! An archive as its operator has it: a data directory, and the program that is run on it.

use crate::folder::{profile_folder, target_folder};
use crate::process::{Process, Ran, run};
use crate::{Client, files_under};
use aws_lc_rs::digest::{SHA256, digest};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// More hits than any test has messages.
const ALL: &str = "1000000";

/// Gives the SHA-256 of bytes in hexadecimal digits, as the program writes it.
pub fn digest_of(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Runs the program with a command that is about no archive.
pub fn coffer(arguments: &[&dyn AsRef<OsStr>]) -> Ran {
    run(binary(), arguments)
}

/// Gives the binary that is tested, and builds it if none is named.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("COFFER_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "coffer", "--target-dir"])
        .arg(target_folder())
        .args(profile_folder().ends_with("release").then_some("--release"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(
        status.expect("cargo runs").success(),
        "the program cannot be built"
    );
    profile_folder().join("coffer")
}

/// Runs `verify` on an export, without any archive.
pub fn verify_export(zip: &Path, arguments: &[&dyn AsRef<OsStr>]) -> Ran {
    let head: [&dyn AsRef<OsStr>; 2] = [&"verify", &zip];
    let all: Vec<_> = head.into_iter().chain(arguments.iter().copied()).collect();
    run(binary(), &all)
}

/// One line of `search --json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Number of the message.
    pub number: u64,
    /// SHA-256 of the message.
    pub digest: String,
    /// Numbers of messages that differ from it in line ends or trace fields only, and are no hits of their own.
    pub copies: Vec<u64>,
    /// All that the line says.
    pub line: Value,
}

/// A data directory.
pub struct Archive(PathBuf);

impl Archive {
    /// Names a data directory, whether there is one yet or not.
    pub fn at(data: impl Into<PathBuf>) -> Self {
        Self(data.into())
    }

    /// Gives its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Runs a command on it.
    pub fn try_run(&self, command: &str, arguments: &[&dyn AsRef<OsStr>]) -> Ran {
        run(binary(), &self.with_data(command, arguments))
    }

    /// Runs a command on it that has to end with 0, and gives its standard output.
    #[track_caller]
    pub fn run(&self, command: &str, arguments: &[&dyn AsRef<OsStr>]) -> Vec<u8> {
        self.try_run(command, arguments).ok()
    }

    /// Starts a command on it beside the test.
    pub fn start(&self, command: &str, arguments: &[&dyn AsRef<OsStr>], log: &Path) -> Process {
        Process::start(binary(), &self.with_data(command, arguments), log)
    }

    /// Makes an account.
    #[track_caller]
    pub fn add_account(&self, name: &str, password: &str) {
        let arguments: &[&dyn AsRef<OsStr>] = &[&"account", &"add", &"--data", &self.0, &name];
        crate::run_with_input(binary(), arguments, format!("{password}\n").as_bytes()).ok();
    }

    fn with_data(&self, command: &str, arguments: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
        let head = [
            command.into(),
            "--data".into(),
            self.0.clone().into_os_string(),
        ];
        head.into_iter()
            .chain(
                arguments
                    .iter()
                    .map(|argument| argument.as_ref().to_owned()),
            )
            .collect()
    }

    /// Imports files and folders and gives the counts that `--json` prints.
    #[track_caller]
    pub fn import(&self, arguments: &[&dyn AsRef<OsStr>]) -> Value {
        let arguments: Vec<&dyn AsRef<OsStr>> = [&"--json" as &dyn AsRef<OsStr>]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        serde_json::from_slice(&self.run("import", &arguments)).expect("import prints JSON")
    }

    /// Imports what comes through the standard input and gives the counts that `--json` prints.
    #[track_caller]
    pub fn import_input(&self, input: &[u8]) -> Value {
        let arguments = self.with_data("import", &[&"--json", &"-"]);
        let ran = crate::run_with_input(binary(), &arguments, input);
        serde_json::from_slice(&ran.ok()).expect("import prints JSON")
    }

    /// Finds all messages that match.
    #[track_caller]
    pub fn search(&self, query: &str) -> Vec<Hit> {
        let output = self.run("search", &[&"--json", &"--limit", &ALL, &query]);
        String::from_utf8(output)
            .expect("search prints UTF-8")
            .lines()
            .map(read_hit)
            .collect()
    }

    /// Finds the digests of all messages that match; those of copies are computed from their bytes.
    #[track_caller]
    pub fn digests(&self, query: &str) -> BTreeSet<String> {
        let hits = self.search(query);
        let copies = hits.iter().flat_map(|hit| &hit.copies);
        let copies: BTreeSet<String> = copies.map(|number| digest_of(&self.show(number))).collect();
        hits.into_iter()
            .map(|hit| hit.digest)
            .chain(copies)
            .collect()
    }

    /// Gives the exact bytes of a message.
    #[track_caller]
    pub fn show(&self, which: impl ToString) -> Vec<u8> {
        self.run("show", &[&which.to_string()])
    }

    /// Gives a figure of `stats --json`.
    #[track_caller]
    pub fn stat(&self, name: &str) -> u64 {
        let stats: Value =
            serde_json::from_slice(&self.run("stats", &[&"--json"])).expect("stats prints JSON");
        stats[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {stats}"))
    }

    /// Gives the key that checks what the archive signs.
    #[track_caller]
    pub fn key(&self) -> String {
        self.try_run("key", &[]).text().trim().to_owned()
    }

    /// Checks that `verify` finds nothing wrong, and that the archive's own key signed.
    #[track_caller]
    pub fn verify(&self) {
        let key = self.key();
        let report = self.try_run("verify", &[&"--json", &"--key", &key]).text();
        let report: Value = serde_json::from_str(&report).expect("verify prints JSON");
        assert_eq!(report["holds"], true, "{report}");
        assert!(report["signer_checked"].is_string(), "{report}");
    }

    /// Exports all messages into a new folder and gives their digests; the bytes are read from the files.
    #[track_caller]
    pub fn export_eml(&self, out: &Path) -> BTreeSet<String> {
        self.run("export", &[&"--format", &"eml", &out]);
        files_under(out)
            .iter()
            .map(|file| digest_of(&fs::read(file).expect("an exported file")))
            .collect()
    }

    /// Starts to serve it, by SMTP on a free port and what else is asked for, and waits until it is ready.
    #[track_caller]
    pub fn serve(&self, arguments: &[&dyn AsRef<OsStr>]) -> Serving {
        let arguments: Vec<&dyn AsRef<OsStr>> = [&"--smtp" as &dyn AsRef<OsStr>, &"127.0.0.1:0"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.serve_without_doors(&arguments)
    }

    /// As [`serve`](Self::serve), by no port but those that are asked for.
    #[track_caller]
    pub fn serve_without_doors(&self, arguments: &[&dyn AsRef<OsStr>]) -> Serving {
        let log = self.0.with_extension("serve.log");
        Serving::once_ready(self.start("serve", arguments, &log), &log)
    }
}

/// Starts the edge of that name, with a folder of its own beside that of its keeper's socket, and waits until it is ready.
#[track_caller]
pub fn edge(name: &str, keeper: &Path, arguments: &[&dyn AsRef<OsStr>]) -> Serving {
    let own = keeper.with_extension(name);
    fs::create_dir_all(&own).expect("a folder");
    let head: [&dyn AsRef<OsStr>; 6] = [&"edge", &name, &"--keeper", &keeper, &"--own", &own];
    let all: Vec<_> = head.into_iter().chain(arguments.iter().copied()).collect();
    let log = own.with_extension("log");
    Serving::once_ready(Process::start(binary(), &all, &log), &log)
}

fn read_hit(line: &str) -> Hit {
    let line: Value = serde_json::from_str(line).expect("search prints JSON");
    let digest = line["digest"]
        .as_str()
        .expect("a hit has a digest")
        .to_owned();
    let copies = line["copies"].as_array().expect("a hit names its copies");
    Hit {
        number: line["number"].as_u64().expect("a hit has a number"),
        digest,
        copies: copies.iter().filter_map(Value::as_u64).collect(),
        line,
    }
}

/// A running `coffer serve`; it is killed when the value is dropped.
pub struct Serving {
    process: Process,
    said: Vec<String>,
}

impl Serving {
    #[track_caller]
    fn once_ready(process: Process, log: &Path) -> Self {
        let mut said = Vec::new();
        loop {
            match process.next_line() {
                Some(line) if line == "ready" => return Self { process, said },
                Some(line) => said.push(line),
                None => panic!(
                    "it did not become ready: {}",
                    fs::read_to_string(log).unwrap_or_default()
                ),
            }
        }
    }

    /// Waits until it ends by itself and gives the exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.process.wait()
    }

    /// Gives what it said after `name: ` when it started.
    #[track_caller]
    pub fn said(&self, name: &str) -> &str {
        let line = self
            .said
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.said))
    }

    /// Gives the address for SMTP.
    pub fn smtp(&self) -> SocketAddr {
        self.said("smtp").parse().expect("an address")
    }

    /// Connects to it by SMTP.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.smtp()).expect("serve takes connections")
    }

    /// Gives its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Gives the most memory that it had so far, in bytes (VmHWM, proc_pid_status(5)).
    pub fn memory_peak_bytes(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("VmHWM");
        let kib = line
            .trim()
            .strip_suffix(" kB")
            .and_then(|kib| kib.trim().parse::<u64>().ok());
        kib.expect("a number") << 10
    }

    /// Kills it as a power cut does.
    pub fn kill(mut self) {
        self.process.signal(Signal::SIGKILL);
        assert_eq!(self.process.wait(), None, "it ended before it was killed");
    }

    /// Asks it to stop and checks that it does so in order.
    #[track_caller]
    pub fn stop(mut self) {
        self.process.signal(Signal::SIGTERM);
        assert_eq!(self.process.wait(), Some(0), "exit code after SIGTERM");
    }
}
