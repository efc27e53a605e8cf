//! Setting the archive up, step by step; each step can be left and come back to, and each setting is changed here later as well.

use super::super::time_zone::TimeZone;
use super::super::words::Language;
use super::super::{Response, visit::Visit};
use super::layout::Width;
use super::{certificate, outgoing};
use crate::keeper::Failure;
use crate::settings::Setting;
use maud::{Markup, html};

/// Steps: the last part of the path, and what it is called.
const STEPS: [(&str, &str); 7] = [
    ("language", "step-language"),
    ("mail", "step-mail"),
    ("retention", "step-retention"),
    ("updates", "step-updates"),
    ("outgoing", "step-outgoing"),
    ("status-mail", "step-status-mail"),
    ("certificate", "step-certificate"),
];

/// Years that laws ask for most; 0 is for ever.
const YEARS: [&str; 4] = ["6", "8", "10", "0"];

/// Systems that mail is sent from: heading and instructions.
const SENDERS: [(&str, &str); 4] = [
    ("send-exchange", "send-exchange-steps"),
    ("send-microsoft365", "send-microsoft365-steps"),
    ("send-google", "send-google-steps"),
    ("send-postfix", "send-postfix-steps"),
];

/// Lists the steps and how far each is.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let words = visit.words;
    let content = html! {
        p { (words.text("setup-hint")) }
        ol.steps {
            @for (step, name) in STEPS {
                li { a href={ "/setup/" (step) } { (words.text(name)) } span.state { (standing(visit, step)) } }
            }
            li { a href="/account/second-factor" { (words.text("second-factor")) } span.state { (second_factor(visit)) } }
            li { a href="/people" { (words.text("step-people")) } span.state {} }
            li { a href="/metrics-switch" { (words.text("metrics")) } span.state {} }
            li { a href="/trust" { (words.text("trust-title")) } span.state {} }
        }
    };
    visit.page(200, &words.text("setup"), Width::Narrow, content)
}

fn second_factor(visit: &Visit) -> String {
    let person = visit.person.as_ref();
    let has = person.is_some_and(|person| person.session.has_second_factor);
    visit.words.text(if has { "step-on" } else { "step-open" })
}

/// What a step was answered with.
fn standing(visit: &Visit, step: &str) -> String {
    let words = visit.words;
    let value = match step {
        "language" => visit.site.setting(Setting::TimeZone),
        "mail" => return mail_standing(visit),
        "certificate" => return certificate::standing(visit),
        "outgoing" => return outgoing::standing(visit),
        "retention" => match visit.site.setting(Setting::RetentionYears).as_str() {
            "" => String::new(),
            years => years_text(visit, years),
        },
        "updates" => match visit.site.setting(Setting::UpdateHour).as_str() {
            "" => String::new(),
            hour => hour_text(hour),
        },
        _ => visit.site.setting(Setting::StatusMailTo),
    };
    if value.is_empty() {
        words.text("step-open")
    } else {
        value
    }
}

fn mail_standing(visit: &Visit) -> String {
    match arrivals(visit) {
        0 => visit.words.text("step-open"),
        count => visit.words.filled(
            "mail-arrived",
            &[
                ("count", count.into()),
                ("shown", visit.words.number(count).into()),
            ],
        ),
    }
}

fn arrivals(visit: &Visit) -> u64 {
    visit
        .site
        .keeper
        .stats()
        .map_or(0, |stats| stats.totals.messages)
}

/// Shows one step.
pub(in super::super) fn step(visit: &Visit, step: &str) -> Response {
    form(visit, step, 200, None)
}

/// Keeps what a step was answered with.
pub(in super::super) fn save(visit: &Visit, step: &str) -> Response {
    let settings: &[Setting] = match step {
        "language" => &[Setting::Language, Setting::TimeZone],
        "retention" => &[Setting::RetentionYears],
        "updates" => &[Setting::UpdateHour],
        "status-mail" => &[Setting::StatusMailTo],
        "mail" => &[Setting::AllowedNetworks, Setting::JournalNetworks],
        _ => return visit.not_found(),
    };
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    for setting in settings {
        let value = visit.request.form_value(setting.name()).trim();
        let changed = visit
            .site
            .keeper
            .change_setting(person.token, &visit.peer, *setting, value);
        match changed {
            Ok(()) => {}
            Err(Failure::BadRequest(_)) => {
                let is_mail = step == "mail";
                let key = if is_mail {
                    "networks-wrong"
                } else {
                    "setting-wrong"
                };
                let trouble = visit.words.text(key);
                return form(visit, step, 422, Some(&trouble));
            }
            Err(failure) => return visit.failed(&failure),
        }
    }
    Response::see_other("/setup")
}

