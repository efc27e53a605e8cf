//! A newer version and the one before it, in turn on the same archive: on trial the newer one leaves what the other needs, and either goes on with
//! all that has come meanwhile.
//!
//! One build plays both. Each finds its own catalog and index under the names of its schema, and those of the other one under others.

use crate::disk::Disk;
use crate::faulty_disk::SimDisk;
use crate::recompress_tests::{Kept, VOLUME_BYTES_MAX, all_there, filled, recompressed};
use crate::store_tests::{find, message, open_with, options, put, smtp, verify};
use crate::{Store, WhenUpkeep};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Schemas that the other version may have.
const OLDER: &str = "3";
const NEWER: &str = "99";

static IS_ON_TRIAL: AtomicBool = AtomicBool::new(true);

fn is_on_trial() -> bool {
    IS_ON_TRIAL.load(Ordering::SeqCst)
}

fn open_newer(disk: &SimDisk) -> Store {
    let mut options = options(VOLUME_BYTES_MAX);
    options.upkeep = WhenUpkeep::AfterTrial(is_on_trial);
    Store::open(Arc::new(disk.clone()), options, &mut |_| {}).expect("opens")
}

/// Names of the catalog and the index of a version with this schema.
fn names(schema: &str) -> [PathBuf; 2] {
    [
        format!("catalog-{schema}.redb"),
        format!("index-{schema}-7"),
    ]
    .map(PathBuf::from)
}

fn own_names() -> [PathBuf; 2] {
    [crate::catalog::file_name(), crate::index::folder_name()].map(PathBuf::from)
}

fn rename(disk: &SimDisk, [catalog, index]: &[PathBuf; 2], to: &[PathBuf; 2]) {
    disk.rename(catalog, &to[0]).expect("renamed");
    disk.create_dir(&to[1]).expect("made");
    for file in disk.list(index).expect("listed") {
        let moved = to[1].join(file.file_name().expect("a file"));
        disk.rename(&file, &moved).expect("renamed");
    }
    disk.remove_dir_all(index).expect("removed");
}

/// All bytes of a catalog and an index.
fn content(disk: &SimDisk, [catalog, index]: &[PathBuf; 2]) -> Vec<(PathBuf, Vec<u8>)> {
    let files = disk.list(index).expect("listed");
    let read = |file: &PathBuf| (file.clone(), disk.read(file).expect("read"));
    files.iter().chain([catalog]).map(read).collect()
}

/// Everything is there and found, and more can be put to it.
fn goes_on(store: &Store, kept: &mut Kept) {
    all_there(store, kept);
    assert_eq!(verify(store).findings, []);
    let number = kept.len() as u32 + 100;
    let mail = message(number, &format!("{number} gemeinsam nachher{number}"));
    kept.push((put(store, &mail, smtp(&["x@y.example"])), mail));
    store.checkpoint().expect("signed");
    store.flush().expect("flushed");
    for (receipt, mail) in kept.iter().skip_while(|(_, mail)| !has_later_word(mail)) {
        let text = String::from_utf8_lossy(mail);
        let word = text.split_whitespace().last().expect("a word");
        assert_eq!(find(store, word), [receipt.number]);
    }
}

fn has_later_word(mail: &[u8]) -> bool {
    String::from_utf8_lossy(mail).contains("nachher")
}

#[test]
fn a_newer_version_may_be_left_and_come_again() {
    let disk = SimDisk::new();
    let (store, mut kept) = filled(&disk);
    drop(store);

    rename(&disk, &own_names(), &names(OLDER));
    let left = content(&disk, &names(OLDER));
    let newer = open_newer(&disk);
    goes_on(&newer, &mut kept);
    drop(newer);
    assert!(content(&disk, &names(OLDER)) == left);
    assert!(!recompressed(&disk).contains(&true));

    rename(&disk, &own_names(), &names(NEWER));
    rename(&disk, &names(OLDER), &own_names());
    let older = open_with(&disk, VOLUME_BYTES_MAX);
    goes_on(&older, &mut kept);
    drop(older);
    assert!(!disk.exists(Path::new(&names(NEWER)[0])).expect("listed"));

    rename(&disk, &own_names(), &names(OLDER));
    let newer = open_newer(&disk);
    goes_on(&newer, &mut kept);
    IS_ON_TRIAL.store(false, Ordering::SeqCst);
    newer.wait_for_swaps(2);
    for name in names(OLDER) {
        assert!(!disk.exists(&name).expect("listed"), "{}", name.display());
    }
    goes_on(&newer, &mut kept);
}
