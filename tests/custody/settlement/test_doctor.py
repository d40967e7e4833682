"""Each difference between us, the signer and the chain: made for real, found, and repaired."""

from typing import Any

import pytest

from api.commands.doctor import examine
from chains.devnet.scenario.chain import fee_spike, held
from chains.errors import RpcUnavailable
from custody.core.ports import Fees
from custody.settlement import doctor, outbound, replace
from custody.settlement.doctor import Ailment
from custody.settlement.states import IntentState
from custody.withdrawals.states import State
from tests.custody.settlement.orders import native_payout
from tests.custody.settlement.stuck import (
    finish,
    impatient,
    nonce_on_chain,
    row_of,
    send_one,
    versions_of,
)
from tests.fixtures.paying import ask, funded, paid, run_until, run_until_released, state_of
from tests.fixtures.town import USDC, Town

pytestmark = pytest.mark.chain

GWEI = 10**9


async def ailments(town: Town) -> list[Ailment]:
    return [f.ailment for f in await doctor.examine(town.settlement)]


async def repaired(town: Town, ailment: Ailment) -> None:
    """Found, told in one line with its repair, left alone by the dry run, gone after the repair."""
    assert await ailments(town) == [ailment]
    dry = await examine(town.settlement, repair=False)
    assert (len(dry.lines), dry.left) == (1, 1)
    assert doctor.REPAIRS[ailment] in dry.lines[0]
    assert await ailments(town) == [ailment]
    done = await examine(town.settlement, repair=True)
    assert done.lines[1].startswith("repaired: ")
    assert ailment not in await ailments(town)


async def pays(town: Town, customer: Any) -> None:
    """The wallet is not jammed."""
    w = await ask(town, customer, 50 * USDC)
    await run_until(town, w, State.SETTLED, rounds=30)
    assert await ailments(town) == []


