//! Two directories of one archive: every message is on both before it is answered, either goes on alone, and what was written
//! alone on both sides is told, never merged.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{Archive, Client, Folder, Serving, SmallDisk, assert_same, wait_for};

fn message(number: u64) -> Vec<u8> {
    let text = format!("Angebot {number}, ").repeat(200);
    format!("From: a@x.example\r\nSubject: message {number}\r\n\r\n{text}\r\n").into_bytes()
}

/// Sends messages and gives their digests.
fn send(serving: &Serving, numbers: Range<u64>) -> BTreeSet<String> {
    send_all(serving.smtp(), numbers, message)
}

fn send_all(
    address: SocketAddr,
    numbers: Range<u64>,
    message: impl Fn(u64) -> Vec<u8>,
) -> BTreeSet<String> {
    let mut client = Client::connect(address).expect("serve takes connections");
    let sent = numbers.map(|number| {
        let reply = client.send("a@x.example", &["b@x.example"], &message(number));
        reply.expect("a reply").stored().1
    });
    sent.collect()
}

/// 200 KiB of mail that hardly packs.
fn large_message(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    };
    let lines = (0..12_800).map(word).collect::<Vec<_>>();
    let lines: Vec<String> = lines.chunks(4).map(|words| words.concat()).collect();
    let text = lines.join("\r\n");
    format!("From: a@x.example\r\nSubject: large {number}\r\n\r\n{text}\r\n").into_bytes()
}

fn serve_with(archive: &Archive, copy: &Archive) -> Serving {
    archive.serve(&[&"--copy", &copy.path()])
}

/// What `stats --json` says of the second disk.
fn copy_stats(archive: &Archive) -> Value {
    let output = archive.run("stats", &[&"--json"]);
    let stats: Value = serde_json::from_slice(&output).expect("JSON");
    stats["copy"].clone()
}

fn wait_for_state(archive: &Archive, state: &str) -> Value {
    wait_for(state, || {
        let copy = copy_stats(archive);
        (copy["state"] == state).then_some(copy)
    })
}

/// The volumes are equal to the byte, but for free space at the end.
fn check_same_volumes(one: &Archive, two: &Archive) {
    let volumes = |archive: &Archive| -> Vec<(String, Vec<u8>)> {
        let folder = archive.path().join("volumes");
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.into_string().expect("a plain name"))
            .filter(|name| name.ends_with(".vol"))
            .collect();
        names.sort();
        let read = |name: String| {
            let mut bytes = fs::read(archive.path().join("volumes").join(&name)).expect("a volume");
            let end = bytes.iter().rposition(|byte| *byte != 0);
            bytes.truncate(end.map_or(0, |at| at + 1));
            (name, bytes)
        };
        names.into_iter().map(read).collect()
    };
    assert!(volumes(one) == volumes(two));
}

fn log_of(archive: &Archive) -> String {
    let mut name = archive.path().as_os_str().to_owned();
    name.push(".serve.log");
    fs::read_to_string(Path::new(&name)).unwrap_or_default()
}

#[test]
fn a_killed_pair_loses_nothing_on_either_disk() {
    let folder = Folder::new("copies");
    let one = Archive::at(folder.join("one"));
    let two = Archive::at(folder.join("two"));
    let serving = serve_with(&one, &two);
    assert_eq!(copy_stats(&one)["state"], "in-step");
    let mut sent = send(&serving, 0..40);
    let second = two.try_run("serve", &[]);
    second.failed(2, &["two", "in use"]);
    serving.kill();
    check_same_volumes(&one, &two);
    // The first disk is gone: the second one has everything and goes on.
    let serving = two.serve(&[]);
    assert_same(&two.digests(""), &sent);
    sent.extend(send(&serving, 40..50));
    serving.stop();
    // It comes back, and takes in what it lacks before it opens.
    let serving = serve_with(&one, &two);
    wait_for_state(&one, "in-step");
    assert_same(&one.digests(""), &sent);
    sent.extend(send(&serving, 50..60));
    serving.stop();
    check_same_volumes(&one, &two);
    two.verify();
    assert_same(&two.digests(""), &sent);
}

#[test]
fn disks_that_were_each_started_alone_are_told() {
    let folder = Folder::new("diverged");
    let one = Archive::at(folder.join("one"));
    let two = Archive::at(folder.join("two"));
    let serving = serve_with(&one, &two);
    let sent = send(&serving, 0..5);
    serving.stop();
    one.import(&[&folder.write("one.eml", b"Subject: one\r\n\r\nalone\r\n")]);
    two.import(&[&folder.write("two.eml", b"Subject: two\r\n\r\nalone\r\n")]);
    let serving = serve_with(&one, &two);
    let copy = copy_stats(&one);
    assert_eq!(copy["state"], "diverged", "{copy}");
    assert!(log_of(&one).contains("diverged"), "{}", log_of(&one));
    assert_eq!(send(&serving, 5..6).len(), 1);
    serving.stop();
    // Neither took anything from the other.
    assert_eq!(two.stat("messages"), sent.len() as u64 + 1);
    assert_eq!(one.stat("messages"), sent.len() as u64 + 2);
    one.verify();
    two.verify();
}

