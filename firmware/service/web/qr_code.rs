//! A text as a QR code (ISO/IEC 18004), drawn as SVG on the server: dark on light in every theme, as cameras want it.

use maud::{Markup, html};
use qrcodegen::{QrCode, QrCodeEcc};

/// 4 modules of light around it (ISO/IEC 18004 §9.1).
const MARGIN: i32 = 4;

/// Draws a text; none when it is too long for any code, some 2,000 bytes. `name` is for those who cannot see it.
pub(super) fn qr_code(text: &str, name: &str) -> Option<Markup> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size();
    let width = size + 2 * MARGIN;
    Some(html! {
        svg.qr-code viewBox={ (-MARGIN) " " (-MARGIN) " " (width) " " (width) } role="img" aria-label=(name) {
            path.light d={ "M" (-MARGIN) " " (-MARGIN) "h" (width) "v" (width) "h-" (width) "z" } {}
            path.dark d=(modules(&code)) {}
        }
    })
}

/// Writes the dark modules, neighbours in a row as one.
fn modules(code: &QrCode) -> String {
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size())
                .take_while(|x| code.get_module(*x, y))
                .count() as i32;
            if run > 0 {
                path += &format!("M{x} {y}h{run}v1h-{run}z");
            }
            x += run + 1;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the drawing again, module by module.
    #[test]
    fn what_is_drawn_is_the_code() {
        let text =
            "otpauth://totp/Coffer:kim?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Coffer";
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).expect("short enough");
        let drawn = modules(&code);
        let mut dark = std::collections::BTreeSet::new();
        for run in drawn.split('M').skip(1) {
            let (at, run) = run.split_once('h').expect("a run");
            let (x, y) = at.split_once(' ').expect("a place");
            let run = run.split('v').next().expect("a length");
            let number = |text: &str| text.parse::<i32>().expect("a number");
            dark.extend((0..number(run)).map(|step| (number(x) + step, number(y))));
        }
        for y in 0..code.size() {
            for x in 0..code.size() {
                assert_eq!(dark.contains(&(x, y)), code.get_module(x, y), "{x} {y}");
            }
        }
        assert!(qr_code(&"x".repeat(3_000), "").is_none());
    }
}
