"""Statements of ownership: a closed text, one challenge an epoch, and nobody else's address."""

from dataclasses import replace
from typing import Any

import pytest

from chains.evm.transactions import UnsignedTransaction, recover
from custody.core.ids import format_id, new_uuid7
from custody.core.ownership import Statement
from custody.core.serialization import dumps, loads
from custody.keys.desk import Desk
from custody.keys.ownership import FIRST_MAX, PAUSE_S, OwnershipRequest
from custody.keys.refusal import Refusal
from custody.keys.signer import Service
from tests.custody.keys.vault_world import CHAIN, COIN_GUARD, GUARD, ORIGIN, OUTSIDE, VaultWorld

pytestmark = pytest.mark.unit
CHALLENGE = b"\x42" * 32


def request(world: VaultWorld, path: str = "2/0", role: str = "treasury", **changes: Any) -> Any:
    own = world.place(role)
    tenant = format_id("tenant", world.tenant)
    made = OwnershipRequest(tenant, path, 1, CHALLENGE, CHAIN, own, own)
    return replace(made, **changes)


def signer_of(world: VaultWorld, asked: OwnershipRequest, signature: bytes) -> str:
    """Who made it, by the text that this test writes down itself."""
    entity = f"{ORIGIN}/{asked.tenant}"
    said = Statement(entity, asked.epoch, asked.challenge, CHAIN, asked.address, asked.by)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return recover(said.digest(), signature[64] - 27, r, s)


def test_the_text_is_closed(world: VaultWorld) -> None:
    asked = request(world)
    entity = f"{ORIGIN}/{asked.tenant}"
    assert Statement(entity, 1, CHALLENGE, CHAIN, asked.address, asked.by).text() == (
        "Moorage statement of ownership\n"
        "This signature moves no money and authorises nothing.\n"
        f"entity: {entity}\n"
        "epoch: 1\n"
        f"challenge: 0x{'42' * 32}\n"
        f"chain: {CHAIN}\n"
        f"address: {asked.address}\n"
        f"by: {asked.by}"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"entity": "log.example/ten_1\nmore: words"},
        {"entity": "ten_" + "0" * 32},
        {"epoch": 0},
        {"epoch": True},
        {"epoch": 2**63},
        {"challenge": b"\x01" * 31},
        {"chain_id": -1},
        {"address": OUTSIDE.lower()},
        {"by": "0x1234"},
    ],
)
def test_no_word_of_it_is_free(changes: dict[str, Any]) -> None:
    good = Statement("log.example/ten_" + "0" * 32, 1, CHALLENGE, CHAIN, OUTSIDE, OUTSIDE)
    with pytest.raises(ValueError, match=r"must be|address"):
        replace(good, **changes)


def test_signs_for_its_own_addresses(world: VaultWorld, desk: Desk) -> None:
    asked = request(world)
    signature = desk.sign_ownership(asked)
    assert signer_of(world, asked, signature) == world.place("treasury")
    assert desk.sign_ownership(asked) == signature


def test_a_freeze_does_not_stop_it(world: VaultWorld, desk: Desk) -> None:
    desk.freeze()
    assert len(desk.sign_ownership(request(world))) == 65


