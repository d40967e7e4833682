"""State proofs: what a trie made here holds is read back; any other form is refused."""

import os
import random
from pathlib import Path

import pytest
import rlp  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.audit import verify
from custody.audit.verify import Wrong
from tests.custody.audit.verifier.paper_chain import PaperAccount, PaperChain
from tests.fixtures.tries import EMPTY_ROOT, Trie

pytestmark = pytest.mark.unit

nested = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=6), max_leaves=9
)


@given(nested)
@settings(max_examples=300, deadline=None)
def test_rlp_reads_what_the_package_writes(value: object) -> None:
    assert verify.rlp_decode(rlp.encode(value), "x") == value


@given(st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_rlp_has_one_form(data: bytes) -> None:
    """What is accepted is, byte for byte, what an encoder writes."""
    try:
        value = verify.rlp_decode(data, "x")
    except Wrong:
        return
    assert rlp.encode(value) == data


OTHER_FORMS = (
    *("", "81", "8100", "817f", "b800", "b80161", "b90001", "c1", "f800", "8080", "c0c0"),
    *("b838" + "00" * 55, "f90038" + "80" * 56, "bfffffffffffffffff", "c1" * 12 + "c0"),
)


@pytest.mark.parametrize("data", OTHER_FORMS)
def test_rlp_in_another_form_is_refused(data: str) -> None:
    with pytest.raises(Wrong):
        verify.rlp_decode(bytes.fromhex(data), "x")


@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=4), st.binary(min_size=1, max_size=40), max_size=60
    ),
    st.binary(min_size=1, max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_trie_values_and_their_absence(items: dict[bytes, bytes], other: bytes) -> None:
    trie = Trie(items)
    for key in {*items, other}:
        found = verify.trie_value(trie.root, verify.keccak256(key), trie.proof(key), "x")
        assert found == items.get(key, b"")


def test_empty_trie() -> None:
    assert verify.EMPTY_TRIE.hex() == EMPTY_ROOT
    assert verify.trie_value(verify.EMPTY_TRIE, b"\1" * 32, [], "x") == b""
    with pytest.raises(Wrong):
        verify.trie_value(b"\0" * 32, b"\1" * 32, [], "x")


def test_proofs_are_exact() -> None:
    """No node more, none less, none changed, no other key."""
    rng = random.Random(int(os.environ.get("MOORAGE_SEED", "54")))
    items = {rng.randbytes(3): rng.randbytes(33) for _ in range(200)}
    trie = Trie(items)
    key, value = next(iter(items.items()))
    hashed, proof = verify.keccak256(key), trie.proof(key)
    assert verify.trie_value(trie.root, hashed, proof, "x") == value
    extra = [proof[:-1], proof[1:], [*proof, proof[-1]], [proof[0], *proof], []]
    for other in extra:
        with pytest.raises(Wrong):
            verify.trie_value(trie.root, hashed, other, "x")
    for i in range(len(proof)):
        for _ in range(20):
            node = bytearray(proof[i])
            node[rng.randrange(len(node))] ^= 1 << rng.randrange(8)
            with pytest.raises(Wrong):
                verify.trie_value(
                    trie.root, hashed, [*proof[:i], bytes(node), *proof[i + 1 :]], "x"
                )


def test_accounts_slots_and_headers() -> None:
    address = "0x" + "12" * 20
    chain = PaperChain({f"0x{i:040x}": PaperAccount(balance=i) for i in range(1, 9)})
    chain.accounts[address] = PaperAccount(nonce=3, balance=10**18, storage={4: 2, 7: 2**255})
    head = verify.open_header(chain.header(77, 1234), "x")
    assert (head.number, head.time, head.state_root) == (77, 1234, chain.trie().root)
    shown = verify.shown_account(chain.account(address), "x")
    shown.check(head.state_root, address, "x")
    assert (shown.account.nonce, shown.account.balance) == (3, 10**18)
    for slot, value in {4: 2, 7: 2**255, 5: 0}.items():
        found = verify.shown_slot(chain.slot(address, slot), "x")
        verify.check_slot(shown.account, found, slot.to_bytes(32, "big"), "x")
        assert found.value == value
    with pytest.raises(Wrong):
        shown.check(head.state_root, "0x" + "13" * 20, "x")
    nobody = verify.open_account(
        head.state_root, "0x" + "14" * 20, chain.trie().proof(b"\x14" * 20), "x"
    )
    assert nobody == verify.Account()


@pytest.mark.parametrize("cut", ["c0", "80", "f8"])
def test_what_is_no_header_is_refused(cut: str) -> None:
    with pytest.raises(Wrong):
        verify.open_header(bytes.fromhex(cut), "x")


def test_the_verifier_has_no_rlp_package() -> None:
    assert "import rlp" not in Path(verify.__file__).read_text()
