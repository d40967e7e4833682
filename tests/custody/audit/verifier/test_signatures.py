"""The verifier's own secp256k1, EIP-191, EIP-712 and Ed25519 against other implementations."""

import json
import os
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from eth_account.messages import (
    SignableMessage,
    _hash_eip191_message,
    encode_defunct,
    encode_typed_data,
)
from eth_keys.datatypes import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.audit import verify
from custody.audit.verify import SECP_N, SECP_P, Wrong
from tests.custody.audit.vectors import FOLDER

pytestmark = pytest.mark.unit

VECTORS = FOLDER.parent / "custody"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"no public vectors at {VECTORS}")
keys = st.integers(1, SECP_N - 1).map(lambda k: PrivateKey(k.to_bytes(32, "big")))
SEED = int(os.environ.get("MOORAGE_SEED", "54"))


def signed(key: PrivateKey, digest: bytes) -> bytes:
    raw: bytes = key.sign_msg_hash(digest).to_bytes()
    return raw[:64] + bytes([raw[64] + 27])


@given(keys, st.binary(min_size=32, max_size=32))
@settings(max_examples=25, deadline=None)
def test_recovers_who_signed(key: PrivateKey, digest: bytes) -> None:
    found = verify.recover(digest, signed(key, digest), "x")
    assert found == key.public_key.to_address()


