//! The lock of a data directory: exactly one process owns it.

use super::Failure;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The name of the file whose lock is the ownership; it holds the owner's process id for people.
const FILE: &str = "lock";

/// A data directory that this process owns until the value is dropped.
pub struct DirectoryLock {
    _file: Flock<File>,
}

impl DirectoryLock {
    /// Takes the lock of a data directory, which is made if it is missing.
    ///
    /// # Errors
    /// `InUse` when another process has it, with its process id.
    pub fn take(data: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::BadRequest(format!(
                "cannot use the data directory {}: {error}",
                data.display()
            ))
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .map_err(failed)?;
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options.open(data.join(FILE)).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // The number is for people only: the lock itself vanishes with the process.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| writeln!(file, "{}", std::process::id()));
                Ok(Self { _file: file })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => Err(in_use(&mut file, data)),
            Err((_, error)) => Err(failed(error.into())),
        }
    }
}

fn in_use(file: &mut File, data: &Path) -> Failure {
    let mut owner = String::new();
    let _ = file.read_to_string(&mut owner);
    let owner = match owner.trim() {
        "" => String::new(),
        number => format!(" (process {number})"),
    };
    Failure::InUse(format!(
        "the data directory {} is in use by another Coffer{owner}; stop that one, or use another directory",
        data.display()
    ))
}
