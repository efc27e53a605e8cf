//! What a person takes along: [`crate::export`] writes it, and asks here for nothing that he may not see.

use super::calls::{Acting, unexpected};
use super::messages::{Denial, MailAsk, PeopleAnswer, Purpose};
use crate::export::{ExportSource, Seal};
use crate::keeper::Failure;
use crate::keeper::messages::Entry;
use archive::Digest;
use std::io::Write;

/// 500 entries asked for at once.
const ENTRIES: usize = 500;

/// Mail of a person that he exports.
pub struct OwnMail<'k> {
    acting: Acting<'k>,
    export: u64,
    left: std::vec::IntoIter<u64>,
    tree_size: Option<u64>,
}

impl<'k> OwnMail<'k> {
    /// Begins an export of all that a query finds, or of these numbers instead; it is in the log then.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn begin(
        acting: Acting<'k>,
        query: &str,
        numbers: Option<Vec<u64>>,
        format: &str,
    ) -> Result<Self, Denial> {
        let ask = MailAsk::Export {
            query: query.to_owned(),
            numbers,
            format: format.to_owned(),
        };
        match acting.mail(ask)? {
            PeopleAnswer::Export(export, numbers) => Ok(Self {
                acting,
                export,
                left: numbers.into_iter(),
                tree_size: None,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives the number of its entry in the log.
    pub fn entry(&self) -> u64 {
        self.export
    }

    /// Gives how many messages are left.
    pub fn count(&self) -> usize {
        self.left.len()
    }
}

impl ExportSource for OwnMail<'_> {
    fn next_entries(&mut self) -> Result<Vec<Entry>, Failure> {
        let numbers: Vec<u64> = self.left.by_ref().take(ENTRIES).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.acting.entries(numbers)?)
    }

    fn write_message(&mut self, number: u64, out: &mut dyn Write) -> Result<(), Failure> {
        let body = self.acting.body(number, Purpose::Export(self.export))?;
        // What `out` said, the export knows itself.
        let _ = body.write_to(out);
        Ok(())
    }

    fn seal(&mut self, manifest: Digest, count: u64) -> Result<Seal, Failure> {
        let ask = MailAsk::Seal {
            export: self.export,
            manifest: manifest.0,
            count,
        };
        match self.acting.mail(ask)? {
            PeopleAnswer::Sealed {
                event,
                checkpoint,
                tree_size,
            } => {
                self.tree_size = Some(tree_size);
                Ok(Seal { event, checkpoint })
            }
            other => Err(unexpected(&other).into()),
        }
    }

    fn proofs(&mut self, numbers: &[u64]) -> Result<Vec<String>, Failure> {
        let proofs = self.acting.prove(numbers.to_vec(), self.tree_size)?;
        Ok(proofs.into_iter().map(|entry| entry.proof).collect())
    }
}
