//! What somebody can learn of mail that is not his, by anything that is counted, listed, cut out or said: nothing.
//!
//! Two archives are asked the same. One has the mail of the whole office; the other one only Anna's, as if the rest had never
//! been sent. Whatever she asks, both must answer her the same.

use super::tests::{Archive, PASSWORD, give, token};
use super::*;
use crate::keeper::Keeper;
use crate::keeper::messages::{BodyRequest, Hit, SearchRequest};
use archive::people::{AccountId, ApiScope, Role, Step};
use archive::{Envelope, Reception, Recipient};
use store::{Body, Deposit};

const ANNA: &str = "anna@kanzlei.example";
const BERND: &str = "bernd@kanzlei.example";
const CHEF: &str = "chef@kanzlei.example";
const STRANGER: &str = "rechnung@lieferant.example";

/// A message: from, to, envelope recipients, subject and text; whether Anna may see it.
type Mail = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    bool,
);

const OFFICE: [Mail; 10] = [
    (
        STRANGER,
        ANNA,
        &[ANNA],
        "Rechnung Juni",
        "Toner und Papier",
        true,
    ),
    (
        STRANGER,
        ANNA,
        &[ANNA, BERND],
        "Rechnung Juli",
        "Papier und Klammern",
        true,
    ),
    (
        ANNA,
        STRANGER,
        &[STRANGER, CHEF],
        "Mahnung",
        "Das Papier fehlt",
        true,
    ),
    (
        STRANGER,
        BERND,
        &[BERND],
        "Rechnung geheim",
        "Fusion mit Papier",
        false,
    ),
    (
        CHEF,
        BERND,
        &[BERND],
        "Kündigung",
        "Anna wird gekündigt, Papier folgt",
        false,
    ),
    (
        CHEF,
        BERND,
        &[BERND, ANNA],
        "Protokoll",
        "Sitzung am Montag",
        true,
    ),
    (
        BERND,
        CHEF,
        &[CHEF],
        "Kündigung",
        "Anna wird gekündigt, Papier folgt",
        false,
    ),
    (STRANGER, CHEF, &[CHEF], "Toner", "Papierstau", false),
    (
        CHEF,
        STRANGER,
        &[STRANGER, BERND],
        "Angebot",
        "Fusion im Herbst",
        false,
    ),
    (STRANGER, ANNA, &[ANNA], "Lieferung", "Papierkorb", true),
];

/// What Anna asks.
const QUERIES: [&str; 32] = [
    "",
    "papier",
    "papier*",
    "pap*",
    "rechnung",
    "fusion",
    "kündigung",
    "gekündigt",
    "anna",
    "-papier",
    "-fusion",
    "rechnung OR fusion",
    "\"fusion mit papier\"",
    "\"papier und\"",
    "from:chef",
    "from:bernd",
    "to:bernd",
    "to:bernd@kanzlei.example",
    "-to:bernd",
    "to:chef",
    "to:chef@kanzlei.example",
    "-to:chef",
    "to:anna",
    "to:ber*",
    "bernd",
    "chef@kanzlei.example",
    "subject:kündigung",
    "subject:rechnung -to:bernd",
    "has:attachment",
    "larger:1",
    "after:2000",
    "toner papierstau",
];

fn bytes_of((from, to, _, subject, text, _): &Mail, id: usize) -> Vec<u8> {
    format!("From: {from}\r\nTo: {to}\r\nMessage-ID: <{id}@x.example>\r\nSubject: {subject}\r\n\r\n{text}\r\n").into_bytes()
}

fn deposit(keeper: &dyn Keeper, from: &str, recipients: &[&str], bytes: Vec<u8>) -> u64 {
    let recipient = |address: &&str| Recipient {
        address: (*address).to_owned(),
        parameters: Vec::new(),
    };
    let envelope = Envelope {
        reverse_path: from.to_owned(),
        recipients: recipients.iter().map(recipient).collect(),
        ..Envelope::default()
    };
    let deposit = Deposit {
        reception: Reception {
            envelope: Some(envelope),
            ..Reception::default()
        },
        unwrap_journal: false,
        actor: 2,
        prompt: true,
    };
    let answer = keeper.deposit(Body::Memory(bytes), deposit).expect("taken");
    answer.wait().expect("stored").number
}

