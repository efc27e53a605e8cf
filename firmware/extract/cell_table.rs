//! Workbooks of ECMA-376 part 1 §18: sheets in their order, a row a line, cells parted by tabs.
//!
//! Numbers are given as they are kept; that one of them is a date is told by its style only, which is not read.

use crate::NoText;
use crate::markup::{self, Step, attribute};
use crate::office::Package;
use crate::text::Lines;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// 1,000 sheets are read.
const SHEETS_MAX: usize = 1_000;

/// 1 million shared texts, as many as a sheet has rows.
const SHARED_MAX: usize = 1_000_000;

/// Reads a workbook.
pub(crate) fn read(package: &mut Package, lines: &mut Lines) -> Result<(), NoText> {
    let shared = match package.has("xl/sharedStrings.xml") {
        true => shared_texts(&package.part("xl/sharedStrings.xml")?)?,
        false => Vec::new(),
    };
    for (name, part) in sheets(package)? {
        lines.begin_line();
        lines.push(&name);
        lines.end_line();
        cells(&package.part(&part)?, &shared, lines)?;
        lines.begin_line();
        lines.end_line();
        if lines.is_full() {
            break;
        }
    }
    Ok(())
}

/// Gives the sheets in the order in which they are shown, each with its name and part.
fn sheets(package: &mut Package) -> Result<Vec<(String, String)>, NoText> {
    let relations = package
        .part("xl/_rels/workbook.xml.rels")
        .unwrap_or_default();
    let mut targets = HashMap::new();
    each_element(&relations, "Relationship", |element| {
        if let (Some(id), Some(target)) = (attribute(element, "Id"), attribute(element, "Target")) {
            let part = match target.strip_prefix('/') {
                Some(from_root) => from_root.to_owned(),
                None => format!("xl/{target}"),
            };
            targets.insert(id, part);
        }
    })?;
    let mut sheets = Vec::new();
    each_element(&package.part("xl/workbook.xml")?, "sheet", |element| {
        let part = attribute(element, "id").and_then(|id| targets.get(&id));
        if let Some(part) = part.filter(|_| sheets.len() < SHEETS_MAX) {
            sheets.push((attribute(element, "name").unwrap_or_default(), part.clone()));
        }
    })?;
    sheets.retain(|(_, part)| package.has(part));
    if sheets.is_empty() {
        let parts = package.numbered("xl/worksheets/sheet");
        sheets = parts
            .into_iter()
            .map(|part| (String::new(), part))
            .collect();
    }
    Ok(sheets)
}

fn each_element(
    xml: &[u8],
    name: &str,
    mut deed: impl FnMut(&quick_xml::events::BytesStart),
) -> Result<(), NoText> {
    markup::walk(xml, |step| {
        if let Step::Start(element) | Step::Empty(element) = &step
            && element.local_name().as_ref() == name
        {
            deed(element);
        }
        ControlFlow::Continue(())
    })
}

/// Reads the texts that cells share; how they are pronounced is left out.
fn shared_texts(xml: &[u8]) -> Result<Vec<String>, NoText> {
    let mut texts = Vec::new();
    let mut text = String::new();
    let (mut in_text, mut in_sound) = (false, false);
    markup::walk(xml, |step| {
        match step {
            Step::Start(element) => match element.local_name().as_ref() {
                "si" => text.clear(),
                "t" => in_text = true,
                "rPh" => in_sound = true,
                _ => {}
            },
            Step::Empty(element) if element.local_name().as_ref() == "si" => {
                texts.push(String::new());
            }
            Step::Empty(_) => {}
            Step::End(name) => match name.as_str() {
                "si" => texts.push(std::mem::take(&mut text)),
                "t" => in_text = false,
                "rPh" => in_sound = false,
                _ => {}
            },
            Step::Text(piece) if in_text && !in_sound => text.push_str(&piece),
            Step::Text(_) => {}
        }
        match texts.len() < SHARED_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(texts)
}

/// Reads the cells of a sheet.
fn cells(xml: &[u8], shared: &[String], lines: &mut Lines) -> Result<(), NoText> {
    let mut is_shared = false;
    let mut in_value = false;
    let mut value = String::new();
    markup::walk(xml, |step| {
        match step {
            Step::Start(element) => match element.local_name().as_ref() {
                "c" => {
                    is_shared = attribute(&element, "t").as_deref() == Some("s");
                    value.clear();
                }
                "v" | "t" => in_value = true,
                _ => {}
            },
            Step::Empty(_) => {}
            Step::End(name) => match name.as_str() {
                "v" | "t" => in_value = false,
                "c" => {
                    let index = value.trim().parse::<usize>().ok();
                    let text = match is_shared {
                        true => index.and_then(|index| shared.get(index)),
                        false => Some(&value),
                    };
                    lines.push(&text.map_or_else(String::new, |text| text.replace('\n', " ")));
                    lines.tab();
                }
                "row" => lines.end_line(),
                _ => {}
            },
            Step::Text(piece) if in_value => value.push_str(&piece),
            Step::Text(_) => {}
        }
        match lines.is_full() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })
}
