//! `coffer export`: hands messages out; and the check of a zip export alone, for `coffer verify`.

use crate::archive_access::{COMMAND_LINE, Missing, log_run, message_bar, open};
use crate::args::{ExportArgs, Format as FormatArg};
use crate::host;
use crate::output::{Exit, bytes, count, line, plain};
use archive::{Digest, Event, EventKind};
use serde_json::json;
use service::export::{
    About, Comparison, ExportError, ExportReport, ExportSource, Exported, Format, Seal, Signature,
    export, verify_export,
};
use service::keeper::messages::{BodyRequest, Entry, WireAsker};
use service::keeper::{Failure, Keeper};
use std::io::Write;
use std::path::Path;
use store::checkpoint::Checkpoint;
use store::note::Note;

/// Messages whose facts are asked for at once.
const STEP_MESSAGES: usize = 500;

/// Damage printed for people; `--json` has all that is kept.
const DAMAGE_SHOWN_MAX: usize = 100;

pub(crate) fn run(args: ExportArgs) -> Result<(), Exit> {
    let keeper = open(&args.data.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let numbers = keeper.matching(&args.query, WireAsker::Owner)?;
    let bar = message_bar(numbers.len() as u64);
    let format = format(&*keeper, &args)?;
    let mut source = Source {
        keeper: &*keeper,
        query: &args.query,
        rest: &numbers,
        tree_size: None,
    };
    let exported = export(&mut source, format, &args.out, &mut |done| {
        bar.set_position(done)
    });
    bar.finish_and_clear();
    print(&exported.map_err(exit)?, &args.out)
}

fn format(keeper: &dyn Keeper, args: &ExportArgs) -> Result<Format, Exit> {
    Ok(match args.format {
        FormatArg::Eml => Format::Eml,
        FormatArg::Mbox => Format::Mbox,
        FormatArg::Zip => {
            let stats = keeper.stats()?;
            let origin = stats.key.split('+').next().unwrap_or_default().to_owned();
            let made_at = i64::try_from(host::now_s()).unwrap_or(i64::MAX);
            Format::Zip(About {
                origin,
                vkey: stats.key,
                query: args.query.clone(),
                made_at,
            })
        }
    })
}

fn exit(error: ExportError) -> Exit {
    match error {
        ExportError::Keeper(failure) => failure.into(),
        ExportError::Write { ref source, .. } => Exit::Cannot(format!("{error}: {source}")),
    }
}

fn print(exported: &Exported, out: &Path) -> Result<(), Exit> {
    let (messages, size) = (count(exported.messages), bytes(exported.bytes));
    line(format_args!(
        "exported: {messages} messages, {size}, to {}",
        out.display()
    ))?;
    for (number, what) in exported.damaged.iter().take(DAMAGE_SHOWN_MAX) {
        line(format_args!(
            "damage: message {number} was left out: {what}"
        ))?;
    }
    match exported.damaged.len() as u64 {
        0 => Ok(()),
        many => Err(Exit::Damage(format!(
            "{} messages are damaged and were left out; run coffer verify",
            count(many)
        ))),
    }
}

/// Gives the export what it asks for, from the keeper.
struct Source<'a> {
    keeper: &'a dyn Keeper,
    query: &'a str,
    rest: &'a [u64],
    /// Size of the tree at the seal's checkpoint.
    tree_size: Option<u64>,
}

