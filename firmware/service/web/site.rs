//! What all visits share, and the one table of where each request goes.

use super::api::{self, Pace};
use super::assets::Assets;
use super::mail_test::MailTests;
use super::pages::{
    account, certificate, claim, exports, layout, log, log_file, machine, machine_log, message,
    metrics, network, outgoing, people, people_table, search, second_factor, setup, sign_in, state,
    tokens, trust, updates,
};
use super::request::is_for_programs;
use super::time_zone::TimeZone;
use super::visit::{Visit, language_cookie};
use super::words::{Catalogues, Language};
use super::{Method, Request, Response};
use crate::export::Exports;
use crate::keeper::{Failure, Keeper};
use crate::machine::Machine;
use crate::outgoing::Origin;
use crate::people::People;
use crate::settings::Setting;
use crate::slots::Slots;
use crate::smtp::SmtpFigures;
use archive::people::Role;
use archive::{Event, EventKind};
use maud::html;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// 2 large messages are open at once, 64 MiB each.
const LARGE_MESSAGES_MAX: usize = 2;

/// 2 documents are given to the keeper at once, which has one read after the other: its other connections stay free for everything else.
const DOCUMENTS_MAX: usize = 2;

/// 20 seconds to wait until others have closed theirs.
pub(super) const LARGE_PATIENCE: Duration = Duration::from_secs(20);

/// How mail reaches this archive, for the page to tell.
#[derive(Clone, Debug, Default)]
pub struct MailDoor {
    /// The name of the host.
    pub hostname: String,
    /// Where mail is taken by SMTP.
    pub smtp: Vec<SocketAddr>,
    /// Networks that may send, as they were given.
    pub allowed: String,
    /// Networks whose journal reports are unwrapped, as they were given.
    pub journal_from: String,
}

/// Takes the certificate that is kept now into use, for connections from now on.
pub type Renewal = Arc<dyn Fn() + Send + Sync>;

/// Gives what the door for mail has counted since it was opened.
pub type MailCounts = Arc<dyn Fn() -> SmtpFigures + Send + Sync>;

/// The page of one archive.
pub struct Site {
    pub(super) keeper: Arc<dyn Keeper>,
    pub(super) catalogues: Catalogues,
    pub(super) assets: Assets,
    pub(super) mail_door: MailDoor,
    /// What the start of the program says about mail that goes out.
    pub(super) outgoing: Origin,
    pub(super) mail_tests: MailTests,
    /// Takes another certificate into use at once.
    renewal: Option<Renewal>,
    /// The box that it runs on; none on an ordinary computer.
    machine: Option<Arc<dyn Machine>>,
    pub(super) exports: Exports,
    /// Gives what the door for mail has counted.
    counts: Option<MailCounts>,
    pub(super) pace: Pace,
    large_messages: Slots,
    documents: Slots,
    /// Once claimed, an archive stays so.
    is_claimed: AtomicBool,
}

/// What the machine beneath has to know before it installs an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateFacts {
    /// The hour in which updates may be installed, 0 to 23 by people's clocks; none while nobody has chosen one.
    pub hour: Option<u8>,
    /// How far people's clocks are ahead of UTC, in seconds.
    pub ahead_s: i64,
    /// Exports that wait or run.
    pub exports: usize,
}

impl Site {
    /// Makes the page of a keeper's archive.
    pub fn new(keeper: Arc<dyn Keeper>, mail_door: MailDoor) -> Self {
        Self {
            exports: Exports::new(keeper.clone()),
            counts: None,
            pace: Pace::default(),
            keeper,
            catalogues: Catalogues::new(),
            assets: Assets::new(),
            outgoing: Origin {
                hostname: mail_door.hostname.clone(),
                route: None,
            },
            mail_tests: MailTests::default(),
            renewal: None,
            machine: None,
            mail_door,
            large_messages: Slots::new(LARGE_MESSAGES_MAX),
            documents: Slots::new(DOCUMENTS_MAX),
            is_claimed: AtomicBool::new(false),
        }
    }

    /// The same page, for a program that names a way for mail to go out.
    pub fn with_outgoing(self, outgoing: Origin) -> Self {
        Self { outgoing, ..self }
    }

    /// The same page, for a program whose certificate can change while it runs.
    pub fn with_renewal(self, renewal: Renewal) -> Self {
        Self {
            renewal: Some(renewal),
            ..self
        }
    }

