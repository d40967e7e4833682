"""Internal transfers over HTTP: one effect a key, the commit before the answer, bad input named."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from api.auth.principal import Principal
from custody.core.ids import TenantId, format_id, new_uuid7
from custody.parties import tokens
from custody.parties.tokens import Role
from tests.api.conftest import DEPOSITED, NOW, World
from tests.api.support import ETH, USDC, balance

pytestmark = pytest.mark.postgres

PATH = "/v1/transfers"


def _body(world: World, **changed: Any) -> dict[str, Any]:
    return {"to": world.ours.customer("bob"), "asset": USDC, "amount": "100", **changed}


async def _balances(world: World) -> tuple[int, int]:
    db, accounts = world.deps.db, world.ours.accounts
    return (await balance(db, accounts["alice"]))[0], (await balance(db, accounts["bob"]))[0]


async def test_moves_the_amount(world: World) -> None:
    answer = await world.money(PATH, world.ours.tokens["alice"], _body(world))
    assert answer.status_code == 201, answer.text
    assert await _balances(world) == (DEPOSITED - 100, DEPOSITED + 100)
    shown = await world.call("GET", f"{PATH}/{answer.json()['id']}", world.ours.tokens["bob"])
    assert shown.json()["amount"] == "100"


async def test_twenty_parallel_with_one_key_have_one_effect(world: World) -> None:
    """Property 4."""
    token, body = world.ours.tokens["alice"], _body(world)
    answers = await asyncio.gather(*(world.money(PATH, token, body, key="same") for _ in range(20)))
    assert {a.status_code for a in answers} <= {201, 409}
    for refused in (a for a in answers if a.status_code == 409):
        assert refused.json()["code"] == "idempotency-in-flight"
    done = [a.content for a in answers if a.status_code == 201]
    done.append((await world.money(PATH, token, body, key="same")).content)
    assert len(done) >= 2
    assert len(set(done)) == 1
    assert await _balances(world) == (DEPOSITED - 100, DEPOSITED + 100)


async def test_key_with_another_body_is_refused(world: World) -> None:
    """Property 4."""
    token = world.ours.tokens["alice"]
    assert (await world.money(PATH, token, _body(world), key="k")).status_code == 201
    again = await world.money(PATH, token, _body(world, amount="101"), key="k")
    assert (again.status_code, again.json()["code"]) == (422, "idempotency-mismatch")
    assert again.json()["field"] == "Idempotency-Key"
    assert await _balances(world) == (DEPOSITED - 100, DEPOSITED + 100)


async def test_keys_of_two_holders_do_not_meet(world: World) -> None:
    first = await world.money(PATH, world.ours.tokens["alice"], _body(world), key="k")
    other = {"to": world.ours.customer("alice"), "asset": USDC, "amount": "7"}
    second = await world.money(PATH, world.ours.tokens["bob"], other, key="k")
    assert (first.status_code, second.status_code) == (201, 201)


async def _renewed(world: World, role: Role, **subject: Any) -> str:
    async with world.deps.db.write() as s:
        end = NOW + timedelta(hours=1)
        _, secret = await tokens.issue(
            s, world.ours.tenant, role, at=NOW, expires_at=end, **subject
        )
    return secret


async def test_a_renewed_token_keeps_the_holders_keys(world: World) -> None:
    """Property 4: on the quick way, and on the general one."""
    alice = world.ours.customers["alice"]
    renewed = await _renewed(world, Role.HOLDER, customer_id=alice)
    first = await world.money(PATH, world.ours.tokens["alice"], _body(world), key="k")
    assert (await world.money(PATH, renewed, _body(world), key="k")).content == first.content
    other = await world.money(PATH, renewed, _body(world, amount="101"), key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
    assert await _balances(world) == (DEPOSITED - 100, DEPOSITED + 100)


async def test_a_renewed_token_keeps_the_persons_keys(world: World) -> None:
    renewed = await _renewed(world, Role.TREASURY, person_id=world.ours.person_key.id)
    old = world.ours.tokens["treasury"]
    answers = [await world.money("/v1/tenants", t, {"name": "n"}, "k") for t in (old, renewed)]
    assert answers[0].status_code == 201
    assert answers[0].content == answers[1].content


def test_a_token_of_nobody_has_keys_of_its_own() -> None:
    tenant = TenantId(new_uuid7())
    who = Principal(new_uuid7(), tenant, Role.TREASURY, None, None, False, "tok_1")
    assert who.idempotency_principal == "tok_1"


async def test_fifty_parallel_transfers_of_everything_have_one_winner(world: World) -> None:
    """Property 2, over HTTP."""
    token, body = world.ours.tokens["alice"], _body(world, amount=str(DEPOSITED))
    answers = await asyncio.gather(*(world.money(PATH, token, body) for _ in range(50)))
    assert [a.status_code for a in answers].count(201) == 1
    assert {a.json()["code"] for a in answers if a.status_code != 201} == {"insufficient-funds"}
    assert await _balances(world) == (0, 2 * DEPOSITED)


BAD = [
    ("unknown asset", {"asset": "eip155:31337/erc20:0x" + "0" * 40}, 400, "asset"),
    ("no asset id", {"asset": "USDC"}, 400, "asset"),
    ("zero", {"amount": "0"}, 400, "amount"),
    ("negative", {"amount": "-1"}, 400, "amount"),
    ("fraction", {"amount": "1.5"}, 400, "amount"),
    ("exponent", {"amount": "1e3"}, 400, "amount"),
    ("a number, not a string", {"amount": 100}, 422, "amount"),
    ("79 digits", {"amount": "1" * 79}, 400, "amount"),
    ("2^256", {"amount": str(2**256)}, 400, "amount"),
    ("leading zero", {"amount": "0100"}, 400, "amount"),
    ("other digits", {"amount": "١٢"}, 400, "amount"),
    ("over the balance", {"amount": str(DEPOSITED + 1)}, 422, "amount"),
    ("an asset never held", {"asset": ETH}, 422, "amount"),
    ("no customer id", {"to": "bob"}, 400, "to"),
    ("extra field", {"from": "somebody"}, 422, "from"),
    ("extra field with power", {"tenant_id": "x"}, 422, "tenant_id"),
    ("null", {"amount": None}, 422, "amount"),
    ("NUL", {"reference": "a\0b"}, 400, "reference"),
]


@pytest.mark.parametrize(("case", "change", "status", "field"), BAD, ids=[b[0] for b in BAD])
async def test_bad_input_names_field_and_rule(
    world: World, case: str, change: dict[str, Any], status: int, field: str
) -> None:
    """Property 33 among them: no field is taken that is not declared."""
    answer = await world.money(PATH, world.ours.tokens["alice"], _body(world, **change))
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["field"]) == (status, field), answer.text
    assert problem["rule"]
    assert problem["status"] == status
    assert await _balances(world) == (DEPOSITED, DEPOSITED)


async def test_to_oneself_and_to_strangers(world: World) -> None:
    token = world.ours.tokens["alice"]
    own = await world.money(PATH, token, _body(world, to=world.ours.customer("alice")))
    assert (own.status_code, own.json()["field"]) == (400, "to")
    for stranger in (world.theirs.customer("carol"), format_id("customer", new_uuid7())):
        answer = await world.money(PATH, token, _body(world, to=stranger))
        assert (answer.status_code, answer.json()["field"]) == (404, "to")
        assert answer.json()["rule"]
    assert await _balances(world) == (DEPOSITED, DEPOSITED)


async def test_key_is_required(world: World) -> None:
    answer = await world.call("POST", PATH, world.ours.tokens["alice"], json=_body(world))
    assert answer.status_code == 422
    assert answer.json()["field"].lower() == "idempotency-key"


@pytest.mark.parametrize("path", [PATH, "/v1/withdrawals"])
async def test_a_broken_body_is_named_so(world: World, path: str) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    alice = world.ours.tokens["alice"]
    answer = await world.call("POST", path, alice, content=b'{"to": x', headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


@pytest.mark.parametrize("raw", [b"{", b"", b"[]", b'{"amount": NaN}', b"nope"])
async def test_bodies_that_are_no_object(world: World, raw: bytes) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = await world.call(
        "POST", PATH, world.ours.tokens["alice"], content=raw, headers=headers
    )
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == "invalid-input"
