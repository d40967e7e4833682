"""Joins price sources to assets, as the installation names them."""

from collections.abc import Mapping

from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.installation import Installation
from custody.core.money import AssetId
from custody.core.ports import PriceSource
from custody.policy.price_sources import Feed, OracleFeed, OracleSource
from router.price_watch import Peg
from router.venues.cefi.ticker import Symbol, TickerSource


def pegs(installation: Installation, registry: Registry) -> dict[AssetId, Peg]:
    """What the router's live guard watches: every asset with sources, at its peg if it has one."""
    return {
        AssetId(name): Peg(
            registry.asset(name).decimals, int(row["peg_micro"]) if "peg_micro" in row else None
        )
        for name, row in installation.prices.items()
    }


def feeds(
    installation: Installation,
    registry: Registry,
    clients: Mapping[int, EvmClient],
    clock: Clock,
) -> list[Feed]:
    """Each asset with each of its sources. One client an exchange, one for all oracles."""
    on_chain: dict[AssetId, OracleFeed] = {}
    tickers: dict[str, dict[AssetId, Symbol]] = {}
    for name, row in installation.prices.items():
        asset, decimals = AssetId(name), registry.asset(name).decimals
        if "oracle" in row:
            o = row["oracle"]
            on_chain[asset] = OracleFeed(int(o["chain_id"]), o["address"], o["token"], decimals)
        if "ticker" in row:
            t = row["ticker"]
            symbol = Symbol(t["symbol"], t["currency"], decimals)
            tickers.setdefault(t["exchange"], {})[asset] = symbol
    oracle: PriceSource = OracleSource(clients, on_chain, clock)
    found = [Feed(asset, oracle) for asset in on_chain]
    for exchange, symbols in tickers.items():
        url = installation.exchanges[exchange]["url"]
        source: PriceSource = TickerSource(exchange, url, symbols, clock)
        found += [Feed(asset, source) for asset in symbols]
    return found
