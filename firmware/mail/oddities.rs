//! What was odd about a mail: a set of flags, kept beside the mail and shown to whoever reads it.
//!
//! A flag never changes what is stored; it only says that something was not as the standards have it.
//! The bit numbers are written to disk: a bit is never given another meaning, and a new flag takes the next free bit.

/// A set of flags, each naming one thing that was odd about a mail.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Oddities(u32);

/// Every flag with its name, in the order of the bit numbers.
const NAMES: [(Oddities, &str); 21] = [
    (Oddities::BARE_CR, "bare-cr"),
    (Oddities::BARE_LF, "bare-lf"),
    (Oddities::NUL, "nul"),
    (Oddities::EIGHT_BIT_HEADER, "eight-bit-header"),
    (Oddities::OVERLONG_LINE, "overlong-line"),
    (Oddities::NO_HEADER, "no-header"),
    (Oddities::UNCLOSED_MULTIPART, "unclosed-multipart"),
    (Oddities::DEEP_NESTING, "deep-nesting"),
    (Oddities::BAD_DATE, "bad-date"),
    (Oddities::NO_DATE, "no-date"),
    (Oddities::NO_MESSAGE_ID, "no-message-id"),
    (Oddities::BAD_CHARSET, "bad-charset"),
    (Oddities::UNREADABLE, "unreadable"),
    (Oddities::BODY_CUT, "body-cut"),
    (Oddities::JOURNAL_UNTRUSTED, "journal-untrusted"),
    (Oddities::JOURNAL_TRUNCATED, "journal-truncated"),
    (Oddities::JOURNAL_UNPARSED, "journal-unparsed"),
    (Oddities::JOURNAL_LEGACY, "journal-legacy"),
    (Oddities::BAD_ADDRESS, "bad-address"),
    (Oddities::MBOX_ODD, "mbox-odd"),
    (Oddities::LIST_CUT, "list-cut"),
];

impl Oddities {
    /// Nothing was odd.
    pub const NONE: Self = Self(0);
    /// A carriage return stands without a line feed (RFC 5322 §2.3 forbids it).
    pub const BARE_CR: Self = Self(1 << 0);
    /// A line feed stands without a carriage return in a mail whose other lines end in both (RFC 5322 §2.3).
    pub const BARE_LF: Self = Self(1 << 1);
    /// The mail holds a NUL octet (RFC 5322 §4 allows it no longer).
    pub const NUL: Self = Self(1 << 2);
    /// A header holds octets above 127 (RFC 5322 §2.2; lawful only under RFC 6532).
    pub const EIGHT_BIT_HEADER: Self = Self(1 << 3);
    /// A line is longer than 998 octets (RFC 5322 §2.1.1).
    pub const OVERLONG_LINE: Self = Self(1 << 4);
    /// The mail begins without a single header field.
    pub const NO_HEADER: Self = Self(1 << 5);
    /// A multipart lacks its closing delimiter (RFC 2046 §5.1.1).
    pub const UNCLOSED_MULTIPART: Self = Self(1 << 6);
    /// Parts are nested deeper than they are followed.
    pub const DEEP_NESTING: Self = Self(1 << 7);
    /// The Date field cannot be read as a date.
    pub const BAD_DATE: Self = Self(1 << 8);
    /// The Date field is missing (RFC 5322 §3.6 demands it).
    pub const NO_DATE: Self = Self(1 << 9);
    /// The Message-ID field is missing or empty.
    pub const NO_MESSAGE_ID: Self = Self(1 << 10);
    /// A text names no known character set, or is not written in the one it names.
    pub const BAD_CHARSET: Self = Self(1 << 11);
    /// The mail cannot be read as one; its printable words stand for its body.
    pub const UNREADABLE: Self = Self(1 << 12);
    /// The body is longer than is read; its end is not in the index.
    pub const BODY_CUT: Self = Self(1 << 13);
    /// The mail claims to be a journal report, but comes from a source that is not trusted for them.
    pub const JOURNAL_UNTRUSTED: Self = Self(1 << 14);
    /// The original inside a journal report breaks off before its closing delimiter.
    pub const JOURNAL_TRUNCATED: Self = Self(1 << 15);
    /// The envelope part of a journal report gives no recipient, or neither sender nor message id.
    pub const JOURNAL_UNPARSED: Self = Self(1 << 16);
    /// The journal report has the form of Exchange 2003.
    pub const JOURNAL_LEGACY: Self = Self(1 << 17);
    /// An address field holds something that is not an address.
    pub const BAD_ADDRESS: Self = Self(1 << 18);
    /// The mail came from an mbox file that breaks the rules of its format.
    pub const MBOX_ODD: Self = Self(1 << 19);
    /// A list (addresses, attachments, references) is longer than is read.
    pub const LIST_CUT: Self = Self(1 << 20);

    /// Makes the set with the given bits, as they were stored; unknown bits are kept.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Gives the bits for storing.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Tells whether nothing was odd.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Tells whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets every flag of `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Gives both sets together.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Lists the names of the flags that are set, in the order of the bit numbers.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| *name)
    }
}

impl std::fmt::Debug for Oddities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_numbers_are_consecutive_and_named_once() {
        for (number, (flag, _)) in NAMES.iter().enumerate() {
            assert_eq!(flag.bits(), 1 << number);
        }
        let all = Oddities::from_bits((1 << NAMES.len()) - 1);
        let names: std::collections::BTreeSet<_> = all.names().collect();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn flags_add_up() {
        let mut set = Oddities::NONE;
        assert!(set.is_empty());
        set.insert(Oddities::NUL);
        set.insert(Oddities::BAD_DATE);
        assert!(set.contains(Oddities::NUL) && !set.contains(Oddities::BARE_CR));
        assert_eq!(set, Oddities::NUL.union(Oddities::BAD_DATE));
        assert_eq!(format!("{set:?}"), r#"{"nul", "bad-date"}"#);
    }
}
