//! What the kernel unpacks into memory and starts: our binary, modules, the few programs of others, and the licences of all.
//!
//! `/init` is the binary, `/bin/coffer` a link to it; `/modules` has the modules and their `index`; `/etc/coffer/release` says what this is,
//! `KEY=value` a line: VERSION, BOARD, BUILD_TIME (seconds since 1970, UTC) and COMMIT. `/etc/coffer/updates` has the repository's `address` and
//! the `root.json` that its followers begin with, unless the image was built without. Programs and libraries lie where Debian has them.

use crate::assembly::Updates;
use crate::board::Board;
use crate::commit::Commit;
use crate::cpio::{Archive, Node};
use crate::error::ImageError;
use crate::libraries;
use crate::licences::Licences;
use crate::modules::Modules;
use crate::package_tree::PackageTree;

/// Folders that the first phase of starting mounts something on.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Gathers everything; not compressed.
pub(crate) fn archive(
    board: &Board,
    commit: &Commit,
    coffer: Vec<u8>,
    modules: &Modules,
    licences: &Licences,
    tree: &PackageTree,
) -> Result<Archive, ImageError> {
    let mut archive = Archive::default();
    for folder in MOUNT_POINTS {
        archive.put(folder, Node::Folder);
    }
    archive.put("init", Node::Program(coffer));
    archive.put("bin/coffer", Node::Link("../init".to_owned()));
    archive.put(
        "etc/coffer/release",
        Node::File(release(board, commit).into_bytes()),
    );
    for (path, program) in libraries::with_libraries(&board.programs, &board.architecture, tree)? {
        archive.put(path, Node::Program(program));
    }
    for path in &board.files {
        archive.put(path, Node::File(tree.read(path)?));
    }
    for (name, file) in &modules.files {
        archive.put(format!("modules/{name}"), Node::File(file.clone()));
    }
    archive.put(
        "modules/index",
        Node::File(modules.index.clone().into_bytes()),
    );
    for (name, text) in licences.texts() {
        archive.put(format!("licences/{name}"), Node::File(text.to_vec()));
    }
    Ok(archive)
}

/// Adds where the box finds its updates, and whom it believes.
pub(crate) fn put_updates(archive: &mut Archive, updates: &Updates) {
    let files = [
        ("address", Some(updates.address.clone().into_bytes())),
        ("root.json", Some(updates.root.clone())),
        ("authority.pem", updates.authority.clone()),
    ];
    for (name, bytes) in files {
        let Some(bytes) = bytes else { continue };
        archive.put(format!("etc/coffer/updates/{name}"), Node::File(bytes));
    }
}

/// What `/etc/coffer/release` says.
fn release(board: &Board, commit: &Commit) -> String {
    format!(
        "VERSION={}\nBOARD={}\nBUILD_TIME={}\nCOMMIT={}\n",
        crate::VERSION,
        board.name,
        commit.time,
        commit.id
    )
}
