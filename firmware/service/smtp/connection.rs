//! One SMTP connection: does what the machine asks for, with a socket, a clock, the spool and the keeper.

use super::{Server, envelope};
use crate::listener::Connection;
use crate::slots::Slot;
use crate::tls::{Stream, Timeouts, is_wait};
use archive::Trust;
use protocol::smtp::{Abort, Credentials, Envelope, Event, Outcome, Peer, READ_LEN_MAX, Session};
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};
use store::{Deposit, SpoolWriter};
use tracing::{debug, info, warn};

/// 16 KiB are read at once from a peer that sends commands: a long group of pipelined ones.
const COMMANDS_BUFFER_BYTES: usize = 16 * 1024;

/// 64 KiB are read at once while content flows, until its end.
const CONTENT_BUFFER_BYTES: usize = READ_LEN_MAX;

const TIMEOUTS: Timeouts = Timeouts {
    // 15 seconds: how late the machine's deadlines are noticed; 1000 idle connections wake up 67 times a second.
    read: Duration::from_secs(15),
    // 2 minutes for 16 KiB of replies: a peer that reads slower than that only wants to hold the connection.
    write: Duration::from_secs(120),
    // 60 seconds: senders behind slow lines exist, and each only holds its own connection.
    handshake: Duration::from_secs(60),
};

/// 20 seconds for a message to wait until fewer others are under way; meanwhile its sender waits for 354.
const SLOT_PATIENCE: Duration = Duration::from_secs(20);

/// 1 second between two questions whether mail is taken: a sender may still bring what came too late for the answer.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Actor id of mail that came by SMTP (the store's FORMAT.md, "Actors").
const ACTOR_SMTP: u64 = 2;

/// Serves one connection to its end.
pub(super) fn serve(server: &Server, connection: &Connection, implicit_tls: bool) {
    let peer = connection.peer();
    server.counts.sessions.add();
    let result = Stream::new(connection.socket().clone(), TIMEOUTS).and_then(|mut stream| {
        if implicit_tls {
            stream.start_tls(&server.tls)?;
        }
        let began = Instant::now();
        let end = Conversation::new(server, connection, &mut stream, &|| began.elapsed()).run();
        match end {
            Ok(End::Quit) => stream.close_after_last_word(),
            _ => stream.close(),
        }
        end
    });
    if let Err(error) = result {
        debug!(%peer, %error, "connection lost");
    }
    server.counts.sessions_ended.add();
}

/// How a dialogue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer ended it.
    Quit,
    /// We did, or the peer went away.
    Broken,
}

/// The dialogue over one connection.
pub(super) struct Conversation<'a> {
    server: &'a Server,
    connection: &'a Connection,
    stream: &'a mut Stream,
    /// Time since any fixed moment.
    clock: &'a dyn Fn() -> Duration,
    session: Session,
    message: Option<Incoming<'a>>,
    /// When it was asked last whether mail is taken.
    asked_at: Option<Duration>,
    buffer: Vec<u8>,
}

