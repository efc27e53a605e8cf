//! The sample mail for tests: files out of the packed themes in `../shared/corpus`, where there is such a folder.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Octets of a block of a tar file (POSIX.1-1988 ustar).
const BLOCK_BYTES: usize = 512;

/// Gives every file of a theme with its name, or nothing, and says so, where the samples are absent.
#[allow(clippy::print_stderr)]
pub(crate) fn read(theme: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(packed) = File::open(folder.join(format!("{theme}.tar.zst"))) else {
        eprintln!("skipped: no samples of {theme} in ../shared/corpus");
        return None;
    };
    let mut unpacker = zstd::stream::read::Decoder::new(packed).expect("a zstd decoder");
    unpacker.window_log_max(27).expect("a window of 128 MiB");
    let mut tar = Vec::new();
    unpacker.read_to_end(&mut tar).expect("a sound file");
    let files = files_of(&tar);
    assert!(!files.is_empty(), "no files in {theme}");
    Some(files)
}

/// Reads the plain files of a tar file; long names come cut, which does for telling files apart.
fn files_of(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut offset = 0;
    while let Some(block) = tar
        .get(offset..offset + BLOCK_BYTES)
        .filter(|block| block[0] != 0)
    {
        let text = |from: usize, to: usize| {
            let field = &block[from..to];
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).expect("a size in octal digits");
        let start = offset + BLOCK_BYTES;
        if matches!(block[156], b'0' | 0) {
            files.push((text(0, 100), tar[start..start + size].to_vec()));
        }
        offset = start + size.next_multiple_of(BLOCK_BYTES);
    }
    files
}
