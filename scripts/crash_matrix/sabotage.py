"""Bugs that are planted on purpose: a matrix that does not report each of them proves nothing.

Each is a mistake that custody systems have made. Where ours has several guards against it, the
plant takes away as many as it needs to do harm.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from chains.errors import AmbiguousBroadcast, ChainError
from chains.evm.client import EvmClient
from custody.core import idempotency
from custody.core.leases import Leases
from custody.keys.desk import Desk
from custody.ledger import posting
from custody.settlement import confirm, intents, nonces, outbound, states, versions
from custody.withdrawals import rows, settle
from custody.withdrawals import states as withdrawal_states


def plant(name: str) -> None:
    """Put the bug into this process. Raises KeyError for a name that is not in the table."""
    PLANTS[name]()


def _broadcast_before_commit() -> None:
    """The nonce comes from the node, and rows are written once the transaction is out."""
    _forgetful_signer()

    async def send_and_write(deps: Any, row: Any) -> bool:
        intent = row.intent
        if row.state is not states.IntentState.QUEUED:
            return False
        fees = await outbound._fees(deps, intent)
        async with deps.db.write() as s:
            at = deps.clock.now()
            who = (intent.tenant_id, intent.id)
            state = await intents.reconsider(s, *who, at=at, hold_back=False)
            if state is not states.IntentState.QUEUED:
                return True
            decided = outbound.decisions.from_json((await intents.get(s, *who)).decision)
            nonce = await _next_of_node(deps.clients[intent.chain_id], intent.sender)
            signed = await deps.signer.sign(intent, decided, nonce, fees)
            await deps.clients[intent.chain_id].send_raw(signed.raw)
            await nonces.bind(s, *who, intent.chain_id, intent.sender, deps.rules.pending_max)
            await outbound._store(s, deps, intent, nonce, signed)
        return True

    outbound._bind_and_sign = send_and_write


async def _next_of_node(client: EvmClient, sender: str) -> int:
    endpoint = client.endpoints[0]
    return int(await endpoint.request("eth_getTransactionCount", [sender, "pending"]), 16)


def _new_nonce_after_a_timeout() -> None:
    """A send without an answer is taken for one that did not leave: once more, with a new nonce.

    The signer's memory would stop it, so that goes, too.
    """
    _forgetful_signer()
    send = EvmClient.send_raw

    async def once_more(client: EvmClient, raw: str) -> str:
        try:
            return await send(client, raw)
        except (AmbiguousBroadcast, ChainError) as error:
            raise _Again from error

    EvmClient.send_raw = once_more  # type: ignore[method-assign]
    broadcast = outbound.broadcast

    async def requeue(deps: Any, row: Any) -> bool:
        try:
            return await broadcast(deps, row)
        except _Again:
            async with deps.db.write() as s:
                await s.execute(
                    "UPDATE intents SET state = 'queued', nonce = NULL, raw = NULL, tx_hash = NULL"
                    " WHERE id = :i",
                    {"i": row.intent.id},
                )
            return True

    outbound.broadcast = requeue
    confirm.outbound.broadcast = requeue


class _Again(Exception):
    pass


def _forgetful_signer() -> None:
    """Signs any intent with any nonce, as often as it is asked."""
    first = Desk._first

    def sign(desk: Desk, request: Any) -> Any:
        known = desk._store.binding(request.intent_id)
        if known is not None and known.nonce != request.nonce:
            intent = request.intent.to_json() | {
                "id": "int_" + request.intent.digest()[7:31] + f"{request.nonce:08x}"
            }
            request = replace(request, intent=type(request.intent).from_json(intent))
            request = replace(
                request, decision=replace(request.decision, intent_digest=request.intent.digest())
            )
        known = desk._store.binding(request.intent_id)
        account = desk._store.account_of(request.tenant)
        if known is not None:
            return desk._again(account, request, known)  # type: ignore[arg-type]
        return first(desk, account, request)  # type: ignore[arg-type]

    Desk.sign = sign  # type: ignore[method-assign]


def _hold_posted_twice() -> None:
    """The holder's money is taken by the hold, and once more by a transfer."""
    journal = settle.PayoutEffects._journal

    async def twice(effects: Any, s: Any, w: Any, receipt: Any) -> list[Any]:
        entries = await journal(effects, s, w, receipt)
        held = await rows.holds(s, w.id)
        for hold_id, amount in held:
            row = await s.one(
                "SELECT debit_account_id AS d, credit_account_id AS c FROM transfers"
                " WHERE id = :id",
                {"id": hold_id},
            )
            entries.append(
                replace(entries[-1], id=posting.new_uuid7(), kind=posting.POST, debit=row.d,
                        credit=row.c, amount=amount, pending_id=None)
            )  # fmt: skip
        return entries

    settle.PayoutEffects._journal = twice  # type: ignore[method-assign]


def _lost_lease() -> None:
    """Two workers do the same step, and no row is locked or compared against its old state."""

    @asynccontextmanager
    async def hold(leases: Leases, name: str) -> AsyncIterator[bool]:
        yield True

    Leases.hold = hold  # type: ignore[method-assign, assignment]
    get = rows.get

    async def unlocked(s: Any, tenant: Any, id_: Any, *, lock: bool = False) -> Any:
        return await get(s, tenant, id_)

    rows.get = unlocked
    move = withdrawal_states.move

    async def always(
        s: Any, clock: Any, tenant: Any, id_: Any, old: Any, new: Any, *r: Any
    ) -> bool:
        await move(s, clock, tenant, id_, old, new, *r)
        return True

    settle.move = withdrawal_states.move = always
    intents.release = _release_again  # type: ignore[assignment]


async def _release_again(s: Any, intent_id: Any) -> bool:
    await states.move(s, intent_id, states.IntentState.APPROVED, states.IntentState.QUEUED)
    return True


def _receipt_without_depth() -> None:
    """The first receipt counts as final."""
    finish = confirm._finish

    async def advance(deps: Any, row: Any) -> bool:
        client = deps.clients[row.intent.chain_id]
        async with deps.db.read() as s:
            known = await versions.of(s, row.intent.id)
        receipt = await confirm._receipt_of_any(client, row, known)
        if receipt is None:
            return await confirm._missing(deps, row, known)
        return await finish(deps, row, receipt, known)

    confirm._advance = advance


def _timeout_taken_for_refusal() -> None:
    """A signer that does not answer is taken for one that said no: the hold goes back."""
    from custody.core.ports import SignerRefused, SignerUnavailable
    from custody.keys.client import SignerClient

    sign = SignerClient.sign

    async def impatient(client: Any, *arguments: Any) -> Any:
        try:
            return await sign(client, *arguments)
        except SignerUnavailable as error:
            raise SignerRefused("timeout", "no answer") from error

    SignerClient.sign = impatient  # type: ignore[method-assign]


def _request_forgotten() -> None:
    """The answer to an Idempotency-Key is not kept: who asks again, asks for another payment."""

    async def forget(*arguments: Any) -> None:
        return None

    idempotency.finish = forget
    idempotency.begin = forget


PLANTS: dict[str, Callable[[], None]] = {
    "broadcast-before-commit": _broadcast_before_commit,
    "new-nonce-after-timeout": _new_nonce_after_a_timeout,
    "hold-posted-twice": _hold_posted_twice,
    "lost-lease": _lost_lease,
    "receipt-without-depth": _receipt_without_depth,
    "timeout-taken-for-refusal": _timeout_taken_for_refusal,
    "request-forgotten": _request_forgotten,
}
