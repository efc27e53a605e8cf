//! Taking several messages along: chosen ones or all that a search finds, as one file that is made while a page shows how far it is.
//!
//! Works without a script: the page of an export asks again by itself until the file is there. What is made, and for whom, is
//! [`crate::export`]'s.

use super::super::response::{Content, FILE_POLICY};
use super::super::{Response, visit::Visit};
use super::layout::Width;
use crate::export::{
    EXPORT_BYTES_MAX, EXPORT_MESSAGES_MAX, Job, JobFormat, JobState, JobTrouble, NotBegun, Order,
    Owner,
};
use crate::keeper::Failure;
use maud::{Markup, html};

/// 3 seconds until the page of an export asks again.
const REFRESH_S: &str = "3";

/// 500 messages are chosen on a page at most; a page of results has 25.
const CHOSEN_MAX: usize = 500;

impl Visit<'_> {
    /// The person as the owner of exports.
    pub(in super::super) fn owner(&self) -> Option<Owner> {
        let person = self.person.as_ref()?;
        Some(Owner {
            account: person.session.account,
            asker: person.session.asker.clone(),
            token: person.token,
            peer: self.peer.clone(),
        })
    }
}

/// What stands below results, within the form that holds their check boxes.
pub(super) fn deeds(visit: &Visit, count: u64) -> Markup {
    let words = visit.words;
    let all = [
        ("count", count.into()),
        ("shown", words.number(count).into()),
    ];
    html! {
        details.quiet {
            summary { (words.text("take-along")) }
            p.hint { (words.text("take-along-hint")) }
            fieldset {
                legend { (words.text("take-which")) }
                label.choice { input type="radio" name="which" value="chosen" checked; (words.text("take-chosen")) }
                label.choice { input type="radio" name="which" value="all"; (words.filled("take-all", &all)) }
            }
            fieldset {
                legend { (words.text("take-format")) }
                label.choice { input type="radio" name="format" value="zip" checked; (words.text("take-zip")) }
                label.choice { input type="radio" name="format" value="mbox"; (words.text("take-mbox")) }
            }
            div.deeds { button type="submit" { (words.text("take-do")) } }
        }
    }
}

/// Begins an export.
pub(in super::super) fn begin(visit: &Visit) -> Response {
    let Some(owner) = visit.owner() else {
        return visit.not_found();
    };
    let request = visit.request;
    let numbers = match request.form_value("which") {
        "all" => None,
        _ => Some(chosen(visit)),
    };
    let Some(format) = JobFormat::from_name(request.form_value("format")) else {
        return visit.not_found();
    };
    if numbers.as_ref().is_some_and(Vec::is_empty) {
        return list(visit, 422, Some("take-nothing"));
    }
    let order = Order {
        query: request.form_value("q").to_owned(),
        numbers,
        format,
    };
    match visit.site.exports.begin(owner, order) {
        Ok(id) => Response::see_other(format!("/exports/{id}")),
        Err(NotBegun::Query) => list(visit, 422, Some("query-wrong")),
        Err(NotBegun::Busy) => list(visit, 503, Some("export-busy")),
    }
}

fn chosen(visit: &Visit) -> Vec<u64> {
    let form = visit.request.form.iter();
    let chosen = form.filter(|(name, _)| name == "number");
    let numbers = chosen.filter_map(|(_, number)| number.parse().ok());
    numbers.take(CHOSEN_MAX).collect()
}

/// Lists the exports of the person.
pub(in super::super) fn show_all(visit: &Visit) -> Response {
    list(visit, 200, None)
}

fn list(visit: &Visit, status: u16, trouble: Option<&str>) -> Response {
    let Some(owner) = visit.owner() else {
        return visit.not_found();
    };
    let words = visit.words;
    let jobs = visit.site.exports.list(&owner);
    let trouble = trouble.map(|key| words.text(key));
    let bounds = [
        ("count", words.number(EXPORT_MESSAGES_MAX as u64).into()),
        ("size", words.size(EXPORT_BYTES_MAX).into()),
    ];
    let content = html! {
        (visit.trouble(trouble.as_deref()))
        p { (words.filled("exports-hint", &bounds)) }
        @for job in &jobs { div.sheet { (job_sheet(visit, job)) } }
        @if jobs.is_empty() { p { (words.text("exports-none")) } p { a href="/search" { (words.text("search")) } } }
    };
    visit.page(status, &words.text("exports"), Width::Narrow, content)
}

