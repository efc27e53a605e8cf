//! The steps of the setup that reach outside: who may take them, what they keep, and what they never show.

use super::*;
use crate::outgoing::Route;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

const SERVER: [(&str, &str); 5] = [
    ("server", "mail.office.example"),
    ("security", "starttls"),
    ("user", "coffer"),
    ("password", "se-cret"),
    ("from", "coffer@office.example"),
];

const ROUTE: &str =
    "server=mail.office.example port=587 security=starttls from=coffer@office.example user=coffer";

fn keeper(scene: &Scene) -> &dyn Keeper {
    &*scene.keeper
}

fn kept_password(scene: &Scene, route: &str) -> Option<String> {
    let route: Route = route.parse().expect("a route");
    let kept = keeper(scene).outgoing_password(&route).expect("readable");
    kept.map(|secret| secret.0)
}

#[test]
fn only_the_operator_takes_these_steps() {
    let (scene, _, mut kim) = Scene::with_staff();
    let before = keeper(&scene).outgoing_route().expect("readable");
    for page in [
        "/setup/outgoing",
        "/setup/outgoing/test",
        "/setup/certificate",
        "/setup/mail",
    ] {
        assert_eq!(kim.get(&scene, page).status, 404, "{page}");
        assert_eq!(Browser::default().get(&scene, page).status, 303, "{page}");
        let posted = kim.post(&scene, page, &SERVER);
        assert_eq!(posted.status, 404, "{page}");
    }
    assert_eq!(kim.post(&scene, "/setup/certificate/own", &[]).status, 404);
    assert_eq!(keeper(&scene).outgoing_route(), Ok(before));
    let token = crate::people::Token([7; 32]);
    assert!(keeper(&scene).change_certificate(token, "", None).is_err());
    let people = People::of(keeper(&scene));
    assert!(people.acting(token, "").set_outgoing(None, None).is_err());
}

#[test]
fn the_mail_server_counts_at_once_until_somebody_has_an_address() {
    let (scene, mut operator) = Scene::claimed();
    let saved = operator.post(&scene, "/setup/outgoing", &SERVER);
    assert_eq!(
        (saved.status, saved.to()),
        (303, "/setup"),
        "{}",
        saved.text()
    );
    assert_eq!(keeper(&scene).outgoing_route(), Ok(ROUTE.to_owned()));
    assert_eq!(kept_password(&scene, ROUTE), Some("se-cret".to_owned()));
    assert!(
        operator
            .get(&scene, "/setup")
            .text()
            .contains("mail.office.example")
    );
    let page = operator.get(&scene, "/setup/outgoing").text();
    assert!(page.contains("mail.office.example") && !page.contains("se-cret"));
    // Without a password the kept one stays; another server never gets it.
    let elsewhere = [
        ("server", "mail.elsewhere.example"),
        SERVER[1],
        SERVER[2],
        SERVER[4],
    ];
    operator.post(&scene, "/setup/outgoing", &elsewhere);
    let route = ROUTE.replace("office.example port", "elsewhere.example port");
    assert_eq!(keeper(&scene).outgoing_route(), Ok(route.clone()));
    assert_eq!(kept_password(&scene, &route), None);
    operator.post(&scene, "/setup/outgoing", &[("server", "")]);
    assert_eq!(keeper(&scene).outgoing_route(), Ok(String::new()));
    let unused = kept_password(&scene, ROUTE);
    assert_eq!(unused, None, "no way needs it any more");
}

#[test]
fn the_mail_server_changes_slowly_once_people_get_notices() {
    let (scene, mut operator, _) = Scene::with_staff();
    let saved = operator.post(&scene, "/setup/outgoing", &SERVER);
    assert_eq!((saved.status, saved.to()), (303, "/setup/outgoing"));
    assert_eq!(keeper(&scene).outgoing_route(), Ok(String::new()));
    let place = "mail.office.example:587";
    assert!(
        operator
            .get(&scene, "/setup/outgoing")
            .text()
            .contains(place)
    );
    let people = operator.get(&scene, "/people").text();
    assert!(
        people.contains(place) && people.contains("Notices: 0 of 1"),
        "{people}"
    );
    assert!(
        people.contains("No outgoing mail server is set up"),
        "{people}"
    );
    scene.a_day_and_more();
    assert_eq!(keeper(&scene).outgoing_route(), Ok(ROUTE.to_owned()));
    assert_eq!(kept_password(&scene, ROUTE), Some("se-cret".to_owned()));
}

