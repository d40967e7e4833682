"""Types 2 and 4 against eth-account and the public vectors. Properties 41, 45 (in part)."""

from dataclasses import replace
from typing import Any

import pytest
from coincurve import PrivateKey
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.evm import rlp
from chains.evm.address import address_from_bytes, keccak
from chains.evm.transactions import (
    CURVE_ORDER,
    Authorization,
    UnsignedTransaction,
    authorization_hash,
    decode_raw,
    raw_hash,
)
from tests.chains.evm import vectors

pytestmark = pytest.mark.unit

EXAMPLE = UnsignedTransaction(
    chain_id=1,
    nonce=7,
    max_priority_fee_per_gas=10**9,
    max_fee_per_gas=3 * 10**9,
    gas_limit=21_000,
    to="0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    value=5,
    data=b"",
)
KEY = keccak(b"a throw-away key of the tests")

keys = st.integers(1, CURVE_ORDER - 1).map(lambda n: n.to_bytes(32, "big"))
u64 = st.integers(0, 2**64 - 2)
addresses = st.binary(min_size=20, max_size=20).map(address_from_bytes)


def sign(key: bytes, digest: bytes) -> tuple[int, int, int]:
    signature = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return (
        signature[64],
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:64], "big"),
    )


def authorize(key: bytes, chain_id: int, delegate: str, nonce: int) -> Authorization:
    signature = sign(key, authorization_hash(chain_id, delegate, nonce))
    return Authorization(chain_id, delegate, nonce, *signature)


authorizations = st.builds(authorize, keys, st.integers(1, 2**63), addresses, u64)


@st.composite
def transactions(draw: st.DrawFn, max_authorizations: int = 3) -> UnsignedTransaction:
    fee = draw(st.integers(0, 2**256 - 1))
    return UnsignedTransaction(
        chain_id=draw(st.integers(1, 2**63)),
        nonce=draw(u64),
        max_priority_fee_per_gas=draw(st.integers(0, fee)),
        max_fee_per_gas=fee,
        gas_limit=draw(st.integers(1, 2**64 - 1)),
        to=draw(addresses),
        value=draw(st.integers(0, 2**256 - 1)),
        data=draw(st.binary(max_size=300)),
        authorizations=tuple(draw(st.lists(authorizations, max_size=max_authorizations))),
    )


def by_eth_account(tx: UnsignedTransaction, key: bytes) -> Any:
    body: dict[str, Any] = {
        "type": tx.type,
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "maxPriorityFeePerGas": tx.max_priority_fee_per_gas,
        "maxFeePerGas": tx.max_fee_per_gas,
        "gas": tx.gas_limit,
        "to": tx.to,
        "value": tx.value,
        "data": tx.data,
        "accessList": [],
    }
    if tx.authorizations:
        body["authorizationList"] = [
            {
                "chainId": a.chain_id,
                "address": a.delegate,
                "nonce": a.nonce,
                "yParity": a.y_parity,
                "r": a.r,
                "s": a.s,
            }
            for a in tx.authorizations
        ]
    return Account.sign_transaction(body, key)


@settings(max_examples=250, deadline=None)
@given(transactions(), keys)
def test_bytes_equal_those_of_eth_account(tx: UnsignedTransaction, key: bytes) -> None:
    """Property 41: an independent implementation agrees, type 2 and type 4, byte for byte."""
    signature = sign(key, tx.signing_hash())
    ours, theirs = tx.assemble(*signature), by_eth_account(tx, key)
    assert ours.raw == "0x" + theirs.raw_transaction.hex()
    assert ours.hash == "0x" + theirs.hash.hex() == raw_hash(ours.raw)
    decoded = decode_raw(ours.raw)
    assert decoded.transaction == tx
    assert decoded.sender == Account.from_key(key).address
    assert decoded.hash == ours.hash


@settings(max_examples=100, deadline=None)
@given(authorizations)
def test_the_authority_is_recovered(authorization: Authorization) -> None:
    key = KEY
    mine = authorize(key, authorization.chain_id, authorization.delegate, authorization.nonce)
    assert mine.authority() == Account.from_key(key).address


