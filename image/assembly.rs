//! Puts a board's image together, and what belongs beside it, in the order in which one thing needs another.
//!
//! | file | what |
//! |---|---|
//! | `NAME.img`, `NAME.img.zst` | the disk image, with holes, and compressed |
//! | `NAME.efi`, `NAME.efi.zst` | the version itself (a unified kernel image), and what an update brings |
//! | `NAME.cdx.json` | all parts and versions |
//! | `licences/` | the licences of all |
//! | `SHA256SUMS` | digests |
//!
//! NAME is `coffer-VERSION-BOARD`. Nothing in them depends on anything but the commit, the lock file and the binary.

use crate::board::Board;
use crate::commit::Commit;
use crate::disk::{self, LOADER_SETTINGS};
use crate::elf::{self, Needs};
use crate::error::ImageError;
use crate::files::{self, read_error, write_error};
use crate::initramfs;
use crate::licences::Licences;
use crate::lock::Lock;
use crate::mirror::{Mirror, hex};
use crate::modules::{self, Modules};
use crate::package_tree::PackageTree;
use crate::parts_list::parts_list;
use crate::rust_packages;
use crate::say;
use crate::unified_kernel;
use aws_lc_rs::digest::{Context, SHA256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use update::esp::Boot;

/// Level for the whole image, whose parts are compressed already.
const IMAGE_LEVEL: i32 = 9;
/// 128 MiB, as a power of two: more than a slot, so that the second copy of the version takes no room, and `zstd -d` still needs no flag.
const IMAGE_WINDOW_LOG: u32 = 27;

/// Where a box finds its updates.
pub(crate) struct Updates {
    /// Address of the folder with the repository.
    pub(crate) address: String,
    /// The root that it begins with, as it was signed.
    pub(crate) root: Vec<u8>,
    /// The authority whose word it takes for the server, where that is none of those that browsers know.
    pub(crate) authority: Option<Vec<u8>>,
}

/// Builds everything for a board into a folder; what was there for the same version is replaced.
pub(crate) fn assemble(
    board: &Board,
    coffer: &Path,
    cache: &Path,
    out: &Path,
    updates: Option<&Updates>,
    release: bool,
) -> Result<(), ImageError> {
    let commit = Commit::current()?;
    let coffer = binary(coffer, board)?;
    let (lock, tree) = packages(board, cache, release)?;
    let rust_packages = rust_packages::of_binary(board)?;
    let licences = Licences::gather(&lock, &tree, &rust_packages)?;
    let modules = modules::gather(board, &tree)?;
    let mut archive = initramfs::archive(board, &commit, coffer, &modules, &licences, &tree)?;
    if let Some(updates) = updates {
        initramfs::put_updates(&mut archive, updates);
    }
    let version = version(board, &commit, &modules, &archive.bytes(), &tree)?;

    let out = out.join(&board.name);
    files::remove_folder(&out)?;
    files::create_folder(&out)?;
    let name = format!("coffer-{}-{}", crate::VERSION, board.name);
    let file = |end: &str| out.join(format!("{name}.{end}"));
    files::write(&file("efi"), &version)?;
    files::write(
        &file("efi.zst"),
        &files::packed(&version, &file("efi.zst"))?,
    )?;
    let reset_entry = disk::reset_entry(&board.command_line);
    let boot = Boot {
        file_name: &board.boot_file,
        loader: &tree.read(&board.boot_loader)?,
        settings: LOADER_SETTINGS.as_bytes(),
        reset_entry: reset_entry.as_bytes(),
    };
    disk::write(
        &file("img"),
        &format!("{name} {}", commit.id),
        &boot,
        &version,
    )?;
    compress_image(&file("img"), &file("img.zst"))?;
    let list = parts_list(board, &commit, &lock, &rust_packages);
    files::write(&file("cdx.json"), format!("{list:#}\n").as_bytes())?;
    licences.save(&out.join("licences"))?;
    files::write(&out.join("SHA256SUMS"), sums(&out)?.as_bytes())?;
    tell(&out, &file("img"))
}

/// Gives the packages of a board: those of its lock file or, where the mirror has one of them no more and this is no release, its newest.
fn packages(board: &Board, cache: &Path, release: bool) -> Result<(Lock, PackageTree), ImageError> {
    let mirror = Mirror::new(cache, board)?;
    let lock = Lock::load(&Lock::path(&board.name))?;
    let folder = cache.join(format!("unpacked-{}", board.debian_architecture));
    match PackageTree::unpack(&folder, &mirror, &lock) {
        Ok(tree) => Ok((lock, tree)),
        Err(ImageError::Gone(package)) if !release => {
            let path = cache.join(format!("{}.toml", board.name));
            say(&format!(
                "the mirror no longer has {package}; this image is built of what it has now, as in {}",
                path.display()
            ));
            let lock = mirror.lock_afresh()?;
            lock.save(&path)?;
            let tree = PackageTree::unpack(&folder, &mirror, &lock)?;
            Ok((lock, tree))
        }
        Err(error) => Err(error),
    }
}

/// Reads our binary, which must be one for the board that needs nothing else.
fn binary(path: &Path, board: &Board) -> Result<Vec<u8>, ImageError> {
    let bytes = files::read(path)?;
    let machine = match &*board.architecture {
        "x86_64" => object::elf::EM_X86_64,
        "aarch64" => object::elf::EM_AARCH64,
        _ => object::elf::EM_NONE,
    };
    let expected = Needs {
        machine,
        loader: None,
        libraries: Vec::new(),
    };
    match elf::needs(path, &bytes)? == expected {
        true => Ok(bytes),
        false => Err(ImageError::WrongBinary(path.to_owned())),
    }
}

/// Makes the version: kernel, archive and command line behind the stub.
fn version(
    board: &Board,
    commit: &Commit,
    modules: &Modules,
    archive: &[u8],
    tree: &PackageTree,
) -> Result<Vec<u8>, ImageError> {
    let kernel_version = &modules.kernel_version;
    let kernel = tree.read(&PathBuf::from(format!("/boot/vmlinuz-{kernel_version}")))?;
    let initrd = files::packed(archive, Path::new("initrd"))?;
    say(&format!(
        "kernel {}, initramfs {} of {}, {} modules of Linux {kernel_version}",
        mebibytes(kernel.len()),
        mebibytes(initrd.len()),
        mebibytes(archive.len()),
        modules.files.len(),
    ));
    unified_kernel::unify(
        &tree.read(&board.stub)?,
        &[
            (".osrel", os_release(board, commit).as_bytes()),
            (".cmdline", board.command_line.as_bytes()),
            (".uname", kernel_version.as_bytes()),
            (".linux", &kernel),
            (".initrd", &initrd),
        ],
    )
}

/// What the boot loader shows and sorts by.
fn os_release(board: &Board, commit: &Commit) -> String {
    let version = crate::VERSION;
    format!(
        "ID=coffer\nNAME=\"Coffer\"\nPRETTY_NAME=\"Coffer {version}\"\nVERSION_ID={version}\nIMAGE_ID=coffer\nIMAGE_VERSION={version}\n\
         VARIANT_ID={}\nBUILD_ID={}\n",
        board.name, commit.id
    )
}

fn compress_image(from: &Path, to: &Path) -> Result<(), ImageError> {
    let mut image = File::open(from).map_err(read_error(from))?;
    let mut compress = || {
        let mut encoder = zstd::Encoder::new(File::create_new(to)?, IMAGE_LEVEL)?;
        encoder.long_distance_matching(true)?;
        encoder.window_log(IMAGE_WINDOW_LOG)?;
        encoder.include_checksum(true)?;
        io::copy(&mut image, &mut encoder)?;
        encoder.finish()?.flush()
    };
    compress().map_err(write_error(to))
}

/// Digests of the files in a folder, as sha256sum writes and checks them.
fn sums(folder: &Path) -> Result<String, ImageError> {
    let mut text = String::new();
    for path in files::list(folder)? {
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            text.push_str(&format!("{}  {name}\n", sum(&path)?));
        }
    }
    Ok(text)
}

fn sum(path: &Path) -> Result<String, ImageError> {
    let mut file = File::open(path).map_err(read_error(path))?;
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(read_error(path))? {
            0 => return Ok(hex(context.finish().as_ref())),
            length => context.update(&piece[..length]),
        }
    }
}

/// Says what there is now.
fn tell(out: &Path, image: &Path) -> Result<(), ImageError> {
    for path in files::list(out)?.iter().filter(|path| path.is_file()) {
        let size_bytes = path.metadata().map_err(read_error(path))?.len();
        say(&format!(
            "{} {}",
            path.display(),
            mebibytes(size_bytes as usize)
        ));
    }
    let versions = disk::versions(image)?.join(", ");
    say(&format!("versions in the image: {versions}"));
    Ok(())
}

fn mebibytes(size_bytes: usize) -> String {
    format!("{:.1} MiB", size_bytes as f64 / f64::from(1 << 20))
}