    /// What the machine beneath has to know before it installs an update: when it may, by what people's clocks show, and what is under way.
    pub fn update_facts(&self, now_s: i64) -> UpdateFacts {
        let zone = TimeZone::from_name(&self.setting(Setting::TimeZone)).unwrap_or_default();
        UpdateFacts {
            hour: self.setting(Setting::UpdateHour).parse().ok(),
            ahead_s: zone.local_s(now_s) - now_s,
            exports: self.exports.under_way(),
        }
    }

    /// The same page, for a box whose disks can be chosen on it.
    pub fn with_machine(self, machine: Arc<dyn Machine>) -> Self {
        Self {
            machine: Some(machine),
            ..self
        }
    }

    /// The box that it runs on.
    pub(super) fn machine(&self) -> Option<&dyn Machine> {
        self.machine.as_deref()
    }

    /// Takes the certificate that is kept now into use.
    pub(super) fn renew_certificate(&self) {
        if let Some(renewal) = &self.renewal {
            renewal();
        }
    }

    /// Tells what the door for mail counts, too.
    pub fn counting(self, counts: MailCounts) -> Self {
        let counts = Some(counts);
        Self { counts, ..self }
    }

    /// What the door for mail has counted.
    pub(super) fn mail_counts(&self) -> SmtpFigures {
        self.counts
            .as_ref()
            .map(|counts| counts())
            .unwrap_or_default()
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Response {
        if let Some(asset) = self.assets.find(&request.path) {
            return asset;
        }
        if is_for_programs(&request.path) && self.is_claimed() {
            return api::answer(self, request);
        }
        let visit = Visit::new(self, request);
        let response = if visit.is_ours() {
            route(&visit)
        } else {
            foreign(&visit)
        };
        visit.finish(response)
    }

    pub(super) fn people(&self) -> People<'_> {
        People::of(&*self.keeper)
    }

    /// Tells whether somebody has claimed the archive; when that cannot be known, nothing but the claim page is shown.
    pub(super) fn is_claimed(&self) -> bool {
        if self.is_claimed.load(Ordering::SeqCst) {
            return true;
        }
        let is_claimed = self.people().is_claimed().unwrap_or(false);
        self.is_claimed.store(is_claimed, Ordering::SeqCst);
        is_claimed
    }

    pub(super) fn was_claimed(&self) {
        self.is_claimed.store(true, Ordering::SeqCst);
    }

    pub(super) fn large_messages(&self) -> &Slots {
        &self.large_messages
    }

    pub(super) fn documents(&self) -> &Slots {
        &self.documents
    }

    /// Gives a setting; empty if nobody has set it.
    pub(super) fn setting(&self, setting: Setting) -> String {
        self.keeper.setting(setting).unwrap_or_default()
    }
}

impl Visit<'_> {
    /// Gives what the office's clocks show.
    pub(super) fn local_s(&self, unix_s: i64) -> i64 {
        self.zone().local_s(unix_s)
    }

    /// Gives the office's time zone.
    pub(super) fn zone(&self) -> TimeZone {
        *self.zone.get_or_init(|| {
            let name = self.site.setting(Setting::TimeZone);
            TimeZone::from_name(&name).unwrap_or_default()
        })
    }

    /// Gives the moment at which the office's clocks show something; in the hour that they show twice, either.
    pub(super) fn unix_s(&self, local_s: i64) -> i64 {
        local_s - (self.local_s(local_s) - local_s)
    }

    /// Writes what the person does into the audit log; what is done with mail is written by [`Visit::acting`].
    pub(super) fn log(
        &self,
        kind: EventKind,
        fill: impl FnOnce(&mut Event),
    ) -> Result<u64, Failure> {
        let Some(person) = &self.person else {
            return Err(Failure::BadRequest("nobody is signed in".to_owned()));
        };
        let mut event = Event {
            kind,
            account: person.session.name.clone(),
            peer: self.peer.clone(),
            ..Event::default()
        };
        fill(&mut event);
        self.site.keeper.log(person.session.account.0, event)
    }

    /// A page that says that the archive could not do it; why is for the log.
    pub(super) fn failed(&self, failure: &Failure) -> Response {
        tracing::error!(%failure, path = self.request.path, "the page could not be made");
        let content = html! { p.trouble role="alert" { (self.words.text("archive-failed")) } };
        let title = self.words.text("failed-title");
        self.page(503, &title, layout::Width::Narrow, content)
    }

    /// A subject, or that there is none.
    pub(super) fn subject(&self, subject: &str) -> String {
        match subject.trim() {
            "" => self.words.text("no-subject"),
            subject => subject.to_owned(),
        }
    }
}

