//! The page's handlers on a real archive, without a socket: what each visitor gets, and what nobody gets.

mod framing;
mod machine;
mod setup;

use super::*;
use crate::keeper::messages::DocumentText;
use crate::keeper::{ExtractorEnd, Keeper, LocalKeeper};
use crate::people::People;
use archive::people::Proposal;
use archive::{Envelope, EventKind, Reception, Recipient, SourceKind};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use store::{Body, Deposit, Moment, Options};

pub(super) const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
pub(super) const PASSWORD: &str = "drei Igel im Regen";
pub(super) const OWN_PASSWORD: &str = "vier Esel am Fenster";
const HOUR_S: u64 = 3_600;

/// 50 KB: more would be slow on a bad line.
const PAGE_BYTES_MAX: usize = 50_000;

/// An archive with its page.
pub(super) struct Scene {
    folder: tempfile::TempDir,
    pub(super) keeper: Arc<LocalKeeper>,
    pub(super) site: Site,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            clock: Arc::new(|| Moment {
                at_us: 1_750_000_000_000_000,
                synchronised: false,
                uncertainty_ms: None,
            }),
            boot_id: [3; 16],
            volume_bytes_max: store::VOLUME_BYTES_MAX,
            index_threads: 1,
            upkeep: store::WhenUpkeep::Never,
            follower_patience: store::FOLLOWER_PATIENCE,
        };
        let keeper = LocalKeeper::open(folder.path(), options, &mut |_| {});
        let keeper = Arc::new(keeper.expect("the archive opens"));
        let mail_door = MailDoor {
            hostname: "archive.example".to_owned(),
            smtp: vec!["192.0.2.1:25".parse().expect("an address")],
            allowed: "192.0.2.0/24".to_owned(),
            journal_from: "127.0.0.0/8".to_owned(),
        };
        let site = Site::new(keeper.clone(), mail_door);
        Self {
            folder,
            keeper,
            site,
        }
    }

    /// A claimed archive and its operator.
    fn claimed() -> (Self, Browser) {
        let scene = Self::new();
        let mut browser = Browser::default();
        let claimed = browser.claim(&scene);
        assert_eq!((claimed.status, claimed.to()), (303, "/setup"));
        (scene, browser)
    }

    /// An archive with somebody of the staff, who has an address and is signed in.
    pub(super) fn with_staff() -> (Self, Browser, Browser) {
        let (scene, mut operator) = Self::claimed();
        let kim = scene.newcomer(&mut operator, "kim", "1025");
        for change in [
            [("step", "add-role"), ("role", "staff")],
            [("step", "give-address"), ("address", "kim@office.example")],
        ] {
            let fields = [&[("account", "1025")][..], &change].concat();
            let waits = operator.post(&scene, "/people/change", &fields);
            assert_eq!(waits.status, 200, "{}", waits.text());
        }
        scene.a_day_and_more();
        (scene, operator, kim)
    }

    /// Somebody whose account was made and who has chosen a password, but has no rights yet.
    fn newcomer(&self, operator: &mut Browser, name: &str, account: &str) -> Browser {
        operator.post(self, "/people/make", &[("name", name)]);
        let issued = operator.post(self, "/people/issue-password", &[("account", account)]);
        let password = between(&issued.text(), "<p class=\"mono\">", "</p>");
        let mut browser = Browser::default();
        let signed_in = browser.sign_in(self, name, &password);
        assert_eq!((signed_in.status, signed_in.to()), (303, "/"));
        assert_eq!(browser.get(self, "/").to(), "/account/password");
        let chosen = browser.post(
            self,
            "/account/password",
            &[
                ("old-password", &password),
                ("password", OWN_PASSWORD),
                ("password-again", OWN_PASSWORD),
            ],
        );
        assert_eq!(
            (chosen.status, chosen.to()),
            (303, "/"),
            "{}",
            chosen.text()
        );
        browser
    }

    /// Gives all notices and lets the archive run for two days.
    fn a_day_and_more(&self) {
        let people = People::of(&*self.keeper);
        for _ in 0..50 {
            for notice in people.notices_due().expect("notices") {
                let number = Proposal::from_record(&notice.proposal)
                    .expect("a proposal")
                    .number;
                people
                    .notice_given(number, &notice.address)
                    .expect("a notice");
            }
            self.keeper.pass(HOUR_S).expect("time passes");
        }
    }

    pub(super) fn deposit(&self, to: &str, message: &str) -> u64 {
        let envelope = Envelope {
            reverse_path: "sender@partner.example".to_owned(),
            recipients: vec![Recipient {
                address: to.to_owned(),
                ..Recipient::default()
            }],
            ..Envelope::default()
        };
        let deposit = Deposit {
            reception: Reception {
                source: SourceKind::Smtp,
                envelope: Some(envelope),
                ..Reception::default()
            },
            unwrap_journal: false,
            actor: 2,
            prompt: true,
        };
        let body = Body::Memory(message.replace('\n', "\r\n").into_bytes());
        let receipt = self.keeper.deposit(body, deposit).expect("taken").wait();
        (&*self.keeper as &dyn Keeper).flush().expect("indexed");
        receipt.expect("stored").number
    }

    /// The folder of what is made to be handed out.
    pub(super) fn spool(&self) -> std::path::PathBuf {
        self.folder.path().join("spool")
    }

    /// Kinds and subjects of the log's entries that are about mail.
    pub(super) fn log(&self) -> Vec<(EventKind, String, Vec<u64>)> {
        let (leaves, _) = self.keeper.store().progress().expect("open");
        let mut entries = Vec::new();
        let events = self.keeper.store().events(1..leaves + 1, |_, event| {
            if matches!(
                event.kind,
                EventKind::Viewed | EventKind::Searched | EventKind::Exported
            ) {
                entries.push((event.kind, event.account, event.subjects));
            }
        });
        events.expect("it can be read");
        entries
    }
}

