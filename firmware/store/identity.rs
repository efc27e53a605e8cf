//! Who this disk is: archive, disk, set, epoch and members, in a small text file (FORMAT.md, "identity"), and the lock of its owner.

use crate::batch::random;
use crate::disk::{Disk, beside};
use crate::error::{DiskContext, Error, Result};
use std::path::{Path, PathBuf};

pub(crate) const FILE: &str = "identity";

const README: &str = "README.txt";

/// An id of an archive, disk or set: 16 random bytes, shown as 32 hexadecimal digits.
pub type Id = [u8; 16];

/// What the identity file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The archive; the same on all its disks.
    pub archive: Id,
    /// This disk.
    pub disk: Id,
    /// The disks that belong together.
    pub set: Id,
    /// Rises with every change of membership.
    pub epoch: u64,
    /// Disks attached in this epoch.
    pub members: Vec<Id>,
    /// Lines of a newer version, kept.
    unknown: Vec<String>,
}

/// Writes an id as hexadecimal digits.
pub fn hex(id: &Id) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

fn unhex(text: &str) -> Option<Id> {
    let sound = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
        .map(u128::to_be_bytes)
}

impl Identity {
    /// Makes the identity of a new archive of one disk.
    pub(crate) fn new() -> Self {
        let disk = random();
        Self {
            archive: random(),
            disk,
            set: random(),
            epoch: 1,
            members: vec![disk],
            unknown: Vec::new(),
        }
    }

    /// The identity after a change of membership.
    pub(crate) fn next(&self, members: Vec<Id>) -> Self {
        Self {
            epoch: self.epoch + 1,
            members,
            ..self.clone()
        }
    }

    /// The identity once another disk has joined: above both epochs.
    pub(crate) fn joined(&self, other: &Self, members: Vec<Id>) -> Self {
        Self {
            epoch: self.epoch.max(other.epoch) + 1,
            ..self.next(members)
        }
    }

    /// Makes the identity of a new disk that is to be a copy of this one; it is no member until it holds everything.
    pub(crate) fn new_copy(&self) -> Self {
        Self {
            disk: random(),
            members: vec![self.disk],
            unknown: Vec::new(),
            ..self.clone()
        }
    }

    /// Tells whether the disk was attached in this epoch.
    pub(crate) fn lists(&self, disk: &Id) -> bool {
        self.members.contains(disk)
    }

    /// Tells whether both disks are members and neither went on without the other.
    pub(crate) fn is_in_step_with(&self, other: &Self) -> bool {
        (self.epoch, &self.members) == (other.epoch, &other.members)
            && self.lists(&other.disk)
            && self.lists(&self.disk)
    }

    /// The same membership, as another disk of the archive writes it.
    pub(crate) fn of_disk(&self, other: &Self) -> Self {
        Self {
            disk: other.disk,
            unknown: other.unknown.clone(),
            ..self.clone()
        }
    }

    /// Reads the identity; none where there is no archive yet.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Self>> {
        if !disk.exists(Path::new(FILE)).on("look for", FILE)? {
            return Ok(None);
        }
        let bytes = disk.read(Path::new(FILE)).on("read", FILE)?;
        let text = String::from_utf8(bytes).ok();
        let identity = text.as_deref().and_then(Self::parse);
        let how = "it is not an identity, or its checksum does not hold".to_owned();
        identity.map(Some).ok_or(Error::Damaged {
            name: FILE.to_owned(),
            offset: 0,
            how,
        })
    }

    /// Writes the identity so that the old or the new one is there, whatever happens.
    pub(crate) fn write(&self, disk: &dyn Disk) -> Result<()> {
        disk.replace(Path::new(FILE), self.to_text().as_bytes())
            .on("write", FILE)
    }

    fn to_text(&self) -> String {
        let members: Vec<_> = self.members.iter().map(hex).collect();
        let mut text = format!(
            "coffer-identity: 1\narchive: {}\ndisk: {}\nset: {}\nepoch: {}\nmembers: {}\n",
            hex(&self.archive),
            hex(&self.disk),
            hex(&self.set),
            self.epoch,
            members.join(" ")
        );
        self.unknown
            .iter()
            .for_each(|line| text += &format!("{line}\n"));
        let checksum = crc32c::crc32c(text.as_bytes());
        text + &format!("checksum: {checksum:08x}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let (before, checksum) = text.strip_suffix('\n')?.rsplit_once("checksum: ")?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(before.as_bytes()) {
            return None;
        }
        let mut lines = before.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
        (value("coffer-identity")? == "1").then_some(())?;
        let (archive, disk, set) = (
            unhex(value("archive")?)?,
            unhex(value("disk")?)?,
            unhex(value("set")?)?,
        );
        let epoch = value("epoch")?.parse().ok()?;
        let members = value("members")?
            .split(' ')
            .map(unhex)
            .collect::<Option<_>>()?;
        Some(Self {
            archive,
            disk,
            set,
            epoch,
            members,
            unknown: lines.map(str::to_owned).collect(),
        })
    }
}

/// Names what keeps a directory without an identity from becoming one of an archive.
pub(crate) fn stranger(disk: &dyn Disk) -> Result<Option<PathBuf>> {
    let known = ["lock", "spool", "keeper.sock", README, "lost+found"];
    let names = disk.list(Path::new("")).on("list", "the directory")?;
    // A crash while the archive was being made may have left these.
    let unfinished = [beside(Path::new(README)), beside(Path::new(FILE))];
    Ok(names.into_iter().find(|name| {
        !known.iter().any(|known| Path::new(known) == name.as_path()) && !unfinished.contains(name)
    }))
}

/// Writes what tells a stranger how to read the disk.
pub(crate) fn write_readme(disk: &dyn Disk) -> Result<()> {
    disk.replace(Path::new(README), include_bytes!("README-disk.txt"))
        .on("write", README)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_come_back_and_damage_is_seen() {
        let mut identity = Identity::new();
        identity.unknown.push("colour: blue".to_owned());
        let text = identity.to_text();
        assert_eq!(Identity::parse(&text), Some(identity));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let read = String::from_utf8(bytes)
                .ok()
                .as_deref()
                .and_then(Identity::parse);
            assert_eq!(read, None, "byte {at}");
        }
    }
}
