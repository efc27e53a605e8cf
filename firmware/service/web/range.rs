//! Going on with a download that broke off: one range from a byte on, of what is handed out as a file (RFC 9110 §14).
//!
//! Several ranges at once, and ranges of pages, are answered whole, as the RFC allows. A client that says which file it has begun
//! (`If-Range`) gets another one whole.

use super::response::{Content, Response};
use super::{Method, Request};

impl Response {
    /// Leaves the part of a file that the request asks for.
    pub(super) fn in_range(self, request: &Request) -> Self {
        let Content::Body(body) = &self.content else {
            return self;
        };
        let length = body.length_bytes();
        let response = self.with("Accept-Ranges", "bytes");
        let is_same = request
            .field("if-range")
            .is_none_or(|tag| response.field("ETag") == Some(tag));
        let asked = request.field("range").and_then(range);
        let asked =
            asked.filter(|_| is_same && request.method == Method::Get && response.status == 200);
        match asked {
            None => response,
            Some((from, _)) if from >= length => Self::text(416, "this range is not in the file")
                .with("Content-Range", format!("bytes */{length}")),
            Some((from, last)) => response.part(from, last.min(length - 1), length),
        }
    }

    fn part(self, from: u64, last: u64, length: u64) -> Self {
        let Content::Body(body) = self.content else {
            return self;
        };
        let part = Self {
            status: 206,
            content: Content::Part {
                body,
                from,
                length_bytes: last - from + 1,
            },
            fields: self.fields,
        };
        part.with("Content-Range", format!("bytes {from}-{last}/{length}"))
    }
}

/// Reads one range from a byte on; the last byte is included.
fn range(field: &str) -> Option<(u64, u64)> {
    let (from, last) = field.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| is_digits)
    };
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    let from = number(from)?;
    (from <= last).then_some((from, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use store::Body;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn file() -> Response {
        let mut response = Response::text(200, "").with("ETag", "\"a\"");
        response.content = Content::Body(Body::Memory(b"0123456789".to_vec()));
        response
    }

    #[test]
    fn a_download_goes_on_where_it_broke_off() {
        for (fields, status, part) in [
            (&[][..], 200, ""),
            (&[("Range", "bytes=0-")], 206, "bytes 0-9/10"),
            (&[("Range", "bytes=4-")], 206, "bytes 4-9/10"),
            (&[("Range", "bytes=4-4")], 206, "bytes 4-4/10"),
            (&[("Range", "bytes=4-99")], 206, "bytes 4-9/10"),
            (&[("Range", "bytes=10-")], 416, "bytes */10"),
            (&[("Range", "bytes=-4")], 200, ""),
            (&[("Range", "bytes=5-4")], 200, ""),
            (&[("Range", "bytes=0-1,3-4")], 200, ""),
            (&[("Range", "bytes=+1-")], 200, ""),
            (&[("Range", "lines=1-")], 200, ""),
            (
                &[("Range", "bytes=4-"), ("If-Range", "\"a\"")],
                206,
                "bytes 4-9/10",
            ),
            (&[("Range", "bytes=4-"), ("If-Range", "\"b\"")], 200, ""),
        ] {
            let mut request = Request::new(Method::Get, "/", PEER);
            for (name, value) in fields {
                request = request.with_field(name, value);
            }
            let got = file().in_range(&request);
            assert_eq!(got.status, status, "{fields:?}");
            assert_eq!(got.field("Content-Range").unwrap_or(""), part, "{fields:?}");
        }
        let posted = Request::new(Method::Post, "/", PEER).with_field("Range", "bytes=4-");
        assert_eq!(file().in_range(&posted).status, 200);
        let page = Request::new(Method::Get, "/", PEER).with_field("Range", "bytes=4-");
        assert_eq!(
            Response::text(200, "0123456789").in_range(&page).status,
            200
        );
    }
}