/// What the page answered.
pub(super) struct Got {
    pub(super) status: u16,
    fields: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn of(response: Response) -> Self {
        let body = match response.content {
            Content::Memory(bytes) => bytes.into_owned(),
            Content::Body(body) => {
                let mut bytes = Vec::new();
                body.write_to(&mut bytes).expect("memory");
                bytes
            }
            Content::Part { .. } => panic!("parts are made behind the edge"),
        };
        Self {
            status: response.status,
            fields: response.fields,
            body,
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn field(&self, name: &str) -> &str {
        let mut found = self.fields.iter().filter(|(found, _)| *found == name);
        found.next().map_or("", |(_, value)| value)
    }

    pub(super) fn to(&self) -> &str {
        self.field("Location")
    }
}

/// A browser: keeps cookies, and sends the token of the form it was given.
#[derive(Clone, Default)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
    language: &'static str,
}

impl Browser {
    fn send(&mut self, scene: &Scene, request: Request) -> Got {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let request = request
            .with_field("Host", "archive.example")
            .with_field("Cookie", &cookies.join("; "))
            .with_field("Accept-Language", self.language);
        let response = scene.site.answer(&request).finished();
        for (name, value) in &response.fields {
            if *name == "Set-Cookie" {
                self.keep(value);
            }
        }
        Got::of(response)
    }

