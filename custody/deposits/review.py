"""What two people decide about one deposit: the exact document they sign, and whether they did.

The document names what is decided and everything that the deposit is, its block and state included:
a deposit that has changed since is another document (`custody/policy/two_people.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from chains.types import BALANCE_LOG_INDEX, BlockRef
from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import WriteSession
from custody.core.errors import Conflict, Refused
from custody.core.ids import DepositId, TenantId, format_id
from custody.core.intents import Approval
from custody.core.money import AssetId
from custody.deposits import credit, freezes, listing
from custody.deposits.deps import DepositDeps
from custody.deposits.listing import Deposit
from custody.ledger import assets
from custody.policy import two_people

SCHEMA = "moorage.deposit-review/1"
OF = "the deposit as it is now"


class Action(StrEnum):
    """What is decided. Freezing is not here: one person does that, at once."""

    UNFREEZE = "unfreeze"
    CONFIRM = "confirm"
    DISMISS = "dismiss"
    RESCUE = "rescue"  # see rescue.py: it is about what is no deposit yet


FROM: Mapping[Action, frozenset[str]] = {
    Action.CONFIRM: frozenset({"seen", "quarantined", "listed"}),
    Action.DISMISS: frozenset({"quarantined"}),
}
"""States of a deposit that may be confirmed or dismissed."""
_LOGGED = {
    Action.UNFREEZE: "deposit.unfrozen",
    Action.CONFIRM: "deposit.confirmed",
    Action.DISMISS: "deposit.dismissed",
    Action.RESCUE: "deposit.rescued",
}


def document(action: Action, d: Deposit) -> dict[str, Json]:
    """What is signed about a deposit as it is now. Amounts and numbers are decimal strings."""
    customer = None if d.customer_id is None else format_id("customer", d.customer_id)
    return {
        "schema": SCHEMA,
        "action": action.value,
        "deposit": format_id("deposit", d.id),
        "tenant": format_id("tenant", d.tenant_id),
        "customer": customer,
        "chain_id": str(d.chain_id),
        "tx_hash": d.tx_hash,
        "log_index": str(d.log_index),
        "trace_path": d.trace_path,
        "block_number": str(d.block_number),
        "block_hash": d.block_hash,
        "address": d.address,
        "asset": d.asset_id,
        "amount": str(d.amount),
        "state": d.state,
        "reason": d.reason,
        # New with each freeze, so no signature lifts two.
        "freeze": None if d.freeze_id is None else format_id("freeze", d.freeze_id),
    }


async def record(
    s: WriteSession,
    tenant_id: TenantId,
    deposit_id: DepositId,
    action: Action,
    agreed: Mapping[str, Json],
    *,
    at: datetime,
) -> None:
    """The decision's entry in the log; `agreed` is what `two_people.require` gave."""
    data = {"deposit": format_id("deposit", deposit_id), **agreed}
    await log.append(s, tenant_id, _LOGGED[action], data, at=at)


async def _decided(
    s: WriteSession, action: Action, found: Deposit, given: Sequence[Approval], at: datetime
) -> None:
    """Check and log it. Requires the deposit's lock."""
    body = document(action, found)
    agreed = await two_people.require(s, found.tenant_id, body, given, at=at, of=OF)
    await record(s, found.tenant_id, found.id, action, agreed, at=at)


async def unfreeze(
    s: WriteSession,
    tenant_id: TenantId,
    deposit_id: DepositId,
    given: Sequence[Approval],
    *,
    at: datetime,
) -> Deposit:
    """Lift the freeze in force; what it held is let go. Raises Conflict where there is none."""
    found = await listing.locked(s, tenant_id, deposit_id)
    if found.freeze_id is None:
        raise Conflict(f"{format_id('deposit', deposit_id)} is not frozen")
    await _decided(s, Action.UNFREEZE, found, given, at)
    await freezes.lift(s, found, at=at)
    return await listing.deposit(s, tenant_id, deposit_id)


async def dismiss(
    s: WriteSession,
    tenant_id: TenantId,
    deposit_id: DepositId,
    given: Sequence[Approval],
    *,
    at: datetime,
) -> Deposit:
    """End a quarantined one for good: nobody is credited. Only its block, mined anew, starts it
    again."""
    found = await listing.locked(s, tenant_id, deposit_id)
    _require_state(Action.DISMISS, found)
    await _decided(s, Action.DISMISS, found, given, at)
    await s.execute(
        "UPDATE deposits SET state = 'dismissed', updated_at = now() WHERE id = :id",
        {"id": deposit_id},
    )
    return await listing.deposit(s, tenant_id, deposit_id)


async def require_standing(deps: DepositDeps, found: Deposit) -> Deposit:
    """The deposit with what arrived of it, where that is measured.

    Raises Refused unless its transaction succeeded in its block, that is on the chain now, and
    something arrived.

    No signatures stand in for this: nobody credits what the chain does not have. Two endpoints are
    asked where there are two. Raises ChainError where the chain cannot be asked.
    """
    _require_state(Action.CONFIRM, found)
    client = deps.clients[found.chain_id]
    canonical_, elsewhere = await client.block(found.block_number), client.elsewhere()
    receipt = None
    if found.log_index == BALANCE_LOG_INDEX:  # of no transaction
        again: BlockRef | None = await elsewhere.block(found.block_number)
    else:
        receipt = await elsewhere.receipt(found.tx_hash)
        again = None if receipt is None else receipt.block
    if again is None or {canonical_.hash, again.hash} != {found.block_hash}:
        raise Refused("deposit_id", "must be in a block that is on the chain now")
    if receipt is not None and receipt.status != 1:
        raise Refused("deposit_id", "must be of a transaction that succeeded")
    if found.asset_id not in deps.registry.assets:
        return found  # `confirm` says so
    stood = await credit.measure(deps, found, again)
    if stood.value == 0:
        raise Refused("deposit_id", "must have brought something: no balance grew by it")
    return stood


async def confirm(
    s: WriteSession, deps: DepositDeps, stood: Deposit, given: Sequence[Approval]
) -> Deposit:
    """Credit by two people's word, by the same journal as any. `stood` is the deposit that
    `require_standing` has just let pass; in another block by now, it is another document."""
    at = deps.clock.now()
    found = await listing.locked(s, stood.tenant_id, stood.id)
    _require_state(Action.CONFIRM, found)
    if found.block_hash != stood.block_hash:
        raise Conflict("the deposit has moved to another block meanwhile")
    await require_listed(s, deps, AssetId(found.asset_id))
    await _decided(s, Action.CONFIRM, found, given, at)
    if not await credit.book(s, deps, replace(found, arrived=stood.arrived), found.state):
        raise Conflict("the deposit has changed meanwhile")
    return await listing.deposit(s, stood.tenant_id, stood.id)


async def require_listed(s: WriteSession, deps: DepositDeps, asset: AssetId) -> None:
    """Raises Refused for what is not in the registry; what was listed since is new to the ledger,
    which opens accounts only in assets that it knows."""
    info = deps.registry.assets.get(asset)
    if info is None:
        raise Refused("asset", "must be in the registry of assets before anybody is credited")
    await assets.register(s, asset, info.symbol, info.decimals, info.chain_id)


def _require_state(action: Action, found: Deposit) -> None:
    """Raises Conflict, or Refused for what is the operator's own."""
    if found.customer_id is None:
        raise Refused("deposit_id", "must be a customer's")
    if found.freeze_id is not None:
        raise Conflict(f"{format_id('freeze', found.freeze_id)} is in force: lift it")
    if found.state not in FROM[action]:
        raise Conflict(f"the deposit is {found.state}: nothing to {action.value}")
