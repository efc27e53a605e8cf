//! A disk of some megabytes that a test can fill to the last byte, without harm to anybody else.

use crate::{is_root, run, skip};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 192 MiB: small enough to be filled in seconds, large enough for reserve, margin, catalog and index.
pub const DISK_MIB: u64 = 192;

/// A small disk; it is unmounted when the value is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; nothing, and a word about it, where that is not allowed.
    ///
    /// # Panics
    /// When the folder is there already.
    pub fn mount(at: PathBuf) -> Option<Self> {
        if !is_root() {
            skip("a full disk: only root can mount a small one");
            return None;
        }
        fs::create_dir(&at).expect("a folder");
        let size = format!("size={DISK_MIB}m");
        let mounted = run(
            "mount",
            &[
                &"-t" as &dyn AsRef<OsStr>,
                &"tmpfs",
                &"-o",
                &size,
                &"coffer-test",
                &at,
            ],
        );
        if mounted.code != Some(0) {
            skip(&format!(
                "a full disk: cannot mount a small one: {}",
                mounted.stderr.trim()
            ));
            return None;
        }
        Some(Self(at))
    }

    /// Gives its folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Fills it to the last byte with a file.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .expect("a file");
        let block = vec![0xA5; 1 << 20];
        let mut length = block.len();
        while length > 0 {
            if file.write_all(&block[..length]).is_err() {
                length /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = fs::copy(
                self.0.join("data.serve.log"),
                self.0.with_extension("serve.log"),
            );
        }
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
