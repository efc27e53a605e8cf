//! The text of an HTML part: what a reader would see, for the index and the plain view.
//!
//! One pass over the tags, no tree, no style rules, no links. Nothing here makes HTML safe to show.

use std::collections::BTreeSet;

use mail_parser::decoders::html::add_html_token;

/// Elements whose content is never shown.
const UNSEEN: [&str; 4] = ["script", "style", "template", "noscript"];

/// Elements that end a line before and after them.
const BLOCKS: [&str; 33] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "li",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "table",
    "title",
    "tr",
    "ul",
];

/// Elements that part words without ending the line.
const CELLS: [&str; 3] = ["td", "th", "img"];

/// Longest entity that is looked up, in octets; "&CounterClockwiseContourIntegral;" has 33.
const ENTITY_MAX_BYTES: usize = 40;

/// 998 bytes of an address that names a part: the longest line of a header (RFC 5322 §2.1.1), where its Content-ID stands.
const CONTENT_ID_MAX_BYTES: usize = 998;

/// Gives the Content-ID that an address names (RFC 2392), if it is of that kind.
pub fn content_id(address: &str) -> Option<String> {
    let (scheme, id) = address.split_once(':')?;
    let is_it = scheme.eq_ignore_ascii_case("cid");
    is_it.then(|| percent_decoded(id))
}

/// Gives the Content-IDs that HTML names in addresses, wherever they stand.
pub(crate) fn content_ids(html: &str) -> impl Iterator<Item = String> {
    let addresses = html.match_indices(':').filter_map(|(colon, _)| {
        let scheme_start = colon.checked_sub("cid".len())?;
        let address = html.get(scheme_start..)?;
        let address = &address[..address.floor_char_boundary(CONTENT_ID_MAX_BYTES)];
        let is_end = |c: char| c.is_whitespace() || "\"'<>)".contains(c);
        address.split(is_end).next()
    });
    addresses.filter_map(content_id)
}

/// Decodes "%40" and the like (RFC 3986 §2.1); what is no such sign stays.
fn percent_decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let code = piece.get(..2).map(|digits| u8::from_str_radix(digits, 16));
        match code {
            Some(Ok(byte)) => {
                bytes.push(byte);
                bytes.extend_from_slice(&piece.as_bytes()[2..]);
            }
            _ => {
                bytes.push(b'%');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Gives the text of an HTML document: tags, comments, scripts and styles left out, entities decoded.
pub fn to_text(html: &str) -> String {
    let mut text = Text::default();
    // What is never closed is shown, and its closing not searched for again.
    let mut unclosed: BTreeSet<&str> = BTreeSet::new();
    let mut rest = html;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'<' | b'&')) {
        text.push(&rest[..at]);
        rest = &rest[at..];
        rest = if rest.starts_with('&') {
            push_entity(rest, &mut text)
        } else if rest.starts_with("<!--") && !unclosed.contains("-->") {
            after(rest, "-->").unwrap_or_else(|| {
                unclosed.insert("-->");
                rest
            })
        } else {
            push_tag(rest, &mut text, &mut unclosed)
        };
    }
    text.push(rest);
    text.finish()
}

/// Passes one tag, with its content if that is never shown, and gives what follows.
fn push_tag<'a>(html: &'a str, text: &mut Text, unclosed: &mut BTreeSet<&str>) -> &'a str {
    let inside = &html[1..];
    let is_tag =
        inside.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
    let end = if is_tag && !unclosed.contains(">") {
        inside.find('>')
    } else {
        None
    };
    let Some(end) = end else {
        if is_tag {
            unclosed.insert(">");
        }
        text.push("<");
        return inside;
    };
    let rest = &inside[end + 1..];
    let tag = inside[..end].trim_start_matches('/');
    let name = &tag[..tag
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(tag.len())];
    let is_any = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n));
    if is_any(&BLOCKS) {
        text.end_line();
    } else if is_any(&CELLS) {
        text.push(" ");
    }
    let is_opening = !inside.starts_with('/') && !inside[..end].ends_with('/');
    match UNSEEN
        .iter()
        .find(|n| is_opening && name.eq_ignore_ascii_case(n))
    {
        Some(unseen) if !unclosed.contains(*unseen) => {
            find_closing(rest, unseen).unwrap_or_else(|| {
                unclosed.insert(unseen);
                rest
            })
        }
        _ => rest,
    }
}

/// Gives what starts with the closing tag of that name.
fn find_closing<'a>(html: &'a str, name: &str) -> Option<&'a str> {
    let mut offset = 0;
    while let Some(at) = html[offset..].find("</") {
        let start = offset + at;
        let found = html.as_bytes().get(start + 2..start + 2 + name.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
            return Some(&html[start..]);
        }
        offset = start + 2;
    }
    None
}

