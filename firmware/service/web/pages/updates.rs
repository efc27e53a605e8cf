//! Updates, for the operator of a box: which version runs, what comes next and when, what became of those before, and what he can do about it. On an
//! ordinary computer there is no such page.

use super::super::reasons;
use super::super::words::Words;
use super::super::{Request, Response, no_archive, visit::Visit};
use super::layout::Width;
use crate::machine::{
    BroughtSeen, DiskState, Doing, Machine, Refusal, UpdateDeed, UpdatesSeen, UploadPiece,
};
use archive::EventKind;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use maud::{Markup, html};
use update::Time;
use update::choose::PAUSE_DAYS_MAX;
use update::memory::{Entry, Outcome};
use update::release::Refusal as Unsuitable;
use update::trial::{Failure, Proof};

/// 7 days: what somebody pauses for who does not choose.
const PAUSE_DAYS_USUAL: u32 = 7;

/// From 7 days on that pauses keep a version waiting it is a warning, from 30 on a grave one.
const PUT_OFF_WARNED_DAYS: i64 = 7;
const PUT_OFF_GRAVE_DAYS: i64 = 30;

/// 10 entries: what happened within about a year.
const ENTRIES_SHOWN: usize = 10;

/// Shows how updates stand.
pub(in super::super) fn show(visit: &Visit) -> Response {
    page(visit, 200, None)
}

/// Does what one of the forms asks for. It stands in the log before it is done.
pub(in super::super) fn act(visit: &Visit, deed: &str) -> Response {
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    let days = || visit.request.form_value("days").parse().unwrap_or(0);
    let (deed, text) = match deed {
        "check" => (UpdateDeed::Check, "look for updates".to_owned()),
        "install" => (UpdateDeed::Install, "install the update now".to_owned()),
        "pause" => (
            UpdateDeed::Pause(days()),
            format!("pause updates for {} days", days()),
        ),
        "resume" => (UpdateDeed::Resume, "install updates again".to_owned()),
        "again" => (
            UpdateDeed::TryAgain,
            "try versions again that failed".to_owned(),
        ),
        "back" => (
            UpdateDeed::GoBack,
            "go back to the version before".to_owned(),
        ),
        "stick" => (
            UpdateDeed::TakeStick,
            "install an update from a stick".to_owned(),
        ),
        "stale" => match visit.request.form_value("version").parse() {
            Ok(version) => (
                UpdateDeed::TakeStale(version),
                format!("install an update that has expired: {version}"),
            ),
            Err(_) => return visit.not_found(),
        },
        _ => return visit.not_found(),
    };
    let logged = visit.log(EventKind::SettingChanged, |event| event.text = text);
    if let Err(failure) = logged {
        return visit.failed(&failure);
    }
    match machine.update(deed) {
        Ok(()) => Response::see_other("/updates"),
        Err(refusal) => page(visit, 422, Some(&refusal)),
    }
}

/// Takes a piece of an update that is uploaded; the first one stands in the log.
pub(in super::super) fn upload(visit: &Visit) -> Response {
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    let Some(piece) = piece(visit.request) else {
        let gap = Refusal::Failed("a piece of the upload is missing".to_owned());
        return page(visit, 422, Some(&gap));
    };
    if piece.offset == 0 {
        let text = "upload an update and install it".to_owned();
        let logged = visit.log(EventKind::SettingChanged, |event| event.text = text);
        if let Err(failure) = logged {
            return visit.failed(&failure);
        }
    }
    let is_last = piece.offset.saturating_add(piece.bytes.len() as u64) >= piece.length;
    match machine.upload(piece) {
        Ok(()) if is_last => page(visit, 200, None),
        Ok(()) => Response::text(200, ""),
        Err(refusal) => page(visit, 422, Some(&refusal)),
    }
}

/// The piece of an update in a form, as the script sends it.
pub(in super::super) fn piece(request: &Request) -> Option<UploadPiece> {
    let number = |name| request.form_value(name).parse().ok();
    Some(UploadPiece {
        offset: number("offset")?,
        length: number("length")?,
        bytes: URL_SAFE.decode(request.form_value("piece")).ok()?,
    })
}

