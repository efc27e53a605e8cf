//! What programs ask under `/api/v1`: search, messages, proofs, exports and health as JSON, described by `openapi.json`; and `/metrics`.
//!
//! Whoever asks has a token (`Authorization: Bearer`, RFC 6750); cookies are never read here, so that no page of another site can ask in
//! somebody's name. What a token sees is decided where it is for the page, and is in the log first, as for the page.
//! Whatever goes wrong is a problem in plain words (RFC 9457).

mod exports;
mod health;
mod messages;
mod metrics;
mod pace;
mod problem;
mod search;
#[cfg(test)]
mod tests;

pub(super) use pace::Pace;

use super::{Method, Request, Response, Site};
use crate::people::{Acting, ApiAccess, Denial, Token};
use archive::people::ApiScope;
use problem::Problem;
use serde_json::Value;
use std::time::Instant;

/// The description of all of it (OpenAPI 3.1).
const DESCRIPTION: &str = include_str!("openapi.json");

/// Where all of it lies.
const ROOT: &str = "/api/v1/";

/// What answers a call.
type Handler = fn(&Call<'_>) -> Result<Response, Problem>;

/// A way to ask: method, path below the root with `{}` for a value, what a token must be for, and who answers.
struct Route {
    method: Method,
    path: &'static str,
    scope: ApiScope,
    handler: Handler,
}

/// Everything that can be asked; the description has the same, as a test holds.
const ROUTES: [Route; 10] = [
    route(Method::Get, "search", ApiScope::Mail, search::search),
    route(
        Method::Get,
        "messages/{number}",
        ApiScope::Mail,
        messages::facts_of,
    ),
    route(
        Method::Get,
        "messages/{number}/raw",
        ApiScope::Mail,
        messages::raw,
    ),
    route(
        Method::Get,
        "messages/{number}/proof",
        ApiScope::Mail,
        messages::proof,
    ),
    route(Method::Get, "exports", ApiScope::Mail, exports::list),
    route(Method::Post, "exports", ApiScope::Mail, exports::begin),
    route(Method::Get, "exports/{id}", ApiScope::Mail, exports::show),
    route(
        Method::Get,
        "exports/{id}/file",
        ApiScope::Mail,
        exports::file,
    ),
    route(
        Method::Post,
        "exports/{id}/cancel",
        ApiScope::Mail,
        exports::cancel,
    ),
    route(Method::Get, "health", ApiScope::Health, health::health),
];

const fn route(method: Method, path: &'static str, scope: ApiScope, handler: Handler) -> Route {
    Route {
        method,
        path,
        scope,
        handler,
    }
}

/// One call of a program whose token was found good.
struct Call<'c> {
    site: &'c Site,
    request: &'c Request,
    token: Token,
    peer: String,
    access: ApiAccess,
    /// The value in the path, if it has one.
    value: &'c str,
}

impl Call<'_> {
    /// The person of the token, to ask as.
    fn acting(&self) -> Acting<'_> {
        self.site.people().acting(self.token, &self.peer)
    }

    /// Gives a parameter after the question mark.
    ///
    /// # Errors
    /// 400 when it is there twice: nobody knows which is meant.
    fn parameter(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut found = self.request.query.iter().filter(|(found, _)| found == name);
        let value = found.next().map(|(_, value)| value.as_str());
        match found.next() {
            None => Ok(value),
            Some(_) => Err(Problem::new(400, format!("there may be only one: {name}"))),
        }
    }
}

/// Answers what programs ask.
pub(super) fn answer(site: &Site, request: &Request) -> Response {
    let answer = match request.path.strip_prefix(ROOT) {
        Some("openapi.json") if request.method == Method::Get => Ok(Response::new(
            200,
            "application/json",
            DESCRIPTION.as_bytes(),
        )),
        Some(path) => called(site, request, path),
        None if request.path == "/metrics" => metrics::metrics(site, request),
        None => Err(Problem::not_found()),
    };
    answer.unwrap_or_else(Problem::into_response)
}

fn called(site: &Site, request: &Request, path: &str) -> Result<Response, Problem> {
    let mut routes = ROUTES
        .iter()
        .filter_map(|route| Some((route, value_in(path, route.path)?)))
        .peekable();
    if routes.peek().is_none() {
        return Err(Problem::not_found());
    }
    let peer = request.peer.to_string();
    let (token, access) = access(site, request, &peer)?;
    let (route, value) = routes
        .find(|(route, _)| route.method == request.method)
        .ok_or_else(|| wrong_method(&request.path))?;
    if access.scope != route.scope {
        return Err(Problem::new(403, "the token is not for this"));
    }
    (route.handler)(&Call {
        site,
        request,
        token,
        peer,
        access,
        value,
    })
}

/// Refuses a method that nothing here speaks, in the words of what programs ask.
pub(super) fn refuse_method(path: &str) -> Response {
    wrong_method(path).into_response()
}

fn wrong_method(path: &str) -> Problem {
    let path = path.strip_prefix(ROOT).unwrap_or_default();
    let spoken = ROUTES
        .iter()
        .filter(|route| value_in(path, route.path).is_some())
        .map(|route| match route.method {
            Method::Get => "GET, HEAD",
            Method::Post => "POST",
        });
    let spoken: Vec<_> = spoken.collect();
    // What is no route is the description or the figures, which are only read.
    Problem::method(if spoken.is_empty() {
        "GET, HEAD".to_owned()
    } else {
        spoken.join(", ")
    })
}

/// Finds out whose token it is, and whether it asks too often.
fn access(site: &Site, request: &Request, peer: &str) -> Result<(Token, ApiAccess), Problem> {
    let unknown = || {
        let pace = site.pace.asks(peer, Instant::now());
        pace.err().unwrap_or_else(Problem::no_token)
    };
    let token = bearer(request).ok_or_else(unknown)?;
    match site.people().api_access(token, peer) {
        Ok(access) => {
            site.pace.asks(&access.id, Instant::now())?;
            Ok((token, access))
        }
        Err(Denial::NotSignedIn) => Err(unknown()),
        Err(denial) => Err(denial.into()),
    }
}

fn bearer(request: &Request) -> Option<Token> {
    let (scheme, token) = request.field("authorization")?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().parse().ok()).flatten()
}

/// Gives the value of a path that has this form; empty when the form has none.
fn value_in<'p>(path: &'p str, form: &str) -> Option<&'p str> {
    let mut value = "";
    let mut parts = path.split('/');
    for expected in form.split('/') {
        let part = parts.next()?;
        if expected.starts_with('{') {
            value = part;
        } else if part != expected {
            return None;
        }
    }
    (parts.next().is_none()).then_some(value)
}

fn json(status: u16, value: &Value) -> Response {
    Response::new(status, "application/json", value.to_string().into_bytes())
}
