//! The mail server that Coffer's own mail goes out by: a step of the setup, with a test that tells each step in words.
//!
//! Where people already have addresses, another server waits like wider rights ([`archive::people`]); the page says so. No password is ever
//! written into a page: one that was tested stays with the test.

use super::super::mail_test::{NotBegun, Progress, TestMail};
use super::super::reasons::plain;
use super::super::words::Words;
use super::super::{Response, visit::Visit};
use super::layout::{self, Width};
use super::sign_in::denied;
pub(super) use crate::outgoing::place;
use crate::outgoing::{
    Patience, Route, RouteFault, Security, Step, Trouble, read_fingerprint, test_message, way,
};
use crate::people::{Denial, Secret};
use crate::settings::{Setting, is_address};
use archive::EventKind;
use archive::people::{Change, Refusal};
use maud::{Markup, html};

/// Seconds after which the page of a running test looks again.
const REFRESH_S: &str = "2";

/// What the form says, from the form itself or from what is in effect.
#[derive(Default)]
struct Fields {
    server: String,
    port: String,
    security: String,
    user: String,
    from: String,
    certificate: String,
    to: String,
}

impl Fields {
    fn of_form(visit: &Visit) -> Self {
        let value = |name| visit.request.form_value(name).trim().to_owned();
        Self {
            server: value("server"),
            port: value("port"),
            security: value("security"),
            user: value("user"),
            from: value("from"),
            certificate: value("certificate"),
            to: value("to"),
        }
    }

    fn of_route(route: &Route) -> Self {
        Self {
            server: route.server.clone(),
            port: route.port.to_string(),
            security: route.security.name().to_owned(),
            user: route.user.clone(),
            from: route.from.clone(),
            certificate: route.certificate.as_ref().map(colons).unwrap_or_default(),
            to: String::new(),
        }
    }

    /// Reads the way; without a port it is the usual one.
    fn route(&self) -> Result<Route, RouteFault> {
        let security = Security::from_name(&self.security).unwrap_or_default();
        let port = match (self.port.as_str(), security) {
            ("", Security::StartTls) => 587,
            ("", Security::Tls) => 465,
            ("", Security::None) => 25,
            (port, _) => port.parse().map_err(|_| RouteFault::Port)?,
        };
        let certificate = match self.certificate.as_str() {
            "" => None,
            text => Some(read_fingerprint(text)?),
        };
        let route = Route {
            server: self.server.clone(),
            port,
            security,
            certificate,
            user: self.user.clone(),
            from: self.from.clone(),
        };
        route.check()?;
        Ok(route)
    }
}

/// Shows the form.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let fields = match current(visit) {
        Some(route) => Fields::of_route(&route),
        None => Fields {
            from: visit.site.setting(Setting::StatusMailTo),
            ..Fields::default()
        },
    };
    form(visit, 200, None, &fields)
}

/// The way that counts now, be it the command line's.
fn current(visit: &Visit) -> Option<Route> {
    let way = way(&*visit.site.keeper, &visit.site.outgoing);
    way.ok().flatten().map(|way| way.route)
}

/// Tells whether there is a way for mail to go out.
pub(super) fn is_set(visit: &Visit) -> bool {
    current(visit).is_some()
}

/// What the setup says of this step.
pub(super) fn standing(visit: &Visit) -> String {
    let server = current(visit).map(|route| route.server);
    server.unwrap_or_else(|| visit.words.text("step-open"))
}

/// Keeps or proposes the way.
pub(in super::super) fn save(visit: &Visit) -> Response {
    let fields = Fields::of_form(visit);
    let is_emptied = fields.server.is_empty() && tested(visit).is_none();
    let given = if is_emptied {
        Ok((None, None))
    } else {
        given(visit, &fields).map(|(route, password)| (Some(route), password))
    };
    let (route, password) = match given {
        Ok(given) => given,
        Err(fault) => return form(visit, 422, Some(&fault_text(visit.words, fault)), &fields),
    };
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let acting = visit.site.people().acting(person.token, &visit.peer);
    match acting.set_outgoing(route.as_ref(), password) {
        Ok(None) => Response::see_other("/setup"),
        Ok(Some(_)) => Response::see_other("/setup/outgoing"),
        Err(Denial::Refused(Refusal::Unsound)) => Response::see_other("/setup"),
        Err(Denial::Failed(failure)) => visit.failed(&failure),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "refused-unsound");
            form(visit, 422, Some(&trouble), &fields)
        }
    }
}

