//! The other end of a second cable of the box: a neighbour in a network without DHCP, or who lends addresses himself, speaks Ethernet and tries every port.
//!
//! The emulator hands each frame over as a UDP datagram, so no rights are needed. Sources: RFC 826 (ARP), 791 (IPv4), 9293 (TCP), 768 (UDP), 792 (ICMP), 2131 (DHCP).

use crate::owner::Owner;
use crate::results;
use crate::sender::Sender;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tests::{Hardware, PATIENCE, wait_for};

/// Hardware addresses of the box's second card, and of the neighbour.
const BOX_CARD: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x57];
const OUR_CARD: [u8; 6] = [0x52, 0x54, 0, 0xfe, 0xfe, 1];

/// In the network that cards are in by themselves (RFC 3927), at a place that no card chooses by itself.
const OUR_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 255, 7);

/// What we lend, and where we are ourselves then.
const LENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 20);
const LENDER: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);

/// The port that we ask from.
const OUR_PORT: u16 = 40_000;

/// A hardware address, and that of a network.
type Place = ([u8; 6], Ipv4Addr);

/// Whoever knows names in this network (RFC 6762 §3).
const EVERYBODY: Place = ([1, 0, 0x5e, 0, 0, 0xfb], Ipv4Addr::new(224, 0, 0, 251));

const ETHER_IPV4: u16 = 0x0800;
const ETHER_ARP: u16 = 0x0806;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const MDNS: u16 = 5353;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// Kinds of DHCP messages (RFC 2132 §9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACKNOWLEDGE: u8 = 5;

/// Where options begin in a DHCP message: behind its fields and the cookie.
const DHCP_OPTIONS: usize = 240;

/// Kinds of records (RFC 1035 §3.2.2): an address, and a name that another one stands for.
const A: u16 = 1;
const PTR: u16 = 12;

const TCP_SYN: u8 = 2;
const TCP_RST: u8 = 4;
const TCP_ACK: u8 = 16;

/// 64 ports are asked at once: the box answers all of them before its card has to drop any.
const ASKED_AT_ONCE: usize = 64;

/// Half a second without an answer, and a port is asked again; 5 seconds, and a UDP port is taken by somebody: once it has said so of six ports,
/// the kernel tells of one a second only (`icmp_ratelimit`).
const ANSWER: Duration = Duration::from_millis(500);
const SILENCE: Duration = Duration::from_secs(5);

/// A frame and more.
const FRAME_BYTES_MAX: usize = 2048;

/// The cable.
pub(crate) struct Wire {
    socket: UdpSocket,
    /// Where the emulator takes frames.
    emulator: SocketAddr,
    /// What the box calls itself, once it was heard.
    address: Ipv4Addr,
    /// Our own address.
    ours: Ipv4Addr,
}

/// What the box sent.
struct Packet {
    protocol: u8,
    from: Ipv4Addr,
    bytes: Vec<u8>,
}

