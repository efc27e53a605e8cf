//! An archive disk in the hands of somebody who has its recovery key, and no box.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use tests::{Archive, Folder, python_with, run, skip};

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
        let python = python_with("cryptography")?;
        if run("which", &["debugfs"]).code != Some(0) {
            skip("a look into an archive disk: debugfs is missing");
            return None;
        }
        let name = disk.file_stem().expect("a name").to_string_lossy();
        let folder = folder.join(&format!("opened-{name}"));
        fs::create_dir(&folder).expect("a new folder");
        let file_system = folder.join("ext4");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("boxes/open_disk.py");
        let arguments: [&OsStr; 4] = [
            script.as_os_str(),
            disk.as_os_str(),
            OsStr::new(recovery_key),
            file_system.as_os_str(),
        ];
        run(python, &arguments).ok();
        // Not cleanly unmounted after a power cut: the journal is played first, as the box does it.
        let checked = run("e2fsck", &[OsStr::new("-p"), file_system.as_os_str()]);
        assert!(matches!(checked.code, Some(0 | 1)), "{checked:?}");
        let dump = format!("rdump /data {}", folder.display());
        run(
            "debugfs",
            &[OsStr::new("-R"), OsStr::new(&dump), file_system.as_os_str()],
        )
        .ok();
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

impl Drop for OpenedDisk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
