//! The register as records, each for itself: what changed between two registers, and a register from what changed.
//!
//! The audit log carries the records that changed, so that the log alone gives the register; [`super::super::record`] has their
//! lines. Seconds that only run (of waiting, of a grant) are no change that anybody made, and the log does not carry them.

use super::{Account, Grant, Proposal, RecordError, Register};
use crate::people::record::{read_end, record_kind, to_end};

/// A record that differs between two registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// Its name among all records.
    pub name: String,
    /// The record as it is now; none when it is gone.
    pub record: Option<String>,
    /// What the log says of it; none when only seconds ran.
    pub logged: Option<String>,
}

impl Register {
    /// Gives what changed since it was another register.
    pub fn changes_since(&self, before: &Self) -> Vec<RecordChange> {
        let mut changes = Vec::new();
        for (id, account) in &self.accounts {
            let old = before.accounts.get(id);
            if old != Some(account) {
                let is_logged = old.map(Account::at_rest) != Some(account.at_rest());
                changes.push(change(
                    format!("account {id}"),
                    account.to_record(),
                    is_logged,
                ));
            }
        }
        for (number, proposal) in &self.proposals {
            let old = before.proposals.get(number);
            if old != Some(proposal) {
                let is_logged = old.map(Proposal::at_rest) != Some(proposal.at_rest());
                changes.push(change(
                    proposal_name(*number),
                    proposal.to_record(),
                    is_logged,
                ));
            }
        }
        for (number, grant) in &self.grants {
            let old = before.grants.get(number);
            if old != Some(grant) {
                let is_logged = old.map(Grant::at_rest) != Some(grant.at_rest());
                changes.push(change(
                    format!("grant {number}"),
                    grant.to_record(),
                    is_logged,
                ));
            }
        }
        let gone = before
            .proposals
            .keys()
            .filter(|number| !self.proposals.contains_key(number));
        changes.extend(gone.map(|number| RecordChange {
            name: proposal_name(*number),
            record: None,
            logged: Some(to_end(*number)),
        }));
        if self.to_record() != before.to_record() {
            let is_logged = self.own_at_rest() != before.own_at_rest();
            changes.push(change("register".to_owned(), self.to_record(), is_logged));
        }
        changes
    }

    /// Takes a record in: what it names is as it says from now on.
    ///
    /// # Errors
    ///
    /// If it is no record of a register, or damaged, or of a later version.
    pub fn take_record(&mut self, record: &str) -> Result<(), RecordError> {
        match record_kind(record) {
            "coffer-account" => {
                let account = Account::from_record(record)?;
                self.accounts.insert(account.id, account);
            }
            "coffer-proposal" => {
                let proposal = Proposal::from_record(record)?;
                self.proposals.insert(proposal.number, proposal);
            }
            "coffer-grant" => {
                let grant = Grant::from_record(record)?;
                self.grants.insert(grant.number, grant);
            }
            "coffer-end" => {
                self.proposals.remove(&read_end(record)?);
            }
            _ => {
                let own = Self::from_record(record)?;
                self.last_number = own.last_number;
                self.latest = own.latest;
                self.notice_route = own.notice_route;
                self.unknown = own.unknown;
            }
        }
        Ok(())
    }

    /// Gives all records in their one order, without the seconds that only run: two registers with the same text are the same.
    pub fn text_at_rest(&self) -> String {
        let accounts = self.accounts.values().map(Account::at_rest);
        let proposals = self.proposals.values().map(Proposal::at_rest);
        let grants = self.grants.values().map(Grant::at_rest);
        let mut text: String = accounts.chain(proposals).chain(grants).collect();
        text.push_str(&self.own_at_rest());
        text
    }

    fn own_at_rest(&self) -> String {
        Self {
            last_number: self.last_number,
            notice_route: self.notice_route.clone(),
            unknown: self.unknown.clone(),
            ..Self::default()
        }
        .to_record()
    }
}

impl Account {
    fn at_rest(&self) -> String {
        Self {
            settles_in_s: 0,
            ..self.clone()
        }
        .to_record()
    }
}

impl Proposal {
    fn at_rest(&self) -> String {
        Self {
            waited_s: 0,
            age_s: 0,
            shown_s: 0,
            ..self.clone()
        }
        .to_record()
    }
}

impl Grant {
    fn at_rest(&self) -> String {
        Self {
            left_s: 0,
            ..self.clone()
        }
        .to_record()
    }
}

fn proposal_name(number: u64) -> String {
    format!("proposal {number}")
}

fn change(name: String, record: String, is_logged: bool) -> RecordChange {
    RecordChange {
        name,
        logged: is_logged.then(|| record.clone()),
        record: Some(record),
    }
}
