//! An archive disk in the hands of somebody who has its recovery key, and no box.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use tests::{Archive, Folder, python_with, run, skip};

/// What the file systems of archive disks are made of.
const BLOCK_BYTES: u64 = 4096;

/// What lay on a disk.
pub(crate) struct OpenedDisk {
    archive: Archive,
    folder: PathBuf,
}

impl OpenedDisk {
    /// Copies the data directory off a disk; nothing, and a word about it, where a tool is missing.
    ///
    /// # Panics
    /// When the key opens nothing, or the file system is damaged.
    #[track_caller]
    pub(crate) fn new(folder: &Folder, disk: &Path, recovery_key: &str) -> Option<Self> {
        let name = disk.file_stem().expect("a name").to_string_lossy();
        let folder = folder.join(&format!("opened-{name}"));
        fs::create_dir(&folder).expect("a new folder");
        let file_system = folder.join("ext4");
        decrypt(disk, recovery_key, &file_system)?;
        // Not cleanly unmounted after a power cut: the journal is played first, as the box does it.
        let checked = run("e2fsck", &[OsStr::new("-p"), file_system.as_os_str()]);
        assert!(matches!(checked.code, Some(0 | 1)), "{checked:?}");
        ask(&file_system, &format!("rdump /data {}", folder.display()));
        fs::remove_file(file_system).expect("it was made above");
        Some(Self {
            archive: Archive::at(folder.join("data")),
            folder,
        })
    }

    /// Its archive, to be asked by the command line.
    pub(crate) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Digests of all messages, of the bytes that an export gives.
    pub(crate) fn exported(&self) -> BTreeSet<String> {
        self.archive.export_eml(&self.folder.join("exported"))
    }
}

/// Where a block of 4 KiB of a file of the archive lies on the disk itself, in bytes; nothing, and a word about it, where a tool is missing.
#[track_caller]
pub(crate) fn place_on_disk(
    folder: &Folder,
    disk: &Path,
    recovery_key: &str,
    path: &str,
    block: u64,
) -> Option<u64> {
    let file_system = folder.join("looked-at");
    let begins_at = decrypt(disk, recovery_key, &file_system)?;
    let said = ask(&file_system, &format!("bmap /data/{path} {block}"));
    fs::remove_file(file_system).expect("it was made above");
    let place: u64 = said.trim().parse().expect("a number of a block");
    assert_ne!(place, 0, "{path} has no such block");
    Some(begins_at + place * BLOCK_BYTES)
}

/// Copies the file system off a disk, and tells where it begins there.
#[track_caller]
fn decrypt(disk: &Path, recovery_key: &str, file_system: &Path) -> Option<u64> {
    let python = python_with("cryptography")?;
    if run("which", &["debugfs"]).code != Some(0) {
        skip("a look into an archive disk: debugfs is missing");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("boxes/open_disk.py");
    let arguments: [&OsStr; 4] = [
        script.as_os_str(),
        disk.as_os_str(),
        OsStr::new(recovery_key),
        file_system.as_os_str(),
    ];
    let said = run(python, &arguments).text();
    Some(said.trim().parse().expect("where it begins"))
}

/// What debugfs answers.
#[track_caller]
fn ask(file_system: &Path, question: &str) -> String {
    let arguments = [
        OsStr::new("-R"),
        OsStr::new(question),
        file_system.as_os_str(),
    ];
    run("debugfs", &arguments).text()
}

impl Drop for OpenedDisk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
