//! People at a keeper's desk: they come in, act, and everything stands after a restart.

use super::*;
use crate::keeper::messages::SearchRequest;
use crate::keeper::{KeeperServer, LocalKeeper, SocketKeeper};
use archive::EventKind;
use archive::access::OwnAddress;
use archive::people::{AccountId, Change, LineFault, Role, Step};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::{Moment, Options};

/// A Monday morning.
const NOW_S: i64 = 1_750_000_000;

pub(super) const PASSWORD: &str = "drei Igel im Regen";
const HOUR_S: u64 = 3_600;

/// An archive with a clock that the test sets.
pub(super) struct Archive {
    folder: tempfile::TempDir,
    copy: Option<tempfile::TempDir>,
    clock: Arc<AtomicI64>,
    keeper: Option<Arc<LocalKeeper>>,
}

impl Archive {
    pub(super) fn new() -> Self {
        let mut archive = Self {
            folder: tempfile::tempdir().expect("a folder"),
            copy: None,
            clock: Arc::new(AtomicI64::new(NOW_S)),
            keeper: None,
        };
        archive.open();
        archive
    }

    fn open(&mut self) {
        self.keeper = None;
        let clock = self.clock.clone();
        let options = Options {
            clock: Arc::new(move || Moment {
                at_us: clock.load(Ordering::SeqCst) * 1_000_000,
                synchronised: false,
                uncertainty_ms: None,
            }),
            boot_id: [3; 16],
            volume_bytes_max: store::VOLUME_BYTES_MAX,
            index_threads: 1,
            upkeep: store::WhenUpkeep::Never,
            follower_patience: store::FOLLOWER_PATIENCE,
        };
        let copy = self.copy.as_ref().map(|copy| copy.path());
        let data = self.folder.path();
        let keeper = LocalKeeper::open_with_copy(data, copy, options, &mut |_| {});
        self.keeper = Some(Arc::new(keeper.expect("the archive opens")));
    }

    pub(super) fn keeper(&self) -> &LocalKeeper {
        self.keeper.as_ref().expect("it is open")
    }

    pub(super) fn people(&self) -> People<'_> {
        People::of(self.keeper())
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Claims it and gives the operator's session.
    pub(super) fn claim(&self) -> Token {
        let code = self.keeper().claim_code().expect("it can be read");
        let code = code.expect("nobody has claimed it");
        token(self.people().claim(&code, entering("chef", PASSWORD)))
    }

    fn hours(&self, hours: u64) {
        for _ in 0..hours {
            self.clock.fetch_add(HOUR_S as i64, Ordering::SeqCst);
            self.keeper().pass(HOUR_S).expect("time passes");
        }
    }

    fn give_notices(&self) {
        for notice in self.people().notices_due().expect("notices") {
            let proposal = archive::people::Proposal::from_record(&notice.proposal);
            let number = proposal.expect("a proposal").number;
            let given = self.people().notice_given(number, &notice.address);
            given.expect("a notice");
        }
    }

    /// Kinds and texts of the log's entries about people.
    pub(super) fn log(&self) -> Vec<(EventKind, String, String)> {
        let (leaves, _) = self.keeper().store().progress().expect("open");
        let mut entries = Vec::new();
        let events = self.keeper().store().events(1..leaves + 1, |_, event| {
            entries.push((event.kind, event.account, event.text));
        });
        events.expect("it can be read");
        entries
    }
}

fn visitor(peer: &str) -> Visitor {
    Visitor {
        peer: peer.to_owned(),
        agent: "Browser".to_owned(),
    }
}

pub(super) fn entering(name: &str, password: &str) -> Entering {
    Entering {
        name: name.to_owned(),
        password: password.into(),
        visitor: visitor("192.0.2.7"),
    }
}

pub(super) fn token(entered: Result<Entered, Denial>) -> Token {
    match entered {
        Ok(Entered::In { token, .. }) => token,
        other => panic!("not in: {other:?}"),
    }
}

pub(super) fn own(address: &str) -> OwnAddress {
    OwnAddress {
        address: address.to_owned(),
        from: None,
        until: None,
    }
}

