//! A computer in an emulator: `scripts/qemu` with the image of a board, its console, its cables and its power switch.
//!
//! As many run at a time as tests do, each in a folder and at ports of its own, and with the image of its board, which nobody builds anew meanwhile.

use crate::folder::target_folder;
use crate::{Client, Folder, Page, Process, run, skip, wait_for};
use nix::fcntl::{Flock, FlockArg};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The top of the work tree.
pub fn top() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("a folder above this one").to_owned()
}

/// The board that this computer is of.
pub fn board() -> String {
    format!("{}-uefi", std::env::consts::ARCH)
}

/// The board of the other architecture.
pub fn other_board() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "aarch64-uefi"
    } else {
        "x86_64-uefi"
    }
}

/// The static binary for a board: `COFFER_BIN` for this computer's, `COFFER_BIN_OTHER` for the other one.
fn binary(board: &str) -> Option<PathBuf> {
    let name = if board == other_board() {
        "COFFER_BIN_OTHER"
    } else {
        "COFFER_BIN"
    };
    std::env::var_os(name).map(PathBuf::from)
}

/// Says why images of a board cannot be tested here, if so.
pub fn missing(board: &str, programs: &[&str]) -> Option<String> {
    if binary(board).is_none() {
        return Some(format!("no static binary is named for {board}"));
    }
    ["apt-get", "dpkg-deb", "curl"]
        .iter()
        .chain(programs)
        .find(|program| run("which", &[program]).code != Some(0))
        .map(|program| format!("{program} is missing"))
}

/// Waits until nobody else builds the image of a board or needs it as it is; nobody does until the value is dropped.
pub fn alone(board: &str) -> Flock<File> {
    lock_image(board, FlockArg::LockExclusive)
}

fn lock_image(board: &str, how: FlockArg) -> Flock<File> {
    let name = format!("image-{board}.lock");
    let file = File::create(target_folder().join(name)).expect("a lock file");
    Flock::lock(file, how)
        .map_err(|(_, error)| error)
        .expect("the lock")
}

/// Builds the image of a board anew, and gives the folder that it lies in.
pub fn build_image(board: &str) -> PathBuf {
    let target = top().join("target");
    let target_dir = format!("CARGO_TARGET_DIR={}", target.display());
    let script = top().join("scripts/image");
    let binary = binary(board).expect("a static binary");
    let binary = format!("COFFER_BIN={}", binary.display());
    let arguments = [
        OsStr::new(&target_dir),
        OsStr::new(&binary),
        script.as_os_str(),
        OsStr::new(board),
    ];
    run("env", &arguments).ok();
    target.join("image").join(board)
}

/// Gives the image of a board, which stays as it is until the lock is dropped; it is built when something that it is made of is newer.
fn image(board: &str) -> (PathBuf, Flock<File>) {
    let folder = top().join("target/image").join(board);
    let mut lock = lock_image(board, FlockArg::LockShared);
    if !is_new(&folder, board) {
        drop(lock);
        lock = alone(board);
        if !is_new(&folder, board) {
            build_image(board);
        }
        lock.relock(FlockArg::LockShared).expect("the lock");
    }
    (image_in(&folder).expect("an image"), lock)
}

/// Whether nothing that an image is made of is newer than it.
fn is_new(folder: &Path, board: &str) -> bool {
    let made_at = image_in(folder).and_then(|image| changed_at(&image));
    let sources = ["image", "board", "image/lock"].map(|folder| top().join(folder));
    let files = sources.iter().flat_map(|folder| crate::files_under(folder));
    let newest = files
        .chain(binary(board))
        .filter_map(|file| changed_at(&file))
        .max();
    made_at.is_some() && made_at >= newest
}

fn image_in(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder).ok()?.flatten().map(|item| item.path());
    names
        .into_iter()
        .find(|path| path.extension().is_some_and(|it| it == "img"))
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// What an emulated computer is made of; it keeps its boot medium and disks from one start to the next.
pub struct Hardware {
    /// Where boot medium, firmware variables, disks and console lie.
    pub folder: Folder,
    /// The board that it is of.
    pub board: String,
    /// The built image that its medium is a copy of.
    pub image: PathBuf,
    /// The disks that it has, in their places 1, 2, …
    pub disks: Vec<PathBuf>,
    /// Further options of `scripts/qemu`.
    pub options: Vec<String>,
    /// Further options of QEMU.
    pub parts: Vec<String>,
    _image_stays: Flock<File>,
}

impl Hardware {
    /// Makes a computer of this computer's board with an image that never started, and empty disks; none, and a word about it, where that
    /// cannot be had.
    pub fn new(test: &str, disks: usize) -> Option<Self> {
        Self::of_board(test, &board(), disks)
    }

    /// The same, of another board.
    pub fn of_board(test: &str, board: &str, disks: usize) -> Option<Self> {
        if let Some(why) = missing(board, &[]) {
            skip(&format!("a box in an emulator: {why}"));
            return None;
        }
        let (image, image_stays) = image(board);
        let folder = Folder::new(test);
        let medium = folder.join("new.img");
        run("cp", &[Path::new("--sparse=always"), &image, &medium]).ok();
        let mut hardware = Self {
            folder,
            board: board.to_owned(),
            image,
            disks: Vec::new(),
            options: Vec::new(),
            parts: Vec::new(),
            _image_stays: image_stays,
        };
        for number in 1..=disks {
            let disk = hardware.disk(&format!("disk{number}"));
            hardware.disks.push(disk);
        }
        Some(hardware)
    }

