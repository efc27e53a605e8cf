//! The worker for the network: drives every card's machine (`interface`), writes `resolv.conf`, and keeps the clock.
//!
//! IPv6 needs nothing of it: the kernel takes addresses by router advertisements (SLAAC). Ethernet only.

use crate::confinement::{Confinement, INTERNET_AND_LINKS};
use crate::interface::{Deed, Interface};
use crate::links::{self, LINKS, Link};
use crate::netlink::RouteSocket;
use crate::network_settings::{self, NetworkSettings};
use crate::privileges::{self, capability};
use crate::time_keeper::TimeKeeper;
use crate::{report, workers};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// A second: how long a cable or a new card may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// 2 seconds before a change takes effect: the page that was asked for it answers first.
const SETTLES_IN: Duration = Duration::from_secs(2);

/// What somebody set in place of DHCP; `disks` writes it from the state partition.
pub(crate) const SETTINGS: &str = "/run/coffer/network-settings";

/// Where it tells others what it knows.
const FOLDER: &str = "/run/coffer/network";

/// Name servers, as programs look for them.
const RESOLV_CONF: &str = "/run/coffer/network/resolv.conf";

/// 2 KiB: a DHCP answer fits into 576 bytes (RFC 2131 §2), and into this with all that servers add.
const PACKET_BYTES_MAX: usize = 2048;

/// The link within the machine: the kernel gives it this number, and its addresses once it is up (LOOPBACK_IFINDEX, net/net_namespace.h).
const LOOPBACK: u32 = 1;

/// Keeps the network up.
///
/// # Errors
/// When rights cannot be given up or the kernel does not answer.
pub(crate) fn run() -> io::Result<()> {
    let needed = [
        capability::NET_ADMIN,
        capability::NET_RAW,
        capability::SYS_TIME,
    ];
    privileges::become_user(workers::NETWORK_USER, &needed)?;
    let confinement = Confinement {
        writes: &[Path::new(FOLDER)],
        reads: &["/run/coffer"],
        sockets: &INTERNET_AND_LINKS,
        calls: &[libc::SYS_clock_settime],
    };
    confinement.begin()?;
    let route = RouteSocket::open()?;
    // While a version is on trial the archive asks at its own doors.
    route.link_up(LOOPBACK)?;
    let mut network = Network {
        route,
        cards: Vec::new(),
        links: Vec::new(),
        time: TimeKeeper::start()?,
        addresses: Vec::new(),
        trouble: String::new(),
        settings: String::new(),
        changed_at: None,
    };
    loop {
        network.follow_settings();
        network.look();
        network.tick()?;
        network.tell()?;
        network.wait_and_receive();
    }
}

/// A card with its socket.
struct Card {
    link: Link,
    socket: UdpSocket,
    interface: Interface,
}

struct Network {
    route: RouteSocket,
    cards: Vec<Card>,
    /// What was seen last.
    links: Vec<Link>,
    time: TimeKeeper,
    /// What was told last.
    addresses: Vec<IpAddr>,
    trouble: String,
    /// The settings that hold, as `disks` wrote them.
    settings: String,
    /// Since when there are others.
    changed_at: Option<Instant>,
}

impl Network {
    /// Begins anew on every card when other settings have come.
    fn follow_settings(&mut self) {
        let settings = fs::read_to_string(SETTINGS).unwrap_or_default();
        if settings == self.settings {
            self.changed_at = None;
            return;
        }
        let changed_at = *self.changed_at.get_or_insert_with(Instant::now);
        if changed_at.elapsed() < SETTLES_IN {
            return;
        }
        tracing::info!("the network is set anew");
        self.settings = settings;
        for place in 0..self.cards.len() {
            let deeds = self.cards[place].interface.end();
            self.follow(place, deeds);
            // What leads elsewhere goes with the link, which is brought up again at once.
            let link = &self.cards[place].link;
            if let Err(error) = self.route.link_down(link.index) {
                tracing::warn!(card = link.name, %error, "a network card cannot be switched off");
            }
        }
        self.cards.clear();
    }

    /// Takes note of cards and cables that came or went.
    fn look(&mut self) {
        let links = links::list(Path::new(LINKS));
        self.cards
            .retain(|card| links.iter().any(|link| link.index == card.link.index));
        for link in &links {
            let known = self.cards.iter().any(|card| card.link.index == link.index);
            if !known {
                match self.bring_up(link.clone()) {
                    Ok(card) => self.cards.push(card),
                    Err(error) if self.links.contains(link) => {
                        tracing::debug!(card = link.name, %error, "it still cannot be used");
                    }
                    Err(error) => {
                        tracing::warn!(card = link.name, %error, "a network card cannot be used");
                    }
                }
            }
        }
        for link in &links {
            let before = self.links.iter().find(|it| it.index == link.index);
            if before.is_some_and(|before| before.has_carrier != link.has_carrier) {
                let what = if link.has_carrier {
                    "a cable is plugged in"
                } else {
                    "no cable"
                };
                tracing::info!(card = link.name, "{what}");
            }
        }
        self.links = links;
    }

