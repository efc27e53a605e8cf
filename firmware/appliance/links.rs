//! The network cards of this machine, as `/sys/class/net` shows them.
//!
//! Cards that are made of nothing (loopback, tunnels, bridges) are left out: only what has a device behind it takes a cable.

use std::fs;
use std::path::Path;

/// Where the kernel lists them.
pub(crate) const LINKS: &str = "/sys/class/net";

/// ARPHRD_ETHER of linux/if_arp.h.
const ETHERNET: &str = "1";

/// 16 cards: more than any box has.
const LINKS_MAX: usize = 16;

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its name, which may change with every boot.
    pub(crate) name: String,
    /// Its number.
    pub(crate) index: u32,
    /// Its hardware address.
    pub(crate) hardware: [u8; 6],
    /// Whether there is something at the other end of the cable.
    pub(crate) has_carrier: bool,
}

/// Lists the cards, in the order of their numbers.
pub(crate) fn list(folder: &Path) -> Vec<Link> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut links: Vec<Link> = entries.filter_map(|entry| link(&entry.path())).collect();
    links.sort_unstable_by_key(|link| link.index);
    links.truncate(LINKS_MAX);
    links
}

fn link(folder: &Path) -> Option<Link> {
    let value = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let is_card = folder.join("device").exists() && value("type").as_deref() == Some(ETHERNET);
    is_card.then_some(())?;
    Some(Link {
        name: folder.file_name()?.to_str()?.to_owned(),
        index: value("ifindex")?.parse().ok()?,
        hardware: hardware(&value("address")?)?,
        // It cannot be read while the card is switched off.
        has_carrier: value("carrier").as_deref() == Some("1"),
    })
}

fn hardware(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cards_are_listed() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |name: &str, values: &[(&str, &str)]| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).expect("a folder");
            for (name, value) in values {
                fs::write(folder.join(name), value).expect("a file");
            }
        };
        let card = [
            ("device", ""),
            ("type", "1\n"),
            ("ifindex", "3\n"),
            ("address", "52:54:00:12:34:ff\n"),
        ];
        make("eth1", &[&card[..], &[("carrier", "1\n")]].concat());
        make(
            "eth0",
            &[
                &card[..2],
                &[("ifindex", "2\n"), ("address", "02:00:00:00:00:01\n")],
            ]
            .concat(),
        );
        make(
            "lo",
            &[
                ("type", "772\n"),
                ("ifindex", "1\n"),
                ("address", "00:00:00:00:00:00\n"),
            ],
        );
        make("br0", &card[1..]);
        make("odd", &[&card[..3], &[("address", "x\n")]].concat());
        let links = list(folder.path());
        let names: Vec<_> = links
            .iter()
            .map(|link| (link.name.as_str(), link.has_carrier))
            .collect();
        assert_eq!(names, [("eth0", false), ("eth1", true)]);
        assert_eq!(links[1].hardware, [0x52, 0x54, 0, 0x12, 0x34, 0xff]);
        assert!(list(&folder.path().join("none")).is_empty());
    }
}
