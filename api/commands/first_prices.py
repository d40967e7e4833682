"""The first installation's price sources: the local Aave oracle, and the simulated exchange."""

from typing import Any

from api.commands.founding import Founding
from custody.core.money import erc20_asset, native_asset

PEGGED = ("USDC",)
"""Worth one dollar, or the router's live guard lets nothing enter."""


def sources(founding: Founding) -> dict[str, Any]:
    """Each asset of the registry that both know. A native coin is priced as its wrapped token."""
    exchange = founding.devnet["exchange"]["name"]
    found: dict[str, Any] = {}
    for chain_id, world in founding.worlds.items():
        names = {symbol: erc20_asset(chain_id, t.address) for symbol, t in world.tokens.items()}
        named = [*names.items(), ("WETH", native_asset(chain_id))]
        for symbol, asset in named:
            if asset not in founding.registry.assets:
                continue
            found[asset] = {
                "oracle": {
                    "chain_id": chain_id,
                    "address": world.aave.oracle,
                    "token": world.tokens[symbol].address,
                },
                "ticker": {
                    "exchange": exchange,
                    "symbol": f"{symbol}USDT",
                    "currency": "USD",
                },
            }
            if symbol in PEGGED:
                found[asset]["peg_micro"] = str(10**6)
    return found
