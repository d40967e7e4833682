"""One object of every kind, so that each route has something to find or to hide."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.followers import follow
from api.followers.tenant_events import TenantEvents
from custody.assurance import breakers, breaks, grants, report
from custody.assurance.lines import Line
from custody.assurance.tolerance import Place as LedgerPlace
from custody.audit import checkpoint, sequence
from custody.core.db import Database
from custody.core.governance import Address
from custody.core.ids import (
    IntentId,
    PoolId,
    SafeProposalId,
    TransferId,
    WithdrawalId,
    format_id,
    new_uuid7,
    parse_id,
)
from custody.core.intents import Payout
from custody.core.money import AssetId
from custody.ledger import accounts, postings, seal
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import personal, places, tokens
from custody.parties.places import Place
from custody.policy import addressbook, changes, freezes, policies
from custody.settlement import intents, restored
from custody.withdrawals import proposals, quote
from custody.withdrawals.batches import request as batch_request
from custody.withdrawals.batches.request import BatchInput
from custody.withdrawals.proposals import Proposal, ProposalState
from custody.withdrawals.request import RequestInput, request
from router import models, pool
from router.books import Pool
from router.tiers import Tier
from tests.api import solvency_seed
from tests.api.conftest import NOW, Approver, Party, World
from tests.api.support import CHAIN, REGISTRY, USDC, FakeSigner

OUTSIDE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
TERMS = "Pooled money may be lost."
_PLACES = {
    "treasury": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "payout": "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "gas": "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
    "allocator": "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
    "anchorer": "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
}
SAFE = "0xBcd4042DE499D14e55001CcbB24a551F3b954096"
GUARD = "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"
PAYOUTS = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"
PROPOSED_HASH = "sha256:" + "7" * 64
OTHER_GUARD = "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"

SHARE = "share:" + "5" * 32
WALLET = LedgerPlace.WALLET


def policy(party: Party, version: int = 1, previous: str | None = None) -> dict[str, Any]:
    """Every payout needs one person of treasury; batches may be fetched; nothing else."""
    wallets: dict[str, Any] = {
        **_PLACES,
        "sweeper": None,
        "anchor": None,
        "guards": {},
        "payees": [],
        "payouts": PAYOUTS,
    }
    rule = {
        "name": "payout",
        "kind": "payout",
        "asset": "*",
        "amount_max": None,
        "approvals": 1,
        "roles": ["treasury"],
    }
    return {
        "schema": "moorage.policy/1",
        "tenant": format_id("tenant", party.tenant),
        "version": version,
        "previous": previous,
        "rules": [
            rule,
            rule | {"name": "fetch", "kind": "payout_allowance", "approvals": 0, "roles": []},
        ],
        "limits": [],
        "places": {str(CHAIN): wallets},
    }


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """The service checks only the form of the authority's signature; the signer checks it."""
    return {"policy": document, "signature": "00" * 64}


@dataclass
class Objects:
    """Printed ids of what alice, or her tenant, has; by the name of a path parameter."""

    ids: dict[str, str]
    pool: Pool
    quote: str
    policy_hash: str
    digest: str
    person_key: Approver
    note: str

    def hexes(self) -> list[str]:
        """What nobody else may ever read."""
        names = ("customer_id", "account_id", "withdrawal_id", "batch_id", "deposit_id", "token_id")
        return [self.ids[name].partition("_")[2] for name in names]


async def _quote(world: World, amount: int) -> quote.Quote:
    ours = world.ours
    async with world.deps.db.write() as s:
        return await quote.make(
            s, world.deps.withdrawals, ours.tenant, ours.customers["alice"], USDC, amount, at=NOW
        )


