//! The one way to the archive's disk: volumes, redb and tantivy all stand on the trait [`Disk`], so that one simulated
//! disk can fail, fill up, tear a write or lose the unsynced ones at any step of the whole store.
//!
//! It holds what the store needs of a file system and no more: no cursors, no locks, no links, no times. It keeps nothing
//! in memory and retries nothing; whoever gets an error decides what it means.
//!
//! Contract, the same for every disk and tested on each (`contract` below):
//!
//! - Names are relative to the root of the disk and hold neither `.` nor `..`; the empty name is the root itself.
//! - What was written is seen by the next read at once, but outlasts a power cut only after [`DiskFile::sync_data`].
//! - A new, renamed or removed name outlasts a power cut only after [`Disk::sync_dir`] on its folder. A rename is never
//!   seen half done. A folder made by [`Disk::create_dir`] lasts at once.
//! - After a failed sync nobody knows what lies on the disk, and a later sync that succeeds does not tell (fsync(2) of Linux
//!   reports a lost page once): the writer must go back to what was durable before.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::sys::statvfs::statvfs;
use tantivy::Directory;
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::OpenReadError;

/// The bytes of a whole file, cheap to clone and to slice; they stay as they were when the file is replaced or removed.
pub type Bytes = tantivy::directory::OwnedBytes;

/// Ends the name of a file that [`Disk::replace`] is writing; one that is left over by a crash means nothing.
pub const BESIDE_SUFFIX: &str = ".new";

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; the file must exist.
    Write,
    /// For reading and writing; the file is made, empty, when it does not exist.
    Create,
    /// For reading and writing; the file must not exist and is made, empty.
    CreateNew,
}

/// The size of a disk and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What can still be written by us, in bytes.
    pub available_bytes: u64,
}

