//! Debian's tools for disks, as this box calls them: cryptsetup and e2fsprogs. Keys go through a pipe, never into arguments.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// 1,000 rounds, the least that cryptsetup takes: our keys are random, so there is nothing to make guessing slower for, and a box with
/// 512 MiB opens its disks at once.
const ROUNDS: &str = "1000";

/// What went wrong with a tool.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// It could not be run.
    #[error("cannot run {tool}")]
    Run {
        /// The tool.
        tool: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It failed.
    #[error("{tool} failed with {code}: {said}")]
    Failed {
        /// The tool.
        tool: &'static str,
        /// How it ended.
        code: String,
        /// The end of what it said.
        said: String,
    },
}

/// Makes a LUKS2 header; all that was there is lost.
///
/// # Errors
/// When cryptsetup fails.
pub(crate) fn make_luks(device: &str, uuid: &str, key: &[u8]) -> Result<(), ToolError> {
    let arguments = [
        "luksFormat",
        "--batch-mode",
        "--type",
        "luks2",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        ROUNDS,
        "--uuid",
        uuid,
        "--key-file",
        "-",
        device,
    ];
    run("cryptsetup", &arguments, key, &[0])
}

/// Adds a second key to a LUKS2 header; it stands in a file for as long as this takes.
///
/// # Errors
/// When cryptsetup fails.
pub(crate) fn add_key(device: &str, key: &[u8], new_key_file: &str) -> Result<(), ToolError> {
    let arguments = [
        "luksAddKey",
        "--batch-mode",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        ROUNDS,
        "--key-file",
        "-",
        device,
        new_key_file,
    ];
    run("cryptsetup", &arguments, key, &[0])
}

/// Opens a LUKS2 device as `/dev/mapper/NAME`.
///
/// # Errors
/// When cryptsetup fails, as with a wrong key.
pub(crate) fn open_luks(device: &str, name: &str, key: &[u8]) -> Result<(), ToolError> {
    let arguments = ["open", "--type", "luks2", "--key-file", "-", device, name];
    run("cryptsetup", &arguments, key, &[0])
}

/// Closes what was opened.
///
/// # Errors
/// When it is in use.
pub(crate) fn close_luks(name: &str) -> Result<(), ToolError> {
    run("cryptsetup", &["close", name], b"", &[0])
}

/// Makes an ext4 file system; all that was there is lost.
///
/// # Errors
/// When mke2fs fails.
pub(crate) fn make_ext4(device: &str) -> Result<(), ToolError> {
    let arguments = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-m",
        "0",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1",
        device,
    ];
    run("mke2fs", &arguments, b"", &[0])
}

/// Checks an ext4 file system and mends what can be mended without a question (1: mended).
///
/// # Errors
/// When it needs a person, or cannot be checked.
pub(crate) fn check_ext4(device: &str) -> Result<(), ToolError> {
    run("e2fsck", &["-p", device], b"", &[0, 1])
}

fn run(
    tool: &'static str,
    arguments: &[&str],
    input: &[u8],
    good: &[i32],
) -> Result<(), ToolError> {
    let failed = |source| ToolError::Run { tool, source };
    let mut command = Command::new(format!("/sbin/{tool}"));
    // No udev answers here that device-mapper could wait for.
    command.args(arguments).env("DM_DISABLE_UDEV", "1");
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A tool that fails before it reads its key says more than a broken pipe.
        let _ = pipe.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    let is_good = output
        .status
        .code()
        .is_some_and(|code| good.contains(&code));
    if is_good {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(ToolError::Failed {
        tool,
        code: output.status.to_string(),
        said: last_words(&said),
    })
}

/// The last three lines as one, at most 300 characters.
fn last_words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    last.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_a_tool_says_is_kept() {
        for (said, expected) in [
            ("", ""),
            ("a\n\nb\nc\nd\n", "b; c; d"),
            (
                "No key available with this passphrase.\n",
                "No key available with this passphrase.",
            ),
        ] {
            assert_eq!(last_words(said.as_bytes()), expected);
        }
        assert_eq!(last_words("ü".repeat(400).as_bytes()).chars().count(), 300);
    }
}
