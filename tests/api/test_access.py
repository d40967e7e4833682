"""Property 32, 33: every route x every role x own/other holder x own/other tenant."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from api.app import create_app
from api.auth.access import STAFF, Access, Scope
from api.routing import Routes, Rule, mount, refuse_undeclared
from custody.core.ids import format_id, new_uuid7
from custody.keys.people import PersonKey, enrolment, sign_enrolment
from custody.parties import places
from custody.parties.places import Place
from custody.parties.tokens import Role
from tests.api.conftest import Party, World
from tests.api.seed import (
    OTHER_GUARD,
    OUTSIDE,
    PROPOSED_HASH,
    Objects,
    plant,
    policy,
    signed,
)
from tests.api.support import CHAIN, USDC

pytestmark = pytest.mark.postgres

OWNED = {"customer_id", "account_id", "transfer_id", "deposit_id", "withdrawal_id", "batch_id"}
TENANTS = OWNED | {"tenant_id", "token_id", "intent_id", "pool_id", "plan_id", "seq"}
TENANTS |= {"entry_id", "freeze_id", "change_hash"}
TENANTS |= {"safe_proposal_id", "risk_proposal_id", "break_id", "breaker_id", "disclosure_id"}
QUERIES = {
    "accounts history": {
        "start": "2026-01-01T00:00:00Z",
        "end": "2027-01-01T00:00:00Z",
        "step_s": "86400",
    },
    "statements show": {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
    "statements csv": {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
    "pool-statements show": {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
    "pool-reports show": {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
    "advice show": {"asset": USDC, "horizon_days": "30", "loss_bps": "100"},
    "audit consistency": {"old": "1"},
    "audit anchor-proof": {"chain_id": str(CHAIN)},
    "deposits review": {"action": "confirm"},
}
LAST = [
    *("risk-proposals approve", "risk-proposals veto", "risk-policies load"),
    *("withdrawals cancel", "payout-batches cancel", "customers erase", "tokens revoke"),
]
"""They end what the others need; so they go last."""
NEEDS_CHAIN = {"rates compare", "allocations plan", "safe-proposals sign"}
NEEDS_CHAIN |= {"deposits confirm", "risk-policies limits", "audit prove-anchor"}
"""Nothing to read without a node: an allowed caller gets as far as that."""


NEEDS_SAFE = {"cold-storage add", "solvency sign"}
"""Refused without one; tests/flows/test_cold.py and test_solvency_safe.py have the rest."""
NEEDS_BYTES = {"intents cancel", "restored-payments resolve"}
"""Refused as 409 before anything is signed; tests/api/test_cancel.py has the rest."""
NEEDS_TWO = {"deposits unfreeze", "deposits dismiss", "audit dismiss-fork", "breakers close"}
"""Refused without two people's signatures; tests/flows/test_deposit_reviews.py has the rest."""
NEEDS_INCOME = {"income pay"}
"""Refused where nothing was earned; tests/router/test_income.py has the rest."""


@dataclass(frozen=True)
class Actor:
    name: str
    role: Role
    ours: bool
    is_alice: bool = False


ACTORS = [
    Actor("alice", Role.HOLDER, True, is_alice=True),
    Actor("bob", Role.HOLDER, True),
    Actor("treasury", Role.TREASURY, True),
    Actor("auditor", Role.AUDITOR, True),
    Actor("carol", Role.HOLDER, False),
    Actor("treasury", Role.TREASURY, False),
    Actor("auditor", Role.AUDITOR, False),
]


def risk_policy(objects: Objects) -> dict[str, Any]:
    return {
        "schema": "moorage.risk/1",
        "pool": objects.ids["pool_id"],
        "version": 1,
        "previous": None,
        "tiers": [{"name": "cash", "share_max": "0.80", "venues": ["lend"]}],
        "venues": [{"id": "lend", "cap": "1000000", "share_max": "0.5"}],
        "liquidity_buffer_share": "0.10",
        "rebalance": {"horizon_s": 86400, "min_gain": "1", "ticket": "10"},
    }


def pool_terms(objects: Objects) -> dict[str, Any]:
    """No worse than the text and the spread that the pool has."""
    return {
        "schema": "moorage.terms/1",
        "pool": objects.ids["pool_id"],
        "tier": objects.pool.tier.value,
        "version": 1,
        "previous": None,
        "kind": "flexible",
        "text": objects.pool.terms,
        "spread_bps": 900,
        "hurdle_ray": "20000000000000000000000000",
    }


def enrolment_of(party: Party) -> dict[str, Any]:
    """The authority's document that adds one person."""
    new: dict[UUID, tuple[str, bytes]] = {new_uuid7(): ("treasury", PersonKey.new().public_key)}
    document = enrolment(2, party.tenant, account_index=0, people=new)
    return sign_enrolment(PersonKey.new(), document)


