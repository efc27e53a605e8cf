//! What the disks' worker does for people who cannot get in any more: by a file on the boot medium (`reset_request`), or by a choice in the boot loader's menu.
//!
//! The network's settings are forgotten, and an operator gets a new password, which the console shows. The archive and its disks stay as they are.
//!
//! What the menu starts is the version in the recovery slot, which may be an old one: it only notes the wish, and starts the machine again.

use super::{Disks, NEW_PASSWORD_FOR, write_for_archive};
use crate::{report, reset_request};
use std::fs;
use std::io;
use std::path::Path;
use update::esp::RESET_WORD;

/// What the boot loader has handed to the kernel.
const COMMAND_LINE: &str = "/proc/cmdline";

/// Whether the boot loader's menu asks for a reset.
pub(super) fn is_chosen() -> io::Result<bool> {
    fs::read_to_string(COMMAND_LINE).map(|line| asks(&line))
}

fn asks(command_line: &str) -> bool {
    command_line
        .split_whitespace()
        .any(|word| word == RESET_WORD)
}

impl Disks {
    /// Notes for the next start that somebody wants a reset, and has the machine start again; false where that cannot be written.
    pub(super) fn note_reset(&mut self) -> io::Result<bool> {
        let Some(state) = &mut self.state else {
            return Ok(false);
        };
        if let Err(error) = state.change(|record| record.set_reset_asked(true)) {
            tracing::error!(%error, "the reset that was chosen cannot be noted");
            return Ok(false);
        }
        tracing::warn!("a reset was chosen: starting again");
        report::say("end", "restart").map(|()| true)
    }

    /// Does what a file on the boot medium or the menu asks for; the network is forgotten for good before the wish is.
    pub(super) fn reset_if_asked(&mut self) -> io::Result<()> {
        let Some((device, _)) = self.boot_partition() else {
            return Ok(());
        };
        let by_file = reset_request::asked(Path::new(&device))?;
        let record = self.state.as_ref().map(|state| state.record());
        let by_menu = record.is_some_and(|record| record.is_reset_asked());
        if by_file.is_none() && !by_menu {
            return Ok(());
        }
        let name = by_file.clone().unwrap_or_default();
        tracing::warn!(name, by_menu, "reset, as asked for on the boot medium");
        // Without a name it is the operator's who set the box up; a file without one asks for the network only.
        if by_menu || !name.is_empty() {
            write_for_archive(NEW_PASSWORD_FOR, &name)?;
        }
        if let Some(state) = &mut self.state {
            state.change(|record| {
                record.set_network("");
                record.set_reset_asked(false);
            })?;
        }
        match by_file {
            Some(_) => reset_request::cross_out(Path::new(&device)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_asks_for_a_reset() {
        for (line, expected) in [
            ("console=tty0 panic=10 coffer.reset\n", true),
            ("coffer.reset quiet", true),
            ("console=tty0 panic=10\n", false),
            ("coffer.resets xcoffer.reset coffer.reset=0", false),
        ] {
            assert_eq!(asks(line), expected, "{line}");
        }
    }
}
