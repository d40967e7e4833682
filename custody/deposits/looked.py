"""The last look at each address for the native coin, and what is recorded of it since.

A look says: up to its block, all that the balance showed is recorded. One without a balance has
still to ask the chain what stood there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chains.types import BlockRef
from custody.core.db import ReadSession, WriteSession
from custody.core.money import native_asset

RECENT = 1_000
"""The newest so many deposits of each state, and addresses, make an address an active one."""


@dataclass(frozen=True, slots=True)
class Look:
    """`balance` in wei after `block_number`; None: not asked yet."""

    address: str
    block_number: int
    balance: int | None


@dataclass(slots=True)
class Book:
    """What is recorded of one address after one block and up to another, as (block, wei).

    `sent_before` counts what it had sent until then; `pending` what has a nonce and is not settled;
    `coming` what our gas wallet is sending it, which is nobody's deposit.
    """

    came: list[tuple[int, int]] = field(default_factory=list)
    left: list[tuple[int, int]] = field(default_factory=list)
    sent_before: int = 0
    pending: int = 0
    coming: int = 0

    def net(self, block_max: int, after: int = -1) -> int:
        """Wei that came less wei that left up to a block, without those up to `after`."""
        came = sum(wei for block, wei in self.came if after < block <= block_max)
        return came - sum(wei for block, wei in self.left if after < block <= block_max)

    def sent(self, block_max: int) -> int:
        """Transactions that the address has ever sent up to a block."""
        return self.sent_before + sum(block <= block_max for block, _ in self.left)


async def begin(s: WriteSession, chain_id: int, block: int) -> None:
    """Look at what was issued before the chain was read, too."""
    await s.execute(
        "INSERT INTO balance_looks (chain_id, address, block_number)"
        " SELECT chain_id, address, :block FROM deposit_addresses"
        " WHERE chain_id = :chain AND branch = 0 ON CONFLICT DO NOTHING",
        {"chain": chain_id, "block": block},
    )


async def watch(s: WriteSession, chain_id: int, address: str) -> None:
    """Look at a new address from here on: what came before is to be rescued, not found."""
    await s.execute(
        "INSERT INTO balance_looks (chain_id, address, block_number)"
        " SELECT chain_id, :address, block_number FROM chain_cursors WHERE chain_id = :chain",
        {"chain": chain_id, "address": address},
    )


async def cut(s: WriteSession, chain_id: int, ancestor: int) -> None:
    """Forget what was seen above `ancestor`. All up to there is recorded as before."""
    await s.execute(
        "UPDATE balance_looks SET block_number = :ancestor, balance = NULL"
        " WHERE chain_id = :chain AND block_number > :ancestor",
        {"chain": chain_id, "ancestor": ancestor},
    )


_ACTIVE = """
    SELECT d.address FROM unnest(ARRAY['seen', 'credited', 'listed']) AS x(state)
    CROSS JOIN LATERAL (
        SELECT address FROM deposits WHERE chain_id = :chain AND state = x.state
        ORDER BY block_number DESC LIMIT :recent) d
    UNION SELECT address FROM (
        SELECT address FROM deposit_addresses WHERE chain_id = :chain
        ORDER BY issued_xid DESC LIMIT :recent) a
