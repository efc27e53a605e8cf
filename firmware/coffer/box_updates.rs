//! `coffer update check|install|status`: what the page "Updates" does, on the command line of a box.
//!
//! Elsewhere there is nobody to ask: Coffer on an ordinary computer is brought up to date by whoever installed it.

use crate::output::{Exit, line, plain};
use serde_json::{Value, json};
use service::machine::{Doing, Refusal, UpdateDeed, UpdatesSeen};
use std::thread;
use std::time::Duration;
use update::memory::{Entry, Outcome};

/// A second between two looks at what is under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks for a newer version now, and says what was found.
pub(crate) fn check() -> Result<(), Exit> {
    let seen = done(UpdateDeed::Check)?;
    tell(&seen)?;
    match seen.memory.unchecked {
        Some(unchecked) => Err(Exit::NotUpdated(plain(&unchecked.why))),
        None => Ok(()),
    }
}

/// Installs what is on offer; by then the machine is about to start again.
pub(crate) fn install() -> Result<(), Exit> {
    let before = seen()?.memory.history;
    let seen = done(UpdateDeed::Install)?;
    let newest = seen.memory.history.first();
    let newest = newest.filter(|_| seen.memory.history != before);
    let unchecked = seen.memory.unchecked.as_ref();
    match (newest.map(|entry| &entry.outcome), unchecked) {
        (Some(Outcome::NotInstalled(why)), _) => Err(Exit::NotUpdated(plain(why))),
        (Some(_), _) => tell(&seen),
        (None, Some(unchecked)) => Err(Exit::NotUpdated(plain(&unchecked.why))),
        (None, None) => line("nothing to install"),
    }
}

/// Says how updates stand.
pub(crate) fn status(as_json: bool) -> Result<(), Exit> {
    let seen = seen()?;
    match as_json {
        true => line(object(&seen)),
        false => tell(&seen),
    }
}

fn seen() -> Result<UpdatesSeen, Exit> {
    appliance::machine().updates().map_err(no_box)
}

/// Asks for something, and waits until nothing is under way any more.
fn done(deed: UpdateDeed) -> Result<UpdatesSeen, Exit> {
    appliance::machine().update(deed).map_err(no_box)?;
    loop {
        let seen = seen()?;
        if matches!(seen.doing, Doing::Nothing | Doing::Restarting) {
            return Ok(seen);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn no_box(refusal: Refusal) -> Exit {
    match refusal {
        Refusal::Failed(why) => {
            let text = format!("no box that updates itself, or it cannot be asked: {why}");
            Exit::cannot(plain(&text))
        }
        other => Exit::cannot(format!("{other:?}")),
    }
}

fn tell(seen: &UpdatesSeen) -> Result<(), Exit> {
    lines(seen).into_iter().try_for_each(line)
}

/// How updates stand, in lines.
fn lines(seen: &UpdatesSeen) -> Vec<String> {
    let memory = &seen.memory;
    let trial = if seen.is_on_trial { " (on trial)" } else { "" };
    let mut lines = vec![format!("version: {}{trial}", seen.running)];
    let available = memory.available.as_ref();
    lines.extend(available.map(|it| format!("available: {} ({} bytes)", it.version, it.length)));
    let refused = memory.refused.as_ref();
    lines.extend(refused.map(|(version, why)| format!("refused: {version} ({why})")));
    lines.extend(memory.checked_at.map(|at| format!("checked: {at}")));
    let unchecked = memory.unchecked.as_ref();
    lines.extend(unchecked.map(|it| format!("unchecked since: {} ({})", it.since, plain(&it.why))));
    lines.extend(
        memory
            .paused_until
            .map(|until| format!("paused until: {until}")),
    );
    let entries = memory.history.iter();
    lines.extend(entries.map(|entry| format!("{} {} {}", entry.at, entry.version, became(entry))));
    lines
}

/// What became of a version, in words of the log.
fn became(entry: &Entry) -> String {
    match &entry.outcome {
        Outcome::Installed => "installed".to_owned(),
        Outcome::Good => "good".to_owned(),
        Outcome::Left => "left".to_owned(),
        Outcome::Failed(why) => format!("failed: {}", plain(&why.to_string())),
        Outcome::NotInstalled(why) => format!("not installed: {}", plain(why)),
    }
}

fn object(seen: &UpdatesSeen) -> Value {
    let memory = &seen.memory;
    json!({
        "version": seen.running,
        "on_trial": seen.is_on_trial,
        "before": seen.before,
        "available": memory.available.as_ref().map(|it| it.version),
        "refused": memory.refused.as_ref().map(|(version, why)| format!("{version}: {why}")),
        "checked_at": memory.checked_at,
        "unchecked": memory.unchecked.as_ref().map(|it| &it.why),
        "paused_until": memory.paused_until,
        "supported_until": memory.supported_until,
        "history": memory.history.iter().map(|entry| json!({
            "at": entry.at, "version": entry.version, "outcome": became(entry),
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use update::Time;
    use update::memory::Available;
    use update::release::Notes;
    use update::trial::Failure;

    #[test]
    fn how_updates_stand_is_told_in_lines_and_as_an_object() {
        let version = |text: &str| text.parse().expect("a version");
        let mut seen = UpdatesSeen {
            running: "1.0.0".to_owned(),
            is_on_trial: true,
            ..UpdatesSeen::default()
        };
        let at = Time::from_unix(1_800_000_000);
        let memory = &mut seen.memory;
        memory.offered(Available {
            version: version("1.2.0"),
            notes: Notes::default(),
            length: 4711,
            seen_at: at,
        });
        memory.happened(at, version("1.1.0"), Outcome::Failed(Failure::Silent));
        memory.not_checked(at, "no\nroute".to_owned());
        let told = lines(&seen);
        let expected = [
            "version: 1.0.0 (on trial)",
            "available: 1.2.0 (4711 bytes)",
            "unchecked since: 2027-01-15T08:00:00Z (no route)",
            "2027-01-15T08:00:00Z 1.1.0 failed: it did not say why",
        ];
        assert_eq!(told, expected);
        let object = object(&seen);
        assert_eq!(object["available"], "1.2.0");
        assert_eq!(object["history"][0]["version"], "1.1.0");
        assert_eq!(object["checked_at"], Value::Null);
    }
}
