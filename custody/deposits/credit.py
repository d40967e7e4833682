"""Deposits seen -> credited, once deep enough, if the block still stands and a second look at the
chain shows the same."""

import logging
from dataclasses import replace

from chains.evm import evidence, measured
from chains.evm.address import checksum
from chains.evm.client import EvmClient
from chains.registry import Finality
from chains.types import BALANCE_LOG_INDEX, BlockRef, TransferSeen
from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import WriteSession
from custody.core.ids import AccountId, TransferId, format_id, new_uuid7
from custody.core.isolation import each
from custody.core.money import AssetId
from custody.deposits import debts, listing, looked
from custody.deposits.deps import DepositDeps
from custody.deposits.listing import Deposit
from custody.ledger import accounts, assets, balances, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.ledger.split import split

logger = logging.getLogger(__name__)

ENDPOINTS_MIN, QUORUM_MIN = 3, 2
"""For a chain where money is real."""


async def step(deps: DepositDeps, chain_id: int) -> int:
    """Credit what is deep enough on one chain; how many were credited."""
    if not await may_begin(deps, chain_id):
        return 0
    heads = _Heads(deps.clients[chain_id])
    head, credited, last = await heads.last_final(1), 0, None
    while True:
        async with deps.db.read() as s:
            waiting = await listing.in_state(s, chain_id, "seen", head, last)
        credited += await each(logger, "deposit", waiting, lambda d: _advance(deps, heads, d))
        if not waiting:
            return credited
        last = waiting[-1]


async def may_begin(deps: DepositDeps, chain_id: int) -> bool:
    """Whether enough endpoints look at the chain: one that lies must be outvoted by two."""
    chain, client = deps.registry.chain(chain_id), deps.clients[chain_id]
    if chain.devnet or (len(client.endpoints) >= ENDPOINTS_MIN and client.quorum >= QUORUM_MIN):
        return True
    logger.critical("nothing is credited: too few endpoints", extra={"chain": chain_id})
    return False


class _Heads:
    """The highest block that counts, by each rule; the chain is asked once a step for each."""

    def __init__(self, client: EvmClient) -> None:
        self._client = client
        self._known: dict[Finality, int] = {}

    async def last_final(self, finality: Finality) -> int:
        if finality not in self._known:
            if isinstance(finality, str):
                self._known[finality] = (await self._client.block(finality)).number
            else:
                self._known[finality] = await self._client.height() - finality + 1
        return self._known[finality]


async def _advance(deps: DepositDeps, heads: _Heads, deposit: Deposit) -> bool:
    """Credit one, list it or keep it apart; False if it is not credited (yet)."""
    finality = deps.registry.finality(deposit.asset_id, deposit.amount)
    if deposit.block_number > await heads.last_final(finality):
        return False
    elsewhere = deps.clients[deposit.chain_id].elsewhere()
    canonical = await deps.clients[deposit.chain_id].block(deposit.block_number)
    if canonical.hash != deposit.block_hash:
        return False  # the scanner will find the reorg and orphan it
    seen = _seen(deps, deposit, canonical)
    if deposit.log_index == BALANCE_LOG_INDEX:
        reason = await _not_grown(deps, elsewhere, seen)
    else:
        receipt = await elsewhere.receipt(deposit.tx_hash)
        if receipt is None or receipt.block.hash != deposit.block_hash:
            return False  # likewise
        reason = await evidence.contradiction(elsewhere, seen, receipt)
    if reason is None:
        deposit = await measure(deps, deposit, canonical)
        reason = "no balance grew by it" if deposit.value == 0 else None
    async with deps.db.write() as s:
        if reason is not None:
            return await _set_aside(s, deps, deposit, "quarantined", reason)
        if (rule := _too_small(deps, deposit)) is not None:
            return await _set_aside(s, deps, deposit, "listed", rule)
        return await book(s, deps, deposit)


def _too_small(deps: DepositDeps, deposit: Deposit) -> str | None:
    """Why a customer's deposit is not worth a journal; None if it is. The operator's always is."""
    minimum = deps.registry.asset(deposit.asset_id).minimum
    if deposit.customer_id is None or deposit.value >= minimum:
        return None
    return f"below the minimum of {minimum}"


