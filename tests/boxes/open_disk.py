#!/usr/bin/env python3
"""Opens an archive disk with its recovery key alone, with no code of ours and without root.

Written from the LUKS2 On-Disk Format Specification (1.1.2) and UEFI 2.10 section 5.3, on the PyPI package `cryptography`, so that it is shown
that whoever has the disk and the sheet with the key needs nothing else. Deliberately reads what Coffer makes only: PBKDF2, aes-xts-plain64.

    open_disk.py DISK RECOVERY_KEY OUT

OUT becomes the file system of the archive, as a file with holes; said is where it begins on the disk, in bytes. Exit code 0: done, 1: the key opens nothing, 2: no archive disk.
"""

import base64
import hashlib
import json
import os
import struct
import sys
import uuid

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SECTOR_BYTES = 512
ARCHIVE = uuid.UUID("c5b6749f-f38e-4b75-b49a-2677abf7e1ec")
PIECE_BYTES = 1 << 20


class Refused(Exception):
    """Says in one line why the disk cannot be opened."""


def archive_partition(disk):
    """Gives offset and length of the archive partition in bytes."""
    header = os.pread(disk, SECTOR_BYTES, SECTOR_BYTES)
    if header[:8] != b"EFI PART":
        raise Refused("no partition table")
    first, count, size = struct.unpack_from("<QII", header, 72)
    for number in range(count):
        entry = os.pread(disk, size, first * SECTOR_BYTES + number * size)
        if uuid.UUID(bytes_le=entry[:16]) == ARCHIVE:
            begin, last = struct.unpack_from("<QQ", entry, 32)
            return begin * SECTOR_BYTES, (last + 1 - begin) * SECTOR_BYTES
    raise Refused("no archive partition")


def luks_header(disk, at):
    """Gives the description of a LUKS2 device."""
    binary = os.pread(disk, 4096, at)
    magic, version, length = struct.unpack_from(">6sHQ", binary)
    if (magic, version) != (b"LUKS\xba\xbe", 2):
        raise Refused("no LUKS2 header")
    text = os.pread(disk, length - 4096, at + 4096)
    return json.loads(text[: text.index(b"\0")])


def derive(kdf, secret, length):
    salt = base64.b64decode(kdf["salt"])
    return hashlib.pbkdf2_hmac(kdf["hash"], secret, salt, kdf["iterations"], length)


def decrypt(key, data, first_sector, sector_bytes=SECTOR_BYTES):
    """Decrypts sectors (aes-xts-plain64: the number of the sector of 512 bytes, little-endian)."""
    plain = bytearray()
    for at in range(0, len(data), sector_bytes):
        tweak = struct.pack("<QQ", first_sector + at // SECTOR_BYTES, 0)
        decryptor = Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor()
        plain += decryptor.update(data[at : at + sector_bytes])
    return bytes(plain)


def diffuse(block, hash_name):
    size = hashlib.new(hash_name).digest_size
    pieces = (block[at : at + size] for at in range(0, len(block), size))
    hashed = (hashlib.new(hash_name, struct.pack(">I", number) + piece).digest()[: len(piece)] for number, piece in enumerate(pieces))
    return b"".join(hashed)


def merge(material, key_bytes, stripes, hash_name):
    """The anti-forensic merge of LUKS1 section 2.4."""
    block = bytes(key_bytes)
    for stripe in range(stripes):
        piece = material[stripe * key_bytes : (stripe + 1) * key_bytes]
        block = bytes(one ^ other for one, other in zip(block, piece))
        if stripe + 1 < stripes:
            block = diffuse(block, hash_name)
    return block


def volume_key(disk, at, header, secret):
    digest = header["digests"]["0"]
    for slot in header["keyslots"].values():
        area, split = slot["area"], slot["af"]
        key = derive(slot["kdf"], secret, area["key_size"])
        length = slot["key_size"] * split["stripes"]
        length = -(-length // SECTOR_BYTES) * SECTOR_BYTES
        material = decrypt(key, os.pread(disk, length, at + int(area["offset"])), 0)
        candidate = merge(material, slot["key_size"], split["stripes"], split["hash"])
        expected = base64.b64decode(digest["digest"])
        if derive(digest, candidate, len(expected)) == expected:
            return candidate
    return None


def copy_plain(disk, at, length, segment, key, out):
    """Writes what the segment holds; what was never written stays a hole."""
    begin = int(segment["offset"])
    nothing = bytes(segment["sector_size"])
    out.truncate(length - begin)
    done = 0
    while done < length - begin:
        data = os.pread(disk, min(PIECE_BYTES, length - begin - done), at + begin + done)
        if data.strip(b"\0"):
            for place in range(0, len(data), len(nothing)):
                sector = data[place : place + len(nothing)]
                if sector != nothing:
                    first = (done + place) // SECTOR_BYTES + int(segment["iv_tweak"])
                    os.pwrite(out.fileno(), decrypt(key, sector, first, len(nothing)), done + place)
        done += len(data)


def main(arguments):
    try:
        path, recovery_key, out = arguments
    except ValueError:
        print(__doc__, file=sys.stderr)
        return 2
    disk = os.open(path, os.O_RDONLY)
    at, length = archive_partition(disk)
    header = luks_header(disk, at)
    key = volume_key(disk, at, header, recovery_key.replace("-", "").encode())
    if key is None:
        print("open_disk: the key opens nothing", file=sys.stderr)
        return 1
    with open(out, "wb") as file:
        copy_plain(disk, at, length, header["segments"]["0"], key, file)
    print(at + int(header["segments"]["0"]["offset"]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refused:
        print(f"open_disk: {refused}", file=sys.stderr)
        sys.exit(2)
