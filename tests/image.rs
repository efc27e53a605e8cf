//! The image of this computer's kind of board: two builds are the same bytes, and the tools of others read what lies on it.
//!
//! Needs a static binary, which `COFFER_BIN` names in `scripts/test`, Debian's packages, and dosfstools, mtools and gdisk.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tests::{Folder, run, skip};

/// Where the EFI partition lies in an image, in bytes: as `image/disk.rs` says.
const EFI_START: u64 = 1 << 20;
const EFI_BYTES: usize = 304 << 20;

/// The board that this computer is of.
fn board() -> String {
    format!("{}-uefi", std::env::consts::ARCH)
}

/// The top of the work tree.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(1)
        .expect("a folder above this one")
        .to_owned()
}

/// Builds the image, and gives the folder that it lies in.
fn build(target: &Path) -> PathBuf {
    let target_dir = format!("CARGO_TARGET_DIR={}", target.display());
    let script = top().join("scripts/image");
    run(
        "env",
        &[
            OsStr::new(&target_dir),
            script.as_os_str(),
            OsStr::new(&board()),
        ],
    )
    .ok();
    target.join("image").join(board())
}

/// Says why nothing can be tested here, if so.
fn missing() -> Option<String> {
    if std::env::var_os("COFFER_BIN").is_none() {
        return Some("COFFER_BIN names no static binary".to_owned());
    }
    ["apt-get", "dpkg-deb", "fsck.fat", "mcopy", "sgdisk"]
        .into_iter()
        .find(|program| run("which", &[program]).code != Some(0))
        .map(|program| format!("{program} is missing"))
}

#[test]
fn two_builds_are_the_same_and_others_can_read_them() {
    if let Some(why) = missing() {
        skip(&format!("the image: {why}"));
        return;
    }
    let target = top().join("target");
    let built = build(&target);
    let sums = fs::read_to_string(built.join("SHA256SUMS")).expect("digests");
    assert!(sums.lines().count() >= 5, "{sums}");
    let again = fs::read_to_string(build(&target).join("SHA256SUMS")).expect("digests");
    assert_eq!(again, sums);

    let folder = Folder::new("image");
    let named = |end: &str| {
        let name = sums
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .find(|name| name.ends_with(end));
        built.join(name.expect("a file of the image"))
    };
    let table = run(
        "sgdisk",
        &[OsStr::new("--verify"), named(".img").as_os_str()],
    )
    .text();
    assert!(table.contains("No problems found"), "{table}");
    let partition = efi_partition(&named(".img"), &folder);
    run("fsck.fat", &[OsStr::new("-n"), partition.as_os_str()]).ok();
    let version = fs::read(named(".efi")).expect("a version");
    for name in ["cf1.efi", "cf0.efi"] {
        assert!(
            file_on(&partition, &format!("EFI/Linux/{name}")) == version,
            "{name}"
        );
    }
    let settings = file_on(&partition, "loader/loader.conf");
    assert!(settings.starts_with(b"timeout 0\n"));
}

/// Copies the EFI partition out of an image.
fn efi_partition(image: &Path, folder: &Folder) -> PathBuf {
    let mut bytes = vec![0; EFI_BYTES];
    File::open(image)
        .and_then(|file| file.read_exact_at(&mut bytes, EFI_START))
        .expect("an image with an EFI partition");
    folder.write("efi", bytes)
}

/// Reads a file of a FAT file system, as mtools does.
fn file_on(partition: &Path, path: &str) -> Vec<u8> {
    let path = format!("::{path}");
    run(
        "mcopy",
        &[
            OsStr::new("-i"),
            partition.as_os_str(),
            OsStr::new(&path),
            OsStr::new("-"),
        ],
    )
    .ok()
}
