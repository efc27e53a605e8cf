//! How computers come to trust this box: its certificate to install, with the steps for each system.

use super::super::{Response, visit::Visit};
use super::layout::{Width, fingerprint};
use archive::people::Role;
use maud::html;

/// The systems: heading and steps.
const SYSTEMS: [(&str, &str); 5] = [
    ("trust-windows", "trust-windows-steps"),
    ("trust-macos", "trust-macos-steps"),
    ("trust-ios", "trust-ios-steps"),
    ("trust-android", "trust-android-steps"),
    ("trust-firefox", "trust-firefox-steps"),
];

/// Shows the certificate's fingerprint and the steps.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let words = visit.words;
    let authority = match visit.site.keeper.authority() {
        Ok(authority) => authority,
        Err(failure) => return visit.failed(&failure),
    };
    let content = html! {
        p { (words.text("trust-why")) }
        p { a.button href="/trust/coffer.crt" { (words.text("trust-download")) } }
        dl.facts {
            dt { (words.text("trust-name")) } dd { (authority.name) }
            dt { "SHA-256" } dd.mono { (fingerprint(&authority.fingerprint)) }
        }
        p.quiet { (words.text("trust-compare")) }
        @if visit.has(Role::Operator) { p { a href="/setup/certificate" { (words.text("step-certificate")) } } }
        @for (name, steps) in SYSTEMS {
            h2 { (words.text(name)) }
            ol { @for step in words.text(steps).lines() { li { (step) } } }
        }
    };
    visit.page(200, &words.text("trust-title"), Width::Narrow, content)
}

/// Hands the certificate out.
pub(in super::super) fn certificate(visit: &Visit) -> Response {
    match visit.site.keeper.authority() {
        Ok(authority) => Response::new(
            200,
            "application/x-x509-ca-cert",
            authority.pem.into_bytes(),
        )
        .with("Content-Disposition", "attachment; filename=\"coffer.crt\""),
        Err(failure) => visit.failed(&failure),
    }
}