fn form(visit: &Visit, step: &str, status: u16, trouble: Option<&str>) -> Response {
    let words = visit.words;
    let Some((_, name)) = STEPS.into_iter().find(|(known, _)| *known == step) else {
        return visit.not_found();
    };
    if step == "mail" {
        return mail(visit, status, trouble, &words.text(name));
    }
    let fields = match step {
        "language" => language(visit),
        "retention" => retention(visit),
        "updates" => updates(visit),
        _ => status_mail(visit),
    };
    let content = html! {
        (visit.trouble(trouble))
        (visit.form(&format!("/setup/{step}"), html! {
            (fields)
            div.deeds {
                button type="submit" { (words.text("save")) }
                a.button.second href="/setup" { (words.text("later")) }
            }
        }))
    };
    visit.page(status, &words.text(name), Width::Narrow, content)
}

fn language(visit: &Visit) -> Markup {
    let words = visit.words;
    let (language, zone) = (Setting::Language.name(), Setting::TimeZone.name());
    let chosen = match visit.site.setting(Setting::Language) {
        empty if empty.is_empty() => words.language.tag().to_owned(),
        chosen => chosen,
    };
    let kept = TimeZone::from_name(&visit.site.setting(Setting::TimeZone)).unwrap_or_default();
    html! {
        label for="language" { (words.text("language")) }
        p.hint { (words.text("language-hint")) }
        select #language name=(language) {
            @for one in Language::ALL { option value=(one.tag()) selected[one.tag() == chosen] { (one.name()) } }
        }
        label for="zone" { (words.text("time-zone")) }
        select #zone name=(zone) {
            @for one in TimeZone::ALL { option value=(one.name()) selected[one == kept] { (zone_text(visit, one)) } }
        }
    }
}

fn zone_text(visit: &Visit, zone: TimeZone) -> String {
    visit.words.text(match zone {
        TimeZone::CentralEurope => "zone-central",
        TimeZone::WesternEurope => "zone-western",
        TimeZone::EasternEurope => "zone-eastern",
        TimeZone::Utc => "zone-utc",
    })
}

fn retention(visit: &Visit) -> Markup {
    let words = visit.words;
    let kept = visit.site.setting(Setting::RetentionYears);
    let chosen = if kept.is_empty() { "10" } else { &kept };
    html! {
        p { (words.text("retention-hint")) }
        fieldset {
            legend { (words.text("retention-legend")) }
            @for years in YEARS {
                label.choice {
                    input type="radio" name=(Setting::RetentionYears.name()) value=(years) checked[years == chosen];
                    span { (years_text(visit, years)) }
                }
            }
        }
        p.note { (words.text("retention-only-written")) }
    }
}

fn years_text(visit: &Visit, years: &str) -> String {
    match years {
        "0" => visit.words.text("years-forever"),
        years => visit.words.filled("years", &[("years", years.into())]),
    }
}

fn updates(visit: &Visit) -> Markup {
    let words = visit.words;
    let kept = visit.site.setting(Setting::UpdateHour);
    let chosen = if kept.is_empty() { "3" } else { &kept };
    html! {
        label for="hour" { (words.text("update-hour")) }
        select #hour name=(Setting::UpdateHour.name()) {
            @for hour in 0..24 {
                @let hour = hour.to_string();
                option value=(hour) selected[hour == chosen] { (hour_text(&hour)) }
            }
        }
        @if visit.site.machine().is_none() { p.note { (words.text("update-only-written")) } }
    }
}

/// "02:00–03:00"
fn hour_text(hour: &str) -> String {
    let from: u32 = hour.parse().unwrap_or(0);
    format!("{from:02}:00–{:02}:00", (from + 1) % 24)
}

