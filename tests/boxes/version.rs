//! Versions that do not work, made of the one that was built, and where they are put.
//!
//! Source of the layout: PE format, "COFF File Header", "Section Table".

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tests::{Folder, run};
use update::esp::{self, EntryName, Medium, Slot};

/// Where the EFI partition lies in an image, in bytes: as `image/disk.rs` says.
const EFI_START: u64 = 1 << 20;

/// Where a version says what it is, among its files.
const RELEASE: &str = "etc/coffer/release";

/// A version: a unified kernel image.
#[derive(Clone)]
pub(crate) struct Version(Vec<u8>);

impl Version {
    /// The one that the image was made of.
    pub(crate) fn built(image: &Path) -> Self {
        Self(fs::read(image.with_extension("efi")).expect("a version beside the image"))
    }

    /// The same under a number with which it comes before the built one.
    pub(crate) fn newer(&self) -> Self {
        self.numbered("99.0.0")
    }

    /// The same under another number: in what the boot loader sorts by, and in what the box says of itself. To be asked of the built one.
    pub(crate) fn numbered(&self, number: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let release = String::from_utf8_lossy(self.section(".osrel")).into_owned();
        let newer = release.replace(&format!("VERSION={version}"), &format!("VERSION={number}"));
        let newer = newer.replace(
            &format!("VERSION_ID={version}"),
            &format!("VERSION_ID={number}"),
        );
        assert_ne!(newer, release);
        let inside = self.release_inside();
        let release = inside.replace(
            &format!("VERSION={version}\n"),
            &format!("VERSION={number}\n"),
        );
        assert_ne!(release, inside);
        self.with(".osrel", newer.as_bytes())
            .with_file_over(RELEASE, release.as_bytes())
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What its `/etc/coffer/release` says.
    fn release_inside(&self) -> String {
        let files = zstd::decode_all(self.section(".initrd")).expect("an initramfs");
        let text = file_in(&files, RELEASE).expect("such a file");
        String::from_utf8(text.to_vec()).expect("text")
    }

    /// The same with another file in the place of one of its own: what the kernel unpacks later holds.
    pub(crate) fn with_file_over(&self, path: &'static str, bytes: &[u8]) -> Self {
        let mut files = self.section(".initrd").to_vec();
        files.resize(files.len().next_multiple_of(4), 0);
        files.extend(initramfs(&[(path, 0o100_644, bytes.to_vec())]));
        self.with(".initrd", &files)
    }

    /// The same with something behind its command line.
    pub(crate) fn started_with(&self, words: &str) -> Self {
        let line = String::from_utf8_lossy(self.section(".cmdline")).into_owned();
        let line = line.trim_end_matches(['\0', '\n', ' ']);
        self.with(".cmdline", format!("{line} {words}").as_bytes())
    }

    /// The same with files before its own.
    pub(crate) fn with_files(&self, files: &[(&str, u32, Vec<u8>)]) -> Self {
        let archive = initramfs(files);
        self.with(".initrd", &[&archive, self.section(".initrd")].concat())
    }

    /// Puts it into a slot of a partition.
    pub(crate) fn install_on(&self, medium: &mut dyn Medium, slot: Slot, name: EntryName) {
        let size_bytes = self.0.len() as u64;
        esp::install(medium, slot, name, size_bytes, &mut &*self.0).expect("it fits");
    }

    /// Makes it the only version of an image.
    pub(crate) fn replaces_all_on(&self, image: &Path) {
        let mut partition = EfiPartition::of(image);
        partition.remove(Slot::Recovery);
        partition.remove(Slot::A);
        let first = EntryName::good(1).expect("1 is an install counter");
        partition.install(Slot::A, first, self);
    }

    /// The same with 400 bytes of its kernel turned over.
    pub(crate) fn damaged(&self) -> Self {
        let mut damaged = self.clone();
        let (_, at, length) = damaged.place(".linux");
        let middle = at + length / 2;
        for byte in &mut damaged.0[middle..middle + 400] {
            *byte = !*byte;
        }
        damaged
    }

    /// As much of it as so many bytes.
    pub(crate) fn cut(&self, bytes: usize) -> Self {
        Self(self.0[..bytes].to_vec())
    }

    /// The same with another section of this name: in its place if it fits there, or is the last; else it goes to the end.
    fn with(&self, name: &str, bytes: &[u8]) -> Self {
        let mut image = self.0.clone();
        let (header, at, length) = self.place(name);
        let room = number(&image, header + 16);
        if bytes.len() <= room {
            image[at..at + room].fill(0);
            image[at..at + bytes.len()].copy_from_slice(bytes);
            image[header + 8..header + 12].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            return Self(image);
        }
        let is_last = at + room == image.len() && length <= room;
        let optional = number(&image, 0x3c) + 24;
        let (section_step, file_step) =
            (number(&image, optional + 32), number(&image, optional + 36));
        let end_address = number(&image, optional + 56).next_multiple_of(section_step);
        let address = match is_last {
            true => number(&image, header + 12),
            false => end_address,
        };
        if is_last {
            image.truncate(at);
        }
        image.resize(image.len().next_multiple_of(file_step), 0);
        let at = image.len();
        image.extend(bytes);
        image.resize(image.len().next_multiple_of(file_step), 0);
        let length = image.len() - at;
        let end = (address + bytes.len()).next_multiple_of(section_step);
        for (place, value) in [
            (header + 8, bytes.len()),
            (header + 12, address),
            (header + 16, length),
            (header + 20, at),
            (optional + 56, end),
        ] {
            image[place..place + 4].copy_from_slice(&(value as u32).to_le_bytes());
        }
        Self(image)
    }

    fn section(&self, name: &str) -> &[u8] {
        let (_, at, length) = self.place(name);
        &self.0[at..at + length]
    }

    /// Where a section's header, and where its bytes lie, and how many there are.
    fn place(&self, name: &str) -> (usize, usize, usize) {
        let coff = number(&self.0, 0x3c) + 4;
        let half = |at: usize| usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]));
        let table = coff + 20 + half(coff + 16);
        let headers = (0..half(coff + 2)).map(|index| table + 40 * index);
        let named = |header: &usize| {
            let field = &self.0[*header..header + 8];
            field.split(|byte| *byte == 0).next() == Some(name.as_bytes())
        };
        let header = headers.into_iter().find(named).expect("such a section");
        (
            header,
            number(&self.0, header + 20),
            number(&self.0, header + 8),
        )
    }
}

