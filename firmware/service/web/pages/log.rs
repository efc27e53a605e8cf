//! The audit log: who did what, when and from where, as far as the person may read it; the keeper decides how far that is.

use super::super::reasons;
use super::super::warnings::alarm_text;
use super::super::words::Words;
use super::super::{Response, visit::Visit};
use super::layout::{Width, encoded};
use super::log_words;
use super::people::names;
use crate::people::{AuditFilter, AuditPage};
use archive::people::AccountId;
use archive::{Event, EventKind};
use maud::{Markup, html};

/// 50 entries a page: some screens of a phone.
const PAGE_ENTRIES: u32 = 50;

/// 200 characters of what an entry says; command lines and queries can be longer.
const TEXT_CHARS_MAX: usize = 200;

/// Shows entries, the newest first.
pub(in super::super) fn show(visit: &Visit) -> Response {
    let Some(acting) = visit.acting() else {
        return visit.not_found();
    };
    let filter = filter(visit);
    match acting.audit_log(before(visit), PAGE_ENTRIES, filter.clone()) {
        Ok(page) => visit.page(
            200,
            &visit.words.text("log"),
            Width::Wide,
            content(visit, &filter, &page),
        ),
        Err(_) => visit.not_found(),
    }
}

/// Which entries are asked for.
pub(super) fn filter(visit: &Visit) -> AuditFilter {
    let account = visit.request.query_value("account").unwrap_or_default();
    AuditFilter {
        account: account.trim().to_owned(),
        kinds: Vec::new(),
    }
}

/// Before which number, if that is said.
pub(super) fn before(visit: &Visit) -> Option<u64> {
    visit.request.query_value("before")?.parse().ok()
}

fn content(visit: &Visit, filter: &AuditFilter, page: &AuditPage) -> Markup {
    let words = visit.words;
    let name = names(visit);
    let older = |before: u64| format!("/log?account={}&before={before}", encoded(&filter.account));
    let file = |form: &str| format!("/log/file/{form}?account={}", encoded(&filter.account));
    html! {
        p { (words.text("log-hint")) }
        form.search action="/log" {
            input type="search" name="account" value=(filter.account) aria-label=(words.text("log-account")) placeholder=(words.text("log-account")) autocapitalize="none" spellcheck="false";
            button type="submit" { (words.text("log-filter")) }
        }
        p.filters {
            a href=(file("csv")) { (words.text("log-csv")) }
            a href=(file("jsonl")) { (words.text("log-jsonl")) }
        }
        ol.hits.log { @for (number, at_us, event) in &page.entries {
            @if let Some(event) = store::decode_event(event) { (entry(visit, (*number, *at_us), &event, &name)) }
        } }
        nav.pages aria-label=(words.text("pages")) {
            span {}
            @if let Some(before) = page.before { a rel="next" href=(older(before)) { (words.text("page-next")) } }
        }
    }
}

fn entry(
    visit: &Visit,
    (number, at_us): (u64, i64),
    event: &Event,
    name: &dyn Fn(AccountId) -> String,
) -> Markup {
    let words = visit.words;
    let at = words.moment(visit.local_s(at_us.div_euclid(1_000_000)));
    let said = said(words, event, name).join(" – ");
    html! {
        li {
            strong { (kind_text(words, event.kind)) }
            span.when { (at) }
            @if !said.is_empty() { span.snippet { (said) } }
            span.snippet { (words.filled("log-entry", &[("number", words.number(number).into())])) }
        }
    }
}

/// Who, what, by which rule, and from what to what, as far as the entry says.
fn said(words: &Words, event: &Event, name: &dyn Fn(AccountId) -> String) -> Vec<String> {
    let who = [event.account.as_str(), event.peer.as_str()];
    let who: Vec<_> = who.into_iter().filter(|part| !part.is_empty()).collect();
    let mut said = vec![who.join(", "), text(words, event, name)];
    said.extend(rule(words, event));
    if !event.before.is_empty() || !event.after.is_empty() {
        said.push(format!("{} → {}", cut(&event.before), cut(&event.after)));
    }
    said.push(reason(words, event));
    if let [subject] = event.subjects[..] {
        said.push(words.filled("log-entry", &[("number", words.number(subject).into())]));
    }
    said.retain(|part| !part.is_empty());
    said
}

/// What an entry says: what Coffer wrote in the reader's language, what somebody typed as he did.
fn text(words: &Words, event: &Event, name: &dyn Fn(AccountId) -> String) -> String {
    let text = cut(&event.text);
    match event.kind {
        EventKind::Searched | EventKind::CommandRun => text,
        // An export's query; what else was handed out is not counted.
        EventKind::Exported if event.count.is_some() => text,
        EventKind::Alarm => match alarm_text(words, &event.rule) {
            Some(said) => format!("{said} [{text}]"),
            None => text,
        },
        _ => log_words::in_words(words, &text, name),
    }
}

/// Why: people's own words stay, those of disks are told in plain ones.
fn reason(words: &Words, event: &Event) -> String {
    let reason = cut(&event.reason);
    match event.kind {
        EventKind::MemberDetached | EventKind::Mended => reasons::plain(words, &reason),
        _ => reason,
    }
}

/// Who agreed to a change, or what else made it take effect later than at once.
fn rule(words: &Words, event: &Event) -> Option<String> {
    match event.rule.as_str() {
        "notice" => Some(words.text("log-rule-notice")),
        "shown to everybody" => Some(words.text("log-rule-shown")),
        _ if event.second_person.is_empty() => None,
        _ => {
            let who = ("who", event.second_person.as_str().into());
            Some(words.filled("log-agreed", &[who]))
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn kind_text(words: &Words, kind: EventKind) -> String {
    words.text(match kind {
        EventKind::ArchiveCreated => "event-archive-created",
        EventKind::Started => "event-started",
        EventKind::Stopped => "event-stopped",
        EventKind::CommandRun => "event-command-run",
        EventKind::Viewed => "event-viewed",
        EventKind::Searched => "event-searched",
        EventKind::Exported => "event-exported",
        EventKind::SignedIn => "event-signed-in",
        EventKind::SignInFailed => "event-sign-in-failed",
        EventKind::SettingChanged => "event-setting-changed",
        EventKind::AccountChanged => "event-account-changed",
        EventKind::KeyMade | EventKind::KeyChanged => "event-key",
        EventKind::MemberAttached => "event-member-attached",
        EventKind::MemberDetached => "event-member-detached",
        EventKind::Alarm => "event-alarm",
        EventKind::Verified => "event-verified",
        EventKind::Rebuilt => "event-rebuilt",
        EventKind::Mended => "event-mended",
        EventKind::ChangeProposed => "event-change-proposed",
        EventKind::ChangeApproved => "event-change-approved",
        EventKind::ChangeObjected => "event-change-objected",
        EventKind::ChangeDropped => "event-change-dropped",
        EventKind::NoticeGiven => "event-notice-given",
        EventKind::RegisterKept => "event-register-kept",
        EventKind::SessionEnded => "event-session-ended",
        EventKind::MailSent => "event-mail-sent",
        // What no version writes yet is called as in the format.
        other => return other.name().to_owned(),
    })
}