    fn keep(&mut self, cookie: &str) {
        for part in ["Secure", "HttpOnly", "Path=/", "SameSite=Lax"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let (name, rest) = cookie.split_once('=').expect("a cookie");
        assert!(name.starts_with("__Host-"), "{cookie}");
        let value = rest.split(';').next().unwrap_or_default();
        if cookie.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    pub(super) fn get(&mut self, scene: &Scene, target: &str) -> Got {
        self.send(scene, Request::new(Method::Get, target, PEER))
    }

    /// Sends a form as a browser does that was given it by the page.
    pub(super) fn post(&mut self, scene: &Scene, target: &str, values: &[(&str, &str)]) -> Got {
        let token = self.form_token(scene);
        let values = [values, &[("token", token.as_str())]].concat();
        let request = form(target, &values).with_field("Sec-Fetch-Site", "same-origin");
        self.send(scene, request)
    }

    /// The token of a form: each page with one has the same.
    fn form_token(&mut self, scene: &Scene) -> String {
        let has_session = self.cookies.contains_key("__Host-coffer");
        let page = if has_session {
            "/account/password"
        } else {
            "/sign-in"
        };
        let mut got = self.get(scene, page);
        while got.status == 303 {
            got = self.get(scene, got.to());
        }
        between(&got.text(), "name=\"token\" value=\"", "\"")
    }

    fn claim(&mut self, scene: &Scene) -> Got {
        let code = scene
            .keeper
            .claim_code()
            .expect("readable")
            .expect("a code");
        self.post(
            scene,
            "/claim",
            &[
                ("code", &code),
                ("name", "chef"),
                ("password", PASSWORD),
                ("password-again", PASSWORD),
            ],
        )
    }

    fn sign_in(&mut self, scene: &Scene, name: &str, password: &str) -> Got {
        self.post(scene, "/sign-in", &[("name", name), ("password", password)])
    }
}

fn form(target: &str, values: &[(&str, &str)]) -> Request {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(values)
        .finish();
    Request::new(Method::Post, target, PEER).with_form(body.as_bytes())
}

#[track_caller]
pub(super) fn between(text: &str, from: &str, to: &str) -> String {
    let (_, rest) = text
        .split_once(from)
        .unwrap_or_else(|| panic!("no {from} in {text}"));
    let (found, _) = rest.split_once(to).expect("an end");
    found.to_owned()
}

/// What a page says beside its frame, which names its path.
fn main(got: &Got) -> String {
    between(&got.text(), "<main", "</main>")
}

#[test]
fn an_unclaimed_archive_answers_nothing_but_the_claim_page() {
    let scene = Scene::new();
    let mut browser = Browser::default();
    let first = browser.get(&scene, "/");
    assert_eq!(first.status, 200);
    assert!(first.text().contains("Claim code"), "{}", first.text());
    for path in [
        "/sign-in",
        "/search?q=x",
        "/message/1",
        "/message/1.eml",
        "/setup",
        "/state",
        "/trust",
        "/trust/coffer.crt",
        "/people",
        "/account",
        "/x/../etc/passwd",
    ] {
        let got = browser.get(&scene, path);
        assert_eq!((got.status, got.to()), (303, "/"), "{path}");
        let got = browser.post(&scene, path, &[]);
        assert_eq!((got.status, got.to()), (303, "/"), "{path}");
    }
    for (code, password, again, wrong) in [
        ("AAAA-BBBB-CCCC", PASSWORD, PASSWORD, "not the claim code"),
        ("", PASSWORD, "other", "not the same"),
    ] {
        let fields = [
            ("code", code),
            ("name", "chef"),
            ("password", password),
            ("password-again", again),
        ];
        let got = browser.post(&scene, "/claim", &fields);
        assert_eq!(got.status, 422);
        assert!(got.text().contains(wrong), "{}", got.text());
        assert!(!got.text().contains(PASSWORD), "no password comes back");
    }
    assert_eq!(browser.claim(&scene).to(), "/setup");
    assert_eq!(browser.get(&scene, "/setup").status, 200);
}

#[test]
fn a_form_from_elsewhere_changes_nothing() {
    let (scene, mut operator) = Scene::claimed();
    let token = operator.form_token(&scene);
    let good = [("retention years", "6"), ("token", token.as_str())];
    let save = |values: &[(&str, &str)]| form("/setup/retention", values);
    let other = Browser::default().form_token(&scene);
    for request in [
        save(&good[..1]),
        save(&[("retention years", "6"), ("token", "")]),
        save(&[("retention years", "6"), ("token", &other)]),
        save(&[good[0], good[1], good[1]]),
        save(&good).with_field("Sec-Fetch-Site", "cross-site"),
        save(&good).with_field("Sec-Fetch-Site", "same-site"),
        save(&good).with_field("Sec-Fetch-Site", "none"),
        save(&good).with_field("Origin", "https://evil.example"),
        save(&good).with_field("Origin", "null"),
        save(&good).with_field("Origin", "http://archive.example"),
    ] {
        assert_eq!(operator.send(&scene, request).status, 403);
        assert!(operator.get(&scene, "/setup").text().contains("open"));
    }
    let fine = save(&good).with_field("Origin", "https://archive.example");
    assert_eq!(operator.send(&scene, fine).to(), "/setup");
    assert!(operator.get(&scene, "/setup").text().contains("6 years"));
}

#[test]
fn a_session_is_new_with_each_sign_in_and_ends() {
    let (scene, mut operator) = Scene::claimed();
    let first = operator.cookies["__Host-coffer"].clone();
    let mut fixed = Browser::default();
    fixed
        .cookies
        .insert("__Host-coffer".to_owned(), "00".repeat(32));
    let got = fixed.sign_in(&scene, "chef", PASSWORD);
    assert_eq!(got.to(), "/", "{}", got.text());
    let second = fixed.cookies["__Host-coffer"].clone();
    assert!(second != "00".repeat(32) && second != first);
    assert_eq!(operator.post(&scene, "/sign-out", &[]).to(), "/sign-in");
    assert!(!operator.cookies.contains_key("__Host-coffer"));
    operator.cookies.insert("__Host-coffer".to_owned(), first);
    assert_eq!(
        operator.get(&scene, "/setup").to(),
        "/sign-in?next=%2Fsetup"
    );
    assert_eq!(fixed.get(&scene, "/setup").status, 200);
    let wrong = Browser::default().sign_in(&scene, "chef", "wrong");
    let nobody = Browser::default().sign_in(&scene, "nobody", "wrong");
    assert_eq!((wrong.status, nobody.status), (422, 422));
    assert!(wrong.text().contains("Name or password is wrong."));
    assert!(nobody.text().contains("Name or password is wrong."));
}

#[test]
fn a_second_step_is_switched_on_with_the_password_and_a_code() {
    let (scene, mut operator) = Scene::claimed();
    let begin = |browser: &mut Browser, password| {
        browser.post(
            &scene,
            "/account/second-factor/begin",
            &[("password", password)],
        )
    };
    assert_eq!(begin(&mut operator, "wrong").status, 422);
    let page = begin(&mut operator, PASSWORD).text();
    let secret = between(&page, "secret=", "&amp;");
    assert_eq!(secret.len(), 32, "20 bytes in base32");
    assert!(page.contains("otpauth://totp/Coffer:chef?"), "{page}");
    assert!(page.contains("<svg class=\"qr-code\""), "{page}");
    let wrong = [("code", "abcdef")];
    let refused = operator.post(&scene, "/account/second-factor/confirm", &wrong);
    assert_eq!(refused.status, 422);
    assert!(
        operator
            .get(&scene, "/setup")
            .text()
            .contains("Second step of signing in")
    );
    let in_again = Browser::default().sign_in(&scene, "chef", PASSWORD);
    assert_eq!(in_again.to(), "/", "nothing was switched on");
}

#[test]
fn settings_are_kept_and_senseless_ones_are_not() {
    let (scene, mut operator) = Scene::claimed();
    for (step, fields, shown) in [
        (
            "language",
            &[("language", "de"), ("time zone", "UTC")][..],
            "UTC",
        ),
        ("retention", &[("retention years", "10")], "10 years"),
        ("updates", &[("update hour", "4")], "04:00–05:00"),
        (
            "status-mail",
            &[("status mail to", "it@office.example")],
            "it@office.example",
        ),
    ] {
        let path = format!("/setup/{step}");
        assert_eq!(operator.post(&scene, &path, fields).to(), "/setup");
        let setup = operator.get(&scene, "/setup").text();
        assert!(setup.contains(shown), "{shown} in {setup}");
        let wrong: Vec<_> = fields.iter().map(|(name, _)| (*name, "wrong")).collect();
        assert_eq!(operator.post(&scene, &path, &wrong).status, 422);
    }
    assert_eq!(operator.post(&scene, "/setup/nothing", &[]).status, 404);
}

#[test]
fn staff_find_and_read_their_own_mail_and_nothing_else() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let message = "From: Pat <pat@partner.example>\nTo: kim@office.example\nSubject: Angebot <b>Nord</b>\n\nGrüße aus dem Norden\n";
    let own = scene.deposit("kim@office.example", message);
    let other = scene.deposit("lee@office.example", &message.replace("kim@", "lee@"));
    let found = kim.get(&scene, "/search?q=norden");
    assert!(found.text().contains("One message"), "{}", found.text());
    assert!(found.text().contains("Angebot &lt;b&gt;Nord&lt;/b&gt;"));
    let shown = kim.get(&scene, &format!("/message/{own}"));
    assert_eq!(shown.status, 200);
    assert!(shown.text().contains("Grüße aus dem Norden"));
    let eml = kim.get(&scene, &format!("/message/{own}.eml"));
    assert_eq!(eml.text(), message.replace('\n', "\r\n"));
    assert_eq!(eml.field("Content-Type"), "message/rfc822");
    let proof = kim.get(&scene, &format!("/message/{own}/proof"));
    assert!(
        proof.text().starts_with("c2sp.org/tlog-proof@v1"),
        "{}",
        proof.text()
    );
    let nothing = main(&kim.get(&scene, "/message/999999"));
    for path in [
        "",
        "/source",
        "/proof",
        "/html/0",
        "/picture/0",
        "/file/0",
        "/text/0",
        ".eml",
    ] {
        let got = kim.get(&scene, &format!("/message/{other}{path}"));
        assert_eq!(got.status, 404, "{path}");
        assert_eq!(main(&got), nothing, "{path}");
        let refused = operator.get(&scene, &format!("/message/{own}{path}"));
        assert_eq!(refused.status, 404, "an operator reads no mail: {path}");
    }
    assert_eq!(operator.get(&scene, "/search?q=norden").status, 404);
    let name = || "kim".to_owned();
    assert_eq!(
        scene.log(),
        [
            (EventKind::Searched, name(), vec![]),
            (EventKind::Viewed, name(), vec![own]),
            (EventKind::Exported, name(), vec![own]),
            (EventKind::Exported, name(), vec![own]),
        ]
    );
}

#[test]
fn an_auditor_sees_what_was_released_until_it_ends() {
    let (scene, mut operator, _) = Scene::with_staff();
    let message =
        "From: Pat <pat@partner.example>\nTo: kim@office.example\nSubject: Rechnung 7\n\nx\n";
    let released = scene.deposit("kim@office.example", message);
    let other = scene.deposit(
        "kim@office.example",
        &message.replace("Rechnung", "Privates"),
    );
    let mut ada = scene.newcomer(&mut operator, "ada", "1026");
    let asked = ada.post(&scene, "/account/open-old-mail", &[]).text();
    assert!(asked.contains("You have asked."), "{asked}");
    let role = [
        ("account", "1026"),
        ("step", "add-role"),
        ("role", "auditor"),
    ];
    operator.post(&scene, "/people/change", &role);
    scene.a_day_and_more();
    let mut release = |query, until, reason| {
        let fields = [
            ("account", "1026"),
            ("query", query),
            ("until", until),
            ("reason", reason),
        ];
        operator.post(&scene, "/people/release", &fields)
    };
    for (query, until, reason) in [
        ("", "2025-07-31", "audit"),
        ("subject:rechnung", "", "audit"),
        ("subject:rechnung", "2025-07-31", " "),
        ("subject:rechnung", "2025-02-01", "in the past"),
        ("subject:rechnung", "2027-07-31", "for too long"),
    ] {
        assert_eq!(release(query, until, reason).status, 422, "{reason}");
    }
    let waits = release("subject:rechnung", "2025-07-31", "tax audit 2025").text();
    for said in ["subject:rechnung", "31 July 2025", "tax audit 2025"] {
        assert!(waits.contains(said), "{said} in {waits}");
    }
    let path = |number: u64| format!("/message/{number}");
    assert_eq!(ada.get(&scene, &path(released)).status, 404, "it waits");
    scene.a_day_and_more();
    ada.sign_in(&scene, "ada", OWN_PASSWORD);
    assert_eq!(ada.get(&scene, &path(released)).status, 200);
    assert_eq!(ada.get(&scene, &path(other)).status, 404);
    let found = ada.get(&scene, "/search?q=x").text();
    assert!(found.contains("One message"), "{found}");
    let people = operator.get(&scene, "/people?account=1026").text();
    let grant = between(&people, "name=\"grant\" value=\"", "\"");
    let end = [("account", "1026"), ("grant", grant.as_str())];
    assert_eq!(
        operator.post(&scene, "/people/end-release", &end).to(),
        "/people"
    );
    assert_eq!(ada.get(&scene, &path(released)).status, 404, "it has ended");
}

#[test]
fn html_mail_is_shown_without_anything_that_acts() {
    let (scene, _, mut kim) = Scene::with_staff();
    let number = scene.deposit("kim@office.example", "From: pat@partner.example\nTo: kim@office.example\n\
        Subject: <script>alert(1)</script>\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=a\n\n--a\n\
        Content-Type: text/html\n\n<p onclick=alert(1)>Hello<script>alert(1)</script><img src=cid:p><img src=https://evil.example/x>\n--a\n\
        Content-Type: image/png; name=\"../../<img src=x>\\r\\nX: y.png\"\nContent-ID: <p>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--a\n\
        Content-Type: image/svg+xml; name=x.svg\nContent-Disposition: attachment\n\n<svg onload=alert(1)/>\n--a--\n");
    let page = kim.get(&scene, &format!("/message/{number}")).text();
    for sign in ["<script>", "onclick", "<img src=x", "evil.example", "../"] {
        assert!(!page.contains(sign), "{sign} in {page}");
    }
    assert!(page.contains("Pictures from elsewhere were left out"));
    let frame = between(&page, "<iframe class=\"mail\" ", ">");
    assert!(frame.contains("sandbox=\"allow-popups allow-popups-to-escape-sandbox\""));
    let shown = kim.get(&scene, &between(&frame, "src=\"", "\""));
    assert_eq!(shown.status, 200);
    let policy = shown.field("Content-Security-Policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox allow-popups"));
    let html = shown.text();
    assert!(
        html.contains("Hello") && html.contains("data:image/png;base64,iVBORw0KGgo="),
        "{html}"
    );
    for sign in ["<script", "onclick", "evil.example"] {
        assert!(!html.contains(sign), "{sign} in {html}");
    }
    assert!(page.contains("One picture in the text"), "{page}");
    let attachments = between(&page, "One attachment", "</ul>");
    assert!(!attachments.contains("/file/1\""), "{attachments}");
    let picture = kim.get(&scene, &format!("/message/{number}/file/1"));
    assert_eq!(picture.field("Content-Type"), "application/octet-stream");
    let disposition = picture.field("Content-Disposition");
    assert!(
        disposition.starts_with("attachment; filename=\"") && !disposition.contains('/'),
        "{disposition}"
    );
    let views = scene
        .log()
        .into_iter()
        .filter(|(kind, ..)| *kind == EventKind::Viewed);
    assert_eq!(views.count(), 1, "page and frame are one view");
    let svg = kim.get(&scene, &format!("/message/{number}/picture/2"));
    assert_eq!(svg.status, 404, "a drawing can hold a script");
}

/// An extractor as a thread: what it may reach is tested where it is a process.
fn start_extractor(scene: &Scene) {
    scene.keeper.start_extractor_by(Box::new(|| {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        std::thread::spawn(move || {
            let mut end = ExtractorEnd::over(theirs);
            while let Ok(Some(document)) = end.receive() {
                let bytes = document.bytes().expect("its bytes");
                if bytes == b"deadly" {
                    return;
                }
                let text = match extract::text(&bytes, &document.label) {
                    Ok(text) => DocumentText::Text(text),
                    Err(why) => DocumentText::None(why),
                };
                end.answer(&text).expect("the keeper is there");
            }
        });
        Ok(ours)
    }));
}

#[test]
fn the_text_of_attachments_is_shown_as_text() {
    let (scene, _, mut kim) = Scene::with_staff();
    start_extractor(&scene);
    let part = |name: &str, media_type: &str, content: &str| {
        format!(
            "--a\nContent-Type: {media_type}; name={name}\nContent-Disposition: attachment\n\n{content}\n"
        )
    };
    let parts = [
        part("notes.txt", "text/plain", "<script>alert(1)</script> Grüße"),
        part(
            "page.html",
            "text/html",
            "<p>One</p><script>no</script><p>Two",
        ),
        part("deadly.txt", "text/plain", "deadly"),
        part("scan.pdf", "application/pdf", "%PDF-1.7 nothing"),
        part("empty.rtf", "text/rtf", "{\\rtf1 }"),
        part("x.png", "image/png", "PNG"),
    ];
    let message = format!(
        "To: kim@office.example\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nhello\n{}--a--\n",
        parts.concat()
    );
    let number = scene.deposit("kim@office.example", &message);
    let page = kim
        .get(&scene, &format!("/message/{number}?q=hello"))
        .text();
    for index in 1..=5 {
        let link = format!("href=\"/message/{number}/text/{index}?q=hello\">Show text</a>");
        assert!(page.contains(&link), "{index} in {page}");
    }
    assert!(
        !page.contains(&format!("/message/{number}/text/6")),
        "{page}"
    );
    for (index, expected) in [
        (
            1,
            "<pre class=\"document\">&lt;script&gt;alert(1)&lt;/script&gt; Grüße</pre>",
        ),
        (2, "<pre class=\"document\">One\nTwo</pre>"),
        (3, "Reading the text failed or took too long."),
        (1, "Grüße"),
        (4, "The attachment is damaged"),
        (5, "There is no text in the attachment."),
    ] {
        let shown = kim.get(&scene, &format!("/message/{number}/text/{index}?q=hello"));
        assert_eq!(shown.status, 200, "{index}");
        let shown = main(&shown);
        assert!(shown.contains(expected), "{expected} in {shown}");
        for link in [
            format!("href=\"/message/{number}?q=hello\""),
            format!("href=\"/message/{number}/file/{index}\""),
        ] {
            assert!(shown.contains(&link), "{shown}");
        }
    }
    for index in ["6", "7", "x"] {
        let path = format!("/message/{number}/text/{index}");
        assert_eq!(kim.get(&scene, &path).status, 404, "{index}");
    }
    let views = scene
        .log()
        .into_iter()
        .filter(|(kind, ..)| *kind == EventKind::Viewed);
    assert_eq!(views.count(), 1, "message and texts are one view");
}

/// What the sender calls a file decides nothing: one that says it is a picture is shown only if it is one.
#[test]
fn pictures_are_shown_for_what_they_are() {
    let (scene, _, mut kim) = Scene::with_staff();
    let number = scene.deposit("kim@office.example", "From: pat@partner.example\nTo: kim@office.example\nSubject: Bilder\n\
        MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nHello\n--a\n\
        Content-Type: application/octet-stream; name=photo.bin\nContent-Transfer-Encoding: base64\n\n/9j/4AAQSkZJRg==\n--a\n\
        Content-Type: image/png; name=page.png\n\n<html><script>alert(1)</script></html>\n--a--\n");
    let page = kim.get(&scene, &format!("/message/{number}")).text();
    let picture = |part: &str| format!("/message/{number}/picture/{part}");
    assert!(
        page.contains(&format!("<img src=\"{}\"", picture("1"))),
        "{page}"
    );
    assert!(!page.contains(&picture("2")), "{page}");
    let shown = kim.get(&scene, &picture("1"));
    assert_eq!(shown.field("Content-Type"), "image/jpeg");
    assert_eq!(shown.field("X-Content-Type-Options"), "nosniff");
    let policy = shown.field("Content-Security-Policy");
    assert_eq!(policy, response::FILE_POLICY);
    for part in ["2", "3", "x", "-1"] {
        assert_eq!(kim.get(&scene, &picture(part)).status, 404, "{part}");
    }
    let printed = kim
        .get(&scene, &format!("/message/{number}?view=print"))
        .text();
    for sign in ["Hello", "photo.bin", "page.png", "SHA-256"] {
        assert!(printed.contains(sign), "{sign} in {printed}");
    }
    assert!(!printed.contains("<nav"), "{printed}");
}

/// The day that the archive's clock shows in these tests: 15 June 2025.
#[test]
fn the_state_page_tells_where_mail_comes_from() {
    let (scene, mut operator, _) = Scene::with_staff();
    let before = operator.get(&scene, "/state").text();
    assert!(
        before.contains("No mail has come from anywhere yet."),
        "{before}"
    );
    let message = "From: pat@partner.example\nTo: kim@office.example\nSubject: Brief\n\nx\n";
    for number in 0..3 {
        scene.deposit("kim@office.example", &format!("{message}{number}\n"));
    }
    for (days, first) in [("30", "17 May"), ("90", "18 Mar"), ("7", "17 May")] {
        let page = operator.get(&scene, &format!("/state?days={days}")).text();
        assert!(page.contains("3 mails came from"), "{page}");
        let table = between(&page, "<tbody>", "</tbody>");
        let today = "<th scope=\"row\">15 Jun</th><td class=\"number\">3</td>";
        assert!(table.starts_with(&format!("<tr>{today}")), "{table}");
        let last = table.rsplit("<tr>").next().unwrap_or_default();
        assert!(last.contains(first), "{last}");
        assert!(page.contains("other senders (SMTP)"), "{page}");
        assert!(page.contains("<td>less than an hour</td>"), "{page}");
        assert!(page.contains("does not update itself"), "{page}");
    }
}

#[test]
fn a_table_of_accounts_is_shown_before_it_is_done() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let table = "name;roles;addresses\nlee;staff;lee@office.example\nbernd;king;\nkim;staff;";
    let tried = operator
        .post(&scene, "/people/table", &[("table", table)])
        .text();
    for sign in [
        "The account is made.",
        "lee gets a role: Staff: reads their own mail: waits",
        "There is no such role: king.",
        "nothing: all of it is so already",
    ] {
        assert!(tried.contains(sign), "{sign} in {tried}");
    }
    assert!(!operator.get(&scene, "/people").text().contains("lee"));
    let deed = [("table", table), ("deed", "do")];
    let done = operator.post(&scene, "/people/table", &deed).text();
    assert!(done.contains("This was done."), "{done}");
    let people = operator.get(&scene, "/people").text();
    assert!(
        people.contains("lee") && people.contains("What waits"),
        "{people}"
    );
    assert!(!people.contains("bernd"), "{people}");
    let empty = operator.post(&scene, "/people/table", &[("table", " ")]);
    assert_eq!(empty.status, 422);
    assert_eq!(kim.get(&scene, "/people/table").status, 404);
    assert_eq!(kim.post(&scene, "/people/table", &deed).status, 404);
}

