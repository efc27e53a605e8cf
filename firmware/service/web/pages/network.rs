//! The network of a box, for its operator: addresses, servers and host name. A change holds for two minutes unless it is confirmed on the page
//! as it is reached then.

use super::super::no_archive::reason;
use super::super::{Method, Response, visit::Visit};
use super::layout::Width;
use crate::machine::{NetworkState, NetworkTexts, Refusal};
use archive::EventKind;
use maud::{Markup, html};

/// Names of the fields, with the keys of their texts and hints.
const FIELDS: [(&str, &str, &str); 5] = [
    ("hostname", "network-hostname", "network-hostname-hint"),
    ("address", "network-address", "network-address-hint"),
    ("router", "network-router", "network-router-hint"),
    ("dns", "network-dns", "network-dns-hint"),
    ("ntp", "network-ntp", "network-ntp-hint"),
];

/// Shows the settings, and what waits to be confirmed.
pub(in super::super) fn show(visit: &Visit) -> Response {
    form(visit, 200, None)
}

/// Takes a change, on trial.
pub(in super::super) fn save(visit: &Visit) -> Response {
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    let value = |name: &str| visit.request.form_value(name).trim().to_owned();
    let wanted = NetworkTexts {
        hostname: value("hostname"),
        address: value("address"),
        router: value("router"),
        dns: value("dns"),
        ntp: value("ntp"),
    };
    let before = machine.network().map(|state| said(&state.texts));
    let logged = visit.log(EventKind::SettingChanged, |event| {
        "network, on trial".clone_into(&mut event.text);
        event.before = before.unwrap_or_default();
        event.after = said(&wanted);
    });
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    match machine.set_network(wanted.clone()) {
        Ok(()) => visit.page(
            200,
            &visit.words.text("network"),
            Width::Narrow,
            where_to_confirm(visit, &wanted),
        ),
        Err(refusal) => form(visit, 422, Some(&refusal)),
    }
}

/// Keeps the change that is on trial.
pub(in super::super) fn confirm(visit: &Visit) -> Response {
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    let logged = visit.log(EventKind::SettingChanged, |event| {
        "network, confirmed".clone_into(&mut event.text);
    });
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    match machine.confirm_network() {
        Ok(()) => Response::see_other("/machine/network"),
        Err(refusal) => form(visit, 422, Some(&refusal)),
    }
}

/// Settings in a line of the log.
fn said(texts: &NetworkTexts) -> String {
    let values = FIELDS.map(|(name, _, _)| (name, value_of(texts, name)));
    let filled = values.iter().filter(|(_, value)| !value.is_empty());
    let parts: Vec<_> = filled
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    parts.join(", ")
}

fn value_of<'t>(texts: &'t NetworkTexts, name: &str) -> &'t str {
    match name {
        "hostname" => &texts.hostname,
        "address" => &texts.address,
        "router" => &texts.router,
        "dns" => &texts.dns,
        _ => &texts.ntp,
    }
}

fn where_to_confirm(visit: &Visit, wanted: &NetworkTexts) -> Markup {
    let words = visit.words;
    let hostname = match wanted.hostname.as_str() {
        "" => "coffer".to_owned(),
        name => name.to_ascii_lowercase(),
    };
    let by_name = format!("https://{hostname}.local/machine/network");
    let address = wanted.address.split('/').next().unwrap_or_default();
    let by_address = format!("https://{address}/machine/network");
    html! {
        p role="status" { (words.text("network-on-trial")) }
        ul {
            li { a href=(by_name) { (by_name) } }
            @if !address.is_empty() { li { a href=(by_address) { (by_address) } } }
        }
        p { (words.text("network-else-undone")) }
    }
}

fn form(visit: &Visit, status: u16, refusal: Option<&Refusal>) -> Response {
    let words = visit.words;
    let state = match visit.site.machine().map(|machine| machine.network()) {
        None => return visit.not_found(),
        Some(Ok(state)) => Some(state),
        Some(Err(_)) => None,
    };
    let kept = state.as_ref().map(|state| &state.texts);
    let typed = |name: &str| match visit.request.method {
        Method::Post => visit.request.form_value(name),
        _ => kept.map_or("", |texts| value_of(texts, name)),
    };
    let content = html! {
        @if let Some(refusal) = refusal { p.trouble role="alert" { (reason(words, refusal)) } }
        @if state.is_none() { p.trouble role="alert" { (words.text("network-unknown")) } }
        @if let Some(state) = &state { (standing(visit, state)) }
        p { (words.text("network-hint")) }
        (visit.form("/machine/network", html! {
            @for (name, text, hint) in FIELDS {
                label for=(name) { (words.text(text)) }
                p.hint id={ (name) "-hint" } { (words.text(hint)) }
                input.mono id=(name) name=(name) type="text" value=(typed(name)) autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby={ (name) "-hint" };
            }
            p.note { (words.text("network-two-minutes")) }
            div.deeds {
                button type="submit" { (words.text("network-try")) }
                a.button.second href="/machine" { (words.text("machine")) }
            }
        }))
    };
    visit.page(status, &words.text("network"), Width::Narrow, content)
}

/// Addresses, and the button that keeps a change.
fn standing(visit: &Visit, state: &NetworkState) -> Markup {
    let words = visit.words;
    html! {
        @if let Some(left_s) = state.unconfirmed_s {
            div.note {
                p role="status" { (words.filled("network-unconfirmed", &[("seconds", words.number(left_s).into())])) }
                (visit.form("/machine/network/confirm", html! {
                    div.deeds { button type="submit" { (words.text("network-confirm")) } }
                }))
            }
        }
        dl.facts {
            dt { (words.text("network-addresses")) }
            dd.mono { @for address in &state.addresses { div { (address) } } }
        }
    }
}
