"""Property 17 at an owner's desk: what is signed is what was read."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from coincurve import PrivateKey

from api.commands.owners import sign_safe
from chains.evm.address import address_from_public_key
from chains.evm.contracts.safe import SafeCall, transaction_hash

pytestmark = pytest.mark.unit

SAFE = "0xBcd4042DE499D14e55001CcbB24a551F3b954096"
CALL = SafeCall("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", 7, b"\1\2")


def _shown(**changes: Any) -> str:
    body = {
        "chain_id": 31337,
        "safe": SAFE,
        "nonce": 4,
        "to": CALL.to,
        "value": str(CALL.value),
        "data": "0x" + CALL.data.hex(),
        "safe_tx_hash": transaction_hash(31337, SAFE, CALL, 4),
    }
    return json.dumps({**body, **changes})


def test_signs_the_call_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, file = PrivateKey(b"\x07" * 32), tmp_path / "owner.key"
    file.write_text("07" * 32 + "\n")
    sign_safe(_shown(), file)
    told = capsys.readouterr()
    made = json.loads(told.out)
    assert made["owner"] == address_from_public_key(key.public_key.format(compressed=False))
    assert made["safe_tx_hash"] == transaction_hash(31337, SAFE, CALL, 4)
    assert json.loads(told.err)["to"] == CALL.to


@pytest.mark.parametrize("changes", [{"to": SAFE}, {"value": "8"}, {"nonce": 5}, {"data": "0x"}])
def test_a_hash_of_another_call_is_not_signed(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "owner.key"
    file.write_text("07" * 32)
    with pytest.raises(typer.BadParameter):
        sign_safe(_shown(**changes), file)
