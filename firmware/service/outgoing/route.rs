//! Where and how Coffer's own mail goes out: a mail server, how to speak to it, and the address that mail comes from.
//!
//! As text it is words `name=value` parted by blanks: `server`, `port`, `security`, `from`, then `user` and `certificate` if there are any.
//! That text stands in the audit log and in proposals ([`archive::people::Change::NoticeRoute`]), so it holds no secret.

use crate::settings::is_address;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// 253 characters of a host's name (RFC 1035 §2.3.4).
const SERVER_CHARS_MAX: usize = 253;

/// 254 characters of a user's name: most are addresses.
const USER_CHARS_MAX: usize = 254;

/// The port of mail between servers (RFC 5321 §4.5.4.2), when a command line names none.
const PORT_RELAY: u16 = 25;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Not at all: for a server in the office that knows this box by its address.
    None,
    /// TLS after a command (RFC 3207); without it nothing is sent.
    #[default]
    StartTls,
    /// TLS from the first byte (RFC 8314 §3.3).
    Tls,
}

impl Security {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::StartTls, Self::Tls, Self::None];

    /// Its word in a route.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::StartTls => "starttls",
            Self::Tls => "tls",
        }
    }

    /// Finds one by its word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|security| security.name() == name)
    }
}

/// A way for mail to go out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Name or address of the mail server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// SHA-256 of the server's certificate, if somebody has confirmed one that no known authority vouches for.
    pub certificate: Option<[u8; 32]>,
    /// Who signs in; empty without.
    pub user: String,
    /// The address that mail comes from.
    pub from: String,
}

/// Why something is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// The server is neither a name nor an address.
    #[error("the server is neither a host's name nor an address")]
    Server,
    /// The port is none.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// The sender is no address.
    #[error("mail must come from an address")]
    From,
    /// The user's name has blanks or is too long.
    #[error("the user's name cannot be given to a server")]
    User,
    /// The password would cross the network readable.
    #[error("whoever signs in needs TLS")]
    SignInWithoutTls,
    /// The certificate's digest is none.
    #[error("not the SHA-256 of a certificate")]
    Certificate,
    /// The text is no route.
    #[error("not a route of outgoing mail")]
    Text,
}

impl Route {
    /// Makes the route that a command line names: `HOST:PORT`, without TLS and signing in.
    pub fn plain(server: &str, from: String) -> Self {
        let with_port = server.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse().ok()?))
        });
        let (server, port) = with_port.unwrap_or_else(|| (server.to_owned(), PORT_RELAY));
        Self {
            server,
            port,
            security: Security::None,
            from,
            ..Self::default()
        }
    }

    /// Checks that mail can go this way.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), RouteFault> {
        let is_user = |c: char| !c.is_whitespace() && !c.is_control();
        let length = self.user.chars().count();
        if !is_host(&self.server) {
            Err(RouteFault::Server)
        } else if self.port == 0 {
            Err(RouteFault::Port)
        } else if !is_address(&self.from) {
            Err(RouteFault::From)
        } else if length > USER_CHARS_MAX || !self.user.chars().all(is_user) {
            Err(RouteFault::User)
        } else if self.security == Security::None && length > 0 {
            Err(RouteFault::SignInWithoutTls)
        } else {
            Ok(())
        }
    }
}

fn is_host(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = !name.is_empty()
        && name.len() <= SERVER_CHARS_MAX
        && name.chars().all(is_plain)
        && !name.starts_with(['-', '.']);
    is_name || name.parse::<IpAddr>().is_ok()
}

/// A way on its own line, as people compare it with their provider's papers.
pub(crate) fn place(route: &str) -> String {
    route.parse::<Route>().map_or_else(
        |_| route.to_owned(),
        |route| format!("{}:{}", route.server, route.port),
    )
}

/// Reads the SHA-256 of a certificate: 64 hexadecimal digits, with colons or blanks between them as people copy it.
///
/// # Errors
/// `Certificate`.
pub fn read_fingerprint(text: &str) -> Result<[u8; 32], RouteFault> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !matches!(c, ':' | ' '))
        .map(|c| c.to_digit(16).ok_or(RouteFault::Certificate))
        .collect::<Result<_, _>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|two| (two[0] * 16 + two[1]) as u8)
        .collect();
    match digits.len() {
        64 => bytes.try_into().map_err(|_| RouteFault::Certificate),
        _ => Err(RouteFault::Certificate),
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, port, security) = (&self.server, self.port, self.security.name());
        write!(
            f,
            "server={server} port={port} security={security} from={}",
            self.from
        )?;
        if !self.user.is_empty() {
            write!(f, " user={}", self.user)?;
        }
        match &self.certificate {
            Some(digest) => write!(f, " certificate={}", archive::Digest(*digest)),
            None => Ok(()),
        }
    }
}

impl FromStr for Route {
    type Err = RouteFault;

