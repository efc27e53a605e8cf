//! What people and boxes are told of a version beside its bytes, `image/release.toml`: written by hand, and committed with each release.

use crate::board;
use crate::commit::Commit;
use crate::error::ImageError;
use crate::files;
use crate::mirror::hex;
use crate::repository::Built;
use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use std::path::Path;
use update::Time;
use update::release::{Notes, Release, TrialTerms, Unpacked, VersionNumber};

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseFacts {
    /// The oldest version that this one may take over from.
    minimum_version: VersionNumber,
    /// When security updates for it end.
    supported_until: Time,
    trial: TrialTerms,
    notes: Notes,
}

impl ReleaseFacts {
    /// Reads the file.
    pub(crate) fn load(path: &Path) -> Result<Self, ImageError> {
        board::parse(path, &files::read_text(path)?)
    }

    /// Puts them beside what was built for a board, in the folder that `image build` wrote.
    pub(crate) fn with(
        &self,
        built: &Path,
        board: &str,
        number: VersionNumber,
    ) -> Result<Built, ImageError> {
        let commit = Commit::current()?;
        let name = format!("coffer-{number}-{board}");
        let version_file = built.join(board).join(format!("{name}.efi"));
        if !version_file.exists() {
            return Err(ImageError::NotBuilt(version_file));
        }
        let version = files::read(&version_file)?;
        let packed = files::read(&built.join(board).join(format!("{name}.efi.zst")))?;
        let release = self.release((number, board), commit.time, &version);
        match release.check() {
            Ok(()) => Ok(Built { release, packed }),
            Err(source) => Err(ImageError::NotARelease {
                path: version_file,
                source,
            }),
        }
    }

    fn release(&self, (number, board): (VersionNumber, &str), at: i64, version: &[u8]) -> Release {
        Release {
            version: number,
            board: board.to_owned(),
            minimum_version: self.minimum_version,
            unpacked: Unpacked {
                length: version.len() as u64,
                sha256: hex(digest(&SHA256, version).as_ref()),
            },
            trial: self.trial,
            notes: self.notes.clone(),
            released_at: Time::from_unix(at),
            supported_until: self.supported_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_this_version_is_a_release() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("release.toml");
        let facts = ReleaseFacts::load(&path).expect("facts");
        let number = crate::VERSION.parse().expect("a version");
        let release = facts.release((number, "x86_64-uefi"), 1_800_000_000, b"a version");
        assert!(release.check().is_ok());
        assert!(release.minimum_version <= release.version);
        assert!(!release.notes.de.is_empty() && !release.notes.en.is_empty());
    }
}
