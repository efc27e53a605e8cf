"""How import and search grow: 400,000 messages made on the way, never all on the disk, against the first 50,000 of them.

growth.rs makes them from bulk4 (other ids, dates, names and words by a seed) and writes an mbox into Coffer's standard
input; it also says when it got rid of how many. It takes a part of one core: rates of this row compare only with one another.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Iterator

from bench.bench import Bench
from bench.figures import COFFER, Line, at_least, at_most
from bench.mail_sets import MailSet
from bench.process import MeasuringFailed, Ran, run
from bench.searching import search

SMALL = 50_000
LARGE = 400_000
# Of a quick run: enough to see that it works.
QUICK = (2_000, 10_000)
SEED = 7
AT_SMALL = f"at {SMALL:,}"
NOTE = "made by a seed from bulk4, streamed as mbox into the import; the generator's share of the two cores is not taken off"


def measure(bench: Bench) -> Iterator[Line]:
    """Both sizes once; they take minutes."""
    small, large = QUICK if bench.is_quick else (SMALL, LARGE)
    if not (bench.is_long or bench.is_quick):
        yield Line(f"growth to {large:,} messages (--long)", "messages/s", {}, [at_least(0.8, AT_SMALL)])
        return
    mail = bench.sets.get("bulk4")
    found = {count: grow(bench, mail, count) for count in (small, large)}
    (few, first), (many, last) = found[small], found[large]
    rates = {COFFER: [last["last_rate"]], AT_SMALL: [first["last_rate"]]}
    what = f"growth to {large:,} messages"
    yield Line(f"{what}: import, last {small:,}", "messages/s", rates, [at_least(0.8, AT_SMALL)], NOTE)
    cpu = {COFFER: [many.cpu_s * 1000 / large], AT_SMALL: [few.cpu_s * 1000 / small]}
    yield Line(f"{what}: import, whole", "CPU s per 1,000", cpu)
    peak = {COFFER: [many.peak_rss_mib], AT_SMALL: [few.peak_rss_mib]}
    yield Line(f"{what}: import", "MiB of memory", peak)
    anonymous = {COFFER: [many.peak_anonymous_mib], AT_SMALL: [few.peak_anonymous_mib]}
    yield Line(f"{what}: import, without mapped files", "MiB of memory", anonymous)
    for figure in ("median", "p95", "worst"):
        times = {COFFER: [last[f"{figure}_ms"]], AT_SMALL: [first[f"{figure}_ms"]]}
        aims = [at_most(2, AT_SMALL)] if figure == "p95" else []
        yield Line(f"{what}: search, warm, {figure}", "ms", times, aims)


def grow(bench: Bench, mail: MailSet, count: int) -> tuple[Ran, dict[str, Any]]:
    """Imports so many messages and searches; gives what the import took, its last rate, and the search's times."""
    data = bench.folder("growth") / "data"
    imported, stamps = fill(bench, mail, data, count)
    return imported, {**search(bench, data), "last_rate": last_rate(stamps, min(count, SMALL))}


def fill(bench: Bench, mail: MailSet, data: Path, count: int) -> tuple[Ran, list[dict[str, float]]]:
    """Imports so many messages into a new archive; gives what the import took, and when it had how many.

    Raises MeasuringFailed when a message was not taken.
    """
    mail.warm()
    with tempfile.TemporaryFile() as stamps:
        command = [str(bench.programs / "growth"), str(mail.folder), str(count), str(SEED)]
        generator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stamps)
        try:
            imported = run(
                [bench.coffer.binary, "import", "--data", data, "--json", "-"], input_from=generator.stdout
            )
        finally:
            assert generator.stdout is not None
            generator.stdout.close()
            code = generator.wait()
        stamps.seek(0)
        lines = [json.loads(line) for line in stamps.read().splitlines()]
    report = json.loads(imported.output)
    if code != 0 or report["messages"] != count:
        raise MeasuringFailed(f"{count} messages were made, the import says {report}")
    return imported, lines


def last_rate(stamps: list[dict[str, float]], window: int) -> float:
    """Messages a second over the last so many messages."""
    end = stamps[-1]
    begin = [stamp for stamp in stamps if stamp["messages"] <= end["messages"] - window][-1]
    return (end["messages"] - begin["messages"]) / (end["seconds"] - begin["seconds"])
