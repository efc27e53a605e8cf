//! One keeper for each data directory: the command line speaks to it beside a running `serve`, is told plainly when it cannot, and
//! loses nothing that was acknowledged when it is killed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use tests::{
    Archive, Folder, Page, Serving, digest_of, edge, files_under, office, read_samples, skip,
    theme, verify_export, wait_for,
};

/// Messages that are in the archive before the keeper is killed under an import.
const BEFORE_KILL: u64 = 200;

#[test]
fn every_command_works_beside_serve() {
    let folder = Folder::new("beside");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    let counts = archive.import(&[&office()]);
    assert!(counts["new_messages"].as_u64() > Some(5), "{counts}");
    let again = archive.import(&[&office()]);
    assert_eq!(
        (again["new_messages"].as_u64(), again["known"].as_u64()),
        (Some(0), counts["messages"].as_u64())
    );
    let mut client = serving.connect();
    let message = b"From: a@x.example\r\nSubject: beside\r\n\r\nZwetschgenkuchen\r\n";
    let (number, digest) = client
        .send("a@x.example", &["b@x.example"], message)
        .expect("a reply")
        .stored();
    let found = archive.search("Zwetschgenkuchen");
    assert_eq!(
        found
            .iter()
            .map(|hit| (hit.number, &hit.digest))
            .collect::<Vec<_>>(),
        [(number, &digest)]
    );
    assert_eq!(archive.show(&digest), message);
    assert_eq!(archive.show(number), message);
    // Large enough to be handed over as a file, in and out.
    let mut large = b"From: a@x.example\r\nSubject: large\r\n\r\n".to_vec();
    large.extend((0..200_000).flat_map(|line: u32| {
        format!("line {}\r\n", line.wrapping_mul(2_654_435_761)).into_bytes()
    }));
    let file = folder.write("large.eml", &large);
    archive.import(&[&file]);
    assert!(archive.show(digest_of(&large)) == large);
    let messages = archive.stat("messages");
    assert_eq!(
        messages,
        counts["new_messages"].as_u64().expect("a count") + 2
    );
    assert_eq!(
        archive.export_eml(&folder.join("eml")).len() as u64,
        messages
    );
    archive.run("export", &[&"--format", &"mbox", &folder.join("all.mbox")]);
    archive.run("export", &[&"--format", &"zip", &folder.join("all.zip")]);
    verify_export(&folder.join("all.zip"), &[&"--key", &archive.key()]).ok();
    archive.verify();
    let checkpoint = folder.write("checkpoint", archive.run("checkpoint", &[]));
    archive.add_account("mailserver", "a password of words");
    let all = archive.search("");
    archive.run("rebuild", &[]);
    assert_eq!(archive.search(""), all, "the same answers after a rebuild");
    client
        .send("a@x.example", &["b@x.example"], b"Subject: after\r\n\r\n")
        .expect("a reply")
        .stored();
    archive.run(
        "verify",
        &[&"--key", &archive.key(), &"--checkpoint", &checkpoint],
    );
    serving.stop();
    // The same without the keeper.
    assert_eq!(archive.search("").len(), all.len() + 1);
    archive.verify();
}

#[test]
fn the_second_program_is_told_plainly() {
    let folder = Folder::new("second");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    let second = archive.try_run("serve", &[&"--smtp", &"127.0.0.1:0"]);
    second.failed(2, &["data", &serving.id().to_string()]);
    let taken =
        Archive::at(folder.join("other")).try_run("serve", &[&"--smtp", &serving.said("smtp")]);
    taken.failed(2, &[serving.said("smtp")]);
    serving
        .connect()
        .command("NOOP")
        .expect("the first one goes on");
    serving.stop();
    archive.serve(&[]).stop();
}

#[test]
fn beside_an_import_the_others_are_told_plainly() {
    let Some(source) = theme("bulk-en") else {
        return;
    };
    let folder = Folder::new("beside-import");
    let archive = Archive::at(folder.join("data"));
    let mut import = archive.start("import", &[&source], &folder.join("import.log"));
    let refused = wait_for("a refusal while the import runs", || {
        assert!(
            import.ended().is_none(),
            "the import ended before anybody was refused"
        );
        let ran = archive.try_run("stats", &[]);
        // At the very beginning there is nothing yet to be refused.
        (ran.code != Some(0) && !ran.stderr.contains("there is no archive")).then_some(ran)
    });
    refused.failed(2, &[&import.id().to_string()]);
    archive
        .try_run("serve", &[&"--smtp", &"127.0.0.1:0"])
        .failed(2, &[&import.id().to_string()]);
    assert_eq!(import.wait(), Some(0));
    archive.verify();
}

#[test]
fn wrong_use_is_told_in_one_line() {
    let folder = Folder::new("wrong-use");
    let archive = Archive::at(folder.join("data"));
    for command in ["stats", "verify", "rebuild", "checkpoint", "key"] {
        archive.try_run(command, &[]).failed(2, &["data"]);
    }
    archive.try_run("search", &[&"x"]).failed(2, &["data"]);
    archive
        .try_run("import", &[&"/nowhere/at/all"])
        .failed(2, &["/nowhere/at/all"]);
    archive.import(&[&office()]);
    archive.try_run("show", &[&"999999"]).failed(2, &["999999"]);
    archive
        .try_run("show", &[&"neither"])
        .failed(2, &["neither"]);
    archive
        .try_run("serve", &[&"--smtp", &"nonsense"])
        .code
        .filter(|code| *code == 2)
        .expect("exit code 2");
    let no_zip = folder.write("no.zip", b"not a zip");
    verify_export(&no_zip, &[]).failed(2, &["no.zip"]);
}