/// The old server is gone for good, so nobody gets a notice: everybody reads of the new one on every page instead.
#[test]
fn a_mail_server_that_replaces_a_dead_one_stands_on_every_page() {
    const SAID: &str = "by another mail server: mail.office.example:587";
    let (scene, mut operator, mut kim) = Scene::with_staff();
    let mut propose = || operator.post(&scene, "/setup/outgoing", &SERVER);
    assert_eq!(propose().status, 303);
    for page in ["/search", "/log", "/account", "/nothing"] {
        let text = kim.get(&scene, page).text();
        assert!(text.contains(SAID), "{page}: {text}");
    }
    let figures = keeper(&scene).health().expect("figures");
    let server = Some("mail.office.example:587".to_owned());
    assert_eq!(figures.proposed_route, server, "it is warned of");
    let offered = kim.get(&scene, "/people").text();
    assert!(offered.contains("chef"), "who proposed it: {offered}");
    for deed in ["approve", "withdraw", "change", "make"] {
        let action = format!("action=\"/people/{deed}\"");
        assert!(!offered.contains(&action), "{deed}: {offered}");
    }
    let number = between(&offered, "name=\"proposal\" value=\"", "\"");
    kim.post(&scene, "/people/object", &[("proposal", &number)]);
    assert!(!kim.get(&scene, "/search").text().contains(SAID));
    let route = || keeper(&scene).outgoing_route().expect("readable");
    days(&scene, 59);
    assert_eq!(route(), "");
    days(&scene, 1);
    assert_eq!(propose().status, 303, "the other has lapsed");
    days(&scene, 29);
    assert_eq!(route(), "");
    let page = kim.get(&scene, "/people").text();
    assert!(page.contains("for 29 of 30 days"), "{page}");
    days(&scene, 1);
    assert_eq!(route(), ROUTE);
    assert!(!kim.get(&scene, "/search").text().contains(SAID));
}

/// Lets days pass in which no notice goes out.
fn days(scene: &Scene, days: u64) {
    for _ in 0..days * 24 {
        scene.keeper.pass(HOUR_S).expect("time passes");
    }
}

#[test]
fn what_cannot_be_a_mail_server_is_said_in_words() {
    let (scene, mut operator) = Scene::claimed();
    for (name, value, said) in [
        ("server", "two words", "neither the name of a server"),
        ("from", "nobody", "must come from an address"),
        ("security", "none", "over a protected connection only"),
        ("user", "two words", "cannot have blanks"),
    ] {
        let mut fields = SERVER;
        fields
            .iter_mut()
            .filter(|field| field.0 == name)
            .for_each(|field| field.1 = value);
        for target in ["/setup/outgoing", "/setup/outgoing/test"] {
            let got = operator.post(&scene, target, &fields);
            assert_eq!(got.status, 422, "{target} {name}");
            assert!(got.text().contains(said), "{target} {name}: {}", got.text());
            assert!(!got.text().contains("se-cret"));
        }
    }
    assert_eq!(keeper(&scene).outgoing_route(), Ok(String::new()));
}

/// Takes one mail on a socket; gives its content.
fn take_mail(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().expect("a client");
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
    let mut content = String::new();
    let mut is_content = false;
    stream.write_all(b"220 hello\r\n").expect("said");
    while let Some(Ok(line)) = lines.next() {
        let answer = match line.as_str() {
            "QUIT" => break,
            "DATA" => "354 go on",
            "." => "250 taken",
            _ => "250 fine",
        };
        if is_content && line != "." {
            content.push_str(&line);
            content.push('\n');
            continue;
        }
        is_content = line == "DATA";
        write!(stream, "{answer}\r\n").expect("said");
    }
    content
}

