//! Command lines into commands (RFC 5321 §4.1), strict only where a mistake would change what is kept.
//!
//! Deliberately taken although the grammar forbids it, since senders do it: a blank after `FROM:`, a path without angle
//! brackets, any text as an address, unknown parameters, 8-bit addresses without SMTPUTF8. An archive that refused
//! these would lose mail. Whether a command may come now is the session's business.

use std::borrow::Cow;

use super::{Body, Recipient};

/// Is one parsed command; texts are parts of its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Ehlo(&'a str),
    Helo(&'a str),
    Mail(Mail),
    Rcpt(Recipient),
    Data,
    Bdat {
        size_bytes: u64,
        last: bool,
    },
    Rset,
    Noop,
    Help,
    Vrfy,
    Quit,
    StartTls,
    Auth {
        mechanism: &'a str,
        initial: Option<&'a str>,
    },
}

/// Is a MAIL command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) reverse_path: String,
    pub(crate) parameters: Vec<String>,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) smtputf8: bool,
    pub(crate) body: Body,
}

/// Tells why a line is no command; `reply` turns it into a code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("command not recognised")]
    Unknown,
    #[error("command not implemented")]
    NotImplemented,
    #[error("control character in the command line")]
    ControlCharacter,
    #[error("syntax: {0}")]
    Arguments(&'static str),
    #[error("bad reverse-path, syntax: MAIL FROM:<address>")]
    ReversePath,
    #[error("bad forward-path, syntax: RCPT TO:<address>")]
    ForwardPath,
    #[error("bad parameter: {0}")]
    Parameter(String),
    #[error("parameter not implemented: {0}")]
    ParameterNotImplemented(String),
    /// A web browser that was sent here to speak SMTP in the body of a request.
    #[error("this is not a web server")]
    Http,
    /// After it nobody knows where the chunk ends and the next command begins.
    #[error("syntax: BDAT size [LAST]")]
    ChunkSize,
}

/// Reads a line as text. Where it is not UTF-8 each byte counts as a character of ISO 8859-1
/// (quirk: devices that put umlauts into addresses without SMTPUTF8).
pub(crate) fn text(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(line.iter().map(|&byte| char::from(byte)).collect()),
    }
}

impl<'a> Command<'a> {
    /// Parses one line without its CRLF.
    pub(crate) fn parse(line: &'a str) -> Result<Self, CommandError> {
        if line.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err(CommandError::ControlCharacter);
        }
        let (verb, arguments) = split_word(line);
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => name(arguments, "EHLO name").map(Command::Ehlo),
            "HELO" => name(arguments, "HELO name").map(Command::Helo),
            "MAIL" => mail(arguments).map(Command::Mail),
            "RCPT" => rcpt(arguments).map(Command::Rcpt),
            "DATA" => alone(arguments, Command::Data, "DATA"),
            "BDAT" => bdat(arguments),
            "RSET" => alone(arguments, Command::Rset, "RSET"),
            "QUIT" => alone(arguments, Command::Quit, "QUIT"),
            "STARTTLS" => alone(arguments, Command::StartTls, "STARTTLS"),
            "AUTH" => auth(arguments),
            "NOOP" => Ok(Command::Noop),
            "HELP" => Ok(Command::Help),
            "VRFY" => name(arguments, "VRFY address").map(|_| Command::Vrfy),
            "EXPN" | "TURN" | "ETRN" | "SEND" | "SOML" | "SAML" => {
                Err(CommandError::NotImplemented)
            }
            "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => Err(CommandError::Http),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// Cuts at the first run of blanks.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii();
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_ascii_start()),
        None => (text, ""),
    }
}

fn name<'a>(arguments: &'a str, syntax: &'static str) -> Result<&'a str, CommandError> {
    match arguments {
        "" => Err(CommandError::Arguments(syntax)),
        name => Ok(name),
    }
}

fn alone<'a>(
    arguments: &str,
    command: Command<'a>,
    syntax: &'static str,
) -> Result<Command<'a>, CommandError> {
    match arguments {
        "" => Ok(command),
        _ => Err(CommandError::Arguments(syntax)),
    }
}