async def _not_grown(deps: DepositDeps, client: EvmClient, seen: TransferSeen) -> str | None:
    """The second look at what a balance showed: it must show all that is recorded of the block."""
    number = seen.block.number
    async with deps.db.read() as s:
        book = await looked.of_block(s, seen.chain_id, seen.recipient, number)
    return await evidence.not_grown(client, seen, book.net(number), len(book.left))


async def measure(deps: DepositDeps, deposit: Deposit, block: BlockRef) -> Deposit:
    """With what arrived of it, where its asset is measured. Raises ChainError."""
    if not deps.registry.asset(deposit.asset_id).measured:
        return deposit
    elsewhere, seen = deps.clients[deposit.chain_id].elsewhere(), _seen(deps, deposit, block)
    return replace(deposit, arrived=await _measured(deps, elsewhere, seen, deposit))


async def _measured(
    deps: DepositDeps, client: EvmClient, seen: TransferSeen, deposit: Deposit
) -> int:
    """Its part of what its block brought to the address. Never more than was said: a balance that
    also grows by itself is not what somebody paid in."""
    growth = await measured.growth(client, str(seen.token), seen.recipient, seen.block)
    async with deps.db.read() as s:
        beside = await listing.beside(s, deposit)
    said = [d.amount for d in beside]
    parts = split(min(growth, sum(said)), said)
    part = next(part for d, part in zip(beside, parts, strict=True) if d.id == deposit.id)
    # One beside it may have got more than its part, before this one was recorded.
    got = sum(d.value for d in beside if d.id != deposit.id and d.state in ("credited", "listed"))
    return max(0, min(part, growth - got))


def _seen(deps: DepositDeps, deposit: Deposit, block: BlockRef) -> TransferSeen:
    """What the watcher saw, as the row has kept it."""
    return TransferSeen(
        chain_id=deposit.chain_id,
        block=block,
        tx_hash=deposit.tx_hash,
        log_index=deposit.log_index,
        token=deps.registry.asset(deposit.asset_id).address,
        sender=deposit.sender,
        recipient=deposit.address,
        amount=deposit.amount,
        trace_path=deposit.trace_path,
    )


async def _set_aside(
    s: WriteSession, deps: DepositDeps, deposit: Deposit, state: str, reason: str
) -> bool:
    """Not credited: `listed` by a rule, or `quarantined` because two looks at the chain contradict
    each other and a person must look. Always False."""
    taken = await s.execute(
        "UPDATE deposits SET state = :state, reason = :reason, arrived = :arrived,"
        " updated_at = now() WHERE id = :id AND state = 'seen' AND block_hash = :hash",
        {
            "id": deposit.id,
            "state": state,
            "reason": reason,
            "arrived": deposit.arrived,
            "hash": deposit.block_hash,
        },
    )
    if taken.rowcount != 1:
        return False
    level = logging.CRITICAL if state == "quarantined" else logging.WARNING
    logger.log(level, "deposit %s", state, extra={"deposit": deposit.id, "reason": reason})
    await log.append(
        s,
        deposit.tenant_id,
        f"deposit.{state}",
        {
            "deposit": format_id("deposit", deposit.id),
            "chain_id": str(deposit.chain_id),
            "tx_hash": deposit.tx_hash,
            "block_number": str(deposit.block_number),
            "block_hash": deposit.block_hash,
            "reason": reason,
        },
        at=deps.clock.now(),
    )
    return False


async def book(s: WriteSession, deps: DepositDeps, deposit: Deposit, state: str = "seen") -> bool:
    """Credit it; False if it is not in `state` any more, in another block, or frozen."""
    transfer_id = TransferId(new_uuid7())
    taken = await s.execute(
        "UPDATE deposits SET state = 'credited', reason = NULL, transfer_id = :transfer,"
        " arrived = :arrived, updated_at = now()"
        " WHERE id = :id AND state = :state AND block_hash = :hash AND freeze_id IS NULL",
        {
            "id": deposit.id,
            "transfer": transfer_id,
            "arrived": deposit.arrived,
            "state": state,
            "hash": deposit.block_hash,
        },
    )
    if taken.rowcount != 1:
        return False
    info = deps.registry.asset(deposit.asset_id)
    # One that was listed after the installation was made is new to the ledger.
    await assets.register(s, AssetId(info.asset_id), info.symbol, info.decimals, info.chain_id)
    await post_or_raise(s, await _journal(s, deps, deposit, transfer_id))
    await _log(s, deps, deposit, transfer_id)
    await debts.pay(s, deposit)
    return True


