//! A repository in one file, as on a stick or uploaded: a tar (POSIX ustar) of `metadata/` and `targets/`, with the names that a web server would give them.
//!
//! | offset in a header of 512 bytes | bytes | what |
//! |---|---|---|
//! | 0 | 100 | end of the name |
//! | 124 | 12 | length of the file in octal digits |
//! | 148 | 8 | checksum: the sum of all bytes of the header, these being blanks, in octal digits |
//! | 156 | 1 | `0` or zero for a file |
//! | 257 | 6 | `ustar` and a zero |
//! | 345 | 155 | beginning of the name, to be joined by `/` |
//!
//! The file follows, filled up to 512 bytes; a header of zeros ends it all. Nothing is unpacked: what somebody asks for is read where it lies, so that no
//! name can lead out of anywhere. What is no file is passed over. Source: POSIX.1-2017, pax, "ustar Interchange Format".

use crate::error::FetchError;
use crate::name::address_path;
use crate::repository::Repository;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// 256 MiB: some versions for each of some boards. A longer file is not looked at.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// 4,096 files: years of roots. A file with more is refused.
const ENTRIES_MAX: usize = 4_096;

const CUT_OFF: &str = "an update that is not whole";

const BLOCK_BYTES: u64 = 512;
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
const LENGTH_AT: usize = 124;
const SUM_AT: usize = 148;
const KIND_AT: usize = 156;
const MAGIC_AT: usize = 257;
const MAGIC: &[u8] = b"ustar\x0000";
const PREFIX_AT: usize = 345;

/// A file with a repository in it.
#[derive(Debug)]
pub struct FileRepository {
    file: Arc<File>,
    /// Where each lies, and its length.
    entries: HashMap<String, (u64, u64)>,
}

impl FileRepository {
    /// Finds out what is in the file.
    ///
    /// # Errors
    /// When it cannot be read, is no tar, was cut off, or holds too much.
    pub fn open(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        if length > FILE_BYTES_MAX {
            return Err(refused("longer than an update may be"));
        }
        let mut entries = HashMap::new();
        let mut at = 0;
        while let Some(header) = read_header(&file, at)? {
            let begin = at + BLOCK_BYTES;
            let end = begin + header.length;
            if end > length {
                return Err(refused(CUT_OFF));
            }
            if entries.len() >= ENTRIES_MAX {
                return Err(refused("more files than an update has"));
            }
            if header.is_file {
                entries.insert(header.name, (begin, header.length));
            }
            at = end.next_multiple_of(BLOCK_BYTES);
        }
        Ok(Self {
            file: Arc::new(file),
            entries,
        })
    }

    fn find(&self, name: &str, behind: u64) -> Option<Box<dyn Read>> {
        let (begin, length) = *self.entries.get(name)?;
        let behind = behind.min(length);
        Some(Box::new(Piece {
            file: self.file.clone(),
            at: begin + behind,
            left: length - behind,
        }))
    }
}

impl Repository for FileRepository {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        Ok(self.find(&format!("metadata/{name}"), 0))
    }

    fn target(&self, path: &str, _: u64, behind: u64) -> Result<Option<Box<dyn Read>>, FetchError> {
        Ok(self.find(&format!("targets/{}", address_path(path)), behind))
    }
}

/// Writes a file into a tar; once `length` bytes were taken of `from`, the next may follow.
///
/// # Errors
/// When the name does not fit, `from` is shorter, or the tar cannot be written.
pub fn write_entry(
    to: &mut impl Write,
    name: &str,
    length: u64,
    from: &mut impl Read,
) -> io::Result<()> {
    to.write_all(&header(name, length).ok_or_else(|| refused("a name that does not fit"))?)?;
    if io::copy(&mut from.take(length), to)? != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let fill = length.next_multiple_of(BLOCK_BYTES) - length;
    io::copy(&mut io::repeat(0).take(fill), to).map(drop)
}

/// Ends a tar.
///
/// # Errors
/// When it cannot be written.
pub fn write_end(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&[0; 2 * BLOCK_BYTES as usize])
}

/// What a header says.
struct Header {
    name: String,
    length: u64,
    is_file: bool,
}

/// Reads a header; nothing at the end.
fn read_header(file: &File, at: u64) -> io::Result<Option<Header>> {
    let mut block = [0; BLOCK_BYTES as usize];
    file.read_exact_at(&mut block, at)
        .map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => refused(CUT_OFF),
            _ => error,
        })?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let text = |at: usize, length: usize| {
        let bytes = block[at..at + length].split(|byte| *byte == 0).next();
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    };
    let number = |at, length| u64::from_str_radix(text(at, length).trim(), 8).ok();
    let (length, sum) = (number(LENGTH_AT, 12), number(SUM_AT, 8));
    let (Some(length), true) = (length, sum == Some(sum_of(&block))) else {
        return Err(refused("not an update, or damaged"));
    };
    let prefix = text(PREFIX_AT, PREFIX_BYTES);
    let name = match prefix.as_str() {
        "" => text(0, NAME_BYTES),
        prefix => format!("{prefix}/{}", text(0, NAME_BYTES)),
    };
    Ok(Some(Header {
        name: name.trim_start_matches("./").to_owned(),
        length,
        is_file: matches!(block[KIND_AT], b'0' | 0),
    }))
}

