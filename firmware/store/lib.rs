//! Room store.
pub mod disk;
