//! HTML of mail, made safe for its frame: whatever comes in, nothing comes out that acts, submits, or loads anything from elsewhere.
//!
//! The output is read here by a scanner of its own, which knows no HTML but tags and attributes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use service::web::mail_html::safe;
use std::collections::HashMap;

const PICTURE: &str = "data:image/png;base64,iVBORw0KGgo=";

/// Elements that act, load, or end the frame's own.
const NOT_ALLOWED: [&str; 26] = [
    "applet", "area", "audio", "base", "body", "button", "embed", "form", "frame", "frameset", "head",
    "html", "iframe", "input", "link", "map", "math", "meta", "noscript", "object", "script", "select",
    "source", "style", "svg", "video",
];

/// A tag: name, and attributes with their values.
type Tag<'h> = (&'h str, Vec<(&'h str, &'h str)>);

/// Reads the tags of HTML as a serializer writes it: each attribute in double quotes.
fn tags(mut html: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    while let Some((_, rest)) = html.split_once('<') {
        let name_end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, mut rest) = rest.split_at(name_end);
        let mut attributes = Vec::new();
        while let Some(attribute) = rest.strip_prefix(' ') {
            let (attribute, value) = attribute.split_once("=\"").expect("an attribute has a value");
            let (value, after) = value.split_once('"').expect("a value ends");
            attributes.push((attribute, value));
            rest = after;
        }
        tags.push((name, attributes));
        html = rest;
    }
    tags
}

fn check(html: &str) {
    for (name, attributes) in tags(html) {
        assert!(!NOT_ALLOWED.contains(&name), "<{name}> in {html}");
        for (attribute, value) in attributes {
            let is_fine = match attribute {
                "href" => ["http:", "https:", "mailto:", "tel:"]
                    .iter()
                    .any(|scheme| value.to_ascii_lowercase().starts_with(scheme)),
                "src" => name == "img" && value == PICTURE,
                "style" => {
                    let style = value.to_ascii_lowercase();
                    !style.replace("rgba(", "").replace("rgb(", "").contains('(')
                }
                "srcset" | "background" | "poster" | "action" | "formaction" | "id" | "name"
                | "class" | "cite" | "longdesc" | "ping" => false,
                other => !other.starts_with("on"),
            };
            assert!(is_fine, "{attribute}=\"{value}\" of <{name}> in {html}");
        }
    }
}

fn body(html: &str) -> &str {
    let (_, body) = html.split_once("</style>").expect("our own head comes first");
    body
}

fuzz_target!(|bytes: &[u8]| {
    let html = String::from_utf8_lossy(bytes);
    let pictures = HashMap::from([("p".to_owned(), PICTURE.to_owned())]);
    let once = safe(&html, pictures);
    check(body(&once.html));
    // What a browser made of the output must not be anything else.
    let twice = safe(body(&once.html), HashMap::new());
    check(body(&twice.html));
});
