"""Peak memory of a server that takes many large messages at once."""

import base64
import random
import smtplib
import threading
import time
from typing import Iterator

from bench.bench import Bench
from bench.figures import COFFER, Line, at_most
from bench.postfix import RECIPIENT
from bench.process import MeasuringFailed

SESSIONS = 32
MESSAGE_BYTES = 50 * 1000 * 1000
# Raw bytes in a line of 76 characters of base64.
LINE_BYTES = 57
NOTE = "32 sessions, each with one mail with its own attachment of random bytes in base64; mapped files count"


def measure(bench: Bench) -> Iterator[Line]:
    """32 messages of 50 MB each, all of them in their body at the same time."""
    peaks, rates = [], []
    attachment = make_attachment()
    for _ in range(bench.repeats(3)):
        with bench.coffer.serve(bench.folder("memory") / "data") as serving:
            rates.append(SESSIONS * MESSAGE_BYTES / 1e6 / send_all(serving.port, attachment))
            peaks.append(serving.peak_rss_mib())
            if serving.wait_until_indexed()["messages"] != SESSIONS:
                raise MeasuringFailed("not every large message was kept")
    what = "serve taking 32 messages of 50 MB at once"
    yield Line(f"{what}: peak memory", "MiB", {COFFER: peaks}, [at_most(256)], NOTE)
    yield Line(f"{what}: rate", "MB/s", {COFFER: rates})


def make_attachment() -> bytes:
    """Base64 of random bytes, the same in each run."""
    raw = random.Random(1).randbytes(MESSAGE_BYTES * 3 // 4 // LINE_BYTES * LINE_BYTES)
    return base64.encodebytes(raw).replace(b"\n", b"\r\n")


def send_all(port: int, attachment: bytes) -> float:
    """Sends from all sessions at once; gives the seconds until the last was acknowledged."""
    barrier, failures = threading.Barrier(SESSIONS + 1), []

    def session(index: int) -> None:
        try:
            send_one(port, index, attachment, barrier)
        except (OSError, smtplib.SMTPException, threading.BrokenBarrierError) as error:
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=session, args=(index,)) for index in range(SESSIONS)]
    for thread in threads:
        thread.start()
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        pass
    began = time.monotonic()
    for thread in threads:
        thread.join()
    if failures:
        raise MeasuringFailed(f"a large message was not taken: {failures[0]}")
    return time.monotonic() - began


def send_one(port: int, index: int, attachment: bytes, barrier: threading.Barrier) -> None:
    """One session: waits for all others before its body, so that all bodies come at once."""
    with smtplib.SMTP("127.0.0.1", port, timeout=300) as client:
        client.ehlo()
        client.mail("sender@partner.example")
        client.rcpt(RECIPIENT)
        client.putcmd("DATA")
        client.getreply()
        barrier.wait()
        head = HEAD.format(index=index).replace("\n", "\r\n").encode()
        # The first line makes each attachment another content.
        own = base64.b64encode(f"{index:057}".encode()) + b"\r\n"
        for piece in (head, own, attachment, b"--b--\r\n.\r\n"):
            client.send(piece)
        code, text = client.getreply()
        if code != 250:
            raise smtplib.SMTPDataError(code, text)


HEAD = """From: sender@partner.example
To: archive@archive.example
Subject: large {index}
Message-ID: <large-{index}@partner.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

Message {index} with an attachment.
--b
Content-Type: application/octet-stream
Content-Disposition: attachment; filename="large-{index}.bin"
Content-Transfer-Encoding: base64

"""
