"""Withdrawals over the hot limit on the real Safe: whatever happens, paid once or not at all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet import safe as devnet_safe
from chains.devnet.rpc import impersonated, rpc, send
from chains.devnet.scenario.chain import Fate, reorg
from chains.evm.contracts.safe import Safe, SafeCall, rejection, transaction_hash
from custody.audit import verify
from custody.core.errors import Conflict, Forbidden, InvalidInput, Refused
from custody.core.ids import CustomerId
from custody.core.intents import IntentKind
from custody.ledger import chart
from custody.policy import policies
from custody.policy.document import Policy
from custody.settlement import confirm, intents
from custody.settlement.states import IntentState
from custody.withdrawals import cold, owners, proposals, rows, settle, store
from custody.withdrawals.proposals import Proposal, ProposalState
from custody.withdrawals.rows import Withdrawal
from tests.fixtures.cold import (
    OVER_HOT,
    ask_cold,
    execute_as_stranger,
    hand_in,
    has_ended,
    owners_of,
    proposal_of,
    run_to_end,
    run_until_proposed,
    safe_nonce,
    sign_all,
    signature,
)
from tests.fixtures.paying import OUTSIDE, ask, funded, paid
from tests.fixtures.town import CONFIRMATIONS, USDC, Town

pytestmark = pytest.mark.chain

MONEY = 100_000 * USDC


async def _proposed(town: Town) -> tuple[CustomerId, Withdrawal, Proposal]:
    alice = await funded(town, MONEY)
    w = await ask_cold(town, alice)
    return alice, w, await run_until_proposed(town, w)


async def _until(town: Town, w: Withdrawal, state: ProposalState, rounds: int = 12) -> Proposal:
    for _ in range(rounds):
        p = await proposal_of(town, w)
        if p.state is state:
            return p
        await town.step_all()
    raise AssertionError(f"never {state}: {await proposal_of(town, w)}")


def _signed(town: Town, p: Proposal) -> dict[str, bytes]:
    return {owner: signature(town, p, owner) for owner in owners_of(town)}


async def _reject(town: Town, w: Withdrawal) -> Proposal:
    async with town.db.write() as s:
        p = await proposals.get(s, town.tenant_id, (await proposal_of(town, w)).id, lock=True)
        await cold.reject(s, town.withdrawals.clock, p, "not wanted any more")
    return await proposal_of(town, w)


async def _safe_balance(town: Town) -> int:
    return await town.balance(chart.wallet("safe", town.chain_id), town.usdc)


async def test_the_hash_is_the_contracts_own(town: Town) -> None:
    """Property 17: what owners are asked to sign is computed here, and is what the Safe checks."""
    address = (await town.role("safe")).address
    block = await town.client.block("latest")
    calls = [SafeCall(OUTSIDE, 7, b""), SafeCall(OUTSIDE, 0, b"\1" * 68), rejection(address)]
    for nonce, call in enumerate(calls):
        ours = transaction_hash(town.chain_id, address, call, nonce)
        assert ours == await Safe(town.client, address).transaction_hash(call, nonce, block)


async def test_over_the_hot_limit_the_safe_pays(town: Town) -> None:
    alice, w, p = await _proposed(town)
    before = paid(town)
    await town.step_all()
    assert (await proposal_of(town, w)).state is ProposalState.PROPOSED
    assert await hand_in(town, p, owners_of(town)[0])
    assert not await hand_in(town, p, owners_of(town)[0])  # one owner counts once
    await town.step_all()
    assert (await proposal_of(town, w)).state is ProposalState.PROPOSED
    assert await run_to_end(town, w) == "settled"
    assert (await proposal_of(town, w)).state is ProposalState.EXECUTED
    assert paid(town) - before == w.net
    assert await town.available(alice, town.usdc) == MONEY - OVER_HOT
    assert await _safe_balance(town) == 0
    assert outside.erc20_balance(town.anvil.rpc_url, town.usdc.split(":")[-1], p.safe) == 0
    assert w.intent_id not in town.signer.bytes_by_intent  # what people approved is never signed
    async with town.db.read() as s:
        decided = await intents.get(s, town.tenant_id, w.intent_id)
    assert decided.state is IntentState.CANCELLED
    await _auditor_agrees(town, decided.intent.to_json())


async def _auditor_agrees(town: Town, body: dict[str, Any]) -> None:
    """The auditor's own tool computes the hash anew, and sees another call for what it is."""
    async with town.db.read() as s:
        found = await s.all(
            "SELECT convert_from(body, 'UTF8')::jsonb AS body FROM audit_entries"
            " WHERE kind IN ('safe.proposed', 'safe.state') ORDER BY id"
        )
    told = [row.body["data"] for row in found]
    proposed = next(d for d in told if "nonce" in d)
    executed = next(d for d in told if d.get("to") == "executed")

    def check(data: dict[str, Any], approved: dict[str, Any]) -> None:
        proposal, end = (SimpleNamespace(where="here", data=d) for d in (data, executed))
        verify.check_safe_call(proposal, end, approved)  # type: ignore[arg-type]

    check(proposed, body)
    for changed in ({**proposed, "nonce": "99"}, {**proposed, "to": OUTSIDE}):
        with pytest.raises(verify.Wrong):
            check(changed, body)
    with pytest.raises(verify.Wrong):
        check(proposed, {**body, "data": "0x"})


