//! `coffer update tuf` and python-tuf: repositories of python-tuf are followed, and each client goes on where the other one stopped; the
//! repository that `scripts/release` makes is followed by both.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use tests::{Folder, Process, Ran, coffer, python_with, run};

/// Targets of every generation, of the top-level role and of delegated ones by path and by digest.
const TARGETS: [&str; 6] = [
    "coffer.efi",
    "mail/read me.txt",
    "mail/one.eml",
    "notes-de.txt",
    "notes-en.txt",
    "board.json",
];

/// A web server of python's with repositories below a folder, for as long as this lives.
struct Server {
    python: PathBuf,
    script: PathBuf,
    address: String,
    _process: Process,
}

impl Server {
    fn start(python: PathBuf, served: &Path, folder: &Folder) -> Self {
        let script = script();
        let arguments: [&dyn AsRef<OsStr>; 3] = [&script, &"serve", &served];
        let process = Process::start(&python, &arguments, &folder.join("server.log"));
        let port = process.next_line().expect("the server names its port");
        Self {
            python,
            script,
            address: format!("http://127.0.0.1:{port}"),
            _process: process,
        }
    }

    /// Somebody who keeps his files under `name` in a folder, and begins with a root.
    fn follower(&self, below: &str, folder: &Folder, name: &str, root: &Path) -> Follower<'_> {
        let follower = Follower {
            python: &self.python,
            script: &self.script,
            server: format!("{}{below}", self.address),
            metadata: folder.join(&format!("{name}/metadata")),
            targets: folder.join(&format!("{name}/targets")),
        };
        fs::create_dir_all(&follower.targets).expect("a folder");
        let init: [&dyn AsRef<OsStr>; 6] = [
            &"update",
            &"tuf",
            &"--metadata-dir",
            &follower.metadata,
            &"init",
            &root,
        ];
        coffer(&init).ok();
        follower
    }
}

/// Makes, serves and follows repositories with python-tuf.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tuf_repository.py")
}

/// Somebody who follows a repository on a web server.
struct Follower<'a> {
    python: &'a Path,
    script: &'a Path,
    server: String,
    metadata: PathBuf,
    targets: PathBuf,
}

impl Follower<'_> {
    fn address(&self, generation: u32, files: &str) -> String {
        format!("{}/{generation}/{files}", self.server)
    }

    /// Follows a generation with Coffer.
    fn coffer(&self, generation: u32, names: &[&str], command: &str) -> Ran {
        let (metadata, targets) = (
            self.address(generation, "metadata"),
            self.address(generation, "targets"),
        );
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![
            &"update",
            &"tuf",
            &"--metadata-dir",
            &self.metadata,
            &"--metadata-url",
            &metadata,
            &"--target-base-url",
            &targets,
            &"--target-dir",
            &self.targets,
        ];
        for name in names {
            arguments.extend([&"--target-name" as &dyn AsRef<OsStr>, name]);
        }
        arguments.push(&command);
        coffer(&arguments)
    }

    /// Follows a generation with python-tuf.
    fn python_tuf(&self, generation: u32, names: &[&str]) -> Ran {
        let (metadata, targets) = (
            self.address(generation, "metadata"),
            self.address(generation, "targets"),
        );
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![
            &self.script,
            &"follow",
            &self.metadata,
            &metadata,
            &targets,
            &self.targets,
        ];
        arguments.extend(names.iter().map(|name| name as &dyn AsRef<OsStr>));
        run(self.python, &arguments)
    }

    /// Checks that the targets of a generation, and no other file, are there.
    #[track_caller]
    fn has(&self, generation: u32, served: &Path) {
        for name in TARGETS {
            let file = self.targets.join(quoted(name, "%2F"));
            let found = fs::read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
            let served = served.join(format!("{generation}/targets/{}", quoted(name, "/")));
            assert_eq!(found, fs::read(served).expect("the target"), "{name}");
        }
        let count = fs::read_dir(&self.targets).expect("a folder").count();
        assert_eq!(count, TARGETS.len());
    }
}

fn quoted(name: &str, slash: &str) -> String {
    name.replace(' ', "%20").replace('/', slash)
}

#[test]
fn repositories_of_python_tuf_are_followed_by_either_client() {
    let Some(python) = python_with("tuf.ngclient, securesystemslib.signer") else {
        return;
    };
    let folder = Folder::new("tuf");
    let repositories = folder.join("repositories");
    let arguments: [&dyn AsRef<OsStr>; 3] = [&script(), &"make", &repositories];
    run(&python, &arguments).ok();
    let server = Server::start(python, &repositories, &folder);
    for kind in ["consistent", "plain"] {
        let served = repositories.join(kind);
        let root = served.join("1/metadata/1.root.json");
        let follower = server.follower(&format!("/{kind}"), &folder, kind, &root);
        follower.coffer(1, &TARGETS, "download").ok();
        follower.has(1, &served);
        // python-tuf goes on from what Coffer keeps, through rotations of all keys, and Coffer from what python-tuf keeps.
        follower.python_tuf(2, &TARGETS).ok();
        follower.has(2, &served);
        follower.coffer(3, &TARGETS, "download").ok();
        follower.has(3, &served);
        follower.python_tuf(3, &TARGETS).ok();
        // Neither goes back.
        assert_eq!(follower.python_tuf(2, &[]).code, Some(1));
        follower
            .coffer(2, &[], "refresh")
            .failed(1, &["timestamp", "goes back"]);
        follower
            .coffer(1, &TARGETS, "download")
            .failed(1, &["timestamp"]);
        follower
            .coffer(3, &["notes-fr.txt"], "download")
            .failed(1, &["no such target: notes-fr.txt"]);
        follower.has(3, &served);
    }
}