async def _journal(
    s: WriteSession, deps: DepositDeps, deposit: Deposit, transfer_id: TransferId
) -> list[Transfer]:
    """What is still to be posted of a deposit, what its owner owes for it first.

    A deposit that a reorg took and brought back may have been reversed only in part, and what its
    owner had spent by then stands as a receivable: the money that comes back pays that.
    """
    debit, owner = await ledger_accounts(s, deps, deposit)
    receivable = await receivable_account(s, deposit)
    missing = deposit.value - await posted_net(s, deposit, debit)
    owed = min(missing, await posted_net(s, deposit, receivable))
    group = new_uuid7()
    parts = [(owner, missing - owed, transfer_id), (receivable, owed, TransferId(new_uuid7()))]
    return [
        Transfer(
            id=id_,
            tenant_id=deposit.tenant_id,
            debit=debit,
            credit=account,
            amount=amount,
            code="deposit.credited" if deposit.customer_id else "operator.funded",
            group_id=group,
            event_at=deposit.block_time,
            chain_id=deposit.chain_id,
            block_number=deposit.block_number,
            reference=format_id("deposit", deposit.id),
        )
        for account, amount, id_ in parts
        if amount
    ]


async def receivable_account(s: WriteSession, deposit: Deposit) -> AccountId:
    """What owners owe because a reorg took a deposit that they had spent."""
    return await accounts.ensure(
        s, deposit.tenant_id, chart.RECEIVABLE_REORG, AssetId(deposit.asset_id), "receivable"
    )


async def posted_net(s: WriteSession, deposit: Deposit, account: AccountId) -> int:
    """Debits less credits that this deposit's journals have brought to an account."""
    return await balances.moved_on_chain(s, account, format_id("deposit", deposit.id))


def _token_of(asset: AssetId) -> str | None:
    _, _, token = asset.partition("/erc20:")
    return checksum(token) if token else None


async def ledger_accounts(
    s: WriteSession, deps: DepositDeps, deposit: Deposit
) -> tuple[AccountId, AccountId]:
    """(asset account of the place it arrived at, account of who owns it)."""
    asset = AssetId(deposit.asset_id)
    tenant, chain = deposit.tenant_id, deposit.chain_id
    # Not from the registry: what is taken off the list can still be reversed.
    token = _token_of(asset)
    location = {
        "chain_id": chain,
        "token": token,
        "holder": deposit.address,
        "kind": "native" if token is None else "erc20",
    }
    if deposit.customer_id is None:
        code = chart.wallet(str(deposit.place_role), chain)
        debit = await accounts.ensure(s, tenant, code, asset, "asset", location=location)
        owner = await accounts.ensure(s, tenant, chart.OPERATOR_EQUITY, asset, "equity")
        return debit, owner
    # A sweep takes all that stands on the address, also what is not credited yet: for the blocks
    # between the two journals the account may be below zero.
    debit = await accounts.ensure(
        s,
        tenant,
        chart.deposit(chain, deposit.address),
        asset,
        "asset",
        location=location,
        may_go_negative=True,
    )
    owner = await accounts.ensure(
        s,
        tenant,
        chart.customer(deposit.customer_id),
        asset,
        "liability",
        owner_id=deposit.customer_id,
    )
    return debit, owner


async def _log(
    s: WriteSession, deps: DepositDeps, deposit: Deposit, transfer_id: TransferId
) -> None:
    data: dict[str, Json] = {
        "transfer": format_id("transfer", transfer_id),
        "chain_id": str(deposit.chain_id),
        "tx_hash": deposit.tx_hash,
        "block_number": str(deposit.block_number),
        "asset": deposit.asset_id,
        "amount": str(deposit.value),
    }
    if deposit.customer_id is None:
        kind = "operator.funded"
        data |= {"address": deposit.address, "reference": deposit.place_role}
    else:
        kind = "deposit.credited"
        data |= {
            "deposit": format_id("deposit", deposit.id),
            "customer": format_id("customer", deposit.customer_id),
        }
    await log.append(s, deposit.tenant_id, kind, data, at=deps.clock.now())
