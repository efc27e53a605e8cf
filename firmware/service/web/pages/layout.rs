//! What every page has: head, top line, language switch; and the pieces that forms are made of.

use super::super::words::Language;
use super::super::{Response, visit::Visit};
use super::outgoing;
use crate::machine::UPLOAD_PIECE_BYTES;
use archive::people::Role;
use maud::{DOCTYPE, Markup, html};

/// How wide a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Width {
    /// For forms and reading.
    Narrow,
    /// For lists and mail.
    Wide,
}

impl Visit<'_> {
    /// Makes a page around its content.
    pub(in super::super) fn page(
        &self,
        status: u16,
        title: &str,
        width: Width,
        content: Markup,
    ) -> Response {
        let words = self.words;
        let html = html! {
            (DOCTYPE)
            html lang=(words.language.tag()) {
                (self.head(title))
                body {
                    a.skip href="#content" { (words.text("skip-to-content")) }
                    (self.top())
                    main #content .narrow[width == Width::Narrow] {
                        (self.standing())
                        h1 { (title) }
                        (content)
                    }
                    (self.end())
                }
            }
        };
        Response::page(status, html.into_string())
    }

    /// Makes a page that is to be printed: nothing but its content.
    pub(in super::super) fn bare_page(&self, title: &str, content: Markup) -> Response {
        let html = html! {
            (DOCTYPE)
            html lang=(self.words.language.tag()) {
                (self.head(title))
                body.bare { main #content { h1 { (title) } (content) } }
            }
        };
        Response::page(200, html.into_string())
    }

    fn head(&self, title: &str) -> Markup {
        let assets = &self.site.assets;
        html! {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – Coffer" }
                link rel="stylesheet" href=(assets.style);
                link rel="icon" type="image/svg+xml" href=(assets.icon);
                @if self.person.is_some() { script src=(assets.script) defer {} }
            }
        }
    }

    fn top(&self) -> Markup {
        let words = self.words;
        html! {
            header.top { div {
                a.brand href="/" { img src=(self.site.assets.icon) alt=""; "Coffer" }
                @if let Some(person) = &self.person {
                    nav aria-label=(words.text("navigation")) { (self.destinations()) }
                    div.who {
                        a href="/account" { (person.session.display_name) }
                        (self.small_form("/sign-out", words.text("sign-out")))
                    }
                }
            } }
        }
    }

    /// What everybody concerned is to know on whatever page: proposals that he may object to ([`archive::people`]).
    fn standing(&self) -> Markup {
        let words = self.words;
        let Some(session) = self.person.as_ref().map(|person| &person.session) else {
            return html! {};
        };
        let route = session.proposed_route.as_deref().map(outgoing::place);
        let count = [("count", session.objectionable.into())];
        html! {
            @if let Some(server) = route {
                p.note { (words.filled("standing-route", &[("server", server.into())])) " " a href="/people" { (words.text("standing-look")) } }
            }
            @if session.objectionable > 0 {
                p.note { (words.filled("standing-proposals", &count)) " " a href="/people" { (words.text("standing-look")) } }
            }
        }
    }

    fn destinations(&self) -> Markup {
        let words = self.words;
        html! {
            @if self.may_read_mail() { (self.destination("/search", words.text("search"))) }
            @if self.has(Role::Operator) {
                (self.destination("/state", words.text("state")))
                (self.destination("/setup", words.text("setup")))
                @if self.site.machine().is_some() {
                    (self.destination("/machine", words.text("machine")))
                    (self.destination("/updates", words.text("updates-title")))
                }
            }
            @if self.has(Role::Operator) || self.has(Role::PrivacyOfficer) { (self.destination("/people", words.text("people"))) }
            (self.destination("/log", words.text("log")))
        }
    }

    fn destination(&self, path: &str, name: String) -> Markup {
        let is_here = self.request.path == path;
        html! { a href=(path) aria-current=[is_here.then_some("page")] { (name) } }
    }

    fn end(&self) -> Markup {
        let words = self.words;
        let others = Language::ALL
            .into_iter()
            .filter(|other| *other != words.language);
        html! {
            footer.end { div {
                @for other in others {
                    a href={ "/language/" (other.tag()) "?back=" (encoded(&self.back())) } lang=(other.tag()) hreflang=(other.tag()) { (other.name()) }
                }
                @if self.site.is_claimed() { a href="/trust" { (words.text("trust-title")) } }
            } }
        }
    }

    /// Where the language switch comes back to: this page, or where its form lies.
    fn back(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.request.query)
            .finish();
        match query.as_str() {
            "" => self.request.path.clone(),
            query => format!("{}?{query}", self.request.path),
        }
    }

    /// Tells whether the person has a role.
    pub(in super::super) fn has(&self, role: Role) -> bool {
        let person = self.person.as_ref();
        person.is_some_and(|person| person.session.roles.contains(&role))
    }

    /// Tells whether the person has a role that reads mail, be it none at the moment.
    pub(in super::super) fn may_read_mail(&self) -> bool {
        self.has(Role::Staff) || self.has(Role::Auditor)
    }

    /// Makes a form that does something.
    pub(in super::super) fn form(&self, action: &str, content: Markup) -> Markup {
        html! {
            form method="post" action=(action) {
                input type="hidden" name="token" value=(self.form_token());
                (content)
            }
        }
    }

    /// Makes a form whose file the script sends in pieces; without it there is none.
    pub(in super::super) fn upload_form(&self, action: &str, content: Markup) -> Markup {
        html! {
            form hidden method="post" action=(action) data-upload=(UPLOAD_PIECE_BYTES) {
                input type="hidden" name="token" value=(self.form_token());
                (content)
            }
        }
    }

    /// Makes a form that is nothing but a button like a link.
    pub(in super::super) fn small_form(&self, action: &str, name: String) -> Markup {
        html! {
            form.plain method="post" action=(action) {
                input type="hidden" name="token" value=(self.form_token());
                button.link type="submit" { (name) }
            }
        }
    }

    /// Says in words what went wrong, above a form.
    pub(in super::super) fn trouble(&self, trouble: Option<&str>) -> Markup {
        html! { @if let Some(trouble) = trouble { p.trouble role="alert" { (trouble) } } }
    }

    /// A page that says that there is nothing here, or not for this person: which of the two is told to nobody.
    pub(in super::super) fn not_found(&self) -> Response {
        let words = self.words;
        let content =
            html! { p { (words.text("not-found")) } p { a href="/" { (words.text("to-start")) } } };
        self.page(404, &words.text("not-found-title"), Width::Narrow, content)
    }
}

/// Writes a SHA-256 as people compare it: pairs with colons, and a line breaks only between them.
pub(in super::super) fn fingerprint(digest: &[u8; 32]) -> Markup {
    html! {
        @for (place, byte) in digest.iter().enumerate() {
            @if place > 0 { ":" wbr; }
            (format!("{byte:02X}"))
        }
    }
}

/// Writes a text as a value in a query.
pub(in super::super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