fn page(visit: &Visit, status: u16, refusal: Option<&Refusal>) -> Response {
    let words = visit.words;
    let Some(machine) = visit.site.machine() else {
        return visit.not_found();
    };
    let title = words.text("updates-title");
    let seen = match machine.updates() {
        Ok(seen) => seen,
        Err(failure) => {
            let content =
                html! { p.trouble role="alert" { (no_archive::reason(words, &failure)) } };
            return visit.page(503, &title, Width::Narrow, content);
        }
    };
    let content = html! {
        @if let Some(refusal) = refusal { p.trouble role="alert" { (no_archive::reason(words, refusal)) } }
        (running(visit, &seen))
        @if seen.has_source {
            (next(visit, &seen))
            (by_hand(visit, &seen, machine))
            (pausing(visit, &seen))
        } @else { p.note { (words.text("updates-no-source")) } }
        (history(visit, &seen))
        (going_back(visit, &seen))
    };
    visit.page(status, &title, Width::Narrow, content)
}

/// How updates stand, in a line or two, for the state page.
pub(in super::super) fn summary(visit: &Visit, machine: &dyn Machine) -> Markup {
    match machine.updates() {
        Ok(seen) => html! {
            (running(visit, &seen))
            p { a href="/updates" { (visit.words.text("updates-more")) } }
        },
        Err(failure) => html! { p.trouble { (no_archive::reason(visit.words, &failure)) } },
    }
}

fn running(visit: &Visit, seen: &UpdatesSeen) -> Markup {
    let words = visit.words;
    let version = [("version", seen.running.as_str().into())];
    let memory = &seen.memory;
    let supported = memory.supported_until;
    let unchecked = memory.unchecked_days(now());
    html! {
        p { (words.filled("updates-running", &version)) }
        @if seen.is_on_trial { p.note { (words.text("updates-on-trial")) } }
        @if let Some(until) = supported {
            p.quiet { (words.filled("updates-supported", &[("until", words.day(local_s(visit, until)).into())])) }
        }
        @if let Some(days) = memory.put_off_days(now()) { (put_off(words, days)) }
        @if let Some(days) = unchecked {
            p.trouble role="alert" { (words.filled("updates-unchecked", &[("days", days.into())])) }
        }
    }
}

/// A warning that grows: a hint in the first days, then one like any other, then what it may cost.
fn put_off(words: &Words, days: i64) -> Markup {
    let text = words.filled("updates-put-off", &[("days", days.into())]);
    html! {
        @if days < PUT_OFF_WARNED_DAYS { p.note { (text) } }
        @else {
            p.trouble role="alert" {
                (text)
                @if days >= PUT_OFF_GRAVE_DAYS { " " (words.text("updates-put-off-long")) }
            }
        }
    }
}

fn next(visit: &Visit, seen: &UpdatesSeen) -> Markup {
    let words = visit.words;
    let memory = &seen.memory;
    html! {
        h2 { (words.text("updates-next")) }
        (under_way(words, seen))
        @if let Some(available) = &memory.available {
            p { strong { (words.filled("updates-available", &[("version", available.version.to_string().into())])) } }
            p { (available.notes.text(words.language.tag())) }
            p.quiet {
                (words.filled("updates-when", &[("at", words.moment(seen.next_window_s).into()), ("size", words.size(available.length).into())]))
            }
            (visit.small_form("/updates/install", words.text("updates-install")))
        } @else if let Some((version, why)) = &memory.refused {
            p.note { (unsuitable(words, &version.to_string(), why)) }
            @if matches!(why, Unsuitable::FailedBefore(_)) { (visit.small_form("/updates/again", words.text("updates-again"))) }
        } @else { p { (words.text("updates-newest")) } }
        @if let Some(at) = memory.checked_at {
            p.quiet { (words.filled("updates-checked", &[("at", words.moment(local_s(visit, at)).into())])) }
        }
        @if let Some(unchecked) = &memory.unchecked {
            p.note { (words.filled("updates-not-checked", &[("why", reasons::plain(words, &unchecked.why).into())])) }
        }
        (visit.small_form("/updates/check", words.text("updates-check")))
    }
}

/// What is done now; the script asks for it again.
pub(in super::super) fn under_way(words: &Words, seen: &UpdatesSeen) -> Markup {
    html! {
        div data-live="updates" {
            @if let Some(doing) = doing(words, seen.doing) { p role="status" { (doing) } }
        }
    }
}

