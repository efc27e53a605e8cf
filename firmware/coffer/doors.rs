//! The doors of an archive: SMTP and the page, wherever its keeper is.

use crate::args::DoorArgs;
use crate::host;
use crate::output::{Exit, line};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use service::keeper::{Failure, Keeper};
use service::machine::Machine;
use service::networks::Networks;
use service::outgoing::{MailDelivery, Origin, Route};
use service::smtp::{SmtpOptions, SmtpServer, SmtpSocket};
use service::tls::{TlsIdentity, TlsServer};
use service::web::{Handler, MailDoor, Renewal, Site, WebOptions, WebServer, WebSocket};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The certificate under which doors speak TLS, as their keeper has it.
pub(crate) struct Certificate {
    keeper: Arc<dyn Keeper>,
    tls: Arc<TlsServer>,
    held: Mutex<TlsIdentity>,
}

impl Certificate {
    /// Asks the keeper for it.
    pub(crate) fn take(keeper: Arc<dyn Keeper>) -> Result<Arc<Self>, Exit> {
        let identity = keeper.identity()?;
        let tls = TlsServer::new(&identity).map_err(Exit::cannot)?;
        Ok(Arc::new(Self {
            keeper,
            tls: Arc::new(tls),
            held: Mutex::new(identity),
        }))
    }

    /// Takes the one into use that the keeper has now; connections that are open keep the old one.
    ///
    /// # Errors
    /// When the keeper cannot be asked.
    pub(crate) fn renew(&self) -> Result<(), Failure> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = self.keeper.identity()?;
        if *held != identity {
            match self.tls.replace(&identity) {
                Ok(()) => *held = identity,
                Err(error) => tracing::error!(%error, "the certificate could not be renewed"),
            }
        }
        Ok(())
    }
}

impl DoorArgs {
    /// The name that the host gives itself.
    pub(crate) fn hostname(&self) -> String {
        self.hostname.clone().unwrap_or_else(host::hostname)
    }

    /// What the command line says about mail that goes out.
    fn origin(&self) -> Origin {
        let hostname = self.hostname();
        let from = || format!("coffer@{hostname}");
        let from = self.notices_from.clone().unwrap_or_else(from);
        let server = self.notices.as_deref();
        Origin {
            route: server.map(|server| Route::plain(server, from)),
            hostname,
        }
    }

    /// Where mail is taken, for the page to tell.
    pub(crate) fn mail_door(&self, smtp: &[SocketAddr]) -> MailDoor {
        MailDoor {
            hostname: self.hostname(),
            smtp: smtp.to_vec(),
            allowed: with_loopback(&self.allow).to_string(),
            journal_from: with_loopback(&self.journal_from).to_string(),
        }
    }
}

/// Opens the doors for mail.
pub(crate) fn smtp(
    args: &DoorArgs,
    keeper: Arc<dyn Keeper>,
    certificate: &Certificate,
) -> Result<SmtpServer, Exit> {
    let mut options = SmtpOptions::new(args.hostname());
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
    SmtpServer::start(options, sockets, keeper, certificate.tls.clone())
        .map_err(|error| Exit::cannot(format!("cannot start the SMTP server: {error}")))
}

/// The page, before its doors are open.
pub(crate) fn site(
    args: &DoorArgs,
    keeper: Arc<dyn Keeper>,
    certificate: &Arc<Certificate>,
    mail_door: MailDoor,
) -> Site {
    let renewal: Renewal = {
        let certificate = certificate.clone();
        Arc::new(move || {
            if let Err(failure) = certificate.renew() {
                tracing::error!(%failure, "the certificate could not be asked for");
            }
        })
    };
    Site::new(keeper, mail_door)
        .with_outgoing(args.origin())
        .with_renewal(renewal)
}

/// Opens the doors of the page; `folder` is for a socket of its own.
pub(crate) fn page(
    args: &DoorArgs,
    site: Arc<Site>,
    certificate: &Certificate,
    folder: &Path,
) -> Result<WebServer, Exit> {
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
    let options = WebOptions {
        https_port: https_port.map_or(443, |address| address.port()),
        ..WebOptions::default()
    };
    let handler: Handler = Arc::new(move |request| site.answer(request));
    let server = WebServer::start(options, sockets, folder, certificate.tls.clone(), handler);
    server.map_err(|error| Exit::cannot(format!("cannot serve the page: {error}")))
}

/// Begins the delivery of mail of Coffer's own; on a box also about its updates.
pub(crate) fn outgoing(
    args: &DoorArgs,
    keeper: &Arc<dyn Keeper>,
    machine: Option<Arc<dyn Machine>>,
) -> Result<MailDelivery, Exit> {
    let started = match machine {
        Some(machine) => MailDelivery::start_on(machine, keeper, args.origin()),
        None => MailDelivery::start(keeper, args.origin()),
    };
    started.map_err(|error| Exit::cannot(format!("cannot send mail: {error}")))
}

/// Says where mail is taken.
pub(crate) fn announce_mail(args: &DoorArgs, server: &SmtpServer) -> Result<(), Exit> {
    let (starttls, implicit) = server.local_addrs().split_at(args.smtp.len());
    for address in starttls {
        line(format_args!("smtp: {address}"))?;
    }
    for address in implicit {
        line(format_args!("smtps: {address}"))?;
    }
    Ok(())
}

/// Says where the page is.
pub(crate) fn announce_page(args: &DoorArgs, page: &WebServer) -> Result<(), Exit> {
    let (https, redirects) = page.local_addrs().split_at(args.web.len());
    for address in https {
        line(format_args!("web: https://{address}"))?;
    }
    for address in redirects {
        line(format_args!("web-redirect: http://{address}"))?;
    }
    Ok(())
}

/// Does what is due every so many milliseconds, until a signal asks us to stop, or what is due cannot go on.
pub(crate) fn wait_until_stopped(
    signals: &SignalFd,
    every_ms: u16,
    mut due: impl FnMut() -> Result<(), Exit>,
) -> Result<(), Exit> {
    loop {
        let mut waiting = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::from(every_ms)) {
            Ok(0) => due()?,
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Exit::cannot(format!("cannot wait for signals: {error}"))),
        }
    }
}

/// Notes that connections were cut off, if any were.
pub(crate) fn note_cut_off(connections: usize) {
    if connections > 0 {
        tracing::warn!(
            connections,
            "connections did not end in time and were cut off"
        );
    }
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
