"""Import of mail that lies in a Maildir: Coffer with store, catalog, tree and full text; notmuch and mu, which only index.

The mail is read once before each run, so that nobody waits for the disk to read it. What is written is written as each
program does it by itself; whole processes are measured, start and end included.
"""

from typing import Iterator

from bench.bench import Bench
from bench.figures import COFFER, Aim, Line, at_least, at_most
from bench.mail_sets import MailSet
from bench.peers import MU, NOTMUCH, Mu, Notmuch
from bench.process import Ran

NOTE = "notmuch and mu index only, the mail stays where it lies; mu 1.8 waits in steps of a second"
MEMORY_NOTE = "peak of the process, mapped files included: those of the index while segments are merged"


def measure(bench: Bench) -> Iterator[Line]:
    """bulk4, and all bulk mail."""
    aims = [at_least(5, MU), at_least(12, NOTMUCH)]
    yield from lines(bench, bench.sets.get("bulk4"), 3, aims)
    if not bench.is_quick:
        yield from lines(bench, bench.sets.get("bulk"), 3, aims)


def lines(bench: Bench, mail: MailSet, repeats: int, aims: list[Aim]) -> Iterator[Line]:
    """Rate, processor seconds and memory for one set."""
    runs: dict[str, list[Ran]] = {COFFER: [], NOTMUCH: [], MU: []}
    for _ in range(bench.repeats(repeats)):
        mail.warm()
        runs[COFFER].append(bench.coffer.import_all(bench.folder("import-coffer") / "data", mail))
        mail.warm()
        runs[NOTMUCH].append(Notmuch(bench.folder("import-notmuch"), mail).index())
        mail.warm()
        runs[MU].append(Mu(bench.folder("import-mu"), mail).index())
    what = f"import of {mail.name} ({mail.messages:,} messages, {mail.bytes / 1e6:.1f} MB)"
    rate = {name: [mail.messages / run.wall_s for run in ran] for name, ran in runs.items()}
    cpu = {name: [run.cpu_s * 1000 / mail.messages for run in ran] for name, ran in runs.items()}
    peak = {name: [run.peak_rss_mib for run in ran] for name, ran in runs.items()}
    yield Line(what, "messages/s", rate, aims, NOTE)
    yield Line(what, "CPU s per 1,000", cpu, [at_most(0.4)])
    yield Line(what, "MiB of memory", peak, [at_most(192)], MEMORY_NOTE)
    anonymous = {name: [run.peak_anonymous_mib for run in ran] for name, ran in runs.items()}
    yield Line(f"{what}: without mapped files", "MiB of memory", anonymous)
