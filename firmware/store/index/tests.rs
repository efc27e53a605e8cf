//! What a search must find, told by tables and by a second, slow reading of the same rules.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use archive::access::{Asker, Facts, OwnAddress, Scope, may_see};
use archive::query::{Field, Match, Query, Text, parse};
use proptest::prelude::*;
use tantivy::directory::RamDirectory;

use super::*;
use crate::disk::Disk;
use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};

const OPTIONS: WriterOptions = WriterOptions {
    threads: 1,
    memory_bytes: MEMORY_BYTES,
    merging: Merging::InCommit,
};
const ALL: Page = Page {
    order: Order::Newest,
    offset: 0,
    limit: 1000,
    behind: None,
};

const ANNA: &str = "anna.meier@kanzlei.example";
const BERND: &str = "bernd@kanzlei.example";
const CHEF: &str = "chef@kanzlei.example";
const INFO: &str = "info@kanzlei.example";
const SUPPLIER: &str = "rechnung@lieferant.example";

fn person(name: &str, address: &str) -> Person {
    Person {
        name: (!name.is_empty()).then(|| name.to_owned()),
        address: address.to_owned(),
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// An office's messages: numbered from 1 in the order of coming, a day apart, each of a thousand bytes more.
fn office() -> Vec<Document> {
    let anna = || vec![person("Anna Meier", ANNA)];
    let bernd = || vec![person("Müller, Bernd", BERND)];
    let supplier = || vec![person("Lieferant GmbH & Co. KG", SUPPLIER)];
    let letter = |subject: &str, body: &str| Document {
        subject: subject.to_owned(),
        body: body.to_owned(),
        ..Document::default()
    };
    let documents = vec![
        Document {
            from: supplier(),
            to: anna(),
            attachments: strings(&["Rechnung_2024-4711.pdf"]),
            has_attachment: true,
            ..letter(
                "Rechnung Nr. 4711",
                "Sehr geehrte Frau Meier,\nanbei die Rechnung für März.",
            )
        },
        Document {
            from: supplier(),
            to: bernd(),
            cc: anna(),
            ..letter("Mahnung", "Die Rechnung 4711 ist offen. Nr. 7")
        },
        Document {
            from: anna(),
            to: supplier(),
            senders: strings(&[ANNA]),
            hidden: strings(&[CHEF]),
            ..letter("Re: Rechnung Nr. 4711", "Wird bezahlt. Grüße, Anna")
        },
        Document {
            from: anna(),
            to: bernd(),
            senders: strings(&[ANNA]),
            hidden: strings(&[CHEF, INFO]),
            ..letter(
                "Straßenfest",
                "Herr Mueller, kommst Du zum Fest in der Große Straße?",
            )
        },
        Document {
            from: bernd(),
            to: anna(),
            senders: strings(&[BERND]),
            ..letter("AW: Straßenfest", "Ja! Bis Freitag.")
        },
        Document {
            from: vec![person("", "news@shop.example")],
            to: vec![person("", INFO)],
            hidden: strings(&[ANNA]),
            message_id: Some("<a1@shop.example>".into()),
            ..letter("Big sale", "Prices are falling. The price is right.")
        },
        Document {
            from: vec![person("", CHEF)],
            to: vec![person("", INFO)],
            senders: strings(&[CHEF]),
            ..letter("Gehälter", "Vertraulich: die Gehaltsliste")
        },
        Document {
            from: vec![person("", "test@coffer.example")],
            to: anna(),
            self_test: true,
            ..letter("Test", "Rechnung")
        },
        Document {
            from: supplier(),
            to: anna(),
            attachments: strings(&["Scan.PDF", "Übersicht März.xlsx"]),
            has_attachment: true,
            ..letter("", "")
        },
        Document {
            from: vec![person("René Dupont", "rene@example.fr")],
            to: bernd(),
            hidden: strings(&[BERND, CHEF]),
            ..letter("Café à Paris", "Muller: l'été prochain. nr")
        },
    ];
    let numbered = documents
        .into_iter()
        .zip(1..)
        .map(|(document, sequence)| Document {
            sequence,
            sent_at: 86_400 * sequence as i64,
            arrived_at: 1000 * sequence as i64,
            size_bytes: 1000 * sequence,
            ..document
        });
    numbered.collect()
}

/// Makes an index of these documents, with a segment for every `per_segment` of them.
fn index_of(documents: &[Document], per_segment: usize) -> Index {
    let index = Index::open(RamDirectory::create()).expect("an index");
    let mut writer = index.writer(OPTIONS).expect("a writer");
    for some in documents.chunks(per_segment) {
        some.iter()
            .try_for_each(|document| writer.add(document))
            .expect("room");
        writer.commit(0).expect("a commit");
    }
    index
}

fn asking(addresses: &[(&str, Option<i64>, Option<i64>)]) -> Asker {
    let own = |&(address, from, until): &(&str, _, _)| OwnAddress {
        address: address.to_owned(),
        from,
        until,
    };
    Asker::Person {
        addresses: addresses.iter().map(own).collect(),
    }
}

fn askers() -> Vec<Asker> {
    let mut askers = vec![Asker::Owner, Asker::Nobody, asking(&[])];
    askers.extend(
        [ANNA, BERND, CHEF, INFO, SUPPLIER].map(|address| asking(&[(address, None, None)])),
    );
    askers.push(asking(&[
        (INFO, Some(4000), Some(7000)),
        (CHEF, Some(9000), None),
    ]));
    askers.push(asking(&[
        (" Anna.MEIER@kanzlei.example", None, Some(6000)),
        (BERND, None, None),
    ]));
    for (typed, own) in [
        ("rechnung -chef", None),
        ("", Some(INFO)),
        ("to:chef", Some(BERND)),
    ] {
        let address = |own: &str| OwnAddress {
            address: own.to_owned(),
            from: Some(2000),
            until: None,
        };
        askers.push(Asker::Granted {
            addresses: own.map(address).into_iter().collect(),
            scopes: vec![Scope {
                addresses: None,
                numbers: Some(vec![2, 3, 4, 6, 9]),
                query: parse(typed, 0).expect("a query").query,
            }],
        });
    }
    askers
}

/// Reads the rules word by word: the truth that the index is held against.
fn is_found(query: &Query, document: &Document, asker: &Asker) -> bool {
    match query {
        Query::Everything => true,
        Query::Nothing => false,
        Query::Text(text) => text_is_found(text, document, asker),
        Query::Before(time) => document.sent_at < *time,
        Query::After(time) => document.sent_at >= *time,
        Query::LargerThan(size) => document.size_bytes > *size,
        Query::SmallerThan(size) => document.size_bytes < *size,
        Query::HasAttachment => document.has_attachment,
        Query::MessageId(id) => document.message_id.as_deref() == Some(&format!("<{id}>")),
        Query::Number(number) => document.sequence == *number,
        Query::And(all) => all.iter().all(|one| is_found(one, document, asker)),
        Query::Or(any) => any.iter().any(|one| is_found(one, document, asker)),
        Query::Not(inner) => !is_found(inner, document, asker),
    }
}

fn text_is_found(text: &Text, document: &Document, asker: &Asker) -> bool {
    let written = |person: &Person| {
        format!(
            "{} {}",
            person.name.as_deref().unwrap_or_default(),
            person.address
        )
    };
    let people = |people: &[Person]| people.iter().any(|person| text.matches(&written(person)));
    let hidden = || {
        with_facts(document, |facts| {
            asker.filter().hidden_term(text).finds(text, facts)
        })
    };
    match text.field {
        Field::From => people(&document.from),
        Field::To => people(&document.to) || people(&document.cc) || hidden(),
        Field::Cc => people(&document.cc),
        Field::Bcc => hidden(),
        Field::Subject => text.matches(&document.subject),
        Field::Body => text.matches(&document.body),
        Field::FileName => document.attachments.iter().any(|name| text.matches(name)),
        Field::Any => [
            Field::From,
            Field::To,
            Field::Subject,
            Field::Body,
            Field::FileName,
        ]
        .into_iter()
        .any(|field| {
            text_is_found(
                &Text {
                    field,
                    ..text.clone()
                },
                document,
                asker,
            )
        }),
    }
}

fn with_facts<T>(document: &Document, decide: impl FnOnce(&Facts<'_>) -> T) -> T {
    let visible: Vec<&str> = document
        .to
        .iter()
        .chain(&document.cc)
        .map(|person| person.address.as_str())
        .collect();
    let hidden: Vec<&str> = document.hidden.iter().map(String::as_str).collect();
    let senders: Vec<&str> = document.senders.iter().map(String::as_str).collect();
    decide(&Facts {
        visible: &visible,
        hidden: &hidden,
        senders: &senders,
        at: document.arrived_at,
        number: document.sequence,
        found_by: &[],
    })
}

/// Those queries of the asker's scopes that find a document for the owner.
fn released_queries_finding(document: &Document, asker: &Asker) -> Vec<Query> {
    let Asker::Granted { scopes, .. } = asker else {
        return Vec::new();
    };
    let queries = scopes.iter().map(|scope| scope.query.clone());
    queries
        .filter(|query| is_found(query, document, &Asker::Owner))
        .collect()
}

/// The number of the first message of its group.
fn group_of(document: &Document) -> u64 {
    match document.first_copy {
        0 => document.sequence,
        first => first,
    }
}

/// Demands that count and hits are what the rules say, and gives the hits.
fn check_against_rules(
    index: &Index,
    documents: &[Document],
    query: &Query,
    asker: &Asker,
) -> Vec<u64> {
    let sees = |document: &&Document| {
        let found_by = &released_queries_finding(document, asker);
        with_facts(document, |facts| {
            may_see(asker, &Facts { found_by, ..*facts })
        })
    };
    let matching: Vec<&Document> = documents
        .iter()
        .filter(|document| !document.self_test)
        .filter(sees)
        .filter(|document| is_found(query, document, asker))
        .collect();
    let numbers: Vec<u64> = matching.iter().map(|document| document.sequence).collect();
    let all = index.all(query, asker, false).expect("a search");
    assert_eq!(all, numbers, "every copy of {query:?} for {asker:?}");
    let mut groups = HashSet::new();
    let mut expected: Vec<(i64, u64)> = matching
        .iter()
        .filter(|document| groups.insert(group_of(document)))
        .map(|document| (document.sent_at, document.sequence))
        .collect();
    expected.sort_unstable();
    let expected: Vec<u64> = expected
        .into_iter()
        .rev()
        .map(|(_, sequence)| sequence)
        .collect();
    let found = index.search(query, asker, ALL, false).expect("a search");
    assert_eq!(found.hits, expected, "hits of {query:?} for {asker:?}");
    assert_eq!(
        found.count,
        expected.len() as u64,
        "count of {query:?} for {asker:?}"
    );
    for order in [Order::Newest, Order::Relevance] {
        let page = index
            .search(
                query,
                asker,
                Page {
                    order,
                    offset: 1,
                    limit: 2,
                    behind: None,
                },
                false,
            )
            .expect("a search");
        assert_eq!(
            page.count, found.count,
            "count on a page of {query:?} for {asker:?}"
        );
        assert_eq!(
            page.hits.len(),
            expected.len().saturating_sub(1).min(2),
            "page of {query:?} for {asker:?}"
        );
        assert!(
            page.hits.iter().all(|hit| expected.contains(hit)),
            "page of {query:?} for {asker:?}"
        );
        if order == Order::Newest {
            assert!(
                expected[expected.len().min(1)..].starts_with(&page.hits),
                "page of {query:?} for {asker:?}"
            );
        }
    }
    let ranked = Page {
        order: Order::Relevance,
        ..ALL
    };
    let mut ranked = index
        .search(query, asker, ranked, false)
        .expect("a search")
        .hits;
    ranked.sort_unstable();
    let mut in_order = expected.clone();
    in_order.sort_unstable();
    assert_eq!(ranked, in_order, "by relevance {query:?} for {asker:?}");
    let none = index
        .search(query, asker, Page { limit: 0, ..ALL }, false)
        .expect("a search");
    assert_eq!(
        (none.count, none.hits.len()),
        (found.count, 0),
        "count alone of {query:?} for {asker:?}"
    );
    found.hits
}

/// What the owner types, and the numbers of what he finds, newest first.
const QUERIES: &[(&str, &[u64])] = &[
    ("", &[10, 9, 7, 6, 5, 4, 3, 2, 1]),
    ("rechnung", &[9, 3, 2, 1]),
    ("Rechnung Nr", &[3, 2, 1]),
    ("\"Rechnung Nr. 4711\"", &[3, 1]),
    ("\"rechnung 4711\"", &[2]),
    ("\"rechnung n\"*", &[3, 1]),
    ("rechn*", &[9, 3, 2, 1]),
    ("subject:rechnung", &[3, 1]),
    ("body:rechnung", &[2, 1]),
    ("-rechnung", &[10, 7, 6, 5, 4]),
    ("-rechnung -straßenfest", &[10, 7, 6]),
    ("rechnung -mahnung", &[9, 3, 1]),
    ("mahnung OR gehälter", &[7, 2]),
    ("(mahnung OR rechnung) -from:anna", &[9, 2, 1]),
    ("müller", &[10, 5, 4, 2]),
    ("mueller", &[10, 5, 4, 2]),
    ("muller", &[10, 5, 4, 2]),
    ("body:muller", &[10]),
    ("body:mueller", &[4]),
    ("body:müller", &[10, 4]),
    ("strassenfest", &[5, 4]),
    ("\"grosse strasse\"", &[4]),
    ("\"größe straße\"", &[4]),
    ("\"herr müller\"", &[4]),
    ("\"müller bernd\"", &[10, 5, 4, 2]),
    ("gruesse", &[3]),
    ("grusse", &[3]),
    ("cafe a paris", &[10]),
    ("from:anna", &[4, 3]),
    ("from:lieferant.example", &[9, 2, 1]),
    ("from:anna.meier@kanzlei.example", &[4, 3]),
    ("from:kanzlei", &[7, 5, 4, 3]),
    ("to:anna", &[9, 6, 5, 2, 1]),
    ("cc:anna", &[2]),
    ("bcc:anna", &[6]),
    ("bcc:chef", &[10, 4, 3]),
    ("to:chef", &[10, 4, 3]),
    ("chef", &[10, 7, 4, 3]),
    ("to:\"meier anna\"", &[9, 5, 2, 1]),
    ("to:\"bernd anna\"", &[]),
    ("has:attachment", &[9, 1]),
    ("filename:pdf", &[9, 1]),
    ("filename:uebersicht*", &[9]),
    ("filename:\"scan übersicht\"", &[]),
    ("larger:8k", &[10, 9]),
    ("smaller:3k", &[3, 2, 1]),
    ("before:1970-01-03", &[1]),
    ("after:1970-01-10", &[10, 9]),
    ("on:1970-01-06", &[5]),
    ("rechnung before:1970-01-05 -has:attachment", &[3, 2]),
    ("id:<a1@shop.example>", &[6]),
    ("id:a1@shop.example", &[6]),
    ("id:<A1@shop.example>", &[]),
    ("number:7", &[7]),
    ("number:8", &[]),
    ("\"!?\"", &[]),
    ("zzz", &[]),
    ("-zzz", &[10, 9, 7, 6, 5, 4, 3, 2, 1]),
];

#[test]
fn every_query_finds_its_messages_for_every_asker() {
    let documents = office();
    for per_segment in [100, 3, 1] {
        let index = index_of(&documents, per_segment);
        for (typed, expected) in QUERIES {
            let query = parse(typed, 0).expect("a query").query;
            for asker in askers() {
                let hits = check_against_rules(&index, &documents, &query, &asker);
                if asker == Asker::Owner {
                    assert_eq!(hits, *expected, "{typed}");
                }
            }
        }
    }
}

/// Letters whose words come often enough that tantivy packs them in several blocks, and some that hold a rare word.
fn circulars() -> Vec<Document> {
    let verbs = ["calls", "checks", "closes", "räumt"];
    let nouns = ["case", "cat", "house", "Cäsar"];
    let circular = |sequence: u64| {
        let (verb, noun) = (sequence as usize * 7 % 4, sequence as usize * 5 % 3);
        let rare = match sequence % 17 {
            0 => format!("the caesar{sequence} of the"),
            1 => format!("of cards{sequence} the"),
            _ => String::new(),
        };
        let again = "of the end ".repeat((sequence % 9) as usize);
        Document {
            sequence,
            sent_at: (sequence * 31 % 500) as i64,
            body: format!(
                "{again} He {} a {} {rare} of all the {}s",
                verbs[verb],
                nouns[noun],
                nouns[3 - noun]
            ),
            ..Document::default()
        }
    };
    (1..=600).map(circular).collect()
}

#[test]
fn rows_of_frequent_and_rare_words_are_found() {
    let documents = circulars();
    for per_segment in [1000, 250, 170] {
        let index = index_of(&documents, per_segment);
        for typed in [
            "\"of the\"",
            "\"of the end of the\"",
            "\"the end\"",
            "\"the c\"*",
            "\"the ca\"*",
            "\"the cä\"*",
            "\"the caesar1\"*",
            "\"a ca\"*",
            "\"räumt a c\"*",
            "\"of c\"*",
            "\"of x\"*",
            "\"the c\"* -\"of the\"",
            "\"of c\"* OR \"checks a\"",
            "c* \"of the\"",
        ] {
            let query = parse(typed, 0).expect("a query").query;
            let hits = check_against_rules(&index, &documents, &query, &Asker::Owner);
            assert_eq!(hits.is_empty(), typed == "\"of x\"*", "{typed}");
        }
    }
}

#[test]
fn a_quiet_index_has_few_segments() {
    let documents = office();
    let index = index_of(&documents, 2);
    let segments = || index.tantivy.searchable_segment_ids().expect("ids").len();
    assert_eq!(segments(), 5);
    let mut writer = index.writer(OPTIONS).expect("a writer");
    for expected in [3, 1, 1] {
        writer.merge_in_quiet().expect("merged");
        assert_eq!(segments(), expected);
        assert_eq!(index.reader.searcher().segment_readers().len(), expected);
    }
    let found = index.all(&Query::Everything, &Asker::Owner, true);
    assert_eq!(found.expect("a search"), (1..=10).collect::<Vec<_>>());
}

#[test]
fn hidden_recipients_are_found_only_by_those_who_may_know() {
    let index = index_of(&office(), 4);
    for (address, typed, expected) in [
        (ANNA, "bcc:chef", &[4, 3][..]),
        (BERND, "bcc:chef", &[]),
        (BERND, "chef", &[]),
        (BERND, "to:info", &[]),
        (BERND, "bcc:kanzlei.example", &[10]),
        (CHEF, "bcc:info", &[]),
        (CHEF, "bcc:kanzlei", &[10, 4, 3]),
        (INFO, "bcc:chef", &[]),
        (INFO, "bcc:inf*", &[4]),
        (INFO, "-bcc:chef", &[7, 6, 4]),
        (BERND, "-chef", &[10, 5, 4, 2]),
        (CHEF, "-chef", &[]),
        (SUPPLIER, "chef", &[]),
    ] {
        let query = parse(typed, 0).expect("a query").query;
        let found = index
            .search(&query, &asking(&[(address, None, None)]), ALL, false)
            .expect("a search");
        assert_eq!(found.hits, expected, "{typed} by {address}");
    }
}

#[test]
fn self_tests_are_found_when_asked_for() {
    let index = index_of(&office(), 4);
    let query = parse("subject:test", 0).expect("a query").query;
    let found = |with_self_tests| {
        index
            .search(&query, &Asker::Owner, ALL, with_self_tests)
            .expect("a search")
    };
    assert_eq!(
        found(true),
        Found {
            count: 1,
            hits: vec![8],
            copies: vec![vec![]],
            lacks_from: None,
        }
    );
    assert_eq!(found(false), Found::default());
}

#[test]
fn a_document_replaces_the_older_one_of_its_number() {
    let directory = RamDirectory::create();
    let index = Index::open(directory.clone()).expect("an index");
    let mut writer = index.writer(OPTIONS).expect("a writer");
    let count = |index: &Index, typed: &str| {
        let query = parse(typed, 0).expect("a query").query;
        index
            .search(&query, &Asker::Owner, ALL, false)
            .expect("a search")
            .count
    };
    let document = |sequence, body: &str| Document {
        sequence,
        body: body.to_owned(),
        ..Document::default()
    };
    writer.add(&document(u64::MAX, "eins")).expect("room");
    writer.add(&document(5, "eins")).expect("room");
    writer.add(&document(5, "zwei")).expect("room");
    writer.add(&document(u64::MAX, "zwei")).expect("room");
    writer.commit(1).expect("a commit");
    assert_eq!(
        (
            count(&index, "eins"),
            count(&index, "zwei"),
            count(&index, "")
        ),
        (0, 2, 2)
    );
    writer.add(&document(5, "drei")).expect("room");
    assert_eq!(
        count(&index, "drei"),
        0,
        "nothing is found before the commit"
    );
    writer.commit(2).expect("a commit");
    assert_eq!(
        (
            count(&index, "zwei"),
            count(&index, "drei"),
            count(&index, "")
        ),
        (1, 1, 2)
    );
    writer.close().expect("closed");

    let index = Index::open(directory).expect("the same index");
    let mut writer = index.writer(OPTIONS).expect("a writer");
    writer.add(&document(5, "vier")).expect("room");
    writer.remove(u64::MAX);
    writer.remove(77);
    writer.commit(3).expect("a commit");
    assert_eq!(
        (
            count(&index, "zwei"),
            count(&index, "vier"),
            count(&index, "")
        ),
        (0, 1, 1)
    );
}

#[test]
fn the_watermark_is_that_of_the_last_commit() {
    let directory = RamDirectory::create();
    let index = Index::open(directory.clone()).expect("an index");
    assert_eq!(index.watermark().expect("a payload"), None);
    let mut writer = index.writer(OPTIONS).expect("a writer");
    assert!(index.writer(OPTIONS).is_err(), "a second writer");
    for document in office() {
        writer.add(&document).expect("room");
        writer.commit(document.sequence).expect("a commit");
    }
    writer.commit(40).expect("a commit of nothing");
    writer
        .add(&Document {
            sequence: 41,
            ..Document::default()
        })
        .expect("room");
    drop(writer);
    let index = Index::open(directory).expect("the same index");
    assert_eq!(index.watermark().expect("a payload"), Some(40));
    assert_eq!(
        index
            .search(&Query::Everything, &Asker::Owner, ALL, true)
            .expect("a search")
            .count,
        10
    );
    let segments = || {
        let ids = index.tantivy.searchable_segment_ids();
        ids.expect("segments")
    };
    let mut writer = index.writer(OPTIONS).expect("a writer");
    writer.merge_segments(&segments()).expect("merged");
    writer.close().expect("closed");
    assert_eq!(index.watermark().expect("a payload"), Some(40));
    assert_eq!(segments().len(), 1);
    assert_eq!(
        index
            .search(&Query::Everything, &Asker::Owner, ALL, true)
            .expect("a search")
            .count,
        10
    );
}

/// Opens the index of a simulated disk.
fn index_on(disk: &SimDisk) -> Index {
    let folder = folder_name();
    disk.create_dir(Path::new(&folder)).expect("a folder");
    Index::open(DiskDirectory::open(Arc::new(disk.clone()), folder.as_str()).expect("a directory"))
        .expect("an index")
}

#[test]
fn with_one_thread_every_run_takes_the_same_steps() {
    let run = || {
        let disk = SimDisk::new();
        let mut writer = index_on(&disk).writer(OPTIONS).expect("a writer");
        let mut steps = Vec::new();
        for round in 0..20 {
            for document in office() {
                let sequence = 5 * round + document.sequence;
                writer
                    .add(&Document {
                        sequence,
                        ..document
                    })
                    .expect("room");
            }
            writer.commit(round).expect("a commit");
            steps.push(disk.steps());
        }
        let segments = writer.close().map(|()| {
            index_on(&disk)
                .tantivy
                .searchable_segment_ids()
                .expect("segments")
                .len()
        });
        (steps, segments.expect("closed"))
    };
    let (steps, segments) = run();
    assert!(segments < 8, "segments are merged: {segments}");
    assert_eq!(run(), (steps, segments));
}

/// Opens the index of a simulated disk, with its directory.
fn try_index_on(disk: &SimDisk) -> crate::Result<(Index, DiskDirectory)> {
    let directory = DiskDirectory::open(Arc::new(disk.clone()), folder_name().as_str());
    let directory = directory.expect("a directory");
    Ok((Index::open(directory.clone())?, directory))
}

/// Commits a document more each time, and the first one anew; then merges, and closes in order.
fn commit_and_merge(index: &Index) -> crate::Result<()> {
    let mut writer = index.writer(OPTIONS)?;
    for sequence in 1..=3 {
        for sequence in [1, sequence] {
            writer.add(&Document {
                sequence,
                ..Document::default()
            })?;
        }
        writer.commit(sequence)?;
    }
    let merged = writer.merge_in_quiet();
    writer.close()?;
    merged
}

/// Makes an index with a bit flipped at a step; tells whether that was seen.
fn is_flipped_bit_seen(disk: &SimDisk, at_step: u64) -> bool {
    let kind = FaultKind::FlippedBit;
    disk.set_fault(Some(Fault { at_step, kind }));
    let Ok((index, directory)) = try_index_on(disk) else {
        return true;
    };
    match commit_and_merge(&index) {
        Ok(()) => directory.close(),
        Err(error) => assert!(directory.is_damaged(), "{error:?}"),
    }
    directory.is_damaged()
}

/// Tantivy took a flipped length for true and asked for exabytes, which ended the process.
#[test]
fn no_flipped_bit_is_believed() {
    let disk = SimDisk::new();
    assert!(!is_flipped_bit_seen(&disk, u64::MAX));
    let (steps, mut seen, mut seen_later) = (disk.steps(), 0, 0);
    let is_long = std::env::var_os("COFFER_TEST_LONG").is_some();
    for at_step in (1..=steps).step_by(if is_long { 1 } else { 7 }) {
        let disk = SimDisk::new();
        let was_seen = is_flipped_bit_seen(&disk, at_step);
        seen += u64::from(was_seen);
        match try_index_on(&disk) {
            Ok((index, _)) => {
                let indexed = index.watermark().expect("a payload").unwrap_or(0);
                let found = index.search(&Query::Everything, &Asker::Owner, ALL, true);
                assert_eq!(found.expect("a search").count, indexed, "at {at_step}");
                assert!(was_seen || indexed == 3, "at {at_step}");
            }
            Err(_) => seen_later += u64::from(!was_seen),
        }
    }
    assert!(seen > 20, "{seen} of {steps}");
    // Which steps those are hangs on how the writer's threads take turns, so that every seventh may meet none.
    assert!(!is_long || seen_later > 0, "a list that only opening reads");
}

#[test]
fn after_a_power_cut_the_watermark_tells_what_is_there() {
    for crash in [
        Crash::LoseUnsynced,
        Crash::KeepSome { seed: 1 },
        Crash::KeepSome { seed: 2 },
    ] {
        let disk = SimDisk::new();
        for _ in 0..3 {
            let index = index_on(&disk);
            let indexed = index.watermark().expect("a payload").unwrap_or(0);
            let count = index
                .search(&Query::Everything, &Asker::Owner, ALL, true)
                .expect("a search")
                .count;
            assert_eq!(count, indexed, "messages after {crash:?}");
            let mut writer = index.writer(OPTIONS).expect("a writer");
            for sequence in indexed + 1..indexed + 12 {
                writer
                    .add(&Document {
                        sequence,
                        ..Document::default()
                    })
                    .expect("room");
                writer.commit(sequence).expect("a commit");
            }
            writer
                .add(&Document {
                    sequence: indexed + 12,
                    ..Document::default()
                })
                .expect("room");
            drop(writer);
            disk.crash(crash);
        }
    }
}

#[test]
fn pages_follow_each_other_in_the_order_of_dates() {
    let dates = [3, 1, 2, 3, 3, 0, -5, i64::MAX, i64::MIN, 2];
    let documents: Vec<Document> = dates
        .into_iter()
        .cycle()
        .zip(1..=500)
        .map(|(sent_at, sequence)| Document {
            sequence,
            sent_at,
            ..Document::default()
        })
        .collect();
    let mut expected: Vec<(i64, u64)> = documents
        .iter()
        .map(|document| (document.sent_at, document.sequence))
        .collect();
    expected.sort_unstable();
    expected.reverse();
    let expected: Vec<u64> = expected.into_iter().map(|(_, sequence)| sequence).collect();
    for per_segment in [500, 77] {
        let index = index_of(&documents, per_segment);
        for limit in [1, 7, 50, 499, 500, 501] {
            let mut hits = Vec::new();
            for offset in (0..=500).step_by(limit) {
                let page = Page {
                    offset,
                    limit,
                    ..ALL
                };
                let found = index
                    .search(&Query::Everything, &Asker::Owner, page, false)
                    .expect("a search");
                assert_eq!(found.count, 500);
                hits.extend(found.hits);
            }
            assert_eq!(hits, expected, "pages of {limit}");
            let behind = one_behind_the_other(&index, &documents, &Asker::Owner, limit);
            assert_eq!(behind, expected, "pages of {limit}");
        }
        let beyond = Page {
            offset: usize::MAX,
            limit: usize::MAX,
            ..ALL
        };
        let found = index
            .search(&Query::Everything, &Asker::Owner, beyond, false)
            .expect("a search");
        assert_eq!(
            found,
            Found {
                count: 500,
                ..Found::default()
            }
        );
    }
}

#[test]
fn relevance_puts_the_better_fit_first() {
    let document = |sequence, body: &str| Document {
        sequence,
        body: body.to_owned(),
        ..Document::default()
    };
    let index = index_of(
        &[
            document(
                1,
                "fest und viele andere Worte, die mit dem Thema nichts zu tun haben",
            ),
            document(2, "fest fest fest"),
            document(3, "anderes"),
            document(
                4,
                "fest und viele andere Worte, die mit dem Thema nichts zu tun haben",
            ),
        ],
        100,
    );
    let query = parse("fest", 0).expect("a query").query;
    let page = Page {
        order: Order::Relevance,
        ..ALL
    };
    assert_eq!(
        index
            .search(&query, &Asker::Owner, page, false)
            .expect("a search")
            .hits,
        [2, 4, 1]
    );
}

/// Four mails in several copies, the first of which only Anna may see, and one mail alone.
fn copies() -> Vec<Document> {
    let copy = |sequence, first_copy, to: &str| Document {
        sequence,
        first_copy,
        sent_at: 100 - (sequence as i64 / 3),
        to: vec![person("", to)],
        subject: "Rechnung".to_owned(),
        ..Document::default()
    };
    let mut documents: Vec<Document> = (0..4)
        .flat_map(|mail| {
            let first = 1 + 3 * mail;
            [
                copy(first, 0, ANNA),
                copy(first + 1, first, BERND),
                copy(first + 2, first, BERND),
            ]
        })
        .collect();
    documents.push(Document {
        sent_at: 98,
        ..copy(13, 0, BERND)
    });
    documents
}

#[test]
fn copies_are_one_result_that_tells_nothing_of_hidden_ones() {
    let documents = copies();
    let anna = asking(&[(ANNA, None, None)]);
    let bernd = asking(&[(BERND, None, None)]);
    let both = asking(&[(ANNA, None, None), (BERND, None, None)]);
    for (per_segment, groups_at_once) in [(100, 100), (100, 1), (2, 3), (1, 2)] {
        let mut index = index_of(&documents, per_segment);
        index.groups_at_once = groups_at_once;
        let check = |typed: &str, asker: &Asker, expected: &[u64]| {
            let query = parse(typed, 0).expect("a query").query;
            let hits = check_against_rules(&index, &documents, &query, asker);
            assert_eq!(hits, expected, "{typed} for {asker:?}");
        };
        check("rechnung", &Asker::Owner, &[1, 4, 13, 7, 10]);
        check("rechnung", &both, &[1, 4, 13, 7, 10]);
        check("rechnung", &anna, &[1, 4, 7, 10]);
        check("rechnung", &bernd, &[2, 5, 13, 8, 11]);
        check("to:bernd", &Asker::Owner, &[2, 5, 13, 8, 11]);
        check("number:3", &bernd, &[3]);
        check("number:1", &bernd, &[]);
        check("number:3 OR number:5 OR number:6", &both, &[5, 3]);
        check("mahnung", &Asker::Owner, &[]);
    }
}

#[test]
fn pages_go_on_across_copies() {
    let documents: Vec<Document> = copies()
        .iter()
        .cycle()
        .zip(0..300)
        .map(|(document, at)| {
            let shift = at / 13 * 13;
            let shifted = |number| if number == 0 { 0 } else { number + shift };
            Document {
                sequence: shifted(document.sequence),
                first_copy: shifted(document.first_copy),
                sent_at: document.sent_at * (at as i64 % 7),
                ..document.clone()
            }
        })
        .collect();
    for asker in [Asker::Owner, asking(&[(BERND, None, None)])] {
        for (per_segment, groups_at_once, limit) in
            [(300, 1000, 7), (40, 10, 1), (1, 3, 50), (77, 1, 23)]
        {
            let mut index = index_of(&documents, per_segment);
            index.groups_at_once = groups_at_once;
            let all = check_against_rules(&index, &documents, &Query::Everything, &asker);
            let mut hits = Vec::new();
            for offset in (0..=all.len()).step_by(limit) {
                let page = Page {
                    offset,
                    limit,
                    ..ALL
                };
                let found = index
                    .search(&Query::Everything, &asker, page, false)
                    .expect("a search");
                assert_eq!(found.count, all.len() as u64);
                hits.extend(found.hits);
            }
            assert_eq!(hits, all, "pages of {limit}");
            let behind = one_behind_the_other(&index, &documents, &asker, limit);
            assert_eq!(behind, all, "pages of {limit}");
        }
    }
}

/// All hits, each page asked for by the last hit of the one before.
fn one_behind_the_other(
    index: &Index,
    documents: &[Document],
    asker: &Asker,
    limit: usize,
) -> Vec<u64> {
    let mut hits = Vec::new();
    let mut page = Page { limit, ..ALL };
    loop {
        let found = index
            .search(&Query::Everything, asker, page, false)
            .expect("a search");
        let Some(last) = found.hits.last() else {
            return hits;
        };
        let mut of = documents.iter().filter(|one| one.sequence == *last);
        page.behind = of.next().map(|one| (one.sent_at, one.sequence));
        hits.extend(found.hits);
    }
}

/// Words that share forms and beginnings, so that random queries meet random texts.
const WORDS: [&str; 9] = [
    "müller", "muller", "mueller", "rechnung", "rech", "über", "uber", "a", "chef",
];

fn some_words(most: usize) -> impl Strategy<Value = String> {
    some_of(&WORDS, most)
}

fn some_of(words: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), 0..=most).prop_map(|words| words.join(" "))
}

/// Words that make pairs, and neighbours of theirs.
const FREQUENT: [&str; 10] = [
    "of", "the", "für", "fur", "fuer", "t", "through", "über", "4711", "東",
];

fn some_addresses() -> impl Strategy<Value = Vec<String>> {
    let address = prop::sample::select(&[ANNA, BERND, CHEF, INFO, "müller@x.example", "chef"][..]);
    prop::collection::vec(address.prop_map(str::to_owned), 0..3)
}

fn some_people() -> impl Strategy<Value = Vec<Person>> {
    (some_words(2), some_addresses()).prop_map(|(name, addresses)| {
        addresses
            .iter()
            .map(|address| person(&name, address))
            .collect()
    })
}

fn some_document() -> impl Strategy<Value = Document> {
    let texts = (
        some_words(3),
        some_words(8),
        prop::collection::vec(some_words(2), 0..3),
    );
    let people = (
        some_people(),
        some_people(),
        some_people(),
        some_addresses(),
        some_addresses(),
    );
    (
        texts,
        people,
        0..5i64,
        0..5i64,
        0..5u64,
        any::<bool>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(
                (subject, body, attachments),
                (from, to, cc, senders, hidden),
                sent_at,
                arrived_at,
                size_bytes,
                has_attachment,
                self_test,
            )| {
                let message_id = None;
                Document {
                    sequence: 0,
                    first_copy: 0,
                    sent_at,
                    arrived_at,
                    size_bytes,
                    subject,
                    body,
                    from,
                    senders,
                    to,
                    cc,
                    hidden,
                    message_id,
                    attachments,
                    has_attachment,
                    self_test,
                }
            },
        )
}

fn some_query() -> impl Strategy<Value = Query> {
    use Field::{Any, Bcc, Body, Cc, FileName, From, Subject, To};
    let text = (
        prop::sample::select(&[Any, Any, From, To, Cc, Bcc, Bcc, Subject, Body, FileName][..]),
        some_words(3),
        prop::sample::select(&[Match::Words, Match::Phrase, Match::Prefix][..]),
    );
    let leaf = prop_oneof![
        6 => text.prop_map(|(field, text, matching)| Query::Text(Text { field, text, matching })),
        1 => (0..5i64).prop_map(Query::Before),
        1 => (0..5i64).prop_map(Query::After),
        1 => (0..5u64).prop_map(Query::LargerThan),
        1 => (0..5u64).prop_map(Query::SmallerThan),
        1 => (0..30u64).prop_map(Query::Number),
        1 => Just(Query::HasAttachment),
        1 => Just(Query::Everything),
        1 => Just(Query::Nothing),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::Or),
            inner.prop_map(|query| Query::Not(Box::new(query))),
        ]
    })
}

