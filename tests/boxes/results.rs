//! What the long tests found, kept in a committed file: each part runs once for each commit, so that a run that was broken off goes on.
//!
//! Parts run side by side, each in a process of its own: whoever reads or notes something has the file to himself.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;
use tests::{Folder, is_long, run, skip, top};

/// Runs a part; in a long run it is noted with its commit, and passed over when it is noted already.
pub(crate) fn once(part: &str, test: impl FnOnce()) {
    if !is_long() {
        return test();
    }
    if has_passed(part) {
        return skip(&format!("{part}: it has passed on this commit"));
    }
    let began = Instant::now();
    test();
    note(part, json!({"seconds": began.elapsed().as_secs()}));
}

/// Whether a part is noted with this commit already; it never is where nothing is noted.
pub(crate) fn has_passed(part: &str) -> bool {
    let commit = commit();
    let is_it = |it: &Value| it["part"] == part && it["commit"] == commit.as_str();
    is_long() && Results::of_this_tree().read().iter().any(is_it)
}

/// Notes what a part has found, in the place of what it found before.
pub(crate) fn note(part: &str, mut found: Value) {
    found["part"] = part.into();
    found["commit"] = commit().into();
    Results::of_this_tree().replace(found);
}

/// The file with the results, and the lock before it: nobody else has either of them until the value is dropped.
struct Results {
    path: PathBuf,
    _lock: File,
}

impl Results {
    fn of_this_tree() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("boxes/results.json");
        Self::alone(path, &top().join("target/results.lock"))
    }

    /// Waits until nobody else has it.
    fn alone(path: PathBuf, lock: &Path) -> Self {
        let lock = File::create(lock).expect("a lock file");
        lock.lock().expect("the lock");
        Self { path, _lock: lock }
    }

    fn read(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.path).unwrap_or_else(|_| "[]".to_owned());
        serde_json::from_str(&text).expect("results are JSON")
    }

    /// Puts a result in the place of the one of the same part.
    fn replace(&self, result: Value) {
        let mut results = self.read();
        results.retain(|it| it["part"] != result["part"]);
        results.push(result);
        results.sort_by_key(|it| it["part"].to_string());
        let lines: Vec<_> = results.iter().map(Value::to_string).collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        fs::write(&self.path, text).expect("written");
    }
}

/// Each story on the board that this computer is of, and on the other one.
macro_rules! on_both_boards {
    ($($test:ident: $part:literal, $story:path;)*) => {
        $(
            #[test]
            #[ignore = "long: COFFER_TEST_LONG"]
            fn $test() {
                $crate::results::once($part, || $story(&tests::board()));
            }
        )*

        mod on_the_other_board {
            use super::*;

            $(
                #[test]
                #[ignore = "long: COFFER_TEST_LONG"]
                fn $test() {
                    let part = concat!($part, ", on the other board");
                    $crate::results::once(part, || $story(tests::other_board()));
                }
            )*
        }
    };
}

pub(crate) use on_both_boards;

/// What a box is made of, and what tries it out. Another commit that changes none of it changes no result.
const TRIED: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "board",
    "firmware",
    "image",
    "tests/boxes.rs",
    "tests/emulator.rs",
    "tests/boxes",
    ":!tests/boxes/results.json",
];

/// The last commit that changed what is tried out, with a plus where the work tree differs from it.
fn commit() -> String {
    let is_changed = !git(&["status", "--porcelain", "--"]).is_empty();
    let last = git(&[
        "rev-list",
        "--max-count=1",
        "--abbrev-commit",
        "--abbrev=12",
        "HEAD",
        "--",
    ]);
    format!("{last}{}", if is_changed { "+" } else { "" })
}

fn git(command: &[&str]) -> String {
    let top = top();
    let folder = ["-C", top.to_str().expect("a path that is text")];
    let said = run("git", &[&folder, command, &TRIED].concat()).text();
    said.trim().to_owned()
}

/// Without the lock of its own that each has, the last one would write what it read before the others wrote.
#[test]
fn parts_that_end_at_the_same_moment_are_all_noted() {
    const PARTS: usize = 16;
    let folder = Folder::new("results");
    let results = || Results::alone(folder.join("results.json"), &folder.join("results.lock"));
    thread::scope(|scope| {
        for part in 0..PARTS {
            scope.spawn(move || results().replace(json!({"part": part})));
        }
    });
    assert_eq!(results().read().len(), PARTS);
}
