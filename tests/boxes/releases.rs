//! Releases of tests: a repository that `scripts/release` writes with keys for tests, and the web server that gives it out by HTTPS.
//!
//! The versions of the emulator's box know the server by its certificate, as an office has them that serves updates itself.

use crate::version::Version;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tests::{Hardware, SelfSigned, run, top};

/// Where the emulated network reaches this computer.
const HOST: &str = "10.0.2.2";

/// Level of zstd for what is built for tests: the parts are packed already.
const LEVEL: i32 = 1;

/// 60 seconds for a client of ours to say or to take something.
const PATIENCE: Duration = Duration::from_secs(60);

/// How versions of tests prove themselves; they start this often.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// Starts that may fail.
    pub(crate) starts: u8,
    /// Seconds for which all has to hold.
    pub(crate) steady_s: u64,
    /// Seconds after the start by which that must have come about.
    pub(crate) patience_s: u64,
}

/// A version that works proves itself within a minute or two.
pub(crate) const SHORT: Terms = Terms {
    starts: 2,
    steady_s: 20,
    patience_s: 400,
};

/// A version that does not has one start, and is left soon.
pub(crate) const ONE_START: Terms = Terms {
    starts: 1,
    steady_s: 20,
    patience_s: 90,
};

/// A repository with its keys, and its server.
pub(crate) struct Releases {
    folder: PathBuf,
    board: String,
    server: Server,
}

impl Releases {
    /// Makes a repository without a release, and serves it; none, and a word about it, where there is no openssl.
    pub(crate) fn new(hardware: &Hardware, name: &str) -> Option<Self> {
        let certificate = SelfSigned::of(&hardware.folder, HOST)?;
        let folder = hardware.folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let releases = Self {
            server: Server::start(&certificate, folder.join("repository")),
            board: hardware.board.clone(),
            folder,
        };
        for key in ["a", "b", "c", "targets", "snapshot", "timestamp"] {
            let key = releases.folder.join(key);
            release(&["new-key".as_ref(), key.as_ref(), "--test".as_ref()]);
        }
        releases.make_root();
        Some(releases)
    }

    fn make_root(&self) {
        let repository = self.repository();
        let public = |key: &str| self.folder.join(format!("{key}.pub"));
        let keys = [
            ("--root-key", "a"),
            ("--root-key", "b"),
            ("--root-key", "c"),
            ("--targets-key", "targets"),
            ("--snapshot-key", "snapshot"),
            ("--timestamp-key", "timestamp"),
        ]
        .map(|(option, key)| (option, public(key)));
        let named = keys
            .iter()
            .flat_map(|(option, key)| [OsStr::new(option), key.as_os_str()]);
        let root = [OsStr::new("root"), repository.as_os_str()];
        release(&root.into_iter().chain(named).collect::<Vec<_>>());
        for key in ["a", "b"] {
            self.sign(&repository.join("staged/1.root.json"), key);
        }
        // Boxes are built with it before there is a release.
        fs::copy(
            repository.join("staged/1.root.json"),
            self.folder.join("root.json"),
        )
        .expect("a copy");
    }