def approval(objects: Objects) -> dict[str, Any]:
    return {**objects.person_key.approval(objects.digest), "intent": objects.ids["intent_id"]}


def signed_proposal(objects: Objects) -> dict[str, Any]:
    """The second person's agreement to the planted proposal."""
    return objects.person_key.approval(PROPOSED_HASH)


def bodies(world: World, o: Objects) -> dict[str, Callable[[], dict[str, Any]]]:
    """A body with which each writing route succeeds, for whoever may call it."""
    bob = world.ours.customer("bob")
    return {
        "tenants create": lambda: {"name": "third"},
        "customers create": lambda: {"reference": new_uuid7().hex, "personal": {"name": "N"}},
        "tokens create": lambda: {"role": "holder", "customer": bob},
        "deposit-addresses create": lambda: {"chain_id": CHAIN, "branch": "token"},
        "deposits freeze": lambda: {"reason": "a court asks"},
        "deposits unfreeze": lambda: _agreed(world),
        "deposits confirm": lambda: _agreed(world),
        "deposits dismiss": lambda: _agreed(world),
        "breaks note": lambda: {"note": "I look into it"},
        "breakers close": lambda: _agreed(world),
        "transfers create": lambda: {"to": bob, "asset": USDC, "amount": "1"},
        "transfers batch": lambda: {"transfers": [{"to": bob, "asset": USDC, "amount": "1"}]},
        "withdrawals quote": lambda: {"asset": USDC, "amount": "5000"},
        "withdrawals request": lambda: {
            "quote": o.quote,
            "chain_id": CHAIN,
            "asset": USDC,
            "amount": "60000",
            "destination": OUTSIDE,
        },
        "withdrawals cancel": dict,
        "payout-batches request": lambda: {
            "chain_id": CHAIN,
            "asset": USDC,
            "payouts": [{"destination": OUTSIDE, "amount": "1000", "reference": "pay-1"}],
        },
        "payout-batches cancel": dict,
        "intents cancel": lambda: {"reason": "sent to the wrong place"},
        "restored-payments resolve": lambda: {"outcome": "charged"},
        "safe-proposals sign": lambda: {"safe_tx_hash": "0x" + "ab" * 32, "signature": "0x"},
        "safe-proposals reject": lambda: {"reason": "not wanted any more"},
        "solvency sign": lambda: {"safe_digest": "0x" + "ab" * 32, "signature": "0x"},
        "cold-storage add": lambda: {"asset": USDC, "amount": "1"},
        "approvals create": lambda: approval(o),
        "screening load": lambda: {"addresses": []},
        "keys freeze": dict,
        "keys unfreeze": lambda: {
            "person": format_id("person", world.ours.person_key.id),
            "signature": "00" * 64,
        },
        "address-book add": lambda: {
            "entry": format_id("address", new_uuid7()),
            "chain_id": str(CHAIN),
            "address": OTHER_GUARD,
            "label": "a payee",
            **_by(world),
        },
        "address-book remove": lambda: _by(world),
        "fee-plans put": lambda: {
            "name": "large",
            "rates": {USDC: {"network": "1000", "service_bps": 5, "service_max": "9000"}},
        },
        "fee-plans assign": lambda: {"plan": "default"},
        "freezes set": lambda: {"scope": "asset", "value": USDC},
        "freezes lift": lambda: {"signatures": [_by(world)]},
        "policies veto": lambda: _by(world),
        "allocations plan": dict,
        "policies load": lambda: signed(policy(world.ours, 2, o.policy_hash)),
        "pools create": lambda: {
            "id": o.ids["new_pool"],
            "chain_id": CHAIN,
            "asset": USDC,
            "name": "second",
            "tier": "cash",
            "terms": "Terms.",
            "spread_bps": 0,
        },
        "pool-terms change": lambda: pool_terms(o),
        "pools opt-in": lambda: {"terms_hash": o.pool.terms_hash, "tier": "staking"},
        "pools join": lambda: {"amount": "1000"},
        "pools leave": lambda: {"shares": "1000000"},
        "venues add": lambda: {
            "id": "lend",
            "kind": "aave",
            "tier": "cash",
            "config": {"pool": OUTSIDE, "token": OUTSIDE, "guard_venue": "0x01"},
        },
        "venues leave": lambda: {"venue": "lend", "reason": "a drill"},
        "venues reopen": lambda: {"venue": "lend"},
        "income pay": lambda: {"payee": OUTSIDE, "amount": "1"},
        "risk-policies load": lambda: risk_policy(o),
        "risk-proposals approve": lambda: signed_proposal(o),
        "risk-proposals veto": lambda: {"reason": "too much at one venue"},
        "audit disclose": lambda: {
            "customers": [o.ids["customer_id"]],
            "auditor": o.ids["auditor_token"],
        },
        "audit hand-in": lambda: {"note": o.note, "source": "a witness"},
        "audit prove-anchor": lambda: {"chain_id": CHAIN},
        "audit dismiss-fork": lambda: {"reason": "a drill", **_agreed(world)},
        "enrolments load": lambda: enrolment_of(world.ours),
    }


