//! What an alarm is about, so that each has its own words on the page and nobody tells them apart by the English of the log.
//!
//! The words are those of the format (FORMAT.md, events): the `rule` of an alarm's event.

use crate::event::{Event, EventKind};

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// Accounts, settings and the signing key were lost with the state file.
    StateLost,
    /// The register of people in the state file was not that of the log.
    RegisterDiffers,
    /// The newest signed tree head cannot be read.
    CheckpointDamaged,
    /// A volume is damaged and nothing is there to mend it from.
    DamageLeft,
    /// The same on the second disk.
    DamageLeftOnCopy,
    /// Both disks were written alone.
    CopyDiverged,
    /// The second disk is smaller than the first.
    CopyTooSmall,
}

impl AlarmKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::StateLost,
        Self::RegisterDiffers,
        Self::CheckpointDamaged,
        Self::DamageLeft,
        Self::DamageLeftOnCopy,
        Self::CopyDiverged,
        Self::CopyTooSmall,
    ];

    /// Gives the word of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::StateLost => "state lost",
            Self::RegisterDiffers => "register differs",
            Self::CheckpointDamaged => "checkpoint damaged",
            Self::DamageLeft => "damage left",
            Self::DamageLeftOnCopy => "damage left on copy",
            Self::CopyDiverged => "copy diverged",
            Self::CopyTooSmall => "copy too small",
        }
    }

    /// Gives the kind that a word of the format means; none when this version does not know it, or an older one wrote none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Event {
    /// Makes an alarm; `text` says it in English, with what helps to find the place.
    pub fn alarm(kind: AlarmKind, text: String) -> Self {
        Self {
            kind: EventKind::Alarm,
            rule: kind.name().to_owned(),
            text,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alarm_is_known_by_its_word() {
        for kind in AlarmKind::ALL {
            let alarm = Event::alarm(kind, String::new());
            assert_eq!(alarm.kind, EventKind::Alarm);
            assert_eq!(AlarmKind::from_name(&alarm.rule), Some(kind));
        }
        assert_eq!(AlarmKind::from_name(""), None);
    }
}
