//! HTML of mail made harmless: ammonia leaves nothing in it that runs, submits, or loads anything from elsewhere, and the page shows it in a
//! frame of its own that may do nothing either (`POLICY`). Each of the two would be enough.

use ammonia::{Builder, UrlRelative};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the frame may do: show pictures of the same message, and styles within elements.
pub(super) const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; \
     base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox";

/// Properties of `style` that change how text looks and where it stands, and name no address.
const STYLES: [&str; 24] = [
    "background-color",
    "border",
    "border-bottom",
    "border-collapse",
    "border-color",
    "border-left",
    "border-right",
    "border-spacing",
    "border-style",
    "border-top",
    "border-width",
    "color",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "line-height",
    "padding",
    "text-align",
    "text-decoration",
    "vertical-align",
    "white-space",
    "width",
    "max-width",
];

/// Attributes of old mail that say how something looks.
const LOOKS: [&str; 11] = [
    "align",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "color",
    "face",
    "height",
    "size",
    "valign",
    "width",
];

/// What a link of mail may lead to.
const LINK_SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

/// HTML that can be shown.
pub struct Safe {
    /// A whole document.
    pub html: String,
    /// Whether it named something elsewhere, which was left out.
    pub has_remote: bool,
}

/// Makes HTML safe; `pictures` has the pictures of the same message as data addresses, by their Content-ID.
pub fn safe(html: &str, pictures: HashMap<String, String>) -> Safe {
    let has_remote = Arc::new(AtomicBool::new(false));
    let remote_seen = has_remote.clone();
    let mut builder = Builder::default();
    builder
        .add_tags(["font", "center", "u", "big", "tt"])
        .rm_tags(["map", "area"])
        .add_generic_attributes(LOOKS)
        .add_generic_attributes(["style"])
        .filter_style_properties(HashSet::from(STYLES))
        .url_schemes(LINK_SCHEMES.into_iter().chain(["cid"]).collect())
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank")
        .attribute_filter(
            move |element, attribute, value| match (element, attribute) {
                ("img", "src") => match mail::content_id(value) {
                    Some(content_id) => pictures.get(&content_id).cloned().map(Cow::Owned),
                    None => {
                        remote_seen.store(true, Ordering::Relaxed);
                        None
                    }
                },
                (_, "href") => link(value).map(Cow::Owned),
                (_, "cite" | "src" | "longdesc") => None,
                (_, "style") if calls_something(value) => None,
                _ => Some(Cow::Borrowed(value)),
            },
        );
    let body = builder.clean(html).to_string();
    let html = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{{font:16px/1.45 system-ui,sans-serif;color:#1b2430;background:#fff;margin:12px;overflow-wrap:anywhere}}\
         img,table{{max-width:100%}}blockquote{{margin:0 0 0 .5em;padding-left:.8em;border-left:3px solid #c5ccd6}}</style>{body}"
    );
    Safe {
        html,
        has_remote: has_remote.load(Ordering::Relaxed),
    }
}

/// An address to follow, without the characters that a browser skips when it reads one (URL standard, section 4.4: controls and spaces
/// around it, tabs and line ends within); none when it begins with another scheme than a link of mail has.
fn link(value: &str) -> Option<String> {
    let mut address = value.trim_matches(|c| c <= ' ').to_owned();
    address.retain(|c| !matches!(c, '\t' | '\n' | '\r'));
    let (scheme, _) = address.split_once(':')?;
    LINK_SCHEMES
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
        .then_some(address)
}

/// Tells whether a style has parentheses other than those of a colour with its numbers, such as `url()`'s.
fn calls_something(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let mut pieces = style.split('(');
    let mut before = pieces.next().unwrap_or_default();
    pieces.any(|after| {
        let (numbers, rest) = after.split_once(')').unwrap_or((after, ""));
        let is_colour = names_colour(before)
            && numbers
                .bytes()
                .all(|byte| b"0123456789.,%/ ".contains(&byte));
        before = rest;
        !is_colour
    })
}

/// Tells whether text ends in the name of a function that mixes a colour.
fn names_colour(text: &str) -> bool {
    let name = text.rsplit([':', ' ', ',']).next().unwrap_or_default();
    matches!(name, "rgb" | "rgba")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(html: &str) -> String {
        let safe = safe(
            html,
            HashMap::from([("logo@x".to_owned(), "data:image/png;base64,iVBO".to_owned())]),
        );
        let (_, body) = safe.html.split_once("</style>").expect("our own head");
        body.to_owned()
    }

    /// Attacks as they are collected by those who break web mail; none may leave anything that acts.
    #[test]
    fn nothing_that_acts_is_left() {
        for html in [
            "<script>alert(1)</script>x",
            "<img src=x onerror=alert(1)>",
            "<svg onload=alert(1)><script>alert(1)</script></svg>",
            "<svg><style><img src=x onerror=alert(1)></style></svg>",
            "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
            "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
            "<object data=javascript:alert(1)></object><embed src=javascript:alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href=\"jAvAsCrIpT&colon;alert(1)\">x</a>",
            "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
            "<a href=\"vbscript:x\">x</a>",
            "<a href=\" java\nscript:alert(1)\">x</a>",
            "<form action=https://evil.example><input name=p><button>x</button></form>",
            "<base href=https://evil.example>",
            "<meta http-equiv=refresh content='0;url=https://evil.example'>",
            "<link rel=stylesheet href=https://evil.example/x.css>",
            "<style>@import 'https://evil.example/x.css'; body{background:url(https://evil.example)}</style>",
            "<p style=\"background:url(https://evil.example/x.png)\">x</p>",
            "<p style=\"background-image:url(https://evil.example/x.png);color:red\">x</p>",
            "<p style=\"width:expression(alert(1))\">x</p>",
            "<p style=\"position:fixed;top:0;left:0;width:100%;height:100%\">x</p>",
            "<td background=https://evil.example/x.png>x</td>",
            "<img src=https://evil.example/x.png>",
            "<img srcset='https://evil.example/x.png 2x'>",
            "<video src=https://evil.example/x poster=https://evil.example/y></video>",
            "<input type=image src=https://evil.example/x>",
            "<blockquote cite=https://evil.example/x>q</blockquote>",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\"></noscript>",
            "<![CDATA[<script>alert(1)</script>]]>",
            "<div id=x name=y><a id=location>z</a></div>",
        ] {
            let body = body(html).to_lowercase();
            for sign in [
                "<script",
                "onerror=",
                "onload=",
                "javascript:",
                "<iframe",
                "<object",
                "<embed",
                "<form",
                "<input",
                "<base",
                "<meta",
                "<link",
                "<style",
                "url(",
                "expression",
                "position",
                "srcset",
                "<video",
                "<svg",
                "<math",
                "evil.example/",
                " id=",
                " name=",
                "data:",
            ] {
                assert!(!body.contains(sign), "{sign} in {body} of {html}");
            }
        }
    }

    #[test]
    fn what_people_write_stays() {
        for (html, expected) in [
            (
                "<p>Grüße &amp; <b>Dank</b></p>",
                "<p>Grüße &amp; <b>Dank</b></p>",
            ),
            ("<font color=red>x</font>", "<font color=\"red\">x</font>"),
            (
                "<a href=\"https://example.com/a\">x</a>",
                "<a href=\"https://example.com/a\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">x</a>",
            ),
            (
                "<a href=\" \u{19}mail\nto:a@b.example\">x</a>",
                "<a href=\"mailto:a@b.example\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">x</a>",
            ),
            (
                "<img src=\"cid:logo@x\" alt=\"Logo\">",
                "<img src=\"data:image/png;base64,iVBO\" alt=\"Logo\">",
            ),
            (
                "<img src=\"CID:logo%40x\">",
                "<img src=\"data:image/png;base64,iVBO\">",
            ),
            ("<img src=\"cid:other\" alt=\"Logo\">", "<img alt=\"Logo\">"),
            (
                "<p style=\"color:rgb(1,2,3)\">x</p>",
                "<p style=\"color:rgb(1, 2, 3)\">x</p>",
            ),
            (
                "<p style=\"color:red\">x</p>",
                "<p style=\"color:red\">x</p>",
            ),
            (
                "<p style=\"border:1px solid rgba(1,2,3,.5)\">x</p>",
                "<p style=\"border:1px solid rgba(1, 2, 3, 0.5)\">x</p>",
            ),
            ("<p style=\"color:rgb(1,<20rgb(1,2\">x</p>", "<p>x</p>"),
            ("<p style=\"color:rgb(1,2,url(x))\">x</p>", "<p>x</p>"),
            ("<p style=\"color:xrgb(1)\">x</p>", "<p>x</p>"),
            (
                "<p style=\"color:rgb(1,2,3\">x</p>",
                "<p style=\"color:rgb(1, 2, 3)\">x</p>",
            ),
        ] {
            assert_eq!(body(html), expected);
        }
    }

    #[test]
    fn what_lies_elsewhere_is_noticed() {
        assert!(safe("<img src=https://x.example/a.png>", HashMap::new()).has_remote);
        assert!(!safe("<img src=cid:x>", HashMap::new()).has_remote);
        assert!(!safe("<p>x", HashMap::new()).has_remote);
    }
}
