"""Anchoring: due checkpoints become intents, final receipts become evidence."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from eth_abi.abi import encode

from chains.errors import RpcUnavailable
from chains.evm.calldata import decode_arguments, selector, topic, word
from chains.evm.client import EvmClient
from chains.evm.contracts.audit_anchor import ANCHOR, LogState
from chains.types import BlockRef, FeeQuote, Log, Receipt
from custody.assurance import anchor, anchor_chains, bundle
from custody.assurance.anchor import AnchorDeps
from custody.assurance.anchor_effects import AnchorEffects
from custody.assurance.anchor_rules import AnchorRules
from custody.audit import merkle, note, reads, tiles, verify
from custody.core.clock import FixedClock
from custody.core.db import Database, WriteSession
from custody.core.errors import Broken, Refused
from custody.core.ids import TenantId
from custody.core.intents import Intent
from custody.parties import places
from custody.settlement import intents as intents_module
from tests.custody.audit.entries import AT, ORIGIN, TENANT, LogSigner, add, sign_log

pytestmark = pytest.mark.postgres

CHAIN = 31337
CONTRACT = "0x" + "A" * 40
WALLET = "0x" + "B" * 40
TX = "0x" + "1" * 64
BLOCK = BlockRef(9, "0x" + "2" * 64, 1_767_000_000)
LOG_ID = bytes.fromhex(note.log_id(ORIGIN)[2:])


class Chain:
    """What the contract would answer."""

    chain_id = CHAIN

    def __init__(self) -> None:
        self.latest: tuple[bytes, int, int, int] = (bytes(32), 0, 0, 0)
        self.state = LogState.OPEN

    async def block(self, _tag: object) -> BlockRef:
        return BLOCK

    tagged = block

    async def fees(self) -> FeeQuote:
        return FeeQuote(10, 1)

    async def logs(self, *_: object) -> tuple[Log, ...]:
        return ()

    async def call(self, to: str, data: bytes, _block: object) -> bytes:
        assert to == CONTRACT
        if data[:4] == selector("stateOf(bytes32)"):
            return word(self.state)
        return bytes(encode(["bytes32", "uint64", "uint64", "uint64"], self.latest))


@pytest.fixture
async def made(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Intent]:
    """Places of the founding tenant, and the intents that settlement was given."""
    intents: list[Intent] = []

    async def create(_s: WriteSession, intent: Intent, *, at: datetime) -> None:
        assert at
        intents.append(intent)

    async def place(_s: Any, tenant: UUID, chain_id: int, role: str) -> places.Place:
        address, path = {"anchorer": (WALLET, "2/4"), "anchor": (CONTRACT, None)}[role]
        return places.Place(TenantId(tenant), chain_id, role, address, path)

    async def funds(*_: Any) -> int:
        return 10**18

    monkeypatch.setattr(intents_module, "create", create)
    monkeypatch.setattr(places, "place", place)
    monkeypatch.setattr(anchor, "funds_wei", funds)
    return intents


def deps_of(database: Database, chain: Chain, clock: FixedClock, folder: Path) -> AnchorDeps:
    clients = {CHAIN: cast(EvmClient, chain)}
    rules = AnchorRules((CHAIN,), interval_s=60)
    return AnchorDeps(database, clock, clients, ORIGIN, folder, TenantId(TENANT), rules)


def arguments(intent: Intent) -> tuple[Any, ...]:
    """Log id, size, root, time and proof of the call."""
    return decode_arguments(ANCHOR, bytes.fromhex(intent.data[2:]))


def receipt_for(intent: Intent, **changed: Any) -> Receipt:
    """The receipt of a call that the contract accepted; `changed` for one that it twisted."""
    words = [intent.data[10 + 64 * i : 74 + 64 * i] for i in range(4)]
    fields = {"seq": 1, "size": int(words[1], 16), "root": bytes.fromhex(words[2]), **changed}
    values = [fields["seq"], fields["size"], fields["root"], int(words[3], 16)]
    data = "0x" + encode(["uint64", "uint64", "bytes32", "uint64"], values).hex()
    topics = (topic("Anchored(bytes32,uint64,uint64,bytes32,uint64)"), "0x" + LOG_ID.hex())
    return Receipt(TX, BLOCK, 1, 50_000, 1, (Log(CONTRACT, topics, data, 0),))


async def test_from_checkpoint_to_evidence_in_the_bundle(
    database: Database, made: list[Intent], tmp_path: Path
) -> None:
    clock, chain, signer = FixedClock(AT), Chain(), LogSigner()
    deps = deps_of(database, chain, clock, tmp_path)
    assert await anchor.step(deps, CHAIN) == 0, "nothing is signed yet"
    await add(database, 5)
    head = await sign_log(database, signer, tmp_path)
    assert head is not None
    assert await anchor.step(deps, CHAIN) == 1
    assert await anchor.step(deps, CHAIN) == 0, "one is under way"
    (intent,) = made
    assert (intent.kind, intent.to, intent.sender, intent.value) == ("anchor", CONTRACT, WALLET, 0)
    assert arguments(intent) == (LOG_ID, 5, head.root, int(AT.timestamp()), ())
    async with database.write() as s:
        await AnchorEffects(ORIGIN, clock).on_final(s, intent, receipt_for(intent))
    await sign_log(database, signer, tmp_path)
    async with database.snapshot() as r:
        assert [e.kind for e in await reads.entries(r, 5, 9)] == ["checkpoint.anchored"]
        data = await bundle.build(r, signer.key.vkey())
    told = verify.Trust(CONTRACT.lower(), CHAIN)
    report = verify.verify_bundle(data, signer.key.vkey(), told)
    assert report.ok
    assert {s.name: s.status for s in report.steps}["anchors"] == "PASS"
    for other in (verify.Trust(WALLET, CHAIN), verify.Trust(CONTRACT, 1)):
        assert not verify.verify_bundle(data, signer.key.vkey(), other).ok
    clock.advance(3600)
    assert await anchor.step(deps, CHAIN) == 0, "only the anchoring itself is new"
    await add(database, 1)
    grown = await sign_log(database, signer, tmp_path)
    assert grown is not None
    chain.latest = (head.root, 5, int(AT.timestamp()) + 7, 1)
    assert await anchor.step(deps, CHAIN) == 1
    id_, size, root, time_s, proof = arguments(made[1])
    assert (id_, size, root) == (LOG_ID, grown.size, grown.root)
    assert time_s == int(AT.timestamp()) + 7, "time never goes back on chain"
    merkle.verify_consistency(5, size, head.root, root, proof)


async def test_interval_and_failure(database: Database, made: list[Intent], tmp_path: Path) -> None:
    clock = FixedClock(AT)
    deps = deps_of(database, Chain(), clock, tmp_path)
    await add(database, 1)
    await sign_log(database, LogSigner(), tmp_path)
    assert await anchor.step(deps, CHAIN) == 1
    async with database.write() as s:
        await AnchorEffects(ORIGIN, clock).on_failed(s, made[0], "reverted", None)
    assert await anchor.step(deps, CHAIN) == 0, "too soon"
    clock.advance(61)
    assert await anchor.step(deps, CHAIN) == 1
    assert made[1].id != made[0].id


async def test_refused_by_policy_leaves_nothing(
    database: Database, made: list[Intent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise Refused("intent", "default_deny")

    monkeypatch.setattr(intents_module, "create", refuse)
    await add(database, 1)
    await sign_log(database, LogSigner(), tmp_path)
    assert await anchor.step(deps_of(database, Chain(), FixedClock(AT), tmp_path), CHAIN) == 0
    async with database.read() as s:
        assert await s.scalar("SELECT count(*) FROM anchors") == 0
    assert made == []


async def test_foreign_checkpoint_on_chain_stops_anchoring(
    database: Database, made: list[Intent], tmp_path: Path
) -> None:
    """A fork of the log, or a database set back: a person must look."""
    chain = Chain()
    await add(database, 3)
    await sign_log(database, LogSigner(), tmp_path)
    chain.latest = (b"\x01" * 32, 3, 1, 1)
    with pytest.raises(Broken, match="not ours"):
        await anchor.step(deps_of(database, chain, FixedClock(AT), tmp_path), CHAIN)
    assert made == []


async def test_a_frozen_log_is_not_anchored_and_a_forked_one_stops_it(
    database: Database, made: list[Intent], tmp_path: Path
) -> None:
    chain = Chain()
    await add(database, 3)
    await sign_log(database, LogSigner(), tmp_path)
    chain.state = LogState.FROZEN
    assert await anchor.step(deps_of(database, chain, FixedClock(AT), tmp_path), CHAIN) == 0
    chain.state = LogState.FORKED
    with pytest.raises(Broken, match="forked"):
        await anchor.step(deps_of(database, chain, FixedClock(AT), tmp_path), CHAIN)
    assert made == []


@pytest.mark.parametrize("lost", [True, False])
async def test_tiles_that_prove_nothing_stop_anchoring(
    database: Database, made: list[Intent], tmp_path: Path, lost: bool
) -> None:
    """Lost, or not what was signed: nothing is sent that the contract would refuse."""
    chain, signer = Chain(), LogSigner()
    await add(database, 3)
    head = await sign_log(database, signer, tmp_path)
    assert head is not None
    await add(database, 2)
    await sign_log(database, signer, tmp_path)
    chain.latest = (head.root, 3, 1, 1)
    tile = tmp_path / tiles.tile_path(0, 0, 5)
    if lost:
        tile.unlink()
    else:
        tile.write_bytes(tile.read_bytes()[:-1] + b"!")
    with pytest.raises(Broken, match="no proof from size 3 to 5"):
        await anchor.step(deps_of(database, chain, FixedClock(AT), tmp_path), CHAIN)
    assert made == []
    async with database.read() as s:
        assert (await anchor_chains.noted(s))[CHAIN].state == "broken", "as health and report tell"


@pytest.mark.parametrize("twist", [{"root": b"\x03" * 32}, {"size": 2}])
async def test_receipt_that_says_otherwise_is_no_evidence(
    database: Database, made: list[Intent], tmp_path: Path, twist: dict[str, Any]
) -> None:
    await add(database, 1)
    await sign_log(database, LogSigner(), tmp_path)
    await anchor.step(deps_of(database, Chain(), FixedClock(AT), tmp_path), CHAIN)
    effects = AnchorEffects(ORIGIN, FixedClock(AT))
    for receipt in (receipt_for(made[0], **twist), Receipt(TX, BLOCK, 1, 1, 1, ())):
        with pytest.raises(Broken):
            async with database.write() as s:
                await effects.on_final(s, made[0], receipt)


async def test_without_gas_in_the_books_it_waits(
    database: Database, made: list[Intent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deps, funds = deps_of(database, Chain(), FixedClock(AT), tmp_path), 0

    async def there(*_: Any) -> int:
        return funds

    monkeypatch.setattr(anchor, "funds_wei", there)
    await add(database, 1)
    await sign_log(database, LogSigner(), tmp_path)
    for funds in (0, 2 * anchor.GAS_LIMIT * 10 - 1):
        assert await anchor.step(deps, CHAIN) == 0
        async with database.read() as s:
            reason = await s.scalar("SELECT reason FROM anchor_chains WHERE state = 'waiting'")
        assert reason.startswith(f"gas: the books have {funds} wei")
    funds = 2 * anchor.GAS_LIMIT * 10
    assert await anchor.step(deps, CHAIN) == 1


class Silent(Chain):
    """An endpoint that does not answer."""

    async def block(self, _tag: object) -> BlockRef:
        raise RpcUnavailable("no endpoint answers")


@pytest.mark.parametrize(("quorum", "answers"), [(1, True), (2, False)])
async def test_as_many_chains_must_say_that_nothing_is_ahead_as_an_anchor_needs(
    database: Database, made: list[Intent], tmp_path: Path, quorum: int, answers: bool
) -> None:
    """What a worker that starts asks before it signs anything."""
    one, other = Chain(), Silent()
    deps = replace(
        deps_of(database, one, FixedClock(AT), tmp_path),
        clients={CHAIN: cast(EvmClient, one), 2: cast(EvmClient, other)},
        rules=AnchorRules((2, CHAIN), quorum),
    )
    await add(database, 3)
    await sign_log(database, LogSigner(), tmp_path)
    if answers:
        assert await anchor.ahead(deps) is None
    else:
        with pytest.raises(RpcUnavailable):
            await anchor.ahead(deps)
    one.latest = (b"\x01" * 32, 9, 1, 1)
    assert "size 9 that is not ours" in str(await anchor.ahead(deps))


async def test_auditors_own_node_decides(
    database: Database, made: list[Intent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --rpc the receipt itself is read: status, finality, block, contract, size and root."""
    signer, clock = LogSigner(), FixedClock(AT)
    await add(database, 2)
    await sign_log(database, signer, tmp_path)
    await anchor.step(deps_of(database, Chain(), clock, tmp_path), CHAIN)
    receipt = receipt_for(made[0])
    async with database.write() as s:
        await AnchorEffects(ORIGIN, clock).on_final(s, made[0], receipt)
    async with database.snapshot() as r:
        data = await bundle.build(r, signer.key.vkey())
    logged = receipt.logs[0]
    event: dict[str, Any] = {
        "address": CONTRACT.lower(),
        "topics": list(logged.topics),
        "data": logged.data,
    }
    good = {"status": "0x1", "blockNumber": "0x9", "blockHash": BLOCK.hash, "logs": [event]}

    def ask(final: str = "0x9", **changed: Any) -> bool:
        answers = {
            "eth_chainId": hex(CHAIN),
            "eth_getBlockByNumber": {"number": final},
            "eth_getTransactionReceipt": {**good, **changed},
        }
        monkeypatch.setattr(verify, "rpc", lambda _url, method, *_: answers[method])
        told = verify.Trust(CONTRACT, CHAIN, "http://node")
        return verify.verify_bundle(data, signer.key.vkey(), told).ok

    assert ask()
    assert not ask(final="0x8")
    assert not ask(status="0x0")
    assert not ask(blockHash="0x" + "3" * 64)
    assert not ask(logs=[])
    assert not ask(logs=[{**event, "address": WALLET.lower()}])
    assert not ask(logs=[{**event, "data": event["data"].replace("2", "3", 1)}])
