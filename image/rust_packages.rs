//! Packages from crates.io that are part of our binary, as cargo tells them.

use crate::board::Board;
use crate::error::ImageError;
use crate::files;
use crate::program;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Beginnings of the names of files that hold licences, in capitals.
const LICENCE_FILES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];

/// A Rust package that is part of the binary.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RustPackage {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence as an SPDX expression, if it names one.
    pub(crate) licence: Option<String>,
    /// Texts of its licences.
    pub(crate) licence_texts: Vec<Vec<u8>>,
}

/// Gives the packages of others in our binary for a board, by name and version.
pub(crate) fn of_binary(board: &Board) -> Result<Vec<RustPackage>, ImageError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = format!("{}-unknown-linux-musl", board.architecture);
    let said = program::run(Command::new(cargo).args([
        "metadata",
        "--locked",
        "--format-version=1",
        "--filter-platform",
        &target,
    ]))?;
    understand(&said)?.into_iter().map(with_texts).collect()
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Listed>,
    resolve: Resolved,
}

#[derive(Clone, Deserialize)]
struct Listed {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolved {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// What a dependency is for: nothing says that it is part of the program, else tests or build scripts need it.
#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Gives all that `coffer` is made of and that comes from elsewhere.
fn understand(said: &str) -> Result<Vec<Listed>, ImageError> {
    let not_understood = |said: String| ImageError::NotUnderstood {
        program: "cargo metadata".to_owned(),
        said,
    };
    let Metadata { packages, resolve } =
        serde_json::from_str(said).map_err(|error| not_understood(error.to_string()))?;
    let by_id: BTreeMap<&str, &Listed> = packages.iter().map(|one| (&*one.id, one)).collect();
    let nodes: BTreeMap<&str, &Node> = resolve.nodes.iter().map(|one| (&*one.id, one)).collect();
    let coffer = packages.iter().find(|one| one.name == "coffer");
    let mut ahead = vec![
        &*coffer
            .ok_or_else(|| not_understood("no coffer".to_owned()))?
            .id,
    ];
    let mut found = BTreeSet::new();
    while let Some(id) = ahead.pop() {
        if found.insert(id) {
            let dependencies = nodes.get(id).map_or(&[][..], |node| &node.deps);
            ahead.extend(
                dependencies
                    .iter()
                    .filter(|one| one.dep_kinds.iter().any(|kind| kind.kind.is_none()))
                    .map(|one| &*one.pkg),
            );
        }
    }
    let mut listed: Vec<Listed> = found
        .into_iter()
        .filter_map(|id| by_id.get(id).copied())
        .filter(|one| one.source.is_some())
        .cloned()
        .collect();
    listed.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(listed)
}

fn with_texts(listed: Listed) -> Result<RustPackage, ImageError> {
    let folder = listed.manifest_path.parent().unwrap_or(Path::new(""));
    let licence_texts = files::list(folder)?
        .iter()
        .filter(|path| path.is_file() && path.file_name().is_some_and(holds_a_licence))
        .map(|path| files::read(path))
        .collect::<Result<_, _>>()?;
    Ok(RustPackage {
        name: listed.name,
        version: listed.version,
        licence: listed.license,
        licence_texts,
    })
}

fn holds_a_licence(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_uppercase();
    LICENCE_FILES.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_only_tests_and_build_scripts_need_is_left_out() {
        let package = |name: &str, source: Option<&str>| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": source, "manifest_path": "/x/Cargo.toml"});
        let needs =
            |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let said = json!({
            "packages": [
                package("coffer", None), package("store", None), package("zstd", Some("registry")),
                package("redb", Some("registry")), package("cc", Some("registry")), package("proptest", Some("registry")),
            ],
            "resolve": {"nodes": [
                {"id": "coffer", "deps": [needs("store", None), needs("proptest", Some("dev"))]},
                {"id": "store", "deps": [needs("zstd", None), needs("redb", None)]},
                {"id": "zstd", "deps": [needs("cc", Some("build")), needs("redb", None)]},
                {"id": "redb", "deps": []},
            ]},
        });
        let listed = understand(&said.to_string()).expect("works");
        let names: Vec<_> = listed.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["redb", "zstd"]);
        assert!(understand("{}").is_err());
    }
}
