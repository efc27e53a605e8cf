//! The few files that pages name: part of the program, and known by their content, so that browsers keep them for ever.

use super::Response;

/// A year, in seconds: what is named by its content never changes.
const KEPT: &str = "public, max-age=31536000, immutable";

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");
const SCRIPT: &str = include_str!("page.js");

/// The files, each with the path that pages name it by.
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) icon: String,
    pub(super) script: String,
}

impl Assets {
    /// Names the files.
    pub(super) fn new() -> Self {
        Self {
            style: path("style", STYLE, "css"),
            icon: path("icon", ICON, "svg"),
            script: path("page", SCRIPT, "js"),
        }
    }

    /// Gives the file of a path.
    pub(super) fn find(&self, path: &str) -> Option<Response> {
        let (media_type, text) = match path {
            path if path == self.style => ("text/css; charset=utf-8", STYLE),
            path if path == self.icon => ("image/svg+xml", ICON),
            path if path == self.script => ("text/javascript; charset=utf-8", SCRIPT),
            _ => return None,
        };
        Some(Response::new(200, media_type, text.as_bytes()).with("Cache-Control", KEPT))
    }
}

fn path(name: &str, text: &str, end: &str) -> String {
    let digest = store::sha256(text.as_bytes());
    let digits: String = digest.0[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("/assets/{name}-{digits}.{end}")
}