/// The largest office that a table may bring: no page of it is large, and all of it is found by going on.
#[test]
fn a_large_office_has_small_pages() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let line = |number| {
        format!("person{number:03};staff;{number}@office.example office{number}@office.example\n")
    };
    let table: String = (0..70).map(line).collect();
    let table = format!("name;roles;addresses\n{table}");
    let done = operator.post(
        &scene,
        "/people/table",
        &[("table", &table), ("deed", "do")],
    );
    assert!(done.text().contains("This was done."), "{}", done.text());
    for (name, sign, count) in [
        ("from", "/people?account=", 72),
        ("proposal", "name=\"proposal\"", 210),
    ] {
        let mut path = "/people".to_owned();
        let mut found = 0;
        loop {
            let page = operator.get(&scene, &path).text();
            assert!(
                page.len() < PAGE_BYTES_MAX,
                "{path} has {} bytes",
                page.len()
            );
            found += page.matches(sign).count();
            let next = format!("<a rel=\"next\" href=\"/people?{name}=");
            match page.split_once(&next) {
                Some((_, rest)) => {
                    path = format!("/people?{name}={}", rest.split('"').next().unwrap_or(""))
                }
                None => break,
            }
        }
        assert_eq!(found, count, "{name}");
    }
    for account in ["1024", "1026", "999", "x"] {
        assert_eq!(
            kim.get(&scene, &format!("/people?account={account}"))
                .status,
            404,
            "{account}"
        );
    }
    assert_eq!(kim.get(&scene, "/people?account=1025").status, 200);
}

