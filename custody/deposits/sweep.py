"""Deposits -> treasury. Strategies behind one interface; settlement sends, this posts the journals.

Native coin: the deposit address sends its own 21,000-gas transaction, to the last wei. Tokens: the
gas wallet calls `sweep(token)` on the deposit address, which is delegated (EIP-7702) to a
storage-free contract whose only target is the treasury; the first sweep carries the delegation.
"""

import logging
from dataclasses import dataclass
from typing import Any

from chains.evm.address import checksum
from chains.evm.calldata import decode_arguments
from chains.evm.client import EvmClient
from chains.evm.contracts import sweeper
from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import IntentId, TenantId, TransferId, format_id, new_uuid7
from custody.core.intents import Delegation, Intent, IntentKind
from custody.core.isolation import each
from custody.core.money import AssetId
from custody.deposits import addresses
from custody.deposits.addresses import DepositAddress
from custody.deposits.deps import DepositDeps
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places
from custody.settlement import intents

logger = logging.getLogger(__name__)

GAS_NATIVE = 21_000
GAS_TOKEN = 160_000
NATIVE_SWEEP_GAS_MULTIPLE = 3
"""A native balance below this many times its own gas cost stays where it is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What stands on one deposit address by the ledger, in base units."""

    tenant_id: TenantId
    chain_id: int
    address: str
    asset_id: AssetId
    amount: int


_CANDIDATES = """
SELECT tenant_id, address, asset_id, amount FROM (
SELECT a.tenant_id, a.location ->> 'holder' AS address, a.asset_id,
       a.debits_posted - a.credits_posted AS amount,
       row_number() OVER (PARTITION BY a.asset_id
                          ORDER BY a.debits_posted - a.credits_posted DESC) AS place
FROM accounts a
JOIN deposit_addresses d ON d.address = a.location ->> 'holder' AND d.chain_id = :chain
  AND d.branch = CASE WHEN a.location ->> 'token' IS NULL THEN 0 ELSE 1 END
WHERE a.kind = 'asset' AND a.code LIKE 'asset:deposit:%'
  AND CAST(a.location ->> 'chain_id' AS bigint) = :chain
  AND a.debits_posted > a.credits_posted
  AND NOT EXISTS (
      SELECT FROM intents i WHERE i.tenant_id = a.tenant_id AND i.chain_id = :chain
      AND i.kind IN ('sweep_native', 'sweep_token') AND i.body ->> 'asset' = a.asset_id
      AND i.reference = a.location ->> 'holder'
      AND (i.state NOT IN ('final', 'failed', 'refused', 'cancelled')
           OR i.state <> 'final' AND i.updated_at > now() - interval '60 seconds'))
) ranked WHERE place <= 100 ORDER BY place
"""
"""The largest of each asset. What came to an address of the other branch stays there, credited:
the strategies below can't move it (delegating a native address would change its nonce)."""


async def candidates(s: ReadSession, chain_id: int) -> list[Candidate]:
    rows = await s.all(_CANDIDATES, {"chain": chain_id})
    return [
        Candidate(r.tenant_id, chain_id, r.address, AssetId(r.asset_id), int(r.amount))
        for r in rows
    ]


async def step(deps: DepositDeps, chain_id: int) -> int:
    """Start a sweep for each address that holds enough; how many were started."""
    async with deps.db.read() as s:
        found = await candidates(s, chain_id)
    return await each(logger, "sweep", found, lambda c: _start(deps, c))


async def _start(deps: DepositDeps, c: Candidate) -> bool:
    client, asset = deps.clients[c.chain_id], deps.registry.asset(c.asset_id)
    async with deps.db.read() as s:
        treasury = await places.place(s, c.tenant_id, c.chain_id, places.TREASURY)
        owner = await addresses.by_address(s, c.chain_id, c.address)
    if owner is None:
        raise Broken(f"{c.address} has a balance but is no deposit address")
    if asset.address is None:
        intent = await _native(client, c, owner, treasury.address)
    else:
        async with deps.db.read() as s:
            gas = await places.place(s, c.tenant_id, c.chain_id, places.GAS)
            delegate = await places.place(s, c.tenant_id, c.chain_id, places.SWEEPER)
        intent = await _token(client, c, owner, treasury.address, gas, delegate.address)
    if intent is None:
        return False
    async with deps.db.write() as s:
        if await _taken(s, c):
            return False
        await intents.create(s, intent, at=deps.clock.now())
    return True


