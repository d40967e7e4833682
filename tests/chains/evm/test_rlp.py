"""RLP against the `rlp` package, and strictness."""

import pytest
import rlp as oracle  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from chains.evm import rlp

pytestmark = pytest.mark.unit

items = st.recursive(
    st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6), max_leaves=30
)


@given(items)
def test_agrees_with_the_oracle_and_round_trips(item: rlp.Item) -> None:
    encoded = rlp.encode(item)
    assert encoded == oracle.encode(item)
    assert rlp.decode(encoded) == item


@pytest.mark.parametrize("length", [55, 56, 255, 256, 65535, 65536])
def test_lengths_at_the_edges(length: int) -> None:
    data = b"\xaa" * length
    assert rlp.encode(data) == oracle.encode(data)
    assert rlp.decode(rlp.encode([data])) == [data]


@given(st.binary(max_size=60))
def test_only_the_canonical_form_is_read(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except ValueError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8100",  # a small byte with a prefix
        "b800",
        "b801aa",  # long form for a short length
        "b837" + "aa" * 55,
        "f837" + "c0" * 55,
        "b90037" + "aa" * 55,  # leading zero in the length
        "83aaaa",  # ends early
        "c3aaaa",  # list ends early
        "c20083",  # item reaches beyond its list
        "8000",  # trailing bytes
        "f7",
        "ff",
        "c1" * 40 + "c0",
    ],
)
def test_malformed_bytes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="RLP"):
        rlp.decode(bytes.fromhex(text))


@pytest.mark.parametrize("raw", [b"\0", b"\0\1", b"\1" * 33])
def test_an_integer_has_one_form(raw: bytes) -> None:
    with pytest.raises(ValueError, match="integer"):
        rlp.as_int(raw)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="list of 2"):
        rlp.as_list([b""], 2)
    with pytest.raises(ValueError, match="list"):
        rlp.as_list(b"")
    with pytest.raises(ValueError, match="20 bytes"):
        rlp.as_bytes(b"", 20)
