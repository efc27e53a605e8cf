//! The image of this computer's kind of board: two builds are the same bytes, the tools of others read what lies on it, and it starts in an emulator.
//!
//! Needs a static binary, which `COFFER_BIN` names in `scripts/test`, Debian's packages, dosfstools, mtools and gdisk, and QEMU.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tests::{Folder, Hardware, alone, board, build_image, missing, run, skip, wait_for};

/// Where the EFI partition lies in an image, in bytes: as `image/disk.rs` says.
const EFI_START: u64 = 1 << 20;
const EFI_BYTES: usize = 304 << 20;

/// One test, since all of it works on the one folder that images are built in.
#[test]
fn an_image_is_reproducible_readable_and_starts() {
    if let Some(why) = missing(&board(), &["fsck.fat", "mcopy", "sgdisk"]) {
        skip(&format!("the image: {why}"));
        return;
    }
    let folder = Folder::new("image");
    let alone = alone(&board());
    let built = build_image(&board());
    let sums = fs::read_to_string(built.join("SHA256SUMS")).expect("digests");
    assert!(sums.lines().count() >= 5, "{sums}");
    let again = fs::read_to_string(build_image(&board()).join("SHA256SUMS")).expect("digests");
    assert_eq!(again, sums);
    others_can_read_it(&built, &sums, &folder);
    drop(alone);
    it_starts_and_ends_by_its_button();
}

fn others_can_read_it(built: &Path, sums: &str, folder: &Folder) {
    let named = |end: &str| {
        let name = sums
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .find(|name| name.ends_with(end));
        built.join(name.expect("a file of the image"))
    };
    let image = named(".img");
    let table = run("sgdisk", &[OsStr::new("--verify"), image.as_os_str()]).text();
    assert!(table.contains("No problems found"), "{table}");
    let partition = efi_partition(&image, folder);
    run("fsck.fat", &[OsStr::new("-n"), partition.as_os_str()]).ok();
    let version = fs::read(named(".efi")).expect("a version");
    for name in ["cf1.efi", "cf0.efi"] {
        let there = file_on(&partition, &format!("EFI/Linux/{name}"));
        assert!(there == version, "{name}");
    }
    let settings = file_on(&partition, "loader/loader.conf");
    assert!(settings.starts_with(b"timeout 0\n"));
    let reset = file_on(&partition, "loader/entries/reset.conf");
    assert!(reset.ends_with(b" coffer.reset\n"));
}

fn it_starts_and_ends_by_its_button() {
    let Some(hardware) = Hardware::new("image-starts", 0) else {
        return;
    };
    let emulated = hardware.start();
    let release = format!("Coffer {} ({})", env!("CARGO_PKG_VERSION"), board());
    emulated.says(&release);
    // What QEMU's own network gives by DHCP.
    emulated.says("https://10.0.2.15");
    let page = wait_for("the page of the box", || {
        let ran = emulated.page().curl("/", &[]);
        (ran.code == Some(0)).then(|| ran.text())
    });
    assert!(page.contains("Coffer"), "{page}");
    emulated.power_off();
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