#[test]
fn each_reads_as_much_of_the_log_as_his_role_allows() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let message = "From: pat@partner.example\nTo: kim@office.example\nSubject: Brief\n\nx\n";
    let number = scene.deposit("kim@office.example", message);
    kim.get(&scene, "/search?q=brief");
    kim.get(&scene, &format!("/message/{number}"));
    let own = kim.get(&scene, "/log").text();
    assert!(
        own.contains("Message read") && own.contains(&format!("entry {number}")),
        "{own}"
    );
    assert!(!own.contains("Account changed: chef"), "{own}");
    let all = operator.get(&scene, "/log").text();
    assert!(
        all.contains("kim gets an address: kim@office.example"),
        "{all}"
    );
    assert!(!all.contains("account 1025"), "{all}");
    assert!(
        all.contains("Message read") && all.contains("Signed in"),
        "{all}"
    );
    assert!(
        !all.contains("brief"),
        "what was searched for is not the operator's: {all}"
    );
    let of_one = operator.get(&scene, "/log?account=chef").text();
    assert!(
        !of_one.contains("Message read") && of_one.contains("Signed in"),
        "{of_one}"
    );
    for odd in [
        "/log?before=0",
        "/log?before=x",
        "/log?before=18446744073709551615",
        "/log?account=%00",
    ] {
        assert_eq!(operator.get(&scene, odd).status, 200, "{odd}");
    }
}

