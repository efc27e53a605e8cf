//! Hands one message to a mail server, as an SMTP client (RFC 5321, 3207, 4954), and tells each step.
//!
//! The server is not trusted: what it says is bounded in time, lines and bytes. Nothing is sent before the protection that the route asks for
//! stands; a server that does not offer it gets nothing. A client library would not do: the known one reads replies without any bound.

use super::route::{Route, Security};
use crate::people::Secret;
use crate::tls_client::{self, TlsClientError, TlsStream};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one step.
    pub step: Duration,
    /// For all of it.
    pub whole: Duration,
}

impl Patience {
    /// 30 seconds a step, since some servers let strangers wait with their greeting; two minutes for all, whatever dribbles in.
    pub const USUAL: Self = Self {
        step: Duration::from_secs(30),
        whole: Duration::from_secs(120),
    };
}

/// 10 seconds for each address of a server to answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// 2 KiB of a line (RFC 5321 §4.5.3.1.5 asks for 512 bytes).
const LINE_BYTES_MAX: usize = 2 << 10;

/// 100 lines of a reply: a greeting or a list of extensions has up to 20.
const REPLY_LINES_MAX: usize = 100;

/// 300 characters of what a server said are shown.
const SAID_CHARS_MAX: usize = 300;

/// A step of handing a message over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The server is found and takes the connection.
    Connect,
    /// It says who it is.
    Greeting,
    /// It says what it can do.
    Hello,
    /// The connection is protected.
    Tls,
    /// It takes user and password.
    SignIn,
    /// It takes the sender.
    Sender,
    /// It takes the recipient.
    Recipient,
    /// It takes the message over.
    Content,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::Tls => "TLS",
            Self::SignIn => "signing in",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Content => "content",
        })
    }
}

/// Why a message was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The address cannot stand in a command.
    #[error("not an address that mail can be sent to: {0}")]
    Address(String),
    /// Nobody knows the server by this name.
    #[error("the server is not known by its name: {server}")]
    Unknown {
        /// The name.
        server: String,
        /// What was said about it.
        source: io::Error,
    },
    /// The server does not take the connection.
    #[error("the server cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It takes too long.
    #[error("the server does not answer in time: {0}")]
    Slow(Step),
    /// The connection broke.
    #[error("the connection broke: {step}")]
    Broken {
        /// At which step.
        step: Step,
        /// How.
        source: io::Error,
    },
    /// What it says is not SMTP.
    #[error("the server does not speak SMTP: {step}: {said}")]
    Odd {
        /// At which step.
        step: Step,
        /// What it said.
        said: String,
    },
    /// It said no.
    #[error("the server refused: {step}: {code} {said}")]
    Refused {
        /// At which step.
        step: Step,
        /// The code of its reply.
        code: u16,
        /// What it said.
        said: String,
    },
    /// It offers no TLS.
    #[error("the server does not offer STARTTLS")]
    NoStartTls,
    /// It offers no way to sign in that is known here.
    #[error("the server offers no sign-in with a password")]
    NoSignIn,
    /// There is no password for the user.
    #[error("there is no password for the user")]
    NoPassword,
    /// Nobody vouches for the server.
    #[error("nobody vouches for the server's certificate: {why}")]
    Certificate {
        /// SHA-256 of its certificate.
        fingerprint: [u8; 32],
        /// What does not hold.
        why: String,
    },
    /// TLS does not come about.
    #[error("TLS does not come about")]
    Tls(#[source] io::Error),
}

impl Trouble {
    /// Tells whether it is about this recipient or message alone: another may go through.
    pub fn is_of_message(&self) -> bool {
        let refused = |step: &Step| matches!(step, Step::Recipient | Step::Content);
        match self {
            Self::Address(_) => true,
            Self::Refused { step, code, .. } => *code != 421 && refused(step),
            _ => false,
        }
    }

