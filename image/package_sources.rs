//! What Debian packages were built from: which sources a package names, and whether a folder has all files of one. Source: deb-control(5), dsc(5).
//!
//! Deliberately fetches nothing (`mirror` does), and leaves signatures to apt.

use crate::error::ImageError;
use crate::files;
use crate::lock::Package;
use crate::mirror::hex;
use crate::program;
use aws_lc_rs::digest::{SHA256, digest};
use std::path::Path;
use std::process::Command;

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PackageSource {
    name: String,
    version: String,
}

impl PackageSource {
    /// Gives the sources of a package: its own, and those that parts of it were taken from, as signed kernels have them.
    ///
    /// # Errors
    /// When `deb` is no package.
    pub(crate) fn of(package: &Package, deb: &Path) -> Result<Vec<Self>, ImageError> {
        let mut asked = Command::new("dpkg-deb");
        asked
            .arg("--field")
            .arg(deb)
            .args(["Source", "Built-Using"]);
        Ok(named(package, &program::run(&mut asked)?))
    }

    /// How apt-get knows it.
    pub(crate) fn request(&self) -> String {
        format!("{}={}", self.name, self.version)
    }

    /// Whether a folder has all of its files, as their list says.
    pub(crate) fn is_in(&self, folder: &Path) -> bool {
        // File names carry no epoch.
        let version = self
            .version
            .split_once(':')
            .map_or(&*self.version, |it| it.1);
        let list = folder.join(format!("{}_{version}.dsc", self.name));
        let is_whole = |(sum, name): (&str, &str)| {
            files::read(&folder.join(name))
                .is_ok_and(|bytes| hex(digest(&SHA256, &bytes).as_ref()) == sum)
        };
        files::read_text(&list).is_ok_and(|list| {
            let mut listed = listed(&list).peekable();
            listed.peek().is_some() && listed.all(is_whole)
        })
    }
}

/// The sources that the fields of a package name; without a name it is that of the package.
fn named(package: &Package, fields: &str) -> Vec<PackageSource> {
    let field = |name: &str| {
        let value = fields.lines().find_map(|line| line.strip_prefix(name));
        value.map_or("", str::trim)
    };
    let source = |text: &str| {
        let (name, version) = text.split_once(" (").unwrap_or((text, &package.version));
        let version = version.trim_start_matches("= ").trim_end_matches(')');
        PackageSource {
            name: name.trim().to_owned(),
            version: version.to_owned(),
        }
    };
    let own = match field("Source:") {
        "" => &package.name,
        own => own,
    };
    let others = field("Built-Using:").split(',').filter(|it| !it.is_empty());
    [own].into_iter().chain(others).map(source).collect()
}

/// Digest and name of each file that a .dsc lists.
fn listed(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.lines()
        .skip_while(|line| *line != "Checksums-Sha256:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.nth(1)?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, expected: &[&str]) {
        let package = Package {
            name: "libssl3".to_owned(),
            version: "3.0.1-1+b2".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: String::new(),
            size_bytes: 0,
            path: String::new(),
        };
        let requests: Vec<_> = named(&package, fields)
            .iter()
            .map(PackageSource::request)
            .collect();
        assert_eq!(requests, expected, "{fields}");
    }

    #[test]
    fn a_package_says_what_it_was_built_from() {
        check("", &["libssl3=3.0.1-1+b2"]);
        check("Source: openssl\n", &["openssl=3.0.1-1+b2"]);
        check("Source: openssl (1:3.0.1-1)\n", &["openssl=1:3.0.1-1"]);
        check(
            "Source: linux-signed-amd64 (6.1.9+1)\nBuilt-Using: linux (= 6.1.9-1), grub2 (= 2.06-3)\n",
            &[
                "linux-signed-amd64=6.1.9+1",
                "linux=6.1.9-1",
                "grub2=2.06-3",
            ],
        );
    }

    #[test]
    fn a_source_is_there_when_all_of_it_is() {
        let folder = tempfile::tempdir().expect("works");
        let source = PackageSource {
            name: "openssl".to_owned(),
            version: "1:3.0.1-1".to_owned(),
        };
        let sum = hex(digest(&SHA256, b"code").as_ref());
        let list = format!("Files:\n 0 4 o.tar\nChecksums-Sha256:\n {sum} 4 o.tar\nVersion: 1\n");
        let check = |file: &str, bytes: &[u8], expected| {
            std::fs::write(folder.path().join(file), bytes).expect("works");
            assert_eq!(source.is_in(folder.path()), expected, "{file}");
        };
        check("o.tar", b"code", false);
        check("openssl_3.0.1-1.dsc", b"Version: 1\n", false);
        check("openssl_3.0.1-1.dsc", list.as_bytes(), true);
        check("o.tar", b"cod", false);
    }
}
