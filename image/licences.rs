//! Licences of all that is shipped: they go into the image, and beside it.

use crate::error::ImageError;
use crate::files;
use crate::lock::{Lock, Package};
use crate::package_tree::PackageTree;
use crate::rust_packages::RustPackage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Texts that Debian's copyright files refer to, in its package base-files.
const COMMON: &str = "/usr/share/common-licenses";
/// Our own, at the top of the work tree.
const OURS: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "NOTICE"];

/// Texts by their path in the folder of licences.
#[derive(Debug, Default)]
pub(crate) struct Licences(BTreeMap<String, Vec<u8>>);

impl Licences {
    /// Gathers what the packages of a board and our binary come under.
    pub(crate) fn gather(
        lock: &Lock,
        tree: &PackageTree,
        rust_packages: &[RustPackage],
    ) -> Result<Self, ImageError> {
        let mut texts = BTreeMap::new();
        for name in OURS {
            texts.insert(format!("coffer/{name}"), files::read(Path::new(name))?);
        }
        for package in &lock.packages {
            texts.insert(
                format!("debian/{}", package.name),
                copyright(package, tree)?,
            );
        }
        for path in files::list(&tree.find(Path::new(COMMON))?)? {
            // Links are other names of the same texts.
            if !path.is_symlink() {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                texts.insert(format!("common-licenses/{name}"), files::read(&path)?);
            }
        }
        texts.insert("rust-packages".to_owned(), of_rust(rust_packages));
        texts.insert("README".to_owned(), readme(lock).into_bytes());
        Ok(Self(texts))
    }

    /// The texts by path.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, text)| (&**name, &**text))
    }

    /// Writes them into a folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), ImageError> {
        self.texts()
            .try_for_each(|(name, text)| files::write(&folder.join(name), text))
    }
}

fn copyright(package: &Package, tree: &PackageTree) -> Result<Vec<u8>, ImageError> {
    tree.read(&PathBuf::from(format!(
        "/usr/share/doc/{}/copyright",
        package.name
    )))
}

/// All texts of Rust packages, each once, under the packages that come under it; of those that bring none, what they name.
fn of_rust(packages: &[RustPackage]) -> Vec<u8> {
    let mut by_text: BTreeMap<&[u8], Vec<String>> = BTreeMap::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        for text in &package.licence_texts {
            by_text.entry(text).or_default().push(name.clone());
        }
        if package.licence_texts.is_empty() {
            let named = package.licence.as_deref().unwrap_or("no licence");
            by_text.entry(named.as_bytes()).or_default().push(name);
        }
    }
    let mut sorted: Vec<_> = by_text.into_iter().collect();
    sorted.sort_by(|(_, one), (_, other)| one.cmp(other));
    let mut all = Vec::new();
    for (text, names) in sorted {
        all.extend(format!("== {}\n\n", names.join(", ")).bytes());
        all.extend(text);
        all.extend(b"\n");
    }
    all
}

fn readme(lock: &Lock) -> String {
    let mut text = "Licences of what Coffer ships.\n\n\
        coffer/           Coffer itself\n\
        rust-packages     packages from crates.io that are part of the program, which also holds\n\
                          Rust's standard library (MIT OR Apache-2.0) and musl (MIT)\n\
        debian/           Debian packages that are in the image, in whole or in part\n\
        common-licenses/  texts that those refer to\n\n\
        The source of each Debian package is in Debian's archive, as of these versions:\n\n"
        .to_owned();
    for package in &lock.packages {
        text.push_str(&format!("{} {}\n", package.name, package.version));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_once_under_all_that_come_under_it() {
        let package = |name: &str, texts: &[&str]| RustPackage {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some("ISC".to_owned()),
            licence_texts: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        };
        let all = of_rust(&[
            package("b", &["MIT"]),
            package("a", &["Apache", "MIT"]),
            package("c", &[]),
        ]);
        assert_eq!(
            String::from_utf8(all).expect("works"),
            "== a 1.0.0\n\nApache\n== b 1.0.0, a 1.0.0\n\nMIT\n== c 1.0.0\n\nISC\n"
        );
    }
}
