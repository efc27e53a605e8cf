//! Switching `/metrics` on and off, for the operator.

use super::super::{Response, visit::Visit};
use super::layout::Width;
use crate::keeper::Failure;
use crate::settings::Setting;
use maud::html;

/// Shows the switch, and how to ask.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let words = visit.words;
    let is_on = visit.site.setting(Setting::Metrics) == "on";
    let (value, name, standing) = match is_on {
        true => ("off", "metrics-switch-off", "metrics-on"),
        false => ("on", "metrics-switch-on", "metrics-off"),
    };
    let content = html! {
        p { (words.text("metrics-hint")) }
        p { (words.text("metrics-token")) " " a href="/account/tokens" { (words.text("tokens")) } }
        p role="status" { strong { (words.text(standing)) } }
        (visit.form("/metrics-switch", html! {
            input type="hidden" name=(Setting::Metrics.name()) value=(value);
            div.deeds {
                button type="submit" { (words.text(name)) }
                a.button.second href="/setup" { (words.text("back-to-setup")) }
            }
        }))
    };
    visit.page(200, &words.text("metrics"), Width::Narrow, content)
}

/// Keeps the switch.
pub(in super::super) fn save(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let value = visit.request.form_value(Setting::Metrics.name());
    let keeper = &visit.site.keeper;
    match keeper.change_setting(person.token, &visit.peer, Setting::Metrics, value) {
        Ok(()) => Response::see_other("/metrics-switch"),
        Err(Failure::BadRequest(_)) => visit.not_found(),
        Err(failure) => visit.failed(&failure),
    }
}