/// `mail = "MAIL FROM:" Reverse-path [SP Mail-parameters]` (RFC 5321 §4.1.1.2)
fn mail(arguments: &str) -> Result<Mail, CommandError> {
    let after = after_keyword(arguments, "FROM").ok_or(CommandError::ReversePath)?;
    let (path, rest) = path(after).ok_or(CommandError::ReversePath)?;
    let mut mail = Mail {
        reverse_path: path.to_owned(),
        parameters: parameters(rest),
        size_bytes: None,
        smtputf8: false,
        body: Body::SevenBit,
    };
    for parameter in &mail.parameters {
        let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => mail.size_bytes = Some(size(value).ok_or_else(|| bad(parameter))?),
            "SMTPUTF8" => mail.smtputf8 = true,
            "BODY" => mail.body = body(parameter, value)?,
            _ => {}
        }
    }
    Ok(mail)
}

/// `rcpt = "RCPT TO:" Forward-path [SP Rcpt-parameters]` (RFC 5321 §4.1.1.3)
fn rcpt(arguments: &str) -> Result<Recipient, CommandError> {
    let after = after_keyword(arguments, "TO").ok_or(CommandError::ForwardPath)?;
    match path(after) {
        None | Some(("", _)) => Err(CommandError::ForwardPath),
        Some((path, rest)) => Ok(Recipient {
            address: path.to_owned(),
            parameters: parameters(rest),
        }),
    }
}

/// `bdat = "BDAT" SP chunk-size [SP "LAST"]` (RFC 3030 §2)
fn bdat<'a>(arguments: &str) -> Result<Command<'a>, CommandError> {
    let (digits, rest) = split_word(arguments);
    let size_bytes = digits_only(digits)
        .and_then(|digits| digits.parse().ok())
        .ok_or(CommandError::ChunkSize)?;
    match rest {
        "" => Ok(Command::Bdat {
            size_bytes,
            last: false,
        }),
        rest if rest.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat {
            size_bytes,
            last: true,
        }),
        _ => Err(CommandError::ChunkSize),
    }
}

/// `auth = "AUTH" SP sasl-mech [SP initial-response]` (RFC 4954 §4)
fn auth(arguments: &str) -> Result<Command<'_>, CommandError> {
    let (mechanism, initial) = split_word(name(arguments, "AUTH mechanism")?);
    Ok(Command::Auth {
        mechanism,
        initial: (!initial.is_empty()).then_some(initial),
    })
}

/// Gives what follows `keyword:`, blanks around the colon allowed.
fn after_keyword<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let (word, rest) = arguments.split_once(':')?;
    word.trim_ascii()
        .eq_ignore_ascii_case(keyword)
        .then(|| rest.trim_ascii())
}

/// Gives the path without brackets and source route, and what follows it.
fn path(text: &str) -> Option<(&str, &str)> {
    let Some(inside) = text.strip_prefix('<') else {
        // Without brackets only something visible can be a path.
        return Some(split_word(text)).filter(|(path, _)| !path.is_empty());
    };
    let end = closing_bracket(inside)?;
    Some((without_route(&inside[..end]), &inside[end + 1..]))
}

/// Finds the `>` that is not part of a quoted local part; with an open quote, the first one.
fn closing_bracket(inside: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            _ => {}
        }
    }
    inside.find('>')
}

/// Drops the source route of `<@a,@b:user@c>`, as RFC 5321 §4.1.1.3 asks.
fn without_route(path: &str) -> &str {
    match path.split_once(':') {
        Some((route, mailbox)) if route.starts_with('@') => mailbox,
        _ => path,
    }
}

fn parameters(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// `size-value = 1*20DIGIT` (RFC 1870 §3); a number too large for us is larger than any limit.
fn size(value: &str) -> Option<u64> {
    digits_only(value).map(|digits| digits.parse().unwrap_or(u64::MAX))
}

fn digits_only(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// RFC 6152 §2; BINARYMIME (RFC 3030 §3) is not offered, so a sender must not use it.
fn body(parameter: &str, value: &str) -> Result<Body, CommandError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        "BINARYMIME" => Err(CommandError::ParameterNotImplemented(parameter.to_owned())),
        _ => Err(bad(parameter)),
    }
}