    fn bring_up(&self, link: Link) -> io::Result<Card> {
        self.route.link_up(link.index)?;
        let socket = socket_on(&link.name)?;
        let texts = network_settings::texts(&self.settings);
        let mut settings = NetworkSettings::read(&texts).unwrap_or_default();
        if !self.cards.is_empty() {
            settings.fixed = None; // another card may lead to another network
        }
        let mut number = [0; 4];
        number.copy_from_slice(&link.hardware[2..]);
        let number = u32::from_be_bytes(number) ^ std::process::id();
        let interface = Interface::new(link.hardware, number, settings, Instant::now());
        tracing::info!(card = link.name, "network card");
        Ok(Card {
            link,
            socket,
            interface,
        })
    }

    /// Does what is due on each card.
    fn tick(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for place in 0..self.cards.len() {
            let index = self.cards[place].link.index;
            let has_carrier = self
                .links
                .iter()
                .any(|link| link.index == index && link.has_carrier);
            let mut deeds = self.cards[place].interface.set_carrier(has_carrier, now);
            deeds.extend(self.cards[place].interface.tick(now));
            self.follow(place, deeds);
        }
        self.time.tick(now)
    }

    fn follow(&mut self, place: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            let what = format!("{deed:.60?}");
            if let Err(error) = self.act(place, deed) {
                tracing::warn!(card = self.cards[place].link.name, what, %error, "the network cannot be set");
            }
        }
    }

    fn act(&mut self, place: usize, deed: Deed) -> io::Result<()> {
        let Card { link, socket, .. } = &self.cards[place];
        match deed {
            Deed::Send(packet, to) => socket.send_to(&packet, (to, 67)).map(drop),
            Deed::Add((address, prefix)) => {
                tracing::info!(card = link.name, %address, prefix, "address");
                self.route.add_address(link.index, address, prefix)
            }
            Deed::Remove((address, prefix)) => {
                tracing::info!(card = link.name, %address, "address given up");
                self.route.remove_address(link.index, address, prefix)
            }
            // The card that was there first is taken rather than others.
            Deed::Router(router) => self
                .route
                .set_router(link.index, router, 100 + place as u32),
            Deed::Servers => self.servers_changed(),
        }
    }

    /// Tells programs and the clock which servers there are now.
    fn servers_changed(&mut self) -> io::Result<()> {
        let interfaces = || self.cards.iter().map(|card| &card.interface);
        let dns = interfaces().flat_map(Interface::dns);
        let mut known: Vec<Ipv4Addr> = Vec::new();
        for server in dns {
            if !known.contains(&server) {
                known.push(server);
            }
        }
        let servers = known.iter();
        let text: String = servers
            .map(|server| format!("nameserver {server}\n"))
            .collect();
        let ntp = interfaces().flat_map(|interface| interface.ntp());
        self.time.set_servers(ntp.collect());
        fs::write(RESOLV_CONF, text)
    }

    /// Tells PID 1 what has changed.
    fn tell(&mut self) -> io::Result<()> {
        let addresses = addresses()?;
        if addresses != self.addresses {
            let texts: Vec<_> = addresses.iter().map(printed).collect();
            report::say("addresses", &texts.join(" "))?;
            self.addresses = addresses;
        }
        let trouble = self.time.trouble();
        if trouble != self.trouble {
            report::say("trouble", trouble)?;
            trouble.clone_into(&mut self.trouble);
        }
        Ok(())
    }

    /// Waits until something comes or is due, and takes what came.
    fn wait_and_receive(&mut self) {
        let due = self
            .cards
            .iter()
            .filter_map(|card| card.interface.next_at());
        let left = due.min().map_or(LOOK_EVERY, |at| {
            at.saturating_duration_since(Instant::now())
        });
        let wait_ms = left.min(LOOK_EVERY).as_millis() as u16 + 1;
        let sockets = self.cards.iter().map(|card| card.socket.as_fd());
        let mut waiting: Vec<_> = sockets
            .map(|socket| PollFd::new(socket, PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut waiting, PollTimeout::from(wait_ms)); // an interruption is a turn, too
        for place in 0..self.cards.len() {
            let mut packet = [0; PACKET_BYTES_MAX];
            let card = &mut self.cards[place];
            if let Ok(count) = card.socket.recv(&mut packet) {
                let deeds = card.interface.receive(&packet[..count], Instant::now());
                self.follow(place, deeds);
            }
        }
    }
}

/// Opens port 68 on one card. It belongs to the card before it has the port, which other cards have, too.
fn socket_on(card: &str) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    setsockopt(&socket, sockopt::BindToDevice, &card.into())?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, 68))?;
    setsockopt(&socket, sockopt::Broadcast, &true)?;
    Ok(socket.into())
}

/// The addresses by which this machine can be reached by others, IPv4 first.
///
/// # Errors
/// What the kernel says.
pub(crate) fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_loopback(),
            IpAddr::V6(address) => {
                *address != Ipv6Addr::LOCALHOST && !address.is_unicast_link_local()
            }
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// As it stands in the address of a page.
fn printed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