async def _withdrawal(world: World) -> tuple[str, str, str]:
    """Ids of a withdrawal and its intent, and the intent's digest."""
    made = await _quote(world, 50_000)
    asked = RequestInput(
        tenant_id=world.ours.tenant,
        customer_id=world.ours.customers["alice"],
        quote_id=made.id,
        chain_id=CHAIN,
        asset_id=USDC,
        amount=made.gross,
        destination=OUTSIDE,
        pool_id=None,
        initiator="seed",
    )
    async with world.deps.db.write() as s:
        done = await request(s, world.deps.withdrawals, asked, at=NOW)
        digest = await s.scalar("SELECT digest FROM intents WHERE id = :id", {"id": done.intent_id})
    return format_id("withdrawal", done.id), format_id("intent", done.intent_id), str(digest)


async def _batch(world: World) -> str:
    ours = world.ours
    asked = BatchInput(
        tenant_id=ours.tenant,
        customer_id=ours.customers["alice"],
        chain_id=CHAIN,
        asset_id=USDC,
        payouts=(Payout(OUTSIDE, 1_000, "pay-1"),),
        gross_max=None,
        initiator="seed",
    )
    async with world.deps.db.write() as s:
        done = await batch_request.request(s, world.deps.withdrawals, asked, at=NOW)
    return format_id("batch", done.id)


async def _deposit(db: Database, party: Party) -> str:
    id_ = new_uuid7()
    async with db.write() as s:
        await s.execute(
            "INSERT INTO deposits (id, tenant_id, customer_id, chain_id, tx_hash, log_index,"
            " asset_id, sender, address, amount, block_number, block_hash, block_time, state,"
            " created_at) VALUES (:id, :tenant, :customer, :chain, :hash, 0, :asset, :sender,"
            " :address, 5, 7, :hash, :at, 'seen', :at)",
            {
                "id": id_,
                "tenant": party.tenant,
                "customer": party.customers["alice"],
                "chain": CHAIN,
                "hash": "0x" + "ab" * 32,
                "asset": USDC,
                "sender": OUTSIDE,
                "address": _PLACES["treasury"],
                "at": NOW,
            },
        )
    return format_id("deposit", id_)


async def _transfer(db: Database, party: Party) -> str:
    """A credit that only alice and the house are part of."""
    id_ = TransferId(new_uuid7())
    async with db.write() as s:
        house = await accounts.ensure(
            s, party.tenant, "asset:test", USDC, "asset", may_go_negative=True
        )
        await post_or_raise(
            s,
            [Transfer(id_, party.tenant, house, party.accounts["alice"], 1, "t", event_at=NOW)],
        )
    return format_id("transfer", id_)


async def _pool(db: Database, party: Party) -> Pool:
    id_ = PoolId(new_uuid7())
    async with db.write() as s:
        await places.add(s, Place(party.tenant, CHAIN, places.guard(id_.hex), GUARD, None))
        return await pool.create(
            s,
            REGISTRY,
            tenant_id=party.tenant,
            pool_id=id_,
            chain_id=CHAIN,
            asset_id=AssetId(USDC),
            name="first",
            guard=GUARD,
            tier=Tier.STAKING,
            terms=TERMS,
            spread_bps=1_000,
            at=NOW,
        )


async def _safe_proposal(db: Database, party: Party, withdrawal: str) -> str:
    """What the owners of a Safe would be asked to sign for alice's withdrawal."""
    id_ = SafeProposalId(new_uuid7())
    made = Proposal(
        id=id_,
        tenant_id=party.tenant,
        withdrawal_id=WithdrawalId(parse_id("withdrawal", withdrawal)),
        chain_id=CHAIN,
        safe=SAFE,
        safe_nonce=3,
        to_address=OUTSIDE,
        value=5,
        data="0x",
        pay_hash="0x" + "12" * 32,
        reject_hash="0x" + "34" * 32,
        base_block=7,
        base_nonce=3,
        state=ProposalState.PROPOSED,
        reason=None,
        intent_id=None,
        created_at=NOW,
        updated_at=NOW,
    )
    async with db.write() as s:
        await proposals.add(s, made)
    return format_id("safe_proposal", id_)