    fn sign(&self, file: &Path, key: &str) {
        let key = self.folder.join(key);
        release(&[
            "sign".as_ref(),
            file.as_ref(),
            "--key".as_ref(),
            key.as_ref(),
        ]);
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    /// A version whose box follows this repository.
    pub(crate) fn followed_by(&self, version: &Version) -> Version {
        let address = format!("https://{HOST}:{}", self.server.port);
        let root = fs::read(self.folder.join("root.json")).expect("a root");
        let folder = |path| (path, 0o040_755, Vec::new());
        let file = |path, bytes| (path, 0o100_644, bytes);
        version.with_files(&[
            folder("etc"),
            folder("etc/coffer"),
            folder("etc/coffer/updates"),
            file("etc/coffer/updates/address", address.into_bytes()),
            file("etc/coffer/updates/root.json", root),
            file(
                "etc/coffer/updates/authority.pem",
                self.server.certificate.clone(),
            ),
        ])
    }

    /// Publishes a version under its number.
    pub(crate) fn publish(&self, number: &str, version: &Version, terms: Terms) {
        self.publish_for(&self.board, number, version, terms);
    }

    /// Publishes a version as one of a board.
    pub(crate) fn publish_for(&self, board: &str, number: &str, version: &Version, terms: Terms) {
        let built = self.folder.join("built");
        let name = format!("coffer-{number}-{board}.efi");
        let path = built.join(board).join(&name);
        fs::create_dir_all(built.join(board)).expect("a folder");
        fs::write(&path, version.bytes()).expect("room for a version");
        let packed = zstd::encode_all(version.bytes(), LEVEL).expect("packed");
        fs::write(path.with_extension("efi.zst"), packed).expect("room for a version");
        let facts = self.folder.join("release.toml");
        fs::write(&facts, facts_of(number, terms)).expect("room");
        let repository = self.repository();
        let option = |board: &str| format!("--board={board}");
        release(&[
            "release".as_ref(),
            repository.as_ref(),
            "--facts".as_ref(),
            facts.as_ref(),
            "--built".as_ref(),
            built.as_ref(),
            option(board).as_ref(),
            "--version".as_ref(),
            number.as_ref(),
        ]);
        for path in tests::files_under(&repository.join("staged")) {
            let name = path.to_string_lossy().into_owned();
            for key in ["targets", "snapshot"] {
                if name.ends_with(&format!(".{key}.json")) {
                    self.sign(&path, key);
                }
            }
        }
        let key = self.folder.join("timestamp");
        release(&[
            "publish".as_ref(),
            repository.as_ref(),
            "--timestamp-key".as_ref(),
            key.as_ref(),
            "--test".as_ref(),
        ]);
    }

    /// Writes what a box needs that has no way to the server as one file, and gives out nothing more.
    pub(crate) fn go_onto_a_stick(&self) -> PathBuf {
        let repository = self.repository();
        let option = format!("--board={}", self.board);
        let out = self.folder.join("file");
        release(&[
            "file".as_ref(),
            repository.as_ref(),
            option.as_ref(),
            "--out".as_ref(),
            out.as_ref(),
        ]);
        self.server.gives_out(self.folder.join("nothing"));
        out.join(format!("coffer-update-{}.tar", self.board))
    }

    /// Gives out another repository in the place of this one, under the same address.
    pub(crate) fn is_replaced_by(&self, other: &Self) {
        self.server.gives_out(other.repository());
    }
}

/// What is told of a version.
fn facts_of(number: &str, terms: Terms) -> String {
    let Terms {
        starts,
        steady_s,
        patience_s,
    } = terms;
    format!(
        "minimum_version = \"0.1.0\"\nsupported_until = \"2099-12-31T00:00:00Z\"\n\
         [trial]\nstarts = {starts}\nsteady_s = {steady_s}\npatience_s = {patience_s}\n\
         [notes]\nde = \"Neues in {number}.\"\nen = \"News of {number}.\"\n"
    )
}

/// Runs a step of `scripts/release repository`.
#[track_caller]
fn release(arguments: &[&OsStr]) {
    let target_dir = format!("CARGO_TARGET_DIR={}", top().join("target").display());
    let script = top().join("scripts/release");
    let head = [
        OsStr::new(&target_dir),
        script.as_os_str(),
        OsStr::new("repository"),
    ];
    run("env", &[&head[..], arguments].concat()).ok();
}

/// A web server with static files.
struct Server {
    port: u16,
    certificate: Vec<u8>,
    folder: Arc<Mutex<PathBuf>>,
}

impl Server {
    fn start(certificate: &SelfSigned, folder: PathBuf) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let folder = Arc::new(Mutex::new(folder));
        let settings = settings(certificate);
        let shared = folder.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (settings, shared) = (settings.clone(), shared.clone());
                // A client that goes away is its own affair.
                thread::spawn(move || serve(stream, settings, &shared));
            }
        });
        Self {
            port,
            certificate: fs::read(&certificate.certificate).expect("a certificate"),
            folder,
        }
    }

    fn gives_out(&self, folder: PathBuf) {
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder;
    }
}

fn settings(made: &SelfSigned) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(&made.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&made.key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(settings.expect("a certificate with its key"))
}

/// Answers the requests of a connection.
fn serve(
    stream: TcpStream,
    settings: Arc<ServerConfig>,
    folder: &Mutex<PathBuf>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let tls = ServerConnection::new(settings).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(tls, stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tls.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let behind = head
            .to_lowercase()
            .split_once("range: bytes=")
            .and_then(|(_, range)| range.split('-').next()?.parse::<usize>().ok());
        let folder = folder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let found = fs::read(folder.join(path.trim_start_matches('/')));
        let (status, body) = match (&found, behind) {
            (Err(_), _) => ("404 Not Found".to_owned(), &[][..]),
            (Ok(file), Some(from)) if from < file.len() => {
                let range = format!(
                    "Content-Range: bytes {from}-{}/{}",
                    file.len() - 1,
                    file.len()
                );
                (format!("206 Partial Content\r\n{range}"), &file[from..])
            }
            (Ok(file), _) => ("200 OK".to_owned(), &file[..]),
        };
        write!(
            tls,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        tls.write_all(body)?;
        tls.flush()?;
    }
}
