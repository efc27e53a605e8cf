//! The keeper's end of the socket: one thread a connection takes questions, another gives the answers of deposits in their order.

use super::client::SOCKET;
use super::edges::Edge;
use super::messages::{DepositRequest, Request, Response, WireBody, WireReceipt};
use super::wire::{self, Frame, Receiver};
use super::{Answer, Failure, Keeper};
use crate::short_path::ShortPath;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver as Answers, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use store::{Body, Deposit, Novelty, Receipt};

/// Connections at once: edges, and a command line or two; each costs two threads.
const CONNECTIONS_MAX: usize = 64;

/// Deposits of one connection whose answers are outstanding; more wait in the socket.
const OUTSTANDING_MAX: usize = 2048;

/// The socket of a keeper, while it is open.
pub struct KeeperServer {
    path: PathBuf,
    closing: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl KeeperServer {
    /// Opens `<data>/keeper.sock` for the owner of the directory; a socket left over from a killed keeper is replaced.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(data: &Path, keeper: Arc<dyn Keeper>) -> io::Result<Self> {
        Self::open(data, keeper, Admits::Owner)
    }

    /// Opens `<folder>/keeper.sock` for the users of edges, each of which may ask what [`Edge`] says.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn for_edges(
        folder: &Path,
        keeper: Arc<dyn Keeper>,
        users: Vec<(u32, Edge)>,
    ) -> io::Result<Self> {
        Self::open(folder, keeper, Admits::Edges(users))
    }

    fn open(folder: &Path, keeper: Arc<dyn Keeper>, admits: Admits) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(ShortPath::new(folder, SOCKET)?.path())?;
        let mode = match admits {
            Admits::Owner => 0o600,
            // Who connects is asked of the kernel.
            Admits::Edges(_) => 0o666,
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        let closing = Arc::new(AtomicBool::new(false));
        let flag = closing.clone();
        let accept = move || accept(&listener, &keeper, &admits, &flag);
        let accepting = std::thread::Builder::new()
            .name("keeper-socket".to_owned())
            .spawn(accept)?;
        Ok(Self {
            path,
            closing,
            accepting: Some(accepting),
        })
    }
}

impl Drop for KeeperServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; whether it connects does not matter once the path is gone.
        let woken = self
            .path
            .parent()
            .and_then(|data| ShortPath::new(data, SOCKET).ok());
        let _ = woken.map(|short| UnixStream::connect(short.path()));
        let _ = std::fs::remove_file(&self.path);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// Whom a socket admits.
enum Admits {
    /// The owner of the directory, to whom the file system leaves it.
    Owner,
    /// Users of edges.
    Edges(Vec<(u32, Edge)>),
}

/// Who speaks on a connection.
#[derive(Clone, Copy)]
enum Speaker {
    Owner,
    Edge(Edge),
}

impl Admits {
    /// Tells who has connected; none when he is a stranger.
    fn speaker(&self, stream: &UnixStream) -> Option<Speaker> {
        let Self::Edges(users) = self else {
            return Some(Speaker::Owner);
        };
        let user = rustix::net::sockopt::socket_peercred(stream).ok()?.uid;
        let edge = users
            .iter()
            .find(|(admitted, _)| *admitted == user.as_raw());
        edge.map(|(_, edge)| Speaker::Edge(*edge))
    }
}

impl Speaker {
    fn may_ask(self, request: &Request) -> bool {
        match self {
            Self::Owner => true,
            Self::Edge(edge) => edge.may_ask(request),
        }
    }
}

