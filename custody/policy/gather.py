"""The facts of one decision, gathered in one place: only those that a rule in question asks for.

All are read from the database, so that a decision stays one transaction; jobs put there what the
chain and the exchanges say. What is not there is not known, and a rule that asks for it refuses.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from chains.errors import ChainError
from chains.evm.client import EvmClient
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession
from custody.core.facts import NO_FACTS, Facts
from custody.core.ids import TenantId
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId
from custody.core.prices import ReferencePrice
from custody.ledger import accounts, balances, chart
from custody.parties import people
from custody.policy import addressbook, destinations, policies, reference
from custody.policy.document import ANY, SCHEMA, Policy

logger = logging.getLogger(__name__)


async def gather(s: ReadSession, policy: Policy, intent: Intent, *, now: datetime) -> Facts:
    """All but the windows, which are counted under a lock of their own.

    Who asked is the intent's own word; here comes the role of a person. Of a batch, what concerns
    a recipient is gathered for each.
    """
    if policy.body["schema"] == SCHEMA:
        return NO_FACTS
    asked = asked_for(policy, intent.kind, intent.asset_id)
    facts = replace(NO_FACTS, initiator_role=await _role(s, intent))
    if intent.payouts:
        recipients = [p.recipient for p in intent.payouts]
        there = await _there(s, policy, intent.chain_id, asked, recipients, now)
        facts = replace(facts, each=tuple(there[to] for to in recipients))
    else:
        to = intent.beneficiary
        own = (await _there(s, policy, intent.chain_id, asked, [to], now))[to]
        facts = replace(facts, book=own.book, look_alike=own.look_alike, code=own.code)
    if asked & {"share_max_bps", "share_above_bps"}:
        facts = replace(facts, balance=await balance(s, intent))
    if asked & {"value_max", "value_above"}:
        facts = await _priced(s, facts, intent, now)
    return facts


async def _there(
    s: ReadSession,
    policy: Policy,
    chain_id: int,
    asked: frozenset[str],
    addresses: Sequence[str],
    now: datetime,
) -> dict[str, Facts]:
    """What the book says of each address, and what the chain has there."""
    found = dict.fromkeys(addresses, NO_FACTS)
    if asked & {"book", "look_alike"}:
        told = await addressbook.facts_of(s, policy, chain_id, found, now)
        for to, (book, look_alike) in told.items():
            found[to] = replace(found[to], book=book, look_alike=look_alike)
    if "code" in asked:
        for to, code in (await destinations.codes_of(s, chain_id, found, now=now)).items():
            found[to] = replace(found[to], code=code)
    return found


async def prepare(
    db: Database,
    clock: Clock,
    clients: Mapping[int, EvmClient],
    tenant_id: TenantId,
    asset_id: AssetId,
    chain_id: int,
    recipients: Sequence[str],
) -> None:
    """Read from the chain what a decision about payouts will ask for and is not known.

    Comes before the deciding transaction, never within it. A chain that does not answer leaves it
    unknown: then the policy refuses, and says what it lacked.
    """
    async with db.read() as s:
        policy = await policies.current(s, tenant_id)
        if "code" not in asked_for(policy, IntentKind.PAYOUT, asset_id):
            return
        known = await destinations.codes_of(s, chain_id, recipients, now=clock.now())
        unknown = [to for to in dict.fromkeys(recipients) if to not in known]
    try:
        for to in unknown:
            await destinations.read(db, clock, clients, chain_id, to)
    except ChainError as error:
        logger.warning("destination not read", extra={"chain_id": chain_id, "error": error})


def asked_for(policy: Policy, kind: IntentKind, asset_id: AssetId) -> frozenset[str]:
    """Names of the conditions that rules about this kind and asset set; schema 1 has no facts.

    A batch is judged by the rules about payouts.
    """
    if policy.body["schema"] == SCHEMA:
        return frozenset()
    kinds = (None, IntentKind.PAYOUT if kind is IntentKind.PAYOUT_BATCH else kind)
    concerned = [r for r in policy.rules if r.kind in kinds and r.asset in (ANY, asset_id)]
    return frozenset(c.name for r in concerned for c in r.conditions)


async def balance(s: ReadSession, intent: Intent) -> int:
    """What the treasury and the payout wallet hold of the asset on the intent's chain, base units.

    By the ledger, posted: what others have reserved is still there, so that an intent's share does
    not depend on how many wait. Pooled money is not counted: it pays nobody outside.
    """
    held = 0
    for code in (chart.treasury(intent.chain_id), chart.payout(intent.chain_id)):
        account = await accounts.find(s, intent.tenant_id, code, intent.asset_id)
        held += 0 if account is None else balances.balance_of(account).posted
    return held


async def _role(s: ReadSession, intent: Intent) -> str | None:
    """Of the person who asked; None for one who is not, or no longer, enrolled."""
    if intent.person_id is None:
        return None
    found = [p for p in await people.every(s, intent.tenant_id) if p.id == intent.person_id]
    return found[0].role if found and found[0].is_active else None


async def _priced(s: ReadSession, facts: Facts, intent: Intent, now: datetime) -> Facts:
    found = await reference.agreed(s, intent.asset_id, now=now)
    if isinstance(found, ReferencePrice):
        return replace(facts, price=found)
    return replace(facts, price_fault=found)