/// A place for files, as the head of this file describes it.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder and those above it, where they are missing; all of them are durable then.
    fn create_dir(&self, name: &Path) -> io::Result<()>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` and `AlreadyExists` as [`Open`] demands.
    fn open(&self, name: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;

    /// Lists the names of what lies directly in a folder, each with the folder's own name before it, in ascending order.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Tells whether there is a file or folder of that name.
    fn exists(&self, name: &Path) -> io::Result<bool>;

    /// Removes a file; whoever has it open or mapped keeps it.
    fn remove(&self, name: &Path) -> io::Result<()>;

    /// Removes a folder with all that lies in it, file by file: a crash may leave a part.
    fn remove_dir_all(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file or folder another name; a file that had it is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable, new and removed ones.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;

    /// Gives a whole file for reading without holding it in memory, where the system can.
    ///
    /// Nobody may shorten the file while the bytes are in use: touching the missing part would end the process.
    fn map(&self, name: &Path) -> io::Result<Bytes>;

    /// Says that so many bytes from the start of a file will be read soon, so that the system may fetch them meanwhile.
    ///
    /// Nothing depends on it.
    fn read_ahead(&self, _name: &Path, _bytes: u64) {}

    /// Tells how large the disk is and how much is left.
    fn room(&self) -> io::Result<Room>;

    /// Gives the folder of the computer's file system that the disk is, where it is one.
    fn root(&self) -> Option<&Path> {
        None
    }

    /// Reads a whole file into memory.
    fn read(&self, name: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(name, Open::Read)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Makes or replaces a whole file so that the old or the new bytes are there, whatever happens; the new ones are durable then.
    ///
    /// Two calls for the same name must not run at once: both write the same file beside it.
    fn replace(&self, name: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = beside(name);
        let renamed = write_whole(self, &beside, bytes).and_then(|()| self.rename(&beside, name));
        if renamed.is_err() {
            // It may take room on a full disk; the first error is the one to tell.
            let _ = self.remove(&beside);
        }
        renamed?;
        self.sync_dir(folder_of(name))
    }
}

/// An open file of a [`Disk`]; several threads may use it at once.
#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks whether a file is empty"
)]
pub trait DiskFile: Send + Sync {
    /// Gives the length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills `bytes` from the file, from `offset` bytes after its start.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; a gap between the old end and `offset` reads as zeros.
    ///
    /// After an error any part of them may have been written.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `len` bytes or makes it longer with zeros, for which no room is kept.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all that was written, and the length, durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Gives the system's descriptor, for handing the file to another process; none where there is none.
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    /// Keeps room for the first `len` bytes, so that writing there cannot meet a full disk; a shorter file grows to `len`
    /// with zeros, a longer one stays.
    fn allocate(&self, len: u64) -> io::Result<()>;
}

/// Gives the folder in which a name lies.
pub fn folder_of(name: &Path) -> &Path {
    name.parent().unwrap_or(Path::new(""))
}

/// A folder of the computer's own file system; files and folders made in it are for its owner alone (modes 600 and 700).
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Takes `root` as the root of the disk; `create_dir("")` makes it where it is missing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, name: &Path) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(if name.as_os_str().is_empty() {
            self.root.clone()
        } else {
            self.root.join(name)
        })
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, name: &Path) -> io::Result<()> {
        check_name(name)?;
        create_root(&self.root)?;
        let mut folder = self.root.clone();
        for part in name.components() {
            let child = folder.join(part);
            make_folder(&child)?;
            // Also when it was there: whoever made it may have died before this sync.
            sync_folder(&folder)?;
            folder = child;
        }
        Ok(())
    }

    fn open(&self, name: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options()
            .read(true)
            .write(how != Open::Read)
            .create(how == Open::Create)
            .create_new(how == Open::CreateNew)
            .truncate(false)
            .mode(0o600)
            .open(self.path(name)?)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(file))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut names = fs::read_dir(self.path(folder)?)?
            .map(|entry| Ok(folder.join(entry?.file_name())))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, name: &Path) -> io::Result<bool> {
        self.path(name)?.try_exists()
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        fs::remove_file(self.path(name)?)
    }

    fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir_all(self.path(folder)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.path(from)?, self.path(to)?)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        sync_folder(&self.path(folder)?)
    }

    fn map(&self, name: &Path) -> io::Result<Bytes> {
        let path = self.path(name)?;
        let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // tantivy does the mapping, so that no unsafe code is needed here. A directory of its own each time, since one keeps
        // giving out the bytes of a file that has been replaced.
        let directory = MmapDirectory::open(folder).map_err(|error| {
            if folder.is_dir() {
                io::Error::other(error)
            } else {
                io::ErrorKind::NotFound.into()
            }
        })?;
        let mapped = directory.open_read(Path::new(file));
        mapped.map_err(error_of_mapping)?.read_bytes()
    }

    fn read_ahead(&self, name: &Path, bytes: u64) {
        let file = self.path(name).and_then(File::open);
        if let (Ok(file), Ok(bytes)) = (file, i64::try_from(bytes)) {
            // A system that cannot do it reads the file when it is used.
            let _ = posix_fadvise(&file, 0, bytes, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
        }
    }

    fn room(&self) -> io::Result<Room> {
        let found = statvfs(&self.root)?;
        Ok(Room {
            total_bytes: found.fragment_size() * found.blocks(),
            available_bytes: found.fragment_size() * found.blocks_available(),
        })
    }

    fn root(&self) -> Option<&Path> {
        Some(&self.root)
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let length = i64::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        loop {
            match fallocate(self, FallocateFlags::empty(), 0, length) {
                Ok(()) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(Errno::EOPNOTSUPP) => return fill_with_zeros(self, len),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd(self))
    }
}

/// Refuses a name that leads out of the disk or can be written in another way.
pub(crate) fn check_name(name: &Path) -> io::Result<()> {
    let plain = name
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if plain {
        Ok(())
    } else {
        let text = format!("not a name on this disk: {}", name.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

/// Gives the name under which the next content of `name` is written.
pub(crate) fn beside(name: &Path) -> PathBuf {
    let mut beside = name.as_os_str().to_owned();
    beside.push(BESIDE_SUFFIX);
    beside.into()
}

fn write_whole<D: Disk + ?Sized>(disk: &D, name: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(name, Open::Create)?;
    file.set_len(0)?;
    file.write_all_at(0, bytes)?;
    file.sync_data()
}

fn create_root(root: &Path) -> io::Result<()> {
    if root.as_os_str().is_empty() || root.is_dir() {
        return Ok(());
    }
    let parent = folder_of(root);
    create_root(parent)?;
    make_folder(root)?;
    sync_folder(parent)
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let here = path.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { path })?.sync_all()
}

/// Takes room by writing, on a file system that cannot keep it otherwise.
fn fill_with_zeros(file: &File, len: u64) -> io::Result<()> {
    /// Bytes a write: enough that the calls do not count.
    const WRITE_BYTES: usize = 64 << 10;
    let zeros = vec![0; WRITE_BYTES];
    let mut offset = file.metadata()?.len();
    while offset < len {
        let count = (len - offset).min(WRITE_BYTES as u64);
        FileExt::write_all_at(file, &zeros[..count as usize], offset)?;
        offset += count;
    }
    Ok(())
}

fn error_of_mapping(error: OpenReadError) -> io::Error {
    match error {
        OpenReadError::FileDoesNotExist(_) => io::ErrorKind::NotFound.into(),
        OpenReadError::IoError { io_error, .. } => io::Error::new(io_error.kind(), io_error),
        other => io::Error::other(other),
    }
}

/// What every disk must do, run on each of them.
#[cfg(test)]
pub(crate) mod contract {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// Runs all of it on an empty disk.
    pub(crate) fn check(disk: &dyn Disk) -> Outcome {
        disk.create_dir(Path::new(""))?;
        names_that_lead_out_are_refused(disk);
        files_open_as_asked(disk)?;
        bytes_are_read_where_they_were_written(disk)?;
        lengths_change_as_asked(disk)?;
        names_change_as_asked(disk)?;
        folders_come_and_go(disk)?;
        replacing_leaves_nothing_beside(disk)?;
        mapped_bytes_stay(disk)?;
        let room = disk.room()?;
        assert!(room.available_bytes > 0 && room.available_bytes <= room.total_bytes);
        Ok(())
    }

    fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
        result.err().map(|error| error.kind())
    }

    fn names_that_lead_out_are_refused(disk: &dyn Disk) {
        for name in ["/etc", "..", "a/../../b", "./a"] {
            let found = kind(disk.exists(Path::new(name)));
            assert_eq!(found, Some(io::ErrorKind::InvalidInput), "{name}");
        }
    }

    fn files_open_as_asked(disk: &dyn Disk) -> Outcome {
        let name = Path::new("file");
        assert!(!disk.exists(name)?);
        for how in [Open::Read, Open::Write] {
            assert_eq!(kind(disk.open(name, how)), Some(io::ErrorKind::NotFound));
        }
        let nowhere = Path::new("no-folder/file");
        let found = kind(disk.open(nowhere, Open::Create));
        assert_eq!(found, Some(io::ErrorKind::NotFound));
        disk.open(name, Open::CreateNew)?.write_all_at(0, b"kept")?;
        let again = kind(disk.open(name, Open::CreateNew));
        assert_eq!(again, Some(io::ErrorKind::AlreadyExists));
        for how in [Open::Read, Open::Write, Open::Create] {
            assert_eq!(disk.open(name, how)?.len()?, 4);
        }
        let reader = disk.open(name, Open::Read)?;
        assert!(reader.write_all_at(0, b"lost").is_err());
        assert_eq!(disk.read(name)?, b"kept");
        Ok(disk.remove(name)?)
    }

    fn bytes_are_read_where_they_were_written(disk: &dyn Disk) -> Outcome {
        let file = disk.open(Path::new("file"), Open::Create)?;
        file.write_all_at(3, b"abc")?;
        file.write_all_at(5, b"de")?;
        file.sync_data()?;
        let other = disk.open(Path::new("file"), Open::Read)?;
        let mut bytes = [9; 7];
        other.read_exact_at(0, &mut bytes)?;
        assert_eq!(&bytes, b"\0\0\0abde");
        let beyond = kind(other.read_exact_at(1, &mut bytes));
        assert_eq!(beyond, Some(io::ErrorKind::UnexpectedEof));
        file.write_all_at(1, b"x")?;
        other.read_exact_at(1, &mut bytes[..1])?;
        assert_eq!(bytes[0], b'x');
        Ok(disk.remove(Path::new("file"))?)
    }

    fn lengths_change_as_asked(disk: &dyn Disk) -> Outcome {
        let file = disk.open(Path::new("file"), Open::Create)?;
        file.write_all_at(0, b"abcdef")?;
        file.set_len(2)?;
        file.set_len(4)?;
        assert_eq!(disk.read(Path::new("file"))?, b"ab\0\0");
        file.allocate(0)?;
        file.allocate(3)?;
        assert_eq!(file.len()?, 4);
        file.allocate(70_000)?;
        let bytes = disk.read(Path::new("file"))?;
        assert_eq!(bytes.len(), 70_000);
        assert!(bytes.starts_with(b"ab") && bytes[2..].iter().all(|byte| *byte == 0));
        Ok(disk.remove(Path::new("file"))?)
    }

    fn names_change_as_asked(disk: &dyn Disk) -> Outcome {
        let (one, two) = (Path::new("one"), Path::new("two"));
        for name in [one, two] {
            let file = disk.open(name, Open::Create)?;
            file.write_all_at(0, name.as_os_str().as_encoded_bytes())?;
        }
        let open = disk.open(two, Open::Read)?;
        disk.rename(one, two)?;
        disk.sync_dir(Path::new(""))?;
        assert_eq!(disk.list(Path::new(""))?, [two]);
        assert_eq!(disk.read(two)?, b"one");
        disk.remove(two)?;
        let mut bytes = [0; 3];
        open.read_exact_at(0, &mut bytes)?;
        assert_eq!(&bytes, b"two");
        assert_eq!(kind(disk.remove(two)), Some(io::ErrorKind::NotFound));
        let found = kind(disk.rename(one, two));
        assert_eq!(found, Some(io::ErrorKind::NotFound));
        Ok(())
    }

    fn folders_come_and_go(disk: &dyn Disk) -> Outcome {
        let (outer, inner) = (Path::new("outer"), Path::new("outer/inner"));
        assert_eq!(kind(disk.list(outer)), Some(io::ErrorKind::NotFound));
        disk.create_dir(inner)?;
        disk.create_dir(inner)?;
        disk.open(&inner.join("b"), Open::CreateNew)?;
        disk.open(&inner.join("a"), Open::CreateNew)?;
        disk.sync_dir(inner)?;
        assert!(disk.open(inner, Open::Read).is_err());
        assert_eq!(disk.list(outer)?, [inner]);
        assert_eq!(disk.list(inner)?, [inner.join("a"), inner.join("b")]);
        disk.rename(outer, Path::new("other"))?;
        assert!(disk.exists(Path::new("other/inner/b"))? && !disk.exists(outer)?);
        disk.remove_dir_all(Path::new("other"))?;
        assert!(disk.list(Path::new(""))?.is_empty());
        let found = kind(disk.remove_dir_all(outer));
        assert_eq!(found, Some(io::ErrorKind::NotFound));
        Ok(())
    }

    fn replacing_leaves_nothing_beside(disk: &dyn Disk) -> Outcome {
        let folder = Path::new("folder");
        disk.create_dir(folder)?;
        let name = folder.join("identity");
        disk.open(&beside(&name), Open::Create)?
            .write_all_at(0, b"left over by a crash")?;
        for bytes in [&b"a longer text"[..], b"short", b""] {
            disk.replace(&name, bytes)?;
            assert_eq!(disk.read(&name)?, bytes);
            assert_eq!(disk.list(folder)?, [name.as_path()]);
        }
        Ok(disk.remove_dir_all(folder)?)
    }

    fn mapped_bytes_stay(disk: &dyn Disk) -> Outcome {
        let name = Path::new("mapped");
        assert_eq!(kind(disk.map(name)), Some(io::ErrorKind::NotFound));
        let nowhere = kind(disk.map(Path::new("no-folder/file")));
        assert_eq!(nowhere, Some(io::ErrorKind::NotFound));
        disk.replace(name, b"")?;
        assert!(disk.map(name)?.is_empty());
        disk.replace(name, b"old")?;
        let old = disk.map(name)?;
        disk.replace(name, b"newer")?;
        let new = disk.map(name)?;
        disk.remove(name)?;
        assert_eq!(
            (old.as_slice(), new.as_slice()),
            (&b"old"[..], &b"newer"[..])
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn real_disk_keeps_the_contract() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        contract::check(&RealDisk::new(folder.path().join("not/there/yet")))
    }

    #[test]
    fn files_and_folders_are_for_their_owner_alone() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let disk = RealDisk::new(folder.path().join("data"));
        disk.create_dir(Path::new("volumes"))?;
        disk.replace(Path::new("volumes/1"), b"mail")?;
        let mode = |name: &str| -> io::Result<u32> {
            let found = fs::metadata(disk.root.join(name))?;
            Ok(found.permissions().mode() & 0o777)
        };
        assert_eq!(mode("volumes/1")?, 0o600);
        assert_eq!((mode("")?, mode("volumes")?), (0o700, 0o700));
        Ok(())
    }

    #[test]
    fn zeros_take_room_behind_the_end_only() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let disk = RealDisk::new(folder.path());
        disk.replace(Path::new("file"), b"abc")?;
        let file = File::options()
            .write(true)
            .open(folder.path().join("file"))?;
        fill_with_zeros(&file, 2)?;
        assert_eq!(disk.read(Path::new("file"))?, b"abc");
        fill_with_zeros(&file, 200_000)?;
        let bytes = disk.read(Path::new("file"))?;
        assert_eq!((bytes.len(), &bytes[..4]), (200_000, &b"abc\0"[..]));
        Ok(())
    }
}
