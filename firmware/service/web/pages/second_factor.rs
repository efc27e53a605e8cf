//! The second step of signing in, which each person switches on and off for himself: codes by time (RFC 6238).
//!
//! The secret is shown once, as a QR code, as text and as a link that a phone's app opens; it counts only after a code of it was given.

use super::super::qr_code::qr_code;
use super::super::{Response, visit::Visit};
use super::layout::{Width, encoded};
use super::sign_in::denied;
use maud::{Markup, html};

/// The alphabet of RFC 4648 §6, in which apps take secrets.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Letters of the secret that stand together, so that it can be typed.
const GROUP_CHARS: usize = 4;

/// Shows how to switch it on, or off.
pub(in super::super) fn show(visit: &Visit) -> Response {
    form(visit, 200, None)
}

/// Gives the secret, for whoever gave the password.
pub(in super::super) fn begin(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let acting = visit.site.people().acting(person.token, &visit.peer);
    match acting.begin_second_factor(visit.request.form_value("password")) {
        Ok(secret) => confirm_form(visit, &base32(&secret)),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "old-password-wrong");
            form(visit, 422, Some(&trouble))
        }
    }
}

/// Takes the first code, after which it counts.
pub(in super::super) fn confirm(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let acting = visit.site.people().acting(person.token, &visit.peer);
    match acting.confirm_second_factor(visit.request.form_value("code")) {
        Ok(()) => Response::see_other("/account"),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "second-factor-code-wrong");
            form(visit, 422, Some(&trouble))
        }
    }
}

/// Does without it from now on.
pub(in super::super) fn end(visit: &Visit) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let acting = visit.site.people().acting(person.token, &visit.peer);
    let request = visit.request;
    match acting.end_second_factor(request.form_value("password"), request.form_value("code")) {
        Ok(()) => Response::see_other("/account"),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "second-factor-end-wrong");
            form(visit, 422, Some(&trouble))
        }
    }
}

fn form(visit: &Visit, status: u16, trouble: Option<&str>) -> Response {
    let words = visit.words;
    let person = visit.person.as_ref();
    let has = person.is_some_and(|person| person.session.has_second_factor);
    let (action, deed) = match has {
        true => ("/account/second-factor/end", "second-factor-end"),
        false => ("/account/second-factor/begin", "second-factor-begin"),
    };
    let content = html! {
        (visit.trouble(trouble))
        p { (words.text("second-factor-hint")) }
        @if has { p.note { (words.text("second-factor-on")) } }
        (visit.form(action, html! {
            label for="password" { (words.text("password")) }
            input #password name="password" type="password" required autocomplete="current-password";
            @if has { (code_field(visit)) }
            div.deeds {
                button type="submit" { (words.text(deed)) }
                a.button.second href="/account" { (words.text("later")) }
            }
        }))
    };
    visit.page(status, &words.text("second-factor"), Width::Narrow, content)
}

fn confirm_form(visit: &Visit, secret: &str) -> Response {
    let words = visit.words;
    let name = visit
        .person
        .as_ref()
        .map_or("", |person| &person.session.name);
    let link = format!(
        "otpauth://totp/Coffer:{}?secret={secret}&issuer=Coffer",
        encoded(name).replace('+', "%20")
    );
    let groups: Vec<_> = secret
        .as_bytes()
        .chunks(GROUP_CHARS)
        .map(String::from_utf8_lossy)
        .collect();
    let content = html! {
        ol {
            li { (words.text("second-factor-app")) }
            li {
                (words.text("second-factor-scan"))
                @if let Some(code) = qr_code(&link, &words.text("second-factor-code")) { (code) }
            }
            li {
                (words.text("second-factor-secret"))
                p.mono { (groups.join(" ")) }
                p { a href=(link) { (words.text("second-factor-link")) } }
            }
            li { (words.text("second-factor-type")) }
        }
        (visit.form("/account/second-factor/confirm", html! {
            (code_field(visit))
            div.deeds { button type="submit" { (words.text("second-factor-begin")) } }
        }))
    };
    visit.page(200, &words.text("second-factor"), Width::Narrow, content)
}

fn code_field(visit: &Visit) -> Markup {
    let words = visit.words;
    html! {
        label for="code" { (words.text("code")) }
        p.hint #code-hint { (words.text("code-hint")) }
        input.code #code name="code" type="text" required inputmode="numeric" autocomplete="one-time-code" aria-describedby="code-hint";
    }
}

/// Writes a secret as apps take it; its 20 bytes are whole groups of five, so nothing is filled up.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 §10, those without padding, and the secret of RFC 6238.
    #[test]
    fn secrets_are_written_in_base32() {
        for (bytes, text) in [
            ("", ""),
            ("fooba", "MZXW6YTB"),
            ("12345678901234567890", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }
}
