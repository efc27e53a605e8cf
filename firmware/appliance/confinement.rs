//! What each worker can still ask of the kernel and which files it can reach once it has begun: landlock rules and a seccomp filter, one row a role.
//!
//! Two filters stand one behind the other. What no worker ever does and whoever has taken one over tries first (another program, another process's
//! memory, mounts, kernel modules) ends the process. Any other call that is not on the list fails as if the kernel did not know it (ENOSYS), so that
//! a library falls back to an older one. `disks` is not here: it mounts and starts Debian's tools.
//!
//! Source: kernel Documentation/userspace-api/{landlock,seccomp_filter}.rst.

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    make_bitflags, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Rights over files as of Linux 6.2; the kernel of the boards (6.1) leaves out the one to cut files short, which who may not open them has not either.
const FILES: ABI = ABI::V3;

/// Everybody may read what the image and the kernel tell.
const READABLE: [&str; 6] = [
    "/etc",
    "/proc",
    "/sys",
    "/dev/null",
    "/dev/urandom",
    "/run/coffer/network",
];

/// What a worker keeps.
pub(crate) struct Confinement<'a> {
    /// Folders in which it reads and writes.
    pub(crate) writes: &'a [&'a Path],
    /// Folders and files that it reads, beside `READABLE`.
    pub(crate) reads: &'a [&'a str],
    /// Kinds of sockets that it opens.
    pub(crate) sockets: &'a [i32],
    /// Calls beside those that every worker makes.
    pub(crate) calls: &'a [i64],
}

impl Confinement<'_> {
    /// Holds from here on, for this thread and all that it starts; to be called before any other is.
    ///
    /// # Errors
    /// When the kernel takes a rule or filter not; one that knows no landlock is only warned about.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let status = self.landlock().map_err(io::Error::other)?;
        if status == RulesetStatus::NotEnforced {
            tracing::warn!("the kernel has no landlock: this worker reaches all files of its user");
        }
        for filter in self.filters().map_err(io::Error::other)? {
            seccompiler::apply_filter(&filter).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn landlock(&self) -> Result<RulesetStatus, landlock::RulesetError> {
        // Programs, devices and pipes are made by nobody.
        let own = AccessFs::from_all(FILES)
            & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | MakeFifo});
        let read: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
        let readable = READABLE.iter().chain(self.reads);
        let restricted = Ruleset::default()
            .handle_access(AccessFs::from_all(FILES))?
            .create()?
            .add_rules(path_beneath_rules(self.writes, own))?
            .add_rules(path_beneath_rules(readable, read))?
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile))?
            .restrict_self()?;
        Ok(restricted.ruleset)
    }

    fn filters(&self) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
        let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
        let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = USUAL.iter().map(any).collect();
        allowed.extend(OLDER.iter().map(any));
        allowed.extend(self.calls.iter().map(any));
        if !self.sockets.is_empty() {
            let families = self.sockets.iter().map(|family| of_family(*family));
            allowed.insert(libc::SYS_socket, families.collect::<Result<_, _>>()?);
        }
        let hostile = HOSTILE.iter().map(any).collect();
        let of = |rules, others, listed| -> Result<BpfProgram, seccompiler::BackendError> {
            SeccompFilter::new(rules, others, listed, std::env::consts::ARCH.try_into()?)?
                .try_into()
        };
        // The second allows no third.
        Ok([
            of(hostile, SeccompAction::Allow, SeccompAction::KillProcess)?,
            of(allowed, unknown, SeccompAction::Allow)?,
        ])
    }
}

/// Leaves this thread nothing but what is open, and processes like itself; gives the filter for such a process, which leaves it not even these.
///
/// # Errors
/// When the kernel takes a rule or filter not; one that knows no landlock is only warned about, since no call that opens a file is left.
pub(crate) fn begin_apart() -> io::Result<BpfProgram> {
    let nothing = Ruleset::default()
        .handle_access(AccessFs::from_all(FILES))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(io::Error::other)?;
    if nothing.ruleset == RulesetStatus::NotEnforced {
        tracing::warn!(
            "the kernel has no landlock: calls that open files are refused, all the same"
        );
    }
    let work: BTreeMap<i64, Vec<SeccompRule>> = WORK.iter().chain(OLDER_WORK).map(any).collect();
    let mut apart = work.clone();
    apart.extend(APART.iter().chain(OLDER_APART).map(any));
    // A process of its own, never a thread.
    let alone = SeccompCmpOp::MaskedEq(libc::CLONE_VM as u64);
    let alone = SeccompCondition::new(0, SeccompCmpArgLen::Dword, alone, 0)
        .and_then(|alone| SeccompRule::new(vec![alone]))
        .map_err(io::Error::other)?;
    apart.insert(libc::SYS_clone, vec![alone]);
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    let program = |calls, others, listed| -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(calls, others, listed, std::env::consts::ARCH.try_into()?)?.try_into()
    };
    let hostile = HOSTILE.iter().map(any).collect();
    let filters = [
        program(hostile, SeccompAction::Allow, SeccompAction::KillProcess),
        program(apart, unknown.clone(), SeccompAction::Allow),
        program(work, unknown, SeccompAction::Allow),
    ];
    let [hostile, apart, work] = filters.map(|filter| filter.map_err(io::Error::other));
    for filter in [hostile?, apart?] {
        seccompiler::apply_filter(&filter).map_err(io::Error::other)?;
    }
    work
}

/// A call with whatever arguments.
fn any(call: &i64) -> (i64, Vec<SeccompRule>) {
    (*call, Vec::new())
}