/// Whose form it was does not matter: it is not done.
fn foreign(visit: &Visit) -> Response {
    let words = visit.words;
    let content =
        html! { p { (words.text("form-old")) } p { a href="/" { (words.text("to-start")) } } };
    visit.page(
        403,
        &words.text("form-old-title"),
        layout::Width::Narrow,
        content,
    )
}

fn route(visit: &Visit) -> Response {
    let path: Vec<&str> = visit.request.path.split('/').skip(1).collect();
    if let (Method::Get, ["language", tag]) = (visit.request.method, path.as_slice()) {
        return language(visit, tag);
    }
    if !visit.site.is_claimed() {
        return unclaimed(visit, &path);
    }
    match (visit.request.method, path.as_slice()) {
        (Method::Get, ["sign-in"]) => sign_in::show(visit),
        (Method::Post, ["sign-in"]) => sign_in::sign_in(visit),
        (Method::Post, ["sign-in", "code"]) => sign_in::second_factor(visit),
        (Method::Get, ["trust"]) => trust::show(visit),
        (Method::Get, ["trust", "coffer.crt"]) => trust::certificate(visit),
        (Method::Post, ["sign-out"]) => sign_in::sign_out(visit),
        _ => match &visit.person {
            None => sign_in::first(visit),
            Some(person) if person.session.must_choose_password => must_choose(visit, &path),
            Some(_) => signed_in(visit, &path),
        },
    }
}

/// An archive that nobody has claimed answers nothing but this.
fn unclaimed(visit: &Visit, path: &[&str]) -> Response {
    match (visit.request.method, path) {
        (Method::Get, [""]) => claim::show(visit),
        (Method::Post, ["claim"]) => claim::claim(visit),
        _ => Response::see_other("/"),
    }
}

/// Whoever has a password that others know chooses one of his own before anything else.
fn must_choose(visit: &Visit, path: &[&str]) -> Response {
    match (visit.request.method, path) {
        (Method::Get, ["account", "password"]) => account::password(visit),
        (Method::Post, ["account", "password"]) => account::choose_password(visit),
        _ => Response::see_other("/account/password"),
    }
}

