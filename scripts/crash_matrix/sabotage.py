"""Bugs that are planted on purpose: a matrix that does not report each of them proves nothing.

Each is a mistake that custody systems have made. Where ours has several guards against it, the
plant takes away as many as it needs to do harm.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from chains.errors import AmbiguousBroadcast
from chains.evm.client import EvmClient
from custody.core import idempotency
from custody.core.ids import TransferId, new_uuid7
from custody.core.leases import Leases
from custody.core.ports import SignerRefused, SignerUnavailable
from custody.keys.client import SignerClient
from custody.keys.desk import Desk
from custody.policy import decisions
from custody.settlement import confirm, intents, nonces, outbound, states, versions
from custody.withdrawals import liquidity, rows, settle


def plant(name: str) -> None:
    """Put the bug into this process. Raises KeyError for a name that is not in the table."""
    PLANTS[name]()


def _put(owner: Any, name: str, bug: Callable[..., Any]) -> Any:
    """Put `bug` in the place of a function; what was there."""
    before = getattr(owner, name)
    setattr(owner, name, bug)
    return before


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
            decided = decisions.from_json((await intents.get(s, *who)).decision or {})
            nonce = await _next_of_node(deps.clients[intent.chain_id], intent.sender)
            signed = await deps.signer.sign(intent, decided, nonce, fees)
            await deps.clients[intent.chain_id].send_raw(signed.raw)
            await nonces.bind(s, *who, intent.chain_id, intent.sender, deps.rules.pending_max)
            await outbound._store(s, deps, intent, nonce, signed)
        return True

    _put(outbound, "_bind_and_sign", send_and_write)


async def _next_of_node(client: EvmClient, sender: str) -> int:
    endpoint = client.endpoints[0]
    return int(await endpoint.request("eth_getTransactionCount", [sender, "pending"]), 16)


def _new_nonce_after_a_timeout() -> None:
    """A send without an answer is taken for one that did not leave: once more, with a new nonce.

    The signer's memory would stop it, so that goes, too; the database would refuse the new nonce
    to the row, so no row says anything of it.
    """
    _forgetful_signer()

    async def send_raw(client: EvmClient, raw: str) -> str:
        try:
            return str(await send(client, raw))
        except AmbiguousBroadcast:
            unanswered.append(raw)
            raise

    async def once_more(deps: Any, row: Any) -> bool:
        moved = bool(await broadcast(deps, row))
        if row.raw in unanswered:
            intent, client = row.intent, deps.clients[row.intent.chain_id]
            fees = await outbound._fees(deps, intent)
            nonce = await _next_of_node(client, intent.sender)
            decided = decisions.from_json(row.decision)
            again = await deps.signer.sign(intent, decided, nonce, fees)
            await client.send_raw(again.raw)
        return moved

    unanswered: list[str] = []
    send = _put(EvmClient, "send_raw", send_raw)
    broadcast = _put(outbound, "broadcast", once_more)


def _forgetful_signer() -> None:
    """Signs any intent with any nonce, as often as it is asked."""
    sign = Desk.sign

    def forget(desk: Desk, request: Any) -> Any:
        known = desk._store.binding(request.intent_id)
        if known is not None and known.nonce != request.nonce:
            # What it signed is under the intent's id: this one is another intent to it.
            name = f"{request.intent.digest()[7:31]}{request.nonce:08x}"
            body = request.intent.to_json() | {"id": f"int_{name}"}
            other = type(request.intent).from_json(body)
            decision = replace(request.decision, intent_digest=other.digest())
            request = replace(request, intent=other, decision=decision)
        return sign(desk, request)

    _put(Desk, "sign", forget)


def _hold_posted_twice() -> None:
    """The holder's money is taken by the hold, and once more by a transfer."""

    async def twice(s: Any, w: Any, receipt: Any) -> Any:
        entries = await journal(s, w, receipt)
        for hold_id, amount in await rows.holds(s, w.id):
            held = await s.one(
                "SELECT debit_account_id AS debit, credit_account_id AS credit FROM transfers"
                " WHERE id = :id",
                {"id": hold_id},
            )
            again = replace(
                entries[-1],
                id=TransferId(new_uuid7()),
                kind="posted",
                debit=held.debit,
                credit=held.credit,
                amount=amount,
                pending_id=None,
            )
            entries.append(again)
        return entries

    journal = _put(settle, "_journal", twice)


def _lost_lease() -> None:
    """Two workers do the same step, and no row is locked or compared against its old state."""

    @asynccontextmanager
    async def hold(leases: Leases, name: str) -> AsyncIterator[bool]:
        yield True

    async def unlocked(s: Any, tenant: Any, id_: Any, *, lock: bool = False) -> Any:
        return await get(s, tenant, id_)

    async def always(*arguments: Any, **named: Any) -> bool:
        await move(*arguments, **named)
        return True

    async def release_again(s: Any, intent_id: Any) -> bool:
        await release(s, intent_id)
        return True

    _put(Leases, "hold", hold)
    get = _put(rows, "get", unlocked)
    move = _put(settle, "move", always)
    _put(liquidity, "move", always)
    release = _put(intents, "release", release_again)


def _receipt_without_depth() -> None:
    """The first receipt counts as final."""

    async def advance(deps: Any, row: Any) -> bool:
        client = deps.clients[row.intent.chain_id]
        async with deps.db.read() as s:
            known = await versions.of(s, row.intent.id)
        receipt = await confirm._receipt_of_any(client, row, known)
        if receipt is None:
            return await confirm._missing(deps, row, known)
        return await confirm._finish(deps, row, receipt, known)

    _put(confirm, "_advance", advance)


def _timeout_taken_for_refusal() -> None:
    """A signer that does not answer is taken for one that said no: the hold goes back."""

    async def impatient(client: Any, *arguments: Any) -> Any:
        try:
            return await sign(client, *arguments)
        except SignerUnavailable as error:
            raise SignerRefused("timeout", "no answer") from error

    sign = _put(SignerClient, "sign", impatient)


def _request_forgotten() -> None:
    """The answer to an Idempotency-Key is not kept: who asks again, asks for another payment."""

    async def forget(*arguments: Any) -> None:
        return None

    _put(idempotency, "finish", forget)
    _put(idempotency, "begin", forget)


PLANTS: dict[str, Callable[[], None]] = {
    "broadcast-before-commit": _broadcast_before_commit,
    "new-nonce-after-timeout": _new_nonce_after_a_timeout,
    "hold-posted-twice": _hold_posted_twice,
    "lost-lease": _lost_lease,
    "receipt-without-depth": _receipt_without_depth,
    "timeout-taken-for-refusal": _timeout_taken_for_refusal,
    "request-forgotten": _request_forgotten,
}
