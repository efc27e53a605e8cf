"""The whole of it, as its people meet it in Chromium: claimed, set up, mail found and read, and nobody sees what is not his."""

import base64
import os
import struct
import unittest
import zlib
from datetime import date, datetime, timedelta
from zipfile import ZipFile

from .office import OWN_PASSWORD, PASSWORD, Authenticator, Office, digest_of, message, wait_for
from .window import Window, chromium

# What the steps of the setup are answered with, and what the list of steps shows then.
ANSWERS = {
    "language": ({"language": "de", "time zone": "Europe/Berlin"}, None),
    "retention": ({"retention years": "10"}, None),
    "updates": ({"update hour": "4"}, "04:00–05:00"),
    "status-mail": ({"status mail to": "it@office.example"}, "it@office.example"),
}

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

WITH_HTML = f"""\
--outer
Content-Type: multipart/related; boundary=inner

--inner
Content-Type: text/html; charset=utf-8

<h1>Angebot Schallschutz</h1><p>Guten Tag, anbei die <b>Zahlen</b> für die Fenster.</p><img src="cid:logo" alt="Logo">
<img src="https://evil.example/seen.png" alt="">
--inner
Content-Type: image/png
Content-ID: <logo>
Content-Transfer-Encoding: base64

{PICTURE}
--inner--
--outer
Content-Type: application/pdf; name="Angebot 4711.pdf"
Content-Disposition: attachment; filename="Angebot 4711.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQK
--outer--
"""


# A table with what can be done, what is done already, and what cannot be.
TABLE = "name;display name;roles;addresses\nmia;Mia Kern;staff;mia@office.example info@office.example\nkim;;staff;\nbob;;king;"