/// Lets the operator propose changes of an account, and waits until their notices have stood.
pub(super) fn give(
    archive: &Archive,
    operator: Token,
    id: AccountId,
    steps: impl IntoIterator<Item = Step>,
) {
    let people = archive.people();
    let acting = people.acting(operator, "");
    for step in steps {
        let waits = acting
            .change(&Change::Account(id, step), "")
            .expect("proposed");
        assert!(waits.is_some());
    }
    archive.give_notices();
    archive.hours(25);
}

#[test]
fn an_archive_is_claimed_once_and_by_its_code() {
    let archive = Archive::new();
    assert_eq!(archive.people().is_claimed(), Ok(false));
    let wrong = archive
        .people()
        .claim("AAAA-BBBB-CCCC", entering("chef", PASSWORD));
    assert_eq!(wrong, Err(Denial::Wrong));
    let code = archive
        .keeper()
        .claim_code()
        .expect("read")
        .expect("a code");
    assert_eq!(
        archive.keeper().claim_code(),
        Ok(Some(code.clone())),
        "the same"
    );
    let weak = archive
        .people()
        .claim(&code, entering("chef", "chefchefchef"));
    assert!(matches!(weak, Err(Denial::Weak(_))), "{weak:?}");
    let written = code.to_lowercase().replace('-', " ");
    let session = token(archive.people().claim(&written, entering("chef", PASSWORD)));
    let session = archive.people().session(session).expect("signed in");
    assert_eq!(session.roles, [Role::Operator]);
    assert_eq!(archive.keeper().claim_code(), Ok(None));
    let again = archive.people().claim(&code, entering("other", PASSWORD));
    assert_eq!(again, Err(Denial::Claim));
}

#[test]
fn only_the_right_password_opens_and_the_log_has_each_try() {
    let archive = Archive::new();
    archive.claim();
    for (name, password) in [
        ("chef", "drei Igel im Wald!"),
        ("chef", ""),
        ("nobody", PASSWORD),
    ] {
        let denied = archive.people().sign_in(entering(name, password));
        assert_eq!(denied, Err(Denial::Wrong), "{name}");
    }
    token(archive.people().sign_in(entering(" Chef", PASSWORD)));
    let failures: Vec<_> = archive
        .log()
        .into_iter()
        .filter(|(kind, ..)| *kind == EventKind::SignInFailed)
        .map(|(_, account, _)| account)
        .collect();
    assert_eq!(
        failures,
        ["chef", "chef", ""],
        "no unknown name is written down"
    );
}

#[test]
fn failures_make_the_next_try_wait_whoever_it_is() {
    for name in ["chef", "nobody"] {
        let archive = Archive::new();
        archive.claim();
        for _ in 0..4 {
            let denied = archive.people().sign_in(entering(name, "wrong"));
            assert_eq!(denied, Err(Denial::Wrong), "{name}");
        }
        let denied = archive.people().sign_in(entering(name, PASSWORD));
        assert_eq!(denied, Err(Denial::Wait { seconds: 1 }), "{name}");
    }
}

#[test]
fn all_stands_after_a_restart() {
    let mut archive = Archive::new();
    let chef = archive.claim();
    let address = Change::Account(AccountId(1024), Step::GiveAddress(own("chef@x.example")));
    let people = archive.people();
    let number = people.acting(chef, "192.0.2.7").change(&address, "");
    assert!(matches!(number, Ok(Some(_))), "{number:?}");
    archive.give_notices();
    archive.hours(12);
    archive.open();
    assert_eq!(
        archive.people().session(chef).map(|session| session.name),
        Err(Denial::NotSignedIn),
        "idle for too long"
    );
    let chef = token(archive.people().sign_in(entering("chef", PASSWORD)));
    archive.open();
    assert!(
        archive.people().session(chef).is_ok(),
        "a restart signs nobody out"
    );
    archive.hours(12);
    assert!(archive.people().notices_due().expect("none").is_empty());
    let effect = archive
        .log()
        .into_iter()
        .any(|(kind, _, text)| kind == EventKind::AccountChanged && text.contains("give address"));
    assert!(effect, "the hours before the restart count");
}