/// A first argument that is this number.
fn of_family(family: i32) -> Result<SeccompRule, seccompiler::BackendError> {
    let is_it = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family as u64)?;
    SeccompRule::new(vec![is_it])
}

/// Sockets within the machine, and those of IPv4 and IPv6.
pub(crate) const INTERNET: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// As `INTERNET`, and the kernel's tables of links and addresses, which getifaddrs(3) reads.
pub(crate) const INTERNET_AND_LINKS: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// As `INTERNET_AND_LINKS`, for who speaks to nobody outside the machine.
pub(crate) const LINKS: [i32; 2] = [libc::AF_UNIX, libc::AF_NETLINK];

/// What ends the process that asks for it.
const HOSTILE: [i64; 20] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_reboot,
];

/// What programs of ours and their libraries do: files, memory, threads, time, sockets, waiting.
const USUAL: &[i64] = &[
    // files
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_umask,
    libc::SYS_getcwd,
    libc::SYS_ioctl,
    // memory
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    // threads
    libc::SYS_clone,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_prctl,
    // signals
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_restart_syscall,
    // time
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    // who and where
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_prlimit64,
    libc::SYS_getrandom,
    // sockets, but for their making
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_shutdown,
    // waiting
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_eventfd2,
];

/// What work apart does: memory, what is open, and its end. Calls that take a path, make a descriptor or name another process are not among them.
const WORK: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What the process does beside that from which work is forked: it is asked, answers, and watches over the work.
const APART: &[i64] = &[
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_ppoll,
    libc::SYS_pipe2,
    libc::SYS_kill,
    libc::SYS_wait4,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_prlimit64,
    libc::SYS_prctl,
    libc::SYS_seccomp,
];

#[cfg(target_arch = "x86_64")]
const OLDER_WORK: &[i64] = &[libc::SYS_arch_prctl];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_WORK: &[i64] = &[];

#[cfg(target_arch = "x86_64")]
const OLDER_APART: &[i64] = &[libc::SYS_poll, libc::SYS_fork, libc::SYS_setrlimit];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_APART: &[i64] = &[];

/// The older forms of some of them, which only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_getdents,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_arch_prctl,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel;
    use std::fs::{self, File};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, ExitStatus};

    /// Tells the process of a deed what to do, and where its own folder is.
    const DEED: &str = "COFFER_TEST_DEED";
    const PLACE: &str = "COFFER_TEST_PLACE";

    /// What a confined process tries.
    fn try_deed(deed: &str, own: &Path) -> io::Result<()> {
        let socket = |family| {
            use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
            let family = AddressFamily::from_i32(family).expect("a family");
            socket(family, SockType::Datagram, SockFlag::empty(), None).map(drop)
        };
        match deed {
            "write its own" => fs::write(own.join("file"), "x"),
            "rename its own" => {
                fs::create_dir(own.join("folder"))?;
                fs::write(own.join("a"), "x")?;
                fs::rename(own.join("a"), own.join("folder/b"))
            }
            "start a thread" => std::thread::spawn(|| {})
                .join()
                .map_err(|_| io::ErrorKind::Other.into()),
            "open an internet socket" => Ok(socket(libc::AF_INET)?),
            "read the kernel's" => fs::read("/proc/self/status").map(drop),
            "read another's" => File::open(own.join("../other")).map(drop),
            "write another's" => File::create(own.join("../new")).map(drop),
            "open a netlink socket" => Ok(socket(libc::AF_NETLINK)?),
            "set the host name" => Ok(nix::unistd::sethostname("x")?),
            "start a program" => Err(Command::new("/bin/true").exec()),
            number => kernel::bare_call(number.parse().expect("a deed, or a call's number")),
        }
    }

    /// Runs only as the process that `confined` starts.
    #[test]
    fn deed() {
        let (Ok(deed), Ok(own)) = (std::env::var(DEED), std::env::var(PLACE)) else {
            return;
        };
        let own = Path::new(&own);
        let confinement = Confinement {
            writes: &[own],
            reads: &[],
            sockets: &INTERNET,
            calls: &[],
        };
        confinement.begin().expect("the kernel knows the rules");
        let code = i32::from(try_deed(&deed, own).is_err());
        std::process::exit(code);
    }

    fn confined(deed: &str) -> ExitStatus {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("other"), "x").expect("written");
        let own = folder.path().join("own");
        fs::create_dir(&own).expect("made");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "confinement::tests::deed", "--nocapture"]);
        command.env(DEED, deed).env(PLACE, &own);
        command.output().expect("it was started").status
    }

    #[test]
    fn a_confined_process_does_its_own_and_nothing_else() {
        let sigsys = Some(libc::SIGSYS);
        for (deed, code, signal) in [
            ("write its own", Some(0), None),
            ("rename its own", Some(0), None),
            ("start a thread", Some(0), None),
            ("open an internet socket", Some(0), None),
            ("read the kernel's", Some(0), None),
            ("read another's", Some(1), None),
            ("write another's", Some(1), None),
            ("open a netlink socket", Some(1), None),
            ("set the host name", Some(1), None),
            ("start a program", None, sigsys),
        ] {
            let status = confined(deed);
            assert_eq!((status.code(), status.signal()), (code, signal), "{deed}");
        }
    }

    #[test]
    fn what_only_an_intruder_asks_for_ends_the_process() {
        for call in HOSTILE {
            let status = confined(&call.to_string());
            assert_eq!(status.signal(), Some(libc::SIGSYS), "call {call}");
        }
    }
}
