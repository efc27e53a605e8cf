//! The first page of a new archive, and the only one until somebody has shown the claim code: it makes the first operator.

use super::super::{Response, visit::Visit};
use super::layout::Width;
use super::sign_in;
use crate::people::{Entered, Entering, Secret};
use maud::html;

/// Shows the form.
pub(in super::super) fn show(visit: &Visit) -> Response {
    form(visit, 200, None)
}

/// Claims the archive.
pub(in super::super) fn claim(visit: &Visit) -> Response {
    let request = visit.request;
    let password = request.form_value("password");
    if password != request.form_value("password-again") {
        let trouble = visit.words.text("passwords-differ");
        return form(visit, 422, Some(&trouble));
    }
    let entering = Entering {
        name: request.form_value("name").trim().to_owned(),
        password: Secret(password.to_owned()),
        visitor: visit.visitor(),
    };
    match visit
        .site
        .people()
        .claim(request.form_value("code"), entering)
    {
        Ok(Entered::In { token, .. }) => {
            visit.site.was_claimed();
            sign_in::welcome(token, "/setup")
        }
        Ok(Entered::NeedsCode(_)) => Response::see_other("/sign-in"),
        Err(denial) => {
            let trouble = sign_in::denied(visit.words, &denial, "claim-wrong");
            form(visit, 422, Some(&trouble))
        }
    }
}

fn form(visit: &Visit, status: u16, trouble: Option<&str>) -> Response {
    let words = visit.words;
    let content = html! {
        p { (words.text("claim-welcome")) }
        (visit.trouble(trouble))
        (visit.form("/claim", html! {
            label for="code" { (words.text("claim-code")) }
            p.hint #code-hint { (words.text("claim-code-hint")) }
            input.code #code name="code" type="text" required autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="code-hint" value=(visit.request.form_value("code"));
            h2 { (words.text("claim-administrator")) }
            p.hint { (words.text("claim-administrator-hint")) }
            label for="name" { (words.text("name")) }
            input #name name="name" type="text" required autocomplete="username" autocapitalize="none" spellcheck="false" value=(visit.request.form_value("name"));
            label for="password" { (words.text("password")) }
            p.hint #password-hint { (words.text("password-rule")) }
            input #password name="password" type="password" required minlength="12" autocomplete="new-password" aria-describedby="password-hint";
            label for="password-again" { (words.text("password-again")) }
            input #password-again name="password-again" type="password" required minlength="12" autocomplete="new-password";
            div.deeds { button type="submit" { (words.text("claim-do")) } }
        }))
    };
    visit.page(status, &words.text("claim-title"), Width::Narrow, content)
}
