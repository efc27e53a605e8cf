//! One connection of a client: reads requests, has each answered, and passes the answers on.

use super::{BODY_BYTES_MAX, Edge};
use crate::listener::Connection;
use crate::tls::{Stream, Timeouts, is_wait};
use protocol::http::{
    Asked, Patience, Progress, Refusal, Request, Response, ResponseProgress, ResponseTo,
};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tracing::{debug, error};

pub(super) const TIMEOUTS: Timeouts = Timeouts {
    // 2 seconds: how late a deadline is noticed; 256 idle connections wake up 128 times a second.
    read: Duration::from_secs(2),
    // 30 seconds for 64 KiB: a client that reads slower than that only wants to hold the connection.
    write: Duration::from_secs(30),
    // 10 seconds, as for a head.
    handshake: Duration::from_secs(10),
};

/// 8 KiB are read at once from a client; heads are shorter.
const REQUEST_BUFFER_BYTES: usize = 8 * 1024;

/// 64 KiB are passed on at once of an answer.
const RESPONSE_BUFFER_BYTES: usize = 64 * 1024;

/// 10 minutes for a handler to answer: a slow disk takes some to be formatted, and the only sight of its recovery key is in the answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(600);

/// 1,000 requests a connection: then it has to be made anew, and with it the certificate it trusts.
const REQUESTS_MAX: usize = 1_000;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The page, under TLS.
    Page,
    /// Sends browsers to the page.
    Redirect,
}

/// Serves one connection to its end.
pub(super) fn serve(edge: &Edge, connection: &Connection, kind: Kind) {
    let peer = connection.peer();
    let result = Stream::new(connection.socket().clone(), TIMEOUTS).and_then(|mut stream| {
        if kind == Kind::Page {
            stream.start_tls(&edge.tls)?;
        }
        let began = Instant::now();
        let result =
            Conversation::new(edge, connection, &mut stream, kind, &|| began.elapsed()).run();
        stream.close();
        result
    });
    if let Err(error) = result {
        debug!(%peer, %error, "connection lost");
    }
}

/// The requests and answers of one connection.
pub(super) struct Conversation<'a> {
    edge: &'a Edge,
    connection: &'a Connection,
    stream: &'a mut Stream,
    kind: Kind,
    /// Time since any fixed moment.
    clock: &'a dyn Fn() -> Duration,
    /// What came behind the request before.
    held: Vec<u8>,
}

/// A whole request.
struct Whole {
    bytes: Vec<u8>,
    asked: Asked,
}

