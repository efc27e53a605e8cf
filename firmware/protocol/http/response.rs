//! The response of whoever answers behind the edge, passed on to the client.
//!
//! [`Response`] is the machine for one response on one upstream connection: it writes the head anew without what concerns that connection
//! only, and then passes as many bytes as Content-Length says. So the client's connection can go on, whatever the one behind does. A
//! response without a length, or one that cannot be understood, is broken; nothing of its head reaches the client then.

use super::head::{ResponseHead, read_response_head};
use super::{HEAD_BYTES_MAX, take_head};

/// One response.
#[derive(Debug)]
pub struct Response {
    to: ResponseTo,
    state: State,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseTo {
    /// Whether the client asked for the head alone (RFC 9110 §9.3.2).
    pub is_head: bool,
    /// Whether the client's connection goes on after it.
    pub goes_on: bool,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Body { left: u64 },
    Broken,
}

/// Where a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseProgress {
    /// More must come.
    NeedInput,
    /// It is whole.
    Complete,
    /// It cannot be passed on.
    Broken,
}

impl Response {
    /// Begins the response to a request.
    pub fn new(to: ResponseTo) -> Self {
        Self {
            to,
            state: State::Head(Vec::new()),
        }
    }

    /// Takes bytes from behind, and adds what the client is to get of them.
    pub fn receive(&mut self, bytes: &[u8], downstream: &mut Vec<u8>) -> ResponseProgress {
        let mut taken = 0;
        if let State::Head(held) = &mut self.state {
            let Some(head_len) = take_head(held, bytes, &mut taken) else {
                return self.without_head();
            };
            self.state = match read_response_head(&held[..head_len]) {
                Some(head) => {
                    downstream.extend(written(&head, self.to.goes_on));
                    State::Body {
                        left: if self.to.is_head { 0 } else { head.body_bytes },
                    }
                }
                None => State::Broken,
            };
        }
        self.pass_body(&bytes[taken..], downstream)
    }

    /// Tells whether nothing of it has gone to the client, so that another answer can be given.
    pub fn is_unseen(&self) -> bool {
        !matches!(self.state, State::Body { .. })
    }

    fn without_head(&mut self) -> ResponseProgress {
        match &self.state {
            State::Head(held) if held.len() < HEAD_BYTES_MAX => ResponseProgress::NeedInput,
            _ => {
                self.state = State::Broken;
                ResponseProgress::Broken
            }
        }
    }

    fn pass_body(&mut self, bytes: &[u8], downstream: &mut Vec<u8>) -> ResponseProgress {
        let State::Body { left } = &mut self.state else {
            return ResponseProgress::Broken;
        };
        let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
        downstream.extend_from_slice(&bytes[..len]);
        *left -= len as u64;
        if *left == 0 {
            ResponseProgress::Complete
        } else {
            ResponseProgress::NeedInput
        }
    }
}

fn written(head: &ResponseHead<'_>, goes_on: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {}\r\n", head.status_and_reason).into_bytes();
    for (name, value) in &head.fields {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    let connection = if goes_on { "keep-alive" } else { "close" };
    text.extend_from_slice(format!("Connection: {connection}\r\n\r\n").as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO_GET: ResponseTo = ResponseTo {
        is_head: false,
        goes_on: true,
    };

    fn run(to: ResponseTo, input: &str, piece_len: usize) -> (String, ResponseProgress) {
        let (mut response, mut downstream) = (Response::new(to), Vec::new());
        let mut progress = ResponseProgress::NeedInput;
        for piece in input.as_bytes().chunks(piece_len) {
            progress = response.receive(piece, &mut downstream);
            if progress != ResponseProgress::NeedInput {
                break;
            }
        }
        (String::from_utf8(downstream).expect("text"), progress)
    }

    #[track_caller]
    fn check(to: ResponseTo, input: &str, expected: &str, progress: ResponseProgress) {
        for piece_len in 1..=input.len() {
            let found = run(to, input, piece_len);
            assert_eq!(found, (expected.to_owned(), progress), "{input:?}");
        }
    }

    #[test]
    fn a_response_is_passed_on_without_what_concerns_one_connection() {
        let behind = "HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close\r\nContent-Length: 3\r\nX-A:  b \r\n\r\nabcdef";
        let kept = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n";
        let body = format!("{kept}Connection: keep-alive\r\n\r\nabc");
        check(TO_GET, behind, &body, ResponseProgress::Complete);
        let last = ResponseTo {
            goes_on: false,
            ..TO_GET
        };
        let body = format!("{kept}Connection: close\r\n\r\nabc");
        check(last, behind, &body, ResponseProgress::Complete);
        let to_head = ResponseTo {
            is_head: true,
            ..TO_GET
        };
        let head = format!("{kept}Connection: keep-alive\r\n\r\n");
        check(to_head, behind, &head, ResponseProgress::Complete);
        let cut = &behind[..behind.len() - 4];
        let part = format!("{kept}Connection: keep-alive\r\n\r\nab");
        check(TO_GET, cut, &part, ResponseProgress::NeedInput);
    }

    #[test]
    fn bodies_without_a_length_belong_to_answers_without_a_body() {
        for status in ["204 No Content", "304 Not Modified"] {
            let behind = format!("HTTP/1.1 {status}\r\n\r\n");
            let passed = format!("HTTP/1.1 {status}\r\nConnection: keep-alive\r\n\r\n");
            check(TO_GET, &behind, &passed, ResponseProgress::Complete);
        }
    }

    #[test]
    fn what_cannot_be_understood_does_not_reach_the_client() {
        for behind in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\nX: y\r\n\r\n",
            "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/2 200 OK\r\nContent-Length: 3\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            check(TO_GET, behind, "", ResponseProgress::Broken);
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
        for piece_len in [1, 1000, long.len()] {
            let found = run(TO_GET, &long, piece_len);
            assert_eq!(found, (String::new(), ResponseProgress::Broken));
        }
    }
}
