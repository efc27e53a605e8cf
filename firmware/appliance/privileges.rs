//! Giving up rights: a worker that starts as root keeps what it needs and no more.

use crate::kernel;
use nix::sys::prctl::{set_keepcaps, set_no_new_privs};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::io;

/// Capabilities by their numbers in linux/capability.h.
pub(crate) mod capability {
    /// `CAP_NET_ADMIN`: addresses, routes, links.
    pub(crate) const NET_ADMIN: u32 = 12;
    /// `CAP_NET_RAW`: sockets of one card.
    pub(crate) const NET_RAW: u32 = 13;
    /// `CAP_SYS_MODULE`: kernel modules.
    pub(crate) const SYS_MODULE: u32 = 16;
    /// `CAP_SYS_TIME`: the clock.
    pub(crate) const SYS_TIME: u32 = 25;
}

/// Becomes a user for good and keeps these capabilities only. No other thread may have been started.
///
/// # Errors
/// When one of the steps fails; then nothing more may be done.
pub(crate) fn become_user(user: u32, capabilities: &[u32]) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    set_keepcaps(true)?;
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    kernel::keep_capabilities(capabilities)?;
    set_no_new_privs()?;
    Ok(())
}