impl Wire {
    /// Gives a computer that is off a second card, and takes the other end of its cable.
    pub(crate) fn plug_into(hardware: &mut Hardware) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (socket, theirs) = (bind(), bind());
        let emulator = theirs.local_addr().expect("a port");
        drop(theirs);
        let ours = socket.local_addr().expect("a port");
        let card: Vec<_> = BOX_CARD.iter().map(|byte| format!("{byte:02x}")).collect();
        hardware.parts.extend([
            "-netdev".to_owned(),
            format!("socket,id=wire,udp={ours},localaddr={emulator}"),
            "-device".to_owned(),
            format!("virtio-net-pci,netdev=wire,mac={}", card.join(":")),
        ]);
        Self {
            socket,
            emulator,
            address: Ipv4Addr::UNSPECIFIED,
            ours: OUR_ADDRESS,
        }
    }

    /// Waits until the box announces itself under an address that it gave itself, since nobody else does here.
    #[track_caller]
    pub(crate) fn hears_the_box(&mut self) -> Ipv4Addr {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let Some(packet) = self.receive() else {
                continue;
            };
            let is_announced = packet.protocol == UDP && half(&packet.bytes, 0) == MDNS;
            if is_announced && packet.from.is_link_local() {
                self.address = packet.from;
                return self.address;
            }
        }
        panic!("the box never announces itself");
    }

    /// Lends the box an address, as soon as it asks for one again; from then on both are in that network.
    #[track_caller]
    pub(crate) fn lends_address(&mut self) {
        self.ours = LENDER;
        wait_for("somebody who wants an address", || {
            let asked = self.receive().filter(|it| it.protocol == UDP)?;
            let asked = asked
                .bytes
                .get(8..)
                .filter(|_| half(&asked.bytes, 2) == DHCP_SERVER)?;
            let answer = match dhcp_kind(asked)? {
                DISCOVER => OFFER,
                REQUEST => ACKNOWLEDGE,
                _ => return None,
            };
            let everybody = Ipv4Addr::BROADCAST;
            let answered = dhcp_answer(asked, answer);
            let packet = self.datagram(DHCP_SERVER, DHCP_CLIENT, &answered, everybody);
            self.send(UDP, &packet, (BOX_CARD, everybody));
            (answer == ACKNOWLEDGE).then_some(())
        });
        self.address = LENT_ADDRESS;
    }

    /// Waits until the box takes connections at a port.
    #[track_caller]
    pub(crate) fn reaches(&self, port: u16) {
        wait_for(&format!("an answer of port {port}"), || {
            self.send(TCP, &self.segment(port, 1, TCP_SYN), self.the_box());
            let (found, flags) = self.receive().and_then(|it| tcp_answer(&it))?;
            (found == port && flags & TCP_RST == 0).then_some(())
        });
        self.send(TCP, &self.segment(port, 2, TCP_RST), self.the_box());
    }

    /// The TCP ports that somebody listens at: each of the 65,535 is asked until it answers.
    #[track_caller]
    pub(crate) fn open_tcp_ports(&self) -> BTreeSet<u16> {
        let began = Instant::now();
        let mut left: BTreeSet<u16> = (1..=u16::MAX).collect();
        let mut open = BTreeSet::new();
        while !left.is_empty() {
            assert!(began.elapsed() < PATIENCE, "no answer from: {left:?}");
            let asked: Vec<u16> = left.iter().copied().take(ASKED_AT_ONCE).collect();
            for port in &asked {
                self.send(TCP, &self.segment(*port, 1, TCP_SYN), self.the_box());
            }
            let asked_at = Instant::now();
            while asked.iter().any(|port| left.contains(port)) && asked_at.elapsed() < ANSWER {
                let Some((port, flags)) = self.receive().and_then(|it| tcp_answer(&it)) else {
                    continue;
                };
                if left.remove(&port) && flags & TCP_RST == 0 {
                    open.insert(port);
                    self.send(TCP, &self.segment(port, 2, TCP_RST), self.the_box());
                }
            }
        }
        open
    }

    /// Of these UDP ports those that nobody says to be unreachable.
    pub(crate) fn open_udp_ports(&self, ports: &[u16]) -> BTreeSet<u16> {
        let is_open = |port: &u16| {
            let asked_at = Instant::now();
            let question = self.datagram(OUR_PORT, *port, &[], self.address);
            while asked_at.elapsed() < SILENCE {
                self.send(UDP, &question, self.the_box());
                while let Some(said) = self.receive() {
                    if unreachable(&said) == Some(*port) {
                        return false;
                    }
                }
            }
            true
        };
        ports.iter().copied().filter(is_open).collect()
    }

    /// Asks everybody for records of a name, as RFC 6762 has it, until the box's answer has these bytes.
    #[track_caller]
    pub(crate) fn learns(&self, labels: &[&str], kind: u16, answer: &[u8]) {
        let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        question.push(0);
        question.extend(kind.to_be_bytes());
        question.extend([0, 1]);
        wait_for(&format!("an answer to {labels:?}"), || {
            let question = self.datagram(MDNS, MDNS, &question, EVERYBODY.1);
            self.send(UDP, &question, EVERYBODY);
            let asked_at = Instant::now();
            while asked_at.elapsed() < SILENCE {
                let said = self.receive().filter(|it| it.protocol == UDP);
                let said = said
                    .filter(|it| half(&it.bytes, 0) == MDNS)
                    .map(|it| it.bytes);
                // Behind the head of the datagram: the head of the message, whose second half says that it answers.
                let is_answer =
                    |bytes: &Vec<u8>| half(bytes, 8 + 2) & 0x8000 != 0 && has(bytes, answer);
                if said.as_ref().is_some_and(is_answer) {
                    return Some(());
                }
            }
            None
        });
    }

    /// The next IPv4 packet of the box, if one comes soon; questions for our card are answered on the way.
    fn receive(&self) -> Option<Packet> {
        self.socket
            .set_read_timeout(Some(ANSWER))
            .expect("a socket");
        let mut frame = [0; FRAME_BYTES_MAX];
        let length = match self.socket.recv(&mut frame) {
            Ok(length) => length,
            Err(_) => return None, // nothing yet, or the emulator does not listen yet
        };
        let frame = &frame[..length];
        if length < 34 || frame[6..12] != BOX_CARD {
            return None;
        }
        match half(frame, 12) {
            ETHER_ARP => self.answer_arp(&frame[14..]),
            ETHER_IPV4 => return packet(&frame[14..]),
            _ => {}
        }
        None
    }

    /// Says where we are to the box that asks.
    fn answer_arp(&self, question: &[u8]) {
        let asks_for_us = half(question, 6) == 1
            && question.len() >= 28
            && question[24..28] == self.ours.octets();
        if !asks_for_us {
            return;
        }
        let mut answer = question[..6].to_vec();
        answer.extend([0, 2]);
        answer.extend(OUR_CARD);
        answer.extend(self.ours.octets());
        answer.extend(&question[8..18]);
        self.send_frame(ETHER_ARP, &answer, BOX_CARD);
    }

    fn the_box(&self) -> Place {
        (BOX_CARD, self.address)
    }

    fn send(&self, protocol: u8, payload: &[u8], (card, address): Place) {
        let length = (20 + payload.len()) as u16;
        let mut header = vec![0x45, 0];
        header.extend(length.to_be_bytes());
        header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        header.extend(self.ours.octets());
        header.extend(address.octets());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        self.send_frame(ETHER_IPV4, &[&header, payload].concat(), card);
    }

    fn send_frame(&self, kind: u16, bytes: &[u8], card: [u8; 6]) {
        let mut frame = [&card[..], &OUR_CARD, &kind.to_be_bytes(), bytes].concat();
        frame.resize(frame.len().max(60), 0);
        let sent = self.socket.send_to(&frame, self.emulator);
        sent.expect("the emulator runs");
    }

    /// A TCP segment without data.
    fn segment(&self, port: u16, sequence: u32, flags: u8) -> Vec<u8> {
        let mut segment = Vec::new();
        segment.extend(OUR_PORT.to_be_bytes());
        segment.extend(port.to_be_bytes());
        segment.extend(sequence.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.seal(segment, TCP, 16, self.address)
    }

    fn datagram(&self, from: u16, port: u16, payload: &[u8], to: Ipv4Addr) -> Vec<u8> {
        let mut datagram = Vec::new();
        for number in [from, port, 8 + payload.len() as u16, 0] {
            datagram.extend(number.to_be_bytes());
        }
        datagram.extend(payload);
        self.seal(datagram, UDP, 6, to)
    }

    /// Puts in the checksum, which covers both addresses, too.
    fn seal(&self, mut payload: Vec<u8>, protocol: u8, at: usize, to: Ipv4Addr) -> Vec<u8> {
        let mut covered = Vec::new();
        covered.extend(self.ours.octets());
        covered.extend(to.octets());
        covered.extend([0, protocol]);
        covered.extend((payload.len() as u16).to_be_bytes());
        covered.extend(&payload);
        payload[at..at + 2].copy_from_slice(&checksum(&covered).to_be_bytes());
        payload
    }
}