#[test]
fn a_test_mail_tells_each_step_and_can_be_saved() {
    let (scene, mut operator) = Scene::claimed();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let serving = std::thread::spawn(move || take_mail(&listener));
    let fields = [
        ("server", "127.0.0.1"),
        ("port", &port),
        ("security", "none"),
        ("from", "coffer@office.example"),
        ("to", "it@office.example"),
    ];
    let begun = operator.post(&scene, "/setup/outgoing/test", &fields);
    assert_eq!(
        (begun.status, begun.to()),
        (303, "/setup/outgoing/test"),
        "{}",
        begun.text()
    );
    let content = serving.join().expect("taken");
    assert!(
        content.contains("Subject: Coffer: test mail\n"),
        "{content}"
    );
    let mut got = operator.get(&scene, begun.to());
    while got.field("Refresh") == "2" {
        std::thread::yield_now();
        got = operator.get(&scene, "/setup/outgoing/test");
    }
    let page = got.text();
    for said in [
        "Connected",
        "Greeting of the server",
        "250 fine",
        "250 taken",
        "has taken the test mail over",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(
        keeper(&scene).outgoing_route(),
        Ok(String::new()),
        "a test saves nothing"
    );
    operator.post(&scene, "/setup/outgoing", &[("tested", "yes")]);
    let route = keeper(&scene).outgoing_route().expect("readable");
    assert!(
        route.contains(&format!("server=127.0.0.1 port={port} security=none")),
        "{route}"
    );
    let log = operator.get(&scene, "/log").text();
    assert!(log.contains("Mail of Coffer’s own sent") && log.contains("it@office.example"));
}

#[test]
fn a_status_mail_goes_out_and_is_kept_as_sent() {
    use crate::outgoing::{MailDelivery, Origin};
    use base64::Engine as _;
    let (scene, mut operator) = Scene::claimed();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("bound").to_string();
    let wanted = [("status mail to", "it@office.example")];
    assert_eq!(
        operator.post(&scene, "/setup/status-mail", &wanted).status,
        303
    );
    operator.post(
        &scene,
        "/setup/language",
        &[("language", "de"), ("time zone", "UTC")],
    );
    let origin = Origin {
        hostname: "archive.example".to_owned(),
        route: Some(Route::plain(&server, "coffer@office.example".to_owned())),
    };
    let shared: Arc<dyn Keeper> = scene.keeper.clone();
    let _delivery = MailDelivery::start(&shared, origin).expect("a thread");
    let content = take_mail(&listener);
    let (head, body) = content.split_once("\n\n").expect("a body");
    assert!(head.contains("To: <it@office.example>"), "{head}");
    let body = base64::prelude::BASE64_STANDARD.decode(body.replace('\n', ""));
    let body = String::from_utf8(body.expect("base64")).expect("text");
    for said in [
        "So geht es dem Mailarchiv archive.example.",
        "Es ist noch keine Mail gekommen.",
        "coffer.archive/",
    ] {
        assert!(body.contains(said), "{said}: {body}");
    }
    while !keeper(&scene)
        .status_mails()
        .expect("readable")
        .contains("it@office.example")
    {
        std::thread::yield_now();
    }
    while !operator
        .get(&scene, "/log")
        .text()
        .contains("Status mail of the week")
    {
        std::thread::yield_now();
    }
}

/// A server that is gone is told of on the page, and no longer once nothing is due.
#[test]
fn mail_that_does_not_go_out_is_a_warning() {
    use crate::outgoing::{MailDelivery, Origin};
    let (scene, mut operator) = Scene::claimed();
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let server = gone.expect("a port").to_string();
    let origin = Origin {
        hostname: "archive.example".to_owned(),
        route: Some(Route::plain(&server, "coffer@office.example".to_owned())),
    };
    let wanted = [("status mail to", "it@office.example")];
    operator.post(&scene, "/setup/status-mail", &wanted);
    let shared: Arc<dyn Keeper> = scene.keeper.clone();
    let told = |scene: &Scene| {
        let figures = keeper(scene).health().expect("figures");
        figures.outgoing_failure.is_some()
    };
    let delivery = MailDelivery::start(&shared, origin.clone()).expect("a thread");
    while !told(&scene) {
        std::thread::yield_now();
    }
    let page = operator.get(&scene, "/state").text();
    assert!(page.contains("have not gone out since"), "{page}");
    drop(delivery);
    operator.post(&scene, "/setup/status-mail", &[("status mail to", "")]);
    let _delivery = MailDelivery::start(&shared, origin).expect("a thread");
    while told(&scene) {
        std::thread::yield_now();
    }
}

#[test]
fn networks_count_without_a_restart_and_stand_in_the_log() {
    let (scene, mut operator) = Scene::claimed();
    let fields = [
        ("allowed networks", "198.51.100.0/24"),
        ("journal networks", "198.51.100.7"),
    ];
    let saved = operator.post(&scene, "/setup/mail", &fields);
    assert_eq!((saved.status, saved.to()), (303, "/setup"));
    let allowed = keeper(&scene).setting(crate::settings::Setting::AllowedNetworks);
    assert_eq!(allowed, Ok("198.51.100.0/24".to_owned()));
    let page = operator.get(&scene, "/setup/mail").text();
    assert!(
        page.contains("198.51.100.7") && page.contains("192.0.2.0/24"),
        "{page}"
    );
    assert!(
        operator
            .get(&scene, "/log")
            .text()
            .contains("198.51.100.0/24")
    );
    let wide = [("allowed networks", "0.0.0.0/0"), ("journal networks", "")];
    let refused = operator.post(&scene, "/setup/mail", &wide);
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().contains("as wide as the internet"),
        "{}",
        refused.text()
    );
}

