#!/usr/bin/env python3
"""Checks what leaves the archive against the C2SP texts, with no code of ours.

Written from c2sp.org/signed-note, tlog-checkpoint and tlog-proof (v1) alone, on the PyPI package `cryptography`, so that a mistake
which Coffer makes in writing and in reading alike is noticed. Deliberately reads Ed25519 signatures only.

    c2sp_check.py note       VKEY FILE
    c2sp_check.py checkpoint VKEY FILE [--origin ORIGIN]
    c2sp_check.py proof      VKEY FILE (--leaf HEX | --entry HEX) [--origin ORIGIN]
    c2sp_check.py examples

`--leaf` is a leaf hash, `--entry` the bytes that it is the hash of. ORIGIN is the key's name unless given. FILE may be `-`.
`examples` checks the notes that the specifications print. What was checked is printed as `name: value` lines.
Exit code 0: it holds, 1: it does not, 2: wrong use.
"""

import argparse
import base64
import binascii
import hashlib
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
HASH_BYTES = 32
DECIMAL = re.compile("0|[1-9][0-9]*")


class Refused(Exception):
    """Says in one line why something does not hold."""


def sha256(data):
    return hashlib.sha256(data).digest()


def decode_base64(text, what):
    """Decodes standard base64; anything but the one canonical form is refused."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{what} is not base64: {text}") from None
    if base64.b64encode(data).decode() != text:
        raise Refused(f"{what} is not canonical base64: {text}")
    return data


def decode_hash(text, what):
    data = decode_base64(text, what)
    if len(data) != HASH_BYTES:
        raise Refused(f"{what} has not {HASH_BYTES} bytes: {text}")
    return data


def decode_decimal(text, what):
    if not DECIMAL.fullmatch(text):
        raise Refused(f"{what} is not a plain decimal: {text}")
    return int(text)


def check_key_name(name):
    if not name or "+" in name or any(char.isspace() for char in name):
        raise Refused(f"invalid key name: {name}")


class VerifierKey:
    """signed-note, "Verifier keys": <name>+hex(key id)+base64(type || public key)."""

    def __init__(self, vkey):
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise Refused(f"verifier key has not three parts: {vkey}")
        self.name, key_id, encoded = parts
        check_key_name(self.name)
        typed_key = decode_base64(encoded, "verifier key")
        if typed_key[:1] != ED25519 or len(typed_key) != 1 + 32:
            raise Refused(f"not an Ed25519 verifier key: {vkey}")
        self.key_id = sha256(self.name.encode() + b"\n" + typed_key)[:4]
        if self.key_id.hex() != key_id:
            raise Refused(f"key id is not that of name and key: {vkey}")
        self.public_key = Ed25519PublicKey.from_public_bytes(typed_key[1:])

    def verify(self, text, signature):
        try:
            self.public_key.verify(signature, text.encode())
        except InvalidSignature:
            raise Refused(f"signature does not hold, by key: {self.name}") from None


def parse_signature(line):
    match = re.fullmatch("\u2014 ([^ ]+) ([^ ]+)", line)
    if not match:
        raise Refused(f"malformed signature line: {line}")
    check_key_name(match[1])
    data = decode_base64(match[2], "signature")
    if len(data) <= 4:
        raise Refused(f"signature is too short: {line}")
    return match[1], data[:4], data[4:]


def verify_note(note, key):
    """signed-note, "Format" and "Signatures": returns the text once the key's signature holds."""
    if any(char < " " and char != "\n" for char in note):
        raise Refused("note has a control character")
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise Refused("note has no signature lines")
    text += "\n"
    verified = False
    for name, key_id, signature in map(parse_signature, lines[:-1].split("\n")):
        if (name, key_id) == (key.name, key.key_id):
            key.verify(text, signature)
            verified = True
    if not verified:
        raise Refused("note is not signed by the key")
    return text


