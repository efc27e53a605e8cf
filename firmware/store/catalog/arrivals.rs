//! How much mail came from where, by the hour: so that a page that shows it reads a few rows, and not what is known of each message.
//!
//! A source is a way in (number of its kind, FORMAT.md "Reception") and a name that tells several of one kind apart
//! (`archive::Reception::source_name`). The tables hold sums; what waits in memory holds what is to be added to them.

use super::CatalogContext;
use crate::error::Result;
use archive::Reception;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};
use redb::{Table, TableDefinition, WriteTransaction};
use std::collections::BTreeMap;
use std::ops::Range;

/// 500 sources are told apart: an office has a handful. Of others only the kind is, so that peers that nobody knows fill no tables.
const SOURCES_MAX: u64 = if cfg!(test) { 5 } else { 500 };

/// Microseconds of an hour.
const HOUR_US: i64 = 3_600_000_000;

/// Kind and name.
type Key = (u8, String);

const SOURCES: TableDefinition<(u8, &str), (i64, i64, u64, u64)> = TableDefinition::new("sources");
const HOURS: TableDefinition<(u32, u8, &str), (u64, u64)> = TableDefinition::new("hours");

/// Where mail comes from, and how much came from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// Number of the way in (FORMAT.md, "Reception").
    pub kind: u8,
    /// What tells it from others of its kind; empty where nothing does, or for those beyond what is told apart.
    pub name: String,
    /// When its first mail came, microseconds since 1970 by our clock.
    pub first_at_us: i64,
    /// When its last mail came.
    pub last_at_us: i64,
    /// Arrivals.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// What came from a source within an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HourOfSource {
    /// The hour, counted from 1970, UTC.
    pub hour: u32,
    /// Number of the way in.
    pub kind: u8,
    /// What tells the source from others of its kind.
    pub name: String,
    /// Arrivals.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// An arrival that is to be counted.
pub(crate) struct Arrival {
    source: Key,
    at_us: i64,
    bytes: u64,
}

impl Arrival {
    pub(crate) fn of(reception: &Reception, at_us: i64, bytes: u64) -> Self {
        Self {
            source: (reception.source as u8, reception.source_name()),
            at_us,
            bytes,
        }
    }
}

/// Sums of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    first_at_us: i64,
    last_at_us: i64,
    count: u64,
    bytes: u64,
}

impl Sums {
    /// Adds what came later.
    fn add(&mut self, later: Self) {
        if self.count == 0 {
            self.first_at_us = later.first_at_us;
        }
        // The last in the archive's order: a clock that was wrong once is not believed for ever.
        self.last_at_us = later.last_at_us;
        self.count += later.count;
        self.bytes += later.bytes;
    }

    fn row(self) -> (i64, i64, u64, u64) {
        (self.first_at_us, self.last_at_us, self.count, self.bytes)
    }

    fn of_row((first_at_us, last_at_us, count, bytes): (i64, i64, u64, u64)) -> Self {
        Self {
            first_at_us,
            last_at_us,
            count,
            bytes,
        }
    }
}

/// What is to be added.
#[derive(Default)]
pub(super) struct PendingArrivals {
    sources: BTreeMap<Key, Sums>,
    hours: BTreeMap<(u32, Key), (u64, u64)>,
}

impl PendingArrivals {
    pub(super) fn add(&mut self, arrival: &Arrival) {
        let Arrival {
            source,
            at_us,
            bytes,
        } = arrival;
        let sums = self.sources.entry(source.clone()).or_default();
        sums.add(Sums {
            first_at_us: *at_us,
            last_at_us: *at_us,
            count: 1,
            bytes: *bytes,
        });
        let hour = (hour_of(*at_us), source.clone());
        let (count, sum) = self.hours.entry(hour).or_default();
        *count += 1;
        *sum += bytes;
    }
}