fn header(name: &str, length: u64) -> Option<[u8; BLOCK_BYTES as usize]> {
    let fits = |(prefix, name): &(&str, &str)| {
        prefix.len() <= PREFIX_BYTES && (1..=NAME_BYTES).contains(&name.len())
    };
    let splits = name.match_indices('/');
    let splits = splits.map(|(at, _)| (&name[..at], &name[at + 1..]));
    let (prefix, name) = [("", name)].into_iter().chain(splits).find(fits)?;
    let mut block = [0; BLOCK_BYTES as usize];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(NAME_BYTES, b"0000644\x000000000\x000000000\0");
    put(
        LENGTH_AT,
        format!("{length:011o}\x0000000000000\0").as_bytes(),
    );
    put(KIND_AT, b"0");
    put(MAGIC_AT, MAGIC);
    put(PREFIX_AT, prefix.as_bytes());
    let sum = format!("{:06o}\0 ", sum_of(&block));
    block[SUM_AT..SUM_AT + 8].copy_from_slice(sum.as_bytes());
    Some(block)
}

fn sum_of(block: &[u8; BLOCK_BYTES as usize]) -> u64 {
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[SUM_AT..SUM_AT + 8]
        .iter()
        .map(|byte| u64::from(*byte))
        .sum();
    sum - own + 8 * u64::from(b' ')
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// A file within the file.
struct Piece {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Piece {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = bytes
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut bytes[..room], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file with these files in it.
    pub(crate) fn packed(files: &[(&str, &[u8])]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        for (name, bytes) in files {
            write_entry(&mut file, name, bytes.len() as u64, &mut &**bytes).expect("room");
        }
        write_end(&mut file).expect("room");
        file
    }

    fn read(file: Result<Option<Box<dyn Read>>, FetchError>) -> Option<String> {
        let mut text = String::new();
        let mut file = file.expect("a file that can be read")?;
        file.read_to_string(&mut text).expect("UTF-8");
        Some(text)
    }

    #[test]
    fn files_are_found_by_the_names_of_a_web_server() {
        let digest = "5".repeat(64);
        let long = format!("targets/x86_64-uefi/{digest}.coffer-10.20.30.efi.zst");
        let whole = "x".repeat(512);
        let repository = FileRepository::open(packed(&[
            ("metadata/timestamp.json", b"time"),
            ("metadata/1.root.json", whole.as_bytes()),
            ("metadata/none.json", b""),
            (&long, b"kernel"),
            ("targets/cf%201.efi", b"blank"),
        ]));
        let repository = repository.expect("a tar");
        for (name, expected) in [
            ("timestamp.json", Some("time")),
            ("1.root.json", Some(whole.as_str())),
            ("none.json", Some("")),
            ("2.root.json", None),
            ("../metadata/timestamp.json", None),
        ] {
            assert_eq!(
                read(repository.metadata(name)).as_deref(),
                expected,
                "{name}"
            );
        }
        let path = long.trim_start_matches("targets/");
        for (path, behind, expected) in [
            (path, 0, Some("kernel")),
            (path, 4, Some("el")),
            (path, 9, Some("")),
            ("cf 1.efi", 0, Some("blank")),
            ("timestamp.json", 0, None),
        ] {
            let found = read(repository.target(path, 6, behind));
            assert_eq!(found.as_deref(), expected, "{path} behind {behind}");
        }
    }

    #[test]
    fn what_tar_writes_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let metadata = folder.path().join("metadata");
        std::fs::create_dir(&metadata).expect("a folder");
        std::fs::write(metadata.join("timestamp.json"), "time").expect("room");
        let path = folder.path().join("update.tar");
        let mut tar = std::process::Command::new("tar");
        tar.args(["--format=ustar", "-cf"]).arg(&path);
        tar.arg("-C").arg(folder.path()).arg("./metadata");
        assert!(tar.status().expect("tar is there").success());
        let file = File::open(path).expect("a file");
        let repository = FileRepository::open(file).expect("a tar");
        let found = read(repository.metadata("timestamp.json"));
        assert_eq!(found.as_deref(), Some("time"));
    }

    #[test]
    fn what_is_cut_off_damaged_or_no_tar_is_refused() {
        let whole = packed(&[("metadata/timestamp.json", &[7; 700])]);
        let mut bytes = Vec::new();
        let mut from_start = Piece {
            file: Arc::new(whole),
            at: 0,
            left: u64::MAX,
        };
        from_start.read_to_end(&mut bytes).expect("bytes");
        let check = |bytes: &[u8], expected: &str| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(bytes).expect("room");
            let opened = FileRepository::open(file).map(|_| "taken".to_owned());
            let said = opened.unwrap_or_else(|error| error.to_string());
            assert!(said.contains(expected), "{} bytes: {said}", bytes.len());
        };
        check(&bytes, "taken");
        for cut in [0, 100, 512, 600, 1_535] {
            check(&bytes[..cut], "is not whole");
        }
        check(&bytes[..1_300], "is not whole");
        check(&[b'x'; 2_048], "not an update");
        for at in [3, LENGTH_AT + 10, SUM_AT, KIND_AT] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            check(&damaged, "not an update");
        }
    }

    #[test]
    fn what_is_too_long_or_too_much_is_refused() {
        let endless = tempfile::tempfile().expect("a file");
        endless.set_len(FILE_BYTES_MAX + 1).expect("a hole");
        assert!(FileRepository::open(endless).is_err());
        let mut many = tempfile::tempfile().expect("a file");
        for number in 0..=ENTRIES_MAX {
            let name = format!("metadata/{number}.root.json");
            write_entry(&mut many, &name, 0, &mut io::empty()).expect("room");
        }
        write_end(&mut many).expect("room");
        assert!(FileRepository::open(many).is_err());
        let name = "a".repeat(NAME_BYTES + 1);
        assert!(write_entry(&mut Vec::new(), &name, 0, &mut io::empty()).is_err());
        assert!(write_entry(&mut Vec::new(), "a", 2, &mut &b"x"[..]).is_err());
    }
}