def verify_checkpoint(note, key, origin):
    """tlog-checkpoint, "Note text": returns size and root."""
    lines = verify_note(note, key)[:-1].split("\n")
    if len(lines) < 3 or "" in lines:
        raise Refused("checkpoint has missing or empty lines")
    if lines[0] != origin:
        raise Refused(f"checkpoint is of another origin: {lines[0]}")
    return decode_decimal(lines[1], "tree size"), decode_hash(lines[2], "root")


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def root_from_path(leaf, index, size, path):
    """RFC 6962 section 2.1.1, turned round: the path was built from the root down, so its last hash is used first."""
    if size == 1:
        if path:
            raise Refused("path is too long")
        return leaf
    if not path:
        raise Refused("path is too short")
    left_size = 1 << ((size - 1).bit_length() - 1)
    if index < left_size:
        return node_hash(root_from_path(leaf, index, left_size, path[:-1]), path[-1])
    return node_hash(path[-1], root_from_path(leaf, index - left_size, size - left_size, path[:-1]))


def verify_proof(proof, key, origin, leaf):
    """tlog-proof, "Format" and "Verifying a tlog proof": returns index, size, root and the extra data."""
    head, blank, checkpoint = proof.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Refused("not a proof of version 1")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "), "extra data")
    if not lines or not lines[0].startswith("index "):
        raise Refused("proof has no index")
    index = decode_decimal(lines.pop(0).removeprefix("index "), "index")
    path = [decode_hash(line, "hash of the path") for line in lines]
    size, root = verify_checkpoint(checkpoint, key, origin)
    if index >= size:
        raise Refused(f"index outside of a tree of {size} leaves: {index}")
    if root_from_path(leaf, index, size, path) != root:
        raise Refused("path does not lead to the root")
    return index, size, root, extra


def check_examples():
    """The note that signed-note prints holds under the key that it prints, and no longer when changed."""
    key = VerifierKey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    note = (
        "This is an example message.\n\n\u2014 example.com/foo "
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    verify_note(note, key)
    for old, new in (("an", "no"), ("Uw2Q", "Uw2R"), ("Okn8", "Okn9"), ("aQM=", "aQN="), ("\n\n", "\n"), ("foo", "bar")):
        changed = note.replace(old, new)
        assert changed != note
        try:
            verify_note(changed, key)
        except Refused:
            continue
        raise Refused(f"a changed note was accepted: {new}")
    return {"examples": "hold"}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("note", "checkpoint", "proof"):
        command = kinds.add_parser(kind)
        command.add_argument("vkey")
        command.add_argument("file")
        if kind != "note":
            command.add_argument("--origin")
        if kind == "proof":
            leaf = command.add_mutually_exclusive_group(required=True)
            leaf.add_argument("--leaf", type=bytes.fromhex)
            leaf.add_argument("--entry", type=bytes.fromhex)
    kinds.add_parser("examples")
    return parser.parse_args()


def read_text(file):
    data = sys.stdin.buffer.read() if file == "-" else open(file, "rb").read()
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None


def check(arguments):
    if arguments.kind == "examples":
        return check_examples()
    key, text = VerifierKey(arguments.vkey), read_text(arguments.file)
    if arguments.kind == "note":
        verify_note(text, key)
        return {"signer": key.name}
    origin = arguments.origin or key.name
    if arguments.kind == "checkpoint":
        size, root = verify_checkpoint(text, key, origin)
        return {"origin": origin, "size": size, "root": root.hex()}
    leaf = arguments.leaf if arguments.entry is None else sha256(b"\x00" + arguments.entry)
    index, size, root, extra = verify_proof(text, key, origin, leaf)
    found = {"origin": origin, "size": size, "root": root.hex(), "index": index, "leaf": leaf.hex()}
    return found if extra is None else found | {"extra": extra.hex()}


def main():
    arguments = parse_arguments()
    try:
        found = check(arguments)
    except Refused as why:
        print(f"refused: {why}", file=sys.stderr)
        return 1
    except OSError as why:
        print(f"cannot read: {why}", file=sys.stderr)
        return 2
    for name, value in found.items():
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