fn status_mail(visit: &Visit) -> Markup {
    let words = visit.words;
    let kept = visit.site.setting(Setting::StatusMailTo);
    html! {
        label for="to" { (words.text("status-mail-to")) }
        p.hint { (words.text("status-mail-hint")) }
        input #to name=(Setting::StatusMailTo.name()) type="email" value=(kept) autocomplete="off";
        p.note { (words.text("status-mail-when")) }
        @if !outgoing::is_set(visit) { p.note { (words.text("status-mail-no-server")) } }
    }
}

/// Where to send mail to, who may, and whether any has come.
fn mail(visit: &Visit, status: u16, trouble: Option<&str>, title: &str) -> Response {
    let words = visit.words;
    let door = &visit.site.mail_door;
    // What the page waits for is more than there was when it began to.
    let before = visit.request.query_value("wait");
    let before: Option<u64> = before.and_then(|count| count.parse().ok());
    let count = arrivals(visit);
    let is_waiting = before.is_some_and(|before| count <= before);
    let content = html! {
        (visit.trouble(trouble))
        p { (words.text("mail-hint")) }
        dl.facts {
            dt { (words.text("mail-host")) } dd.mono { (door.hostname) }
            dt { (words.text("mail-ports")) }
            dd.mono {
                @if door.smtp.is_empty() { (words.text("mail-no-port")) }
                @for address in &door.smtp { div { (address) } }
            }
        }
        @if is_waiting { p.note role="status" { (words.text("mail-waiting")) } }
        @else {
            (arrived(visit, count))
            p { a.button href={ "/setup/mail?wait=" (count) } { (words.text("mail-wait")) } }
        }
        (networks(visit))
        @for (name, steps) in SENDERS {
            h2 { (words.text(name)) }
            ol { @for step in words.filled(steps, &[("host", door.hostname.as_str().into())]).lines() { li { (step) } } }
        }
        div.deeds { a.button.second href="/setup" { (words.text("back-to-setup")) } }
    };
    let response = visit.page(status, title, Width::Narrow, content);
    if is_waiting {
        // The page looks again by itself, without a script.
        return response.with("Refresh", "3");
    }
    response
}

/// Says how much has come, and when and from which server the last of it; nothing of the mail itself.
fn arrived(visit: &Visit, count: u64) -> Markup {
    let words = visit.words;
    let values = [
        ("count", count.into()),
        ("shown", words.number(count).into()),
    ];
    let newest = visit.site.keeper.newest_arrival().ok().flatten();
    html! {
        @if count > 0 {
            div.note.good role="status" {
                (words.filled("mail-arrived", &values))
                @if let Some((at_s, server)) = newest {
                    " " (newest_in_words(visit, at_s, server))
                }
            }
        }
    }
}

fn newest_in_words(visit: &Visit, at_s: i64, server: String) -> String {
    let words = visit.words;
    let at = ("at", words.moment(visit.local_s(at_s)).into());
    match server.is_empty() {
        true => words.filled("mail-newest-file", &[at]),
        false => words.filled("mail-newest", &[at, ("server", server.into())]),
    }
}

/// Who may send: what the start of the program names, and a form for more.
fn networks(visit: &Visit) -> Markup {
    let words = visit.words;
    let door = &visit.site.mail_door;
    let field = |setting: Setting, id: &str, name: &str, hint: &str, least: &str| {
        let kept = visit.site.setting(setting);
        html! {
            label for=(id) { (words.text(name)) }
            p.hint { (words.text(hint)) }
            p.hint { (words.text("networks-always")) " " span.mono { (least) } }
            textarea.mono id=(id) name=(setting.name()) rows="3" spellcheck="false" autocomplete="off" { (kept) }
        }
    };
    html! {
        h2 { (words.text("mail-allowed")) }
        (visit.form("/setup/mail", html! {
            (field(Setting::AllowedNetworks, "allowed", "networks-allowed", "networks-allowed-hint", &door.allowed))
            (field(Setting::JournalNetworks, "journal", "networks-journal", "networks-journal-hint", &door.journal_from))
            div.deeds { button type="submit" { (words.text("save")) } }
        }))
    }
}
