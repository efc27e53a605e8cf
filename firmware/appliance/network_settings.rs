//! What somebody set in place of what the network says: read from a form's texts, kept as lines of the state record (FORMAT.md, field 5).
//!
//! It holds for the whole box; an address holds for its first card. IPv4 alone: the routers of a network give IPv6 addresses (SLAAC).

use crate::interface::Address;
use service::machine::{NetworkField, NetworkTexts};
use std::net::Ipv4Addr;

/// The name of a box that nobody has given another one.
pub(crate) const HOSTNAME: &str = "coffer";

/// 63 characters: a label of a name (RFC 1035 §2.3.4).
const HOSTNAME_BYTES_MAX: usize = 63;

/// 3 servers of a kind: programs look for no more in `resolv.conf`.
const SERVERS_MAX: usize = 3;

/// Settings that hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkSettings {
    /// The host name, without `.local`.
    pub(crate) hostname: String,
    /// The address; none for DHCP.
    pub(crate) fixed: Option<Fixed>,
    /// Name servers; empty for those of DHCP.
    pub(crate) dns: Vec<Ipv4Addr>,
    /// Time servers, asked before those of DHCP.
    pub(crate) ntp: Vec<Ipv4Addr>,
}

/// An address in place of DHCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixed {
    /// With the bits of its network.
    pub(crate) address: Address,
    /// The way to elsewhere.
    pub(crate) router: Option<Ipv4Addr>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            hostname: HOSTNAME.to_owned(),
            fixed: None,
            dns: Vec::new(),
            ntp: Vec::new(),
        }
    }
}

impl NetworkSettings {
    /// Reads texts, of which an empty one leaves a matter to the network.
    ///
    /// # Errors
    /// The first field that cannot be so.
    pub(crate) fn read(texts: &NetworkTexts) -> Result<Self, NetworkField> {
        Ok(Self {
            hostname: hostname(texts.hostname.trim()).ok_or(NetworkField::Hostname)?,
            fixed: fixed(texts.address.trim(), texts.router.trim())?,
            dns: servers(&texts.dns).ok_or(NetworkField::Dns)?,
            ntp: servers(&texts.ntp).ok_or(NetworkField::Ntp)?,
        })
    }
}

/// Gives texts as they are kept: a line for each that is not empty.
pub(crate) fn lines(texts: &NetworkTexts) -> String {
    let named = [
        ("hostname", &texts.hostname),
        ("address", &texts.address),
        ("router", &texts.router),
        ("dns", &texts.dns),
        ("ntp", &texts.ntp),
    ];
    let words = |text: &str| text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let lines = named.map(|(name, text)| (name, words(text)));
    let filled = lines.into_iter().filter(|(_, text)| !text.is_empty());
    filled
        .map(|(name, text)| format!("{name}={text}\n"))
        .collect()
}

/// Reads kept lines; what is not known is passed over.
pub(crate) fn texts(lines: &str) -> NetworkTexts {
    let value = |name: &str| {
        let mut lines = lines.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(known, _)| *known == name)
            .map_or_else(String::new, |(_, text)| text.to_owned())
    };
    NetworkTexts {
        hostname: value("hostname"),
        address: value("address"),
        router: value("router"),
        dns: value("dns"),
        ntp: value("ntp"),
    }
}

/// A label of letters, digits and inner hyphens (RFC 1123 §2.1).
fn hostname(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(HOSTNAME.to_owned());
    }
    let is_label = text.len() <= HOSTNAME_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    is_label.then(|| text.to_ascii_lowercase())
}

fn fixed(address: &str, router: &str) -> Result<Option<Fixed>, NetworkField> {
    if address.is_empty() {
        return match router {
            "" => Ok(None),
            _ => Err(NetworkField::Router), // DHCP names its own
        };
    }
    let address = host_address(address).ok_or(NetworkField::Address)?;
    let router = match router {
        "" => None,
        text => Some(neighbour(text, address).ok_or(NetworkField::Router)?),
    };
    Ok(Some(Fixed { address, router }))
}

/// `ADDRESS/BITS`, where the address can be that of a host.
fn host_address(text: &str) -> Option<Address> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (Ipv4Addr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    let hosts = u32::MAX.checked_shr(bits.into())?;
    let host = u32::from(address) & hosts;
    let is_host = (1..=30).contains(&bits) && host != 0 && host != hosts;
    (is_host && is_usable(address)).then_some((address, bits))
}

