//! `coffer serve`: takes mail and keeps it, until it is asked to stop.

use crate::archive_access::{COMMAND_LINE, open_as_owner};
use crate::args::ServeArgs;
use crate::host;
use crate::output::{Exit, line};
use archive::{Event, EventKind};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use service::keeper::{Keeper, KeeperServer, LocalKeeper};
use service::networks::Networks;
use service::smtp::{SmtpOptions, SmtpServer, SmtpSocket};
use service::tls::{TlsIdentity, TlsServer};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use store::StateTable;

/// How often a growing tree is signed, in milliseconds: what an outside checkpoint does not cover is at most a minute old.
const CHECKPOINT_EVERY_MS: u16 = 60_000;

const TLS_CERTIFICATE: &str = "tls certificate";
const TLS_KEY: &str = "tls key";
const TLS_EXPIRES: &str = "tls certificate expires";

pub(crate) fn run(args: ServeArgs) -> Result<(), Exit> {
    host::raise_file_limit();
    let signals = host::stop_signals()
        .map_err(|error| Exit::cannot(format!("cannot wait for signals: {error}")))?;
    let keeper = Arc::new(open_as_owner(&args.data.data)?);
    let hostname = args.hostname.clone().unwrap_or_else(host::hostname);
    let tls = Arc::new(tls(&keeper, &hostname)?);
    keeper.log(COMMAND_LINE, event(EventKind::Started))?;
    let door = KeeperServer::start(&args.data.data, keeper.clone()).map_err(|error| {
        Exit::cannot(format!(
            "cannot open keeper.sock in {}: {error}",
            args.data.data.display()
        ))
    })?;
    let server = smtp(&args, hostname, keeper.clone(), tls)?;
    announce(&args, &keeper, &server)?;
    wait_until_stopped(&signals, &*keeper)?;
    let cut_off = server.stop();
    if cut_off > 0 {
        tracing::warn!(
            connections = cut_off,
            "connections did not end in time and were cut off"
        );
    }
    drop(door);
    keeper.log(COMMAND_LINE, event(EventKind::Stopped))?;
    (&*keeper as &dyn Keeper).checkpoint()?;
    Ok(())
}

fn event(kind: EventKind) -> Event {
    let text = format!("coffer {}", env!("CARGO_PKG_VERSION"));
    Event {
        kind,
        text,
        ..Event::default()
    }
}

/// The certificate that is kept in the archive's state, or a new one when there is none or it ends soon.
fn tls(keeper: &LocalKeeper, hostname: &str) -> Result<TlsServer, Exit> {
    let state = keeper.store().state();
    let get = |name| state.get(StateTable::Keys, name).map_err(Exit::cannot);
    let known = match (get(TLS_CERTIFICATE)?, get(TLS_KEY)?, get(TLS_EXPIRES)?) {
        (Some(certificate_der), Some(key_der), Some(expires)) => {
            let expires_at = expires.try_into().map_or(0, u64::from_le_bytes);
            Some(TlsIdentity {
                certificate_der,
                key_der,
                expires_at,
            })
        }
        _ => None,
    };
    let identity = match known.filter(|identity| !identity.is_due(host::now_s())) {
        Some(identity) => identity,
        None => {
            let identity = TlsIdentity::generate(&TlsIdentity::names_of(hostname), host::now_s())
                .map_err(Exit::cannot)?;
            let put = |name, value: &[u8]| {
                state
                    .put(StateTable::Keys, name, Some(value))
                    .map_err(Exit::cannot)
            };
            put(TLS_KEY, &identity.key_der)?;
            put(TLS_EXPIRES, &identity.expires_at.to_le_bytes())?;
            put(TLS_CERTIFICATE, &identity.certificate_der)?;
            identity
        }
    };
    TlsServer::new(&identity).map_err(Exit::cannot)
}

fn smtp(
    args: &ServeArgs,
    hostname: String,
    keeper: Arc<LocalKeeper>,
    tls: Arc<TlsServer>,
) -> Result<SmtpServer, Exit> {
    let mut options = SmtpOptions::new(hostname);
    options.size_max_bytes = args.size_max << 20;
    options.allowed = with_loopback(&args.allow);
    options.journal_trusted = with_loopback(&args.journal_from);
    options.offers_auth = args.auth;
    let starttls = args
        .smtp
        .iter()
        .map(|address| bind(*address).map(SmtpSocket::StartTls));
    let implicit = args
        .smtps
        .iter()
        .map(|address| bind(*address).map(SmtpSocket::ImplicitTls));
    let sockets = starttls.chain(implicit).collect::<Result<_, _>>()?;
    SmtpServer::start(options, sockets, keeper, tls)
        .map_err(|error| Exit::cannot(format!("cannot start the SMTP server: {error}")))
}

fn with_loopback(networks: &[Networks]) -> Networks {
    networks
        .iter()
        .fold(Networks::loopback(), |all, more| all.and(more))
}

fn bind(address: SocketAddr) -> Result<TcpListener, Exit> {
    TcpListener::bind(address).map_err(|error| {
        let text =
            format!("cannot listen on {address}: {error}; choose another port, or stop who has it");
        Exit::Cannot(text)
    })
}

/// Says where we can be reached; scripts wait for the last line.
fn announce(args: &ServeArgs, keeper: &LocalKeeper, server: &SmtpServer) -> Result<(), Exit> {
    let (starttls, implicit) = server.local_addrs().split_at(args.smtp.len());
    for address in starttls {
        line(format_args!("smtp: {address}"))?;
    }
    for address in implicit {
        line(format_args!("smtps: {address}"))?;
    }
    line(format_args!("data: {}", args.data.data.display()))?;
    line(format_args!("key: {}", keeper.store().key()))?;
    line("ready")
}

/// Signs the tree head now and then, until a signal asks us to stop.
fn wait_until_stopped(signals: &SignalFd, keeper: &dyn Keeper) -> Result<(), Exit> {
    loop {
        let mut waiting = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::from(CHECKPOINT_EVERY_MS)) {
            Ok(0) => {
                if let Err(error) = keeper.checkpoint() {
                    tracing::error!(%error, "the tree head could not be signed");
                }
            }
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Exit::cannot(format!("cannot wait for signals: {error}"))),
        }
    }
}