/// The kind of a DHCP message: its first option, as the box writes it.
fn dhcp_kind(message: &[u8]) -> Option<u8> {
    match message.get(DHCP_OPTIONS..)? {
        [53, 1, kind, ..] => Some(*kind),
        _ => None,
    }
}

/// What we answer: the address for an hour, and nothing else that the network would have.
fn dhcp_answer(asked: &[u8], kind: u8) -> Vec<u8> {
    let mut answer = asked[..DHCP_OPTIONS].to_vec();
    answer[0] = 2; // a reply
    answer[16..20].copy_from_slice(&LENT_ADDRESS.octets());
    answer.extend([53, 1, kind, 54, 4]);
    answer.extend(LENDER.octets());
    answer.extend([51, 4, 0, 0, 0x0e, 0x10, 1, 4, 255, 255, 255, 0, 255]);
    answer
}

/// What an IPv4 packet brings.
fn packet(bytes: &[u8]) -> Option<Packet> {
    let header = usize::from(bytes[0] & 15) * 4;
    let length = usize::from(half(bytes, 2));
    let from: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
    Some(Packet {
        protocol: bytes[9],
        from: from.into(),
        bytes: bytes.get(header..length)?.to_vec(),
    })
}

/// The port that answers us, and how.
fn tcp_answer(packet: &Packet) -> Option<(u16, u8)> {
    let is_answer = packet.protocol == TCP && packet.bytes.len() >= 20;
    let flags = is_answer.then(|| packet.bytes[13])?;
    let is_ours = half(&packet.bytes, 2) == OUR_PORT && flags & (TCP_RST | TCP_ACK) != 0;
    is_ours.then(|| (half(&packet.bytes, 0), flags))
}

