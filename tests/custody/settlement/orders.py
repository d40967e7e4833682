"""Intents without a withdrawal behind them, for what is settlement's alone."""

from custody.core.ids import IntentId, TenantId, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.money import native_asset

OUTSIDE = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
SENDER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def native_payout(
    tenant: TenantId | None = None,
    sender: str = SENDER,
    amount: int = 1,
    *,
    path: str = "2/1",
    chain_id: int = 31337,
    kind: IntentKind = IntentKind.PAYOUT,
    to: str = OUTSIDE,
) -> Intent:
    """Coins from one address to another, at up to 1,000 gwei per gas."""
    return Intent(
        id=IntentId(new_uuid7()),
        tenant_id=tenant or TenantId(new_uuid7()),
        kind=kind,
        chain_id=chain_id,
        sender=sender,
        sender_path=path,
        to=to,
        value=amount,
        data="0x",
        asset_id=native_asset(chain_id),
        amount=amount,
        beneficiary=to,
        gas_limit=50_000,
        fee_max_wei=50_000 * 1_000 * 10**9,
        reference="test",
    )
