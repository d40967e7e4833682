"""The application on a real database, with two tenants, three holders and every kind of token."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.deps import Deps
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ids import AccountId, CustomerId, PersonId, TenantId, format_id, new_uuid7
from custody.core.money import AssetId
from custody.core.settings import Settings
from custody.deposits import addresses
from custody.keys.people import PersonKey, sign_approval
from custody.ledger import assets
from custody.parties import customers, people, tenants, tokens
from custody.parties.tokens import Role
from custody.withdrawals.deps import WithdrawalDeps
from router.deps import RouterDeps
from tests.api.support import CHAIN, FEES, REGISTRY, USDC, XPUB, FakeSigner, credit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEPOSITED = 1_000_000


@dataclass
class Approver:
    """A person of treasury with the key that the service never sees."""

    id: PersonId
    key: PersonKey

    def approval(self, digest: str) -> dict[str, Any]:
        """As routes take it."""
        made = sign_approval(self.key, self.id, digest, NOW + timedelta(minutes=5)).to_json()
        return {"digest": made.pop("intent"), **made}


def agreed(digest: str, *who: Approver) -> dict[str, Any]:
    return {"approvals": [one.approval(digest) for one in who]}


@dataclass
class Party:
    """A tenant, its customers by name, and a token's text by name."""

    tenant: TenantId
    customers: dict[str, CustomerId]
    accounts: dict[str, AccountId]
    person_key: Approver
    tokens: dict[str, str]

    def customer(self, name: str) -> str:
        return format_id("customer", self.customers[name])


@dataclass
class World:
    """`ours` has holders alice and bob and founded the installation; `theirs` has carol."""

    app: FastAPI
    deps: Deps
    ours: Party
    theirs: Party
    http: httpx.AsyncClient

    async def call(
        self, method: str, path: str, token: str | None = None, **more: Any
    ) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.request(method, path, headers=headers, **more)

    async def money(self, path: str, token: str, body: Any, key: str = "") -> httpx.Response:
        headers = {"Idempotency-Key": key or new_uuid7().hex}
        return await self.call("POST", path, token, json=body, headers=headers)


async def _party(db: Database, name: str, index: int, holders: list[str]) -> Party:
    end = NOW + timedelta(days=1)
    async with db.write() as s:
        tenant = (await tenants.create(s, name, index, XPUB, at=NOW)).id
        key = PersonKey.new()
        person = await people.enrol(s, tenant, "treasury", key.public_key, at=NOW)
        made = {h: (await customers.create(s, tenant, h, at=NOW)).id for h in holders}
        secrets = {}
        for holder, id_ in made.items():
            _, secrets[holder] = await tokens.issue(
                s, tenant, Role.HOLDER, at=NOW, expires_at=end, customer_id=id_
            )
        _, secrets["treasury"] = await tokens.issue(
            s, tenant, Role.TREASURY, at=NOW, expires_at=end, person_id=person.id
        )
        _, secrets["auditor"] = await tokens.issue(s, tenant, Role.AUDITOR, at=NOW, expires_at=end)
    accounts = {
        h: await credit(db, tenant, id_, USDC, DEPOSITED, at=NOW) for h, id_ in made.items()
    }
    return Party(tenant, made, accounts, Approver(person.id, key), secrets)


async def build_deps(db: Database, home: Path) -> Deps:
    """Deps without chains: what the routes need that only touch the database."""
    async with db.write() as s:
        for asset in REGISTRY.assets.values():
            id_ = AssetId(asset.asset_id)
            await assets.register(s, id_, asset.symbol, asset.decimals, asset.chain_id)
    clock, signer = FixedClock(NOW), FakeSigner()
    return Deps(
        db=db,
        registry=REGISTRY,
        clock=clock,
        signer=signer,
        settings=Settings(home=home),
        withdrawals=WithdrawalDeps(db, clock, REGISTRY, FEES, addresses.is_ours),
        router=RouterDeps(db, {}, REGISTRY, clock),
        installation={
            "log": {"vkey": signer.log_key.vkey(), "anchor_chain_id": CHAIN},
        },
    )


@pytest.fixture
async def deps(database: Database, tmp_path: Path) -> Deps:
    return await build_deps(database, tmp_path)


@pytest.fixture
async def world(deps: Deps) -> AsyncIterator[World]:
    ours = await _party(deps.db, "ours", 0, ["alice", "bob"])
    theirs = await _party(deps.db, "theirs", 1, ["carol"])
    app = create_app(deps)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield World(app, deps, ours, theirs, http)
    await deps.hot.close()


@pytest.fixture
async def both(world: World) -> list[Approver]:
    """Two persons of our treasury."""
    key = PersonKey.new()
    async with world.deps.db.write() as s:
        made = await people.enrol(s, world.ours.tenant, "treasury", key.public_key, at=NOW)
    return [world.ours.person_key, Approver(made.id, key)]
