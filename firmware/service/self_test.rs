//! What the archive says of itself while a version is on trial: a message of its own goes the whole way, and both doors answer over TLS.
//!
//! The message has a source kind of its own, so that it stands in no search, count or export. Nothing here needs a network beyond the machine. What follows
//! from what is missing is decided by whoever asked (`update::trial`).

use crate::keeper::Keeper;
use crate::keeper::messages::{BodyRequest, SearchRequest, WireAsker};
use crate::tls_client::{self, TlsClientError};
use archive::{Reception, SourceKind};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use store::{Body, BodyReader, Deposit};

/// 10 seconds for a door of our own: it stands in the same machine.
const DOOR_PATIENCE: Duration = Duration::from_secs(10);

/// The archive itself among actors (FORMAT.md).
const COFFER: u64 = 0;

/// An archive that tests itself.
pub struct SelfTest {
    keeper: Arc<dyn Keeper>,
    smtps_port: Option<u16>,
    https_port: Option<u16>,
}

impl SelfTest {
    /// Tests the archive of a keeper, and its doors for SMTP and the page under TLS where there are such.
    pub fn new(
        keeper: Arc<dyn Keeper>,
        smtps: Option<SocketAddr>,
        https: Option<SocketAddr>,
    ) -> Self {
        Self {
            keeper,
            smtps_port: smtps.map(|address| address.port()),
            https_port: https.map(|address| address.port()),
        }
    }

    /// Gives what does not hold, and why: names of `update::trial::Proof`.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let tests = [
            (
                "self-test",
                self.keeper
                    .self_test()
                    .map_err(|failure| failure.to_string()),
            ),
            ("page", answers(self.https_port, get, "HTTP/1.1 ")),
            ("smtp", answers(self.smtps_port, "QUIT\r\n", "220 ")),
        ];
        let missing = tests.into_iter().filter_map(|(name, done)| {
            let why = done.err()?;
            Some((name, why.replace(['\n', ';'], " ")))
        });
        missing.collect()
    }
}

/// Gives an archive a message, finds it again by a word that only it has, and compares the bytes.
pub(crate) fn message(keeper: &dyn Keeper) -> Result<(), String> {
    let word = format!("selftest{}", store::hex(&store::random::<16>()));
    let message = format!(
        "From: coffer@localhost\r\nTo: coffer@localhost\r\nSubject: {word}\r\n\r\nThis version of Coffer tests itself.\r\n"
    );
    let deposit = Deposit {
        reception: Reception {
            source: SourceKind::SelfTest,
            ..Reception::default()
        },
        unwrap_journal: false,
        actor: COFFER,
        prompt: true,
    };
    let stored = keeper
        .deposit(Body::Memory(message.clone().into_bytes()), deposit)
        .and_then(|answer| answer.wait())
        .map_err(|failure| format!("not stored: {failure}"))?;
    let page = keeper.search(SearchRequest {
        query: word,
        asker: WireAsker::Owner,
        limit: 2,
        self_tests: true,
        fresh: true,
        ..SearchRequest::default()
    });
    let found = page.map_err(|failure| format!("not searched: {failure}"))?;
    let numbers: Vec<u64> = found.hits.iter().map(|hit| hit.entry.number).collect();
    if numbers != [stored.number] {
        return Err("stored, but not found".to_owned());
    }
    let body = keeper.body(BodyRequest::Number(stored.number));
    let body = body.map_err(|failure| format!("not read: {failure}"))?;
    let mut bytes = Vec::new();
    BodyReader::new(body)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("not read: {error}"))?;
    match bytes == message.as_bytes() {
        true => Ok(()),
        false => Err("read otherwise than it was stored".to_owned()),
    }
}

/// Says whether a door of this machine answers over TLS with such a beginning; a door that is not there need not.
fn answers(port: Option<u16>, question: &str, beginning: &str) -> Result<(), String> {
    let Some(port) = port else { return Ok(()) };
    // The certificate is our own, whatever it is: the first connection asks which, the second one believes it.
    let certificate = match tls_client::start(connect(port)?, "localhost", None) {
        Err(TlsClientError::Certificate { fingerprint, .. }) => Some(fingerprint),
        Err(error) => return Err(store::chain(&error)),
        Ok(_) => None,
    };
    let mut tls = tls_client::start(connect(port)?, "localhost", certificate)
        .map_err(|error| store::chain(&error))?;
    let mut answer = vec![0; beginning.len()];
    tls.write_all(question.as_bytes())
        .and_then(|()| tls.flush())
        .and_then(|()| tls.read_exact(&mut answer))
        .map_err(|error| error.to_string())?;
    match answer == beginning.as_bytes() {
        true => Ok(()),
        false => Err(format!("it answers: {}", answer.escape_ascii())),
    }
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let connected = (|| -> io::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = TcpStream::connect_timeout(&address, DOOR_PATIENCE)?;
        socket.set_read_timeout(Some(DOOR_PATIENCE))?;
        socket.set_write_timeout(Some(DOOR_PATIENCE))?;
        Ok(socket)
    })();
    connected.map_err(|error| error.to_string())
}
