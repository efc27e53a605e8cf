//! Kernel modules: those the board names with all they depend on, in an order in which they can be loaded, and the index that says so.
//!
//! Each is packed by itself, since a box loads a few and keeps all in memory, and the kernel would unpack all of them at every start.
//!
//! The index is text, a line each: `module NAME FILE DEP…` in loading order, `alias PATTERN NAME` with the patterns of `MODALIAS` that a module
//! serves, `load NAME` for those loaded at every start. Debian's package has no such index, it is made when the package is installed.
//! Deliberately without soft dependencies: what nothing asks for by symbol stands under `load` in the board's file. Source: modules.dep(5), depmod(8).

use crate::board::Board;
use crate::elf;
use crate::error::ImageError;
use crate::files;
use crate::package_tree::PackageTree;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a module says of itself, and its file, packed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Module {
    depends: Vec<String>,
    aliases: Vec<String>,
    file: Vec<u8>,
}

/// The modules of a board.
#[derive(Debug)]
pub(crate) struct Modules {
    /// In loading order, with their files, packed.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// The index.
    pub(crate) index: String,
    /// Version of the kernel that they are for.
    pub(crate) kernel_version: String,
}

/// Gathers the modules of a board.
pub(crate) fn gather(board: &Board, tree: &PackageTree) -> Result<Modules, ImageError> {
    let folder = kernel_folder(tree)?;
    let available = available(&folder.join("kernel"))?;
    let built_in = built_in(&folder)?;
    let mut wanted = BTreeSet::new();
    let mut load = Vec::new();
    for (name, always) in named(board) {
        match (available.contains_key(&name), built_in.contains(&name)) {
            (true, _) => {
                if always {
                    load.push(name.clone());
                }
                wanted.insert(name);
            }
            (false, true) => {}
            (false, false) => return Err(ImageError::NoModule(name)),
        }
    }
    for part in &board.module_folders {
        wanted.extend(within(&available, &folder.join("kernel").join(part))?);
    }
    let modules = closure(wanted, |name| {
        let path = available
            .get(name)
            .ok_or_else(|| ImageError::NoModule(name.to_owned()))?;
        read_module(path)
    })?;
    let order = loading_order(&modules)?;
    let version = folder.file_name().unwrap_or_default().to_string_lossy();
    Ok(Modules {
        index: index(&modules, &order, &load),
        kernel_version: version.into_owned(),
        files: order
            .iter()
            .map(|name| (file_name(name), modules[name].file.clone()))
            .collect(),
    })
}

/// The modules that the board names, and whether they are loaded at every start.
fn named(board: &Board) -> impl Iterator<Item = (String, bool)> {
    let always = board.load.iter().map(|name| (plain(name), true));
    always.chain(board.modules.iter().map(|name| (plain(name), false)))
}

/// The folder of the only kernel there is.
fn kernel_folder(tree: &PackageTree) -> Result<PathBuf, ImageError> {
    let modules = Path::new("/lib/modules");
    let mut folders = files::list(&tree.find(modules)?)?;
    match (folders.pop(), folders.is_empty()) {
        (Some(folder), true) => Ok(folder),
        _ => Err(ImageError::NoFile(modules.to_owned())),
    }
}

/// All modules of the kernel's package, by name.
fn available(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ImageError> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in files::list(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "ko") {
                modules.insert(module_name(&path), path);
            }
        }
    }
    Ok(modules)
}

/// What is part of the kernel itself: nothing has to be loaded for it.
fn built_in(folder: &Path) -> Result<BTreeSet<String>, ImageError> {
    let list = files::read_text(&folder.join("modules.builtin"))?;
    Ok(list
        .lines()
        .map(|line| module_name(Path::new(line)))
        .collect())
}

fn within(available: &BTreeMap<String, PathBuf>, folder: &Path) -> Result<Vec<String>, ImageError> {
    let names: Vec<String> = available
        .iter()
        .filter(|(_, path)| path.starts_with(folder))
        .map(|(name, _)| name.clone())
        .collect();
    match names.is_empty() {
        true => Err(ImageError::NoModule(folder.display().to_string())),
        false => Ok(names),
    }
}

fn read_module(path: &Path) -> Result<Module, ImageError> {
    let file = files::read(path)?;
    let information = elf::section(path, &file, ".modinfo")?.unwrap_or_default();
    Ok(Module {
        file: files::packed(&file, path)?,
        ..understand(information)
    })
}