    /// Tells it with its causes on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// Who sends, and how.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// Which way.
    pub route: &'a Route,
    /// The password of the route's user, if there is one.
    pub password: Option<&'a Secret>,
    /// What this host calls itself.
    pub hostname: &'a str,
    /// How long the server may take.
    pub patience: Patience,
}

impl Sender<'_> {
    /// Hands a message over; `watch` hears of each step that went well and what the server said.
    ///
    /// Lines of the message end in CR LF, and none begins with a dot.
    ///
    /// # Errors
    /// Why it was not taken over. When the last reply is lost the server may have it all the same.
    pub fn hand_over(
        &self,
        to: &str,
        message: &str,
        watch: &mut dyn FnMut(Step, &str),
    ) -> Result<(), Trouble> {
        for address in [to, &self.route.from] {
            if !is_plain(address) {
                return Err(Trouble::Address(address.to_owned()));
            }
        }
        let mut dialogue = self.begin(watch)?;
        self.sign_in(&mut dialogue, watch)?;
        let from = format!("MAIL FROM:<{}>\r\n", self.route.from);
        watch(Step::Sender, &dialogue.ask(Step::Sender, &from, 2)?.said());
        let recipient = format!("RCPT TO:<{to}>\r\n");
        let said = dialogue.ask(Step::Recipient, &recipient, 2)?.said();
        watch(Step::Recipient, &said);
        dialogue.ask(Step::Content, "DATA\r\n", 3)?;
        let said = dialogue.ask(Step::Content, &format!("{message}.\r\n"), 2)?;
        watch(Step::Content, &said.said());
        // It has the message; how it says goodbye does not matter.
        let _ = dialogue.ask(Step::Content, "QUIT\r\n", 2);
        Ok(())
    }

    /// Connects, greets, and protects the connection as the route says.
    fn begin(&self, watch: &mut dyn FnMut(Step, &str)) -> Result<Dialogue, Trouble> {
        let (socket, place) = connect(self.route, self.patience)?;
        watch(Step::Connect, &place);
        let mut dialogue = Dialogue::new(Wire::Plain(socket));
        if self.route.security == Security::Tls {
            dialogue = self.protect(dialogue, watch)?;
        }
        watch(Step::Greeting, &dialogue.hear(Step::Greeting, 2)?.said());
        self.greet(&mut dialogue, watch)?;
        if self.route.security == Security::StartTls {
            if !dialogue.offers("STARTTLS") {
                return Err(Trouble::NoStartTls);
            }
            dialogue.ask(Step::Tls, "STARTTLS\r\n", 2)?;
            dialogue = self.protect(dialogue, watch)?;
            self.greet(&mut dialogue, watch)?;
        }
        Ok(dialogue)
    }

    fn greet(
        &self,
        dialogue: &mut Dialogue,
        watch: &mut dyn FnMut(Step, &str),
    ) -> Result<(), Trouble> {
        let hello = format!("EHLO {}\r\n", self.hostname);
        let reply = dialogue.ask(Step::Hello, &hello, 2)?;
        watch(Step::Hello, &reply.said());
        dialogue.extensions = reply.lines.into_iter().skip(1).collect();
        Ok(())
    }

    fn protect(
        &self,
        dialogue: Dialogue,
        watch: &mut dyn FnMut(Step, &str),
    ) -> Result<Dialogue, Trouble> {
        let Wire::Plain(mut socket) = dialogue.wire else {
            return Ok(dialogue);
        };
        // What came before TLS could be anybody's (RFC 3207 §4.2).
        if !dialogue.unread.is_empty() {
            let said = "more than a reply before TLS".to_owned();
            return Err(Trouble::Odd {
                step: Step::Tls,
                said,
            });
        }
        socket.begin_step();
        let tls = tls_client::start(socket, &self.route.server, self.route.certificate)?;
        let version = tls.conn.protocol_version();
        let version = version.map_or_else(String::new, |version| format!("{version:?}"));
        watch(Step::Tls, &version.replace('_', "."));
        Ok(Dialogue::new(Wire::Tls(Box::new(tls))))
    }

    /// Signs in (RFC 4954), if the route has a user.
    fn sign_in(
        &self,
        dialogue: &mut Dialogue,
        watch: &mut dyn FnMut(Step, &str),
    ) -> Result<(), Trouble> {
        let user = &self.route.user;
        if user.is_empty() || !matches!(dialogue.wire, Wire::Tls(_)) {
            return Ok(());
        }
        let password = &self.password.ok_or(Trouble::NoPassword)?.0;
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        let reply = if dialogue.offers_sign_in("PLAIN") {
            let both = encoded(&format!("\0{user}\0{password}"));
            dialogue.ask(Step::SignIn, &format!("AUTH PLAIN {both}\r\n"), 2)?
        } else if dialogue.offers_sign_in("LOGIN") {
            dialogue.ask(Step::SignIn, "AUTH LOGIN\r\n", 3)?;
            dialogue.ask(Step::SignIn, &format!("{}\r\n", encoded(user)), 3)?;
            dialogue.ask(Step::SignIn, &format!("{}\r\n", encoded(password)), 2)?
        } else {
            return Err(Trouble::NoSignIn);
        };
        watch(Step::SignIn, &reply.said());
        Ok(())
    }
}

