//! Accounts from a table: each line is done as if somebody had done it by hand, so that its rights grow as slowly.

use super::desk::Desk;
use super::kept_register::By;
use super::messages::{Denial, ImportedLine, ImportedStep, PeopleAnswer};
use archive::people::{AccountId, Register, read_table};

/// Takes a table of accounts in, line by line, or only says what would happen.
pub(super) fn import(
    desk: Desk,
    id: AccountId,
    by: By,
    table: &str,
    dry_run: bool,
) -> Result<PeopleAnswer, Denial> {
    let mut register: Register = (*desk.register()).clone();
    let mut lines = Vec::new();
    for line in read_table(table) {
        let now = desk.now();
        let imported = if dry_run {
            register.import_line(id, &line, now)
        } else {
            let mut kept = desk.kept();
            let mut register = (*kept.in_effect()).clone();
            let mut imported = register.import_line(id, &line, now);
            let events = std::mem::take(&mut imported.events);
            if !events.is_empty() {
                desk.enter(&mut kept, by, register, events, Vec::new())?;
            }
            imported
        };
        lines.push(ImportedLine {
            line: line.number,
            name: line.name,
            steps: imported.steps.iter().map(ImportedStep::from).collect(),
            fault: imported.fault,
        });
    }
    Ok(PeopleAnswer::Imported(lines))
}
