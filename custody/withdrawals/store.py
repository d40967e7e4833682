"""Moving what is not needed at hand from the treasury into the Safe, by a person of treasury."""

from dataclasses import dataclass

from custody.core.db import WriteSession
from custody.core.errors import Conflict, InsufficientFunds, Refused
from custody.core.ids import TenantId
from custody.core.intents import IntentKind
from custody.core.money import AssetId
from custody.parties import places
from custody.policy import policies
from custody.settlement import intents
from custody.withdrawals import liquidity
from custody.withdrawals.deps import WithdrawalDeps


@dataclass(frozen=True, slots=True)
class ColdStore:
    """Which Safe is to be filled with what."""

    tenant_id: TenantId
    chain_id: int
    asset_id: AssetId
    payer: str = places.SAFE


async def store(
    s: WriteSession, deps: WithdrawalDeps, tenant_id: TenantId, asset_id: AssetId, amount: int
) -> None:
    """Start it: the intent, decided by policy, and the hold on the treasury.

    Raises Refused, Conflict or InsufficientFunds; then nothing has changed once the caller's
    transaction rolls back.
    """
    chain_id = deps.registry.asset(asset_id).chain_id
    policy = await policies.current(s, tenant_id)
    listed = policy.places.get(chain_id)
    if listed is None or listed.safe is None:
        raise Refused("asset", "the policy must name a Safe on this chain")
    if amount <= 0:
        raise Refused("amount", "must be above zero")
    kind, reference = IntentKind.COLD_STORE.value, liquidity.store_reference(asset_id)
    if await intents.is_under_way(s, tenant_id, kind, reference):
        raise Conflict("this asset is being moved already", field="asset", rule="one at a time")
    goal = ColdStore(tenant_id, chain_id, asset_id)
    token = deps.registry.asset(asset_id).address
    if not await liquidity.fill(s, deps, goal, amount, token):
        raise InsufficientFunds("amount", "exceeds what is free in the treasury")
