"""Reconciliation finds what was put wrong, stops that asset, and lets it go by two people's word.

Property 28, on a real Anvil and the real PostgreSQL; pools, venues and exchanges are in
tests/router/test_breaks.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chains.errors import RpcUnavailable
from custody.assurance import breakers, breaks, reconcile
from custody.assurance.breaks import Break, State
from custody.assurance.report import Report
from custody.core.errors import Conflict, Forbidden, Refused
from custody.core.ids import TransferId, new_uuid7
from custody.core.intents import IntentKind
from custody.deposits import scan
from custody.keys.people import PersonKey
from custody.ledger import accounts, chart, holds
from custody.parties import people
from custody.policy import breakers as stops
from custody.policy.breakers import STOPPED, BreakerState
from custody.settlement import outbound, simulate
from custody.withdrawals import rows, settle
from custody.withdrawals.batches.states import State as BatchState
from custody.withdrawals.proposals import ProposalState
from custody.withdrawals.states import State as Wdr
from tests.fixtures.batching import ask_batch, batch_of, payouts_to
from tests.fixtures.breaking import (
    breaker,
    caught_up,
    closed,
    less_ether,
    live,
    look,
    say,
    second_person,
    signed,
    taken,
    written,
)
from tests.fixtures.cold import ask_cold, proposal_of, run_until_proposed, safe_nonce, sign_all
from tests.fixtures.paying import OUTSIDE, ask, funded, run_until, run_until_released, state_of
from tests.fixtures.reconciling import broken, deps_of
from tests.fixtures.town import USDC, Town

pytestmark = pytest.mark.chain

Fault = Callable[[Town], Awaitable[tuple[str, int]]]
"""Puts one thing wrong; the account that it concerns, and what is there too much."""


async def _wallet_short(town: Town) -> tuple[str, int]:
    w = await ask(town, await funded(town, 500 * USDC), 100 * USDC)
    await run_until_released(town, w)  # the payout wallet is filled
    taken(town, (await town.role("payout")).address, 1)
    return chart.payout(town.chain_id), -1


async def _treasury_transfer_missing(town: Town) -> tuple[str, int]:
    await funded(town, 500 * USDC)
    taken(town, (await town.role("treasury")).address, 7 * USDC)
    return chart.treasury(town.chain_id), -7 * USDC


async def _treasury_transfer_extra(town: Town) -> tuple[str, int]:
    await funded(town, 500 * USDC)
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    return chart.treasury(town.chain_id), -1


async def _treasury_payment_extra(town: Town) -> tuple[str, int]:
    await funded(town, 500 * USDC)
    await written(town, chart.treasury(town.chain_id), town.usdc, -1)
    return chart.treasury(town.chain_id), 1


async def _deposit_short(town: Town) -> tuple[str, int]:
    alice = await town.customer("alice")
    await town.deposit(alice, town.usdc, 50 * USDC)
    address = await _paid_last(town)
    taken(town, address, 1)
    return chart.deposit(town.chain_id, address), -1


async def _paid_last(town: Town) -> str:
    async with town.db.read() as s:
        return str(
            await s.scalar(
                "SELECT address FROM deposits WHERE customer_id IS NOT NULL"
                " ORDER BY id DESC LIMIT 1"
            )
        )


async def _ether_short(town: Town) -> tuple[str, int]:
    await town.fund_operator("treasury")
    await caught_up(town)
    less_ether(town, (await town.role("treasury")).address, 1)
    return chart.treasury(town.chain_id), -1


async def _in_flight(town: Town) -> tuple[str, int]:
    await ask(town, await funded(town, 500 * USDC), 100 * USDC)  # opens the account
    await written(town, chart.in_flight(town.chain_id), town.usdc, 1)
    return chart.in_flight(town.chain_id), -1


async def _hold_of_nobody(town: Town) -> tuple[str, int]:
    alice = await funded(town, 500 * USDC)
    id_ = TransferId(new_uuid7())
    async with town.db.write() as s:
        owner = await accounts.by_code(s, town.tenant_id, chart.customer(alice), town.usdc)
        there = await accounts.by_code(s, town.tenant_id, chart.treasury(town.chain_id), town.usdc)
        await holds.hold(s, town.tenant_id, id_, owner, there, 1, "test.hold", event_at=town.now())
    return f"hold:trf_{id_.hex}", -1


async def _hold_missing(town: Town) -> tuple[str, int]:
    w = await ask(town, await funded(town, 500 * USDC), 100 * USDC)
    async with town.db.write() as s:
        found = (await holds.open_holds(s, tenant_id=town.tenant_id, code="withdrawal.hold"))[0]
        await holds.void_hold(
            s, town.tenant_id, found.id, TransferId(new_uuid7()), "t", event_at=town.now()
        )
    return f"hold:trf_{found.id.hex}", w.gross


FAULTS: dict[str, Fault] = {
    "a wallet lacks 1": _wallet_short,
    "the treasury paid what the ledger does not know": _treasury_transfer_missing,
    "the ledger knows 1 more than came to the treasury": _treasury_transfer_extra,
    "the ledger paid 1 that the treasury still has": _treasury_payment_extra,
    "a deposit address lacks 1": _deposit_short,
    "the treasury lacks 1 wei": _ether_short,
    "1 is in flight that nobody sent": _in_flight,
    "1 is held for nobody": _hold_of_nobody,
    "a withdrawal's hold is gone": _hold_missing,
}


DEEP = {"the ledger paid 1 that the treasury still has", "a deposit address lacks 1"}
"""Of a kind with others that are always run."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.deep] if n in DEEP else []) for n in FAULTS]
)
async def test_one_cycle_finds_it_and_the_second_opens_the_breaker(town: Town, name: str) -> None:
    """Property 28."""
    deps = deps_of(town)
    await caught_up(town)
    assert broken(await look(deps, town)) == []
    account, difference = await FAULTS[name](town)
    found = broken(await look(deps, town))
    mine = [x for x in found if x["account"] == account]
    assert [x["difference"] for x in mine] == [str(difference)], found
    assert mine[0]["stops"]
    row = next(b for b in await live(town) if b.account == account)
    assert (row.difference, row.looks, row.state) == (difference, 1, State.OPEN)
    async with town.db.read() as s:
        first = await stops.stopping(s, town.tenant_id, [row.asset_id])
    assert first is not None
    assert first.state is BreakerState.SUSPECTED
    await look(deps, town)
    async with town.db.read() as s:
        second = await stops.get(s, town.tenant_id, first.id)
        told = await s.all("SELECT body FROM audit_entries WHERE kind = 'breaker.set' ORDER BY id")
    assert second.state is BreakerState.OPEN
    assert [b'"suspected"' in r.body for r in told if row.asset_id.encode() in r.body] == [
        True,
        False,
    ]


