//! The records of accounts, proposals and grants in the audit log and in `state.redb`: UTF-8 lines `name: value`, each ended by LF.
//!
//! | record | lines, in this order; `*` any number, `?` at most one |
//! |---|---|
//! | `coffer-account: 1` | `id`, `name`, `display-name`, `role`\*, `address`\*, `former`\*, `state` (active, disabled, removed), `lock`? (since, then `own` or `others`: whose password it is), `second-factor` (yes, no), `settles-in-s` |
//! | `coffer-proposal: 1` | `number`, change, `proposed-by`, `proposed-at`, `reason`, `favoured-by`?, `objected-by`?, `notice`\* (`given` or `due`, then the address), `waited-s`, `age-s`, `shown-s`? (none is 0) |
//! | `coffer-grant: 1` | `number`, `account`, terms, `left-s`, `ended` (yes, no) |
//! | `coffer-register: 1` | `last-number`, `latest`, `notice-route`? |
//! | `coffer-end: 1` | `number`: this proposal waits no longer |
//! | `coffer-change: 1` | change; on its way to the keeper only |
//!
//! A change is `notice-route`, or `account` and `step` (the words of [`step_name`]) with what that step needs: `role`,
//! `address`, `name`, `grant`, or terms. Terms are `from`, `until`, `by-address` (yes, no), `scope-address`\*, `by-number` (yes,
//! no), `scope-number`\*, `query` in its canonical form. An address is its first second, the second after its last
//! (`-` for none) and the address. Times are Unix seconds. In values `\` is written `\\` and LF `\n`.
//!
//! A reader keeps lines that it does not know and writes them at the end; it refuses a higher version.

use std::fmt::Display;
use std::str::FromStr;

use super::{
    Account, AccountId, Change, Grant, GrantTerms, Lock, Notice, Proposal, Register, Role, State,
    Step,
};
use crate::access::{OwnAddress, Scope};
use crate::query::parse;

/// The version that is written, and the highest that is read.
const VERSION: u32 = 1;

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is not such a record.
    #[error("not a record of this kind")]
    Kind,
    /// A later version of Coffer wrote it.
    #[error("written by a later version: {0}")]
    Version(u32),
    /// A line lacks or cannot be read.
    #[error("cannot read line: {0}")]
    Line(&'static str),
}

type Result<T> = std::result::Result<T, RecordError>;