#[test]
fn the_log_is_taken_along_as_far_as_it_is_read() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let message = "From: pat@partner.example\nTo: kim@office.example\nSubject: Brief\n\nx\n";
    scene.deposit("kim@office.example", message);
    kim.get(&scene, "/search?q=brief");
    kim.get(&scene, "/search?q=%3D1%2B1");
    let csv = kim.get(&scene, "/log/file/csv").text();
    assert!(csv.starts_with("\u{feff}number,at,event,account,"), "{csv}");
    assert!(csv.contains(",searched,kim,192.0.2.7,brief,"), "{csv}");
    assert!(csv.contains(",searched,kim,192.0.2.7,\"'=1+1\","), "{csv}");
    assert!(!csv.contains(",chef,"), "{csv}");
    let lines = operator.get(&scene, "/log/file/jsonl?account=kim").text();
    let entries: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(
        entries.iter().all(|entry| entry["account"] == "kim"),
        "{lines}"
    );
    assert!(entries.len() > 3 && !lines.contains("brief"), "{lines}");
    let taken = operator.get(&scene, "/log/file/csv").text();
    assert!(
        taken.contains(",exported,chef,"),
        "it is in the log: {taken}"
    );
    assert_eq!(operator.get(&scene, "/log/file/exe").status, 404);
}