async def test_what_one_look_shows_and_the_next_does_not_stops_only_meanwhile(town: Town) -> None:
    await funded(town, 500 * USDC)
    deps = deps_of(town)
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    await look(deps, town)
    first = await breaker(town)
    assert first is not None
    await written(town, chart.treasury(town.chain_id), town.usdc, -1)
    assert broken(await look(deps, town)) == []
    assert (await breaker(town), await live(town)) == (None, [])
    async with town.db.read() as s:
        kinds = [r.kind for r in await s.all("SELECT kind FROM audit_entries ORDER BY id")]
    assert kinds.count("breaker.cleared") == 1
    assert "breaker.closed" not in kinds


async def test_the_same_block_twice_is_one_look(town: Town) -> None:
    await funded(town, 500 * USDC)
    deps = deps_of(town)
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    await look(deps, town)
    await reconcile.step(deps, town.tenant_id, town.chain_id)
    first = await breaker(town)
    assert first is not None
    assert first.state is BreakerState.SUSPECTED


async def test_cycles_come_every_so_many_blocks_and_sooner_to_confirm(town: Town) -> None:
    await funded(town, 500 * USDC)
    deps = deps_of(town)

    async def cycle(blocks: int) -> Report | None:
        await town.step_all(mine=blocks)
        return await reconcile.cycle(deps, town.tenant_id, town.chain_id, 50)

    assert await cycle(8) is not None
    assert await cycle(8) is None
    assert await cycle(60) is not None
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    assert await cycle(60) is not None
    assert await cycle(1) is not None, "a break waits for its second look"
    assert await cycle(1) is None


async def _opened(town: Town, amount: int = 1) -> Break:
    """A breaker that two looks have opened, by one break."""
    await written(town, chart.treasury(town.chain_id), town.usdc, amount)
    for _ in range(2):
        await look(deps_of(town), town)
    return (await live(town))[0]


