"""A small good policy for tests."""

from typing import Any
from uuid import UUID

from chains.evm.address import address_from_bytes
from custody.core.ids import TenantId, format_id

TENANT = TenantId(UUID("01890000-0000-7000-8000-000000000001"))
CHAIN = 31337
TOKEN_ASSET = f"eip155:{CHAIN}/erc20:0x" + "ab" * 20
OTHER_ASSET = f"eip155:{CHAIN}/erc20:0x" + "cd" * 20


def address(number: int) -> str:
    return address_from_bytes(number.to_bytes(20, "big"))


def rule(
    name: str, asset: str, amount_max: int | None, approvals: int, kind: str = "payout"
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "asset": asset,
        "amount_max": None if amount_max is None else str(amount_max),
        "approvals": approvals,
        "roles": ["treasurer"] if approvals else [],
    }


def document(tenant: UUID = TENANT) -> dict[str, Any]:
    """Payouts of one token: alone to 100, one treasurer to 1000, two above; sweeps pass."""
    return {
        "schema": "moorage.policy/1",
        "tenant": format_id("tenant", tenant),
        "version": 1,
        "previous": None,
        "rules": [
            rule("payout-small", TOKEN_ASSET, 100, 0),
            rule("payout-medium", TOKEN_ASSET, 1000, 1),
            rule("payout-large", TOKEN_ASSET, None, 2),
            rule("sweeps", "*", None, 0, "sweep_native"),
        ],
        "limits": [{"asset": TOKEN_ASSET, "window_s": 3600, "amount_max": "500"}],
        "places": {
            str(CHAIN): {
                "treasury": address(1),
                "payout": address(2),
                "gas": address(3),
                "allocator": address(4),
                "anchorer": address(5),
                "guards": {address(6): TOKEN_ASSET},
                "sweeper": address(7),
                "anchor": None,
                "payees": [],
            }
        },
    }
