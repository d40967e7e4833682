"""The intents of the router: treasury to guard, and calls of the guard by the allocator.

An intent's id is made before it and stored with the row it serves, in one transaction.
"""

from uuid import UUID

from chains.evm.contracts import erc20, treasury_guard
from chains.registry import Registry
from custody.core.ids import IntentId
from custody.core.intents import Intent, IntentKind
from custody.parties.places import Place
from router.books import Pool, VenueRow

GAS_PRICE_MAX_WEI = 200 * 10**9
GAS = {
    IntentKind.POOL_FUND: 150_000,
    IntentKind.ALLOCATE: 800_000,
    IntentKind.DEALLOCATE: 800_000,
    IntentKind.CLAIM: 400_000,
    IntentKind.RELEASE: 250_000,
}
"""Limits with room for a cold Aave market; what isn't used isn't paid."""


def fee_max_wei(kind: IntentKind) -> int:
    """The most that an intent of this kind may pay for gas."""
    return GAS[kind] * GAS_PRICE_MAX_WEI


def fund(
    registry: Registry, pool: Pool, treasury: Place, id_: UUID, amount: int, reference: str
) -> Intent:
    """Treasury -> guard: opted-in money only."""
    token = registry.asset(pool.asset_id).address
    data = "0x" if token is None else "0x" + erc20.erc20_transfer(pool.guard, amount).hex()
    return _intent(
        pool,
        treasury,
        IntentKind.POOL_FUND,
        id_,
        to=pool.guard if token is None else token,
        value=amount if token is None else 0,
        data=data,
        amount=amount,
        beneficiary=pool.guard,
        reference=reference,
    )


def enter(
    pool: Pool,
    row: VenueRow,
    allocator: Place,
    id_: UUID,
    amount: int,
    shares_min: int,
    reference: str,
) -> Intent:
    """Guard -> venue, or to an exchange's deposit address.

    `shares_min`: the fewest of the venue's shares that may arrive, or the entry reverts.
    """
    if row.exchange:
        payee = row.config["deposit_address"]
        return release(pool, allocator, id_, payee, amount, reference)
    data = treasury_guard.encode_allocate(row.config["guard_venue"], amount, shares_min)
    return _call(pool, allocator, IntentKind.ALLOCATE, id_, data, amount, pool.guard, reference)


def deallocate(
    pool: Pool, allocator: Place, id_: UUID, venue: str, amount: int, reference: str
) -> Intent:
    data = treasury_guard.encode_deallocate(venue, amount)
    return _call(pool, allocator, IntentKind.DEALLOCATE, id_, data, amount, pool.guard, reference)


def claim(
    pool: Pool,
    allocator: Place,
    id_: UUID,
    venue: str,
    request_id: int,
    amount: int,
    reference: str,
) -> Intent:
    data = treasury_guard.encode_claim(venue, request_id)
    return _call(pool, allocator, IntentKind.CLAIM, id_, data, amount, pool.guard, reference)


def release(
    pool: Pool, allocator: Place, id_: UUID, payee: str, amount: int, reference: str
) -> Intent:
    data = treasury_guard.encode_release(payee, amount)
    return _call(pool, allocator, IntentKind.RELEASE, id_, data, amount, payee, reference)


def _call(
    pool: Pool,
    allocator: Place,
    kind: IntentKind,
    id_: UUID,
    data: bytes,
    amount: int,
    beneficiary: str,
    reference: str,
) -> Intent:
    return _intent(
        pool,
        allocator,
        kind,
        id_,
        to=pool.guard,
        value=0,
        data="0x" + data.hex(),
        amount=amount,
        beneficiary=beneficiary,
        reference=reference,
    )


def _intent(
    pool: Pool,
    sender: Place,
    kind: IntentKind,
    id_: UUID,
    *,
    to: str,
    value: int,
    data: str,
    amount: int,
    beneficiary: str,
    reference: str,
) -> Intent:
    return Intent(
        id=IntentId(id_),
        tenant_id=pool.tenant_id,
        kind=kind,
        chain_id=pool.chain_id,
        sender=sender.address,
        sender_path=str(sender.path),
        to=to,
        value=value,
        data=data,
        asset_id=pool.asset_id,
        amount=amount,
        beneficiary=beneficiary,
        gas_limit=GAS[kind],
        fee_max_wei=fee_max_wei(kind),
        reference=reference,
    )
