//! One message: what it says, made safe to show; its attachments; its source; and the proof that it is unchanged.
//!
//! Whoever may not see it gets the same answer as for a message that does not exist. Nothing of it is sent before the log has the view.

use super::super::mail_html::{self, Safe};
use super::super::response::{Content, FILE_POLICY};
use super::super::site::LARGE_PATIENCE;
use super::super::{Response, visit::Visit};
use super::layout::{Width, encoded};
use crate::keeper::messages::{DocumentText, Entry};
use crate::keeper::{Failure, document_file};
use crate::people::{Acting, Purpose};
use archive::Digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use extract::{Label, NoText};
use mail::{MessagePart, Standing};
use maud::{Markup, html};
use std::collections::HashMap;
use store::Body;

/// 64 MiB of a message are read into memory to show it; larger ones are handed out whole.
const SHOWN_BYTES_MAX: u64 = 64 << 20;

/// 8 MiB: messages above share few places, so that memory is bounded.
const SMALL_BYTES_MAX: u64 = 8 << 20;

/// 64 KiB of a message's source are shown on its page; all of it is handed out.
const SOURCE_BYTES_MAX: usize = 64 << 10;

/// 8 MiB of pictures are shown within a text; others stay among the attachments.
const PICTURES_BYTES_MAX: u64 = 8 << 20;

/// 8 MiB of a picture are shown among the attachments; larger ones are downloaded.
const PREVIEW_BYTES_MAX: u64 = 8 << 20;

/// 12 pictures are shown on a page: each opens the message anew.
const PREVIEWS_MAX: usize = 12;

/// A message that the person may see, and whose view is in the log.
struct Opened {
    number: u64,
    entry: Entry,
    bytes: Vec<u8>,
}

/// Shows the message as its sender meant it, as far as that is safe.
pub(in super::super) fn show(visit: &Visit, number: &str) -> Response {
    with_message(visit, number, Purpose::Show, |opened| {
        let parts = mail::parts(&opened.bytes);
        let html_part = parts.iter().position(|part| is_own(part, "text/html"));
        let view = visit.request.query_value("view");
        if view == Some("print") {
            return printed(visit, opened, &parts);
        }
        let wants_text = view == Some("text");
        let safe = html_part.map(|index| mail_html::safe(&parts[index].text(), HashMap::new()));
        let (content, tab) = match (html_part, &safe) {
            (Some(index), Some(safe)) if !wants_text => (frame(visit, opened, safe, index), "html"),
            _ => (text(&opened.bytes), "text"),
        };
        let content = html! {
            (head(visit, opened))
            (tabs(visit, opened, tab, html_part.is_some()))
            (content)
            (files(visit, opened, &parts))
        };
        message_page(visit, opened, content)
    })
}

/// Shows header and source.
pub(in super::super) fn source(visit: &Visit, number: &str) -> Response {
    with_message(visit, number, Purpose::Show, |opened| {
        let words = visit.words;
        let shown = &opened.bytes[..opened.bytes.len().min(SOURCE_BYTES_MAX)];
        let has_html = mail::parts(&opened.bytes)
            .iter()
            .any(|part| is_own(part, "text/html"));
        let content = html! {
            (head(visit, opened))
            (tabs(visit, opened, "source", has_html))
            pre { (String::from_utf8_lossy(shown)) }
            @if shown.len() < opened.bytes.len() { p.quiet { (words.text("source-cut")) } }
        };
        message_page(visit, opened, content)
    })
}

/// Gives the HTML of a message for the frame that it is shown in.
pub(in super::super) fn html_part(visit: &Visit, number: &str, index: &str) -> Response {
    with_part(visit, number, index, Purpose::Show, |parts, part| {
        let safe =
            is_own(part, "text/html").then(|| mail_html::safe(&part.text(), pictures(parts)))?;
        let page = Response::page(200, safe.html);
        let page = page.with("Content-Security-Policy", mail_html::POLICY);
        Some(page.with("X-Frame-Options", "SAMEORIGIN"))
    })
}

