//! Room protocol: SMTP and HTTP as machines without sockets, clocks or files.
//!
//! A machine takes bytes and the time, and gives events and bytes to write. Who listens, encrypts,
//! checks passwords and stores is decided in the rooms above.

pub mod http;
pub mod smtp;
