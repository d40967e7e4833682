"""Solvency epochs on a real chain and ledger: from the opening to a holder's checked proof."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from custody.assurance import bundle
from custody.assurance.solvency import (
    check,
    check_report,
    compute,
    epochs,
    listing,
    pins,
    publish,
    reserves,
    signatures,
    states,
)
from custody.assurance.solvency.states import MOVES, State
from custody.audit import verify as auditor
from custody.core.errors import Broken, Conflict, NotFound
from custody.core.ids import CustomerId, PoolId, TransferId, format_id, new_uuid7
from custody.core.money import AssetId
from custody.core.ports import SignerUnavailable
from custody.core.serialization import loads
from custody.ledger import accounts, assets, chart, owed
from custody.ledger.posting import Transfer, post_or_raise
from custody.ledger.prices import RAY, SharePrice, record_price
from tests.custody.ledger import owed_plainly
from tests.fixtures.paying import ask, funded, run_until_released
from tests.fixtures.solvent import Prover, Statements, prover, verify
from tests.fixtures.town import CONFIRMATIONS, ETHER, USDC, Town

pytestmark = pytest.mark.chain


@pytest.fixture
def made(town: Town, tmp_path: Path) -> Prover:
    return prover(town, tmp_path)


async def paid_in(town: Town) -> CustomerId:
    """A customer with two ether, on the own deposit address."""
    customer = await town.customer("dora")
    await town.deposit(customer, town.eth, 2 * ETHER)
    return customer


async def entries(town: Town) -> list[dict[str, Any]]:
    async with town.db.read() as s:
        rows = await s.all(
            "SELECT e.body FROM audit_entries e JOIN audit_sequence q ON q.entry_id = e.id"
            " WHERE e.kind LIKE 'solvency.%' ORDER BY q.seq"
        )
    return [loads(r.body) for r in rows]


async def test_an_epoch_from_opening_to_own_proof(town: Town, made: Prover) -> None:
    alice = await funded(town, 1_000 * USDC)
    bob = await town.customer("bob")
    await town.deposit(bob, town.eth, 2 * ETHER)
    await made.until(State.SERVING)
    file = await made.file()
    check_report.check(file, made.vkey, made.trusted(file), epoch=1)
    for customer, asset, amount in ((alice, town.usdc, 1_000 * USDC), (bob, town.eth, 2 * ETHER)):
        mine = await made.own(customer)
        check.own(mine, made.vkey, customer, {asset: amount}, epoch=1)
    by_kind = {m["evidence"]["kind"] for m in file["report"]["reserves"]}
    assert by_kind == {"account", "storage"}
    assert all(m["counted"] for m in file["report"]["reserves"])
    check.epochs(await entries(town))


async def test_the_auditors_verifier_agrees(town: Town, made: Prover, tmp_path: Path) -> None:
    """It shares no code with any of this, and must come to the same end; not for a changed file."""
    alice = await funded(town, 1_000 * USDC)
    await made.until(State.SERVING)
    file, mine = await made.file(), await made.own(alice)
    blocks = [f"--block={chain}={hash_}" for chain, hash_ in made.trusted(file).items()]
    me = [f"--customer={format_id('customer', alice)}", f"--balance={town.usdc}={1_000 * USDC}"]
    for command, body, more in (("solvency", file, blocks), ("me", mine, me)):
        arguments = [command, f"--log-key={made.vkey}", "--no-anchor", *more]
        assert verify(tmp_path, body, arguments) == 0
        assert verify(tmp_path, body, [*arguments, "--epoch=2"]) == 1
    wrong = [a.replace(str(1_000 * USDC), "1") for a in me]
    assert verify(tmp_path, mine, ["me", f"--log-key={made.vkey}", "--no-anchor", *wrong]) == 1


async def test_what_is_small_is_a_line_and_counts_for_nothing(
    town: Town, made: Prover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is owed all the same: the operator's own money covers it."""
    monkeypatch.setattr(listing, "FEW", 1)
    await town.fund_operator("gas")
    await paid_in(town)
    await town.deposit(await town.customer("eve"), town.eth, 10**13)
    await made.until(State.SERVING)
    file = await made.file()
    check_report.check(file, made.vkey, made.trusted(file))
    (line,) = file["report"]["left_out"]
    assert (line["place"], line["count"], line["sum"]) == ("asset:deposit", "1", str(10**13))
    listed = [m["place"] for m in file["report"]["reserves"]]
    assert len([p for p in listed if p.startswith("asset:deposit")]) == 1
    (total,) = [t for t in file["report"]["totals"] if t["asset"] == town.eth]
    assert total["owed"] == str(2 * ETHER + 10**13)
    blocks = [f"--block={chain}={hash_}" for chain, hash_ in made.trusted(file).items()]
    arguments = ["solvency", f"--log-key={made.vkey}", "--no-anchor", *blocks]
    assert verify(tmp_path, file, arguments) == 0


