//! Room archive.
