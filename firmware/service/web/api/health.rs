//! How the archive is, in numbers; no address or subject is among them.

use super::super::Response;
use super::problem::Problem;
use super::{Call, json};
use crate::health::{Warning, warnings};
use crate::keeper::messages::{CopyStats, Stats};
use archive::calendar::rfc3339;
use serde_json::json as value;
use std::collections::BTreeSet;
use store::CopyState;

/// Says how the archive is.
pub(super) fn health(call: &Call<'_>) -> Result<Response, Problem> {
    let stats = call.site.keeper.stats()?;
    let figures = call.site.keeper.health()?;
    let warnings: BTreeSet<_> = warnings(&figures).iter().map(kind).collect();
    Ok(json(
        200,
        &value!({
            "status": if warnings.is_empty() { "ok" } else { "warning" },
            "warnings": warnings,
            "takes_mail": figures.refusal.is_none(),
            "messages": stats.totals.messages,
            "receptions": stats.totals.receptions,
            "message_bytes": stats.totals.message_bytes,
            "entries": stats.leaves,
            "entries_indexed": stats.indexed,
            "waiting_bytes": stats.waiting_bytes,
            "disk_bytes": disk_bytes(&stats),
            "available_bytes": stats.disk.available_bytes,
            "second_disk": second_disk(stats.copy.as_ref()),
            "damaged_places": stats.damage.len(),
            "verified_at": figures.verified_at_s.map(rfc3339),
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

/// The words for what somebody should know, without names and times.
pub(super) const WARNINGS: [&str; 14] = [
    "mail refused",
    "damaged",
    "second disk detached",
    "second disk diverged",
    "second disk too small",
    "alarm",
    "room low",
    "source silent",
    "certificate ends",
    "outgoing fails",
    "route proposed",
    "index behind",
    "unverified",
    "no mail yet",
];

pub(super) fn kind(warning: &Warning) -> &'static str {
    match warning {
        Warning::MailRefused { .. } => "mail refused",
        Warning::Damaged { .. } => "damaged",
        Warning::SecondDiskDetached { .. } => "second disk detached",
        Warning::SecondDiskDiverged => "second disk diverged",
        Warning::SecondDiskTooSmall => "second disk too small",
        Warning::Alarm(_) => "alarm",
        Warning::RoomLow { .. } => "room low",
        Warning::SourceSilent { .. } => "source silent",
        Warning::CertificateEnds { .. } => "certificate ends",
        Warning::OutgoingFails { .. } => "outgoing fails",
        Warning::RouteProposed { .. } => "route proposed",
        Warning::IndexBehind { .. } => "index behind",
        Warning::Unverified { .. } => "unverified",
        Warning::NoMailYet => "no mail yet",
    }
}
