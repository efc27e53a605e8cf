//! Debian packages from a mirror, through an apt of our own: nothing here touches the host's packages, lists or settings.
//!
//! apt-get checks the mirror's signatures and knows the host's proxies; what it brings is checked again by digest and kept under it. Source: apt.conf(5).

use crate::board::Board;
use crate::error::ImageError;
use crate::files;
use crate::lock::{Lock, Package};
use crate::package_sources::PackageSource;
use crate::program;
use crate::say;
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the host names its mirrors: as Debian 12 installs it, and as older systems have it.
const HOST_SOURCES: [&str; 2] = [
    "/etc/apt/sources.list.d/debian.sources",
    "/etc/apt/sources.list",
];

/// A mirror, and the cache of packages before it.
pub(crate) struct Mirror<'a> {
    cache: PathBuf,
    apt_root: PathBuf,
    board: &'a Board,
}

impl<'a> Mirror<'a> {
    /// Prepares the folders; asks no mirror yet.
    pub(crate) fn new(cache: &Path, board: &'a Board) -> Result<Self, ImageError> {
        files::create_folder(cache)?;
        // apt wants whole paths.
        let cache = cache.canonicalize().map_err(files::read_error(cache))?;
        let apt_root = cache.join("apt").join(&board.debian_architecture);
        for folder in [
            "etc/apt/preferences.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg",
        ] {
            files::create_folder(&apt_root.join(folder))?;
        }
        files::write(&apt_root.join("var/lib/dpkg/status"), b"")?;
        Ok(Self {
            cache,
            apt_root,
            board,
        })
    }

    /// Locks the packages of the board in the versions that the mirror has now.
    pub(crate) fn lock_afresh(&self) -> Result<Lock, ImageError> {
        self.fetch_lists()?;
        let kernel = self.newest_kernel()?;
        let mut names: Vec<&str> = self.board.packages.iter().map(String::as_str).collect();
        names.push(&kernel);
        names.sort_unstable();
        let shown = self.show(&names)?;
        let newest = |name: &&str| {
            shown
                .split("\n\n")
                .filter_map(package)
                .find(|package| package.name == **name)
                .ok_or_else(|| ImageError::NoPackage((*name).to_owned()))
        };
        let packages = names.iter().map(newest).collect::<Result<_, _>>()?;
        Ok(Lock { packages })
    }

    /// Gives the file of a package: from the cache, else from the mirror.
    ///
    /// # Errors
    /// `Gone` when the mirror has no such version.
    pub(crate) fn file(&self, package: &Package) -> Result<PathBuf, ImageError> {
        let kept = self.cache.join(format!("{}.deb", package.sha256));
        if !kept.exists() {
            say(&format!("fetching {} {}", package.name, package.version));
            let fetched = match self.download(package) {
                Ok(fetched) => fetched,
                // The lists may be absent or older than the lock file.
                Err(_) => {
                    self.fetch_lists()?;
                    self.download(package)
                        .map_err(|_| ImageError::Gone(named(package)))?
                }
            };
            files::rename(&fetched, &kept)?;
        }
        check(package, &files::read(&kept)?).inspect_err(|_| drop(std::fs::remove_file(&kept)))?;
        Ok(kept)
    }

    /// Keeps the files of packages, and the sources that they were built from, in a folder; what is there already is not fetched again.
    ///
    /// # Errors
    /// `SourcesGone` with all that the mirror does not have; the others are kept then.
    pub(crate) fn keep_with_sources(&self, lock: &Lock, to: &Path) -> Result<(), ImageError> {
        let mut sources = BTreeSet::new();
        for package in &lock.packages {
            let name = package.path.rsplit('/').next().unwrap_or(&package.name);
            let kept = to.join("packages").join(name);
            if !kept.exists() {
                files::write(&kept, &files::read(&self.file(package)?)?)?;
            }
            sources.extend(PackageSource::of(package, &kept)?);
        }
        self.keep_sources(&sources, &to.join("sources"))
    }

    fn keep_sources(&self, sources: &BTreeSet<PackageSource>, to: &Path) -> Result<(), ImageError> {
        files::create_folder(to)?;
        let missing: Vec<_> = sources.iter().filter(|it| !it.is_in(to)).collect();
        if !missing.is_empty() {
            self.fetch_lists()?;
        }
        let mut gone = Vec::new();
        for source in missing {
            say(&format!("keeping the source {}", source.request()));
            let mut apt = self.apt("apt-get");
            apt.current_dir(to);
            apt.args(["-qq", "--download-only", "--only-source", "source"]);
            if program::run(apt.arg(source.request())).is_err() || !source.is_in(to) {
                gone.push(source.request());
            }
        }
        match gone.is_empty() {
            true => Ok(()),
            false => Err(ImageError::SourcesGone(gone.join(", "))),
        }
    }

