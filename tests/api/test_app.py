"""The frame: OpenAPI, errors, limits; and no route with a blocking dependency."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.responses import Response

from api import errors
from api.answers import parse_time
from api.app import BODY_MAX, create_app
from chains.errors import RpcUnavailable
from custody.core.errors import Broken, InvalidInput, Overloaded
from custody.core.ids import IntentId, TenantId, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.money import native_asset
from custody.core.ports import SignerRefused, SignerUnavailable

pytestmark = pytest.mark.unit


def an_intent() -> Intent:
    address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    return Intent(
        id=IntentId(new_uuid7()),
        tenant_id=TenantId(new_uuid7()),
        kind=IntentKind.PAYOUT,
        chain_id=1,
        sender=address,
        sender_path="2/1",
        to=address,
        value=1,
        data="0x",
        asset_id=native_asset(1),
        amount=1,
        beneficiary=address,
        gas_limit=21_000,
        fee_max_wei=10**15,
        reference="test",
    )


def test_openapi_is_complete() -> None:
    app = create_app()
    document = json.loads(json.dumps(app.openapi()))
    assert document["openapi"].startswith("3.1")
    assert "Problem" in document["components"]["schemas"]
    operations = [o for methods in document["paths"].values() for o in methods.values()]
    assert len(operations) == len(app.state.rules)
    for operation in operations:
        assert operation["description"], operation["operationId"]
        assert "409" in operation["responses"]
    text = json.dumps(document)
    for reference in {r.split('"')[0] for r in text.split("#/components/schemas/")[1:]}:
        assert reference in document["components"]["schemas"]


def test_no_number_is_a_float_in_any_money_field() -> None:
    """No float where money is: the schemas of all bodies and answers have none at all."""
    assert '"type": "number"' not in json.dumps(create_app().openapi())


def test_no_route_has_a_blocking_dependency() -> None:
    """A sync dependency costs a thread hop on each request."""

    def calls(dependant: Any) -> list[Any]:
        return [dependant.call, *(c for d in dependant.dependencies for c in calls(d))]

    for route in create_app().routes:
        if isinstance(route, APIRoute):
            for call in calls(route.dependant):
                good = inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
                assert good, (route.path, call)


def test_money_moving_posts_demand_a_key() -> None:
    """Every POST that moves or holds money takes the key; those that do not are named here."""
    free = {
        "customers create", "tokens create", "deposit-addresses create", "withdrawals quote",
        "policies load", "enrolments load", "screening load", "keys freeze", "keys unfreeze",
        "address-book add", "address-book remove", "freezes set", "freezes lift", "policies veto",
        "fee-plans put", "fee-plans assign", "audit prove-anchor", "audit hand-in",
        "audit dismiss-fork", "audit disclose", "solvency sign",
    }  # fmt: skip
    document = create_app().openapi()
    for methods in document["paths"].values():
        operation = methods.get("post")
        if operation is None or operation["x-command"] in free:
            continue
        headers = {p["name"].lower(): p for p in operation.get("parameters", ())}
        assert headers["idempotency-key"]["required"], operation["x-command"]


RAISED: list[tuple[Exception, int, str]] = [
    (Broken("the books do not balance"), 500, "broken-invariant"),
    (Overloaded("busy"), 503, "overloaded"),
    (RpcUnavailable("no node"), 503, "unavailable"),
    (SignerUnavailable("gone"), 503, "unavailable"),
    (SignerRefused("limit", "too much"), 422, "signer-refused"),
    (OperationalError("SELECT secret", {}, Exception("deadlock")), 500, "internal"),
    (PoolTimeout("QueuePool limit, secret"), 503, "unavailable"),
    (ValueError("secret"), 500, "internal"),
]


@pytest.mark.parametrize(("error", "status", "code"), RAISED, ids=lambda v: str(v)[:20])
async def test_every_error_is_a_problem_without_inner_words(
    error: Exception, status: int, code: str
) -> None:
    app = FastAPI()
    errors.install(app)

    async def fail() -> Response:
        raise error

    app.get("/x")(fail)
    answer = await _get(app, "/x")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status)
    assert "secret" not in answer.text
    assert "balance" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize("state", ["22021", "22P05"])
async def test_a_nul_that_came_as_far_as_the_database_is_a_400(state: str) -> None:
    app = FastAPI()
    errors.install(app)

    class FromTheDriver(Exception):
        sqlstate = state

    async def fail() -> Response:
        raise DBAPIError("INSERT", {}, FromTheDriver("secret"))

    app.get("/x")(fail)
    answer = await _get(app, "/x")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-input")
    assert "secret" not in answer.text


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_times_beyond_the_calendar_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_time(text, "start")
    assert refused.value.field == "start"


async def test_unknown_paths_and_methods_are_problems() -> None:
    app = create_app()
    missing, wrong = await _get(app, "/v1/nothing"), await _post(app, "/v1/health", b"")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")


async def test_a_body_over_the_limit_is_refused() -> None:
    """Property 37, in part."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_MAX // 1000 + 1):
            yield b" " * 1000

    for content in (b" " * (BODY_MAX + 1), chunks()):
        answer = await _post(create_app(), "/v1/screening-lists", content)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_answers_forbid_extra_fields() -> None:
    """Property 33: so that a test that validates an answer sees what does not belong."""
    for rule in create_app().state.rules.values():
        if isinstance(rule.answer, type) and issubclass(rule.answer, BaseModel):
            assert rule.answer.model_config.get("extra") == "forbid", rule.command


async def _get(app: FastAPI, path: str) -> httpx.Response:
    return await _send(app, "GET", path)


async def _post(app: FastAPI, path: str, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    return await _send(app, "POST", path, content=content)


async def _send(app: FastAPI, method: str, path: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        async with asyncio.timeout(5):
            return await http.request(method, path, headers=headers, **more)
