"""The mail that everything is measured on, as Maildirs: bulk and bulk4 from the corpus, office and copies by its generator.

Made once and kept under the target folder; the corpus stays as it is.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.process import MeasuringFailed

# In this order; "every 4th" counts over all of them.
BULK_THEMES = ("bulk-lists", "bulk-en", "german", "attachments")
BULK4_STEP = 4


@dataclass(frozen=True)
class MailSet:
    """A Maildir, or a folder of Maildirs, with what is in it."""

    name: str
    folder: Path
    messages: int
    bytes: int

    def files(self) -> list[Path]:
        """Every message's file, in the order of their names."""
        return sorted(path for path in self.folder.rglob("*") if path.parent.name == "cur")

    def warm(self) -> None:
        """Reads every message once, so that all programs find them in the page cache."""
        for path in self.files():
            path.read_bytes()


class MailSets:
    """Makes and finds the sets; each is made when it is first asked for."""

    def __init__(self, corpus: Path, folder: Path) -> None:
        if not (corpus / "bulk-lists.tar.zst").exists():
            raise MeasuringFailed(
                f"no corpus: {corpus} must hold bulk-lists.tar.zst and the other themes; COFFER_CORPUS names another place"
            )
        self.corpus = corpus
        self.folder = folder

    def get(self, name: str) -> MailSet:
        """One of bulk, bulk4, office, copies."""
        final = self.folder / name
        if not final.exists():
            print(f"making the mail set {name}", file=sys.stderr)
            partial = self.folder / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            {
                "bulk": lambda: self.link_bulk(partial, 1),
                "bulk4": lambda: self.link_bulk(partial, BULK4_STEP),
                "office": lambda: self.generate(partial, 3000, 1),
                "copies": lambda: self.generate(partial, 800, 3, "--copies"),
            }[name]()
            partial.rename(final)
        folder = final / "mailboxes" if name == "copies" else final
        found = MailSet(name, folder, 0, 0).files()
        return MailSet(name, folder, len(found), sum(path.stat().st_size for path in found))

    def link_bulk(self, out: Path, step: int) -> None:
        """Every so many-th message of the bulk themes as one Maildir."""
        files = [path for theme in BULK_THEMES for path in sorted(self.theme(theme).rglob("*.eml"))]
        for part in ("cur", "new", "tmp"):
            (out / part).mkdir()
        for index, path in enumerate(files[::step]):
            os.link(path, out / "cur" / f"{index:06}.corpus:2,S")

    def theme(self, name: str) -> Path:
        """A theme's folder, unpacked on first use."""
        final = self.folder / "themes" / name
        if not final.exists():
            partial = self.folder / "themes" / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            packed = self.corpus / f"{name}.tar.zst"
            subprocess.run(["tar", "--zstd", "-xf", packed, "-C", partial], check=True)
            partial.rename(final)
        return final

    def generate(self, out: Path, messages: int, seed: int, *more: str) -> None:
        """Synthetic office mail by the corpus's own generator."""
        generator = self.corpus / "make_office_mail.py"
        size = ["--messages", str(messages), "--seed", str(seed)]
        command: list[str | Path] = [
            sys.executable,
            generator,
            *size,
            "--out",
            out,
            "--format",
            "maildir",
            *more,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