    fn fetch_lists(&self) -> Result<(), ImageError> {
        let sources = host_sources()?;
        let is_deb822 = sources.extension().is_some_and(|end| end == "sources");
        let (name, text) = match (is_deb822, files::read_text(&sources)?) {
            (true, text) => (
                "debian.sources",
                text.replace("Types: deb\n", "Types: deb deb-src\n"),
            ),
            (false, text) => ("debian.list", with_source_lines(&text)),
        };
        let folder = self.apt_root.join("etc/apt/sources.list.d");
        files::remove_folder(&folder)?;
        files::write(&folder.join(name), text.as_bytes())?;
        program::run(self.apt("apt-get").args(["-qq", "update"])).map(drop)
    }

    fn newest_kernel(&self) -> Result<String, ImageError> {
        let shown = self.show(&[&self.board.kernel])?;
        let needed = field(&shown, "Depends").unwrap_or_default();
        needed
            .split([',', ' '])
            .find(|name| name.starts_with("linux-image-"))
            .map(str::to_owned)
            .ok_or_else(|| ImageError::NoPackage(self.board.kernel.clone()))
    }

    fn show(&self, names: &[&str]) -> Result<String, ImageError> {
        let mut command = self.apt("apt-cache");
        program::run(command.args(["show", "--no-all-versions"]).args(names))
    }

    fn download(&self, package: &Package) -> Result<PathBuf, ImageError> {
        let folder = self.apt_root.join("download");
        files::remove_folder(&folder)?;
        files::create_folder(&folder)?;
        program::run(
            self.apt("apt-get")
                .current_dir(&folder)
                .args(["-qq", "download"])
                .arg(format!("{}={}", package.name, package.version)),
        )?;
        let mut files = files::list(&folder)?;
        files.pop().ok_or_else(|| ImageError::Gone(named(package)))
    }

    /// A program of apt with folders of its own; the host's settings, as for a proxy, are read before these.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let architecture = &self.board.debian_architecture;
        let root = self.apt_root.display();
        for option in [
            format!("Dir={root}"),
            format!("Dir::State::status={root}/var/lib/dpkg/status"),
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            "Dir::Etc::trusted=/etc/apt/trusted.gpg".to_owned(),
            "Dir::Etc::trustedparts=/etc/apt/trusted.gpg.d/".to_owned(),
            // Its own user could not write into our folders.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

fn host_sources() -> Result<PathBuf, ImageError> {
    if let Some(named) = std::env::var_os("COFFER_DEBIAN_SOURCES") {
        return Ok(PathBuf::from(named));
    }
    HOST_SOURCES
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or(ImageError::NoSources)
}

/// Names a mirror's sources beside its packages.
fn with_source_lines(text: &str) -> String {
    let sources = text.lines().filter_map(|line| line.strip_prefix("deb "));
    let sources = sources.map(|line| format!("deb-src {line}\n"));
    format!("{text}\n{}", sources.collect::<String>())
}

fn check(package: &Package, bytes: &[u8]) -> Result<(), ImageError> {
    match hex(digest(&SHA256, bytes).as_ref()) == package.sha256 {
        true => Ok(()),
        false => Err(ImageError::WrongDigest(named(package))),
    }
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

/// Reads what `apt-cache show` says of a package.
fn package(shown: &str) -> Option<Package> {
    Some(Package {
        name: field(shown, "Package")?.to_owned(),
        version: field(shown, "Version")?.to_owned(),
        architecture: field(shown, "Architecture")?.to_owned(),
        sha256: field(shown, "SHA256")?.to_owned(),
        size_bytes: field(shown, "Size")?.parse().ok()?,
        path: field(shown, "Filename")?.to_owned(),
    })
}

fn field<'a>(shown: &'a str, name: &str) -> Option<&'a str> {
    shown
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "Package: libjson-c5\nSource: json-c\nVersion: 0.16-2\nArchitecture: arm64\n\
                         Depends: libc6 (>= 2.33)\nSize: 43552\nSHA256: 00aa\nFilename: pool/main/j/json-c/libjson-c5_0.16-2_arm64.deb\n";

    #[test]
    fn what_apt_shows_is_a_package() {
        let package = package(SHOWN).expect("works");
        assert_eq!(named(&package), "libjson-c5 0.16-2");
        assert_eq!(package.size_bytes, 43552);
        assert!(package.path.starts_with("pool/main/j/"));
        assert_eq!(super::package("Package: virtual\n"), None);
    }

    #[test]
    fn a_mirror_has_sources_beside_its_packages() {
        let list = "# ours\ndeb http://mirror/debian bookworm main\n";
        let expected = format!("{list}\ndeb-src http://mirror/debian bookworm main\n");
        assert_eq!(with_source_lines(list), expected);
    }

    #[test]
    fn another_digest_is_refused() {
        let mut package = package(SHOWN).expect("works");
        package.sha256 =
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        assert!(check(&package, b"abc").is_ok());
        assert!(matches!(
            check(&package, b"abd"),
            Err(ImageError::WrongDigest(_))
        ));
    }
}