#[test]
fn a_directory_that_cannot_be_a_copy_is_refused_in_plain_words() {
    let folder = Folder::new("no-copy");
    let one = Archive::at(folder.join("one"));
    let two = Archive::at(folder.join("two"));
    let mail = folder.write("one.eml", b"Subject: one\r\n\r\nalone\r\n");
    one.import(&[&mail]);
    two.import(&[&mail]);
    let refused = one.try_run("serve", &[&"--copy", &two.path()]);
    refused.failed(2, &["two", "another archive"]);
    let refused = one.try_run("serve", &[&"--copy", &one.path()]);
    refused.failed(2, &["one"]);
    folder.write("letters/letter.odt", b"");
    let refused = one.try_run("serve", &[&"--copy", &folder.join("letters")]);
    refused.failed(2, &["letters", "letter.odt"]);
    assert_eq!((one.stat("messages"), two.stat("messages")), (1, 1));
}

#[test]
fn a_stopped_program_leaves_both_disks_whole() {
    let folder = Folder::new("copies-stopped");
    let one = Archive::at(folder.join("one"));
    let two = Archive::at(folder.join("two"));
    let before = folder.write("one.eml", message(1_000));
    one.import(&[&before]);
    let serving = serve_with(&one, &two);
    wait_for_state(&one, "in-step");
    let sent = send(&serving, 0..10);
    let id = Pid::from_raw(i32::try_from(serving.id()).expect("process ids are small"));
    kill(id, Signal::SIGTERM).expect("it runs");
    serving.stop();
    check_same_volumes(&one, &two);
    assert_eq!(two.digests("").intersection(&sent).count(), 10);
    assert_eq!(two.digests("").len(), 11);
}

#[test]
fn a_copy_that_fills_up_is_left_and_comes_back() {
    let folder = Folder::new("copies-full");
    let Some(first) = SmallDisk::mount(folder.join("one")) else {
        return;
    };
    let Some(second) = SmallDisk::mount(folder.join("two")) else {
        return;
    };
    let one = Archive::at(first.path().join("data"));
    let two = Archive::at(second.path().join("data"));
    let serving = serve_with(&one, &two);
    wait_for_state(&one, "in-step");
    let mut sent = send(&serving, 0..20);
    let ballast = second.fill();
    // More than what was written ahead.
    sent.extend(send_all(serving.smtp(), 20..30, large_message));
    let copy = wait_for_state(&one, "detached");
    let reason = copy["reason"].as_str().expect("a reason");
    assert!(reason.contains("space"), "{copy}");
    sent.extend(send(&serving, 30..40));
    fs::remove_file(ballast).expect("room is made");
    wait_for_state(&one, "in-step");
    sent.extend(send(&serving, 40..50));
    serving.stop();
    check_same_volumes(&one, &two);
    two.verify();
    assert_same(&two.digests(""), &sent);
}

#[test]
fn a_copy_comes_back_while_mail_is_running_and_takes_over() {
    let folder = Folder::new("copies-load");
    let one = Archive::at(folder.join("one"));
    let two = Archive::at(folder.join("two"));
    let serving = serve_with(&one, &two);
    let mut sent = send(&serving, 0..10);
    serving.stop();
    // More than is taken over while mail waits.
    let serving = one.serve(&[]);
    sent.extend(send_all(serving.smtp(), 10..160, large_message));
    serving.stop();
    let serving = serve_with(&one, &two);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let session = |first: u64| {
            let (address, stop) = (serving.smtp(), &stop);
            move || {
                let mut sent = BTreeSet::new();
                let mut numbers = first..first + 1_000;
                while !stop.load(Ordering::SeqCst)
                    && let Some(number) = numbers.next()
                {
                    let message = |number| match number % 5 {
                        0 => large_message(number),
                        _ => message(number),
                    };
                    sent.extend(send_all(address, number..number + 1, message));
                }
                sent
            }
        };
        let sessions = [1, 2, 3, 4].map(|i| scope.spawn(session(1_000 * i)));
        wait_for_state(&one, "in-step");
        sent.extend(send(&serving, 200..210));
        stop.store(true, Ordering::SeqCst);
        for session in sessions {
            sent.extend(session.join().expect("every message was taken"));
        }
    });
    assert_eq!(copy_stats(&one)["state"], "in-step");
    serving.kill();
    check_same_volumes(&one, &two);
    let serving = two.serve(&[]);
    assert_same(&two.digests(""), &sent);
    serving.stop();
    two.verify();
}

#[test]
fn damage_is_mended_from_the_copy_in_step() {
    let folder = Folder::new("copies-mend");
    let one = Archive::at(folder.join("one"));
    let two = Archive::at(folder.join("two"));
    let serving = serve_with(&one, &two);
    wait_for_state(&one, "in-step");
    let sent = send_all(serving.smtp(), 0..4, large_message);
    for archive in [&one, &two] {
        let volume = archive.path().join("volumes/00000001.vol");
        let whole = fs::read(&volume).expect("a volume");
        let file = fs::File::options().write(true).open(&volume);
        let file = file.expect("a volume");
        file.write_all_at(&[0x5a; 50], 200_000).expect("written");
        let said = one.run("verify", &[&"--mend", &"--json"]);
        let said: Value = serde_json::from_slice(&said).expect("JSON");
        let mended = said["mended"]["mended"].as_array().expect("a list");
        assert_eq!(mended.len(), 1, "{said}");
        assert_eq!(mended[0]["on_copy"], archive.path() == two.path(), "{said}");
        let now = fs::read(&volume).expect("a volume");
        assert!(now[..300_000] == whole[..300_000]);
    }
    let output = one.run("stats", &[&"--json"]);
    let stats: Value = serde_json::from_slice(&output).expect("JSON");
    assert_eq!(stats["damage"], Value::Array(Vec::new()));
    serving.stop();
    two.verify();
    assert_same(&two.digests(""), &sent);
}