/// Shows one export; the page asks again by itself while it is being made.
pub(in super::super) fn show(visit: &Visit, id: &str) -> Response {
    let job = visit
        .owner()
        .and_then(|owner| visit.site.exports.job(&owner, id));
    let Some(job) = job else {
        return visit.not_found();
    };
    let words = visit.words;
    let content = html! {
        div.sheet { (job_sheet(visit, &job)) }
        p { a href="/exports" { (words.text("exports")) } }
    };
    let response = visit.page(200, &words.text("export"), Width::Narrow, content);
    match job.state {
        JobState::Waiting | JobState::Running { .. } => response.with("Refresh", REFRESH_S),
        JobState::Done { .. } | JobState::BrokenOff(_) => response,
    }
}

fn job_sheet(visit: &Visit, job: &Job) -> Markup {
    let words = visit.words;
    let what = match &job.order.numbers {
        Some(numbers) => words.filled("export-chosen", &[("count", numbers.len().into())]),
        None if job.order.query.is_empty() => words.text("export-everything"),
        None => words.filled(
            "export-found",
            &[("query", job.order.query.as_str().into())],
        ),
    };
    let path = format!("/exports/{}", job.id);
    html! {
        p { strong { (what) } " · " (job.order.format.name()) }
        (state(visit, job, &path))
    }
}

fn state(visit: &Visit, job: &Job, path: &str) -> Markup {
    let words = visit.words;
    match &job.state {
        JobState::Waiting => html! {
            p role="status" { (words.text("export-waits")) }
            (deed(visit, path, "cancel", "export-cancel"))
        },
        JobState::Running { done, total } => {
            let values = [
                ("done", words.number(*done).into()),
                ("total", words.number(*total).into()),
            ];
            html! {
                p role="status" { (words.filled("export-runs", &values)) }
                @if *total > 0 { progress value=(done) max=(total) aria-label=(words.text("export")) {} }
                (deed(visit, path, "cancel", "export-cancel"))
            }
        }
        JobState::Done {
            messages,
            left_out,
            file_bytes,
        } => {
            let values = [
                ("count", (*messages).into()),
                ("shown", words.number(*messages).into()),
                ("size", words.size(*file_bytes).into()),
            ];
            html! {
                p.good role="status" { (words.filled("export-done", &values)) }
                @if *left_out > 0 { p.note { (words.filled("export-left-out", &[("count", (*left_out).into())])) } }
                p.quiet { (words.text("export-kept")) }
                div.deeds { a.button href={ (path) "/file" } { (words.text("export-fetch")) } }
                (deed(visit, path, "cancel", "export-remove"))
            }
        }
        JobState::BrokenOff(trouble) => html! {
            p.note role="status" { (words.text(trouble_key(*trouble))) }
            (deed(visit, path, "again", "export-again"))
        },
    }
}

fn trouble_key(trouble: JobTrouble) -> &'static str {
    match trouble {
        JobTrouble::Cancelled => "export-cancelled",
        JobTrouble::TooMany => "export-too-many",
        JobTrouble::TooLarge => "export-too-large",
        JobTrouble::NoRoom => "export-no-room",
        JobTrouble::SignedOut => "export-signed-out",
        JobTrouble::Failed => "archive-failed",
    }
}

fn deed(visit: &Visit, path: &str, deed: &str, name: &str) -> Markup {
    let button = html! { div.deeds { button.second type="submit" { (visit.words.text(name)) } } };
    visit.form(&format!("{path}/{deed}"), button)
}

/// Ends an export or begins it anew.
pub(in super::super) fn act(visit: &Visit, id: &str, deed: &str) -> Response {
    let Some(owner) = visit.owner() else {
        return visit.not_found();
    };
    let exports = &visit.site.exports;
    let is_done = match deed {
        "cancel" => exports.cancel(&owner, id),
        "again" => exports.again(&owner, id),
        _ => false,
    };
    if is_done {
        Response::see_other(format!("/exports/{id}"))
    } else {
        visit.not_found()
    }
}

/// Hands the file of an export out.
pub(in super::super) fn file(visit: &Visit, id: &str) -> Response {
    let fetched = match visit.owner() {
        Some(owner) => visit.site.exports.fetch(&owner, id),
        None => return visit.not_found(),
    };
    match fetched {
        Ok((body, name)) => {
            let mut response = Response::new(200, "application/octet-stream", &b""[..])
                .with(
                    "Content-Disposition",
                    format!("attachment; filename=\"{name}\""),
                )
                .with("ETag", format!("\"{name}\""))
                .with("Content-Security-Policy", FILE_POLICY);
            response.content = Content::Body(body);
            response
        }
        Err(Failure::NotFound(_)) => visit.not_found(),
        Err(failure) => visit.failed(&failure),
    }
}