impl Account {
    /// Writes its record.
    pub fn to_record(&self) -> String {
        let mut lines = Writer::new("coffer-account");
        lines.put("id", self.id);
        lines.put("name", &self.name);
        lines.put("display-name", &self.display_name);
        lines.put_all("role", self.roles.iter().map(|role| role.name()));
        lines.put_all("address", self.addresses.iter().map(address_text));
        lines.put_all("former", &self.former);
        lines.put("state", state_name(self.state));
        lines.put_all("lock", self.lock.map(lock_text));
        lines.put("second-factor", yes_no(self.has_second_factor));
        lines.put("settles-in-s", self.settles_in_s);
        lines.end(&self.unknown)
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// If it is no account's, or damaged, or of a later version.
    pub fn from_record(text: &str) -> Result<Self> {
        let mut lines = Reader::new("coffer-account", text)?;
        Ok(Self {
            id: AccountId(lines.one("id")?),
            name: lines.one("name")?,
            display_name: lines.one("display-name")?,
            roles: lines.all("role", Role::from_name)?.into_iter().collect(),
            addresses: lines.all("address", read_address)?,
            former: lines
                .all("former", |text| Some(text.to_owned()))?
                .into_iter()
                .collect(),
            state: lines.by("state", |text| {
                [State::Active, State::Disabled, State::Removed]
                    .into_iter()
                    .find(|state| state_name(*state) == text)
            })?,
            lock: lines.optional("lock", read_lock)?,
            has_second_factor: lines.by("second-factor", read_yes_no)?,
            settles_in_s: lines.one("settles-in-s")?,
            unknown: lines.left,
        })
    }
}

impl Proposal {
    /// Writes its record.
    pub fn to_record(&self) -> String {
        let mut lines = Writer::new("coffer-proposal");
        lines.put("number", self.number);
        put_change(&mut lines, &self.change);
        lines.put("proposed-by", self.proposed_by);
        lines.put("proposed-at", self.proposed_at);
        lines.put("reason", &self.reason);
        lines.put_all("favoured-by", self.favoured_by);
        lines.put_all("objected-by", self.objected_by);
        lines.put_all("notice", self.notices.iter().map(notice_text));
        lines.put("waited-s", self.waited_s);
        lines.put("age-s", self.age_s);
        lines.put_all("shown-s", Some(self.shown_s).filter(|shown_s| *shown_s > 0));
        lines.end(&self.unknown)
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// If it is no proposal's, or damaged, or of a later version.
    pub fn from_record(text: &str) -> Result<Self> {
        let mut lines = Reader::new("coffer-proposal", text)?;
        let account = |text: &str| text.parse().ok().map(AccountId);
        Ok(Self {
            number: lines.one("number")?,
            change: read_change(&mut lines)?,
            proposed_by: lines.by("proposed-by", account)?,
            proposed_at: lines.one("proposed-at")?,
            reason: lines.one("reason")?,
            favoured_by: lines.optional("favoured-by", account)?,
            objected_by: lines.optional("objected-by", account)?,
            notices: lines.all("notice", read_notice)?,
            waited_s: lines.one("waited-s")?,
            age_s: lines.one("age-s")?,
            shown_s: (lines.optional("shown-s", |text| text.parse().ok())?).unwrap_or_default(),
            unknown: lines.left,
        })
    }
}

impl Grant {
    /// Writes its record.
    pub fn to_record(&self) -> String {
        let mut lines = Writer::new("coffer-grant");
        lines.put("number", self.number);
        lines.put("account", self.account);
        put_terms(&mut lines, &self.terms);
        lines.put("left-s", self.left_s);
        lines.put("ended", yes_no(self.has_ended));
        lines.end(&self.unknown)
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// If it is no grant's, or damaged, or of a later version.
    pub fn from_record(text: &str) -> Result<Self> {
        let mut lines = Reader::new("coffer-grant", text)?;
        Ok(Self {
            number: lines.one("number")?,
            account: AccountId(lines.one("account")?),
            terms: read_terms(&mut lines)?,
            left_s: lines.one("left-s")?,
            has_ended: lines.by("ended", read_yes_no)?,
            unknown: lines.left,
        })
    }
}

impl Register {
    /// Writes the record of what belongs to no account, proposal or grant.
    pub fn to_record(&self) -> String {
        let mut lines = Writer::new("coffer-register");
        lines.put("last-number", self.last_number);
        lines.put("latest", self.latest);
        let route = Some(&self.notice_route).filter(|route| !route.is_empty());
        lines.put_all("notice-route", route);
        lines.end(&self.unknown)
    }

