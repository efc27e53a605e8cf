//! A repository behind a web server, by HTTPS or plain HTTP.
//!
//! Redirects are not followed, and every request has a deadline, so that neither a server that sends on nor one that drips keeps us.
//! TLS is only the outer guard: what is believed is what the metadata's keys have signed. Source: RFC 9110, 9112.

use crate::error::FetchError;
use crate::name::address_path;
use crate::repository::Repository;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;
use ureq::http::header::{CONTENT_RANGE, RANGE};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// 16 KiB: heads of servers have some hundred bytes; what is longer ends the request.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// 60 s for a request, and all metadata: a few kilobytes each.
const REQUEST_SECONDS: u64 = 60;

/// 20 s until a server is reached, after which the next of its addresses is tried.
const CONNECT_SECONDS: u64 = 20;

/// 4 KiB a second at least for a target, beside the time of a request: 30 MB in two hours. Slower servers hold back on purpose, or
/// leave no time to install before the morning.
const TARGET_BYTES_PER_SECOND: u64 = 4 * 1024;

/// Whose word is taken for the name of a web server.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The authorities that browsers know (Mozilla's list).
    Browsers,
    /// These certificates of authorities, each in DER.
    Only(Vec<Vec<u8>>),
}

impl Trust {
    /// Takes the word of the authorities in a file (PEM) alone, as an office has them that serves updates itself.
    ///
    /// # Errors
    /// `Authority` when there is none in it.
    pub fn only(pem: &[u8]) -> Result<Self, FetchError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let authorities = read.unwrap_or_default();
        match authorities.is_empty() {
            true => Err(FetchError::Authority),
            false => Ok(Self::Only(
                authorities.iter().map(|der| der.to_vec()).collect(),
            )),
        }
    }
}

/// Files on a web server.
#[derive(Debug)]
pub struct HttpRepository {
    agent: Agent,
    metadata: String,
    targets: Option<String>,
}

impl HttpRepository {
    /// Names the folders of metadata and targets, without asking the server yet.
    ///
    /// # Errors
    /// `Address` for anything but `https://…` and `http://…`.
    pub fn new(metadata: &str, targets: Option<&str>, trust: &Trust) -> Result<Self, FetchError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_response_header_size(HEAD_BYTES_MAX)
            .timeout_connect(Some(Duration::from_secs(CONNECT_SECONDS)))
            .proxy(None)
            .tls_config(tls(trust))
            .user_agent(concat!("coffer/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: agent.into(),
            metadata: folder_address(metadata)?,
            targets: targets.map(folder_address).transpose()?,
        })
    }

    /// Asks for a file, behind its first bytes.
    fn fetch(
        &self,
        address: &str,
        deadline: Duration,
        behind: u64,
    ) -> Result<Option<Box<dyn Read>>, FetchError> {
        let mut request = self.agent.get(address);
        if behind > 0 {
            request = request.header(RANGE, format!("bytes={behind}-"));
        }
        let request = request.config().timeout_global(Some(deadline)).build();
        let response = request
            .call()
            .map_err(|error| FetchError::Transport(error.into()))?;
        match response.status().as_u16() {
            200 => whole(response, behind).map(Some),
            206 if behind > 0 && begins_behind(&response, behind) => Ok(Some(body(response))),
            // Stores of files answer 403 where a list of them is not public.
            403 | 404 | 410 => Ok(None),
            status => Err(FetchError::Status(status)),
        }
    }
}

fn tls(trust: &Trust) -> TlsConfig {
    let roots = match trust {
        Trust::Browsers => RootCerts::WebPki,
        Trust::Only(authorities) => {
            let authorities = authorities.iter();
            let certificates = authorities.map(|der| Certificate::from_der(der).to_owned());
            RootCerts::Specific(Arc::new(certificates.collect()))
        }
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(provider))
        .build()
}

fn body(response: Response<ureq::Body>) -> Box<dyn Read> {
    Box::new(response.into_body().into_reader())
}

/// Passes over the first bytes of a file that comes from its beginning: a server need not know parts (RFC 9110 §14.2).
fn whole(response: Response<ureq::Body>, behind: u64) -> Result<Box<dyn Read>, FetchError> {
    let mut file = body(response);
    io::copy(&mut (&mut file).take(behind), &mut io::sink())
        .map_err(|error| FetchError::Transport(error.into()))?;
    Ok(file)
}

