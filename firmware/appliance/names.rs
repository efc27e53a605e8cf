//! The worker that says by mDNS (RFC 6762, 6763) where the page and the door for mail are: `coffer.local`, `_https._tcp`, `_smtp._tcp`.
//!
//! It reads packets of everybody in the network, so it has no right at all and reaches no file. The package keeps threads of its own and follows cards that come and go.

use crate::confinement::{Confinement, INTERNET_AND_LINKS};
use mdns_sd::{ServiceDaemon, ServiceInfo};
use nix::sys::signal::{SigSet, Signal};
use std::io;

/// What is announced: kind and port.
const SERVICES: [(&str, u16); 2] = [("_https._tcp.local.", 443), ("_smtp._tcp.local.", 25)];

/// Announces until it is asked to end.
///
/// # Errors
/// When the network cannot be used.
pub(crate) fn run() -> io::Result<()> {
    let confinement = Confinement {
        writes: &[],
        reads: &[],
        sockets: &INTERNET_AND_LINKS,
        calls: &[],
    };
    confinement.begin()?;
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.thread_block()?;
    let hostname = nix::unistd::gethostname()?;
    let hostname = hostname.to_string_lossy();
    let daemon = ServiceDaemon::new().map_err(io::Error::other)?;
    for (kind, port) in SERVICES {
        let service = service(kind, port, &hostname).map_err(io::Error::other)?;
        daemon.register(service).map_err(io::Error::other)?;
    }
    ends.wait()?;
    // Says good-bye, so that nobody looks for the box any more.
    if let Ok(ended) = daemon.shutdown() {
        let _ = ended.recv();
    }
    Ok(())
}

fn service(kind: &str, port: u16, hostname: &str) -> Result<ServiceInfo, mdns_sd::Error> {
    let host = format!("{hostname}.local.");
    let nothing: &[(&str, &str)] = &[];
    Ok(ServiceInfo::new(kind, "Coffer", &host, "", port, nothing)?.enable_addr_auto())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_those_of_the_host() {
        for (kind, port) in SERVICES {
            let service = service(kind, port, "coffer").expect("a service");
            assert_eq!(service.get_hostname(), "coffer.local.");
            assert_eq!(service.get_port(), port);
        }
    }
}