async def _plan(db: Database, item: Pool, at: datetime) -> str:
    id_ = new_uuid7()
    async with db.write() as s:
        await s.execute(
            models.plans.insert(),
            {
                "id": id_,
                "tenant_id": item.tenant_id,
                "pool_id": item.id,
                "chain_id": CHAIN,
                "block_number": 9,
                "block_hash": "0x" + "cd" * 32,
                "policy_hash": "sha256:" + "0" * 64,
                "input": {},
                "output": {},
                "state": "open",
                "created_at": at,
            },
        )
    return format_id("plan", id_)


async def _risk_proposal(db: Database, item: Pool) -> str:
    """What somebody else of treasury would loosen."""
    id_ = new_uuid7()
    async with db.write() as s:
        await s.execute(
            models.risk_proposals.insert(),
            {
                "id": id_, "tenant_id": item.tenant_id, "pool_id": item.id, "version": 2,
                "hash": PROPOSED_HASH, "document": {}, "loosens": ["delay_s"],
                "state": "proposed", "proposed_by": new_uuid7(), "created_at": NOW,
            },
        )  # fmt: skip
    return format_id("risk_proposal", id_)


async def _break(db: Database, party: Party) -> dict[str, str]:
    """A difference that somebody has explained, and the breaker that two people may close.

    Of an asset that nobody else here moves.
    """
    line = Line("asset:test", SHARE, "erc20", 9, 5, 4, place=WALLET)
    async with db.write() as s:
        for n in range(2):
            made = report.of(party.tenant, CHAIN, 9 + n, [line], at=NOW)
            await report.store(s, made)
            await breakers.follow(s, made, await breaks.follow(s, made, [line]))
        found = (await breaks.listing(s, party.tenant, None, 1))[0]
        await breaks.note(
            s, party.tenant, found.id, "a test", breaks.State.EXPLAINED, by="seed", at=NOW
        )
    assert found.breaker_id is not None
    return {
        "break_id": format_id("break", found.id),
        "breaker_id": format_id("breaker", found.breaker_id),
    }


async def _governed(db: Database, party: Party) -> dict[str, str]:
    """An entry of the address book, a freeze of another asset, and a change that waits."""
    entry = Address(new_uuid7(), party.tenant, CHAIN, OUTSIDE, "p", party.person_key.id)
    freeze, hash_ = new_uuid7(), "sha256:" + "9" * 64
    waiting = changes.Waiting(
        party.tenant, hash_, "policy", 2, {"policy": {}}, changes.PENDING, NOW, NOW
    )
    async with db.write() as s:
        await addressbook.enter(s, entry, "00" * 64, [], entered_at=NOW, at=NOW)
        await freezes.record(s, party.tenant, freeze, "asset", "none", at=NOW)
        await changes.propose(s, waiting)
    return {
        "entry_id": format_id("address", entry.id),
        "freeze_id": format_id("freeze", freeze),
        "change_hash": hash_,
    }


async def _disclosure(db: Database, party: Party) -> tuple[str, str]:
    """Alice's data, opened to our auditor's token; with that token's id."""
    alice = party.customers["alice"]
    async with db.write() as s:
        token = await tokens.by_hash(s, tokens.hash_secret(party.tokens["auditor"]))
        assert token is not None
        await personal.store(s, party.tenant, alice, {"email": "alice@example.com"}, at=NOW)
        made = await grants.open_(
            s, party.tenant, token.id, [alice], by="seed", at=NOW, ttl_s=86_400
        )
    return made.label, format_id("token", token.id)


async def _checkpoint(world: World) -> None:
    deps = world.deps
    signer = deps.signer
    assert isinstance(signer, FakeSigner)
    await postings.follow_all(deps.db)
    await seal.run_all(deps.db, deps.clock)
    await sequence.run_all(deps.db)
    folder = deps.settings.audit_folder
    await checkpoint.sign_once(deps.db, signer, signer.log_key.vkey(), folder, deps.clock)
    await follow.record_all(deps.db, TenantEvents(), deps.clock)