fn signed_in(visit: &Visit, path: &[&str]) -> Response {
    match (visit.request.method, path) {
        (Method::Get, [""]) => start(visit),
        (Method::Get, ["account"]) => account::show(visit),
        (Method::Get, ["account", "password"]) => account::password(visit),
        (Method::Post, ["account", "password"]) => account::choose_password(visit),
        (Method::Get, ["account", "second-factor"]) => second_factor::show(visit),
        (Method::Post, ["account", "second-factor", "begin"]) => second_factor::begin(visit),
        (Method::Post, ["account", "second-factor", "confirm"]) => second_factor::confirm(visit),
        (Method::Post, ["account", "second-factor", "end"]) => second_factor::end(visit),
        (Method::Post, ["account", "open-old-mail"]) => account::open_old_mail(visit),
        (Method::Post, ["account", "end-session"]) => account::end_session(visit),
        (Method::Get, ["account", "tokens"]) => tokens::show(visit),
        (Method::Post, ["account", "tokens", "make"]) => tokens::make(visit),
        (Method::Post, ["account", "tokens", "end"]) => tokens::end(visit),
        (Method::Get, ["log"]) => log::show(visit),
        (Method::Get, ["log", "file", form]) => log_file::file(visit, form),
        (method, ["exports", rest @ ..]) if visit.may_read_mail() => taken(visit, method, rest),
        (Method::Get, ["people"]) => people::show(visit),
        (Method::Get, ["people", "table"]) if visit.has(Role::Operator) => {
            people_table::show(visit)
        }
        (Method::Post, ["people", "table"]) if visit.has(Role::Operator) => {
            people_table::act(visit)
        }
        (Method::Post, ["people", deed]) => people::act(visit, deed),
        (Method::Get, ["search"]) if visit.may_read_mail() => search::show(visit),
        (method, ["message", rest @ ..]) if visit.may_read_mail() => mail(visit, method, rest),
        (Method::Get, ["state"]) if visit.may_see_state() => state::show(visit),
        (Method::Get, ["metrics-switch"]) if visit.has(Role::Operator) => metrics::show(visit),
        (Method::Post, ["metrics-switch"]) if visit.has(Role::Operator) => metrics::save(visit),
        (Method::Get, ["machine"]) if visit.has(Role::Operator) => machine::show(visit),
        (Method::Get, ["machine", "network"]) if visit.has(Role::Operator) => network::show(visit),
        (Method::Post, ["machine", "network"]) if visit.has(Role::Operator) => network::save(visit),
        (Method::Post, ["machine", "network", "confirm"]) if visit.has(Role::Operator) => {
            network::confirm(visit)
        }
        (Method::Get, ["machine", "log"]) if visit.has(Role::Operator) => machine_log::show(visit),
        (Method::Get, ["machine", "log", name]) if visit.has(Role::Operator) => {
            machine_log::file(visit, name)
        }
        (Method::Post, ["machine", deed]) if visit.has(Role::Operator) => machine::act(visit, deed),
        (Method::Get, ["updates"]) if visit.has(Role::Operator) => updates::show(visit),
        (Method::Post, ["updates", "upload"]) if visit.has(Role::Operator) => {
            updates::upload(visit)
        }
        (Method::Post, ["updates", deed]) if visit.has(Role::Operator) => updates::act(visit, deed),
        (Method::Get, ["setup"]) if visit.has(Role::Operator) => setup::show(visit),
        (Method::Get, ["setup", "outgoing"]) if visit.has(Role::Operator) => outgoing::show(visit),
        (Method::Post, ["setup", "outgoing"]) if visit.has(Role::Operator) => outgoing::save(visit),
        (Method::Get, ["setup", "outgoing", "test"]) if visit.has(Role::Operator) => {
            outgoing::result(visit)
        }
        (Method::Post, ["setup", "outgoing", "test"]) if visit.has(Role::Operator) => {
            outgoing::test(visit)
        }
        (Method::Get, ["setup", "certificate"]) if visit.has(Role::Operator) => {
            certificate::show(visit)
        }
        (Method::Post, ["setup", "certificate"]) if visit.has(Role::Operator) => {
            certificate::put_in(visit)
        }
        (Method::Post, ["setup", "certificate", "own"]) if visit.has(Role::Operator) => {
            certificate::take_out(visit)
        }
        (Method::Get, ["setup", step]) if visit.has(Role::Operator) => setup::step(visit, step),
        (Method::Post, ["setup", step]) if visit.has(Role::Operator) => setup::save(visit, step),
        _ => visit.not_found(),
    }
}

fn mail(visit: &Visit, method: Method, rest: &[&str]) -> Response {
    match (method, rest) {
        (Method::Get, [name]) => match name.strip_suffix(".eml") {
            Some(number) => message::download(visit, number),
            None => message::show(visit, name),
        },
        (Method::Get, [number, "source"]) => message::source(visit, number),
        (Method::Get, [number, "proof"]) => message::proof(visit, number),
        (Method::Get, [number, "html", part]) => message::html_part(visit, number, part),
        (Method::Get, [number, "picture", part]) => message::picture(visit, number, part),
        (Method::Get, [number, "text", part]) => message::attachment_text(visit, number, part),
        (Method::Get, [number, "file", part]) => message::attachment(visit, number, part),
        _ => visit.not_found(),
    }
}

fn taken(visit: &Visit, method: Method, rest: &[&str]) -> Response {
    match (method, rest) {
        (Method::Get, []) => exports::show_all(visit),
        (Method::Post, []) => exports::begin(visit),
        (Method::Get, [id]) => exports::show(visit, id),
        (Method::Get, [id, "file"]) => exports::file(visit, id),
        (Method::Post, [id, deed]) => exports::act(visit, id, deed),
        _ => visit.not_found(),
    }
}

/// Where each role begins.
fn start(visit: &Visit) -> Response {
    Response::see_other(if visit.may_read_mail() {
        "/search"
    } else if visit.has(Role::Operator) {
        "/state"
    } else {
        "/people"
    })
}

fn language(visit: &Visit, tag: &str) -> Response {
    let Some(language) = Language::from_tag(tag) else {
        return visit.not_found();
    };
    let back = visit.request.query_value("back").unwrap_or_default();
    Response::see_other(sign_in::local_path(back).unwrap_or("/"))
        .with("Set-Cookie", language_cookie(language))
}
