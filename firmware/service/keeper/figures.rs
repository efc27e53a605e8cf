//! The figures that warnings hang on, gathered by the owner of the archive; what is wrong with them says [`crate::health`].

use super::messages::Stats;
use super::{Failure, LocalKeeper};
use crate::health::{Alarm, Figures, SourceFigures};
use archive::{EventKind, SourceKind};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use store::{HourOfSource, LeafBody, Source, VolumesRead};

/// 90 days are looked at to know what is usual.
const DAYS: u32 = 90;

const HOURS: u32 = DAYS * 24;

const HOUR_S: i64 = 60 * 60;

const DAY_S: i64 = 24 * HOUR_S;

/// 14 days of running mail before anybody can say how much comes a day.
const PACE_DAYS_MIN: u64 = 14;

/// 16 bits of a public IPv4 address: what large providers send from in one region.
const PUBLIC_V4_PREFIX_LEN: u8 = 16;

/// 32 bits of a public IPv6 address: what a provider has at least.
const PUBLIC_V6_PREFIX_LEN: u8 = 32;

/// 50,000 numbers of the log are looked through for alarms after a start, some 100 ms; later only what is new.
const LOOKED_THROUGH_MAX: u64 = 50_000;

/// 200 numbers, the newest, are looked through for the last arrival: beside mail only the log takes any.
const ARRIVAL_LOOKED_THROUGH_MAX: u64 = 200;

/// What was seen of the log so far.
#[derive(Default)]
pub(super) struct LogWatch(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// The first number that was not looked at.
    next: u64,
    /// The newest alarm.
    alarm: Option<Alarm>,
}

impl LocalKeeper {
    /// Gives the figures that warnings hang on.
    pub(super) fn figures(&self) -> Result<Figures, Failure> {
        let stats = self.stats()?;
        let refusal = self.store().takes_mail().err();
        let now_s = stats.clock.at_us.div_euclid(1_000_000);
        let hour = u32::try_from(now_s.div_euclid(HOUR_S)).unwrap_or(0);
        let hours = self
            .store()
            .hours(hour.saturating_sub(HOURS - 1)..hour + 1)?;
        Ok(Figures {
            now_s,
            daily_bytes: daily_bytes(&stats, &hours, now_s),
            verified_at_s: verified_at_s(&stats.read),
            sources: sources(&stats.sources, &hours, hour),
            messages: stats.totals.messages,
            refusal: refusal.map(|error| store::chain(&error)),
            available_bytes: stats.disk.available_bytes,
            second_disk: stats.copy.and_then(|copy| copy.state),
            damaged_places: stats.damage.len() as u64,
            alarm: self.newest_alarm()?,
            unindexed: stats.leaves.saturating_sub(stats.indexed),
            certificate_ends_at_s: self.own_certificate()?.map(|own| own.ends_at_s),
            outgoing_failure: self.outgoing_failure().now(),
            proposed_route: self.people()?.proposed_route(),
        })
    }

    fn newest_alarm(&self) -> Result<Option<Alarm>, Failure> {
        let (leaves, _) = self.store().progress()?;
        let mut seen = self
            .log_watch()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let from = seen
            .next
            .max(leaves.saturating_sub(LOOKED_THROUGH_MAX))
            .max(1);
        let mut newest = None;
        self.store().events(from..leaves + 1, |head, event| {
            if event.kind == EventKind::Alarm {
                newest = Some(Alarm {
                    at_s: head.moment.at_us.div_euclid(1_000_000),
                    about: event.rule,
                    text: event.text,
                });
            }
        })?;
        seen.next = leaves + 1;
        if newest.is_some() {
            seen.alarm = newest;
        }
        Ok(seen.alarm.clone())
    }
}

/// Gives when the sealed volumes were last read whole; none before all were.
fn verified_at_s(read: &VolumesRead) -> Option<i64> {
    let oldest = read.oldest_us.filter(|_| read.read == read.sealed);
    oldest.map(|at_us| at_us.div_euclid(1_000_000))
}

