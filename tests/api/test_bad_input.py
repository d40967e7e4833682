"""Bad input names field and rule and changes nothing: withdrawals, quotes, policies, addresses."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from custody.core.clock import iso_us
from custody.core.ids import format_id, new_uuid7
from router import books, pool
from router.tiers import Tier
from tests.api.conftest import DEPOSITED, NOW, World
from tests.api.seed import OUTSIDE, Objects, plant, policy, signed
from tests.api.support import CHAIN, ETH, OTHER_CHAIN, USDC, FakeSigner
from tests.api.test_access import approval, risk_policy

pytestmark = pytest.mark.postgres


@pytest.fixture
async def objects(world: World) -> Objects:
    return await plant(world)


async def _counts(world: World) -> list[int]:
    """Rows of everything that a refused request must not have touched."""
    tables = (
        "withdrawals", "transfers", "open_holds", "intents", "audit_entries", "idempotency_keys",
        "policies", "risk_policies",
    )  # fmt: skip
    async with world.deps.db.read() as s:
        return [int(await s.scalar(f"SELECT count(*) FROM {t}")) for t in tables]


async def _refused(world: World, answer: httpx.Response, status: int, field: str) -> None:
    problem = answer.json()
    assert answer.status_code == status, answer.text
    assert (problem["field"], bool(problem["rule"])) == (field, True), answer.text


def _withdrawal(objects: Objects, **changed: Any) -> dict[str, Any]:
    return {
        "quote": objects.quote,
        "chain_id": CHAIN,
        "asset": USDC,
        "amount": "60000",
        "destination": OUTSIDE,
        **changed,
    }


OWN = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
WITHDRAWALS: list[tuple[str, dict[str, Any], int, str]] = [
    ("unknown asset", {"asset": "eip155:1/slip44:60"}, 400, "asset"),
    ("zero", {"amount": "0"}, 400, "amount"),
    ("negative", {"amount": "-5"}, 400, "amount"),
    ("not an integer", {"amount": "1.0"}, 400, "amount"),
    ("79 digits", {"amount": "9" * 79}, 400, "amount"),
    ("bad checksum", {"destination": OUTSIDE.lower()}, 400, "destination"),
    ("one letter's case", {"destination": OUTSIDE.replace("C", "c", 1)}, 400, "destination"),
    ("zero address", {"destination": "0x" + "0" * 40}, 400, "destination"),
    ("no address", {"destination": "name.eth"}, 400, "destination"),
    ("own address", {"destination": OWN}, 422, "destination"),
    ("wrong chain", {"chain_id": OTHER_CHAIN}, 400, "chain_id"),
    ("unknown chain", {"chain_id": 1}, 400, "chain_id"),
    ("chain as text", {"chain_id": "31337"}, 422, "chain_id"),
    ("another amount than quoted", {"amount": "60001"}, 422, "quote"),
    ("another asset than quoted", {"asset": ETH}, 422, "quote"),
    ("no quote id", {"quote": "quo_1"}, 400, "quote"),
    ("no pool id", {"pool": "poo_1"}, 400, "pool"),
    ("no time", {"not_before": "tomorrow"}, 400, "not_before"),
    ("a time without an offset", {"not_before": "2026-01-15T12:00:00"}, 400, "not_before"),
    ("a time in the past", {"not_before": iso_us(NOW - timedelta(seconds=1))}, 400, "not_before"),
    ("33 days ahead", {"not_before": iso_us(NOW + timedelta(days=33))}, 400, "not_before"),
    ("no gas at all", {"network_fee_max": "0"}, 400, "network_fee_max"),
    ("negative gas", {"network_fee_max": "-1"}, 400, "network_fee_max"),
    ("a maximum in ether", {"network_fee_max": "0.01"}, 400, "network_fee_max"),
    ("a maximum as a number", {"network_fee_max": 10**15}, 422, "network_fee_max"),
    ("extra field", {"fee": "0"}, 422, "fee"),
]


@pytest.mark.parametrize(
    ("case", "change", "status", "field"), WITHDRAWALS, ids=[w[0] for w in WITHDRAWALS]
)
async def test_withdrawals(
    world: World, objects: Objects, case: str, change: dict[str, Any], status: int, field: str
) -> None:
    before = await _counts(world)
    body = _withdrawal(objects, **change)
    answer = await world.money("/v1/withdrawals", world.ours.tokens["alice"], body)
    await _refused(world, answer, status, field)
    assert await _counts(world) == before


async def test_over_the_available_balance_holds_counted(world: World, objects: Objects) -> None:
    """Alice has DEPOSITED + 1, of which 50,000 are held by the withdrawal that was planted."""
    alice = world.ours.tokens["alice"]
    quote = await world.call(
        "POST", "/v1/withdrawals/quote", alice, json={"asset": USDC, "amount": str(DEPOSITED)}
    )
    before = await _counts(world)
    body = _withdrawal(objects, quote=quote.json()["id"], amount=str(DEPOSITED))
    answer = await world.money("/v1/withdrawals", alice, body)
    await _refused(world, answer, 422, "amount")
    assert answer.json()["code"] == "insufficient-funds"
    assert await _counts(world) == before


async def test_anothers_quote_and_a_used_one(world: World, objects: Objects) -> None:
    body = _withdrawal(objects)
    stolen = await world.money("/v1/withdrawals", world.ours.tokens["bob"], body)
    assert stolen.status_code == 404
    alice = world.ours.tokens["alice"]
    assert (await world.money("/v1/withdrawals", alice, body, key="k")).status_code == 201
    again = await world.money("/v1/withdrawals", alice, body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    replayed = await world.money("/v1/withdrawals", alice, {**body, "amount": "1"}, key="k")
    assert (replayed.status_code, replayed.json()["code"]) == (422, "idempotency-mismatch")


async def test_a_cancelled_withdrawal_gives_the_hold_back(world: World, objects: Objects) -> None:
    alice = world.ours.tokens["alice"]
    account = f"/v1/accounts/{objects.ids['account_id']}"
    held = (await world.call("GET", account, alice)).json()
    path = f"/v1/withdrawals/{objects.ids['withdrawal_id']}/cancel"
    done = await world.money(path, alice, None)
    assert (done.status_code, done.json()["state"]) == (200, "cancelled")
    free = (await world.call("GET", account, alice)).json()
    assert int(held["held"]) - int(free["held"]) == 50_000  # a batch holds the rest


def _without(document: dict[str, Any], field: str) -> dict[str, Any]:
    return {k: v for k, v in document.items() if k != field}


RISK: list[tuple[str, dict[str, Any], str]] = [
    ("share over 1", {"liquidity_buffer_share": "1.01"}, "liquidity_buffer_share"),
    ("share as a number", {"liquidity_buffer_share": 0.1}, "liquidity_buffer_share"),
    ("tier over 1", {"tiers": [{"name": "cash", "share_max": "2", "venues": ["lend"]}]},
     "tiers[0].share_max"),
    ("unknown field", {"leverage": "3"}, "leverage"),
    ("wrong schema", {"schema": "x"}, "schema"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "change", "field"), RISK, ids=[r[0] for r in RISK])
async def test_risk_policies(
    world: World, objects: Objects, case: str, change: dict[str, Any], field: str
) -> None:
    before = await _counts(world)
    path = f"/v1/pools/{objects.ids['pool_id']}/policies"
    body = {**risk_policy(objects), **change}
    answer = await world.money(path, world.ours.tokens["treasury"], body)
    await _refused(world, answer, 400, field)
    assert await _counts(world) == before


async def test_every_field_of_a_risk_policy_is_needed(world: World, objects: Objects) -> None:
    path = f"/v1/pools/{objects.ids['pool_id']}/policies"
    for field in risk_policy(objects):
        body = _without(risk_policy(objects), field)
        answer = await world.money(path, world.ours.tokens["treasury"], body)
        await _refused(world, answer, 400, field)


async def test_every_field_of_a_money_policy_is_needed(world: World, objects: Objects) -> None:
    document = policy(world.ours, 2, objects.policy_hash)
    before = await _counts(world)
    for field in document:
        body = signed(_without(document, field))
        answer = await world.call("POST", "/v1/policies", world.ours.tokens["treasury"], json=body)
        await _refused(world, answer, 400, field)
    assert await _counts(world) == before


async def test_anothers_money_policy_is_not_loaded(world: World, objects: Objects) -> None:
    body = signed(policy(world.theirs))
    answer = await world.call("POST", "/v1/policies", world.ours.tokens["treasury"], json=body)
    assert answer.status_code == 404


async def test_an_approval_binds_its_digest_and_its_person(world: World, objects: Objects) -> None:
    """Property 15, over HTTP."""
    good, treasury = approval(objects), world.ours.tokens["treasury"]
    other = {**good, "digest": "sha256:" + "0" * 64}
    assert (await world.money("/v1/approvals", treasury, other)).status_code == 409
    forged = {**good, "signature": "00" * 64}
    await _refused(world, await world.money("/v1/approvals", treasury, forged), 400, "signature")
    stranger = {**good, "person": format_id("person", new_uuid7())}
    assert (await world.money("/v1/approvals", treasury, stranger)).status_code == 404
    done = await world.money("/v1/approvals", treasury, good)
    assert (done.status_code, done.json()["state"]) == (201, "approved"), done.text


@pytest.mark.parametrize("path", ["acc_1", "wdr_" + "0" * 32, "acc_" + "A" * 32, "acc_" + "g" * 32])
async def test_ids_of_another_form_are_refused(world: World, path: str) -> None:
    answer = await world.call("GET", f"/v1/accounts/{path}", world.ours.tokens["alice"])
    await _refused(world, answer, 400, "account_id")


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor")],
)
async def test_pages(world: World, query: str, field: str) -> None:
    answer = await world.call("GET", f"/v1/accounts?{query}", world.ours.tokens["alice"])
    assert answer.status_code in (400, 422)
    assert answer.json()["field"] == field


async def test_text_that_the_database_cannot_keep(world: World, objects: Objects) -> None:
    """A NUL, or half of a surrogate pair, wherever text goes: named, and never a 500."""
    treasury, before = world.ours.tokens["treasury"], await _counts(world)
    pool = f"/v1/pools/{objects.ids['pool_id']}"
    config = {"pool": OUTSIDE, "token": "a\0"}
    venue = {"id": "lend", "kind": "aave", "tier": "cash", "config": config}
    bodies: list[tuple[str, dict[str, Any], str]] = [
        ("/v1/customers", {"reference": "a\0"}, "reference"),
        ("/v1/customers", {"reference": "a", "personal": {"name": "\ud800"}}, "personal.name"),
        ("/v1/tenants", {"name": "a\0"}, "name"),
        ("/v1/policies", signed({"a": [{"b": "\0"}]}), "policy.a.0.b"),
        (f"{pool}/venues", venue, "config.token"),
        (f"{pool}/policies", {**risk_policy(objects), "tiers": [{"name": "\0"}]}, "tiers.0.name"),
    ]
    headers = {"Content-Type": "application/json"}
    for path, body, field in bodies:
        headers["Idempotency-Key"] = new_uuid7().hex
        # Not the client's own JSON, which cannot say half of a pair.
        answer = await world.call("POST", path, treasury, content=json.dumps(body), headers=headers)
        await _refused(world, answer, 400, field)
    alice, half = world.ours.tokens["alice"], {"to": "\ud800", "asset": USDC, "amount": "1"}
    hot = await world.call(
        "POST", "/v1/transfers", alice, content=json.dumps(half), headers=headers
    )
    assert 400 <= hot.status_code < 500, hot.text
    for query in ("kind=%00", "kind=a&x%00=1"):
        answer = await world.call("GET", f"/v1/audit/entries?{query}", treasury)
        assert answer.status_code == 400, answer.text
    assert await _counts(world) == before


async def test_a_deep_document_is_refused(world: World, objects: Objects) -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    body = signed({"a": deep})
    answer = await world.call("POST", "/v1/policies", world.ours.tokens["treasury"], json=body)
    await _refused(world, answer, 400, "policy")


async def test_proofs_of_sizes_that_the_log_never_had(world: World, objects: Objects) -> None:
    treasury = world.ours.tokens["treasury"]
    size = int(objects.ids["path"].rpartition("/")[2])
    between = f"/v1/audit/consistency?old=1&new={size - 1}"
    assert (await world.call("GET", between, treasury)).status_code == 404
    for tile in world.deps.settings.audit_folder.rglob("*.p/*"):
        tile.unlink()
    for path in ("/v1/audit/consistency?old=1", f"/v1/audit/entries/{objects.ids['seq']}/proof"):
        assert (await world.call("GET", path, treasury)).status_code == 404


async def test_tiles_beyond_all_numbers(world: World) -> None:
    for groups in (6, 2_000):
        path = "/v1/audit/tile/0/" + "x999/" * groups + "999"
        answer = await world.call("GET", path, world.ours.tokens["treasury"])
        assert answer.status_code == 404


async def test_a_holders_token_names_its_customer(world: World) -> None:
    treasury = world.ours.tokens["treasury"]
    answer = await world.call("POST", "/v1/tokens", treasury, json={"role": "holder"})
    await _refused(world, answer, 400, "customer")
    for field, id_ in (("customer", world.theirs.customer("carol")),
                       ("person", format_id("person", new_uuid7()))):  # fmt: skip
        body = {"role": "holder", field: id_}
        answer = await world.call("POST", "/v1/tokens", treasury, json=body)
        await _refused(world, answer, 404, field)


@pytest.mark.parametrize("field", ["version", "previous"])
async def test_a_risk_policy_must_follow(world: World, objects: Objects, field: str) -> None:
    path, treasury = f"/v1/pools/{objects.ids['pool_id']}/policies", world.ours.tokens["treasury"]
    async with world.deps.db.write() as s:
        item = await books.pool(s, world.ours.tenant, objects.pool.id)
        await pool.add_venue(
            s, item, "lend", "aave", Tier.CASH,
            {"pool": OUTSIDE, "token": OUTSIDE, "guard_venue": "0x01"}, at=NOW,
        )  # fmt: skip
    first = await world.money(path, treasury, risk_policy(objects))
    assert first.status_code == 201, first.text
    wrong = {"version": 3, "previous": first.json()["hash"]}
    if field == "previous":
        wrong = {"version": 2, "previous": "sha256:" + "0" * 64}
    answer = await world.money(path, treasury, {**risk_policy(objects), **wrong})
    await _refused(world, answer, 409, field)


@pytest.mark.parametrize("field", ["version", "previous"])
async def test_the_signer_never_sees_a_policy_that_does_not_follow(
    world: World, objects: Objects, field: str
) -> None:
    """Else it would be ahead of the database, which could never take its policy over."""
    good = policy(world.ours, 2, objects.policy_hash)
    wrong: dict[str, Any] = {"version": 3} if field == "version" else {"previous": good["previous"]}
    if field == "previous":
        wrong["previous"] = "sha256:" + "0" * 64
    treasury, signer = world.ours.tokens["treasury"], world.deps.signer
    assert isinstance(signer, FakeSigner)
    body = signed({**good, **wrong})
    await _refused(world, await world.call("POST", "/v1/policies", treasury, json=body), 409, field)
    assert signer.policies == []
    for _ in range(2):  # the one in force again is fine
        done = await world.call("POST", "/v1/policies", treasury, json=signed(good))
        assert done.status_code == 201
    assert len(signer.policies) == 2


async def test_cursors_walk_through_all(world: World, objects: Objects) -> None:
    seen: list[str] = []
    path, treasury = "/v1/tokens?limit=2", world.ours.tokens["treasury"]
    cursor = ""
    while True:
        page = (await world.call("GET", path + cursor, treasury)).json()
        seen += [t["id"] for t in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 4