/// Another host of the same network.
fn neighbour(text: &str, (address, bits): Address) -> Option<Ipv4Addr> {
    let (router, router_bits) = host_address(&format!("{text}/{bits}"))?;
    let network = |address: Ipv4Addr| u32::from(address) >> (32 - u32::from(router_bits));
    (router != address && network(router) == network(address)).then_some(router)
}

fn servers(text: &str) -> Option<Vec<Ipv4Addr>> {
    let servers: Result<Vec<Ipv4Addr>, _> = text.split_ascii_whitespace().map(str::parse).collect();
    let servers = servers.ok()?;
    let are_good = servers.len() <= SERVERS_MAX && servers.iter().all(|server| is_usable(*server));
    are_good.then_some(servers)
}

fn is_usable(address: Ipv4Addr) -> bool {
    !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast()
        && address.octets()[0] != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form([hostname, address, router, dns, ntp]: [&str; 5]) -> NetworkTexts {
        NetworkTexts {
            hostname: hostname.to_owned(),
            address: address.to_owned(),
            router: router.to_owned(),
            dns: dns.to_owned(),
            ntp: ntp.to_owned(),
        }
    }

    #[test]
    fn settings_are_read_whole_or_the_wrong_field_is_named() {
        let long = "x".repeat(64);
        for (texts, wrong) in [
            (["", "", "", "", ""], None),
            (["Archiv-2", "", "", "9.9.9.9", "10.0.0.1 10.0.0.2"], None),
            (["", "10.0.0.5/8", "", "", ""], None),
            (["", "192.168.1.5/24", "192.168.1.1", "", ""], None),
            (["-a", "", "", "", ""], Some(NetworkField::Hostname)),
            (["a.b", "", "", "", ""], Some(NetworkField::Hostname)),
            ([&long, "", "", "", ""], Some(NetworkField::Hostname)),
            (["", "10.0.0.5", "", "", ""], Some(NetworkField::Address)),
            (["", "10.0.0.5/0", "", "", ""], Some(NetworkField::Address)),
            (["", "10.0.0.5/33", "", "", ""], Some(NetworkField::Address)),
            (["", "10.0.0.0/8", "", "", ""], Some(NetworkField::Address)),
            (
                ["", "10.0.0.255/24", "", "", ""],
                Some(NetworkField::Address),
            ),
            (["", "127.0.0.1/8", "", "", ""], Some(NetworkField::Address)),
            (["", "", "10.0.0.1", "", ""], Some(NetworkField::Router)),
            (
                ["", "10.0.0.5/24", "10.0.1.1", "", ""],
                Some(NetworkField::Router),
            ),
            (
                ["", "10.0.0.5/24", "10.0.0.5", "", ""],
                Some(NetworkField::Router),
            ),
            (["", "", "", "1.1.1", ""], Some(NetworkField::Dns)),
            (
                ["", "", "", "1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4", ""],
                Some(NetworkField::Dns),
            ),
            (["", "", "", "", "pool"], Some(NetworkField::Ntp)),
        ] {
            let found = NetworkSettings::read(&form(texts));
            assert_eq!(found.err(), wrong, "{texts:?}");
        }
    }

    #[test]
    fn values_are_those_of_the_texts() {
        let texts = form(["ARCHIV", "192.168.1.5/24", "192.168.1.1", " 9.9.9.9 ", ""]);
        let settings = NetworkSettings::read(&texts).expect("good settings");
        let router = Ipv4Addr::new(192, 168, 1, 1);
        assert_eq!(settings.hostname, "archiv");
        let fixed = settings.fixed.expect("an address");
        assert_eq!(fixed.address, (Ipv4Addr::new(192, 168, 1, 5), 24));
        assert_eq!(fixed.router, Some(router));
        assert_eq!(settings.dns, [Ipv4Addr::new(9, 9, 9, 9)]);
        let nothing = NetworkSettings::read(&NetworkTexts::default());
        assert_eq!(nothing, Ok(NetworkSettings::default()));
    }

    #[test]
    fn kept_lines_are_the_texts_again_and_no_text_makes_two_lines() {
        let kept = lines(&form([
            "a",
            "10.0.0.5/8",
            "",
            "1.1.1.1  9.9.9.9",
            "x\nrouter=y",
        ]));
        assert_eq!(
            kept,
            "hostname=a\naddress=10.0.0.5/8\ndns=1.1.1.1 9.9.9.9\nntp=x router=y\n"
        );
        assert_eq!(lines(&texts(&kept)), kept);
        assert_eq!(texts("later=1\nhostname=b\n"), form(["b", "", "", "", ""]));
        assert_eq!(lines(&NetworkTexts::default()), "");
    }
}
