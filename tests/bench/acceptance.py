"""Durable acceptance by SMTP: Postfix's own load generator against Coffer and against Postfix.

Both are started anew for each figure and warmed by a few messages. Postfix counts as done when the mail lies in the
Maildir, Coffer when everything is indexed; the rate is that of acceptance alone.
"""

from dataclasses import dataclass, field
from typing import Iterator

from bench.bench import Bench
from bench.coffer import Serving
from bench.figures import COFFER, Aim, Line, at_least, at_most
from bench.machine import syncs_per_second
from bench.postfix import RECIPIENT, Postfix
from bench.process import MeasuringFailed, run

POSTFIX = "Postfix"
# Bytes of body, which makes 6.4 KB with the header.
BODY_BYTES = 6200
WARM_UP = 320
CPU_NOTE = (
    "all processes and threads of the server, Postfix's delivery into a Maildir included; the indexing that goes on while "
    "mail comes in is told apart by its threads"
)


@dataclass(frozen=True)
class Load:
    """How smtp-source sends: by default it makes a connection for each message."""

    sessions: int
    keeps_connections: bool = False

    def messages(self) -> int:
        """Enough for two seconds or more."""
        return 2000 if self.sessions == 1 else 4000

    def aims(self) -> list[Aim]:
        """The issue names them for smtp-source as it comes."""
        times = {1: 2, 8: 3, 32: 4}[self.sessions]
        return [] if self.keeps_connections else [at_least(times, POSTFIX)]

    def text(self) -> str:
        """As the table names it."""
        one = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
        return f"SMTP, 6 KB messages, {one}, {'connections kept' if self.keeps_connections else 'a connection each'}"


LOADS = (Load(1), Load(8), Load(32), Load(1, True), Load(8, True), Load(32, True))


@dataclass
class Figures:
    """What one load gives, a list entry a run, by program."""

    rate: dict[str, list[float]] = field(default_factory=lambda: {COFFER: [], POSTFIX: []})
    accept_cpu: list[float] = field(default_factory=list)
    all_cpu: dict[str, list[float]] = field(default_factory=lambda: {COFFER: [], POSTFIX: []})
    peak: list[float] = field(default_factory=list)


def measure(bench: Bench) -> Iterator[Line]:
    """Rates and processor seconds of each load."""
    figures = {load: Figures() for load in LOADS}
    syncs = []
    for _ in range(bench.repeats(5)):
        syncs.append(syncs_per_second(bench.folder("syncs")))
        for load in LOADS:
            measure_coffer(bench, load, figures[load])
            measure_postfix(bench, load, figures[load])
    yield Line("appends of 4 KiB with fdatasync on this disk meanwhile", "a second", {"disk": syncs})
    for load, found in figures.items():
        yield from lines(load, found)


def lines(load: Load, found: Figures) -> Iterator[Line]:
    """The lines for one load."""
    what = load.text()
    yield Line(f"{what}: durably accepted", "messages/s", found.rate, load.aims())
    yield Line(f"{what}: accepting", "CPU s per 1,000", {COFFER: found.accept_cpu}, [at_most(0.2)], CPU_NOTE)
    done = "accepting and indexing"
    yield Line(f"{what}: {done}", "CPU s per 1,000", found.all_cpu, [at_most(0.4)], CPU_NOTE)
    yield Line(f"{what}: peak memory", "MiB", {COFFER: found.peak})


def measure_coffer(bench: Bench, load: Load, figures: Figures) -> None:
    """One run against Coffer."""
    count = load.messages()
    with bench.coffer.serve(bench.folder("smtp-coffer") / "data") as serving:
        send(serving.port, load, WARM_UP)
        serving.wait_until_indexed()
        before, indexing_before = serving.cpu_s(), serving.index_cpu_s()
        wall_s = send(serving.port, load, count)
        accepted = serving.cpu_s() - before
        indexing = serving.index_cpu_s() - indexing_before
        check_kept(serving, WARM_UP + count)
        figures.rate[COFFER].append(count / wall_s)
        figures.accept_cpu.append((accepted - indexing) * 1000 / count)
        figures.all_cpu[COFFER].append((serving.cpu_s() - before) * 1000 / count)
        figures.peak.append(serving.peak_rss_mib())


def check_kept(serving: Serving, count: int) -> None:
    """No figure without every message in the archive and its index."""
    kept = serving.wait_until_indexed()["messages"]
    if kept != count:
        raise MeasuringFailed(f"{count} messages were sent, {kept} are kept")


def measure_postfix(bench: Bench, load: Load, figures: Figures) -> None:
    """One run against Postfix."""
    count = load.messages()
    with Postfix(bench.folder("smtp-postfix")) as postfix:
        send(postfix.port, load, WARM_UP)
        postfix.wait_until_delivered(WARM_UP)
        before = postfix.cpu_s()
        wall_s = send(postfix.port, load, count)
        postfix.wait_until_delivered(WARM_UP + count)
        figures.rate[POSTFIX].append(count / wall_s)
        figures.all_cpu[POSTFIX].append((postfix.cpu_s() - before) * 1000 / count)


def send(port: int, load: Load, count: int) -> float:
    """Sends so many messages; gives the seconds that it took until the last was acknowledged."""
    how = ["-d"] if load.keeps_connections else []
    how += ["-s", str(load.sessions), "-m", str(count), "-l", str(BODY_BYTES)]
    addresses = ["-f", "sender@partner.example", "-t", RECIPIENT]
    return run(["smtp-source", *how, *addresses, f"127.0.0.1:{port}"]).wall_s
