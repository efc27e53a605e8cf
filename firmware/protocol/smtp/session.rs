//! The SMTP server as a machine: bytes, the time and the archive's answers in; events out.
//!
//! It has no socket, no clock and no store. Content passes through in pieces and is never held; what is held
//! (one input buffer, one envelope, the replies not yet written) has a limit. Time limits for writing to a peer that
//! does not read are the caller's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::auth::{self, AuthError, Exchange};
use super::command::{self, Command, Mail};
use super::content::{Scanner, Step as ContentStep};
use super::envelope_room::EnvelopeShare;
use super::input::{Input, Line};
use super::patience::Patience;
use super::reply::{Reply, write_hello};
use super::{Abort, Envelope, Event, Options, Outcome, Peer, Recipient, TlsInfo};

/// 16 KiB of replies are written before more commands are read, so that pipelining cannot pile them up.
const OUTPUT_MAX_BYTES: usize = 16 * 1024;

/// 1 GiB above the announced size is swallowed so that the sender gets to read its 552; then the connection ends.
const SWALLOW_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// 3 wrong passwords a connection: guessing must at least cost connections.
const SIGN_IN_FAILURES_MAX: u32 = 3;

/// 100 commands other than RCPT and BDAT without a message: a peer that only passes the time is sent away.
const COMMANDS_WITHOUT_MESSAGE_MAX: u32 = 100;

/// Is one connection of one peer.
pub struct Session {
    options: Arc<Options>,
    may_send: bool,
    patience: Patience,
    input: Input,
    input_ended: bool,
    line: Vec<u8>,
    /// Replies not yet handed over, and those last handed over.
    output: Vec<u8>,
    written: Vec<u8>,
    /// Events not yet handed over; at most two, since commands wait for them.
    queued: VecDeque<Event<'static>>,
    state: State,
    helo: Option<String>,
    tls: Option<TlsInfo>,
    authenticated_as: Option<String>,
    transaction: Transaction,
    /// What the envelope takes of the room of all, until its message is stored or given up.
    share: EnvelopeShare,
    deferred: Option<String>,
    shutting_down: bool,
    has_quit: bool,
    errors: u32,
    sign_in_failures: u32,
    commands_without_message: u32,
}

/// Tells what the next bytes of the peer are.
enum State {
    Command,
    /// The rest of a line that was too long.
    LongLine,
    SignIn(Exchange),
    CheckingCredentials {
        name: String,
    },
    Content(Scanner),
    Chunk {
        left: u64,
        size_bytes: u64,
        last: bool,
    },
    Storing,
    StartingTls,
    Closing,
}

/// Tells how far MAIL, RCPT, content has come.
enum Transaction {
    None,
    Addressed {
        envelope: Box<Envelope>,
        len_bytes: usize,
    },
    /// The message has begun, so the envelope is with the caller.
    Open {
        bytes: u64,
        too_large: bool,
    },
}

/// Tells how one step of the machine went.
enum Progress {
    Again,
    NeedInput,
    NeedAnswer,
    Content(usize),
    Close,
}

impl Session {
    /// Begins a session; the greeting is the first thing it wants written.
    pub fn new(options: Arc<Options>, peer: Peer) -> Self {
        let mut session = Self {
            may_send: peer.may_send,
            patience: Patience::default(),
            input: Input::new(options.line_max_bytes),
            input_ended: false,
            line: Vec::new(),
            output: Vec::new(),
            written: Vec::new(),
            queued: VecDeque::new(),
            state: State::Command,
            helo: None,
            tls: peer.tls,
            authenticated_as: None,
            transaction: Transaction::None,
            share: EnvelopeShare::new(options.envelope_room.clone()),
            deferred: None,
            shutting_down: false,
            has_quit: false,
            errors: 0,
            sign_in_failures: 0,
            commands_without_message: 0,
            options,
        };
        session.answer(Reply::Greeting {
            hostname: session.options.hostname.clone(),
        });
        session
    }

    /// Takes the time since any fixed moment; to be called before every other input, and at the [`deadline`](Self::deadline).
    pub fn tick(&mut self, now: Duration) {
        self.patience.tick(now);
        if self
            .deadline()
            .is_some_and(|deadline| self.patience.is_over(deadline))
        {
            self.end(Abort::TimedOut, Reply::TimedOut);
        }
    }

