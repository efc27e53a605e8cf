//! What workers tell PID 1: lines `subject: value` on their standard output, as `coffer serve` prints them, too.
//!
//! PID 1 believes only the subjects that it knows, each from the workers that may tell it (`pid1`).

use std::io::{self, Write};

/// Tells PID 1 one thing; control characters become blanks.
///
/// # Errors
/// When PID 1 reads no more.
pub(crate) fn say(subject: &str, value: &str) -> io::Result<()> {
    let value = value.replace(char::is_control, " ");
    let mut out = io::stdout().lock();
    writeln!(out, "{subject}: {value}")?;
    out.flush()
}

/// Takes a line apart; a line without a value is a subject alone.
pub(crate) fn read(line: &str) -> (&str, &str) {
    let (subject, value) = line.split_once(':').unwrap_or((line, ""));
    (subject.trim(), value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_subject_and_value() {
        for (line, expected) in [
            ("ready", ("ready", "")),
            ("claim code: AB-12", ("claim code", "AB-12")),
            ("web: https://[::]:443", ("web", "https://[::]:443")),
            ("", ("", "")),
            (": x", ("", "x")),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
