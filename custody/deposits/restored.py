"""Addresses that the log has as issued, taken over into a database that came back from a backup.

Their customers were told of them, so nobody else may ever get one: the counters go on behind them,
and what comes to them is seen again. Nothing is logged: the entries are there.
"""

from collections.abc import Iterable
from typing import Any

from custody.audit.behind import PutBack
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import format_id, parse_id
from custody.deposits import looked
from custody.deposits.addresses import BRANCH_NATIVE

KIND = "address.issued"

_INDEX = """
INSERT INTO address_indexes (tenant_id, branch, index, customer_id)
VALUES (:tenant, :branch, :index, :customer) ON CONFLICT DO NOTHING
"""
_HELD = """
SELECT EXISTS (SELECT FROM address_indexes WHERE tenant_id = :tenant AND branch = :branch
               AND index = :index AND customer_id = :customer)
"""
_COUNTER = """
INSERT INTO address_counters AS c (tenant_id, branch, next_index)
VALUES (:tenant, :branch, CAST(:index AS bigint) + 1)
ON CONFLICT (tenant_id, branch)
DO UPDATE SET next_index = greatest(c.next_index, excluded.next_index)
"""
_ADDRESS = """
INSERT INTO deposit_addresses (tenant_id, customer_id, chain_id, address, branch, index, created_at)
VALUES (:tenant, :customer, :chain, :address, :branch, :index, :at) ON CONFLICT DO NOTHING
"""


async def take_over(s: WriteSession, entries: Iterable[PutBack]) -> None:
    """Entries of `KIND`, in the log's order. Raises Conflict where a place of one was given to
    another customer since the database came back."""
    for entry in entries:
        await _take_over(s, entry)


async def _take_over(s: WriteSession, entry: PutBack) -> None:
    data = {name: str(value) for name, value in entry.data.items()}
    branch, index = map(int, data["path"].split("/"))
    place: dict[str, Any] = {
        "tenant": entry.tenant_id,
        "branch": branch,
        "index": index,
        "customer": parse_id("customer", data["customer"]),
    }
    await s.execute(_INDEX, place)
    if not await s.scalar(_HELD, place):
        raise Conflict(
            f"address {data['path']} of {format_id('tenant', entry.tenant_id)} was issued again"
            " after this database came back: restore the backup once more, and begin with the log"
        )
    await s.execute(_COUNTER, {name: place[name] for name in ("tenant", "branch", "index")})
    chain_id, address = int(data["chain_id"]), data["address"]
    new = {**place, "chain": chain_id, "address": address, "at": entry.at}
    if (await s.execute(_ADDRESS, new)).rowcount == 1 and branch == BRANCH_NATIVE:
        await looked.watch(s, chain_id, address)