def test_vectors_of_typed_transactions() -> None:
    """Property 41. The vectors' `hash` is what is signed."""
    read = refused = 0
    for vector in vectors.load("custody/eth-account/typed_transactions.json"):
        tx = vector["tx"]
        if tx["accessList"] or "maxFeePerGas" not in tx or "maxFeePerBlobGas" in tx:
            with pytest.raises(ValueError, match=r"type 2 or 4|access list"):
                decode_raw(vector["raw"])
            refused += 1
            continue
        read += 1
        decoded = decode_raw(vector["raw"])
        assert "0x" + decoded.transaction.signing_hash().hex() == vector["hash"]
        assert decoded.sender == Account.recover_transaction(vector["raw"])
    assert (read, refused) == (2, 11)


def test_vectors_of_authorizations() -> None:
    """Property 41: the hashes of EIP-7702 tuples."""
    for vector in vectors.load("custody/eip7702/authorizations.json"):
        chain_id, delegate, nonce = vector["chainId"], vector["address"], vector["nonce"]
        digest = authorization_hash(chain_id, delegate, nonce)
        assert "0x" + digest.hex() == vector["hash"]
        if "private_key" in vector:
            signed = authorize(bytes.fromhex(vector["private_key"][2:]), chain_id, delegate, nonce)
            assert signed.r == int(vector["r"], 16)
            assert signed.s == int(vector["s"], 16)
            assert signed.y_parity == vector["yParity"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", 0),
        ("chain_id", True),
        ("chain_id", 2**64),
        ("nonce", -1),
        ("nonce", 2**64 - 1),
        ("max_priority_fee_per_gas", 4 * 10**9),
        ("max_fee_per_gas", 2**256),
        ("gas_limit", 0),
        ("value", -1),
        ("value", 2**256),
        ("value", 1.0),
        ("data", "0x"),
        ("to", "0x"),
        ("to", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed"),
    ],
)
def test_a_field_out_of_range_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"must be|not an address|checksum"):
        replace(EXAMPLE, **{field: value})


def test_high_s_is_refused() -> None:
    """Property 45: one transaction has one hash."""
    y_parity, r, s = sign(KEY, EXAMPLE.signing_hash())
    with pytest.raises(ValueError, match="s:"):
        EXAMPLE.assemble(1 - y_parity, r, CURVE_ORDER - s)


@pytest.mark.parametrize("signature", [(2, 1, 1), (0, 0, 1), (0, 1, 0), (0, CURVE_ORDER, 1)])
def test_a_signature_out_of_range_is_refused(signature: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be an integer"):
        EXAMPLE.assemble(*signature)


def _tampered(change: Any) -> str:
    """The example, signed, with its list changed after decoding."""
    raw = EXAMPLE.assemble(*sign(KEY, EXAMPLE.signing_hash())).raw
    items = list(rlp.as_list(rlp.decode(bytes.fromhex(raw[4:]))))
    change(items)
    return "0x02" + rlp.encode(items).hex()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i: i.__setitem__(0, b""), "chain_id"),
        (lambda i: i.__setitem__(1, b"\0\1"), "canonical integer"),
        (lambda i: i.__setitem__(5, b""), "20 bytes"),  # creates a contract
        (lambda i: i.__setitem__(8, [[b"\1" * 20, []]]), "access list"),
        (lambda i: i.__setitem__(7, []), "bytes"),
        (lambda i: i.append(b""), "list of 12"),
        (lambda i: i.__setitem__(9, b"\2"), "y_parity"),
    ],
)
def test_decoding_refuses_other_shapes(change: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decode_raw(_tampered(change))


def test_decoding_refuses_trailing_bytes_and_other_types() -> None:
    raw = EXAMPLE.assemble(*sign(KEY, EXAMPLE.signing_hash())).raw
    for bad in (raw + "00", "0x01" + raw[4:], "0x", raw[2:]):
        with pytest.raises(ValueError, match=r"RLP|type 2 or 4|0x hex"):
            decode_raw(bad)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_flipped_bit_changes_the_sender_or_is_refused(data: st.DataObject) -> None:
    signed = EXAMPLE.assemble(*sign(KEY, EXAMPLE.signing_hash()))
    raw = bytearray(bytes.fromhex(signed.raw[2:]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoded = decode_raw(bytes(raw))
    except ValueError:
        return
    assert decoded.sender != Account.from_key(KEY).address
    assert decoded.hash != signed.hash


def test_a_replacement_keeps_all_but_the_fees() -> None:
    other = EXAMPLE.with_fees(9 * 10**9, 2 * 10**9)
    assert (other.nonce, other.to, other.value) == (EXAMPLE.nonce, EXAMPLE.to, EXAMPLE.value)
    assert other.fee_max == 21_000 * 9 * 10**9
    assert other.signing_hash() != EXAMPLE.signing_hash()
