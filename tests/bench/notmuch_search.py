"""Measures searches in notmuch's own library: the exact count and the newest 50 with sender, subject and date.

The counterpart of search.rs, run by Debian's python3 for its module notmuch2; prints the same JSON. *Warm* asks each query once,
uncounted, then `--runs` times. *Cold* asks each query once in a process of its own after the kernel's caches were dropped;
opening is timed apart.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import notmuch2

PAGE_HITS = 50
# Written in the queries' third column where notmuch knows no such query.
UNKNOWN = "-"


def main() -> None:
    """Reads the command line and prints the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=Path)
    parser.add_argument("config", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--once")
    arguments = parser.parse_args()
    if arguments.once is not None:
        report = once(arguments)
    else:
        report = cold(arguments) if arguments.cold else warm(arguments)
    print(json.dumps(report))


def kinds(queries: Path) -> list[tuple[str, str]]:
    """Kind and query of all that notmuch can answer."""
    lines = [line for line in queries.read_text().splitlines() if line and not line.startswith("#")]
    columns = [line.split("\t") for line in lines]
    return [(line[0], line[2]) for line in columns if line[2] != UNKNOWN]


def open_database(arguments: argparse.Namespace) -> notmuch2.Database:
    """Opens for reading."""
    mode = notmuch2.Database.MODE.READ_ONLY
    return notmuch2.Database(arguments.database, mode=mode, config=arguments.config)


def ask(database: notmuch2.Database, query: str) -> tuple[int, float]:
    """Asks once; gives the count and the milliseconds that it took."""
    began = time.perf_counter()
    count: int = database.count_messages(query)
    page = []
    for message in database.messages(query, sort=notmuch2.Database.SORT.NEWEST_FIRST):
        page.append((message.header("from"), message.header("subject"), message.date))
        if len(page) == PAGE_HITS:
            break
    took = (time.perf_counter() - began) * 1000
    assert len(page) == min(count, PAGE_HITS), query
    return count, took


def warm(arguments: argparse.Namespace) -> dict[str, Any]:
    """All kinds in one process."""
    found = []
    with open_database(arguments) as database:
        for kind, query in kinds(arguments.queries):
            count, _ = ask(database, query)
            times = [ask(database, query)[1] for _ in range(arguments.runs)]
            found.append((kind, query, count, times))
    return report(found)


def cold(arguments: argparse.Namespace) -> dict[str, Any]:
    """Each kind in a process of its own, with nothing in memory."""
    found, opening = [], []
    for kind, query in kinds(arguments.queries):
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        paths = [arguments.database, arguments.config, arguments.queries]
        command = [sys.executable, "-B", __file__, *paths, "--once", query]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        opening.append(answer["open_ms"])
        found.append((kind, query, answer["count"], [answer["ms"]]))
    return {**report(found), "open_median_ms": percentile(opening, 50)}


def once(arguments: argparse.Namespace) -> dict[str, Any]:
    """Opens and asks one query."""
    began = time.perf_counter()
    with open_database(arguments) as database:
        open_ms = (time.perf_counter() - began) * 1000
        count, took = ask(database, arguments.once)
    return {"open_ms": open_ms, "ms": took, "count": count}


def report(found: list[tuple[str, str, int, list[float]]]) -> dict[str, Any]:
    """Times by kind, and over all runs of all kinds."""
    everything = [time for _, _, _, times in found for time in times]
    queries = [
        {"kind": kind, "query": query, "count": count, **percentiles(times)}
        for kind, query, count, times in found
    ]
    return {**percentiles(everything), "queries": queries}


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and worst."""
    return {
        f"{name}_ms": percentile(times, rank) for name, rank in (("median", 50), ("p95", 95), ("worst", 100))
    }


def percentile(times: Sequence[float], per_cent: int) -> float:
    """The smallest value that so many per cent of all do not exceed."""
    return sorted(times)[max(1, math.ceil(len(times) * per_cent / 100)) - 1]


if __name__ == "__main__":
    main()
