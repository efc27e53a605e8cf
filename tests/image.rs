//! The image of this computer's kind of board: two builds are the same bytes, the tools of others read what lies on it, and it starts in an emulator.
//!
//! Needs a static binary, which `COFFER_BIN` names in `scripts/test`, Debian's packages, dosfstools, mtools and gdisk, and QEMU.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tests::{Folder, Process, run, skip, wait_for};

/// Where the EFI partition lies in an image, in bytes: as `image/disk.rs` says.
const EFI_START: u64 = 1 << 20;
const EFI_BYTES: usize = 304 << 20;

/// The board that this computer is of.
fn board() -> String {
    format!("{}-uefi", std::env::consts::ARCH)
}

/// The top of the work tree.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(1)
        .expect("a folder above this one")
        .to_owned()
}

/// Builds the image, and gives the folder that it lies in.
fn build(target: &Path) -> PathBuf {
    let target_dir = format!("CARGO_TARGET_DIR={}", target.display());
    let script = top().join("scripts/image");
    run(
        "env",
        &[
            OsStr::new(&target_dir),
            script.as_os_str(),
            OsStr::new(&board()),
        ],
    )
    .ok();
    target.join("image").join(board())
}

/// Says why nothing can be tested here, if so.
fn missing(programs: &[&str]) -> Option<String> {
    if std::env::var_os("COFFER_BIN").is_none() {
        return Some("COFFER_BIN names no static binary".to_owned());
    }
    ["apt-get", "dpkg-deb"]
        .iter()
        .chain(programs)
        .find(|program| run("which", &[program]).code != Some(0))
        .map(|program| format!("{program} is missing"))
}

/// One test, since all of it works on the one folder that images are built in.
#[test]
fn an_image_is_reproducible_readable_and_starts() {
    if let Some(why) = missing(&["fsck.fat", "mcopy", "sgdisk", "curl"]) {
        skip(&format!("the image: {why}"));
        return;
    }
    let folder = Folder::new("image");
    let target = top().join("target");
    let built = build(&target);
    let sums = fs::read_to_string(built.join("SHA256SUMS")).expect("digests");
    assert!(sums.lines().count() >= 5, "{sums}");
    let again = fs::read_to_string(build(&target).join("SHA256SUMS")).expect("digests");
    assert_eq!(again, sums);
    others_can_read_it(&built, &sums, &folder);
    it_starts_and_ends_by_its_button(&folder);
}

fn others_can_read_it(built: &Path, sums: &str, folder: &Folder) {
    let named = |end: &str| {
        let name = sums
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .find(|name| name.ends_with(end));
        built.join(name.expect("a file of the image"))
    };
    let image = named(".img");
    let table = run("sgdisk", &[OsStr::new("--verify"), image.as_os_str()]).text();
    assert!(table.contains("No problems found"), "{table}");
    let partition = efi_partition(&image, folder);
    run("fsck.fat", &[OsStr::new("-n"), partition.as_os_str()]).ok();
    let version = fs::read(named(".efi")).expect("a version");
    for name in ["cf1.efi", "cf0.efi"] {
        let there = file_on(&partition, &format!("EFI/Linux/{name}"));
        assert!(there == version, "{name}");
    }
    let settings = file_on(&partition, "loader/loader.conf");
    assert!(settings.starts_with(b"timeout 0\n"));
}

fn it_starts_and_ends_by_its_button(folder: &Folder) {
    let mut emulated = Emulated::start(folder);
    let release = format!("Coffer {} ({})", env!("CARGO_PKG_VERSION"), board());
    emulated.says(&release);
    // What QEMU's own network gives by DHCP.
    emulated.says("https://10.0.2.15");
    let page = wait_for("the page of the box", || emulated.page("/"));
    assert!(page.contains("Coffer"), "{page}");
    emulated.command("system_powerdown");
    assert_eq!(emulated.process.wait(), Some(0));
}

/// Copies the EFI partition out of an image.
fn efi_partition(image: &Path, folder: &Folder) -> PathBuf {
    let mut bytes = vec![0; EFI_BYTES];
    File::open(image)
        .and_then(|file| file.read_exact_at(&mut bytes, EFI_START))
        .expect("an image with an EFI partition");
    folder.write("efi", bytes)
}

/// Reads a file of a FAT file system, as mtools does.
fn file_on(partition: &Path, path: &str) -> Vec<u8> {
    let path = format!("::{path}");
    run(
        "mcopy",
        &[
            OsStr::new("-i"),
            partition.as_os_str(),
            OsStr::new(&path),
            OsStr::new("-"),
        ],
    )
    .ok()
}

/// A box in an emulator.
struct Emulated {
    process: Process,
    /// Port of its page on this computer.
    page: u16,
    monitor: PathBuf,
}

impl Emulated {
    /// Starts the image from its beginning.
    fn start(folder: &Folder) -> Self {
        let page = free_port();
        let arguments = [
            format!("COFFER_QEMU_WEB={page}"),
            format!("COFFER_QEMU_SMTP={}", free_port()),
            top().join("scripts/qemu").display().to_string(),
            board(),
            "--fresh".to_owned(),
        ];
        Self {
            process: Process::start("env", &arguments, &folder.join("qemu.log")),
            page,
            monitor: top().join("target/qemu").join(board()).join("monitor.sock"),
        }
    }

    /// Waits for a line of the serial console that has these words.
    #[track_caller]
    fn says(&self, words: &str) {
        while let Some(line) = self.process.next_line() {
            if line.contains(words) {
                return;
            }
        }
        panic!("the console never says: {words}");
    }

    /// Asks the page for something; nothing while it does not answer.
    fn page(&self, path: &str) -> Option<String> {
        let address = format!("https://127.0.0.1:{}{path}", self.page);
        let ran = run(
            "curl",
            &["--silent", "--insecure", "--max-time", "10", &address],
        );
        (ran.code == Some(0) && !ran.stdout.is_empty()).then(|| ran.text())
    }

    /// Gives the emulator a command, and waits until it is done.
    fn command(&self, command: &str) {
        let mut monitor = UnixStream::connect(&self.monitor).expect("a monitor");
        read_prompt(&mut monitor);
        monitor
            .write_all(format!("{command}\n").as_bytes())
            .expect("a command");
        read_prompt(&mut monitor);
    }
}

/// Reads until QEMU's monitor waits for a command.
fn read_prompt(monitor: &mut UnixStream) {
    let mut said = Vec::new();
    while !said.ends_with(b"(qemu) ") {
        let mut byte = [0];
        monitor.read_exact(&mut byte).expect("the monitor answers");
        said.extend(byte);
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}
