//! What the long tests found, kept in a committed file: each part runs once for each commit, so that a run that was broken off goes on.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tests::{is_long, run, skip, top};

/// Runs a part; in a long run it is noted with its commit, and passed over when it is noted already.
pub(crate) fn once(part: &str, test: impl FnOnce()) {
    if !is_long() {
        return test();
    }
    let commit = commit();
    let has_passed = |it: &Value| it["part"] == part && it["commit"] == commit.as_str();
    if read().iter().any(has_passed) {
        return skip(&format!("{part}: it has passed on this commit"));
    }
    let began = Instant::now();
    test();
    note(part, json!({"seconds": began.elapsed().as_secs()}));
}

/// Notes what a part has found, in the place of what it found before.
pub(crate) fn note(part: &str, mut found: Value) {
    found["part"] = part.into();
    found["commit"] = commit().into();
    let mut results = read();
    results.retain(|it| it["part"] != part);
    results.push(found);
    results.sort_by_key(|it| it["part"].to_string());
    let lines: Vec<_> = results.iter().map(Value::to_string).collect();
    fs::write(path(), format!("[\n{}\n]\n", lines.join(",\n"))).expect("written");
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("boxes/results.json")
}

fn read() -> Vec<Value> {
    let text = fs::read_to_string(path()).unwrap_or_else(|_| "[]".to_owned());
    serde_json::from_str(&text).expect("results are JSON")
}

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
