//! HTTP/1.1 as the edge speaks it: a request before anything behind sees a byte of it, and the response to it.
//!
//! [`Request`] is the machine for one request and one upstream connection. It passes on a head that it wrote itself from
//! what it understood, then as many bytes as Content-Length says; so the two sides cannot disagree about where a
//! request ends, and no client can speak in the name of another (`Coffer-Peer`). What is ambiguous is refused.
//!
//! [`Patience`] says how long a client may take, [`Response`] is the way back. Nothing here knows what a target means.
//!
//! | RFC | subject | kept |
//! |---|---|---|
//! | 9112 §2.2, §3, §5 | request line and fields | yes; CRLF alone ends a line, no folding, only the origin form |
//! | 9112 §6 | length of a body | Content-Length alone: chunked bodies get 411 (§6.3), which no browser notices |
//! | 9112 §9.3 | connections that go on | as the client's version and Connection say |
//! | 9110 §10.1.1 | Expect | refused with 417; clients then send without |

mod head;
mod patience;
mod response;

pub use patience::{HEAD_TIME_MAX, IDLE_TIME_MAX, Patience, REQUEST_TIME_MAX};
pub use response::{Response, ResponseProgress, ResponseTo};

pub use head::FIELDS_MAX;
use head::{Head, read_head};
use std::net::IpAddr;

/// 16 KiB for request line and fields: twice what browsers send with many cookies. A longer head is refused.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// One request.
#[derive(Debug)]
pub struct Request {
    peer: IpAddr,
    body_bytes_max: u64,
    state: State,
    asked: Asked,
}

/// What the edge itself has to know of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whether the head alone is asked for (RFC 9110 §9.3.2).
    pub is_head: bool,
    /// Whether the client wants the connection to go on (RFC 9112 §9.3).
    pub goes_on: bool,
    /// The host it was sent to, as it came; empty without one.
    pub host: String,
    /// The target, in origin form.
    pub target: String,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Body { left: u64 },
    Refused(Refusal),
}

/// What a call gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// How many of the received bytes belong to this request; the rest is another's.
    pub taken: usize,
    /// What is to be written upstream.
    pub upstream: Vec<u8>,
    /// Where the request is now.
    pub progress: Progress,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More must come.
    NeedInput,
    /// It is whole.
    Complete,
    /// It is answered with this and the connection closed; if some of it went upstream, that connection too.
    Refused(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be understood in one way only.
    #[error("the request is not well formed")]
    Malformed,
    /// Its body has no Content-Length.
    #[error("the request needs a length")]
    LengthRequired,
    /// Its body is too large.
    #[error("the request is too large")]
    TooLarge,
    /// It expects something before it sends its body.
    #[error("expectations are not met")]
    Expectation,
    /// Its head is too large.
    #[error("the head of the request is too large")]
    HeadTooLarge,
    /// It speaks another version.
    #[error("this version of HTTP is not spoken")]
    Version,
}

impl Refusal {
    /// The status code that tells it.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::LengthRequired => 411,
            Self::TooLarge => 413,
            Self::Expectation => 417,
            Self::HeadTooLarge => 431,
            Self::Version => 505,
        }
    }
}

impl Request {
    /// Begins a request of a peer whose body has at most so many bytes.
    pub fn new(peer: IpAddr, body_bytes_max: u64) -> Self {
        Self {
            peer,
            body_bytes_max,
            state: State::Head(Vec::new()),
            asked: Asked::default(),
        }
    }

    /// What is asked for, once the head is whole.
    pub fn asked(&self) -> Option<&Asked> {
        matches!(self.state, State::Body { .. }).then_some(&self.asked)
    }

    /// Takes bytes from the client.
    pub fn receive(&mut self, bytes: &[u8]) -> Step {
        let mut step = Step {
            taken: 0,
            upstream: Vec::new(),
            progress: Progress::NeedInput,
        };
        if let State::Head(held) = &mut self.state {
            let Some(head_len) = take_head(held, bytes, &mut step.taken) else {
                if held.len() >= HEAD_BYTES_MAX {
                    self.state = State::Refused(Refusal::HeadTooLarge);
                    step.progress = Progress::Refused(Refusal::HeadTooLarge);
                }
                return step;
            };
            self.state = match read_head(&held[..head_len]) {
                Ok(head) if head.body_bytes > self.body_bytes_max => {
                    State::Refused(Refusal::TooLarge)
                }
                Ok(head) => {
                    step.upstream = written(self.peer, &head);
                    self.asked = head.asked();
                    State::Body {
                        left: head.body_bytes,
                    }
                }
                Err(refusal) => State::Refused(refusal),
            };
        }
        step.progress = self.pass_body(&bytes[step.taken..], &mut step.taken, &mut step.upstream);
        step
    }

    fn pass_body(&mut self, bytes: &[u8], taken: &mut usize, upstream: &mut Vec<u8>) -> Progress {
        match &mut self.state {
            State::Body { left } => {
                let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                upstream.extend_from_slice(&bytes[..len]);
                *taken += len;
                *left -= len as u64;
                if *left == 0 {
                    Progress::Complete
                } else {
                    Progress::NeedInput
                }
            }
            State::Refused(refusal) => Progress::Refused(*refusal),
            State::Head(_) => Progress::NeedInput,
        }
    }
}

/// Writes a head anew, for one request on one connection, with who sent it.
fn written(peer: IpAddr, head: &Head<'_>) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target).into_bytes();
    for (name, value) in &head.fields {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    let own = format!("Coffer-Peer: {peer}\r\nConnection: close\r\n\r\n");
    text.extend_from_slice(own.as_bytes());
    text
}

/// Moves bytes into `held` up to the end of the head or its limit; gives the head's length once it is whole.
fn take_head(held: &mut Vec<u8>, bytes: &[u8], taken: &mut usize) -> Option<usize> {
    for byte in bytes {
        if held.len() >= HEAD_BYTES_MAX {
            return None;
        }
        held.push(*byte);
        *taken += 1;
        if held.ends_with(b"\r\n\r\n") {
            return Some(held.len());
        }
    }
    None
}

#[cfg(test)]
mod tests;
