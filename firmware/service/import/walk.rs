//! Finds the files of an import: every regular file under the given paths, in the order of their names, so that two runs over the
//! same input are the same.
//!
//! Knows Maildir folders (cr.yp.to/proto/maildir.html, and Maildir++ with its `.Sub` folders), opens no file, and follows
//! no symbolic link to a folder, so that it always ends. Memory is bounded however many files a folder has.

use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Names of one folder held in memory; a folder with more is listed once for every so many of them.
const NAMES_HELD_MAX: usize = 16_384;

/// Where a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere.
    Loose,
    /// Beside the message folders of a Maildir, where mail programs keep files of their own.
    MaildirRoot,
    /// In `cur` or `new` of a Maildir.
    MaildirMessages,
}

/// What the walk came by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A regular file.
    File {
        path: PathBuf,
        length_bytes: u64,
        place: Place,
    },
    /// A pipe that was named, or the standard input: its length is known at its end only, and it can be read once.
    Stream { path: PathBuf },
    /// Something that is passed over.
    Odd { path: PathBuf, what: String },
}

/// Takes what is found; a break ends the walk.
pub(super) type Visit<'a> = dyn FnMut(Found) -> ControlFlow<()> + 'a;

/// The name of the standard input.
const STANDARD_INPUT: &str = "-";

/// Tells whether a path that was named is the standard input.
pub(super) fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// Walks over files and folders in the given order; the paths are absolute, or that of the standard input.
pub(super) fn walk(paths: &[PathBuf], visit: &mut Visit) -> ControlFlow<()> {
    // What the user names is followed even if it is a link.
    paths.iter().try_for_each(|path| match fs::metadata(path) {
        _ if is_standard_input(path) => visit(Found::Stream { path: path.clone() }),
        Ok(metadata) if metadata.is_dir() => walk_folder(path, visit),
        Ok(metadata) if metadata.file_type().is_fifo() => {
            visit(Found::Stream { path: path.clone() })
        }
        Ok(metadata) => visit_file(path.clone(), &metadata, place_of(path.parent()), visit),
        Err(error) => visit(unreadable(path.clone(), &error)),
    })
}

/// Walks over a folder; the depth is bounded by the length of a path that the system opens.
fn walk_folder(folder: &Path, visit: &mut Visit) -> ControlFlow<()> {
    if is_maildir_folder(folder, &["tmp"]) {
        // Deliveries that are not finished.
        return ControlFlow::Continue(());
    }
    let place = place_of(Some(folder));
    let mut last = None;
    loop {
        let names = match next_names(folder, last.as_ref(), NAMES_HELD_MAX) {
            Ok(names) => names,
            Err(error) => return visit(unreadable(folder.to_owned(), &error)),
        };
        let is_end = names.len() < NAMES_HELD_MAX;
        last = names.last().cloned();
        for name in names {
            visit_item(folder.join(name), place, visit)?;
        }
        if is_end {
            return ControlFlow::Continue(());
        }
    }
}

/// Gives the first names of a folder after `last`, in order.
fn next_names(
    folder: &Path,
    last: Option<&OsString>,
    count_max: usize,
) -> io::Result<Vec<OsString>> {
    let mut names = BinaryHeap::new();
    for item in fs::read_dir(folder)? {
        let name = item?.file_name();
        if last.is_some_and(|last| name <= *last) {
            continue;
        }
        if names.len() < count_max {
            names.push(name);
        } else if let Some(mut largest) = names.peek_mut()
            && name < *largest
        {
            *largest = name;
        }
    }
    Ok(names.into_sorted_vec())
}

fn visit_item(path: PathBuf, place: Place, visit: &mut Visit) -> ControlFlow<()> {
    let own = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) => return visit(unreadable(path, &error)),
    };
    if own.is_dir() {
        return walk_folder(&path, visit);
    }
    if !own.is_symlink() {
        return visit_file(path, &own, place, visit);
    }
    match fs::metadata(&path) {
        Ok(target) if target.is_dir() => visit(Found::Odd {
            path,
            what: "a symbolic link to a folder, which is not followed".to_owned(),
        }),
        Ok(target) => visit_file(path, &target, place, visit),
        Err(error) => visit(unreadable(path, &error)),
    }
}

fn visit_file(
    path: PathBuf,
    metadata: &Metadata,
    place: Place,
    visit: &mut Visit,
) -> ControlFlow<()> {
    if !metadata.is_file() {
        return visit(Found::Odd {
            path,
            what: "not a file: a device, pipe or socket".to_owned(),
        });
    }
    visit(Found::File {
        path,
        length_bytes: metadata.len(),
        place,
    })
}

fn unreadable(path: PathBuf, error: &io::Error) -> Found {
    Found::Odd {
        path,
        what: format!("cannot be read: {error}"),
    }
}

/// Tells what kind of place a folder is.
fn place_of(folder: Option<&Path>) -> Place {
    match folder {
        Some(folder) if is_maildir_folder(folder, &["cur", "new"]) => Place::MaildirMessages,
        Some(folder) if is_maildir(folder) => Place::MaildirRoot,
        _ => Place::Loose,
    }
}