def photo(width, height):
    """Gives a PNG of these pixels: a sky that grows darker (PNG, ISO/IEC 15948)."""
    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    rows = b"".join(b"\0" + bytes((90, 120 + row % 100, 230 - row % 150)) * width for row in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_photo(name, bytes_of):
    """Gives the parts of a message with a picture attached."""
    encoded = base64.encodebytes(bytes_of).decode()
    return f"""\
--outer
Content-Type: text/plain; charset=utf-8

Das Foto vom Dach.
--outer
Content-Type: image/png; name="{name}"
Content-Disposition: attachment; filename="{name}"
Content-Transfer-Encoding: base64

{encoded}--outer--
"""


class Story(unittest.TestCase):
    """One office from its first start on; what belongs to whom is asked of each of its people."""

    def test_with_scripts(self):
        """Every page is looked at in all its forms, too."""
        self._tell(scripts=True)

    def test_without_scripts(self):
        """Setup, signing in, searching and reading need no script."""
        self._tell(scripts=False)

    def _tell(self, scripts):
        self.scripts = scripts
        self.office = Office("office").serve()
        self.addCleanup(self.office.end)
        browser = self.enterContext(chromium())
        self.window = lambda: Window(browser, self.office.address, scripts)
        self.chef = self.window()
        self._claim()
        self._set_up()
        self._first_mail()
        self._second_step()
        self._old_mail()
        self._hire()
        self.office.days_later()
        self._mail_comes()
        self._find_and_read()
        if scripts:
            self._keys()
        self._take_along()
        self._not_the_colleagues()
        self._operator_is_refused()
        self._auditor()
        self._languages()
        self._sign_out()
        for window in (self.chef, self.kim, self.ada):
            window.close()
        self.office.stop()

    def _look(self, window, name):
        if self.scripts:
            window.examine(name)

    def _look_here(self, window, name):
        if self.scripts:
            window.examine_here(name)

    def _claim(self):
        chef = self.chef
        chef.open("/search?q=x")
        chef.is_at("/")
        chef.sees("claim-title")
        self._look(chef, "claim")
        answers = {"code": self.office.said["claim code"], "name": "chef", "password": PASSWORD}
        chef.send("/claim", answers | {"password-again": OWN_PASSWORD})
        chef.sees("passwords-differ", ".trouble")
        self._look_here(chef, "claim-wrong")
        chef.send("/claim", answers | {"password-again": PASSWORD})
        chef.is_at("/setup")
        self._look(chef, "setup")

    def _set_up(self):
        chef = self.chef
        links = chef.at("main ol.steps a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        self.assertGreater(len(links), len(ANSWERS))
        for link in links:
            chef.open("/setup")
            chef.follow(link, "main")
            chef.is_at(link)
            self._look(chef, link.strip("/").replace("/", "-"))
            # Left, and come back to.
            back = chef.at('main a[href="/setup"]')
            if link.startswith("/setup/"):
                back.first.click()
                chef.is_at("/setup")
        for step, (answers, shown) in ANSWERS.items():
            chef.open("/setup")
            chef.follow(f"/setup/{step}", "main")
            chef.send(f"/setup/{step}", answers)
            chef.is_at("/setup")
            state = chef.at(f'main ol.steps li:has(a[href="/setup/{step}"]) .state').inner_text()
            self.assertTrue(state == shown if shown else state != chef.text("step-open"), f"{step}: {state}")

    def _first_mail(self):
        chef = self.chef
        chef.open("/setup/mail")
        chef.at('main a[href*="wait"]').first.click()
        chef.sees("mail-waiting", "[role=status]")
        self.office.send("chef@office.example", message("chef@office.example", "Erste", "Die erste Mail."))
        # The page shows it by itself, be it without a script.
        arrived = chef.at("[role=status].good")
        arrived.wait_for()
        self._look(chef, "setup-mail-arrived")
        chef.open("/state")
        self._look(chef, "state")

    def _second_step(self):
        chef = self.chef
        chef.open("/account/second-factor")
        chef.send("/account/second-factor/begin", {"password": PASSWORD})
        link = chef.at('main a[href^="otpauth:"]').get_attribute("href")
        self.phone = Authenticator(link.split("secret=")[1].split("&")[0])
        self._look_here(chef, "second-factor-secret")
        chef.send("/account/second-factor/confirm", {"code": self.phone.code()})
        chef.is_at("/account")
        self._look(chef, "account")
        self._sign_out_of(chef)
        used = self.phone.code()
        for given, name in [("000000", "wrong"), (used, "right")]:
            chef.open("/sign-in?next=/people")
            chef.send("/sign-in", {"name": "chef", "password": PASSWORD})
            chef.sees("code-title")
            self._look_here(chef, f"sign-in-code-{name}")
            chef.send("/sign-in/code", {"code": given})
            if given != used:
                chef.sees("code-wrong", ".trouble")
        chef.is_at("/people")
        self._again(used)

    def _again(self, used):
        """A code that somebody looked at over a shoulder opens nothing a second time."""
        thief = self.window()
        thief.open("/sign-in")
        thief.send("/sign-in", {"name": "chef", "password": PASSWORD})
        thief.send("/sign-in/code", {"code": used})
        thief.sees("code-wrong", ".trouble")
        thief.open("/people")
        thief.is_at("/sign-in?next=%2Fpeople")
        thief.close()

    def _hire(self):
        self.kim = self._hired("kim", "staff", "kim@office.example")
        self._hired("lee", "staff", "lee@office.example").close()
        self.ada = self._hired("ada", "auditor", None)
        for window in (self.kim, self.ada):
            window.open("/account")
            window.send("/account/open-old-mail")
            window.sees("old-mail-asked", "[role=status]")
        self._look_here(self.kim, "account-old-mail-asked")
        self.chef.open("/people")
        self._look(self.chef, "people")
        self._open_sheet("kim")
        self._look(self.chef, "people-one")
        self._table()

    def _table(self):
        """A table of accounts is tried, and nothing of it done."""
        chef = self.chef
        chef.open("/people/table")
        self._look(chef, "people-table")
        chef.send("/people/table", {"table": TABLE})
        chef.at("main table").wait_for()
        self._look_here(chef, "people-table-tried")
        chef.open("/people")
        self.assertEqual(chef.at(self._sheet("mia")).count(), 0)

    def _old_mail(self):
        """Mail from before there was an account, as offices bring it along."""
        old = message("kim@office.example", "Leuchtturm", "Ein Brief von 2019.").replace(b"Mar 2025", b"Mar 2019")
        file = self.office.folder / "old.eml"
        file.write_bytes(old)
        long_ago = datetime(2019, 3, 3).timestamp()
        os.utime(file, (long_ago, long_ago))
        self.office.run("import", file)

    def _hired(self, name, role, address):
        chef = self.chef
        chef.open("/people")
        chef.send("/people/make", {"name": name})
        chef.at(f"{self._sheet(name)} form").first.wait_for()
        chef.send("/people/issue-password", within=self._sheet(name))
        password = chef.at(".note .mono").inner_text()
        if name == "kim":
            self._look_here(chef, f"people-password-{name}")
        window = self._comes_in(name, password)
        for change, field in [("add-role", {"role": role}), ("give-address", {"address": address})]:
            if not all(field.values()):
                continue
            chef.open("/people")
            self._open_sheet(name)
            form = f'{self._sheet(name)} form:has([value="{change}"]):has(div.deeds)'
            self._fill(form, field)
            chef.sees("change-waits", "[role=status]")
        return window

    def _fill(self, form, fields):
        form = self.chef.at(form)
        for name, value in fields.items():
            field = form.locator(f'[name="{name}"]')
            if field.evaluate("field => field.type").startswith("select"):
                field.select_option(value)
            else:
                field.fill(value)
        form.locator("button[type=submit]").click()

    def _sheet(self, name):
        return f'section.sheet:has(h2:text-is("{name}"))'

    def _open_sheet(self, name):
        self.chef.at(f'{self._sheet(name)} a[href^="/people?account="]').click()
        self.chef.at(f"{self._sheet(name)} form").first.wait_for()

    def _comes_in(self, name, password):
        """Signs in with a password that others know, and has to choose another one first."""
        window = self.window()
        window.open("/")
        window.is_at("/sign-in")
        if name == "kim":
            self._look(window, "sign-in")
            window.send("/sign-in", {"name": name, "password": "not the password"})
            window.sees("sign-in-wrong", ".trouble")
            self._look_here(window, "sign-in-wrong")
        window.send("/sign-in", {"name": name, "password": password})
        window.is_at("/account/password")
        window.open("/search?q=x")
        window.is_at("/account/password")
        if name == "kim":
            self._look(window, "account-password")
        new = {"old-password": password, "password": OWN_PASSWORD, "password-again": OWN_PASSWORD}
        window.send("/account/password", new)
        window.page.wait_for_url(lambda url: not url.endswith("/account/password"))
        return window

    def _mail_comes(self):
        fields = ["Content-Type: multipart/mixed; boundary=outer"]
        offer = message("kim@office.example", "Angebot =?utf-8?q?Schallschutz_f=C3=BCr_Gr=C3=BCnwald?=", WITH_HTML, fields)
        self.own, self.digest = self.office.send("kim@office.example", offer)
        photo_mail = message("kim@office.example", "Foto vom Dach", with_photo("Dach.png", photo(640, 360)), fields)
        self.photo, _ = self.office.send("kim@office.example", photo_mail)
        text = "Das Gehalt von Lee steht in der Tabelle Schallschutz."
        self.other, _ = self.office.send("lee@office.example", message("lee@office.example", "Gehalt", text))
        for number in range(30):
            note = message("kim@office.example", f"Notiz {number}", f"Wärmepumpe {number}, mit einem Satz für die Vorschau.")
            self.office.send("kim@office.example", note)

    def _find_and_read(self):
        kim = self.kim
        self._in_again(kim, "kim")
        kim.open("/search")
        self._look(kim, "search")
        for query, count in [("wärmepumpe", 30), ("leuchtturm", 1), ("schallschutz", 1)]:
            wait_for(query, lambda: kim.open(f"/search?q={query}") and self._count(kim) == count)
        self._look(kim, "search-one")
        kim.send("/search", {"q": "wärmepumpe"})
        self._look(kim, "search-many")
        kim.at("main a[rel=next]").click()
        kim.at("main a[rel=prev]").wait_for()
        kim.open("/search?q=gibtesnicht")
        self.assertEqual(self._count(kim), 0)
        self._look(kim, "search-nothing")
        kim.open("/search?q=schallschutz")
        kim.at(f'main a[href^="/message/{self.own}"]').first.click()
        self._read(kim)

    def _read(self, kim):
        kim.at("h1").filter(has_text="Grünwald").wait_for()
        shown = kim.page.frame_locator("iframe.mail")
        shown.locator("h1").filter(has_text="Angebot Schallschutz").wait_for()
        self.assertIn(kim.text("remote-left-out"), kim.at("main").inner_text())
        self._look(kim, "message")
        for view in ("?view=text", "/source"):
            kim.open(f"/message/{self.own}{view}")
            self._look(kim, "message" + view.replace("?view=", "-").replace("/", "-"))
        kim.open(f"/message/{self.photo}")
        preview = kim.at("main a.preview img")
        wait_for("the picture", lambda: preview.evaluate("picture => picture.complete && picture.naturalWidth") == 640)
        self._look(kim, "message-photo")
        kim.open(f"/message/{self.own}")
        self.assertIn("Bild im Text", kim.at("main details").last.inner_text())
        with kim.page.expect_download() as download:
            kim.at(f'main a[href="/message/{self.own}.eml"]').first.click()
        taken = download.value.path().read_bytes()
        self.assertEqual(digest_of(taken), self.digest, "the download is the original")
        self.assertEqual(taken, self.office.run("show", str(self.own)))
        for page in ("/log", "/account", "/trust"):
            kim.open(page)
            self._look(kim, "staff" + page.replace("/", "-"))

    def _keys(self):
        """A hand on the keys finds, opens and leaves a message."""
        kim = self.kim
        kim.open("/search?q=wärmepumpe")
        press = kim.page.keyboard.press
        focused = lambda: kim.page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.name")
        hits = kim.at("ol.hits a.hit").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        for key, expected in [("/", "q"), ("Escape", None), ("j", hits[0]), ("j", hits[1]), ("k", hits[0])]:
            press(key)
            self.assertEqual(focused() or None, expected, key)
        press("n")
        kim.at("main a[rel=prev]").wait_for()
        press("p")
        kim.at("main a[rel=prev]").wait_for(state="detached")
        press("j")
        press("Enter")
        kim.page.wait_for_url("**/message/**")
        press("Escape")
        kim.page.wait_for_url("**/search?**")

    def _live(self):
        """Figures change on a page that stays open."""
        chef = self.chef
        chef.open("/state")
        before = chef.at("[data-live=figures]").inner_text()
        self.office.send("kim@office.example", message("kim@office.example", "Nachtrag", "Noch ein Satz."))
        wait_for("new figures", lambda: chef.at("[data-live=figures]").inner_text() != before)

    def _take_along(self):
        """All that a search finds, in one file that proves itself."""
        kim = self.kim
        kim.open("/search?q=to:kim@office.example")
        kim.at('main form[action="/exports"] summary').click()
        self._look_here(kim, "search-take-along")
        kim.send("/exports", {"which": "all", "format": "zip"})
        fetch = kim.at('main a[href$="/file"]')
        # The page shows it by itself, be it without a script.
        fetch.wait_for()
        self._look(kim, "export")
        with kim.page.expect_download() as download:
            fetch.click()
        with ZipFile(download.value.path()) as taken:
            mails = [taken.read(name) for name in taken.namelist() if name.endswith(".eml")]
        self.assertEqual(len(mails), 33, "all of kim's")
        self.assertEqual([mail for mail in mails if b"To: kim@" not in mail], [], "nothing of the colleague's")
        file = self.office.folder / "export.zip"
        download.value.save_as(file)
        self.office.verify(file)
        for page in ("/exports", "/account/tokens"):
            kim.open(page)
            self._look(kim, "staff" + page.replace("/", "-"))

    def _count(self, window):
        """The number of messages that the page says it has found."""
        said = window.at(".filters [role=status]").inner_text()
        nothing = {"de": "Nichts", "en": "Nothing"}[window.language]
        one = {"de": "Eine", "en": "One"}[window.language]
        word = said.split()[0]
        return 0 if word == nothing else 1 if word == one else int(word.replace(".", "").replace(",", ""))

    def _not_the_colleagues(self):
        kim = self.kim
        for query in ("gehalt", "lee", f"to:lee@office.example"):
            kim.open(f"/search?q={query}")
            self.assertEqual(self._count(kim), 0, query)
        self.assertEqual(kim.open("/message/999999"), 404)
        nothing = kim.at("main").inner_html()
        for rest in ("", "/source", "/html/0", "/proof", ".eml", "/file/0", "/picture/0"):
            self.assertEqual(kim.open(f"/message/{self.other}{rest}"), 404, rest)
            self.assertEqual(kim.at("main").inner_html(), nothing, rest)
        self._look(kim, "not-found")
        for page in ("/setup", "/state", "/setup/mail"):
            self.assertEqual(kim.open(page), 404, page)

    def _operator_is_refused(self):
        chef = self.chef
        self._in_again(chef, "chef")
        chef.open("/state")
        self.assertEqual(chef.at('a[href^="/search"]').count(), 0, "nothing to search with")
        self._look(chef, "state-with-mail")
        for path in ("/search", "/search?q=gehalt", f"/message/{self.own}", f"/message/{self.own}.eml", f"/message/{self.own}/source"):
            self.assertEqual(chef.open(path), 404, path)
        chef.open("/log")
        self.assertNotIn("Grünwald", chef.at("main").inner_text())
        self._look(chef, "operator-log")
        if self.scripts:
            self._live()
        self._program(chef, PASSWORD)
        self._another_server()

    def _program(self, window, password):
        """A token for a program is shown once."""
        window.open("/account/tokens")
        name = window.path.strip("/").replace("/", "-")
        who = window.at("header .who a").inner_text()
        self._look(window, f"{name}-{who}")
        window.send("/account/tokens/make", {"name": "Sicherung", "password": password})
        window.at("main .mono").first.wait_for()
        self._look_here(window, f"{name}-{who}-made")

    def _another_server(self):
        """Where notices go changes slowly, and everybody reads of it on every page."""
        chef, kim = self.chef, self.kim
        chef.open("/setup/outgoing")
        chef.send("/setup/outgoing", {"server": "mail.office.example", "from": "coffer@office.example"})
        chef.at("main .note").first.wait_for()
        self._look(chef, "setup-outgoing-waits")
        self._in_again(kim, "kim")
        kim.open("/search?q=schallschutz")
        kim.at("main .note").first.wait_for()
        self._look(kim, "search-with-notice")
        kim.follow("/people", "main")
        kim.is_at("/people")
        self._look(kim, "staff-people")
        kim.send("/people/object")
        kim.sees("objected", ".trouble")

    def _auditor(self):
        """The auditor sees nothing, and then what was released, once that has waited."""
        ada, chef = self.ada, self.chef
        self._in_again(ada, "ada")
        self._program(ada, OWN_PASSWORD)
        ada.open("/exports")
        self._look(ada, "auditor-exports")
        ada.open("/search?q=schallschutz")
        self.assertEqual(self._count(ada), 0)
        self.assertEqual(ada.open(f"/message/{self.own}"), 404)
        chef.open("/people")
        self._open_sheet("ada")
        last_day = date.today() + timedelta(days=30)
        terms = {"query": "subject:schallschutz", "until": last_day.isoformat(), "reason": "Prüfung 2025"}
        chef.send("/people/release", terms, within=self._sheet("ada"))
        chef.sees("change-waits", "[role=status]")
        self._look_here(chef, "people-release-waits")
        self.office.days_later()
        self._in_again(chef, "chef")
        chef.open("/people")
        self._look(chef, "people-released")
        self._in_again(ada, "ada")
        ada.open("/search?q=schallschutz")
        self.assertEqual(self._count(ada), 1)
        self.assertEqual(ada.open(f"/message/{self.own}"), 200)
        self.assertEqual(ada.open(f"/message/{self.other}"), 404)

    def _in_again(self, window, name):
        """Signs in where the session has ended meanwhile."""
        window.open("/account")
        if not window.path.startswith("/sign-in"):
            return
        password = PASSWORD if name == "chef" else OWN_PASSWORD
        window.send("/sign-in", {"name": name, "password": password})
        if name == "chef":
            window.sees("code-title")
            window.send("/sign-in/code", {"code": self.phone.code()})
        window.is_at("/account")

    def _languages(self):
        kim = self.kim
        kim.open("/search?q=schallschutz")
        kim.at("footer a[lang=en]").click()
        kim.is_at("/search?q=schallschutz")
        kim.speaks("en")
        kim.at("footer a[lang=de]").click()
        kim.speaks("de")

    def _sign_out_of(self, window):
        window.send("/sign-out", within="header")
        window.is_at("/sign-in")

    def _sign_out(self):
        kim = self.kim
        kept = [one for one in kim.context.cookies() if one["name"] == "__Host-coffer"]
        self.assertEqual(len(kept), 1)
        self._sign_out_of(kim)
        kim.context.add_cookies(kept)
        kim.open("/search?q=schallschutz")
        self.assertTrue(kim.path.startswith("/sign-in"), "a session that was ended opens nothing")