/// Gives a picture that is shown in place.
pub(in super::super) fn picture(visit: &Visit, number: &str, index: &str) -> Response {
    with_part(visit, number, index, Purpose::Show, |_, part| {
        let media_type = picture_type(part)?;
        let picture = Response::new(200, media_type, part.bytes());
        Some(picture.with("Content-Security-Policy", FILE_POLICY))
    })
}

/// Hands an attachment out.
pub(in super::super) fn attachment(visit: &Visit, number: &str, index: &str) -> Response {
    with_part(visit, number, index, Purpose::Download, |_, part| {
        // No type of the sender's: the browser is to keep it, not to open it.
        let file = Response::new(200, "application/octet-stream", part.bytes());
        let name = disposition(&file_name(visit, part));
        let file = file.with("Content-Disposition", name);
        Some(file.with("Content-Security-Policy", FILE_POLICY))
    })
}

/// An attachment of which the text is to be shown.
struct Document {
    name: String,
    label: Label,
    file: Result<Body, NoText>,
}

/// Shows the text of an attachment: as plain text, for it was read out of whatever somebody sent.
pub(in super::super) fn attachment_text(visit: &Visit, number: &str, index: &str) -> Response {
    let document = opened(visit, number, Purpose::Show, |opened| {
        let parts = mail::parts(&opened.bytes);
        let part = index.parse().ok().and_then(|index: usize| parts.get(index));
        let part = part.filter(|part| is_read(part)).ok_or_else(unknown)?;
        let file = match part.size_bytes() > extract::DOCUMENT_BYTES_MAX {
            true => Err(NoText::TooLarge),
            false => Ok(document_file(&part.bytes())?),
        };
        let (name, label) = (file_name(visit, part), label(part));
        Ok::<_, Failure>(Document { name, label, file })
    });
    // The message is closed by now: it takes no place while its attachment is read.
    let shown = document.and_then(|document| {
        let document = document?;
        let text = match document.file {
            Ok(file) => read_document(visit, file, document.label)?,
            Err(why) => DocumentText::None(why),
        };
        Ok(document_page(visit, number, index, &document.name, &text))
    });
    answered(visit, number, shown)
}

/// Has a document read, when there is time for it.
fn read_document(visit: &Visit, file: Body, label: Label) -> Result<DocumentText, Failure> {
    let places = visit.site.documents();
    let busy = || Failure::Later("too many documents are to be read at once".to_owned());
    let _place = places.take(LARGE_PATIENCE).ok_or_else(busy)?;
    visit.site.keeper.read_document(file, label)
}

fn document_page(
    visit: &Visit,
    number: &str,
    index: &str,
    name: &str,
    text: &DocumentText,
) -> Response {
    let words = visit.words;
    let back = match visit.request.query_value("q") {
        Some(query) => format!("/message/{number}?q={}", encoded(query)),
        None => format!("/message/{number}"),
    };
    let content = html! {
        p.deeds {
            a href=(back) { (words.text("back-to-message")) }
            a href={ "/message/" (number) "/file/" (index) } { (words.text("download-attachment")) }
        }
        @match text {
            DocumentText::Text(text) => {
                p.quiet { (words.text("attachment-text-means")) }
                pre.document { (text.text) }
                @if text.is_cut { p.quiet { (words.text("attachment-text-cut")) } }
            }
            DocumentText::None(why) => p { (words.text(no_text(*why))) }
            DocumentText::Lost => p { (words.text("no-text-lost")) }
        }
    };
    visit.page(200, name, Width::Narrow, content)
}

/// Why there is no text, as people are told.
fn no_text(why: NoText) -> &'static str {
    match why {
        NoText::UnknownKind => "no-text-unknown-kind",
        NoText::Encrypted => "no-text-encrypted",
        NoText::Damaged => "no-text-damaged",
        NoText::TooLarge => "no-text-too-large",
        NoText::NoWords => "no-text-no-words",
    }
}

/// Whether an attachment is of a kind whose text can be shown.
fn is_read(part: &MessagePart) -> bool {
    extract::kind(&part.beginning(), &label(part)).is_some()
}

fn label(part: &MessagePart) -> Label {
    Label {
        media_type: part.media_type.clone(),
        name: part.name.clone(),
        charset: part.charset().map(str::to_owned),
    }
}

