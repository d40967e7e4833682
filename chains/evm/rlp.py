"""RLP, encode and strict decode.

An item is bytes or a list of items. Decoding accepts only the canonical form and no trailing
bytes, so that one transaction has one encoding and what was checked is what is sent.
"""

from collections.abc import Sequence

Item = bytes | Sequence["Item"]

_BYTES = tuple(bytes([value]) for value in range(256))
"""Each byte, made once: a transaction has a dozen prefixes."""


def encode(item: Item) -> bytes:
    """Canonical RLP of an item."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    return wrap(join(item))


def join(items: Sequence[Item]) -> bytes:
    """The items' encodings one after another: what a list holds, without its prefix."""
    return b"".join([encode(item) for item in items])


def wrap(body: bytes) -> bytes:
    """The list that holds `body`. Requires what `join` made, or several of them in a row."""
    return _prefix(len(body), 0xC0) + body


def encode_int(value: int) -> bytes:
    """Big-endian without leading zeros; zero is empty. Requires value >= 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """Inverse of `encode`. Raises ValueError on anything not canonical."""
    item, end = _decode_at(data, 0, len(data), 0)
    if end != len(data):
        raise ValueError("RLP: trailing bytes")
    return item


def as_list(item: Item, length: int | None = None) -> Sequence[Item]:
    """The item as a list, of a length if one is given. Raises ValueError."""
    if isinstance(item, bytes) or (length is not None and len(item) != length):
        raise ValueError(f"RLP: expected a list of {length if length is not None else 'items'}")
    return item


def as_bytes(item: Item, length: int | None = None) -> bytes:
    """The item as bytes, of a length if one is given. Raises ValueError."""
    if not isinstance(item, bytes) or (length is not None and len(item) != length):
        raise ValueError(f"RLP: expected {length if length is not None else 'some'} bytes")
    return item


def as_int(item: Item) -> int:
    """The item as an unsigned integer of at most 256 bits. Raises ValueError."""
    raw = as_bytes(item)
    if len(raw) > 32 or raw[:1] == b"\0":
        raise ValueError("RLP: not a canonical integer")
    return int.from_bytes(raw, "big")


def _prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return _BYTES[offset + length]
    size = encode_int(length)
    return _BYTES[offset + 55 + len(size)] + size


def _decode_at(data: bytes, at: int, limit: int, depth: int) -> tuple[Item, int]:
    """The item that starts at `at` and the offset after it. Requires limit <= len(data)."""
    if at >= limit:
        raise ValueError("RLP: ends early")
    if depth > 16:
        raise ValueError("RLP: nested too deep")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, length = _length(data, at, limit, first - (0xC0 if is_list else 0x80))
    end = start + length
    if end > limit:
        raise ValueError("RLP: ends early")
    if is_list:
        return _decode_list(data, start, end, depth), end
    if length == 1 and data[start] < 0x80:
        raise ValueError("RLP: a small byte has no prefix")
    return data[start:end], end


def _decode_list(data: bytes, start: int, end: int, depth: int) -> list[Item]:
    items: list[Item] = []
    at = start
    while at < end:
        item, at = _decode_at(data, at, end, depth + 1)
        items.append(item)
    return items


def _length(data: bytes, at: int, limit: int, code: int) -> tuple[int, int]:
    """Where the content starts and how long it is; `code` is the first byte less its offset."""
    if code < 56:
        return at + 1, code
    size = code - 55
    raw = data[at + 1 : min(at + 1 + size, limit)]
    if len(raw) != size or raw[0] == 0:
        raise ValueError("RLP: bad length")
    length = int.from_bytes(raw, "big")
    if length < 56:
        raise ValueError("RLP: length is not in its short form")
    return at + 1 + size, length
