//! The names of the fields of the search language, English and German: the one table of them.
//!
//! It holds names only; what stands after the colon is read elsewhere.

use super::Field;
use crate::words::words;

/// What the name before a colon asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A text in a field.
    Text(Field),
    /// A feature, so far only `has:attachment`.
    Has,
    /// A time before the start of a date.
    Before,
    /// A time from the start of a date on.
    After,
    /// A time within a date.
    On,
    /// More bytes.
    Larger,
    /// Fewer bytes.
    Smaller,
    /// A Message-ID.
    Id,
    /// A sequence number.
    Number,
}

/// Every name, spelt as [`spelt`] does; the first of a meaning is the one that the canonical text shows.
const NAMES: [(&str, Name); 40] = [
    ("from", Name::Text(Field::From)),
    ("von", Name::Text(Field::From)),
    ("absender", Name::Text(Field::From)),
    ("to", Name::Text(Field::To)),
    ("an", Name::Text(Field::To)),
    ("empfaenger", Name::Text(Field::To)),
    ("cc", Name::Text(Field::Cc)),
    ("kopie", Name::Text(Field::Cc)),
    ("bcc", Name::Text(Field::Bcc)),
    ("blindkopie", Name::Text(Field::Bcc)),
    ("subject", Name::Text(Field::Subject)),
    ("betreff", Name::Text(Field::Subject)),
    ("body", Name::Text(Field::Body)),
    ("inhalt", Name::Text(Field::Body)),
    ("filename", Name::Text(Field::FileName)),
    ("attachment", Name::Text(Field::FileName)),
    ("datei", Name::Text(Field::FileName)),
    ("dateiname", Name::Text(Field::FileName)),
    ("anhang", Name::Text(Field::FileName)),
    ("has", Name::Has),
    ("hat", Name::Has),
    ("before", Name::Before),
    ("vor", Name::Before),
    ("after", Name::After),
    ("since", Name::After),
    ("nach", Name::After),
    ("seit", Name::After),
    ("ab", Name::After),
    ("on", Name::On),
    ("am", Name::On),
    ("larger", Name::Larger),
    ("groesser", Name::Larger),
    ("smaller", Name::Smaller),
    ("kleiner", Name::Smaller),
    ("id", Name::Id),
    ("message-id", Name::Id),
    ("msgid", Name::Id),
    ("rfc822msgid", Name::Id),
    ("number", Name::Number),
    ("nummer", Name::Number),
];

/// What may stand after `has:`, spelt as [`spelt`] does.
const ATTACHMENTS: [&str; 8] = [
    "attachment",
    "attachments",
    "anhang",
    "anhaenge",
    "anlage",
    "anlagen",
    "datei",
    "file",
];

impl Name {
    /// Finds what a name asks for; case does not matter, nor how an umlaut is written.
    pub(super) fn find(name: &str) -> Option<Self> {
        let name = spelt(name);
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, meaning)| meaning)
    }

    /// Gives the name that the canonical text shows; none for [`Field::Any`].
    pub(super) fn canonical(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(_, meaning)| *meaning == self)
            .map(|&(name, _)| name)
    }
}

/// Tells whether the value of `has:` asks for attachments.
pub(super) fn means_attachment(value: &str) -> bool {
    ATTACHMENTS.contains(&spelt(value).as_str())
}

/// Spells a name in ASCII: its folded words, umlauts as ae, oe and ue, with dashes between.
fn spelt(name: &str) -> String {
    let mut spelt = String::new();
    words(name, |word| {
        if !spelt.is_empty() {
            spelt.push('-');
        }
        spelt.push_str(word.second.unwrap_or(word.text));
    });
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice_and_each_is_found() {
        for (index, &(name, meaning)) in NAMES.iter().enumerate() {
            assert_eq!(Name::find(name), Some(meaning), "{name}");
            assert_eq!(Name::find(&name.to_uppercase()), Some(meaning), "{name}");
            assert!(
                NAMES[..index].iter().all(|(other, _)| *other != name),
                "{name}"
            );
        }
        for name in ["größer", "GRÖSSER", "Gro\u{308}ßer"] {
            assert_eq!(Name::find(name), Some(Name::Larger), "{name}");
        }
        assert!(means_attachment("Anhänge"));
        assert_eq!(Name::find("re"), None);
        assert_eq!(Name::find(""), None);
    }
}
