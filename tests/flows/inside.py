"""Ether that contracts pay to a town on a chain without traces, and what is made of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chains.devnet.rpc import encode_call, rpc
from custody.core.ids import CustomerId
from custody.deposits import credit, listing, looks, scan
from custody.deposits.listing import Deposit
from tests.fixtures.reconciling import broken, deps_of, report_of
from tests.fixtures.town import CONFIRMATIONS, Town


def with_traces(town: Town, traces: bool) -> None:
    """The registry is frozen for the service; a test gives the town another chain."""
    info = replace(town.registry.chain(town.chain_id), traces=traces)
    object.__setattr__(town.registry, "chains", {town.chain_id: info})


def pay_inside(town: Town, *parts: tuple[str, int]) -> str:
    """Wei to each address in one transaction, by calls of Multicall3; mined."""
    return town.mined(submit_inside(town, parts))


def submit_inside(town: Town, parts: Sequence[tuple[str, int]]) -> str:
    url = town.anvil.rpc_url
    body = {
        "from": rpc(url, "eth_accounts")[5],
        "to": town.world.multicall3,
        "value": hex(sum(wei for _, wei in parts)),
        "data": encode_call(
            "aggregate3Value((address,bool,uint256,bytes)[])",
            [(address, False, wei, b"") for address, wei in parts],
        ),
    }
    return str(rpc(url, "eth_sendTransaction", body))


async def read_on(town: Town, mine: int) -> None:
    """Only the scanner goes on."""
    town.anvil.mine(mine)
    while await scan.step(town.deposits, town.chain_id):
        pass


async def look(town: Town, mine: int = CONFIRMATIONS) -> int:
    """Read on, look, credit: how many deposits the look found."""
    await town.step_all(mine=mine)
    found = await looks.step(town.deposits, town.chain_id)
    await credit.step(town.deposits, town.chain_id)
    return found


async def deposits(town: Town, customer: CustomerId) -> list[Deposit]:
    async with town.db.read() as s:
        found = await listing.deposits(s, town.tenant_id, customer, None, 200)
    return sorted(found, key=lambda d: (d.block_number, d.id))


async def breaks(town: Town) -> list[dict[str, Any]]:
    await look(town)
    return broken(await report_of(deps_of(town), town))
