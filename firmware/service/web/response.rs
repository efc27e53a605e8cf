//! A response as handlers make it; what every response carries beside is added in one place, so that none forgets it.

use std::borrow::Cow;
use store::Body;

/// Nothing is loaded but from here, nothing is written into a page but by us, and no other page shows ours in a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A file of somebody's mail can do nothing, wherever a browser opens it. `default-src` says nothing of who frames it (CSP 3 §6.1).
pub(super) const FILE_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// What every response carries. The referrer goes to our own pages only: with `no-referrer` a browser would hide from us, too, where a
/// form came from (Fetch §3.2.5).
const FIELDS: [(&str, &str); 7] = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    // For browsers that know no frame-ancestors (RFC 7034).
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    (
        "Permissions-Policy",
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

/// Pages hold mail and forms, and are kept nowhere.
const NOT_KEPT: (&str, &str) = ("Cache-Control", "no-store");

/// The bytes of a response.
pub enum Content {
    /// In memory.
    Memory(Cow<'static, [u8]>),
    /// A message or a part of it, which may be large.
    Body(Body),
    /// So many bytes of one, from a byte on.
    Part {
        /// The whole.
        body: Body,
        /// The first byte.
        from: u64,
        /// How many.
        length_bytes: u64,
    },
}

/// A response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields but the length.
    pub fields: Vec<(&'static str, String)>,
    /// What follows.
    pub content: Content,
}

impl Response {
    /// Makes a response of a media type.
    pub fn new(
        status: u16,
        media_type: &'static str,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self {
            status,
            fields: Vec::new(),
            content: Content::Memory(bytes.into()),
        }
        .with("Content-Type", media_type)
    }

    /// Makes an HTML page.
    pub fn page(status: u16, html: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", html.into_bytes())
    }

    /// Makes a response of plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(
            status,
            "text/plain; charset=utf-8",
            text.into().into_bytes(),
        )
    }

    /// Sends the browser on to a path of ours, by GET.
    pub fn see_other(path: impl Into<String>) -> Self {
        Self::text(303, "").with("Location", path)
    }

    /// Adds a field, or puts it in the place of the one of that name.
    ///
    /// Characters that would end the field become `_`: no value can begin a field of its own.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let printable = |c: char| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '_'
            }
        };
        let value: String = value.into().chars().map(printable).collect();
        if !name.eq_ignore_ascii_case("Set-Cookie") {
            self.fields.retain(|(found, _)| *found != name);
        }
        self.fields.push((name, value));
        self
    }

    /// Gives the value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(found, _)| *found == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Adds what every response carries, unless the handler has said otherwise.
    pub fn finished(mut self) -> Self {
        for (name, value) in FIELDS.into_iter().chain([NOT_KEPT]) {
            if self.field(name).is_none() {
                self = self.with(name, value);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_begins_a_field_of_its_own() {
        for (value, expected) in [
            ("plain text", "plain text"),
            ("a\r\nSet-Cookie: x=y", "a__Set-Cookie: x=y"),
            ("a\nb\0c\u{85}d\u{2028}e", "a_b_c_d_e"),
        ] {
            let response = Response::text(200, "").with("X-Test", value);
            assert_eq!(response.field("X-Test"), Some(expected));
        }
    }

    #[test]
    fn what_every_response_carries_can_only_be_replaced() {
        let plain = Response::text(200, "").finished();
        assert_eq!(plain.field("Cache-Control"), Some("no-store"));
        let policy = plain.field("Content-Security-Policy").expect("a policy");
        assert!(!policy.contains("unsafe"), "{policy}");
        let asset = Response::text(200, "")
            .with("Cache-Control", "immutable")
            .finished();
        assert_eq!(asset.field("Cache-Control"), Some("immutable"));
        let names: Vec<_> = asset.fields.iter().map(|(name, _)| name).collect();
        assert!(names.contains(&&"X-Content-Type-Options"));
        let cookies = Response::text(200, "")
            .with("Set-Cookie", "a")
            .with("Set-Cookie", "b");
        assert_eq!(cookies.fields.len(), 3, "cookies add up");
    }
}
