"""Search on all bulk mail, in the process that owns the archive, beside notmuch's own library.

search.rs and notmuch_search.py ask the same kinds of queries (queries.tsv) and fetch the same: the exact count, and of the
newest 50 sender, subject and date.
"""

import json
from pathlib import Path
from typing import Any, Iterator

from bench.bench import Bench
from bench.figures import COFFER, Line, at_most
from bench.machine import can_drop_caches
from bench.peers import NOTMUCH, Notmuch
from bench.process import run

QUERIES = Path(__file__).parent / "queries.tsv"
FIGURES = ("median", "p95", "worst")
WARM_AIMS = {"median": [at_most(0.5)], "p95": [at_most(2.5)]}
SNIPPET_AIMS = {"p95": [at_most(20)]}
# A person whose mail is many lists' mail: the filter has something to do.
STAFF = "linux-btrfs@vger.kernel.org"
NOTE = (
    "20 kinds of queries, all runs of all kinds together; notmuch has no words for two of them (phrase that ends in a "
    "prefix, size)"
)
COLD_NOTE = (
    "each query in a process of its own after the kernel's caches were dropped; opening is not counted; the caches "
    "beneath a virtual disk stay as they are"
)


def measure(bench: Bench) -> Iterator[Line]:
    """Warm, cold, with snippets, and as a member of staff."""
    mail = bench.sets.get("bulk4" if bench.is_quick else "bulk")
    data = bench.folder("search-coffer") / "data"
    bench.coffer.import_all(data, mail)
    notmuch = Notmuch(bench.folder("search-notmuch"), mail)
    notmuch.index()
    what = f"search in {mail.name} ({mail.messages:,} messages)"
    repeats = bench.repeats(3)
    own = [search(bench, data) for _ in range(repeats)]
    other = [notmuch.search(QUERIES) for _ in range(repeats)]
    bench.details["queries"] = {COFFER: own[0]["queries"], NOTMUCH: other[0]["queries"]}
    for figure in FIGURES:
        runs = {COFFER: times(own, figure), NOTMUCH: times(other, figure)}
        yield Line(f"{what}, warm: {figure}", "ms", runs, WARM_AIMS.get(figure, []), NOTE)
    snippets = [search(bench, data, "--snippets", "--runs", "5") for _ in range(repeats)]
    staff = [search(bench, data, "--person", STAFF) for _ in range(repeats)]
    for figure in FIGURES:
        runs = {COFFER: times(snippets, figure)}
        yield Line(f"{what}, warm, with snippets: {figure}", "ms", runs, SNIPPET_AIMS.get(figure, []))
    for figure in FIGURES:
        yield Line(f"{what}, warm, asked by one person: {figure}", "ms", {COFFER: times(staff, figure)})
    yield from cold(bench, what, data, notmuch)


def cold(bench: Bench, what: str, data: Path, notmuch: Notmuch) -> Iterator[Line]:
    """Cold, where this user may drop the caches."""
    own, other = [], []
    for _ in range(bench.repeats(3) if can_drop_caches() else 0):
        own.append(search(bench, data, "--cold"))
        other.append(notmuch.search(QUERIES, "--cold"))
    for figure in FIGURES:
        runs = {COFFER: times(own, figure), NOTMUCH: times(other, figure)}
        aims = [] if figure == "worst" else [at_most(0.5, NOTMUCH)]
        yield Line(f"{what}, cold: {figure}", "ms", runs, aims, COLD_NOTE)
    runs = {COFFER: times(own, "open_median"), NOTMUCH: times(other, "open_median")}
    yield Line(f"{what}, cold: opening, median", "ms", runs)


def search(bench: Bench, data: Path, *more: str) -> dict[str, Any]:
    """Runs the program that searches in process."""
    found: dict[str, Any] = json.loads(run([bench.programs / "search", data, QUERIES, *more]).output)
    return found


def times(reports: list[dict[str, Any]], figure: str) -> list[float]:
    """One figure of each run, in milliseconds."""
    return [report[f"{figure}_ms"] for report in reports]
