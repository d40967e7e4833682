"""BIP-32/39/44 against the official vectors and another implementation. Property 41."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from bip_utils import Bip32Secp256k1, EthAddrEncoder

from custody.keys import base58, hd, mnemonic

pytestmark = pytest.mark.unit

VECTORS = Path(os.environ.get("MOORAGE_VECTORS", "../shared/vectors")) / "custody" / "bip"


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}")
    return json.loads(path.read_text())


def test_bip39_vectors() -> None:
    """Property 41."""
    rows = vectors("bip39_trezor_vectors.json")
    for entropy, words, seed, xprv in rows["english"]:
        assert mnemonic.mnemonic_from_entropy(bytes.fromhex(entropy)) == words
        assert mnemonic.entropy_from_mnemonic(words).hex() == entropy
        assert mnemonic.seed_from_mnemonic(words, "TREZOR").hex() == seed
        assert hd.encode_xprv(hd.master(bytes.fromhex(seed))) == xprv


def test_bip39_seeds_of_other_languages() -> None:
    for rows in vectors("bip39_trezor_vectors.json").values():
        for _, words, seed, _ in rows:
            assert mnemonic.seed_from_mnemonic(words, "TREZOR").hex() == seed


def test_bip32_vectors() -> None:
    """Property 41."""
    for row in vectors("bip32_vectors.json"):
        node = hd.master(bytes.fromhex(row["seed"])).derive(row["path"])
        assert hd.encode_xprv(node) == row["xprv"]
        assert hd.encode_xpub(node.public()) == row["xpub"]
        assert hd.encode_xpub(hd.decode_xpub(row["xpub"])) == row["xpub"]


def test_malformed_extended_keys_are_refused() -> None:
    for row in vectors("bip32_invalid_keys.json"):
        with pytest.raises(ValueError, match=r"xpub|base58"):
            hd.decode_xpub(row["key"])


def test_a_thousand_random_paths_agree_with_bip_utils() -> None:
    """Property 41: private and public derivation, and the address, against the oracle."""
    rng = random.Random(41)
    for _ in range(100):
        seed = rng.randbytes(rng.randrange(16, 65))
        account = rng.randrange(2**31)
        ours = hd.master(seed).derive(hd.account_path(account))
        oracle = Bip32Secp256k1.FromSeed(seed).DerivePath(hd.account_path(account))
        xpub = hd.encode_xpub(ours.public())
        assert xpub == oracle.PublicKey().ToExtended()
        for _ in range(10):
            branch, index = rng.randrange(3), rng.randrange(2**31)
            leaf = oracle.DerivePath(f"{branch}/{index}")
            expected = EthAddrEncoder.EncodeKey(leaf.PublicKey().KeyObject())
            assert hd.derive_public(xpub, branch, index) == expected
            assert ours.derive(f"{branch}/{index}").secret == leaf.PrivateKey().Raw().ToBytes()


@pytest.mark.parametrize("path", ["3/0", "0", "0/-1", "0/2147483648", "00/1", "0/01", "m/0/1", ""])
def test_sender_paths_are_strict(path: str) -> None:
    with pytest.raises(ValueError, match="sender_path"):
        hd.parse_sender_path(path)


def test_a_public_key_derives_no_hardened_child() -> None:
    with pytest.raises(ValueError, match="index"):
        hd.master(b"s" * 32).public().child(hd.HARDENED)


def test_private_nodes_and_errors_show_no_secret() -> None:
    """Property 40: neither repr nor an error carries key material."""
    node = hd.master(b"s" * 32)
    assert node.secret.hex() not in repr(node)
    assert str(node.secret) not in repr(node)
    xprv = hd.encode_xprv(node)
    for broken in (xprv[:-1] + "1", xprv):
        with pytest.raises(ValueError, match=r"base58|xpub") as caught:
            hd.decode_xpub(broken)
        assert xprv[:20] not in str(caught.value)


def test_new_mnemonics_differ_and_carry_their_checksum() -> None:
    one, two = hd.mnemonic_new(), hd.mnemonic_new()
    assert one != two
    assert len(mnemonic.entropy_from_mnemonic(one)) == 32


def test_words_that_are_wrong_are_refused_and_not_quoted() -> None:
    """Property 40."""
    for words in ("abandon " * 11 + "abandon", "abandon " * 11 + "secretword", "about " * 11):
        with pytest.raises(ValueError, match="mnemonic") as caught:
            mnemonic.entropy_from_mnemonic(words)
        assert words.split()[-1] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "0OIl", "1" * 10])
def test_base58_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        base58.decode_check(text)
