//! The machine, for the operator of a box: its disks, a second archive disk, and switching it off. On an ordinary computer there is no such page.

use super::super::{Response, no_archive as disks, visit::Visit};
use super::layout::Width;
use crate::machine::{Machine, MachineEnd, NetworkTexts, NewDisk, Refusal};
use crate::settings::Setting;
use archive::EventKind;
use maud::{Markup, html};

/// Shows disks and buttons.
pub(in super::super) fn show(visit: &Visit) -> Response {
    form(visit, 200, None)
}

/// Does what one of the forms asks for. It stands in the log before it is done.
pub(in super::super) fn act(visit: &Visit, deed: &str) -> Response {
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    match deed {
        "disk" => format(visit, machine),
        "unlock" => unlock(visit, machine),
        "reset" => reset(visit, machine),
        "restart" => end(visit, machine, MachineEnd::Restart),
        "power-off" => end(visit, machine, MachineEnd::PowerOff),
        _ => visit.not_found(),
    }
}

fn format(visit: &Visit, machine: &dyn Machine) -> Response {
    let wanted = NewDisk {
        name: visit.request.form_value("disk").to_owned(),
        confirmation: visit.request.form_value("confirmation").to_owned(),
        // Whoever is signed in as an operator needs no code.
        claim_code: String::new(),
    };
    let text = format!("disk {} is to become an archive disk", wanted.name);
    let logged = visit.log(EventKind::SettingChanged, |event| event.text = text);
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    match machine.format(wanted) {
        Ok(recovery_key) => {
            let content = disks::recovery_key(visit.words, &recovery_key, "/machine");
            let title = visit.words.text("recovery-key");
            visit.page(200, &title, Width::Narrow, content)
        }
        Err(refusal) => form(visit, 422, Some(&refusal)),
    }
}

fn unlock(visit: &Visit, machine: &dyn Machine) -> Response {
    let words = visit.words;
    let text = "a recovery key was tried".to_owned();
    let logged = visit.log(EventKind::SettingChanged, |event| event.text = text);
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    match machine.unlock(visit.request.form_value("recovery-key")) {
        Ok(_) => {
            let content = html! { p role="status" { (words.text("no-archive-opens")) } };
            visit.page(200, &words.text("unlock-title"), Width::Narrow, content)
        }
        Err(refusal) => form(visit, 422, Some(&refusal)),
    }
}

/// Sets all settings as the setup proposes them; those of the network are on trial as always.
fn reset(visit: &Visit, machine: &dyn Machine) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    for setting in Setting::ALL {
        let value = match setting {
            Setting::Language => visit.words.language.tag(),
            other => other.first_value(),
        };
        let keeper = &visit.site.keeper;
        if let Err(failure) = keeper.change_setting(person.token, &visit.peer, setting, value) {
            return visit.failed(&failure);
        }
    }
    let logged = visit.log(EventKind::SettingChanged, |event| {
        "all settings were reset".clone_into(&mut event.text);
    });
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    match machine.set_network(NetworkTexts::default()) {
        Ok(()) => Response::see_other("/machine/network"),
        Err(refusal) => form(visit, 422, Some(&refusal)),
    }
}

fn end(visit: &Visit, machine: &dyn Machine, how: MachineEnd) -> Response {
    let words = visit.words;
    let (text, said) = match how {
        MachineEnd::Restart => ("restart", words.text("machine-restarts")),
        MachineEnd::PowerOff => ("power off", words.text("machine-powers-off")),
    };
    let logged = visit.log(EventKind::SettingChanged, |event| {
        text.clone_into(&mut event.text)
    });
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    match machine.end(how) {
        Ok(()) => {
            let content = html! { p role="status" { (said) } };
            visit.page(200, &words.text("machine"), Width::Narrow, content)
        }
        Err(refusal) => form(visit, 422, Some(&refusal)),
    }
}

fn form(visit: &Visit, status: u16, refusal: Option<&Refusal>) -> Response {
    let words = visit.words;
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    let (seen, failure) = match machine.disks() {
        Ok(seen) => (seen, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let content = html! {
        @for refusal in refusal.into_iter().chain(failure.as_ref()) {
            p.trouble role="alert" { (disks::reason(words, refusal)) }
        }
        @if disks::is_any_locked(&seen) {
            h2 { (words.text("unlock-title")) }
            p { (words.text("unlock-hint")) }
            (visit.form("/machine/unlock", disks::recovery_key_field(words)))
        }
        h2 { (words.text("disks-title")) }
        p { (words.text("disks-second")) }
        @if seen.is_empty() { p { (words.text("disks-none")) } }
        @else {
            (visit.form("/machine/disk", html! {
                (disks::list(words, visit.request, &seen))
                @if disks::is_any_offered(&seen) {
                    (disks::confirmation(words))
                    p.hint { (words.text("disk-takes-time")) }
                    div.deeds { button type="submit" { (words.text("disk-do")) } }
                }
            }))
        }
        h2 { (words.text("network")) }
        p { a href="/machine/network" { (words.text("network-change")) } }
        h2 { (words.text("machine-log")) }
        p { a href="/machine/log" { (words.text("machine-log-show")) } }
        h2 { (words.text("machine-reset")) }
        p { (words.text("machine-reset-hint")) }
        (visit.form("/machine/reset", html! { div.deeds { button type="submit" { (words.text("machine-reset-do")) } } }))
        p.hint { (words.text("machine-reset-by-file")) }
        h2 { (words.text("machine-end")) }
        p { (words.text("machine-end-hint")) }
        (ending(visit))
    };
    visit.page(status, &words.text("machine"), Width::Narrow, content)
}

fn ending(visit: &Visit) -> Markup {
    let button = |name: String| html! { div.deeds { button type="submit" { (name) } } };
    html! {
        (visit.form("/machine/restart", button(visit.words.text("machine-restart"))))
        (visit.form("/machine/power-off", button(visit.words.text("machine-power-off"))))
    }
}
