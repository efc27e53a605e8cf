//! Room store.
pub mod disk;
pub mod merkle;
