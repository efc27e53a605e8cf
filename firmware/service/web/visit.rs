//! One request with what the page knows of who sent it: language, session, and the secret that its forms carry.
//!
//! Forms are guarded twice (CSRF): the browser says where they come from (Fetch Metadata, or Origin), and they carry a token made of a cookie that
//! no other site can read or set.

use super::time_zone::TimeZone;
use super::words::{Language, Words};
use super::{Method, Request, Response, Site};
use crate::people::{Acting, Session, Token, Visitor};
use std::cell::OnceCell;

/// Holds the session's token. `__Host-` binds it to this host under TLS (RFC 6265bis §4.1.3.2).
const SESSION_COOKIE: &str = "__Host-coffer";

/// Holds random digits that forms before sign-in are bound to.
const FORM_COOKIE: &str = "__Host-coffer-form";

const LANGUAGE_COOKIE: &str = "__Host-coffer-language";

/// Lax: a link in a notice leads to the page as the person who is signed in, a form on another site does not.
const COOKIE_END: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

/// A year, in seconds, that a browser remembers the language.
const LANGUAGE_KEPT_S: u32 = 31_536_000;

/// 200 bytes of what a program calls itself are kept with a session.
const AGENT_BYTES_MAX: usize = 200;

/// A request and who sent it.
pub(super) struct Visit<'s> {
    pub(super) site: &'s Site,
    pub(super) request: &'s Request,
    pub(super) words: &'s Words,
    /// Whoever is signed in.
    pub(super) person: Option<Person>,
    /// What forms are bound to: the session, or else a cookie of the browser.
    secret: String,
    /// Whether the browser has that cookie already.
    has_secret: bool,
    /// The peer's address as text.
    pub(super) peer: String,
    /// The office's time zone, once it was asked for.
    pub(super) zone: OnceCell<TimeZone>,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) token: Token,
    pub(super) session: Session,
}

impl<'s> Visit<'s> {
    /// Looks at a request.
    pub(super) fn new(site: &'s Site, request: &'s Request) -> Self {
        let language = Language::of(request);
        let person = request.cookie(SESSION_COOKIE).and_then(|cookie| {
            let token: Token = cookie.parse().ok()?;
            let session = site.people().session(token).ok()?;
            Some(Person { token, session })
        });
        let given = match &person {
            Some(person) => Some(person.token.to_string()),
            None => request
                .cookie(FORM_COOKIE)
                .filter(|given| is_secret(given))
                .map(str::to_owned),
        };
        Self {
            site,
            request,
            words: site.catalogues.of(language),
            has_secret: given.is_some(),
            secret: given.unwrap_or_else(|| Token(store::random()).to_string()),
            person,
            peer: request.peer.to_string(),
            zone: OnceCell::new(),
        }
    }

    /// The person, to ask and act as: all that he sees of mail is asked for by this, so that it is in the log first.
    pub(super) fn acting(&self) -> Option<Acting<'_>> {
        let person = self.person.as_ref()?;
        Some(self.site.people().acting(person.token, &self.peer))
    }

    /// The token that every form carries.
    pub(super) fn form_token(&self) -> String {
        self.seal("form")
    }

    /// Digits that only this page can give for a text, and only to this browser; the cookie cannot be told from them.
    pub(super) fn seal(&self, text: &str) -> String {
        let digest = store::sha256(format!("coffer {text} {}", self.secret).as_bytes());
        digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Tells whether these are the digits of a text; nobody has any before the browser kept its cookie.
    pub(super) fn is_sealed(&self, text: &str, given: &str) -> bool {
        self.has_secret && is_same(given, &self.seal(text))
    }

    /// Tells whether a request that does something comes from a form of ours.
    pub(super) fn is_ours(&self) -> bool {
        let given = self.request.form_value("token");
        self.request.method == Method::Get
            || self.comes_from_here() && self.is_sealed("form", given)
    }

    fn comes_from_here(&self) -> bool {
        if let Some(site) = self.request.field("sec-fetch-site") {
            return site == "same-origin";
        }
        let host = self.request.field("host").unwrap_or_default();
        match self.request.field("origin") {
            Some(origin) => origin.strip_prefix("https://") == Some(host),
            // Programs that are no browsers say nothing, and carry no cookies of somebody else.
            None => true,
        }
    }

    /// From where somebody signs in.
    pub(super) fn visitor(&self) -> Visitor {
        let agent = self.request.field("user-agent").unwrap_or_default();
        let mut end = agent.len().min(AGENT_BYTES_MAX);
        while !agent.is_char_boundary(end) {
            end -= 1;
        }
        Visitor {
            peer: self.peer.clone(),
            agent: agent[..end].to_owned(),
        }
    }

    /// Adds the cookie that forms are bound to, for browsers that have none.
    pub(super) fn finish(&self, response: Response) -> Response {
        if self.has_secret || self.person.is_some() {
            return response;
        }
        response.with(
            "Set-Cookie",
            format!("{FORM_COOKIE}={}{COOKIE_END}", self.secret),
        )
    }
}

impl Language {
    /// What somebody chose, or else what the browser accepts.
    pub(super) fn of(request: &Request) -> Self {
        let chosen = request.cookie(LANGUAGE_COOKIE);
        chosen
            .and_then(Self::from_tag)
            .unwrap_or_else(|| Self::accepted(request.field("accept-language").unwrap_or_default()))
    }
}

/// The cookie of a session; it ends with the browser, or when the keeper says so.
pub(super) fn session_cookie(token: Token) -> String {
    format!("{SESSION_COOKIE}={token}{COOKIE_END}")
}

/// Takes the session's cookie away.
pub(super) fn no_session_cookie() -> String {
    format!("{SESSION_COOKIE}=; Max-Age=0{COOKIE_END}")
}

/// The cookie of a language.
pub(super) fn language_cookie(language: Language) -> String {
    let tag = language.tag();
    format!("{LANGUAGE_COOKIE}={tag}; Max-Age={LANGUAGE_KEPT_S}{COOKIE_END}")
}

fn is_secret(text: &str) -> bool {
    text.parse::<Token>().is_ok()
}

/// Compares the digests, so that time tells nothing about the texts.
fn is_same(given: &str, expected: &str) -> bool {
    store::sha256(given.as_bytes()) == store::sha256(expected.as_bytes())
}
