//! A certificate that others issued for this page: a step of the setup for offices that have one. Its key is never shown.

use super::super::words::Words;
use super::super::{Response, visit::Visit};
use super::layout::{Width, fingerprint};
use crate::own_certificate::{self, CertificateFacts, CertificateFault};
use crate::people::Secret;
use maud::{Markup, html};

/// Shows the one in use, and the form for another one.
pub(in super::super) fn show(visit: &Visit) -> Response {
    form(visit, 200, None)
}

/// What the setup says of this step.
pub(super) fn standing(visit: &Visit) -> String {
    let own = visit.site.keeper.own_certificate().ok().flatten();
    match own {
        Some(facts) => until(visit, &facts),
        None => visit.words.text("certificate-of-the-box"),
    }
}

/// Puts a certificate in.
pub(in super::super) fn put_in(visit: &Visit) -> Response {
    let value = |name| visit.request.form_value(name);
    let pem = format!("{}\n{}", value("certificate"), value("key"));
    let now_s = match visit.site.keeper.health() {
        Ok(figures) => u64::try_from(figures.now_s).unwrap_or(0),
        Err(failure) => return visit.failed(&failure),
    };
    if let Err(fault) = own_certificate::read(&pem, now_s) {
        return form(visit, 422, Some(&fault_text(visit.words, fault)));
    }
    change(visit, Some(Secret(pem)))
}

/// Goes back to the box's own.
pub(in super::super) fn take_out(visit: &Visit) -> Response {
    change(visit, None)
}

fn change(visit: &Visit, pem: Option<Secret>) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let keeper = &visit.site.keeper;
    match keeper.change_certificate(person.token, &visit.peer, pem) {
        Ok(()) => {
            visit.site.renew_certificate();
            Response::see_other("/setup/certificate")
        }
        Err(failure) => visit.failed(&failure),
    }
}

fn fault_text(words: &Words, fault: CertificateFault) -> String {
    words.text(match fault {
        CertificateFault::NoCertificate => "certificate-none",
        CertificateFault::NoKey => "certificate-no-key",
        CertificateFault::LockedKey => "certificate-locked",
        CertificateFault::TooMany => "certificate-many",
        CertificateFault::OtherKey => "certificate-other-key",
        CertificateFault::Time => "certificate-time",
        CertificateFault::NoName => "certificate-no-name",
    })
}

fn form(visit: &Visit, status: u16, trouble: Option<&str>) -> Response {
    let words = visit.words;
    let own = match visit.site.keeper.own_certificate() {
        Ok(own) => own,
        Err(failure) => return visit.failed(&failure),
    };
    let content = html! {
        (visit.trouble(trouble))
        p { (words.text("certificate-hint")) }
        @match &own {
            Some(facts) => { (in_use(visit, facts)) }
            None => { dl.facts { dt { (words.text("certificate-in-use")) } dd { (words.text("certificate-of-the-box")) } } }
        }
        (visit.form("/setup/certificate", html! {
            label for="certificate" { (words.text("certificate-chain")) }
            p.hint { (words.text("certificate-chain-hint")) }
            textarea #certificate.mono name="certificate" rows="8" autocomplete="off" spellcheck="false" required {}
            label for="key" { (words.text("certificate-key")) }
            p.hint { (words.text("certificate-key-hint")) }
            textarea #key.mono name="key" rows="6" autocomplete="off" spellcheck="false" {}
            div.deeds {
                button type="submit" { (words.text("certificate-use")) }
                a.button.second href="/setup" { (words.text("back-to-setup")) }
            }
        }))
    };
    visit.page(
        status,
        &words.text("step-certificate"),
        Width::Narrow,
        content,
    )
}

fn in_use(visit: &Visit, facts: &CertificateFacts) -> Markup {
    let words = visit.words;
    html! {
        dl.facts {
            dt { (words.text("certificate-names")) } dd { @for name in &facts.names { div { (name) } } }
            dt { (words.text("certificate-until")) } dd { (until(visit, facts)) }
            dt { "SHA-256" } dd.mono { (fingerprint(&facts.fingerprint)) }
        }
        (visit.form("/setup/certificate/own", html! {
            div.deeds { button.second type="submit" { (words.text("certificate-back")) } }
        }))
    }
}

fn until(visit: &Visit, facts: &CertificateFacts) -> String {
    let day = visit.words.day(visit.local_s(facts.ends_at_s));
    visit
        .words
        .filled("certificate-good-until", &[("day", day.into())])
}