/// An archive in which Anna is signed in.
struct Asked {
    archive: Archive,
    anna: Token,
}

impl Asked {
    fn new(is_whole_office: bool) -> Self {
        let archive = Archive::new();
        for (id, mail) in OFFICE.iter().enumerate() {
            let (from, to, recipients, .., is_annas) = mail;
            // Of her mail she is shown the hidden recipients only if she wrote it, and herself.
            let is_shown =
                |one: &&&str| is_whole_office || *from == ANNA || **one == *to || **one == ANNA;
            let recipients: Vec<&str> = recipients.iter().filter(is_shown).copied().collect();
            if is_whole_office || *is_annas {
                deposit(archive.keeper(), from, &recipients, bytes_of(mail, id));
            }
        }
        let anna = sign_in_anna(&archive);
        (archive.keeper() as &dyn Keeper).flush().expect("indexed");
        Self { archive, anna }
    }

    fn anna(&self) -> Acting<'_> {
        self.archive.people().acting(self.anna, "192.0.2.9")
    }

    fn numbers(&self) -> std::ops::Range<u64> {
        1..self.archive.keeper().store().progress().expect("open").0 + 20
    }

    /// Everything that a page of hits says, with digests in place of numbers.
    fn page(&self, query: &str, offset: u64, limit: u64) -> String {
        let request = SearchRequest {
            query: query.to_owned(),
            offset,
            limit,
            by_relevance: true,
            snippet_chars: 60,
            ..SearchRequest::default()
        };
        let page = self.anna().search(request).expect("a page");
        let hit = |hit: &Hit| {
            let copies: Vec<_> = hit.copies.iter().map(|copy| self.digest(*copy)).collect();
            let entry = (
                hit.entry.digest,
                &hit.entry.subject,
                &hit.entry.to,
                hit.entry.attachments,
            );
            format!("{entry:?} {:?} {:?} {copies:?}", hit.snippet, hit.marks)
        };
        let hits: Vec<_> = page.hits.iter().map(hit).collect();
        format!("{} {hits:#?} {:?}", page.count, page.notes)
    }

    fn digest(&self, number: u64) -> [u8; 32] {
        self.anna().entries(vec![number]).expect("asked")[0].digest
    }

    /// The same hits, one page behind the other by the place of the last one.
    fn behind(&self, query: &str, limit: u64) -> Vec<[u8; 32]> {
        let (mut digests, mut behind) = (Vec::new(), None);
        loop {
            let request = SearchRequest {
                query: query.to_owned(),
                limit,
                behind,
                ..SearchRequest::default()
            };
            let hits = self.anna().search(request).expect("a page").hits;
            let Some(last) = hits.last() else {
                return digests;
            };
            behind = Some((last.entry.date, last.entry.number));
            digests.extend(hits.iter().map(|hit| hit.entry.digest));
        }
    }

    /// Everything that she is told about each message that she may see, in the order of their digests.
    fn views(&self) -> Vec<String> {
        let mut views = Vec::new();
        for number in self.numbers() {
            let Ok(seen) = self.anna().view(number) else {
                continue;
            };
            let linked: Vec<_> = seen
                .linked
                .iter()
                .map(|other| self.digest(*other))
                .collect();
            let mut bytes = Vec::new();
            let body = self.anna().body(number, Purpose::Download).expect("hers");
            body.write_to(&mut bytes).expect("memory");
            let text = String::from_utf8_lossy(&bytes);
            views.push(format!(
                "{:?} {:?} {} {linked:?} {} {text}",
                seen.entry.digest,
                seen.hidden,
                seen.is_whole,
                seen.copies.len()
            ));
        }
        views.sort();
        views
    }
}

fn sign_in_anna(archive: &Archive) -> Token {
    let chef = archive.claim();
    let people = archive.people();
    let acting = people.acting(chef, "");
    let id = acting.make_account("anna").expect("an account");
    assert_eq!(id, AccountId(1025));
    let first = acting.issue_password(id).expect("a password");
    give(
        archive,
        chef,
        id,
        [
            Step::AddRole(Role::Staff),
            Step::GiveAddress(super::tests::own(ANNA)),
        ],
    );
    let anna = token(people.sign_in(super::tests::entering("anna", &first.0)));
    let chosen = people.acting(anna, "").choose_password(&first.0, PASSWORD);
    chosen.expect("chosen");
    let chef = token(people.sign_in(super::tests::entering("chef", PASSWORD)));
    give(archive, chef, id, [Step::OpenOldMail]);
    token(people.sign_in(super::tests::entering("anna", PASSWORD)))
}