#[test]
fn chosen_messages_are_taken_along_without_a_script() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let message = "From: pat@partner.example\nTo: kim@office.example\nSubject: Brief\n\nx\n";
    let own = scene.deposit("kim@office.example", message).to_string();
    let other = message.replace("kim@", "lee@");
    let other = scene.deposit("lee@office.example", &other).to_string();
    let results = kim.get(&scene, "/search?q=brief").text();
    assert!(results.contains(&format!("name=\"number\" value=\"{own}\"")));
    let order = |which: &'static str| {
        [
            ("q", "brief"),
            ("which", which),
            ("format", "mbox"),
            ("number", own.as_str()),
            ("number", other.as_str()),
        ]
    };
    let nothing = kim.post(&scene, "/exports", &order("chosen")[..3]);
    assert_eq!(nothing.status, 422);
    assert_eq!(operator.post(&scene, "/exports", &order("all")).status, 404);
    for which in ["chosen", "all"] {
        let begun = kim.post(&scene, "/exports", &order(which));
        assert_eq!(begun.status, 303, "{}", begun.text());
        let path = begun.to().to_owned();
        let mut page = kim.get(&scene, &path);
        while page.field("Refresh") == "3" {
            page = kim.get(&scene, &path);
        }
        assert!(page.text().contains("One message"), "{}", page.text());
        let file = kim.get(&scene, &format!("{path}/file"));
        assert!(file.text().starts_with("From "), "{}", file.text());
        assert!(!file.text().contains("lee@"), "{}", file.text());
        assert_eq!(operator.get(&scene, &format!("{path}/file")).status, 404);
        kim.post(&scene, &format!("{path}/cancel"), &[]);
        assert_eq!(kim.get(&scene, &format!("{path}/file")).status, 404);
        assert!(kim.get(&scene, &path).text().contains("Make it again"));
    }
    assert_eq!(kim.get(&scene, "/exports").status, 200);
}