/// An initramfs of some files: path, mode and bytes of each. Source of the layout: initramfs buffer format, "newc".
pub(crate) fn initramfs(files: &[(impl AsRef<str>, u32, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let files = files.iter();
    let files = files.map(|(path, mode, bytes)| (path.as_ref(), *mode, bytes.as_slice()));
    let end: (&str, u32, &[u8]) = ("TRAILER!!!", 0, &[]);
    for (inode, (path, mode, bytes)) in files.chain([end]).enumerate() {
        let numbers = [
            inode + 1,
            mode as usize,
            0,
            0,
            1,
            0,
            bytes.len(),
            0,
            0,
            0,
            0,
        ];
        archive.extend(b"070701");
        for number in numbers.into_iter().chain([path.len() + 1, 0]) {
            archive.extend(format!("{number:08x}").into_bytes());
        }
        archive.extend(path.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

/// The bytes of a file in an initramfs.
fn file_in<'a>(mut archive: &'a [u8], path: &str) -> Option<&'a [u8]> {
    while archive.starts_with(b"070701") {
        let field = |number: usize| {
            let digits = str::from_utf8(&archive[6 + 8 * number..][..8]).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let (length, name_length) = (field(6)?, field(11)?);
        let begins = (110 + name_length).next_multiple_of(4);
        if &archive[110..110 + name_length - 1] == path.as_bytes() {
            return archive.get(begins..begins + length);
        }
        archive = archive.get((begins + length).next_multiple_of(4)..)?;
    }
    None
}

fn number(bytes: &[u8], at: usize) -> usize {
    let four = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(four) as usize
}

/// The EFI partition of a medium or disk, while the computer is off.
pub(crate) struct EfiPartition(File);

impl EfiPartition {
    /// Opens that of a disk.
    pub(crate) fn of(disk: &Path) -> Self {
        let file = File::options().read(true).write(true).open(disk);
        Self(file.expect("a disk"))
    }

    /// Puts a version into a slot.
    pub(crate) fn install(&mut self, slot: Slot, name: EntryName, version: &Version) {
        version.install_on(self, slot, name);
    }

    /// Removes the version of a slot.
    pub(crate) fn remove(&mut self, slot: Slot) {
        esp::remove(self, slot).expect("a version");
    }

    /// Names of the versions, by slot.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let versions = esp::read(self).expect("an EFI partition of ours");
        let all = Slot::ALL.into_iter().filter_map(|slot| versions.at(slot));
        all.map(|version| version.name.to_string()).collect()
    }

    /// Clears its first mebibyte.
    pub(crate) fn wipe(&mut self) {
        self.0
            .write_all_at(&vec![0; 1 << 20], EFI_START)
            .expect("written");
    }
}

impl Medium for EfiPartition {
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, EFI_START + offset)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, EFI_START + offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// A partition for further versions, of the kind that the boot loader looks at beside its own (UAPI Boot Loader Specification, XBOOTLDR).
pub(crate) struct FurtherPartition {
    /// Where it lies on the medium, in bytes.
    at: u64,
}

impl FurtherPartition {
    const BYTES: u64 = 96 << 20;

    /// Makes room for it behind all others.
    pub(crate) fn add_to(medium: &Path) -> Self {
        let file = File::options().write(true).open(medium).expect("a medium");
        let length = file.metadata().expect("a medium").len();
        file.set_len(length + Self::BYTES + (4 << 20))
            .expect("room");
        let first = (length + (1 << 20)).next_multiple_of(1 << 20);
        let place = format!("0:{}:+{}", first / 512, Self::BYTES / 512 - 1);
        let medium = medium.as_os_str();
        let moved = run("sgdisk", &["-e".as_ref(), medium]);
        moved.ok();
        run(
            "sgdisk",
            &[
                "-n".as_ref(),
                place.as_ref(),
                "-t".as_ref(),
                "0:ea00".as_ref(),
                medium,
            ],
        )
        .ok();
        Self { at: first }
    }

    /// Puts a version on it, and nothing else.
    pub(crate) fn put(&self, folder: &Folder, medium: &Path, name: &str, version: &Version) {
        let file_system = folder.join("further");
        let made = File::create(&file_system).and_then(|it| it.set_len(Self::BYTES));
        made.expect("room");
        let file_system = file_system.as_os_str();
        run(
            "mkfs.fat",
            &[
                "-F".as_ref(),
                "32".as_ref(),
                "-s".as_ref(),
                "1".as_ref(),
                file_system,
            ],
        )
        .ok();
        let version = folder.write("further.efi", &version.0);
        let target = format!("::/EFI/Linux/{name}");
        let option = OsStr::new("-i");
        run(
            "mmd",
            &[
                option,
                file_system,
                "::/EFI".as_ref(),
                "::/EFI/Linux".as_ref(),
            ],
        )
        .ok();
        run(
            "mcopy",
            &[option, file_system, version.as_os_str(), target.as_ref()],
        )
        .ok();
        let bytes = fs::read(file_system).expect("a file system");
        let medium = File::options().write(true).open(medium).expect("a medium");
        medium.write_all_at(&bytes, self.at).expect("written");
    }

    /// Names of what is on it.
    pub(crate) fn names(&self, medium: &Path) -> String {
        let place = format!("{}@@{}", medium.display(), self.at);
        run("mdir", &["-b", "-i", &place, "::/EFI/Linux"]).text()
    }
}