async def test_two_people_close_it_and_what_they_explained_is_accepted_to_the_unit(
    town: Town,
) -> None:
    """The worklist: open, assigned, explained, closed; each with who and when."""
    await funded(town, 500 * USDC)
    row = await _opened(town)
    found = await breaker(town)
    assert found is not None
    one, two = town.approver, await second_person(town)
    early = await signed(town, found, one, two)
    with pytest.raises(Conflict, match="explained or corrected first"):
        await closed(town, found, early)
    assert (await say(town, row, State.ASSIGNED, "I look")).assignee == "per_x"
    with pytest.raises(Conflict):
        await say(town, row, State.CORRECTED)
    row = await say(town, row, State.EXPLAINED, "a test wrote it")
    with pytest.raises(Conflict, match="two people"):
        await say(town, row, State.CLOSED)
    with pytest.raises(Refused, match="must be of the breaker as it is now"):
        await closed(town, found, early)
    with pytest.raises(Refused, match="2 persons"):
        await closed(town, found, await signed(town, found, one, one))
    with pytest.raises(Forbidden):
        await closed(town, found, await _signed_by_an_auditor(town, found))
    done = await closed(town, found, await signed(town, found, one, two))
    assert done.state is BreakerState.CLOSED
    assert await breaker(town) is None
    assert broken(await look(deps_of(town), town)) == []
    async with town.db.read() as s:
        said = await breaks.notes(s, row.id)
    assert [(n.by, n.old_state, n.new_state) for n in said] == [
        ("per_x", "open", "assigned"),
        ("per_x", "assigned", "explained"),
        (breakers.TWO_PEOPLE, "explained", "closed"),
    ]
    # One unit more is another difference.
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    assert [x["difference"] for x in broken(await look(deps_of(town), town))] == ["-2"]


async def _signed_by_an_auditor(town: Town, found: Any) -> Any:
    key = PersonKey.new()
    async with town.db.write() as s:
        made = await people.enrol(s, town.tenant_id, "auditor", key.public_key, at=town.now())
    return await signed(town, found, town.approver, (made.id, key))


async def test_what_is_put_right_is_corrected_by_the_look_that_sees_it(town: Town) -> None:
    await funded(town, 500 * USDC)
    await _opened(town)
    await written(town, chart.treasury(town.chain_id), town.usdc, -1)
    assert broken(await look(deps_of(town), town)) == []
    row, found = (await live(town))[0], await breaker(town)
    assert row.state is State.CORRECTED
    assert found is not None, "people close it all the same"
    given = await signed(town, found, town.approver, await second_person(town))
    await closed(town, found, given)
    assert await live(town) == []
    async with town.db.read() as s:
        assert not (await breaks.get(s, town.tenant_id, row.id)).accepted