    /// Tells when the peer's time is up; `None` while it is not the peer that is waited for.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Command | State::LongLine | State::SignIn(_) => {
                Some(self.patience.line_deadline())
            }
            State::Content(_) | State::Chunk { .. } => Some(self.patience.content_deadline()),
            _ => None,
        }
    }

    /// Takes bytes of the peer and tells how many; the rest is to be given again after the next
    /// [`Event::NeedInput`]. After that event, [`READ_LEN_MAX`](super::READ_LEN_MAX) bytes always fit.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        if matches!(self.state, State::StartingTls | State::Closing) {
            return bytes.len(); // RFC 3207 §5: nothing sent in the clear counts after STARTTLS
        }
        self.patience.input();
        self.input.receive(bytes)
    }

    /// Notes that the peer sends no more; what was received before is still obeyed and answered.
    pub fn input_ended(&mut self) {
        self.input_ended = true;
    }

    /// Notes that TLS is up; nothing the peer said before counts any more (RFC 3207 §4.2).
    pub fn tls_started(&mut self, tls: TlsInfo) {
        if matches!(self.state, State::StartingTls) {
            self.tls = Some(tls);
            self.await_command();
            self.end_if_shutting_down();
        }
    }

    /// Answers [`Event::CheckCredentials`].
    pub fn credentials_checked(&mut self, correct: bool) {
        let State::CheckingCredentials { name } = &mut self.state else {
            return;
        };
        let name = std::mem::take(name);
        self.await_command();
        if correct {
            self.authenticated_as = Some(name);
            return self.answer(Reply::SignedIn);
        }
        self.sign_in_failures += 1;
        if self.sign_in_failures >= SIGN_IN_FAILURES_MAX {
            return self.end(Abort::Failed, Reply::TooManyErrors);
        }
        self.answer(Reply::WrongCredentials);
    }

    /// Answers [`Event::MessageEnds`]; `Stored` only when the message is durable.
    pub fn message_stored(&mut self, outcome: Outcome) {
        if !matches!(self.state, State::Storing) {
            return;
        }
        self.await_command();
        self.share.release();
        self.errors = 0;
        self.commands_without_message = 0;
        self.answer(match outcome {
            Outcome::Stored {
                number,
                digest_hex,
                duplicate,
            } => Reply::Stored {
                number,
                digest_hex,
                duplicate,
            },
            Outcome::TryLater(reason) => Reply::NotStored { reason },
            Outcome::DiskFull => Reply::DiskFull,
            Outcome::TooLarge => self.too_large(),
        });
        self.end_if_shutting_down();
    }

    /// Puts off mail from the next MAIL on (451 with the reason), or takes it again with `None`.
    pub fn defer_mail(&mut self, reason: Option<String>) {
        self.deferred = reason;
    }

    /// Ends the session with 421, after the answer to a message that is being stored.
    pub fn shut_down(&mut self) {
        self.shutting_down = true;
        self.end_if_shutting_down();
    }

    /// Tells whether the peer has ended the session and so sends no more (RFC 5321 §4.1.1.10).
    pub fn has_quit(&self) -> bool {
        self.has_quit
    }

    /// Gives what is to be done next.
    #[allow(clippy::should_implement_trait)] // an iterator cannot lend its buffer
    pub fn next(&mut self) -> Event<'_> {
        loop {
            if self.output.len() >= OUTPUT_MAX_BYTES || self.must_write_first() {
                return self.write();
            }
            if let Some(event) = self.queued.pop_front() {
                return event;
            }
            let event = match self.step() {
                Progress::Again => continue,
                Progress::Content(len) => return Event::Content(self.input.consume(len)),
                Progress::NeedInput if self.input_ended => {
                    self.abort(Abort::Disconnected);
                    self.state = State::Closing;
                    continue;
                }
                Progress::NeedInput => Event::NeedInput,
                Progress::NeedAnswer => Event::NeedAnswer,
                Progress::Close => Event::Close,
            };
            // One write for all replies to a pipelined group (RFC 2920 §3.2).
            return if self.output.is_empty() {
                event
            } else {
                self.write()
            };
        }
    }

    fn write(&mut self) -> Event<'_> {
        std::mem::swap(&mut self.output, &mut self.written);
        self.output.clear();
        Event::Write(&self.written)
    }

    /// The 220 precedes TLS, and no reply waits for a disk or a password check.
    fn must_write_first(&self) -> bool {
        let waits = matches!(
            self.queued.front(),
            Some(Event::StartTls | Event::CheckCredentials(_) | Event::MessageEnds)
        );
        waits && !self.output.is_empty()
    }

    fn step(&mut self) -> Progress {
        match &mut self.state {
            State::Command | State::SignIn(_) => self.step_line(),
            State::LongLine => self.step_long_line(),
            State::Content(_) => self.step_content(),
            State::Chunk { .. } => self.step_chunk(),
            State::CheckingCredentials { .. } | State::Storing | State::StartingTls => {
                Progress::NeedAnswer
            }
            State::Closing => Progress::Close,
        }
    }

    fn step_line(&mut self) -> Progress {
        let mut line = std::mem::take(&mut self.line);
        let found = self.input.take_line(&mut line);
        match found {
            Line::Partial => {}
            Line::TooLong => self.state = State::LongLine,
            Line::BareLf => self.end(Abort::Failed, Reply::BareLf),
            Line::Complete => {
                self.patience.await_line();
                self.obey(&command::text(&line));
            }
        }
        self.line = line;
        if found == Line::Partial {
            Progress::NeedInput
        } else {
            Progress::Again
        }
    }

    fn step_long_line(&mut self) -> Progress {
        if !self.input.skip_line() {
            return Progress::NeedInput;
        }
        self.await_command();
        self.answer(Reply::LineTooLong);
        Progress::Again
    }

    fn obey(&mut self, line: &str) {
        match std::mem::replace(&mut self.state, State::Command) {
            State::SignIn(exchange) => return self.sign_in(exchange.respond(line)),
            state => self.state = state,
        }
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => return self.answer(Reply::Command(error)),
        };
        if !matches!(command, Command::Rcpt(_) | Command::Bdat { .. }) {
            self.commands_without_message += 1;
        }
        if self.commands_without_message > COMMANDS_WITHOUT_MESSAGE_MAX {
            return self.end(Abort::Failed, Reply::Idle);
        }
        self.carry_out(command);
    }

    fn carry_out(&mut self, command: Command<'_>) {
        match command {
            Command::Ehlo(name) => self.ehlo(name),
            Command::Helo(name) => self.helo(name),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.data(),
            Command::Bdat { size_bytes, last } => self.bdat(size_bytes, last),
            Command::Rset => {
                self.abort(Abort::Reset);
                self.answer(Reply::Done);
            }
            Command::Noop => self.answer(Reply::Done),
            Command::Help => self.answer(Reply::Help),
            Command::Vrfy => self.answer(Reply::NotVerified),
            Command::Quit => {
                self.has_quit = true;
                self.end(Abort::Reset, Reply::Closing);
            }
            Command::StartTls => self.starttls(),
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial),
        }
    }

    fn ehlo(&mut self, name: &str) {
        self.abort(Abort::Reset);
        self.helo = Some(name.to_owned());
        let size = format!("SIZE {}", self.options.size_max_bytes);
        let mut extensions = vec![
            "PIPELINING",
            &size,
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
        ];
        extensions.push("ENHANCEDSTATUSCODES");
        if self.options.starttls && self.tls.is_none() {
            extensions.push("STARTTLS");
        }
        if self.options.auth && self.tls.is_some() {
            extensions.push("AUTH PLAIN LOGIN");
        }
        write_hello(&mut self.output, &self.options.hostname, &extensions);
    }

    fn helo(&mut self, name: &str) {
        self.abort(Abort::Reset);
        self.helo = Some(name.to_owned());
        self.answer(Reply::Hello {
            hostname: self.options.hostname.clone(),
        });
    }

    fn mail(&mut self, mail: Mail) {
        if let Some(refusal) = self.mail_refusal() {
            return self.answer(refusal);
        }
        if let Some(size_bytes) = mail
            .size_bytes
            .filter(|&size| size > self.options.size_max_bytes)
        {
            let reverse_path = mail.reverse_path;
            self.queued.push_back(Event::SizeRefused {
                reverse_path,
                size_bytes,
            });
            return self.answer(self.too_large());
        }
        let envelope = Box::new(Envelope {
            reverse_path: mail.reverse_path,
            mail_parameters: mail.parameters,
            recipients: Vec::new(),
            helo: self.helo.clone().unwrap_or_default(),
            tls: self.tls.clone(),
            authenticated_as: self.authenticated_as.clone(),
            smtputf8: mail.smtputf8,
            body: mail.body,
        });
        self.transaction = Transaction::Addressed {
            envelope,
            len_bytes: 0,
        };
        self.answer(Reply::SenderTaken);
    }

    /// Tells why no transaction may begin now.
    fn mail_refusal(&self) -> Option<Reply> {
        if self.helo.is_none() {
            Some(Reply::OutOfOrder("EHLO first"))
        } else if !matches!(self.transaction, Transaction::None) {
            Some(Reply::OutOfOrder("a transaction is open already"))
        } else if !self.may_send && self.authenticated_as.is_none() {
            Some(Reply::SignInRequired)
        } else {
            let reason = self.deferred.clone()?;
            Some(Reply::NotNow { reason })
        }
    }

    fn rcpt(&mut self, recipient: Recipient) {
        let reply = match &mut self.transaction {
            Transaction::None => Reply::OutOfOrder("MAIL first"),
            Transaction::Open { .. } => Reply::OutOfOrder("the content has begun already"),
            Transaction::Addressed {
                envelope,
                len_bytes,
            } => {
                let len_with = *len_bytes + held_bytes(&recipient);
                if envelope.recipients.len() >= self.options.recipients_max
                    || len_with > self.options.envelope_max_bytes
                    || !self.share.grow_to(len_with)
                {
                    Reply::TooManyRecipients // RFC 5321 §4.5.3.1.10: the sender sends the rest anew
                } else {
                    *len_bytes = len_with;
                    envelope.recipients.push(recipient);
                    Reply::RecipientTaken
                }
            }
        };
        self.answer(reply);
    }

    fn data(&mut self) {
        if let Some(refusal) = self.content_refusal() {
            return self.answer(refusal);
        }
        if matches!(self.transaction, Transaction::Open { .. }) {
            // RFC 3030 §2: DATA and BDAT cannot be mixed in one transaction.
            return self.answer(Reply::OutOfOrder(
                "BDAT or RSET only, since the message came by BDAT",
            ));
        }
        self.begin_message();
        self.patience.await_content();
        self.state = State::Content(Scanner::new());
        self.answer(Reply::SendContent);
    }

    fn bdat(&mut self, size_bytes: u64, last: bool) {
        if self.content_refusal().is_none() {
            self.begin_message();
        }
        // The chunk comes whether it is wanted or not (RFC 3030 §4.2), and is answered at its end.
        self.patience.await_content();
        self.state = State::Chunk {
            left: size_bytes,
            size_bytes,
            last,
        };
    }

    /// Tells why no content may come now.
    fn content_refusal(&self) -> Option<Reply> {
        match &self.transaction {
            Transaction::None => Some(Reply::OutOfOrder("MAIL first")),
            Transaction::Addressed { envelope, .. } if envelope.recipients.is_empty() => {
                Some(Reply::OutOfOrder("RCPT first"))
            }
            _ => None,
        }
    }

    /// Hands the envelope over; a message that has begun goes on.
    fn begin_message(&mut self) {
        if let Transaction::Addressed { envelope, .. } = &mut self.transaction {
            let envelope = std::mem::take(&mut **envelope);
            self.queued.push_back(Event::MessageBegins(envelope));
            self.transaction = Transaction::Open {
                bytes: 0,
                too_large: false,
            };
        }
    }

    fn step_content(&mut self) -> Progress {
        let State::Content(scanner) = &mut self.state else {
            return Progress::Again;
        };
        match scanner.step(self.input.unused()) {
            ContentStep::NeedInput => Progress::NeedInput,
            ContentStep::Content(len) => self.take_content(len),
            ContentStep::Drop(len) => {
                self.input.consume(len);
                Progress::Again
            }
            ContentStep::End(len) => {
                self.input.consume(len);
                self.content_ended();
                Progress::Again
            }
        }
    }

    fn step_chunk(&mut self) -> Progress {
        let State::Chunk {
            left,
            size_bytes,
            last,
        } = &mut self.state
        else {
            return Progress::Again;
        };
        let (size_bytes, last) = (*size_bytes, *last);
        if *left == 0 {
            self.chunk_ended(size_bytes, last);
            return Progress::Again;
        }
        let unused = self.input.unused().len();
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(unused);
        if len == 0 {
            return Progress::NeedInput;
        }
        *left -= len as u64;
        self.take_content(len)
    }

    /// Passes content on, or swallows it where no message is open or the message is too large.
    fn take_content(&mut self, len: usize) -> Progress {
        self.patience.content(len);
        let size_max = self.options.size_max_bytes;
        if let Transaction::Open { bytes, too_large } = &mut self.transaction {
            *bytes += len as u64;
            if !*too_large && *bytes <= size_max {
                return Progress::Content(len);
            }
            if !std::mem::replace(too_large, true) {
                self.queued
                    .push_back(Event::MessageAborted(Abort::TooLarge));
            }
            if *bytes > size_max.saturating_add(SWALLOW_MAX_BYTES) {
                let reply = self.too_large();
                self.end(Abort::TooLarge, reply);
                return Progress::Again;
            }
        }
        self.input.consume(len);
        Progress::Again
    }

    fn chunk_ended(&mut self, size_bytes: u64, last: bool) {
        match self.transaction {
            Transaction::Open { .. } if last => self.content_ended(),
            Transaction::Open { too_large, .. } => {
                self.await_command();
                self.answer(if too_large {
                    self.too_large()
                } else {
                    Reply::ChunkTaken { size_bytes }
                });
            }
            _ => {
                self.patience.content_ended();
                self.await_command();
                let refusal = self.content_refusal();
                self.answer(refusal.unwrap_or(Reply::OutOfOrder("MAIL first")));
            }
        }
    }

    /// Ends the message with its last byte: a whole one waits for the store.
    fn content_ended(&mut self) {
        self.patience.content_ended();
        let transaction = std::mem::replace(&mut self.transaction, Transaction::None);
        if let Transaction::Open {
            too_large: true, ..
        } = transaction
        {
            self.share.release();
            self.await_command();
            return self.answer(self.too_large());
        }
        self.state = State::Storing;
        self.queued.push_back(Event::MessageEnds);
    }

    fn starttls(&mut self) {
        if self.tls.is_some() {
            return self.answer(Reply::OutOfOrder("TLS is on already"));
        }
        if !self.options.starttls {
            return self.answer(Reply::NotOffered);
        }
        self.abort(Abort::Reset);
        self.helo = None;
        self.input.discard(); // injected in the clear, to be obeyed under TLS: CVE-2011-0411
        self.state = State::StartingTls;
        self.answer(Reply::ReadyForTls);
        self.queued.push_back(Event::StartTls);
    }

    fn auth(&mut self, mechanism: &str, initial: Option<&str>) {
        if !self.options.auth {
            self.answer(Reply::NotOffered);
        } else if self.tls.is_none() {
            self.answer(Reply::EncryptionRequired);
        } else if self.authenticated_as.is_some() {
            self.answer(Reply::OutOfOrder("signed in already"));
        } else if !matches!(self.transaction, Transaction::None) {
            self.answer(Reply::OutOfOrder("not within a transaction")); // RFC 4954 §4
        } else {
            self.sign_in(Exchange::begin(mechanism, initial));
        }
    }

    fn sign_in(&mut self, step: Result<auth::Step, AuthError>) {
        match step {
            Err(error) => self.answer(Reply::Auth(error)),
            Ok(auth::Step::Challenge(challenge, exchange)) => {
                self.state = State::SignIn(exchange);
                self.answer(Reply::Challenge(challenge));
            }
            Ok(auth::Step::Check(credentials)) => {
                self.state = State::CheckingCredentials {
                    name: credentials.name.clone(),
                };
                self.queued.push_back(Event::CheckCredentials(credentials));
            }
        }
    }

    fn end_if_shutting_down(&mut self) {
        let busy = matches!(
            self.state,
            State::Storing | State::StartingTls | State::Closing
        );
        if self.shutting_down && !busy {
            self.end(Abort::ShuttingDown, Reply::ShuttingDown);
        }
    }

    fn await_command(&mut self) {
        self.state = State::Command;
        self.patience.await_line();
    }

    fn too_large(&self) -> Reply {
        Reply::TooLarge {
            size_max_bytes: self.options.size_max_bytes,
        }
    }

    /// Queues a reply, and ends the session where the reply says so.
    fn answer(&mut self, reply: Reply) {
        if reply.closes() {
            return self.end(Abort::Failed, reply);
        }
        if reply.is_error_of_peer() {
            self.errors += 1;
            if self.errors >= self.options.errors_max {
                return self.end(Abort::Failed, Reply::TooManyErrors);
            }
        }
        reply.write_to(&mut self.output);
    }

    /// Drops the transaction; a message that had begun is aborted.
    fn abort(&mut self, why: Abort) {
        self.patience.content_ended();
        self.share.release();
        let transaction = std::mem::replace(&mut self.transaction, Transaction::None);
        if let Transaction::Open {
            too_large: false, ..
        } = transaction
        {
            self.queued.push_back(Event::MessageAborted(why));
        }
    }

    /// Writes the last reply of the session.
    fn end(&mut self, why: Abort, last: Reply) {
        self.abort(why);
        self.input.discard();
        last.write_to(&mut self.output);
        self.state = State::Closing;
    }

    /// Tells the memory held for buffers, in bytes.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.input.capacity()
            + self.output.capacity()
            + self.written.capacity()
            + self.line.capacity()
    }
}

/// Reckons what a recipient costs in memory, empty addresses included.
fn held_bytes(recipient: &Recipient) -> usize {
    let parameters: usize = recipient
        .parameters
        .iter()
        .map(|text| size_of::<String>() + text.len())
        .sum();
    size_of::<Recipient>() + recipient.address.len() + parameters
}