"""

_TAKE = """
UPDATE balance_looks SET tried_at = now() WHERE chain_id = :chain AND address IN (
    SELECT address FROM balance_looks
    WHERE chain_id = :chain AND block_number < :block AND tried_at < now() {which}
    ORDER BY tried_at LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING address, block_number, balance
"""


async def take(s: WriteSession, chain_id: int, block: int, limit: int) -> list[Look]:
    """Whose turn it is to be looked at after `block`: half of them active ones, if there are so
    many. Each goes to the end of the queue, so one that cannot be looked at delays no other."""
    at = {"chain": chain_id, "block": block}
    which = f"AND address IN ({_ACTIVE})"
    active = await s.all(_TAKE.format(which=which), {**at, "limit": limit // 2, "recent": RECENT})
    others = await s.all(_TAKE.format(which=""), {**at, "limit": limit - len(active)})
    return [
        Look(r.address, r.block_number, None if r.balance is None else int(r.balance))
        for r in [*active, *others]
    ]


async def move(s: WriteSession, chain_id: int, moves: Sequence[tuple[Look, Look]]) -> int:
    """From where each was read to where it now is, which has a balance; how many moved. One that
    somebody else has moved meanwhile stays. One statement: the cursor is locked as it runs."""
    moved = await s.execute(
        "UPDATE balance_looks l SET block_number = x.block, balance = CAST(x.balance AS numeric)"
        " FROM unnest(CAST(:addresses AS text[]), CAST(:was AS bigint[]),"
        " CAST(:blocks AS bigint[]), CAST(:balances AS text[])) AS x(address, was, block, balance)"
        " WHERE l.chain_id = :chain AND l.address = x.address AND l.block_number = x.was",
        {
            "chain": chain_id,
            "addresses": [look.address for look, _ in moves],
            "was": [look.block_number for look, _ in moves],
            "blocks": [to.block_number for _, to in moves],
            "balances": [str(to.balance) for _, to in moves],
        },
    )
    return int(moved.rowcount)


async def stands(s: WriteSession, chain_id: int, blocks: Sequence[BlockRef]) -> bool:
    """Whether the scanner has read these blocks, and they are the ones it keeps, if it still does.
    Locks the cursor, so that no reorg passes between this and the commit."""
    cursor = await s.scalar(
        "SELECT block_number FROM chain_cursors WHERE chain_id = :chain AND NOT halted FOR UPDATE",
        {"chain": chain_id},
    )
    kept = await s.all(
        "SELECT block_number, block_hash FROM chain_blocks WHERE chain_id = :chain"
        " AND block_number = ANY(:numbers)",
        {"chain": chain_id, "numbers": [b.number for b in blocks]},
    )
    hashes = {row.block_number: row.block_hash for row in kept}
    return cursor is not None and all(
        b.number <= cursor and hashes.get(b.number, b.hash) == b.hash for b in blocks
    )


_SPANS = "unnest(CAST(:addresses AS text[]), CAST(:afters AS bigint[])) AS x(address, after)"


_TOP_UPS = """
SELECT reference, state, block_number, CAST(body ->> 'value' AS numeric) AS wei,
  state IN ('final', 'failed', 'refused', 'cancelled') AS ended
FROM intents WHERE chain_id = :chain AND kind = 'sweep_gas' AND reference = ANY(:addresses)
  AND (block_number IS NULL OR block_number <= :last OR state <> 'final')
ORDER BY block_number, id
"""


async def books(
    s: ReadSession, chain_id: int, looks: Sequence[Look], block_max: int
) -> Mapping[str, Book]:
    """What is recorded of each address after its look's block, up to `block_max`."""
    found = {look.address: Book() for look in looks}
    afters = {look.address: look.block_number for look in looks}
    span = {
        "chain": chain_id,
        "addresses": [look.address for look in looks],
        "afters": [look.block_number for look in looks],
        "last": block_max,
    }
    for row in await s.all(
        f"SELECT d.address, d.block_number, d.amount FROM {_SPANS}"
        " JOIN deposits d ON d.address = x.address AND d.chain_id = :chain AND d.asset_id = :asset"
        " WHERE d.state <> 'orphaned' AND d.block_number > x.after AND d.block_number <= :last"
        " ORDER BY d.block_number, d.id",
        {**span, "asset": native_asset(chain_id)},
    ):
        found[row.address].came.append((row.block_number, int(row.amount)))
    # One that failed, and one that was replaced by a cancel, has paid its fee and nothing else.
    for row in await s.all(
        "SELECT i.sender, i.block_number, i.fee_paid + CASE WHEN i.state = 'final'"
        f" THEN CAST(i.body ->> 'value' AS numeric) ELSE 0 END AS wei FROM {_SPANS}"
        " JOIN intents i ON i.sender = x.address AND i.chain_id = :chain"
        " WHERE i.fee_paid IS NOT NULL AND i.block_number > x.after AND i.block_number <= :last"
        " ORDER BY i.block_number, i.nonce",
        span,
    ):
        found[row.sender].left.append((row.block_number, int(row.wei)))
    for row in await s.all(
        "SELECT i.sender,"
        " count(*) FILTER (WHERE i.fee_paid IS NOT NULL AND i.block_number <= x.after) AS sent,"
        " count(*) FILTER (WHERE i.nonce IS NOT NULL AND i.state NOT IN"
        " ('final', 'failed', 'refused', 'cancelled')) AS pending"
        f" FROM {_SPANS} JOIN intents i ON i.sender = x.address AND i.chain_id = :chain"
        " GROUP BY i.sender",
        {k: span[k] for k in ("chain", "addresses", "afters")},
    ):
        book = found[row.sender]
        book.sent_before, book.pending = int(row.sent), int(row.pending)
    for row in await s.all(_TOP_UPS, {k: v for k, v in span.items() if k != "afters"}):
        book, after = found[row.reference], afters[row.reference]
        if not row.ended:
            book.coming += 1
        elif row.state == "final" and after < row.block_number <= block_max:
            book.came.append((row.block_number, int(row.wei)))
    return found


async def of_block(s: ReadSession, chain_id: int, address: str, number: int) -> Book:
    """What is recorded of one address in one block."""
    before = Look(address, number - 1, None)
    return (await books(s, chain_id, [before], number))[address]
