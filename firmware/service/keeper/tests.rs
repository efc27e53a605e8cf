//! The same questions give the same answers in the process and over the socket; a keeper that dies is noticed.

use super::messages::{BodyRequest, SearchRequest, WireAsker};
use super::{Failure, Keeper, KeeperServer, LocalKeeper, SocketKeeper};
use archive::{Envelope, Event, Reception, Recipient};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use store::{Body, Deposit, Moment, Options};

fn options() -> Options {
    let moment = Moment {
        at_us: 1_700_000_000_000_000,
        synchronised: false,
        uncertainty_ms: None,
    };
    Options {
        clock: Arc::new(move || moment),
        boot_id: [3; 16],
        volume_bytes_max: store::VOLUME_BYTES_MAX,
        index_threads: 1,
        upkeep: store::WhenUpkeep::Never,
        follower_patience: store::FOLLOWER_PATIENCE,
    }
}

fn local(data: &Path) -> Arc<dyn Keeper> {
    Arc::new(LocalKeeper::open(data, options(), &mut |_| {}).expect("the archive opens"))
}

fn message(id: usize, length: usize) -> Vec<u8> {
    let text = "Die Rechnung liegt bei. ".repeat(length / 24 + 1);
    format!("From: anna@x.example\r\nTo: bernd@x.example\r\nSubject: Mail {id}\r\n\r\n{text}\r\n")
        .into_bytes()
}

fn by_smtp() -> Deposit {
    let recipients = vec![Recipient {
        address: "steuer@y.example".to_owned(),
        parameters: vec!["NOTIFY=NEVER".to_owned()],
    }];
    let envelope = Envelope {
        reverse_path: "anna@x.example".to_owned(),
        recipients,
        ..Envelope::default()
    };
    let reception = Reception {
        envelope: Some(envelope),
        ..Reception::default()
    };
    Deposit {
        reception,
        unwrap_journal: false,
        actor: 2,
        prompt: true,
    }
}

fn spooled(keeper: &dyn Keeper, bytes: &[u8]) -> Body {
    let mut writer = keeper.spool().writer();
    bytes
        .chunks(100_000)
        .for_each(|chunk| writer.write(chunk).expect("room"));
    writer.finish().expect("spooled")
}

/// Everything that a keeper can be asked, on an archive of its own.
fn conversation(keeper: &dyn Keeper) {
    let mails: Vec<_> = [100, 5_000, 3_000_000]
        .iter()
        .enumerate()
        .map(|(i, length)| message(i, *length))
        .collect();
    let answers: Vec<_> = mails
        .iter()
        .map(|mail| {
            keeper
                .deposit(spooled(keeper, mail), by_smtp())
                .expect("taken")
        })
        .collect();
    let receipts: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.wait().expect("stored"))
        .collect();
    for (mail, receipt) in mails.iter().zip(&receipts) {
        let mut bytes = Vec::new();
        keeper
            .body(BodyRequest::Number(receipt.number))
            .expect("there")
            .write_to(&mut bytes)
            .expect("memory");
        assert!(&bytes == mail);
        let mut again = Vec::new();
        keeper
            .body(BodyRequest::Digest(receipt.digest.0))
            .expect("there")
            .write_to(&mut again)
            .expect("memory");
        assert!(&again == mail);
    }
    let request = SearchRequest {
        query: "rechnung".to_owned(),
        limit: 10,
        snippet_chars: 80,
        fresh: true,
        ..Default::default()
    };
    let page = keeper.search(request).expect("searched");
    assert_eq!((page.count, page.hits.len()), (3, 3));
    assert!(page.hits.iter().all(|hit| !hit.marks.is_empty()));
    assert_eq!(
        keeper
            .matching("to:steuer@y.example", Default::default())
            .expect("matched")
            .len(),
        3
    );

    let details = keeper.details(receipts[0].number).expect("details");
    let reception = store::decode_reception(&details.receptions[0].1).expect("it holds");
    assert_eq!(reception.envelope, by_smtp().reception.envelope);
    assert!(
        keeper
            .log(
                1,
                Event {
                    text: "coffer search".to_owned(),
                    ..Event::default()
                }
            )
            .expect("logged")
            > receipts[2].reception
    );

    keeper
        .put_account("scanner", Some("correct horse".to_owned()))
        .expect("made");
    assert!(keeper.sign_in("scanner", "correct horse").expect("asked"));
    assert!(
        !keeper.sign_in("scanner", "wrong").expect("asked")
            && !keeper.sign_in("nobody", "").expect("asked")
    );
    assert_eq!(keeper.accounts().expect("names"), ["scanner"]);
    assert!(matches!(
        keeper.put_account("nobody", None),
        Err(Failure::NotFound(_))
    ));

    let proofs = keeper.prove(&[receipts[1].number], None).expect("proofs");
    assert!(proofs[0].proof.starts_with("c2sp.org/tlog-proof@v1\n"));
    keeper.rebuild(&mut |_, _| {}).expect("rebuilt");
    let mut steps = 0;
    let report = keeper
        .verify(None, None, &mut |_, _| steps += 1)
        .expect("read");
    assert_eq!((report.findings.len(), report.messages), (0, 3));
    assert!(steps > 0, "long work tells how far it has come");
    assert_eq!(keeper.stats().expect("figures").totals.messages, 3);
    assert!(matches!(
        keeper.body(BodyRequest::Number(9_999)),
        Err(Failure::NotFound(_))
    ));
}