#[test]
fn no_answer_tells_of_mail_that_is_not_ones_own() {
    let (office, hers) = (Asked::new(true), Asked::new(false));
    for query in QUERIES {
        for (offset, limit) in [(0, 50), (0, 2), (2, 2), (4, 50), (1_000, 50)] {
            assert_eq!(
                office.page(query, offset, limit),
                hers.page(query, offset, limit),
                "{query} from {offset}"
            );
        }
    }
    for query in QUERIES {
        for limit in [1, 3] {
            let found = office.behind(query, limit);
            assert_eq!(found, hers.behind(query, limit), "{query} by {limit}");
        }
    }
    assert_eq!(office.views(), hers.views());
    assert_eq!(
        hers.views().len(),
        OFFICE.iter().filter(|mail| mail.5).count()
    );
}

/// Whoever knows how well a message fits learns how frequent its words are in all mail, so the best never come first for a person.
#[test]
fn nobody_is_given_an_order_that_words_of_others_decide() {
    let archive = Archive::new();
    let to_anna = |subject: &str, text: &str, id: usize| {
        let mail = format!(
            "From: {STRANGER}\r\nTo: {ANNA}\r\nMessage-ID: <{id}@x>\r\nSubject: {subject}\r\n\r\n{text}\r\n"
        );
        deposit(archive.keeper(), STRANGER, &[ANNA], mail.into_bytes())
    };
    let best = to_anna("Fusion Fusion", "Fusion", 1);
    let newest = to_anna(
        "Brief",
        "Fusion unter vielen anderen Wörtern, die sonst nirgends stehen",
        2,
    );
    let anna = sign_in_anna(&archive);
    let keeper = archive.keeper() as &dyn Keeper;
    keeper.flush().expect("indexed");
    let request = SearchRequest {
        query: "fusion".to_owned(),
        limit: 10,
        by_relevance: true,
        ..SearchRequest::default()
    };
    let numbers = |page: crate::keeper::messages::SearchPage| {
        let hits = page.hits.iter().map(|hit| hit.entry.number);
        hits.collect::<Vec<_>>()
    };
    let hers = archive.people().acting(anna, "").search(request.clone());
    assert_eq!(numbers(hers.expect("found")), [newest, best]);
    let owners = keeper.search(request).expect("found");
    assert_eq!(numbers(owners), [best, newest], "who sees all mail may");
}

/// A program with a token of hers gets the answers that she gets, and none of what she sees by another role.
#[test]
fn a_token_is_no_way_around() {
    let office = Asked::new(true);
    let terms = |role, scope| ApiTokenTerms {
        name: "script".to_owned(),
        role,
        scope,
        days: 1,
    };
    let by_token = terms(Role::Staff, ApiScope::Mail);
    let token = office.anna().make_api_token(by_token, PASSWORD);
    let token = token.expect("a token");
    let program = Asked {
        archive: office.archive,
        anna: token,
    };
    let hers = Asked::new(false);
    for query in QUERIES {
        assert_eq!(
            program.page(query, 0, 50),
            hers.page(query, 0, 50),
            "{query}"
        );
    }
    assert_eq!(program.views(), hers.views());
    let denied = Err(Denial::NotSignedIn);
    assert_eq!(program.anna().sessions().map(drop), denied);
    assert_eq!(program.anna().api_tokens().map(drop), denied);
    assert_eq!(
        program.anna().choose_password(PASSWORD, "x").map(drop),
        denied
    );
    let people = program.archive.people();
    assert_eq!(people.session(token).map(drop), denied);
    let log = program.archive.log();
    let searches = log
        .iter()
        .filter(|(kind, ..)| *kind == archive::EventKind::Searched);
    assert_eq!(searches.count(), QUERIES.len());
}

