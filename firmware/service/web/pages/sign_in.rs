//! Signing in, with a code where the person has a second factor, and signing out.

use super::super::visit::{Visit, no_session_cookie, session_cookie};
use super::super::{Response, words::Words};
use super::layout::{Width, encoded};
use crate::people::{Denial, Entered, Entering, Secret, Token};
use archive::people::{PasswordWeakness, Refusal};
use maud::html;

/// Shows the form.
pub(in super::super) fn show(visit: &Visit) -> Response {
    form(visit, 200, None)
}

/// Takes name and password.
pub(in super::super) fn sign_in(visit: &Visit) -> Response {
    let request = visit.request;
    let entering = Entering {
        name: request.form_value("name").trim().to_owned(),
        password: Secret(request.form_value("password").to_owned()),
        visitor: visit.visitor(),
    };
    match visit.site.people().sign_in(entering) {
        Ok(Entered::In { token, .. }) => welcome(token, &next(visit)),
        Ok(Entered::NeedsCode(pending)) => code_form(visit, 200, pending, None),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "sign-in-wrong");
            form(visit, 422, Some(&trouble))
        }
    }
}

/// Takes the code of the second factor.
pub(in super::super) fn second_factor(visit: &Visit) -> Response {
    let request = visit.request;
    let Ok(pending) = request.form_value("pending").parse::<Token>() else {
        return Response::see_other("/sign-in");
    };
    let code = request.form_value("code");
    let entered = visit
        .site
        .people()
        .second_factor(pending, code, visit.visitor());
    match entered {
        Ok(Entered::In { token, .. }) => welcome(token, &next(visit)),
        Ok(Entered::NeedsCode(pending)) => code_form(visit, 200, pending, None),
        Err(Denial::NotSignedIn) => {
            let trouble = visit.words.text("sign-in-again");
            form(visit, 422, Some(&trouble))
        }
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "code-wrong");
            code_form(visit, 422, pending, Some(&trouble))
        }
    }
}

/// Ends the session.
pub(in super::super) fn sign_out(visit: &Visit) -> Response {
    if let Some(person) = &visit.person {
        let acting = visit.site.people().acting(person.token, &visit.peer);
        if let Err(denial) = acting.sign_out() {
            tracing::warn!(%denial, "a session could not be ended");
        }
    }
    Response::see_other("/sign-in").with("Set-Cookie", no_session_cookie())
}

/// Sends whoever has just come in on, with a session that did not exist before.
pub(in super::super) fn welcome(token: Token, next: &str) -> Response {
    Response::see_other(next).with("Set-Cookie", session_cookie(token))
}

/// Sends somebody who is not signed in to the form, and back afterwards.
pub(in super::super) fn first(visit: &Visit) -> Response {
    match visit.request.path.as_str() {
        "/" => Response::see_other("/sign-in"),
        path => Response::see_other(format!("/sign-in?next={}", encoded(path))),
    }
}

/// Says in words why something was refused; `wrong` is what a wrong name, password or code is called here.
pub(in super::super) fn denied(words: &Words, denial: &Denial, wrong: &'static str) -> String {
    let key = match denial {
        Denial::Wrong => wrong,
        Denial::Wait { seconds } => {
            return words.filled("wait", &[("seconds", (*seconds).into())]);
        }
        Denial::NotSignedIn => "sign-in-again",
        Denial::MustChoosePassword => "must-choose-password",
        Denial::Claim => "claimed-already",
        Denial::Weak(weakness) => weakness_key(*weakness),
        Denial::Refused(refusal) => refusal_key(*refusal),
        Denial::Failed(failure) => {
            tracing::error!(%failure, "the page could not do what was asked");
            "archive-failed"
        }
    };
    words.text(key)
}

fn weakness_key(weakness: PasswordWeakness) -> &'static str {
    match weakness {
        PasswordWeakness::Short => "password-short",
        PasswordWeakness::Long => "password-long",
        PasswordWeakness::Name => "password-name",
        PasswordWeakness::Repeats => "password-repeats",
        PasswordWeakness::Row => "password-row",
        PasswordWeakness::Common => "password-common",
    }
}

/// The key of what a refusal says.
pub(super) fn refusal_key(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::MayNot => "refused-may-not",
        Refusal::Unknown => "refused-unknown",
        Refusal::Unsound => "refused-unsound",
        Refusal::Name => "refused-name",
        Refusal::Roles => "refused-roles",
        Refusal::LastOperator => "refused-last-operator",
        Refusal::NoOfficer => "refused-no-officer",
        Refusal::NotSecond => "refused-not-second",
        Refusal::NoOwnPassword => "refused-no-own-password",
        Refusal::Waiting => "refused-waiting",
        Refusal::TooMany => "refused-too-many",
    }
}

/// Where somebody wanted to go before; only to a path of ours.
fn next(visit: &Visit) -> String {
    let wanted = visit.request.query_value("next").unwrap_or_default();
    local_path(wanted).unwrap_or("/").to_owned()
}

/// Gives a path if it is one on this host: browsers take `//` and `/\` for another one.
pub(in super::super) fn local_path(path: &str) -> Option<&str> {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    is_local.then_some(path)
}

fn action(visit: &Visit, path: &str) -> String {
    match next(visit).as_str() {
        "/" => path.to_owned(),
        next => format!("{path}?next={}", encoded(next)),
    }
}

fn form(visit: &Visit, status: u16, trouble: Option<&str>) -> Response {
    let words = visit.words;
    let content = html! {
        (visit.trouble(trouble))
        (visit.form(&action(visit, "/sign-in"), html! {
            label for="name" { (words.text("name")) }
            input #name name="name" type="text" required autofocus autocomplete="username" autocapitalize="none" spellcheck="false" value=(visit.request.form_value("name"));
            label for="password" { (words.text("password")) }
            input #password name="password" type="password" required autocomplete="current-password";
            div.deeds { button type="submit" { (words.text("sign-in")) } }
        }))
        p.hint { (words.text("sign-in-hint")) }
    };
    visit.page(status, &words.text("sign-in"), Width::Narrow, content)
}

fn code_form(visit: &Visit, status: u16, pending: Token, trouble: Option<&str>) -> Response {
    let words = visit.words;
    let content = html! {
        (visit.trouble(trouble))
        (visit.form(&action(visit, "/sign-in/code"), html! {
            input type="hidden" name="pending" value=(pending);
            label for="code" { (words.text("code")) }
            p.hint #code-hint { (words.text("code-hint")) }
            input.code #code name="code" type="text" required autofocus inputmode="numeric" autocomplete="one-time-code" aria-describedby="code-hint";
            div.deeds { button type="submit" { (words.text("sign-in")) } }
        }))
    };
    visit.page(status, &words.text("code-title"), Width::Narrow, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for (path, is_local) in [
            ("/", true),
            ("/message/7?q=a%20b", true),
            ("", false),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
            ("/a\r\nSet-Cookie: x", false),
            ("/ä", false),
        ] {
            assert_eq!(local_path(path).is_some(), is_local, "{path}");
        }
    }
}
