"""A customer whose spent deposit a reorg took: what a withdrawal holds may be others' money."""

from custody.core.db import WriteSession
from custody.core.ids import CustomerId, TenantId
from custody.core.money import AssetId
from custody.ledger import accounts, chart

REASON = "a reorg took a deposit that was spent"


async def owes(
    s: WriteSession, tenant_id: TenantId, customer_id: CustomerId, asset_id: str
) -> bool:
    """Whether the account is frozen for that; it is open again when the debt is paid."""
    code = chart.customer(customer_id)
    return await accounts.is_frozen(s, tenant_id, code, AssetId(asset_id))