/// Hands the message out, exactly as it came in but for fields that name hidden recipients who are not shown to the person.
pub(in super::super) fn download(visit: &Visit, number: &str) -> Response {
    let opened = seen(visit, number)
        .and_then(|(number, _)| Ok((number, body(visit, number, Purpose::Download)?)));
    match opened {
        Ok((number, body)) => {
            let mut response = Response::new(200, "message/rfc822", &b""[..]).with(
                "Content-Disposition",
                format!("attachment; filename=\"{number}.eml\""),
            );
            response.content = Content::Body(body);
            response.with("Content-Security-Policy", FILE_POLICY)
        }
        Err(Failure::NotFound(_)) => visit.not_found(),
        Err(failure) => visit.failed(&failure),
    }
}

/// Hands out what proves that the message is in the archive unchanged.
pub(in super::super) fn proof(visit: &Visit, number: &str) -> Response {
    let proof = number_of(number).and_then(|number| {
        let proofs = acting(visit)?.prove(vec![number], None)?;
        proofs.into_iter().next().ok_or_else(unknown)
    });
    match proof {
        Ok(proof) => Response::text(200, proof.proof).with(
            "Content-Disposition",
            format!("attachment; filename=\"{}.tlog-proof\"", proof.number),
        ),
        Err(Failure::NotFound(_)) => visit.not_found(),
        Err(failure) => visit.failed(&failure),
    }
}

/// Finds a message that the person may see; nothing of it is shown before [`body`] has logged it.
fn seen(visit: &Visit, number: &str) -> Result<(u64, Entry), Failure> {
    let number = number_of(number)?;
    let entry = acting(visit)?.entries(vec![number])?.pop();
    Ok((number, entry.ok_or_else(unknown)?))
}

fn number_of(number: &str) -> Result<u64, Failure> {
    number.parse().map_err(|_| unknown())
}

fn acting<'v>(visit: &'v Visit) -> Result<Acting<'v>, Failure> {
    visit.acting().ok_or_else(unknown)
}

/// The same for what is not there and what the person may not see.
fn unknown() -> Failure {
    Failure::NotFound("no such message".to_owned())
}

/// Opens a message, which the log has then, and makes the answer.
fn with_message(
    visit: &Visit,
    number: &str,
    purpose: Purpose,
    answer: impl FnOnce(&Opened) -> Response,
) -> Response {
    answered(visit, number, opened(visit, number, purpose, answer))
}

/// Opens a message, which the log has then, and makes something of it.
fn opened<T>(
    visit: &Visit,
    number: &str,
    purpose: Purpose,
    make: impl FnOnce(&Opened) -> T,
) -> Result<T, Failure> {
    seen(visit, number).and_then(|(number, entry)| {
        let large = visit.site.large_messages();
        if entry.size_bytes > SHOWN_BYTES_MAX {
            return Err(Failure::Full("the message is too large to show".to_owned()));
        }
        let is_small = entry.size_bytes <= SMALL_BYTES_MAX;
        let place = || large.take(LARGE_PATIENCE).ok_or_else(busy);
        let _place = (!is_small).then(place).transpose()?;
        let bytes = bytes(body(visit, number, purpose)?)?;
        Ok(make(&Opened {
            number,
            entry,
            bytes,
        }))
    })
}

fn answered(visit: &Visit, number: &str, response: Result<Response, Failure>) -> Response {
    match response {
        Ok(response) => response,
        Err(Failure::NotFound(_)) => visit.not_found(),
        Err(Failure::Full(_)) => too_large(visit, number),
        Err(failure) => visit.failed(&failure),
    }
}

/// Answers with one part of a message; parts are counted in their order, from 0.
fn with_part(
    visit: &Visit,
    number: &str,
    index: &str,
    purpose: Purpose,
    answer: impl FnOnce(&[MessagePart], &MessagePart) -> Option<Response>,
) -> Response {
    with_message(visit, number, purpose, |opened| {
        let parts = mail::parts(&opened.bytes);
        let index = index.parse::<usize>().ok();
        let part = index.and_then(|index| parts.get(index));
        let answer = part.and_then(|part| answer(&parts, part));
        answer.unwrap_or_else(|| visit.not_found())
    })
}

