//! What an office computer does to an archive: power cuts, a full disk, and peers that hold connections open.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tests::{
    Archive, Client, DISK_MIB, Folder, Serving, SmallDisk, assert_same, digest_of, is_long,
    wait_for,
};

/// How often the process is killed under load, and with `COFFER_TEST_LONG=1`.
const KILLS: u64 = 20;
const KILLS_LONG: u64 = 200;

/// Between two starts at most so many messages are acknowledged: enough for several batches, and seconds a start.
const MESSAGES_BETWEEN: u64 = 100;

/// 3 ms: longer than a batch takes, so that the kill falls anywhere in one.
const BATCH_MAX: Duration = Duration::from_millis(3);

/// Every so many kills the whole archive is checked.
const VERIFY_EVERY: u64 = 10;

/// Senders at once while it is killed.
const SENDERS: u64 = 6;

/// Every so many messages one is so large that it goes by way of the spool.
const LARGE_EVERY: u64 = 23;

/// 1.5 MiB: above what is kept in memory.
const LARGE_BYTES: usize = 3 << 19;

/// Text that does not compress, in lines; the seed makes it unique.
fn noise(seed: u64, length_bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = Vec::with_capacity(length_bytes + 80);
    while text.len() < length_bytes {
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.extend(format!("{state:016x}").bytes());
        }
        text.extend(b"\r\n");
    }
    text
}

/// A message of about this length; a long one is an attachment, whose words are not in the index.
fn message(number: u64, length_bytes: usize) -> Vec<u8> {
    let mut message = format!(
        "From: a@x.example\r\nSubject: message {number}\r\nMessage-ID: <{number}@load.example>\r\n"
    );
    if length_bytes >= FILLER_BYTES {
        // Lines of 64 hexadecimal digits are base64, too.
        message +=
            "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n";
    }
    message += "\r\n";
    [message.into_bytes(), noise(number, length_bytes)].concat()
}

/// What senders know of the messages that they sent.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    sent: AtomicU64,
    acknowledged: Mutex<BTreeSet<String>>,
    stop: AtomicBool,
}

impl Ledger {
    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged
            .lock()
            .expect("no sender panicked")
            .clone()
    }

    /// Sends until the server is gone or the test wants no more.
    fn send_until_cut(&self, server: SocketAddr) {
        let Ok(mut client) = Client::connect(server) else {
            return;
        };
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let length_bytes = if number.is_multiple_of(LARGE_EVERY) {
                LARGE_BYTES
            } else {
                (number * 977 % 20_000) as usize
            };
            let message = message(number, length_bytes);
            let to = format!("m{number}@load.example");
            match client.send("a@x.example", &[&to], &message) {
                Ok(reply) => {
                    let (_, digest) = reply.stored();
                    assert_eq!(digest, digest_of(&message));
                    self.acknowledged
                        .lock()
                        .expect("no sender panicked")
                        .insert(digest);
                    self.sent.fetch_add(1, Ordering::SeqCst);
                }
                Err(_) => return,
            }
        }
    }
}

/// Random numbers that `COFFER_TEST_SEED` repeats.
struct Random(u64);

impl Random {
    #[allow(clippy::print_stderr)]
    fn new() -> Self {
        let seed = std::env::var("COFFER_TEST_SEED").map_or_else(
            |_| u64::from(std::process::id()) << 32 | u64::from(now_ns()),
            |seed| seed.parse().expect("COFFER_TEST_SEED is a number"),
        );
        eprintln!("COFFER_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn now_ns() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("the clock is behind 1970").subsec_nanos()
}

/// Sends from all sides until a random moment, and kills the process then.
fn kill_under_load(serving: Serving, ledger: &Ledger, random: &mut Random) {
    let server = serving.smtp();
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| ledger.send_until_cut(server));
        }
        let until = ledger.sent.load(Ordering::SeqCst) + random.below(MESSAGES_BETWEEN);
        wait_for("acknowledged messages", || {
            (ledger.sent.load(Ordering::SeqCst) >= until).then_some(())
        });
        // Nothing is waited for here: this makes the moment a random one.
        let within = random.below(BATCH_MAX.as_micros() as u64);
        std::thread::sleep(Duration::from_micros(within));
        serving.kill();
    });
}

