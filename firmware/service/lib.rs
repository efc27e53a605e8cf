//! Room service.

pub mod accounts;
pub mod export;
pub mod import;
pub mod keeper;
pub mod listener;
pub mod networks;
pub mod smtp;
pub mod tls;
