//! A DHCPv4 client (RFC 2131, options of RFC 2132) as a machine without socket or clock: one interface, one lease.
//!
//! It asks for an address, router, name servers, time servers and the lease's times; nothing else is believed. Every packet asks for a
//! broadcast answer, since the interface has no address yet. It does not probe for others who use the address (RFC 5227).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// 4 seconds before a first packet is sent again, doubled up to 64 (RFC 2131 §4.1).
const RETRY_MIN: Duration = Duration::from_secs(4);
const RETRY_MAX: Duration = Duration::from_secs(64);

/// 3 packets without an answer, and an offer is forgotten: another server may have a better one.
const REQUESTS_MAX: u32 = 3;

/// A lease of less than a minute would keep us busy with nothing else.
const LEASE_MIN_S: u32 = 60;

/// 4 servers of a kind are kept.
const SERVERS_MAX: usize = 4;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const FIXED_BYTES: usize = 236;

/// 300 bytes: some relays drop what is shorter than a BOOTP packet (RFC 1542 §2.1).
const PACKET_BYTES_MIN: usize = 300;

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Our address.
    pub(crate) address: Ipv4Addr,
    /// Bits of the network in it.
    pub(crate) prefix: u8,
    /// Where packets for elsewhere go.
    pub(crate) router: Option<Ipv4Addr>,
    /// Name servers.
    pub(crate) dns: Vec<Ipv4Addr>,
    /// Time servers.
    pub(crate) ntp: Vec<Ipv4Addr>,
    server: Ipv4Addr,
    renew_after: Duration,
    rebind_after: Duration,
    length: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Send this to the address, port 67.
    Send(Vec<u8>, Ipv4Addr),
    /// Use this lease.
    Use(Lease),
    /// The lease is over: use the address no more.
    Lose,
}

#[derive(Debug)]
enum Phase {
    /// Asks who is there.
    Selecting,
    /// Has taken an offer.
    Requesting { offer: Lease, sent: u32 },
    /// Has an address since then.
    Bound { lease: Lease, since: Instant },
}

/// The client of one interface.
#[derive(Debug)]
pub(crate) struct Client {
    hardware: [u8; 6],
    hostname: String,
    transaction: u32,
    phase: Phase,
    next_at: Instant,
    retry: Duration,
}

impl Client {
    /// Begins for an interface; the number tells our packets from those of others.
    pub(crate) fn new(hardware: [u8; 6], hostname: &str, transaction: u32, now: Instant) -> Self {
        Self {
            hardware,
            hostname: hostname.to_owned(),
            transaction,
            phase: Phase::Selecting,
            next_at: now,
            retry: RETRY_MIN,
        }
    }

