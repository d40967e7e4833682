"""A zip with one form only: stored, no time, no attributes. Same files, same bytes.

`custody/audit/verify.py` accepts nothing else, so that no byte of a bundle can change unseen.
"""

import struct
import zlib
from collections.abc import Mapping

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION = 20
_DATE = 0x21  # 1980-01-01, the first day a zip can name
FILES_MAX = 0xFFFF
BYTES_MAX = 0xFFFFFFFF


def write(files: Mapping[str, bytes]) -> bytes:
    """The archive of `files` in their order. Names are ASCII.

    Raises ValueError beyond what a plain zip can hold: 65,535 files or 4 GiB.
    """
    body, directory = bytearray(), bytearray()
    for name, data in files.items():
        raw, offset = name.encode("ascii"), len(body)
        if offset + len(data) > BYTES_MAX or len(files) > FILES_MAX:
            raise ValueError("the bundle is too large for a plain zip")
        common = (0, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(raw))
        body += _LOCAL.pack(b"PK\x03\x04", _VERSION, *common, 0) + raw + data
        directory += _CENTRAL.pack(
            b"PK\x01\x02", _VERSION, _VERSION, *common, 0, 0, 0, 0, 0, offset
        )
        directory += raw
    end = _END.pack(b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return bytes(body + directory + end)
