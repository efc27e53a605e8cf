//! `coffer export`, and the check of an export alone.

use crate::args::ExportArgs;
use crate::output::Exit;
use std::path::Path;

pub(crate) fn run(_args: ExportArgs) -> Result<(), Exit> {
    Err(Exit::cannot("exports are not built into this version"))
}

pub(crate) fn verify(
    _export: &Path,
    _key: Option<&str>,
    _checkpoint: Option<&str>,
    _as_json: bool,
) -> Result<(), Exit> {
    Err(Exit::cannot("exports are not built into this version"))
}
