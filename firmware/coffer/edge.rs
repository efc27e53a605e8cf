//! `coffer edge`: a process of the box that speaks to the network and has nothing of the archive but what its keeper tells it.
//!
//! It ends when its keeper is gone; PID 1 starts both again.

use crate::args::{EdgeArgs, EdgeName};
use crate::doors::{self, Certificate};
use crate::host;
use crate::machine_reports;
use crate::output::{Exit, line};
use nix::sys::signalfd::SignalFd;
use service::keeper::{EdgeKeeper, Keeper};
use service::self_test::SelfTest;
use service::smtp::SmtpFigures;
use std::sync::Arc;

/// 10 seconds between two looks at the keeper: whether it is there, and whether the certificate is another.
const LOOK_EVERY_MS: u16 = 10_000;

pub(crate) fn run(args: EdgeArgs) -> Result<(), Exit> {
    host::raise_file_limit();
    let signals = host::stop_signals()
        .map_err(|error| Exit::cannot(format!("cannot wait for signals: {error}")))?;
    appliance::confine_edge(&args.keeper, &args.own)
        .map_err(|error| Exit::cannot(format!("cannot give up rights: {error}")))?;
    let keeper = EdgeKeeper::connect(&args.keeper)?;
    let keeper = keeper.ok_or_else(|| {
        let folder = args.keeper.display();
        Exit::cannot(format!("no keeper has its socket open in {folder}"))
    })?;
    let keeper: Arc<dyn Keeper> = Arc::new(keeper);
    let certificate = Certificate::take(keeper.clone())?;
    match args.edge {
        EdgeName::Mail => take_mail(&args, &keeper, &certificate, &signals),
        EdgeName::Page => serve_page(&args, &keeper, &certificate, &signals),
    }
}

fn take_mail(
    args: &EdgeArgs,
    keeper: &Arc<dyn Keeper>,
    certificate: &Certificate,
    signals: &SignalFd,
) -> Result<(), Exit> {
    let server = doors::smtp(&args.doors, keeper.clone(), certificate)?;
    doors::announce_mail(&args.doors, &server)?;
    line("ready")?;
    let counts = server.counts();
    let mut noted = SmtpFigures::default();
    let mut told = 0;
    let ended = doors::wait_until_stopped(signals, LOOK_EVERY_MS, || {
        certificate.renew()?;
        let figures = counts.figures();
        if figures != noted {
            keeper.count_mail(figures)?;
            noted = figures;
        }
        let under_way = server.messages_under_way();
        if under_way != told {
            line(format_args!("messages: {under_way}"))?;
            told = under_way;
        }
        Ok(())
    });
    doors::note_cut_off(server.stop());
    ended
}

fn serve_page(
    args: &EdgeArgs,
    keeper: &Arc<dyn Keeper>,
    certificate: &Arc<Certificate>,
    signals: &SignalFd,
) -> Result<(), Exit> {
    let doors = &args.doors;
    // They are the other edge's to open; the page only tells of them.
    let mail: Vec<_> = doors.smtp.iter().chain(&doors.smtps).copied().collect();
    let counting = keeper.clone();
    let site = doors::site(doors, keeper.clone(), certificate, doors.mail_door(&mail))
        .counting(Arc::new(move || counting.mail_counts().unwrap_or_default()))
        .with_machine(appliance::machine());
    let site = Arc::new(site);
    let page = doors::page(doors, site.clone(), certificate, &args.own)?;
    doors::announce_page(doors, &page)?;
    let test = SelfTest::new(
        keeper.clone(),
        doors.smtps.first().copied(),
        page.local_addrs().first().copied(),
    );
    machine_reports::begin(site, test)
        .map_err(|error| Exit::cannot(format!("cannot report to the machine: {error}")))?;
    let _outgoing = doors::outgoing(doors, keeper, Some(appliance::machine()))?;
    line("ready")?;
    let ended = doors::wait_until_stopped(signals, LOOK_EVERY_MS, || Ok(certificate.renew()?));
    doors::note_cut_off(page.stop());
    ended
}
