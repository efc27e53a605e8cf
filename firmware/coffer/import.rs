//! `coffer import`: brings in mail files, with progress, and lists what was odd.

use crate::archive_access::{Missing, byte_bar, log_run, open};
use crate::args::ImportArgs;
use crate::output::{Exit, bytes, count, line, plain};
use archive::Event;
use indicatif::ProgressBar;
use serde_json::json;
use service::import::{Import, ImportError, ImportReport, Odd, Progress, Watcher};
use service::keeper::{Answer, Failure, Keeper, data_disk};
use std::path::PathBuf;
use store::{Body, Deposit, Receipt, Spool};

/// Odd items printed at the end for people; `--json` has more.
const ODD_SHOWN_MAX: usize = 100;

pub(crate) fn run(args: ImportArgs) -> Result<(), Exit> {
    let import = Import {
        paths: args.paths,
        unwrap_journal: args.journal,
        dry_run: args.dry_run,
    };
    let report = if args.dry_run {
        let folder = TemporaryFolder::make()?;
        import_into(&import, &NoArchive(Spool::beside(data_disk(&folder.0))))?
    } else {
        let keeper = open(&args.data.data, Missing::Make)?;
        log_run(&*keeper)?;
        let report = import_into(&import, &*keeper)?;
        keeper.flush()?;
        keeper.checkpoint()?;
        report
    };
    if args.json {
        print_json(&report)
    } else {
        print(&report, args.dry_run)
    }
}

fn import_into(import: &Import, keeper: &dyn Keeper) -> Result<ImportReport, Exit> {
    let mut bar = Bar(byte_bar(0));
    let imported = import.run(keeper, &mut bar);
    bar.0.finish_and_clear();
    imported.map_err(exit)
}

/// Stands in for an archive in a dry run, which reads everything and keeps nothing.
struct NoArchive(Spool);

impl Keeper for NoArchive {
    fn spool(&self) -> &Spool {
        &self.0
    }

    fn deposit(&self, _: Body, _: Deposit) -> Result<Answer<Receipt>, Failure> {
        Err(dry_run())
    }

    fn sign_in(&self, _: &str, _: &str) -> Result<bool, Failure> {
        Err(dry_run())
    }

    fn log(&self, _: u64, _: Event) -> Result<u64, Failure> {
        Err(dry_run())
    }
}

fn dry_run() -> Failure {
    Failure::BadRequest("nothing is kept in a dry run".to_owned())
}

/// A folder for the large messages of a dry run; it vanishes with the value.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> Result<Self, Exit> {
        let path = std::env::temp_dir().join(format!("coffer-dry-run-{}", std::process::id()));
        let made = std::fs::create_dir_all(path.join("spool"));
        made.map_err(|error| Exit::cannot(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Left behind it is only an empty folder.
        let _ = std::fs::remove_dir_all(&self.0);
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
