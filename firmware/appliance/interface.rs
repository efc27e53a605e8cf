//! What one network card does: DHCP, an address of its own when nobody answers, or the one that somebody set. A machine: it is given
//! what comes and the time, and says what is to be done.

use crate::dhcp::{self, Client, Lease};
use crate::network_settings::NetworkSettings;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// 12 seconds with a cable and without a lease, and the card gives itself an address (RFC 3927), so that a cable to a notebook is enough.
/// Two questions of DHCP have had their time by then. DHCP goes on beside it.
const LINK_LOCAL_AFTER: Duration = Duration::from_secs(12);

/// Bits of the network 169.254.0.0/16.
const LINK_LOCAL_PREFIX: u8 = 16;

/// An address with the bits of its network.
pub(crate) type Address = (Ipv4Addr, u8);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Send a DHCP packet.
    Send(Vec<u8>, Ipv4Addr),
    /// Give the card an address.
    Add(Address),
    /// Take an address from the card.
    Remove(Address),
    /// Send what is for elsewhere there.
    Router(Ipv4Addr),
    /// Servers have changed.
    Servers,
}

/// One card.
pub(crate) struct Interface {
    dhcp: Client,
    settings: NetworkSettings,
    lease: Option<Lease>,
    link_local: Address,
    has_link_local: bool,
    /// Since when there is a cable.
    carrier_since: Option<Instant>,
}

impl Interface {
    /// Begins for a card; it has no cable yet.
    pub(crate) fn new(
        hardware: [u8; 6],
        transaction: u32,
        settings: NetworkSettings,
        now: Instant,
    ) -> Self {
        Self {
            dhcp: Client::new(hardware, &settings.hostname, transaction, now),
            settings,
            lease: None,
            link_local: (link_local(hardware), LINK_LOCAL_PREFIX),
            has_link_local: false,
            carrier_since: None,
        }
    }

