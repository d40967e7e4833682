"""EIP-55 and Keccak. Property 41 (in part)."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chains.evm.address import address_from_bytes, checksum, hash_hex, is_checksummed, keccak

pytestmark = pytest.mark.unit

EIP55 = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", EIP55)
def test_the_examples_of_the_eip(address: str) -> None:
    assert checksum(address.lower()) == address
    assert checksum("0x" + address[2:].upper()) == address
    assert is_checksummed(address)


@given(st.binary(min_size=20, max_size=20))
def test_agrees_with_eth_utils(raw: bytes) -> None:
    assert address_from_bytes(raw) == to_checksum_address(raw)


def test_a_wrong_checksum_is_refused() -> None:
    with pytest.raises(ValueError, match="checksum"):
        checksum("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed")
    assert not is_checksummed(EIP55[0].lower())


@pytest.mark.parametrize("text", ["", "0x", "0x12", EIP55[0] + "0", EIP55[0][2:], "0x" + "g" * 40])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        checksum(text)


def test_keccak_is_not_sha3() -> None:
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak(b"").hex() == empty


@pytest.mark.parametrize("value", [None, 7, "0x12", "0x" + "z" * 64])
def test_what_is_no_hash_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="32-byte hash"):
        hash_hex(value)
