"""Coffer under measurement: its commands, a running server, and what an archive takes on the disk."""

import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.mail_sets import MailSet
from bench.process import PATIENCE_S, MeasuringFailed, Ran, cpu_s, peak_rss_mib, run, threads_cpu_s

# Names of the threads that do nothing but index, as the kernel shows them (15 characters).
INDEX_THREADS = ("indexer", "thrd-tantivy", "segment_updater", "merge_thread", "tantivy")

# 1.5 seconds between two questions whether the index has caught up.
ASK_EVERY_S = 1.5


@dataclass(frozen=True)
class Coffer:
    """The program."""

    binary: Path

    def run(self, command: str, data: Path, *more: str | Path) -> Ran:
        """One command on an archive, as a process of its own."""
        return run([self.binary, command, "--data", data, *more])

    def import_all(self, data: Path, mail: MailSet) -> Ran:
        """Imports a set; it is on the disk and can be found when this returns.

        Raises MeasuringFailed when a message was not taken.
        """
        ran = self.run("import", data, "--json", mail.folder)
        report = json.loads(ran.output)
        if report["messages"] != mail.messages or report["left_out"]:
            raise MeasuringFailed(f"{mail.messages} messages were there, the import says {report}")
        return ran

    def stats(self, data: Path) -> dict[str, Any]:
        """What `coffer stats --json` says."""
        found: dict[str, Any] = json.loads(self.run("stats", data, "--json").output)
        return found

    def has(self, command: str) -> bool:
        """Whether this version knows a command."""
        return run([self.binary, command, "--help"], codes=(0, 2)).output != ""

    def serve(self, data: Path, *more: str) -> "Serving":
        """Starts a server on a free port of the loopback interface."""
        return Serving(self, data, *more)


class Serving:
    """A running `coffer serve`; ends with the `with` block."""

    def __init__(self, coffer: Coffer, data: Path, *more: str) -> None:
        self.coffer = coffer
        self.data = data
        self.web = ""
        self.process = subprocess.Popen(
            [
                coffer.binary,
                "serve",
                "--data",
                data,
                "--smtp",
                "127.0.0.1:0",
                "--hostname",
                "mx.office.example",
                *more,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = self.read_port()

    def read_port(self) -> int:
        """Reads what the server says until it is ready."""
        port = 0
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(r"smtp: .*:(\d+)$", line):
                port = int(found[1])
            if found := re.match(r"web: (https://.*)$", line):
                self.web = found[1]
            if line.strip() == "ready":
                return port
        raise MeasuringFailed("coffer serve did not start")

    def cpu_s(self) -> float:
        """Processor seconds up to now."""
        return cpu_s(self.process.pid)

    def index_cpu_s(self) -> float:
        """Of these, what the indexing threads took."""
        return threads_cpu_s(self.process.pid, INDEX_THREADS)

    def peak_rss_mib(self) -> float:
        """The most memory up to now."""
        return peak_rss_mib(self.process.pid)

    def wait_until_indexed(self) -> dict[str, Any]:
        """Waits until everything can be found; gives the last statistics."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            # Each question is an entry in the audit log, and the index commits once no entry came for a moment.
            time.sleep(ASK_EVERY_S)
            stats = self.coffer.stats(self.data)
            if stats["entries_indexed"] >= stats["entries"] - 1:
                return stats
        raise MeasuringFailed("the index did not catch up")

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def disk_use(data: Path) -> dict[str, int]:
    """Bytes in blocks of the disk, by what they hold; folders count where they belong."""
    use = {"volumes": 0, "catalog": 0, "index": 0, "state": 0, "reserve": 0, "other": 0}
    for path in [data, *data.rglob("*")]:
        use[part_of(path.relative_to(data))] += blocks(path)
    return use


def part_of(path: Path) -> str:
    """What a file of an archive belongs to."""
    first = path.parts[0] if path.parts else ""
    for part in ("volumes", "catalog", "index", "state", "reserve"):
        if first.startswith(part):
            return part
    return "other"


def blocks(path: Path) -> int:
    """Bytes that a file or folder takes on the disk."""
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0
