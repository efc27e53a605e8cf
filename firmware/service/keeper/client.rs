//! Everyone else's end of the keeper's socket.

use super::calls::unexpected;
use super::messages::{
    BodyRequest, DepositRequest, DocumentRequest, DocumentText, Request, Response, WireBody,
    WireReceipt,
};
use super::wire::{self, Frame, Receiver};
use super::{Answer, Failure, Keeper, Watch, data_disk};
use crate::short_path::ShortPath;
use archive::{Digest, Event};
use extract::Label;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver as Answers, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Body, Deposit, Novelty, Receipt, Spool};

/// The name of the socket in the data directory.
pub(super) const SOCKET: &str = "keeper.sock";

/// A keeper in another process.
pub struct SocketKeeper {
    stream: Arc<UnixStream>,
    /// One frame at a time.
    sending: Mutex<u64>,
    waiting: Arc<Mutex<Waiting>>,
    spool: Spool,
}

/// Who waits for which answer; none once the keeper is gone.
type Waiting = Option<HashMap<u64, Sender<(Response, Option<OwnedFd>)>>>;

impl SocketKeeper {
    /// Connects to the keeper of a data directory; none when no keeper runs there.
    ///
    /// # Errors
    /// `Unreachable` when there is one but it cannot be spoken to.
    pub fn connect(data: &Path) -> Result<Option<Self>, Failure> {
        if !data.join(SOCKET).exists() {
            return Ok(None);
        }
        let unreachable = |error: io::Error| {
            Failure::Unreachable(format!(
                "cannot speak to the Coffer that serves {}: {error}",
                data.display()
            ))
        };
        let stream =
            match UnixStream::connect(ShortPath::new(data, SOCKET).map_err(unreachable)?.path()) {
                Ok(stream) => Arc::new(stream),
                // Nobody listens: the keeper that made it was killed.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
                Err(error) => return Err(unreachable(error)),
            };
        let waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (table, receiver) = (
            waiting.clone(),
            Receiver::new(stream.try_clone().map_err(unreachable)?),
        );
        let receive = move || receive(receiver, &table);
        std::thread::Builder::new()
            .name("keeper-answers".to_owned())
            .spawn(receive)
            .map_err(unreachable)?;
        Ok(Some(Self {
            stream,
            sending: Mutex::new(0),
            waiting,
            spool: Spool::beside(data_disk(data)),
        }))
    }

    /// Number of questions whose answers are outstanding.
    pub(super) fn outstanding(&self) -> usize {
        table(&self.waiting).as_ref().map_or(0, HashMap::len)
    }

    /// Sends a question and gives where its answers come.
    fn question(
        &self,
        request: &Request,
        body: Option<&Body>,
    ) -> Result<Answers<(Response, Option<OwnedFd>)>, Failure> {
        let (sender, answers) = channel();
        let mut last = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        match &mut *table(&self.waiting) {
            Some(waiting) => waiting.insert(*last, sender),
            None => return Err(gone()),
        };
        let descriptor = match body {
            Some(Body::File { file, .. }) => file.descriptor(),
            _ => None,
        };
        match wire::send(&self.stream, *last, request, descriptor) {
            Ok(()) => Ok(answers),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(Failure::BadRequest(error.to_string()))
            }
            Err(_) => Err(gone()),
        }
    }

    /// Asks for what comes as bytes or as a file.
    pub(super) fn bytes(&self, request: &Request) -> Result<Body, Failure> {
        let answers = self.question(request, None)?;
        match wait(&answers, &mut |_, _| {})? {
            (Response::Body(WireBody::Inline(bytes)), _) => Ok(Body::Memory(bytes)),
            (Response::Body(WireBody::File(length_bytes)), Some(file)) => Ok(Body::File {
                file: Box::new(File::from(file)),
                length_bytes,
            }),
            (other, _) => Err(unexpected(&other)),
        }
    }
}