    /// When something is due.
    pub(crate) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Begins anew, since the cable was plugged in: an address that was had is asked for again.
    pub(crate) fn link_up(&mut self, now: Instant) {
        if let Phase::Bound { lease, .. } = &self.phase {
            let offer = lease.clone();
            self.phase = Phase::Requesting { offer, sent: 0 };
        }
        self.retry = RETRY_MIN;
        self.next_at = now;
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Deed> {
        if now < self.next_at {
            return None;
        }
        self.next_at = now + self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
        match &mut self.phase {
            Phase::Requesting { sent, .. } if *sent >= REQUESTS_MAX => {
                self.start_over(now);
                Some(Deed::Lose)
            }
            Phase::Requesting { offer, sent } => {
                *sent += 1;
                let asked = [(50, offer.address), (54, offer.server)];
                Some(Deed::Send(
                    self.packet(3, None, &asked),
                    Ipv4Addr::BROADCAST,
                ))
            }
            Phase::Selecting => Some(Deed::Send(self.packet(1, None, &[]), Ipv4Addr::BROADCAST)),
            Phase::Bound { .. } => self.keep(now),
        }
    }

    /// Renews the lease, from its server first and then from any (RFC 2131 §4.4.5).
    fn keep(&mut self, now: Instant) -> Option<Deed> {
        let Phase::Bound { lease, since } = &self.phase else {
            return None;
        };
        let age = now - *since;
        if age >= lease.length {
            self.start_over(now);
            return Some(Deed::Lose);
        }
        let (to, until) = if age >= lease.rebind_after {
            (Ipv4Addr::BROADCAST, lease.length)
        } else {
            (lease.server, lease.rebind_after)
        };
        // Half of what is left, but not less than a minute (RFC 2131 §4.4.5).
        self.next_at = now + ((until - age) / 2).max(Duration::from_secs(60));
        Some(Deed::Send(self.packet(3, Some(lease.address), &[]), to))
    }

    fn start_over(&mut self, now: Instant) {
        self.phase = Phase::Selecting;
        self.retry = RETRY_MIN;
        self.next_at = now;
    }

    /// Takes a packet that came to port 68.
    pub(crate) fn receive(&mut self, packet: &[u8], now: Instant) -> Option<Deed> {
        let (kind, lease) = self.read(packet)?;
        match (kind, &mut self.phase) {
            (Kind::Offer, Phase::Selecting) => {
                let offer = lease?;
                self.phase = Phase::Requesting { offer, sent: 0 };
                self.retry = RETRY_MIN;
                self.next_at = now;
                self.tick(now)
            }
            (Kind::Ack, Phase::Requesting { .. } | Phase::Bound { .. }) => {
                let lease = lease?;
                self.next_at = now + lease.renew_after;
                self.retry = RETRY_MIN;
                self.phase = Phase::Bound {
                    lease: lease.clone(),
                    since: now,
                };
                Some(Deed::Use(lease))
            }
            (Kind::Nak, Phase::Requesting { .. } | Phase::Bound { .. }) => {
                self.start_over(now);
                Some(Deed::Lose)
            }
            _ => None,
        }
    }

    fn packet(&self, kind: u8, ours: Option<Ipv4Addr>, addresses: &[(u8, Ipv4Addr)]) -> Vec<u8> {
        let mut packet = vec![1, 1, 6, 0];
        packet.extend_from_slice(&self.transaction.to_be_bytes());
        packet.extend_from_slice(&[0, 0]);
        // Who has an address can be reached; else the answer is to be a broadcast.
        packet.extend_from_slice(if ours.is_some() { &[0, 0] } else { &[0x80, 0] });
        packet.extend_from_slice(&ours.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        packet.resize(28, 0);
        packet.extend_from_slice(&self.hardware);
        packet.resize(FIXED_BYTES, 0);
        packet.extend_from_slice(&COOKIE);
        packet.extend_from_slice(&[53, 1, kind]);
        // The same client after a change of cards would be another one; so it is known by its card.
        packet.extend_from_slice(&[61, 7, 1]);
        packet.extend_from_slice(&self.hardware);
        for (option, address) in addresses {
            packet.extend_from_slice(&[*option, 4]);
            packet.extend_from_slice(&address.octets());
        }
        packet.extend_from_slice(&[12, self.hostname.len().min(63) as u8]);
        packet.extend(self.hostname.bytes().take(63));
        // Network mask, router, name servers, time servers, and the times of the lease.
        packet.extend_from_slice(&[55, 7, 1, 3, 6, 42, 51, 58, 59]);
        packet.push(255);
        packet.resize(packet.len().max(PACKET_BYTES_MIN), 0);
        packet
    }

    /// Reads an answer to us; the lease is none where it lacks what a lease needs.
    fn read(&self, packet: &[u8]) -> Option<(Kind, Option<Lease>)> {
        let is_ours = packet.len() > FIXED_BYTES + 4
            && packet[0] == 2
            && packet[4..8] == self.transaction.to_be_bytes()
            && packet[28..34] == self.hardware
            && packet[FIXED_BYTES..FIXED_BYTES + 4] == COOKIE;
        if !is_ours {
            return None;
        }
        let options = &packet[FIXED_BYTES + 4..];
        let kind = match option(options, 53)? {
            [2] => Kind::Offer,
            [5] => Kind::Ack,
            [6] => Kind::Nak,
            _ => return None,
        };
        Some((kind, lease(&packet[16..20], options)))
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Offer,
    Ack,
    Nak,
}

/// Gives the value of an option; none if it is missing or cut off.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [255, ..] | [] => return None,
            [code, length, rest @ ..] => {
                let (value, behind) = rest.split_at_checked((*length).into())?;
                if *code == wanted {
                    return Some(value);
                }
                options = behind;
            }
            [_] => return None,
        }
    }
}

