"""The limits of the devnet's guards: every kind of limit is set, and wide enough for a demo."""

from dataclasses import dataclass

from chains.devnet.world import World
from chains.evm.contracts.guard_setup import GroupTerms, GuardSetup, VenueTerms
from chains.evm.contracts.treasury_guard import VenueKind

USDC = 10**6
MILLI_ETHER = 10**15
ETHER = 10**18
DELAY_S = 2 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Roles:
    """Who may do what at a guard; `treasury` is also its first payee."""

    owner: str
    guardian: str
    allocator: str
    treasury: str


def usdc_setup(world: World, roles: Roles, exchange_deposit: str | None) -> GuardSetup:
    """Two lending venues: each in a group of its protocol, both in one of all lending."""
    pool, a_token = world.aave.pool, world.aave.reserves["USDC"].a_token
    limits = (50_000_000 * USDC, 9_900, 50_000_000 * USDC)
    payees = {roles.treasury: 50_000_000 * USDC}
    if exchange_deposit is not None:
        payees[exchange_deposit] = 10_000_000 * USDC
    return GuardSetup(
        asset=world.tokens["USDC"].address,
        owner=roles.owner,
        guardian=roles.guardian,
        allocator=roles.allocator,
        treasury=roles.treasury,
        grain=USDC,
        delay_s=DELAY_S,
        idle_min=1 * USDC,
        payees_day_max=60_000_000 * USDC,
        venues=(
            VenueTerms("aave-usdc", VenueKind.AAVE_V3, a_token, pool, *limits),
            VenueTerms(
                "vault-usdc", VenueKind.ERC4626, world.vault_usdc, world.vault_usdc, *limits
            ),
        ),
        groups=(
            GroupTerms(("aave-usdc",), 50_000_000 * USDC, 9_900),
            GroupTerms(("aave-usdc", "vault-usdc"), 80_000_000 * USDC, 9_900),
        ),
        payees=payees,
    )


def eth_setup(world: World, roles: Roles) -> GuardSetup:
    staking = world.staking
    cap = 100_000 * ETHER
    return GuardSetup(
        asset=None,
        owner=roles.owner,
        guardian=roles.guardian,
        allocator=roles.allocator,
        treasury=roles.treasury,
        grain=MILLI_ETHER,
        delay_s=DELAY_S,
        idle_min=10 * MILLI_ETHER,
        payees_day_max=cap,
        venues=(VenueTerms("staking-eth", VenueKind.STAKING, staking, staking, cap, 9_900, cap),),
        groups=(GroupTerms(("staking-eth",), cap, 9_900),),
        payees={roles.treasury: cap},
    )