#[test]
fn the_state_file_alone_changes_no_right() {
    let mut archive = Archive::new();
    archive.claim();
    let state = archive.keeper().store().state();
    let name = "account 1024";
    let table = store::StateTable::People;
    let record = state.get(table, name).expect("read").expect("a record");
    let record = String::from_utf8(record).expect("text");
    let forged = record.replace("role: operator\n", "role: operator\nrole: staff\n");
    assert_ne!(forged, record);
    state
        .put(table, name, Some(forged.as_bytes()))
        .expect("written");
    archive.open();
    let chef = token(archive.people().sign_in(entering("chef", PASSWORD)));
    let session = archive.people().session(chef).expect("signed in");
    assert_eq!(session.roles, [Role::Operator]);
    let alarms = |archive: &Archive| {
        let log = archive.log().into_iter();
        log.filter(|(kind, ..)| *kind == EventKind::Alarm).count()
    };
    assert_eq!(alarms(&archive), 1);
    archive.open();
    assert!(archive.people().session(chef).is_ok());
    assert_eq!(alarms(&archive), 1, "only once");
}

#[test]
fn a_lost_state_file_loses_no_right() {
    let mut archive = Archive::new();
    archive.claim();
    archive.keeper = None;
    std::fs::remove_file(archive.path().join("state.redb")).expect("removed");
    archive.open();
    assert_eq!(archive.people().is_claimed(), Ok(true));
    let denied = archive.people().sign_in(entering("chef", PASSWORD));
    assert_eq!(denied, Err(Denial::Wrong), "passwords are gone");
}

#[test]
fn what_the_log_has_and_the_state_file_lacks_counts() {
    let mut archive = Archive::new();
    let chef = archive.claim();
    let people = archive.people();
    let acting = people.acting(chef, "");
    let anna = acting.make_account("anna").expect("an account");
    acting.issue_password(anna).expect("a password");
    let state = archive.keeper().store().state();
    let table = store::StateTable::People;
    let before = state.entries(table).expect("read");
    let disable = Change::Account(anna, Step::Disable);
    assert_eq!(acting.change(&disable, ""), Ok(None));
    // As after a power cut between the log and the state file.
    let old = before
        .into_iter()
        .map(|(name, value)| (table, name, Some(value)));
    state.put_all(&old.collect::<Vec<_>>()).expect("written");
    archive.open();
    let chef = token(archive.people().sign_in(entering("chef", PASSWORD)));
    let accounts = archive.people().acting(chef, "").accounts();
    assert_eq!(
        accounts.expect("a list")[1].state,
        archive::people::State::Disabled
    );
    assert!(
        archive
            .log()
            .iter()
            .all(|(kind, ..)| *kind != EventKind::Alarm)
    );
}

#[test]
fn the_second_disk_knows_everybody() {
    let mut archive = Archive::new();
    archive.copy = Some(tempfile::tempdir().expect("a folder"));
    archive.open();
    let follows = |archive: &Archive| {
        let state = archive.keeper().copy_state();
        state == Some(store::CopyState::InStep)
    };
    while !follows(&archive) {
        std::thread::yield_now();
    }
    let chef = archive.claim();
    archive
        .people()
        .acting(chef, "")
        .make_account("anna")
        .expect("an account");
    archive.keeper = None;
    archive.folder = archive.copy.take().expect("the second disk");
    archive.open();
    assert!(archive.people().session(chef).is_ok());
    let chef = token(archive.people().sign_in(entering("chef", PASSWORD)));
    let accounts = archive.people().acting(chef, "").accounts();
    assert_eq!(accounts.expect("a list").len(), 2);
}

#[test]
fn nobody_acts_without_a_session() {
    let archive = Archive::new();
    archive.claim();
    let stranger = Token([7; 32]);
    let change = Change::NoticeRoute("mail".to_owned());
    let denied = archive.people().acting(stranger, "").change(&change, "");
    assert_eq!(denied, Err(Denial::NotSignedIn));
    let chef = token(archive.people().sign_in(entering("chef", PASSWORD)));
    archive.people().acting(chef, "").sign_out().expect("out");
    assert_eq!(
        archive.people().session(chef).map(drop),
        Err(Denial::NotSignedIn)
    );
    let denied = archive.people().acting(chef, "").approve(1);
    assert_eq!(denied, Err(Denial::NotSignedIn));
}

/// Computes the code of a second factor at a time (RFC 6238).
fn code(secret: &[u8], at_s: i64) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &(at_s as u64 / 30).to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 0xf);
    let cut: [u8; 4] = tag.as_ref()[offset..offset + 4]
        .try_into()
        .expect("4 bytes");
    format!("{:06}", (u32::from_be_bytes(cut) & 0x7fff_ffff) % 1_000_000)
}