#[test]
fn a_number_tells_nothing_of_what_is_behind_it() {
    let office = Asked::new(true);
    let numbers: Vec<u64> = office.numbers().collect();
    let mine: Vec<u64> = office
        .anna()
        .entries(numbers.clone())
        .expect("entries")
        .iter()
        .map(|entry| entry.number)
        .collect();
    assert_eq!(mine.len(), OFFICE.iter().filter(|mail| mail.5).count());
    for number in numbers.into_iter().filter(|number| !mine.contains(number)) {
        let not_found = crate::keeper::Failure::NotFound(format!("message {number}"));
        let denied = Err(Denial::Failed(not_found.clone()));
        assert_eq!(office.anna().view(number).map(drop), denied);
        assert_eq!(office.anna().prove(vec![number], None).map(drop), denied);
        for purpose in [Purpose::Show, Purpose::Download, Purpose::Export(7)] {
            let body = office.anna().body(number, purpose);
            assert_eq!(body.map(drop), Err(not_found.clone()), "{purpose:?}");
        }
    }
    let mut export = OwnMail::begin(office.anna(), "", None, "eml").expect("an export");
    assert_eq!(export.count(), mine.len());
    let entries = crate::export::ExportSource::next_entries(&mut export).expect("entries");
    let exported: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
    assert_eq!(exported, mine);
}

#[test]
fn a_bcc_field_that_was_left_in_is_shown_to_its_sender_alone() {
    let archive = Archive::new();
    let text = format!(
        "From: {CHEF}\r\nTo: {ANNA}\r\nBcc: {BERND}\r\nSubject: Sitzung\r\n\r\nBcc: {BERND}\r\n"
    );
    let to_anna = deposit(
        archive.keeper(),
        CHEF,
        &[ANNA, BERND],
        text.clone().into_bytes(),
    );
    let hers = text
        .replace(CHEF, ANNA)
        .replace("To: anna", "To: chef")
        .into_bytes();
    let from_anna = deposit(archive.keeper(), ANNA, &[CHEF, BERND], hers.clone());
    let anna = sign_in_anna(&archive);
    (archive.keeper() as &dyn Keeper).flush().expect("indexed");
    let people = archive.people();
    let acting = people.acting(anna, "");
    let bytes = |body: Result<Body, _>| {
        let mut bytes = Vec::new();
        body.expect("hers").write_to(&mut bytes).expect("memory");
        bytes
    };
    let seen = acting.view(to_anna).expect("hers");
    assert_eq!((seen.is_whole, seen.hidden), (false, Vec::new()));
    let without = text
        .replacen(&format!("Bcc: {BERND}\r\n"), "", 1)
        .into_bytes();
    assert_eq!(bytes(acting.body(to_anna, Purpose::Download)), without);
    let seen = acting.view(from_anna).expect("hers");
    assert_eq!((seen.is_whole, seen.hidden), (true, vec![BERND.to_owned()]));
    assert_eq!(bytes(acting.body(from_anna, Purpose::Download)), hers);
    let owner = archive.keeper().body(BodyRequest::Number(to_anna));
    assert_eq!(
        bytes(owner),
        text.into_bytes(),
        "the archive has it exactly"
    );
}

#[test]
fn what_somebody_does_with_mail_is_in_the_log_before_he_has_it() {
    use archive::EventKind::{Exported, Searched, Viewed};
    let office = Asked::new(true);
    let before = office.archive.log().len();
    office.page("papier", 0, 2);
    let number = office
        .numbers()
        .find(|number| office.anna().view(*number).is_ok());
    let number = number.expect("some mail");
    for purpose in [Purpose::Show, Purpose::Show, Purpose::Download] {
        office.anna().body(number, purpose).expect("hers");
    }
    OwnMail::begin(office.anna(), "rechnung", None, "zip").expect("an export");
    let log = &office.archive.log()[before..];
    let kinds: Vec<_> = log.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(
        kinds,
        [Searched, Viewed, Exported, Exported],
        "one view, however often it is shown"
    );
    assert!(log.iter().all(|(_, account, _)| account == "anna"));
    assert_eq!(
        (log[0].2.as_str(), log[3].2.as_str()),
        ("papier", "rechnung")
    );
}
