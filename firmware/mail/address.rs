//! Addresses as they stand in address fields (RFC 5322 §3.4), read leniently.
//!
//! Keeps them as given: no check against a grammar, since RFC 6532 addresses and encapsulated X.400 ones are mail, too.

use std::collections::HashSet;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use crate::header::{Field, HeaderSection};
use crate::oddities::Oddities;

/// Most addresses read from the fields of one name; a list of that length is a mistake or an attack, and each costs
/// a place in the catalog. What is beyond is flagged and not found by its address.
pub const ADDRESSES_MAX: usize = 10_000;

/// One address of an address field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name, decoded, if there is one that is not empty.
    pub name: Option<String>,
    /// The address as given, without angle brackets; empty where a field names somebody without an address.
    pub address: String,
}

impl Address {
    /// Gives the address in the form for comparing: lower case.
    pub fn normal(&self) -> String {
        normal(&self.address)
    }
}

/// Gives an address in the form for comparing: lower case, without angle brackets and white space around it.
pub fn normal(address: &str) -> String {
    let address = address.trim();
    let inside = address
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(address);
    inside.trim().to_lowercase()
}

/// Reads the addresses of every field of that name.
pub(crate) fn read(
    header: &HeaderSection<'_>,
    name: &'static str,
    oddities: &mut Oddities,
) -> Vec<Address> {
    let mut addresses = Vec::new();
    for field in header.all(name) {
        addresses.extend(read_field(field, oddities));
        if addresses.len() > ADDRESSES_MAX {
            addresses.truncate(ADDRESSES_MAX);
            oddities.insert(Oddities::LIST_CUT);
            break;
        }
    }
    addresses
}

fn read_field(field: Field<'_>, oddities: &mut Oddities) -> Vec<Address> {
    let value = field.prepared_list();
    let HeaderValue::Address(parsed) = MessageStream::new(&value).parse_address() else {
        if !field.raw().is_empty() {
            oddities.insert(Oddities::BAD_ADDRESS);
        }
        return Vec::new();
    };
    let mut addresses: Vec<Address> = parsed.iter().map(to_address).collect();
    if addresses.iter().any(|a| !is_plausible(&a.address)) {
        oddities.insert(Oddities::BAD_ADDRESS);
        replace_implausible(&mut addresses, tokens(&value));
    }
    addresses
}

/// Puts the addresses found word by word in the place of those that cannot be one, unless there are none.
fn replace_implausible(addresses: &mut Vec<Address>, words: Vec<String>) {
    let is_known = |word: &String| {
        addresses
            .iter()
            .take(TOKENS_MAX)
            .any(|a| a.address == *word)
    };
    let missed: Vec<String> = words.into_iter().filter(|word| !is_known(word)).collect();
    if !missed.is_empty() {
        addresses.retain(|a| is_plausible(&a.address) || !a.address.contains('@'));
        addresses.extend(missed.into_iter().map(|address| Address {
            name: None,
            address,
        }));
    }
}

/// Most tokens looked up in a list that could not be read as one, since each is compared with the addresses found.
const TOKENS_MAX: usize = 1_000;

fn to_address(parsed: &mail_parser::Addr<'_>) -> Address {
    let name = parsed.name().map(str::trim).filter(|name| !name.is_empty());
    let address = parsed
        .address()
        .unwrap_or_default()
        .trim()
        .trim_matches(['<', '>']);
    match name {
        // A lone word may have been taken for a name.
        Some(name) if address.is_empty() && is_plausible(name.trim_matches(['<', '>'])) => {
            Address {
                name: None,
                address: name.trim_matches(['<', '>']).to_owned(),
            }
        }
        // A quoted local part (RFC 5322 §3.4.1) may have been taken for one, too.
        Some(name) if address.starts_with('@') => Address {
            name: None,
            address: format!("\"{name}\"{address}"),
        },
        _ => Address {
            name: name.map(str::to_owned),
            address: address.to_owned(),
        },
    }
}

