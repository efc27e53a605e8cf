//! The first phase: the kernel's own file systems, and what lives in memory with a limit.
//!
//! The root is the initramfs: it is memory without a limit, so nothing may write there once this phase is over. No disk is touched here.

use crate::kernel::{self, MountFlags};
use std::fs;
use std::io;

/// A file system that every boot has.
struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: &'static str,
}

/// In this order. 32 MiB for what processes tell each other and the log (4 MiB of it), 64 MiB for work that needs a file: together a fifth
/// of the smallest box.
const EARLY: [Mount; 6] = [
    Mount {
        kind: "devtmpfs",
        target: "/dev",
        flags: MountFlags::DEVICES,
        options: "mode=0755",
    },
    Mount {
        kind: "proc",
        target: "/proc",
        flags: MountFlags::DATA,
        options: "hidepid=invisible",
    },
    Mount {
        kind: "sysfs",
        target: "/sys",
        flags: MountFlags::DATA,
        options: "",
    },
    Mount {
        kind: "tmpfs",
        target: "/run",
        flags: MountFlags::DATA,
        options: "mode=0755,size=32m",
    },
    // A version that is fetched while no archive disk is open: it takes no room from what others tell there.
    Mount {
        kind: "tmpfs",
        target: crate::updates::FOLDER,
        flags: MountFlags::DATA,
        options: "mode=0711,size=64m",
    },
    Mount {
        kind: "tmpfs",
        target: "/tmp",
        flags: MountFlags::DATA,
        options: "mode=1777,size=64m",
    },
];

/// Mounts all of them; gives those that failed, for there is no console to tell it on yet.
pub(crate) fn mount_early() -> Vec<(&'static str, io::Error)> {
    let mounted = EARLY.iter().map(|mount| {
        let done = fs::create_dir_all(mount.target).and_then(|()| {
            kernel::mount(
                mount.kind,
                mount.target,
                mount.kind,
                mount.flags,
                mount.options,
            )
        });
        (mount.target, done)
    });
    mounted
        .filter_map(|(target, done)| done.err().map(|error| (target, error)))
        .collect()
}

/// What is mounted from block devices, the latest first: the order to unmount in.
pub(crate) fn from_disks(mounts: &str) -> Vec<String> {
    let of_disks = mounts.lines().filter_map(|line| {
        let (source, rest) = line.split_once(' ')?;
        let target = rest.split(' ').next()?;
        source.starts_with("/dev/").then(|| unescaped(target))
    });
    let mut targets: Vec<_> = of_disks.collect();
    targets.reverse();
    targets
}

/// The kernel writes blanks, tabs, line ends and backslashes in a path as octal numbers (proc(5)).
fn unescaped(target: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(target.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_unmounted_in_reverse() {
        let mounts = "proc /proc proc rw 0 0\n/dev/mapper/a /archive/a ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n\
                      /dev/sdb1 /archive/my\\040disk vfat ro 0 0\n";
        assert_eq!(from_disks(mounts), ["/archive/my disk", "/archive/a"]);
        assert!(from_disks("").is_empty());
    }
}
