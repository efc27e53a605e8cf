"""Bytes on the disk for each byte of mail: everything that lies in the folder counts, in blocks, folders included.

Volumes hold the messages, the audit log and the tree; catalog and index can be made again from them. The reserve of
256 MiB that Coffer keeps free for events is named apart: its size does not follow the mail.
"""

import re
import smtplib
from pathlib import Path
from typing import Iterator

from bench.bench import Bench
from bench.coffer import disk_use
from bench.figures import COFFER, Aim, Line, at_most
from bench.mail_sets import MailSet
from bench.peers import BORG, MU, NOTMUCH, Borg, Mu, Notmuch, blocks_of
from bench.postfix import RECIPIENT

COMPACTED = "notmuch compacted"
UNIT = "bytes per byte of mail"
AT_ONCE = {"bulk4": 0.35, "office": 0.305, "copies": 0.083}
RECOMPRESSED = {"bulk4": 0.30, "office": 0.297, "copies": 0.078}
CATALOG_AND_INDEX = {"bulk4": 0.20, "office": 0.03}
RECOMPRESSED_NOTE = (
    "recompressed at once and to the end; by itself that happens in the background, to sealed volumes"
)
INDEX_NOTE = "notmuch and mu hold no text of attachments either, and need the mail itself beside them"


def measure(bench: Bench) -> Iterator[Line]:
    """Each set once: sizes hardly differ between runs."""
    for name in ("bulk4",) if bench.is_quick else ("bulk4", "office", "copies"):
        mail = bench.sets.get(name)
        yield from imported(bench, mail)
    yield from delivered(bench, bench.sets.get("bulk4"))


def imported(bench: Bench, mail: MailSet) -> Iterator[Line]:
    """What an import leaves on the disk, before and after recompression, and what the peers take."""
    data = bench.folder("size-coffer") / "data"
    bench.coffer.import_all(data, mail)
    use = disk_use(data)
    borg = Borg(bench.folder("size-borg"))
    borg.create(mail)
    kept = {COFFER: [use["volumes"] / mail.bytes], BORG: [blocks_of(borg.repository) / mail.bytes]}
    yield Line(f"messages of {mail.name}, imported", UNIT, kept, [at_most(AT_ONCE[mail.name])])
    yield from recompressed(
        bench, data, f"messages of {mail.name}", mail.bytes, [at_most(RECOMPRESSED[mail.name])]
    )
    yield from catalog_and_index(bench, mail, use)


def catalog_and_index(bench: Bench, mail: MailSet, use: dict[str, int]) -> Iterator[Line]:
    """The derived part, beside the peers' indexes; then what is left."""
    notmuch = Notmuch(bench.folder("size-notmuch"), mail)
    notmuch.index()
    fresh = blocks_of(notmuch.database)
    notmuch.compact()
    mu = Mu(bench.folder("size-mu"), mail)
    mu.index()
    derived = {
        COFFER: [(use["catalog"] + use["index"]) / mail.bytes],
        NOTMUCH: [fresh / mail.bytes],
        COMPACTED: [blocks_of(notmuch.database) / mail.bytes],
        MU: [blocks_of(mu.home) / mail.bytes],
    }
    aim = CATALOG_AND_INDEX.get(mail.name)
    aims = [at_most(aim)] if aim else []
    yield Line(f"catalog and index of {mail.name}", UNIT, derived, aims, INDEX_NOTE)
    for part in ("catalog", "index"):
        yield Line(f"of these, the {part}", UNIT, {COFFER: [use[part] / mail.bytes]})
    rest = {COFFER: [(use["state"] + use["other"]) / (1 << 20)]}
    yield Line(f"state and all other files beside {mail.name}", "MiB", rest)
    yield Line(f"reserve for events beside {mail.name}", "MiB", {COFFER: [use["reserve"] / (1 << 20)]})


def delivered(bench: Bench, mail: MailSet) -> Iterator[Line]:
    """The same mail by SMTP, one message after the other, so that each is a batch of its own."""
    data = bench.folder("size-smtp") / "data"
    sent = 0
    with bench.coffer.serve(data) as serving:
        with smtplib.SMTP("127.0.0.1", serving.port) as client:
            for path in mail.files():
                sent += send(client, path)
        serving.wait_until_indexed()
        running = disk_use(data)
    use = disk_use(data)
    what = f"messages of {mail.name}, delivered singly by SMTP"
    yield Line(f"{what}, while it runs", UNIT, {COFFER: [running["volumes"] / sent]})
    yield Line(f"{what}, after it has ended", UNIT, {COFFER: [use["volumes"] / sent]})
    for part in ("catalog", "index"):
        yield Line(f"{what}: the {part}", UNIT, {COFFER: [use[part] / sent]})
    yield from recompressed(bench, data, what, sent, [])


def recompressed(bench: Bench, data: Path, what: str, mail_bytes: int, aims: list[Aim]) -> Iterator[Line]:
    """Recompresses an archive to the end, the volume that was open included."""
    size: dict[str, list[float]] = {}
    rate: dict[str, list[float]] = {}
    if bench.coffer.has("recompress"):
        ran = bench.coffer.run("recompress", data, "--seal")
        size[COFFER] = [disk_use(data)["volumes"] / mail_bytes]
        rate[COFFER] = [mail_bytes / 1e6 / ran.wall_s]
    yield Line(f"{what}, recompressed", UNIT, size, aims, RECOMPRESSED_NOTE)
    yield Line(f"{what}: recompression", "MB of mail/s", rate)


def send(client: smtplib.SMTP, path: Path) -> int:
    """Sends a message as a transport would, with CRLF; gives its bytes."""
    message = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    client.sendmail("sender@partner.example", [RECIPIENT], message)
    return len(message)
