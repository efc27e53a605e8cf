//! How a command reaches the archive: through the keeper that serves it, or as its owner for the time of the run.

use crate::host;
use crate::output::Exit;
use archive::{Event, EventKind};
use indicatif::{ProgressBar, ProgressStyle};
use service::keeper::{Failure, Keeper, LocalKeeper, SocketKeeper};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Opening, Options};

/// Actor id of the host's command line, see FORMAT.md.
pub(crate) const COMMAND_LINE: u64 = 1;

/// Whether a command may make a new archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A directory without an archive becomes one.
    Make,
    /// A directory without an archive is an error.
    Refuse,
}

/// Reaches the archive in a directory.
pub(crate) fn open(data: &Path, missing: Missing) -> Result<Arc<dyn Keeper>, Exit> {
    if missing == Missing::Refuse && !data.join("identity").exists() {
        let text = format!(
            "there is no archive in {}; coffer serve or coffer import makes one",
            data.display()
        );
        return Err(Exit::Cannot(text));
    }
    if let Some(keeper) = SocketKeeper::connect(data)? {
        return Ok(Arc::new(keeper));
    }
    Ok(Arc::new(open_as_owner(data, host::options())?))
}

/// Takes the directory for this process, with a line of progress while the catalog catches up.
pub(crate) fn open_as_owner(data: &Path, options: Options) -> Result<LocalKeeper, Failure> {
    open_with_copy(data, None, options)
}

/// Takes the directory and the one of its copy, with a line of progress while either catches up.
pub(crate) fn open_with_copy(
    data: &Path,
    copy: Option<&Path>,
    options: Options,
) -> Result<LocalKeeper, Failure> {
    let entries = spinner("catching up with the volumes");
    let mut volumes = None;
    let keeper = LocalKeeper::open_with_copy(data, copy, options, &mut |opening| match opening {
        Opening::Catalog { leaves } => entries.set_position(leaves),
        Opening::Volumes {
            done_bytes,
            total_bytes,
        } => volumes
            .get_or_insert_with(|| byte_bar(total_bytes).with_message("from the copy"))
            .set_position(done_bytes),
    });
    entries.finish_and_clear();
    keeper
}

/// Writes the one entry of this run into the audit log; what the command shows comes after it.
pub(crate) fn log_run(keeper: &dyn Keeper) -> Result<u64, Exit> {
    let text = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let account = nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten()
        .map_or_else(String::new, |user| user.name);
    let event = Event {
        kind: EventKind::CommandRun,
        account,
        text: format!("coffer {text}"),
        ..Event::default()
    };
    Ok(keeper.log(COMMAND_LINE, event)?)
}

/// A line that turns while nobody knows how long it takes; it appears only after a moment.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} entries")
        .expect("the template is sound");
    let bar = ProgressBar::new_spinner()
        .with_style(style)
        .with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar over bytes, with rate and time left.
pub(crate) fn byte_bar(total: u64) -> ProgressBar {
    let template = "{bar:20} {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {msg}  {eta} left";
    let style = ProgressStyle::with_template(template)
        .expect("the template is sound")
        .progress_chars("##-");
    ProgressBar::new(total).with_style(style)
}

/// A bar over messages.
pub(crate) fn message_bar(total: u64) -> ProgressBar {
    let template =
        "{bar:30} {percent:>3} %  {human_pos} of {human_len} messages  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template)
        .expect("the template is sound")
        .progress_chars("##-");
    ProgressBar::new(total).with_style(style)
}
