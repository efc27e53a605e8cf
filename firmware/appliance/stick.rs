//! An update on a USB stick: found, copied to where the updates' worker reads it, and let go of again. A part of the disks' worker, which alone mounts.
//!
//! The first level of one of its file systems (FAT, exFAT, ext4) holds `coffer-update-BOARD.tar` (`update::file_repository`). A stick is mounted only when
//! somebody asks for it, read-only, and for no longer than the file takes to be copied. Nothing in it is believed here.

use crate::block_devices::{self, DISKS, Disk, Opened};
use crate::content;
use crate::kernel::{self, MountFlags};
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use update::file_repository::FILE_BYTES_MAX;

/// Where a stick is mounted.
const TARGET: &str = "/run/coffer/stick";

/// 3 minutes for the file: 64 MiB from the slowest sticks. Nobody else is served meanwhile.
const COPY_PATIENCE: Duration = Duration::from_secs(180);

/// 1 MiB at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Why nothing was taken from a stick.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StickError {
    /// No disk has a file system that is looked into.
    #[error("no stick with a file system that can be read")]
    NoStick,
    /// There is one, and no update on it.
    #[error("the stick has no file with the name: {0}")]
    NoUpdate(String),
    /// There are updates for other boards only.
    #[error("the stick has an update for another kind of device: {0}")]
    OtherBoard(String),
    /// The file is no file, or too long to be an update.
    #[error("not a file that can be an update: {0}")]
    NotAnUpdate(String),
    /// The stick is too slow.
    #[error("the stick does not answer in time")]
    TooSlow,
    /// The stick or the place it is copied to fails.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> StickError {
    move |source| StickError::Io { what, source }
}