/// A message whose content comes.
struct Incoming<'a> {
    envelope: Envelope,
    /// The content so far, or what the peer is told at its end.
    content: Result<(SpoolWriter<'a>, Slot<'a>), Outcome>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        server: &'a Server,
        connection: &'a Connection,
        stream: &'a mut Stream,
        clock: &'a dyn Fn() -> Duration,
    ) -> Self {
        let trust = server.admission().trust(connection.peer().ip(), false);
        let peer = Peer {
            may_send: trust != Trust::Untrusted,
            tls: stream.tls_info(),
        };
        let session = Session::new(server.protocol.clone(), peer);
        let buffer = vec![0; COMMANDS_BUFFER_BYTES];
        Self {
            server,
            connection,
            stream,
            clock,
            session,
            message: None,
            asked_at: None,
            buffer,
        }
    }

    /// Goes on until the machine wants the connection closed.
    ///
    /// # Errors
    /// When the peer cannot be written to, or TLS does not come about.
    pub(super) fn run(mut self) -> io::Result<End> {
        loop {
            match self.session.next() {
                Event::NeedInput => self.read(),
                Event::Write(bytes) => self.stream.write_all(bytes)?,
                Event::StartTls => self.start_tls()?,
                Event::CheckCredentials(credentials) => self.sign_in(&credentials),
                Event::MessageBegins(envelope) => self.begin(envelope),
                Event::Content(bytes) => {
                    if let Some(message) = &mut self.message {
                        message.take(bytes);
                    }
                }
                Event::MessageEnds => self.end(),
                Event::MessageAborted(why) => self.abort(why),
                Event::SizeRefused {
                    reverse_path,
                    size_bytes,
                } => {
                    let peer = self.connection.peer();
                    self.server.counts.refused.add();
                    warn!(%peer, reverse_path, size_bytes, "message refused: it is announced as too large");
                }
                Event::Close => {
                    return Ok(match self.session.has_quit() {
                        true => End::Quit,
                        false => End::Broken,
                    });
                }
                // Every question is answered before the next event is asked for.
                Event::NeedAnswer => {
                    return Err(io::Error::other("the SMTP machine waits for an answer"));
                }
            }
        }
    }

    fn read(&mut self) {
        if self.connection.is_stopping() && self.message.is_none() {
            return self.session.shut_down();
        }
        let result = self.stream.read(&mut self.buffer);
        let now = (self.clock)();
        self.session.tick(now);
        match result {
            Ok(count @ 1..) => {
                self.ask_whether_mail_is_taken(now);
                self.receive(count);
            }
            Err(error) if is_wait(&error) => {}
            _ if self.connection.is_stopping() => self.session.shut_down(),
            _ => self.session.input_ended(),
        }
    }

    /// Puts mail off from MAIL on while the archive takes none, so that nobody sends it in vain.
    fn ask_whether_mail_is_taken(&mut self, now: Duration) {
        let is_known = self.asked_at.is_some_and(|at| now < at + ASK_EVERY);
        if is_known || self.message.is_some() {
            return;
        }
        self.asked_at = Some(now);
        let refusal = self.server.keeper.takes_mail().err();
        if let Some(failure) = &refusal {
            let peer = self.connection.peer();
            warn!(%peer, %failure, "mail is put off: the archive takes none");
        }
        self.session
            .defer_mail(refusal.map(|failure| failure.to_string()));
    }

    fn receive(&mut self, count: usize) {
        let taken = self.session.receive(&self.buffer[..count]);
        debug_assert_eq!(
            taken, count,
            "after NeedInput there is room for READ_LEN_MAX bytes"
        );
        if self.message.is_some() && count == self.buffer.len() {
            self.buffer.resize(CONTENT_BUFFER_BYTES, 0);
        }
    }

    fn start_tls(&mut self) -> io::Result<()> {
        self.stream.start_tls(&self.server.tls)?;
        let info = self
            .stream
            .tls_info()
            .ok_or_else(|| io::Error::other("TLS without a cipher suite"))?;
        self.session.tick((self.clock)());
        self.session.tls_started(info);
        Ok(())
    }

    fn sign_in(&mut self, credentials: &Credentials) {
        let (peer, name) = (self.connection.peer(), &credentials.name);
        let result = self.server.keeper.sign_in(name, &credentials.password);
        self.session.tick((self.clock)());
        match result {
            Ok(correct) => {
                if !correct {
                    self.server.counts.sign_ins_refused.add();
                    warn!(%peer, name, "sign-in refused: name or password wrong");
                }
                self.session.credentials_checked(correct);
            }
            Err(error) => {
                warn!(%peer, name, %error, "sign-in put off: the keeper cannot check it");
                self.session.shut_down(); // 421: neither right nor wrong, so the client tries again
            }
        }
    }

    fn begin(&mut self, envelope: Envelope) {
        self.connection.set_busy(true);
        let server = self.server;
        let content = match server.messages.take(SLOT_PATIENCE) {
            Some(slot) => Ok((server.keeper.spool().writer(), slot)),
            None => Err(Outcome::TryLater("too many messages at once".to_owned())),
        };
        self.message = Some(Incoming { envelope, content });
    }

    fn end(&mut self) {
        let outcome = match self.message.take() {
            Some(message) => self.store(message),
            None => Outcome::TryLater("the message got lost on its way".to_owned()),
        };
        self.session.tick((self.clock)());
        self.session.message_stored(outcome);
        self.message_is_over();
    }

    fn abort(&mut self, why: Abort) {
        self.message = None;
        self.message_is_over();
        let peer = self.connection.peer();
        match why {
            Abort::TooLarge => {
                self.server.counts.refused.add();
                warn!(%peer, "message refused: it is too large");
            }
            why => info!(%peer, ?why, "message given up before its end"),
        }
    }

    fn message_is_over(&mut self) {
        self.connection.set_busy(false);
        if self.buffer.len() > COMMANDS_BUFFER_BYTES {
            self.buffer = vec![0; COMMANDS_BUFFER_BYTES];
        }
    }

    /// Hands a complete message to the keeper and waits until it is durable.
    fn store(&self, message: Incoming<'_>) -> Outcome {
        let (writer, _slot) = match message.content {
            Ok(content) => content,
            Err(outcome) => return self.not_stored(outcome),
        };
        let body = match writer.finish() {
            Ok(body) => body,
            Err(error) => return self.not_stored(envelope::not_spooled(&error)),
        };
        let (peer, size_bytes) = (self.connection.peer(), body.length_bytes());
        let recipients = message.envelope.recipients.len();
        match self
            .server
            .keeper
            .deposit(body, self.deposit(message.envelope))
            .and_then(|answer| answer.wait())
        {
            Ok(receipt) => {
                let duplicate = envelope::is_duplicate(&receipt);
                self.server.counts.messages.add();
                info!(number = receipt.number, %peer, recipients, size_bytes, duplicate, "message stored");
                envelope::stored(&receipt)
            }
            Err(failure) => self.not_stored(envelope::refused(failure)),
        }
    }

    fn deposit(&self, envelope: Envelope) -> Deposit {
        let peer = self.connection.peer();
        let is_signed_in = envelope.authenticated_as.is_some();
        let trust = self.server.admission().trust(peer.ip(), is_signed_in);
        Deposit {
            reception: envelope::reception(envelope, peer, trust),
            unwrap_journal: trust == Trust::JournalPeer,
            actor: ACTOR_SMTP,
            prompt: true,
        }
    }

    fn not_stored(&self, outcome: Outcome) -> Outcome {
        self.server.counts.put_off.add();
        let peer = self.connection.peer();
        warn!(%peer, ?outcome, "message not stored, its sender is told to come again");
        outcome
    }
}

impl Incoming<'_> {
    /// Takes the next bytes; after a failure they are swallowed, so that the sender gets to read why.
    fn take(&mut self, bytes: &[u8]) {
        let Ok((writer, _)) = &mut self.content else {
            return;
        };
        if let Err(error) = writer.write(bytes) {
            warn!(%error, "cannot write to the spool");
            self.content = Err(envelope::not_spooled(&error));
        }
    }
}
