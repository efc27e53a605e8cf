"""Attacks, as tests/attacks/ lists them: mail that wants to run or to be noticed, forms from elsewhere, paths that lead out, numbers guessed.

In Chromium each of the layers around HTML mail is tried without the others: what is left of it, and the frame that it is shown in.
"""

import json
import re
import unittest
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

from .office import OWN_PASSWORD, PASSWORD, ROOT, Client, Office, message, wait_for
from .window import ELSEWHERE, Trap, Window, chromium

CASES = json.loads((ROOT / "tests/attacks/mail.json").read_text())
PATHS = (ROOT / "tests/attacks/paths.txt").read_text().splitlines()

# Fields that an answer with an attachment has, and no others.
DOWNLOAD_FIELDS = {
    "Content-Type", "Content-Disposition", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
    "Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Cache-Control", "Content-Length",
    "Connection", "Date",
}

# Elements and attributes that nothing of a mail may leave: each of them acts, or names something to load.
ELEMENTS = {
    "script", "iframe", "frame", "object", "embed", "applet", "base", "meta", "link", "style", "form", "input", "button", "textarea", "select",
    "svg", "math", "video", "audio", "source", "track", "template", "noscript", "portal", "dialog", "marquee",
}
ATTRIBUTES = {
    "srcdoc", "srcset", "background", "poster", "action", "formaction", "ping", "cite", "longdesc", "id", "name", "autofocus", "popover",
    "dynsrc", "lowsrc", "http-equiv", "data", "code", "xlink:href", "contenteditable",
}

SECRET = "Gehaltsliste"

# A word of the secret message that nobody but its owner may find.
SECRET_WORD = "zehntausend"