#[test]
fn a_first_mail_is_shown_without_its_words() {
    let (scene, mut operator) = Scene::claimed();
    let waiting = operator.get(&scene, "/setup/mail?wait=0");
    assert_eq!(waiting.field("Refresh"), "3");
    scene.deposit(
        "kim@office.example",
        "From: pat@partner.example\nSubject: Geheim\n\nx\n",
    );
    let arrived = operator.get(&scene, "/setup/mail?wait=0");
    assert_eq!(arrived.field("Refresh"), "");
    let text = arrived.text();
    assert!(
        text.contains("first mail has arrived") && text.contains("The last came on"),
        "{text}"
    );
    for secret in ["Geheim", "partner.example", "kim@"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let next = operator.get(&scene, "/setup/mail?wait=1");
    assert_eq!(next.field("Refresh"), "3", "it waits for one more");
}

#[test]
fn a_certificate_of_others_is_put_in_and_taken_out() {
    use crate::authority::{Authority, pem};
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (mut scene, mut operator) = Scene::claimed();
    let renewed = Arc::new(AtomicUsize::new(0));
    let count = renewed.clone();
    let door = MailDoor::default();
    let site = Site::new(scene.keeper.clone(), door);
    scene.site = site.with_renewal(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    // The clock of the scene.
    let now = 1_750_000_000;
    let authority = Authority::generate("Others", "archive.example", now).expect("an authority");
    let identity = authority
        .issue(&["archive.example".to_owned()], now)
        .expect("a certificate");
    let key = pem(&identity.key_der).replace("CERTIFICATE", "PRIVATE KEY");
    let certificate = pem(&identity.certificate_der);
    let wrong = operator.post(
        &scene,
        "/setup/certificate",
        &[("certificate", &certificate)],
    );
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.text().contains("no private key in this text"),
        "{}",
        wrong.text()
    );
    let fields = [("certificate", certificate.as_str()), ("key", key.as_str())];
    let put_in = operator.post(&scene, "/setup/certificate", &fields);
    assert_eq!(put_in.status, 303, "{}", put_in.text());
    let page = operator.get(&scene, "/setup/certificate").text();
    assert!(
        page.contains("archive.example") && !page.contains("PRIVATE KEY-----\n"),
        "{page}"
    );
    let own = || {
        let own = crate::own_certificate::own(scene.keeper.store().state()).expect("readable");
        own.map(|own| own.certificate_der)
    };
    assert_eq!(own(), Some(identity.certificate_der));
    operator.post(&scene, "/setup/certificate/own", &[]);
    assert_eq!(own(), None);
    assert_eq!(renewed.load(Ordering::SeqCst), 2);
    let log = operator.get(&scene, "/log").text();
    assert!(
        log.matches("Certificate of the page").count() >= 2 && !log.contains("PRIVATE"),
        "{log}"
    );
}
