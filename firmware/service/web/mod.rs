//! The page: what people open in a browser at `https://coffer.local`.
//!
//! `edge` has the sockets, TLS and every limit; behind it handlers are functions from our [`Request`] to our [`Response`], which know no
//! socket and are tested without one. Nothing here decides who may see what (room `archive`) or keeps anything (the keeper does).

mod edge;
mod request;
mod response;

pub use edge::{Handler, WebOptions, WebServer, WebSocket};
pub use request::{Method, Request};
pub use response::{Content, Response};