fn accept(
    listener: &UnixListener,
    keeper: &Arc<dyn Keeper>,
    admits: &Admits,
    closing: &AtomicBool,
) {
    let connections = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Some(speaker) = admits.speaker(&stream) else {
            tracing::warn!("a stranger at the keeper's socket was sent away");
            continue;
        };
        if matches!(speaker, Speaker::Edge(Edge::Extractor)) {
            keeper.take_extractor(stream);
            continue;
        }
        if connections.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            connections.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (keeper, count) = (keeper.clone(), connections.clone());
        let run = move || {
            if let Err(error) = serve(stream, &*keeper, speaker) {
                tracing::debug!(%error, "a connection to the keeper ended");
            }
            count.fetch_sub(1, Ordering::SeqCst);
        };
        if std::thread::Builder::new()
            .name("keeper-connection".to_owned())
            .spawn(run)
            .is_err()
        {
            connections.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The sending half, shared by both threads of a connection.
#[derive(Clone)]
struct Sender(Arc<Mutex<UnixStream>>);

impl Sender {
    fn send(&self, number: u64, response: &Response) -> io::Result<()> {
        wire::send(
            &self.0.lock().unwrap_or_else(PoisonError::into_inner),
            number,
            response,
            None,
        )
    }

    fn send_result(&self, number: u64, body: Result<Body, Failure>) -> io::Result<()> {
        match body {
            Ok(body) => self.send_body(number, &body),
            Err(failure) => self.send(number, &Response::Failed(failure)),
        }
    }

    fn send_body(&self, number: u64, body: &Body) -> io::Result<()> {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match body {
            Body::File { file, length_bytes } if file.descriptor().is_some() => wire::send(
                &stream,
                number,
                &Response::Body(WireBody::File(*length_bytes)),
                file.descriptor(),
            ),
            other => {
                let mut bytes = Vec::with_capacity(other.length_bytes() as usize);
                other.write_to(&mut bytes)?;
                wire::send(
                    &stream,
                    number,
                    &Response::Body(WireBody::Inline(bytes)),
                    None,
                )
            }
        }
    }
}

fn serve(stream: UnixStream, keeper: &dyn Keeper, speaker: Speaker) -> io::Result<()> {
    let sender = Sender(Arc::new(Mutex::new(stream.try_clone()?)));
    let mut receiver = Receiver::new(stream);
    let (answers, outstanding) = sync_channel(OUTSTANDING_MAX);
    std::thread::scope(|scope| {
        let answering = sender.clone();
        scope.spawn(move || give_answers(&outstanding, &answering));
        while let Some(frame) = receiver.receive::<Request>()? {
            if speaker.may_ask(&frame.value) {
                answer(frame, keeper, &sender, &answers)?;
            } else {
                let refusal = Failure::BadRequest("this is nothing for an edge".to_owned());
                sender.send(frame.number, &Response::Failed(refusal))?;
            }
        }
        drop(answers);
        Ok(())
    })
}

type Outstanding = (u64, Answer<Receipt>);

fn give_answers(outstanding: &Answers<Outstanding>, sender: &Sender) {
    for (number, answer) in outstanding {
        let response = answer.wait().map_or_else(Response::Failed, |receipt| {
            Response::Stored(wire_receipt(&receipt))
        });
        // When nobody listens any more, the deposits are still waited for: they are under way.
        let _ = sender.send(number, &response);
    }
}

fn answer(
    frame: Frame<Request>,
    keeper: &dyn Keeper,
    sender: &Sender,
    answers: &SyncSender<Outstanding>,
) -> io::Result<()> {
    let Frame {
        number,
        value,
        descriptor,
    } = frame;
    match value {
        Request::Deposit(request) => match deposit(request, descriptor, keeper) {
            Ok(answer) => answers
                .send((number, answer))
                .map_err(|_| io::ErrorKind::BrokenPipe.into()),
            Err(failure) => sender.send(number, &Response::Failed(failure)),
        },
        Request::Body(which) => sender.send_result(number, keeper.body(which)),
        Request::SpoolFile => sender.send_result(number, spool_file(keeper)),
        Request::ReadDocument(request) => {
            let body = received(request.body, descriptor);
            let text = body.and_then(|body| keeper.read_document(body, request.label));
            let response = text.map_or_else(Response::Failed, Response::Document);
            sender.send(number, &response)
        }
        request => {
            let mut watch = |done, total| {
                let _ = sender.send(number, &Response::Progress { done, total });
            };
            let response = keeper
                .ask(request, &mut watch)
                .unwrap_or_else(Response::Failed);
            sender.send(number, &response)
        }
    }
}

fn spool_file(keeper: &dyn Keeper) -> Result<Body, Failure> {
    Ok(Body::File {
        file: keeper.spool().file()?,
        length_bytes: 0,
    })
}

fn deposit(
    request: DepositRequest,
    descriptor: Option<OwnedFd>,
    keeper: &dyn Keeper,
) -> Result<Answer<Receipt>, Failure> {
    let body = received(request.body, descriptor)?;
    let reception = store::decode_reception(&request.reception)
        .ok_or_else(|| Failure::BadRequest("a reception that does not hold".to_owned()))?;
    let DepositRequest {
        unwrap_journal,
        actor,
        prompt,
        ..
    } = request;
    keeper.deposit(
        body,
        Deposit {
            reception,
            unwrap_journal,
            actor,
            prompt,
        },
    )
}

/// The bytes that came with a question.
fn received(body: WireBody, descriptor: Option<OwnedFd>) -> Result<Body, Failure> {
    let bad = |what: &str| Failure::BadRequest(what.to_owned());
    match (body, descriptor) {
        (WireBody::Inline(bytes), _) => Ok(Body::Memory(bytes)),
        (WireBody::File(length_bytes), Some(descriptor)) => {
            let file = File::from(descriptor);
            let length = file
                .metadata()
                .map_err(|error| Failure::BadRequest(error.to_string()))?
                .len();
            if length < length_bytes {
                return Err(bad(
                    "the file that was handed over is shorter than what it holds",
                ));
            }
            Ok(Body::File {
                file: Box::new(file),
                length_bytes,
            })
        }
        (WireBody::File(_), None) => Err(bad("bytes in a file came without the file")),
    }
}

fn wire_receipt(receipt: &Receipt) -> WireReceipt {
    let novelty = match receipt.novelty {
        Novelty::NewMessage => 0,
        Novelty::NewReception => 1,
        Novelty::Known => 2,
    };
    WireReceipt {
        number: receipt.number,
        reception: receipt.reception,
        digest: receipt.digest.0,
        novelty,
    }
}