def _by(world: World) -> dict[str, str]:
    return {"person": format_id("person", world.ours.person_key.id), "signature": "00" * 64}


def _agreed(world: World) -> dict[str, Any]:
    one = {**_by(world), "digest": "sha256:" + "0" * 64, "expires_at": "2026-01-03T00:00:00Z"}
    return {"approvals": [one]}


def path_of(rule: Rule, objects: Objects) -> str:
    path = rule.path.replace("{path:path}", "{path}")
    return path.format(**objects.ids)


def params_of(rule: Rule) -> set[str]:
    return {part.strip("{}").split(":")[0] for part in rule.path.split("/") if "{" in part}


def expected(rule: Rule, actor: Actor) -> int:
    """401 never here; 403, 404, or 200 for "let through"."""
    if rule.access.scope is Scope.PUBLIC:
        return 200
    if actor.role not in rule.access.roles:
        return 403
    if rule.access.scope is Scope.INSTALLATION and not actor.ours:
        return 403
    params = params_of(rule)
    if params & TENANTS and not actor.ours:
        return 404
    other_holder = actor.role is Role.HOLDER and not actor.is_alice
    if rule.access.scope is Scope.OWN and params & OWNED and other_holder:
        return 404
    return 200


async def call(
    world: World, rule: Rule, objects: Objects, token: str | None, body: Any = None
) -> httpx.Response:
    headers = {} if rule.method == "GET" else {"Idempotency-Key": new_uuid7().hex}
    more: dict[str, Any] = {"headers": headers, "params": QUERIES.get(rule.command)}
    if rule.method == "POST":
        more["json"] = body
    return await world.call(rule.method, path_of(rule, objects), token, **more)


def token_of(world: World, actor: Actor) -> str:
    return (world.ours if actor.ours else world.theirs).tokens[actor.name]


def rules(world: World) -> list[Rule]:
    found = list(world.app.state.rules.values())
    return sorted(found, key=lambda r: LAST.index(r.command) if r.command in LAST else -1)


@pytest.fixture
async def objects(world: World) -> Objects:
    planted = await plant(world)
    new_pool = new_uuid7()
    async with world.deps.db.write() as s:
        place = Place(world.ours.tenant, CHAIN, places.guard(new_pool.hex), OTHER_GUARD, None)
        await places.add(s, place)
    planted.ids["new_pool"] = format_id("pool", new_pool)
    return planted


async def test_without_a_token_nothing_is_told(world: World, objects: Objects) -> None:
    for rule in rules(world):
        answer = await call(world, rule, objects, None, {})
        wanted = 200 if rule.access.scope is Scope.PUBLIC else 401
        assert answer.status_code == wanted, (rule.command, answer.text)