#[test]
fn a_code_is_asked_for_and_good_once() {
    let mut archive = Archive::new();
    let chef = archive.claim();
    let people = archive.people();
    let acting = people.acting(chef, "");
    let denied = acting.begin_second_factor("wrong");
    assert_eq!(denied, Err(Denial::Wrong));
    let secret = acting.begin_second_factor(PASSWORD).expect("a secret");
    assert_eq!(acting.confirm_second_factor("000000"), Err(Denial::Wrong));
    let first = code(&secret, NOW_S);
    acting.confirm_second_factor(&first).expect("right");
    let needs_code = |archive: &Archive| match archive.people().sign_in(entering("chef", PASSWORD))
    {
        Ok(Entered::NeedsCode(pending)) => pending,
        other => panic!("{other:?}"),
    };
    let give = |archive: &Archive, pending, code: &str| {
        let entered = archive
            .people()
            .second_factor(pending, code, visitor("192.0.2.7"));
        entered.map(drop)
    };
    let pending = needs_code(&archive);
    assert!(
        archive.people().session(pending).is_err(),
        "half in is not in"
    );
    assert_eq!(
        give(&archive, pending, &first),
        Err(Denial::Wrong),
        "used up"
    );
    archive.clock.fetch_add(60, Ordering::SeqCst);
    let second = code(&secret, NOW_S + 60);
    assert_eq!(give(&archive, pending, &second), Ok(()));
    assert_eq!(give(&archive, pending, &second), Err(Denial::NotSignedIn));
    archive.open();
    let pending = needs_code(&archive);
    assert_eq!(
        give(&archive, pending, &second),
        Err(Denial::Wrong),
        "after a restart, too"
    );
}

#[test]
fn a_reset_closes_what_was_open() {
    let archive = Archive::new();
    let chef = archive.claim();
    let people = archive.people();
    let acting = people.acting(chef, "");
    let anna = acting.make_account("anna").expect("an account");
    assert!(acting.make_account("Anna").is_err());
    let first = acting.issue_password(anna).expect("a password");
    let session = token(people.sign_in(entering("anna", &first.0)));
    let as_anna = people.acting(session, "");
    assert_eq!(as_anna.sessions(), Err(Denial::MustChoosePassword));
    let same = as_anna.choose_password(&first.0, &first.0);
    assert!(matches!(same, Err(Denial::Refused(_))), "{same:?}");
    let weak = as_anna.choose_password(&first.0, "Passwort2024!");
    assert!(matches!(weak, Err(Denial::Weak(_))), "{weak:?}");
    as_anna.choose_password(&first.0, PASSWORD).expect("chosen");
    assert_eq!(as_anna.sessions().expect("hers").len(), 1);
    assert!(
        acting.issue_password(anna).is_err(),
        "she has one of her own"
    );
    let reset = Change::Account(anna, Step::ResetPassword);
    acting.change(&reset, "forgot it").expect("proposed");
    assert!(people.session(session).is_ok(), "not yet");
    archive.hours(23);
    token(people.sign_in(entering("anna", PASSWORD)));
    archive.hours(1);
    let denied = people.sign_in(entering("anna", PASSWORD));
    assert_eq!(denied, Err(Denial::Wrong), "the old password is gone");
}

#[test]
fn a_dry_run_does_nothing_and_a_run_what_it_said() {
    let archive = Archive::new();
    let chef = archive.claim();
    let people = archive.people();
    let acting = people.acting(chef, "");
    let table = "name,roles,addresses\nanna,staff,anna@x.example\nbernd,king,\n";
    let before = archive.log().len();
    let planned = acting.import(table, true).expect("planned");
    assert_eq!(archive.log().len(), before);
    assert_eq!(acting.accounts().expect("a list").len(), 1);
    let done = acting.import(table, false).expect("done");
    assert_eq!(planned, done);
    assert_eq!((done[0].steps.len(), &done[0].fault), (3, &None));
    let unknown = LineFault::UnknownRole("king".to_owned());
    assert_eq!(done[1].fault, Some(unknown));
    let names: Vec<_> = acting
        .accounts()
        .expect("a list")
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["chef", "anna"]);
    assert_eq!(acting.proposals().expect("a list").len(), 2);
}