/// Begins a test of what the form says, which need not be kept.
pub(in super::super) fn test(visit: &Visit) -> Response {
    let fields = Fields::of_form(visit);
    let words = visit.words;
    let (route, password) = match given(visit, &fields) {
        Ok(given) => given,
        Err(fault) => return form(visit, 422, Some(&fault_text(words, fault)), &fields),
    };
    let to = tested(visit).map_or_else(|| fields.to.clone(), |last| last.mail.to);
    if !is_address(&to) {
        return form(visit, 422, Some(&words.text("out-test-address")), &fields);
    }
    let logged = visit.log(EventKind::MailSent, |event| {
        event.text = "test mail".to_owned();
        event.after.clone_from(&to);
    });
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    let hostname = visit.site.outgoing.hostname.clone();
    let mail = TestMail {
        message: test_message(words, &route, &to, &hostname),
        route,
        password,
        to,
        hostname,
    };
    match visit.site.mail_tests.begin(mail, Patience::USUAL) {
        Ok(()) | Err(NotBegun::Running) => Response::see_other("/setup/outgoing/test"),
        Err(NotBegun::TooMany) => form(visit, 429, Some(&words.text("out-test-many")), &fields),
        Err(NotBegun::Thread(error)) => {
            tracing::error!(%error, "a test mail cannot be sent");
            form(visit, 503, Some(&words.text("archive-failed")), &fields)
        }
    }
}

/// What the form means: the way and password that were tested, or those that were typed; a password that was not typed is the kept one.
fn given(visit: &Visit, fields: &Fields) -> Result<(Route, Option<Secret>), RouteFault> {
    if let Some(last) = tested(visit) {
        let mut route = last.mail.route;
        if !fields.certificate.is_empty() {
            route.certificate = Some(read_fingerprint(&fields.certificate)?);
        }
        return Ok((route, last.mail.password));
    }
    let route = fields.route()?;
    let typed = visit.request.form_value("password");
    if !typed.is_empty() {
        return Ok((route, Some(Secret(typed.to_owned()))));
    }
    let kept = visit.site.keeper.outgoing_password(&route).ok().flatten();
    Ok((route, kept))
}

/// The last test, when the form is one that goes on from it.
fn tested(visit: &Visit) -> Option<Progress> {
    let goes_on = visit.request.form_value("tested") == "yes";
    visit.site.mail_tests.last().filter(|_| goes_on)
}

fn fault_text(words: &Words, fault: RouteFault) -> String {
    words.text(match fault {
        RouteFault::Server | RouteFault::Text => "route-server",
        RouteFault::Port => "route-port",
        RouteFault::From => "route-from",
        RouteFault::User => "route-user",
        RouteFault::SignInWithoutTls => "route-needs-tls",
        RouteFault::Certificate => "route-certificate",
    })
}

fn form(visit: &Visit, status: u16, trouble: Option<&str>, fields: &Fields) -> Response {
    let words = visit.words;
    let content = html! {
        (visit.trouble(trouble))
        p { (words.text("out-hint")) }
        (waiting(visit))
        (visit.form("/setup/outgoing", html! {
            (server_fields(visit, fields))
            (sign_in_fields(visit, fields))
            div.deeds {
                button type="submit" { (words.text("save")) }
                a.button.second href="/setup" { (words.text("later")) }
            }
            h2 { (words.text("out-test")) }
            label for="to" { (words.text("out-test-to")) }
            p.hint { (words.text("out-test-hint")) }
            input #to name="to" type="email" value=(fields.to) autocomplete="off";
            div.deeds { button.second type="submit" formaction="/setup/outgoing/test" { (words.text("out-test-do")) } }
        }))
    };
    visit.page(status, &words.text("step-outgoing"), Width::Narrow, content)
}