#[test]
fn a_hit_names_the_copies_that_the_asker_may_see() {
    let data = tempfile::tempdir().expect("a directory");
    let keeper = local(data.path());
    let mail = message(1, 100);
    let with_lf: Vec<u8> = mail.iter().copied().filter(|b| *b != b'\r').collect();
    let mut from_folder = by_smtp();
    from_folder.reception.envelope = None;
    let travelled = [b"Received: by mx.example\r\n", &mail[..]].concat();
    let put = |mail: &[u8], how| {
        let answer = keeper.deposit(spooled(&*keeper, mail), how);
        answer.and_then(super::Answer::wait).expect("stored").number
    };
    let numbers = [
        put(&mail, from_folder),
        put(&with_lf, by_smtp()),
        put(&travelled, by_smtp()),
    ];
    let found = |asker| {
        let request = SearchRequest {
            query: "rechnung".to_owned(),
            asker,
            limit: 10,
            fresh: true,
            ..Default::default()
        };
        let page = keeper.search(request).expect("searched");
        let hit = |hit: &super::messages::Hit| (hit.entry.number, hit.copies.clone());
        (page.count, page.hits.iter().map(hit).collect::<Vec<_>>())
    };
    let steuer = WireAsker::Person(vec![("steuer@y.example".to_owned(), None, None)]);
    assert_eq!(
        found(WireAsker::Owner),
        (1, vec![(numbers[0], numbers[1..].to_vec())])
    );
    assert_eq!(found(steuer), (1, vec![(numbers[1], vec![numbers[2]])]));
}

#[test]
fn in_the_process() {
    let data = tempfile::tempdir().expect("a directory");
    conversation(&*local(data.path()));
}

#[test]
fn over_the_socket_also_under_a_long_path() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().join("x".repeat(150));
    let keeper = local(&data);
    let server = KeeperServer::start(&data, keeper).expect("a socket");
    let client = SocketKeeper::connect(&data)
        .expect("reachable")
        .expect("running");
    conversation(&client);
    drop(server);
    assert!(
        SocketKeeper::connect(&data)
            .expect("nothing there")
            .is_none()
    );
}

#[test]
fn the_second_program_is_told_plainly() {
    let data = tempfile::tempdir().expect("a directory");
    let first = local(data.path());
    let second = LocalKeeper::open(data.path(), options(), &mut |_| {});
    let Err(Failure::InUse(text)) = second else {
        panic!("the directory has an owner")
    };
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    drop(first);
    local(data.path());
}

#[test]
fn a_keeper_that_dies_leaves_nobody_waiting() {
    let data = tempfile::tempdir().expect("a directory");
    let dead = UnixListener::bind(data.path().join("keeper.sock")).expect("a socket");
    let client = SocketKeeper::connect(data.path())
        .expect("reachable")
        .expect("running");
    let answer = client
        .deposit(Body::Memory(message(1, 10)), by_smtp())
        .expect("sent");
    drop(dead);
    // The kernel closes the connection that nobody had accepted, as it does for a killed process.
    assert!(matches!(answer.wait(), Err(Failure::Unreachable(_))));
    assert!(matches!(
        (&client as &dyn Keeper).stats(),
        Err(Failure::Unreachable(_))
    ));
    assert!(
        SocketKeeper::connect(data.path())
            .expect("a socket of nobody")
            .is_none()
    );
}
