//! A table of accounts, as a spreadsheet writes it (CSV, RFC 4180): read, and done line by line by the rules for everybody.
//!
//! The first line names the columns, in any order: `name`, `display name`, `addresses`, `roles`; others are passed over. Columns
//! part at commas or semicolons, whichever the first line has; addresses and roles of a line part at blanks, `|` or commas, so
//! that `privacy-officer` has a dash. Nothing is ever taken away by a table.

use super::{AccountId, Change, Outcome, Refusal, Register, Role, Step};
use crate::Event;
use crate::access::OwnAddress;

/// 1,000 lines a table: an office ten times over.
const LINES_MAX: usize = 1_000;

/// A line of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableLine {
    /// Its number, from 1 for the names of the columns.
    pub number: u64,
    /// The name for signing in.
    pub name: String,
    /// The name that others read; empty for the same.
    pub display_name: String,
    /// The addresses.
    pub addresses: Vec<String>,
    /// The roles, as they are written.
    pub roles: Vec<String>,
    /// Why the line cannot be read.
    pub fault: Option<LineFault>,
}

/// What became of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineOutcome {
    /// What was done or proposed.
    pub steps: Vec<LineStep>,
    /// Why the rest was not.
    pub fault: Option<LineFault>,
    /// The entries of the log.
    pub events: Vec<Event>,
}

/// Something that a line did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineStep {
    /// Its account was made.
    Made,
    /// A change took effect.
    Done(Change),
    /// A change waits.
    Waits(Change),
}

/// Why a line, or the rest of it, was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Nothing says which column has the names.
    #[error("the first line names no column \"name\"")]
    NoNameColumn,
    /// The table is too long; this line and all behind it were left out.
    #[error("a table has {LINES_MAX} lines at most")]
    TooManyLines,
    /// A quote in it is never closed, so nobody knows where the line ends.
    #[error("a quote is not closed")]
    OpenQuote,
    /// No role has this name.
    #[error("there is no such role: {0}")]
    UnknownRole(String),
    /// The rules forbid it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Reads a table; what cannot be read becomes a line with its fault.