fn lease(address: &[u8], options: &[u8]) -> Option<Lease> {
    let address = addresses(address).next()?;
    let all = |code| addresses(option(options, code).unwrap_or_default());
    let seconds = |code| Some(u32::from_be_bytes(option(options, code)?.try_into().ok()?));
    let mask = u32::from(all(1).next()?);
    let prefix = mask.leading_ones();
    let length = seconds(51)?.max(LEASE_MIN_S);
    let renew = seconds(58).unwrap_or(length / 2).min(length / 2);
    let rebind = seconds(59).unwrap_or(length / 8 * 7);
    let usable = !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast();
    // A mask is ones, then zeros.
    if !usable || prefix == 0 || mask.count_ones() != prefix {
        return None;
    }
    Some(Lease {
        address,
        prefix: prefix as u8,
        router: all(3).next().filter(|router| !router.is_unspecified()),
        dns: all(6).take(SERVERS_MAX).collect(),
        ntp: all(42).take(SERVERS_MAX).collect(),
        server: all(54).next()?,
        renew_after: Duration::from_secs(renew.into()),
        rebind_after: Duration::from_secs(rebind.clamp(renew, length).into()),
        length: Duration::from_secs(length.into()),
    })
}

fn addresses(bytes: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    let (all, _) = bytes.as_chunks::<4>();
    all.iter().map(|octets| Ipv4Addr::from(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const NUMBER: u32 = 0x0102_0304;
    const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn client(now: Instant) -> Client {
        Client::new(HARDWARE, "coffer", NUMBER, now)
    }

    fn answer(kind: u8, seconds: u32) -> Vec<u8> {
        let mut packet = vec![0; FIXED_BYTES];
        packet[0] = 2;
        packet[4..8].copy_from_slice(&NUMBER.to_be_bytes());
        packet[16..20].copy_from_slice(&OURS.octets());
        packet[28..34].copy_from_slice(&HARDWARE);
        packet.extend_from_slice(&COOKIE);
        packet.extend_from_slice(&[53, 1, kind, 0, 1, 4, 255, 255, 255, 0]);
        packet.extend_from_slice(&[3, 4, 10, 0, 2, 2, 6, 8, 10, 0, 2, 3, 9, 9, 9, 9]);
        packet.extend_from_slice(&[42, 4, 10, 0, 2, 4, 54, 4, 10, 0, 2, 2, 51, 4]);
        packet.extend_from_slice(&seconds.to_be_bytes());
        packet.push(255);
        packet
    }

    fn sent(deed: Option<Deed>) -> (u8, Ipv4Addr) {
        match deed {
            Some(Deed::Send(packet, to)) => {
                let kind = option(&packet[FIXED_BYTES + 4..], 53).expect("a kind");
                (kind[0], to)
            }
            other => panic!("nothing was sent: {other:?}"),
        }
    }

    /// A client that has got a lease of an hour.
    fn bound(now: Instant) -> Client {
        let mut client = client(now);
        assert_eq!(sent(client.tick(now)), (1, Ipv4Addr::BROADCAST));
        assert_eq!(
            sent(client.receive(&answer(2, 3600), now)),
            (3, Ipv4Addr::BROADCAST)
        );
        let Some(Deed::Use(lease)) = client.receive(&answer(5, 3600), now) else {
            panic!("no lease");
        };
        assert_eq!((lease.address, lease.prefix), (OURS, 24));
        assert_eq!(lease.router, Some(SERVER));
        assert_eq!((lease.dns.len(), lease.ntp.len()), (2, 1));
        client
    }

    #[test]
    fn a_lease_is_kept_as_long_as_somebody_renews_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut client = bound(start);
        assert_eq!(client.tick(at(1_799)), None);
        assert_eq!(sent(client.tick(at(1_800))), (3, SERVER));
        let renewed = client.receive(&answer(5, 3600), at(1_801));
        assert!(matches!(renewed, Some(Deed::Use(_))));
        assert_eq!(client.next_at(), at(3_601));
        // Nobody answers any more.
        assert_eq!(sent(client.tick(at(3_601))), (3, SERVER));
        assert_eq!(
            sent(client.tick(at(1_801 + 3_150))),
            (3, Ipv4Addr::BROADCAST)
        );
        assert_eq!(client.tick(at(1_801 + 3_600)), Some(Deed::Lose));
        assert_eq!(
            sent(client.tick(at(1_801 + 3_600))),
            (1, Ipv4Addr::BROADCAST)
        );
    }

    #[test]
    fn who_gets_no_answer_asks_more_and_more_rarely() {
        let mut now = Instant::now();
        let mut client = client(now);
        for pause in [4, 8, 16, 32, 64, 64] {
            assert_eq!(sent(client.tick(now)), (1, Ipv4Addr::BROADCAST));
            assert_eq!(client.tick(now), None);
            now += Duration::from_secs(pause);
            assert_eq!(client.next_at(), now);
        }
    }

    #[test]
    fn an_offer_that_leads_to_nothing_is_forgotten() {
        let start = Instant::now();
        let mut client = client(start);
        sent(client.tick(start));
        sent(client.receive(&answer(2, 3600), start));
        let mut deeds = Vec::new();
        for _ in 0..3 {
            deeds.push(client.tick(client.next_at()));
        }
        assert_eq!(deeds.pop(), Some(Some(Deed::Lose)));
        let refused = {
            sent(client.tick(client.next_at()));
            sent(client.receive(&answer(2, 3600), client.next_at()));
            client.receive(&answer(6, 0), client.next_at())
        };
        assert_eq!(refused, Some(Deed::Lose));
    }

    #[test]
    fn the_cable_put_back_asks_for_the_same_address() {
        let now = Instant::now();
        let mut client = bound(now);
        client.link_up(now);
        let Some(Deed::Send(packet, _)) = client.tick(now) else {
            panic!("nothing was sent");
        };
        let asked = option(&packet[FIXED_BYTES + 4..], 50);
        assert_eq!(asked, Some(&OURS.octets()[..]));
        assert!(matches!(
            client.receive(&answer(5, 3600), now),
            Some(Deed::Use(_))
        ));
    }

    #[test]
    fn what_is_not_for_us_or_makes_no_sense_changes_nothing() {
        let now = Instant::now();
        let change = |at: usize, byte: u8| {
            let mut packet = answer(5, 3600);
            packet[at] = byte;
            packet
        };
        let cut = |length: usize| answer(5, 3600)[..length].to_vec();
        let mut cases = vec![
            change(0, 1),
            change(4, 9),
            change(28, 9),
            change(FIXED_BYTES, 9),
            change(16, 127),
            change(16, 255 - 31),
            change(FIXED_BYTES + 4 + 6, 0), // a mask that begins with zeros
            change(FIXED_BYTES + 4 + 7, 1), // a mask with holes
        ];
        cases.extend((0..FIXED_BYTES + 44).map(cut));
        for packet in cases {
            let mut client = client(now);
            sent(client.tick(now));
            sent(client.receive(&answer(2, 3600), now));
            assert_eq!(client.receive(&packet, now), None, "{packet:?}");
        }
    }

    #[test]
    fn packets_are_those_of_the_rfc() {
        let packet = client(Instant::now()).packet(1, None, &[]);
        assert_eq!(packet.len(), PACKET_BYTES_MIN);
        assert_eq!(packet[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0x80, 0]);
        assert_eq!(packet[28..34], HARDWARE);
        let options = &packet[FIXED_BYTES + 4..];
        assert_eq!(option(options, 12), Some(&b"coffer"[..]));
        assert_eq!(option(options, 50), None);
    }
}
