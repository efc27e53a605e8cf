//! `coffer serve`: takes mail and keeps it, until it is asked to stop.

use crate::archive_access::{COMMAND_LINE, open_with_copy};
use crate::args::ServeArgs;
use crate::doors::{self, Certificate};
use crate::extractor;
use crate::host;
use crate::output::{Exit, line};
use archive::{Event, EventKind};
use service::certificates::{self, Names};
use service::keeper::{Edge, Failure, Keeper, KeeperServer, LocalKeeper, MakeIdentity};
use service::people::{Denial, People};
use service::smtp::SmtpServer;
use service::web::WebServer;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Options, WhenUpkeep};

/// A minute, in milliseconds.
const MINUTE_MS: u16 = 60_000;

pub(crate) fn run(args: ServeArgs) -> Result<(), Exit> {
    host::raise_file_limit();
    let signals = host::stop_signals()
        .map_err(|error| Exit::cannot(format!("cannot wait for signals: {error}")))?;
    if args.appliance {
        let folders = [
            Some(&args.data.data),
            args.copy.as_ref(),
            args.edges.as_ref(),
        ];
        let folders: Vec<&Path> = folders
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        appliance::confine_keeper(&folders)
            .map_err(|error| Exit::cannot(format!("cannot give up rights: {error}")))?;
    }
    let keeper = Arc::new(open(&args)?);
    let shared: Arc<dyn Keeper> = keeper.clone();
    if args.edges.is_none() {
        keeper.start_extractor_by(extractor::of_this_program());
    }
    keeper.make_identity_by(certificate_of(args.doors.hostname()));
    let certificate = Certificate::take(shared.clone())?;
    keeper.log(COMMAND_LINE, event(EventKind::Started))?;
    let sockets = sockets(&args, &keeper)?;
    let server = doors::smtp(&args.doors, shared.clone(), &certificate)?;
    let page = page(&args, shared.clone(), &certificate, &server)?;
    announce(&args, &keeper, &server, page.as_ref())?;
    let _outgoing = match args.edges {
        Some(_) => None,
        None => Some(doors::outgoing(&args.doors, &shared, None)?),
    };
    let mut minute = Instant::now();
    let mut tells_claim = args.appliance && keeper.claim_code()?.is_some();
    doors::wait_until_stopped(&signals, MINUTE_MS, || {
        if tells_claim && matches!(keeper.claim_code(), Ok(None)) {
            tells_claim = line("claimed").is_err();
        }
        pass(&keeper, &mut minute);
        sign(&*keeper);
        if let Err(failure) = certificate.renew() {
            tracing::error!(%failure, "the certificate could not be renewed");
        }
        Ok(())
    })?;
    doors::note_cut_off(server.stop() + page.map_or(0, WebServer::stop));
    drop(sockets);
    keeper.log(COMMAND_LINE, event(EventKind::Stopped))?;
    shared.checkpoint()?;
    Ok(())
}

/// Opens the archive, and takes over what the box has noted for it.
fn open(args: &ServeArgs) -> Result<LocalKeeper, Exit> {
    let options = Options {
        upkeep: when_upkeep(args),
        ..host::options()
    };
    let keeper = open_with_copy(&args.data.data, args.copy.as_deref(), options)?;
    if let Some(file) = &args.claim_code_file {
        take_claim_code(&keeper, file)?;
    }
    if let Some(file) = &args.new_password_for_file {
        make_new_password(&keeper, file)?;
    }
    Ok(keeper)
}

