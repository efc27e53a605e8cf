"""A person before a browser window: Debian's Chromium, driven by Playwright.

Playwright, since its wheel from PyPI carries its own driver and drives a browser that is installed already; and since it can switch scripts
off, change widths and themes, and put answers of its own in the place of the server's, which Selenium cannot.
"""

import json
import os
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from .office import PATIENCE_S, ROOT, texts

PICTURES = ROOT / "target/browser"

# How each page is looked at: width in pixels, theme, language. Each value of one meets each of the others'.
LOOKS = [(1280, "light", "de"), (390, "light", "en"), (390, "dark", "de"), (1280, "dark", "en")]

# Those in which axe-core looks, too: each theme once, since what it finds otherwise is the same in all.
AXE_LOOKS = [LOOKS[0], LOOKS[2]]

HEIGHT = 900

# A page without attachments' own bytes, as it goes over the line: more would be slow on a bad one.
PAGE_BYTES_MAX = 50_000

# What axe-core calls a fault that keeps people out.
FAULTS = {"serious", "critical"}

# Faults are named by rule and by the first elements that have them.
FAULT_ELEMENTS = 3

# Words that no German text of the page has; the search language and what people typed do not stand between blanks with them.
ENGLISH = re.compile(r"\b(the|and|is|are|of|with|cannot|this|until|again)\b")

# What the system itself said stands behind its meaning in brackets, and what is no text of the page is set apart.
QUOTED = re.compile(r"\[[^\]]*\]")
SET_APART = "pre, code, .mono, [lang]:not(html)"

# The sender's own HTML in its frame is not looked at: the page cannot mend it.
AXE_OPTIONS = {"resultTypes": ["violations"], "iframes": False}

# Nobody else's host: what is asked of it arrives at the trap.
ELSEWHERE = "evil.example"

TEXTS = {language: texts(language) for language in ("de", "en")}


class Trap:
    """A web server in the place of a host elsewhere; whoever connects to it, or even asks it, was lured out."""

    def __init__(self, folder):
        self.connections = 0
        self.requests = []
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate(folder))
        trap = self

        class Catch(socketserver.BaseRequestHandler):
            def handle(self):
                trap.connections += 1
                is_tls = self.request.recv(1, socket.MSG_PEEK) == b"\x16"
                stream = tls.wrap_socket(self.request, server_side=True) if is_tls else self.request
                asked = stream.recv(1024)
                if asked:
                    trap.requests.append(asked.split(b"\r\n")[0].decode("latin-1"))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """A browser that ends a handshake is no trouble of ours."""

        self.server = Server(("127.0.0.1", 0), Catch)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self):
        """Where it listens."""
        return self.server.server_address[1]

    @property
    def caught(self):
        """What happened so far."""
        return self.connections, len(self.requests)


