"""How fast an archive is verified and rebuilt."""

import shutil
from typing import Iterator

from bench.bench import Bench
from bench.figures import COFFER, Line, at_least

IMPORT = "import"
VERIFY_NOTE = "every record, digest, the whole tree and the signature; volumes in the page cache"
REBUILD_NOTE = (
    "catalog and index removed and made again from the volumes; beside it the import of the same mail"
)


def measure(bench: Bench) -> Iterator[Line]:
    """One import, then both several times."""
    mail = bench.sets.get("bulk4" if bench.is_quick else "bulk")
    imports, verifies, rebuilds = [], [], []
    for _ in range(bench.repeats(3)):
        data = bench.folder("upkeep") / "data"
        mail.warm()
        imports.append(mail.messages / bench.coffer.import_all(data, mail).wall_s)
        verifies.append(mail.bytes / 1e6 / bench.coffer.run("verify", data).wall_s)
        for derived in [*data.glob("catalog-*"), *data.glob("index-*")]:
            shutil.rmtree(derived) if derived.is_dir() else derived.unlink()
        rebuilds.append(mail.messages / bench.coffer.run("rebuild", data).wall_s)
    yield Line(f"verify of {mail.name}", "MB of mail/s", {COFFER: verifies}, [at_least(400)], VERIFY_NOTE)
    rates = {COFFER: rebuilds, IMPORT: imports}
    yield Line(f"rebuild of {mail.name}", "messages/s", rates, [at_least(1, IMPORT)], REBUILD_NOTE)