async def test_withdrawals_wait_and_say_why_and_go_on_when_it_is_closed(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    early = await ask(town, alice, 100 * USDC)
    await run_until_released(town, early)
    row = await _opened_without_steps(town)
    late = await ask(town, alice, 50 * USDC)  # accepted, and waits
    batch = await ask_batch(town, alice, payouts_to((OUTSIDE, 10 * USDC)))
    calls = town.signer.calls
    for _ in range(6):
        await town.step_all()
    assert town.signer.calls == calls, "nothing of it is signed"
    assert [await state_of(town, w) for w in (early, late)] == [Wdr.SCHEDULED] * 2
    async with town.db.read() as s:
        reasons = {
            r.reason
            for r in await s.all(
                "SELECT reason FROM withdrawals UNION ALL SELECT reason FROM payout_batches"
            )
        }
    found = await breaker(town)
    assert found is not None
    assert reasons == {found.reason}
    assert (await batch_of(town, batch)).state is BatchState.AWAITING_LIQUIDITY
    before = await town.available(alice, town.usdc)
    await town.deposit(alice, town.usdc, 5 * USDC)
    assert await town.available(alice, town.usdc) == before + 5 * USDC, "deposits are credited"
    assert await town.sweep() > 0, "and swept"
    await look(deps_of(town), town)
    for b in await live(town):
        await say(town, b, State.EXPLAINED)
    assert row.asset_id == town.usdc
    given = await signed(town, found, town.approver, await second_person(town))
    await closed(town, found, given)
    for w in (early, late):
        await run_until(town, w, Wdr.SETTLED, rounds=40)


async def _opened_without_steps(town: Town) -> Break:
    """The same as `_opened`, while what is released stays as it is."""
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    deps = deps_of(town)
    for _ in range(2):
        town.anvil.mine(6)
        while await scan.step(town.deposits, town.chain_id):
            pass
        assert await reconcile.step(deps, town.tenant_id, town.chain_id) is not None
    return (await live(town))[0]


@pytest.mark.deep
async def test_another_asset_is_not_stopped(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    less_ether(town, (await town.role("gas")).address, 1)
    for _ in range(2):
        await look(deps_of(town), town)
    found = await breaker(town)
    assert found is not None
    assert found.asset_id == town.eth
    await run_until(town, await ask(town, alice, 100 * USDC), Wdr.SETTLED, rounds=30)


async def test_a_breaker_that_comes_last_stops_the_binding(town: Town) -> None:
    """The look of `outbound.step` is before; the one under the lock decides."""
    w = await ask(town, await funded(town, 500 * USDC), 100 * USDC)
    await run_until_released(town, w)
    looked = simulate.still_does

    async def late(deps: Any, row: Any) -> bool:
        await _opened_without_steps(town)
        return await looked(deps, row)

    calls = town.signer.calls
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(simulate, "still_does", late)
        await outbound.step(town.settlement)
    assert town.signer.calls == calls
    await settle.step(town.withdrawals)
    assert await state_of(town, w) is Wdr.SCHEDULED


async def test_two_workers_at_once_find_one_break_and_set_one_breaker(town: Town) -> None:
    await funded(town, 500 * USDC)
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    await caught_up(town)
    deps = deps_of(town)
    await asyncio.gather(*(reconcile.step(deps, town.tenant_id, town.chain_id) for _ in range(4)))
    assert [b.looks for b in await live(town)] == [1]
    async with town.db.read() as s:
        assert len(await stops.in_force(s)) == 1


async def test_the_safe_is_not_asked_to_pay_and_does_not(town: Town) -> None:
    """Neither is a proposal made, nor one executed that its owners have signed."""
    alice = await funded(town, 100_000 * USDC)
    signed_one = await ask_cold(town, alice)
    proposed = await run_until_proposed(town, signed_one)
    await sign_all(town, proposed)
    before = safe_nonce(town, proposed.safe)
    await _opened_without_steps(town)
    fresh = await ask_cold(town, alice)
    for _ in range(6):
        await town.step_all()
    assert await state_of(town, fresh) is Wdr.SCHEDULED
    assert (await proposal_of(town, signed_one)).state is ProposalState.PROPOSED
    assert safe_nonce(town, proposed.safe) == before
    found = await breaker(town)
    assert found is not None
    async with town.db.read() as s:
        held = await rows.get(s, town.tenant_id, signed_one.id)
    assert held.reason == found.reason


async def test_a_place_that_cannot_be_read_is_no_break_and_is_told_loudly(town: Town) -> None:
    await funded(town, 500 * USDC)
    treasury = (await town.role("treasury")).address

    class Deaf(type(town.client)):  # type: ignore[misc]
        async def erc20_balance(self, token: str, holder: str, block: Any) -> int:
            if holder == treasury:
                raise RpcUnavailable("told to")
            return int(await super().erc20_balance(token, holder, block))

    client = Deaf(town.chain_id, (town.anvil.rpc_url,))
    deps = deps_of(town, {town.chain_id: client})
    for n in range(4):
        made = await look(deps, town)
        assert made.breaks == 0, broken(made)
        unread = [x for x in made.lines if x["unread"]]
        assert [x["account"] for x in unread] == [chart.treasury(town.chain_id)]
        async with town.db.read() as s:
            told = await s.scalar(
                "SELECT count(*) FROM audit_entries WHERE kind = 'reconcile.unread'"
            )
        assert told == (n >= 2)
    await client.close()
    assert await live(town) == []


async def test_the_report_and_what_it_sets_are_one_commit(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two, neither is there; the next cycle makes both."""
    await funded(town, 500 * USDC)
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    deps = deps_of(town)
    real = breakers.follow

    async def dies(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(breakers, "follow", dies)
    with pytest.raises(RuntimeError):
        await look(deps, town)
    async with town.db.read() as s:
        assert await s.scalar("SELECT count(*) FROM reconciliations") == 0
    assert await live(town) == []
    monkeypatch.setattr(breakers, "follow", real)
    assert len(broken(await look(deps, town))) == 1
    assert await breaker(town) is not None


def test_what_goes_out_is_a_closed_set() -> None:
    """A new kind of intent must be decided on here."""
    goes_on = {
        *(IntentKind.SWEEP_NATIVE, IntentKind.SWEEP_TOKEN, IntentKind.SWEEP_BATCH),
        *(IntentKind.SWEEP_GAS, IntentKind.SWEEP_TRANSFER, IntentKind.COLD_STORE),
        *(IntentKind.SAFE_REJECT, IntentKind.DEALLOCATE, IntentKind.CLAIM, IntentKind.ANCHOR),
    }
    assert set(IntentKind) == STOPPED | goes_on | {IntentKind.RELEASE}
