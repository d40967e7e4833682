"""From a configured row to the adapter that reads it."""

from chains.errors import ChainError
from chains.evm.client import EvmClient
from custody.core.errors import Unavailable
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.venues.aave import AaveVenue
from router.venues.cefi.port import Earn, EarnRefused, EarnUnavailable
from router.venues.compound import CompoundVenue
from router.venues.erc4626 import VaultVenue
from router.venues.erc7540 import AsyncVaultVenue
from router.venues.evidence import evidence_of, whole
from router.venues.exchange import ExchangeVenue
from router.venues.facts import Described, facts_of
from router.venues.kinds import VAULTS
from router.venues.metamorpho import MetaMorphoVenue
from router.venues.port import Venue
from router.venues.staking import StakingVenue
from router.venues.stata import StataVenue

NO_ANSWER = (ChainError, EarnUnavailable, EarnRefused, Unavailable)
"""What it means that a venue could not be read; anything else it raises was not understood."""


def adapter(deps: RouterDeps, pool: Pool, row: VenueRow) -> Venue:
    """Raises Unavailable for a kind or an exchange that isn't wired."""
    return Described(_bare(deps, pool, row), facts_of(row, pool.chain_id))


def _bare(deps: RouterDeps, pool: Pool, row: VenueRow) -> Venue:
    config = row.config
    asset = deps.registry.asset(pool.asset_id)
    if row.exchange:
        return ExchangeVenue(earn(deps, row), config["asset"], config["product"], asset.decimals)
    client = deps.clients[pool.chain_id]
    if row.kind == "aave" and asset.address:
        return AaveVenue(client, config["pool"], asset.address, config["token"], pool.guard)
    if asset.address and row.kind in VAULTS:
        return _vault(client, row, asset.address, pool.guard)
    if row.kind == "staking":
        return StakingVenue(
            client, config["token"], config["queue"], pool.guard, config["guard_venue"]
        )
    raise Unavailable(f"no adapter for venue {row.id} of kind {row.kind}")


def _vault(client: EvmClient, row: VenueRow, asset: str, guard: str) -> Venue:
    config, token = row.config, row.config["token"]
    match row.kind:
        case "stata":
            return StataVenue(client, config["pool"], asset, token, guard)
        case "metamorpho":
            return MetaMorphoVenue(client, token, asset, guard)
        case "compound":
            return CompoundVenue(client, config["market"], asset, token, guard)
        case "erc7540":
            return AsyncVaultVenue(client, token, asset, guard)
    maturity_s = whole(config, "maturity_s") if "maturity_s" in config else None
    return VaultVenue(client, token, asset, guard, evidence_of(config), maturity_s)


def earn(deps: RouterDeps, row: VenueRow) -> Earn:
    client = deps.exchanges.get(row.config["exchange"])
    if client is None:
        raise Unavailable(f"exchange {row.config['exchange']} is not connected")
    return client