async def test_nothing_is_given_out_before_the_anchor(town: Town, made: Prover) -> None:
    alice = await paid_in(town)
    await made.until(State.LOGGED)
    for _ in range(3):
        await made.step()
    assert await made.state() is State.LOGGED
    for ask_for in (made.file(1), made.own(alice, 1)):
        with pytest.raises(Conflict, match="before its anchor"):
            await ask_for
    with pytest.raises(NotFound):
        await made.file()
    await made.anchor()
    await made.until(State.SERVING)
    assert await made.own(alice)


async def test_an_opening_that_no_anchor_shows_in_time_fails(town: Town, made: Prover) -> None:
    """Nobody could tell whether its block was named before it was there; the next epoch opens."""
    await paid_in(town)
    for _ in range(20):
        await made.step()
        if await made.state() is State.FAILED:
            break
        await town.step_all(mine=2)
    async with town.db.read() as s:
        row = await states.newest(s, town.tenant_id)
    assert row is not None
    assert row.reason.startswith("the opening was not anchored before block")
    await made.step()
    await made.until(State.SERVING)
    file = await made.file()
    assert file["report"]["context"]["epoch"] == "2"
    told = file["report"]["challenge"]
    assert int(told["anchored"]["block"]["number"]) == int(told["block_number"]) - 1


