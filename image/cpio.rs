//! The archive that a kernel unpacks as its first file system: cpio, format "newc".
//!
//! | offset | what |
//! |---|---|
//! | 0 | `070701` |
//! | 6 | 13 numbers of 8 hexadecimal digits: inode, mode, owner, group, links, time, length, four of devices, length of the name with its NUL, 0 |
//! | 110 | name, NUL, filled to a multiple of 4; then the bytes, filled likewise |
//!
//! Everything belongs to root and has no time, so that the same files are the same archive. Source: Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A folder.
    Folder,
    /// A file that may be read by all.
    File(Vec<u8>),
    /// A file that may be run, too.
    Program(Vec<u8>),
    /// A symbolic link.
    Link(String),
}

/// Files and folders by path; those above a path come by themselves.
#[derive(Debug, Default)]
pub(crate) struct Archive(BTreeMap<PathBuf, Node>);

impl Archive {
    /// Puts something at a path, with or without a slash in front.
    pub(crate) fn put(&mut self, path: impl AsRef<Path>, node: Node) {
        let path = path.as_ref();
        let path = path.strip_prefix("/").unwrap_or(path);
        for above in path
            .ancestors()
            .skip(1)
            .filter(|above| *above != Path::new(""))
        {
            self.0.entry(above.to_owned()).or_insert(Node::Folder);
        }
        self.0.insert(path.to_owned(), node);
    }

    /// The archive's bytes, sorted by path.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (inode, (path, node)) in (1..).zip(&self.0) {
            let (mode, content) = match node {
                Node::Folder => (0o040_755, &[][..]),
                Node::File(content) => (0o100_644, &content[..]),
                Node::Program(content) => (0o100_755, &content[..]),
                Node::Link(target) => (0o120_777, target.as_bytes()),
            };
            append(&mut bytes, inode, &path.to_string_lossy(), mode, content);
        }
        append(&mut bytes, 0, "TRAILER!!!", 0, &[]);
        bytes
    }
}

fn append(bytes: &mut Vec<u8>, inode: usize, name: &str, mode: usize, content: &[u8]) {
    bytes.extend(b"070701");
    let (length, name_length) = (content.len(), name.len() + 1);
    for number in [inode, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0] {
        bytes.extend(format!("{number:08x}").bytes());
    }
    bytes.extend(name.bytes().chain([0]));
    fill(bytes);
    bytes.extend(content);
    fill(bytes);
}

fn fill(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn archive() -> Archive {
        let mut archive = Archive::default();
        archive.put("/sbin/tool", Node::Program(b"#!".to_vec()));
        archive.put("etc/coffer/release", Node::File(b"VERSION=1\n".to_vec()));
        archive.put("/proc", Node::Folder);
        archive.put("/bin/coffer", Node::Link("../init".to_owned()));
        archive
    }

    #[test]
    fn an_archive_is_what_the_kernel_expects() {
        let bytes = archive().bytes();
        assert!(bytes.len().is_multiple_of(4));
        assert!(bytes.starts_with(
            b"070701000000010000\
              41ed"
        ));
        let names: Vec<_> = archive()
            .0
            .keys()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            names,
            [
                "bin",
                "bin/coffer",
                "etc",
                "etc/coffer",
                "etc/coffer/release",
                "proc",
                "sbin",
                "sbin/tool"
            ]
        );
    }

    /// GNU cpio lists it, where there is one.
    #[test]
    fn cpio_reads_it() {
        let Ok(mut cpio) = Command::new("cpio")
            .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            return;
        };
        cpio.stdin
            .take()
            .expect("works")
            .write_all(&archive().bytes())
            .expect("works");
        let listed =
            String::from_utf8(cpio.wait_with_output().expect("works").stdout).expect("works");
        for expected in ["-rwxr-xr-x", "../init", "etc/coffer/release"] {
            assert!(listed.contains(expected), "{listed}");
        }
    }
}
