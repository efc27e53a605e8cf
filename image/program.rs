//! Programs of the host that are run to their end: apt-get, dpkg-deb, git, cargo.

use crate::error::ImageError;
use std::process::Command;

/// Runs a program and gives what it says on standard output.
///
/// # Errors
/// `Start`; `Failed` with the last line of standard error; `NotUnderstood` when the output is no text.
pub(crate) fn run(command: &mut Command) -> Result<String, ImageError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let ran = match command.output() {
        Ok(ran) => ran,
        Err(source) => return Err(ImageError::Start { program, source }),
    };
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let said = said.lines().last().unwrap_or_default().to_owned();
        return Err(ImageError::Failed { program, said });
    }
    String::from_utf8(ran.stdout).map_err(|_| ImageError::NotUnderstood {
        program,
        said: "not UTF-8".to_owned(),
    })
}