    /// Makes an empty disk of 2 GiB.
    pub fn disk(&self, name: &str) -> PathBuf {
        let path = self.folder.join(&format!("{name}.img"));
        let file = File::create(&path).expect("a file for a disk");
        file.set_len(2 << 30).expect("room for a disk");
        path
    }

    /// Switches it on.
    pub fn start(&self) -> Emulator {
        let (page, smtp) = (free_port(), free_port());
        let mut arguments = vec![
            format!("COFFER_QEMU_WEB={page}"),
            format!("COFFER_QEMU_SMTP={smtp}"),
            top().join("scripts/qemu").display().to_string(),
            self.board.clone(),
            "--image".to_owned(),
            self.folder.join("new.img").display().to_string(),
            "--place".to_owned(),
            self.folder.path().display().to_string(),
        ];
        for disk in &self.disks {
            arguments.extend(["--disk".to_owned(), disk.display().to_string()]);
        }
        arguments.extend(self.options.iter().cloned());
        arguments.push("--".to_owned());
        arguments.extend(self.parts.iter().cloned());
        Emulator {
            process: Process::start("env", &arguments, &self.folder.join("qemu.log")),
            console: RefCell::new(
                File::options()
                    .create(true)
                    .append(true)
                    .open(self.folder.join("console.log"))
                    .expect("a file for the console"),
            ),
            page,
            smtp,
            folder: self.folder.path().to_owned(),
        }
    }
}

/// An emulated computer that is switched on; its power is cut when the value is dropped.
pub struct Emulator {
    process: Process,
    console: RefCell<File>,
    page: u16,
    smtp: u16,
    folder: PathBuf,
}

impl Emulator {
    /// Waits for a line of the console that has these words, and gives it.
    ///
    /// # Panics
    /// When the console says nothing for too long.
    #[track_caller]
    pub fn says(&self, words: &str) -> String {
        self.says_after(words, 1)
    }

    /// The same, of what takes so many times as long as anything else.
    ///
    /// # Panics
    /// When the console says nothing for as long.
    #[track_caller]
    pub fn says_after(&self, words: &str, times: u32) -> String {
        for _ in 0..times {
            while let Some(line) = self.process.next_line() {
                let _ = writeln!(self.console.borrow_mut(), "{line}");
                if line.contains(words) {
                    return line;
                }
            }
        }
        panic!("the console never says: {words}");
    }

    /// Where it takes mail.
    pub fn smtp(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.smtp).into()
    }

    /// Connects to it by SMTP.
    ///
    /// # Errors
    /// While nobody greets.
    pub fn connect(&self) -> io::Result<Client> {
        Client::connect(self.smtp())
    }

    /// Its page, for a browser that trusts whoever answers and has never been there.
    pub fn page(&self) -> Page {
        let cookies = self.folder.join("cookies");
        let _ = fs::remove_file(&cookies);
        Page {
            address: format!("https://127.0.0.1:{}", self.page),
            certificate: None,
            cookies,
        }
    }

    /// Gives the emulator a command, waits until it is done, and gives what it says.
    pub fn command(&self, command: &str) -> String {
        let monitor = self.folder.join("monitor.sock");
        let mut monitor = wait_for("the monitor", || UnixStream::connect(&monitor).ok());
        read_prompt(&mut monitor);
        monitor
            .write_all(format!("{command}\n").as_bytes())
            .expect("a command");
        read_prompt(&mut monitor)
    }

    /// Pulls the disk out of a place, and waits until it is gone.
    pub fn pull(&self, place: usize) {
        self.command(&format!("device_del disk{place}"));
        let name = format!("disk{place} (");
        wait_for("a disk is out", || {
            (!self.command("info block").contains(&name)).then_some(())
        });
    }

    /// Puts a disk into a place that is empty.
    pub fn give(&self, place: usize, disk: &Path) {
        let file = disk.display();
        self.command(&format!(
            "drive_add 0 if=none,id=disk{place},format=raw,file={file}"
        ));
        let said = self.command(&format!(
            "device_add virtio-blk-pci,drive=disk{place},id=disk{place},bus=port{place},serial=disk{place}"
        ));
        assert!(!said.contains("Error"), "{said}");
    }

    /// Presses the power button and waits until it is off.
    pub fn power_off(mut self) {
        self.command("system_powerdown");
        assert_eq!(self.process.wait(), Some(0));
    }

    /// Presses the power button once the console has said something, and waits until it is off.
    pub fn power_off_when(self, words: &str) {
        self.says(words);
        self.power_off();
    }

    /// Pulls the plug.
    pub fn cut_power(self) {}
}

impl Drop for Emulator {
    /// Keeps what the console said and nobody waited for.
    fn drop(&mut self) {
        self.process.kill();
        while let Some(line) = self.process.next_line() {
            let _ = writeln!(self.console.borrow_mut(), "{line}");
        }
    }
}

/// Reads until QEMU's monitor waits for a command; gives what it said.
fn read_prompt(monitor: &mut UnixStream) -> String {
    let mut said = Vec::new();
    while !said.ends_with(b"(qemu) ") {
        let mut byte = [0];
        monitor.read_exact(&mut byte).expect("the monitor answers");
        said.extend(byte);
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}
