//! Measures searches in the process that owns an archive: the exact count and the newest 50 with sender, subject and date.
//!
//! Prints one JSON object: times in milliseconds by kind of query, and percentiles over all runs of all kinds. *Warm* asks each query
//! once, uncounted, then `--runs` times. *Cold* (`--cold`, for root) asks each query once in a process of its own after the page cache of
//! this computer, its directories and inodes were dropped, so nothing of the archive is in memory but what opening it
//! reads; opening is timed apart, and what lies beneath this computer (a host's cache, the disk's own) stays as it is.

use serde_json::{Value, json};
use service::keeper::messages::{Request, Response, SearchPage, SearchRequest, WireAsker};
use service::keeper::{Keeper, LocalKeeper};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Moment, Options, VOLUME_BYTES_MAX};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const USAGE: &str =
    "usage: search DATA QUERIES.tsv [--runs N] [--snippets] [--cold] [--person ADDRESS]…";

/// Hits of a page, as a list of results shows them.
const PAGE_HITS: u64 = 50;

/// Characters of a snippet, as `coffer search --snippets` asks for them.
const SNIPPET_CHARS: u32 = 160;

/// Runs of each warm query without `--runs`: enough that a 95th percentile is no single run.
const RUNS: usize = 40;

fn main() -> Outcome {
    let options = Arguments::read(std::env::args().skip(1))?;
    let report = match &options.once {
        Some(query) => once(&options, query)?,
        None if options.cold => cold(&options)?,
        None => warm(&options)?,
    };
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// What the command line says.
#[derive(Default)]
struct Arguments {
    data: PathBuf,
    queries: PathBuf,
    runs: usize,
    snippets: bool,
    cold: bool,
    /// Addresses of the person who asks; the owner without any.
    person: Vec<String>,
    /// The one query of a cold process.
    once: Option<String>,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut arguments = Self {
            runs: RUNS,
            ..Self::default()
        };
        let mut paths = Vec::new();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--runs" => arguments.runs = value()?.parse()?,
                "--snippets" => arguments.snippets = true,
                "--cold" => arguments.cold = true,
                "--person" => arguments.person.push(value()?),
                "--once" => arguments.once = Some(value()?),
                flag if flag.starts_with('-') => return Err(USAGE.into()),
                path => paths.push(PathBuf::from(path)),
            }
        }
        let [data, queries] = <[_; 2]>::try_from(paths).map_err(|_| USAGE)?;
        Ok(Self {
            data,
            queries,
            ..arguments
        })
    }

    fn request(&self, query: &str) -> Request {
        let own = |address: &String| (address.clone(), None, None);
        Request::Search(SearchRequest {
            query: query.to_owned(),
            asker: match self.person.is_empty() {
                true => WireAsker::Owner,
                false => WireAsker::Person(self.person.iter().map(own).collect()),
            },
            limit: PAGE_HITS,
            snippet_chars: if self.snippets { SNIPPET_CHARS } else { 0 },
            ..SearchRequest::default()
        })
    }
}

/// A kind of query, and the query.
struct Kind {
    name: String,
    query: String,
}

/// Reads kinds and queries: the first two columns.
fn kinds(arguments: &Arguments) -> Outcome<Vec<Kind>> {
    let text = std::fs::read_to_string(&arguments.queries)?;
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let kind = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        Some(Kind {
            name: columns.next()?,
            query: columns.next()?,
        })
    };
    lines
        .map(|line| kind(line).ok_or_else(|| format!("no query in the line: {line}").into()))
        .collect()
}

fn open(arguments: &Arguments) -> Outcome<LocalKeeper> {
    if !arguments.data.join("identity").exists() {
        return Err(format!("no archive in: {}", arguments.data.display()).into());
    }
    let options = Options {
        clock: Arc::new(Moment::default),
        boot_id: [0; 16],
        volume_bytes_max: VOLUME_BYTES_MAX,
        index_threads: 1,
        upkeep: store::WhenUpkeep::Never,
        follower_patience: store::FOLLOWER_PATIENCE,
    };
    Ok(LocalKeeper::open(&arguments.data, options, &mut |_| ())?)
}

