//! Reading a whole head, strictly: each thing can be written in one way (RFC 9112 §3, §4 and §5).

use super::{Asked, Refusal};

/// 100 fields of a head, three times what browsers send; servers behind may have lower limits of their own.
pub const FIELDS_MAX: usize = 100;

/// Fields that concern one connection only (RFC 9110 §7.6.1), and the one that nobody but the edge may write.
const LEFT_OUT: [&str; 8] = [
    "coffer-peer",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];

/// Fields of a response that say how its bytes came to the edge, or what wrote them.
const LEFT_OUT_OF_RESPONSES: [&str; 1] = ["server"];

/// What is passed on of a request's head.
pub(super) struct Head<'h> {
    pub(super) method: &'h str,
    pub(super) target: &'h str,
    pub(super) fields: Vec<(&'h str, &'h [u8])>,
    pub(super) body_bytes: u64,
    goes_on: bool,
}

impl Head<'_> {
    pub(super) fn asked(&self) -> Asked {
        let is_host = |field: &&(&str, &[u8])| field.0.eq_ignore_ascii_case("host");
        let host = self.fields.iter().find(is_host).map(|field| field.1);
        Asked {
            is_head: self.method == "HEAD",
            goes_on: self.goes_on,
            host: String::from_utf8_lossy(host.unwrap_or_default()).into_owned(),
            target: self.target.to_owned(),
        }
    }
}

/// What is passed on of a response's head.
pub(super) struct ResponseHead<'h> {
    pub(super) status_and_reason: &'h str,
    pub(super) fields: Vec<(&'h str, &'h [u8])>,
    pub(super) body_bytes: u64,
}

/// Reads a request's head, from its request line to its empty line.
pub(super) fn read_head(head: &[u8]) -> Result<Head<'_>, Refusal> {
    let text = head.strip_suffix(b"\r\n\r\n").ok_or(Refusal::Malformed)?;
    // RFC 9112 §2.2: one empty line before the request line is left out.
    let mut lines = Lines(Some(text.strip_prefix(b"\r\n").unwrap_or(text)));
    let (method, target, needs_host) = request_line(lines.next().unwrap_or_default())?;
    let mut fields = fields_of(lines)?;
    let body_bytes = body_bytes(&fields)?;
    // RFC 9112 §3.2: one Host, or 400.
    let hosts = count(&fields, "host");
    if hosts > 1 || needs_host && hosts == 0 {
        return Err(Refusal::Malformed);
    }
    if count(&fields, "expect") > 0 {
        return Err(Refusal::Expectation);
    }
    // RFC 9112 §9.3: HTTP/1.0 ends after one, unless it asks for more, which nobody does any longer.
    let goes_on = needs_host && !wants_close(&fields);
    fields.retain(|(name, _)| !is_left_out(name));
    Ok(Head {
        method,
        target,
        fields,
        body_bytes,
        goes_on,
    })
}

/// Reads a response's head; none if it cannot be passed on.
pub(super) fn read_response_head(head: &[u8]) -> Option<ResponseHead<'_>> {
    let mut lines = Lines(Some(head.strip_suffix(b"\r\n\r\n")?));
    let line = str::from_utf8(lines.next()?).ok()?;
    let status_and_reason = line.strip_prefix("HTTP/1.1 ")?;
    let status = status_and_reason.split(' ').next()?;
    // RFC 9110 §15.2: an interim answer would be followed by another one.
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    if !is_status || status < "200" {
        return None;
    }
    let mut fields = fields_of(lines).ok()?;
    let has_length = count(&fields, "content-length") > 0;
    let has_no_body = matches!(status, "204" | "304");
    if !has_length && !has_no_body {
        return None;
    }
    let body_bytes = if has_no_body {
        0
    } else {
        body_bytes(&fields).ok()?
    };
    fields.retain(|(name, _)| {
        let lower = name.to_ascii_lowercase();
        !is_left_out(name) && !LEFT_OUT_OF_RESPONSES.contains(&lower.as_str())
    });
    Some(ResponseHead {
        status_and_reason,
        fields,
        body_bytes,
    })
}

fn fields_of(lines: Lines<'_>) -> Result<Vec<(&str, &[u8])>, Refusal> {
    let mut fields = Vec::new();
    for line in lines {
        fields.push(field(line)?);
        if fields.len() > FIELDS_MAX {
            return Err(Refusal::HeadTooLarge);
        }
    }
    Ok(fields)
}

/// Cuts at each CRLF; a CR or LF by itself stays in the line, where it is refused.
struct Lines<'h>(Option<&'h [u8]>);

impl<'h> Iterator for Lines<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let text = self.0.take()?;
        let Some(end) = text.windows(2).position(|pair| pair == b"\r\n") else {
            return Some(text);
        };
        self.0 = Some(&text[end + 2..]);
        Some(&text[..end])
    }
}

/// Reads method, target, and whether the version needs a Host.
fn request_line(line: &[u8]) -> Result<(&str, &str, bool), Refusal> {
    let line = str::from_utf8(line).map_err(|_| Refusal::Malformed)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(Refusal::Malformed);
    };
    let is_target = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token(method) || !is_target {
        return Err(Refusal::Malformed);
    }
    match version {
        "HTTP/1.1" => Ok((method, target, true)),
        "HTTP/1.0" => Ok((method, target, false)),
        other if other.starts_with("HTTP/") => Err(Refusal::Version),
        _ => Err(Refusal::Malformed),
    }
}

fn field(line: &[u8]) -> Result<(&str, &[u8]), Refusal> {
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(Refusal::Malformed)?;
    let name = str::from_utf8(&line[..colon]).map_err(|_| Refusal::Malformed)?;
    let value = line[colon + 1..].trim_ascii();
    // Neither space before the colon nor a folded line is a token; no control character but TAB is a value.
    let is_value = value
        .iter()
        .all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    if is_token(name) && is_value {
        Ok((name, value))
    } else {
        Err(Refusal::Malformed)
    }
}

fn body_bytes(fields: &[(&str, &[u8])]) -> Result<u64, Refusal> {
    let mut lengths = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next();
    match (length, count(fields, "transfer-encoding")) {
        (None, 0) => Ok(0),
        (None, _) => Err(Refusal::LengthRequired),
        // RFC 9112 §6.1 and §6.3: both, or two lengths, is how requests are smuggled.
        (Some((_, value)), 0) if lengths.next().is_none() => read_length(value),
        (Some(_), _) => Err(Refusal::Malformed),
    }
}

/// Reads digits and nothing else: no sign, no list.
fn read_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Malformed);
    }
    let digits = str::from_utf8(value).map_err(|_| Refusal::Malformed)?;
    digits.parse().map_err(|_| Refusal::TooLarge)
}

fn wants_close(fields: &[(&str, &[u8])]) -> bool {
    fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn count(fields: &[(&str, &[u8])], name: &str) -> usize {
    fields
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .count()
}

/// Tells whether a field is not passed on. Some servers take `_` for `-`, so both are left out.
fn is_left_out(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    LEFT_OUT.contains(&name.as_str())
}

fn is_token(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_char)
}
