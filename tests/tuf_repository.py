#!/usr/bin/env python3
"""Makes TUF repositories with python-tuf, and follows them with its client: a second opinion on what coffer update trusts.

    tuf_repository.py make   FOLDER
    tuf_repository.py serve  FOLDER
    tuf_repository.py follow METADATA_DIR METADATA_URL TARGETS_URL TARGET_DIR NAME…

`make` writes FOLDER/consistent and FOLDER/plain, each with the generations 1 to 3 of a repository as static files: 2 has other keys for
every role, and the versions of timestamp and snapshot begin anew; 3 has other targets. `serve` is a web server on a free port, which is
the first line that it prints. `follow` ends with 0 when python-tuf trusts all and has the targets.
"""

import copy
import sys
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient import Updater

EXPIRES = (datetime.now(timezone.utc) + timedelta(days=30)).replace(microsecond=0)
ED25519 = CryptoSigner.generate_ed25519
ECDSA = CryptoSigner.generate_ecdsa
RSA = CryptoSigner.generate_rsa
GENERATIONS = 3


def unpublished(signed):
    """What has the version 1 only when it is signed."""
    signed.version = 0
    return signed


class Repository:
    """One generation after the other; `files` is what its server gives out."""

    def __init__(self, consistent):
        self.files = {}
        self.contents = {}
        self.signers = {}
        self.root = unpublished(Root(consistent_snapshot=consistent, expires=EXPIRES))
        self.roles = {"targets": unpublished(Targets(expires=EXPIRES))}
        self.snapshot = unpublished(Snapshot(expires=EXPIRES))
        self.timestamp = unpublished(Timestamp(expires=EXPIRES))
        self.timestamp.snapshot_meta = MetaFile(1)
        self.add_key_types(ED25519, ECDSA, RSA, ED25519)
        self.delegate("targets", "mail/größe", paths=["mail/*"])
        self.delegate("mail/größe", "below", paths=["mail/*.eml"])
        self.delegate("targets", "bin-0-7", path_hash_prefixes=list("01234567"))
        self.delegate("targets", "bin-8-f", path_hash_prefixes=list("89abcdef"))
        self.publish_root([])

    def add_key_types(self, root, timestamp, snapshot, targets):
        """Gives every top-level role new keys; the root two of three."""
        kinds = {"timestamp": timestamp, "snapshot": snapshot, "targets": targets}
        self.signers["root"] = [root() for _ in range(3)]
        self.root.roles["root"].threshold = 2
        for role, make in kinds.items():
            self.signers[role] = [make()]
        for role in ["root", *kinds]:
            for key in list(self.root.roles[role].keyids):
                self.root.revoke_key(key, role)
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)

    def delegate(self, delegator, name, **paths):
        self.signers[name] = [ECDSA()]
        key = self.signers[name][0].public_key
        role = DelegatedRole(name, [], 1, False, **paths)
        parent = self.roles[delegator]
        if parent.delegations is None:
            parent.delegations = Delegations({}, {})
        parent.delegations.roles[name] = role
        parent.add_key(key, name)
        self.roles[name] = unpublished(Targets(expires=EXPIRES))

    def add_target(self, role, path, content):
        self.roles[role].targets[path] = TargetFile.from_data(path, content, ["sha512", "sha256"])
        self.contents[path] = content

    def sign(self, role, signed, signers):
        signed.version += 1
        metadata = Metadata(copy.deepcopy(signed))
        for signer in signers:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        name = quote(role, "")
        self.files[f"metadata/{signed.version}.{name}.json"] = data
        self.files[f"metadata/{name}.json"] = data
        return MetaFile(signed.version, len(data), {"sha256": sha256(data).hexdigest()})

    def publish_root(self, former_signers):
        self.sign("root", self.root, former_signers[:2] + self.signers["root"][1:])

    def publish(self):
        for role, targets in self.roles.items():
            listed = self.sign(role, targets, self.signers[role])
            self.snapshot.meta[f"{role}.json"] = listed
        listed = self.sign("snapshot", self.snapshot, self.signers["snapshot"])
        self.timestamp.snapshot_meta = listed
        self.sign("timestamp", self.timestamp, self.signers["timestamp"])
        for role in self.roles.values():
            for path, target in role.targets.items():
                self.publish_target(path, target)

    def publish_target(self, path, target):
        folder, slash, name = quote(path).rpartition("/")
        self.files[f"targets/{quote(path)}"] = self.contents[path]
        for digest in target.hashes.values():
            self.files[f"targets/{folder}{slash}{digest}.{name}"] = self.contents[path]

    def rotate(self):
        former = self.signers["root"]
        self.add_key_types(ECDSA, ED25519, ED25519, RSA)
        self.publish_root(former)
        self.timestamp.version = 0
        self.snapshot.version = 0


def bin_of(path):
    return "bin-0-7" if sha256(path.encode()).hexdigest()[0] in "01234567" else "bin-8-f"


def add_targets(repository, generation):
    content = f"generation {generation}\n".encode()
    repository.add_target("targets", "coffer.efi", content * 100_000)
    repository.add_target("mail/größe", "mail/read me.txt", content)
    repository.add_target("below", "mail/one.eml", content * 2)
    for path in ["notes-de.txt", "notes-en.txt", "board.json"]:
        repository.add_target(bin_of(path), path, content + path.encode())


def make(folder):
    for consistent in [True, False]:
        repository = Repository(consistent)
        for generation in range(1, GENERATIONS + 1):
            if generation == 2:
                repository.rotate()
            add_targets(repository, generation)
            repository.publish()
            write(folder / ("consistent" if consistent else "plain") / str(generation), repository)


def write(folder, repository):
    for name, data in repository.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


class Handler(BaseHTTPRequestHandler):
    """Gives out the files whose names are the addresses, quoted as they are."""

    def do_GET(self):
        try:
            data = (self.server.folder / self.path.lstrip("/")).read_bytes()
        except OSError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def serve(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder = folder
    print(server.server_address[1], flush=True)
    server.serve_forever()


def follow(metadata_dir, metadata_url, targets_url, target_dir, *names):
    updater = Updater(metadata_dir, metadata_url, target_dir, targets_url, bootstrap=None)
    updater.refresh()
    for name in names:
        target = updater.get_targetinfo(name)
        if target is None:
            sys.exit(f"no such target: {name}")
        updater.download_target(target)


def main(command, *arguments):
    match command:
        case "make":
            make(Path(*arguments))
        case "serve":
            serve(Path(*arguments))
        case "follow":
            follow(*arguments)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