    /// Reads that record, and makes a register without accounts, proposals and grants.
    ///
    /// # Errors
    ///
    /// If it is no register's, or damaged, or of a later version.
    pub fn from_record(text: &str) -> Result<Self> {
        let mut lines = Reader::new("coffer-register", text)?;
        Ok(Self {
            last_number: lines.one("last-number")?,
            latest: lines.one("latest")?,
            notice_route: lines
                .optional("notice-route", |text| Some(text.to_owned()))?
                .unwrap_or_default(),
            unknown: lines.left,
            ..Self::default()
        })
    }
}

/// Gives the first word of a record, which tells its kind.
pub(super) fn record_kind(record: &str) -> &str {
    record.split(':').next().unwrap_or_default()
}

/// Writes the record that takes a proposal out of the register.
pub(super) fn to_end(number: u64) -> String {
    let mut lines = Writer::new("coffer-end");
    lines.put("number", number);
    lines.end(&[])
}

/// Reads the number of the proposal that is taken out.
pub(super) fn read_end(record: &str) -> Result<u64> {
    Reader::new("coffer-end", record)?.one("number")
}

impl Change {
    /// Writes its record.
    pub fn to_record(&self) -> String {
        let mut lines = Writer::new("coffer-change");
        put_change(&mut lines, self);
        lines.end(&[])
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// If it is no change's, or damaged, or of a later version.
    pub fn from_record(text: &str) -> Result<Self> {
        read_change(&mut Reader::new("coffer-change", text)?)
    }
}

fn put_change(lines: &mut Writer, change: &Change) {
    match change {
        Change::NoticeRoute(route) => lines.put("notice-route", route),
        Change::Account(id, step) => {
            lines.put("account", id);
            put_step(lines, step);
        }
    }
}

fn read_change(lines: &mut Reader) -> Result<Change> {
    let route = lines.optional("notice-route", |text| Some(text.to_owned()))?;
    Ok(match route {
        Some(route) => Change::NoticeRoute(route),
        None => Change::Account(AccountId(lines.one("account")?), read_step(lines)?),
    })
}

/// The name of a step in a record.
fn step_name(step: &Step) -> &'static str {
    match step {
        Step::AddRole(_) => "add-role",
        Step::RemoveRole(_) => "remove-role",
        Step::GiveAddress(_) => "give-address",
        Step::TakeAddress(_) => "take-address",
        Step::Rename(_) => "rename",
        Step::Enable => "enable",
        Step::Disable => "disable",
        Step::Remove => "remove",
        Step::ResetPassword => "reset-password",
        Step::ResetSecondFactor => "reset-second-factor",
        Step::OpenOldMail => "open-old-mail",
        Step::Release(_) => "release",
        Step::EndGrant(_) => "end-grant",
    }
}

fn put_step(lines: &mut Writer, step: &Step) {
    lines.put("step", step_name(step));
    match step {
        Step::AddRole(role) | Step::RemoveRole(role) => lines.put("role", role.name()),
        Step::GiveAddress(own) | Step::TakeAddress(own) => lines.put("address", address_text(own)),
        Step::Rename(name) => lines.put("name", name),
        Step::Release(terms) => put_terms(lines, terms),
        Step::EndGrant(number) => lines.put("grant", number),
        Step::Enable
        | Step::Disable
        | Step::Remove
        | Step::ResetPassword
        | Step::ResetSecondFactor
        | Step::OpenOldMail => {}
    }
}

fn read_step(lines: &mut Reader) -> Result<Step> {
    let name: String = lines.one("step")?;
    Ok(match name.as_str() {
        "add-role" => Step::AddRole(lines.by("role", Role::from_name)?),
        "remove-role" => Step::RemoveRole(lines.by("role", Role::from_name)?),
        "give-address" => Step::GiveAddress(lines.by("address", read_address)?),
        "take-address" => Step::TakeAddress(lines.by("address", read_address)?),
        "rename" => Step::Rename(lines.one("name")?),
        "enable" => Step::Enable,
        "disable" => Step::Disable,
        "remove" => Step::Remove,
        "reset-password" => Step::ResetPassword,
        "reset-second-factor" => Step::ResetSecondFactor,
        "open-old-mail" => Step::OpenOldMail,
        "release" => Step::Release(read_terms(lines)?),
        "end-grant" => Step::EndGrant(lines.one("grant")?),
        _ => return Err(RecordError::Line("step")),
    })
}

fn put_terms(lines: &mut Writer, terms: &GrantTerms) {
    let scope = &terms.scope;
    lines.put("from", terms.from);
    lines.put("until", terms.until);
    lines.put("by-address", yes_no(scope.addresses.is_some()));
    lines.put_all(
        "scope-address",
        scope.addresses.iter().flatten().map(address_text),
    );
    lines.put("by-number", yes_no(scope.numbers.is_some()));
    lines.put_all("scope-number", scope.numbers.iter().flatten());
    lines.put("query", scope.query.canonical(0));
}

fn read_terms(lines: &mut Reader) -> Result<GrantTerms> {
    let by_address = lines.by("by-address", read_yes_no)?;
    let by_number = lines.by("by-number", read_yes_no)?;
    let addresses = lines.all("scope-address", read_address)?;
    let numbers = lines.all("scope-number", |text| text.parse().ok())?;
    Ok(GrantTerms {
        from: lines.one("from")?,
        until: lines.one("until")?,
        scope: Scope {
            addresses: by_address.then_some(addresses),
            numbers: by_number.then_some(numbers),
            query: lines.by("query", |text| Some(parse(text, 0).ok()?.query))?,
        },
    })
}

fn address_text(own: &OwnAddress) -> String {
    let time = |time: Option<i64>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    format!("{} {} {}", time(own.from), time(own.until), own.address)
}

fn read_address(text: &str) -> Option<OwnAddress> {
    let mut parts = text.splitn(3, ' ');
    let mut time = || match parts.next()? {
        "-" => Some(None),
        time => time.parse().ok().map(Some),
    };
    let (from, until) = (time()?, time()?);
    Some(OwnAddress {
        address: parts.next()?.to_owned(),
        from,
        until,
    })
}

fn lock_text(lock: Lock) -> String {
    let whose = if lock.has_own_password {
        "own"
    } else {
        "others"
    };
    format!("{} {whose}", lock.since)
}

fn read_lock(text: &str) -> Option<Lock> {
    let (since, whose) = text.split_once(' ')?;
    let has_own_password = match whose {
        "own" => true,
        "others" => false,
        _ => return None,
    };
    Some(Lock {
        since: since.parse().ok()?,
        has_own_password,
    })
}

fn notice_text(notice: &Notice) -> String {
    let state = if notice.is_given { "given" } else { "due" };
    format!("{state} {}", notice.address)
}

fn read_notice(text: &str) -> Option<Notice> {
    let (state, address) = text.split_once(' ')?;
    let is_given = match state {
        "given" => true,
        "due" => false,
        _ => return None,
    };
    Some(Notice {
        address: address.to_owned(),
        is_given,
    })
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Disabled => "disabled",
        State::Removed => "removed",
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn read_yes_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Writes lines.
struct Writer(String);

impl Writer {
    fn new(kind: &str) -> Self {
        let mut lines = Self(String::new());
        lines.put(kind, VERSION);
        lines
    }

    fn put(&mut self, name: &str, value: impl Display) {
        let value = value.to_string().replace('\\', "\\\\").replace('\n', "\\n");
        self.0.push_str(&format!("{name}: {value}\n"));
    }

    fn put_all(&mut self, name: &str, values: impl IntoIterator<Item = impl Display>) {
        for value in values {
            self.put(name, value);
        }
    }

    fn end(mut self, unknown: &[(String, String)]) -> String {
        for (name, value) in unknown {
            self.put(name, value);
        }
        self.0
    }
}

/// Takes lines out by name; what is left is unknown.
struct Reader {
    left: Vec<(String, String)>,
}

impl Reader {
    fn new(kind: &'static str, text: &str) -> Result<Self> {
        let mut left = Vec::new();
        for line in text
            .strip_suffix('\n')
            .ok_or(RecordError::Kind)?
            .split('\n')
        {
            let (name, value) = line.split_once(": ").ok_or(RecordError::Kind)?;
            left.push((name.to_owned(), unescape(value)));
        }
        if left[0].0 != kind {
            return Err(RecordError::Kind);
        }
        let mut lines = Self { left };
        match lines.one(kind)? {
            VERSION => Ok(lines),
            version => Err(RecordError::Version(version)),
        }
    }

    fn one<T: FromStr>(&mut self, name: &'static str) -> Result<T> {
        self.by(name, |text| text.parse().ok())
    }

    fn by<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.optional(name, read)?.ok_or(RecordError::Line(name))
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut all = self.all(name, read)?;
        // Two values where one is meant are damage, of which neither is to be believed.
        if all.len() > 1 {
            return Err(RecordError::Line(name));
        }
        Ok(all.pop())
    }

    fn all<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        let taken = self.left.extract_if(.., |(found, _)| found == name);
        taken
            .map(|(_, value)| read(&value).ok_or(RecordError::Line(name)))
            .collect()
    }
}

fn unescape(value: &str) -> String {
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        text.push(match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            },
            (c, false) => c,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::account;
    use super::*;

    const ACCOUNT: &str = "coffer-account: 1\nid: 1030\nname: anna\ndisplay-name: Anna \\\\ \\n Meier\nrole: staff\n\
        address: - 200 anna@x.example\naddress: 100 - a b@x.example\nformer: anna@x.example\nstate: disabled\n\
        lock: 150 own\nsecond-factor: yes\nsettles-in-s: 7\nshoe-size: 38\nshoe-size: 39\n";

    fn terms() -> GrantTerms {
        GrantTerms {
            scope: Scope {
                addresses: Some(vec![]),
                numbers: Some(vec![7, 9]),
                query: parse("(rechnung OR mahnung) -from:chef after:2024", 0)
                    .expect("a query")
                    .query,
            },
            from: -5,
            until: 900,
        }
    }

    #[test]
    fn an_account_is_written_as_it_was_read() {
        let read = Account::from_record(ACCOUNT).expect("an account");
        assert_eq!(read.display_name, "Anna \\ \n Meier");
        assert_eq!(read.addresses[1].address, "a b@x.example");
        assert_eq!(read.unknown.len(), 2, "both unknown lines are kept");
        assert_eq!(read.to_record(), ACCOUNT);
        let plain = account(1024);
        assert_eq!(Account::from_record(&plain.to_record()), Ok(plain));
    }

    #[test]
    fn every_change_is_read_again() {
        let own = || OwnAddress {
            address: "a@x.example".to_owned(),
            from: Some(-3),
            until: None,
        };
        let account = |step| Change::Account(AccountId(1030), step);
        for change in [
            Change::NoticeRoute("smtp\nmail.x.example".to_owned()),
            account(Step::AddRole(Role::PrivacyOfficer)),
            account(Step::RemoveRole(Role::Staff)),
            account(Step::GiveAddress(own())),
            account(Step::TakeAddress(own())),
            account(Step::Rename("Anna: Meier\\n".to_owned())),
            account(Step::Enable),
            account(Step::Disable),
            account(Step::Remove),
            account(Step::ResetPassword),
            account(Step::ResetSecondFactor),
            account(Step::OpenOldMail),
            account(Step::Release(terms())),
            account(Step::EndGrant(3)),
        ] {
            let proposal = Proposal {
                number: 4,
                change,
                proposed_by: AccountId(1024),
                proposed_at: 10,
                reason: String::new(),
                favoured_by: Some(AccountId(1025)),
                objected_by: None,
                notices: [true, false]
                    .map(|is_given| Notice {
                        address: "a@x.example".to_owned(),
                        is_given,
                    })
                    .into(),
                waited_s: 1,
                age_s: 2,
                shown_s: 3,
                unknown: vec![("later".to_owned(), "x".to_owned())],
            };
            assert_eq!(Proposal::from_record(&proposal.to_record()), Ok(proposal));
        }
    }

    #[test]
    fn a_grant_and_the_register_are_read_again() {
        let grant = Grant {
            number: 3,
            account: AccountId(1030),
            terms: terms(),
            left_s: 12,
            has_ended: true,
            unknown: vec![],
        };
        assert_eq!(Grant::from_record(&grant.to_record()), Ok(grant));
        let register = Register {
            last_number: 9,
            latest: -1,
            notice_route: "smtp\nmail.x.example".to_owned(),
            ..Register::default()
        };
        assert_eq!(Register::from_record(&register.to_record()), Ok(register));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let line = |name| Err(RecordError::Line(name));
        for (record, expected) in [
            (String::new(), Err(RecordError::Kind)),
            ("\n".to_owned(), Err(RecordError::Kind)),
            (ACCOUNT.replace("account", "grant"), Err(RecordError::Kind)),
            (ACCOUNT.trim_end().to_owned(), Err(RecordError::Kind)),
            (
                ACCOUNT.replacen(": 1\n", ": 2\n", 1),
                Err(RecordError::Version(2)),
            ),
            (ACCOUNT.replace("id: 1030\n", ""), line("id")),
            (
                ACCOUNT.replace("id: 1030\n", "id: 1030\nid: 1031\n"),
                line("id"),
            ),
            (ACCOUNT.replace("disabled", "sleeping"), line("state")),
            (ACCOUNT.replace("150 own", "150"), line("lock")),
            (ACCOUNT.replace("role: staff", "role: root"), line("role")),
            (ACCOUNT.replace("- 200 anna", "200 anna"), line("address")),
        ] {
            assert_eq!(Account::from_record(&record), expected, "{record}");
        }
    }
}