/// Tells whether a folder has one of these names and lies in a Maildir.
fn is_maildir_folder(folder: &Path, names: &[&str]) -> bool {
    let is_named = folder
        .file_name()
        .is_some_and(|name| names.iter().any(|known| name == *known));
    is_named && folder.parent().is_some_and(is_maildir)
}

/// Tells whether a folder is a Maildir. Copies often lack an empty folder, so two of the three will do.
fn is_maildir(folder: &Path) -> bool {
    ["cur", "new", "tmp"]
        .iter()
        .filter(|name| folder.join(name).is_dir())
        .count()
        >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).expect("a folder");
            } else {
                fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
                fs::write(path, file).expect("a file");
            }
        }
        folder
    }

    /// Walks and gives what was found, relative to the folder.
    fn found(folder: &Path, from: &str) -> Vec<String> {
        let mut found = Vec::new();
        let walked = walk(&[folder.join(from)], &mut |item| {
            found.push(match item {
                Found::File {
                    path,
                    place,
                    length_bytes,
                } => {
                    let name = path
                        .strip_prefix(folder)
                        .expect("below")
                        .display()
                        .to_string();
                    assert_eq!(length_bytes, name.len() as u64);
                    let mark = match place {
                        Place::Loose => "",
                        Place::MaildirRoot => "root ",
                        Place::MaildirMessages => "message ",
                    };
                    format!("{mark}{name}")
                }
                Found::Stream { path } => format!("stream {}", path.display()),
                Found::Odd { path, what } => {
                    format!(
                        "odd {} {what}",
                        path.strip_prefix(folder).expect("below").display()
                    )
                }
            });
            ControlFlow::Continue(())
        });
        assert!(walked.is_continue());
        found
    }

    #[test]
    fn files_come_in_order_of_their_names() {
        let folder = tree(&["b/2", "b/10", "a.eml", "c", "b/1/x"]);
        assert_eq!(
            found(folder.path(), ""),
            ["a.eml", "b/1/x", "b/10", "b/2", "c"]
        );
        assert_eq!(found(folder.path(), "c"), ["c"]);
    }

    #[test]
    fn maildirs_are_known() {
        let folder = tree(&[
            "m/cur/1:2,S",
            "m/new/2",
            "m/tmp/3",
            "m/dovecot-uidlist",
            "m/.Sub/cur/4",
            "m/.Sub/new/",
            "cur/5",
            "tmp",
        ]);
        let all = [
            "cur/5",
            "message m/.Sub/cur/4",
            "message m/cur/1:2,S",
            "root m/dovecot-uidlist",
            "message m/new/2",
            "tmp",
        ];
        assert_eq!(found(folder.path(), ""), all);
        assert_eq!(found(folder.path(), "m/cur"), ["message m/cur/1:2,S"]);
        assert_eq!(found(folder.path(), "m/new/2"), ["message m/new/2"]);
    }

    #[test]
    fn links_to_folders_and_special_files_are_named() {
        let folder = tree(&["a/1", "z"]);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, folder.path().join(name)).expect("a link");
        };
        link(".", "a/loop");
        link("../z", "a/z");
        link("nowhere", "b");
        let _socket =
            std::os::unix::net::UnixListener::bind(folder.path().join("s")).expect("a socket");
        let found = found_with_link_target(folder.path());
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(found[0], "a/1");
        assert_eq!(
            found[1],
            "odd a/loop a symbolic link to a folder, which is not followed"
        );
        assert_eq!(found[2], "a/z");
        assert!(found[3].starts_with("odd b cannot be read: "), "{found:?}");
        assert_eq!(found[4], "odd s not a file: a device, pipe or socket");
        assert_eq!(found[5], "z");
    }

    /// Like `found`, for files whose bytes are not their names.
    fn found_with_link_target(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let _ = walk(&[folder.to_owned()], &mut |item| {
            let (path, rest) = match item {
                Found::File { path, .. } | Found::Stream { path } => (path, None),
                Found::Odd { path, what } => (path, Some(what)),
            };
            let name = path
                .strip_prefix(folder)
                .expect("below")
                .display()
                .to_string();
            found.push(rest.map_or(name.clone(), |what| format!("odd {name} {what}")));
            ControlFlow::Continue(())
        });
        found
    }

    #[test]
    fn a_break_ends_the_walk() {
        let folder = tree(&["1", "2", "3"]);
        let mut count = 0;
        let walked = walk(&[folder.path().to_owned()], &mut |_| {
            count += 1;
            if count == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(walked.is_break());
        assert_eq!(count, 2);
    }

    #[test]
    fn large_folders_are_listed_in_parts() {
        let names: Vec<String> = (0..57).map(|n| format!("{:02}", n * 37 % 57)).collect();
        let folder = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for held in [1, 2, 10, 56, 57, 100] {
            let (mut all, mut last) = (Vec::new(), None);
            loop {
                let names = next_names(folder.path(), last.as_ref(), held).expect("a folder");
                assert!(names.len() <= held);
                last = names.last().cloned().or(last);
                if names.is_empty() {
                    break;
                }
                all.extend(names);
            }
            let expected: Vec<OsString> = (0..57).map(|n| format!("{n:02}").into()).collect();
            assert_eq!(all, expected, "{held} at a time");
        }
    }
}
