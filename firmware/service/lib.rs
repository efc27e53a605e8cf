//! Threads and sockets around the archive: who may ask for what, and how mail comes in and goes out.
//!
//! Start with `keeper`: everything else is given one. `smtp` brings mail from the network, `import` from files, `export` hands it out, `web` is the page.
//!
//! It decides nothing about what is kept or who may see it (room `archive`) and never writes the archive's disks (room `store`).

pub mod accounts;
pub mod authority;
pub mod certificates;
pub mod export;
mod forecast;
pub mod health;
pub mod import;
pub mod keeper;
pub mod listener;
pub mod machine;
pub mod networks;
pub mod outgoing;
pub mod own_certificate;
pub mod people;
pub mod self_test;
pub mod settings;
mod short_path;
mod slots;
pub mod smtp;
pub mod tls;
mod tls_client;
pub mod web;
mod x509;
