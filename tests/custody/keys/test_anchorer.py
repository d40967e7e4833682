"""The anchorer's wallet signs anchors of what the signer signed itself, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from chains.evm.address import keccak
from custody.core.intents import IntentKind
from custody.keys.desk import Desk
from custody.keys.refusal import Refusal
from tests.custody.keys.vault_world import OUTSIDE, TOKEN, VaultWorld

ROOT, SIZE = b"r" * 32, 5


@pytest.fixture
def desk(world: VaultWorld) -> Desk:
    desk = world.open()
    desk.sign_checkpoint(world.made.log_vkey.split("+")[0], SIZE, ROOT)
    return desk


@pytest.mark.parametrize("kind", [k for k in IntentKind if k is not IntentKind.ANCHOR])
def test_no_other_kind_is_sent_from_it(world: VaultWorld, desk: Desk, kind: IntentKind) -> None:
    """Property 20: whoever has the API cannot make this key move anything."""
    anchor = world.anchor(SIZE, ROOT)
    for intent in (replace(anchor, kind=kind), replace(world.payout(), kind=kind)):
        stolen = replace(intent, sender=world.place("anchorer"), sender_path="2/4")
        with pytest.raises(Refusal):
            desk.sign(world.request(stolen))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"value": 1}, "value"),
        ({"amount": 1}, "value"),
        ({"to": OUTSIDE}, "place"),
        ({"to": TOKEN}, "place"),
        ({"data": "0x" + keccak(b"freeze(bytes32)")[:4].hex() + "00" * 32}, "selector"),
        ({"sender_path": "2/0"}, "sender"),
    ],
)
def test_an_anchor_is_a_call_of_anchor_and_no_more(
    world: VaultWorld, desk: Desk, changed: dict[str, Any], rule: str
) -> None:
    anchor = world.anchor(SIZE, ROOT)
    with pytest.raises(Refusal) as refused:
        desk.sign(world.request(replace(anchor, **changed)))
    assert refused.value.rule in (rule, "data")
    assert desk.sign(world.request(anchor)).raw