/// Tells whether this looks like one address: a local part and a domain, one "@" outside quotes, no white space.
fn is_plausible(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let is_quoted = local.starts_with('"') && local.ends_with('"');
    !local.is_empty()
        && !domain.is_empty()
        && !domain.contains(char::is_whitespace)
        && (is_quoted || !local.contains(|c: char| c == '@' || c.is_whitespace()))
}

/// Gives everything in a list that could not be read as one that looks like an address.
fn tokens(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let is_end =
        |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>' | '(' | ')' | '"');
    let words = text
        .split(is_end)
        .map(|t| t.trim_matches('\''))
        .filter(|t| is_plausible(t));
    let mut tokens: Vec<String> = words.take(TOKENS_MAX).map(str::to_owned).collect();
    let mut seen = HashSet::new();
    tokens.retain(|token| seen.insert(token.clone()));
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &[(&str, &str)], expected_odd: bool) {
        let header = format!("To: {value}\r\n\r\n");
        let mut oddities = Oddities::NONE;
        let found = read(
            &HeaderSection::split(header.as_bytes()),
            "To",
            &mut oddities,
        );
        let found: Vec<_> = found
            .iter()
            .map(|a| (a.name.as_deref().unwrap_or(""), a.address.as_str()))
            .collect();
        assert_eq!(found, expected, "{value:?}");
        assert_eq!(
            oddities.contains(Oddities::BAD_ADDRESS),
            expected_odd,
            "{value:?}"
        );
    }

    #[test]
    fn address_lists() {
        check("a@b.example", &[("", "a@b.example")], false);
        check(
            "Anna <A@B.example>, bernd@b.example",
            &[("Anna", "A@B.example"), ("", "bernd@b.example")],
            false,
        );
        check(
            "\"Müller, Anna\" <a@b.example>",
            &[("Müller, Anna", "a@b.example")],
            false,
        );
        check(
            "=?utf-8?q?M=C3=BCller?= <a@b.example>",
            &[("Müller", "a@b.example")],
            false,
        );
        check("a@b.example (Anna)", &[("Anna", "a@b.example")], false);
        check(
            "team: a@b.example, c@b.example;",
            &[("", "a@b.example"), ("", "c@b.example")],
            false,
        );
        check("jörg@büro.example", &[("", "jörg@büro.example")], false);
        check(
            "IMCEAEX-_O=X_OU=Y+20Z@b.example",
            &[("", "IMCEAEX-_O=X_OU=Y+20Z@b.example")],
            false,
        );
        check(
            "\"odd local\"@b.example",
            &[("", "\"odd local\"@b.example")],
            false,
        );
        check("undisclosed-recipients:;", &[], false);
        check("", &[], false);
    }

    #[test]
    fn what_is_no_address_list() {
        check("a@b c@d", &[("", "a@b"), ("", "c@d")], true);
        check("\"a@x\", <b@y>", &[("", "a@x"), ("", "b@y")], false);
        check("a@b a@b", &[("", "a@b")], true);
        check("Anna,(<a@b>)", &[("Anna", ""), ("", "a@b")], true);
        check("Anna", &[("Anna", "")], true);
    }

    #[test]
    fn long_lists_are_kept_up_to_the_limit() {
        let list: Vec<_> = (0..ADDRESSES_MAX + 5)
            .map(|n| format!("user{n}@kanzlei.example"))
            .collect();
        let header = format!("Cc: {}\r\n\r\n", list.join(",\r\n "));
        let mut oddities = Oddities::NONE;
        let found = read(
            &HeaderSection::split(header.as_bytes()),
            "Cc",
            &mut oddities,
        );
        assert_eq!(found.len(), ADDRESSES_MAX);
        assert!(oddities.contains(Oddities::LIST_CUT));
    }

    #[test]
    fn addresses_compare_in_lower_case() {
        assert_eq!(normal(" <Jörg@BÜRO.example> "), "jörg@büro.example");
    }
}
