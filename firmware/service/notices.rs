//! Delivers notices: whoever is concerned learns of wider rights before they take effect ([`archive::people`]).
//!
//! They go by SMTP (RFC 5321) to the office's own mail server, as mail for its own addresses does, so without TLS and without
//! signing in. Only what that server took over counts as given; everything else is tried again. Nothing else is ever sent.

use crate::keeper::Keeper;
use crate::people::{NoticeDue, People};
use archive::calendar::Date;
use archive::people::{Change, Proposal};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 30 s for each step of the server: it is near.
const PATIENCE: Duration = Duration::from_secs(30);

/// 30 s between looks for notices: a notice stands for a day, so nobody waits for this.
const PAUSE: Duration = Duration::from_secs(30);

/// 100 notices a look, so that an import of a whole office is no flood.
const NOTICES_MAX: usize = 100;

/// 4 KiB of a reply (RFC 5321 §4.5.3.1.5 asks for 512 bytes a line).
const REPLY_BYTES_MAX: u64 = 4 << 10;

/// 76 characters of base64 a line (RFC 2045 §6.8).
const LINE_CHARS: usize = 76;

/// Where notices go out.
#[derive(Clone, Debug)]
pub struct Route {
    /// Host and port of the mail server.
    pub server: String,
    /// The name this host gives itself.
    pub hostname: String,
    /// The address that notices come from.
    pub from: String,
}

/// Why a notice was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// The server cannot be reached or spoken to.
    #[error("cannot speak to the mail server")]
    Server(#[from] io::Error),
    /// It said no.
    #[error("the mail server refused: {0}")]
    Refused(String),
    /// The address cannot stand in a command.
    #[error("not an address that mail can be sent to: {0}")]
    Address(String),
}

/// The delivery, while it runs.
pub struct NoticeDelivery {
    _stop: Sender<()>,
}

impl NoticeDelivery {
    /// Begins to deliver the notices of an archive, until it is dropped.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(keeper: &Arc<dyn Keeper>, route: Route) -> io::Result<Self> {
        let (stop, stopped) = channel();
        // The keeper closes in order, however long the mail server hangs: the thread has it only while it asks.
        let keeper = Arc::downgrade(keeper);
        let run = move || {
            loop {
                deliver(&keeper, &route);
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("notices".to_owned())
            .spawn(run)?;
        Ok(Self { _stop: stop })
    }
}

/// Delivers what is due once; what is not taken over stays due.
fn deliver(keeper: &Weak<dyn Keeper>, route: &Route) {
    let due = keeper
        .upgrade()
        .map(|keeper| People::of(&*keeper).notices_due());
    let due = match due {
        Some(Ok(due)) => due,
        Some(Err(error)) => return tracing::warn!(%error, "notices cannot be looked for"),
        None => return,
    };
    for notice in due.iter().take(NOTICES_MAX) {
        let Ok(proposal) = Proposal::from_record(&notice.proposal) else {
            continue;
        };
        if let Err(error) = send(route, &notice.address, &message(route, notice, &proposal)) {
            let is_unreachable = matches!(error, NoticeError::Server(_));
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, address = notice.address, "a notice did not go out");
            if is_unreachable {
                return;
            }
            continue;
        }
        let noted = keeper
            .upgrade()
            .map(|keeper| People::of(&*keeper).notice_given(proposal.number, &notice.address));
        if let Some(Err(error)) = noted {
            tracing::warn!(%error, "a notice went out, but cannot be noted");
        }
    }
}

/// Hands a message over to the server.
fn send(route: &Route, to: &str, message: &str) -> Result<(), NoticeError> {
    for address in [to, &route.from] {
        if !is_plain(address) {
            return Err(NoticeError::Address(address.to_owned()));
        }
    }
    let mut session = Session::connect(&route.server)?;
    session.expect(220)?;
    session.say(&format!("EHLO {}\r\n", route.hostname), 250)?;
    session.say(&format!("MAIL FROM:<{}>\r\n", route.from), 250)?;
    session.say(&format!("RCPT TO:<{to}>\r\n"), 250)?;
    session.say("DATA\r\n", 354)?;
    session.say(&format!("{message}.\r\n"), 250)?;
    // It has the notice; how it says goodbye does not matter.
    let _ = session.say("QUIT\r\n", 221);
    Ok(())
}

/// Tells whether an address can stand in a command without SMTPUTF8 and without quoting (RFC 5321 §4.1.2).
fn is_plain(address: &str) -> bool {
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || b"<>\"\\(),:;[]".contains(&byte);
    address.contains('@') && !address.bytes().any(is_odd)
}

/// A connection to the server.
struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    fn connect(server: &str) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in server.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    let stream = BufReader::new(stream);
                    return Ok(Self { stream });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn say(&mut self, command: &str, code: u16) -> Result<(), NoticeError> {
        self.stream.get_mut().write_all(command.as_bytes())?;
        self.expect(code)
    }

    /// Reads a reply of one or more lines (RFC 5321 §4.2.1).
    fn expect(&mut self, code: u16) -> Result<(), NoticeError> {
        let mut bounded = io::Read::take(&mut self.stream, REPLY_BYTES_MAX);
        loop {
            let mut line = Vec::new();
            bounded.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let line = String::from_utf8_lossy(&line);
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            let given: Option<u16> = line.get(..3).and_then(|digits| digits.parse().ok());
            // The first digit tells what to do next (RFC 5321 §4.2.1): 251 is as good as 250.
            if given.is_some_and(|given| given / 100 == code / 100) {
                return Ok(());
            }
            return Err(NoticeError::Refused(line.trim().to_owned()));
        }
    }
}