impl From<TlsClientError> for Trouble {
    fn from(error: TlsClientError) -> Self {
        match error {
            TlsClientError::Certificate { fingerprint, why } => {
                Self::Certificate { fingerprint, why }
            }
            TlsClientError::Handshake(error) if is_slow(&error) => Self::Slow(Step::Tls),
            TlsClientError::Handshake(error) => Self::Tls(error),
            TlsClientError::Name(name) => Self::Tls(io::Error::new(ErrorKind::InvalidInput, name)),
        }
    }
}

/// Tells whether an address can stand in a command without SMTPUTF8 and without quoting (RFC 5321 §4.1.2).
pub(crate) fn is_plain(address: &str) -> bool {
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || b"<>\"\\(),:;[]".contains(&byte);
    address.contains('@') && !address.bytes().any(is_odd)
}

/// Connects to the first address of the server that answers; gives that address, too.
fn connect(route: &Route, patience: Patience) -> Result<(Timed, String), Trouble> {
    let until = Instant::now() + patience.whole;
    let server = (route.server.as_str(), route.port);
    let unknown = |source| Trouble::Unknown {
        server: route.server.clone(),
        source,
    };
    let mut last = ErrorKind::NotFound.into();
    for address in server.to_socket_addrs().map_err(unknown)? {
        match TcpStream::connect_timeout(&address, CONNECT_PATIENCE.min(patience.step)) {
            Ok(socket) => {
                let timed = Timed::new(socket, patience.step, until);
                return Ok((timed, address.to_string()));
            }
            Err(error) => last = error,
        }
        if Instant::now() >= until {
            break;
        }
    }
    Err(if is_slow(&last) {
        Trouble::Slow(Step::Connect)
    } else {
        Trouble::Unreachable(last)
    })
}