#[test]
fn results_have_pages_to_their_end() {
    let (scene, _, mut kim) = Scene::with_staff();
    for number in 0..30 {
        let message = format!(
            "From: pat@partner.example\nTo: kim@office.example\nSubject: Brief {number}\n\nx\n"
        );
        scene.deposit("kim@office.example", &message);
    }
    let first = kim.get(&scene, "/search?q=brief").text();
    assert!(
        first.contains("30 messages") && first.contains("Page 1 of 2"),
        "{first}"
    );
    assert_eq!(first.matches("<li><span class=\"from\"").count(), 25);
    let next = between(&first, "rel=\"next\" href=\"", "\"").replace("&amp;", "&");
    // What comes meanwhile moves nothing: going on begins behind the last result shown.
    let late = "From: pat@partner.example\nTo: kim@office.example\nSubject: Brief zuletzt\n\nx\n";
    scene.deposit("kim@office.example", late);
    let behind = kim.get(&scene, &next).text();
    assert!(behind.contains("Page 2 of 2"), "{behind}");
    assert_eq!(behind.matches("<li><span class=\"from\"").count(), 5);
    for odd in [
        "0",
        "x.y",
        "-5.",
        "9223372036854775807.18446744073709551615",
    ] {
        let got = kim.get(&scene, &format!("/search?q=brief&behind={odd}&page=7"));
        assert_eq!(got.status, 200, "{odd}");
    }
    let last = kim.get(&scene, "/search?q=brief&page=2").text();
    assert_eq!(last.matches("<li><span class=\"from\"").count(), 6);
    for page in ["3", "0", "x", "18446744073709551615"] {
        let got = kim.get(&scene, &format!("/search?q=brief&page={page}"));
        assert_eq!(got.status, 200, "{page}");
    }
    for wrong in ["%22", "(", "from:", &"x".repeat(1_001)] {
        let got = kim.get(&scene, &format!("/search?q={wrong}"));
        assert!(matches!(got.status, 200 | 422), "{wrong}: {}", got.status);
    }
}

/// Every page in both languages: whole, small, without a script, and without the key of a text in it.
#[test]
fn every_page_speaks_both_languages() {
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let message = "From: pat@partner.example\nTo: kim@office.example\nSubject: Brief\n\nx\n";
    let number = scene.deposit("kim@office.example", message);
    let pages = [
        "/",
        "/setup",
        "/setup/language",
        "/setup/mail",
        "/setup/mail?wait=1",
        "/setup/retention",
        "/setup/updates",
        "/setup/status-mail",
        "/setup/outgoing",
        "/setup/certificate",
        "/state",
        "/state?days=90",
        "/log",
        "/people",
        "/people?account=1024",
        "/people?account=1025",
        "/people/table",
        "/account",
        "/account/password",
        "/account/second-factor",
        "/account/tokens",
        "/exports",
        "/metrics-switch",
        "/trust",
        "/sign-in",
        "/nothing",
        "/search",
        "/search?q=brief",
        "/search?q=nothing",
    ];
    let message = [
        format!("/message/{number}"),
        format!("/message/{number}?view=print"),
        format!("/message/{number}/source"),
    ];
    let pages = pages
        .iter()
        .copied()
        .chain(message.iter().map(String::as_str));
    for page in pages {
        for (language, tag) in [
            ("de-DE", "<html lang=\"de\">"),
            ("en", "<html lang=\"en\">"),
        ] {
            for browser in [&mut operator, &mut kim, &mut Browser::default()] {
                browser.language = language;
                let got = browser.get(&scene, page);
                let text = got.text();
                if got.status == 303 {
                    continue;
                }
                assert!(text.contains(tag), "{page}");
                assert!(
                    text.len() < PAGE_BYTES_MAX,
                    "{page} has {} bytes",
                    text.len()
                );
                // One script, from a file of ours.
                let own = text.replace("<script src=\"/assets/page-", "");
                for sign in ["<script", " style=\"", "<style", "http://", "onclick"] {
                    assert!(!own.contains(sign), "{sign} in {page}");
                }
                let ids: Vec<_> = text
                    .split(" id=\"")
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next())
                    .collect();
                let once: std::collections::BTreeSet<_> = ids.iter().collect();
                assert_eq!(once.len(), ids.len(), "ids are unique: {page}");
            }
        }
    }
}

#[test]
fn trusting_the_box_is_explained_for_each_system() {
    use crate::certificates::{Names, certificate};
    let (scene, _) = Scene::claimed();
    let names = Names {
        archive: "ab",
        hostname: "archive.example",
        addresses: Vec::new(),
    };
    let made = certificate(scene.keeper.store().state(), &names, 1_750_000_000);
    made.expect("a certificate");
    for language in ["de", "en"] {
        let mut visitor = Browser {
            language,
            ..Browser::default()
        };
        let page = visitor.get(&scene, "/trust").text();
        for system in ["Windows", "macOS", "iPhone", "Android", "Firefox"] {
            let steps = between(&page, &format!("<h2>{system}"), "</ol>");
            assert!(steps.contains("<li>"), "{language} {system}: {steps}");
        }
        assert!(page.contains("href=\"/trust/coffer.crt\""), "{page}");
        let root = visitor.get(&scene, "/trust/coffer.crt").text();
        assert!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{root}");
    }
}

#[test]
fn the_language_is_switched_and_leads_back() {
    let scene = Scene::new();
    let mut browser = Browser::default();
    let switched = browser.get(&scene, "/language/de?back=%2Fsign-in%3Fnext%3D%252F");
    assert_eq!((switched.status, switched.to()), (303, "/sign-in?next=%2F"));
    assert!(browser.get(&scene, "/").text().contains("Willkommen"));
    let away = browser.get(&scene, "/language/en?back=%2F%2Fevil.example");
    assert_eq!(away.to(), "/");
}

#[test]
fn assets_are_named_by_their_content() {
    let scene = Scene::new();
    let mut browser = Browser::default();
    let page = browser.get(&scene, "/").text();
    let style = between(&page, "rel=\"stylesheet\" href=\"", "\"");
    let got = browser.get(&scene, &style);
    assert_eq!(got.field("Content-Type"), "text/css; charset=utf-8");
    assert!(got.field("Cache-Control").contains("immutable"));
    for path in [
        "/assets/../state.redb",
        "/assets/%2e%2e/identity",
        "/assets/style.css",
    ] {
        assert_eq!(browser.get(&scene, path).status, 303, "{path}");
    }
}