#[test]
fn killed_at_random_moments_under_load_nothing_acknowledged_is_missing() {
    let kills = if is_long() { KILLS_LONG } else { KILLS };
    let mut random = Random::new();
    let folder = Folder::new("killed");
    let archive = Archive::at(folder.join("data"));
    let ledger = Ledger::default();
    for round in 0..kills {
        let serving = archive.serve(&[]);
        let missing: Vec<String> = ledger
            .acknowledged()
            .difference(&archive.digests("to:load.example"))
            .cloned()
            .collect();
        assert_eq!(missing, Vec::<String>::new(), "after {round} kills");
        kill_under_load(serving, &ledger, &mut random);
        if round % VERIFY_EVERY == 0 {
            archive.verify();
        }
    }
    let acknowledged = ledger.acknowledged();
    assert!(
        acknowledged.len() as u64 > kills * MESSAGES_BETWEEN / 4,
        "{} messages",
        acknowledged.len()
    );
    archive.verify();
    let exported = archive.export_eml(&folder.join("eml"));
    assert_eq!(acknowledged.difference(&exported).count(), 0);
    // At the kill each sender had one message on its way that may have been kept or not.
    assert!((exported.len() - acknowledged.len()) as u64 <= kills * SENDERS);
    archive.run("rebuild", &[]);
    assert_same(&archive.digests(""), &exported);
}

/// 1 MiB of mail that does not compress.
const FILLER_BYTES: usize = 1 << 20;

/// Sends 1 MiB messages until one is refused; gives the digests of those that were not.
#[track_caller]
fn send_until_refused(client: &mut Client, first: u64) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    // Compressed, two of them may take less than 1 MiB.
    for number in first..first + 3 * DISK_MIB {
        let message = message(number, FILLER_BYTES);
        let reply = client
            .send("a@x.example", &["all@full.example"], &message)
            .expect("a reply");
        if reply.code != 250 {
            assert!(
                (400..500).contains(&reply.code),
                "a full disk is temporary: {reply:?}"
            );
            return acknowledged;
        }
        acknowledged.insert(reply.stored().1);
    }
    panic!("mail never filled a disk of {DISK_MIB} MiB");
}

/// While mail is refused, everything else goes on, and is logged.
///
/// The index needs room, too: what was found before is found, what came since may be found later.
#[track_caller]
fn check_reading(
    archive: &Archive,
    found_before: &BTreeSet<String>,
    acknowledged: &BTreeSet<String>,
) {
    let found = archive.digests("to:all@full.example");
    assert!(found.is_superset(found_before) && found.is_subset(acknowledged));
    for digest in acknowledged {
        assert_eq!(&digest_of(&archive.show(digest)), digest);
    }
    let events = archive.stat("events");
    assert_eq!(
        archive.stat("events"),
        events + 1,
        "each run of a command is logged"
    );
}

/// Waits until mail is taken again.
fn send_until_taken(serving: &Serving, number: u64) -> String {
    let message = message(number, 1000);
    let reply = wait_for("mail to be taken again", || {
        let reply = serving
            .connect()
            .send("a@x.example", &["all@full.example"], &message)
            .expect("a reply");
        assert!(
            reply.code == 250 || (400..500).contains(&reply.code),
            "{reply:?}"
        );
        (reply.code == 250).then_some(reply)
    });
    reply.stored().1
}

