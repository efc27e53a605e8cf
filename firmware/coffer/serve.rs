//! `coffer serve`: takes mail and keeps it, until it is asked to stop.

use crate::archive_access::{COMMAND_LINE, open_with_copy};
use crate::args::ServeArgs;
use crate::host;
use crate::machine_reports;
use crate::output::{Exit, line};
use archive::{Event, EventKind};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use service::certificates::{self, CertificateError, Names};
use service::keeper::{Keeper, KeeperServer, LocalKeeper};
use service::networks::Networks;
use service::outgoing::{MailDelivery, Origin, Route};
use service::people::{Denial, People};
use service::self_test::SelfTest;
use service::smtp::{SmtpOptions, SmtpServer, SmtpSocket};
use service::tls::{TlsIdentity, TlsServer};
use service::web::{Handler, MailDoor, Renewal, Site, WebOptions, WebServer, WebSocket};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Options;

/// A minute, in milliseconds.
const MINUTE_MS: u16 = 60_000;

pub(crate) fn run(args: ServeArgs) -> Result<(), Exit> {
    host::raise_file_limit();
    let signals = host::stop_signals()
        .map_err(|error| Exit::cannot(format!("cannot wait for signals: {error}")))?;
    if args.appliance {
        let folders: Vec<&Path> = [Some(args.data.data.as_path()), args.copy.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        appliance::confine_archive(&folders)
            .map_err(|error| Exit::cannot(format!("cannot give up rights: {error}")))?;
    }
    let options = Options {
        upkeep: !args.no_upkeep,
        ..host::options()
    };
    let keeper = Arc::new(open_with_copy(
        &args.data.data,
        args.copy.as_deref(),
        options,
    )?);
    if let Some(file) = &args.claim_code_file {
        take_claim_code(&keeper, file)?;
    }
    if let Some(file) = &args.new_password_for_file {
        make_new_password(&keeper, file)?;
    }
    let hostname = args.hostname.clone().unwrap_or_else(host::hostname);
    let identity = certificate(&keeper, &hostname).map_err(Exit::cannot)?;
    let tls = Arc::new(TlsServer::new(&identity).map_err(Exit::cannot)?);
    keeper.log(COMMAND_LINE, event(EventKind::Started))?;
    let door = KeeperServer::start(&args.data.data, keeper.clone()).map_err(|error| {
        Exit::cannot(format!(
            "cannot open keeper.sock in {}: {error}",
            args.data.data.display()
        ))
    })?;
    let server = smtp(&args, hostname.clone(), keeper.clone(), tls.clone())?;
    let page = page(&args, &hostname, &keeper, &tls, &server)?;
    announce(&args, &keeper, &server, page.as_ref())?;
    let _outgoing = outgoing(&args, &hostname, keeper.clone())?;
    let mut minute = Instant::now();
    let mut tells_claim = args.appliance && keeper.claim_code()?.is_some();
    wait_until_stopped(&signals, || {
        if tells_claim && matches!(keeper.claim_code(), Ok(None)) {
            tells_claim = line("claimed").is_err();
        }
        pass(&keeper, &mut minute);
        sign(&*keeper);
        renew(&keeper, &hostname, &tls);
    })?;
    let cut_off = server.stop() + page.map_or(0, WebServer::stop);
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

/// Takes over a claim code that people may know already; a file that is empty has none.
fn take_claim_code(keeper: &LocalKeeper, file: &Path) -> Result<(), Exit> {
    let code = std::fs::read_to_string(file)
        .map_err(|error| Exit::cannot(format!("cannot read {}: {error}", file.display())))?;
    match code.trim() {
        "" => Ok(()),
        code => Ok(keeper.offer_claim_code(code)?),
    }
}

/// Makes a new password for whom a file names; where there is no file, or no such operator, nothing is done.
fn make_new_password(keeper: &LocalKeeper, file: &Path) -> Result<(), Exit> {
    let Ok(name) = std::fs::read_to_string(file) else {
        return Ok(());
    };
    match People::of(keeper).reset_at_machine(&name) {
        Ok(password) => line(format_args!("new password: {name} {}", password.0)),
        Err(Denial::Failed(failure)) => Err(failure.into()),
        Err(_) => line(format_args!("new password: no operator is called {name}")),
    }
}

/// The delivery of mail of Coffer's own.
fn outgoing(
    args: &ServeArgs,
    hostname: &str,
    keeper: Arc<LocalKeeper>,
) -> Result<MailDelivery, Exit> {
    let keeper: Arc<dyn Keeper> = keeper;
    MailDelivery::start(&keeper, origin(args, hostname))
        .map_err(|error| Exit::cannot(format!("cannot send mail: {error}")))
}

/// What the command line says about mail that goes out.
fn origin(args: &ServeArgs, hostname: &str) -> Origin {
    let from = || format!("coffer@{hostname}");
    let from = args.notices_from.clone().unwrap_or_else(from);
    let server = args.notices.as_deref();
    Origin {
        hostname: hostname.to_owned(),
        route: server.map(|server| Route::plain(server, from)),
    }
}

fn event(kind: EventKind) -> Event {
    let text = format!("coffer {}", env!("CARGO_PKG_VERSION"));
    Event {
        kind,
        text,
        ..Event::default()
    }
}

/// The certificate of this box, as its name and addresses are now.
fn certificate(keeper: &LocalKeeper, hostname: &str) -> Result<TlsIdentity, CertificateError> {
    let names = Names {
        archive: &store::hex(&keeper.store().identity().archive),
        hostname,
        addresses: host::addresses(),
    };
    certificates::certificate(keeper.store().state(), &names, host::now_s())
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

/// The page, if it is to be served.
fn page(
    args: &ServeArgs,
    hostname: &str,
    keeper: &Arc<LocalKeeper>,
    tls: &Arc<TlsServer>,
    smtp: &SmtpServer,
) -> Result<Option<WebServer>, Exit> {
    if args.web.is_empty() {
        return Ok(None);
    }
    let bound = |all: &[SocketAddr]| {
        all.iter()
            .map(|at| bind(*at))
            .collect::<Result<Vec<_>, _>>()
    };
    let (https, redirects) = (bound(&args.web)?, bound(&args.web_redirect)?);
    let https_port = https.first().and_then(|socket| socket.local_addr().ok());
    let https = https.into_iter().map(WebSocket::Https);
    let redirects = redirects.into_iter().map(WebSocket::Redirect);
    let sockets = https.chain(redirects).collect();
    let mail_door = MailDoor {
        hostname: hostname.to_owned(),
        smtp: smtp.local_addrs().to_vec(),
        allowed: with_loopback(&args.allow).to_string(),
        journal_from: with_loopback(&args.journal_from).to_string(),
    };
    let site = Site::new(keeper.clone(), mail_door)
        .with_outgoing(origin(args, hostname))
        .counting(smtp.counts());
    let renewal: Renewal = {
        let (keeper, hostname, tls) = (keeper.clone(), hostname.to_owned(), tls.clone());
        Arc::new(move || renew(&keeper, &hostname, &tls))
    };
    let site = match args.appliance {
        true => site
            .with_renewal(renewal)
            .with_machine(appliance::machine()),
        false => site.with_renewal(renewal),
    };
    let site = Arc::new(site);
    if args.appliance {
        let smtps = smtp.local_addrs().get(args.smtp.len()).copied();
        let test = SelfTest::new(keeper.clone(), smtps, https_port);
        machine_reports::begin(site.clone(), test)
            .map_err(|error| Exit::cannot(format!("cannot report to the machine: {error}")))?;
    }
    let options = WebOptions {
        https_port: https_port.map_or(443, |address| address.port()),
        ..WebOptions::default()
    };
    let handler: Handler = Arc::new(move |request| site.answer(request));
    let server = WebServer::start(options, sockets, &args.data.data, tls.clone(), handler);
    let server = server.map_err(|error| Exit::cannot(format!("cannot serve the page: {error}")))?;
    Ok(Some(server))
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
fn announce(
    args: &ServeArgs,
    keeper: &LocalKeeper,
    server: &SmtpServer,
    page: Option<&WebServer>,
) -> Result<(), Exit> {
    let (starttls, implicit) = server.local_addrs().split_at(args.smtp.len());
    for address in starttls {
        line(format_args!("smtp: {address}"))?;
    }
    for address in implicit {
        line(format_args!("smtps: {address}"))?;
    }
    if let Some(page) = page {
        announce_page(args, keeper, page)?;
    }
    line(format_args!("data: {}", args.data.data.display()))?;
    if let (Some(copy), Some(state)) = (&args.copy, keeper.copy_state()) {
        line(format_args!("copy: {} ({state})", copy.display()))?;
    }
    line(format_args!("key: {}", keeper.store().key()))?;
    line("ready")
}

/// Says where the page is, and the code that whoever sets it up has to show.
fn announce_page(args: &ServeArgs, keeper: &LocalKeeper, page: &WebServer) -> Result<(), Exit> {
    let (https, redirects) = page.local_addrs().split_at(args.web.len());
    for address in https {
        line(format_args!("web: https://{address}"))?;
    }
    for address in redirects {
        line(format_args!("web-redirect: http://{address}"))?;
    }
    match keeper.claim_code()? {
        Some(code) => line(format_args!("claim code: {code}")),
        None if args.appliance => line("claimed"),
        None => Ok(()),
    }
}

/// Does what is due every minute, until a signal asks us to stop.
fn wait_until_stopped(signals: &SignalFd, mut each_minute: impl FnMut()) -> Result<(), Exit> {
    loop {
        let mut waiting = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::from(MINUTE_MS)) {
            Ok(0) => each_minute(),
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Exit::cannot(format!("cannot wait for signals: {error}"))),
        }
    }
}

/// Lets the time since the last call pass for people: proposals wait, grants and sessions end.
fn pass(keeper: &LocalKeeper, since: &mut Instant) {
    let seconds = since.elapsed().as_secs();
    *since += Duration::from_secs(seconds);
    if let Err(error) = keeper.pass(seconds) {
        tracing::error!(%error, "what is due for people could not be done; it is tried again");
    }
}

/// Signs the tree head if the tree has grown: what an outside checkpoint does not cover is at most a minute old.
fn sign(keeper: &dyn Keeper) {
    if let Err(error) = keeper.checkpoint() {
        tracing::error!(%error, "the tree head could not be signed");
    }
}

/// Takes the certificate into use that is kept now, renewed before it ends and when the box has got another address; connections that are open keep the old one.
fn renew(keeper: &LocalKeeper, hostname: &str, tls: &TlsServer) {
    let renewed = certificate(keeper, hostname)
        .and_then(|identity| tls.replace(&identity).map_err(CertificateError::from));
    if let Err(error) = renewed {
        tracing::error!(%error, "the certificate could not be renewed");
    }
}