async def test_who_signs_and_what(town: Town) -> None:
    _, w, p = await _proposed(town)
    good = signature(town, p, owners_of(town)[0])
    whale = signature(town, p, town.world.accounts.whale)
    with pytest.raises(Forbidden):
        await owners.read(town.client, p, p.pay_hash, whale.hex())
    with pytest.raises(Conflict):
        await owners.read(town.client, p, p.reject_hash, good.hex())
    for bad in (good[:64] + b"\0", good[:64] + b"\x1f", good[:64], b"\xff" * 64 + b"\x1b"):
        with pytest.raises(InvalidInput):
            await owners.read(town.client, p, p.pay_hash, bad.hex())
    with pytest.raises(Conflict):  # what is shown to owners may be signed: it is not let go
        async with town.db.write() as s:
            fresh = await rows.get(s, town.tenant_id, w.id)
            await settle.cancel(s, town.withdrawals.clock, fresh, "changed my mind")


async def test_a_stranger_executes_first(town: Town) -> None:
    """What the owners signed can be executed by anybody: it counts, and once."""
    alice, w, p = await _proposed(town)
    before = paid(town)
    execute_as_stranger(town, p, _signed(town, p))
    await sign_all(town, p)
    assert await run_to_end(town, w) == "settled"
    assert paid(town) - before == w.net
    assert await town.available(alice, town.usdc) == MONEY - OVER_HOT