/// Asks once; gives the page and how long it took.
fn ask(keeper: &LocalKeeper, request: Request) -> Outcome<(SearchPage, Duration)> {
    let began = Instant::now();
    let answer = keeper.ask(request, &mut |_, _| ())?;
    let took = began.elapsed();
    match answer {
        Response::Page(page) => Ok((page, took)),
        other => Err(format!("not the answer to a search: {other:?}").into()),
    }
}

fn warm(arguments: &Arguments) -> Outcome<Value> {
    let keeper = open(arguments)?;
    let mut measured = Measured::default();
    for kind in kinds(arguments)? {
        let request = arguments.request(&kind.query);
        let (page, _) = ask(&keeper, request.clone())?;
        let mut times = Vec::with_capacity(arguments.runs);
        for _ in 0..arguments.runs {
            times.push(milliseconds(ask(&keeper, request.clone())?.1));
        }
        measured.add(&kind, page.count, times);
    }
    Ok(measured.report("warm", arguments))
}

fn cold(arguments: &Arguments) -> Outcome<Value> {
    let mut measured = Measured::default();
    let mut opening = Vec::new();
    for kind in kinds(arguments)? {
        drop_caches()?;
        let output = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .args(["--once", &kind.query])
            .stderr(Stdio::inherit())
            .output()?;
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let number = |name: &str| {
            found[name]
                .as_f64()
                .ok_or_else(|| format!("no figure: {name}"))
        };
        opening.push(number("open_ms")?);
        measured.add(&kind, number("count")? as u64, vec![number("ms")?]);
    }
    opening.sort_by(f64::total_cmp);
    let mut report = measured.report("cold", arguments);
    report["open_median_ms"] = json!(percentile(&opening, 50));
    Ok(report)
}

/// Opens and asks one query: what a cold run does in a process of its own.
fn once(arguments: &Arguments, query: &str) -> Outcome<Value> {
    let began = Instant::now();
    let keeper = open(arguments)?;
    let open_ms = milliseconds(began.elapsed());
    let (page, took) = ask(&keeper, arguments.request(query))?;
    Ok(json!({ "open_ms": open_ms, "ms": milliseconds(took), "count": page.count }))
}

/// Makes this computer forget what it has read; what was written must be on the disk first.
fn drop_caches() -> Outcome {
    nix::unistd::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
        .map_err(|error| format!("cannot drop the caches, which only root may: {error}").into())
}

/// The times of all kinds.
#[derive(Default)]
struct Measured {
    kinds: Vec<Value>,
    all: Vec<f64>,
}

impl Measured {
    fn add(&mut self, kind: &Kind, count: u64, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        self.kinds.push(json!({
            "kind": kind.name,
            "query": kind.query,
            "count": count,
            "median_ms": percentile(&times, 50),
            "p95_ms": percentile(&times, 95),
            "worst_ms": percentile(&times, 100),
        }));
        self.all.extend(times);
    }

    fn report(mut self, caches: &str, arguments: &Arguments) -> Value {
        self.all.sort_by(f64::total_cmp);
        json!({
            "caches": caches,
            "snippets": arguments.snippets,
            "person": !arguments.person.is_empty(),
            "runs": if arguments.cold { 1 } else { arguments.runs },
            "median_ms": percentile(&self.all, 50),
            "p95_ms": percentile(&self.all, 95),
            "worst_ms": percentile(&self.all, 100),
            "queries": self.kinds,
        })
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The smallest of sorted values that so many per cent of them do not exceed; 0 of none.
fn percentile(sorted: &[f64], per_cent: usize) -> f64 {
    let rank = (sorted.len() * per_cent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}