/// Where somebody brings an update himself.
fn by_hand(visit: &Visit, seen: &UpdatesSeen, machine: &dyn Machine) -> Markup {
    let words = visit.words;
    let confirm = |version: String, text: String| {
        visit.form(
            "/updates/stale",
            html! {
                input type="hidden" name="version" value=(version);
                div.deeds { button type="submit" { (text) } }
            },
        )
    };
    html! {
        h2 { (words.text("updates-by-hand")) }
        p { (words.text("updates-by-hand-hint")) }
        div data-live="brought" {
            @if let Some(brought) = &seen.brought { (what_was_brought(words, brought, |at| visit.local_s(at.unix()), confirm)) }
        }
        @if may_be_a_stick(machine) { (visit.form("/updates/stick", stick_button(words))) }
        @else { p.quiet { (words.text("updates-stick-none")) } }
        (visit.upload_form("/updates/upload", upload_fields(words)))
    }
}

/// Whether a disk is there that is none of ours.
pub(in super::super) fn may_be_a_stick(machine: &dyn Machine) -> bool {
    let is_one = |disks: Vec<crate::machine::DiskSeen>| {
        let mut states = disks.into_iter().map(|disk| disk.state);
        states.any(|state| matches!(state, DiskState::Foreign(_)))
    };
    machine.disks().is_ok_and(is_one)
}

/// The button that has a stick looked into.
pub(in super::super) fn stick_button(words: &Words) -> Markup {
    html! { div.deeds { button type="submit" { (words.text("updates-stick")) } } }
}

/// The field for a file, with its button. The script sends it in pieces, and shows the form in the first place.
pub(in super::super) fn upload_fields(words: &Words) -> Markup {
    html! {
        label for="update-file" { (words.text("updates-file")) }
        input #update-file type="file" accept=".tar" required;
        progress hidden max="1" value="0" aria-label=(words.text("updates-uploading")) {}
        div.deeds { button type="submit" { (words.text("updates-upload")) } }
    }
}

/// What came of an update that was brought; `confirm` makes the form by which one that has expired is taken all the same.
pub(in super::super) fn what_was_brought(
    words: &Words,
    brought: &BroughtSeen,
    local_s: impl Fn(Time) -> i64,
    confirm: impl Fn(String, String) -> Markup,
) -> Markup {
    match brought {
        BroughtSeen::Newest => html! { p.note { (words.text("brought-newest")) } },
        BroughtSeen::Refused(why) => {
            let why = [("why", reasons::plain(words, why).into())];
            html! { p.trouble role="alert" { (words.filled("brought-refused", &why)) } }
        }
        BroughtSeen::Unsuitable(version, why) => {
            let why = unsuitable(words, &version.to_string(), why);
            html! { p.trouble role="alert" { (words.filled("brought-refused", &[("why", why.into())])) } }
        }
        BroughtSeen::Stale { version, expired } => {
            let version = version.to_string();
            let expired = words.day(local_s(*expired));
            let stale = [
                ("version", version.as_str().into()),
                ("expired", expired.into()),
            ];
            let text = words.filled("brought-stale-do", &[("version", version.as_str().into())]);
            html! {
                p.trouble role="alert" { (words.filled("brought-stale", &stale)) }
                (confirm(version, text))
            }
        }
    }
}

fn doing(words: &Words, doing: Doing) -> Option<String> {
    let key = match doing {
        Doing::Nothing => return None,
        Doing::Checking => "updates-checking",
        Doing::Fetching => "updates-fetching",
        Doing::Installing => "updates-installing",
        Doing::Restarting => "updates-restarting",
    };
    Some(words.text(key))
}

fn unsuitable(words: &Words, version: &str, why: &Unsuitable) -> String {
    let version = ("version", version.into());
    match why {
        Unsuitable::WrongBoard(board) => words.filled(
            "updates-wrong-board",
            &[version, ("board", board.as_str().into())],
        ),
        Unsuitable::NotNewer(_) => words.filled("updates-not-newer", &[version]),
        Unsuitable::NeedsAtLeast(first) => words.filled(
            "updates-needs",
            &[version, ("first", first.to_string().into())],
        ),
        Unsuitable::FailedBefore(failed) => words.filled(
            "updates-failed-before",
            &[version, ("failed", failed.to_string().into())],
        ),
    }
}

