//! Accounts from a table (CSV): first shown line by line what would happen, then done by a button.
//!
//! Each line is done as if by hand, so that its rights wait as long; the keeper does it, the page only says what.

use super::super::{Response, visit::Visit};
use super::layout::Width;
use super::people::change_text;
use super::sign_in::{denied, refusal_key};
use crate::people::{ImportedLine, ImportedStep};
use archive::people::{AccountId, Change, LineFault};
use maud::{Markup, html};

/// Shows where a table is put in.
pub(in super::super) fn show(visit: &Visit) -> Response {
    page(visit, 200, "", html! {})
}

/// Says what a table would do, or does it.
pub(in super::super) fn act(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let table = visit.request.form_value("table");
    if table.trim().is_empty() {
        let trouble = visit.words.text("table-empty");
        return page(visit, 422, "", visit.trouble(Some(&trouble)));
    }
    let is_trial = visit.request.form_value("deed") != "do";
    let acting = visit.site.people().acting(person.token, &visit.peer);
    match acting.import(table, is_trial) {
        Ok(lines) if is_trial => page(visit, 200, table, planned(visit, table, &lines)),
        Ok(lines) => done(visit, &lines),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "refused-unsound");
            page(visit, 422, table, visit.trouble(Some(&trouble)))
        }
    }
}

fn page(visit: &Visit, status: u16, table: &str, above: Markup) -> Response {
    let words = visit.words;
    let content = html! {
        (above)
        p { (words.text("table-hint")) }
        pre.table tabindex="0" { (words.text("table-example")) }
        (visit.form("/people/table", html! {
            label for="table" { (words.text("table-field")) }
            p.hint #table-hint { (words.text("table-field-hint")) }
            textarea #table name="table" rows="12" required spellcheck="false" autocapitalize="none" aria-describedby="table-hint" { (table) }
            // The script shows it, and puts the file's text into the field.
            div hidden { label for="file" { (words.text("table-file")) } input #file type="file" accept=".csv,.txt,text/csv" data-into="table"; }
            div.deeds {
                button type="submit" { (words.text("table-try")) }
                a.button.second href="/people" { (words.text("later")) }
            }
        }))
    };
    visit.page(status, &words.text("table-title"), Width::Wide, content)
}

/// What would happen, and the button that does it.
fn planned(visit: &Visit, table: &str, lines: &[ImportedLine]) -> Markup {
    let words = visit.words;
    let does_something = lines.iter().any(|line| !line.steps.is_empty());
    html! {
        section.sheet {
            h2 { (words.text("table-planned")) }
            (report(visit, lines))
            @if does_something {
                (visit.form("/people/table", html! {
                    input type="hidden" name="deed" value="do";
                    input type="hidden" name="table" value=(table);
                    div.deeds { button type="submit" { (words.text("table-do")) } }
                }))
            }
        }
    }
}

fn done(visit: &Visit, lines: &[ImportedLine]) -> Response {
    let words = visit.words;
    let content = html! {
        p.note.good role="status" { (words.text("table-done")) }
        (report(visit, lines))
        div.deeds { a.button href="/people" { (words.text("people")) } }
    };
    visit.page(200, &words.text("table-title"), Width::Wide, content)
}

fn report(visit: &Visit, lines: &[ImportedLine]) -> Markup {
    let words = visit.words;
    let waits = |line: &ImportedLine| {
        let mut steps = line.steps.iter();
        steps.any(|step| matches!(step, ImportedStep::Waits(_)))
    };
    html! {
        div.wide { table {
            thead { tr {
                th scope="col" { (words.text("table-line")) }
                th scope="col" { (words.text("name")) }
                th scope="col" { (words.text("table-what")) }
            } }
            tbody { @for line in lines { tr {
                td { (line.line) }
                th scope="row" { (line.name) }
                td {
                    @for step in &line.steps { div { (step_text(visit, line, step)) } }
                    @if let Some(fault) = &line.fault { div.bad { (fault_text(visit, fault)) } }
                    @else if line.steps.is_empty() { (words.text("table-nothing")) }
                }
            } } }
        } }
        @if lines.iter().any(waits) { p.quiet { (words.text("proposals-hint")) } }
    }
}

fn step_text(visit: &Visit, line: &ImportedLine, step: &ImportedStep) -> String {
    let words = visit.words;
    let (key, record) = match step {
        ImportedStep::Made => return words.text("table-made"),
        ImportedStep::Done(record) => ("table-at-once", record),
        ImportedStep::Waits(record) => ("table-waits", record),
    };
    let name = |_: AccountId| line.name.clone();
    let change = Change::from_record(record);
    let change = change.map_or_else(|_| record.clone(), |one| change_text(visit, &one, &name));
    words.filled(key, &[("change", change.into())])
}

fn fault_text(visit: &Visit, fault: &LineFault) -> String {
    let words = visit.words;
    match fault {
        LineFault::NoNameColumn => words.text("table-no-name"),
        LineFault::TooManyLines => words.text("table-long"),
        LineFault::OpenQuote => words.text("table-quote"),
        LineFault::UnknownRole(role) => {
            words.filled("table-role", &[("role", role.as_str().into())])
        }
        LineFault::Refused(refusal) => words.text(refusal_key(*refusal)),
    }
}
