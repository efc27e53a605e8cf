//! Room protocol.
