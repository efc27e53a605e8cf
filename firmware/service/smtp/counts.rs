//! What the SMTP server counts since it was started, for whoever watches it: numbers only, no address or subject.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a server.
        #[derive(Debug, Default)]
        pub struct SmtpCounts {
            $(pub(super) $name: Counter,)*
        }

        impl SmtpCounts {
            /// Gives what was counted so far.
            pub fn figures(&self) -> SmtpFigures {
                SmtpFigures { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }

        /// What a server has counted.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct SmtpFigures {
            $($(#[$doc])* pub $name: u64,)*
        }
    };
}

counters! {
    /// Sessions that began.
    sessions,
    /// Sessions that ended.
    sessions_ended,
    /// Messages taken: durable before their sender was told.
    messages,
    /// Messages put off (4xx): their sender comes again.
    put_off,
    /// Messages refused for ever (552): too large.
    refused,
    /// Sign-ins with a wrong name or password.
    sign_ins_refused,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
