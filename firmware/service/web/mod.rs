//! The page: what people open in a browser at `https://coffer.local`.
//!
//! `edge` has the sockets, TLS and every limit; behind it [`Site`] is a function from our [`Request`] to our [`Response`], which knows no
//! socket and is tested without one. Nothing here decides who may see what (room `archive`) or keeps anything (the keeper does).

mod api;
mod assets;
mod edge;
pub mod mail_html;
mod mail_test;
mod no_archive;
mod pages;
mod plot;
mod qr_code;
mod query_words;
mod range;
mod reasons;
mod recovery;
mod request;
mod response;
mod site;
#[cfg(test)]
mod tests;
pub(crate) mod time_zone;
mod visit;
pub(crate) mod warnings;
pub(crate) mod words;

pub use edge::{Handler, WebOptions, WebServer, WebSocket};
pub use no_archive::NoArchive;
pub(crate) use pages::updates::outcome;
pub use request::{Method, Request};
pub use response::{Content, Response};
pub use site::{MailCounts, MailDoor, Renewal, Site, UpdateFacts};