def certificate(folder):
    """Makes a certificate, which the browser is told not to look at, and its key."""
    files = [folder / "trap.crt", folder / "trap.key"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-subj", f"/CN={ELSEWHERE}", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return files


@contextmanager
def chromium(trap=None):
    """Gives Debian's Chromium, without what it does by itself; there is no host elsewhere but the trap, if there is one."""
    trapped = f"MAP {ELSEWHERE} 127.0.0.1:{trap.port}, " if trap else ""
    arguments = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 f"--host-resolver-rules={trapped}MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield browser
        browser.close()


def axe():
    """Gives axe-core's program text."""
    return Path(os.environ["AXE"]).read_text()


class Window:
    """A window with cookies of its own, and what happened in it."""

    def __init__(self, browser, address, scripts=True, language="de", **options):
        self.address = address
        self.scripts = scripts
        self.language = language
        self.context = browser.new_context(
            base_url=address, ignore_https_errors=True, java_script_enabled=scripts,
            viewport={"width": LOOKS[0][0], "height": HEIGHT}, **options)
        self.context.set_default_timeout(PATIENCE_S * 1000)
        self.requests, self.complaints, self.dialogs = [], [], []
        self.context.on("request", lambda request: self.requests.append(request))
        self.page = self.context.new_page()
        self._ask_in(language)
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("dialog", self._dialog)
        # Each look costs what a first visit costs.
        session = self.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def close(self):
        """Closes it; nothing was ever asked of anybody else."""
        self.context.close()
        asked = {request.url for request in self.requests}
        lured = [url for url in asked if not url.startswith((self.address + "/", "data:"))]
        assert not lured, lured

    def open(self, path):
        """Opens a page and gives its status."""
        return self.page.goto(path).status

    @property
    def path(self):
        """Where the window is."""
        return self.page.url.removeprefix(self.address)

    def text(self, key):
        """Gives a text in the language of the window."""
        return TEXTS[self.language][key]

    def at(self, selector):
        """Gives the one element of a selector."""
        return self.page.locator(selector)

    def follow(self, target, where="body"):
        """Clicks the first link to a target."""
        self.at(f'{where} a[href="{target}"]').first.click()

    def send(self, action, values=None, within="body"):
        """Fills the form of an action as a person does, and sends it."""
        form = self.at(f'{within} form[action^="{action}"]').first
        for name, value in (values or {}).items():
            field = form.locator(f'[name="{name}"]:not([type=hidden])')
            kind = field.first.evaluate("field => field.type")
            if kind == "radio":
                form.locator(f'[name="{name}"][value="{value}"]').check()
            elif kind.startswith("select"):
                field.select_option(value)
            else:
                field.fill(value)
        form.locator("button[type=submit]").first.click()

    def sees(self, key, selector="h1"):
        """Waits until an element has a text of the catalogue."""
        expect(self.at(selector).first).to_have_text(self.text(key), timeout=PATIENCE_S * 1000)

    def is_at(self, path):
        """Waits until the window is at a path."""
        self.page.wait_for_url(lambda url: url.removeprefix(self.address) == path)

    def speaks(self, language):
        """Checks that the page says in which language it is."""
        assert self.at("html").get_attribute("lang") == language, self.page.url

    def examine(self, name):
        """Looks at the page again in every width, theme and language."""
        path = self.path
        for width, theme, language in LOOKS:
            self._ask_in(language)
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            self.page.emulate_media(color_scheme=theme)
            self._load(path)
            self.speaks(language)
            self._look(f"{name}-{width}-{theme}-{language}")
            if (width, theme, language) in AXE_LOOKS:
                self._find_faults(path)
        self._ask_in(self.language)
        self._set_back()
        self.open(path)

    def examine_here(self, name):
        """Looks at a page that cannot be opened again, as the answer to a form."""
        for width, theme, language in LOOKS:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            self.page.emulate_media(color_scheme=theme)
            self._look(f"{name}-{width}-{theme}-{self.language}")
            if (width, theme, language) in AXE_LOOKS:
                self._find_faults(name)
        self._set_back()

    def _ask_in(self, language):
        self.page.set_extra_http_headers({"Accept-Language": language})

    def _set_back(self):
        self.page.set_viewport_size({"width": LOOKS[0][0], "height": HEIGHT})
        self.page.emulate_media(color_scheme=LOOKS[0][1])

    def _load(self, path):
        """Opens a page and checks what it costs until it is whole."""
        before = len(self.requests)
        self.page.goto(path, wait_until="load")
        requests = self.requests[before:]
        taken = sum(size(request) for request in requests)
        assert taken < PAGE_BYTES_MAX, f"{path} takes {taken} bytes"
        kinds = [request.resource_type for request in requests if request.frame == self.page.main_frame]
        assert kinds.count("document") == 1 and kinds.count("stylesheet") <= 1, f"{path}: {kinds}"
        assert "font" not in kinds, f"{path}: {kinds}"
        # A script that the parser waits for would hold up the first paint.
        scripts = self.at("script").evaluate_all("all => all.map(one => one.src && (one.defer || one.async || one.type === 'module'))")
        assert all(scripts), f"{path}: {scripts}"

    def _look(self, picture):
        page = self.page
        width = page.viewport_size["width"]
        scrolled = page.evaluate("document.documentElement.scrollWidth")
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"{picture}.png", full_page=True)
        if self.at("html").get_attribute("lang") == "de":
            english = ENGLISH.findall(QUOTED.sub("", self._text()))
            assert not english, f"{picture} says in English: {english}"
        assert scrolled <= width, f"{picture} is {scrolled} pixels wide"

    def _text(self):
        """What the page itself says."""
        return self.page.evaluate(
            "hidden => { const copy = document.body.cloneNode(true);"
            " copy.querySelectorAll(hidden).forEach(one => one.remove()); return copy.textContent }", SET_APART)

    def _find_faults(self, name):
        self.page.evaluate(axe())
        found = self.page.evaluate(f"axe.run(document, {json.dumps(AXE_OPTIONS)})")
        faults = [fault(one) for one in found["violations"] if one["impact"] in FAULTS]
        assert not faults, f"{name}: " + "; ".join(faults)


def fault(violation):
    """Says in a line what axe-core found."""
    elements = [re.sub(r"\s+", " ", node["html"])[:160] for node in violation["nodes"][:FAULT_ELEMENTS]]
    return f"{violation['id']} ({violation['impact']}): {', '.join(elements)}"


def size(request):
    """Gives the bytes that an answer takes, head and body; what a message brings with it is counted, too."""
    response = request.response()
    if response is None or request.url.startswith("data:"):
        return 0
    sizes = request.sizes()
    return sizes["responseHeadersSize"] + sizes["responseBodySize"]
