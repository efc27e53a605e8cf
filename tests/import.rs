//! Import as its user sees it: mbox and Maildir, an import that is broken off and run again, and what is listed as odd.

use std::collections::BTreeSet;
use std::fs;
use tests::{
    Archive, Folder, assert_same, digest_of, files_under, office, read_samples, theme, wait_for,
};

/// How often an import is killed before it may come to its end.
const IMPORT_KILLS: usize = 3;

/// 1 MiB that an import adds before it is killed: some hundred messages, a tenth of the theme.
const GROWN_BYTES: usize = 1 << 20;

#[test]
fn an_mbox_gives_the_messages_that_were_put_into_it() {
    let Some(source) = theme("containers") else {
        return;
    };
    let folder = Folder::new("mboxrd");
    let archive = Archive::at(folder.join("data"));
    let file = files_under(&source.join("derived-mboxrd")).remove(0);
    let counts = archive.import(&[&file]);
    // Made of messages of a mailing list, most of which are also in the themes as files.
    let known: BTreeSet<String> = ["bulk-lists", "tnef-smime-pgp", "attachments"]
        .iter()
        .flat_map(|name| files_under(&theme(name).expect("the corpus is whole")))
        .filter(|path| {
            path.to_string_lossy().contains("samba-technical")
                || path.to_string_lossy().contains("tnef-smime-pgp")
        })
        .map(|path| digest_of(&fs::read(path).expect("a sample")))
        .collect();
    let found = archive.digests("");
    let from_lines = fs::read(&file)
        .expect("the mbox")
        .split(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(b"From "))
        .count();
    assert_eq!(counts["messages"], from_lines, "{counts}");
    let same = found.intersection(&known).count();
    assert!(
        same * 10 >= found.len() * 9,
        "{same} of {} messages are as they were before the quoting",
        found.len()
    );
    archive.verify();
}

#[test]
fn an_mbox_comes_through_the_standard_input() {
    let folder = Folder::new("stdin");
    let archive = Archive::at(folder.join("data"));
    let from = "From c@x.example Mon Mar  3 08:15:02 2025\n";
    let messages =
        ["eins", "zwei"].map(|name| format!("Subject: {name}\nFrom: a@x.example\n\n{name}\n"));
    let mbox: String = messages
        .iter()
        .map(|message| format!("{from}{message}\n"))
        .collect();
    let counts = archive.import_input(mbox.as_bytes());
    assert_eq!(counts["new_messages"], 2, "{counts}");
    let expected = messages
        .iter()
        .map(|message| digest_of(message.as_bytes()))
        .collect();
    assert_same(&archive.digests(""), &expected);
    archive.verify();
}

#[test]
fn a_maildir_gives_its_messages_with_its_folders() {
    let folder = Folder::new("maildir");
    let archive = Archive::at(folder.join("data"));
    let mut expected = BTreeSet::new();
    for (index, sample) in read_samples("german").into_iter().take(30).enumerate() {
        let place = ["cur", "new", ".Gesendet/cur"][index % 3];
        let flags = if place.ends_with("cur") { ":2,S" } else { "" };
        folder.write(
            &format!("Maildir/{place}/17410000{index:02}.M1P1.host{flags}"),
            &sample.bytes,
        );
        expected.insert(digest_of(&sample.bytes));
    }
    folder.write(
        "Maildir/tmp/1741000000.unfinished",
        b"Subject: unfinished\n\n",
    );
    folder.write("Maildir/dovecot-uidlist", b"3 V1 N2\n");
    let counts = archive.import(&[&folder.join("Maildir")]);
    assert_eq!(counts["new_messages"], expected.len(), "{counts}");
    assert_same(&archive.export_eml(&folder.join("eml")), &expected);
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let Some(source) = theme("bulk-en") else {
        return;
    };
    let folder = Folder::new("import-killed");
    let archive = Archive::at(folder.join("data"));
    let volume = archive.path().join("volumes/00000001.vol");
    // The end of the file may be kept free in advance.
    let used = || {
        fs::read(&volume).map_or(0, |bytes| {
            bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count()
        })
    };
    let mut kept_last = 0;
    for _ in 0..IMPORT_KILLS {
        let grown = used() + GROWN_BYTES;
        let mut import = archive.start("import", &[&source], &folder.join("import.log"));
        wait_for("a grown volume", || {
            (used() > grown || import.ended().is_some()).then_some(())
        });
        assert!(
            import.ended().is_none(),
            "the import ended before it was killed"
        );
        import.signal(nix::sys::signal::Signal::SIGKILL);
        assert_eq!(import.wait(), None);
        archive.verify();
        let kept = archive.stat("messages");
        assert!(kept > kept_last, "{kept} after {kept_last}");
        kept_last = kept;
    }
    let counts = archive.import(&[&source]);
    assert_eq!(counts["known"], kept_last, "{counts}");
    let expected: BTreeSet<String> = read_samples("bulk-en")
        .iter()
        .map(|sample| digest_of(&sample.bytes))
        .collect();
    assert_same(&archive.export_eml(&folder.join("eml")), &expected);
    archive.verify();
}

#[test]
fn odd_input_is_listed_and_no_failure() {
    let folder = Folder::new("odd-import");
    let archive = Archive::at(folder.join("data"));
    folder.write("in/letter.pdf", b"%PDF-1.4 not a mail");
    folder.write("in/empty.eml", b"");
    folder.write("in/zeros.eml", vec![0; 10_000]);
    folder.write(
        "in/good.eml",
        b"From: a@x.example\r\nSubject: good\r\n\r\nbody\r\n",
    );
    let counts = archive.import(&[&folder.join("in")]);
    assert_eq!(
        (
            counts["files"].as_u64(),
            counts["messages"].as_u64(),
            counts["left_out"].as_u64()
        ),
        (Some(4), Some(2), Some(2)),
        "{counts}"
    );
    let odd = counts["odd_items"].as_array().expect("a list");
    for name in ["letter.pdf", "empty.eml", "zeros.eml"] {
        assert!(
            odd.iter().any(|item| item["path"]
                .as_str()
                .is_some_and(|path| path.ends_with(name))),
            "{name}: {counts}"
        );
    }
    let expected: BTreeSet<String> = [
        &[0; 10_000][..],
        b"From: a@x.example\r\nSubject: good\r\n\r\nbody\r\n",
    ]
    .map(digest_of)
    .into();
    assert_same(&archive.digests(""), &expected);
}

#[test]
fn a_dry_run_keeps_nothing() {
    let folder = Folder::new("dry-run");
    let archive = Archive::at(folder.join("data"));
    archive.run("import", &[&"--dry-run", &office()]);
    archive.serve(&[]).stop();
    archive.run("import", &[&"--dry-run", &office()]);
    assert_eq!(archive.stat("messages"), 0);
}