#[test]
fn a_full_disk_refuses_mail_for_a_while_and_nothing_else() {
    let folder = Folder::new("full-disk");
    let Some(disk) = SmallDisk::mount(folder.join("disk")) else {
        return;
    };
    // The log of the server lies on the same disk, as on a computer with one.
    let archive = Archive::at(disk.path().join("data"));
    let serving = archive.serve(&[]);
    let mut client = serving.connect();
    let mut acknowledged = BTreeSet::new();
    acknowledged.insert(
        client
            .send("a@x.example", &["all@full.example"], &message(0, 1000))
            .expect("a reply")
            .stored()
            .1,
    );

    // Somebody else fills the disk, to the last byte.
    assert_same(&archive.digests("to:all@full.example"), &acknowledged);
    let ballast = disk.fill();
    let refused = client
        .send("a@x.example", &["all@full.example"], &message(1, 1000))
        .expect("a reply");
    assert!((400..500).contains(&refused.code), "{refused:?}");
    let large = client
        .send("a@x.example", &["all@full.example"], &message(1, 3 << 20))
        .expect("a reply");
    assert!((400..500).contains(&large.code), "{large:?}");
    check_reading(&archive, &acknowledged, &acknowledged);
    assert_same(&archive.export_eml(&folder.join("1")), &acknowledged);
    fs::remove_file(&ballast).expect("room is made");
    acknowledged.insert(send_until_taken(&serving, 2));

    // Mail fills the disk.
    let found_before = archive.digests("to:all@full.example");
    assert_eq!(found_before, acknowledged);
    let own = disk.path().join("ballast");
    let third = vec![0x5A; (DISK_MIB << 20) as usize / 3];
    fs::write(&own, &third).expect("a third of the disk");
    acknowledged.extend(send_until_refused(&mut client, 1000));
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    check_reading(&archive, &found_before, &acknowledged);
    fs::remove_file(&own).expect("room is made");
    acknowledged.insert(send_until_taken(&serving, 3));
    wait_for("everything to be found", || {
        (archive.digests("to:all@full.example") == acknowledged).then_some(())
    });
    serving.stop();

    archive.verify();
    assert_same(&archive.export_eml(&folder.join("eml")), &acknowledged);
    // A start on a full disk, after a kill on a full disk.
    let serving = archive.serve(&[]);
    let ballast = disk.fill();
    assert_same(&archive.digests("to:all@full.example"), &acknowledged);
    serving.kill();
    let serving = archive.serve(&[]);
    assert_same(&archive.digests("to:all@full.example"), &acknowledged);
    fs::remove_file(&ballast).expect("room is made");
    acknowledged.insert(send_until_taken(&serving, 4));
    serving.stop();
    archive.verify();
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let folder = Folder::new("full-log");
    let archive = Archive::at(folder.join("data"));
    // The server appends its log to this; every write there fails (full(4)).
    std::os::unix::fs::symlink("/dev/full", folder.join("data.serve.log")).expect("a link");
    let serving = archive.serve(&[]);
    // A message that is refused as too large is worth a line in the log.
    let mut client = serving.connect();
    let too_large = client.command(&format!("MAIL FROM:<a@x.example> SIZE={}", u64::MAX));
    assert_eq!(too_large.expect("a reply").code, 552);
    client
        .send("a@x.example", &["b@x.example"], &message(1, 1000))
        .expect("a reply")
        .stored();
    serving.stop();
    archive.verify();
}

/// Connections that say EHLO and nothing more.
const IDLE: usize = 500;

/// Connections that dribble a byte now and then, half of them commands and half content.
const SLOW_LORIS: usize = 50;

/// Messages that are sent beside them.
const BESIDE: u64 = 50;

/// 20 seconds for one message beside them: it takes milliseconds, and a computer under other load must not fail the test.
const PROMPT: Duration = Duration::from_secs(20);

/// 256 MiB: a process for 550 connections and 50 messages; a mebibyte for each connection would be above it.
const MEMORY_MAX_BYTES: u64 = 256 << 20;

#[test]
fn idle_and_slow_connections_hold_nobody_up() {
    let folder = Folder::new("slow-loris");
    let archive = Archive::at(folder.join("data"));
    let serving = archive.serve(&[]);
    let mut idle: Vec<Client> = (0..IDLE).map(|_| serving.connect()).collect();
    let mut slow: Vec<Client> = (0..SLOW_LORIS).map(|_| serving.connect()).collect();
    for client in slow.iter_mut().step_by(2) {
        for (command, code) in [
            ("MAIL FROM:<slow@x.example>", 250),
            ("RCPT TO:<slow@x.example>", 250),
            ("DATA", 354),
        ] {
            assert_eq!(client.command(command).expect("a reply").code, code);
        }
    }
    let (stop, dribbled) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                for client in &mut slow {
                    client
                        .write(b"x")
                        .expect("a slow connection is not closed within a minute");
                }
                dribbled.fetch_add(1, Ordering::SeqCst);
                // The pace of a slow peer; nothing is waited for.
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let _stop = StopOnDrop(&stop);
        wait_for("slow bytes", || {
            (dribbled.load(Ordering::SeqCst) > 2).then_some(())
        });
        for number in 0..BESIDE {
            let began = Instant::now();
            let message = message(number, 10_000);
            let (_, digest) = serving
                .connect()
                .send("a@x.example", &["b@x.example"], &message)
                .expect("a reply")
                .stored();
            assert_eq!(digest, digest_of(&message));
            assert!(
                began.elapsed() < PROMPT,
                "message {number} took {:?}",
                began.elapsed()
            );
        }
    });
    for (index, client) in idle.iter_mut().enumerate() {
        assert_eq!(
            client
                .command("NOOP")
                .expect("an idle connection stays")
                .code,
            250,
            "connection {index}"
        );
    }
    let peak_bytes = serving.memory_peak_bytes();
    assert!(
        peak_bytes < MEMORY_MAX_BYTES,
        "{peak_bytes} bytes of memory"
    );
    drop((idle, slow));
    assert_eq!(archive.search("").len() as u64, BESIDE);
    serving.stop();
    archive.verify();
}

/// Ends the thread that dribbles also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