/// Gives the bytes of a message as the person may see them; that he did is in the log then.
fn body(visit: &Visit, number: u64, purpose: Purpose) -> Result<Body, Failure> {
    acting(visit)?.body(number, purpose)
}

fn busy() -> Failure {
    Failure::Later("too many large messages are open at once".to_owned())
}

fn bytes(body: Body) -> Result<Vec<u8>, Failure> {
    if let Body::Memory(bytes) = body {
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    body.write_to(&mut bytes)
        .map_err(|error| Failure::Later(format!("the message cannot be read: {error}")))?;
    Ok(bytes)
}

fn too_large(visit: &Visit, number: &str) -> Response {
    let words = visit.words;
    let content = html! {
        p { (words.text("message-too-large")) }
        p { a.button href={ "/message/" (number) ".eml" } { (words.text("download-eml")) } }
    };
    visit.page(200, &words.text("message"), Width::Narrow, content)
}

fn is_own(part: &MessagePart, media_type: &str) -> bool {
    part.is_text() && part.media_type == media_type
}

/// The pictures that the HTML names by their Content-ID, written into it: a frame without an origin is given nothing by its own server.
fn pictures(parts: &[MessagePart]) -> HashMap<String, String> {
    let picture = |(index, media_type): (usize, &'static str)| {
        let part = &parts[index];
        let base64 = BASE64_STANDARD.encode(part.bytes());
        let address = format!("data:{media_type};base64,{base64}");
        (part.content_id.clone(), address)
    };
    shown_in_text(parts).into_iter().map(picture).collect()
}

/// Which parts can be shown where HTML names them: pictures that are safe and not too large, each with its type.
fn shown_in_text(parts: &[MessagePart]) -> Vec<(usize, &'static str)> {
    let mut left = PICTURES_BYTES_MAX;
    let mut shown = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let picture_type = picture_type(part).filter(|_| !part.content_id.is_empty());
        let rest = left.checked_sub(part.size_bytes());
        if let (Some(media_type), Some(rest)) = (picture_type, rest) {
            left = rest;
            shown.push((index, media_type));
        }
    }
    shown
}

