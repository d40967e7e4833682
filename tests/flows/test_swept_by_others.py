"""Anybody may bring a deposit address's money to the treasury: it is booked, and hides no theft."""

import asyncio
from typing import Any

import pytest

from chains.devnet.rpc import encode_call, submit
from custody.assurance import breaks, drift, moved, reconcile
from custody.assurance.breaks import Break, State
from custody.audit.commit import opens
from custody.core.errors import Conflict
from custody.core.money import AssetId
from custody.ledger import chart
from custody.policy.breakers import BreakerState
from tests.fixtures.breaking import (
    breaker,
    caught_up,
    closed,
    live,
    look,
    say,
    second_person,
    signed,
    taken,
    written,
)
from tests.fixtures.paying import funded
from tests.fixtures.reconciling import broken, deps_of
from tests.fixtures.town import ETHER, USDC, Town

pytestmark = pytest.mark.chain


async def _swept(town: Town, amount: int = 40 * USDC) -> str:
    """A deposit, which a stranger brings to the treasury; its address."""
    alice = await funded(town, 500 * USDC)
    await town.deposit(alice, town.usdc, amount)
    async with town.db.read() as s:
        address = str(
            await s.scalar(
                "SELECT address FROM deposits WHERE customer_id IS NOT NULL"
                " ORDER BY id DESC LIMIT 1"
            )
        )
    taken(town, address, amount, (await town.role("treasury")).address)
    return address


async def _booked(town: Town, address: str, asset: AssetId) -> list[int]:
    code = chart.deposit(town.chain_id, address)
    async with town.db.read() as s:
        rows = await s.all(
            "SELECT t.amount FROM transfers t JOIN accounts a ON a.id = t.credit_account_id"
            " WHERE t.code = :code AND a.code = :account AND a.asset_id = :asset",
            {"code": moved.CODE, "account": code, "asset": asset},
        )
    return [int(r.amount) for r in rows]


async def test_what_strangers_swept_is_booked_by_the_second_look(town: Town) -> None:
    address = await _swept(town)
    found = broken(await look(deps_of(town), town))
    assert sorted(int(x["difference"]) for x in found) == [-40 * USDC, 40 * USDC]
    assert not any(x["stops"] for x in found)
    assert await _booked(town, address, town.usdc) == [], "one moment is not believed"
    await look(deps_of(town), town)
    assert await _booked(town, address, town.usdc) == [40 * USDC]
    assert broken(await look(deps_of(town), town)) == []
    assert await town.balance(chart.deposit(town.chain_id, address), town.usdc) == 0
    assert (await breaker(town), await live(town)) == (None, []), "nobody has work with it"
    async with town.db.read() as s:
        kinds = [r.kind for r in await s.all("SELECT kind FROM audit_entries ORDER BY id")]
    assert kinds.count("sweep.booked") == 1


async def test_a_theft_behind_a_sweep_by_others_stops_the_asset(town: Town) -> None:
    """Nobody accepts the sweep, so the same amount leaving the treasury makes nothing agree."""
    await _swept(town)
    await look(deps_of(town), town)
    for b in await live(town):
        await say(town, b, State.EXPLAINED, "a stranger swept it")
        with pytest.raises(Conflict, match="it is booked"):
            await say(town, b, State.CLOSED)
    taken(town, (await town.role("treasury")).address, 40 * USDC)
    found = broken(await look(deps_of(town), town))
    assert any(x["stops"] for x in found)
    assert await breaker(town) is not None


async def test_a_theft_after_it_was_booked_is_a_theft(town: Town) -> None:
    await _swept(town)
    for _ in range(3):
        await look(deps_of(town), town)
    taken(town, (await town.role("treasury")).address, 40 * USDC)
    found = broken(await look(deps_of(town), town))
    assert [(x["account"], x["stops"]) for x in found] == [(chart.treasury(town.chain_id), True)]


async def test_killed_before_it_is_booked_and_by_two_at_once_it_is_booked_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, deps = await _swept(town), deps_of(town)
    await look(deps, town)

    async def dies(*_: Any) -> int:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(moved, "book", dies)
        with pytest.raises(RuntimeError):
            await look(deps, town)
    assert await _booked(town, address, town.usdc) == []
    await caught_up(town)
    await asyncio.gather(*(reconcile.step(deps, town.tenant_id, town.chain_id) for _ in range(3)))
    assert await _booked(town, address, town.usdc) == [40 * USDC]


