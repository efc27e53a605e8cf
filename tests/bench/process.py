"""Runs programs and says what they took: time, processor seconds of all that belongs to them, peak memory.

Reads /proc; works on Linux only.
"""

import itertools
import os
import resource
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Mapping, Sequence

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20

# 30 minutes: none of the measured programs takes longer unless it hangs.
RUN_S_MAX = 1800.0
# 120 seconds for a state that comes within a second or two.
PATIENCE_S = 120.0


class MeasuringFailed(Exception):
    """A program did not do what it was asked for, so that there is no figure."""


@dataclass(frozen=True)
class Ran:
    """What one run of a program took."""

    wall_s: float
    cpu_s: float
    # Mapped files included, and without them; the latter is looked at every 20 ms.
    peak_rss_mib: float
    peak_anonymous_mib: float
    output: str


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    input_from: IO[bytes] | None = None,
    codes: Sequence[int] = (0,),
) -> Ran:
    """Runs a program to its end; processor seconds include the children that it waited for.

    Raises MeasuringFailed when it ends otherwise than with one of `codes`, or takes too long.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=input_from or subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise MeasuringFailed(f"cannot run {command[0]}: {error}") from error
        try:
            status, usage, anonymous = wait(process.pid, began + RUN_S_MAX)
        except BaseException:
            process.kill()
            raise
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (output, errors):
            stream.seek(0)
        if process.returncode not in codes:
            said = errors.read().decode(errors="replace")[-2000:]
            raise MeasuringFailed(f"{command[0]} ended with {process.returncode}: {said}")
        text = output.read().decode(errors="replace")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Ran(wall_s, cpu_s, usage.ru_maxrss / 1024, anonymous, text)


def wait(pid: int, deadline: float) -> tuple[int, resource.struct_rusage, float]:
    """Waits for a child's end, and gives its peak of memory that is no mapped file; at the deadline the child is killed."""
    # A thread or an alarm for the rare hang would cost more than a look every 2 ms.
    peak = 0.0
    for look in itertools.count():
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage, peak
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        if look % 10 == 0:
            peak = max(peak, anonymous_mib(pid))
        time.sleep(0.002)
    raise AssertionError("the count never ends")


def anonymous_mib(pid: int) -> float:
    """Memory of a process now that is no mapped file; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) / 1024 if found else 0.0


def cpu_s(root: int) -> float:
    """Processor seconds of a process, of those below it, and of all that have ended and were waited for."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat_fields(Path("/proc", entry, "stat"))):
            parents.setdefault(int(fields[1]), []).append(int(entry))
            ticks[int(entry)] = sum(int(field) for field in fields[11:15])
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        total += ticks.get(pid, 0)
        waiting += parents.get(pid, [])
    return total / TICKS_A_SECOND


def threads_cpu_s(pid: int, names: Sequence[str]) -> float:
    """Processor seconds of those threads of a process whose names begin so and that still run."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
        except OSError:
            continue
        fields = stat_fields(task / "stat")
        if fields and name.startswith(tuple(names)):
            total += int(fields[11]) + int(fields[12])
    return total / TICKS_A_SECOND


def stat_fields(stat: Path) -> list[str]:
    """The fields behind the name (state is the first); empty when the process is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def peak_rss_mib(pid: int) -> float:
    """The most memory that a running process has had, mapped files included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise MeasuringFailed(f"process {pid} has no memory")