pub fn read_table(table: &str) -> Vec<TableLine> {
    let table = table.strip_prefix('\u{feff}').unwrap_or(table);
    let first = table.lines().next().unwrap_or_default();
    let separator = if first.contains(';') { ';' } else { ',' };
    let (rows, open_quote) = rows(table, separator);
    let mut rows = rows.into_iter();
    let columns: Vec<String> = rows
        .next()
        .map(|(_, cells)| cells)
        .unwrap_or_default()
        .iter()
        .map(|cell| cell.trim().to_lowercase().replace(['-', '_'], " "))
        .collect();
    let column = |name: &str| columns.iter().position(|column| column == name);
    let fault = |number, fault| TableLine {
        number,
        fault: Some(fault),
        ..TableLine::default()
    };
    let Some(name_column) = column("name") else {
        return vec![fault(1, LineFault::NoNameColumn)];
    };
    let mut lines = Vec::new();
    for (number, cells) in rows {
        if lines.len() >= LINES_MAX {
            lines.push(fault(number, LineFault::TooManyLines));
            break;
        }
        let cell = |column: Option<usize>| {
            let cell = column.and_then(|column| cells.get(column));
            cell.map_or("", |cell| cell.trim())
        };
        let parts = |name| {
            let parts = cell(column(name)).split([' ', ',', ';', '|', '\n', '\t']);
            let parts = parts.filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        lines.push(TableLine {
            number,
            name: cell(Some(name_column)).to_owned(),
            display_name: cell(column("display name")).to_owned(),
            addresses: parts("addresses"),
            roles: parts("roles"),
            fault: None,
        });
    }
    lines.extend(open_quote.map(|number| fault(number, LineFault::OpenQuote)));
    lines
}

impl Register {
    /// Does what a line says, as far as `by` may: makes the account, and proposes what it is to see.
    pub fn import_line(&mut self, by: AccountId, line: &TableLine, now: i64) -> LineOutcome {
        let mut outcome = LineOutcome::default();
        let fault = match (&line.fault, steps(line)) {
            (Some(fault), _) => Some(fault.clone()),
            (None, Err(fault)) => Some(fault),
            (None, Ok(steps)) => {
                let done = self.take_line(by, line, steps, now, &mut outcome);
                done.err().map(LineFault::from)
            }
        };
        LineOutcome { fault, ..outcome }
    }

    fn take_line(
        &mut self,
        by: AccountId,
        line: &TableLine,
        steps: Vec<Step>,
        now: i64,
        outcome: &mut LineOutcome,
    ) -> Result<(), Refusal> {
        let name = line.name.to_lowercase();
        let mut accounts = self.accounts.values();
        let known = accounts.find(|account| account.name.to_lowercase() == name);
        let id = match known {
            Some(account) => account.id,
            None => {
                let (id, events) = self.make_account(by, &line.name, now)?;
                outcome.steps.push(LineStep::Made);
                outcome.events.extend(events);
                id
            }
        };
        for step in steps {
            let step = step.normal();
            if self.has_or_awaits(id, &step) {
                continue;
            }
            let change = Change::Account(id, step);
            let (step, events) = match self.change(by, change.clone(), "from a table", now)? {
                Outcome::Done(events) => (LineStep::Done(change), events),
                Outcome::Waits(_, events) => (LineStep::Waits(change), events),
            };
            outcome.steps.push(step);
            outcome.events.extend(events);
        }
        Ok(())
    }

    /// Tells whether a step would change nothing, or waits already: a table is often brought in twice.
    fn has_or_awaits(&self, id: AccountId, step: &Step) -> bool {
        let change = Change::Account(id, step.clone());
        let waits = self.proposals.values().any(|one| one.change == change);
        waits
            || self.accounts.get(&id).is_some_and(|account| match step {
                Step::AddRole(role) => account.is(*role),
                Step::GiveAddress(own) => account.addresses.contains(own),
                Step::Rename(name) => account.display_name == *name,
                _ => false,
            })
    }
}

/// Gives the steps of a line, the display name first: nobody is renamed once something waits for him.
fn steps(line: &TableLine) -> Result<Vec<Step>, LineFault> {
    let mut steps = Vec::new();
    if !line.display_name.is_empty() {
        steps.push(Step::Rename(line.display_name.clone()));
    }
    for name in &line.roles {
        let role = Role::from_name(&name.to_lowercase().replace(['-', '_'], " "));
        let unknown = || LineFault::UnknownRole(name.clone());
        steps.push(Step::AddRole(role.ok_or_else(unknown)?));
    }
    let give = |address: &String| {
        Step::GiveAddress(OwnAddress {
            address: address.clone(),
            from: None,
            until: None,
        })
    };
    steps.extend(line.addresses.iter().map(give));
    Ok(steps)
}

/// A row: the number of the line that it begins in, and its cells.
type Row = (u64, Vec<String>);

/// Parts a table into rows (RFC 4180 §2); also gives the line of a quote that is never closed, which ends the table before its row.
fn rows(table: &str, separator: char) -> (Vec<Row>, Option<u64>) {
    let mut rows = Vec::new();
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let (mut line, mut begun, mut quoted_since) = (1, 1, None);
    let mut chars = table.chars().peekable();
    while let Some(c) = chars.next() {
        line += u64::from(c == '\n');
        match c {
            '"' if quoted_since.is_some() && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted_since = quoted_since.xor(Some(line)),
            c if quoted_since.is_some() => cell.push(c),
            c if c == separator => cells.push(std::mem::take(&mut cell)),
            '\n' => {
                cells.push(std::mem::take(&mut cell));
                rows.push((begun, std::mem::take(&mut cells)));
                begun = line;
            }
            '\r' => {}
            c => cell.push(c),
        }
    }
    if quoted_since.is_none() && (!cell.is_empty() || !cells.is_empty()) {
        cells.push(cell);
        rows.push((begun, cells));
    }
    (rows, quoted_since)
}

#[cfg(test)]
mod tests {
    use super::super::tests::account;
    use super::*;

    const TABLE: &str = "\u{feff}Name;Display-Name;Roles;Addresses;Shoe size\r\n\
        anna;\"Meier; Anna\";staff privacy-officer;anna@x.example|info@x.example;38\r\n\
        ;;;;\r\n\
        \"be\"\"rnd\";\"two\nlines\";staff;\r\n\
        carl;;emperor;c@x.example";

    fn operator() -> Register {
        let mut register = Register::default();
        let mut chef = account(1024);
        chef.roles.insert(Role::Operator);
        register.accounts.insert(chef.id, chef);
        register
    }

    #[test]
    fn a_table_is_read_as_spreadsheets_write_it() {
        let lines = read_table(TABLE);
        let names: Vec<_> = lines
            .iter()
            .map(|line| (line.number, line.name.as_str()))
            .collect();
        assert_eq!(names, [(2, "anna"), (4, "be\"rnd"), (6, "carl")]);
        assert_eq!(lines[0].display_name, "Meier; Anna");
        assert_eq!(lines[0].addresses, ["anna@x.example", "info@x.example"]);
        assert_eq!(lines[0].roles, ["staff", "privacy-officer"]);
        assert_eq!(read_table("name,roles\na,staff")[0].roles, ["staff"]);
        for table in ["", "a,b\n1,2", "\"name\nanna\n"] {
            let fault = read_table(table)[0].fault.clone();
            assert_eq!(fault, Some(LineFault::NoNameColumn), "{table}");
        }
        let open = read_table("name,roles\nanna,staff\nbernd,\"staff\ncarl,staff\n");
        let faults: Vec<_> = open
            .iter()
            .map(|line| (line.number, line.fault.clone()))
            .collect();
        assert_eq!(faults, [(2, None), (3, Some(LineFault::OpenQuote))]);
        let long = format!("name\n{}", "x\n".repeat(LINES_MAX + 5));
        let lines = read_table(&long);
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX].fault, Some(LineFault::TooManyLines));
    }

    #[test]
    fn a_table_gives_no_right_by_itself_and_may_come_twice() {
        let mut register = operator();
        let by = AccountId(1024);
        let outcomes: Vec<_> = read_table(TABLE)
            .iter()
            .map(|line| register.import_line(by, line, 0))
            .collect();
        assert_eq!(outcomes[0].fault, None);
        assert_eq!(outcomes[0].steps.len(), 6, "{:?}", outcomes[0].steps);
        let bad_name = Some(LineFault::Refused(Refusal::Name));
        assert_eq!(outcomes[1].fault, bad_name, "no name has two lines");
        let unknown = Some(LineFault::UnknownRole("emperor".to_owned()));
        assert_eq!(outcomes[2].fault, unknown);
        let anna = &register.accounts[&AccountId(1025)];
        assert_eq!(anna.display_name, "Meier; Anna");
        assert!(anna.roles.is_empty() && anna.addresses.is_empty());
        assert_eq!(register.proposals.len(), 4);
        let before = register.clone();
        let again = register.import_line(by, &read_table(TABLE)[0], 0);
        assert_eq!((again.steps.len(), &register), (0, &before));
        let by_anna = register.import_line(AccountId(1025), &read_table("name\nzoe")[0], 0);
        assert_eq!(by_anna.fault, Some(LineFault::Refused(Refusal::MayNot)));
        assert!(by_anna.events.is_empty());
    }
}