async def _taken(s: WriteSession, c: Candidate) -> bool:
    """Two workers may have had the same idea: one sweep of an address and asset at a time."""
    await s.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(:key, 13))",
        {"key": f"sweep/{c.chain_id}/{c.address}/{c.asset_id}"},
    )
    rows = await s.all(_CANDIDATES, {"chain": c.chain_id})
    return not any(r.address == c.address and r.asset_id == c.asset_id for r in rows)


async def _native(
    client: EvmClient, c: Candidate, owner: DepositAddress, treasury: str
) -> Intent | None:
    quote = await client.fees()
    fee = GAS_NATIVE * quote.max_fee_per_gas
    if c.amount < fee * NATIVE_SWEEP_GAS_MULTIPLE:
        return None
    amount = c.amount - fee
    return _intent(
        c,
        IntentKind.SWEEP_NATIVE,
        sender=(c.address, owner.path),
        to=treasury,
        value=amount,
        data="0x",
        amount=amount,
        beneficiary=treasury,
        gas_limit=GAS_NATIVE,
        fee_max_wei=fee,
    )


async def _token(
    client: EvmClient,
    c: Candidate,
    owner: DepositAddress,
    treasury: str,
    gas: places.Place,
    delegate: str,
) -> Intent | None:
    head = await client.block("latest")
    token = c.asset_id.rsplit(":", 1)[1]
    # Anybody may call `sweep`, also before us: for nothing we would pay again and again.
    if await client.erc20_balance(token, c.address, head) == 0:
        logger.warning(
            "nothing to sweep where the ledger has a balance",
            extra={"address": c.address, "asset": c.asset_id},
        )
        return None
    code = await client.code(c.address, head)
    delegation = None
    if sweeper.delegate_of(code) != delegate:
        nonce = await client.nonce(c.address, head)
        delegation = Delegation(c.address, owner.path, delegate, nonce)
    quote = await client.fees()
    return _intent(
        c,
        IntentKind.SWEEP_TOKEN,
        sender=(gas.address, str(gas.path)),
        to=c.address,
        value=0,
        data="0x" + sweeper.encode_sweep(token).hex(),
        amount=c.amount,
        beneficiary=treasury,
        gas_limit=GAS_TOKEN,
        fee_max_wei=GAS_TOKEN * quote.max_fee_per_gas * 2,
        delegation=delegation,
    )


def _intent(c: Candidate, kind: IntentKind, *, sender: tuple[str, str], **fields: Any) -> Intent:
    return Intent(
        id=IntentId(new_uuid7()),
        tenant_id=TenantId(c.tenant_id),
        kind=kind,
        chain_id=c.chain_id,
        sender=sender[0],
        sender_path=sender[1],
        asset_id=c.asset_id,
        reference=c.address,
        **fields,
    )


class SweepEffects:
    """asset:treasury <- asset:deposit, by what really moved."""

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        amount = moved_amount(intent, receipt)
        if amount == 0:
            return
        tenant, chain, asset = intent.tenant_id, intent.chain_id, intent.asset_id
        treasury = await accounts.ensure(
            s,
            tenant,
            chart.wallet(places.TREASURY, chain),
            asset,
            "asset",
            location={
                "chain_id": chain,
                "token": _token_of(intent),
                "holder": intent.beneficiary,
                "kind": "native" if intent.kind is IntentKind.SWEEP_NATIVE else "erc20",
            },
        )
        source = await accounts.by_code(s, tenant, chart.deposit(chain, intent.reference), asset)
        await post_or_raise(
            s,
            [
                Transfer(
                    id=TransferId(new_uuid7()),
                    tenant_id=tenant,
                    debit=treasury,
                    credit=source,
                    amount=amount,
                    code="deposit.swept",
                    event_at=from_timestamp(receipt.block.timestamp),
                    chain_id=chain,
                    block_number=receipt.block.number,
                    reference=format_id("intent", intent.id),
                )
            ],
        )

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """Nothing was held: the money is still on the deposit address and the next step retries."""


def _token_of(intent: Intent) -> str | None:
    if intent.kind is IntentKind.SWEEP_NATIVE:
        return None
    return checksum(decode_arguments(sweeper.SWEEP, bytes.fromhex(intent.data[2:]))[0])


def moved_amount(intent: Intent, receipt: Receipt) -> int:
    """What left for the treasury by the token's own event; the value of a native sweep."""
    token = _token_of(intent)
    if token is None:
        return intent.value
    return sweeper.swept(receipt.logs, intent.to, token, intent.beneficiary)
