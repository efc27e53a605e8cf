//! Route netlink messages: bring a link up, give it addresses and routes (linux/rtnetlink.h, rtnetlink(7)).
//!
//! Only requests are made, and each waits for the kernel's answer; what there is is read from `/sys/class/net` and getifaddrs(3).

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    socket,
};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const OLD_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;

/// A request that is to be acknowledged.
const REQUEST: u16 = 1 | 4;
/// What is there is replaced, what is not is made.
const REPLACE: u16 = 0x100 | 0x400;

const IFF_UP: u32 = 1;
const FAMILY_IPV4: u8 = 2;
const HEADER_BYTES: usize = 16;

/// Asks the kernel.
pub(crate) struct RouteSocket(OwnedFd);

impl RouteSocket {
    /// Opens a socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Switches a link on.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn link_up(&self, link: u32) -> io::Result<()> {
        self.ask(&link_message(link, IFF_UP))
    }

    /// Switches a link off; its routes are gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn link_down(&self, link: u32) -> io::Result<()> {
        self.ask(&link_message(link, 0))
    }

    /// Gives a link an address.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn add_address(&self, link: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.ask(&address_message(NEW_ADDRESS, link, address, prefix))
    }

    /// Takes an address from a link.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn remove_address(
        &self,
        link: u32,
        address: Ipv4Addr,
        prefix: u8,
    ) -> io::Result<()> {
        self.ask(&address_message(OLD_ADDRESS, link, address, prefix))
    }

    /// Sends what is for elsewhere to a router on a link. The lower the metric, the rather it is taken.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn set_router(&self, link: u32, router: Ipv4Addr, metric: u32) -> io::Result<()> {
        self.ask(&router_message(link, router, metric))
    }

    fn ask(&self, message: &[u8]) -> io::Result<()> {
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), message, &kernel, MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let count = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        acknowledged(&answer[..count])
    }
}

/// Reads the kernel's answer: a number behind the header, 0 or an error below it.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let code = answer.get(HEADER_BYTES..HEADER_BYTES + 4);
    let code = code.and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + body.len()) as u32;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // we ask one thing at a time
    message.extend_from_slice(body);
    message
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    body.extend_from_slice(&8u16.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(&value);
}

fn link_message(link: u32, state: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for number in [link, state, IFF_UP] {
        body.extend_from_slice(&number.to_ne_bytes());
    }
    message(NEW_LINK, REQUEST, &body)
}

fn address_message(kind: u16, link: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    // A link-local address is none for the way to elsewhere (scope link).
    let scope = if address.is_link_local() { 253 } else { 0 };
    let mut body = vec![FAMILY_IPV4, prefix, 0, scope];
    body.extend_from_slice(&link.to_ne_bytes());
    let mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let broadcast = Ipv4Addr::from(u32::from(address) | mask);
    attribute(&mut body, 1, address.octets());
    attribute(&mut body, 2, address.octets());
    attribute(&mut body, 4, broadcast.octets());
    let flags = if kind == NEW_ADDRESS { REPLACE } else { 0 };
    message(kind, REQUEST | flags, &body)
}

fn router_message(link: u32, router: Ipv4Addr, metric: u32) -> Vec<u8> {
    // Main table (254), made by DHCP or somebody (16), everywhere (0), a way to others (1).
    let mut body = vec![FAMILY_IPV4, 0, 0, 0, 254, 16, 0, 1, 0, 0, 0, 0];
    attribute(&mut body, 5, router.octets());
    attribute(&mut body, 4, link.to_ne_bytes());
    attribute(&mut body, 6, metric.to_ne_bytes());
    message(NEW_ROUTE, REQUEST | REPLACE, &body)
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_kernel() {
        let address = Ipv4Addr::new(192, 168, 1, 20);
        for (message, expected) in [
            (
                link_message(2, IFF_UP),
                "20000000 1000 0500 0000000000000000 00000000 02000000 01000000 01000000",
            ),
            (
                address_message(NEW_ADDRESS, 2, address, 24),
                "30000000 1400 0505 0000000000000000 02180000 02000000 \
                 08000100 c0a80114 08000200 c0a80114 08000400 c0a801ff",
            ),
            (
                address_message(OLD_ADDRESS, 3, Ipv4Addr::new(169, 254, 1, 2), 16),
                "30000000 1500 0500 0000000000000000 021000fd 03000000 \
                 08000100 a9fe0102 08000200 a9fe0102 08000400 a9feffff",
            ),
            (
                router_message(2, Ipv4Addr::new(192, 168, 1, 1), 100),
                "34000000 1800 0505 0000000000000000 02000000 fe100001 00000000 \
                 08000500 c0a80101 08000400 02000000 08000600 64000000",
            ),
        ] {
            let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected.replace(' ', ""));
        }
    }

    #[test]
    fn the_kernel_s_answer_is_read() {
        let answer = |code: i32| [vec![0; 16], code.to_ne_bytes().to_vec(), vec![0; 16]].concat();
        assert!(acknowledged(&answer(0)).is_ok());
        let error = acknowledged(&answer(-17)).expect_err("an error");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(acknowledged(&[0; 18]).is_err());
    }
}
