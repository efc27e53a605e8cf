//! `coffer import`: brings in mail files, with progress, and lists what was odd.

use crate::archive_access::{Missing, byte_bar, log_run, open};
use crate::args::ImportArgs;
use crate::output::{Exit, bytes, count, line, plain};
use indicatif::ProgressBar;
use serde_json::json;
use service::import::{Import, ImportError, ImportReport, Odd, Progress, Watcher};
use service::keeper::Failure;

/// Odd items printed at the end for people; `--json` has more.
const ODD_SHOWN_MAX: usize = 100;

pub(crate) fn run(args: ImportArgs) -> Result<(), Exit> {
    // A dry run keeps nothing, not even an empty archive, but it needs one to ask what it knows.
    let missing = if args.dry_run {
        Missing::Refuse
    } else {
        Missing::Make
    };
    let keeper = open(&args.data.data, missing)?;
    log_run(&*keeper)?;
    let import = Import {
        paths: args.paths,
        unwrap_journal: args.journal,
        dry_run: args.dry_run,
    };
    let mut bar = Bar(byte_bar(0));
    let imported = import.run(&*keeper, &mut bar);
    bar.0.finish_and_clear();
    let report = imported.map_err(exit)?;
    if !args.dry_run {
        keeper.flush()?;
        keeper.checkpoint()?;
    }
    if args.json {
        print_json(&report)
    } else {
        print(&report, args.dry_run)
    }
}

fn exit(error: ImportError) -> Exit {
    match &error {
        ImportError::Keeper {
            source: Failure::Damaged(_),
            ..
        } => Exit::Damage(error.to_string()),
        ImportError::Path { source, .. } => Exit::Cannot(format!("{error}: {source}")),
        ImportError::Keeper { .. } => Exit::Cannot(error.to_string()),
    }
}

struct Bar(ProgressBar);

impl Watcher for Bar {
    fn progress(&mut self, progress: &Progress) {
        self.0.set_length(progress.bytes_total);
        self.0.set_position(progress.bytes_done);
        let rate = progress.messages as f64 / self.0.elapsed().as_secs_f64().max(0.001);
        self.0.set_message(format!(
            "{} messages, {rate:.0} a second, {} odd",
            count(progress.messages),
            progress.odd
        ));
    }
}

fn print(report: &ImportReport, dry_run: bool) -> Result<(), Exit> {
    line(format_args!(
        "read:            {} messages in {} files, {}",
        count(report.messages),
        count(report.files),
        bytes(report.bytes)
    ))?;
    if !dry_run {
        line(format_args!(
            "new:             {}",
            count(report.new_messages)
        ))?;
        line(format_args!(
            "received again:  {}",
            count(report.new_receptions)
        ))?;
        line(format_args!("known:           {}", count(report.known)))?;
    }
    line(format_args!(
        "odd:             {}, of which not imported: {}",
        count(report.odd_count),
        count(report.left_out)
    ))?;
    for odd in report.odd.iter().take(ODD_SHOWN_MAX) {
        line(format_args!("  {}", plain(&odd.to_string())))?;
    }
    let rest = report
        .odd_count
        .saturating_sub(ODD_SHOWN_MAX.min(report.odd.len()) as u64);
    if rest > 0 {
        line(format_args!(
            "  and {} more; --json lists the first {}",
            count(rest),
            count(service::import::ODD_KEPT_MAX as u64)
        ))?;
    }
    if dry_run {
        line("nothing was kept: this was a dry run")
    } else {
        Ok(())
    }
}

fn print_json(report: &ImportReport) -> Result<(), Exit> {
    let odd = |odd: &Odd| json!({"path": odd.path.to_string_lossy(), "offset": odd.offset, "what": odd.what, "left_out": odd.is_left_out});
    line(json!({
        "files": report.files,
        "bytes": report.bytes,
        "messages": report.messages,
        "new_messages": report.new_messages,
        "new_receptions": report.new_receptions,
        "known": report.known,
        "odd": report.odd_count,
        "left_out": report.left_out,
        "odd_items": report.odd.iter().map(odd).collect::<Vec<_>>(),
    }))
}
