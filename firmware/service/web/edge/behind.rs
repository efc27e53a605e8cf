//! What is behind the edge: tiny_http on a Unix socket, its requests and responses translated into ours.
//!
//! It sees whole requests only, one a connection, each of which the edge has read and bounded; so it needs no limits of its own but that of the
//! work done at once. tiny_http's types stay in this file.

use super::super::api::refuse_method;
use super::super::request::is_for_programs;
use super::super::response::Content;
use super::super::{Method, Request, Response};
use super::{BODY_BYTES_MAX, Handler, SOCKET};
use crate::short_path::ShortPath;
use crate::slots::Slots;
use std::io::{self, Cursor, Read};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use store::BodyReader;
use tracing::error;

/// 16 requests are worked on at once; more wait. Sending an answer is not counted: that takes as long as the client wants.
const HANDLERS_MAX: usize = 16;

/// 30 seconds to wait for others to be worked on; then the client is asked to come again.
const HANDLER_PATIENCE: Duration = Duration::from_secs(30);

/// 1 MiB of stack for a handler: messages are taken apart in it.
const STACK_BYTES: usize = 1 << 20;

/// 100 ms before a socket that failed is made anew: at most ten tries and log lines a second.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// The handlers' socket, while it is open.
pub(super) struct Behind {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    data: PathBuf,
    handler: Handler,
    slots: Slots,
    closing: AtomicBool,
    server: Mutex<Arc<Open>>,
}

/// tiny_http with the socket it accepts on; it needs the path again when it ends.
struct Open {
    server: tiny_http::Server,
    _path: ShortPath,
}

impl Behind {
    /// Opens `<data>/web.sock` for this account; a socket left over from a killed process is replaced.
    pub(super) fn start(data: &Path, handler: Handler) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            data: data.to_owned(),
            handler,
            slots: Slots::new(HANDLERS_MAX),
            closing: AtomicBool::new(false),
            server: Mutex::new(Arc::new(open(data)?)),
        });
        let accepting = shared.clone();
        let thread = thread::Builder::new()
            .name("web-behind".to_owned())
            .spawn(move || accept(&accepting))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.current().server.unblock();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn current(&self) -> Arc<Open> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.clone()
    }

    fn answer(&self, request: &Request) -> Response {
        let Some(_slot) = self.slots.take(HANDLER_PATIENCE) else {
            return Response::text(503, "too much is asked at once; try again");
        };
        // A handler that fails takes nobody else along, and its client is told.
        catch_unwind(AssertUnwindSafe(|| (self.handler)(request))).unwrap_or_else(|_| {
            error!(path = request.path, "a handler of the page panicked");
            Response::text(500, "this page failed")
        })
    }
}

fn open(data: &Path) -> io::Result<Open> {
    let path = data.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let short = ShortPath::new(data, SOCKET)?;
    let listener = UnixListener::bind(short.path())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
    Ok(Open {
        server,
        _path: short,
    })
}

/// Hands each request to a thread of its own, for an answer may be read as slowly as its client wants; the edge bounds their number.
fn accept(shared: &Arc<Shared>) {
    loop {
        let open = shared.current();
        let received = open.server.recv();
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        match received {
            Ok(request) => {
                let shared = shared.clone();
                let builder = thread::Builder::new().name("web-request".to_owned());
                let spawned = builder
                    .stack_size(STACK_BYTES)
                    .spawn(move || respond(&shared, request));
                if let Err(error) = spawned {
                    error!(%error, "no thread for a request of the page");
                }
            }
            Err(error) => {
                error!(%error, "the page's socket failed and is made anew");
                drop(open);
                reopen(shared);
            }
        }
    }
}

/// tiny_http ends at the first accept that fails, as it does when there is no file descriptor left.
fn reopen(shared: &Shared) {
    thread::sleep(REOPEN_PAUSE);
    match self::open(&shared.data) {
        Ok(open) => {
            *shared.server.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(open);
        }
        Err(error) => error!(%error, "the page's socket cannot be made anew"),
    }
}

fn respond(shared: &Shared, mut request: tiny_http::Request) {
    let response = match translated(&mut request) {
        Ok(ours) => shared.answer(&ours).in_range(&ours),
        Err(refusal) => *refusal,
    };
    if let Err(error) = send(request, response.finished()) {
        tracing::debug!(%error, "an answer was not taken to its end");
    }
}

/// Makes our request of tiny_http's.
fn translated(request: &mut tiny_http::Request) -> Result<Request, Box<Response>> {
    let refuse = |status, text: &str| Box::new(Response::text(status, text));
    let path = request.url().split('?').next().unwrap_or_default();
    let method = match request.method() {
        tiny_http::Method::Get | tiny_http::Method::Head => Method::Get,
        tiny_http::Method::Post => Method::Post,
        _ if is_for_programs(path) => return Err(Box::new(refuse_method(path))),
        _ => {
            let refusal = refuse(405, "this method is not spoken");
            return Err(Box::new(refusal.with("Allow", "GET, HEAD, POST")));
        }
    };
    let is_peer = |header: &&tiny_http::Header| header.field.equiv("Coffer-Peer");
    let peer = request.headers().iter().find(is_peer);
    let peer = peer.and_then(|header| header.value.as_str().parse::<IpAddr>().ok());
    let peer = peer.ok_or_else(|| refuse(400, "the request did not come by the edge"))?;
    let mut ours = Request::new(method, request.url(), peer);
    for header in request.headers() {
        ours = ours.with_field(header.field.as_str().as_str(), header.value.as_str());
    }
    if method == Method::Post {
        let form = "application/x-www-form-urlencoded";
        let is_for_programs = is_for_programs(&ours.path);
        if !is_for_programs && ours.field("content-type").map(media_type) != Some(form.to_owned()) {
            return Err(refuse(415, "only forms are taken"));
        }
        let mut body = Vec::new();
        let read = request
            .as_reader()
            .take(BODY_BYTES_MAX)
            .read_to_end(&mut body);
        read.map_err(|_| refuse(400, "the form could not be read"))?;
        ours = if is_for_programs {
            ours.with_body(body)
        } else {
            ours.with_form(&body)
        };
    }
    Ok(ours)
}

/// A media type without its parameters, in lower case.
fn media_type(value: &str) -> String {
    let bare = value.split(';').next().unwrap_or_default();
    bare.trim().to_ascii_lowercase()
}

fn send(request: tiny_http::Request, response: Response) -> io::Result<()> {
    let headers = response.fields.iter().filter_map(|(name, value)| {
        // Our values are printable ASCII, see `Response::with`.
        tiny_http::Header::from_bytes(name.as_bytes(), value.as_bytes()).ok()
    });
    let (reader, length): (Box<dyn Read>, u64) = match response.content {
        Content::Memory(bytes) => {
            let length = bytes.len() as u64;
            (Box::new(Cursor::new(bytes)), length)
        }
        Content::Body(body) => {
            let length = body.length_bytes();
            (Box::new(BodyReader::new(body)), length)
        }
        Content::Part {
            body,
            from,
            length_bytes,
        } => {
            let reader = BodyReader::starting_at(body, from).take(length_bytes);
            (Box::new(reader), length_bytes)
        }
    };
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let theirs = tiny_http::Response::new(
        tiny_http::StatusCode(response.status),
        headers.collect(),
        reader,
        Some(length),
        None,
    );
    // The edge needs a length to know where an answer ends.
    request.respond(theirs.with_chunked_threshold(usize::MAX))
}