#[test]
fn a_keeper_killed_under_an_import_loses_nothing() {
    let Some(source) = theme("bulk-en") else {
        return;
    };
    let folder = Folder::new("killed-keeper");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    let mut client = serving.connect();
    let (_, by_smtp) = client
        .send("", &["a@x.example"], b"Subject: before\r\n\r\n")
        .expect("a reply")
        .stored();
    let log = folder.join("import.log");
    let mut import = archive.start("import", &[&source], &log);
    wait_for("some messages of the import", || {
        (archive.stat("messages") > BEFORE_KILL).then_some(())
    });
    serving.kill();
    let code = import.wait();
    let said = fs::read_to_string(&log).expect("the log");
    assert!(matches!(code, Some(1 | 2)), "{code:?}: {said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.contains("gone away") && last.contains("run it again"),
        "{said}"
    );
    // "12 messages read, 11 new, …": these were acknowledged.
    let new = last
        .split(' ')
        .zip(last.split(' ').skip(1))
        .find(|(_, word)| word.starts_with("new"));
    let new: u64 = new
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or_else(|| panic!("no count in {last}"));
    assert!(new > 0, "{last}");
    let serving = archive.serve(&[]);
    let kept = archive.stat("messages");
    assert!(
        kept > new,
        "{kept} messages after the kill, {new} acknowledged by import and 1 by SMTP"
    );
    assert!(archive.digests("").contains(&by_smtp));
    archive.verify();
    let counts = archive.import(&[&source]);
    assert!(counts["known"].as_u64() >= Some(new), "{counts}");
    let samples: BTreeSet<String> = read_samples("bulk-en")
        .iter()
        .map(|sample| digest_of(&sample.bytes))
        .collect();
    let all = archive.digests("");
    assert_eq!(samples.difference(&all).count(), 0);
    assert_eq!(all.len(), samples.len() + 1);
    archive.verify();
    serving.stop();
}

#[test]
fn commands_after_a_killed_keeper_work_alone() {
    let folder = Folder::new("left-over");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    archive.import(&[&office()]);
    let messages = archive.stat("messages");
    serving.kill();
    if !archive.path().join("keeper.sock").exists() {
        skip("the killed keeper left no socket behind");
    }
    assert_eq!(archive.stat("messages"), messages);
    archive.verify();
    assert_eq!(
        archive.export_eml(&folder.join("eml")).len() as u64,
        messages
    );
    assert!(!files_under(&folder.join("eml")).is_empty());
    archive.serve(&[]).stop();
}

/// Nobody's user.
const STRANGER: &str = "4294967294";

#[test]
fn the_door_for_mail_brings_mail_and_reads_none() {
    let folder = Folder::new("mail-edge");
    let edges = folder.join("edges");
    fs::create_dir(&edges).expect("a folder");
    let archive = Archive::at(folder.join("data"));
    let user = nix::unistd::getuid().to_string();
    let users: [&dyn AsRef<OsStr>; 4] = [&"--mail-user", &user, &"--page-user", &STRANGER];
    let keeper = serve_edges(&archive, &edges, &users);
    let mail = edge("mail", &edges, &[&"--smtp", &"127.0.0.1:0"]);
    let mut client = mail.connect();
    let mut large = b"From: a@x.example\r\nSubject: large\r\n\r\n".to_vec();
    large.extend(b"Zwetschgenkuchen\r\n".repeat(120_000));
    for message in [
        &b"From: a@x.example\r\nSubject: small\r\n\r\nx\r\n"[..],
        &large,
    ] {
        let sent = client.send("a@x.example", &["b@x.example"], message);
        let (number, digest) = sent.expect("a reply").stored();
        assert!(archive.show(number) == message);
        assert_eq!(digest, digest_of(message));
    }
    // Whoever has taken it over finds a keeper that tells him nothing.
    fs::write(edges.join("identity"), "").expect("written");
    let asked = Archive::at(&edges).try_run("search", &[&"kuchen"]);
    asked.failed(2, &["nothing for an edge"]);
    let stranger = serve_edges(
        &Archive::at(folder.join("other")),
        &folder.join("strangers"),
        &[&"--mail-user", &STRANGER, &"--page-user", &STRANGER],
    );
    let strangers = Archive::at(folder.join("strangers"));
    fs::write(strangers.path().join("identity"), "").expect("written");
    assert_ne!(strangers.try_run("stats", &[]).code, Some(0));
    stranger.stop();
    keeper.kill();
    assert_ne!(mail.wait(), Some(0), "it ends with its keeper");
}

#[test]
fn the_page_as_a_process_of_its_own_asks_the_keeper() {
    let folder = Folder::new("page-edge");
    let edges = folder.join("edges");
    let archive = Archive::at(folder.join("data"));
    let user = nix::unistd::getuid().to_string();
    let users: [&dyn AsRef<OsStr>; 4] = [&"--mail-user", &STRANGER, &"--page-user", &user];
    let keeper = serve_edges(&archive, &edges, &users);
    let web = edge("page", &edges, &[&"--web", &"127.0.0.1:0"]);
    let Some(page) = Page::new(&folder, &archive, &web) else {
        return;
    };
    page.claim(&keeper);
    assert!(page.sign_in());
    assert!(page.get("/state").contains("<main"));
    web.stop();
    keeper.stop();
}

/// Serves an archive for edges alone.
fn serve_edges(archive: &Archive, edges: &Path, users: &[&dyn AsRef<OsStr>]) -> Serving {
    fs::create_dir_all(edges).expect("a folder");
    let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"--edges", &edges];
    arguments.extend(users);
    archive.serve_without_doors(&arguments)
}
