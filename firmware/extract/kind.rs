//! Which kind a document is: by its first bytes, then by what others call it.

use crate::Label;

/// A kind of document that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ISO 32000.
    Pdf,
    /// A package of XML: ECMA-376 (docx, xlsx, pptx) or OASIS OpenDocument (odt, ods, odp).
    Office,
    /// MS-CFB under the name of an office document: one of the first kind behind a password.
    OldOffice,
    /// Rich Text Format 1.9.
    Rtf,
    /// HTML.
    Html,
    /// Text as it is.
    Plain,
}

/// Within so many bytes the mark of a PDF begins (ISO 32000-1, implementation note 13).
const PDF_MARK_BYTES: usize = 1024;

const ZIP: &[u8] = b"PK\x03\x04";
const COMPOUND_FILE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Endings of packages; their macros and templates are packed alike.
const OFFICE: [&str; 20] = [
    "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xltx", "xltm", "pptx", "pptm", "potx", "ppsx",
    "ppsm", "odt", "ott", "ods", "ots", "odp", "otp", "odg",
];

const PLAIN: [&str; 17] = [
    "txt", "text", "csv", "tsv", "log", "md", "json", "xml", "yaml", "yml", "ini", "conf", "ics",
    "vcf", "patch", "diff", "asc",
];

/// Tells the kind from the first bytes of a document, 16 or more of them; none when it is not read.
pub fn kind(beginning: &[u8], label: &Label) -> Option<Kind> {
    let ending = ending(&label.name);
    let is_office = OFFICE.contains(&ending.as_str()) || is_office_type(&label.media_type);
    let early = &beginning[..beginning.len().min(PDF_MARK_BYTES)];
    if early.windows(5).any(|five| five == b"%PDF-") {
        return Some(Kind::Pdf);
    }
    if beginning.starts_with(ZIP) {
        return is_office.then_some(Kind::Office);
    }
    if beginning.starts_with(COMPOUND_FILE) {
        return is_office.then_some(Kind::OldOffice);
    }
    if beginning.starts_with(b"{\\rtf") {
        return Some(Kind::Rtf);
    }
    if beginning.contains(&0) && !has_utf16_mark(beginning) {
        return None;
    }
    match (label.media_type.as_str(), ending.as_str()) {
        ("text/html" | "application/xhtml+xml", _) | (_, "html" | "htm" | "xhtml") => {
            Some(Kind::Html)
        }
        (media_type, ending) if media_type.starts_with("text/") || PLAIN.contains(&ending) => {
            Some(Kind::Plain)
        }
        ("application/json" | "application/xml", _) => Some(Kind::Plain),
        _ => None,
    }
}

/// Whether a text says by its first bytes that it is UTF-16.
pub(crate) fn has_utf16_mark(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

fn ending(name: &str) -> String {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ending.trim().to_ascii_lowercase()
}

fn is_office_type(media_type: &str) -> bool {
    let begins = |with: &&str| media_type.starts_with(with);
    [
        "application/vnd.openxmlformats-officedocument.",
        "application/vnd.oasis.opendocument.",
        "application/vnd.ms-word.",
        "application/vnd.ms-excel.",
        "application/vnd.ms-powerpoint.",
    ]
    .iter()
    .any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_before_names() {
        for (beginning, media_type, name, expected) in [
            (&b"%PDF-1.7\n"[..], "", "", Some(Kind::Pdf)),
            (b"\r\n\r\n%PDF-1.3", "text/plain", "a.txt", Some(Kind::Pdf)),
            (b"PK\x03\x04\x14", "", "Angebot.DOCX", Some(Kind::Office)),
            (
                b"PK\x03\x04\x14",
                "application/vnd.oasis.opendocument.text",
                "",
                Some(Kind::Office),
            ),
            (b"PK\x03\x04\x14", "application/zip", "fotos.zip", None),
            (
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
                "",
                "a.xlsx",
                Some(Kind::OldOffice),
            ),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "", "a.doc", None),
            (b"{\\rtf1\\ansi", "application/msword", "", Some(Kind::Rtf)),
            (b"<p>a", "text/html", "", Some(Kind::Html)),
            (b"<p>a", "", "seite.htm", Some(Kind::Html)),
            (
                b"a;b",
                "application/octet-stream",
                "x.csv",
                Some(Kind::Plain),
            ),
            (b"a;b", "text/x-log", "", Some(Kind::Plain)),
            (b"a\0b", "text/plain", "", None),
            (b"\xff\xfea\0b\0", "text/plain", "", Some(Kind::Plain)),
            (b"\x89PNG", "image/png", "a.png", None),
            (b"", "", "", None),
        ] {
            let label = Label {
                media_type: media_type.to_owned(),
                name: name.to_owned(),
                charset: None,
            };
            assert_eq!(kind(beginning, &label), expected, "{media_type} {name}");
        }
    }
}
