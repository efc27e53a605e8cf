//! `/metrics` in the text format of Prometheus (0.0.4), answered only where the operator has switched it on, and only to a token for health.
//!
//! Numbers and fixed words alone: no address, name or subject is ever in it.

use super::super::{Method, Request, Site};
use super::health::{SECOND_DISK, WARNINGS, kind, second_disk};
use super::problem::Problem;
use super::{Response, access, wrong_method};
use crate::health::warnings;
use crate::settings::Setting;
use archive::people::ApiScope;
use std::fmt::Write;

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Gives all figures.
pub(super) fn metrics(site: &Site, request: &Request) -> Result<Response, Problem> {
    if site.setting(Setting::Metrics) != "on" {
        return Err(Problem::not_found());
    }
    let (_, access) = access(site, request, &request.peer.to_string())?;
    if access.scope != ApiScope::Health {
        return Err(Problem::new(403, "the token is not for this"));
    }
    if request.method != Method::Get {
        return Err(wrong_method(&request.path));
    }
    let mut text = Text::default();
    archive(&mut text, site)?;
    smtp(&mut text, site);
    Ok(Response::new(200, MEDIA_TYPE, text.0.into_bytes()))
}

fn archive(text: &mut Text, site: &Site) -> Result<(), Problem> {
    let stats = site.keeper.stats()?;
    let totals = &stats.totals;
    text.gauge("messages", "Distinct messages.", totals.messages);
    text.gauge("receptions", "Arrivals of messages.", totals.receptions);
    text.gauge(
        "message_bytes",
        "Bytes of distinct messages.",
        totals.message_bytes,
    );
    text.gauge(
        "entries",
        "Entries of the log: messages, arrivals, events.",
        stats.leaves,
    );
    let lag = stats.leaves.saturating_sub(stats.indexed);
    text.gauge(
        "index_lag_entries",
        "Entries that searches do not find yet.",
        lag,
    );
    text.gauge(
        "queue_bytes",
        "Bytes of work that waits to be written.",
        stats.waiting_bytes,
    );
    let disk = &stats.disk;
    text.family(
        "disk_bytes",
        "gauge",
        "Bytes on the disk by what they hold.",
    );
    for (kind, bytes) in [
        ("volumes", disk.volumes_bytes),
        ("catalog", disk.catalog_bytes),
        ("index", disk.index_bytes),
        ("state", disk.state_bytes),
    ] {
        text.sample("disk_bytes", Some(("kind", kind)), bytes);
    }
    text.gauge(
        "disk_available_bytes",
        "Bytes left for mail.",
        disk.available_bytes,
    );
    text.family(
        "second_disk",
        "gauge",
        "1 for the state that the second disk is in.",
    );
    let now = second_disk(stats.copy.as_ref());
    for state in SECOND_DISK {
        text.sample(
            "second_disk",
            Some(("state", state)),
            u64::from(state == now),
        );
    }
    let damage = stats.damage.len() as u64;
    text.gauge(
        "damaged_places",
        "Places on the disks that do not hold.",
        damage,
    );
    let figures = site.keeper.health()?;
    let takes_mail = u64::from(figures.refusal.is_none());
    text.gauge("takes_mail", "1 while mail is taken.", takes_mail);
    let verified = figures
        .verified_at_s
        .and_then(|at_s| u64::try_from(at_s).ok());
    text.gauge(
        "last_verification_timestamp_seconds",
        "When everything was last read and found good; 0 if never.",
        verified.unwrap_or(0),
    );
    let warnings: Vec<_> = warnings(&figures).iter().map(kind).collect();
    text.family("warning", "gauge", "1 for what somebody should know.");
    for name in WARNINGS {
        let is_on = u64::from(warnings.contains(&name));
        text.sample("warning", Some(("kind", name)), is_on);
    }
    Ok(())
}

fn smtp(text: &mut Text, site: &Site) {
    let counts = site.mail_counts();
    let ended = counts.sessions_ended;
    let sessions = counts.sessions.max(ended);
    text.gauge("smtp_sessions", "SMTP sessions now.", sessions - ended);
    for (name, help, count) in [
        (
            "smtp_sessions_total",
            "SMTP sessions since the start.",
            sessions,
        ),
        (
            "smtp_messages_total",
            "Messages taken by SMTP.",
            counts.messages,
        ),
        (
            "smtp_put_off_total",
            "Messages whose senders were told to come again.",
            counts.put_off,
        ),
        (
            "smtp_refused_total",
            "Messages refused as too large.",
            counts.refused,
        ),
        (
            "smtp_sign_ins_refused_total",
            "Wrong names or passwords at SMTP.",
            counts.sign_ins_refused,
        ),
    ] {
        text.family(name, "counter", help);
        text.sample(name, None, count);
    }
}

/// The text, family by family.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text never fails.
        let _ = write!(
            self.0,
            "# HELP coffer_{name} {help}\n# TYPE coffer_{name} {kind}\n"
        );
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: u64) {
        let _ = match label {
            Some((label, of)) => writeln!(self.0, "coffer_{name}{{{label}=\"{of}\"}} {value}"),
            None => writeln!(self.0, "coffer_{name} {value}"),
        };
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, None, value);
    }
}