/// The hour of a moment, counted from 1970; one before is that of 1970.
fn hour_of(at_us: i64) -> u32 {
    u32::try_from(at_us.div_euclid(HOUR_US)).unwrap_or(0)
}

/// Adds what waits to the tables.
pub(super) fn put(transaction: &WriteTransaction, pending: &PendingArrivals) -> Result<()> {
    let mut sources = transaction.open_table(SOURCES).doing("write")?;
    let mut hours = transaction.open_table(HOURS).doing("write")?;
    let mut places = BTreeMap::new();
    for (source, sums) in &pending.sources {
        let place = place_of(&sources, source)?;
        let key = (place.0, place.1.as_str());
        let row = sources.get(key).doing("read")?;
        let mut all = row.map_or(Sums::default(), |row| Sums::of_row(row.value()));
        all.add(*sums);
        sources.insert(key, all.row()).doing("write")?;
        places.insert(source, place);
    }
    for ((hour, source), (count, bytes)) in &pending.hours {
        let (kind, name) = &places[source];
        let key = (*hour, *kind, name.as_str());
        let row = hours.get(key).doing("read")?;
        let before = row.map_or((0, 0), |row| row.value());
        let all = (before.0 + count, before.1 + bytes);
        hours.insert(key, all).doing("write")?;
    }
    Ok(())
}