/// Tells whether a part begins where it must (RFC 9110 §14.4).
fn begins_behind(response: &Response<ureq::Body>, behind: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {behind}-")))
}

impl Repository for HttpRepository {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        let address = format!("{}{name}", self.metadata);
        self.fetch(&address, Duration::from_secs(REQUEST_SECONDS), 0)
    }

    fn target(
        &self,
        path: &str,
        length: u64,
        behind: u64,
    ) -> Result<Option<Box<dyn Read>>, FetchError> {
        let Some(targets) = &self.targets else {
            return Ok(None);
        };
        let address = format!("{targets}{}", address_path(path));
        let seconds = REQUEST_SECONDS + length / TARGET_BYTES_PER_SECOND;
        self.fetch(&address, Duration::from_secs(seconds), behind)
    }
}

fn folder_address(address: &str) -> Result<String, FetchError> {
    if !["https://", "http://"]
        .iter()
        .any(|known| address.starts_with(known))
    {
        return Err(FetchError::Address(address.to_owned()));
    }
    let slash = if address.ends_with('/') { "" } else { "/" };
    Ok(format!("{address}{slash}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;
    use crate::plain_fallback::is_of_clock_or_authority;
    use crate::repository::read_at_most;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    /// Most bytes that are read of an answer.
    const BYTES_MAX: u64 = 1000;

    /// A server that answers one request in whatever way: what comes of it, and what was asked.
    fn ask(
        path: &str,
        behind: u64,
        answer: impl FnOnce(&mut TcpStream) + Send + 'static,
    ) -> (Result<Option<Vec<u8>>, FetchError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!(
            "http://{}/metadata",
            listener.local_addr().expect("an address")
        );
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a head");
                head.push(byte[0]);
            }
            answer(&mut stream);
            String::from_utf8(head).expect("UTF-8")
        });
        let repository = HttpRepository::new(&address, None, &Trust::Browsers).expect("an address");
        let address = format!("{}{path}", repository.metadata);
        let answer = repository
            .fetch(&address, Duration::from_millis(500), behind)
            .and_then(|file| file.map(|file| read_at_most(file, BYTES_MAX)).transpose());
        (answer, server.join().expect("a server"))
    }

    /// Expects what comes of an answer: a file, none, or an error that begins so.
    #[track_caller]
    fn check(
        answer: impl FnOnce(&mut TcpStream) + Send + 'static,
        expected: Result<Option<&str>, &str>,
    ) {
        let found = ask("timestamp.json", 0, answer).0;
        let found = found.map(|file| file.map(|bytes| String::from_utf8(bytes).expect("UTF-8")));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected),
            (Err(error), Err(expected)) => {
                let text = chain(&error);
                assert!(text.starts_with(expected), "{text}");
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    fn text(text: &'static str) -> impl FnOnce(&mut TcpStream) + Send + 'static {
        move |stream| stream.write_all(text.as_bytes()).expect("a reader")
    }

    /// Writes for ever, until the other side has had enough.
    fn endless(
        head: &'static str,
        pause: Duration,
    ) -> impl FnOnce(&mut TcpStream) + Send + 'static {
        move |stream| {
            stream.write_all(head.as_bytes()).expect("a reader");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(pause);
            }
        }
    }

    #[test]
    fn files_come_in_every_form() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile and more",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nf\r\n3\r\nile\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nfile",
        ] {
            check(text(answer), Ok(Some("file")));
        }
    }

    #[test]
    fn one_file_is_asked_for() {
        let (_, head) = ask("7.a%2Fb.json", 0, text("HTTP/1.0 404 No\r\n\r\n"));
        assert!(
            head.starts_with("GET /metadata/7.a%2Fb.json HTTP/1.1\r\n"),
            "{head}"
        );
    }

    #[test]
    fn only_some_answers_say_that_there_is_none() {
        for status in ["403 Forbidden", "404 Not Found", "410 Gone"] {
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            check(text(head.leak()), Ok(None));
        }
        for status in ["500", "503", "400", "401", "204", "206"] {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            let expected: &str = format!("server answers with status: {status}").leak();
            check(text(head.leak()), Err(expected));
        }
    }

    #[test]
    fn what_is_there_already_does_not_come_again() {
        for (answer, expected) in [
            (
                "206 X\r\nContent-Range: bytes 2-3/4\r\nContent-Length: 2\r\n\r\nle",
                Some("le"),
            ),
            (
                "206 X\r\nContent-Range: bytes 2-3/*\r\nContent-Length: 2\r\n\r\nle",
                Some("le"),
            ),
            ("200 X\r\nContent-Length: 4\r\n\r\nfile", Some("le")),
            ("200 X\r\nContent-Length: 1\r\n\r\nf", Some("")),
            (
                "206 X\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4\r\n\r\nfile",
                None,
            ),
            (
                "206 X\r\nContent-Range: bytes 20-30/4\r\nContent-Length: 2\r\n\r\nle",
                None,
            ),
            ("206 X\r\nContent-Length: 2\r\n\r\nle", None),
            ("416 X\r\nContent-Length: 0\r\n\r\n", None),
        ] {
            let answer: &str = format!("HTTP/1.1 {answer}").leak();
            let (found, head) = ask("target", 2, text(answer));
            let found = found.ok().flatten();
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{answer}");
            assert!(
                head.to_lowercase().contains("\r\nrange: bytes=2-\r\n"),
                "{head}"
            );
        }
    }

    #[test]
    fn redirects_are_not_followed() {
        let away =
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        check(text(away), Err("server answers with status: 302"));
    }

    #[test]
    fn broken_answers_are_no_files() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfile",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfile",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nfile",
            "SSH-2.0-OpenSSH_10.0\r\n",
        ] {
            check(text(answer), Err("transport fails: "));
        }
    }

    #[test]
    fn endless_and_slow_answers_end() {
        let none = Duration::ZERO;
        check(
            endless("HTTP/1.0 200 OK\r\n\r\n", none),
            Err("longer than it may be, in bytes: 1000"),
        );
        check(
            endless("HTTP/1.1 200 OK\r\nX: ", none),
            Err("transport fails: "),
        );
        let drip = Duration::from_millis(20);
        check(
            endless("HTTP/1.0 200 OK\r\n\r\n", drip),
            Err("transport fails: "),
        );
        check(endless("", drip), Err("transport fails: "));
    }

    #[test]
    fn only_http_and_https_are_understood() {
        for address in ["ftp://localhost/", "file:///etc", "localhost", ""] {
            let refused = HttpRepository::new(address, None, &Trust::Browsers);
            assert!(matches!(refused, Err(FetchError::Address(_))), "{address}");
        }
    }

    /// Asks a server with a certificate of its own for one file.
    fn ask_by_tls(trust: impl FnOnce(Vec<u8>) -> Trust) -> Result<Option<Vec<u8>>, FetchError> {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = made.signing_key.serialize_der();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a key that fits");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let session = rustls::ServerConnection::new(Arc::new(config)).expect("a session");
            let mut stream = rustls::StreamOwned::new(session, stream);
            // Whoever does not believe us is gone by now.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile");
        });
        let trust = trust(made.cert.der().to_vec());
        let address = format!("https://localhost:{port}");
        let repository = HttpRepository::new(&address, None, &trust).expect("an address");
        let file = repository.metadata("1.root.json");
        let file = file.and_then(|file| file.map(|file| read_at_most(file, BYTES_MAX)).transpose());
        server.join().expect("a server");
        file
    }

    #[test]
    fn only_a_server_that_is_vouched_for_is_asked() {
        let file = ask_by_tls(|certificate| Trust::Only(vec![certificate]));
        assert_eq!(file.expect("a file").as_deref(), Some(&b"file"[..]));
        let refused = ask_by_tls(|_| Trust::Browsers).expect_err("no trust");
        assert!(
            chain(&refused).contains("certificate"),
            "{}",
            chain(&refused)
        );
        assert!(is_of_clock_or_authority(&refused));
        assert!(ask_by_tls(|_| Trust::Only(Vec::new())).is_err());
    }
}