async def test_a_place_that_cannot_be_read_holds_the_report_up(
    town: Town, made: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No report without it, however long; in the end the log says which place it was."""
    await paid_in(town)
    await made.until(State.CHALLENGED)
    await town.step_all(mine=12)
    real = reserves.Reader._look

    async def moving(self: Any, spot: Any) -> Any:
        if spot.code.startswith("asset:deposit"):
            raise LookupError("a leg of ours moves there")
        return await real(self, spot)

    with monkeypatch.context() as patched:
        patched.setattr(reserves.Reader, "_look", moving)
        for _ in range(3):
            assert await made.step() == 0
        assert await made.state() is State.CHALLENGED
        patient = made.deps
        made.deps = replace(patient, rules=replace(patient.rules, patience_s=-1))
        assert await made.step() == 1
        made.deps = patient
    async with town.db.read() as s:
        row = await states.newest(s, town.tenant_id)
    assert row is not None
    assert row.state == State.FAILED
    assert row.reason.startswith("CannotBeRead: asset:deposit")
    assert "leg" not in row.reason
    await made.step()
    await made.until(State.SERVING)
    assert (await made.file())["report"]["left_out"] == []


async def test_nothing_is_logged_of_blocks_that_are_not_final(
    town: Town, made: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of a block that a reorg took after it was read, nor without an owner's last signature."""
    await paid_in(town)
    await made.until(State.COMPUTED)
    async with town.db.read() as s:
        row = await states.newest(s, town.tenant_id)
    assert row is not None

    async def early(*_: Any) -> int:
        return int(row.block_number)

    with monkeypatch.context() as patched:
        patched.setattr(pins, "final_number", early)
        assert await made.step() == 0
    gone = SimpleNamespace(**{**row._mapping, "block_hash": "0x" + "00" * 32})
    with pytest.raises(Broken, match="is not 0x00"):
        await publish.log_report(made.deps, gone)  # type: ignore[arg-type]
    answers = iter([{}, {("1", "0x"): {"0x": "0x"}}])

    async def one_more(*_: Any) -> Any:
        return next(answers)

    with monkeypatch.context() as patched:
        patched.setattr(signatures, "of_epoch", one_more)
        assert await made.step() == 0
    assert await made.state() is State.COMPUTED
    assert await made.step() == 1


async def test_nothing_is_given_out_whose_anchor_a_reorg_took(town: Town, made: Prover) -> None:
    """Nor without the stored proof of one: a file never has `anchor: null`."""
    alice = await paid_in(town)
    await made.until(State.SERVING)
    assert (await made.file())["anchor"] is not None
    async with town.db.write() as s:
        await s.execute("UPDATE anchors SET state = 'failed', reason = 'reorg'")
    for ask_for in (made.file(1), made.own(alice, 1)):
        with pytest.raises(Conflict, match="its anchor is gone"):
            await ask_for


async def test_what_is_owed_is_what_the_block_knows(town: Town) -> None:
    """A deposit counts from its block on, a payment until its block; held money is owed."""
    alice, bob = await funded(town, 1_000 * USDC), await town.customer("bob")
    async with town.db.read() as s:
        floor = 0
        block = await s.scalar(
            "SELECT max(block_number) FROM transfers WHERE code = 'deposit.credited'"
        )
    chain = town.chain_id
    assert await owes(town, {chain: block}, floor) == {(alice, town.usdc): 1_000 * USDC}
    assert await owes(town, {chain: block - 1}, floor) == {}
    await town.give(alice, bob, town.usdc, 300 * USDC)
    shared = {(alice, town.usdc): 700 * USDC, (bob, town.usdc): 300 * USDC}
    assert await owes(town, {chain: block}, floor) == shared
    # Before the deposit's block the gift of its money had not been made, either.
    assert await owes(town, {chain: block - 1}, floor) == {}
    # Nor had a gift of money that came later: bob would be below zero.
    await town.deposit(bob, town.usdc, 9 * USDC)
    await town.give(bob, alice, town.usdc, 309 * USDC)
    assert await owes(town, {chain: block}, floor) == shared
    await town.give(alice, bob, town.usdc, 300 * USDC)
    w = await ask(town, alice, 500 * USDC)
    await run_until_released(town, w)
    before = await town.client.block_number()
    held = await owes(town, {chain: before}, floor)
    assert held == {(alice, town.usdc): 709 * USDC, (bob, town.usdc): 300 * USDC}
    for _ in range(8):
        await town.step_all(mine=CONFIRMATIONS)
    assert await owes(town, {chain: before}, floor) == held
    paid = await owes(town, {chain: await town.client.block_number()}, floor)
    assert paid == held | {(alice, town.usdc): 209 * USDC}


async def test_shares_of_a_pool_are_owed_at_their_price(town: Town, made: Prover) -> None:
    """A holder sees the own shares; what they are worth is in the context of every proof."""
    await town.fund_operator("gas")
    alice, pool_id = await paid_in(town), PoolId(new_uuid7())
    share, height = AssetId(f"share:{pool_id.hex}"), await town.client.block_number()
    async with town.db.write() as s:
        await assets.register(s, share, "share", 24)
        owner = await accounts.ensure(
            s, town.tenant_id, chart.customer(alice), share, "liability", owner_id=alice
        )
        issuer = await accounts.ensure(
            s, town.tenant_id, chart.pool_shares(pool_id), share, "equity", may_go_negative=True
        )
        given = Transfer(
            id=TransferId(new_uuid7()), tenant_id=town.tenant_id, debit=issuer, credit=owner,
            amount=7, code="test.issued", event_at=town.now(),
        )  # fmt: skip
        await post_or_raise(s, [given])
        for block, price in ((height, RAY // 3), (height + 10**6, RAY)):
            at = SharePrice(
                pool_id, town.eth, price, 0, 0, town.chain_id, block, town.now()
            )  # fmt: skip
            await record_price(s, town.tenant_id, at)
    await made.until(State.SERVING)
    file, mine = await made.file(), await made.own(alice)
    check_report.check(file, made.vkey, made.trusted(file))
    check.own(mine, made.vkey, alice, {share: 7, town.eth: 2 * ETHER})
    (line,) = mine["context"]["prices"]
    assert (line["share"], line["price_ray"]) == (share, str(RAY // 3))
    (total,) = [t for t in file["report"]["totals"] if t["asset"] == town.eth]
    assert total["owed"] == str(2 * ETHER + 3)


async def owes(town: Town, blocks: dict[int, int], floor: int) -> dict[Any, int]:
    async with town.db.snapshot() as s:
        found = await owed.at_blocks(s, town.tenant_id, blocks, floor)
    return dict(owed_plainly.unpacked(found).balances)


async def test_killed_before_every_commit(
    town: Town, made: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each move dies once with its transaction open, and is made once by the next step."""
    await paid_in(town)
    real, died = states.move, []

    async def dying(s: Any, row: Any, to: State, at: Any, **values: Any) -> bool:
        moved = await real(s, row, to, at, **values)
        if to not in died:
            died.append(to)
            raise KeyboardInterrupt(to)
        return moved

    for module in (epochs, compute, publish):
        monkeypatch.setattr(module.states, "move", dying)
    for _ in range(40):
        try:
            await made.until(State.SERVING)
            break
        except KeyboardInterrupt:
            continue
    assert died == [
        State.CHALLENGED, State.COMPUTED, State.LOGGED, State.ANCHORED, State.SERVING
    ]  # fmt: skip
    kinds = [e["kind"] for e in await entries(town)]
    assert kinds == ["solvency.opened", "solvency.published"]
    file = await made.file()
    check_report.check(file, made.vkey, made.trusted(file))


async def test_two_workers_at_every_state(town: Town, made: Prover) -> None:
    """Without the lease, too: one of the two moves, the other leaves nothing behind."""
    alice = await paid_in(town)
    for _ in range(60):
        answers = await asyncio.gather(made.step(), made.step(), return_exceptions=True)
        assert all(isinstance(a, int | Broken) for a in answers), answers
        if await made.state() is State.SERVING:
            break
        await town.step_all(mine=2)
        if await made.state() in (State.OPENED, State.LOGGED):
            await made.anchor()
    kinds = [e["kind"] for e in await entries(town)]
    assert kinds == ["solvency.opened", "solvency.published"]
    check.own(await made.own(alice), made.vkey, alice, {town.eth: 2 * ETHER})


async def test_a_missed_epoch_is_told_and_the_next_one_opens(town: Town, made: Prover) -> None:
    await paid_in(town)

    class Gone:
        async def sign_ownership(self, *_: Any) -> bytes:
            raise SignerUnavailable("sign_ownership: nobody")

        async def last_epoch(self, tenant: str) -> int:
            raise SignerUnavailable("last_epoch: nobody")

    hurried = replace(made.deps, signer=Gone(), rules=replace(made.deps.rules, patience_s=-1))
    patient = made.deps
    await made.until(State.COMPUTED)
    made.deps = replace(patient, signer=Gone())
    with pytest.raises(SignerUnavailable):
        await made.step()
    assert await made.state() is State.COMPUTED
    made.deps = hurried
    await made.step()
    assert await made.state() is State.FAILED
    made.deps = patient
    await made.until(State.SERVING)
    found = await entries(town)
    assert [(e["kind"], e["data"]["epoch"]) for e in found] == [
        ("solvency.opened", "1"),
        ("solvency.failed", "1"),
        ("solvency.opened", "2"),
        ("solvency.published", "2"),
    ]
    check.epochs(found)
    async with town.db.read() as s:
        left = await s.scalar("SELECT count(*) FROM solvency_chunks WHERE epoch = 1")
        secret = await s.scalar("SELECT secret FROM solvency_epochs WHERE epoch = 1")
    assert (left, secret) == (0, None)


async def test_numbers_that_a_stolen_worker_used_up_cost_no_time(town: Town, made: Prover) -> None:
    """Each is opened and failed, for all to see; under the rules of real days, too."""
    await paid_in(town)
    signer = made.deps.signer
    assert isinstance(signer, Statements)
    rules = replace(made.deps.rules, interval_s=86_400, retry_s=3_600)
    made.deps, signer.burned = replace(made.deps, rules=rules), 2
    for _ in range(2):
        assert await made.step() == 1
        assert await made.state() is State.FAILED
    await made.until(State.COMPUTED)
    signer.burned = 4  # now behind an epoch under way
    assert await made.step() == 1
    assert await made.state() is State.FAILED, "it does not wait until it is late"
    assert await made.step() == 1
    assert await made.state() is State.FAILED
    await made.until(State.SERVING)
    found = await entries(town)
    assert [(e["kind"].removeprefix("solvency."), e["data"]["epoch"]) for e in found] == [
        *[(kind, str(n)) for n in (1, 2, 3, 4) for kind in ("opened", "failed")],
        *(("opened", "5"), ("published", "5")),
    ]
    check.epochs(found)
    assert all("used up" in e["data"]["reason"] for e in found if e["kind"] == "solvency.failed")
    assert await made.step() == 0, "the next one in a day"
    async with town.db.snapshot() as s:
        report = auditor.verify_bundle(await bundle.build(s, made.vkey), made.vkey)
    told = {step.name: step for step in report.steps}["solvency epochs"]
    assert (told.status, told.detail) == ("PASS", "5 epochs, 1 published")


async def test_old_epochs_are_forgotten(town: Town, made: Prover) -> None:
    """Secret and leaves of what is no longer served are erased; the report stays."""
    alice = await paid_in(town)
    made.deps = replace(made.deps, rules=replace(made.deps.rules, kept=1))
    await made.until(State.SERVING)
    assert await made.own(alice, 1)
    await made.step()
    await made.until(State.SERVING)
    assert (await made.own(alice))["context"]["epoch"] == "2"
    with pytest.raises(NotFound):
        await made.own(alice, 1)
    file = await made.file(1)
    check_report.check(file, made.vkey, made.trusted(file), epoch=1)


async def test_a_customer_who_came_later_has_no_leaf(town: Town, made: Prover) -> None:
    await paid_in(town)
    await made.until(State.COMPUTED)
    late = await town.customer("late")
    await made.until(State.SERVING)
    with pytest.raises(NotFound):
        await made.own(late)


async def test_a_proof_that_does_not_hold_is_never_served(town: Town, made: Prover) -> None:
    """A leaf that was changed in the database stops the epoch at the last look."""
    await paid_in(town)
    await made.until(State.ANCHORED)
    async with town.db.read() as s:
        row = await states.newest(s, town.tenant_id)
    assert row is not None
    changed = dict(row._mapping)
    changed["head"] = changed["head"] | {"root": "0x" + "00" * 32}
    with pytest.raises(Broken, match="does not hold"):
        await publish.serve(made.deps, SimpleNamespace(**changed))  # type: ignore[arg-type]
    assert await made.state() is State.ANCHORED


def test_moves_lead_to_an_end() -> None:
    reached, waiting = set(), [State.OPENED]
    while waiting:
        state = waiting.pop()
        if state not in reached:
            reached.add(state)
            waiting += MOVES[state]
    assert reached == set(State)
    assert State.SERVING not in MOVES[State.LOGGED]