impl ExportSource for Source<'_> {
    fn next_entries(&mut self) -> Result<Vec<Entry>, Failure> {
        let (step, rest) = self.rest.split_at(self.rest.len().min(STEP_MESSAGES));
        self.rest = rest;
        self.keeper.entries(step)
    }

    fn write_message(&mut self, number: u64, out: &mut dyn Write) -> Result<(), Failure> {
        let body = self.keeper.body(BodyRequest::Number(number))?;
        // What `out` said, the export knows itself.
        let _ = body.write_to(out);
        Ok(())
    }

    fn seal(&mut self, manifest: Digest, count: u64) -> Result<Seal, Failure> {
        let event = self.keeper.log(
            COMMAND_LINE,
            Event {
                kind: EventKind::Exported,
                text: self.query.to_owned(),
                digest: Some(manifest),
                count: Some(count),
                ..Event::default()
            },
        )?;
        let checkpoint = self.keeper.checkpoint()?;
        let unreadable = |error: &dyn std::fmt::Display| {
            Failure::Damaged(format!("the checkpoint cannot be read: {error}"))
        };
        let note: Note = checkpoint
            .parse()
            .map_err(|error: store::note::NoteError| unreadable(&error))?;
        let head: Checkpoint = note
            .unverified_text()
            .parse()
            .map_err(|error: store::checkpoint::CheckpointError| unreadable(&error))?;
        self.tree_size = Some(head.size());
        Ok(Seal { event, checkpoint })
    }

    fn proofs(&mut self, numbers: &[u64]) -> Result<Vec<String>, Failure> {
        let proofs = self.keeper.prove(numbers, self.tree_size)?;
        Ok(proofs.into_iter().map(|entry| entry.proof).collect())
    }
}

/// Checks an export alone.
pub(crate) fn verify(
    path: &Path,
    key: Option<&str>,
    checkpoint: Option<&str>,
    as_json: bool,
) -> Result<(), Exit> {
    let report = verify_export(path, key, checkpoint).map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(String::new, |cause| format!(": {cause}"));
        Exit::cannot(format!("{error}{cause}"))
    })?;
    if as_json {
        print_report_json(&report)?
    } else {
        print_report(&report)?
    }
    match report.damage_count {
        0 => Ok(()),
        1 => Err(Exit::Damage(format!(
            "1 thing does not hold in {}",
            path.display()
        ))),
        many => Err(Exit::Damage(format!(
            "{} things do not hold in {}",
            count(many),
            path.display()
        ))),
    }
}

fn print_report(report: &ExportReport) -> Result<(), Exit> {
    for damage in report.damaged.iter().take(DAMAGE_SHOWN_MAX) {
        line(format_args!(
            "damage: {}: {}",
            plain(&damage.file),
            plain(&damage.what)
        ))?;
    }
    line(format_args!("messages:   {}", count(report.messages)))?;
    line(format_args!("archive:    {}", plain(&report.origin)))?;
    line(format_args!("made:       {}", plain(&report.made_at)))?;
    line(format_args!(
        "checkpoint: {} entries",
        count(report.tree_size)
    ))?;
    match report.comparison {
        Some(Comparison::Same) => line("the checkpoint given is the same")?,
        Some(Comparison::NotComparableOffline { size }) => line(format_args!(
            "the checkpoint given has {} entries: whether one continues the other, only the archive can show (coffer verify --data DIR --checkpoint FILE)",
            count(size)
        ))?,
        Some(Comparison::Contradicts) | None => {}
    }
    match (&report.signature, report.damage_count) {
        (_, 1..) => Ok(()),
        (Signature::Checked(name), 0) => line(format_args!("all holds; signed by {name}")),
        (Signature::NotChecked, 0) => {
            line("consistent in itself, signer not checked; --key VKEY checks it")
        }
    }
}

fn print_report_json(report: &ExportReport) -> Result<(), Exit> {
    let signer = match &report.signature {
        Signature::Checked(name) => Some(name),
        Signature::NotChecked => None,
    };
    let comparison = report.comparison.map(|comparison| match comparison {
        Comparison::Same => "same",
        Comparison::Contradicts => "contradicts",
        Comparison::NotComparableOffline { .. } => "not comparable offline",
    });
    let damage = report
        .damaged
        .iter()
        .map(|damage| json!({"file": damage.file, "what": damage.what}));
    line(json!({
        "holds": report.damage_count == 0,
        "messages": report.messages,
        "origin": report.origin,
        "made_at": report.made_at,
        "tree_size": report.tree_size,
        "signer_checked": signer,
        "checkpoint": comparison,
        "damage": damage.collect::<Vec<_>>(),
        "damage_count": report.damage_count,
    }))
}
