//! A request as handlers see it: method, path, values, and who sent it.

use std::net::IpAddr;

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// See something; it changes nothing that a second time would change again.
    Get,
    /// Do something.
    Post,
}

/// A request; its body, if any, was a form unless it is for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it wants.
    pub method: Method,
    /// The path as it came, percent signs included.
    pub path: String,
    /// Names and values after the question mark, in order.
    pub query: Vec<(String, String)>,
    /// Names and values of the form, in order.
    pub form: Vec<(String, String)>,
    /// The body of what programs ask, as it came; empty for a form.
    pub body: Vec<u8>,
    /// Header fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Who sent it, as the edge knows it.
    pub peer: IpAddr,
}

impl Request {
    /// Makes a request from a target in origin form.
    pub fn new(method: Method, target: &str, peer: IpAddr) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: path.to_owned(),
            query: values(query.as_bytes()),
            form: Vec::new(),
            body: Vec::new(),
            fields: Vec::new(),
            peer,
        }
    }

    /// Takes over the body of a form (`application/x-www-form-urlencoded`).
    pub fn with_form(mut self, body: &[u8]) -> Self {
        self.form = values(body);
        self
    }

    /// Takes over a body as it came.
    pub fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Adds a header field.
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields
            .push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Gives a header field by its name in lower case; none unless there is exactly one.
    pub fn field(&self, name: &str) -> Option<&str> {
        only(&self.fields, name)
    }

    /// Gives a value after the question mark; none unless there is exactly one.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        only(&self.query, name)
    }

    /// Gives a value of the form; empty unless there is exactly one.
    pub fn form_value(&self, name: &str) -> &str {
        only(&self.form, name).unwrap_or_default()
    }

    /// Gives a cookie (RFC 6265 §5.4); none unless there is exactly one.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let fields = self.fields.iter().filter(|(field, _)| field == "cookie");
        let pairs = fields.flat_map(|(_, value)| value.split(';'));
        let mut found = pairs.filter_map(|pair| {
            let (found, value) = pair.trim().split_once('=')?;
            (found == name).then_some(value)
        });
        found.next().filter(|_| found.next().is_none())
    }
}

/// Tells whether programs ask for this path: they send JSON and no cookies.
pub(super) fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}

/// Two of the same name are none: whoever checks one and whoever uses one would not take the same.
fn only<'v>(values: &'v [(String, String)], name: &str) -> Option<&'v str> {
    let mut found = values.iter().filter(|(found, _)| found == name);
    let value = found.next().map(|(_, value)| value.as_str());
    value.filter(|_| found.next().is_none())
}

fn values(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn values_are_decoded_and_doubtful_ones_are_none() {
        let request = Request::new(Method::Post, "/a%2fb?q=Gr%C3%BC%C3%9Fe+%26&x=1&x=2", PEER)
            .with_form(b"name=%3Cb%3E&empty=");
        assert_eq!(request.path, "/a%2fb");
        assert_eq!(request.query_value("q"), Some("Grüße &"));
        assert_eq!(request.query_value("x"), None);
        assert_eq!(request.query_value("y"), None);
        assert_eq!(request.form_value("name"), "<b>");
        assert_eq!(request.form_value("empty"), "");
    }

    #[test]
    fn a_cookie_is_the_only_one_of_its_name() {
        for (field, expected) in [
            ("a=1", Some("1")),
            ("b=2; a=1", Some("1")),
            ("b=2;a=x=y ;c", Some("x=y")),
            ("a=1; a=2", None),
            ("aa=1", None),
            ("", None),
        ] {
            let request = Request::new(Method::Get, "/", PEER).with_field("Cookie", field);
            assert_eq!(request.cookie("a"), expected, "{field}");
        }
    }
}