impl Drop for SocketKeeper {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn table(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> Failure {
    Failure::Unreachable("the Coffer that serves this archive has gone away; nothing more is known of what was asked".to_owned())
}

/// Hands answers to whoever waits for them, until the keeper is gone.
fn receive(mut receiver: Receiver, waiting: &Mutex<Waiting>) {
    while let Ok(Some(Frame {
        number,
        value,
        descriptor,
    })) = receiver.receive::<Response>()
    {
        let mut waiting = table(waiting);
        let Some(waiting) = waiting.as_mut() else {
            return;
        };
        let more_follows = matches!(value, Response::Progress { .. });
        if let Some(sender) = waiting.get(&number) {
            // Who asked may have given up.
            let _ = sender.send((value, descriptor));
        }
        if !more_follows {
            waiting.remove(&number);
        }
    }
    // Dropping the table tells everyone who waits.
    table(waiting).take();
}

/// Waits for the last answer; `watch` is told of the others.
fn wait(
    answers: &Answers<(Response, Option<OwnedFd>)>,
    watch: Watch,
) -> Result<(Response, Option<OwnedFd>), Failure> {
    loop {
        match answers.recv().map_err(|_| gone())? {
            (Response::Progress { done, total }, _) => watch(done, total),
            (Response::Failed(failure), _) => return Err(failure),
            answer => return Ok(answer),
        }
    }
}

fn receipt(receipt: WireReceipt) -> Receipt {
    let novelty = match receipt.novelty {
        0 => Novelty::NewMessage,
        1 => Novelty::NewReception,
        _ => Novelty::Known,
    };
    Receipt {
        number: receipt.number,
        reception: receipt.reception,
        digest: Digest(receipt.digest),
        novelty,
    }
}

impl Keeper for SocketKeeper {
    fn spool(&self) -> &Spool {
        &self.spool
    }

    fn takes_mail(&self) -> Result<(), Failure> {
        match self.ask(Request::TakesMail, &mut |_, _| {})? {
            Response::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn deposit(&self, body: Body, deposit: Deposit) -> Result<Answer<Receipt>, Failure> {
        let (wire_body, body) = match body {
            Body::Memory(bytes) => (WireBody::Inline(bytes), None),
            file => (WireBody::File(file.length_bytes()), Some(file)),
        };
        let Deposit {
            reception,
            unwrap_journal,
            actor,
            prompt,
        } = deposit;
        let reception = store::encode_reception(&reception);
        let request = DepositRequest {
            reception,
            unwrap_journal,
            actor,
            prompt,
            body: wire_body,
        };
        let answers = self.question(&Request::Deposit(request), body.as_ref())?;
        Ok(Answer::new(move || {
            match wait(&answers, &mut |_, _| {})?.0 {
                Response::Stored(stored) => Ok(receipt(stored)),
                other => Err(unexpected(&other)),
            }
        }))
    }

    fn sign_in(&self, name: &str, password: &str) -> Result<bool, Failure> {
        let request = Request::SignIn {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        match self.ask(request, &mut |_, _| {})? {
            Response::SignedIn(is_right) => Ok(is_right),
            other => Err(unexpected(&other)),
        }
    }

    fn log(&self, actor: u64, event: Event) -> Result<u64, Failure> {
        match self.ask(
            Request::Log {
                actor,
                event: store::encode_event(&event),
            },
            &mut |_, _| {},
        )? {
            Response::Number(number) => Ok(number),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: Request, watch: Watch) -> Result<Response, Failure> {
        let answers = self.question(&request, None)?;
        Ok(wait(&answers, watch)?.0)
    }

    fn read_document(&self, document: Body, label: Label) -> Result<DocumentText, Failure> {
        let request = Request::ReadDocument(DocumentRequest {
            label,
            body: WireBody::File(document.length_bytes()),
        });
        let answers = self.question(&request, Some(&document))?;
        match wait(&answers, &mut |_, _| {})?.0 {
            Response::Document(text) => Ok(text),
            other => Err(unexpected(&other)),
        }
    }

    fn body(&self, which: BodyRequest) -> Result<Body, Failure> {
        self.bytes(&Request::Body(which))
    }
}
