//! One's tokens for programs: made with the password, shown once, listed with their last use, and ended.

use super::super::{Response, visit::Visit};
use super::layout::Width;
use super::people::role_name;
use super::sign_in::denied;
use crate::people::{API_TOKEN_DAYS_MAX, ApiTokenFacts, ApiTokenTerms, Denial, Token};
use archive::people::{ApiScope, Refusal, Role};
use maud::{Markup, html};

/// Days until a token ends, of which one is chosen.
const DAYS: [u32; 4] = [30, 90, 180, API_TOKEN_DAYS_MAX];

/// Shows the list, and the form for another one.
pub(in super::super) fn show(visit: &Visit) -> Response {
    page(visit, 200, None, None)
}

/// Makes a token, which is shown on this one page only.
pub(in super::super) fn make(visit: &Visit) -> Response {
    let Some(acting) = visit.acting() else {
        return visit.not_found();
    };
    let request = visit.request;
    let Some((role, scope)) = bond(request.form_value("bond")) else {
        return visit.not_found();
    };
    let terms = ApiTokenTerms {
        name: request.form_value("name").to_owned(),
        role,
        scope,
        days: request.form_value("days").parse().unwrap_or(0),
    };
    match acting.make_api_token(terms, request.form_value("password")) {
        Ok(token) => page(visit, 200, None, Some(token)),
        Err(Denial::Refused(Refusal::Name)) => {
            refused(visit, &visit.words.text("token-name-wrong"))
        }
        Err(denial) => refused(visit, &denied(visit.words, &denial, "token-password-wrong")),
    }
}

fn refused(visit: &Visit, trouble: &str) -> Response {
    page(visit, 422, Some(trouble), None)
}

/// Ends a token.
pub(in super::super) fn end(visit: &Visit) -> Response {
    let id = visit.request.form_value("id");
    match visit.acting().map(|acting| acting.end_api_token(id)) {
        Some(Ok(())) => Response::see_other("/account/tokens"),
        _ => visit.not_found(),
    }
}

fn page(visit: &Visit, status: u16, trouble: Option<&str>, made: Option<Token>) -> Response {
    let (Some(acting), Some(person)) = (visit.acting(), &visit.person) else {
        return visit.not_found();
    };
    let words = visit.words;
    let bonds = bonds(&person.session.roles);
    let content = html! {
        (visit.trouble(trouble))
        @if let Some(token) = made {
            div.sheet {
                p { strong { (words.text("token-made")) } }
                p.mono { (token) }
            }
        }
        p { (words.text("tokens-hint")) " " a href="/api/v1/openapi.json" { "openapi.json" } }
        @for facts in acting.api_tokens().unwrap_or_default() { (row(visit, &facts)) }
        @if bonds.is_empty() { p.quiet { (words.text("token-no-role")) } } @else { (form(visit, &bonds)) }
    };
    visit.page(status, &words.text("tokens"), Width::Narrow, content)
}

/// What tokens of these roles can be bound to.
fn bonds(roles: &[Role]) -> Vec<(Role, ApiScope)> {
    let pairs = |role: &Role| ApiScope::ALL.map(|scope| (*role, scope));
    let all = roles.iter().flat_map(pairs);
    all.filter(|(role, scope)| scope.is_within(*role)).collect()
}

/// Reads what [`form`] writes: a role and a scope.
fn bond(text: &str) -> Option<(Role, ApiScope)> {
    let (role, scope) = text.split_once('/')?;
    Some((Role::from_name(role)?, ApiScope::from_name(scope)?))
}

fn form(visit: &Visit, bonds: &[(Role, ApiScope)]) -> Markup {
    let words = visit.words;
    html! {
        h2 { (words.text("token-new")) }
        (visit.form("/account/tokens/make", html! {
            label for="token-name" { (words.text("token-name")) }
            p.hint #token-name-hint { (words.text("token-name-hint")) }
            input #token-name name="name" type="text" required maxlength="100" aria-describedby="token-name-hint" autocomplete="off";
            label for="token-bond" { (words.text("token-bond")) }
            select #token-bond name="bond" {
                @for (role, scope) in bonds {
                    option value={ (role.name()) "/" (scope.name()) } { (scope_name(visit, *scope)) " – " (role_name(words, *role)) }
                }
            }
            label for="token-days" { (words.text("token-days")) }
            select #token-days name="days" {
                @for days in DAYS { option value=(days) { (words.filled("days", &[("days", days.into())])) } }
            }
            label for="token-password" { (words.text("password")) }
            input #token-password name="password" type="password" required autocomplete="current-password";
            div.deeds { button type="submit" { (words.text("token-make")) } }
        }))
    }
}

fn row(visit: &Visit, facts: &ApiTokenFacts) -> Markup {
    let words = visit.words;
    let moment = |unix_s| words.moment(visit.local_s(unix_s));
    let used = [
        ("used", moment(facts.used).into()),
        ("peer", facts.peer.as_str().into()),
    ];
    let until = [("until", moment(facts.until).into())];
    html! {
        div.sheet {
            p { strong { (facts.name) } }
            p { (scope_name(visit, facts.scope)) " – " (role_name(words, facts.role)) }
            p.quiet {
                @if facts.peer.is_empty() { (words.text("token-unused")) } @else { (words.filled("session-used", &used)) }
                " · " (words.filled("token-until", &until))
            }
            (visit.form("/account/tokens/end", html! {
                input type="hidden" name="id" value=(facts.id);
                button.second type="submit" { (words.text("token-end")) }
            }))
        }
    }
}

fn scope_name(visit: &Visit, scope: ApiScope) -> String {
    visit.words.text(match scope {
        ApiScope::Mail => "scope-mail",
        ApiScope::Health => "scope-health",
    })
}