    /// Tells whether there is a cable now.
    pub(crate) fn set_carrier(&mut self, has_carrier: bool, now: Instant) -> Vec<Deed> {
        if has_carrier == self.carrier_since.is_some() {
            return Vec::new();
        }
        self.carrier_since = has_carrier.then_some(now);
        if !has_carrier {
            return Vec::new(); // a lease is kept: the cable may come back at once
        }
        match self.settings.fixed {
            None => {
                self.dhcp.link_up(now);
                Vec::new()
            }
            Some(fixed) => {
                let mut deeds = vec![Deed::Add(fixed.address)];
                deeds.extend(fixed.router.map(Deed::Router));
                deeds.push(Deed::Servers);
                deeds
            }
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Deed> {
        let (None, Some(since)) = (self.settings.fixed, self.carrier_since) else {
            return Vec::new();
        };
        let asked = self.dhcp.tick(now);
        let mut deeds = self.follow(asked);
        if self.lease.is_none() && !self.has_link_local && now - since >= LINK_LOCAL_AFTER {
            self.has_link_local = true;
            deeds.push(Deed::Add(self.link_local));
        }
        deeds
    }

    /// Takes a packet that came to port 68.
    pub(crate) fn receive(&mut self, packet: &[u8], now: Instant) -> Vec<Deed> {
        let answered = self.dhcp.receive(packet, now);
        self.follow(answered)
    }

    /// When something is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let since = self.carrier_since?;
        let waits = self.settings.fixed.is_none() && self.lease.is_none() && !self.has_link_local;
        let link_local = waits.then(|| since + LINK_LOCAL_AFTER);
        let dhcp = self.settings.fixed.is_none().then(|| self.dhcp.next_at());
        [dhcp, link_local].into_iter().flatten().min()
    }

    /// Name servers: those that were set, else those of the lease, else the router of a fixed address, which often is one.
    pub(crate) fn dns(&self) -> Vec<Ipv4Addr> {
        if !self.settings.dns.is_empty() {
            return self.settings.dns.clone();
        }
        match (&self.settings.fixed, &self.lease) {
            (Some(fixed), _) => fixed.router.into_iter().collect(),
            (None, Some(lease)) => lease.dns.clone(),
            (None, None) => Vec::new(),
        }
    }

    /// Time servers: those that were set, then those of the lease; the router, which often is one, comes last.
    pub(crate) fn ntp(&self) -> Vec<Ipv4Addr> {
        let router = self.settings.fixed.and_then(|fixed| fixed.router);
        let lease = self.lease.as_ref();
        let router = router.or(lease.and_then(|lease| lease.router));
        let leased = lease.map_or(&[][..], |lease| &lease.ntp);
        let servers = self.settings.ntp.iter().chain(leased).copied();
        servers.chain(router).collect()
    }

    /// Ends what the card does, to begin anew with other settings.
    pub(crate) fn end(&mut self) -> Vec<Deed> {
        let leased = self.lease.take();
        let held = [
            leased.map(|lease| (lease.address, lease.prefix)),
            self.settings.fixed.map(|fixed| fixed.address),
            std::mem::take(&mut self.has_link_local).then_some(self.link_local),
        ];
        held.into_iter().flatten().map(Deed::Remove).collect()
    }

    fn follow(&mut self, deed: Option<dhcp::Deed>) -> Vec<Deed> {
        match deed {
            None => Vec::new(),
            Some(dhcp::Deed::Send(packet, to)) => vec![Deed::Send(packet, to)],
            Some(dhcp::Deed::Use(lease)) => self.take(lease),
            Some(dhcp::Deed::Lose) => {
                let lost = self.lease.take();
                let removed = lost.map(|lease| Deed::Remove((lease.address, lease.prefix)));
                removed.into_iter().chain([Deed::Servers]).collect()
            }
        }
    }

    /// Uses a lease; of one that was renewed nothing is told but what has changed.
    fn take(&mut self, lease: Lease) -> Vec<Deed> {
        let address = |lease: &Lease| (lease.address, lease.prefix);
        let mut deeds = Vec::new();
        let old = self.lease.replace(lease.clone());
        if let Some(old) = &old
            && address(old) != address(&lease)
        {
            deeds.push(Deed::Remove(address(old)));
        }
        deeds.push(Deed::Add(address(&lease)));
        deeds.extend(lease.router.map(Deed::Router));
        if std::mem::take(&mut self.has_link_local) {
            deeds.push(Deed::Remove(self.link_local));
        }
        deeds.push(Deed::Servers);
        deeds
    }
}

/// An address of 169.254.1.0 to 169.254.254.255 that is always the same for a card (RFC 3927 §2.1). It is not probed: two cards in
/// one network have the same with one chance in 65,000.
fn link_local(hardware: [u8; 6]) -> Ipv4Addr {
    let checksum = crc32c::crc32c(&hardware);
    Ipv4Addr::new(169, 254, 1 + (checksum >> 8) as u8 % 254, checksum as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network_settings;

    const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn interface(kept: &str, now: Instant) -> Interface {
        let texts = network_settings::texts(kept);
        let settings = NetworkSettings::read(&texts).expect("good settings");
        Interface::new(HARDWARE, 7, settings, now)
    }

    #[test]
    fn without_a_cable_nothing_is_done() {
        let now = Instant::now();
        let mut interface = interface("", now);
        assert_eq!(interface.next_at(), None);
        assert!(interface.tick(now).is_empty());
    }

    #[test]
    fn when_nobody_answers_the_card_gives_itself_an_address() {
        let start = Instant::now();
        let mut interface = interface("", start);
        interface.set_carrier(true, start);
        let mut added = Vec::new();
        for _ in 0..8 {
            let now = interface.next_at().expect("something is due");
            let deeds = interface.tick(now);
            assert!(!deeds.is_empty(), "no turn for nothing");
            for deed in deeds {
                if let Deed::Add(address) = deed {
                    added.push((address, now - start));
                }
            }
        }
        let [((address, prefix), after)] = added[..] else {
            panic!("one address: {added:?}");
        };
        assert!(address.is_link_local() && prefix == 16);
        assert_eq!(after, LINK_LOCAL_AFTER);
    }

    #[test]
    fn a_fixed_address_needs_nobody() {
        let now = Instant::now();
        let kept = "address=192.168.1.5/24\nrouter=192.168.1.1\n";
        let mut interface = interface(kept, now);
        let router = Ipv4Addr::new(192, 168, 1, 1);
        let expected = [
            Deed::Add((Ipv4Addr::new(192, 168, 1, 5), 24)),
            Deed::Router(router),
            Deed::Servers,
        ];
        assert_eq!(interface.set_carrier(true, now), expected);
        assert!(interface.set_carrier(true, now).is_empty());
        assert!(interface.tick(now + Duration::from_secs(100)).is_empty());
        assert_eq!(
            (interface.dns(), interface.ntp()),
            (vec![router], vec![router])
        );
        assert_eq!(interface.next_at(), None);
        interface.set_carrier(false, now);
        assert_eq!(interface.set_carrier(true, now), expected);
        let held = Deed::Remove((Ipv4Addr::new(192, 168, 1, 5), 24));
        assert_eq!(interface.end(), [held]);
    }

    #[test]
    fn servers_that_were_set_come_before_those_of_the_network() {
        let kept = "dns=9.9.9.9 1.1.1.1\nntp=10.0.0.3\n";
        let interface = interface(kept, Instant::now());
        let dns = [Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1)];
        assert_eq!(interface.dns(), dns);
        assert_eq!(interface.ntp(), [Ipv4Addr::new(10, 0, 0, 3)]);
    }

    #[test]
    fn link_local_addresses_lie_in_the_range() {
        for number in 0..=u8::MAX {
            let octets = link_local([2, 0, 0, 0, 0, number]).octets();
            assert!((1..=254).contains(&octets[2]), "{octets:?}");
        }
    }
}