/// Tells pictures that browsers show and that hold no script by their first bytes: what the sender calls them does not count.
fn picture_type(part: &MessagePart) -> Option<&'static str> {
    match part.beginning().as_slice() {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

fn message_page(visit: &Visit, opened: &Opened, content: Markup) -> Response {
    let subject = visit.subject(&opened.entry.subject);
    visit.page(200, &subject, Width::Wide, content)
}

fn head(visit: &Visit, opened: &Opened) -> Markup {
    let words = visit.words;
    let back = visit.request.query_value("q");
    html! {
        @if let Some(query) = back { p { a data-key="back" href={ "/search?q=" (encoded(query)) } { (words.text("back-to-results")) } } }
        (people_and_date(visit, opened))
        (unchanged(visit, opened))
    }
}

fn people_and_date(visit: &Visit, opened: &Opened) -> Markup {
    let words = visit.words;
    let reading = mail::read(&opened.bytes[..opened.bytes.len().min(SOURCE_BYTES_MAX)]);
    let people = |addresses: &[mail::Address]| {
        let names = addresses.iter().map(address_text);
        names.collect::<Vec<_>>().join(", ")
    };
    let rows = [
        ("from", people(&reading.from)),
        ("to", people(&reading.to)),
        ("cc", people(&reading.cc)),
    ];
    html! {
        dl.facts {
            @for (name, value) in rows {
                @if !value.is_empty() { dt { (words.text(name)) } dd { (value) } }
            }
            dt { (words.text("date")) } dd { (words.moment(visit.local_s(opened.entry.date))) }
        }
    }
}

/// The message to be printed: its text and what it carries, without anything around it.
fn printed(visit: &Visit, opened: &Opened, parts: &[MessagePart]) -> Response {
    let words = visit.words;
    let files = standing(parts, Standing::Apart);
    let content = html! {
        p.deeds {
            button data-print hidden { (words.text("print")) }
            a href=(address(visit, opened, "")) { (words.text("back-to-message")) }
        }
        (people_and_date(visit, opened))
        (text(&opened.bytes))
        @if !files.is_empty() {
            h2 { (words.filled("attachments", &[("count", files.len().into())])) }
            ul { @for (_, part) in files { li { (file_name(visit, part)) " (" (words.size(part.size_bytes())) ")" } } }
        }
        p.quiet { (proof_text(visit, opened)) }
        p.quiet.mono { "SHA-256 " (Digest(opened.entry.digest)) }
    };
    visit.bare_page(&visit.subject(&opened.entry.subject), content)
}

fn address_text(address: &mail::Address) -> String {
    match &address.name {
        Some(name) => format!("{name} <{}>", address.address),
        None => address.address.clone(),
    }
}

/// The proof in plain words.
fn unchanged(visit: &Visit, opened: &Opened) -> Markup {
    let words = visit.words;
    html! {
        details.quiet {
            summary { (proof_text(visit, opened)) }
            p { (words.text("unchanged-means")) }
            dl.facts { dt { "SHA-256" } dd.mono { (Digest(opened.entry.digest)) } }
            p { a href={ "/message/" (opened.number) "/proof" } { (words.text("download-proof")) } }
        }
    }
}

/// Since when the archive has it, under which number, and in which signed tree.
fn proof_text(visit: &Visit, opened: &Opened) -> String {
    let words = visit.words;
    let entry = &opened.entry;
    let since = words.day(visit.local_s(entry.received_at_us.div_euclid(1_000_000)));
    let signed = visit.site.keeper.signed_entries().unwrap_or(0);
    let key = match signed >= entry.number {
        true => "unchanged-signed",
        false => "unchanged-since",
    };
    let values = [
        ("since", since.into()),
        ("number", words.number(entry.number).into()),
        ("checkpoint", words.number(signed).into()),
    ];
    words.filled(key, &values)
}

fn tabs(visit: &Visit, opened: &Opened, here: &str, has_html: bool) -> Markup {
    let words = visit.words;
    let mut tabs = Vec::new();
    if has_html {
        tabs.push(("html", address(visit, opened, ""), "view-html"));
    }
    tabs.push(("text", address(visit, opened, "?view=text"), "view-text"));
    tabs.push(("source", address(visit, opened, "/source"), "view-source"));
    tabs.push(("print", address(visit, opened, "?view=print"), "view-print"));
    html! {
        nav.tabs aria-label=(words.text("views")) {
            @for (name, path, text) in tabs { a href=(path) aria-current=[(name == here).then_some("page")] { (words.text(text)) } }
            a href={ "/message/" (opened.number) ".eml" } { (words.text("download-eml")) }
        }
    }
}

/// The address of a view, which goes on knowing what was searched for.
fn address(visit: &Visit, opened: &Opened, view: &str) -> String {
    let path = format!("/message/{}{view}", opened.number);
    match visit.request.query_value("q") {
        Some(query) => {
            let separator = if view.contains('?') { '&' } else { '?' };
            format!("{path}{separator}q={}", encoded(query))
        }
        None => path,
    }
}

fn frame(visit: &Visit, opened: &Opened, safe: &Safe, index: usize) -> Markup {
    let words = visit.words;
    html! {
        @if safe.has_remote { p.quiet { (words.text("remote-left-out")) } }
        iframe.mail sandbox="allow-popups allow-popups-to-escape-sandbox" title=(words.text("message")) src={ "/message/" (opened.number) "/html/" (index) } {}
    }
}

fn text(bytes: &[u8]) -> Markup {
    html! { pre { (mail::read(bytes).body) } }
}

fn files(visit: &Visit, opened: &Opened, parts: &[MessagePart]) -> Markup {
    let words = visit.words;
    let files = standing(parts, Standing::Apart);
    let in_text = standing(parts, Standing::InText);
    let mut previews_left = PREVIEWS_MAX;
    html! {
        @if !files.is_empty() {
            h2 { (words.filled("attachments", &[("count", files.len().into())])) }
            ul.files {
                @for (index, part) in files {
                    li {
                        (file_link(visit, opened, index, part))
                        @if is_read(part) {
                            a href=(address(visit, opened, &format!("/text/{index}"))) { (words.text("show-text")) }
                        }
                        @if is_previewed(part, &mut previews_left) {
                            (preview(visit, part, &format!("/message/{}/picture/{index}", opened.number)))
                        }
                    }
                }
            }
        }
        (pictures_in_text(visit, opened, parts, &in_text))
    }
}

/// Lists pictures that the text shows; the list is open when there are some that it cannot show.
fn pictures_in_text(
    visit: &Visit,
    opened: &Opened,
    parts: &[MessagePart],
    in_text: &[(usize, &MessagePart)],
) -> Markup {
    let shown = shown_in_text(parts);
    let is_shown = |index: usize| shown.iter().any(|(shown, _)| *shown == index);
    let are_all_shown = in_text.iter().all(|(index, _)| is_shown(*index));
    let count = [("count", in_text.len().into())];
    html! {
        @if !in_text.is_empty() {
            details.quiet open[!are_all_shown] {
                summary { (visit.words.filled("pictures-in-text", &count)) }
                ul.files {
                    @for (index, part) in in_text {
                        li {
                            (file_link(visit, opened, *index, part))
                            @if !is_shown(*index) { span.quiet { (visit.words.text("picture-in-text")) } }
                        }
                    }
                }
            }
        }
    }
}

fn file_link(visit: &Visit, opened: &Opened, index: usize, part: &MessagePart) -> Markup {
    let size = visit.words.size(part.size_bytes());
    html! {
        a href={ "/message/" (opened.number) "/file/" (index) } { (file_name(visit, part)) }
        span.quiet { (size) " · " (part.media_type) }
    }
}

/// Gives the parts of one standing, each with its number.
fn standing<'p, 'm>(
    parts: &'p [MessagePart<'m>],
    wanted: Standing,
) -> Vec<(usize, &'p MessagePart<'m>)> {
    let standings = mail::standings(parts);
    let is_wanted = |(index, _): &(usize, _)| standings[*index] == wanted;
    parts.iter().enumerate().filter(is_wanted).collect()
}

