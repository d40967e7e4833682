"""Every place where a tenant has money, as the ledger and the list of places know it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from custody.assurance.solvency import listing
from custody.assurance.solvency.listing import Unlisted
from custody.core.db import ReadSession
from custody.core.ids import TenantId
from custody.core.money import AssetId
from custody.deposits import addresses
from custody.ledger import accounts, chart, owed
from custody.ledger.accounts import Account
from custody.parties import places

HOT: Final = "hot"
COLD: Final = "cold"
DEPLOYED: Final = "deployed"
EXCHANGE: Final = "exchange"
CASH = frozenset({HOT, COLD})
_LIQUID = frozenset({"native", "erc20"})


@dataclass(frozen=True, slots=True)
class Spot:
    """One asset account at its place. `kind` is that of its location, `token` None for coins;
    `venue` and `pool` (printed id) only where it is deployed or at an exchange."""

    code: str
    kind: str
    class_: str
    chain_id: int
    holder: str
    asset_id: str
    token: str | None
    venue: str | None = None
    pool: str | None = None
    venue_at_guard: str | None = None
    most: int | None = None
    """At an exchange, whose word is of now and not of the moment: what was there by the ledger
    before the epoch opened, so that nothing counts both there and where it came from."""


@dataclass(frozen=True, slots=True)
class Control:
    """How an address is shown to be the entity's: by the key at `path`, by a Safe's owners, or for
    a guard by its allocator (`by`)."""

    kind: str  # key | safe | guard
    by: str
    path: str | None


@dataclass(frozen=True, slots=True)
class Holdings:
    """`controls` by (chain, address); `unserved` are on a chain that the epoch is not about;
    `unlisted` are deposit addresses that nothing is shown of but their number."""

    spots: tuple[Spot, ...]
    controls: dict[tuple[int, str], Control]
    unserved: tuple[Spot, ...] = ()
    unlisted: tuple[Unlisted, ...] = ()


async def read(
    s: ReadSession,
    tenant_id: TenantId,
    chain_ids: frozenset[int],
    floor: int,
    least: Mapping[str, int] = MappingProxyType({}),
) -> Holdings:
    """Wallets always, deposit addresses where the ledger has something on them, and enough of it
    (`listing.py`, which `least` is for). `floor` is the place in the order of posting at which the
    epoch was opened. Requires a snapshot."""
    known = [
        p
        for chain in chain_ids
        for p in await places.on_chain(s, chain)
        if p.tenant_id == tenant_id
    ]
    found = await accounts.list_by_code(s, tenant_id, "asset:", but=chart.DEPOSIT_PREFIX)
    listed, unlisted = await listing.read(s, tenant_id, chain_ids, least)
    safes = {(p.chain_id, p.address) for p in known if p.role == places.SAFE}
    every = [x for a in [*found, *listed] if (x := _spot(a, safes)) is not None]
    served = [x for x in every if x.chain_id in chain_ids]
    spots = [await _bounded(s, tenant_id, x, floor) for x in served]
    controls = _controls(known)
    holders = {x.holder for x in spots if x.code.startswith(chart.DEPOSIT_PREFIX)}
    for item in await addresses.anywhere(s, sorted(holders)) if holders else []:
        if item.tenant_id == tenant_id:
            controls[item.chain_id, item.address] = Control("key", item.address, item.path)
    unserved = tuple(x for x in every if x.chain_id not in chain_ids)
    return Holdings(tuple(spots), controls, unserved, unlisted)


async def _bounded(s: ReadSession, tenant_id: TenantId, spot: Spot, floor: int) -> Spot:
    if spot.class_ != EXCHANGE:
        return spot
    most = await owed.kept_since(s, tenant_id, spot.code, AssetId(spot.asset_id), floor)
    return replace(spot, most=most)


def _controls(known: list[places.Place]) -> dict[tuple[int, str], Control]:
    allocators = {p.chain_id: p for p in known if p.role == places.ALLOCATOR}
    made = {}
    for p in known:
        if p.role in places.PATHS:
            made[p.chain_id, p.address] = Control("key", p.address, p.path)
        elif p.role == places.SAFE:
            made[p.chain_id, p.address] = Control("safe", p.address, None)
        elif p.role.startswith("guard:") and p.chain_id in allocators:
            ruler = allocators[p.chain_id]
            made[p.chain_id, p.address] = Control("guard", ruler.address, ruler.path)
    return made


def _spot(account: Account, safes: set[tuple[int, str]]) -> Spot | None:
    """None for what is nowhere."""
    at = account.location
    if at is None or at["kind"] == "in-flight":
        return None
    if at["kind"] == "exchange":
        chain_id, name = _chain_of(account.asset_id), str(at["holder"])
        return Spot(
            account.code, "exchange", EXCHANGE, chain_id, name, account.asset_id, None, name
        )
    chain_id, holder = int(at["chain_id"]), str(at["holder"])
    if at["kind"] in _LIQUID:
        class_ = COLD if (chain_id, holder) in safes else HOT
        return Spot(
            account.code, at["kind"], class_, chain_id, holder, account.asset_id, at["token"]
        )
    pool, _, venue = account.code.removeprefix(chart.VENUE_PREFIX).partition(":")
    return Spot(
        account.code, at["kind"], DEPLOYED, chain_id, holder, account.asset_id, at["token"],
        venue, pool, at.get("venue"),
    )  # fmt: skip


def _chain_of(asset_id: str) -> int:
    return int(asset_id.split("/")[0].removeprefix("eip155:"))