/// Gives what follows the first occurrence of `mark`.
fn after<'a>(html: &'a str, mark: &str) -> Option<&'a str> {
    html.find(mark).map(|at| &html[at + mark.len()..])
}

/// Decodes the entity at the start, or keeps the "&", and gives what follows.
fn push_entity<'a>(html: &'a str, text: &mut Text) -> &'a str {
    let bytes = html.as_bytes();
    let length = bytes[1..]
        .iter()
        .take(ENTITY_MAX_BYTES)
        .position(|b| !b.is_ascii_alphanumeric() && *b != b'#')
        .map_or(bytes.len().min(ENTITY_MAX_BYTES), |length| length + 1);
    let name = &html[1..length];
    let rest = html[length..].strip_prefix(';').unwrap_or(&html[length..]);
    if let Some(c) = name.strip_prefix('#').and_then(numeric_entity) {
        text.push(c.encode_utf8(&mut [0; 4]));
        return rest;
    }
    let token = format!("&{name};");
    let mut decoded = String::new();
    add_html_token(&mut decoded, token.as_bytes(), false);
    if name.starts_with('#') || decoded == token {
        text.push("&");
        return &html[1..];
    }
    text.push(&decoded);
    rest
}

/// Decodes a numeric entity; 128 to 159 mean windows-1252 (WHATWG HTML, numeric character reference end state).
fn numeric_entity(digits: &str) -> Option<char> {
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    match code {
        0x80..=0x9F => crate::text::guess(&[code as u8]).chars().next(),
        _ => char::from_u32(code).filter(|c| *c != '\0'),
    }
}

/// Text whose white space is folded as a browser does.
#[derive(Debug, Default)]
struct Text {
    text: String,
    has_space: bool,
}

impl Text {
    fn push(&mut self, piece: &str) {
        for c in piece.chars() {
            match c {
                // A soft hyphen and zero-width characters part no word.
                '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
                c if c.is_whitespace() => self.has_space = true,
                c => {
                    if self.has_space && !self.text.is_empty() && !self.text.ends_with('\n') {
                        self.text.push(' ');
                    }
                    self.has_space = false;
                    self.text.push(c);
                }
            }
        }
    }

    fn end_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.has_space = false;
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        assert_eq!(to_text(html), expected, "{html:?}");
    }

    #[test]
    fn texts() {
        check("", "");
        check("plain  text\n here", "plain text here");
        check("<p>One</p><p>Two<br>Three</p>", "One\nTwo\nThree");
        check("<b>Re</b>chnung", "Rechnung");
        check(
            "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
            "a b\nc",
        );
        check(
            "<style>p { color: red }</style><script>if (a < b) {}</SCRIPT>seen",
            "seen",
        );
        check("<!-- <p>not</p> --><!--[if mso]>no<![endif]-->yes", "yes");
        check("a <!-- never closed <b>b</b>", "a b");
        check("<style>never closed", "never closed");
        check("<style/>open", "open");
        check("1 < 2 & 3 > 2", "1 < 2 & 3 > 2");
        check("a<", "a<");
        check("<p", "<p");
        check(
            "G&uuml;te&nbsp;&amp; M&#252;he &#x20AC; &#150; &euro",
            "Güte & Mühe € – €",
        );
        check("&nosuch; &#xZZ; &; &", "&nosuch; &#xZZ; &; &");
        check("Donau&shy;dampf", "Donaudampf");
        check("<title>T</title><body>B", "T\nB");
        check("<o:p></o:p><a href=\"x\">link</a>", "link");
    }

    #[test]
    fn parts_are_named_by_their_content_ids() {
        for (html, expected) in [
            ("<img src=\"cid:a@x\">", &["a@x"][..]),
            ("<img src=CID:a@x alt=b>", &["a@x"]),
            (
                "<td background='cid:a%40x'><p style=\"x:url(cid:b@x)\">",
                &["a@x", "b@x"],
            ),
            ("<img src='cid:50%'>cid:100%25", &["50%", "100%"]),
            ("<img src=cid:ü>", &["ü"]),
            (": a: id: cid", &[]),
        ] {
            let found: Vec<_> = content_ids(html).collect();
            assert_eq!(found, expected, "{html}");
        }
        assert_eq!(content_id("https://x.example/cid:y"), None);
    }

    #[test]
    fn hostile_documents_take_linear_time() {
        assert_eq!(content_ids(&"cid:".repeat(30_000)).count(), 30_000);
        to_text(&"<!--".repeat(300_000));
        to_text(&"<style>".repeat(200_000));
        to_text(&"</".repeat(300_000));
        to_text(&"&a".repeat(300_000));
    }

    proptest! {
        #[test]
        fn any_text_is_read(html in "([a<>&;/!#-]|style|script|ü| |\n){0,60}") {
            to_text(&html);
        }
    }
}
