//! Gives an archive somebody who may sign in to its page and read mail: claims it, makes an account of the staff with addresses, and lets
//! the days pass that wider rights wait. Prints tokens for programs: his for mail, and the operator's for health.
//!
//! Only for measuring: the machine's own counter is told that hours passed, which nobody can tell a running archive.

use archive::access::OwnAddress;
use archive::people::{AccountId, ApiScope, Change, Proposal, Role, Step};
use service::keeper::LocalKeeper;
use service::people::{Acting, ApiTokenTerms, Entered, Entering, People, Token, Visitor};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Moment, Options, VOLUME_BYTES_MAX};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: people DATA NAME PASSWORD ADDRESS…";

/// The operator, who only gives rights here.
const OPERATOR: &str = "operator";

/// Hours that a change waits where there is no second person, and one.
const HOURS: u64 = 25;

/// Days that the tokens count: the archive is kept for later runs.
const DAYS: u32 = 366;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, name, password, addresses @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let keeper = LocalKeeper::open(Path::new(data), options(), &mut |_| ())?;
    let people = People::of(&keeper);
    let code = keeper.claim_code()?.ok_or("the archive is claimed")?;
    let operator = token(people.claim(&code, entering(OPERATOR, password))?)?;
    let acting = people.acting(operator, "");
    let id = acting.make_account(name)?;
    let first = acting.issue_password(id)?;
    let person = token(people.sign_in(entering(name, &first.0))?)?;
    people
        .acting(person, "")
        .choose_password(&first.0, password)?;
    let own = addresses.iter().map(|address| {
        Step::GiveAddress(OwnAddress {
            address: address.clone(),
            from: None,
            until: None,
        })
    });
    let mut steps = vec![Step::AddRole(Role::Staff)];
    steps.extend(own);
    give(&keeper, acting, id, steps)?;
    // Waiting ends sessions.
    let operator = token(people.sign_in(entering(OPERATOR, password))?)?;
    let acting = people.acting(operator, "");
    give(&keeper, acting, id, vec![Step::OpenOldMail])?;
    let mail = api_token(people, name, password, Role::Staff, ApiScope::Mail)?;
    let health = api_token(people, OPERATOR, password, Role::Operator, ApiScope::Health)?;
    writeln!(std::io::stdout(), "mail: {mail}\nhealth: {health}")?;
    Ok(())
}

fn api_token(
    people: People<'_>,
    name: &str,
    password: &str,
    role: Role,
    scope: ApiScope,
) -> Outcome<Token> {
    let session = token(people.sign_in(entering(name, password))?)?;
    let terms = ApiTokenTerms {
        name: "measuring".to_owned(),
        role,
        scope,
        days: DAYS,
    };
    Ok(people.acting(session, "").make_api_token(terms, password)?)
}

fn options() -> Options {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let moment = Moment {
        at_us: now.map_or(0, |since| since.as_micros() as i64),
        ..Moment::default()
    };
    Options {
        clock: Arc::new(move || moment),
        boot_id: [0; 16],
        volume_bytes_max: VOLUME_BYTES_MAX,
        index_threads: 1,
        upkeep: store::WhenUpkeep::Never,
        follower_patience: store::FOLLOWER_PATIENCE,
    }
}

/// Proposes changes and lets their time pass.
fn give(keeper: &LocalKeeper, acting: Acting<'_>, id: AccountId, steps: Vec<Step>) -> Outcome {
    for step in steps {
        acting.change(&Change::Account(id, step), "")?;
    }
    let people = People::of(keeper);
    for notice in people.notices_due()? {
        let proposal = Proposal::from_record(&notice.proposal)?;
        people.notice_given(proposal.number, &notice.address)?;
    }
    for _ in 0..HOURS {
        keeper.pass(60 * 60)?;
    }
    Ok(())
}

fn entering(name: &str, password: &str) -> Entering {
    Entering {
        name: name.to_owned(),
        password: password.into(),
        visitor: Visitor::default(),
    }
}

fn token(entered: Entered) -> Outcome<Token> {
    match entered {
        Entered::In { token, .. } => Ok(token),
        Entered::NeedsCode(_) => Err("a code is asked for".into()),
    }
}