/// The UDP port that an ICMP packet calls unreachable: it brings back the header of what we sent.
fn unreachable(said: &Packet) -> Option<u16> {
    let is_unreachable = said.protocol == ICMP && said.bytes.get(..2) == Some(&[3, 3]);
    let ours = is_unreachable.then(|| said.bytes.get(8 + 20..))??;
    (half(ours, 0) == OUR_PORT).then(|| half(ours, 2))
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let pair = bytes.get(at..at + 2).unwrap_or_default();
    pair.try_into().map_or(0, u16::from_be_bytes)
}

/// The checksum of the internet (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2);
    let sum: u32 = pairs
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    !((folded >> 16) + folded) as u16
}

/// The ports that the box is there for: mail, page, and the announcement of its name. 68 is DHCP's.
const TCP_PORTS: [u16; 4] = [25, 80, 443, 465];
const UDP_PORTS: [u16; 2] = [68, 5353];

/// UDP ports that other boxes have open: echo, names, DHCP, boot files, services, time, shares, management, keys, logs, discovery.
const USUAL_UDP_PORTS: [u16; 14] = [
    7, 53, 67, 69, 111, 123, 137, 161, 500, 514, 546, 1900, 3702, 5355,
];

/// A neighbour in a network without DHCP hears the box announce itself, and finds no port open but those.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn only_named_ports_are_open_from_outside() {
    results::once("ports", ask_all_ports);
}

fn ask_all_ports() {
    let Some(mut hardware) = Hardware::new("box-ports", 1) else {
        return;
    };
    let mut wire = Wire::plug_into(&mut hardware);
    let emulated = hardware.start();
    Owner::set_up(&emulated);
    wire.hears_the_box();
    assert_eq!(wire.open_tcp_ports(), BTreeSet::from(TCP_PORTS));
    let asked = [&UDP_PORTS[..], &USUAL_UDP_PORTS].concat();
    assert_eq!(wire.open_udp_ports(&asked), BTreeSet::from(UDP_PORTS));
    emulated.power_off();
}

/// A box that starts without its cable is found by a neighbour all the same, and by everybody once the cable is in; out and in again costs nothing.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn a_cable_may_come_late_and_be_pulled() {
    results::once("cables", pull_cables);
}

fn pull_cables() {
    let Some(mut hardware) = Hardware::new("box-cables", 1) else {
        return;
    };
    let mut wire = Wire::plug_into(&mut hardware);
    let emulated = hardware.start();
    emulated.command("set_link net off");
    let address = wire.hears_the_box();
    wire.learns(&["coffer", "local"], A, &address.octets());
    for service in ["_https", "_smtp"] {
        wire.learns(&[service, "_tcp", "local"], PTR, b"\x06Coffer");
    }
    emulated.says(&format!("https://{address}"));
    emulated.command("set_link net on");
    emulated.says("https://10.0.2.15");
    let owner = Owner::set_up(&emulated);
    let mut sender = Sender::new();
    sender.send(&emulated, 5);
    emulated.command("set_link net off");
    emulated.says("no cable");
    emulated.command("set_link net on");
    emulated.says("a cable is plugged in");
    owner.signs_in();
    sender.send(&emulated, 5);
    emulated.power_off();
}

/// A box that gave itself an address, since nobody answered, goes over to the one that it is lent as soon as somebody lends any.
#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn an_address_may_come_late() {
    results::once("a late address", lend_address);
}

fn lend_address() {
    let Some(mut hardware) = Hardware::new("box-lent", 0) else {
        return;
    };
    let mut wire = Wire::plug_into(&mut hardware);
    let emulated = hardware.start();
    emulated.command("set_link net off");
    let own = wire.hears_the_box();
    emulated.says(&format!("https://{own}"));
    wire.reaches(443);
    wire.lends_address();
    emulated.says(&format!("given up card=\"eth1\" address={own}"));
    emulated.says(&format!("https://{LENT_ADDRESS}"));
    wire.reaches(443);
    emulated.power_off();
}