/// Writes the message of a notice, in both languages of the page; every line is base64, so that no dot needs doubling.
fn message(route: &Route, notice: &NoticeDue, proposal: &Proposal) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs() as i64);
    let encoded = BASE64_STANDARD.encode(text(notice, proposal));
    let mut message = format!(
        "From: Coffer <{}>\r\nTo: <{}>\r\nSubject: Coffer: wider rights are proposed / weitere Rechte sind beantragt\r\n\
         Date: {}\r\nMessage-ID: <notice.{}.{}@{}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        route.from,
        notice.address,
        date(now),
        proposal.number,
        store::hex(&store::random::<16>()),
        route.hostname,
    );
    for line in encoded.as_bytes().chunks(LINE_CHARS) {
        let _ = write!(message, "{}\r\n", String::from_utf8_lossy(line));
    }
    message
}

fn text(notice: &NoticeDue, proposal: &Proposal) -> String {
    let change = match &proposal.change {
        Change::Account(_, step) => format!("{}: {step}", notice.account),
        route @ Change::NoticeRoute(_) => route.to_string(),
    };
    let (by, reason) = (&notice.proposed_by, &proposal.reason);
    format!(
        "{by} proposes in the mail archive:\r\n\r\n    {change}\r\n    ({reason})\r\n\r\n\
         It takes effect when a second person approves, or after the time of notice. If you are concerned and do not agree, sign in \
         and object.\r\n\r\n\
         {by} beantragt im Mailarchiv:\r\n\r\n    {change}\r\n    ({reason})\r\n\r\n\
         Das wird wirksam, wenn eine zweite Person zustimmt, oder nach Ablauf der Frist. Wenn es Sie betrifft und Sie nicht \
         einverstanden sind, melden Sie sich an und widersprechen Sie.\r\n"
    )
}

/// Writes a date as a Date field has it (RFC 5322 §3.3), in UTC.
fn date(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let day = Date::of_unix(unix_s);
    let weekday = DAYS[unix_s.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[usize::from(day.month()) - 1];
    let second = unix_s.rem_euclid(86_400);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{:02} +0000",
        day.day(),
        day.year(),
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers each line that it waits for, and gives what it was told.
    fn told(answers: &'static [&'static str], run: impl FnOnce(Route)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = listener.local_addr().expect("bound").to_string();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut lines = BufReader::new(stream.try_clone().expect("a stream"));
            let mut told = String::new();
            for answer in answers {
                stream.write_all(answer.as_bytes()).expect("answered");
                if !answer.ends_with('\n') {
                    // It goes away in the middle of a line.
                    return told;
                }
                let end = if answer.starts_with("354") {
                    ".\r\n"
                } else {
                    "\r\n"
                };
                let mut heard = String::new();
                while !heard.ends_with(end) && lines.read_line(&mut heard).expect("heard") > 0 {}
                told.push_str(&heard);
            }
            told
        });
        run(Route {
            server,
            hostname: "box.example".to_owned(),
            from: "coffer@x.example".to_owned(),
        });
        serving.join().expect("served")
    }

    #[test]
    fn a_notice_is_given_when_the_server_took_it_over() {
        let answers: &[&str] = &[
            "220-hello\r\n220 hello\r\n",
            "250-box\r\n250 SIZE\r\n",
            "250 ok\r\n",
            "251 forwarded\r\n",
            "354 go on\r\n",
            "250 taken\r\n",
        ];
        let told = told(answers, |route| {
            send(&route, "anna@x.example", "Subject: x\r\n\r\nYQ==\r\n").expect("taken");
        });
        let expected = "EHLO box.example\r\nMAIL FROM:<coffer@x.example>\r\nRCPT TO:<anna@x.example>\r\nDATA\r\n\
            Subject: x\r\n\r\nYQ==\r\n.\r\nQUIT\r\n";
        assert_eq!(told, expected);
        for answers in [
            &[
                "220 hello\r\n",
                "250 ok\r\n",
                "250 ok\r\n",
                "550 nobody\r\n",
            ][..],
            &["220 hello\r\n", "250 ok\r\n", "250 ok\r\n", "250"][..],
            &["220 hello\r\n", "421-\r\n421 later\r\n"][..],
        ] {
            self::told(answers, |route| {
                assert!(
                    send(&route, "anna@x.example", "x\r\n").is_err(),
                    "{answers:?}"
                );
            });
        }
    }

    #[test]
    fn no_address_can_say_a_command() {
        for (address, expected) in [
            ("anna@x.example", true),
            ("a.b+c@x-y.example", true),
            ("a b@x.example", false),
            ("a>\r\nRCPT TO:<b@x.example", false),
            ("\"a\"@x.example", false),
            ("käse@x.example", false),
            ("anna", false),
        ] {
            assert_eq!(is_plain(address), expected, "{address}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(date(1_750_000_000), "Sun, 15 Jun 2025 15:06:40 +0000");
    }
}