def test_the_allocator_speaks_for_guards_of_the_policy(world: VaultWorld, desk: Desk) -> None:
    for guard in (GUARD, COIN_GUARD):
        asked = request(world, "2/3", "allocator", address=guard)
        assert signer_of(world, asked, desk.sign_ownership(asked)) == world.place("allocator")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"address": OUTSIDE, "by": OUTSIDE}, "sender"),
        ({"address": OUTSIDE}, "place"),
        ({"address": GUARD}, "place"),
        ({"path": "2/1"}, "sender"),
        ({"path": "9/9/9"}, "sender"),
        ({"tenant": format_id("tenant", new_uuid7())}, "unknown_tenant"),
        ({"challenge": b""}, "bad_request"),
        ({"chain_id": 0}, "bad_request"),
        ({"epoch": FIRST_MAX + 1}, "epoch_ahead"),
    ],
)
def test_refuses(world: VaultWorld, desk: Desk, changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(Refusal) as refused:
        desk.sign_ownership(request(world, **changes))
    assert refused.value.rule == rule


def test_an_epoch_has_one_challenge_and_none_comes_back(world: VaultWorld, desk: Desk) -> None:
    desk.sign_ownership(request(world, epoch=2))
    for changes, rule in (
        ({"epoch": 2, "challenge": b"\x43" * 32}, "epoch_challenge"),
        ({"epoch": 1}, "epoch_passed"),
    ):
        with pytest.raises(Refusal) as refused:
            # Another desk on the same store: it is remembered on disk.
            world.open().sign_ownership(request(world, **changes))
        assert refused.value.rule == rule
    later = request(world, epoch=3, challenge=b"\x43" * 32)
    with pytest.raises(Refusal, match="less than 30 s after") as refused:
        desk.sign_ownership(later)
    assert refused.value.rule == "epoch_pause"
    world.clock.advance(PAUSE_S)
    desk.sign_ownership(later)


def test_whoever_has_the_worker_burns_few_epochs(world: VaultWorld, desk: Desk) -> None:
    """No more than the clock gives, however it asks; epochs that failed are caught up with."""
    tenant = format_id("tenant", world.tenant)
    assert _told(desk, tenant) == "0"
    far = request(world, epoch=FIRST_MAX)
    desk.sign_ownership(far)
    last = FIRST_MAX
    for _ in range(3):
        with pytest.raises(Refusal) as refused:
            desk.sign_ownership(replace(far, epoch=last + 1))
        assert refused.value.rule == "epoch_pause"
        world.clock.advance(PAUSE_S)
        with pytest.raises(Refusal, match="more than 1 after") as refused:
            desk.sign_ownership(replace(far, epoch=last + 2))
        assert refused.value.rule == "epoch_ahead"
        last += 1
        desk.sign_ownership(replace(far, epoch=last))
        assert _told(desk, tenant) == str(last)
    world.clock.advance(PAUSE_S * 100)
    with pytest.raises(Refusal, match="more than 100 after"):
        desk.sign_ownership(replace(far, epoch=last + 101))
    desk.sign_ownership(replace(far, epoch=last + 100))
    assert _told(world.open(), tenant) == str(last + 100)


def _told(desk: Desk, tenant: str) -> str:
    """What the status says of the last epoch."""
    return str(next(t["solvency_epoch"] for t in desk.status()["tenants"] if t["tenant"] == tenant))


def test_what_it_signs_is_no_transaction(world: VaultWorld, desk: Desk) -> None:
    """The preimage begins with 0x19 0x45: no typed transaction, no RLP list, no typed data."""
    asked = request(world)
    said = Statement(f"{ORIGIN}/{asked.tenant}", 1, CHALLENGE, CHAIN, asked.address, asked.by)
    other = UnsignedTransaction(CHAIN, 0, 1, 1, 21_000, OUTSIDE, 1, b"")
    assert said.digest() != other.signing_hash()
    made = other.assemble(*_parts(desk.sign_ownership(asked)))
    assert recover(other.signing_hash(), *_parts(desk.sign_ownership(asked))) != asked.by
    assert made.raw


def _parts(signature: bytes) -> tuple[int, int, int]:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return signature[64] - 27, r, s


def test_over_the_socket(world: VaultWorld, desk: Desk) -> None:
    """The line's form is strict: the caller cannot give a text of its own."""
    asked = request(world)
    line = {
        "op": "sign_ownership",
        "tenant": asked.tenant,
        "path": asked.path,
        "epoch": "1",
        "challenge": CHALLENGE.hex(),
        "chain_id": str(CHAIN),
        "address": asked.address,
        "by": asked.by,
    }
    answer = loads(Service(desk).answer(dumps(line)))
    assert bytes.fromhex(answer["signature"]) == desk.sign_ownership(asked)
    for changes in ({"epoch": 1}, {"epoch": "+1"}, {"challenge": "zz"}, {"tenant": "x"}):
        refused = loads(Service(desk).answer(dumps({**line, **changes})))
        assert (refused["answer"], refused["rule"]) == ("refused", "bad_request")
