//! A computer in an emulator that runs Debian's tools on disks: LVM and Linux RAID need a kernel, and this computer's own is left alone.
//!
//! It has the kernel and the modules that the image was made of, and tools that were unpacked and never installed.

use crate::agent::busybox;
use crate::version::initramfs;
use std::env;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tests::{Folder, board, run, skip, top};

/// Names the folder with Debian's lvm2 and mdadm, and all that they depend on.
const TOOLS: &str = "COFFER_DISK_TOOLS";

/// Where the packages of the image lie unpacked, its kernel among them.
const IMAGE_PACKAGES: &str = "target/packages/unpacked-amd64";

/// 10 minutes until it is off: it takes one and a half on two processors with other work.
const GUEST_MAX_S: &str = "600";

/// An emulator that ends when its computer starts again.
const EMULATOR: &str = "qemu-system-x86_64 -machine q35 -accel tcg -cpu max -m 512 -display none -no-user-config -nodefaults -no-reboot -serial stdio";

/// It starts again at once when its first process fails.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1";

/// What the first process does before the script that it is given. Nobody runs udev there, which mdadm would wait for.
const BEFORE: &str = "\
#!/bin/busybox sh
set -e
export PATH=/sbin:/bin MDADM_NO_UDEV=1
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
";

/// The last line of its console, when nothing has failed.
const LAST_LINE: &str = "all of the script was done";

/// Modules that it loads, in this order.
const MODULES: [&str; 9] = [
    "virtio/virtio_ring",
    "virtio/virtio",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
    "md/dm-mod",
    "md/md-mod",
    "md/raid1",
];

/// Folders that it begins with.
const FOLDERS: [&str; 12] = [
    "bin",
    "dev",
    "lib",
    "lib/x86_64-linux-gnu",
    "lib64",
    "proc",
    "run",
    "sbin",
    "sys",
    "usr",
    "usr/lib",
    "usr/lib/x86_64-linux-gnu",
];

/// Those of them that have what lies directly in the same folder of the tools.
const FOLDERS_OF_TOOLS: [&str; 4] = [
    "lib/x86_64-linux-gnu",
    "lib64",
    "sbin",
    "usr/lib/x86_64-linux-gnu",
];

/// Path, mode and bytes of a file.
type File = (String, u32, Vec<u8>);

/// What the computer is made of.
pub(crate) struct Guest {
    tools: PathBuf,
    kernel: PathBuf,
    drivers: PathBuf,
    busybox: Vec<u8>,
}

impl Guest {
    /// Finds all of it; none, and a word about it, where something is missing. To be asked while there is an image.
    pub(crate) fn new() -> Option<Self> {
        let tools = env::var_os(TOOLS).map(PathBuf::from);
        let Some((tools, (kernel, drivers))) = tools.zip(image_kernel()) else {
            skip(&format!(
                "disks with LVM and Linux RAID: no tools in {TOOLS}, or no kernel in {IMAGE_PACKAGES}"
            ));
            return None;
        };
        Some(Self {
            tools,
            kernel,
            drivers,
            busybox: busybox(&board())?,
        })
    }

    /// Runs a script of the shell to its end; the disks are `/dev/vda`, `/dev/vdb`, … there.
    ///
    /// # Panics
    /// When a command fails, or all of them take too long.
    #[track_caller]
    pub(crate) fn run(&self, folder: &Folder, disks: &[PathBuf], script: &str) {
        let files = folder.write("guest.cpio", initramfs(&self.files(script)));
        let console = run("timeout", &self.command(&files, disks)).text();
        assert!(console.contains(LAST_LINE), "{console}");
    }

    /// The time that it has, and the emulator with its options.
    fn command(&self, files: &Path, disks: &[PathBuf]) -> Vec<String> {
        let words = [GUEST_MAX_S].into_iter().chain(EMULATOR.split(' '));
        let words = words.chain(["-append", COMMAND_LINE]);
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        for (option, path) in [("-kernel", self.kernel.as_path()), ("-initrd", files)] {
            words.extend([option.to_owned(), path.display().to_string()]);
        }
        for disk in disks {
            let drive = format!("if=virtio,format=raw,file={}", disk.display());
            words.extend(["-drive".to_owned(), drive]);
        }
        words
    }

    /// The files that it begins with; its first process is `/init`.
    fn files(&self, script: &str) -> Vec<File> {
        let folders = FOLDERS.map(|folder| (folder.to_owned(), 0o040_755, Vec::new()));
        let mut files = Vec::from(folders);
        for folder in FOLDERS_OF_TOOLS {
            files.extend(files_in(&self.tools, folder));
        }
        files.push(("bin/busybox".to_owned(), 0o100_755, self.busybox.clone()));
        files.extend(MODULES.map(|module| self.module(module)));
        files.push(("init".to_owned(), 0o100_755, first_process(script).into()));
        files
    }

    /// A module of the kernel.
    fn module(&self, path: &str) -> File {
        let bytes = fs::read(self.drivers.join(path).with_extension("ko"));
        let bytes = bytes.expect("a module of the image's kernel");
        (module_name(path), 0o100_644, bytes)
    }
}

/// How the computer calls the file of a module.
fn module_name(path: &str) -> String {
    path.replace('/', "-") + ".ko"
}

/// A script that loads the modules, does what another one says, and switches off.
fn first_process(script: &str) -> String {
    let load = MODULES.map(|module| format!("insmod /{}\n", module_name(module)));
    let load = load.concat();
    format!("{BEFORE}{load}{script}\nsync\necho {LAST_LINE}\npoweroff -f\n")
}

/// The kernel that the image was made of, and the folder of its drivers.
fn image_kernel() -> Option<(PathBuf, PathBuf)> {
    let packages = top().join(IMAGE_PACKAGES);
    let mut names = names_in(&packages.join("boot")).into_iter();
    let kernel = names.find(|name| name.starts_with("vmlinuz-"))?;
    let version = kernel.trim_start_matches("vmlinuz-");
    let drivers = format!("lib/modules/{version}/kernel/drivers");
    Some((packages.join("boot").join(&kernel), packages.join(drivers)))
}

/// Names of what lies in a folder; none of one that is not there.
fn names_in(folder: &Path) -> Vec<String> {
    let items = fs::read_dir(folder).into_iter().flatten().flatten();
    items
        .map(|item| item.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Files and links that lie directly in a folder of a tree.
fn files_in(tree: &Path, folder: &str) -> Vec<File> {
    let paths = names_in(&tree.join(folder)).into_iter();
    let paths = paths.map(|name| format!("{folder}/{name}"));
    let files = paths.filter_map(|path| {
        let (mode, bytes) = file(&tree.join(&path))?;
        Some((path, mode, bytes))
    });
    files.collect()
}

/// Mode and bytes of a file or a link; none of a folder.
fn file(path: &Path) -> Option<(u32, Vec<u8>)> {
    match path.read_link() {
        Ok(target) => Some((0o120_777, target.as_os_str().as_bytes().to_vec())),
        Err(_) => Some((0o100_755, fs::read(path).ok()?)),
    }
}