async def _fork(db: Database) -> str:
    """Evidence that is nobody's, and a proof of an anchor; what they say is not looked at here."""
    id_ = new_uuid7()
    side = '{"root": "sha256:00", "note": "n", "kind": "checkpoint", "consistency": []}'
    async with db.write() as s:
        await s.execute(
            "INSERT INTO log_forks (id, size, root, source, ours, theirs, found_at) VALUES (:id, 1,"
            " :root, 'a witness', CAST(:side AS jsonb), CAST(:side AS jsonb), :at)",
            {"id": id_, "root": bytes(32), "side": side, "at": NOW},
        )
        await s.execute(
            "INSERT INTO anchor_proofs VALUES (:chain, :hash, 1, 1, '{}'::jsonb, :at)",
            {"chain": CHAIN, "hash": "0x" + "1" * 64, "at": NOW},
        )
    return format_id("fork", id_)


async def plant(world: World) -> Objects:
    """Everything alice's tenant can have, and a signed log over it."""
    db, ours = world.deps.db, world.ours
    async with db.write() as s:
        for role, address in _PLACES.items():
            await places.add(s, Place(ours.tenant, CHAIN, role, address, places.PATHS[role]))
        loaded = await policies.install(s, signed(policy(ours)), at=NOW)
        await places.add(s, Place(ours.tenant, CHAIN, places.PAYOUTS, PAYOUTS, None))
    item = await _pool(db, ours)
    withdrawal, intent, digest = await _withdrawal(world)
    async with db.write() as s:
        paid = await intents.get(s, ours.tenant, IntentId(parse_id("intent", intent)))
        await restored.note(s, paid.intent, at=NOW)
    ids = {
        "tenant_id": format_id("tenant", ours.tenant),
        "customer_id": ours.customer("alice"),
        "account_id": format_id("account", ours.accounts["alice"]),
        "deposit_id": await _deposit(db, ours),
        "transfer_id": await _transfer(db, ours),
        "withdrawal_id": withdrawal,
        "batch_id": await _batch(world),
        "intent_id": intent,
        "pool_id": format_id("pool", item.id),
        "plan_id": await _plan(db, item, NOW),
        "risk_proposal_id": await _risk_proposal(db, item),
        "safe_proposal_id": await _safe_proposal(db, ours, withdrawal),
        **await _break(db, ours),
    }
    async with db.read() as s:
        secret = tokens.hash_secret(ours.tokens["alice"])
        own_token = await tokens.by_hash(s, secret)
    assert own_token is not None
    ids |= await _governed(db, ours)
    ids["disclosure_id"], ids["auditor_token"] = await _disclosure(db, ours)
    ids["token_id"] = format_id("token", own_token.id)
    await solvency_seed.log_epoch(db, ours, FakeSigner().log_key.name)
    await _checkpoint(world)
    await solvency_seed.serve(db, ours)
    async with db.read() as s:
        ids["seq"] = str(
            await s.scalar(
                "SELECT min(q.seq) FROM audit_sequence q JOIN audit_entries e ON e.id = q.entry_id"
                " WHERE e.tenant_id = :tenant",
                {"tenant": ours.tenant},
            )
        )
        size = await s.scalar("SELECT max(size) FROM audit_checkpoints")
        note = await s.scalar("SELECT note FROM audit_checkpoints ORDER BY size DESC LIMIT 1")
    ids["level"], ids["path"] = "0", f"000.p/{size}"
    ids["fork_id"] = await _fork(db)
    spare = format_id("quote", (await _quote(world, 60_000)).id)
    return Objects(ids, item, spare, loaded.hash, digest, ours.person_key, note)
