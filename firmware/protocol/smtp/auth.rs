//! Signing in: the dialogues of AUTH PLAIN (RFC 4616) and AUTH LOGIN, up to a name and a password.
//!
//! Whether AUTH may be used now, and whether the password is right, is decided elsewhere.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Holds what a peer signs in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Holds the name of the account.
    pub name: String,
    /// Holds the password; never shown by `Debug`.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Is a dialogue that waits for the peer's next line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    Plain,
    LoginName,
    LoginPassword { name: String },
}

/// Tells how the dialogue goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send the challenge (already base64) and wait.
    Challenge(&'static str, Exchange),
    /// The dialogue is complete.
    Check(Credentials),
}

/// Tells why a dialogue ended without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("mechanism not offered, use PLAIN or LOGIN")]
    Mechanism,
    #[error("authentication cancelled")]
    Cancelled,
    #[error("not base64")]
    Encoding,
    #[error("malformed credentials")]
    Malformed,
    #[error("signing in as somebody else is not possible")]
    OtherIdentity,
}

/// `Username:` and `Password:`, the challenges that clients of AUTH LOGIN expect (draft-murchison-sasl-login).
const USERNAME: &str = "VXNlcm5hbWU6";
const PASSWORD: &str = "UGFzc3dvcmQ6";

impl Exchange {
    /// Begins with the arguments of the AUTH command.
    pub(crate) fn begin(mechanism: &str, initial: Option<&str>) -> Result<Step, AuthError> {
        let (challenge, exchange) = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => ("", Self::Plain),
            "LOGIN" => (USERNAME, Self::LoginName),
            _ => return Err(AuthError::Mechanism),
        };
        match initial {
            None => Ok(Step::Challenge(challenge, exchange)),
            Some("=") => exchange.respond(""), // RFC 4954 §4: an empty initial response
            Some(initial) => exchange.respond(initial),
        }
    }

    /// Goes on with a line of the peer, without CRLF.
    pub(crate) fn respond(self, line: &str) -> Result<Step, AuthError> {
        if line.trim_ascii() == "*" {
            return Err(AuthError::Cancelled);
        }
        let response = BASE64
            .decode(line.trim_ascii())
            .map_err(|_| AuthError::Encoding)?;
        let response = String::from_utf8(response).map_err(|_| AuthError::Malformed)?;
        match self {
            Self::Plain => plain(&response).map(Step::Check),
            Self::LoginName => Ok(Step::Challenge(
                PASSWORD,
                Self::LoginPassword { name: response },
            )),
            Self::LoginPassword { name } => credentials(&name, &response).map(Step::Check),
        }
    }
}

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `message = [authzid] NUL authcid NUL passwd` (RFC 4616 §2)
fn plain(response: &str) -> Result<Credentials, AuthError> {
    let mut fields = response.splitn(3, '\0');
    let (Some(identity), Some(name), Some(password)) =
        (fields.next(), fields.next(), fields.next())
    else {
        return Err(AuthError::Malformed);
    };
    if !identity.is_empty() && identity != name {
        return Err(AuthError::OtherIdentity);
    }
    credentials(name, password)
}

fn credentials(name: &str, password: &str) -> Result<Credentials, AuthError> {
    if name.is_empty() || name.contains('\0') || password.contains('\0') {
        return Err(AuthError::Malformed);
    }
    Ok(Credentials {
        name: name.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        mechanism: &str,
        initial: Option<&str>,
        lines: &[&str],
        expected: Result<(&str, &str), AuthError>,
    ) {
        let mut step = Exchange::begin(mechanism, initial);
        for line in lines {
            match step {
                Ok(Step::Challenge(_, exchange)) => step = exchange.respond(line),
                other => panic!("{mechanism} ended early: {other:?}"),
            }
        }
        let expected = expected.map(|(name, password)| {
            Step::Check(Credentials {
                name: name.into(),
                password: password.into(),
            })
        });
        assert_eq!(step, expected, "{mechanism} {initial:?} {lines:?}");
    }

    #[test]
    fn plain_dialogues() {
        // RFC 4954 §4.3
        check(
            "PLAIN",
            Some("dGVzdAB0ZXN0ADEyMzQ="),
            &[],
            Ok(("test", "1234")),
        );
        check(
            "plain",
            Some("dGVzdAB0ZXN0ADEyMzQ"),
            &[],
            Ok(("test", "1234")),
        );
        check("PLAIN", None, &["AHRlc3QAMTIzNA=="], Ok(("test", "1234")));
        check(
            "PLAIN",
            None,
            &["AG3DvGxsZXIAZ2Vow6RybQ=="],
            Ok(("müller", "gehärm")),
        );
        check("PLAIN", None, &["*"], Err(AuthError::Cancelled));
        check("PLAIN", None, &["!"], Err(AuthError::Encoding));
        check("PLAIN", Some("="), &[], Err(AuthError::Malformed));
        check("PLAIN", None, &["dGVzdA=="], Err(AuthError::Malformed));
        check("PLAIN", None, &["AAB4"], Err(AuthError::Malformed)); // no name
        check("PLAIN", None, &["AGEAYgBj"], Err(AuthError::Malformed)); // NUL in the password
        check(
            "PLAIN",
            None,
            &["Ym9iAGFsaWNlAHg="],
            Err(AuthError::OtherIdentity),
        );
        check("PLAIN", None, &["AP8Aeg=="], Err(AuthError::Malformed)); // not UTF-8
    }

    #[test]
    fn login_dialogues() {
        check(
            "LOGIN",
            None,
            &["dGVzdA==", "MTIzNA=="],
            Ok(("test", "1234")),
        );
        check(
            "LOGIN",
            Some("dGVzdA=="),
            &["MTIzNA=="],
            Ok(("test", "1234")),
        );
        check("LOGIN", None, &["dGVzdA==", "*"], Err(AuthError::Cancelled));
        check("LOGIN", None, &["", "MTIzNA=="], Err(AuthError::Malformed));
        check("CRAM-MD5", None, &[], Err(AuthError::Mechanism));
    }

    #[test]
    fn challenges_are_what_clients_expect() {
        assert_eq!(BASE64.decode(USERNAME).as_deref(), Ok(&b"Username:"[..]));
        assert_eq!(BASE64.decode(PASSWORD).as_deref(), Ok(&b"Password:"[..]));
    }

    #[test]
    fn the_password_is_not_shown() {
        let credentials = Credentials {
            name: "bob".into(),
            password: "secret".into(),
        };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
