"""`scripts/bench`: measures the rows that were asked for, prints the table, keeps the figures as JSON.

A row that was not measured this time keeps what an earlier run of it found, with its own date; ratios only ever compare programs
of the same row, which were measured alternately.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

from bench import acceptance, growth, importing, memory, page, searching, size, table, upkeep
from bench.bench import Bench
from bench.coffer import Coffer
from bench.figures import Line
from bench.machine import describe, load
from bench.mail_sets import MailSets
from bench.process import MeasuringFailed

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HERE = TARGET / "bench"
LATEST = HERE / "latest.json"
KEPT = Path(__file__).parent / "results"

ROWS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "smtp": acceptance.measure,
    "import": importing.measure,
    "memory": memory.measure,
    "size": size.measure,
    "search": searching.measure,
    "growth": growth.measure,
    "page": page.measure,
    "upkeep": upkeep.measure,
}


def main() -> int:
    """Reads the command line; ends with 1 when a row could not be measured."""
    # Servers end with their `with` blocks also when the run is stopped from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one run each on small sets: shows that it works"
    )
    parser.add_argument("--long", action="store_true", help="also what takes many minutes")
    parser.add_argument(
        "--readme", action="store_true", help="measure nothing; write the kept figures into the README"
    )
    parser.add_argument("--coffer", type=Path, help="the program to measure")
    parser.add_argument("--programs", type=Path, help="the folder with search, growth and people")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    arguments = parser.parse_args()
    if unknown := [row for row in arguments.rows if row not in ROWS]:
        parser.error(f"no such row: {unknown[0]}; there are: {', '.join(ROWS)}")
    if arguments.readme:
        newest = max(KEPT.glob("*.json"))
        table.write_readme(ROOT / "README.md", json.loads(newest.read_text()))
        return 0
    return measure(arguments)


def measure(arguments: argparse.Namespace) -> int:
    """Measures, prints and keeps."""
    corpus = Path(os.environ.get("COFFER_CORPUS", ROOT / "../shared/corpus"))
    scratch = HERE / "run"
    scratch.mkdir(parents=True, exist_ok=True)
    sets = MailSets(corpus, HERE / "sets")
    bench = Bench(
        Coffer(arguments.coffer), arguments.programs, sets, scratch, arguments.quick, arguments.long
    )
    results = {"machine": describe(scratch), "rows": {} if arguments.quick else earlier_rows()}
    failed = []
    for row in arguments.rows or ROWS:
        try:
            results["rows"][row] = measured(bench, row)
        except MeasuringFailed as failure:
            print(f"{row}: not measured: {failure}", file=sys.stderr)
            results["rows"].pop(row, None)
            failed.append(row)
    results["rows"] = {row: results["rows"][row] for row in ROWS if row in results["rows"]}
    print(f"\n{table.machine_text(results['machine'])}\n\n{table.render(results)}")
    keep(results, arguments.quick)
    return 1 if failed else 0


def measured(bench: Bench, row: str) -> dict[str, Any]:
    """One row with all its lines."""
    print(f"measuring {row}", file=sys.stderr)
    bench.details = {}
    result = {
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": version(),
        "is_quick": bench.is_quick,
        "load_before": load(),
    }
    lines = []
    for line in ROWS[row](bench):
        lines.append(line.to_json())
        print(" | ".join(table.cells(lines[-1], [])), file=sys.stderr)
    return {**result, "load_after": load(), "lines": lines, "details": bench.details}


def version() -> str:
    """The commit that is measured, marked when the program's sources differ from it."""
    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{commit} changed" if git("status", "--porcelain", "--", "firmware", "Cargo.lock") else commit


def git(*command: str) -> str:
    """What git says of this work tree; nothing where there is none."""
    return subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True).stdout.strip()


def earlier_rows() -> dict[str, Any]:
    """What was measured before and is not measured now."""
    if not LATEST.exists():
        return {}
    rows: dict[str, Any] = json.loads(LATEST.read_text())["rows"]
    return rows


def keep(results: dict[str, Any], is_quick: bool) -> None:
    """Writes the JSON: a quick run's apart, since it is no figure to quote."""
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    HERE.mkdir(parents=True, exist_ok=True)
    if is_quick:
        (HERE / "quick.json").write_text(text)
        return
    LATEST.write_text(text)
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{datetime.date.today().isoformat()}.json").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
