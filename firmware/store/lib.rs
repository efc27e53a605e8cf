//! Room store.
pub mod disk;
#[cfg(any(test, feature = "simulated-disk"))]
pub mod faulty_disk;
mod redb_backend;
pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;