#[test]
fn the_operator_reads_the_log_in_outline() {
    let archive = Archive::new();
    let chef = archive.claim();
    let people = archive.people();
    let request = SearchRequest {
        query: "kündigung".to_owned(),
        limit: 5,
        ..SearchRequest::default()
    };
    let page = people.acting(chef, "").search(request).expect("searched");
    assert_eq!(page.count, 0, "no operator reads mail");
    let filter = AuditFilter {
        kinds: vec![EventKind::Searched.number(), EventKind::SignedIn.number()],
        ..AuditFilter::default()
    };
    let acting = people.acting(chef, "");
    let page = acting.audit_log(None, 10, filter.clone()).expect("a page");
    let events: Vec<_> = page
        .entries
        .iter()
        .map(|(_, _, event)| store::decode_event(event).expect("an event"))
        .map(|event| (event.kind, event.account, event.text))
        .collect();
    let text = String::new;
    let name = || "chef".to_owned();
    assert_eq!(
        events,
        [
            (EventKind::Searched, name(), text()),
            (EventKind::SignedIn, name(), text())
        ]
    );
    let first = acting.audit_log(None, 1, filter.clone()).expect("a page");
    let rest = acting.audit_log(first.before, 10, filter).expect("a page");
    assert_eq!([first.entries, rest.entries].concat(), page.entries);
}

#[test]
fn the_answers_are_the_same_over_the_socket() {
    let archive = Archive::new();
    let chef = archive.claim();
    let keeper = archive.keeper.clone().expect("it is open");
    let _door = KeeperServer::start(archive.path(), keeper).expect("a door");
    let socket = SocketKeeper::connect(archive.path()).expect("reached");
    let socket = socket.expect("a keeper");
    let (here, there) = (archive.people(), People::of(&socket));
    assert_eq!(here.session(chef), there.session(chef));
    let (mine, theirs) = (here.acting(chef, ""), there.acting(chef, ""));
    assert_eq!(mine.accounts(), theirs.accounts());
    assert_eq!(mine.view(1), theirs.view(1));
    assert_eq!(mine.make_account(""), theirs.make_account(""));
    let change = Change::Account(AccountId(1024), Step::AddRole(Role::Auditor));
    assert_eq!(mine.change(&change, ""), theirs.change(&change, ""));
    assert_eq!(
        mine.body(1, Purpose::Show).map(drop),
        theirs.body(1, Purpose::Show).map(drop)
    );
}

#[test]
fn whoever_has_the_machine_resets_an_operator_and_nobody_else() {
    let archive = Archive::new();
    let chef = archive.claim();
    let people = archive.people();
    people
        .acting(chef, "")
        .make_account("anna")
        .expect("an account");
    assert!(people.reset_at_machine("anna").is_err());
    let (name, _) = people.reset_at_machine("").expect("a password");
    assert_eq!(name, "chef", "who set it up");
    let (_, issued) = people.reset_at_machine("chef").expect("a password");
    assert_eq!(people.session(chef).map(drop), Err(Denial::NotSignedIn));
    let chef = token(people.sign_in(entering("chef", &issued.0)));
    let session = people.session(chef).expect("in");
    assert!(session.must_choose_password);
}

