"""An office with an archive: the real program, its people, and mail that swaks sends to it.

`COFFER_BIN` names the program, `COFFER_LATER` the one that lets days pass. Nothing here knows a browser.
"""

import base64
import hashlib
import hmac
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Seconds for a state that should come within one: two processors may be shared with other work.
PATIENCE_S = 60

# Seconds between two looks at a state that is waited for.
LOOK_EVERY_S = 0.05

PASSWORD = "drei Igel im Regen"
OWN_PASSWORD = "vier Esel am Fenster"

# The steps of a code (RFC 6238).
CODE_STEP_S = 30


def wait_for(what, look):
    """Looks until there is something, and gives it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(LOOK_EVERY_S)
    raise AssertionError(f"waited in vain for: {what}")


def texts(language):
    """Gives the page's one-line texts of a language, by their keys."""
    lines = (ROOT / f"firmware/service/web/texts/{language}.ftl").read_text().splitlines()
    pairs = (line.split(" = ", 1) for line in lines if re.match(r"[a-z0-9-]+ = ", line))
    return dict(pairs)


class Authenticator:
    """The app on a phone that shows codes for a secret (RFC 6238); each is given once, as the archive takes it once."""

    def __init__(self, secret):
        self.secret = base64.b32decode(secret)
        self.step = 0

    def code(self):
        """Gives the earliest code that is still good and was not given yet."""
        self.step = max(self.step + 1, self._earliest())
        wait_for("the next code", lambda: self.step <= self._now() + 1)
        return self._digits()

    def _now(self):
        return int(time.time()) // CODE_STEP_S

    def _earliest(self):
        """The step before this one is taken, too, for as long as this one lasts."""
        is_about_to_end = time.time() % CODE_STEP_S > CODE_STEP_S - 5
        return self._now() if is_about_to_end else self._now() - 1

    def _digits(self):
        digest = hmac.digest(self.secret, self.step.to_bytes(8, "big"), "sha1")
        at = digest[19] & 15
        return f"{(int.from_bytes(digest[at:at + 4], 'big') & 0x7fffffff) % 10**6:06}"