fn server_fields(visit: &Visit, fields: &Fields) -> Markup {
    let words = visit.words;
    html! {
        label for="server" { (words.text("out-server")) }
        input #server name="server" type="text" value=(fields.server) autocomplete="off" spellcheck="false";
        fieldset {
            legend { (words.text("out-security")) }
            @for security in Security::ALL {
                @let is_chosen = Security::from_name(&fields.security).unwrap_or_default() == security;
                label.choice {
                    input type="radio" name="security" value=(security.name()) checked[is_chosen];
                    span { (words.text(security_text(security))) }
                }
            }
        }
        label for="port" { (words.text("out-port")) }
        p.hint { (words.text("out-port-hint")) }
        input #port name="port" type="text" value=(fields.port) inputmode="numeric" autocomplete="off";
        label for="from" { (words.text("out-from")) }
        input #from name="from" type="email" value=(fields.from) autocomplete="off";
    }
}

fn security_text(security: Security) -> &'static str {
    match security {
        Security::StartTls => "out-starttls",
        Security::Tls => "out-tls-first",
        Security::None => "out-no-tls",
    }
}

fn sign_in_fields(visit: &Visit, fields: &Fields) -> Markup {
    let words = visit.words;
    html! {
        label for="user" { (words.text("out-user")) }
        p.hint { (words.text("out-user-hint")) }
        input #user name="user" type="text" value=(fields.user) autocomplete="off" spellcheck="false";
        label for="password" { (words.text("password")) }
        p.hint { (words.text("out-password-hint")) }
        input #password name="password" type="password" autocomplete="new-password";
        @if !fields.certificate.is_empty() {
            label for="certificate" { (words.text("out-confirmed")) }
            p.hint { (words.text("out-confirmed-hint")) }
            input #certificate.mono name="certificate" type="text" value=(fields.certificate) autocomplete="off" spellcheck="false";
        }
    }
}

/// Says which other way waits for approval or its notices.
fn waiting(visit: &Visit) -> Markup {
    let words = visit.words;
    let acting = visit
        .person
        .as_ref()
        .map(|person| visit.site.people().acting(person.token, &visit.peer));
    let proposals = acting.and_then(|acting| acting.proposals().ok());
    let routes = proposals.unwrap_or_default().into_iter();
    let routes = routes.filter_map(|proposal| match proposal.change {
        Change::NoticeRoute(route) => Some(route),
        Change::Account(..) => None,
    });
    html! {
        @for route in routes {
            p.note { (words.filled("out-waits", &[("server", place(&route).into())])) " " a href="/people" { (words.text("people")) } }
        }
    }
}

/// Shows how far the last test is.
pub(in super::super) fn result(visit: &Visit) -> Response {
    let words = visit.words;
    let Some(last) = visit.site.mail_tests.last() else {
        return Response::see_other("/setup/outgoing");
    };
    let values = [
        ("to", last.mail.to.as_str().into()),
        ("server", last.mail.route.server.as_str().into()),
    ];
    let content = html! {
        p { (words.filled("out-test-of", &values)) }
        ol.steps {
            @for (step, said) in &last.steps {
                li { (words.text(step_text(*step))) " " span.quiet { (said) } }
            }
        }
        @match last.end.as_deref() {
            None => { p.note role="status" { (words.text("out-test-runs")) } }
            Some(Ok(())) => {
                p.note.good role="status" { (words.text("out-test-good")) }
                (visit.form("/setup/outgoing", html! {
                    input type="hidden" name="tested" value="yes";
                    div.deeds { button type="submit" { (words.text("save")) } a.button.second href="/setup/outgoing" { (words.text("back")) } }
                }))
            }
            Some(Err(trouble)) => { (failed(visit, trouble)) }
        }
    };
    let response = visit.page(200, &words.text("out-test"), Width::Narrow, content);
    match last.end {
        // The page looks again by itself, without a script.
        None => response.with("Refresh", REFRESH_S),
        Some(_) => response,
    }
}

fn failed(visit: &Visit, trouble: &Trouble) -> Markup {
    let words = visit.words;
    html! {
        p.trouble role="alert" { (trouble_text(words, trouble)) }
        @if let Trouble::Certificate { fingerprint, .. } = trouble {
            p { (words.text("out-confirm-hint")) }
            p.mono { (layout::fingerprint(fingerprint)) }
            (visit.form("/setup/outgoing/test", html! {
                input type="hidden" name="tested" value="yes";
                input type="hidden" name="certificate" value=(colons(fingerprint));
                div.deeds { button.second type="submit" { (words.text("out-confirm")) } }
            }))
        }
        div.deeds { a.button.second href="/setup/outgoing" { (words.text("back")) } }
    }
}

