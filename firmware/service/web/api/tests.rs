//! What programs get, held against `openapi.json`: each way to ask and each field of each answer; and what they never get.

use super::super::tests::{Browser, Got, OWN_PASSWORD, PASSWORD, PEER, Scene, between};
use super::*;
use crate::export::verify_export;
use std::time::{Duration, Instant};

/// A minute for an export of a few messages; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a token on the page.
fn token(scene: &Scene, browser: &mut Browser, bond: &str, password: &str) -> String {
    let fields = [
        ("name", "Buchhaltung"),
        ("bond", bond),
        ("days", "30"),
        ("password", password),
    ];
    let made = browser.post(scene, "/account/tokens/make", &fields);
    assert_eq!(made.status, 200, "{}", made.text());
    between(&made.text(), "<p class=\"mono\">", "</p>")
}

fn request(method: Method, target: &str, token: &str) -> Request {
    let request = Request::new(method, target, PEER);
    match token {
        "" => request,
        token => request.with_field("Authorization", &format!("Bearer {token}")),
    }
}

fn get(scene: &Scene, target: &str, token: &str) -> Got {
    send(scene, request(Method::Get, target, token))
}

fn order(scene: &Scene, body: &str, token: &str) -> Got {
    let request = request(Method::Post, "/api/v1/exports", token)
        .with_field("Content-Type", "application/json")
        .with_body(body.as_bytes().to_vec());
    send(scene, request)
}

/// Asks, and holds the answer against the description.
fn send(scene: &Scene, request: Request) -> Got {
    let (method, path) = (request.method, request.path.clone());
    let got = Got::of(scene.site.answer(&request).finished());
    if let Some(path) = path.strip_prefix("/api/v1/") {
        is_as_described(method, path, &got);
    }
    got
}

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).expect("it is JSON")
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
    }
}

#[track_caller]
fn is_as_described(method: Method, path: &str, got: &Got) {
    let all = description();
    let Some(route) = ROUTES
        .iter()
        .find(|route| route.method == method && value_in(path, route.path).is_some())
    else {
        return;
    };
    let described = &all["paths"][format!("/{}", route.path)][method_name(method)];
    let response = &described["responses"][got.status.to_string()];
    let media_type = got.field("Content-Type").split(';').next().unwrap_or("");
    let content = &response["content"][media_type];
    assert!(content.is_object(), "{path}: {} {media_type}", got.status);
    if media_type.ends_with("json") {
        let value: Value = serde_json::from_slice(&got.body).expect("JSON");
        conforms(&all, &content["schema"], &value, path);
    }
}

