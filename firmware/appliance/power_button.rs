//! The power button, and a power key on a keyboard: input devices that have KEY_POWER (linux/input-event-codes.h).

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// `KEY_POWER`.
const KEY_POWER: u16 = 116;

/// `EV_KEY`.
const EV_KEY: u16 = 1;

/// Bytes of a `struct input_event` on 64-bit machines: 16 of time, then type, code and value.
const EVENT_BYTES: usize = 24;

/// 16 buttons at most: a case has one, a keyboard one more.
const BUTTONS_MAX: usize = 16;

/// All buttons that were found.
#[derive(Default)]
pub(crate) struct Buttons(Vec<(PathBuf, File)>);

impl Buttons {
    /// Looks for buttons that have come since the last time.
    pub(crate) fn look(&mut self) {
        let Ok(entries) = fs::read_dir("/sys/class/input") else {
            return; // no input device yet
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let device = PathBuf::from("/dev/input").join(&name);
            let known = self.0.iter().any(|(path, _)| *path == device);
            let keys = entry.path().join("device/capabilities/key");
            let has_power = || fs::read_to_string(keys).is_ok_and(|keys| has_key(&keys, KEY_POWER));
            if known || self.0.len() >= BUTTONS_MAX || !has_power() {
                continue;
            }
            let mut how = OpenOptions::new();
            how.read(true).custom_flags(libc::O_NONBLOCK);
            if let Ok(file) = how.open(&device) {
                self.0.push((device, file));
            }
        }
    }

    /// What to wait on.
    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, file)| file.as_fd())
    }

    /// Tells whether one of them was pressed; forgets those that are gone.
    pub(crate) fn pressed(&mut self) -> bool {
        let mut pressed = false;
        self.0.retain_mut(|(_, file)| {
            let mut events = [0; EVENT_BYTES * 16];
            match file.read(&mut events) {
                Ok(count) => {
                    pressed |= holds_press(&events[..count]);
                    count > 0
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            }
        });
        pressed
    }
}

/// Tells whether a device has a key, by the bits that sysfs shows: words of 64 bits in hexadecimal, the highest first.
fn has_key(capabilities: &str, key: u16) -> bool {
    let word = capabilities
        .split_whitespace()
        .rev()
        .nth(usize::from(key) / 64);
    let word = word.and_then(|word| u64::from_str_radix(word, 16).ok());
    word.is_some_and(|word| word >> (key % 64) & 1 == 1)
}

/// Tells whether the power key went down in one of these events.
fn holds_press(events: &[u8]) -> bool {
    events.chunks_exact(EVENT_BYTES).any(|event| {
        let number = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        number(16) == EV_KEY && number(18) == KEY_POWER && number(20) == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: u16) -> Vec<u8> {
        let mut event = vec![7; 16];
        for number in [kind, code, value, 0] {
            event.extend_from_slice(&number.to_ne_bytes());
        }
        event
    }

    #[test]
    fn only_the_power_key_going_down_counts() {
        for (events, expected) in [
            (event(EV_KEY, KEY_POWER, 1), true),
            (event(EV_KEY, KEY_POWER, 0), false),
            (event(EV_KEY, KEY_POWER, 2), false),
            (event(EV_KEY, 30, 1), false),
            (event(0, KEY_POWER, 1), false),
            ([event(0, 0, 0), event(EV_KEY, KEY_POWER, 1)].concat(), true),
            (event(EV_KEY, KEY_POWER, 1)[..20].to_vec(), false),
            (Vec::new(), false),
        ] {
            assert_eq!(holds_press(&events), expected, "{events:?}");
        }
    }

    #[test]
    fn keys_are_bits_of_words() {
        for (capabilities, expected) in [
            ("10000000000000 0\n", true), // the ACPI power button
            ("4000 10000000000000 0", true),
            ("10000000000000", false),
            (
                "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe",
                true,
            ),
            ("", false),
            ("x y", false),
        ] {
            assert_eq!(has_key(capabilities, KEY_POWER), expected, "{capabilities}");
        }
    }
}
