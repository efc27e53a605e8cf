//! How the archive is, in numbers; no address or subject is among them.

use super::super::Response;
use super::problem::Problem;
use super::{Call, json};
use crate::keeper::messages::{CopyStats, Stats};
use serde_json::json as value;
use store::CopyState;

/// Says how the archive is.
pub(super) fn health(call: &Call<'_>) -> Result<Response, Problem> {
    let stats = call.site.keeper.stats()?;
    let refusal = call.site.keeper.takes_mail().err();
    let second_disk = second_disk(stats.copy.as_ref());
    let is_well = refusal.is_none() && stats.damage.is_empty() && is_good(second_disk);
    Ok(json(
        200,
        &value!({
            "status": if is_well { "ok" } else { "warning" },
            "takes_mail": refusal.is_none(),
            "messages": stats.totals.messages,
            "receptions": stats.totals.receptions,
            "message_bytes": stats.totals.message_bytes,
            "entries": stats.leaves,
            "entries_indexed": stats.indexed,
            "waiting_bytes": stats.waiting_bytes,
            "disk_bytes": disk_bytes(&stats),
            "available_bytes": stats.disk.available_bytes,
            "second_disk": second_disk,
            "damaged_places": stats.damage.len(),
        }),
    ))
}

/// Bytes that the archive takes on its disk.
fn disk_bytes(stats: &Stats) -> u64 {
    let disk = &stats.disk;
    disk.volumes_bytes + disk.catalog_bytes + disk.index_bytes + disk.state_bytes
}

/// The words for where the second disk is.
pub(super) const SECOND_DISK: [&str; 7] = [
    "none",
    "unknown",
    "in step",
    "catching up",
    "detached",
    "diverged",
    "too small",
];

pub(super) fn second_disk(copy: Option<&CopyStats>) -> &'static str {
    match copy.map(|copy| &copy.state) {
        None => "none",
        Some(None) => "unknown",
        Some(Some(CopyState::InStep)) => "in step",
        Some(Some(CopyState::CatchingUp { .. })) => "catching up",
        Some(Some(CopyState::Detached { .. })) => "detached",
        Some(Some(CopyState::Diverged)) => "diverged",
        Some(Some(CopyState::TooSmall { .. })) => "too small",
    }
}

fn is_good(second_disk: &str) -> bool {
    !matches!(second_disk, "detached" | "diverged" | "too small")
}
