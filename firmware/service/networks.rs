//! Which addresses belong to the office: lists of networks as an operator writes them.
//!
//! Nothing here asks the machine for its interfaces; whoever wants "the local network" names it.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A list of networks; an empty one holds no address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// Neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address, nor a network such as 192.168.1.0/24 or fd00::/8: {0}")]
pub struct NotANetwork(String);

/// 100 networks that a page may name: each is asked for each connection.
const NETWORKS_MAX: usize = 100;

/// 8 bits, the widest IPv4 network that a page may name (10.0.0.0/8): whoever names a wider one means the internet.
const V4_PREFIX_LEN_MIN: u8 = 8;

/// 7 bits, the widest IPv6 network that a page may name (fc00::/7).
const V6_PREFIX_LEN_MIN: u8 = 7;

/// 96 bits before the IPv4 address in an IPv4-mapped one (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX_LEN: u8 = 96;

impl Networks {
    /// The host itself: 127.0.0.0/8 and ::1.
    pub fn loopback() -> Self {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        let v6 = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
        Self(vec![v4.into(), v6.into()])
    }

    /// These networks and others.
    pub fn and(mut self, others: &Self) -> Self {
        self.0.extend(&others.0);
        self
    }

    /// Tells whether they are few and none is as wide as the internet, so that the page may name them.
    pub fn is_bounded(&self) -> bool {
        let is_narrow = |network: &IpNet| match network {
            IpNet::V4(v4) => v4.prefix_len() >= V4_PREFIX_LEN_MIN,
            IpNet::V6(v6) => v6.prefix_len() >= V6_PREFIX_LEN_MIN,
        };
        self.0.len() <= NETWORKS_MAX && self.0.iter().all(is_narrow)
    }

    /// Tells whether an address lies in one of the networks; an IPv4-mapped IPv6 address counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = NotANetwork;

    /// Reads a list parted by commas or blanks; an address alone is a network of one.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        text.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(IpNet::to_string).collect();
        f.write_str(&words.join(", "))
    }
}

fn network(word: &str) -> Result<IpNet, NotANetwork> {
    let network = word
        .parse()
        .or_else(|_| word.parse().map(|address: IpAddr| address.into()))
        .map_err(|_| NotANetwork(word.to_owned()))?;
    Ok(unmapped(network).trunc())
}

/// An IPv4-mapped network as the IPv4 network that it stands for.
fn unmapped(network: IpNet) -> IpNet {
    let v4 = match network {
        IpNet::V6(v6) if v6.prefix_len() >= MAPPED_PREFIX_LEN => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|address| Ipv4Net::new(address, v6.prefix_len() - MAPPED_PREFIX_LEN).ok()),
        _ => None,
    };
    v4.map_or(network, IpNet::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(networks: &str, address: &str, expected: bool) {
        let list: Networks = networks.parse().expect("networks");
        let address = address.parse().expect("an address");
        assert_eq!(list.contains(address), expected, "{networks} {address}");
    }

    #[test]
    fn addresses_in_networks() {
        check("192.168.1.0/24", "192.168.1.255", true);
        check("192.168.1.0/24", "192.168.2.0", false);
        check("192.168.1.7/24", "192.168.1.9", true);
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("10.0.0.1, fd00::/8\n::1", "fd12::1", true);
        check("fd00::/8", "fe80::1", false);
        check("0.0.0.0/0", "::1", false);
        check("", "127.0.0.1", false);
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("::ffff:10.0.0.0/104", "10.1.2.3", true);
        check("::ffff:10.1.2.3", "10.1.2.3", true);
        check("::/0", "::ffff:10.1.2.3", false);
    }

    #[test]
    fn loopback_is_the_host_itself() {
        let loopback = Networks::loopback();
        for (address, expected) in [
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::2", false),
            ("192.168.1.1", false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(loopback.contains(address), expected, "{address}");
        }
    }

    #[test]
    fn errors_name_the_word() {
        for bad in ["office", "10.0.0.0/33", "10.0.0.256", "fd00::/129", "1.2.3"] {
            let error = format!("10.0.0.1,{bad}").parse::<Networks>();
            assert_eq!(error, Err(NotANetwork(bad.to_owned())));
        }
    }

    #[test]
    fn written_as_read() {
        let list: Networks = "10.1.2.3/8 ::1".parse().expect("networks");
        assert_eq!(list.to_string(), "10.0.0.0/8, ::1/128");
        assert_eq!(list.to_string().parse(), Ok(list));
    }
}