class Left(HTMLParser):
    """What of an HTML text acts, or loads something."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag in ELEMENTS:
            self.found.append(f"<{tag}>")
        for name, value in attributes:
            value = re.sub(r"[\x00-\x20]", "", value or "").lower()
            acts = name.startswith("on") or name in ATTRIBUTES or value.startswith(("javascript:", "vbscript:", "data:text"))
            loads = name == "src" and not value.startswith("data:image/") or name == "style" and "(" in value.replace("rgb(", "")
            # A link waits for a click, and leads out only.
            leads_in = name == "href" and not value.startswith(("http://", "https://", "mailto:", "tel:"))
            if acts or loads or leads_in:
                self.found.append(f"<{tag} {name}={value[:80]}>")


class Shape(HTMLParser):
    """The elements of a page, each with each attribute that it has."""

    def __init__(self, html):
        super().__init__()
        self.pairs = set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.pairs |= {(tag, name) for name, _ in attributes} | {(tag, None)}


# A message with all that a page of a message can have.
HARMLESS = {
    "name": "harmless", "html": f"<p>Hello<img src=https://{ELSEWHERE}/seen.png>",
    "disposition": "attachment; filename=a.png", "type": "image/png", "body": "x", "fields": ["Cc: Anna <anna@office.example>"],
}


def attack(case):
    """Makes the message of a case."""
    html = "<b>" * case.get("nested", 0) + case.get("html", "")
    text, kind = (html, "text/html; charset=utf-8") if html else (case.get("text", "x"), "text/plain")
    if "disposition" in case:
        text = (f"--a\nContent-Type: {kind}\n\n{text}\n--a\nContent-Type: {case['type']}\n"
                f"Content-Disposition: {case['disposition']}\n\n{case['body']}\n--a--")
        kind = "multipart/mixed; boundary=a"
    elif "type" in case:
        kind = case["type"]
    fields = [*case.get("fields", []), f"X-Case: {case['name']}", f"Content-Type: {kind}"]
    made = message("kim@office.example", case.get("subject", case["name"]), text, fields)
    sender = case.get("from")
    return made.replace(b"Pat Kern <pat@partner.example>", sender.encode(), 1) if sender else made


class Attacks(unittest.TestCase):
    """One office with mail that means ill; kim gets it, lee is the colleague, chef looks after the archive."""

    @classmethod
    def setUpClass(cls):
        cls.office = Office("attacks").serve()
        cls.addClassCleanup(cls.office.end)
        cls.chef = cls.office.claim()
        cls.kim, cls.lee = cls.office.hire(cls.chef, "kim", "lee")
        for client, name in [(cls.kim, "kim"), (cls.lee, "lee")]:
            for step in ({"step": "add-role", "role": "staff"}, {"step": "give-address", "address": f"{name}@office.example"}):
                cls.chef.send("/people/change", {"account": client.account, **step})
        cls.office.stop()
        folder = cls.office.folder / "mail"
        folder.mkdir()
        for number, case in enumerate([*CASES, HARMLESS]):
            (folder / f"{number:03}.eml").write_bytes(attack(case))
        (folder / "secret.eml").write_bytes(message("lee@office.example", SECRET, SECRET_WORD))
        cls.office.run("import", folder)
        hits = cls.office.run("search", "--json", "--limit", "1000", "").decode().splitlines()
        cls.numbers = cls._numbers([json.loads(hit) for hit in hits])
        cls.office.serve()
        cls.office.days_later()
        cls.chef.sign_in("chef", PASSWORD)
        for client, name in [(cls.kim, "kim"), (cls.lee, "lee")]:
            client.sign_in(name, OWN_PASSWORD)
        page = f"/message/{cls.numbers['harmless']}"
        cls.harmless = Shape(cls.kim.get(page).text + cls.kim.get(f"{page}?view=text").text).pairs

    @classmethod
    def _numbers(cls, hits):
        """Gives the number of each case's message, and of the colleague's."""
        numbers = {}
        for hit in hits:
            source = cls.office.run("show", str(hit["number"])).decode("utf-8", "replace")
            name = re.search(r"^X-Case: (.*?)\r?$", source, re.M)
            numbers[name[1] if name else SECRET] = hit["number"]
        assert len(numbers) == len(CASES) + 2, len(numbers)
        return numbers

    @classmethod
    def tearDownClass(cls):
        cls.office.stop()

    def test_mail_leaves_nothing_that_acts(self):
        """Without a browser: what the page and the frame say, and what comes with a download."""
        for case in CASES:
            with self.subTest(case["name"]):
                number = self.numbers[case["name"]]
                page = self.kim.get(f"/message/{number}")
                self.assertEqual(page.status, 200)
                frame = re.search(r'src="(/message/\d+/html/\d+)"', page.text)
                self.assertEqual(frame is not None, "html" in case)
                if frame:
                    # Behind our own style sheet comes what is left of the mail.
                    left = self.kim.get(frame[1]).text.split("</style>", 1)[1]
                    self.assertEqual(Left(left).found, [])
                self.assertEqual(Shape(page.text).pairs - self.harmless, set(), "more than the page's own elements")
                for part in re.findall(r'href="(/message/\d+/(?:file|picture)/\d+)"', page.text):
                    self._download(part)

    def _download(self, path):
        answer = self.kim.get(path)
        self.assertEqual(answer.status, 200, path)
        names = [name for name, _ in answer.fields]
        self.assertEqual(len(names), len(set(names)), names)
        self.assertLessEqual(set(names), DOWNLOAD_FIELDS)
        self.assertIn("sandbox", answer.field("Content-Security-Policy"))
        if "/picture/" in path:
            self.assertRegex(answer.field("Content-Type"), r"^image/(png|jpeg|gif|webp)$")
            return
        self.assertEqual(answer.field("Content-Type"), "application/octet-stream")
        disposition = answer.field("Content-Disposition")
        self.assertRegex(disposition, r"""^attachment; filename="[A-Za-z0-9 ._-]+"; filename\*=UTF-8''[A-Za-z0-9._%-]+$""")

    def test_mail_runs_nothing_in_chromium(self):
        """As it is shown; what is left of it without frame and policy; and the frame with all of it."""
        trap = Trap(self.office.folder)
        browser = self.enterContext(chromium(trap))
        shown, bare = self._window(browser), self._window(browser, bypass_csp=True)
        self._trap_works(browser, trap)
        for case in CASES:
            with self.subTest(case["name"]):
                before, number = trap.caught, self.numbers[case["name"]]
                self._open(shown, f"/message/{number}")
                self.assertEqual(self._refusals(shown), [], "something was left that the frame had to refuse")
                self._open(bare, f"/message/{number}")
                for frame in bare.at("iframe").evaluate_all("all => all.map(one => one.getAttribute('src'))"):
                    self._open(bare, frame)
                self.assertEqual((shown.dialogs, bare.dialogs, trap.caught), ([], [], before))
        shown.close()
        bare.close()
        self.assertEqual(len(trap.requests), 1, "whatever came late")

    def test_the_frame_alone_holds_mail(self):
        """Nothing was taken out of the mail; Chromium may connect for a frame that it then refuses, but asks nothing."""
        trap = Trap(self.office.folder)
        browser = self.enterContext(chromium(trap))
        window = self._window(browser)
        self._trap_works(browser, trap)
        for case in CASES:
            if "html" not in case:
                continue
            with self.subTest(case["name"]):
                self._whole_in_frame(window, case)
                self.assertEqual((window.dialogs, trap.requests[1:]), ([], []))
        window.close()
        self.assertEqual(trap.requests[1:], [], "whatever came late")

    def _window(self, browser, **options):
        window = Window(browser, self.office.address, **options)
        window.context.add_cookies([
            {"name": name, "value": value, "url": self.office.address} for name, value in self.kim.cookies.items()])
        return window

    def _open(self, window, path):
        del window.complaints[:]
        self.assertEqual(window.open(path), 200, path)
        window.page.wait_for_load_state("load")

    def _refusals(self, window):
        return [said for said in window.complaints if "Refused" in said or "Blocked" in said or "violates" in said]

    def _whole_in_frame(self, window, case):
        """Shows the case's own HTML as if nothing had been taken out of it; the policy is the page's."""
        html = "<b>" * case.get("nested", 0) + case["html"]

        def answer(route):
            response = route.fetch()
            route.fulfill(response=response, body=html)

        window.page.route("**/html/*", answer)
        self._open(window, f"/message/{self.numbers[case['name']]}")
        window.page.unroute("**/html/*")
        # What the frame refused was asked for all the same, of nobody.
        del window.requests[:]

    def _trap_works(self, browser, trap):
        """The same HTML where nothing holds it: a dialog opens, and the trap catches."""
        context = browser.new_context(ignore_https_errors=True)
        page, dialogs = context.new_page(), []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.set_content(f"<img src=https://{ELSEWHERE}/seen.png onerror=alert(1)>")
        wait_for("the trap", lambda: page.wait_for_timeout(10) or (dialogs and trap.requests))
        context.close()

    def test_downloads_keep_their_names_harmless(self):
        """What Chromium would call the file on the disk."""
        browser = self.enterContext(chromium())
        window = self._window(browser)
        for case in CASES:
            if "disposition" not in case:
                continue
            with self.subTest(case["name"]):
                window.open(f"/message/{self.numbers[case['name']]}")
                with window.page.expect_download() as download:
                    window.at('main a[href*="/file/"]').first.click()
                name = download.value.suggested_filename
                self.assertRegex(name, r"^[^/\\:*?\"<>|\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]{1,200}$")
                self.assertFalse(name.startswith("."), name)
        window.close()

    def test_forms_from_elsewhere_change_nothing(self):
        """Real browsers send what they send: cookies of the same site, an origin, where a request was made."""
        browser = self.enterContext(chromium())
        window = Window(browser, self.office.address)
        window.open("/sign-in")
        window.send("/sign-in", {"name": "chef", "password": PASSWORD})
        window.is_at("/state")
        self._retention(6)
        token = self.chef.token("/setup/retention")
        for origin in (f"http://{ELSEWHERE}", f"https://{ELSEWHERE}", "https://127.0.0.1:9", "http://127.0.0.1:9"):
            for method in ("post", "get"):
                with self.subTest(f"{method} from {origin}"):
                    self._send_from(window, origin, method, token)
                    self.assertIn("6 years", self.chef.get("/setup").text)
        del window.requests[:]
        window.close()

    def _retention(self, years):
        self.assertEqual(self.chef.send("/setup/retention", {"retention years": years}).to, "/setup")

    def _send_from(self, window, origin, method, token):
        """A page elsewhere sends the setup's form in the name of who looks at it."""
        page = (f'<form method={method} action="{self.office.address}/setup/retention">'
                f'<input name="retention years" value="10"><input name=token value={token}><button>x</button></form>')
        window.page.route(f"{origin}/*", lambda route: route.fulfill(content_type="text/html", body=page))
        window.page.goto(f"{origin}/lure")
        window.at("button").click()
        window.page.wait_for_url(f"{self.office.address}/**")
        window.page.unroute(f"{origin}/*")

    def test_forms_without_their_token_change_nothing(self):
        self._retention(6)
        token, foreign = self.chef.token(), self.kim.token()
        body = "retention+years=10&token="
        own = {"Origin": self.office.address}
        for name, sent, fields in [
            ("none", "retention+years=10", own),
            ("empty", body, own),
            ("of another person", body + foreign, own),
            ("twice", f"{body}{token}&token={token}", own),
            ("in the address", "retention+years=10", own),
            ("foreign origin", body + token, {"Origin": f"https://{ELSEWHERE}"}),
            ("no origin to name", body + token, {"Origin": "null"}),
            ("same site", body + token, {"Sec-Fetch-Site": "same-site"}),
            ("cross site", body + token, {"Sec-Fetch-Site": "cross-site"}),
            ("two sites", body + token, {"Sec-Fetch-Site": "same-origin, cross-site"}),
            ("as text", body + token, {"Content-Type": "text/plain", **own}),
            ("as JSON", body + token, {"Content-Type": "application/json", **own}),
        ]:
            with self.subTest(name):
                target = "/setup/retention" + (f"?token={token}" if name == "in the address" else "")
                answer = self.chef.ask("POST", target, sent.encode(), fields)
                self.assertIn(answer.status, (403, 415))
                self.assertIn("6 years", self.chef.get("/setup").text)

    def test_a_session_is_never_one_that_was_there_before(self):
        lured = Client(self.office.address)
        for planted in ("00" * 32, "ff" * 32, self.kim.cookies["__Host-coffer"][:-2] + "00", "x", ""):
            lured.cookies = {"__Host-coffer": planted}
            lured.sign_in("lee", OWN_PASSWORD)
            session = lured.cookies["__Host-coffer"]
            self.assertNotEqual(session, planted)
            thief = Client(self.office.address)
            thief.cookies = {"__Host-coffer": planted}
            self.assertEqual(thief.get("/search").to, "/sign-in?next=%2Fsearch")
        # The form's cookie of another browser brings nothing either.
        lured.cookies = {"__Host-coffer": session, "__Host-coffer-form": "00" * 32}
        self.assertEqual(lured.get("/search").status, 200)

    def test_paths_lead_nowhere_else(self):
        secrets = [b"root:", SECRET.encode(), (self.office.data / "identity").read_bytes()[:64]]
        for client in (self.kim, Client(self.office.address)):
            for path in PATHS:
                with self.subTest(path):
                    answer = client.ask("GET", path)
                    self.assertLess(answer.status, 500)
                    self.assertEqual([one for one in secrets if one in answer.body], [])
                    self.assertNotIn(("Set-Cookie", "x=y"), answer.fields)
                    self.assertRegex(answer.to or "/", r"^/(?![/\\])")

    def test_numbers_guessed_tell_nothing(self):
        """Every number that there is and some that are not, as the colleague and as nobody: the same answer for all but one's own."""
        theirs, last = self.numbers[SECRET], max(self.numbers.values())
        rests = ("", "?view=text", "/source", "/proof", ".eml", "/html/0", "/file/0", "/picture/0")
        nothing = self.kim.get("/message/999999999").main
        for number in [theirs, *range(last + 1, last + 40), 2**63, 2**64 - 1]:
            for rest in rests:
                answer = self.kim.get(f"/message/{number}{rest}")
                self.assertEqual((answer.status, answer.main), (404, nothing), f"{number}{rest}")
        mine = self.numbers[HARMLESS["name"]]
        for rest in rests:
            for client in (self.lee, self.chef):
                answer = client.get(f"/message/{mine}{rest}")
                self.assertEqual((answer.status, answer.main), (404, nothing), rest)
            to = Client(self.office.address).get(f"/message/{mine}{rest}").to
            self.assertTrue(to.startswith("/sign-in?next="), to)
        found = self.kim.get(f"/search?q={quote(SECRET_WORD)}").text
        self.assertIn("Nothing found", found)

    def test_exports_of_others_are_not_there(self):
        """What was chosen by numbers holds one's own alone; an id that somebody overheard opens nothing."""
        mine, theirs = self.numbers[HARMLESS["name"]], self.numbers[SECRET]
        order = [("which", "chosen"), ("format", "mbox"), ("q", ""), ("number", mine), ("number", theirs)]
        body = urlencode([("token", self.kim.token()), *order])
        job = self.kim.ask("POST", "/exports", body.encode()).to
        self.assertRegex(job, "^/exports/[0-9a-zA-Z_-]{16,}$")
        done = wait_for("the export", lambda: self.kim.get(f"{job}/file").status == 200 and self.kim.get(f"{job}/file"))
        self.assertNotIn(SECRET_WORD, done.text)
        self.assertEqual(done.text.count("\nX-Case: "), 1)
        for client in (self.lee, self.chef):
            nothing = client.get("/exports/" + "0" * (len(job) - len("/exports/")))
            for rest in ("", "/file"):
                answer = client.get(job + rest)
                self.assertEqual((answer.status, answer.main), (404, nothing.main), rest)
            for deed in ("cancel", "again"):
                self.assertEqual(client.send(f"{job}/{deed}", {}).status, 404, deed)
        self.assertEqual(self.kim.get(f"{job}/file").status, 200)

    def test_programs_see_what_their_person_sees(self):
        """A token opens no more than the page does, cookies open nothing there, and neither does a token that is not one."""
        theirs = self.numbers[SECRET]
        form = {"name": "backup", "bond": "staff/mail", "days": "30", "password": OWN_PASSWORD}
        page = self.kim.send("/account/tokens/make", form).text
        token = re.search(r'<p class="mono">([^<]+)</p>', page)[1]
        program = Client(self.office.address)
        as_kim = {"Authorization": f"Bearer {token}"}
        own = program.get("/api/v1/search?q=" + quote(SECRET_WORD), as_kim)
        self.assertEqual(own.status, 200, own.text)
        self.assertNotIn(SECRET, own.text)
        nothing = program.get("/api/v1/messages/999999999", as_kim)
        for rest in ("", "/raw", "/proof"):
            answer = program.get(f"/api/v1/messages/{theirs}{rest}", as_kim)
            self.assertEqual((answer.status, answer.body), (404, nothing.body), rest)
        for fields in ({}, {"Authorization": "Bearer " + "0" * len(token)}, {"Authorization": f"Bearer {token[:-1]}"},
                       {"Authorization": f"Bearer {self.kim.cookies['__Host-coffer']}"}):
            for client in (program, self.kim):
                self.assertEqual(client.get("/api/v1/search?q=x", fields).status, 401)
