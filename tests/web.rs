//! The page as people and attackers meet it: the real program, curl, and TLS connections that say nothing.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tests::{Archive, Folder, Page, SelfSigned, run};

/// 64 MiB above what an idle program takes: 1,000 connections that say nothing must not cost more.
const IDLE_BYTES_MAX: u64 = 64 << 20;

#[test]
fn a_new_archive_is_claimed_and_set_up_in_a_browser() {
    let folder = Folder::new("web-setup");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[&"--web", &"127.0.0.1:0", &"--web-redirect", &"127.0.0.1:0"]);
    let Some(page) = Page::new(&folder, &archive, &serving) else {
        return;
    };
    let plain = run(
        "curl",
        &[
            "-s",
            "-i",
            &format!("{}/setup", serving.said("web-redirect")),
        ],
    )
    .text();
    assert!(plain.starts_with("HTTP/1.1 308 "), "{plain}");
    assert!(
        plain.contains(&format!("Location: {}\r\n", page.address("/setup"))),
        "{plain}"
    );
    let first = page.get("/");
    assert!(
        first.contains("Claim code") && first.contains("Content-Security-Policy: "),
        "{first}"
    );
    page.claim(&serving);
    assert!(page.get("/setup/mail?wait=0").contains("Refresh: 3\r\n"));
    let (number, _) = serving
        .connect()
        .send(
            "anna@office.example",
            &["kim@office.example"],
            b"Subject: x\r\n\r\nx\r\n",
        )
        .expect("an answer")
        .stored();
    assert!(
        page.get("/setup/mail?wait=0")
            .contains("The first mail has arrived.")
    );
    let saved = page.send(
        "/setup/retention",
        "/setup/retention",
        &[("retention years", "10")],
    );
    assert!(saved.contains("Location: /setup\r\n"), "{saved}");
    for path in [
        format!("/message/{number}"),
        format!("/message/{number}.eml"),
        "/search?q=x".to_owned(),
    ] {
        let refused = page.get(&path);
        assert!(
            refused.starts_with("HTTP/1.1 404 "),
            "the operator reads no mail: {refused}"
        );
    }
    serving.stop();
    let serving = archive.serve(&[&"--web", &"127.0.0.1:0"]);
    let page = Page {
        address: serving.said("web").to_owned(),
        ..page
    };
    let setup = page.get("/setup");
    assert!(
        setup.contains("10 years"),
        "settings and session stand: {setup}"
    );
    let out = page.send("/setup", "/sign-out", &[]);
    assert!(out.contains("Location: /sign-in\r\n"), "{out}");
    assert!(
        page.get("/setup")
            .contains("Location: /sign-in?next=%2Fsetup\r\n")
    );
    serving.stop();
    archive.verify();
}

#[test]
fn a_certificate_of_others_is_used_at_once_and_after_a_start() {
    let folder = Folder::new("web-certificate");
    let Some(others) = SelfSigned::new(&folder) else {
        return;
    };
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[&"--web", &"127.0.0.1:0"]);
    let Some(page) = Page::new(&folder, &archive, &serving) else {
        return;
    };
    page.claim(&serving);
    let text = |path| std::fs::read_to_string(path).expect("text");
    let (chain, secret) = (text(&others.certificate), text(&others.key));
    let values = [("certificate", chain.as_str()), ("key", secret.as_str())];
    let put_in = page.send("/setup/certificate", "/setup/certificate", &values);
    let done = "Location: /setup/certificate\r\n";
    assert!(put_in.contains(done), "{put_in}");
    let (of_the_box, page) = (
        page.certificate.clone(),
        Page {
            certificate: Some(others.certificate),
            ..page
        },
    );
    let shown = page.get("/setup/certificate");
    assert!(
        shown.contains("127.0.0.1") && !shown.contains(&secret),
        "{shown}"
    );
    serving.stop();
    let serving = archive.serve(&[&"--web", &"127.0.0.1:0"]);
    let address = serving.said("web").to_owned();
    let page = Page { address, ..page };
    let back = page.send("/setup/certificate", "/setup/certificate/own", &[]);
    assert!(back.contains(done), "{back}");
    let page = Page {
        certificate: of_the_box,
        ..page
    };
    assert!(page.get("/setup/certificate").starts_with("HTTP/1.1 200 "));
    serving.stop();
    archive.verify();
}

/// Opens a connection and begins TLS, as a browser does that trusts the box, and asks for nothing.
fn idle(config: &Arc<ClientConfig>, web: SocketAddr) -> TcpStream {
    let name = ServerName::from(web.ip());
    let mut tls = ClientConnection::new(config.clone(), name).expect("a name");
    let mut socket = TcpStream::connect(web).expect("serve takes connections");
    tls.complete_io(&mut socket).expect("a handshake");
    socket
}

fn trusting(archive: &Archive) -> Arc<ClientConfig> {
    let certificate = archive.run("certificate", &[]);
    let certificate = CertificateDer::from_pem_slice(&certificate).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("an authority");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("its own protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn a_thousand_idle_connections_cost_little_and_keep_nobody_out() {
    let folder = Folder::new("web-idle");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[&"--web", &"127.0.0.1:0"]);
    let Some(page) = Page::new(&folder, &archive, &serving) else {
        return;
    };
    let config = trusting(&archive);
    let web = page.address["https://".len()..]
        .parse()
        .expect("an address");
    let before = serving.memory_peak_bytes();
    let mut silent: Vec<_> = (0..1_000).map(|_| idle(&config, web)).collect();
    // The beginning of a TLS record, or nothing at all.
    for index in 0..600 {
        let mut connection = TcpStream::connect(web).expect("serve takes connections");
        let _ = connection.write_all(&[22, 3, 1][..index % 4]);
        silent.push(connection);
    }
    for number in 0..20 {
        let message = format!("Subject: {number}\r\n\r\nx\r\n");
        serving
            .connect()
            .send(
                "anna@office.example",
                &["kim@office.example"],
                message.as_bytes(),
            )
            .expect("an answer")
            .stored();
        assert!(page.get("/").contains("Claim code"));
    }
    let taken = serving.memory_peak_bytes() - before;
    assert!(taken < IDLE_BYTES_MAX, "{taken} bytes");
    for connection in &mut silent {
        let patience = Some(Duration::from_secs(60));
        connection.set_read_timeout(patience).expect("a socket");
        // It is ended by the server, in order or not.
        if let Err(error) = connection.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
    }
    serving.stop();
}
