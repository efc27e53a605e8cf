//! The kernel's own messages, from `/dev/kmsg` (kernel: Documentation/ABI/testing/dev-kmsg).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// 64 messages a turn.
const MESSAGES_MAX: usize = 64;

/// 8 KiB: the kernel's longest message with all its fields.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// The kernel's messages from the beginning of the boot on.
pub(crate) struct KernelLog(File);

impl KernelLog {
    /// Opens it, if the kernel has one.
    pub(crate) fn open() -> Option<Self> {
        let mut how = OpenOptions::new();
        how.read(true).custom_flags(libc::O_NONBLOCK);
        how.open("/dev/kmsg").ok().map(Self)
    }

    /// Gives what has come since the last time.
    pub(crate) fn read(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut message = [0; MESSAGE_BYTES_MAX];
        for _ in 0..MESSAGES_MAX {
            match self.0.read(&mut message) {
                Ok(count) => texts.extend(text(&message[..count])),
                // Some were overwritten before they were read; the next read goes on behind them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => break,
            }
        }
        texts
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The text of a message: behind its fields, before the lines with a blank in front that name the device.
fn text(message: &[u8]) -> Option<String> {
    let message = String::from_utf8_lossy(message);
    let (_, text) = message.split_once(';')?;
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stands_behind_the_fields() {
        for (message, expected) in [
            ("6,339,5140900,-;NET: Registered\n", Some("NET: Registered")),
            (
                "4,1,2,-;a;b\n SUBSYSTEM=acpi\n DEVICE=+acpi:x\n",
                Some("a;b"),
            ),
            ("no fields", None),
            ("", None),
        ] {
            assert_eq!(text(message.as_bytes()).as_deref(), expected);
        }
    }
}
