"""A private Postfix on the loopback interface that delivers into one virtual Maildir; durability as Debian ships it.

Needs root, who alone can start it. Configuration, queue, log and mail lie in a folder of its own.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from bench.process import PATIENCE_S, MeasuringFailed, cpu_s

RECIPIENT = "archive@archive.example"

# nobody: the user that the mail is delivered as.
MAIL_UID = 65534

# What the whole-system tests start, too.
SETTINGS = Path(__file__).parents[1] / "postfix"

# Mail for one address is delivered into a Maildir.
DELIVERY = """virtual_mailbox_domains = archive.example
virtual_mailbox_base = {here}/mail
virtual_mailbox_maps = static:archive/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_mailbox_limit = 0
"""


class Postfix:
    """A running Postfix; ends with the `with` block."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.port = free_port()
        for part in ("queue", "data", "mail"):
            (here / part).mkdir()
        shutil.chown(here / "data", "postfix")
        os.chown(here / "mail", MAIL_UID, MAIL_UID)
        main_cf = (SETTINGS / "main.cf").read_text() + DELIVERY
        (here / "main.cf").write_text(main_cf.format(here=here, uid=MAIL_UID))
        master_cf = (SETTINGS / "master.cf").read_text()
        (here / "master.cf").write_text(master_cf.format(address=f"127.0.0.1:{self.port}"))
        self.command("start")
        self.master = int((here / "queue/pid/master.pid").read_text())
        wait_for_port(self.port)

    def command(self, what: str) -> None:
        """Runs `postfix`, which says what it does on standard error."""
        done = subprocess.run(["postfix", "-c", self.here, what], capture_output=True, text=True)
        if done.returncode != 0:
            raise MeasuringFailed(f"postfix {what}: {done.stderr}")

    def cpu_s(self) -> float:
        """Processor seconds of the master and of all its processes, up to now."""
        return cpu_s(self.master)

    def wait_until_delivered(self, count: int) -> None:
        """Waits until so many messages lie in the Maildir."""
        new = self.here / "mail/archive/new"
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if new.exists() and len(os.listdir(new)) >= count:
                return
            time.sleep(0.05)
        log = (self.here / "mail.log").read_text()[-2000:]
        raise MeasuringFailed(f"postfix did not deliver {count} messages: {log}")

    def __enter__(self) -> "Postfix":
        return self

    def __exit__(self, *_: object) -> None:
        self.command("stop")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Waits until somebody takes connections."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
