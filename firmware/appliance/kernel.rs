//! The few system calls of PID 1 for which there is no safe interface among our packages: the only `unsafe` of the firmware.
//!
//! Each function holds its whole contract; nothing here decides anything. Numbers that `libc` does not name stand beside their header file.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `WDIOC_SETTIMEOUT` of linux/watchdog.h: `_IOWR('W', 6, int)`.
const SET_WATCHDOG_TIMEOUT: u32 = 0xc004_5706;

/// `BLKRRPART` of linux/fs.h: `_IO(0x12, 95)`.
const REREAD_PARTITIONS: u32 = 0x125f;

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: two words of 32 capabilities each.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Start again.
    Restart,
    /// Power off.
    PowerOff,
}

/// What a mounted file system may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MountFlags(libc::c_ulong);

impl MountFlags {
    /// No set-user-id, no devices, no programs.
    pub(crate) const DATA: Self = Self(libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC);
    /// No set-user-id, no programs; for the file system of devices.
    pub(crate) const DEVICES: Self = Self(libc::MS_NOSUID | libc::MS_NOEXEC);
    /// As `DATA`, and without noting when a file was read.
    pub(crate) const ARCHIVE: Self = Self(Self::DATA.0 | libc::MS_NOATIME);
    /// As `DATA`, and nothing is written.
    pub(crate) const READ_ONLY: Self = Self(Self::DATA.0 | libc::MS_RDONLY);
}

/// Mounts a file system.
///
/// # Errors
/// What the kernel says; also when a text holds a zero byte.
pub(crate) fn mount(
    source: &str,
    target: &str,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> io::Result<()> {
    let [source, target] = [CString::new(source)?, CString::new(target)?];
    let [kind, options] = [CString::new(kind)?, CString::new(options)?];
    // SAFETY: all four are strings that end with a zero byte and live until the call returns.
    let code = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags.0,
            options.as_ptr().cast(),
        )
    };
    result(code)
}

/// Unmounts a file system; fails while it is in use.
///
/// # Errors
/// What the kernel says.
pub(crate) fn unmount(target: &str) -> io::Result<()> {
    let target = CString::new(target)?;
    // SAFETY: the string ends with a zero byte and lives until the call returns.
    result(unsafe { libc::umount2(target.as_ptr(), 0) })
}

/// Loads a kernel module, without parameters.
///
/// # Errors
/// What the kernel says; `AlreadyExists` when it is loaded already.
pub(crate) fn load_module(module: &[u8]) -> io::Result<()> {
    let (bytes, length, parameters) = (module.as_ptr(), module.len(), c"".as_ptr());
    // SAFETY: the bytes are as many as is said, the parameters are an empty string that ends with a zero byte; the kernel copies both.
    let code = unsafe { libc::syscall(libc::SYS_init_module, bytes, length, parameters) };
    result(if code == 0 { 0 } else { -1 })
}

/// Ends the machine at once; what is not on disk by now is lost.
///
/// # Errors
/// What the kernel says; there is none but for a process without the right.
pub(crate) fn end(how: End) -> io::Result<()> {
    let command = match how {
        End::Restart => libc::RB_AUTOBOOT,
        End::PowerOff => libc::RB_POWER_OFF,
    };
    // SAFETY: it takes a number; it does not return when it succeeds.
    result(unsafe { libc::reboot(command) })
}

/// Makes Ctrl-Alt-Del a SIGINT to PID 1 instead of a restart on the spot.
///
/// # Errors
/// What the kernel says.
pub(crate) fn catch_ctrl_alt_del() -> io::Result<()> {
    // SAFETY: it takes a number.
    result(unsafe { libc::reboot(libc::RB_DISABLE_CAD) })
}

/// Sets after how many seconds an open watchdog that nobody feeds restarts the machine; gives what it took.
///
/// # Errors
/// When the watchdog cannot do that.
pub(crate) fn set_watchdog_timeout(watchdog: &File, seconds: i32) -> io::Result<i32> {
    let mut taken: libc::c_int = seconds;
    // SAFETY: the request reads and writes one int, which is ours and outlives the call.
    let code = unsafe {
        libc::ioctl(
            watchdog.as_raw_fd(),
            SET_WATCHDOG_TIMEOUT as _,
            &raw mut taken,
        )
    };
    result(code)?;
    Ok(taken)
}

/// Has the kernel read the partition table of an open disk again.
///
/// # Errors
/// When a partition is in use.
pub(crate) fn reread_partitions(disk: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    result(unsafe { libc::ioctl(disk.as_raw_fd(), REREAD_PARTITIONS as _) })
}

/// Keeps these capabilities (bit numbers of linux/capability.h, below 32) of this thread and gives up all others.
///
/// To be called before any other thread is started, for each has capabilities of its own.
///
/// # Errors
/// When one of them is not had.
pub(crate) fn keep_capabilities(kept: &[u32]) -> io::Result<()> {
    let set = kept.iter().fold(0u32, |set, bit| set | 1 << bit);
    let header = [CAPABILITY_VERSION, 0];
    // Effective, permitted, inheritable; then the same for capabilities from 32 on.
    let data = [set, set, 0, 0, 0, 0];
    // SAFETY: version 3 reads a header of two words and data of six; both outlive the call.
    let code = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    result(if code == 0 { 0 } else { -1 })
}

/// Forks: gives the new process's number in the old process, nothing in the new one.
///
/// Whoever calls it sees to it that there is no other thread: what that one had locked would stay locked for ever in the new process.
///
/// # Errors
/// When no process can be had.
pub(crate) fn fork_alone() -> io::Result<Option<i32>> {
    // SAFETY: with one thread the new process is a whole copy of the old one, in which any code may run.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        process if process > 0 => Ok(Some(process)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process at once; nothing is written out any more, which a copy of a process would write twice.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Closes all descriptors below a number but standard error and these, whoever they belong to: for a copy of a process that uses nothing else until its end.
pub(crate) fn close_all_but(below: i32, kept: &[i32]) {
    for descriptor in 0..below {
        if descriptor != libc::STDERR_FILENO && !kept.contains(&descriptor) {
            // SAFETY: closing touches no memory; their owners are never run again in this process, which ends without dropping anything.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// Makes a call with zeros, to see whether it may be made.
#[cfg(test)]
pub(crate) fn bare_call(number: i64) -> io::Result<()> {
    // SAFETY: no call reads or writes memory at address zero; it fails instead.
    let code = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
    result(if code == -1 { -1 } else { 0 })
}

fn result(code: libc::c_int) -> io::Result<()> {
    match code {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn the_kernel_s_answer_is_given() {
        let file = File::open("/dev/null").expect("a device that is always there");
        for (what, error) in [
            ("timeout", set_watchdog_timeout(&file, 60).map(drop)),
            ("partitions", reread_partitions(&file)),
            ("no such folder", unmount("/no such folder")),
            (
                "zero byte",
                mount("a\0b", "/", "tmpfs", MountFlags::DATA, ""),
            ),
        ] {
            assert!(error.is_err(), "{what}");
        }
        let missing = mount("none", "/no such folder", "tmpfs", MountFlags::DATA, "");
        let kind = missing.expect_err("nothing is mounted").kind();
        assert!(matches!(
            kind,
            ErrorKind::NotFound | ErrorKind::PermissionDenied
        ));
    }
}
