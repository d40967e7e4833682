"""The policy and the fees that `moorage init` starts a devnet installation with.

Payouts up to a bound pass without a person, within the signer's daily limit; larger ones need one
treasury approval. Everything that only moves money between places of ours passes unattended.
"""

from typing import Any

from api.commands.founding import Founding
from custody.core.ids import format_id
from custody.core.intents import IntentKind
from custody.core.money import erc20_asset, native_asset
from custody.policy.document import SCHEMA

DAY_S = 86_400
UNITS = {"USDC": 10**6, "ETH": 10**18, "WETH": 10**18, "TDAI": 10**18, "TBTC": 10**8}
SMALL = {"USDC": 1_000, "ETH": 1, "WETH": 1, "TDAI": 1_000, "TBTC": 1}
"""What one payout may be without a person, in whole coins."""
DAILY = {"USDC": 2_000_000, "ETH": 1_000, "WETH": 100, "TDAI": 100_000, "TBTC": 10}
"""What may leave for outside without a person in a day: payouts and exchange deposits."""
HOT = {"USDC": 50_000}
"""The most that the payout wallet pays at once, in whole coins; more is the Safe's."""
INWARD = (
    IntentKind.SWEEP_NATIVE,
    IntentKind.SWEEP_TOKEN,
    IntentKind.SWEEP_BATCH,
    IntentKind.SWEEP_GAS,
    IntentKind.SWEEP_TRANSFER,
    IntentKind.PAYOUT_FILL,
    IntentKind.COLD_STORE,
    IntentKind.PAYOUT_SAFE,
    IntentKind.SAFE_REJECT,
    IntentKind.PAYOUT_ALLOWANCE,
    IntentKind.POOL_FUND,
    IntentKind.ALLOCATE,
    IntentKind.DEALLOCATE,
    IntentKind.CLAIM,
    IntentKind.RELEASE,
    IntentKind.ANCHOR,
)


def document(founding: Founding) -> dict[str, Any]:
    """Version 1, to be signed by the authority."""
    assets = [
        (a.asset_id, a.symbol)
        for a in sorted(founding.registry.assets.values(), key=lambda a: a.asset_id)
    ]
    rules = [_rule(kind.value.replace("_", "-"), kind, "*", None, 0) for kind in INWARD]
    for asset, symbol in assets:
        chain = asset.split("/")[0].split(":")[1]
        rules.append(
            _rule(
                f"payout-small-{symbol.lower()}-{chain}",
                IntentKind.PAYOUT,
                asset,
                SMALL[symbol] * UNITS[symbol],
                0,
            )
        )
    rules.append(_rule("payout-large", IntentKind.PAYOUT, "*", None, 1))
    return {
        "schema": SCHEMA,
        "tenant": format_id("tenant", founding.tenant_id),
        "version": 1,
        "previous": None,
        "rules": rules,
        "limits": [
            {
                "asset": asset,
                "window_s": DAY_S,
                "amount_max": str(DAILY[symbol] * UNITS[symbol]),
            }
            for asset, symbol in assets
        ]
        + [{"asset": "*", "window_s": DAY_S, "amount_max": "0"}],
        "hot_limits": [
            {"asset": asset, "amount_max": str(HOT[symbol] * UNITS[symbol])}
            for asset, symbol in assets
            if symbol in HOT
        ],
        "places": {str(chain_id): _places(founding, chain_id) for chain_id in founding.worlds},
    }


def _rule(
    name: str, kind: IntentKind, asset: str, amount_max: int | None, approvals: int
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind.value,
        "asset": asset,
        "amount_max": None if amount_max is None else str(amount_max),
        "approvals": approvals,
        "roles": ["treasury"] if approvals else [],
    }


def _places(founding: Founding, chain_id: int) -> dict[str, Any]:
    ours, exchange = founding.deployed[chain_id], founding.devnet["exchange"]
    usdc = erc20_asset(chain_id, founding.worlds[chain_id].tokens["USDC"].address)
    wallets = ("treasury", "payout", "gas", "allocator", "anchorer")
    return {
        **{role: founding.keys.addresses[role] for role in wallets},
        "guards": {ours["guard_usdc"]: usdc, ours["guard_eth"]: native_asset(chain_id)},
        "sweeper": ours["sweeper"],
        "anchor": ours["audit_anchor"],
        "safe": ours["safe"],
        "payouts": ours["payouts"],
        "hub": ours["sweep_hub"],
        "payees": [exchange["deposit_address"]] if exchange["chain_id"] == chain_id else [],
    }


def fees(founding: Founding) -> dict[str, Any]:
    """USDC: 0.10 flat and 10 bps; native coin: 0.0005 flat."""
    table: dict[str, Any] = {}
    for chain_id, world in founding.worlds.items():
        usdc = erc20_asset(chain_id, world.tokens["USDC"].address)
        table[usdc] = {"network": str(10**5), "service_bps": 10}
        table[native_asset(chain_id)] = {"network": str(5 * 10**14), "service_bps": 0}
    return table


def sweeping(founding: Founding) -> dict[str, Any]:
    """A devnet's tokens are swept from a thousandth of a coin on, also without a price."""
    return {
        str(chain_id): {
            "amount_min": {
                erc20_asset(chain_id, t.address): str(UNITS[t.symbol] // 1_000)
                for t in world.tokens.values()
            }
        }
        for chain_id, world in founding.worlds.items()
    }
