//! Board files: facts about a kind of computer, in `board/NAME.toml`. Deliberately no logic there, and no facts here.

use crate::error::ImageError;
use crate::files;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What there is to know of a board.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Board {
    /// Name of its file, without `.toml`.
    #[serde(skip)]
    pub(crate) name: String,
    /// Architecture as Debian calls it.
    pub(crate) debian_architecture: String,
    /// Architecture as Rust's targets call it.
    pub(crate) architecture: String,
    /// Debian package that depends on the newest kernel.
    pub(crate) kernel: String,
    /// Other Debian packages that something is taken from.
    pub(crate) packages: Vec<String>,
    /// Boot loader in its package.
    pub(crate) boot_loader: PathBuf,
    /// Name under which firmware looks for it.
    pub(crate) boot_file: String,
    /// What a kernel image begins with so that firmware can start it.
    pub(crate) stub: PathBuf,
    /// Command line of the kernel.
    pub(crate) command_line: String,
    /// Programs, at their path on a Debian system; their libraries follow.
    pub(crate) programs: Vec<PathBuf>,
    /// Other files, at their path on a Debian system.
    pub(crate) files: Vec<PathBuf>,
    /// Modules that are loaded at every start.
    pub(crate) load: Vec<String>,
    /// Modules that are loaded when their hardware is there.
    pub(crate) modules: Vec<String>,
    /// Folders of the kernel's modules of which all are taken, as `drivers/ata`.
    pub(crate) module_folders: Vec<PathBuf>,
}

impl Board {
    /// Reads a board's file.
    pub(crate) fn load(name: &str) -> Result<Self, ImageError> {
        let path = Path::new("board").join(format!("{name}.toml"));
        let mut board: Self = parse(&path, &files::read_text(&path)?)?;
        name.clone_into(&mut board.name);
        Ok(board)
    }
}

/// Understands a TOML file.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<T, ImageError> {
    toml::from_str(text).map_err(|source| ImageError::Toml {
        path: path.to_owned(),
        source: Box::new(source),
    })
}