#[test]
fn a_notice_goes_out_and_then_counts() {
    use crate::outgoing::{MailDelivery, Origin, Route};
    use std::io::{BufRead, BufReader, Write};
    let archive = Archive::new();
    let chef = archive.claim();
    let change = Change::Account(AccountId(1024), Step::GiveAddress(own("chef@x.example")));
    let proposed = archive.people().acting(chef, "").change(&change, "mine");
    assert!(matches!(proposed, Ok(Some(_))), "{proposed:?}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("bound").to_string();
    let origin = Origin {
        hostname: "box.example".to_owned(),
        route: Some(Route::plain(&server, "coffer@x.example".to_owned())),
    };
    let keeper: Arc<dyn crate::keeper::Keeper> = archive.keeper.clone().expect("it is open");
    let _delivery = MailDelivery::start(&keeper, origin).expect("a thread");
    let (mut stream, _) = listener.accept().expect("the delivery");
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
    stream.write_all(b"220 hello\r\n").expect("said");
    let mut told = Vec::new();
    let mut answers = ["250 ok", "250 ok", "250 ok", "354 go on"].into_iter();
    while let Some(Ok(line)) = lines.next() {
        let answer = answers.next().or(match line.as_str() {
            "." => Some("250 taken"),
            "QUIT" => Some("221 bye"),
            _ => None,
        });
        if let Some(answer) = answer {
            write!(stream, "{answer}\r\n").expect("said");
        }
        told.push(line);
    }
    assert!(
        told.contains(&"RCPT TO:<chef@x.example>".to_owned()),
        "{told:?}"
    );
    while !archive.people().notices_due().expect("asked").is_empty() {
        std::thread::yield_now();
    }
    archive.hours(24);
    let given = archive
        .log()
        .into_iter()
        .any(|(kind, ..)| kind == EventKind::NoticeGiven);
    let effect = |(kind, _, text): &(EventKind, String, String)| {
        *kind == EventKind::AccountChanged && text.contains("give address")
    };
    assert!(given && archive.log().iter().any(effect));
}

#[test]
fn a_token_for_a_program_ends_with_what_it_stands_on() {
    use archive::people::ApiScope;
    let mut archive = Archive::new();
    let chef = archive.claim();
    let terms = |days, scope| ApiTokenTerms {
        name: "script".to_owned(),
        role: Role::Operator,
        scope,
        days,
    };
    let acting = archive.people().acting(chef, "192.0.2.7");
    let make = |days, scope| acting.make_api_token(terms(days, scope), PASSWORD);
    let wrong = acting.make_api_token(terms(1, ApiScope::Health), "wrong");
    assert_eq!(wrong, Err(Denial::Wrong));
    let may_not = Err(Denial::Refused(archive::people::Refusal::MayNot));
    assert_eq!(
        make(1, ApiScope::Mail),
        may_not,
        "an operator reads no mail"
    );
    let unsound = Err(Denial::Refused(archive::people::Refusal::Unsound));
    assert_eq!(make(0, ApiScope::Health), unsound);
    assert_eq!(make(API_TOKEN_DAYS_MAX + 1, ApiScope::Health), unsound);
    let for_a_day = make(1, ApiScope::Health).expect("a token");
    let for_a_year = make(API_TOKEN_DAYS_MAX, ApiScope::Health).expect("a token");
    let ended = make(1, ApiScope::Health).expect("a token");
    let opens = |archive: &Archive, token| {
        let access = archive.people().api_access(token, "192.0.2.9");
        access.map(|access| access.scope)
    };
    for token in [for_a_day, for_a_year, ended] {
        assert_eq!(opens(&archive, token), Ok(ApiScope::Health));
    }
    assert_eq!(
        opens(&archive, chef),
        Err(Denial::NotSignedIn),
        "a session is none"
    );
    let facts = acting.api_tokens().expect("a list");
    assert_eq!(facts.len(), 3);
    assert!(facts.iter().all(|facts| facts.peer == "192.0.2.9"));
    let digest = store::sha256(&ended.0).to_string();
    let id = facts.iter().find(|facts| digest.starts_with(&facts.id));
    acting
        .end_api_token(&id.expect("listed").id)
        .expect("ended");
    assert_eq!(opens(&archive, ended), Err(Denial::NotSignedIn));
    archive.open();
    let facts = archive.people().acting(chef, "").api_tokens();
    let facts = facts.expect("a list");
    assert!(
        facts.iter().all(|facts| facts.peer == "192.0.2.9"),
        "that they were used stands, too"
    );
    assert_eq!(
        opens(&archive, for_a_day),
        Ok(ApiScope::Health),
        "it stands"
    );
    archive.hours(25);
    assert_eq!(opens(&archive, for_a_day), Err(Denial::NotSignedIn));
    assert_eq!(opens(&archive, for_a_year), Ok(ApiScope::Health));
    archive.people().reset_at_machine("chef").expect("reset");
    assert_eq!(opens(&archive, for_a_year), Err(Denial::NotSignedIn));
    let log = archive.log();
    let about_tokens = log.iter().filter(|(_, _, text)| text.contains("token"));
    assert_eq!(about_tokens.count(), 4, "three made, one ended: {log:?}");
}
