//! What a program is told when something goes wrong: problem details in plain words (RFC 9457).

use super::super::Response;
use crate::keeper::Failure;
use crate::people::Denial;
use serde_json::json;

/// 10 seconds until a program should try again what could not be done now.
const LATER_S: u64 = 10;

/// Why a call was not answered as it wished.
#[derive(Debug)]
pub(super) struct Problem {
    status: u16,
    detail: String,
    retry_after_s: Option<u64>,
    /// The methods that are spoken there.
    allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            retry_after_s: None,
            allow: None,
        }
    }

    /// The same for what is not there and what is not the token's.
    pub(super) fn not_found() -> Self {
        Self::new(404, "there is nothing here, or it is not for this token")
    }

    pub(super) fn no_token() -> Self {
        Self::new(401, "a token that counts is needed: Authorization: Bearer")
    }

    /// Another method is spoken there: one of these.
    pub(super) fn method(allow: String) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(405, "this method is not spoken here")
        }
    }

    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    pub(super) fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": title(self.status),
            "status": self.status,
            "detail": self.detail,
        });
        let bytes = body.to_string().into_bytes();
        let response = Response::new(self.status, "application/problem+json", bytes);
        let response = match self.retry_after_s {
            Some(seconds) => response.with("Retry-After", seconds.to_string()),
            None => response,
        };
        let response = match self.allow {
            Some(allow) => response.with("Allow", allow),
            None => response,
        };
        match self.status {
            401 => response.with("WWW-Authenticate", "Bearer"),
            _ => response,
        }
    }
}

/// The words of a status code (RFC 9110 §15).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound(_) => Self::not_found(),
            Failure::BadRequest(why) => Self::new(422, why),
            Failure::Damaged(why) => {
                tracing::error!(why, "a program asked for what is damaged");
                Self::new(
                    500,
                    "this is damaged in the archive, or cannot be given whole",
                )
            }
            later => {
                tracing::error!(failure = %later, "a program was not answered");
                Self::new(503, "the archive cannot do this at the moment").retry_after(LATER_S)
            }
        }
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Failed(failure) => failure.into(),
            Denial::NotSignedIn => Self::no_token(),
            Denial::Wait { seconds } => Self::new(429, "too often").retry_after(seconds),
            other => Self::new(403, other.to_string()),
        }
    }
}
