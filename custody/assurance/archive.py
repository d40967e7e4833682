"""A zip with one form only: stored, no time, no attributes. Same files, same bytes.

`custody/audit/verify.py` accepts nothing else, so that no byte of a bundle can change unseen.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION = 20
_DATE = 0x21  # 1980-01-01, the first day a zip can name
FILES_MAX = 0xFFFF
BYTES_MAX = 0xFFFFFFFF


PIECE_BYTES = 2**20


def write(files: Mapping[str, bytes]) -> bytes:
    """The archive of `files` in their order. Names are ASCII.

    Raises ValueError beyond what a plain zip can hold: 65,535 files or 4 GiB.
    """
    return b"".join(pieces(files))


def size(files: Mapping[str, bytes]) -> int:
    """Bytes of the archive. Raises ValueError as `write`."""
    body = directory = count = 0
    for name, data in files.items():
        raw = name.encode("ascii")
        body += _LOCAL.size + len(raw) + len(data)
        directory += _CENTRAL.size + len(raw)
        count += 1
    if body > BYTES_MAX or count > FILES_MAX:
        raise ValueError("the bundle is too large for a plain zip")
    return body + directory + _END.size


def pieces(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """The same, a piece at a time: no file is held twice. Raises as `write`, before the first."""
    size(files)
    directory, offset, count = bytearray(), 0, 0
    for name, data in files.items():
        raw = name.encode("ascii")
        common = (0, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(raw))
        yield _LOCAL.pack(b"PK\x03\x04", _VERSION, *common, 0) + raw
        for start in range(0, len(data), PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]
        directory += _CENTRAL.pack(
            b"PK\x01\x02", _VERSION, _VERSION, *common, 0, 0, 0, 0, 0, offset
        )
        directory += raw
        offset, count = offset + _LOCAL.size + len(raw) + len(data), count + 1
    yield bytes(directory)
    yield _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), offset, 0)


def digest(files: Mapping[str, bytes]) -> str:
    """`sha256:` and the hash of the archive. Raises as `write`."""
    running = hashlib.sha256()
    for piece in pieces(files):
        running.update(piece)
    return f"sha256:{running.hexdigest()}"