fn step_text(step: Step) -> &'static str {
    match step {
        Step::Connect => "out-step-connect",
        Step::Greeting => "out-step-greeting",
        Step::Hello => "out-step-hello",
        Step::Tls => "out-step-tls",
        Step::SignIn => "out-step-sign-in",
        Step::Sender => "out-step-sender",
        Step::Recipient => "out-step-recipient",
        Step::Content => "out-step-content",
    }
}

/// Says what went wrong and what to do.
fn trouble_text(words: &Words, trouble: &Trouble) -> String {
    let said = |key: &str, said: &str| words.filled(key, &[("said", said.to_owned().into())]);
    let at = |key: &str, step: Step| {
        let step = words.text(step_text(step));
        words.filled(key, &[("step", step.into())])
    };
    let because = |error: &std::io::Error| plain(words, &error.to_string());
    match trouble {
        Trouble::Address(address) => said("out-address", address),
        Trouble::Unknown { server, .. } => said("out-unknown", server),
        Trouble::Unreachable(error) => said("out-unreachable", &because(error)),
        Trouble::Slow(step) => at("out-slow", *step),
        Trouble::Broken { step, .. } => at("out-broken", *step),
        Trouble::Odd { said: text, .. } => said("out-odd", text),
        Trouble::Refused {
            step,
            code,
            said: text,
        } => refused(words, *step, *code, text),
        Trouble::NoStartTls => words.text("out-no-starttls"),
        Trouble::NoSignIn => words.text("out-no-sign-in"),
        Trouble::NoPassword => words.text("out-no-password"),
        Trouble::Certificate { why, .. } => said("out-certificate", &plain(words, why)),
        Trouble::Tls(error) => said("out-tls-fails", &because(error)),
    }
}

fn refused(words: &Words, step: Step, code: u16, said: &str) -> String {
    let key = match step {
        _ if code < 500 => "out-refused-later",
        Step::SignIn => "out-refused-sign-in",
        Step::Sender => "out-refused-sender",
        Step::Recipient => "out-refused-recipient",
        _ => "out-refused",
    };
    words.filled(key, &[("said", format!("{code} {said}").into())])
}

fn colons(fingerprint: &[u8; 32]) -> String {
    let pairs = fingerprint.iter().map(|byte| format!("{byte:02X}"));
    pairs.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::words::{Catalogues, Language};
    use std::io::Error;

    #[test]
    fn every_trouble_is_told_in_words() {
        let text = || "cause-17".to_owned();
        let refused = |step, code| Trouble::Refused {
            step,
            code,
            said: text(),
        };
        let (step, why, server) = (Step::Tls, text(), text());
        let source = || Error::other("cause-17");
        for (trouble, shown) in [
            (Trouble::Address(text()), "cause-17"),
            (
                Trouble::Unknown {
                    server,
                    source: source(),
                },
                "cause-17",
            ),
            (Trouble::Unreachable(source()), "cause-17"),
            (Trouble::Slow(step), "TLS"),
            (
                Trouble::Broken {
                    step,
                    source: source(),
                },
                "TLS",
            ),
            (Trouble::Odd { step, said: text() }, "cause-17"),
            (refused(Step::SignIn, 535), "535 cause-17"),
            (refused(Step::SignIn, 454), "454 cause-17"),
            (refused(Step::Sender, 550), "550 cause-17"),
            (refused(Step::Recipient, 550), "550 cause-17"),
            (refused(Step::Greeting, 554), "554 cause-17"),
            (Trouble::NoStartTls, "STARTTLS"),
            (Trouble::NoSignIn, ""),
            (Trouble::NoPassword, ""),
            (
                Trouble::Certificate {
                    fingerprint: [0; 32],
                    why,
                },
                "cause-17",
            ),
            (Trouble::Tls(source()), "cause-17"),
        ] {
            for language in Language::ALL {
                let catalogues = Catalogues::new();
                let said = trouble_text(catalogues.of(language), &trouble);
                assert!(said.contains(shown), "{trouble:?}: {said}");
                assert!(!said.starts_with("out-"), "{trouble:?}: {said}");
            }
        }
    }
}