fn bad(parameter: &str) -> CommandError {
    CommandError::Parameter(parameter.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: Result<Command<'_>, CommandError>) {
        assert_eq!(Command::parse(line), expected, "{line}");
    }

    fn check_mail(line: &str, reverse_path: &str, parameters: &[&str]) {
        match Command::parse(line) {
            Ok(Command::Mail(mail)) => {
                assert_eq!(mail.reverse_path, reverse_path, "{line}");
                assert_eq!(mail.parameters, parameters, "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    fn check_rcpt(line: &str, address: &str, parameters: &[&str]) {
        let parameters = parameters
            .iter()
            .map(|&parameter| parameter.to_owned())
            .collect();
        check(
            line,
            Ok(Command::Rcpt(Recipient {
                address: address.to_owned(),
                parameters,
            })),
        );
    }

    #[test]
    fn verbs() {
        check("EHLO mail.example", Ok(Command::Ehlo("mail.example")));
        check("ehlo [192.0.2.1]", Ok(Command::Ehlo("[192.0.2.1]")));
        check("EHLO  two words ", Ok(Command::Ehlo("two words")));
        check("EHLO", Err(CommandError::Arguments("EHLO name")));
        check("HeLo x", Ok(Command::Helo("x")));
        check("DATA", Ok(Command::Data));
        check("data ", Ok(Command::Data));
        check("DATA now", Err(CommandError::Arguments("DATA")));
        check("RSET", Ok(Command::Rset));
        check("NOOP anything", Ok(Command::Noop));
        check("HELP MAIL", Ok(Command::Help));
        check("VRFY a", Ok(Command::Vrfy));
        check("VRFY", Err(CommandError::Arguments("VRFY address")));
        check("QUIT", Ok(Command::Quit));
        check("STARTTLS", Ok(Command::StartTls));
        check("STARTTLS x", Err(CommandError::Arguments("STARTTLS")));
        check("EXPN list", Err(CommandError::NotImplemented));
        check("LHLO x", Err(CommandError::Unknown));
        check("", Err(CommandError::Unknown));
        check("GET / HTTP/1.1", Err(CommandError::Http));
        check("NO\0OP", Err(CommandError::ControlCharacter));
        check("NOOP\rQUIT", Err(CommandError::ControlCharacter));
    }

    #[test]
    fn chunks() {
        check(
            "BDAT 0 LAST",
            Ok(Command::Bdat {
                size_bytes: 0,
                last: true,
            }),
        );
        check(
            "bdat 86 last",
            Ok(Command::Bdat {
                size_bytes: 86,
                last: true,
            }),
        );
        check(
            "BDAT 1000",
            Ok(Command::Bdat {
                size_bytes: 1000,
                last: false,
            }),
        );
        for line in [
            "BDAT",
            "BDAT LAST",
            "BDAT -1",
            "BDAT +1",
            "BDAT 5 FIRST",
            "BDAT 1 LAST x",
        ] {
            check(line, Err(CommandError::ChunkSize));
        }
        check("BDAT 99999999999999999999", Err(CommandError::ChunkSize));
    }

    #[test]
    fn sign_in() {
        check(
            "AUTH PLAIN",
            Ok(Command::Auth {
                mechanism: "PLAIN",
                initial: None,
            }),
        );
        check(
            "AUTH plain =",
            Ok(Command::Auth {
                mechanism: "plain",
                initial: Some("="),
            }),
        );
        check(
            "AUTH LOGIN Ym9i",
            Ok(Command::Auth {
                mechanism: "LOGIN",
                initial: Some("Ym9i"),
            }),
        );
        check("AUTH", Err(CommandError::Arguments("AUTH mechanism")));
    }

    #[test]
    fn reverse_paths() {
        check_mail("MAIL FROM:<a@x.example>", "a@x.example", &[]);
        check_mail("mail from:<>", "", &[]);
        check_mail("MAIL FROM: <a@x.example> ", "a@x.example", &[]);
        check_mail("MAIL FROM : <a@x.example>", "a@x.example", &[]);
        check_mail(
            "MAIL FROM:a@x.example RET=HDRS",
            "a@x.example",
            &["RET=HDRS"],
        );
        check_mail("MAIL FROM:<@r,@s:a@x.example>", "a@x.example", &[]);
        check_mail(
            "MAIL FROM:<\"a > b\"@x.example>",
            "\"a > b\"@x.example",
            &[],
        );
        check_mail(
            "MAIL FROM:<\"a\\\" >\"@x.example>",
            "\"a\\\" >\"@x.example",
            &[],
        );
        check_mail(
            "MAIL FROM:<\"open@x.example> SIZE=1",
            "\"open@x.example",
            &["SIZE=1"],
        );
        check_mail(
            "MAIL FROM:<müller@köln.example> SMTPUTF8",
            "müller@köln.example",
            &["SMTPUTF8"],
        );
        check_mail("MAIL FROM:<a@x.example>SIZE=1", "a@x.example", &["SIZE=1"]);
        for line in [
            "MAIL",
            "MAIL FROM",
            "MAIL FROM:",
            "MAIL <a@x>",
            "MAIL TO:<a@x>",
            "MAIL FROM:<a",
        ] {
            check(line, Err(CommandError::ReversePath));
        }
    }

    #[test]
    fn forward_paths() {
        check_rcpt("RCPT TO:<b@x.example>", "b@x.example", &[]);
        check_rcpt("RCPT TO:<Postmaster>", "Postmaster", &[]);
        check_rcpt("rcpt to: b@x.example", "b@x.example", &[]);
        check_rcpt("RCPT TO:<B.C@X.Example>", "B.C@X.Example", &[]);
        check_rcpt("RCPT TO:<no address at all>", "no address at all", &[]);
        check_rcpt(
            "RCPT TO:<b@[IPv6:2001:db8::1]>",
            "b@[IPv6:2001:db8::1]",
            &[],
        );
        check_rcpt(
            "RCPT TO:<b@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@x.example XOTHER",
            "b@x.example",
            &[
                "NOTIFY=SUCCESS,DELAY",
                "ORCPT=rfc822;b+2Bc@x.example",
                "XOTHER",
            ],
        );
        for line in [
            "RCPT",
            "RCPT TO:",
            "RCPT TO:<>",
            "RCPT FROM:<b@x>",
            "RCPT TO:<b@x",
        ] {
            check(line, Err(CommandError::ForwardPath));
        }
    }

    #[test]
    fn parameters_that_mean_something() {
        let line =
            "MAIL FROM:<a@x.example> size=500000 BODY=8bitmime SMTPUTF8 ENVID=QQ314159 RET=FULL";
        let Ok(Command::Mail(mail)) = Command::parse(line) else {
            panic!("no MAIL")
        };
        assert_eq!(mail.size_bytes, Some(500_000));
        assert_eq!(mail.body, Body::EightBitMime);
        assert!(mail.smtputf8);
        assert_eq!(mail.parameters.len(), 5);

        let Ok(Command::Mail(mail)) = Command::parse("MAIL FROM:<> SIZE=99999999999999999999999")
        else {
            panic!("no MAIL")
        };
        assert_eq!(mail.size_bytes, Some(u64::MAX));
        check(
            "MAIL FROM:<> SIZE=",
            Err(CommandError::Parameter("SIZE=".into())),
        );
        check(
            "MAIL FROM:<> SIZE=1k",
            Err(CommandError::Parameter("SIZE=1k".into())),
        );
        check(
            "MAIL FROM:<> BODY=9BIT",
            Err(CommandError::Parameter("BODY=9BIT".into())),
        );
        check(
            "MAIL FROM:<> BODY=BINARYMIME",
            Err(CommandError::ParameterNotImplemented(
                "BODY=BINARYMIME".into(),
            )),
        );
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_latin_1() {
        assert_eq!(text("müller".as_bytes()), "müller");
        assert_eq!(text(b"m\xfcller"), "müller");
    }

    proptest! {
        #[test]
        fn never_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Command::parse(&text(&line));
        }

        #[test]
        fn a_quoted_address_is_kept_as_given(local in "[a-z <>@:;,.]{1,20}", parameter in "[A-Z]{1,9}=[a-z]{1,9}") {
            let address = format!("\"{local}\"@x.example");
            let line = format!("RCPT TO:<{address}> {parameter}");
            prop_assert_eq!(
                Command::parse(&line),
                Ok(Command::Rcpt(Recipient { address, parameters: vec![parameter] }))
            );
        }
    }
}