class Office:
    """A data directory in a folder of its own, and the program that serves it."""

    def __init__(self, name):
        self.folder = Path(tempfile.mkdtemp(prefix=f"coffer-{name}-"))
        self.data = self.folder / "data"
        self.process = None
        self.said = {}

    def serve(self):
        """Serves until `stop`; a second time at the same addresses as the first."""
        web = self.said.get("web", "https://127.0.0.1:0").removeprefix("https://")
        smtp = self.said.get("smtp", "127.0.0.1:0")
        command = [os.environ["COFFER_BIN"], "serve", "--data", self.data, "--hostname", "archive.example"]
        with open(self.folder / "serve.log", "a") as log:
            self.process = subprocess.Popen(
                command + ["--smtp", smtp, "--web", web], stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            if line == "ready\n":
                return self
            key, _, value = line.strip().partition(": ")
            self.said[key] = value
        raise AssertionError("serve did not become ready: " + (self.folder / "serve.log").read_text())

    @property
    def address(self):
        """Where the page is."""
        return self.said["web"]

    def stop(self):
        """Stops the program in order."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE_S)
        process.stdout.close()
        assert code == 0, f"exit code after SIGTERM: {code}"

    def end(self):
        """Kills what still runs; the folder goes only when the program had stopped in order."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        else:
            subprocess.run(["rm", "-r", self.folder], check=True)

    def run(self, command, *arguments):
        """Runs a command on the archive and gives its output."""
        command = [os.environ["COFFER_BIN"], command, "--data", self.data, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def verify(self, export):
        """Checks an export as somebody does who has the archive's key, and nothing else of it."""
        key = self.run("key").decode().strip()
        subprocess.run([os.environ["COFFER_BIN"], "verify", export, "--key", key], check=True, stdout=subprocess.DEVNULL)

    def days_later(self):
        """Lets what waits for a day come about, as if notices had gone out and the archive had run on."""
        self.stop()
        subprocess.run([os.environ["COFFER_LATER"], self.data], check=True)
        self.serve()

    def send(self, to, message):
        """Sends a message by swaks; gives the number under which it is kept, and its digest."""
        file = self.folder / "message.eml"
        file.write_bytes(message)
        command = ["swaks", "--server", self.said["smtp"], "--from", "pat@partner.example", "--to", to,
                   "--helo", "client.example", "--data", f"@{file}"]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        number, digest = re.search(r"stored as (\d+) sha256 ([0-9a-f]+)", said).groups()
        return int(number), digest

    def claim(self):
        """Claims the archive for the administrator `chef`, and gives a client that is signed in as him."""
        chef = Client(self.address)
        form = {"code": self.said["claim code"], "name": "chef", "password": PASSWORD, "password-again": PASSWORD}
        answer = chef.send("/claim", form, at="/")
        assert answer.to == "/setup", answer.text
        return chef

    def hire(self, chef, *names):
        """Makes accounts with passwords of their own; gives a client that is signed in for each."""
        return [self._hire(chef, name) for name in names]

    def _hire(self, chef, name):
        chef.send("/people/make", {"name": name})
        sheet = section(chef.get("/people").text, name)
        account = re.search(r'href="/people\?account=(\d+)"', sheet)[1]
        issued = chef.send("/people/issue-password", {"account": account}).text
        password = unescape(re.search(r'<p class="mono">([^<]+)</p>', issued)[1])
        client = Client(self.address)
        client.account = account
        client.sign_in(name, password)
        new = {"old-password": password, "password": OWN_PASSWORD, "password-again": OWN_PASSWORD}
        assert client.send("/account/password", new).to == "/", name
        return client


def section(page, name):
    """Gives what a page says about an account: from its heading to the end of its sheet."""
    found = [sheet for sheet in page.split("<section")[1:] if f"<h2>{name}<" in sheet]
    assert len(found) == 1, f"{len(found)} sheets of {name}"
    return found[0].split("</section>")[0]


def message(to, subject, text, fields=()):
    """Gives a message as a mail program writes it."""
    head = ["From: Pat Kern <pat@partner.example>", f"To: {to}", f"Subject: {subject}",
            "Date: Mon, 3 Mar 2025 09:30:00 +0100", f"Message-ID: <{digest_of(text)[:16]}.{digest_of(to)[:8]}@partner.example>",
            "MIME-Version: 1.0", *(fields or ["Content-Type: text/plain; charset=utf-8"])]
    return "\r\n".join([*head, "", text.replace("\n", "\r\n"), ""]).encode()


def digest_of(what):
    """Gives the SHA-256 of bytes, or of a text, in hexadecimal digits."""
    return hashlib.sha256(what if isinstance(what, bytes) else what.encode()).hexdigest()


class Answer:
    """What came back for a request, as it came."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.fields = [tuple(line.split(": ", 1)) for line in lines[1:]]

    def field(self, name):
        """Gives a field that is there once at most; none if it is not there."""
        found = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def to(self):
        """Where it sends the browser."""
        return self.field("Location")

    @property
    def text(self):
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def main(self):
        """What the page says beside its frame, which names the path."""
        return re.search(r"<main.*?</main>", self.text, re.S)[0]


class Client:
    """A program that speaks HTTP and keeps cookies, and sends what no browser would."""

    def __init__(self, address):
        parts = urllib.parse.urlsplit(address)
        self.host, self.port = parts.hostname, parts.port
        self.cookies = {}
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def ask(self, method, target, body=b"", fields=()):
        """Asks for a target exactly as it is written."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        every = {"Host": f"{self.host}:{self.port}", "Connection": "close", "Accept-Language": "en", "Cookie": cookies}
        if method == "POST":
            every |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": len(body)}
        every |= dict(fields)
        head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in every.items()), "", ""]
        answer = Answer(self._exchange("\r\n".join(head).encode() + body))
        for name, value in answer.fields:
            if name == "Set-Cookie":
                self._keep(value)
        return answer

    def _exchange(self, request):
        with socket.create_connection((self.host, self.port), PATIENCE_S) as plain, self.tls.wrap_socket(plain) as stream:
            stream.sendall(request)
            return b"".join(iter(lambda: stream.recv(1 << 16), b""))

    def _keep(self, cookie):
        name, value = cookie.split(";")[0].split("=", 1)
        if "Max-Age=0" in cookie:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    def get(self, target, fields=()):
        """Asks for a page."""
        return self.ask("GET", target, fields=fields)

    def token(self, at="/account/password"):
        """Gives what the forms of a page are bound by."""
        return re.search(r'name="token" value="([^"]*)"', self.get(at).text)[1]

    def send(self, target, form, at="/account/password", fields=()):
        """Sends a form, with the token of a page that has one."""
        form = {"token": self.token(at), **form}
        return self.ask("POST", target, urllib.parse.urlencode(form).encode(), fields)

    def sign_in(self, name, password):
        """Signs in without a second step."""
        answer = self.send("/sign-in", {"name": name, "password": password}, at="/sign-in")
        assert answer.status == 303, answer.text
        return self
