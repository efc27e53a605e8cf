//! The mail that the tests send and import: the real mail under `../shared/corpus` where there is such a folder, and the office's few
//! messages beside the tests.

use crate::folder::target_folder;
use crate::skip;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// 128 MiB of window, as the themes are packed with.
const WINDOW_LOG: u32 = 27;

/// One message in a file of its own.
pub struct Sample {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Tells whether the large themes are taken as a whole: `COFFER_TEST_LONG=1`.
pub fn is_long() -> bool {
    std::env::var_os("COFFER_TEST_LONG").is_some_and(|value| value == "1")
}

/// Gives the folder with the office's messages, which is always there.
pub fn office() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/office")
}

/// Gives the folder with the files of a theme of the corpus; nothing, and a word about it, where there is none.
pub fn theme(name: &str) -> Option<PathBuf> {
    let packed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../shared/corpus/{name}.tar.zst"));
    if !packed.exists() {
        skip(&format!("no {name} in ../shared/corpus"));
        return None;
    }
    let corpus = target_folder().join("corpus");
    fs::create_dir_all(&corpus).expect("a folder for the corpus");
    // Several tests may want it at once; whoever comes first unpacks it.
    let lock = File::create(corpus.join(format!("{name}.lock"))).expect("a lock file");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .expect("the lock");
    let done = corpus.join(format!("{name}.unpacked"));
    if !done.exists() {
        unpack(&packed, &corpus);
        File::create(done).expect("a mark");
    }
    Some(corpus.join(name))
}

fn unpack(packed: &Path, into: &Path) {
    let mut unpacker =
        zstd::stream::read::Decoder::new(File::open(packed).expect("a packed theme"))
            .expect("a zstd decoder");
    unpacker
        .window_log_max(WINDOW_LOG)
        .expect("a window of 128 MiB");
    let mut tar = Command::new("tar")
        .arg("-x")
        .current_dir(into)
        .stdin(Stdio::piped())
        .spawn()
        .expect("tar runs");
    io::copy(
        &mut unpacker,
        &mut tar.stdin.take().expect("standard input is a pipe"),
    )
    .expect("a sound theme");
    assert!(
        tar.wait().expect("tar ends").success(),
        "tar cannot unpack {}",
        packed.display()
    );
}

/// Gives the files under a folder, or a file alone, by name.
pub fn files_under(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut names: Vec<PathBuf> = fs::read_dir(path)
        .expect("a folder")
        .map(|item| item.expect("a name").path())
        .collect();
    names.sort();
    names.iter().flat_map(|name| files_under(name)).collect()
}

/// Reads the messages of a theme that lie in files of their own, or those of the office where there is no corpus; none is a journal
/// report, of which the archive keeps the original.
pub fn read_samples(theme_name: &str) -> Vec<Sample> {
    let folder = theme(theme_name).unwrap_or_else(office);
    let is_eml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "eml");
    let read = |path: PathBuf| Sample {
        bytes: fs::read(&path).expect("a sample"),
        path,
    };
    files_under(&folder)
        .into_iter()
        .filter(is_eml)
        .filter(|path| !path.ends_with("journal-report.eml"))
        .map(read)
        .collect()
}

/// Gives a message as it travels: every line ends with CR and LF, the last one, too.
pub fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = message.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let ends = lines
        .into_iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // A CR elsewhere in a line would look like half a line end to other programs.
    ends.flat_map(|line| {
        line.iter()
            .copied()
            .filter(|byte| *byte != b'\r')
            .chain(*b"\r\n")
    })
    .collect()
}
