//! Room archive.

pub mod calendar;
pub mod words;
