//! `coffer update tuf` and python-tuf: repositories of python-tuf are followed, and each client goes on where the other one stopped.

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

/// Repositories of python-tuf on a web server, and somebody who follows one of them.
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
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![
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
            arguments.extend([&"--target-name" as &dyn AsRef<std::ffi::OsStr>, name]);
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
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![
            &self.script,
            &"follow",
            &self.metadata,
            &metadata,
            &targets,
            &self.targets,
        ];
        arguments.extend(names.iter().map(|name| name as &dyn AsRef<std::ffi::OsStr>));
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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuf_repository.py");
    let repositories = folder.join("repositories");
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 3] = [&script, &"make", &repositories];
    run(&python, &arguments).ok();
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 3] = [&script, &"serve", &repositories];
    let server = Process::start(&python, &arguments, &folder.join("server.log"));
    let port = server.next_line().expect("the server names its port");
    for kind in ["consistent", "plain"] {
        let served = repositories.join(kind);
        let follower = Follower {
            python: &python,
            script: &script,
            server: format!("http://127.0.0.1:{port}/{kind}"),
            metadata: folder.join(&format!("{kind}/metadata")),
            targets: folder.join(&format!("{kind}/targets")),
        };
        fs::create_dir_all(&follower.targets).expect("a folder");
        let root = served.join("1/metadata/1.root.json");
        let init: [&dyn AsRef<std::ffi::OsStr>; 6] = [
            &"update",
            &"tuf",
            &"--metadata-dir",
            &follower.metadata,
            &"init",
            &root,
        ];
        coffer(&init).ok();
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
