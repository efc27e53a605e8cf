//! One's own account: what it is, its password, and where one is signed in.

use super::super::{Response, visit::Visit};
use super::layout::Width;
use super::people::role_name;
use super::sign_in::denied;
use crate::people::SessionFacts;
use archive::people::{Change, Step};
use maud::{Markup, html};

/// Shows the account.
pub(in super::super) fn show(visit: &Visit) -> Response {
    page(visit, html! {})
}

fn page(visit: &Visit, above: Markup) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let words = visit.words;
    let session = &person.session;
    let roles: Vec<_> = session
        .roles
        .iter()
        .map(|role| role_name(words, *role))
        .collect();
    let sessions = visit
        .site
        .people()
        .acting(person.token, &visit.peer)
        .sessions();
    let content = html! {
        (above)
        dl.facts {
            dt { (words.text("name")) } dd { (session.name) }
            dt { (words.text("roles")) }
            dd { @if roles.is_empty() { (words.text("no-role")) } @else { (roles.join(", ")) } }
        }
        @if session.old_mail_is_closed { (old_mail(visit)) }
        div.deeds {
            a.button.second href="/account/password" { (words.text("password-change")) }
            a.button.second href="/account/second-factor" { (words.text("second-factor")) }
            a.button.second href="/account/tokens" { (words.text("tokens")) }
            @if visit.may_read_mail() { a.button.second href="/exports" { (words.text("exports")) } }
        }
        h2 { (words.text("sessions")) }
        @for facts in sessions.unwrap_or_default() { (session_row(visit, &facts)) }
    };
    visit.page(200, &session.display_name, Width::Narrow, content)
}

/// Says that old mail is closed, and asks for it to be opened.
fn old_mail(visit: &Visit) -> Markup {
    let words = visit.words;
    html! {
        div.note {
            p { (words.text("old-mail-closed")) }
            (visit.form("/account/open-old-mail", html! {
                button.second type="submit" { (words.text("old-mail-ask")) }
            }))
        }
    }
}

/// Asks for old mail to be opened, which waits as all that lets somebody see more.
pub(in super::super) fn open_old_mail(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let acting = visit.site.people().acting(person.token, &visit.peer);
    let change = Change::Account(person.session.account, Step::OpenOldMail);
    let said = match acting.change(&change, "") {
        Ok(_) => html! { p.note role="status" { (visit.words.text("old-mail-asked")) } },
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "refused-unsound");
            visit.trouble(Some(&trouble))
        }
    };
    page(visit, said)
}

fn session_row(visit: &Visit, facts: &SessionFacts) -> Markup {
    let words = visit.words;
    let used = words.moment(visit.local_s(facts.used));
    let values = [
        ("peer", facts.visitor.peer.as_str().into()),
        ("used", used.into()),
    ];
    html! {
        div.sheet {
            p { (words.filled("session-used", &values)) }
            p.quiet { (facts.visitor.agent) }
            @if facts.is_this { p.good { (words.text("session-this")) } }
            @else {
                (visit.form("/account/end-session", html! {
                    input type="hidden" name="id" value=(facts.id);
                    button.second type="submit" { (words.text("session-end")) }
                }))
            }
        }
    }
}

/// Ends another session.
pub(in super::super) fn end_session(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let acting = visit.site.people().acting(person.token, &visit.peer);
    match acting.end_session(visit.request.form_value("id")) {
        Ok(()) => Response::see_other("/account"),
        Err(_) => visit.not_found(),
    }
}

/// Shows the form for another password.
pub(in super::super) fn password(visit: &Visit) -> Response {
    password_form(visit, 200, None)
}

/// Chooses another password.
pub(in super::super) fn choose_password(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let request = visit.request;
    let new = request.form_value("password");
    if new != request.form_value("password-again") {
        let trouble = visit.words.text("passwords-differ");
        return password_form(visit, 422, Some(&trouble));
    }
    let acting = visit.site.people().acting(person.token, &visit.peer);
    match acting.choose_password(request.form_value("old-password"), new) {
        Ok(()) => Response::see_other("/"),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "old-password-wrong");
            password_form(visit, 422, Some(&trouble))
        }
    }
}

fn password_form(visit: &Visit, status: u16, trouble: Option<&str>) -> Response {
    let words = visit.words;
    let must = visit
        .person
        .as_ref()
        .is_some_and(|person| person.session.must_choose_password);
    let content = html! {
        @if must { p.note { (words.text("must-choose-password")) } }
        (visit.trouble(trouble))
        (visit.form("/account/password", html! {
            label for="old-password" { (words.text("old-password")) }
            input #old-password name="old-password" type="password" required autocomplete="current-password";
            label for="password" { (words.text("new-password")) }
            p.hint #password-hint { (words.text("password-rule")) }
            input #password name="password" type="password" required minlength="12" autocomplete="new-password" aria-describedby="password-hint";
            label for="password-again" { (words.text("password-again")) }
            input #password-again name="password-again" type="password" required minlength="12" autocomplete="new-password";
            div.deeds { button type="submit" { (words.text("save")) } }
        }))
    };
    visit.page(
        status,
        &words.text("password-change"),
        Width::Narrow,
        content,
    )
}
