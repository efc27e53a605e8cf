"""What every row needs: the program, the mail, a place to work in, and how often to repeat."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.coffer import Coffer
from bench.mail_sets import MailSets


@dataclass
class Bench:
    """One run of the benchmark."""

    coffer: Coffer
    programs: Path
    sets: MailSets
    scratch: Path
    is_quick: bool
    is_long: bool
    details: dict[str, Any] = field(default_factory=dict)

    def repeats(self, usual: int) -> int:
        """How often something is measured: as often as usual, or once in a quick run."""
        return 1 if self.is_quick else usual

    def folder(self, name: str) -> Path:
        """An empty folder; what an earlier run left in it is removed and written out first."""
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        os.sync()
        return path
