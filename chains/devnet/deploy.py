"""Deploys an installation's own contracts on a running devnet chain."""

from chains.devnet.market import ZERO
from chains.devnet.rpc import DevnetError, deploy, send
from chains.devnet.world import World, own_artifact

KIND_AAVE_V3, KIND_ERC4626, KIND_STAKING = 1, 2, 3  # ITreasuryGuard.Kind; 0 means unlisted
CAP_USDC = 50_000_000 * 10**6
"""Base units of USDC that one venue may hold."""
CAP_ETH = 100_000 * 10**18
"""Wei that the staking venue may hold."""


def venue_id(name: str) -> bytes:
    """`aave-usdc` -> bytes32, UTF-8, padded with zeros on the right. Requires at most 32 bytes."""
    raw = name.encode()
    if len(raw) > 32:
        raise ValueError(f"venue name {name!r} has {len(raw)} bytes, 32 are the most")
    return raw.ljust(32, b"\0")


def deploy_installation(
    rpc_url: str,
    world: World,
    *,
    treasury: str,
    payout: str,
    allocator: str,
    anchorer: str,
    owner: str,
    guardian: str,
    log_id: bytes,
    exchange_deposit_address: str | None,
) -> dict[str, str]:
    """Deploy, wire and hand over; returns audit_anchor, sweeper, guard_usdc and guard_eth.

    The deployer dev account owns everything while it lists venues and payees; at the end `owner`
    does. guard_usdc has the venues aave-usdc and vault-usdc, guard_eth has staking-eth. The payout
    wallet is filled from the treasury, so it is no payee of a guard; it must differ from it.
    """
    if len(log_id) != 32:
        raise ValueError(f"log_id has {len(log_id)} bytes, 32 are needed")
    if treasury.lower() == payout.lower():
        raise DevnetError("the treasury and the payout wallet must be two addresses")
    deployer = world.accounts["deployer"]
    audit_anchor = deploy(rpc_url, deployer, own_artifact("AuditAnchor"))
    send(rpc_url, deployer, audit_anchor, "register(bytes32,address)", log_id, anchorer)
    send(rpc_url, deployer, audit_anchor, "transferOwnership(bytes32,address)", log_id, owner)
    sweeper = deploy(rpc_url, deployer, own_artifact("Sweeper"), treasury)

    vault, staking = world.contracts["vault_usdc"], world.contracts["staking"]
    aave = (world.contracts["aave_pool"], world.contracts["aUSDC"])
    usdc_venues = {
        "aave-usdc": (KIND_AAVE_V3, *aave, CAP_USDC),
        "vault-usdc": (KIND_ERC4626, vault, vault, CAP_USDC),
    }
    eth_venues = {"staking-eth": (KIND_STAKING, staking, staking, CAP_ETH)}
    usdc_payees = [treasury, *([exchange_deposit_address] if exchange_deposit_address else [])]
    usdc = world.tokens["USDC"].address
    roles = (owner, guardian, allocator)
    return {
        "audit_anchor": audit_anchor,
        "sweeper": sweeper,
        "guard_usdc": _guard(rpc_url, deployer, usdc, roles, usdc_venues, usdc_payees),
        "guard_eth": _guard(rpc_url, deployer, ZERO, roles, eth_venues, [treasury]),
    }


def _guard(
    rpc_url: str,
    deployer: str,
    asset: str,
    roles: tuple[str, str, str],
    venues: dict[str, tuple[int, str, str, int]],
    payees: list[str],
) -> str:
    """`roles` are owner, guardian, allocator; `asset` zero means the native coin."""
    owner, guardian, allocator = roles
    artifact = own_artifact("TreasuryGuard")
    guard = deploy(rpc_url, deployer, artifact, asset, deployer, guardian, allocator)
    for name, terms in venues.items():
        add_venue = "addVenue(bytes32,uint8,address,address,uint256)"
        send(rpc_url, deployer, guard, add_venue, venue_id(name), *terms)
    for payee in payees:
        send(rpc_url, deployer, guard, "addPayee(address)", payee)
    send(rpc_url, deployer, guard, "setOwner(address)", owner)
    return guard
