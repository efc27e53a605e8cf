//! No page of another site shows ours in a frame (CSP frame-ancestors, RFC 7034): every route there is, asked by each visitor in both ways.
//!
//! The routes are read out of the sources of their tables, so that a new one is asked without being named here.

use super::*;

/// The page's routes: each as the table has it, with the folder that its function is for.
const PAGE: &str = include_str!("../site.rs");

/// The calls of programs.
const API: &str = include_str!("../api/openapi.json");

/// Fewer routes would mean that the tables are no longer read: there were 72 when this was written.
const ROUTES_MIN: usize = 60;

/// Reads the paths of the page's table; what is no literal in it becomes `value`.
fn page_paths(value: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for function in PAGE.split("\nfn ").skip(1) {
        let folder = match function.split('(').next() {
            Some("mail") => vec!["message"],
            Some("taken") => vec!["exports"],
            _ => vec![],
        };
        for pattern in ["(Method::Get, [", "(Method::Post, [", "(method, ["] {
            for rest in function.split(pattern).skip(1) {
                let (parts, _) = rest.split_once(']').expect("an end");
                let parts = parts.split(", ").filter(|part| !part.is_empty());
                let parts = parts.map(|part| match part.strip_prefix('"') {
                    Some(part) => part.trim_end_matches('"'),
                    None => value,
                });
                let parts: Vec<&str> = folder.iter().copied().chain(parts).collect();
                paths.push(format!("/{}", parts.join("/")));
            }
        }
    }
    paths
}

fn api_paths(value: &str) -> Vec<String> {
    let description: serde_json::Value = serde_json::from_str(API).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let path = |path: &String| {
        let parts = path.split('/').map(|part| match part.starts_with('{') {
            true => value,
            false => part,
        });
        format!("/api/v1{}", parts.collect::<Vec<_>>().join("/"))
    };
    paths.keys().map(path).collect()
}

#[test]
fn no_other_site_shows_our_pages_in_a_frame() {
    let (scene, operator, kim) = Scene::with_staff();
    let message =
        "From: pat@partner.example\nTo: kim@office.example\nContent-Type: text/html\n\n<p>x\n";
    let number = scene.deposit("kim@office.example", message).to_string();
    let mut paths = [page_paths(&number), api_paths(&number)].concat();
    assert!(paths.len() >= ROUTES_MIN, "{} routes", paths.len());
    paths.extend(["html/0", "file/0"].map(|part| format!("/message/{number}/{part}")));
    paths.extend(["", ".eml"].map(|end| format!("/message/{number}{end}")));
    let assets = &scene.site.assets;
    paths.extend([&assets.style, &assets.script, &assets.icon].map(|path| path.to_string()));
    let mut shown = 0;
    for path in paths {
        // Each visitor anew: some routes end sessions.
        for browser in [&operator, &kim, &Browser::default()] {
            for method in [Method::Get, Method::Post] {
                let got = browser
                    .clone()
                    .send(&scene, Request::new(method, &path, PEER));
                shown += usize::from(got.status == 200);
                let policy = got.field("Content-Security-Policy");
                // Only the frame of a mail is shown in a frame, by our own page.
                let who = match path.ends_with("/html/0") && got.status == 200 {
                    true => ("frame-ancestors 'self'", "SAMEORIGIN"),
                    false => ("frame-ancestors 'none'", "DENY"),
                };
                let said = (policy.contains(who.0), got.field("X-Frame-Options"));
                assert_eq!(said, (true, who.1), "{method:?} {path}: {policy}");
            }
        }
    }
    assert!(shown >= ROUTES_MIN, "{shown} answers were pages");
}