async def _surplus_accepted(town: Town) -> Break:
    await funded(town, 500 * USDC)
    await written(town, chart.treasury(town.chain_id), town.usdc, -5 * USDC)
    for _ in range(2):
        await look(deps_of(town), town)
    row, found = (await live(town))[0], await breaker(town)
    assert found is not None
    await say(town, row, State.EXPLAINED, "asked Ann of the treasury")
    await closed(town, found, await signed(town, found, town.approver, await second_person(town)))
    assert broken(await look(deps_of(town), town)) == []
    return row


async def test_an_accepted_surplus_that_is_gone_is_missing(town: Town) -> None:
    await _surplus_accepted(town)
    taken(town, (await town.role("treasury")).address, 5 * USDC)
    found = broken(await look(deps_of(town), town))
    assert [(x["difference"], x["accepted"], x["stops"]) for x in found] == [
        ("0", str(5 * USDC), True)
    ]
    await look(deps_of(town), town)
    opened = await breaker(town)
    assert opened is not None
    assert opened.state is BreakerState.OPEN
    row = (await live(town))[0]
    assert (row.difference, row.beyond) == (0, -5 * USDC)
    await say(town, row, State.EXPLAINED)
    given = await signed(town, opened, town.approver, await second_person(town))
    await closed(town, opened, given)
    assert broken(await look(deps_of(town), town)) == [], "two people have said so"


async def test_nobody_alone_accepts_that_something_is_missing(town: Town) -> None:
    """Whether or not it stops anything."""
    await funded(town, 500 * USDC)
    await written(town, chart.treasury(town.chain_id), town.usdc, 1)
    await look(deps_of(town), town)
    row = (await live(town))[0]
    async with town.db.write() as s:
        await s.execute("UPDATE breaks SET stops = false, breaker_id = NULL")
    await say(town, row, State.EXPLAINED)
    with pytest.raises(Conflict, match="two people"):
        await say(town, row, State.CLOSED)


async def test_what_people_write_is_in_the_table_and_only_committed_to_in_the_log(
    town: Town,
) -> None:
    row = await _surplus_accepted(town)
    async with town.db.read() as s:
        said = await s.all(
            "SELECT note, salt FROM break_notes WHERE break_id = :id ORDER BY id", {"id": row.id}
        )
        told = await s.all("SELECT body FROM audit_entries WHERE kind = 'break.moved' ORDER BY id")
        assert [n.note for n in await breaks.notes(s, row.id)] == [r.note for r in said]
    assert said[0].note == "asked Ann of the treasury"
    body = next(r.body for r in told if b'"to":"explained"' in r.body)
    assert b"Ann" not in body
    stated = body.split(b'"note":"sha256:')[1][:64].decode()
    assert opens(stated, said[0].salt, said[0].note)
    assert len({r.salt for r in said}) == len(said)


async def test_a_sweep_of_a_measured_token_is_no_loss(town: Town) -> None:
    """Drift leaves it alone, and reconciliation books it as of any token: also the first one, when
    the treasury has never had any of it."""
    token = town.world.odd_tokens.rebasing
    asset = town.list_token(token, measured=True)
    alice = await town.customer("alice")
    address, url = await town.address(alice, 1), town.anvil.rpc_url
    data = encode_call("transfer(address,uint256)", address, ETHER)
    town.mined(submit(url, town.world.accounts.whale, token.address, data))
    await caught_up(town)
    treasury = (await town.role("treasury")).address
    taken(town, address, ETHER, treasury, token.address)
    await caught_up(town)
    deps = deps_of(town)
    assert await drift.step(deps, town.tenant_id, town.chain_id) == 0
    for _ in range(2):
        found = broken(await look(deps, town))
        assert sorted(int(x["difference"]) for x in found) == [-ETHER, ETHER]
        assert not any(x["stops"] for x in found)
    assert broken(await look(deps, town)) == []
    assert await _booked(town, address, asset) == [ETHER]
    assert await town.balance(chart.treasury(town.chain_id), asset) == ETHER
