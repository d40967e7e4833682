"""What may pass without a person: rolling windows per asset and for gas, in the signer's store.

A thief with the API in hand gets at most this, and `bounds` prints it.
"""

from collections.abc import Sequence
from typing import Any

from custody.core.intents import Intent, IntentKind
from custody.keys.decode import token_of
from custody.keys.refusal import Refusal, require
from custody.keys.store import Store
from custody.policy.document import ANY, Limit, Policy
from custody.policy.evaluate import is_outward

GAS_DEFAULT_WEI = 5 * 10**18
GAS_WINDOW_S = 86_400
"""Gas can be burned on purpose, so it is bounded even where the policy does not say by how much."""


def spendings(policy: Policy, intent: Intent, gas_wei: int) -> list[tuple[str, int]]:
    """What an unattended intent uses up: (asset or `gas@<chain>`, amount).

    Refuses an intent whose asset is none: a label of the caller's own, `gas@…` too, would have a
    window of its own. What a deposit address gets for gas is as good as burned.
    """
    if intent.kind is IntentKind.SWEEP_GAS:
        gas_wei += intent.value
    gas = (f"gas@{intent.chain_id}", gas_wei)
    if not is_outward(policy, intent):
        return [gas]
    token_of(intent)
    return [(intent.asset_id, intent.amount), gas]


def require_within(
    store: Store, policy: Policy, tenant: str, spent: Sequence[tuple[str, int]], now_s: int
) -> None:
    """Refuse what would pass a limit. Requires to run in the transaction that records it."""
    for asset, amount in spent:
        limits = limits_of(policy, asset)
        if not limits:
            raise Refusal("no_limit", f"the policy sets no limit for {asset} without a person")
        for limit in limits:
            before = store.spent_since(tenant, asset, now_s - limit.window_s)
            require(
                before + amount <= limit.amount_max,
                "limit",
                f"{asset}: {before} + {amount} > {limit.amount_max} in {limit.window_s} s",
            )


def limits_of(policy: Policy, asset: str) -> tuple[Limit, ...]:
    """The policy's limits of an asset; gas has a default."""
    limits = policy.limits_of(asset)
    if not limits and asset.startswith("gas@"):
        return (Limit(asset, GAS_WINDOW_S, GAS_DEFAULT_WEI),)
    return limits


def bounds(store: Store, policy: Policy, tenant: str, now_s: int) -> list[dict[str, Any]]:
    """Every limit in force with what is used of it; amounts as decimal strings."""
    gas = [limit for chain in policy.places for limit in limits_of(policy, f"gas@{chain}")]
    named = [limit for limit in policy.limits if not limit.asset.startswith("gas@")]
    return [
        {
            "asset": limit.asset,
            "window_s": limit.window_s,
            "amount_max": str(limit.amount_max),
            "spent": None
            if limit.asset == ANY
            else str(store.spent_since(tenant, limit.asset, now_s - limit.window_s)),
        }
        for limit in [*named, *gas]
    ]
