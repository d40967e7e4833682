"""Our contracts as placements. A new one gets its name in `builds.CONTRACTS`, and a function."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chains.evm.address import ZERO_ADDRESS, address_bytes, keccak
from chains.evm.contracts.guard_setup import GuardSetup
from chains.evm.deployment.builds import CONTRACTS, Build
from chains.evm.deployment.placing import Placement

ANCHOR: Final = "audit_anchor"


def builds(out: Path) -> Mapping[str, Build]:
    """This build's, from Foundry's folder of artifacts. Raises ArtifactDiffers."""
    return {name: Build.pinned(out, name) for name in CONTRACTS}


def audit_anchor() -> Placement:
    """One a chain, for all installations: a log belongs to whom its id is registered to."""
    return Placement(ANCHOR, "AuditAnchor")


def payouts() -> Placement:
    """One a chain, for all installations: it holds nothing and knows no owner."""
    return Placement("payouts", "Payouts")


def sweeper(treasury: str) -> Placement:
    """One for each treasury."""
    return Placement("sweeper", "Sweeper", (treasury,), (_word(treasury),))


def sweep_hub(sweeper_at: str, operator: str) -> Placement:
    """One for each sweeper and operator; the sweeper has to be in place before it."""
    delegated = keccak(b"\xef\x01\x00" + address_bytes(sweeper_at))
    arguments = (sweeper_at, operator)
    immutables = (_word(operator), _word(sweeper_at), delegated)
    return Placement("sweep_hub", "SweepHub", arguments, immutables)


def treasury_guard(name: str, setup: GuardSetup, installation: bytes) -> Placement:
    """One for each pool. `installation` (its log id) and `name` keep guards apart that would be
    alike otherwise."""
    salt = keccak(installation + name.encode())
    asset = _word(setup.asset or ZERO_ADDRESS)
    # Files come in the order of their paths: TreasuryGuard, GuardLimits, GuardVenues.
    immutables = (_number(setup.delay_s), _number(setup.grain), asset)
    return Placement(name, "TreasuryGuard", (setup.encoded(),), immutables, salt)


def vtoken_vault(name: str, market: str, guard: str, asset: str) -> Placement:
    """One for each guard and market of Compound V2's shape; `asset` is what the market lends. Its
    address has the guard's in it, so the guard is in place before and lists it by a proposal."""
    immutables = tuple(map(_word, (market, guard, asset)))
    return Placement(name, "VTokenVault", (market, guard), immutables)


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _word(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")
