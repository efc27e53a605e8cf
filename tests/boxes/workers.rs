//! What runs in the box, seen from inside and from its network.

use crate::agent::Agent;
use crate::owner::Owner;
use crate::results;
use crate::sender::Sender;
use std::collections::BTreeSet;
use tests::{Hardware, wait_for};

/// The ports that the box may be reached at: mail, page, and the announcement of its name. 68 is DHCP's.
const TCP_PORTS: [&str; 4] = ["25", "80", "443", "465"];
const UDP_PORTS: [&str; 2] = ["68", "5353"];

/// Who works in a box that has an archive.
const WORKERS: [&str; 10] = [
    "archive",
    "devices",
    "disks",
    "extractor",
    "logs",
    "mail",
    "names",
    "network",
    "page",
    "updates",
];

/// 5 seconds, within which a worker that died is there again.
const BACK_IN_S: f64 = 5.0;

#[test]
#[ignore = "long: COFFER_TEST_LONG"]
fn workers_that_die_are_back_and_a_machine_that_hangs_restarts() {
    results::once("workers", kill_workers);
}

fn kill_workers() {
    let Some(mut hardware) = Hardware::new("box-workers", 1) else {
        return;
    };
    let Some(agent) = Agent::put_into(&mut hardware) else {
        return;
    };
    let emulated = hardware.start();
    let owner = Owner::set_up(&emulated);
    let mut sender = Sender::new();
    sender.send(&emulated, 1);
    for (protocol, named) in [("t", &TCP_PORTS[..]), ("u", &UDP_PORTS[..])] {
        let open = listening(&agent, protocol);
        let named: BTreeSet<String> = named.iter().map(|port| (*port).to_owned()).collect();
        let unnamed: Vec<_> = open.difference(&named).collect();
        assert!(unnamed.is_empty(), "nobody named these ports: {unnamed:?}");
    }
    let workers = BTreeSet::from(WORKERS.map(str::to_owned));
    assert_eq!(agent.workers(), workers);
    for name in WORKERS {
        let without = agent.seconds_without(name);
        assert!(without < BACK_IN_S, "{name} is back after {without} s");
    }
    owner.signs_in();
    wait_for("mail after all", || emulated.connect().ok());
    sender.send(&emulated, 5);
    agent.hang();
    emulated.says("BdsDxe: starting"); // the firmware: what stood on the console before is passed over
    emulated.says("takes mail");
    sender.send(&emulated, 1);
    emulated.power_off();
}

/// Ports that somebody listens at, on any address but those of the box itself.
fn listening(agent: &Agent, protocol: &str) -> BTreeSet<String> {
    let said = agent.run(&format!("netstat -ln{protocol}"));
    let addresses = said
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3));
    let outside =
        addresses.filter(|address| !address.starts_with("127.") && !address.starts_with("::1:"));
    let ports = outside.filter_map(|address| address.rsplit_once(':'));
    ports
        .map(|(_, port)| port.to_owned())
        .filter(|port| port.parse::<u16>().is_ok())
        .collect()
}
