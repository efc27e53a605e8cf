//! Real mail, taken apart and put together: every file to the byte, and nearly every attachment taken out.
//!
//! The mail itself is no part of this repository; without it these tests only say so.

#![allow(clippy::print_stdout)]

use super::MIN_CONTENT_BYTES;
use super::tests::Taken;
use crate::corpus;

/// Themes beside `attachments`: few enough for a test, odd enough to be worth it.
const ODD_THEMES: [&str; 4] = [
    "torture-mime",
    "tnef-smime-pgp",
    "containers",
    "journal-reports",
];

/// Longer files are fed whole only, so that the test ends in time.
const STEPPED_MAX_BYTES: usize = 64 * 1024;

/// Calls `check` with name and bytes of each file of the theme, or says that the theme is not there.
fn each_file(theme: &str, mut check: impl FnMut(&str, &[u8])) {
    let Some(files) = corpus::read(theme) else {
        return;
    };
    assert!(files.len() > 50, "the theme holds more: {}", files.len());
    for (name, bytes) in &files {
        check(name, bytes);
    }
}

fn check_exact(file: &str, message: &[u8]) -> Taken {
    let taken = Taken::apart(&[message]);
    taken.check_recipe();
    let together = taken.together().expect("memory can be read");
    assert!(together == message, "not the same: {file}");
    assert_eq!(taken.recipe.message_bytes(), Some(message.len() as u64));
    if message.len() < STEPPED_MAX_BYTES {
        let steps: Vec<&[u8]> = message.chunks(97).collect();
        assert!(
            Taken::apart(&steps) == taken,
            "not the same when fed in steps: {file}"
        );
    }
    taken
}

#[test]
fn odd_mail_comes_back_to_the_byte() {
    for theme in ODD_THEMES {
        each_file(theme, |file, message| drop(check_exact(file, message)));
    }
}

/// Lists the lengths of the sound base64 bodies of at least [`MIN_CONTENT_BYTES`], found in another way than the scanner
/// does: a line that names the encoding, the next blank line, and the characters up to the next line that is blank or
/// begins with two hyphens.
///
/// Bodies with other characters inside are no base64: collectors of mail have put words of their own into some.
fn list_plainly(message: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut lines = message.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        if !line.eq_ignore_ascii_case(b"content-transfer-encoding: base64") {
            continue;
        }
        lines.by_ref().find(|line| line.is_empty());
        let body = lines.by_ref().skip_while(|line| line.is_empty());
        let body: Vec<&[u8]> = body
            .take_while(|line| !line.is_empty() && !line.starts_with(b"--"))
            .collect();
        let body = body.concat();
        let padding = body.iter().rev().take_while(|&&byte| byte == b'=').count();
        let (characters, _) = body.split_at(body.len() - padding);
        let is_sound = characters
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        let bytes = (body.len() / 4 * 3).saturating_sub(padding);
        if is_sound && bytes >= MIN_CONTENT_BYTES {
            found.push(bytes);
        }
    }
    found
}

#[test]
fn nearly_all_attachments_are_taken_out() {
    let (mut there_count, mut taken_count, mut attachment_bytes) = (0, 0, 0);
    each_file("attachments", |file, message| {
        let taken = check_exact(file, message);
        let mut contents: Vec<usize> = taken.contents.iter().map(Vec::len).collect();
        for length in list_plainly(message) {
            there_count += 1;
            if let Some(place) = contents.iter().position(|&content| content == length) {
                contents.swap_remove(place);
                taken_count += 1;
            } else {
                println!("not taken out as a whole: {length} bytes of {file}");
            }
        }
        let copy = taken.reading_copy().expect("memory can be read");
        attachment_bytes += message.len() - copy.len();
    });
    println!(
        "{taken_count} of {there_count} base64 bodies are taken out, {attachment_bytes} bytes of them attachments"
    );
    assert!(taken_count * 100 >= there_count * 99);
    assert!(there_count == 0 || attachment_bytes > 0);
}
