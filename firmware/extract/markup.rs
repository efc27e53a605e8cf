//! XML as office documents are made of: a walk over its events that knows by a table which elements hold text and which end lines.
//!
//! Entities of its own are never unfolded, and no tree is made: depth and repetition cost nothing.

use crate::NoText;
use crate::text::Lines;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// What the elements of a format mean, by their names without prefix.
pub(crate) struct Elements {
    /// Text stands within these alone; everywhere where there are none.
    pub(crate) texts: &'static [&'static str],
    /// They end a line.
    pub(crate) lines: &'static [&'static str],
    /// They are a line end themselves.
    pub(crate) breaks: &'static [&'static str],
    /// They are a tab themselves.
    pub(crate) tabs: &'static [&'static str],
    /// They are a blank themselves.
    pub(crate) blanks: &'static [&'static str],
    /// They end a cell.
    pub(crate) cells: &'static [&'static str],
    /// What is in them is not shown.
    pub(crate) unseen: &'static [&'static str],
}

/// What a walk comes by.
pub(crate) enum Step<'x> {
    /// An element begins.
    Start(BytesStart<'x>),
    /// An element is there that holds nothing.
    Empty(BytesStart<'x>),
    /// An element of this name ends.
    End(String),
    /// Text.
    Text(String),
}

/// Walks over XML until it ends, or `step` says so.
///
/// # Errors
/// `Damaged` when it does not hold, after all before was told.
pub(crate) fn walk(
    xml: &[u8],
    mut step: impl FnMut(Step) -> std::ops::ControlFlow<()>,
) -> Result<(), NoText> {
    let xml = String::from_utf8_lossy(xml);
    let mut reader = Reader::from_str(&xml);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    loop {
        let told = match reader.read_event().map_err(|_| NoText::Damaged)? {
            Event::Start(element) => Step::Start(element),
            Event::Empty(element) => Step::Empty(element),
            Event::End(element) => Step::End(element.local_name().as_ref().to_owned()),
            Event::Text(text) => Step::Text(text.xml_content(XmlVersion::Implicit1_0).into()),
            Event::CData(text) => Step::Text(text.xml_content(XmlVersion::Implicit1_0).into()),
            Event::GeneralRef(reference) => Step::Text(resolved(&reference)),
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => continue,
        };
        if step(told).is_break() {
            return Ok(());
        }
    }
}

/// What a reference stands for: a character, or one of XML's five entities; nothing for others.
fn resolved(reference: &BytesRef) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    match reference.xml_content(XmlVersion::Implicit1_0).as_ref() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
    .to_owned()
}

/// Gives an attribute by its name without prefix.
pub(crate) fn attribute(element: &BytesStart, name: &str) -> Option<String> {
    let mut attributes = element.attributes();
    let mut attributes = attributes.with_checks(false).flatten();
    let found = attributes.find(|one| one.key.local_name().as_ref() == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

/// Reads the text of XML.
///
/// # Errors
/// `Damaged` when it does not hold; what stands before is in `lines`.
pub(crate) fn read(xml: &[u8], elements: &Elements, lines: &mut Lines) -> Result<(), NoText> {
    let mut texts = 0_usize;
    let mut unseen = 0_usize;
    let mut cells = 0_usize;
    walk(xml, |step| {
        match step {
            Step::Start(element) => {
                let name = element.local_name();
                let is_any = |names: &[&str]| names.contains(&name.as_ref());
                texts += usize::from(is_any(elements.texts));
                unseen += usize::from(is_any(elements.unseen));
                cells += usize::from(is_any(elements.cells));
                if unseen == 0 {
                    sign(name.as_ref(), elements, lines);
                }
            }
            Step::Empty(element) if unseen == 0 => {
                let name = element.local_name();
                sign(name.as_ref(), elements, lines);
                ended(name.as_ref(), cells, elements, lines);
            }
            Step::Empty(_) => {}
            Step::End(name) => {
                let is_any = |names: &[&str]| names.contains(&name.as_str());
                texts = texts.saturating_sub(usize::from(is_any(elements.texts)));
                unseen = unseen.saturating_sub(usize::from(is_any(elements.unseen)));
                cells = cells.saturating_sub(usize::from(is_any(elements.cells)));
                if unseen == 0 {
                    ended(&name, cells, elements, lines);
                }
            }
            Step::Text(text) if unseen == 0 && (texts > 0 || elements.texts.is_empty()) => {
                lines.push(&text.replace(['\n', '\t'], " "));
            }
            Step::Text(_) => {}
        }
        match lines.is_full() {
            true => std::ops::ControlFlow::Break(()),
            false => std::ops::ControlFlow::Continue(()),
        }
    })
}

/// An element that is a sign itself.
fn sign(name: &str, elements: &Elements, lines: &mut Lines) {
    if elements.breaks.contains(&name) {
        lines.end_line();
    } else if elements.tabs.contains(&name) {
        lines.tab();
    } else if elements.blanks.contains(&name) {
        lines.space();
    }
}

/// An element that ends: within so many cells, which are a line however much is in them.
fn ended(name: &str, cells: usize, elements: &Elements, lines: &mut Lines) {
    let is_cell = elements.cells.contains(&name);
    match (is_cell || elements.lines.contains(&name), cells) {
        (true, 0) if is_cell => lines.tab(),
        (true, 0) => lines.end_line(),
        (true, _) => lines.space(),
        (false, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELEMENTS: Elements = Elements {
        texts: &["t"],
        lines: &["p", "row"],
        breaks: &["br"],
        tabs: &["tab"],
        blanks: &["s"],
        cells: &["cell"],
        unseen: &["gone"],
    };

    #[track_caller]
    fn check(xml: &str, expected: &str) {
        let mut lines = Lines::default();
        let _ = read(xml.as_bytes(), &ELEMENTS, &mut lines);
        let text = lines.finish().map(|text| text.text);
        assert_eq!(text.unwrap_or_default(), expected, "{xml}");
    }

    #[test]
    fn elements_mean_what_the_table_says() {
        check(
            "<w:p><w:t>a &amp; b</w:t><x>no</x></w:p><p><t>c</t></p>",
            "a & b\nc",
        );
        check(
            "<p><t>a</t><br/><t>b</t><tab/><t>c<s/>d</t></p>",
            "a\nb\tc d",
        );
        check(
            "<row><cell><p><t>a</t></p></cell><cell><p><t>b</t></p></cell></row><p><t>c</t></p>",
            "a\tb\nc",
        );
        check("<t>a<gone><t>b</t></gone>c</t>", "ac");
        check("<t>&#xfc;&#228;<![CDATA[<ß>]]></t>", "üä<ß>");
        check("<t>before</t><t a=\"", "before");
    }

    #[test]
    fn entities_are_not_unfolded() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxx\"><!ENTITY y \"&x;&x;&x;\">]><t>a&y;b</t>";
        check(bomb, "ab");
    }
}