async def test_a_healthy_town_has_nothing(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    await pays(town, alice)


async def test_gap_above(town: Town) -> None:
    """The counter ran ahead of everything: nothing that is bound there could ever be mined."""
    alice = await funded(town, 500 * USDC)
    await pays(town, alice)
    payout = (await town.role("payout")).address
    async with town.db.write() as s:
        await s.execute("UPDATE nonces SET next_nonce = 7 WHERE address = :a", {"a": payout})
    await repaired(town, Ailment.GAP_ABOVE)
    await pays(town, alice)


async def test_hole_below(town: Town) -> None:
    """What waits behind an unused nonce is mined once that is filled."""
    alice = await funded(town, 500 * USDC)
    payout = (await town.role("payout")).address
    async with town.db.write() as s:
        await s.execute(
            "INSERT INTO nonces VALUES (:c, :a, :t, 2)",
            {"c": town.chain_id, "a": payout, "t": town.tenant_id},
        )
    w = await send_one(town, alice)
    assert (await row_of(town, w.intent_id)).nonce == 2
    await repaired(town, Ailment.HOLE_BELOW)
    for _ in range(3):
        await replace.step(town.settlement)
        await finish(town)
    assert await state_of(town, w) is State.SETTLED
    assert nonce_on_chain(town, payout) == 3
    await pays(town, alice)


async def test_foreign_use_of_a_key(town: Town) -> None:
    """Told for as long as the counter is behind; then payments go on above."""
    alice = await funded(town, 500 * USDC)
    stolen = await _sign_outside(town)
    town.mined(town.anvil.rpc("eth_sendRawTransaction", stolen))
    await repaired(town, Ailment.FOREIGN_USE)
    await pays(town, alice)


async def _sign_outside(town: Town) -> str:
    """Nonce 0 of the payout wallet, with our key, but not by our signer."""
    address = (await town.role("payout")).address
    thief = native_payout(town.tenant_id, address, chain_id=town.chain_id)
    signer = type(town.signer)(town.signer.account)
    made = await signer.sign(thief, None, 0, Fees(100 * GWEI, GWEI))  # type: ignore[arg-type]
    return made.raw


async def test_overtaken_by_a_foreign_transaction(town: Town) -> None:
    """Only a person decides: the hold stays, nothing is sent again with another nonce."""
    alice = await funded(town, 500 * USDC)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        town.anvil.rpc("anvil_dropAllTransactions")
        town.anvil.rpc("eth_sendRawTransaction", await _sign_outside(town))
        town.anvil.mine(1)
    before = paid(town)
    assert await ailments(town) == [Ailment.OVERTAKEN]
    report = await examine(town.settlement, repair=True)
    assert (len(report.lines), report.left) == (1, 1)
    for _ in range(3):
        await town.step_all()
    assert paid(town) == before
    assert await town.available(alice, town.usdc) == 400 * USDC
    assert (await row_of(town, w.intent_id)).nonce == 0


async def test_bytes_that_were_never_sent(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await funded(town, 500 * USDC)

    async def lost(self: object, raw: str) -> str:
        raise RpcUnavailable("no endpoint took the transaction")

    w = await ask(town, alice, 100 * USDC)
    await run_until_released(town, w)
    with monkeypatch.context() as patched:
        patched.setattr(type(town.client), "send_raw", lost)
        await outbound.step(town.settlement)
    with held(town.anvil.rpc_url):
        await repaired(town, Ailment.NEVER_SENT)
    await finish(town)
    assert await state_of(town, w) is State.SETTLED


@pytest.mark.parametrize(
    ("rules", "ailment"),
    [({}, Ailment.UNDERPRICED), ({"versions_max": 1}, Ailment.AT_THE_CAP)],
)
async def test_underpriced(town: Town, rules: dict[str, int], ailment: Ailment) -> None:
    alice = await funded(town, 500 * USDC)
    impatient(town, replace_after_s=3600, **rules)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        with fee_spike(town.anvil.rpc_url, 40 * GWEI) as spike:
            assert await ailments(town) == [ailment]
            report = await examine(town.settlement, repair=True)
            assert report.left == int(ailment is Ailment.AT_THE_CAP)
            spike.mine()
    await finish(town)
    assert await state_of(town, w) is State.SETTLED
    assert len(await versions_of(town, w.intent_id)) == 2 - report.left


async def _run(owner: Any, intent_id: Any, *statements: str) -> None:
    """As an older backup has it: by the owner, past the triggers."""
    async with owner.write() as s:
        await s.execute("ALTER TABLE intents DISABLE TRIGGER intents_guard")
        for statement in statements:
            await s.execute(statement, {"i": intent_id})
        await s.execute("ALTER TABLE intents ENABLE TRIGGER intents_guard")


_VERSION = "DELETE FROM transfer_versions WHERE intent_id = :i"
_SEEN = "DELETE FROM intent_simulations WHERE intent_id = :i"
_BYTES = (
    "UPDATE intents SET state = 'queued', nonce = NULL, raw = NULL, tx_hash = NULL WHERE id = :i"
)
_NONCE = "DELETE FROM nonces n USING intents i WHERE i.id = :i AND n.address = i.sender"


@pytest.mark.parametrize(
    ("lost", "ailment"),
    [
        ((_VERSION,), Ailment.BYTES_LOST),
        ((_VERSION, _BYTES), Ailment.SIGNER_AHEAD),
        ((_NONCE, _VERSION, _BYTES), Ailment.SIGNER_AHEAD),
        ((_NONCE, _VERSION, _SEEN, "DELETE FROM intents WHERE id = :i"), Ailment.SIGNER_AHEAD),
    ],
    ids=["a version", "the bytes", "the counter too", "the row"],
)
async def test_what_only_the_signer_knows(
    town: Town, lost: tuple[str, ...], ailment: Ailment, owner_database: Any
) -> None:
    """What a restore took away comes back from the signer's store as it was, and is paid once."""
    alice = await funded(town, 500 * USDC)
    before = paid(town)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        had = await row_of(town, w.intent_id)
        await _run(owner_database, w.intent_id, *lost)
        await repaired(town, ailment)
        row = await row_of(town, w.intent_id)
        assert row.state is IntentState.UNKNOWN
        assert (row.intent, row.decision, row.raw, row.nonce) == (
            had.intent,
            had.decision,
            had.raw,
            had.nonce,
        )
    await finish(town)
    assert await state_of(town, w) is State.SETTLED
    assert paid(town) - before == w.net
    await pays(town, alice)


async def test_a_row_without_bytes_gives_up_the_nonce_of_another(
    town: Town, owner_database: Any
) -> None:
    """Bound here to one intent and at the signer to another, as a restore without a check does."""
    alice = await funded(town, 500 * USDC)
    before = paid(town)
    hold_back = "UPDATE intents SET state = 'approved' WHERE id = :i"
    with held(town.anvil.rpc_url):
        first = await send_one(town, alice)
        await _run(owner_database, first.intent_id, _NONCE, _VERSION, _BYTES, hold_back)
        second = await ask(town, alice, 70 * USDC)
        async with town.db.write() as s:
            await s.execute(
                "UPDATE intents SET state = 'bound', nonce = 0 WHERE id = :i",
                {"i": second.intent_id},
            )
        await outbound.step(town.settlement)
        assert (await row_of(town, second.intent_id)).state is IntentState.BOUND
        await repaired(town, Ailment.SIGNER_AHEAD)
        assert (await row_of(town, second.intent_id)).nonce is None
    await finish(town)
    assert paid(town) - before == first.net
    assert await state_of(town, first) is State.SETTLED
