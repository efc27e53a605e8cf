//! Kernel modules: which one a device needs, and in which order they are loaded.
//!
//! The image's builder has resolved everything beforehand into `/modules/index`, so there is no modules.dep here:
//!
//! | line | meaning |
//! |---|---|
//! | `module NAME FILE DEP …` | the module in `/modules/FILE`, as zstd, and the names of those it needs |
//! | `alias PATTERN NAME` | a device whose modalias matches the pattern (fnmatch(3)) wants this module |
//! | `load NAME` | loaded at every boot, whatever the hardware |
//!
//! Lines of other kinds are left out: a newer builder may write them.

use crate::pattern;
use std::collections::{HashMap, HashSet};

/// What `/modules/index` says.
#[derive(Debug, Default)]
pub(crate) struct Index {
    modules: HashMap<String, Module>,
    aliases: Vec<(String, String)>,
    always: Vec<String>,
}

/// One module.
#[derive(Debug, Default, PartialEq, Eq)]
struct Module {
    file: String,
    needs: Vec<String>,
}

impl Index {
    /// Reads the index; lines that it does not understand are left out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut index = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["module", name, file, needs @ ..] => {
                    let module = Module {
                        file: (*file).to_owned(),
                        needs: needs.iter().map(|name| plain(name)).collect(),
                    };
                    index.modules.insert(plain(name), module);
                }
                ["alias", pattern, name] => {
                    index.aliases.push(((*pattern).to_owned(), plain(name)));
                }
                ["load", name] => index.always.push(plain(name)),
                _ => {}
            }
        }
        index
    }

    /// The modules that are loaded at every boot.
    pub(crate) fn always(&self) -> &[String] {
        &self.always
    }

    /// The modules that a device wants, by its modalias.
    pub(crate) fn wanted<'i>(&'i self, modalias: &'i str) -> impl Iterator<Item = &'i str> {
        let matching = move |(pattern, _): &&(String, String)| pattern::matches(pattern, modalias);
        self.aliases
            .iter()
            .filter(matching)
            .map(|(_, name)| name.as_str())
    }

    /// Files of a module and of all that it needs, those first that others need; none for a module that the image does not have.
    pub(crate) fn files(&self, name: &str) -> Vec<&str> {
        let mut files = Vec::new();
        self.add(&plain(name), &mut HashSet::new(), &mut files);
        files
    }

    fn add<'i>(&'i self, name: &str, seen: &mut HashSet<String>, files: &mut Vec<&'i str>) {
        // A circle cannot be loaded by anybody; it is broken up where it closes.
        if !seen.insert(name.to_owned()) {
            return;
        }
        if let Some(module) = self.modules.get(name) {
            for needed in &module.needs {
                self.add(needed, seen, files);
            }
            files.push(&module.file);
        }
    }
}

/// The kernel takes `-` and `_` in a module's name for the same.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "module mbcache mbcache.ko.zst\nmodule jbd2 jbd2.ko.zst\nmodule ext4 ext4.ko.zst mbcache jbd2\n\
         module virtio virtio.ko.zst\nmodule virtio_ring virtio_ring.ko.zst virtio\n\
         module virtio-blk virtio_blk.ko.zst virtio virtio_ring\nmodule a a.ko.zst b\nmodule b b.ko.zst a\n\
         alias virtio:d00000002v* virtio_blk\nalias pci:v00001AF4d*sv*sd*bc*sc*i* virtio-blk\n\
         load ext4\nnovelty of a later builder\nalias broken\n";

    #[test]
    fn what_others_need_comes_first() {
        let index = Index::parse(INDEX);
        let check = |name: &str, files: &[&str]| assert_eq!(index.files(name), files, "{name}");
        check("ext4", &["mbcache.ko.zst", "jbd2.ko.zst", "ext4.ko.zst"]);
        check(
            "virtio_blk",
            &["virtio.ko.zst", "virtio_ring.ko.zst", "virtio_blk.ko.zst"],
        );
        check(
            "virtio-blk",
            &["virtio.ko.zst", "virtio_ring.ko.zst", "virtio_blk.ko.zst"],
        );
        check("a", &["b.ko.zst", "a.ko.zst"]);
        check("absent", &[]);
        assert_eq!(index.always(), ["ext4"]);
    }

    #[test]
    fn devices_find_their_modules() {
        let index = Index::parse(INDEX);
        let check = |modalias: &str, names: &[&str]| {
            assert_eq!(index.wanted(modalias).collect::<Vec<_>>(), names);
        };
        check("virtio:d00000002v00001AF4", &["virtio_blk"]);
        check(
            "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
            &["virtio_blk"],
        );
        check("usb:v1234", &[]);
        check("", &[]);
    }
}
