//! Uevents: what the kernel says when a device comes or goes (NETLINK_KOBJECT_UEVENT), as it comes, without a udev in between.
//!
//! A message is `ACTION@PATH` and then `NAME=VALUE` strings, each ended by a zero byte (kernel: lib/kobject_uevent.c).

use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt,
    socket, sockopt,
};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The multicast group of the kernel; group 2 is what udev sends.
const KERNEL: u32 = 1;

/// 1 MiB for uevents that wait: a hub with many devices makes some hundreds of half a kilobyte at once.
const WAITING_BYTES: usize = 1 << 20;

/// 8 KiB a message: the kernel makes none longer (`UEVENT_BUFFER_SIZE` is 2 KiB).
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// What happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uevent {
    /// `add`, `remove`, `change`, …
    pub(crate) action: String,
    values: HashMap<String, String>,
}

impl Uevent {
    /// Reads one message of the kernel; none if it is not one.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let mut texts = message
            .split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned());
        let (action, path) = texts.next()?.split_once('@').map(owned)?;
        if !path.starts_with('/') {
            return None;
        }
        let values = texts.filter_map(|text| text.split_once('=').map(owned));
        Some(Self {
            action,
            values: values.collect(),
        })
    }

    /// A value by its name, as `SUBSYSTEM`, `MODALIAS` or `DEVNAME`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Hears the kernel's uevents from when it was made.
pub(crate) struct Uevents(OwnedFd);

impl Uevents {
    /// Begins to listen.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn listen() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        setsockopt(&socket, sockopt::RcvBuf, &WAITING_BYTES)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
        Ok(Self(socket))
    }

    /// Waits for the next one; none for what is not the kernel's, or when some were lost because too many came at once.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn next(&self) -> io::Result<Option<Uevent>> {
        let mut message = [0; MESSAGE_BYTES_MAX];
        let (count, from) = match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut message) {
            Err(nix::errno::Errno::ENOBUFS | nix::errno::Errno::EINTR) => return Ok(None),
            received => received?,
        };
        let of_kernel = from.is_some_and(|from| from.pid() == 0);
        Ok(Uevent::parse(&message[..count]).filter(|_| of_kernel))
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_kernel_are_read() {
        let message = b"add@/devices/pci0000:00/0000:00:03.0/virtio0/block/vda\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=vda\0SEQNUM=7\0";
        let event = Uevent::parse(message).expect("a message");
        assert_eq!(event.action, "add");
        assert_eq!(event.value("DEVNAME"), Some("vda"));
        assert_eq!(event.value("MODALIAS"), None);
    }

    #[test]
    fn what_is_no_message_is_none() {
        for message in [
            &b""[..],
            b"libudev\0\xfe\xed\xca\xfe",
            b"add",
            b"add@devices",
            b"\0add@/devices",
            b"\xff\xfe@\0",
        ] {
            assert_eq!(Uevent::parse(message), None, "{message:?}");
        }
    }

    #[test]
    fn every_shortened_message_is_read_without_panic() {
        let message = b"change@/a\0A=1\0B\0=\0";
        for end in 0..message.len() {
            let _ = Uevent::parse(&message[..end]);
        }
    }
}