/// Reads `.modinfo`: fields as `name=value`, a NUL behind each.
fn understand(information: &[u8]) -> Module {
    let mut module = Module::default();
    for field in String::from_utf8_lossy(information).split('\0') {
        match field.split_once('=') {
            Some(("depends", names)) => {
                let names = names.split(',').filter(|name| !name.is_empty());
                module.depends.extend(names.map(plain));
            }
            // Others are what the kernel itself asks a helper program for, and there is none.
            Some(("alias", pattern)) if pattern.contains(':') => {
                module.aliases.push(pattern.to_owned());
            }
            _ => {}
        }
    }
    module
}

/// The wanted modules and all they depend on.
fn closure(
    wanted: BTreeSet<String>,
    mut read: impl FnMut(&str) -> Result<Module, ImageError>,
) -> Result<BTreeMap<String, Module>, ImageError> {
    let mut modules = BTreeMap::new();
    let mut ahead = wanted;
    while let Some(name) = ahead.pop_first() {
        if modules.contains_key(&name) {
            continue;
        }
        let module = read(&name)?;
        ahead.extend(module.depends.iter().cloned());
        modules.insert(name, module);
    }
    Ok(modules)
}

/// Each module after those it depends on, else by name.
fn loading_order(modules: &BTreeMap<String, Module>) -> Result<Vec<String>, ImageError> {
    let mut order: Vec<String> = Vec::new();
    let mut placed = BTreeSet::new();
    while order.len() < modules.len() {
        let before = order.len();
        for (name, module) in modules {
            if !placed.contains(name) && module.depends.iter().all(|one| placed.contains(one)) {
                placed.insert(name.clone());
                order.push(name.clone());
            }
        }
        if order.len() == before {
            let left = modules.keys().find(|name| !placed.contains(*name));
            return Err(ImageError::ModuleCircle(left.cloned().unwrap_or_default()));
        }
    }
    Ok(order)
}

fn index(modules: &BTreeMap<String, Module>, order: &[String], load: &[String]) -> String {
    let mut text = String::new();
    for name in order {
        let depends = &modules[name].depends;
        let _ = write!(text, "module {name} {}", file_name(name));
        depends.iter().for_each(|one| text.extend([" ", one]));
        text.push('\n');
    }
    for (name, module) in modules {
        for pattern in &module.aliases {
            let _ = writeln!(text, "alias {pattern} {name}");
        }
    }
    for name in load {
        let _ = writeln!(text, "load {name}");
    }
    text
}

fn file_name(name: &str) -> String {
    format!("{name}.ko.zst")
}

fn module_name(path: &Path) -> String {
    plain(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// A module's name as the kernel has it, while its file may be named with hyphens.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(information: &str) -> Module {
        understand(information.replace(' ', "\0").as_bytes())
    }

    fn gathered(wanted: &[&str]) -> Result<BTreeMap<String, Module>, ImageError> {
        closure(
            wanted.iter().map(|name| (*name).to_owned()).collect(),
            |name| match name {
                "ext4" => Ok(module("depends=jbd2,mbcache,crc16 alias=fs-ext4")),
                "igb" => Ok(module(
                    "depends=i2c-algo-bit alias=pci:v00008086d* alias=pci:v00001234d*",
                )),
                "jbd2" | "mbcache" | "crc16" | "i2c_algo_bit" => Ok(module("license=GPL depends=")),
                "hen" => Ok(module("depends=egg")),
                "egg" => Ok(module("depends=hen")),
                other => Err(ImageError::NoModule(other.to_owned())),
            },
        )
    }

    #[test]
    fn the_index_has_each_module_after_those_it_needs() {
        let modules = gathered(&["igb", "ext4"]).expect("works");
        let order = loading_order(&modules).expect("works");
        assert_eq!(
            index(&modules, &order, &["ext4".to_owned()]),
            "module crc16 crc16.ko.zst\n\
             module i2c_algo_bit i2c_algo_bit.ko.zst\n\
             module igb igb.ko.zst i2c_algo_bit\n\
             module jbd2 jbd2.ko.zst\n\
             module mbcache mbcache.ko.zst\n\
             module ext4 ext4.ko.zst jbd2 mbcache crc16\n\
             alias pci:v00008086d* igb\n\
             alias pci:v00001234d* igb\n\
             load ext4\n"
        );
    }

    #[test]
    fn what_is_missing_or_goes_in_a_circle_is_named() {
        assert!(matches!(gathered(&["none"]), Err(ImageError::NoModule(name)) if name == "none"));
        let circle = loading_order(&gathered(&["hen"]).expect("works"));
        assert!(matches!(circle, Err(ImageError::ModuleCircle(name)) if name == "egg"));
    }

    #[test]
    fn names_are_those_of_the_kernel() {
        assert_eq!(
            module_name(Path::new("kernel/drivers/i2c/algos/i2c-algo-bit.ko")),
            "i2c_algo_bit"
        );
    }
}