fn pausing(visit: &Visit, seen: &UpdatesSeen) -> Markup {
    let words = visit.words;
    let paused = seen.memory.paused_until.filter(|until| *until > now());
    html! {
        h2 { (words.text("updates-pause-title")) }
        @if let Some(until) = paused {
            p.note { (words.filled("updates-paused", &[("until", words.day(local_s(visit, until)).into())])) }
            (visit.small_form("/updates/resume", words.text("updates-resume")))
        } @else {
            p { (words.filled("updates-pause-hint", &[("days", PAUSE_DAYS_MAX.into())])) }
            (visit.form("/updates/pause", html! {
                label for="days" { (words.text("updates-pause-days")) }
                input #days type="number" name="days" min="1" max=(PAUSE_DAYS_MAX) value=(PAUSE_DAYS_USUAL) required;
                div.deeds { button type="submit" { (words.text("updates-pause")) } }
            }))
        }
    }
}

fn history(visit: &Visit, seen: &UpdatesSeen) -> Markup {
    let words = visit.words;
    let entries: Vec<&Entry> = seen.memory.history.iter().take(ENTRIES_SHOWN).collect();
    html! {
        h2 { (words.text("updates-history")) }
        @if entries.is_empty() { p { (words.text("updates-history-none")) } }
        @else {
            div.sheet { table {
                thead { tr {
                    th scope="col" { (words.text("updates-at")) }
                    th scope="col" { (words.text("updates-version")) }
                    th scope="col" { (words.text("updates-outcome")) }
                } }
                tbody {
                    @for entry in entries {
                        tr {
                            td { (words.moment(local_s(visit, entry.at))) }
                            td { (entry.version) }
                            td { (outcome(words, &entry.outcome)) }
                        }
                    }
                }
            } }
        }
    }
}

/// What became of a version, in words.
pub(crate) fn outcome(words: &Words, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Installed => words.text("outcome-installed"),
        Outcome::Good => words.text("outcome-good"),
        Outcome::Left => words.text("outcome-left"),
        Outcome::NotInstalled(why) => words.filled(
            "outcome-not-installed",
            &[("why", reasons::plain(words, why).into())],
        ),
        Outcome::Failed(why) => {
            words.filled("outcome-failed", &[("why", failure(words, why).into())])
        }
    }
}

fn failure(words: &Words, failure: &Failure) -> String {
    match failure {
        Failure::Silent => words.text("failure-silent"),
        Failure::Memory => words.text("failure-memory"),
        Failure::Unproved(proof, why) => {
            let what = words.text(proof_key(*proof));
            match why.is_empty() {
                true => what,
                false => format!("{what} ({})", reasons::plain(words, why)),
            }
        }
    }
}

fn proof_key(proof: Proof) -> &'static str {
    match proof {
        Proof::Archive => "proof-archive",
        Proof::SelfTest => "proof-self-test",
        Proof::Smtp => "proof-smtp",
        Proof::Page => "proof-page",
        Proof::Disks => "proof-disks",
        Proof::Clock => "proof-clock",
    }
}

fn going_back(visit: &Visit, seen: &UpdatesSeen) -> Markup {
    let words = visit.words;
    html! {
        @if let Some(too_old) = seen.too_old {
            h2 { (words.text("updates-back-title")) }
            p { (words.filled("updates-back-too-old", &[("version", too_old.to_string().into())])) }
        }
        @if let Some(before) = seen.before {
            @let version = [("version", before.to_string().into())];
            h2 { (words.text("updates-back-title")) }
            p { (words.filled("updates-back-hint", &version)) }
            @if seen.is_withdrawn { p.trouble role="alert" { (words.filled("updates-back-withdrawn", &version)) } }
            (visit.form("/updates/back", html! { div.deeds { button type="submit" { (words.filled("updates-back", &version)) } } }))
        }
    }
}

fn local_s(visit: &Visit, time: Time) -> i64 {
    visit.local_s(time.unix())
}

fn now() -> Time {
    std::time::SystemTime::now().into()
}
