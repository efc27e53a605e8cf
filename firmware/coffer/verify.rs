//! `coffer verify`: checks an archive, or an export alone, and says in plain words what does not hold.

use crate::archive_access::{Missing, byte_bar, log_run, open};
use crate::args::VerifyArgs;
use crate::output::{Exit, bytes, count, line};
use serde_json::json;
use service::keeper::Keeper;
use std::path::Path;
use store::{Finding, MendReport, Mended, Side, VerifyReport};

/// Findings printed for people; `--json` has all.
const FINDINGS_SHOWN_MAX: usize = 100;

pub(crate) fn run(args: VerifyArgs) -> Result<(), Exit> {
    let checkpoint = args
        .checkpoint
        .as_deref()
        .map(read_checkpoint)
        .transpose()?;
    match (&args.data, &args.export) {
        (Some(data), _) => {
            let copy = args.mend.then_some(args.copy.as_deref());
            archive(data, copy, args.key, checkpoint, args.json)
        }
        (None, Some(export)) => crate::export::verify(
            export,
            args.key.as_deref(),
            checkpoint.as_deref(),
            args.json,
        ),
        (None, None) => Err(Exit::cannot(
            "name an archive with --data DIR, or an export",
        )),
    }
}

fn read_checkpoint(path: &Path) -> Result<String, Exit> {
    std::fs::read_to_string(path).map_err(|error| {
        Exit::cannot(format!(
            "cannot read the checkpoint {}: {error}",
            path.display()
        ))
    })
}

fn archive(
    data: &Path,
    mend_from: Option<Option<&Path>>,
    key: Option<String>,
    checkpoint: Option<String>,
    as_json: bool,
) -> Result<(), Exit> {
    let keeper = open(data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let mended = mend_from.map(|copy| mend(&*keeper, copy)).transpose()?;
    keeper.checkpoint()?;
    let bar = byte_bar(0);
    let report = keeper.verify(key, checkpoint, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report?;
    if as_json {
        print_json(&report, mended.as_ref())?
    } else {
        mended.iter().try_for_each(print_mended)?;
        print(&report)?
    }
    let left_on_copy = mended.map_or(0, |mended| mended.left_on_copy.len() as u64);
    match report.findings.len() as u64 + report.more_findings {
        0 if left_on_copy > 0 => Err(Exit::Damage(format!(
            "{} things on the other copy do not hold and could not be mended",
            count(left_on_copy)
        ))),
        0 => Ok(()),
        1 => Err(Exit::Damage(format!(
            "1 thing does not hold in {}",
            data.display()
        ))),
        many => Err(Exit::Damage(format!(
            "{} things do not hold in {}",
            count(many),
            data.display()
        ))),
    }
}

/// Mends from the copy before the archive is read.
fn mend(keeper: &dyn Keeper, copy: Option<&Path>) -> Result<MendReport, Exit> {
    // The keeper may have another working directory.
    let copy = copy.map(std::path::absolute).transpose();
    let copy = copy.map_err(Exit::cannot)?;
    let bar = byte_bar(0).with_message("volumes");
    let report = keeper.mend(copy.as_deref(), &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(report?)
}

fn print_mended(report: &MendReport) -> Result<(), Exit> {
    for mended in report.mended.iter().take(FINDINGS_SHOWN_MAX) {
        line(format_args!(
            "mended: {}{} at byte {}, {}: {}",
            on_copy(mended.side),
            mended.place,
            mended.offset,
            bytes(mended.length_bytes),
            mended.what
        ))?;
    }
    for finding in report.left_on_copy.iter().take(FINDINGS_SHOWN_MAX) {
        line(format_args!(
            "damage: {}{}",
            on_copy(Side::Copy),
            sentence(finding)
        ))?;
    }
    if report.wants_rebuild {
        line("the catalog was made while bytes were lost that are back now: run coffer rebuild")?;
    }
    Ok(())
}

pub(crate) fn on_copy(side: Side) -> &'static str {
    match side {
        Side::Own => "",
        Side::Copy => "the other copy's ",
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    archive::Digest(*bytes).to_string()
}

fn print(report: &VerifyReport) -> Result<(), Exit> {
    for finding in report.findings.iter().take(FINDINGS_SHOWN_MAX) {
        line(format_args!("damage: {}", sentence(finding)))?;
    }
    line(format_args!(
        "messages:    {} ({})",
        count(report.messages),
        bytes(report.message_bytes)
    ))?;
    line(format_args!("contents:    {}", count(report.contents)))?;
    line(format_args!(
        "entries:     {} in {} volumes",
        count(report.leaves),
        report.volumes
    ))?;
    line(format_args!("checkpoints: {}", count(report.checkpoints)))?;
    line(format_args!("tree:        {}", hex(&report.root)))?;
    match (&report.signer_checked, report.findings.is_empty()) {
        (_, false) => Ok(()),
        (Some(name), true) => line(format_args!("all holds; signed by {name}")),
        (None, true) => line("consistent in itself, signer not checked; --key VKEY checks it"),
    }
}

pub(crate) fn sentence(finding: &Finding) -> String {
    match finding.offset {
        Some(offset) => format!("{} at byte {offset}: {}", finding.place, finding.what),
        None => format!("{}: {}", finding.place, finding.what),
    }
}

fn print_json(report: &VerifyReport, mended: Option<&MendReport>) -> Result<(), Exit> {
    line(json!({
        "holds": report.findings.is_empty(),
        "messages": report.messages,
        "message_bytes": report.message_bytes,
        "contents": report.contents,
        "entries": report.leaves,
        "volumes": report.volumes,
        "checkpoints": report.checkpoints,
        "root": hex(&report.root),
        "signer_checked": report.signer_checked,
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "more_findings": report.more_findings,
        "mended": mended.map(mended_json),
    }))
}

pub(crate) fn finding_json(finding: &Finding) -> serde_json::Value {
    json!({"place": finding.place, "offset": finding.offset, "numbers": finding.numbers, "what": finding.what})
}

fn mended_json(report: &MendReport) -> serde_json::Value {
    let mended = |mended: &Mended| {
        json!({
            "on_copy": mended.side == Side::Copy,
            "place": mended.place,
            "offset": mended.offset,
            "length_bytes": mended.length_bytes,
            "what": mended.what,
        })
    };
    json!({
        "mended": report.mended.iter().map(mended).collect::<Vec<_>>(),
        "left_on_copy": report.left_on_copy.iter().map(finding_json).collect::<Vec<_>>(),
        "wants_rebuild": report.wants_rebuild,
    })
}
