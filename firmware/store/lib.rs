//! Room store.
pub mod disk;
pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;