fn some_own() -> impl Strategy<Value = Vec<OwnAddress>> {
    let time = || prop::option::of(0..5i64);
    let own = (some_addresses(), time(), time()).prop_map(|(addresses, from, until)| {
        let own = |address| OwnAddress {
            address,
            from,
            until,
        };
        addresses.into_iter().map(own).collect::<Vec<_>>()
    });
    prop::collection::vec(own, 0..3).prop_map(|own| own.concat())
}

fn some_asker() -> impl Strategy<Value = Asker> {
    let person = some_own().prop_map(|addresses| Asker::Person { addresses });
    let numbers = prop::option::of(prop::collection::vec(0..30u64, 0..5));
    let others = prop::option::of(some_own());
    let granted =
        (some_own(), others, numbers, some_query()).prop_map(|(own, addresses, numbers, query)| {
            Asker::Granted {
                addresses: own,
                scopes: vec![Scope {
                    addresses,
                    numbers,
                    query,
                }],
            }
        });
    prop_oneof![1 => Just(Asker::Owner), 1 => Just(Asker::Nobody), 8 => person, 4 => granted]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_finds_for_any_asker_what_the_rules_say(
        documents in prop::collection::vec((some_document(), prop::option::of(0..6usize)), 1..25),
        searches in prop::collection::vec((some_query(), some_asker()), 60),
        per_segment in 1..25usize,
        groups_at_once in 1..5usize,
    ) {
        let mut firsts = [0; 6];
        let documents: Vec<Document> = documents
            .into_iter()
            .zip(1..)
            .map(|((document, group), sequence)| {
                let first_copy = group.map_or(0, |group| firsts[group]);
                if let Some(group) = group.filter(|_| first_copy == 0) {
                    firsts[group] = sequence;
                }
                Document { sequence, first_copy, ..document }
            })
            .collect();
        let mut index = index_of(&documents, per_segment);
        index.groups_at_once = groups_at_once;
        for (query, asker) in &searches {
            check_against_rules(&index, &documents, query, asker);
        }
    }

    #[test]
    fn the_newest_are_those_of_all_matches_in_order(
        mail in prop::collection::vec((-20..20i64, 0..4usize, prop::option::weighted(0.2, 0..9usize)), 1..600),
        disorder in prop::sample::select(&[0, 1, 30][..]),
        per_segment in prop::sample::select(&[64, 150, 200, 600][..]),
        removed in prop::collection::vec(1..600u64, 0..4),
        pages in prop::collection::vec((0..620usize, 0..70usize), 12),
    ) {
        let mut firsts = [0; 9];
        let mut documents: Vec<Document> = mail
            .into_iter()
            .zip(1..)
            .map(|((date, rarity, group), sequence)| {
                let first_copy = group.map_or(0, |group| firsts[group]);
                if let Some(group) = group.filter(|_| first_copy == 0) {
                    firsts[group] = sequence;
                }
                let rare = if date == 7 { " selten" } else { "" };
                Document {
                    sequence,
                    first_copy,
                    sent_at: sequence as i64 / 8 + date * disorder,
                    subject: ["oft", "oft immer", "oft", "immer"][rarity].to_owned() + rare,
                    to: vec![person("", if date % 3 == 0 { ANNA } else { BERND })],
                    ..Document::default()
                }
            })
            .collect();
        let mut index = index_of(&documents, per_segment);
        index.stretches = Arc::new(AllStretches::of_len(64));
        let mut writer = index.writer(OPTIONS).expect("a writer");
        for sequence in &removed {
            writer.remove(*sequence);
        }
        writer.commit(0).expect("a commit");
        documents.retain(|document| !removed.contains(&document.sequence));
        for (typed, asker) in [
            ("", Asker::Owner),
            ("oft", Asker::Owner),
            ("oft -immer", asking(&[(BERND, None, None)])),
            ("immer", asking(&[(ANNA, None, None)])),
            ("selten", Asker::Owner),
        ] {
            let query = parse(typed, 0).expect("a query").query;
            let all = check_against_rules(&index, &documents, &query, &asker);
            for (offset, limit) in &pages {
                let page = Page { offset: *offset, limit: *limit, ..ALL };
                let found = index.search(&query, &asker, page, false).expect("a search");
                prop_assert_eq!(found.count, all.len() as u64);
                let expected: Vec<u64> = all.iter().skip(*offset).take(*limit).copied().collect();
                prop_assert_eq!(found.hits, expected);
            }
        }
    }

    #[test]
    fn pairs_find_what_places_would(
        bodies in prop::collection::vec(some_of(&FREQUENT, 12), 1..40),
        rows in prop::collection::vec((some_of(&FREQUENT, 4), prop::bool::ANY, prop::bool::ANY), 60),
        per_segment in 1..40usize,
    ) {
        let documents: Vec<Document> = bodies
            .into_iter()
            .zip(1..)
            .map(|(body, sequence)| Document { sequence, body, ..Document::default() })
            .collect();
        let index = index_of(&documents, per_segment);
        for (text, in_body, prefix) in rows {
            let field = if in_body { Field::Body } else { Field::Any };
            let matching = if prefix { Match::Prefix } else { Match::Phrase };
            let query = Query::Text(Text { field, text, matching });
            check_against_rules(&index, &documents, &query, &Asker::Owner);
        }
    }
}
