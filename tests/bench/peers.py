"""The other programs: notmuch, mu and borg, each in a folder of its own, as their manuals say to set them up."""

import json
from pathlib import Path
from typing import Any

from bench.coffer import blocks
from bench.mail_sets import MailSet
from bench.process import Ran, run

NOTMUCH = "notmuch"
MU = "mu"
BORG = "borg"

# Debian's own: the module of python3-notmuch2 belongs to it.
SYSTEM_PYTHON = "/usr/bin/python3"

# No tags into file names: the mail stays as it lies.
NOTMUCH_CONFIG = """[database]
path={database}
mail_root={mail}
[user]
name=Office
primary_email=office@office.example
[maildir]
synchronize_flags=false
"""


class Notmuch:
    """A notmuch database over a Maildir that it does not touch."""

    def __init__(self, here: Path, mail: MailSet) -> None:
        self.database = here / "database"
        self.database.mkdir()
        self.config = here / "config"
        self.config.write_text(NOTMUCH_CONFIG.format(database=self.database, mail=mail.folder))

    def index(self) -> Ran:
        """Indexes all mail."""
        return self.run("new", "--no-hooks", "--quiet")

    def compact(self) -> Ran:
        """Writes the database anew without holes."""
        return self.run("compact", "--quiet")

    def run(self, *command: str) -> Ran:
        """One command on this database."""
        return run(["notmuch", f"--config={self.config}", *command])

    def search(self, queries: Path, *more: str) -> dict[str, Any]:
        """Searches in one process, by notmuch's own library; gives what it says."""
        program = Path(__file__).parent / "notmuch_search.py"
        ran = run([SYSTEM_PYTHON, "-B", program, self.database, self.config, queries, *more])
        found: dict[str, Any] = json.loads(ran.output)
        return found


class Mu:
    """A mu database over a Maildir."""

    def __init__(self, here: Path, mail: MailSet) -> None:
        self.home = here / "home"
        run(["mu", "init", f"--muhome={self.home}", f"--maildir={mail.folder}"])

    def index(self) -> Ran:
        """Indexes all mail."""
        return run(["mu", "index", f"--muhome={self.home}", "--quiet"])


class Borg:
    """A borg repository without encryption."""

    def __init__(self, here: Path) -> None:
        self.repository = here / "repository"
        self.environment = {"BORG_BASE_DIR": str(here), "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
        run(["borg", "init", "--encryption=none", self.repository], self.environment)

    def create(self, mail: MailSet) -> Ran:
        """Keeps all mail, compressed as fast as Coffer compresses it."""
        archive = f"{self.repository}::mail"
        return run(["borg", "create", "--compression", "zstd,3", archive, mail.folder], self.environment)


def blocks_of(folder: Path) -> int:
    """Bytes that a folder and all in it take on the disk."""
    return sum(blocks(path) for path in [folder, *folder.rglob("*")])