fn is_previewed(part: &MessagePart, left: &mut usize) -> bool {
    let is_small = part.size_bytes() <= PREVIEW_BYTES_MAX;
    let is_shown = *left > 0 && is_small && picture_type(part).is_some();
    *left -= usize::from(is_shown);
    is_shown
}

fn preview(visit: &Visit, part: &MessagePart, path: &str) -> Markup {
    let name = file_name(visit, part);
    html! {
        a.preview href=(path) { img src=(path) alt=(visit.words.filled("preview-of", &[("name", name.into())])) loading="lazy"; }
    }
}

/// The name that an attachment is handed out by: what the sender called it, without what leads into other folders.
fn file_name(visit: &Visit, part: &MessagePart) -> String {
    let is_safe = |c: &char| !c.is_control() && !is_misleading(*c) && !"/\\:*?\"<>|".contains(*c);
    let name: String = part.name.chars().filter(is_safe).take(150).collect();
    let name = name.trim().trim_start_matches('.');
    match (name, part.media_type.as_str()) {
        ("", "message/rfc822") => format!("{}.eml", visit.words.text("message")),
        ("", _) => visit.words.text("attachment"),
        (name, _) => name.to_owned(),
    }
}

/// Characters that turn the direction of text: with them "exe.txt" is shown for "txt.exe".
fn is_misleading(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Writes the field that makes a browser keep a file under a name (RFC 6266 §4, RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._- ".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let exact: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_its_field() {
        for (name, expected) in [
            (
                "a b.pdf",
                "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf",
            ),
            (
                "ü.txt",
                "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%BC.txt",
            ),
            (
                "x\"\r\nSet-Cookie: a=b",
                "attachment; filename=\"x___Set-Cookie_ a_b\"; filename*=UTF-8''x%22%0D%0ASet-Cookie%3A%20a%3Db",
            ),
        ] {
            assert_eq!(disposition(name), expected);
        }
    }
}