/// Why there is no request.
enum NoRequest {
    /// The client has ended, or said nothing for too long; there is nobody to answer.
    Ended,
    /// It is answered with a status and the connection closed.
    Refused(u16, String),
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        edge: &'a Edge,
        connection: &'a Connection,
        stream: &'a mut Stream,
        kind: Kind,
        clock: &'a dyn Fn() -> Duration,
    ) -> Self {
        Self {
            edge,
            connection,
            stream,
            kind,
            clock,
            held: Vec::new(),
        }
    }

    /// Goes on until one side wants the connection closed.
    ///
    /// # Errors
    /// When the client cannot be written to.
    pub(super) fn run(mut self) -> io::Result<()> {
        for number in 0..REQUESTS_MAX {
            let whole = match self.read_request(number == 0) {
                Ok(whole) => whole,
                Err(NoRequest::Ended) => return Ok(()),
                Err(NoRequest::Refused(status, why)) => return self.say(status, &why),
            };
            let goes_on = whole.asked.goes_on
                && self.kind == Kind::Page
                && number + 1 < REQUESTS_MAX
                && !self.connection.is_stopping();
            self.connection.set_busy(true);
            let result = match self.kind {
                Kind::Redirect => self.redirect(&whole.asked),
                Kind::Page => self.pass_on(&whole, goes_on),
            };
            self.connection.set_busy(false);
            if !result? || !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_request(&mut self, is_first: bool) -> Result<Whole, NoRequest> {
        let mut request = Request::new(self.connection.peer().ip(), BODY_BYTES_MAX);
        let mut patience = Patience::new(is_first, (self.clock)());
        let mut bytes = Vec::new();
        let mut buffer = [0; REQUEST_BUFFER_BYTES];
        let mut input = std::mem::take(&mut self.held);
        loop {
            if !input.is_empty() {
                let step = request.receive(&input);
                patience.input(request.asked().is_some(), (self.clock)());
                bytes.extend(step.upstream);
                match step.progress {
                    Progress::Complete => {
                        self.held = input.split_off(step.taken);
                        let asked = request.asked().cloned().unwrap_or_default();
                        return Ok(Whole { bytes, asked });
                    }
                    Progress::Refused(refusal) => return Err(refused(refusal)),
                    Progress::NeedInput => {}
                }
            }
            input.clear();
            let result = self.stream.read(&mut buffer);
            if patience.is_over((self.clock)()) {
                return Err(overdue(&patience));
            }
            match result {
                Ok(count @ 1..) => input.extend_from_slice(&buffer[..count]),
                Err(error) if is_wait(&error) => {}
                _ => return Err(NoRequest::Ended),
            }
        }
    }

    /// Has a request answered; tells whether the client got the whole answer.
    fn pass_on(&mut self, whole: &Whole, goes_on: bool) -> io::Result<bool> {
        let mut response = Response::new(ResponseTo {
            is_head: whole.asked.is_head,
            goes_on,
        });
        match self.answer(whole, &mut response) {
            Ok(()) => Ok(true),
            Err(Trouble::Client(error)) => Err(error),
            Err(Trouble::Behind(why)) => {
                // Without what was searched for: the log is no place for it.
                let path = whole.asked.target.split('?').next().unwrap_or_default();
                error!(path, why, "a request was not answered");
                if response.is_unseen() {
                    self.say(502, "the archive does not answer now; try again")?;
                }
                Ok(false)
            }
        }
    }

    fn answer(&mut self, whole: &Whole, response: &mut Response) -> Result<(), Trouble> {
        let behind = |error: io::Error| Trouble::Behind(error.to_string());
        let mut upstream = UnixStream::connect(self.edge.behind.path()).map_err(behind)?;
        upstream
            .set_read_timeout(Some(ANSWER_TIME_MAX))
            .map_err(behind)?;
        upstream
            .set_write_timeout(Some(ANSWER_TIME_MAX))
            .map_err(behind)?;
        upstream.write_all(&whole.bytes).map_err(behind)?;
        let mut buffer = vec![0; RESPONSE_BUFFER_BYTES];
        let mut downstream = Vec::new();
        loop {
            let count = read(&mut upstream, &mut buffer).map_err(behind)?;
            if count == 0 {
                return Err(Trouble::Behind("the answer ends too early".to_owned()));
            }
            let progress = response.receive(&buffer[..count], &mut downstream);
            self.stream
                .write_all(&downstream)
                .map_err(Trouble::Client)?;
            downstream.clear();
            match progress {
                ResponseProgress::NeedInput => {}
                ResponseProgress::Complete => return Ok(()),
                ResponseProgress::Broken => {
                    return Err(Trouble::Behind("the answer is broken".to_owned()));
                }
            }
        }
    }

    /// Sends a browser to the same place under TLS; the host's name is only taken if it is nothing but one.
    fn redirect(&mut self, asked: &Asked) -> io::Result<bool> {
        let Some(host) = host_name(&asked.host) else {
            self.say(400, "the request names no host")?;
            return Ok(false);
        };
        let port = match self.edge.options.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let location = format!("Location: https://{host}{port}{}\r\n", asked.target);
        self.say_with(308, "use https", &location)?;
        Ok(true)
    }

    fn say(&mut self, status: u16, text: &str) -> io::Result<()> {
        self.say_with(status, text, "")
    }

    /// Answers without those behind, and says that the connection ends.
    fn say_with(&mut self, status: u16, text: &str, fields: &str) -> io::Result<()> {
        let length = text.len() + 1;
        let head = format!(
            "HTTP/1.1 {status} {text}\r\n{fields}Content-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{text}\n"
        );
        self.stream.write_all(head.as_bytes())
    }
}

/// Who is to blame for an answer that did not arrive.
enum Trouble {
    /// The client cannot be written to.
    Client(io::Error),
    /// Those behind did not answer, or not well.
    Behind(String),
}

fn refused(refusal: Refusal) -> NoRequest {
    NoRequest::Refused(refusal.status(), refusal.to_string())
}

fn overdue(patience: &Patience) -> NoRequest {
    if patience.is_silent() {
        return NoRequest::Ended;
    }
    NoRequest::Refused(408, "the request took too long".to_owned())
}

fn read(stream: &mut UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Gives the name or address of a Host field without its port (RFC 9110 §7.2); none if it holds anything else.
fn host_name(host: &str) -> Option<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_good = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    is_good.then_some(name)
}
