"""The search page as somebody of the staff gets it: over TLS on the loopback interface, signed in, from a running server.

The archive has 200,000 messages made by growth.rs. All kinds of queries (queries.tsv) are asked in turn over one connection, round after
round, so that none finds warm what it has just read itself; what is timed is the whole answer, from the request to the last byte of the page with
its 25 results and their snippets. The first round after the server's start is a line of its own. Then all results are paged through from the
first page to the last, as somebody would who follows "next": a page there has to cost what the first ones cost. The archive is kept for the
next run, since making it takes minutes.
"""

import http.client
import re
import ssl
import statistics
import time
from html import unescape
from pathlib import Path
from typing import Iterator
from urllib.parse import quote, urlencode

from bench import growth
from bench.bench import Bench
from bench.figures import COFFER, Line, at_most
from bench.process import MeasuringFailed, run
from bench.searching import QUERIES

MESSAGES = 200_000
QUICK = 2_000
# Rounds through all queries after the first one.
ROUNDS = 20
# Pages of which a median is made, at the beginning, in the middle and at the end of all results.
STRETCH = 100
# Of all messages, so many at least must be the person's own, or his page would have less to do.
OWN_SHARE = 0.9
NAME = "kim"
PASSWORD = "vier Esel am Fenster"
# The lists and boxes whose mail the archive is made from: nearly all of it is this person's.
ADDRESSES = (
    "fork-admin@xent.com",
    "fork@spamassassin.taint.org",
    "linux-btrfs@vger.kernel.org",
    "linux-hams@vger.kernel.org",
    "openbmc@lists.ozlabs.org",
    "phishing@pot",
    "samba-technical@lists.samba.org",
    "usrp-users@lists.ettus.com",
    "yyyy@spamassassin.taint.org",
)
NOTE = "20 kinds of queries, a page of 25 results with snippets each, the search in the audit log before it is answered"


def measure(bench: Bench) -> Iterator[Line]:
    """Median and 95th percentile over all runs of all kinds; the aim is that of the slow ones."""
    count = QUICK if bench.is_quick else MESSAGES
    what = f"search page over TLS ({count:,} messages)"
    if not (bench.is_long or bench.is_quick):
        yield Line(f"{what} (--long): p95", "ms", {}, [at_most(50)])
        return
    data = archive(bench, count)
    with bench.coffer.serve(data, "--web", "127.0.0.1:0") as serving:
        visitor = Visitor(serving.web)
        visitor.sign_in()
        visitor.check_sees(count)
        first, *rounds = [[visitor.time(query) for _, query in kinds()] for _ in range(ROUNDS + 1)]
        pages = visitor.time_to_the_end()
    by_kind = zip(kinds(), zip(*rounds))
    bench.details["page"] = {kind: statistics.median(times) for (kind, _), times in by_kind}
    times = sorted(one for times in rounds for one in times)
    p95 = times[-(-len(times) * 95 // 100) - 1]
    yield Line(f"{what}: worst, asked for the first time", "ms", {COFFER: [max(first)]})
    yield Line(f"{what}: median", "ms", {COFFER: [statistics.median(times)]}, [], NOTE)
    yield Line(f"{what}: p95", "ms", {COFFER: [p95]}, [at_most(50)])
    yield Line(f"{what}: worst", "ms", {COFFER: [times[-1]]})
    middle = len(pages) // 2
    stretches = {"first": pages[:STRETCH], "middle": pages[middle : middle + STRETCH], "last": pages[-STRETCH:]}
    for name, stretch in stretches.items():
        whole = f"{name} {len(stretch)} of {len(pages):,} pages of all mail, one after the other: median"
        yield Line(f"{what}: {whole}", "ms", {COFFER: [statistics.median(stretch)]}, [at_most(50)])


def archive(bench: Bench, count: int) -> Path:
    """The archive of that size with somebody who may read it, made unless an earlier run has left it."""
    data = bench.scratch / f"page-{count}" / "data"
    if not (data.parent / "ready").exists():
        bench.folder(data.parent.name)
        growth.fill(bench, bench.sets.get("bulk4"), data, count)
        run([bench.programs / "people", data, NAME, PASSWORD, *ADDRESSES])
        (data.parent / "ready").touch()
    return data


def kinds() -> list[tuple[str, str]]:
    """Kinds and queries; that of everything is empty."""
    lines = [line.split("\t") for line in QUERIES.read_text().splitlines() if line and line[0] != "#"]
    return [(line[0], line[1]) for line in lines]


class Visitor:
    """A browser with one connection that stays open."""

    def __init__(self, address: str) -> None:
        # The certificate is the box's own; whom this measures is known.
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        self.connection = http.client.HTTPSConnection(address.removeprefix("https://"), context=trusting)
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, target: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """Sends a request; gives the status and the page, and keeps cookies."""
        fields = {"Accept-Language": "en", "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if form is not None:
            fields |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        self.connection.request(method, target, urlencode(form) if form is not None else None, fields)
        response = self.connection.getresponse()
        body = response.read().decode()
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                cookie, _, content = value.split(";")[0].partition("=")
                self.cookies[cookie] = content
        return response.status, body

    def sign_in(self) -> None:
        """Signs in.

        Raises MeasuringFailed when that does not open the search page.
        """
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.ask("GET", "/sign-in")[1])
        token = found[1] if found else ""
        self.ask("POST", "/sign-in", {"name": NAME, "password": PASSWORD, "token": token})
        if self.ask("GET", "/search")[0] != 200:
            raise MeasuringFailed("nobody could sign in to the page")

    def check_sees(self, count: int) -> None:
        """Raises MeasuringFailed when the person sees less of the archive than is claimed."""
        found = re.search(r"([\d,]+) messages", self.ask("GET", "/search?q=")[1])
        own = int(found[1].replace(",", "")) if found else 0
        if own < count * OWN_SHARE:
            raise MeasuringFailed(f"of {count} messages only {own} are the person's own")

    def time(self, query: str) -> float:
        """Milliseconds of the answer to a query."""
        took, _ = self.timed(f"/search?q={quote(query)}")
        return took

    def timed(self, target: str) -> tuple[float, str]:
        """Milliseconds of an answer, and the page."""
        began = time.perf_counter()
        status, page = self.ask("GET", target)
        took = (time.perf_counter() - began) * 1000
        if status != 200:
            raise MeasuringFailed(f"the search page answered {status} to: {target}")
        return took, page

    def time_to_the_end(self) -> list[float]:
        """Milliseconds of each page of all results, by their links from one to the next.

        Raises MeasuringFailed when the last page is not that which the pages say.
        """
        times, target, said = [], "/search?q=", None
        while target:
            took, page = self.timed(target)
            times.append(took)
            said = re.search(r"Page ([\d,]+) of ([\d,]+)", page) or said
            found = re.search(r'rel="next" href="([^"]+)"', page)
            target = unescape(found[1]) if found else ""
        last = int(said[2].replace(",", "")) if said else 1
        if len(times) != last:
            raise MeasuringFailed(f"of {last} pages {len(times)} were reached")
        return times
