//! Who did what: the audit log's entries, which are leaves of the archive's tree like the mail itself.

use crate::Digest;

/// One entry of the audit log; what does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Sequence numbers it is about.
    pub subjects: Vec<u64>,
    /// Whose doing it was.
    pub account: String,
    /// From where.
    pub peer: String,
    /// Command line, query, name of a setting.
    pub text: String,
    /// A setting's value before; never a secret.
    pub before: String,
    /// A setting's value after; never a secret.
    pub after: String,
    /// Why.
    pub reason: String,
    /// The second person who agreed.
    pub second_person: String,
    /// A digest it is about, as that of an export's manifest.
    pub digest: Option<Digest>,
    /// How many.
    pub count: Option<u64>,
    /// From when, Unix seconds.
    pub from: Option<i64>,
    /// Until when, Unix seconds.
    pub until: Option<i64>,
    /// Leaves that a purge took out.
    pub purged_leaves: Vec<u64>,
    /// HMAC-SHA-256 of the digests of purged contents under the archive's key.
    pub purged_contents: Vec<[u8; 32]>,
    /// Rule, retention class, case or tag.
    pub rule: String,
    /// The verifier key of a signer.
    pub key: String,
    /// Signature by the key before.
    pub signature: Vec<u8>,
    /// Epoch of the disk set.
    pub epoch: Option<u64>,
    /// Disk ids of the set.
    pub members: Vec<[u8; 16]>,
    /// Records of the register of people as they are from now on; none of them holds a secret.
    pub records: Vec<String>,
}

/// Declares the kinds with their numbers and names once.
macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What happened; the numbers are those of the format.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[$doc])* $name,)*
            /// A kind that this version does not know, kept as it came.
            Unknown(u64) }

        impl EventKind {
            /// The number of the format.
            pub fn number(self) -> u64 {
                match self { $(Self::$name => $number,)* Self::Unknown(number) => number }
            }

            /// The kind of a number of the format.
            pub fn from_number(number: u64) -> Self {
                match number { $($number => Self::$name,)* number => Self::Unknown(number) }
            }

            /// A name for lists.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* Self::Unknown(_) => "unknown event" }
            }
        }
    };
}

event_kinds! {
    /// The archive was made.
    ArchiveCreated = 1, "archive created";
    /// A keeper opened the archive to serve it.
    #[default]
    Started = 2, "started";
    /// It was closed in order.
    Stopped = 3, "stopped";
    /// A command was run on the host.
    CommandRun = 4, "command run";
    /// Somebody read a message.
    Viewed = 5, "viewed";
    /// Somebody searched.
    Searched = 6, "searched";
    /// Messages were handed out.
    Exported = 7, "exported";
    /// Somebody signed in.
    SignedIn = 8, "signed in";
    /// Somebody failed to sign in.
    SignInFailed = 9, "sign-in failed";
    /// A setting was changed.
    SettingChanged = 10, "setting changed";
    /// An account was changed.
    AccountChanged = 11, "account changed";
    /// A signing key was made.
    KeyMade = 12, "key made";
    /// The signing key was changed.
    KeyChanged = 13, "key changed";
    /// A legal hold was set.
    HoldSet = 14, "hold set";
    /// A legal hold was lifted.
    HoldLifted = 15, "hold lifted";
    /// A retention class was set.
    RetentionClassSet = 16, "retention class set";
    /// A tag was set.
    TagSet = 17, "tag set";
    /// A tag was removed.
    TagRemoved = 18, "tag removed";
    /// A release was asked for.
    ReleaseAsked = 19, "release asked";
    /// Something was released.
    Released = 20, "released";
    /// Messages were purged.
    Purged = 21, "purged";
    /// A disk joined.
    MemberAttached = 22, "member attached";
    /// A disk was detached.
    MemberDetached = 23, "member detached";
    /// The clock floor was lowered.
    ClockFloorLowered = 24, "clock floor lowered";
    /// An alarm was raised.
    Alarm = 25, "alarm";
    /// A checkpoint was witnessed outside.
    CheckpointWitnessed = 26, "checkpoint witnessed";
    /// Purged mail arrived again.
    PurgedMailCameAgain = 27, "purged mail came again";
    /// The archive was verified.
    Verified = 28, "verified";
    /// Catalog and index were rebuilt.
    Rebuilt = 29, "rebuilt";
    /// Damage was mended from another disk.
    Mended = 30, "mended";
    /// Wider rights were proposed.
    ChangeProposed = 31, "change proposed";
    /// A second person approved them.
    ChangeApproved = 32, "change approved";
    /// Somebody concerned objected to them.
    ChangeObjected = 33, "change objected to";
    /// They were withdrawn, or lapsed.
    ChangeDropped = 34, "change dropped";
    /// A notice was given to an address concerned.
    NoticeGiven = 35, "notice given";
    /// The register of people was compared with the audit log.
    RegisterKept = 36, "register kept";
    /// Somebody signed out, or a session was ended.
    SessionEnded = 37, "session ended";
    /// Coffer sent a mail of its own: a test or a status mail.
    MailSent = 38, "mail sent";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_agree() {
        for number in 0..200 {
            assert_eq!(EventKind::from_number(number).number(), number);
        }
        assert_eq!(EventKind::Mended.number(), 30);
    }
}
