//! `coffer rebuild`, `stats`, `checkpoint`, `key` and `certificate`: small commands about the archive as a whole.

use crate::archive_access::{Missing, byte_bar, log_run, open, spinner};
use crate::args::{DataArgs, RecompressArgs, StatsArgs};
use crate::output::{Exit, bytes, count, line, note};
use crate::verify::{finding_json, on_copy, sentence};
use serde_json::json;
use service::keeper::messages::{CopyStats, Stats};
use std::io::Write;
use store::{CopyState, Damaged, Recompressed, Side};

/// Places of damage that are printed for people; `--json` has all.
const DAMAGE_SHOWN_MAX: usize = 20;

pub(crate) fn rebuild(args: &DataArgs) -> Result<(), Exit> {
    let keeper = open(&args.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let bar = spinner("reading the volumes");
    let rebuilt = keeper.rebuild(&mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    rebuilt?;
    let stats = keeper.stats()?;
    line(format_args!(
        "rebuilt: {} messages, {} entries",
        count(stats.totals.messages),
        count(stats.leaves)
    ))
}

pub(crate) fn recompress(args: &RecompressArgs) -> Result<(), Exit> {
    let keeper = open(&args.data.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let bar = byte_bar(0);
    let done = keeper.recompress(args.seal, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let done = done?;
    if args.json {
        line(json!({
            "volumes": done.volumes,
            "bytes_before": done.before_bytes,
            "bytes_after": done.after_bytes,
            "not_worth": done.not_worth,
            "damaged": done.damaged,
            "no_room": done.no_room,
        }))?;
    } else {
        print_recompressed(&done)?;
    }
    match done.damaged.as_slice() {
        [] => Ok(()),
        damaged => Err(Exit::Damage(format!(
            "volumes {damaged:?} are damaged and were left as they are; coffer verify says where"
        ))),
    }
}

fn print_recompressed(done: &Recompressed) -> Result<(), Exit> {
    line(format_args!(
        "packed anew: {} volumes, {} before, {} now",
        count(done.volumes),
        bytes(done.before_bytes),
        bytes(done.after_bytes)
    ))?;
    if done.not_worth > 0 {
        let left = count(done.not_worth);
        line(format_args!(
            "left:        {left} volumes, which would not become smaller"
        ))?;
    }
    if done.no_room > 0 {
        let left = count(done.no_room);
        line(format_args!(
            "left:        {left} volumes, for want of room on the disk"
        ))?;
    }
    Ok(())
}

pub(crate) fn checkpoint(args: &DataArgs) -> Result<(), Exit> {
    let keeper = open(&args.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    Ok(write!(std::io::stdout(), "{}", keeper.checkpoint()?)?)
}

pub(crate) fn key(args: &DataArgs) -> Result<(), Exit> {
    let keeper = open(&args.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    line(keeper.stats()?.key)
}

/// Prints what people install; name and fingerprint, by which they see that it is the right one, go to standard error.
pub(crate) fn certificate(args: &DataArgs) -> Result<(), Exit> {
    let keeper = open(&args.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let authority = keeper.authority()?;
    let digits: Vec<_> = authority
        .fingerprint
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    note(format_args!("authority:   {}", authority.name));
    note(format_args!("fingerprint: {} (SHA-256)", digits.join(":")));
    Ok(write!(std::io::stdout(), "{}", authority.pem)?)
}

pub(crate) fn stats(args: &StatsArgs) -> Result<(), Exit> {
    let keeper = open(&args.data.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let stats = keeper.stats()?;
    if args.json {
        line(as_json(&stats))
    } else {
        print(&stats)
    }
}

fn as_json(stats: &Stats) -> serde_json::Value {
    let (totals, disk) = (&stats.totals, &stats.disk);
    json!({
        "archive": stats.archive,
        "epoch": stats.epoch,
        "members": stats.members,
        "disk_id": stats.disk_id,
        "copy": stats.copy.as_ref().map(copy_as_json),
        "key": stats.key,
        "messages": totals.messages,
        "receptions": totals.receptions,
        "events": totals.events,
        "contents": totals.contents,
        "bytes_in": totals.received_bytes,
        "message_bytes": totals.message_bytes,
        "content_bytes": totals.content_bytes,
        "entries": stats.leaves,
        "entries_indexed": stats.indexed,
        "disk": {
            "volumes": disk.volumes_bytes,
            "catalog": disk.catalog_bytes,
            "index": disk.index_bytes,
            "state": disk.state_bytes,
            "available": disk.available_bytes,
        },
        "damage": stats.damage.iter().map(damaged_as_json).collect::<Vec<_>>(),
    })
}

fn damaged_as_json(damaged: &Damaged) -> serde_json::Value {
    let mut object = finding_json(&damaged.finding);
    object["on_copy"] = json!(damaged.side == Side::Copy);
    object
}

/// The second disk: `state` is one of in-step, catching-up, detached, diverged, too-small, unknown.
fn copy_as_json(copy: &CopyStats) -> serde_json::Value {
    let mut object = json!({
        "path": copy.path,
        "says": copy.state.as_ref().map(ToString::to_string),
        "state": match &copy.state {
            None => "unknown",
            Some(CopyState::InStep) => "in-step",
            Some(CopyState::CatchingUp { .. }) => "catching-up",
            Some(CopyState::Detached { .. }) => "detached",
            Some(CopyState::Diverged) => "diverged",
            Some(CopyState::TooSmall { .. }) => "too-small",
        },
    });
    match &copy.state {
        Some(CopyState::CatchingUp {
            done_bytes,
            total_bytes,
        }) => {
            object["done_bytes"] = json!(done_bytes);
            object["total_bytes"] = json!(total_bytes);
        }
        Some(CopyState::Detached { since_us, reason }) => {
            object["since_us"] = json!(since_us);
            object["reason"] = json!(reason);
        }
        _ => {}
    }
    object
}

fn print(stats: &Stats) -> Result<(), Exit> {
    let (totals, disk) = (&stats.totals, &stats.disk);
    line(format_args!("archive:    {}", stats.archive))?;
    line(format_args!(
        "messages:   {} ({})",
        count(totals.messages),
        bytes(totals.message_bytes)
    ))?;
    line(format_args!(
        "receptions: {} ({})",
        count(totals.receptions),
        bytes(totals.received_bytes)
    ))?;
    line(format_args!("events:     {}", count(totals.events)))?;
    line(format_args!("volumes:    {}", bytes(disk.volumes_bytes)))?;
    line(format_args!("catalog:    {}", bytes(disk.catalog_bytes)))?;
    line(format_args!("index:      {}", bytes(disk.index_bytes)))?;
    line(format_args!("free:       {}", bytes(disk.available_bytes)))?;
    if let Some(CopyStats {
        path,
        state: Some(state),
        ..
    }) = &stats.copy
    {
        line(format_args!("copy:       {path} ({state})"))?;
    }
    for damaged in stats.damage.iter().take(DAMAGE_SHOWN_MAX) {
        let (whose, what) = (on_copy(damaged.side), sentence(&damaged.finding));
        line(format_args!("damage:     {whose}{what}"))?;
    }
    line(format_args!("key:        {}", stats.key))
}