async def test_a_stranger_overtakes_our_execution(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 13, and the trap: ours reverts, and the money has been paid all the same."""
    alice, w, p = await _proposed(town)
    monkeypatch.setattr(cold, "RETRY_AFTER", timedelta(0))
    before = paid(town)
    await sign_all(town, p)
    await cold.step(town.withdrawals)
    assert (await proposal_of(town, w)).state is ProposalState.EXECUTING
    execute_as_stranger(town, p, _signed(town, p))
    assert await run_to_end(town, w) == "settled"
    assert paid(town) - before == w.net
    assert await town.available(alice, town.usdc) == MONEY - OVER_HOT
    execution = (await proposal_of(town, w)).intent_id
    for _ in range(CONFIRMATIONS + 2):
        await town.step_all()
    assert execution is not None
    async with town.db.read() as s:
        ours = await intents.get(s, town.tenant_id, execution)
    assert ours.state is IntentState.FAILED


async def test_a_revert_of_ours_lets_nothing_go(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Safe lacks the money for a moment: blocked, held, tried again, paid once."""
    alice, w, p = await _proposed(town)
    monkeypatch.setattr(cold, "RETRY_AFTER", timedelta(0))
    before, token = paid(town), town.world.tokens["USDC"].address
    back = _move_out_of_the_safe(town, p)
    await sign_all(town, p)
    await _until(town, w, ProposalState.BLOCKED)
    assert await town.available(alice, town.usdc) == MONEY - OVER_HOT
    assert not await has_ended(town, w)
    back()
    assert await run_to_end(town, w) == "settled"
    assert paid(town) - before == w.net
    assert outside.erc20_balance(town.anvil.rpc_url, token, p.safe) == 0


def _move_out_of_the_safe(town: Town, p: Proposal) -> Callable[[], object]:
    """Take its tokens away behind everybody's back, without using its nonce; give them back."""
    url, token = town.anvil.rpc_url, town.world.tokens["USDC"].address
    amount, whale = outside.erc20_balance(url, token, p.safe), town.world.accounts.whale
    rpc(url, "anvil_setBalance", p.safe, hex(10**18))
    with impersonated(url, p.safe):
        send(url, p.safe, token, "transfer(address,uint256)", whale, amount)
    return lambda: send(url, whale, token, "transfer(address,uint256)", p.safe, amount)


async def test_rejected_by_its_owners(town: Town) -> None:
    """Only once the nonce is used up for nothing is the hold let go."""
    alice, w, p = await _proposed(town)
    before, nonce = paid(town), safe_nonce(town, p.safe)
    await hand_in(town, p, owners_of(town)[0])
    p = await _reject(town, w)
    assert p.wanted_hash == p.reject_hash
    for _ in range(3):
        await town.step_all()
    assert await town.available(alice, town.usdc) == MONEY - OVER_HOT  # nobody signed it yet
    assert await run_to_end(town, w) == "cancelled"
    assert (await proposal_of(town, w)).state is ProposalState.REJECTED
    assert safe_nonce(town, p.safe) == nonce + 1
    assert paid(town) == before
    assert await town.available(alice, town.usdc) == MONEY
    with pytest.raises(Conflict):
        await _reject(town, w)


async def test_paid_while_its_rejection_is_being_signed(town: Town) -> None:
    alice, w, p = await _proposed(town)
    before, signed = paid(town), _signed(town, p)
    await _reject(town, w)
    call = p.wanted_call
    assert call.to == town.world.tokens["USDC"].address
    execute_as_stranger(town, p, signed)
    assert await run_to_end(town, w) == "settled"
    assert paid(town) - before == w.net
    assert await town.available(alice, town.usdc) == MONEY - OVER_HOT


async def test_the_owners_use_the_nonce_for_something_else(town: Town) -> None:
    alice, w, p = await _proposed(town)
    before = paid(town)
    devnet_safe.execute(town.anvil.rpc_url, p.safe, owners_of(town), p.safe, "0x", value=0)
    # That was our rejection, byte for byte; so it ends as one.
    assert await run_to_end(town, w) == "cancelled"
    other = await ask_cold(town, alice)
    q = await run_until_proposed(town, other)
    assert q.safe_nonce == p.safe_nonce + 1
    devnet_safe.execute(town.anvil.rpc_url, q.safe, owners_of(town), OUTSIDE, "0x", value=0)
    assert await run_to_end(town, other) == "failed"
    assert (await proposal_of(town, other)).state is ProposalState.DISPLACED
    assert paid(town) == before
    assert await town.available(alice, town.usdc) == MONEY


async def test_two_in_the_order_of_nonces(town: Town) -> None:
    """The second is signed first, and waits for its turn."""
    alice = await funded(town, MONEY)
    before = paid(town)
    first, second = await ask_cold(town, alice), await ask_cold(town, alice)
    p, q = await run_until_proposed(town, first), await run_until_proposed(town, second)
    one, two = sorted((p, q), key=lambda x: x.safe_nonce)
    assert two.safe_nonce == one.safe_nonce + 1
    await sign_all(town, two)
    for _ in range(3):
        await town.step_all()
    assert (await proposal_of(town, second)).state is ProposalState.PROPOSED
    await sign_all(town, one)
    assert await run_to_end(town, first) == "settled"
    assert await run_to_end(town, second) == "settled"
    assert paid(town) - before == first.net + second.net


async def test_a_reorg_takes_the_execution_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 24 for the Safe: nothing is settled before its depth, and it is paid once."""
    alice, w, p = await _proposed(town)
    monkeypatch.setattr(confirm, "RESEND_AFTER_S", 0)
    before = paid(town)
    await sign_all(town, p)
    while safe_nonce(town, p.safe) == p.safe_nonce:
        await town.step_all()
    assert not await has_ended(town, w)
    reorg(town.anvil.rpc_url, 1, Fate.LOST)
    assert safe_nonce(town, p.safe) == p.safe_nonce
    assert await run_to_end(town, w, rounds=40) == "settled"
    assert paid(town) - before == w.net
    assert await town.available(alice, town.usdc) == MONEY - OVER_HOT


async def test_an_approver_removed_after_the_proposal_stops_the_execution(town: Town) -> None:
    """Property 16: the owners' signatures do not stand in for the people of policy."""
    _, w, p = await _proposed(town)
    await sign_all(town, p)
    async with town.db.write() as s:
        await s.execute("UPDATE people SET removed_at = now()")
    for _ in range(4):
        await town.step_all()
    assert safe_nonce(town, p.safe) == p.safe_nonce
    assert not await has_ended(town, w)


async def test_a_node_that_hides_events_ends_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 14: money that was paid is not let go on a node's word that it was not."""
    alice, w, p = await _proposed(town)
    execute_as_stranger(town, p, _signed(town, p))

    async def nothing(*_: object) -> list[object]:
        return []

    with monkeypatch.context() as patched:
        patched.setattr(Safe, "executions", nothing)
        for _ in range(CONFIRMATIONS + 3):
            await town.step_all()
        assert not await has_ended(town, w)
        assert await town.available(alice, town.usdc) == MONEY - OVER_HOT
    assert await run_to_end(town, w) == "settled"


async def test_without_a_safe_it_is_refused(town: Town) -> None:
    alice = await funded(town, MONEY)
    # The limit is on what leaves: just within it the payout wallet pays.
    w = await ask(town, alice, 20_000 * USDC)
    assert w.payer == "payout"
    for lacking in (_without_safe, _without_rule):
        with pytest.raises(Refused) as refusal:
            await _ask_under(town, alice, lacking)
        assert refusal.value.rule == "over hot limit without a Safe"
    assert await town.available(alice, town.usdc) == MONEY - 20_000 * USDC


def _without_safe(policy: Policy) -> Policy:
    return replace(policy, places={k: replace(v, safe=None) for k, v in policy.places.items()})


def _without_rule(policy: Policy) -> Policy:
    rules = tuple(r for r in policy.rules if r.kind is not IntentKind.PAYOUT_SAFE)
    return replace(policy, rules=rules)


async def _ask_under(town: Town, alice: CustomerId, changed: Callable[[Policy], Policy]) -> None:
    current = policies.current

    async def other(*args: object) -> object:
        return changed(await current(*args))  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(policies, "current", other)
        await ask(town, alice, OVER_HOT)


async def test_treasury_moves_into_the_safe(town: Town) -> None:
    await funded(town, MONEY)
    async with town.db.write() as s:
        await store.store(s, town.withdrawals, town.tenant_id, town.usdc, 60_000 * USDC)
    with pytest.raises(Conflict):
        async with town.db.write() as s:
            await store.store(s, town.withdrawals, town.tenant_id, town.usdc, 1)
    for _ in range(6):
        await town.step_all()
    safe = (await town.role("safe")).address
    token = town.world.tokens["USDC"].address
    assert await _safe_balance(town) == 60_000 * USDC
    assert outside.erc20_balance(town.anvil.rpc_url, token, safe) == 60_000 * USDC
    assert await town.balance(chart.treasury(town.chain_id), town.usdc) == MONEY - 60_000 * USDC