/// Gives the bytes of disk that running mail takes a day, from what it took of late and how much smaller it gets on the disk.
fn daily_bytes(stats: &Stats, hours: &[HourOfSource], now_s: i64) -> Option<u64> {
    let running = stats
        .sources
        .iter()
        .filter(|source| is_running(source.kind));
    let first_us = running.map(|source| source.first_at_us).min()?;
    let age_days = (now_s - first_us.div_euclid(1_000_000)).div_euclid(DAY_S);
    let days = u64::try_from(age_days).ok()?.min(u64::from(DAYS));
    if days < PACE_DAYS_MIN || stats.totals.received_bytes == 0 {
        return None;
    }
    let running = hours.iter().filter(|hour| is_running(hour.kind));
    let came: u64 = running.map(|hour| hour.bytes).sum();
    let kept = u128::from(came) * u128::from(stats.disk.volumes_bytes);
    let kept = kept / u128::from(stats.totals.received_bytes) / u128::from(days);
    u64::try_from(kept).ok()
}

/// Gives where mail keeps coming from, with its arrivals a day until this hour.
fn sources(known: &[Source], hours: &[HourOfSource], hour: u32) -> Vec<SourceFigures> {
    let mut sources: BTreeMap<String, SourceFigures> = BTreeMap::new();
    for source in known.iter().filter(|source| is_running(source.kind)) {
        let Some(name) = group(&source.name) else {
            continue;
        };
        let figures = sources.entry(name.clone()).or_insert(SourceFigures {
            name,
            last_at_s: i64::MIN,
            days: vec![0; DAYS as usize],
        });
        let last_at_s = source.last_at_us.div_euclid(1_000_000);
        figures.last_at_s = figures.last_at_s.max(last_at_s);
    }
    for of in hours.iter().filter(|of| is_running(of.kind)) {
        let figures = group(&of.name).and_then(|name| sources.get_mut(&name));
        let ago = hour.saturating_sub(of.hour) / 24;
        let day = DAYS.checked_sub(ago + 1);
        if let (Some(figures), Some(day)) = (figures, day) {
            figures.days[day as usize] += of.count;
        }
    }
    sources.into_values().collect()
}

/// Tells whether mail keeps coming this way, and does not come once from a file.
fn is_running(kind: u8) -> bool {
    use SourceKind::{ImapPull, Pop3Pull, Proxy, Smtp};
    let kind = SourceKind::from_number(u64::from(kind));
    matches!(kind, Smtp | ImapPull | Pop3Pull | Proxy)
}

/// What a source is watched as: providers send from many addresses of a network by turns, so of public addresses their network counts.
/// None for those beyond what is told apart.
fn group(name: &str) -> Option<String> {
    let prefix_len = match name.parse() {
        Ok(IpAddr::V4(v4)) if v4.is_private() || v4.is_loopback() || v4.is_link_local() => 32,
        Ok(IpAddr::V4(_)) => PUBLIC_V4_PREFIX_LEN,
        Ok(IpAddr::V6(v6)) if v6.is_loopback() || v6.is_unique_local() => 128,
        Ok(IpAddr::V6(_)) => PUBLIC_V6_PREFIX_LEN,
        Err(_) => return Some(name.to_owned()).filter(|name| !name.is_empty()),
    };
    let address: IpAddr = name.parse().ok()?;
    let network = IpNet::new(address, prefix_len).ok()?.trunc();
    let is_one = network.prefix_len() == network.max_prefix_len();
    Some(if is_one {
        name.to_owned()
    } else {
        network.to_string()
    })
}