/// Copies the update for a board from the first of these disks that has one; `place` says where a file of so many bytes goes. Gives where it lies.
///
/// # Errors
/// When there is none, or it cannot be copied; then nothing lies there.
pub(crate) fn take(
    disks: &[&Disk],
    board: &str,
    place: impl Fn(u64) -> PathBuf,
) -> Result<PathBuf, StickError> {
    let mut last = StickError::NoStick;
    for disk in disks {
        for (device, kind) in file_systems(disk) {
            match within(&device, kind, |folder| copy(folder, board, &place)) {
                Ok(path) => return Ok(path),
                // What stands on one that was looked into says more.
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// Device files and kinds of the file systems on a disk and its partitions.
fn file_systems(disk: &Disk) -> Vec<(String, &'static str)> {
    let mut devices = block_devices::partitions(Path::new(DISKS), disk);
    devices.push((disk.device(), disk.bytes));
    let kind_of = |(device, bytes): (String, u64)| {
        let file = File::open(&device).ok()?;
        let kind = content::file_system(&mut Opened { file, bytes }).ok()??;
        Some((device, kind))
    };
    devices.into_iter().filter_map(kind_of).collect()
}

/// Does something with a file system while it is mounted.
fn within<T>(
    device: &str,
    kind: &str,
    what: impl FnOnce(&Path) -> Result<T, StickError>,
) -> Result<T, StickError> {
    // Not even a journal is replayed on it.
    let options = if kind == "ext4" { "noload" } else { "" };
    let mount = |()| kernel::mount(device, TARGET, kind, MountFlags::READ_ONLY, options);
    let mounted = fs::create_dir_all(TARGET).and_then(mount);
    mounted.map_err(failed("mount the stick"))?;
    let done = what(Path::new(TARGET));
    kernel::unmount(TARGET).map_err(failed("unmount the stick"))?;
    done
}

fn name_for(board: &str) -> String {
    format!("coffer-update-{board}.tar")
}

fn copy(folder: &Path, board: &str, place: impl Fn(u64) -> PathBuf) -> Result<PathBuf, StickError> {
    let name = name_for(board);
    let from = match open(&folder.join(&name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(match other_board(folder) {
                Some(other) => StickError::OtherBoard(other),
                None => StickError::NoUpdate(name),
            });
        }
        other => other.map_err(failed("open the update on the stick"))?,
    };
    let metadata = from.metadata().map_err(failed("read the stick"))?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(StickError::NotAnUpdate(name));
    }
    let path = place(metadata.len());
    let copied = copy_to(&path, from, Instant::now() + COPY_PATIENCE);
    if copied.is_err() {
        let _ = fs::remove_file(&path); // it is overwritten the next time
    }
    copied.map(|()| path)
}

/// Opens a file, and no link to another, nor anything that would keep us waiting.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
}

/// The board of an update that is for another one.
fn other_board(folder: &Path) -> Option<String> {
    let names = fs::read_dir(folder).ok()?.flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.find_map(|name| {
        let board = name.strip_prefix("coffer-update-")?.strip_suffix(".tar")?;
        Some(board.to_owned())
    })
}

/// Whoever owns the folder may have put something there: it is made anew, and never written through.
fn copy_to(path: &Path, from: File, until: Instant) -> Result<(), StickError> {
    let what = "copy the update from the stick";
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(what)(error)),
        _ => {}
    }
    let mut to = File::create_new(path).map_err(failed(what))?;
    let mut from = from.take(FILE_BYTES_MAX);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).map_err(failed(what))?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&piece[..count]).map_err(failed(what))?;
        if Instant::now() > until {
            return Err(StickError::TooSlow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Copies from a folder as if it was a stick; what comes of it in a line, or the file's text.
    fn copied(stick: &Path, to: &Path) -> String {
        match copy(stick, "box", |_| to.to_owned()) {
            Ok(path) => fs::read_to_string(path).expect("a text"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_update_for_this_board_is_copied() {
        let (stick, place) = (tempfile::tempdir(), tempfile::tempdir());
        let (stick, place) = (stick.expect("a folder"), place.expect("a folder"));
        let to = place.path().join("brought");
        let check = |expected: &str| {
            let said = copied(stick.path(), &to);
            assert_eq!(said, expected);
        };
        check("the stick has no file with the name: coffer-update-box.tar");
        let write = |name: &str, text| fs::write(stick.path().join(name), text).expect("room");
        write("coffer-update-barn.tar", "barn");
        check("the stick has an update for another kind of device: barn");
        write("coffer-update-box.tar", "one");
        check("one");
        write("coffer-update-box.tar", "another");
        check("another");
    }

    #[test]
    fn what_is_no_file_is_not_read_and_nothing_is_written_through() {
        let (stick, place) = (tempfile::tempdir(), tempfile::tempdir());
        let (stick, place) = (stick.expect("a folder"), place.expect("a folder"));
        let (to, name) = (
            place.path().join("brought"),
            stick.path().join(name_for("box")),
        );
        symlink("/dev/zero", &name).expect("a link");
        assert_eq!(
            copied(stick.path(), &to),
            "cannot open the update on the stick"
        );
        fs::remove_file(&name).expect("removed");
        fs::create_dir(&name).expect("a folder");
        let said = copied(stick.path(), &to);
        assert!(said.starts_with("not a file that can be"), "{said}");
        fs::remove_dir(&name).expect("removed");
        let endless = File::create(&name).expect("a file");
        endless.set_len(FILE_BYTES_MAX + 1).expect("a hole");
        let said = copied(stick.path(), &to);
        assert!(said.starts_with("not a file that can be"), "{said}");
        assert!(!to.exists());
        // Somebody has put a link where the copy goes.
        let victim = place.path().join("victim");
        fs::write(&victim, "precious").expect("room");
        symlink(&victim, &to).expect("a link");
        fs::write(&name, "update").expect("room");
        assert_eq!(copied(stick.path(), &to), "update");
        assert_eq!(fs::read_to_string(victim).expect("a text"), "precious");
    }

    #[test]
    fn a_stick_that_is_too_slow_is_left() {
        let place = tempfile::tempdir().expect("a folder");
        let from = place.path().join("from");
        fs::write(&from, "x").expect("room");
        let from = File::open(from).expect("a file");
        let copied = copy_to(&place.path().join("to"), from, Instant::now());
        assert!(matches!(copied, Err(StickError::TooSlow)));
    }
}