async def test_every_route_for_every_actor(world: World, objects: Objects) -> None:
    """Property 32: who may not gets 403, who must not know gets 404, and nobody else's ids."""
    made = bodies(world, objects)
    tried = 0
    for rule in rules(world):
        if rule.method == "DELETE":
            continue
        body = made[rule.command]() if rule.method == "POST" else None
        for actor in (a for a in ACTORS if expected(rule, a) != 200):
            answer = await call(world, rule, objects, token_of(world, actor), body)
            tried += 1
            assert answer.status_code == expected(rule, actor), (rule, actor, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    assert tried > 150


async def test_lists_show_nobody_elses(world: World, objects: Objects) -> None:
    """Property 32: what another may call shows nothing of alice's."""
    secret = objects.hexes()
    for rule in (r for r in rules(world) if r.method == "GET"):
        for actor in (a for a in ACTORS if expected(rule, a) == 200):
            if actor.ours and (actor.is_alice or actor.role is not Role.HOLDER):
                continue
            answer = await call(world, rule, objects, token_of(world, actor))
            assert answer.status_code < 500 or rule.command in NEEDS_CHAIN, (rule, answer.text)
            leaked = [h for h in secret if h in answer.text]
            assert not leaked, (rule.command, actor.name)


async def test_allowed_callers_get_exactly_the_declared_answer(
    world: World, objects: Objects
) -> None:
    """Property 33: no response shows a field that its schema doesn't have."""
    made = bodies(world, objects)
    for rule in rules(world):
        if rule.command in NEEDS_CHAIN | NEEDS_BYTES | NEEDS_SAFE | NEEDS_TWO | NEEDS_INCOME:
            continue
        body = made[rule.command]() if rule.method == "POST" else None
        actor = _allowed(rule)
        token = None if actor is None else token_of(world, actor)
        answer = await call(world, rule, objects, token, body)
        assert answer.status_code == rule.status, (rule.command, answer.text)
        if isinstance(rule.answer, str):
            assert answer.headers["content-type"].split(";")[0] == rule.answer
        else:
            rule.answer.model_validate_json(answer.content)


def _allowed(rule: Rule) -> Actor | None:
    """The first of our actors who may; for a holder's objects, alice."""
    if rule.access.scope is Scope.PUBLIC:
        return None
    return next(a for a in ACTORS if expected(rule, a) == 200)


async def test_mass_assignment_is_refused(world: World, objects: Objects) -> None:
    """Property 33: an extra field is an error that names it, on every route with a body."""
    made = bodies(world, objects)
    for rule in rules(world):
        if rule.method != "POST" or not made[rule.command]():
            continue
        actor = _allowed(rule)
        assert actor is not None
        body = {**made[rule.command](), "tenant_id": "x"}
        answer = await call(world, rule, objects, token_of(world, actor), body)
        assert answer.status_code in (400, 422), (rule.command, answer.text)
        assert "tenant_id" in answer.json()["field"], rule.command


async def test_auditors_only_read_and_their_reads_are_logged(
    world: World, objects: Objects
) -> None:
    for rule in rules(world):
        assert rule.method == "GET" or Role.AUDITOR not in rule.access.roles, rule.command
    await world.call("GET", f"/v1/accounts/{objects.ids['account_id']}", _auditor(world))
    async with world.deps.db.read() as s:
        found = await s.scalar(
            "SELECT convert_from(body, 'UTF8') FROM audit_entries WHERE kind = 'data.read'"
        )
    assert objects.ids["account_id"] in found


async def test_a_logged_read_says_what_was_asked_for(world: World) -> None:
    query = "limit=2&cursor=" + "x" * 600
    for path in ("/v1/customers?limit=3", f"/v1/tokens/me?{query}", f"/v1/customers?{query}"):
        await world.call("GET", path, _auditor(world))
    async with world.deps.db.read() as s:
        found = await s.all(
            "SELECT convert_from(body, 'UTF8')::jsonb #>> '{data,object}' AS read"
            " FROM audit_entries WHERE kind = 'data.read' ORDER BY id"
        )
    assert [r.read for r in found] == [
        "/v1/customers?limit=3",
        f"/v1/customers?{query[:512]}",
    ]


def _auditor(world: World) -> str:
    return world.ours.tokens["auditor"]


async def test_revoked_and_expired_tokens_die(world: World, objects: Objects) -> None:
    alice, treasury = world.ours.tokens["alice"], world.ours.tokens["treasury"]
    assert (await world.call("GET", "/v1/me", alice)).status_code == 200
    await world.call("DELETE", f"/v1/tokens/{objects.ids['token_id']}", treasury)
    assert (await world.call("GET", "/v1/me", alice)).status_code == 401
    world.deps.clock.advance(2 * 86_400)  # type: ignore[attr-defined]
    assert (await world.call("GET", "/v1/me", treasury)).status_code == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic mrg_x", "Bearer mrg_" + "a" * 43]
)
async def test_what_is_no_token_is_401(world: World, header: str) -> None:
    answer = await world.call("GET", "/v1/me", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def _nothing() -> Response:
    return Response()


class _Empty(BaseModel):
    pass


def test_a_route_without_a_rule_cannot_be_declared() -> None:
    """Property 32: it fails the build."""
    with pytest.raises(TypeError):
        Routes("x").get("/v1/x", command="x show", answer=_Empty)(_nothing)
    with pytest.raises(TypeError):
        Routes("x").get("/v1/x", access=None, command="x show", answer=_Empty)(_nothing)


def test_a_route_that_came_in_by_another_door_is_refused() -> None:
    """Property 32."""
    app = FastAPI()
    group = Routes("x")
    group.get("/v1/x", access=STAFF, command="x show", answer=_Empty)(_nothing)
    mount(app, [group], _nothing)
    refuse_undeclared(app)
    app.get("/v1/y")(lambda: None)
    with pytest.raises(TypeError, match="/v1/y"):
        refuse_undeclared(app)


def test_every_rule_names_roles_or_is_public() -> None:
    app = create_app()
    declared: list[Rule] = list(app.state.rules.values())
    assert all(isinstance(r.access, Access) for r in declared)
    assert all(r.access.roles or r.access.scope is Scope.PUBLIC for r in declared)
    public = {r.path for r in declared if r.access.scope is Scope.PUBLIC}
    log = {"/v1/audit/checkpoint", "/v1/audit/policy", "/v1/audit/tile/{level}/{path:path}"}
    assert public == {"/v1/health", "/v1/metrics"} | log
