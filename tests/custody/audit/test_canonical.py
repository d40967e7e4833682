"""Canonical JSON against RFC 8785's vectors and an independent implementation."""

import json
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from custody.audit import verify
from custody.core import canonical
from tests.custody.audit.vectors import FOLDER, files, needs_vectors

pytestmark = pytest.mark.unit

OUTSIDE = {"arrays", "structures", "unicode", "values", "weird", "french"}
"""Vectors with floats or keys beyond ASCII: this subset refuses what it cannot be sure of."""


@needs_vectors
@pytest.mark.parametrize("path", files("jcs/input/*.json"), ids=lambda p: p.stem)
def test_vector_is_canonicalised_or_refused(path: Path) -> None:
    value = json.loads(path.read_text())
    expected = (FOLDER / "jcs" / "output" / path.name).read_bytes()
    try:
        assert canonical.encode(value) == expected
    except ValueError:
        assert path.stem in OUTSIDE


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