fn is_slow(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// A socket whose reads and writes end with the step, and with the patience for all steps.
struct Timed {
    socket: TcpStream,
    step: Duration,
    step_until: Instant,
    until: Instant,
}

impl Timed {
    fn new(socket: TcpStream, step: Duration, until: Instant) -> Self {
        Self {
            socket,
            step,
            step_until: Instant::now() + step,
            until,
        }
    }

    fn begin_step(&mut self) {
        self.step_until = Instant::now() + self.step;
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.step_until.min(self.until);
        let left = left.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Wire {
    Plain(Timed),
    Tls(Box<TlsStream<Timed>>),
}

impl Wire {
    fn begin_step(&mut self) {
        match self {
            Self::Plain(socket) => socket.begin_step(),
            Self::Tls(tls) => tls.sock.begin_step(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => {
                tls.write_all(bytes)?;
                tls.flush()
            }
        }
    }
}

/// What is said over a connection.
struct Dialogue {
    wire: Wire,
    /// What came and belongs to no line yet.
    unread: Vec<u8>,
    /// What the server can do, by EHLO.
    extensions: Vec<String>,
}

/// A reply (RFC 5321 §4.2).
struct Reply {
    code: u16,
    /// The text of each line.
    lines: Vec<String>,
}

impl Reply {
    /// What people are shown of it.
    fn said(&self) -> String {
        printable(&format!("{} {}", self.code, self.lines.join(" ")))
    }
}

impl Dialogue {
    fn new(wire: Wire) -> Self {
        Self {
            wire,
            unread: Vec::new(),
            extensions: Vec::new(),
        }
    }

    fn say(&mut self, command: &str) -> io::Result<()> {
        self.wire.begin_step();
        self.wire.write_all(command.as_bytes())
    }

    /// Says a command, and takes a reply whose code has this first digit: it tells what to do next (RFC 5321 §4.2.1), 251 is as good as 250.
    fn ask(&mut self, step: Step, command: &str, digit: u16) -> Result<Reply, Trouble> {
        self.say(command).map_err(|error| failed(step, error))?;
        self.hear(step, digit)
    }

    fn hear(&mut self, step: Step, digit: u16) -> Result<Reply, Trouble> {
        self.wire.begin_step();
        let reply = self.reply(step)?;
        if reply.code / 100 == digit {
            return Ok(reply);
        }
        let said = printable(&reply.lines.join(" "));
        Err(Trouble::Refused {
            step,
            code: reply.code,
            said,
        })
    }

    fn reply(&mut self, step: Step) -> Result<Reply, Trouble> {
        let mut lines = Vec::new();
        while lines.len() < REPLY_LINES_MAX {
            let line = self.line().map_err(|error| failed(step, error))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let code = line
                .get(..3)
                .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
            let code: Option<u16> = code.and_then(|code| code.parse().ok());
            let Some(code @ 200..=599) = code else {
                let said = printable(&line);
                return Err(Trouble::Odd { step, said });
            };
            let goes_on = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line.get(4..).unwrap_or_default().trim_end().to_owned());
            if !goes_on {
                return Ok(Reply { code, lines });
            }
        }
        let said = "a reply without an end".to_owned();
        Err(Trouble::Odd { step, said })
    }

    /// Reads a line with its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                return Ok(self.unread.drain(..=end).collect());
            }
            if self.unread.len() > LINE_BYTES_MAX {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "a line without an end",
                ));
            }
            let mut some = [0; LINE_BYTES_MAX];
            match self.wire.read(&mut some) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.unread.extend_from_slice(&some[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn offers(&self, extension: &str) -> bool {
        self.words()
            .any(|words| words.first().is_some_and(|word| word == extension))
    }

    fn offers_sign_in(&self, mechanism: &str) -> bool {
        self.words().any(|words| {
            let is_auth = words.first().is_some_and(|word| word == "AUTH");
            is_auth && words.iter().skip(1).any(|word| word == mechanism)
        })
    }

    /// The words of each extension; some old servers write `AUTH=LOGIN`.
    fn words(&self) -> impl Iterator<Item = Vec<String>> {
        self.extensions.iter().map(|line| {
            let line = line.to_ascii_uppercase();
            line.split([' ', '=']).map(str::to_owned).collect()
        })
    }
}

fn failed(step: Step, source: io::Error) -> Trouble {
    match source.kind() {
        _ if is_slow(&source) => Trouble::Slow(step),
        ErrorKind::InvalidData => Trouble::Odd {
            step,
            said: source.to_string(),
        },
        _ => Trouble::Broken { step, source },
    }
}

fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim()
        .chars()
        .take(SAID_CHARS_MAX)
        .map(plain)
        .collect()
}
