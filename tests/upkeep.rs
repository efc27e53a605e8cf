//! What is done to the volumes of an archive: packed anew, and mended from a copy after damage.

use std::fs;
use std::path::Path;
use tests::{Archive, Folder, digest_of, office, read_samples};

const VOLUME: &str = "volumes/00000001.vol";

/// Copies a data directory, as somebody does who sets a copy aside.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => copy_folder(&entry.path(), &target),
            kind if kind.is_file() => fs::copy(entry.path(), target).map(drop).expect("copied"),
            _ => {}
        }
    }
}

/// Damages bytes in the middle of a file.
fn damage(file: &Path) -> Vec<u8> {
    let whole = fs::read(file).expect("a file");
    let mut hurt = whole.clone();
    let filled = whole
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("some bytes");
    hurt[filled / 2..filled / 2 + 40].fill(0x5a);
    fs::write(file, hurt).expect("written");
    whole
}

#[test]
fn a_damaged_archive_is_mended_from_its_copy() {
    let folder = Folder::new("mend");
    let archive = Archive::at(folder.join("data"));
    archive.import(&[&office()]);
    let copy = folder.join("copy");
    copy_folder(archive.path(), &copy);
    let volume = archive.path().join(VOLUME);
    for beside_serve in [false, true] {
        let whole = damage(&volume);
        let serving = beside_serve.then(|| archive.serve(&[]));
        let named = archive.try_run("verify", &[]);
        named.failed(1, &["not hold"]);
        let text = String::from_utf8_lossy(&named.stdout).into_owned();
        assert!(text.contains(VOLUME) && text.contains("number"), "{text}");
        let mended = archive
            .try_run("verify", &[&"--mend", &"--copy", &copy])
            .text();
        assert!(mended.contains(&format!("mended: {VOLUME}")), "{mended}");
        assert!(mended.contains("consistent in itself"), "{mended}");
        let end = whole
            .iter()
            .rposition(|byte| *byte != 0)
            .expect("some bytes");
        let now = fs::read(&volume).expect("a file");
        assert!(now[..=end] == whole[..=end], "to the byte");
        drop(serving);
        archive.verify();
    }
    archive
        .try_run("verify", &[&"--mend"])
        .failed(2, &["no copy in step"]);
    let other = Archive::at(folder.join("other"));
    other.import(&[&office()]);
    archive
        .try_run("verify", &[&"--mend", &"--copy", &other.path()])
        .failed(2, &["another archive"]);
}

#[test]
fn a_recompressed_archive_takes_less_and_gives_the_same() {
    let folder = Folder::new("recompress");
    let archive = Archive::at(folder.join("data"));
    let samples = read_samples("german");
    let paths = folder.join("in");
    fs::create_dir(&paths).expect("made");
    for (i, sample) in samples.iter().enumerate() {
        fs::write(paths.join(format!("{i}.eml")), &sample.bytes).expect("written");
    }
    archive.import(&[&paths]);
    let (hits, key) = (archive.digests(""), archive.key());
    let before = fs::metadata(archive.path().join(VOLUME))
        .expect("there")
        .len();
    let said = archive.run("recompress", &[&"--seal", &"--json"]);
    let said: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
    assert_eq!(said["volumes"], 1, "{said}");
    let after = fs::metadata(archive.path().join(VOLUME))
        .expect("there")
        .len();
    assert!(after < before, "{before} to {after}");
    archive.verify();
    assert_eq!((archive.digests(""), archive.key()), (hits.clone(), key));
    archive.run("rebuild", &[]);
    assert_eq!(archive.digests(""), hits);
    // One keeper for all: a thousand openings would take minutes.
    let _serving = archive.serve(&[]);
    for sample in &samples {
        let digest = digest_of(&sample.bytes);
        assert!(
            archive.show(&digest) == sample.bytes,
            "{}",
            sample.path.display()
        );
    }
}
