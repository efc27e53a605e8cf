//! What is needed of ELF files: a section by name, and what a program wants to be loaded with. Source: ELF-64 Object File Format 1.5.

use crate::error::ImageError;
use object::elf::{DT_NEEDED, FileHeader64, Machine};
use object::read::Error;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection};
use std::path::Path;

/// What a program or library wants to be loaded with.
#[derive(Debug, PartialEq)]
pub(crate) struct Needs {
    /// Architecture that it is for.
    pub(crate) machine: Machine,
    /// Path of the loader; none for libraries and static programs.
    pub(crate) loader: Option<String>,
    /// Names of libraries.
    pub(crate) libraries: Vec<String>,
}

/// Gives the bytes of a section.
pub(crate) fn section<'a>(
    path: &Path,
    file: &'a [u8],
    name: &str,
) -> Result<Option<&'a [u8]>, ImageError> {
    let parse = || {
        object::File::parse(file)?
            .section_by_name(name)
            .map(|section| section.data())
            .transpose()
    };
    parse().map_err(error(path))
}

/// Says what a program or library needs.
pub(crate) fn needs(path: &Path, file: &[u8]) -> Result<Needs, ImageError> {
    read_needs(file).map_err(error(path))
}

fn read_needs(file: &[u8]) -> Result<Needs, Error> {
    let header = FileHeader64::<Endianness>::parse(file)?;
    let endian = header.endian()?;
    let mut loader = None;
    for segment in header.program_headers(endian, file)? {
        if let Some(path) = segment.interpreter(endian, file)? {
            loader = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, file)?;
    let mut libraries = Vec::new();
    if let Some((entries, strings)) = sections.dynamic(endian, file)? {
        let strings = sections.strings(endian, file, strings)?;
        for entry in entries {
            if entry.tag(endian) == DT_NEEDED {
                let name = entry.string(endian, strings)?;
                libraries.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Ok(Needs {
        machine: header.e_machine(endian),
        loader,
        libraries,
    })
}

fn error(path: &Path) -> impl FnOnce(Error) -> ImageError {
    let path = path.to_owned();
    |source| ImageError::Object { path, source }
}
