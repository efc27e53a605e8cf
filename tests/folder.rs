//! A folder for one test; it is removed when the test has passed.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is kept when its test fails.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes an empty folder for the test of this name, under the target folder.
    pub fn new(test: &str) -> Self {
        let path = target_folder()
            .join("system-tests")
            .join(format!("{test}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path).expect("an old folder can be removed");
        }
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    /// Gives its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the path of something in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    }
}

impl Drop for Folder {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the folder of the failed test is kept: {}",
                self.0.display()
            );
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The folder that Cargo builds in: three above the test's program (`target/debug/deps/program`).
pub(crate) fn target_folder() -> PathBuf {
    profile_folder()
        .parent()
        .expect("a target folder")
        .to_owned()
}

/// The folder of the profile that the tests were built with.
pub(crate) fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    program
        .ancestors()
        .nth(2)
        .expect("Cargo's layout")
        .to_owned()
}
