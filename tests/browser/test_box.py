"""The pages that only a box has, in Chromium: disks, network, its log, resetting it, updates in each of their states, and the page without an archive."""

import json
import os
import re
import subprocess
import time
import unittest
from datetime import datetime, timedelta, timezone

from .office import PASSWORD, Office
from .window import Window, chromium

GB = 10**9

# What somebody finds who opens the page of a box with two disks, and what a shop has sold him beside them.
DISKS = [
    ("sda", "SanDisk Ultra Fit", "4C530001", 32 * GB, "BootMedium", "0001"),
    ("nvme0n1", "Samsung SSD 980 PRO 1TB", "S5GXNX0T123456", 1000 * GB, "InUse", "3456"),
    ("sdb", "WDC WD10SPZX-22Z10T1", "WD-WXB1A71K5L2P", 1000 * GB, "Blank", "5L2P"),
    ("sdc", "Intenso Ultra Line", "", 64 * GB, {"Foreign": ["FAT32 „URLAUB“", "NTFS"]}, "(sdc)"),
    ("sdd", "ST1000LM048-2E7172", "ZDE7Q0HK", 1000 * GB, "Unreadable", "Q0HK"),
]

LOCKED = ("sde", "Samsung Portable SSD T7", "S6XNNS0W801234", 2000 * GB, "Locked", "1234")

NETWORK = {
    "texts": {"hostname": "coffer", "address": "192.168.178.40/24", "router": "192.168.178.1", "dns": "192.168.178.1", "ntp": ""},
    "unconfirmed_s": None,
    "addresses": ["192.168.178.40", "fe80::3a7c:76ff:fe12:9a01", "2001:db8:51a:7e00:3a7c:76ff:fe12:9a01"],
}

LOG = "".join(
    f"{12.5 + 0.75 * line:10.3f} {who}: {what}\n"
    for line, (who, what) in enumerate(60 * [
        ("kernel", "EXT4-fs (dm-0): mounted filesystem 3f6c1b7e-0a52-4f3e-9d0b-7a1f2c9d8e11 r/w with ordered data mode. Quota mode: none."),
        ("network", "address 192.168.178.40/24 from 192.168.178.1 for 864000 s"),
        ("archive", "a checkpoint was signed over 48213 entries"),
        ("updates", "there is nothing newer than 1.4.0"),
    ]))

NOTES = {
    "de": "Die Suche findet jetzt auch Wortteile. Behebt, dass eine zweite Festplatte nach einem Stromausfall nicht immer von selbst dazukam.",
    "en": "Searches find parts of words, too. Mends that a second disk did not always join by itself after a power cut.",
}


def moment(**ago):
    """A moment so long ago, as updates write it."""
    then = datetime.now(timezone.utc) - timedelta(**ago)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def disks(*rows):
    """Disks as the machine tells of them."""
    names = ("name", "model", "serial", "bytes", "state", "confirmation")
    return [dict(zip(names, row)) for row in rows]