/// A version that boxes may leave again spoils nothing for the one before.
fn when_upkeep(args: &ServeArgs) -> WhenUpkeep {
    match (args.no_upkeep, args.appliance) {
        (true, _) => WhenUpkeep::Never,
        (false, false) => WhenUpkeep::Idle,
        (false, true) => WhenUpkeep::AfterTrial(appliance::is_on_trial),
    }
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

/// Makes a new password for whom a file names, or for who has been operator for longest where it names nobody; where there is no file, or no such
/// operator, nothing is done.
fn make_new_password(keeper: &LocalKeeper, file: &Path) -> Result<(), Exit> {
    let Ok(name) = std::fs::read_to_string(file) else {
        return Ok(());
    };
    match People::of(keeper).reset_at_machine(&name) {
        Ok((name, password)) => line(format_args!("new password: {name} {}", password.0)),
        Err(Denial::Failed(failure)) => Err(failure.into()),
        Err(_) if name.is_empty() => line("new password: there is no operator yet"),
        Err(_) => line(format_args!("new password: no operator is called {name}")),
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

/// Makes the certificate of this host, as its name and addresses are now.
fn certificate_of(hostname: String) -> MakeIdentity {
    Box::new(move |keeper| {
        let names = Names {
            archive: &store::hex(&keeper.store().identity().archive),
            hostname: &hostname,
            addresses: host::addresses(),
        };
        let identity = certificates::certificate(keeper.store().state(), &names, host::now_s());
        identity.map_err(|error| Failure::Later(store::chain(&error)))
    })
}

/// The sockets by which others reach the keeper: its owner's, and on a box that of its edges.
fn sockets(args: &ServeArgs, keeper: &Arc<LocalKeeper>) -> Result<Vec<KeeperServer>, Exit> {
    let cannot = |folder: &Path, error| {
        let text = format!("cannot open keeper.sock in {}: {error}", folder.display());
        Exit::cannot(text)
    };
    let data = &args.data.data;
    let own = KeeperServer::start(data, keeper.clone()).map_err(|error| cannot(data, error))?;
    let mut sockets = vec![own];
    let edges = [
        (args.mail_user, Edge::Mail),
        (args.page_user, Edge::Page),
        (args.extractor_user, Edge::Extractor),
    ];
    if let Some(folder) = &args.edges {
        let users = edges.into_iter();
        let users = users
            .filter_map(|(user, edge)| Some((user?, edge)))
            .collect();
        let edges = KeeperServer::for_edges(folder, keeper.clone(), users);
        sockets.push(edges.map_err(|error| cannot(folder, error))?);
    }
    Ok(sockets)
}

/// The page, if it is to be served.
fn page(
    args: &ServeArgs,
    keeper: Arc<dyn Keeper>,
    certificate: &Arc<Certificate>,
    smtp: &SmtpServer,
) -> Result<Option<WebServer>, Exit> {
    if args.doors.web.is_empty() {
        return Ok(None);
    }
    let mail_door = args.doors.mail_door(smtp.local_addrs());
    let counts = smtp.counts();
    let site = doors::site(&args.doors, keeper, certificate, mail_door)
        .counting(Arc::new(move || counts.figures()));
    doors::page(&args.doors, Arc::new(site), certificate, &args.data.data).map(Some)
}

/// Says where we can be reached; scripts wait for the last line.
fn announce(
    args: &ServeArgs,
    keeper: &LocalKeeper,
    server: &SmtpServer,
    page: Option<&WebServer>,
) -> Result<(), Exit> {
    doors::announce_mail(&args.doors, server)?;
    if let Some(page) = page {
        doors::announce_page(&args.doors, page)?;
    }
    if page.is_some() || args.edges.is_some() {
        announce_claim(args, keeper)?;
    }
    line(format_args!("data: {}", args.data.data.display()))?;
    if let (Some(copy), Some(state)) = (&args.copy, keeper.copy_state()) {
        line(format_args!("copy: {} ({state})", copy.display()))?;
    }
    line(format_args!("key: {}", keeper.store().key()))?;
    line("ready")
}

/// Says the code that whoever sets the archive up has to show.
fn announce_claim(args: &ServeArgs, keeper: &LocalKeeper) -> Result<(), Exit> {
    match keeper.claim_code()? {
        Some(code) => line(format_args!("claim code: {code}")),
        None if args.appliance => line("claimed"),
        None => Ok(()),
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