/// Under which source one is counted: itself, or its kind when too many are known.
fn place_of(
    sources: &Table<(u8, &'static str), (i64, i64, u64, u64)>,
    source: &Key,
) -> Result<Key> {
    let (kind, name) = source;
    let is_known = sources.get((*kind, name.as_str())).doing("read")?.is_some();
    let has_room = sources.len().doing("read")? < SOURCES_MAX;
    Ok(match is_known || has_room {
        true => source.clone(),
        false => (*kind, String::new()),
    })
}

/// The tables as they were after a commit.
pub(super) struct ArrivalTables {
    sources: ReadOnlyTable<(u8, &'static str), (i64, i64, u64, u64)>,
    hours: ReadOnlyTable<(u32, u8, &'static str), (u64, u64)>,
}

impl ArrivalTables {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self> {
        Ok(Self {
            sources: transaction.open_table(SOURCES).doing("read")?,
            hours: transaction.open_table(HOURS).doing("read")?,
        })
    }

    /// All sources, by kind and name.
    pub(super) fn sources(&self, pending: &PendingArrivals) -> Result<Vec<Source>> {
        let mut all: BTreeMap<Key, Sums> = BTreeMap::new();
        for row in self.sources.iter().doing("read")? {
            let (key, row) = row.doing("read")?;
            let (kind, name) = key.value();
            all.insert((kind, name.to_owned()), Sums::of_row(row.value()));
        }
        for (source, sums) in &pending.sources {
            all.entry(source.clone()).or_default().add(*sums);
        }
        let source = |((kind, name), sums): (Key, Sums)| Source {
            kind,
            name,
            first_at_us: sums.first_at_us,
            last_at_us: sums.last_at_us,
            count: sums.count,
            bytes: sums.bytes,
        };
        Ok(all.into_iter().map(source).collect())
    }

    /// What came in these hours, by hour and source.
    pub(super) fn hours(
        &self,
        pending: &PendingArrivals,
        hours: Range<u32>,
    ) -> Result<Vec<HourOfSource>> {
        let mut all: BTreeMap<(u32, Key), (u64, u64)> = BTreeMap::new();
        let keys = (hours.start, 0, "")..(hours.end, 0, "");
        for row in self.hours.range(keys).doing("read")? {
            let (key, row) = row.doing("read")?;
            let (hour, kind, name) = key.value();
            all.insert((hour, (kind, name.to_owned())), row.value());
        }
        let waiting = pending.hours.iter();
        for (key, (count, bytes)) in waiting.filter(|((hour, _), _)| hours.contains(hour)) {
            let sums = all.entry(key.clone()).or_default();
            *sums = (sums.0 + count, sums.1 + bytes);
        }
        let of_source = |((hour, (kind, name)), (count, bytes))| HourOfSource {
            hour,
            kind,
            name,
            count,
            bytes,
        };
        Ok(all.into_iter().map(of_source).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, CatalogView, Entries, Watermark};
    use crate::faulty_disk::SimDisk;
    use crate::volume_files::VolumeFiles;
    use archive::{Envelope, SourceKind};
    use std::sync::Arc;

    fn arrival(peer: &str, hour: i64, bytes: u64) -> Arrival {
        let reception = Reception {
            source: SourceKind::Smtp,
            envelope: Some(Envelope {
                peer: peer.to_owned(),
                ..Envelope::default()
            }),
            ..Reception::default()
        };
        Arrival::of(&reception, hour * HOUR_US + 5, bytes)
    }

    fn open(disk: &SimDisk) -> Catalog {
        let files = Arc::new(VolumeFiles::new(Arc::new(disk.clone())));
        Catalog::open(disk, files).expect("the disk is sound")
    }

    fn apply(catalog: &Catalog, arrivals: Vec<Arrival>, durable: bool) {
        let entries = Entries {
            arrivals,
            ..Entries::default()
        };
        catalog
            .apply(&entries, &[], Watermark::default(), durable)
            .expect("applied");
    }

    /// Name, first and last hour, count and bytes of each source.
    fn sources(view: &CatalogView) -> Vec<(String, i64, i64, u64, u64)> {
        let sources = view.sources().expect("sound").into_iter();
        sources
            .map(|one| {
                let hour = |at_us: i64| at_us / HOUR_US;
                let (first, last) = (hour(one.first_at_us), hour(one.last_at_us));
                (one.name, first, last, one.count, one.bytes)
            })
            .collect()
    }

    #[test]
    fn sums_are_the_same_before_and_after_writing() {
        let disk = SimDisk::new();
        let catalog = open(&disk);
        apply(&catalog, vec![arrival("192.0.2.1:25", 10, 100)], true);
        let more = vec![
            arrival("192.0.2.1:4711", 12, 50),
            arrival("[2001:db8::1]:25", 12, 7),
            arrival("192.0.2.1:25", 11, 1),
        ];
        apply(&catalog, more, false);
        let expected = [
            ("192.0.2.1".to_owned(), 10, 11, 3, 151),
            ("2001:db8::1".to_owned(), 12, 12, 1, 7),
        ];
        let check = |view: &CatalogView| {
            assert_eq!(sources(view), expected);
            let hours = view.hours(11..13).expect("sound").into_iter();
            let hours: Vec<_> = hours
                .map(|one| (one.hour, one.name, one.count, one.bytes))
                .collect();
            let hour = |hour, name: &str, bytes| (hour, name.to_owned(), 1, bytes);
            let expected = [
                hour(11, "192.0.2.1", 1),
                hour(12, "192.0.2.1", 50),
                hour(12, "2001:db8::1", 7),
            ];
            assert_eq!(hours, expected);
        };
        check(&catalog.read().expect("open"));
        catalog.make_durable().expect("written");
        check(&catalog.read().expect("open"));
        drop(catalog);
        check(&open(&disk).read().expect("open"));
    }

    #[test]
    fn sources_without_number_are_counted_by_their_kind() {
        let catalog = open(&SimDisk::new());
        for peer in 0..3 * SOURCES_MAX {
            apply(
                &catalog,
                vec![arrival(&format!("192.0.2.{peer}:25"), 1, 1)],
                true,
            );
        }
        let sources = sources(&catalog.read().expect("open"));
        assert_eq!(sources.len() as u64, SOURCES_MAX + 1, "{sources:?}");
        let sum: u64 = sources.iter().map(|(.., count, _)| count).sum();
        assert_eq!(sum, 3 * SOURCES_MAX);
        assert_eq!(sources[0].0, "");
    }
}