/// The top of the work tree.
fn top() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("a folder above").to_owned()
}

/// Does a step of a release, as `scripts/release repository` does it.
fn step(image: &Path, arguments: &[&dyn AsRef<OsStr>]) {
    let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"repository"];
    all.extend(arguments);
    run(image, &all).ok();
}

/// The program behind `scripts/release`.
fn image_program() -> PathBuf {
    let manifest = top().join("Cargo.toml");
    let build: [&dyn AsRef<OsStr>; 7] = [
        &"build",
        &"--quiet",
        &"--locked",
        &"--package",
        &"image",
        &"--manifest-path",
        &manifest,
    ];
    run("cargo", &build).ok();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(top().join("target"), PathBuf::from);
    target.join("debug/image")
}

/// Makes a repository with one release of two boards, whose versions are some bytes, by the commands that a release is made with.
fn make_release(folder: &Folder, repository: &Path) {
    let image = image_program();
    let step = |arguments: &[&dyn AsRef<OsStr>]| step(&image, arguments);
    let key = |name: &str| folder.join(&format!("key-{name}"));
    let public = |name: &str| folder.join(&format!("key-{name}.pub"));
    for name in ["root1", "root2", "root3", "targets", "snapshot", "time"] {
        step(&[&"new-key", &"--test", &key(name)]);
    }
    let roots = ["root1", "root2", "root3"].map(public);
    let (targets, snapshot, time) = (public("targets"), public("snapshot"), public("time"));
    step(&[
        &"root",
        &repository,
        &"--root-key",
        &roots[0],
        &"--root-key",
        &roots[1],
        &"--root-key",
        &roots[2],
        &"--targets-key",
        &targets,
        &"--snapshot-key",
        &snapshot,
        &"--timestamp-key",
        &time,
    ]);
    let built = folder.join("built");
    let facts = top().join("image/release.toml");
    for board in ["one", "two"] {
        let name = built
            .join(board)
            .join(format!("coffer-{}-{board}", env!("CARGO_PKG_VERSION")));
        let version = board.repeat(100_000);
        fs::create_dir_all(built.join(board)).expect("a folder");
        fs::write(name.with_added_extension("efi"), &version).expect("room");
        let packed = zstd::encode_all(version.as_bytes(), 19).expect("packed");
        fs::write(name.with_added_extension("efi.zst"), packed).expect("room");
    }
    step(&[
        &"release",
        &repository,
        &"--facts",
        &facts,
        &"--built",
        &built,
        &"--board",
        &"one",
        &"--board",
        &"two",
    ]);
    let staged = |name: &str| repository.join("staged").join(name);
    for (file, signer) in [
        ("1.root.json", "root1"),
        ("1.root.json", "root3"),
        ("1.targets.json", "targets"),
        ("1.snapshot.json", "snapshot"),
    ] {
        step(&[&"sign", &staged(file), &"--key", &key(signer)]);
    }
    step(&[
        &"publish",
        &repository,
        &"--test",
        &"--timestamp-key",
        &key("time"),
    ]);
}

#[test]
fn the_repository_of_a_release_is_followed_by_either_client() {
    let Some(python) = python_with("tuf.ngclient, securesystemslib.signer") else {
        return;
    };
    let folder = Folder::new("release");
    let served = folder.join("served");
    make_release(&folder, &served.join("1"));
    let server = Server::start(python, &served, &folder);
    let names =
        ["one", "two"].map(|board| format!("{board}/coffer-{}.efi.zst", env!("CARGO_PKG_VERSION")));
    let names = names.each_ref().map(String::as_str);
    for kind in ["coffer", "python-tuf"] {
        let root = served.join("1/metadata/1.root.json");
        let follower = server.follower("", &folder, kind, &root);
        match kind {
            "coffer" => follower.coffer(1, &names, "download").ok(),
            _ => follower.python_tuf(1, &names).ok(),
        };
        for (board, name) in ["one", "two"].iter().zip(names) {
            let fetched = fs::read(follower.targets.join(quoted(name, "%2F"))).expect("fetched");
            let version = zstd::decode_all(&*fetched).expect("packed");
            assert!(
                version == board.repeat(100_000).as_bytes(),
                "{kind}: {name}"
            );
        }
    }
}