    /// Reads a route exactly as it is written, and checks it.
    fn from_str(text: &str) -> Result<Self, RouteFault> {
        let mut route = Self::default();
        for word in text.split(' ') {
            let (name, value) = word.split_once('=').ok_or(RouteFault::Text)?;
            match name {
                "server" => route.server = value.to_owned(),
                "port" => route.port = value.parse().map_err(|_| RouteFault::Port)?,
                "security" => {
                    route.security = Security::from_name(value).ok_or(RouteFault::Text)?;
                }
                "from" => route.from = value.to_owned(),
                "user" => route.user = value.to_owned(),
                "certificate" => route.certificate = Some(read_fingerprint(value)?),
                _ => return Err(RouteFault::Text),
            }
        }
        route.check()?;
        // One text a route: the password hangs on it.
        (route.to_string() == text)
            .then_some(route)
            .ok_or(RouteFault::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route {
            server: "mail.office.example".to_owned(),
            port: 587,
            security: Security::StartTls,
            certificate: Some([0xab; 32]),
            user: "coffer@office.example".to_owned(),
            from: "coffer@office.example".to_owned(),
        }
    }

    #[test]
    fn a_route_is_read_as_it_is_written() {
        let with = |certificate, user: &str, security| Route {
            certificate,
            user: user.to_owned(),
            security,
            ..route()
        };
        for route in [
            route(),
            with(None, "OFFICE\\box=1", Security::Tls),
            with(None, "", Security::None),
        ] {
            assert_eq!(route.to_string().parse(), Ok(route));
        }
        for (text, fault) in [
            ("", RouteFault::Text),
            ("mail.office.example", RouteFault::Text),
            ("server=a port=x", RouteFault::Port),
            ("server=a port=1 security=some", RouteFault::Text),
            (
                "server=a port=1 security=tls from=a@b.c shoe=1",
                RouteFault::Text,
            ),
            ("port=1 server=a security=tls from=a@b.c", RouteFault::Text),
            ("server=a port=01 security=tls from=a@b.c", RouteFault::Text),
            (
                "server=a port=1 security=tls from=a@b.c certificate=ab",
                RouteFault::Certificate,
            ),
        ] {
            assert_eq!(text.parse::<Route>(), Err(fault), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_route_is_refused() {
        let none = || None::<[u8; 32]>;
        for (server, port, security, user, from, expected) in [
            ("192.0.2.1", 25, Security::None, "", "a@b.c", Ok(())),
            ("2001:db8::1", 25, Security::None, "", "a@b.c", Ok(())),
            ("", 25, Security::None, "", "a@b.c", Err(RouteFault::Server)),
            (
                "a b",
                25,
                Security::None,
                "",
                "a@b.c",
                Err(RouteFault::Server),
            ),
            (
                "-a",
                25,
                Security::None,
                "",
                "a@b.c",
                Err(RouteFault::Server),
            ),
            ("a", 0, Security::None, "", "a@b.c", Err(RouteFault::Port)),
            (
                "a",
                25,
                Security::None,
                "",
                "a@b.c\r\nx",
                Err(RouteFault::From),
            ),
            ("a", 25, Security::None, "", "", Err(RouteFault::From)),
            (
                "a",
                25,
                Security::Tls,
                "a b",
                "a@b.c",
                Err(RouteFault::User),
            ),
            (
                "a",
                25,
                Security::None,
                "me",
                "a@b.c",
                Err(RouteFault::SignInWithoutTls),
            ),
        ] {
            let route = Route {
                server: server.to_owned(),
                port,
                security,
                certificate: none(),
                user: user.to_owned(),
                from: from.to_owned(),
            };
            assert_eq!(route.check(), expected, "{route}");
        }
    }

    #[test]
    fn a_command_line_names_host_and_port() {
        for (text, server, port) in [
            ("mail.office.example:2525", "mail.office.example", 2525),
            ("mail.office.example", "mail.office.example", 25),
            ("192.0.2.1:25", "192.0.2.1", 25),
            ("[2001:db8::1]:25", "2001:db8::1", 25),
        ] {
            let route = Route::plain(text, "a@b.c".to_owned());
            assert_eq!((route.server.as_str(), route.port), (server, port));
        }
    }

    #[test]
    fn digests_are_read_as_people_copy_them() {
        let pairs = vec!["AB"; 32];
        for text in [
            pairs.join(":"),
            pairs.join(" "),
            pairs.concat().to_lowercase(),
        ] {
            assert_eq!(read_fingerprint(&text), Ok([0xab; 32]));
        }
        for text in [
            "",
            "ab",
            &"zz".repeat(32),
            &"a".repeat(63),
            &"ab".repeat(33),
        ] {
            assert_eq!(
                read_fingerprint(text),
                Err(RouteFault::Certificate),
                "{text}"
            );
        }
    }
}