@pytest.mark.parametrize("key", [1, 2, 3, SECP_N - 1, SECP_N - 2, SECP_N // 2, 2**255])
@pytest.mark.parametrize("digest", [b"\0" * 32, b"\xff" * 32, SECP_N.to_bytes(32, "big")])
def test_keys_and_digests_at_the_edge(key: int, digest: bytes) -> None:
    own = PrivateKey(key.to_bytes(32, "big"))
    assert verify.recover(digest, signed(own, digest), "x") == own.public_key.to_address()


def changed(signature: bytes, **part: Any) -> bytes:
    r = part.get("r", signature[:32])
    s = part.get("s", signature[32:64])
    v = part.get("v", signature[64])
    word = [x if isinstance(x, bytes) else x.to_bytes(32, "big") for x in (r, s)]
    return word[0] + word[1] + bytes([v])


def not_on_the_curve() -> int:
    return next(
        r for r in range(1, 99) if pow(pow(r, 3, SECP_P) + 7, (SECP_P - 1) // 2, SECP_P) != 1
    )


def test_what_is_no_signature_is_refused() -> None:
    """High s, numbers of no group element, points off the curve, other lengths and v."""
    key, digest = PrivateKey(b"\7" * 32), b"\1" * 32
    good = signed(key, digest)
    s = int.from_bytes(good[32:64], "big")
    bad = [
        changed(good, s=SECP_N - s, v=55 - good[64]),
        *[changed(good, s=x) for x in (0, SECP_N, SECP_N + 1, 2**256 - 1)],
        *[
            changed(good, r=x)
            for x in (0, SECP_N, SECP_P, SECP_P + 1, 2**256 - 1, not_on_the_curve())
        ],
        *[changed(good, v=x) for x in (0, 1, 26, 29, 30, 31, 255)],
        good[:64],
        good + b"\0",
        b"",
    ]
    for signature in bad:
        with pytest.raises(Wrong):
            verify.recover(digest, signature, "x")
    with pytest.raises(Wrong):
        verify.recover(digest[:31], good, "x")


def test_the_point_at_infinity_is_nobody() -> None:
    """s R = z G, so the key would be the point at infinity."""
    k = 5
    x, y, z = verify._two_products((k, (*verify.SECP_G, 1)), (0, (*verify.SECP_G, 1)))
    inverse = pow(z, -1, SECP_P)
    r, y = x * inverse**2 % SECP_P, y * inverse**3 % SECP_P
    for s in (3, SECP_N // 2):
        digest = (s * k % SECP_N).to_bytes(32, "big")
        signature = changed(b"\0" * 65, r=r, s=s, v=27 + (y & 1))
        with pytest.raises(Wrong, match="of no key"):
            verify.recover(digest, signature, "x")


def test_one_bit_is_another_signer_or_none() -> None:
    rng, key, digest = random.Random(SEED), PrivateKey(b"\7" * 32), b"\1" * 32
    good = signed(key, digest)
    for _ in range(40):
        bad = bytearray(good)
        bad[rng.randrange(65)] ^= 1 << rng.randrange(8)
        try:
            assert verify.recover(digest, bytes(bad), "x") != key.public_key.to_address()
        except Wrong:
            continue


@given(keys, st.text(max_size=80))
@settings(max_examples=15, deadline=None)
def test_texts_as_wallets_sign_them(key: PrivateKey, text: str) -> None:
    made = Account.sign_message(encode_defunct(text=text), key)
    digest = verify.personal_digest(text.encode())
    assert digest == bytes(made.message_hash)
    assert verify.recover(digest, bytes(made.signature), "x") == key.public_key.to_address()


def digest_of(body: dict[str, Any]) -> bytes:
    types = {n: [(m["type"], m["name"]) for m in ms] for n, ms in body["types"].items()}
    types.pop("EIP712Domain", None)
    primary = body["primaryType"]
    return verify.typed_digest(types, primary, body["domain"], body["message"])


@needs_vectors
def test_typed_data_of_the_standard() -> None:
    body = json.loads((VECTORS / "eip712" / "mail_example.json").read_text())
    digest = digest_of(body)
    assert digest.hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    key = PrivateKey(verify.keccak256(b"cow"))
    found = verify.recover(digest, signed(key, digest), "x")
    assert found == "0xcd2a3d9f938e13cd947ec05abc7fe734df8dd826"


@needs_vectors
def test_safe_transactions() -> None:
    for row in json.loads((VECTORS / "safe" / "safe_tx_hashes.json").read_text()):
        domain = {"chainId": row["chainId"], "verifyingContract": row["safe"]}
        message = {name: row[name] for _, name in verify.SAFE_TX}
        message["data"] = bytes.fromhex(row["data"][2:])
        if row.get("domainHash") and len(row["domainHash"]) == 66:
            members = [("uint256", "chainId"), ("address", "verifyingContract")]
            types = {"EIP712Domain": members}
            found = verify.hash_struct(types, "EIP712Domain", domain)
            if found.hex() != row["domainHash"][2:]:
                continue  # a Safe before 1.3.0, whose domain has no chain
        digest = verify.typed_digest({"SafeTx": verify.SAFE_TX}, "SafeTx", domain, message)
        assert "0x" + digest.hex() == row["safeTxHash"], row["name"]


TYPES = {
    "Inner": [("bytes32", "tag"), ("int64", "n")],
    "Outer": [
        ("string", "name"),
        ("bytes", "blob"),
        ("bool", "on"),
        ("address", "who"),
        ("uint8", "small"),
        ("Inner", "inner"),
        ("Inner[]", "more"),
        ("uint256[2]", "pair"),
        ("bytes4[][1]", "nested"),
    ],
}
inner = st.fixed_dictionaries(
    {"tag": st.binary(min_size=32, max_size=32), "n": st.integers(-(2**63), 2**63 - 1)}
)
outer = st.fixed_dictionaries(
    {
        "name": st.text(max_size=9),
        "blob": st.binary(max_size=40),
        "on": st.booleans(),
        "who": st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex()),
        "small": st.integers(0, 255),
        "inner": inner,
        "more": st.lists(inner, max_size=2),
        "pair": st.lists(st.integers(0, 2**256 - 1), min_size=2, max_size=2),
        "nested": st.lists(
            st.lists(st.binary(min_size=4, max_size=4), max_size=2), min_size=1, max_size=1
        ),
    }
)


@given(outer, st.integers(0, 2**256 - 1))
@settings(max_examples=60, deadline=None)
def test_typed_data_as_wallets_hash_it(message: dict[str, Any], chain_id: int) -> None:
    domain = {"name": "x", "chainId": chain_id, "verifyingContract": "0x" + "ab" * 20}
    full = {
        "types": {
            "EIP712Domain": [{"type": verify.DOMAIN_MEMBERS[n], "name": n} for n in domain],
            **{n: [{"type": t, "name": m} for t, m in ms] for n, ms in TYPES.items()},
        },
        "primaryType": "Outer",
        "domain": domain,
        "message": message,
    }
    made: SignableMessage = encode_typed_data(full_message=full)
    assert verify.typed_digest(TYPES, "Outer", domain, message) == _hash_eip191_message(made)


@pytest.mark.parametrize(
    ("type_", "value"),
    [("uint8", 256), ("uint8", -1), ("int8", 128), ("bytes4", b"abc"), ("uint256[2]", [1])],
)
def test_values_that_a_type_cannot_hold(type_: str, value: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        verify.typed_digest({"A": [(type_, "x")]}, "A", {}, {"x": value})


# --- Ed25519 ----------------------------------------------------------------------------------


def batch(count: int) -> list[verify.Signed]:
    rng = random.Random(SEED)
    people = [Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)) for _ in range(5)]
    made = []
    for i in range(count):
        key, message = people[i % 5], rng.randbytes(50)
        made.append((key.public_key().public_bytes_raw(), message, key.sign(message)))
    return made


@pytest.mark.parametrize("count", [0, 1, 2, verify.BATCH_MIN, 100])
def test_all_signatures_hold(count: int) -> None:
    assert verify.first_invalid(batch(count)) is None


@pytest.mark.parametrize("at", [0, 17, 59])
@pytest.mark.parametrize("part", ["key", "message", "R", "s", "s + L", "length"])
def test_the_false_one_is_named(at: int, part: str) -> None:
    items = batch(60)
    key, message, signature = items[at]
    s = int.from_bytes(signature[32:], "little")
    items[at] = {
        "key": (items[(at + 1) % 60][0], message, signature),
        "message": (key, message + b"x", signature),
        "R": (key, message, bytes([signature[0] ^ 1]) + signature[1:]),
        "s": (key, message, signature[:32] + (s ^ 2).to_bytes(32, "little")),
        "s + L": (key, message, signature[:32] + (s + verify.ED_L).to_bytes(32, "little")),
        "length": (key, message, signature + b"\0"),
    }[part]
    assert verify.first_invalid(items) == at
    assert verify.first_invalid(items[at : at + 1]) == 0


def test_two_false_ones_do_not_make_up_for_each_other() -> None:
    """Moved by the same amount in opposite directions: without weights the sum would hold."""
    items = batch(40)
    for at, by in ((3, 1), (8, -1)):  # of one key
        key, message, signature = items[at]
        s = (int.from_bytes(signature[32:], "little") + by) % verify.ED_L
        items[at] = (key, message, signature[:32] + s.to_bytes(32, "little"))
    assert verify.first_invalid(items) == 3


def test_points_have_one_encoding() -> None:
    p = verify.ED_P
    bad = [p, p + 1, 2**255 - 1, 1 | 1 << 255, 2]  # y >= p; x = 0 with a sign; not on the curve
    for y in bad:
        assert verify.ed_point(y.to_bytes(32, "little")) is None
    assert verify.ed_point(b"\0" * 31) is None
    rng = random.Random(SEED)
    for _ in range(10):
        raw = (
            Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)).public_key().public_bytes_raw()
        )
        found = verify.ed_point(raw)
        assert found is not None
        assert (int(found.y) | (int(found.x) & 1) << 255).to_bytes(32, "little") == raw
