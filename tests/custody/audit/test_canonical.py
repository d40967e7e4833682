"""Canonical JSON against RFC 8785's vectors and an independent implementation."""

import json
from pathlib import Path
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from custody.audit import log, verify
from custody.audit.events import EVENTS, EventKind
from custody.audit.fields import FieldType
from custody.core import canonical
from custody.core.ids import PREFIXES
from tests.custody.audit.entries import AT
from tests.custody.audit.vectors import FOLDER, files, needs_vectors

pytestmark = pytest.mark.unit

OUTSIDE = {
    "french": "not ASCII",
    "structures": "float",
    "values": "float",
    "weird": "not ASCII",
}
"""Vectors with floats or keys beyond ASCII, which this subset refuses, and why; the others it has
byte for byte."""


@needs_vectors
@pytest.mark.parametrize("path", files("jcs/input/*.json"), ids=lambda p: p.stem)
def test_vector_is_canonicalised_or_refused(path: Path) -> None:
    value = json.loads(path.read_text())
    expected = (FOLDER / "jcs" / "output" / path.name).read_bytes()
    spaced = (FOLDER / "jcs" / "outhex" / path.with_suffix(".txt").name).read_text()
    assert bytes.fromhex(spaced.replace("\n", " ")) == expected == rfc8785.dumps(value)
    if path.stem in OUTSIDE:
        with pytest.raises(ValueError, match=OUTSIDE[path.stem]):
            canonical.encode(value)
    else:
        assert canonical.encode(value) == expected
        assert verify.parse_canonical(expected, "here") == value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-canonical.SAFE_INTEGER, canonical.SAFE_INTEGER)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_same_bytes_as_an_independent_implementation(value: canonical.Json) -> None:
    data = canonical.encode(value)
    assert data == rfc8785.dumps(value)
    assert verify.parse_canonical(data, "here") == value
    assert verify.canonical(value) == data


def values_of(type_: FieldType) -> st.SearchStrategy[canonical.Json]:
    """Values that a field of this type accepts."""
    asset = "eip155:1/erc20:0x" + "ab" * 20
    known: list[canonical.Json] = [
        *("0", "1", str(2**256 - 1), "-5", "-1", asset, True, False, [], {}, {"f": "0" * 64}),
        *("0x" + "ab" * 32, "sha256:" + "0" * 64, "0x" + "Ab" * 20, "ab" * 32, "ab" * 64),
        "2026-01-02T03:04:05.000006Z",
        *(f"{prefix}_{'0' * 32}" for prefix in PREFIXES.values()),
    ]
    fixed = [value for value in known if type_.accepts(value)]
    free = json_values.filter(lambda v: v not in (None, "") and type_.accepts(v))
    if type_.accepts("any text"):
        return st.sampled_from(fixed) | st.text(min_size=1, max_size=20)
    return st.sampled_from(fixed) | free if type_.accepts({"a": 1}) else st.sampled_from(fixed)


@st.composite
def events(draw: st.DrawFn) -> tuple[EventKind, dict[str, canonical.Json]]:
    """Any event that its schema takes."""
    kind = draw(st.sampled_from(EventKind))
    data = {}
    for name, (type_, required) in EVENTS[kind].fields.items():
        if required or draw(st.booleans()):
            data[name] = draw(values_of(type_))
    return kind, data


@given(events())
def test_every_entry_is_canonical_by_construction(
    event: tuple[EventKind, dict[str, canonical.Json]],
) -> None:
    """Of every kind, and of everything its fields take: the bytes of an independent encoder."""
    kind, data = event
    body = log.encode(UUID(int=1), UUID(int=2), kind, data, AT)
    value = json.loads(body)
    assert body == rfc8785.dumps(value)
    assert verify.parse_canonical(body, "entry") == value
    assert value["data"] == data
    assert len(body) <= log.ENTRY_BYTES_MAX


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"b":1,"a":2}',
        '{"a": 1}',
        '{"a":1.0}',
        '{"a":1e2}',
        '{"a":NaN}',
        '{"a":"\\u0041"}',
        '{"a":-0}',
        '{"a":1}\n',
        "[" * 100_000,
    ],
)
def test_verifier_refuses_what_is_not_canonical(text: str) -> None:
    with pytest.raises(verify.Wrong):
        verify.parse_canonical(text.encode(), "here")