def updates(doing="Nothing", on_trial=False, before="1.3.2", has_source=True, brought=None, withdrawn=False, too_old=None, **memory):
    """How updates stand, with what is remembered."""
    usual = {"checked_at": moment(hours=2), "supported_until": moment(days=-700)}
    return {
        "has_source": has_source, "running": "1.4.0", "is_on_trial": on_trial, "before": before, "doing": doing, "brought": brought,
        "is_withdrawn": withdrawn, "too_old": too_old,
        "next_window_s": int(time.time()) // 86_400 * 86_400 + 86_400 + 3 * 3_600, "memory": usual | memory}


def entry(days, version, outcome):
    """A line of what happened."""
    return {"at": moment(days=days), "version": version, "outcome": outcome}


AVAILABLE = {"version": "1.5.0", "notes": NOTES, "length": 61_400_000, "seen_at": moment(hours=5)}

PAST = [entry(40, "1.4.0", "good"), entry(41, "1.4.0", "installed"), entry(130, "1.3.2", "good")]

LOST = {"unproved": ["smtp", "connect: Connection refused (os error 111)"]}

# Each with texts that must stand there.
UPDATES = {
    "never-checked": (updates(before=None, checked_at=None, supported_until=None), ["updates-newest"]),
    "no-source": (updates(has_source=False, before=None), ["updates-no-source"]),
    "newest": (updates(history=PAST), ["updates-newest"]),
    "checking": (updates("Checking", history=PAST), ["updates-checking"]),
    "waits-for-the-night": (updates(available=AVAILABLE, history=PAST), ["updates-install"]),
    "fetching": (updates("Fetching", available=AVAILABLE, history=PAST), ["updates-fetching"]),
    "installing": (updates("Installing", available=AVAILABLE, history=PAST), ["updates-installing"]),
    "restarting": (updates("Restarting", available=AVAILABLE, history=PAST), ["updates-restarting"]),
    "on-trial": (updates(on_trial=True, history=[entry(0, "1.4.0", "installed"), *PAST]), ["updates-on-trial"]),
    "failed": (
        updates(refused=["1.5.0", {"FailedBefore": "1.5.0"}], failed=["1.5.0"],
                history=[entry(1, "1.5.0", {"failed": LOST}), entry(1, "1.5.0", "installed"), *PAST]),
        ["updates-again", "proof-smtp", "reason-refused"]),
    "failed-silently": (
        updates(history=[entry(1, "1.5.0", {"failed": "silent"}), entry(2, "1.4.9", {"failed": "memory"}),
                         entry(3, "1.4.8", {"not-installed": "No space left on device (os error 28)"}), *PAST]),
        ["failure-silent", "failure-memory", "reason-full"]),
    "went-back": (updates(before=None, history=[entry(0, "1.5.0", "left"), *PAST]), ["outcome-left"]),
    "paused": (updates(available=AVAILABLE, paused_until=moment(days=-6), history=PAST), ["updates-resume"]),
    "unreachable": (
        updates(checked_at=moment(days=20), unchecked={"since": moment(days=19), "why": "connect: Connection timed out (os error 110)"}),
        ["reason-slow"]),
    "brought-in-vain": (
        updates(brought={"Refused": "metadata is refused: timestamp: signed by 0 of the 1 keys that are needed"}),
        ["brought-refused", "reason-not-signed"]),
    "brought-for-others": (updates(brought={"Unsuitable": ["1.5.0", {"WrongBoard": "aarch64-uefi"}]}), ["brought-refused"]),
    "brought-nothing-new": (updates(brought="Newest"), ["brought-newest"]),
    "brought-stale": (
        updates(brought={"Stale": {"version": "1.5.0", "expired": moment(days=12)}}), ["brought-stale", "updates-upload"]),
    "withdrawn": (updates(withdrawn=True, history=PAST), ["updates-back-withdrawn"]),
    "too-old-to-go-back": (updates(before=None, too_old="1.3.2", history=PAST), ["updates-back-title"]),
    "needs-another-first": (updates(refused=["2.0.0", {"NeedsAtLeast": "1.9.0"}]), ["updates-check"]),
}


class Box(Office):
    """A box whose machine says what it is told to."""

    def __init__(self, *options):
        super().__init__("box")
        self.options = options
        self.says()

    def says(self, disks=disks(*DISKS), network=NETWORK, updates=UPDATES["newest"][0], refusal=None, recovery=None):
        """Has the machine say this from now on."""
        fresh = self.folder / "machine.new"
        fresh.write_text(json.dumps([disks, network, LOG, updates, refusal, recovery]))
        fresh.rename(self.folder / "machine.json")

    def serve(self):
        """Serves until `stop`."""
        command = [os.environ["COFFER_BOX"], self.folder, *self.options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line == "ready\n":
                return self
            key, _, value = line.strip().partition(": ")
            self.said[key] = value
        raise AssertionError("the box did not become ready")

    def stop(self):
        """Stops the program in order."""
        process, self.process = self.process, None
        process.communicate()
        assert process.returncode == 0, process.returncode


class Machine(unittest.TestCase):
    """An operator at the pages of his box."""

    def begin(self, *options):
        """Serves a box, and opens a window on it."""
        self.box = Box(*options)
        self.addCleanup(self.box.end)
        self.box.serve()
        window = Window(self.enterContext(chromium()), self.box.address)
        self.addCleanup(window.close)
        return window

    def begin_claimed(self):
        """The same, as the operator."""
        chef = self.begin()
        chef.open("/")
        answers = {"code": self.box.said["claim code"], "name": "chef", "password": PASSWORD, "password-again": PASSWORD}
        chef.send("/claim", answers)
        chef.is_at("/setup")
        return chef

    def test_disks_network_and_log(self):
        """Each is looked at as it is, and with what can go wrong."""
        chef = self.begin_claimed()
        chef.open("/machine")
        chef.examine("box-machine")
        self.box.says(disks=disks(*DISKS, LOCKED))
        chef.examine("box-machine-locked")
        self.box.says(disks=[])
        chef.examine("box-machine-no-disk")
        self._makes_a_disk(chef)
        self._changes_the_network(chef)
        for path in ("/machine/log", "/machine/log?of=kept", "/machine/log?find=EXT4"):
            self.box.says()
            chef.open(path)
            chef.examine("box" + re.sub("[^a-z]+", "-", path))
        chef.open("/machine")
        chef.send("/machine/restart")
        chef.sees("machine-restarts", "[role=status]")
        chef.examine_here("box-restarts")
        chef.open("/log")
        chef.examine("box-log")
        self.box.stop()

    def _makes_a_disk(self, chef):
        wanted = {"disk": "sdb", "confirmation": "5L2P"}
        self.box.says(refusal="WrongConfirmation")
        chef.open("/machine")
        chef.send("/machine/disk", wanted)
        chef.sees("disk-wrong-confirmation", ".trouble")
        chef.examine_here("box-disk-refused")
        self.box.says(refusal={"Failed": "mke2fs: Input/output error (os error 5)"})
        chef.send("/machine/disk", wanted)
        self.assertIn(chef.text("reason-disk"), chef.at(".trouble").first.inner_text())
        self.box.says()
        chef.send("/machine/disk", wanted)
        chef.sees("recovery-key")
        chef.examine_here("box-recovery-key")

    def _changes_the_network(self, chef):
        chef.open("/machine/network")
        chef.examine("box-network")
        self.box.says(refusal={"WrongNetwork": "Address"})
        chef.send("/machine/network", {"address": "192.168.178.400/24"})
        chef.sees("network-wrong-address", ".trouble")
        chef.examine_here("box-network-refused")
        self.box.says()
        chef.send("/machine/network", {"address": "192.168.178.41/24"})
        chef.sees("network-on-trial", "[role=status]")
        chef.examine_here("box-network-on-trial")
        self.box.says(network=NETWORK | {"unconfirmed_s": 97})
        chef.open("/machine/network")
        chef.examine("box-network-unconfirmed")
        self.box.says()

    def test_updates(self):
        """In each state in which they can be."""
        chef = self.begin_claimed()
        for name, (state, texts) in UPDATES.items():
            self.box.says(updates=state)
            chef.open("/updates")
            said = chef.at("main").inner_text()
            for key in texts:
                self.assertIn(chef.text(key).split("{")[0], said, name)
            chef.examine(f"box-updates-{name}")
        for state in ("waits-for-the-night", "unreachable"):
            self.box.says(updates=UPDATES[state][0])
            chef.open("/state")
            chef.examine(f"box-state-{state}")
        self._uploads(chef)
        self._deeds(chef)
        self.box.stop()

    def _uploads(self, chef):
        """A file goes up in pieces; the page then says what became of it."""
        file = {"name": "coffer-update-x86_64-uefi.tar", "mimeType": "application/x-tar", "buffer": bytes(range(256)) * 500}
        upload = 'form[action="/updates/upload"] '
        for refusal, said in ((None, "updates-by-hand"), ({"Failed": "an update that is not whole"}, "reason-cut-off")):
            self.box.says(refusal=refusal)
            chef.open("/updates")
            chef.at(upload + "[type=file]").set_input_files(file)
            with chef.page.expect_response("**/updates/upload"):
                chef.at(upload + "button").click()
            chef.page.wait_for_function("text => document.querySelector('main').innerText.includes(text)", arg=chef.text(said).split("{")[0])
        chef.examine_here("box-updates-upload-refused")
        self.box.says()
        chef.open("/log")
        self.assertIn(chef.text("log-update-upload"), chef.at("main").inner_text())

    def _deeds(self, chef):
        """What somebody asks for stands in the log, also what the machine then does not do."""
        self.box.says(updates=UPDATES["waits-for-the-night"][0], refusal={"Failed": "updates cannot be asked about: Connection refused (os error 111)"})
        chef.open("/updates")
        chef.send("/updates/install")
        chef.at(".trouble").first.wait_for()
        chef.examine_here("box-updates-refused")
        self.box.says(updates=UPDATES["waits-for-the-night"][0])
        chef.open("/updates")
        chef.send("/updates/pause", {"days": "7"})
        chef.is_at("/updates")
        chef.open("/log")
        said = chef.at("main").inner_text()
        for text in (chef.text("log-update-install"), "Keine Updates für 7 Tage"):
            self.assertIn(text, said)

    def test_no_archive(self):
        """Before there is an archive disk a page lets one be made."""
        window = self.begin("waiting")
        fresh = [disk for disk in DISKS if disk[4] != "InUse"]
        for name, rows in (("disks", fresh), ("locked", [*fresh, LOCKED]), ("no-disk", [])):
            self.box.says(disks=disks(*rows))
            window.open("/")
            window.examine(f"box-waiting-{name}")
        self.box.says(disks=disks(*fresh), refusal="WrongClaimCode")
        window.open("/")
        window.send("/disk", {"disk": "sdb", "confirmation": "5L2P", "code": "AAAA"})
        window.sees("claim-wrong", ".trouble")
        window.examine_here("box-waiting-refused")
        self.box.says(disks=disks(*fresh))
        window.send("/disk", {"disk": "sdb", "confirmation": "5L2P", "code": "AAAA"})
        window.sees("recovery-key")
        window.examine_here("box-waiting-recovery-key")
        self.box.stop()

    def test_recovery(self):
        """A version that only helps out: it asks for the code, and then shows what there is."""
        window = self.begin("waiting")
        others = [["1.4.0", True], ["1.5.0", False]]
        for name, why in (("slot", "NothingElseStarts"), ("too-old", {"TooOld": "1.5.0"})):
            recovery = {"running": "1.2.0", "why": why, "others": others}
            self.box.says(recovery=recovery)
            window.open("/")
            window.sees("recovery-title")
            window.examine(f"box-recovery-{name}")
        window.send("/recovery", {"code": "wrong"})
        window.sees("claim-wrong", ".trouble")
        self.box.says(recovery=recovery, updates=UPDATES["brought-stale"][0])
        window.send("/recovery", {"code": "ABCD-EFGH"})
        window.at('form[action="/recovery/start"]').first.wait_for()
        self.assertIn("1.5.0", window.at("main").inner_text())
        window.examine_here("box-recovery-entered")
        window.send("/recovery/start")
        window.sees("machine-restarts", "[role=status]")
        window.examine_here("box-recovery-restarts")
        self.box.stop()
