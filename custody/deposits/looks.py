"""Ether that contracts send, where no endpoint has traces: found by what a balance grew by.

Each step looks at some addresses after one block that the scanner has read and that is deep enough.
A balance that grew by other than is recorded since the last look is followed to the blocks that
did it. What one block brought beyond what is recorded of it is recorded as one deposit, named by
the block, for there is no transaction to name; it goes the way of any deposit from there.

All that left must be known first: an address whose count of transactions is not ours waits.
Endpoints must have the state of the blocks between two looks.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from chains.errors import RpcDisagreement, RpcRefused, RpcUnavailable
from chains.evm.address import ZERO_ADDRESS
from chains.evm.client import EvmClient
from chains.evm.standing import Standing, around, standing
from chains.types import BALANCE_LOG_INDEX, BlockRef, TransferSeen
from custody.core.errors import Broken
from custody.core.isolation import each
from custody.deposits import looked, scan
from custody.deposits.deps import DepositDeps
from custody.deposits.looked import Book, Look

logger = logging.getLogger(__name__)

ADDRESSES_PER_STEP = 500
CHANGES_PER_LOOK = 16
"""Of an address that more blocks changed the next look finds the rest."""


@dataclass(frozen=True, slots=True)
class View:
    """One address: its last look, how it stands now, and what is recorded between the two."""

    look: Look
    now: Standing
    book: Book

    def unknown(self, at: Standing, block: int) -> int:
        """Wei by which the balance grew since the look beyond what is recorded; requires a look
        with a balance. Raises Broken where it has sent other than is known."""
        if at.sent != self.book.sent(block):
            raise Broken(
                f"{self.look.address}: {at.sent} transactions sent up to block {block},"
                f" {self.book.sent(block)} are known"
            )
        if self.look.balance is None:
            raise Broken(f"{self.look.address}: nobody knows what stood there")
        return at.balance - self.look.balance - self.book.net(block)


async def step(deps: DepositDeps, chain_id: int) -> int:
    """Look at the next addresses of a chain without traces; how many deposits were found."""
    if deps.registry.chain(chain_id).traces:
        return 0
    client = deps.clients[chain_id]
    block = await _block(deps, client)
    if block is None:
        return 0
    async with deps.db.write() as s:
        looks = await looked.take(s, chain_id, block.number, ADDRESSES_PER_STEP)
    if not looks:
        return 0
    based = await _based(client, looks)
    now = await standing(client, [(look.address, block) for look in based])
    async with deps.db.read() as s:
        books = await looked.books(s, chain_id, based, block.number)
    views = [View(x, at, books[x.address]) for x, at in zip(based, now, strict=True)]
    quiet = [v for v in views if _is_quiet(v, block)]
    await _move(deps, chain_id, block, quiet)
    rest = [v for v in views if not _is_quiet(v, block)]
    return await each(logger, "look", rest, lambda v: _follow(deps, client, block, v))


async def _block(deps: DepositDeps, client: EvmClient) -> BlockRef | None:
    """The newest block that the scanner has read and that is deep enough; None if there is none."""
    deep = await client.height() - deps.registry.chain(client.chain_id).confirmations + 1
    async with deps.db.read() as s:
        row = await s.first(
            "SELECT b.block_number, b.block_hash FROM chain_cursors c"
            " JOIN chain_blocks b ON b.chain_id = c.chain_id"
            " AND b.block_number = least(c.block_number, :deep)"
            " WHERE c.chain_id = :chain AND NOT c.halted",
            {"chain": client.chain_id, "deep": deep},
        )
    return None if row is None else BlockRef(row.block_number, row.block_hash, 0)


async def _based(client: EvmClient, looks: Sequence[Look]) -> list[Look]:
    """The same looks, those without a balance asked for it; one that is not to be had keeps none,
    and then `_follow` asks for each alone."""
    new = [x for x in looks if x.balance is None]
    try:
        found = await standing(client, [(x.address, x.block_number) for x in new])
    except (RpcRefused, RpcUnavailable):
        return list(looks)
    known = {x.address: at.balance for x, at in zip(new, found, strict=True)}
    return [replace(x, balance=known.get(x.address, x.balance)) for x in looks]


def _is_quiet(view: View, block: BlockRef) -> bool:
    """Whether all that the balance shows is recorded."""
    if view.look.balance is None or view.now.sent != view.book.sent(block.number):
        return False
    return view.unknown(view.now, block.number) == 0


async def _move(deps: DepositDeps, chain_id: int, block: BlockRef, quiet: list[View]) -> None:
    async with deps.db.write() as s:
        if not await looked.stands(s, chain_id, [block]):
            return
        moves = [(v.look, Look(v.look.address, block.number, v.now.balance)) for v in quiet]
        await looked.move(s, chain_id, moves)


async def _follow(deps: DepositDeps, client: EvmClient, block: BlockRef, view: View) -> int:
    """Record what one balance shows and nobody has recorded; how many deposits that were."""
    if view.book.pending and view.now.sent != view.book.sent(block.number):
        return 0  # settlement is about to post what has left
    if view.book.coming:
        return 0  # or what the gas wallet has sent
    view = await _asked_again(client, view)
    changes = await _changes(client, view, block)
    measured = [await _measured(client, view, number, wei) for number, wei in changes]
    to = Look(view.look.address, block.number, view.now.balance)
    if len(measured) == CHANGES_PER_LOOK:
        last, balance = measured[-1]
        to = Look(view.look.address, last.block.number, balance)
    seen = [one for one, _ in measured]
    if not await _record(deps, client.chain_id, view, block, seen, to):
        return 0
    for one in seen:
        if one.amount < 0:
            logger.critical(
                "a balance grew by less than is recorded",
                extra={"address": one.recipient, "block": one.block.number, "wei": one.amount},
            )
    return sum(one.amount > 0 for one in seen)


async def _asked_again(client: EvmClient, view: View) -> View:
    """With what the chain says now of the last look: an endpoint may have lied then."""
    look = view.look
    (then,) = await standing(client, [(look.address, look.block_number)])
    if look.balance not in (None, then.balance):
        logger.critical(
            "a balance is not what it was said to be",
            extra={"address": look.address, "block": look.block_number, "said": look.balance},
        )
    return replace(view, look=replace(look, balance=then.balance))


async def _changes(client: EvmClient, view: View, block: BlockRef) -> list[tuple[int, int]]:
    """Blocks since the last look that changed what is unknown, lowest first, and by how much."""

    async def unknown_at(number: int) -> int:
        (at,) = await standing(client, [(view.look.address, number)])
        return view.unknown(at, number)

    found: list[tuple[int, int]] = []
    last = (block.number, view.unknown(view.now, block.number))
    await _search(unknown_at, (view.look.block_number, 0), last, found)
    return found


async def _search(
    unknown_at: Callable[[int], Awaitable[int]],
    low: tuple[int, int],
    high: tuple[int, int],
    found: list[tuple[int, int]],
) -> None:
    """Append each block between two, lowest first, that changed what is unknown, and by how much.

    `low` and `high` are (block, unknown after it). Two changes that cancel out between them are
    seen only if a probe falls between: nothing leaves unknown, so there are none.
    """
    if low[1] == high[1] or len(found) >= CHANGES_PER_LOOK:
        return
    if high[0] - low[0] == 1:
        found.append((high[0], high[1] - low[1]))
        return
    number = (low[0] + high[0]) // 2
    middle = (number, await unknown_at(number))
    await _search(unknown_at, low, middle, found)
    await _search(unknown_at, middle, high, found)


async def _measured(
    client: EvmClient, view: View, number: int, wei: int
) -> tuple[TransferSeen, int]:
    """What one block brought, asked again by its hash, and the balance after it. An amount below
    zero is what is recorded of the block and did not come."""
    block = await client.block(number)
    before, after = await around(client, view.look.address, block)
    sent = view.book.sent(number) - view.book.sent(number - 1)
    grew = after.balance - before.balance - view.book.net(number, number - 1)
    if (grew, after.sent - before.sent) != (wei, sent):
        raise RpcDisagreement("a balance differs from one look to the next", block=block.hash)
    seen = TransferSeen(
        chain_id=client.chain_id,
        block=block,
        tx_hash=block.hash,
        log_index=BALANCE_LOG_INDEX,
        token=None,
        sender=ZERO_ADDRESS,
        recipient=view.look.address,
        amount=wei,
        trace_path=view.look.address.lower(),
    )
    return seen, after.balance


async def _record(
    deps: DepositDeps,
    chain_id: int,
    view: View,
    block: BlockRef,
    seen: Sequence[TransferSeen],
    to: Look,
) -> bool:
    """One commit: what was found, and the look that found it. False if anything moved meanwhile:
    the chain, the look, or what is recorded of the address."""
    look = view.look
    async with deps.db.write() as s:
        if not await looked.stands(s, chain_id, [block, *(one.block for one in seen)]):
            return False
        books = await looked.books(s, chain_id, [look], block.number)
        if books[look.address] != view.book or not await looked.move(s, chain_id, [(look, to)]):
            return False
        for one in seen:
            if one.amount > 0 and not await scan.record_seen(s, deps, one, {}):
                raise Broken(f"{look.address}: block {one.block.number} has such a deposit already")
    return True
