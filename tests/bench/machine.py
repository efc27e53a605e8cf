"""The machine: what it is, how fast its disk syncs now, and its caches. No host names, no paths."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

# 1 second of syncs tells a busy disk from an idle one.
SYNC_TEST_S = 1.0


def describe(folder: Path) -> dict[str, Any]:
    """What a reader must know to compare; the file system is that of the folder."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.M)
    return {
        "cpu": cpu[1].strip() if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / (1 << 20)) if memory else None,
        "file_system": file_system(folder),
        "kernel": platform.release(),
        "system": system(),
    }


def file_system(folder: Path) -> str:
    """The type of the file system that a folder lies on."""
    found = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True)
    kind = found.stdout.strip()
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [mount for mount in mounts if (str(folder) + "/").startswith(mount[0].rstrip("/") + "/")]
    return max(inside, key=lambda mount: len(mount[0]))[1] if inside else kind


def system() -> str:
    """The distribution and its version."""
    release = platform.freedesktop_os_release()
    version = Path("/etc/debian_version")
    if release.get("ID") == "debian" and version.exists():
        return f"Debian {version.read_text().strip()}"
    return release.get("PRETTY_NAME", "Linux")


def syncs_per_second(folder: Path) -> float:
    """How often a 4 KiB append and fdatasync goes on this disk at this moment."""
    path, block, count = folder / "sync-test", bytes(4096), 0
    with path.open("wb", buffering=0) as file:
        began = time.monotonic()
        while time.monotonic() - began < SYNC_TEST_S:
            file.write(block)
            os.fdatasync(file.fileno())
            count += 1
        rate = count / (time.monotonic() - began)
    path.unlink()
    return rate


def can_drop_caches() -> bool:
    """Whether this user may empty the kernel's caches."""
    return os.access("/proc/sys/vm/drop_caches", os.W_OK)


def drop_caches() -> None:
    """Writes everything out and empties the kernel's page, directory and inode caches."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def load() -> float:
    """Processes that ran or waited for the disk in the last minute, on average."""
    return os.getloadavg()[0]