impl LocalKeeper {
    /// Gives when mail arrived last, Unix seconds, and the server that brought it; none when there is none among the newest numbers.
    pub(super) fn newest_arrival(&self) -> Result<Option<(i64, String)>, Failure> {
        let (leaves, _) = self.store().progress()?;
        let oldest = leaves.saturating_sub(ARRIVAL_LOOKED_THROUGH_MAX);
        for number in (oldest + 1..=leaves).rev() {
            let Ok(stored) = self.store().leaf(number) else {
                continue;
            };
            let LeafBody::Reception { reception, .. } = stored.leaf.body else {
                continue;
            };
            let server = reception.envelope.map_or_else(String::new, |envelope| {
                format!("{} ({})", envelope.helo, envelope.peer)
            });
            let at_s = stored.leaf.head.moment.at_us.div_euclid(1_000_000);
            return Ok(Some((at_s, server)));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = DAY_S * 1_000_000;

    #[test]
    fn providers_are_watched_by_their_network() {
        for (name, expected) in [
            ("192.168.1.20", Some("192.168.1.20")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("40.107.22.104", Some("40.107.0.0/16")),
            ("fd12::1", Some("fd12::1")),
            ("2001:db8:1::1", Some("2001:db8::/32")),
            ("exchange", Some("exchange")),
            ("", None),
        ] {
            assert_eq!(group(name).as_deref(), expected, "{name}");
        }
    }

    fn source(kind: SourceKind, name: &str, first_day: i64, last_day: i64) -> Source {
        Source {
            kind: kind as u8,
            name: name.to_owned(),
            first_at_us: first_day * DAY_US,
            last_at_us: last_day * DAY_US,
            ..Source::default()
        }
    }

    fn hour(kind: SourceKind, name: &str, hour: u32, count: u64) -> HourOfSource {
        HourOfSource {
            hour,
            kind: kind as u8,
            name: name.to_owned(),
            count,
            bytes: count * 1_000,
        }
    }

    #[test]
    fn arrivals_are_counted_by_day_until_now() {
        let now = 200 * 24 + 5;
        let known = [
            source(SourceKind::Smtp, "40.107.1.1", 0, 150),
            source(SourceKind::Smtp, "40.107.2.2", 0, 199),
            source(SourceKind::Mbox, "", 0, 200),
        ];
        let hours = [
            hour(SourceKind::Smtp, "40.107.1.1", now, 1),
            hour(SourceKind::Smtp, "40.107.2.2", now - 23, 2),
            hour(SourceKind::Smtp, "40.107.2.2", now - 24, 4),
            hour(SourceKind::Smtp, "40.107.2.2", now - HOURS + 1, 8),
            hour(SourceKind::Mbox, "", now, 1_000),
        ];
        let found = sources(&known, &hours, now);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "40.107.0.0/16");
        assert_eq!(found[0].last_at_s, 199 * DAY_S);
        let days = &found[0].days;
        assert_eq!((days[89], days[88], days[0]), (3, 4, 8));
        assert_eq!(days.iter().sum::<u64>(), 15);
    }

    #[test]
    fn the_pace_is_that_of_running_mail_on_the_disk() {
        let mut stats = Stats::default();
        stats.totals.received_bytes = 4_000_000;
        stats.disk.volumes_bytes = 1_000_000;
        let hours = [
            hour(SourceKind::Smtp, "a", 0, 2_000),
            hour(SourceKind::Mbox, "", 0, 2_000),
        ];
        // 2 MB came, a quarter of it is kept: in the 90 days that count, or in the 20 that there were.
        for (first_day, expected) in [(0, Some(500_000 / 90)), (80, Some(25_000)), (87, None)] {
            stats.sources = vec![
                source(SourceKind::Smtp, "a", first_day, 100),
                source(SourceKind::Mbox, "", 0, 100),
            ];
            let daily = daily_bytes(&stats, &hours, 100 * DAY_S);
            assert_eq!(daily, expected, "{first_day}");
        }
        stats.sources.clear();
        assert_eq!(daily_bytes(&stats, &hours, 100 * DAY_S), None);
    }

    #[test]
    fn verified_is_what_was_read_whole() {
        for (sealed, read, oldest_us, expected) in [
            (0, 0, None, None),
            (2, 1, Some(1_000_000), None),
            (2, 2, Some(3_000_000), Some(3)),
        ] {
            let volumes = VolumesRead {
                sealed,
                read,
                oldest_us,
                newest_us: oldest_us,
            };
            assert_eq!(verified_at_s(&volumes), expected);
        }
    }
}
