//! Catalog and index are copied to the follower while no mail comes, so that it takes over at once: they are derived, and a copy that is
//! behind catches up by its watermark like after a crash.
//!
//! Nothing half copied can be believed (FORMAT.md, "catalog and index"), and nobody has looked at what was copied: it is marked like a
//! catalog and an index in use, so that whoever takes over checks it first. Files come beside and take their names when they are whole,
//! and the index's `meta.json`, which alone says what counts, comes last. The catalog is copied between two of its commits, or not at
//! all, and as a whole only the first time (`changes`). What is copied holds only what both disks have. It is given up as soon as somebody needs the machine.

use crate::catalog;
use crate::changes;
use crate::disk::{Disk, DiskFile, Open, beside};
use crate::engine::Shared;
use crate::error::{DiskContext, Result};
use crate::index::{self, Index};
use crate::patient::Patient;
use crate::shipping::{Passed, Passing};
use crate::volume_check::Step;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The file of the index whose replacement is a commit, and the list of the files that tantivy may remove.
const META: &str = "meta.json";
const MANAGED: &str = ".managed.json";

/// Copies catalog and index to the follower; false when there is none, or it was given up.
///
/// `step` hears how many bytes of a file were copied and may break it off.
pub(crate) fn copy(shared: &Shared, index: &Index, step: Step) -> Result<bool> {
    let (Some(follower), Some(passing)) = (
        shared.copies.patient_copy_in_step()?,
        shared.copies.passing(),
    ) else {
        return Ok(false);
    };
    let copying = Copying {
        disk: &*shared.disk,
        follower,
        passing,
    };
    Ok(copying.catalog(shared, step)? && copying.index(index, step)?)
}

struct Copying<'a> {
    disk: &'a dyn Disk,
    /// For looking at what is there.
    follower: Patient,
    /// For writing.
    passing: Passing<'a>,
}

impl Copying<'_> {
    /// Copies the catalog as it stands, unless it moves meanwhile; of one that the follower has, only what changed.
    fn catalog(&self, shared: &Shared, step: Step) -> Result<bool> {
        let name = PathBuf::from(catalog::file_name());
        if !self.mark(&catalog::in_use())? {
            return Ok(false);
        }
        // A copy may have been given up after the list was written.
        if !self.take_changes_over(&name, step)? {
            return Ok(false);
        }
        let commits = shared.catalog.make_durable()?;
        let mut still = |at| shared.catalog.commits() == commits && step(at);
        let file = self.disk.open(&name, Open::Read);
        let file = file.on("open", name.display())?;
        let copy = match self.follower.open(&name, Open::Read) {
            Ok(copy) if copy.len().on("read", name.display())? <= length_of(&name, &*file)? => copy,
            // There is none, or it would have to be cut.
            Ok(_) => return self.whole_catalog(&name, &*file, &mut still),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.whole_catalog(&name, &*file, &mut still);
            }
            Err(error) => return Err(error).on("open", name.display()),
        };
        match changes::find(&name, &*file, &*copy, &mut still)? {
            Some(ranges) if ranges.is_empty() => Ok(still(0)),
            Some(ranges) => self.changes(&name, &*file, &ranges, &mut still),
            None => Ok(false),
        }
    }

    fn whole_catalog(&self, name: &Path, file: &dyn DiskFile, still: Step) -> Result<bool> {
        let is_there = self.beside(name, file, still)? && still(0);
        Ok(is_there && self.passing.take_name(name)?)
    }

    /// Writes what changed beside, and once it is all there, into the catalog.
    fn changes(
        &self,
        name: &Path,
        file: &dyn DiskFile,
        ranges: &[Range<u64>],
        still: Step,
    ) -> Result<bool> {
        let read = &mut |offset, bytes: &mut [u8]| {
            file.read_exact_at(offset, bytes).on("read", name.display())
        };
        let passed = self.passing.parts_beside(name, ranges, still, read)?;
        if passed != Passed::Whole || !still(0) {
            return Ok(false);
        }
        let list = changes::list_name();
        Ok(self.passing.replace(&list, changes::encode(ranges))?
            && self.take_changes_over(name, still)?)
    }

    /// Writes the ranges that are listed on the follower into its catalog.
    fn take_changes_over(&self, name: &Path, step: Step) -> Result<bool> {
        let ranges = changes::listed(&self.follower)?;
        if ranges.is_empty() {
            return Ok(true);
        }
        let beside = beside(name);
        let file = self.follower.open(&beside, Open::Read);
        let file = file.on("open", beside.display())?;
        let read = &mut |offset, bytes: &mut [u8]| {
            file.read_exact_at(offset, bytes)
                .on("read", beside.display())
        };
        let passed = self.passing.parts(name, &ranges, step, read)?;
        // An empty list, since nothing may be written beside before the old one is gone for good.
        Ok(passed == Passed::Whole
            && self.passing.replace(&changes::list_name(), Vec::new())?
            && self.passing.remove(&beside)?)
    }

    /// Copies the files of the last commit that are not there yet, then says that they count.
    fn index(&self, index: &Index, step: Step) -> Result<bool> {
        let folder = PathBuf::from(index::folder_name());
        let (meta, managed) = (folder.join(META), folder.join(MANAGED));
        let mark = folder.join(index::IN_USE);
        let read = |name: &Path| self.disk.read(name).on("read", name.display());
        let commit = read(&meta)?;
        let counting = index.counting_files()?;
        let managing = read(&managed)?;
        if read(&meta)? != commit || !self.passing.create_dir(&folder)? || !self.mark(&mark)? {
            return Ok(false);
        }
        let there = self.follower.list(&folder).on("list", folder.display())?;
        let there: BTreeSet<PathBuf> = there.into_iter().collect();
        let own = self.disk.list(&folder).on("list", folder.display())?;
        let counting = counting.iter().map(|file| folder.join(file));
        let counting: BTreeSet<PathBuf> = counting.filter(|name| own.contains(name)).collect();
        for name in counting.difference(&there) {
            match self.disk.open(name, Open::Read) {
                Ok(file) if self.beside(name, &*file, step)? && self.passing.take_name(name)? => {}
                // A merge took it away, or somebody needs the machine.
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error).on("open", name.display()),
            }
        }
        let counts =
            self.passing.replace(&managed, managing)? && self.passing.replace(&meta, commit)?;
        Ok(counts && self.remove_others(&there, &counting, &[meta, managed, mark])?)
    }

    /// Removes what does not count any more, or was left half copied.
    fn remove_others(
        &self,
        there: &BTreeSet<PathBuf>,
        counting: &BTreeSet<PathBuf>,
        lists: &[PathBuf],
    ) -> Result<bool> {
        for name in there.difference(counting) {
            if !lists.contains(name) && !self.passing.remove(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets whoever opens the follower's catalog or index look at all of it first.
    fn mark(&self, name: &Path) -> Result<bool> {
        let is_there = self.follower.exists(name).on("look for", name.display())?;
        Ok(is_there || self.passing.replace(name, Vec::new())?)
    }

    /// Copies a file beside the name that it will have.
    fn beside(&self, name: &Path, file: &dyn DiskFile, step: Step) -> Result<bool> {
        let length = length_of(name, file)?;
        let read = &mut |offset, bytes: &mut [u8]| {
            file.read_exact_at(offset, bytes).on("read", name.display())
        };
        Ok(self.passing.beside(name, length, step, read)? == Passed::Whole)
    }
}

fn length_of(name: &Path, file: &dyn DiskFile) -> Result<u64> {
    file.len().on("read", name.display())
}