/// Holds a value against a schema, as far as the description uses JSON Schema.
#[track_caller]
fn conforms(all: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        let schema = all.pointer(pointer).expect("it leads somewhere");
        return conforms(all, schema, value, at);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = &schema["type"];
    let is_type = types == kind
        || types
            .as_array()
            .is_some_and(|types| types.iter().any(|one| one == kind));
    assert!(is_type, "{at}: {value} is no {types}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value}");
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(all, &schema["items"], item, &format!("{at}[{index}]"));
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for (name, value) in object {
        let schema = &schema["properties"][name];
        assert!(schema.is_object(), "{at}: {name} is not described");
        conforms(all, schema, value, &format!("{at}.{name}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        assert!(object.contains_key(name), "{at}: {name} is missing");
    }
}

fn mail(number: usize) -> String {
    format!(
        "From: pat@partner.example\nTo: kim@office.example\nDate: Mon, 03 Mar 2025 08:15:0{} +0000\n\
         Message-ID: <{number}@x.example>\nSubject: Brief {number}\n\nGrüße aus dem Norden\n",
        number % 3
    )
}

#[test]
fn every_way_to_ask_is_described_and_none_else() {
    let all = description();
    let paths = all["paths"].as_object().expect("paths");
    let mut described = Vec::new();
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            described.push((path.trim_start_matches('/').to_owned(), method.clone()));
        }
    }
    let name = |route: &Route| (route.path.to_owned(), method_name(route.method).to_owned());
    let mut routes: Vec<_> = ROUTES.iter().map(name).collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

#[test]
fn answers_are_as_described_whatever_is_asked() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let own = scene.deposit("kim@office.example", &mail(1));
    let other = scene.deposit("lee@office.example", &mail(2).replace("kim@", "lee@"));
    let staff = token(&scene, &mut kim, "staff/mail", OWN_PASSWORD);
    let health = token(&scene, &mut operator, "operator/health", PASSWORD);
    let session = kim.cookies["__Host-coffer"].clone();
    let long = "x".repeat(search::QUERY_BYTES_MAX + 1);
    let no_one = "00".repeat(32);
    let unknown = format!("exports/{}", "0".repeat(32));
    for (target, token, status) in [
        ("search?q=norden".to_owned(), &staff, 200),
        ("search?q=&limit=1".to_owned(), &staff, 200),
        ("search?q=norden&after=0.0".to_owned(), &staff, 200),
        ("search".to_owned(), &staff, 400),
        ("search?q=a&q=b".to_owned(), &staff, 400),
        ("search?q=a&limit=0".to_owned(), &staff, 400),
        ("search?q=a&limit=1&limit=2".to_owned(), &staff, 400),
        ("search?q=a&after=x".to_owned(), &staff, 400),
        (format!("search?q={long}"), &staff, 422),
        ("search?q=norden".to_owned(), &health, 403),
        ("search?q=norden".to_owned(), &session, 401),
        ("search?q=norden".to_owned(), &no_one, 401),
        (format!("messages/{own}"), &staff, 200),
        (format!("messages/{own}/raw"), &staff, 200),
        (format!("messages/{own}/proof"), &staff, 200),
        (format!("messages/{other}"), &staff, 404),
        (format!("messages/{other}/raw"), &staff, 404),
        (format!("messages/{other}/proof"), &staff, 404),
        ("messages/x".to_owned(), &staff, 404),
        ("messages/+1".to_owned(), &staff, 404),
        (format!("messages/{own}"), &health, 403),
        ("exports".to_owned(), &staff, 200),
        (unknown.clone(), &staff, 404),
        (format!("{unknown}/file"), &staff, 404),
        ("health".to_owned(), &health, 200),
        ("health".to_owned(), &staff, 403),
        ("openapi.json".to_owned(), &no_one, 200),
        ("nothing".to_owned(), &staff, 404),
        ("nothing".to_owned(), &no_one, 404),
    ] {
        let got = get(&scene, &format!("/api/v1/{target}"), token);
        assert_eq!(got.status, status, "{target}: {}", got.text());
    }
    for (body, status) in [
        ("{\"query\":\"norden\",\"format\":\"zip\"}", 202),
        ("{\"query\":\"norden\",\"format\":\"exe\"}", 422),
        ("{\"query\":\"\",\"numbers\":[],\"format\":\"zip\"}", 422),
        ("{\"query\":\"\",\"format\":\"zip\",\"more\":1}", 400),
        ("{\"query\":", 400),
        ("[]", 400),
        ("", 400),
    ] {
        assert_eq!(order(&scene, body, &staff).status, status, "{body}");
    }
    let as_form = request(Method::Post, "/api/v1/exports", &staff);
    assert_eq!(send(&scene, as_form).status, 415);
    let wrong = request(Method::Post, "/api/v1/search?q=x", &staff);
    let wrong = send(&scene, wrong);
    assert_eq!((wrong.status, wrong.field("Allow")), (405, "GET, HEAD"));
    for (path, allow) in [
        ("/api/v1/exports", "GET, HEAD, POST"),
        ("/api/v1/exports/x/cancel", "POST"),
        ("/api/v1/openapi.json", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ] {
        let refused = Got::of(refuse_method(path));
        assert_eq!((refused.status, refused.field("Allow")), (405, allow));
    }
    let raw = get(&scene, &format!("/api/v1/messages/{own}/raw"), &staff);
    assert_eq!(raw.text(), mail(1).replace('\n', "\r\n"));
}

#[test]
fn a_cookie_opens_nothing_here_and_a_token_no_page() {
    let (scene, _, mut kim) = Scene::with_staff();
    let staff = token(&scene, &mut kim, "staff/mail", OWN_PASSWORD);
    let got = kim.get(&scene, "/api/v1/search?q=x");
    assert_eq!(got.status, 401, "the browser's session counts for nothing");
    let mut thief = Browser::default();
    thief
        .cookies
        .insert("__Host-coffer".to_owned(), staff.clone());
    assert_eq!(
        thief.get(&scene, "/account").to(),
        "/sign-in?next=%2Faccount"
    );
    let listed = kim.get(&scene, "/account/tokens").text();
    assert!(listed.contains("Buchhaltung") && !listed.contains(&staff));
    let id = between(&listed, "name=\"id\" value=\"", "\"");
    assert!(!staff.contains(&id), "the id tells nothing of the token");
    assert_eq!(get(&scene, "/api/v1/search?q=x", &staff).status, 200);
    kim.post(&scene, "/account/tokens/end", &[("id", &id)]);
    assert_eq!(get(&scene, "/api/v1/search?q=x", &staff).status, 401);
    for (bond, password, status) in [
        ("operator/health", OWN_PASSWORD, 422),
        ("staff/health", OWN_PASSWORD, 422),
        ("staff/mail", "wrong", 422),
        ("staff", OWN_PASSWORD, 404),
    ] {
        let fields = [
            ("name", "x"),
            ("bond", bond),
            ("days", "30"),
            ("password", password),
        ];
        let got = kim.post(&scene, "/account/tokens/make", &fields);
        assert_eq!(got.status, status, "{bond} {password}");
    }
}

#[test]
fn pages_follow_each_other_while_mail_comes() {
    let (scene, _, mut kim) = Scene::with_staff();
    let staff = token(&scene, &mut kim, "staff/mail", OWN_PASSWORD);
    for number in 0..12 {
        scene.deposit("kim@office.example", &mail(number));
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let target = format!("/api/v1/search?q=norden&limit=5{after}");
        let got = get(&scene, &target, &staff);
        let page: Value = serde_json::from_slice(&got.body).expect("JSON");
        for hit in page["hits"].as_array().expect("hits") {
            found.push(hit["subject"].as_str().expect("a subject").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
        scene.deposit("kim@office.example", &mail(12 + found.len()));
    }
    found.retain(|subject| {
        let number = subject.trim_start_matches("Brief ").parse::<usize>();
        number.is_ok_and(|number| number < 12)
    });
    assert_eq!(found.len(), 12, "{found:?}");
    let once: std::collections::BTreeSet<_> = found.iter().collect();
    assert_eq!(once.len(), 12, "none comes twice: {found:?}");
}

#[test]
fn an_export_is_made_fetched_and_checked_by_its_owner_alone() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let staff = token(&scene, &mut kim, "staff/mail", OWN_PASSWORD);
    let health = token(&scene, &mut operator, "operator/health", PASSWORD);
    let own = scene.deposit("kim@office.example", &mail(1));
    scene.deposit("lee@office.example", &mail(2).replace("kim@", "lee@"));
    let begun = order(&scene, "{\"query\":\"norden\",\"format\":\"zip\"}", &staff);
    let path = begun.field("Location").to_owned();
    let done = wait(&scene, &path, &staff);
    assert_eq!(
        (done["state"].as_str(), &done["messages"]),
        (Some("done"), &1.into())
    );
    let file = get(&scene, &format!("{path}/file"), &staff);
    assert_eq!(
        file.body.len() as u64,
        done["file_bytes"].as_u64().expect("a length")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let zip = folder.path().join("export.zip");
    std::fs::write(&zip, &file.body).expect("room");
    let report = verify_export(&zip, None, None).expect("it can be read");
    assert!(report.damaged.is_empty(), "{report:?}");
    for other in ["", "/file"] {
        assert_eq!(get(&scene, &format!("{path}{other}"), &health).status, 403);
    }
    let id = path.rsplit('/').next().expect("an id");
    let page = kim.get(&scene, &format!("/exports/{id}"));
    assert!(page.text().contains("One message"), "{}", page.text());
    assert_eq!(operator.get(&scene, &format!("/exports/{id}")).status, 404);
    let cancelled = request(Method::Post, &format!("{path}/cancel"), &staff);
    assert_eq!(send(&scene, cancelled).status, 200);
    assert_eq!(get(&scene, &format!("{path}/file"), &staff).status, 409);
    let log = scene.log();
    assert!(
        log.iter()
            .any(|(kind, _, subjects)| *kind == archive::EventKind::Exported && *subjects == [own]),
        "{log:?}"
    );
    let left: Vec<_> = std::fs::read_dir(scene.spool())
        .expect("a folder")
        .collect();
    assert!(left.is_empty(), "no file is left: {left:?}");
}

/// Asks for an export until it is over.
fn wait(scene: &Scene, path: &str, token: &str) -> Value {
    let began = Instant::now();
    loop {
        let got = get(scene, path, token);
        let job: Value = serde_json::from_slice(&got.body).expect("JSON");
        if !matches!(job["state"].as_str(), Some("waiting" | "running")) {
            return job;
        }
        assert!(began.elapsed() < PATIENCE, "{job}");
        std::thread::yield_now();
    }
}

#[test]
fn figures_are_for_those_alone_to_whom_the_operator_gives_them() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    scene.deposit("kim@office.example", &mail(1));
    let health = token(&scene, &mut operator, "operator/health", PASSWORD);
    let staff = token(&scene, &mut kim, "staff/mail", OWN_PASSWORD);
    assert_eq!(get(&scene, "/metrics", &health).status, 404, "it is off");
    kim.post(&scene, "/metrics-switch", &[("metrics", "on")]);
    assert_eq!(get(&scene, "/metrics", &health).status, 404, "kim may not");
    operator.post(&scene, "/metrics-switch", &[("metrics", "on")]);
    assert_eq!(get(&scene, "/metrics", "").status, 401);
    assert_eq!(get(&scene, "/metrics", &staff).status, 403);
    let got = get(&scene, "/metrics", &health);
    let text = got.text();
    assert!(text.contains("\ncoffer_messages 1\n"), "{text}");
    assert!(!text.contains('@') && !text.contains("Brief"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(name.starts_with("coffer_"), "{line}");
        value.parse::<u64>().expect("a number");
    }
}
