"""Durable acceptance by SMTP: Postfix's own load generator against Coffer and against Postfix.

Both are started anew for each figure and warmed by a few messages. Postfix counts as done when the mail lies in the
Maildir, Coffer when everything is indexed; the rate is that of acceptance alone. Postfix's smtp-sink, which takes mail and keeps
nothing, tells what the connections and commands alone cost.
"""

import subprocess
from dataclasses import dataclass, field
from typing import Iterator

from bench.bench import Bench
from bench.coffer import Serving
from bench.figures import COFFER, Line, at_least, at_most
from bench.machine import syncs_per_second
from bench.postfix import RECIPIENT, Postfix, free_port, wait_for_port
from bench.process import MeasuringFailed, cpu_s, run

POSTFIX = "Postfix"
SINK = "smtp-sink (keeps nothing)"
# Bytes of body, which makes 6.4 KB with the header.
BODY_BYTES = 6200
SESSIONS = (1, 8, 32)
MESSAGES = {1: 2000, 8: 4000, 32: 4000}
WARM_UP = 320
RATIOS = {1: 2.0, 8: 3.0, 32: 4.0}
CPU_NOTE = (
    "smtp-source -l 6200, a connection for each message as it does by default; all processes and threads of the "
    "server count. The indexing that runs while mail comes in is told apart by its threads."
)


@dataclass
class Figures:
    """What one number of sessions gives, a list entry a run, by program."""

    rate: dict[str, list[float]] = field(default_factory=lambda: {COFFER: [], POSTFIX: []})
    accept_cpu: dict[str, list[float]] = field(default_factory=lambda: {COFFER: [], SINK: []})
    all_cpu: dict[str, list[float]] = field(default_factory=lambda: {COFFER: [], POSTFIX: []})
    peak: list[float] = field(default_factory=list)


def measure(bench: Bench) -> Iterator[Line]:
    """Rates and processor seconds with 1, 8 and 32 sessions."""
    figures = {sessions: Figures() for sessions in SESSIONS}
    syncs = []
    for _ in range(bench.repeats(5)):
        syncs.append(syncs_per_second(bench.folder("syncs")))
        for sessions in SESSIONS:
            measure_coffer(bench, sessions, figures[sessions])
            measure_postfix(bench, sessions, figures[sessions])
            measure_sink(sessions, figures[sessions])
    yield Line("appends of 4 KiB with fdatasync on this disk meanwhile", "a second", {"disk": syncs})
    for sessions, found in figures.items():
        yield from lines(sessions, found)


def lines(sessions: int, found: Figures) -> Iterator[Line]:
    """The lines for one number of sessions."""
    what = f"SMTP, 6 KB messages, {sessions} session{'s' if sessions > 1 else ''}"
    yield Line(f"{what}: durably accepted", "messages/s", found.rate, [at_least(RATIOS[sessions], POSTFIX)])
    yield Line(f"{what}: accepting", "CPU s per 1,000", found.accept_cpu, [at_most(0.2)], CPU_NOTE)
    delivered = "accepted and indexed (Postfix: and delivered)"
    yield Line(f"{what}: {delivered}", "CPU s per 1,000", found.all_cpu, [at_most(0.4)], CPU_NOTE)
    yield Line(f"{what}: peak memory", "MiB", {COFFER: found.peak})


def measure_coffer(bench: Bench, sessions: int, figures: Figures) -> None:
    """One run against Coffer."""
    count = MESSAGES[sessions]
    with bench.coffer.serve(bench.folder("smtp-coffer") / "data") as serving:
        send(serving.port, sessions, WARM_UP)
        serving.wait_until_indexed()
        before, indexing_before = serving.cpu_s(), serving.index_cpu_s()
        wall_s = send(serving.port, sessions, count)
        accepted = serving.cpu_s() - before
        indexing = serving.index_cpu_s() - indexing_before
        check_kept(serving, WARM_UP + count)
        figures.rate[COFFER].append(count / wall_s)
        figures.accept_cpu[COFFER].append((accepted - indexing) * 1000 / count)
        figures.all_cpu[COFFER].append((serving.cpu_s() - before) * 1000 / count)
        figures.peak.append(serving.peak_rss_mib())


def check_kept(serving: Serving, count: int) -> None:
    """No figure without every message in the archive and its index."""
    kept = serving.wait_until_indexed()["messages"]
    if kept != count:
        raise MeasuringFailed(f"{count} messages were sent, {kept} are kept")


def measure_postfix(bench: Bench, sessions: int, figures: Figures) -> None:
    """One run against Postfix."""
    count = MESSAGES[sessions]
    with Postfix(bench.folder("smtp-postfix")) as postfix:
        send(postfix.port, sessions, WARM_UP)
        postfix.wait_until_delivered(WARM_UP)
        before = postfix.cpu_s()
        wall_s = send(postfix.port, sessions, count)
        postfix.wait_until_delivered(WARM_UP + count)
        figures.rate[POSTFIX].append(count / wall_s)
        figures.all_cpu[POSTFIX].append((postfix.cpu_s() - before) * 1000 / count)


def measure_sink(sessions: int, figures: Figures) -> None:
    """One run against a server that throws the mail away: what nobody who speaks SMTP so can do without."""
    count = MESSAGES[sessions]
    port = free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", str(2 * max(SESSIONS))])
    try:
        wait_for_port(port)
        send(port, sessions, WARM_UP)
        before = cpu_s(sink.pid)
        send(port, sessions, count)
        figures.accept_cpu[SINK].append((cpu_s(sink.pid) - before) * 1000 / count)
    finally:
        sink.terminate()
        sink.wait()


def send(port: int, sessions: int, count: int) -> float:
    """Sends so many messages; gives the seconds that it took until the last was acknowledged."""
    addresses = ["-f", "sender@partner.example", "-t", RECIPIENT]
    load = ["-s", str(sessions), "-m", str(count), "-l", str(BODY_BYTES)]
    return run(["smtp-source", *load, *addresses, f"127.0.0.1:{port}"]).wall_s
